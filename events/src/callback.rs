//! Defines the events of one callback. A callback is an HTTP request that reports the end of a ticket or a
//! change of the ticket status to one receiver. The events are stored in the stream `callback-<id>`.

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::ticket::CallbackTarget;
use crate::{AppCode, Moment, TicketSn};

/// The id of the deadline at which the next attempt of the callback starts.
pub const ATTEMPT: &str = "attempt";

event_enum! {
    /// The events of one callback that the desk sends.
    CallbackEvent of "callback" {
        Requested "callback.requested" 1,
        AttemptFailed "callback.attempt_failed" 1,
        Succeeded "callback.succeeded" 1,
        Failed "callback.failed" 1,
        Collected "callback.collected" 1,
        ResendRequested "callback.resend_requested" 1,
    }
    deadlines |event: &CallbackEvent| match event {
        CallbackEvent::Requested(requested) => vec![DeadlineChange::set(ATTEMPT, requested.due)],
        CallbackEvent::AttemptFailed(failed) => vec![DeadlineChange::set(ATTEMPT, failed.due)],
        CallbackEvent::ResendRequested(resend) => vec![DeadlineChange::set(ATTEMPT, resend.due)],
        CallbackEvent::Succeeded(_) | CallbackEvent::Failed(_) => vec![DeadlineChange::clear(ATTEMPT)],
        CallbackEvent::Collected(_) => Vec::new(),
    };
}

/// A callback was requested. The callback reports the end of a ticket or a change of the ticket status. The
/// ticket defines the receiver of its callbacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    /// The id of the event that caused the callback.
    pub cause: String,
    pub app: Option<AppCode>,
    pub callback: CallbackTarget,
    /// The time of the first attempt to send the callback.
    pub due: Moment,
}
impl Personals for Requested {}

/// An attempt to send the callback failed, because the desk could not connect to the receiver or the receiver
/// rejected the request. The next attempt starts at the time `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub attempt: u32,
    /// The HTTP status of the response to this attempt. The value is absent if no response arrived.
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

/// The last attempt to send the callback failed, and no further attempt follows. The receiver can still
/// request the result of the ticket from the desk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub reason: String,
}
impl Personals for Failed {}

/// The receiver requested the result of the ticket from the desk with the operation `ticket_approval_result`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collected {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<AppCode>,
}
impl Personals for Collected {}

/// A person or the receiver asked for another round of attempts. The metadata of the commit names this person
/// and the app. The next attempt starts at the time `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResendRequested {
    pub due: Moment,
}
impl Personals for ResendRequested {}
