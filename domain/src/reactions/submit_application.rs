//! Requests an application (a request for approval in an external ITSM). The request follows when a
//! ticket enters an automatic node of this kind, or when a person retries the node.

use std::collections::BTreeMap;

use events::ticket::TicketEvent;
use events::workflow::service_task::Executor;

use crate::envelope::Envelope;
use crate::intent::{Intent, SubmitApplication};
use crate::views::ticket_card::TicketCard;

/// The name of this reaction. The name must never change, because the ids of the resulting queue
/// messages contain it.
pub const NAME: &str = "submit_application";

/// Returns the request for an application. The list is empty if the event neither enters nor
/// retries an automatic node of this kind.
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
