//! Builds the next HTTP request of an API call. Values of the ticket replace the placeholders in the request.

use std::collections::BTreeSet;

use events::workflow::service_task::{Pair, Request, ServiceTask};
use serde_json::Value;

use super::schema;
use crate::placeholder::{
    Variables, fill, fill_json, fill_json_text, holes_of_json, percent, placeholders,
};
use crate::value::plain;

/// One HTTP request without its secret headers. The desk reads these headers from the key store (the store for
/// secrets) and adds them when it sends the request.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Value>,
    pub timeout_ms: i64,
}

/// Media type of a request body in which `&` separates the form fields.
const FORM: &str = "application/x-www-form-urlencoded";
/// Media type of a request body that contains each form field in a separate part.
const PARTS: &str = "multipart/form-data";
/// Length of the text that separates the parts of a multipart body, in characters. RFC 2046 allows at most 70
/// characters.
const BOUNDARY_CHARS: usize = 32;

/// Headers that control the connection or the length of the message (RFC 9110 7.6.1, RFC 9112). Headers with
/// the prefix `proxy-` have the same purpose, but the list does not contain these headers.
const CONNECTION_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
];

/// Returns true if a header controls the connection or the length of the message. A workflow must not set such
/// a header, because the HTTP client sets these headers itself.
pub fn is_of_connection(name: &str) -> bool {
    let name = name.to_lowercase();
    CONNECTION_HEADERS.contains(&name.as_str()) || name.starts_with("proxy-")
}

impl PlannedRequest {
    /// Returns the body of the request as text. If the body is already a text, the function returns this text.
    /// Form fields are encoded for the media type in the headers. Any other body becomes JSON.
    pub fn body_text(&self) -> String {
        let header = media_type(&self.headers);
        let kind = header.to_lowercase();
        let fields = self.body.as_ref().and_then(fields);
        match (&self.body, fields) {
            (None, _) => String::new(),
            (Some(Value::String(text)), _) => text.clone(),
            (Some(_), Some(fields)) if kind.starts_with(FORM) => fields
                .iter()
                .map(|(key, value)| format!("{}={}", form_encoded(key), form_encoded(value)))
                .collect::<Vec<_>>()
                .join("&"),
            (Some(_), Some(fields)) if kind.starts_with(PARTS) => {
                let boundary = header.split("boundary=").nth(1).unwrap_or_default();
                let part = |(key, value): &(String, String)| {
                    let name = key
                        .replace('"', "%22")
                        .replace('\r', "%0D")
                        .replace('\n', "%0A");
                    format!(
                        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                    )
                };
                format!(
                    "{}--{boundary}--\r\n",
                    fields.iter().map(part).collect::<Vec<_>>().concat()
                )
            }
            (Some(body), _) => body.to_string(),
        }
    }
}

/// Returns the value of the header `Content-Type`. Returns an empty text if there is no such header.
fn media_type(headers: &[(String, String)]) -> &str {
    headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map_or("", |(_, value)| value.as_str())
}

/// Returns the form fields in a request body, in order. The body is an object, or a list of objects with
/// `key` and `value`. Returns `None` for any other body.
fn fields(body: &Value) -> Option<Vec<(String, String)>> {
    match body {
        Value::Object(members) => Some(
            members
                .iter()
                .map(|(key, value)| (key.clone(), plain(value)))
                .collect(),
        ),
        Value::Array(items) => items
            .iter()
            .map(|item| {
                Some((
                    plain(item.get("key")?),
                    plain(item.get("value").unwrap_or(&Value::Null)),
                ))
            })
            .collect(),
        _ => None,
    }
}

/// Encodes a text for the media type `application/x-www-form-urlencoded`. A space becomes a plus sign.
fn form_encoded(text: &str) -> String {
    percent(text).replace("%20", "+")
}

/// Adds the separator (boundary) of a multipart body to the header `Content-Type`. The separator is a hash of
/// the body, so a repeated request has the same separator. It is very unlikely that a value contains this
/// separator. If the body is a text and the header already contains a separator, the function does not change
/// the header.
fn name_boundary(headers: &mut [(String, String)], body: &Value) {
    for (name, value) in headers {
        let (kind, parameters) = value.split_once(';').unwrap_or((value.as_str(), ""));
        let is_written = body.is_string() && !parameters.is_empty();
        if name.eq_ignore_ascii_case("content-type")
            && kind.trim().eq_ignore_ascii_case(PARTS)
            && !is_written
        {
            let digest = blake3::hash(body.to_string().as_bytes()).to_hex();
            *value = format!("{PARTS}; boundary={}", &digest.as_str()[..BOUNDARY_CHARS]);
        }
    }
}

/// Returns the keys of all placeholders in a service task (the work of an automatic node). The placeholders
/// refer to values of the ticket.
pub fn asks_for(service_task: &ServiceTask) -> BTreeSet<String> {
    let of_pairs = |pairs: &[Pair]| {
        pairs
            .iter()
            .flat_map(|pair| placeholders(&pair.value))
            .collect::<Vec<_>>()
    };
    let keys = match service_task {
        ServiceTask::Request(request) => [
            placeholders(&request.url),
            of_pairs(&request.query),
            of_pairs(&request.headers),
            holes_of_json(&request.body),
        ],
        ServiceTask::Task(task) => [
            placeholders(&task.bk_biz_id),
            placeholders(&task.template_id),
            of_pairs(&task.constants),
            Vec::new(),
        ],
        ServiceTask::Application(application) => [
            of_pairs(&application.fields),
            Vec::new(),
            Vec::new(),
            Vec::new(),
        ],
        ServiceTask::Mission(mission) => [
            placeholders(&mission.station),
            of_pairs(&mission.parameters),
            Vec::new(),
            Vec::new(),
        ],
    };
    keys.into_iter().flatten().collect()
}

/// Replaces the placeholders in a request with the values in `variables` and returns the resulting request. If
/// this is not possible, the error is an English text that contains the reason.
pub fn of_request(request: &Request, variables: &Variables) -> Result<PlannedRequest, String> {
    if !request.credentials.is_empty() && request.secret.is_empty() {
        return Err(format!(
            "the API call needs credentials ({}), but it names no secret with them",
            request.credentials
        ));
    }
    let mut url = fill(&request.url, variables, percent)?;
    // An inserted value must not change the number of segments in the URL path. The value must also not create
    // the segments `.` or `..`, because HTTP clients remove these segments.
    let path = url.split(['?', '#']).next().unwrap_or_default();
    if path
        .split('/')
        .any(|part| matches!(part.to_lowercase().replace("%2e", ".").as_str(), "." | ".."))
    {
        return Err("the URL path has a segment . or ..".into());
    }
    for (at, pair) in request.query.iter().enumerate() {
        let sign = if at == 0 && !url.contains('?') {
            '?'
        } else {
            '&'
        };
        url = format!(
            "{url}{sign}{}={}",
            percent(&pair.key),
            percent(&fill(&pair.value, variables, str::to_owned)?)
        );
    }
    let mut headers = request
        .headers
        .iter()
        .map(|pair| {
            Ok((
                pair.key.clone(),
                fill(&pair.value, variables, str::to_owned)?,
            ))
        })
        .collect::<Result<Vec<_>, String>>()?;
    let body = match &request.body {
        Value::Null => None,
        // The desk replaces the placeholders inside the text of the body. Each value is encoded for the media
        // type of the body and for the position of its placeholder. In a JSON text, a value can therefore never
        // end the string that contains the placeholder.
        Value::String(text) => {
            let filled = match encoder(&headers) {
                Some(encode) => fill(text, variables, encode)?,
                None => fill_json_text(text, variables)?,
            };
            Some(filled.into())
        }
        body => Some(schema::conform(
            &request.body_schema,
            fill_json(body, variables)?,
        )?),
    };
    if let Some(body) = &body {
        name_boundary(&mut headers, body);
    }
    Ok(PlannedRequest {
        method: request.method.clone(),
        url,
        headers,
        body,
        timeout_ms: request.timeout_ms,
    })
}

/// Returns the function that encodes the values of the placeholders in a request body. The media type in the
/// headers determines the encoding. Returns `None` for JSON and for a missing media type.
fn encoder(headers: &[(String, String)]) -> Option<fn(&str) -> String> {
    match media_type(headers)
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_lowercase()
        .as_str()
    {
        "text/plain" => Some(str::to_owned),
        "application/x-www-form-urlencoded" => Some(percent),
        kind if kind.ends_with("xml") || kind.ends_with("html") => Some(escape_markup),
        _ => None,
    }
}

fn escape_markup(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_is_sent_in_the_media_type_of_its_headers() {
        let body_text = |body: Value, kind: Option<&str>| {
            let headers = kind
                .map(|kind| ("Content-Type".to_owned(), kind.to_owned()))
                .into_iter()
                .collect();
            PlannedRequest {
                method: "POST".into(),
                url: "https://x/".into(),
                headers,
                body: Some(body),
                timeout_ms: 1,
            }
            .body_text()
        };
        assert_eq!(body_text(json!({ "a": 1 }), None), r#"{"a":1}"#);
        assert_eq!(
            body_text(
                json!({ "a": "x&y=1", "b": 2 }),
                Some("application/x-www-form-urlencoded")
            ),
            "a=x%26y%3D1&b=2"
        );
        assert_eq!(
            body_text(json!("<a>1</a>"), Some("application/xml")),
            "<a>1</a>"
        );
        let pairs = json!([{ "key": "z", "value": "a b" }, { "key": "a", "value": "1" }]);
        assert_eq!(
            body_text(
                pairs.clone(),
                Some("application/x-www-form-urlencoded;charset=utf-8")
            ),
            "z=a+b&a=1",
            "in their order"
        );
        let parts = "--B\r\nContent-Disposition: form-data; name=\"z\"\r\n\r\na b\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n";
        assert_eq!(
            body_text(pairs.clone(), Some("multipart/form-data; boundary=B")),
            parts
        );
        assert_eq!(
            body_text(pairs, None),
            r#"[{"key":"z","value":"a b"},{"key":"a","value":"1"}]"#
        );
        let filled = |kind: &str, body: &str| {
            let headers = vec![events::workflow::service_task::Pair {
                key: "content-type".into(),
                value: kind.into(),
            }];
            let request = Request {
                method: "POST".into(),
                url: "https://x/".into(),
                headers,
                body: body.into(),
                ..Request::default()
            };
            of_request(&request, &[("t".to_owned(), json!("a\"</b>&"))].into())
                .expect("planned")
                .body_text()
        };
        assert_eq!(
            filled("application/json", r#"{"n": 1, "t": "${t}"}"#),
            r#"{"n": 1, "t": "a\"</b>&"}"#
        );
        assert_eq!(
            filled("application/xml", "<b>${t}</b>"),
            "<b>a&quot;&lt;/b&gt;&amp;</b>"
        );
        assert_eq!(filled("text/plain", "${t}"), "a\"</b>&");
    }

    #[test]
    fn a_request_without_its_required_credentials_is_rejected() {
        let mut request = Request {
            method: "GET".into(),
            url: "https://x/".into(),
            credentials: "bearer_token".into(),
            ..Request::default()
        };
        assert!(
            of_request(&request, &Variables::new())
                .unwrap_err()
                .contains("needs credentials (bearer_token)")
        );
        request.secret = "hook".into();
        assert!(of_request(&request, &Variables::new()).is_ok());
    }

    #[test]
    fn a_multipart_form_has_its_own_boundary() {
        let headers = vec![events::workflow::service_task::Pair {
            key: "Content-Type".into(),
            value: "multipart/form-data".into(),
        }];
        let body = json!([{ "key": "t", "value": "${t}" }]);
        let request = Request {
            method: "POST".into(),
            url: "https://x/".into(),
            headers,
            body,
            ..Request::default()
        };
        let plan = |text: &str| {
            of_request(&request, &[("t".to_owned(), json!(text))].into()).expect("planned")
        };
        let (one, other) = (plan("a"), plan("b"));
        assert!(
            one.headers[0]
                .1
                .starts_with("multipart/form-data; boundary=")
                && one.headers != other.headers,
            "{:?}",
            one.headers
        );
        assert_eq!(one, plan("a"), "the same to the byte");
        assert!(one.body_text().contains("name=\"t\"\r\n\r\na\r\n"));
        let given = vec![events::workflow::service_task::Pair {
            key: "Content-Type".into(),
            value: "multipart/form-data; boundary=B".into(),
        }];
        let request = Request {
            headers: given,
            ..request
        };
        let planned = of_request(
            &request,
            &[("t".to_owned(), json!("a\r\n--B--\r\n"))].into(),
        )
        .expect("planned");
        assert!(
            !planned.headers[0].1.contains("boundary=B"),
            "a value cannot end the form: {:?}",
            planned.headers
        );
    }

    #[test]
    fn a_filled_value_cannot_change_the_url_path() {
        let request = Request {
            method: "GET".into(),
            url: "https://x/hosts/${a}/${b}".into(),
            ..Request::default()
        };
        let plan = |a: &str, b: &str| {
            of_request(
                &request,
                &[("a".to_owned(), json!(a)), ("b".to_owned(), json!(b))].into(),
            )
            .map(|request| request.url)
        };
        for (a, b) in [("..", "admin"), ("x", "."), ("%2e%2E", "x")] {
            let filled = plan(a, b);
            assert!(
                filled.is_err() || filled == Ok("https://x/hosts/%252e%252E/x".into()),
                "{filled:?}"
            );
        }
        assert_eq!(
            plan("..", "admin").unwrap_err(),
            "the URL path has a segment . or .."
        );
        assert_eq!(
            plan("a/../b", "...").unwrap(),
            "https://x/hosts/a%2F..%2Fb/..."
        );
    }
}
