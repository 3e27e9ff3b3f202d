//! Tests what happens to writes if the case is bound to another record, or to none.

use super::*;

#[test]
fn waiting_writes_to_a_record_that_is_not_bound_any_more_are_canceled() {
    let waiting = all(&[note(1, 30_000), request("FINISHED", 3, "e1")]);
    let bound = waiting.decide(&cancel(Some("7")), &());
    assert_eq!(bound, Ok(Vec::new()));
    let writing = begun(&answered(&waiting, status("1")));
    for (state, now) in [(&waiting, None), (&writing, Some("8"))] {
        let (canceled, events) = execute(state, &cancel(now));
        let expected = Canceled {
            record: "7".into(),
            reason: NOT_BOUND.into(),
        };
        assert_eq!(events, [WritebackEvent::from(expected)]);
        assert!(!canceled.is_open && canceled.notes.is_empty() && canceled.waiting.is_empty());
        assert_eq!(canceled.decide(&cancel(now), &()), Ok(Vec::new()));
        let late = Command::Record(Report {
            attempt: state.attempts.next(),
            exchange: None,
            status: None,
            verdict: Verdict::succeeded(BTreeMap::new()),
            policy: POLICY,
            at: NOW,
        });
        assert!(canceled.decide(&late, &()).is_err(), "the outcome is late");
        // The same record again: what was possibly written is searched.
        let again = execute(&canceled, &note(1, 0)).0;
        let step = if now.is_none() {
            Step::Write
        } else {
            Step::ReadNotes
        };
        assert_eq!((again.step, again.next_notes()), (step, vec![1]));
        assert!(again.is_open && !again.attempts.is_interrupted());
    }
    let conflict = answered(&requested(), status("4"));
    let (canceled, events) = execute(&conflict, &cancel(None));
    assert_eq!((events.len(), canceled.last), (1, None));
    let closed = execute(&conflict, &Command::Close).0;
    assert_eq!(closed.decide(&cancel(None), &()), Ok(Vec::new()));
}

#[test]
fn a_write_to_another_record_knows_nothing_of_the_former_one() {
    let written = answered(
        &begun(&answered(
            &all(&[request("FINISHED", 3, "e1"), note(1, 0)]),
            status("1"),
        )),
        Answer::Written,
    );
    assert!(written.is_own(Field::Status, "3", "1"));
    assert!(!written.is_own(Field::Status, "1", "1"));
    let mut other = request("FINISHED", 3, "e2");
    if let Command::Request(requested) = &mut other {
        requested.record = "8".into();
    }
    let next = execute(&written, &other).0;
    assert_eq!(next.target.as_ref().unwrap().record, "8");
    assert_eq!(
        (&next.confirmed, next.known_notes.is_empty()),
        (&None, true)
    );
    assert!(next.is_own(Field::Status, "1", "1"));
    assert_eq!(next.attempts.next(), written.attempts.next());
    let reading = answered(&next, status("1"));
    assert_eq!(reading.step, Step::Write, "the status is the first one");
}

#[test]
fn another_record_has_no_failures_of_the_former_one() {
    let failed = denied(&denied(&requested()));
    let reasons: Vec<&str> = failed
        .failures
        .iter()
        .map(|one| one.reason.as_str())
        .collect();
    assert_eq!(
        (reasons.as_slice(), failed.own_attempts()),
        (&["HTTP 401"; 2][..], 2)
    );
    let mut other = request("FINISHED", 3, "e2");
    if let Command::Request(requested) = &mut other {
        requested.record = "8".into();
    }
    let next = execute(&failed, &other).0;
    assert_eq!((next.own_attempts(), next.denials), (0, 0));
    assert_eq!((next.failures.len(), &next.last), (0, &None));
    let next = denied(&next);
    assert_eq!((next.own_attempts(), next.failures[0].attempt), (1, 1));
}

/// The time until which a write from [`begun`] can have an effect.
const RUNS_UNTIL: Moment = Moment(NOW.0 + 40_000);

#[test]
fn a_new_binding_waits_until_a_canceled_write_can_have_no_effect() {
    let writing = begun(&all(&[note(1, 0)]));
    let unclear = answered(&writing, Answer::Unclear("timeout".into()));
    let written = answered(&writing, Answer::Written);
    let more = all_of(&written, &[note(2, 0)]);
    for (state, due) in [
        (&writing, RUNS_UNTIL),
        (&unclear, NOW.plus_ms(10_000)),
        (&more, NOW),
    ] {
        let canceled = all_of(state, &[cancel(None)]);
        assert!(!canceled.is_open);
        for command in [note(3, 0), request("FINISHED", 3, "e1")] {
            use events::Event;
            let (again, events) = execute(&canceled, &command);
            assert_eq!(again.attempts.due, due, "{command:?}");
            let stored: Vec<_> = events.iter().flat_map(Event::deadlines).collect();
            assert_eq!(stored[0].due, Some(due), "the deadline is stored");
        }
    }
    // The note of the canceled write is searched at that time.
    let again = all_of(&writing, &[cancel(None), request("FINISHED", 3, "e1")]);
    let again = all_of(&again, &[note(1, 0)]);
    assert_eq!((again.step, again.attempts.due), (Step::Read, RUNS_UNTIL));
    let read = answered(&again, status("3"));
    assert_eq!(read.step, Step::ReadNotes);
    let found = answered(&read, Answer::Notes(mark(&"INC1".into(), 1)));
    assert_eq!(outcome(&found), Some(Outcome::Unchanged));
}

#[test]
fn a_former_record_that_is_bound_again_gets_no_note_twice() {
    let written = answered(&begun(&all(&[note(1, 0)])), Answer::Written);
    // A write that runs while the case gets another record does not delay the writes to that one.
    let writing = begun(&all_of(&written, &[note(2, 0)]));
    let other = all_of(
        &writing,
        &[cancel(Some("8")), to("8", request("FINISHED", 3, "e1"))],
    );
    assert_eq!((other.attempts.due, other.runs_until), (NOW, None));
    let other = all_of(&other, &[to("8", note(1, 0)), to("8", note(2, 0))]);
    assert_eq!(other.notes, [1, 2], "the other record has no notes");
    let other = answered(&other, status("3"));
    assert_eq!((other.step, other.next_notes()), (Step::Write, vec![1, 2]));
    let other = answered(&begun(&other), Answer::Written);

    let again = all_of(&other, &[cancel(Some("7")), request("FINISHED", 3, "e2")]);
    assert_eq!(again.attempts.due, RUNS_UNTIL);
    assert_eq!(again.decide(&note(1, 0), &()), Ok(Vec::new()));
    let again = all_of(&again, &[note(2, 0)]);
    let read = answered(&again, status("3"));
    assert_eq!((read.step, read.next_notes()), (Step::ReadNotes, vec![2]));
    assert_eq!(again.former.len(), 1);
    // The first request can also be that of the remark.
    assert_eq!(other.decide(&note(1, 0), &()), Ok(Vec::new()));
    assert_eq!(other.decide(&to("9", note(1, 0)), &()).unwrap().len(), 1);
}

#[test]
fn the_number_of_former_records_is_limited() {
    let mut state = Writeback::default();
    for record in 0..30 {
        state = all_of(&state, &[to(&record.to_string(), note(1, 0))]);
        state = answered(&begun(&state), Answer::Written);
    }
    let former: Vec<&str> = state.former.iter().map(|one| one.record.as_str()).collect();
    let expected: Vec<String> = (19..29).map(|record: u32| record.to_string()).collect();
    assert_eq!(former, expected);
}
