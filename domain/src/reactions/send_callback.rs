//! Requests a callback when a ticket ends (reference/bk-itsm.md, section 10). A callback is an HTTP request
//! that reports the status of the ticket to a receiver. The ticket defines the receiver. For some client
//! apps, each change of the ticket status also causes a callback.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "send_callback";

/// Returns a list with one intent (a request for work): the desk must send a callback to the receiver that
/// the ticket defines. The list is empty if the ticket defines no receiver, or if the event causes no
/// callback.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let Some((opened, callback)) = card
        .ticket
        .opened
        .as_ref()
        .and_then(|opened| Some((opened, opened.callback.clone()?)))
    else {
        return Vec::new();
    };
    // The callback reports the status that the ticket has at the time at which the desk sends the callback.
    // Even if two callbacks arrive in the wrong order, each callback therefore reports the newest status.
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
