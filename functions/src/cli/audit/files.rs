//! Implements `ledgerdesk audit files`, which compares the content of each uploaded file with its
//! digest in the ledger.

use std::collections::BTreeSet;

use events::AttachmentId;
use serde_json::json;

use super::{PAGE, bar, conclude, words};
use crate::app::attachments::{self, NotTaken};
use crate::cli::CommandError;
use crate::cli::target::{Target, app};

pub(super) async fn check(target: &Target, json: bool) -> Result<(), CommandError> {
    let app = app(target.read_all().await?)?;
    let bar = bar(app.ledger.store.head().await.map_err(words)?.position);
    let (mut seen, mut position, mut findings) = (BTreeSet::new(), 0, Vec::new());
    let (mut whole, mut bytes, mut erased) = (0_u64, 0_u64, 0_u64);
    loop {
        let page = app.ledger.store.feed(position, PAGE).await.map_err(words)?;
        let Some(last) = page.last() else { break };
        position = last.position;
        for placed in page {
            let Some(id) = placed
                .commit
                .stream
                .strip_prefix("attachment-")
                .and_then(AttachmentId::read)
            else {
                continue;
            };
            if !seen.insert(id.clone()) {
                continue;
            }
            let attachment = attachments::load(&app, &id).await.map_err(words)?;
            let Some(uploaded) = attachment
                .uploaded
                .as_ref()
                .filter(|_| !attachment.discarded)
            else {
                continue;
            };
            match attachments::digest(&app, &attachment).await {
                Ok(digest) if digest == uploaded.digest => {
                    whole += 1;
                    bytes += uploaded.bytes;
                }
                Ok(_) => findings.push(format!("{id}: the content differs from the upload")),
                Err(NotTaken::Erased) => erased += 1,
                Err(error) => findings.push(format!("{id}: {error}")),
            }
        }
        bar.set_position(position.unsigned_abs());
    }
    bar.finish_and_clear();
    if !json {
        println!(
            "{whole} files with {bytes} bytes are unchanged, {erased} are erased together with their owners"
        );
    }
    conclude(
        "audit files",
        &findings,
        json!({ "whole": whole, "bytes": bytes, "erased": erased }),
        json,
    )
}
