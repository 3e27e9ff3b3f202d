//! Requests a notification for the operators of the desk when the last attempt of a callback failed.

use events::callback::CallbackEvent;
use events::notification::Fact;

use crate::envelope::Envelope;
use crate::intent::{About, Intent};
use crate::views::callback_card::CallbackCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "notify_operators";

/// Returns a list with one intent (a request for work) after the last attempt of a callback failed. Otherwise, the list is
/// empty.
pub fn react(envelope: &Envelope<CallbackEvent>, card: &CallbackCard) -> Vec<Intent> {
    let (CallbackEvent::Failed(_), Some(requested)) = (&envelope.event, card.requested()) else {
        return Vec::new();
    };
    vec![Intent::NotifyOperators(Box::new(About {
        fact: Fact::CallbackFailed,
        ticket: requested.ticket.clone(),
        node: None,
        name: String::new(),
        round: 0,
        at: envelope.happened_at(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}
