//! Manages uploaded files.
//!
//! The id of an upload cannot be guessed. A file is stored as encrypted parts ([`parts`]). Tickets,
//! drafts and workflows can contain a file. The desk deletes a file that is not in any ticket,
//! draft or workflow ([`holders`]).

mod holders;
mod parts;

use domain::attachment::{ALONE_MS, Attachment, Command, PART_BYTES, Rejection};
use events::attachment::UploadStarted;
use events::{AttachmentId, Meta, PersonId, Remark};
use infra::commit::hex;
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError};

use crate::App;
pub use holders::{attach, attach_after, attach_for, attach_until, discard, may_read, settle};
pub use parts::{
    FREE_BYTES_MIN, Pieces, Upload, check_space, complete, digest, erase_content, is_erased,
    parts_max, put_part,
};

/// The reason why the desk does not accept a file or does not return a file.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    #[error(transparent)]
    Technical(#[from] Error),
    #[error(transparent)]
    Refused(#[from] Rejection),
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    #[error("part {0} is missing")]
    PartMissing(u32),
    #[error("part {number} has {bytes} bytes; every part but the last has {PART_BYTES}")]
    PartUnfit { number: u32, bytes: usize },
    #[error("the bytes of this file were erased with the person they belonged to")]
    Erased,
    #[error(
        "the disk has less than {FREE_BYTES_MIN} bytes left, so no file is taken; the operator has to make space"
    )]
    DiskFull,
}

impl From<ExecuteError<Attachment>> for NotTaken {
    fn from(failure: ExecuteError<Attachment>) -> Self {
        match failure {
            ExecuteError::Technical(error) => Self::Technical(error),
            ExecuteError::Rejected(rejection) => Self::Refused(rejection),
        }
    }
}

/// Returns the id for an upload. Without an idempotency key, the id is random. With an idempotency
/// key, the id is a keyed hash of the idempotency key, the client app and the person. A repeated
/// request therefore gets the same id. Other programs cannot guess the id, because the hash needs a
/// secret key of the desk.
///
/// The parameter `key` contains the app code (the id of the client app), the person and the
/// idempotency key.
pub async fn id(app: &App, key: Option<(&str, &PersonId, &str)>) -> Result<AttachmentId, Error> {
    let digits = match key {
        None => hex(&app.ledger.fresh_id()),
        Some((code, by, key)) => {
            let secret = app.keys().await?.fingerprint;
            let text = serde_json::json!(["attachment", code, by, key]).to_string();
            blake3::keyed_hash(&secret, text.as_bytes()).to_hex()[..32].to_owned()
        }
    };
    Ok(AttachmentId(format!("att-{digits}")))
}

/// Returns the state of an uploaded file, which is computed from the events of the file.
pub async fn load(app: &App, id: &AttachmentId) -> Result<Attachment, Error> {
    Ok(app
        .ledger
        .load::<Attachment>(&id.stream())
        .await?
        .aggregate
        .0)
}

/// Returns the name under which a file is stored: the last segment of the path `name`, without control characters and
/// characters that change the text direction. Returns `None` if no name remains.
pub fn stored_name(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let stored: String = last.chars().filter(|c| !is_hidden(*c)).collect();
    let stored = stored.trim();
    let is_name = !stored.is_empty() && !stored.chars().all(|c| c == '.');
    is_name.then(|| stored.to_owned())
}

async fn execute(
    app: &App,
    id: &AttachmentId,
    command: &Command,
    meta: &Meta,
) -> Result<Attachment, ExecuteError<Attachment>> {
    let command_envelope = CommandEnvelope {
        stream: id.stream(),
        command_id: app.ledger.fresh_id(),
        meta: meta.clone(),
    };
    Ok(app
        .ledger
        .execute::<Attachment>(&command_envelope, command, &NoContext)
        .await?
        .state)
}

/// Starts an upload, and returns the state of the new attachment (the uploaded file). `subject` is
/// the person to whom the file belongs. If `subject` is set, the name and the bytes of the file are
/// encrypted with the key of this person. Otherwise, the bytes are encrypted with a key of the
/// desk.
pub async fn begin(
    app: &App,
    id: &AttachmentId,
    name: &str,
    subject: Option<PersonId>,
    meta: &Meta,
) -> Result<Attachment, NotTaken> {
    check_space(app, 0).await?;
    let name = Remark::new(name);
    let name = subject
        .clone()
        .map_or_else(|| name.clone(), |subject| name.clone().owned_by(subject));
    let due = app.ledger.clock.now().plus_ms(ALONE_MS);
    let begun = UploadStarted {
        attachment: id.clone(),
        by: meta.actor.clone(),
        subject,
        name,
        due,
    };
    Ok(execute(app, id, &Command::Begin(begun), meta).await?)
}
