//! Defines the resources of the API `/v1`. A resource has a list of operations and a handler
//! function. Each operation lists the members of its body and the parameters of its query.
//!
//! The server checks every request against these operations, and builds `/openapi.json` from them.
//! A request that matches no operation is rejected.

use axum::body::Body;
use axum::http::Method;
use events::app::Scope;
use futures_util::future::BoxFuture;
#[cfg(test)]
use serde_json::json;
use serde_json::{Map, Value};

use super::RESOURCES;
use super::problem::{ApiResult, Problem};
use super::reply::Reply;
use super::request::Asked;
use super::shape::{FLAWS_MAX, Flaw, Member, quoted};

/// The largest number of tickets or API calls on one page.
pub(super) const PAGE_SIZE_MAX: usize = 200;
/// The largest page number.
pub(super) const PAGES_MAX: usize = 1_000_000;

/// The type that a handler returns: a future with the response.
pub(super) type Answer = BoxFuture<'static, ApiResult>;

/// A request of the API `/v1` that matches an operation.
pub(super) struct Call {
    pub(super) request: Asked,
    pub(super) method: Method,
    /// The decoded segments of the URL path after `/v1`.
    pub(super) path: Vec<String>,
    /// The request body of a file upload. The handler of the upload reads this body.
    pub(super) upload: Option<Body>,
}

/// A REST resource: its operations, and the function that handles these operations.
#[derive(Clone, Copy)]
pub(super) struct Resource {
    pub(super) operations: &'static [Operation],
    pub(super) answer: fn(Call) -> Answer,
    /// Whether the operations of this resource change the configuration. Changes of the
    /// configuration must not run at the same time, so the server executes these operations one
    /// after another.
    pub(super) is_configuration: bool,
    /// The part of the APIs to which the operations of this resource belong. Changes of the
    /// configuration belong to [`Scope::Admin`].
    pub(super) scope: Scope,
}

impl Resource {
    /// Returns the parts of the APIs to which an operation of this resource belongs. An app needs one of them.
    pub(super) fn scopes_of(&self, operation: &Operation) -> &'static [Scope] {
        const ADMIN: &[Scope] = &[Scope::Admin];
        match self.scope {
            _ if self.is_configuration && operation.is_change() => ADMIN,
            Scope::Tickets if self.is_configuration => &[Scope::Tickets, Scope::Admin],
            Scope::Tickets => &[Scope::Tickets],
            Scope::Cases if operation.is_for_sources => &[Scope::Cases],
            // The app of a source sends cases, and neither reads nor changes those of other sources.
            Scope::Cases => ADMIN,
            Scope::Fleet => &[Scope::Fleet],
            Scope::Admin => ADMIN,
            Scope::Metrics => &[Scope::Metrics],
        }
    }
}

/// Converts path segments to `&str` values. A handler can then match the segments with slice
/// patterns.
pub(super) fn segments(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// Whether an operation ignores, accepts or requires the header `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Ignored,
    Accepted,
    Required,
}

/// The kind of an operation. The kind determines the input and the response of the operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Read,
    /// The operation changes a ticket. The request body has the listed members. With the header
    /// `If-Match`, the client can demand that the ticket has a certain version.
    Acts(&'static [Member]),
    /// The operation accepts a request body with the listed members.
    Takes(&'static [Member]),
    Removes,
    /// The operation accepts a form with files, or the content of one file.
    Upload,
    /// The operation returns the content of a file.
    Download,
    /// The operation returns server-sent events.
    Events,
}

/// The type of a query parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asks {
    Text,
    /// The value is exactly one of the listed words.
    Word(&'static [&'static str]),
    /// The value contains one or more of the listed words, separated by commas.
    Words(&'static [&'static str]),
    /// The value is a list of texts, separated by commas.
    Texts,
    /// The value is a list of integers, separated by commas.
    Integers,
    /// The value is the name of a user.
    Name,
    /// The value is a number. This variant contains the smallest and the largest allowed number.
    Number(usize, usize),
    /// The value is a time with a UTC offset (RFC 3339).
    Time,
}

/// The name and type of a query parameter.
pub(super) type Parameter = (&'static str, Asks);

/// The description of one operation of `/v1`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "only the description uses it"))]
    pub(super) summary: &'static str,
    pub(super) kind: Kind,
    pub(super) query: &'static [Parameter],
    /// The HTTP status codes of successful responses.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the description uses it"))]
    pub(super) answers: &'static [&'static str],
    /// Whether the server stores the response. If a client repeats the request with the same
    /// idempotency key, the client gets the stored response. This is necessary if the created
    /// object does not contain the idempotency key.
    pub(super) is_kept: bool,
    #[cfg_attr(not(test), expect(dead_code, reason = "only the description uses it"))]
    pub(super) key: Key,
    /// Whether the response contains the version of the object as an entity tag (`ETag`). If a
    /// request contains the tag of the current version, the response has status 304 and no body.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the description uses it"))]
    pub(super) is_tagged: bool,
    /// Whether the operation receives file content or completes an upload. Such an operation has a
    /// longer time limit than other operations.
    pub(super) is_slow: bool,
    /// Whether the operation belongs to [`Scope::Cases`]. The other operations on cases belong to [`Scope::Admin`].
    pub(super) is_for_sources: bool,
    /// Returns the schema of the response body. `None` if the response has no JSON body.
    #[cfg(test)]
    pub(super) reply: Option<fn(&mut schemars::SchemaGenerator) -> schemars::Schema>,
}

pub(super) const PAGE: Parameter = ("page", Asks::Number(1, PAGES_MAX));
pub(super) const PAGE_SIZE: Parameter = ("page_size", Asks::Number(1, PAGE_SIZE_MAX));

const OK: &[&str] = &["200"];
pub(super) const CREATED: &[&str] = &["201"];
pub(super) const EMPTY: &[&str] = &["204"];

impl Operation {
    pub(super) const fn of(
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        kind: Kind,
    ) -> Self {
        Self {
            method,
            path,
            summary,
            kind,
            query: &[],
            answers: OK,
            is_kept: false,
            key: Key::Ignored,
            is_tagged: false,
            is_slow: matches!(kind, Kind::Upload),
            is_for_sources: false,
            #[cfg(test)]
            reply: None,
        }
    }

    /// Sets the type of the response body. The description of the API contains its schema.
    pub(super) const fn returning<T: Reply>(self) -> Self {
        Self {
            #[cfg(test)]
            reply: Some(schemars::SchemaGenerator::subschema_for::<T>),
            ..self
        }
    }

    pub(super) const fn asking(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    pub(super) const fn answering(self, answers: &'static [&'static str]) -> Self {
        Self { answers, ..self }
    }

    /// Marks an operation that creates a new object for each request. For a repeated idempotency
    /// key, the server returns the stored response and creates no object.
    pub(super) const fn creating(self) -> Self {
        Self {
            answers: CREATED,
            is_kept: true,
            key: Key::Accepted,
            ..self
        }
    }

    /// Returns whether the operation changes data.
    pub(super) fn is_change(&self) -> bool {
        !matches!(self.kind, Kind::Read | Kind::Download | Kind::Events)
    }

    /// Sets whether an operation ignores, accepts or requires the header `Idempotency-Key`.
    pub(super) const fn keyed(self, key: Key) -> Self {
        Self { key, ..self }
    }

    /// Marks an operation with an entity tag (the version of the object) in its response.
    pub(super) const fn tagged(self) -> Self {
        Self {
            is_tagged: true,
            ..self
        }
    }

    /// Marks an operation with which the apps of sources send cases.
    pub(super) const fn for_sources(self) -> Self {
        Self {
            is_for_sources: true,
            ..self
        }
    }

    /// Marks an operation that needs a long time, such as the completion of an upload. Such an
    /// operation has a longer time limit than other operations.
    pub(super) const fn slow(self) -> Self {
        Self {
            is_slow: true,
            ..self
        }
    }
}

pub(super) const fn get(path: &'static str, summary: &'static str) -> Operation {
    Operation::of("GET", path, summary, Kind::Read)
}

pub(super) const fn list(
    path: &'static str,
    summary: &'static str,
    query: &'static [Parameter],
) -> Operation {
    Operation::of("GET", path, summary, Kind::Read).asking(query)
}

/// Describes an operation that returns server-sent events.
pub(super) const fn event_stream(
    path: &'static str,
    summary: &'static str,
    query: &'static [Parameter],
) -> Operation {
    Operation::of("GET", path, summary, Kind::Events).asking(query)
}

pub(super) const fn post(
    path: &'static str,
    summary: &'static str,
    members: &'static [Member],
) -> Operation {
    Operation::of("POST", path, summary, Kind::Takes(members))
}

pub(super) const fn put(
    path: &'static str,
    summary: &'static str,
    members: &'static [Member],
) -> Operation {
    Operation::of("PUT", path, summary, Kind::Takes(members))
}

pub(super) const fn delete(path: &'static str, summary: &'static str) -> Operation {
    Operation::of("DELETE", path, summary, Kind::Removes).answering(EMPTY)
}

/// Describes an operation that changes one ticket and compares versions (`If-Match`).
pub(super) const fn change(
    path: &'static str,
    summary: &'static str,
    members: &'static [Member],
) -> Operation {
    Operation::of("POST", path, summary, Kind::Acts(members)).keyed(Key::Accepted)
}

/// Returns the resource and the operation for a method and a path. `parts` contains the path
/// segments after `/v1`. Returns an error if no operation has this method and path.
pub(super) fn find(
    method: &Method,
    parts: &[&str],
) -> Result<(&'static Resource, &'static Operation), Problem> {
    let method = if method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    let candidates: Vec<(&Resource, &Operation)> = RESOURCES
        .iter()
        .flat_map(|resource| resource.operations.iter().map(move |one| (resource, one)))
        .filter(|(_, operation)| is_at(operation.path, parts))
        .collect();
    // Several path templates can match the path. The template with the fewest parameters is used,
    // because it is the most specific one.
    let named = |(_, operation): &&(&Resource, &Operation)| operation.method == method;
    if let Some(found) = candidates
        .iter()
        .filter(named)
        .min_by_key(|(_, operation)| operation.path.matches('{').count())
    {
        return Ok(*found);
    }
    match parts {
        [] => {}
        _ if !candidates.is_empty() => {
            let mut allowed: Vec<&str> = candidates
                .iter()
                .map(|(_, operation)| operation.method)
                .collect();
            allowed.dedup();
            return Err(Problem::method_of(
                format!(
                    "{method} is not allowed on this path; allowed are {}",
                    allowed.join(", ")
                ),
                &allowed,
            ));
        }
        ["tickets", _, operation] if method == "POST" => {
            return Err(Problem::not_found(format!(
                "there is no operation {}",
                quoted(operation)
            )));
        }
        _ => {}
    }
    Err(Problem::not_found("this path does not exist"))
}

fn is_at(path: &str, parts: &[&str]) -> bool {
    let template: Vec<&str> = path.split('/').skip(2).collect();
    template.len() == parts.len()
        && template.iter().zip(parts).all(|(template, part)| {
            if template.starts_with('{') {
                !part.is_empty()
            } else {
                template == part
            }
        })
}

/// Returns the errors in a query: unknown parameters, repeated parameters and invalid values.
pub(super) fn flaws(parameters: &[Parameter], query: &Map<String, Value>) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for (name, value) in query {
        let field = quoted(name);
        let detail = match (parameters.iter().find(|(known, _)| known == name), value) {
            (None, _) => {
                let known: Vec<&str> = parameters.iter().map(|(known, _)| *known).collect();
                let known = if known.is_empty() {
                    "this operation has no parameters".to_owned()
                } else {
                    format!("known parameters are {}", known.join(", "))
                };
                Some(format!("`{field}` is not a known parameter; {known}"))
            }
            (Some((_, parameter_type)), Value::String(text)) if parameter_type.takes(text) => None,
            (Some((_, parameter_type)), Value::String(text)) => Some(format!(
                "`{field}` must be {}, not {:?}",
                parameter_type.what(),
                quoted(text)
            )),
            (Some(_), _) => Some(format!("`{field}` is given more than once")),
        };
        flaws.extend(detail.map(|detail| Flaw { field, detail }));
        if flaws.len() >= FLAWS_MAX {
            break;
        }
    }
    flaws
}

impl Asks {
    fn takes(&self, text: &str) -> bool {
        let parts = || text.split(',').map(str::trim);
        match self {
            Self::Text => !text.trim().is_empty(),
            Self::Name => crate::app::people::one_name(text).is_some(),
            Self::Word(words) => words.contains(&text),
            Self::Words(words) => parts().all(|part| words.contains(&part)),
            Self::Texts => parts().all(|part| !part.is_empty()),
            Self::Integers => parts().all(|part| part.parse::<i64>().is_ok()),
            Self::Number(least, most) => text
                .parse::<usize>()
                .is_ok_and(|number| (*least..=*most).contains(&number)),
            Self::Time => instant(text).is_some(),
        }
    }

    fn what(&self) -> String {
        match self {
            Self::Text => "a text".into(),
            Self::Name => "a user name".into(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("some of {}, separated by commas", words.join(", ")),
            Self::Texts => "texts separated by commas".into(),
            Self::Integers => "integers separated by commas".into(),
            Self::Number(least, usize::MAX) => format!("a number from {least}"),
            Self::Number(least, most) => format!("a number from {least} to {most}"),
            Self::Time => {
                "a time with its offset (RFC 3339), such as 2026-11-22T10:00:00+08:00".into()
            }
        }
    }

    /// Returns the JSON schema for the values of a parameter with this type.
    #[cfg(test)]
    pub(super) fn schema(&self) -> Value {
        match self {
            Self::Text | Self::Name => json!({ "type": "string" }),
            Self::Word(words) => json!({ "type": "string", "enum": words }),
            Self::Words(words) => {
                json!({ "type": "array", "items": { "type": "string", "enum": words } })
            }
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
            Self::Integers => json!({ "type": "array", "items": { "type": "integer" } }),
            Self::Number(least, usize::MAX) => json!({ "type": "integer", "minimum": least }),
            Self::Number(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Time => json!({ "type": "string", "format": "date-time" }),
        }
    }

    /// Returns whether a parameter of this type contains several values, separated by commas.
    #[cfg(test)]
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Words(_) | Self::Texts | Self::Integers)
    }
}

/// Parses a time with seconds and a UTC offset (RFC 3339). If a client does not escape the `+` of
/// the offset, the query decoder converts the `+` to a space. The function therefore reads a space
/// as `+`.
pub(super) fn instant(text: &str) -> Option<jiff::Timestamp> {
    let has_seconds = text.as_bytes().get(16) == Some(&b':');
    let text = if text.contains(['T', 't']) {
        text.replace(' ', "+")
    } else {
        text.to_owned()
    };
    text.parse().ok().filter(|_| has_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_offset_or_seconds_is_rejected() {
        for text in [
            "2026-11-22T02:00:00Z",
            "2026-11-22T10:00:00+08:00",
            "2026-11-22T10:00:00 08:00",
            "2026-11-22T02:00:00.5Z",
            "2026-11-22 02:00:00Z",
        ] {
            assert!(instant(text).is_some(), "{text}");
        }
        for text in [
            "2026-11-22T02:00:00",
            "2026-11-22T02:00Z",
            "2026-11-22",
            "yesterday",
            "",
        ] {
            assert!(instant(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_number_of_reported_parameters_is_bounded() {
        let query: Map<String, Value> = (0..1_000)
            .map(|number| (format!("p{number}"), json!("x")))
            .collect();
        assert_eq!(flaws(&[], &query).len(), FLAWS_MAX);
    }

    #[test]
    fn no_operation_is_listed_twice() {
        let mut all: Vec<(&str, &str)> = RESOURCES
            .iter()
            .flat_map(|resource| resource.operations)
            .map(|operation| (operation.path, operation.method))
            .collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn literal_paths_precede_paths_with_parameters() {
        let path = |method: &Method, parts: &[&str]| {
            find(method, parts)
                .map(|(_, operation)| operation.path)
                .ok()
        };
        assert_eq!(
            path(&Method::POST, &["workflows", "import"]),
            Some("/v1/workflows/import")
        );
        assert_eq!(
            path(&Method::GET, &["workflows", "7"]),
            Some("/v1/workflows/{id}")
        );
        assert_eq!(
            path(&Method::HEAD, &["tickets", "REQ1"]),
            Some("/v1/tickets/{sn}")
        );
        assert_eq!(path(&Method::PATCH, &["tickets", "REQ1"]), None);
        assert_eq!(path(&Method::POST, &["tickets", "REQ1", "dance"]), None);
        assert_eq!(path(&Method::GET, &["tickets", ""]), None);
    }
}
