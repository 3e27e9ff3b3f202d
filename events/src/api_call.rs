//! The events of one API call, in the stream `api_call-<id>`. The stream stores the attempts of the
//! API call and its deadlines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{Moment, NodeId, TicketSn};

/// The deadline id of the next attempt.
pub const ATTEMPT: &str = "attempt";

event_enum! {
    /// The events of one API call.
    ApiCallEvent of "api_call" {
        Requested "api_call.requested" 1,
        AttemptStarted "api_call.attempt_started" 1,
        AttemptFailed "api_call.attempt_failed" 1,
        PollScheduled "api_call.poll_scheduled" 1,
        Completed "api_call.completed" 1,
        Closed "api_call.closed" 1,
    }
    deadlines |event: &ApiCallEvent| vec![match event {
        ApiCallEvent::Requested(requested) => DeadlineChange::set(ATTEMPT, requested.due),
        ApiCallEvent::AttemptStarted(started) => DeadlineChange::set(ATTEMPT, started.due),
        ApiCallEvent::AttemptFailed(failed) => DeadlineChange::set(ATTEMPT, failed.due),
        ApiCallEvent::PollScheduled(scheduled) => DeadlineChange::set(ATTEMPT, scheduled.due),
        ApiCallEvent::Completed(completed) => DeadlineChange::set(ATTEMPT, completed.due),
        ApiCallEvent::Closed(_) => DeadlineChange::clear(ATTEMPT),
    }];
}

/// An automatic node of a ticket requested the service task of its workflow definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The number of the API call within the round of the node: 1 for the first call, one more for
    /// each retry by a person.
    pub attempt: u32,
    /// The id of the event that entered or retried the node.
    pub cause: String,
    /// The value of the HTTP header `Idempotency-Key`. A retry with the same inputs uses the same
    /// value.
    pub key: String,
    /// Values that replace fields and variables with the same key, in this API call only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// The id of an existing task in the external system that this API call continues; empty for a
    /// new task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    pub due: Moment,
}
impl Personals for Requested {}

/// A non-idempotent request is about to be sent. If no result is recorded by `due`, the external
/// system may have executed the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub attempt: u32,
    /// The step before this attempt: empty if the attempt creates a task, `created` if the attempt
    /// starts the task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    pub due: Moment,
}
impl Personals for AttemptStarted {}

/// Target and duration of one HTTP request. The path and the query are omitted, because both may
/// contain values that people entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Method, scheme and host of the request, such as `POST https://api.example.com`.
    pub target: String,
    /// Milliseconds from sending the request to the response.
    pub duration_ms: i64,
}

/// An attempt failed because no usable response arrived. The next attempt is due at `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub attempt: u32,
    /// Target and duration of the request; absent if no request was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The HTTP status of the response; absent if no response arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub reason: String,
    pub due: Moment,
}
impl Personals for AttemptFailed {}

/// The external system has not finished its work. The next poll is due at `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PollScheduled {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The progress of the work: `polled` for a request; `resumed`, `created`, `started` or
    /// `running` for a task.
    pub step: String,
    /// The id of the task in the external system; empty if there is no task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// The API call ended with a result. If the ticket does not record the result by `due`, the result
/// is sent to the ticket again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The id of the task in the external system; empty if there is no task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub due: Moment,
}
impl Personals for Completed {}

/// The API call was closed. `recorded` is true if the ticket recorded the result, and false if the
/// ticket no longer waits for the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub recorded: bool,
}
impl Personals for Closed {}
