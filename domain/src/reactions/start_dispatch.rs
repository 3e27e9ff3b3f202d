//! Requests a mission (the work of a robot) when a ticket enters an automatic node that needs a robot. If the
//! work of a node failed, a person can repeat this work. This reaction then requests another mission.

use events::ticket::TicketEvent;
use events::workflow::service_task::Executor;

use super::started;
use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "start_dispatch";

/// Returns a list with one intent (a request for work): the desk must start a mission (the work of a robot).
/// The list is empty if the event does not start or repeat the work of a node that needs a robot.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    started(envelope, card, Executor::Dispatch)
        .map(|start| Intent::StartDispatch(Box::new(start)))
        .into_iter()
        .collect()
}
