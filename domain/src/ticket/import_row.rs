//! Imports rows from the log of another system. Each row becomes one event. The other system has already made
//! all decisions, so the desk does not check a row against a workflow.

use std::collections::BTreeMap;

use events::ticket::{Phase, RowImported, TicketEvent};
use serde::{Deserialize, Serialize};

use super::{Decision, Rejection, Status, Ticket, reject};

/// The last imported state of the ticket in the other system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    pub source: String,
    pub case: String,
    pub state: String,
    pub phase: Phase,
    pub title: String,
    pub priority: String,
    /// Counts the imported rows for each row text. Each key of the map is the hash of a row text, and each
    /// value is the number of imported rows with this text. With these counts, the desk skips rows that were
    /// imported before, even if they are in another file.
    pub rows: BTreeMap<String, u32>,
}

impl Observation {
    pub(super) fn apply(&mut self, row: &RowImported) {
        self.source.clone_from(&row.source);
        self.case.clone_from(&row.case);
        self.state.clone_from(&row.state);
        self.phase = row.phase;
        self.title.clone_from(&row.title);
        self.priority.clone_from(&row.priority);
        self.rows.insert(row.row.clone(), row.nth);
    }
}

impl Ticket {
    /// Returns one event for each row that was not imported before. Rows with the same text have the numbers
    /// 1, 2, 3 and so on. If `n` of these rows were imported before, the rows with the numbers 1 to `n` are
    /// skipped.
    pub(super) fn import_rows(&self, rows: &[RowImported]) -> Decision<Vec<TicketEvent>> {
        if !matches!(self.status, Status::None | Status::RowImported) {
            return reject(Rejection::NotImported);
        }
        let known = |row: &RowImported| {
            self.observation
                .as_ref()
                .and_then(|observation| observation.rows.get(&row.row))
                .copied()
                .unwrap_or_default()
        };
        Ok(rows
            .iter()
            .filter(|row| row.nth > known(row))
            .cloned()
            .map(TicketEvent::from)
            .collect())
    }
}
