//! Returns API calls of the service desk for display. Automatic workflow nodes send these calls to
//! other systems. Each call is returned with its attempts.

use domain::api_call::ApiCall;
use events::api_call::{ApiCallEvent, Exchange};
use events::app::Scope;
use infra::Error;
use infra::store::Commit;
use infra::views::Range;
use serde::Serialize;

use super::admin::reads_operations;
use super::problem::{ApiResult, Problem};
use super::reply::{Time, ok, time};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, segments,
};
use super::resource::{PAGE_SIZE_MAX, PAGES_MAX};
use super::tickets::found;
use crate::App;
use crate::app::cards::read_card;

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/tickets/{sn}/api-calls",
        "lists the API calls of automatic nodes, with their attempts",
    )
    .returning::<TicketApiCalls>(),
    list(
        "/v1/api-calls",
        "lists the API calls of all tickets, or only failed ones, newest first; for superusers",
        &[("state", Asks::Word(&["all", "failed"])), PAGE, PAGE_SIZE],
    )
    .returning::<ApiCallPage>(),
];

/// The API calls of one ticket, oldest first.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TicketApiCalls {
    sn: String,
    calls: Vec<ShownApiCall>,
}

/// One page of the API calls of all tickets, newest first.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ApiCallPage {
    count: u64,
    page: usize,
    page_size: usize,
    calls: Vec<ShownApiCall>,
}

/// One API call of an automatic node.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ApiCall"))]
struct ShownApiCall {
    id: String,
    sn: String,
    node: i64,
    /// The name of the node.
    name: String,
    /// The number of times that the ticket has entered the node.
    round: u32,
    /// The number of times that a person repeated the work of the node.
    retried: u32,
    at: Time,
    attempts: u32,
    step: String,
    /// The id of the task in the other system, or an empty text.
    task: String,
    closed: bool,
    /// The HTTP status of the last response.
    status: Option<u16>,
    succeeded: Option<bool>,
    reason: Option<String>,
    /// The attempts, oldest first. A long list omits the attempts in the middle. The member is absent
    /// in the list of all tickets.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Vec<ShownAttempt>>,
}

/// One attempt of an API call.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "ApiCallAttempt")
)]
struct ShownAttempt {
    attempt: u32,
    at: Time,
    outcome: AttemptOutcome,
    /// The receiver of the request, without its path.
    to: Option<String>,
    duration_ms: Option<i64>,
    status: Option<u16>,
    reason: Option<String>,
    /// The time of the next attempt.
    next: Option<Time>,
}

/// The outcome of one attempt.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum AttemptOutcome {
    NoAnswer,
    UnderWay,
    Succeeded,
    Failed,
}

/// The operations on API calls, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
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
/// Maximum number of attempts that a response contains from the beginning of a stream of attempts. The
/// same maximum applies to the attempts from its end. An API call for a long task can have thousands of
/// attempts, because the desk repeatedly reads the state of the task.
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
    Ok(ok(&TicketApiCalls {
        sn: sn.to_string(),
        calls,
    }))
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
    Ok(ok(&ApiCallPage {
        count,
        page,
        page_size: size,
        calls,
    }))
}

async fn shown(
    request: &Asked,
    range: Range<'_>,
    with_attempts: bool,
) -> Result<Vec<ShownApiCall>, Problem> {
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
        let log = if with_attempts {
            Some(attempts(request, &entry.key, document.sequence).await?)
        } else {
            None
        };
        calls.push(ShownApiCall {
            id: entry.key.clone(),
            sn: requested.ticket.to_string(),
            node: requested.node.0,
            name: requested.name.clone(),
            round: requested.round,
            retried: requested.attempt - 1,
            at: time(app, requested.due),
            attempts: call.attempts.made,
            step: call.step.clone(),
            task: call.task.clone(),
            closed: call.closed,
            status: completed.and_then(|completed| completed.status),
            succeeded: completed.map(|completed| completed.succeeded),
            reason: completed.map(|completed| completed.reason.clone()),
            log,
        });
    }
    Ok(calls)
}

/// Returns the first and the last commits of a stream with attempts, oldest first. `last` is the sequence
/// number of the last event in this stream. If the stream has many commits, the result omits the commits in
/// the middle.
pub(super) async fn ends_of(app: &App, stream: &str, last: i64) -> Result<Vec<Commit>, Error> {
    let store = &app.ledger.store;
    let mut commits = store.forward(stream, 1, ATTEMPTS_SHOWN.into()).await?;
    let next = commits.last().map_or(1, Commit::next);
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
    Ok(commits)
}

/// Returns the attempts of one API call, oldest first. `stream` is the event stream of the call, and `last`
/// is the sequence number of the last event in this stream. See [`ends_of`] for a call with many attempts.
async fn attempts(request: &Asked, stream: &str, last: i64) -> Result<Vec<ShownAttempt>, Problem> {
    let app = &request.app;
    let commits = ends_of(app, stream, last).await?;
    let mut history = Vec::new();
    for commit in &commits {
        history.extend(app.ledger.envelopes::<ApiCallEvent>(commit).await?);
    }
    let mut log = Vec::new();
    for envelope in history {
        let entry = |attempt: u32, exchange: Option<&Exchange>, outcome| ShownAttempt {
            attempt,
            at: time(app, envelope.at),
            outcome,
            to: exchange.map(|exchange| exchange.target.clone()),
            duration_ms: exchange.map(|exchange| exchange.duration_ms),
            status: None,
            reason: None,
            next: None,
        };
        match &envelope.event {
            ApiCallEvent::AttemptFailed(failed) => log.push(ShownAttempt {
                status: failed.status,
                reason: Some(failed.reason.clone()),
                next: Some(time(app, failed.due)),
                ..entry(
                    failed.attempt,
                    failed.exchange.as_ref(),
                    AttemptOutcome::NoAnswer,
                )
            }),
            ApiCallEvent::PollScheduled(poll) => log.push(ShownAttempt {
                reason: Some(poll.step.clone()),
                next: Some(time(app, poll.due)),
                ..entry(
                    poll.attempt,
                    poll.exchange.as_ref(),
                    AttemptOutcome::UnderWay,
                )
            }),
            ApiCallEvent::Completed(completed) => {
                let outcome = if completed.succeeded {
                    AttemptOutcome::Succeeded
                } else {
                    AttemptOutcome::Failed
                };
                log.push(ShownAttempt {
                    status: completed.status,
                    reason: Some(completed.reason.clone()),
                    ..entry(completed.attempt, completed.exchange.as_ref(), outcome)
                });
            }
            ApiCallEvent::Requested(_)
            | ApiCallEvent::AttemptStarted(_)
            | ApiCallEvent::Closed(_) => {}
        }
    }
    Ok(log)
}
