//! Defines the events of one delivery. The events are stored in the stream `delivery-<id>`. A delivery sends
//! one message to one person through one channel account, such as a mail relay (plans/notifications.md, part
//! 1).

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::task_type::Repetition;
use crate::{Moment, PersonId, Personal, TicketSn};

/// The name of the deadline at which the next attempt to send the message starts. An earlier attempt without
/// a stored result then counts as interrupted. This rule applies only to messages that must not be sent
/// twice.
pub const ATTEMPT: &str = "attempt";

event_enum! {
    /// The events of one delivery.
    #[expect(clippy::large_enum_variant, reason = "each stream has one event of the large variant")]
    DeliveryEvent of "delivery" {
        Requested "delivery.requested" 1,
        AttemptStarted "delivery.attempt_started" 1,
        AttemptFailed "delivery.attempt_failed" 1,
        Postponed "delivery.postponed" 1,
        Succeeded "delivery.succeeded" 1,
        Failed "delivery.failed" 1,
    }
    deadlines |event: &DeliveryEvent| match event {
        DeliveryEvent::Requested(requested) => vec![DeadlineChange::set(ATTEMPT, requested.due)],
        DeliveryEvent::AttemptStarted(started) => vec![DeadlineChange::set(ATTEMPT, started.due)],
        DeliveryEvent::AttemptFailed(failed) => vec![DeadlineChange::set(ATTEMPT, failed.due)],
        DeliveryEvent::Postponed(postponed) => vec![DeadlineChange::set(ATTEMPT, postponed.due)],
        DeliveryEvent::Succeeded(_) | DeliveryEvent::Failed(_) => vec![DeadlineChange::clear(ATTEMPT)],
    };
}

/// The class of the failure of an attempt to send a message (reference/notifications.md, section 1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The failure is temporary. Another attempt to send the message can succeed.
    Transient,
    /// The rate limit of the provider or of the channel account allows no message at this time.
    Throttled,
    /// The provider (the operator of the message service) refused the message. A further attempt would also
    /// fail.
    Permanent,
    /// The address of the recipient is wrong.
    RecipientInvalid,
    /// The provider (the operator of the message service) refused the credentials of the channel account. The
    /// provider refuses all messages of this account until an operator of the desk corrects the credentials.
    Credential,
    /// The message is larger than the provider (the operator of the message service) allows.
    TooLarge,
    /// The provider may have accepted the message, but the desk got no response.
    Unknown,
}

/// The digest to which a delivery belongs, with its notifications.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfDigest {
    /// The name of the stream with the events of the digest.
    pub digest: String,
    /// The names of the streams of all notifications in the message.
    pub notifications: Vec<String>,
}

/// A delivery (the sending of one message) was requested. The event contains the complete message. All
/// attempts send this message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    /// The name of the stream with the events of the notification. For a digest, this is its first notification.
    pub notification: String,
    /// The digest, if the message lists several notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<OfDigest>,
    pub ticket: TicketSn,
    pub person: PersonId,
    pub account: String,
    pub channel: String,
    /// The address of the recipient, such as an e-mail address. The value is encrypted with the key of the
    /// recipient.
    pub to: Personal,
    /// The complete message. The value is encrypted with the key of the recipient.
    pub content: Personal,
    /// The rule for an attempt with an unknown result. In such an attempt, the provider (the operator of the
    /// message service) may have accepted the message. Either the desk sends the message again, or the
    /// delivery fails.
    #[serde(default)]
    pub repetition: Repetition,
    pub due: Moment,
    /// The time after which no attempt to send the message starts. If the message is not sent before this
    /// time, the delivery fails.
    pub expires: Moment,
}
impl Requested {
    /// Returns the names of the streams of all notifications in the message. A message that is not a digest has one
    /// notification.
    pub fn notifications(&self) -> impl Iterator<Item = &str> {
        let single = self.digest.is_none().then_some(&self.notification);
        let many = self.digest.iter().flat_map(|digest| &digest.notifications);
        single.into_iter().chain(many).map(String::as_str)
    }
}
impl Personals for Requested {
    fn personals(&mut self) -> Vec<&mut Personal> {
        vec![&mut self.to, &mut self.content]
    }
}

/// An attempt to send the message starts. This event is stored only if the message must not be sent twice. If
/// no result is stored before the time `due`, the attempt counts as interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStarted {
    pub attempt: u32,
    pub due: Moment,
}
impl Personals for AttemptStarted {}

/// An attempt to send the message failed. The next attempt starts at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFailed {
    pub attempt: u32,
    pub class: FailureClass,
    /// The code in the response of the provider. This member is empty if the response contained no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    pub reason: String,
    pub due: Moment,
}
impl Personals for AttemptFailed {}

/// The desk did not send the message, because a rate limit allows no message before the time `due`. The attempt
/// does not count as a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Postponed {
    pub attempt: u32,
    pub reason: String,
    pub due: Moment,
}
impl Personals for Postponed {}

/// The provider accepted the message. The desk does not know whether the recipient got the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succeeded {
    pub attempt: u32,
    /// The status or the code in the response of the provider, such as `250`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The id of the message at the provider, such as the time stamp of a message in Slack. With this id, the desk can
    /// change the message. This member is empty if the provider returned no id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}
impl Personals for Succeeded {}

/// The delivery failed: the message is not sent, and no further attempt follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub attempt: u32,
    pub class: FailureClass,
    /// The code in the response of the provider. This member is empty if the response contained no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    pub reason: String,
}
impl Personals for Failed {}
