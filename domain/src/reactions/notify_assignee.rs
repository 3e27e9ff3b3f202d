//! Requests a notification for each person for whom a node starts to wait. A node starts to wait for people
//! when the ticket enters the node, or when the node is assigned or transferred to other people.

use events::ticket::TicketEvent;

use super::notified;
use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::notification::recipients::processors;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "notify_assignee";

/// Returns one intent (a request for work) for each person who must get a notification. A person who caused
/// the event gets no notification about this event.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let audience = processors(&envelope.event, &card.ticket);
    notified(envelope, &card.ticket, audience)
}
