//! Requests an application (a request for approval in an external ITSM) for an automatic node. The reaction
//! does this when a ticket enters the node, and when a person repeats the work of a failed node.

use events::ticket::TicketEvent;
use events::workflow::service_task::Executor;

use super::started;
use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction. The ids of queue messages contain this name, so the name must never change.
pub const NAME: &str = "submit_application";

/// Returns the request for an application. Returns an empty list if the event does not start or repeat the
/// work of a node with an application.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    started(envelope, card, Executor::Application)
        .map(|start| Intent::SubmitApplication(Box::new(start)))
        .into_iter()
        .collect()
}
