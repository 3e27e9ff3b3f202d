//! Requests the messages of a digest: the notification that is sent at once, and the message that lists the collected
//! notifications. Also reports notifications that are not sent.

use events::digest::DigestEvent;
use events::notification::DeliveryEnded;

use crate::envelope::Envelope;
use crate::intent::{Intent, SendDigest};
use crate::notification::digest::Digest;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "start_digest_deliveries";

/// Returns the intents (requests for work) that follow from an event of a digest.
pub fn react(envelope: &Envelope<DigestEvent>, _card: &Digest) -> Vec<Intent> {
    let correlation = || envelope.meta.correlation.clone();
    match &envelope.event {
        DigestEvent::Passed(passed) => vec![Intent::StartDelivery {
            notification: passed.item.notification.clone(),
            account: passed.account.clone(),
            cause: envelope.id(),
            correlation: correlation(),
        }],
        DigestEvent::Flushed(flushed) => vec![Intent::SendDigest(Box::new(SendDigest {
            digest: envelope.stream.clone(),
            flushed: flushed.clone(),
            cause: envelope.id(),
            correlation: correlation(),
        }))],
        DigestEvent::ItemsDropped(dropped) => {
            let notifications = dropped.notifications.iter();
            notifications
                .map(|notification| Intent::EndDelivery {
                    notification: notification.clone(),
                    ended: DeliveryEnded {
                        account: dropped.account.clone(),
                        delivery: envelope.stream.clone(),
                        is_accepted: false,
                        class: None,
                        code: String::new(),
                        reason: dropped.reason.clone(),
                        is_dropped: true,
                    },
                    cause: envelope.id(),
                    correlation: correlation(),
                })
                .collect()
        }
        DigestEvent::Added(_) | DigestEvent::Postponed(_) | DigestEvent::Closed(_) => Vec::new(),
    }
}
