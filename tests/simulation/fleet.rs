//! This test simulates missions (work orders) of robots. The robots lose messages, reject orders, restart
//! and fail completely. The desk crashes after it has stored an event and before it has sent the messages
//! for the event.
//!
//! The test uses the real deciders, the real choice of robots, and the real deadlines of the events. It
//! repeats the steps of the real functions: handle a deadline or a state message of a robot, record the
//! result, then publish a message or release a robot.
//!
//! Every run must end within a limited time. Work that must not be repeated must not begin twice. At the
//! end, each robot must be free, or quarantined if it failed completely.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use domain::Decider;
use domain::fleet::choice::{Candidate, Need, choose};
use domain::fleet::dispatch::{Command, Dispatch, Phase};
use domain::fleet::model::{
    ActionState, ActionStatus, Progress, RobotError, Snapshot, mission_of, order_id, progress,
};
use domain::fleet::robot::{self, Robot, Slot};
use events::dispatch::{DispatchEvent, EXPIRE, Requested, STEP};
use events::robot::{CHECK, Defined};
use events::site::Position;
use events::task_type::Repetition;
use events::{Event as _, Moment, NodeId};

use crate::harness::runs::count_outcomes;
use crate::scheduler::Dice;

const SEEDS: u64 = 10_000;
const ROBOTS: usize = 3;
const STREAM: &str = "dispatch-5d41402abc4b2a76b9719d911017c592";
/// Time at which a mission (the work of a robot) expires if the robot has not begun the work, in
/// milliseconds.
const EXPIRES: Moment = Moment(600_000);
const WORK_MS: i64 = 60_000;
/// Time before which every mission must end, in milliseconds. This time is longer than the sum of these
/// times: the expiry, the work, the lease (the time for which a robot keeps its mission), and the longest
/// waits for a lost robot and for a cancellation.
const ENDS: Moment = Moment(1_200_000);
/// Additional time without faults at the end of a run, in milliseconds. After this time, each robot must be
/// free or quarantined (excluded from missions).
const SETTLES_MS: i64 = 180_000;
/// Time between two state messages of a robot, in milliseconds.
const TICK_MS: i64 = 2_000;
/// Maximum number of steps of one run.
const STEPS_MAX: usize = 20_000;

/// The progress of a robot in its current order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Traveling,
    AtGate,
    Working,
    Done,
    /// The order was canceled or failed.
    Over,
}

/// One simulated robot.
#[derive(Clone, Debug, Default)]
struct Bot {
    is_dead: bool,
    order: Option<(u32, u32, Stage)>,
    rejected: Option<u32>,
}

/// An event that the simulation processes at a later time: the next step of a robot, or the arrival of a
/// message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Tick(usize),
    Order {
        robot: usize,
        epoch: u32,
        update: u32,
    },
    Cancel {
        robot: usize,
        epoch: u32,
    },
    State {
        robot: usize,
        text: String,
    },
}

/// A text that explains why a simulated run failed.
#[derive(Debug)]
struct Failure(String);

struct World {
    dice: Dice,
    now: Moment,
    repetition: Repetition,
    /// Probability that a message is lost, in percent.
    loss: usize,
    mission: Dispatch,
    deadlines: BTreeMap<Cow<'static, str>, Moment>,
    robots: Vec<Robot>,
    checks: Vec<Option<Moment>>,
    bots: Vec<Bot>,
    /// For each robot, the last state that the desk received, with the time of receipt.
    seen: Vec<Option<(Snapshot, Moment)>>,
    coming: BinaryHeap<Reverse<(Moment, u64, Happening)>>,
    number: u64,
    /// The attempts in which work began. Each entry contains the index of the robot and the attempt
    /// number.
    begun: BTreeSet<(usize, u32)>,
    crashes: u64,
    ignored: Option<&'static str>,
    is_calm: bool,
}

fn name(robot: usize) -> String {
    format!("agv_{robot}")
}

impl World {
    fn new(seed: u64, ignored: Option<&'static str>) -> Self {
        let mut dice = Dice::new(seed);
        let repetition = [Repetition::AtMostOnce, Repetition::AtLeastOnce][dice.below(2)];
        let loss = [0, 5, 30, 80][dice.below(4)];
        let mut world = Self {
            dice,
            now: Moment(0),
            repetition,
            loss,
            mission: Dispatch::default(),
            deadlines: BTreeMap::new(),
            robots: Vec::new(),
            checks: vec![None; ROBOTS],
            bots: vec![Bot::default(); ROBOTS],
            seen: vec![None; ROBOTS],
            coming: BinaryHeap::new(),
            number: 0,
            begun: BTreeSet::new(),
            crashes: 0,
            ignored,
            is_calm: false,
        };
        for at in 0..ROBOTS {
            let defined = Defined {
                name: name(at),
                site: "hall".into(),
                skills: vec!["patrol".into()],
                interface: "uagv".into(),
                manufacturer: "m".into(),
                serial: at.to_string(),
                version: "2.0.0".into(),
                instant_actions: "actions".into(),
            };
            world.robots.push(Robot {
                defined: Some(defined),
                slot: Slot::Free,
            });
            let late = i64::try_from(world.dice.below(2_000)).unwrap_or(0);
            world.plan(late, Happening::Tick(at));
        }
        let requested = Requested {
            ticket: "REQ1".into(),
            node: NodeId(3),
            name: "Robot".into(),
            round: 1,
            attempt: 1,
            cause: "ticket-REQ1:5".into(),
            task_type: "patrol".into(),
            action: "noop".into(),
            parameters: BTreeMap::new(),
            repetition,
            work_ms: WORK_MS,
            site: "hall".into(),
            map: "hall".into(),
            station: "S1".into(),
            position: Position { x: 9.0, y: 0.0 },
            problem: String::new(),
            due: Moment(0),
            expires: EXPIRES,
        };
        world.execute(&Command::Request(Box::new(requested)));
        world
    }

    fn plan(&mut self, after_ms: i64, happening: Happening) {
        self.number += 1;
        let at = self.now.plus_ms(after_ms);
        self.coming.push(Reverse((at, self.number, happening)));
    }

    /// Sends a message. At random, the message arrives late, arrives twice, or is lost.
    fn send(&mut self, happening: Happening) {
        let is_faulty = !self.is_calm;
        if is_faulty && self.dice.below(100) < self.loss {
            return;
        }
        let copies = 1 + usize::from(is_faulty && self.dice.below(20) == 0);
        for _ in 0..copies {
            let late = i64::try_from(1 + self.dice.below(50)).unwrap_or(1);
            let very_late = is_faulty && self.dice.below(50) == 0;
            self.plan(if very_late { late * 400 } else { late }, happening.clone());
        }
    }

    fn crashes(&mut self) -> bool {
        let crashes = !self.is_calm && self.dice.below(100) < 5;
        self.crashes += u64::from(crashes);
        crashes
    }

    /// Executes a command of the mission. Then sends the messages and releases the robots according to the
    /// new events. A simulated crash can skip these steps.
    fn execute(&mut self, command: &Command) {
        let Ok(events) = self.mission.decide(command, &()) else {
            return;
        };
        for event in &events {
            self.mission.evolve(event);
            for change in event.deadlines() {
                match change.due {
                    _ if self.ignored == Some(&*change.id) => None,
                    Some(due) => self.deadlines.insert(change.id, due),
                    None => self.deadlines.remove(&change.id),
                };
            }
        }
        for event in &events {
            if self.crashes() {
                return;
            }
            self.follow_up(event);
        }
    }

    fn follow_up(&mut self, event: &DispatchEvent) {
        let epoch = self.mission.epoch;
        let Some(robot) = (0..ROBOTS).find(|at| name(*at) == self.mission.robot) else {
            return;
        };
        let update = self.mission.order(STREAM).map_or(0, |order| order.update);
        match event {
            DispatchEvent::Offered(_)
            | DispatchEvent::OfferRepeated(_)
            | DispatchEvent::WorkReleased(_) => self.send(Happening::Order {
                robot,
                epoch,
                update,
            }),
            DispatchEvent::CancelRequested(_) => self.send(Happening::Cancel { robot, epoch }),
            DispatchEvent::AttemptFailed(_)
            | DispatchEvent::Completed(_)
            | DispatchEvent::Expired(_) => {
                let release = robot::Command::Release {
                    dispatch: STREAM.into(),
                    epoch,
                    reason: "the attempt ended".into(),
                    at: self.now,
                };
                self.reserve(robot, &release);
                self.send(Happening::Cancel { robot, epoch });
            }
            _ => {}
        }
    }

    /// Executes a command on the reservation of the robot with the index `at`. Returns whether the
    /// command was accepted.
    fn reserve(&mut self, at: usize, command: &robot::Command) -> bool {
        let Ok(events) = self.robots[at].decide(command, &()) else {
            return false;
        };
        for event in &events {
            self.robots[at].evolve(event);
            for change in event.deadlines() {
                if self.ignored != Some(CHECK) {
                    self.checks[at] = change.due;
                }
            }
        }
        true
    }

    /// Performs the work of the desk for the mission that needs no message: chooses a robot, or records the
    /// result of the mission on the ticket.
    fn step(&mut self) {
        if self.mission.phase == Phase::Done {
            if !self.crashes() {
                self.execute(&Command::Close { recorded: true });
            }
            return;
        }
        if self.mission.phase != Phase::Queued || self.now < self.mission.due {
            return;
        }
        let excluded: BTreeSet<String> = self
            .mission
            .excluded
            .iter()
            .filter(|(_, until)| **until > self.now)
            .map(|(robot, _)| robot.clone())
            .collect();
        let need = Need {
            task_type: "patrol",
            site: "hall",
            position: Position { x: 9.0, y: 0.0 },
            excluded: &excluded,
        };
        let candidates: Vec<Candidate> = (0..ROBOTS)
            .map(|at| Candidate {
                robot: self.robots[at].defined.clone().expect("a definition"),
                slot: self.robots[at].slot.clone(),
                state: self.seen[at].clone(),
                is_connected: true,
            })
            .collect();
        let choice = choose(&candidates, &need, self.now);
        let epoch = self.mission.epoch + 1;
        let Some((robot, start_node, start)) = choice.able.first().cloned() else {
            let postpone = Command::Postpone {
                reasons: choice.reasons,
                at: self.now,
            };
            return self.execute(&postpone);
        };
        let at = (0..ROBOTS).find(|at| name(*at) == robot).expect("a robot");
        let reserve = robot::Command::Reserve {
            dispatch: STREAM.into(),
            epoch,
            at: self.now,
        };
        if self.reserve(at, &reserve) && !self.crashes() {
            let offer = Command::Offer {
                robot,
                start,
                start_node,
                reasons: choice.reasons,
                at: self.now,
            };
            self.execute(&offer);
        }
    }

    /// Handles one deadline of the mission. `id` is the id of this deadline.
    fn fire(&mut self, id: &str) {
        if id == EXPIRE {
            let expire = Command::Expire { at: self.now };
            self.execute(&expire);
        } else {
            let order = order_id(STREAM, self.mission.epoch);
            let robot = (0..ROBOTS).find(|at| name(*at) == self.mission.robot);
            let seen = robot
                .and_then(|at| self.seen[at].as_ref())
                .filter(|(snapshot, _)| snapshot.order == order)
                .map(|(_, received)| *received);
            let fire = Command::Fire { seen, at: self.now };
            self.execute(&fire);
        }
        self.step();
    }

    /// Handles the deadline of the reservation of the robot with the index `at`. Extends the
    /// reservation if the mission still needs the robot, and otherwise releases the robot.
    fn check(&mut self, at: usize) {
        let command = match self.robots[at].slot.clone() {
            Slot::Held {
                dispatch, epoch, ..
            } => {
                if self.mission.needs_robot(&name(at), epoch) {
                    robot::Command::Keep { at: self.now }
                } else {
                    robot::Command::Release {
                        dispatch,
                        epoch,
                        reason: "the mission does not need the robot".into(),
                        at: self.now,
                    }
                }
            }
            _ => robot::Command::Fire { at: self.now },
        };
        self.reserve(at, &command);
    }

    /// Processes a state message that the desk received from the robot with the index `at`.
    fn receive(&mut self, at: usize, snapshot: &Snapshot) {
        self.seen[at] = Some((snapshot.clone(), self.now));
        let mut attempts: BTreeSet<u32> = mission_of(&snapshot.order)
            .map(|(_, epoch)| epoch)
            .into_iter()
            .collect();
        if let Slot::Held { epoch, .. } = &self.robots[at].slot {
            attempts.insert(*epoch);
        }
        for epoch in attempts {
            let order = order_id(STREAM, epoch);
            let shown = progress(&order, self.repetition, snapshot);
            let observe = Command::Observe {
                epoch,
                progress: shown.clone(),
                received: self.now,
                at: self.now,
            };
            let before = self.mission.clone();
            self.execute(&observe);
            self.step();
            let has_order = matches!(
                shown,
                Progress::Accepted | Progress::AtGate | Progress::Working
            );
            if before != self.mission || !has_order {
                continue;
            }
            // The state message shows that the robot has not processed an earlier message of the
            // desk. The desk sends this earlier message again.
            let is_over = matches!(
                self.mission.phase,
                Phase::Queued | Phase::Done | Phase::Canceling
            );
            if epoch != self.mission.epoch || is_over {
                self.send(Happening::Cancel { robot: at, epoch });
            } else if shown == Progress::AtGate && self.mission.is_released {
                self.send(Happening::Order {
                    robot: at,
                    epoch,
                    update: 1,
                });
            }
        }
        if snapshot.is_idle() {
            let idle = robot::Command::ShowIdle { since: self.now };
            self.reserve(at, &idle);
        }
    }

    /// Processes an order that arrived at the robot with the index `at`. `epoch` is the attempt
    /// number of the mission. `update` is the update number of the order.
    fn order(&mut self, at: usize, epoch: u32, update: u32) {
        let rejects = !self.is_calm && self.dice.below(20) == 0;
        let bot = &mut self.bots[at];
        let is_free = matches!(bot.order, None | Some((_, _, Stage::Done | Stage::Over)));
        match &mut bot.order {
            _ if bot.is_dead => {}
            Some((own, known, Stage::Traveling | Stage::AtGate)) if *own == epoch => {
                *known = update.max(*known);
            }
            Some((own, ..)) if *own == epoch => {}
            _ if update > 0 || !is_free => {}
            _ if rejects => bot.rejected = Some(epoch),
            _ => bot.order = Some((epoch, 0, Stage::Traveling)),
        }
    }

    /// Performs the next step of the robot with the index `at`, and then sends a state message of
    /// this robot to the desk.
    fn tick(&mut self, at: usize) {
        self.plan(TICK_MS, Happening::Tick(at));
        let (dies, restarts, moves) = (
            !self.is_calm && self.dice.below(400) == 0,
            !self.is_calm && self.dice.below(200) == 0,
            self.dice.below(10) < 4,
        );
        let has_gate = self.repetition == Repetition::AtMostOnce;
        let bot = &mut self.bots[at];
        bot.is_dead |= dies;
        if bot.is_dead {
            return;
        }
        if restarts {
            bot.order = None;
        }
        if let Some((epoch, update, stage)) = &mut bot.order {
            *stage = match *stage {
                Stage::Traveling if moves => Stage::AtGate,
                Stage::AtGate if !has_gate || *update > 0 => {
                    self.begun.insert((at, *epoch));
                    Stage::Working
                }
                Stage::Working if moves => Stage::Done,
                other => other,
            };
        }
        let text = serde_json::to_string(&self.snapshot(at)).expect("a text");
        self.send(Happening::State { robot: at, text });
    }

    fn snapshot(&self, at: usize) -> Snapshot {
        let bot = &self.bots[at];
        let position = i32::try_from(at).unwrap_or(0);
        let mut snapshot = Snapshot {
            last_node: "n".into(),
            is_automatic: true,
            position: Some(Position {
                x: f64::from(position),
                y: 0.0,
            }),
            charge: Some(90.0),
            ..Snapshot::default()
        };
        if let Some(epoch) = bot.rejected {
            snapshot.errors.push(RobotError {
                kind: "orderError".into(),
                is_fatal: false,
                references: vec![order_id(STREAM, epoch)],
            });
        }
        let Some((epoch, update, stage)) = bot.order else {
            return snapshot;
        };
        let has_gate = self.repetition == Repetition::AtMostOnce;
        snapshot.order = order_id(STREAM, epoch);
        snapshot.update = update;
        let work = |status| ActionState {
            id: format!("{}-work", order_id(STREAM, epoch)),
            status,
            result: String::new(),
        };
        match stage {
            Stage::Traveling => {
                snapshot.is_driving = true;
                snapshot.nodes = vec![(2, true)];
                if has_gate {
                    snapshot.nodes.push((4, update > 0));
                }
            }
            Stage::AtGate => {
                snapshot.last_sequence = 2;
                snapshot.nodes = vec![(4, !has_gate || update > 0)];
            }
            Stage::Working => {
                snapshot.last_sequence = 4;
                snapshot.actions.push(work(ActionStatus::Running));
            }
            Stage::Done => {
                snapshot.last_sequence = 4;
                snapshot.actions.push(work(ActionStatus::Finished));
            }
            Stage::Over => {
                snapshot.last_sequence = 2;
                snapshot.actions.push(work(ActionStatus::Failed));
            }
        }
        snapshot
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick(at) => self.tick(at),
            Happening::Order {
                robot,
                epoch,
                update,
            } => self.order(robot, epoch, update),
            Happening::Cancel { robot, epoch } => {
                let bot = &mut self.bots[robot];
                if let Some((own, _, stage)) = &mut bot.order
                    && *own == epoch
                    && matches!(stage, Stage::Traveling | Stage::AtGate | Stage::Working)
                {
                    *stage = Stage::Over;
                }
            }
            Happening::State { robot, text } => {
                let snapshot: Snapshot = serde_json::from_str(&text).expect("a snapshot");
                self.receive(robot, &snapshot);
            }
        }
    }

    /// Handles the next message or the next deadline. If the work at a deadline does not change this
    /// deadline, the function sets the deadline again, 10 seconds later.
    fn advance(&mut self) {
        let due = self.deadlines.iter().min_by_key(|(_, due)| **due);
        let due = due.map(|(id, due)| (id.clone(), *due));
        let check = (0..ROBOTS)
            .filter_map(|at| Some((self.checks[at]?, at)))
            .min();
        let next = self.coming.peek().map(|Reverse((at, ..))| *at);
        let next = next.expect("robots tick without an end");
        match (due, check) {
            (Some((id, due)), check) if due <= next && check.is_none_or(|(at, _)| due <= at) => {
                self.now = self.now.max(due);
                self.fire(&id);
                if self.deadlines.get(&id) == Some(&due) {
                    self.deadlines.insert(id, self.now.plus_ms(10_000));
                }
            }
            (_, Some((due, at))) if due <= next => {
                self.now = self.now.max(due);
                self.check(at);
                if self.checks[at] == Some(due) {
                    self.checks[at] = Some(self.now.plus_ms(10_000));
                }
            }
            _ => {
                let Reverse((at, _, happening)) = self.coming.pop().expect("a message");
                self.now = self.now.max(at);
                self.happen(happening);
            }
        }
    }
}

/// Runs one mission. Returns the number of crashes and the outcome. If `ignored` contains a deadline id,
/// the run ignores all changes of this deadline.
fn run(seed: u64, ignored: Option<&'static str>) -> Result<(u64, &'static str), Failure> {
    let mut world = World::new(seed, ignored);
    for _ in 0..STEPS_MAX {
        if world.mission.is_closed {
            break;
        }
        if !world.deadlines.contains_key(STEP) {
            return Err(Failure(format!("no deadline in {:?}", world.mission)));
        }
        let can_expire = !world.mission.is_released && world.mission.phase != Phase::Done;
        if can_expire && !world.deadlines.contains_key(EXPIRE) {
            return Err(Failure(format!("no expiry in {:?}", world.mission)));
        }
        if world.now > ENDS {
            return Err(Failure(format!("no end after {} ms", world.now.0)));
        }
        world.advance();
    }
    if !world.mission.is_closed {
        return Err(Failure(format!(
            "the run does not end: {:?}",
            world.mission
        )));
    }
    world.is_calm = true;
    let end = world.now.plus_ms(SETTLES_MS);
    while world.now < end {
        world.advance();
    }
    for at in 0..ROBOTS {
        let slot = &world.robots[at].slot;
        let is_settled = match slot {
            Slot::Free => true,
            Slot::Quarantined { .. } => world.bots[at].is_dead,
            Slot::Held { .. } | Slot::Releasing { .. } => false,
        };
        if !is_settled {
            return Err(Failure(format!(
                "robot {at} is {slot:?}: {:?}",
                world.bots[at]
            )));
        }
    }
    if world.repetition == Repetition::AtMostOnce && world.begun.len() > 1 {
        return Err(Failure(format!("work began twice: {:?}", world.begun)));
    }
    let outcome = world.mission.outcome.as_ref().expect("an outcome");
    Ok((
        world.crashes,
        match (outcome.succeeded, world.begun.is_empty()) {
            (true, true) => return Err(Failure("success without work".into())),
            (true, false) if world.mission.epoch > 1 => "done by a later robot",
            (true, false) => "done by the first robot",
            (false, true) => "with a person before any work",
            (false, false) => "with a person after the work began",
        },
    ))
}

#[test]
fn every_mission_ends_and_no_work_begins_twice() {
    let run = |seed| run(seed, None).map_err(|Failure(reason)| reason);
    let (crashes, outcomes) = count_outcomes(SEEDS, run);
    println!("{SEEDS} missions, {crashes} crashes: {outcomes:?}");
    assert_eq!(outcomes.len(), 4, "every outcome occurs");
    assert!(
        crashes > SEEDS / 2,
        "too few crashes for a useful result: {crashes}"
    );
}

#[test]
fn the_check_finds_a_missing_deadline_of_a_mission_or_robot() {
    for (deadline, least) in [(STEP, 200), (EXPIRE, 200), (CHECK, 20)] {
        let failed = (0..200)
            .filter(|seed| run(*seed, Some(deadline)).is_err())
            .count();
        assert!(
            failed >= least,
            "{deadline}: only {failed} of 200 runs fail"
        );
    }
}
