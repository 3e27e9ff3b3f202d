//! Requests a check of the running escalations of a ticket after each event that can end one of them. An escalation
//! notifies people step by step until a person acknowledges the ticket.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "check_escalations";

/// Returns a list with one intent (a request for work) if the event can end an escalation: a node is acknowledged, claimed or left,
/// the priority of the ticket changes, or the ticket is suspended or ends. For any other event, the list is empty.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let Some(opened) = &card.ticket.opened else {
        return Vec::new();
    };
    let is_claim =
        matches!(&envelope.event, TicketEvent::NodeClaimed(claimed) if !claimed.automatic);
    let may_end = is_claim
        || envelope.event.ends()
        || matches!(
            envelope.event,
            TicketEvent::Acknowledged(_)
                | TicketEvent::NodeCompleted(_)
                | TicketEvent::NodeSkipped(_)
                | TicketEvent::PriorityChanged(_)
                | TicketEvent::Suspended(_)
        );
    if !may_end {
        return Vec::new();
    }
    vec![Intent::CheckEscalations {
        ticket: opened.sn.clone(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }]
}
