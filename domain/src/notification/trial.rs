//! Compares how two notification policies send the same notifications. A trial of a policy uses this module.

use std::collections::BTreeMap;

use events::notification::{Clause, Held, HeldReason, Mode, Requested, SkipReason};
use events::preference::Band;
use events::{Moment, PersonId};
use serde::Serialize;

use super::routing::{Situation, consider};

/// Maximum number of examples for each kind of change.
pub const EXAMPLES_MAX: usize = 3;
/// Number of digests after which the digests that are not open any more are removed.
const DIGESTS_MAX: usize = 10_000;

/// How a channel account treats one notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The account sends a message of its own at once.
    Immediate,
    /// The notification waits for the next batch time.
    Batched,
    /// A digest collects the notification with other ones.
    Digest,
    /// The message is held until the person is available.
    Held,
    /// The account sends nothing, for a reason that is known.
    Dropped,
    /// The policy does not use the account for this notification, or there is no policy.
    Absent,
}

impl Way {
    /// Returns the name of the way, such as `batched`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Batched => "batched",
            Self::Digest => "digest",
            Self::Held => "held",
            Self::Dropped => "dropped",
            Self::Absent => "absent",
        }
    }
}

/// The treatment of one notification by one channel account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Treated {
    pub way: Way,
    pub skipped: Option<SkipReason>,
    pub held: Option<HeldReason>,
    /// The preference or the clause of the policy that decided. `None` if nothing was chosen.
    pub clause: Option<Clause>,
    /// Number of messages that the notification causes: 0 or 1. A notification that joins a digest causes no message.
    pub messages: u64,
}

impl Treated {
    /// The treatment by an account that the policy does not use.
    pub const ABSENT: Self = Self {
        way: Way::Absent,
        skipped: None,
        held: None,
        clause: None,
        messages: 0,
    };
}

/// The digests that collect notifications during a trial.
#[derive(Clone, Debug, Default)]
pub struct Digests {
    /// The digests by their names.
    known: BTreeMap<String, Open>,
    /// The number of digests at which those that are not open any more are removed. At least [`DIGESTS_MAX`] counts.
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    due: Moment,
    items: usize,
}

/// A notification for a digest.
struct Item<'a> {
    digest: &'a str,
    due: Moment,
    waits: bool,
    is_critical: bool,
    now: Moment,
}

impl Digests {
    /// Adds a notification to a digest in the same way as [`super::digest::Digest`]. Returns whether the notification is
    /// sent at once, and the number of messages that it causes.
    fn add(&mut self, item: &Item<'_>) -> (bool, u64) {
        if self.known.len() >= self.limit.max(DIGESTS_MAX) {
            self.known.retain(|_, open| open.due > item.now);
            // If many digests are open, a fixed limit would cause a search of all of them for each notification.
            self.limit = 2 * self.known.len();
        }
        let open = self.known.get(item.digest).copied();
        let open = open.filter(|open| open.due > item.now);
        if item.is_critical || (!item.waits && open.is_none()) {
            let due = open.map_or(item.due, |open| open.due);
            self.known
                .insert(item.digest.to_owned(), Open { due, items: 0 });
            return (true, 1);
        }
        let due = open.map_or(item.due, |open| open.due.min(item.due));
        let items = open.map_or(0, |open| open.items) + 1;
        self.known
            .insert(item.digest.to_owned(), Open { due, items });
        (false, u64::from(items == 1))
    }
}

/// The decision of one policy about one notification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// The band of the ticket priority under the policy.
    pub band: Band,
    /// The treatment by each channel account. The key is the name of the account.
    pub accounts: BTreeMap<String, Treated>,
}

/// Decides about one notification with the same function as the desk. A held message counts as held, although its ticket
/// could end before it is released.
pub fn judge(situation: &Situation<'_>, digests: &mut Digests) -> Judged {
    let (routed, held) = consider(situation);
    let held = held.as_ref().map(Held::reason);
    let mut accounts = BTreeMap::new();
    for route in routed.routes {
        let (way, messages) = match &route.mode {
            Mode::Immediate | Mode::Digest { waits: false, .. } if held.is_some() => (Way::Held, 1),
            Mode::Immediate => (Way::Immediate, 1),
            Mode::Digest { digest, due, waits } => {
                let is_batch = *waits && !matches!(route.clause, Some(Clause::Many { .. }));
                let (is_sent, messages) = digests.add(&Item {
                    digest,
                    due: *due,
                    waits: *waits,
                    is_critical: situation.is_critical,
                    now: situation.now,
                });
                let way = match (is_sent, is_batch) {
                    (true, _) => Way::Immediate,
                    (false, true) => Way::Batched,
                    (false, false) => Way::Digest,
                };
                (way, messages)
            }
        };
        let treated = Treated {
            way,
            skipped: None,
            held: held.filter(|_| way == Way::Held),
            clause: route.clause,
            messages,
        };
        accounts.insert(route.account, treated);
    }
    for skipped in routed.skipped {
        let treated = Treated {
            way: Way::Dropped,
            skipped: Some(skipped.reason),
            clause: skipped.clause,
            ..Treated::ABSENT
        };
        accounts.entry(skipped.account).or_insert(treated);
    }
    Judged {
        band: situation.computed.band,
        accounts,
    }
}

/// Numbers of notifications by their treatment, and of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    pub immediate: u64,
    pub batched: u64,
    pub digest: u64,
    pub held: u64,
    pub dropped: u64,
    /// Number of messages. A digest or a batch is one message.
    pub messages: u64,
}

impl Figures {
    fn count(&mut self, treated: &Treated) {
        let number = match treated.way {
            Way::Immediate => &mut self.immediate,
            Way::Batched => &mut self.batched,
            Way::Digest => &mut self.digest,
            Way::Held => &mut self.held,
            Way::Dropped => &mut self.dropped,
            Way::Absent => return,
        };
        *number += 1;
        self.messages += treated.messages;
    }

    /// Returns the number of notifications that reach the person on a channel.
    pub fn sent(&self) -> u64 {
        self.immediate + self.batched + self.digest + self.held
    }
}

/// The figures of the active policy and of the new policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    pub before: Figures,
    pub after: Figures,
}

/// One notification that the two policies treat in different ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub requested: Requested,
    pub account: String,
    pub before: Treated,
    pub after: Treated,
}

/// All notifications that change from one way to another way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub count: u64,
    /// The first notifications, at most [`EXAMPLES_MAX`].
    pub examples: Vec<Example>,
}

/// The result of a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// Number of notifications, each for one person.
    pub notifications: u64,
    pub total: Compared,
    pub categories: BTreeMap<&'static str, Compared>,
    pub channels: BTreeMap<String, Compared>,
    pub bands: BTreeMap<&'static str, Compared>,
    pub people: BTreeMap<PersonId, Compared>,
    pub changes: BTreeMap<(Way, Way), Change>,
}

impl Trial {
    /// Counts one notification. `channel_of` returns the channel of an account.
    pub fn count(
        &mut self,
        requested: &Requested,
        before: &Judged,
        after: &Judged,
        channel_of: impl Fn(&str) -> String,
    ) {
        self.notifications += 1;
        let category = requested.fact.category().name();
        for (judged, is_after) in [(before, false), (after, true)] {
            for (account, treated) in &judged.accounts {
                for compared in [
                    &mut self.total,
                    self.categories.entry(category).or_default(),
                    self.channels.entry(channel_of(account)).or_default(),
                    self.bands.entry(judged.band.name()).or_default(),
                    self.people.entry(requested.person.clone()).or_default(),
                ] {
                    let figures = if is_after {
                        &mut compared.after
                    } else {
                        &mut compared.before
                    };
                    figures.count(treated);
                }
            }
        }
        self.compare(requested, before, after);
    }

    /// Counts the accounts that treat the notification in another way.
    fn compare(&mut self, requested: &Requested, before: &Judged, after: &Judged) {
        let new = after.accounts.keys();
        let new = new.filter(|account| !before.accounts.contains_key(*account));
        for account in before.accounts.keys().chain(new) {
            let of = |judged: &Judged| {
                let treated = judged.accounts.get(account).copied();
                treated.unwrap_or(Treated::ABSENT)
            };
            let (old, new) = (of(before), of(after));
            if old.way == new.way {
                continue;
            }
            let change = self.changes.entry((old.way, new.way)).or_default();
            change.count += 1;
            if change.examples.len() < EXAMPLES_MAX {
                change.examples.push(Example {
                    requested: requested.clone(),
                    account: account.clone(),
                    before: old,
                    after: new,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use events::notification::{Fact, Role};

    use super::super::digest::ITEMS_MAX;
    use super::*;

    fn item(digest: &str, due: i64, waits: bool, now: i64) -> Item<'_> {
        Item {
            digest,
            due: Moment(due),
            waits,
            is_critical: false,
            now: Moment(now),
        }
    }

    #[test]
    fn a_digest_is_one_message_for_all_collected_notifications() {
        let mut digests = Digests::default();
        for (waits, now, expected) in [
            (false, 0, (true, 1)),
            (false, 1, (false, 1)),
            (false, 2, (false, 0)),
            // The digest was sent at 10.
            (false, 10, (true, 1)),
            (true, 21, (false, 1)),
            (true, 22, (false, 0)),
        ] {
            assert_eq!(
                digests.add(&item("d", now + 10, waits, now)),
                expected,
                "{now}"
            );
        }
        let critical = Item {
            is_critical: true,
            ..item("d", 40, true, 23)
        };
        assert_eq!(digests.add(&critical), (true, 1));
    }

    #[test]
    fn a_full_digest_is_one_message() {
        let mut digests = Digests::default();
        let mut add = |now| digests.add(&item("d", 10, true, now)).1;
        let messages: u64 = (0..=ITEMS_MAX).map(|_| add(0)).sum();
        assert_eq!(messages, 1);
        assert_eq!(add(10), 1, "the next digest");
    }

    #[test]
    fn open_digests_stay_and_ended_ones_are_removed() {
        let mut digests = Digests::default();
        let mut add = |number: usize, due, now| {
            let name = number.to_string();
            let added = digests.add(&item(&name, due, true, now));
            (added, digests.known.len(), digests.limit)
        };
        for number in 0..DIGESTS_MAX + 2 {
            assert_eq!(add(number, 10, 0).0, (false, 1), "{number}");
        }
        // The search found no ended digest, so the next search follows at twice the number.
        let (added, count, limit) = add(0, 10, 9);
        assert_eq!(added, (false, 0), "the digest is still open");
        assert_eq!((count, limit), (DIGESTS_MAX + 2, 2 * DIGESTS_MAX));
        for number in DIGESTS_MAX + 2..2 * DIGESTS_MAX {
            add(number, 30, 10);
        }
        let (added, count, _) = add(2 * DIGESTS_MAX, 30, 10);
        assert_eq!((added, count), ((false, 1), DIGESTS_MAX - 1));
    }

    #[test]
    fn each_changed_account_has_an_example() {
        let requested = Requested {
            person: "p-1".into(),
            fact: Fact::Commented,
            role: Role::Requester,
            ticket: "REQ1".into(),
            node: None,
            name: String::new(),
            round: 0,
            cause: "ticket-REQ1:5".into(),
            at: Moment(0),
            priority: String::new(),
            is_urgent: false,
            is_critical: false,
            accounts: Vec::new(),
            subscription: None,
            number: None,
        };
        let judged = |account: &str, way, messages| Judged {
            band: Band::Low,
            accounts: BTreeMap::from([(
                account.to_owned(),
                Treated {
                    way,
                    messages,
                    ..Treated::ABSENT
                },
            )]),
        };
        let mut trial = Trial::default();
        let old = judged("mail", Way::Immediate, 1);
        let new = judged("mail", Way::Dropped, 0);
        for _ in 0..=EXAMPLES_MAX {
            trial.count(&requested, &old, &new, |_| "email".into());
        }
        trial.count(&requested, &Judged::default(), &old, |_| "email".into());
        let dropped = &trial.changes[&(Way::Immediate, Way::Dropped)];
        assert_eq!((dropped.count, dropped.examples.len()), (4, EXAMPLES_MAX));
        assert_eq!(trial.changes[&(Way::Absent, Way::Immediate)].count, 1);
        let channel = trial.channels["email"];
        assert_eq!((channel.before.messages, channel.before.dropped), (4, 0));
        assert_eq!((channel.after.messages, channel.after.dropped), (1, 4));
        assert_eq!(trial.bands["low"], channel);
        assert_eq!(trial.people[&PersonId::from("p-1")], trial.total);
    }
}
