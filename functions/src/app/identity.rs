//! Identifies the caller of an API request. The app code and the app secret identify a client app.
//! The login token identifies the user for whom the app acts.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::config::App as AppState;
use events::app::{Registered, Scope};
use events::{AppCode, Meta, Origin, PersonId};
use infra::commit::hex;
use infra::ledger::{NoContext, command_id};
use infra::secrets::Secrets;
use infra::{CommandEnvelope, Error, ExecuteError, Kind, Ledger};
use tokio::sync::OnceCell;

use crate::App;
use crate::app::limits::Of;
use crate::app::request_scope;
use crate::app::slow_hash::SlowHash;

/// The name of a secret key of the desk. The desk hashes app secrets with this key.
const CREDENTIALS_KEY: &str = "credentials-key";
/// The text at the start of a stored secret record that contains a keyed BLAKE3 hash. A record
/// without this text contains an Argon2 hash from an older version of the desk.
const KEYED: &str = "blake3-keyed:";
/// Maximum length of an app code, in bytes. The app code is the name of a client app in requests.
const CODE_MAX: usize = 128;
/// Maximum length of an app secret, in bytes. A longer secret is rejected before it is hashed.
const SECRET_MAX: usize = 256;
/// Minimum length of an app secret, in characters. The minimum applies only if other machines can
/// reach the desk. Secrets are stored with a fast hash, which does not protect a short secret.
const SECRET_MIN: usize = 16;
/// Minimum number of different characters in an app secret. The minimum applies only if other
/// machines can reach the desk.
const SECRET_VARIETY_MIN: usize = 8;

/// A cached entry for a client app after a successful check of its secret. The next request of the
/// app is compared with this entry.
struct Cached {
    configuration: u64,
    digest: blake3::Hash,
    app: Registered,
}

/// Verifies the secrets of the registered client apps. App secrets are random, so a fast keyed hash
/// is safe enough. Passwords that people choose would need a slow hash.
pub struct Credentials {
    ledger: Ledger,
    secrets: Arc<dyn Secrets>,
    key: OnceCell<[u8; 32]>,
    /// A cache of the client apps with successfully checked secrets. The key is the app code (the
    /// id of a client app). Each app has at most one entry.
    kept: Mutex<HashMap<String, Cached>>,
    /// Counts how often a secret was replaced. If the counter changes during the check of a secret,
    /// the result of this check may be outdated. The counter increases only while the cache `kept`
    /// is locked.
    replaced: AtomicU64,
    /// The lock for writing a secret record. A check of a secret can replace an old Argon2 record.
    /// Without this lock, the check could overwrite a new secret of another request.
    storing: tokio::sync::Mutex<()>,
    /// Checks a secret record from an older version of the desk. Such a record contains an Argon2
    /// hash. After the first successful check, the record is replaced with a keyed hash.
    slow_hash: Arc<SlowHash>,
    /// True if other machines can reach the desk over the network. In this case, weak secrets are
    /// rejected.
    is_reachable: AtomicBool,
}

impl Credentials {
    pub fn new(ledger: Ledger, secrets: Arc<dyn Secrets>, slow_hash: Arc<SlowHash>) -> Self {
        Self {
            ledger,
            secrets,
            key: OnceCell::new(),
            kept: Mutex::default(),
            replaced: AtomicU64::new(0),
            storing: tokio::sync::Mutex::default(),
            slow_hash,
            is_reachable: AtomicBool::new(false),
        }
    }

    /// Receives the address on which the desk listens. If other machines can reach this address,
    /// the desk rejects weak app secrets. Otherwise, the desk only writes a warning to the log for
    /// a weak secret.
    pub fn listens_on(&self, address: IpAddr) {
        self.is_reachable
            .store(!address.to_canonical().is_loopback(), Ordering::Relaxed);
    }

    /// Returns the reason why an app code (the id of a client app) or an app secret cannot be
    /// registered. Returns `None` if the app code and the app secret are valid.
    pub fn unfit(&self, code: &str, secret: &str) -> Option<String> {
        let is_plain = |text: &str| {
            !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        };
        if !is_plain(code)
            || code.len() > CODE_MAX
            || secret.is_empty()
            || secret.len() > SECRET_MAX
        {
            return Some(format!(
                "application {code:?}: the code must be there, without blanks and at most {CODE_MAX} bytes, and the secret at most {SECRET_MAX} bytes"
            ));
        }
        (is_weak(secret) && self.is_reachable.load(Ordering::Relaxed)).then(|| guessable(code))
    }

    /// Returns true if the desk has stored a secret for this app code (the id of a client app).
    pub async fn has_secret(&self, code: &str) -> Result<bool, Error> {
        Ok(self.ledger.keys.secret(&secret_name(code)).await?.is_some())
    }

    /// Registers a client app. If the app is already registered, replaces its definition and its
    /// secret. Returns `Misconfigured` if the app code (the id of the app) or the secret is not
    /// valid.
    pub async fn register(&self, registered: &Registered, secret: &str) -> Result<(), Error> {
        let code = registered.code.as_str();
        if let Some(what) = self.unfit(code, secret) {
            return Err(Error::new(Kind::Misconfigured, what));
        }
        if is_weak(secret) {
            tracing::warn!(
                "{}; a desk that other machines can reach rejects it",
                guessable(code)
            );
        }
        if self.check(code, secret).await?.as_ref() == Some(registered) {
            return Ok(());
        }
        let digest = self.digest(code, secret).await?;
        let command_envelope = CommandEnvelope {
            stream: format!("app-{code}"),
            command_id: self.ledger.fresh_id(),
            meta: events::Meta::system("setup", "setup"),
        };
        match self
            .ledger
            .execute::<AppState>(&command_envelope, registered, &NoContext)
            .await
        {
            Ok(_) => {}
            Err(ExecuteError::Technical(error)) => return Err(error),
            Err(ExecuteError::Rejected(rejection)) => {
                return Err(Error::new(Kind::Misconfigured, rejection.to_string()));
            }
        }
        // The secret is stored after the app is registered. A client can authenticate as soon as
        // the secret is stored. The app must already exist at that time.
        let _storing = self.storing.lock().await;
        self.keep(code, digest).await?;
        let mut kept = self.kept.lock().expect("no holder panics");
        self.replaced.fetch_add(1, Ordering::Relaxed);
        kept.clear();
        Ok(())
    }

    async fn keep(&self, code: &str, digest: blake3::Hash) -> Result<(), Error> {
        self.ledger
            .keys
            .keep_secret(
                &secret_name(code),
                format!("{KEYED}{}", digest.to_hex()).as_bytes(),
            )
            .await
    }

    /// Returns the client app for an app code and a secret. Returns `None` if the code or the
    /// secret is wrong. The check takes the same time for unknown app codes and for wrong secrets.
    /// A caller can therefore not find out which app codes exist.
    ///
    /// The result is cached only until the desk reads its configuration again. A replaced secret
    /// therefore becomes invalid in every process of the desk.
    pub async fn check(&self, code: &str, secret: &str) -> Result<Option<Registered>, Error> {
        if code.is_empty() || code.len() > CODE_MAX || secret.len() > SECRET_MAX {
            return Ok(None);
        }
        let (configuration, replaced) = (
            self.ledger.configuration(),
            self.replaced.load(Ordering::Relaxed),
        );
        let digest = self.digest(code, secret).await?;
        if let Some(app) = self.kept(code, configuration, digest) {
            return Ok(Some(app));
        }
        let record = self
            .ledger
            .keys
            .secret(&secret_name(code))
            .await?
            .unwrap_or_default();
        let is_keyed = record.is_empty() || record.starts_with(KEYED.as_bytes());
        let fits = if is_keyed {
            keyed(&record) == digest && !record.is_empty()
        } else {
            self.slow_hash.matches(record, secret.to_owned()).await?
        };
        if !fits {
            return Ok(None);
        }
        let Some(app) = self
            .ledger
            .load::<AppState>(&format!("app-{code}"))
            .await?
            .aggregate
            .0
            .0
        else {
            return Ok(None);
        };
        if !is_keyed {
            let _storing = self.storing.lock().await;
            if self.replaced.load(Ordering::Relaxed) == replaced
                && let Err(error) = self.keep(code, digest).await
            {
                // The new record could not be written, for example because this process has no
                // permission to write secrets. The old Argon2 record remains valid. The command
                // `setup` can replace the old record later.
                tracing::warn!(%error, code, "the record of a secret was not renewed");
            }
        }
        let mut kept = self.kept.lock().expect("no holder panics");
        // The result of this check is cached only if no secret was replaced during the check.
        // Otherwise, the result may be outdated.
        if self.replaced.load(Ordering::Relaxed) == replaced {
            kept.insert(
                code.to_owned(),
                Cached {
                    configuration,
                    digest,
                    app: app.clone(),
                },
            );
        }
        Ok(Some(app))
    }

    /// Returns the client app with the app code `code` (the id of the app) from the cache. `digest`
    /// is the hash of the secret in the request, and `configuration` is the current version of the
    /// configuration. Returns `None` if the secret or the configuration differs from the cached
    /// entry.
    fn kept(&self, code: &str, configuration: u64, digest: blake3::Hash) -> Option<Registered> {
        let kept = self.kept.lock().expect("no holder panics");
        kept.get(code)
            .filter(|kept| kept.configuration == configuration && kept.digest == digest)
            .map(|kept| kept.app.clone())
    }

    /// Returns the keyed hash of a secret. The hash key is derived from the app code and a secret
    /// key of the desk. The comparison of two such hashes takes constant time, so an attacker
    /// learns nothing from the duration of a check.
    async fn digest(&self, code: &str, secret: &str) -> Result<blake3::Hash, Error> {
        let key = self
            .key
            .get_or_try_init(|| self.secrets.secret(CREDENTIALS_KEY))
            .await?;
        let of_the_code = blake3::keyed_hash(key, code.as_bytes());
        Ok(blake3::keyed_hash(
            of_the_code.as_bytes(),
            secret.as_bytes(),
        ))
    }
}

/// Returns the hash from a stored secret record. If the record contains no keyed hash, returns a
/// hash of zeros, which matches no secret.
fn keyed(record: &[u8]) -> blake3::Hash {
    let text = std::str::from_utf8(record)
        .unwrap_or_default()
        .strip_prefix(KEYED)
        .unwrap_or_default();
    blake3::Hash::from_hex(text).unwrap_or_else(|_| blake3::Hash::from_bytes([0; 32]))
}

fn guessable(code: &str) -> String {
    format!(
        "the secret of application {code} can be guessed: it needs at least {SECRET_MIN} characters, {SECRET_VARIETY_MIN} of them different (try `openssl rand -hex 24`)"
    )
}

/// Returns true if a secret is easy to guess because the secret is short or has few different
/// characters.
fn is_weak(secret: &str) -> bool {
    let mut characters: Vec<char> = secret.chars().collect();
    let length = characters.len();
    characters.sort_unstable();
    characters.dedup();
    length < SECRET_MIN || characters.len() < SECRET_VARIETY_MIN
}

fn secret_name(code: &str) -> String {
    format!("app-secret/{code}")
}

/// The verified caller of a request: a client app, and usually a user.
#[derive(Clone, Debug)]
pub struct Caller {
    pub app: AppCode,
    /// True if the client app receives a callback for each status change, in addition to the
    /// callback at the end of a ticket.
    pub status_callbacks: bool,
    /// True if the app may act for any user without a login token of the user.
    pub may_impersonate: bool,
    /// The user for whom the app acts. The value is `None` if the request contains no user.
    pub user: Option<String>,
    /// The parts of the APIs that the app may use. The value is `None` if it may use all parts.
    pub scopes: Option<BTreeSet<Scope>>,
}

impl Caller {
    /// Returns the reason why the app may use none of the given parts of the APIs. Returns `None` if it may use one
    /// of them.
    pub fn lacks(&self, parts: &[Scope]) -> Option<String> {
        let own = self.scopes.as_ref()?;
        let is_missing = !parts.iter().any(|scope| own.contains(scope));
        is_missing.then(|| {
            let names: Vec<&str> = parts.iter().map(|scope| scope.key()).collect();
            format!("app {} needs the scope {}", self.app, names.join(" or "))
        })
    }

    /// Returns true if the caller may act as the user with this name.
    pub fn may_act_as(&self, user: &str) -> bool {
        self.may_impersonate || self.user.as_deref() == Some(user)
    }

    /// Returns the metadata for the commits of a request. The metadata contains the actor (the
    /// person who acts), the client app and the request id.
    pub fn meta(&self, request_id: &str, actor: PersonId) -> Meta {
        Meta {
            actor,
            origin: Origin::Api,
            app: Some(self.app.clone()),
            correlation: request_id.to_owned(),
            causation: hex(&command_id(&["request", request_id])[..8]),
            ..Meta::default()
        }
    }
}

/// The credentials that a request contains. The values are not verified yet.
#[derive(Clone, Debug, Default)]
pub struct Presented {
    pub code: Option<String>,
    pub secret: Option<String>,
    /// The login token of a user. The login service returns the user for a token.
    pub token: Option<String>,
    /// The user for whom the app acts. This name is used only if the app may act for any user.
    pub user: Option<String>,
}

/// Verifies the credentials of a request, and returns the caller. Returns `None` if the credentials
/// are not valid.
///
/// A client app always needs its secret. The app also needs a login token of the user, except if
/// the app may act for any user.
pub async fn identify(app: &App, presented: Presented) -> Result<Option<Caller>, Error> {
    let (Some(code), Some(secret)) = (presented.code, presented.secret) else {
        return Ok(None);
    };
    let Some(registered) = app.credentials.check(&code, &secret).await? else {
        // Only requests with a wrong secret are counted and limited. A client with the right secret
        // is therefore never rejected because of the wrong secrets of other clients.
        app.limits.guessed(&code, app.ledger.clock.now())?;
        return Ok(None);
    };
    if registered.is_disabled {
        return Ok(None);
    }
    request_scope::note_caller(&registered.code);
    let user = match presented.token {
        Some(token) => match app.login.who(&token).await {
            Ok(user) => user,
            // This client app may act for any user without a login token. If the login service
            // fails, the error is only logged, and the request continues.
            Err(error) if registered.may_impersonate => {
                tracing::warn!(%error, "the login service does not answer; the application's word counts");
                None
            }
            Err(error) => return Err(error),
        },
        None => None,
    };
    let user = match user {
        Some(user) => Some(user),
        None if registered.may_impersonate => presented.user,
        None => return Ok(None),
    };
    app.limits.asked(
        Of::new(registered.code.as_str(), user.as_deref()),
        app.ledger.clock.now(),
    )?;
    Ok(Some(Caller {
        app: registered.code,
        status_callbacks: registered.status_callbacks,
        may_impersonate: registered.may_impersonate,
        user,
        scopes: registered.scopes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_short_or_monotonous_is_weak() {
        for weak in [
            "",
            "t",
            "test-secret",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "abababababababababababab",
        ] {
            assert!(is_weak(weak), "{weak}");
        }
        assert!(!is_weak("demo-secret-for-trials-only") && !is_weak("f3b1c29e40d7a8561c0be97d"));
    }

    #[test]
    fn a_record_without_a_hash_matches_no_secret() {
        let nothing = blake3::Hash::from_bytes([0; 32]);
        for record in [
            &b""[..],
            b"blake3-keyed:",
            b"blake3-keyed:xyz",
            b"\xff\xfe",
            b"$argon2id$v=19",
        ] {
            assert_eq!(keyed(record), nothing, "{record:?}");
        }
        let hash = blake3::hash(b"a");
        assert_eq!(keyed(format!("{KEYED}{}", hash.to_hex()).as_bytes()), hash);
    }
}
