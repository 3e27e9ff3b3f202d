//! Finds uploads whose content is not complete. The ledger lists the parts of each upload, and the
//! file storage contains these parts. The check tests whether each part exists, but does not read
//! the content of the parts.

use domain::attachment::Attachment;
use infra::blob::Blob;
use infra::{Error, Ledger};

/// The largest number of stored parts that the check lists for one upload. A real upload has fewer
/// parts, even together with the parts of interrupted attempts.
const PARTS_MAX: usize = 100_000;

/// The result of checking the uploads of a ledger.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// The number of uploads that have all their parts.
    pub whole: u64,
    /// The number of uploads of erased people. The content of these uploads was removed.
    pub erased: u64,
    /// The uploads with a missing part. Each entry contains the event stream of the upload and a
    /// text that names the missing part.
    pub missing: Vec<(String, String)>,
}

/// Checks the uploads in `streams`, and returns the result. Each part that the ledger lists must
/// exist in `blob` (the file storage).
///
/// Only the key store shows which people are erased. If `has_keys` is false, erased people cannot
/// be recognized. Their uploads then count as missing.
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
