//! Measures how notifications were delivered and answered in a period. The events after the period are not known to the
//! meter, so the figures of a past period never change.

use std::collections::{BTreeMap, BTreeSet};

use events::delivery::{DeliveryEvent, FailureClass, Receipt};
use events::notification::{Fact, NotificationEvent, Outcome};
use events::preference::Category;
use events::ticket::TicketEvent;
use events::{Moment, Origin, PersonId, TicketSn};

use super::survival::{Wait, percentile};
use crate::envelope::Envelope;

/// The channel of notifications that no channel account accepted.
pub const INBOX: &str = "inbox";

/// How a person answered a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// With a link or a button in the message.
    Link,
    Chat,
    Mail,
    /// On a page of the desk, or through another program.
    Desk,
}

impl By {
    /// Returns the name of the way, such as `link`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Chat => "chat",
            Self::Mail => "mail",
            Self::Desk => "desk",
        }
    }

    fn of(origin: Origin, is_action: bool) -> Self {
        match origin {
            Origin::Chat => Self::Chat,
            Origin::Mail => Self::Mail,
            _ if is_action => Self::Link,
            _ => Self::Desk,
        }
    }
}

/// One notification of the period.
#[derive(Clone, Debug)]
struct Notice {
    person: PersonId,
    at: Moment,
    /// True if the person must act because of the notification.
    asks: bool,
    is_held: bool,
    is_read: bool,
    outcome: Option<Outcome>,
    answer: Option<(Moment, By)>,
    /// The channels that accepted a message about the notification.
    accepted: BTreeSet<String>,
    /// True if at least one digest contains the notification.
    is_in_digest: bool,
}

/// One message of the period.
#[derive(Clone, Debug)]
struct Sent {
    account: String,
    channel: String,
    at: Moment,
    is_digest: bool,
    notifications: Vec<String>,
    is_postponed: bool,
    failed_attempts: u64,
    end: Option<Result<Moment, FailureClass>>,
}

/// Collects the notifications and messages that were requested in a period.
#[derive(Clone, Debug)]
pub struct NotificationMeter {
    from: Moment,
    to: Moment,
    notices: BTreeMap<String, Notice>,
    /// The streams of the notifications of each ticket and person that wait for an answer.
    waiting: BTreeMap<(TicketSn, PersonId), Vec<String>>,
    sent: BTreeMap<String, Sent>,
    fallbacks: BTreeMap<String, u64>,
    /// The numbers of notifications that were read by the link in a message, by account.
    visits: BTreeMap<String, u64>,
}

/// The figures of one channel account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountFigures {
    pub channel: String,
    pub requested: u64,
    pub accepted: u64,
    /// The numbers of failed messages by the class of the failure.
    pub failed: BTreeMap<&'static str, u64>,
    /// Messages that were neither accepted nor failed at the end of the period.
    pub open: u64,
    pub postponed: u64,
    pub failed_attempts: u64,
    /// Number of notifications for which the account was used because no other account accepted them.
    pub fallbacks: u64,
    /// Number of notifications that the person read by opening the ticket from the link in a message of the account.
    pub visits: u64,
    pub digests: u64,
    pub notifications_in_digests: u64,
    /// The times from the request of a message until a provider accepted it, in milliseconds.
    pub latency_p50_ms: Option<i64>,
    pub latency_p90_ms: Option<i64>,
}

impl AccountFigures {
    /// Number of failed messages.
    pub fn failed_all(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// The figures about answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub notifications: u64,
    /// Notifications that the person has read in the inbox, or answered.
    pub opened: u64,
    /// Notifications because of which the person must act. The following figures concern only them.
    pub asked: u64,
    pub answered: BTreeMap<&'static str, u64>,
    /// Notifications without an answer until the end of the period.
    pub unanswered: u64,
    /// The time until the first answer, in milliseconds, with the unanswered notifications. `None` if too many people have
    /// not answered.
    pub median_ms: Option<i64>,
    pub p90_ms: Option<i64>,
}

/// The figures of a period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub notifications: u64,
    pub accepted: u64,
    pub inbox_only: u64,
    pub not_needed: u64,
    pub open: u64,
    pub held: u64,
    pub in_digest: u64,
    pub people: u64,
    /// People who had to act and have answered nothing in the period.
    pub people_without_answer: u64,
    /// Notifications that the person has opened, or could have opened because a provider accepted them.
    pub opened_at_most: u64,
    pub accounts: BTreeMap<String, AccountFigures>,
    pub all: Answers,
    pub channels: BTreeMap<String, Answers>,
}

impl NotificationMeter {
    /// Creates a meter for the period after `from` until `to`.
    pub fn new(from: Moment, to: Moment) -> Self {
        Self {
            from,
            to,
            notices: BTreeMap::new(),
            waiting: BTreeMap::new(),
            sent: BTreeMap::new(),
            fallbacks: BTreeMap::new(),
            visits: BTreeMap::new(),
        }
    }

    /// Returns true if a commit of this time can change the figures.
    pub fn includes(&self, at: Moment) -> bool {
        at > self.from && at <= self.to
    }

    /// Number of notifications and messages in memory.
    pub fn len(&self) -> usize {
        self.notices.len() + self.sent.len()
    }

    /// Returns true if the period has no notifications and no messages yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn fold_notification(&mut self, envelope: &Envelope<NotificationEvent>) {
        let (stream, at) = (&envelope.stream, envelope.at);
        if let NotificationEvent::Requested(requested) = &envelope.event {
            let asks = asks(requested.fact);
            if asks {
                let key = (requested.ticket.clone(), requested.person.clone());
                self.waiting.entry(key).or_default().push(stream.clone());
            }
            let notice = Notice {
                person: requested.person.clone(),
                at,
                asks,
                is_held: false,
                is_read: false,
                outcome: None,
                answer: None,
                accepted: BTreeSet::new(),
                is_in_digest: false,
            };
            self.notices.insert(stream.clone(), notice);
            return;
        }
        let Some(notice) = self.notices.get_mut(stream) else {
            return;
        };
        match &envelope.event {
            NotificationEvent::Held(_) => notice.is_held = true,
            NotificationEvent::FallbackStarted(started) => {
                *self.fallbacks.entry(started.account.clone()).or_default() += 1;
            }
            NotificationEvent::Completed(completed) => notice.outcome = Some(completed.outcome),
            // Another account sends the message, so the notification is open again.
            NotificationEvent::Bounced(bounced) if bounced.next.is_some() => notice.outcome = None,
            NotificationEvent::Read(read) => {
                notice.is_read |= read.by == notice.person;
                if !read.account.is_empty() {
                    *self.visits.entry(read.account.clone()).or_default() += 1;
                }
            }
            NotificationEvent::Acted(acted) if acted.by == notice.person => {
                // The action itself is an event of the ticket, and can be stored before or after this event.
                let first = notice.answer.map_or(at, |(first, _)| first.min(at));
                notice.answer = Some((first, By::of(envelope.meta.origin, true)));
            }
            NotificationEvent::Requested(_)
            | NotificationEvent::Routed(_)
            | NotificationEvent::DeliveryEnded(_)
            | NotificationEvent::Bounced(_)
            | NotificationEvent::InboxChanged(_)
            | NotificationEvent::Outdated(_)
            | NotificationEvent::Acted(_) => {}
        }
    }

    pub fn fold_delivery(&mut self, envelope: &Envelope<DeliveryEvent>) {
        let at = envelope.at;
        if let DeliveryEvent::Requested(requested) = &envelope.event {
            let sent = Sent {
                account: requested.account.clone(),
                channel: requested.channel.clone(),
                at,
                is_digest: requested.digest.is_some(),
                notifications: requested.notifications().map(str::to_owned).collect(),
                is_postponed: false,
                failed_attempts: 0,
                end: None,
            };
            if sent.is_digest {
                for notification in &sent.notifications {
                    if let Some(notice) = self.notices.get_mut(notification) {
                        notice.is_in_digest = true;
                    }
                }
            }
            self.sent.insert(envelope.stream.clone(), sent);
            return;
        }
        let Some(sent) = self.sent.get_mut(&envelope.stream) else {
            return;
        };
        match &envelope.event {
            DeliveryEvent::AttemptFailed(_) => sent.failed_attempts += 1,
            DeliveryEvent::Postponed(_) => sent.is_postponed = true,
            DeliveryEvent::Succeeded(_) => {
                sent.end = Some(Ok(at));
                for notification in &sent.notifications {
                    if let Some(notice) = self.notices.get_mut(notification) {
                        notice.accepted.insert(sent.channel.clone());
                    }
                }
            }
            DeliveryEvent::Failed(failed) => sent.end = Some(Err(failed.class)),
            DeliveryEvent::ReceiptEnded(ended) if ended.receipt == Receipt::Read => {
                for notification in &sent.notifications {
                    if let Some(notice) = self.notices.get_mut(notification) {
                        notice.is_read = true;
                    }
                }
            }
            DeliveryEvent::Requested(_)
            | DeliveryEvent::AttemptStarted(_)
            | DeliveryEvent::UpdateRequested(_)
            | DeliveryEvent::UpdateFailed(_)
            | DeliveryEvent::Updated(_)
            | DeliveryEvent::ReceiptScheduled(_)
            | DeliveryEvent::ReceiptEnded(_)
            | DeliveryEvent::Bounced(_)
            | DeliveryEvent::Buzzed(_) => {}
        }
    }

    /// An event of a ticket that a person caused answers all notifications of this person about the ticket.
    pub fn fold_ticket(&mut self, ticket: &TicketSn, envelope: &Envelope<TicketEvent>) {
        let actor = &envelope.meta.actor;
        if actor.is_system() || self.waiting.is_empty() {
            return;
        }
        let key = (ticket.clone(), actor.clone());
        for stream in self.waiting.remove(&key).unwrap_or_default() {
            if let Some(notice) = self.notices.get_mut(&stream)
                && notice.answer.is_none()
            {
                notice.answer = Some((envelope.at, By::of(envelope.meta.origin, false)));
            }
        }
    }

    /// Returns the figures of the period.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures {
            accounts: self.accounts(),
            ..Figures::default()
        };
        let mut people: BTreeMap<&PersonId, (bool, bool)> = BTreeMap::new();
        let mut by_channel: BTreeMap<&str, Vec<&Notice>> = BTreeMap::new();
        for notice in self.notices.values() {
            figures.notifications += 1;
            match notice.outcome {
                Some(Outcome::Accepted) => figures.accepted += 1,
                Some(Outcome::InboxOnly) => figures.inbox_only += 1,
                Some(Outcome::NotNeeded) => figures.not_needed += 1,
                None => figures.open += 1,
            }
            figures.held += u64::from(notice.is_held);
            figures.in_digest += u64::from(notice.is_in_digest);
            let can_be_open = notice.is_opened() || !notice.accepted.is_empty();
            figures.opened_at_most += u64::from(can_be_open);
            let (asked, answered) = people.entry(&notice.person).or_default();
            *asked |= notice.asks;
            *answered |= notice.answer.is_some();
            for channel in &notice.accepted {
                by_channel.entry(channel).or_default().push(notice);
            }
            if notice.accepted.is_empty() {
                by_channel.entry(INBOX).or_default().push(notice);
            }
        }
        figures.people = people.len() as u64;
        let silent = people
            .values()
            .filter(|(asked, answered)| *asked && !*answered);
        figures.people_without_answer = silent.count() as u64;
        figures.all = self.answers(self.notices.values());
        let channels = by_channel.into_iter();
        figures.channels = channels
            .map(|(channel, notices)| (channel.to_owned(), self.answers(notices.into_iter())))
            .collect();
        figures
    }

    fn accounts(&self) -> BTreeMap<String, AccountFigures> {
        let mut accounts: BTreeMap<String, AccountFigures> = BTreeMap::new();
        let mut latencies: BTreeMap<&str, Vec<Wait>> = BTreeMap::new();
        for sent in self.sent.values() {
            let figures = accounts.entry(sent.account.clone()).or_default();
            figures.channel.clone_from(&sent.channel);
            figures.requested += 1;
            figures.postponed += u64::from(sent.is_postponed);
            figures.failed_attempts += sent.failed_attempts;
            if sent.is_digest {
                figures.digests += 1;
                figures.notifications_in_digests += sent.notifications.len() as u64;
            }
            match sent.end {
                Some(Ok(at)) => {
                    figures.accepted += 1;
                    latencies.entry(&sent.account).or_default().push(Wait {
                        ms: at.0 - sent.at.0,
                        has_ended: true,
                    });
                }
                Some(Err(class)) => *figures.failed.entry(class_name(class)).or_default() += 1,
                None => figures.open += 1,
            }
        }
        for (account, count) in &self.fallbacks {
            accounts.entry(account.clone()).or_default().fallbacks = *count;
        }
        for (account, count) in &self.visits {
            accounts.entry(account.clone()).or_default().visits = *count;
        }
        for (account, waits) in latencies {
            if let Some(figures) = accounts.get_mut(account) {
                figures.latency_p50_ms = percentile(&waits, 50);
                figures.latency_p90_ms = percentile(&waits, 90);
            }
        }
        accounts
    }

    fn answers<'a>(&self, notices: impl Iterator<Item = &'a Notice>) -> Answers {
        let mut answers = Answers::default();
        let mut waits = Vec::new();
        for notice in notices {
            answers.notifications += 1;
            answers.opened += u64::from(notice.is_opened());
            // No person must answer a notification that was not needed any more.
            if !notice.asks || notice.outcome == Some(Outcome::NotNeeded) {
                continue;
            }
            answers.asked += 1;
            if let Some((_, by)) = notice.answer {
                *answers.answered.entry(by.name()).or_default() += 1;
            } else {
                answers.unanswered += 1;
            }
            let end = notice.answer.map_or(self.to, |(at, _)| at);
            waits.push(Wait {
                ms: (end.0 - notice.at.0).max(0),
                has_ended: notice.answer.is_some(),
            });
        }
        answers.median_ms = percentile(&waits, 50);
        answers.p90_ms = percentile(&waits, 90);
        answers
    }
}

impl Notice {
    fn is_opened(&self) -> bool {
        self.is_read || self.answer.is_some()
    }
}

/// Returns true if the recipient must act because of the fact.
fn asks(fact: Fact) -> bool {
    matches!(
        fact.category(),
        Category::Approval | Category::Assigned | Category::Escalated
    )
}

/// Returns the name of a class of failures, as in the API.
pub fn class_name(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Transient => "transient",
        FailureClass::Throttled => "throttled",
        FailureClass::Permanent => "permanent",
        FailureClass::RecipientInvalid => "recipient_invalid",
        FailureClass::Credential => "credential",
        FailureClass::TooLarge => "too_large",
        FailureClass::Unknown => "unknown",
    }
}
