//! Reads tickets from their event streams, and checks whether a person may see a ticket.

use domain::permission::Operation;
use domain::ticket::Ticket;
use domain::views::ticket_card::TicketCard;
use events::{PersonId, TicketSn};
use infra::{Error, ExecuteError, Ledger};

use crate::App;
use crate::app::cards::read_card;
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

/// Reads one ticket. Returns `None` if the ticket does not exist.
///
/// The state of the ticket is computed from the newest snapshot and later events. The times and the
/// people come from the card (the stored summary of the ticket) and from newer commits. Therefore,
/// even a ticket with a long history is read fast.
pub async fn card(app: &App, sn: &TicketSn) -> Result<Option<TicketCard>, Error> {
    // No ticket number of the desk is longer than this limit. A longer number is not passed to the
    // store, because stores limit the length of their keys.
    if sn.as_str().len() > SN_BYTES_MAX {
        return Ok(None);
    }
    let stream = sn.stream();
    let stored = app.views.get("ticket", &stream).await?;
    let from = stored.as_ref().map_or(0, |document| document.sequence) + 1;
    let mut card: TicketCard = match &stored {
        Some(document) => read_card(&app.ledger, &stream, document).await?,
        None => TicketCard::default(),
    };
    for envelope in history_from(&app.ledger, &stream, from).await? {
        card.fold(&envelope);
    }
    // The card (the stored summary of the ticket) may be outdated. The state is therefore read from
    // the event stream.
    card.ticket = app.ledger.load::<Ticket>(&stream).await?.aggregate.0;
    Ok(card.ticket.opened.is_some().then_some(card))
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
