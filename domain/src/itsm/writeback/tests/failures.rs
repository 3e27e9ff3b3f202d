//! Tests failed, denied and interrupted writes.

use super::*;
use crate::itsm::writeback::verdicts::INTERRUPTED;

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
fn a_denied_request_is_repeated_for_days() {
    let mut state = requested();
    let mut pauses = Vec::new();
    while state.is_open {
        state = denied(&state);
        pauses.push(state.attempts.due.0 - NOW.0);
    }
    assert_eq!(pauses.len(), 80);
    assert_eq!(pauses[..4], [5_000, 10_000, 20_000, 40_000]);
    let hours: i64 = pauses[..79].iter().sum::<i64>() / 3_600_000;
    assert!((48..96).contains(&hours), "{hours}");
    assert_eq!(outcome(&state), Some(Outcome::Failed));
    assert_eq!(state.failures.len(), FAILURES_MAX);
    assert_eq!(state.failures.last().unwrap().attempt, 80);
    // Denials do not use up the attempts for other faults.
    let state = (0..30).fold(requested(), |state, _| denied(&state));
    let other = answered(&state, Answer::NotSent("refused".into()));
    assert!(other.is_open);
    assert_eq!((other.attempts.failures, other.denials), (1, 30));
    let (again, _) = execute(&state, &request("REVOKED", 4, "e2"));
    assert_eq!(again.attempts.due, state.attempts.due, "the pause stays");
}

#[test]
fn a_denied_write_is_read_again_and_not_repeated() {
    let writing = begun(&answered(
        &all(&[request("FINISHED", 3, "e1")]),
        status("1"),
    ));
    let waiting = denied(&writing);
    assert_eq!((waiting.step, waiting.is_open), (Step::Read, true));
    let found = answered(&denied(&waiting), status("3"));
    assert_eq!(outcome(&found), Some(Outcome::Unchanged));
    assert!(!found.has_failed());
    let noting = denied(&begun(&all(&[note(1, 0)])));
    assert_eq!(noting.step, Step::ReadNotes);
}

#[test]
fn what_a_failed_write_contained_is_known_until_it_is_requested_again() {
    let waiting = all(&[note(1, 0), request("FINISHED", 3, "e1")]);
    let failed = answered(&waiting, Answer::Rejected("HTTP 404".into()));
    assert_eq!(outcome(&failed), Some(Outcome::Failed));
    assert_eq!(failed.failed_fields(), BTreeSet::from([Field::Status]));
    assert_eq!(failed.unwritten_notes, BTreeSet::from([1]));
    let listed = |state: &Writeback| state.index().iter().any(|(name, _)| *name == "failed");
    assert!(listed(&failed));
    let mut again = note(1, 0);
    if let Command::RequestNote(requested) = &mut again {
        (requested.repeats, requested.cause) = (true, "again".into());
    }
    let status_again = all_of(&failed, &[request("FINISHED", 3, "e2")]);
    assert!(listed(&status_again), "the remark is still not written");
    let both = all_of(&status_again, &[again]);
    assert!(!listed(&both) && !both.has_failed());
    let written = answered(&answered(&both, status("3")), Answer::Notes(String::new()));
    let written = answered(&begun(&written), Answer::Written);
    assert_eq!(outcome(&written), Some(Outcome::Written));
    assert!(!written.has_failed());
    // Earlier versions did not store what was not written.
    let mut earlier = failed.clone();
    earlier.unwritten.clear();
    earlier.unwritten_notes.clear();
    assert_eq!(earlier.failed_fields(), BTreeSet::from([Field::Status]));
    // A conflict is no failure.
    assert!(!listed(&answered(&requested(), status("4"))));
}

#[test]
fn a_write_with_an_unknown_result_has_a_reason() {
    let writing = begun(&answered(&requested(), status("1")));
    let unclear = answered(&writing, Answer::Unclear("timeout".into()));
    assert_eq!(unclear.failures[0].reason, "timeout");
    let interrupted = recorded(&writing, writing.interrupted().unwrap());
    assert_eq!(interrupted.failures[0].reason, INTERRUPTED);
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
