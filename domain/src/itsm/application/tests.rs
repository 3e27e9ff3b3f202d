//! Tests the aggregate of one application.

use events::NodeId;
use events::application::AttemptFailed;
use events::workflow::Condition;

use super::external::{FAILED_CREATIONS_MAX, POLL_MS, SEARCH_AFTER_MS, TOKEN_ILLEGAL, with_output};
use super::*;
use crate::attempt::Verdict;
use crate::decider::fold;
use crate::itsm::pinned::target_of;
use crate::workflow::import::equals;

const NOW: Moment = Moment(1_795_312_800_000);
const EXPIRES: Moment = Moment(1_796_522_400_000);

fn requested() -> ApplicationEvent {
    Requested {
        ticket: "REQ1".into(),
        node: NodeId(5),
        name: "apply".into(),
        round: 1,
        attempt: 1,
        cause: "ticket-REQ1:9".into(),
        kind: "log_collection".into(),
        inputs: BTreeMap::new(),
        due: NOW,
        expires: EXPIRES,
    }
    .into()
}

fn scheduled(attempt: u32, step: Step, external: &str) -> ApplicationEvent {
    PollScheduled {
        attempt,
        step: step.name().into(),
        external: external.into(),
        due: NOW,
        ..PollScheduled::default()
    }
    .into()
}

fn hinted() -> ApplicationEvent {
    Hinted {
        inbound: "inbound-1".into(),
        due: NOW,
    }
    .into()
}

fn state(events: &[ApplicationEvent]) -> Application {
    let mut all = vec![requested()];
    all.extend_from_slice(events);
    fold(&all)
}

fn granted() -> Condition {
    equals("approval_result", "true")
}

fn ticket(status: &str, result: &str) -> Answer {
    Answer::Ticket(ExternalTicket {
        status: status.into(),
        fields: BTreeMap::from([("approval_result".to_owned(), result.into())]),
        links: BTreeMap::new(),
    })
}

fn verdict(events: &[ApplicationEvent], answer: Answer) -> Verdict {
    state(events).verdict(answer, &granted())
}

fn then(step: Step, external: &str, after_ms: i64) -> Verdict {
    Verdict::poll(step.name(), external, after_ms)
}

fn report(attempt: u32, verdict: Verdict) -> Command {
    Command::Record(Report {
        attempt,
        exchange: None,
        status: Some(200),
        verdict,
        policy: POLICY,
        at: NOW,
    })
}

#[test]
fn a_creation_without_response_is_searched_before_it_is_sent_again() {
    let unclear = || Answer::Unclear("the connection ended".into());
    assert_eq!(
        verdict(&[], unclear()),
        then(Step::Find, "", SEARCH_AFTER_MS)
    );
    let searching = [scheduled(1, Step::Find, "")];
    assert_eq!(
        verdict(&searching, Answer::Found(None)),
        then(Step::Create, "", 0)
    );
    assert_eq!(
        verdict(&searching, Answer::Found(Some("REQ9".into()))),
        then(Step::Poll, "REQ9", POLL_MS)
    );
    let both = Answer::Untagged(vec!["REQ8".into(), "REQ9".into()]);
    assert!(matches!(verdict(&searching, both), Verdict::Retry { .. }));
    assert!(matches!(
        verdict(&searching, unclear()),
        Verdict::Retry { .. }
    ));
    let started = AttemptStarted {
        attempt: 1,
        due: NOW,
        target: None,
    };
    assert_eq!(
        state(&[started.into()]).interrupted(),
        Some(then(Step::Find, "", 0))
    );
    assert_eq!(state(&[]).interrupted(), None);
}

#[test]
fn a_ticket_without_a_tag_is_used_only_if_the_other_side_uses_tags() {
    let one = || Answer::Untagged(vec!["REQ9".into()]);
    let searching = state(&[scheduled(1, Step::Find, "")]);
    let probe = searching.verdict(one(), &granted());
    assert_eq!(probe, then(Step::Probe, "REQ9", 0));
    let events = searching.decide(&report(2, probe), &()).unwrap();
    let mut probing = searching.clone();
    events.iter().for_each(|event| probing.evolve(event));
    assert_eq!(
        (
            probing.step,
            probing.external.as_str(),
            probing.candidate.as_str()
        ),
        (Step::Probe, "", "REQ9")
    );
    let used = then(Step::Poll, "REQ9", POLL_MS);
    for other in [Answer::Found(None), Answer::Untagged(vec!["REQ8".into()])] {
        assert_eq!(probing.verdict(other, &granted()), used);
    }
    let Verdict::Poll { step, outputs, .. } = probing.verdict(one(), &granted()) else {
        panic!("the verdict is not another search");
    };
    assert_eq!(step, "find");
    assert!(outputs[PROBLEM].contains("ignores the tag"), "{outputs:?}");
    assert!(matches!(
        probing.verdict(Answer::Unclear("html".into()), &granted()),
        Verdict::Retry { .. }
    ));
}

#[test]
fn a_rejected_creation_fails_and_an_unsent_one_is_repeated() {
    assert_eq!(
        verdict(&[], Answer::Rejected("3900005: no service".into())),
        Verdict::Failed {
            reason: "3900005: no service".into(),
            outputs: BTreeMap::new()
        }
    );
    assert!(matches!(
        verdict(&[], Answer::NotSent("refused".into())),
        Verdict::Retry { .. }
    ));
}

#[test]
fn only_a_finished_ticket_that_meets_the_condition_is_granted() {
    let polling = [scheduled(1, Step::Poll, "REQ9")];
    let result = |answer| match verdict(&polling, answer) {
        Verdict::Succeeded { outputs, .. } => outputs["application_result_5"].clone(),
        other => format!("{other:?}"),
    };
    assert_eq!(result(ticket("FINISHED", "true")), "granted");
    assert_eq!(result(ticket("FINISHED", "false")), "refused");
    assert_eq!(result(ticket("REVOKED", "true")), "refused");
    assert_eq!(result(ticket("TERMINATED", "true")), "refused");
    for status in ["RUNNING", "SUSPENDED", "SOMETHING", ""] {
        assert_eq!(
            verdict(&polling, ticket(status, "true")),
            then(Step::Poll, "REQ9", POLL_MS),
            "{status}"
        );
    }
}

#[test]
fn pauses_between_reads_double_up_to_five_minutes() {
    let mut events = Vec::new();
    let mut pauses = Vec::new();
    for attempt in 1..=5 {
        events.push(scheduled(attempt, Step::Poll, "REQ9"));
        match verdict(&events, ticket("RUNNING", "")) {
            Verdict::Poll { after_ms, .. } => pauses.push(after_ms),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pauses, [60_000, 120_000, 240_000, 300_000, 300_000]);
}

#[test]
fn a_callback_is_verified_and_the_ticket_is_read_before_a_decision() {
    let applying = [scheduled(1, Step::Poll, "REQ9")];
    let hint = Command::Hint {
        inbound: "inbound-1".into(),
        at: NOW,
    };
    assert_eq!(state(&applying).decide(&hint, &()).unwrap(), [hinted()]);
    let hinted = state(&[applying[0].clone(), hinted()]);
    assert_eq!((hinted.step, hinted.attempts.next()), (Step::Verify, 3));
    assert_eq!(
        hinted.verdict(Answer::Verified(false), &granted()),
        with_output(then(Step::Poll, "REQ9", POLL_MS), PROBLEM, TOKEN_ILLEGAL),
        "a forged callback changes nothing"
    );
    assert_eq!(
        hinted.verdict(Answer::Verified(true), &granted()),
        then(Step::Confirm, "REQ9", 0)
    );
    assert_eq!(
        hinted.decide(&report(2, then(Step::Poll, "REQ9", 5)), &()),
        Err(DecideError::Rejected(Rejection::NotDue(2))),
        "the read that was sent before the callback is discarded"
    );
}

#[test]
fn an_invalid_callback_postpones_no_read() {
    let mut polling = state(&[]);
    let poll = PollScheduled {
        attempt: 1,
        step: "poll".into(),
        external: "REQ9".into(),
        due: NOW.plus_ms(60_000),
        ..PollScheduled::default()
    };
    polling.evolve(&poll.into());
    let failures = [
        Answer::Verified(false),
        Answer::Unclear("html".into()),
        Answer::NotSent("dns".into()),
    ];
    for answer in failures {
        let mut hinted = polling.clone();
        hinted.evolve(&super::tests::hinted());
        let verdict = hinted.verdict(answer, &granted());
        let attempt = hinted.attempts.next();
        let events = hinted.decide(&report(attempt, verdict), &()).unwrap();
        let [ApplicationEvent::PollScheduled(next)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(
            (next.step.as_str(), next.due),
            ("poll", NOW.plus_ms(60_000))
        );
        hinted.evolve(&events[0]);
        assert_eq!(hinted.polls, polling.polls);
    }
}

#[test]
fn an_unknown_kind_of_request_creates_no_second_ticket() {
    let unknown = |external: &str| PollScheduled {
        attempt: 1,
        step: "of_a_newer_version".into(),
        external: external.into(),
        due: NOW,
        ..PollScheduled::default()
    };
    assert_eq!(state(&[unknown("").into()]).step, Step::Find);
    assert_eq!(state(&[unknown("REQ9").into()]).step, Step::Poll);
}

#[test]
fn a_withdrawal_reaches_the_external_ticket_or_prevents_it() {
    let withdraw = Command::Withdraw {
        reason: "the ticket was withdrawn".into(),
        at: NOW,
    };
    let requested = |events: &[ApplicationEvent]| {
        let before = state(events);
        let mut after = before.clone();
        for event in before.decide(&withdraw, &()).unwrap() {
            after.evolve(&event);
        }
        assert_eq!(after.decide(&withdraw, &()), Ok(Vec::new()), "only once");
        after
    };
    let ended = |verdict: Verdict| match verdict {
        Verdict::Failed { reason, .. } => reason.text,
        other => panic!("{other:?}"),
    };
    let known = requested(&[scheduled(1, Step::Poll, "REQ9")]);
    assert_eq!((known.step, known.attempts.due), (Step::Withdraw, NOW));
    let reason = ended(known.verdict(Answer::Withdrawn, &granted()));
    assert_eq!(reason, "the ticket was withdrawn");
    let rejected = known.verdict(Answer::Rejected("3900005: over".into()), &granted());
    assert_eq!(rejected, then(Step::Poll, "REQ9", 0));
    let mut reading = known.clone();
    for event in known.decide(&report(3, rejected), &()).unwrap() {
        reading.evolve(&event);
    }
    assert_eq!(reading.step, Step::Poll);
    let decided = reading.verdict(ticket("FINISHED", "true"), &granted());
    assert!(
        matches!(&decided, Verdict::Succeeded { outputs, .. } if outputs["application_result_5"] == "granted"),
        "the other side decided before the withdrawal: {decided:?}"
    );
    let Verdict::Poll { step, after_ms, .. } = reading.verdict(ticket("RUNNING", ""), &granted())
    else {
        panic!("the withdrawal is repeated");
    };
    assert!(
        step == "withdraw" && after_ms >= POLL_MS,
        "{step} {after_ms}"
    );
    assert!(matches!(
        known.verdict(Answer::Unclear("timeout".into()), &granted()),
        Verdict::Retry { .. }
    ));
    let mut hinted = known.clone();
    hinted.evolve(&super::tests::hinted());
    assert_eq!(hinted.step, Step::Withdraw, "a callback does not stop it");
    let mut waiting = known.clone();
    let failed = AttemptFailed {
        attempt: 3,
        exchange: None,
        status: None,
        reason: "r".into(),
        due: NOW.plus_ms(90_000),
    };
    waiting.evolve(&failed.into());
    let hint = Command::Hint {
        inbound: "inbound-1".into(),
        at: NOW,
    };
    let events = waiting.decide(&hint, &()).unwrap();
    let [ApplicationEvent::Hinted(hinted)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(hinted.due, waiting.attempts.due, "the deadline stays");
    let mut abandoned = state(&[scheduled(1, Step::Poll, "REQ9")]);
    for event in abandoned
        .decide(&report(2, abandoned.abandoned()), &())
        .unwrap()
    {
        abandoned.evolve(&event);
    }
    assert_eq!(abandoned.withdrawal.as_deref(), Some(NOT_AWAITED));

    let searching = requested(&[scheduled(1, Step::Find, "")]);
    assert_eq!(searching.step, Step::Find);
    let found = Answer::Found(Some("REQ9".into()));
    assert_eq!(
        searching.verdict(found, &granted()),
        then(Step::Withdraw, "REQ9", 0)
    );
    ended(searching.verdict(Answer::Found(None), &granted()));
    let created = requested(&[]).verdict(Answer::Created("REQ9".into()), &granted());
    assert_eq!(created, then(Step::Withdraw, "REQ9", 0));
    ended(requested(&[]).verdict(Answer::NotSent("dns".into()), &granted()));
    let early = requested(&[]).decide(&report(1, then(Step::Poll, "REQ9", 5)), &());
    assert_eq!(early.unwrap(), [scheduled(1, Step::Withdraw, "REQ9")]);

    let events = known.decide(
        &report(3, known.verdict(Answer::Withdrawn, &granted())),
        &(),
    );
    let [ApplicationEvent::Completed(completed)] = &events.unwrap()[..] else {
        panic!("no end");
    };
    assert_eq!(
        (completed.cause, completed.succeeded),
        (Cause::Withdrawal, false)
    );
}

#[test]
fn a_callback_during_the_creation_is_verified_when_the_number_is_known() {
    let early = state(&[hinted()]);
    assert_eq!((early.step, early.attempts.next()), (Step::Create, 1));
    let recorded = early
        .decide(&report(1, then(Step::Poll, "REQ9", POLL_MS)), &())
        .unwrap();
    assert_eq!(recorded, [scheduled(1, Step::Verify, "REQ9")]);
}

#[test]
fn a_decision_names_what_found_it() {
    for (step, cause) in [
        (Step::Confirm, Cause::Callback),
        (Step::Poll, Cause::Poll),
        (Step::Fetch, Cause::Poll),
        (Step::Reconcile, Cause::Reconcile),
        (Step::Missed, Cause::CallbackFailedTicket),
    ] {
        let reading = state(&[scheduled(1, step, "REQ9")]);
        let verdict = reading.verdict(ticket("FINISHED", "true"), &granted());
        let events = reading.decide(&report(2, verdict), &()).unwrap();
        let [ApplicationEvent::Completed(completed)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!((completed.cause, completed.succeeded), (cause, true));
        assert_eq!(completed.outputs["application_sn_5"], "REQ9");
    }
}

fn applied() -> Application {
    let applied = Applied {
        kind: "log_collection".into(),
        applicant: "p-1".into(),
        app: None,
        subject: "c-1".into(),
        round: 1,
        key: String::new(),
        content: String::new(),
        fields: Personal::new("p-1".into(), serde_json::json!({})),
        cause: "r-1".into(),
        due: NOW,
        expires: EXPIRES,
    };
    let mut state = Application::default();
    let events = state.decide(&Command::Apply(Box::new(applied.clone())), &());
    for event in events.unwrap() {
        state.evolve(&event);
    }
    assert_eq!(
        state.decide(&Command::Apply(Box::new(applied)), &()),
        Err(DecideError::Rejected(Rejection::AlreadyRequested))
    );
    state
}

/// Records the verdict as the next attempt of the application.
fn recorded(mut state: Application, verdict: Verdict) -> Application {
    let attempt = state.attempts.next();
    for event in state.decide(&report(attempt, verdict), &()).unwrap() {
        state.evolve(&event);
    }
    state
}

#[test]
fn a_service_is_searched_before_the_creation() {
    let applying = applied();
    let searching = recorded(applying.clone(), applying.undiscovered());
    assert_eq!(
        (searching.step, searching.is_early()),
        (Step::Discover, true)
    );
    let one = Answer::Services(vec![(18, "a".into())]);
    let found = recorded(searching.clone(), searching.verdict(one, &granted()));
    assert_eq!((found.step, found.service), (Step::Create, Some(18)));
    assert_eq!(found.external, "");
    let many = Answer::Services(vec![(1, "a".into()), (2, "b".into())]);
    for (answer, status) in [
        (Answer::Services(Vec::new()), Status::Failed),
        (many, Status::Failed),
        (Answer::Rejected("403".into()), Status::Failed),
        (Answer::Unclear("html".into()), Status::Applying),
        (Answer::NotSent("dns".into()), Status::Applying),
    ] {
        let ended = recorded(
            searching.clone(),
            searching.verdict(answer.clone(), &granted()),
        );
        assert_eq!(ended.status(), status, "{answer:?}");
        assert_eq!(ended.service, None);
    }
    let mut withdrawn = searching;
    for event in withdrawn
        .decide(
            &Command::Withdraw {
                reason: "r".into(),
                at: NOW,
            },
            &(),
        )
        .unwrap()
    {
        withdrawn.evolve(&event);
    }
    let failed = withdrawn.verdict(Answer::NotSent("dns".into()), &granted());
    assert_eq!(recorded(withdrawn, failed).status(), Status::Withdrawn);
}

#[test]
fn an_application_without_a_ticket_keeps_its_links_and_its_result() {
    let polling = recorded(applied(), then(Step::Poll, "REQ9", POLL_MS));
    let read = |status: &str, url: &str| {
        Answer::Ticket(ExternalTicket {
            status: status.into(),
            fields: BTreeMap::from([("approval_result".to_owned(), "true".into())]),
            links: BTreeMap::from([("ticket_url".into(), url.into())]),
        })
    };
    let verdict = polling.verdict(read("RUNNING", "https://a"), &granted());
    let again = recorded(polling, verdict);
    assert_eq!(again.links["ticket_url"], "https://a");
    let verdict = again.verdict(read("RUNNING", "https://a"), &granted());
    let events = again.decide(&report(again.attempts.next(), verdict), &());
    let [ApplicationEvent::PollScheduled(same)] = &events.unwrap()[..] else {
        panic!("not polled");
    };
    assert!(
        same.links.is_empty(),
        "an unchanged URL is not stored again"
    );
    let verdict = again.verdict(read("FINISHED", "https://b"), &granted());
    let ended = recorded(again, verdict);
    assert_eq!(
        (ended.status(), ended.links["ticket_url"].as_str()),
        (Status::Granted, "https://b")
    );
    let outputs = ended.outcome.unwrap().outputs;
    let expected = [("external", "REQ9"), ("result", "granted")];
    assert_eq!(
        outputs,
        expected
            .map(|(key, value)| (key.into(), value.into()))
            .into()
    );
}

#[test]
fn an_application_expires_once_and_only_after_its_time() {
    let expire = |at| Command::Expire { at };
    let open = state(&[]);
    assert_eq!(
        open.decide(&expire(Moment(EXPIRES.0 - 1)), &()),
        Err(DecideError::Rejected(Rejection::NotExpired(EXPIRES)))
    );
    let expired = open.decide(&expire(EXPIRES), &()).unwrap();
    let ended = state(&expired);
    assert_eq!(ended.decide(&expire(EXPIRES), &()), Ok(Vec::new()));
    assert_eq!(
        ended.decide(
            &Command::Hint {
                inbound: "i".into(),
                at: NOW
            },
            &()
        ),
        Ok(Vec::new())
    );
    let closed = Closed {
        recorded: true,
        ..Closed::default()
    };
    let close = Command::Close(closed.clone());
    assert_eq!(
        open.decide(&close, &()),
        Err(DecideError::Rejected(Rejection::NoResult))
    );
    assert_eq!(ended.decide(&close, &()), Ok(vec![closed.into()]));
}

#[test]
fn every_open_state_has_an_attempt_deadline_and_an_expiry() {
    use events::Event;
    let started = AttemptStarted {
        attempt: 1,
        due: NOW,
        target: None,
    };
    let failed = AttemptFailed {
        attempt: 1,
        exchange: None,
        status: None,
        reason: "r".into(),
        due: NOW,
    };
    let histories: [&[ApplicationEvent]; 5] = [
        &[],
        &[started.into()],
        &[failed.into()],
        &[scheduled(1, Step::Poll, "REQ9")],
        &[scheduled(1, Step::Poll, "REQ9"), hinted()],
    ];
    for history in histories {
        let mut deadlines = std::collections::BTreeMap::new();
        for event in std::iter::once(&requested()).chain(history) {
            for change in event.deadlines() {
                deadlines.insert(change.id.clone(), change.due);
            }
        }
        assert!(
            deadlines.values().filter(|at| at.is_some()).count() == 2,
            "{history:?}: {deadlines:?}"
        );
    }
}

#[test]
fn a_waiting_application_has_the_shared_deadline_and_no_other() {
    use events::Event;
    let mut application = state(&[scheduled(1, Step::Poll, "REQ9")]);
    let mut deadlines = std::collections::BTreeMap::new();
    // The first read concerns one ticket. All others can be shared, until a callback arrives.
    for (answer, expected) in [
        (ticket("RUNNING", ""), true),
        (ticket("RUNNING", ""), true),
        (Answer::NotSent("dns".into()), false),
        (ticket("RUNNING", ""), true),
    ] {
        let verdict = application.verdict(answer, &granted());
        let attempt = application.attempts.next();
        for event in application.decide(&report(attempt, verdict), &()).unwrap() {
            application.evolve(&event);
            for change in event.deadlines() {
                deadlines.insert(change.id.clone(), change.due);
            }
        }
        let due = Some(application.attempts.due);
        let (own, shared) = if expected { (None, due) } else { (due, None) };
        assert_eq!((deadlines["attempt"], deadlines["poll"]), (own, shared));
    }
    assert!(application.is_polled());
    let postponed = application.postponed(7_000);
    let attempt = application.attempts.next();
    let events = application
        .decide(&report(attempt, postponed), &())
        .unwrap();
    assert!(
        matches!(&events[..], [ApplicationEvent::PollScheduled(next)] if next.is_grouped && next.is_postponed)
    );
    for change in hinted().deadlines() {
        deadlines.insert(change.id.clone(), change.due);
    }
    assert_eq!((deadlines["attempt"], deadlines["poll"]), (Some(NOW), None));
}

#[test]
fn a_postponed_attempt_keeps_its_step_and_its_pauses() {
    let mut withdrawn = state(&[requested(), scheduled(1, Step::Poll, "REQ9")]);
    withdrawn.evolve(
        &WithdrawalRequested {
            reason: "the ticket has ended".into(),
            due: NOW,
        }
        .into(),
    );
    // After a rejected withdrawal, the desk reads the ticket.
    withdrawn.evolve(&scheduled(3, Step::Poll, "REQ9"));
    let polls = withdrawn.polls;
    let report = Report {
        attempt: 4,
        exchange: None,
        status: None,
        verdict: withdrawn.postponed(7_000),
        policy: POLICY,
        at: NOW,
    };
    let events = withdrawn.decide(&Command::Record(report), &()).unwrap();
    for event in &events {
        withdrawn.evolve(event);
    }
    assert_eq!((withdrawn.step, withdrawn.polls), (Step::Poll, polls));
    assert_eq!(withdrawn.attempts.due, NOW.plus_ms(7_000));
}

fn integration(url: &str, app: &str) -> Defined {
    Defined {
        url: url.into(),
        app: app.into(),
        ..Defined::default()
    }
}

#[test]
fn requests_go_only_to_the_external_itsm_that_got_the_creation() {
    let (first, second) = (
        integration("https://a.example.com", "bk_log"),
        integration("https://b.example.com", "bk_log"),
    );
    let mut application = state(&[]);
    assert_eq!(application.moved(&second), None, "nothing is created yet");
    let begin = Command::Begin {
        attempt: 1,
        until: NOW,
        target: target_of(&first),
    };
    for event in application.decide(&begin, &()).unwrap() {
        application.evolve(&event);
    }
    assert_eq!(
        application.moved(&second),
        None,
        "the creation is sent again"
    );
    for step in [
        Step::Find,
        Step::Poll,
        Step::Fetch,
        Step::Reconcile,
        Step::Verify,
        Step::Withdraw,
    ] {
        let mut later = application.clone();
        let number = if step == Step::Find { "" } else { "REQ9" };
        later.evolve(&scheduled(1, step, number));
        assert_eq!(later.moved(&first), None);
        let reason = later.moved(&second).expect("a reason");
        assert!(reason.contains(&first.url) && reason.contains(&second.url));
        let of_another_app = integration(&first.url, "other");
        assert!(later.moved(&of_another_app).is_some());
    }
    let of_earlier_version = state(&[scheduled(1, Step::Poll, "REQ9")]);
    assert_eq!(of_earlier_version.moved(&second), None);
}

#[test]
fn a_creation_that_fails_without_a_ticket_is_repeated_a_few_times() {
    let error = || Answer::Failed("1306201: timed out".into());
    let mut application = state(&[]);
    for failures in 1..=FAILED_CREATIONS_MAX {
        assert_eq!(application.step, Step::Create, "creation {failures}");
        let verdict = application.verdict(error(), &granted());
        application = recorded(application, verdict);
        assert_eq!(
            (application.step, application.failed_creations),
            (Step::Find, failures)
        );
        assert_eq!(application.problem, "1306201: timed out");
        let found = Answer::Found(Some("REQ9".into()));
        assert_eq!(
            application.verdict(found, &granted()),
            then(Step::Poll, "REQ9", POLL_MS),
            "the ticket exists, although the response was an error"
        );
        let verdict = application.verdict(Answer::Found(None), &granted());
        application = recorded(application, verdict);
    }
    assert_eq!(application.status(), Status::Failed);
    let reason = application.outcome.unwrap().reason;
    assert!(reason.starts_with("1306201: timed out"), "{reason}");

    // A missing response is not counted: the external ITSM possibly works again later.
    let mut silent = state(&[]);
    for _ in 0..2 * FAILED_CREATIONS_MAX {
        for answer in [Answer::Unclear("timeout".into()), Answer::Found(None)] {
            let verdict = silent.verdict(answer, &granted());
            silent = recorded(silent, verdict);
        }
        assert_eq!((silent.step, silent.failed_creations), (Step::Create, 0));
    }
}

#[test]
fn after_a_rejected_request_about_several_tickets_each_is_read() {
    let mut waiting = state(&[
        scheduled(1, Step::Poll, "REQ9"),
        scheduled(2, Step::Poll, "REQ9"),
    ]);
    assert!(waiting.is_polled());
    let rejected = waiting.polled(&Answer::Rejected("403".into()));
    let reading = recorded(waiting.clone(), rejected);
    assert_eq!(reading.step, Step::Fetch);
    assert!(reading.problem.contains("403"), "{}", reading.problem);
    let verdict = reading.verdict(ticket("RUNNING", ""), &granted());
    let polling = recorded(reading.clone(), verdict);
    assert!(polling.is_polled() && polling.problem.contains("403"));
    let running = BTreeMap::from([("REQ9".to_owned(), "RUNNING".to_owned())]);
    let verdict = polling.polled(&Answer::Statuses(running));
    assert_eq!(
        recorded(polling, verdict).problem,
        "",
        "the request works again"
    );
    let verdict = reading.verdict(ticket("FINISHED", "true"), &granted());
    assert_eq!(recorded(reading, verdict).status(), Status::Granted);

    // A response that cannot be read is repeated before each ticket is read.
    let mut steps = Vec::new();
    for _ in 0..3 {
        let verdict = waiting.polled(&Answer::Unclear("html".into()));
        waiting = recorded(waiting, verdict);
        steps.push(waiting.step);
    }
    assert_eq!(steps, [Step::Poll, Step::Poll, Step::Fetch]);
}

#[test]
fn a_comparison_finds_a_ticket_that_has_ended_or_is_not_listed() {
    let waiting = state(&[
        scheduled(1, Step::Poll, "REQ9"),
        scheduled(2, Step::Poll, "REQ9"),
    ]);
    let status =
        |number: &str, status: &str| BTreeMap::from([(number.to_owned(), status.to_owned())]);
    for (statuses, step) in [
        (status("REQ9", "RUNNING"), Step::Poll),
        (status("REQ9", "SUSPENDED"), Step::Poll),
        (status("REQ9", "FINISHED"), Step::Reconcile),
        (status("REQ9", "REVOKED"), Step::Reconcile),
        (status("REQ8", "RUNNING"), Step::Reconcile),
    ] {
        let verdict = waiting.polled(&Answer::Statuses(statuses.clone()));
        let compared = recorded(waiting.clone(), verdict);
        assert_eq!(compared.step, step, "{statuses:?}");
        // A list can be wrong. Only the ticket itself decides.
        let verdict = compared.verdict(ticket("RUNNING", ""), &granted());
        assert_eq!(recorded(compared, verdict).status(), Status::Applying);
    }
}

#[test]
fn a_wrong_name_in_the_condition_refuses_nothing() {
    let polling = state(&[scheduled(1, Step::Poll, "REQ9")]);
    let misspelled = equals("aproval_result", "true");
    let verdict = polling.verdict(ticket("FINISHED", "true"), &misspelled);
    let waiting = recorded(polling.clone(), verdict);
    assert_eq!(waiting.status(), Status::Applying);
    assert!(
        waiting.problem.contains("\"aproval_result\""),
        "{}",
        waiting.problem
    );
    let verdict = waiting.verdict(ticket("FINISHED", "true"), &granted());
    assert_eq!(recorded(waiting, verdict).status(), Status::Granted);
    let empty = Answer::Ticket(ExternalTicket {
        status: "FINISHED".into(),
        fields: BTreeMap::from([("approval_result".to_owned(), serde_json::Value::Null)]),
        links: BTreeMap::new(),
    });
    let verdict = polling.verdict(empty, &granted());
    assert_eq!(recorded(polling.clone(), verdict).status(), Status::Refused);
    let revoked = polling.verdict(ticket("REVOKED", "true"), &misspelled);
    assert_eq!(recorded(polling, revoked).status(), Status::Refused);
}

#[test]
fn the_result_of_an_approval_decides_if_the_condition_names_it() {
    let by_result = equals(APPROVE_RESULT, "true");
    assert!(is_by_approve_result(&by_result) && !is_by_approve_result(&granted()));
    let result = |is_granted: bool| {
        Answer::Ticket(ExternalTicket {
            status: "FINISHED".into(),
            fields: BTreeMap::from([(APPROVE_RESULT.to_owned(), is_granted.into())]),
            links: BTreeMap::new(),
        })
    };
    // The regular read returns the fields of the ticket, and not the result of the approval.
    let polling = state(&[scheduled(1, Step::Poll, "REQ9")]);
    let verdict = polling.verdict(ticket("FINISHED", "true"), &by_result);
    let fetching = recorded(polling, verdict);
    assert_eq!(fetching.step, Step::Fetch);
    for (is_granted, status) in [(true, Status::Granted), (false, Status::Refused)] {
        for step in [Step::Fetch, Step::Confirm, Step::Missed] {
            let reading = state(&[scheduled(1, step, "REQ9")]);
            let verdict = reading.verdict(result(is_granted), &by_result);
            assert_eq!(recorded(reading, verdict).status(), status);
        }
    }
    let verdict = fetching.verdict(ticket("FINISHED", "true"), &by_result);
    assert!(
        matches!(verdict, Verdict::Retry { .. }),
        "the result is missing"
    );

    // A ticket that ended before its withdrawal is read to its end.
    let mut withdrawn = state(&[scheduled(1, Step::Poll, "REQ9")]);
    let requested = WithdrawalRequested {
        reason: "over".into(),
        due: NOW,
    };
    withdrawn.evolve(&requested.into());
    for answer in [
        Answer::Rejected("3900005: over".into()),
        ticket("FINISHED", "true"),
        result(true),
    ] {
        let verdict = withdrawn.verdict(answer, &by_result);
        withdrawn = recorded(withdrawn, verdict);
    }
    assert_eq!(withdrawn.status(), Status::Granted);
}

#[test]
fn a_callback_replaces_none_whose_token_is_not_checked() {
    let hint = |application: &mut Application, number: usize| {
        let command = Command::Hint {
            inbound: format!("inbound-{number}"),
            at: NOW,
        };
        let events = application.decide(&command, &()).unwrap();
        for event in &events {
            application.evolve(event);
        }
        events.len()
    };
    let mut checking = state(&[scheduled(1, Step::Poll, "REQ9")]);
    let accepted: usize = (0..10).map(|number| hint(&mut checking, number)).sum();
    assert_eq!(accepted, 1 + HINTS_MAX);
    assert!(!checking.accepts_hints());
    assert_eq!(checking.hint.as_deref(), Some("inbound-0"));

    let invalid = checking.verdict(Answer::Verified(false), &granted());
    let next = recorded(checking.clone(), invalid);
    assert_eq!(
        (next.step, next.hint.as_deref()),
        (Step::Verify, Some("inbound-1")),
        "the next callback is checked at once"
    );
    assert!(next.problem.starts_with(TOKEN_ILLEGAL_NAME));
    assert!(next.accepts_hints());
    let valid = next.verdict(Answer::Verified(true), &granted());
    let confirmed = recorded(next, valid);
    assert_eq!(
        (confirmed.step, confirmed.hints.len(), confirmed.unchecked),
        (Step::Confirm, 0, 0)
    );

    // After the last invalid callback, the regular reads continue.
    let mut forged = checking;
    for _ in 0..=HINTS_MAX {
        assert_eq!(forged.step, Step::Verify);
        let verdict = forged.verdict(Answer::Verified(false), &granted());
        forged = recorded(forged, verdict);
    }
    assert_eq!((forged.step, forged.unchecked), (Step::Poll, 0));

    let mut early = state(&[]);
    let accepted: usize = (0..10).map(|number| hint(&mut early, number)).sum();
    assert_eq!(accepted, 1 + HINTS_MAX);
    assert_eq!(early.hint.as_deref(), Some("inbound-0"));
    let created = early.verdict(Answer::Created("REQ9".into()), &granted());
    let known = recorded(early, created);
    assert_eq!((known.step, known.hints.len()), (Step::Verify, HINTS_MAX));
}

#[test]
fn a_check_that_fails_is_counted_so_that_the_same_callback_can_be_checked_again() {
    for (answer, expected) in [
        (Answer::Unclear("html".into()), 1),
        (Answer::NotSent("dns".into()), 1),
        (Answer::Rejected("403".into()), 1),
        (Answer::Verified(false), 0),
        (Answer::Verified(true), 0),
    ] {
        let checking = state(&[scheduled(1, Step::Poll, "REQ9"), hinted()]);
        let verdict = checking.verdict(answer.clone(), &granted());
        let checked = recorded(checking, verdict);
        assert_eq!(checked.unchecked, expected, "{answer:?}");
        let is_illegal = checked.problem.starts_with(TOKEN_ILLEGAL_NAME);
        assert_eq!(is_illegal, answer == Answer::Verified(false), "{answer:?}");
    }
}
