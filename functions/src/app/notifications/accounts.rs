//! Shows and controls channel accounts (configured senders of messages). A person can stop an account in an emergency. The
//! desk itself pauses an account whose provider does not answer or does not accept its credentials. The deliveries of a
//! stopped or paused account wait, and no attempt is counted. If the fallback list has another account, they do not wait
//! for an account that a person must correct or start first, see [`Trouble`].

use std::collections::BTreeSet;

use domain::attempt::Verdict;
use domain::config::{ChannelAccount, ChannelAccountCommand};
use events::channel_account::{Defined, Degraded, Started, Stopped};
use events::delivery::FailureClass;
use events::finding::Finding;
use events::{Meta, Moment};
use infra::channel;
use infra::ledger::NoContext;
use infra::views::Views;
use infra::{CommandEnvelope, Error, ExecuteError};

use crate::App;
use crate::app::breaker::{self, Breaker, Noted};

/// The names of the secrets of channel accounts in the key store begin with this text.
pub const SECRET: &str = "channel/";

/// Returns the secret of a channel account. The text is empty if the account has none.
pub async fn secret(app: &App, name: &str) -> Result<String, Error> {
    let secret = app.ledger.keys.secret(&format!("{SECRET}{name}")).await?;
    Ok(String::from_utf8(secret.unwrap_or_default()).unwrap_or_default())
}

/// Returns the finding that the key store has no secret for an account.
pub fn missing_secret(account: &str) -> Finding {
    Finding::SecretMissing {
        secret: format!("{SECRET}{account}"),
    }
}

/// Returns true if an account cannot send messages because the text `secret` is empty. Some channels need no secret.
pub fn lacks_secret(account: &Defined, secret: &str) -> bool {
    secret.is_empty()
        && channel::find(&account.channel)
            .is_some_and(|codec| codec.needs_secret(account) && codec.check_secret("").is_err())
}

/// Returns the name of the secret that an account needs in the key store. Returns `None` if the account needs no secret.
pub fn secret_name(account: &Defined) -> Option<String> {
    lacks_secret(account, "").then(|| format!("{SECRET}{}", account.name))
}

/// Returns whether the key store has the secret that an account needs. Returns `None` if the account needs no secret, or
/// if this process may not read secrets: only the process that serves a desk on one machine reads them here. On AWS, the
/// function that answers requests has no permission for them.
pub async fn has_secret(app: &App, account: &Defined) -> Result<Option<bool>, Error> {
    if !app.ledger.is_only_writer() || secret_name(account).is_none() {
        return Ok(None);
    }
    let secret = secret(app, &account.name).await?;
    Ok(Some(!lacks_secret(account, &secret)))
}

/// Returns the names of all accounts that are switched on and need a secret that the key store does not have. `new`
/// contains the names of accounts that were defined now, because the list of all accounts is filled later.
pub async fn without_secret(app: &App, new: &[&str]) -> Result<BTreeSet<String>, Error> {
    let mut known: BTreeSet<String> = new.iter().map(|name| (*name).to_owned()).collect();
    known.extend(app.configuration.channel_account_names().await?);
    let mut names = BTreeSet::new();
    for name in known {
        let Some(account) = app.configuration.channel_account(&name).await? else {
            continue;
        };
        if account.is_enabled && lacks_secret(&account, &secret(app, &name).await?) {
            names.insert(name);
        }
    }
    Ok(names)
}

/// The pause of an account after its provider refused its credentials, in milliseconds: 5 minutes. An operator must correct
/// them, and each further attempt could lock the account at the provider.
const CREDENTIAL_PAUSE_MS: i64 = 300_000;
/// The time after which the delivery of a stopped account is checked again, in milliseconds: 5 minutes.
const STOPPED_MS: i64 = 300_000;

/// The reason of the failure of a delivery whose account is stopped.
pub const STOPPED: &str = "the channel account is stopped";
/// The reason of the failure of a delivery whose account is paused, because its provider refused its credentials.
const REFUSED: &str = "the provider refuses the credentials of the channel account";
const PAUSED: &str = "the channel account is paused, because its last messages failed";

/// Why an account sends nothing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The class of the failure of a delivery that does not wait for the account.
    pub class: FailureClass,
    pub reason: &'static str,
    /// True if a person must correct or start the account. False if the account can recover by itself.
    pub is_lasting: bool,
}

/// A channel account with its state.
#[derive(Clone, Debug)]
pub struct Account {
    pub defined: Defined,
    pub stopped: Option<Stopped>,
    /// `None` unless most of the messages of the account fail.
    pub degraded: Option<Degraded>,
    pub breaker: Breaker,
}

impl Account {
    /// Returns the time at which the pause of the account ends. Returns `None` if the account is not paused. After the
    /// pause, one message tests the account, so the account stays paused until this message has a result.
    pub fn paused_until(&self) -> Option<Moment> {
        Some(self.breaker.until).filter(|until| *until > Moment(0))
    }
}

/// Stops or starts an account.
#[derive(Clone, Debug)]
pub enum Switch {
    Stop { reason: String },
    Start,
}

fn breaker_of(account: &str) -> String {
    format!("failures/account/{account}")
}

/// Returns a verdict that postpones the attempt if a person has stopped the account, or if the account is paused now. Only
/// reads, so that the caller can call it before it prepares a message.
pub async fn waits(app: &App, account: &str) -> Result<Option<Verdict>, Error> {
    if app
        .configuration
        .channel_account_stop(account)
        .await?
        .is_some()
    {
        return Ok(Some(Verdict::Throttled {
            reason: STOPPED.into(),
            after_ms: STOPPED_MS,
        }));
    }
    let now = app.ledger.clock.now();
    let until = breaker::state(app, &breaker_of(account)).await?.until;
    Ok((until > now).then(|| paused(until, now)))
}

fn paused(until: Moment, now: Moment) -> Verdict {
    Verdict::Throttled {
        reason: PAUSED.into(),
        after_ms: (until.0 - now.0).max(1),
    }
}

/// Returns why an account sends nothing now. Returns `None` if it sends messages. Only reads.
pub async fn trouble(app: &App, account: &str) -> Result<Option<Trouble>, Error> {
    let stop = app.configuration.channel_account_stop(account).await?;
    if stop.is_some() {
        return Ok(Some(Trouble {
            class: FailureClass::Transient,
            reason: STOPPED,
            is_lasting: true,
        }));
    }
    let now = app.ledger.clock.now();
    let breaker = breaker::state(app, &breaker_of(account)).await?;
    Ok((breaker.until > now).then_some(if breaker.is_set {
        Trouble {
            class: FailureClass::Credential,
            reason: REFUSED,
            is_lasting: true,
        }
    } else {
        Trouble {
            class: FailureClass::Transient,
            reason: PAUSED,
            is_lasting: false,
        }
    }))
}

/// Returns the number of failures of an account since its last success.
pub(super) async fn failures(app: &App, account: &str) -> Result<u32, Error> {
    Ok(breaker::state(app, &breaker_of(account)).await?.count)
}

/// Requests permission to send one message through an account now. Returns `None` if the message may be sent. Otherwise,
/// returns a verdict that postpones the attempt.
pub async fn admit(app: &App, account: &str) -> Result<Option<Verdict>, Error> {
    let now = app.ledger.clock.now();
    let until = breaker::admit(app, &breaker_of(account)).await?;
    Ok(until.map(|until| paused(until, now)))
}

/// Notes the result of an attempt to send a message through an account.
pub async fn note(app: &App, account: &str, verdict: &Verdict) -> Result<(), Error> {
    match noted(verdict) {
        Some(noted) => breaker::note(app, &breaker_of(account), noted).await,
        None => Ok(()),
    }
}

/// Returns what a verdict (the result of an attempt) means for the account. Returns `None` if it means nothing.
fn noted(verdict: &Verdict) -> Option<Noted<'_>> {
    match verdict {
        Verdict::Succeeded { .. } => Some(Noted::Succeeded),
        Verdict::Refused {
            class: FailureClass::Credential,
            reason,
            ..
        } => Some(Noted::Failed {
            pause_ms: Some(CREDENTIAL_PAUSE_MS),
            reason,
        }),
        // The provider answered: the message or its recipient is the problem.
        Verdict::Refused { .. } => Some(Noted::Answered),
        Verdict::Retry {
            reason,
            after_ms: None,
        }
        | Verdict::Unknown { reason } => Some(Noted::Failed {
            pause_ms: None,
            reason,
        }),
        // A provider that sets a pause for one message works, for example a relay with a grey list.
        Verdict::Retry { .. }
        | Verdict::Throttled { .. }
        | Verdict::Failed { .. }
        | Verdict::Poll { .. } => None,
    }
}

/// Returns the state of the breaker of an account in the given views, for a program that only reads the data of a desk.
pub async fn stored_breaker(views: &dyn Views, account: &str) -> Result<Breaker, Error> {
    breaker::state_in(views, &breaker_of(account)).await
}

/// Returns a channel account with its state. Returns `None` if no account has this name.
pub async fn one(app: &App, name: &str) -> Result<Option<Account>, Error> {
    let Some(defined) = app.configuration.channel_account(name).await? else {
        return Ok(None);
    };
    Ok(Some(Account {
        stopped: app.configuration.channel_account_stop(name).await?,
        degraded: app.configuration.channel_account_health(name).await?,
        breaker: breaker::state(app, &breaker_of(name)).await?,
        defined,
    }))
}

/// Returns all channel accounts with their states, sorted by name.
pub async fn all(app: &App) -> Result<Vec<Account>, Error> {
    let mut accounts = Vec::new();
    for name in app.configuration.channel_account_names().await? {
        accounts.extend(one(app, &name).await?);
    }
    Ok(accounts)
}

/// Stops or starts an account that exists. Does nothing if the account already has this state.
pub async fn switch(app: &App, name: &str, switch: &Switch, meta: Meta) -> Result<(), Error> {
    let by = meta.actor.clone();
    let command = match switch {
        Switch::Stop { reason } => ChannelAccountCommand::Stop(Stopped {
            by,
            reason: reason.clone(),
        }),
        Switch::Start => ChannelAccountCommand::Start(Started { by }),
    };
    let command_envelope = CommandEnvelope {
        stream: format!("channel_account-{name}"),
        command_id: app.ledger.fresh_id(),
        meta,
    };
    app.ledger
        .execute::<ChannelAccount>(&command_envelope, &command, &NoContext)
        .await
        .map(drop)
        .map_err(ExecuteError::unexpected)
}

/// Stops or starts all accounts of a channel. Returns these accounts with their new states.
pub async fn switch_channel(
    app: &App,
    channel: &str,
    wanted: &Switch,
    meta: &Meta,
) -> Result<Vec<Account>, Error> {
    let mut switched = Vec::new();
    for account in all(app).await? {
        if account.defined.channel == channel {
            let name = account.defined.name;
            switch(app, &name, wanted, meta.clone()).await?;
            switched.extend(one(app, &name).await?);
        }
    }
    Ok(switched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_of_the_account_pause_it() {
        let retry = |after_ms| Verdict::Retry {
            reason: "busy".into(),
            after_ms,
        };
        let refused = |class| Verdict::refused(class, "1", "no");
        let failed = |pause_ms, reason| Some(Noted::Failed { pause_ms, reason });
        for (verdict, expected) in [
            (
                Verdict::succeeded(std::collections::BTreeMap::new()),
                Some(Noted::Succeeded),
            ),
            (
                refused(FailureClass::Credential),
                failed(Some(CREDENTIAL_PAUSE_MS), "no"),
            ),
            (
                refused(FailureClass::RecipientInvalid),
                Some(Noted::Answered),
            ),
            (refused(FailureClass::Permanent), Some(Noted::Answered)),
            (retry(None), failed(None, "busy")),
            (retry(Some(300_000)), None),
            (
                Verdict::Throttled {
                    reason: "limit".into(),
                    after_ms: 1,
                },
                None,
            ),
            (
                Verdict::Unknown {
                    reason: "lost".into(),
                },
                failed(None, "lost"),
            ),
        ] {
            assert_eq!(noted(&verdict), expected, "{verdict:?}");
        }
    }
}
