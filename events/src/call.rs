//! One call of an automatic node, in the stream `call-<id>`: the record of its attempts (the API call log), and its deadlines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fact::{Deadline, Personals, facts};
use crate::{Moment, NodeId, TicketSn};

facts! {
    /// The life of one call.
    CallEvent of "call" {
        Requested "call.requested" 1,
        Began "call.began" 1,
        AttemptFailed "call.attempt_failed" 1,
        Waiting "call.waiting" 1,
        Answered "call.answered" 1,
        Closed "call.closed" 1,
    }
    deadline |event: &CallEvent| match event {
        CallEvent::Requested(requested) => Deadline::At(requested.due),
        CallEvent::Began(began) => Deadline::At(began.due),
        CallEvent::AttemptFailed(failed) => Deadline::At(failed.next),
        CallEvent::Waiting(waiting) => Deadline::At(waiting.next),
        CallEvent::Answered(answered) => Deadline::At(answered.due),
        CallEvent::Closed(_) => Deadline::Cleared,
    };
}

/// A node of a ticket shall do what its workflow says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The ticket's own count: 1 at first, one more with each retry of a person.
    pub attempt: u32,
    /// The event that entered or retried the node.
    pub cause: String,
    /// What goes along as `Idempotency-Key`: the same for a retry with the same inputs.
    pub key: String,
    /// Values that stand for fields and variables of the same key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// A task over there that was begun before and is gone on with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    pub due: Moment,
}
impl Personals for Requested {}

/// What cannot be asked twice is asked now. Where nothing is known of it by then, whoever asked is gone, and it may have been done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Began {
    pub attempt: u32,
    /// Where it begins: empty for the creation of a task, `created` for its start.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    pub due: Moment,
}
impl Personals for Began {}

/// Where an attempt went and how long it took. Paths and queries are left out: what people filled in may stand there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Method, scheme and host: `POST https://api.example.com`.
    pub to: String,
    /// Milliseconds from the question to its answer.
    pub took_ms: i64,
}

/// Nobody answered; it is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub attempt: u32,
    /// Absent of what was recorded before this was kept, and where nothing went out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub reason: String,
    pub next: Moment,
}
impl Personals for AttemptFailed {}

/// It is under way over there; it is asked after again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// How far it is: `polled`, or of a task `resumed`, `created`, `started`, `running`.
    pub step: String,
    /// What the other side calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    pub next: Moment,
}
impl Personals for Waiting {}

/// It came to an end over there; its ticket has to hear of it by then, or is told again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// What the other side calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub due: Moment,
}
impl Personals for Answered {}

/// Its ticket knows, or no longer wants to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub told: bool,
}
impl Personals for Closed {}
