//! Requests the withdrawal of the work that other systems do for a ticket, when the ticket ends. The work of a
//! node can run in another system at that time, for example an application (a request for approval in an external
//! ITSM).

use events::ticket::TicketEvent;
use events::workflow::service_task::Executor;

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "propagate_ticket_state";

/// Returns a list with one intent (a request for work): the desk must withdraw the applications (requests for
/// approval in an external ITSM) of the ticket. The list is empty if the event does not end the ticket, or if the
/// ticket entered no node with an application.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let has_application = || {
        let mut nodes = card.ticket.nodes.values();
        nodes.any(|node_run| node_run.executor == Executor::Application)
    };
    let Some(opened) = &card.ticket.opened else {
        return Vec::new();
    };
    if !envelope.event.ends() || !has_application() {
        return Vec::new();
    }
    let reason = match &envelope.event {
        TicketEvent::Withdrawn(_) => "the ticket was withdrawn",
        TicketEvent::Terminated(_) => "the ticket was terminated",
        _ => "the ticket has ended",
    };
    vec![Intent::WithdrawApplications {
        ticket: opened.sn.clone(),
        reason: reason.to_owned(),
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }]
}
