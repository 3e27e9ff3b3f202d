//! An unsent form, in the stream `draft-<id>`. A draft exists until its deadline, a template
//! without a time limit. All values are sealed under the owner's key.

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::personal::of_entries;
use crate::{DraftId, Entry, Moment, NodeId, PersonId, Personal, Remark, ServiceId, TicketSn};

/// The deadline id of a draft. The draft is discarded at this deadline.
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
    /// The form that opens a ticket of a service.
    Service(ServiceId),
    /// The form of a node of a ticket.
    Node { ticket: TicketSn, node: NodeId },
    /// A service form that is saved under a name for repeated use.
    Template { service: ServiceId, name: Remark },
}

/// The form was saved. The new content replaces the previous content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    pub draft: DraftId,
    pub owner: PersonId,
    pub form_ref: FormRef,
    pub form: Vec<Entry>,
    /// The instant at which the draft expires; absent for a template, which never expires.
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

/// The draft was submitted, deleted by its owner, or discarded because the draft expired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    pub by: PersonId,
}
impl Personals for Discarded {}
