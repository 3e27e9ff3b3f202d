//! Builds the requests that workflow definitions describe. Secret headers are in the key store under
//! `api/<name>` and never in a definition.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use infra::http::HttpRequest;
use infra::keys::Keys;
use infra::{Error, Kind};
use serde::{Deserialize, Serialize};

/// Prefix of the names of secrets with variables for automatic nodes, or with inputs of one repeated
/// API call.
pub const VARIABLES: &str = "variables/";

/// The receiver of a callback as the key store has it; address and headers may be secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receiver {
    pub url: String,
    pub headers: Vec<(String, String)>,
}

/// One request as a workflow definition describes it, its placeholders filled.
#[derive(Clone, Debug)]
pub struct Described<'a> {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// JSON; an empty body is not sent.
    pub body: String,
    /// The name of a secret with further headers; empty for none.
    pub secret: &'a str,
    pub timeout_ms: i64,
    pub response_bytes_max: usize,
}

/// Returns the HTTP request of a described request, with the headers of its secret; an inner `Err` is
/// the English reason why there is none.
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

/// Returns the headers of a secret, a JSON object of texts; `None` if the secret does not exist.
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

/// Maximum concurrent requests to one receiver (scheme, host and port).
const CONCURRENT_MAX: usize = 32;

/// Counts the running requests of this process by receiver, so that a slow receiver holds only a part
/// of the workers.
#[derive(Clone, Debug, Default)]
pub struct Targets(Arc<Mutex<HashMap<String, usize>>>);

/// A running request; ends when it is dropped.
#[derive(Debug)]
pub struct TargetSlot {
    targets: Targets,
    target: String,
}

impl Targets {
    /// Begins a request to a receiver; returns `None` if the receiver has its maximum.
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
