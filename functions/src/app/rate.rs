//! Limits how many messages a channel account sends, or how many requests the desk sends to a source of cases, in any
//! period of one minute. For this purpose, a document in the view `limit` contains the times of the last messages of each
//! account, and of the last requests to each source.

use std::collections::VecDeque;

use events::Moment;
use infra::commit::hex;
use infra::views::Document;
use infra::{Error, Kind};
use serde::{Deserialize, Serialize};

use crate::App;

/// The name of the view (a stored table) with one document for each channel account and for each source of cases. The
/// document contains the times of the last messages or requests.
pub const LIMIT: &str = "limit";
/// The length of the period for which the messages of a channel account are limited, in milliseconds.
const PERIOD_MS: i64 = 60_000;
/// Maximum number of attempts to write the document with the message times of a channel account. An attempt
/// fails if another worker changes the same document at the same time.
const ATTEMPTS_MAX: usize = 20;

/// The document of one channel account. The document contains the times of the last messages, from the
/// oldest to the newest.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Last {
    times: VecDeque<Moment>,
    /// A random id of the write that stored this document. The id is different for each write, so two
    /// workers never write equal documents.
    writer: String,
}

/// Requests permission to send one message or request now. If the limit of the account or source `name` allows it,
/// stores the current time and returns `None`. Otherwise, returns the time in milliseconds after which the
/// caller can try again.
///
/// The times of the last messages are in a view (a stored table). If the views were deleted, these times are
/// unknown, and the account waits for one minute. The number of messages therefore never exceeds the limit,
/// even after a loss of the views.
pub async fn take(app: &App, name: &str, per_minute: u32) -> Result<Option<i64>, Error> {
    let most = usize::try_from(per_minute).unwrap_or(usize::MAX).max(1);
    for _ in 0..ATTEMPTS_MAX {
        let now = app.ledger.clock.now();
        let stored = app.views.get(LIMIT, name).await?;
        let expected = stored.as_ref().map_or(0, |document| document.sequence);
        let last: Option<Last> =
            stored.and_then(|document| serde_json::from_slice(&document.body).ok());
        let mut times = last.map_or_else(|| vec![now; most].into(), |last| last.times);
        let is_unknown = expected == 0;
        while times.front().is_some_and(|at| at.plus_ms(PERIOD_MS) <= now) {
            times.pop_front();
        }
        let wait = match times.front() {
            Some(oldest) if times.len() >= most => Some((oldest.0 + PERIOD_MS - now.0).max(1)),
            _ => None,
        };
        if wait.is_some() && !is_unknown {
            return Ok(wait);
        }
        if wait.is_none() {
            times.push_back(now);
        }
        if write(app, name, times, expected).await? {
            return Ok(wait);
        }
    }
    Err(Error::new(
        Kind::Conflict,
        format!("many workers use the limit of {name} at the same time"),
    ))
}

/// Creates the document with the message times of a new channel account. Without this document, the first
/// message of the account would have to wait for one minute.
pub async fn start(app: &App, name: &str) -> Result<(), Error> {
    // If the document already exists, `write` does not change the document and returns false.
    write(app, name, VecDeque::new(), 0).await.map(drop)
}

async fn write(
    app: &App,
    name: &str,
    times: VecDeque<Moment>,
    expected: i64,
) -> Result<bool, Error> {
    let last = Last {
        times,
        writer: hex(&app.ledger.fresh_id()),
    };
    let document = Document {
        sequence: expected + 1,
        body: serde_json::to_vec(&last).unwrap_or_default(),
    };
    app.views.put(LIMIT, name, &document, &[], expected).await
}
