//! Requests the work of a robot (a mission) for an automatic node. The reaction does this when a ticket
//! enters the node, and when a person repeats the work of a failed node.

use events::ticket::TicketEvent;
use events::workflow::service_task::Executor;

use super::started;
use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction. The ids of queue messages contain this name, so the name must never change.
pub const NAME: &str = "start_dispatch";

/// Returns the request for a mission. Returns an empty list if the event does not start or repeat the work
/// of a node with a mission.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    started(envelope, card, Executor::Dispatch)
        .map(|start| Intent::StartDispatch(Box::new(start)))
        .into_iter()
        .collect()
}
