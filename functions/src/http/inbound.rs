//! Receives messages from other systems at `/callbacks/{source}/{secret}`. If the secret is valid,
//! the desk stores the message before it sends the response. A worker of the queue `sync` processes
//! the message later.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;

use super::body::{self, NotRead};
use crate::App;
use crate::app::itsm::callbacks;

/// The largest accepted size of a message, in bytes. A callback of BlueKing ITSM has less than 2
/// KiB.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Returns the router for messages from other systems. The cloud function `inbound` uses this
/// router.
pub fn router(app: App) -> Router {
    routes().with_state(app)
}

/// Returns the routes for messages from other systems.
pub(super) fn routes() -> Router<App> {
    Router::new().route("/callbacks/{source}/{secret}", post(receive))
}

/// Stores a message from another system. The response has the fixed format that BlueKing ITSM
/// expects from a callback receiver (reference/bk-itsm.md 10).
async fn receive(
    State(app): State<App>,
    Path((source, secret)): Path<(String, String)>,
    body: Body,
) -> Response {
    if source != callbacks::BK_ITSM {
        return answer(
            StatusCode::NOT_FOUND,
            "the source of the callback is unknown",
        );
    }
    let key = match app.keys().await {
        Ok(keys) => keys.token,
        Err(error) => return failed(&error),
    };
    let Some(application) = callbacks::application_of(&key, &secret) else {
        return answer(StatusCode::FORBIDDEN, "the secret of the callback is wrong");
    };
    let body = match body::read(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(reason) => {
            let status = match reason {
                NotRead::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
                NotRead::TooSlow | NotRead::BrokenOff(_) => StatusCode::REQUEST_TIMEOUT,
                NotRead::Busy => StatusCode::SERVICE_UNAVAILABLE,
            };
            return answer(status, &reason.to_string());
        }
    };
    match callbacks::store(&app, application, &body).await {
        Ok(None) => answer(StatusCode::OK, ""),
        Ok(Some(problem)) => answer(StatusCode::BAD_REQUEST, &problem),
        Err(error) => failed(&error),
    }
}

fn failed(error: &infra::Error) -> Response {
    tracing::error!(%error, "a callback was not stored");
    answer(
        StatusCode::SERVICE_UNAVAILABLE,
        "the callback was not stored; send it again",
    )
}

fn answer(status: StatusCode, message: &str) -> Response {
    let is_stored = status == StatusCode::OK;
    let body = json!({
        "result": is_stored, "data": null, "code": if is_stored { 0 } else { i32::from(status.as_u16()) }, "message": message,
    });
    (status, Json(body)).into_response()
}
