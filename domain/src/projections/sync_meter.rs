//! Measures how long tickets differed from the records of their cases (reference/fleet.md 2.6).
//!
//! A *binding* is a case with a ticket; a case that is also bound to a record of another integration has one more binding. A
//! *synchronization error* is a difference that lasted longer than the permitted time
//! ([`crate::itsm::reconciliation::GRACE_MS`]). A repaired error still counts. Times in which a source could not be read are
//! unknown, and do not count as agreement.

use std::collections::BTreeMap;

use events::Moment;
use events::case::{Agreement, CaseEvent, FurtherBinding};
use events::reconciliation::ReconciliationEvent;
use serde::Serialize;

use crate::envelope::Envelope;

/// A period of time. The end is `None` if the period has not ended.
type Period = (Moment, Option<Moment>);

/// The bindings and the comparisons of all sources.
#[derive(Clone, Debug, Default)]
pub struct SyncMeter {
    /// The names of the sources by the streams of their cases.
    cases: BTreeMap<String, String>,
    /// The bindings by the stream of the case and the name of the integration.
    bindings: BTreeMap<(String, String), Binding>,
    sources: BTreeMap<String, Source>,
}

#[derive(Clone, Debug, Default)]
struct Binding {
    bound: Option<Moment>,
    settled: Option<Moment>,
    /// The beginning of the current difference.
    differs: Option<Moment>,
    errors: Vec<Period>,
    /// The times in which the assignee could not be compared.
    unknown: Vec<Period>,
}

#[derive(Clone, Debug, Default)]
struct Source {
    /// The times of all successful comparisons.
    compared: Vec<Moment>,
    unreachable: Vec<Period>,
}

/// The figures of one source, or of all sources.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Number of bindings that existed in the period and had not ended before it.
    pub bindings: u64,
    /// Number of bindings for which no comparison succeeded in the period.
    pub unknown: u64,
    /// Number of bindings whose assignee could not be compared in the period, because the mapping does not name the account
    /// of the processor.
    pub unknown_assignees: u64,
    /// Number of bindings with at least one synchronization error in the period.
    pub errors: u64,
    /// The share of bindings with an error among the bindings that were compared, in percent with two decimal places.
    pub error_percent: f64,
    pub binding_seconds: i64,
    pub difference_seconds: i64,
    /// Number of seconds in which the sources could not be read.
    pub unknown_seconds: i64,
}

impl SyncMeter {
    pub fn fold_case(&mut self, envelope: &Envelope<CaseEvent>) {
        let (at, stream) = (envelope.at, &envelope.stream);
        match &envelope.event {
            CaseEvent::Received(received) => {
                let source = received.source.clone();
                self.cases.insert(stream.clone(), source);
            }
            CaseEvent::Bound(bound) => {
                self.binding(stream, "").bound = Some(at);
                self.add(stream, &bound.bindings, at);
            }
            CaseEvent::Updated(updated) => self.add(stream, &updated.bindings, at),
            CaseEvent::Compared(compared) => {
                let binding = self.binding(stream, &compared.integration);
                binding.know(at, compared.unknown.is_empty());
                match compared.agreement {
                    Agreement::Differs => {
                        binding.end(at);
                        binding.differs = Some(at);
                    }
                    Agreement::Error => {
                        let since = binding.differs.take().unwrap_or(at);
                        binding.errors.push((since, None));
                    }
                    Agreement::Agrees => binding.end(at),
                    Agreement::Settled => {
                        binding.end(at);
                        binding.settled = Some(at);
                    }
                }
            }
            _ => {}
        }
    }

    /// Returns the binding of a case. The name of the integration is empty for the source of the case.
    fn binding(&mut self, stream: &str, integration: &str) -> &mut Binding {
        let source = self.cases.get(stream).cloned().unwrap_or_default();
        let name = if integration.is_empty() {
            source
        } else {
            integration.to_owned()
        };
        self.bindings.entry((stream.to_owned(), name)).or_default()
    }

    fn add(&mut self, stream: &str, further: &[FurtherBinding], at: Moment) {
        for one in further.iter().filter(|one| one.refused.is_none()) {
            self.binding(stream, &one.integration).bound = Some(at);
        }
    }

    pub fn fold_comparison(&mut self, envelope: &Envelope<ReconciliationEvent>) {
        let name = envelope.stream.trim_start_matches("reconciliation-");
        let source = self.sources.entry(name.to_owned()).or_default();
        let ReconciliationEvent::Compared(compared) = &envelope.event else {
            return;
        };
        let open = source.unreachable.last_mut();
        let open = open.filter(|(_, end)| end.is_none());
        match (open, compared.unreachable.is_empty()) {
            (Some((_, end)), true) => *end = Some(envelope.at),
            (None, false) => source.unreachable.push((envelope.at, None)),
            _ => {}
        }
        if compared.compared > 0 {
            source.compared.push(envelope.at);
        }
    }

    /// Returns the figures of each compared source, and of all of them together, for the period from `from` to `to`.
    pub fn figures(&self, from: Moment, to: Moment) -> (Figures, BTreeMap<String, Figures>) {
        let names = self.sources.keys();
        let mut by_source: BTreeMap<String, Figures> = names
            .map(|name| (name.clone(), Figures::default()))
            .collect();
        let mut total = Figures::default();
        for ((_, name), binding) in &self.bindings {
            let (Some(source), Some(figures), Some(bound)) = (
                self.sources.get(name),
                by_source.get_mut(name),
                binding.bound,
            ) else {
                continue;
            };
            let life = (bound, binding.settled);
            let Some((begin, end)) = overlap(life, (from, to)) else {
                continue;
            };
            let is_compared = source.compared.iter().any(|at| (begin..=to).contains(at));
            let periods = |periods: &[Period]| -> i64 {
                let parts = periods
                    .iter()
                    .filter_map(|period| overlap(*period, (begin, end)));
                parts.map(|(begin, end)| end.0 - begin.0).sum()
            };
            let errors = binding.errors.iter();
            let has_error = errors
                .clone()
                .any(|period| overlap(*period, (begin, end)).is_some());
            let mut unknown = binding.unknown.iter();
            let is_unknown = unknown.any(|period| overlap(*period, (begin, end)).is_some());
            for figures in [&mut *figures, &mut total] {
                figures.bindings += 1;
                figures.unknown += u64::from(!is_compared && !has_error);
                figures.unknown_assignees += u64::from(is_unknown);
                figures.errors += u64::from(has_error);
                figures.binding_seconds += (end.0 - begin.0) / 1000;
                figures.difference_seconds += periods(&binding.errors) / 1000;
                figures.unknown_seconds += periods(&source.unreachable) / 1000;
            }
        }
        for figures in by_source.values_mut().chain([&mut total]) {
            figures.error_percent = percent(figures.errors, figures.bindings - figures.unknown);
        }
        (total, by_source)
    }
}

impl Binding {
    /// Stores whether all values could be compared.
    fn know(&mut self, at: Moment, is_known: bool) {
        let open = self.unknown.last_mut().filter(|(_, end)| end.is_none());
        match (open, is_known) {
            (Some((_, end)), true) => *end = Some(at),
            (None, false) => self.unknown.push((at, None)),
            _ => {}
        }
    }

    /// Ends the current difference.
    fn end(&mut self, at: Moment) {
        self.differs = None;
        if let Some((_, end @ None)) = self.errors.last_mut() {
            *end = Some(at);
        }
    }
}

/// Returns the part of a period within the bounds, or `None` if it is outside.
fn overlap((begin, end): Period, (from, to): (Moment, Moment)) -> Option<(Moment, Moment)> {
    let begin = begin.max(from);
    let end = end.unwrap_or(to).min(to);
    (begin <= end).then_some((begin, end))
}

/// Returns the share in percent, with two decimal places.
fn percent(part: u64, whole: u64) -> f64 {
    let hundredths = (part * 1_000_000)
        .checked_div(whole)
        .map_or(0, |share| (share + 50) / 100);
    f64::from(u32::try_from(hundredths).unwrap_or(u32::MAX)) / 100.0
}

#[cfg(test)]
mod tests {
    use events::Meta;
    use events::case::{Bound, Compared, Received, Updated};
    use events::reconciliation;

    use super::*;

    fn envelope<F: events::Event>(stream: &str, at: i64, event: F) -> Envelope<F> {
        Envelope {
            stream: stream.into(),
            sequence: 1,
            at: Moment(at * 1000),
            occurred_at: None,
            meta: Meta::system("c", "c"),
            event,
        }
    }

    fn bind(meter: &mut SyncMeter, case: &str, at: i64) {
        let received = Received {
            source: "crm".into(),
            record: case.into(),
            mark: None,
            created: None,
            received: Moment(0),
            status: String::new(),
            digest: String::new(),
            app: "app".into(),
            due: Moment(0),
        };
        meter.fold_case(&envelope(case, at, received.into()));
        let bound = Bound {
            ticket: "INC1".into(),
            mapping: 1,
            status: String::new(),
            assignee: String::new(),
            bindings: Vec::new(),
            fields: BTreeMap::new(),
        };
        meter.fold_case(&envelope(case, at, bound.into()));
    }

    fn compared(agreement: Agreement) -> Compared {
        Compared {
            integration: String::new(),
            agreement,
            field: "status".into(),
            found: String::new(),
            expected: String::new(),
            unknown: Vec::new(),
            due: None,
        }
    }

    fn compare(meter: &mut SyncMeter, case: &str, at: i64, agreement: Agreement) {
        meter.fold_case(&envelope(case, at, compared(agreement).into()));
    }

    fn round(meter: &mut SyncMeter, at: i64, compared: u32, unreachable: &str) {
        let compared = reconciliation::Compared {
            compared,
            unreachable: unreachable.into(),
            ..reconciliation::Compared::default()
        };
        meter.fold_comparison(&envelope("reconciliation-crm", at, compared.into()));
    }

    #[test]
    fn a_repaired_error_still_counts_and_a_short_difference_does_not() {
        let mut meter = SyncMeter::default();
        for case in ["case-1", "case-2", "case-3", "case-4"] {
            bind(&mut meter, case, 0);
        }
        round(&mut meter, 100, 4, "");
        compare(&mut meter, "case-1", 100, Agreement::Differs);
        compare(&mut meter, "case-1", 160, Agreement::Error);
        compare(&mut meter, "case-1", 200, Agreement::Agrees);
        compare(&mut meter, "case-2", 100, Agreement::Differs);
        compare(&mut meter, "case-2", 160, Agreement::Agrees);
        compare(&mut meter, "case-3", 150, Agreement::Settled);
        let (total, by_source) = meter.figures(Moment(0), Moment(1_000_000));
        assert_eq!((total.bindings, total.errors, total.unknown), (4, 1, 0));
        assert_eq!((total.error_percent, total.difference_seconds), (25.0, 100));
        assert_eq!(total.binding_seconds, 3 * 1000 + 150);
        assert_eq!(by_source["crm"], total);
        // After the repair, and after the end of one binding.
        let (later, _) = meter.figures(Moment(300_000), Moment(400_000));
        assert_eq!((later.bindings, later.errors, later.unknown), (3, 0, 3));
    }

    #[test]
    fn each_record_of_a_case_is_a_binding() {
        let mut meter = SyncMeter::default();
        bind(&mut meter, "case-1", 0);
        let updated = Updated {
            has_changed: false,
            bindings: vec![FurtherBinding {
                integration: "erp".into(),
                record: "A-7".into(),
                mapping: 1,
                refused: None,
            }],
            fields: BTreeMap::new(),
        };
        meter.fold_case(&envelope("case-1", 10, updated.into()));
        for (name, at) in [("crm", 20), ("erp", 30)] {
            let round = reconciliation::Compared {
                compared: 1,
                ..reconciliation::Compared::default()
            };
            let stream = format!("reconciliation-{name}");
            meter.fold_comparison(&envelope(&stream, at, round.into()));
        }
        for (at, agreement) in [(30, Agreement::Differs), (100, Agreement::Error)] {
            let event = Compared {
                integration: "erp".into(),
                unknown: vec!["assignee".into()],
                ..compared(agreement)
            };
            meter.fold_case(&envelope("case-1", at, event.into()));
        }
        let (total, by_source) = meter.figures(Moment(0), Moment(200_000));
        assert_eq!((total.bindings, total.errors), (2, 1));
        assert_eq!((by_source["crm"].errors, by_source["erp"].errors), (0, 1));
        assert_eq!(by_source["erp"].unknown_assignees, 1);
        assert_eq!(by_source["crm"].unknown_assignees, 0);
        assert_eq!(by_source["erp"].binding_seconds, 190);
    }

    #[test]
    fn an_unreachable_source_is_unknown() {
        let mut meter = SyncMeter::default();
        bind(&mut meter, "case-1", 0);
        round(&mut meter, 10, 0, "no connection");
        round(&mut meter, 20, 0, "no connection");
        let (total, _) = meter.figures(Moment(0), Moment(30_000));
        assert_eq!(
            (total.unknown, total.errors, total.unknown_seconds),
            (1, 0, 20)
        );
        assert!(total.error_percent.abs() < f64::EPSILON);
        round(&mut meter, 40, 1, "");
        let (total, _) = meter.figures(Moment(0), Moment(60_000));
        assert_eq!((total.unknown, total.unknown_seconds), (0, 30));
    }
}
