//! Parked streams: a consumer that cannot process a stream parks it and continues with the others;
//! lists and redrives them.

use events::Moment;
use infra::store::Commit;
use infra::views::{Document, Views};
use infra::{Error, Ledger};
use serde::{Deserialize, Serialize};

use super::follow::{Follower, follow};

/// The view of parked streams.
const VIEW: &str = "parked";

/// A stream that a consumer cannot process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    pub consumer: String,
    pub stream: String,
    /// The first sequence of the commit that failed.
    pub from: i64,
    pub reason: String,
    pub at: Moment,
}

/// Follows a commit, and parks its stream if the content of the commit is the cause of a failure.
///
/// Returns every other error; the caller must follow the commit again.
pub async fn follow_or_park(follower: Follower<'_>, commit: &Commit) -> Result<(), Error> {
    match follow(follower, commit).await {
        Ok(()) => Ok(()),
        // A missing table or permission concerns all streams, so the commit waits for the operator.
        Err(error) if !error.is_poison() => Err(error),
        Err(error) => {
            let (stream, from) = (commit.stream.clone(), commit.first);
            tracing::error!(%error, stream, from, "stream is parked");
            let at = follower.ledger.clock.now();
            park(
                follower.views,
                &Parked {
                    consumer: "follow".into(),
                    stream,
                    from,
                    reason: error.to_string(),
                    at,
                },
            )
            .await
        }
    }
}

/// Parks a stream for a consumer.
pub async fn park(views: &dyn Views, parked: &Parked) -> Result<(), Error> {
    let key = key(parked);
    let stored = views.get(VIEW, &key).await?;
    // The entry keeps the first commit that failed, because a redrive starts there.
    if stored.is_some() {
        return Ok(());
    }
    let body = serde_json::to_vec(parked).unwrap_or_default();
    views
        .put(VIEW, &key, &Document { sequence: 1, body }, &[], 0)
        .await
        .map(drop)
}

fn key(parked: &Parked) -> String {
    format!("{}|{}", parked.consumer, parked.stream)
}

/// Returns at most `limit` parked streams.
pub async fn list(views: &dyn Views, limit: usize) -> Result<Vec<Parked>, Error> {
    Ok(views
        .scan(VIEW, "", limit)
        .await?
        .into_iter()
        .filter_map(|(_, document)| serde_json::from_slice(&document.body).ok())
        .collect())
}

/// Follows a parked stream again from its card, and removes its entry on success.
///
/// Rejects consumers other than the follower: their views must be rebuilt.
pub async fn redrive(
    ledger: &Ledger,
    follower: Follower<'_>,
    parked: &Parked,
) -> Result<(), Error> {
    if parked.consumer != "follow" {
        return Err(Error::new(
            infra::Kind::Misconfigured,
            format!(
                "cannot redrive a projection; rebuild its view: ledgerdesk audit rebuild {}",
                parked.consumer
            ),
        ));
    }
    if let Some(newest) = ledger.store.back(&parked.stream, None, 1).await?.pop() {
        follow(follower, &newest).await?;
    }
    follower.views.remove(VIEW, &key(parked)).await
}
