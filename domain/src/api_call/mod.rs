//! One call of an automatic node: what is asked of the other side next ([`plan`]), what its answer means ([`judge`]), and the record of it all.
//!
//! Every state but the last has a deadline, and the last is reached only after the ticket was recorded: whoever dies in between is called again.

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

use crate::decider::{DecideError, Decider, Nothing};

/// Until when a ticket must have been recorded what its call came to, before it is recorded again.
const TELL_MS: i64 = 30_000;
/// A task that is gone on with is asked after first.
pub const RESUMED: &str = "resumed";
/// A request was answered, and not yet with what is waited for.
pub const POLLED: &str = "polled";
/// A task is there, and not started.
pub const CREATED: &str = "created";

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Request(Requested),
    /// What cannot be asked twice is asked now; `until` then its answer is recorded, or nobody knows what became of it.
    Begin {
        attempt: u32,
        until: Moment,
    },
    /// What one attempt came to; `attempt` counts from 1 and must be the one that was due.
    Record {
        attempt: u32,
        /// Where it went, if anywhere.
        exchange: Option<Exchange>,
        step: Step,
        at: Moment,
    },
    /// The ticket knows (`recorded`), or does not want to know any more.
    Close {
        recorded: bool,
    },
}

/// What one attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nobody answered; it may be tried so many times in all.
    NoAnswer {
        status: Option<u16>,
        reason: String,
        attempts_max: u32,
        /// Longest pause before the next try.
        pause_max_ms: i64,
    },
    /// It goes on over there.
    UnderWay {
        step: String,
        task: String,
        after_ms: i64,
    },
    Done {
        status: Option<u16>,
        succeeded: bool,
        outputs: BTreeMap<String, String>,
        reason: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("this call was requested before")]
    AlreadyRequested,
    #[error("this call was never requested")]
    NotRequested,
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
    #[error("this call has no answer yet")]
    NoAnswer,
}

/// One call as its history left it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiCall {
    pub requested: Option<Requested>,
    pub attempts: u32,
    /// Attempts in a row that nobody answered.
    pub failures: u32,
    /// Answers that said it goes on.
    pub polls: u32,
    pub step: String,
    pub task: String,
    /// The last attempt that was begun with something that cannot be asked twice.
    #[serde(default)]
    pub begun: u32,
    /// When the next attempt is due.
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
            ApiCallEvent::AttemptStarted(began) => {
                self.begun = began.attempt;
                self.next = began.due;
            }
            ApiCallEvent::AttemptFailed(failed) => {
                self.attempts = failed.attempt;
                self.failures += 1;
                self.next = failed.due;
            }
            ApiCallEvent::PollScheduled(waiting) => {
                self.attempts = waiting.attempt;
                self.failures = 0;
                self.polls += u32::from(matches!(waiting.step.as_str(), POLLED | "running"));
                self.step.clone_from(&waiting.step);
                self.task.clone_from(&waiting.task);
                self.next = waiting.due;
            }
            ApiCallEvent::Completed(answered) => {
                self.attempts = answered.attempt;
                self.answered = Some(answered.clone());
            }
            ApiCallEvent::Closed(_) => self.closed = true,
        }
    }
}

impl ApiCall {
    /// Says whether what is to be asked next must not be asked twice: the operations platform knows no key by which it could tell.
    pub fn is_once(&self, service_task: &ServiceTask) -> bool {
        matches!(service_task, ServiceTask::Task(_)) && matches!(self.step.as_str(), "" | CREATED)
    }

    /// What follows where the attempt that is due was begun by somebody who is gone: nobody knows whether a task was created, and of one that was, its state
    /// tells whether it was started.
    pub fn interrupted(&self) -> Option<Step> {
        match self.step.as_str() {
            _ if self.begun != self.attempts + 1 => None,
            CREATED => Some(Step::UnderWay { step: RESUMED.into(), task: self.task.clone(), after_ms: 0 }),
            _ => Some(Step::Done {
                status: None,
                succeeded: false,
                outputs: BTreeMap::new(),
                reason: "the desk was interrupted while the task was created; whether it was is to be looked up over there".into(),
            }),
        }
    }

    /// Says whether something is still to be asked of the other side.
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
        let answered = |exchange,
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
                due: at.plus_ms(TELL_MS),
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
                answered(exchange, *status, false, &BTreeMap::new(), reason)
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
            } => answered(exchange, *status, *succeeded, outputs, reason),
        }
    }
}

/// Longest pause between two tries, where nothing says a shorter one.
const PAUSE_MAX_MS: i64 = 300_000;

/// The pause after so many unanswered attempts: 3 s, doubling.
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
    fn nobody_answering_is_tried_again_until_the_bound_and_then_an_answer() {
        let mut call = fold::<ApiCall>(&[requested()]);
        let silent = || Step::NoAnswer {
            status: None,
            reason: "timeout".into(),
            attempts_max: 2,
            pause_max_ms: PAUSE_MAX_MS,
        };
        let first = record(&call, 1, silent());
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
                    step: silent(),
                    at: Moment(100)
                },
                &()
            ),
            Err(DecideError::Rejected(Rejection::NotDue(1)))
        );
        let ApiCallEvent::Completed(answered) = record(&call, 2, silent()) else {
            panic!("an answer")
        };
        assert!(!answered.succeeded && answered.reason == "timeout");
    }

    #[test]
    fn it_is_closed_only_after_an_answer_and_once() {
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
    fn what_cannot_be_asked_twice_is_not() {
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
            "it may have been created"
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
        let resumed = call.interrupted().expect("it may have been started");
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
            "its state can be asked as often as one likes"
        );
    }

    #[test]
    fn every_state_but_the_last_has_a_deadline() {
        use events::{Deadline, Event as _};
        for event in events::samples::history::<ApiCallEvent>() {
            assert_eq!(
                matches!(event.deadline(), Deadline::At(_)),
                !matches!(event, ApiCallEvent::Closed(_)),
                "{event:?}"
            );
        }
    }
}
