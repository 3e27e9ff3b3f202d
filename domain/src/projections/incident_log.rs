//! Computes statistics of incident logs that were imported from other systems. A case is one incident in an
//! imported log. The statistics contain the number of rows, the changes of the state and of the support
//! group, durations, and reopened cases.
//!
//! The module processes `ticket.row_imported` events in the order of the ledger. The code contains no names
//! of states. Instead, each event contains a phase such as `resolved`. The mapping file of the import assigns
//! each state of the other system to a phase.

use std::collections::{BTreeMap, BTreeSet};

use events::Moment;
use events::ticket::{Phase, RowImported, TicketEvent};
use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;

/// Names of three times that an imported row of a log can contain: the times at which the case was opened,
/// resolved and closed. The desk computes durations from these times.
pub const OPENED: &str = "opened";
pub const RESOLVED: &str = "resolved";
pub const CLOSED: &str = "closed";

/// The statistics of one case (one incident in an imported log). The struct must be small, because the desk
/// stores this struct for every case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub rows: u64,
    pub first_state: String,
    pub reopens: u64,
    pub group_changes: u64,
    /// True if the case returned to a support group that had worked on the case before. A case is one incident
    /// in an imported log.
    pub ping_pong: bool,
    pub known_groups: BTreeSet<String>,
    pub last_known_group: String,
    /// The last imported row of the case (one incident in an imported log). The additional columns of the row
    /// are omitted to save space.
    pub last: Option<RowImported>,
    pub last_at: Moment,
    /// The time in the first imported row of the case (one incident in an imported log).
    pub first_at: Moment,
    /// The time in the first imported row of the case with the phase `resolved` or `closed`.
    pub first_resolved_at: Option<Moment>,
    /// The time in the first imported row of the case with the phase `closed`.
    pub first_closed_at: Option<Moment>,
}

/// The statistics of all imported cases. The report on incident logs is built from these statistics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IncidentLog {
    pub cases: BTreeMap<String, Case>,
    pub rows_by_state: BTreeMap<String, u64>,
    /// The number of changes from one state to another state. The outer key is the state before the change,
    /// and the inner key is the state after the change. Two successive rows with the same state also count as
    /// a change.
    pub transitions: BTreeMap<String, BTreeMap<String, u64>>,
    pub dwell_minutes_by_state: BTreeMap<String, i64>,
    /// The names of all times that occur in the imported rows. Each key of the map is the source of the rows
    /// (the name of the other system).
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
                // Rows are processed in the order of the imported file, so a row can be older than the
                // previous row of the case (one incident). In this situation, the duration between the two
                // rows counts as zero minutes.
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
    /// Returns a time of a case by its name, such as `resolved`. Normally, the last imported row contains this
    /// time. If the other system never exports the times `opened`, `resolved` or `closed`, the function
    /// returns the time of a row instead. For `opened`, this is the first row of the case. For `resolved` and
    /// `closed`, this is the first row with the matching phase. Returns `None` if the time is unknown.
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

    /// Returns true if [`IncidentLog::time`] derives the time with this name from the first rows of a case.
    /// This is necessary for `opened`, `resolved` and `closed` if no imported row of the source (the other
    /// system) contains the time.
    pub fn derives(&self, source: &str, name: &str) -> bool {
        [OPENED, RESOLVED, CLOSED].contains(&name)
            && !self
                .named_times
                .get(source)
                .is_some_and(|names| names.contains(name))
    }
}

/// Returns the number of full minutes between two times. The number is rounded down.
pub fn minutes(from: Moment, to: Moment) -> i64 {
    (to.0 - from.0).div_euclid(60_000)
}
