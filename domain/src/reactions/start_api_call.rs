//! When a run reaches an automatic node, or somebody has it tried again, the desk makes its call.

use std::collections::BTreeMap;

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::{Intent, StartApiCall, effect_id};
use crate::views::ticket_card::TicketCard;

/// The permanent name of this consumer; effect ids are made from it.
pub const NAME: &str = "start_api_call";

/// Asks for the call of the node that was entered or retried.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let (node, attempt, inputs) = match &envelope.event {
        TicketEvent::NodeEntered(entered) if entered.automatic => {
            (entered.node, 1, BTreeMap::default())
        }
        TicketEvent::NodeRetried(retried) => {
            (retried.node, retried.attempt, retried.inputs.clone())
        }
        _ => return Vec::new(),
    };
    let (Some(opened), Some(node_run)) = (&card.ticket.opened, card.ticket.nodes.get(&node)) else {
        return Vec::new();
    };
    // A retry with the same inputs is the same command_envelope, and goes on with what was begun; other inputs make another command_envelope.
    let is_same = inputs.is_empty();
    let command_envelope = format!(
        "{node}/{}/{}",
        node_run.round,
        if is_same { 0 } else { attempt }
    );
    let call = StartApiCall {
        ticket: opened.sn.clone(),
        node,
        name: node_run.name.clone(),
        round: node_run.round,
        attempt,
        cause: envelope.id(),
        key: effect_id(NAME, opened.sn.as_str(), &command_envelope),
        inputs,
        task: if is_same {
            node_run.task.clone()
        } else {
            String::new()
        },
        correlation: envelope.meta.correlation.clone(),
    };
    vec![Intent::StartApiCall(Box::new(call))]
}
