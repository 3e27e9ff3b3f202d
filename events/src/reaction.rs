//! The start of a reaction, in the stream `reaction-<name>`. A reaction is a function that creates
//! further work from events.

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one reaction.
    ReactionEvent of "reaction" {
        Activated "reaction.activated" 1,
    }
}

/// The desk ran the reaction for the first time. The reaction ignores all commits that are older
/// than this start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activated {
    /// The name of the reaction. The name must never change, because the ids of the resulting queue
    /// messages contain it.
    pub reaction: String,
    /// The position of the last commit that the reaction ignores. `None` if the store does not
    /// assign positions immediately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
    /// The instant of the start. If the position of a commit is unknown, the reaction ignores the
    /// commit if it is older than this instant.
    pub at: Moment,
}
impl Personals for Activated {}
