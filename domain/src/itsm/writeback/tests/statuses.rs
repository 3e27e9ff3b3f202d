//! Tests the writes of statuses.

use super::*;

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
