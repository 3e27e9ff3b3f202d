//! Implements the aggregate of the writes to one record of an external system. The desk writes the status of a ticket, its
//! assignee, and the remarks of people. Values that wait at the same time are one write.
//!
//! The external systems have no idempotency key. The desk therefore stores the start of each write. If no result is
//! stored, the desk reads the record again and does not simply repeat the write. The status and the assignee show by
//! themselves whether the write had an effect. Each remark has a mark in the text of its note, by which the desk finds the
//! note in the record.

mod former;
mod notes;
mod outcomes;
mod refusals;
mod requests;
mod target;
mod verdicts;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use events::Moment;
use events::writeback::{
    AssigneeRequested, AttemptStarted, Canceled, Closed, Completed, Field, NoteRequested, Outcome,
    Requested, WritebackEvent,
};
use serde::{Deserialize, Serialize};

pub use self::former::Former;
pub use self::notes::{mark, marked};
pub use self::refusals::RefusedNote;
pub use self::target::Target;
pub use self::verdicts::UNCLEAR;
use crate::attempt::{Attempts, Policy, Report};
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::value::plain;
use crate::views::Card;

/// The largest number of failures that the desk keeps for people.
const FAILURES_MAX: usize = 20;
/// The values that can be in conflict, with the names under which a verdict contains what was found in the record.
const CONFLICTS: [(Field, &str); 2] = [
    (Field::Status, "conflict/status"),
    (Field::Assignee, "conflict/assignee"),
];

/// The retry policy of all requests. 20 attempts take about 10 hours.
pub const POLICY: Policy = Policy {
    attempts_max: 20,
    first_ms: 5_000,
    longest_ms: 3_600_000,
};

/// The retry policy of requests that the source denies, because the secret is wrong or the account lacks a right. A person
/// must correct this, so the desk tries for about 3 days.
pub const DENIED_POLICY: Policy = Policy {
    attempts_max: 80,
    ..POLICY
};

/// The reason why waiting writes are canceled.
pub const NOT_BOUND: &str = "the case is not bound to the record any more";

/// The kind of request that the desk sends next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Reads the record.
    #[default]
    Read,
    /// Reads the notes of the record.
    ReadNotes,
    /// Writes the values and notes to the record.
    Write,
}

impl Step {
    const ALL: [Self; 3] = [Self::Read, Self::ReadNotes, Self::Write];

    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadNotes => "read_notes",
            Self::Write => "write",
        }
    }
}

/// The values of a record that the desk read.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub status: String,
    /// The assignee, in the form of [`AssigneeRequested`].
    pub assignee: String,
    /// How the desk can write the new status, or why it cannot.
    pub route: Result<String, String>,
    /// True if the external system needs a write of its own for the assignee.
    pub separates_assignee: bool,
    /// True if the external system needs a write of its own for notes.
    pub separates_notes: bool,
}

/// The meaning of a response.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The record has these values.
    Record(Found),
    /// The text contains all notes of the record.
    Notes(String),
    /// The external system accepted the write.
    Written,
    Rejected(String),
    /// The external system accepts neither the secret nor the rights of the account. It changed nothing.
    Denied(String),
    NotSent(String),
    Unclear(String),
}

/// Returns whether a response with this status denies the account or its rights.
pub fn is_denied(status: Option<u16>) -> bool {
    matches!(status, Some(401 | 403))
}

/// A failed attempt, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The number of the attempt.
    pub attempt: u32,
    pub reason: String,
}

/// The commands that change the writes to one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Requests the write of a status to the record.
    Request(Box<Requested>),
    /// Requests the write of an assignee to the record.
    RequestAssignee(Box<AssigneeRequested>),
    /// Requests the write of a remark to the record.
    RequestNote(Box<NoteRequested>),
    /// Stores that the write will be sent next.
    Begin { attempt: u32, until: Moment },
    /// Stores the outcome of the current request.
    Record(Report),
    /// Stores that the case contains the conflict.
    Close,
    /// Ends what waits, because the case is not bound to the record any more. `record` is the record to which the case is
    /// bound now; writes to it continue.
    Cancel { record: Option<String> },
}

/// The reasons why the desk rejects a command for the writes to one record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
}

/// The state of the writes to one record, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Writeback {
    /// The record. `None` before the first request.
    pub target: Option<Target>,
    /// The newest request of a status.
    pub requested: Option<Requested>,
    /// The newest request of an assignee.
    pub assignee: Option<AssigneeRequested>,
    /// The values that wait.
    pub waiting: BTreeSet<Field>,
    /// The values of the newest requests that the record has, because the desk wrote or found them.
    pub settled: BTreeSet<Field>,
    /// The values of the newest requests that the source has changed, as they are in the record.
    pub conflicts: BTreeMap<Field, String>,
    /// The numbers of the remarks that wait, in the order of their requests.
    pub notes: Vec<u64>,
    /// The numbers of all remarks that were requested.
    pub known_notes: BTreeSet<u64>,
    /// The remarks of writes whose results are unknown.
    pub tried_notes: BTreeSet<u64>,
    /// The remarks of the newest write.
    pub batch: Vec<u64>,
    /// The remarks of the last write of remarks that succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_batch: Vec<u64>,
    /// Whether the newest requests are not completed.
    pub is_open: bool,
    pub step: Step,
    /// The values that the next write contains.
    pub fields: Vec<Field>,
    /// Whether the next write contains no notes.
    pub is_alone: bool,
    pub attempts: Attempts,
    /// The number of attempts that the source denied since the begin of the open write.
    #[serde(default)]
    pub denials: u32,
    /// The number of attempts that belong to a former record.
    #[serde(default)]
    pub former_attempts: u32,
    /// The last failures of writes to the record, at most 20, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
    /// The values that a failed write did not write, and that no later write contains.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unwritten: BTreeSet<Field>,
    /// The remarks that a failed write did not write, and that no later write contains.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unwritten_notes: BTreeSet<u64>,
    /// The refusals of remarks that the record does not contain, by the numbers of the remarks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused_notes: BTreeMap<u64, RefusedNote>,
    /// The time until which the newest write can have an effect although its result is not stored. `None` if there is no
    /// such write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_until: Option<Moment>,
    /// The notes in the former records of the same case, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Former>,
    /// The last status that the record certainly had, because the desk wrote it or found it. `None` before the first
    /// completed write.
    pub confirmed: Option<String>,
    /// The last assignee that the record certainly had.
    pub confirmed_assignee: Option<String>,
    /// What the next write needs to change the status, such as the id of a transition.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub route: String,
    /// The statuses of the open write whose results are unknown. A record with one of them was not changed by the source.
    pub tried: BTreeSet<String>,
    /// The assignees of the open write whose results are unknown.
    pub tried_assignees: BTreeSet<String>,
    /// The end of the last completed request.
    pub last: Option<Completed>,
    /// Whether the case contains the last conflict.
    #[serde(default)]
    pub is_closed: bool,
}

impl Decider for Writeback {
    type Command = Command;
    type Event = WritebackEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<WritebackEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match command {
            // The same event is never requested twice.
            Command::Request(requested)
                if self
                    .requested
                    .as_ref()
                    .is_some_and(|known| known.cause == requested.cause) =>
            {
                Ok(Vec::new())
            }
            Command::Request(requested) => {
                let mut requested = (**requested).clone();
                let merges = self.waits_for_more_than_status();
                requested.due = self.due(&requested.record, requested.due, merges);
                Ok(vec![requested.into()])
            }
            Command::RequestAssignee(requested)
                if self
                    .assignee
                    .as_ref()
                    .is_some_and(|known| known.cause == requested.cause) =>
            {
                Ok(Vec::new())
            }
            Command::RequestAssignee(requested) => {
                let mut requested = (**requested).clone();
                requested.due = self.due(&requested.record, requested.due, true);
                Ok(vec![requested.into()])
            }
            Command::RequestNote(requested)
                if self.has_note(requested)
                    && (!requested.repeats || self.notes.contains(&requested.remark)) =>
            {
                Ok(Vec::new())
            }
            Command::RequestNote(requested) => {
                let mut requested = (**requested).clone();
                requested.due = self.due(&requested.record, requested.due, true);
                Ok(vec![requested.into()])
            }
            Command::Begin { attempt, .. }
                if !self.is_open || !self.attempts.may_start(*attempt) =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Record(Report { attempt, .. })
                if !self.is_open || !self.attempts.accepts(*attempt) =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Begin { attempt, until } => Ok(vec![
                AttemptStarted {
                    attempt: *attempt,
                    notes: self.next_notes(),
                    due: *until,
                }
                .into(),
            ]),
            Command::Record(report) => Ok(vec![self.record(report)]),
            Command::Close if self.is_open || self.is_closed => Ok(Vec::new()),
            Command::Close => Ok(vec![Closed {}.into()]),
            Command::Cancel { record } => Ok(match &self.target {
                Some(target) if self.has_work() && record.as_ref() != Some(&target.record) => {
                    vec![
                        Canceled {
                            record: target.record.clone(),
                            reason: NOT_BOUND.into(),
                        }
                        .into(),
                    ]
                }
                _ => Vec::new(),
            }),
        }
    }

    fn evolve(&mut self, event: &WritebackEvent) {
        match event {
            WritebackEvent::Requested(requested) => {
                self.begin(requested.into());
                self.requested = Some(requested.clone());
                self.wait_for(Field::Status);
            }
            WritebackEvent::AssigneeRequested(requested) => {
                self.begin(requested.into());
                self.assignee = Some(requested.clone());
                self.wait_for(Field::Assignee);
            }
            WritebackEvent::NoteRequested(requested) => {
                self.begin(requested.into());
                self.notes.push(requested.remark);
                self.unwritten_notes.remove(&requested.remark);
                self.known_notes.insert(requested.remark);
                if requested.repeats {
                    // The record possibly has the note, so the desk searches for it first.
                    self.tried_notes.insert(requested.remark);
                }
                self.step = self.first_step();
            }
            WritebackEvent::AttemptStarted(started) => {
                self.attempts.start(started.attempt, started.due);
                self.runs_until = Some(started.due);
                for field in self.parts() {
                    match field {
                        Field::Status => self.tried.extend(self.wanted(field)),
                        Field::Assignee => self.tried_assignees.extend(self.wanted(field)),
                    }
                }
                self.batch.clone_from(&started.notes);
                self.tried_notes.extend(&started.notes);
            }
            WritebackEvent::AttemptFailed(failed) => {
                if is_denied(failed.status) {
                    // Denials have a policy of their own.
                    self.attempts.postpone(failed.attempt, failed.due);
                    self.denials += 1;
                } else {
                    self.attempts.fail(failed.attempt, failed.due);
                }
                self.runs_until = None;
                self.add_failure(failed.attempt, &failed.reason);
                // The source can change the record during the pause.
                self.step = self.first_step();
            }
            WritebackEvent::PollScheduled(done) => {
                // A read between two writes is no success of the write.
                self.attempts.postpone(done.attempt, done.due);
                self.runs_until = done.is_unclear.then_some(done.due);
                if done.is_unclear {
                    self.attempts.failures += 1;
                    self.add_failure(done.attempt, &done.reason);
                }
                self.progress(done);
            }
            WritebackEvent::Completed(completed) => {
                self.attempts.end(completed.attempt);
                self.is_open = false;
                self.runs_until = None;
                if completed.outcome == Outcome::Failed {
                    self.add_failure(completed.attempt, &completed.reason);
                }
                self.complete(completed);
                self.last = Some(completed.clone());
            }
            WritebackEvent::Closed(_) => {
                self.is_closed = true;
                self.conflicts.clear();
            }
            WritebackEvent::Canceled(_) => self.cancel(),
        }
    }
}

/// Adds the writes that are not completed to the list `open`, those of them whose last attempts failed to the list `failing`,
/// and those that failed to the list `failed`.
impl Card for Writeback {
    type Event = WritebackEvent;
    const VIEW: &'static str = "writeback";
    const COUNTED: &'static [&'static str] = &["writeback", "open", "failing", "failed"];
    fn fold(&mut self, envelope: &Envelope<Self::Event>) {
        self.evolve(&envelope.event);
    }
    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(target) = &self.target else {
            return Vec::new();
        };
        let at = format!("{:016}", target.due.0);
        let mut rows = vec![("writeback", at.clone())];
        if self.is_open {
            rows.push(("open", at.clone()));
        }
        if self.is_failing() {
            rows.push(("failing", at.clone()));
        }
        if self.has_failed() {
            rows.push(("failed", at));
        }
        rows
    }
}

impl Writeback {
    /// Returns the value that the desk writes, in the form in which it is compared with the record.
    pub fn wanted(&self, field: Field) -> Option<String> {
        match field {
            Field::Status => self.requested.as_ref().map(|one| plain(&one.target)),
            Field::Assignee => self.assignee.as_ref().map(|one| one.target.clone()),
        }
    }

    /// Returns whether the last attempts of a write failed that is not completed.
    pub fn is_failing(&self) -> bool {
        self.is_open && (self.attempts.failures > 0 || self.denials > 0)
    }

    /// Returns whether a value or a remark was not written, and no later write contains it.
    pub fn has_failed(&self) -> bool {
        let last = self.last.as_ref().filter(|_| !self.is_open);
        last.is_some_and(|last| last.outcome == Outcome::Failed)
            || !self.unwritten.is_empty()
            || !self.unwritten_notes.is_empty()
    }

    /// Returns the values that were not written, and that no later write contains.
    pub fn failed_fields(&self) -> BTreeSet<Field> {
        let is_known = !self.unwritten.is_empty() || !self.unwritten_notes.is_empty();
        if is_known || !self.has_failed() {
            return self.unwritten.clone();
        }
        // Earlier versions did not store what a failed write contained.
        let all = CONFLICTS.map(|(field, _)| field);
        all.into_iter()
            .filter(|field| self.wanted(*field).is_some())
            .collect()
    }

    /// Returns the number of attempts to write to the record.
    pub fn own_attempts(&self) -> u32 {
        self.attempts.made.saturating_sub(self.former_attempts)
    }

    fn add_failure(&mut self, attempt: u32, reason: &str) {
        if self.failures.len() >= FAILURES_MAX {
            self.failures.remove(0);
        }
        self.failures.push(Failure {
            attempt: attempt.saturating_sub(self.former_attempts),
            reason: reason.to_owned(),
        });
    }

    /// Returns whether a value of the record can be one that the desk wrote, or that the record had when the ticket was
    /// opened. The source then has not changed it. `first` is the value when the ticket was opened.
    pub fn is_own(&self, field: Field, found: &str, first: &str) -> bool {
        let (tried, confirmed) = match field {
            Field::Status => (&self.tried, &self.confirmed),
            Field::Assignee => (&self.tried_assignees, &self.confirmed_assignee),
        };
        tried.contains(found) || confirmed.as_deref().unwrap_or(first) == found
    }

    /// Returns the values that the next write contains.
    pub fn parts(&self) -> Vec<Field> {
        // Earlier versions wrote only the status, and did not store the list.
        if self.fields.is_empty() && self.notes.is_empty() {
            self.waiting.iter().copied().collect()
        } else {
            self.fields.clone()
        }
    }
}
