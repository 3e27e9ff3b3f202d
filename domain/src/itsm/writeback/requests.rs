//! Merges the requests that wait for the same record, and ends them if the case is not bound to the record any more.

use events::Moment;
use events::writeback::Field;

use super::{Step, Target, Writeback};

impl Writeback {
    /// Returns whether a request or a conflict waits.
    pub(super) fn has_work(&self) -> bool {
        self.is_open || !self.conflicts.is_empty()
    }

    /// Returns the time at which a new request for the record is due. A write that still runs must not arrive after it, also
    /// if the write was canceled, and a pause must not become shorter. If `merges` is true, the request waits no longer than
    /// what waits already.
    pub(super) fn due(&self, record: &str, due: Moment, merges: bool) -> Moment {
        let due = due.max(self.runs_until(record).unwrap_or(due));
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

    pub(super) fn waits_for_more_than_status(&self) -> bool {
        !self.notes.is_empty() || self.waiting.contains(&Field::Assignee)
    }

    pub(super) fn begin(&mut self, target: Target) {
        let former = self.target.as_ref();
        let is_other = former.is_some_and(|former| former.record != target.record);
        if is_other {
            self.change_record(&target.record);
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

    /// Ends what waits. If the case is bound to the same record again, its remarks can be requested again. The desk then
    /// waits until a write that still runs can have no effect any more, and searches for the remarks that it possibly wrote.
    pub(super) fn cancel(&mut self) {
        let waiting = std::mem::take(&mut self.notes);
        self.known_notes.retain(|remark| !waiting.contains(remark));
        self.waiting.clear();
        self.conflicts.clear();
        self.batch.clear();
        self.fields.clear();
        self.unwritten.clear();
        self.unwritten_notes.clear();
        self.refused_notes.clear();
        self.is_alone = false;
        self.is_open = false;
        self.is_closed = true;
        self.last = None;
        self.step = Step::Read;
        // The outcome of a request that still runs is rejected, and the next request has another number.
        self.attempts.end(self.attempts.next());
    }

    pub(super) fn wait_for(&mut self, field: Field) {
        self.waiting.insert(field);
        self.unwritten.remove(&field);
        self.settled.remove(&field);
        self.conflicts.remove(&field);
        self.step = Step::Read;
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
}
