//! The ports and settings that every function uses, created once per process.

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
pub mod limits;
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

/// Default for the largest uploaded file, in bytes.
pub const FILE_BYTES_MAX: u64 = 100 << 20;

/// The settings of a desk.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base of links in answers and callbacks, such as `https://itsm.example.com`.
    pub site: String,
    /// Largest uploaded file.
    pub file_bytes_max: u64,
    /// Largest response of the host, in bytes; `None` without a limit.
    pub response_bytes_max: Option<u64>,
    /// Time zone of ticket numbers and of times in responses.
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
    /// Writes the results of followed pages.
    pub page_writer: Arc<dyn PageWriter>,
    pub http: Arc<dyn HttpClient>,
    /// Uploaded files, sealed.
    pub blob: Arc<dyn Blob>,
    pub login: Arc<dyn Login>,
    pub people: People,
    pub directory: Arc<dyn Directory>,
    pub configuration: Arc<Configuration>,
    pub numbers: Arc<Numbers>,
    pub credentials: Arc<Credentials>,
    pub limits: Arc<Limits>,
    /// Concurrent outgoing requests by receiver.
    pub targets: Targets,
    pub settings: Arc<Settings>,
    /// Feed position up to which the cards are stored. APIs wait for it, so that lists show the
    /// change that was just made.
    pub followed: watch::Sender<i64>,
    pub crash: Arc<Crash>,
    secrets: Arc<dyn Secrets>,
    keys: Arc<OnceCell<DeskKeys>>,
}

/// The desk's own keys.
#[derive(Clone, Copy)]
pub struct DeskKeys {
    /// Signs callback tokens.
    pub token: [u8; 32],
    /// Key of the fingerprints in the ledger. Without this key the fingerprinted values cannot be
    /// guessed.
    pub fingerprint: [u8; 32],
    /// Seals files that have no subject.
    pub files: [u8; 32],
}

impl App {
    /// Creates a desk over its ports. Fails if a stored event version cannot be read.
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

    /// Returns the keys of the desk. The first call reads them, because most functions do not need
    /// them.
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
