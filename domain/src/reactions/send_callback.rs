//! Requests a callback when a ticket ends (reference/bk-itsm.md 10). If the client app registered
//! for status changes, each status change requests a callback too.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The permanent name of this reaction, which is part of its effect ids.
pub const NAME: &str = "send_callback";

/// Returns an intent to send a callback, if the ticket has a receiver and the event requires a
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
    // A callback contains the state of the ticket at the time of the attempt. Two callbacks in the
    // wrong order therefore never report an outdated state.
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
