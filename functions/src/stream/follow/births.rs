//! Stores the birth of each reaction. A reaction is a function that creates messages from events.
//! Its birth is the time, or the position in the feed (the sequence of all commits), at which the
//! reaction became active. A reaction ignores all older commits, so that a new reaction sends no
//! messages for old events. An event type that a later version of the reaction added has a birth of
//! its own.

use std::collections::BTreeMap;

use domain::reaction::{Birth, Command, stream, stream_of_type};
use events::reaction::Activated;
use events::{Meta, Moment};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError, Ledger};

use super::aggregate::Registry;

/// The births of all reactions by name. A reaction is a function that creates messages from events.
/// Its birth is the time, or the position in the feed (the sequence of all commits), at which the
/// reaction became active.
///
/// A later version of a reaction can process further event types. Each of these types has a birth of
/// its own: the time or the position at which the first version with this type became active.
#[derive(Clone, Debug, Default)]
pub struct Births {
    of_reactions: BTreeMap<&'static str, Birth>,
    /// The births of event types that a later version added: the reaction, the event type and the
    /// birth.
    of_types: Vec<(&'static str, &'static str, Birth)>,
}

impl Births {
    /// Returns the births of all reactions (functions that create messages from events). A birth is
    /// the time, or the position in the feed (the sequence of all commits), at which a reaction
    /// became active. A reaction without a birth ignores all commits, and an event type without a
    /// birth is ignored by its reaction.
    pub async fn load(ledger: &Ledger, registry: Registry) -> Result<Self, Error> {
        let mut births = Self::default();
        for name in names(registry) {
            let birth = ledger.load::<Birth>(&stream(name)).await?.aggregate.0;
            births.of_reactions.insert(name, birth);
        }
        for (name, event) in later_types(registry) {
            let stream = stream_of_type(name, event);
            let birth = ledger.load::<Birth>(&stream).await?.aggregate.0;
            births.of_types.push((name, event, birth));
        }
        Ok(births)
    }

    /// Returns the births of all reactions (functions that create messages from events). A birth is
    /// the time, or the position in the feed (the sequence of all commits), at which a reaction
    /// became active. A reaction without a birth becomes active now and ignores all existing
    /// commits. The same applies to an event type that a later version of a reaction added.
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
    /// became active. A reaction without a birth becomes active now. The same applies to an event
    /// type that a later version of a reaction added.
    ///
    /// The new reaction ignores all commits up to the feed position `position`. A commit without a
    /// known feed position is ignored if its time is before `at`.
    pub async fn activate_at(
        ledger: &Ledger,
        registry: Registry,
        position: Option<i64>,
        at: Moment,
    ) -> Result<Self, Error> {
        let mut births = Self::default();
        let activated = |name: &str, event: &str| Activated {
            reaction: name.to_owned(),
            event: event.to_owned(),
            position,
            at,
        };
        for name in names(registry) {
            let birth = born(ledger, stream(name), activated(name, "")).await?;
            births.of_reactions.insert(name, birth);
        }
        for (name, event) in later_types(registry) {
            let stream = stream_of_type(name, event);
            let birth = born(ledger, stream, activated(name, event)).await?;
            births.of_types.push((name, event, birth));
        }
        Ok(births)
    }

    /// Returns true if a reaction (a function that creates messages from events) must process an
    /// event of a commit. A reaction must process all commits since the reaction became active. If a
    /// later version of the reaction added the event type, it must process the commits since this
    /// version became active.
    ///
    /// `event` is the event type, such as `ticket.resumed`. `position` is the position of the commit
    /// in the feed (the sequence of all commits), or `None` if this position is unknown. `at` is the
    /// time of the commit.
    pub fn includes(&self, reaction: &str, event: &str, position: Option<i64>, at: Moment) -> bool {
        let mut of_types = self.of_types.iter();
        let of_type = of_types.find(|(name, kind, _)| *name == reaction && *kind == event);
        let birth = match of_type {
            Some((_, _, birth)) => Some(birth),
            None => self.of_reactions.get(reaction),
        };
        birth.is_some_and(|birth| birth.includes(position, at))
    }
}

/// Returns the birth in a stream. If the stream is empty, stores `activated` as the birth.
async fn born(ledger: &Ledger, stream: String, activated: Activated) -> Result<Birth, Error> {
    let birth = ledger.load::<Birth>(&stream).await?.aggregate.0;
    if birth.0.is_some() {
        return Ok(birth);
    }
    let id = match activated.event.as_str() {
        "" => command_id(&["activate", &activated.reaction]),
        event => command_id(&["activate", &activated.reaction, event]),
    };
    let command_envelope = CommandEnvelope {
        command_id: id,
        meta: Meta::system("activate", &stream),
        stream,
    };
    let executed = ledger
        .execute::<Birth>(&command_envelope, &Command(activated), &NoContext)
        .await;
    match executed {
        Ok(outcome) => Ok(outcome.state),
        Err(ExecuteError::Rejected(never)) => match never {},
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

fn names(registry: Registry) -> impl Iterator<Item = &'static str> {
    registry.iter().flat_map(|aggregate| aggregate.reactions())
}

fn later_types(registry: Registry) -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = registry.iter().flat_map(|one| one.later_types());
    all.copied()
}
