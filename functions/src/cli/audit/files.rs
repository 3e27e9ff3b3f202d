//! Uploaded files held against the ledger: every byte that a file had is there, and nothing else.

use std::collections::BTreeSet;

use events::AttachmentId;
use serde_json::json;

use super::{PAGE, bar, conclude, words};
use crate::attachments::{self, NotTaken};
use crate::cli::CommandError;
use crate::cli::place::Place;

pub(super) async fn check(place: &Place, json: bool) -> Result<(), CommandError> {
    let app = place.read_all().await?.app()?;
    let bar = bar(app.ledger.store.head().await.map_err(words)?.position);
    let (mut seen, mut position, mut findings) = (BTreeSet::new(), 0, Vec::new());
    let (mut whole, mut bytes, mut gone) = (0_u64, 0_u64, 0_u64);
    loop {
        let page = app.ledger.store.feed(position, PAGE).await.map_err(words)?;
        let Some(last) = page.last() else { break };
        position = last.position;
        for placed in page {
            let Some(id) = placed.commit.stream.strip_prefix("attachment-").and_then(AttachmentId::read) else { continue };
            if !seen.insert(id.clone()) {
                continue;
            }
            let attachment = attachments::load(&app, &id).await.map_err(words)?;
            let Some(received) = attachment.received.as_ref().filter(|_| !attachment.discarded) else { continue };
            match attachments::digest(&app, &attachment).await {
                Ok(digest) if digest == received.digest => {
                    whole += 1;
                    bytes += received.bytes;
                }
                Ok(_) => findings.push(format!("{id} is not what was received")),
                Err(NotTaken::Erased) => gone += 1,
                Err(not) => findings.push(format!("{id}: {not}")),
            }
        }
        bar.set_position(position.unsigned_abs());
    }
    bar.finish_and_clear();
    if !json {
        println!("{whole} files of {bytes} bytes are as they were received, {gone} are erased together with their owners");
    }
    conclude("audit files", &findings, json!({ "whole": whole, "bytes": bytes, "erased": gone }), json)
}
