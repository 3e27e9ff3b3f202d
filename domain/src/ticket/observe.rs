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
    /// The last line taken from each file: what makes an import resumable and repeatable.
    pub lines: BTreeMap<String, u64>,
    /// How often each row was taken, by its fingerprint: what makes the same row in another file known.
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
        self.lines.insert(observed.file.clone(), observed.line);
        *self.rows.entry(observed.row.clone()).or_default() += 1;
    }
}

impl Ticket {
    /// Takes the rows it does not have yet. Within a file a line is taken once; a row from another file is taken unless the
    /// ticket already has as many rows with that text as the batch has had so far.
    pub(super) fn observe(&self, rows: &[Observed]) -> Decision<Vec<TicketEvent>> {
        if !matches!(self.status, Status::None | Status::Observed) {
            return reject(Rejection::NotImported);
        }
        let none = Observation::default();
        let known = self.observation.as_ref().unwrap_or(&none);
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut is_new = |row: &Observed| {
            if let Some(last) = known.lines.get(&row.file) {
                row.line > *last
            } else {
                let count = seen.entry(row.row.clone()).or_default();
                *count += 1;
                *count > known.rows.get(&row.row).copied().unwrap_or_default()
            }
        };
        Ok(rows.iter().filter(|row| is_new(row)).cloned().map(TicketEvent::from).collect())
    }
}
