//! Handles logins to the web console with a password. An administrator invites a person, and the person sets
//! a password with the invitation link. A login starts a session. The browser sends a secret code in a cookie
//! with each request of the session.

use domain::Decider as _;
use domain::account::{Account, Command, INVITATION_MS, Rejection, SESSION_MS, stream};
use events::{Meta, Moment, Origin, PersonId};
use infra::commit::hex;
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};

use crate::App;
use crate::app::limits::Of;
use crate::app::people::is_name;
use crate::app::seed::DEMO_PEOPLE;

/// The app name under which the limits count the requests of the web console. The name contains a space. The app code
/// (the id) of a client app cannot contain a space, so no client app has the same name.
const CONSOLE: &str = "console ";
/// Minimum length of a password, in characters (NIST SP 800-63B requires at least 8).
pub const PASSWORD_MIN: usize = 10;
/// Maximum length of a password, in characters.
pub const PASSWORD_MAX: usize = 128;
/// Maximum length of the text in an invitation link or a session cookie, in bytes. A longer text is rejected.
/// The text consists of a person id and a secret code.
const CODE_BYTES_MAX: usize = 128;

/// The reason why a password is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeakPassword {
    TooShort,
    TooLong,
    /// The password contains the user name.
    ContainsName,
    /// The password consists of very few different characters.
    Monotonous,
}

/// The reason why a password was not set.
#[derive(Debug, thiserror::Error)]
pub enum NotSet {
    /// The invitation link is unknown, already used or expired.
    #[error("the invitation is unknown, used or expired")]
    NotInvited,
    #[error("the password is weak: {0:?}")]
    Weak(WeakPassword),
    #[error(transparent)]
    Technical(#[from] Error),
}

/// The link with which an invited person sets a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The path of the invitation link. The whole URL is the base URL of the desk followed by this path.
    pub path: String,
    /// The time at which the invitation link expires.
    pub expires: Moment,
}

/// A session of a person who is logged in to the web console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub person: PersonId,
    pub user: String,
    /// The value of the session cookie.
    pub cookie: String,
    /// The secret code that each HTML form of this session contains. The desk rejects a form without this
    /// code. Another web site can therefore not send forms in this session.
    pub form_code: String,
    /// Maximum time for which the session cookie is valid, in seconds.
    pub max_age_s: i64,
}

impl Session {
    fn new(person: PersonId, user: String, cookie: String) -> Self {
        let form_code = blake3::derive_key("ledgerdesk console form code", cookie.as_bytes());
        Self {
            person,
            user,
            cookie,
            form_code: hex(&form_code[..16]),
            max_age_s: SESSION_MS / 1_000,
        }
    }

    /// Returns the metadata for the commits of a request of this session.
    pub fn meta(&self, request_id: &str) -> Meta {
        meta(self.person.clone(), request_id)
    }
}

fn meta(actor: PersonId, request_id: &str) -> Meta {
    Meta {
        actor,
        origin: Origin::Web,
        correlation: request_id.to_owned(),
        causation: hex(&command_id(&["request", request_id])[..8]),
        ..Meta::default()
    }
}

/// Returns the name under which the key store contains the password hash of a person.
pub fn secret_name(person: &PersonId) -> String {
    format!("account/{person}")
}

/// Returns the hash of the secret code in an invitation link or a session cookie. The code is random, so a
/// fast hash is safe.
fn hash(code: &str) -> String {
    hex(&blake3::derive_key("ledgerdesk console code", code.as_bytes())[..16])
}

/// Returns a new secret code of 32 random bytes.
fn fresh_code(app: &App) -> String {
    format!(
        "{}{}",
        hex(&app.ledger.fresh_id()),
        hex(&app.ledger.fresh_id())
    )
}

/// Splits the text in an invitation link or a session cookie into the person id and the secret code. Returns
/// `None` if the text is not valid.
fn parts(text: &str) -> Option<(PersonId, &str)> {
    let (person, code) = text
        .split_once('.')
        .filter(|_| text.len() <= CODE_BYTES_MAX)?;
    PersonId::is_id(person).then(|| (PersonId::from(person), code))
}

/// Checks whether a new password is strong enough. `user` is the user name of the person. The password must
/// not contain this name.
pub fn check_password(user: &str, password: &str) -> Result<(), WeakPassword> {
    let length = password.chars().count();
    if length < PASSWORD_MIN {
        return Err(WeakPassword::TooShort);
    }
    if length > PASSWORD_MAX {
        return Err(WeakPassword::TooLong);
    }
    if password.to_lowercase().contains(&user.to_lowercase()) {
        return Err(WeakPassword::ContainsName);
    }
    let mut characters: Vec<char> = password.chars().collect();
    characters.sort_unstable();
    characters.dedup();
    if characters.len() < PASSWORD_MIN / 2 {
        return Err(WeakPassword::Monotonous);
    }
    Ok(())
}

async fn execute(
    app: &App,
    person: &PersonId,
    command: &Command,
    meta: Meta,
) -> Result<Account, ExecuteError<Account>> {
    let command_envelope = CommandEnvelope {
        stream: stream(person),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    let outcome = app
        .ledger
        .execute::<Account>(&command_envelope, command, &NoContext)
        .await?;
    Ok(outcome.state)
}

/// Invites a person to set a password, and returns the invitation link. If the user name is unknown, the
/// person is registered. The caller must check that the person in `meta` may invite other people.
pub async fn invite(app: &App, user: &str, meta: Meta) -> Result<Link, Error> {
    let person = app.people.pid(user).await?;
    let (code, at) = (fresh_code(app), app.ledger.clock.now());
    let command = Command::Invite {
        person: person.clone(),
        invitation: hash(&code),
        by: meta.actor.clone(),
        at,
    };
    execute(app, &person, &command, meta)
        .await
        .map_err(ExecuteError::unexpected)?;
    Ok(Link {
        path: format!("/welcome/{person}.{code}"),
        expires: Moment(at.0 + INVITATION_MS),
    })
}

/// Returns the user name of the person for whom an invitation link was created. `link` is the last part of
/// the link. Returns `None` if the link is unknown, already used or expired.
pub async fn invited(app: &App, link: &str) -> Result<Option<String>, Error> {
    let Some((person, code)) = parts(link) else {
        return Ok(None);
    };
    let account = app.ledger.load::<Account>(&stream(&person)).await?;
    let (hash, at) = (hash(code), app.ledger.clock.now());
    let is_valid = account
        .aggregate
        .0
        .invitation
        .is_some_and(|known| known.hash == hash && at < known.expires);
    if is_valid {
        app.ledger.keys.name(&person).await
    } else {
        Ok(None)
    }
}

/// Sets the password of an invited person, and returns the user name. This call ends all sessions of the
/// person.
pub async fn accept(
    app: &App,
    link: &str,
    password: &str,
    request_id: &str,
) -> Result<String, NotSet> {
    let user = invited(app, link).await?.ok_or(NotSet::NotInvited)?;
    let (person, code) = parts(link).ok_or(NotSet::NotInvited)?;
    check_password(&user, password).map_err(NotSet::Weak)?;
    // The password hash is stored before the event that marks the invitation link as used. If the process ends between
    // these two steps, the link is still valid. The person can then set the password again.
    store_password(app, &person, password).await?;
    let command = Command::Accept {
        person: person.clone(),
        invitation: hash(code),
        at: app.ledger.clock.now(),
    };
    match execute(app, &person, &command, meta(person.clone(), request_id)).await {
        Ok(_) => Ok(user),
        Err(ExecuteError::Rejected(_)) => Err(NotSet::NotInvited),
        Err(ExecuteError::Technical(error)) => Err(error.into()),
    }
}

async fn store_password(app: &App, person: &PersonId, password: &str) -> Result<(), Error> {
    let salt = app.ledger.fresh_id();
    let record = app.slow_hash.record(password.to_owned(), salt).await?;
    app.ledger
        .keys
        .keep_secret(&secret_name(person), record.as_bytes())
        .await
}

/// The name under which the key store contains the common password of all people in the demo company.
const DEMO_PASSWORD: &str = "demo-password";

/// Gives the same random password to all people of the demo company who have no password yet. Returns this
/// password. The password is generated only once for each desk.
pub async fn demo_password(app: &App) -> Result<String, Error> {
    let keys = &app.ledger.keys;
    let known = keys.secret(DEMO_PASSWORD).await?;
    let password = if let Some(known) = known {
        String::from_utf8_lossy(&known).into_owned()
    } else {
        let digits = hex(&app.ledger.fresh_id());
        let password = format!("{}-{}-{}", &digits[..5], &digits[5..10], &digits[10..15]);
        keys.keep_secret(DEMO_PASSWORD, password.as_bytes()).await?;
        password
    };
    // All these people get the same password hash. The start of a desk therefore needs only one slow hash
    // computation.
    let mut record = None;
    for user in DEMO_PEOPLE {
        let person = app.people.pid(user).await?;
        let account = app.ledger.load::<Account>(&stream(&person)).await?;
        if account.aggregate.0.has_password {
            continue;
        }
        if record.is_none() {
            let salt = app.ledger.fresh_id();
            record = Some(app.slow_hash.record(password.clone(), salt).await?);
        }
        let record = record.as_deref().unwrap_or_default();
        keys.keep_secret(&secret_name(&person), record.as_bytes())
            .await?;
        let command = Command::SetPassword {
            person: person.clone(),
            by: PersonId::system(),
        };
        execute(app, &person, &command, Meta::system("setup", "setup"))
            .await
            .map_err(ExecuteError::unexpected)?;
    }
    Ok(password)
}

/// Checks a user name and a password, and starts a session if both are correct. Returns `None` if the login
/// is rejected.
///
/// A rejected login has no reason in the result. The password check also needs the same time for known and
/// unknown user names. An attacker can therefore not find out which user names exist. Returns an error of the
/// kind `Limited` after too many rejected logins.
pub async fn log_in(
    app: &App,
    user: &str,
    password: &str,
    request_id: &str,
) -> Result<Option<Session>, Error> {
    let user = user.trim();
    let at = app.ledger.clock.now();
    let rejected = async |person: Option<&PersonId>| {
        if let Some(person) = person {
            let fail = Command::Fail { at };
            let failed = execute(app, person, &fail, meta(person.clone(), request_id)).await;
            if let Err(ExecuteError::Technical(error)) = failed {
                return Err(error);
            }
        }
        app.limits.guessed(&format!("{CONSOLE}{user}"), at)?;
        Ok(None)
    };
    if !is_name(user) || password.chars().count() > PASSWORD_MAX {
        return rejected(None).await;
    }
    let person = app.ledger.keys.find(user).await?;
    let record = match &person {
        Some(person) => app.ledger.keys.secret(&secret_name(person)).await?,
        None => None,
    };
    let is_known = record.is_some();
    // If the person has no password, the desk compares the password with a hash that matches no password.
    // This comparison needs the same time as a comparison with a real password hash.
    let record = record.unwrap_or_else(|| NO_PASSWORD.as_bytes().to_vec());
    let matches = app.slow_hash.matches(record, password.to_owned()).await?;
    let Some(person) = person.filter(|_| is_known) else {
        return rejected(None).await;
    };
    if !matches {
        return rejected(Some(&person)).await;
    }
    let code = fresh_code(app);
    let start = Command::Start {
        session: hash(&code),
        at,
    };
    match execute(app, &person, &start, meta(person.clone(), request_id)).await {
        Ok(_) => {
            let cookie = format!("{person}.{code}");
            Ok(Some(Session::new(person, user.to_owned(), cookie)))
        }
        Err(ExecuteError::Rejected(Rejection::Locked(_) | Rejection::NoPassword)) => {
            rejected(None).await
        }
        Err(other) => Err(other.unexpected()),
    }
}

/// An Argon2id hash that matches no password, with the same computation cost as a real password hash.
const NO_PASSWORD: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Returns the session for a cookie. Returns `None` if the session is unknown, ended or expired, or if the
/// person was erased. The current request counts for the request limits of this person.
pub async fn session(app: &App, cookie: &str) -> Result<Option<Session>, Error> {
    let Some((person, code)) = parts(cookie) else {
        return Ok(None);
    };
    let (session, at) = (hash(code), app.ledger.clock.now());
    let account = app.ledger.load::<Account>(&stream(&person)).await?;
    let used = Command::Use { session, at };
    // A session is extended only a few times per hour. All other requests of the session execute no command. This saves
    // time, because a command reads the event stream of the account again.
    let Ok(events) = account.aggregate.0.decide(&used, &()) else {
        return Ok(None);
    };
    let Some(user) = app.ledger.keys.name(&person).await? else {
        return Ok(None);
    };
    app.limits.asked(Of::new(CONSOLE, Some(&user)), at)?;
    if !events.is_empty() {
        match execute(app, &person, &used, meta(person.clone(), "session")).await {
            Ok(_) => {}
            Err(ExecuteError::Rejected(_)) => return Ok(None),
            Err(ExecuteError::Technical(error)) => return Err(error),
        }
    }
    Ok(Some(Session::new(person, user, cookie.to_owned())))
}

/// Ends a session of the web console. Later requests with the same cookie are rejected.
pub async fn log_out(app: &App, session: &Session, request_id: &str) -> Result<(), Error> {
    let Some((person, code)) = parts(&session.cookie) else {
        return Ok(());
    };
    let end = Command::End {
        session: hash(code),
    };
    execute(app, &person, &end, session.meta(request_id))
        .await
        .map_err(ExecuteError::unexpected)?;
    Ok(())
}

/// Closes the account of a person and deletes the password hash. This call ends all sessions of the person.
/// Returns false if the person has no account. The caller must check that the person in `meta` may close
/// accounts.
pub async fn close(app: &App, user: &str, meta: Meta) -> Result<bool, Error> {
    let Some(person) = app.ledger.keys.find(user).await? else {
        return Ok(false);
    };
    let close = Command::Close {
        by: meta.actor.clone(),
    };
    match execute(app, &person, &close, meta).await {
        Ok(_) => {
            app.ledger.keys.remove_secret(&secret_name(&person)).await?;
            Ok(true)
        }
        Err(ExecuteError::Rejected(_)) => Ok(false),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_rejected_with_the_reason() {
        for (password, expected) in [
            ("", Err(WeakPassword::TooShort)),
            ("123456789", Err(WeakPassword::TooShort)),
            ("aaaaaaaaaaaaaaaa", Err(WeakPassword::Monotonous)),
            ("abababababababab", Err(WeakPassword::Monotonous)),
            ("my-LiSi-password", Err(WeakPassword::ContainsName)),
            ("correct horse", Ok(())),
            ("一二三四五六七八九十", Ok(())),
        ] {
            assert_eq!(check_password("lisi", password), expected, "{password}");
        }
        let long = "ab1-".repeat(PASSWORD_MAX / 4);
        assert_eq!(
            check_password("lisi", &format!("{long}x")),
            Err(WeakPassword::TooLong)
        );
    }

    #[test]
    fn only_texts_with_a_person_id_and_a_code_are_read() {
        let person = "p0123456789abcdef01234567";
        assert_eq!(
            parts(&format!("{person}.code")),
            Some((PersonId::from(person), "code"))
        );
        for text in ["", ".", "code", "lisi.code", person] {
            assert_eq!(parts(text), None, "{text}");
        }
        assert_eq!(
            parts(&format!("{person}.{}", "a".repeat(CODE_BYTES_MAX))),
            None
        );
    }
}
