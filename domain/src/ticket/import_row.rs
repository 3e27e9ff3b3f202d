//! Imports rows of a foreign log one to one. The desk does not judge the rows, because the foreign
//! system was the authority.

use std::collections::BTreeMap;

use events::ticket::{Phase, RowImported, TicketEvent};
use serde::{Deserialize, Serialize};

use super::{Decision, Rejection, Status, Ticket, reject};

/// The state of a ticket according to a foreign log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    pub source: String,
    pub case: String,
    pub state: String,
    pub phase: Phase,
    pub title: String,
    pub priority: String,
    /// Number of imported rows by row fingerprint. It makes an import repeatable and resumable,
    /// also from another file.
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
    /// Imports the rows that are new: the n-th row of a text is known if n rows of that text were
    /// imported before.
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
