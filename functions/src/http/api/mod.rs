//! The REST API under `/v1`, over the same commands as the other APIs. Errors are problem details
//! that name the field.

mod admin;
mod api_calls;
mod apps;
mod attachments;
mod definition;
mod drafts;
mod forms;
pub mod openapi;
mod operations;
mod people;
mod problem;
mod repeats;
mod request;
mod shape;
mod submit;
mod tickets;

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use events::Moment;
use infra::{Error, Kind};

use crate::App;
use crate::app::{administration, times};
use problem::{ApiResult, Problem};
use repeats::Repeat;
use request::Asked;

/// Longest time for a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);
/// Longest time for an upload. A separate timeout applies to pauses within the upload.
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(30);

/// Returns the routes below `/v1`.
pub fn router() -> Router<App> {
    Router::new().fallback(handle)
}

async fn handle(State(app): State<App>, request: Request) -> Response {
    let path: Vec<&str> = request
        .uri()
        .path()
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    // Completing an upload reads all its bytes again, so it gets the same time.
    let is_upload = matches!(
        (request.method(), &path[..]),
        (&Method::POST, ["attachments"] | ["uploads", _, "complete"])
            | (&Method::PUT, ["uploads", _, _])
    );
    let timeout = if is_upload {
        UPLOAD_TIMEOUT
    } else {
        REQUEST_TIMEOUT
    };
    let handled = tokio::time::timeout(timeout, Box::pin(route(app.clone(), request))).await;
    match handled.unwrap_or_else(|_| {
        Err(Error::new(
            Kind::Timeout,
            format!("the request took longer than {timeout:?}"),
        )
        .into())
    }) {
        Ok(response) => response,
        Err(problem) => problem.with_names(&app).await.into_response(),
    }
}

/// Returns the error response that replaces a response over the caller's limit.
pub(super) fn refused(error: Error) -> Response {
    Problem::from(error).into_response()
}

async fn route(app: App, request: Request) -> ApiResult {
    let method = request.method().clone();
    let path = request.uri().path().trim_matches('/').to_owned();
    // An escaped slash does not separate segments.
    let parts: Vec<String> = path.split('/').map(unescaped).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (request, body) = Asked::open(app, request).await?;
    let operation = operations::find(&method, &parts)?;
    if matches!(operation.kind, operations::Kind::Upload) {
        request.check_query(operation)?;
        return match parts[..] {
            ["attachments"] => attachments::upload(request, body).await,
            _ => attachments::in_parts(request, &method, &parts[1..], Some(body)).await,
        };
    }
    let request = request.read(operation, body).await?;
    if !operation.is_kept {
        return Box::pin(answer(request, method, &parts)).await;
    }
    let Some(repeat) = Repeat::of(&request, &path).await? else {
        return Box::pin(answer(request, method, &parts)).await;
    };
    let recorded = repeat.answer().await?;
    match recorded {
        Some(answer) => Ok(answer),
        None => {
            repeat
                .keep(Box::pin(answer(request, method, &parts)).await?)
                .await
        }
    }
}

/// Calls the handler of a checked request.
async fn answer(request: Asked, method: Method, parts: &[&str]) -> ApiResult {
    let _configuration_lock = if is_change(&method, parts) {
        Some(administration::turn().await)
    } else {
        None
    };
    let (read, write) = (
        method == Method::GET || method == Method::HEAD,
        method == Method::POST,
    );
    // Attachments handle HEAD themselves. All other paths handle HEAD like GET.
    let method = if method == Method::HEAD && parts.first() != Some(&"attachments") {
        Method::GET
    } else {
        method
    };
    match *parts {
        ["tickets"] if read => tickets::list(request).await,
        ["tickets"] if write => submit::create(request).await,
        ["tickets", sn] if read => tickets::get(request, sn).await,
        ["tickets", sn, "events"] if read => tickets::history(request, sn).await,
        ["tickets", sn, "remarks"] if read => tickets::remarks(request, sn).await,
        ["tickets", sn, "api-calls"] if read => api_calls::of_ticket(request, sn).await,
        ["tickets", sn, "nodes", node, what @ ("form" | "options")] => {
            forms::of_ticket(request, &method, sn, node, what).await
        }
        ["tickets", sn, operation] if write => tickets::operate(request, sn, operation).await,
        ["api-calls"] if read => api_calls::all(request).await,
        ["decisions"] if write => tickets::decide_many(request).await,
        ["uploads", ..] => attachments::in_parts(request, &method, &parts[1..], None).await,
        ["attachments", id, ..] => attachments::one(request, &method, id, &parts[2..]).await,
        ["drafts", ..] => drafts::drafts(request, &method, &parts[1..]).await,
        ["templates", ..] => drafts::templates(request, &method, &parts[1..]).await,
        ["workflows", ..] => admin::workflows(request, &method, &parts[1..]).await,
        ["services", id, what @ ("form" | "options")] => {
            forms::of_service(request, &method, id, what).await
        }
        ["services", ..] => admin::services(request, &method, &parts[1..]).await,
        ["catalog", ..] => admin::catalog(request, &method, &parts[1..]).await,
        ["dictionary", ..] => admin::dictionary(request, &method, &parts[1..]).await,
        ["fields", ..] => admin::fields(request, &method, &parts[1..]).await,
        ["people", ..] => people::people(request, &method, &parts[1..]).await,
        ["roles", ..] => admin::roles(request, &method, &parts[1..]).await,
        ["apps", ..] => apps::apps(request, &method, &parts[1..]).await,
        _ => Err(Problem::not_found("this path does not exist")),
    }
}

/// Returns whether a request changes configuration. Such requests run one at a time.
fn is_change(method: &Method, parts: &[&str]) -> bool {
    let is_configuration = matches!(
        parts.first(),
        Some(&("workflows" | "services" | "catalog" | "dictionary" | "fields" | "roles" | "apps"))
    );
    // Options are only read, sometimes from another system.
    is_configuration
        && method != Method::GET
        && method != Method::HEAD
        && parts.last() != Some(&"options")
}

/// Returns an instant as RFC 3339 text with the offset of the desk's zone.
fn time(app: &App, at: Moment) -> String {
    times::in_zone(at, &app.settings.zone)
}

/// Decodes percent-encoding. Invalid sequences stay unchanged.
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
