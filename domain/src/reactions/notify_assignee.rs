//! Requests a notification for each person for whom a node starts to wait. A node starts to wait for people
//! when the ticket enters the node, or when the node is assigned or transferred to other people.

use events::notification::Fact;
use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::{Intent, Notify};
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "notify_assignee";

/// Returns one intent (a request for work) for each person who must get a notification. A person who caused
/// the event gets no notification about this event.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let node = match &envelope.event {
        TicketEvent::NodeEntered(entered) if !entered.automatic => entered.node,
        TicketEvent::NodeAssigned(assigned) => assigned.node,
        TicketEvent::NodeTransferred(transferred) => transferred.node,
        TicketEvent::NodeReassigned(reassigned) => reassigned.node,
        _ => return Vec::new(),
    };
    let (Some(opened), Some(node_run)) = (&card.ticket.opened, card.ticket.nodes.get(&node)) else {
        return Vec::new();
    };
    // If every person may process the node, `waiting_for` returns no people, and no person gets a
    // notification.
    let people = node_run.waiting_for().into_iter();
    people
        .filter(|person| *person != envelope.meta.actor && !person.is_system())
        .map(|person| {
            Intent::Notify(Box::new(Notify {
                person,
                fact: if node_run.is_vote {
                    Fact::ApprovalNeeded
                } else {
                    Fact::WorkAssigned
                },
                ticket: opened.sn.clone(),
                node,
                name: node_run.name.clone(),
                round: node_run.round,
                at: envelope.happened_at(),
                cause: envelope.id(),
                correlation: envelope.meta.correlation.clone(),
            }))
        })
        .collect()
}
