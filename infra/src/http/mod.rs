//! The HTTP port: outgoing requests of callbacks and automatic nodes.

pub mod client;
pub mod closed;
pub mod egress;
pub mod memory;

use async_trait::async_trait;

/// An outgoing HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// JSON; an empty body is not sent.
    pub body: Vec<u8>,
    pub timeout: std::time::Duration,
    /// Maximum bytes of the response body; the rest is cut off.
    pub response_bytes_max: usize,
}

/// Maximum duration of a callback request.
pub const CALLBACK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The response to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// Returns a response with this status and body.
    pub fn of(status: u16, body: &[u8]) -> Self {
        Self {
            status,
            body: body.to_vec(),
        }
    }
}

/// Maximum bytes of a response body of which only the outcome is used.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024;

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

/// Sends HTTP requests. An `Err` is the reason why no response arrived.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Returns the reason why the text of a URL forbids a request, or `None`; host names are
    /// resolved only by `call`.
    fn refuses(&self, _url: &str) -> Option<String> {
        None
    }
    /// Sends a request and returns its response.
    async fn call(&self, call: &HttpRequest) -> Result<HttpResponse, String>;
}
