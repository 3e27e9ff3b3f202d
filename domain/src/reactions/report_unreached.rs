//! Requests a notification for the operators of the desk when no channel delivered a message.

use events::notification::{Fact, NotificationEvent};

use crate::envelope::Envelope;
use crate::intent::{About, Intent};
use crate::notification::Notification;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "report_unreached";

/// Returns a list with one intent (a request for work) if the event completes a notification that no channel delivered,
/// see [`Notification::is_unreached`]. Otherwise, the list is empty.
pub fn react(envelope: &Envelope<NotificationEvent>, card: &Notification) -> Vec<Intent> {
    let (NotificationEvent::Completed(_), Some(requested)) = (&envelope.event, &card.requested)
    else {
        return Vec::new();
    };
    if !card.is_unreached() {
        return Vec::new();
    }
    vec![Intent::NotifyOperators(Box::new(About {
        fact: Fact::Unreached,
        ticket: requested.ticket.clone(),
        node: requested.node,
        // The operators need not know the name that a person chose for an own subscription.
        name: requested.name.clone(),
        round: requested.round,
        at: envelope.happened_at(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}
