//! Decides which events of a ticket concern the subscriptions of the notification policy. A subscription notifies
//! managers of tickets that meet a condition.

use events::PersonId;
use events::notification_policy::Occasion;
use events::ticket::TicketEvent;

use super::recipients::{interested, processors};
use crate::ticket::Ticket;

/// Returns the occasion of an event. Returns `None` if the event concerns no subscription.
pub fn occasion(event: &TicketEvent) -> Option<Occasion> {
    Some(match event {
        TicketEvent::NodeEntered(entered) if !entered.automatic => Occasion::Waiting,
        TicketEvent::PriorityChanged(_) => Occasion::PriorityChanged,
        TicketEvent::FieldsChanged(_) => Occasion::Changed,
        TicketEvent::Escalated(_) => Occasion::Escalated,
        TicketEvent::Suspended(_) => Occasion::Suspended,
        TicketEvent::Resumed(_) => Occasion::Resumed,
        TicketEvent::NodeFailed(_) => Occasion::Failed,
        TicketEvent::Finished(_) | TicketEvent::Closed(_) | TicketEvent::Terminated(_) => {
            Occasion::Ended
        }
        _ => return None,
    })
}

/// Returns the people who get no notification because of a subscription: the person who caused the event, and the
/// people who get another notification about it.
pub fn excluded(event: &TicketEvent, ticket: &Ticket, actor: &PersonId) -> Vec<PersonId> {
    let people = [processors(event, ticket), interested(event, ticket)];
    let people = people.into_iter().flat_map(|audience| audience.people);
    let people = people.map(|one| one.person);
    people.chain([actor.clone()]).collect()
}
