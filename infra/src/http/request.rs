//! Defines an outgoing HTTP request with its limits.

use std::time::Duration;

/// An outgoing HTTP request with its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// The request body. The body is sent as JSON if no header sets another media type. An empty
    /// body is not sent.
    pub body: Vec<u8>,
    /// Maximum time from the start of the request to the end of the response.
    pub timeout: Duration,
    /// Maximum size in bytes of the response body. Further bytes are ignored.
    pub response_bytes_max: usize,
}

/// Maximum duration of a callback request. With a callback, the desk informs another system about
/// an event.
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
