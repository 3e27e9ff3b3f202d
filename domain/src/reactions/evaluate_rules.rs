//! Requests that the desk searches for an automation rule when a ticket enters a node at which people act. A
//! node at which people vote never gets a rule, because the desk must not vote.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::{EvaluateRules, Intent};
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages contain
/// this name, so the name must never change.
pub const NAME: &str = "evaluate_rules";

/// Returns a list with one intent (a request for work): the desk must search for an automation rule for the
/// node. The list is empty if the event does not enter a node at which people act.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let TicketEvent::NodeEntered(entered) = &envelope.event else {
        return Vec::new();
    };
    let (Some(opened), Some(node_run)) =
        (&card.ticket.opened, card.ticket.nodes.get(&entered.node))
    else {
        return Vec::new();
    };
    if entered.automatic || node_run.is_vote || !node_run.is_current() {
        return Vec::new();
    }
    vec![Intent::EvaluateRules(Box::new(EvaluateRules {
        ticket: opened.sn.clone(),
        node: entered.node,
        name: node_run.name.clone(),
        round: node_run.round,
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }))]
}
