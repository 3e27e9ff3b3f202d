//! The follower reads the commits of the ledger. From these commits, the follower computes
//! deadlines, cards (the stored summaries of streams) and messages for queues.
//!
//! The follower processes the commits of each stream in order. Each commit updates the card and the
//! due row (the stored deadlines) of its stream. A reaction is a function that returns intents
//! (requests for work). Each intent becomes a message in a queue.
//!
//! A page is a list of commits that are processed together. One write stores all results of a page.
//! This write stores the messages before the due rows and cards.
//!
//! The card contains the sequence number of the last processed event. This number is the only
//! checkpoint of the stream. The follower skips all commits up to the checkpoint, and reads missing
//! commits from the journal (the table of all commits). After a crash, the follower creates the
//! same messages again with the same message ids. Therefore, no message is lost.

pub mod aggregate;
pub mod births;
mod card;
pub mod due;
#[cfg(feature = "local")]
pub mod history;
#[cfg(feature = "local")]
pub mod rebuild;

use std::borrow::Cow;

use domain::Envelope;
use domain::intent::{Intent, Work, effect_id};
use domain::views::Card;
use infra::queue::NewMessage;
use infra::store::{Commit, Placed};
use infra::views::{Document, PageWriter, Put, Views};
use infra::{Error, Ledger};

use aggregate::{Registry, find};
use births::Births;
use card::{AnyCard, Requested, card_put};

use super::parked::{self, Parked};
use crate::app::subscriptions::Wanted;

/// Maximum number of commits that one read from the journal (the table of all commits) returns.
const PAGE: usize = 100;
/// Maximum number of attempts to store the results of one stream. An attempt fails if another
/// process stored results of this stream first.
const RACES_MAX: u32 = 20;

/// A named function that returns intents (requests for work). Each intent becomes a message in a
/// queue. The arguments of the function are an event and the card (the stored summary of the
/// stream) after this event.
pub struct Reaction<C: Card> {
    /// The name of the reaction. Each message id contains this name, so the name must never change.
    pub name: &'static str,
    pub react: fn(&Envelope<C::Event>, &C) -> Vec<Intent>,
}

/// A commit that the follower (the task that processes new commits) must process.
#[derive(Clone, Debug)]
pub struct Received {
    pub commit: Commit,
    /// The position of the commit in the feed (the sequence of all commits). The value is `None` if
    /// the commit came from the journal (the table of all commits) or from the change stream of
    /// this table.
    pub position: Option<i64>,
}

impl From<Placed> for Received {
    fn from(placed: Placed) -> Self {
        Self {
            commit: placed.commit,
            position: Some(placed.position),
        }
    }
}

impl From<Commit> for Received {
    fn from(commit: Commit) -> Self {
        Self {
            commit,
            position: None,
        }
    }
}

/// The follower is the task that processes new commits. This struct contains the settings of the
/// follower and the connections of the follower to the stores. Only the follower converts events to
/// messages in queues.
#[derive(Clone, Copy)]
pub struct Follower<'a> {
    pub ledger: &'a Ledger,
    pub views: &'a dyn Views,
    pub writer: &'a dyn PageWriter,
    pub births: &'a Births,
    /// Decides which intents (requests for work) become messages.
    pub wanted: &'a dyn Wanted,
    pub registry: Registry,
}

/// The results of processing commits of one stream: the messages and the documents that must be
/// stored.
#[derive(Debug, Default)]
pub struct Changes {
    pub messages: Vec<NewMessage>,
    /// The documents to store, in this order. The last document is the card (the stored summary of
    /// the stream), because the card contains the sequence number of the last processed event.
    pub puts: Vec<Put>,
    /// The error of the first commit that cannot be processed, and the sequence number of the first
    /// event in this commit. `messages` and `puts` contain the results of all earlier commits.
    pub failure: Option<(i64, Error)>,
}

/// The documents of one stream that the follower has already read.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The document that contains the checkpoint (the sequence number of the last processed event) of the stream, see
    /// [`aggregate::Aggregate::checkpoint_view`].
    pub checkpoint: Option<Document>,
    pub deadlines: DueRow,
}

/// The due row (the stored deadlines) of a stream, if the follower has already read it.
#[derive(Clone, Debug, Default)]
pub enum DueRow {
    #[default]
    Unread,
    Read(Option<Document>),
}

impl Follower<'_> {
    /// Processes a page (a list) of commits. The commits of each stream are processed in the order
    /// of their event numbers, even if the page has another order.
    ///
    /// If a commit is unreadable, its stream is parked: the stream is skipped, and an error record
    /// is stored. After any other error, this function returns the error, and the caller must call
    /// the function again with the same page. The document `also` is stored together with the
    /// results of the page.
    pub async fn follow_page(&self, page: Vec<Received>, also: Option<Put>) -> Result<(), Error> {
        let mut streams: Vec<(String, Vec<Received>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for received in page {
            let stream = &received.commit.stream;
            let place = *places.entry(stream.clone()).or_insert_with(|| {
                streams.push((stream.clone(), Vec::new()));
                streams.len() - 1
            });
            streams[place].1.push(received);
        }
        let names: Vec<&str> = streams.iter().map(|(stream, _)| stream.as_str()).collect();
        let stored_before = match self.stored_of(&names).await {
            Ok(stored) => stored.into_iter().map(Ok).collect(),
            // At least one document is unreadable. Only its stream is parked, so each stream is read alone.
            Err(error) if error.is_poison() => {
                let mut alone = Vec::with_capacity(names.len());
                for name in &names {
                    alone.push(self.stored(name).await);
                }
                alone
            }
            Err(error) => return Err(error),
        };
        let mut failed = None;
        let (mut messages, mut puts, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        let mut parking = Vec::new();
        for ((place, (stream, received)), before) in streams.iter().enumerate().zip(stored_before) {
            let folded = match before {
                Ok(before) => self.fold(stream, received, before).await,
                Err(error) => Err(error),
            };
            match folded {
                Ok(changes) => {
                    messages.extend(changes.messages);
                    owners.extend(changes.puts.iter().map(|_| place));
                    puts.extend(changes.puts);
                    parking.extend(changes.failure.map(|failure| (stream, failure)));
                }
                // The events or the stored documents of this stream are unreadable. Other streams
                // are not affected.
                Err(error) if error.is_poison() => {
                    let from = received.first().map_or(1, |first| first.commit.first);
                    parking.push((stream, (from, error)));
                }
                // The cause of this error, such as a missing table or permission, affects all
                // streams. The same error occurs again until the operator corrects the cause.
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        // The document `also` contains the position of the last commit of this page in the feed
        // (the sequence of all commits). The document is stored only if each stream of this page
        // was processed or parked (set aside after an error). After any other error, the same page
        // must be read again.
        puts.extend(also.filter(|_| failed.is_none()));
        let stored = self.writer.write(messages, puts).await?;
        let mut overtaken: Vec<usize> = owners
            .into_iter()
            .zip(stored)
            .filter(|(_, is_stored)| !is_stored)
            .map(|(place, _)| place)
            .collect();
        overtaken.dedup();
        for place in overtaken {
            let (stream, received) = &streams[place];
            let failure = self.follow_alone(stream, received).await?;
            parking.extend(failure.map(|failure| (stream, failure)));
        }
        for (stream, (from, error)) in parking {
            self.park(stream, from, &error).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Processes one commit of a parked stream. A parked stream was skipped earlier because one of
    /// its commits was unreadable. Returns an error if the commit still cannot be processed.
    pub async fn follow_one(&self, received: Received) -> Result<(), Error> {
        let stream = received.commit.stream.clone();
        let failure = self.follow_alone(&stream, &[received]).await?;
        failure.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Processes the commits of one stream. If another process stored results of this stream first,
    /// this function processes the commits again, with at most [`RACES_MAX`] attempts.
    ///
    /// If a commit cannot be processed, this function returns the error and the number of the first
    /// event in this commit, see [`Changes::failure`].
    async fn follow_alone(
        &self,
        stream: &str,
        received: &[Received],
    ) -> Result<Option<(i64, Error)>, Error> {
        for _ in 0..RACES_MAX {
            let before = self.stored(stream).await?;
            let changes = self.fold(stream, received, before).await?;
            let stored = self.writer.write(changes.messages, changes.puts).await?;
            if stored.iter().all(|is_stored| *is_stored) {
                return Ok(changes.failure);
            }
        }
        Err(Error::new(
            infra::Kind::Conflict,
            format!(
                "cannot store the card of {stream}: other followers stored it first {RACES_MAX} times in a row"
            ),
        ))
    }

    /// Reads the documents of one stream.
    async fn stored(&self, stream: &str) -> Result<Stored, Error> {
        let stored = self.stored_of(&[stream]).await?;
        Ok(stored.into_iter().next().unwrap_or_default())
    }

    /// Reads the documents of each stream in one step. The results have the order of `streams`. The result of a stream
    /// without documents is empty.
    ///
    /// On one machine, one larger read is much cheaper than many small reads, so the deadlines are read too. In the cloud,
    /// each document costs the same, so the deadlines are read later, and only if they change.
    async fn stored_of(&self, streams: &[&str]) -> Result<Vec<Stored>, Error> {
        let reads_deadlines = self.ledger.is_only_writer();
        let mut documents: Vec<(&str, &str)> = Vec::with_capacity(2 * streams.len());
        let mut places = Vec::with_capacity(2 * streams.len());
        for (place, stream) in streams.iter().enumerate() {
            let Some(aggregate) = find(self.registry, stream) else {
                continue;
            };
            let Some(view) = aggregate.checkpoint_view() else {
                continue;
            };
            documents.push((view, *stream));
            places.push((place, false));
            // Without a card, the document with the deadlines contains the checkpoint.
            if reads_deadlines && aggregate.deadlines().is_some() && view != due::VIEW {
                documents.push((due::VIEW, *stream));
                places.push((place, true));
            }
        }
        let mut stored = vec![Stored::default(); streams.len()];
        let read = self.views.get_all(&documents).await?;
        for ((place, is_of_deadlines), document) in places.into_iter().zip(read) {
            if is_of_deadlines {
                stored[place].deadlines = DueRow::Read(document);
            } else {
                stored[place].checkpoint = document;
            }
        }
        Ok(stored)
    }

    async fn fold(
        &self,
        stream: &str,
        received: &[Received],
        before: Stored,
    ) -> Result<Changes, Error> {
        match find(self.registry, stream) {
            Some(aggregate) => aggregate.fold(self, stream, received, before).await,
            None => Ok(Changes::default()),
        }
    }

    async fn park(&self, stream: &str, from: i64, error: &Error) -> Result<(), Error> {
        tracing::error!(%error, stream, from, "stream is parked");
        parked::park(
            self.views,
            &Parked {
                consumer: "follow".into(),
                stream: stream.to_owned(),
                from,
                reason: error.to_string(),
                at: self.ledger.clock.now(),
            },
        )
        .await
    }
}

/// Applies the new commits of one stream. `card` is a card without commits of its aggregate type, `messages_about` the
/// messages about reached deadlines (`None` if the aggregate type has no deadlines), `received` contains new commits, and
/// `before` the stored documents of the stream.
/// Commits up to the checkpoint are skipped. Returns the new due row (the stored deadlines), the new card (the stored
/// summary of the stream) and the messages to send.
async fn fold(
    follower: &Follower<'_>,
    card: &mut dyn AnyCard,
    messages_about: Option<due::Messages>,
    stream: &str,
    received: &[Received],
    before: Stored,
) -> Result<Changes, Error> {
    let Stored {
        checkpoint,
        deadlines: stored_deadlines,
    } = before;
    let has_card = !card.view().is_empty();
    if !has_card && messages_about.is_none() {
        return Ok(Changes::default());
    }
    let sequence = checkpoint.as_ref().map_or(0, |document| document.sequence);
    let commits = missing(follower.ledger, stream, received, sequence).await?;
    let mut changes = Changes::default();
    let mut readable: Vec<&Received> = Vec::with_capacity(commits.len());
    for received in commits.iter().map(Cow::as_ref) {
        match card.decode(&received.commit) {
            Ok(()) => readable.push(received),
            Err(error) if error.is_poison() => {
                changes.failure = Some((received.commit.first, error));
                break;
            }
            Err(error) => return Err(error),
        }
    }
    let (Some(first), Some(last)) = (readable.first(), readable.last()) else {
        return Ok(changes);
    };
    let (first, last) = (first.commit.first, last.commit.next() - 1);
    // The deadlines depend only on the events. They are therefore stored even if the card (the
    // stored summary) is unreadable.
    if let Some(about) = messages_about {
        let commits: Vec<&Commit> = readable.iter().map(|received| &received.commit).collect();
        let set = card.deadlines(&commits);
        if !set.is_empty() {
            let stored = match stored_deadlines {
                _ if !has_card => checkpoint.clone(),
                DueRow::Read(document) => document,
                DueRow::Unread => follower.views.get(due::VIEW, stream).await?,
            };
            let now = follower.ledger.clock.now();
            if let Some(applied) = due::apply(stream, about, stored.as_ref(), set, last, now)? {
                changes.messages.extend(applied.messages);
                changes.puts.push(applied.put);
            }
        }
    }
    if !has_card {
        return Ok(changes);
    }
    match fold_card(follower, card, stream, checkpoint.as_ref(), &readable).await {
        Ok((put, messages)) => {
            changes.messages.extend(messages);
            changes.puts.push(put);
        }
        Err(error) if error.is_poison() => changes.failure = Some((first, error)),
        Err(error) => return Err(error),
    }
    Ok(changes)
}

/// Applies the commits in `readable` to `card`, which has decoded them.
async fn fold_card(
    follower: &Follower<'_>,
    card: &mut dyn AnyCard,
    stream: &str,
    stored: Option<&Document>,
    readable: &[&Received],
) -> Result<(Put, Vec<NewMessage>), Error> {
    let ledger = follower.ledger;
    if let Some(document) = stored {
        card.read(stream, document)?;
        if card.reads_personals() {
            ledger.open(card.personals().into_iter()).await?;
        }
    }
    let (mut messages, mut sequence) = (Vec::new(), 0);
    for (at, received) in readable.iter().enumerate() {
        let commit = &received.commit;
        if card.reads_personals() {
            ledger.open(card.personals_of(at).into_iter()).await?;
        }
        let births = follower.births;
        let is_born = |reaction: &str, kind: &str| {
            births.includes(reaction, kind, received.position, commit.at)
        };
        for requested in card.apply(at, commit, &is_born) {
            if follower.wanted.wants(&requested.intent).await? {
                messages.push(intent_message(requested));
            }
        }
        sequence = commit.next() - 1;
    }
    let expected = stored.map_or(0, |document| document.sequence);
    let put = card_put(ledger, card.view(), stream, card, sequence, expected).await?;
    Ok((put, messages))
}

/// Converts an intent (a request for work) of a reaction to a message. The message id depends only on the event, the
/// reaction and the target of the
/// intent. The same event therefore always gives the same message id.
fn intent_message(requested: Requested) -> NewMessage {
    let Requested {
        consumer,
        event,
        at,
        intent,
    } = requested;
    NewMessage {
        queue: intent.queue(),
        id: effect_id(consumer, &event, &intent.target()),
        body: serde_json::to_vec(&Work::Intent(intent)).unwrap_or_default(),
        due: at,
    }
}

/// Returns the commits of a stream after the event with the number `sequence`, in order and without
/// duplicates. If commits before or between the received commits are missing, this function reads
/// the missing commits from the journal (the table of all commits).
async fn missing<'a>(
    ledger: &Ledger,
    stream: &str,
    received: &'a [Received],
    sequence: i64,
) -> Result<Vec<Cow<'a, Received>>, Error> {
    let mut sorted: Vec<&Received> = received
        .iter()
        .filter(|received| received.commit.first > sequence)
        .collect();
    sorted.sort_by_key(|received| received.commit.first);
    sorted.dedup_by_key(|received| received.commit.first);
    let (mut missing, mut next) = (Vec::new(), sequence + 1);
    for received in sorted {
        while next < received.commit.first {
            let page = ledger.store.forward(stream, next, PAGE).await?;
            let before = next;
            for commit in page
                .into_iter()
                .filter(|commit| commit.first < received.commit.first)
            {
                next = commit.next();
                missing.push(Cow::Owned(commit.into()));
            }
            if next == before {
                return Err(Error::corrupt(format!(
                    "stream {stream} has no commit with sequence {next}"
                )));
            }
        }
        next = received.commit.next();
        missing.push(Cow::Borrowed(received));
    }
    Ok(missing)
}
