//! Implements the aggregate of one notification. A notification informs one person about one fact, for
//! example that a ticket needs the vote of this person. The inbox of the person shows the notification. In
//! addition, the desk sends one message through each channel account (such as a mail relay) that can reach
//! the person.

pub mod action;
pub mod announced;
pub mod availability;
pub mod batch;
pub mod bounce;
pub mod calendar;
pub mod chain;
pub mod chain_check;
pub mod chat_group;
pub mod chat_identity;
pub mod chat_thread;
pub mod content;
pub mod delivery;
pub mod digest;
pub mod escalation;
pub mod escalation_start;
pub mod experiment;
pub mod feedback;
pub mod grammar;
pub mod health;
pub mod imported;
pub mod inbox;
pub mod learned_channel;
pub mod learning;
pub mod measure;
pub mod message_update;
pub mod node_reminder;
pub mod onboarding;
pub mod own_subscription;
pub mod person;
pub mod priority;
pub mod quiet;
pub mod receipt;
pub mod recipients;
pub mod recommend;
pub mod rota;
pub mod routing;
pub mod standing_check;
pub mod subscription;
pub mod suppression;
pub mod team;
pub mod template;
pub mod timing;
pub mod trial;

use events::experiment::Assignment;
use events::notification::{
    Acted, Completed, DeliveryEnded, FallbackStarted, Held, InboxState, Mode, NotRepeated,
    NotificationEvent, Outcome, Outdated, Read, Requested, Role, Route, Routed, SkipReason,
    Skipped,
};
use events::preference::Category;
use events::{Moment, Personal};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;
use routing::{Decision, FALLBACK_EXPIRES_MS, FALLBACK_MS, is_choice};

/// The decision on how the desk continues with a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Decided(Decision),
    /// The ticket does not wait for the recipient of the notification, so no message is needed. The text
    /// contains the reason.
    NotNeeded(String),
}

/// The commands that change one notification.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Request(Box<Requested>, Next),
    /// Ends the hold of a notification that waited until the recipient is available. The member `next` contains the
    /// new decision. Before the end of the hold, the command does nothing.
    Release {
        next: Next,
        at: Moment,
    },
    /// Stores that one delivery (one message to the person) of the notification has ended.
    EndDelivery(DeliveryEnded),
    /// Completes the notification even if some of its deliveries (messages to the person) have not ended. If no account
    /// has accepted the message, the next account of the fallback list sends it instead. Before the time limit of the
    /// deliveries, the command does nothing.
    Expire {
        at: Moment,
        /// The reason why the fallback list is not used any more, for example because the fact is not true any more.
        obstacle: Option<NotRepeated>,
    },
    /// Sends the message through the next account of the fallback list, if no account has accepted it in time. Before
    /// the time limit, the command does nothing.
    FallBack {
        at: Moment,
        /// The reason why a message that came back is not sent again. It has no effect if no message came back.
        obstacle: Option<NotRepeated>,
    },
    /// Stores that an accepted message came back. The next account of the fallback list then sends it once.
    Bounce(bounce::Report),
    /// Stores that the messages show an old state of the ticket. A state that is not later than the known one adds no
    /// event.
    MarkOutdated(Outdated),
    /// Changes the state of the notification in the inbox. A change that has no effect adds no event.
    ChangeInbox(inbox::Change),
    /// Ends the snooze of the notification. Before the end that the person chose, the command does nothing.
    EndSnooze {
        at: Moment,
    },
    /// Stores that the recipient used an action of the notification, such as an approval. A repetition does nothing.
    Act(Acted),
    /// Stores that the recipient opened the ticket from the link in a message. The command does nothing for another person,
    /// and if the notification is read already.
    Visit(Read),
}

/// The reasons why the desk rejects a command for a notification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the notification is already requested")]
    AlreadyRequested,
    #[error("the notification is not requested")]
    NotRequested,
    #[error("a snooze must end in the future, and at most {days} days from now", days = inbox::SNOOZE_DAYS_MAX)]
    SnoozeOutOfRange,
}

/// The phase of a notification, such as held during quiet hours or completed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The notification does not exist, or only its request is stored.
    #[default]
    New,
    Held(Held),
    /// At least one delivery (message to the person) of the notification has not ended.
    Sending,
    Completed(Completed),
}

/// The state of one notification, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    pub requested: Option<Requested>,
    pub phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<Routed>,
    /// The deliveries (messages to the person) that have ended. The list is in the order in which the
    /// deliveries ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<DeliveryEnded>,
    /// How far the work is to which the notification refers. The value is absent if no person has acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outdated: Option<Outdated>,
    /// The state of the notification in the inbox.
    #[serde(default)]
    pub inbox: InboxState,
    /// The end of the snooze. The value is absent if the notification is not snoozed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snoozed_until: Option<Moment>,
    /// The end of the last snooze that ended by itself. The inbox sorts the notification by this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<Moment>,
    /// The names of the actions that the recipient used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acted: Vec<String>,
    /// The names of the channel accounts whose messages contained these actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answered_through: Vec<String>,
    /// The names of the streams of the deliveries whose messages came back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounced: Vec<String>,
    /// True if another account got the message because a message came back. This happens at most once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_resent: bool,
    /// The variant of an experiment that decided the time of the messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Assignment>,
    /// The time at which the recipient first read the notification or used an action of it. Only cards (stored summaries)
    /// contain the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Moment>,
}

impl Decider for Notification {
    type Command = Command;
    type Event = NotificationEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Request(..))
    }

    fn decide(
        &self,
        command: &Command,
        (): &(),
    ) -> Result<Vec<NotificationEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match (command, self.requested.is_some()) {
            (Command::Request(..), true) => return reject(Rejection::AlreadyRequested),
            (Command::Request(..), false) | (_, true) => {}
            (_, false) => return reject(Rejection::NotRequested),
        }
        Ok(match (command, &self.phase) {
            (Command::Request(requested, next), _) => {
                let mut events = vec![(**requested).clone().into()];
                events.extend(follow(next));
                events
            }
            (Command::Release { next, at }, Phase::Held(held)) if *at >= held.until => follow(next),
            (Command::EndDelivery(ended), _) => self.end_delivery(ended),
            (Command::Expire { at, obstacle }, Phase::Sending) if self.expires() <= *at => {
                self.expire(*obstacle)
            }
            (Command::FallBack { at, obstacle }, Phase::Sending) => self.fall_back(*at, *obstacle),
            (Command::Bounce(report), _) => self.bounce(report),
            (Command::MarkOutdated(outdated), _) if self.is_outdated_by(outdated) => {
                vec![outdated.clone().into()]
            }
            (Command::ChangeInbox(change), _) => return self.change_inbox(change),
            (Command::EndSnooze { at }, _) => self.end_snooze(*at),
            (Command::Act(acted), _) if !self.acted.contains(&acted.action) => {
                vec![acted.clone().into()]
            }
            (Command::Visit(read), _) if self.is_unread_by(&read.by) => vec![read.clone().into()],
            (
                Command::Release { .. }
                | Command::Expire { .. }
                | Command::FallBack { .. }
                | Command::MarkOutdated(_)
                | Command::Act(_)
                | Command::Visit(_),
                _,
            ) => Vec::new(),
        })
    }

    fn evolve(&mut self, event: &NotificationEvent) {
        match event {
            NotificationEvent::Requested(requested) => self.requested = Some(requested.clone()),
            NotificationEvent::Held(held) => {
                self.phase = Phase::Held(held.clone());
                self.assign(held.experiment.as_ref());
            }
            NotificationEvent::Routed(routed) => {
                self.phase = Phase::Sending;
                self.assign(routed.experiment.as_ref());
                self.routed = Some(routed.clone());
            }
            NotificationEvent::FallbackStarted(started) => self.start_fallback(started),
            NotificationEvent::DeliveryEnded(ended) => self.ended.push(ended.clone()),
            NotificationEvent::Bounced(bounced) => self.come_back(bounced),
            NotificationEvent::Completed(completed) => {
                self.phase = Phase::Completed(completed.clone());
            }
            NotificationEvent::Read(_) => self.enter_inbox_state(InboxState::Read, None),
            NotificationEvent::Outdated(outdated) => self.outdated = Some(outdated.clone()),
            NotificationEvent::InboxChanged(changed) => {
                if changed.by.is_none() {
                    self.returned = self.snoozed_until;
                }
                self.enter_inbox_state(changed.to, changed.until);
            }
            NotificationEvent::Acted(acted) => {
                self.acted.push(acted.action.clone());
                if !acted.account.is_empty() && !self.answered_through.contains(&acted.account) {
                    self.answered_through.push(acted.account.clone());
                }
            }
        }
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        let requested = self.requested.iter_mut();
        requested.flat_map(events::Personals::personals).collect()
    }
}

/// Returns the events that store the decision `next`. If no channel account (a configured sender of messages)
/// can send a message, the last event completes the notification.
fn follow(next: &Next) -> Vec<NotificationEvent> {
    match next {
        Next::NotNeeded(reason) => vec![
            Completed {
                outcome: Outcome::NotNeeded,
                reason: reason.clone(),
            }
            .into(),
        ],
        Next::Decided(Decision::Hold(held)) => vec![held.clone().into()],
        Next::Decided(Decision::Send(routed)) => {
            let mut events = vec![routed.clone().into()];
            if routed.routes.is_empty() {
                let is_off = |skipped: &Skipped| is_choice(skipped.reason);
                let reason = if routed.skipped.is_empty() {
                    "the policy names no channel account"
                } else if routed.skipped.iter().any(is_off) {
                    "the preferences or the policy allow no message"
                } else {
                    "no channel account can reach the person"
                };
                events.push(completed([], reason).into());
            }
            events
        }
    }
}

impl Notification {
    /// Returns true if the notification is held during quiet hours, or if at least one delivery (message to
    /// the person) has not ended.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Held(_) | Phase::Sending)
    }

    /// Returns true if no message was sent yet, because the notification is held, or because digests collect it.
    pub fn is_waiting(&self) -> bool {
        match &self.phase {
            Phase::Held(_) => true,
            Phase::Sending => {
                let mut routes = self.routed.iter().flat_map(|routed| &routed.routes);
                self.ended.is_empty() && routes.all(|route| !route.mode.is_immediate())
            }
            Phase::New | Phase::Completed(_) => false,
        }
    }

    /// Returns true if the inbox of the recipient shows the notification. The inbox shows every notification
    /// that was requested, except a notification that was not needed.
    pub fn is_in_inbox(&self) -> bool {
        match &self.phase {
            Phase::New => false,
            Phase::Completed(completed) => completed.outcome != Outcome::NotNeeded,
            Phase::Held(_) | Phase::Sending => true,
        }
    }

    /// Stores the variant of an experiment. The first variant stays, because the notification was measured with it.
    fn assign(&mut self, assignment: Option<&Assignment>) {
        if self.experiment.is_none() {
            self.experiment = assignment.cloned();
        }
    }

    /// Returns the stream of the experiment that measures the notification. Returns `None` if no running experiment had
    /// assigned the recipient to a group.
    pub fn measured_by(&self) -> Option<&str> {
        let assignment = self.experiment.as_ref()?;
        let is_measured = !assignment.is_applied && !assignment.experiment.is_empty();
        is_measured.then_some(assignment.experiment.as_str())
    }

    fn expires(&self) -> Moment {
        self.routed
            .as_ref()
            .map_or(Moment(0), |routed| routed.expires)
    }

    /// Returns the events that store the end of one delivery (one message to the person). If all deliveries of
    /// the notification have then ended, the last event completes the notification. Returns no events if this
    /// end is already stored, or if the notification has no such delivery.
    fn end_delivery(&self, ended: &DeliveryEnded) -> Vec<NotificationEvent> {
        let routes = self.routed.iter().flat_map(|routed| &routed.routes);
        let is_expected = routes.clone().any(|route| route.account == ended.account);
        let has_ended = |account: &String| self.ended.iter().any(|one| one.account == *account);
        if !is_expected || has_ended(&ended.account) {
            return Vec::new();
        }
        let mut events: Vec<NotificationEvent> = vec![ended.clone().into()];
        let is_last = routes
            .filter(|route| route.account != ended.account)
            .all(|route| has_ended(&route.account));
        if is_last && self.phase == Phase::Sending {
            let all = || self.ended.iter().chain([ended]);
            let is_accepted = all().any(|one| one.is_accepted);
            let has_failed = all().any(|one| !one.is_accepted && !one.is_dropped);
            let falls_back = has_failed && !is_accepted;
            match self.next_fallback(true).filter(|_| falls_back) {
                Some(started) => events.push(started.into()),
                None => events.push(completed(all(), "no channel accepted a message").into()),
            }
        }
        events
    }

    /// Returns the event that starts the next fallback. Returns no event before the time limit, if an account has accepted
    /// the message, or if no account is left.
    fn fall_back(&self, at: Moment, obstacle: Option<NotRepeated>) -> Vec<NotificationEvent> {
        let due = self.routed.as_ref().and_then(|routed| routed.fallback_due);
        let is_accepted = self.ended.iter().any(|ended| ended.is_accepted);
        if due.is_none_or(|due| due > at) || is_accepted {
            return Vec::new();
        }
        if let Some(obstacle) = obstacle.filter(|_| self.is_after_bounce()) {
            return vec![bounce::completed(obstacle).into()];
        }
        let started = self.next_fallback(false);
        started.into_iter().map(NotificationEvent::from).collect()
    }

    /// Returns the events after the time limit of the deliveries. If no account has accepted the message, the next account
    /// of the fallback list sends it. Otherwise, the notification is completed.
    fn expire(&self, obstacle: Option<NotRepeated>) -> Vec<NotificationEvent> {
        let is_wanted = obstacle.is_none() && self.can_fall_back();
        match self.next_fallback(false).filter(|_| is_wanted) {
            Some(started) => vec![started.into()],
            None => {
                vec![completed(&self.ended, "the channels did not answer in time").into()]
            }
        }
    }

    /// Returns true if another account sends the message after the failure of all deliveries that have not ended: no
    /// account has accepted the message, and an account of the fallback list is left.
    pub fn can_fall_back(&self) -> bool {
        let mut ended = self.ended.iter();
        let routed = self.routed.as_ref();
        self.phase == Phase::Sending
            && routed.is_some_and(|routed| !routed.fallback.is_empty())
            && !ended.any(|one| one.is_accepted)
    }

    /// Returns the event that sends the message through the first account of the fallback list. Returns `None` if the list
    /// is empty.
    fn next_fallback(&self, is_after_failure: bool) -> Option<FallbackStarted> {
        let routed = self.routed.as_ref()?;
        let (first, others) = routed.fallback.split_first()?;
        // After a message that came back, only the failure of the next message starts another one.
        let is_after_bounce = self.is_after_bounce();
        let is_timed = !others.is_empty() && !is_after_bounce;
        let due = routed.fallback_due.filter(|_| is_timed);
        Some(FallbackStarted {
            account: first.account.clone(),
            channel: first.channel.clone(),
            is_after_failure,
            is_after_bounce,
            due: due.map(|due| due.plus_ms(FALLBACK_MS)),
            expires: Some(routed.expires.plus_ms(FALLBACK_EXPIRES_MS)),
        })
    }

    fn start_fallback(&mut self, started: &FallbackStarted) {
        if let Some(routed) = &mut self.routed {
            routed.fallback.retain(|one| one.account != started.account);
            routed.fallback_due = started.due;
            routed.expires = started.expires.unwrap_or(routed.expires);
            routed.routes.push(Route {
                account: started.account.clone(),
                channel: started.channel.clone(),
                mode: Mode::Immediate,
                clause: None,
            });
        }
    }

    /// Returns true if the notification refers to work of its recipient, and if the work is further than the known
    /// state.
    fn is_outdated_by(&self, outdated: &Outdated) -> bool {
        let refers_to_work = self
            .requested
            .as_ref()
            .is_some_and(|one| one.fact.is_work());
        let known = self.outdated.as_ref().map(|known| known.to);
        refers_to_work && self.is_in_inbox() && known < Some(outdated.to)
    }

    /// Returns true if no channel delivered a message of the notification, also if no channel could reach the person or if
    /// the person switched all channels off, and if the notification is urgent or the messages of two accounts came back.
    /// The operators must then reach the person in another way. A desk whose policy names no channel account has only the
    /// inbox, so this is no failure. Notifications of operators are excluded, because a notification about a notification
    /// would not end.
    pub fn is_unreached(&self) -> bool {
        let is_repeated = matches!(
            &self.phase,
            Phase::Completed(one) if bounce::is_repeated(&one.reason)
        );
        let is_reported = self.requested.as_ref().is_some_and(|requested| {
            (requested.is_urgent || is_repeated) && requested.role != Role::Operator
        });
        let has_accounts = self
            .routed
            .as_ref()
            .is_some_and(|routed| !routed.routes.is_empty() || !routed.skipped.is_empty());
        let is_in_inbox_only = matches!(
            &self.phase,
            Phase::Completed(one)
                if one.outcome == Outcome::InboxOnly && !bounce::is_settled(&one.reason)
        );
        // A person who does not want messages that only inform loses nothing.
        let is_declined = self.routed.as_ref().is_some_and(|routed| {
            routed.routes.is_empty() && routed.skipped.iter().any(|one| is_choice(one.reason))
        });
        let only_informs = self.requested.as_ref().is_some_and(|requested| {
            matches!(
                requested.fact.category(),
                Category::Updated | Category::Commented | Category::Resolved
            )
        });
        is_reported && has_accounts && is_in_inbox_only && !(is_declined && only_informs)
    }

    /// Returns true if no message was sent because the recipient has no address that works for any of the channel
    /// accounts. If the person or the policy switched a channel off, or if the accounts are the only problem, the result
    /// is false. Notifications of operators are excluded, see [`Notification::is_unreached`].
    pub fn lacks_address(&self) -> bool {
        let (Some(requested), Some(routed)) = (&self.requested, &self.routed) else {
            return false;
        };
        let is_in_inbox_only = matches!(
            &self.phase,
            Phase::Completed(one) if one.outcome == Outcome::InboxOnly
        );
        let is_of_address = |skipped: &Skipped| {
            matches!(
                skipped.reason,
                SkipReason::NoAddress | SkipReason::Suppressed
            )
        };
        requested.role != Role::Operator
            && is_in_inbox_only
            && routed.routes.is_empty()
            && routed.skipped.iter().any(is_of_address)
            && !routed
                .skipped
                .iter()
                .any(|one| is_choice(one.reason) || one.reason == SkipReason::Perished)
    }
}

/// Returns the result of a notification after the deliveries in `ended`. If a provider accepted at least one
/// message, the outcome is `Accepted`. Otherwise, the outcome is `InboxOnly` with the reason `failure`.
fn completed<'a>(ended: impl IntoIterator<Item = &'a DeliveryEnded>, failure: &str) -> Completed {
    if ended.into_iter().any(|ended| ended.is_accepted) {
        Completed {
            outcome: Outcome::Accepted,
            reason: String::new(),
        }
    } else {
        Completed {
            outcome: Outcome::InboxOnly,
            reason: failure.to_owned(),
        }
    }
}

/// Defines in which lists of the view `notification` a notification appears. There are lists of all
/// notifications, of the open notifications, and of the notifications that only the inbox shows. Each ticket
/// has a list of its notifications. Each person has the lists of the inbox, see [`inbox`].
impl Card for Notification {
    type Event = NotificationEvent;
    const VIEW: &'static str = "notification";
    const COUNTED: &'static [&'static str] = inbox::LISTS;

    fn fold(&mut self, envelope: &Envelope<NotificationEvent>) {
        self.evolve(&envelope.event);
        let is_answer = matches!(
            envelope.event,
            NotificationEvent::Read(_) | NotificationEvent::Acted(_)
        );
        if is_answer && self.answered_at.is_none() {
            self.answered_at = Some(envelope.happened_at());
        }
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(requested) = &self.requested else {
            return Vec::new();
        };
        let age = format!("{:016}", requested.at.0);
        let mut rows = vec![
            ("notification", age.clone()),
            ("ticket", format!("{}|{age}", requested.ticket)),
        ];
        if let Some(experiment) = self.measured_by() {
            rows.push(("experiment", format!("{experiment}|{age}")));
        }
        if self.is_open() {
            rows.push(("open", age.clone()));
        }
        if matches!(&self.phase, Phase::Completed(one) if one.outcome == Outcome::InboxOnly) {
            rows.push(("inbox_only", age.clone()));
        }
        rows.extend(self.inbox_rows());
        rows
    }

    /// Returns the category of the notification and its urgency, and the number of the ticket. The lists of the inbox
    /// are filtered by these values.
    fn facets(&self) -> String {
        self.inbox_facets()
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        Decider::personals(self)
    }
}

#[cfg(test)]
mod tests {
    use events::delivery::FailureClass;
    use events::notification::Fact;
    use events::person::QuietHours;

    use super::*;
    use crate::decider::fold;

    fn requested() -> Requested {
        Requested {
            person: "p-1".into(),
            fact: Fact::ApprovalNeeded,
            ticket: "REQ1".into(),
            role: events::notification::Role::Processor,
            node: Some(events::NodeId(3)),
            name: "审批".into(),
            round: 1,
            cause: "ticket-REQ1:5".into(),
            at: Moment(5),
            priority: String::new(),
            is_urgent: false,
            is_critical: false,
            accounts: Vec::new(),
            subscription: None,
            number: None,
        }
    }

    fn held() -> Held {
        Held {
            until: Moment(1_000),
            because: None,
            quiet: Some(QuietHours {
                from: "22:00".into(),
                to: "07:00".into(),
            }),
            zone: "Asia/Shanghai".into(),
            presence_limit: None,
            experiment: None,
        }
    }

    fn routed(accounts: &[&str]) -> Routed {
        let route = |account: &&str| Route {
            account: (*account).into(),
            channel: "email".into(),
            mode: events::notification::Mode::Immediate,
            clause: None,
        };
        Routed {
            routes: accounts.iter().map(route).collect(),
            skipped: Vec::new(),
            fallback: Vec::new(),
            fallback_due: None,
            expires: Moment(9_000),
            priority: None,
            experiment: None,
        }
    }

    /// Returns a routing with the account `mail` and two accounts in the fallback list.
    fn with_fallback(fallback_due: Option<Moment>) -> Routed {
        Routed {
            fallback: routed(&["robot", "sms"]).routes,
            fallback_due,
            ..routed(&["mail"])
        }
    }

    /// Returns the start of an account of the fallback list, in which `robot` is the first account.
    fn fallback(account: &str, is_after_failure: bool, due: Option<Moment>) -> FallbackStarted {
        let number = if account == "robot" { 1 } else { 2 };
        FallbackStarted {
            account: account.into(),
            channel: "email".into(),
            is_after_failure,
            is_after_bounce: false,
            due,
            expires: Some(Moment(9_000).plus_ms(number * FALLBACK_EXPIRES_MS)),
        }
    }

    fn ended(account: &str, is_accepted: bool) -> DeliveryEnded {
        DeliveryEnded {
            account: account.into(),
            delivery: format!("delivery-{account}"),
            is_accepted,
            class: (!is_accepted).then_some(FailureClass::Permanent),
            code: String::new(),
            reason: String::new(),
            is_dropped: false,
        }
    }

    fn ended_with(outcome: Outcome, reason: &str) -> NotificationEvent {
        Completed {
            outcome,
            reason: reason.into(),
        }
        .into()
    }

    fn send(routed: Routed) -> Next {
        Next::Decided(Decision::Send(routed))
    }

    fn check(given: Vec<NotificationEvent>, command: Command, expected: Vec<NotificationEvent>) {
        assert_eq!(
            fold::<Notification>(&given).decide(&command, &()),
            Ok(expected)
        );
    }

    fn request(next: Next) -> Command {
        Command::Request(Box::new(requested()), next)
    }

    #[test]
    fn a_request_contains_its_decision_in_the_same_commit() {
        let with = |event: NotificationEvent| vec![requested().into(), event];
        let two = routed(&["mail", "robot"]);
        check(Vec::new(), request(send(two.clone())), with(two.into()));
        let hold = Next::Decided(Decision::Hold(held()));
        check(Vec::new(), request(hold), with(held().into()));
        let not_needed = Next::NotNeeded("the node ended".into());
        let event = ended_with(Outcome::NotNeeded, "the node ended");
        check(Vec::new(), request(not_needed), with(event));
    }

    #[test]
    fn a_notification_without_a_route_is_in_the_inbox_only() {
        let none = routed(&[]);
        let reason = "the policy names no channel account";
        let expected = vec![
            requested().into(),
            none.clone().into(),
            ended_with(Outcome::InboxOnly, reason),
        ];
        check(Vec::new(), request(send(none)), expected);
        let skipped = Routed {
            skipped: vec![Skipped {
                account: "mail".into(),
                reason: SkipReason::NoAddress,
                clause: None,
            }],
            ..routed(&[])
        };
        let reason = "no channel account can reach the person";
        let expected = vec![
            requested().into(),
            skipped.clone().into(),
            ended_with(Outcome::InboxOnly, reason),
        ];
        check(Vec::new(), request(send(skipped)), expected);
    }

    #[test]
    fn a_held_notification_is_released_at_its_time_only() {
        let given = || vec![requested().into(), held().into()];
        let release = |at| Command::Release {
            next: send(routed(&["mail"])),
            at: Moment(at),
        };
        check(given(), release(999), Vec::new());
        check(given(), release(1_000), vec![routed(&["mail"]).into()]);
        let mut released = given();
        released.push(routed(&["mail"]).into());
        check(released, release(1_001), Vec::new());
    }

    #[test]
    fn a_held_or_collected_notification_waits() {
        let is_waiting = |event: NotificationEvent| {
            fold::<Notification>(&[requested().into(), event]).is_waiting()
        };
        assert!(is_waiting(held().into()));
        assert!(!is_waiting(routed(&["mail"]).into()));
        let mut collected = routed(&["mail"]);
        collected.routes[0].mode = Mode::Digest {
            digest: "digest-1".into(),
            due: Moment(600_000),
            waits: true,
        };
        assert!(is_waiting(collected.clone().into()));
        let history: [NotificationEvent; 3] = [
            requested().into(),
            collected.into(),
            ended("mail", true).into(),
        ];
        assert!(!fold::<Notification>(&history).is_waiting());
    }

    #[test]
    fn the_last_delivery_completes_the_notification() {
        let given = || vec![requested().into(), routed(&["mail", "robot"]).into()];
        let refused = ended("robot", false);
        check(
            given(),
            Command::EndDelivery(refused.clone()),
            vec![refused.clone().into()],
        );
        let mut one_ended = given();
        one_ended.push(refused.into());
        let accepted = ended("mail", true);
        check(
            one_ended.clone(),
            Command::EndDelivery(accepted.clone()),
            vec![accepted.into(), ended_with(Outcome::Accepted, "")],
        );
        let failed = ended("mail", false);
        let reason = "no channel accepted a message";
        check(
            one_ended,
            Command::EndDelivery(failed.clone()),
            vec![failed.into(), ended_with(Outcome::InboxOnly, reason)],
        );
    }

    #[test]
    fn each_account_of_the_fallback_list_is_used_once_after_a_failure() {
        let mut given = vec![requested().into(), with_fallback(None).into()];
        for (failed, next) in [("mail", "robot"), ("robot", "sms")] {
            let failure = ended(failed, false);
            let started = fallback(next, true, None);
            let expected: Vec<NotificationEvent> = vec![failure.clone().into(), started.into()];
            check(
                given.clone(),
                Command::EndDelivery(failure),
                expected.clone(),
            );
            given.extend(expected);
        }
        let last = ended("sms", false);
        let reason = "no channel accepted a message";
        let expected = vec![last.clone().into(), ended_with(Outcome::InboxOnly, reason)];
        check(given, Command::EndDelivery(last), expected);
    }

    #[test]
    fn a_message_that_a_digest_dropped_starts_no_fallback() {
        let dropped = |account| DeliveryEnded {
            class: None,
            is_dropped: true,
            ..ended(account, false)
        };
        let given = vec![requested().into(), with_fallback(None).into()];
        let reason = "no channel accepted a message";
        let expected = vec![
            dropped("mail").into(),
            ended_with(Outcome::InboxOnly, reason),
        ];
        check(given, Command::EndDelivery(dropped("mail")), expected);
        // Another account has failed, so the fallback replaces it.
        let two = Routed {
            fallback: routed(&["sms"]).routes,
            ..routed(&["mail", "robot"])
        };
        for (first, second) in [
            (ended("robot", false), dropped("mail")),
            (dropped("mail"), ended("robot", false)),
        ] {
            let given = vec![requested().into(), two.clone().into(), first.into()];
            let started = FallbackStarted {
                expires: Some(Moment(9_000).plus_ms(FALLBACK_EXPIRES_MS)),
                ..fallback("sms", true, None)
            };
            let expected = vec![second.clone().into(), started.into()];
            check(given, Command::EndDelivery(second), expected);
        }
    }

    #[test]
    fn an_urgent_message_falls_back_in_time_until_an_account_accepts_it() {
        let due = Moment(120_000);
        let mut given = vec![requested().into(), with_fallback(Some(due)).into()];
        let fall_back = |at| Command::FallBack {
            at: Moment(at),
            obstacle: None,
        };
        check(given.clone(), fall_back(119_999), Vec::new());
        let second = due.plus_ms(FALLBACK_MS);
        let started: NotificationEvent = fallback("robot", false, Some(second)).into();
        check(given.clone(), fall_back(120_000), vec![started.clone()]);
        given.push(started);
        check(given.clone(), fall_back(120_001), Vec::new());
        let last: NotificationEvent = fallback("sms", false, None).into();
        check(given.clone(), fall_back(second.0), vec![last]);
        given.push(ended("mail", true).into());
        check(given, fall_back(second.0), Vec::new());
    }

    #[test]
    fn only_an_urgent_notification_that_no_channel_accepted_is_unreached() {
        let failed = || {
            vec![
                routed(&["mail"]).into(),
                ended_with(Outcome::InboxOnly, "x"),
            ]
        };
        let unreached = |requested: Requested, events: Vec<NotificationEvent>| {
            let mut history: Vec<NotificationEvent> = vec![requested.into()];
            history.extend(events);
            fold::<Notification>(&history).is_unreached()
        };
        let urgent = || Requested {
            is_urgent: true,
            ..requested()
        };
        assert!(unreached(urgent(), failed()));
        assert!(!unreached(requested(), failed()));
        let of_operator = Requested {
            role: Role::Operator,
            ..urgent()
        };
        assert!(!unreached(of_operator, failed()));
        for reason in [SkipReason::NoAddress, SkipReason::ChannelOff] {
            let untried = vec![
                skipped(&[reason]).into(),
                ended_with(Outcome::InboxOnly, "x"),
            ];
            assert!(unreached(urgent(), untried), "{reason:?}");
        }
        let informing = Requested {
            fact: Fact::Progressed,
            ..urgent()
        };
        for (reason, expected) in [
            (SkipReason::NoAddress, true),
            (SkipReason::ChannelOff, false),
        ] {
            let untried = vec![
                skipped(&[reason]).into(),
                ended_with(Outcome::InboxOnly, "x"),
            ];
            assert_eq!(unreached(informing.clone(), untried), expected);
        }
        // The policy names no account, so the inbox is the only channel.
        let without_accounts = vec![routed(&[]).into(), ended_with(Outcome::InboxOnly, "x")];
        assert!(!unreached(urgent(), without_accounts));
        let accepted = vec![routed(&["mail"]).into(), ended_with(Outcome::Accepted, "")];
        assert!(!unreached(urgent(), accepted));
    }

    /// Returns a routing without a route. Each account is skipped for one of the reasons.
    fn skipped(reasons: &[SkipReason]) -> Routed {
        let skip = |reason: &SkipReason| Skipped {
            account: "mail".into(),
            reason: *reason,
            clause: None,
        };
        Routed {
            skipped: reasons.iter().map(skip).collect(),
            ..routed(&[])
        }
    }

    #[test]
    fn only_a_person_without_a_working_address_lacks_one() {
        use SkipReason::{ChannelOff, Disabled, NoAddress, Perished, Suppressed};
        let lacks = |role, reasons: &[SkipReason]| {
            let requested = Requested {
                role,
                ..requested()
            };
            let history: [NotificationEvent; 3] = [
                requested.into(),
                skipped(reasons).into(),
                ended_with(Outcome::InboxOnly, "x"),
            ];
            fold::<Notification>(&history).lacks_address()
        };
        for (reasons, expected) in [
            (&[NoAddress][..], true),
            (&[Suppressed][..], true),
            (&[NoAddress, Disabled][..], true),
            (&[Disabled][..], false),
            (&[NoAddress, ChannelOff][..], false),
            (&[Perished, NoAddress][..], false),
            (&[][..], false),
        ] {
            assert_eq!(lacks(Role::Processor, reasons), expected, "{reasons:?}");
        }
        assert!(!lacks(Role::Operator, &[NoAddress]));
        let sent: [NotificationEvent; 3] = [
            requested().into(),
            routed(&["mail"]).into(),
            ended_with(Outcome::InboxOnly, "x"),
        ];
        assert!(!fold::<Notification>(&sent).lacks_address());
    }

    #[test]
    fn an_unexpected_or_repeated_end_of_a_delivery_adds_no_event() {
        let mut given = vec![requested().into(), routed(&["mail", "robot"]).into()];
        check(
            given.clone(),
            Command::EndDelivery(ended("sms", true)),
            Vec::new(),
        );
        given.push(ended("mail", true).into());
        check(
            given,
            Command::EndDelivery(ended("mail", false)),
            Vec::new(),
        );
    }

    #[test]
    fn the_wait_for_the_channels_ends() {
        let mut given = vec![requested().into(), routed(&["mail", "robot"]).into()];
        let expire = |at| Command::Expire {
            at: Moment(at),
            obstacle: None,
        };
        check(given.clone(), expire(8_999), Vec::new());
        let reason = "the channels did not answer in time";
        let expected = vec![ended_with(Outcome::InboxOnly, reason)];
        check(given.clone(), expire(9_000), expected.clone());
        given.push(ended("mail", true).into());
        check(
            given.clone(),
            expire(9_000),
            vec![ended_with(Outcome::Accepted, "")],
        );
        given.extend(expected);
        check(given.clone(), expire(9_001), Vec::new());
        let late = ended("robot", true);
        check(given, Command::EndDelivery(late.clone()), vec![late.into()]);
    }

    #[test]
    fn the_fallback_list_is_used_at_the_end_of_the_wait() {
        let mut given = vec![requested().into(), with_fallback(None).into()];
        let expire = |at, obstacle| Command::Expire {
            at: Moment(at),
            obstacle,
        };
        check(given.clone(), expire(8_999, None), Vec::new());
        let reason = "the channels did not answer in time";
        check(
            given.clone(),
            expire(9_000, Some(NotRepeated::NotNeeded)),
            vec![ended_with(Outcome::InboxOnly, reason)],
        );
        let started: NotificationEvent = fallback("robot", false, None).into();
        check(given.clone(), expire(9_000, None), vec![started.clone()]);
        given.push(started);
        // The message of the robot has its own time.
        check(given.clone(), expire(9_001, None), Vec::new());
        let next = 9_000 + FALLBACK_EXPIRES_MS;
        let last: NotificationEvent = fallback("sms", false, None).into();
        check(given.clone(), expire(next, None), vec![last]);
        given.push(ended("robot", true).into());
        check(
            given,
            expire(next, None),
            vec![ended_with(Outcome::Accepted, "")],
        );
    }

    #[test]
    fn a_notification_can_fall_back_until_an_account_accepts_it() {
        let can = |events: Vec<NotificationEvent>| {
            let mut history: Vec<NotificationEvent> = vec![requested().into()];
            history.extend(events);
            fold::<Notification>(&history).can_fall_back()
        };
        let open = || -> NotificationEvent { with_fallback(None).into() };
        assert!(can(vec![open()]));
        assert!(can(vec![open(), ended("mail", false).into()]));
        assert!(!can(vec![open(), ended("mail", true).into()]));
        assert!(!can(vec![routed(&["mail"]).into()]), "no list");
        assert!(!can(vec![held().into()]));
        let completed = ended_with(Outcome::InboxOnly, "x");
        assert!(!can(vec![open(), completed]));
    }

    #[test]
    fn an_action_is_used_once() {
        let acted = |action: &str| Acted {
            action: action.into(),
            by: "p-1".into(),
            account: "mail".into(),
        };
        let act = |action| Command::Act(acted(action));
        let mut given = vec![requested().into(), routed(&["mail"]).into()];
        let expected = vec![acted("acknowledge").into()];
        check(given.clone(), act("acknowledge"), expected.clone());
        given.extend(expected);
        check(given.clone(), act("acknowledge"), Vec::new());
        check(given.clone(), act("resolve"), vec![acted("resolve").into()]);
        given.push(acted("resolve").into());
        let state = fold::<Notification>(&given);
        assert_eq!(state.answered_through, ["mail"]);
    }

    #[test]
    fn a_notification_is_requested_once() {
        let history: [NotificationEvent; 2] = [requested().into(), held().into()];
        let rejected = Err(DecideError::Rejected(Rejection::AlreadyRequested));
        let repeated = request(send(routed(&["mail"])));
        assert_eq!(
            fold::<Notification>(&history).decide(&repeated, &()),
            rejected
        );
    }

    #[test]
    fn lists_follow_the_phase() {
        let names = |history: &[NotificationEvent]| -> Vec<&str> {
            let card: Notification = fold(history);
            card.index().iter().map(|(name, _)| *name).collect()
        };
        let mut history = vec![requested().into(), held().into()];
        assert_eq!(
            names(&history),
            [
                "notification",
                "ticket",
                "open",
                "inbox",
                "unread",
                "unseen"
            ]
        );
        history.push(ended_with(Outcome::InboxOnly, "x"));
        assert_eq!(
            names(&history),
            [
                "notification",
                "ticket",
                "inbox_only",
                "inbox",
                "unread",
                "unseen"
            ]
        );
        let read = Read {
            by: "p-1".into(),
            account: String::new(),
        };
        history.push(read.into());
        assert_eq!(
            names(&history),
            ["notification", "ticket", "inbox_only", "inbox"]
        );
        let not_needed = [requested().into(), ended_with(Outcome::NotNeeded, "x")];
        assert_eq!(names(&not_needed), ["notification", "ticket"]);
        assert_eq!(names(&[]), [""; 0]);
    }
}
