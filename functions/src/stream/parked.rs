//! Handles parked streams. If a consumer cannot process the commits of a stream, the consumer parks
//! the stream: the consumer skips the stream and stores an error record. The other streams are
//! processed normally. This module stores, lists and processes parked streams.

use events::Moment;
use infra::Error;
use infra::views::{Document, Views};
use serde::{Deserialize, Serialize};

use super::follow::Follower;

/// The name of the view that contains one record for each parked stream.
const VIEW: &str = "parked";

/// The error record of a stream that a consumer could not process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    pub consumer: String,
    pub stream: String,
    /// The first sequence of the commit that the consumer could not process.
    pub from: i64,
    pub reason: String,
    pub at: Moment,
}

/// Parks a stream for a consumer: the consumer skips the stream after an error. If the stream is
/// already parked for this consumer, does nothing.
pub async fn park(views: &dyn Views, parked: &Parked) -> Result<(), Error> {
    let key = key(parked);
    let stored = views.get(VIEW, &key).await?;
    // The existing record contains the first commit that failed. Processing the stream again must
    // start at this commit, so the record must not change.
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

/// Returns the records of at most `limit` parked streams.
pub async fn list(views: &dyn Views, limit: usize) -> Result<Vec<Parked>, Error> {
    Ok(views
        .scan(VIEW, "", limit)
        .await?
        .into_iter()
        .filter_map(|(_, document)| serde_json::from_slice(&document.body).ok())
        .collect())
}

/// Processes a parked stream again. Starts after the last commit that the card (the stored summary
/// of the stream) contains. If all commits are processed, deletes the record.
///
/// This function supports only streams that the follower (the update of cards and messages) has
/// parked. For other consumers, the operator must build the view again.
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
