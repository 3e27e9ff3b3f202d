//! Requests that the notifications of a message store that the message came back after its acceptance, or that its
//! recipient does not want it.

use events::delivery::DeliveryEvent;

use crate::envelope::Envelope;
use crate::intent::{Intent, ReportBounce};
use crate::notification::delivery::Delivery;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "report_bounce";

/// Returns one intent (a request for work) for each notification in the message. The list is empty for any other event,
/// and for a delivery that failed: its notifications already know this.
pub fn react(envelope: &Envelope<DeliveryEvent>, card: &Delivery) -> Vec<Intent> {
    let (DeliveryEvent::Bounced(bounced), Some(requested)) = (&envelope.event, &card.requested)
    else {
        return Vec::new();
    };
    let notifications = requested.notifications();
    notifications
        .map(|notification| {
            Intent::ReportBounce(Box::new(ReportBounce {
                notification: notification.to_owned(),
                account: requested.account.clone(),
                delivery: envelope.stream.clone(),
                bounced: bounced.clone(),
                at: envelope.happened_at(),
                cause: envelope.id(),
                correlation: envelope.meta.correlation.clone(),
            }))
        })
        .collect()
}
