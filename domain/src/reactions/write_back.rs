//! Requests that the desk writes the status of a ticket back to the record of an external system for which the ticket
//! was opened.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "write_back";

/// Returns one intent (a request for work) if the status of the ticket changed and the tag of the ticket can be the id of
/// a case. The queue checks whether this case exists and is bound to the ticket.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let changes_status = envelope.event.ends()
        || matches!(
            envelope.event,
            TicketEvent::Suspended(_) | TicketEvent::Resumed(_) | TicketEvent::StatusSet(_)
        );
    let Some(opened) = card.ticket.opened.as_ref().filter(|_| changes_status) else {
        return Vec::new();
    };
    let is_id = opened.tag.len() == 32 && opened.tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Vec::new();
    }
    vec![Intent::WriteBack {
        case: format!("case-{}", opened.tag),
        ticket: opened.sn.clone(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }]
}
