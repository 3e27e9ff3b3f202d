//! Requests a notification for each person whom an event of a ticket concerns although no node starts to wait for this
//! person: the requester, followers, mentioned people, and the operators of the desk.

use events::ticket::TicketEvent;

use super::notified;
use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::notification::recipients::interested;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "notify_interested";

/// Returns one intent (a request for work) for each person who gets a notification, and one for the operators. A person
/// who caused the event gets no notification about this event.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let audience = interested(&envelope.event, &card.ticket);
    notified(envelope, &card.ticket, audience)
}
