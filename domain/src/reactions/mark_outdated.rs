//! Requests that the notifications about a node or a ticket are marked as outdated after an event with which a person
//! did their work. The messages about them then show who acted, and no outdated buttons.

use events::NodeId;
use events::notification::Progress;
use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::{Intent, MarkOutdated};
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "mark_outdated";

/// Returns a list with one intent (a request for work) if a person acknowledges, claims or leaves a node, if a person
/// votes, or if the ticket ends. A vote makes only the notifications of the voter outdated. For any other event, the
/// list is empty.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let Some(opened) = &card.ticket.opened else {
        return Vec::new();
    };
    let current = |node: NodeId| {
        let node_run = card.ticket.nodes.get(&node);
        Some((node, node_run.map_or(0, |node_run| node_run.round)))
    };
    let (node, person, to, by) = match &envelope.event {
        TicketEvent::Acknowledged(acknowledged) => {
            let by = &acknowledged.by;
            (current(acknowledged.node), None, Progress::Acknowledged, by)
        }
        TicketEvent::NodeClaimed(claimed) if !claimed.automatic => {
            let by = &claimed.by;
            (current(claimed.node), None, Progress::Acknowledged, by)
        }
        TicketEvent::VoteCast(vote) if !vote.automatic => {
            let voter = Some(vote.by.clone());
            (current(vote.node), voter, Progress::Done, &vote.by)
        }
        TicketEvent::NodeCompleted(completed) => {
            let node = Some((completed.node, completed.round));
            (node, None, Progress::Done, &completed.by)
        }
        TicketEvent::NodeSkipped(skipped) => {
            let node = Some((skipped.node, skipped.round));
            (node, None, Progress::Done, &skipped.by)
        }
        event if event.ends() => (None, None, Progress::Ended, &envelope.meta.actor),
        _ => return Vec::new(),
    };
    vec![Intent::MarkOutdated(Box::new(MarkOutdated {
        ticket: opened.sn.clone(),
        node,
        person,
        to,
        by: Some(by.clone()).filter(|by| !by.is_system()),
        at: Some(envelope.happened_at()),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}
