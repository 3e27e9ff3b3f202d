//! Requests a notification for the operators of the desk when most of the messages of a channel account fail.

use events::channel_account::ChannelAccountEvent;
use events::notification::Fact;

use crate::config::ChannelAccount;
use crate::envelope::Envelope;
use crate::intent::{About, Intent};

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "report_degraded";

/// Returns a list with one intent (a request for work) if the account became degraded. Otherwise, the list is empty.
pub fn react(envelope: &Envelope<ChannelAccountEvent>, _card: &ChannelAccount) -> Vec<Intent> {
    let ChannelAccountEvent::Degraded(degraded) = &envelope.event else {
        return Vec::new();
    };
    vec![Intent::NotifyOperators(Box::new(About {
        fact: Fact::AccountDegraded,
        ticket: degraded.ticket.clone(),
        node: None,
        name: String::new(),
        round: 0,
        at: envelope.happened_at(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}
