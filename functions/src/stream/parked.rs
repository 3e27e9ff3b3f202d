//! Parks streams, lists parked streams, and processes parked streams again. If a consumer cannot
//! process a stream, the consumer parks (sets aside) this stream and continues with the other
//! streams.

use events::Moment;
use infra::Error;
use infra::views::{Document, Views};
use serde::{Deserialize, Serialize};

use super::follow::Follower;

/// The name of the view that contains the parked streams.
const VIEW: &str = "parked";

/// A stream that a consumer cannot process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    pub consumer: String,
    pub stream: String,
    /// The first sequence of the commit that could not be processed.
    pub from: i64,
    pub reason: String,
    pub at: Moment,
}

/// Parks a stream for a consumer (sets the stream aside after an error). Does nothing if the stream
/// is already parked for this consumer.
pub async fn park(views: &dyn Views, parked: &Parked) -> Result<(), Error> {
    let key = key(parked);
    let stored = views.get(VIEW, &key).await?;
    // The stored entry contains the first failed commit. A later attempt starts at this commit, so
    // the entry must not change.
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

/// Processes a parked stream again from its card (stored summary). If the processing succeeds,
/// removes the entry.
///
/// Only the entries of the follower (the update of cards and messages) are accepted. For other
/// consumers, the view must be built again instead.
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
