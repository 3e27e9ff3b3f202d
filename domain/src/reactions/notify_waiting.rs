//! Requests a notification for each person of a reminder.

use events::node_reminder::NodeReminderEvent;
use events::notification::{Fact, Role};

use crate::envelope::Envelope;
use crate::intent::{About, Intent, Notify};
use crate::notification::node_reminder::NodeReminder;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "notify_waiting";

/// Returns one intent (a request for work) for each person of the reminder. For any other event, the list is empty.
pub fn react(envelope: &Envelope<NodeReminderEvent>, card: &NodeReminder) -> Vec<Intent> {
    let (NodeReminderEvent::Reminded(reminded), Some(started)) = (&envelope.event, &card.started)
    else {
        return Vec::new();
    };
    let people = reminded.people.iter();
    people
        .map(|person| {
            Intent::Notify(Box::new(Notify {
                person: person.clone(),
                role: Role::Processor,
                accounts: Vec::new(),
                about: About {
                    fact: Fact::StillWaiting,
                    ticket: started.ticket.clone(),
                    node: Some(started.node),
                    name: started.name.clone(),
                    round: started.round,
                    at: envelope.happened_at(),
                    cause: envelope.id(),
                    correlation: envelope.meta.correlation.clone(),
                },
            }))
        })
        .collect()
}
