//! Does what a stream's deadline is about: one attempt of a callback, one step of a call, the rating that nobody gave, what becomes of a file that
//! nothing may hold, and the end of a draft.

pub mod call;
pub mod callback;
mod rating;

use events::Moment;
use infra::queue::Message;
use infra::views::{Document, Views};
use infra::{Error, Kind};
use serde::{Deserialize, Serialize};

use crate::{App, attachments, drafts};

/// The view of leases: one document per stream of which an attempt was made.
const LEASE: &str = "lease";
/// How long an attempt is its maker's: longer than a call may take, shorter than a message stays away.
const LEASE_MS: i64 = 30_000;

/// Does what is due, if something is. The message's body is the name of the stream.
pub async fn attempt(app: &App, message: &Message) -> Result<(), Error> {
    let stream = String::from_utf8_lossy(&message.body).into_owned();
    match events::aggregate_of(&stream) {
        "delivery" => callback::attempt(app, &stream).await,
        "call" => call::attempt(app, &stream).await,
        "attachment" => attachments::settle(app, &stream).await,
        "draft" => drafts::expire(app, &stream).await,
        "ticket" => rating::attempt(app, &stream).await,
        _ => Err(Error::new(Kind::Corrupt, format!("nothing is ever due of {stream}"))),
    }
}

/// Who makes an attempt, and until when nobody else does.
#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    attempt: i64,
    until: Moment,
    /// Tells one holder from another.
    owner: String,
}

/// Takes the lease on an attempt, so that a message that came twice makes one call. One that was taken by somebody who died ends by itself.
async fn claimed(views: &dyn Views, stream: &str, attempt: i64, now: Moment, owner: String) -> Result<bool, Error> {
    let stored = views.get(LEASE, stream).await?;
    let sequence = stored.as_ref().map_or(0, |document| document.sequence);
    let lease: Option<Lease> = stored.and_then(|document| serde_json::from_slice(&document.body).ok());
    if lease.is_some_and(|lease| lease.attempt == attempt && lease.until > now) {
        return Ok(false);
    }
    let body = serde_json::to_vec(&Lease { attempt, until: now.plus_ms(LEASE_MS), owner }).unwrap_or_default();
    views.put(LEASE, stream, &Document { sequence: sequence + 1, body }, &[], sequence).await
}
