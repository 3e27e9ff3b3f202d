//! Defines the contents of queue messages. A queue message contains an intent or a deadline.
//!
//! An intent is work that the desk must do after an event was stored, such as a callback. Each intent has an
//! effect id. With this id, the desk detects that the work was already done. A deadline is a time at which
//! the desk must continue the work of a stream.

use std::collections::BTreeMap;

use events::case::Repaired;
use events::delivery::Bounced;
use events::digest::{Flushed, Item};
use events::notification::{DeliveryEnded, Fact, Progress, Role};
use events::notification_policy::Occasion;
use events::ticket::{CallbackTarget, Relation};
use events::{AppCode, Moment, NodeId, PersonId, TicketSn, WorkflowId};
use serde::{Deserialize, Serialize};

/// Work that the desk must do after an event was stored. Examples are an API call, a callback, or a command
/// for another stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "snake_case")]
pub enum Intent {
    /// Requests a callback (an HTTP request to a receiver). The callback reports the end of a ticket or a
    /// change of the ticket status.
    SendCallback {
        ticket: TicketSn,
        cause: String,
        app: Option<AppCode>,
        callback: CallbackTarget,
        correlation: String,
    },
    /// Requests an API call for an automatic node of a ticket.
    StartApiCall(Box<StartApiCall>),
    /// Requests that the desk searches for an automation rule for a node that waits for a person.
    EvaluateRules(Box<EvaluateRules>),
    /// Requests an application for an automatic node. An application is a request for approval in an external
    /// ITSM.
    SubmitApplication(Box<StartServiceTask>),
    /// Requests that the desk sends the first request of an application that a person opened over the API.
    /// `application` is the name of its stream.
    StartApplication { application: String },
    /// Requests that the desk withdraws all open applications (requests for approval in an external ITSM) of a
    /// ticket.
    WithdrawApplications {
        ticket: TicketSn,
        reason: String,
        cause: String,
        correlation: String,
    },
    /// Requests that the desk writes a change of a ticket back to the records of external systems. `case` is the name of the
    /// stream of the case, which possibly does not exist.
    WriteBack {
        case: String,
        ticket: TicketSn,
        #[serde(default)]
        change: Change,
        cause: String,
        correlation: String,
    },
    /// Requests that the desk writes the values of the ticket of a case to the record of an integration, to which a person
    /// bound the case, and cancels waiting writes to a former record. If the person removed the binding, the desk only cancels.
    /// `case` is the name of the stream of the case.
    WriteBinding {
        case: String,
        integration: String,
        cause: String,
        correlation: String,
    },
    /// Requests the writes of a repair: the desk writes a value of the ticket of a case, or remarks, to a record again.
    WriteRepair(Box<WriteRepair>),
    /// Requests a mission (the work of a robot) for an automatic node.
    StartDispatch(Box<StartServiceTask>),
    /// Requests that the desk processes an inbound message (a message from another system). The member
    /// `inbound` is the name of the stream with the message. The member `subject` is the name of the stream of
    /// the object to which the message refers.
    HandleInbound {
        inbound: String,
        subject: String,
        cause: String,
        correlation: String,
    },
    /// Requests a notification for one person.
    Notify(Box<Notify>),
    /// Requests that the escalation of a node starts, if the notification policy has a chain for the ticket priority.
    StartEscalation(Box<StartEscalation>),
    /// Requests that the reminders of a node start, if the workflow repeats reminders.
    StartReminders(Box<StartReminders>),
    /// Requests that the running escalations of a ticket are compared with the state of the ticket, and stopped if the
    /// ticket does not need them any more.
    CheckEscalations {
        ticket: TicketSn,
        cause: String,
        correlation: String,
    },
    /// Requests a notification for each person whose subscription concerns a ticket.
    NotifySubscribers(Box<NotifySubscribers>),
    /// Requests that the chat group of a ticket follows the ticket: its people, its name, its messages and its end.
    SyncChatGroup(Box<SyncChatGroup>),
    /// Requests a notification for each operator that the notification policy names.
    NotifyOperators(Box<About>),
    /// Requests that a channel account (a configured sender, such as a mail relay) sends the message of a
    /// notification. The member `notification` is the name of the notification's stream.
    StartDelivery {
        notification: String,
        account: String,
        cause: String,
        correlation: String,
    },
    /// Requests that a digest collects a notification. A digest is one message about several notifications.
    AddToDigest(Box<AddToDigest>),
    /// Requests that a channel account (a configured sender) sends the message of a digest.
    SendDigest(Box<SendDigest>),
    /// Requests that a channel account (a configured sender) answers a message of a person. The member `inbound` is the name
    /// of the stream with the message. The member `sealed` is the encrypted answer in Base64.
    SendAnswer {
        inbound: String,
        account: String,
        sealed: String,
    },
    /// Requests that a notification stores the end of one of its deliveries. A delivery sends the message
    /// through one channel account (a configured sender).
    EndDelivery {
        notification: String,
        ended: DeliveryEnded,
        cause: String,
        correlation: String,
    },
    /// Requests that a notification stores that an accepted message came back. The next channel account (a configured
    /// sender) then sends the message once.
    ReportBounce(Box<ReportBounce>),
    /// Requests that the notifications about a node or a ticket store that their messages are outdated.
    MarkOutdated(Box<MarkOutdated>),
    /// Requests that a sent message shows the progress of the work, and no outdated buttons. The member `delivery` is
    /// the name of the stream of the delivery that sent the message.
    UpdateMessage {
        delivery: String,
        /// The channel of the account that sent the message.
        channel: String,
        to: Progress,
        by: Option<PersonId>,
        /// The time of the event that makes the message outdated. Messages of earlier versions do not have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Moment>,
        cause: String,
        correlation: String,
    },
    /// Requests that the desk does not use an address of a person any more, because a provider reported that it is wrong.
    /// The member `delivery` is the name of the stream with the failed delivery.
    SuppressAddress {
        delivery: String,
        person: PersonId,
        code: String,
        /// The time of the report of the provider. Messages of earlier versions do not have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Moment>,
        cause: String,
        correlation: String,
    },
    /// Requests that the ticket `ticket` adds or removes a link to the ticket `with`. The link is added if
    /// `linked` is true, and removed if `linked` is false.
    RelateTicket {
        ticket: TicketSn,
        with: TicketSn,
        relation: Relation,
        linked: bool,
        by: PersonId,
        cause: String,
        correlation: String,
    },
    /// Requests the end of a child ticket, because its parent has ended. The member `ticket` is the child.
    /// The child gets the final status of its parent.
    EndChildTicket {
        ticket: TicketSn,
        parent: TicketSn,
        status: String,
        approve_result: bool,
        cause: String,
        correlation: String,
    },
}

/// The data of a report about an accepted message of a notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportBounce {
    /// The name of the stream of the notification.
    pub notification: String,
    pub account: String,
    /// The name of the stream of the delivery.
    pub delivery: String,
    pub bounced: Bounced,
    /// The time at which the report was stored.
    pub at: Moment,
    pub cause: String,
    pub correlation: String,
}

/// The change of a ticket that the desk writes to the records of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    #[default]
    Status,
    Assignee,
    /// A person added a remark.
    Remark {
        /// The number of the remark.
        id: u64,
        /// The client app with which the person added the remark.
        app: Option<AppCode>,
    },
}

/// The data that the desk needs to write a value, or remarks, to a record again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteRepair {
    /// The name of the stream of the case.
    pub case: String,
    /// The id of the record to which the case was bound when the repair began.
    pub record: String,
    pub repaired: Repaired,
    pub cause: String,
    pub correlation: String,
}

/// The data that the desk needs to start one API call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartApiCall {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub attempt: u32,
    pub cause: String,
    /// The value of the HTTP header `Idempotency-Key` in the requests of this API call.
    pub key: String,
    pub inputs: BTreeMap<String, String>,
    pub task: String,
    pub correlation: String,
}

/// The data that the desk needs to create a notification for one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    pub person: PersonId,
    #[serde(default)]
    pub role: Role,
    /// The channel accounts (configured senders) that send the messages. If the list is empty, the accounts of the
    /// notification policy send the messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    #[serde(flatten)]
    pub about: About,
}

/// The fact of a notification, with its ticket and its cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub fact: Fact,
    pub ticket: TicketSn,
    /// The workflow node to which the fact belongs. `None` if the fact concerns the whole ticket.
    #[serde(default)]
    pub node: Option<NodeId>,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub round: u32,
    /// The time of the event that caused the notification.
    pub at: Moment,
    pub cause: String,
    pub correlation: String,
}

/// The data that the desk needs to notify the people whose subscriptions concern a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifySubscribers {
    pub occasion: Occasion,
    /// The people who get no notification because of a subscription.
    pub excluded: Vec<PersonId>,
    #[serde(flatten)]
    pub about: About,
}

/// The data that the desk needs to find the notifications that an event makes outdated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkOutdated {
    pub ticket: TicketSn,
    /// The node with its round. `None` if all notifications of the ticket are outdated.
    pub node: Option<(NodeId, u32)>,
    /// The only person whose notifications are outdated. `None` if this does not depend on the person.
    pub person: Option<PersonId>,
    pub to: Progress,
    /// The person who acted. `None` if the desk itself acted.
    pub by: Option<PersonId>,
    /// The time of the event. Messages of earlier versions do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    pub cause: String,
    pub correlation: String,
}

/// The data that the desk needs to add a notification to a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddToDigest {
    /// The name of the stream with the events of the digest.
    pub digest: String,
    pub person: PersonId,
    pub account: String,
    pub item: Item,
    pub due: Moment,
    /// True if the digest also collects its first notification.
    #[serde(default)]
    pub waits: bool,
    #[serde(default)]
    pub is_critical: bool,
    pub cause: String,
    pub correlation: String,
}

/// The data that the desk needs to send the message of a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendDigest {
    /// The name of the stream with the events of the digest.
    pub digest: String,
    pub flushed: Flushed,
    pub cause: String,
    pub correlation: String,
}

/// The data that the desk needs to start the escalation of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartEscalation {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// True if the priority of the ticket changed while the ticket waited at the node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_priority_change: bool,
    /// The time of the event that caused the escalation.
    pub at: Moment,
    pub cause: String,
    pub correlation: String,
}

/// The data that the desk needs to let the chat group of a ticket follow the ticket after an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncChatGroup {
    pub ticket: TicketSn,
    /// The fact about which the group gets a message. `None` if the event causes no message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fact: Option<Fact>,
    /// True if the event ends the ticket.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_end: bool,
    /// The time of the event.
    pub at: Moment,
    pub cause: String,
    pub correlation: String,
}

/// The data that the desk needs to start the reminders of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartReminders {
    pub ticket: TicketSn,
    pub workflow: WorkflowId,
    /// The version of the workflow.
    pub version: i64,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    /// The time at which the ticket entered the node.
    pub at: Moment,
    pub cause: String,
    pub correlation: String,
}

/// The data that the desk needs to search for an automation rule for one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluateRules {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub cause: String,
    pub correlation: String,
}

/// The data that the desk needs to start the work of one automatic node. This work is a request for approval
/// in an external ITSM, or the work of a robot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartServiceTask {
    pub ticket: TicketSn,
    pub node: NodeId,
    pub name: String,
    pub round: u32,
    pub attempt: u32,
    pub inputs: BTreeMap<String, String>,
    pub cause: String,
    pub correlation: String,
}

impl Intent {
    /// Returns the name of the queue for this intent (work that the desk must do after an event).
    pub fn queue(&self) -> &'static str {
        match self {
            Self::HandleInbound { subject, .. } if subject.starts_with("channel_account-") => {
                "notify"
            }
            Self::SendCallback { .. } => "callback",
            Self::StartApiCall(_) | Self::EvaluateRules(_) => "automate",
            Self::SubmitApplication(_)
            | Self::StartApplication { .. }
            | Self::WithdrawApplications { .. }
            | Self::WriteBack { .. }
            | Self::WriteBinding { .. }
            | Self::WriteRepair(_)
            | Self::HandleInbound { .. } => "sync",
            Self::StartDispatch(_) => "dispatch",
            Self::Notify(_)
            | Self::NotifyOperators(_)
            | Self::NotifySubscribers(_)
            | Self::StartEscalation(_)
            | Self::StartReminders(_)
            | Self::CheckEscalations { .. }
            | Self::AddToDigest(_)
            | Self::MarkOutdated(_)
            | Self::EndDelivery { .. }
            | Self::ReportBounce(_)
            | Self::SuppressAddress { .. } => "notify",
            Self::StartDelivery { .. }
            | Self::SendDigest(_)
            | Self::UpdateMessage { .. }
            | Self::SyncChatGroup(_)
            | Self::SendAnswer { .. } => "send",
            Self::RelateTicket { .. } | Self::EndChildTicket { .. } => "ticket",
        }
    }
    /// Returns the target of the intent: the node, the person, the ticket or the other object for which work
    /// is requested. One event can cause several intents with different targets. The target is a part of the
    /// effect id, so that these intents get different effect ids.
    pub fn target(&self) -> String {
        match self {
            Self::SendCallback { callback, .. } => callback.secret.clone(),
            Self::StartApiCall(call) => call.node.to_string(),
            Self::EvaluateRules(evaluate) => evaluate.node.to_string(),
            Self::SubmitApplication(start) | Self::StartDispatch(start) => start.node.to_string(),
            Self::HandleInbound { subject, .. } => subject.clone(),
            Self::StartApplication { application } => application.clone(),
            Self::WriteBinding { integration, .. } => integration.clone(),
            Self::WriteRepair(repair) => repair.case.clone(),
            Self::Notify(notify) => notify.person.0.clone(),
            Self::NotifyOperators(about) => about.ticket.0.clone(),
            Self::NotifySubscribers(notify) => notify.about.ticket.0.clone(),
            Self::StartEscalation(start) => start.node.to_string(),
            Self::StartReminders(start) => start.node.to_string(),
            Self::SyncChatGroup(sync) => sync.ticket.0.clone(),
            Self::StartDelivery { account, .. } | Self::SendAnswer { account, .. } => {
                account.clone()
            }
            Self::AddToDigest(add) => add.account.clone(),
            Self::SendDigest(send) => send.flushed.account.clone(),
            Self::EndDelivery { notification, .. } => notification.clone(),
            Self::ReportBounce(report) => report.notification.clone(),
            Self::SuppressAddress { delivery, .. } | Self::UpdateMessage { delivery, .. } => {
                delivery.clone()
            }
            Self::MarkOutdated(mark) => mark.ticket.0.clone(),
            Self::WithdrawApplications { ticket, .. }
            | Self::WriteBack { ticket, .. }
            | Self::CheckEscalations { ticket, .. }
            | Self::RelateTicket { ticket, .. }
            | Self::EndChildTicket { ticket, .. } => ticket.0.clone(),
        }
    }
}

/// A deadline of a stream. The deadline has passed or will pass soon. At the deadline, the desk must continue
/// the work of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    pub stream: String,
    /// The name of the deadline, such as `attempt`. A stream has at most one deadline with this name.
    pub deadline: String,
    pub at: Moment,
}

impl Due {
    /// Returns a text that is different for each stream, deadline name and time. The text is the id of the
    /// queue message. The message causes a command, and the id of this command is also computed from this
    /// text.
    pub fn id(&self) -> String {
        format!("{}|{}|{:016}", self.stream, self.deadline, self.at.0)
    }
}

/// The content of a queue message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    Intent(Intent),
    Due(Due),
}

/// Returns the effect id, which identifies the work of one consumer for one event and one target. The id is
/// the first half (16 bytes in hex) of a BLAKE3 hash over the consumer name, the event id and the target. If
/// the event is processed again, the id is the same, so the work is not done twice.
pub fn effect_id(consumer: &str, event_id: &str, target: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in ["ledgerdesk.effect.v1", consumer, event_id, target] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}
