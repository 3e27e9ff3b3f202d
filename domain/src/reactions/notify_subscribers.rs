//! Requests the notifications of managers who subscribe to tickets. The notification policy contains the subscriptions
//! with their conditions.

use events::notification::Fact;
use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::{About, Intent, NotifySubscribers};
use crate::notification::subscription::{excluded, occasion};
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "notify_subscribers";

/// Returns a list with one intent (a request for work) if subscriptions can concern the event. Otherwise, the list is
/// empty.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let (Some(occasion), Some(opened)) = (occasion(&envelope.event), &card.ticket.opened) else {
        return Vec::new();
    };
    let node = match &envelope.event {
        TicketEvent::NodeEntered(entered) => Some(entered.node),
        _ => None,
    };
    vec![Intent::NotifySubscribers(Box::new(NotifySubscribers {
        occasion,
        excluded: excluded(&envelope.event, &card.ticket, &envelope.meta.actor),
        about: About {
            fact: Fact::Subscribed,
            ticket: opened.sn.clone(),
            node,
            name: String::new(),
            round: 0,
            at: envelope.happened_at(),
            cause: envelope.id(),
            correlation: envelope.meta.correlation.clone(),
        },
    }))]
}
