//! Calls over HTTP: one client, a timeout on every call, no redirects, and no way to reach the desk's own machine unless allowed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::{ANSWER_BYTES_MAX, Answer, Call, Caller};
use crate::{Error, Kind};

/// Longest time for a whole call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An HTTP client for callbacks.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    allows_loopback: bool,
}

impl Http {
    pub fn new(allows_loopback: bool) -> Result<Self, Error> {
        let builder = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("ledgerdesk")
            .no_proxy();
        let builder = if allows_loopback { builder } else { builder.dns_resolver(std::sync::Arc::new(OutsideOnly)) };
        let client = builder.build().map_err(|error| Error::because(Kind::Misconfigured, "cannot make an HTTP client", error))?;
        Ok(Self { client, allows_loopback })
    }

    fn check(&self, url: &str) -> Result<reqwest::Url, String> {
        let url: reqwest::Url = url.parse().map_err(|error| format!("the URL is not valid: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the URL is neither http nor https".into());
        }
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let own = host.parse::<IpAddr>().is_ok_and(is_own);
        if own && !self.allows_loopback {
            return Err("the URL leads to this machine itself, which is not allowed".into());
        }
        Ok(url)
    }
}

/// Addresses that only this machine answers: loopback, unspecified, link-local (where clouds keep instance credentials).
fn is_own(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_unspecified() || v4.is_link_local(),
        IpAddr::V6(v6) => {
            v6.to_ipv4_mapped().map_or_else(|| v6.is_loopback() || v6.is_unspecified() || v6.is_unicast_link_local(), |v4| is_own(IpAddr::V4(v4)))
        }
    }
}

/// Resolves names, leaving out addresses of this machine.
struct OutsideOnly;

impl Resolve for OutsideOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.filter(|address| !is_own(address.ip())).collect();
            if found.is_empty() {
                return Err("the name leads only to this machine itself, which is not allowed".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[async_trait]
impl Caller for Http {
    async fn post(&self, call: &Call) -> Result<Answer, String> {
        let url = self.check(&call.url)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &call.headers {
            let name: HeaderName = name.parse().map_err(|_| "a header name is not valid".to_owned())?;
            let value = value.parse().map_err(|_| format!("the value of header {name} is not valid"))?;
            headers.insert(name, value);
        }
        let request = self.client.post(url).headers(headers).body(call.body.clone());
        // Errors of the client may carry the URL, which may carry secrets.
        let mut response = request.send().await.map_err(words)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while body.len() < ANSWER_BYTES_MAX
            && let Some(chunk) = response.chunk().await.map_err(words)?
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(ANSWER_BYTES_MAX);
        Ok(Answer { status, body })
    }
}

fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}
