//! Given events, when a command, then events; and what holds for any history.

use std::collections::BTreeMap;
use std::sync::Arc;

use cqrs_es::test::TestFramework;
use events::ticket::{Finished, LineTaken, NodeCompleted, NodeEntered, Observed, ServiceKind, Tested};
use events::workflow::{Choice, Clause, Condition, Field, FieldKind, Group, Handling, Holds, Join, Line, Operator, Output, Processors};
use events::{CatalogId, LineId, Moment, ServiceId, WorkflowId, service};
use proptest::prelude::*;

use super::*;
use crate::decider::fold;
use crate::{Refusal, Sourced};

const LISI: &str = "p-lisi";
const BOSS: &str = "p-boss";
const ROOT: &str = "p-root";

fn field(key: &str, kind: FieldKind, is_required: bool) -> Field {
    Field {
        id: 1,
        key: key.into(),
        kind,
        name: key.into(),
        desc: String::new(),
        choice: Vec::new(),
        is_required,
        regex: String::new(),
        custom_regex: String::new(),
        hidden_when: None,
        default: serde_json::Value::Null,
        meta: serde_json::Value::Null,
        source_type: String::new(),
        source_uri: String::new(),
        source: None,
        templates: Vec::new(),
        library: String::new(),
        is_readonly: false,
        node: None,
        rule: None,
        kv_relation: None,
        layout: String::new(),
        is_personal: false,
        is_approve_result: false,
    }
}

fn node(id: i64, kind: NodeKind, fields: &[&str]) -> Node {
    Node {
        id: NodeId(id),
        name: format!("n{id}"),
        kind,
        tag: String::new(),
        processors: Processors::Person(vec![BOSS.into(), "p-other".into()]),
        assignors: Processors::Empty,
        delivers: Processors::Empty,
        handling: Handling::Process,
        can_deliver: true,
        is_terminable: true,
        is_multi: false,
        is_sequential: false,
        finish_condition: None,
        terminate_when_rejected: false,
        is_allow_skip: false,
        status_on_entry: String::new(),
        outside: None,
        fields: fields.iter().map(|key| (*key).to_owned()).collect(),
        outputs: Vec::new(),
    }
}

fn line(id: i64, from: i64, to: i64, passes: Option<&str>) -> Line {
    let clause = |value: &str| Clause { key: "RESULT".into(), kind: "SELECT".into(), condition: Operator::Equal, value: value.into() };
    let condition =
        passes.map(|value| Condition { join: Join::default(), expressions: vec![Group { join: Join::default(), expressions: vec![clause(value)] }] });
    Line { id: LineId(id), from: NodeId(from), to: NodeId(to), name: String::new(), condition }
}

/// START 1, submit 2, approval 3 (passed -> END 4; anything else -> back to 2).
fn definition() -> Definition {
    let choice = |key: &str| Choice { key: key.into(), name: key.into(), items: Vec::new() };
    let mut approval = node(3, NodeKind::Approval, &["DECISION"]);
    approval.outputs = vec![Output { key: "RESULT".into(), holds: Holds::ApproveResult }];
    let mut submit = node(2, NodeKind::Manual, &["title", "amount"]);
    submit.processors = Processors::Open;
    Definition {
        name: "w".into(),
        nodes: vec![node(1, NodeKind::Start, &[]), submit, approval, node(4, NodeKind::End, &[])],
        lines: vec![line(1, 1, 2, None), line(2, 2, 3, None), line(4, 3, 2, None), line(9, 3, 4, Some("true"))],
        fields: vec![
            field("title", FieldKind::String, true),
            field("amount", FieldKind::Int, false),
            Field { choice: vec![choice("true"), choice("false")], is_approve_result: true, ..field("DECISION", FieldKind::Radio, true) },
        ],
        ..Definition::default()
    }
}

fn facts_of(definition: Definition) -> Facts {
    let service = service::Defined {
        service: ServiceId(7),
        name: "s".into(),
        desc: String::new(),
        kind: ServiceKind::Request,
        workflow: WorkflowId(1),
        workflow_version: 1,
        is_enabled: true,
        owners: Vec::new(),
        display_type: "OPEN".into(),
        display_roles: Vec::new(),
        seals_text: false,
        priorities: None,
        can_ticket_agency: false,
        is_listed: true,
        rate_after_days: None,
    };
    Facts {
        services: [(ServiceId(7), Some(service))].into(),
        shelves: [(ServiceId(7), Some(CatalogId(1)))].into(),
        workflows: [((WorkflowId(1), 1), Some(Arc::new(Deployed { workflow: WorkflowId(1), version: 1, definition })))].into(),
        roles: BTreeMap::default(),
        general_roles: Some(Vec::new()),
        superusers: Some(vec![ROOT.into()]),
        ..Facts::default()
    }
}

fn facts() -> Facts {
    facts_of(definition())
}

fn open() -> Command {
    let form = vec![Entry::new("title", "t")];
    Command::Open(Box::new(Open { sn: "REQ1".into(), id: 1, service: ServiceId(7), creator: LISI.into(), form, tag: String::new(), ..Open::default() }))
}

fn opened() -> Vec<TicketEvent> {
    Ticket::default().decide(&open(), &facts()).expect("opens")
}

fn vote(pass: &str) -> Command {
    Command::Submit { node: NodeId(3), by: BOSS.into(), form: vec![Entry::new("DECISION", pass)], reason: String::new() }
}

#[test]
fn opening_tells_the_whole_way_to_the_first_waiting_node() {
    let kinds: Vec<&str> = opened().iter().map(events::Fact::kind).collect();
    assert_eq!(kinds, ["ticket.opened", "ticket.node_entered", "ticket.node_completed", "ticket.line_taken", "ticket.node_entered"]);
}

#[test]
fn a_pass_takes_the_conditional_line_before_the_older_default_and_says_why() {
    let outputs = BTreeMap::from([("RESULT".to_owned(), "true".to_owned())]);
    let tested = vec![Tested { line: LineId(9), clause: "RESULT == true".into(), found: "true".into(), holds: true }];
    TestFramework::<Sourced<Ticket>>::with(facts()).given(opened()).when(vote("true")).then_expect_events(vec![
        events::ticket::VoteCast {
            node: NodeId(3),
            name: "n3".into(),
            by: BOSS.into(),
            pass: true,
            form: vec![Entry::new("DECISION", "true")],
            automatic: false,
            reason: Remark::default(),
        }
        .into(),
        NodeCompleted { node: NodeId(3), name: "n3".into(), round: 1, by: BOSS.into(), pass: Some(true), form: Vec::new(), outputs, reason: Remark::default() }
            .into(),
        LineTaken { line: LineId(9), name: String::new(), from: NodeId(3), to: NodeId(4), tested, by: None, reason: Remark::default() }.into(),
        Finished { approve_result: true, rate_by: None }.into(),
    ]);
}

#[test]
fn a_rejection_opens_a_second_round_and_deletes_nothing() {
    let events = fold::<Ticket>(&opened()).decide(&vote("false"), &facts()).expect("decides");
    let back = NodeEntered {
        node: NodeId(2),
        name: "n2".into(),
        round: 2,
        status: NodeStatus::Running,
        processors_type: "PERSON".into(),
        processors: vec![LISI.into()],
        automatic: false,
        is_vote: false,
    };
    assert_eq!(events.last(), Some(&back.into()));
}

#[test]
fn what_it_needs_it_asks_for() {
    let nothing = Facts::default();
    assert_eq!(Ticket::default().decide(&open(), &nothing), Err(Refusal::Needs(vec![Lookup::Service(ServiceId(7))])));
    assert_eq!(fold::<Ticket>(&opened()).decide(&vote("true"), &nothing), Err(Refusal::Needs(vec![Lookup::Workflow(WorkflowId(1), 1)])));
}

#[test]
fn where_no_line_is_true_the_node_waits_visibly_and_can_be_ended() {
    let mut definition = definition();
    definition.lines.retain(|line| line.id != LineId(4));
    let facts = facts_of(definition);
    let mut ticket = fold::<Ticket>(&opened());
    for event in ticket.decide(&vote("false"), &facts).expect("decides") {
        ticket.evolve(&event);
    }
    assert_eq!(ticket.nodes[&NodeId(3)].status, NodeStatus::Failed);
    assert_eq!(ticket.current().count(), 1, "somebody sees it");
    let ended = ticket.decide(&Command::Terminate { by: ROOT.into(), reason: "stuck".into() }, &facts);
    assert!(ended.is_ok(), "{ended:?}");
}

#[test]
fn suspending_twice_is_refused_and_resuming_brings_back() {
    let mut ticket = fold::<Ticket>(&opened());
    let suspend = Command::Suspend { by: BOSS.into(), reason: "r".into() };
    ticket.decide(&suspend, &facts()).expect("suspends").iter().for_each(|event| ticket.evolve(event));
    assert_eq!(ticket.decide(&suspend, &facts()), Err(Refusal::Rejected(Rejection::NotInProcess)));
    assert_eq!(ticket.decide(&vote("true"), &facts()), Err(Refusal::Rejected(Rejection::Standing)));
    ticket.decide(&Command::Resume { by: BOSS.into(), reason: String::new() }, &facts()).expect("resumes").iter().for_each(|event| ticket.evolve(event));
    assert!(ticket.decide(&vote("true"), &facts()).is_ok());
}

fn row(line: u64, text: &str, nth: u32) -> Observed {
    Observed { occurred_at: Moment(1), line, row: text.into(), nth, ..Observed::default() }
}

#[test]
fn rows_are_taken_once_whatever_file_they_stand_in() {
    let first = [row(1, "x", 1), row(2, "x", 2), row(3, "y", 1)];
    let mut ticket = Ticket::default();
    let taken = |ticket: &Ticket, rows: &[Observed]| ticket.observe(rows).expect("takes").len();
    assert_eq!(taken(&ticket, &first), 3, "the same text twice is two rows");
    first.iter().for_each(|row| ticket.evolve(&row.clone().into()));
    assert_eq!(taken(&ticket, &first), 0, "again adds nothing");
    assert_eq!(taken(&ticket, &[row(9, "x", 3)]), 1, "a third row of the text is new");
    assert_eq!(
        taken(&ticket, &[row(2, "z", 1), row(7, "x", 1), row(8, "x", 2), row(9, "y", 1)]),
        1,
        "a row that was refused before is taken later, the rest is known"
    );
    assert_eq!(fold::<Ticket>(&opened()).observe(&first), Err(Refusal::Rejected(Rejection::NotImported)));
}

#[test]
fn delivering_in_a_countersign_gives_away_one_seat_only() {
    let mut definition = definition();
    definition.nodes[2].is_multi = true;
    let facts = facts_of(definition);
    let mut ticket = fold::<Ticket>(&Ticket::default().decide(&open(), &facts).expect("opens"));
    let to = Processors::Person(vec!["p-new".into(), "p-other".into()]);
    let deliver = Command::Deliver { node: NodeId(3), by: BOSS.into(), to, message: "m".into() };
    ticket.decide(&deliver, &facts).expect("delivers").iter().for_each(|event| ticket.evolve(event));
    assert_eq!(ticket.nodes[&NodeId(3)].processors, [Pid::from("p-new"), "p-other".into()], "the other keeps the vote, once");
}

#[test]
fn a_ticket_keeps_sealing_whatever_becomes_of_its_service() {
    let mut facts = facts();
    facts.services.get_mut(&ServiceId(7)).unwrap().as_mut().unwrap().seals_text = true;
    let mut ticket = fold::<Ticket>(&Ticket::default().decide(&open(), &facts).expect("opens"));
    assert!(ticket.form["title"].personal.is_some());
    facts.services.insert(ServiceId(7), None);
    let suspended = ticket.decide(&Command::Suspend { by: BOSS.into(), reason: "call 13800000000".into() }, &facts).expect("suspends");
    let TicketEvent::Suspended(event) = &suspended[0] else { panic!("{suspended:?}") };
    assert!(event.reason.text.is_empty() && event.reason.read() == "call 13800000000");
    ticket.decide(&vote("false"), &facts).expect("votes").iter().for_each(|event| ticket.evolve(event));
    let form = vec![Entry::new("title", "second"), Entry::new("amount", "")];
    ticket
        .decide(&Command::Submit { node: NodeId(2), by: LISI.into(), form, reason: String::new() }, &facts)
        .expect("submits")
        .iter()
        .for_each(|event| ticket.evolve(event));
    assert!(ticket.form["title"].personal.is_some(), "also on the second round");
}

#[test]
fn the_reason_of_a_vote_is_sealed_where_all_text_is() {
    let mut facts = facts();
    facts.services.get_mut(&ServiceId(7)).unwrap().as_mut().unwrap().seals_text = true;
    let mut ticket = fold::<Ticket>(&Ticket::default().decide(&open(), &facts).expect("opens"));
    let decide = |remark: &str| Command::Decide { node: NodeId(3), by: BOSS.into(), pass: true, remark: remark.into() };
    let too_long = decide(&"x".repeat(REMARK_MAX + 1));
    assert_eq!(ticket.decide(&too_long, &facts), Err(Refusal::Rejected(Rejection::ReasonTooLong)));
    let events = ticket.decide(&decide("call 13800000000"), &facts).expect("decides");
    let TicketEvent::VoteCast(vote) = &events[0] else { panic!("{events:?}") };
    assert!(vote.reason.text.is_empty() && vote.reason.read() == "call 13800000000");
    events.iter().for_each(|event| ticket.evolve(event));
    assert_eq!(ticket.nodes[&NodeId(3)].why(), "call 13800000000");
    let sealed = Decider::personals(&mut ticket).iter().filter(|personal| personal.value == "call 13800000000").count();
    assert_eq!(sealed, 1, "the state seals it too");
}

/// Any command that somebody may give, fitting or not.
fn any_command() -> impl Strategy<Value = Command> {
    let who = prop_oneof![Just(LISI), Just(BOSS), Just(ROOT), Just("p-other")].prop_map(Pid::from);
    let form = prop_oneof![
        Just(vec![]),
        Just(vec![Entry::new("DECISION", "true")]),
        Just(vec![Entry::new("DECISION", "false")]),
        Just(vec![Entry::new("title", "t")])
    ];
    (0..36_u8, 1..5_i64, who, form, any::<bool>()).prop_map(|(what, id, by, form, yes)| {
        let (node, message, other) = (NodeId(id), "m".to_owned(), events::TicketSn::from("REQ2"));
        let to = Processors::Person(vec!["p-other".into()]);
        match what {
            0 => Command::Claim { node, by, reason: String::new() },
            1 => Command::Distribute { node, by, to, message },
            2 => Command::Deliver { node, by, to, message },
            3 => Command::TerminateAt { node, by, reason: message },
            4 => Command::Suspend { by, reason: message },
            5..8 => Command::Resume { by, reason: String::new() },
            8 => Command::Withdraw { by, reason: String::new() },
            9 => Command::Decide { node, by, pass: yes, remark: message },
            10 => Command::Reassign { node, by, to, message },
            11 => Command::Acknowledge { node: yes.then_some(node), by, reason: String::new() },
            12 => Command::Resolve { by, form, remark: message },
            13 => Command::Escalate { node: yes.then_some(node), by, reason: message },
            14 => Command::EditField { by, form: vec![Entry::new("title", if yes { "t" } else { "t2" })] },
            15 => Command::Remark { by, text: message, parent: yes.then_some(1), mentions: vec!["p-other".into()], internal: yes },
            16 => Command::Follow { by, people: vec!["p-other".into()], follows: yes },
            17 => Command::Rate { by, stars: 5, comment: message },
            18 => Command::Remind { by, message },
            19 => Command::Link { by, other, relation: if yes { events::ticket::Relation::ChildOf } else { events::ticket::Relation::Related }, mirror: false },
            20..23 => Command::Unlink { by, other, mirror: false },
            23 => Command::Retry { node, by, inputs: BTreeMap::new(), reason: String::new() },
            24 => Command::Ignore { node, by, outputs: BTreeMap::new(), reason: message },
            25 => Command::Route { node, by, line: LineId(if yes { 4 } else { 9 }), reason: String::new() },
            26 if yes => Command::Terminate { by, reason: message },
            27 if yes => Command::Close { by, status: "FINISHED".into(), reason: message },
            28 if yes => Command::EndWithParent { parent: other, status: "TERMINATED".into(), approve_result: false },
            _ => Command::Submit { node, by, form, reason: String::new() },
        }
    })
}

/// After any commands a ticket is over, or somebody can see where it stands; its history folds to the same state; events survive the wire.
#[test]
fn a_ticket_never_hangs() {
    let mut facts = facts();
    for (pid, leader) in [(BOSS, Some(ROOT)), (ROOT, None), ("p-other", Some(BOSS)), (LISI, None)] {
        facts.leaders.insert(pid.into(), leader.map(Pid::from));
    }
    let accepted = std::cell::RefCell::new(BTreeMap::<&'static str, u32>::new());
    let config = ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let ran = runner.run(&proptest::collection::vec(any_command(), 0..60), |commands| {
        let mut history = opened();
        let mut ticket = fold::<Ticket>(&history);
        for command in commands {
            if let Ok(events) = ticket.decide(&command, &facts) {
                events.iter().for_each(|event| ticket.evolve(event));
                events.iter().for_each(|event| *accepted.borrow_mut().entry(events::Fact::kind(event)).or_default() += 1);
                history.extend(events);
            }
            prop_assert!(ticket.status.is_over() || ticket.current().count() == 1);
        }
        prop_assert_eq!(&fold::<Ticket>(&history), &ticket);
        for event in &history {
            let text = serde_json::to_string(event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<TicketEvent>(&text).unwrap(), event);
        }
        let kept = serde_json::to_string(&ticket).unwrap();
        prop_assert_eq!(serde_json::from_str::<Ticket>(&kept).unwrap(), ticket);
        Ok(())
    });
    ran.expect("it never hangs");
    let accepted = accepted.into_inner();
    for kind in [
        "ticket.vote_cast",
        "ticket.node_completed",
        "ticket.node_delivered",
        "ticket.node_reassigned",
        "ticket.suspended",
        "ticket.resumed",
        "ticket.escalated",
        "ticket.acknowledged",
        "ticket.remarked",
        "ticket.followed",
        "ticket.linked",
        "ticket.unlinked",
        "ticket.field_changed",
        "ticket.withdrawn",
        "ticket.terminated",
        "ticket.closed",
        "ticket.finished",
    ] {
        assert!(accepted.get(kind).is_some_and(|count| *count >= 5), "{kind}: {accepted:?}");
    }
}

/// START 1, submit 2, approval 3 by whoever submits, webhook 5, back to 3 unless it left the right word behind.
#[test]
fn what_goes_round_with_nobody_acting_waits_for_a_person_in_the_end() {
    let mut definition = definition();
    definition.is_auto_approve = true;
    definition.nodes[2].processors = Processors::Starter;
    let request = serde_json::json!({ "does": "request", "method": "POST", "url": "https://x/", "outputs": [{ "key": "word", "path": "word" }] });
    let mut hook = node(5, NodeKind::Webhook, &[]);
    hook.outside = serde_json::from_value(request).expect("a request");
    definition.nodes.push(hook);
    let mut right = line(11, 5, 4, Some("right"));
    right
        .condition
        .iter_mut()
        .flat_map(|condition| &mut condition.expressions)
        .flat_map(|group| &mut group.expressions)
        .for_each(|clause| clause.key = "word".into());
    definition.lines = vec![line(1, 1, 2, None), line(2, 2, 3, None), line(9, 3, 5, None), right, line(12, 5, 3, None)];
    let facts = facts_of(definition);
    let mut ticket = fold::<Ticket>(&Ticket::default().decide(&open(), &facts).expect("opens"));
    let mut answers = 0;
    while ticket.nodes[&NodeId(5)].status == NodeStatus::Running {
        let visit = &ticket.nodes[&NodeId(5)];
        let answer = Answer { node: NodeId(5), round: visit.round, attempt: visit.attempt, succeeded: true, ..Answer::default() };
        let events = ticket.decide(&Command::Answer(answer), &facts).expect("an answer is always taken");
        events.iter().for_each(|event| ticket.evolve(event));
        answers += 1;
        assert!(answers <= ROUNDS_MAX, "it goes round for ever");
    }
    let visit = &ticket.nodes[&NodeId(5)];
    assert_eq!((visit.status, visit.reason.as_str()), (NodeStatus::Failed, "it has gone round 1000 times"));
    let ignore = Command::Ignore { node: NodeId(5), by: ROOT.into(), outputs: [("word".to_owned(), "right".to_owned())].into(), reason: "m".into() };
    ticket.decide(&ignore, &facts).expect("a person goes on").iter().for_each(|event| ticket.evolve(event));
    assert_eq!(ticket.status, Status::Finished);
}
