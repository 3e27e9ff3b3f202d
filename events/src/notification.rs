//! Defines the events of one notification. The events are stored in the stream `notification-<id>`. A
//! notification informs one person about one fact, for example that a ticket needs the vote of this person
//! (plans/notifications.md, part 1).

use serde::{Deserialize, Serialize};

pub use crate::delivery::Progress;
use crate::delivery::{BounceKind, FailureClass};
use crate::event::{DeadlineChange, Personals, event_enum};
use crate::experiment::Assignment;
use crate::person::QuietHours;
use crate::preference::Band;
pub use crate::preference::Category;
use crate::{Moment, NodeId, PersonId, Personal, TicketSn};

/// The name of the deadline at which the desk stops holding a notification, for example because the quiet hours (a
/// daily period without messages) of the recipient end. The desk sends no message before this deadline. At the deadline, the desk decides again whether and how to
/// send messages.
pub const RELEASE: &str = "release";
/// The name of the deadline at which the desk completes a notification even if some of its deliveries
/// (messages) have not ended.
pub const EXPIRE: &str = "expire";

/// The name of the deadline at which the desk sends the message through the next account of the fallback list, because
/// no account has accepted the message until then.
pub const FALLBACK: &str = "fallback";

/// The name of the deadline at which a snoozed notification is unseen in the inbox again.
pub const SNOOZE: &str = "snooze";

event_enum! {
    /// The events of one notification.
    NotificationEvent of "notification" {
        Requested "notification.requested" 1,
        Held "notification.held" 1,
        Routed "notification.routed" 1,
        FallbackStarted "notification.fallback_started" 1,
        DeliveryEnded "notification.delivery_ended" 1,
        Bounced "notification.bounced" 1,
        Completed "notification.completed" 1,
        Read "notification.read" 1,
        Acted "notification.acted" 1,
        InboxChanged "notification.inbox_changed" 1,
        Outdated "notification.outdated" 1,
    }
    deadlines |event: &NotificationEvent| match event {
        NotificationEvent::Held(held) => vec![DeadlineChange::set(RELEASE, held.until)],
        NotificationEvent::Routed(routed) => {
            let fallback = routed.fallback_due.map(|due| DeadlineChange::set(FALLBACK, due));
            let always = [DeadlineChange::clear(RELEASE), DeadlineChange::set(EXPIRE, routed.expires)];
            always.into_iter().chain(fallback).collect()
        }
        NotificationEvent::FallbackStarted(started) => {
            let fallback = match started.due {
                Some(due) => DeadlineChange::set(FALLBACK, due),
                None => DeadlineChange::clear(FALLBACK),
            };
            let expire = started.expires.map(|expires| DeadlineChange::set(EXPIRE, expires));
            [fallback].into_iter().chain(expire).collect()
        }
        NotificationEvent::DeliveryEnded(ended) if ended.is_accepted => vec![DeadlineChange::clear(FALLBACK)],
        NotificationEvent::Bounced(bounced) => {
            let next = bounced.next.map(|next| [DeadlineChange::set(FALLBACK, next.due), DeadlineChange::set(EXPIRE, next.expires)]);
            next.into_iter().flatten().collect()
        }
        NotificationEvent::Completed(_) => [RELEASE, EXPIRE, FALLBACK].map(DeadlineChange::clear).into(),
        NotificationEvent::Read(_) => vec![DeadlineChange::clear(SNOOZE)],
        NotificationEvent::InboxChanged(changed) => vec![match changed.until {
            Some(until) => DeadlineChange::set(SNOOZE, until),
            None => DeadlineChange::clear(SNOOZE),
        }],
        NotificationEvent::Requested(_) | NotificationEvent::DeliveryEnded(_) | NotificationEvent::Acted(_) | NotificationEvent::Outdated(_) => Vec::new(),
    };
}

/// The fact about which a notification informs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A workflow node waits until the recipient of the notification votes.
    ApprovalNeeded,
    /// A workflow node waits until the recipient of the notification does some work.
    WorkAssigned,
    /// A person reminds the recipient of a ticket that waits for the recipient.
    Reminded,
    /// The work at a node was escalated, and the recipient may now process the node.
    Escalated,
    /// A person made the recipient a follower of the ticket (a person who watches the ticket).
    Followed,
    /// The ticket entered another node.
    Progressed,
    Suspended,
    Resumed,
    /// Fields or the priority of a ticket changed that waits for the recipient.
    Changed,
    /// A remark mentions the recipient.
    Mentioned,
    /// The ticket got a remark.
    Commented,
    /// The ticket has ended: its workflow is finished, or a manager set a final status.
    Finished,
    /// The ticket has ended, and the recipient can rate it.
    RatingInvited,
    /// A person ended the ticket before the end of its workflow.
    Terminated,
    /// The work of an automatic node failed, and a person must decide.
    NodeFailed,
    /// A node has no processors, so no person can process it.
    ProcessorsMissing,
    /// The receiver of the ticket's callbacks did not accept the result of the ticket.
    CallbackFailed,
    /// No channel delivered a message about the ticket, so it is only in the inbox of its recipient. The message is urgent, or
    /// the messages of two accounts came back.
    Unreached,
    /// A step of an escalation chain notifies the recipient of a ticket that no person has acknowledged.
    EscalationStep,
    /// Most of the messages of a channel account fail. The ticket is the one of the last failed message.
    AccountDegraded,
    /// The ticket still waits for the recipient. The workflow repeats this reminder.
    StillWaiting,
    /// A ticket meets the condition of a subscription of the recipient.
    Subscribed,
    /// A person for whom the ticket waits has many open tickets.
    LoadHigh,
    /// The execution of a script for the ticket waits for the approval of the recipient.
    ExecutionApproval,
    /// All steps of an escalation are over, and no person has acknowledged the ticket.
    EscalationExhausted,
    /// A person has no address that works for any channel account of a notification. The operators get this notification
    /// once for each person. The ticket is the one of the first notification that no account could send.
    AddressMissing,
    /// A step of an escalation chain reaches no person now or in a coming shift. The notification has no ticket, and its
    /// member `name` contains the name of the chain.
    ChainGap,
}

impl Fact {
    /// All facts, in the order of the documentation.
    pub const ALL: [Self; 27] = [
        Self::ApprovalNeeded,
        Self::WorkAssigned,
        Self::Reminded,
        Self::Escalated,
        Self::Followed,
        Self::Progressed,
        Self::Suspended,
        Self::Resumed,
        Self::Changed,
        Self::Mentioned,
        Self::Commented,
        Self::Finished,
        Self::RatingInvited,
        Self::Terminated,
        Self::NodeFailed,
        Self::ProcessorsMissing,
        Self::CallbackFailed,
        Self::Unreached,
        Self::EscalationStep,
        Self::AccountDegraded,
        Self::StillWaiting,
        Self::Subscribed,
        Self::LoadHigh,
        Self::ExecutionApproval,
        Self::EscalationExhausted,
        Self::AddressMissing,
        Self::ChainGap,
    ];

    /// Returns true if the recipient must work on a node of the ticket because of the fact. Another person or the
    /// recipient can do this work, so the messages about it can become outdated.
    pub fn is_work(self) -> bool {
        matches!(
            self,
            Self::ApprovalNeeded
                | Self::WorkAssigned
                | Self::Reminded
                | Self::Escalated
                | Self::EscalationStep
        )
    }

    /// Returns what the messages about the fact describe.
    pub fn matter(self) -> Matter {
        match self {
            Self::AccountDegraded => Matter::Account,
            Self::ChainGap => Matter::Chain,
            _ => Matter::Ticket,
        }
    }

    /// Returns false if the fact is about a channel account (a configured sender) or an escalation chain, and not about a
    /// ticket. A notification about an account names a ticket only because a message about this ticket failed. The messages
    /// contain nothing of a ticket.
    pub fn concerns_ticket(self) -> bool {
        self.matter() == Matter::Ticket
    }

    /// Returns the category of the fact.
    pub fn category(self) -> Category {
        match self {
            Self::ApprovalNeeded | Self::ExecutionApproval => Category::Approval,
            Self::WorkAssigned => Category::Assigned,
            Self::Reminded
            | Self::Escalated
            | Self::NodeFailed
            | Self::ProcessorsMissing
            | Self::CallbackFailed
            | Self::Unreached
            | Self::EscalationStep
            | Self::AccountDegraded
            | Self::StillWaiting
            | Self::LoadHigh
            | Self::EscalationExhausted
            | Self::AddressMissing
            | Self::ChainGap => Category::Escalated,
            Self::Followed
            | Self::Progressed
            | Self::Suspended
            | Self::Resumed
            | Self::Changed
            | Self::Subscribed => Category::Updated,
            Self::Mentioned | Self::Commented => Category::Commented,
            Self::Finished | Self::RatingInvited | Self::Terminated => Category::Resolved,
        }
    }
}

/// What the messages about a fact describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    Ticket,
    /// A channel account, which is a configured sender.
    Account,
    /// An escalation chain.
    Chain,
}

/// The relation between the recipient of a notification and the ticket. It is the reason why the person gets the
/// notification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A node of the ticket waits for the person.
    #[default]
    Processor,
    /// The person opened the ticket, or another person opened it for this person.
    Requester,
    Follower,
    /// A remark mentions the person.
    Mentioned,
    /// The notification policy names the person for problems that concern no single ticket.
    Operator,
    /// The person is on call, or a step of an escalation chain names the person.
    OnCall,
    /// A subscription of the notification policy names the person.
    Subscriber,
    /// The person made a subscription.
    OwnSubscriber,
    /// The person may approve the execution of a script.
    Approver,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_processor(role: &Role) -> bool {
    *role == Role::Processor
}

/// A notification was requested. The next event in the same commit is `held`, `routed` or `completed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    pub person: PersonId,
    pub fact: Fact,
    #[serde(default, skip_serializing_if = "is_processor")]
    pub role: Role,
    pub ticket: TicketSn,
    /// The workflow node to which the fact belongs. The value is absent if the fact concerns the whole ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The name that the workflow node had when the notification was requested. For a subscriber of the policy, this is the
    /// name of the subscription. For a fact that concerns no ticket, this is the name of the channel account. Otherwise, the
    /// name is empty without a node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The number of times that the ticket has entered the workflow node, or 0 without a node.
    #[serde(default)]
    pub round: u32,
    /// The id of the event that caused the notification.
    pub cause: String,
    /// The time of the event that caused the notification.
    pub at: Moment,
    /// The key of the ticket priority when the notification was requested. The key is empty if the ticket has
    /// no priority.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub priority: String,
    /// True if the notification policy contains the ticket priority in its list of urgent priorities. An
    /// urgent notification ignores quiet hours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_urgent: bool,
    /// True if the notification policy contains the ticket priority in its list of critical priorities. A critical
    /// notification is never held.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_critical: bool,
    /// The names of the channel accounts (configured senders) that send the messages. If the list is empty, the
    /// accounts of the notification policy send the messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<String>,
    /// The name of the own subscription because of which the person gets the notification, encrypted with the key of the
    /// person. The value is absent for all other roles, and in an event from before this member: its name is in `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Personal>,
    /// The running number of the notification among those of the local day of `at`. The first number of a day is 1. Some
    /// numbers are not used. The value is absent in an event from before this member, and if all numbers of the day are
    /// used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
}
impl Personals for Requested {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.subscription.iter_mut().collect()
    }
}

impl Requested {
    /// Returns the name of the node or of the subscription. The text is empty if there is none, or if the person was erased.
    pub fn label(&self) -> &str {
        match &self.subscription {
            Some(subscription) => subscription.value.as_str().unwrap_or_default(),
            None => &self.name,
        }
    }
}

/// The reason why the desk holds a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldReason {
    /// The current time is in the quiet hours (a daily period without messages) of the recipient.
    QuietHours,
    /// The recipient does not want to be disturbed until a time that this person has set.
    DoNotDisturb,
    /// The recipient does not work at the current time, according to the working calendar of this person.
    NotWorking,
    /// The recipient has an appointment at the current time.
    InMeeting,
    /// The recipient has reserved the current time for work without disturbance.
    Focused,
    /// An experiment, or the result of one, sends the message later.
    Experiment,
    /// The recipient usually answers at a later hour.
    LearnedTime,
}

/// The desk holds the notification, because the recipient must not be disturbed at the current time. The desk sends
/// no message before the time `until`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub until: Moment,
    /// The reason of the hold. An event without this member was stored for quiet hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<HeldReason>,
    /// The quiet hours that contain the current time. The value is absent if the hold has another reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
    /// The time zone of the recipient, such as `Asia/Shanghai`.
    pub zone: String,
    /// The time after which appointments of the recipient no longer hold the notification. The value is absent until
    /// an appointment holds the notification for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_limit: Option<Moment>,
    /// The variant of an experiment that decides the time of the messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Assignment>,
}

impl Held {
    /// Returns the reason of the hold.
    pub fn reason(&self) -> HeldReason {
        self.because.unwrap_or(HeldReason::QuietHours)
    }
}
impl Personals for Held {}

/// A channel account that sends a message about the notification. A channel account is a configured sender,
/// such as a mail relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub account: String,
    pub channel: String,
    /// Whether the account sends a message of its own for this notification, or a digest (one message that lists
    /// several notifications).
    #[serde(default, skip_serializing_if = "Mode::is_immediate")]
    pub mode: Mode,
    /// The preference or the clause of the policy that decided the mode. The value is absent if nothing was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clause: Option<Clause>,
}

/// Whether a channel account sends a message of its own for a notification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The account sends a message of its own.
    #[default]
    Immediate,
    /// A digest collects the notification.
    Digest {
        /// The name of the stream with the events of the digest.
        digest: String,
        /// The latest time at which the digest is sent.
        due: Moment,
        /// True if the digest also collects its first notification. Otherwise, the desk sends the first notification
        /// at once and collects the following ones.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        waits: bool,
    },
}

impl Mode {
    /// Returns true if the account sends a message of its own.
    pub fn is_immediate(&self) -> bool {
        *self == Self::Immediate
    }
}

/// The preference of the person or the clause of the policy that decided how a channel account sends a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Clause {
    /// The frequency that the person chose for the channel.
    Frequency,
    /// The categories that the person chose for the channel.
    Categories,
    /// The default of a team of the person.
    Team,
    /// A rule of the policy that limits the frequency. The first rule has the number 1.
    Cap { rule: u32 },
    /// A rule of the policy that raises the frequency. The first rule has the number 1.
    Floor { rule: u32 },
    /// The strategy of the computed priority.
    Strategy,
    /// Comments and updates are collected by default.
    Collected,
    /// The person gets many notifications in a short time. The number includes this notification.
    Many { count: u32 },
    /// The person answers more often through this account than through the others. The numbers are those of the messages
    /// from which the desk learned this: all messages of the account, and the answered ones.
    Learned { sent: u32, answered: u32 },
}

/// The strategy that follows from the computed priority of a notification (requirements/notifications.md,
/// PriorityNotificationManager).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The message is sent at once. It does not wait for a batch.
    Escalation,
    /// The message is sent at once and is not collected.
    Immediate,
    /// The message is sent at once, or is collected with similar messages.
    Standard,
    /// The message waits for the next batch time.
    Batch,
}

/// The computed priority of a notification, with all its factors. Each factor except `base` is a percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computed {
    pub band: Band,
    pub base: u32,
    pub impact: u32,
    pub time: u32,
    pub role: u32,
    /// The product of all factors.
    pub score: u32,
    pub strategy: Strategy,
}

/// The reason why a channel account sends no message to the recipient of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The recipient has no address for the channel of the account.
    NoAddress,
    /// An operator has disabled the channel account.
    Disabled,
    /// The notification policy names the channel account, but no account with this name is defined.
    NotDefined,
    /// The recipient has switched the channel off.
    ChannelOff,
    /// The recipient does not want messages about this category on the channel.
    CategoryOff,
    /// A rule of the notification policy allows no message.
    Capped,
    /// A provider reported that the address of the recipient is wrong. The desk uses it again after it was changed or
    /// released.
    Suppressed,
    /// The message reports that most messages of this account fail.
    Degraded,
    /// The desk would hold the message, and the notification policy names its fact as perishable.
    Perished,
}

/// A channel account (a configured sender of messages) that sends no message to the recipient, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub account: String,
    pub reason: SkipReason,
    /// The preference or the clause of the policy that decided. The value is absent for technical reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clause: Option<Clause>,
}

/// The desk chose the channel accounts (configured senders) that send messages. For each account in `routes`,
/// the desk creates one delivery (the sending of one message).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routed {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// The accounts that send the message one after another if no account in `routes` accepts it. The list contains no
    /// account of `routes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<Route>,
    /// The time at which the first account of `fallback` sends the message, if no account has accepted it until then.
    /// The value is absent if the desk waits for the failure of all other deliveries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_due: Option<Moment>,
    /// The time until which the desk waits for the end of all deliveries (messages) of the notification.
    pub expires: Moment,
    /// The computed priority of the notification. Old events have no priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Computed>,
    /// The variant of an experiment that decided the time of the messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Assignment>,
}
impl Personals for Routed {}

/// Another channel account sends the message, because no account has accepted it yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackStarted {
    pub account: String,
    pub channel: String,
    /// True if all earlier deliveries have failed. False if they only took too long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_after_failure: bool,
    /// True if an account had accepted the message, and the message came back later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_after_bounce: bool,
    /// The time at which the next account of the fallback list sends the message. The value is absent if no account is
    /// left, or if the desk waits for the failure of this delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
    /// The new time until which the desk waits for the end of all deliveries of the notification. It is later than the
    /// time before, so that the message of this account can still be sent. Old events do not have this member: the time
    /// of the event `notification.routed` applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
}
impl Personals for FallbackStarted {}

/// One delivery of the notification ended with a success or a failure. A delivery sends one message through
/// one channel account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryEnded {
    pub account: String,
    /// The name of the stream with the events of the delivery (the sending of one message).
    pub delivery: String,
    pub is_accepted: bool,
    /// The class of the failure of the delivery. The value is absent if the delivery succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// The code in the response of the provider, such as `310000`. This member is empty if the response
    /// contained no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// True if a digest dropped the notification, because the person or the policy wants no message any more. Such an end is
    /// no failure, so it starts no fallback.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_dropped: bool,
}
impl Personals for DeliveryEnded {}

/// The time of the next message after a message that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextMessage {
    /// The time at which the next account of the fallback list sends the message. It is later than the report if the
    /// recipient must not be disturbed at the time of the report.
    pub due: Moment,
    /// The time until which the desk waits for the end of this message.
    pub expires: Moment,
}

/// The reason why no further account sends a message that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotRepeated {
    /// Another account has accepted the message.
    OtherAccepted,
    /// The message of another account has not ended.
    OtherOpen,
    /// A message of the notification has come back before.
    Repeated,
    /// The fact is not true any more, or the recipient may not know it any more.
    NotNeeded,
    /// The fact is too old to be of use.
    TooOld,
    /// No account of the fallback list is left.
    NoAccount,
}

/// A message that an account had accepted came back, or its recipient does not want it. Its account therefore counts as
/// one that has not accepted the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounced {
    pub account: String,
    /// The name of the stream of the delivery.
    pub delivery: String,
    pub kind: BounceKind,
    pub class: FailureClass,
    /// The code in the report, such as `5.1.1`. This member is empty if the report contains no code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// The next message. The value is absent if no further account sends the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextMessage>,
    /// The reason why `next` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_repeated: Option<NotRepeated>,
}
impl Personals for Bounced {}

/// The combined result of all deliveries (messages) of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// At least one message was accepted by its provider.
    Accepted,
    /// No message was accepted by a provider. The recipient finds the notification only in the inbox.
    InboxOnly,
    /// The notification was not needed, because the ticket no longer waited for the recipient. No message was
    /// sent.
    NotNeeded,
}

/// The notification is completed. The desk sends no further messages about this notification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for Completed {}

/// A person marked the notification as read in the inbox, or opened the ticket from the link in a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    pub by: PersonId,
    /// The name of the channel account whose message contained the link. The text is empty if the person read the
    /// notification in the inbox.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account: String,
}
impl Personals for Read {}

/// The recipient used an action of the notification, such as an approval. Each action of a notification can be used
/// once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acted {
    /// The name of the action, such as `approve`.
    pub action: String,
    pub by: PersonId,
    /// The name of the channel account whose message contained the button or the link. The text is empty for messages
    /// of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account: String,
}
impl Personals for Acted {}

/// The state of a notification in the inbox of its recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboxState {
    /// No client has shown the notification to the recipient.
    #[default]
    Unseen,
    /// A client has shown the notification in a list, or the recipient marked it as unread.
    Seen,
    /// The recipient has read the notification.
    Read,
    /// The recipient has removed the notification from the inbox. The archive contains it.
    Archived,
    /// The inbox does not show the notification until a time that the recipient has chosen.
    Snoozed,
}

impl InboxState {
    /// All states, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Unseen,
        Self::Seen,
        Self::Read,
        Self::Archived,
        Self::Snoozed,
    ];

    /// Returns the name of the state at the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::Seen => "seen",
            Self::Read => "read",
            Self::Archived => "archived",
            Self::Snoozed => "snoozed",
        }
    }
}

/// The state of the notification in the inbox changed. The event `notification.read` stores the change to `read`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxChanged {
    pub to: InboxState,
    /// The time at which a snoozed notification is unseen again. Only the state `snoozed` has this member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// The person who changed the state. The value is absent if a snooze ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
}
impl Personals for InboxChanged {}

/// The messages of the notification show an old state of the ticket, because the work to which it refers has
/// progressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outdated {
    pub to: Progress,
    /// The person who acted. The value is absent if the desk itself acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// The time of the event of the ticket. The value is absent in events of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
}
impl Personals for Outdated {}
