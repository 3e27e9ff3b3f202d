//! This load test measures the work of a desk with external systems (`docs/performance.md`). The command is
//! `cargo bench -p tests --bench external`.
//!
//! Cases: see the module `cases`. Polling: see the module `polling`. Writes of statuses: see the module `write_back`.
//! Callbacks: see the module `callbacks`.
//!
//! Each part compares the desk with the bare costs of the same work, or with another system, in the same run. All programs
//! run on the loopback address, and end with the test.
//!
//! The command-line arguments select parts of the test: `cases`, `polling`, `write_back`, `callbacks`. Without arguments,
//! all parts run. This takes about 20 minutes, most of them in `polling`, because the desk polls at most once in a minute.

#![expect(
    clippy::cast_precision_loss,
    reason = "times and counts are far below 2^52"
)]

#[path = "external/callbacks.rs"]
mod callbacks;
#[path = "external/cases.rs"]
mod cases;
#[path = "external/itsm.rs"]
mod itsm;
#[path = "external/polling.rs"]
mod polling;
#[path = "external/write_back.rs"]
mod write_back;

use std::path::Path;
use std::time::Duration;

use infra::clock::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::Value;
use tests::process::{APP, Served, client, free_port};
use tokio::time::Instant;

/// Pause between two requests with which the test checks a condition again.
const PAUSE: Duration = Duration::from_millis(500);
/// Largest number of items on a page of the API `/v1`.
const PAGE: usize = 200;
/// Maximum number of repetitions of a request that was above the rate limit of the desk, and the pause before each one.
const REPEATS_MAX: usize = 120;
const REPEAT_PAUSE: Duration = Duration::from_secs(1);

/// A running desk with one HTTP client for all requests, because creating a client takes time.
struct Desk {
    served: Served,
    http: reqwest::Client,
}

impl Desk {
    /// Starts a desk on the given port of the loopback address. The port is part of the URLs for callbacks.
    fn start(data: &Path, port: u16, arguments: &[String]) -> Self {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let served = Served::start_at(data, port, &arguments);
        assert!(served.is_up(), "the desk did not start");
        Self {
            served,
            http: client(),
        }
    }

    /// Starts a desk on a free port.
    fn start_anywhere(data: &Path, arguments: &[String]) -> Self {
        Self::start(data, free_port(), arguments)
    }

    /// Sends a request to `/v1` on behalf of a user, and returns status and body of the response. If the request is above
    /// the rate limit of the desk, the function sends the request again.
    async fn send(
        &self,
        method: Method,
        path: &str,
        user: &str,
        body: &Value,
        key: Option<&str>,
    ) -> (u16, Value) {
        for _ in 0..REPEATS_MAX {
            let mut request = self
                .http
                .request(method.clone(), format!("{}/v1/{path}", self.served.base))
                .basic_auth(APP.0, Some(APP.1))
                .header("x-on-behalf-of", user);
            if !body.is_null() {
                request = request.json(body);
            }
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
            let response = request.send().await.expect("a response");
            let status = response.status().as_u16();
            let bytes = response.bytes().await.expect("a body");
            if status != 429 {
                return (status, serde_json::from_slice(&bytes).unwrap_or_default());
            }
            tokio::time::sleep(REPEAT_PAUSE).await;
        }
        panic!("{path}: every request is above the rate limit");
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self
            .send(Method::GET, path, "admin", &Value::Null, None)
            .await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Returns the first `count` items of a list. The list is in the member `name` of the response to the path.
    async fn all(&self, path: &str, name: &str, count: usize) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::with_capacity(count);
        for page in 1..=count.div_ceil(PAGE) {
            let path = format!("{path}{separator}page_size={PAGE}&page={page}");
            let mut shown = self.get(&path).await;
            if let Value::Array(items) = shown[name].take() {
                all.extend(items);
            }
        }
        all
    }
}

/// Returns the name of a user. Different users have separate rate limits.
fn user(number: usize) -> String {
    format!("user{number:03}")
}

fn now_ms() -> i64 {
    SystemClock.now().0
}

/// Checks a condition until it is true. Panics if it is still false after the time `limit`.
async fn wait(what: &str, limit: Duration, mut is_true: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_true().await {
        assert!(
            Instant::now() < deadline,
            "after {limit:?}, this is not true: {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Returns a percentile of the times. `share` is a percentage, for example 99 for the 99th percentile.
fn percentile(times: &[Duration], share: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * share).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or(Duration::MAX)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Returns the words with which the test prints whether an aim is reached.
fn reached(is_reached: bool) -> &'static str {
    if is_reached { "reached" } else { "**missed**" }
}

/// Writes a file, and returns its path.
fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("a path").to_owned()
}

#[tokio::main]
async fn main() {
    // `cargo bench` adds the argument `--bench`, which begins with a hyphen. The test therefore ignores arguments that
    // begin with a hyphen.
    let chosen: Vec<String> = std::env::args()
        .skip(1)
        .filter(|one| !one.starts_with('-'))
        .collect();
    let runs = |part: &str| chosen.is_empty() || chosen.iter().any(|one| one == part);
    if runs("cases") {
        cases::measure().await;
    }
    if runs("callbacks") {
        callbacks::measure().await;
    }
    if runs("write_back") {
        write_back::measure().await;
    }
    if runs("polling") {
        polling::measure().await;
    }
}
