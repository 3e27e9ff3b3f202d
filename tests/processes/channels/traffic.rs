//! Records the requests that arrive at an imitation, and compares the requests of the desk with those of client libraries that
//! other projects wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;

/// Maximum size of a recorded body in bytes.
const BODY_MAX: usize = 1 << 20;

/// What the comparison must know about the interface of a vendor.
pub(super) struct Vendor {
    pub(super) name: &'static str,
    /// The paths that contain ids. The sign `*` is one segment with an id.
    pub(super) paths: &'static [&'static str],
    /// The headers that the vendor reads, except the content type.
    pub(super) headers: &'static [&'static str],
    /// Parts that the libraries always send and the desk does not need: the operation, the part, and the reason. The parts
    /// below a part also belong to it.
    pub(super) optional: &'static [(&'static str, &'static str, &'static str)],
    /// Operations that only the desk uses, each with the reason.
    pub(super) own: &'static [(&'static str, &'static str)],
}

/// One recorded request.
struct Seen {
    method: String,
    path: String,
    /// The values of all headers, by their names.
    headers: BTreeMap<String, String>,
    /// The names of all parameters in the query and in a form, and of all members in a JSON object, with their types.
    parts: BTreeMap<String, &'static str>,
}

/// The recorded requests, from the oldest to the newest.
#[derive(Default)]
pub(super) struct Traffic(Mutex<Vec<Seen>>);

impl Traffic {
    /// Serves the routes of an imitation in a task, and records each request.
    pub(super) fn serve(self: &Arc<Self>, listener: TcpListener, router: Router) {
        let router = router.layer(middleware::from_fn_with_state(self.clone(), record));
        tokio::spawn(async move { axum::serve(listener, router).await });
    }

    /// Ends the part of the test in which the client libraries send. Returns their requests.
    pub(super) fn of_libraries(&self) -> Requests {
        Requests(std::mem::take(
            &mut *self.0.lock().expect("no holder panics"),
        ))
    }

    /// Compares all requests since then, which are those of the desk, with the requests of the libraries. Prints one line with
    /// the numbers of requests and of differences. Panics if there is a difference.
    pub(super) fn compare(&self, vendor: &Vendor, libraries: &Requests) {
        let desk = self.of_libraries();
        let found = differences(vendor, libraries, &desk);
        println!(
            "vendor {}: foreign client {} calls, desk {} calls, differences {}; only the desk sends {:?}",
            vendor.name,
            libraries.0.len(),
            desk.0.len(),
            found.len(),
            additions(vendor, libraries, &desk)
        );
        assert!(!libraries.0.is_empty(), "{}: no library", vendor.name);
        assert!(!desk.0.is_empty(), "{}: no request", vendor.name);
        assert_eq!(found, Vec::<String>::new(), "{}", vendor.name);
    }
}

/// The requests of one side.
pub(super) struct Requests(Vec<Seen>);

impl Requests {
    /// Returns the requests of each operation (the method and the path).
    fn operations(&self, vendor: &Vendor) -> BTreeMap<String, Vec<&Seen>> {
        let mut operations = BTreeMap::<String, Vec<&Seen>>::new();
        for seen in &self.0 {
            let patterns = vendor.paths.iter();
            let pattern = patterns.copied().find(|one| is_at(one, &seen.path));
            let path = pattern.unwrap_or(seen.path.as_str());
            let operation = format!("{} {path}", seen.method);
            operations.entry(operation).or_default().push(seen);
        }
        operations
    }
}

/// Returns true if a path has the form of a pattern.
fn is_at(pattern: &str, path: &str) -> bool {
    let (mut expected, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == "*" || one == other => {}
            _ => return false,
        }
    }
}

async fn record(State(traffic): State<Arc<Traffic>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    traffic
        .0
        .lock()
        .expect("no holder panics")
        .push(Seen::of(&parts, &bytes));
    next.run(Request::from_parts(parts, Body::from(bytes)))
        .await
}

impl Seen {
    fn of(head: &Parts, body: &Bytes) -> Self {
        let headers = head.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        let mut seen = Self {
            method: head.method.to_string(),
            path: head.uri.path().trim_end_matches('/').to_owned(),
            headers: headers.collect(),
            parts: BTreeMap::new(),
        };
        if seen.path.is_empty() {
            seen.path.push('/');
        }
        seen.add_parameters(head.uri.query().unwrap_or_default().as_bytes());
        if seen.media() == "application/x-www-form-urlencoded" {
            seen.add_parameters(body);
        } else if let Ok(value) = serde_json::from_slice::<Value>(body) {
            seen.add_members("", &value);
        }
        seen
    }

    fn add_parameters(&mut self, text: &[u8]) {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(text).unwrap_or_default();
        for (name, _) in pairs {
            self.parts.insert(format!("parameter {name}"), "text");
        }
    }

    fn add_members(&mut self, above: &str, value: &Value) {
        let Value::Object(members) = value else {
            return;
        };
        for (name, value) in members {
            let kind = match value {
                Value::Null => continue,
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "text",
                Value::Array(_) => "list",
                Value::Object(_) => "object",
            };
            let name = format!("{above}{name}");
            self.add_members(&format!("{name}."), value);
            self.parts.insert(format!("member {name}"), kind);
        }
    }

    /// Returns the content type without its parameters. Returns an empty text if there is none.
    fn media(&self) -> String {
        let given = self.headers.get("content-type").map(String::as_str);
        let media = given.unwrap_or_default().split(';').next();
        media.unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Returns how a request uses a header: `absent`, `present`, or the scheme of the header `authorization`.
    fn usage(&self, header: &str) -> String {
        match self.headers.get(header) {
            None => "absent".into(),
            Some(value) if header == "authorization" => {
                let scheme = value.split(' ').next().unwrap_or_default();
                scheme.to_ascii_lowercase()
            }
            Some(_) => "present".into(),
        }
    }
}

/// Returns true if the desk does not need a part of an operation.
fn is_optional(vendor: &Vendor, operation: &str, part: &str) -> bool {
    vendor.optional.iter().any(|(at, optional, _)| {
        let below = part.strip_prefix(optional);
        *at == operation && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Returns the types that requests give a part. The set is empty if no request has the part.
fn types(requests: &[&Seen], part: &str) -> BTreeSet<&'static str> {
    let types = requests.iter().filter_map(|seen| seen.parts.get(part));
    types.copied().collect()
}

/// Returns each difference as a sentence: an operation that no library uses, another use of a header, another content type, a
/// part that every request of the libraries has and one of the desk does not have, and a part of another type.
fn differences(vendor: &Vendor, libraries: &Requests, desk: &Requests) -> Vec<String> {
    let theirs = libraries.operations(vendor);
    let mut found = BTreeSet::new();
    for (operation, ours) in desk.operations(vendor) {
        let Some(theirs) = theirs.get(&operation) else {
            if !vendor.own.iter().any(|(own, _)| *own == operation) {
                found.insert(format!("{operation}: no library uses it"));
            }
            continue;
        };
        for header in vendor.headers {
            let known: BTreeSet<String> = theirs.iter().map(|seen| seen.usage(header)).collect();
            for usage in ours.iter().map(|seen| seen.usage(header)) {
                if !known.contains(&usage) {
                    found.insert(format!("{operation}: {header} is {usage}, not {known:?}"));
                }
            }
        }
        // Some libraries send JSON without a content type.
        let known: BTreeSet<String> = theirs.iter().map(|seen| seen.media()).collect();
        let is_known = |media: &String| known.iter().all(String::is_empty) || known.contains(media);
        for media in ours.iter().map(|seen| seen.media()) {
            if !is_known(&media) {
                found.insert(format!("{operation}: {media:?} instead of {known:?}"));
            }
        }
        let first = theirs.iter().flat_map(|seen| seen.parts.keys());
        let always = first.filter(|part| theirs.iter().all(|seen| seen.parts.contains_key(*part)));
        for part in always {
            let is_missing = ours.iter().any(|seen| !seen.parts.contains_key(part));
            if is_missing && !is_optional(vendor, &operation, part) {
                found.insert(format!("{operation}: {part} is missing"));
            }
        }
        for part in ours.iter().flat_map(|seen| seen.parts.keys()) {
            let (known, used) = (types(theirs, part), types(&ours, part));
            if !known.is_empty() && !used.is_subset(&known) {
                found.insert(format!("{operation}: {part} is {used:?}, not {known:?}"));
            }
        }
    }
    found.into_iter().collect()
}

/// Returns the parts that only the desk sends. The imitation accepts them, and the documents of the vendor name them.
fn additions(vendor: &Vendor, libraries: &Requests, desk: &Requests) -> BTreeSet<String> {
    let theirs = libraries.operations(vendor);
    let mut found = BTreeSet::new();
    for (operation, ours) in desk.operations(vendor) {
        let known = theirs
            .get(&operation)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let parts = ours.iter().flat_map(|seen| seen.parts.keys());
        let own = parts.filter(|part| types(known, part).is_empty());
        found.extend(own.map(|part| format!("{operation}: {part}")));
    }
    found
}

#[test]
fn each_kind_of_difference_is_found() {
    let vendor = Vendor {
        name: "test",
        paths: &["/messages/*"],
        headers: &["authorization"],
        optional: &[("POST /messages/*", "member more", "for the test")],
        own: &[("GET /limits", "for the test")],
    };
    let seen = |target: &str, headers: &[(&str, &str)], body: &str| {
        let (method, uri) = target.split_once(' ').expect("a method and a path");
        let mut request = axum::http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        Seen::of(&head, &Bytes::from(body.to_owned()))
    };
    let json = ("content-type", "application/json; charset=utf-8");
    let right = [("authorization", "Bearer t"), json];
    let body = r#"{"to":"a","at":{"all":true},"more":{"x":1}}"#;
    let libraries = || Requests(vec![seen("POST /messages/1?key=k", &right, body)]);
    let compared = |seen: Seen| differences(&vendor, &libraries(), &Requests(vec![seen]));
    let same = r#"{"to":"b","at":{"all":false},"own":null,"number":1}"#;
    let none = Vec::<String>::new();
    assert_eq!(
        compared(seen("POST /messages/2/?key=x", &right, same)),
        none
    );
    assert_eq!(compared(seen("GET /limits", &[], "")), none);
    let other = [("authorization", "Basic t"), ("content-type", "text/plain")];
    for (target, headers, body, expected) in [
        ("PUT /messages/2?key=x", &right, same, "no library uses it"),
        ("POST /messages?key=x", &right, same, "no library uses it"),
        ("POST /messages/2", &right, same, "parameter key is missing"),
        ("POST /messages/2?key=x", &other, same, "authorization is"),
        (
            "POST /messages/2?key=x",
            &other,
            same,
            "\"text/plain\" instead",
        ),
        (
            "POST /messages/2?key=x",
            &right,
            r#"{"to":"a","at":{}}"#,
            "member at.all is missing",
        ),
        (
            "POST /messages/2?key=x",
            &right,
            r#"{"to":1,"at":{"all":true}}"#,
            "member to is {\"number\"}",
        ),
    ] {
        let found = compared(seen(target, headers, body));
        assert!(
            found.iter().any(|one| one.contains(expected)),
            "{expected}: {found:?}"
        );
    }
}
