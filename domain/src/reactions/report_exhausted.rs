//! Requests a notification for the operators of the desk when all steps of an escalation are over and no person has
//! acknowledged the ticket.

use events::escalation::EscalationEvent;
use events::notification::Fact;

use crate::envelope::Envelope;
use crate::intent::{About, Intent};
use crate::notification::escalation::Escalation;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "report_exhausted";

/// Returns a list with one intent (a request for work) if the escalation is exhausted. Otherwise, the list is empty.
pub fn react(envelope: &Envelope<EscalationEvent>, card: &Escalation) -> Vec<Intent> {
    let (EscalationEvent::Exhausted(_), Some(started)) = (&envelope.event, &card.started) else {
        return Vec::new();
    };
    vec![Intent::NotifyOperators(Box::new(About {
        fact: Fact::EscalationExhausted,
        ticket: started.ticket.clone(),
        node: Some(started.node),
        name: started.name.clone(),
        round: started.round,
        at: envelope.happened_at(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}
