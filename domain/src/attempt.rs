//! Attempts of outgoing work: their number, the instant of the next one, and the verdict on each.
//!
//! Callbacks and API calls embed [`Attempts`]. A decider records one [`Report`] per attempt; it
//! accepts only the attempt that is due, so a repeated report is rejected.

use std::collections::BTreeMap;

use events::Moment;
use events::api_call::Exchange;
use serde::{Deserialize, Serialize};

/// Longest time for which a receiver can postpone the next attempt (`Retry-After`), milliseconds.
pub const RETRY_AFTER_MAX_MS: i64 = 24 * 3_600_000;

/// When failed attempts are repeated, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Consecutive failed attempts after which the work fails.
    pub attempts_max: u32,
    /// Pause after the first failed attempt, milliseconds; it doubles with each further one.
    pub first_ms: i64,
    /// Longest pause, milliseconds.
    pub longest_ms: i64,
}

impl Policy {
    /// Returns the pause in milliseconds after this number of consecutive failed attempts.
    pub fn pause_ms(self, failures: u32) -> i64 {
        let doublings = failures.saturating_sub(1).min(40);
        let pause = self.first_ms.saturating_mul(1_i64 << doublings);
        pause.min(self.longest_ms)
    }
}

/// The classification of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The other system did the work.
    Succeeded {
        /// Values from the response.
        outputs: BTreeMap<String, String>,
    },
    /// The other system accepted the work and has not finished it; the next request follows after
    /// `after_ms`.
    Poll {
        step: String,
        /// The id of the work in the other system.
        task: String,
        after_ms: i64,
    },
    /// The attempt failed and may be repeated.
    Retry {
        reason: String,
        /// The pause that the receiver asked for (`Retry-After`), milliseconds. It replaces the
        /// pause of the policy.
        after_ms: Option<i64>,
    },
    /// The other system rejected the work.
    Failed {
        reason: String,
        outputs: BTreeMap<String, String>,
    },
    /// The other system may have done the work, and a repetition could do it twice.
    Unknown { reason: String },
}

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The number of the attempt, from 1; it must be the attempt that is due.
    pub attempt: u32,
    /// The HTTP exchange; `None` if no request was sent.
    pub exchange: Option<Exchange>,
    /// The HTTP status; `None` without a response.
    pub status: Option<u16>,
    pub verdict: Verdict,
    pub policy: Policy,
    /// When the attempt ended.
    pub at: Moment,
}

/// The attempts of one piece of outgoing work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Attempts with a recorded outcome.
    pub made: u32,
    /// Consecutive failed attempts.
    pub failures: u32,
    /// The last attempt with a recorded start of a non-idempotent request; 0 if there is none.
    #[serde(default)]
    pub started: u32,
    /// The instant at which the next attempt is due.
    pub due: Moment,
}

impl Attempts {
    /// Returns attempts of which the first is due at an instant.
    pub fn due_at(due: Moment) -> Self {
        Self {
            due,
            ..Self::default()
        }
    }
    /// Returns the number of the next attempt.
    pub fn next(&self) -> u32 {
        self.made + 1
    }
    /// Returns whether a started attempt has no recorded outcome.
    pub fn is_interrupted(&self) -> bool {
        self.started == self.next()
    }
    /// Returns the instant of the next attempt after a failed one; `None` if the policy allows no
    /// further attempt.
    pub fn retry_at(&self, policy: Policy, after_ms: Option<i64>, at: Moment) -> Option<Moment> {
        let failures = self.failures + 1;
        let pause = after_ms.map_or_else(
            || policy.pause_ms(failures),
            |after| after.clamp(0, RETRY_AFTER_MAX_MS),
        );
        (failures < policy.attempts_max).then(|| at.plus_ms(pause))
    }
    /// Applies the recorded start of an attempt.
    pub fn start(&mut self, attempt: u32, due: Moment) {
        (self.started, self.due) = (attempt, due);
    }
    /// Applies a failed attempt.
    pub fn fail(&mut self, attempt: u32, due: Moment) {
        (self.made, self.due) = (attempt, due);
        self.failures += 1;
    }
    /// Applies an attempt after which a poll follows.
    pub fn poll(&mut self, attempt: u32, due: Moment) {
        (self.made, self.failures, self.due) = (attempt, 0, due);
    }
    /// Applies the last attempt.
    pub fn end(&mut self, attempt: u32) {
        self.made = attempt;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        attempts_max: 4,
        first_ms: 1000,
        longest_ms: 3000,
    };

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<i64> = (0..5).map(|failures| POLICY.pause_ms(failures)).collect();
        assert_eq!(pauses, [1000, 1000, 2000, 3000, 3000]);
        assert_eq!(POLICY.pause_ms(u32::MAX), 3000);
    }

    #[test]
    fn failed_attempts_repeat_until_the_policy_ends_them() {
        let mut attempts = Attempts::due_at(Moment(5));
        assert_eq!((attempts.next(), attempts.due), (1, Moment(5)));
        for (attempt, due) in [(1, 1010), (2, 2010), (3, 3010)] {
            assert_eq!(attempts.next(), attempt);
            let next = attempts.retry_at(POLICY, None, Moment(10));
            assert_eq!(next, Some(Moment(due)));
            attempts.fail(attempt, Moment(due));
        }
        assert_eq!(attempts.retry_at(POLICY, None, Moment(10)), None);
        assert_eq!(attempts.retry_at(POLICY, Some(1), Moment(10)), None);
    }

    #[test]
    fn retry_after_replaces_the_pause_within_a_bound() {
        let attempts = Attempts::default();
        let at = |after| attempts.retry_at(POLICY, Some(after), Moment(10));
        assert_eq!(at(60_000), Some(Moment(60_010)));
        assert_eq!(at(0), Some(Moment(10)));
        assert_eq!(at(i64::MAX), Some(Moment(10 + RETRY_AFTER_MAX_MS)));
        assert_eq!(at(-5), Some(Moment(10)));
    }

    #[test]
    fn a_poll_ends_a_row_of_failures_and_an_end_is_the_last_attempt() {
        let mut attempts = Attempts::default();
        attempts.start(1, Moment(40));
        assert!(attempts.is_interrupted());
        attempts.fail(1, Moment(50));
        assert_eq!((attempts.failures, attempts.is_interrupted()), (1, false));
        attempts.poll(2, Moment(60));
        assert_eq!(
            (attempts.failures, attempts.due, attempts.next()),
            (0, Moment(60), 3)
        );
        attempts.end(3);
        assert_eq!(attempts.next(), 4);
    }
}
