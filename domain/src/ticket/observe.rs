//! Rows of a foreign log, taken over one to one. The desk does not judge them: that system was the authority.

use std::collections::BTreeMap;

use events::ticket::{Observed, Phase, TicketEvent};
use serde::{Deserialize, Serialize};

use super::{Decision, Rejection, Status, Ticket, reject};

/// A ticket as a foreign log tells it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    pub source: String,
    pub case: String,
    pub state: String,
    pub phase: Phase,
    pub title: String,
    pub priority: String,
    /// How often each row was taken, by its fingerprint: what makes an import repeatable and resumable, also from another file.
    pub rows: BTreeMap<String, u32>,
}

impl Observation {
    pub(super) fn take(&mut self, observed: &Observed) {
        self.source.clone_from(&observed.source);
        self.case.clone_from(&observed.case);
        self.state.clone_from(&observed.state);
        self.phase = observed.phase;
        self.title.clone_from(&observed.title);
        self.priority.clone_from(&observed.priority);
        self.rows.insert(observed.row.clone(), observed.nth);
    }
}

impl Ticket {
    /// Takes the rows it does not have yet: the n-th row of a text is known if n rows of that text were taken before.
    pub(super) fn observe(&self, rows: &[Observed]) -> Decision<Vec<TicketEvent>> {
        if !matches!(self.status, Status::None | Status::Observed) {
            return reject(Rejection::NotImported);
        }
        let known = |row: &Observed| self.observation.as_ref().and_then(|observation| observation.rows.get(&row.row)).copied().unwrap_or_default();
        Ok(rows.iter().filter(|row| row.nth > known(row)).cloned().map(TicketEvent::from).collect())
    }
}
