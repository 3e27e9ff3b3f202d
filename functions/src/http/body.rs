//! Reads request bodies and queries for all HTTP APIs. All size limits are checked before the
//! content is parsed.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

/// The largest accepted body, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// The longest time that the server waits for the next piece of a body.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time in which a whole body must arrive. This limit is shorter than the time limit
/// for handling a whole request, which is 25 seconds.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// The size limit of a small body, in bytes. The server reads a larger body only with a permit,
/// because permits limit the total memory of large bodies. Nearly all bodies are small.
const SMALL_BYTES: usize = 16 << 10;
/// The largest total size of all large bodies that the server reads at the same time, in KiB. The
/// limit protects the memory against callers that are not authenticated yet.
const LARGE_KIB_MAX: usize = 64 << 10;
/// The longest time that a request waits for a permit. The server needs a permit to read a large
/// body, because permits limit the total memory of large bodies.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(5);

static LARGE: Semaphore = Semaphore::const_new(LARGE_KIB_MAX);

/// The reason why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the connection ended before the whole body arrived: {0}")]
    BrokenOff(String),
    #[error("too many large bodies are being read; repeat the request after one second")]
    Busy,
}

impl NotRead {
    /// Returns the status of a response outside of the APIs.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow | Self::BrokenOff(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Reads a whole body of at most `most` bytes, with limits for time and memory. If the body is
/// larger, the function stops reading and returns an error.
pub async fn read(mut body: Body, most: usize) -> Result<Vec<u8>, NotRead> {
    let expected_size = http_body::Body::size_hint(&body);
    if expected_size.lower() > most as u64 {
        return Err(NotRead::TooLarge(most));
    }
    let reading = async {
        let (mut bytes, mut permit) = (Vec::<u8>::new(), None);
        while let Some(frame) = tokio::time::timeout(PIECE_TIMEOUT, body.frame())
            .await
            .map_err(|_| NotRead::TooSlow)?
        {
            let Ok(piece) = frame
                .map_err(|error| NotRead::BrokenOff(error.to_string()))?
                .into_data()
            else {
                continue;
            };
            if bytes.len() + piece.len() > most {
                return Err(NotRead::TooLarge(most));
            }
            if permit.is_none() && bytes.len() + piece.len() > SMALL_BYTES {
                let largest = expected_size
                    .upper()
                    .and_then(|bytes| usize::try_from(bytes).ok())
                    .map_or(most, |bytes| bytes.min(most));
                let kib =
                    u32::try_from(largest.div_ceil(1024).min(LARGE_KIB_MAX)).unwrap_or(u32::MAX);
                let waited = tokio::time::timeout(PERMIT_TIMEOUT, LARGE.acquire_many(kib)).await;
                permit = Some(
                    waited
                        .map_err(|_| NotRead::Busy)?
                        .map_err(|_| NotRead::Busy)?,
                );
            }
            bytes.extend_from_slice(&piece);
        }
        drop(permit);
        Ok::<_, NotRead>(bytes)
    };
    tokio::time::timeout(BODY_TIMEOUT, reading)
        .await
        .unwrap_or(Err(NotRead::TooSlow))
}

/// The largest number of nested levels in a JSON body.
pub const DEPTH_MAX: usize = 64;

/// Returns the name-value pairs of a query or a form. Clients send an array as several pairs with
/// the same name. The values of these pairs therefore become one list.
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

/// The reason why a body is not a valid JSON object. Each API converts the reason to an error
/// message of its own.
#[derive(Debug, thiserror::Error)]
pub enum NoObject {
    #[error("the body is not UTF-8: {0}")]
    NotUtf8(#[from] std::str::Utf8Error),
    #[error("the body is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("the body is JSON, but not an object")]
    AnotherValue,
    #[error("the body is not JSON: {0}")]
    NotJson(serde_json::Error),
}

/// Parses a JSON object in UTF-8. Rejects an object with more than [`DEPTH_MAX`] nested levels.
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

/// Parses a text that contains a JSON array or object. In forms and queries, clients send lists and
/// objects as JSON text. Returns `None` for any other text.
pub fn nested(text: &str) -> Option<Value> {
    let is_nested = text.trim_start().starts_with(['[', '{']) && depth(text) <= DEPTH_MAX;
    is_nested.then(|| serde_json::from_str(text).ok()).flatten()
}

/// Returns the largest number of nested levels in a JSON text. The function only counts brackets,
/// so that a text with too many levels is never parsed.
fn depth(text: &str) -> usize {
    let (mut current, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                current += 1;
                deepest = deepest.max(current);
            }
            b']' | b'}' if !in_text => current = current.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_depth_ignores_brackets_in_strings() {
        assert_eq!(depth(r#"{"a":[1,{"b":"[[["}]}"#), 3);
        assert_eq!(depth(r#"{"a":"\"[["}"#), 1);
        assert!(matches!(
            object("[".repeat(100).as_bytes()),
            Err(NoObject::TooDeep)
        ));
    }
}
