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

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::App;

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
    match app.ledger.store.writable(app.ledger.clock.now()).await {
        Ok(()) => format!("ready at position {}", head.position).into_response(),
        Err(error) => {
            tracing::error!(%error, "the ledger cannot be written");
            (StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be written").into_response()
        }
    }
}
