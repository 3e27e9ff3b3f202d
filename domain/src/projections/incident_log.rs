//! The projection of imported incident logs: volumes, transitions, durations, reassignments and
//! reopened cases.
//!
//! The projection folds `ticket.row_imported` events in the order of the ledger. The code contains
//! no names of foreign states, groups or categories. Instead, each event stores the phase of its
//! state, and the mapping of the import defines the phase.

use std::collections::{BTreeMap, BTreeSet};

use events::Moment;
use events::ticket::{Phase, RowImported, TicketEvent};
use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;

/// Names of the times at which measured durations start and end.
pub const OPENED: &str = "opened";
pub const RESOLVED: &str = "resolved";
pub const CLOSED: &str = "closed";

/// The totals of one imported case. The struct must stay small, because the projection stores one
/// per case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub rows: u64,
    pub first_state: String,
    pub reopens: u64,
    pub group_changes: u64,
    /// True if the case returned to a group that had worked on the case before.
    pub ping_pong: bool,
    pub known_groups: BTreeSet<String>,
    pub last_known_group: String,
    /// The newest row of the case. The columns of the row are omitted to save space.
    pub last: Option<RowImported>,
    pub last_at: Moment,
    /// The instant of the first row of the case.
    pub first_at: Moment,
    /// The instant of the first row whose phase is resolved or closed.
    pub first_resolved_at: Option<Moment>,
    /// The instant of the first row whose phase is closed.
    pub first_closed_at: Option<Moment>,
}

/// The totals of all imported cases. The report reads these totals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IncidentLog {
    pub cases: BTreeMap<String, Case>,
    pub rows_by_state: BTreeMap<String, u64>,
    /// Number of transitions between states: the outer key is the old state, the inner key the new
    /// state. Two consecutive rows with the same state are counted too.
    pub transitions: BTreeMap<String, BTreeMap<String, u64>>,
    pub dwell_minutes_by_state: BTreeMap<String, i64>,
    /// The names of the times that occur in the rows of each source.
    pub named_times: BTreeMap<String, BTreeSet<String>>,
}

impl IncidentLog {
    pub fn fold(&mut self, envelope: &Envelope<TicketEvent>) {
        if let TicketEvent::RowImported(row) = &envelope.event {
            self.fold_row(&envelope.stream, row, envelope.happened_at());
        }
    }

    fn fold_row(&mut self, stream: &str, row: &RowImported, at: Moment) {
        *self.rows_by_state.entry(row.state.clone()).or_default() += 1;
        let names = self.named_times.entry(row.source.clone()).or_default();
        for name in row.times.keys() {
            if !names.contains(name) {
                names.insert(name.clone());
            }
        }
        let case = self.cases.entry(stream.to_owned()).or_default();
        case.rows += 1;
        match &case.last {
            None => {
                case.first_state.clone_from(&row.state);
                case.first_at = at;
            }
            Some(last) => {
                *self
                    .transitions
                    .entry(last.state.clone())
                    .or_default()
                    .entry(row.state.clone())
                    .or_default() += 1;
                // The rows are folded in the order of the log. If a row is earlier than the
                // previous row, the duration counts as zero minutes.
                *self
                    .dwell_minutes_by_state
                    .entry(last.state.clone())
                    .or_default() += minutes(case.last_at, at).max(0);
                case.reopens += u64::from(last.phase.is_done() && !row.phase.is_done());
                case.group_changes += u64::from(last.group != row.group);
            }
        }
        if !row.group.is_empty() && row.group != case.last_known_group {
            case.ping_pong |= !case.known_groups.insert(row.group.clone());
            case.last_known_group.clone_from(&row.group);
        }
        if row.phase.is_done() {
            case.first_resolved_at.get_or_insert(at);
        }
        if row.phase == Phase::Closed {
            case.first_closed_at.get_or_insert(at);
        }
        case.last_at = at;
        case.last = Some(RowImported {
            columns: BTreeMap::new(),
            ..row.clone()
        });
    }
}

impl IncidentLog {
    /// Returns a named time of a case from the newest row. If no row of the source contains that
    /// time, the time is derived from the phases of the rows.
    pub fn time(&self, case: &Case, name: &str) -> Option<Moment> {
        let last = case.last.as_ref()?;
        if self.derives(&last.source, name) {
            return match name {
                OPENED => Some(case.first_at),
                RESOLVED => case.first_resolved_at,
                CLOSED => case.first_closed_at,
                _ => None,
            };
        }
        last.times.get(name).copied()
    }

    /// Returns true if a named time must be derived from the phases of the rows, because no row of
    /// the source contains that time.
    pub fn derives(&self, source: &str, name: &str) -> bool {
        [OPENED, RESOLVED, CLOSED].contains(&name)
            && !self
                .named_times
                .get(source)
                .is_some_and(|names| names.contains(name))
    }
}

/// Returns the whole minutes from one instant to another, rounded down.
pub fn minutes(from: Moment, to: Moment) -> i64 {
    (to.0 - from.0).div_euclid(60_000)
}
