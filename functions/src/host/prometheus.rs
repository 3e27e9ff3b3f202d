//! Serves `/metrics`, the figures of a desk on one machine, in the text format of OpenMetrics 1.0, which Prometheus reads.
//!
//! Most values are read for each request: positions, lengths of queues and lists. Only requests are counted as they
//! happen.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use infra::{Error, Kind};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::App;
use crate::app::notifications::accounts;
use crate::catalog;
use crate::http::{refuse_untrusted, refused};
use crate::registry::counted;
use crate::stream::parked;

/// The media type of OpenMetrics 1.0.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The largest number of parked streams and of parked messages that are counted.
const PARKED_MAX: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfQueue {
    queue: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfList {
    view: &'static str,
    list: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAccount {
    account: String,
    channel: String,
}

/// Returns the route of the metrics.
pub(super) fn routes() -> Router<App> {
    Router::new().route("/metrics", get(metrics))
}

/// Handles `GET /metrics`. The figures are about the whole desk, so the caller must be an app that the desk trusts to act
/// for every user (HTTP Basic).
async fn metrics(State(app): State<App>, request: Request) -> Response {
    if let Some(refused) = refuse_untrusted(&app, request).await {
        return refused;
    }
    match text(&app).await {
        Ok(text) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(error) => refused(error),
    }
}

/// Returns the metrics of the desk as text.
async fn text(app: &App) -> Result<String, Error> {
    let mut registry = Registry::default();
    let requests = &app.requests;
    registry.register(
        "ledgerdesk_http_requests",
        "Answered requests by API and HTTP status",
        requests.answered.clone(),
    );
    registry.register(
        "ledgerdesk_http_request_duration_seconds",
        "Duration of requests by API",
        requests.durations.clone(),
    );
    let head = app.ledger.store.head().await?.position;
    registry.register(
        "ledgerdesk_ledger_position",
        "Number of commits in the ledger",
        ConstGauge::new(head),
    );
    registry.register(
        "ledgerdesk_views_position",
        "Number of commits that lists and reactions include",
        ConstGauge::new(app.followed.position()),
    );
    let waiting = Family::<OfQueue, Gauge>::default();
    for queue in catalog::queues() {
        let count = app.queue.waiting(queue).await?;
        waiting.get_or_create(&OfQueue { queue }).set(signed(count));
    }
    registry.register(
        "ledgerdesk_queue_messages",
        "Messages that wait in a queue or are being processed",
        waiting,
    );
    let messages = app.queue.parked(PARKED_MAX).await?.len();
    registry.register(
        "ledgerdesk_parked_messages",
        "Messages that failed too often and wait for an operator, at most 1000",
        ConstGauge::new(signed(messages as u64)),
    );
    let streams = parked::list(&*app.views, PARKED_MAX).await?.len();
    registry.register(
        "ledgerdesk_parked_streams",
        "Streams whose reactions failed and wait for an operator, at most 1000",
        ConstGauge::new(signed(streams as u64)),
    );
    let entries = Family::<OfList, Gauge>::default();
    for (view, list) in counted() {
        let count = app.views.count(view, list, "", "~").await?;
        entries
            .get_or_create(&OfList { view, list })
            .set(signed(count));
    }
    registry.register(
        "ledgerdesk_list_entries",
        "Entries of counted lists, such as failed API calls; a list by person counts an entry once per person",
        entries,
    );
    let sending = &app.sending;
    registry.register(
        "ledgerdesk_channel_attempts",
        "Attempts to send a message by channel account and result",
        sending.attempts.clone(),
    );
    registry.register(
        "ledgerdesk_channel_accept_duration_seconds",
        "Time from the request of a message until the provider accepted it",
        sending.latencies.clone(),
    );
    registry.register(
        "ledgerdesk_notification_engagement",
        "Notifications that people read in the inbox or used for an action",
        sending.engagement.clone(),
    );
    registry.register(
        "ledgerdesk_refused_mails",
        "Mails of proven senders that are not for the desk, by reason",
        sending.refused_mails.clone(),
    );
    let available = Family::<OfAccount, Gauge>::default();
    let degraded = Family::<OfAccount, Gauge>::default();
    for account in accounts::all(app).await? {
        let is_paused = account.paused_until().is_some();
        let is_available = account.defined.is_enabled && account.stopped.is_none() && !is_paused;
        let of = OfAccount {
            account: account.defined.name,
            channel: account.defined.channel,
        };
        let is_degraded = account.degraded.is_some();
        available.get_or_create(&of).set(i64::from(is_available));
        degraded.get_or_create(&of).set(i64::from(is_degraded));
    }
    registry.register(
        "ledgerdesk_channel_account_available",
        "1 if the channel account sends messages, 0 if it is paused, stopped or switched off",
        available,
    );
    registry.register(
        "ledgerdesk_channel_account_degraded",
        "1 if most of the last messages of the channel account failed",
        degraded,
    );
    if let Some(process) = Process::read() {
        registry.register_collector(Box::new(process));
    }
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|error| Error::because(Kind::Corrupt, "the metrics cannot be written", error))?;
    Ok(text)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The resources that this process uses, from the file system `/proc` of Linux.
#[derive(Debug)]
struct Process {
    resident_bytes: u64,
    cpu_ticks: u64,
    open_files: u64,
}

/// The number of ticks of processor time in one second. Linux uses this unit in `/proc` on all machines.
const TICKS_PER_S: f64 = 100.0;

impl Process {
    /// Returns `None` on an operating system without `/proc`.
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second value is the name of the program in parentheses, and can contain spaces.
        let (_, values) = stat.rsplit_once(')')?;
        let values: Vec<&str> = values.split_whitespace().collect();
        let number = |at: usize| values.get(at)?.parse::<u64>().ok();
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let resident_kib: u64 = resident.trim().strip_suffix(" kB")?.parse().ok()?;
        // Reading the directory opens one more file.
        let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count() - 1;
        Some(Self {
            resident_bytes: resident_kib * 1024,
            cpu_ticks: number(11)? + number(12)?,
            open_files: open_files as u64,
        })
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let resident = ConstGauge::new(signed(self.resident_bytes));
        resident.encode(encoder.encode_descriptor(
            "process_resident_memory_bytes",
            "Resident memory of the process",
            None,
            resident.metric_type(),
        )?)?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "ticks of a process are far below 2^52"
        )]
        let seconds = ConstCounter::new(self.cpu_ticks as f64 / TICKS_PER_S);
        seconds.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "Processor time of the process",
            None,
            seconds.metric_type(),
        )?)?;
        let files = ConstGauge::new(signed(self.open_files));
        files.encode(encoder.encode_descriptor(
            "process_open_fds",
            "Open files and connections of the process",
            None,
            files.metric_type(),
        )?)
    }
}
