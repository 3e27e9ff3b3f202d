//! Limits how many messages a channel account sends, or how many requests the desk sends to a source of cases, in any
//! period of one minute. For this purpose, a document in the view `limit` contains the times of the last messages of each
//! account, and of the last requests to each source.
//!
//! If the limit of an account is reached, each further message gets its own time. The messages are therefore sent in the
//! order in which they arrived, and each of them waits only once. Critical messages go before all others.
//!
//! Some providers also limit the messages to one receiver, such as a person or a conversation, see [`take_target`], or the
//! calls in one month, see [`take_call`].

mod plan;
mod targets;
mod turns;

pub use plan::take_call;
pub use targets::{Taken, give_back, take_target};
pub use turns::Turn;

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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Last {
    times: VecDeque<Moment>,
    /// The times of the newest messages, also of messages that wait for their time. The queue has one time for each message
    /// that the account may send in one minute.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    promised: VecDeque<Moment>,
    /// The messages that could not be sent at their time, in the order in which they must be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<turns::Waiting>,
    /// The time at which the document of the account was created because it was missing. Messages before this time are
    /// unknown. `None` if the document exists since the definition of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Moment>,
    /// A random id of the write that stored this document. The id is different for each write, so two
    /// workers never write equal documents.
    writer: String,
}

impl Last {
    /// Returns the document of an account whose last messages are unknown. It counts as if `most` messages were sent now.
    fn unknown(most: usize, now: Moment) -> Self {
        Self {
            times: vec![now; most].into(),
            since: Some(now),
            ..Self::default()
        }
    }

    /// Removes the messages that were sent before the period of `period_ms` milliseconds.
    fn forget(&mut self, now: Moment, period_ms: i64) {
        while self
            .times
            .front()
            .is_some_and(|at| at.plus_ms(period_ms) <= now)
        {
            self.times.pop_front();
        }
    }
}

/// Requests permission to send one message or request now. If the limit of the account or source `name` allows it,
/// stores the current time and returns `None`. Otherwise, returns the time in milliseconds after which the
/// caller can try again.
///
/// The times of the last messages are in a view (a stored table). If the views were deleted, these times are
/// unknown, and the account waits for one minute. The number of messages therefore never exceeds the limit,
/// even after a loss of the views.
pub async fn take(app: &App, name: &str, per_minute: u32) -> Result<Option<i64>, Error> {
    take_in(app, name, per_minute, PERIOD_MS).await
}

/// Requests permission as [`take`], with at most `most` messages in any period of `period_ms` milliseconds.
pub async fn take_in(
    app: &App,
    name: &str,
    most: u32,
    period_ms: i64,
) -> Result<Option<i64>, Error> {
    let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
    change(app, name, most, period_ms, |last, now| {
        let wait = match last.times.front() {
            Some(oldest) if last.times.len() >= most => Some((oldest.0 + period_ms - now.0).max(1)),
            _ => None,
        };
        if wait.is_none() {
            last.times.push_back(now);
        }
        wait
    })
    .await
}

/// Requests permission to send the message of `turn` now, as [`take`] does. The messages of an account are sent in order:
/// critical ones first, then those that were requested first. If the message must wait, returns the time in milliseconds
/// after which its turn comes.
///
/// If the views were deleted, the order of the messages that already wait is kept, because each of them has its time in the
/// ledger.
pub async fn take_turn(
    app: &App,
    name: &str,
    per_minute: u32,
    turn: &Turn,
) -> Result<Option<i64>, Error> {
    let most = usize::try_from(per_minute).unwrap_or(usize::MAX).max(1);
    change(app, name, most, PERIOD_MS, |last, now| {
        let due = last.admit(most, PERIOD_MS, now, turn);
        due.map(|due| (due.0 - now.0).max(1))
    })
    .await
}

/// Changes the document of the account or source `name`, and returns the result of `decide`. If another worker changes the
/// document at the same time, calls `decide` again with the new document. Times older than `period_ms` milliseconds are
/// removed before.
async fn change(
    app: &App,
    name: &str,
    most: usize,
    period_ms: i64,
    decide: impl Fn(&mut Last, Moment) -> Option<i64> + Send + Sync,
) -> Result<Option<i64>, Error> {
    for _ in 0..ATTEMPTS_MAX {
        let now = app.ledger.clock.now();
        let stored = app.views.get(LIMIT, name).await?;
        let expected = stored.as_ref().map_or(0, |document| document.sequence);
        let last: Option<Last> =
            stored.and_then(|document| serde_json::from_slice(&document.body).ok());
        let before = last.unwrap_or_else(|| Last::unknown(most, now));
        let mut last = before.clone();
        last.forget(now, period_ms);
        let wait = decide(&mut last, now);
        let is_unchanged = wait.is_some() && last.has_same_messages(&before);
        if is_unchanged && expected != 0 || write(app, name, last, expected).await? {
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
    write(app, name, Last::default(), 0).await.map(drop)
}

async fn write(app: &App, name: &str, last: Last, expected: i64) -> Result<bool, Error> {
    let last = Last {
        writer: hex(&app.ledger.fresh_id()),
        ..last
    };
    let document = Document {
        sequence: expected + 1,
        body: serde_json::to_vec(&last).unwrap_or_default(),
    };
    app.views.put(LIMIT, name, &document, &[], expected).await
}
