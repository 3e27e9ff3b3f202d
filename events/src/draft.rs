//! An unsent form, in the stream `draft-<id>`: a draft until its deadline, or a template without
//! limit. All values are sealed under the owner's key.

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::personal::of_entries;
use crate::{DraftId, Entry, Moment, NodeId, PersonId, Personal, Remark, ServiceId, TicketSn};

/// The id of the deadline at which a draft is discarded.
pub const EXPIRE: &str = "expire";

event_enum! {
    /// The events of one draft.
    DraftEvent of "draft" {
        Saved "draft.saved" 1,
        Discarded "draft.discarded" 1,
    }
    deadlines |event: &DraftEvent| vec![match event {
        DraftEvent::Saved(saved) => DeadlineChange { id: EXPIRE.into(), due: saved.due },
        DraftEvent::Discarded(_) => DeadlineChange::clear(EXPIRE),
    }];
}

/// The form that the draft belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormRef {
    /// The form that opens a ticket of a service.
    Service(ServiceId),
    /// The form of a node of a ticket.
    Node { ticket: TicketSn, node: NodeId },
    /// A form of a service that is saved under a name for repeated use.
    Template { service: ServiceId, name: Remark },
}

/// The content of the draft was saved and replaces the former content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    pub draft: DraftId,
    pub owner: PersonId,
    pub form_ref: FormRef,
    pub form: Vec<Entry>,
    /// When the draft expires; a template does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for Saved {
    fn personals(&mut self) -> Vec<&mut Personal> {
        let name = match &mut self.form_ref {
            FormRef::Template { name, .. } => name.personal.as_mut(),
            FormRef::Service(_) | FormRef::Node { .. } => None,
        };
        of_entries(&mut self.form).into_iter().chain(name).collect()
    }
}

/// The draft was sent, deleted by its owner, or expired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    pub by: PersonId,
}
impl Personals for Discarded {}
