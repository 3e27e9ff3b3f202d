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

/// The name of the deadline at which the next attempt to update the sent message starts.
pub const UPDATE: &str = "update";

/// The name of the deadline at which the desk requests the receipt of the message from the provider.
pub const RECEIPT: &str = "receipt";

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
        UpdateRequested "delivery.update_requested" 1,
        UpdateFailed "delivery.update_failed" 1,
        Updated "delivery.updated" 1,
        ReceiptScheduled "delivery.receipt_scheduled" 1,
        ReceiptEnded "delivery.receipt_ended" 1,
        Bounced "delivery.bounced" 1,
        Buzzed "delivery.buzzed" 1,
    }
    deadlines |event: &DeliveryEvent| match event {
        DeliveryEvent::Requested(requested) => vec![DeadlineChange::set(ATTEMPT, requested.due)],
        DeliveryEvent::AttemptStarted(started) => vec![DeadlineChange::set(ATTEMPT, started.due)],
        DeliveryEvent::AttemptFailed(failed) => vec![DeadlineChange::set(ATTEMPT, failed.due)],
        DeliveryEvent::Postponed(postponed) => vec![DeadlineChange::set(ATTEMPT, postponed.due)],
        DeliveryEvent::Succeeded(_) | DeliveryEvent::Failed(_) => vec![DeadlineChange::clear(ATTEMPT)],
        DeliveryEvent::UpdateRequested(requested) => vec![DeadlineChange::set(UPDATE, requested.due)],
        DeliveryEvent::UpdateFailed(failed) => vec![match failed.due {
            Some(due) => DeadlineChange::set(UPDATE, due),
            None => DeadlineChange::clear(UPDATE),
        }],
        DeliveryEvent::Updated(_) => vec![DeadlineChange::clear(UPDATE)],
        DeliveryEvent::ReceiptScheduled(scheduled) => vec![DeadlineChange::set(RECEIPT, scheduled.due)],
        DeliveryEvent::ReceiptEnded(_) => vec![DeadlineChange::clear(RECEIPT)],
        DeliveryEvent::Bounced(_) | DeliveryEvent::Buzzed(_) => Vec::new(),
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

/// How a message takes part in the thread of its ticket, on channels that have threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InThread {
    /// A reply appears only in the thread.
    Reply,
    /// A reply also appears in the conversation, because the message is urgent.
    Broadcast,
}

/// A delivery (the sending of one message) was requested. The event contains the complete message. All
/// attempts send this message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    /// The name of the stream with the events of the notification. For a digest, this is its first notification. For an
    /// answer to a mail of the person, this is the stream with this mail.
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
    /// True if the message contains a keyed tag, so that a report about it must contain the same tag. Deliveries of
    /// versions without tags do not have this member.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_tagged: bool,
    /// How the message takes part in the thread of its ticket. The value is absent if the message is about several
    /// tickets or about none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<InThread>,
}
impl Requested {
    /// Returns the names of the streams of all notifications in the message. A message that is not a digest has one
    /// notification, and an answer to a mail has none.
    pub fn notifications(&self) -> impl Iterator<Item = &str> {
        let single = self.digest.is_none().then_some(&self.notification);
        let many = self.digest.iter().flat_map(|digest| &digest.notifications);
        let all = single.into_iter().chain(many).map(String::as_str);
        all.filter(|stream| !stream.starts_with("inbound-"))
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
    /// The id of the first message of the thread to which the message should belong. The provider sent the message
    /// outside of the thread, because this first message does not exist any more. In all other cases, the member is
    /// empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lost_root: String,
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

/// How far the work is to which a notification refers. The order is from the earliest to the latest state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// A person has acknowledged or claimed the node.
    Acknowledged,
    /// The node does not wait any more, or the recipient has voted.
    Done,
    /// The ticket has ended.
    Ended,
}

/// An update of the sent message was requested. The updated message shows the progress of the work and no outdated
/// buttons. The request replaces an earlier one that is not done yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateRequested {
    pub to: Progress,
    /// The person who acted. The value is absent if the desk itself acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    pub due: Moment,
    /// The time after which no further attempt follows.
    pub expires: Moment,
}
impl Personals for UpdateRequested {}

/// An attempt to update the sent message failed. The message that the person sees is not changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateFailed {
    pub attempt: u32,
    pub class: FailureClass,
    /// The code in the response of the provider. This member is empty if the response contained no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    pub reason: String,
    /// The time of the next attempt. The value is absent if no further attempt follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for UpdateFailed {}

/// The provider accepted the update of the sent message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updated {
    pub attempt: u32,
    pub to: Progress,
}
impl Personals for Updated {}

/// The desk requests the receipt of the message from the provider at the time `due`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptScheduled {
    /// The number of the request. The first one is 1.
    pub poll: u32,
    pub due: Moment,
    /// The reason why the request before got no receipt, or an empty text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for ReceiptScheduled {}

/// What the provider reported about a message that it had accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// The person has read the message.
    Read,
    /// The provider has not delivered the message to the person, although it had accepted it.
    Undelivered,
    /// The provider did not report until the last request that the person has read the message.
    Missing,
}

/// The provider reported a receipt, or the desk sends no further request for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptEnded {
    pub receipt: Receipt,
    /// The code of the provider for an undelivered message, or the reason of the last failed request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for ReceiptEnded {}

/// The content of a report about an accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BounceKind {
    /// A mail server or a gateway for short messages accepted the message, but could not deliver it later.
    Bounce,
    /// The recipient marked the message as unwanted.
    Complaint,
}

/// A report arrived after a provider had accepted the message: the recipient did not get it, or does not want it.
/// Only the first report about a message is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounced {
    pub kind: BounceKind,
    pub class: FailureClass,
    /// The code in the report, such as `5.1.1`. This member is empty if the report contains no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The name of the stream with the report, `inbound-<hash>`.
    pub report: String,
}
impl Personals for Bounced {}

/// The desk asked the provider once to make the sent message urgent, so that it makes a sound on the device of the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buzzed {
    /// The class of the failure. The value is absent if the provider accepted the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// The code in the response of the provider. This member is empty if the response contained no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The reason of the failure, or an empty text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for Buzzed {}
