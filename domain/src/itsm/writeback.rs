//! Implements the aggregate of the writes to one record of an external system. The desk writes the status of a ticket, its
//! assignee, and the remarks of people. Values that wait at the same time are one write.
//!
//! The external systems have no idempotency key. The desk therefore stores the start of each write. If no result is
//! stored, the desk reads the record again and does not simply repeat the write. The status and the assignee show by
//! themselves whether the write had an effect. Each remark has a mark in the text of its note, by which the desk finds the
//! note in the record.

use std::collections::{BTreeMap, BTreeSet};

use events::writeback::{
    AssigneeRequested, AttemptFailed, AttemptStarted, Canceled, Closed, Completed, Field,
    NoteRequested, Outcome, PollScheduled, Requested, WritebackEvent,
};
use events::{Moment, TicketSn};
use serde::{Deserialize, Serialize};

use crate::attempt::{Attempts, Consequence, Policy, Report, Verdict};
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::value::plain;
use crate::views::Card;

/// The pause after a write without a response, in milliseconds. The external system may still execute the write.
const READ_AGAIN_MS: i64 = 10_000;
/// Time limit in milliseconds until the case must contain a conflict.
const CONFLICT_DUE_MS: i64 = 30_000;
/// Maximum number of remarks in one write. A note must not be longer than the external systems permit.
const NOTES_MAX: usize = 5;
/// The largest number of failures that the desk keeps for people.
const FAILURES_MAX: usize = 20;
/// The name under which a verdict contains that the result of a write is unknown. The value is the reason.
pub const UNCLEAR: &str = "unclear";
/// The name under which a verdict contains how the status can be written.
const ROUTE: &str = "route";
/// The name under which a verdict contains the outcome.
const OUTCOME: &str = "outcome";
/// The name under which a verdict contains the values that the next write contains.
const FIELDS: &str = "fields";
/// The name under which a verdict contains the values that the record already has.
const AGREED: &str = "agreed";
/// The name under which a verdict contains the remarks that the record already contains.
const NOTED: &str = "noted";
/// The name under which a verdict contains that a write succeeded, and further values wait.
const WRITTEN: &str = "written";
/// The name under which a verdict contains that the next write contains no notes.
const ALONE: &str = "alone";
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

/// The reason of a write whose outcome was not stored.
const INTERRUPTED: &str = "the desk stopped before it stored the result of the write";

/// The reason why waiting writes are canceled.
pub const NOT_BOUND: &str = "the case is not bound to the record any more";

/// Returns the mark of a remark in the text of a note. The desk finds the note in the record by its mark.
pub fn mark(ticket: &TicketSn, remark: u64) -> String {
    format!("{}{remark}]", mark_start(ticket))
}

fn mark_start(ticket: &TicketSn) -> String {
    format!("[ledgerdesk {ticket}/")
}

/// Returns the numbers of the remarks of a ticket whose marks are in a text.
pub fn marked(ticket: &TicketSn, text: &str) -> BTreeSet<u64> {
    let start = mark_start(ticket);
    let rests = text.split(start.as_str()).skip(1);
    rests
        .filter_map(|rest| rest.split_once(']')?.0.parse().ok())
        .collect()
}

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

/// The record to which the desk writes, and the newest request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The name of the stream of the case.
    pub case: String,
    /// The name of the integration.
    pub source: String,
    /// The id of the record in the external system.
    pub record: String,
    pub ticket: TicketSn,
    /// The id of the event that caused the newest request.
    pub cause: String,
    /// The time at which the newest request is due.
    pub due: Moment,
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
                requested.due = self.due(requested.due, self.waits_for_more_than_status());
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
                requested.due = self.due(requested.due, true);
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
                requested.due = self.due(requested.due, true);
                Ok(vec![requested.into()])
            }
            Command::Begin { attempt, .. } | Command::Record(Report { attempt, .. })
                if *attempt != self.attempts.next() || !self.is_open =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Begin { attempt, .. } if *attempt == self.attempts.started => {
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
                self.begin(Target {
                    case: requested.case.clone(),
                    source: requested.source.clone(),
                    record: requested.record.clone(),
                    ticket: requested.ticket.clone(),
                    cause: requested.cause.clone(),
                    due: requested.due,
                });
                self.requested = Some(requested.clone());
                self.wait_for(Field::Status);
            }
            WritebackEvent::AssigneeRequested(requested) => {
                self.begin(Target {
                    case: requested.case.clone(),
                    source: requested.source.clone(),
                    record: requested.record.clone(),
                    ticket: requested.ticket.clone(),
                    cause: requested.cause.clone(),
                    due: requested.due,
                });
                self.assignee = Some(requested.clone());
                self.wait_for(Field::Assignee);
            }
            WritebackEvent::NoteRequested(requested) => {
                self.begin(Target {
                    case: requested.case.clone(),
                    source: requested.source.clone(),
                    record: requested.record.clone(),
                    ticket: requested.ticket.clone(),
                    cause: requested.cause.clone(),
                    due: requested.due,
                });
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
                self.add_failure(failed.attempt, &failed.reason);
                // The source can change the record during the pause.
                self.step = self.first_step();
            }
            WritebackEvent::PollScheduled(done) => {
                // A read between two writes is no success of the write.
                self.attempts.postpone(done.attempt, done.due);
                if done.is_unclear {
                    self.attempts.failures += 1;
                    self.add_failure(done.attempt, &done.reason);
                }
                self.progress(done);
            }
            WritebackEvent::Completed(completed) => {
                self.attempts.end(completed.attempt);
                self.is_open = false;
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

/// Adds the writes that are not completed to the list `open`, and those that failed to the list `failed`.
impl Card for Writeback {
    type Event = WritebackEvent;
    const VIEW: &'static str = "writeback";
    const COUNTED: &'static [&'static str] = &["writeback", "open", "failed"];
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

    /// Returns whether the write of the remark to the same record was requested before.
    fn has_note(&self, requested: &NoteRequested) -> bool {
        let target = self.target.as_ref();
        target.is_some_and(|target| target.record == requested.record)
            && self.known_notes.contains(&requested.remark)
    }

    /// Returns whether a request or a conflict waits.
    fn has_work(&self) -> bool {
        self.is_open || !self.conflicts.is_empty()
    }

    /// Returns the numbers of the remarks that should be in the notes of the record, but are not. `found` contains those in
    /// the notes that the desk read. If these are not all notes of the record, only the remarks since the first found one, or
    /// since those of the last write, are compared: earlier notes can exist without being found.
    pub fn missing_remarks(&self, found: &BTreeSet<u64>, has_all_notes: bool) -> Vec<u64> {
        let compared = found.iter().chain(&self.last_batch).min();
        let first = match compared {
            _ if has_all_notes => Some(&0),
            Some(first) => Some(first),
            None => self.known_notes.last(),
        };
        let Some(first) = first else {
            return Vec::new();
        };
        let expected = self.known_notes.range(*first..);
        let missing = expected.filter(|remark| !found.contains(remark));
        missing.copied().collect()
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

    /// Returns the numbers of the remarks that the next write contains.
    pub fn next_notes(&self) -> Vec<u64> {
        let most = if self.is_alone { 0 } else { NOTES_MAX };
        self.notes.iter().take(most).copied().collect()
    }

    /// Returns the time at which a new request is due. A write that still runs must not arrive after it, and a pause must not
    /// become shorter. If `merges` is true, the request waits no longer than what waits already.
    fn due(&self, due: Moment, merges: bool) -> Moment {
        if !self.is_open {
            due
        } else if self.attempts.failures > 0 || self.denials > 0 || self.attempts.is_interrupted() {
            due.max(self.attempts.due)
        } else if merges {
            due.min(self.attempts.due)
        } else {
            due
        }
    }

    fn waits_for_more_than_status(&self) -> bool {
        !self.notes.is_empty() || self.waiting.contains(&Field::Assignee)
    }

    fn begin(&mut self, target: Target) {
        let former = self.target.as_ref();
        let is_other = former.is_some_and(|former| former.record != target.record);
        if is_other {
            self.forget();
        }
        if self.is_open {
            // The outcome of an earlier request that still runs is ignored.
            self.attempts.postpone(self.attempts.next(), target.due);
        } else {
            self.attempts.begin_again(target.due);
            self.denials = 0;
            self.settled.clear();
        }
        if is_other {
            self.former_attempts = self.attempts.made;
        }
        self.target = Some(target);
        self.is_open = true;
        self.is_closed = false;
        self.is_alone = false;
        self.fields.clear();
    }

    /// Forgets everything about the former record, because a person bound the case to another one. Only the numbers of the
    /// attempts continue.
    fn forget(&mut self) {
        let (mut attempts, is_open) = (self.attempts, self.is_open);
        // The failures belong to the former record.
        attempts.failures = 0;
        *self = Self {
            is_open,
            attempts,
            ..Self::default()
        };
    }

    /// Ends what waits. If the case is bound to the same record again, its remarks can be requested again. The desk then
    /// searches for those that it possibly wrote.
    fn cancel(&mut self) {
        let waiting = std::mem::take(&mut self.notes);
        self.known_notes.retain(|remark| !waiting.contains(remark));
        self.waiting.clear();
        self.conflicts.clear();
        self.batch.clear();
        self.fields.clear();
        self.unwritten.clear();
        self.unwritten_notes.clear();
        self.is_alone = false;
        self.is_open = false;
        self.is_closed = true;
        self.last = None;
        self.step = Step::Read;
        // The outcome of a request that still runs is rejected, and the next request has another number.
        self.attempts.end(self.attempts.next());
    }

    fn wait_for(&mut self, field: Field) {
        self.waiting.insert(field);
        self.unwritten.remove(&field);
        self.settled.remove(&field);
        self.conflicts.remove(&field);
        self.step = Step::Read;
    }

    fn has_tried_notes(&self) -> bool {
        let mut notes = self.notes.iter();
        notes.any(|remark| self.tried_notes.contains(remark))
    }

    /// Returns the first request for what waits. Only values must be compared before a write. Notes are read only if an
    /// earlier write possibly wrote them.
    pub fn first_step(&self) -> Step {
        if !self.waiting.is_empty() {
            Step::Read
        } else if self.has_tried_notes() {
            Step::ReadNotes
        } else {
            Step::Write
        }
    }

    /// Stores that the record has the value of the newest request.
    fn settle(&mut self, field: Field) {
        let wanted = self.wanted(field);
        self.waiting.remove(&field);
        self.unwritten.remove(&field);
        self.settled.insert(field);
        match field {
            Field::Status => {
                self.confirmed = wanted;
                self.tried.clear();
            }
            Field::Assignee => {
                self.confirmed_assignee = wanted;
                self.tried_assignees.clear();
            }
        }
    }

    fn progress(&mut self, done: &PollScheduled) {
        if done.is_written {
            self.denials = 0;
            for field in self.parts() {
                self.settle(field);
            }
            let written = std::mem::take(&mut self.batch);
            self.notes.retain(|remark| !written.contains(remark));
            self.tried_notes.retain(|remark| !written.contains(remark));
            if !written.is_empty() {
                self.last_batch = written;
            }
        }
        for field in &done.agreed {
            self.settle(*field);
        }
        for (field, found) in &done.conflicts {
            self.waiting.remove(field);
            self.conflicts.insert(*field, found.clone());
        }
        if let Some(noted) = &done.noted {
            self.notes.retain(|remark| !noted.contains(remark));
            self.tried_notes.clear();
        }
        if let Some(fields) = &done.fields {
            self.fields.clone_from(fields);
            self.is_alone = done.is_alone;
        }
        if let Some(route) = &done.route {
            self.route.clone_from(route);
        }
        let step = Step::ALL.into_iter().find(|step| step.name() == done.step);
        self.step = step.unwrap_or_default();
    }

    fn complete(&mut self, completed: &Completed) {
        if completed.outcome == Outcome::Conflict && completed.conflicts.is_empty() {
            // Earlier versions wrote only the status.
            self.waiting.remove(&Field::Status);
            self.conflicts
                .insert(Field::Status, completed.found.clone());
        }
        for (field, found) in &completed.conflicts {
            self.waiting.remove(field);
            self.conflicts.insert(*field, found.clone());
        }
        let is_failed = completed.outcome == Outcome::Failed;
        for field in std::mem::take(&mut self.waiting) {
            if is_failed {
                self.unwritten.insert(field);
            } else {
                self.settle(field);
            }
        }
        let notes = std::mem::take(&mut self.notes);
        if is_failed {
            self.unwritten_notes.extend(notes);
        }
        self.tried_notes.clear();
        let batch = std::mem::take(&mut self.batch);
        let is_written = !is_failed && self.step == Step::Write;
        if is_written && !batch.is_empty() {
            self.last_batch = batch;
        }
        self.fields.clear();
        self.is_alone = false;
    }

    /// Returns how the desk continues after an interrupted write: it reads the record again.
    pub fn interrupted(&self) -> Option<Verdict> {
        let is_interrupted = self.attempts.is_interrupted();
        is_interrupted.then(|| self.unclear(0, INTERRUPTED))
    }

    /// Returns how the desk continues after the given response.
    pub fn verdict(&self, answer: Answer) -> Verdict {
        let Some(target) = &self.target else {
            return Verdict::retry("no write is requested");
        };
        match (self.step, answer) {
            (_, Answer::NotSent(reason) | Answer::Denied(reason)) => Verdict::retry(reason),
            (_, Answer::Rejected(reason)) => Verdict::failed(reason),
            (Step::Read, Answer::Record(found)) => self.compare(&found),
            (Step::ReadNotes, Answer::Notes(text)) => self.search(&target.ticket, &text),
            (Step::Write, Answer::Written) => self.written(),
            (Step::Write, Answer::Unclear(reason)) => self.unclear(READ_AGAIN_MS, &reason),
            (_, Answer::Unclear(reason)) => Verdict::retry(reason),
            (_, answer) => {
                Verdict::retry(format!("the response does not fit the request: {answer:?}"))
            }
        }
    }

    /// Compares the values that wait with the record.
    fn compare(&self, found: &Found) -> Verdict {
        let (mut write, mut agreed) = (Vec::new(), Vec::new());
        let mut conflicts = BTreeMap::new();
        for field in &self.waiting {
            let value = match field {
                Field::Status => &found.status,
                Field::Assignee => &found.assignee,
            };
            if self.wanted(*field).as_ref() == Some(value) {
                agreed.push(*field);
            } else if self.may_replace(*field, value) {
                write.push(*field);
            } else {
                conflicts.insert(*field, value.clone());
            }
        }
        let route = match &found.route {
            Err(reason) if write.contains(&Field::Status) => {
                write.retain(|field| *field != Field::Status);
                if write.is_empty() && self.notes.is_empty() {
                    return Verdict::failed(reason.clone());
                }
                // The other values are written first.
                String::new()
            }
            route => route.clone().unwrap_or_default(),
        };
        if write.is_empty() && self.notes.is_empty() {
            return self.ended("unchanged", &conflicts);
        }
        if found.separates_assignee && write.contains(&Field::Assignee) {
            write = vec![Field::Assignee];
        }
        let is_alone = !write.is_empty()
            && (found.separates_notes || write == [Field::Assignee] && found.separates_assignee);
        let step = if !is_alone && self.has_tried_notes() {
            Step::ReadNotes
        } else {
            Step::Write
        };
        let mut outputs = outputs_of(&conflicts);
        outputs.insert(ROUTE.to_owned(), route);
        outputs.insert(FIELDS.to_owned(), names(&write));
        outputs.insert(AGREED.to_owned(), names(&agreed));
        if is_alone {
            outputs.insert(ALONE.to_owned(), String::new());
        }
        poll(step, 0, outputs)
    }

    /// Returns whether the desk may replace the value that it found in the record.
    fn may_replace(&self, field: Field, found: &str) -> bool {
        let (tried, confirmed) = match field {
            Field::Status => (&self.tried, &self.confirmed),
            Field::Assignee => (&self.tried_assignees, &self.confirmed_assignee),
        };
        let (overwrites, accepts_any, known) = match (field, &self.requested, &self.assignee) {
            (Field::Status, Some(one), _) => (one.overwrites, one.accepts_any, &one.known),
            (Field::Assignee, _, Some(one)) => (one.overwrites, one.accepts_any, &one.known),
            _ => return false,
        };
        let is_known = match confirmed {
            Some(confirmed) => confirmed == found,
            None => accepts_any || known == found,
        };
        overwrites || is_known || tried.contains(found)
    }

    /// Searches the notes of the record for the remarks that an earlier write possibly wrote.
    fn search(&self, ticket: &TicketSn, text: &str) -> Verdict {
        let tried = self.notes.iter();
        let tried = tried.filter(|remark| self.tried_notes.contains(*remark));
        let noted: Vec<u64> = tried
            .filter(|remark| text.contains(&mark(ticket, **remark)))
            .copied()
            .collect();
        let has_more = self.notes.iter().any(|remark| !noted.contains(remark));
        let step = if has_more || !self.fields.is_empty() {
            Step::Write
        } else if self.waiting.is_empty() {
            return self.ended("unchanged", &BTreeMap::new());
        } else {
            Step::Read
        };
        let noted: Vec<String> = noted.iter().map(ToString::to_string).collect();
        poll(
            step,
            0,
            BTreeMap::from([(NOTED.to_owned(), noted.join(","))]),
        )
    }

    /// Returns how the desk continues after a successful write.
    fn written(&self) -> Verdict {
        let (parts, batch) = (self.parts(), self.next_notes());
        let has_values = self.waiting.iter().any(|field| !parts.contains(field));
        let mut left = self.notes.iter().filter(|remark| !batch.contains(remark));
        let has_notes = left.clone().next().is_some();
        let step = match (has_values, has_notes) {
            (false, false) => return self.ended("written", &BTreeMap::new()),
            (true, _) => Step::Read,
            (false, true) if left.any(|remark| self.tried_notes.contains(remark)) => {
                Step::ReadNotes
            }
            (false, true) => Step::Write,
        };
        let outputs = [(WRITTEN, String::new()), (FIELDS, String::new())];
        poll(
            step,
            0,
            outputs.map(|(name, value)| (name.to_owned(), value)).into(),
        )
    }

    /// Returns the verdict that nothing waits any more.
    fn ended(&self, outcome: &str, conflicts: &BTreeMap<Field, String>) -> Verdict {
        let mut all = self.conflicts.clone();
        all.extend(conflicts.clone());
        let outcome = if all.is_empty() { outcome } else { "conflict" };
        let mut outputs = outputs_of(&all);
        outputs.insert(OUTCOME.to_owned(), outcome.to_owned());
        Verdict::succeeded(outputs)
    }

    /// Returns how the desk continues after a write with an unknown result: it reads the record again. Such a write counts
    /// as a failed attempt, so that it is not repeated without end.
    fn unclear(&self, pause_ms: i64, reason: &str) -> Verdict {
        let failures = self.attempts.failures + 1;
        if failures >= POLICY.attempts_max {
            return Verdict::failed("the results of all writes are unknown");
        }
        let step = if self.waiting.is_empty() {
            Step::ReadNotes
        } else {
            Step::Read
        };
        poll(
            step,
            pause_ms.max(POLICY.pause_ms(failures)),
            BTreeMap::from([(UNCLEAR.to_owned(), reason.to_owned())]),
        )
    }

    fn record(&self, report: &Report) -> WritebackEvent {
        let (attempt, exchange) = (report.attempt, report.exchange.clone());
        let mut attempts = self.attempts;
        if is_denied(report.status) {
            attempts.failures = self.denials;
        }
        match attempts.consequence(report) {
            Consequence::End {
                succeeded,
                outputs,
                reason,
            } => {
                let outcome = match outputs.get(OUTCOME).map(String::as_str) {
                    Some("written") if succeeded => Outcome::Written,
                    Some("unchanged") if succeeded => Outcome::Unchanged,
                    Some("conflict") if succeeded => Outcome::Conflict,
                    _ => Outcome::Failed,
                };
                let conflicts = conflicts_of(&outputs);
                Completed {
                    attempt,
                    exchange,
                    outcome,
                    found: conflicts.values().next().cloned().unwrap_or_default(),
                    conflicts,
                    reason: reason.to_owned(),
                    due: (outcome == Outcome::Conflict).then(|| report.at.plus_ms(CONFLICT_DUE_MS)),
                }
                .into()
            }
            Consequence::Repeat { reason, due } => AttemptFailed {
                attempt,
                exchange,
                status: report.status,
                reason: reason.to_owned(),
                due,
            }
            .into(),
            Consequence::Poll {
                step,
                after_ms,
                mut outputs,
                ..
            } => {
                let listed = |text: &String| -> Vec<Field> {
                    let named = text.split(',');
                    let all = CONFLICTS.map(|(field, _)| field);
                    named
                        .filter_map(|name| all.into_iter().find(|field| field.name() == name))
                        .collect()
                };
                PollScheduled {
                    route: outputs.remove(ROUTE),
                    attempt,
                    exchange,
                    step: step.to_owned(),
                    is_unclear: outputs.contains_key(UNCLEAR),
                    reason: outputs.remove(UNCLEAR).unwrap_or_default(),
                    fields: outputs.get(FIELDS).map(listed),
                    agreed: outputs.get(AGREED).map(listed).unwrap_or_default(),
                    conflicts: conflicts_of(&outputs),
                    noted: outputs.get(NOTED).map(|text| {
                        let numbers = text.split(',');
                        numbers.filter_map(|number| number.parse().ok()).collect()
                    }),
                    is_written: outputs.contains_key(WRITTEN),
                    is_alone: outputs.contains_key(ALONE),
                    due: report.at.plus_ms(after_ms),
                }
                .into()
            }
        }
    }
}

/// Returns the verdict that the desk sends another request.
fn poll(step: Step, after_ms: i64, learned: BTreeMap<String, String>) -> Verdict {
    let mut verdict = Verdict::poll(step.name(), "", after_ms);
    if let Verdict::Poll { outputs, .. } = &mut verdict {
        *outputs = learned;
    }
    verdict
}

fn names(fields: &[Field]) -> String {
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    names.join(",")
}

/// Returns how a verdict contains conflicts.
fn outputs_of(conflicts: &BTreeMap<Field, String>) -> BTreeMap<String, String> {
    let named = CONFLICTS.iter().filter_map(|(field, name)| {
        let found = conflicts.get(field)?;
        Some(((*name).to_owned(), found.clone()))
    });
    named.collect()
}

fn conflicts_of(outputs: &BTreeMap<String, String>) -> BTreeMap<Field, String> {
    let named = CONFLICTS.iter().filter_map(|(field, name)| {
        let found = outputs.get(*name)?;
        Some((*field, found.clone()))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Moment = Moment(1_000_000);

    fn request(status: &str, target: i64, cause: &str) -> Command {
        Command::Request(Box::new(Requested {
            case: "case-1".into(),
            source: "helpdesk".into(),
            record: "7".into(),
            ticket: "INC1".into(),
            status: status.into(),
            target: json!(target),
            known: "1".into(),
            overwrites: false,
            accepts_any: false,
            cause: cause.into(),
            due: NOW,
        }))
    }

    /// Executes the command, and returns the new state and the new events.
    fn execute(state: &Writeback, command: &Command) -> (Writeback, Vec<WritebackEvent>) {
        let events = state.decide(command, &()).unwrap();
        let mut next = state.clone();
        events.iter().for_each(|event| next.evolve(event));
        (next, events)
    }

    /// Records the answer to the current request.
    fn answered(state: &Writeback, answer: Answer) -> Writeback {
        let verdict = state.verdict(answer);
        recorded(state, verdict)
    }

    fn recorded(state: &Writeback, verdict: Verdict) -> Writeback {
        let report = Report {
            attempt: state.attempts.next(),
            exchange: None,
            status: None,
            verdict,
            policy: POLICY,
            at: NOW,
        };
        execute(state, &Command::Record(report)).0
    }

    fn begun(state: &Writeback) -> Writeback {
        let begin = Command::Begin {
            attempt: state.attempts.next(),
            until: NOW.plus_ms(40_000),
        };
        execute(state, &begin).0
    }

    fn status(text: &str) -> Answer {
        Answer::Record(found(text, ""))
    }

    fn found(status: &str, assignee: &str) -> Found {
        Found {
            status: status.into(),
            assignee: assignee.into(),
            route: Ok(String::new()),
            separates_assignee: false,
            separates_notes: false,
        }
    }

    fn assign(target: &str, overwrites: bool, cause: &str) -> Command {
        Command::RequestAssignee(Box::new(AssigneeRequested {
            case: "case-1".into(),
            source: "helpdesk".into(),
            record: "7".into(),
            ticket: "INC1".into(),
            target: target.into(),
            known: String::new(),
            overwrites,
            accepts_any: false,
            cause: cause.into(),
            due: NOW.plus_ms(30_000),
        }))
    }

    fn note(remark: u64, after_ms: i64) -> Command {
        Command::RequestNote(Box::new(NoteRequested {
            case: "case-1".into(),
            source: "helpdesk".into(),
            record: "7".into(),
            ticket: "INC1".into(),
            remark,
            repeats: false,
            cause: format!("n{remark}"),
            due: NOW.plus_ms(after_ms),
        }))
    }

    fn all(commands: &[Command]) -> Writeback {
        all_of(&Writeback::default(), commands)
    }

    fn all_of(start: &Writeback, commands: &[Command]) -> Writeback {
        let step = |state: Writeback, command: &Command| execute(&state, command).0;
        commands.iter().fold(start.clone(), step)
    }

    fn outcome(state: &Writeback) -> Option<Outcome> {
        assert_eq!(state.is_open, state.last.is_none());
        state.last.as_ref().map(|last| last.outcome)
    }

    fn requested() -> Writeback {
        execute(&Writeback::default(), &request("FINISHED", 3, "e1")).0
    }

    #[test]
    fn a_status_is_written_after_the_record_was_read() {
        let waiting = requested();
        assert_eq!((waiting.step, waiting.attempts.due), (Step::Read, NOW));
        let reading = answered(&waiting, status("1"));
        assert_eq!(reading.step, Step::Write);
        let written = answered(&begun(&reading), Answer::Written);
        assert_eq!(outcome(&written), Some(Outcome::Written));
        assert_eq!(
            written.decide(&request("FINISHED", 3, "e1"), &()),
            Ok(Vec::new()),
            "the same event is not written twice"
        );
    }

    #[test]
    fn a_record_with_the_status_is_not_written() {
        assert_eq!(
            outcome(&answered(&requested(), status("3"))),
            Some(Outcome::Unchanged)
        );
    }

    #[test]
    fn a_status_that_the_source_changed_is_a_conflict() {
        let conflict = answered(&requested(), status("4"));
        assert_eq!(outcome(&conflict), Some(Outcome::Conflict));
        assert_eq!(conflict.last.unwrap().found, "4");
    }

    #[test]
    fn only_the_last_status_of_the_desk_is_no_change_of_the_source() {
        let write = |state: &Writeback, found: &str| {
            let reading = answered(state, status(found));
            answered(&begun(&reading), Answer::Written)
        };
        let first = write(&requested(), "1");
        let (again, _) = execute(&first, &request("RUNNING", 2, "e2"));
        for changed in ["1", "5"] {
            let mut conflict = answered(&again, status(changed));
            assert_eq!(
                conflict.last.as_ref().unwrap().outcome,
                Outcome::Conflict,
                "{changed}"
            );
            let due = conflict.last.as_ref().unwrap().due;
            assert!(due.is_some(), "the case must contain the conflict");
            conflict = execute(&conflict, &Command::Close).0;
            assert_eq!(conflict.decide(&Command::Close, &()), Ok(Vec::new()));
        }
        let second = write(&again, "3");
        assert_eq!(second.confirmed.as_deref(), Some("2"));
    }

    #[test]
    fn a_rejected_rate_before_a_write_is_followed_by_a_read() {
        let reading = answered(&requested(), status("1"));
        let limited = answered(&begun(&reading), Answer::NotSent("HTTP 429".into()));
        assert_eq!(limited.step, Step::Read);
        assert_eq!(
            outcome(&answered(&limited, status("5"))),
            Some(Outcome::Conflict),
            "the source changed the record during the pause"
        );
    }

    #[test]
    fn a_write_without_a_response_is_read_again_and_not_repeated() {
        let writing = begun(&answered(&requested(), status("1")));
        for unclear in [
            answered(&writing, Answer::Unclear("timeout".into())),
            recorded(&writing, writing.interrupted().unwrap()),
        ] {
            assert_eq!(unclear.step, Step::Read);
            assert_eq!(
                outcome(&answered(&unclear, status("3"))),
                Some(Outcome::Unchanged),
                "the write had an effect"
            );
            assert_eq!(answered(&unclear, status("1")).step, Step::Write);
        }
    }

    #[test]
    fn the_latest_status_replaces_a_waiting_or_running_one() {
        let writing = begun(&answered(&requested(), status("1")));
        let (replaced, _) = execute(&writing, &request("REVOKED", 4, "e2"));
        assert_eq!(replaced.step, Step::Read);
        assert_eq!(
            replaced.decide(
                &Command::Record(Report {
                    attempt: writing.attempts.next(),
                    exchange: None,
                    status: None,
                    verdict: Verdict::succeeded(BTreeMap::new()),
                    policy: POLICY,
                    at: NOW,
                }),
                &()
            ),
            Err(DecideError::Rejected(Rejection::NotDue(2))),
            "the outcome of the replaced write is ignored"
        );
        assert_eq!(
            replaced.attempts.due, writing.attempts.due,
            "the replaced write possibly still runs"
        );
        // The replaced write had an effect. It was a write of the desk, so this is no conflict.
        let reading = answered(&replaced, status("3"));
        assert_eq!(reading.step, Step::Write);
        let written = answered(&begun(&reading), Answer::Written);
        assert_eq!(outcome(&written), Some(Outcome::Written));
    }

    #[test]
    fn failures_are_repeated_and_end_after_the_last_attempt() {
        assert_eq!(
            outcome(&answered(&requested(), Answer::Rejected("403".into()))),
            Some(Outcome::Failed)
        );
        let mut state = requested();
        let mut attempts = 0;
        while state.is_open {
            state = answered(&state, Answer::NotSent("refused".into()));
            attempts += 1;
        }
        assert_eq!(
            (attempts, outcome(&state)),
            (POLICY.attempts_max, Some(Outcome::Failed))
        );
        let failed = answered(&requested(), Answer::NotSent("refused".into()));
        let (replaced, _) = execute(&failed, &request("REVOKED", 4, "e2"));
        assert_eq!(
            replaced.attempts.due, failed.attempts.due,
            "a new status does not shorten the pause"
        );
    }

    /// Records that the source denied the current request.
    fn denied(state: &Writeback) -> Writeback {
        let report = Report {
            attempt: state.attempts.next(),
            exchange: None,
            status: Some(401),
            verdict: state.verdict(Answer::Denied("HTTP 401".into())),
            policy: DENIED_POLICY,
            at: NOW,
        };
        execute(state, &Command::Record(report)).0
    }

    #[test]
    fn a_denied_request_is_repeated_for_days() {
        let mut state = requested();
        let mut pauses = Vec::new();
        while state.is_open {
            state = denied(&state);
            pauses.push(state.attempts.due.0 - NOW.0);
        }
        assert_eq!(pauses.len(), 80);
        assert_eq!(pauses[..4], [5_000, 10_000, 20_000, 40_000]);
        let hours: i64 = pauses[..79].iter().sum::<i64>() / 3_600_000;
        assert!((48..96).contains(&hours), "{hours}");
        assert_eq!(outcome(&state), Some(Outcome::Failed));
        assert_eq!(state.failures.len(), FAILURES_MAX);
        assert_eq!(state.failures.last().unwrap().attempt, 80);
        // Denials do not use up the attempts for other faults.
        let state = (0..30).fold(requested(), |state, _| denied(&state));
        let other = answered(&state, Answer::NotSent("refused".into()));
        assert!(other.is_open);
        assert_eq!((other.attempts.failures, other.denials), (1, 30));
        let (again, _) = execute(&state, &request("REVOKED", 4, "e2"));
        assert_eq!(again.attempts.due, state.attempts.due, "the pause stays");
    }

    #[test]
    fn a_denied_write_is_read_again_and_not_repeated() {
        let writing = begun(&answered(
            &all(&[request("FINISHED", 3, "e1")]),
            status("1"),
        ));
        let waiting = denied(&writing);
        assert_eq!((waiting.step, waiting.is_open), (Step::Read, true));
        let found = answered(&denied(&waiting), status("3"));
        assert_eq!(outcome(&found), Some(Outcome::Unchanged));
        assert!(!found.has_failed());
        let noting = denied(&begun(&all(&[note(1, 0)])));
        assert_eq!(noting.step, Step::ReadNotes);
    }

    #[test]
    fn what_a_failed_write_contained_is_known_until_it_is_requested_again() {
        let waiting = all(&[note(1, 0), request("FINISHED", 3, "e1")]);
        let failed = answered(&waiting, Answer::Rejected("HTTP 404".into()));
        assert_eq!(outcome(&failed), Some(Outcome::Failed));
        assert_eq!(failed.failed_fields(), BTreeSet::from([Field::Status]));
        assert_eq!(failed.unwritten_notes, BTreeSet::from([1]));
        let listed = |state: &Writeback| state.index().iter().any(|(name, _)| *name == "failed");
        assert!(listed(&failed));
        let mut again = note(1, 0);
        if let Command::RequestNote(requested) = &mut again {
            (requested.repeats, requested.cause) = (true, "again".into());
        }
        let status_again = all_of(&failed, &[request("FINISHED", 3, "e2")]);
        assert!(listed(&status_again), "the remark is still not written");
        let both = all_of(&status_again, &[again]);
        assert!(!listed(&both) && !both.has_failed());
        let written = answered(&answered(&both, status("3")), Answer::Notes(String::new()));
        let written = answered(&begun(&written), Answer::Written);
        assert_eq!(outcome(&written), Some(Outcome::Written));
        assert!(!written.has_failed());
        // Earlier versions did not store what was not written.
        let mut earlier = failed.clone();
        earlier.unwritten.clear();
        earlier.unwritten_notes.clear();
        assert_eq!(earlier.failed_fields(), BTreeSet::from([Field::Status]));
        // A conflict is no failure.
        assert!(!listed(&answered(&requested(), status("4"))));
    }

    #[test]
    fn another_record_has_no_failures_of_the_former_one() {
        let failed = denied(&denied(&requested()));
        let reasons: Vec<&str> = failed
            .failures
            .iter()
            .map(|one| one.reason.as_str())
            .collect();
        assert_eq!(
            (reasons.as_slice(), failed.own_attempts()),
            (&["HTTP 401"; 2][..], 2)
        );
        let mut other = request("FINISHED", 3, "e2");
        if let Command::Request(requested) = &mut other {
            requested.record = "8".into();
        }
        let next = execute(&failed, &other).0;
        assert_eq!((next.own_attempts(), next.denials), (0, 0));
        assert_eq!((next.failures.len(), &next.last), (0, &None));
        let next = denied(&next);
        assert_eq!((next.own_attempts(), next.failures[0].attempt), (1, 1));
    }

    #[test]
    fn a_write_with_an_unknown_result_has_a_reason() {
        let writing = begun(&answered(&requested(), status("1")));
        let unclear = answered(&writing, Answer::Unclear("timeout".into()));
        assert_eq!(unclear.failures[0].reason, "timeout");
        let interrupted = recorded(&writing, writing.interrupted().unwrap());
        assert_eq!(interrupted.failures[0].reason, INTERRUPTED);
    }

    #[test]
    fn writes_without_a_result_end_after_the_last_attempt() {
        let mut state = requested();
        let mut writes = 0;
        while state.is_open {
            state = answered(&state, status("1"));
            if state.is_open {
                assert_eq!(state.step, Step::Write);
                state = answered(&begun(&state), Answer::Unclear("500".into()));
                writes += 1;
            }
        }
        assert_eq!(
            (writes, outcome(&state)),
            (POLICY.attempts_max, Some(Outcome::Failed))
        );
    }

    #[test]
    fn every_event_of_an_open_write_sets_the_deadline() {
        use events::Event;
        let mut state = Writeback::default();
        let mut kinds = BTreeSet::new();
        let mut executed = |state: &Writeback, command: &Command| {
            let (next, events) = execute(state, command);
            for event in events {
                kinds.insert(event.kind());
                let deadlines = event.deadlines();
                let is_set = deadlines.iter().any(|change| change.due.is_some());
                assert_eq!(is_set, next.is_open, "{event:?}");
                assert_eq!(deadlines.len(), 1, "{event:?}");
            }
            next
        };
        let report = |state: &Writeback, answer: Answer| {
            Command::Record(Report {
                attempt: state.attempts.next(),
                exchange: None,
                status: None,
                verdict: state.verdict(answer),
                policy: POLICY,
                at: NOW,
            })
        };
        state = executed(&state, &request("FINISHED", 3, "e1"));
        state = executed(&state, &report(&state, Answer::NotSent("dns".into())));
        state = executed(&state, &report(&state, status("1")));
        let begin = Command::Begin {
            attempt: state.attempts.next(),
            until: NOW,
        };
        state = executed(&state, &begin);
        state = executed(&state, &report(&state, Answer::Written));
        assert!(!state.is_open);
        assert_eq!(kinds.len(), 5, "{kinds:?}");
    }

    #[test]
    fn remarks_within_the_pause_are_one_write_without_a_read() {
        let waiting = all(&[note(1, 30_000), note(2, 45_000), note(2, 50_000)]);
        assert_eq!(waiting.attempts.due, NOW.plus_ms(30_000));
        assert_eq!(
            (waiting.step, waiting.next_notes()),
            (Step::Write, vec![1, 2])
        );
        let written = answered(&begun(&waiting), Answer::Written);
        assert_eq!(outcome(&written), Some(Outcome::Written));
        let later = execute(&written, &note(3, 90_000)).0;
        assert_eq!(later.next_notes(), [3]);
        assert_eq!(later.attempts.due, NOW.plus_ms(90_000));
        assert!(later.settled.is_empty(), "a note settles no value");
    }

    #[test]
    fn a_note_without_a_response_is_searched_by_its_mark() {
        let writing = begun(&all(&[note(1, 0), note(2, 0)]));
        for unclear in [
            answered(&writing, Answer::Unclear("timeout".into())),
            recorded(&writing, writing.interrupted().unwrap()),
        ] {
            assert_eq!(unclear.step, Step::ReadNotes);
            let both = "a [ledgerdesk INC1/1] b [ledgerdesk INC1/2]";
            let found = answered(&unclear, Answer::Notes(both.into()));
            assert_eq!(outcome(&found), Some(Outcome::Unchanged));
            let one = answered(&unclear, Answer::Notes("[ledgerdesk INC1/12]".into()));
            assert_eq!((one.step, one.next_notes()), (Step::Write, vec![1, 2]));
            let one = answered(&unclear, Answer::Notes("x [ledgerdesk INC1/1]".into()));
            assert_eq!((one.step, one.next_notes()), (Step::Write, vec![2]));
            let written = answered(&begun(&one), Answer::Written);
            assert_eq!(outcome(&written), Some(Outcome::Written));
        }
    }

    #[test]
    fn a_remark_that_a_comparison_missed_is_searched_and_written_again() {
        let written = answered(&begun(&all(&[note(1, 0), note(2, 0)])), Answer::Written);
        assert_eq!(written.missing_remarks(&BTreeSet::new(), true), [1, 2]);
        let mut again = note(2, 0);
        if let Command::RequestNote(requested) = &mut again {
            requested.repeats = true;
        }
        let waiting = execute(&written, &again).0;
        assert_eq!((waiting.step, &waiting.notes), (Step::ReadNotes, &vec![2]));
        assert_eq!(waiting.decide(&again, &()), Ok(Vec::new()));
        let found = answered(&waiting, Answer::Notes(mark(&"INC1".into(), 2)));
        assert_eq!(outcome(&found), Some(Outcome::Unchanged));
        let missing = answered(&waiting, Answer::Notes("another note".into()));
        assert_eq!((missing.step, missing.next_notes()), (Step::Write, vec![2]));
        let repaired = answered(&begun(&missing), Answer::Written);
        assert_eq!(outcome(&repaired), Some(Outcome::Written));
        assert_eq!(repaired.last_batch, [2]);
    }

    #[test]
    fn several_missing_remarks_are_found_and_written_in_their_order() {
        let numbers = |numbers: &[u64]| numbers.iter().copied().collect::<BTreeSet<u64>>();
        let first = answered(
            &begun(&all(&[note(1, 0), note(2, 0), note(3, 0)])),
            Answer::Written,
        );
        let both = all_of(&first, &[note(5, 0), note(6, 0)]);
        let written = answered(&begun(&both), Answer::Written);
        assert_eq!(written.last_batch, [5, 6]);
        let cases: [(&[u64], bool, &[u64]); 6] = [
            (&[1, 2, 3, 5, 6], true, &[]),
            (&[2, 5], true, &[1, 3, 6]),
            (&[], true, &[1, 2, 3, 5, 6]),
            // Earlier notes can exist on another page.
            (&[2, 5], false, &[3, 6]),
            (&[5, 6], false, &[]),
            (&[], false, &[5, 6]),
        ];
        for (found, has_all_notes, missing) in cases {
            let found = numbers(found);
            let result = written.missing_remarks(&found, has_all_notes);
            assert_eq!(result, missing, "{found:?} {has_all_notes}");
        }
        let repeated = |remark| {
            let mut command = note(remark, 0);
            if let Command::RequestNote(requested) = &mut command {
                requested.repeats = true;
                requested.cause = format!("again{remark}");
            }
            command
        };
        let repeated: Vec<Command> = [1, 3, 6].map(repeated).into();
        let waiting = all_of(&written, &repeated);
        assert_eq!(waiting.step, Step::ReadNotes);
        let searched = answered(&waiting, Answer::Notes("another note".into()));
        assert_eq!(
            (searched.step, searched.next_notes()),
            (Step::Write, vec![1, 3, 6])
        );
        let text = "[ledgerdesk INC1/4] x [ledgerdesk INC12/5] [ledgerdesk INC1/6";
        assert_eq!(marked(&"INC1".into(), text), numbers(&[4]));
    }

    #[test]
    fn waiting_writes_to_a_record_that_is_not_bound_any_more_are_canceled() {
        let cancel = |record: Option<&str>| Command::Cancel {
            record: record.map(str::to_owned),
        };
        let waiting = all(&[note(1, 30_000), request("FINISHED", 3, "e1")]);
        let bound = waiting.decide(&cancel(Some("7")), &());
        assert_eq!(bound, Ok(Vec::new()));
        let writing = begun(&answered(&waiting, status("1")));
        for (state, now) in [(&waiting, None), (&writing, Some("8"))] {
            let (canceled, events) = execute(state, &cancel(now));
            let expected = Canceled {
                record: "7".into(),
                reason: NOT_BOUND.into(),
            };
            assert_eq!(events, [WritebackEvent::from(expected)]);
            assert!(!canceled.is_open && canceled.notes.is_empty() && canceled.waiting.is_empty());
            assert_eq!(canceled.decide(&cancel(now), &()), Ok(Vec::new()));
            let late = Command::Record(Report {
                attempt: state.attempts.next(),
                exchange: None,
                status: None,
                verdict: Verdict::succeeded(BTreeMap::new()),
                policy: POLICY,
                at: NOW,
            });
            assert!(canceled.decide(&late, &()).is_err(), "the outcome is late");
            // The same record again: what was possibly written is searched.
            let again = execute(&canceled, &note(1, 0)).0;
            let step = if now.is_none() {
                Step::Write
            } else {
                Step::ReadNotes
            };
            assert_eq!((again.step, again.next_notes()), (step, vec![1]));
            assert!(again.is_open && !again.attempts.is_interrupted());
        }
        let conflict = answered(&requested(), status("4"));
        let (canceled, events) = execute(&conflict, &cancel(None));
        assert_eq!((events.len(), canceled.last), (1, None));
        let closed = execute(&conflict, &Command::Close).0;
        assert_eq!(closed.decide(&cancel(None), &()), Ok(Vec::new()));
    }

    #[test]
    fn a_write_to_another_record_knows_nothing_of_the_former_one() {
        let written = answered(
            &begun(&answered(
                &all(&[request("FINISHED", 3, "e1"), note(1, 0)]),
                status("1"),
            )),
            Answer::Written,
        );
        assert!(written.is_own(Field::Status, "3", "1"));
        assert!(!written.is_own(Field::Status, "1", "1"));
        let mut other = request("FINISHED", 3, "e2");
        if let Command::Request(requested) = &mut other {
            requested.record = "8".into();
        }
        let next = execute(&written, &other).0;
        assert_eq!(next.target.as_ref().unwrap().record, "8");
        assert_eq!(
            (&next.confirmed, next.known_notes.is_empty()),
            (&None, true)
        );
        assert!(next.is_own(Field::Status, "1", "1"));
        assert_eq!(next.attempts.next(), written.attempts.next());
        let reading = answered(&next, status("1"));
        assert_eq!(reading.step, Step::Write, "the status is the first one");
    }

    #[test]
    fn more_remarks_than_one_write_permits_are_further_writes() {
        let notes: Vec<Command> = (1..=12).map(|remark| note(remark, 0)).collect();
        let mut state = all(&notes);
        for expected in [5, 5, 2] {
            assert_eq!(
                (state.step, state.next_notes().len()),
                (Step::Write, expected)
            );
            state = answered(&begun(&state), Answer::Written);
        }
        assert_eq!(outcome(&state), Some(Outcome::Written));
    }

    #[test]
    fn a_status_an_assignee_and_a_note_are_one_write() {
        let waiting = all(&[
            note(1, 30_000),
            assign("p1", false, "a1"),
            request("FINISHED", 3, "e1"),
        ]);
        assert_eq!((waiting.step, waiting.attempts.due), (Step::Read, NOW));
        let reading = answered(&waiting, status("1"));
        assert_eq!(reading.parts(), [Field::Status, Field::Assignee]);
        assert_eq!((reading.step, reading.next_notes()), (Step::Write, vec![1]));
        let unclear = answered(&begun(&reading), Answer::Unclear("timeout".into()));
        assert_eq!(unclear.step, Step::Read);
        let values = answered(&unclear, Answer::Record(found("3", "p1")));
        assert_eq!(values.step, Step::ReadNotes);
        let noted = answered(&values, Answer::Notes(mark(&"INC1".into(), 1)));
        assert_eq!(outcome(&noted), Some(Outcome::Unchanged));
        let both = BTreeSet::from([Field::Status, Field::Assignee]);
        assert_eq!(noted.settled, both);
        assert_eq!(noted.confirmed_assignee.as_deref(), Some("p1"));
        let written = answered(&begun(&reading), Answer::Written);
        assert_eq!(
            (outcome(&written), written.settled),
            (Some(Outcome::Written), both)
        );
    }

    #[test]
    fn each_value_has_its_own_authority() {
        let both = [request("FINISHED", 3, "e1"), assign("p1", false, "a1")];
        let reading = answered(&all(&both), Answer::Record(found("1", "p2")));
        assert_eq!(reading.parts(), [Field::Status]);
        let written = answered(&begun(&reading), Answer::Written);
        assert_eq!(outcome(&written), Some(Outcome::Conflict));
        let last = written.last.clone().unwrap();
        assert_eq!(
            last.conflicts,
            BTreeMap::from([(Field::Assignee, "p2".into())])
        );
        assert_eq!(written.settled, BTreeSet::from([Field::Status]));
        let closed = execute(&written, &Command::Close).0;
        let again = execute(&closed, &assign("p3", true, "a2")).0;
        let reading = answered(&again, Answer::Record(found("", "p2")));
        assert_eq!(reading.parts(), [Field::Assignee], "the desk overwrites it");
    }

    #[test]
    fn an_assignee_can_need_a_write_of_its_own() {
        let waiting = all(&[
            request("FINISHED", 3, "e1"),
            assign("p1", true, "a1"),
            note(1, 0),
        ]);
        let apart = |status: &str, assignee: &str| {
            Answer::Record(Found {
                separates_assignee: true,
                ..found(status, assignee)
            })
        };
        let reading = answered(&waiting, apart("1", "p2"));
        assert_eq!(reading.parts(), [Field::Assignee]);
        assert_eq!(reading.next_notes(), Vec::<u64>::new());
        let first = answered(&begun(&reading), Answer::Written);
        assert_eq!((first.step, first.is_open), (Step::Read, true));
        let reading = answered(&first, apart("1", "p1"));
        assert_eq!(reading.parts(), [Field::Status]);
        assert_eq!(reading.next_notes(), [1]);
        let written = answered(&begun(&reading), Answer::Written);
        assert_eq!(outcome(&written), Some(Outcome::Written));
    }

    #[test]
    fn a_status_that_cannot_be_written_does_not_hold_notes_back() {
        let waiting = all(&[request("FINISHED", 3, "e1"), note(1, 0)]);
        let blocked = || {
            Answer::Record(Found {
                route: Err("no transition".into()),
                ..found("1", "")
            })
        };
        let reading = answered(&waiting, blocked());
        assert_eq!(
            (reading.parts(), reading.next_notes()),
            (Vec::new(), vec![1])
        );
        let noted = answered(&begun(&reading), Answer::Written);
        assert_eq!((noted.step, noted.is_open), (Step::Read, true));
        let failed = answered(&noted, blocked());
        assert_eq!(outcome(&failed), Some(Outcome::Failed));
        assert_eq!(failed.last.unwrap().reason, "no transition");
    }

    #[test]
    fn a_record_with_unknown_values_accepts_the_first_write() {
        let mut first = request("FINISHED", 3, "e1");
        if let Command::Request(requested) = &mut first {
            requested.accepts_any = true;
        }
        let reading = answered(&all(&[first]), status("9"));
        assert_eq!(reading.step, Step::Write);
        let written = answered(&begun(&reading), Answer::Written);
        let mut second = request("REVOKED", 4, "e2");
        if let Command::Request(requested) = &mut second {
            requested.accepts_any = true;
        }
        let again = execute(&written, &second).0;
        let conflict = answered(&again, status("9"));
        assert_eq!(conflict.last.unwrap().outcome, Outcome::Conflict);
    }
}
