//! Implements an HTTP client that sends no request. Programs that must not send requests use this
//! client.

use async_trait::async_trait;

use super::{HttpClient, HttpError, HttpRequest, HttpResponse};

/// An HTTP client that rejects every request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Closed;

/// The reason that the client returns for every request.
const REASON: &str = "this program sends no outgoing requests";

#[async_trait]
impl HttpClient for Closed {
    fn refuses(&self, _url: &str) -> Option<String> {
        Some(REASON.into())
    }
    async fn send(&self, _request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        Err(HttpError::NotSent(REASON.into()))
    }
}
