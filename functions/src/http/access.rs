//! Writes one log line for each request, and adds the request id to each response. The log lines
//! contain no queries, bodies, secrets or names of people.

use std::sync::OnceLock;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;

use super::api::unescaped;
use super::blueking::render::request_id;
use crate::App;
use crate::app::request_scope::CALLER;

/// The header with the request id in requests and in responses.
const REQUEST_ID: &str = "x-request-id";
/// The smallest duration of a slow request, in milliseconds. A slow request is logged at the level
/// `info`.
const SLOW_MS: i64 = 1000;
/// The largest number of characters of a path in the log. A longer path is shortened.
const PATH_MAX: usize = 200;
/// The path segments before the name or the id of a person. The log must not contain this name or
/// id.
const BEFORE_PERSON: [&str; 3] = ["people", "inbox", "why"];

/// The beginning of the path to which other systems send messages. Such a path ends with a secret,
/// which the log must not contain.
const CALLBACKS: &str = "/callbacks/";
/// The beginning of the path of an action link. The path ends with a token, which the log must not contain.
const ACT: &str = "/act/";
/// The beginning of the path of a page with questions about a notification. The path ends with a token too.
const FEEDBACK: &str = "/feedback/";
/// The beginning of the path with which people switch off mails. The path ends with a token, which the log must not
/// contain.
const UNSUBSCRIBE: &str = "/unsubscribe/";

/// Returns the path of a request for the log, without private data. The name or the id of a person
/// becomes `{person}`, as in `/v1/people/{person}/forget`. The secret in a path for messages of
/// another system becomes `{secret}`. A long path is shortened.
fn logged_path(path: &str) -> String {
    if let Some(rest) = path.strip_prefix(CALLBACKS) {
        let source: String = rest
            .split('/')
            .next()
            .unwrap_or_default()
            .chars()
            .take(32)
            .collect();
        return format!("{CALLBACKS}{source}/{{secret}}");
    }
    for prefix in [ACT, FEEDBACK, UNSUBSCRIBE] {
        if path.starts_with(prefix) {
            return format!("{prefix}{{token}}");
        }
    }
    let mut follows_people = false;
    let parts = path.split('/').map(|part| {
        let is_person_name = follows_people && !part.is_empty();
        if !part.is_empty() {
            follows_people = BEFORE_PERSON.contains(&unescaped(part).as_str());
        }
        if is_person_name { "{person}" } else { part }
    });
    parts
        .collect::<Vec<_>>()
        .join("/")
        .chars()
        .take(PATH_MAX)
        .collect()
}

/// Returns the name of the API to which a path belongs.
#[cfg(feature = "local")]
fn api_of(path: &str) -> &'static str {
    if path == "/v1" || path.starts_with("/v1/") {
        "v1"
    } else if super::blueking::has_prefix(path) {
        "blueking"
    } else if path.starts_with("/callbacks/") {
        "callbacks"
    } else if matches!(path, "/healthz" | "/readyz" | "/metrics" | "/openapi.json") {
        "operation"
    } else {
        "console"
    }
}

/// Writes a log line for each request. If the request has no id, the function creates one. The log
/// level is `warn` for server errors, `info` for client errors and slow requests, and `debug` for
/// all other requests.
pub(super) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started_at = app.ledger.clock.now();
    let id = request_id(request.headers(), &app);
    let header = HeaderValue::from_str(&id).ok();
    if let Some(header) = &header {
        // Other functions read the request id from this header of the request.
        request.headers_mut().insert(REQUEST_ID, header.clone());
    }
    let method = request.method().clone();
    #[cfg(feature = "local")]
    let api = api_of(request.uri().path());
    let path = logged_path(request.uri().path());
    let handled = CALLER.scope(OnceLock::new(), async move {
        let response = next.run(request).await;
        (response, CALLER.with(|caller| caller.get().cloned()))
    });
    let (mut response, caller) = handled.await;
    if let Some(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    let duration_ms = app.ledger.clock.now().0 - started_at.0;
    let status = response.status().as_u16();
    #[cfg(feature = "local")]
    app.requests.count(api, status, duration_ms);
    let code = caller.as_ref().map(events::AppCode::as_str);
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(target: "access", %method, path, status, duration_ms, app = code, request_id = id, "request")
        };
    }
    match status {
        500.. => log!(warn),
        400.. => log!(info),
        _ if duration_ms >= SLOW_MS => log!(info),
        _ => log!(debug),
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged_paths_contain_no_person_names() {
        for path in [
            "/v1/people/lisi/forget",
            "/v1//people//lisi/forget",
            "/v1/%70eople/lisi/forget",
            "/v1/people/lisi",
            "/v1/inbox/lisi",
            "/v1/tickets/REQ1/why/lisi",
        ] {
            assert!(
                !logged_path(path).contains("lisi"),
                "{path}: {}",
                logged_path(path)
            );
        }
        assert_eq!(
            logged_path("/callbacks/bk-itsm/0123456789abcdef"),
            "/callbacks/bk-itsm/{secret}"
        );
        assert_eq!(logged_path("/act/YWNr"), "/act/{token}");
        assert_eq!(logged_path("/feedback/YWNr"), "/feedback/{token}");
        assert_eq!(logged_path("/unsubscribe/YWNr"), "/unsubscribe/{token}");
        assert_eq!(
            logged_path("/v1/people/lisi/forget"),
            "/v1/people/{person}/forget"
        );
        assert_eq!(
            logged_path("/v1/tickets/REQ1/events"),
            "/v1/tickets/REQ1/events"
        );
        assert_eq!(
            logged_path(&format!("/{}", "a".repeat(500))).len(),
            PATH_MAX
        );
    }
}
