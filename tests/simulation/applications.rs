//! This test simulates applications. An application is a request for approval that the desk sends
//! to an external ITSM. The external ITSM loses requests and responses, and it responds late or
//! never. The desk can crash between any two steps.
//!
//! The simulation uses the decisions and deadlines of the real code. It repeats the steps of the real
//! runner: load the application, record the start, send the request, record the response, and close the
//! application.
//!
//! Every run must create at most one external ticket, and must end with one outcome and one result on the
//! ticket of the desk. An application that has not ended must always have a deadline.

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::Decider;
use domain::attempt::{Report, Verdict};
use domain::decider::DecideError;
use domain::itsm::application::{
    Answer, Application, Command, ExternalTicket, POLICY, Rejection, Step,
};
use domain::workflow::import::equals;
use events::application::{
    ATTEMPT, ApplicationEvent, Applied, Cause, Closed, EXPIRE, POLL, Requested, Target,
};
use events::workflow::Condition;
use events::{Event as _, Moment, NodeId, Personal};
use serde_json::json;

use crate::harness::runs::count_outcomes;
use crate::scheduler::Dice;

const SEEDS: u64 = 10_000;
const DAY_MS: i64 = 24 * 3_600_000;
const EXPIRES: Moment = Moment(14 * DAY_MS);
/// Maximum number of steps of one run. A run in which the desk polls for 14 days needs about 4,100 steps.
const STEPS_MAX: usize = 6_000;
/// Time after which the same deadline fires again if its first firing had no effect, in milliseconds.
const AGAIN_MS: i64 = 30_000;

/// A ticket that exists in the external ITSM.
struct External {
    /// Time from which a query can find the ticket in the external ITSM. A fault can delay this
    /// time. A query directly after the creation then does not find the ticket.
    visible: Moment,
    decided: Option<(Moment, &'static str, &'static str)>,
    is_withdrawn: bool,
}

struct World {
    dice: Dice,
    now: Moment,
    events: Vec<ApplicationEvent>,
    state: Application,
    deadlines: BTreeMap<Cow<'static, str>, Moment>,
    externals: Vec<External>,
    /// The results that the ticket of the desk recorded for the application (the request for
    /// approval). Each entry contains whether the application succeeded, and the result value.
    results: Vec<(bool, String)>,
    /// In a normal run, the value is `None`. If the value is a deadline id, the run ignores all changes of
    /// this deadline, and the test expects a failure.
    ignored: Option<&'static str>,
    /// Probability of a fault in a request to the external ITSM, in percent.
    faults: usize,
    /// Whether the ticket of the desk ends during the run. The desk then withdraws the external ticket.
    withdraws: bool,
    /// Whether the desk searches for the service before it creates the external ticket.
    discovers: bool,
    crashes: u64,
}

/// A text that explains why a simulated run did not end, or ended in a wrong state.
#[derive(Debug)]
struct Failure(String);

/// The result of one attempt to advance the application (the request for approval) to its next state.
enum Try {
    Done,
    Crashed,
}

fn granted() -> Condition {
    equals("approval_result", "true")
}

impl World {
    fn new(seed: u64, ignored: Option<&'static str>) -> Self {
        let mut dice = Dice::new(seed);
        let faults = [0, 10, 40, 90, 100][dice.below(5)];
        let withdraws = dice.below(4) == 0;
        let (discovers, by_person) = (dice.below(3) == 0, dice.below(2) == 0);
        let mut world = Self {
            withdraws,
            discovers,
            dice,
            now: Moment(0),
            events: Vec::new(),
            state: Application::default(),
            deadlines: BTreeMap::new(),
            externals: Vec::new(),
            results: Vec::new(),
            ignored,
            faults,
            crashes: 0,
        };
        let requested = Requested {
            ticket: "REQ1".into(),
            node: NodeId(3),
            name: "apply".into(),
            round: 1,
            attempt: 1,
            cause: "ticket-REQ1:5".into(),
            kind: "log_collection".into(),
            inputs: BTreeMap::new(),
            due: Moment(0),
            expires: EXPIRES,
        };
        let applied = Applied {
            kind: "log_collection".into(),
            applicant: "p-1".into(),
            app: None,
            subject: "c-1".into(),
            round: 1,
            key: String::new(),
            content: String::new(),
            fields: Personal::new("p-1".into(), json!({})),
            cause: "r-1".into(),
            due: Moment(0),
            expires: EXPIRES,
        };
        let command = if by_person {
            Command::Apply(Box::new(applied))
        } else {
            Command::Request(requested)
        };
        world.execute(&command).expect("accepted");
        world
    }

    fn execute(&mut self, command: &Command) -> Result<(), Rejection> {
        match self.state.decide(command, &()) {
            Ok(events) => {
                for event in events {
                    self.state.evolve(&event);
                    for change in event.deadlines() {
                        match change.due {
                            _ if self.ignored == Some(&*change.id) => None,
                            Some(due) => self.deadlines.insert(change.id, due),
                            None => self.deadlines.remove(&change.id),
                        };
                    }
                    self.events.push(event);
                }
                Ok(())
            }
            Err(DecideError::Rejected(rejection)) => Err(rejection),
            Err(DecideError::Needs(needs)) => match needs.into_iter().next() {
                Some(nothing) => match nothing {},
                None => Ok(()),
            },
        }
    }

    fn crashes(&mut self) -> bool {
        let crashes = self.dice.below(100) < 5;
        self.crashes += u64::from(crashes);
        crashes
    }

    /// Executes a request of the desk at the external ITSM, and returns the answer that the desk
    /// receives. Faults occur at random: the request is lost, the response is lost, or a new ticket
    /// is visible late.
    fn send(&mut self) -> Answer {
        let fault = self.dice.below(100) < self.faults;
        let kind = self.dice.below(5);
        if fault && kind == 0 {
            return Answer::NotSent("connection refused".into());
        }
        if fault && kind == 1 {
            return Answer::Unclear("the request is lost".into());
        }
        let answer = match self.state.step {
            Step::Discover => Answer::Services(vec![(18, "service".into())]),
            Step::Create => {
                let late = if fault {
                    i64::try_from(self.dice.below(20_000)).unwrap_or(0)
                } else {
                    0
                };
                self.externals.push(External {
                    visible: self.now.plus_ms(late),
                    decided: None,
                    is_withdrawn: false,
                });
                Answer::Created(format!("X{}", self.externals.len()))
            }
            // This external ITSM uses the tag of a search, so the search for an unused tag finds nothing.
            Step::Probe => Answer::Found(None),
            Step::Withdraw => match self.externals.first_mut() {
                Some(external) if external.decided.is_none() && !external.is_withdrawn => {
                    external.is_withdrawn = true;
                    Answer::Withdrawn
                }
                _ => Answer::Rejected("the ticket is over".into()),
            },
            Step::Find => {
                let found = self
                    .externals
                    .iter()
                    .position(|one| one.visible <= self.now);
                Answer::Found(found.map(|at| format!("X{}", at + 1)))
            }
            Step::Verify => Answer::Verified(self.dice.below(2) == 0),
            Step::Confirm | Step::Poll | Step::Fetch | Step::Reconcile | Step::Missed => {
                let decided = self.externals.first().and_then(|one| one.decided);
                let is_withdrawn = self.externals.first().is_some_and(|one| one.is_withdrawn);
                let (status, approval) = match decided {
                    _ if is_withdrawn => ("REVOKED", ""),
                    Some((at, status, approval)) if at <= self.now => (status, approval),
                    _ => ("RUNNING", ""),
                };
                Answer::Ticket(ExternalTicket {
                    status: status.into(),
                    fields: BTreeMap::from([("approval_result".to_owned(), approval.into())]),
                    links: BTreeMap::new(),
                })
            }
        };
        if fault && kind == 2 && self.state.step == Step::Create {
            return Answer::Failed("a gateway did not wait for the response".into());
        }
        if fault {
            return Answer::Unclear("no response".into());
        }
        answer
    }

    /// Makes one attempt to advance the application (the request for approval) to its next state. A
    /// simulated crash of the desk can end the attempt after each of its steps.
    fn step(&mut self) -> Result<Try, Failure> {
        if self.state.is_open() {
            if self.state.attempts.due > self.now {
                return Ok(Try::Done);
            }
            let attempt = self.state.attempts.next();
            let is_unknown = self.discovers && self.state.service.is_none();
            let verdict = if let Some(verdict) = self.state.interrupted() {
                verdict
            } else if let (true, Some(reason)) = (self.state.is_early(), &self.state.withdrawal) {
                Verdict::Failed {
                    reason: reason.clone().into(),
                    outputs: BTreeMap::new(),
                }
            } else if is_unknown && self.state.step == Step::Create {
                self.state.undiscovered()
            } else {
                if self.state.step == Step::Create {
                    let until = self.now.plus_ms(40_000);
                    let begin = Command::Begin {
                        attempt,
                        until,
                        target: Target::default(),
                    };
                    self.execute(&begin).map_err(|no| Failure(no.to_string()))?;
                    if self.crashes() {
                        return Ok(Try::Crashed);
                    }
                }
                let answer = self.send();
                if self.crashes() {
                    return Ok(Try::Crashed);
                }
                self.now = self.now.plus_ms(10);
                self.state.verdict(answer, &granted())
            };
            self.record(attempt, verdict)?;
            if self.crashes() {
                return Ok(Try::Crashed);
            }
        }
        if let (Some(outcome), false) = (self.state.outcome.clone(), self.state.is_closed) {
            // If the desk crashed after it recorded the result on the ticket, it records the result
            // again with the same command id. The ticket then ignores the second result.
            if self.results.is_empty() {
                let result = outcome.outputs.get("application_result_3");
                let result = result.or(outcome.outputs.get("result")).cloned();
                self.results
                    .push((outcome.succeeded, result.unwrap_or_default()));
            }
            if self.crashes() {
                return Ok(Try::Crashed);
            }
            let closed = Closed {
                recorded: true,
                ..Closed::default()
            };
            self.execute(&Command::Close(closed))
                .map_err(|no| Failure(no.to_string()))?;
        }
        Ok(Try::Done)
    }

    fn record(&mut self, attempt: u32, verdict: Verdict) -> Result<(), Failure> {
        let report = Report {
            attempt,
            exchange: None,
            status: None,
            verdict,
            policy: POLICY,
            at: self.now,
        };
        self.execute(&Command::Record(report))
            .map_err(|no| Failure(no.to_string()))
    }

    /// Simulates random changes outside of the desk. A person can decide on the external ticket, and
    /// a callback can arrive at the desk.
    fn weather(&mut self) {
        let never = self.faults == 100;
        if let Some(external) = self.externals.first_mut()
            && external.decided.is_none()
            && !external.is_withdrawn
            && !never
            && self.dice.below(20) == 0
        {
            let (status, approval) = [
                ("FINISHED", "true"),
                ("FINISHED", "false"),
                ("REVOKED", "true"),
                ("SUSPENDED", "true"),
            ][self.dice.below(4)];
            external.decided = (status != "SUSPENDED").then_some((self.now, status, approval));
        }
        if self.withdraws && self.dice.below(10) == 0 {
            let withdraw = Command::Withdraw {
                reason: "the ticket was withdrawn".into(),
                at: self.now,
            };
            self.execute(&withdraw).expect("always accepted");
        }
        if self.dice.below(10) == 0 {
            let hint = Command::Hint {
                inbound: format!("inbound-{}", self.dice.below(3)),
                at: self.now,
            };
            self.execute(&hint).expect("a callback is always accepted");
        }
    }
}

/// Runs the simulation with one seed. Returns the number of crashes of the desk and the outcome of the
/// application (the request for approval).
fn run(seed: u64, ignored: Option<&'static str>) -> Result<(u64, &'static str), Failure> {
    let mut world = World::new(seed, ignored);
    for _ in 0..STEPS_MAX {
        if world.state.is_closed {
            return check(&world);
        }
        if world.state.is_open() {
            let id = if world.state.is_polled() && world.state.attempts.failures == 0 {
                POLL
            } else {
                ATTEMPT
            };
            let has_both = world.deadlines.get(id) == Some(&world.state.attempts.due)
                && world.deadlines.get(EXPIRE) == Some(&EXPIRES)
                && world.deadlines.len() == 2;
            if !has_both {
                let deadlines = &world.deadlines;
                return Err(Failure(format!("{deadlines:?} in {:?}", world.state)));
            }
        }
        let earliest = world.deadlines.iter().min_by_key(|(_, due)| **due);
        let Some((id, due)) = earliest.map(|(id, due)| (id.clone(), *due)) else {
            return Err(Failure(format!("no deadline in {:?}", world.state)));
        };
        world.now = world.now.max(due);
        world.weather();
        if id == EXPIRE && world.state.is_open() && world.now >= EXPIRES {
            let expire = Command::Expire { at: world.now };
            world
                .execute(&expire)
                .map_err(|no| Failure(no.to_string()))?;
        }
        let before = world.events.len();
        let tried = world.step()?;
        if matches!(tried, Try::Crashed) || world.events.len() == before {
            // The desk crashed, or the attempt stored no event. The same deadline therefore occurs again after
            // the time `AGAIN_MS`.
            world.now = world.now.plus_ms(AGAIN_MS);
        }
    }
    Err(Failure(format!("the run does not end: {:?}", world.state)))
}

fn check(world: &World) -> Result<(u64, &'static str), Failure> {
    let fail = |text: &str| Err(Failure(format!("{text}: {:?}", world.events)));
    if world.externals.len() > 1 {
        return fail("more than one external ticket");
    }
    let [(succeeded, result)] = &world.results[..] else {
        return fail("not one result");
    };
    let ends = world.events.iter().filter(|event| {
        matches!(
            event,
            ApplicationEvent::Completed(_) | ApplicationEvent::Expired(_)
        )
    });
    if ends.count() != 1 {
        return fail("not one outcome");
    }
    if !world.deadlines.is_empty() {
        return fail("a closed application has a deadline");
    }
    let is_requested = world.state.withdrawal.is_some();
    if !succeeded && !matches!(&world.events[..], [.., ApplicationEvent::Expired(_), _]) {
        let is_left = world
            .externals
            .first()
            .is_some_and(|one| !one.is_withdrawn && one.decided.is_none());
        return match (is_requested, is_left) {
            (true, false) => Ok((world.crashes, "withdrawn")),
            (true, true) => fail("the external ticket was not withdrawn"),
            (false, _) => fail("failed without a withdrawal"),
        };
    }
    if !succeeded {
        let has_expired = matches!(&world.events[..], [.., ApplicationEvent::Expired(_), _]);
        return if has_expired {
            Ok((world.crashes, "expired"))
        } else {
            fail("not expired")
        };
    }
    let decided = world.externals.first().and_then(|one| one.decided);
    let is_granted = matches!(decided, Some((_, "FINISHED", "true")));
    let by_callback = world.events.iter().any(
        |event| matches!(event, ApplicationEvent::Completed(one) if one.cause == Cause::Callback),
    );
    match (result.as_str(), is_granted, by_callback) {
        ("granted", true, true) => Ok((world.crashes, "granted after a callback")),
        ("granted", true, false) => Ok((world.crashes, "granted by polling")),
        ("refused", false, _) if decided.is_some() => Ok((world.crashes, "refused")),
        _ => fail("the result differs from the decision"),
    }
}

#[test]
fn every_application_ends_once_in_any_weather() {
    let run = |seed| run(seed, None).map_err(|Failure(reason)| reason);
    let (crashes, outcomes) = count_outcomes(SEEDS, run);
    println!("{SEEDS} applications, {crashes} crashes: {outcomes:?}");
    assert_eq!(outcomes.len(), 5, "every outcome occurs");
    assert!(
        crashes > SEEDS,
        "too few crashes for a useful result: {crashes}"
    );
}

#[test]
fn the_check_finds_a_missing_deadline() {
    for deadline in [ATTEMPT, EXPIRE] {
        let failed = (0..200)
            .filter(|seed| run(*seed, Some(deadline)).is_err())
            .count();
        assert_eq!(failed, 200, "{deadline}: every run fails");
    }
    // Not every application is polled more than once.
    let failed = (0..200).filter(|seed| run(*seed, Some(POLL)).is_err());
    assert!(failed.count() > 0, "{POLL}: at least one run fails");
}
