//! The activation of a reaction, in the stream `reaction-<name>`.

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one reaction.
    ReactionEvent of "reaction" {
        Activated "reaction.activated" 1,
    }
}

/// The desk ran the reaction for the first time. The reaction ignores all older commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activated {
    /// The permanent name of the reaction, which is part of its effect ids.
    pub reaction: String,
    /// The last feed position that the reaction ignores. `None` if the store assigns positions only
    /// later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
    /// The reaction ignores a commit whose position is unknown if the commit is older than this
    /// instant.
    pub at: Moment,
}
impl Personals for Activated {}
