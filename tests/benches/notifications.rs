//! This load test measures the notifications of a desk (`docs/performance.md`). The commands are
//! `cargo build --release --bin ledgerdesk`, then `cargo bench -p tests --bench notifications`.
//!
//! Mails and sends: see the module `sending`. The time from an event to its message: see the module `latency`. Entries
//! of inboxes and memory of held notifications: see the module `desk_only`. Templates: see the module `rendering`.
//!
//! The programs of other vendors run in turns with the desk, in the same run and on the loopback address. The first run
//! installs them below `target/peers`. All programs end with the test. The receivers of the messages are parts of this
//! test program, and they are measured alone first.
//!
//! The command-line arguments select parts of the test: `sinks`, `mails`, `inbox`, `latency`, `templates`, `sends`,
//! `held`, `policy_try`. Without arguments, all parts run. With the environment variable `LEDGERDESK_BENCH_SMALL=1`,
//! each part has a twentieth of its size, so that a developer can check the test itself.

#![expect(
    clippy::cast_precision_loss,
    reason = "times and counts are far below 2^52"
)]

#[path = "notifications/desk.rs"]
mod desk;
#[path = "notifications/desk_only.rs"]
mod desk_only;
#[path = "notifications/latency.rs"]
mod latency;
#[path = "notifications/peers.rs"]
mod peers;
#[path = "notifications/rendering.rs"]
mod rendering;
#[path = "notifications/sending.rs"]
mod sending;
#[path = "notifications/sinks.rs"]
mod sinks;

use std::path::Path;
use std::time::Duration;

use infra::clock::{Clock as _, SystemClock};
use tokio::time::Instant;

/// Each part has a share of its size if this environment variable is set.
const SMALL: &str = "LEDGERDESK_BENCH_SMALL";
const SMALL_SHARE: usize = 20;
/// Maximum time that the test waits for a condition, such as the arrival of all messages.
const PATIENCE: Duration = Duration::from_mins(4);

/// Returns the number of items of a part: `full`, or a share of it in a small run.
fn counted(full: usize) -> usize {
    if std::env::var_os(SMALL).is_some() {
        full.div_ceil(SMALL_SHARE)
    } else {
        full
    }
}

/// Returns the current time in milliseconds since 1970.
fn now_ms() -> i64 {
    SystemClock.now().0
}

/// Checks a count until it is at least `wanted`. Panics if the count is still smaller after [`PATIENCE`].
async fn arrived(
    what: &str,
    wanted: usize,
    pause: Duration,
    mut count: impl AsyncFnMut() -> usize,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = count().await;
        if found >= wanted {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: {found} of {wanted} after {PATIENCE:?}"
        );
        tokio::time::sleep(pause).await;
    }
}

/// Returns a percentile of times in milliseconds. `share` is a percentage, for example 99 for the 99th percentile.
fn percentile(times: &[i64], share: usize) -> i64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * share).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or(i64::MAX)
}

/// Writes a file, and returns its path.
fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("a path").to_owned()
}

/// Items and the time that they needed, added up over all rounds.
#[derive(Clone, Copy, Default)]
struct Rate {
    items: usize,
    seconds: f64,
}

impl Rate {
    fn add(&mut self, items: usize, seconds: f64) {
        self.items += items;
        self.seconds += seconds;
    }

    fn per_second(self) -> f64 {
        self.items as f64 / self.seconds
    }
}

/// The rows of the table for `docs/performance.md`.
#[derive(Default)]
struct Table(Vec<[String; 3]>);

impl Table {
    /// Adds a row without an aim.
    fn note(&mut self, what: &str, figure: String) {
        self.push([what.to_owned(), figure, String::new()]);
    }

    /// Adds a row with an aim.
    fn judge(&mut self, what: &str, figure: String, aim: &str, is_reached: bool) {
        let reached = if is_reached { "reached" } else { "**missed**" };
        self.push([what.to_owned(), figure, format!("{aim}: {reached}")]);
    }

    fn push(&mut self, row: [String; 3]) {
        println!("| {} |", row.join(" | "));
        self.0.push(row);
    }

    fn print(&self) {
        println!("\n| what | figure | aim |\n| --- | ---: | --- |");
        for row in &self.0 {
            println!("| {} |", row.join(" | "));
        }
    }
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
    let mut table = Table::default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores; each part shares them with its clients and receivers");
    if runs("sinks") {
        sinks::measure(&mut table).await;
    }
    if runs("mails") {
        sending::mails(&mut table).await;
    }
    if runs("inbox") {
        desk_only::inbox(&mut table).await;
    }
    if runs("latency") {
        latency::measure(&mut table).await;
    }
    if runs("templates") {
        rendering::measure(&mut table).await;
    }
    if runs("sends") {
        sending::sends(&mut table).await;
    }
    if runs("held") {
        desk_only::held(&mut table).await;
    }
    if runs("policy_try") {
        desk_only::policy_try(&mut table).await;
    }
    table.print();
}
