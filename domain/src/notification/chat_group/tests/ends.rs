//! Tests the messages and the end of a group, the rules of the policy, and that every group comes to rest.

use events::notification_policy::ChatGroups;
use proptest::prelude::*;

use super::*;

#[test]
fn a_message_is_sent_once_for_each_fact_that_waits() {
    let mut group = group_of(&["a"]);
    run(&mut group, &announce(Fact::Changed, 100));
    assert!(run(&mut group, &announce(Fact::Changed, 101)).is_empty());
    run(&mut group, &announce(Fact::Commented, 102));
    let Some(Step::Send(first)) = group.step() else {
        panic!("{group:?}")
    };
    assert_eq!((first.number, first.fact), (2, Some(Fact::Changed)));
    report(&mut group, done(), 110);
    // Another attempt could send this message twice.
    let begin = Command::Begin {
        attempt: group.attempts.next(),
        message: Some(3),
        recognized_until: None,
        until: Moment(5000),
    };
    run(&mut group, &begin);
    let step = group.interrupted().unwrap();
    let outcome = Outcome::Failed {
        verdict: unknown(),
        may_repeat: false,
    };
    let event = report_of(&mut group, step, outcome, 5000);
    assert!(
        matches!(event, ChatGroupEvent::MessageFailed(_)),
        "{event:?}"
    );
    assert_eq!(group.step(), None);
    run(&mut group, &announce(Fact::Changed, 6000));
    assert_eq!(group.last_message, 4);
    report(&mut group, done(), 6001);
    for at in [100, 102, 6000] {
        let again = run(&mut group, &announce(Fact::Changed, at));
        assert!(again.is_empty(), "the event {at} was announced before");
    }
}

#[test]
fn a_group_is_closed_after_its_last_message_and_stays_closed() {
    let mut group = group_of(&["a"]);
    run(&mut group, &announce(Fact::Finished, 100));
    run(&mut group, &close(101));
    assert!(run(&mut group, &update(&["a", "b"], "REQ1 name", 102)).is_empty());
    assert!(matches!(group.step(), Some(Step::Send(_))));
    report(&mut group, done(), 110);
    assert_eq!(group.step(), Some(Step::Close));
    assert!(run(&mut group, &close(111)).is_empty());
    let event = report(&mut group, done(), 120);
    assert!(matches!(event, ChatGroupEvent::Closed(_)), "{event:?}");
    assert_eq!(group.end, Some(End::Closed(CloseReason::TicketEnded)));
    assert!(run(&mut group, &request(&["a"], None)).is_empty());
    assert!(run(&mut group, &announce(Fact::Changed, 130)).is_empty());
    assert_eq!(run(&mut group, &request(&["a"], Some("a"))).len(), 1);
}

#[test]
fn a_change_that_the_platform_refuses_holds_back_no_message() {
    let mut group = ChatGroup::default();
    run(&mut group, &request(&["a", "b"], None));
    report(&mut group, created(&["a"]), 20);
    assert_eq!(group.step(), Some(Step::Add(people(&["b"]))));
    let event = report(&mut group, failed(refused(FailureClass::Permanent)), 30);
    let ChatGroupEvent::SyncFailed(event) = event else {
        panic!("{event:?}")
    };
    assert_eq!(event.due, Some(Moment(30)), "the introduction waits");
    introduce(&mut group, 40);
    assert_eq!(group.step(), None);
    assert!(group.is_stalled);
    // The next event tries the change again before its message.
    run(&mut group, &announce(Fact::Changed, 100));
    assert_eq!(group.step(), Some(Step::Add(people(&["b"]))));
    report(&mut group, failed(refused(FailureClass::Permanent)), 110);
    assert!(matches!(group.step(), Some(Step::Send(_))));
    report(&mut group, done(), 120);
    assert_eq!(group.step(), None);
}

#[test]
fn a_change_that_fails_after_the_request_to_close_does_not_prevent_the_end() {
    let mut group = group_of(&["a"]);
    run(&mut group, &update(&["a", "b"], "REQ1 name", 100));
    let step = group.step().unwrap();
    assert_eq!(step, Step::Add(people(&["b"])));
    // A worker sends this request while the ticket ends.
    run(&mut group, &close(101));
    let outcome = failed(refused(FailureClass::Permanent));
    let event = report_of(&mut group, step, outcome, 110);
    let ChatGroupEvent::AttemptFailed(event) = event else {
        panic!("{event:?}")
    };
    assert_eq!(event.due, Moment(110));
    assert_eq!(group.step(), Some(Step::Close));
    report(&mut group, done(), 120);
    assert_eq!(group.end, Some(End::Closed(CloseReason::TicketEnded)));
}

#[test]
fn each_step_has_one_day() {
    let mut group = group_of(&["a"]);
    run(&mut group, &announce(Fact::Changed, 100));
    run(&mut group, &announce(Fact::Commented, 101));
    let late = 100 + PATIENCE_MS;
    report(&mut group, done(), late);
    let throttled = failed(Verdict::Throttled {
        reason: "too many requests".into(),
        after_ms: 60_000,
    });
    let event = report(&mut group, throttled, late + 1);
    assert!(matches!(event, ChatGroupEvent::Postponed(_)), "{event:?}");
}

#[test]
fn a_failed_end_can_be_requested_again() {
    let mut group = group_of(&["a"]);
    run(&mut group, &close(100));
    report(&mut group, failed(refused(FailureClass::Permanent)), 110);
    assert_eq!(group.step(), None);
    assert!(group.is_active());
    run(&mut group, &close(120));
    assert_eq!(group.step(), Some(Step::Close));
}

#[test]
fn a_group_that_was_never_created_is_closed_without_a_request() {
    let mut group = ChatGroup::default();
    assert_eq!(
        group.decide(&close(10), &()),
        Err(DecideError::Rejected(Rejection::NotRequested))
    );
    run(&mut group, &request(&["a"], None));
    let mut sent = group.clone();
    assert_eq!(run(&mut group, &close(20)).len(), 2);
    assert_eq!((group.step(), group.is_active()), (None, false));
    // If the platform possibly created the group, it is found first and then closed.
    let begin = Command::Begin {
        attempt: 1,
        message: None,
        recognized_until: None,
        until: Moment(50),
    };
    run(&mut sent, &begin);
    assert_eq!(run(&mut sent, &close(20)).len(), 1);
    assert_eq!(sent.step(), Some(Step::Create));
    report(&mut sent, created(&["a"]), 60);
    assert_eq!(sent.step(), Some(Step::Close));
}

#[test]
fn a_late_report_is_rejected() {
    let mut group = group_of(&["a"]);
    run(&mut group, &announce(Fact::Changed, 100));
    let command = Command::Record(Box::new(StepReport {
        attempt: 1,
        step: group.step().unwrap(),
        outcome: done(),
        at: Moment(110),
    }));
    assert_eq!(
        group.decide(&command, &()),
        Err(DecideError::Rejected(Rejection::NotDue(1)))
    );
}

#[test]
fn the_addresses_of_the_members_can_be_erased() {
    let mut group = group_of(&["a", "b"]);
    let subjects: Vec<PersonId> = group
        .personals()
        .iter()
        .map(|one| one.subject.clone())
        .collect();
    assert_eq!(subjects, people(&["a", "b"]));
}

#[test]
fn the_policy_requires_a_group_by_priority_or_category() {
    let mut ticket = crate::ticket::Ticket::default();
    let rules = ChatGroups {
        priorities: vec!["4".into()],
        ..ChatGroups::default()
    };
    assert!(!of_ticket::is_required(&rules, &ticket, &[]));
    for event in events::samples::history::<events::ticket::TicketEvent>() {
        if let events::ticket::TicketEvent::Opened(_) = &event {
            ticket.evolve(&event);
            break;
        }
    }
    let opened = ticket.opened.clone().unwrap();
    assert!(of_ticket::is_required(&rules, &ticket, &[opened.catalog]));
    assert!(of_ticket::people(&ticket).contains(&opened.creator));
}

proptest! {
    /// Whatever a platform answers, the group needs a bounded number of steps until it rests.
    #[test]
    fn every_group_comes_to_rest(answers in proptest::collection::vec(0_u8..7, 0..60)) {
        let mut group = ChatGroup::default();
        run(&mut group, &request(&["a", "b", "c"], None));
        run(&mut group, &announce(Fact::Changed, 11));
        let mut answers = answers.into_iter();
        let mut at = 20;
        let mut steps = 0;
        while let Some(step) = group.step() {
            let outcome = match answers.next() {
                Some(0) => failed(Verdict::retry("busy")),
                Some(1) => failed(unknown()),
                Some(2) => failed(refused(FailureClass::RecipientInvalid)),
                Some(3) => failed(refused(FailureClass::Permanent)),
                Some(4) => failed(Verdict::Throttled { reason: "slow".into(), after_ms: 1000 }),
                Some(5) if matches!(step, Step::Create | Step::Find(_)) => {
                    Outcome::Elsewhere { cursor: String::new() }
                }
                _ => match &step {
                    Step::Create | Step::Find(_) => created(&["a"]),
                    Step::Add(people) => Outcome::Synced {
                        added: people.iter().map(|one| member(&one.0)).collect(),
                        removed: Vec::new(),
                        left_out: Vec::new(),
                    },
                    Step::Remove(people) => Outcome::Synced {
                        added: Vec::new(),
                        removed: people.clone(),
                        left_out: Vec::new(),
                    },
                    Step::Rename(_) | Step::Send(_) | Step::Close | Step::RemoveErased(_) => done(),
                },
            };
            report_of(&mut group, step, outcome, at);
            prop_assert_eq!(group.attempts.is_interrupted(), false);
            at = group.attempts.due.0.max(at) + 1;
            steps += 1;
            prop_assert!(steps < 100, "{group:?}");
        }
    }
}
