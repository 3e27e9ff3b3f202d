//! Reads and caches the published keys with which the Bot Framework signs its tokens. The keys are only in the memory of
//! this process. At most one request of the process reads the keys at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use events::Moment;
use events::channel_account::Defined;
use infra::channel::teams_bot as channel;
use infra::http::{HttpRequest, Url, origin};
use infra::inbound::teams_bot::{self, PublishedKey, Trusted};
use infra::{Error, Kind};
use serde_json::Value;

use crate::App;

/// The time for which keys are used, in milliseconds (24 hours). The Bot Framework requires that keys are read again after
/// at most this time.
const USED_MS: i64 = 24 * 3_600_000;
/// The minimum time between two reads because of an unknown key, in milliseconds (one hour). Everybody can send a token with
/// an unknown key, so such tokens must not cause many requests.
const UNKNOWN_MS: i64 = 3_600_000;
/// The minimum time between two reads if the first one failed, in milliseconds.
const FAILED_MS: i64 = 30_000;
/// Maximum time of one request for the keys.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum size of the document that names the address of the keys, in bytes.
const METADATA_BYTES_MAX: usize = 64 << 10;
/// Maximum size of the document with the keys, in bytes. Each key has a certificate.
const KEYS_BYTES_MAX: usize = 512 << 10;
/// Maximum number of addresses for which keys are stored.
const ADDRESSES_MAX: usize = 16;

type Slot = Arc<tokio::sync::Mutex<Stored>>;

/// The cached keys of each address that publishes keys.
#[derive(Debug, Default)]
pub struct BotKeys(Mutex<HashMap<String, Slot>>);

#[derive(Debug, Default)]
struct Stored {
    keys: Vec<PublishedKey>,
    /// The time at which the keys were read. `None` if they were never read.
    read: Option<Moment>,
    /// The time of the last attempt to read the keys.
    tried: Option<Moment>,
}

impl BotKeys {
    fn slot(&self, url: &str) -> Slot {
        let mut slots = self.0.lock().expect("no holder panics");
        if slots.len() >= ADDRESSES_MAX && !slots.contains_key(url) {
            slots.clear();
        }
        slots.entry(url.to_owned()).or_default().clone()
    }
}

impl Stored {
    /// Returns true if the keys must be read before a token with the key `id` is checked.
    fn is_due(&self, id: Option<&str>, now: Moment) -> bool {
        let is_over = |at: Option<Moment>, ms: i64| at.is_none_or(|at| now.0 - at.0 >= ms);
        if is_over(self.read, USED_MS) {
            return is_over(self.tried, FAILED_MS);
        }
        let is_known = |id: &str| self.keys.iter().any(|key| key.kid == id);
        id.is_some_and(|id| !is_known(id)) && is_over(self.tried, UNKNOWN_MS)
    }
}

/// Returns the keys with which a token for the bot of an account is checked. `key` is the id of the key in the token. If no
/// valid keys are known and they cannot be read, returns an error.
pub async fn trusted(app: &App, account: &Defined, key: Option<&str>) -> Result<Trusted, Error> {
    let wrong = |reason: String| Error::new(Kind::Misconfigured, reason);
    let url = channel::metadata_url(account).map_err(wrong)?;
    let issuer = channel::issuer(&url).ok_or_else(|| wrong("`metadata_url` is wrong".into()))?;
    let app_id = account.settings.get("app_id").and_then(Value::as_str);
    let slot = app.bot_keys.slot(url.as_str());
    let mut stored = slot.lock().await;
    let now = app.ledger.clock.now();
    if stored.is_due(key, now) {
        stored.tried = Some(now);
        match read(app, &url).await {
            Ok(keys) => {
                stored.keys = keys;
                stored.read = Some(now);
            }
            Err(reason) => {
                tracing::warn!(
                    reason,
                    "cannot read the published keys of the Bot Framework"
                );
            }
        }
    }
    let is_usable = stored.read.is_some_and(|at| now.0 - at.0 < USED_MS);
    if !is_usable {
        let reason = "the published keys of the Bot Framework cannot be read";
        return Err(Error::new(Kind::Unavailable, reason));
    }
    Ok(Trusted {
        app_id: app_id.unwrap_or_default().to_owned(),
        issuer: issuer.to_owned(),
        keys: stored.keys.clone(),
    })
}

/// Reads the address of the keys, and then the keys. Returns the reason as an English text if this is not possible.
async fn read(app: &App, metadata: &Url) -> Result<Vec<PublishedKey>, String> {
    let document = get(app, metadata.as_str(), METADATA_BYTES_MAX).await?;
    let document: Value = serde_json::from_slice(&document)
        .map_err(|_| format!("the document at {metadata} is not JSON"))?;
    let keys = document["jwks_uri"].as_str().unwrap_or_default();
    let keys = keys.parse::<Url>().ok();
    let keys = keys.filter(|keys| channel::issuer(keys).is_some());
    let keys = keys.ok_or_else(|| format!("`jwks_uri` at {metadata} is not an allowed address"))?;
    teams_bot::published(&get(app, keys.as_str(), KEYS_BYTES_MAX).await?)
}

async fn get(app: &App, url: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
    let _slot = app
        .targets
        .enter(&origin(url))
        .ok_or_else(|| format!("too many requests to {url} are open"))?;
    let response = app
        .http
        .send(&HttpRequest::get(url, TIMEOUT, bytes_max))
        .await;
    let response = response.map_err(|error| error.to_string())?;
    if response.status != 200 || response.is_cut {
        let status = response.status;
        return Err(format!(
            "{url} answered with HTTP status {status} or with too many bytes"
        ));
    }
    Ok(response.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_looked_up_once_an_hour() {
        let key = PublishedKey {
            kid: "k1".into(),
            n: String::new(),
            e: String::new(),
            endorsements: Vec::new(),
        };
        let mut stored = Stored::default();
        assert!(stored.is_due(None, Moment(0)), "nothing was read yet");
        stored.tried = Some(Moment(0));
        assert!(!stored.is_due(None, Moment(FAILED_MS - 1)), "a failure");
        assert!(stored.is_due(None, Moment(FAILED_MS)));
        stored.keys.push(key);
        stored.read = Some(Moment(0));
        for (id, now, expected) in [
            ("k1", USED_MS - 1, false),
            ("k1", USED_MS, true),
            ("k2", UNKNOWN_MS - 1, false),
            ("k2", UNKNOWN_MS, true),
        ] {
            assert_eq!(stored.is_due(Some(id), Moment(now)), expected, "{id} {now}");
        }
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let keys = BotKeys::default();
        for number in 0..100 {
            keys.slot(&format!("https://login.example/{number}"));
        }
        assert!(keys.0.lock().unwrap().len() <= ADDRESSES_MAX);
    }
}
