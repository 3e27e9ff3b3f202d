//! Reads tickets from their event streams, and checks whether a person may see a ticket.

use domain::permission::Operation;
use domain::ticket::Ticket;
use domain::views::Card as _;
use domain::views::ticket_card::TicketCard;
use events::ticket::TicketEvent;
use events::{Moment, PersonId, TicketSn};
use infra::cache::{Bounds, Cache, NEVER};
use infra::{Error, ExecuteError, Ledger};

use crate::App;
use crate::app::cards::{read_card, stored_card};
use crate::app::history::history_from;
use crate::app::permissions::Reader;

/// Maximum length of a ticket number in a request, in bytes. Real ticket numbers have 17 bytes.
pub const SN_BYTES_MAX: usize = 64;

/// Returns true if a person may execute an operation on a ticket ([`Ticket::may`]). A ticket that does not exist gives
/// false.
pub async fn may(
    app: &App,
    operation: Operation,
    ticket: &Ticket,
    by: &PersonId,
) -> Result<bool, Error> {
    let question = app.ledger.ask(&*app.configuration, |context| {
        ticket.may(operation, by, context)
    });
    match question.await {
        Ok(may) => Ok(may),
        Err(ExecuteError::Rejected(_)) => Ok(false),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

/// The times and the people of tickets that were read before, by the name of the stream. The cards in this cache contain no
/// state of a ticket. The number is the sequence number of the next event of the stream: after a new event, the card is
/// read again. The cards contain ids of people and no personal values, so an erasure changes nothing in them.
pub type KnownCards = Cache<String, (i64, TicketCard)>;

/// Maximum number of tickets in [`KnownCards`].
pub const KNOWN_CARDS: Bounds = Bounds::entries(2_048);

/// Reads one ticket. Returns `None` if the ticket does not exist.
///
/// The state of the ticket is computed from the newest snapshot and later events. The times and the
/// people come from the card (the stored summary of the ticket) and from newer commits. Therefore,
/// even a ticket with a long history is read fast.
pub async fn card(app: &App, sn: &TicketSn) -> Result<Option<TicketCard>, Error> {
    // A notification without a ticket has an empty number. No ticket number of the desk is longer than this limit. A
    // longer number is not passed to the store, because stores limit the length of their keys.
    if sn.as_str().is_empty() || sn.as_str().len() > SN_BYTES_MAX {
        return Ok(None);
    }
    let stream = sn.stream();
    let loaded = app.ledger.load::<Ticket>(&stream).await?;
    let (ticket, next) = (loaded.aggregate.0, loaded.head.next);
    if ticket.opened.is_none() {
        return Ok(None);
    }
    let known = app
        .ticket_cards
        .read(&stream, Moment(0), |(read_at, card)| {
            (*read_at == next).then(|| card.clone())
        });
    let card = if let Some(card) = known.flatten() {
        card
    } else {
        let card = without_state(app, &stream, next).await?;
        let entry = (next, card.clone());
        app.ticket_cards.put(stream, entry, 0, NEVER);
        card
    };
    Ok(Some(TicketCard { ticket, ..card }))
}

/// Returns the card (the stored summary) of a ticket after the events before `next`, with an empty state of the ticket.
async fn without_state(app: &App, stream: &str, next: i64) -> Result<TicketCard, Error> {
    let stored = app.views.get(TicketCard::VIEW, stream).await?;
    let from = stored.as_ref().map_or(0, |document| document.sequence) + 1;
    let mut card: TicketCard = match &stored {
        // The stored state is not used, so its personal values stay encrypted.
        Some(document) if from >= next => stored_card(stream, document)?,
        Some(document) => read_card(&app.ledger, stream, document).await?,
        None => TicketCard::default(),
    };
    if from < next {
        let history = history_from::<TicketEvent>(&app.ledger, stream, from).await?;
        let missing = history
            .iter()
            .take_while(|envelope| envelope.sequence < next);
        missing.for_each(|envelope| card.fold(envelope));
    }
    card.ticket = Ticket::default();
    Ok(card)
}

/// The reason why a reader cannot read a ticket.
#[derive(Debug)]
pub enum Unread {
    Unknown,
    NotPermitted,
    Technical(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Technical(error)
    }
}

/// Reads one ticket for a reader. Returns an error if the ticket does not exist, or if the reader may not read the
/// ticket.
pub async fn read(app: &App, sn: &TicketSn, reader: &Reader) -> Result<TicketCard, Unread> {
    let card = card(app, sn).await?.ok_or(Unread::Unknown)?;
    if reader.may_read(app, &card).await? {
        Ok(card)
    } else {
        Err(Unread::NotPermitted)
    }
}

/// Returns all events of a ticket, from the oldest to the newest.
pub async fn history(
    ledger: &Ledger,
    stream: &str,
) -> Result<Vec<domain::Envelope<events::ticket::TicketEvent>>, Error> {
    history_from(ledger, stream, 1).await
}
