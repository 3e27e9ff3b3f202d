//! Defines the events of the writes to one record of an external system. The desk writes the status, the assignee and the
//! remarks of a ticket to the record for which the ticket was opened. The events are stored in the stream
//! `writeback-<id of the case>`, and those of a further record of the case in `writeback-<hash of case and integration>`.
//! One stream for each record ensures that two writes to a record never run at the same time, and that the latest values
//! win.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::api_call::AttemptFailed;
use crate::api_call::Exchange;
use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{Moment, TicketSn};

/// The id of the deadline at which the desk sends the next request to the external system.
pub const ATTEMPT: &str = "attempt";

event_enum! {
    /// The events of the writes to one record of an external system.
    WritebackEvent of "writeback" {
        Requested "writeback.requested" 1,
        AssigneeRequested "writeback.assignee_requested" 1,
        NoteRequested "writeback.note_requested" 1,
        AttemptStarted "writeback.attempt_started" 1,
        AttemptFailed "writeback.attempt_failed" 1,
        PollScheduled "writeback.poll_scheduled" 1,
        Completed "writeback.completed" 1,
        Closed "writeback.closed" 1,
        Canceled "writeback.canceled" 1,
    }
    deadlines |event: &WritebackEvent| match event {
        WritebackEvent::Requested(requested) => vec![DeadlineChange::set(ATTEMPT, requested.due)],
        WritebackEvent::AssigneeRequested(requested) => {
            vec![DeadlineChange::set(ATTEMPT, requested.due)]
        }
        WritebackEvent::NoteRequested(requested) => vec![DeadlineChange::set(ATTEMPT, requested.due)],
        WritebackEvent::AttemptStarted(started) => vec![DeadlineChange::set(ATTEMPT, started.due)],
        WritebackEvent::AttemptFailed(failed) => vec![DeadlineChange::set(ATTEMPT, failed.due)],
        WritebackEvent::PollScheduled(done) => vec![DeadlineChange::set(ATTEMPT, done.due)],
        WritebackEvent::Completed(Completed { due: Some(due), .. }) => {
            vec![DeadlineChange::set(ATTEMPT, *due)]
        }
        WritebackEvent::Completed(_) | WritebackEvent::Closed(_) | WritebackEvent::Canceled(_) => {
            vec![DeadlineChange::clear(ATTEMPT)]
        }
    };
}

/// A value of a record that the desk writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    Status,
    Assignee,
}

impl Field {
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Assignee => "assignee",
        }
    }
}

/// The status of the ticket changed, and the desk must write the new status to the record. A later request replaces a request
/// that is not completed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    /// The name of the stream of the case.
    pub case: String,
    /// The name of the integration.
    pub source: String,
    /// The id of the record in the external system.
    pub record: String,
    pub ticket: TicketSn,
    /// The new status of the ticket, such as `FINISHED`.
    pub status: String,
    /// The status that the desk writes to the record.
    pub target: Value,
    /// The status of the record when the desk opened the ticket. If the record has another status before the write, the
    /// source has changed it.
    pub known: String,
    /// True if the desk overwrites a status that the source has changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrites: bool,
    /// True if the desk does not know the status of the record before its first write. The first write then accepts each
    /// status.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepts_any: bool,
    /// The id of the event with the new status.
    pub cause: String,
    pub due: Moment,
}
impl Personals for Requested {}

/// The processor of the ticket changed, and the desk must write the assignee of the record. A later request replaces a
/// request that is not completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssigneeRequested {
    /// The name of the stream of the case.
    pub case: String,
    /// The name of the integration.
    pub source: String,
    /// The id of the record in the external system.
    pub record: String,
    pub ticket: TicketSn,
    /// The id of the person, or a digest of the account. The event does not contain the account itself.
    pub target: String,
    /// The assignee of the record when the desk opened the ticket, in the same form as `target`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub known: String,
    /// True if the desk overwrites an assignee that the source has changed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overwrites: bool,
    /// True if the desk does not know the assignee of the record before its first write.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepts_any: bool,
    /// The id of the event with the new processor.
    pub cause: String,
    pub due: Moment,
}
impl Personals for AssigneeRequested {}

/// A person added a remark to the ticket, and the desk must write it to the record as a note. The stream of the ticket
/// contains the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRequested {
    /// The name of the stream of the case.
    pub case: String,
    /// The name of the integration.
    pub source: String,
    /// The id of the record in the external system.
    pub record: String,
    pub ticket: TicketSn,
    /// The number of the remark.
    pub remark: u64,
    /// True if the remark was requested before, but a comparison did not find its note in the record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeats: bool,
    /// The id of the event with the remark.
    pub cause: String,
    pub due: Moment,
}
impl Personals for NoteRequested {}

/// The desk sends the write. If no result is stored before the time `due`, the desk reads the record again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub attempt: u32,
    /// The numbers of the remarks that the write contains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<u64>,
    pub due: Moment,
}
impl Personals for AttemptStarted {}

/// The desk sends another request at the time `due`. A request succeeded, the rate limit is reached, or the result of a
/// write is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollScheduled {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The kind of the next request: `read`, `read_notes` or `write`.
    pub step: String,
    /// True if the result of a write is unknown. The attempt then counts as failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unclear: bool,
    /// Why the result of a write is unknown. Earlier versions did not store the reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the next write needs to change the status, such as the id of a transition. Absent if the last value is still
    /// valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The values that the next write contains. Absent if the last list is still valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<Field>>,
    /// The values that the record already has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agreed: Vec<Field>,
    /// The values that the source has changed, as they are in the record. The desk does not overwrite them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conflicts: BTreeMap<Field, String>,
    /// The numbers of the remarks that the record already contains. Absent if the notes of the record were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noted: Option<Vec<u64>>,
    /// True if a write succeeded, and further values wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_written: bool,
    /// True if the external system needs a write of its own for these values. The next write then contains no notes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_alone: bool,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// How the write of a status ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The external system accepted the status.
    Written,
    /// The record had the status already.
    Unchanged,
    /// The source has changed the status of the record. The desk did not overwrite it.
    Conflict,
    /// The external system rejected the status, or did not accept it in all attempts.
    Failed,
}

/// The write of a status ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    pub outcome: Outcome,
    /// The status that the record had, if the outcome is a conflict.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub found: String,
    /// The values that the source has changed, if the outcome is a conflict. Earlier versions stored only `found`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conflicts: BTreeMap<Field, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Present if the outcome is a conflict. If the case does not contain the conflict before this time, the desk stores
    /// it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for Completed {}

/// The case contains the conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {}
impl Personals for Closed {}

/// The desk writes what waits no more, because the record does not belong to the case any more. A request that still runs can
/// have an effect; its outcome is not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canceled {
    /// The id of the record.
    pub record: String,
    pub reason: String,
}
impl Personals for Canceled {}
