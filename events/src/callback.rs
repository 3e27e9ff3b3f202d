//! One callback to one receiver, in the stream `callback-<id>`.

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::ticket::CallbackTarget;
use crate::{AppCode, Moment, TicketSn};

/// The deadline id of the next attempt.
pub const ATTEMPT: &str = "attempt";

event_enum! {
    /// The events of one outgoing callback.
    CallbackEvent of "callback" {
        Requested "callback.requested" 1,
        AttemptFailed "callback.attempt_failed" 1,
        Succeeded "callback.succeeded" 1,
        Failed "callback.failed" 1,
        Collected "callback.collected" 1,
    }
    deadlines |event: &CallbackEvent| match event {
        CallbackEvent::Requested(requested) => vec![DeadlineChange::set(ATTEMPT, requested.due)],
        CallbackEvent::AttemptFailed(failed) => vec![DeadlineChange::set(ATTEMPT, failed.due)],
        CallbackEvent::Succeeded(_) | CallbackEvent::Failed(_) => vec![DeadlineChange::clear(ATTEMPT)],
        CallbackEvent::Collected(_) => Vec::new(),
    };
}

/// A callback was requested: the end or a status change of a ticket must be sent to the receiver
/// that is registered for the ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    /// The id of the event that the callback reports.
    pub cause: String,
    pub app: Option<AppCode>,
    pub callback: CallbackTarget,
    /// The instant at which the first attempt is due.
    pub due: Moment,
}
impl Personals for Requested {}

/// An attempt failed, because the request did not reach the receiver or the receiver rejected the
/// request. The next attempt is due at `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub attempt: u32,
    /// The HTTP status of the response; absent if no response arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub reason: String,
    pub due: Moment,
}
impl Personals for AttemptFailed {}

/// The receiver accepted the callback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Succeeded {
    pub attempt: u32,
    pub status: u16,
}
impl Personals for Succeeded {}

/// The last attempt failed. The receiver can still collect the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub reason: String,
}
impl Personals for Failed {}

/// The receiver collected the result with a request of its own (`ticket_approval_result`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collected {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<AppCode>,
}
impl Personals for Collected {}
