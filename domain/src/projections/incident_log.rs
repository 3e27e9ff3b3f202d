//! Statistics of imported incident logs: numbers of rows, changes of the state, durations, changes
//! of the group, and reopened cases.
//!
//! The module processes `ticket.row_imported` events in the order of the ledger. The code contains
//! no state names of other systems. Instead, each event contains a phase such as `resolved`, and
//! the mapping file of the import assigns a phase to each state.

use std::collections::{BTreeMap, BTreeSet};

use events::Moment;
use events::ticket::{Phase, RowImported, TicketEvent};
use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;

/// Names of the times from which durations are computed.
pub const OPENED: &str = "opened";
pub const RESOLVED: &str = "resolved";
pub const CLOSED: &str = "closed";

/// The statistics of one imported case. The struct must be small, because one value per case is
/// stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub rows: u64,
    pub first_state: String,
    pub reopens: u64,
    pub group_changes: u64,
    /// True if the case went back to a group that had already worked on the case.
    pub ping_pong: bool,
    pub known_groups: BTreeSet<String>,
    pub last_known_group: String,
    /// The latest imported row of the case. The additional columns of this row are not stored, to
    /// save space.
    pub last: Option<RowImported>,
    pub last_at: Moment,
    /// The time of the first row of the case.
    pub first_at: Moment,
    /// The time of the first row with the phase resolved or closed.
    pub first_resolved_at: Option<Moment>,
    /// The time of the first row with the phase closed.
    pub first_closed_at: Option<Moment>,
}

/// The statistics of all imported cases. A report uses this data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IncidentLog {
    pub cases: BTreeMap<String, Case>,
    pub rows_by_state: BTreeMap<String, u64>,
    /// Number of changes from one state to another. The outer key is the old state, and the inner
    /// key is the new state. Two consecutive rows with the same state also count as a change.
    pub transitions: BTreeMap<String, BTreeMap<String, u64>>,
    pub dwell_minutes_by_state: BTreeMap<String, i64>,
    /// The names of the times in the imported rows, by the source of the rows.
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
                // The rows are processed in the order of the log. If a row is older than the
                // previous row, the duration is zero minutes.
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
    /// Returns a named time of a case, such as `resolved`. Normally the newest row contains the
    /// time. If the rows of this source never contain the time, the time is computed from the
    /// phases of the rows.
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

    /// Returns true if a named time must be computed from the phases of the rows. This is necessary
    /// if no row of the source contains the time.
    pub fn derives(&self, source: &str, name: &str) -> bool {
        [OPENED, RESOLVED, CLOSED].contains(&name)
            && !self
                .named_times
                .get(source)
                .is_some_and(|names| names.contains(name))
    }
}

/// Returns the number of full minutes between two instants. The result is rounded down.
pub fn minutes(from: Moment, to: Moment) -> i64 {
    (to.0 - from.0).div_euclid(60_000)
}
