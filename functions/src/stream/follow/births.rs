//! Stores the birth of each reaction. A reaction is a function that creates messages from events.
//! Its birth is the time, or the position in the feed (the sequence of all commits), at which the
//! reaction became active. A reaction ignores all older commits, so that a new reaction sends no
//! messages for old events.

use std::collections::BTreeMap;

use domain::reaction::{Birth, Command, stream};
use events::reaction::Activated;
use events::{Meta, Moment};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError, Ledger};

use super::aggregate::Registry;

/// The births of all reactions by name. A reaction is a function that creates messages from events.
/// Its birth is the time, or the position in the feed (the sequence of all commits), at which the
/// reaction became active.
#[derive(Clone, Debug, Default)]
pub struct Births(BTreeMap<&'static str, Birth>);

impl Births {
    /// Returns the births of all reactions (functions that create messages from events). A birth is
    /// the time, or the position in the feed (the sequence of all commits), at which a reaction
    /// became active. A reaction without a birth ignores all commits.
    pub async fn load(ledger: &Ledger, registry: Registry) -> Result<Self, Error> {
        let mut births = BTreeMap::new();
        for name in names(registry) {
            births.insert(name, ledger.load::<Birth>(&stream(name)).await?.aggregate.0);
        }
        Ok(Self(births))
    }

    /// Returns the births of all reactions (functions that create messages from events). A birth is
    /// the time, or the position in the feed (the sequence of all commits), at which a reaction
    /// became active. A reaction without a birth becomes active now and ignores all existing
    /// commits.
    pub async fn activate(ledger: &Ledger, registry: Registry) -> Result<Self, Error> {
        let position = ledger.store.head().await?.position;
        // In an empty ledger, a reaction (a function that creates messages from events) must
        // process all later commits. The time 0 is earlier than the time of every commit, even if
        // the clocks of the machines differ.
        let at = match position {
            0 => Moment(0),
            _ => ledger.clock.now(),
        };
        Self::activate_at(ledger, registry, Some(position), at).await
    }

    /// Returns the births of all reactions (functions that create messages from events). A birth is
    /// the time, or the position in the feed (the sequence of all commits), at which a reaction
    /// became active. A reaction without a birth becomes active now.
    ///
    /// The new reaction ignores all commits up to the feed position `position`. A commit without a
    /// known feed position is ignored if its time is before `at`.
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

    /// Returns true if a reaction (a function that creates messages from events) must process a
    /// commit. A reaction must process all commits since the reaction became active. `position` is
    /// the position of the commit in the feed (the sequence of all commits), or `None` if this
    /// position is unknown. `at` is the time of the commit.
    pub fn includes(&self, reaction: &str, position: Option<i64>, at: Moment) -> bool {
        self.0
            .get(reaction)
            .is_some_and(|birth| birth.includes(position, at))
    }
}

fn names(registry: Registry) -> impl Iterator<Item = &'static str> {
    registry.iter().flat_map(|aggregate| aggregate.reactions())
}
