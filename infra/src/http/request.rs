//! One outgoing HTTP request.

use std::time::Duration;

/// An outgoing HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// JSON unless a header names another media type; an empty body is not sent.
    pub body: Vec<u8>,
    /// Longest time until the complete response.
    pub timeout: Duration,
    /// Maximum bytes of the response body; the rest is cut off.
    pub response_bytes_max: usize,
}

/// Maximum duration of a callback request.
pub const CALLBACK_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns whether only the HTTP client may set a header, because it belongs to the connection or
/// to message framing (RFC 9110 7.6.1, RFC 9112).
pub fn is_of_connection(name: &str) -> bool {
    const OF_CONNECTION: [&str; 14] = [
        "host",
        "content-length",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "http2-settings",
        "proxy-connection",
        "proxy-authorization",
        "proxy-authenticate",
    ];
    let name = name.to_ascii_lowercase();
    OF_CONNECTION.contains(&name.as_str()) || name.starts_with("proxy-")
}
