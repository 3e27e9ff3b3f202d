//! Imitates a system with a REST API for its records, such as a monitoring system or a CRM. A client reads a record with
//! `GET /records/{id}` and changes it with `PATCH /records/{id}` and a merge patch. Requests need a bearer token.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// The path below which the records are.
pub const PATH: &str = "/records";

/// The records of an imitated system, by their ids.
#[derive(Debug, Default)]
pub struct Records {
    token: String,
    by_id: Mutex<BTreeMap<String, Value>>,
    /// The times of the requests with the right token, in the order of their arrival.
    requests: Mutex<Vec<Instant>>,
    writes: AtomicUsize,
}

type Answer = Result<Json<Value>, StatusCode>;

impl Records {
    /// Creates a system without records. Requests must have the bearer token.
    pub fn new(token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..Self::default()
        }
    }

    /// Stores a record under its member `id`.
    pub fn put(&self, record: &Value) {
        let id = record["id"].as_str().unwrap_or_default().to_owned();
        self.all().insert(id, record.clone());
    }

    /// Returns the number of records whose member `name` has the given value.
    pub fn count(&self, name: &str, value: &str) -> usize {
        let records = self.all();
        records
            .values()
            .filter(|record| record[name] == value)
            .count()
    }

    /// Returns the number of requests that changed a record.
    pub fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    /// Returns the number of requests with the right token.
    pub fn requests(&self) -> usize {
        self.requests.lock().expect("no holder panics").len()
    }

    /// Returns the largest number of requests with the right token in any period of the given length.
    pub fn requests_max(&self, period: Duration) -> usize {
        most_within(&self.requests.lock().expect("no holder panics"), period)
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Value>> {
        self.by_id.lock().expect("no holder panics")
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let given = headers
            .get("authorization")
            .map(axum::http::HeaderValue::as_bytes);
        if given == Some(format!("Bearer {}", self.token).as_bytes()) {
            let mut requests = self.requests.lock().expect("no holder panics");
            requests.push(Instant::now());
            Ok(())
        } else {
            Err(StatusCode::UNAUTHORIZED)
        }
    }

    /// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        let path = format!("{PATH}/{{id}}");
        let router = Router::new()
            .route(&path, get(read).patch(change))
            .with_state(self);
        axum::serve(listener, router).await
    }
}

async fn read(
    State(system): State<Arc<Records>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    system.check(&headers)?;
    let record = system.all().get(&id).cloned();
    record.map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn change(
    State(system): State<Arc<Records>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(patch): Json<Map<String, Value>>,
) -> Answer {
    system.check(&headers)?;
    let mut records = system.all();
    let record = records.get_mut(&id).ok_or(StatusCode::NOT_FOUND)?;
    merge(record, Value::Object(patch));
    system.writes.fetch_add(1, Ordering::Relaxed);
    Ok(Json(record.clone()))
}

/// Returns the largest number of the times in any period of the given length. The times are in ascending order.
fn most_within(times: &[Instant], period: Duration) -> usize {
    let mut first = 0;
    let counts = times.iter().enumerate().map(|(at, time)| {
        while time.duration_since(times[first]) >= period {
            first += 1;
        }
        at - first + 1
    });
    counts.max().unwrap_or_default()
}

/// Applies a merge patch (RFC 7396, section 2).
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(members) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, value) in members {
        if value.is_null() {
            if let Some(known) = target.as_object_mut() {
                known.remove(&name);
            }
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_busiest_period_is_found() {
        let begin = Instant::now();
        let times = [0, 1, 2, 60, 61, 61, 62].map(|s| begin + Duration::from_secs(s));
        for (seconds, expected) in [(1, 2), (2, 3), (60, 4), (61, 5), (100, 7)] {
            assert_eq!(
                most_within(&times, Duration::from_secs(seconds)),
                expected,
                "{seconds} s"
            );
        }
        assert_eq!(most_within(&[], Duration::from_secs(1)), 0);
    }

    /// Examples of RFC 7396, appendix A.
    #[test]
    fn a_merge_patch_is_applied_as_in_the_standard() {
        for (target, patch, expected) in [
            (
                json!({ "a": "b" }),
                json!({ "a": "c" }),
                json!({ "a": "c" }),
            ),
            (
                json!({ "a": "b" }),
                json!({ "b": "c" }),
                json!({ "a": "b", "b": "c" }),
            ),
            (json!({ "a": "b" }), json!({ "a": null }), json!({})),
            (
                json!({ "a": { "b": "c" } }),
                json!({ "a": { "b": "d", "c": null } }),
                json!({ "a": { "b": "d" } }),
            ),
            (json!({ "a": "foo" }), json!(null), json!(null)),
            (json!([1, 2]), json!({ "a": "b" }), json!({ "a": "b" })),
            (
                json!({}),
                json!({ "a": { "bb": { "ccc": null } } }),
                json!({ "a": { "bb": {} } }),
            ),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, patch.clone());
            assert_eq!(merged, expected, "{target} {patch}");
        }
    }
}
