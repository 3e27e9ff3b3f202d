//! Reads the appointments of a person from an iCalendar feed, if the person has one. The desk keeps only the times of
//! the next 48 hours, encrypted with the key of the person.

use std::time::Duration;

use domain::notification::availability::Busy;
use events::person::PreferencesChanged;
use events::{Moment, Personal};
use infra::Error;
use infra::calendar_feed;
use infra::http::HttpRequest;
use infra::views::Document;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::App;

/// The name of the view (a stored table) with one document for each person with a feed.
pub const PRESENCE: &str = "presence";
/// The time in milliseconds for which the appointments of a person are kept: 15 minutes.
const KEPT_MS: i64 = 15 * 60_000;
/// The length of the period whose appointments are kept, in milliseconds: 48 hours.
const HORIZON_MS: i64 = 48 * 3_600_000;
/// Maximum duration of the request to a feed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a feed in bytes: 1 MiB.
const FEED_BYTES_MAX: usize = 1 << 20;

/// The document of one person.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    read_at: Moment,
    /// The content ([`Content`]) as a personal value.
    content: Personal,
}

/// The appointments of a person, and the address of the feed from which they were read.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    url: String,
    busy: Vec<Busy>,
}

/// Returns the known appointments of a person in the next 48 hours. The feed is read again if the known appointments
/// are older than 15 minutes. If the feed cannot be read, the appointments are unknown, and the list is empty.
/// `zone` is the time zone of appointments without a time zone.
pub async fn appointments(
    app: &App,
    preferences: &PreferencesChanged,
    zone: &TimeZone,
) -> Result<Vec<Busy>, Error> {
    let Some(feed) = &preferences.presence else {
        return Ok(Vec::new());
    };
    let Some(url) = feed.value.as_str() else {
        return Ok(Vec::new());
    };
    let key = feed.subject.as_str();
    let now = app.ledger.clock.now();
    let document = app.views.get(PRESENCE, key).await?;
    let expected = document.as_ref().map_or(0, |document| document.sequence);
    if let Some(document) = document
        && let Some(busy) = known(app, &document, url, now).await?
    {
        return Ok(busy);
    }
    let busy = match read(app, url, zone, now).await {
        Ok(busy) => busy,
        Err(reason) => {
            tracing::warn!(
                person = key,
                reason = reason.as_str(),
                "cannot read the calendar of a person"
            );
            Vec::new()
        }
    };
    let content = json!({ "url": url, "busy": &busy });
    let mut stored = Stored {
        read_at: now,
        content: Personal::new(feed.subject.clone(), content),
    };
    app.ledger.seal([&mut stored.content].into_iter()).await?;
    let document = Document {
        sequence: expected + 1,
        body: serde_json::to_vec(&stored).unwrap_or_default(),
    };
    // If another worker has stored the same appointments, its document stays.
    app.views
        .put(PRESENCE, key, &document, &[], expected)
        .await?;
    Ok(busy)
}

/// Returns the appointments in a document. Returns `None` if they are too old, or if they are from another feed.
async fn known(
    app: &App,
    document: &Document,
    url: &str,
    now: Moment,
) -> Result<Option<Vec<Busy>>, Error> {
    let Ok(mut stored) = serde_json::from_slice::<Stored>(&document.body) else {
        return Ok(None);
    };
    if stored.read_at.plus_ms(KEPT_MS) <= now {
        return Ok(None);
    }
    app.ledger.open([&mut stored.content].into_iter()).await?;
    let content: Content = serde_json::from_value(stored.content.value).unwrap_or_default();
    Ok((content.url == url).then_some(content.busy))
}

/// Reads a feed. An error is an English text without the address of the feed, because the address is a secret.
async fn read(app: &App, url: &str, zone: &TimeZone, now: Moment) -> Result<Vec<Busy>, String> {
    let request = HttpRequest::get(url, TIMEOUT, FEED_BYTES_MAX);
    let response = app.http.send(&request).await;
    let response = response.map_err(|_| "the request failed".to_owned())?;
    if response.status != 200 {
        return Err(format!("the response has status {}", response.status));
    }
    if response.is_cut {
        return Err(format!("the feed is larger than {FEED_BYTES_MAX} bytes"));
    }
    let zone = zone.clone();
    // A large feed with many recurring events takes some time to compute.
    let computed = tokio::task::spawn_blocking(move || {
        let text = String::from_utf8_lossy(&response.body);
        calendar_feed::busy(&text, &zone, now, now.plus_ms(HORIZON_MS))
    });
    computed
        .await
        .unwrap_or_else(|_| Err("the feed cannot be read".to_owned()))
}
