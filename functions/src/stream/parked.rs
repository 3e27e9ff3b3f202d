//! Parked streams. A consumer that cannot process a stream parks this stream and continues with the
//! other streams. This module parks, lists and redrives streams.

use events::Moment;
use infra::Error;
use infra::views::{Document, Views};
use serde::{Deserialize, Serialize};

use super::follow::Follower;

/// The name of the view of parked streams.
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

/// Parks a stream for a consumer. Does nothing if the stream is already parked for this consumer.
pub async fn park(views: &dyn Views, parked: &Parked) -> Result<(), Error> {
    let key = key(parked);
    let stored = views.get(VIEW, &key).await?;
    // The stored entry contains the first commit that failed. The entry stays unchanged, because a
    // redrive starts at this commit.
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

/// Follows a parked stream again from its card, and removes the entry on success.
///
/// Rejects every consumer other than the follower, because the views of other consumers must be
/// rebuilt.
pub async fn redrive(follower: Follower<'_>, parked: &Parked) -> Result<(), Error> {
    if parked.consumer != "follow" {
        return Err(Error::new(
            infra::Kind::Misconfigured,
            format!(
                "cannot redrive a projection; rebuild its view: ledgerdesk audit rebuild {}",
                parked.consumer
            ),
        ));
    }
    if let Some(newest) = follower
        .ledger
        .store
        .back(&parked.stream, None, 1)
        .await?
        .pop()
    {
        follower.follow_one(newest.into()).await?;
    }
    follower.views.remove(VIEW, &key(parked)).await
}
