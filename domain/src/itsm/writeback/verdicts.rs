//! Decides how the desk continues after each response of the external system, and stores the decision as an event.

use std::collections::BTreeMap;

use events::TicketSn;
use events::writeback::{Completed, Field, Outcome, PollScheduled, WritebackEvent};

use super::{Answer, CONFLICTS, Found, POLICY, Step, Writeback, is_denied, mark};
use crate::attempt::{Consequence, Report, Verdict};

/// The pause after a write without a response, in milliseconds. The external system may still execute the write.
const READ_AGAIN_MS: i64 = 10_000;
/// Time limit in milliseconds until the case must contain a conflict.
const CONFLICT_DUE_MS: i64 = 30_000;
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
/// The reason of a write whose outcome was not stored.
pub(super) const INTERRUPTED: &str = "the desk stopped before it stored the result of the write";

impl Writeback {
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

    pub(super) fn record(&self, report: &Report) -> WritebackEvent {
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
            Consequence::Repeat { reason, due } => report.failed(reason, due).into(),
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
