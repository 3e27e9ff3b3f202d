//! One uploaded file, in the stream `attachment-<id>`.
//!
//! The blob store contains the sealed bytes of the file. This stream contains the description and
//! the holders of the file. A file that no holder uses is discarded at its deadline.

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{AttachmentId, DraftId, Moment, PersonId, Personal, Remark, TicketSn, WorkflowId};

/// The deadline id of a file. At this deadline the file is retained or discarded, or its content is
/// deleted.
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

/// The object to which a file can be attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A ticket; a field of its form contains the file.
    Ticket(TicketSn),
    /// A draft: a form that is saved but not submitted.
    Draft(DraftId),
    /// A workflow; people download the file as a template, fill in the file and upload the result.
    Workflow(WorkflowId),
}

/// A person started an upload. The bytes arrive in parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadStarted {
    pub attachment: AttachmentId,
    pub by: PersonId,
    /// The person whose key seals the bytes. Absent for a file that many people may read; a key of
    /// the desk seals such a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<PersonId>,
    /// The name of the file.
    pub name: Remark,
    /// The instant by which the upload must be complete.
    pub due: Moment,
}
impl Personals for UploadStarted {
    fn personals(&mut self) -> Vec<&mut Personal> {
        self.name.personal.iter_mut().collect()
    }
}

/// The upload is complete: all parts of the file are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Uploaded {
    /// The media type, detected from the bytes. If detection fails, the type that the uploader
    /// declared.
    pub media_type: String,
    pub bytes: u64,
    /// The digests of the parts, in order. The digest of a part is also its name in the blob store.
    pub parts: Vec<String>,
    /// The BLAKE3 hash of the bytes in hex, keyed with the fingerprint key of the desk.
    pub digest: String,
    /// The instant by which a holder must use the file.
    pub due: Moment,
}
impl Personals for Uploaded {}

/// The file was attached to a holder that is about to use the file. Other holders may use the file
/// too. If the holder does not use the file by `due`, the holder will never use the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    pub to: Holder,
    pub by: PersonId,
    /// The instant at which the desk checks whether a holder uses the file. Absent if the file is
    /// already retained permanently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for Attached {}

/// A holder uses the file, so the file is retained permanently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retained {}
impl Personals for Retained {}

/// The file was discarded: no holder uses the file, and the file cannot be attached again. If the
/// deletion of the bytes fails, the desk repeats the deletion at `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    /// The person who deleted the file, or the desk if the file expired.
    pub by: PersonId,
    pub due: Moment,
}
impl Personals for Discarded {}

/// The bytes of the file were deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentDeleted {}
impl Personals for ContentDeleted {}
