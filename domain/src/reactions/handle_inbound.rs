//! Requests the processing of an inbound message after it was received.

use events::inbound::InboundEvent;

use crate::envelope::Envelope;
use crate::inbound::Inbound;
use crate::intent::Intent;

/// The name of this reaction. The name must never change, because the ids of the resulting queue
/// messages contain it.
pub const NAME: &str = "handle_inbound";

/// Returns the request to process the message. If the body of the message is unreadable, the list
/// is empty and the message is only stored.
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
