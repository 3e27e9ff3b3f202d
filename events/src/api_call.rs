//! Defines the events of one API call (the outgoing HTTP requests of one automatic node). The events are
//! stored in the stream `api_call-<id>`. The events contain the attempts and the deadlines of the API call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{Moment, NodeId, TicketSn};

/// The id of the deadline at which the next attempt of the API call starts.
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

/// An automatic node (a workflow step that the desk executes) of a ticket requested an API call. The workflow
/// of the ticket defines the details of the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The number of the API call within the current execution of the node. The first call has number 1. Each
    /// time a person repeats the call, the number increases by 1.
    pub attempt: u32,
    /// The id of the event that caused this API call. In this event, the ticket entered the node or a person
    /// repeated the call.
    pub cause: String,
    /// The value of the HTTP header `Idempotency-Key`. If a person repeats the call without new inputs, the
    /// repeated call uses the value of the first call.
    pub key: String,
    /// The values that a person entered for this API call. Each key of the map is the key of a field or
    /// variable. This call uses the entered value instead of the value in the ticket. The ticket itself does
    /// not change.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// The id of a task that an earlier call created in the external system. This call continues the task.
    /// The id is empty if the call needs a new task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    pub due: Moment,
}
impl Personals for Requested {}

/// An attempt starts. The desk stores this event before it sends a request that must not be sent twice. If no
/// result is stored before the time `due`, the desk does not know whether the external system has executed
/// the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub attempt: u32,
    /// The progress of the API call before this attempt. The text is empty if this attempt creates a task in
    /// BlueKing SOPS (an external system that runs tasks). The text is `created` if this attempt starts the
    /// created task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    pub due: Moment,
}
impl Personals for AttemptStarted {}

/// The target and the duration of one HTTP request. The path and the query of the URL are omitted, because
/// these parts can contain values that people entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The method, the scheme and the host of the HTTP request. An example is `POST https://api.example.com`.
    pub target: String,
    /// The time from the HTTP request to the response, in milliseconds.
    pub duration_ms: i64,
}

/// An attempt failed because the response to the request was missing or the desk could not use the response.
/// The next attempt starts at the time `due`. API calls, applications and writes to records store this event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub attempt: u32,
    /// The target and the duration of the HTTP request in this attempt. The value is absent if the desk sent
    /// no request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The HTTP status of the response to this attempt. The value is absent if no response arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub reason: String,
    pub due: Moment,
}
impl Personals for AttemptFailed {}

/// An external system has not completed its work for this API call. The desk reads the state of the work
/// again at the time `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PollScheduled {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The progress of the API call. The text is `polled` if the desk repeats the request until the external
    /// system has completed its work. If the call uses a task of BlueKing SOPS (an external system that runs
    /// tasks), the text is `resumed`, `created`, `started` or `running`.
    pub step: String,
    /// The id of the task in the external system. The id is empty if the call uses no task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// The API call ended with a result. If the ticket has not stored the result before the time `due`, the desk
/// sends the result to the ticket again.
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
    /// The id of the task in the external system. The id is empty if the call uses no task.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub due: Moment,
}
impl Personals for Completed {}

/// The API call was closed: the desk has no more work for this call. The member `recorded` is true if the
/// ticket stored the result. The member is false if the ticket did not wait for the result any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    pub recorded: bool,
}
impl Personals for Closed {}
