//! Applications: requests for approval in an external ITSM, in the stream `application-<id>`
//! (requirements/external-itsm.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api_call::Exchange;
use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{Moment, NodeId, TicketSn};

/// The deadline id of the next attempt.
pub const ATTEMPT: &str = "attempt";
/// The deadline id of the expiry of an application without a decision.
pub const EXPIRE: &str = "expire";

event_enum! {
    /// The events of one application.
    ApplicationEvent of "application" {
        Requested "application.requested" 1,
        AttemptStarted "application.attempt_started" 1,
        AttemptFailed "application.attempt_failed" 1,
        PollScheduled "application.poll_scheduled" 1,
        Hinted "application.hinted" 1,
        Completed "application.completed" 1,
        Expired "application.expired" 1,
        Closed "application.closed" 1,
    }
    deadlines |event: &ApplicationEvent| match event {
        ApplicationEvent::Requested(requested) => vec![
            DeadlineChange::set(ATTEMPT, requested.due),
            DeadlineChange::set(EXPIRE, requested.expires),
        ],
        ApplicationEvent::AttemptStarted(started) => vec![DeadlineChange::set(ATTEMPT, started.due)],
        ApplicationEvent::AttemptFailed(failed) => vec![DeadlineChange::set(ATTEMPT, failed.due)],
        ApplicationEvent::PollScheduled(scheduled) => {
            vec![DeadlineChange::set(ATTEMPT, scheduled.due)]
        }
        ApplicationEvent::Hinted(hinted) => vec![DeadlineChange::set(ATTEMPT, hinted.due)],
        ApplicationEvent::Completed(completed) => vec![
            DeadlineChange::set(ATTEMPT, completed.due),
            DeadlineChange::clear(EXPIRE),
        ],
        ApplicationEvent::Expired(expired) => vec![
            DeadlineChange::set(ATTEMPT, expired.due),
            DeadlineChange::clear(EXPIRE),
        ],
        ApplicationEvent::Closed(_) => vec![DeadlineChange::clear(ATTEMPT)],
    };
}

/// An automatic node of a ticket requested an approval in an external ITSM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The number of the application within the round of the node: 1 for the first application, one
    /// more for each retry by a person.
    pub attempt: u32,
    /// The id of the event that entered or retried the node.
    pub cause: String,
    /// The name of the application kind.
    pub kind: String,
    /// Values that replace fields and variables with the same key, in this application only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    pub due: Moment,
    /// The instant at which an application without a decision expires.
    pub expires: Moment,
}
impl Personals for Requested {}

/// The request that creates the ticket in the external ITSM is about to be sent. If no result is
/// recorded by `due`, the external ITSM may have created the ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub attempt: u32,
    pub due: Moment,
}
impl Personals for AttemptStarted {}

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

/// The application has no decision yet. The next request follows at `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PollScheduled {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The next request: `create`, `find`, `verify`, `confirm` or `poll`.
    pub step: String,
    /// The number of the ticket in the external ITSM; empty before the ticket is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external: String,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// A callback about the application arrived. The callback decides nothing. Its token is verified by
/// the external ITSM, and the ticket is then read there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hinted {
    /// The stream of the inbound message.
    pub inbound: String,
    pub due: Moment,
}
impl Personals for Hinted {}

/// The way in which a decision became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    Callback,
    Poll,
}

/// The external ITSM decided or rejected the application. If the ticket does not record the result
/// by `due`, the result is sent to the ticket again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    pub attempt: u32,
    pub cause: Cause,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// True if the external ITSM decided, with either decision. False if no application could be
    /// made.
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub due: Moment,
}
impl Personals for Completed {}

/// No decision became known before the application expired. A person must act on the ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    pub reason: String,
    pub due: Moment,
}
impl Personals for Expired {}

/// The application was closed. `recorded` is true if the ticket recorded the result, and false if
/// the ticket no longer waits for the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub recorded: bool,
}
impl Personals for Closed {}
