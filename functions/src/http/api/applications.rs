//! Returns applications in the API `/v1`. An application is a request for approval that an external
//! ITSM system decides. Only superusers may read applications.

use axum::Json;
use axum::response::IntoResponse;
use domain::itsm::application::Application;
use events::Moment;
use serde_json::{Value, json};

use super::admin::{CardList, page_of, reads_operations, stream_of};
use super::problem::{ApiResult, Problem};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, segments,
};
use super::time;

const OPERATIONS: &[Operation] = &[
    list(
        "/v1/applications",
        "lists applications, or only open ones, by the time of their expiry, latest first; for superusers",
        &[("state", Asks::Word(&["all", "open"])), PAGE, PAGE_SIZE],
    ),
    get("/v1/applications/{application}", "shows an application"),
];

/// The operations on applications, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        reads_operations(&call.request).await?;
        match *segments(&call.path) {
            [_, id] => one(call.request, id).await,
            _ => all(call.request).await,
        }
    })
}

async fn all(request: Asked) -> ApiResult {
    let index = match request.asked_for("state") {
        Some("open") => "open",
        _ => "application",
    };
    let body = |stream: &str, card: &Application| shown(&request, stream, card);
    page_of(&request, &CardList::whole(index), "applications", body).await
}

async fn one(request: Asked, id: &str) -> ApiResult {
    let missing = || Problem::not_found(format!("there is no application {id}"));
    let stream = stream_of("application", id).ok_or_else(missing)?;
    let state = request.app.ledger.load::<Application>(&stream).await?;
    let application = state.aggregate.0;
    if application.requested.is_none() {
        return Err(missing());
    }
    Ok(Json(shown(&request, &stream, &application)).into_response())
}

fn shown(request: &Asked, stream: &str, application: &Application) -> Value {
    let at = |at: Moment| time(&request.app, at);
    let requested = application.requested.as_ref();
    json!({
        "id": stream.trim_start_matches("application-"),
        "ticket": requested.map(|one| &one.ticket),
        "node": requested.map(|one| one.node),
        "kind": requested.map(|one| &one.kind),
        "external": application.external,
        "step": application.is_open().then(|| application.step.name()),
        "attempts": application.attempts.made,
        "next_attempt": application.is_open().then(|| at(application.attempts.due)),
        "expires": requested.map(|one| at(one.expires)),
        "outcome": application.outcome,
        "is_closed": application.is_closed,
    })
}
