//! Returns API calls of the service desk for display. Automatic workflow nodes send these calls to
//! other systems. Each call is returned with its attempts.

use axum::Json;
use axum::response::IntoResponse;
use domain::api_call::ApiCall;
use events::Moment;
use events::api_call::{ApiCallEvent, Exchange};
use infra::views::Range;
use serde_json::{Value, json};

use super::admin::reads_operations;
use super::problem::{ApiResult, Problem};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, segments,
};
use super::resource::{PAGE_SIZE_MAX, PAGES_MAX};
use super::tickets::found;
use super::time;
use crate::app::cards::read_card;

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/tickets/{sn}/api-calls",
        "lists the API calls of automatic nodes, with their attempts",
    ),
    list(
        "/v1/api-calls",
        "lists the API calls of all tickets, or only failed ones, newest first; for superusers",
        &[("state", Asks::Word(&["all", "failed"])), PAGE, PAGE_SIZE],
    ),
];

/// The operations on API calls, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        match *segments(&call.path) {
            ["tickets", sn, _] => of_ticket(call.request, sn).await,
            _ => all(call.request).await,
        }
    })
}

/// The largest number of API calls in the response for one ticket.
const CALLS_MAX: usize = 500;
/// Maximum number of attempts that a response contains from the beginning of an API call. The same
/// maximum applies to the attempts from the end of the call. A call for a long task can have
/// thousands of attempts, because the desk repeatedly reads the state of the task.
const ATTEMPTS_SHOWN: u8 = 25;

/// Lists the API calls of a ticket with their attempts, oldest first.
async fn of_ticket(request: Asked, sn: &str) -> ApiResult {
    let (sn, _) = found(&request, sn).await?;
    let (from, to) = (format!("{sn}|"), format!("{sn}|~"));
    let range = Range {
        view: "api_call",
        index: "ticket",
        from: &from,
        to: &to,
        descending: false,
        skip: 0,
        limit: CALLS_MAX,
    };
    let calls = shown(&request, range, true).await?;
    Ok(Json(json!({ "sn": sn, "calls": calls })).into_response())
}

/// Lists the API calls of all tickets, newest first. With the parameter `state=failed`, the list
/// contains only failed API calls.
async fn all(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let size = request.number("page_size", 20, PAGE_SIZE_MAX)?;
    let page = request.number("page", 1, PAGES_MAX)?;
    let index = match request.asked_for("state").unwrap_or("all") {
        "all" => "api_call",
        "failed" => "failed",
        other => {
            return Err(Problem::malformed(
                "state",
                format!("`state` must be one of all, failed, not {other}"),
            ));
        }
    };
    let count = request.app.views.count("api_call", index, "", "~").await?;
    let range = Range {
        view: "api_call",
        index,
        from: "",
        to: "~",
        descending: true,
        skip: (page - 1).saturating_mul(size),
        limit: size,
    };
    let calls = shown(&request, range, false).await?;
    Ok(
        Json(json!({ "count": count, "page": page, "page_size": size, "calls": calls }))
            .into_response(),
    )
}

async fn shown(
    request: &Asked,
    range: Range<'_>,
    with_attempts: bool,
) -> Result<Vec<Value>, Problem> {
    let app = &request.app;
    let mut calls = Vec::new();
    for entry in app.views.range(range).await? {
        let Some(document) = app.views.get("api_call", &entry.key).await? else {
            continue;
        };
        let call: ApiCall = read_card(&app.ledger, &entry.key, &document).await?;
        let Some(requested) = &call.requested else {
            continue;
        };
        let completed = call.answered.as_ref();
        let mut shown = json!({
            "id": entry.key, "sn": requested.ticket, "node": requested.node, "name": requested.name, "round": requested.round,
            "retried": requested.attempt - 1, "at": time(app, requested.due), "attempts": call.attempts.made, "step": call.step,
            "task": call.task, "closed": call.closed, "status": completed.and_then(|completed| completed.status),
            "succeeded": completed.map(|completed| completed.succeeded), "reason": completed.map(|completed| completed.reason.clone()),
        });
        if with_attempts {
            shown["log"] = attempts(request, &entry.key, document.sequence)
                .await?
                .into();
        }
        calls.push(shown);
    }
    Ok(calls)
}

/// Returns the attempts of one API call as JSON, oldest first. `stream` is the event stream of the
/// call, and `last` is the sequence number of the last event in this stream. If the call has many
/// attempts, the result omits the attempts in the middle.
async fn attempts(request: &Asked, stream: &str, last: i64) -> Result<Vec<Value>, Problem> {
    let app = &request.app;
    let store = &app.ledger.store;
    let mut commits = store.forward(stream, 1, ATTEMPTS_SHOWN.into()).await?;
    let next = commits.last().map_or(1, infra::store::Commit::next);
    if next <= last {
        commits.extend(
            store
                .forward(
                    stream,
                    next.max(last + 1 - i64::from(ATTEMPTS_SHOWN)),
                    ATTEMPTS_SHOWN.into(),
                )
                .await?,
        );
    }
    let mut history = Vec::new();
    for commit in &commits {
        history.extend(app.ledger.envelopes::<ApiCallEvent>(commit).await?);
    }
    let mut log = Vec::new();
    for envelope in history {
        let log_entry = |attempt: u32,
                         exchange: Option<&Exchange>,
                         outcome: &str,
                         details: Value| {
            json!({
                "attempt": attempt, "at": time(app, envelope.at), "outcome": outcome, "to": exchange.map(|exchange| exchange.target.clone()),
                "duration_ms": exchange.map(|exchange| exchange.duration_ms), "status": details["status"], "reason": details["reason"], "next": details["next"],
            })
        };
        let next = |at: Moment| time(app, at);
        match &envelope.event {
            ApiCallEvent::AttemptFailed(failed) => {
                let details = json!({ "status": failed.status, "reason": failed.reason, "next": next(failed.due) });
                log.push(log_entry(
                    failed.attempt,
                    failed.exchange.as_ref(),
                    "no_answer",
                    details,
                ));
            }
            ApiCallEvent::PollScheduled(poll) => {
                log.push(log_entry(
                    poll.attempt,
                    poll.exchange.as_ref(),
                    "under_way",
                    json!({ "reason": poll.step, "next": next(poll.due) }),
                ));
            }
            ApiCallEvent::Completed(completed) => {
                let outcome = if completed.succeeded {
                    "succeeded"
                } else {
                    "failed"
                };
                log.push(log_entry(
                    completed.attempt,
                    completed.exchange.as_ref(),
                    outcome,
                    json!({ "status": completed.status, "reason": completed.reason }),
                ));
            }
            ApiCallEvent::Requested(_)
            | ApiCallEvent::AttemptStarted(_)
            | ApiCallEvent::Closed(_) => {}
        }
    }
    Ok(log)
}
