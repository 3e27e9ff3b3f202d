//! Tests the writes of remarks as notes.

use super::*;

#[test]
fn remarks_within_the_pause_are_one_write_without_a_read() {
    let waiting = all(&[note(1, 30_000), note(2, 45_000), note(2, 50_000)]);
    assert_eq!(waiting.attempts.due, NOW.plus_ms(30_000));
    assert_eq!(
        (waiting.step, waiting.next_notes()),
        (Step::Write, vec![1, 2])
    );
    let written = answered(&begun(&waiting), Answer::Written);
    assert_eq!(outcome(&written), Some(Outcome::Written));
    let later = execute(&written, &note(3, 90_000)).0;
    assert_eq!(later.next_notes(), [3]);
    assert_eq!(later.attempts.due, NOW.plus_ms(90_000));
    assert!(later.settled.is_empty(), "a note settles no value");
}

#[test]
fn a_note_without_a_response_is_searched_by_its_mark() {
    let writing = begun(&all(&[note(1, 0), note(2, 0)]));
    for unclear in [
        answered(&writing, Answer::Unclear("timeout".into())),
        recorded(&writing, writing.interrupted().unwrap()),
    ] {
        assert_eq!(unclear.step, Step::ReadNotes);
        let both = "a [ledgerdesk INC1/1] b [ledgerdesk INC1/2]";
        let found = answered(&unclear, Answer::Notes(both.into()));
        assert_eq!(outcome(&found), Some(Outcome::Unchanged));
        let one = answered(&unclear, Answer::Notes("[ledgerdesk INC1/12]".into()));
        assert_eq!((one.step, one.next_notes()), (Step::Write, vec![1, 2]));
        let one = answered(&unclear, Answer::Notes("x [ledgerdesk INC1/1]".into()));
        assert_eq!((one.step, one.next_notes()), (Step::Write, vec![2]));
        let written = answered(&begun(&one), Answer::Written);
        assert_eq!(outcome(&written), Some(Outcome::Written));
    }
}

#[test]
fn a_remark_that_a_comparison_missed_is_searched_and_written_again() {
    let written = answered(&begun(&all(&[note(1, 0), note(2, 0)])), Answer::Written);
    assert_eq!(written.missing_remarks(&BTreeSet::new(), true), [1, 2]);
    let mut again = note(2, 0);
    if let Command::RequestNote(requested) = &mut again {
        requested.repeats = true;
    }
    let waiting = execute(&written, &again).0;
    assert_eq!((waiting.step, &waiting.notes), (Step::ReadNotes, &vec![2]));
    assert_eq!(waiting.decide(&again, &()), Ok(Vec::new()));
    let found = answered(&waiting, Answer::Notes(mark(&"INC1".into(), 2)));
    assert_eq!(outcome(&found), Some(Outcome::Unchanged));
    let missing = answered(&waiting, Answer::Notes("another note".into()));
    assert_eq!((missing.step, missing.next_notes()), (Step::Write, vec![2]));
    let repaired = answered(&begun(&missing), Answer::Written);
    assert_eq!(outcome(&repaired), Some(Outcome::Written));
    assert_eq!(repaired.last_batch, [2]);
}

#[test]
fn several_missing_remarks_are_found_and_written_in_their_order() {
    let numbers = |numbers: &[u64]| numbers.iter().copied().collect::<BTreeSet<u64>>();
    let first = answered(
        &begun(&all(&[note(1, 0), note(2, 0), note(3, 0)])),
        Answer::Written,
    );
    let both = all_of(&first, &[note(5, 0), note(6, 0)]);
    let written = answered(&begun(&both), Answer::Written);
    assert_eq!(written.last_batch, [5, 6]);
    let cases: [(&[u64], bool, &[u64]); 6] = [
        (&[1, 2, 3, 5, 6], true, &[]),
        (&[2, 5], true, &[1, 3, 6]),
        (&[], true, &[1, 2, 3, 5, 6]),
        // Earlier notes can exist on another page.
        (&[2, 5], false, &[3, 6]),
        (&[5, 6], false, &[]),
        (&[], false, &[5, 6]),
    ];
    for (found, has_all_notes, missing) in cases {
        let found = numbers(found);
        let result = written.missing_remarks(&found, has_all_notes);
        assert_eq!(result, missing, "{found:?} {has_all_notes}");
    }
    let repeated = |remark| {
        let mut command = note(remark, 0);
        if let Command::RequestNote(requested) = &mut command {
            requested.repeats = true;
            requested.cause = format!("again{remark}");
        }
        command
    };
    let repeated: Vec<Command> = [1, 3, 6].map(repeated).into();
    let waiting = all_of(&written, &repeated);
    assert_eq!(waiting.step, Step::ReadNotes);
    let searched = answered(&waiting, Answer::Notes("another note".into()));
    assert_eq!(
        (searched.step, searched.next_notes()),
        (Step::Write, vec![1, 3, 6])
    );
    let text = "[ledgerdesk INC1/4] x [ledgerdesk INC12/5] [ledgerdesk INC1/6";
    assert_eq!(marked(&"INC1".into(), text), numbers(&[4]));
}

#[test]
fn more_remarks_than_one_write_permits_are_further_writes() {
    let notes: Vec<Command> = (1..=12).map(|remark| note(remark, 0)).collect();
    let mut state = all(&notes);
    for expected in [5, 5, 2] {
        assert_eq!(
            (state.step, state.next_notes().len()),
            (Step::Write, expected)
        );
        state = answered(&begun(&state), Answer::Written);
    }
    assert_eq!(outcome(&state), Some(Outcome::Written));
}

/// Returns the command that requests a remark again whose note is missing.
fn again(remark: u64, cause: &str) -> Command {
    let mut command = note(remark, 0);
    if let Command::RequestNote(requested) = &mut command {
        (requested.repeats, requested.cause) = (true, cause.into());
    }
    command
}

/// Requests the remarks again. The external system does not have them, and answers the write of the first ones.
fn repeated(state: &Writeback, remarks: &[u64], cause: &str, answer: Answer) -> Writeback {
    let commands: Vec<Command> = remarks.iter().map(|id| again(*id, cause)).collect();
    let waiting = all_of(state, &commands);
    let searched = answered(&waiting, Answer::Notes(String::new()));
    answered(&begun(&searched), answer)
}

#[test]
fn a_remark_that_is_refused_with_the_same_reason_is_given_up() {
    let refused = || Answer::Rejected("HTTP 400".into());
    let mut state = answered(&begun(&all(&[note(1, 0)])), refused());
    for cause in ["r2", "r3", "r4"] {
        state = repeated(&state, &[1], cause, refused());
        assert!(!state.is_given_up(1), "{cause}");
    }
    // Another reason counts from the beginning.
    let other = repeated(&state, &[1], "r5", Answer::Rejected("HTTP 413".into()));
    assert!(!other.is_given_up(1));
    assert_eq!(other.refusal(), Some("HTTP 413"));
    let left = repeated(&state, &[1], "r5", refused());
    assert!(left.is_given_up(1) && left.has_failed());
    assert_eq!(left.refusal(), Some("HTTP 400"));
    // A later write of something else does not hide the failure.
    let waiting = all_of(&left, &[request("FINISHED", 3, "e1")]);
    let written = answered(&waiting, status("3"));
    assert_eq!(outcome(&written), Some(Outcome::Unchanged));
    assert!(written.is_given_up(1) && written.has_failed());
    assert_eq!(written.refusal(), Some("HTTP 400"));
    // A person requests it again, and the system accepts it.
    let written = repeated(&left, &[1], "p1", Answer::Written);
    assert_eq!(outcome(&written), Some(Outcome::Written));
    assert!(!written.is_given_up(1) && !written.has_failed());
    assert!(written.refused_notes.is_empty());
}

#[test]
fn a_remark_without_a_refusal_is_never_given_up() {
    let mut state = all(&[note(1, 0)]);
    for cause in ["r2", "r3", "r4", "r5", "r6", "r7"] {
        while state.is_open {
            state = answered(&state, Answer::NotSent("no connection".into()));
        }
        assert_eq!(outcome(&state), Some(Outcome::Failed));
        assert!(!state.is_given_up(1), "{cause}");
        state = all_of(&state, &[again(1, cause)]);
    }
}

#[test]
fn a_refused_remark_does_not_hold_others_back() {
    let refused = || Answer::Rejected("HTTP 400".into());
    let first = answered(&begun(&all(&[note(1, 0), note(2, 0)])), refused());
    assert_eq!(first.unwritten_notes, BTreeSet::from([1, 2]));
    // Each of them has a write of its own now.
    let next = repeated(&first, &[1, 2], "r2", Answer::Written);
    assert_eq!((next.is_open, next.next_notes()), (true, vec![2]));
    let next = answered(&begun(&next), refused());
    assert_eq!(next.unwritten_notes, BTreeSet::from([2]));
    assert_eq!(next.refused_notes[&2].count, 2);
    // A new remark is not merged with a refused one.
    let mixed = all_of(&next, &[note(3, 0), again(2, "r3")]);
    assert_eq!(mixed.next_notes(), [3]);
}

#[test]
fn a_remark_that_was_refused_more_often_waits_for_the_others() {
    let refused = || Answer::Rejected("HTTP 400".into());
    let first = answered(&begun(&all(&[note(1, 0), note(2, 0)])), refused());
    let second = repeated(&first, &[1, 2], "r2", refused());
    assert_eq!(second.unwritten_notes, BTreeSet::from([1, 2]));
    let third = repeated(&second, &[1, 2], "r3", Answer::Written);
    assert_eq!((third.is_open, third.next_notes()), (true, vec![1]));
    assert!(!third.unwritten_notes.contains(&2));
}

#[test]
fn a_status_is_written_without_a_refused_remark() {
    let refused = Answer::Rejected("HTTP 400".into());
    let first = answered(&begun(&all(&[note(1, 0)])), refused);
    let mixed = all_of(&first, &[request("9", 3, "c2"), again(1, "r2")]);
    let read = answered(&mixed, status("1"));
    assert_eq!(read.fields, [Field::Status]);
    assert!(read.next_notes().is_empty(), "{read:?}");
}
