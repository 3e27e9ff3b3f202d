//! Handles a deadline that passed, by the aggregate of its stream.
//!
//! A callback gets an attempt, an API call a step, a ticket its automatic rating. An attachment is
//! retained or removed, and a draft expires.

pub mod call;
pub mod callback;
mod rating;

use events::Moment;
use infra::queue::Message;
use infra::views::{Document, Views};
use infra::{Error, Kind};
use serde::{Deserialize, Serialize};

use crate::App;
use crate::app::{attachments, drafts};

/// The view of leases: one document per stream that had an attempt.
const LEASE: &str = "lease";
/// Duration of the lease: longer than a request may take, shorter than the time a taken message
/// stays invisible.
const LEASE_MS: i64 = 30_000;

/// Handles a deadline; does nothing if it is not due. The message body is the stream name.
pub async fn attempt(app: &App, message: &Message) -> Result<(), Error> {
    let stream = String::from_utf8_lossy(&message.body).into_owned();
    match events::aggregate_of(&stream) {
        "callback" => callback::attempt(app, &stream).await,
        "api_call" => call::attempt(app, &stream).await,
        "attachment" => attachments::settle(app, &stream).await,
        "draft" => drafts::expire(app, &stream).await,
        "ticket" => rating::attempt(app, &stream).await,
        _ => Err(Error::new(
            Kind::Corrupt,
            format!("stream {stream} has no deadlines"),
        )),
    }
}

/// The exclusive right to one attempt, for a limited time.
#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    attempt: i64,
    until: Moment,
    /// A random id, so that two leases on the same attempt differ.
    owner: String,
}

/// Takes the lease on an attempt, so that a repeated message sends one request.
///
/// Returns false if another worker has the lease. The lease of a crashed worker expires.
async fn take_lease(
    views: &dyn Views,
    stream: &str,
    attempt: i64,
    now: Moment,
    owner: String,
) -> Result<bool, Error> {
    let stored = views.get(LEASE, stream).await?;
    let sequence = stored.as_ref().map_or(0, |document| document.sequence);
    let lease: Option<Lease> =
        stored.and_then(|document| serde_json::from_slice(&document.body).ok());
    if lease.is_some_and(|lease| lease.attempt == attempt && lease.until > now) {
        return Ok(false);
    }
    let body = serde_json::to_vec(&Lease {
        attempt,
        until: now.plus_ms(LEASE_MS),
        owner,
    })
    .unwrap_or_default();
    views
        .put(
            LEASE,
            stream,
            &Document {
                sequence: sequence + 1,
                body,
            },
            &[],
            sequence,
        )
        .await
}
