//! Queue functions: one file per queue; each call works on one message.

pub mod automate;
pub mod callback;
pub mod cleanup;
pub mod ticket;

use domain::intent::{Intent, Work};
use events::Moment;
use futures_util::future::BoxFuture;
use infra::Error;
use infra::queue::Message;
use infra::views::{Document, Views};
use serde::{Deserialize, Serialize};

use crate::App;
use crate::stream::follow::aggregate::{Registry, find};

/// Executes one intent of a queue.
pub type Execute = for<'a> fn(&'a App, &'a Message, Intent) -> BoxFuture<'a, Result<(), Error>>;

/// The view of leases: one document per stream that had an attempt.
const LEASE: &str = "lease";
/// Duration of the lease: longer than a request may take, shorter than the time a taken message
/// stays invisible.
const LEASE_MS: i64 = 30_000;

/// Works on one message of a queue: an intent, or the due work of a stream.
///
/// After a transient error the message must be deferred, after any other error it must be parked.
pub async fn work(
    app: &App,
    registry: Registry,
    execute: Execute,
    message: &Message,
) -> Result<(), Error> {
    match read(message)? {
        Work::Intent(intent) => execute(app, message, intent).await,
        Work::Due(due) => {
            match find(registry, &due.stream).and_then(|aggregate| aggregate.deadlines()) {
                Some(deadlines) => (deadlines.fire)(app, &due).await,
                None => Err(Error::corrupt(format!(
                    "stream {} has no deadlines",
                    due.stream
                ))),
            }
        }
    }
}

/// Reads the body of a message.
pub fn read(message: &Message) -> Result<Work, Error> {
    serde_json::from_slice(&message.body).map_err(|error| {
        Error::because(
            infra::Kind::Corrupt,
            format!("message {} has neither an intent nor due work", message.id),
            error,
        )
    })
}

/// Returns the error for an intent in the wrong queue.
fn wrong_queue(message: &Message) -> Error {
    Error::corrupt(format!(
        "message {} contains an intent of another queue",
        message.id
    ))
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
