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
