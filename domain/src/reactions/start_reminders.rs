//! Requests reminders when a ticket enters a node that waits for people. The desk then reads from the workflow whether
//! it repeats reminders.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::{Intent, StartReminders};
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "start_reminders";

/// Returns a list with one intent (a request for work) if the ticket enters a node at which people act. For any other
/// event, the list is empty.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let (TicketEvent::NodeEntered(entered), Some(opened)) = (&envelope.event, &card.ticket.opened)
    else {
        return Vec::new();
    };
    if entered.automatic {
        return Vec::new();
    }
    vec![Intent::StartReminders(Box::new(StartReminders {
        ticket: opened.sn.clone(),
        workflow: opened.workflow,
        version: opened.workflow_version,
        node: entered.node,
        name: entered.name.clone(),
        round: entered.round,
        at: envelope.happened_at(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}
