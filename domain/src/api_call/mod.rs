//! The API call of one automatic node: its next request ([`plan`]), the meaning of a response
//! ([`judge`]), and all attempts.
//!
//! Every state except the last one has a deadline. The last state follows only after the ticket has
//! recorded the result, so a crash before that repeats the step.

pub mod judge;
pub mod plan;
pub mod schema;
pub mod template;

use std::collections::BTreeMap;

use events::Moment;
use events::api_call::{
    ApiCallEvent, AttemptFailed, AttemptStarted, Closed, Completed, Exchange, PollScheduled,
    Requested,
};
use events::service_task::ServiceTask;
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Time for the ticket to record the result, in milliseconds, before the result is sent to it
/// again.
const RESULT_DUE_MS: i64 = 30_000;
/// Step of a call that continues an existing SOPS task and first requests its state.
pub const RESUMED: &str = "resumed";
/// Step of a request whose responses have not met the poll condition yet.
pub const POLLED: &str = "polled";
/// Step of a SOPS task that is created but not started.
pub const CREATED: &str = "created";

/// The commands of one API call.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Request(Requested),
    /// Records that a non-idempotent request is about to be sent. If no result is recorded by
    /// `until`, the request may have been executed.
    Begin {
        attempt: u32,
        until: Moment,
    },
    /// Records the outcome of one attempt; `attempt` counts from 1 and must be the attempt that is
    /// due.
    Record {
        attempt: u32,
        /// The HTTP exchange of the attempt; `None` if no request was sent.
        exchange: Option<Exchange>,
        step: Step,
        at: Moment,
    },
    /// Ends the call after the ticket recorded the result (`recorded`), or no longer waits for it.
    Close {
        recorded: bool,
    },
}

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The attempt had no usable response; at most `attempts_max` such attempts in a row are
    /// allowed.
    NoAnswer {
        status: Option<u16>,
        reason: String,
        attempts_max: u32,
        /// Longest pause before the next attempt, in milliseconds.
        pause_max_ms: i64,
    },
    /// The external system has accepted the work; the next request follows after `after_ms`.
    UnderWay {
        step: String,
        task: String,
        after_ms: i64,
    },
    /// The call has its result.
    Done {
        status: Option<u16>,
        succeeded: bool,
        outputs: BTreeMap<String, String>,
        reason: String,
    },
}

/// The reasons why a command is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the API call is already requested")]
    AlreadyRequested,
    #[error("the API call is not requested")]
    NotRequested,
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
    #[error("the API call has no result yet")]
    NoAnswer,
}

/// The state of one API call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiCall {
    pub requested: Option<Requested>,
    pub attempts: u32,
    /// Consecutive attempts without a usable response.
    pub failures: u32,
    /// Polls whose response did not end the call.
    pub polls: u32,
    pub step: String,
    pub task: String,
    /// The last attempt with a recorded start of a non-idempotent request; 0 if there is none.
    #[serde(default)]
    pub begun: u32,
    /// The instant at which the next attempt is due.
    pub next: Moment,
    pub answered: Option<Completed>,
    pub closed: bool,
}

impl Decider for ApiCall {
    type Command = Command;
    type Event = ApiCallEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn opens(command: &Command) -> bool {
        matches!(command, Command::Request(_))
    }

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<ApiCallEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match command {
            Command::Request(_) if self.requested.is_some() => reject(Rejection::AlreadyRequested),
            Command::Request(requested) => Ok(vec![requested.clone().into()]),
            _ if self.requested.is_none() => reject(Rejection::NotRequested),
            Command::Begin { attempt, .. } | Command::Record { attempt, .. }
                if *attempt != self.attempts + 1 || !self.is_open() =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Begin { attempt, .. } if *attempt == self.begun => {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Begin { attempt, until } => Ok(vec![
                AttemptStarted {
                    attempt: *attempt,
                    step: self.step.clone(),
                    due: *until,
                }
                .into(),
            ]),
            Command::Record {
                attempt,
                exchange,
                step,
                at,
            } => Ok(vec![self.record(*attempt, exchange.as_ref(), step, *at)]),
            Command::Close { .. } if self.answered.is_none() => reject(Rejection::NoAnswer),
            Command::Close { .. } if self.closed => Ok(Vec::new()),
            Command::Close { recorded } => Ok(vec![
                Closed {
                    recorded: *recorded,
                }
                .into(),
            ]),
        }
    }

    fn evolve(&mut self, event: &ApiCallEvent) {
        match event {
            ApiCallEvent::Requested(requested) => {
                self.next = requested.due;
                if !requested.task.is_empty() {
                    self.task.clone_from(&requested.task);
                    self.step = RESUMED.into();
                }
                self.requested = Some(requested.clone());
            }
            ApiCallEvent::AttemptStarted(started) => {
                self.begun = started.attempt;
                self.next = started.due;
            }
            ApiCallEvent::AttemptFailed(failed) => {
                self.attempts = failed.attempt;
                self.failures += 1;
                self.next = failed.due;
            }
            ApiCallEvent::PollScheduled(scheduled) => {
                self.attempts = scheduled.attempt;
                self.failures = 0;
                self.polls += u32::from(matches!(scheduled.step.as_str(), POLLED | "running"));
                self.step.clone_from(&scheduled.step);
                self.task.clone_from(&scheduled.task);
                self.next = scheduled.due;
            }
            ApiCallEvent::Completed(completed) => {
                self.attempts = completed.attempt;
                self.answered = Some(completed.clone());
            }
            ApiCallEvent::Closed(_) => self.closed = true,
        }
    }
}

impl ApiCall {
    /// Returns true if the next request is not idempotent: BlueKing SOPS has no idempotency keys
    /// for the creation and the start of a task.
    pub fn is_once(&self, service_task: &ServiceTask) -> bool {
        matches!(service_task, ServiceTask::Task(_)) && matches!(self.step.as_str(), "" | CREATED)
    }

    /// Returns the outcome of a started attempt that has no recorded result; `None` if there is no
    /// such attempt. An interrupted start of a task continues with a request for its state. An
    /// interrupted creation fails, because its effect is unknown.
    pub fn interrupted(&self) -> Option<Step> {
        match self.step.as_str() {
            _ if self.begun != self.attempts + 1 => None,
            CREATED => Some(Step::UnderWay { step: RESUMED.into(), task: self.task.clone(), after_ms: 0 }),
            _ => Some(Step::Done {
                status: None,
                succeeded: false,
                outputs: BTreeMap::new(),
                reason: "the desk was interrupted while the task was created; look it up in BlueKing SOPS".into(),
            }),
        }
    }

    /// Returns true if the call is requested and has no result yet.
    pub fn is_open(&self) -> bool {
        self.requested.is_some() && self.answered.is_none()
    }

    fn record(
        &self,
        attempt: u32,
        exchange: Option<&Exchange>,
        step: &Step,
        at: Moment,
    ) -> ApiCallEvent {
        let exchange = exchange.cloned();
        let completed = |exchange,
                         status: Option<u16>,
                         succeeded,
                         outputs: &BTreeMap<String, String>,
                         reason: &str| {
            let (outputs, reason, task) = (outputs.clone(), reason.to_owned(), self.task.clone());
            Completed {
                attempt,
                exchange,
                status,
                succeeded,
                outputs,
                task,
                reason,
                due: at.plus_ms(RESULT_DUE_MS),
            }
            .into()
        };
        match step {
            Step::NoAnswer {
                status,
                reason,
                attempts_max,
                ..
            } if self.failures + 1 >= *attempts_max => {
                completed(exchange, *status, false, &BTreeMap::new(), reason)
            }
            Step::NoAnswer {
                status,
                reason,
                pause_max_ms,
                ..
            } => AttemptFailed {
                attempt,
                exchange,
                status: *status,
                reason: reason.clone(),
                due: at.plus_ms(pause_ms(self.failures).min(*pause_max_ms)),
            }
            .into(),
            Step::UnderWay {
                step,
                task,
                after_ms,
            } => PollScheduled {
                attempt,
                exchange,
                step: step.clone(),
                task: task.clone(),
                due: at.plus_ms(*after_ms),
            }
            .into(),
            Step::Done {
                status,
                succeeded,
                outputs,
                reason,
            } => completed(exchange, *status, *succeeded, outputs, reason),
        }
    }
}

/// Longest pause between two attempts in milliseconds, unless an outcome sets a shorter one.
const PAUSE_MAX_MS: i64 = 300_000;

/// The pause in milliseconds after `failures` consecutive failed attempts: 3 s, doubling.
fn pause_ms(failures: u32) -> i64 {
    (3_000_i64 << failures.min(7)).min(PAUSE_MAX_MS)
}

#[cfg(test)]
mod tests {
    use events::NodeId;

    use super::*;
    use crate::decider::fold;

    fn requested() -> ApiCallEvent {
        let requested = Requested {
            ticket: "REQ1".into(),
            node: NodeId(3),
            name: "n".into(),
            round: 1,
            attempt: 1,
            cause: "ticket-REQ1:4".into(),
            key: "k".into(),
            inputs: BTreeMap::new(),
            task: String::new(),
            due: Moment(10),
        };
        requested.into()
    }

    fn exchange() -> Exchange {
        Exchange {
            target: "POST https://x".into(),
            duration_ms: 5,
        }
    }

    fn record(call: &ApiCall, attempt: u32, step: Step) -> ApiCallEvent {
        call.decide(
            &Command::Record {
                attempt,
                exchange: Some(exchange()),
                step,
                at: Moment(100),
            },
            &(),
        )
        .expect("records")
        .remove(0)
    }

    #[test]
    fn attempts_without_a_response_repeat_up_to_the_bound() {
        let mut call = fold::<ApiCall>(&[requested()]);
        let no_response = || Step::NoAnswer {
            status: None,
            reason: "timeout".into(),
            attempts_max: 2,
            pause_max_ms: PAUSE_MAX_MS,
        };
        let first = record(&call, 1, no_response());
        assert_eq!(
            first,
            AttemptFailed {
                attempt: 1,
                exchange: Some(exchange()),
                status: None,
                reason: "timeout".into(),
                due: Moment(3_100)
            }
            .into()
        );
        call.evolve(&first);
        assert_eq!(
            call.decide(
                &Command::Record {
                    attempt: 1,
                    exchange: None,
                    step: no_response(),
                    at: Moment(100)
                },
                &()
            ),
            Err(DecideError::Rejected(Rejection::NotDue(1)))
        );
        let ApiCallEvent::Completed(completed) = record(&call, 2, no_response()) else {
            panic!("a result")
        };
        assert!(!completed.succeeded && completed.reason == "timeout");
    }

    #[test]
    fn a_call_closes_once_and_only_after_its_result() {
        let mut call = fold::<ApiCall>(&[requested()]);
        assert_eq!(
            call.decide(&Command::Close { recorded: true }, &()),
            Err(DecideError::Rejected(Rejection::NoAnswer))
        );
        call.evolve(&record(
            &call,
            1,
            Step::Done {
                status: Some(200),
                succeeded: true,
                outputs: BTreeMap::new(),
                reason: String::new(),
            },
        ));
        let closed = call
            .decide(&Command::Close { recorded: true }, &())
            .expect("closes");
        call.evolve(&closed[0]);
        assert_eq!(
            call.decide(&Command::Close { recorded: true }, &()),
            Ok(Vec::new())
        );
    }

    #[test]
    fn a_non_idempotent_request_is_not_sent_twice() {
        let task = ServiceTask::Task(events::service_task::Task::default());
        let mut call = fold::<ApiCall>(&[requested()]);
        assert!(
            call.is_once(&task)
                && !call.is_once(&ServiceTask::Request(
                    events::service_task::Request::default()
                ))
        );
        let begin = |call: &ApiCall, attempt| {
            call.decide(
                &Command::Begin {
                    attempt,
                    until: Moment(500),
                },
                &(),
            )
        };
        assert_eq!(call.interrupted(), None);
        call.evolve(&begin(&call, 1).expect("begins")[0]);
        assert_eq!(
            (call.next, begin(&call, 1)),
            (
                Moment(500),
                Err(DecideError::Rejected(Rejection::NotDue(1)))
            )
        );
        assert!(
            matches!(
                call.interrupted(),
                Some(Step::Done {
                    succeeded: false,
                    ..
                })
            ),
            "the task may have been created"
        );
        call.evolve(&record(
            &call,
            1,
            Step::UnderWay {
                step: CREATED.into(),
                task: "9".into(),
                after_ms: 0,
            },
        ));
        assert!(call.is_once(&task) && call.interrupted().is_none());
        call.evolve(&begin(&call, 2).expect("begins")[0]);
        let resumed = call.interrupted().expect("an interrupted start");
        assert_eq!(
            resumed,
            Step::UnderWay {
                step: RESUMED.into(),
                task: "9".into(),
                after_ms: 0
            }
        );
        call.evolve(&record(&call, 2, resumed));
        assert!(
            !call.is_once(&task) && call.interrupted().is_none(),
            "a request for the state of a task is idempotent"
        );
    }

    #[test]
    fn every_state_except_the_last_one_has_a_deadline() {
        use events::{DeadlineChange, Event as _};
        for event in events::samples::history::<ApiCallEvent>() {
            let changes = event.deadlines();
            assert!(
                matches!(&changes[..], [DeadlineChange { due, .. }] if due.is_none() == matches!(event, ApiCallEvent::Closed(_))),
                "{event:?}"
            );
        }
    }
}
