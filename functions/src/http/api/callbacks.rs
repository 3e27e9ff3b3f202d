//! Handles callbacks in the API `/v1`. A callback is an HTTP request that reports the end or the status of a ticket
//! to the app that opened the ticket. Callers read callbacks with their attempts, and request new attempts.

use axum::http::Method;
use domain::callback::{Callback, Command, Progress};
use domain::permission::Operation as Permission;
use domain::views::callback_card::CallbackCard;
use events::app::Scope;
use events::callback::{CallbackEvent, Requested};
use events::{AppCode, Moment, PersonId};
use infra::ledger::NoContext;
use infra::{CommandEnvelope, ExecuteError};
use serde::Serialize;

use super::admin::{CardList, page_of, reads_operations, stream_of};
use super::api_calls::ends_of;
use super::problem::{ApiResult, Problem};
use super::reply::{Time, ok, time};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, post, segments,
};
use super::shape::quoted;
use super::tickets::found;
use crate::app::tickets;

const OPERATIONS: &[Operation] = &[
    list(
        "/v1/callbacks",
        "lists callbacks, the latest ticket numbers first: of a ticket, failing ones of an app, or all for superusers",
        &[
            ("state", Asks::Word(&["all", "failing"])),
            ("ticket", Asks::Text),
            ("app", Asks::Text),
            PAGE,
            PAGE_SIZE,
        ],
    )
    .returning::<CallbackPage>(),
    get(
        "/v1/callbacks/{callback}",
        "shows a callback with its attempts; for callers who may read the ticket",
    )
    .returning::<CallbackDetail>(),
    post(
        "/v1/callbacks/{callback}/resend",
        "starts a new round of attempts to send a callback; for managers of the ticket, and for the receiving app",
        &[],
    )
    .returning::<CallbackDetail>(),
];

/// One page of the callbacks.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CallbackPage {
    count: u64,
    callbacks: Vec<ShownCallback>,
}

/// A callback: the report about the end or the status of one ticket to one receiver.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Callback"))]
struct ShownCallback {
    id: String,
    ticket: String,
    /// The app that receives the callback. Null if the ticket belongs to no app.
    app: Option<String>,
    /// The host of the receiver. The whole address can contain secrets, so no response contains it.
    host: String,
    /// The id of the event that caused the callback.
    cause: String,
    state: CallbackState,
    attempts: u32,
    /// The time of the next attempt. Null if no attempt follows.
    next_attempt: Option<Time>,
    /// Whether the receiver has requested the result of the ticket from the desk.
    is_collected: bool,
}

/// The state of a callback.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum CallbackState {
    /// The receiver has not accepted the callback yet. Another attempt follows.
    Open,
    /// The receiver accepted the callback.
    Succeeded,
    /// All attempts failed.
    Failed,
}

/// A callback with its attempts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CallbackDetail {
    #[serde(flatten)]
    callback: ShownCallback,
    requested_at: Time,
    /// The attempts, oldest first. A long list omits the attempts in the middle.
    log: Vec<CallbackAttempt>,
}

/// One attempt to send a callback.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CallbackAttempt {
    attempt: u32,
    at: Time,
    succeeded: bool,
    /// The HTTP status of the response. Null if no response arrived.
    status: Option<u16>,
    /// The reason of the failure.
    reason: Option<String>,
    /// The time of the next attempt.
    next: Option<Time>,
}

/// The operations on callbacks, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match *segments(&call.path) {
            [_, id, _] if call.method == Method::POST => resend(request, id).await,
            [_, id] => {
                let (stream, callback) = allowed(&request, id).await?;
                detail(&request, &stream, &callback).await
            }
            _ => all(request).await,
        }
    })
}

async fn all(request: Asked) -> ApiResult {
    let is_failing = request.asked_for("state") == Some("failing");
    let list = match (request.asked_for("ticket"), request.asked_for("app")) {
        (Some(ticket), None) if !is_failing => {
            found(&request, ticket).await?;
            CardList::of("ticket", ticket)
        }
        (None, Some(code)) if is_failing => {
            if code != request.caller.app.as_str() || request.caller.user.is_some() {
                reads_operations(&request).await?;
            }
            CardList::below("failing", code)
        }
        (None, None) => {
            reads_operations(&request).await?;
            CardList::whole(if is_failing { "failing" } else { "ticket" })
        }
        (Some(_), _) => {
            return Err(Problem::malformed(
                "ticket",
                "`ticket` cannot be given with `app` or with `state` failing",
            ));
        }
        (None, Some(_)) => {
            return Err(Problem::malformed(
                "app",
                "`app` can be given only with `state` failing",
            ));
        }
    };
    let body = |stream: &str, card: &CallbackCard| {
        card.requested()
            .map(|requested| shown(&request, stream, &card.callback, requested))
    };
    let (count, callbacks) = page_of(&request, &list, body).await?;
    Ok(ok(&CallbackPage {
        count,
        callbacks: callbacks.into_iter().flatten().collect(),
    }))
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no callback {}", quoted(id)))
}

/// A loaded callback with its request.
struct Found {
    state: Callback,
    requested: Requested,
    /// The sequence number of the last event.
    last: i64,
}

/// Loads a callback. Returns an error if it does not exist, or if the caller may not read its ticket. The
/// receiving app may read its callbacks.
async fn allowed(request: &Asked, id: &str) -> Result<(String, Found), Problem> {
    let stream = stream_of("callback", id).ok_or_else(|| missing(id))?;
    let loaded = request.app.ledger.load::<Callback>(&stream).await?;
    let last = loaded.next - 1;
    let state = loaded.aggregate.0;
    let requested = state.requested.clone().ok_or_else(|| missing(id))?;
    if !is_receiver(request, requested.app.as_ref()) {
        found(request, requested.ticket.as_str()).await?;
    }
    let found = Found {
        state,
        requested,
        last,
    };
    Ok((stream, found))
}

/// Returns whether the caller is the app that receives a callback, and acts for no user.
fn is_receiver(request: &Asked, app: Option<&AppCode>) -> bool {
    request.caller.user.is_none() && app == Some(&request.caller.app)
}

async fn resend(request: Asked, id: &str) -> ApiResult {
    let (stream, callback) = allowed(&request, id).await?;
    let app = &request.app;
    let actor = if is_receiver(&request, callback.requested.app.as_ref()) {
        PersonId::system()
    } else {
        let actor = app.people.find(request.user()?).await?;
        let ticket = &callback.requested.ticket;
        let card = tickets::card(app, ticket).await?;
        let card = card.ok_or_else(|| missing(id))?;
        if !tickets::may(app, Permission::ManageTicket, &card.ticket, &actor).await? {
            let detail = format!(
                "only a manager of ticket {ticket} or the receiving app may send this callback again"
            );
            return Err(Problem::denied(Permission::ManageTicket, detail));
        }
        actor
    };
    let envelope = CommandEnvelope {
        stream: stream.clone(),
        command_id: app.ledger.fresh_id(),
        meta: request.meta(actor),
    };
    let command = Command::Resend(app.ledger.clock.now());
    match app
        .ledger
        .execute::<Callback>(&envelope, &command, &NoContext)
        .await
    {
        Ok(outcome) => tickets::await_card(app, outcome.position).await,
        Err(ExecuteError::Rejected(rejection)) => {
            return Err(Problem::conflict(rejection.to_string()));
        }
        Err(ExecuteError::Technical(error)) => return Err(error.into()),
    }
    let (stream, callback) = allowed(&request, id).await?;
    detail(&request, &stream, &callback).await
}

fn shown(
    request: &Asked,
    stream: &str,
    callback: &Callback,
    requested: &Requested,
) -> ShownCallback {
    ShownCallback {
        id: stream.trim_start_matches("callback-").to_owned(),
        ticket: requested.ticket.to_string(),
        app: requested.app.as_ref().map(|app| app.as_str().to_owned()),
        host: requested.callback.host.clone(),
        cause: requested.cause.clone(),
        state: match callback.progress {
            Progress::Open => CallbackState::Open,
            Progress::Succeeded => CallbackState::Succeeded,
            Progress::Failed => CallbackState::Failed,
        },
        attempts: callback.attempts.made,
        next_attempt: callback
            .is_open()
            .then(|| time(&request.app, callback.attempts.due)),
        is_collected: callback.collected,
    }
}

async fn detail(request: &Asked, stream: &str, found: &Found) -> ApiResult {
    let app = &request.app;
    let mut log = Vec::new();
    let mut requested_at = Moment::default();
    for commit in ends_of(app, stream, found.last).await? {
        for envelope in app.ledger.envelopes::<CallbackEvent>(&commit).await? {
            let entry = |attempt| CallbackAttempt {
                attempt,
                at: time(app, envelope.at),
                succeeded: false,
                status: None,
                reason: None,
                next: None,
            };
            match &envelope.event {
                CallbackEvent::Requested(_) => requested_at = envelope.at,
                CallbackEvent::AttemptFailed(failed) => log.push(CallbackAttempt {
                    status: failed.status,
                    reason: Some(failed.reason.clone()),
                    next: Some(time(app, failed.due)),
                    ..entry(failed.attempt)
                }),
                CallbackEvent::Failed(failed) => log.push(CallbackAttempt {
                    status: failed.status,
                    reason: Some(failed.reason.clone()),
                    ..entry(failed.attempt)
                }),
                CallbackEvent::Succeeded(succeeded) => log.push(CallbackAttempt {
                    succeeded: true,
                    status: Some(succeeded.status),
                    ..entry(succeeded.attempt)
                }),
                CallbackEvent::Collected(_) | CallbackEvent::ResendRequested(_) => {}
            }
        }
    }
    Ok(ok(&CallbackDetail {
        callback: shown(request, stream, &found.state, &found.requested),
        requested_at: time(app, requested_at),
        log,
    }))
}
