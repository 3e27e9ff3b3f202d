//! Imports rows from the log of another system. Each row becomes one event. The other system has already made
//! all decisions, so the desk does not check a row against a workflow.

use std::collections::BTreeMap;

use events::ticket::{Phase, RowImported, TicketEvent};
use serde::{Deserialize, Serialize};

use super::{Decision, Rejection, Status, Ticket, reject};

/// The last known state of an imported ticket in the other system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    pub source: String,
    pub case: String,
    pub state: String,
    pub phase: Phase,
    pub title: String,
    pub priority: String,
    /// The number of imported rows with each text. The key is the hash of the text. With these numbers, the
    /// desk skips rows that were imported before, even if a repeated import uses another file.
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
    /// Returns one event for each row that was not imported before. Several rows can have the same text, so
    /// these rows are numbered. A row is skipped if its number is not higher than the number of imported rows
    /// with the same text.
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
