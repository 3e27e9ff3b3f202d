//! The follower: per commit, in stream order, updates the due row and the card and queues the
//! intents of reactions.
//!
//! Intents are queued before the card is stored. The sequence of the card is the only checkpoint of
//! its stream: older commits are skipped, and a gap is read from the journal. A crash repeats
//! intents under the same ids and loses none.

use domain::Envelope;
use domain::api_call::ApiCall;
use domain::config::{App, Dictionary, Role, Service, SharedField};
use domain::draft::Draft;
use domain::intent::{Intent, effect_id};
use domain::reactions::{relate_tickets, send_callback, start_api_call};
use domain::views::Card;
use domain::views::callback_card::CallbackCard;
use domain::views::ticket_card::TicketCard;
use domain::views::workflow_card::WorkflowCard;
use events::ticket::TicketEvent;
use events::{Deadline, Event, Moment};
use infra::queue::Queue;
use infra::store::Commit;
use infra::views::{Document, Views};
use infra::{Error, Ledger};

use crate::app::cards::{read_card, write_card};
use crate::timer::wake::schedule;

/// Commits per read when a gap is filled from the journal.
const PAGE: usize = 100;
/// Attempts to store a card or a due row while other followers store newer ones.
const RACES_MAX: u32 = 20;
/// Deadlines within this time go to their queue at once, because a sweep may find them late.
const SOON_MS: i64 = 120_000;
/// The view of due rows: one document per stream that sets deadlines.
pub const DUE: &str = "due";

/// A named function from an event, and the card as of that event, to intents.
pub struct Reaction<C: Card> {
    /// The permanent consumer name, a part of the effect ids.
    pub name: &'static str,
    pub react: fn(&Envelope<C::Event>, &C) -> Vec<Intent>,
}

/// The ports of the follower, the only consumer of events with access to the queue.
#[derive(Clone, Copy)]
pub struct Follower<'a> {
    pub ledger: &'a Ledger,
    pub views: &'a dyn Views,
    pub queue: &'a dyn Queue,
}

/// Follows one commit of any stream; an aggregate without a card or a deadline needs no work.
pub async fn follow(follower: Follower<'_>, commit: &Commit) -> Result<(), Error> {
    match events::aggregate_of(&commit.stream) {
        "ticket" => {
            if sets_deadline(commit) {
                follower.note_deadline::<TicketEvent>(commit).await?;
            }
            let reactions = [
                Reaction {
                    name: send_callback::NAME,
                    react: send_callback::react,
                },
                Reaction {
                    name: start_api_call::NAME,
                    react: start_api_call::react,
                },
                Reaction {
                    name: relate_tickets::NAME,
                    react: relate_tickets::react,
                },
            ];
            follower.advance::<TicketCard>(commit, &reactions).await
        }
        "api_call" => {
            follower
                .note_deadline::<events::api_call::ApiCallEvent>(commit)
                .await?;
            follower.advance::<ApiCall>(commit, &[]).await
        }
        "attachment" => {
            follower
                .note_deadline::<events::attachment::AttachmentEvent>(commit)
                .await
        }
        "draft" => {
            follower
                .note_deadline::<events::draft::DraftEvent>(commit)
                .await?;
            follower.advance::<Draft>(commit, &[]).await
        }
        "workflow" => follower.advance::<WorkflowCard>(commit, &[]).await,
        "dictionary" => follower.advance::<Dictionary>(commit, &[]).await,
        "callback" => {
            follower
                .note_deadline::<events::callback::CallbackEvent>(commit)
                .await?;
            follower.advance::<CallbackCard>(commit, &[]).await
        }
        "service" => follower.advance::<Service>(commit, &[]).await,
        "field" => follower.advance::<SharedField>(commit, &[]).await,
        "role" => follower.advance::<Role>(commit, &[]).await,
        "app" => follower.advance::<App>(commit, &[]).await,
        _ => Ok(()),
    }
}

/// Returns whether a commit of a ticket changes its deadline for rating.
///
/// The other commits skip the due row, which saves a read and a write each.
fn sets_deadline(commit: &Commit) -> bool {
    let body = events::Body::read(&commit.body);
    body.is_ok_and(|body| {
        body.events.iter().any(|raw| {
            matches!(
                raw.kind.as_ref(),
                "ticket.finished" | "ticket.closed" | "ticket.rated"
            )
        })
    })
}

impl Follower<'_> {
    /// Folds the card of a stream up to this commit and queues the intents of its reactions.
    pub async fn advance<C: Card>(
        &self,
        commit: &Commit,
        reactions: &[Reaction<C>],
    ) -> Result<(), Error> {
        for _ in 0..RACES_MAX {
            let stored = self.views.get(C::VIEW, &commit.stream).await?;
            let mut sequence = stored.as_ref().map_or(0, |document| document.sequence);
            if commit.next() - 1 <= sequence {
                return Ok(());
            }
            let mut card = match &stored {
                Some(document) => read_card::<C>(self.ledger, &commit.stream, document).await?,
                None => C::default(),
            };
            let mut is_overtaken = false;
            for commit in self.missing(commit, sequence).await? {
                for envelope in self.ledger.envelopes::<C::Event>(&commit).await? {
                    card.fold(&envelope);
                    for reaction in reactions {
                        self.queue_intents(
                            reaction.name,
                            &envelope,
                            (reaction.react)(&envelope, &card),
                        )
                        .await?;
                    }
                }
                if !put_card(self.ledger, self.views, C::VIEW, &commit, &card, sequence).await? {
                    is_overtaken = true;
                    break;
                }
                sequence = commit.next() - 1;
            }
            if !is_overtaken {
                return Ok(());
            }
        }
        Err(Error::new(
            infra::Kind::Conflict,
            format!(
                "cannot store the card of {}: other followers stored it first {RACES_MAX} times in a row",
                commit.stream
            ),
        ))
    }

    /// Returns the commits after `sequence` up to this one; a gap is read from the journal.
    async fn missing(&self, commit: &Commit, sequence: i64) -> Result<Vec<Commit>, Error> {
        if commit.first == sequence + 1 {
            return Ok(vec![commit.clone()]);
        }
        let mut missing = Vec::new();
        let mut from = sequence + 1;
        while from <= commit.first {
            let page = self
                .ledger
                .store
                .forward(&commit.stream, from, PAGE)
                .await?;
            let Some(last) = page.last() else { break };
            from = last.next();
            missing.extend(
                page.into_iter()
                    .filter(|fetched| fetched.first <= commit.first),
            );
        }
        Ok(missing)
    }

    async fn queue_intents<E: Event>(
        &self,
        consumer: &str,
        envelope: &Envelope<E>,
        intents: Vec<Intent>,
    ) -> Result<(), Error> {
        for intent in intents {
            let id = effect_id(consumer, &envelope.id(), &intent.target());
            let body = serde_json::to_vec(&intent).map_err(|error| {
                Error::because(infra::Kind::Corrupt, "cannot write an intent", error)
            })?;
            self.queue
                .put(intent.queue(), &id, &body, envelope.at)
                .await?;
        }
        Ok(())
    }

    /// Updates the due row of a stream from the deadlines in a commit.
    ///
    /// The step only decodes events and does not depend on the card, so a parked card cannot lose a
    /// deadline.
    pub async fn note_deadline<E: Event>(&self, commit: &Commit) -> Result<(), Error> {
        for _ in 0..RACES_MAX {
            let stored = self.views.get(DUE, &commit.stream).await?;
            let sequence = stored.as_ref().map_or(0, |document| document.sequence);
            if commit.next() - 1 <= sequence {
                return Ok(());
            }
            let mut due: Option<i64> = stored
                .and_then(|document| serde_json::from_slice(&document.body).ok())
                .flatten();
            for commit in self.missing(commit, sequence).await? {
                for (event, _) in self.ledger.read::<E>(&commit).await?.1 {
                    match event.deadline() {
                        Deadline::Unchanged => {}
                        Deadline::At(at) => due = Some(at.0),
                        Deadline::Cleared => due = None,
                    }
                }
            }
            let rows: Vec<(&'static str, String)> = due
                .iter()
                .map(|due| ("due", format!("{due:016}")))
                .collect();
            let body = serde_json::to_vec(&due).unwrap_or_default();
            if self
                .views
                .put(
                    DUE,
                    &commit.stream,
                    &Document {
                        sequence: commit.next() - 1,
                        body,
                    },
                    &rows,
                    sequence,
                )
                .await?
            {
                // A message lost here is found by the next sweep.
                let now = self.ledger.clock.now();
                return match due.filter(|due| *due <= now.0 + SOON_MS) {
                    Some(due) => schedule(self.queue, &commit.stream, Moment(due), now).await,
                    None => Ok(()),
                };
            }
        }
        Err(Error::new(
            infra::Kind::Conflict,
            format!(
                "cannot store the deadline of {}: other followers stored it first {RACES_MAX} times in a row",
                commit.stream
            ),
        ))
    }
}

/// Stores a card as of a commit; returns false if the stored sequence is not `expected`.
pub(crate) async fn put_card<C: Card>(
    ledger: &Ledger,
    views: &dyn Views,
    view: &str,
    commit: &Commit,
    card: &C,
    expected: i64,
) -> Result<bool, Error> {
    let body = write_card(ledger, card).await?;
    views
        .put_with(
            view,
            &commit.stream,
            &Document {
                sequence: commit.next() - 1,
                body,
            },
            &card.index(),
            &card.facets(),
            expected,
        )
        .await
}
