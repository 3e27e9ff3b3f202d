//! Reads the organization (people, departments, businesses) from a directory service with GET
//! requests. `<base>/people/<name>` returns the object `{leader}`, also for a person without a
//! leader, whose member `leader` is null. The paths
//! `/departments/<id>/members`, `/businesses` and `/businesses/<id>/roles/<role>` return arrays.
//!
//! Status 404 means that the person, department, business or role is unknown. Responses are cached
//! for one minute, because each node of a workflow can cause requests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{Business, Directory};
use crate::cache::{Bounds, Cache};
use crate::clock::Clock;
use crate::http::{HttpClient, HttpRequest, Url};
use crate::{Error, Kind};

/// Maximum duration of one request to the directory service.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Milliseconds for which a response stays in the cache.
const CACHE_MS: i64 = 60_000;
/// Maximum number of responses in the cache.
const CACHED_MAX: usize = 10_000;
/// Maximum size of a response in bytes.
const RESPONSE_BYTES_MAX: usize = 4 << 20;

/// A client of the directory service. The URLs of all requests begin with `base`.
pub struct Http {
    client: Arc<dyn HttpClient>,
    base: Url,
    clock: Arc<dyn Clock>,
    cache: Cache<String, Value>,
}

impl Http {
    /// Creates a client of the directory service. Rejects an invalid base URL.
    pub fn new(
        base: &str,
        client: Arc<dyn HttpClient>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let invalid = |error| {
            Error::because(
                Kind::Misconfigured,
                format!("the directory service {base} is not a URL"),
                error,
            )
        };
        let base = format!("{}/", base.trim_end_matches('/'))
            .parse()
            .map_err(invalid)?;
        Ok(Self {
            client,
            base,
            clock,
            cache: Cache::new(Bounds::entries(CACHED_MAX)),
        })
    }

    async fn get(&self, path: &[&str]) -> Result<Value, Error> {
        let key = path.join("/");
        let now = self.clock.now();
        if let Some(cached) = self.cache.get(&key, now) {
            return Ok(cached);
        }
        let mut url = self.base.clone();
        // Each item of `path` becomes one segment of the URL path. A slash inside an item is
        // escaped.
        url.path_segments_mut()
            .map_err(|()| Error::new(Kind::Misconfigured, "the directory service has no paths"))?
            .pop_if_empty()
            .extend(path);
        let request = HttpRequest::get(url, TIMEOUT, RESPONSE_BYTES_MAX);
        let response = self.client.send(&request).await.map_err(|error| {
            Error::because(
                Kind::Unavailable,
                "request to the directory service failed",
                error,
            )
        })?;
        let response_body = if response.status == 404 {
            Value::Null
        } else {
            if !response.is_success() {
                return Err(Error::new(
                    Kind::Unavailable,
                    format!(
                        "the directory service answered {} to {key}",
                        response.status
                    ),
                ));
            }
            if response.is_cut {
                return Err(Error::corrupt(format!(
                    "the directory service answered more than {RESPONSE_BYTES_MAX} bytes to {key}"
                )));
            }
            let bytes = response.body;
            serde_json::from_slice(&bytes).map_err(|error| {
                Error::because(
                    Kind::Corrupt,
                    format!("the response of the directory service to {key} is not JSON"),
                    error,
                )
            })?
        };
        let until = now.plus_ms(CACHE_MS);
        self.cache.put(key, response_body.clone(), 0, until);
        Ok(response_body)
    }
}

fn names(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

#[async_trait]
impl Directory for Http {
    async fn has_person(&self, person: &str) -> Result<Option<bool>, Error> {
        Ok(Some(!self.get(&["people", person]).await?.is_null()))
    }
    async fn leader(&self, person: &str) -> Result<Option<String>, Error> {
        Ok(self.get(&["people", person]).await?["leader"]
            .as_str()
            .filter(|leader| !leader.is_empty())
            .map(str::to_owned))
    }
    async fn members(&self, department: &str) -> Result<Vec<String>, Error> {
        Ok(names(
            &self.get(&["departments", department, "members"]).await?,
        ))
    }
    async fn holders(&self, business: i64, role: &str) -> Result<Vec<String>, Error> {
        Ok(names(
            &self
                .get(&["businesses", &business.to_string(), "roles", role])
                .await?,
        ))
    }
    async fn businesses(&self) -> Result<Vec<Business>, Error> {
        let answer = self.get(&["businesses"]).await?;
        let business = |value: &Value| {
            serde_json::from_value(value.clone())
                .map_err(|error| Error::because(Kind::Corrupt, "a business cannot be read", error))
        };
        answer
            .as_array()
            .into_iter()
            .flatten()
            .map(business)
            .collect()
    }
}
