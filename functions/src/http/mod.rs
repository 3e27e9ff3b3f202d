//! The HTTP doors: one axum router for every host.

mod access;
pub mod blueking;
pub mod body;
pub mod credentials;
mod extras;
pub mod limits;
pub mod lists;
mod page;
pub mod scope;
pub mod v1;

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use infra::{Error, Kind};
use serde_json::{Value, json};

use crate::App;

/// Longest wait for a write that proves that the ledger can be written: a disk that does not answer is a disk that does not work.
const WRITABLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Every path the desk answers. What is none of ours goes to the BlueKing door, whose paths can't be split by routes.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page::first))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/openapi.json", get(v1::openapi::document))
        .nest("/v1", v1::router())
        // A caller without credentials learns neither paths nor methods; a known one learns that these paths are only read.
        .method_not_allowed_fallback(blueking::only_read)
        .fallback(blueking::command)
        .layer(from_fn_with_state(app.clone(), scope::open))
        .layer(from_fn_with_state(app.clone(), access::observe))
        .with_state(app)
}

async fn healthz() -> &'static str {
    "ok"
}

/// Ready means: the ledger answers and can be written.
async fn readyz(State(app): State<App>) -> Response {
    let head = match app.ledger.store.head().await {
        Ok(head) => head,
        Err(error) => {
            tracing::error!(%error, "the ledger does not answer");
            return (StatusCode::SERVICE_UNAVAILABLE, "the ledger does not answer").into_response();
        }
    };
    let written = tokio::time::timeout(WRITABLE_TIMEOUT, app.ledger.store.writable(app.ledger.clock.now())).await;
    match written.unwrap_or_else(|_| Err(Error::new(Kind::Timeout, format!("the ledger was not written within {WRITABLE_TIMEOUT:?}")))) {
        Ok(()) => format!("ready at position {}", head.position).into_response(),
        Err(error) => {
            tracing::error!(%error, "the ledger cannot be written");
            (StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be written").into_response()
        }
    }
}

/// The part of `/openapi.json` about health, which needs no credentials.
fn described_health() -> [(String, Value); 2] {
    let text = |description: &str| json!({ "description": description, "content": { "text/plain": { "schema": { "type": "string" } } } });
    let get = |name: &str, summary: &str, responses: Value| {
        let operation = json!({ "operationId": name, "tags": ["health"], "summary": summary, "security": [], "responses": responses });
        (format!("/{name}"), json!({ "get": operation }))
    };
    [
        get("healthz", "say that the process serves requests", json!({ "200": text("ok") })),
        get(
            "readyz",
            "say whether the ledger answers and can be written",
            json!({ "200": text("ready, and the position of the ledger"), "503": text("not ready, and why") }),
        ),
    ]
}
