//! Contains the use cases of the desk. This file defines `App`, which contains the ports (interfaces to other
//! systems) and the settings that all use cases need. Each process creates one `App`.

pub mod administration;
pub mod attachments;
pub mod automation;
pub mod breaker;
pub mod callback_token;
pub mod cards;
pub mod client_apps;
pub mod context;
pub(crate) mod definition_files;
pub mod drafts;
pub mod erasure;
pub mod fleet;
pub mod followed;
pub mod history;
pub mod identity;
#[cfg(feature = "local")]
pub mod importing;
pub mod itsm;
pub mod leases;
pub mod limits;
pub mod logins;
#[cfg(feature = "local")]
pub mod metrics;
pub mod names;
pub mod notifications;
pub mod numbers;
pub mod option_sources;
pub mod outbound;
pub mod people;
pub mod permissions;
pub mod rate;
pub mod recalled;
pub mod reports;
pub mod request_scope;
pub mod seed;
pub mod slow_hash;
pub mod subscriptions;
pub mod tickets;
pub mod times;
pub mod wording;

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use domain::Decider;
use domain::config::DeskKey;
use events::Meta;
use infra::accounts::Accounts;
use infra::blob::Blob;
use infra::cache::Cache;
use infra::channel::Mailer;
use infra::crash::Crash;
use infra::fleet::Fleet;
use infra::http::HttpClient;
use infra::ledger::{ContextLoader, NoContext};
use infra::login::Login;
use infra::mailbox::Mailboxes;
use infra::queue::Queue;
use infra::sandbox::Sandbox;
use infra::secrets::Secrets;
use infra::views::{Document, PageWriter, Views};
use infra::{CommandEnvelope, Error, ExecuteError, Ledger, Ports};
use jiff::tz::TimeZone;
use tokio::sync::{OnceCell, watch};

use infra::directory::Directory;

use crate::app::context::Configuration;
use crate::app::fleet::robots::KnownRobots;
use crate::app::followed::Followed;
use crate::app::identity::Credentials;
use crate::app::leases::Leases;
use crate::app::limits::Limits;
use crate::app::notifications::active_experiments::ActiveExperiments;
use crate::app::notifications::bot_keys::BotKeys;
use crate::app::notifications::certificates::Certificates;
use crate::app::notifications::inbox_feed::InboxFeed;
use crate::app::notifications::tokens::Tokens;
use crate::app::numbers::Numbers;
use crate::app::outbound::Targets;
use crate::app::people::People;
use crate::app::recalled::Recalled;
use crate::app::slow_hash::SlowHash;
use crate::app::subscriptions::Subscriptions;

/// The default maximum size of an uploaded file, in bytes.
pub const FILE_BYTES_MAX: u64 = 100 << 20;

/// The settings of one desk. An operator can change the settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The base URL of the desk, such as `https://itsm.example.com`. All URLs in responses and callbacks
    /// begin with this text.
    pub site: String,
    /// Maximum size of an uploaded file, in bytes.
    pub file_bytes_max: u64,
    /// Maximum size of a response in bytes. The value is `None` if the platform on which the desk runs has no
    /// limit. AWS Lambda, for example, has a limit.
    pub response_bytes_max: Option<u64>,
    /// The time zone for the dates in ticket numbers and for the times in responses.
    pub zone: TimeZone,
    /// True if the platform can send a response in several parts over a long time. The value is false on AWS
    /// Lambda.
    pub is_streaming: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            site: "http://127.0.0.1:8080".into(),
            file_bytes_max: FILE_BYTES_MAX,
            response_bytes_max: None,
            zone: crate::app::times::default_zone(),
            is_streaming: true,
        }
    }
}

/// One process of the desk. Clones share one copy of the [`Parts`], so a clone is cheap.
#[derive(Clone)]
pub struct App(Arc<Parts>);

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Changes a part of this clone only. Tests replace ports with this function before the desk is used.
impl DerefMut for App {
    fn deref_mut(&mut self) -> &mut Parts {
        Arc::make_mut(&mut self.0)
    }
}

/// The parts of one process of the desk: its ports (interfaces to other systems), its settings and its shared services.
#[derive(Clone)]
pub struct Parts {
    pub ledger: Ledger,
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
    /// Stores the data that the desk computes from new commits: cards (stored summaries), deadlines and queue
    /// messages.
    pub page_writer: Arc<dyn PageWriter>,
    pub http: Arc<dyn HttpClient>,
    /// Stores uploaded files in encrypted parts.
    pub blob: Arc<dyn Blob>,
    pub login: Arc<dyn Login>,
    pub people: People,
    pub directory: Arc<dyn Directory>,
    /// Publishes messages to robots.
    pub fleet: Arc<dyn Fleet>,
    /// Sends mails to mail relays.
    pub mailer: Arc<dyn Mailer>,
    /// Reads the mailboxes of the desk.
    pub mailboxes: Arc<dyn Mailboxes>,
    /// Reads and unlocks user accounts in directories (such as LDAP servers).
    pub accounts: Arc<dyn Accounts>,
    /// Runs the shell scripts of the automation in a sandbox.
    pub sandbox: Arc<dyn Sandbox>,
    /// Counts the messages to robots. Each message contains its number.
    pub fleet_messages: Arc<AtomicU32>,
    /// Robots that have sent messages to this process.
    pub known_robots: Arc<KnownRobots>,
    pub configuration: Arc<Configuration>,
    pub numbers: Arc<Numbers>,
    pub credentials: Arc<Credentials>,
    /// Hashes and checks passwords.
    pub slow_hash: Arc<SlowHash>,
    pub limits: Arc<Limits>,
    /// Counts the requests of this process for the metrics.
    #[cfg(feature = "local")]
    pub requests: Arc<metrics::Requests>,
    /// Counts the messages of this process for the metrics.
    #[cfg(feature = "local")]
    pub sending: Arc<metrics::Sending>,
    /// Limits the number of concurrent outgoing requests to each receiver.
    pub targets: Targets,
    /// The access tokens of channel accounts.
    pub tokens: Arc<Tokens>,
    /// The published keys of the Bot Framework.
    pub bot_keys: Arc<BotKeys>,
    /// The certificates with which providers sign their messages.
    pub certificates: Arc<Certificates>,
    pub settings: Arc<Settings>,
    /// The position in the feed (the sequence of all commits) of the last commit that is included in the
    /// cards (stored summaries). After a change, the API waits until the cards include the change. Ticket
    /// lists therefore contain the change after the response.
    pub followed: Arc<Followed>,
    /// The leases of the workers of a desk on one machine.
    pub leases: Arc<Leases>,
    /// The newest versions of documents that change often.
    pub recalled: Arc<Recalled>,
    /// The streams of the active experiments.
    pub active_experiments: Arc<ActiveExperiments>,
    /// The times and the people of tickets that were read before.
    pub ticket_cards: Arc<tickets::KnownCards>,
    /// Reads the changes of inboxes for the clients that wait for them.
    pub inbox_feed: Arc<InboxFeed>,
    /// The configuration that decides which requests for work become messages.
    pub subscriptions: Arc<Subscriptions>,
    /// True after the desk has started to shut down. Long responses, such as the live updates of the web
    /// console, then end.
    pub stopping: watch::Sender<bool>,
    pub crash: Arc<Crash>,
    secrets: Arc<dyn Secrets>,
    keys: Arc<OnceCell<DeskKeys>>,
    token_keys: Arc<Mutex<BTreeMap<u32, [u8; 32]>>>,
}

/// The secret keys of the desk. Each person also has a key, which is stored separately.
#[derive(Clone, Copy)]
pub struct DeskKeys {
    /// The key for fingerprints (keyed hashes) in the ledger. Without this secret key, a reader of the ledger cannot
    /// compute fingerprints. The reader can therefore not find a value by comparing the fingerprints of guessed values
    /// with the stored fingerprints.
    pub fingerprint: [u8; 32],
    /// The key that encrypts uploaded files that belong to no single person, such as workflow templates. A
    /// file of one person is encrypted with the key of this person.
    pub files: [u8; 32],
}

/// The keys with which the desk signs callback tokens and the addresses for callbacks and messages. The desk signs with
/// the newest key, and accepts signatures of both keys.
#[derive(Clone, Copy)]
pub struct TokenKeys {
    pub newest: [u8; 32],
    /// The key before the newest one. `None` if the key was never replaced.
    previous: Option<[u8; 32]>,
}

impl TokenKeys {
    /// Checks a signature with each key, and returns the first result.
    pub fn first<T>(&self, check: impl FnMut(&[u8; 32]) -> Option<T>) -> Option<T> {
        let keys = std::iter::once(&self.newest).chain(&self.previous);
        keys.into_iter().find_map(check)
    }
}

impl App {
    /// Creates the app from its ports and settings. Returns an error if this version of the program cannot
    /// read all versions of stored events.
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
            mailboxes,
            accounts,
            sandbox,
            secrets,
        } = ports;
        events::upcast::complete(&events::catalog_of_types())
            .map_err(|reason| Error::new(infra::Kind::Misconfigured, reason))?;
        let slow_hash = Arc::new(SlowHash::default());
        let configuration = Arc::new(Configuration::new(
            ledger.clone(),
            views.clone(),
            directory.clone(),
            http.clone(),
            settings.zone.clone(),
        ));
        Ok(Self(Arc::new(Parts {
            people: People::new(ledger.keys.clone(), directory.clone()),
            subscriptions: Arc::new(Subscriptions::new(configuration.clone())),
            configuration,
            numbers: Arc::new(Numbers::new(ledger.clone())),
            credentials: Arc::new(Credentials::new(
                ledger.clone(),
                secrets.clone(),
                slow_hash.clone(),
            )),
            slow_hash,
            limits: Arc::default(),
            #[cfg(feature = "local")]
            requests: Arc::default(),
            #[cfg(feature = "local")]
            sending: Arc::default(),
            targets: Targets::default(),
            tokens: Arc::default(),
            bot_keys: Arc::default(),
            certificates: Arc::default(),
            settings: Arc::new(settings),
            followed: Arc::default(),
            leases: Arc::default(),
            recalled: Arc::default(),
            active_experiments: Arc::default(),
            ticket_cards: Arc::new(Cache::new(tickets::KNOWN_CARDS)),
            inbox_feed: Arc::default(),
            stopping: watch::channel(false).0,
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
            mailboxes,
            accounts,
            sandbox,
            fleet_messages: Arc::default(),
            known_robots: Arc::default(),
            crash,
            secrets,
            keys: Arc::default(),
            token_keys: Arc::default(),
        })))
    }

    /// Returns a document that changes often, see [`Recalled::get`].
    pub(crate) async fn recall(
        &self,
        view: &'static str,
        key: &str,
    ) -> Result<Option<Document>, Error> {
        let is_only_writer = self.ledger.is_only_writer();
        self.recalled
            .get(&*self.views, is_only_writer, view, key)
            .await
    }

    /// Stores a document that changes often, see [`Recalled::put`].
    pub(crate) async fn put_recalled(
        &self,
        view: &'static str,
        key: &str,
        document: Document,
        expected: i64,
    ) -> Result<bool, Error> {
        let is_only_writer = self.ledger.is_only_writer();
        self.recalled
            .put(&*self.views, is_only_writer, view, key, document, expected)
            .await
    }

    /// Executes a command that must never be rejected. A rejection becomes an error, see [`ExecuteError::unexpected`].
    /// A second call with the same `command_id` does nothing. Returns true if the command stored an event.
    pub(crate) async fn must_execute<D: Decider>(
        &self,
        stream: &str,
        command_id: [u8; 16],
        meta: Meta,
        command: &D::Command,
    ) -> Result<bool, Error>
    where
        NoContext: ContextLoader<D>,
    {
        let command_envelope = CommandEnvelope {
            stream: stream.to_owned(),
            command_id,
            meta,
        };
        self.ledger
            .execute::<D>(&command_envelope, command, &NoContext)
            .await
            .map(|outcome| !outcome.events.is_empty())
            .map_err(ExecuteError::unexpected)
    }

    /// Returns the secret keys of the desk. The first call reads the keys from the key store, and later calls
    /// use a copy in memory.
    pub async fn keys(&self) -> Result<DeskKeys, Error> {
        let read = async || {
            Ok(DeskKeys {
                fingerprint: self.secrets.secret(FINGERPRINT_KEY).await?,
                files: self.secrets.secret("files-key").await?,
            })
        };
        self.keys.get_or_try_init(read).await.copied()
    }

    /// Returns the keys with which the desk signs callback tokens and addresses. A rotation adds a key with a new name,
    /// so each key is read once, and later calls use a copy in memory.
    pub async fn token_keys(&self) -> Result<TokenKeys, Error> {
        let (newest, previous) = self.configuration.desk_key(TOKEN_KEY).await?.generations();
        Ok(TokenKeys {
            newest: self.token_key(newest).await?,
            previous: match previous {
                Some(generation) => Some(self.token_key(generation).await?),
                None => None,
            },
        })
    }

    async fn token_key(&self, generation: u32) -> Result<[u8; 32], Error> {
        let known = self
            .token_keys
            .lock()
            .expect("no holder panics")
            .get(&generation)
            .copied();
        if let Some(key) = known {
            return Ok(key);
        }
        let key = self.secrets.secret(&token_key_name(generation)).await?;
        self.token_keys
            .lock()
            .expect("no holder panics")
            .insert(generation, key);
        Ok(key)
    }

    /// Replaces the key with which the desk signs callback tokens and addresses. Signatures of the replaced key are
    /// accepted until the next rotation. Returns the number of the new key.
    pub async fn rotate_token_key(&self, meta: Meta) -> Result<u32, Error> {
        let envelope = CommandEnvelope {
            stream: format!("desk_key-{TOKEN_KEY}"),
            command_id: self.ledger.fresh_id(),
            meta,
        };
        let now = self.ledger.clock.now();
        let outcome = self
            .ledger
            .execute::<DeskKey>(&envelope, &now, &NoContext)
            .await;
        Ok(outcome
            .map_err(ExecuteError::unexpected)?
            .state
            .generations()
            .0)
    }
}

/// The name of the secret key for callback tokens and addresses in the key store.
pub const TOKEN_KEY: &str = "token-key";
/// Returns the name of the key for callback tokens and addresses with the given number. The first key has the number 1.
pub fn token_key_name(generation: u32) -> String {
    match generation {
        1 => TOKEN_KEY.to_owned(),
        later => format!("{TOKEN_KEY}-{later}"),
    }
}

/// The name of the secret key for fingerprints (keyed hashes) in the key store.
pub const FINGERPRINT_KEY: &str = "fingerprint-key";
