//! Compares the open cases of a source with their records, and repairs differences (reference/fleet.md 2.6).
//!
//! The desk reads the records one after the other, within the limit of the source. Only changes of the result are stored in
//! the streams of the cases. A difference is compared again after the permitted time. If it still exists, it is a
//! synchronization error, and the desk repairs it.

use domain::intent::Due;
use domain::itsm::case::{self, Case};
use domain::itsm::mapping;
use domain::itsm::reconciliation::{Command, Expected, GRACE_MS, Reconciliation, Rejection};
use domain::ticket::Ticket;
use events::Meta;
use events::case::{Agreement, Compared, Repair, Repaired};
use events::integration::{Authority, Defined};
use events::reconciliation;
use infra::commit::hex;
use infra::http::origin;
use infra::ledger::{NoContext, command_id};
use infra::source::{self, Answer, Source};
use infra::views::Range;
use infra::{CommandEnvelope, Error, ExecuteError, Kind};
use serde_json::Value;

use crate::App;
use crate::app::itsm::{cases, gate, sources};
use crate::queue::runner;

/// Maximum number of cases that one message compares.
const CASES_MAX: usize = 100;
/// The longest time in which one message begins another comparison, in milliseconds.
const TIME_MAX_MS: i64 = 15_000;
/// The shortest time between two repairs of the same case, in milliseconds.
const REPAIR_MS: i64 = 3_600_000;
/// The pause if the source already has the maximum number of concurrent requests, in milliseconds.
const BUSY_MS: i64 = 1_000;

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
        Some((defined, pause_ms)) => {
            if !runner::lease(app, stream, attempt).await? {
                return Ok(());
            }
            compare_some(app, &defined, pause_ms, state, &meta).await?
        }
        // The configuration of this process can be a few seconds old, so the comparison is not stopped here.
        None => reconciliation::Compared {
            due: began.plus_ms(TIME_MAX_MS),
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
    pause_ms: i64,
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
    let mut result = reconciliation::Compared {
        cursor: state.cursor.clone(),
        due: began,
        ..reconciliation::Compared::default()
    };
    for entry in entries {
        let now = app.ledger.clock.now();
        if now > began.plus_ms(TIME_MAX_MS) {
            return Ok(reconciliation::Compared { due: now, ..result });
        }
        match compare(app, defined, &entry.key, meta).await? {
            Outcome::Compared(agreement) => {
                let differs = matches!(agreement, Agreement::Differs | Agreement::Error);
                result.compared += 1;
                result.differing += u32::from(differs);
            }
            Outcome::Skipped => {}
            Outcome::Wait(after_ms) => {
                let due = app.ledger.clock.now().plus_ms(after_ms);
                return Ok(reconciliation::Compared { due, ..result });
            }
            Outcome::Unreachable(unreachable) => {
                // The next round begins at the first case again.
                return Ok(reconciliation::Compared {
                    cursor: String::new(),
                    unreachable,
                    due: app.ledger.clock.now().plus_ms(pause_ms),
                    ..result
                });
            }
        }
        result.cursor = entry.value;
    }
    if is_last {
        result.cursor.clear();
        result.due = app.ledger.clock.now().plus_ms(pause_ms);
    }
    Ok(result)
}

/// The outcome of one comparison.
enum Outcome {
    Compared(Agreement),
    /// The case is not compared, for example because its ticket has a status for which the mapping has no rule.
    Skipped,
    /// No request may be sent for this time, in milliseconds.
    Wait(i64),
    /// The source could not be read. The text is the reason.
    Unreachable(String),
}

/// Handles the deadline of a case that differed from its record: compares it again.
pub async fn again(app: &App, stream: &str) -> Result<(), Error> {
    let loaded = app.ledger.load::<Case>(stream).await?;
    let state = &loaded.aggregate.0;
    let is_due = state.compared.as_ref().and_then(|compared| compared.due);
    if is_due.is_none_or(|due| due > app.ledger.clock.now()) {
        return Ok(());
    }
    let cause = format!("{stream}:{}", loaded.next - 1);
    let meta = Meta::system(cause.clone(), cause);
    let Some((defined, _)) = sources::compares(app, &state.source).await? else {
        // The cases of the source are not compared any more.
        return store(app, stream, Agreement::Agrees, ("", String::new()), &meta).await;
    };
    match compare(app, &defined, stream, &meta).await? {
        Outcome::Compared(_) | Outcome::Skipped => Ok(()),
        // The message comes again, because the deadline is not changed.
        Outcome::Wait(_) => Err(Error::new(
            Kind::Throttled,
            format!("{} allows no request now", defined.name),
        )),
        Outcome::Unreachable(reason) => Err(Error::new(Kind::Unavailable, reason)),
    }
}

/// Compares one case with its record, and stores the result if it is another one than before.
async fn compare(
    app: &App,
    defined: &Defined,
    stream: &str,
    meta: &Meta,
) -> Result<Outcome, Error> {
    let state = app.ledger.load::<Case>(stream).await?.aggregate.0;
    let integration = app.configuration.integration(&state.source).await?;
    let api = source::find(&defined.kind).and_then(Source::api);
    let (Some(ticket), Some(api), Some((_, mapping))) =
        (&state.ticket, api, integration.mapping(state.mapping))
    else {
        return Ok(Outcome::Skipped);
    };
    if state.agreement() == Agreement::Settled {
        return Ok(Outcome::Skipped);
    }
    let status = async || {
        let loaded = app.ledger.load::<Ticket>(&ticket.stream()).await?;
        let status = loaded.aggregate.0.status;
        let is_over = status.is_over();
        let key = loaded.aggregate.0.status_key().to_owned();
        Ok::<_, Error>((Expected::of(mapping, &key, is_over), is_over))
    };
    let (expected, is_over) = status().await?;
    if expected.is_none() && is_over {
        return settle(app, stream, meta).await;
    }
    if expected.is_none() {
        return Ok(Outcome::Skipped);
    }
    let account = match sources::account(&*app.ledger.keys, defined.clone()).await? {
        Ok(account) => account,
        Err(reason) => return Ok(Outcome::Unreachable(reason)),
    };
    let request = match sources::request(app, api.one(&account, &state.record)).await? {
        Ok(request) => request,
        Err(reason) => return Ok(Outcome::Unreachable(reason)),
    };
    let Some(_slot) = app.targets.enter(&origin(&request.url)) else {
        return Ok(Outcome::Wait(BUSY_MS));
    };
    if let Some(wait) = gate::admit(app, defined).await? {
        return Ok(Outcome::Wait(wait.after_ms));
    }
    let response = app.http.send(&request).await;
    gate::note(app, defined, &response).await?;
    let is_missing = matches!(&response, Ok(response) if matches!(response.status, 404 | 410));
    let (found, record) = match api.record(&response) {
        Answer::Done(record) => (mapping::status(mapping, &record), record),
        _ if is_missing => (String::new(), Value::Null),
        Answer::Rejected(reason) | Answer::NotSent(reason) | Answer::Unclear(reason) => {
            return Ok(Outcome::Unreachable(reason));
        }
    };
    // The ticket can have changed while the desk read the record.
    let (expected, is_over) = status().await?;
    let Some(expected) = expected else {
        return Ok(Outcome::Skipped);
    };
    if expected.accepts(&found) {
        if is_over {
            return settle(app, stream, meta).await;
        }
        store(app, stream, Agreement::Agrees, ("", String::new()), meta).await?;
        return Ok(Outcome::Compared(Agreement::Agrees));
    }
    let now = app.ledger.clock.now();
    let differed = state.compared.as_ref();
    let differed = differed.filter(|compared| compared.agreement == Agreement::Differs);
    let agreement = match (state.agreement(), differed.and_then(|one| one.due)) {
        (Agreement::Error, _) => Agreement::Error,
        (Agreement::Differs, Some(due)) if due <= now => Agreement::Error,
        _ => Agreement::Differs,
    };
    store(app, stream, agreement, (&found, expected.text()), meta).await?;
    if agreement == Agreement::Error {
        let difference = Difference {
            stream,
            case: &state,
            defined,
            found: &found,
            wanted: expected.text(),
            record: &record,
            ends_ticket: !is_over && mapping.ends.contains_key(&found),
        };
        repair(app, &difference, meta).await?;
    }
    Ok(Outcome::Compared(agreement))
}

/// Stores that the ticket has ended and agrees with its record, so that the case is not compared any more.
async fn settle(app: &App, stream: &str, meta: &Meta) -> Result<Outcome, Error> {
    store(app, stream, Agreement::Settled, ("", String::new()), meta).await?;
    Ok(Outcome::Compared(Agreement::Settled))
}

/// Stores the result of a comparison. The same result again adds no event.
async fn store(
    app: &App,
    stream: &str,
    agreement: Agreement,
    (found, expected): (&str, String),
    meta: &Meta,
) -> Result<(), Error> {
    let now = app.ledger.clock.now();
    let command = case::Command::Compare(Compared {
        agreement,
        found: found.to_owned(),
        expected,
        due: (agreement == Agreement::Differs).then(|| now.plus_ms(GRACE_MS)),
    });
    execute(app, stream, command, meta).await
}

async fn execute(
    app: &App,
    stream: &str,
    command: case::Command,
    meta: &Meta,
) -> Result<(), Error> {
    let envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id: app.ledger.fresh_id(),
        meta: meta.clone(),
    };
    app.ledger
        .execute::<Case>(&envelope, &command, &NoContext)
        .await
        .map(drop)
        .map_err(ExecuteError::unexpected)
}

/// A difference between a ticket and its record that has lasted longer than the permitted time.
struct Difference<'a> {
    stream: &'a str,
    case: &'a Case,
    defined: &'a Defined,
    found: &'a str,
    wanted: String,
    record: &'a Value,
    /// Whether the status of the record ends the ticket.
    ends_ticket: bool,
}

/// Repairs a difference. The source decides that a case ends, so its end is taken over. Otherwise the desk writes its
/// status again. A conflict is repaired only if the desk may overwrite the status of the source.
async fn repair(app: &App, difference: &Difference<'_>, meta: &Meta) -> Result<(), Error> {
    let Difference {
        stream,
        case,
        defined,
        ..
    } = difference;
    let now = app.ledger.clock.now();
    if case.repaired.is_some_and(|at| at.plus_ms(REPAIR_MS) > now) {
        return Ok(());
    }
    let may_write = case.conflict.is_none() || defined.status_authority == Authority::Desk;
    let repair = match (
        difference.ends_ticket,
        may_write && !difference.found.is_empty(),
    ) {
        (true, _) => Repair::Read,
        (false, true) => Repair::Write,
        // A person must decide.
        (false, false) => return Ok(()),
    };
    let repaired = Repaired {
        field: "status".into(),
        found: difference.found.to_owned(),
        wanted: difference.wanted.clone(),
        repair,
        at: now,
    };
    execute(app, stream, case::Command::Repair(repaired), meta).await?;
    match (repair, &case.ticket) {
        (Repair::Read, _) => {
            let records = std::slice::from_ref(difference.record);
            cases::receive_from(app, &case.source, records, meta)
                .await
                .map(drop)
        }
        (Repair::Write, Some(ticket)) => {
            let meta = Meta {
                // Each repair is a new request, also for the same status.
                causation: format!("{stream}:{}", hex(&app.ledger.fresh_id())),
                ..meta.clone()
            };
            sources::request_write(app, stream, ticket, meta)
                .await
                .map(drop)
        }
        (Repair::Write, None) => Ok(()),
    }
}
