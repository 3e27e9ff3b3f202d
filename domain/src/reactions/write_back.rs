//! Requests that the desk writes a change of a ticket back to the records of external systems: its status, its processor, or
//! a remark.

use events::ticket::TicketEvent;

use crate::envelope::Envelope;
use crate::intent::{Change, Intent};
use crate::views::ticket_card::TicketCard;

/// The name of this reaction (a function that requests work after an event). The ids of queue messages
/// contain this name, so the name must never change.
pub const NAME: &str = "write_back";

/// Returns one intent (a request for work) if the event changes the ticket for its records and the tag of the ticket can be
/// the id of a case. The queue checks whether this case exists and is bound to the ticket.
pub fn react(envelope: &Envelope<TicketEvent>, card: &TicketCard) -> Vec<Intent> {
    let Some(opened) = card.ticket.opened.as_ref() else {
        return Vec::new();
    };
    let Some(change) = change(envelope, opened.seals_text) else {
        return Vec::new();
    };
    let is_id = opened.tag.len() == 32 && opened.tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Vec::new();
    }
    vec![Intent::WriteBack {
        case: format!("case-{}", opened.tag),
        ticket: opened.sn.clone(),
        change,
        cause: envelope.id(),
        correlation: envelope.meta.correlation.clone(),
    }]
}

/// Returns the change of the ticket. Remarks that only the people who work on the ticket may read are not written, and
/// neither are the remarks of the desk, nor those of a ticket whose free text is encrypted.
fn change(envelope: &Envelope<TicketEvent>, seals_text: bool) -> Option<Change> {
    match &envelope.event {
        event if event.ends() => Some(Change::Status),
        TicketEvent::Suspended(_) | TicketEvent::Resumed(_) | TicketEvent::StatusSet(_) => {
            Some(Change::Status)
        }
        TicketEvent::NodeEntered(entered) => (!entered.automatic).then_some(Change::Assignee),
        TicketEvent::NodeClaimed(_)
        | TicketEvent::NodeAssigned(_)
        | TicketEvent::NodeTransferred(_)
        | TicketEvent::NodeReassigned(_)
        | TicketEvent::Escalated(_) => Some(Change::Assignee),
        TicketEvent::RemarkAdded(remark) => {
            let is_private = remark.internal || remark.text.personal.is_some() || seals_text;
            (!is_private && !remark.by.is_system()).then(|| Change::Remark {
                id: remark.id,
                app: envelope.meta.app.clone(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use events::ticket::RemarkAdded;
    use events::{AppCode, Meta, Moment, PersonId, Remark};

    use super::*;

    fn added(by: PersonId, internal: bool, text: Remark) -> Envelope<TicketEvent> {
        let remark = RemarkAdded {
            id: 2,
            by,
            parent: None,
            text,
            mentions: Vec::new(),
            internal,
        };
        Envelope {
            stream: "ticket-INC1".into(),
            sequence: 7,
            at: Moment(0),
            occurred_at: None,
            meta: Meta {
                app: Some(AppCode("helpdesk_app".into())),
                ..Meta::system("c", "c")
            },
            event: remark.into(),
        }
    }

    #[test]
    fn only_public_remarks_of_people_are_written() {
        let lisi = || PersonId("p1".into());
        let public = added(lisi(), false, Remark::new("rebooted"));
        let expected = Change::Remark {
            id: 2,
            app: Some(AppCode("helpdesk_app".into())),
        };
        assert_eq!(change(&public, false), Some(expected));
        assert_eq!(change(&public, true), None, "the ticket encrypts its text");
        for private in [
            added(lisi(), true, Remark::new("x")),
            added(lisi(), false, Remark::new("x").owned_by(lisi())),
            added(PersonId::system(), false, Remark::new("x")),
        ] {
            assert_eq!(change(&private, false), None, "{private:?}");
        }
    }
}
