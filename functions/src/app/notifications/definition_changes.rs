//! Changes one definition for notifications without a file: a channel account, the notification policy, an escalation
//! chain or a rota. The checks and the events are those of the TOML file, see [`Definitions`].

use domain::config::ChannelAccount;
use domain::notification::chain::EscalationChain;
use domain::notification::rota::Rota;
use events::Meta;
use events::notification_policy::{Defined, NotificationPolicyEvent};
use infra::Error;
use serde_json::{Map, Value};

use super::account_destination;
use super::definitions::{DEFAULT_POLICY, DefinitionKind, Definitions, NotAccepted};
use crate::App;
use crate::app::history::history_from;
use crate::app::tickets;

/// The reason why a definition was not changed.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    /// A member is wrong, or names an object or a person that does not exist. The English text names the place.
    #[error("{0}")]
    Refused(String),
    /// The change could send the stored secret of an account to another server. The English text names the member.
    #[error("{0}")]
    MovesSecret(String),
    /// The definition is not the one that the caller has read. `current` is the number of the stored definition, or 0 if
    /// none is stored.
    #[error("the definition has version {current} now, not {read}: read it again")]
    VersionChanged { current: u32, read: u32 },
    #[error(transparent)]
    Technical(#[from] Error),
}

impl From<NotAccepted> for NotChanged {
    fn from(error: NotAccepted) -> Self {
        match error {
            NotAccepted::Refused(reason) => Self::Refused(reason),
            NotAccepted::Technical(error) => Self::Technical(error),
        }
    }
}

/// Replaces the definition with the given name, or adds it. `members` are the members of a JSON object, see
/// [`Definitions::of_members`], and `by` is the metadata of the commits. `read` is the number of the definition that the
/// caller has read: if it is given, another stored definition is not replaced. It has no effect on a channel account. If
/// the definition is equal to the stored one, no event is added. Then makes the standing checks of the escalation chains
/// due that need the definition, and waits until the lists contain the change. The caller must hold the lock for changes
/// of the configuration.
pub async fn change(
    app: &App,
    by: &Meta,
    kind: DefinitionKind,
    name: &str,
    members: &Map<String, Value>,
    read: Option<u32>,
) -> Result<(), NotChanged> {
    let definitions = Definitions::of_members(kind, name, members);
    let mut definitions = definitions.map_err(NotChanged::Refused)?;
    if let Some(read) = read
        && let Some(current) = version(app, kind, name).await?
        && read != current
    {
        return Err(NotChanged::VersionChanged { current, read });
    }
    keep_servers(app, &definitions).await?;
    let people = definitions.on_call.stored_people(app).await?;
    definitions.on_call.keep_erased(app, &people).await?;
    definitions.check(app).await?;
    let position = definitions.store_by(app, by).await?;
    tickets::await_card(app, position).await;
    Ok(())
}

/// Returns the number of the stored definition, or 0 if none is stored. Returns `None` for a channel account, because its
/// definitions have no numbers. The caches of the process can be older, so they are not used.
async fn version(app: &App, kind: DefinitionKind, name: &str) -> Result<Option<u32>, Error> {
    let number = match kind {
        DefinitionKind::Account => return Ok(None),
        DefinitionKind::Policy => policy(app).await?.map_or(0, |policy| policy.number),
        DefinitionKind::Chain => {
            let stream = format!("escalation_chain-{name}");
            let loaded = app.ledger.load::<EscalationChain>(&stream).await?;
            loaded.aggregate.0.version
        }
        DefinitionKind::Rota => {
            let stream = format!("rota-{name}");
            let loaded = app.ledger.load::<Rota>(&stream).await?;
            loaded.aggregate.0.version
        }
    };
    Ok(Some(number))
}

/// Returns an error if a changed account could send its secret to another server.
async fn keep_servers(app: &App, definitions: &Definitions) -> Result<(), NotChanged> {
    for new in &definitions.accounts {
        let stream = format!("channel_account-{}", new.name);
        let loaded = app.ledger.load::<ChannelAccount>(&stream).await?;
        let Some(old) = loaded.aggregate.0.0 else {
            continue;
        };
        if let Some(member) = account_destination::changed_member(&old, new) {
            return Err(NotChanged::MovesSecret(format!(
                "account {}: `{member}` decides which server gets the secret of the account; change it in the file of accounts (`setup --accounts`), or define a new account with an own secret",
                new.name
            )));
        }
    }
    Ok(())
}

/// The current notification policy, with the number of its definitions.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyVersion {
    /// The number of the current definition. The first definition has the number 1.
    pub number: u32,
    pub defined: Defined,
}

/// Returns the notification policy that the desk uses. Returns `None` if no policy is defined.
pub async fn policy(app: &App) -> Result<Option<PolicyVersion>, Error> {
    let stream = format!("notification_policy-{DEFAULT_POLICY}");
    let mut history = history_from::<NotificationPolicyEvent>(&app.ledger, &stream, 1).await?;
    let number = u32::try_from(history.len()).unwrap_or(u32::MAX);
    Ok(history.pop().map(|envelope| {
        let NotificationPolicyEvent::Defined(defined) = envelope.event;
        PolicyVersion { number, defined }
    }))
}

#[cfg(test)]
mod tests {
    use infra::Kind;

    use super::*;

    /// An error of the deployment has the same kind as an error in a file. It must not become an error of the request.
    #[test]
    fn an_error_of_the_deployment_is_no_wrong_member() {
        let missing = || Error::new(Kind::Misconfigured, "the table is missing");
        let error = NotChanged::from(NotAccepted::from(missing()));
        assert!(matches!(error, NotChanged::Technical(_)), "{error:?}");
        let error = NotChanged::from(NotAccepted::Refused("policy: wrong".to_owned()));
        assert!(matches!(error, NotChanged::Refused(_)), "{error:?}");
        // An error in a file is an error of the configuration.
        let error = Error::from(NotAccepted::Refused("policy: wrong".to_owned()));
        assert_eq!(error.kind, Kind::Misconfigured);
        assert_eq!(error.to_string(), "policy: wrong");
    }
}
