//! The events of one API call, in the stream `api_call-<id>`. The events record the attempts and
//! the deadlines of the API call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{Moment, NodeId, TicketSn};

/// The id of the deadline at which the next attempt starts.
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

/// An automatic node of a ticket requested an API call. The workflow definition contains the
/// details of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The number of the API call within the current run of the node. The first call has number 1,
    /// and each retry by a person adds 1.
    pub attempt: u32,
    /// The id of the event at which the ticket entered the node or a person retried the node.
    pub cause: String,
    /// The value of the HTTP header `Idempotency-Key`. If a person retries the node with the same
    /// inputs, the value remains the same.
    pub key: String,
    /// Values that a person entered for this API call only. They replace the values of fields and
    /// variables with the same key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// The id of an existing task in the external system. This API call continues the task. The
    /// text is empty if a new task is needed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    pub due: Moment,
}
impl Personals for Requested {}

/// The desk is about to send a request that must not be repeated. If no result is recorded before
/// the instant `due`, it is unknown whether the external system executed the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub attempt: u32,
    /// The step of the API call before this attempt. The text is empty if this attempt creates the
    /// SOPS task. The text is `created` if this attempt starts the task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    pub due: Moment,
}
impl Personals for AttemptStarted {}

/// The target and the duration of one HTTP request. The path and the query of the URL are not
/// stored, because they may contain values that people entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The method, the scheme and the host of the request, such as `POST https://api.example.com`.
    pub target: String,
    /// The time between the request and the response, in milliseconds.
    pub duration_ms: i64,
}

/// An attempt failed because there was no usable response. The next attempt follows at `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub attempt: u32,
    /// The target and the duration of the request. Absent if no request was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The HTTP status of the response. Absent if no response arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub reason: String,
    pub due: Moment,
}
impl Personals for AttemptFailed {}

/// The external system has not completed its work yet. The desk asks for the state again at `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PollScheduled {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The progress of the work. For a request, the text is `polled`. For a task, the text is
    /// `resumed`, `created`, `started` or `running`.
    pub step: String,
    /// The id of the task in the external system. The text is empty if there is no task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// The API call ended with a result. If the ticket does not record the result before `due`, the
/// desk sends the result to the ticket again.
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
    /// The id of the task in the external system. The text is empty if there is no task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub due: Moment,
}
impl Personals for Completed {}

/// The API call was closed. `recorded` is true if the ticket recorded the result. The value is
/// false if the ticket does not need the result any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub recorded: bool,
}
impl Personals for Closed {}
