//! The response to an outgoing HTTP request, or the reason why no response arrived.

/// Maximum bytes of a response body if the caller uses only the outcome of the request.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// Maximum total bytes of the header names and values that are kept of a response.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// The response to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    /// Pairs of a header name in lower case and its value; at most [`HEADER_BYTES_MAX`] bytes.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body is cut off, because the body was longer than the request allowed.
    pub is_cut: bool,
}

impl HttpResponse {
    /// Returns a response with this status and body, without headers.
    pub fn of(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            body: body.to_vec(),
            ..Self::default()
        }
    }

    /// Returns whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the value of a header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the pause that the header `Retry-After` requests, in milliseconds after `now_ms`
    /// (Unix time). The header contains seconds or an HTTP date (RFC 9110 10.2.3). Returns `None`
    /// if the header is missing or unreadable.
    pub fn retry_after_ms(&self, now_ms: i64) -> Option<i64> {
        let text = self.header("retry-after")?.trim();
        if let Ok(seconds) = text.parse::<u32>() {
            return Some(i64::from(seconds) * 1000);
        }
        let date = httpdate::parse_http_date(text).ok()?;
        let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        let at = i64::try_from(since.as_millis()).ok()?;
        Some((at - now_ms).max(0))
    }
}

/// The reason why a request got no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The request was not sent, so a repetition is harmless.
    #[error("{0}")]
    NotSent(String),
    /// The receiver may have executed the request.
    #[error("{0}")]
    Unknown(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let response = |value: &str| HttpResponse {
            headers: vec![("retry-after".into(), value.into())],
            ..HttpResponse::default()
        };
        let now = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT
        for (value, expected) in [
            ("120", Some(120_000)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60_000)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(response(value).retry_after_ms(now), expected, "{value}");
        }
        assert_eq!(HttpResponse::default().retry_after_ms(now), None);
    }
}
