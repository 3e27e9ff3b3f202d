//! Contains the HTTP APIs. The local server and the cloud functions use the same axum router.

mod access;
pub mod api;
pub mod blueking;
pub mod body;
mod channel_messages;
mod console;
pub mod inbound;
mod language;
pub mod scope;

#[cfg(feature = "local")]
pub(crate) use api::{refuse_untrusted, refused};

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use infra::{Error, Kind};
#[cfg(test)]
use serde_json::{Value, json};

use crate::App;

/// Maximum time that `/readyz` waits for a test write. After this time, the response reports that
/// the ledger (the database of all events) cannot be written.
const WRITABLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the router for all HTTP paths. The BlueKing API has path variants that routes of axum
/// cannot express. A request without a matching route therefore goes to the BlueKing API, except if
/// a browser opens an unknown address.
pub fn router(app: App) -> Router {
    router_with(app, Router::new())
}

/// Returns the router for all HTTP paths and for the paths of one host.
pub fn router_with(app: App, of_host: Router<App>) -> Router {
    of_host
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/openapi.json", get(api::openapi::document))
        .nest("/v1", api::router())
        .merge(inbound::routes())
        .merge(console::routes())
        // A caller without credentials must not find out which paths or methods exist. The handler
        // therefore checks the credentials first. Only a known caller gets status 405.
        .method_not_allowed_fallback(blueking::only_read)
        .fallback(command_or_no_page)
        .layer(from_fn_with_state(app.clone(), scope::open))
        .layer(from_fn_with_state(app.clone(), access::observe))
        .with_state(app)
}

/// Handles a request without a matching route. If a browser opens an unknown address, the response
/// is an error page. All other requests go to the BlueKing API.
async fn command_or_no_page(State(app): State<App>, request: Request) -> Response {
    let is_of_api = blueking::has_prefix(request.uri().path());
    if !is_of_api && console::is_opened_by_browser(&request) {
        return console::no_page(app, request).await;
    }
    blueking::command(State(app), request).await
}

async fn healthz() -> &'static str {
    "ok"
}

/// Returns status 200 if the ledger (the database of all events) can be read and written. Otherwise
/// returns status 503.
async fn readyz(State(app): State<App>) -> Response {
    let head = match app.ledger.store.head().await {
        Ok(head) => head,
        Err(error) => {
            tracing::error!(%error, "the ledger cannot be read");
            return (StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be read").into_response();
        }
    };
    let test_write = tokio::time::timeout(
        WRITABLE_TIMEOUT,
        app.ledger.store.writable(app.ledger.clock.now()),
    )
    .await;
    match test_write.unwrap_or_else(|_| {
        Err(Error::new(
            Kind::Timeout,
            format!("the ledger accepted no write within {WRITABLE_TIMEOUT:?}"),
        ))
    }) {
        Ok(()) => format!("ready at position {}", head.position).into_response(),
        Err(error) => {
            tracing::error!(%error, "the ledger cannot be written");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the ledger cannot be written",
            )
                .into_response()
        }
    }
}

/// Describes the paths `/healthz` and `/readyz` for the OpenAPI document. These paths need no
/// credentials.
#[cfg(test)]
fn described_health() -> [(String, Value); 2] {
    let text = |description: &str| json!({ "description": description, "content": { "text/plain": { "schema": { "type": "string" } } } });
    let get = |name: &str, summary: &str, responses: Value| {
        let operation = json!({ "operationId": name, "tags": ["health"], "summary": summary, "security": [], "responses": responses });
        (format!("/{name}"), json!({ "get": operation }))
    };
    [
        get(
            "healthz",
            "reports that the process serves requests",
            json!({ "200": text("ok") }),
        ),
        get(
            "readyz",
            "reports whether the ledger can be read and written",
            json!({ "200": text("ready, and the position of the ledger"), "503": text("not ready, with the reason") }),
        ),
    ]
}
