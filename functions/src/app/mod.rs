//! Contains the use cases of the desk. This file defines `App`, the ports and settings that all use
//! cases need. Each process creates one `App`.

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
pub mod history;
pub mod identity;
#[cfg(feature = "local")]
pub mod importing;
pub mod itsm;
pub mod limits;
pub mod names;
pub mod notifications;
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
use infra::channel::Mailer;
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

/// The default maximum size of an uploaded file, in bytes.
pub const FILE_BYTES_MAX: u64 = 100 << 20;

/// The settings of the desk that an operator can change.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The first part of all URLs in responses and callbacks, such as `https://itsm.example.com`.
    pub site: String,
    /// Maximum size of an uploaded file, in bytes.
    pub file_bytes_max: u64,
    /// Maximum size of a response in bytes, if the host (such as AWS Lambda) has a limit. Otherwise
    /// the value is `None`.
    pub response_bytes_max: Option<u64>,
    /// The time zone for the dates in ticket numbers and for the times in responses.
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

/// The ports, the settings and the shared services of one process of the desk.
#[derive(Clone)]
pub struct App {
    pub ledger: Ledger,
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
    /// The port that stores the cards, deadlines and messages that the follower computes from
    /// commits.
    pub page_writer: Arc<dyn PageWriter>,
    pub http: Arc<dyn HttpClient>,
    /// The port that stores the encrypted parts of uploaded files.
    pub blob: Arc<dyn Blob>,
    pub login: Arc<dyn Login>,
    pub people: People,
    pub directory: Arc<dyn Directory>,
    /// Publishes messages to robots.
    pub fleet: Arc<dyn Fleet>,
    /// Sends mails to relays.
    pub mailer: Arc<dyn Mailer>,
    /// Numbers the messages to robots.
    pub fleet_messages: Arc<AtomicU32>,
    pub configuration: Arc<Configuration>,
    pub numbers: Arc<Numbers>,
    pub credentials: Arc<Credentials>,
    pub limits: Arc<Limits>,
    /// Limits the number of concurrent outgoing requests to each receiver.
    pub targets: Targets,
    pub settings: Arc<Settings>,
    /// The feed position of the last commit that the cards (stored summaries of tickets) contain.
    /// After a change, an API waits until this position is reached, so that lists contain the
    /// change.
    pub followed: watch::Sender<i64>,
    pub crash: Arc<Crash>,
    secrets: Arc<dyn Secrets>,
    keys: Arc<OnceCell<DeskKeys>>,
}

/// The secret keys that belong to the desk and not to a person.
#[derive(Clone, Copy)]
pub struct DeskKeys {
    /// The key for the signatures of callback tokens.
    pub token: [u8; 32],
    /// The key for fingerprints (keyed hashes) in the ledger. Without this key, nobody can guess a
    /// value and compare its fingerprint with the ledger.
    pub fingerprint: [u8; 32],
    /// The key that encrypts uploaded files for many people, such as workflow templates. Files of
    /// one person are encrypted with the key of this person.
    pub files: [u8; 32],
}

impl App {
    /// Creates the app from its ports and settings. Returns an error if this program cannot read
    /// all versions of stored events.
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
            mailer,
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
            mailer,
            fleet_messages: Arc::default(),
            crash,
            secrets,
            keys: Arc::default(),
        })
    }

    /// Returns the secret keys of the desk. The keys are loaded at the first call.
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

/// The name under which the key for fingerprints (keyed hashes) is stored.
pub const FINGERPRINT_KEY: &str = "fingerprint-key";
