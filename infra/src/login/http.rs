//! Checks login tokens with the login service of BlueKing. Results are cached for a short time. The
//! request `GET <base>/accounts/is_login/?bk_token=` returns `{"result", "data": {"username"}}`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use events::Moment;
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore};

use super::Login;
use crate::cache::{Bounds, Cache};
use crate::clock::Clock;
use crate::http::{HttpClient, HttpRequest, Url};
use crate::{Error, Kind};

/// Maximum duration of one request to the login service.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Milliseconds for which a valid token stays in the cache. During this time, the desk accepts the
/// token even after a logout.
const VALID_MS: i64 = 30_000;
/// Milliseconds for which an invalid token or the error of a failed request stays in the cache.
const INVALID_MS: i64 = 3_000;
/// Maximum number of tokens in the cache. Each token needs about 200 bytes.
const CACHED_MAX: usize = 10_000;
/// Maximum number of concurrent requests to the login service.
const CONCURRENT_MAX: usize = 16;
/// Maximum time for which a new request waits while `CONCURRENT_MAX` other requests are running.
const WAIT: Duration = Duration::from_secs(5);
/// Maximum size of a response in bytes.
const RESPONSE_BYTES_MAX: usize = 64 << 10;
/// Maximum size of a token in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

/// The cached result for one token, with its expiry time. The value is `None` until the first
/// request for this token ends.
type Cached = Option<(Moment, Result<Option<String>, String>)>;

/// A client of the login service. The URLs of all requests begin with `base`.
pub struct Http {
    client: Arc<dyn HttpClient>,
    base: String,
    /// Cached results, by the hash of the token. An entry is locked during a request, so that
    /// several callers with the same token cause only one request.
    cache: Cache<[u8; 32], Arc<Mutex<Cached>>>,
    clock: Arc<dyn Clock>,
    slots: Semaphore,
}

impl Http {
    /// Creates a client of the login service. The request URLs contain the token. `client` must
    /// therefore not follow redirects, because another server would receive the token.
    pub fn new(base: &str, client: Arc<dyn HttpClient>, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
            cache: Cache::new(Bounds::entries(CACHED_MAX)),
            clock,
            slots: Semaphore::new(CONCURRENT_MAX),
        }
    }

    async fn request(&self, token: &str) -> Result<Option<String>, String> {
        let slot = tokio::time::timeout(WAIT, self.slots.acquire()).await;
        let _slot = slot
            .map_err(|_| "too many concurrent login requests".to_owned())?
            .map_err(|error| error.to_string())?;
        let mut url: Url = format!("{}/accounts/is_login/", self.base)
            .parse()
            .map_err(|error| format!("the address of the login service is invalid: {error}"))?;
        url.query_pairs_mut().append_pair("bk_token", token);
        let request = HttpRequest::get(url, TIMEOUT, RESPONSE_BYTES_MAX);
        let response = self
            .client
            .send(&request)
            .await
            .map_err(|error| error.to_string())?;
        if response.status == 401 || response.status == 403 {
            return Ok(None);
        }
        if !response.is_success() {
            return Err(format!("the response status is {}", response.status));
        }
        if response.is_cut {
            return Err(format!(
                "the response has more than {RESPONSE_BYTES_MAX} bytes"
            ));
        }
        let bytes = response.body;
        let response_body: Value =
            serde_json::from_slice(&bytes).map_err(|_| "the response is not JSON".to_owned())?;
        let name = response_body["data"]["username"]
            .as_str()
            .or_else(|| response_body["data"]["bk_username"].as_str());
        Ok(name
            .filter(|name| response_body["result"] == true && !name.is_empty())
            .map(str::to_owned))
    }
}

#[async_trait]
impl Login for Http {
    async fn who(&self, token: &str) -> Result<Option<String>, Error> {
        if token.len() > TOKEN_BYTES_MAX {
            return Ok(None);
        }
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        let now = self.clock.now();
        let entry = self
            .cache
            .get_or_put(digest, now, now.plus_ms(VALID_MS), Arc::default);
        let mut cached = entry.lock().await;
        let result = match &*cached {
            Some((until, result)) if *until > self.clock.now() => result.clone(),
            _ => {
                let result = self.request(token).await;
                let lifetime = if matches!(result, Ok(Some(_))) {
                    VALID_MS
                } else {
                    INVALID_MS
                };
                *cached = Some((self.clock.now().plus_ms(lifetime), result.clone()));
                result
            }
        };
        result.map_err(|reason| {
            Error::new(Kind::Unavailable, format!("login request failed: {reason}"))
        })
    }
}
