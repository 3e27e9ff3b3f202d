//! The card (the stored summary) of a stream with hidden Rust types. The code of the follower and of the rebuild
//! therefore exists once in the program, and not once for each aggregate type.

use std::any::Any;

use domain::Envelope;
use domain::intent::Intent;
use domain::views::Card;
use events::{Event, Moment, Personal};
use infra::ledger::repository::{Decoded, decode, envelopes};
use infra::store::Commit;
use infra::views::{Document, Put};
use infra::{Error, Kind, Ledger};

use super::{Reaction, due};
use crate::app::cards::stored_card;

/// The card of one stream, and the decoded commits that follow it. [`TypedCard`] is the only implementation.
pub(super) trait AnyCard: Any + Send + Sync {
    /// Returns the name of the view that stores the cards. The name is empty if the aggregate type has no cards.
    fn view(&self) -> &'static str;
    /// Returns the name of the aggregate type.
    #[cfg(feature = "local")]
    fn aggregate(&self) -> &'static str;
    /// Returns [`Card::READS_PERSONALS`].
    fn reads_personals(&self) -> bool;
    /// Returns the card of a stream without commits.
    #[cfg(feature = "local")]
    fn fresh(&self) -> Box<dyn AnyCard>;
    /// Returns a copy of the card, without decoded commits.
    fn copy(&self) -> Box<dyn AnyCard>;
    /// Returns whether `other` is an equal card of the same type.
    #[cfg(feature = "local")]
    fn equals(&self, other: &dyn AnyCard) -> bool;
    /// Reads the stored form of the card. The personal values stay encrypted.
    fn read(&mut self, stream: &str, document: &Document) -> Result<(), Error>;
    /// Returns the form of the card that is stored. The personal values must be encrypted already.
    fn write(&self) -> Result<Vec<u8>, serde_json::Error>;
    /// Returns the list entries of the card, see [`Card::index`].
    fn index(&self) -> Vec<(&'static str, String)>;
    /// Returns the values by which lists are filtered, see [`Card::facets`].
    fn facets(&self) -> String;
    /// Returns all personal values of the card.
    fn personals(&mut self) -> Vec<&mut Personal>;
    /// Decodes a commit, and adds it to the decoded commits. Its personal values stay encrypted.
    fn decode(&mut self, commit: &Commit) -> Result<(), Error>;
    /// Returns the deadline changes of all decoded commits. `commits` are these commits.
    fn deadlines(&self, commits: &[&Commit]) -> Vec<due::Change>;
    /// Returns all personal values of the decoded commit number `at`.
    fn personals_of(&mut self, at: usize) -> Vec<&mut Personal>;
    /// Applies the decoded commit number `at`, which is `commit`, to the card. Calls each reaction for which `is_born`
    /// returns true. The arguments of `is_born` are the name of the reaction and the event type. Returns the intents.
    fn apply(
        &mut self,
        at: usize,
        commit: &Commit,
        is_born: &(dyn Fn(&str, &str) -> bool + Sync),
    ) -> Vec<Requested>;
}

/// An intent (a request for work) of a reaction, and the event that caused it.
pub(super) struct Requested {
    /// The name of the reaction.
    pub(super) consumer: &'static str,
    /// The id of the event.
    pub(super) event: String,
    /// The time of the event.
    pub(super) at: Moment,
    pub(super) intent: Intent,
}

/// The implementation of [`AnyCard`] for the cards of the type `C`.
pub(super) struct TypedCard<C: Card> {
    card: C,
    decoded: Vec<Option<Decoded<C::Event>>>,
    reactions: &'static [Reaction<C>],
}

impl<C: Card> TypedCard<C> {
    /// Returns the card of a stream without commits. `reactions` are called for its events.
    pub(super) fn new(reactions: &'static [Reaction<C>]) -> Self {
        Self {
            card: C::default(),
            decoded: Vec::new(),
            reactions,
        }
    }
}

impl<C: Card> AnyCard for TypedCard<C> {
    fn view(&self) -> &'static str {
        C::VIEW
    }

    #[cfg(feature = "local")]
    fn aggregate(&self) -> &'static str {
        C::Event::AGGREGATE
    }

    fn reads_personals(&self) -> bool {
        C::READS_PERSONALS
    }

    #[cfg(feature = "local")]
    fn fresh(&self) -> Box<dyn AnyCard> {
        Box::new(Self::new(self.reactions))
    }

    fn copy(&self) -> Box<dyn AnyCard> {
        Box::new(Self {
            card: self.card.clone(),
            ..Self::new(self.reactions)
        })
    }

    #[cfg(feature = "local")]
    fn equals(&self, other: &dyn AnyCard) -> bool {
        let other: &dyn Any = other;
        let other = other.downcast_ref::<Self>();
        other.is_some_and(|other| other.card == self.card)
    }

    fn read(&mut self, stream: &str, document: &Document) -> Result<(), Error> {
        self.card = stored_card(stream, document)?;
        Ok(())
    }

    fn write(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&self.card)
    }

    fn index(&self) -> Vec<(&'static str, String)> {
        self.card.index()
    }

    fn facets(&self) -> String {
        self.card.facets()
    }

    fn personals(&mut self) -> Vec<&mut Personal> {
        self.card.personals()
    }

    fn decode(&mut self, commit: &Commit) -> Result<(), Error> {
        self.decoded.push(Some(decode::<C::Event>(commit)?));
        Ok(())
    }

    fn deadlines(&self, commits: &[&Commit]) -> Vec<due::Change> {
        let mut changes = Vec::new();
        for (commit, decoded) in commits.iter().zip(&self.decoded) {
            let events = decoded.iter().flat_map(|(_, events)| events);
            for (sequence, (event, _)) in (commit.first..).zip(events) {
                let set = event.deadlines().into_iter();
                changes.extend(set.map(|change| (sequence, change)));
            }
        }
        changes
    }

    fn personals_of(&mut self, at: usize) -> Vec<&mut Personal> {
        let mut personals = Vec::new();
        if let Some((meta, events)) = &mut self.decoded[at] {
            for (event, _) in events {
                personals.extend(event.personals());
            }
            personals.extend(meta.personals());
        }
        personals
    }

    fn apply(
        &mut self,
        at: usize,
        commit: &Commit,
        is_born: &(dyn Fn(&str, &str) -> bool + Sync),
    ) -> Vec<Requested> {
        let mut requested = Vec::new();
        let Some(decoded) = self.decoded[at].take() else {
            return requested;
        };
        for envelope in envelopes(commit, decoded) {
            self.card.fold(&envelope);
            for reaction in self.reactions {
                if is_born(reaction.name, envelope.event.kind()) {
                    let intents = (reaction.react)(&envelope, &self.card).into_iter();
                    requested.extend(intents.map(|intent| asked(reaction.name, &envelope, intent)));
                }
            }
        }
        requested
    }
}

fn asked<E: Event>(consumer: &'static str, envelope: &Envelope<E>, intent: Intent) -> Requested {
    Requested {
        consumer,
        event: envelope.id(),
        at: envelope.at,
        intent,
    }
}

/// Reads the stored form of a card, with decrypted personal values.
#[cfg(feature = "local")]
pub(super) async fn read_with_personals(
    ledger: &Ledger,
    card: &mut dyn AnyCard,
    stream: &str,
    document: &Document,
) -> Result<(), Error> {
    card.read(stream, document)?;
    ledger.open(card.personals().into_iter()).await
}

/// Returns the `Put` that stores a card (the stored summary of a stream) in `view`. `sequence` is the number
/// of the last event in the new card. The store writes the new card only if the stored card still
/// has the sequence number `expected`. Personal values in the new card are encrypted.
pub(super) async fn card_put(
    ledger: &Ledger,
    view: &str,
    stream: &str,
    card: &dyn AnyCard,
    sequence: i64,
    expected: i64,
) -> Result<Put, Error> {
    let mut sealed = card.copy();
    ledger.seal(sealed.personals().into_iter()).await?;
    let body = sealed
        .write()
        .map_err(|error| Error::because(Kind::Corrupt, "cannot write a card", error))?;
    Ok(Put {
        view: view.to_owned().into(),
        key: stream.to_owned(),
        document: Document { sequence, body },
        index: card.index(),
        facets: card.facets(),
        expected,
    })
}
