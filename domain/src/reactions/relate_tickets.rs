//! Records the link between two tickets on the other ticket. When a parent ticket ends, its child
//! tickets are ended too.

use events::ticket::{Relation, TicketEvent};

use crate::envelope::Envelope;
use crate::intent::Intent;
use crate::views::ticket_card::TicketCard;

/// The name of this reaction. The name must never change, because the ids of the resulting queue
/// messages contain it.
pub const NAME: &str = "relate_tickets";

/// Returns the further work for other tickets. If a link is added or removed, the other ticket must
/// record the change. If the ticket ends, its children must end.
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
