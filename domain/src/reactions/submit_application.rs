//! Requests an application when a ticket enters a node that needs an application. An application is a request
//! for approval in an external ITSM. If the work of a node failed, a person can repeat this work. This
//! reaction then requests another application.

use events::ticket::TicketEvent;
use events::workflow::service_task::Executor;

use super::started;
use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "submit_application";

/// Returns a list with one intent (a request for work): the desk must submit an application (a request for
/// approval in an external ITSM). The list is empty if the event does not start or repeat the work of a node
/// that needs an application.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    started(envelope, card, Executor::Application)
        .map(|start| Intent::SubmitApplication(Box::new(start)))
        .into_iter()
        .collect()
}
