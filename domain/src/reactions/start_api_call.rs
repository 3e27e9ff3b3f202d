//! Requests an API call when a ticket enters an automatic node that needs an API call. If the work of a node
//! failed, a person can repeat this work. This reaction then requests another API call.

use std::collections::BTreeMap;

use events::ticket::TicketEvent;
use events::workflow::service_task::Executor;

use crate::envelope::Envelope;
use crate::intent::{Intent, StartApiCall, effect_id};
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "start_api_call";

/// Returns a list with one intent (a request for work): the desk must start an API call. The list is empty
/// if the event does not start or repeat the work of a node that needs an API call.
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
    if node_run.executor != Executor::ApiCall {
        return Vec::new();
    }
    // A person can repeat a failed API call, with or without new inputs. Without new inputs, the call uses the
    // idempotency key of the first call and continues the existing task of BlueKing SOPS (an external system).
    // With new inputs, the call uses a new idempotency key and creates a new task.
    let has_same_inputs = inputs.is_empty();
    let target = format!(
        "{node}/{}/{}",
        node_run.round,
        if has_same_inputs { 0 } else { attempt }
    );
    let call = StartApiCall {
        ticket: opened.sn.clone(),
        node,
        name: node_run.name.clone(),
        round: node_run.round,
        attempt,
        cause: envelope.id(),
        key: effect_id(NAME, opened.sn.as_str(), &target),
        inputs,
        task: if has_same_inputs {
            node_run.task.clone()
        } else {
            String::new()
        },
        correlation: envelope.meta.correlation.clone(),
    };
    vec![Intent::StartApiCall(Box::new(call))]
}
