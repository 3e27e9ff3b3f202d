//! Tests the removal of erased people, and the end of a creation that the platform does not recognize any more.

use super::*;

const SECRET: &str = "erased/chat_group-REQ1/a";
const HOUR_MS: i64 = 3_600_000;

fn erase(name: &str, at: i64) -> Command {
    Command::Erase {
        person: person(name),
        secret: SECRET.into(),
        until: Moment(at + ERASED_MS),
        at: Moment(at),
    }
}

fn step_report(group: &ChatGroup, outcome: Outcome, at: i64) -> StepReport {
    StepReport {
        attempt: group.attempts.next(),
        step: group.step().unwrap(),
        outcome,
        at: Moment(at),
    }
}

/// Stores that an attempt to create the group starts. The platform recognizes it for 10 hours.
fn begin(group: &mut ChatGroup, at: i64) {
    let begin = Command::Begin {
        attempt: group.attempts.next(),
        message: None,
        recognized_until: Some(Moment(at + 10 * HOUR_MS)),
        until: Moment(at + 60_000),
    };
    run(group, &begin);
}

#[test]
fn an_erased_person_is_removed_before_every_other_step() {
    let mut group = group_of(&["a", "b"]);
    run(&mut group, &update(&["a", "b", "c"], "REQ1 other", 100));
    assert_eq!(run(&mut group, &erase("a", 110)).len(), 1);
    assert!(run(&mut group, &erase("a", 111)).is_empty());
    assert_eq!(group.step(), Some(Step::RemoveErased(person("a"))));
    let again = step_report(&group, failed(Verdict::retry("busy")), 120);
    assert_eq!(group.destroyed(&again), None, "the address is still needed");
    report(&mut group, failed(Verdict::retry("busy")), 120);
    let last = step_report(&group, done(), 10_000);
    assert_eq!(group.destroyed(&last), Some(SECRET));
    let event = report(&mut group, done(), 10_000);
    let ChatGroupEvent::ErasedMemberEnded(event) = event else {
        panic!("{event:?}")
    };
    assert_eq!((event.failure, event.due), (None, Some(Moment(10_000))));
    // The person of the ticket is not added again.
    assert_eq!(group.step(), Some(Step::Add(people(&["c"]))));
    assert!(group.erased.is_empty() && group.not_removed.is_empty());
    assert!(!group.members.contains_key(&person("a")));
}

#[test]
fn a_person_who_cannot_be_a_member_needs_no_removal() {
    let mut group = group_of(&["a"]);
    assert!(run(&mut group, &erase("z", 100)).is_empty());
    let mut waiting = ChatGroup::default();
    run(&mut waiting, &request(&["a", "b"], None));
    assert!(run(&mut waiting, &erase("a", 20)).is_empty());
    // After the start of the creation, the platform possibly has the person.
    begin(&mut waiting, 20);
    assert_eq!(run(&mut waiting, &erase("a", 30)).len(), 1);
    assert_eq!(waiting.interrupted(), Some(Step::Create));
    report_of(&mut waiting, Step::Create, created(&["b"]), 40);
    assert_eq!(waiting.step(), Some(Step::RemoveErased(person("a"))));
}

#[test]
fn a_refused_removal_is_shown_and_holds_back_nothing() {
    let mut group = group_of(&["a", "b"]);
    run(&mut group, &close(100));
    run(&mut group, &erase("a", 110));
    assert_eq!(group.step(), Some(Step::RemoveErased(person("a"))));
    let event = report(&mut group, failed(refused(FailureClass::Permanent)), 120);
    let ChatGroupEvent::ErasedMemberEnded(event) = event else {
        panic!("{event:?}")
    };
    let failure = event.failure.unwrap();
    assert_eq!((failure.code.as_str(), event.due), ("1", Some(Moment(120))));
    assert!(group.not_removed.contains(&person("a")));
    assert!(group.last_failure.is_some());
    assert_eq!(group.step(), Some(Step::Close));
    // A person whom the platform does not know is not a member.
    let mut other = group_of(&["a", "b"]);
    run(&mut other, &erase("a", 100));
    let invalid = failed(refused(FailureClass::RecipientInvalid));
    report(&mut other, invalid, 110);
    assert!(other.not_removed.is_empty());
}

#[test]
fn the_address_of_an_erased_person_is_destroyed_at_its_deadline() {
    let mut group = group_of(&["a", "b"]);
    let events = run(&mut group, &erase("a", 100));
    let deadline = events::chat_group::address_deadline(&person("a"));
    assert_eq!(events::chat_group::erased_at(&deadline), Some(person("a")));
    assert_eq!(
        events::chat_group::erased_at(events::chat_group::ATTEMPT),
        None
    );
    let until = |event: &ChatGroupEvent| {
        let mut changes = events::Event::deadlines(event).into_iter();
        changes.find(|one| one.id == deadline.as_str())
    };
    let set = until(&events[0]).expect("a deadline");
    assert_eq!(set.due, Some(Moment(100 + ERASED_MS)));
    let give_up = |at| Command::GiveUp {
        person: person("a"),
        at: Moment(at),
    };
    assert!(run(&mut group, &give_up(99 + ERASED_MS)).is_empty());
    let ended = run(&mut group, &give_up(100 + ERASED_MS));
    assert_eq!(until(&ended[0]).expect("a deadline").due, None);
    assert!(group.not_removed.contains(&person("a")));
    assert_eq!(group.step(), None);
    assert!(run(&mut group, &give_up(101 + ERASED_MS)).is_empty());
    // Another group of the ticket never contained the person.
    let mut later = group_of(&["a", "b"]);
    run(&mut later, &erase("a", 100));
    run(&mut later, &close(101));
    report(&mut later, done(), 102);
    report(&mut later, done(), 103);
    run(&mut later, &request(&["a", "b"], Some("b")));
    assert_eq!(later.generation, 2);
    assert!(later.not_removed.is_empty() && later.gone.contains(&person("a")));
}

#[test]
fn an_uncertain_creation_ends_when_the_platform_forgets_it() {
    let mut group = ChatGroup::default();
    run(&mut group, &request(&["a", "b"], None));
    begin(&mut group, 20);
    report(&mut group, failed(unknown()), 1_000);
    assert!(group.may_create(Moment(9 * HOUR_MS)));
    assert!(!group.may_create(Moment(10 * HOUR_MS)));
    // A rate limit must not postpone the attempt beyond this time either.
    let mut limited = group.clone();
    let throttled = failed(Verdict::Throttled {
        reason: "slow".into(),
        after_ms: 10 * HOUR_MS,
    });
    let event = report(&mut limited, throttled, 2_000);
    assert!(matches!(event, ChatGroupEvent::Failed(_)), "{event:?}");
    // A second attempt does not extend the time of the first one.
    begin(&mut group, 9 * HOUR_MS);
    report(&mut group, failed(unknown()), 9 * HOUR_MS + 1_000);
    assert!(!group.may_create(Moment(10 * HOUR_MS)));
    let event = report(&mut group, failed(unknown()), 11 * HOUR_MS);
    let ChatGroupEvent::Failed(event) = event else {
        panic!("{event:?}")
    };
    assert_eq!(event.class, FailureClass::Unknown);
    assert!(event.reason.contains("possibly created"), "{event:?}");
    // The policy and other people of the ticket cause no second group, but a person does.
    assert!(run(&mut group, &request(&["a", "b", "c"], None)).is_empty());
    assert_eq!(run(&mut group, &request(&["a", "b"], Some("a"))).len(), 1);
    assert_eq!((group.generation, group.is_uncertain), (2, false));
    assert!(group.may_create(Moment(20 * HOUR_MS)));
}
