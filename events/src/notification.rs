//! Defines the events of one notification. The events are stored in the stream `notification-<id>`. A
//! notification tells one person one fact, such as work that waits for this person
//! (plans/notifications.md, part 1).

use serde::{Deserialize, Serialize};

use crate::delivery::FailureClass;
use crate::event::{DeadlineChange, Personals, event_enum};
use crate::person::QuietHours;
use crate::{Moment, NodeId, PersonId, TicketSn};

/// The id of the deadline at which the desk decides again about a held notification.
pub const RELEASE: &str = "release";
/// The id of the deadline at which the desk waits no longer for the channels.
pub const EXPIRE: &str = "expire";

event_enum! {
    /// The events of one notification.
    NotificationEvent of "notification" {
        Requested "notification.requested" 1,
        Held "notification.held" 1,
        Routed "notification.routed" 1,
        DeliveryEnded "notification.delivery_ended" 1,
        Completed "notification.completed" 1,
        Read "notification.read" 1,
    }
    deadlines |event: &NotificationEvent| match event {
        NotificationEvent::Held(held) => vec![DeadlineChange::set(RELEASE, held.until)],
        NotificationEvent::Routed(routed) => vec![DeadlineChange::clear(RELEASE), DeadlineChange::set(EXPIRE, routed.expires)],
        NotificationEvent::Completed(_) => vec![DeadlineChange::clear(RELEASE), DeadlineChange::clear(EXPIRE)],
        NotificationEvent::Requested(_) | NotificationEvent::DeliveryEnded(_) | NotificationEvent::Read(_) => Vec::new(),
    };
}

/// The fact that a notification tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A node waits for the vote of the person.
    ApprovalNeeded,
    /// A node waits for the work of the person.
    WorkAssigned,
}

/// A notification was requested. The same commit contains `held`, `routed` or `completed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    pub person: PersonId,
    pub fact: Fact,
    pub ticket: TicketSn,
    pub node: NodeId,
    /// The name of the node at the time of the request.
    pub name: String,
    /// The number of the execution of the node.
    pub round: u32,
    /// The id of the event that caused the notification.
    pub cause: String,
    /// The time of this event.
    pub at: Moment,
    /// The key of the ticket's priority at the time of the request. The text is empty if the ticket has no
    /// priority.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub priority: String,
    /// True if the policy counts the priority as urgent. An urgent notification ignores quiet hours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_urgent: bool,
}
impl Personals for Requested {}

/// The notification arrived in the quiet hours of the person. The desk sends no message before `until`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub until: Moment,
    pub quiet: QuietHours,
    /// The time zone of the quiet hours, such as `Asia/Shanghai`.
    pub zone: String,
}
impl Personals for Held {}

/// One channel account that sends the notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub account: String,
    pub channel: String,
}

/// The reason why a channel account of the policy sends no message to the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The person has no address for the channel.
    NoAddress,
    /// An operator has switched the account off.
    Disabled,
    /// The policy names an account that is not defined.
    NotDefined,
}

/// A channel account that sends no message to the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub account: String,
    pub reason: SkipReason,
}

/// The channel accounts were chosen. Each chosen account gets one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routed {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// The desk waits for the deliveries until this time.
    pub expires: Moment,
}
impl Personals for Routed {}

/// A delivery of the notification ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryEnded {
    pub account: String,
    /// The stream of the delivery.
    pub delivery: String,
    pub is_accepted: bool,
    /// The class of the failure. The value is absent if the provider accepted the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// The code of the provider, such as `310000`. The text is empty if the provider sent no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for DeliveryEnded {}

/// The end of the work on a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// At least one provider accepted a message.
    Accepted,
    /// No provider accepted a message. The person finds the notification in the inbox.
    InboxOnly,
    /// The ticket did not wait for the person any more, so no message was sent.
    NotNeeded,
}

/// The work on the notification ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for Completed {}

/// The person marked the notification in the inbox as read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    pub by: PersonId,
}
impl Personals for Read {}
