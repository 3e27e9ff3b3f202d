//! Computes reports from the events in the ledger: about imported incidents, and about the agreement of cases with their
//! records.

use std::collections::BTreeMap;

use domain::projections::incident_log::{CLOSED, Case, IncidentLog, OPENED, RESOLVED, minutes};
use domain::projections::sync_meter::{SyncFigures, SyncMeter};
use events::Moment;
use events::ticket::RowImported;
use infra::{Error, Ledger};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::app::times;

/// Maximum number of commits that one read of the feed (the sequence of all commits) returns.
const PAGE: usize = 1000;

/// Builds the log of all imported incidents from the commits of the feed (the sequence of all
/// commits), and returns this log. After each read, the function calls `progress` with the current
/// feed position.
pub async fn incident_log(
    ledger: &Ledger,
    progress: &mut dyn FnMut(i64),
) -> Result<IncidentLog, Error> {
    let mut log = IncidentLog::default();
    let mut position = 0;
    loop {
        let page = ledger.store.feed(position, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(log);
        };
        position = last.position;
        for placed in page
            .iter()
            .filter(|placed| placed.commit.stream.starts_with("ticket-"))
        {
            for envelope in ledger.envelopes(&placed.commit).await? {
                log.fold(&envelope);
            }
        }
        progress(position);
    }
}

/// Returns the report `sync`: how many cases differed from their records in a period, for all sources and for each source.
/// `zone` is the time zone of the times in the report.
pub async fn sync(
    ledger: &Ledger,
    (from, to): (Moment, Moment),
    zone: &TimeZone,
) -> Result<Value, Error> {
    let mut meter = SyncMeter::default();
    let mut position = 0;
    loop {
        let page = ledger.store.feed(position, PAGE).await?;
        let Some(last) = page.last() else {
            break;
        };
        position = last.position;
        for placed in page {
            match events::aggregate_of(&placed.commit.stream) {
                "case" => {
                    for envelope in ledger.envelopes(&placed.commit).await? {
                        meter.fold_case(&envelope);
                    }
                }
                "reconciliation" => {
                    for envelope in ledger.envelopes(&placed.commit).await? {
                        meter.fold_comparison(&envelope);
                    }
                }
                _ => {}
            }
        }
    }
    let SyncFigures {
        total,
        by_source,
        by_role,
    } = meter.figures(from, to);
    Ok(json!({
        "from": times::in_zone(from, zone), "to": times::in_zone(to, zone), "all": total, "sources": by_source,
        "roles": by_role,
    }))
}

/// Returns the report `incidents` about imported cases (incidents of another system). The report
/// contains numbers of cases, state transitions, durations, reassignments and reopened cases.
pub fn incidents(log: &IncidentLog) -> Value {
    let cases: Vec<(&Case, &RowImported)> = log
        .cases
        .values()
        .filter_map(|case| Some((case, case.last.as_ref()?)))
        .collect();
    let number = |name: &'static str| {
        move |(_, last): &(&Case, &RowImported)| last.numbers.get(name).map(ToString::to_string)
    };
    let between = |from: &'static str, to: &'static str| {
        let minutes_of = |case: &Case| Some(minutes(log.time(case, from)?, log.time(case, to)?));
        distribution(
            cases
                .iter()
                .filter_map(|(case, _)| minutes_of(case))
                .collect(),
        )
    };
    let derived = |source: &str| {
        [OPENED, RESOLVED, CLOSED]
            .into_iter()
            .filter(|name| log.derives(source, name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let derived: BTreeMap<&String, String> = log
        .named_times
        .keys()
        .map(|source| (source, derived(source)))
        .filter(|(_, names)| !names.is_empty())
        .collect();
    let all: Vec<(&String, &String, u64)> = log
        .transitions
        .iter()
        .flat_map(|(from, to)| to.iter().map(move |(to, count)| (from, to, *count)))
        .collect();
    json!({
        "rows": cases.iter().map(|(case, _)| case.rows).sum::<u64>(),
        "cases": cases.len(),
        "rows_by_state": log.rows_by_state,
        "first_state": counts(cases.iter().map(|(case, _)| case.first_state.clone())),
        "final_state": counts(cases.iter().map(|(_, last)| last.state.clone())),
        "rows_per_case": distribution(cases.iter().map(|(case, _)| i64::try_from(case.rows).unwrap_or(i64::MAX)).collect()),
        "transitions": {
            "total": all.iter().map(|(_, _, count)| count).sum::<u64>(),
            "self": all.iter().filter(|(from, to, _)| from == to).map(|(_, _, count)| count).sum::<u64>(),
            "distinct": all.len(),
            "all": all,
        },
        "cases_by_last_impact": counts(cases.iter().map(|(_, last)| last.impact.clone())),
        "cases_by_last_urgency": counts(cases.iter().map(|(_, last)| last.urgency.clone())),
        "cases_by_last_priority": counts(cases.iter().map(|(_, last)| last.priority.clone())),
        "reassignment_count_last": counts(cases.iter().filter_map(number("reassignment_count"))),
        "reopen_count_last": counts(cases.iter().filter_map(number("reopen_count"))),
        "group_changes_derived": counts(cases.iter().map(|(case, _)| case.group_changes.to_string())),
        "cases_ping_pong": cases.iter().filter(|(case, _)| case.ping_pong).count(),
        "reopens_derived": counts(cases.iter().map(|(case, _)| case.reopens.to_string())),
        "resolution_minutes_opened_to_resolved": between(OPENED, RESOLVED),
        "closure_minutes_opened_to_closed": between(OPENED, CLOSED),
        "dwell_minutes_by_state": log.dwell_minutes_by_state,
        "opened_by_iso_weekday": counts(cases.iter().filter_map(|(case, last)| weekday(log.time(case, OPENED)?, &last.zone))),
        "times_from_phases_by_source": derived,
    })
}

/// Returns the ISO weekday of a time in the time zone `zone`. If the time zone is unknown, returns
/// a text with the name of this zone. The report then counts the case (incident) under this text.
fn weekday(Moment(at): Moment, zone: &str) -> Option<String> {
    let zone = match zone {
        "" => TimeZone::UTC,
        name => match times::zone(name) {
            Ok(zone) => zone,
            Err(_) => return Some(format!("unknown zone {name}")),
        },
    };
    let day = Timestamp::from_millisecond(at)
        .ok()?
        .to_zoned_datetime(zone)
        .weekday();
    Some(day.to_monday_one_offset().to_string())
}

fn counts(values: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    values.fold(BTreeMap::new(), |mut counts, value| {
        *counts.entry(value).or_default() += 1;
        counts
    })
}

/// Returns statistics of the given values, such as the mean and percentiles. The mean is rounded to
/// 3 decimals. The percentiles use the nearest-rank method, `sorted[ceil(p * n) - 1]`.
fn distribution(mut values: Vec<i64>) -> Value {
    values.sort_unstable();
    let n = values.len();
    if n == 0 {
        return json!({ "n": 0 });
    }
    let rank = |percent: usize| values[(percent * n).div_ceil(100).max(1) - 1];
    let sum: i64 = values.iter().sum();
    #[expect(
        clippy::cast_precision_loss,
        reason = "sums of minutes stay far below 2^53"
    )]
    let mean = (sum as f64 / n as f64 * 1000.0).round() / 1000.0;
    json!({
        "n": n, "min": values[0], "p50": rank(50), "p90": rank(90), "p95": rank(95), "p99": rank(99), "max": values[n - 1], "mean": mean, "sum": sum,
    })
}
