//! Counts the requests to cloud services, their bytes and their capacity units. The cost of the
//! requests is computed from these numbers.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// Prices in US dollars per million request units of DynamoDB: first for writes, then for reads.
/// These are the on-demand prices in us-east-1 since November 2024.
pub const DOLLARS_PER_MILLION: (f64, f64) = (0.625, 0.125);
/// Price in US dollars per million PUT requests to S3 Standard.
pub const PUTS_DOLLARS_PER_MILLION: f64 = 5.0;

/// How many requests of one kind were sent, with their total size and their total capacity units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    pub requests: u64,
    /// Number of write request units (units in which DynamoDB charges writes) that the counted
    /// requests used.
    pub write_units: f64,
    pub read_units: f64,
    /// Total size of the sent and received items in bytes.
    pub bytes: u64,
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.write_units += other.write_units;
        self.read_units += other.read_units;
        self.bytes += other.bytes;
    }
}

impl Counted {
    /// Returns the cost of the DynamoDB request units in US dollars. The cost of S3 is not
    /// included.
    pub fn dollars(&self) -> f64 {
        (self.write_units * DOLLARS_PER_MILLION.0 + self.read_units * DOLLARS_PER_MILLION.1) / 1e6
    }
}

/// Counts requests, bytes and capacity units separately for each kind of request. An example of a
/// kind is `journal put`.
#[derive(Debug, Default)]
pub struct Meter(Mutex<BTreeMap<&'static str, Counted>>);

impl Meter {
    /// Adds one request, with its bytes and capacity units, to the counters of its kind.
    pub fn count(&self, kind: &'static str, counted: Counted) {
        *self
            .0
            .lock()
            .expect("no holder panics")
            .entry(kind)
            .or_default() += Counted {
            requests: 1,
            ..counted
        };
    }

    /// Counts one write request with its size in bytes and its capacity units.
    pub fn wrote(&self, kind: &'static str, bytes: usize, units: Option<f64>) {
        self.count(
            kind,
            Counted {
                write_units: units.unwrap_or_default(),
                bytes: bytes as u64,
                ..Counted::default()
            },
        );
    }

    /// Counts one read request with its size in bytes and its capacity units.
    pub fn read(&self, kind: &'static str, bytes: usize, units: Option<f64>) {
        self.count(
            kind,
            Counted {
                read_units: units.unwrap_or_default(),
                bytes: bytes as u64,
                ..Counted::default()
            },
        );
    }

    /// Returns the counted numbers for each kind of request, and then resets the meter.
    pub fn take(&self) -> BTreeMap<&'static str, Counted> {
        std::mem::take(&mut self.0.lock().expect("no holder panics"))
    }

    /// Returns the sum of the counted numbers over all kinds of requests.
    pub fn total(&self) -> Counted {
        let mut total = Counted::default();
        self.0
            .lock()
            .expect("no holder panics")
            .values()
            .for_each(|counted| total += *counted);
        total
    }
}
