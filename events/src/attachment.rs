//! The events of one uploaded file, in the stream `attachment-<id>`.
//!
//! The encrypted bytes of the file are in the blob store. This stream contains the description of
//! the file and its holders (tickets, drafts and workflows). If no holder uses the file, the file
//! is discarded at its deadline.

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{AttachmentId, DraftId, Moment, PersonId, Personal, Remark, TicketSn, WorkflowId};

/// The id of the deadline of a file. At this deadline, the desk decides whether the file is kept or
/// discarded. For a discarded file, the desk deletes the content.
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

/// The object that holds a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A ticket. A field in the form of the ticket contains the file.
    Ticket(TicketSn),
    /// A draft: a form that was saved but not submitted.
    Draft(DraftId),
    /// A workflow. People download the file from a form, fill in the file and upload the result.
    Workflow(WorkflowId),
}

/// A person started to upload a file. The bytes arrive in several parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadStarted {
    pub attachment: AttachmentId,
    pub by: PersonId,
    /// The person under whose key the bytes are encrypted. Absent for a file that many people may
    /// read, because such a file is encrypted under a key of the desk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<PersonId>,
    /// The name of the file.
    pub name: Remark,
    /// The instant at which the time limit for the upload ends.
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
    /// The media type, as detected from the bytes. If the detection fails, the media type from the
    /// upload request is used.
    pub media_type: String,
    pub bytes: u64,
    /// The hashes of the parts in order. In the blob store, each part has its hash as its name.
    pub parts: Vec<String>,
    /// The BLAKE3 hash of the bytes in hex. The hash is computed with a secret key of the desk.
    pub digest: String,
    /// The instant at which the desk discards the file if no holder uses the file.
    pub due: Moment,
}
impl Personals for Uploaded {}

/// The file was attached to a holder (a ticket, a draft or a workflow), which uses the file in its
/// next step. Other holders may use the file too. If the holder does not use the file before `due`,
/// it will never use the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    pub to: Holder,
    pub by: PersonId,
    /// The instant at which the desk checks whether a holder uses the file. Absent if the file is
    /// already kept permanently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for Attached {}

/// A holder uses the file. The desk therefore keeps the file permanently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retained {}
impl Personals for Retained {}

/// The file was discarded, because no holder uses the file. It cannot be attached again. If the
/// deletion of its bytes fails, the desk repeats the deletion at `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    /// The person who deleted the file. If the file expired, this is the id of the desk.
    pub by: PersonId,
    pub due: Moment,
}
impl Personals for Discarded {}

/// The bytes of the file were deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentDeleted {}
impl Personals for ContentDeleted {}
