//! The projection of imported incident logs: volumes, transitions, durations, reassignments,
//! reopens.
//!
//! The projection folds `ticket.row_imported` events in ledger order. The code has no names of
//! states, groups or categories: each event has the phase of its state, which the mapping of the
//! import defines.

use std::collections::{BTreeMap, BTreeSet};

use events::Moment;
use events::ticket::{Phase, RowImported, TicketEvent};
use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;

/// The named times that are the ends of measured durations.
pub const OPENED: &str = "opened";
pub const RESOLVED: &str = "resolved";
pub const CLOSED: &str = "closed";

/// The totals of one imported case; small, because there is one per ticket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub rows: u64,
    pub first_state: String,
    pub reopens: u64,
    pub group_changes: u64,
    /// The case returned to a group that it had left.
    pub ping_pong: bool,
    pub known_groups: BTreeSet<String>,
    pub last_known_group: String,
    /// The newest row, without its columns.
    pub last: Option<RowImported>,
    pub last_at: Moment,
    /// The time of the first row.
    pub first_at: Moment,
    /// The first time in a state whose phase is done.
    pub first_resolved_at: Option<Moment>,
    /// The first time in a state of the phase `closed`.
    pub first_closed_at: Option<Moment>,
}

/// The totals of all imported cases, for the report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IncidentLog {
    pub cases: BTreeMap<String, Case>,
    pub rows_by_state: BTreeMap<String, u64>,
    /// Counts by the state left and the state entered; pairs of equal states are counted.
    pub transitions: BTreeMap<String, BTreeMap<String, u64>>,
    pub dwell_minutes_by_state: BTreeMap<String, i64>,
    /// The named times in the rows of each source.
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
                // The order of the log is kept, so a step back in time counts as zero minutes.
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
    /// Returns a named time of a case from its newest row. If no row of its source has that time,
    /// the phases of the case's rows give the time.
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

    /// Returns true if a named time of a source is derived from the phases of its rows.
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
