//! Counts the requests that this process has answered, and the messages that it has sent, for the metrics of the desk.

use domain::attempt::Verdict;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// The upper bounds of the groups of request durations, in seconds. The last bound is the time limit of a request.
const DURATIONS_S: [f64; 12] = [
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 25.0,
];

/// The upper bounds of the groups of times until a provider accepts a message, in seconds. A delivery ends after one day.
const LATENCIES_S: [f64; 11] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3_600.0, 86_400.0,
];

/// The name of a channel account and the result of an attempt to send a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Attempted {
    account: String,
    result: &'static str,
}

/// The name of a channel account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfAccount {
    account: String,
}

/// What a person did with a notification.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Engaged {
    kind: &'static str,
}

/// Why the desk did not execute the command of a mail whose sender is proven.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusedMail {
    reason: &'static str,
}

/// The messages that this process has sent. The number of accounts is small, because operators define them.
#[derive(Debug)]
pub struct Sending {
    pub attempts: Family<Attempted, Counter>,
    /// The times from the request of a message until the provider accepted it.
    pub latencies: Family<OfAccount, Histogram, fn() -> Histogram>,
    pub engagement: Family<Engaged, Counter>,
    pub refused_mails: Family<RefusedMail, Counter>,
}

impl Default for Sending {
    fn default() -> Self {
        Self {
            attempts: Family::default(),
            latencies: Family::new_with_constructor(|| Histogram::new(LATENCIES_S)),
            engagement: Family::default(),
            refused_mails: Family::default(),
        }
    }
}

impl Sending {
    /// Counts one attempt. `age_ms` is the time since the message was requested, in milliseconds.
    pub fn count(&self, account: &str, verdict: &Verdict, age_ms: i64) {
        let account = account.to_owned();
        let result = match verdict {
            Verdict::Succeeded { .. } | Verdict::Poll { .. } => "accepted",
            Verdict::Retry { .. } => "retried",
            Verdict::Throttled { .. } => "throttled",
            Verdict::Refused { .. } | Verdict::Failed { .. } => "refused",
            Verdict::Unknown { .. } => "unknown",
        };
        if result == "accepted" {
            let latencies = self.latencies.get_or_create(&OfAccount {
                account: account.clone(),
            });
            latencies.observe(seconds(age_ms));
        }
        let attempted = Attempted { account, result };
        self.attempts.get_or_create(&attempted).inc();
    }

    /// Counts what a person did with a notification. `kind` is `read` or `acted`.
    pub fn engaged(&self, kind: &'static str) {
        self.engagement.get_or_create(&Engaged { kind }).inc();
    }

    /// Counts a mail of a proven sender that is not for the desk. `reason` is a short name.
    pub fn refused_mail(&self, reason: &'static str) {
        let refused = RefusedMail { reason };
        self.refused_mails.get_or_create(&refused).inc();
    }
}

/// Converts milliseconds to seconds. A clock that is set back makes a duration negative.
#[expect(
    clippy::cast_precision_loss,
    reason = "durations are less than 2^52 ms, so they are exact"
)]
fn seconds(ms: i64) -> f64 {
    ms.max(0) as f64 / 1000.0
}

/// The name of an API and the HTTP status of a response.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    api: &'static str,
    status: u16,
}

/// The name of an API.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfApi {
    api: &'static str,
}

/// The requests that this process has answered.
#[derive(Debug)]
pub struct Requests {
    pub answered: Family<Answered, Counter>,
    pub durations: Family<OfApi, Histogram, fn() -> Histogram>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            answered: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS_S)),
        }
    }
}

impl Requests {
    /// Counts an answered request. `api` is one of a few names, such as `v1`.
    pub fn count(&self, api: &'static str, status: u16, duration_ms: i64) {
        self.answered.get_or_create(&Answered { api, status }).inc();
        self.durations
            .get_or_create(&OfApi { api })
            .observe(seconds(duration_ms));
    }
}
