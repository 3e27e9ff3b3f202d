//! Builds the HTTP requests that workflow definitions describe, and limits the number of concurrent
//! requests. Secret headers of a request are stored in the key store under the name `api/<name>`. A
//! workflow definition contains only `<name>`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::api_call::plan::PlannedRequest;
use infra::http::HttpRequest;
use infra::keys::Keys;
use infra::{Error, Kind};
use serde::{Deserialize, Serialize};

/// The names of two kinds of secrets in the key store start with this text. The first kind contains
/// the variables of a ticket for automatic workflow nodes. The second kind contains the new inputs
/// for a repeated API call.
pub const VARIABLES: &str = "variables/";

/// The receiver of callbacks, as stored in the key store. The URL and the headers may be secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receiver {
    pub url: String,
    pub headers: Vec<(String, String)>,
}

/// An HTTP request that a workflow definition describes. All placeholders in the definition are
/// already replaced with values.
#[derive(Clone, Debug)]
pub struct Described<'a> {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// The body as JSON text. If the text is empty, the request is sent without a body.
    pub body: String,
    /// The name of the secret in the key store that contains additional headers. The name is empty
    /// if the request has no secret headers.
    pub secret: &'a str,
    pub timeout_ms: i64,
    pub response_bytes_max: usize,
}

impl Described<'_> {
    /// Converts a planned request without secret headers.
    pub fn of(planned: PlannedRequest, response_bytes_max: usize) -> Self {
        Self {
            body: planned.body_text(),
            method: planned.method,
            url: planned.url,
            headers: planned.headers,
            secret: "",
            timeout_ms: planned.timeout_ms,
            response_bytes_max,
        }
    }
}

/// Builds an HTTP request, and adds the secret headers from the key store.
///
/// If the request cannot be built, the inner `Err` is the reason as an English text. The outer
/// `Err` is an error of the key store.
pub async fn request(
    keys: &dyn Keys,
    described: Described<'_>,
) -> Result<Result<HttpRequest, String>, Error> {
    let Described {
        method,
        url,
        mut headers,
        body,
        secret,
        timeout_ms,
        response_bytes_max,
    } = described;
    match secret_headers(keys, secret).await? {
        Some(secrets) => headers.extend(secrets),
        None => return Ok(Err(format!("the secret {secret} is not in the key store"))),
    }
    Ok(Ok(HttpRequest {
        method,
        url,
        headers,
        body: body.into_bytes(),
        timeout: Duration::from_millis(timeout_ms.unsigned_abs()),
        response_bytes_max,
    }))
}

/// Returns the additional headers from the secret `name` in the key store. The secret is a JSON
/// object. Each key is a header name, and each value is a text. Returns `None` if the secret does
/// not exist.
async fn secret_headers(
    keys: &dyn Keys,
    name: &str,
) -> Result<Option<BTreeMap<String, String>>, Error> {
    if name.is_empty() {
        return Ok(Some(BTreeMap::new()));
    }
    let Some(kept) = keys.secret(&format!("api/{name}")).await? else {
        return Ok(None);
    };
    let headers = serde_json::from_slice(&kept);
    headers.map(Some).map_err(|error| {
        Error::because(
            Kind::Misconfigured,
            format!("secret api/{name} is not an object of texts"),
            error,
        )
    })
}

/// Maximum number of concurrent requests to one receiver. URLs with the same scheme, host and port
/// belong to the same receiver.
const CONCURRENT_MAX: usize = 32;

/// Counts the unfinished requests of this process for each receiver. The number is limited, so that
/// a slow receiver cannot occupy all workers.
#[derive(Clone, Debug, Default)]
pub struct Targets(Arc<Mutex<HashMap<String, usize>>>);

/// An unfinished request to a receiver. The request is part of the count for this receiver until
/// this value is dropped.
#[derive(Debug)]
pub struct TargetSlot {
    targets: Targets,
    target: String,
}

impl Targets {
    /// Counts a new request to the receiver `target`. Returns `None` if this receiver already has
    /// `CONCURRENT_MAX` unfinished requests.
    pub fn enter(&self, target: &str) -> Option<TargetSlot> {
        let mut running = self.0.lock().expect("no holder panics");
        let count = running.entry(target.to_owned()).or_default();
        if *count >= CONCURRENT_MAX {
            return None;
        }
        *count += 1;
        Some(TargetSlot {
            targets: self.clone(),
            target: target.to_owned(),
        })
    }
}

impl Drop for TargetSlot {
    fn drop(&mut self) {
        let mut running = self.targets.0.lock().expect("no holder panics");
        if let Some(count) = running.get_mut(&self.target) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_receiver_cannot_take_every_slot() {
        let targets = Targets::default();
        let slots: Vec<_> = (0..CONCURRENT_MAX)
            .map(|_| targets.enter("https://slow").expect("a slot"))
            .collect();
        assert!(targets.enter("https://slow").is_none());
        assert!(targets.enter("https://other").is_some());
        drop(slots);
        assert!(targets.enter("https://slow").is_some());
        assert!(targets.0.lock().expect("no holder panics").is_empty());
    }
}
