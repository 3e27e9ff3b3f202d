//! Reads the options of form fields from external systems. The module builds the request for the options and
//! reads the options from the response.

use std::collections::BTreeMap;

use events::workflow::service_task::Source;
use events::workflow::{Choice, Definition, Field};
use serde_json::Value;

use crate::api_call::judge::{failure_reason, value_at};
use crate::api_call::plan::{PlannedRequest, of_request};
use crate::condition::Found;
use crate::placeholder::{Variables, holes_of_json, placeholders, typed};
use crate::value::plain;

/// Maximum number of options in one response. If options are nested in a tree, the options of all levels are
/// counted together.
pub const OPTIONS_MAX: usize = 10_000;

/// Maximum size of one request in bytes (URL, headers and body). The desk caches the responses, and each
/// request is a key of this cache. Without this limit, a user could make the keys very large.
pub const QUESTION_BYTES_MAX: usize = 8192;

/// One request for the options of a field. Equal requests share one cached response, even for different
/// fields and tickets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// The body of the request as text. The text is empty if the request has no body.
    pub body: String,
    /// The name of a secret in the key store (the store for secrets). The secret contains further headers for
    /// the request. The text is empty if the request needs no further headers.
    pub secret: String,
    pub timeout_ms: i64,
    rows: String,
    /// The names of two members in each row of the response. The first name is the member with the key of an
    /// option, and the second name is the member with the name of the option. `None` if the workflow does
    /// not define these names. The desk then reads the members `key` and `name`. If a row has no member
    /// `key`, the row itself is the name of the option, and the index of the row is the key.
    members: Option<(String, String)>,
}

/// The options that one response contains. The error is an English text that explains why there are no
/// options.
pub type Offered = Result<Vec<Choice>, String>;

/// Returns the request for the options of a field. The parameter `form` contains the values for the
/// placeholders in the request. The error is an English text that explains why the request cannot be built.
/// Returns `None` if the options do not come from an external system.
pub fn question(field: &Field, form: &Variables) -> Option<Result<Question, String>> {
    let source = field.source.as_deref()?;
    let members = field
        .kv_relation
        .as_ref()
        .map(|kv| (kv.key.clone(), kv.name.clone()))
        .filter(|(key, _)| !key.is_empty());
    let planned = |request: PlannedRequest| {
        let body = request.body_text();
        let bytes = request.url.len()
            + body.len()
            + request
                .headers
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>();
        if bytes > QUESTION_BYTES_MAX {
            return Err(format!(
                "the request for options exceeds {QUESTION_BYTES_MAX} bytes; shorten the fields it uses"
            ));
        }
        let (secret, rows) = (source.request.secret.clone(), source.rows.clone());
        Ok(Question {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body,
            secret,
            timeout_ms: request.timeout_ms,
            rows,
            members,
        })
    };
    Some(of_request(&source.request, form).and_then(planned))
}

/// Returns the values of all form fields. These values replace the placeholders in requests for options. The
/// value of an empty or erased field is an empty text.
pub fn variables(definition: &Definition, find: impl Fn(&str) -> Found) -> Variables {
    let value = |key: &str| match find(key) {
        Found::Value(value) | Found::Personal(value) if !value.is_null() => value,
        _ => Value::String(String::new()),
    };
    definition
        .fields
        .iter()
        .map(|field| (field.key.clone(), typed(field.kind, value(&field.key))))
        .collect()
}

/// Returns the keys of all form fields from which the request for the options is built. The keys are in
/// alphabetical order.
pub fn depends_on(source: &Source) -> Vec<String> {
    let request = &source.request;
    let texts = [&request.url].into_iter().chain(
        request
            .query
            .iter()
            .chain(&request.headers)
            .map(|pair| &pair.value),
    );
    let mut keys: Vec<String> = texts
        .flat_map(|text| placeholders(text))
        .chain(holes_of_json(&request.body))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Reads the options from a response. Returns an error if the HTTP status is not 2xx, or if the response
/// contains `result: false`.
pub fn read(question: &Question, status: u16, body: &[u8]) -> Offered {
    if !(200..300).contains(&status) {
        return Err(format!("answered {status}"));
    }
    let answer: Value = serde_json::from_slice(body)
        .map_err(|_| "answered with a body that is not JSON or is too long".to_owned())?;
    if answer.get("result") == Some(&Value::Bool(false)) {
        return Err(failure_reason(&answer));
    }
    let rows = if question.rows.is_empty() {
        answer.get("data").or(Some(&answer))
    } else {
        value_at(&answer, &question.rows)
    };
    let rows = rows
        .and_then(Value::as_array)
        .ok_or_else(|| format!("the answer has no list at {:?}", question.rows))?;
    let mut left = OPTIONS_MAX;
    choices(rows, question.members.as_ref(), &mut left)
        .ok_or_else(|| format!("the answer has more than {OPTIONS_MAX} options"))
}

/// Converts the rows of a response to options. If rows contain nested rows, the options form a tree. The
/// parameter `left` is the number of options that are still allowed. Returns `None` if the rows contain more
/// options than this number.
fn choices(
    rows: &[Value],
    members: Option<&(String, String)>,
    left: &mut usize,
) -> Option<Vec<Choice>> {
    let mut choices = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        *left = left.checked_sub(1)?;
        let (key, name) = match (members, row) {
            (Some((key, name)), Value::Object(_)) => (
                row.get(key).map(plain).unwrap_or_default(),
                row.get(name).map(plain).unwrap_or_default(),
            ),
            (None, Value::Object(_)) if row.get("key").is_some() => (
                plain(&row["key"]),
                row.get("name").map(plain).unwrap_or_default(),
            ),
            _ => (at.to_string(), plain(row)),
        };
        let below = ["items", "children", "child"]
            .into_iter()
            .find_map(|member| row.get(member)?.as_array());
        let items = choices_below(below, members, left)?;
        if !key.is_empty() {
            choices.push(Choice {
                name: if name.is_empty() { key.clone() } else { name },
                key,
                items,
            });
        }
    }
    Some(choices)
}

fn choices_below(
    rows: Option<&Vec<Value>>,
    members: Option<&(String, String)>,
    left: &mut usize,
) -> Option<Vec<Choice>> {
    rows.map_or_else(|| Some(Vec::new()), |rows| choices(rows, members, left))
}

/// Returns the number of options in a tree. The options of all levels are counted.
pub fn count(choices: &[Choice]) -> usize {
    choices.iter().map(|choice| 1 + count(&choice.items)).sum()
}

/// Returns the first option key that contains a comma. Returns `None` if no key contains a comma. Several
/// selected options are stored as one text with commas between the keys. A key with a comma would therefore
/// look like two keys.
pub fn with_comma(choices: &[Choice]) -> Option<&str> {
    choices.iter().find_map(|choice| {
        if choice.key.contains(',') {
            Some(choice.key.as_str())
        } else {
            with_comma(&choice.items)
        }
    })
}

/// Returns a map from the key of each option to the display name of this option. In a tree of options, a
/// display name contains all names from the root to the option.
pub fn names(choices: &[Choice]) -> BTreeMap<&str, String> {
    fn collect<'a>(choices: &'a [Choice], above: &str, names: &mut BTreeMap<&'a str, String>) {
        for choice in choices {
            let name = if above.is_empty() {
                choice.name.clone()
            } else {
                format!("{above}->{}", choice.name)
            };
            collect(&choice.items, &name, names);
            names.entry(&choice.key).or_insert(name);
        }
    }
    let mut names = BTreeMap::new();
    collect(choices, "", &mut names);
    names
}

/// Returns the names on the path from the root of the tree to the option `key`. Returns `None` if
/// the option does not exist.
pub fn path(choices: &[Choice], key: &str) -> Option<Vec<String>> {
    choices.iter().find_map(|choice| {
        if choice.key == key {
            return Some(vec![choice.name.clone()]);
        }
        let below = path(&choice.items, key)?;
        Some(std::iter::once(choice.name.clone()).chain(below).collect())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(more: &Value) -> Field {
        let mut field = json!({ "id": 1, "key": "host", "type": "SELECT", "name": "主机", "source_type": "API" });
        field
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        serde_json::from_value(field).unwrap()
    }

    fn form(business: &str) -> Variables {
        [("business".to_owned(), json!(business))].into()
    }

    fn hosts() -> Field {
        let request = json!({ "method": "POST", "url": "https://cmdb/hosts/${business}", "body": { "of": "${business}" }, "secret": "cmdb" });
        field(
            &json!({ "source": { "request": request, "rows": "data.info" }, "kv_relation": { "key": "ip", "name": "host_name" } }),
        )
    }

    #[test]
    fn a_request_has_the_form_values_and_never_evaluates_them() {
        let planned = question(&hosts(), &form("2/../${secret}"))
            .unwrap()
            .unwrap();
        assert_eq!(
            (planned.url.as_str(), planned.body.as_str()),
            (
                "https://cmdb/hosts/2%2F..%2F%24%7Bsecret%7D",
                r#"{"of":"2/../${secret}"}"#
            )
        );
        assert_eq!(depends_on(hosts().source.as_deref().unwrap()), ["business"]);
        assert_eq!(
            question(&hosts(), &Variables::new()).unwrap().unwrap_err(),
            "the template uses business, which does not exist"
        );
        assert!(
            question(&field(&json!({})), &form("2")).is_none(),
            "no external system supplies the options"
        );
    }

    #[test]
    fn rows_become_options_and_nested_rows_become_a_tree() {
        let planned = question(&hosts(), &form("2")).unwrap().unwrap();
        let answer = json!({ "result": true, "data": { "info": [
            { "ip": "10.0.0.8", "host_name": "web-1", "items": [{ "ip": 9, "host_name": "web-1-a" }] }, { "ip": "10.0.0.9" }, { "host_name": "no key" },
        ] } });
        let offered = read(&planned, 200, answer.to_string().as_bytes()).unwrap();
        assert_eq!(
            offered
                .iter()
                .map(|choice| (choice.key.as_str(), choice.name.as_str()))
                .collect::<Vec<_>>(),
            [("10.0.0.8", "web-1"), ("10.0.0.9", "10.0.0.9")]
        );
        assert_eq!(path(&offered, "9").unwrap(), ["web-1", "web-1-a"]);
        let plain_list = question(
            &field(&json!({ "source": { "request": { "method": "GET", "url": "https://x" } } })),
            &form(""),
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            read(&plain_list, 200, b"[\"a\",\"b\"]").unwrap()[1],
            Choice {
                key: "1".into(),
                name: "b".into(),
                items: Vec::new()
            }
        );
    }

    #[test]
    fn a_response_without_options_gives_the_reason() {
        let planned = question(&hosts(), &form("2")).unwrap().unwrap();
        for (status, body, reason) in [
            (502, "", "answered 502"),
            (
                200,
                "<html>",
                "answered with a body that is not JSON or is too long",
            ),
            (
                200,
                r#"{"result":false,"code":7,"message":"no right"}"#,
                "answered code 7: no right",
            ),
            (
                200,
                r#"{"result":true,"data":{"info":{}}}"#,
                "the answer has no list at \"data.info\"",
            ),
        ] {
            assert_eq!(read(&planned, status, body.as_bytes()).unwrap_err(), reason);
        }
        let many = json!({ "data": { "info": vec![json!({ "ip": "1" }); OPTIONS_MAX + 1] } });
        assert!(
            read(&planned, 200, many.to_string().as_bytes())
                .unwrap_err()
                .contains("more than 10000")
        );
    }
}
