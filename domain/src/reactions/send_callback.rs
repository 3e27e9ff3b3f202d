//! When a ticket ends, the application that asked for it is called back (reference/bk-itsm.md 10); where it wants to know, also when the status changes.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The permanent name of this consumer; effect ids are made from it.
pub const NAME: &str = "send_callback";

/// Asks for a callback, where its creator named a receiver.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let Some((opened, callback)) = card
        .ticket
        .opened
        .as_ref()
        .and_then(|opened| Some((opened, opened.callback.clone()?)))
    else {
        return Vec::new();
    };
    // What is told is how the ticket stands when the call is made: two calls that overtake each other never tell of a past that is over.
    let changes = matches!(
        envelope.event,
        TicketEvent::Suspended(_) | TicketEvent::Resumed(_) | TicketEvent::StatusSet(_)
    );
    if !(envelope.event.ends() || changes && callback.on_status) {
        return Vec::new();
    }
    vec![Intent::SendCallback {
        ticket: opened.sn.clone(),
        cause: envelope.id(),
        app: card.app.clone(),
        callback,
        correlation: envelope.meta.correlation.clone(),
    }]
}
