//! App: the ports and settings every function works with, made once.

use std::sync::Arc;

use infra::caller::Caller;
use infra::crash::Crash;
use infra::login::Login;
use infra::queue::Queue;
use infra::views::Views;
use infra::{Error, Ledger};
use jiff::tz::TimeZone;
use tokio::sync::watch;

use crate::directory::Directory;
use crate::http::credentials::Credentials;
use crate::numbers::Numbers;
use crate::people::People;

/// What a desk is set to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base of links in answers and callbacks, such as `https://itsm.example.com`.
    pub site: String,
    /// The zone of ticket numbers and of times on the wire.
    pub zone: TimeZone,
}

impl Default for Settings {
    fn default() -> Self {
        Self { site: "http://127.0.0.1:8080".into(), zone: TimeZone::get("Asia/Shanghai").unwrap_or(TimeZone::UTC) }
    }
}

/// Everything a function may touch.
#[derive(Clone)]
pub struct App {
    pub ledger: Ledger,
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
    pub caller: Arc<dyn Caller>,
    pub login: Arc<dyn Login>,
    pub people: People,
    pub directory: Arc<Directory>,
    pub numbers: Arc<Numbers>,
    pub credentials: Arc<Credentials>,
    pub settings: Arc<Settings>,
    /// The feed position up to which cards are there; doors wait for it so that lists show what was just done.
    pub followed: watch::Sender<i64>,
    pub crash: Arc<Crash>,
    /// Signs callback tokens; made at the first start and kept with the keys.
    pub token_key: [u8; 32],
    /// Keys the fingerprints that stand in the ledger, so that nobody can guess from them what was fingerprinted.
    pub fingerprint_key: [u8; 32],
}

/// The ports of one desk.
pub struct Ports {
    pub ledger: Ledger,
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
    pub caller: Arc<dyn Caller>,
    pub login: Arc<dyn Login>,
}

impl App {
    /// Puts a desk together over its ports; refuses to start where an old event could not be read.
    pub async fn new(ports: Ports, settings: Settings, crash: Arc<Crash>) -> Result<Self, Error> {
        let Ports { ledger, views, queue, caller, login } = ports;
        events::upcast::complete(&events::catalog_of_types()).map_err(|reason| Error::new(infra::Kind::Misconfigured, reason))?;
        let token_key = desk_key(&ledger, "token-key").await?;
        let fingerprint_key = desk_key(&ledger, FINGERPRINT_KEY).await?;
        Ok(Self {
            people: People::new(ledger.keys.clone()),
            directory: Arc::new(Directory::new(ledger.clone(), views.clone())),
            numbers: Arc::new(Numbers::new(ledger.clone())),
            credentials: Arc::new(Credentials::new(ledger.clone())),
            settings: Arc::new(settings),
            followed: watch::channel(0).0,
            ledger,
            views,
            queue,
            caller,
            login,
            crash,
            token_key,
            fingerprint_key,
        })
    }
}

/// The name of the key for fingerprints.
pub const FINGERPRINT_KEY: &str = "fingerprint-key";

/// A key of the desk's own, made when it is first asked for.
pub async fn desk_key(ledger: &Ledger, name: &str) -> Result<[u8; 32], Error> {
    if let Some(kept) = ledger.keys.secret(name).await? {
        return kept.try_into().map_err(|_| Error::corrupt(format!("the secret {name} has not 32 bytes")));
    }
    let mut key = [0; 32];
    ledger.chance.fill(&mut key);
    ledger.keys.keep_secret(name, &key).await?;
    Ok(key)
}
