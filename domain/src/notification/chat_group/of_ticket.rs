//! Decides from a ticket whether it gets a chat group, who belongs to the group, and which of its events the group gets as
//! messages.

use events::notification::Fact;
use events::notification_policy::ChatGroups;
use events::ticket::TicketEvent;
use events::{CategoryId, PersonId};

use crate::ticket::Ticket;

/// Returns the people of a ticket in the order in which a group takes them: the people at its current nodes, the person who
/// created it, the person who submitted it, and the followers. Each person is in the list once.
pub fn people(ticket: &Ticket) -> Vec<PersonId> {
    let current = ticket.current().filter(|(_, run)| !run.automatic);
    let processors = current.flat_map(|(_, run)| &run.processors);
    let opened = ticket.opened.iter();
    let requesters = opened.flat_map(|opened| [Some(&opened.creator), opened.agent.as_ref()]);
    let all = processors
        .chain(requesters.flatten())
        .chain(&ticket.followers);
    let mut people: Vec<PersonId> = Vec::new();
    for person in all {
        if !person.is_system() && !people.contains(person) {
            people.push(person.clone());
        }
    }
    people
}

/// Returns true if the policy requires a group for the ticket. `categories` are the nodes of the service catalog in the
/// policy, with all nodes below them.
pub fn is_required(rules: &ChatGroups, ticket: &Ticket, categories: &[CategoryId]) -> bool {
    let priority = ticket.priority().map(|priority| &priority.key);
    let has_priority = priority.is_some_and(|key| rules.priorities.contains(key));
    let opened = ticket.opened.as_ref();
    let has_category = opened.is_some_and(|opened| categories.contains(&opened.catalog));
    !ticket.status.is_over() && (has_priority || has_category)
}

/// Returns true if the texts of the ticket are confidential. Messages about it and its group then show only its number.
pub fn is_confidential(ticket: &Ticket) -> bool {
    ticket
        .opened
        .as_ref()
        .is_some_and(|opened| opened.seals_text)
}

/// Returns the fact about which the group gets a message because of an event. An internal remark stays inside the desk,
/// because the creator of the ticket is a member of the group.
pub fn announced(event: &TicketEvent) -> Option<Fact> {
    match event {
        TicketEvent::NodeEntered(entered) if !entered.automatic => Some(Fact::Progressed),
        TicketEvent::Escalated(_) => Some(Fact::Escalated),
        TicketEvent::Suspended(_) => Some(Fact::Suspended),
        TicketEvent::Resumed(_) => Some(Fact::Resumed),
        TicketEvent::FieldsChanged(_) | TicketEvent::PriorityChanged(_) => Some(Fact::Changed),
        TicketEvent::RemarkAdded(remark) if !remark.internal => Some(Fact::Commented),
        TicketEvent::NodeFailed(_) => Some(Fact::NodeFailed),
        TicketEvent::Finished(_) | TicketEvent::Closed(_) => Some(Fact::Finished),
        TicketEvent::Terminated(_) => Some(Fact::Terminated),
        _ => None,
    }
}

/// Returns true if an event can change the people or the name of the group, apart from the events of [`announced`].
pub fn changes_group(event: &TicketEvent) -> bool {
    matches!(
        event,
        TicketEvent::NodeClaimed(_)
            | TicketEvent::NodeAssigned(_)
            | TicketEvent::NodeTransferred(_)
            | TicketEvent::NodeReassigned(_)
            | TicketEvent::NodeCompleted(_)
            | TicketEvent::NodeSkipped(_)
            | TicketEvent::FollowersChanged(_)
    )
}
