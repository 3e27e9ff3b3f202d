//! Builds the HTTP requests that workflow definitions describe. Secret headers are stored in the
//! key store under `api/<name>`, and never in a definition.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use infra::http::HttpRequest;
use infra::keys::Keys;
use infra::{Error, Kind};
use serde::{Deserialize, Serialize};

/// The prefix of the names of two kinds of secrets: variables for automatic nodes, and inputs of
/// one repeated API call.
pub const VARIABLES: &str = "variables/";

/// The receiver of a callback as stored in the key store. The URL and the headers may be secrets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Receiver {
    pub url: String,
    pub headers: Vec<(String, String)>,
}

/// One request that a workflow definition describes. The placeholders are already replaced by
/// values.
#[derive(Clone, Debug)]
pub struct Described<'a> {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    /// The body as JSON text. An empty body is not sent.
    pub body: String,
    /// The name of a secret with additional headers. Empty if there is no secret.
    pub secret: &'a str,
    pub timeout_ms: i64,
    pub response_bytes_max: usize,
}

/// Returns the HTTP request for a described request. The headers of the secret are added.
///
/// The inner `Err` is the English reason why the request cannot be built. The outer `Err` is a
/// failure of the key store.
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

/// Returns the headers in a secret, which is a JSON object of texts; `None` if the secret does not
/// exist.
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

/// Most concurrent requests to one receiver. A receiver is a scheme, a host and a port.
const CONCURRENT_MAX: usize = 32;

/// Counts the running requests of this process by receiver. A slow receiver can therefore occupy
/// only a part of the workers.
#[derive(Clone, Debug, Default)]
pub struct Targets(Arc<Mutex<HashMap<String, usize>>>);

/// The registration of a running request. Dropping the slot ends the registration.
#[derive(Debug)]
pub struct TargetSlot {
    targets: Targets,
    target: String,
}

impl Targets {
    /// Registers a request to a receiver. Returns `None` if the receiver has its maximum number of
    /// requests.
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
