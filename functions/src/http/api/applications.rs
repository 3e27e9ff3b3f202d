//! Returns and withdraws applications in the API `/v1`. An application is a request for approval that an
//! external ITSM system decides. Only superusers may read or withdraw applications.

use domain::itsm::application::Application;
use domain::ticket::MESSAGE_MAX;
use events::app::Scope;
use events::{Meta, Moment};
use serde::Serialize;

use super::admin::{CardList, changes_configuration, page_of, reads_operations, stream_of};
use super::problem::{ApiResult, Problem};
use super::reply::{Time, WorkOutcome, ok, time};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, post, segments,
};
use super::shape::{Member, Shape, quoted, required};
use crate::app::itsm::applications;
use crate::app::tickets::await_card;

const OPERATIONS: &[Operation] = &[
    list(
        "/v1/applications",
        "lists applications, or only open ones, by the time of their expiry, latest first; for superusers",
        &[("state", Asks::Word(&["all", "open"])), PAGE, PAGE_SIZE],
    )
    .returning::<ApplicationPage>(),
    get("/v1/applications/{application}", "shows an application")
        .returning::<ShownApplication>(),
    post(
        "/v1/applications/{application}/withdraw",
        "withdraws an application, and its ticket at the external ITSM; for superusers",
        &[REASON],
    )
    .returning::<ShownApplication>(),
];

const REASON: Member = required("reason", Shape::Text);

/// One page of the applications.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ApplicationPage {
    count: u64,
    applications: Vec<ShownApplication>,
}

/// A request for approval at an external ITSM.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Application"))]
struct ShownApplication {
    id: String,
    ticket: Option<String>,
    node: Option<i64>,
    /// The name of the kind of application.
    kind: Option<String>,
    /// The ticket number at the external ITSM. The text is empty until the desk knows the number.
    external: String,
    /// What the desk does next, or null if the application has ended.
    step: Option<&'static str>,
    attempts: u32,
    next_attempt: Option<Time>,
    expires: Option<Time>,
    outcome: Option<WorkOutcome>,
    /// The reason why the approval is no longer needed. Null if it is still needed.
    withdrawal: Option<String>,
    is_closed: bool,
}

/// The operations on applications, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Admin,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        if let [_, id, _] = *segments(&call.path) {
            let meta = changes_configuration(&call.request).await?;
            return withdraw(call.request, id, meta).await;
        }
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
    let (count, applications) = page_of(&request, &CardList::whole(index), body).await?;
    Ok(ok(&ApplicationPage {
        count,
        applications,
    }))
}

async fn one(request: Asked, id: &str) -> ApiResult {
    let (stream, application) = loaded(&request, id).await?;
    Ok(ok(&shown(&request, &stream, &application)))
}

async fn loaded(request: &Asked, id: &str) -> Result<(String, Application), Problem> {
    let missing = || Problem::not_found(format!("there is no application {}", quoted(id)));
    let stream = stream_of("application", id).ok_or_else(missing)?;
    let state = request.app.ledger.load::<Application>(&stream).await?;
    let application = state.aggregate.0;
    if application.requested.is_none() {
        return Err(missing());
    }
    Ok((stream, application))
}

async fn withdraw(request: Asked, id: &str, meta: Meta) -> ApiResult {
    let (stream, application) = loaded(&request, id).await?;
    let reason = request.required("reason")?;
    if reason.chars().count() > MESSAGE_MAX {
        return Err(Problem::malformed(
            "/reason",
            format!("`reason` is longer than {MESSAGE_MAX} characters"),
        ));
    }
    if !application.is_open() {
        return Err(Problem::conflict("the application has already ended"));
    }
    let app = &request.app;
    let command_id = app.ledger.fresh_id();
    let position = applications::withdraw(app, &stream, command_id, meta, &reason).await?;
    await_card(app, position).await;
    let (stream, application) = loaded(&request, id).await?;
    Ok(ok(&shown(&request, &stream, &application)))
}

fn shown(request: &Asked, stream: &str, application: &Application) -> ShownApplication {
    let at = |at: Moment| time(&request.app, at);
    let requested = application.requested.as_ref();
    ShownApplication {
        id: stream.trim_start_matches("application-").to_owned(),
        ticket: requested.map(|one| one.ticket.to_string()),
        node: requested.map(|one| one.node.0),
        kind: requested.map(|one| one.kind.clone()),
        external: application.external.clone(),
        step: application.is_open().then(|| application.step.name()),
        attempts: application.attempts.made,
        next_attempt: application.is_open().then(|| at(application.attempts.due)),
        expires: requested.map(|one| at(one.expires)),
        outcome: application.outcome.clone().map(WorkOutcome::from),
        withdrawal: application.withdrawal.clone(),
        is_closed: application.is_closed,
    }
}
