//! Finds uploads of the ledger whose files are missing. File content is not read.

use domain::attachment::Attachment;
use infra::blob::Blob;
use infra::{Error, Ledger};

/// Most parts listed per upload. No upload has more parts, even with the parts of interrupted
/// uploads.
const PARTS_MAX: usize = 100_000;

/// The result of a check of the uploads of a ledger.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// The number of uploads of which every part exists.
    pub whole: u64,
    /// The number of uploads whose content was removed together with the key of the owner.
    pub erased: u64,
    /// The uploads with a missing part. Each entry is the stream of the upload, and a text that
    /// names the missing part.
    pub missing: Vec<(String, String)>,
}

/// Checks whether the parts of every upload of the given streams exist.
///
/// Without a key store, the uploads of erased people count as missing.
pub(super) async fn look(
    ledger: &Ledger,
    streams: &[String],
    blob: &dyn Blob,
    has_keys: bool,
) -> Result<Uploads, Error> {
    let mut uploads = Uploads::default();
    for stream in streams {
        let attachment = ledger.load::<Attachment>(stream).await?.aggregate.0;
        let (Some(started), Some(uploaded)) = (&attachment.upload_started, &attachment.uploaded)
        else {
            continue;
        };
        if attachment.discarded {
            continue;
        }
        let id = &started.attachment;
        let stored = blob.list(&format!("attachments/{id}/"), PARTS_MAX).await?;
        let missing = (1..).zip(&uploaded.parts).find(|(_, tag)| {
            !stored
                .iter()
                .any(|key| key.rsplit('/').next() == Some(tag.as_str()))
        });
        let Some((number, _)) = missing else {
            uploads.whole += 1;
            continue;
        };
        let is_erased = match &started.subject {
            Some(subject) if has_keys => ledger.keys.key(subject).await?.is_none(),
            _ => false,
        };
        if is_erased {
            uploads.erased += 1;
        } else {
            uploads
                .missing
                .push((stream.clone(), format!("{id}: part {number} is missing")));
        }
    }
    Ok(uploads)
}
