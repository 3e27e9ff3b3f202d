//! Implements the aggregate of the writes to one record of an external system. The desk writes the status of a ticket, its
//! assignee, and the remarks of people. Values that wait at the same time are one write.
//!
//! The external systems have no idempotency key. The desk therefore stores the start of each write. If no result is
//! stored, the desk reads the record again and does not simply repeat the write. The status and the assignee show by
//! themselves whether the write had an effect. Each remark has a mark in the text of its note, by which the desk finds the
//! note in the record.

use std::collections::{BTreeMap, BTreeSet};

use events::writeback::{
    AssigneeRequested, AttemptFailed, AttemptStarted, Closed, Completed, Field, NoteRequested,
    Outcome, PollScheduled, Requested, WritebackEvent,
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
/// The name under which a verdict contains that the result of a write is unknown.
const UNCLEAR: &str = "unclear";
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

/// Returns the mark of a remark in the text of a note. The desk finds the note in the record by its mark.
pub fn mark(ticket: &TicketSn, remark: u64) -> String {
    format!("[ledgerdesk {ticket}/{remark}]")
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
    NotSent(String),
    Unclear(String),
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
    /// Whether the newest requests are not completed.
    pub is_open: bool,
    pub step: Step,
    /// The values that the next write contains.
    pub fields: Vec<Field>,
    /// Whether the next write contains no notes.
    pub is_alone: bool,
    pub attempts: Attempts,
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
            Command::RequestNote(requested) if self.known_notes.contains(&requested.remark) => {
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
                self.known_notes.insert(requested.remark);
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
                self.attempts.fail(failed.attempt, failed.due);
                // The source can change the record during the pause.
                self.step = self.first_step();
            }
            WritebackEvent::PollScheduled(done) => {
                // A read between two writes is no success of the write.
                self.attempts.postpone(done.attempt, done.due);
                self.attempts.failures += u32::from(done.is_unclear);
                self.progress(done);
            }
            WritebackEvent::Completed(completed) => {
                self.attempts.end(completed.attempt);
                self.is_open = false;
                self.complete(completed);
                self.last = Some(completed.clone());
            }
            WritebackEvent::Closed(_) => {
                self.is_closed = true;
                self.conflicts.clear();
            }
        }
    }
}

/// Adds the writes that are not completed to the list `open`, and those that ended with a conflict or failed to the list
/// `failed`.
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
        let outcome = self.last.as_ref().map(|last| last.outcome);
        if self.is_open {
            rows.push(("open", at));
        } else if matches!(outcome, Some(Outcome::Conflict | Outcome::Failed)) {
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
        } else if self.attempts.failures > 0 || self.attempts.is_interrupted() {
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
        if self.is_open {
            // The outcome of an earlier request that still runs is ignored.
            self.attempts.postpone(self.attempts.next(), target.due);
        } else {
            self.attempts.begin_again(target.due);
            self.settled.clear();
        }
        self.target = Some(target);
        self.is_open = true;
        self.is_closed = false;
        self.is_alone = false;
        self.fields.clear();
    }

    fn wait_for(&mut self, field: Field) {
        self.waiting.insert(field);
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
            for field in self.parts() {
                self.settle(field);
            }
            let written = std::mem::take(&mut self.batch);
            self.notes.retain(|remark| !written.contains(remark));
            self.tried_notes.retain(|remark| !written.contains(remark));
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
        for field in std::mem::take(&mut self.waiting) {
            if completed.outcome != Outcome::Failed {
                self.settle(field);
            }
        }
        self.notes.clear();
        self.tried_notes.clear();
        self.batch.clear();
        self.fields.clear();
        self.is_alone = false;
    }

    /// Returns how the desk continues after an interrupted write: it reads the record again.
    pub fn interrupted(&self) -> Option<Verdict> {
        self.attempts.is_interrupted().then(|| self.unclear(0))
    }

    /// Returns how the desk continues after the given response.
    pub fn verdict(&self, answer: Answer) -> Verdict {
        let Some(target) = &self.target else {
            return Verdict::retry("no write is requested");
        };
        match (self.step, answer) {
            (_, Answer::NotSent(reason)) => Verdict::retry(reason),
            (_, Answer::Rejected(reason)) => Verdict::failed(reason),
            (Step::Read, Answer::Record(found)) => self.compare(&found),
            (Step::ReadNotes, Answer::Notes(text)) => self.search(&target.ticket, &text),
            (Step::Write, Answer::Written) => self.written(),
            (Step::Write, Answer::Unclear(_)) => self.unclear(READ_AGAIN_MS),
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
    fn unclear(&self, pause_ms: i64) -> Verdict {
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
            BTreeMap::from([(UNCLEAR.to_owned(), String::new())]),
        )
    }

    fn record(&self, report: &Report) -> WritebackEvent {
        let (attempt, exchange) = (report.attempt, report.exchange.clone());
        match self.attempts.consequence(report) {
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
            cause: format!("n{remark}"),
            due: NOW.plus_ms(after_ms),
        }))
    }

    fn all(commands: &[Command]) -> Writeback {
        let start = Writeback::default();
        let step = |state: Writeback, command: &Command| execute(&state, command).0;
        commands.iter().fold(start, step)
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
