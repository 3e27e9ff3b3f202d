//! Counts the requests that this process has answered, for the metrics of the desk.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// The upper bounds of the groups of request durations, in seconds. The last bound is the time limit of a request.
const DURATIONS_S: [f64; 12] = [
    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 25.0,
];

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
        // A clock that is set back makes a duration negative. Durations in milliseconds are exact in `f64`.
        #[expect(
            clippy::cast_precision_loss,
            reason = "a request takes less than 2^52 ms"
        )]
        let seconds = duration_ms.max(0) as f64 / 1000.0;
        self.durations
            .get_or_create(&OfApi { api })
            .observe(seconds);
    }
}
