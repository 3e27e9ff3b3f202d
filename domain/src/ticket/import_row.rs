//! Imports the rows of a foreign log as one event each. The desk does not check whether a row
//! follows the workflow rules, because the foreign system made the decisions.

use std::collections::BTreeMap;

use events::ticket::{Phase, RowImported, TicketEvent};
use serde::{Deserialize, Serialize};

use super::{Decision, Rejection, Status, Ticket, reject};

/// The state of a ticket according to the rows of a foreign log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    pub source: String,
    pub case: String,
    pub state: String,
    pub phase: Phase,
    pub title: String,
    pub priority: String,
    /// The number of imported rows for each row fingerprint. With these counts an import can be
    /// repeated or resumed, even from another file.
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
    /// Imports the rows that are not imported yet. Several rows can have the same text. The n-th
    /// such row is known if n rows with this text are already imported.
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
