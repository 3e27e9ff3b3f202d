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

/// A JSON object, or in words why it is none.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("请求体不是 UTF-8: {error}"))?;
    if depth(text) > DEPTH_MAX {
        return Err(format!("请求体嵌套超过 {DEPTH_MAX} 层"));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("请求体不是 JSON 对象".into()),
        Err(error) => Err(format!("请求体不是合法的 JSON: {error}")),
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
        assert!(object("[".repeat(100).as_bytes()).unwrap_err().contains("嵌套"));
    }
}
