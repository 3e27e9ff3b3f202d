//! Finds the notes of remarks in a record by their marks, and decides which remarks the next write contains.

use std::collections::BTreeSet;

use events::TicketSn;
use events::writeback::NoteRequested;

use super::Writeback;

/// Maximum number of remarks in one write. A note must not be longer than the external systems permit.
const NOTES_MAX: usize = 5;

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

impl Writeback {
    /// Returns whether the write of the remark to the same record was requested before.
    pub(super) fn has_note(&self, requested: &NoteRequested) -> bool {
        let known = self.known_notes_of(&requested.record);
        known.is_some_and(|known| known.contains(&requested.remark))
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

    /// Returns the numbers of the remarks that the next write contains. A remark that was refused before has a write of its
    /// own, so that it does not hold others back.
    pub fn next_notes(&self) -> Vec<u64> {
        let refusals = |remark: &u64| self.refused_notes.get(remark).map_or(0, |one| one.count);
        let notes = || self.notes.iter().copied();
        // The first one of those with the fewest refusals.
        let first = notes().min_by_key(refusals).filter(|_| !self.is_alone);
        match first {
            None => Vec::new(),
            Some(first) if refusals(&first) == 0 => notes()
                .filter(|remark| refusals(remark) == 0)
                .take(NOTES_MAX)
                .collect(),
            // The values are written first, without the refused remark.
            Some(_) if !self.fields.is_empty() => Vec::new(),
            Some(first) => vec![first],
        }
    }

    pub(super) fn has_tried_notes(&self) -> bool {
        let mut notes = self.notes.iter();
        notes.any(|remark| self.tried_notes.contains(remark))
    }
}
