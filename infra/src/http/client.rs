//! Sends outgoing HTTP requests. Every request has a timeout. The client verifies TLS certificates
//! and does not follow redirects. It connects only to addresses that the egress rules (rules for
//! outgoing requests) allow.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::egress::Egress;
use super::{HEADER_BYTES_MAX, HttpClient, HttpError, HttpRequest, HttpResponse, is_of_connection};
use crate::{Error, Kind};

/// Maximum duration of a request if the caller sets no timeout.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An HTTP client for outgoing requests.
#[derive(Debug, Clone)]
pub struct Client {
    client: reqwest::Client,
    egress: Arc<Egress>,
}

impl Client {
    /// Creates a client that connects only to addresses that the egress rules (rules for outgoing
    /// requests) allow.
    pub fn new(egress: Egress) -> Result<Self, Error> {
        let egress = Arc::new(egress);
        let client = builder(&egress).timeout(TIMEOUT).build().map_err(|error| {
            Error::because(Kind::Misconfigured, "cannot make an HTTP client", error)
        })?;
        Ok(Self { client, egress })
    }

    /// Creates a client that connects to every address. The desk uses this client only for servers
    /// that the operator has configured.
    pub fn trusted() -> Result<Self, Error> {
        Self::new(Egress::everywhere())
    }

    fn check(&self, url: &str) -> Result<reqwest::Url, String> {
        let url: reqwest::Url = url
            .parse()
            .map_err(|error| format!("the URL is not valid: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the URL is neither http nor https".into());
        }
        // This check covers IP addresses in the URL, and names such as `localhost`. For other host
        // names, the resolver `Allowed` checks the addresses after the DNS lookup.
        match self.egress.closes(url.host_str().unwrap_or_default()) {
            Some(host) => Err(format!("calls to {host} are not allowed (--egress)")),
            None => Ok(url),
        }
    }
}

/// Returns a builder of clients that obey the egress rules.
fn builder(egress: &Arc<Egress>) -> reqwest::ClientBuilder {
    crate::http::tls::client()
        .connect_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent("ledgerdesk")
        .dns_resolver(Arc::new(Allowed(egress.clone())))
}

/// A DNS resolver that returns only the addresses that the egress rules (rules for outgoing
/// requests) allow.
struct Allowed(Arc<Egress>);

impl Resolve for Allowed {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.0.clone();
        Box::pin(async move {
            let allowed = egress.addresses(name.as_str(), 0).await?;
            if allowed.is_empty() {
                return Err(
                    "the name resolves only to addresses that are not allowed (--egress)".into(),
                );
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[async_trait]
impl HttpClient for Client {
    fn refuses(&self, url: &str) -> Option<String> {
        self.check(url).err()
    }

    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let prepared = self.prepare(request).map_err(HttpError::NotSent)?;
        // A URL can contain secrets. Therefore, the function `no_response` removes the URL from the
        // error.
        let mut response = prepared.send().await.map_err(no_response)?;
        let unfinished = |error| HttpError::Unknown(error_chain(error));
        let mut body = Vec::new();
        let mut is_cut = false;
        while let Some(chunk) = response.chunk().await.map_err(unfinished)? {
            body.extend_from_slice(&chunk);
            if body.len() > request.response_bytes_max {
                body.truncate(request.response_bytes_max);
                is_cut = true;
                break;
            }
        }
        Ok(HttpResponse {
            status: response.status().as_u16(),
            headers: kept_headers(response.headers()),
            body,
            is_cut,
        })
    }

    /// Opens a connection with its own HTTP/1.1 client, because HTTP/2 has no such connections.
    #[cfg(feature = "local")]
    async fn connect(&self, url: &str) -> Result<Box<dyn super::socket::Socket>, String> {
        let mut url: reqwest::Url = url.parse().map_err(|_| "the URL is not valid")?;
        let scheme = match url.scheme() {
            "wss" => "https",
            "ws" => "http",
            _ => return Err("the URL is neither ws nor wss".into()),
        };
        url.set_scheme(scheme)
            .map_err(|()| "the URL is not valid")?;
        let url = self.check(url.as_str())?;
        let client = builder(&self.egress).http1_only().build();
        let client = client.map_err(|error| error.to_string())?;
        super::socket::open(&client, url).await
    }
}

impl Client {
    fn prepare(&self, request: &HttpRequest) -> Result<reqwest::RequestBuilder, String> {
        let url = self.check(&request.url)?;
        let method: Method = request
            .method
            .parse()
            .map_err(|_| format!("{:?} is not a method", request.method))?;
        let mut headers = HeaderMap::new();
        if !request.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &request.headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| "a header name is not valid".to_owned())?;
            if is_of_connection(name.as_str()) {
                return Err(format!("header {name} must not be set"));
            }
            // The receiver uses the header `idempotency-key` to recognize a repeated request. The
            // first header with this name comes from the desk, so further headers with this name
            // are ignored.
            if name == "idempotency-key" && headers.contains_key(&name) {
                continue;
            }
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| format!("the value of header {name} is not valid"))?;
            headers.insert(name, value);
        }
        Ok(self
            .client
            .request(method, url)
            .headers(headers)
            .timeout(request.timeout)
            .body(request.body.clone()))
    }
}

/// Returns the response headers up to a total size of [`HEADER_BYTES_MAX`] bytes. A header that exceeds this
/// size, or whose value is not text, is omitted.
fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut bytes = 0;
    headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .filter(|(name, value)| {
            let size = name.len() + value.len();
            let fits = bytes + size <= HEADER_BYTES_MAX;
            bytes += if fits { size } else { 0 };
            fits
        })
        .collect()
}

/// Converts an error that occurred before a response arrived. Returns `NotSent` if the client could
/// not build the request or could not open a connection. Otherwise returns `Unknown`, because it is
/// possible that the receiver executed the request.
fn no_response(error: reqwest::Error) -> HttpError {
    let is_sent = !(error.is_connect() || error.is_builder());
    let reason = error_chain(error);
    if is_sent {
        HttpError::Unknown(reason)
    } else {
        HttpError::NotSent(reason)
    }
}

fn error_chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_header_of_a_response_removes_only_itself() {
        let mut headers = HeaderMap::new();
        let large = "x".repeat(HEADER_BYTES_MAX);
        for (name, value) in [("x-large", large.as_str()), ("retry-after", "90")] {
            headers.append(name, value.parse().expect("a value"));
        }
        let kept = kept_headers(&headers);
        assert_eq!(kept, [("retry-after".to_owned(), "90".to_owned())]);
    }
}
