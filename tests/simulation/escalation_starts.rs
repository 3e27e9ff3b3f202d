//! This test simulates the requests that start the escalation chains of one node: the entry of the node, changed priorities,
//! and the ends of suspensions. The requests arrive in any order, late and several times, the desk crashes between its steps,
//! and the list of running escalations is late.
//!
//! A chain must never run twice at the same time. When all requests have arrived, exactly the chain of the current priority
//! runs, and no chain runs while the ticket is suspended.

use std::collections::{BTreeMap, BTreeSet};

use domain::Decider;
use domain::notification::escalation::{Command, Ending, Escalation};
use domain::notification::escalation_start::{Cause, Place, RUNS_MAX, Stay, place, stream};
use events::escalation::{Started, StopReason};
use events::escalation_chain::{Step, Target};
use events::{Moment, NodeId, TicketSn};

use crate::scheduler::Dice;

const SEEDS: u64 = 10_000;
/// Maximum number of events of the ticket in one run.
const EVENTS_MAX: usize = 12;
/// The chain of each priority.
const CHAINS: [Option<&str>; 4] = [None, Some("default"), Some("default"), Some("slow")];

/// A part of the desk that does not work. With it, a test checks that the simulation finds the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Each request names a stream of its own.
    NamedByRequest,
    /// A chain that was stopped never starts again.
    NoNextRun,
}

/// A message in a queue of the desk.
#[derive(Clone, Debug)]
enum Message {
    Start {
        cause: String,
        at: Moment,
        is_priority_change: bool,
    },
    Check,
    /// A stream enters the list of running escalations.
    List(String),
}

/// The stream in which a chain starts.
enum Found {
    Free(String),
    Nothing,
    /// The desk crashed after it stopped a chain.
    Crash,
}

struct World {
    dice: Dice,
    fault: Fault,
    ticket: TicketSn,
    sequence: i64,
    priority: usize,
    is_suspended: bool,
    messages: Vec<Message>,
    streams: BTreeMap<String, Escalation>,
    listed: BTreeSet<String>,
    crashes: u64,
    /// How often a request found that its chain already runs.
    taken: u64,
}

impl World {
    fn new(seed: u64, fault: Fault) -> Self {
        let mut dice = Dice::new(seed);
        let priority = dice.below(CHAINS.len());
        let mut world = Self {
            dice,
            fault,
            ticket: "REQ1".into(),
            sequence: 5,
            priority,
            is_suspended: false,
            messages: Vec::new(),
            streams: BTreeMap::new(),
            listed: BTreeSet::new(),
            crashes: 0,
            taken: 0,
        };
        world.request(false);
        world
    }

    fn request(&mut self, is_priority_change: bool) {
        self.messages.push(Message::Start {
            cause: format!("ticket-REQ1:{}", self.sequence),
            at: Moment(self.sequence),
            is_priority_change,
        });
    }

    /// Stores the next event of the ticket, and adds the messages of its reactions.
    fn happen(&mut self) {
        self.sequence += 1;
        match (self.dice.below(3), self.is_suspended) {
            (0, false) => {
                self.is_suspended = true;
                self.messages.push(Message::Check);
            }
            (0, true) => {
                self.is_suspended = false;
                self.request(false);
            }
            _ => {
                self.priority = self.dice.below(CHAINS.len());
                self.request(true);
                self.messages.push(Message::Check);
            }
        }
    }

    fn crashes(&mut self) -> bool {
        let crashes = self.dice.below(10) == 0;
        self.crashes += u64::from(crashes);
        crashes
    }

    fn chain(&self) -> Option<&'static str> {
        CHAINS[self.priority].filter(|_| !self.is_suspended)
    }

    fn execute(&mut self, stream: &str, command: &Command) {
        let state = self.streams.entry(stream.to_owned()).or_default();
        for event in state.decide(command, &()).unwrap_or_default() {
            state.evolve(&event);
        }
    }

    /// Processes a message. Returns false if the desk crashed. The message then arrives again.
    fn process(&mut self, message: &Message) -> bool {
        match message {
            Message::List(stream) => {
                self.listed.insert(stream.clone());
                true
            }
            Message::Check => {
                let listed = self.listed.clone();
                listed.iter().for_each(|stream| self.compare(stream));
                !self.crashes()
            }
            Message::Start {
                cause,
                at,
                is_priority_change,
            } => {
                let cause = Cause {
                    id: cause,
                    at: *at,
                    is_priority_change: *is_priority_change,
                };
                self.start(cause)
            }
        }
    }

    /// Stops an escalation that the ticket does not need any more.
    fn compare(&mut self, stream: &str) {
        let Some(state) = self.streams.get(stream).filter(|one| one.is_running()) else {
            return;
        };
        let chain = state.started.as_ref().map(|started| started.chain.clone());
        let reason = match self.chain() {
            _ if self.is_suspended => StopReason::TicketSuspended,
            needed if needed != chain.as_deref() => StopReason::PriorityChanged,
            _ => return,
        };
        self.execute(stream, &Command::End(Ending::Stopped(reason)));
    }

    fn start(&mut self, cause: Cause<'_>) -> bool {
        let Some(chain) = self.chain() else {
            return true;
        };
        let stream = match self.place(chain, cause) {
            Found::Free(stream) => stream,
            Found::Nothing => return true,
            Found::Crash => return false,
        };
        let step = Step {
            wait_minutes: 5,
            notify: Target::Person("p-1".into()),
            accounts: Vec::new(),
            only_if: None,
            buzz: false,
        };
        let started = Started {
            chain: chain.into(),
            version: 1,
            steps: vec![step],
            repeat: 0,
            ticket: self.ticket.clone(),
            node: NodeId(3),
            name: "approval".into(),
            round: 1,
            cause: cause.id.to_owned(),
            at: cause.at,
            priority: self.priority.to_string(),
            due: cause.at,
        };
        self.execute(&stream, &Command::Start(Box::new(started)));
        self.messages.push(Message::List(stream));
        !self.crashes()
    }

    /// Finds the stream in which the chain starts.
    fn place(&mut self, chain: &str, cause: Cause<'_>) -> Found {
        if self.fault == Fault::NamedByRequest {
            return Found::Free(format!("escalation-{}", cause.id));
        }
        let ticket = self.ticket.clone();
        let stay = Stay {
            ticket: &ticket,
            node: NodeId(3),
            round: 1,
        };
        for run in 1..=RUNS_MAX {
            let stream = stream(stay, chain, run);
            let known = self.streams.get(&stream).cloned().unwrap_or_default();
            match place(&known, cause) {
                Place::Free => return Found::Free(stream),
                Place::Taken => {
                    self.taken += 1;
                    return Found::Nothing;
                }
                Place::Ended if self.fault == Fault::NoNextRun => return Found::Nothing,
                Place::Ended => {}
                Place::Suspended => {
                    let reason = StopReason::TicketSuspended;
                    self.execute(&stream, &Command::End(Ending::Stopped(reason)));
                    if self.crashes() {
                        return Found::Crash;
                    }
                }
            }
        }
        panic!("a chain started too often")
    }

    /// Returns the chains that run.
    fn running(&self) -> Vec<&str> {
        let running = self.streams.values().filter(|one| one.is_running());
        let started = running.filter_map(|one| one.started.as_ref());
        started.map(|started| started.chain.as_str()).collect()
    }
}

fn run(seed: u64, fault: Fault) -> Result<World, String> {
    let mut world = World::new(seed, fault);
    let mut left = world.dice.below(EVENTS_MAX + 1);
    while left > 0 || !world.messages.is_empty() {
        if left > 0 && (world.messages.is_empty() || world.dice.below(3) == 0) {
            left -= 1;
            world.happen();
        }
        let number = world.messages.len();
        let number = world.dice.below(number);
        let message = world.messages.swap_remove(number);
        let is_processed = world.process(&message);
        // A message arrives again after a crash, and sometimes without one.
        if !is_processed || world.dice.below(10) == 0 {
            world.messages.push(message);
        }
        let mut running = world.running();
        running.sort_unstable();
        if running.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("a chain runs twice: {running:?}"));
        }
    }
    // The deadline of each escalation that was missing in the list compares it with the ticket.
    let streams: Vec<String> = world.streams.keys().cloned().collect();
    streams.iter().for_each(|stream| world.compare(stream));
    let expected: Vec<&str> = world.chain().into_iter().collect();
    if world.running() == expected {
        Ok(world)
    } else {
        Err(format!("{:?} instead of {expected:?}", world.running()))
    }
}

#[test]
fn a_chain_runs_once_at_a_time_and_is_never_lost() {
    let (mut crashes, mut taken, mut starts, mut again) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let world = run(seed, Fault::None).unwrap_or_else(|reason| panic!("seed {seed}: {reason}"));
        crashes += world.crashes;
        taken += world.taken;
        starts += world.streams.len();
        again += usize::from(world.streams.len() > 2);
    }
    println!("{SEEDS} nodes, {starts} starts, {taken} requests without a start, {crashes} crashes");
    assert!(
        crashes > 1_000 && taken > 1_000 && again > 1_000,
        "too few faults or starts"
    );
}

#[test]
fn the_check_finds_each_fault_of_the_starts() {
    for (fault, least) in [(Fault::NamedByRequest, 20), (Fault::NoNextRun, 20)] {
        let failed = (0..200).filter(|seed| run(*seed, fault).is_err()).count();
        assert!(failed >= least, "{fault:?}: {failed} of 200 runs fail");
    }
}
