//! What an API says of the body it takes: a JSON schema, of which types, members, items and what is required count (reference/bk-itsm.md 8.1).

use serde_json::{Map, Value};

use crate::ticket::form::plain;

/// Makes a filled body what its schema says: a text becomes the number, truth value, list or object that is asked for, anything plain the text. An `Err` names
/// what does not fit, and where.
pub fn conform(schema: &Value, value: Value) -> Result<Value, String> {
    at(schema, value, "body")
}

/// Says whether something is a schema, rather than a body: an object that tells the type of something and its members.
pub fn is_schema(value: &Value) -> bool {
    value["type"] == "object" && value["properties"].is_object()
        || value["type"] == "array" && value["items"].is_object()
}

fn at(schema: &Value, value: Value, place: &str) -> Result<Value, String> {
    let wrong = |what: &str| Err(format!("{place} is not {what}"));
    // What may be of several types, or of none, stays as it is.
    let Some(kind) = schema["type"].as_str() else {
        return Ok(value);
    };
    match (kind, value) {
        ("object", Value::Object(members)) => object(schema, members, place),
        ("array", Value::Array(items)) => {
            let items = items
                .into_iter()
                .enumerate()
                .map(|(index, item)| at(&schema["items"], item, &format!("{place}.{index}")));
            items.collect::<Result<Vec<_>, _>>().map(Value::from)
        }
        ("object" | "array", Value::String(text)) => match serde_json::from_str::<Value>(&text) {
            Ok(read)
                if read.is_object() && kind == "object" || read.is_array() && kind == "array" =>
            {
                at(schema, read, place)
            }
            // Several things that were chosen are a text between commas.
            _ if kind == "array" => {
                let parts = text
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(Value::from)
                    .collect::<Vec<_>>();
                at(schema, parts.into(), place)
            }
            _ => wrong("an object"),
        },
        ("integer" | "number", Value::String(text)) => {
            match serde_json::from_str::<serde_json::Number>(text.trim()) {
                Ok(number)
                    if kind == "number"
                        || number.as_f64().is_some_and(|number| number.fract() == 0.0) =>
                {
                    Ok(number.into())
                }
                _ => wrong(if kind == "integer" {
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
            _ => wrong("true or false"),
        },
        ("string", value @ (Value::Number(_) | Value::Bool(_))) => Ok(plain(&value).into()),
        // What was not filled in is left out where it may be.
        (_, Value::Null) => Ok(Value::Null),
        ("object", _) => wrong("an object"),
        ("array", _) => wrong("a list"),
        ("integer", _) => wrong("an integer"),
        ("number", _) => wrong("a number"),
        ("boolean", _) => wrong("true or false"),
        ("string", _) => wrong("a text"),
        (_, value) => Ok(value),
    }
}

fn object(schema: &Value, members: Map<String, Value>, place: &str) -> Result<Value, String> {
    let mut conforming = Map::new();
    for (key, member) in members {
        // Nothing was filled in: an empty text is no number, and no list of one.
        let member_schema = &schema["properties"][&key];
        let is_text = matches!(member_schema["type"].as_str(), None | Some("string"));
        let is_nothing = member.is_null() || (!is_text && member == "");
        if !is_nothing {
            conforming.insert(
                key.clone(),
                at(member_schema, member, &format!("{place}.{key}"))?,
            );
        }
    }
    let required = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let marked = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, member)| member["is_necessary"] == true)
        .map(|(key, _)| key.as_str());
    match required
        .chain(marked)
        .find(|key| !conforming.contains_key(*key))
    {
        Some(missing) => Err(format!("{place}.{missing} is missing")),
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
    fn what_was_filled_in_as_text_becomes_what_is_asked_for() {
        let body = json!({ "count": "3", "load": "0.5", "now": "true", "name": 7, "hosts": "1, 2", "more": "{\"id\": \"9\"}", "else": "x" });
        let fits = json!({ "count": 3, "load": 0.5, "now": true, "name": "7", "hosts": [1, 2], "more": { "id": 9 }, "else": "x" });
        assert_eq!(conform(&schema(), body), Ok(fits));
        assert_eq!(
            conform(&schema(), json!({ "count": 1, "load": "", "hosts": null })),
            Ok(json!({ "count": 1 })),
            "what was not filled in is left out"
        );
        assert!(
            is_schema(&schema())
                && !is_schema(&json!({ "type": "object" }))
                && !is_schema(&json!({ "properties": "x" }))
        );
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
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
