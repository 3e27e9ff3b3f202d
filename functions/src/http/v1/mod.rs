//! `/v1`: a REST API over the same commands; errors are problem details that name the field.

mod admin;
mod apps;
mod asked;
mod attachments;
mod calls;
mod definition;
mod drafts;
mod forms;
pub mod openapi;
mod operations;
mod people;
mod problem;
mod repeats;
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

use crate::{App, setup, times};
use asked::Asked;
use problem::{Answer, Problem};
use repeats::Repeat;

/// Longest time for a request.
const PATIENCE: Duration = Duration::from_secs(25);
/// Longest time for a file to come in; that something comes all the time is looked at besides.
const UPLOAD_PATIENCE: Duration = Duration::from_mins(30);

/// Everything below `/v1`.
pub fn router() -> Router<App> {
    Router::new().fallback(handle)
}

async fn handle(State(app): State<App>, request: Request) -> Response {
    let path: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    // Completing an upload reads all its bytes again.
    let is_upload = matches!((request.method(), &path[..]), (&Method::POST, ["attachments"] | ["uploads", _, "complete"]) | (&Method::PUT, ["uploads", _, _]));
    let patience = if is_upload { UPLOAD_PATIENCE } else { PATIENCE };
    let handled = tokio::time::timeout(patience, Box::pin(route(app.clone(), request))).await;
    match handled.unwrap_or_else(|_| Err(Error::new(Kind::Timeout, format!("a request took longer than {patience:?}")).into())) {
        Ok(response) => response,
        Err(problem) => problem.with_names(&app).await.into_response(),
    }
}

/// What a caller gets in place of an answer that is withheld.
pub(super) fn refused(error: Error) -> Response {
    Problem::from(error).into_response()
}

async fn route(app: App, request: Request) -> Answer {
    let method = request.method().clone();
    let path = request.uri().path().trim_matches('/').to_owned();
    // What was escaped in a path is one part of it.
    let parts: Vec<String> = path.split('/').map(unescaped).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (asked, body) = Asked::open(app, request).await?;
    let operation = operations::find(&method, &parts)?;
    if matches!(operation.kind, operations::Kind::Upload) {
        asked.check_query(operation)?;
        return match parts[..] {
            ["attachments"] => attachments::upload(asked, body).await,
            _ => attachments::in_parts(asked, &method, &parts[1..], Some(body)).await,
        };
    }
    let asked = asked.read(operation, body).await?;
    if !operation.is_kept {
        return Box::pin(answer(asked, method, &parts)).await;
    }
    let Some(repeat) = Repeat::of(&asked, &path).await? else { return Box::pin(answer(asked, method, &parts)).await };
    let before = repeat.answer().await?;
    match before {
        Some(answer) => Ok(answer),
        None => repeat.keep(Box::pin(answer(asked, method, &parts)).await?).await,
    }
}

/// Answers a request that was checked.
async fn answer(asked: Asked, method: Method, parts: &[&str]) -> Answer {
    let _turn = if is_change(&method, parts) { Some(setup::turn().await) } else { None };
    let (read, write) = (method == Method::GET || method == Method::HEAD, method == Method::POST);
    // Files have an answer of their own to HEAD; everything else answers it as GET.
    let method = if method == Method::HEAD && parts.first() != Some(&"attachments") { Method::GET } else { method };
    match *parts {
        ["tickets"] if read => tickets::list(asked).await,
        ["tickets"] if write => submit::create(asked).await,
        ["tickets", sn] if read => tickets::get(asked, sn).await,
        ["tickets", sn, "events"] if read => tickets::history(asked, sn).await,
        ["tickets", sn, "remarks"] if read => tickets::remarks(asked, sn).await,
        ["tickets", sn, "calls"] if read => calls::of_ticket(asked, sn).await,
        ["tickets", sn, "nodes", node, what @ ("form" | "options")] => forms::of_ticket(asked, &method, sn, node, what).await,
        ["tickets", sn, operation] if write => tickets::operate(asked, sn, operation).await,
        ["calls"] if read => calls::all(asked).await,
        ["decisions"] if write => tickets::decide_many(asked).await,
        ["uploads", ..] => attachments::in_parts(asked, &method, &parts[1..], None).await,
        ["attachments", id, ..] => attachments::one(asked, &method, id, &parts[2..]).await,
        ["drafts", ..] => drafts::drafts(asked, &method, &parts[1..]).await,
        ["templates", ..] => drafts::templates(asked, &method, &parts[1..]).await,
        ["workflows", ..] => admin::workflows(asked, &method, &parts[1..]).await,
        ["services", id, what @ ("form" | "options")] => forms::of_service(asked, &method, id, what).await,
        ["services", ..] => admin::services(asked, &method, &parts[1..]).await,
        ["catalog", ..] => admin::catalog(asked, &method, &parts[1..]).await,
        ["dictionary", ..] => admin::dictionary(asked, &method, &parts[1..]).await,
        ["fields", ..] => admin::fields(asked, &method, &parts[1..]).await,
        ["people", ..] => people::people(asked, &method, &parts[1..]).await,
        ["roles", ..] => admin::roles(asked, &method, &parts[1..]).await,
        ["apps", ..] => apps::apps(asked, &method, &parts[1..]).await,
        _ => Err(Problem::not_found("there is nothing at this path")),
    }
}

/// Says whether a request changes what the desk is set up with.
fn is_change(method: &Method, parts: &[&str]) -> bool {
    let is_of_setup = matches!(parts.first(), Some(&("workflows" | "services" | "catalog" | "dictionary" | "fields" | "roles" | "apps")));
    // Options are read, if need be from another system.
    is_of_setup && method != Method::GET && method != Method::HEAD && parts.last() != Some(&"options")
}

/// A moment as this API writes it: RFC 3339 with the offset of the desk's zone.
fn time(app: &App, at: Moment) -> String {
    times::in_zone(at, &app.settings.zone)
}

/// Undoes percent-encoding; what is not valid stays as it is.
pub(super) fn unescaped(part: &str) -> String {
    let bytes = part.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| part.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok())).flatten();
        plain.push(hex.unwrap_or(bytes[at]));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8(plain).unwrap_or_else(|_| part.to_owned())
}
