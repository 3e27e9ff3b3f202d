//! The API call log: every call of automatic nodes, and of each call every attempt.

use axum::Json;
use axum::response::IntoResponse;
use domain::call::Call;
use events::Moment;
use events::call::{CallEvent, Made};
use infra::views::Range;
use serde_json::{Value, json};

use super::admin::superuser;
use super::asked::Asked;
use super::operations::{PAGE_SIZE_MAX, PAGES_MAX};
use super::problem::{Answer, Problem};
use super::tickets::found;
use super::time;
use crate::stream::follow::read_card;

/// Calls of one ticket in one answer.
const CALLS_MAX: usize = 500;
/// Attempts that are shown of one call from its beginning, and as many from its end: a task is asked after thousands of times.
const ATTEMPTS_SHOWN: u8 = 25;

/// Every call of a ticket, oldest first, with its attempts.
pub(super) async fn of_ticket(asked: Asked, sn: &str) -> Answer {
    let (sn, _) = found(&asked, sn).await?;
    let (from, to) = (format!("{sn}|"), format!("{sn}|~"));
    let range = Range { view: "call", index: "ticket", from: &from, to: &to, descending: false, skip: 0, limit: CALLS_MAX };
    let calls = shown(&asked, range, true).await?;
    Ok(Json(json!({ "sn": sn, "calls": calls })).into_response())
}

/// Calls of all tickets, newest first; with `state=failed` those that failed.
pub(super) async fn all(asked: Asked) -> Answer {
    superuser(&asked).await?;
    let size = asked.number("page_size", 20, PAGE_SIZE_MAX)?;
    let page = asked.number("page", 1, PAGES_MAX)?;
    let index = match asked.asked_for("state").unwrap_or("all") {
        "all" => "call",
        "failed" => "failed",
        other => return Err(Problem::malformed("state", format!("{other} is none of all, failed"))),
    };
    let count = asked.app.views.count("call", index, "", "~").await?;
    let range = Range { view: "call", index, from: "", to: "~", descending: true, skip: (page - 1).saturating_mul(size), limit: size };
    let calls = shown(&asked, range, false).await?;
    Ok(Json(json!({ "count": count, "page": page, "page_size": size, "calls": calls })).into_response())
}

async fn shown(asked: &Asked, range: Range<'_>, with_attempts: bool) -> Result<Vec<Value>, Problem> {
    let app = &asked.app;
    let mut calls = Vec::new();
    for entry in app.views.range(range).await? {
        let Some(document) = app.views.get("call", &entry.key).await? else { continue };
        let call: Call = read_card(&app.ledger, &entry.key, &document).await?;
        let Some(requested) = &call.requested else { continue };
        let answered = call.answered.as_ref();
        let mut shown = json!({
            "id": entry.key, "sn": requested.ticket, "node": requested.node, "name": requested.name, "round": requested.round,
            "retried": requested.attempt - 1, "at": time(app, requested.due), "attempts": call.attempts, "step": call.step,
            "task": call.task, "closed": call.closed, "status": answered.and_then(|answered| answered.status),
            "succeeded": answered.map(|answered| answered.succeeded), "reason": answered.map(|answered| answered.reason.clone()),
        });
        if with_attempts {
            shown["log"] = attempts(asked, &entry.key, document.sequence).await?.into();
        }
        calls.push(shown);
    }
    Ok(calls)
}

/// What each attempt of a call came to, oldest first; in the middle of many, some are left out.
async fn attempts(asked: &Asked, stream: &str, last: i64) -> Result<Vec<Value>, Problem> {
    let app = &asked.app;
    let store = &app.ledger.store;
    let mut commits = store.forward(stream, 1, ATTEMPTS_SHOWN.into()).await?;
    let next = commits.last().map_or(1, infra::store::Commit::next);
    if next <= last {
        commits.extend(store.forward(stream, next.max(last + 1 - i64::from(ATTEMPTS_SHOWN)), ATTEMPTS_SHOWN.into()).await?);
    }
    let mut history = Vec::new();
    for commit in &commits {
        history.extend(app.ledger.envelopes::<CallEvent>(commit).await?);
    }
    let mut log = Vec::new();
    for envelope in history {
        let line = |attempt: u32, made: Option<&Made>, outcome: &str, more: Value| {
            json!({
                "attempt": attempt, "at": time(app, envelope.at), "outcome": outcome, "to": made.map(|made| made.to.clone()),
                "took_ms": made.map(|made| made.took_ms), "status": more["status"], "reason": more["reason"], "next": more["next"],
            })
        };
        let next = |at: Moment| time(app, at);
        match &envelope.event {
            CallEvent::AttemptFailed(failed) => {
                let more = json!({ "status": failed.status, "reason": failed.reason, "next": next(failed.next) });
                log.push(line(failed.attempt, failed.made.as_ref(), "no_answer", more));
            }
            CallEvent::Waiting(waiting) => {
                log.push(line(waiting.attempt, waiting.made.as_ref(), "under_way", json!({ "reason": waiting.step, "next": next(waiting.next) })));
            }
            CallEvent::Answered(answered) => {
                let outcome = if answered.succeeded { "succeeded" } else { "failed" };
                log.push(line(answered.attempt, answered.made.as_ref(), outcome, json!({ "status": answered.status, "reason": answered.reason })));
            }
            CallEvent::Requested(_) | CallEvent::Began(_) | CallEvent::Closed(_) => {}
        }
    }
    Ok(log)
}
