//! Time and chance, the real ones and ones turned by hand.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use events::Moment;

/// What time it is.
pub trait Clock: Send + Sync {
    fn now(&self) -> Moment;
}

/// Bytes nobody can foresee.
pub trait Chance: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Moment {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Moment(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The machine's source of randomness.
#[derive(Debug, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks for randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the machine has a source of randomness");
    }
}

/// A clock that stands until it is turned.
#[derive(Debug, Default)]
pub struct HandClock(AtomicI64);

impl HandClock {
    pub fn at(moment: Moment) -> Self {
        Self(AtomicI64::new(moment.0))
    }
    pub fn turn(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }
}

/// Chance from a seed, for repeatable runs: BLAKE3 of seed and counter.
#[derive(Debug)]
pub struct SeededChance {
    seed: u64,
    drawn: Mutex<u64>,
}

impl SeededChance {
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: Mutex::new(0) }
    }
}

impl Chance for SeededChance {
    fn fill(&self, bytes: &mut [u8]) {
        let mut drawn = self.drawn.lock().expect("no holder panics");
        *drawn += 1;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_be_bytes()).update(&drawn.to_be_bytes());
        hasher.finalize_xof().fill(bytes);
    }
}
