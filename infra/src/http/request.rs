//! An outgoing HTTP request.

use std::time::Duration;

/// An outgoing HTTP request with its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// The body of the request. It is sent as JSON if no header sets another media type. If it is
    /// empty, no body is sent.
    pub body: Vec<u8>,
    /// Maximum time until the whole response has arrived.
    pub timeout: Duration,
    /// Maximum size of the response body in bytes. Further bytes are dropped.
    pub response_bytes_max: usize,
}

/// Maximum duration of a callback request.
pub const CALLBACK_TIMEOUT: Duration = Duration::from_secs(10);

impl HttpRequest {
    /// Returns a GET request without headers.
    pub fn get(url: impl Into<String>, timeout: Duration, response_bytes_max: usize) -> Self {
        Self {
            method: "GET".into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout,
            response_bytes_max,
        }
    }
}
