//! Defines the response to an outgoing HTTP request. Also defines the reasons why a request has no
//! response.

/// Maximum size in bytes of a response body. This limit applies if the caller only needs to know
/// whether the request succeeded.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// Maximum total size in bytes of the header names and values in a response. Further headers are
/// omitted.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// The response to an outgoing HTTP request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    /// The names of the headers in lower case, with their values. The total size is at most
    /// [`HEADER_BYTES_MAX`] bytes.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body is incomplete, because it was longer than the limit of the request.
    pub is_cut: bool,
}

impl HttpResponse {
    /// Returns a response with the given status and body, without headers.
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

    /// Returns the value of the header `name`, which must be in lower case. Returns `None` if the
    /// response does not contain this header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the time in milliseconds that the header `Retry-After` requests. Returns `None` if
    /// the header is missing or unreadable.
    ///
    /// The header contains seconds or an HTTP date (RFC 9110 10.2.3). For a date, the result is the
    /// time from `now_ms` to this date. `now_ms` is the current Unix time in milliseconds.
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

/// The reason why a request has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The request was not sent, so it can safely be repeated.
    #[error("{0}")]
    NotSent(String),
    /// The request was sent, but no response arrived. It is possible that the receiver executed the
    /// request.
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
