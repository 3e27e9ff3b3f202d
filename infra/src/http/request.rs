//! One outgoing HTTP request.

use std::time::Duration;

/// An outgoing HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// The body is JSON unless a header names another media type; an empty body is not sent.
    pub body: Vec<u8>,
    /// Maximum time until the response is complete.
    pub timeout: Duration,
    /// Maximum bytes of the response body; further bytes are cut off.
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
