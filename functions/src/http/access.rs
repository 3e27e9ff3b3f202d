//! One line of the log per request, and its id in the answer. A line has no query, no body, no secret and no name of a person.

use std::sync::OnceLock;

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use events::AppCode;

use super::blueking::render::request_id;
use super::v1::unescaped;
use crate::App;

/// The header that carries the id of a request, both ways.
const REQUEST_ID: &str = "x-request-id";
/// A request that takes longer is logged at the level `info`.
const SLOW_MS: i64 = 1000;
/// Characters of a path in the log; a longer one is cut.
const PATH_MAX: usize = 200;
/// The part of a path that the name of a person follows.
const PEOPLE: &str = "people";

tokio::task_local! {
    /// The app that calls, once it is identified.
    static CALLER: OnceLock<AppCode>;
}

/// Notes which app calls, for the line of the log. Does nothing outside a request.
pub(super) fn note_caller(code: &AppCode) {
    let _ = CALLER.try_with(|caller| caller.set(code.clone()));
}

/// A path for the log: cut, and with `{person}` in place of the name or id of a person (`/v1/people/{person}/forget`).
fn shown(path: &str) -> String {
    let mut is_person = false;
    let parts = path.split('/').map(|part| {
        let is_of_person = is_person && !part.is_empty();
        if !part.is_empty() {
            is_person = unescaped(part) == PEOPLE;
        }
        if is_of_person { "{person}" } else { part }
    });
    parts.collect::<Vec<_>>().join("/").chars().take(PATH_MAX).collect()
}

/// Gives every request an id, and logs it: failures of the desk as warnings, failures of callers and slow requests as information, the rest for debugging.
pub(super) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = app.ledger.clock.now();
    let id = request_id(request.headers(), &app);
    let header = HeaderValue::from_str(&id).ok();
    if let Some(header) = &header {
        // The handler reads the id from here.
        request.headers_mut().insert(REQUEST_ID, header.clone());
    }
    let method = request.method().clone();
    let path = shown(request.uri().path());
    let answered = CALLER.scope(OnceLock::new(), async move {
        let response = next.run(request).await;
        (response, CALLER.with(|caller| caller.get().cloned()))
    });
    let (mut response, caller) = answered.await;
    if let Some(header) = header {
        response.headers_mut().insert(REQUEST_ID, header);
    }
    let duration_ms = app.ledger.clock.now().0 - began.0;
    let status = response.status().as_u16();
    let code = caller.as_ref().map(AppCode::as_str);
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
    fn a_logged_path_has_no_name_of_a_person() {
        for path in ["/v1/people/lisi/forget", "/v1//people//lisi/forget", "/v1/%70eople/lisi/forget", "/v1/people/lisi"] {
            assert!(!shown(path).contains("lisi"), "{path}: {}", shown(path));
        }
        assert_eq!(shown("/v1/people/lisi/forget"), "/v1/people/{person}/forget");
        assert_eq!(shown("/v1/tickets/REQ1/events"), "/v1/tickets/REQ1/events");
        assert_eq!(shown(&format!("/{}", "a".repeat(500))).len(), PATH_MAX);
    }
}
