//! Requests that the desk writes a change of a ticket back to the records of external systems: its status, its processor, or
//! a remark.

use std::collections::BTreeSet;

use events::ticket::TicketEvent;
use events::{PersonId, Remark};

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

/// Returns the number of the last remark in the history of a ticket that the desk writes to records, with the client app
/// with which the person added it.
pub fn last_remark(history: &[Envelope<TicketEvent>]) -> Option<Change> {
    let seals_text = seals_text(history);
    let mut remarks = history
        .iter()
        .rev()
        .filter(|envelope| matches!(envelope.event, TicketEvent::RemarkAdded(_)));
    remarks.find_map(|envelope| change(envelope, seals_text))
}

/// Returns the numbers of the remarks in the history of a ticket that the desk can write to records. A remark whose text was
/// erased is not among them.
pub fn written_remarks(history: &[Envelope<TicketEvent>]) -> BTreeSet<u64> {
    let seals_text = seals_text(history);
    let remarks = history.iter().filter(|envelope| {
        matches!(&envelope.event, TicketEvent::RemarkAdded(remark) if !remark.text.read().is_empty())
    });
    remarks
        .filter_map(|envelope| match change(envelope, seals_text) {
            Some(Change::Remark { id, .. }) => Some(id),
            _ => None,
        })
        .collect()
}

fn seals_text(history: &[Envelope<TicketEvent>]) -> bool {
    history
        .iter()
        .any(|envelope| matches!(&envelope.event, TicketEvent::Opened(opened) if opened.seals_text))
}

/// Returns the reason that a person gave for the last hand-over of a ticket to other people. The text is empty if the last
/// change of the processors is no hand-over by a person with a reason, or if the free text of the ticket is encrypted.
pub fn hand_over_reason(history: &[Envelope<TicketEvent>]) -> &str {
    let mut changes = history.iter().rev().filter_map(|envelope| {
        let (by, reason) = match &envelope.event {
            TicketEvent::NodeTransferred(event) => (&event.by, &event.message),
            TicketEvent::NodeReassigned(event) => (&event.by, &event.message),
            TicketEvent::NodeAssigned(event) => (&event.by, &event.message),
            TicketEvent::Escalated(event) => (&event.by, &event.reason),
            TicketEvent::NodeEntered(event) if !event.automatic => return Some(""),
            TicketEvent::NodeClaimed(event) if !event.automatic => return Some(""),
            _ => return None,
        };
        Some(public(by, reason))
    });
    changes.next().unwrap_or_default()
}

/// Returns the text of a reason. The text is empty if it is personal, or if the desk gave the reason.
fn public<'a>(by: &PersonId, reason: &'a Remark) -> &'a str {
    let is_public = reason.personal.is_none() && !by.is_system();
    if is_public { &reason.text } else { "" }
}

/// Returns the reason that a person gave for a status of a ticket. The text is empty if no person gave a reason, or if the
/// free text of the ticket is encrypted.
pub fn reason<'a>(history: &'a [Envelope<TicketEvent>], status: &str) -> &'a str {
    let mut reasons = history.iter().rev().filter_map(|envelope| {
        let (of, by, reason) = match &envelope.event {
            TicketEvent::Suspended(event) => ("SUSPENDED", &event.by, &event.reason),
            TicketEvent::Resumed(event) => ("RUNNING", &event.by, &event.reason),
            TicketEvent::Withdrawn(event) => ("REVOKED", &event.by, &event.reason),
            TicketEvent::Terminated(event) => ("TERMINATED", &event.by, &event.reason),
            TicketEvent::Closed(event) => (event.status.as_str(), &event.by, &event.reason),
            _ => return None,
        };
        (of == status).then(|| public(by, reason))
    });
    reasons.next().unwrap_or_default()
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
    use events::ticket::{
        Escalated, NodeClaimed, NodeTransferred, RemarkAdded, Resumed, Suspended, Withdrawn,
    };
    use events::{AppCode, Meta, Moment, NodeId};

    use super::*;

    fn added(by: PersonId, internal: bool, text: Remark) -> Envelope<TicketEvent> {
        let remark = RemarkAdded {
            id: 2,
            by,
            parent: None,
            text,
            mentions: Vec::new(),
            internal,
            files: Vec::new(),
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

    fn event(event: impl Into<TicketEvent>) -> Envelope<TicketEvent> {
        Envelope {
            event: event.into(),
            ..added(PersonId::system(), true, Remark::new(""))
        }
    }

    #[test]
    fn the_last_public_remark_is_found() {
        let lisi = || PersonId("p1".into());
        let history = [
            added(lisi(), false, Remark::new("first")),
            event(RemarkAdded {
                id: 3,
                by: lisi(),
                parent: None,
                text: Remark::new("second"),
                mentions: Vec::new(),
                internal: false,
                files: Vec::new(),
            }),
            added(lisi(), true, Remark::new("internal")),
        ];
        let found = last_remark(&history);
        assert!(
            matches!(found, Some(Change::Remark { id: 3, .. })),
            "{found:?}"
        );
        assert_eq!(last_remark(&history[2..]), None);
    }

    #[test]
    fn the_reason_belongs_to_the_last_event_with_the_status() {
        let lisi = || PersonId("p1".into());
        let suspended = |by: PersonId, reason: Remark| event(Suspended { by, reason });
        let history = [
            suspended(lisi(), Remark::new("waiting for a part")),
            event(Resumed {
                by: lisi(),
                reason: Remark::default(),
            }),
            suspended(lisi(), Remark::new("waiting for a window")),
            event(Withdrawn {
                by: lisi(),
                approve_result: false,
                reason: Remark::new("solved").owned_by(lisi()),
            }),
        ];
        assert_eq!(reason(&history, "SUSPENDED"), "waiting for a window");
        assert_eq!(reason(&history[..1], "SUSPENDED"), "waiting for a part");
        for status in ["RUNNING", "REVOKED", "FINISHED"] {
            assert_eq!(reason(&history, status), "", "{status}");
        }
        let by_desk = [suspended(PersonId::system(), Remark::new("x"))];
        assert_eq!(reason(&by_desk, "SUSPENDED"), "");
    }

    #[test]
    fn the_reason_of_the_last_hand_over_is_found() {
        let lisi = || PersonId("p1".into());
        let transferred = |by: PersonId, message: Remark| {
            event(NodeTransferred {
                node: NodeId(3),
                name: "n".into(),
                by,
                processors_type: "PERSON".into(),
                processors: vec![PersonId("p2".into())],
                replaces: None,
                message,
            })
        };
        let claimed = |automatic| {
            event(NodeClaimed {
                node: NodeId(3),
                name: "n".into(),
                by: lisi(),
                automatic,
                reason: Remark::new("mine"),
            })
        };
        let first = transferred(lisi(), Remark::new("on holiday"));
        let reason = |history: &[Envelope<TicketEvent>]| hand_over_reason(history).to_owned();
        assert_eq!(reason(std::slice::from_ref(&first)), "on holiday");
        // A transfer to one person can also claim the node for this person.
        assert_eq!(reason(&[first.clone(), claimed(true)]), "on holiday");
        assert_eq!(reason(&[first.clone(), claimed(false)]), "");
        let remark = added(lisi(), false, Remark::new("x"));
        assert_eq!(reason(&[first.clone(), remark]), "on holiday");
        let escalated = event(Escalated {
            by: lisi(),
            node: NodeId(3),
            name: "n".into(),
            level: 1,
            processors: Vec::new(),
            reason: Remark::new("too long"),
        });
        assert_eq!(reason(&[first.clone(), escalated]), "too long");
        for hidden in [
            transferred(PersonId::system(), Remark::new("x")),
            transferred(lisi(), Remark::new("x").owned_by(lisi())),
        ] {
            assert_eq!(reason(&[first.clone(), hidden]), "");
        }
        assert_eq!(reason(&[]), "");
    }

    #[test]
    fn only_readable_public_remarks_can_be_written() {
        let lisi = || PersonId("p1".into());
        let numbered = |id: u64, internal: bool, text: &str| {
            event(RemarkAdded {
                id,
                by: lisi(),
                parent: None,
                text: Remark::new(text),
                mentions: Vec::new(),
                internal,
                files: Vec::new(),
            })
        };
        let history = [
            numbered(1, false, "first"),
            numbered(2, true, "internal"),
            numbered(3, false, ""),
            numbered(4, false, "last"),
        ];
        assert_eq!(written_remarks(&history), BTreeSet::from([1, 4]));
    }
}
