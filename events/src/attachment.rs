//! One file that somebody uploads, in the stream `attachment-<id>`. Its bytes stand in the blob store, sealed; here stands what they are and what they
//! belong to. What belongs to nothing is thrown away by its deadline.

use serde::{Deserialize, Serialize};

use crate::fact::{Deadline, Personals, facts};
use crate::{AttachmentId, DraftId, Moment, Personal, Pid, Remark, TicketSn, WorkflowId};

facts! {
    /// The life of one attachment.
    AttachmentEvent of "attachment" {
        Begun "attachment.begun" 1,
        Received "attachment.received" 1,
        Attached "attachment.attached" 1,
        Kept "attachment.kept" 1,
        Discarded "attachment.discarded" 1,
        Removed "attachment.removed" 1,
    }
    deadline |event: &AttachmentEvent| match event {
        AttachmentEvent::Begun(begun) => Deadline::At(begun.due),
        AttachmentEvent::Received(received) => Deadline::At(received.due),
        AttachmentEvent::Attached(attached) => attached.due.map_or(Deadline::Unchanged, Deadline::At),
        AttachmentEvent::Discarded(discarded) => Deadline::At(discarded.due),
        AttachmentEvent::Kept(_) | AttachmentEvent::Removed(_) => Deadline::Cleared,
    };
}

/// What an attachment belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A field of a ticket's form.
    Ticket(TicketSn),
    /// A form that was not sent yet.
    Draft(DraftId),
    /// A field of a workflow, as a file to be filled in and sent back.
    Workflow(WorkflowId),
}

/// Somebody uploads a file; its bytes come in parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    pub attachment: AttachmentId,
    pub by: Pid,
    /// The person under whose key the bytes are sealed; the desk's own key where there is none, for files that many people get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Pid>,
    /// The file's name.
    pub name: Remark,
    /// Until when all of it must be there.
    pub due: Moment,
}
impl Personals for Begun {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.name.personal.iter_mut().collect()
    }
}

/// All of it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Received {
    /// What the bytes are, by their look, else as the uploader said.
    pub media_type: String,
    pub bytes: u64,
    /// The parts it consists of, in order, each by what names it where it is stored: a digest of its bytes.
    pub parts: Vec<String>,
    /// BLAKE3 of the bytes, keyed with the desk's fingerprint key, as hex.
    pub digest: String,
    /// Until when something must want it.
    pub due: Moment,
}
impl Personals for Received {}

/// Something is about to hold it, perhaps beside others; by then it does, or never will.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    pub to: Place,
    pub by: Pid,
    /// When it is looked at; not any more, where something holds it for good already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for Attached {}

/// What it was attached to holds it: it stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {}
impl Personals for Kept {}

/// Nothing holds it and nothing may any more; its bytes are removed by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    /// Who threw it away; the desk, where its time was over.
    pub by: Pid,
    pub due: Moment,
}
impl Personals for Discarded {}

/// Its bytes are gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removed {}
impl Personals for Removed {}
