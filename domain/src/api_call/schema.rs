//! Converts the body of a request to the types that a JSON schema requires (reference/bk-itsm.md 8.1). Of the
//! schema, only the types, the members, the list items and the required members are used.

use serde_json::{Map, Value};

use crate::value::plain;

/// Converts the values in a request body to the types in the schema. A text can become a number, a boolean, a
/// list or an object. A number or a boolean can become a text. The error names a value that cannot be
/// converted (by its path in the body) and the type that the schema requires.
pub fn conform(schema: &Value, value: Value) -> Result<Value, String> {
    conform_at(schema, value, "body")
}

/// Returns true if the value is a JSON schema, and false if the value is a normal request body. A schema has
/// the type `object` and the member `properties`, or the type `array` and the member `items`.
pub fn is_schema(value: &Value) -> bool {
    value["type"] == "object" && value["properties"].is_object()
        || value["type"] == "array" && value["items"].is_object()
}

fn conform_at(schema: &Value, value: Value, path: &str) -> Result<Value, String> {
    let not = |what: &str| Err(format!("{path} is not {what}"));
    // If the schema does not contain exactly one type, the required type is unknown. The value then does not
    // change.
    let Some(kind) = schema["type"].as_str() else {
        return Ok(value);
    };
    match (kind, value) {
        ("object", Value::Object(members)) => object(schema, members, path),
        ("array", Value::Array(items)) => {
            let items = items.into_iter().enumerate().map(|(index, item)| {
                conform_at(&schema["items"], item, &format!("{path}.{index}"))
            });
            items.collect::<Result<Vec<_>, _>>().map(Value::from)
        }
        ("object" | "array", Value::String(text)) => match serde_json::from_str::<Value>(&text) {
            Ok(read)
                if read.is_object() && kind == "object" || read.is_array() && kind == "array" =>
            {
                conform_at(schema, read, path)
            }
            // If several options are selected, a form stores their keys as one text. Commas separate the
            // keys.
            _ if kind == "array" => {
                let parts = text
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(Value::from)
                    .collect::<Vec<_>>();
                conform_at(schema, parts.into(), path)
            }
            _ => not("an object"),
        },
        ("integer" | "number", Value::String(text)) => {
            match serde_json::from_str::<serde_json::Number>(text.trim()) {
                Ok(number)
                    if kind == "number"
                        || number.as_f64().is_some_and(|number| number.fract() == 0.0) =>
                {
                    Ok(number.into())
                }
                _ => not(if kind == "integer" {
                    "an integer"
                } else {
                    "a number"
                }),
            }
        }
        ("integer", Value::Number(number))
            if number.as_f64().is_some_and(|number| number.fract() == 0.0) =>
        {
            Ok(number.into())
        }
        ("number", value @ Value::Number(_))
        | ("boolean", value @ Value::Bool(_))
        | ("string", value @ Value::String(_)) => Ok(value),
        ("boolean", Value::String(text)) => match text.trim().to_lowercase().as_str() {
            "true" | "1" => Ok(true.into()),
            "false" | "0" => Ok(false.into()),
            _ => not("true or false"),
        },
        ("string", value @ (Value::Number(_) | Value::Bool(_))) => Ok(plain(&value).into()),
        // A null represents a field without a value. The function `object` later removes this null together
        // with its member name.
        (_, Value::Null) => Ok(Value::Null),
        ("object", _) => not("an object"),
        ("array", _) => not("a list"),
        ("integer", _) => not("an integer"),
        ("number", _) => not("a number"),
        ("boolean", _) => not("true or false"),
        ("string", _) => not("a text"),
        (_, value) => Ok(value),
    }
}

fn object(schema: &Value, members: Map<String, Value>, path: &str) -> Result<Value, String> {
    let mut conforming = Map::new();
    for (key, member) in members {
        // A form stores an empty text for a field without a value. If the schema requires another type, the
        // desk omits the member that contains this empty text.
        let member_schema = &schema["properties"][&key];
        let is_text = matches!(member_schema["type"].as_str(), None | Some("string"));
        let has_no_value = member.is_null() || (!is_text && member == "");
        if !has_no_value {
            conforming.insert(
                key.clone(),
                conform_at(member_schema, member, &format!("{path}.{key}"))?,
            );
        }
    }
    let required = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let necessary = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, member)| member["is_necessary"] == true)
        .map(|(key, _)| key.as_str());
    match required
        .chain(necessary)
        .find(|key| !conforming.contains_key(*key))
    {
        Some(missing) => Err(format!("{path}.{missing} is missing")),
        None => Ok(conforming.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({ "type": "object", "required": ["count"], "properties": {
            "count": { "type": "integer" }, "load": { "type": "number" }, "now": { "type": "boolean" }, "name": { "type": "string" },
            "hosts": { "type": "array", "items": { "type": "integer" } }, "more": { "type": "object", "properties": { "id": { "type": "integer" } } },
        } })
    }

    #[test]
    fn text_values_become_the_types_of_the_schema() {
        let body = json!({ "count": "3", "load": "0.5", "now": "true", "name": 7, "hosts": "1, 2", "more": "{\"id\": \"9\"}", "else": "x" });
        let fits = json!({ "count": 3, "load": 0.5, "now": true, "name": "7", "hosts": [1, 2], "more": { "id": 9 }, "else": "x" });
        assert_eq!(conform(&schema(), body), Ok(fits));
        assert_eq!(
            conform(&schema(), json!({ "count": 1, "load": "", "hosts": null })),
            Ok(json!({ "count": 1 })),
            "a field without a value is omitted"
        );
        assert!(
            is_schema(&schema())
                && !is_schema(&json!({ "type": "object" }))
                && !is_schema(&json!({ "properties": "x" }))
        );
    }

    #[test]
    fn an_error_names_the_path_and_the_expected_type() {
        for (body, reason) in [
            (json!({ "count": "many" }), "body.count is not an integer"),
            (json!({ "count": 1.5 }), "body.count is not an integer"),
            (json!({ "count": "" }), "body.count is missing"),
            (
                json!({ "count": 1, "now": "perhaps" }),
                "body.now is not true or false",
            ),
            (
                json!({ "count": 1, "hosts": "1,x" }),
                "body.hosts.1 is not an integer",
            ),
            (
                json!({ "count": 1, "more": { "id": [] } }),
                "body.more.id is not an integer",
            ),
            (
                json!({ "count": 1, "more": "x" }),
                "body.more is not an object",
            ),
            (json!("x"), "body is not an object"),
        ] {
            assert_eq!(conform(&schema(), body), Err(reason.to_owned()));
        }
    }
}
