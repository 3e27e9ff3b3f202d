//! Notifies open pages about changes of their content. On one machine, the server sends an event for each
//! change (server-sent events). In the cloud, the browser requests changes, and the server responds after a
//! change or after a time limit.
//!
//! Each request contains the version of the content that the browser shows. If the content changed while the
//! connection was lost, the first event or response reports this change.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::stream;
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;

use super::frame::Failure;
use super::page;
use super::request::{Guest, Visit};
use crate::App;

/// Maximum number of open pages that can receive live updates at the same time.
const PAGES_MAX: usize = 1_024;
/// Minimum time between two checks whether the content of one page has changed. All changes in this time are
/// reported together.
const CHECK_EVERY: Duration = Duration::from_millis(50);
/// The time after which the server sends an empty message if the content has not changed. The message shows
/// that the connection still exists.
const SIGN_EVERY: Duration = Duration::from_secs(15);
/// Maximum duration of one connection for live updates. Afterwards, the browser connects again, and the server
/// checks the session of the person again.
const CONNECTION_MAX: Duration = Duration::from_mins(2);
/// Maximum time that a response in the cloud waits for a change. An HTTP API of AWS waits at most 30 s for the
/// response of a function.
const POLL_MAX: Duration = Duration::from_secs(15);
/// The time between two checks for changes in the cloud. A function in the cloud receives no signal about
/// changes.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// The time after which a browser connects again if the connection is lost, in milliseconds.
const RETRY_MS: u64 = 1_000;

static PAGES: Semaphore = Semaphore::const_new(PAGES_MAX);

pub(super) fn routes() -> Router<App> {
    Router::new().route("/live/{page}", get(changes))
}

/// An open page that receives live updates.
struct Watched {
    visit: Visit,
    name: String,
    /// The version of the content that the browser shows.
    version: String,
    followed: watch::Receiver<i64>,
    stopping: watch::Receiver<bool>,
    ends: Instant,
    is_first: bool,
    _permit: SemaphorePermit<'static>,
}

async fn changes(State(app): State<App>, Path(name): Path<String>, request: Request) -> Response {
    let guest = Guest::of(&app, request.uri(), request.headers());
    let known = guest.asked_for("version").unwrap_or_default().to_owned();
    // After status 403 or 404, the script in the browser loads the whole page again. After any other error, the
    // script only connects again.
    let visit = match guest.visit(std::collections::BTreeMap::new()).await {
        Ok(Some(visit)) => visit,
        Ok(None) => return StatusCode::FORBIDDEN.into_response(),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    if page(&name).is_none_or(|page| page.is_for_superusers && !visit.may_read_operations) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Ok(permit) = PAGES.try_acquire() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let mut watched = Watched {
        name,
        version: known,
        followed: app.followed.subscribe(),
        stopping: app.stopping.subscribe(),
        ends: Instant::now() + CONNECTION_MAX,
        is_first: true,
        visit,
        _permit: permit,
    };
    if app.settings.is_streaming {
        return streamed(watched);
    }
    watched.ends = Instant::now() + POLL_MAX;
    loop {
        match watched.current().await {
            Ok(version) if version != watched.version || Instant::now() >= watched.ends => {
                let headers = [(header::CACHE_CONTROL, "no-store")];
                return (headers, Json(json!({ "version": version }))).into_response();
            }
            Ok(_) => tokio::time::sleep(POLL_EVERY).await,
            Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

fn streamed(watched: Watched) -> Response {
    let events = stream::unfold(watched, |mut watched| async move {
        let text = watched.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), watched))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

impl Watched {
    /// Returns the version of the current content of the page.
    async fn current(&self) -> Result<String, Failure> {
        let page = page(&self.name).ok_or(Failure::NotFound)?;
        (page.version)(self.visit.clone()).await
    }

    /// Waits for a change, and returns the text of the next server-sent event. Returns `None` if the connection
    /// ends or if the content cannot be read.
    async fn next(&mut self) -> Option<String> {
        if std::mem::take(&mut self.is_first) {
            return Some(format!("retry: {RETRY_MS}\n\n"));
        }
        let sign_due = Instant::now() + SIGN_EVERY;
        loop {
            if *self.stopping.borrow() || Instant::now() >= self.ends {
                return None;
            }
            // This line marks all processed commits as seen before the check of the content. A commit during
            // the check therefore causes another check.
            self.followed.borrow_and_update();
            let version = self.current().await.ok()?;
            if version != self.version {
                self.version.clone_from(&version);
                return Some(format!("event: change\nid: {version}\ndata: {version}\n\n"));
            }
            tokio::time::sleep(CHECK_EVERY).await;
            tokio::select! {
                changed = self.followed.changed() => changed.ok()?,
                _ = self.stopping.changed() => return None,
                () = tokio::time::sleep_until(sign_due.min(self.ends)) => {}
            }
            if Instant::now() >= sign_due {
                return Some(": connected\n\n".into());
            }
        }
    }
}
