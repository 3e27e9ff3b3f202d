//! Implements the aggregate of one digest. A digest collects the notifications of one person for one channel account,
//! and lists them in one message. The first notification is sent at once, unless the digest waits for a fixed time.

use std::collections::{BTreeMap, BTreeSet};

use events::digest::{
    Added, Closed, DigestEvent, Flushed, Item, ItemsDropped, Line, Passed, Postponed,
};
use events::{Moment, PersonId};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// Time in milliseconds for which a digest collects notifications after it sent one: 10 minutes.
pub const WINDOW_MS: i64 = 600_000;
/// Maximum number of notifications of one person in a window that are not collected. Further notifications are
/// collected (requirements/notifications.md, NotificationAggregator).
pub const RECENT_MAX: usize = 5;
/// Maximum number of notifications in one digest. The message of a full digest only counts the further ones, and the inbox
/// shows them. A full digest is not sent earlier: the person can have chosen not to be disturbed.
pub const ITEMS_MAX: usize = 200;
/// Maximum number of lines in the message of a digest. The message contains the number of the other notifications.
pub const LINES_MAX: usize = 20;

/// The reason why the message of a full digest does not contain a notification.
const FULL: &str = "the digest is full, so its message only counts the notification";

/// The notifications that a digest contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// The notifications of one category about one ticket.
    Ticket { category: &'a str, ticket: &'a str },
    /// The notifications that wait for the next batch time.
    Batch,
    /// All notifications of a person who gets many of them in a short time.
    Many,
}

/// Returns the name of the stream of a digest. The name contains the first half of a BLAKE3 hash over the person, the
/// account and the key.
pub fn stream(person: &PersonId, account: &str, key: Key<'_>) -> String {
    let (kind, category, ticket) = match key {
        Key::Ticket { category, ticket } => ("ticket", category, ticket),
        Key::Batch => ("batch", "", ""),
        Key::Many => ("many", "", ""),
    };
    let mut hasher = blake3::Hasher::new();
    let parts = [person.as_str(), account, kind, category, ticket];
    for part in ["ledgerdesk.digest.v1"].into_iter().chain(parts) {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    format!("digest-{}", &hasher.finalize().to_hex()[..32])
}

/// The commands that change one digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Add(Box<Add>),
    /// Sends the digest. Before its time, the command does nothing.
    Flush {
        /// The streams of the notifications whose tickets have ended or whose facts are not true any more.
        over: BTreeSet<String>,
        /// The streams of the notifications that must not be sent any more, with the reasons.
        dropped: BTreeMap<String, String>,
        at: Moment,
    },
    /// Postpones the digest until the end of the quiet hours of the person. Before its time, the command does nothing.
    Postpone {
        until: Moment,
        at: Moment,
    },
}

/// The data of the command that adds a notification to a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    pub person: PersonId,
    pub account: String,
    pub item: Item,
    /// The latest time at which the digest is sent.
    pub due: Moment,
    /// True if the digest also collects its first notification.
    pub waits: bool,
    /// True if the notification is critical. It is sent at once, and the collected notifications become due.
    pub is_critical: bool,
    /// The time of the command.
    pub at: Moment,
}

/// The reasons why a command for a digest is rejected. The enum has no variants, because the desk never rejects such a
/// command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {}

/// The state of one digest, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// The time at which the digest is sent. The value is absent if the digest collects no notifications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
    /// The newest notification that was sent at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The collected notifications, from the oldest to the newest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// The number of notifications that came when the digest was full. The message counts them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overflow: u32,
    /// The notifications in the newest message. They are not collected again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<String>,
}

impl Decider for Digest {
    type Command = Command;
    type Event = DigestEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<DigestEvent>, DecideError<Self>> {
        Ok(match command {
            Command::Add(add) => self.add(add),
            Command::Flush { over, dropped, at } if self.is_due(*at) => self.flush(over, dropped),
            Command::Postpone { until, at } if self.is_due(*at) && until > at => {
                vec![Postponed { due: *until }.into()]
            }
            Command::Flush { .. } | Command::Postpone { .. } => Vec::new(),
        })
    }

    fn evolve(&mut self, event: &DigestEvent) {
        match event {
            DigestEvent::Passed(passed) => {
                self.person = Some(passed.person.clone());
                self.account.clone_from(&passed.account);
                self.due = Some(passed.due);
                self.first = Some(passed.item.notification.clone());
            }
            DigestEvent::Added(added) => {
                self.person = Some(added.person.clone());
                self.account.clone_from(&added.account);
                self.due = Some(added.due);
                self.items.push(added.item.clone());
            }
            DigestEvent::Postponed(postponed) => self.due = Some(postponed.due),
            DigestEvent::ItemsDropped(dropped) => {
                let before = self.items.len();
                self.items
                    .retain(|item| !dropped.notifications.contains(&item.notification));
                // A notification that the digest did not collect came when the digest was full.
                let removed = before - self.items.len();
                let overflow = dropped.notifications.len().saturating_sub(removed);
                let overflow = u32::try_from(overflow).unwrap_or(u32::MAX);
                self.overflow = self.overflow.saturating_add(overflow);
            }
            DigestEvent::Flushed(flushed) => {
                self.due = None;
                self.items.clear();
                self.overflow = 0;
                self.sent.clone_from(&flushed.notifications);
            }
            DigestEvent::Closed(_) => {
                self.due = None;
                self.items.clear();
                self.overflow = 0;
            }
        }
    }
}

impl Digest {
    /// Returns true if the time of the digest has come.
    pub fn is_due(&self, at: Moment) -> bool {
        self.due.is_some_and(|due| due <= at)
    }

    /// Returns the events for a new notification. A repeated notification adds no event.
    fn add(&self, add: &Add) -> Vec<DigestEvent> {
        let notification = &add.item.notification;
        let mut items = self.items.iter();
        let is_known = self.first.as_ref() == Some(notification)
            || self.sent.contains(notification)
            || items.any(|item| item.notification == *notification);
        if is_known {
            return Vec::new();
        }
        let passes = add.is_critical || (!add.waits && self.due.is_none());
        if passes {
            let due = self.due.unwrap_or(add.due);
            let passed = Passed {
                person: add.person.clone(),
                account: add.account.clone(),
                item: add.item.clone(),
                // The collected notifications become due, but the deadline checks whether they may be sent now.
                due: if add.is_critical && !self.items.is_empty() {
                    due.min(add.at)
                } else {
                    due
                },
            };
            return vec![passed.into()];
        }
        if self.items.len() >= ITEMS_MAX {
            let dropped = ItemsDropped {
                account: add.account.clone(),
                notifications: vec![notification.clone()],
                reason: FULL.to_owned(),
            };
            return vec![dropped.into()];
        }
        let added = Added {
            person: add.person.clone(),
            account: add.account.clone(),
            item: add.item.clone(),
            due: self.due.map_or(add.due, |due| due.min(add.due)),
        };
        vec![added.into()]
    }

    fn flush(
        &self,
        over: &BTreeSet<String>,
        dropped: &BTreeMap<String, String>,
    ) -> Vec<DigestEvent> {
        let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut kept = Vec::new();
        for item in &self.items {
            match dropped.get(&item.notification) {
                Some(reason) => by_reason
                    .entry(reason.as_str())
                    .or_default()
                    .push(item.notification.clone()),
                None => kept.push(item.clone()),
            }
        }
        let drops = by_reason.into_iter().map(|(reason, notifications)| {
            ItemsDropped {
                account: self.account.clone(),
                notifications,
                reason: reason.to_owned(),
            }
            .into()
        });
        let mut events: Vec<DigestEvent> = drops.collect();
        let last = self.listed(&kept, over);
        events.push(last.unwrap_or_else(|| Closed {}.into()));
        events
    }

    /// Returns the event that sends a message with the notifications in `items`. Returns `None` without notifications.
    fn listed(&self, items: &[Item], over: &BTreeSet<String>) -> Option<DigestEvent> {
        let expires = items.iter().map(|item| item.expires).min()?;
        let (lines, more) = lines(items, over);
        Some(
            Flushed {
                person: self.person.clone()?,
                account: self.account.clone(),
                lines,
                more: more.saturating_add(self.overflow),
                notifications: items.iter().map(|item| item.notification.clone()).collect(),
                expires,
            }
            .into(),
        )
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Returns the lines of a message about the notifications in `items`, and the number of notifications that have no line.
/// The notifications of a ticket that are in `over` have one line together.
fn lines(items: &[Item], over: &BTreeSet<String>) -> (Vec<Line>, u32) {
    let mut lines: Vec<Line> = Vec::new();
    for item in items {
        let is_over = over.contains(&item.notification);
        let same = lines
            .iter_mut()
            .find(|line| is_over && line.is_over && line.ticket == item.ticket);
        match same {
            Some(line) => {
                line.count += 1;
                line.fact = item.fact;
            }
            None => lines.push(Line {
                ticket: item.ticket.clone(),
                fact: item.fact,
                count: 1,
                is_over,
            }),
        }
    }
    let rest = lines.split_off(lines.len().min(LINES_MAX));
    (lines, rest.iter().map(|line| line.count).sum())
}

/// Defines in which lists of the view `digest` a digest appears. There is a list of the digests that collect
/// notifications.
impl Card for Digest {
    type Event = DigestEvent;
    const VIEW: &'static str = "digest";

    fn fold(&mut self, envelope: &Envelope<DigestEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let due = self.due.iter();
        due.map(|due| ("open", format!("{:016}", due.0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use events::notification::Fact;

    use super::*;

    fn item(number: u32) -> Item {
        Item {
            notification: format!("notification-{number}"),
            ticket: "REQ1".into(),
            fact: Fact::Commented,
            at: Moment(i64::from(number)),
            expires: Moment(90_000 + i64::from(number)),
        }
    }

    fn add(number: u32, due: i64) -> Add {
        Add {
            person: "p-1".into(),
            account: "mail".into(),
            item: item(number),
            due: Moment(due),
            waits: false,
            is_critical: false,
            at: Moment(due - 600),
        }
    }

    fn decided(digest: &mut Digest, command: &Command) -> Vec<&'static str> {
        let events = digest.decide(command, &()).unwrap();
        events.iter().for_each(|event| digest.evolve(event));
        events.iter().map(events::Event::kind).collect()
    }

    fn added(digest: &mut Digest, add: Add) -> Vec<&'static str> {
        decided(digest, &Command::Add(Box::new(add)))
    }

    fn flush(at: i64) -> Command {
        Command::Flush {
            over: BTreeSet::new(),
            dropped: BTreeMap::new(),
            at: Moment(at),
        }
    }

    #[test]
    fn the_first_notification_passes_and_the_next_ones_are_listed_together() {
        let mut digest = Digest::default();
        assert_eq!(added(&mut digest, add(1, 600)), ["digest.passed"]);
        assert_eq!(added(&mut digest, add(1, 700)), [""; 0], "a repetition");
        assert_eq!(added(&mut digest, add(2, 900)), ["digest.added"]);
        assert_eq!(added(&mut digest, add(2, 900)), [""; 0], "a repetition");
        assert_eq!(added(&mut digest, add(3, 950)), ["digest.added"]);
        assert_eq!(digest.due, Some(Moment(600)), "the window does not grow");
        assert_eq!(decided(&mut digest, &flush(599)), [""; 0]);
        let events = digest.decide(&flush(600), &()).unwrap();
        let [DigestEvent::Flushed(flushed)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!((flushed.lines.len(), flushed.more), (2, 0));
        assert_eq!(flushed.expires, Moment(90_002));
        assert_eq!(decided(&mut digest, &flush(600)), ["digest.flushed"]);
        assert_eq!(decided(&mut digest, &flush(601)), [""; 0]);
        assert_eq!(added(&mut digest, add(4, 1_300)), ["digest.passed"]);
    }

    #[test]
    fn an_empty_window_is_closed() {
        let mut digest = Digest::default();
        added(&mut digest, add(1, 600));
        assert_eq!(decided(&mut digest, &flush(600)), ["digest.closed"]);
        assert_eq!((digest.due, digest.index().len()), (None, 0));
    }

    #[test]
    fn a_waiting_digest_collects_its_first_notification() {
        let mut digest = Digest::default();
        let waits = Add {
            waits: true,
            ..add(1, 600)
        };
        assert_eq!(added(&mut digest, waits), ["digest.added"]);
        assert_eq!(decided(&mut digest, &flush(600)), ["digest.flushed"]);
    }

    #[test]
    fn a_critical_notification_is_sent_alone_and_the_collected_ones_become_due() {
        let mut digest = Digest::default();
        added(&mut digest, add(1, 600));
        let critical = |number| Add {
            is_critical: true,
            at: Moment(300),
            ..add(number, 900)
        };
        assert_eq!(added(&mut digest, critical(2)), ["digest.passed"]);
        assert_eq!(
            digest.due,
            Some(Moment(600)),
            "no notification is collected"
        );
        added(&mut digest, add(3, 600));
        assert_eq!(added(&mut digest, critical(4)), ["digest.passed"]);
        assert_eq!(digest.due, Some(Moment(300)));
        assert_eq!(digest.items, [item(3)], "the deadline decides about it");
        let late = Add {
            at: Moment(700),
            ..critical(5)
        };
        added(&mut digest, late);
        assert_eq!(digest.due, Some(Moment(300)), "never later");
        assert_eq!(decided(&mut digest, &flush(700)), ["digest.flushed"]);
    }

    #[test]
    fn a_full_digest_waits_for_its_time_and_counts_further_notifications() {
        let mut digest = Digest::default();
        let waits = |number| Add {
            waits: true,
            ..add(number, 9_000)
        };
        let full = u32::try_from(ITEMS_MAX).unwrap();
        for number in 0..full {
            assert_eq!(added(&mut digest, waits(number)), ["digest.added"]);
        }
        assert_eq!(digest.due, Some(Moment(9_000)));
        let events = digest.decide(&Command::Add(Box::new(waits(full))), &());
        let events = events.unwrap();
        let [DigestEvent::ItemsDropped(dropped)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(dropped.notifications, [item(full).notification]);
        assert_eq!(
            (dropped.account.as_str(), dropped.reason.as_str()),
            ("mail", FULL)
        );
        for number in full..full + 3 {
            let early = Add {
                due: Moment(600),
                ..waits(number)
            };
            assert_eq!(added(&mut digest, early), ["digest.items_dropped"]);
        }
        assert_eq!((digest.items.len(), digest.overflow), (ITEMS_MAX, 3));
        assert_eq!(digest.due, Some(Moment(9_000)));
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);

        let postpone = Command::Postpone {
            until: Moment(20_000),
            at: Moment(9_000),
        };
        assert_eq!(decided(&mut digest, &postpone), ["digest.postponed"]);
        added(&mut digest, waits(full + 3));
        assert_eq!(digest.due, Some(Moment(20_000)));
        let command = Command::Flush {
            over: BTreeSet::new(),
            dropped: BTreeMap::from([(item(0).notification, "off".into())]),
            at: Moment(20_000),
        };
        let events = digest.decide(&command, &()).unwrap();
        let [DigestEvent::ItemsDropped(_), DigestEvent::Flushed(flushed)] = events.as_slice()
        else {
            panic!("{events:?}")
        };
        assert_eq!(flushed.notifications.len(), ITEMS_MAX - 1);
        assert_eq!((flushed.lines.len(), flushed.more), (LINES_MAX, 179 + 4));
        events.iter().for_each(|event| digest.evolve(event));
        assert_eq!(
            (digest.items.len(), digest.overflow, digest.due),
            (0, 0, None)
        );
        added(&mut digest, waits(full + 4));
        let last = decided(&mut digest, &flush(9_000));
        assert_eq!(last, ["digest.flushed"], "the next digest is not full");
    }

    #[test]
    fn facts_that_are_over_have_one_line_and_dropped_items_are_recorded() {
        let mut digest = Digest::default();
        (1..=5).for_each(|number| drop(added(&mut digest, add(number, 600))));
        let command = Command::Flush {
            over: BTreeSet::from(["notification-2".into(), "notification-3".into()]),
            dropped: BTreeMap::from([("notification-4".into(), "off".into())]),
            at: Moment(600),
        };
        let events = digest.decide(&command, &()).unwrap();
        let [
            DigestEvent::ItemsDropped(dropped),
            DigestEvent::Flushed(flushed),
        ] = events.as_slice()
        else {
            panic!("{events:?}")
        };
        assert_eq!(dropped.notifications, ["notification-4"]);
        let counts: Vec<(u32, bool)> = flushed
            .lines
            .iter()
            .map(|line| (line.count, line.is_over))
            .collect();
        assert_eq!(counts, [(2, true), (1, false)]);
        let all = (2..=5).map(|number| (format!("notification-{number}"), "off".to_owned()));
        let command = Command::Flush {
            over: BTreeSet::new(),
            dropped: all.collect(),
            at: Moment(600),
        };
        let expected = ["digest.items_dropped", "digest.closed"];
        assert_eq!(decided(&mut digest, &command), expected);
    }

    #[test]
    fn quiet_hours_postpone_a_digest() {
        let mut digest = Digest::default();
        added(&mut digest, add(1, 600));
        let postpone = |at| Command::Postpone {
            until: Moment(5_000),
            at: Moment(at),
        };
        assert_eq!(decided(&mut digest, &postpone(599)), [""; 0]);
        assert_eq!(decided(&mut digest, &postpone(600)), ["digest.postponed"]);
        assert_eq!(digest.due, Some(Moment(5_000)));
    }

    #[test]
    fn the_stream_depends_on_every_part() {
        let ticket = |ticket| Key::Ticket {
            category: "commented",
            ticket,
        };
        let of = |person: &str, account, key| stream(&person.into(), account, key);
        let names = BTreeSet::from([
            of("p-1", "mail", ticket("REQ1")),
            of("p-1", "mail", ticket("REQ2")),
            of("p-2", "mail", ticket("REQ1")),
            of("p-1", "robot", ticket("REQ1")),
            of("p-1", "mail", Key::Batch),
            of("p-1", "mail", Key::Many),
        ]);
        assert_eq!(names.len(), 6);
        assert!(names.iter().all(|name| name.len() == 39));
    }
}
