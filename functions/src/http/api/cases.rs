//! Handles cases in the API `/v1`. A case is a record of an external system for which the desk
//! opens a ticket. Apps (client programs) send the records, and superusers read the cases.

use axum::Json;
use axum::http::Method;
use axum::response::IntoResponse;
use domain::itsm::case::Case;
use events::case::UpdateMark;
use events::{Meta, Moment, PersonId};
use serde_json::{Value, json};

use super::admin::{CardList, changes_configuration, page_of, reads_operations, stream_of};
use super::problem::{ApiResult, Problem};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, post, segments,
};
use super::shape::{Member, Shape, quoted, required};
use super::time;
use crate::app::itsm::cases::{
    BATCH_MAX, CaseError, RECORD_BYTES_MAX, Receipt, id_of, process_again, receive,
};

const SOURCE: Member = required("source", Shape::Text);
const CASES: Member = required("cases", Shape::List(&Shape::Map(&Shape::Any)));

const OPERATIONS: &[Operation] = &[
    post(
        "/v1/cases",
        "receives up to 100 records of a source; each record has one result",
        &[SOURCE, CASES],
    ),
    list(
        "/v1/cases",
        "lists cases by the time of their arrival, latest first; for superusers",
        &[
            ("state", Asks::Word(&["all", "pending", "refused"])),
            ("ticket", Asks::Text),
            ("source", Asks::Text),
            PAGE,
            PAGE_SIZE,
        ],
    ),
    get("/v1/cases/{case}", "shows a case"),
    post(
        "/v1/cases/{case}/process",
        "processes the refused content of a case again; for superusers",
        &[],
    ),
];

/// The operations on cases, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
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
    let too_large = records
        .iter()
        .position(|record| record.to_string().len() > RECORD_BYTES_MAX);
    if let Some(at) = too_large {
        return Err(Problem::malformed(
            &format!("/cases/{at}"),
            format!("`cases/{at}` must have at most {RECORD_BYTES_MAX} bytes"),
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
    let results: Vec<Value> = receipts.iter().map(result).collect();
    Ok(Json(json!({ "results": results })).into_response())
}

/// Returns the result of processing one record of an external system. The result contains the id of
/// the case and a word for the outcome. It also contains the ticket, or the reason why the record
/// was rejected.
fn result(receipt: &Receipt) -> Value {
    let refusal = receipt.case.refusal.as_ref();
    json!({
        "case": id_of(&receipt.stream),
        "record": receipt.case.record,
        "outcome": receipt.outcome.word(),
        "ticket": receipt.case.ticket,
        "field": refusal.map(|refusal| &refusal.field).filter(|field| !field.is_empty()),
        "reason": refusal.map(|refusal| &refusal.reason),
    })
}

async fn all(request: Asked) -> ApiResult {
    let list = match (
        request.asked_for("state").filter(|state| *state != "all"),
        request.asked_for("ticket"),
        request.asked_for("source"),
    ) {
        (None, None, None) => CardList::whole("case"),
        (Some("pending"), None, None) => CardList::whole("pending"),
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
    let body = |stream: &str, card: &Case| shown(&request, stream, card);
    page_of(&request, &list, "cases", body).await
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
    Ok(Json(shown(&request, &stream, &case)).into_response())
}

async fn again(request: Asked, id: &str, meta: &Meta) -> ApiResult {
    let stream = stream(id)?;
    match process_again(&request.app, &stream, meta).await? {
        Some(case) => Ok(Json(shown(&request, &stream, &case)).into_response()),
        None => Err(Problem::conflict(
            "only a case whose content was refused can be processed again",
        )),
    }
}

fn shown(request: &Asked, stream: &str, case: &Case) -> Value {
    let at = |at: Moment| time(&request.app, at);
    let state = if case.is_pending {
        "pending"
    } else if case.refusal.is_some() {
        "refused"
    } else if case.identified.is_some() {
        "identified"
    } else {
        "bound"
    };
    json!({
        "id": id_of(stream),
        "source": case.source,
        "record": case.record,
        "state": state,
        "ticket": case.ticket,
        "created_at": case.created.map(at),
        "received_at": at(case.first_received),
        "updated_at": at(case.received),
        "source_lag_ms": case.created.map(|created| case.first_received.0 - created.0),
        "counter": match case.mark { Some(UpdateMark::Counter(counter)) => Some(counter), _ => None },
        "changed_at": match case.mark { Some(UpdateMark::Time(time)) => Some(at(time)), _ => None },
        "updates": case.updates,
        "mapping_version": (case.mapping > 0).then_some(case.mapping),
        "field": case.refusal.as_ref().map(|refusal| &refusal.field).filter(|field| !field.is_empty()),
        "reason": case.refusal.as_ref().map(|refusal| &refusal.reason),
        "belongs_to": case.identified.as_deref().map(id_of),
    })
}
