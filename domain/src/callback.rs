//! One callback: repeated until the receiver accepts it, with a stored deadline for each attempt.

use events::Moment;
use events::callback::{AttemptFailed, CallbackEvent, Collected, Failed, Requested, Succeeded};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Attempts before the callback fails and only the receiver can collect it; with [`backoff_ms`]
/// they take about 8 hours.
pub const ATTEMPTS_MAX: u32 = 16;

/// The commands of one callback.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Request(Requested),
    /// Records the outcome of one attempt; `attempt` counts from 1 and must be the attempt that is
    /// due.
    Record {
        attempt: u32,
        outcome: Outcome,
        at: Moment,
    },
    Collect(Collected),
}

/// The outcome of one attempt; `status` is the HTTP status, `None` without a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted { status: u16 },
    Refused { status: Option<u16>, reason: String },
}

/// The reasons why a command is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the callback is already requested")]
    AlreadyRequested,
    #[error("the callback is not requested")]
    NotRequested,
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
}

/// The progress of a callback; `Waiting` is before the first attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    #[default]
    Waiting,
    Retrying {
        next: Moment,
    },
    Succeeded,
    Failed,
}

/// The state of one callback.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Callback {
    pub requested: Option<Requested>,
    pub attempts: u32,
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
            Command::Record { attempt, .. } if *attempt != self.attempts + 1 || !self.is_open() => {
                Err(DecideError::Rejected(Rejection::NotDue(*attempt)))
            }
            Command::Record {
                attempt,
                outcome: Outcome::Accepted { status },
                ..
            } => Ok(vec![
                Succeeded {
                    attempt: *attempt,
                    status: *status,
                }
                .into(),
            ]),
            Command::Record {
                attempt,
                outcome: Outcome::Refused { status, reason },
                at,
            } => {
                let (attempt, status, reason) = (*attempt, *status, reason.clone());
                Ok(vec![if attempt >= ATTEMPTS_MAX {
                    Failed {
                        attempt,
                        status,
                        reason,
                    }
                    .into()
                } else {
                    AttemptFailed {
                        attempt,
                        status,
                        reason,
                        due: at.plus_ms(backoff_ms(attempt)),
                    }
                    .into()
                }])
            }
            Command::Collect(_) if self.collected => Ok(Vec::new()),
            Command::Collect(collected) => Ok(vec![collected.clone().into()]),
        }
    }

    fn evolve(&mut self, event: &CallbackEvent) {
        match event {
            CallbackEvent::Requested(requested) => self.requested = Some(requested.clone()),
            CallbackEvent::AttemptFailed(failed) => {
                self.attempts = failed.attempt;
                self.progress = Progress::Retrying { next: failed.due };
            }
            CallbackEvent::Succeeded(succeeded) => {
                self.attempts = succeeded.attempt;
                self.progress = Progress::Succeeded;
            }
            CallbackEvent::Failed(failed) => {
                self.attempts = failed.attempt;
                self.progress = Progress::Failed;
            }
            CallbackEvent::Collected(_) => self.collected = true,
        }
    }
}

impl Callback {
    /// Returns true if another attempt is to be made.
    pub fn is_open(&self) -> bool {
        self.requested.is_some()
            && matches!(self.progress, Progress::Waiting | Progress::Retrying { .. })
    }
}

/// Returns the pause after a failed attempt in milliseconds: 1 s, doubling, at most 4 hours.
pub fn backoff_ms(attempt: u32) -> i64 {
    const LONGEST: i64 = 4 * 3_600_000;
    1000_i64
        .checked_shl(attempt.saturating_sub(1))
        .unwrap_or(LONGEST)
        .clamp(1000, LONGEST)
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

    #[test]
    fn a_failed_attempt_sets_the_deadline_of_the_next_one() {
        TestFramework::<EsAggregate<Callback>>::with(())
            .given(vec![requested().into()])
            .when(Command::Record {
                attempt: 1,
                outcome: Outcome::Refused {
                    status: Some(500),
                    reason: "no".into(),
                },
                at: Moment(10),
            })
            .then_expect_events(vec![
                AttemptFailed {
                    attempt: 1,
                    status: Some(500),
                    reason: "no".into(),
                    due: Moment(1010),
                }
                .into(),
            ]);
    }

    #[test]
    fn an_attempt_that_is_recorded_twice_is_rejected() {
        TestFramework::<EsAggregate<Callback>>::with(())
            .given(vec![
                requested().into(),
                Succeeded {
                    attempt: 1,
                    status: 200,
                }
                .into(),
            ])
            .when(Command::Record {
                attempt: 1,
                outcome: Outcome::Accepted { status: 200 },
                at: Moment(10),
            })
            .then_expect_error_message("attempt 1 is not the one that is due");
    }

    #[test]
    fn a_callback_fails_after_the_last_attempt() {
        let mut callback = Callback::default();
        callback.evolve(&requested().into());
        for attempt in 1..=ATTEMPTS_MAX {
            let refused = Outcome::Refused {
                status: None,
                reason: "timeout".into(),
            };
            let events = callback
                .decide(
                    &Command::Record {
                        attempt,
                        outcome: refused,
                        at: Moment(0),
                    },
                    &(),
                )
                .unwrap();
            events.iter().for_each(|event| callback.evolve(event));
        }
        assert_eq!(callback.progress, Progress::Failed);
        assert!(!callback.is_open());
    }
}
