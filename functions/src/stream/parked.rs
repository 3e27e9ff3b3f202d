//! What could not be followed is parked as (consumer, stream) and the rest goes on; parked streams are listed and redriven.

use events::Moment;
use infra::store::Commit;
use infra::views::{Document, Views};
use infra::{Error, Ledger};
use serde::{Deserialize, Serialize};

use super::follow::{Follower, follow};

/// The view of parked streams.
const VIEW: &str = "parked";

/// One stream that one consumer could not follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    pub consumer: String,
    pub stream: String,
    /// The commit that was in the way.
    pub from: i64,
    pub reason: String,
    pub at: Moment,
}

/// Follows a commit; what cannot be followed for what it holds is parked. An error is one of the world around: the commit must come again.
pub async fn follow_or_park(follower: Follower<'_>, commit: &Commit) -> Result<(), Error> {
    match follow(follower, commit).await {
        Ok(()) => Ok(()),
        // A missing table or permission is no fault of this stream: it waits until that is mended.
        Err(error) if !error.is_of_content() => Err(error),
        Err(error) => {
            let (stream, from) = (commit.stream.clone(), commit.first);
            tracing::error!(%error, stream, from, "a stream was parked");
            let at = follower.ledger.clock.now();
            park(follower.views, &Parked { consumer: "follow".into(), stream, from, reason: error.to_string(), at }).await
        }
    }
}

/// Sets a stream aside for a consumer.
pub async fn park(views: &dyn Views, parked: &Parked) -> Result<(), Error> {
    let key = key(parked);
    let stored = views.get(VIEW, &key).await?;
    // The first commit in the way is what a redrive has to get past.
    if stored.is_some() {
        return Ok(());
    }
    let body = serde_json::to_vec(parked).unwrap_or_default();
    views.put(VIEW, &key, &Document { sequence: 1, body }, &[], 0).await.map(drop)
}

fn key(parked: &Parked) -> String {
    format!("{}|{}", parked.consumer, parked.stream)
}

/// Everything that is parked, up to a bound.
pub async fn list(views: &dyn Views, limit: usize) -> Result<Vec<Parked>, Error> {
    Ok(views.scan(VIEW, "", limit).await?.into_iter().filter_map(|(_, document)| serde_json::from_slice(&document.body).ok()).collect())
}

/// Follows a parked stream again from its card, and takes it off the list if that goes well.
pub async fn redrive(ledger: &Ledger, follower: Follower<'_>, parked: &Parked) -> Result<(), Error> {
    if parked.consumer != "follow" {
        return Err(Error::new(infra::Kind::Misconfigured, format!("rebuild the view: ledgerdesk audit rebuild {}", parked.consumer)));
    }
    if let Some(newest) = ledger.store.back(&parked.stream, None, 1).await?.pop() {
        follow(follower, &newest).await?;
    }
    follower.views.remove(VIEW, &key(parked)).await
}
