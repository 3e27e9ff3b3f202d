//! A form that was saved but not submitted, in the stream `draft-<id>`. A draft exists until its
//! deadline. A template has no deadline. All values are encrypted under the owner's key.

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

/// The form to which the draft belongs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormRef {
    /// The form for a new ticket of a service.
    Service(ServiceId),
    /// The form of a node in an existing ticket.
    Node { ticket: TicketSn, node: NodeId },
    /// The form for a new ticket of a service, saved under a name as a template for repeated use.
    Template { service: ServiceId, name: Remark },
}

/// The form was saved. The new content replaced the previous content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    pub draft: DraftId,
    pub owner: PersonId,
    pub form_ref: FormRef,
    pub form: Vec<Entry>,
    /// The instant at which the draft expires. Absent for a template, because templates do not
    /// expire.
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

/// The draft was discarded. The reason is that it was submitted, that its owner deleted it, or that
/// it expired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    pub by: PersonId,
}
impl Personals for Discarded {}
