//! Defines clocks and random sources. Programs use the clock and the random source of the operating
//! system. Tests use implementations with repeatable results.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use events::Moment;

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// Returns the current time in milliseconds, UTC.
    fn now(&self) -> Moment;
}

/// A source of unpredictable bytes.
pub trait Rng: Send + Sync {
    /// Fills the buffer `bytes` with random bytes.
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

/// A clock for tests. Its time changes only when `advance` is called.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Creates a test clock. Its current time is `moment`.
    pub fn at(moment: Moment) -> Self {
        Self(AtomicI64::new(moment.0))
    }
    /// Increases the time of the clock by `ms` milliseconds.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }
}

/// A random source for tests. The bytes are BLAKE3 hashes of a seed and a counter, so each test run
/// gets the same bytes.
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
