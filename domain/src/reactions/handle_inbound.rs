//! Requests that the desk processes an inbound message. An inbound message is a message that another system
//! sent to the desk.

use events::inbound::InboundEvent;

use crate::envelope::Envelope;
use crate::inbound::Inbound;
use crate::intent::Intent;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "handle_inbound";

/// Returns a list with one intent (a request for work): the desk must process the inbound message. The list
/// is empty if the desk could not read the body of the message. Such a message is only stored.
pub fn react(envelope: &Envelope<InboundEvent>, _card: &Inbound) -> Vec<Intent> {
    let InboundEvent::Received(received) = &envelope.event;
    if !received.problem.is_empty() {
        return Vec::new();
    }
    vec![Intent::HandleInbound {
        inbound: envelope.stream.clone(),
        subject: received.subject.clone(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }]
}
