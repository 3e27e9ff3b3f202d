//! The interface for outgoing HTTP requests. It is used for callbacks, automatic nodes, option
//! sources, the login service and the directory service. No other module sends requests with an
//! HTTP library.

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
    /// Returns the reason why a request to a URL is forbidden, or `None` if the URL is allowed.
    /// Checks only the text of the URL. The function `send` also resolves and checks the host name.
    fn refuses(&self, _url: &str) -> Option<String> {
        None
    }
    /// Sends a request and returns its response.
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError>;
}

/// Returns the scheme, the host and the port of a URL. Returns an empty text if the URL is invalid.
pub fn origin(url: &str) -> String {
    url.parse::<Url>()
        .map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}
