//! Requests that the sent messages of an outdated notification are updated.

use events::Moment;
use events::notification::{DeliveryEnded, NotificationEvent, Outdated};

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::notification::Notification;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "update_messages";

/// Returns one intent (a request for work) for each message that a provider has accepted, when the notification becomes
/// outdated. If a provider accepts a message of an outdated notification later, returns an intent for this message.
pub fn react(envelope: &Envelope<NotificationEvent>, card: &Notification) -> Vec<Intent> {
    let update = |outdated: &Outdated, ended: &DeliveryEnded, at: Moment| {
        let mut routes = card.routed.iter().flat_map(|routed| &routed.routes);
        let route = routes.find(|route| route.account == ended.account)?;
        // A digest lists several notifications, so its message stays as it is.
        let is_own = ended.is_accepted && route.mode.is_immediate();
        is_own.then(|| Intent::UpdateMessage {
            delivery: ended.delivery.clone(),
            channel: route.channel.clone(),
            to: outdated.to,
            by: outdated.by.clone(),
            at: Some(at),
            cause: envelope.id(),
            correlation: envelope.meta.correlation.clone(),
        })
    };
    match (&envelope.event, &card.outdated) {
        (NotificationEvent::Outdated(outdated), _) => {
            let at = outdated.at.unwrap_or_else(|| envelope.happened_at());
            let ended = card.ended.iter();
            ended
                .filter_map(|ended| update(outdated, ended, at))
                .collect()
        }
        // The message is outdated since the provider accepted it.
        (NotificationEvent::DeliveryEnded(ended), Some(outdated)) => {
            update(outdated, ended, envelope.happened_at())
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}
