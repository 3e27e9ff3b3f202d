//! Bodies and queries of any door, with all bounds checked before anything is parsed.

use serde_json::{Map, Value};

/// Largest body.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of a body.
pub const DEPTH_MAX: usize = 64;

/// The pairs of a query or a form. A key that is given again is a list, as clients send arrays in a query.
pub fn pairs(bytes: &[u8]) -> Map<String, Value> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(bytes).unwrap_or_default();
    let mut map = Map::new();
    for (key, value) in pairs {
        match map.get_mut(&key) {
            None => drop(map.insert(key, Value::String(value))),
            Some(Value::Array(values)) => values.push(Value::String(value)),
            Some(first) => *first = Value::Array(vec![first.take(), Value::String(value)]),
        }
    }
    map
}

/// Why bytes are no JSON object; each door has its own words.
#[derive(Debug, thiserror::Error)]
pub enum NoObject {
    #[error("the body is not UTF-8: {0}")]
    NotUtf8(#[from] std::str::Utf8Error),
    #[error("the body nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("the body is JSON, but no object")]
    AnotherValue,
    #[error("the body is not JSON: {0}")]
    NotJson(serde_json::Error),
}

/// A JSON object.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, NoObject> {
    let text = std::str::from_utf8(bytes)?;
    if depth(text) > DEPTH_MAX {
        return Err(NoObject::TooDeep);
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(NoObject::AnotherValue),
        Err(error) => Err(NoObject::NotJson(error)),
    }
}

/// The deepest nesting of a text, looked at before anything is parsed.
fn depth(text: &str) -> usize {
    let (mut now, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' if !in_text => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_counts_brackets_outside_texts() {
        assert_eq!(depth(r#"{"a":[1,{"b":"[[["}]}"#), 3);
        assert_eq!(depth(r#"{"a":"\"[["}"#), 1);
        assert!(matches!(object("[".repeat(100).as_bytes()), Err(NoObject::TooDeep)));
    }
}
