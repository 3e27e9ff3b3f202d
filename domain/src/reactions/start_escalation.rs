//! Requests an escalation when a ticket enters a node that waits for people, and for each such node when a suspended
//! ticket is resumed or the priority of the ticket changes. An escalation notifies people step by step until a person
//! acknowledges the ticket.

use events::NodeId;
use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::{Intent, StartEscalation};
use crate::ticket::NodeRun;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "start_escalation";

/// Returns one intent (a request for work) for each node whose escalation can start. The desk then reads from the
/// notification policy whether the ticket priority has an escalation chain.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let Some(opened) = &card.ticket.opened else {
        return Vec::new();
    };
    let nodes: Vec<(NodeId, &NodeRun)> = match &envelope.event {
        TicketEvent::NodeEntered(entered) if !entered.automatic => {
            let node_run = card.ticket.nodes.get(&entered.node);
            node_run
                .map(|run| (entered.node, run))
                .into_iter()
                .collect()
        }
        TicketEvent::Resumed(_) | TicketEvent::PriorityChanged(_) => {
            let nodes = card.ticket.nodes.iter();
            let waits =
                |run: &NodeRun| run.is_current() && !run.automatic && run.acknowledged.is_none();
            nodes
                .filter(|(_, run)| waits(run))
                .map(|(node, run)| (*node, run))
                .collect()
        }
        _ => Vec::new(),
    };
    let is_priority_change = matches!(envelope.event, TicketEvent::PriorityChanged(_));
    let intent = |(node, run): (NodeId, &NodeRun)| {
        Intent::StartEscalation(Box::new(StartEscalation {
            ticket: opened.sn.clone(),
            node,
            name: run.name.clone(),
            round: run.round,
            is_priority_change,
            at: envelope.happened_at(),
            cause: envelope.id(),
            correlation: envelope.meta.correlation.clone(),
        }))
    };
    nodes.into_iter().map(intent).collect()
}
