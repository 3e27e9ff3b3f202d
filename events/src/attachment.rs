//! Defines the events of one uploaded file. The events are stored in the stream `attachment-<id>`.
//!
//! The stream contains the description of the file and its holders (tickets, drafts and workflows). The
//! encrypted bytes of the file are in the blob store. If no holder uses the file, the desk discards the file
//! at its deadline.

use serde::{Deserialize, Serialize};

use crate::event::{DeadlineChange, Personals, event_enum};
use crate::{AttachmentId, DraftId, Moment, PersonId, Personal, Remark, TicketSn, WorkflowId};

/// The id of the deadline of a file. At this deadline, the desk keeps the file if a ticket, a draft or a
/// workflow uses the file. Otherwise, the desk discards the file. If the file is already discarded, the desk
/// deletes the bytes of the file.
pub const SETTLE: &str = "settle";

event_enum! {
    /// The events of one uploaded file.
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

/// The object to which a file is attached: a ticket, a draft or a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A ticket. A field in the form of the ticket contains the file.
    Ticket(TicketSn),
    /// A draft: a form that was saved but not submitted.
    Draft(DraftId),
    /// A workflow. People download the file from a form of this workflow, fill in the file and upload it
    /// again.
    Workflow(WorkflowId),
}

/// A person started to upload a file. The bytes of the file arrive in several parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UploadStarted {
    pub attachment: AttachmentId,
    pub by: PersonId,
    /// The person with whose key the bytes of the file are encrypted. The value is absent if many people
    /// may read the file. In this case, the bytes are encrypted with a key of the desk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<PersonId>,
    /// The name of the file.
    pub name: Remark,
    /// The time at which the upload must be complete.
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
    /// The media type of the file. The desk detects the media type from the bytes. If the detection fails,
    /// the value is the media type from the upload request.
    pub media_type: String,
    pub bytes: u64,
    /// The hashes of the parts of the file, in the order of the parts. The blob store uses the hash of a part
    /// as the name of this part.
    pub parts: Vec<String>,
    /// The BLAKE3 hash of all bytes of the file, in hexadecimal digits. The hash is computed with a secret
    /// key of the desk.
    pub digest: String,
    /// The deadline of the file. If no ticket, draft or workflow uses the file at this time, the desk
    /// discards the file.
    pub due: Moment,
}
impl Personals for Uploaded {}

/// The file was attached to a holder (a ticket, a draft or a workflow). The desk stores this event first, and
/// then the event in which the holder uses the file. If no holder uses the file before the time `due`, the
/// desk may discard the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attached {
    pub to: Holder,
    pub by: PersonId,
    /// The time at which the desk checks whether a holder (a ticket, a draft or a workflow) uses the file.
    /// The value is absent if the desk already keeps the file permanently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Moment>,
}
impl Personals for Attached {}

/// A holder (a ticket, a draft or a workflow) uses the file. The desk therefore keeps the file permanently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retained {}
impl Personals for Retained {}

/// The file was discarded and cannot be attached again. Either no ticket, draft or workflow used the file
/// before its deadline, or a person deleted the file. If the deletion of the bytes fails, the desk repeats
/// the deletion at the time `due`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    /// The person who deleted the file. If the desk discarded the file at its deadline, the value is the id
    /// that represents the desk.
    pub by: PersonId,
    pub due: Moment,
}
impl Personals for Discarded {}

/// The bytes of the file were deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContentDeleted {}
impl Personals for ContentDeleted {}
