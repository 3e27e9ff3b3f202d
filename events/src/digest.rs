//! Defines the events of one digest. The events are stored in the stream `digest-<id>`. A digest collects the
//! notifications of one person for one channel account, and lists them in one message (plans/notifications.md,
//! part 4). After the message, the same stream collects the next notifications.

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::notification::Fact;
use crate::{Moment, PersonId, TicketSn};

/// The name of the deadline at which the desk sends the collected notifications.
pub const FLUSH: &str = "flush";

event_enum! {
    /// The events of one digest.
    DigestEvent of "digest" {
        Passed "digest.passed" 1,
        Added "digest.added" 1,
        Postponed "digest.postponed" 1,
        ItemsDropped "digest.items_dropped" 1,
        Flushed "digest.flushed" 1,
        Closed "digest.closed" 1,
    }
    deadlines |event: &DigestEvent| match event {
        DigestEvent::Passed(passed) => vec![DeadlineChange::set(FLUSH, passed.due)],
        DigestEvent::Added(added) => vec![DeadlineChange::set(FLUSH, added.due)],
        DigestEvent::Postponed(postponed) => vec![DeadlineChange::set(FLUSH, postponed.due)],
        DigestEvent::ItemsDropped(_) => Vec::new(),
        DigestEvent::Flushed(_) | DigestEvent::Closed(_) => vec![DeadlineChange::clear(FLUSH)],
    };
}

/// A notification in a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The name of the stream with the events of the notification.
    pub notification: String,
    pub ticket: TicketSn,
    pub fact: Fact,
    /// The time of the event that caused the notification.
    pub at: Moment,
    /// The time until which the notification waits for its deliveries (messages).
    pub expires: Moment,
}

/// The desk sent the notification at once. Notifications until the time `due` are collected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    pub person: PersonId,
    pub account: String,
    pub item: Item,
    pub due: Moment,
}
impl Personals for Passed {}

/// The notification was added to the digest. The desk sends the digest at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    pub person: PersonId,
    pub account: String,
    pub item: Item,
    pub due: Moment,
}
impl Personals for Added {}

/// The desk did not send the digest, because the current time is in the quiet hours of the person. The desk sends the
/// digest at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Postponed {
    pub due: Moment,
}
impl Personals for Postponed {}

/// Some notifications are not sent, because the person or an operator has switched their messages off since they were
/// collected, or because the digest was full. The inbox still shows these notifications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemsDropped {
    /// The channel account (the configured sender) that sends no message.
    pub account: String,
    /// The names of the streams of the notifications.
    pub notifications: Vec<String>,
    /// The reason as an English text.
    pub reason: String,
}
impl Personals for ItemsDropped {}

/// One line in the message of a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub ticket: TicketSn,
    pub fact: Fact,
    /// The number of notifications of the ticket in this line. The number is higher than 1 only if `is_over` is true.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// True if the ticket has ended or the facts are not true any more. All such notifications of a ticket are in one
    /// line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_over: bool,
}

fn one() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_one(count: &u32) -> bool {
    *count == 1
}

/// The desk sends one message that lists the collected notifications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flushed {
    pub person: PersonId,
    pub account: String,
    pub lines: Vec<Line>,
    /// The number of notifications that the lines do not contain.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u32,
    /// The names of the streams of all notifications in the digest.
    pub notifications: Vec<String>,
    /// The time until which the notifications wait for the message.
    pub expires: Moment,
}
impl Personals for Flushed {}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// No notification is left in the digest, so the desk sends no message. The next notification starts a new digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {}
impl Personals for Closed {}
