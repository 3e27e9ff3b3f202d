//! Defines the events of one reaction. The events are stored in the stream `reaction-<name>`. If a later version of the
//! reaction processes another event type, its start for this type is in the stream `reaction-<name>.<type>`. A reaction is
//! a function that creates further work from events, such as a callback.

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one reaction (a function that creates further work from events).
    ReactionEvent of "reaction" {
        Activated "reaction.activated" 1,
    }
}

/// The desk ran the reaction (a function that creates further work from events) for the first time. The
/// reaction ignores all commits that were stored before this first run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activated {
    /// The name of the reaction. The ids of queue messages contain this name, so the name must never change.
    pub reaction: String,
    /// The event type, such as `ticket.resumed`, that a later version of the reaction processes for the first time. The
    /// reaction then ignores the older events of this type only. The text is empty for the first run of the reaction.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// The position of the last commit that the reaction ignores. The value is absent if the store of the
    /// commits assigns a position only after a commit is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
    /// The time of the first run of the reaction. The reaction ignores each commit without a known position
    /// that is older than this time. For commits with a known position, this time has no effect.
    pub at: Moment,
}
impl Personals for Activated {}
