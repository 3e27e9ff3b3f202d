//! Requests an application (a request for approval in an external ITSM). The request follows when a
//! ticket enters an automatic node of this kind, or when a person retries the node.

use events::ticket::TicketEvent;
use events::workflow::service_task::Executor;

use super::started;
use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction. The name must never change, because the ids of the resulting queue
/// messages contain it.
pub const NAME: &str = "submit_application";

/// Returns the request for an application. The list is empty if the event neither enters nor
/// retries an automatic node of this kind.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    started(envelope, card, Executor::Application)
        .map(|start| Intent::SubmitApplication(Box::new(start)))
        .into_iter()
        .collect()
}
