//! Tests writes of several values, and the side that decides about each value.

use super::*;

#[test]
fn a_status_an_assignee_and_a_note_are_one_write() {
    let waiting = all(&[
        note(1, 30_000),
        assign("p1", false, "a1"),
        request("FINISHED", 3, "e1"),
    ]);
    assert_eq!((waiting.step, waiting.attempts.due), (Step::Read, NOW));
    let reading = answered(&waiting, status("1"));
    assert_eq!(reading.parts(), [Field::Status, Field::Assignee]);
    assert_eq!((reading.step, reading.next_notes()), (Step::Write, vec![1]));
    let unclear = answered(&begun(&reading), Answer::Unclear("timeout".into()));
    assert_eq!(unclear.step, Step::Read);
    let values = answered(&unclear, Answer::Record(found("3", "p1")));
    assert_eq!(values.step, Step::ReadNotes);
    let noted = answered(&values, Answer::Notes(mark(&"INC1".into(), 1)));
    assert_eq!(outcome(&noted), Some(Outcome::Unchanged));
    let both = BTreeSet::from([Field::Status, Field::Assignee]);
    assert_eq!(noted.settled, both);
    assert_eq!(noted.confirmed_assignee.as_deref(), Some("p1"));
    let written = answered(&begun(&reading), Answer::Written);
    assert_eq!(
        (outcome(&written), written.settled),
        (Some(Outcome::Written), both)
    );
}

#[test]
fn each_value_has_its_own_authority() {
    let both = [request("FINISHED", 3, "e1"), assign("p1", false, "a1")];
    let reading = answered(&all(&both), Answer::Record(found("1", "p2")));
    assert_eq!(reading.parts(), [Field::Status]);
    let written = answered(&begun(&reading), Answer::Written);
    assert_eq!(outcome(&written), Some(Outcome::Conflict));
    let last = written.last.clone().unwrap();
    assert_eq!(
        last.conflicts,
        BTreeMap::from([(Field::Assignee, "p2".into())])
    );
    assert_eq!(written.settled, BTreeSet::from([Field::Status]));
    let closed = execute(&written, &Command::Close).0;
    let again = execute(&closed, &assign("p3", true, "a2")).0;
    let reading = answered(&again, Answer::Record(found("", "p2")));
    assert_eq!(reading.parts(), [Field::Assignee], "the desk overwrites it");
}

#[test]
fn an_assignee_can_need_a_write_of_its_own() {
    let waiting = all(&[
        request("FINISHED", 3, "e1"),
        assign("p1", true, "a1"),
        note(1, 0),
    ]);
    let apart = |status: &str, assignee: &str| {
        Answer::Record(Found {
            separates_assignee: true,
            ..found(status, assignee)
        })
    };
    let reading = answered(&waiting, apart("1", "p2"));
    assert_eq!(reading.parts(), [Field::Assignee]);
    assert_eq!(reading.next_notes(), Vec::<u64>::new());
    let first = answered(&begun(&reading), Answer::Written);
    assert_eq!((first.step, first.is_open), (Step::Read, true));
    let reading = answered(&first, apart("1", "p1"));
    assert_eq!(reading.parts(), [Field::Status]);
    assert_eq!(reading.next_notes(), [1]);
    let written = answered(&begun(&reading), Answer::Written);
    assert_eq!(outcome(&written), Some(Outcome::Written));
}

#[test]
fn a_status_that_cannot_be_written_does_not_hold_notes_back() {
    let waiting = all(&[request("FINISHED", 3, "e1"), note(1, 0)]);
    let blocked = || {
        Answer::Record(Found {
            route: Err("no transition".into()),
            ..found("1", "")
        })
    };
    let reading = answered(&waiting, blocked());
    assert_eq!(
        (reading.parts(), reading.next_notes()),
        (Vec::new(), vec![1])
    );
    let noted = answered(&begun(&reading), Answer::Written);
    assert_eq!((noted.step, noted.is_open), (Step::Read, true));
    let failed = answered(&noted, blocked());
    assert_eq!(outcome(&failed), Some(Outcome::Failed));
    assert_eq!(failed.last.unwrap().reason, "no transition");
}

#[test]
fn a_record_with_unknown_values_accepts_the_first_write() {
    let mut first = request("FINISHED", 3, "e1");
    if let Command::Request(requested) = &mut first {
        requested.accepts_any = true;
    }
    let reading = answered(&all(&[first]), status("9"));
    assert_eq!(reading.step, Step::Write);
    let written = answered(&begun(&reading), Answer::Written);
    let mut second = request("REVOKED", 4, "e2");
    if let Command::Request(requested) = &mut second {
        requested.accepts_any = true;
    }
    let again = execute(&written, &second).0;
    let conflict = answered(&again, status("9"));
    assert_eq!(conflict.last.unwrap().outcome, Outcome::Conflict);
}
