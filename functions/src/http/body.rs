//! Bodies and queries of any door, with all bounds checked before anything is parsed.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

/// Largest body.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest pause between two pieces of a body.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for a whole body: a little less than a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// A body up to this size needs no place among the large ones; nearly all requests are smaller.
const SMALL_BYTES: usize = 16 << 10;
/// Kibibytes of large bodies that are being read at once, before their callers are known.
const LARGE_KIB_MAX: usize = 64 << 10;
/// Longest wait for a place among the large bodies.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

static LARGE: Semaphore = Semaphore::const_new(LARGE_KIB_MAX);

/// The reason why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body broke off: {0}")]
    BrokenOff(String),
    #[error("too many large bodies arrive at once; repeat the request after a second")]
    Busy,
}

/// Reads a whole body of at most so many bytes, in bounded time and memory. The host reads on what is left of a body that is too large.
pub async fn read(mut body: Body, most: usize) -> Result<Vec<u8>, NotRead> {
    let announced = http_body::Body::size_hint(&body);
    if announced.lower() > most as u64 {
        return Err(NotRead::TooLarge(most));
    }
    let reading = async {
        let (mut bytes, mut place) = (Vec::<u8>::new(), None);
        while let Some(frame) = tokio::time::timeout(PIECE_TIMEOUT, body.frame()).await.map_err(|_| NotRead::TooSlow)? {
            let Ok(piece) = frame.map_err(|error| NotRead::BrokenOff(error.to_string()))?.into_data() else { continue };
            if bytes.len() + piece.len() > most {
                return Err(NotRead::TooLarge(most));
            }
            if place.is_none() && bytes.len() + piece.len() > SMALL_BYTES {
                let largest = announced.upper().and_then(|bytes| usize::try_from(bytes).ok()).map_or(most, |bytes| bytes.min(most));
                let kib = u32::try_from(largest.div_ceil(1024).min(LARGE_KIB_MAX)).unwrap_or(u32::MAX);
                let waited = tokio::time::timeout(PLACE_TIMEOUT, LARGE.acquire_many(kib)).await;
                place = Some(waited.map_err(|_| NotRead::Busy)?.map_err(|_| NotRead::Busy)?);
            }
            bytes.extend_from_slice(&piece);
        }
        drop(place);
        Ok::<_, NotRead>(bytes)
    };
    tokio::time::timeout(BODY_TIMEOUT, reading).await.unwrap_or(Err(NotRead::TooSlow))
}

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

/// The array or object that a text is, as clients write lists into a form or a query; nothing for other texts.
pub fn nested(text: &str) -> Option<Value> {
    let is_nested = text.trim_start().starts_with(['[', '{']) && depth(text) <= DEPTH_MAX;
    is_nested.then(|| serde_json::from_str(text).ok()).flatten()
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
