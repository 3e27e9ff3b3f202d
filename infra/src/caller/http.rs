//! Calls over HTTP: one client, a timeout on every call, TLS checked, no redirects, and only where egress allows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::egress::Egress;
use super::{Answer, Call, Caller, is_of_connection};
use crate::{Error, Kind};

/// Longest time for a whole call that does not say how long it may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An HTTP client for outgoing calls.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    egress: Arc<Egress>,
}

impl Http {
    pub fn new(egress: Egress) -> Result<Self, Error> {
        let egress = Arc::new(egress);
        let client = crate::tls::client()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("ledgerdesk")
            .dns_resolver(Arc::new(Allowed(egress.clone())))
            .build()
            .map_err(|error| Error::because(Kind::Misconfigured, "cannot make an HTTP client", error))?;
        Ok(Self { client, egress })
    }

    fn check(&self, url: &str) -> Result<reqwest::Url, String> {
        let url: reqwest::Url = url.parse().map_err(|error| format!("the URL is not valid: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the URL is neither http nor https".into());
        }
        // Names are looked at when they are resolved.
        match self.egress.closes(url.host_str().unwrap_or_default()) {
            Some(host) => Err(format!("calls to {host} are not allowed (--egress)")),
            None => Ok(url),
        }
    }
}

/// Resolves names, leaving out addresses that may not be called.
struct Allowed(Arc<Egress>);

impl Resolve for Allowed {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.0.clone();
        Box::pin(async move {
            let is_named = egress.allows_host(name.as_str());
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| is_named || egress.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err("the name leads only to addresses that may not be called (--egress)".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[async_trait]
impl Caller for Http {
    fn refuses(&self, url: &str) -> Option<String> {
        self.check(url).err()
    }

    async fn call(&self, call: &Call) -> Result<Answer, String> {
        let url = self.check(&call.url)?;
        let method: Method = call.method.parse().map_err(|_| format!("{:?} is not a method", call.method))?;
        let mut headers = HeaderMap::new();
        if !call.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &call.headers {
            let name: HeaderName = name.parse().map_err(|_| "a header name is not valid".to_owned())?;
            if is_of_connection(name.as_str()) {
                return Err(format!("header {name} must not be set"));
            }
            // The first one is the desk's own: by it the receiver recognizes a repetition.
            if name == "idempotency-key" && headers.contains_key(&name) {
                continue;
            }
            let value = value.parse().map_err(|_| format!("the value of header {name} is not valid"))?;
            headers.insert(name, value);
        }
        let request = self.client.request(method, url).headers(headers).timeout(call.timeout).body(call.body.clone());
        // Errors of the client may carry the URL, which may carry secrets.
        let mut response = request.send().await.map_err(words)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while body.len() < call.answer_bytes_max
            && let Some(chunk) = response.chunk().await.map_err(words)?
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(call.answer_bytes_max);
        Ok(Answer { status, body })
    }
}

fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
}
