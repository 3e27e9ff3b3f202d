//! Implements the aggregate of the writes to one record of an external system. When the status of a ticket changes, the
//! desk reads the record, and then writes the status, unless the source has changed the record in the meantime.
//!
//! The external systems have no idempotency key. The desk therefore stores the start of each write. If no result is
//! stored, the desk reads the record again and does not simply repeat the write.

use std::collections::{BTreeMap, BTreeSet};

use events::Moment;
use events::writeback::{
    AttemptFailed, AttemptStarted, Closed, Completed, Outcome, PollScheduled, Requested,
    WritebackEvent,
};
use serde::{Deserialize, Serialize};

use crate::attempt::{Attempts, Consequence, Policy, Report, Verdict};
use crate::decider::{DecideError, Decider, Nothing, StreamRole};
use crate::envelope::Envelope;
use crate::value::plain;
use crate::views::Card;

/// The pause after a write without a response, in milliseconds. The external system may still execute the write.
const READ_AGAIN_MS: i64 = 10_000;
/// Time limit in milliseconds until the case must contain a conflict.
const CONFLICT_DUE_MS: i64 = 30_000;
/// The name under which a verdict contains that the result of a write is unknown.
const UNCLEAR: &str = "unclear";
/// The name under which a verdict contains how the status can be written.
const ROUTE: &str = "route";
/// The name under which a verdict contains the outcome.
const OUTCOME: &str = "outcome";
/// The name under which a verdict contains the status of the record.
const FOUND: &str = "found";

/// The retry policy of all requests. 20 attempts take about 10 hours.
pub const POLICY: Policy = Policy {
    attempts_max: 20,
    first_ms: 5_000,
    longest_ms: 3_600_000,
};

/// The kind of request that the desk sends next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Reads the record.
    #[default]
    Read,
    /// Writes the status to the record.
    Write,
}

impl Step {
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// The meaning of a response.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The record has this status. The result says how the desk can write the new status, or why it cannot.
    Status(String, Result<String, String>),
    /// The external system accepted the write.
    Written,
    Rejected(String),
    NotSent(String),
    Unclear(String),
}

/// The commands that change the writes to one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Requests the write of a status to the source.
    Request(Box<Requested>),
    /// Stores that the write will be sent next.
    Begin { attempt: u32, until: Moment },
    /// Stores the outcome of the current request.
    Record(Report),
    /// Stores that the case contains the conflict.
    Close,
}

/// The reasons why the desk rejects a command for the writes to one record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("attempt {0} is not the one that is due")]
    NotDue(u32),
}

/// The state of the writes to one record, computed from its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Writeback {
    /// The newest request.
    pub requested: Option<Requested>,
    /// Whether the newest request is not completed.
    pub is_open: bool,
    pub step: Step,
    pub attempts: Attempts,
    /// The last status that the record certainly had, because the desk wrote it or found it. `None` before the first
    /// completed write.
    pub confirmed: Option<String>,
    /// What the next write needs to change the status, such as the id of a transition.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub route: String,
    /// The statuses of the open write whose results are unknown. A record with one of them was not changed by the source.
    pub tried: BTreeSet<String>,
    /// The end of the last completed request.
    pub last: Option<Completed>,
    /// Whether the case contains the last conflict.
    #[serde(default)]
    pub is_closed: bool,
}

impl Decider for Writeback {
    type Command = Command;
    type Event = WritebackEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(&self, command: &Command, (): &()) -> Result<Vec<WritebackEvent>, DecideError<Self>> {
        let reject = |rejection| Err(DecideError::Rejected(rejection));
        match command {
            // The same event is never requested twice.
            Command::Request(requested)
                if self
                    .requested
                    .as_ref()
                    .is_some_and(|known| known.cause == requested.cause) =>
            {
                Ok(Vec::new())
            }
            Command::Request(requested) => {
                let mut requested = (**requested).clone();
                // A write that still runs must not arrive after this one, and a pause must not become shorter.
                if self.is_open && (self.attempts.failures > 0 || self.attempts.is_interrupted()) {
                    requested.due = requested.due.max(self.attempts.due);
                }
                Ok(vec![requested.into()])
            }
            Command::Begin { attempt, .. } | Command::Record(Report { attempt, .. })
                if *attempt != self.attempts.next() || !self.is_open =>
            {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Begin { attempt, .. } if *attempt == self.attempts.started => {
                reject(Rejection::NotDue(*attempt))
            }
            Command::Begin { attempt, until } => Ok(vec![
                AttemptStarted {
                    attempt: *attempt,
                    due: *until,
                }
                .into(),
            ]),
            Command::Record(report) => Ok(vec![self.record(report)]),
            Command::Close if self.is_open || self.is_closed => Ok(Vec::new()),
            Command::Close => Ok(vec![Closed {}.into()]),
        }
    }

    fn evolve(&mut self, event: &WritebackEvent) {
        match event {
            WritebackEvent::Requested(requested) => {
                if self.is_open {
                    // The outcome of an earlier request that still runs is ignored.
                    self.attempts.postpone(self.attempts.next(), requested.due);
                } else {
                    self.attempts.begin_again(requested.due);
                }
                self.requested = Some(requested.clone());
                self.is_open = true;
                self.is_closed = false;
                self.step = Step::Read;
            }
            WritebackEvent::AttemptStarted(started) => {
                self.attempts.start(started.attempt, started.due);
                self.tried.extend(self.target());
            }
            WritebackEvent::AttemptFailed(failed) => {
                self.attempts.fail(failed.attempt, failed.due);
                // The source can change the record during the pause.
                self.step = Step::Read;
            }
            WritebackEvent::PollScheduled(done) => {
                // A read between two writes is no success of the write.
                self.attempts.postpone(done.attempt, done.due);
                self.attempts.failures += u32::from(done.is_unclear);
                if let Some(route) = &done.route {
                    self.route.clone_from(route);
                }
                self.step = if done.step == Step::Write.name() {
                    Step::Write
                } else {
                    Step::Read
                };
            }
            WritebackEvent::Completed(completed) => {
                self.attempts.end(completed.attempt);
                self.is_open = false;
                if matches!(completed.outcome, Outcome::Written | Outcome::Unchanged) {
                    self.confirmed = self.target();
                    self.tried.clear();
                }
                self.last = Some(completed.clone());
            }
            WritebackEvent::Closed(_) => self.is_closed = true,
        }
    }
}

/// Adds the writes that are not completed to the list `open`, and those that ended with a conflict or failed to the list
/// `failed`.
impl Card for Writeback {
    type Event = WritebackEvent;
    const VIEW: &'static str = "writeback";
    const COUNTED: &'static [&'static str] = &["writeback", "open", "failed"];
    fn fold(&mut self, envelope: &Envelope<Self::Event>) {
        self.evolve(&envelope.event);
    }
    fn index(&self) -> Vec<(&'static str, String)> {
        let Some(requested) = &self.requested else {
            return Vec::new();
        };
        let at = format!("{:016}", requested.due.0);
        let mut rows = vec![("writeback", at.clone())];
        let outcome = self.last.as_ref().map(|last| last.outcome);
        if self.is_open {
            rows.push(("open", at));
        } else if matches!(outcome, Some(Outcome::Conflict | Outcome::Failed)) {
            rows.push(("failed", at));
        }
        rows
    }
}

impl Writeback {
    /// Returns the text of the status that the desk writes.
    fn target(&self) -> Option<String> {
        self.requested.as_ref().map(|one| plain(&one.target))
    }

    /// Returns how the desk continues after an interrupted write: it reads the record again.
    pub fn interrupted(&self) -> Option<Verdict> {
        self.attempts.is_interrupted().then(|| self.unclear(0))
    }

    /// Returns how the desk continues after the given response.
    pub fn verdict(&self, answer: Answer) -> Verdict {
        let Some(requested) = &self.requested else {
            return Verdict::retry("no write is requested");
        };
        let target = plain(&requested.target);
        let ended = |outcome: &str, found: &str| {
            Verdict::succeeded(BTreeMap::from([
                (OUTCOME.to_owned(), outcome.to_owned()),
                (FOUND.to_owned(), found.to_owned()),
            ]))
        };
        match (self.step, answer) {
            (_, Answer::NotSent(reason)) => Verdict::retry(reason),
            (_, Answer::Rejected(reason)) => Verdict::failed(reason),
            (Step::Read, Answer::Status(found, _)) if found == target => ended("unchanged", ""),
            (Step::Read, Answer::Status(found, route))
                if requested.overwrites
                    || found == *self.confirmed.as_ref().unwrap_or(&requested.known)
                    || self.tried.contains(&found) =>
            {
                let route = match route {
                    Ok(route) => route,
                    Err(reason) => return Verdict::failed(reason),
                };
                let mut verdict = Verdict::poll(Step::Write.name(), "", 0);
                if let Verdict::Poll { outputs, .. } = &mut verdict {
                    outputs.insert(ROUTE.to_owned(), route);
                }
                verdict
            }
            (Step::Read, Answer::Status(found, _)) => ended("conflict", &found),
            (Step::Write, Answer::Written) => ended("written", ""),
            (Step::Write, Answer::Unclear(_)) => self.unclear(READ_AGAIN_MS),
            (_, Answer::Unclear(reason)) => Verdict::retry(reason),
            (_, answer) => {
                Verdict::retry(format!("the response does not fit the request: {answer:?}"))
            }
        }
    }

    /// Returns how the desk continues after a write with an unknown result: it reads the record again. Such a write counts
    /// as a failed attempt, so that it is not repeated without end.
    fn unclear(&self, pause_ms: i64) -> Verdict {
        let failures = self.attempts.failures + 1;
        if failures >= POLICY.attempts_max {
            return Verdict::failed("the results of all writes are unknown");
        }
        let mut verdict = Verdict::poll(
            Step::Read.name(),
            "",
            pause_ms.max(POLICY.pause_ms(failures)),
        );
        if let Verdict::Poll { outputs, .. } = &mut verdict {
            outputs.insert(UNCLEAR.to_owned(), String::new());
        }
        verdict
    }

    fn record(&self, report: &Report) -> WritebackEvent {
        let (attempt, exchange) = (report.attempt, report.exchange.clone());
        match self.attempts.consequence(report) {
            Consequence::End {
                succeeded,
                mut outputs,
                reason,
            } => {
                let outcome = match outputs.get(OUTCOME).map(String::as_str) {
                    Some("written") if succeeded => Outcome::Written,
                    Some("unchanged") if succeeded => Outcome::Unchanged,
                    Some("conflict") if succeeded => Outcome::Conflict,
                    _ => Outcome::Failed,
                };
                Completed {
                    attempt,
                    exchange,
                    outcome,
                    found: outputs.remove(FOUND).unwrap_or_default(),
                    reason: reason.to_owned(),
                    due: (outcome == Outcome::Conflict).then(|| report.at.plus_ms(CONFLICT_DUE_MS)),
                }
                .into()
            }
            Consequence::Repeat { reason, due } => AttemptFailed {
                attempt,
                exchange,
                status: report.status,
                reason: reason.to_owned(),
                due,
            }
            .into(),
            Consequence::Poll {
                step,
                after_ms,
                mut outputs,
                ..
            } => PollScheduled {
                route: outputs.remove(ROUTE),
                attempt,
                exchange,
                step: step.to_owned(),
                is_unclear: outputs.contains_key(UNCLEAR),
                due: report.at.plus_ms(after_ms),
            }
            .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Moment = Moment(1_000_000);

    fn request(status: &str, target: i64, cause: &str) -> Command {
        Command::Request(Box::new(Requested {
            case: "case-1".into(),
            source: "helpdesk".into(),
            record: "7".into(),
            ticket: "INC1".into(),
            status: status.into(),
            target: json!(target),
            known: "1".into(),
            overwrites: false,
            cause: cause.into(),
            due: NOW,
        }))
    }

    /// Executes the command, and returns the new state and the new events.
    fn execute(state: &Writeback, command: &Command) -> (Writeback, Vec<WritebackEvent>) {
        let events = state.decide(command, &()).unwrap();
        let mut next = state.clone();
        events.iter().for_each(|event| next.evolve(event));
        (next, events)
    }

    /// Records the answer to the current request.
    fn answered(state: &Writeback, answer: Answer) -> Writeback {
        let verdict = state.verdict(answer);
        recorded(state, verdict)
    }

    fn recorded(state: &Writeback, verdict: Verdict) -> Writeback {
        let report = Report {
            attempt: state.attempts.next(),
            exchange: None,
            status: None,
            verdict,
            policy: POLICY,
            at: NOW,
        };
        execute(state, &Command::Record(report)).0
    }

    fn begun(state: &Writeback) -> Writeback {
        let begin = Command::Begin {
            attempt: state.attempts.next(),
            until: NOW.plus_ms(40_000),
        };
        execute(state, &begin).0
    }

    fn status(text: &str) -> Answer {
        Answer::Status(text.into(), Ok(String::new()))
    }

    fn outcome(state: &Writeback) -> Option<Outcome> {
        assert_eq!(state.is_open, state.last.is_none());
        state.last.as_ref().map(|last| last.outcome)
    }

    fn requested() -> Writeback {
        execute(&Writeback::default(), &request("FINISHED", 3, "e1")).0
    }

    #[test]
    fn a_status_is_written_after_the_record_was_read() {
        let waiting = requested();
        assert_eq!((waiting.step, waiting.attempts.due), (Step::Read, NOW));
        let reading = answered(&waiting, status("1"));
        assert_eq!(reading.step, Step::Write);
        let written = answered(&begun(&reading), Answer::Written);
        assert_eq!(outcome(&written), Some(Outcome::Written));
        assert_eq!(
            written.decide(&request("FINISHED", 3, "e1"), &()),
            Ok(Vec::new()),
            "the same event is not written twice"
        );
    }

    #[test]
    fn a_record_with_the_status_is_not_written() {
        assert_eq!(
            outcome(&answered(&requested(), status("3"))),
            Some(Outcome::Unchanged)
        );
    }

    #[test]
    fn a_status_that_the_source_changed_is_a_conflict() {
        let conflict = answered(&requested(), status("4"));
        assert_eq!(outcome(&conflict), Some(Outcome::Conflict));
        assert_eq!(conflict.last.unwrap().found, "4");
    }

    #[test]
    fn only_the_last_status_of_the_desk_is_no_change_of_the_source() {
        let write = |state: &Writeback, found: &str| {
            let reading = answered(state, status(found));
            answered(&begun(&reading), Answer::Written)
        };
        let first = write(&requested(), "1");
        let (again, _) = execute(&first, &request("RUNNING", 2, "e2"));
        for changed in ["1", "5"] {
            let mut conflict = answered(&again, status(changed));
            assert_eq!(
                conflict.last.as_ref().unwrap().outcome,
                Outcome::Conflict,
                "{changed}"
            );
            let due = conflict.last.as_ref().unwrap().due;
            assert!(due.is_some(), "the case must contain the conflict");
            conflict = execute(&conflict, &Command::Close).0;
            assert_eq!(conflict.decide(&Command::Close, &()), Ok(Vec::new()));
        }
        let second = write(&again, "3");
        assert_eq!(second.confirmed.as_deref(), Some("2"));
    }

    #[test]
    fn a_rejected_rate_before_a_write_is_followed_by_a_read() {
        let reading = answered(&requested(), status("1"));
        let limited = answered(&begun(&reading), Answer::NotSent("HTTP 429".into()));
        assert_eq!(limited.step, Step::Read);
        assert_eq!(
            outcome(&answered(&limited, status("5"))),
            Some(Outcome::Conflict),
            "the source changed the record during the pause"
        );
    }

    #[test]
    fn a_write_without_a_response_is_read_again_and_not_repeated() {
        let writing = begun(&answered(&requested(), status("1")));
        for unclear in [
            answered(&writing, Answer::Unclear("timeout".into())),
            recorded(&writing, writing.interrupted().unwrap()),
        ] {
            assert_eq!(unclear.step, Step::Read);
            assert_eq!(
                outcome(&answered(&unclear, status("3"))),
                Some(Outcome::Unchanged),
                "the write had an effect"
            );
            assert_eq!(answered(&unclear, status("1")).step, Step::Write);
        }
    }

    #[test]
    fn the_latest_status_replaces_a_waiting_or_running_one() {
        let writing = begun(&answered(&requested(), status("1")));
        let (replaced, _) = execute(&writing, &request("REVOKED", 4, "e2"));
        assert_eq!(replaced.step, Step::Read);
        assert_eq!(
            replaced.decide(
                &Command::Record(Report {
                    attempt: writing.attempts.next(),
                    exchange: None,
                    status: None,
                    verdict: Verdict::succeeded(BTreeMap::new()),
                    policy: POLICY,
                    at: NOW,
                }),
                &()
            ),
            Err(DecideError::Rejected(Rejection::NotDue(2))),
            "the outcome of the replaced write is ignored"
        );
        assert_eq!(
            replaced.attempts.due, writing.attempts.due,
            "the replaced write possibly still runs"
        );
        // The replaced write had an effect. It was a write of the desk, so this is no conflict.
        let reading = answered(&replaced, status("3"));
        assert_eq!(reading.step, Step::Write);
        let written = answered(&begun(&reading), Answer::Written);
        assert_eq!(outcome(&written), Some(Outcome::Written));
    }

    #[test]
    fn failures_are_repeated_and_end_after_the_last_attempt() {
        assert_eq!(
            outcome(&answered(&requested(), Answer::Rejected("403".into()))),
            Some(Outcome::Failed)
        );
        let mut state = requested();
        let mut attempts = 0;
        while state.is_open {
            state = answered(&state, Answer::NotSent("refused".into()));
            attempts += 1;
        }
        assert_eq!(
            (attempts, outcome(&state)),
            (POLICY.attempts_max, Some(Outcome::Failed))
        );
        let failed = answered(&requested(), Answer::NotSent("refused".into()));
        let (replaced, _) = execute(&failed, &request("REVOKED", 4, "e2"));
        assert_eq!(
            replaced.attempts.due, failed.attempts.due,
            "a new status does not shorten the pause"
        );
    }

    #[test]
    fn writes_without_a_result_end_after_the_last_attempt() {
        let mut state = requested();
        let mut writes = 0;
        while state.is_open {
            state = answered(&state, status("1"));
            if state.is_open {
                assert_eq!(state.step, Step::Write);
                state = answered(&begun(&state), Answer::Unclear("500".into()));
                writes += 1;
            }
        }
        assert_eq!(
            (writes, outcome(&state)),
            (POLICY.attempts_max, Some(Outcome::Failed))
        );
    }

    #[test]
    fn every_event_of_an_open_write_sets_the_deadline() {
        use events::Event;
        let mut state = Writeback::default();
        let mut kinds = BTreeSet::new();
        let mut executed = |state: &Writeback, command: &Command| {
            let (next, events) = execute(state, command);
            for event in events {
                kinds.insert(event.kind());
                let deadlines = event.deadlines();
                let is_set = deadlines.iter().any(|change| change.due.is_some());
                assert_eq!(is_set, next.is_open, "{event:?}");
                assert_eq!(deadlines.len(), 1, "{event:?}");
            }
            next
        };
        let report = |state: &Writeback, answer: Answer| {
            Command::Record(Report {
                attempt: state.attempts.next(),
                exchange: None,
                status: None,
                verdict: state.verdict(answer),
                policy: POLICY,
                at: NOW,
            })
        };
        state = executed(&state, &request("FINISHED", 3, "e1"));
        state = executed(&state, &report(&state, Answer::NotSent("dns".into())));
        state = executed(&state, &report(&state, status("1")));
        let begin = Command::Begin {
            attempt: state.attempts.next(),
            until: NOW,
        };
        state = executed(&state, &begin);
        state = executed(&state, &report(&state, Answer::Written));
        assert!(!state.is_open);
        assert_eq!(kinds.len(), 5, "{kinds:?}");
    }
}
