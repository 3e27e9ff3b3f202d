//! Sends the changes of an inbox to a client that waits: as server-sent events, or as the response to a long poll.
//! The id of an event is its position in the feed (the sequence of all commits). A client that connects again with
//! the last id gets exactly the later changes.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::notification::Notification;
use events::PersonId;
use futures_util::stream;
use infra::Error;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::notifications::{ShownNotification, titled};
use super::problem::{ApiResult, Problem};
use super::reply::ok;
use crate::App;
use crate::app::notifications::inbox_feed::{Found, Reader};
use crate::app::notifications::unreached_person::Recipients;

/// Minimum time between two checks for changes. All changes in this time are sent together.
const CHECK_EVERY: Duration = Duration::from_millis(50);
/// The time after which the server sends a heartbeat if there is no change.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// Maximum duration of one connection. Afterwards the client connects again, and the server checks its rights again.
const CONNECTION_MAX: Duration = Duration::from_mins(2);
/// Maximum time that a response with server-sent events waits on a platform without streaming, such as AWS Lambda.
const POLL_MAX: Duration = Duration::from_secs(15);
/// The time between two checks for changes on such a platform. A process there gets no signal about changes.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// The time after which a client connects again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// The changes of an inbox after a position.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct InboxChanges {
    /// The position for the next request. The list contains all changes up to this position.
    position: i64,
    /// Whether the client must load the inbox again, because its position is too old or belongs to another ledger.
    is_reset: bool,
    /// Whether further changes can be read at once.
    is_behind: bool,
    changes: Vec<InboxChange>,
}

/// The newest state of a notification that changed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct InboxChange {
    /// The position of the change. It is also the id of the server-sent event.
    position: i64,
    /// Whether the inbox does not show the notification, because the ticket did not need it any more.
    is_removed: bool,
    notification: ShownNotification,
}

/// A client that waits for changes of an inbox.
struct Waiting {
    app: App,
    person: PersonId,
    /// The position after which the client has no changes.
    after: i64,
    followed: watch::Receiver<i64>,
    stopping: watch::Receiver<bool>,
    _reader: Reader,
}

impl Waiting {
    /// Returns an error if too many clients wait.
    fn new(app: App, person: PersonId, after: i64) -> Result<Self, Problem> {
        let reader = app.inbox_feed.admit(&person).ok_or_else(|| {
            Problem::unavailable(
                "person",
                "too many clients wait for changes of inboxes; close one of them, or try again later",
            )
        })?;
        Ok(Self {
            after,
            followed: app.followed.subscribe(),
            stopping: app.stopping.subscribe(),
            app,
            person,
            _reader: reader,
        })
    }

    /// Waits until there are changes, and until `end` at the longest. Returns `None` if the desk stops.
    async fn found(&mut self, end: Instant) -> Result<Option<Found>, Error> {
        loop {
            if *self.stopping.borrow() {
                return Ok(None);
            }
            // This line marks all processed commits as seen before the check. A commit during the check therefore
            // causes another check.
            self.followed.borrow_and_update();
            let feed = &self.app.inbox_feed;
            let found = feed.since(&self.app, &self.person, self.after).await?;
            self.after = found.position;
            if found.is_reset || !found.changes.is_empty() || Instant::now() >= end {
                return Ok(Some(found));
            }
            if found.is_behind {
                continue;
            }
            if !self.app.settings.is_streaming {
                tokio::time::sleep_until(end.min(Instant::now() + POLL_EVERY)).await;
                continue;
            }
            tokio::time::sleep(CHECK_EVERY).await;
            tokio::select! {
                _ = self.followed.changed() => {}
                _ = self.stopping.changed() => {}
                () = tokio::time::sleep_until(end) => {}
            }
        }
    }

    async fn changes(&self, found: &Found) -> Result<Vec<InboxChange>, Error> {
        let mut changes = Vec::with_capacity(found.changes.len());
        let mut recipients = Recipients::default();
        for changed in &found.changes {
            let loaded = self.app.ledger.load::<Notification>(&changed.stream);
            let state = loaded.await?.aggregate.0;
            changes.push(InboxChange {
                position: changed.position,
                is_removed: !state.is_in_inbox(),
                notification: titled(&self.app, &changed.stream, &state, &mut recipients).await?,
            });
        }
        Ok(changes)
    }

    /// Returns the text of the next server-sent events, or of a heartbeat if there are no changes until `end`.
    /// Returns `None` if the desk stops.
    async fn text(&mut self, end: Instant) -> Result<Option<String>, Error> {
        let Some(found) = self.found(end).await? else {
            return Ok(None);
        };
        let position = found.position;
        if found.is_reset {
            return Ok(Some(event("reset", position, &at(position))));
        }
        let mut text = String::new();
        for change in self.changes(&found).await? {
            let data = serde_json::to_string(&change).unwrap_or_default();
            text.push_str(&event("notification", change.position, &data));
        }
        if text.is_empty() {
            // The heartbeat has data, because some clients pass a comment to their program as an event without data
            // (findings/httpx-sse-heartbeat-becomes-an-empty-message.sh). Its id saves work after the next connection.
            text = event("position", position, &at(position));
        }
        Ok(Some(text))
    }
}

/// Returns the text of one server-sent event. `data` is JSON without line breaks.
fn event(name: &str, id: i64, data: &str) -> String {
    format!("event: {name}\nid: {id}\ndata: {data}\n\n")
}

fn at(position: i64) -> String {
    format!("{{\"position\":{position}}}")
}

/// Returns the first text of a response with server-sent events.
fn greeting(position: i64) -> String {
    let connected = event("connected", position, &at(position));
    format!("retry: {RETRY_MS}\n{connected}")
}

/// Returns the response to a long poll. The response waits at most `wait_s` seconds for a change.
pub(super) async fn changes(app: App, person: PersonId, after: i64, wait_s: u64) -> ApiResult {
    let mut waiting = Waiting::new(app, person, after)?;
    let end = Instant::now() + Duration::from_secs(wait_s);
    let found = waiting.found(end).await?.unwrap_or_else(|| Found {
        position: waiting.after,
        ..Found::default()
    });
    let body = InboxChanges {
        position: found.position,
        is_reset: found.is_reset,
        is_behind: found.is_behind,
        changes: waiting.changes(&found).await?,
    };
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((headers, ok(&body)).into_response())
}

/// Returns the response with server-sent events. On a platform without streaming, the response ends after the first
/// changes or after a time limit, and the client connects again.
pub(super) async fn streamed(app: App, person: PersonId, after: i64) -> ApiResult {
    let is_streaming = app.settings.is_streaming;
    let mut waiting = Waiting::new(app, person, after)?;
    let first = greeting(after);
    if !is_streaming {
        let text = waiting.text(Instant::now() + POLL_MAX).await?;
        let body = first + &text.unwrap_or_default();
        return Ok(response(Body::from(body)));
    }
    let ends = Instant::now() + CONNECTION_MAX;
    // The client reads the next text only after it has read the text before, so nothing is collected for a slow client.
    // The server closes the connection of a client that reads nothing for 30 seconds.
    let texts = stream::unfold(
        (waiting, Some(first)),
        move |(mut waiting, first)| async move {
            if let Some(first) = first {
                return Some((Ok::<_, Infallible>(Bytes::from(first)), (waiting, None)));
            }
            if Instant::now() >= ends {
                return None;
            }
            match waiting
                .text(ends.min(Instant::now() + HEARTBEAT_EVERY))
                .await
            {
                Ok(text) => Some((Ok(Bytes::from(text?)), (waiting, None))),
                Err(error) => {
                    tracing::warn!(%error, "cannot read the changes of an inbox; the connection is closed");
                    None
                }
            }
        },
    );
    Ok(response(Body::from_stream(texts)))
}

fn response(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    // Some proxies collect a response before they pass it on. This header switches that off.
    let unbuffered = [("x-accel-buffering", "no")];
    (headers, unbuffered, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_name_its_id_and_its_data() {
        let text = event("notification", 7, "{\"position\":7}");
        assert_eq!(
            text,
            "event: notification\nid: 7\ndata: {\"position\":7}\n\n"
        );
        assert!(greeting(7).starts_with("retry: 1000\nevent: connected\nid: 7\n"));
    }
}
