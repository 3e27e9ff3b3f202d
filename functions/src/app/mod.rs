//! The use cases of the desk. This file defines the ports and settings that all functions use. Each
//! process creates them once.

pub mod administration;
pub mod attachments;
pub mod callback_token;
pub mod cards;
pub mod client_apps;
pub mod context;
pub(crate) mod definition_files;
pub mod drafts;
pub mod erasure;
pub mod fleet;
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
use std::sync::atomic::AtomicU32;

use infra::blob::Blob;
use infra::crash::Crash;
use infra::fleet::Fleet;
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

/// The default for the maximum size of an uploaded file, in bytes.
pub const FILE_BYTES_MAX: u64 = 100 << 20;

/// The settings of a desk.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base URL of links in responses and callbacks, such as `https://itsm.example.com`.
    pub site: String,
    /// Maximum size of an uploaded file, in bytes.
    pub file_bytes_max: u64,
    /// Maximum size of a response that the host can send, in bytes. `None` if the host has no
    /// limit.
    pub response_bytes_max: Option<u64>,
    /// The time zone for ticket numbers and for times in responses.
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
    /// The port that stores the results of processed commits (cards, deadlines and messages).
    pub page_writer: Arc<dyn PageWriter>,
    pub http: Arc<dyn HttpClient>,
    /// The port that stores the encrypted parts of uploaded files.
    pub blob: Arc<dyn Blob>,
    pub login: Arc<dyn Login>,
    pub people: People,
    pub directory: Arc<dyn Directory>,
    /// Publishes messages to robots.
    pub fleet: Arc<dyn Fleet>,
    /// Numbers the messages to robots.
    pub fleet_messages: Arc<AtomicU32>,
    pub configuration: Arc<Configuration>,
    pub numbers: Arc<Numbers>,
    pub credentials: Arc<Credentials>,
    pub limits: Arc<Limits>,
    /// Counts the concurrent outgoing requests to each receiver.
    pub targets: Targets,
    pub settings: Arc<Settings>,
    /// The feed position up to which the cards (stored summaries) are up to date. After a change,
    /// an API waits for this position, so lists contain the change.
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
    /// The key for the fingerprints in the ledger. Without this key, nobody can find the values
    /// behind the fingerprints by guessing.
    pub fingerprint: [u8; 32],
    /// The key for the encryption of files that belong to no person.
    pub files: [u8; 32],
}

impl App {
    /// Creates a desk from its ports and settings. Returns an error if this program cannot read a
    /// stored event version.
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
            fleet,
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
            fleet,
            fleet_messages: Arc::default(),
            crash,
            secrets,
            keys: Arc::default(),
        })
    }

    /// Returns the secret keys of the desk. The keys are loaded at the first call, because most
    /// functions do not need the keys.
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

/// The name of the secret key for fingerprints.
pub const FINGERPRINT_KEY: &str = "fingerprint-key";
