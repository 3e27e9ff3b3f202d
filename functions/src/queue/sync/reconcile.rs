//! Compares the open cases of an integration with their records, and repairs differences (reference/fleet.md 2.6).
//!
//! The desk reads the records one after the other, within the limit of the source. Only changes of the result are stored in
//! the streams of the cases. A difference is compared again after the permitted time. If it still exists, it is a
//! synchronization error, and the desk repairs it.

use domain::intent::{Change, Due};
use domain::itsm::case::{self, Binding, Case};
use domain::itsm::mapping;
use domain::itsm::reconciliation::{
    Command, Difference, Expected, ExpectedAssignee, GRACE_MS, Reconciliation, Rejection,
};
use domain::ticket::Ticket;
use events::case::{Agreement, Compared, Repair, Repaired};
use events::integration::{Authority, CaseMapping, Defined};
use events::reconciliation;
use events::writeback::Field;
use events::{Meta, Moment, TicketSn};
use infra::commit::hex;
use infra::http::origin;
use infra::ledger::{NoContext, command_id};
use infra::source::{self, Answer, Source};
use infra::views::Range;
use infra::{CommandEnvelope, Error, ExecuteError, Kind};
use serde_json::Value;

use crate::App;
use crate::app::itsm::assignees::Accounts;
use crate::app::itsm::sources::WriteRequest;
use crate::app::itsm::{cases, gate, sources};
use crate::queue::runner;

/// Maximum number of cases that one message compares.
const CASES_MAX: usize = 100;
/// The longest time in which one message begins another comparison, in milliseconds.
const TIME_MAX_MS: i64 = 15_000;
/// The shortest time between two repairs of the same record, in milliseconds.
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

/// Handles the deadline of a case that differed from its record in an integration: compares it again. The name of the
/// integration is empty for the source of the case.
pub async fn again(app: &App, stream: &str, integration: &str) -> Result<(), Error> {
    let loaded = app.ledger.load::<Case>(stream).await?;
    let state = &loaded.aggregate.0;
    let binding = state.binding(integration);
    let compared = binding.and_then(|binding| binding.compared.as_ref());
    let is_due = compared.and_then(|compared| compared.due);
    if is_due.is_none_or(|due| due > app.ledger.clock.now()) {
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
        let same = Difference::default();
        let place = Place {
            stream,
            integration,
        };
        return store(app, place, Agreement::Agrees, &same, &meta).await;
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

/// One record of a case: the stream of the case, and the name of the integration, which is empty for the source.
#[derive(Clone, Copy)]
struct Place<'a> {
    stream: &'a str,
    integration: &'a str,
}

/// What a ticket expects in one of its records.
struct Expectation {
    status: Option<Expected>,
    assignee: ExpectedAssignee,
    is_over: bool,
}

/// Returns what the ticket expects now.
async fn expectation(
    app: &App,
    ticket: &TicketSn,
    mapping: &CaseMapping,
    accounts: &Accounts,
    has_assignee: bool,
) -> Result<Expectation, Error> {
    let loaded = app.ledger.load::<Ticket>(&ticket.stream()).await?;
    let ticket = loaded.aggregate.0;
    let is_over = ticket.status.is_over();
    Ok(Expectation {
        status: Expected::of(mapping, ticket.status_key(), is_over),
        assignee: if has_assignee {
            accounts.expected(&ticket)
        } else {
            ExpectedAssignee::Any
        },
        is_over,
    })
}

/// Compares one case with its record in the integration, and stores the result if it is another one than before.
async fn compare(
    app: &App,
    defined: &Defined,
    stream: &str,
    meta: &Meta,
) -> Result<Outcome, Error> {
    let state = app.ledger.load::<Case>(stream).await?.aggregate.0;
    let place = Place {
        stream,
        integration: if defined.name == state.source {
            ""
        } else {
            &defined.name
        },
    };
    let integration = app.configuration.integration(&defined.name).await?;
    let api = source::find(&defined.kind).and_then(Source::api);
    let (Some(ticket), Some(api), Some(binding)) =
        (&state.ticket, api, state.binding(&defined.name))
    else {
        return Ok(Outcome::Skipped);
    };
    let Some((_, mapping)) = integration.mapping(binding.mapping) else {
        return Ok(Outcome::Skipped);
    };
    if binding.agreement() == Agreement::Settled {
        return Ok(Outcome::Skipped);
    }
    let has_assignee = mapping.assignee.is_some() && api.writes_assignee();
    let accounts = Accounts::load(app, mapping).await?;
    let expected = expectation(app, ticket, mapping, &accounts, has_assignee).await?;
    if expected.status.is_none() && expected.is_over {
        return settle(app, place, meta).await;
    }
    if expected.status.is_none() && !matches!(expected.assignee, ExpectedAssignee::One(_)) {
        let unknown = Difference::of(None, &expected.assignee, "", "");
        if !unknown.unknown.is_empty() {
            store(app, place, Agreement::Agrees, &unknown, meta).await?;
        }
        return Ok(Outcome::Skipped);
    }
    let account = match sources::account(&*app.ledger.keys, defined.clone()).await? {
        Ok(account) => account,
        Err(reason) => return Ok(Outcome::Unreachable(reason)),
    };
    let request = match sources::request(app, api.one(&account, &binding.record)).await? {
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
    let record = match api.record(&response) {
        Answer::Done(record) => record,
        _ if is_missing => Value::Null,
        Answer::Rejected(reason) | Answer::NotSent(reason) | Answer::Unclear(reason) => {
            return Ok(Outcome::Unreachable(reason));
        }
    };
    let found = mapping::status(mapping, &record);
    let found_assignee = accounts.form_of(&mapping::assignee(mapping, &record));
    // The ticket can have changed while the desk read the record.
    let expected = expectation(app, ticket, mapping, &accounts, has_assignee).await?;
    if expected.status.is_none() && !matches!(expected.assignee, ExpectedAssignee::One(_)) {
        return Ok(Outcome::Skipped);
    }
    let status = expected.status.as_ref();
    let difference = Difference::of(status, &expected.assignee, &found, &found_assignee);
    let Some(field) = difference.field else {
        if expected.is_over {
            return settle(app, place, meta).await;
        }
        store(app, place, Agreement::Agrees, &difference, meta).await?;
        return Ok(Outcome::Compared(Agreement::Agrees));
    };
    let now = app.ledger.clock.now();
    let last = binding.compared.as_ref();
    let agreement = match last.filter(|last| last.field == field.name()) {
        Some(last) if last.agreement == Agreement::Error => Agreement::Error,
        Some(last)
            if last.agreement == Agreement::Differs && last.due.is_some_and(|due| due <= now) =>
        {
            Agreement::Error
        }
        _ => Agreement::Differs,
    };
    store(app, place, agreement, &difference, meta).await?;
    if agreement == Agreement::Error {
        // Only the source decides that a ticket ends.
        let ends_ticket = field == Field::Status
            && place.integration.is_empty()
            && !expected.is_over
            && mapping.ends.contains_key(&found);
        let lasting = Lasting {
            place,
            case: &state,
            binding,
            defined,
            field,
            difference: &difference,
            record: &record,
            ends_ticket,
        };
        repair(app, &lasting, meta).await?;
    }
    Ok(Outcome::Compared(agreement))
}

/// Stores that the ticket has ended and agrees with its record, so that the case is not compared any more.
async fn settle(app: &App, place: Place<'_>, meta: &Meta) -> Result<Outcome, Error> {
    let same = Difference::default();
    store(app, place, Agreement::Settled, &same, meta).await?;
    Ok(Outcome::Compared(Agreement::Settled))
}

/// Stores the result of a comparison. The same result again adds no event.
async fn store(
    app: &App,
    place: Place<'_>,
    agreement: Agreement,
    difference: &Difference,
    meta: &Meta,
) -> Result<(), Error> {
    let now = app.ledger.clock.now();
    let unknown = difference.unknown.iter();
    let command = case::Command::Compare(Compared {
        integration: place.integration.to_owned(),
        agreement,
        field: difference.field.unwrap_or(Field::Status).name().into(),
        found: difference.found.clone(),
        expected: difference.expected.clone(),
        unknown: unknown.map(|field| field.name().to_owned()).collect(),
        due: (agreement == Agreement::Differs).then(|| now.plus_ms(GRACE_MS)),
    });
    execute(app, place.stream, command, meta).await
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
struct Lasting<'a> {
    place: Place<'a>,
    case: &'a Case,
    binding: &'a Binding,
    defined: &'a Defined,
    field: Field,
    difference: &'a Difference,
    record: &'a Value,
    /// Whether the status of the record ends the ticket.
    ends_ticket: bool,
}

/// Repairs a difference. The source decides that a case ends, so its end is taken over. Otherwise the desk writes its
/// value again. A conflict is repaired only if the desk may overwrite the value of the source.
async fn repair(app: &App, lasting: &Lasting<'_>, meta: &Meta) -> Result<(), Error> {
    let Lasting {
        place,
        case,
        binding,
        defined,
        field,
        difference,
        record,
        ends_ticket,
    } = lasting;
    let now = app.ledger.clock.now();
    let is_recent = |at: Moment| at.plus_ms(REPAIR_MS) > now;
    if binding.repaired.is_some_and(is_recent) {
        return Ok(());
    }
    let authority = match field {
        Field::Status => defined.status_authority,
        Field::Assignee => defined.assignee_authority.unwrap_or(Authority::Desk),
    };
    let has_conflict = binding.conflicts.contains_key(field.name());
    let may_write = !has_conflict || authority == Authority::Desk;
    let is_missing = record.is_null() || *field == Field::Status && difference.found.is_empty();
    let repair = match (ends_ticket, may_write && !is_missing) {
        (true, _) => Repair::Read,
        (false, true) => Repair::Write,
        // A person must decide.
        (false, false) => return Ok(()),
    };
    let repaired = Repaired {
        integration: place.integration.to_owned(),
        field: field.name().into(),
        found: difference.found.clone(),
        wanted: difference.expected.clone(),
        repair,
        at: now,
    };
    execute(app, place.stream, case::Command::Repair(repaired), meta).await?;
    match (repair, &case.ticket) {
        (Repair::Read, _) => {
            let records = std::slice::from_ref(*record);
            cases::receive_from(app, &case.source, records, meta)
                .await
                .map(drop)
        }
        (Repair::Write, Some(ticket)) => {
            let meta = Meta {
                // Each repair is a new request, also for the same value.
                causation: format!("{}:{}", place.stream, hex(&app.ledger.fresh_id())),
                ..meta.clone()
            };
            let change = match field {
                Field::Status => Change::Status,
                Field::Assignee => Change::Assignee,
            };
            let request = WriteRequest {
                case: place.stream,
                ticket,
                change: &change,
                only: Some(&defined.name),
            };
            sources::request_writes(app, &request, &meta)
                .await
                .map(drop)
        }
        (Repair::Write, None) => Ok(()),
    }
}
