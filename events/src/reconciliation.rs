//! Defines the events of the regular comparison between the cases of one source and their records. The events are stored in
//! the stream `reconciliation-<source>` (reference/fleet.md 2.6).

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::event::{DeadlineChange, Personals, event_enum};

/// The id of the deadline at which the desk compares the next cases.
pub const COMPARE: &str = "compare";

event_enum! {
    /// The events of the comparison of one source.
    ReconciliationEvent of "reconciliation" {
        Started "reconciliation.started" 1,
        Compared "reconciliation.compared" 1,
        Stopped "reconciliation.stopped" 1,
    }
    deadlines |event: &ReconciliationEvent| match event {
        ReconciliationEvent::Started(started) => vec![DeadlineChange::set(COMPARE, started.due)],
        ReconciliationEvent::Compared(compared) => vec![DeadlineChange::set(COMPARE, compared.due)],
        ReconciliationEvent::Stopped(_) => vec![DeadlineChange::clear(COMPARE)],
    };
}

/// The desk begins to compare the cases of the source with their records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The name of the integration.
    pub source: String,
    pub due: Moment,
}
impl Personals for Started {}

/// The desk compared some cases with their records. The results that differ are in the streams of the cases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    pub attempt: u32,
    /// Number of compared cases.
    pub compared: u32,
    /// Number of cases that differ from their records.
    pub differing: u32,
    /// Number of cases whose records the source did not show, because it denies the account or its rights (401, 403).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub denied: u32,
    /// The reason of the last of these denials. The text is empty if there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub denial: String,
    /// True if the source answered about at least one record and did not deny it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_answer: bool,
    /// The time at which the current round began. A round compares all open cases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Moment>,
    /// True if the round ended, because all open cases were compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_last: bool,
    /// The end of the shift, if the cases were compared because of this end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift_end: Option<Moment>,
    /// The last compared case in the list of open cases. The text is empty at the end of the list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cursor: String,
    /// The reason why the source could not be read. The text is empty if it was read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unreachable: String,
    pub due: Moment,
}
impl Personals for Compared {}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The desk no longer compares the cases of the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {}
impl Personals for Stopped {}
