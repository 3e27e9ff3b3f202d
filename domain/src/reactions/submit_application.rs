//! Requests an application when the workflow run enters an automatic node whose service task is an
//! application, or when a person retries such a node.

use std::collections::BTreeMap;

use events::ticket::TicketEvent;
use events::workflow::service_task::Executor;

use crate::envelope::Envelope;
use crate::intent::{Intent, SubmitApplication};
use crate::views::ticket_card::TicketCard;

/// The permanent name of this reaction, which is part of its effect ids.
pub const NAME: &str = "submit_application";

/// Returns an intent to request the application, if the event enters or retries the node of an
/// application.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let (node, attempt, inputs) = match &envelope.event {
        TicketEvent::NodeEntered(entered) if entered.automatic => {
            (entered.node, 1, BTreeMap::new())
        }
        TicketEvent::NodeRetried(retried) => {
            (retried.node, retried.attempt, retried.inputs.clone())
        }
        _ => return Vec::new(),
    };
    let (Some(opened), Some(node_run)) = (&card.ticket.opened, card.ticket.nodes.get(&node)) else {
        return Vec::new();
    };
    if node_run.executor != Executor::Application {
        return Vec::new();
    }
    vec![Intent::SubmitApplication(Box::new(SubmitApplication {
        ticket: opened.sn.clone(),
        node,
        name: node_run.name.clone(),
        round: node_run.round,
        attempt,
        inputs,
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}
