//! Requests the work of a robot. The request follows when a ticket enters an automatic node with a
//! mission, or when a person retries the node.

use events::ticket::TicketEvent;
use events::workflow::service_task::Executor;

use super::started;
use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction. The name must never change, because the ids of the resulting queue
/// messages contain it.
pub const NAME: &str = "start_dispatch";

/// Returns the request for a mission. The list is empty if the event neither enters nor retries an
/// automatic node with a mission.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    started(envelope, card, Executor::Dispatch)
        .map(|start| Intent::StartDispatch(Box::new(start)))
        .into_iter()
        .collect()
}
