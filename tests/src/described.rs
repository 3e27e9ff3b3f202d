//! Compares responses of the API `/v1` with the OpenAPI document. Each response in a test must have the
//! documented status and exactly the documented members.
//!
//! This module reads the keywords of JSON schema that the document uses, and rejects all others. A library would turn
//! on features of `serde_json` for the whole test build, and tests would then run another program than users.

use std::sync::LazyLock;

use serde_json::{Map, Value};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(functions::http::api::openapi::DOCUMENT).expect("the document is JSON")
});

/// A path of the OpenAPI document.
struct Route {
    /// The path as in the document, such as `/v1/tickets/{sn}`.
    template: &'static str,
    /// The parts of the template after `/v1/`.
    parts: Vec<&'static str>,
    operations: &'static Value,
}

/// The paths of the OpenAPI document. They are split only once, because each response is compared with all of them.
static ROUTES: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let route = |(template, operations): (&'static String, &'static Value)| Route {
        template: template.as_str(),
        parts: template.split('/').skip(2).collect(),
        operations,
    };
    paths.iter().map(route).collect()
});

/// Checks a response of the API `/v1`. `path` is the path after `/v1/`, and can have a query. `body` is `None` if the
/// response is not JSON. Panics if the document does not allow the status or the body.
pub fn check(method: &str, path: &str, status: u16, body: Option<&Value>) {
    let path = path.split('?').next().unwrap_or_default();
    let name = format!("{method} /v1/{path} with status {status}");
    let response = match operation(method, path) {
        Some(operation) => {
            let response = &operation["responses"][status.to_string()];
            assert!(
                !response.is_null(),
                "{name} is not in the OpenAPI document: {body:?}"
            );
            resolved(response).clone()
        }
        // The document does not contain the path or the method.
        None if status == 404 || status == 405 || status == 403 || status == 401 => return,
        None => panic!("{name}: the OpenAPI document has no such operation: {body:?}"),
    };
    let content = response["content"]
        .as_object()
        .and_then(|content| content.iter().next());
    if content.is_some_and(|(media_type, _)| media_type == "application/octet-stream") {
        // The content of a file has any media type.
        note(method, path, status);
        return;
    }
    let schema = content
        .filter(|(media_type, _)| media_type.ends_with("json") && method != "HEAD")
        .map(|(_, content)| &content["schema"]);
    match (schema, body) {
        (None, None) => {}
        (None, Some(body)) => panic!("{name} must have no JSON body: {body}"),
        (Some(_), None) => panic!("{name} must have a JSON body"),
        (Some(schema), Some(body)) => {
            let mut flaws = Vec::new();
            compare(schema, body, "", &mut flaws);
            assert!(flaws.is_empty(), "{name}: {}: {body:#}", flaws.join("; "));
        }
    }
    note(method, path, status);
}

/// Appends the operation and the status to the file in the variable `LEDGERDESK_DESCRIBED`. After a run of all tests,
/// the file shows which operations no test has checked.
fn note(method: &str, path: &str, status: u16) {
    let Some(file) = std::env::var_os("LEDGERDESK_DESCRIBED") else {
        return;
    };
    let mut file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(file)
        .expect("the file in LEDGERDESK_DESCRIBED");
    let template = template(method, path).unwrap_or_else(|| "unknown".to_owned());
    std::io::Write::write_all(
        &mut file,
        format!("{method} {template} {status}\n").as_bytes(),
    )
    .expect("written");
}

/// Returns the path of the OpenAPI document that a request matches.
fn template(method: &str, path: &str) -> Option<String> {
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let method = documented(method);
    let matching = ROUTES.iter().filter(|route| {
        let mut pairs = route.parts.iter().zip(&parts);
        route.parts.len() == parts.len()
            && pairs.all(|(name, part)| name.starts_with('{') || name == part)
            && route.operations.get(&method).is_some()
    });
    matching
        .min_by_key(|route| route.template.matches('{').count())
        .map(|route| route.template.to_owned())
}

fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let template = template(method, path)?;
    Some(&DOCUMENT["paths"][template][documented(method)])
}

/// Returns the method under which the document describes a request.
fn documented(method: &str) -> String {
    let method = if method == "HEAD" { "GET" } else { method };
    method.to_lowercase()
}

/// Follows the reference in a schema or a response. Returns the value itself if it has no reference.
fn resolved(schema: &Value) -> &Value {
    match schema["$ref"].as_str() {
        None => schema,
        Some(reference) => DOCUMENT
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference} does not exist")),
    }
}

/// Appends the differences between `value` and `schema` to `flaws`. `at` is the JSON pointer of the value.
fn compare(schema: &Value, value: &Value, at: &str, flaws: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else {
        assert_eq!(*schema, true, "a schema is an object");
        return;
    };
    let mut flaw = |reason: String| flaws.push(format!("`{at}` {reason}"));
    for (keyword, expected) in keywords {
        match keyword.as_str() {
            "type" => {
                let types = match expected {
                    Value::Array(types) => types.iter().collect(),
                    one => vec![one],
                };
                if !types.iter().any(|name| is_of_type(value, name)) {
                    flaw(format!("must be {expected}, not {value}"));
                }
            }
            "enum" if !expected.as_array().expect("words").contains(value) => {
                flaw(format!("must be one of {expected}, not {value}"));
            }
            "const" if expected != value => flaw(format!("must be {expected}, not {value}")),
            "minimum" if value.as_f64() < expected.as_f64() && value.is_number() => {
                flaw(format!("must be at least {expected}, not {value}"));
            }
            "maximum" if value.as_f64() > expected.as_f64() && value.is_number() => {
                flaw(format!("must be at most {expected}, not {value}"));
            }
            "format" if expected == "date-time" => {
                let is_time = |text: &str| text.parse::<jiff::Timestamp>().is_ok();
                if value.as_str().is_some_and(|text| !is_time(text)) {
                    flaw(format!("must be a time, not {value}"));
                }
            }
            "minItems" | "maxItems" => {
                let (count, bound) = (value.as_array().map(Vec::len), expected.as_u64());
                let count = count.map(|count| count as u64);
                let is_wrong = if keyword == "minItems" {
                    count < bound
                } else {
                    count > bound
                };
                if is_wrong && count.is_some() {
                    flaw(format!("must have another number of entries than {value}"));
                }
            }
            "required" => {
                for name in expected.as_array().expect("names") {
                    let name = name.as_str().expect("a name");
                    if value.is_object() && value.get(name).is_none() {
                        flaw(format!("has no member `{name}`"));
                    }
                }
            }
            "not" => {
                let mut found = Vec::new();
                compare(expected, value, at, &mut found);
                if found.is_empty() {
                    flaw(format!("must not match {expected}"));
                }
            }
            "$ref" | "items" | "properties" | "additionalProperties" | "anyOf" | "oneOf" => {}
            "enum" | "const" | "minimum" | "maximum" | "format" | "description" | "title"
            | "x-required-unless" | "default" | "discriminator" => {}
            other => panic!("the keyword {other} of JSON schema is not supported here"),
        }
    }
    if keywords.contains_key("$ref") {
        compare(resolved(schema), value, at, flaws);
    }
    if let (Some(items), Value::Array(values)) = (keywords.get("items"), value) {
        for (number, value) in values.iter().enumerate() {
            compare(items, value, &format!("{at}/{number}"), flaws);
        }
    }
    if let Value::Object(members) = value {
        compare_members(keywords, members, at, flaws);
    }
    for keyword in ["anyOf", "oneOf"] {
        let Some(choices) = keywords.get(keyword).and_then(Value::as_array) else {
            continue;
        };
        let mut best: Option<Vec<String>> = None;
        for choice in choices {
            let mut found = Vec::new();
            compare(choice, value, at, &mut found);
            if best.as_ref().is_none_or(|best| found.len() < best.len()) {
                best = Some(found);
            }
        }
        flaws.extend(best.into_iter().flatten());
    }
}

fn compare_members(
    keywords: &Map<String, Value>,
    members: &Map<String, Value>,
    at: &str,
    flaws: &mut Vec<String>,
) {
    let properties = keywords.get("properties").and_then(Value::as_object);
    let others = keywords.get("additionalProperties");
    for (name, value) in members {
        let at = format!("{at}/{name}");
        match (properties.and_then(|known| known.get(name)), others) {
            (Some(schema), _) => compare(schema, value, &at, flaws),
            (None, Some(Value::Bool(true))) => {}
            (None, Some(schema @ Value::Object(_))) => compare(schema, value, &at, flaws),
            // An object with listed members has no others, although JSON schema allows them.
            (None, _) if properties.is_some() || others.is_some() => {
                flaws.push(format!("`{at}` is not in the OpenAPI document"));
            }
            (None, _) => {}
        }
    }
}

fn is_of_type(value: &Value, name: &Value) -> bool {
    match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other} of JSON schema does not exist"),
    }
}
