//! One uploaded file, in the stream `attachment-<id>`.
//!
//! The blob store has the sealed bytes. This stream has the description of the file and its
//! holders. A file without a holder is discarded at its deadline.

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{AttachmentId, DraftId, Moment, PersonId, Personal, Remark, TicketSn, WorkflowId};

/// The id of the deadline at which a file is retained or discarded, or its content deleted.
pub const SETTLE: &str = "settle";

event_enum! {
    /// The events of one attachment.
    AttachmentEvent of "attachment" {
        UploadStarted "attachment.upload_started" 1,
        Uploaded "attachment.uploaded" 1,
        Attached "attachment.attached" 1,
        Retained "attachment.retained" 1,
        Discarded "attachment.discarded" 1,
        ContentDeleted "attachment.content_deleted" 1,
    }
    deadlines |event: &AttachmentEvent| match event {
        AttachmentEvent::UploadStarted(started) => vec![DeadlineChange::set(SETTLE, started.due)],
        AttachmentEvent::Uploaded(uploaded) => vec![DeadlineChange::set(SETTLE, uploaded.due)],
        AttachmentEvent::Attached(attached) => attached.due.map(|due| DeadlineChange::set(SETTLE, due)).into_iter().collect(),
        AttachmentEvent::Discarded(discarded) => vec![DeadlineChange::set(SETTLE, discarded.due)],
        AttachmentEvent::Retained(_) | AttachmentEvent::ContentDeleted(_) => vec![DeadlineChange::clear(SETTLE)],
    };
}

/// The object that an attachment belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A field of a ticket's form.
    Ticket(TicketSn),
    /// A form that was not sent yet.
    Draft(DraftId),
    /// A field of a workflow, as a template file that people fill in and send back.
    Workflow(WorkflowId),
}

/// A person started an upload; the bytes arrive in parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadStarted {
    pub attachment: AttachmentId,
    pub by: PersonId,
    /// The person whose key seals the bytes. Absent for files for many people, which the desk's own
    /// key seals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<PersonId>,
    /// The name of the file.
    pub name: Remark,
    /// When the upload must be complete.
    pub due: Moment,
}
impl Personals for UploadStarted {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.name.personal.iter_mut().collect()
    }
}

/// All parts of the file are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Uploaded {
    /// The media type, detected from the bytes; otherwise the type that the uploader declared.
    pub media_type: String,
    pub bytes: u64,
    /// The parts in order, each by the digest of its bytes, which names the part in the blob store.
    pub parts: Vec<String>,
    /// BLAKE3 of the bytes, keyed with the desk's fingerprint key, as hex.
    pub digest: String,
    /// When the file must have a holder.
    pub due: Moment,
}
impl Personals for Uploaded {}

/// A holder is about to reference the file, possibly beside other holders. The reference exists by
/// `due`, or never.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    pub to: Holder,
    pub by: PersonId,
    /// When the reference is checked; absent if the file is already retained permanently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for Attached {}

/// A holder of the file references it, so the file is retained permanently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retained {}
impl Personals for Retained {}

/// The file has no holder and cannot get one any more; its bytes are deleted at `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    /// The person who deleted the file; the desk if the file expired.
    pub by: PersonId,
    pub due: Moment,
}
impl Personals for Discarded {}

/// The bytes of the file were deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentDeleted {}
impl Personals for ContentDeleted {}
