//! The births of the reactions. The birth of a reaction is the position or time of its first run. A
//! reaction ignores commits that are older than its birth.

use std::collections::BTreeMap;

use domain::reaction::{Birth, Command, stream};
use events::reaction::Activated;
use events::{Meta, Moment};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError, Ledger};

use super::aggregate::Registry;

/// The births of all reactions, by the name of the reaction.
#[derive(Clone, Debug, Default)]
pub struct Births(BTreeMap<&'static str, Birth>);

impl Births {
    /// Reads the births of all reactions. A reaction without a birth is inactive.
    pub async fn load(ledger: &Ledger, registry: Registry) -> Result<Self, Error> {
        let mut births = BTreeMap::new();
        for name in names(registry) {
            births.insert(name, ledger.load::<Birth>(&stream(name)).await?.aggregate.0);
        }
        Ok(Self(births))
    }

    /// Reads the births of all reactions. A reaction without a birth is activated at the end of the
    /// feed.
    pub async fn activate(ledger: &Ledger, registry: Registry) -> Result<Self, Error> {
        let position = ledger.store.head().await?.position;
        // In an empty ledger no commit is older than the reaction. Time 0 makes this true for any
        // clock.
        let at = match position {
            0 => Moment(0),
            _ => ledger.clock.now(),
        };
        Self::activate_at(ledger, registry, Some(position), at).await
    }

    /// Reads the births of all reactions, and activates each reaction without a birth.
    ///
    /// An activated reaction ignores commits up to `position`. If the position of a commit is
    /// unknown, the reaction ignores commits before `at`.
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

    /// Returns whether a reaction may act on a commit. `position` is `None` if the position of the
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
