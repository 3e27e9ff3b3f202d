//! Counts the attempts to send a request, and computes the time of the next attempt.
//!
//! A value of the type [`Attempts`] counts the attempts of one request, such as a callback or an API call.
//! After each attempt, the desk creates one [`Report`]. Only a report with the number of the current attempt
//! is accepted, so the outcome of an attempt is never stored twice.

use std::collections::BTreeMap;

use events::Moment;
use events::api_call::{AttemptFailed, Exchange};
use events::delivery::FailureClass;
use events::finding::{Finding, Reason};
use serde::{Deserialize, Serialize};

/// Maximum pause in milliseconds that the receiver of a request can set with the header `Retry-After`.
pub const RETRY_AFTER_MAX_MS: i64 = 24 * 3_600_000;

/// Minimum pause that the receiver of a request can set with the header `Retry-After`, in milliseconds. A receiver that
/// sets no pause would otherwise get one request after the other.
const RETRY_AFTER_MIN_MS: i64 = 1_000;

/// The retry policy of a request: the maximum number of attempts and the pauses between the attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Maximum number of failed attempts in succession. After this number, the desk makes no further attempt.
    pub attempts_max: u32,
    /// Pause in milliseconds after the first failed attempt. After each further failed attempt, the pause is
    /// twice as long.
    pub first_ms: i64,
    /// Maximum pause between two attempts, in milliseconds.
    pub longest_ms: i64,
}

impl Policy {
    /// Returns the pause in milliseconds before the next attempt. The parameter `failures` is the number of
    /// failed attempts in succession.
    pub fn pause_ms(self, failures: u32) -> i64 {
        let doublings = failures.saturating_sub(1).min(40);
        let pause = self.first_ms.saturating_mul(1_i64 << doublings);
        pause.min(self.longest_ms)
    }

    /// Returns a pause in milliseconds between `first_ms` and twice the pause of [`Policy::pause_ms`], but at most
    /// `longest_ms`. The parameter `jitter` chooses the pause in this range, from 0 (the start) to [`JITTER_MAX`] (the
    /// end). Work that failed at the same time is then not repeated at the same time.
    pub fn jittered_ms(self, failures: u32, jitter: u32) -> i64 {
        let end = self.pause_ms(failures.saturating_add(1)).max(self.first_ms);
        let part = i128::from(end - self.first_ms) * i128::from(jitter.min(JITTER_MAX))
            / i128::from(JITTER_MAX);
        self.first_ms + i64::try_from(part).unwrap_or_default()
    }
}

/// Maximum value of a jitter, see [`Policy::jittered_ms`].
pub const JITTER_MAX: u32 = 1_000_000;

/// Returns a jitter from 0 to [`JITTER_MAX`] for one attempt of the work `name`. It is a part of a hash, so the same attempt
/// always has the same jitter, and other attempts have other values.
pub fn jitter(name: &str, attempt: u32) -> u32 {
    let hash = blake3::hash(format!("{name}/{attempt}").as_bytes());
    let part = hash.as_bytes().first_chunk::<4>().copied();
    u32::from_le_bytes(part.unwrap_or_default()) % (JITTER_MAX + 1)
}

/// The result of one attempt: whether the work is done, has failed or needs another request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The other system has completed the requested work.
    Succeeded {
        /// The output variables (values for conditions and later nodes) that the desk read from the response.
        outputs: BTreeMap<String, String>,
        /// The result for people, such as the state of an account. `None` if there is no such information.
        observed: Option<Box<Finding>>,
    },
    /// The other system has accepted the work but has not completed the work. The desk sends another request after
    /// `after_ms` milliseconds. The member `step` describes the progress of the work.
    Poll {
        step: String,
        /// The id of the task in the other system. The text is empty if the other system has no task.
        task: String,
        after_ms: i64,
        /// The values that the desk learned from the response and that the work needs later.
        outputs: BTreeMap<String, String>,
        /// The result of this attempt for people, such as the state of an account. `None` if there is no such
        /// information.
        observed: Option<Box<Finding>>,
    },
    /// The attempt failed for a temporary reason. Another attempt follows if the retry policy allows another
    /// attempt.
    Retry {
        reason: Reason,
        /// The pause in milliseconds that the receiver set with the header `Retry-After`. The desk uses this
        /// pause instead of the pause from the retry policy. `None` if the receiver set no pause.
        after_ms: Option<i64>,
    },
    /// The receiver allows no request at this time, or the rate limit of the desk does not allow the request.
    /// The attempt does not count as failed.
    Throttled {
        reason: Reason,
        /// The pause in milliseconds before the next attempt.
        after_ms: i64,
    },
    /// The provider of a message service refused a message. The member `code` is the error code in the response.
    /// From this code, the desk derived the kind of failure, `class` (reference/notifications.md, section 1.9).
    Refused {
        class: FailureClass,
        code: String,
        reason: Reason,
    },
    /// The other system rejected the work, so no further attempt follows.
    Failed {
        reason: Reason,
        outputs: BTreeMap<String, String>,
    },
    /// The desk does not know the outcome of the attempt. The other system may have done the work already.
    /// Another attempt could then cause this work a second time.
    Unknown { reason: Reason },
}

impl Verdict {
    /// Returns the verdict (result of an attempt) that the other system has completed the requested work.
    pub fn succeeded(outputs: BTreeMap<String, String>) -> Self {
        Self::Succeeded {
            outputs,
            observed: None,
        }
    }
    /// Returns the verdict (result of an attempt) that the attempt failed for a temporary reason. The retry
    /// policy determines the pause before the next attempt.
    pub fn retry(reason: impl Into<Reason>) -> Self {
        Self::Retry {
            reason: reason.into(),
            after_ms: None,
        }
    }
    /// Returns the verdict (result of an attempt) that no further attempt follows.
    pub fn failed(reason: impl Into<Reason>) -> Self {
        Self::Failed {
            reason: reason.into(),
            outputs: BTreeMap::new(),
        }
    }
    /// Returns the verdict (result of an attempt) that another request follows after `after_ms` milliseconds.
    /// The parameter `step` describes the progress of the work, and `task` is the id of the task in the other
    /// system.
    pub fn poll(step: impl Into<String>, task: impl Into<String>, after_ms: i64) -> Self {
        Self::Poll {
            step: step.into(),
            task: task.into(),
            after_ms,
            outputs: BTreeMap::new(),
            observed: None,
        }
    }
    /// Returns the verdict (result of an attempt) that another request follows after `after_ms` milliseconds. The
    /// finding is what the desk observed in this attempt.
    pub fn observing(step: impl Into<String>, after_ms: i64, observed: Finding) -> Self {
        Self::Poll {
            step: step.into(),
            task: String::new(),
            after_ms,
            outputs: BTreeMap::new(),
            observed: Some(Box::new(observed)),
        }
    }
    /// Returns the verdict (result of an attempt) that the provider of a message service refused a message.
    /// The text `code` is empty if the provider sent no code.
    pub fn refused(
        class: FailureClass,
        code: impl Into<String>,
        reason: impl Into<Reason>,
    ) -> Self {
        Self::Refused {
            class,
            code: code.into(),
            reason: reason.into(),
        }
    }
}

/// The consequence of one attempt: the work ends, the attempt is repeated, or another request reads the progress
/// of the work. This type is for work that ends with a result, such as an API call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence<'a> {
    /// The work ends.
    End {
        succeeded: bool,
        outputs: BTreeMap<String, String>,
        /// The reason why the work failed. The text is empty if the work succeeded.
        reason: &'a str,
    },
    /// The attempt failed, and another attempt follows at the time `due`.
    Repeat { reason: &'a str, due: Moment },
    /// The work continues with another request. The members have the same meaning as in [`Verdict::Poll`].
    Poll {
        step: &'a str,
        task: &'a str,
        after_ms: i64,
        outputs: BTreeMap<String, String>,
    },
}

/// The outcome of one attempt, with its number, its time and the HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The number of the attempt. The first attempt has number 1. A report is accepted only if this number is
    /// the number of the current attempt.
    pub attempt: u32,
    /// The target and the duration of the HTTP request. `None` if the desk sent no request.
    pub exchange: Option<Exchange>,
    /// The HTTP status of the response to this attempt. `None` if no response arrived.
    pub status: Option<u16>,
    pub verdict: Verdict,
    pub policy: Policy,
    /// The time at which the attempt ended.
    pub at: Moment,
}

impl Report {
    /// Returns the event of a failed attempt, after which the next attempt takes place at the time `due`.
    pub fn failed(&self, reason: &str, due: Moment) -> AttemptFailed {
        AttemptFailed {
            attempt: self.attempt,
            exchange: self.exchange.clone(),
            status: self.status,
            reason: reason.to_owned(),
            due,
        }
    }
}

/// The attempts of one request. The value counts the attempts and contains the time of the next attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Number of attempts for which an outcome is stored.
    pub made: u32,
    /// Number of failed attempts since the last successful attempt.
    pub failures: u32,
    /// The number of the newest attempt whose start was stored, or 0. The desk stores the start of an attempt
    /// only if the request must not be sent twice.
    #[serde(default)]
    pub started: u32,
    /// The time of the next attempt.
    pub due: Moment,
}

impl Attempts {
    /// Returns a value for a new request without attempts. The first attempt takes place at the time `due`.
    pub fn due_at(due: Moment) -> Self {
        Self {
            due,
            ..Self::default()
        }
    }
    /// Returns the number of the current or next attempt, which is the first attempt without a stored
    /// outcome.
    pub fn next(&self) -> u32 {
        self.made + 1
    }
    /// Returns true if the outcome of the attempt with the number `attempt` may be stored: no outcome of this attempt
    /// is stored yet, and no earlier attempt is without an outcome.
    pub fn accepts(&self, attempt: u32) -> bool {
        attempt == self.next()
    }
    /// Returns true if the start of the attempt with the number `attempt` may be stored: its outcome may be stored, and
    /// its start is not stored yet.
    pub fn may_start(&self, attempt: u32) -> bool {
        self.accepts(attempt) && attempt != self.started
    }
    /// Returns true if the start of the current attempt is stored, but the outcome of this attempt is not
    /// stored.
    pub fn is_interrupted(&self) -> bool {
        self.started == self.next()
    }
    /// Returns the consequence of the attempt that the parameter `report` describes: an end, a repetition or
    /// another request. A failed attempt is repeated if the retry policy allows another attempt. An unknown
    /// result ends the work, because a repetition could do the work a second time.
    pub fn consequence<'a>(&self, report: &'a Report) -> Consequence<'a> {
        let failed = |reason| Consequence::End {
            succeeded: false,
            outputs: BTreeMap::new(),
            reason,
        };
        let repeat = |reason, after_ms| match self.retry_at(report.policy, after_ms, report.at) {
            Some(due) => Consequence::Repeat { reason, due },
            None => failed(reason),
        };
        match &report.verdict {
            Verdict::Succeeded { outputs, .. } => Consequence::End {
                succeeded: true,
                outputs: outputs.clone(),
                reason: "",
            },
            Verdict::Failed { reason, outputs } => Consequence::End {
                succeeded: false,
                outputs: outputs.clone(),
                reason: &reason.text,
            },
            Verdict::Unknown { reason } | Verdict::Refused { reason, .. } => failed(&reason.text),
            Verdict::Retry { reason, after_ms } => repeat(&reason.text, *after_ms),
            Verdict::Throttled { reason, after_ms } => repeat(&reason.text, Some(*after_ms)),
            Verdict::Poll {
                step,
                task,
                after_ms,
                outputs,
                ..
            } => Consequence::Poll {
                step,
                task,
                after_ms: *after_ms,
                outputs: outputs.clone(),
            },
        }
    }
    /// Returns the time of the next attempt after an attempt failed at the time `at`. If the receiver set the
    /// pause `after_ms` (in milliseconds), this pause is used, but at most one day. Otherwise, the policy
    /// sets the pause. Returns `None` if the policy allows no further attempt.
    pub fn retry_at(&self, policy: Policy, after_ms: Option<i64>, at: Moment) -> Option<Moment> {
        let failures = self.failures + 1;
        let pause = after_ms.map_or_else(
            || policy.pause_ms(failures),
            |after| after.clamp(RETRY_AFTER_MIN_MS, RETRY_AFTER_MAX_MS),
        );
        (failures < policy.attempts_max).then(|| at.plus_ms(pause))
    }
    /// Returns the time of the next attempt, as [`Attempts::retry_at`] does. If the receiver set no pause, `jitter`
    /// chooses the pause, see [`Policy::jittered_ms`].
    pub fn retry_with_jitter(
        &self,
        policy: Policy,
        after_ms: Option<i64>,
        jitter: u32,
        at: Moment,
    ) -> Option<Moment> {
        let pause = after_ms.unwrap_or_else(|| policy.jittered_ms(self.failures + 1, jitter));
        self.retry_at(policy, Some(pause), at)
    }
    /// Stores that the attempt with the number `attempt` starts. If no outcome is stored before the time
    /// `due`, the attempt counts as interrupted.
    pub fn start(&mut self, attempt: u32, due: Moment) {
        (self.started, self.due) = (attempt, due);
    }
    /// Stores that the attempt with the number `attempt` failed. The next attempt takes place at the time
    /// `due`.
    pub fn fail(&mut self, attempt: u32, due: Moment) {
        (self.made, self.due) = (attempt, due);
        self.failures += 1;
    }
    /// Stores that a rate limit did not allow the attempt with the number `attempt`. The attempt does not
    /// count as failed. The next attempt takes place at the time `due`.
    pub fn postpone(&mut self, attempt: u32, due: Moment) {
        (self.made, self.due) = (attempt, due);
    }
    /// Stores that the attempt with the number `attempt` was successful, but the other system has not
    /// completed the work. The next request takes place at the time `due`.
    pub fn poll(&mut self, attempt: u32, due: Moment) {
        (self.made, self.failures, self.due) = (attempt, 0, due);
    }
    /// Stores that the work begins again. The next attempt takes place at the time `due`, and the retry policy
    /// counts the failed attempts from the beginning.
    pub fn begin_again(&mut self, due: Moment) {
        (self.failures, self.due) = (0, due);
    }
    /// Stores that the attempt with the number `attempt` has ended and that no further attempt follows.
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
    fn a_jitter_chooses_a_pause_between_the_first_and_the_longest() {
        let policy = Policy {
            attempts_max: 12,
            first_ms: 2_000,
            longest_ms: 300_000,
        };
        for (failures, jitter, expected) in [
            (1, 0, 2_000),
            (1, JITTER_MAX, 4_000),
            (1, JITTER_MAX / 2, 3_000),
            (1, u32::MAX, 4_000),
            (3, JITTER_MAX, 16_000),
            (11, 0, 2_000),
            (11, JITTER_MAX, 300_000),
            (u32::MAX, JITTER_MAX, 300_000),
        ] {
            assert_eq!(policy.jittered_ms(failures, jitter), expected, "{failures}");
        }
        let at = Moment(100);
        let attempts = Attempts::default();
        let due = attempts.retry_with_jitter(policy, None, JITTER_MAX, at);
        assert_eq!(due, Some(Moment(4_100)));
        let due = attempts.retry_with_jitter(policy, Some(60_000), JITTER_MAX, at);
        assert_eq!(due, Some(Moment(60_100)));
    }

    #[test]
    fn attempts_have_repeatable_and_different_jitters() {
        let all: Vec<u32> = (1..=1_000)
            .map(|attempt| jitter("delivery-1", attempt))
            .collect();
        assert!(all.iter().all(|jitter| *jitter <= JITTER_MAX));
        let low = all
            .iter()
            .filter(|jitter| **jitter < JITTER_MAX / 2)
            .count();
        assert!(
            (400..=600).contains(&low),
            "{low} of 1000 are in the lower half"
        );
        assert_eq!(jitter("delivery-1", 7), all[6]);
        assert_ne!(jitter("delivery-2", 7), all[6]);
    }

    #[test]
    fn each_verdict_has_its_consequence() {
        let outputs = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let none = BTreeMap::new();
        let reason = || "x".to_owned();
        let end = |succeeded, outputs: &BTreeMap<String, String>, reason| Consequence::End {
            succeeded,
            outputs: outputs.clone(),
            reason,
        };
        let repeat = |due| Consequence::Repeat {
            reason: "x",
            due: Moment(due),
        };
        let (succeeded, failed) = (
            Verdict::Succeeded {
                outputs: outputs.clone(),
                observed: None,
            },
            Verdict::Failed {
                reason: reason().into(),
                outputs: outputs.clone(),
            },
        );
        let refused = Verdict::refused(FailureClass::Permanent, "1", "x");
        let unknown = Verdict::Unknown {
            reason: reason().into(),
        };
        let later = Verdict::Retry {
            reason: reason().into(),
            after_ms: Some(7_000),
        };
        let throttled = Verdict::Throttled {
            reason: reason().into(),
            after_ms: 9_000,
        };
        let poll = Verdict::poll("s", "t", 5);
        let polled = Consequence::Poll {
            step: "s",
            task: "t",
            after_ms: 5,
            outputs: BTreeMap::new(),
        };
        for (verdict, expected, expected_last) in [
            (succeeded, end(true, &outputs, ""), end(true, &outputs, "")),
            (failed, end(false, &outputs, "x"), end(false, &outputs, "x")),
            (unknown, end(false, &none, "x"), end(false, &none, "x")),
            (refused, end(false, &none, "x"), end(false, &none, "x")),
            (Verdict::retry("x"), repeat(1_100), end(false, &none, "x")),
            (later, repeat(7_100), end(false, &none, "x")),
            (throttled, repeat(9_100), end(false, &none, "x")),
            (poll, polled.clone(), polled),
        ] {
            let report = Report {
                attempt: 1,
                exchange: None,
                status: None,
                verdict,
                policy: POLICY,
                at: Moment(100),
            };
            assert_eq!(Attempts::default().consequence(&report), expected);
            let last = Attempts {
                failures: POLICY.attempts_max - 1,
                ..Attempts::default()
            };
            assert_eq!(last.consequence(&report), expected_last);
        }
    }

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
        assert_eq!(at(0), Some(Moment(1_010)), "at least one second");
        assert_eq!(at(86_399_999), Some(Moment(86_400_009)));
        assert_eq!(at(86_400_000), Some(Moment(86_400_010)));
        assert_eq!(at(86_400_001), Some(Moment(86_400_010)));
        assert_eq!(at(i64::MAX), Some(Moment(86_400_010)), "at most one day");
        assert_eq!(at(-5), Some(Moment(1_010)));
    }

    #[test]
    fn the_number_of_failures_and_not_of_attempts_ends_the_repetition() {
        let failed = |made, failures| Attempts {
            made,
            failures,
            started: 0,
            due: Moment(0),
        };
        let next = |attempts: Attempts| attempts.retry_at(POLICY, None, Moment(10));
        assert_eq!(next(failed(2, 2)), Some(Moment(3010)));
        assert_eq!(next(failed(3, 3)), None, "the fourth failure is the last");
        assert_eq!(next(failed(90, 0)), Some(Moment(1010)), "90 polls");
        let once = Policy {
            attempts_max: 1,
            ..POLICY
        };
        assert_eq!(failed(0, 0).retry_at(once, None, Moment(10)), None);
    }

    #[test]
    fn a_pause_beyond_the_range_of_numbers_is_the_longest_pause() {
        let policy = Policy {
            attempts_max: 99,
            first_ms: i64::MAX,
            longest_ms: 7,
        };
        assert_eq!(policy.pause_ms(50), 7);
        let short = Policy {
            longest_ms: 500,
            ..POLICY
        };
        assert_eq!(short.pause_ms(1), 500);
    }

    #[test]
    fn attempts_without_a_recorded_start_are_not_interrupted() {
        let stored = serde_json::json!({ "made": 2, "failures": 1, "due": 40 });
        let mut attempts: Attempts = serde_json::from_value(stored).unwrap();
        let expected = Attempts {
            made: 2,
            failures: 1,
            started: 0,
            due: Moment(40),
        };
        assert_eq!(attempts, expected);
        assert!(!attempts.is_interrupted());
        attempts.start(2, Moment(50));
        assert!(!attempts.is_interrupted(), "attempt 2 has an outcome");
        attempts.start(3, Moment(50));
        assert!(attempts.is_interrupted());
        assert_eq!((attempts.made, attempts.due), (2, Moment(50)));
    }

    #[test]
    fn an_attempt_starts_once_and_has_one_outcome() {
        let mut attempts = Attempts::due_at(Moment(5));
        assert!(attempts.may_start(1) && attempts.accepts(1));
        assert!(!attempts.may_start(2) && !attempts.accepts(2));
        attempts.start(1, Moment(40));
        assert!(!attempts.may_start(1) && attempts.accepts(1));
        attempts.fail(1, Moment(50));
        assert!(!attempts.may_start(1) && !attempts.accepts(1));
        assert!(attempts.may_start(2) && attempts.accepts(2));
    }

    #[test]
    fn each_recorded_event_updates_the_progress_of_the_attempts() {
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
