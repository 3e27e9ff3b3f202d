//! Contains the parts that the imitated ticket systems have in common: the check of the account, the rate limit, the
//! counters of requests, and the form of requests and responses.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use tokio::net::TcpListener;

/// The wait that a response with status 429 names, in seconds.
const RETRY_AFTER: &str = "2";

/// The reason why a request does not reach the records of an imitated system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The request has no credentials.
    Anonymous,
    /// The user, the password or the token is wrong.
    WrongCredentials,
    RateLimited,
}

/// Checks the account of each request, limits the number of requests and counts them.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// The accepted values of the header with the credentials.
    accepted: Vec<String>,
    /// The name of the header with the credentials, or `None` for `Authorization`.
    header: Option<&'static str>,
    /// The number of requests until the rate limit is reached, or `None` without a limit.
    remaining: Mutex<Option<u32>>,
    requests: AtomicUsize,
    writes: AtomicUsize,
    /// The URL of the system. Unknown until the system serves requests.
    base: OnceLock<String>,
}

impl Admission {
    /// Accepts the user with the secret as password. Also accepts the secret as token after each of `prefixes`.
    pub(super) fn new(user: &str, secret: &str, prefixes: &[&str]) -> Self {
        let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")));
        let tokens = prefixes.iter().map(|prefix| format!("{prefix}{secret}"));
        Self {
            accepted: std::iter::once(basic).chain(tokens).collect(),
            ..Self::default()
        }
    }

    /// Accepts the key in the header `name`.
    pub(super) fn keyed(name: &'static str, key: &str) -> Self {
        Self {
            accepted: vec![key.to_owned()],
            header: Some(name),
            ..Self::default()
        }
    }

    /// Limits the number of further requests, or removes the limit.
    pub(super) fn limit(&self, requests: Option<u32>) {
        *self.remaining.lock().expect("no holder panics") = requests;
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    pub(super) fn count_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the URL of the system, without a slash at the end.
    pub(super) fn base(&self) -> &str {
        self.base.get().map_or("http://127.0.0.1", String::as_str)
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let name = self.header.unwrap_or(header::AUTHORIZATION.as_str());
        let given = headers.get(name).ok_or(Denied::Anonymous)?;
        let is_accepted = |accepted: &String| accepted.as_bytes() == given.as_bytes();
        if !self.accepted.iter().any(is_accepted) {
            return Err(Denied::WrongCredentials);
        }
        match self.remaining.lock().expect("no holder panics").as_mut() {
            None => Ok(()),
            Some(0) => Err(Denied::RateLimited),
            Some(remaining) => {
                *remaining -= 1;
                Ok(())
            }
        }
    }
}

/// A request, with the parts that the imitated systems use.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    parameters: Vec<(String, String)>,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn new(method: &'a str, path: &'a str, query: &str, body: &'a [u8]) -> Self {
        Self {
            method,
            path,
            parameters: serde_urlencoded::from_str(query).unwrap_or_default(),
            body,
        }
    }

    /// Returns the parts of the path between slashes.
    pub(super) fn segments(&self) -> Vec<&'a str> {
        self.path.trim_matches('/').split('/').collect()
    }

    /// Returns all values of a parameter of the query.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self
            .parameters
            .iter()
            .filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.parameter(name) == Some("true")
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.parameter(name)?.parse().ok()
    }

    /// Returns the members of the JSON object in the body. An empty body has no members. Returns `None` for another
    /// body.
    pub(super) fn members(&self) -> Option<Map<String, Value>> {
        if self.body.is_empty() {
            return Some(Map::new());
        }
        serde_json::from_slice(self.body).ok()
    }
}

/// A response of an imitated system. The body `null` is sent as an empty body.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn new(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, body)
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(*name, value.as_str());
        }
        let built = if self.body.is_null() {
            response.body(axum::body::Body::empty())
        } else {
            let response = response.header(header::CONTENT_TYPE, "application/json;charset=UTF-8");
            response.body(self.body.to_string().into())
        };
        built.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// The part of an imitated ticket system that differs between the vendors.
pub(super) trait TicketApi: Send + Sync + 'static {
    fn admission(&self) -> &Admission;
    /// Returns the response to a request that is not admitted.
    fn denied(&self, reason: Denied) -> Reply;
    /// Returns whether a request with another method than `GET` only reads.
    fn is_read(&self, path: &str) -> bool {
        path.ends_with("/search")
    }
    /// Returns the response to an admitted request.
    fn respond(&self, request: &Request<'_>) -> Reply;
}

/// Adds to an imitated ticket system the functions that all of them have: to serve requests, to limit their number and to
/// count them. The field `admission` of the system is its [`Admission`].
macro_rules! served {
    ($system:ty) => {
        impl $system {
            /// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
            pub async fn serve(
                self: std::sync::Arc<Self>,
                listener: tokio::net::TcpListener,
            ) -> std::io::Result<()> {
                super::ticket_api::serve(self, listener).await
            }

            /// Answers `requests` further requests. After these, all requests are answered with status 429.
            pub fn limit(&self, requests: u32) {
                self.admission.limit(Some(requests));
            }

            /// Removes the limit of requests.
            pub fn unlimited(&self) {
                self.admission.limit(None);
            }

            /// Returns the number of requests, including rejected requests.
            pub fn requests(&self) -> usize {
                self.admission.requests()
            }

            /// Returns the number of admitted requests that write.
            pub fn writes(&self) -> usize {
                self.admission.writes()
            }
        }
    };
}
pub(super) use served;

/// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
pub(super) async fn serve<T: TicketApi>(
    system: Arc<T>,
    listener: TcpListener,
) -> std::io::Result<()> {
    let base = format!("http://{}", listener.local_addr()?);
    system.admission().base.get_or_init(|| base);
    let router = Router::new().fallback(handle::<T>).with_state(system);
    axum::serve(listener, router).await
}

async fn handle<T: TicketApi>(
    State(system): State<Arc<T>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let admission = system.admission();
    match admission.check(&headers) {
        Ok(()) => {}
        Err(reason @ Denied::RateLimited) => {
            return system.denied(reason).header("Retry-After", RETRY_AFTER);
        }
        Err(reason) => return system.denied(reason),
    }
    if method != Method::GET && !system.is_read(uri.path()) {
        admission.count_write();
    }
    let query = uri.query().unwrap_or_default();
    system.respond(&Request::new(method.as_str(), uri.path(), query, &body))
}

/// Returns a JSON value as text. `null` is the empty text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Splits `text` at `separator`, but not inside double quotes. Upper and lower case do not differ.
pub(super) fn split_unquoted<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        is_quoted ^= letter == '"';
        let found = text.get(at..at + separator.len());
        if !is_quoted
            && at >= start
            && found.is_some_and(|found| found.eq_ignore_ascii_case(separator))
        {
            parts.push(&text[start..at]);
            start = at + separator.len();
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_inside_quotes_do_not_split() {
        for (text, expected) in [
            ("a AND b", vec!["a", "b"]),
            ("a and \"x AND y\" And c", vec!["a", "\"x AND y\"", "c"]),
            ("", vec![""]),
            ("名 AND 字", vec!["名", "字"]),
        ] {
            assert_eq!(split_unquoted(text, " AND "), expected, "{text}");
        }
    }

    #[test]
    fn a_key_is_accepted_only_in_its_header() {
        let admission = Admission::keyed("x-api-key", "secret");
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "secret".parse().expect("a header"));
        assert_eq!(admission.check(&headers), Err(Denied::Anonymous));
        headers.insert("x-api-key", "other".parse().expect("a header"));
        assert_eq!(admission.check(&headers), Err(Denied::WrongCredentials));
        headers.insert("x-api-key", "secret".parse().expect("a header"));
        assert_eq!(admission.check(&headers), Ok(()));
    }

    #[test]
    fn a_request_over_the_limit_is_denied_until_the_limit_is_removed() {
        let admission = Admission::new("desk", "secret", &["Bearer "]);
        let mut headers = HeaderMap::new();
        assert_eq!(admission.check(&headers), Err(Denied::Anonymous));
        for (value, expected) in [
            ("Basic ZGVzazpzZWNyZXQ=", Ok(())),
            ("Bearer secret", Ok(())),
            ("Bearer other", Err(Denied::WrongCredentials)),
        ] {
            headers.insert(header::AUTHORIZATION, value.parse().expect("a header"));
            assert_eq!(admission.check(&headers), expected, "{value}");
        }
        headers.insert(
            header::AUTHORIZATION,
            "Bearer secret".parse().expect("a header"),
        );
        admission.limit(Some(1));
        assert_eq!(admission.check(&headers), Ok(()));
        assert_eq!(admission.check(&headers), Err(Denied::RateLimited));
        admission.limit(None);
        assert_eq!(admission.check(&headers), Ok(()));
        assert_eq!(admission.requests(), 7);
    }
}
