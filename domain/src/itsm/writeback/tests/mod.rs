//! Tests the aggregate of the writes to one record. The functions in this file build commands and answers for all tests.

mod bindings;
mod failures;
mod remarks;
mod statuses;
mod values;

use serde_json::json;

use super::*;
use crate::attempt::Verdict;

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
        accepts_any: false,
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
    Answer::Record(found(text, ""))
}

fn found(status: &str, assignee: &str) -> Found {
    Found {
        status: status.into(),
        assignee: assignee.into(),
        route: Ok(String::new()),
        separates_assignee: false,
        separates_notes: false,
    }
}

fn assign(target: &str, overwrites: bool, cause: &str) -> Command {
    Command::RequestAssignee(Box::new(AssigneeRequested {
        case: "case-1".into(),
        source: "helpdesk".into(),
        record: "7".into(),
        ticket: "INC1".into(),
        target: target.into(),
        known: String::new(),
        overwrites,
        accepts_any: false,
        cause: cause.into(),
        due: NOW.plus_ms(30_000),
    }))
}

fn note(remark: u64, after_ms: i64) -> Command {
    Command::RequestNote(Box::new(NoteRequested {
        case: "case-1".into(),
        source: "helpdesk".into(),
        record: "7".into(),
        ticket: "INC1".into(),
        remark,
        repeats: false,
        cause: format!("n{remark}"),
        due: NOW.plus_ms(after_ms),
    }))
}

/// Returns the command for another record.
fn to(record: &str, mut command: Command) -> Command {
    match &mut command {
        Command::Request(requested) => requested.record = record.into(),
        Command::RequestAssignee(requested) => requested.record = record.into(),
        Command::RequestNote(requested) => requested.record = record.into(),
        other => panic!("{other:?} names no record"),
    }
    command
}

/// Returns the command that cancels what waits, because the case is now bound to the record.
fn cancel(record: Option<&str>) -> Command {
    Command::Cancel {
        record: record.map(str::to_owned),
    }
}

fn all(commands: &[Command]) -> Writeback {
    all_of(&Writeback::default(), commands)
}

fn all_of(start: &Writeback, commands: &[Command]) -> Writeback {
    let step = |state: Writeback, command: &Command| execute(&state, command).0;
    commands.iter().fold(start.clone(), step)
}

fn outcome(state: &Writeback) -> Option<Outcome> {
    assert_eq!(state.is_open, state.last.is_none());
    state.last.as_ref().map(|last| last.outcome)
}

fn requested() -> Writeback {
    execute(&Writeback::default(), &request("FINISHED", 3, "e1")).0
}

/// Records that the source denied the current request.
fn denied(state: &Writeback) -> Writeback {
    let report = Report {
        attempt: state.attempts.next(),
        exchange: None,
        status: Some(401),
        verdict: state.verdict(Answer::Denied("HTTP 401".into())),
        policy: DENIED_POLICY,
        at: NOW,
    };
    execute(state, &Command::Record(report)).0
}
