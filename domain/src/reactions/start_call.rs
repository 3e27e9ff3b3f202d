//! When a run reaches an automatic node, or somebody has it tried again, the desk makes its call.

use std::collections::BTreeMap;

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::{Call, Intent, effect_id};
use crate::views::ticket_card::TicketCard;

/// The permanent name of this consumer; effect ids are made from it.
pub const NAME: &str = "start_call";

/// Asks for the call of the node that was entered or retried.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let (node, attempt, inputs) = match &envelope.event {
        TicketEvent::NodeEntered(entered) if entered.automatic => (entered.node, 1, BTreeMap::default()),
        TicketEvent::NodeRetried(retried) => (retried.node, retried.attempt, retried.inputs.clone()),
        _ => return Vec::new(),
    };
    let (Some(opened), Some(visit)) = (&card.ticket.opened, card.ticket.nodes.get(&node)) else { return Vec::new() };
    // A retry with the same inputs is the same wish, and goes on with what was begun; other inputs make another wish.
    let is_same = inputs.is_empty();
    let wish = format!("{node}/{}/{}", visit.round, if is_same { 0 } else { attempt });
    let call = Call {
        ticket: opened.sn.clone(),
        node,
        name: visit.name.clone(),
        round: visit.round,
        attempt,
        cause: envelope.id(),
        key: effect_id(NAME, opened.sn.as_str(), &wish),
        inputs,
        task: if is_same { visit.task.clone() } else { String::new() },
        correlation: envelope.meta.correlation.clone(),
    };
    vec![Intent::Call(Box::new(call))]
}
