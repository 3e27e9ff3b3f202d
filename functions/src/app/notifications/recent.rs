//! Counts the notifications of each person in the last 10 minutes. A person who gets many of them gets a digest (one
//! message about several notifications). For this purpose, a document in the view `recent` contains the last
//! notifications of each person.

use domain::notification::digest::{RECENT_MAX, WINDOW_MS};
use events::{Moment, PersonId};
use infra::commit::hex;
use infra::views::Document;
use infra::{Error, Kind};
use serde::{Deserialize, Serialize};

use crate::App;

/// The name of the view (a stored table) with one document for each person.
const RECENT: &str = "recent";
/// Maximum number of notifications in a document. A larger number would not change any decision.
const KEPT_MAX: usize = 4 * RECENT_MAX;
/// Maximum number of attempts to write a document. An attempt fails if a worker of another process changes the same
/// document at the same time.
const ATTEMPTS_MAX: usize = 20;

/// The last notifications of one person, from the oldest to the newest.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Last {
    /// The id of the event that caused each notification, and the time of its decision.
    notifications: Vec<(String, Moment)>,
    /// A random id of the write that stored this document. The id is different for each write, so two workers never
    /// write equal documents.
    writer: String,
}

/// Returns true if a notification of the time `at` still counts at the time `now`.
pub(super) fn is_recent(at: Moment, now: Moment) -> bool {
    at.plus_ms(WINDOW_MS) > now
}

/// Adds a notification to the last notifications of one person, and removes the old ones. Returns the number of
/// notifications in the last 10 minutes, with this one. `cause` is the id of the event that caused the notification.
pub(super) fn add(notifications: &mut Vec<(String, Moment)>, cause: &str, now: Moment) -> usize {
    notifications.retain(|(known, at)| known != cause && is_recent(*at, now));
    notifications.push((cause.to_owned(), now));
    let surplus = notifications.len().saturating_sub(KEPT_MAX);
    notifications.drain(..surplus);
    notifications.len()
}

/// Stores that a person gets a notification now. Returns the number of notifications of this person in the last 10
/// minutes, with this one. `cause` is the id of the event that caused the notification: a second call with the same id
/// does not count again. If the views were deleted, the count begins again at 1.
pub async fn count(app: &App, person: &PersonId, cause: &str) -> Result<usize, Error> {
    let _turn = app.recalled.turn(person.as_str()).await;
    for _ in 0..ATTEMPTS_MAX {
        let now = app.ledger.clock.now();
        let stored = app.recall(RECENT, person.as_str()).await?;
        let expected = stored.as_ref().map_or(0, |document| document.sequence);
        let last: Option<Last> =
            stored.and_then(|document| serde_json::from_slice(&document.body).ok());
        let mut notifications = last.unwrap_or_default().notifications;
        let count = add(&mut notifications, cause, now);
        let last = Last {
            notifications,
            writer: hex(&app.ledger.fresh_id()),
        };
        let document = Document {
            sequence: expected + 1,
            body: serde_json::to_vec(&last).unwrap_or_default(),
        };
        let put = app.put_recalled(RECENT, person.as_str(), document, expected);
        if put.await? {
            return Ok(count);
        }
    }
    Err(Error::new(
        Kind::Conflict,
        "many workers count the notifications of a person at the same time",
    ))
}
