//! This test simulates a notification that two channel accounts send. The providers of the accounts lose
//! requests and responses, refuse messages, and limit their rate. The desk can crash between any two steps. A
//! queue can park a message, which means that the message is never delivered.
//!
//! The simulation uses the decisions and deadlines of the real code. It repeats the steps of the real code
//! that sends messages. These steps are: load the delivery, store the start if the message must not be sent
//! twice, send the message, and store the result.
//!
//! Every simulated run must end. As long as the notification or a delivery has not ended, it must have a
//! deadline. A message that must not be sent twice arrives at most once. If a provider accepted a message,
//! the message has arrived.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use domain::Decider;
use domain::attempt::{Report, Verdict};
use domain::notification::delivery::{self, Delivery, End};
use domain::notification::routing::Decision;
use domain::notification::{Command, Next, Notification, Phase};
use events::delivery::{ATTEMPT, DeliveryEvent, FailureClass};
use events::notification::{
    DeliveryEnded, EXPIRE, Fact, Held, HeldReason, Mode, NotificationEvent, Outcome, RELEASE,
    Requested, Route, Routed,
};
use events::person::QuietHours;
use events::task_type::Repetition;
use events::{Event, Moment, NodeId, Personal};

use crate::scheduler::Dice;

const SEEDS: u64 = 10_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Maximum number of steps of one simulated run.
const STEPS_MAX: usize = 5_000;
/// Time in milliseconds after which the desk continues its work after a crash. The same deadline or the same
/// queue message then arrives again.
const AGAIN_MS: i64 = 30_000;
/// The rule of each channel account after an attempt with an unknown result. The first account does not send
/// the message again. The second account sends the message again.
const REPETITIONS: [Repetition; 2] = [Repetition::AtMostOnce, Repetition::AtLeastOnce];

/// One stream of the ledger: its state and the times of its deadlines.
struct Stream<D> {
    state: D,
    deadlines: BTreeMap<Cow<'static, str>, Moment>,
}

impl<D: Decider<Context = ()>> Stream<D> {
    fn new() -> Self {
        Self {
            state: D::default(),
            deadlines: BTreeMap::new(),
        }
    }

    /// Executes a command and returns its events. If the command is rejected, returns no events. The deadline
    /// `ignored` is never set. With this parameter, a test checks that the simulation finds a missing
    /// deadline.
    fn execute(&mut self, command: &D::Command, ignored: Option<&str>) -> Vec<D::Event> {
        let events = self.state.decide(command, &()).unwrap_or_default();
        for event in &events {
            self.state.evolve(event);
            for change in event.deadlines() {
                match change.due {
                    _ if ignored == Some(&*change.id) => None,
                    Some(due) => self.deadlines.insert(change.id, due),
                    None => self.deadlines.remove(&change.id),
                };
            }
        }
        events
    }
}

/// A message in a queue of the desk. The message starts a delivery (the sending of one message through one
/// channel account), or reports the end of a delivery.
#[derive(Clone, Debug)]
enum Message {
    Start(usize),
    Report(DeliveryEnded),
}

struct World {
    dice: Dice,
    now: Moment,
    notification: Stream<Notification>,
    deliveries: [Stream<Delivery>; 2],
    queue: VecDeque<Message>,
    /// Number of messages that arrived at the person. The array contains one number for each channel account.
    arrived: [u32; 2],
    /// The end of the quiet hours. No message may arrive before this time.
    earliest: Moment,
    /// Probability in percent that the provider causes a fault, such as a lost response.
    faults: usize,
    crashes: u64,
    parked: u64,
    ignored: Option<&'static str>,
    /// An English text about a deadline that should exist but is missing. `None` if no deadline is missing.
    missing: Option<String>,
}

/// An English text that explains why a simulated run failed.
#[derive(Debug)]
struct Failure(String);

fn account(number: usize) -> String {
    format!("account_{number}")
}

impl World {
    fn new(seed: u64, ignored: Option<&'static str>) -> Self {
        let mut dice = Dice::new(seed);
        let faults = [0, 20, 60, 100][dice.below(4)];
        let is_held = dice.below(2) == 0;
        let mut world = Self {
            dice,
            now: Moment(0),
            notification: Stream::new(),
            deliveries: [Stream::new(), Stream::new()],
            queue: VecDeque::new(),
            arrived: [0; 2],
            earliest: Moment(if is_held { 8 * HOUR_MS } else { 0 }),
            faults,
            crashes: 0,
            parked: 0,
            ignored,
            missing: None,
        };
        let requested = Requested {
            person: "p-1".into(),
            fact: Fact::ApprovalNeeded,
            role: events::notification::Role::Processor,
            ticket: "REQ1".into(),
            node: Some(NodeId(3)),
            name: "approval".into(),
            round: 1,
            cause: "ticket-REQ1:5".into(),
            at: Moment(0),
            priority: String::new(),
            is_urgent: false,
            is_critical: false,
            accounts: Vec::new(),
            subscription: None,
            number: None,
        };
        let next = world.next();
        world.notify(&Command::Request(Box::new(requested), next));
        world
    }

    /// Returns the decision about the notification at the current time. During quiet hours, the notification
    /// is held. Outside of quiet hours, one of ten notifications is not needed, and all others are sent.
    fn next(&mut self) -> Next {
        if self.now < self.earliest {
            return Next::Decided(Decision::Hold(Held {
                until: self.earliest,
                because: Some(HeldReason::QuietHours),
                quiet: Some(QuietHours {
                    from: "22:00".into(),
                    to: "06:00".into(),
                }),
                zone: "UTC".into(),
                presence_limit: None,
                experiment: None,
            }));
        }
        if self.dice.below(10) == 0 {
            return Next::NotNeeded("the ticket has ended".into());
        }
        let route = |number| Route {
            account: account(number),
            channel: "email".into(),
            mode: Mode::Immediate,
            clause: None,
        };
        Next::Decided(Decision::Send(Routed {
            routes: vec![route(0), route(1)],
            skipped: Vec::new(),
            fallback: Vec::new(),
            fallback_due: None,
            expires: self.now.plus_ms(DAY_MS),
            priority: None,
            experiment: None,
        }))
    }

    /// Executes a command of the notification. If the events start deliveries, adds the messages for these
    /// deliveries to the queue.
    fn notify(&mut self, command: &Command) {
        for event in self.notification.execute(command, self.ignored) {
            if let NotificationEvent::Routed(_) = event {
                (0..2).for_each(|number| self.queue(Message::Start(number)));
            }
        }
        self.check_deadlines();
    }

    /// Executes a command of the delivery with the index `number`. If the delivery ends, adds a
    /// message that reports the end to the queue. Returns true if the command added at least one
    /// event.
    fn deliver(&mut self, number: usize, command: &delivery::Command) -> bool {
        let events = self.deliveries[number].execute(command, self.ignored);
        for event in &events {
            let (is_accepted, class) = match event {
                DeliveryEvent::Succeeded(_) => (true, None),
                DeliveryEvent::Failed(failed) => (false, Some(failed.class)),
                _ => continue,
            };
            self.queue(Message::Report(DeliveryEnded {
                account: account(number),
                delivery: format!("delivery-{number}"),
                is_accepted,
                class,
                code: String::new(),
                reason: String::new(),
                is_dropped: false,
            }));
        }
        self.check_deadlines();
        !events.is_empty()
    }

    /// Adds a message to the queue. At random, the message is added twice and is then delivered twice. At
    /// random, the message is also parked: it is not added and is never delivered.
    fn queue(&mut self, message: Message) {
        if self.dice.below(100) < 2 {
            self.parked += 1;
            return;
        }
        if self.dice.below(10) == 0 {
            self.queue.push_back(message.clone());
        }
        self.queue.push_back(message);
    }

    fn crashes(&mut self) -> bool {
        let crashes = self.dice.below(100) < 5;
        self.crashes += u64::from(crashes);
        crashes
    }

    /// Processes a queue message. Returns false if the desk crashed. In this case, the same message arrives
    /// again later.
    fn process(&mut self, message: &Message) -> Result<bool, Failure> {
        match message {
            Message::Report(ended) => {
                self.notify(&Command::EndDelivery(ended.clone()));
                Ok(!self.crashes())
            }
            Message::Start(number) => {
                let value = |text: &str| Personal::new("p-1".into(), text.into());
                let requested = events::delivery::Requested {
                    notification: "notification-1".into(),
                    digest: None,
                    ticket: "REQ1".into(),
                    person: "p-1".into(),
                    account: account(*number),
                    channel: "email".into(),
                    to: value("a@b.example"),
                    content: value("text"),
                    repetition: REPETITIONS[*number],
                    due: self.now,
                    expires: self.now.plus_ms(DAY_MS),
                    is_tagged: true,
                    thread: None,
                };
                self.deliver(*number, &delivery::Command::Request(Box::new(requested)));
                if self.crashes() {
                    return Ok(false);
                }
                self.attempt(*number)
            }
        }
    }

    /// Makes the next attempt of a delivery if the time of this attempt has come. Returns false if the desk
    /// crashed.
    fn attempt(&mut self, number: usize) -> Result<bool, Failure> {
        let state = &self.deliveries[number].state;
        if !state.is_open() || state.attempts.due > self.now {
            return Ok(true);
        }
        let attempt = state.attempts.next();
        let verdict = if state.is_interrupted() {
            Verdict::Unknown {
                reason: "the desk stopped during the attempt".into(),
            }
        } else {
            if REPETITIONS[number] == Repetition::AtMostOnce {
                let until = self.now.plus_ms(50_000);
                let begin = delivery::Command::Begin { attempt, until };
                if !self.deliver(number, &begin) {
                    return Ok(true);
                }
                if self.crashes() {
                    return Ok(false);
                }
            }
            let verdict = self.send(number)?;
            if self.crashes() {
                return Ok(false);
            }
            verdict
        };
        let report = Report {
            attempt,
            exchange: None,
            status: None,
            verdict,
            policy: delivery::POLICY,
            at: self.now,
        };
        self.deliver(number, &delivery::Command::Record(report));
        Ok(!self.crashes())
    }

    /// Simulates that a message is sent to the provider. Returns the verdict (the result of the attempt).
    /// Returns an error if the message is sent during quiet hours.
    fn send(&mut self, number: usize) -> Result<Verdict, Failure> {
        if self.now < self.earliest {
            return Err(Failure("a message was sent in the quiet hours".into()));
        }
        let kind = if self.dice.below(100) < self.faults {
            self.dice.below(5)
        } else {
            9
        };
        let reason = String::from("fault");
        Ok(match kind {
            0 => Verdict::Retry {
                reason: reason.into(),
                after_ms: None,
            },
            1 => Verdict::Throttled {
                reason: reason.into(),
                after_ms: 60_000,
            },
            2 => Verdict::Refused {
                class: FailureClass::Permanent,
                code: "1".into(),
                reason: reason.into(),
            },
            3 => Verdict::Unknown {
                reason: reason.into(),
            },
            4 => {
                self.arrived[number] += 1;
                Verdict::Unknown {
                    reason: reason.into(),
                }
            }
            _ => {
                self.arrived[number] += 1;
                Verdict::Succeeded {
                    outputs: BTreeMap::new(),
                    observed: None,
                }
            }
        })
    }

    /// Returns the time, the stream and the id of the earliest deadline. The value for the stream is the
    /// index of a delivery, or `None` if the deadline belongs to the notification.
    fn earliest_deadline(&self) -> Option<(Moment, Option<usize>, Cow<'static, str>)> {
        let own = self.notification.deadlines.iter();
        let own = own.map(|(id, due)| (*due, None, id.clone()));
        let of_deliveries = self
            .deliveries
            .iter()
            .enumerate()
            .flat_map(|(number, stream)| {
                let all = stream.deadlines.iter();
                all.map(move |(id, due)| (*due, Some(number), id.clone()))
            });
        own.chain(of_deliveries).min()
    }

    /// Checks that the notification and each delivery have a deadline until they have ended. If a deadline is
    /// missing, stores this error in `missing`.
    fn check_deadlines(&mut self) {
        let expected = match &self.notification.state.phase {
            Phase::Held(_) => Some(RELEASE),
            Phase::Sending => Some(EXPIRE),
            Phase::New | Phase::Completed(_) => None,
        };
        if let Some(id) = expected
            && !self.notification.deadlines.contains_key(id)
        {
            self.missing = Some(format!("the notification has no deadline {id}"));
        }
        for stream in &self.deliveries {
            if stream.state.is_open() && !stream.deadlines.contains_key(ATTEMPT) {
                self.missing = Some("a delivery has no deadline".into());
            }
        }
    }

    fn fire(&mut self, stream: Option<usize>, id: &str) -> Result<bool, Failure> {
        if let Some(number) = stream {
            return self.attempt(number);
        }
        let at = self.now;
        let command = if id == RELEASE {
            let next = self.next();
            Command::Release { next, at }
        } else {
            Command::Expire { at, obstacle: None }
        };
        self.notify(&command);
        Ok(!self.crashes())
    }
}

fn run(seed: u64, ignored: Option<&'static str>) -> Result<World, Failure> {
    let mut world = World::new(seed, ignored);
    for _ in 0..STEPS_MAX {
        if let Some(missing) = world.missing {
            return Err(Failure(missing));
        }
        if let Some(message) = world.queue.pop_front() {
            if !world.process(&message)? {
                world.now = world.now.plus_ms(AGAIN_MS);
                world.queue.push_back(message);
            }
            continue;
        }
        let Some((due, stream, id)) = world.earliest_deadline() else {
            return Ok(world);
        };
        world.now = world.now.max(due);
        if !world.fire(stream, &id)? {
            world.now = world.now.plus_ms(AGAIN_MS);
        }
    }
    Err(Failure(format!(
        "the run does not end: {:?}",
        world.notification.state
    )))
}

fn check(world: &World) -> Result<&'static str, Failure> {
    let state = &world.notification.state;
    let fail = |text: &str| Err(Failure(format!("{text}: {state:?}")));
    let Phase::Completed(completed) = &state.phase else {
        return fail("the notification has not ended");
    };
    for (number, stream) in world.deliveries.iter().enumerate() {
        let arrived = world.arrived[number];
        if stream.state.is_open() {
            return fail("a delivery has not ended");
        }
        if REPETITIONS[number] == Repetition::AtMostOnce && arrived > 1 {
            return fail("a message that must not be repeated arrived twice");
        }
        if matches!(stream.state.end, Some(End::Succeeded(_))) && arrived == 0 {
            return fail("an accepted message did not arrive");
        }
    }
    let accepted = state.ended.iter().filter(|ended| ended.is_accepted).count();
    match completed.outcome {
        Outcome::NotNeeded if world.arrived == [0, 0] => Ok("not needed"),
        Outcome::Accepted if accepted > 0 => Ok("accepted"),
        Outcome::InboxOnly => Ok("in the inbox only"),
        _ => fail("the outcome differs from the deliveries"),
    }
}

#[test]
fn every_notification_ends_in_any_weather() {
    let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut crashes, mut parked, mut repeats) = (0, 0, 0);
    for seed in 0..SEEDS {
        let ended = run(seed, None).and_then(|world| Ok((check(&world)?, world)));
        match ended {
            Ok((outcome, world)) => {
                crashes += world.crashes;
                parked += world.parked;
                repeats += u64::from(world.arrived[1].saturating_sub(1));
                *outcomes.entry(outcome).or_default() += 1;
            }
            Err(Failure(reason)) => panic!("seed {seed}: {reason}"),
        }
    }
    println!(
        "{SEEDS} notifications, {crashes} crashes, {parked} parked messages, {repeats} repeated mails: {outcomes:?}"
    );
    assert_eq!(outcomes.len(), 3, "every outcome occurs");
    assert!(
        crashes > 1_000 && parked > 100 && repeats > 100,
        "too few faults"
    );
}

#[test]
fn the_check_finds_a_missing_deadline_of_a_notification() {
    for (deadline, least) in [(ATTEMPT, 150), (EXPIRE, 150), (RELEASE, 60)] {
        let failed = (0..200)
            .filter(|seed| run(*seed, Some(deadline)).is_err())
            .count();
        assert!(failed >= least, "{deadline}: {failed} of 200 runs fail");
    }
}
