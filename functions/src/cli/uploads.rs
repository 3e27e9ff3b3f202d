//! Finds uploads of the ledger whose files are missing, without reading file content.

use domain::attachment::Attachment;
use infra::blob::Blob;
use infra::{Error, Ledger};

/// Most parts listed per upload: more than any file has, including parts of interrupted uploads.
const PARTS_MAX: usize = 100_000;

/// The state of the uploads of a ledger.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// The number of uploads with all parts.
    pub whole: u64,
    /// The number of uploads whose content was removed with the key of their owner.
    pub erased: u64,
    /// The other uploads: stream and a text that names the missing part.
    pub missing: Vec<(String, String)>,
}

/// Checks the parts of every upload of these streams.
///
/// Without a key store, uploads of erased people count as missing.
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
