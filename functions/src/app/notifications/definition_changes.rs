//! Changes one definition for notifications without a file: a channel account, the notification policy, an escalation
//! chain or a rota. The checks and the events are those of the TOML file, see [`Definitions`].

use events::Meta;
use events::notification_policy::{Defined, NotificationPolicyEvent};
use infra::{Error, Kind};
use serde_json::{Map, Value};

use super::definitions::{DEFAULT_POLICY, DefinitionKind, Definitions};
use crate::App;
use crate::app::history::history_from;
use crate::app::tickets;

/// The reason why a definition was not changed.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    /// A member is wrong, or names an object or a person that does not exist. The English text names the place.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Technical(#[from] Error),
}

/// Replaces the definition with the given name, or adds it. `members` are the members of a JSON object, see
/// [`Definitions::of_members`], and `by` is the metadata of the commits. If the definition is equal to the stored one, no
/// event is added. Then makes the standing checks of the escalation chains due that need the definition, and waits until
/// the lists contain the change. The caller must hold the lock for changes of the configuration.
pub async fn change(
    app: &App,
    by: &Meta,
    kind: DefinitionKind,
    name: &str,
    members: &Map<String, Value>,
) -> Result<(), NotChanged> {
    let read = Definitions::of_members(kind, name, members);
    let definitions = read.map_err(NotChanged::Refused)?;
    let checked = definitions.check(app).await;
    checked.map_err(|error| match error.kind {
        Kind::Misconfigured => NotChanged::Refused(error.to_string()),
        _ => NotChanged::Technical(error),
    })?;
    let position = definitions.store_by(app, by).await?;
    tickets::await_card(app, position).await;
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
