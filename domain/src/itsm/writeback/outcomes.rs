//! Applies the outcomes of requests to the state of the writes to a record.

use events::writeback::{Completed, Field, Outcome, PollScheduled};

use super::{Step, Writeback};

impl Writeback {
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

    pub(super) fn progress(&mut self, done: &PollScheduled) {
        if done.is_written {
            self.denials = 0;
            for field in self.parts() {
                self.settle(field);
            }
            let written = std::mem::take(&mut self.batch);
            self.notes.retain(|remark| !written.contains(remark));
            self.tried_notes.retain(|remark| !written.contains(remark));
            self.accept_notes(&written);
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
            self.accept_notes(noted);
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

    pub(super) fn complete(&mut self, completed: &Completed) {
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
        if is_failed {
            self.refuse_notes(&completed.reason);
        }
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
        } else {
            self.accept_notes(&notes);
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
}
