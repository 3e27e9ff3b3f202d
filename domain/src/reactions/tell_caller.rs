//! When a ticket ends, the application that asked for it is called back (reference/bk-itsm.md 10); where it wants to know, also when the status changes.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The permanent name of this consumer; effect ids are made from it.
pub const NAME: &str = "tell_caller";

/// Asks for a callback, where its creator named a receiver.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let Some((opened, callback)) = card.ticket.opened.as_ref().and_then(|opened| Some((opened, opened.callback.clone()?))) else { return Vec::new() };
    let changes = matches!(envelope.event, TicketEvent::Suspended(_) | TicketEvent::Resumed(_) | TicketEvent::StatusSet(_));
    let status = if envelope.event.ends() {
        None
    } else if changes && callback.on_status {
        Some(card.ticket.status_key().to_owned())
    } else {
        return Vec::new();
    };
    vec![Intent::Deliver {
        ticket: opened.sn.clone(),
        cause: envelope.id(),
        app: card.app.clone(),
        callback,
        correlation: envelope.meta.correlation.clone(),
        status,
    }]
}
