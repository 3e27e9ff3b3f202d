//! Requests one delivery for each channel account that the desk chose for a notification. A delivery sends one
//! message through one channel account (a configured sender, such as a mail relay). If a digest collects the
//! notification, the digest sends the message instead.

use events::digest::Item;
use events::notification::{Mode, NotificationEvent};
use events::preference::Band;

use crate::envelope::Envelope;
use crate::intent::{AddToDigest, Intent};
use crate::notification::Notification;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "start_deliveries";

/// Returns one intent (a request for work) for each channel account that the event `Routed` or `FallbackStarted` lists. A
/// channel account is a configured sender of messages. For any other event, the list is empty.
pub fn react(envelope: &Envelope<NotificationEvent>, card: &Notification) -> Vec<Intent> {
    let routed = match &envelope.event {
        NotificationEvent::Routed(routed) => routed,
        NotificationEvent::FallbackStarted(started) => {
            return vec![Intent::StartDelivery {
                notification: envelope.stream.clone(),
                account: started.account.clone(),
                cause: envelope.id(),
                correlation: envelope.meta.correlation.clone(),
            }];
        }
        _ => return Vec::new(),
    };
    let routes = routed.routes.iter();
    // The policy can name a priority key as critical and give it another band.
    let is_critical = card.requested.as_ref().is_some_and(|one| one.is_critical)
        || routed
            .priority
            .is_some_and(|computed| computed.band == Band::Critical);
    routes
        .filter_map(|route| match &route.mode {
            Mode::Immediate => Some(Intent::StartDelivery {
                notification: envelope.stream.clone(),
                account: route.account.clone(),
                cause: envelope.id(),
                correlation: envelope.meta.correlation.clone(),
            }),
            Mode::Digest { digest, due, waits } => {
                let requested = card.requested.as_ref()?;
                Some(Intent::AddToDigest(Box::new(AddToDigest {
                    digest: digest.clone(),
                    person: requested.person.clone(),
                    account: route.account.clone(),
                    item: Item {
                        notification: envelope.stream.clone(),
                        ticket: requested.ticket.clone(),
                        fact: requested.fact,
                        at: requested.at,
                        expires: routed.expires,
                    },
                    due: *due,
                    waits: *waits,
                    is_critical,
                    cause: envelope.id(),
                    correlation: envelope.meta.correlation.clone(),
                })))
            }
        })
        .collect()
}
