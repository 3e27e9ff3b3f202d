//! Stores, lists and processes parked streams. A consumer is a function that processes commits. If
//! a consumer cannot process the commits of a stream, the consumer parks the stream. This means
//! that the consumer skips the stream and stores an error record. All other streams are processed
//! normally.

use events::Moment;
use infra::Error;
use infra::views::{Document, Views};
use serde::{Deserialize, Serialize};

use super::follow::Follower;

/// The name of the view (a stored table) that contains one record for each parked stream. A parked
/// stream is skipped after an error.
const VIEW: &str = "parked";

/// The error record of a parked stream (a stream that is skipped after an error). The field
/// `consumer` names the function that could not process the commits of this stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    pub consumer: String,
    pub stream: String,
    /// The sequence number of the first event in the failed commit.
    pub from: i64,
    pub reason: String,
    pub at: Moment,
}

/// Parks a stream for a consumer (a function that processes commits). The function stores an error
/// record, and the consumer then skips the stream. A stream that is already parked for this
/// consumer is not changed.
pub async fn park(views: &dyn Views, parked: &Parked) -> Result<(), Error> {
    let key = key(parked);
    let stored = views.get(VIEW, &key).await?;
    // The existing record names the first commit that failed. The stream must later be processed
    // again from this commit, so the record must not change.
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

/// Returns the error records of at most `limit` parked streams (streams that are skipped after an
/// error).
pub async fn list(views: &dyn Views, limit: usize) -> Result<Vec<Parked>, Error> {
    Ok(views
        .scan(VIEW, "", limit)
        .await?
        .into_iter()
        .filter_map(|(_, document)| serde_json::from_slice(&document.body).ok())
        .collect())
}

/// Processes a parked stream (a stream that is skipped after an error) again. The work starts after
/// the last commit that is contained in the card (the stored summary of the stream). If all commits
/// are processed, the error record is deleted.
///
/// This function supports only the consumer `follow` (the update of cards and messages). For other
/// consumers, an operator must rebuild the view.
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
