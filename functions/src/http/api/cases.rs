//! Handles cases in the API `/v1`. A case is a record of an external system for which the desk
//! opens a ticket. Apps (client programs) send the records, and superusers read the cases.

use std::collections::BTreeSet;

use axum::http::Method;
use domain::itsm::case::Case;
use domain::itsm::writeback::Writeback;
use events::app::Scope;
use events::case::{Conflicted, UpdateMark};
use events::writeback::Outcome;
use events::{Meta, Moment, PersonId};
use serde::Serialize;
use serde_json::Value;

use super::admin::{CardList, changes_configuration, page_of, reads_operations, stream_of};
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{Time, done, not_empty, ok, time};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, delete, get, list, post, put,
    segments,
};
use super::shape::{Member, Shape, quoted, required};
use crate::app::itsm::assignees::ACCOUNT;
use crate::app::itsm::cases::{BATCH_MAX, CaseError, Receipt, id_of, process_again, receive};
use crate::app::itsm::links::{NotLinked, link, unlink};
use crate::app::itsm::rewriting::write_again;
use crate::app::itsm::sources::stream_of_writes;

const SOURCE: Member = required("source", Shape::Text);
const CASES: Member = required("cases", Shape::List(&Shape::Map(&Shape::Any)));
const INTEGRATION: Member = required("integration", Shape::Text);
const RECORD: Member = required("record", Shape::Text);

const OPERATIONS: &[Operation] = &[
    post(
        "/v1/cases",
        "receives up to 100 records of a source; each record has one result",
        &[SOURCE, CASES],
    )
    .for_sources()
    .returning::<Receipts>(),
    list(
        "/v1/cases",
        "lists cases by the time of their arrival, latest first; for superusers",
        &[
            (
                "state",
                Asks::Word(&[
                    "all", "pending", "refused", "conflict", "failing", "failed",
                ]),
            ),
            ("ticket", Asks::Text),
            ("source", Asks::Text),
            PAGE,
            PAGE_SIZE,
        ],
    )
    .returning::<CasePage>(),
    get("/v1/cases/{case}", "shows a case").returning::<ShownCase>(),
    post(
        "/v1/cases/{case}/process",
        "processes the refused content of a case again; for superusers",
        &[],
    )
    .returning::<ShownCase>(),
    post(
        "/v1/cases/{case}/write",
        "writes again what the desk could not write to the records of a case; for superusers",
        &[],
    )
    .returning::<ShownCase>(),
    put(
        "/v1/cases/{case}/crm",
        "binds a case also to a record of another integration, such as a CRM; for superusers",
        &[INTEGRATION, RECORD],
    )
    .returning::<ShownCase>(),
    delete(
        "/v1/cases/{case}/crm",
        "removes the binding of a case to a record that a person named, and cancels waiting writes to the record; for superusers",
    )
    .asking(&[("integration", Asks::Text)]),
];

/// The results of received records, in the order of the request.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Receipts {
    results: Vec<RecordResult>,
}

/// The result of processing one record of an external system. The result contains the id of the case
/// and a word for the outcome. It also contains the ticket, or the reason why the record was
/// rejected.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RecordResult {
    case: String,
    /// The id of the record at its source.
    record: String,
    outcome: &'static str,
    ticket: Option<String>,
    /// The place of the value that was rejected.
    field: Option<String>,
    reason: Option<String>,
}

/// One page of the cases.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CasePage {
    count: u64,
    cases: Vec<ShownCase>,
}

/// A record of an external system for which the desk opens a ticket.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Case"))]
struct ShownCase {
    id: String,
    source: String,
    /// The id of the record at its source.
    record: String,
    state: CaseState,
    ticket: Option<String>,
    /// The time at which the source created the record, by the clock of the source.
    created_at: Option<Time>,
    /// The time at which the desk received the record.
    received_at: Time,
    /// The time at which the desk received the last change.
    updated_at: Time,
    /// The milliseconds between the creation and the receipt.
    source_lag_ms: Option<i64>,
    /// The number of the last change, if the source counts changes.
    counter: Option<i64>,
    /// The time of the last change, if the source gives one.
    changed_at: Option<Time>,
    updates: u32,
    mapping_version: Option<u32>,
    field: Option<String>,
    reason: Option<String>,
    /// The case to which the record was added.
    belongs_to: Option<String>,
    /// The status of the record at its source.
    status: Option<String>,
    /// A value that the source and the desk have both changed. The desk did not overwrite it.
    conflict: Option<Conflict>,
    /// The last status that the desk writes, or wrote, to the record.
    write_back: Option<WriteBack>,
    /// The records of other integrations to which the case is also bound, or the reasons why it is not bound.
    bindings: Vec<FurtherBinding>,
}

/// A record of another integration to which a case is also bound.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CaseBinding"))]
struct FurtherBinding {
    integration: String,
    /// The id of the record. Null if the case is not bound to it.
    record: Option<String>,
    conflict: Option<Conflict>,
    write_back: Option<WriteBack>,
    /// The place of the value that was refused.
    field: Option<String>,
    /// The reason why the case is not bound.
    reason: Option<String>,
}

/// A value that the source and the desk have both changed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CaseConflict"))]
struct Conflict {
    field: String,
    /// The value at the source.
    found: String,
    /// The value that the desk wanted to write.
    wanted: String,
}

/// What the desk writes to a record of a case.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CaseWriteBack"))]
struct WriteBack {
    /// The status of the ticket. Null if the desk wrote no status.
    status: Option<String>,
    /// The status that the record gets.
    #[cfg_attr(test, schemars(schema_with = "schema::value"))]
    target: Value,
    /// The number of remarks that wait.
    waiting_notes: u32,
    /// The number of remarks that were not written, and that the desk does not write any more until they are requested again.
    failed_notes: u32,
    #[cfg_attr(test, schemars(schema_with = "schema::write_back_outcome"))]
    outcome: Option<Outcome>,
    /// The reason of the failure, or the reason why a remark was not written. If the write is not completed, the reason of the
    /// last failed attempt.
    reason: Option<String>,
    /// The number of requests to the record and of pauses, since the desk began to write to the record.
    attempts: u32,
    /// The last failed attempts, at most 20, the newest first.
    failures: Vec<WriteFailure>,
    /// The time of the next request, if the write is not completed.
    next_attempt: Option<Time>,
}

/// A failed attempt to write to a record.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "CaseWriteFailure")
)]
struct WriteFailure {
    /// The number of the attempt.
    attempt: u32,
    reason: String,
}

/// The state of a case.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum CaseState {
    /// The ticket is not opened yet.
    Pending,
    /// The content of the record cannot be used.
    Refused,
    /// The record had already ended, so the case has no ticket.
    Skipped,
    /// The record belongs to another case.
    Identified,
    /// The case has a ticket.
    Bound,
}

/// The operations on cases, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Cases,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        if call.method == Method::POST && call.path.len() == 1 {
            return add(call.request).await;
        }
        if let [_, id, "process"] = *segments(&call.path) {
            let meta = changes_configuration(&call.request).await?;
            return again(call.request, id, &meta).await;
        }
        if let [_, id, "write"] = *segments(&call.path) {
            let meta = changes_configuration(&call.request).await?;
            return rewrite(call.request, id, &meta).await;
        }
        if let [_, id, "crm"] = *segments(&call.path) {
            let meta = changes_configuration(&call.request).await?;
            if call.method == Method::DELETE {
                return unbind(call.request, id, &meta).await;
            }
            return bind(call.request, id, &meta).await;
        }
        reads_operations(&call.request).await?;
        match *segments(&call.path) {
            [_, id] => one(call.request, id).await,
            _ => all(call.request).await,
        }
    })
}

async fn add(request: Asked) -> ApiResult {
    let source = request.text("source")?.unwrap_or_default();
    let records = request.body.get("cases").and_then(Value::as_array);
    let records = records.map(Vec::as_slice).unwrap_or_default();
    if records.is_empty() || records.len() > BATCH_MAX {
        return Err(Problem::malformed(
            "/cases",
            format!("`cases` must have 1 to {BATCH_MAX} records"),
        ));
    }
    let meta = request.meta(PersonId::system());
    let received = receive(&request.app, &source, records, &request.caller.app, &meta).await;
    let receipts = received.map_err(|error| match error {
        CaseError::SourceUnknown(name) => {
            Problem::unknown("/source", format!("there is no source {}", quoted(&name)))
        }
        CaseError::NotASender { .. } => Problem::forbidden(error.to_string()),
        CaseError::Technical(error) => error.into(),
    })?;
    let results = receipts.iter().map(result).collect();
    Ok(ok(&Receipts { results }))
}

fn result(receipt: &Receipt) -> RecordResult {
    let refusal = receipt.case.refusal.as_ref();
    RecordResult {
        case: id_of(&receipt.stream).to_owned(),
        record: receipt.case.record.clone(),
        outcome: receipt.outcome.word(),
        ticket: receipt.case.ticket.as_ref().map(ToString::to_string),
        field: refusal
            .map(|refusal| refusal.field.clone())
            .filter(|field| !field.is_empty()),
        reason: refusal.map(|refusal| refusal.reason.clone()),
    }
}

async fn all(request: Asked) -> ApiResult {
    let is_alone = request.asked_for("ticket").is_none() && request.asked_for("source").is_none();
    match request.asked_for("state") {
        Some("failed") if is_alone => return of_writes(request, "failed").await,
        Some("failing") if is_alone => return of_writes(request, "failing").await,
        _ => {}
    }
    let list = match (
        request.asked_for("state").filter(|state| *state != "all"),
        request.asked_for("ticket"),
        request.asked_for("source"),
    ) {
        (None, None, None) => CardList::whole("case"),
        (Some("pending"), None, None) => CardList::whole("pending"),
        (Some("conflict"), None, None) => CardList::whole("conflict"),
        (Some(_), None, None) => CardList::whole("refused"),
        (None, Some(ticket), None) => CardList::of("ticket", ticket),
        (None, None, Some(source)) => CardList::below("source", source),
        _ => {
            return Err(Problem::malformed(
                "state",
                "only one of `state`, `ticket` and `source` can be given",
            ));
        }
    };
    let body = |stream: &str, card: &Case| (stream.to_owned(), card.clone());
    let (count, cards) = page_of(&request, &list, body).await?;
    let mut cases = Vec::with_capacity(cards.len());
    for (stream, card) in cards {
        cases.push(shown(&request, &stream, &card).await?);
    }
    Ok(ok(&CasePage { count, cases }))
}

/// Lists the cases with a write in the list `writes`, by the time at which the write was requested.
async fn of_writes(request: Asked, writes: &'static str) -> ApiResult {
    let list = CardList::whole(writes);
    let body = |_: &str, card: &Writeback| card.target.as_ref().map(|target| target.case.clone());
    let (count, streams) = page_of(&request, &list, body).await?;
    // A case with several records can be in the list several times.
    let mut cases = Vec::with_capacity(streams.len());
    let mut known = BTreeSet::new();
    for stream in streams.into_iter().flatten() {
        if !known.insert(stream.clone()) {
            continue;
        }
        let case = request.app.ledger.load::<Case>(&stream).await?.aggregate.0;
        cases.push(shown(&request, &stream, &case).await?);
    }
    Ok(ok(&CasePage { count, cases }))
}

fn stream(id: &str) -> Result<String, Problem> {
    stream_of("case", id).ok_or_else(|| missing(id))
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no case {}", quoted(id)))
}

async fn one(request: Asked, id: &str) -> ApiResult {
    let stream = stream(id)?;
    let case = request.app.ledger.load::<Case>(&stream).await?.aggregate.0;
    if case.digest.is_empty() {
        return Err(missing(id));
    }
    Ok(ok(&shown(&request, &stream, &case).await?))
}

async fn again(request: Asked, id: &str, meta: &Meta) -> ApiResult {
    let stream = stream(id)?;
    match process_again(&request.app, &stream, meta).await? {
        Some(case) => Ok(ok(&shown(&request, &stream, &case).await?)),
        None => Err(Problem::conflict(
            "only a case whose content was refused can be processed again",
        )),
    }
}

async fn rewrite(request: Asked, id: &str, meta: &Meta) -> ApiResult {
    let stream = stream(id)?;
    let case = request.app.ledger.load::<Case>(&stream).await?.aggregate.0;
    if case.digest.is_empty() {
        return Err(missing(id));
    }
    match write_again(&request.app, &stream, meta).await? {
        Some(case) => Ok(ok(&shown(&request, &stream, &case).await?)),
        None => Err(Problem::conflict(
            "only a case with a write that failed can be written again",
        )),
    }
}

async fn bind(request: Asked, id: &str, meta: &Meta) -> ApiResult {
    let (integration, record) = (
        request.required("integration")?,
        request.required("record")?,
    );
    let stream = stream(id)?;
    let case = request.app.ledger.load::<Case>(&stream).await?.aggregate.0;
    if case.digest.is_empty() {
        return Err(missing(id));
    }
    let linked = link(&request.app, &stream, &integration, &record, meta).await;
    let case = linked.map_err(not_linked)?;
    Ok(ok(&shown(&request, &stream, &case).await?))
}

async fn unbind(request: Asked, id: &str, meta: &Meta) -> ApiResult {
    let stream = stream(id)?;
    let case = request.app.ledger.load::<Case>(&stream).await?.aggregate.0;
    if case.digest.is_empty() {
        return Err(missing(id));
    }
    let integration = request.asked_for("integration");
    unlink(&request.app, &stream, integration, meta)
        .await
        .map_err(not_linked)?;
    Ok(done())
}

fn not_linked(error: NotLinked) -> Problem {
    match error {
        NotLinked::Record => Problem::malformed("/record", format!("`record` {error}")),
        NotLinked::Several(_) => {
            Problem::malformed("integration", format!("`integration` {error}"))
        }
        NotLinked::Integration { name, reason } => Problem::unknown(
            "/integration",
            format!("integration {} {reason}", quoted(&name)),
        ),
        NotLinked::Rejected(rejection) => Problem::conflict(rejection.to_string()),
        NotLinked::Technical(error) => error.into(),
    }
}

/// Returns what the desk writes to one record of a case.
async fn written(
    request: &Asked,
    stream: &str,
    case: &Case,
    integration: &str,
) -> Result<Option<WriteBack>, Problem> {
    let stream = stream_of_writes(stream, &case.source, integration);
    let loaded = request.app.ledger.load::<Writeback>(&stream).await?;
    let state = loaded.aggregate.0;
    let record = case.binding(integration).map(|binding| &binding.record);
    if state.target.as_ref().map(|target| &target.record) != record {
        // The desk wrote only to a former record.
        return Ok(None);
    }
    let attempts = state.own_attempts();
    let mut failures: Vec<WriteFailure> = Vec::with_capacity(state.failures.len());
    for failure in state.failures.iter().rev() {
        failures.push(WriteFailure {
            attempt: failure.attempt,
            reason: failure.reason.clone(),
        });
    }
    let is_failing = state.is_failing();
    let refusal = state.refusal().map(str::to_owned);
    let last = state.last.filter(|_| !state.is_open);
    let reason = match &last {
        Some(last) => not_empty(&last.reason).or(refusal),
        None if is_failing => {
            let newest = failures.first();
            newest.and_then(|newest| not_empty(&newest.reason))
        }
        None => None,
    };
    let (status, target) = state.requested.map_or((None, Value::Null), |requested| {
        (Some(requested.status), requested.target)
    });
    Ok(state.target.map(|_| WriteBack {
        status,
        target,
        waiting_notes: u32::try_from(state.notes.len()).unwrap_or(u32::MAX),
        failed_notes: u32::try_from(state.unwritten_notes.len()).unwrap_or(u32::MAX),
        outcome: last.as_ref().map(|last| last.outcome),
        reason,
        attempts,
        failures,
        next_attempt: state
            .is_open
            .then(|| time(&request.app, state.attempts.due)),
    }))
}

/// Returns a conflict with the names of people instead of their ids.
async fn conflict(
    request: &Asked,
    found: Option<&Conflicted>,
) -> Result<Option<Conflict>, Problem> {
    let Some(conflicted) = found else {
        return Ok(None);
    };
    Ok(Some(Conflict {
        field: conflicted.field.clone(),
        found: value(request, &conflicted.field, &conflicted.found).await?,
        wanted: value(request, &conflicted.field, &conflicted.wanted).await?,
    }))
}

/// Returns a value of a conflict for people. An assignee is a user name, or the digest of an unknown account.
async fn value(request: &Asked, field: &str, value: &str) -> Result<String, Problem> {
    if field != "assignee" || value.is_empty() || value.starts_with(ACCOUNT) {
        return Ok(value.to_owned());
    }
    Ok(request.app.people.name(&PersonId::from(value)).await?)
}

/// Returns the records of other integrations to which a case is bound or could not be bound.
async fn bindings(
    request: &Asked,
    stream: &str,
    case: &Case,
) -> Result<Vec<FurtherBinding>, Problem> {
    let mut shown = Vec::new();
    for (integration, binding) in &case.bindings {
        if *integration == case.source {
            continue;
        }
        shown.push(FurtherBinding {
            integration: integration.clone(),
            record: Some(binding.record.clone()),
            conflict: conflict(request, binding.conflicts.values().next_back()).await?,
            write_back: written(request, stream, case, integration).await?,
            field: None,
            reason: None,
        });
    }
    for (integration, refused) in &case.refused_bindings {
        shown.push(FurtherBinding {
            integration: integration.clone(),
            record: None,
            conflict: None,
            write_back: None,
            field: not_empty(&refused.field),
            reason: not_empty(&refused.reason),
        });
    }
    Ok(shown)
}

async fn shown(request: &Asked, stream: &str, case: &Case) -> Result<ShownCase, Problem> {
    let at = |at: Moment| time(&request.app, at);
    let state = if case.is_pending {
        CaseState::Pending
    } else if case.refusal.is_some() {
        CaseState::Refused
    } else if case.identified.is_some() {
        CaseState::Identified
    } else if case.is_skipped {
        CaseState::Skipped
    } else {
        CaseState::Bound
    };
    let refusal = case.refusal.as_ref();
    Ok(ShownCase {
        id: id_of(stream).to_owned(),
        source: case.source.clone(),
        record: case.record.clone(),
        state,
        ticket: case.ticket.as_ref().map(ToString::to_string),
        created_at: case.created.map(at),
        received_at: at(case.first_received),
        updated_at: at(case.received),
        source_lag_ms: case
            .created
            .map(|created| case.first_received.0 - created.0),
        counter: match case.mark {
            Some(UpdateMark::Counter(counter)) => Some(counter),
            _ => None,
        },
        changed_at: match case.mark {
            Some(UpdateMark::Time(time)) => Some(at(time)),
            _ => None,
        },
        updates: case.updates,
        mapping_version: (case.mapping > 0).then_some(case.mapping),
        field: refusal
            .map(|refusal| refusal.field.clone())
            .filter(|field| !field.is_empty()),
        reason: refusal.map(|refusal| refusal.reason.clone()),
        belongs_to: case.identified.as_deref().map(id_of).map(str::to_owned),
        status: not_empty(&case.status),
        conflict: conflict(request, case.conflict()).await?,
        write_back: written(request, stream, case, &case.source).await?,
        bindings: bindings(request, stream, case).await?,
    })
}
