//! When a ticket ends, the application that asked for it is called back (reference/bk-itsm.md 10).

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The permanent name of this consumer; effect ids are made from it.
pub const NAME: &str = "tell_caller";

/// Asks for a callback at the end of a ticket, where its creator named a receiver.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let ends = matches!(envelope.event, TicketEvent::Finished(_) | TicketEvent::Terminated(_) | TicketEvent::Withdrawn(_));
    let opened = card.ticket.opened.as_ref();
    match opened.and_then(|opened| Some((opened, opened.callback.clone()?))) {
        Some((opened, callback)) if ends => vec![Intent::Deliver {
            ticket: opened.sn.clone(),
            cause: envelope.id(),
            app: card.app.clone(),
            callback,
            correlation: envelope.meta.correlation.clone(),
        }],
        _ => Vec::new(),
    }
}
