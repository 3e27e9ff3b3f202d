//! The birth of a reaction, in the stream `reaction-<name>`.

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one reaction.
    ReactionEvent of "reaction" {
        Activated "reaction.activated" 1,
    }
}

/// The desk ran the reaction for the first time. The reaction ignores every older commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activated {
    /// The permanent consumer name of the reaction.
    pub reaction: String,
    /// The last position of the feed that the reaction ignores; `None` on a store that assigns
    /// positions later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
    /// The reaction ignores commits before this time if their position is unknown.
    pub at: Moment,
}
impl Personals for Activated {}
