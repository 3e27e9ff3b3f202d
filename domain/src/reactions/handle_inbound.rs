//! Hands a received inbound message to the subsystem of its subject.

use events::inbound::InboundEvent;

use crate::envelope::Envelope;
use crate::inbound::Inbound;
use crate::intent::Intent;

/// The permanent name of this reaction, which is part of its effect ids.
pub const NAME: &str = "handle_inbound";

/// Returns an intent to handle the message. A message with an unreadable body is only kept.
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
