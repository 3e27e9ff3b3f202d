//! Uploaded files that the ledger has and a directory has not; their content is not read here.

use domain::attachment::Attachment;
use infra::blob::Blob;
use infra::{Error, Ledger};

/// Parts of one upload that are listed: more than any file has, and those of an interrupted one besides.
const PARTS_MAX: usize = 100_000;

/// What a look at the uploads of a ledger found.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// Uploads whose parts are all there.
    pub whole: u64,
    /// Uploads whose content was removed together with the key of their owner.
    pub erased: u64,
    /// The others, each with the part that is missing.
    pub missing: Vec<(String, String)>,
}

/// Looks for the parts of every upload of these streams. Without a key store, uploads of erased people count as missing.
pub(super) async fn look(ledger: &Ledger, streams: &[String], blob: &dyn Blob, has_keys: bool) -> Result<Uploads, Error> {
    let mut uploads = Uploads::default();
    for stream in streams {
        let attachment = ledger.load::<Attachment>(stream).await?.aggregate.0;
        let (Some(begun), Some(received)) = (&attachment.begun, &attachment.received) else { continue };
        if attachment.discarded {
            continue;
        }
        let id = &begun.attachment;
        let there = blob.list(&format!("attachments/{id}/"), PARTS_MAX).await?;
        let missing = (1..).zip(&received.parts).find(|(_, tag)| !there.iter().any(|key| key.rsplit('/').next() == Some(tag.as_str())));
        let Some((number, _)) = missing else {
            uploads.whole += 1;
            continue;
        };
        let is_erased = match &begun.subject {
            Some(subject) if has_keys => ledger.keys.key(subject).await?.is_none(),
            _ => false,
        };
        if is_erased {
            uploads.erased += 1;
        } else {
            uploads.missing.push((stream.clone(), format!("{id}: part {number} is missing")));
        }
    }
    Ok(uploads)
}
