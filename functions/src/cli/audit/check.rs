//! Implements `ledgerdesk audit check`, which compares the feed (the ordered list of all commits)
//! with the journal (the stored commits of each stream).

use events::Moment;
use infra::store::audit::compare;
use serde_json::json;

use super::{PARKED_MAX, bar, conclude, words, wrong_snapshots};
use crate::cli::target::Target;
use crate::cli::{Change, CommandError};
use crate::stream::index::{Arrived, Indexer, TAMPERED};

/// The longest normal delay in milliseconds between the storage of a commit and its entry in the
/// feed (the ordered list of all commits).
const INDEXING_MAX_MS: i64 = 60_000;

pub(super) async fn check(
    target: &Target,
    fill: bool,
    change: Change,
    json: bool,
) -> Result<(), CommandError> {
    let cloud = if target.is_cloud() {
        Some(target.connect().await?)
    } else {
        None
    };
    let ledger = match &cloud {
        Some(cloud) => cloud.ports.ledger.clone(),
        None => target.read().await?,
    };
    let head = ledger.store.head().await.map_err(words)?;
    let bar = bar(head.position);
    let until = Moment(ledger.clock.now().0 - INDEXING_MAX_MS);
    let mut compared = compare(&*ledger.store, until, &mut |position| {
        bar.set_position(position.unsigned_abs());
    })
    .await
    .map_err(words)?;
    for stream in std::mem::take(&mut compared.snapshotted) {
        match wrong_snapshots(&ledger, &stream).await {
            Ok(wrong) => wrong.into_iter().for_each(|first| {
                compared.find(format!(
                    "the snapshot in {stream}:{first} differs from the state folded from its events"
                ));
            }),
            Err(error) => compared.find(error.to_string()),
        }
    }
    if let Some(cloud) = &cloud {
        let signs = cloud
            .ports
            .views
            .scan(TAMPERED, "", PARKED_MAX)
            .await
            .map_err(words)?;
        signs.into_iter().for_each(|(_, sign)| {
            compared.find(format!(
                "tampering sign in the table stream: {}",
                String::from_utf8_lossy(&sign.body)
            ));
        });
    }
    bar.finish_and_clear();
    if !json {
        println!(
            "{} commits in both, {} not indexed yet, verified up to position {}",
            compared.both, compared.on_their_way, head.position
        );
    }
    let mut report = json!({ "both": compared.both, "on_their_way": compared.on_their_way, "position": head.position });
    let lost = compared.not_in_feed.len();
    report["lost"] = lost.into();
    if let Some(cloud) = cloud.filter(|_| fill && lost > 0 && !change.dry_run) {
        change.confirm(&format!(
            "give {lost} lost commits positions at the end of the feed"
        ))?;
        let lost = std::mem::take(&mut compared.not_in_feed);
        let mut lost: Vec<Arrived> = lost
            .into_iter()
            .map(|commit| Arrived {
                written: commit.at,
                commit,
            })
            .collect();
        // The feed does not contain these commits, so the order in which they were stored is
        // unknown. The commits are therefore sorted by commit time.
        lost.sort_by_key(|arrived| (arrived.commit.at, arrived.commit.first));
        let filled = Indexer::new(cloud.pages, cloud.ports.blob, ledger.clock.clone())
            .index(&lost)
            .await
            .map_err(words)?;
        report["filled"] = json!(filled);
        if !json {
            println!("{filled} commits were given positions at the end of the feed");
        }
    } else if fill && change.dry_run && !json {
        println!("{lost} commits would be given positions at the end of the feed");
    }
    conclude("audit check", &compared.findings(), report, json)
}
