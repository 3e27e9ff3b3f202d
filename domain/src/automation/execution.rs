//! Implements the aggregate of one execution. An execution is one run of a script for a node of a ticket. If
//! the script needs an approval, one person must approve the script with its parameters before the desk starts
//! the script.
//!
//! Until the execution is closed, its stream contains a deadline. At this deadline, the request for approval
//! expires, the desk makes the next attempt, or the desk sends the outcome to the ticket again.

use std::collections::{BTreeMap, BTreeSet};

use events::execution::{
    Approved, AttemptFailed, AttemptStarted, Closed, Completed, ExecutionEvent, Expired, Outcome,
    ParametersChanged, PollScheduled, Rejected, Requested,
};
use events::finding::{Finding, Reason};
use events::script::Level;
use events::{Moment, PersonId, Personal, Remark};
use serde::{Deserialize, Serialize};

use super::steps;
use crate::attempt::{Attempts, Policy, Report, Verdict};
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::views::Card;

/// Time in milliseconds in which the ticket must store the outcome of an execution. After this time, the desk
/// sends the outcome to the ticket again.
const RESULT_DUE_MS: i64 = 30_000;
/// Maximum number of attempts in the state of an execution. If the desk made more attempts, the state contains
/// only the newest attempts. The events contain all attempts.
const STEPS_MAX: usize = 100;
/// The retry policy of executions. After 4 failed attempts in succession, the desk makes no further attempt.
/// The first pause is 5 seconds. Each further pause is twice as long, but not longer than 5 minutes.
pub const POLICY: Policy = Policy {
    attempts_max: 4,
    first_ms: 5_000,
    longest_ms: 300_000,
};

/// The name of the output variable that contains the outcome of an execution. The function [`name`] returns the
/// possible values.
pub const OUTCOME: &str = "outcome";
/// The name of the output variable that contains the sandbox level (set of restrictions) of a shell script.
pub const LEVEL: &str = "level";
/// The name of the output variable that contains the exit code of a shell script.
pub const EXIT_CODE: &str = "exit_code";
/// The name of the output variable that contains the output of a shell script.
pub const OUTPUT: &str = "output";

/// The commands that change one execution (one run of a script).
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Request(Box<Requested>),
    /// Replaces the parameters before the script starts. An earlier approval is then no longer valid.
    ChangeParameters {
        by: PersonId,
        parameters: Personal,
        /// The new values for the form of the node at which the script runs. The desk computes these values
        /// from the changed parameters.
        form: Personal,
        fingerprint: String,
        at: Moment,
        /// The time at which the new request for approval expires. The member `fingerprint` is a hash that
        /// includes this time.
        expires: Moment,
    },
    /// Approves the script with its parameters. The member `fingerprint` is a hash of the data that the person
    /// has seen and approves.
    Approve {
        by: PersonId,
        fingerprint: String,
        at: Moment,
    },
    Reject {
        by: PersonId,
        reason: Remark,
        at: Moment,
    },
    /// Ends the request for approval. Before the expiry time of the request, the command does nothing.
    Expire {
        at: Moment,
    },
    /// Stores that an attempt starts. The desk uses this command only for a step that must not be done twice. If
    /// no outcome is stored before the time `until`, the attempt counts as interrupted.
    Begin {
        attempt: u32,
        until: Moment,
    },
    /// Stores the outcome of the current attempt to do a step of the script.
    Record(Report),
    /// Closes the execution, because all work for this execution is done. The member `recorded` is true if the
    /// ticket stored the outcome, and false if the ticket did not need the outcome.
    Close {
        recorded: bool,
    },
}

/// The reasons why the desk rejects a command for an execution (one run of a script).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the execution is already requested")]
    AlreadyRequested,
    #[error("the execution is not requested")]
    NotRequested,
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
    #[error("the execution does not wait for an approval")]
    NotAwaitingApproval,
    #[error("the request for approval has expired")]
    ApprovalExpired,
    #[error("you are not one of the people who may approve this execution")]
    NotAnApprover,
    #[error("the requester of the ticket may not approve its execution")]
    RequesterMayNotApprove,
    #[error("a person who changed the parameters may not approve the execution")]
    EditorMayNotApprove,
    #[error("the execution was changed; read it again and approve its current fingerprint")]
    Changed,
    #[error("the execution needs no approval, so its parameters cannot be changed")]
    NeedsNoApproval,
    #[error("the execution has already started")]
    HasStarted,
    #[error("the execution has no outcome yet")]
    NoOutcome,
}

/// The end of an execution: an outcome of the script, a rejection by a person, or an approval that did not
/// arrive in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Completed(Box<Completed>),
    Rejected(Rejected),
    Expired(Expired),
}

/// One attempt to do a step of a script. People can read the attempts of an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDone {
    pub attempt: u32,
    pub step: String,
    /// True if the attempt was successful.
    pub succeeded: bool,
    /// The observation in this attempt, such as the state of an account. If there is no observation, the text
    /// is the reason for the failure.
    pub text: String,
    /// The same statement without a language. The value is absent if the statement is known only as a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    /// The duration of the request in milliseconds. The value is absent if the desk sent no request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
}

/// The state of one execution (one run of a script), computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    pub requested: Option<Requested>,
    /// The current parameters of the script as a JSON object. Each value of the object is a text.
    pub parameters: Option<Personal>,
    /// The current values for the form of the node at which the script runs, as a JSON object.
    pub form: Option<Personal>,
    /// A fingerprint (hash) of the script, its parameters and all other data that a person approves.
    pub fingerprint: String,
    /// The time at which the request for approval expires. The value is absent if the execution does not wait
    /// for an approval.
    pub expires: Option<Moment>,
    /// The people who changed the parameters. These people may not approve the execution.
    pub editors: BTreeSet<PersonId>,
    pub approved_by: Option<PersonId>,
    pub attempts: Attempts,
    /// True if the desk has stored the start or the result of an attempt. The parameters can then no longer
    /// change.
    pub is_started: bool,
    /// The time at which the maximum duration of the execution begins. This time is the time of the request or,
    /// after an approval, the time of the approval.
    pub runs_from: Moment,
    /// The name of the next step of the script.
    pub step: String,
    /// The attempts that the desk made. The oldest attempt is the first.
    pub steps: Vec<StepDone>,
    pub end: Option<End>,
    pub is_closed: bool,
}

impl Decider for Execution {
    type Command = Command;
    type Event = ExecutionEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Request(_))
    }

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<ExecutionEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        let requested = match (command, &self.requested) {
            (Command::Request(_), Some(_)) => return reject(Rejection::AlreadyRequested),
            (Command::Request(requested), None) => {
                return Ok(vec![(**requested).clone().into()]);
            }
            (_, None) => return reject(Rejection::NotRequested),
            (_, Some(requested)) => requested,
        };
        match command {
            Command::Request(_) => Ok(Vec::new()),
            Command::ChangeParameters {
                by,
                parameters,
                form,
                fingerprint,
                at,
                expires,
            } => {
                self.check_change(requested, *at)?;
                Ok(vec![
                    ParametersChanged {
                        by: by.clone(),
                        parameters: parameters.clone(),
                        form: form.clone(),
                        fingerprint: fingerprint.clone(),
                        due: *at,
                        expires: *expires,
                    }
                    .into(),
                ])
            }
            Command::Approve {
                by,
                fingerprint,
                at,
            } => {
                self.check_vote(requested, by, *at)?;
                if self.editors.contains(by) {
                    return reject(Rejection::EditorMayNotApprove);
                }
                if *fingerprint != self.fingerprint {
                    return reject(Rejection::Changed);
                }
                Ok(vec![
                    Approved {
                        by: by.clone(),
                        fingerprint: fingerprint.clone(),
                        due: *at,
                    }
                    .into(),
                ])
            }
            Command::Reject { by, reason, at } => {
                self.check_vote(requested, by, *at)?;
                Ok(vec![
                    Rejected {
                        by: by.clone(),
                        reason: reason.clone(),
                        due: *at,
                    }
                    .into(),
                ])
            }
            Command::Expire { at } => Ok(match self.expires {
                Some(expires) if expires <= *at => vec![Expired { due: *at }.into()],
                _ => Vec::new(),
            }),
            Command::Begin { attempt, .. } | Command::Record(Report { attempt, .. })
                if !self.is_running() || *attempt != self.attempts.next() =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Begin { attempt, .. } if self.attempts.is_interrupted() => {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Begin { attempt, until } => Ok(vec![
                AttemptStarted {
                    attempt: *attempt,
                    step: self.step.clone(),
                    due: *until,
                }
                .into(),
            ]),
            Command::Record(report) => Ok(vec![self.record(requested, report)]),
            Command::Close { .. } if self.end.is_none() => reject(Rejection::NoOutcome),
            Command::Close { .. } if self.is_closed => Ok(Vec::new()),
            Command::Close { recorded } => Ok(vec![
                Closed {
                    recorded: *recorded,
                }
                .into(),
            ]),
        }
    }

    fn evolve(&mut self, event: &ExecutionEvent) {
        match event {
            ExecutionEvent::Requested(requested) => {
                self.parameters = Some((*requested.parameters).clone());
                self.form = Some((*requested.form).clone());
                self.fingerprint.clone_from(&requested.fingerprint);
                self.expires = requested.expires;
                self.run_from(requested.due);
                steps::first(&requested.body).clone_into(&mut self.step);
                self.requested = Some(requested.clone());
            }
            ExecutionEvent::ParametersChanged(changed) => {
                self.parameters = Some(changed.parameters.clone());
                self.form = Some(changed.form.clone());
                // The current attempt gets a new number. If a worker prepared the attempt with the old
                // parameters, the old number is now invalid. This worker can then neither start the attempt
                // nor store its result.
                self.attempts.made += 1;
                self.fingerprint.clone_from(&changed.fingerprint);
                self.expires = Some(changed.expires);
                self.editors.insert(changed.by.clone());
                self.approved_by = None;
            }
            ExecutionEvent::Approved(approved) => {
                self.expires = None;
                self.approved_by = Some(approved.by.clone());
                self.run_from(approved.due);
            }
            ExecutionEvent::Rejected(rejected) => {
                self.expires = None;
                self.end = Some(End::Rejected(rejected.clone()));
            }
            ExecutionEvent::Expired(expired) => {
                self.expires = None;
                self.end = Some(End::Expired(expired.clone()));
            }
            ExecutionEvent::AttemptStarted(started) => {
                self.is_started = true;
                self.attempts.start(started.attempt, started.due);
            }
            ExecutionEvent::AttemptFailed(failed) => {
                self.is_started = true;
                self.attempts.fail(failed.attempt, failed.due);
                self.keep(StepDone {
                    attempt: failed.attempt,
                    step: failed.step.clone(),
                    succeeded: false,
                    text: failed.reason.clone(),
                    finding: failed.finding.clone(),
                    duration_ms: failed.exchange.as_ref().map(|one| one.duration_ms),
                });
            }
            ExecutionEvent::PollScheduled(scheduled) => {
                self.is_started = true;
                self.attempts.poll(scheduled.attempt, scheduled.due);
                self.step.clone_from(&scheduled.next);
                self.keep(StepDone {
                    attempt: scheduled.attempt,
                    step: scheduled.step.clone(),
                    succeeded: true,
                    text: scheduled.observed.clone(),
                    finding: scheduled.finding.clone(),
                    duration_ms: scheduled.exchange.as_ref().map(|one| one.duration_ms),
                });
            }
            ExecutionEvent::Completed(completed) => {
                self.attempts.end(completed.attempt);
                let observed = &completed.observed;
                self.keep(StepDone {
                    attempt: completed.attempt,
                    step: completed.step.clone(),
                    succeeded: is_done(completed.outcome),
                    text: if observed.is_empty() {
                        completed.reason.clone()
                    } else {
                        observed.clone()
                    },
                    finding: completed.finding.clone(),
                    duration_ms: completed.exchange.as_ref().map(|one| one.duration_ms),
                });
                self.end = Some(End::Completed(Box::new(completed.clone())));
            }
            ExecutionEvent::Closed(_) => self.is_closed = true,
        }
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        let requested = self.requested.iter_mut();
        let of_request = requested.flat_map(events::Personals::personals);
        let of_end = self.end.iter_mut().flat_map(|end| match end {
            End::Completed(completed) => events::Personals::personals(&mut **completed),
            End::Rejected(rejected) => events::Personals::personals(rejected),
            End::Expired(_) => Vec::new(),
        });
        of_request
            .chain(&mut self.parameters)
            .chain(&mut self.form)
            .chain(of_end)
            .collect()
    }
}

impl Execution {
    /// Returns true if the desk may make attempts. The execution must be requested, must not wait for an
    /// approval, and must not have ended.
    pub fn is_running(&self) -> bool {
        self.requested.is_some() && self.expires.is_none() && self.end.is_none()
    }

    /// Returns the time at which the maximum duration of the execution ends.
    pub fn runs_until(&self) -> Moment {
        let timeout_ms = self.requested.as_ref().map_or(0, |one| one.timeout_ms);
        self.runs_from.plus_ms(timeout_ms)
    }

    /// Returns the text that represents the current state of the execution in the API.
    pub fn state(&self) -> &'static str {
        match &self.end {
            Some(End::Completed(completed)) => name(completed.outcome),
            Some(End::Rejected(_)) => "rejected",
            Some(End::Expired(_)) => "expired",
            None if self.expires.is_some() => "awaiting_approval",
            None if !self.is_started => "queued",
            None => "running",
        }
    }

    fn run_from(&mut self, due: Moment) {
        self.runs_from = due;
        self.attempts.due = due;
    }

    fn keep(&mut self, step: StepDone) {
        if self.steps.len() == STEPS_MAX {
            self.steps.remove(0);
        }
        self.steps.push(step);
    }

    /// Checks whether the parameters may change. Returns an error if the execution needs no approval or has
    /// already started, or if the request for approval has expired.
    fn check_change(&self, requested: &Requested, at: Moment) -> Result<(), DecideError<Self>> {
        let rejection = if requested.approvers.is_empty() {
            Rejection::NeedsNoApproval
        } else if self.end.is_some() || self.is_started {
            Rejection::HasStarted
        } else if self.expires.is_some_and(|expires| expires <= at) {
            Rejection::ApprovalExpired
        } else {
            return Ok(());
        };
        Err(DecideError::Rejected(rejection))
    }

    /// Checks whether the person `by` may approve or reject the execution at the time `at`. Returns an error if
    /// the person may not decide, or if the execution does not wait for an approval.
    fn check_vote(
        &self,
        requested: &Requested,
        by: &PersonId,
        at: Moment,
    ) -> Result<(), DecideError<Self>> {
        let rejection = match self.expires {
            None => Rejection::NotAwaitingApproval,
            Some(expires) if expires <= at => Rejection::ApprovalExpired,
            Some(_) if *by == requested.requester => Rejection::RequesterMayNotApprove,
            Some(_) if !requested.approvers.contains(by) => Rejection::NotAnApprover,
            Some(_) => return Ok(()),
        };
        Err(DecideError::Rejected(rejection))
    }

    /// Returns the event that stores the outcome of one attempt. If the attempt failed for a temporary reason
    /// and the retry policy allows another attempt, the event schedules this attempt.
    fn record(&self, requested: &Requested, report: &Report) -> ExecutionEvent {
        let (attempt, exchange) = (report.attempt, report.exchange.clone());
        let step = self.step.clone();
        let completed = |outcome, reason: &Reason| Completed {
            attempt,
            step: self.step.clone(),
            outcome,
            observed: String::new(),
            reason: reason.text.clone(),
            finding: reason.finding.as_deref().cloned(),
            exchange: report.exchange.clone(),
            level: None,
            exit_code: None,
            output: None,
            due: report.at.plus_ms(RESULT_DUE_MS),
        };
        let of_script = |outputs: &BTreeMap<String, String>, default, reason: &Reason| {
            let text = |key: &str| outputs.get(key).cloned().unwrap_or_default();
            let output = outputs.get(OUTPUT).filter(|text| !text.is_empty());
            let output =
                output.map(|text| Personal::new(requested.requester.clone(), text.as_str().into()));
            Completed {
                level: level(&text(LEVEL)),
                exit_code: text(EXIT_CODE).parse().ok(),
                output,
                ..completed(outcome(&text(OUTCOME)).unwrap_or(default), reason)
            }
        };
        let (reason, after_ms) = match &report.verdict {
            Verdict::Succeeded { outputs, observed } => {
                let observed = observed.as_deref();
                return Completed {
                    observed: observed.map(ToString::to_string).unwrap_or_default(),
                    finding: observed.cloned(),
                    ..of_script(outputs, Outcome::Succeeded, &Reason::default())
                }
                .into();
            }
            Verdict::Failed { reason, outputs } => {
                return of_script(outputs, Outcome::Failed, reason).into();
            }
            Verdict::Poll {
                step: next,
                after_ms,
                observed,
                ..
            } => {
                let observed = observed.as_deref();
                return PollScheduled {
                    attempt,
                    step,
                    next: next.clone(),
                    observed: observed.map(ToString::to_string).unwrap_or_default(),
                    finding: observed.cloned(),
                    exchange,
                    due: report.at.plus_ms(*after_ms),
                }
                .into();
            }
            Verdict::Unknown { reason } => return completed(Outcome::Unknown, reason).into(),
            Verdict::Refused { reason, .. } => return completed(Outcome::Failed, reason).into(),
            Verdict::Retry { reason, after_ms } => (reason, *after_ms),
            Verdict::Throttled { reason, after_ms } => (reason, Some(*after_ms)),
        };
        match self.attempts.retry_at(report.policy, after_ms, report.at) {
            Some(due) => AttemptFailed {
                attempt,
                step,
                exchange,
                reason: reason.text.clone(),
                finding: reason.finding.as_deref().cloned(),
                due,
            }
            .into(),
            None => completed(Outcome::Failed, reason).into(),
        }
    }
}

/// Returns true if the desk can complete the node of the ticket with this outcome. After any other outcome, a
/// person must do the work of the node.
pub fn is_done(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Succeeded | Outcome::NoChange)
}

/// All outcomes of an execution (one run of a script), each with its name in the API.
const NAMES: [(Outcome, &str); 7] = [
    (Outcome::Succeeded, "succeeded"),
    (Outcome::NoChange, "no_change"),
    (Outcome::Failed, "failed"),
    (Outcome::TimedOut, "timed_out"),
    (Outcome::ResourceExceeded, "resource_exceeded"),
    (Outcome::Canceled, "canceled"),
    (Outcome::Unknown, "unknown"),
];

/// Returns the text that represents an outcome in the API.
pub fn name(outcome: Outcome) -> &'static str {
    NAMES
        .iter()
        .find_map(|(known, name)| (*known == outcome).then_some(*name))
        .unwrap_or("unknown")
}

fn outcome(name: &str) -> Option<Outcome> {
    NAMES
        .iter()
        .find_map(|(outcome, known)| (*known == name).then_some(*outcome))
}

fn level(name: &str) -> Option<Level> {
    [Level::None, Level::Limits, Level::Files, Level::Network]
        .into_iter()
        .find(|level| level.name() == name)
}

/// Defines in which lists of the view `execution` an execution appears. There is a list of all executions, a
/// list of the open executions, and a list of the executions that wait for an approval. Each approver has a
/// list of the executions that this person may approve. Each ticket has a list of its executions.
impl Card for Execution {
    type Event = ExecutionEvent;
    const VIEW: &'static str = "execution";

    fn fold(&mut self, envelope: &Envelope<ExecutionEvent>) {
        self.evolve(&envelope.event);
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(requested) = &self.requested else {
            return Vec::new();
        };
        // Lists are sorted by the time of the request. This time never changes, so the position of an execution
        // in a list never changes.
        let age = format!("{:016}", requested.due.0);
        let mut rows = vec![
            ("execution", age.clone()),
            ("ticket", format!("{}|{age}", requested.ticket)),
        ];
        if self.expires.is_some() {
            rows.push(("awaiting", age.clone()));
            let approvers = requested.approvers.iter();
            rows.extend(approvers.map(|person| ("approver", format!("{person}|{age}"))));
        }
        if !self.is_closed {
            rows.push(("open", age));
        }
        rows
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        Decider::personals(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use events::script::{Action, Body};
    use events::{DeadlineChange, Event as _, NodeId};
    use serde_json::json;

    use super::*;
    use crate::automation::steps::{AccountState, CHECK, READ, UNLOCK};
    use crate::decider::fold;

    fn person(name: &str) -> PersonId {
        PersonId(name.into())
    }

    fn requested(approvers: &[&str]) -> ExecutionEvent {
        let personal = || {
            Box::new(Personal::new(
                person("p-lisi"),
                json!({ "account": "lisi" }),
            ))
        };
        Requested {
            ticket: "REQ1".into(),
            node: NodeId(3),
            name: "处理".into(),
            round: 1,
            cause: "ticket-REQ1:3".into(),
            rule: "unlock".into(),
            tested: Vec::new(),
            script: "unlock_account".into(),
            version: "1".into(),
            body: Body::Steps {
                action: Action::UnlockAccount,
                platform: "d".into(),
            },
            target: String::new(),
            accepts: Vec::new(),
            requester: person("p-lisi"),
            parameters: personal(),
            fingerprint: "first".into(),
            approvers: approvers.iter().map(|name| person(name)).collect(),
            form: personal(),
            timeout_ms: 60_000,
            approval_ms: 1_000,
            problem: String::new(),
            finding: None,
            due: Moment(10),
            expires: (!approvers.is_empty()).then_some(Moment(1_010)),
        }
        .into()
    }

    fn report(execution: &Execution, verdict: Verdict) -> Command {
        Command::Record(Report {
            attempt: execution.attempts.next(),
            exchange: None,
            status: None,
            verdict,
            policy: POLICY,
            at: Moment(100),
        })
    }

    fn act(execution: &mut Execution, command: &Command) -> Result<(), Rejection> {
        match execution.decide(command, &()) {
            Ok(events) => {
                events.iter().for_each(|event| execution.evolve(event));
                Ok(())
            }
            Err(DecideError::Rejected(rejection)) => Err(rejection),
            Err(DecideError::Needs(_)) => unreachable!("an execution needs no lookups"),
        }
    }

    fn approve(by: &str, fingerprint: &str, at: i64) -> Command {
        Command::Approve {
            by: person(by),
            fingerprint: fingerprint.into(),
            at: Moment(at),
        }
    }

    fn change(by: &str, fingerprint: &str) -> Command {
        Command::ChangeParameters {
            by: person(by),
            parameters: Personal::new(person("p-lisi"), json!({ "account": "other" })),
            form: Personal::new(person("p-lisi"), json!({})),
            fingerprint: fingerprint.into(),
            at: Moment(20),
            expires: Moment(1_020),
        }
    }

    #[test]
    fn an_account_is_unlocked_in_three_steps() {
        let mut execution = fold::<Execution>(&[requested(&[])]);
        assert_eq!(execution.state(), "queued");
        let locked = AccountState::Locked("20261128000000Z".into());
        for (verdict, state) in [
            (steps::after_reading(READ, &locked), "running"),
            (steps::after_unlocking(), "running"),
            (
                steps::after_reading(CHECK, &AccountState::NotLocked),
                "succeeded",
            ),
        ] {
            let command = report(&execution, verdict);
            act(&mut execution, &command).expect("recorded");
            assert_eq!(execution.state(), state);
        }
        let shown: Vec<_> = execution
            .steps
            .iter()
            .map(|step| (step.attempt, step.step.as_str(), step.text.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                (1, READ, "the account is locked since 20261128000000Z"),
                (2, UNLOCK, "the directory removed the lock"),
                (3, CHECK, "the account is not locked"),
            ]
        );
        let findings: Vec<_> = execution
            .steps
            .iter()
            .map(|step| step.finding.clone())
            .collect();
        let since = "20261128000000Z".to_owned();
        assert_eq!(
            findings,
            [
                Some(Finding::AccountLocked { since }),
                Some(Finding::LockRemoved),
                Some(Finding::AccountNotLocked),
            ]
        );
        let late = report(&execution, Verdict::retry("late"));
        assert_eq!(act(&mut execution, &late), Err(Rejection::NotDue(4)));
        act(&mut execution, &Command::Close { recorded: true }).expect("closed");
        assert!(execution.is_closed);
    }

    #[test]
    fn only_another_approver_approves_what_is_current() {
        let mut execution = fold::<Execution>(&[requested(&["p-wangwu", "p-lisi", "p-zhaoliu"])]);
        assert_eq!(execution.state(), "awaiting_approval");
        for (command, rejection) in [
            (
                approve("p-lisi", "first", 20),
                Rejection::RequesterMayNotApprove,
            ),
            (approve("p-other", "first", 20), Rejection::NotAnApprover),
            (approve("p-wangwu", "other", 20), Rejection::Changed),
            (
                approve("p-wangwu", "first", 1_010),
                Rejection::ApprovalExpired,
            ),
            (
                report(&execution, Verdict::retry("early")),
                Rejection::NotDue(1),
            ),
        ] {
            assert_eq!(act(&mut execution, &command), Err(rejection));
        }
        act(&mut execution, &approve("p-wangwu", "first", 20)).expect("approved");
        assert_eq!(execution.state(), "queued");
        assert_eq!(execution.runs_until(), Moment(60_020));
        assert_eq!(
            act(&mut execution, &approve("p-zhaoliu", "first", 30)),
            Err(Rejection::NotAwaitingApproval)
        );
        let early = report(&execution, Verdict::retry("the directory does not answer"));
        act(&mut execution, &early).expect("an attempt after the approval");
    }

    #[test]
    fn changed_parameters_need_another_approval_by_another_person() {
        let mut execution = fold::<Execution>(&[requested(&["p-wangwu", "p-zhaoliu"])]);
        act(&mut execution, &approve("p-wangwu", "first", 20)).expect("approved");
        act(&mut execution, &change("p-wangwu", "second")).expect("changed before the start");
        assert_eq!(execution.state(), "awaiting_approval");
        for (command, rejection) in [
            (
                approve("p-wangwu", "second", 30),
                Rejection::EditorMayNotApprove,
            ),
            (approve("p-zhaoliu", "first", 30), Rejection::Changed),
        ] {
            assert_eq!(act(&mut execution, &command), Err(rejection));
        }
        act(&mut execution, &approve("p-zhaoliu", "second", 30)).expect("approved");
        let first = report(&execution, Verdict::retry("the directory does not answer"));
        act(&mut execution, &first).expect("an attempt");
        assert_eq!(
            act(&mut execution, &change("p-wangwu", "third")),
            Err(Rejection::HasStarted)
        );
        let mut free = fold::<Execution>(&[requested(&[])]);
        assert_eq!(
            act(&mut free, &change("p-wangwu", "x")),
            Err(Rejection::NeedsNoApproval)
        );
    }

    #[test]
    fn an_attempt_with_old_parameters_is_never_stored() {
        let mut execution = fold::<Execution>(&[requested(&["p-wangwu", "p-zhaoliu"])]);
        act(&mut execution, &approve("p-wangwu", "first", 20)).expect("approved");
        let begin = |attempt| Command::Begin {
            attempt,
            until: Moment(40),
        };
        let stale = report(&execution, Verdict::retry("with the old parameters"));
        act(&mut execution, &change("p-wangwu", "second")).expect("changed");
        act(&mut execution, &approve("p-zhaoliu", "second", 30)).expect("approved");
        assert_eq!(act(&mut execution, &stale), Err(Rejection::NotDue(1)));
        assert_eq!(act(&mut execution, &begin(1)), Err(Rejection::NotDue(1)));
        assert_eq!(execution.state(), "queued");
        act(&mut execution, &begin(2)).expect("the attempt with the new parameters");
    }

    #[test]
    fn a_request_for_approval_expires_and_a_rejection_ends_it() {
        let waiting = fold::<Execution>(&[requested(&["p-wangwu"])]);
        let mut expired = waiting.clone();
        act(&mut expired, &Command::Expire { at: Moment(1_009) }).expect("too early");
        assert_eq!(expired.state(), "awaiting_approval");
        act(&mut expired, &Command::Expire { at: Moment(1_010) }).expect("expired");
        assert_eq!(expired.state(), "expired");
        let mut rejected = waiting;
        let reject = Command::Reject {
            by: person("p-wangwu"),
            reason: Remark::new("账号不对"),
            at: Moment(20),
        };
        act(&mut rejected, &reject).expect("rejected");
        assert_eq!(rejected.state(), "rejected");
        for ended in [&mut expired, &mut rejected] {
            let attempt = report(ended, Verdict::retry("x"));
            assert_eq!(act(ended, &attempt), Err(Rejection::NotDue(1)));
            assert_eq!(act(ended, &change("p-x", "y")), Err(Rejection::HasStarted));
            act(ended, &Command::Close { recorded: true }).expect("closed");
        }
    }

    #[test]
    fn temporary_failures_repeat_up_to_the_bound() {
        let mut execution = fold::<Execution>(&[requested(&[])]);
        for pause in [5_000, 10_000, 20_000] {
            let failed = report(&execution, Verdict::retry("the directory does not answer"));
            act(&mut execution, &failed).expect("recorded");
            assert_eq!(execution.attempts.due, Moment(100 + pause));
        }
        let last = report(&execution, Verdict::retry("the directory does not answer"));
        act(&mut execution, &last).expect("recorded");
        assert_eq!(execution.state(), "failed");
        assert_eq!(execution.steps.len(), 4);
    }

    #[test]
    fn the_result_of_a_shell_script_is_kept_with_its_level() {
        let mut execution = fold::<Execution>(&[requested(&[])]);
        let begin = Command::Begin {
            attempt: 1,
            until: Moment(40),
        };
        act(&mut execution, &begin).expect("started");
        assert_eq!(act(&mut execution, &begin), Err(Rejection::NotDue(1)));
        assert_eq!(execution.state(), "running");
        let outputs: BTreeMap<String, String> = [
            (OUTCOME, "resource_exceeded"),
            (LEVEL, "network"),
            (EXIT_CODE, "137"),
            (OUTPUT, "out of memory"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let failed = Verdict::Failed {
            reason: "too much memory".into(),
            outputs,
        };
        let command = report(&execution, failed);
        act(&mut execution, &command).expect("recorded");
        let Some(End::Completed(completed)) = &execution.end else {
            panic!("completed")
        };
        assert_eq!(completed.outcome, Outcome::ResourceExceeded);
        assert_eq!(completed.level, Some(Level::Network));
        assert_eq!(completed.exit_code, Some(137));
        assert_eq!(
            completed.output.as_ref().map(|output| &output.value),
            Some(&"out of memory".into())
        );
        assert_eq!(Decider::personals(&mut execution).len(), 5);
    }

    #[test]
    fn every_state_except_the_last_one_has_a_deadline() {
        for event in events::samples::history::<ExecutionEvent>() {
            let changes = event.deadlines();
            let sets = changes
                .iter()
                .filter(|change: &&DeadlineChange| change.due.is_some());
            let is_last = matches!(event, ExecutionEvent::Closed(_));
            assert_eq!(sets.count(), usize::from(!is_last), "{event:?}");
        }
    }
}
