//! Compares the open cases of an integration with their records, and repairs differences (reference/fleet.md 2.6).
//!
//! The desk reads the records one after the other, within the limit of the source. Only changes of the result are stored in
//! the streams of the cases. A difference is compared again after the permitted time. If it still exists, it is a
//! synchronization error, and the desk repairs it. At the end of each shift of the integration, all cases are compared.

mod compare;
mod findings;
mod reading;
mod repair;

use domain::intent::Due;
use domain::itsm::case::Case;
use domain::itsm::reconciliation::{Command, Reconciliation, Rejection};
use domain::itsm::schedule::Schedule;
use events::Meta;
use events::case::Agreement;
use events::integration::Defined;
use events::reconciliation;
use infra::ledger::{NoContext, command_id};
use infra::views::Range;
use infra::{CommandEnvelope, Error, ExecuteError, Kind};

use crate::App;
use crate::app::itsm::sources;
use crate::queue::runner;

/// Maximum number of cases that one message compares.
const CASES_MAX: usize = 100;
/// The longest time in which one message begins another comparison, in milliseconds.
const TIME_MAX_MS: i64 = 15_000;

/// Handles a reached deadline of the comparison of one source.
pub async fn fire(app: &App, due: &Due) -> Result<(), Error> {
    let stream = &due.stream;
    let loaded = app.ledger.load::<Reconciliation>(stream).await?;
    let state = &loaded.aggregate.0;
    let began = app.ledger.clock.now();
    if !state.is_running || state.attempts.due > began {
        return Ok(());
    }
    let attempt = state.attempts.next();
    let cause = format!("{stream}:{}", loaded.next - 1);
    let meta = Meta::system(cause.clone(), cause);
    let result = match sources::compares(app, &state.source).await? {
        Some((defined, schedule)) => {
            if !runner::lease(app, stream, attempt).await? {
                return Ok(());
            }
            compare_some(app, &defined, &schedule, state, &meta).await?
        }
        // The configuration of this process can be a few seconds old, so the comparison is not stopped here.
        None => reconciliation::Compared {
            due: began.plus_ms(TIME_MAX_MS),
            cursor: state.cursor.clone(),
            began: state.began,
            ..reconciliation::Compared::default()
        },
    };
    let envelope = CommandEnvelope {
        stream: stream.clone(),
        command_id: command_id(&["reconcile", stream, &attempt.to_string()]),
        meta,
    };
    let record = Command::Record(reconciliation::Compared { attempt, ..result });
    match app
        .ledger
        .execute::<Reconciliation>(&envelope, &record, &NoContext)
        .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::NotDue(_) | Rejection::NotStarted)) => Ok(()),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

/// Compares the next cases in the list of the source.
async fn compare_some(
    app: &App,
    defined: &Defined,
    schedule: &Schedule,
    state: &Reconciliation,
    meta: &Meta,
) -> Result<reconciliation::Compared, Error> {
    let began = app.ledger.clock.now();
    let (source, to) = (&defined.name, format!("{}|~", defined.name));
    let from = if state.cursor.is_empty() {
        format!("{source}|")
    } else {
        format!("{}\u{1}", state.cursor)
    };
    let list = Range {
        view: "case",
        index: "binding",
        from: &from,
        to: &to,
        descending: false,
        skip: 0,
        limit: CASES_MAX,
    };
    let entries = app.views.range(list).await?;
    let is_last = entries.len() < CASES_MAX;
    let round = state.began.unwrap_or(began);
    let unreachable = |unreachable: String, result: reconciliation::Compared| {
        // The next round begins at the first case again.
        reconciliation::Compared {
            cursor: String::new(),
            unreachable,
            due: schedule.retry(app.ledger.clock.now()),
            ..result
        }
    };
    let shift_end = schedule.shift_end_of(state.last_round, round, began);
    let mut result = reconciliation::Compared {
        cursor: state.cursor.clone(),
        began: Some(round),
        shift_end,
        due: began,
        ..reconciliation::Compared::default()
    };
    for entry in entries {
        let now = app.ledger.clock.now();
        if now > began.plus_ms(TIME_MAX_MS) {
            return Ok(reconciliation::Compared { due: now, ..result });
        }
        let occasion = compare::Occasion {
            shift_end,
            is_first_read: result.denied == 0 && !state.has_answer_after(&result),
        };
        let outcome = match compare::compare(app, defined, &entry.key, occasion, meta).await {
            // The work for the other cases must not wait for this one.
            Err(error) if error.is_poison() => {
                let stream = &entry.key;
                tracing::error!(%error, stream, source, "a case cannot be compared");
                Outcome::Skipped
            }
            compared => compared?,
        };
        match outcome {
            Outcome::Compared(agreement) => {
                let differs = matches!(agreement, Agreement::Differs | Agreement::Error);
                result.compared += 1;
                result.differing += u32::from(differs);
                result.has_answer = true;
            }
            Outcome::Skipped => {}
            Outcome::Rejected(_) => result.has_answer = true,
            Outcome::Denied(reason) => {
                result.denied += 1;
                result.denial = reason;
            }
            Outcome::Wait(after_ms) => {
                let due = app.ledger.clock.now().plus_ms(after_ms);
                return Ok(reconciliation::Compared { due, ..result });
            }
            Outcome::Unreachable(reason) => return Ok(unreachable(reason, result)),
        }
        result.cursor = entry.value;
    }
    if is_last {
        if let Some(reason) = state.denial_of_all(&result) {
            return Ok(unreachable(reason, result));
        }
        result.cursor.clear();
        result.is_last = true;
        result.due = schedule.next_round(round, app.ledger.clock.now());
    }
    Ok(result)
}

/// The outcome of one comparison.
enum Outcome {
    Compared(Agreement),
    /// The case is not compared, for example because its ticket has a status for which the mapping has no rule.
    Skipped,
    /// The source does not accept the id of the record. The text is the reason.
    Rejected(String),
    /// The source denies the account or its rights for the record (401, 403). The text is the reason.
    Denied(String),
    /// No request may be sent for this time, in milliseconds.
    Wait(i64),
    /// The source could not be read. The text is the reason.
    Unreachable(String),
}

/// Handles the deadline of a value that differed between a case and its record in an integration: compares them again. The
/// name of the integration is empty for the source of the case.
pub async fn again(app: &App, stream: &str, integration: &str, value: &str) -> Result<(), Error> {
    let loaded = app.ledger.load::<Case>(stream).await?;
    let state = &loaded.aggregate.0;
    let Some(binding) = state.binding(integration) else {
        return Ok(());
    };
    let compared = binding.comparisons.get(value);
    let due = compared.and_then(|compared| compared.due);
    if due.is_none_or(|due| due > app.ledger.clock.now()) {
        return Ok(());
    }
    let cause = format!("{stream}:{}", loaded.next - 1);
    let meta = Meta::system(cause.clone(), cause);
    let name: &str = if integration.is_empty() {
        &state.source
    } else {
        integration
    };
    let Some((defined, _)) = sources::compares(app, name).await? else {
        // The cases of the integration are not compared any more.
        let place = compare::Place {
            stream,
            integration,
            record: &binding.record,
        };
        return compare::end(app, place, value, &meta).await;
    };
    let occasion = compare::Occasion::default();
    match compare::compare(app, &defined, stream, occasion, &meta).await? {
        Outcome::Compared(_) | Outcome::Skipped | Outcome::Rejected(_) | Outcome::Denied(_) => {
            // If the value could not be compared now, its deadline must not stay in the past. The next round compares the
            // value again.
            let place = compare::Place {
                stream,
                integration,
                record: &binding.record,
            };
            compare::end_if_due(app, place, value, &meta).await
        }
        // The message comes again, because the deadline is not changed.
        Outcome::Wait(_) => Err(Error::new(
            Kind::Throttled,
            format!("{} allows no request now", defined.name),
        )),
        Outcome::Unreachable(reason) => Err(Error::new(Kind::Unavailable, reason)),
    }
}
