//! The events of one application, in the stream `application-<id>`. An application is a request for
//! approval in an external ITSM (requirements/external-itsm.md).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::api_call::Exchange;
use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{Moment, NodeId, TicketSn};

/// The id of the deadline at which the next attempt starts.
pub const ATTEMPT: &str = "attempt";
/// The id of the deadline at which an application without a decision expires.
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

/// An automatic node of a ticket requested an application (an approval in an external ITSM).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The number of the application within the current run of the node. The first application has
    /// number 1, and each retry by a person adds 1.
    pub attempt: u32,
    /// The id of the event at which the ticket entered the node or a person retried the node.
    pub cause: String,
    /// The name of the application kind, which contains the settings for the external ITSM.
    pub kind: String,
    /// Values that a person entered for this application only. They replace the values of fields
    /// and variables with the same key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    pub due: Moment,
    /// The instant at which an application without a decision expires.
    pub expires: Moment,
}
impl Personals for Requested {}

/// The desk is about to send the request that creates the ticket in the external ITSM. If no result
/// is recorded before the instant `due`, it is unknown whether this ticket exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub attempt: u32,
    pub due: Moment,
}
impl Personals for AttemptStarted {}

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

/// The application has no decision yet. The desk sends the next request at `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PollScheduled {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The kind of the next request: `create`, `find`, `verify`, `confirm` or `poll`.
    pub step: String,
    /// The number of the ticket in the external ITSM. The text is empty while the number is
    /// unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external: String,
    pub due: Moment,
}
impl Personals for PollScheduled {}

/// A callback about the application arrived. The desk does not trust its content. The external ITSM
/// must verify the token of the callback, and then the desk reads the ticket from the external
/// ITSM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hinted {
    /// The name of the stream that stores the callback.
    pub inbound: String,
    pub due: Moment,
}
impl Personals for Hinted {}

/// The way in which the desk learned the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    Callback,
    Poll,
}

/// The external ITSM decided the application, or rejected the request. If the ticket does not
/// record the result before `due`, the desk sends the result to the ticket again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    pub attempt: u32,
    pub cause: Cause,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// True if the external ITSM made a decision, either granted or refused. False if the
    /// application could not be created.
    pub succeeded: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub due: Moment,
}
impl Personals for Completed {}

/// The application expired without a decision. A person must now act at the node of the ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    pub reason: String,
    pub due: Moment,
}
impl Personals for Expired {}

/// The application was closed. `recorded` is true if the ticket recorded the result. The value is
/// false if the ticket does not need the result any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub recorded: bool,
}
impl Personals for Closed {}
