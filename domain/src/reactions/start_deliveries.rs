//! Requests one delivery for each channel account that the desk chose for a notification. A delivery sends one
//! message through one channel account (a configured sender, such as a mail relay).

use events::notification::NotificationEvent;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::notification::Notification;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "start_deliveries";

/// Returns one intent (a request for work) for each channel account that the event `Routed` lists. A channel
/// account is a configured sender of messages. For any other event, the list is empty.
pub fn react(envelope: &Envelope<NotificationEvent>, _card: &Notification) -> Vec<Intent> {
    let NotificationEvent::Routed(routed) = &envelope.event else {
        return Vec::new();
    };
    let routes = routed.routes.iter();
    routes
        .map(|route| Intent::StartDelivery {
            notification: envelope.stream.clone(),
            account: route.account.clone(),
            cause: envelope.id(),
            correlation: envelope.meta.correlation.clone(),
        })
        .collect()
}
