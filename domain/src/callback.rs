//! Implements the aggregate of one callback. A callback is an HTTP request that reports the end or the status
//! of a ticket to another system. If an attempt fails, the desk makes another attempt. The event stream of
//! the callback contains the time of the next attempt.

use events::Moment;
use events::callback::{
    AttemptFailed, CallbackEvent, Collected, Failed, Requested, ResendRequested, Succeeded,
};
use serde::{Deserialize, Serialize};

use crate::attempt::{Attempts, Policy, Report, Verdict};
use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// The retry policy of callbacks. The desk makes up to 16 attempts in about 8 hours. If all attempts fail,
/// the receiver can still request the result from the desk.
pub const POLICY: Policy = Policy {
    attempts_max: 16,
    first_ms: 1000,
    longest_ms: 4 * 3_600_000,
};

/// The commands that change the state of one callback.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Request(Requested),
    /// Stores the outcome of the current attempt.
    Record(Report),
    Collect(Collected),
    /// Begins another round of attempts at this time, whatever the outcome of the earlier attempts.
    Resend(Moment),
}

/// The reasons why a command for a callback is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the callback is already requested")]
    AlreadyRequested,
    #[error("the callback is not requested")]
    NotRequested,
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
}

/// The progress of one callback: open, succeeded or failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// The receiver has not accepted the callback yet. The desk makes another attempt.
    #[default]
    Open,
    Succeeded,
    Failed,
}

/// The state of one callback.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Callback {
    pub requested: Option<Requested>,
    pub attempts: Attempts,
    pub progress: Progress,
    pub collected: bool,
}

impl Decider for Callback {
    type Command = Command;
    type Event = CallbackEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Request(_))
    }

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<CallbackEvent>, DecideError<Self>> {
        match command {
            Command::Request(_) if self.requested.is_some() => {
                Err(DecideError::Rejected(Rejection::AlreadyRequested))
            }
            Command::Request(requested) => Ok(vec![requested.clone().into()]),
            _ if self.requested.is_none() => Err(DecideError::Rejected(Rejection::NotRequested)),
            Command::Record(report)
                if report.attempt != self.attempts.next() || !self.is_open() =>
            {
                Err(DecideError::Rejected(Rejection::NotDue(report.attempt)))
            }
            Command::Record(report) => Ok(vec![self.record(report)]),
            Command::Collect(_) if self.collected => Ok(Vec::new()),
            Command::Collect(collected) => Ok(vec![collected.clone().into()]),
            Command::Resend(due) => Ok(vec![ResendRequested { due: *due }.into()]),
        }
    }

    fn evolve(&mut self, event: &CallbackEvent) {
        match event {
            CallbackEvent::Requested(requested) => {
                self.attempts = Attempts::due_at(requested.due);
                self.requested = Some(requested.clone());
            }
            CallbackEvent::AttemptFailed(failed) => self.attempts.fail(failed.attempt, failed.due),
            CallbackEvent::Succeeded(succeeded) => {
                self.attempts.end(succeeded.attempt);
                self.progress = Progress::Succeeded;
            }
            CallbackEvent::Failed(failed) => {
                self.attempts.end(failed.attempt);
                self.progress = Progress::Failed;
            }
            CallbackEvent::Collected(_) => self.collected = true,
            CallbackEvent::ResendRequested(resend) => {
                self.attempts.begin_again(resend.due);
                self.progress = Progress::Open;
            }
        }
    }
}

impl Callback {
    /// Returns true if the callback was requested and has neither succeeded nor failed. The desk then makes
    /// another attempt.
    pub fn is_open(&self) -> bool {
        self.requested.is_some() && self.progress == Progress::Open
    }

    /// Returns the event that stores the outcome of one attempt. The outcome is in `report`. If the outcome
    /// is unknown, the desk sends the request again. This is safe, because each repetition contains an
    /// idempotency key by which the receiver can detect the repetition.
    fn record(&self, report: &Report) -> CallbackEvent {
        let (attempt, status) = (report.attempt, report.status);
        let (reason, after_ms) = match &report.verdict {
            Verdict::Succeeded { .. } => {
                let status = status.unwrap_or_default();
                return Succeeded { attempt, status }.into();
            }
            Verdict::Retry { reason, after_ms } => (reason.to_string(), *after_ms),
            Verdict::Throttled { reason, after_ms } => (reason.to_string(), Some(*after_ms)),
            Verdict::Failed { reason, .. }
            | Verdict::Refused { reason, .. }
            | Verdict::Unknown { reason } => (reason.to_string(), None),
            Verdict::Poll { .. } => ("the receiver has not finished".to_owned(), None),
        };
        match self.attempts.retry_at(report.policy, after_ms, report.at) {
            Some(due) => AttemptFailed {
                attempt,
                status,
                reason,
                due,
            }
            .into(),
            None => Failed {
                attempt,
                status,
                reason,
            }
            .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;
    use events::ticket::CallbackTarget;

    use super::*;
    use crate::EsAggregate;

    fn requested() -> Requested {
        Requested {
            ticket: "REQ1".into(),
            cause: "ticket-REQ1:3".into(),
            app: None,
            callback: CallbackTarget {
                host: "x".into(),
                secret: "callback/x".into(),
                on_status: false,
            },
            due: Moment(5),
        }
    }

    fn report(attempt: u32, status: Option<u16>, verdict: Verdict) -> Command {
        Command::Record(Report {
            attempt,
            exchange: None,
            status,
            verdict,
            policy: POLICY,
            at: Moment(10),
        })
    }

    fn retry(after_ms: Option<i64>) -> Verdict {
        Verdict::Retry {
            reason: "no".into(),
            after_ms,
        }
    }

    #[test]
    fn a_failed_attempt_sets_the_deadline_of_the_next_one() {
        for (after_ms, due) in [(None, 1010), (Some(90_000), 90_010)] {
            TestFramework::<EsAggregate<Callback>>::with(())
                .given(vec![requested().into()])
                .when(report(1, Some(500), retry(after_ms)))
                .then_expect_events(vec![
                    AttemptFailed {
                        attempt: 1,
                        status: Some(500),
                        reason: "no".into(),
                        due: Moment(due),
                    }
                    .into(),
                ]);
        }
    }

    #[test]
    fn an_attempt_that_is_recorded_twice_is_rejected() {
        let outputs = std::collections::BTreeMap::new();
        TestFramework::<EsAggregate<Callback>>::with(())
            .given(vec![
                requested().into(),
                Succeeded {
                    attempt: 1,
                    status: 200,
                }
                .into(),
            ])
            .when(report(1, Some(200), Verdict::succeeded(outputs)))
            .then_expect_error_message("attempt 1 is not the one that is due");
    }

    #[test]
    fn a_callback_fails_after_the_last_attempt() {
        let mut callback = Callback::default();
        callback.evolve(&requested().into());
        let mut pauses = 0;
        for attempt in 1..=POLICY.attempts_max {
            assert!(callback.is_open());
            let events = callback
                .decide(&report(attempt, None, retry(None)), &())
                .unwrap();
            events.iter().for_each(|event| callback.evolve(event));
            pauses += callback.attempts.due.0 - 10;
        }
        assert_eq!(callback.progress, Progress::Failed);
        assert!(!callback.is_open());
        assert!(
            (7 * 3_600_000..13 * 3_600_000).contains(&pauses),
            "{pauses} ms"
        );
    }

    #[test]
    fn a_callback_that_failed_gets_all_attempts_again() {
        let mut callback = Callback::default();
        callback.evolve(&requested().into());
        let apply = |callback: &mut Callback, command: &Command| {
            let events = callback.decide(command, &()).expect("accepted");
            events.iter().for_each(|event| callback.evolve(event));
        };
        for attempt in 1..=POLICY.attempts_max {
            apply(&mut callback, &report(attempt, None, retry(None)));
        }
        apply(&mut callback, &Command::Resend(Moment(99)));
        assert!(callback.is_open());
        assert_eq!(callback.attempts.due, Moment(99));
        for attempt in POLICY.attempts_max + 1..=2 * POLICY.attempts_max {
            assert!(callback.is_open(), "{attempt}");
            apply(&mut callback, &report(attempt, None, retry(None)));
        }
        assert_eq!(callback.progress, Progress::Failed);
    }

    #[test]
    fn a_result_is_collected_once() {
        let mut callback = Callback::default();
        callback.evolve(&requested().into());
        let collect = Command::Collect(Collected { by: None });
        let events = callback.decide(&collect, &()).expect("accepted");
        events.iter().for_each(|event| callback.evolve(event));
        assert!(callback.collected);
        assert_eq!(callback.decide(&collect, &()), Ok(Vec::new()));
    }
}
