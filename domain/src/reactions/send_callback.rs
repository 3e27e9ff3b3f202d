//! Requests a callback when a ticket ends (reference/bk-itsm.md 10). A callback is an HTTP request to the
//! receiver that the ticket defines. For some client apps, the reaction also requests a callback for each
//! change of the ticket status.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction. The ids of queue messages contain this name, so the name must never change.
pub const NAME: &str = "send_callback";

/// Returns a list with one request: the desk must send a callback to the receiver of the ticket. The list is
/// empty if the ticket has no receiver, or if the event needs no callback.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let Some((opened, callback)) = card
        .ticket
        .opened
        .as_ref()
        .and_then(|opened| Some((opened, opened.callback.clone()?)))
    else {
        return Vec::new();
    };
    // A callback contains the state that the ticket has when the callback is sent. Even if two callbacks
    // arrive in the wrong order, neither of them reports an old state.
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
