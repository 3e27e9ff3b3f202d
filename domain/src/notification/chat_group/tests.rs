//! Tests the creation, the members and the failures of a group. Each test executes commands one after the other.

mod ends;
mod erasures;

use events::chat_group::Member;

use super::*;
use crate::attempt::Verdict;
use crate::notification::delivery::POLICY;

fn person(name: &str) -> PersonId {
    PersonId(name.into())
}

fn people(names: &[&str]) -> Vec<PersonId> {
    names.iter().map(|name| person(name)).collect()
}

fn member(name: &str) -> Member {
    Member {
        person: person(name),
        address: Personal::new(person(name), serde_json::json!(format!("id-{name}"))),
    }
}

fn request(members: &[&str], by: Option<&str>) -> Command {
    Command::Request(Box::new(Requested {
        ticket: TicketSn("REQ1".into()),
        account: "work_app".into(),
        channel: "wecom_app".into(),
        name: "REQ1 name".into(),
        members: people(members),
        not_permitted: Vec::new(),
        omitted: 0,
        by: by.map(person),
        keeps: false,
        due: Moment(10),
    }))
}

fn update(members: &[&str], name: &str, at: i64) -> Command {
    Command::Update(Wanted {
        name: name.into(),
        members: people(members),
        not_permitted: Vec::new(),
        omitted: 0,
        at: Moment(at),
    })
}

/// Announces a fact because of the event at the position `at` of the ticket.
fn announce(fact: Fact, at: i64) -> Command {
    Command::Announce {
        fact,
        cause: format!("ticket-REQ1:{at}"),
        at: Moment(at),
    }
}

fn close(at: i64) -> Command {
    Command::Close {
        reason: CloseReason::TicketEnded,
        by: None,
        name: "closed REQ1".into(),
        at: Moment(at),
    }
}

/// Executes a command, and returns the new events.
fn run(group: &mut ChatGroup, command: &Command) -> Vec<ChatGroupEvent> {
    let events = group.decide(command, &()).unwrap();
    for event in &events {
        group.evolve(event);
    }
    events
}

/// Reports the outcome of the next step at the time `at`, and returns the new event.
fn report(group: &mut ChatGroup, outcome: Outcome, at: i64) -> ChatGroupEvent {
    let step = group.step().unwrap();
    report_of(group, step, outcome, at)
}

fn report_of(group: &mut ChatGroup, step: Step, outcome: Outcome, at: i64) -> ChatGroupEvent {
    let command = Command::Record(Box::new(StepReport {
        attempt: group.attempts.next(),
        step,
        outcome,
        at: Moment(at),
    }));
    run(group, &command).remove(0)
}

fn created(names: &[&str]) -> Outcome {
    Outcome::Created {
        chat: "chat1".into(),
        is_named: true,
        members: names.iter().map(|name| member(name)).collect(),
        left_out: Vec::new(),
    }
}

fn synced(added: &[&str], removed: &[&str]) -> Outcome {
    Outcome::Synced {
        added: added.iter().map(|name| member(name)).collect(),
        removed: people(removed),
        left_out: Vec::new(),
    }
}

fn done() -> Outcome {
    Outcome::Done {
        message: "m1".into(),
    }
}

fn failed(verdict: Verdict) -> Outcome {
    Outcome::Failed {
        verdict,
        may_repeat: true,
    }
}

fn unknown() -> Verdict {
    Verdict::Unknown {
        reason: "no response".into(),
    }
}

fn refused(class: FailureClass) -> Verdict {
    Verdict::refused(class, "1", "refused")
}

/// Reports that the message that introduces the ticket was sent.
fn introduce(group: &mut ChatGroup, at: i64) {
    let introduction = Pending {
        number: group.last_message,
        fact: None,
    };
    assert_eq!(group.step(), Some(Step::Send(introduction)));
    report(group, done(), at);
}

/// Returns the group of the given people, after its creation and its first message.
fn group_of(names: &[&str]) -> ChatGroup {
    let mut group = ChatGroup::default();
    run(&mut group, &request(names, None));
    report(&mut group, created(names), 20);
    introduce(&mut group, 21);
    assert_eq!(group.step(), None);
    group
}

#[test]
fn a_creation_with_an_unknown_result_is_repeated_and_creates_one_group() {
    let mut group = ChatGroup::default();
    run(&mut group, &request(&["a", "b"], None));
    let begin = Command::Begin {
        attempt: 1,
        message: None,
        recognized_until: None,
        until: Moment(50),
    };
    run(&mut group, &begin);
    assert_eq!(group.interrupted(), Some(Step::Create));
    assert_eq!(
        group.decide(&begin, &()),
        Err(DecideError::Rejected(Rejection::NotDue(1)))
    );
    let event = report(&mut group, failed(unknown()), 50);
    let ChatGroupEvent::AttemptFailed(failure) = event else {
        panic!("{event:?}")
    };
    assert!(failure.due > Moment(50));
    assert_eq!(group.step(), Some(Step::Create));
    let event = report(&mut group, created(&["a", "b"]), 3000);
    let ChatGroupEvent::Created(event) = event else {
        panic!("{event:?}")
    };
    assert_eq!((event.attempt, event.due), (2, Some(Moment(3000))));
    introduce(&mut group, 3001);
    assert_eq!((group.step(), group.generation), (None, 1));
    assert_eq!(group.last_failure, None);
}

#[test]
fn a_group_with_a_taken_name_is_looked_for_page_by_page() {
    let mut group = ChatGroup::default();
    run(&mut group, &request(&["a"], None));
    let elsewhere = |cursor: &str| Outcome::Elsewhere {
        cursor: cursor.into(),
    };
    report(&mut group, elsewhere(""), 20);
    assert_eq!(group.step(), Some(Step::Find(String::new())));
    report(&mut group, elsewhere("p2"), 21);
    assert_eq!(group.step(), Some(Step::Find("p2".into())));
    let mut endless = group.clone();
    report(&mut group, created(&[]), 22);
    assert_eq!(group.step(), Some(Step::Add(people(&["a"]))));
    let last = (0..100)
        .map(|_| report(&mut endless, elsewhere("next"), 23))
        .find(|event| !matches!(event, ChatGroupEvent::PollScheduled(_)));
    assert!(matches!(last, Some(ChatGroupEvent::Failed(_))), "{last:?}");
}

#[test]
fn members_follow_the_ticket() {
    let mut group = group_of(&["a", "b"]);
    run(&mut group, &update(&["b", "c"], "REQ1 other", 100));
    assert_eq!(group.step(), Some(Step::Remove(people(&["a"]))));
    let event = report(&mut group, synced(&[], &["a"]), 110);
    let ChatGroupEvent::MembersSynced(event) = event else {
        panic!("{event:?}")
    };
    assert_eq!(event.due, Some(Moment(110)));
    assert_eq!(group.step(), Some(Step::Add(people(&["c"]))));
    report(&mut group, synced(&["c"], &[]), 120);
    assert_eq!(group.step(), Some(Step::Rename("REQ1 other".into())));
    report(&mut group, done(), 130);
    assert_eq!(group.step(), None);
    let members: Vec<&PersonId> = group.members.keys().collect();
    assert_eq!(members, [&person("b"), &person("c")]);
    assert!(run(&mut group, &update(&["c", "b"], "REQ1 other", 140)).is_empty());
}

#[test]
fn a_change_neither_disturbs_a_running_attempt_nor_shortens_a_pause() {
    let mut group = ChatGroup::default();
    run(&mut group, &request(&["a"], None));
    let begin = Command::Begin {
        attempt: 1,
        message: None,
        recognized_until: None,
        until: Moment(5000),
    };
    run(&mut group, &begin);
    let events = run(&mut group, &update(&["a", "b"], "REQ1 name", 30));
    let [ChatGroupEvent::UpdateRequested(event)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(event.due, Some(Moment(5000)));
    report(&mut group, created(&["a"]), 40);
    assert_eq!(group.step(), Some(Step::Add(people(&["b"]))));
    assert_eq!(group.attempts.due, Moment(40));
}

#[test]
fn a_person_without_the_permission_causes_no_step_and_no_deadline() {
    let mut group = group_of(&["a"]);
    let wanted = Wanted {
        name: "REQ1 name".into(),
        members: people(&["a"]),
        not_permitted: people(&["b"]),
        omitted: 3,
        at: Moment(100),
    };
    let command = Command::Update(wanted);
    let events = run(&mut group, &command);
    let [ChatGroupEvent::UpdateRequested(event)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((event.due, group.step()), (None, None));
    let denied = LeftOut {
        person: person("b"),
        reason: LeftOutReason::NotPermitted,
    };
    assert_eq!(group.all_left_out(), [denied]);
    assert_eq!(group.omitted, 3);
    assert!(run(&mut group, &command).is_empty());
}

#[test]
fn a_rate_limit_postpones_a_step_at_most_for_one_day() {
    let throttled = |after_ms| {
        failed(Verdict::Throttled {
            reason: "too many requests".into(),
            after_ms,
        })
    };
    let mut group = ChatGroup::default();
    run(&mut group, &request(&["a"], None));
    for attempt in 1..=40 {
        let event = report(&mut group, throttled(60_000), 20);
        let ChatGroupEvent::Postponed(event) = event else {
            panic!("{event:?}")
        };
        assert_eq!((event.attempt, event.due), (attempt, Moment(60_020)));
    }
    let event = report(&mut group, throttled(PATIENCE_MS), 20);
    let ChatGroupEvent::Failed(event) = event else {
        panic!("{event:?}")
    };
    assert_eq!(event.class, FailureClass::Throttled);
    assert!(!group.is_active());
}

#[test]
fn a_failed_change_waits_for_the_next_change_of_the_ticket() {
    let mut group = group_of(&["a"]);
    run(&mut group, &update(&["a", "b"], "REQ1 name", 100));
    let event = report(&mut group, failed(refused(FailureClass::Permanent)), 110);
    assert!(matches!(event, ChatGroupEvent::SyncFailed(_)), "{event:?}");
    assert_eq!(group.step(), None);
    let failure = group.last_failure.clone().unwrap();
    assert_eq!(
        (failure.class, failure.code.as_str()),
        (FailureClass::Permanent, "1")
    );
    assert!(run(&mut group, &update(&["a", "b"], "REQ1 name", 120)).is_empty());
    run(&mut group, &update(&["a", "b", "c"], "REQ1 name", 130));
    assert_eq!(group.step(), Some(Step::Add(people(&["b", "c"]))));
    report(&mut group, synced(&["b", "c"], &[]), 140);
    assert_eq!((group.step(), &group.last_failure), (None, &None));
}

#[test]
fn temporary_failures_end_after_the_last_attempt() {
    let mut group = ChatGroup::default();
    run(&mut group, &request(&["a"], None));
    let mut at = 20;
    for _ in 1..POLICY.attempts_max {
        let event = report(&mut group, failed(Verdict::retry("busy")), at);
        let ChatGroupEvent::AttemptFailed(event) = event else {
            panic!("{event:?}")
        };
        assert!(event.due > Moment(at));
        at = event.due.0;
    }
    let event = report(&mut group, failed(Verdict::retry("busy")), at);
    assert!(matches!(event, ChatGroupEvent::Failed(_)), "{event:?}");
    // The policy does not request the same group again, but a person does, and other people do.
    assert!(run(&mut group, &request(&["a"], None)).is_empty());
    let mut other = group.clone();
    assert_eq!(run(&mut other, &request(&["a", "b"], None)).len(), 1);
    assert_eq!(run(&mut group, &request(&["a"], Some("a"))).len(), 1);
    assert_eq!((group.generation, group.step()), (2, Some(Step::Create)));
}

#[test]
fn one_wrong_person_does_not_keep_the_others_out() {
    let mut group = group_of(&["a"]);
    run(&mut group, &update(&["a", "b", "c"], "REQ1 name", 100));
    let invalid = || failed(refused(FailureClass::RecipientInvalid));
    let event = report(&mut group, invalid(), 110);
    assert!(
        matches!(event, ChatGroupEvent::AttemptFailed(_)),
        "{event:?}"
    );
    assert_eq!(group.step(), Some(Step::Add(people(&["b"]))));
    report(&mut group, invalid(), 120);
    assert_eq!(group.left_out[&person("b")], LeftOutReason::Refused);
    assert_eq!(group.step(), Some(Step::Add(people(&["c"]))));
    report(&mut group, synced(&["c"], &[]), 130);
    assert_eq!(group.step(), None);
    // A person who cannot be removed has left the organization, and is not a member any more.
    run(&mut group, &update(&["c"], "REQ1 name", 140));
    assert_eq!(group.step(), Some(Step::Remove(people(&["a"]))));
    report(&mut group, invalid(), 150);
    assert_eq!(group.step(), None);
    // A request of a person tries those again who were left out.
    run(&mut group, &update(&["b", "c"], "REQ1 name", 160));
    report(&mut group, invalid(), 170);
    assert!(run(&mut group, &request(&["b", "c"], None)).is_empty());
    run(&mut group, &request(&["b", "c"], Some("c")));
    assert_eq!(group.step(), Some(Step::Add(people(&["b"]))));
}
