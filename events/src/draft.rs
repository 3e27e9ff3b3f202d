//! A form that somebody filled in and did not send, in the stream `draft-<id>`: kept for them for a while, or as a template for as long as they like.
//! All of it is sealed under its owner's key.

use serde::{Deserialize, Serialize};

use crate::fact::{Deadline, Personals, facts};
use crate::personal::of_entries;
use crate::{DraftId, Entry, Moment, NodeId, Personal, Pid, Remark, ServiceId, TicketSn};

facts! {
    /// The life of one draft.
    DraftEvent of "draft" {
        Saved "draft.saved" 1,
        Discarded "draft.discarded" 1,
    }
    deadline |event: &DraftEvent| match event {
        DraftEvent::Saved(saved) => saved.due.map_or(Deadline::Cleared, Deadline::At),
        DraftEvent::Discarded(_) => Deadline::Cleared,
    };
}

/// Which form is filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sheet {
    /// The form with which a ticket of a service is submitted.
    Service(ServiceId),
    /// The form of a node of a ticket.
    Node { ticket: TicketSn, node: NodeId },
    /// The form of a service, to be used again and again under a name.
    Template { service: ServiceId, name: Remark },
}

/// It is filled in like this from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    pub draft: DraftId,
    pub owner: Pid,
    pub sheet: Sheet,
    pub form: Vec<Entry>,
    /// Until when it is kept; a template has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for Saved {
    fn personals(&mut self) -> Vec<&mut Personal> {
        let name = match &mut self.sheet {
            Sheet::Template { name, .. } => name.personal.as_mut(),
            Sheet::Service(_) | Sheet::Node { .. } => None,
        };
        of_entries(&mut self.form).into_iter().chain(name).collect()
    }
}

/// It was sent, thrown away, or its time was over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    pub by: Pid,
}
impl Personals for Discarded {}
