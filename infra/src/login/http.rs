//! Asks BlueKing's login service: `GET <base>/accounts/is_login/?bk_token=`, answered `{"result", "data": {"username"}}`. An answer is kept for a short while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Login;
use crate::{Error, Kind};

/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which the answer to a valid token is kept: a logout takes effect after it.
const VALID_FOR: Duration = Duration::from_secs(30);
/// Time for which the answer to an invalid token, or a failure, is kept.
const INVALID_FOR: Duration = Duration::from_secs(3);
/// Tokens that are kept; each takes about 200 bytes.
const KEPT_MAX: usize = 10_000;
/// Requests to the login service at once.
const AT_ONCE: usize = 16;
/// Longest wait for one of these requests.
const WAIT: Duration = Duration::from_secs(5);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Longest token.
const TOKEN_BYTES_MAX: usize = 4096;

/// The answer of the login service to a token, and the end of its validity.
type Kept = Option<(Instant, Result<Option<String>, String>)>;

/// A login service by its base URL.
pub struct Http {
    client: reqwest::Client,
    base: String,
    /// By a digest of the token. The lock of an entry is held while its token is asked for, so that a token is asked for once.
    kept: Mutex<HashMap<[u8; 32], Arc<tokio::sync::Mutex<Kept>>>>,
    asking: Semaphore,
}

impl Http {
    pub fn new(base: &str) -> Result<Self, Error> {
        let client = crate::tls::client()
            .timeout(TIMEOUT)
            // The address of the request holds the token: no other service may see it, and no other service's answer counts.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .build()
            .map_err(|error| Error::because(Kind::Misconfigured, "cannot make an HTTP client", error))?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned(), kept: Mutex::default(), asking: Semaphore::new(AT_ONCE) })
    }

    /// The entry of a token.
    fn entry(&self, token: &str) -> Arc<tokio::sync::Mutex<Kept>> {
        let mut kept = self.kept.lock().expect("no holder panics");
        if kept.len() >= KEPT_MAX {
            let now = Instant::now();
            // An entry that is locked is being asked for.
            kept.retain(|_, entry| match entry.try_lock() {
                Ok(entry) => entry.as_ref().is_some_and(|(until, _)| *until > now),
                Err(_) => true,
            });
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.entry(*blake3::hash(token.as_bytes()).as_bytes()).or_default().clone()
    }

    async fn ask(&self, token: &str) -> Result<Option<String>, String> {
        let place = tokio::time::timeout(WAIT, self.asking.acquire()).await;
        let _place = place.map_err(|_| "too many tokens are asked for at once".to_owned())?.map_err(|error| error.to_string())?;
        // Errors of the client may carry the URL, which carries the token.
        let away = |error: reqwest::Error| error.without_url().to_string();
        let url = format!("{}/accounts/is_login/", self.base);
        let mut response = self.client.get(url).query(&[("bk_token", token)]).send().await.map_err(away)?;
        let status = response.status();
        if status.as_u16() == 401 || status.as_u16() == 403 {
            return Ok(None);
        }
        if !status.is_success() {
            return Err(format!("it answered {status}"));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(away)? {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(format!("it answered more than {ANSWER_BYTES_MAX} bytes"));
            }
            bytes.extend_from_slice(&piece);
        }
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| "it answered no JSON".to_owned())?;
        let name = answer["data"]["username"].as_str().or_else(|| answer["data"]["bk_username"].as_str());
        Ok(name.filter(|name| answer["result"] == true && !name.is_empty()).map(str::to_owned))
    }
}

#[async_trait]
impl Login for Http {
    async fn who(&self, token: &str) -> Result<Option<String>, Error> {
        if token.len() > TOKEN_BYTES_MAX {
            return Ok(None);
        }
        let entry = self.entry(token);
        let mut kept = entry.lock().await;
        let answer = match &*kept {
            Some((until, answer)) if *until > Instant::now() => answer.clone(),
            _ => {
                let answer = self.ask(token).await;
                let counts_for = if matches!(answer, Ok(Some(_))) { VALID_FOR } else { INVALID_FOR };
                *kept = Some((Instant::now() + counts_for, answer.clone()));
                answer
            }
        };
        answer.map_err(|reason| Error::new(Kind::Unavailable, format!("the login service does not answer: {reason}")))
    }
}
