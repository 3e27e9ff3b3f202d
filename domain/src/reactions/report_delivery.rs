//! Requests that a notification stores the result of a delivery when the delivery ends. A delivery sends one
//! message of a notification to one person.

use events::delivery::DeliveryEvent;
use events::notification::DeliveryEnded;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::notification::delivery::Delivery;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "report_delivery";

/// Returns one intent (a request for work) for each notification in the message: the notification must store the result
/// of the delivery. The list is empty if the event does not end the delivery.
pub fn react(envelope: &Envelope<DeliveryEvent>, card: &Delivery) -> Vec<Intent> {
    let Some(requested) = &card.requested else {
        return Vec::new();
    };
    let (is_accepted, class, code, reason) = match &envelope.event {
        DeliveryEvent::Succeeded(succeeded) => (true, None, succeeded.code.clone(), String::new()),
        DeliveryEvent::Failed(failed) => {
            let (class, code) = (Some(failed.class), failed.code.clone());
            (false, class, code, failed.reason.clone())
        }
        _ => return Vec::new(),
    };
    let ended = DeliveryEnded {
        account: requested.account.clone(),
        delivery: envelope.stream.clone(),
        is_accepted,
        class,
        code,
        reason,
        is_dropped: false,
    };
    let notifications = requested.notifications();
    notifications
        .map(|notification| Intent::EndDelivery {
            notification: notification.to_owned(),
            ended: ended.clone(),
            cause: envelope.id(),
            correlation: envelope.meta.correlation.clone(),
        })
        .collect()
}
