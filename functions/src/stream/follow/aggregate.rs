//! Defines a common interface for the streams of every aggregate type, such as tickets. The
//! interface hides the Rust types, so that one list can contain all aggregate types.

use std::marker::PhantomData;

use async_trait::async_trait;
use domain::intent::Due;
use domain::views::Card;
use domain::{Decider, Envelope, StreamRole};
use events::{Event, Personal};
use futures_util::future::BoxFuture;
use infra::Error;
#[cfg(feature = "local")]
use infra::Ledger;
#[cfg(feature = "local")]
use infra::views::Views;
use serde::{Deserialize, Serialize};

use super::card::TypedCard;
#[cfg(feature = "local")]
use super::history::{self, History, StateAt, Until};
#[cfg(feature = "local")]
use super::rebuild::{self, Rebuilt};
use super::{Changes, Follower, Reaction, Received, Stored, due};
use crate::App;

/// A list of all aggregate types (kinds of streams, such as tickets) of the desk.
pub type Registry = &'static [&'static dyn Aggregate];

/// A function that handles a reached deadline of a stream. The deadline may have changed before the
/// call. The function must therefore check first whether the stream still has this deadline.
pub type Fire = for<'a> fn(&'a App, &'a Due) -> BoxFuture<'a, Result<(), Error>>;

/// The handling of the deadlines of one aggregate type. A reached deadline becomes a message in
/// `queue`. The function `fire` then handles the deadline.
pub struct Deadlines {
    pub queue: &'static str,
    pub fire: Fire,
}

/// An aggregate type with hidden Rust types. [`Row`] is the only implementation.
///
/// Only the command line calls the last three functions. The programs of the cloud functions do not contain them, because
/// they have much code for each aggregate type.
#[async_trait]
pub trait Aggregate: Send + Sync {
    /// Returns the name of the aggregate type. In a stream name, this name is the text before the
    /// first dash.
    fn name(&self) -> &'static str;
    fn role(&self) -> StreamRole;
    /// Returns the name of the view (a stored table) that contains the cards (the stored summaries
    /// of streams). Returns `None` if this aggregate type has no cards.
    fn view(&self) -> Option<&'static str>;
    /// Returns the names of the indexes with counters. The store can count the rows of such an
    /// index without reading the rows.
    fn counted(&self) -> &'static [&'static str];
    /// Returns the names of all reactions. A reaction is a function that creates messages from
    /// events.
    fn reactions(&self) -> Vec<&'static str>;
    /// Returns the event types that a later version of a reaction added, see [`Row::later_types`].
    fn later_types(&self) -> &'static [(&'static str, &'static str)];
    /// Returns the queue and the handler for reached deadlines. Returns `None` if this aggregate
    /// type has no deadlines.
    fn deadlines(&self) -> Option<&Deadlines>;
    /// Returns the ids of the deadlines of which many are handled by one message, see [`Row::grouped`].
    fn grouped(&self) -> &'static [&'static str];
    /// Returns the name of the view whose documents contain the checkpoints (the sequence numbers of the last processed
    /// events) of the streams. Normally, these documents are the cards. If this aggregate type has no cards, they are
    /// the due rows (the stored deadlines). Returns `None` if the follower stores nothing for these streams.
    fn checkpoint_view(&self) -> Option<&'static str> {
        self.view().or(self.deadlines().map(|_| due::VIEW))
    }
    /// Computes the new card (the stored summary), the deadlines and the messages of a stream from
    /// the commits in `received`, see `super::fold`.
    async fn fold(
        &self,
        follower: &Follower<'_>,
        stream: &str,
        received: &[Received],
        before: Stored,
    ) -> Result<Changes, Error>;
    #[cfg(feature = "local")]
    /// Builds all cards (the stored summaries of streams) of this aggregate type again, see
    /// `rebuild::cards`. Returns the numbers of built and changed cards.
    async fn rebuild(
        &self,
        ledger: &Ledger,
        views: &dyn Views,
        followed: i64,
    ) -> Result<Rebuilt, Error>;
    #[cfg(feature = "local")]
    /// Compares each snapshot (a stored state) of a stream with the state that is computed from the
    /// events. Returns one number for each wrong snapshot. This number is the sequence number of
    /// the first event in the commit that contains the snapshot.
    async fn wrong_snapshots(&self, ledger: &Ledger, stream: &str) -> Result<Vec<i64>, Error>;
    #[cfg(feature = "local")]
    /// Returns the commits of a stream up to the limit `until` (a time and an event number in the
    /// stream). Also returns the state of the stream after these commits.
    async fn history(&self, ledger: &Ledger, stream: &str, until: Until) -> Result<History, Error>;
}

/// The description of one aggregate type. `D` is its decider (the command logic). `C` is its card
/// (the stored summary of a stream). The fields contain the reactions (functions that create
/// messages) and the handling of deadlines.
pub struct Row<D, C: Card> {
    pub reactions: &'static [Reaction<C>],
    /// The event types that a later version of a reaction processes in addition to those of its first version: the name of
    /// the reaction and the event type, such as `ticket.resumed`. Each of them has a birth of its own. Without it, a desk
    /// that was upgraded would send messages about old events when its views are filled again.
    pub later_types: &'static [(&'static str, &'static str)],
    pub deadlines: Option<Deadlines>,
    /// The ids of the deadlines of which many are handled by one message. The handler of such a deadline does the work
    /// for all streams of the aggregate type whose deadline with this id is reached.
    pub grouped: &'static [&'static str],
    pub decider: PhantomData<fn() -> D>,
}

impl<D, C: Card> Row<D, C> {
    /// An aggregate type without reactions (functions that create messages) and without deadlines.
    pub const NEW: Self = Self {
        reactions: &[],
        later_types: &[],
        deadlines: None,
        grouped: &[],
        decider: PhantomData,
    };
}

#[async_trait]
impl<D: Decider, C: Card<Event = D::Event>> Aggregate for Row<D, C> {
    fn name(&self) -> &'static str {
        D::Event::AGGREGATE
    }
    fn role(&self) -> StreamRole {
        D::ROLE
    }
    fn view(&self) -> Option<&'static str> {
        Some(C::VIEW).filter(|view| !view.is_empty())
    }
    fn counted(&self) -> &'static [&'static str] {
        C::COUNTED
    }
    fn reactions(&self) -> Vec<&'static str> {
        self.reactions
            .iter()
            .map(|reaction| reaction.name)
            .collect()
    }
    fn later_types(&self) -> &'static [(&'static str, &'static str)] {
        self.later_types
    }
    fn deadlines(&self) -> Option<&Deadlines> {
        self.deadlines.as_ref()
    }
    fn grouped(&self) -> &'static [&'static str] {
        self.grouped
    }
    async fn fold(
        &self,
        follower: &Follower<'_>,
        stream: &str,
        received: &[Received],
        before: Stored,
    ) -> Result<Changes, Error> {
        let messages_about = self.deadlines.as_ref().map(|deadlines| due::Messages {
            queue: deadlines.queue,
            grouped: self.grouped,
        });
        let mut card = TypedCard::new(self.reactions);
        super::fold(
            follower,
            &mut card,
            messages_about,
            stream,
            received,
            before,
        )
        .await
    }
    #[cfg(feature = "local")]
    async fn rebuild(
        &self,
        ledger: &Ledger,
        views: &dyn Views,
        followed: i64,
    ) -> Result<Rebuilt, Error> {
        let fresh = TypedCard::new(self.reactions);
        rebuild::cards(ledger, views, &fresh, followed).await
    }
    #[cfg(feature = "local")]
    async fn wrong_snapshots(&self, ledger: &Ledger, stream: &str) -> Result<Vec<i64>, Error> {
        ledger.repository::<D>().check_snapshots(stream).await
    }
    #[cfg(feature = "local")]
    async fn history(&self, ledger: &Ledger, stream: &str, until: Until) -> Result<History, Error> {
        let mut state = StateAt::<D>::default();
        history::read(ledger, stream, until, &mut state).await
    }
}

/// Returns the aggregate type of a stream. Returns `None` if the list `registry` does not contain
/// this type.
pub fn find(registry: Registry, stream: &str) -> Option<&'static dyn Aggregate> {
    let name = events::aggregate_of(stream);
    registry
        .iter()
        .find(|aggregate| aggregate.name() == name)
        .copied()
}

/// An empty card (the stored summary of a stream) for aggregate types without cards. The name of
/// the view (a stored table) is empty, so this card is never stored.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct NoCard<E> {
    #[serde(skip)]
    event: PhantomData<fn() -> E>,
}

impl<E> Default for NoCard<E> {
    fn default() -> Self {
        Self { event: PhantomData }
    }
}

impl<E> Clone for NoCard<E> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<E> PartialEq for NoCard<E> {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl<E: Event> Card for NoCard<E> {
    type Event = E;
    const VIEW: &'static str = "";
    fn fold(&mut self, _envelope: &Envelope<E>) {}
    fn index(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
    fn personals(&mut self) -> Vec<&mut Personal> {
        Vec::new()
    }
}
