//! A reaction is a function that creates messages from events. The birth of a reaction is the
//! position or the time of its first run. A reaction ignores older commits.

use std::collections::BTreeMap;

use domain::reaction::{Birth, Command, stream};
use events::reaction::Activated;
use events::{Meta, Moment};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError, Ledger};

use super::aggregate::Registry;

/// The births (the first run times) of all reactions, by the name of the reaction.
#[derive(Clone, Debug, Default)]
pub struct Births(BTreeMap<&'static str, Birth>);

impl Births {
    /// Reads the births (the first run times) of all reactions. A reaction without a birth is not
    /// active.
    pub async fn load(ledger: &Ledger, registry: Registry) -> Result<Self, Error> {
        let mut births = BTreeMap::new();
        for name in names(registry) {
            births.insert(name, ledger.load::<Birth>(&stream(name)).await?.aggregate.0);
        }
        Ok(Self(births))
    }

    /// Reads the births (the first run times) of all reactions. If a reaction has no birth,
    /// activates the reaction at the end of the feed.
    pub async fn activate(ledger: &Ledger, registry: Registry) -> Result<Self, Error> {
        let position = ledger.store.head().await?.position;
        // If the ledger is empty, the reaction must process all commits. With time 0, no commit is
        // too old, even if the clocks differ.
        let at = match position {
            0 => Moment(0),
            _ => ledger.clock.now(),
        };
        Self::activate_at(ledger, registry, Some(position), at).await
    }

    /// Reads the births (the first run times) of all reactions. Activates each reaction without a
    /// birth.
    ///
    /// A newly activated reaction ignores commits up to `position`. For a commit without a known
    /// position, the reaction ignores commits before the time `at`.
    pub async fn activate_at(
        ledger: &Ledger,
        registry: Registry,
        position: Option<i64>,
        at: Moment,
    ) -> Result<Self, Error> {
        let mut births = BTreeMap::new();
        for name in names(registry) {
            let stream = stream(name);
            let mut birth = ledger.load::<Birth>(&stream).await?.aggregate.0;
            if birth.0.is_none() {
                let activated = Activated {
                    reaction: name.to_owned(),
                    position,
                    at,
                };
                let command_envelope = CommandEnvelope {
                    command_id: command_id(&["activate", name]),
                    meta: Meta::system("activate", &stream),
                    stream,
                };
                let executed = ledger
                    .execute::<Birth>(&command_envelope, &Command(activated), &NoContext)
                    .await;
                birth = match executed {
                    Ok(outcome) => outcome.state,
                    Err(ExecuteError::Rejected(never)) => match never {},
                    Err(ExecuteError::Technical(error)) => return Err(error),
                };
            }
            births.insert(name, birth);
        }
        Ok(Self(births))
    }

    /// Returns true if a reaction may process a commit. `position` is `None` if the position of the
    /// commit is unknown.
    pub fn includes(&self, reaction: &str, position: Option<i64>, at: Moment) -> bool {
        self.0
            .get(reaction)
            .is_some_and(|birth| birth.includes(position, at))
    }
}

fn names(registry: Registry) -> impl Iterator<Item = &'static str> {
    registry.iter().flat_map(|aggregate| aggregate.reactions())
}
