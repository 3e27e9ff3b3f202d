//! This test simulates one escalation and the chat messages with which people answer it. Deadlines fire late and twice, the desk
//! crashes before and after it stores a result, the clock jumps, and a chat platform delivers the same message several times.
//!
//! Every escalation must end, and must have a deadline until then. Each step notifies once, in order and not before its time. No
//! step follows an acknowledgement. Each chat message acts once.

use std::collections::BTreeMap;

use domain::Decider;
use domain::inbound::Inbound;
use domain::notification::escalation::{Command, Ending, Escalation, Phase, Position, due_after};
use events::escalation::{EscalationEvent, STEP_DUE, Started, StopReason, Unnotified};
use events::escalation_chain::{Step, Target};
use events::inbound::Received;
use events::{Event, Moment, NodeId, PersonId};

use crate::scheduler::Dice;

const SEEDS: u64 = 10_000;
/// Maximum number of steps of one simulated run.
const STEPS_MAX: usize = 2_000;
const MINUTE_MS: i64 = 60_000;

/// A part of the desk that does not work. With it, a test checks that the simulation finds the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The deadline of the next step is not stored.
    NoDeadline,
    /// Each delivery of a chat message gets a stream of its own, so the desk does not recognize repeated messages.
    NoMessageIds,
    /// The desk does not end the escalation when a person acknowledges.
    NoEnd,
}

struct World {
    dice: Dice,
    fault: Fault,
    now: Moment,
    escalation: Escalation,
    due: Option<Moment>,
    /// The executed steps with their times, in order.
    steps: Vec<(Position, Moment)>,
    /// The time of the acknowledgement.
    acknowledged: Option<Moment>,
    /// The streams of chat messages. Each name is the id of a message.
    inbound: BTreeMap<String, Inbound>,
    /// How often each chat message acted.
    acted: BTreeMap<usize, u32>,
    crashes: u64,
}

fn person(dice: &mut Dice) -> Result<Vec<PersonId>, Unnotified> {
    if dice.below(5) == 0 {
        Err(Unnotified::NobodyOnCall)
    } else {
        Ok(vec!["p-1".into()])
    }
}

impl World {
    fn new(seed: u64, fault: Fault) -> Self {
        let mut dice = Dice::new(seed);
        let count = 1 + dice.below(4);
        let step = |wait: usize| Step {
            wait_minutes: u32::try_from(wait).expect("a small number"),
            notify: Target::Person("p-1".into()),
            accounts: Vec::new(),
            only_if: None,
            buzz: false,
        };
        let steps: Vec<Step> = (0..count).map(|_| step(dice.below(11))).collect();
        let started = Started {
            chain: "default".into(),
            version: 1,
            due: due_after(&steps[0], Moment(0)),
            steps,
            repeat: u32::try_from(dice.below(3)).expect("a small number"),
            ticket: "REQ1".into(),
            node: NodeId(3),
            name: "approval".into(),
            round: 1,
            cause: "ticket-REQ1:5".into(),
            at: Moment(0),
            priority: "3".into(),
        };
        let mut world = Self {
            dice,
            fault,
            now: Moment(0),
            escalation: Escalation::default(),
            due: None,
            steps: Vec::new(),
            acknowledged: None,
            inbound: BTreeMap::new(),
            acted: BTreeMap::new(),
            crashes: 0,
        };
        // The message that starts the escalation arrives twice.
        for _ in 0..2 {
            world.execute(&Command::Start(Box::new(started.clone())));
        }
        world
    }

    /// Executes a command. A rejected command adds no events.
    fn execute(&mut self, command: &Command) {
        for event in self.escalation.decide(command, &()).unwrap_or_default() {
            self.escalation.evolve(&event);
            for change in event.deadlines() {
                assert_eq!(change.id, STEP_DUE);
                self.due = change.due.filter(|_| self.fault != Fault::NoDeadline);
            }
            if let EscalationEvent::StepNotified(step) = &event {
                let (pass, step) = (step.pass, step.step);
                self.steps.push((Position { pass, step }, self.now));
            }
        }
    }

    fn crashes(&mut self) -> bool {
        let crashes = self.dice.below(10) == 0;
        self.crashes += u64::from(crashes);
        crashes
    }

    /// Executes the step that is due. The desk can crash before it stores the step, or directly after. The deadline then fires
    /// again.
    fn fire(&mut self) {
        let Some((position, ..)) = self.escalation.next_step() else {
            return;
        };
        let people = person(&mut self.dice);
        let at = self.now;
        let command = Command::Notify {
            position,
            at,
            people,
        };
        if self.crashes() {
            return;
        }
        self.execute(&command);
        if self.crashes() {
            self.execute(&command);
        }
    }

    /// Receives a chat message for the first time or again. The message acknowledges the node of the ticket.
    fn receive(&mut self, message: usize, delivery: usize) {
        let id = match self.fault {
            Fault::NoMessageIds => format!("inbound-{message}-{delivery}"),
            _ => format!("inbound-{message}"),
        };
        let received = Received {
            source: "dingtalk".into(),
            subject: "channel".into(),
            body: "AA".into(),
            problem: String::new(),
        };
        let stream = self.inbound.entry(id).or_default();
        for event in stream.decide(&received, &()).unwrap_or_default() {
            stream.evolve(&event);
            *self.acted.entry(message).or_default() += 1;
        }
        self.acknowledged.get_or_insert(self.now);
        if self.fault != Fault::NoEnd {
            self.execute(&Command::End(Ending::Acknowledged("p-1".into())));
        }
    }

    /// Returns an error if a rule is broken.
    fn check(&self) -> Result<(), String> {
        if self.escalation.is_running() && self.due.is_none() {
            return Err("a running escalation has no deadline".into());
        }
        let Some(started) = &self.escalation.started else {
            return Err("the escalation has not started".into());
        };
        let (mut expected, mut earliest) = (Position { pass: 1, step: 1 }, started.due);
        for (position, at) in &self.steps {
            if *position != expected {
                return Err(format!("{position:?} instead of {expected:?}"));
            }
            if *at < earliest {
                return Err(format!("{position:?} is too early"));
            }
            if self
                .acknowledged
                .is_some_and(|acknowledged| acknowledged < *at)
            {
                return Err(format!("{position:?} follows an acknowledgement"));
            }
            let count = u32::try_from(started.steps.len()).expect("a small number");
            expected = if position.step < count {
                Position {
                    step: position.step + 1,
                    ..*position
                }
            } else {
                Position {
                    pass: position.pass + 1,
                    step: 1,
                }
            };
            let next = usize::try_from(expected.step - 1).expect("a small number");
            earliest = due_after(&started.steps[next], *at);
        }
        match self.acted.iter().find(|(_, times)| **times != 1) {
            Some((message, times)) => Err(format!("message {message} acted {times} times")),
            None => Ok(()),
        }
    }
}

fn run(seed: u64, fault: Fault) -> Result<World, String> {
    let mut world = World::new(seed, fault);
    // One of three escalations gets an answer, and one of three ends with its ticket.
    let answer = world.dice.below(3);
    let answered_at = Moment(MINUTE_MS * i64::try_from(world.dice.below(40)).expect("small"));
    let mut is_answered = answer == 2;
    for _ in 0..STEPS_MAX {
        world.check()?;
        if !is_answered && world.now >= answered_at {
            is_answered = true;
            if answer == 0 {
                for delivery in 0..=world.dice.below(3) {
                    world.receive(0, delivery);
                }
            } else {
                world.execute(&Command::End(Ending::Stopped(StopReason::NodeLeft)));
            }
            continue;
        }
        let Some(due) = world.due else {
            world.check()?;
            return Ok(world);
        };
        // The clock jumps: the deadline is late by up to one hour, or fires too early.
        let late = i64::try_from(world.dice.below(10)).expect("a small number");
        let jump = if world.dice.below(20) == 0 { 60 } else { 1 };
        world.now = match world.dice.below(6) {
            0 => world.now.plus_ms(MINUTE_MS / 2),
            _ => world.now.max(due.plus_ms(late * jump * MINUTE_MS / 10)),
        };
        world.fire();
    }
    Err(format!(
        "the run does not end: {:?}",
        world.escalation.phase
    ))
}

#[test]
fn every_escalation_ends_and_each_message_acts_once() {
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut crashes, mut steps) = (0, 0);
    for seed in 0..SEEDS {
        let world = run(seed, Fault::None).unwrap_or_else(|reason| panic!("seed {seed}: {reason}"));
        let end = match world.escalation.phase {
            Phase::Acknowledged(_) => "acknowledged",
            Phase::Stopped(_) => "stopped",
            Phase::Exhausted => "exhausted",
            Phase::New | Phase::Waiting(..) => panic!("seed {seed}: not ended"),
        };
        *ends.entry(end).or_default() += 1;
        crashes += world.crashes;
        steps += world.steps.len();
    }
    println!("{SEEDS} escalations, {steps} steps, {crashes} crashes: {ends:?}");
    assert_eq!(ends.len(), 3, "every end occurs");
    assert!(crashes > 1_000 && steps > 10_000, "too few faults or steps");
}

#[test]
fn the_check_finds_each_fault_of_an_escalation() {
    for (fault, least) in [
        (Fault::NoDeadline, 190),
        (Fault::NoMessageIds, 10),
        (Fault::NoEnd, 10),
    ] {
        let failed = (0..200).filter(|seed| run(*seed, fault).is_err()).count();
        assert!(failed >= least, "{fault:?}: {failed} of 200 runs fail");
    }
}
