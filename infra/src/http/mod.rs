//! Defines the interface for outgoing HTTP requests. Examples are callbacks, requests of automatic
//! workflow nodes, and requests to the login service. Other modules must not send requests with an
//! HTTP library directly, because the rules for outgoing requests would then not apply.

pub mod client;
pub mod closed;
pub mod egress;
pub mod memory;
mod request;
mod response;
pub mod socket;
pub mod tls;

use async_trait::async_trait;
pub use domain::api_call::plan::is_of_connection;
pub use request::{CALLBACK_TIMEOUT, HttpRequest};
pub use reqwest::Url;
pub use response::{HEADER_BYTES_MAX, HttpError, HttpResponse, RESPONSE_BYTES_MAX};

/// Sends HTTP requests.
#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Checks the text of a URL. If requests to the URL are forbidden, returns the reason.
    /// Otherwise returns `None`. The function `send` also checks the addresses of the host name.
    fn refuses(&self, _url: &str) -> Option<String> {
        None
    }
    /// Sends a request and returns its response.
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError>;
    /// Opens a connection over which both sides send texts. `url` begins with `ws://` or `wss://`. If the connection cannot
    /// be opened, returns the reason as an English text without secrets.
    async fn connect(&self, _url: &str) -> Result<Box<dyn socket::Socket>, String> {
        Err("this program opens no connections for texts".into())
    }
}

/// Returns the scheme, the host and the port of a URL. Returns an empty text if the URL is invalid.
pub fn origin(url: &str) -> String {
    url.parse::<Url>()
        .map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}
