//! Clocks and sources of random bytes: of the operating system, and repeatable for tests.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use events::Moment;

/// Returns the current time.
pub trait Clock: Send + Sync {
    /// Returns the current time, UTC, milliseconds.
    fn now(&self) -> Moment;
}

/// Fills buffers with unpredictable bytes.
pub trait Rng: Send + Sync {
    /// Fills a buffer with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The clock of the operating system.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the only caller of the system clock"
    )]
    fn now(&self) -> Moment {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Moment(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The random source of the operating system.
#[derive(Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    #[expect(
        clippy::disallowed_methods,
        reason = "the only caller of the random source"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the machine has a source of randomness");
    }
}

/// A clock for tests, whose time changes only by `advance`.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Creates a clock whose current time is `moment`.
    pub fn at(moment: Moment) -> Self {
        Self(AtomicI64::new(moment.0))
    }
    /// Moves the clock forward by `ms` milliseconds.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }
}

/// Random bytes from a seed, for repeatable runs: BLAKE3 of the seed and a counter.
#[derive(Debug)]
pub struct SeededRng {
    seed: u64,
    drawn: Mutex<u64>,
}

impl SeededRng {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            drawn: Mutex::new(0),
        }
    }
}

impl Rng for SeededRng {
    fn fill(&self, bytes: &mut [u8]) {
        let mut drawn = self.drawn.lock().expect("no holder panics");
        *drawn += 1;
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&self.seed.to_be_bytes())
            .update(&drawn.to_be_bytes());
        hasher.finalize_xof().fill(bytes);
    }
}
