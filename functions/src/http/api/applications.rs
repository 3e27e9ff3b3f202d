//! Returns applications for approval in the API `/v1`. An external ITSM system decides each
//! application. Only superusers may read applications.

use axum::Json;
use axum::response::IntoResponse;
use domain::itsm::application::Application;
use events::Moment;
use infra::views::Range;
use serde_json::{Value, json};

use super::admin::superuser;
use super::problem::{ApiResult, Problem};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, PAGE_SIZE_MAX, PAGES_MAX, Resource, get, list,
    segments,
};
use super::time;
use crate::app::cards::read_card;

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
        superuser(&call.request).await?;
        match *segments(&call.path) {
            [_, id] => one(call.request, id).await,
            _ => all(call.request).await,
        }
    })
}

async fn all(request: Asked) -> ApiResult {
    let size = request.number("page_size", 20, PAGE_SIZE_MAX)?;
    let page = request.number("page", 1, PAGES_MAX)?;
    let index = match request.asked_for("state") {
        Some("open") => "open",
        _ => "application",
    };
    let app = &request.app;
    let count = app.views.count("application", index, "", "~").await?;
    let range = Range {
        view: "application",
        index,
        from: "",
        to: "~",
        descending: true,
        skip: (page - 1) * size,
        limit: size,
    };
    let mut applications = Vec::new();
    for entry in app.views.range(range).await? {
        if let Some(document) = app.views.get("application", &entry.key).await? {
            let card: Application = read_card(&app.ledger, &entry.key, &document).await?;
            applications.push(shown(&request, &entry.key, &card));
        }
    }
    Ok(Json(json!({ "count": count, "applications": applications })).into_response())
}

async fn one(request: Asked, id: &str) -> ApiResult {
    let missing = || Problem::not_found(format!("there is no application {id}"));
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Err(missing());
    }
    let stream = format!("application-{id}");
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
