//! Implements the aggregate of one API call to an external system. An automatic node of a ticket requests the
//! API call. [`plan`] builds the next HTTP request, and [`judge`] evaluates its response. The stream of the
//! API call stores all attempts.
//!
//! Until the API call is closed, its stream contains a deadline. If the program stops before the ticket has
//! stored the result of the API call, the desk continues the API call at this deadline.

pub mod judge;
pub mod plan;
pub mod schema;

use events::Moment;
use events::api_call::{ApiCallEvent, AttemptStarted, Closed, Completed, PollScheduled, Requested};
use serde::{Deserialize, Serialize};

use crate::attempt::{Attempts, Consequence, Policy, Report, Verdict};
use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Time in milliseconds in which the ticket must store the result of an API call. After this time, the desk
/// sends the result to the ticket again.
const RESULT_DUE_MS: i64 = 30_000;
/// The progress of an API call that continues an existing task in BlueKing SOPS (an external system that runs
/// tasks). The next request reads the state of this task.
pub const RESUMED: &str = "resumed";
/// The progress of an API call that polls (repeats its request). The last response did not satisfy the
/// condition that ends the polls, so another poll follows.
pub const POLLED: &str = "polled";
/// The progress of an API call that has created a task in BlueKing SOPS (an external system that runs tasks).
/// The task is not started yet. The next request starts the task.
pub const CREATED: &str = "created";

/// The commands that change one API call.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Request(Requested),
    /// Stores that an attempt starts. The desk uses this command only if the request must not be sent twice.
    /// If no outcome is stored before the time `until`, the attempt counts as interrupted.
    Begin {
        attempt: u32,
        until: Moment,
    },
    /// Stores the outcome of the current attempt to send the request.
    Record(Report),
    /// Closes the API call, because all work for this call is done. The member `recorded` is true if the
    /// ticket stored the result, and false if the ticket did not need the result.
    Close {
        recorded: bool,
    },
}

/// The reasons why the desk rejects a command for an API call.
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

/// The state of one API call, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApiCall {
    pub requested: Option<Requested>,
    pub attempts: Attempts,
    /// Number of polls (requests that read the progress of the work in the external system) after which the
    /// work was not complete.
    pub polls: u32,
    pub step: String,
    pub task: String,
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
            Command::Begin { attempt, .. }
                if !self.is_open() || !self.attempts.may_start(*attempt) =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Record(Report { attempt, .. })
                if !self.is_open() || !self.attempts.accepts(*attempt) =>
            {
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
            Command::Record(report) => Ok(vec![self.record(report)]),
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
                self.attempts = Attempts::due_at(requested.due);
                if !requested.task.is_empty() {
                    self.task.clone_from(&requested.task);
                    self.step = RESUMED.into();
                }
                self.requested = Some(requested.clone());
            }
            ApiCallEvent::AttemptStarted(started) => {
                self.attempts.start(started.attempt, started.due);
            }
            ApiCallEvent::AttemptFailed(failed) => self.attempts.fail(failed.attempt, failed.due),
            ApiCallEvent::PollScheduled(scheduled) => {
                self.attempts.poll(scheduled.attempt, scheduled.due);
                self.polls += u32::from(matches!(scheduled.step.as_str(), POLLED | "running"));
                self.step.clone_from(&scheduled.step);
                self.task.clone_from(&scheduled.task);
            }
            ApiCallEvent::Completed(completed) => {
                self.attempts.end(completed.attempt);
                self.answered = Some(completed.clone());
            }
            ApiCallEvent::Closed(_) => self.closed = true,
        }
    }
}

impl ApiCall {
    /// Returns how the desk continues after an interrupted attempt. Returns `None` if the current attempt was
    /// not interrupted.
    ///
    /// An API call in BlueKing SOPS (an external system that runs tasks) first creates a task and then starts
    /// the task. If the interrupted attempt was the start, the next request reads the state of the task. If
    /// the interrupted attempt was the creation, the API call fails, because the task possibly already exists.
    pub fn interrupted(&self) -> Option<Verdict> {
        match self.step.as_str() {
            _ if !self.attempts.is_interrupted() => None,
            CREATED => Some(Verdict::poll(RESUMED, self.task.clone(), 0)),
            _ => Some(Verdict::Unknown {
                reason: "the desk was interrupted while the task was created; look it up in BlueKing SOPS".into(),
            }),
        }
    }

    /// Returns true if the API call was requested and has no result yet.
    pub fn is_open(&self) -> bool {
        self.requested.is_some() && self.answered.is_none()
    }

    fn record(&self, report: &Report) -> ApiCallEvent {
        let (attempt, exchange) = (report.attempt, report.exchange.clone());
        match self.attempts.consequence(report) {
            Consequence::End {
                succeeded,
                outputs,
                reason,
            } => Completed {
                attempt,
                exchange,
                status: report.status,
                succeeded,
                outputs,
                task: self.task.clone(),
                reason: reason.to_owned(),
                due: report.at.plus_ms(RESULT_DUE_MS),
            }
            .into(),
            Consequence::Repeat { reason, due } => report.failed(reason, due).into(),
            Consequence::Poll {
                step,
                task,
                after_ms,
                ..
            } => PollScheduled {
                attempt,
                exchange,
                step: step.to_owned(),
                task: task.to_owned(),
                due: report.at.plus_ms(after_ms),
            }
            .into(),
        }
    }
}

/// The default retry policy for the work of automatic nodes. The desk makes one attempt, but a workflow can
/// allow more attempts. The pause before the second attempt is then 3 seconds. Each further pause is twice as
/// long, but not longer than 5 minutes.
pub const POLICY: Policy = Policy {
    attempts_max: 1,
    first_ms: 3_000,
    longest_ms: 300_000,
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use events::NodeId;
    use events::api_call::{AttemptFailed, Exchange};

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

    fn report(attempt: u32, status: Option<u16>, verdict: Verdict) -> Command {
        Command::Record(Report {
            attempt,
            exchange: Some(exchange()),
            status,
            verdict,
            policy: Policy {
                attempts_max: 2,
                ..POLICY
            },
            at: Moment(100),
        })
    }

    fn record(call: &ApiCall, attempt: u32, verdict: Verdict) -> ApiCallEvent {
        call.decide(&report(attempt, None, verdict), &())
            .expect("records")
            .remove(0)
    }

    #[test]
    fn attempts_without_a_response_repeat_up_to_the_bound() {
        let mut call = fold::<ApiCall>(&[requested()]);
        let no_response = || Verdict::Retry {
            reason: "timeout".into(),
            after_ms: None,
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
            call.decide(&report(1, None, no_response()), &()),
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
            Verdict::Succeeded {
                outputs: BTreeMap::new(),
                observed: None,
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
        let mut call = fold::<ApiCall>(&[requested()]);
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
            (call.attempts.due, begin(&call, 1)),
            (
                Moment(500),
                Err(DecideError::Rejected(Rejection::NotDue(1)))
            )
        );
        assert!(
            matches!(call.interrupted(), Some(Verdict::Unknown { .. })),
            "the task may have been created"
        );
        call.evolve(&record(&call, 1, Verdict::poll(CREATED, "9", 0)));
        assert!(call.interrupted().is_none());
        call.evolve(&begin(&call, 2).expect("begins")[0]);
        let resumed = call.interrupted().expect("an interrupted start");
        assert_eq!(resumed, Verdict::poll(RESUMED, "9", 0));
        call.evolve(&record(&call, 2, resumed));
        assert!(call.interrupted().is_none());
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
