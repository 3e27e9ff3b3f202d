//! Requests that the address of a person is not used any more after a provider reported that it is wrong.

use events::delivery::{BounceKind, DeliveryEvent, FailureClass};

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::notification::delivery::Delivery;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "suppress_address";

/// The code of an address that is suppressed because its owner marked a message as unwanted.
const COMPLAINT: &str = "complaint";

/// Returns a list with one intent (a request for work) if the delivery failed because of the address, if a later
/// report names the address as wrong, or if the recipient marked the message as unwanted. Otherwise, the list is
/// empty. A delivery without a code of the provider did not send anything, for example because the person was erased.
pub fn react(envelope: &Envelope<DeliveryEvent>, card: &Delivery) -> Vec<Intent> {
    let Some(requested) = &card.requested else {
        return Vec::new();
    };
    let (class, code) = match &envelope.event {
        DeliveryEvent::Failed(failed) => (failed.class, failed.code.as_str()),
        DeliveryEvent::Bounced(bounced) if bounced.kind == BounceKind::Complaint => {
            (FailureClass::RecipientInvalid, COMPLAINT)
        }
        DeliveryEvent::Bounced(bounced) => (bounced.class, bounced.code.as_str()),
        _ => return Vec::new(),
    };
    if class != FailureClass::RecipientInvalid || code.is_empty() {
        return Vec::new();
    }
    vec![Intent::SuppressAddress {
        delivery: envelope.stream.clone(),
        person: requested.person.clone(),
        code: code.to_owned(),
        at: Some(envelope.happened_at()),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }]
}
