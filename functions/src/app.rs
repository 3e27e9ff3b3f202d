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
        let token_key = token_key(&ledger).await?;
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
        })
    }
}

async fn token_key(ledger: &Ledger) -> Result<[u8; 32], Error> {
    const NAME: &str = "token-key";
    if let Some(kept) = ledger.keys.secret(NAME).await? {
        return kept.try_into().map_err(|_| Error::corrupt("the key of callback tokens has not 32 bytes"));
    }
    let mut key = [0; 32];
    ledger.chance.fill(&mut key);
    ledger.keys.keep_secret(NAME, &key).await?;
    Ok(key)
}
