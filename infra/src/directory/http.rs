//! The organization from a service: `GET <base>/people/<name>` (`{leader}`), `/departments/<id>/members`, `/businesses`,
//! `/businesses/<id>/roles/<role>` (arrays). 404 means: not known. Answers are kept for a minute, since every node that is entered may ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{Business, Directory};
use crate::clock::Clock;
use crate::{Error, Kind};

/// How long an answer is held for true.
const KEPT_MS: i64 = 60_000;
/// Answers that are kept.
const KEPT_MAX: usize = 10_000;
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A directory service by its base URL.
pub struct Http {
    client: reqwest::Client,
    base: reqwest::Url,
    clock: Arc<dyn Clock>,
    kept: Mutex<HashMap<String, (i64, Value)>>,
}

impl Http {
    pub fn new(base: &str, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let wrong = |error| Error::because(Kind::Misconfigured, format!("the directory service {base} is not a URL"), error);
        let base = format!("{}/", base.trim_end_matches('/')).parse().map_err(wrong)?;
        let client = crate::tls::client()
            .timeout(Duration::from_secs(5))
            // Another service's answer does not count.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .build()
            .map_err(|error| Error::because(Kind::Misconfigured, "cannot make an HTTP client", error))?;
        Ok(Self { client, base, clock, kept: Mutex::default() })
    }

    async fn ask(&self, path: &[&str]) -> Result<Value, Error> {
        let key = path.join("/");
        let now = self.clock.now().0;
        if let Some((at, answer)) = self.kept.lock().expect("no holder panics").get(&key)
            && now - at < KEPT_MS
        {
            return Ok(answer.clone());
        }
        let mut url = self.base.clone();
        // Each part is one segment, whatever stands in it.
        url.path_segments_mut().map_err(|()| Error::new(Kind::Misconfigured, "the directory service has no paths"))?.pop_if_empty().extend(path);
        let away = |error: reqwest::Error| Error::because(Kind::Unavailable, "the directory service does not answer", error.without_url());
        let mut response = self.client.get(url).send().await.map_err(away)?;
        let answer = if response.status().as_u16() == 404 {
            Value::Null
        } else {
            if !response.status().is_success() {
                return Err(Error::new(Kind::Unavailable, format!("the directory service answered {} to {key}", response.status())));
            }
            let mut bytes = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(away)? {
                if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                    return Err(Error::corrupt(format!("the directory service answered more than {ANSWER_BYTES_MAX} bytes to {key}")));
                }
                bytes.extend_from_slice(&piece);
            }
            serde_json::from_slice(&bytes).map_err(|error| Error::because(Kind::Corrupt, format!("the directory service answered no JSON to {key}"), error))?
        };
        let mut kept = self.kept.lock().expect("no holder panics");
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, (now, answer.clone()));
        Ok(answer)
    }
}

fn names(answer: &Value) -> Vec<String> {
    answer.as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

#[async_trait]
impl Directory for Http {
    async fn leader(&self, person: &str) -> Result<Option<String>, Error> {
        Ok(self.ask(&["people", person]).await?["leader"].as_str().filter(|leader| !leader.is_empty()).map(str::to_owned))
    }
    async fn members(&self, department: &str) -> Result<Vec<String>, Error> {
        Ok(names(&self.ask(&["departments", department, "members"]).await?))
    }
    async fn holders(&self, business: i64, role: &str) -> Result<Vec<String>, Error> {
        Ok(names(&self.ask(&["businesses", &business.to_string(), "roles", role]).await?))
    }
    async fn businesses(&self) -> Result<Vec<Business>, Error> {
        let answer = self.ask(&["businesses"]).await?;
        let one = |value: &Value| serde_json::from_value(value.clone()).map_err(|error| Error::because(Kind::Corrupt, "a business cannot be read", error));
        answer.as_array().into_iter().flatten().map(one).collect()
    }
}
