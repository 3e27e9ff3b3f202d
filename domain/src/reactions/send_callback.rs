//! Requests a callback to the receiver of a ticket when the ticket ends (reference/bk-itsm.md 10).
//! If the client app wants status changes, each change of the status also leads to a callback.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction. The name must never change, because the ids of the resulting queue
/// messages contain it.
pub const NAME: &str = "send_callback";

/// Returns the request for a callback. The list is empty if the ticket has no receiver, or if the
/// event needs no callback.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let Some((opened, callback)) = card
        .ticket
        .opened
        .as_ref()
        .and_then(|opened| Some((opened, opened.callback.clone()?)))
    else {
        return Vec::new();
    };
    // The callback contains the state of the ticket at the time of the request. Even if two
    // callbacks arrive in the wrong order, no callback contains an old state.
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
