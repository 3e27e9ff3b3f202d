//! What a foreign incident log amounts to: volumes, transitions, durations, reassignments, reopens.
//!
//! A projection over `ticket.row_imported` events in ledger order. It knows no state, group or category by name: which states
//! count as done is what the import's mapping said, and stands in each event.

use std::collections::{BTreeMap, BTreeSet};

use events::Moment;
use events::ticket::{Phase, RowImported, TicketEvent};
use serde::{Deserialize, Serialize};

use crate::envelope::Envelope;

/// The named times between which durations are measured.
pub const OPENED: &str = "opened";
pub const RESOLVED: &str = "resolved";
pub const CLOSED: &str = "closed";

/// One case so far; small, because there is one per ticket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub rows: u64,
    pub first_state: String,
    pub reopens: u64,
    pub group_changes: u64,
    /// A group the case had left came back.
    pub ping_pong: bool,
    pub known_groups: BTreeSet<String>,
    pub last_known_group: String,
    /// The newest row, as it stood.
    pub last: Option<RowImported>,
    pub last_at: Moment,
    /// When its first row happened.
    pub first_at: Moment,
    /// When it was first in a state in which work is done.
    pub first_resolved_at: Option<Moment>,
    /// When it was first in a state of the phase `closed`.
    pub first_closed_at: Option<Moment>,
}

/// Everything the report needs, foldable one event at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IncidentLog {
    pub cases: BTreeMap<String, Case>,
    pub rows_by_state: BTreeMap<String, u64>,
    /// By state left and state entered; self pairs are kept.
    pub transitions: BTreeMap<String, BTreeMap<String, u64>>,
    pub dwell_minutes_by_state: BTreeMap<String, i64>,
    /// By source, the named times that any of its rows has.
    pub named_times: BTreeMap<String, BTreeSet<String>>,
}

impl IncidentLog {
    pub fn fold(&mut self, envelope: &Envelope<TicketEvent>) {
        if let TicketEvent::RowImported(observed) = &envelope.event {
            self.take(&envelope.stream, observed, envelope.happened_at());
        }
    }

    fn take(&mut self, stream: &str, observed: &RowImported, at: Moment) {
        *self
            .rows_by_state
            .entry(observed.state.clone())
            .or_default() += 1;
        let named = self.named_times.entry(observed.source.clone()).or_default();
        for name in observed.times.keys() {
            if !named.contains(name) {
                named.insert(name.clone());
            }
        }
        let case = self.cases.entry(stream.to_owned()).or_default();
        case.rows += 1;
        match &case.last {
            None => {
                case.first_state.clone_from(&observed.state);
                case.first_at = at;
            }
            Some(last) => {
                *self
                    .transitions
                    .entry(last.state.clone())
                    .or_default()
                    .entry(observed.state.clone())
                    .or_default() += 1;
                // A step back in time counts as none; the log's order stands.
                *self
                    .dwell_minutes_by_state
                    .entry(last.state.clone())
                    .or_default() += minutes(case.last_at, at).max(0);
                case.reopens += u64::from(last.phase.is_done() && !observed.phase.is_done());
                case.group_changes += u64::from(last.group != observed.group);
            }
        }
        if !observed.group.is_empty() && observed.group != case.last_known_group {
            case.ping_pong |= !case.known_groups.insert(observed.group.clone());
            case.last_known_group.clone_from(&observed.group);
        }
        if observed.phase.is_done() {
            case.first_resolved_at.get_or_insert(at);
        }
        if observed.phase == Phase::Closed {
            case.first_closed_at.get_or_insert(at);
        }
        case.last_at = at;
        case.last = Some(RowImported {
            columns: BTreeMap::new(),
            ..observed.clone()
        });
    }
}

impl IncidentLog {
    /// A named time of a case: as its newest row has it; from the phases of its rows if its source has no such time in any row.
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

    /// Says whether a named time of a source comes from the phases of its rows.
    pub fn derives(&self, source: &str, name: &str) -> bool {
        [OPENED, RESOLVED, CLOSED].contains(&name)
            && !self
                .named_times
                .get(source)
                .is_some_and(|named| named.contains(name))
    }
}

/// Whole minutes from one instant to another, rounded down.
pub fn minutes(from: Moment, to: Moment) -> i64 {
    (to.0 - from.0).div_euclid(60_000)
}
