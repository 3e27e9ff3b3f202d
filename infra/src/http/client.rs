//! The HTTP client: a timeout for every request, TLS checks, no redirects, and only addresses that
//! egress allows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::egress::Egress;
use super::{HttpClient, HttpRequest, HttpResponse, is_of_connection};
use crate::{Error, Kind};

/// Maximum duration of a request without its own timeout.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An HTTP client for outgoing requests.
#[derive(Debug, Clone)]
pub struct Client {
    client: reqwest::Client,
    egress: Arc<Egress>,
}

impl Client {
    /// Creates a client that obeys the egress rules.
    pub fn new(egress: Egress) -> Result<Self, Error> {
        let egress = Arc::new(egress);
        let client = crate::tls::client()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("ledgerdesk")
            .dns_resolver(Arc::new(Allowed(egress.clone())))
            .build()
            .map_err(|error| {
                Error::because(Kind::Misconfigured, "cannot make an HTTP client", error)
            })?;
        Ok(Self { client, egress })
    }

    fn check(&self, url: &str) -> Result<reqwest::Url, String> {
        let url: reqwest::Url = url
            .parse()
            .map_err(|error| format!("the URL is not valid: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the URL is neither http nor https".into());
        }
        // Host names are checked after they are resolved.
        match self.egress.closes(url.host_str().unwrap_or_default()) {
            Some(host) => Err(format!("calls to {host} are not allowed (--egress)")),
            None => Ok(url),
        }
    }
}

/// Resolves host names and drops addresses that egress forbids.
struct Allowed(Arc<Egress>);

impl Resolve for Allowed {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.0.clone();
        Box::pin(async move {
            let is_named = egress.allows_host(name.as_str());
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = addresses
                .filter(|address| is_named || egress.allows(address.ip()))
                .collect();
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

    async fn call(&self, call: &HttpRequest) -> Result<HttpResponse, String> {
        let url = self.check(&call.url)?;
        let method: Method = call
            .method
            .parse()
            .map_err(|_| format!("{:?} is not a method", call.method))?;
        let mut headers = HeaderMap::new();
        if !call.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &call.headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| "a header name is not valid".to_owned())?;
            if is_of_connection(name.as_str()) {
                return Err(format!("header {name} must not be set"));
            }
            // The first value is set by the desk; the receiver recognizes repeated requests by it.
            if name == "idempotency-key" && headers.contains_key(&name) {
                continue;
            }
            let value = value
                .parse()
                .map_err(|_| format!("the value of header {name} is not valid"))?;
            headers.insert(name, value);
        }
        let request = self
            .client
            .request(method, url)
            .headers(headers)
            .timeout(call.timeout)
            .body(call.body.clone());
        // Errors of the client can contain the URL, which can contain secrets.
        let mut response = request.send().await.map_err(error_chain)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while body.len() < call.response_bytes_max
            && let Some(chunk) = response.chunk().await.map_err(error_chain)?
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(call.response_bytes_max);
        Ok(HttpResponse { status, body })
    }
}

fn error_chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
