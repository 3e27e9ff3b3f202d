//! Receives messages that people send from chats and by mail, at `/callbacks/channels/{platform}/{account}`. A
//! message with a valid signature is stored before the response is sent. The queue `notify` executes its command
//! later.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use infra::Kind;
use infra::inbound::{Answer, Refusal, Request, decoded, find};

use super::body;
use crate::App;
use crate::app::notifications::inbound::{self, NotReceived};

/// The largest accepted size of a request to an unknown platform, in bytes.
const UNKNOWN_BYTES_MAX: usize = 1 << 10;

/// Returns the routes for the messages of chat platforms.
pub(super) fn routes() -> Router<App> {
    Router::new().route(
        "/callbacks/channels/{platform}/{account}",
        post(receive).get(receive),
    )
}

async fn receive(
    State(app): State<App>,
    Path((platform, account)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let most = find(&platform).map_or(UNKNOWN_BYTES_MAX, infra::inbound::Inbound::body_bytes_max);
    let body = match body::read(body, most).await {
        Ok(body) => body,
        Err(reason) => return (reason.status(), reason.to_string()).into_response(),
    };
    let headers: Vec<(String, String)> = headers
        .iter()
        .filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((name.as_str().to_owned(), value.to_owned()))
        })
        .collect();
    let site = app.settings.site.trim_end_matches('/');
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{site}{path}");
    let query = decoded(uri.query().unwrap_or_default());
    let request = Request {
        is_get: method == Method::GET,
        url: &url,
        headers: &headers,
        query: &query,
        body: &body,
        certificate: None,
    };
    match inbound::receive(&app, &platform, &account, &request).await {
        Ok(Answer { content_type, body }) => {
            ([(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        Err(reason) => refused(&reason),
    }
}

fn refused(reason: &NotReceived) -> Response {
    let status = match reason {
        NotReceived::Unknown => StatusCode::NOT_FOUND,
        NotReceived::Refused(Refusal::Malformed(_) | Refusal::Unreadable(_)) => {
            StatusCode::BAD_REQUEST
        }
        NotReceived::Refused(Refusal::Secret(form)) => {
            tracing::error!(
                form,
                "the secret of a channel account for messages has a wrong form"
            );
            let text = "the message was not checked; send it again";
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
        NotReceived::Refused(_) => StatusCode::FORBIDDEN,
        NotReceived::Technical(error) => {
            if let Kind::Limited { retry_after_s } = error.kind {
                let headers = [(header::RETRY_AFTER, retry_after_s.to_string())];
                let status = StatusCode::TOO_MANY_REQUESTS;
                return (status, headers, error.to_string()).into_response();
            }
            tracing::error!(%error, "cannot store a chat message");
            let text = "the message was not stored; send it again";
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
    };
    tracing::warn!(%reason, status = status.as_u16(), "a chat message was refused");
    (status, reason.to_string()).into_response()
}
