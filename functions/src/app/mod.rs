//! The use cases of the desk. This file defines the ports and settings that every function uses,
//! created once per process.

pub mod administration;
pub mod attachments;
pub mod callback_token;
pub mod cards;
pub mod client_apps;
pub mod context;
pub mod drafts;
pub mod erasure;
pub mod identity;
#[cfg(feature = "local")]
pub mod importing;
pub mod itsm;
pub mod limits;
pub mod names;
pub mod numbers;
pub mod option_sources;
pub mod outbound;
pub mod people;
pub mod reports;
pub mod request_scope;
pub mod seed;
pub mod tickets;
pub mod times;

use std::sync::Arc;

use infra::blob::Blob;
use infra::crash::Crash;
use infra::http::HttpClient;
use infra::login::Login;
use infra::queue::Queue;
use infra::secrets::Secrets;
use infra::views::{PageWriter, Views};
use infra::{Error, Ledger, Ports};
use jiff::tz::TimeZone;
use tokio::sync::{OnceCell, watch};

use infra::directory::Directory;

use crate::app::context::Configuration;
use crate::app::identity::Credentials;
use crate::app::limits::Limits;
use crate::app::numbers::Numbers;
use crate::app::outbound::Targets;
use crate::app::people::People;

/// The default for the size of the largest uploaded file, in bytes.
pub const FILE_BYTES_MAX: u64 = 100 << 20;

/// The settings of a desk.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base URL of links in responses and callbacks, such as `https://itsm.example.com`.
    pub site: String,
    /// Size of the largest uploaded file, in bytes.
    pub file_bytes_max: u64,
    /// Size of the largest response of the host, in bytes; `None` if the host has no limit.
    pub response_bytes_max: Option<u64>,
    /// The time zone of ticket numbers and of times in responses.
    pub zone: TimeZone,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            site: "http://127.0.0.1:8080".into(),
            file_bytes_max: FILE_BYTES_MAX,
            response_bytes_max: None,
            zone: crate::app::times::default_zone(),
        }
    }
}

/// The ports, settings and services of one desk.
#[derive(Clone)]
pub struct App {
    pub ledger: Ledger,
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
    /// The port that writes the results of followed pages of the feed.
    pub page_writer: Arc<dyn PageWriter>,
    pub http: Arc<dyn HttpClient>,
    /// The port that stores the sealed parts of uploaded files.
    pub blob: Arc<dyn Blob>,
    pub login: Arc<dyn Login>,
    pub people: People,
    pub directory: Arc<dyn Directory>,
    pub configuration: Arc<Configuration>,
    pub numbers: Arc<Numbers>,
    pub credentials: Arc<Credentials>,
    pub limits: Arc<Limits>,
    /// The number of concurrent outgoing requests to each receiver.
    pub targets: Targets,
    pub settings: Arc<Settings>,
    /// The feed position up to which the cards are stored. An API waits for this position, so that
    /// lists show the change that was just made.
    pub followed: watch::Sender<i64>,
    pub crash: Arc<Crash>,
    secrets: Arc<dyn Secrets>,
    keys: Arc<OnceCell<DeskKeys>>,
}

/// The secret keys of the desk.
#[derive(Clone, Copy)]
pub struct DeskKeys {
    /// The key that signs callback tokens.
    pub token: [u8; 32],
    /// The key of the fingerprints in the ledger. Without this key, the values behind the
    /// fingerprints cannot be guessed.
    pub fingerprint: [u8; 32],
    /// The key that seals files without a subject.
    pub files: [u8; 32],
}

impl App {
    /// Creates a desk from its ports and settings. Returns an error if a stored event version
    /// cannot be read.
    pub fn new(ports: Ports, settings: Settings, crash: Arc<Crash>) -> Result<Self, Error> {
        let Ports {
            ledger,
            views,
            queue,
            page_writer,
            http,
            blob,
            login,
            directory,
            secrets,
        } = ports;
        events::upcast::complete(&events::catalog_of_types())
            .map_err(|reason| Error::new(infra::Kind::Misconfigured, reason))?;
        Ok(Self {
            people: People::new(ledger.keys.clone()),
            configuration: Arc::new(Configuration::new(
                ledger.clone(),
                views.clone(),
                directory.clone(),
                http.clone(),
                settings.zone.clone(),
            )),
            numbers: Arc::new(Numbers::new(ledger.clone())),
            credentials: Arc::new(Credentials::new(ledger.clone(), secrets.clone())),
            limits: Arc::default(),
            targets: Targets::default(),
            settings: Arc::new(settings),
            followed: watch::channel(0).0,
            ledger,
            views,
            queue,
            page_writer,
            http,
            blob,
            login,
            directory,
            crash,
            secrets,
            keys: Arc::default(),
        })
    }

    /// Returns the keys of the desk. The keys are read by the first call, because most functions do
    /// not need them.
    pub async fn keys(&self) -> Result<DeskKeys, Error> {
        let read = async || {
            Ok(DeskKeys {
                token: self.secrets.secret("token-key").await?,
                fingerprint: self.secrets.secret(FINGERPRINT_KEY).await?,
                files: self.secrets.secret("files-key").await?,
            })
        };
        self.keys.get_or_try_init(read).await.copied()
    }
}

/// The name of the key for fingerprints.
pub const FINGERPRINT_KEY: &str = "fingerprint-key";
