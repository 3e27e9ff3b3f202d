//! Replaces placeholders such as `${key}` or `{{ key }}` in texts (templates).
//!
//! A placeholder inside an inserted value is not replaced. A value that a user enters is therefore never
//! executed as a template.

use std::collections::BTreeMap;

use events::workflow::FieldKind;
use serde_json::Value;

use crate::value::plain;

/// The values that replace the placeholders. Each key of the map is the key of a placeholder, such as `key`
/// in `${key}`.
pub type Variables = BTreeMap<String, Value>;

/// One part of a template. The part is either normal text or a placeholder.
enum Piece<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let opening = [("${", "}"), ("{{", "}}")]
            .into_iter()
            .filter_map(|(open, close)| Some((rest.find(open)?, open, close)))
            .min_by_key(|(at, _, _)| *at);
        let Some((at, open, close)) = opening else {
            break;
        };
        let Some(end) = rest[at + open.len()..].find(close) else {
            break;
        };
        pieces.push(Piece::Text(&rest[..at]));
        pieces.push(Piece::Placeholder(
            rest[at + open.len()..at + open.len() + end].trim(),
        ));
        rest = &rest[at + open.len() + end + close.len()..];
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// Returns the keys of all placeholders in a text, such as `key` for the placeholder `${key}`.
pub fn placeholders(text: &str) -> Vec<String> {
    let key = |piece| match piece {
        Piece::Placeholder(key) => Some(key.strip_prefix("params_").unwrap_or(key).to_owned()),
        Piece::Text(_) => None,
    };
    pieces(text).into_iter().filter_map(key).collect()
}

/// Returns the keys of all placeholders in the texts of a JSON value.
pub fn holes_of_json(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => placeholders(text),
        Value::Array(items) => items.iter().flat_map(holes_of_json).collect(),
        Value::Object(members) => members.values().flat_map(holes_of_json).collect(),
        _ => Vec::new(),
    }
}

fn find<'a>(key: &str, variables: &'a Variables) -> Result<&'a Value, String> {
    let plain = key.strip_prefix("params_").unwrap_or(key);
    variables
        .get(key)
        .or_else(|| variables.get(plain))
        .ok_or_else(|| format!("the template uses {key}, which does not exist"))
}

/// Replaces each placeholder in a text with its value. The function `encode` converts each value to the
/// format of the result, such as an encoded part of a URL. Returns an error if a placeholder has no value.
pub fn fill(
    text: &str,
    variables: &Variables,
    encode: impl Fn(&str) -> String,
) -> Result<String, String> {
    pieces(text)
        .into_iter()
        .map(|piece| match piece {
            Piece::Text(text) => Ok(text.to_owned()),
            Piece::Placeholder(key) => find(key, variables).map(|value| encode(&plain(value))),
        })
        .collect()
}

/// Escapes a text so that it can be inserted into a JSON string.
fn escaped(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Returns a value as JSON text for a placeholder that is not inside quotes. If the value is a text that is
/// itself valid JSON, such as `5`, the text is returned without quotes.
fn json_value(value: &Value) -> String {
    match value {
        Value::String(text) if serde_json::from_str::<Value>(text).is_ok() => text.clone(),
        other => other.to_string(),
    }
}

/// Replaces the placeholders in a template that is a JSON text. A value inside quotes is inserted as escaped
/// text, and a value outside of quotes is inserted as JSON. If the template is not valid JSON, all values are
/// inserted as escaped text.
pub fn fill_json_text(text: &str, variables: &Variables) -> Result<String, String> {
    let pieces = pieces(text);
    let (mut quoted, mut is_escaped, mut is_quoted) = (Vec::new(), false, false);
    let mut sample = String::new();
    for piece in &pieces {
        match piece {
            Piece::Text(text) => {
                sample.push_str(text);
                for byte in text.bytes() {
                    match byte {
                        _ if is_escaped => is_escaped = false,
                        b'\\' if is_quoted => is_escaped = true,
                        b'"' => is_quoted = !is_quoted,
                        _ => {}
                    }
                }
            }
            Piece::Placeholder(_) => {
                quoted.push(is_quoted);
                sample.push_str(if is_quoted { "" } else { "null" });
            }
        }
    }
    if serde_json::from_str::<Value>(&sample).is_err() {
        return fill(text, variables, escaped);
    }
    let mut quoted = quoted.into_iter();
    let one = |piece: Piece<'_>| -> Result<String, String> {
        match piece {
            Piece::Text(text) => Ok(text.to_owned()),
            Piece::Placeholder(key) => {
                let value = find(key, variables)?;
                Ok(if quoted.next() == Some(true) {
                    escaped(&plain(value))
                } else {
                    json_value(value)
                })
            }
        }
    };
    pieces.into_iter().map(one).collect()
}

/// Replaces the placeholders in all texts of a JSON value. If a text is exactly one placeholder, the value
/// replaces the whole text and keeps its JSON type.
pub fn fill_json(value: &Value, variables: &Variables) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => match &pieces(text)[..] {
            [Piece::Text(""), Piece::Placeholder(key), Piece::Text("")] => {
                find(key, variables)?.clone()
            }
            _ => fill(text, variables, str::to_owned)?.into(),
        },
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| fill_json(item, variables))
                .collect::<Result<_, _>>()?,
        ),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(key, member)| Ok((key.clone(), fill_json(member, variables)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other.clone(),
    })
}

/// Converts the value of a number field or a boolean field from text to its JSON type, because forms contain
/// these values as text. Other values are returned unchanged.
pub fn typed(kind: FieldKind, value: Value) -> Value {
    match (kind, &value) {
        (FieldKind::Int, Value::String(text)) => {
            serde_json::from_str::<serde_json::Number>(text.trim()).map_or(value, Value::Number)
        }
        (FieldKind::Boolean, Value::String(text)) if text == "true" || text == "false" => {
            (text == "true").into()
        }
        _ => value,
    }
}

/// Encodes a text with percent signs for the path or the query of a URL. Letters, digits and the other
/// unreserved characters (RFC 3986 2.3) remain unchanged.
pub fn percent(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables() -> Variables {
        [
            ("title".to_owned(), json!("a/b ${host} \"")),
            ("host".into(), json!("10.0.0.8")),
            ("count".into(), json!(3)),
            ("rows".into(), json!([{ "ip": 1 }])),
        ]
        .into()
    }

    #[test]
    fn an_inserted_value_is_never_read_as_a_template() {
        assert_eq!(
            fill("<${title}>", &variables(), str::to_owned).unwrap(),
            "<a/b ${host} \">"
        );
        assert_eq!(
            fill("/x/${title}", &variables(), percent).unwrap(),
            "/x/a%2Fb%20%24%7Bhost%7D%20%22"
        );
    }

    #[test]
    fn a_single_placeholder_keeps_the_type_of_its_value() {
        let body = json!({ "n": "${params_count}", "all": "{{ rows }}", "text": "n=${count}", "t": "${title}" });
        let filled = json!({ "n": 3, "all": [{ "ip": 1 }], "text": "n=3", "t": "a/b ${host} \"" });
        assert_eq!(fill_json(&body, &variables()).unwrap(), filled);
    }

    #[test]
    fn a_json_template_is_valid_json_after_replacement() {
        let mut variables = variables();
        variables.extend([
            ("none".to_owned(), Value::Null),
            ("config".to_owned(), json!("{\"a\": [1]}")),
            ("words".to_owned(), json!("a, \"b\": 1")),
        ]);
        for (template, filled) in [
            (
                r#"{"r": {{rows}}, "n": {{ count }}, "o": {{none}}}"#,
                r#"{"r": [{"ip":1}], "n": 3, "o": null}"#,
            ),
            (
                r#"{"r": "{{rows}}", "n": "{{count}}", "o": "{{none}}"}"#,
                r#"{"r": "[{\"ip\":1}]", "n": "3", "o": ""}"#,
            ),
            (
                r#"{"w": {{words}}, "c": {{config}}}"#,
                r#"{"w": "a, \"b\": 1", "c": {"a": [1]}}"#,
            ),
            (
                r#"{"q\"": {{count}}, "{{host}}": 1}"#,
                r#"{"q\"": 3, "10.0.0.8": 1}"#,
            ),
            ("{{rows}}", r#"[{"ip":1}]"#),
            ("t={{words}}", r#"t=a, \"b\": 1"#),
        ] {
            assert_eq!(
                fill_json_text(template, &variables).unwrap(),
                filled,
                "{template}"
            );
        }
        assert_eq!(
            fill_json_text("{\"a\": {{gone}}}", &variables).unwrap_err(),
            "the template uses gone, which does not exist"
        );
    }

    #[test]
    fn an_unknown_placeholder_is_named_in_the_error() {
        assert_eq!(
            fill("${gone}", &variables(), str::to_owned).unwrap_err(),
            "the template uses gone, which does not exist"
        );
        assert_eq!(
            fill("$ {x} ${open", &variables(), str::to_owned).unwrap(),
            "$ {x} ${open"
        );
    }
}
