//! The HTTP port: outgoing requests of callbacks, automatic nodes, option sources, the login
//! service, and the directory service. No other module uses an HTTP library for outgoing requests.

pub mod client;
pub mod closed;
pub mod egress;
pub mod memory;
mod request;
mod response;
pub mod tls;

use async_trait::async_trait;
pub use domain::api_call::plan::is_of_connection;
pub use request::{CALLBACK_TIMEOUT, HttpRequest};
pub use reqwest::Url;
pub use response::{HEADER_BYTES_MAX, HttpError, HttpResponse, RESPONSE_BYTES_MAX};

/// Sends HTTP requests.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Returns the reason why a request to a URL is forbidden, or `None`. Checks only the text of
    /// the URL; `send` also resolves and checks the host name.
    fn refuses(&self, _url: &str) -> Option<String> {
        None
    }
    /// Sends a request and returns its response.
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError>;
}

/// Returns scheme, host and port of a URL; returns an empty text if the URL is invalid.
pub fn origin(url: &str) -> String {
    url.parse::<Url>()
        .map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}
