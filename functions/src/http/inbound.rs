//! Receives messages from other systems at `/callbacks/{source}/{secret}`. If the secret and the signature are valid,
//! the desk stores the message before it sends the response. A worker of the queue `sync` processes
//! the message later. A GET request only checks the secret of a callback address.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use infra::Kind;
use serde_json::json;

use super::body::{self, NotRead};
use super::channel_messages;
use crate::App;
use crate::app::itsm::callbacks::{self, NotStored};
use crate::app::itsm::sources::{self, NotAccepted};

/// The largest accepted size of a callback of BlueKing ITSM, in bytes. A usual one has less than 2 KiB.
const CALLBACK_BYTES_MAX: usize = 64 << 10;
/// The largest accepted size of a message of a source of cases, in bytes. The whole message is in one event.
const MESSAGE_BYTES_MAX: usize = 128 << 10;

/// Returns the router for messages from other systems. The cloud function `inbound` uses this
/// router.
pub fn router(app: App) -> Router {
    routes().with_state(app)
}

/// Returns the routes for messages from other systems.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/callbacks/{source}/{secret}", post(receive).get(probe))
        .merge(channel_messages::routes())
}

/// Stores a message from another system. The response has the fixed format that BlueKing ITSM
/// expects from a callback receiver (reference/bk-itsm.md 10).
async fn receive(
    State(app): State<App>,
    Path((source, secret)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let received = if source == callbacks::BK_ITSM {
        callback(&app, &secret, body).await
    } else {
        message(&app, &source, &secret, &headers, body).await
    };
    match received {
        Ok(()) => answer(StatusCode::OK, ""),
        Err(Refused::Answer(status, reason)) => answer(status, &reason),
        Err(Refused::Technical(error)) if matches!(error.kind, Kind::Limited { .. }) => {
            limited(&error)
        }
        Err(Refused::Technical(error)) => failed(&error),
    }
}

/// Returns whether the secret of a callback address is valid, and stores nothing. `ledgerdesk doctor` sends this request
/// to the public address of the desk.
async fn probe(State(app): State<App>, Path((source, secret)): Path<(String, String)>) -> Response {
    match app.token_keys().await {
        Ok(keys) => {
            let is_valid = source == callbacks::BK_ITSM
                && keys
                    .first(|key| callbacks::application_of(key, &secret))
                    .is_some();
            if is_valid {
                answer(StatusCode::OK, "")
            } else {
                answer(StatusCode::FORBIDDEN, WRONG_SECRET)
            }
        }
        Err(error) => {
            tracing::error!(%error, "cannot check the secret of a callback address");
            answer(
                StatusCode::SERVICE_UNAVAILABLE,
                "the secret was not checked; send the request again",
            )
        }
    }
}

/// The reason why a callback with a wrong secret is rejected.
const WRONG_SECRET: &str = "the secret of the callback is wrong";

/// The reason why a message was not accepted.
enum Refused {
    Answer(StatusCode, String),
    Technical(infra::Error),
}

impl From<infra::Error> for Refused {
    fn from(error: infra::Error) -> Self {
        Self::Technical(error)
    }
}

impl From<NotRead> for Refused {
    fn from(reason: NotRead) -> Self {
        Self::Answer(reason.status(), reason.to_string())
    }
}

impl From<NotAccepted> for Refused {
    fn from(reason: NotAccepted) -> Self {
        let status = match &reason {
            NotAccepted::Unknown => StatusCode::NOT_FOUND,
            NotAccepted::Unsigned(_) => StatusCode::FORBIDDEN,
            NotAccepted::Unreadable(_) => StatusCode::BAD_REQUEST,
            NotAccepted::Technical(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        match reason {
            NotAccepted::Technical(error) => Self::Technical(error),
            other => Self::Answer(status, other.to_string()),
        }
    }
}

/// Stores a callback about an application (a ticket in an external ITSM).
async fn callback(app: &App, secret: &str, body: Body) -> Result<(), Refused> {
    let keys = app.token_keys().await?;
    let Some(application) = keys.first(|key| callbacks::application_of(key, secret)) else {
        return Err(Refused::Answer(StatusCode::FORBIDDEN, WRONG_SECRET.into()));
    };
    let body = body::read(body, CALLBACK_BYTES_MAX).await?;
    match callbacks::store(app, application, &body).await {
        Ok(None) => Ok(()),
        Ok(Some(problem)) => Err(Refused::Answer(StatusCode::BAD_REQUEST, problem)),
        Err(NotStored::Technical(error)) => Err(Refused::Technical(error)),
        Err(reason @ NotStored::Sender) => {
            Err(Refused::Answer(StatusCode::FORBIDDEN, reason.to_string()))
        }
    }
}

/// Stores a message of a source of cases.
async fn message(
    app: &App,
    source: &str,
    secret: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Refused> {
    let defined = sources::addressed(app, source, secret).await?;
    let body = body::read(body, MESSAGE_BYTES_MAX).await?;
    let headers: Vec<(String, String)> = headers
        .iter()
        .filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        })
        .collect();
    Ok(sources::accept(app, &defined, &headers, &body).await?)
}

fn limited(error: &infra::Error) -> Response {
    let seconds = match error.kind {
        Kind::Limited { retry_after_s } => retry_after_s,
        _ => 1,
    };
    let mut response = answer(StatusCode::TOO_MANY_REQUESTS, &error.to_string());
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, seconds.into());
    response
}

fn failed(error: &infra::Error) -> Response {
    tracing::error!(%error, "cannot store an inbound message");
    answer(
        StatusCode::SERVICE_UNAVAILABLE,
        "the message was not stored; send it again",
    )
}

fn answer(status: StatusCode, message: &str) -> Response {
    let is_stored = status == StatusCode::OK;
    let body = json!({
        "result": is_stored, "data": null, "code": if is_stored { 0 } else { i32::from(status.as_u16()) }, "message": message,
    });
    (status, Json(body)).into_response()
}
