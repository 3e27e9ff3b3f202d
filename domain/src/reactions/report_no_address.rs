//! Requests a notification for the operators of the desk when a person has no address for any message.

use events::notification::{Fact, NotificationEvent};

use crate::envelope::Envelope;
use crate::intent::{About, Intent};
use crate::notification::Notification;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "report_no_address";

/// Returns a list with one intent (a request for work) if the event completes a notification whose recipient has no
/// address that works. Otherwise, the list is empty. The worker makes one report for each person.
pub fn react(envelope: &Envelope<NotificationEvent>, card: &Notification) -> Vec<Intent> {
    let (NotificationEvent::Completed(_), Some(requested)) = (&envelope.event, &card.requested)
    else {
        return Vec::new();
    };
    if !card.lacks_address() {
        return Vec::new();
    }
    vec![Intent::NotifyOperators(Box::new(About {
        fact: Fact::AddressMissing,
        ticket: requested.ticket.clone(),
        node: requested.node,
        name: requested.name.clone(),
        round: requested.round,
        at: envelope.happened_at(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}
