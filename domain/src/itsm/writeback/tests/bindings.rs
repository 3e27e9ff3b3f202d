//! Tests what happens to writes if the case is bound to another record, or to none.

use super::*;

#[test]
fn waiting_writes_to_a_record_that_is_not_bound_any_more_are_canceled() {
    let cancel = |record: Option<&str>| Command::Cancel {
        record: record.map(str::to_owned),
    };
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
