//! One callback to one receiver, in the stream `delivery-<id>`.

use serde::{Deserialize, Serialize};

use crate::fact::{Deadline, Personals, facts};
use crate::ticket::Callback;
use crate::{AppCode, Moment, TicketSn};

facts! {
    /// The life of one outgoing callback.
    DeliveryEvent of "delivery" {
        Requested "delivery.requested" 1,
        AttemptFailed "delivery.attempt_failed" 1,
        Delivered "delivery.delivered" 1,
        GivenUp "delivery.given_up" 1,
        Collected "delivery.collected" 1,
    }
    deadline |event: &DeliveryEvent| match event {
        DeliveryEvent::Requested(requested) => Deadline::At(requested.due),
        DeliveryEvent::AttemptFailed(failed) => Deadline::At(failed.next),
        DeliveryEvent::Delivered(_) | DeliveryEvent::GivenUp(_) => Deadline::Cleared,
        DeliveryEvent::Collected(_) => Deadline::Unchanged,
    };
}

/// The end of a ticket shall be told to its receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    pub ticket: TicketSn,
    /// The event that ended the ticket.
    pub cause: String,
    pub app: Option<AppCode>,
    pub callback: Callback,
    /// When the first attempt is due.
    pub due: Moment,
}
impl Personals for Requested {}

/// An attempt did not reach the receiver, or the receiver refused it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub attempt: u32,
    /// HTTP status, where there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub reason: String,
    pub next: Moment,
}
impl Personals for AttemptFailed {}

/// The receiver took it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivered {
    pub attempt: u32,
    pub status: u16,
}
impl Personals for Delivered {}

/// The last attempt failed; the receiver may still collect the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GivenUp {
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub reason: String,
}
impl Personals for GivenUp {}

/// The receiver asked for the result itself (`ticket_approval_result`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Collected {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<AppCode>,
}
impl Personals for Collected {}
