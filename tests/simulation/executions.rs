//! This test simulates executions. An execution is one run of a script for a node of a ticket. A script changes
//! an account in a directory (an external service), or is a shell script in a sandbox (an isolated
//! environment). Each simulated run has three tickets with one execution each.
//!
//! The simulation contains many faults. A directory does not respond, rejects requests, or loses responses. A
//! sandbox loses running scripts. People approve, reject and change parameters, and some people approve an
//! outdated version. Tickets are suspended, are completed by people, or end. Messages of the queue arrive late,
//! twice, or never. The desk can crash between any two steps, and can restart without its views (stored
//! tables).
//!
//! The simulation uses the decisions and deadlines of the real code, the real tickets, and a directory and a
//! sandbox in memory. It repeats the steps of the real runner: load the execution, prepare the attempt, take
//! the lease, store the start, send the request, store the result, and close the execution. A lease is the
//! exclusive right to make the attempt.
//!
//! Every execution must end in time. Until it is closed, it must have exactly the expected deadline. A shell
//! script must start at most once. A request must be sent only with parameters that another person approved.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::attempt::{Report, Verdict};
use domain::automation::execution::{
    Command, End, Execution, OUTCOME, POLICY, Rejection, is_done, name,
};
use domain::automation::steps::{self, AccountState, READ, RUN, UNLOCK};
use domain::ticket::{self, Open, Ticket};
use domain::{DecideError, Decider};
use events::execution::{APPROVAL, ATTEMPT, ExecutionEvent, Outcome, Requested};
use events::script::{Action, Body, Level, Limits};
use events::{Entry, Event as _, Moment, NodeId, PersonId, Personal, Remark, TicketSn};
use functions::queue::runner::Outgoing;
use infra::accounts::memory::Memory as Directory;
use infra::accounts::{Accounts as _, AccountsError, Protection, Server};
use infra::sandbox::memory::{Memory as Sandbox, ended};
use infra::sandbox::{Ended, Job, Run, Sandbox as _};
use serde_json::json;

use crate::scheduler::{Dice, run_to_end};
use crate::{COMPANY, FORKED};

const SEEDS: u64 = 10_000;
/// Number of executions (runs of a script) in one simulated run. Each execution belongs to a separate ticket.
const EXECUTIONS: usize = 3;
/// Maximum number of steps of one simulated run. A step processes one deadline or one message.
const STEPS_MAX: usize = 5_000;
/// The node of the workflow at which a person fills in a form. In the simulation, a script does the work of
/// this node.
const NODE: NodeId = NodeId(6);
/// Time in milliseconds after which the desk processes a deadline or a message again if a crash interrupted the
/// first attempt.
const AGAIN_MS: i64 = 30_000;
/// Duration of a lease (the exclusive right of a worker to make an attempt) in milliseconds, as in the real
/// runner.
const LEASE_MS: i64 = 30_000;
/// Maximum duration of a pause of a worker before it sends its request, in milliseconds. The pause is shorter
/// than a lease (the time in which only this worker may make the attempt).
const PAUSE_MS: usize = 25_000;
/// Maximum duration of a pause of a worker in milliseconds. The pause is after the request of the worker and
/// before the worker stores the result.
const LONG_PAUSE_MS: usize = 90_000;
/// Maximum time in milliseconds that the start of a shell script may take, as in the real code. After this
/// time, the start counts as interrupted.
const START_MS: i64 = 35_000;
/// The shortest and the longest pause in milliseconds between two checks of a running script, as in the real
/// code.
const LOOK_FIRST_MS: i64 = 100;
const LOOK_MAX_MS: i64 = 10_000;
/// Additional time in milliseconds after the maximum duration of a script. The sandbox must end the script
/// within this additional time, as in the real code.
const END_GRACE_MS: i64 = 20_000;
/// Maximum time in milliseconds between the preparation of a request and the sending of this request, as in the
/// real code.
const LATEST_MS: i64 = 20_000;
/// Pause in milliseconds before the desk checks again whether a ticket is still suspended, as in the real code.
const SUSPENDED_MS: i64 = 30_000;
/// Maximum duration of each execution, in milliseconds.
const TIMEOUT_MS: i64 = 120_000;
/// Time in milliseconds after which a request for approval expires.
const APPROVAL_MS: i64 = 30 * 60_000;
/// Maximum additional delay in milliseconds that crashes, lost messages and pauses may cause. An execution
/// may end later than its regular end by this delay. After its end, the execution must be closed within the
/// same time.
const SLACK_MS: i64 = 20 * 60_000;
/// Maximum time in milliseconds between two opportunities for random changes outside of the desk.
const TICK_MS: usize = 120_000;

const REQUESTER: &str = "p-lisi";
/// The people who may approve. The list also contains the requester, to check that the execution rejects an
/// approval by the requester.
const APPROVERS: [&str; 3] = ["p-wangwu", "p-zhaoliu", REQUESTER];
/// The people who try to approve, reject and change parameters.
const PEOPLE: [&str; 4] = ["p-wangwu", "p-zhaoliu", REQUESTER, "p-other"];
const ACCOUNTS: [&str; 2] = ["lisi", "lisi2"];

/// Error text of the simulation. The text reports that a worker started a script with parameters that are not
/// approved.
const OUTDATED_SCRIPT: &str = "a script is started with parameters that are not approved";

/// A deadline that the simulation does not set, so that a test can check that the simulation detects the
/// missing deadline. The changes that set this deadline are removed from all events of the given types.
#[derive(Clone, Copy)]
struct Removed {
    events: &'static [&'static str],
    deadline: &'static str,
}

/// The stream of one execution: its events, its state and the times of its deadlines.
#[derive(Default)]
struct Stream {
    events: Vec<ExecutionEvent>,
    state: Execution,
    deadlines: BTreeMap<Cow<'static, str>, Moment>,
}

impl Stream {
    fn add(&mut self, event: ExecutionEvent, removed: Option<Removed>) {
        self.state.evolve(&event);
        self.change_deadlines(&event, removed);
        self.events.push(event);
    }

    fn change_deadlines(&mut self, event: &ExecutionEvent, removed: Option<Removed>) {
        for change in event.deadlines() {
            let is_removed = removed.is_some_and(|removed| {
                removed.events.contains(&event.kind()) && change.id == removed.deadline
            });
            match change.due {
                Some(_) if is_removed => None,
                Some(due) => self.deadlines.insert(change.id, due),
                None => self.deadlines.remove(&change.id),
            };
        }
    }

    /// Computes the deadlines again from all events. The real desk does this after a loss of the views (stored
    /// tables).
    fn rebuild(&mut self, removed: Option<Removed>) {
        self.deadlines.clear();
        let events = std::mem::take(&mut self.events);
        for event in &events {
            self.change_deadlines(event, removed);
        }
        self.events = events;
    }

    /// Returns the deadlines that the execution must have in its current state.
    fn expected(&self) -> BTreeMap<Cow<'static, str>, Moment> {
        let state = &self.state;
        let expected = match (&state.end, state.expires) {
            _ if state.is_closed || state.requested.is_none() => None,
            (Some(End::Completed(completed)), _) => Some((ATTEMPT, completed.due)),
            (Some(End::Rejected(rejected)), _) => Some((ATTEMPT, rejected.due)),
            (Some(End::Expired(expired)), _) => Some((ATTEMPT, expired.due)),
            (None, Some(expires)) => Some((APPROVAL, expires)),
            (None, None) => Some((ATTEMPT, state.attempts.due)),
        };
        expected
            .map(|(id, due)| (Cow::Borrowed(id), due))
            .into_iter()
            .collect()
    }
}

/// One execution (run of a script) with its ticket. The structure also contains data that the simulation
/// compares with the events.
struct Lane {
    is_shell: bool,
    needs_approval: bool,
    /// False if no person approves, rejects or changes the execution. The request for approval then expires.
    has_people: bool,
    /// The reason why the script cannot be executed. The text is empty if the script can be executed.
    problem: &'static str,
    ticket: Ticket,
    /// The ids of the commands that the desk has sent to the ticket and the ticket has executed.
    recorded: BTreeSet<&'static str>,
    stream: Stream,
    /// The attempt number and the end time of the newest lease (the exclusive right to make the attempt).
    lease: Option<(u32, Moment)>,
    /// For each deadline that has occurred: its time, and the time at which the desk processes it again.
    woken: BTreeMap<Cow<'static, str>, (Moment, Moment)>,
    /// The fingerprint (a text that identifies the parameters) that people have read last.
    seen: String,
    /// The fingerprint (a text that identifies the parameters) and the account that a person approved. `None`
    /// if no approval is valid.
    approved: Option<(String, String)>,
    editors: BTreeSet<PersonId>,
    /// The time at which the newest request for approval expires.
    expires: Moment,
    starts: u32,
    ended_at: Option<Moment>,
    closed_at: Option<Moment>,
}

impl Lane {
    fn new(number: usize, dice: &mut Dice) -> Self {
        let problem = ["", "the parameter `account` is missing"][usize::from(dice.below(20) == 0)];
        let mut lane = Self {
            is_shell: dice.below(2) == 0,
            needs_approval: dice.below(2) == 0 && problem.is_empty(),
            has_people: dice.below(4) > 0,
            problem,
            ticket: Ticket::default(),
            recorded: BTreeSet::new(),
            stream: Stream::default(),
            lease: None,
            woken: BTreeMap::new(),
            seen: String::new(),
            approved: None,
            editors: BTreeSet::new(),
            expires: Moment(0),
            starts: 0,
            ended_at: None,
            closed_at: None,
        };
        let open = Open {
            sn: sn(number),
            id: i64::try_from(number).expect("small"),
            service: FORKED,
            creator: REQUESTER.into(),
            form: vec![Entry::new("title", "t")],
            ..Open::default()
        };
        lane.act(&ticket::Command::Open(Box::new(open)))
            .expect("an opened ticket");
        assert!(
            lane.ticket.waits_for_people(NODE, 1),
            "the node waits for a person"
        );
        lane
    }

    /// Executes a command on the ticket of the execution.
    fn act(&mut self, command: &ticket::Command) -> Result<(), ticket::Rejection> {
        match self.ticket.decide(command, &COMPANY.0) {
            Ok(events) => {
                events.iter().for_each(|event| self.ticket.evolve(event));
                Ok(())
            }
            Err(DecideError::Rejected(rejection)) => Err(rejection),
            Err(DecideError::Needs(lookups)) => panic!("the context has no {lookups:?}"),
        }
    }

    /// Executes a command of the desk on the ticket, with a fixed command id. A second command with the same id
    /// has no effect.
    fn act_once(
        &mut self,
        id: &'static str,
        command: &ticket::Command,
    ) -> Result<(), ticket::Rejection> {
        if !self.recorded.contains(id) {
            self.act(command)?;
            self.recorded.insert(id);
        }
        Ok(())
    }

    /// Checks that the current state of the execution allows the event. If the state does not allow the
    /// event, returns an English error text.
    fn violation(&self, event: &ExecutionEvent) -> Option<&'static str> {
        let state = &self.stream.state;
        if state.is_closed {
            return Some("an event follows after the execution was closed");
        }
        match event {
            ExecutionEvent::Approved(approved) => {
                let by = approved.by.as_str();
                let may_approve = APPROVERS.contains(&by)
                    && by != REQUESTER
                    && !self.editors.contains(&approved.by);
                let current = fingerprint(&account_of(state), state.expires);
                (!may_approve || approved.fingerprint != current)
                    .then_some("a wrong person or a wrong fingerprint is accepted")
            }
            ExecutionEvent::AttemptStarted(_)
            | ExecutionEvent::AttemptFailed(_)
            | ExecutionEvent::PollScheduled(_)
                if !self.is_allowed() =>
            {
                Some("an attempt is stored without an approval")
            }
            ExecutionEvent::Completed(_) if !self.is_allowed() => {
                Some("an outcome is stored without an approval")
            }
            ExecutionEvent::Completed(_)
            | ExecutionEvent::Rejected(_)
            | ExecutionEvent::Expired(_)
                if state.end.is_some() =>
            {
                Some("an execution ends twice")
            }
            _ => None,
        }
    }

    /// Returns true if the execution needs no approval or is approved.
    fn is_allowed(&self) -> bool {
        !self.needs_approval || self.approved.is_some()
    }

    fn add(&mut self, event: ExecutionEvent, removed: Option<Removed>, now: Moment) {
        match &event {
            ExecutionEvent::Requested(requested) => {
                self.expires = requested.expires.unwrap_or_default();
            }
            ExecutionEvent::ParametersChanged(changed) => {
                self.approved = None;
                self.editors.insert(changed.by.clone());
                self.expires = changed.expires;
            }
            ExecutionEvent::Approved(approved) => {
                let account = account_of(&self.stream.state);
                self.approved = Some((approved.fingerprint.clone(), account));
            }
            ExecutionEvent::Completed(_)
            | ExecutionEvent::Rejected(_)
            | ExecutionEvent::Expired(_) => self.ended_at = Some(now),
            ExecutionEvent::Closed(_) => self.closed_at = Some(now),
            _ => {}
        }
        self.stream.add(event, removed);
    }
}

/// The request that a worker sends in one attempt: it reads or changes an account, or starts a shell script.
#[derive(Clone, Debug)]
enum Request {
    Account,
    Start(Job),
}

/// The progress of a worker within one attempt.
#[derive(Clone, Debug)]
enum Phase {
    Prepared,
    /// The worker has the lease (the exclusive right to make the attempt). If the attempt starts a shell
    /// script, the start is already stored.
    Leased,
    Sent(Verdict),
}

/// A worker that makes one attempt to continue an execution (the run of a script).
#[derive(Clone, Debug)]
struct Worker {
    /// The index of the execution in the list of all simulated executions.
    at: usize,
    attempt: u32,
    /// The state of the execution that the worker loaded before the attempt.
    state: Execution,
    request: Request,
    /// The time at which the request was prepared.
    prepared: Moment,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Message {
    /// A message without content. When this message is processed, the next message of the same kind is added
    /// to the queue. Random changes outside of the desk can happen before each message.
    Tick,
    /// The desk evaluates the automation rules for the ticket with this index.
    Evaluate(usize),
    /// The execution with this index has reached a deadline.
    Due(usize, Cow<'static, str>),
    /// A worker continues its attempt after a pause.
    Continue(Box<Worker>),
}

#[derive(Default)]
struct Totals {
    crashes: u64,
    parked: u64,
    pauses: u64,
    restarts: u64,
    approvals: u64,
    changes: u64,
    scripts: u64,
    unlocks: u64,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.parked += other.parked;
        self.pauses += other.pauses;
        self.restarts += other.restarts;
        self.approvals += other.approvals;
        self.changes += other.changes;
        self.scripts += other.scripts;
        self.unlocks += other.unlocks;
    }
}

struct World {
    dice: Dice,
    now: Moment,
    lanes: Vec<Lane>,
    /// The messages of the queue. Each entry contains the time at which the message arrives, a sequence number,
    /// and the message.
    queue: Vec<(Moment, u64, Message)>,
    number: u64,
    directory: Directory,
    server: Server,
    sandbox: Sandbox,
    /// Number of account locks that were set so far. Each lock has a number, which the state of the account
    /// contains in place of a time.
    locks: u64,
    /// The locks that the desk removed. Each entry contains the account and the number of the lock.
    unlocked: BTreeSet<(String, String)>,
    /// Probability of a fault in a request to a directory, in percent. For the start of a shell script, the
    /// probability is a quarter of this value.
    faults: usize,
    /// True if workers also pause between the preparation of an attempt and the lease (the exclusive right to
    /// make the attempt).
    is_slow: bool,
    removed: Option<Removed>,
    totals: Totals,
    /// An English text about the first violated rule. `None` if no rule is violated.
    failure: Option<String>,
}

/// An English text that explains why a simulated run failed.
#[derive(Debug)]
struct Failure(String);

fn sn(number: usize) -> TicketSn {
    TicketSn(format!("REQ{number}"))
}

/// Returns a text that identifies the approved data: the account and the end of the approval period. In the
/// real desk, the fingerprint is a hash.
fn fingerprint(account: &str, expires: Option<Moment>) -> String {
    format!("{account} until {expires:?}")
}

fn account_of(state: &Execution) -> String {
    let parameters = state.parameters.as_ref();
    let account = parameters.and_then(|parameters| parameters.value["account"].as_str());
    account.unwrap_or_default().to_owned()
}

fn personal(account: &str) -> Personal {
    Personal::new(REQUESTER.into(), json!({ "account": account }))
}

/// Returns the verdict (the result of an attempt) for a failed attempt. The verdict ends the execution with the
/// given outcome.
fn without_effect(outcome: Outcome, reason: &str) -> Verdict {
    Verdict::Failed {
        reason: reason.to_owned().into(),
        outputs: [(OUTCOME.to_owned(), name(outcome).to_owned())].into(),
    }
}

/// Returns the verdict (the result of an attempt) after a check of a shell script. `is_late` is true if the
/// script should have ended already. `looks` is the number of earlier attempts.
fn after_looking(run: &Run, is_late: bool, looks: u32) -> Verdict {
    match run {
        Run::Running if is_late => Verdict::Unknown {
            reason: "the script did not end".into(),
        },
        Run::Running => {
            let pause = LOOK_FIRST_MS << looks.min(7);
            Verdict::poll(RUN, "", pause.min(LOOK_MAX_MS))
        }
        Run::Missing | Run::Lost => Verdict::Unknown {
            reason: "the run is lost".into(),
        },
        Run::Ended(end) if end.is_timed_out => without_effect(Outcome::TimedOut, "too slow"),
        Run::Ended(end) if end.is_exceeded => without_effect(Outcome::ResourceExceeded, "too big"),
        Run::Ended(end) if end.exit_code == Some(0) => Verdict::Succeeded {
            outputs: BTreeMap::new(),
            observed: None,
        },
        Run::Ended(_) => steps::failed("the script failed"),
    }
}

impl World {
    fn new(seed: u64, removed: Option<Removed>, is_slow: bool) -> Self {
        let mut dice = Dice::new(seed);
        let faults = [0, 10, 40, 90][dice.below(4)];
        let lanes = (0..EXECUTIONS)
            .map(|number| Lane::new(number, &mut dice))
            .collect();
        let server = Server {
            host: "ldap.example.com".into(),
            port: 636,
            protection: Protection::Tls,
            base: "dc=example,dc=com".into(),
            attribute: "uid".into(),
            user: "cn=desk".into(),
            password: "secret".into(),
            timeout: Duration::from_secs(8),
        };
        let mut world = Self {
            dice,
            now: Moment(1_000),
            lanes,
            queue: Vec::new(),
            number: 0,
            directory: Directory::default(),
            server,
            sandbox: Sandbox::default(),
            locks: 0,
            unlocked: BTreeSet::new(),
            faults,
            is_slow,
            removed,
            totals: Totals::default(),
            failure: None,
        };
        for account in ACCOUNTS {
            match world.dice.below(8) {
                0 => {}
                1 => world.directory.set(account, AccountState::NotLocked),
                2 => world
                    .directory
                    .set(account, AccountState::LockedByAdministrator),
                3 => world.directory.set(account, AccountState::Ambiguous),
                _ => world.lock(account),
            }
        }
        world.push(0, Message::Tick);
        for at in 0..EXECUTIONS {
            world.send(Message::Evaluate(at));
        }
        world
    }

    fn fail(&mut self, text: &str) {
        self.failure.get_or_insert_with(|| text.to_owned());
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.dice.below(100) < percent
    }

    fn ms(&mut self, bound: usize) -> i64 {
        i64::try_from(self.dice.below(bound)).unwrap_or(0)
    }

    fn crashes(&mut self) -> bool {
        let crashes = self.percent(5);
        self.totals.crashes += u64::from(crashes);
        crashes
    }

    fn push(&mut self, after_ms: i64, message: Message) {
        self.number += 1;
        let due = self.now.plus_ms(after_ms);
        self.queue.push((due, self.number, message));
    }

    /// Adds a message to the queue. At random, the message arrives late or twice. At random, the message is not
    /// added and never arrives.
    fn send(&mut self, message: Message) {
        if self.percent(2) {
            self.totals.parked += 1;
            return;
        }
        let copies = 1 + usize::from(self.percent(10));
        for _ in 0..copies {
            let is_late = self.percent(10);
            let late_ms = self.ms(if is_late { 60_000 } else { 5 });
            self.push(late_ms, message.clone());
        }
    }

    /// Sets a new lock on an account, as after too many wrong passwords.
    fn lock(&mut self, account: &str) {
        self.locks += 1;
        let state = AccountState::Locked(self.locks.to_string());
        self.directory.set(account, state);
    }

    /// Returns the time, the index of the execution and the id of the earliest deadline. If the desk has
    /// already processed a deadline without success, the time of the next repetition is used.
    fn earliest_deadline(&self) -> Option<(Moment, usize, Cow<'static, str>)> {
        let of_all = self.lanes.iter().enumerate().flat_map(|(at, lane)| {
            lane.stream.deadlines.iter().map(move |(id, due)| {
                let again = lane.woken.get(id).filter(|(of, _)| of == due);
                (again.map_or(*due, |(_, again)| *again), at, id.clone())
            })
        });
        of_all.min()
    }

    /// Processes the next deadline or the next message. Returns false if only the messages that cause random
    /// changes are left.
    fn advance(&mut self) -> bool {
        let deadline = self.earliest_deadline();
        let is_idle = self
            .queue
            .iter()
            .all(|(_, _, message)| matches!(message, Message::Tick));
        if deadline.is_none() && is_idle {
            return false;
        }
        let times = self.queue.iter().enumerate();
        let queued = times
            .map(|(index, (due, number, _))| (*due, *number, index))
            .min();
        match (queued, deadline) {
            (queued, Some((due, at, id))) if queued.is_none_or(|(first, ..)| due < first) => {
                self.now = self.now.max(due);
                let lane = &mut self.lanes[at];
                let set = lane.stream.deadlines[&id];
                let again = self.now.plus_ms(AGAIN_MS);
                lane.woken.insert(id.clone(), (set, again));
                self.send(Message::Due(at, id));
            }
            (Some((due, _, index)), _) => {
                self.now = self.now.max(due);
                self.weather();
                // The function `weather` can restart the desk, and a restart removes messages from the queue.
                // If the entry at `index` has changed, no message is processed in this step.
                if index < self.queue.len() && self.queue[index].0 == due {
                    let (_, _, message) = self.queue.swap_remove(index);
                    self.process(message);
                }
            }
            (None, _) => {}
        }
        true
    }

    fn process(&mut self, message: Message) {
        match message {
            Message::Tick => {
                let after_ms = 1 + self.ms(TICK_MS);
                self.push(after_ms, Message::Tick);
            }
            Message::Evaluate(at) => self.evaluate(at),
            Message::Due(at, id) => {
                if id == APPROVAL {
                    let expire = Command::Expire { at: self.now };
                    self.execute_for_desk(at, &expire);
                    if self.crashes() {
                        return;
                    }
                }
                self.step(at);
            }
            Message::Continue(worker) => self.work(worker),
        }
    }

    /// Executes a command on the execution with the index `at`. Then checks the new events and the deadlines.
    fn execute(&mut self, at: usize, command: &Command) -> Result<(), Rejection> {
        let lane = &mut self.lanes[at];
        let events = match lane.stream.state.decide(command, &()) {
            Ok(events) => events,
            Err(DecideError::Rejected(rejection)) => return Err(rejection),
            Err(DecideError::Needs(needs)) => match needs.into_iter().next() {
                Some(nothing) => match nothing {},
                None => Vec::new(),
            },
        };
        let mut violation = None;
        for event in events {
            violation = violation.or_else(|| lane.violation(&event));
            lane.add(event, self.removed, self.now);
        }
        let expected = lane.stream.expected();
        let deadlines = (lane.stream.deadlines != expected)
            .then(|| format!("{:?}, not {expected:?}", lane.stream.deadlines));
        if let Some(text) = violation {
            self.fail(text);
        }
        if let Some(deadlines) = deadlines {
            self.fail(&format!("wrong deadlines: {deadlines}"));
        }
        Ok(())
    }

    /// Executes a command that the desk itself sends. Returns false if the effect of the command is already
    /// stored.
    fn execute_for_desk(&mut self, at: usize, command: &Command) -> bool {
        match self.execute(at, command) {
            Ok(()) => true,
            Err(rejection) => {
                if !<Execution as Outgoing>::is_repeated(&rejection) {
                    self.fail(&format!("a command of the desk is rejected: {rejection}"));
                }
                false
            }
        }
    }

    fn evaluate(&mut self, at: usize) {
        if !self.lanes[at].ticket.waits_for_people(NODE, 1) {
            return;
        }
        let command = Command::Request(Box::new(self.requested(at)));
        self.execute_for_desk(at, &command);
        if self.crashes() {
            self.push(AGAIN_MS, Message::Evaluate(at));
            return;
        }
        self.step(at);
    }

    fn requested(&self, at: usize) -> Requested {
        let lane = &self.lanes[at];
        let body = if lane.is_shell {
            Body::Shell {
                content: "df -h".into(),
                level: Level::Network,
                limits: limits(),
            }
        } else {
            Body::Steps {
                action: Action::UnlockAccount,
                platform: "company_directory".into(),
            }
        };
        let expires = lane.needs_approval.then(|| self.now.plus_ms(APPROVAL_MS));
        let approvers: &[&str] = if lane.needs_approval { &APPROVERS } else { &[] };
        Requested {
            ticket: sn(at),
            node: NODE,
            name: "fill".into(),
            round: 1,
            cause: format!("ticket-REQ{at}:5"),
            rule: "rule".into(),
            tested: Vec::new(),
            script: "script".into(),
            version: "1".into(),
            body,
            requester: REQUESTER.into(),
            target: String::new(),
            accepts: Vec::new(),
            parameters: Box::new(personal(ACCOUNTS[0])),
            fingerprint: fingerprint(ACCOUNTS[0], expires),
            approvers: approvers.iter().map(|name| PersonId::from(*name)).collect(),
            form: Box::new(Personal::new(REQUESTER.into(), json!({}))),
            timeout_ms: TIMEOUT_MS,
            approval_ms: APPROVAL_MS,
            problem: lane.problem.into(),
            finding: None,
            due: self.now,
            expires,
        }
    }

    /// Makes the next attempt of an execution if the time of this attempt has come. If the execution has ended,
    /// closes the execution.
    fn step(&mut self, at: usize) {
        let state = self.lanes[at].stream.state.clone();
        let Some(attempts) = state.attempts() else {
            return self.conclude(at);
        };
        if attempts.due > self.now {
            return;
        }
        let attempt = attempts.next();
        if let Some((verdict, _)) = state.interrupted() {
            return self.record(at, attempt, verdict);
        }
        let request = match self.prepare(at, &state) {
            Ok(request) => request,
            Err(verdict) => {
                if self.lease(at, attempt) {
                    self.record(at, attempt, verdict);
                }
                return;
            }
        };
        let worker = Box::new(Worker {
            at,
            attempt,
            state,
            request,
            prepared: self.now,
            phase: Phase::Prepared,
        });
        if self.is_slow && self.percent(50) {
            // People approve, reject and change the execution while the worker pauses.
            for _ in 0..30 {
                self.decide(at);
            }
            let bound = [5, PAUSE_MS][self.dice.below(2)];
            return self.pause(worker, bound);
        }
        self.work(worker);
    }

    /// Returns the request of the next attempt. If the attempt needs no request, returns the verdict (the
    /// result of the attempt) as an error.
    fn prepare(&self, at: usize, state: &Execution) -> Result<Request, Verdict> {
        let Some(requested) = &state.requested else {
            return Err(steps::failed("the execution is not requested"));
        };
        if !requested.problem.is_empty() {
            return Err(steps::failed(requested.problem.as_str()));
        }
        let step = state.step.as_str();
        let is_first = step == steps::first(&requested.body);
        if is_first && !self.lanes[at].ticket.waits_for_people(NODE, 1) {
            return Err(without_effect(Outcome::Canceled, "not needed"));
        }
        let is_suspended = self.lanes[at].ticket.status == ticket::Status::Suspended;
        if is_first && is_suspended && self.now < state.runs_until() {
            return Err(Verdict::poll(step, "", SUSPENDED_MS));
        }
        if step != RUN && self.now >= state.runs_until() {
            return Err(without_effect(Outcome::TimedOut, "too late"));
        }
        match &requested.body {
            Body::Steps { .. } => Ok(Request::Account),
            Body::Shell { .. } if step == RUN => {
                let run = run_to_end(self.sandbox.read(&at.to_string())).expect("a run");
                let is_late = self.now >= state.runs_until().plus_ms(END_GRACE_MS);
                Err(after_looking(&run, is_late, state.attempts.made))
            }
            Body::Shell { content, level, .. } => {
                if run_to_end(self.sandbox.level()) < *level {
                    return Err(steps::failed("the sandbox is too weak"));
                }
                let left_ms = state.runs_until().0 - self.now.0;
                Ok(Request::Start(Job {
                    id: at.to_string(),
                    content: content.clone(),
                    parameters: [("account".to_owned(), account_of(state))].into(),
                    limits: limits(),
                    timeout_ms: left_ms.unsigned_abs(),
                }))
            }
        }
    }

    /// Takes the lease (the exclusive right to make the attempt). Returns false if another worker has the
    /// lease.
    fn lease(&mut self, at: usize, attempt: u32) -> bool {
        let now = self.now;
        let lane = &mut self.lanes[at];
        let is_taken = lane
            .lease
            .is_some_and(|(of, until)| of > attempt || of == attempt && until > now);
        if !is_taken {
            lane.lease = Some((attempt, now.plus_ms(LEASE_MS)));
        }
        !is_taken
    }

    /// Continues an attempt until it ends, until the desk crashes, or until the worker pauses. Each call
    /// continues from the stored phase of the worker.
    fn work(&mut self, mut worker: Box<Worker>) {
        loop {
            let (phase, pause_ms) = match worker.phase.clone() {
                Phase::Prepared => {
                    if !self.begin(&worker) {
                        return;
                    }
                    (Phase::Leased, PAUSE_MS)
                }
                Phase::Leased => (Phase::Sent(self.request(&worker)), LONG_PAUSE_MS),
                Phase::Sent(verdict) => return self.record(worker.at, worker.attempt, verdict),
            };
            worker.phase = phase;
            if self.crashes() {
                return;
            }
            if self.percent(5) {
                return self.pause(worker, pause_ms);
            }
        }
    }

    fn pause(&mut self, worker: Box<Worker>, bound: usize) {
        self.totals.pauses += 1;
        let after_ms = self.ms(bound);
        self.push(after_ms, Message::Continue(worker));
    }

    /// Takes the lease (the exclusive right to make the attempt), and stores the start of a shell script.
    /// Returns false if another worker makes the attempt.
    fn begin(&mut self, worker: &Worker) -> bool {
        if !self.lease(worker.at, worker.attempt) {
            return false;
        }
        if matches!(worker.request, Request::Account) {
            return true;
        }
        let begin = Command::Begin {
            attempt: worker.attempt,
            until: self.now.plus_ms(START_MS),
        };
        self.execute_for_desk(worker.at, &begin)
    }

    /// Sends the request of an attempt, and checks that this request is allowed. Returns the verdict (the
    /// result of the attempt).
    fn request(&mut self, worker: &Worker) -> Verdict {
        if self.now.0 - worker.prepared.0 > LATEST_MS {
            return Verdict::retry("the process paused before the request");
        }
        let lane = &self.lanes[worker.at];
        let account = account_of(&worker.state);
        let sent = (worker.state.fingerprint.clone(), account.clone());
        let is_allowed = !lane.needs_approval || lane.approved.as_ref() == Some(&sent);
        // A slow worker may read the state of an account with old parameters. This request is allowed, because
        // the result is never stored.
        let is_harmless = matches!(worker.request, Request::Account) && worker.state.step == READ;
        // A request to a directory may be sent twice. If a worker pauses for longer than its lease (its
        // exclusive right to make the attempt), a second worker can make the same attempt. A script must
        // never be started twice.
        let is_start = matches!(worker.request, Request::Start(_));
        if lane.stream.state.end.is_some() && is_start {
            self.fail("a request is sent after the execution has ended");
        }
        if !is_allowed && !is_harmless {
            self.fail(match worker.request {
                Request::Account => "a directory is used with parameters that are not approved",
                Request::Start(_) => OUTDATED_SCRIPT,
            });
        }
        let verdict = match &worker.request {
            Request::Account => self.use_directory(&worker.state.step, &account),
            Request::Start(job) => self.start(worker.at, job),
        };
        let duration_ms = 1 + self.ms(50);
        self.now = self.now.plus_ms(duration_ms);
        verdict
    }

    fn use_directory(&mut self, step: &str, account: &str) -> Verdict {
        let before = run_to_end(self.directory.read(&self.server, account));
        let changes = self.directory.changes().len();
        let is_faulty = self.percent(self.faults);
        let kind = if is_faulty { self.dice.below(8) } else { 9 };
        match kind {
            0..=4 => self
                .directory
                .fail(AccountsError::Unavailable("no answer".into())),
            5 => self.directory.fail(AccountsError::Refused("no".into())),
            _ => {}
        }
        let answer = if step == UNLOCK {
            run_to_end(self.directory.unlock(&self.server, account))
        } else {
            run_to_end(self.directory.read(&self.server, account))
        };
        if self.directory.changes().len() > changes {
            self.totals.unlocks += 1;
            let is_new = match before {
                Ok(AccountState::Locked(number)) => {
                    self.unlocked.insert((account.to_owned(), number))
                }
                _ => false,
            };
            if !is_new || step != UNLOCK {
                self.fail("a lock is removed twice, or is removed although it must stay");
            }
        }
        match answer {
            // The directory has executed the request, but the response is lost.
            _ if matches!(kind, 6 | 7) => Verdict::retry("the response is lost"),
            Ok(AccountState::NotLocked) if step == UNLOCK => steps::after_unlocking(),
            Ok(state) => steps::after_reading(step, &state),
            Err(AccountsError::Unavailable(reason)) => Verdict::retry(reason),
            Err(AccountsError::Refused(reason)) => steps::failed(&reason),
        }
    }

    fn start(&mut self, at: usize, job: &Job) -> Verdict {
        if self.percent(self.faults / 4) {
            return Verdict::retry("the script was not started");
        }
        self.totals.scripts += 1;
        self.lanes[at].starts += 1;
        if self.lanes[at].starts > 1 {
            self.fail("a script is started twice");
        }
        match run_to_end(self.sandbox.start(job)) {
            Ok(()) => Verdict::poll(RUN, "", LOOK_FIRST_MS),
            Err(error) => steps::failed(error.to_string()),
        }
    }

    /// Stores the result of an attempt. If the execution needs no further attempt, also closes the execution.
    fn record(&mut self, at: usize, attempt: u32, verdict: Verdict) {
        if self.crashes() {
            return;
        }
        let report = Report {
            attempt,
            exchange: None,
            status: None,
            verdict,
            policy: POLICY,
            at: self.now,
        };
        let record = <Execution as Outgoing>::record(report);
        if !self.execute_for_desk(at, &record) || self.crashes() {
            return;
        }
        if self.lanes[at].stream.state.attempts().is_none() {
            self.conclude(at);
        }
    }

    /// Stores the outcome of the execution in the ticket, deletes the files of the script, and closes the
    /// execution.
    fn conclude(&mut self, at: usize) {
        if self.lanes[at].stream.state.is_closed {
            return;
        }
        let Some(recorded) = self.record_outcome(at) else {
            return;
        };
        if self.crashes() {
            return;
        }
        run_to_end(self.sandbox.remove(&at.to_string())).expect("a removed run");
        if self.crashes() {
            return;
        }
        self.execute_for_desk(at, &Command::Close { recorded });
    }

    /// Stores the outcome of the execution in the ticket. Returns false if the ticket does not need the
    /// outcome. Returns `None` if the execution has not ended.
    fn record_outcome(&mut self, at: usize) -> Option<bool> {
        let lane = &mut self.lanes[at];
        let outcome = match lane.stream.state.end.as_ref()? {
            End::Completed(completed) => Some(completed.outcome),
            End::Rejected(_) | End::Expired(_) => None,
        };
        let remark = ticket::Command::Remark {
            by: PersonId::system(),
            text: "the script was not executed".into(),
            parent: None,
            mentions: Vec::new(),
            internal: true,
            files: Vec::new(),
        };
        let fulfill = ticket::Command::Fulfill {
            node: NODE,
            round: 1,
            form: Vec::new(),
            remark: "the script was executed".into(),
        };
        Some(match outcome {
            Some(Outcome::Canceled) => false,
            Some(outcome) if is_done(outcome) => match lane.act_once("fulfill", &fulfill) {
                Ok(()) => true,
                Err(_) => lane.act_once("remark", &remark).is_ok(),
            },
            Some(_) => lane.act_once("remark", &remark).is_ok(),
            None => {
                lane.ticket.waits_for_people(NODE, 1) && lane.act_once("remark", &remark).is_ok()
            }
        })
    }

    /// Simulates random changes: accounts are locked, scripts end, people act, and the desk restarts.
    fn weather(&mut self) {
        let at = self.dice.below(EXECUTIONS);
        let account = ACCOUNTS[self.dice.below(ACCOUNTS.len())];
        match self.dice.below(120) {
            0..=3 => self.lock(account),
            4 => self
                .directory
                .set(account, AccountState::LockedByAdministrator),
            5..=12 => {
                let run = self.end_of_a_script();
                self.sandbox.end_all(&run);
            }
            13 => self.sandbox.forget(),
            14 => self.sandbox.set_level(Level::Files),
            15..=20 => self.sandbox.set_level(Level::Network),
            21..=23 => self.change_ticket(at),
            24 => self.restart(),
            _ => {}
        }
        for at in 0..EXECUTIONS {
            self.decide(at);
        }
    }

    fn end_of_a_script(&mut self) -> Run {
        match self.dice.below(7) {
            0..=2 => ended(0, "done"),
            3 => ended(3, ""),
            4 => Run::Lost,
            5 => Run::Ended(Ended {
                is_timed_out: true,
                ..Ended::default()
            }),
            _ => Run::Ended(Ended {
                is_exceeded: true,
                ..Ended::default()
            }),
        }
    }

    /// Simulates that a person suspends, resumes, continues or ends a ticket. The ticket can reject the change.
    fn change_ticket(&mut self, at: usize) {
        let by = PersonId::from("p-root");
        let reason = String::from("r");
        let command = match self.dice.below(6) {
            0 => ticket::Command::Submit {
                node: NODE,
                by: COMPANY.approver(0),
                form: Vec::new(),
                reason: String::new(),
            },
            1 => ticket::Command::Terminate { by, reason },
            2 | 3 => ticket::Command::Suspend { by, reason },
            _ => ticket::Command::Resume { by, reason },
        };
        drop(self.lanes[at].act(&command));
    }

    /// Simulates a restart of the desk with empty views (stored tables) and empty queues. All workers end. The
    /// desk computes the deadlines again from the events, and processes the events of the tickets again.
    fn restart(&mut self) {
        self.totals.restarts += 1;
        self.queue
            .retain(|(_, _, message)| matches!(message, Message::Tick));
        for at in 0..EXECUTIONS {
            let lane = &mut self.lanes[at];
            lane.lease = None;
            lane.woken.clear();
            lane.stream.rebuild(self.removed);
            self.send(Message::Evaluate(at));
        }
    }

    /// Simulates a person who reads, approves, rejects or changes an execution. The execution rejects the
    /// command if the person has no right to send it or has read an outdated version.
    fn decide(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        if !lane.needs_approval || !lane.has_people {
            return;
        }
        let by = PersonId::from(PEOPLE[self.dice.below(PEOPLE.len())]);
        let now = self.now;
        match self.dice.below(24) {
            0..=3 => lane.seen.clone_from(&lane.stream.state.fingerprint),
            4..=7 => {
                let fingerprint = lane.seen.clone();
                let approve = Command::Approve {
                    by,
                    fingerprint,
                    at: now,
                };
                let is_approved = self.execute(at, &approve).is_ok();
                self.totals.approvals += u64::from(is_approved);
            }
            8 if self.dice.below(3) == 0 => {
                let reject = Command::Reject {
                    by,
                    reason: Remark::new("no"),
                    at: now,
                };
                // The result is ignored, because the command may be rejected. A rejected command changes
                // nothing.
                let _ = self.execute(at, &reject);
            }
            9 => {
                let account = ACCOUNTS[self.dice.below(ACCOUNTS.len())];
                let expires = now.plus_ms(APPROVAL_MS);
                let change = Command::ChangeParameters {
                    by,
                    parameters: personal(account),
                    form: personal(account),
                    fingerprint: fingerprint(account, Some(expires)),
                    at: now,
                    expires,
                };
                let is_changed = self.execute(at, &change).is_ok();
                self.totals.changes += u64::from(is_changed);
            }
            _ => {}
        }
    }
}

fn limits() -> Limits {
    Limits {
        memory_mib: 256,
        processes: 64,
        output_bytes: 1_000,
    }
}

fn run(seed: u64, removed: Option<Removed>, is_slow: bool) -> Result<World, Failure> {
    let mut world = World::new(seed, removed, is_slow);
    for _ in 0..STEPS_MAX {
        let continues = world.advance();
        if let Some(failure) = world.failure.take() {
            return Err(Failure(failure));
        }
        if !continues {
            return Ok(world);
        }
    }
    let states: Vec<_> = world.lanes.iter().map(|lane| &lane.stream.state).collect();
    Err(Failure(format!("the run does not end: {states:?}")))
}

/// Checks that one execution has ended correctly. Returns the name of its last state.
fn check(lane: &Lane) -> Result<&'static str, Failure> {
    let stream = &lane.stream;
    let state = &stream.state;
    let fail = |text: &str| Err(Failure(format!("{text}: {:?}", stream.events)));
    if state.requested.is_none() {
        return Ok("not requested");
    }
    let (Some(end), Some(ended), Some(closed)) = (&state.end, lane.ended_at, lane.closed_at) else {
        return fail("an execution has not ended");
    };
    if !state.is_closed || !stream.deadlines.is_empty() {
        return fail("an execution is not closed, or has a deadline after it was closed");
    }
    let limit = if lane.is_allowed() {
        state.runs_until().plus_ms(END_GRACE_MS)
    } else {
        lane.expires
    };
    if ended > limit.plus_ms(SLACK_MS) || closed > ended.plus_ms(SLACK_MS) {
        return fail("an execution ended or was closed too late");
    }
    let is_done = matches!(end, End::Completed(completed) if is_done(completed.outcome));
    let is_canceled =
        matches!(end, End::Completed(completed) if completed.outcome == Outcome::Canceled);
    let is_stored = stream
        .events
        .iter()
        .any(|event| matches!(event, ExecutionEvent::Closed(closed) if closed.recorded));
    let is_fulfilled = lane.recorded.contains("fulfill");
    if (is_stored && lane.recorded.is_empty()) || (is_fulfilled && !is_stored) {
        return fail("the execution and the ticket differ about the stored outcome");
    }
    if !is_done && is_fulfilled {
        return fail("the node was completed without a success");
    }
    let has_effect = matches!(end, End::Completed(_));
    if !is_done && !is_canceled && has_effect && !lane.recorded.contains("remark") {
        return fail("the people at the node were not told about the outcome");
    }
    if is_done && !is_stored && lane.ticket.waits_for_people(NODE, 1) {
        return fail("the node waits although its work is done");
    }
    Ok(state.state())
}

#[test]
fn every_execution_ends_in_any_weather() {
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    let mut totals = Totals::default();
    for seed in 0..SEEDS {
        let world = match run(seed, None, false) {
            Ok(world) => world,
            Err(Failure(reason)) => panic!("seed {seed}: {reason}"),
        };
        for lane in &world.lanes {
            match check(lane) {
                Ok(state) => *states.entry(state).or_default() += 1,
                Err(Failure(reason)) => panic!("seed {seed}: {reason}"),
            }
        }
        assert_eq!(
            world.directory.changes().len(),
            world.unlocked.len(),
            "seed {seed}: each lock is removed at most once"
        );
        let jobs = world.sandbox.started();
        let ids: BTreeSet<&str> = jobs.iter().map(|job| job.id.as_str()).collect();
        assert_eq!(
            jobs.len(),
            ids.len(),
            "seed {seed}: each script starts once"
        );
        totals.add(&world.totals);
    }
    let Totals {
        crashes,
        parked,
        pauses,
        restarts,
        approvals,
        changes,
        scripts,
        unlocks,
    } = totals;
    println!(
        "{SEEDS} runs with {EXECUTIONS} executions each: {states:?}; {crashes} crashes, {parked} parked messages, {pauses} pauses, {restarts} restarts without views, {approvals} approvals, {changes} changes of parameters, {scripts} scripts started, {unlocks} locks removed"
    );
    for state in [
        "succeeded",
        "no_change",
        "failed",
        "timed_out",
        "resource_exceeded",
        "canceled",
        "unknown",
        "rejected",
        "expired",
        "not requested",
    ] {
        assert!(states.contains_key(state), "no execution is {state}");
    }
    assert!(
        crashes > SEEDS / 2 && parked > 500 && pauses > 500 && restarts > 500,
        "too few faults"
    );
    assert!(
        approvals > 1_000 && changes > 500 && scripts > 1_000 && unlocks > 1_000,
        "too few executions with an effect"
    );
}

#[test]
fn the_check_finds_a_missing_deadline_of_an_execution() {
    let attempt = |events: &'static [&'static str]| Removed {
        events,
        deadline: ATTEMPT,
    };
    let approval = Removed {
        events: &["execution.requested", "execution.parameters_changed"],
        deadline: APPROVAL,
    };
    for (removed, least) in [
        (attempt(&["execution.requested", "execution.approved"]), 150),
        (approval, 120),
        (attempt(&["execution.poll_scheduled"]), 80),
        (attempt(&["execution.completed"]), 120),
    ] {
        let failed = (0..200)
            .filter(|seed| run(*seed, Some(removed), false).is_err())
            .count();
        let Removed { events, deadline } = removed;
        println!("{deadline} of {events:?}: {failed} of 200 runs fail");
        assert!(
            failed >= least,
            "{deadline} of {events:?}: {failed} of 200 runs fail"
        );
    }
}

/// A worker loads an execution and then pauses before it takes the lease (the exclusive right to make the
/// attempt). During the pause, one person changes the parameters, and another person approves the change. The
/// worker must not start a script or change an account with the old parameters.
#[test]
fn a_slow_worker_uses_no_outdated_parameters() {
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..2_000 {
        if let Err(Failure(reason)) = run(seed, None, true) {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    println!("2000 runs with slow workers: {reasons:?}");
    assert!(reasons.is_empty(), "{reasons:?}");
}
