//! Per commit, in stream order: the card is folded, the deadline noted, reactions asked; their intents are queued, then the card is put.
//!
//! The card's sequence is the only checkpoint of its stream: what is older is dropped, a gap is fetched from the journal. A crash repeats
//! intents under the same ids and loses none.

use domain::Envelope;
use domain::call::Call;
use domain::config::{App, Dictionary, Role, Service, SharedField};
use domain::draft::Draft;
use domain::intent::{Intent, effect_id};
use domain::reactions::{start_call, tell_caller, tell_relatives};
use domain::views::Card;
use domain::views::delivery_card::DeliveryCard;
use domain::views::ticket_card::TicketCard;
use domain::views::workflow_card::WorkflowCard;
use events::ticket::TicketEvent;
use events::{Deadline, Fact, Moment};
use infra::queue::Queue;
use infra::store::Commit;
use infra::views::{Document, Views};
use infra::{Error, Ledger};

use crate::timer::wake::fire;

/// Commits fetched at once to close a gap.
const PAGE: usize = 100;
/// Times a card is read again because another follower put it first.
const RACES_MAX: u32 = 20;
/// Deadlines that are put into their queue as soon as they are known: those that a sweep might find late.
const SOON_MS: i64 = 120_000;
/// The view of deadlines: one document per stream that has one.
pub const DUE: &str = "due";

/// An event and the card as of that event, then intents.
pub struct Reaction<C: Card> {
    /// The permanent name; effect ids are made from it.
    pub name: &'static str,
    pub react: fn(&Envelope<C::Event>, &C) -> Vec<Intent>,
}

/// What following may touch. Only here do events reach the queue.
#[derive(Clone, Copy)]
pub struct Follower<'a> {
    pub ledger: &'a Ledger,
    pub views: &'a dyn Views,
    pub queue: &'a dyn Queue,
}

/// Follows one commit, whatever stream it belongs to.
pub async fn follow(follower: Follower<'_>, commit: &Commit) -> Result<(), Error> {
    match events::aggregate_of(&commit.stream) {
        "ticket" => {
            if sets_deadline(commit) {
                follower.note_deadline::<TicketEvent>(commit).await?;
            }
            let reactions = [
                Reaction { name: tell_caller::NAME, react: tell_caller::react },
                Reaction { name: start_call::NAME, react: start_call::react },
                Reaction { name: tell_relatives::NAME, react: tell_relatives::react },
            ];
            follower.advance::<TicketCard>(commit, &reactions).await
        }
        "call" => {
            follower.note_deadline::<events::call::CallEvent>(commit).await?;
            follower.advance::<Call>(commit, &[]).await
        }
        "attachment" => follower.note_deadline::<events::attachment::AttachmentEvent>(commit).await,
        "draft" => {
            follower.note_deadline::<events::draft::DraftEvent>(commit).await?;
            follower.advance::<Draft>(commit, &[]).await
        }
        "workflow" => follower.advance::<WorkflowCard>(commit, &[]).await,
        "dictionary" => follower.advance::<Dictionary>(commit, &[]).await,
        "delivery" => {
            follower.note_deadline::<events::delivery::DeliveryEvent>(commit).await?;
            follower.advance::<DeliveryCard>(commit, &[]).await
        }
        "service" => follower.advance::<Service>(commit, &[]).await,
        "field" => follower.advance::<SharedField>(commit, &[]).await,
        "role" => follower.advance::<Role>(commit, &[]).await,
        "app" => follower.advance::<App>(commit, &[]).await,
        _ => Ok(()),
    }
}

/// Says whether a ticket's commit has to do with its deadline, which only few have: the time until which a finished one is rated.
fn sets_deadline(commit: &Commit) -> bool {
    let body = events::Body::read(&commit.body);
    body.is_ok_and(|body| body.events.iter().any(|raw| matches!(raw.kind.as_ref(), "ticket.finished" | "ticket.closed" | "ticket.rated")))
}

impl Follower<'_> {
    /// Brings the card of a stream up to this commit.
    pub async fn advance<C: Card>(&self, commit: &Commit, reactions: &[Reaction<C>]) -> Result<(), Error> {
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
            let mut overtaken = false;
            for commit in self.missing(commit, sequence).await? {
                for envelope in self.ledger.envelopes::<C::Event>(&commit).await? {
                    card.fold(&envelope);
                    for reaction in reactions {
                        self.queue_intents(reaction.name, &envelope, (reaction.react)(&envelope, &card)).await?;
                    }
                }
                if !put_card(self.ledger, self.views, C::VIEW, &commit, &card, sequence).await? {
                    overtaken = true;
                    break;
                }
                sequence = commit.next() - 1;
            }
            if !overtaken {
                return Ok(());
            }
        }
        Err(Error::new(infra::Kind::Conflict, format!("the card of {} was put by others {RACES_MAX} times in a row", commit.stream)))
    }

    /// The commits after `sequence` up to this one: mostly itself, else the gap is fetched from the journal.
    async fn missing(&self, commit: &Commit, sequence: i64) -> Result<Vec<Commit>, Error> {
        if commit.first == sequence + 1 {
            return Ok(vec![commit.clone()]);
        }
        let mut missing = Vec::new();
        let mut from = sequence + 1;
        while from <= commit.first {
            let page = self.ledger.store.forward(&commit.stream, from, PAGE).await?;
            let Some(last) = page.last() else { break };
            from = last.next();
            missing.extend(page.into_iter().filter(|fetched| fetched.first <= commit.first));
        }
        Ok(missing)
    }

    async fn queue_intents<F: Fact>(&self, consumer: &str, envelope: &Envelope<F>, intents: Vec<Intent>) -> Result<(), Error> {
        for intent in intents {
            let id = effect_id(consumer, &envelope.id(), &intent.target());
            let body = serde_json::to_vec(&intent).map_err(|error| Error::because(infra::Kind::Corrupt, "cannot write an intent", error))?;
            self.queue.put(intent.queue(), &id, &body, envelope.at).await?;
        }
        Ok(())
    }

    /// Notes what the commit says about its stream's deadline. Decodes and nothing else, so that a stuck card cannot lose a deadline.
    pub async fn note_deadline<F: Fact>(&self, commit: &Commit) -> Result<(), Error> {
        for _ in 0..RACES_MAX {
            let stored = self.views.get(DUE, &commit.stream).await?;
            let sequence = stored.as_ref().map_or(0, |document| document.sequence);
            if commit.next() - 1 <= sequence {
                return Ok(());
            }
            let mut due: Option<i64> = stored.and_then(|document| serde_json::from_slice(&document.body).ok()).flatten();
            for commit in self.missing(commit, sequence).await? {
                for (fact, _) in self.ledger.read::<F>(&commit).await?.1 {
                    match fact.deadline() {
                        Deadline::Unchanged => {}
                        Deadline::At(at) => due = Some(at.0),
                        Deadline::Cleared => due = None,
                    }
                }
            }
            let rows: Vec<(&'static str, String)> = due.iter().map(|due| ("due", format!("{due:016}"))).collect();
            let body = serde_json::to_vec(&due).unwrap_or_default();
            if self.views.put(DUE, &commit.stream, &Document { sequence: commit.next() - 1, body }, &rows, sequence).await? {
                // What is due soon need not wait for a sweep; if this is lost, a sweep finds it.
                let now = self.ledger.clock.now();
                return match due.filter(|due| *due <= now.0 + SOON_MS) {
                    Some(due) => fire(self.queue, &commit.stream, Moment(due), now).await,
                    None => Ok(()),
                };
            }
        }
        Err(Error::new(infra::Kind::Conflict, format!("the deadline of {} was put by others {RACES_MAX} times in a row", commit.stream)))
    }
}

/// Reads a stored card and opens its personal values. A value whose subject was erased reads as erased.
pub async fn read_card<C: Card>(ledger: &Ledger, stream: &str, document: &Document) -> Result<C, Error> {
    let mut card: C = stored_card(stream, document)?;
    ledger.open(card.personals().into_iter()).await?;
    Ok(card)
}

/// Reads a card as it is stored, its personal values still sealed: enough for filters, which look at no personal value.
pub fn stored_card<C: Card>(stream: &str, document: &Document) -> Result<C, Error> {
    serde_json::from_slice(&document.body).map_err(|error| Error::because(infra::Kind::Corrupt, format!("cannot read the {} card of {stream}", C::VIEW), error))
}

/// A card as views store it, its personal values sealed under their subjects' keys.
pub(crate) async fn write_card<C: Card>(ledger: &Ledger, card: &C) -> Result<Vec<u8>, Error> {
    let mut sealed = card.clone();
    ledger.seal(sealed.personals().into_iter()).await?;
    serde_json::to_vec(&sealed).map_err(|error| Error::because(infra::Kind::Corrupt, "cannot write a card", error))
}

/// Puts a card as of a commit, if its sequence is the next.
pub(crate) async fn put_card<C: Card>(ledger: &Ledger, views: &dyn Views, view: &str, commit: &Commit, card: &C, expected: i64) -> Result<bool, Error> {
    let body = write_card(ledger, card).await?;
    views.put_with(view, &commit.stream, &Document { sequence: commit.next() - 1, body }, &card.index(), &card.facets(), expected).await
}
