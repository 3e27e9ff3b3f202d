//! Requests that the address of a person is not used any more after a provider reported that it is wrong.

use events::delivery::{DeliveryEvent, FailureClass};

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::notification::delivery::Delivery;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "suppress_address";

/// Returns a list with one intent (a request for work) if the delivery failed because of the address. Otherwise, the list is
/// empty. A delivery without a code of the provider did not send anything, for example because the person was erased.
pub fn react(envelope: &Envelope<DeliveryEvent>, card: &Delivery) -> Vec<Intent> {
    let (DeliveryEvent::Failed(failed), Some(requested)) = (&envelope.event, &card.requested)
    else {
        return Vec::new();
    };
    if failed.class != FailureClass::RecipientInvalid || failed.code.is_empty() {
        return Vec::new();
    }
    vec![Intent::SuppressAddress {
        delivery: envelope.stream.clone(),
        person: requested.person.clone(),
        code: failed.code.clone(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }]
}
