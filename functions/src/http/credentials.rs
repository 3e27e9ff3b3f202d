//! Who calls: the application by code and secret, and the user it speaks for.

use std::collections::HashMap;
use std::sync::Mutex;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use domain::config::App as AppState;
use events::app::Registered;
use events::{AppCode, Channel, Meta, Pid};
use infra::ledger::{NoLookups, command_id};
use infra::store::commit::hex;
use infra::{Error, Failure, Kind, Ledger, Wish};
use tokio::sync::Semaphore;

use crate::App;

/// Verified secrets kept as fast digests, so that the slow hash is computed once per application and start.
const KEPT_MAX: usize = 10_000;
/// Secrets that are hashed at once; each takes 19 MiB.
const HASHED_AT_ONCE: usize = 2;
/// Longest code of an application.
const CODE_MAX: usize = 128;
/// Longest secret that is looked at.
const SECRET_MAX: usize = 256;

/// A code and the digest of the secret that came with it.
type Digested = (String, [u8; 32]);

/// What was found of a code and secret: under which configuration, against which stored hash.
#[derive(Clone)]
struct Checked {
    configuration: u64,
    hash: Vec<u8>,
    app: Option<Registered>,
}

/// Registered applications.
pub struct Credentials {
    ledger: Ledger,
    kept: Mutex<HashMap<Digested, Checked>>,
    hashing: Semaphore,
}

impl Credentials {
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, kept: Mutex::default(), hashing: Semaphore::new(HASHED_AT_ONCE) }
    }

    /// Registers an application, or gives it a new secret.
    pub async fn register(&self, registered: &Registered, secret: &str) -> Result<(), Error> {
        let code = registered.code.as_str();
        let is_plain = |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if !is_plain(code) || code.len() > CODE_MAX || secret.is_empty() || secret.len() > SECRET_MAX {
            let what =
                format!("application {code:?}: the code must be there, without blanks and at most {CODE_MAX} bytes, and the secret at most {SECRET_MAX} bytes");
            return Err(Error::new(Kind::Misconfigured, what));
        }
        if self.check(code, secret).await?.as_ref() == Some(registered) {
            return Ok(());
        }
        let mut salt = [0; 16];
        self.ledger.chance.fill(&mut salt);
        let unusable = |error: argon2::password_hash::Error| Error::new(Kind::Misconfigured, format!("cannot hash the secret of {code}: {error}"));
        let salt = SaltString::encode_b64(&salt).map_err(unusable)?;
        let hash = hasher().hash_password(secret.as_bytes(), &salt).map_err(unusable)?.to_string();
        let wish = Wish { stream: format!("app-{code}"), command_id: self.ledger.fresh_id(), meta: events::Meta::system("setup", "setup") };
        match self.ledger.execute::<AppState>(&wish, registered, &NoLookups).await {
            Ok(_) => {}
            Err(Failure::Technical(error)) => return Err(error),
            Err(Failure::Rejected(rejection)) => return Err(Error::new(Kind::Misconfigured, rejection.to_string())),
        }
        // The secret last: with it the application can call, and by then it is known.
        self.ledger.keys.keep_secret(&secret_name(code), hash.as_bytes()).await?;
        self.kept.lock().expect("no holder panics").clear();
        Ok(())
    }

    /// The application of a code and secret; `None` where either is wrong. The slow hash is computed once for each stored one; what is stored is read
    /// again as often as configuration is, so that a secret that was replaced ends in every process.
    pub async fn check(&self, code: &str, secret: &str) -> Result<Option<Registered>, Error> {
        if code.is_empty() || code.len() > CODE_MAX || secret.len() > SECRET_MAX {
            return Ok(None);
        }
        let configuration = self.ledger.configuration();
        let presented = (code.to_owned(), *blake3::hash(secret.as_bytes()).as_bytes());
        let known = self.kept.lock().expect("no holder panics").get(&presented).cloned();
        if let Some(known) = &known
            && known.configuration == configuration
        {
            return Ok(known.app.clone());
        }
        let hash = self.ledger.keys.secret(&secret_name(code)).await?.unwrap_or_default();
        let fits = match known.filter(|known| known.hash == hash) {
            Some(known) => known.app.is_some(),
            None => self.is_secret(hash.clone(), secret.to_owned()).await?,
        };
        let app = if fits { self.ledger.load::<AppState>(&format!("app-{code}")).await?.aggregate.0.0 } else { None };
        let mut all = self.kept.lock().expect("no holder panics");
        if all.len() >= KEPT_MAX {
            // Guesses first: a flood of them costs nobody else the slow hash again.
            all.retain(|_, checked| checked.app.is_some());
        }
        if all.len() >= KEPT_MAX {
            all.clear();
        }
        all.insert(presented, Checked { configuration, hash, app: app.clone() });
        Ok(app)
    }

    /// Whether a secret fits its hash. That takes long on purpose, so it stands in nobody's way: beside the requests, and few at a time.
    async fn is_secret(&self, hash: Vec<u8>, secret: String) -> Result<bool, Error> {
        let _one = self.hashing.acquire().await.map_err(|error| Error::new(Kind::Unavailable, error.to_string()))?;
        let checked = tokio::task::spawn_blocking(move || is_secret(&hash, &secret)).await;
        checked.map_err(|error| Error::new(Kind::Unavailable, format!("a secret was not checked: {error}")))
    }
}

/// Argon2id with 19 MiB and two passes (OWASP's first choice of small parameters).
fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19 * 1024, 2, 1, None).expect("these parameters are in range"))
}

fn is_secret(hash: &[u8], secret: &str) -> bool {
    let hash = String::from_utf8_lossy(hash);
    PasswordHash::new(&hash).is_ok_and(|hash| hasher().verify_password(secret.as_bytes(), &hash).is_ok())
}

fn secret_name(code: &str) -> String {
    format!("app-secret/{code}")
}

/// Who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    pub app: AppCode,
    /// Its callbacks also tell of changes of status.
    pub hears_status: bool,
    /// May say of any user that they act; else only the one who is logged in does.
    pub speaks_for_users: bool,
    /// The user named or logged in; absent where the application speaks for itself.
    pub user: Option<String>,
}

impl Caller {
    /// Says whether a request may be carried out as this user's.
    pub fn may_act_as(&self, user: &str) -> bool {
        self.speaks_for_users || self.user.as_deref() == Some(user)
    }

    /// What every fact of this request carries: who acts, through which application, and which request it came from.
    pub fn meta(&self, request_id: &str, actor: Pid) -> Meta {
        Meta {
            actor,
            channel: Channel::Api,
            app: Some(self.app.clone()),
            correlation: request_id.to_owned(),
            causation: hex(&command_id(&["request", request_id])[..8]),
            ..Meta::default()
        }
    }
}

/// What somebody shows at a door.
#[derive(Clone, Debug, Default)]
pub struct Presented {
    pub code: Option<String>,
    pub secret: Option<String>,
    /// The login token of a user.
    pub token: Option<String>,
    /// The user an application speaks for.
    pub user: Option<String>,
}

/// Says who calls; `None` where that cannot be believed. An application always shows its secret; a user is believed by a login token, or by the
/// word of an application that may speak for users.
pub async fn identify(app: &App, presented: Presented) -> Result<Option<Caller>, Error> {
    let (Some(code), Some(secret)) = (presented.code, presented.secret) else { return Ok(None) };
    let Some(registered) = app.credentials.check(&code, &secret).await?.filter(|registered| !registered.is_disabled) else { return Ok(None) };
    super::access::note_caller(&registered.code);
    let user = match presented.token {
        Some(token) => match app.login.who(&token).await {
            Ok(user) => user,
            // One of token and user name suffices where the application may speak for users.
            Err(error) if registered.speaks_for_users => {
                tracing::warn!(%error, "the login service does not answer; the application's word counts");
                None
            }
            Err(error) => return Err(error),
        },
        None => None,
    };
    let user = match user {
        Some(user) => Some(user),
        None if registered.speaks_for_users => presented.user,
        None => return Ok(None),
    };
    Ok(Some(Caller { app: registered.code, hears_status: registered.hears_status, speaks_for_users: registered.speaks_for_users, user }))
}
