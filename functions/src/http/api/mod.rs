//! Implements the REST API under `/v1`. This API and the BlueKing API of the desk execute the same commands.
//! The error responses of `/v1` are problem details (RFC 9457), which contain the name of each wrong member.

mod addresses;
mod admin;
mod api_calls;
mod applications;
mod apps;
mod attachments;
mod calendars;
mod callbacks;
mod cases;
mod catalog;
mod channel_accounts;
mod chat_groups;
mod definition;
#[cfg(test)]
mod describe;
mod dictionary;
mod drafts;
mod escalations;
mod executions;
mod experiments;
mod feedback;
mod fields;
mod forms;
mod inbox;
mod inbox_events;
mod integrations;
mod notification_events;
mod notification_policies;
mod notification_templates;
mod notifications;
mod on_call_definitions;
mod onboarding;
pub mod openapi;
mod own_subscriptions;
mod people;
mod policy_trials;
mod preference_documents;
mod problem;
mod recommendations;
mod repeats;
mod reply;
mod reports;
mod request;
mod resource;
mod robots;
mod roles;
mod services;
mod shape;
mod stored_definitions;
mod tickets;
mod why_person;
mod workflows;

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use infra::{Error, Kind};

use crate::App;
use crate::app::administration;
use crate::http::language;
use problem::{ApiResult, Problem};
use repeats::Repeat;
use request::Asked;
use resource::{Call, Kind as OperationKind, Operation, Resource, segments};

/// All REST resources of the API. If a request matches no operation of these resources, the server rejects
/// the request.
const RESOURCES: &[Resource] = &[
    tickets::RESOURCE,
    api_calls::RESOURCE,
    callbacks::RESOURCE,
    forms::RESOURCE,
    attachments::RESOURCE,
    drafts::RESOURCE,
    workflows::RESOURCE,
    services::RESOURCE,
    catalog::RESOURCE,
    dictionary::RESOURCE,
    fields::RESOURCE,
    integrations::RESOURCE,
    applications::RESOURCE,
    cases::RESOURCE,
    robots::RESOURCE,
    notifications::RESOURCE,
    notification_events::RESOURCE,
    inbox::RESOURCE,
    preference_documents::RESOURCE,
    why_person::RESOURCE,
    channel_accounts::RESOURCE,
    addresses::RESOURCE,
    chat_groups::RESOURCE,
    calendars::RESOURCE,
    escalations::RESOURCE,
    on_call_definitions::RESOURCE,
    feedback::RESOURCE,
    experiments::RESOURCE,
    onboarding::RESOURCE,
    recommendations::RESOURCE,
    own_subscriptions::RESOURCE,
    notification_templates::RESOURCE,
    notification_policies::RESOURCE,
    policy_trials::RESOURCE,
    reports::RESOURCE,
    executions::RESOURCE,
    apps::RESOURCE,
    people::RESOURCE,
    roles::RESOURCE,
];

/// The time limit for the whole processing of a request, except an upload.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);
/// The time limit for a whole upload. In addition, a shorter limit applies to each pause during an upload.
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(30);

/// Returns the router that handles all paths below `/v1`.
pub fn router() -> Router<App> {
    Router::new().fallback(handle)
}

async fn handle(State(app): State<App>, request: Request) -> Response {
    // The path is first split at slashes. Then the percent-encoding of each segment is decoded. An encoded
    // slash (`%2F`) is therefore part of a segment.
    let path = request.uri().path().trim_matches('/');
    let path: Vec<String> = path.split('/').map(unescaped).collect();
    let found = resource::find(request.method(), &segments(&path));
    let language = language::accepted(request.headers());
    let is_slow = found.as_ref().is_ok_and(|(_, operation)| operation.is_slow);
    let timeout = if is_slow {
        UPLOAD_TIMEOUT
    } else {
        REQUEST_TIMEOUT
    };
    let handled =
        tokio::time::timeout(timeout, Box::pin(route(app.clone(), request, path, found))).await;
    match handled.unwrap_or_else(|_| {
        Err(Error::new(
            Kind::Timeout,
            format!("the request took longer than {timeout:?}"),
        )
        .into())
    }) {
        Ok(response) => response,
        Err(problem) => problem.for_people(&app, language).await.into_response(),
    }
}

/// Checks whether the request has the credentials of an app that the desk trusts to act for every user. Returns an error
/// response for every other request.
#[cfg(feature = "local")]
pub(crate) async fn refuse_untrusted(app: &App, request: Request) -> Option<Response> {
    use events::app::Scope;

    match Asked::open(app.clone(), request).await {
        Ok((request, _)) if request.caller.may_impersonate => request
            .caller
            .lacks(&[Scope::Metrics, Scope::Admin])
            .map(|reason| Problem::forbidden(reason).into_response()),
        Ok(_) => Some(
            Problem::forbidden("/metrics is only for apps that may act for every user")
                .into_response(),
        ),
        Err(problem) => Some(problem.into_response()),
    }
}

/// Converts an error to an error response. If a client already has too many unread response bytes, the server sends
/// this error response instead of the next large response.
pub(crate) fn refused(error: Error) -> Response {
    Problem::from(error).into_response()
}

/// Identifies the caller, checks the request against the operation in `found`, and calls the function that
/// executes this operation.
async fn route(
    app: App,
    request: Request,
    path: Vec<String>,
    found: Result<(&'static Resource, &'static Operation), Problem>,
) -> ApiResult {
    let method = request.method().clone();
    let name = request.uri().path().trim_matches('/').to_owned();
    let (request, body) = Asked::open(app, request).await?;
    // `found` is used only after the caller was identified. A caller without valid credentials therefore gets
    // the same response for existing and for unknown paths.
    let (resource, operation) = found?;
    if let Some(reason) = request.caller.lacks(resource.scopes_of(operation)) {
        return Err(Problem::forbidden(reason));
    }
    let (request, upload) = if matches!(operation.kind, OperationKind::Upload) {
        request.check_query(operation)?;
        (request, Some(body))
    } else {
        (request.read(operation, body).await?, None)
    };
    let repeat = if operation.is_kept {
        Repeat::of(&request, &name).await?
    } else {
        None
    };
    if let Some(recorded) = match &repeat {
        Some(repeat) => repeat.answer().await?,
        None => None,
    } {
        return Ok(recorded);
    }
    // Only downloads handle HEAD and GET differently. For all other operations, HEAD is handled as GET.
    let method = if method == Method::HEAD && !matches!(operation.kind, OperationKind::Download) {
        Method::GET
    } else {
        method
    };
    let _configuration_lock = if resource.is_configuration && operation.is_change() {
        Some(administration::lock_configuration().await)
    } else {
        None
    };
    let call = Call {
        request,
        method,
        path,
        upload,
    };
    let response = (resource.answer)(call).await?;
    match repeat {
        Some(repeat) => repeat.keep(response).await,
        None => Ok(response),
    }
}

/// Returns a path segment with decoded percent-encoding. Invalid percent sequences stay unchanged.
pub(super) fn unescaped(part: &str) -> String {
    let bytes = part.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| {
                part.get(at + 1..at + 3)
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            })
            .flatten();
        plain.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).unwrap_or_else(|_| part.to_owned())
}
