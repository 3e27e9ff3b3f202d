//! Defines the events of one draft (a form that was saved but not submitted). The events are stored in the
//! stream `draft-<id>`. A draft expires at its deadline. A template is a draft without a deadline. All values
//! are encrypted with the key of the person to whom the draft belongs.

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::personal::of_entries;
use crate::{DraftId, Entry, Moment, NodeId, PersonId, Personal, Remark, ServiceId, TicketSn};

/// The id of the deadline at which the desk discards the draft.
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

/// The kind of form that the draft contains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormRef {
    /// The form with which a person opens a ticket of this service.
    Service(ServiceId),
    /// The form of one node in an existing ticket.
    Node { ticket: TicketSn, node: NodeId },
    /// A template: a form for new tickets of this service. The template has a name and can be used many
    /// times.
    Template { service: ServiceId, name: Remark },
}

/// The draft was saved. The new content replaced the earlier content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    pub draft: DraftId,
    pub owner: PersonId,
    pub form_ref: FormRef,
    pub form: Vec<Entry>,
    /// The time at which the draft expires. The value is absent for a template, because a template does not
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

/// The draft was discarded for one of three reasons. The form was submitted, the owner deleted the draft,
/// or the draft expired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    pub by: PersonId,
}
impl Personals for Discarded {}
