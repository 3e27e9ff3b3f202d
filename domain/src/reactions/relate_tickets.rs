//! Requests further work for tickets that are linked to each other. If a link is added to a ticket or removed
//! from a ticket, the linked ticket must store the same change. If a parent ticket ends, its child tickets
//! must end too.

use events::ticket::{Relation, TicketEvent};

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "relate_tickets";

/// Returns one intent (a request for work) for each linked ticket that must change. If the event adds or
/// removes a link, the linked ticket must add or remove this link too. If the event ends the ticket, each of
/// its child tickets must end too. For any other event, the list is empty.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let Some(opened) = &card.ticket.opened else {
        return Vec::new();
    };
    let relate = |other: &events::TicketSn, relation: Relation, linked, by: &events::PersonId| {
        Intent::RelateTicket {
            ticket: other.clone(),
            with: opened.sn.clone(),
            relation: relation.inverse(),
            linked,
            by: by.clone(),
            cause: envelope.id(),
            correlation: envelope.meta.correlation.clone(),
        }
    };
    match &envelope.event {
        TicketEvent::Linked(linked) => {
            vec![relate(&linked.other, linked.relation, true, &linked.by)]
        }
        TicketEvent::Unlinked(unlinked) => vec![relate(
            &unlinked.other,
            unlinked.relation,
            false,
            &unlinked.by,
        )],
        event if event.ends() => {
            let children = card
                .ticket
                .links
                .iter()
                .filter(|link| link.relation == Relation::ParentOf);
            let end = |child: &crate::ticket::Link| Intent::EndChildTicket {
                ticket: child.other.clone(),
                parent: opened.sn.clone(),
                status: card.ticket.status.key().to_owned(),
                approve_result: card.ticket.approve_result.unwrap_or_default(),
                cause: envelope.id(),
                correlation: envelope.meta.correlation.clone(),
            };
            children.map(end).collect()
        }
        _ => Vec::new(),
    }
}
