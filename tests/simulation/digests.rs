//! This test simulates one digest. Requests to add notifications arrive in any order, and some arrive twice. The
//! deadline of the digest is late at random, and quiet hours postpone it.
//!
//! Every notification must be sent exactly once, alone or in a list, or must be dropped with a reason. As long as the
//! digest collects notifications, it must have a deadline.

use std::collections::{BTreeMap, BTreeSet};

use domain::Decider;
use domain::notification::digest::{Add, Command, Digest};
use events::digest::{DigestEvent, FLUSH, Item};
use events::notification::Fact;
use events::{Event, Moment};

use crate::scheduler::Dice;

const SEEDS: u64 = 10_000;
const NOTIFICATIONS: usize = 40;

#[derive(Default)]
struct World {
    digest: Digest,
    due: Option<Moment>,
    /// How often each notification was sent or dropped.
    ends: BTreeMap<String, u32>,
    lists: u32,
}

impl World {
    fn execute(&mut self, command: &Command) {
        for event in self.digest.decide(command, &()).unwrap_or_default() {
            self.digest.evolve(&event);
            for change in event.deadlines() {
                assert_eq!(change.id, FLUSH);
                self.due = change.due;
            }
            let ended = match &event {
                DigestEvent::Passed(passed) => vec![passed.item.notification.clone()],
                DigestEvent::Flushed(flushed) => {
                    self.lists += 1;
                    flushed.notifications.clone()
                }
                DigestEvent::ItemsDropped(dropped) => dropped.notifications.clone(),
                _ => Vec::new(),
            };
            for notification in ended {
                *self.ends.entry(notification).or_default() += 1;
            }
        }
        assert!(self.digest.items.is_empty() || self.due.is_some());
        assert_eq!(self.digest.due, self.due);
    }
}

fn add(dice: &mut Dice, number: usize, now: Moment) -> Command {
    let item = Item {
        notification: format!("notification-{number}"),
        ticket: "REQ1".into(),
        fact: Fact::Commented,
        at: now,
        expires: now.plus_ms(86_400_000),
    };
    Command::Add(Box::new(Add {
        person: "p-1".into(),
        account: "mail".into(),
        item,
        due: now.plus_ms(600_000),
        waits: dice.below(4) == 0,
        is_critical: dice.below(10) == 0,
        at: now,
    }))
}

fn run(seed: u64) -> World {
    let mut dice = Dice::new(seed);
    let (mut world, mut now) = (World::default(), Moment(0));
    for number in 0..NOTIFICATIONS {
        now = now.plus_ms(30_000 * i64::try_from(dice.below(5)).unwrap());
        let command = add(&mut dice, number, now);
        let times = 1 + dice.below(2);
        (0..times).for_each(|_| world.execute(&command));
        if dice.below(3) > 0 {
            fire(&mut world, &mut dice, now);
        }
    }
    while let Some(due) = world.due {
        now = now.max(due);
        fire(&mut world, &mut dice, now);
    }
    world
}

fn fire(world: &mut World, dice: &mut Dice, at: Moment) {
    let command = if dice.below(10) == 0 {
        let until = at.plus_ms(3_600_000);
        Command::Postpone { until, at }
    } else {
        let chosen = world.digest.items.iter().filter(|_| dice.below(10) == 0);
        let dropped = chosen.map(|item| (item.notification.clone(), "off".to_owned()));
        Command::Flush {
            over: BTreeSet::new(),
            dropped: dropped.collect(),
            at,
        }
    };
    world.execute(&command);
}

#[test]
fn every_notification_of_a_digest_ends_once() {
    let mut lists = 0;
    for seed in 0..SEEDS {
        let world = run(seed);
        assert_eq!(world.ends.len(), NOTIFICATIONS, "seed {seed}");
        assert!(world.ends.values().all(|times| *times == 1), "seed {seed}");
        lists += world.lists;
    }
    println!("{SEEDS} digests, {lists} lists");
    assert!(lists > 1_000);
}
