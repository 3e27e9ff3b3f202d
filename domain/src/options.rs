//! Options of a field that stand in another system: what is asked for them, and what the answer offers.

use std::collections::BTreeMap;

use events::service_task::Source;
use events::workflow::{Choice, Definition, Field};
use serde_json::Value;

use crate::api_call::judge::{found, said};
use crate::api_call::plan::{Wanted, of_request};
use crate::api_call::template::{Variables, holes_of_json, placeholders, typed};
use crate::condition::Found;
use crate::ticket::form::plain;

/// Options that are taken from one answer, those below others included.
pub const OPTIONS_MAX: usize = 10_000;

/// Bytes of one question, so that what people typed does not fill the memory of whoever keeps the answers.
pub const QUESTION_BYTES_MAX: usize = 8192;

/// One question for options. Two fields, or two tickets, that ask the same share the answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// JSON; empty where nothing is sent.
    pub body: String,
    /// The name of a secret in the key store that holds further headers.
    pub secret: String,
    pub timeout_ms: i64,
    rows: String,
    /// The members of a row that are an option's key and name; without them a row is its own name, and its place the key.
    members: Option<(String, String)>,
}

/// What came of a question: options, or in words why there are none.
pub type Offered = Result<Vec<Choice>, String>;

/// The question a field's options hang on, as the form stands now; `None` where no other system supplies them.
pub fn question(field: &Field, form: &Variables) -> Option<Result<Question, String>> {
    let source = field.source.as_deref()?;
    let members = field
        .kv_relation
        .as_ref()
        .map(|kv| (kv.key.clone(), kv.name.clone()))
        .filter(|(key, _)| !key.is_empty());
    let asked = |wanted: Wanted| {
        let body = wanted.body_text();
        let bytes = wanted.url.len()
            + body.len()
            + wanted
                .headers
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>();
        if bytes > QUESTION_BYTES_MAX {
            return Err(format!(
                "what was filled in makes a question of more than {QUESTION_BYTES_MAX} bytes"
            ));
        }
        let (secret, rows) = (source.request.secret.clone(), source.rows.clone());
        Ok(Question {
            method: wanted.method,
            url: wanted.url,
            headers: wanted.headers,
            body,
            secret,
            timeout_ms: wanted.timeout_ms,
            rows,
            members,
        })
    };
    Some(of_request(&source.request, form).and_then(asked))
}

/// What questions may ask for: every field, empty where it is not filled in.
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

/// Keys of the fields that the options of a field depend on.
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

/// The options an answer offers. An envelope that says `result: false` offers none.
pub fn read(question: &Question, status: u16, body: &[u8]) -> Offered {
    if !(200..300).contains(&status) {
        return Err(format!("answered {status}"));
    }
    let answer: Value = serde_json::from_slice(body)
        .map_err(|_| "answered something that is not JSON, or too long".to_owned())?;
    if answer.get("result") == Some(&Value::Bool(false)) {
        return Err(said(&answer));
    }
    let rows = if question.rows.is_empty() {
        answer.get("data").or(Some(&answer))
    } else {
        found(&answer, &question.rows)
    };
    let rows = rows
        .and_then(Value::as_array)
        .ok_or_else(|| format!("the answer has no list at {:?}", question.rows))?;
    let mut left = OPTIONS_MAX;
    choices(rows, question.members.as_ref(), &mut left)
        .ok_or_else(|| format!("the answer has more than {OPTIONS_MAX} options"))
}

/// Rows as options; those below a row make a tree. `None` where there are too many.
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

/// How many options there are, those below others included.
pub fn count(choices: &[Choice]) -> usize {
    choices.iter().map(|choice| 1 + count(&choice.items)).sum()
}

/// The first option whose key has a comma: chosen options are a text between commas, so such a key looks like two others.
pub fn with_comma(choices: &[Choice]) -> Option<&str> {
    choices.iter().find_map(|choice| {
        if choice.key.contains(',') {
            Some(choice.key.as_str())
        } else {
            with_comma(&choice.items)
        }
    })
}

/// Every option of a tree by key, each by the names from the top down to it.
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

/// The names from the top of a tree of options down to one of them.
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
    fn a_question_holds_what_was_filled_in_and_nothing_of_it_is_evaluated() {
        let asked = question(&hosts(), &form("2/../${secret}"))
            .unwrap()
            .unwrap();
        assert_eq!(
            (asked.url.as_str(), asked.body.as_str()),
            (
                "https://cmdb/hosts/2%2F..%2F%24%7Bsecret%7D",
                r#"{"of":"2/../${secret}"}"#
            )
        );
        assert_eq!(depends_on(hosts().source.as_deref().unwrap()), ["business"]);
        assert_eq!(
            question(&hosts(), &Variables::new()).unwrap().unwrap_err(),
            "the template asks for business, which does not exist"
        );
        assert!(
            question(&field(&json!({})), &form("2")).is_none(),
            "nothing supplies them"
        );
    }

    #[test]
    fn rows_become_options_and_rows_below_rows_a_tree() {
        let asked = question(&hosts(), &form("2")).unwrap().unwrap();
        let answer = json!({ "result": true, "data": { "info": [
            { "ip": "10.0.0.8", "host_name": "web-1", "items": [{ "ip": 9, "host_name": "web-1-a" }] }, { "ip": "10.0.0.9" }, { "host_name": "no key" },
        ] } });
        let offered = read(&asked, 200, answer.to_string().as_bytes()).unwrap();
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
    fn an_answer_without_options_says_why() {
        let asked = question(&hosts(), &form("2")).unwrap().unwrap();
        for (status, body, reason) in [
            (502, "", "answered 502"),
            (
                200,
                "<html>",
                "answered something that is not JSON, or too long",
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
            assert_eq!(read(&asked, status, body.as_bytes()).unwrap_err(), reason);
        }
        let many = json!({ "data": { "info": vec![json!({ "ip": "1" }); OPTIONS_MAX + 1] } });
        assert!(
            read(&asked, 200, many.to_string().as_bytes())
                .unwrap_err()
                .contains("more than 10000")
        );
    }
}
