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
    /// The differences of each value, such as `status`.
    values: BTreeMap<String, Differences>,
}

/// The differences of one value of a binding.
#[derive(Clone, Debug, Default)]
struct Differences {
    /// The beginning of the current difference.
    since: Option<Moment>,
    /// The time of the last comparison with another result than before.
    changed: Option<Moment>,
    errors: Vec<Period>,
    /// The times in which the value could not be compared.
    unknown: Vec<Period>,
}

#[derive(Clone, Debug, Default)]
struct Source {
    /// The times of all successful comparisons.
    compared: Vec<Moment>,
    unreachable: Vec<Period>,
}

/// The figures of a period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncFigures {
    /// The figures of all bindings.
    pub total: Figures,
    /// The figures of each compared integration.
    pub by_source: BTreeMap<String, Figures>,
    /// The figures of the records for which tickets were opened (`origin`), and of the further records of their cases
    /// (`crm`).
    pub by_role: BTreeMap<&'static str, Figures>,
}

/// The role of a record for which a ticket was opened.
const ORIGIN: &str = "origin";
/// The role of a further record of a case.
const CRM: &str = "crm";

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
    /// Number of bindings with at least one synchronization error of the value. Each key is a value, such as `status`.
    pub errors_by_value: BTreeMap<String, u64>,
    /// Number of bindings of which the value could not be compared in the period. Each key is a value.
    pub unknown_by_value: BTreeMap<String, u64>,
    /// The share of bindings with an error among the bindings that were compared, in percent with two decimal places.
    /// `None` if no binding was compared.
    pub error_percent: Option<f64>,
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
                if compared.agreement == Agreement::Settled {
                    binding.end(at);
                    binding.settled = Some(at);
                    return;
                }
                for name in &compared.unknown {
                    binding.value(name).know(at, false);
                }
                let is_known = !compared.unknown.contains(&compared.field);
                let value = binding.value(&compared.field);
                value.know(at, is_known);
                match compared.agreement {
                    Agreement::Differs => {
                        value.end(at);
                        // The comparison at the end of a shift belongs to the shift, unless the values were still known to be
                        // others after its end.
                        let is_first = |end: &Moment| value.changed.is_none_or(|last| last <= *end);
                        value.since = compared.shift_end.filter(is_first).or(Some(at));
                    }
                    Agreement::Error => {
                        let since = value.since.take().unwrap_or(at);
                        value.errors.push((since, None));
                    }
                    Agreement::Agrees | Agreement::Settled => value.end(at),
                }
                value.changed = Some(at);
            }
            CaseEvent::BindingRemoved(removed) => {
                let binding = self.binding(stream, &removed.integration);
                binding.end(at);
                binding.settled = Some(at);
            }
            CaseEvent::BindingSet(set) => {
                let binding = self.binding(stream, &set.binding.integration);
                // The differences from the former record end.
                binding.end(at);
                binding.bound = binding.bound.or(Some(at));
                binding.settled = None;
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
            let binding = self.binding(stream, &one.integration);
            binding.bound = Some(at);
            // A person can have removed an earlier binding.
            binding.settled = None;
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
        // If all reads of this part of a round were denied, only the end of the round shows whether the source was unreachable.
        let is_open_question = compared.denied > 0 && !compared.has_answer;
        match (open, compared.unreachable.is_empty()) {
            (_, true) if is_open_question => {}
            (Some((_, end)), true) => *end = Some(envelope.at),
            (None, false) => source.unreachable.push((envelope.at, None)),
            _ => {}
        }
        if compared.compared > 0 {
            source.compared.push(envelope.at);
            source.compared.extend(compared.shift_end);
        }
    }

    /// Returns the figures for the period from `from` to `to`.
    pub fn figures(&self, from: Moment, to: Moment) -> SyncFigures {
        let names = self.sources.keys();
        let mut by_source: BTreeMap<String, Figures> = names
            .map(|name| (name.clone(), Figures::default()))
            .collect();
        let mut by_role = BTreeMap::from([(ORIGIN, Figures::default()), (CRM, Figures::default())]);
        let mut total = Figures::default();
        for ((case, name), binding) in &self.bindings {
            let role = if self.cases.get(case) == Some(name) {
                ORIGIN
            } else {
                CRM
            };
            let (Some(source), Some(figures), Some(of_role), Some(bound)) = (
                self.sources.get(name),
                by_source.get_mut(name),
                by_role.get_mut(role),
                binding.bound,
            ) else {
                continue;
            };
            let life = (bound, binding.settled);
            let Some((begin, end)) = overlap(life, (from, to)) else {
                continue;
            };
            let is_compared = source.compared.iter().any(|at| (begin..=to).contains(at));
            let within = |periods: &[Period]| {
                let mut periods = periods.iter();
                periods.any(|period| overlap(*period, (begin, end)).is_some())
            };
            let errors = binding.names(|value| within(&value.errors));
            let unknown = binding.names(|value| within(&value.unknown));
            let all_errors: Vec<Period> = binding
                .values
                .values()
                .flat_map(|value| value.errors.iter().copied())
                .collect();
            let has_error = !errors.is_empty();
            for figures in [&mut *figures, &mut *of_role, &mut total] {
                figures.bindings += 1;
                figures.unknown += u64::from(!is_compared && !has_error);
                figures.unknown_assignees += u64::from(unknown.contains(&"assignee"));
                figures.errors += u64::from(has_error);
                count(&mut figures.errors_by_value, &errors);
                count(&mut figures.unknown_by_value, &unknown);
                figures.binding_seconds += (end.0 - begin.0) / 1000;
                figures.difference_seconds += covered_ms(&all_errors, (begin, end)) / 1000;
                figures.unknown_seconds += covered_ms(&source.unreachable, (begin, end)) / 1000;
            }
        }
        let all = by_source.values_mut().chain(by_role.values_mut());
        for figures in all.chain([&mut total]) {
            let compared = figures.bindings - figures.unknown;
            figures.error_percent = (compared > 0).then(|| percent(figures.errors, compared));
        }
        SyncFigures {
            total,
            by_source,
            by_role,
        }
    }
}

impl Binding {
    fn value(&mut self, name: &str) -> &mut Differences {
        self.values.entry(name.to_owned()).or_default()
    }

    /// Returns the names of the values for which the function returns true.
    fn names(&self, is_named: impl Fn(&Differences) -> bool) -> Vec<&str> {
        let named = self.values.iter().filter(|(_, value)| is_named(value));
        named.map(|(name, _)| name.as_str()).collect()
    }

    /// Ends the current differences of all values.
    fn end(&mut self, at: Moment) {
        for value in self.values.values_mut() {
            value.know(at, true);
            value.end(at);
        }
    }
}

impl Differences {
    /// Stores whether the value could be compared.
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
        self.since = None;
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

/// Returns the length of all periods within the bounds, in milliseconds. Times in several periods count once.
fn covered_ms(periods: &[Period], bounds: (Moment, Moment)) -> i64 {
    let parts = periods.iter();
    let mut parts: Vec<(Moment, Moment)> = parts
        .filter_map(|period| overlap(*period, bounds))
        .collect();
    parts.sort_unstable();
    let (mut covered, mut until) = (0, bounds.0);
    for (begin, end) in parts {
        let begin = begin.max(until);
        covered += (end.0 - begin.0).max(0);
        until = until.max(end);
    }
    covered
}

fn count(counts: &mut BTreeMap<String, u64>, names: &[&str]) {
    for name in names {
        *counts.entry((*name).to_owned()).or_default() += 1;
    }
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
    use events::case::{BindingRemoved, BindingSet, Bound, Compared, Received, Updated};
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
            target: None,
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
            reason: String::new(),
            due: None,
            shift_end: None,
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
        let SyncFigures {
            total, by_source, ..
        } = meter.figures(Moment(0), Moment(1_000_000));
        assert_eq!((total.bindings, total.errors, total.unknown), (4, 1, 0));
        assert_eq!(
            (total.error_percent, total.difference_seconds),
            (Some(25.0), 100)
        );
        assert_eq!(total.binding_seconds, 3 * 1000 + 150);
        assert_eq!(by_source["crm"], total);
        // After the repair, and after the end of one binding.
        let later = meter.figures(Moment(300_000), Moment(400_000)).total;
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
                target: None,
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
        let SyncFigures {
            total,
            by_source,
            by_role,
        } = meter.figures(Moment(0), Moment(200_000));
        assert_eq!((total.bindings, total.errors), (2, 1));
        assert_eq!(
            (&by_role["origin"], &by_role["crm"]),
            (&by_source["crm"], &by_source["erp"])
        );
        assert_eq!((by_source["crm"].errors, by_source["erp"].errors), (0, 1));
        assert_eq!(by_source["erp"].unknown_assignees, 1);
        assert_eq!(by_source["crm"].unknown_assignees, 0);
        assert_eq!(by_source["erp"].binding_seconds, 190);
    }

    #[test]
    fn each_value_has_its_own_errors_and_common_times_count_once() {
        let mut meter = SyncMeter::default();
        bind(&mut meter, "case-1", 0);
        round(&mut meter, 10, 1, "");
        let mut of = |at, field: &str, agreement, unknown: &[&str]| {
            let event = Compared {
                field: field.into(),
                unknown: unknown.iter().map(ToString::to_string).collect(),
                ..compared(agreement)
            };
            meter.fold_case(&envelope("case-1", at, event.into()));
        };
        of(10, "status", Agreement::Differs, &[]);
        of(40, "remark", Agreement::Differs, &[]);
        of(70, "status", Agreement::Error, &[]);
        of(100, "remark", Agreement::Error, &[]);
        of(110, "status", Agreement::Agrees, &[]);
        of(120, "content", Agreement::Differs, &[]);
        of(140, "remark", Agreement::Agrees, &[]);
        of(150, "content", Agreement::Agrees, &[]);
        of(160, "assignee", Agreement::Agrees, &["assignee"]);
        let total = meter.figures(Moment(0), Moment(200_000)).total;
        assert_eq!((total.errors, total.difference_seconds), (1, 130));
        let one = |name: &str| (name.to_owned(), 1);
        let expected = BTreeMap::from([one("remark"), one("status")]);
        assert_eq!(total.errors_by_value, expected);
        assert_eq!(total.unknown_by_value, BTreeMap::from([one("assignee")]));
        assert_eq!(total.unknown_assignees, 1);
    }

    #[test]
    fn a_record_that_a_person_named_is_a_binding_of_a_crm() {
        let mut meter = SyncMeter::default();
        bind(&mut meter, "case-1", 0);
        let set = |record: &str| BindingSet {
            by: "p1".into(),
            binding: FurtherBinding {
                integration: "erp".into(),
                record: record.into(),
                mapping: 1,
                target: None,
                refused: None,
            },
        };
        meter.fold_case(&envelope("case-1", 10, set("A-7").into()));
        let first = reconciliation::Compared {
            compared: 1,
            ..reconciliation::Compared::default()
        };
        meter.fold_comparison(&envelope("reconciliation-erp", 20, first.into()));
        for (at, agreement) in [(20, Agreement::Differs), (80, Agreement::Error)] {
            let event = Compared {
                integration: "erp".into(),
                ..compared(agreement)
            };
            meter.fold_case(&envelope("case-1", at, event.into()));
        }
        // The difference from the former record ends.
        meter.fold_case(&envelope("case-1", 100, set("A-8").into()));
        let crm = meter.figures(Moment(0), Moment(200_000)).by_role[CRM].clone();
        assert_eq!((crm.bindings, crm.errors), (1, 1));
        assert_eq!((crm.difference_seconds, crm.binding_seconds), (80, 190));
    }

    #[test]
    fn a_round_of_denials_does_not_end_the_time_of_an_unreachable_source() {
        let mut meter = SyncMeter::default();
        bind(&mut meter, "case-1", 0);
        round(&mut meter, 100, 0, "the response status is 403");
        let mut part = |at, has_answer| {
            let compared = reconciliation::Compared {
                denied: 1,
                denial: "the response status is 403".into(),
                has_answer,
                ..reconciliation::Compared::default()
            };
            meter.fold_comparison(&envelope("reconciliation-crm", at, compared.into()));
            let figures = meter.figures(Moment(0), Moment(400_000));
            figures.total.unknown_seconds
        };
        assert_eq!(part(200, false), 300);
        assert_eq!(part(250, true), 150);
        assert_eq!(
            part(300, false),
            150,
            "another part of the round was answered"
        );
    }

    #[test]
    fn an_unreachable_source_is_unknown() {
        let mut meter = SyncMeter::default();
        bind(&mut meter, "case-1", 0);
        round(&mut meter, 10, 0, "no connection");
        round(&mut meter, 20, 0, "no connection");
        let total = meter.figures(Moment(0), Moment(30_000)).total;
        assert_eq!(
            (total.unknown, total.errors, total.unknown_seconds),
            (1, 0, 20)
        );
        assert_eq!(total.error_percent, None, "nothing was compared");
        let none = SyncMeter::default().figures(Moment(0), Moment(1)).total;
        assert_eq!((none.bindings, none.error_percent), (0, None));
        round(&mut meter, 40, 1, "");
        let total = meter.figures(Moment(0), Moment(60_000)).total;
        assert_eq!((total.unknown, total.unknown_seconds), (0, 30));
    }

    #[test]
    fn a_comparison_at_the_end_of_a_shift_belongs_to_the_shift() {
        let shift_end = Some(Moment(500_000));
        let differs = || Compared {
            shift_end,
            ..compared(Agreement::Differs)
        };
        let mut meter = SyncMeter::default();
        for case in ["case-1", "case-2", "case-3"] {
            bind(&mut meter, case, 0);
        }
        // Of one case, the values agreed again after the end of the shift.
        compare(&mut meter, "case-2", 490, Agreement::Differs);
        compare(&mut meter, "case-2", 502, Agreement::Agrees);
        for case in ["case-1", "case-2"] {
            meter.fold_case(&envelope(case, 503, differs().into()));
            compare(&mut meter, case, 563, Agreement::Error);
        }
        let closing = reconciliation::Compared {
            compared: 3,
            shift_end,
            ..reconciliation::Compared::default()
        };
        meter.fold_comparison(&envelope("reconciliation-crm", 503, closing.into()));
        let shift = meter.figures(Moment(0), Moment(500_000)).total;
        assert_eq!((shift.bindings, shift.unknown, shift.errors), (3, 0, 1));
        let next = meter.figures(Moment(500_001), Moment(900_000)).total;
        assert_eq!((next.bindings, next.errors), (3, 2));
    }

    #[test]
    fn a_removed_binding_ends() {
        let mut meter = SyncMeter::default();
        bind(&mut meter, "case-1", 0);
        let set = BindingSet {
            by: "p1".into(),
            binding: FurtherBinding {
                integration: "erp".into(),
                record: "A-7".into(),
                mapping: 1,
                target: None,
                refused: None,
            },
        };
        meter.fold_case(&envelope("case-1", 10, set.into()));
        let round = reconciliation::Compared {
            compared: 1,
            ..reconciliation::Compared::default()
        };
        meter.fold_comparison(&envelope("reconciliation-erp", 20, round.into()));
        for (at, agreement) in [(20, Agreement::Differs), (80, Agreement::Error)] {
            let event = Compared {
                integration: "erp".into(),
                ..compared(agreement)
            };
            meter.fold_case(&envelope("case-1", at, event.into()));
        }
        let removed = BindingRemoved {
            by: "p1".into(),
            integration: "erp".into(),
            record: "A-7".into(),
        };
        meter.fold_case(&envelope("case-1", 100, removed.into()));
        let crm = meter.figures(Moment(0), Moment(200_000)).by_role[CRM].clone();
        assert_eq!((crm.bindings, crm.errors), (1, 1));
        assert_eq!((crm.difference_seconds, crm.binding_seconds), (80, 90));
        let later = meter.figures(Moment(110_000), Moment(200_000));
        assert_eq!(later.by_role[CRM].bindings, 0);
        // Later content of the source names a record again.
        let named = Updated {
            has_changed: false,
            bindings: vec![FurtherBinding {
                integration: "erp".into(),
                record: "A-8".into(),
                mapping: 1,
                target: None,
                refused: None,
            }],
            fields: BTreeMap::new(),
        };
        meter.fold_case(&envelope("case-1", 300, named.into()));
        let again = meter.figures(Moment(250_000), Moment(400_000));
        assert_eq!(again.by_role[CRM].bindings, 1);
    }
}
