//! Tests the ticket aggregate. Most tests have the form "given events, when a command, then events". The
//! other tests check rules that every possible sequence of events must satisfy.

mod engine;
mod engine_automatic;
mod engine_ending;
mod engine_entering;
mod engine_leaving;
mod engine_people;
mod engine_voting;
mod nested;

mod given;
mod lifecycle;
mod node_actions;

use std::collections::BTreeMap;
use std::sync::Arc;

use cqrs_es::test::TestFramework;
use events::ticket::{
    Finished, NodeCompleted, NodeEntered, RowImported, ServiceKind, Tested, TransitionTaken,
};
use events::workflow::service_task::Executor;
use events::workflow::{
    Choice, Clause, Condition, Field, FieldKind, Group, Handling, Holds, Join, Operator, Output,
    Processors, Transition,
};
use events::{CategoryId, Moment, ServiceId, TransitionId, WorkflowId, service};
use proptest::prelude::*;

use super::*;
use crate::decider::fold;
use crate::{DecideError, EsAggregate};

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
        service_task: None,
        fields: fields.iter().map(|key| (*key).to_owned()).collect(),
        outputs: Vec::new(),
    }
}

fn transition(id: i64, from: i64, to: i64, passes: Option<&str>) -> Transition {
    let clause = |value: &str| Clause {
        key: "RESULT".into(),
        kind: "SELECT".into(),
        condition: Operator::Equal,
        value: value.into(),
    };
    let condition = passes.map(|value| Condition {
        join: Join::default(),
        expressions: vec![Group {
            join: Join::default(),
            expressions: vec![clause(value)],
        }],
    });
    Transition {
        id: TransitionId(id),
        from: NodeId(from),
        to: NodeId(to),
        name: String::new(),
        condition,
    }
}

/// Returns a workflow with the nodes START 1, submit node 2 (which opens a ticket), approval 3 and END 4. The
/// ticket ends after an approval. After a rejection, the ticket returns to node 2.
fn definition() -> Definition {
    let choice = |key: &str| Choice {
        key: key.into(),
        name: key.into(),
        items: Vec::new(),
    };
    let mut approval = node(3, NodeKind::Approval, &["DECISION"]);
    approval.outputs = vec![Output {
        key: "RESULT".into(),
        holds: Holds::ApproveResult,
    }];
    let mut submit = node(2, NodeKind::Manual, &["title", "amount"]);
    submit.processors = Processors::Open;
    Definition {
        name: "w".into(),
        nodes: vec![
            node(1, NodeKind::Start, &[]),
            submit,
            approval,
            node(4, NodeKind::End, &[]),
        ],
        transitions: vec![
            transition(1, 1, 2, None),
            transition(2, 2, 3, None),
            transition(4, 3, 2, None),
            transition(9, 3, 4, Some("true")),
        ],
        fields: vec![
            field("title", FieldKind::String, true),
            field("amount", FieldKind::Int, false),
            Field {
                choice: vec![choice("true"), choice("false")],
                is_approve_result: true,
                ..field("DECISION", FieldKind::Radio, true)
            },
        ],
        ..Definition::default()
    }
}

/// A short form of the permission policies of the desk, for the operations that the ticket decider needs.
const PERMISSIONS: Permissions = Permissions(|request| {
    let has = |relation| request.relations.contains(relation);
    has(Relation::Superuser)
        || has(Relation::ServiceOwner)
        || match request.operation {
            Operation::ReadTicket | Operation::TakePart => [
                Relation::Creator,
                Relation::Agent,
                Relation::Processor,
                Relation::FormerProcessor,
                Relation::Invited,
            ]
            .into_iter()
            .any(has),
            Operation::ReadInternalRemarks => has(Relation::Worker),
            _ => false,
        }
});

fn context_of(definition: Definition) -> Context {
    let service = service::Defined {
        service: ServiceId(7),
        name: "s".into(),
        desc: String::new(),
        kind: ServiceKind::Request,
        workflow: WorkflowId(1),
        workflow_version: 1,
        is_enabled: true,
        owners: Vec::new(),
        readers: Vec::new(),
        display_type: "OPEN".into(),
        display_roles: Vec::new(),
        seals_text: false,
        priorities: None,
        can_ticket_agency: false,
        is_listed: true,
        rate_after_days: None,
    };
    Context {
        services: [(ServiceId(7), Some(service))].into(),
        categories: [(ServiceId(7), Some(CategoryId(1)))].into(),
        workflows: [(
            (WorkflowId(1), 1),
            Some(Arc::new(Deployed {
                workflow: WorkflowId(1),
                version: 1,
                definition,
            })),
        )]
        .into(),
        roles: BTreeMap::default(),
        general_roles: Some(Vec::new()),
        superusers: Some(vec![ROOT.into()]),
        permissions: Some(PERMISSIONS),
        ..Context::default()
    }
}

fn context() -> Context {
    context_of(definition())
}

fn open() -> Command {
    let form = vec![Entry::new("title", "t")];
    Command::Open(Box::new(Open {
        sn: "REQ1".into(),
        id: 1,
        service: ServiceId(7),
        creator: LISI.into(),
        form,
        tag: String::new(),
        ..Open::default()
    }))
}

fn opened() -> Vec<TicketEvent> {
    Ticket::default()
        .decide(&open(), &context())
        .expect("opens")
}

fn vote(pass: &str) -> Command {
    Command::Submit {
        node: NodeId(3),
        by: BOSS.into(),
        form: vec![Entry::new("DECISION", pass)],
        reason: String::new(),
    }
}

#[test]
fn opening_emits_all_events_up_to_the_first_waiting_node() {
    let kinds: Vec<&str> = opened().iter().map(events::Event::kind).collect();
    assert_eq!(
        kinds,
        [
            "ticket.opened",
            "ticket.node_entered",
            "ticket.node_completed",
            "ticket.transition_taken",
            "ticket.node_entered"
        ]
    );
}

#[test]
fn a_conditional_transition_precedes_the_default_and_stores_its_trace() {
    let outputs = BTreeMap::from([("RESULT".to_owned(), "true".to_owned())]);
    let tested = vec![Tested {
        transition: TransitionId(9),
        clause: "RESULT == true".into(),
        found: "true".into(),
        holds: true,
    }];
    TestFramework::<EsAggregate<Ticket>>::with(context())
        .given(opened())
        .when(vote("true"))
        .then_expect_events(vec![
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
            NodeCompleted {
                node: NodeId(3),
                name: "n3".into(),
                round: 1,
                by: BOSS.into(),
                pass: Some(true),
                form: Vec::new(),
                outputs,
                reason: Remark::default(),
            }
            .into(),
            TransitionTaken {
                transition: TransitionId(9),
                name: String::new(),
                from: NodeId(3),
                to: NodeId(4),
                tested,
                by: None,
                reason: Remark::default(),
            }
            .into(),
            Finished {
                approve_result: true,
                rate_by: None,
            }
            .into(),
        ]);
}

#[test]
fn a_rejection_starts_a_second_round_of_the_submit_node() {
    let events = fold::<Ticket>(&opened())
        .decide(&vote("false"), &context())
        .expect("decides");
    let back = NodeEntered {
        node: NodeId(2),
        name: "n2".into(),
        round: 2,
        status: NodeStatus::Running,
        processors_type: "PERSON".into(),
        processors: vec![LISI.into()],
        automatic: false,
        executor: Executor::ApiCall,
        is_vote: false,
        is_sequential: false,
    };
    assert_eq!(events.last(), Some(&back.into()));
}

#[test]
fn missing_inputs_are_requested_as_lookups() {
    let empty = Context::default();
    assert_eq!(
        Ticket::default().decide(&open(), &empty),
        Err(DecideError::Needs(vec![Lookup::Service(ServiceId(7))]))
    );
    assert_eq!(
        fold::<Ticket>(&opened()).decide(&vote("true"), &empty),
        Err(DecideError::Needs(vec![Lookup::Workflow(WorkflowId(1), 1)]))
    );
}

#[test]
fn a_node_without_matching_transition_waits_and_can_be_terminated() {
    let mut definition = definition();
    definition
        .transitions
        .retain(|transition| transition.id != TransitionId(4));
    let context = context_of(definition);
    let mut ticket = fold::<Ticket>(&opened());
    for event in ticket.decide(&vote("false"), &context).expect("decides") {
        ticket.evolve(&event);
    }
    assert_eq!(ticket.nodes[&NodeId(3)].status, NodeStatus::Failed);
    assert_eq!(ticket.current().count(), 1, "the node is current");
    let ended = ticket.decide(
        &Command::Terminate {
            by: ROOT.into(),
            reason: "stuck".into(),
        },
        &context,
    );
    assert!(ended.is_ok(), "{ended:?}");
}

#[test]
fn a_second_suspension_is_rejected_and_a_resumed_ticket_continues() {
    let mut ticket = fold::<Ticket>(&opened());
    let suspend = Command::Suspend {
        by: BOSS.into(),
        reason: "r".into(),
    };
    ticket
        .decide(&suspend, &context())
        .expect("suspends")
        .iter()
        .for_each(|event| ticket.evolve(event));
    assert_eq!(
        ticket.decide(&suspend, &context()),
        Err(DecideError::Rejected(Rejection::NotInProcess))
    );
    assert_eq!(
        ticket.decide(&vote("true"), &context()),
        Err(DecideError::Rejected(Rejection::Suspended))
    );
    ticket
        .decide(
            &Command::Resume {
                by: BOSS.into(),
                reason: String::new(),
            },
            &context(),
        )
        .expect("resumes")
        .iter()
        .for_each(|event| ticket.evolve(event));
    assert!(ticket.decide(&vote("true"), &context()).is_ok());
}

/// The record of another system can decide about the status and the assignee, so the system needs no permission.
#[test]
fn the_system_suspends_resumes_and_reassigns_an_open_ticket() {
    let system = PersonId::system;
    let suspend = Command::Suspend {
        by: system(),
        reason: "r".into(),
    };
    let resume = Command::Resume {
        by: system(),
        reason: "r".into(),
    };
    let reassign = Command::Reassign {
        node: NodeId(3),
        by: system(),
        to: Processors::Person(vec![LISI.into()]),
        message: "r".into(),
    };
    assert!(Ticket::default().decide(&suspend, &context()).is_err());
    let mut ticket = fold::<Ticket>(&opened());
    for command in [suspend, resume, reassign] {
        let events = ticket.decide(&command, &context()).expect("accepted");
        assert_eq!(events.len(), 1, "{command:?}");
        events.iter().for_each(|event| ticket.evolve(event));
    }
    assert_eq!(ticket.nodes[&NodeId(3)].processors, [PersonId::from(LISI)]);
}

fn row(line: u64, text: &str, nth: u32) -> RowImported {
    RowImported {
        occurred_at: Moment(1),
        line,
        row: text.into(),
        nth,
        ..RowImported::default()
    }
}

#[test]
fn rows_are_imported_once_from_any_file() {
    let first = [row(1, "x", 1), row(2, "x", 2), row(3, "y", 1)];
    let mut ticket = Ticket::default();
    let imported =
        |ticket: &Ticket, rows: &[RowImported]| ticket.import_rows(rows).expect("imports").len();
    assert_eq!(
        imported(&ticket, &first),
        3,
        "two rows of the same text are two rows"
    );
    first
        .iter()
        .for_each(|row| ticket.evolve(&row.clone().into()));
    assert_eq!(imported(&ticket, &first), 0, "a second import adds nothing");
    assert_eq!(
        imported(&ticket, &[row(9, "x", 3)]),
        1,
        "the third row of this text is new"
    );
    assert_eq!(
        imported(
            &ticket,
            &[
                row(2, "z", 1),
                row(7, "x", 1),
                row(8, "x", 2),
                row(9, "y", 1)
            ]
        ),
        1,
        "only the row of the new text is imported"
    );
    assert_eq!(
        fold::<Ticket>(&opened()).import_rows(&first),
        Err(DecideError::Rejected(Rejection::NotImported))
    );
}

#[test]
fn a_transfer_in_a_countersign_replaces_one_voter_only() {
    let mut definition = definition();
    definition.nodes[2].is_multi = true;
    let context = context_of(definition);
    let mut ticket = fold::<Ticket>(&Ticket::default().decide(&open(), &context).expect("opens"));
    let to = Processors::Person(vec!["p-new".into(), "p-other".into()]);
    let transfer = Command::Transfer {
        node: NodeId(3),
        by: BOSS.into(),
        to,
        message: "m".into(),
    };
    ticket
        .decide(&transfer, &context)
        .expect("transfers")
        .iter()
        .for_each(|event| ticket.evolve(event));
    assert_eq!(
        ticket.nodes[&NodeId(3)].processors,
        [PersonId::from("p-new"), "p-other".into()],
        "the other voter remains, once"
    );
}

#[test]
fn a_ticket_seals_its_text_after_its_service_is_removed() {
    let mut context = context();
    context
        .services
        .get_mut(&ServiceId(7))
        .unwrap()
        .as_mut()
        .unwrap()
        .seals_text = true;
    let mut ticket = fold::<Ticket>(&Ticket::default().decide(&open(), &context).expect("opens"));
    assert!(ticket.form["title"].personal.is_some());
    context.services.insert(ServiceId(7), None);
    let suspended = ticket
        .decide(
            &Command::Suspend {
                by: BOSS.into(),
                reason: "call 13800000000".into(),
            },
            &context,
        )
        .expect("suspends");
    let TicketEvent::Suspended(event) = &suspended[0] else {
        panic!("{suspended:?}")
    };
    assert!(event.reason.text.is_empty() && event.reason.read() == "call 13800000000");
    ticket
        .decide(&vote("false"), &context)
        .expect("votes")
        .iter()
        .for_each(|event| ticket.evolve(event));
    let form = vec![Entry::new("title", "second"), Entry::new("amount", "")];
    ticket
        .decide(
            &Command::Submit {
                node: NodeId(2),
                by: LISI.into(),
                form,
                reason: String::new(),
            },
            &context,
        )
        .expect("submits")
        .iter()
        .for_each(|event| ticket.evolve(event));
    assert!(
        ticket.form["title"].personal.is_some(),
        "the title is sealed in the second round too"
    );
}

#[test]
fn the_reason_of_a_vote_is_sealed_if_the_service_seals_text() {
    let mut context = context();
    context
        .services
        .get_mut(&ServiceId(7))
        .unwrap()
        .as_mut()
        .unwrap()
        .seals_text = true;
    let mut ticket = fold::<Ticket>(&Ticket::default().decide(&open(), &context).expect("opens"));
    let decide = |remark: &str| Command::Decide {
        node: NodeId(3),
        by: BOSS.into(),
        pass: true,
        remark: remark.into(),
    };
    let too_long = decide(&"x".repeat(REMARK_MAX + 1));
    assert_eq!(
        ticket.decide(&too_long, &context),
        Err(DecideError::Rejected(Rejection::ReasonTooLong))
    );
    let events = ticket
        .decide(&decide("call 13800000000"), &context)
        .expect("decides");
    let TicketEvent::VoteCast(vote) = &events[0] else {
        panic!("{events:?}")
    };
    assert!(vote.reason.text.is_empty() && vote.reason.read() == "call 13800000000");
    events.iter().for_each(|event| ticket.evolve(event));
    assert_eq!(ticket.nodes[&NodeId(3)].why(), "call 13800000000");
    let sealed = Decider::personals(&mut ticket)
        .iter()
        .filter(|personal| personal.value == "call 13800000000")
        .count();
    assert_eq!(sealed, 1, "the state seals the reason too");
}

/// Generates random commands of all kinds. Some of these commands are invalid on purpose.
fn any_command() -> impl Strategy<Value = Command> {
    let person =
        prop_oneof![Just(LISI), Just(BOSS), Just(ROOT), Just("p-other")].prop_map(PersonId::from);
    let form = prop_oneof![
        Just(vec![]),
        Just(vec![Entry::new("DECISION", "true")]),
        Just(vec![Entry::new("DECISION", "false")]),
        Just(vec![Entry::new("title", "t")])
    ];
    (0..36_u8, 1..5_i64, person, form, any::<bool>()).prop_map(|(kind, id, by, form, flag)| {
        let (node, message, other) = (NodeId(id), "m".to_owned(), events::TicketSn::from("REQ2"));
        let to = Processors::Person(vec!["p-other".into()]);
        match kind {
            0 => Command::Claim {
                node,
                by,
                reason: String::new(),
            },
            1 => Command::Assign {
                node,
                by,
                to,
                message,
            },
            2 => Command::Transfer {
                node,
                by,
                to,
                message,
            },
            3 => Command::TerminateAt {
                node,
                by,
                reason: message,
            },
            4 => Command::Suspend {
                by,
                reason: message,
            },
            5..8 => Command::Resume {
                by,
                reason: String::new(),
            },
            8 => Command::Withdraw {
                by,
                reason: String::new(),
            },
            9 => Command::Decide {
                node,
                by,
                pass: flag,
                remark: message,
            },
            10 => Command::Reassign {
                node,
                by,
                to,
                message,
            },
            11 => Command::Acknowledge {
                node: flag.then_some(node),
                by,
                reason: String::new(),
            },
            12 => Command::Resolve {
                by,
                form,
                remark: message,
            },
            13 => Command::Escalate {
                node: flag.then_some(node),
                by,
                reason: message,
            },
            14 => Command::EditField {
                by,
                form: vec![Entry::new("title", if flag { "t" } else { "t2" })],
            },
            15 => Command::Remark {
                by,
                text: message,
                parent: flag.then_some(1),
                mentions: vec!["p-other".into()],
                internal: flag,
                files: Vec::new(),
            },
            16 => Command::Follow {
                by,
                people: vec!["p-other".into()],
                follows: flag,
                app_may_read: false,
            },
            17 => Command::Rate {
                by,
                stars: 5,
                comment: message,
            },
            18 => Command::Remind { by, message },
            19 => Command::Link {
                by,
                other,
                relation: if flag {
                    events::ticket::Relation::ChildOf
                } else {
                    events::ticket::Relation::Related
                },
                mirror: false,
            },
            20..23 => Command::Unlink {
                by,
                other,
                mirror: false,
            },
            23 => Command::Retry {
                node,
                by,
                inputs: BTreeMap::new(),
                reason: String::new(),
            },
            24 => Command::Ignore {
                node,
                by,
                outputs: BTreeMap::new(),
                reason: message,
            },
            25 => Command::Route {
                node,
                by,
                transition: TransitionId(if flag { 4 } else { 9 }),
                reason: String::new(),
            },
            26 if flag => Command::Terminate {
                by,
                reason: message,
            },
            27 if flag => Command::Close {
                by,
                status: "FINISHED".into(),
                reason: message,
            },
            28 if flag => Command::EndWithParent {
                parent: other,
                status: "TERMINATED".into(),
                approve_result: false,
            },
            _ => Command::Submit {
                node,
                by,
                form,
                reason: String::new(),
            },
        }
    })
}

/// The test executes random commands. After each command, the ticket has ended or has exactly one current
/// node (a node that is not finished). At the end, the test computes the state again from all events, and
/// converts the events and the state to JSON and back. The results must be equal to the original values.
#[test]
fn a_ticket_has_ended_or_has_a_current_node() {
    let mut context = context();
    for (pid, leader) in [
        (BOSS, Some(ROOT)),
        (ROOT, None),
        ("p-other", Some(BOSS)),
        (LISI, None),
    ] {
        context
            .leaders
            .insert(pid.into(), leader.map(PersonId::from));
    }
    let accepted = std::cell::RefCell::new(BTreeMap::<&'static str, u32>::new());
    let config = ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let ran = runner.run(
        &proptest::collection::vec(any_command(), 0..60),
        |commands| {
            let mut history = opened();
            let mut ticket = fold::<Ticket>(&history);
            for command in commands {
                if let Ok(events) = ticket.decide(&command, &context) {
                    events.iter().for_each(|event| ticket.evolve(event));
                    events.iter().for_each(|event| {
                        *accepted
                            .borrow_mut()
                            .entry(events::Event::kind(event))
                            .or_default() += 1;
                    });
                    history.extend(events);
                }
                prop_assert!(ticket.status.is_over() || ticket.current().count() == 1);
            }
            prop_assert_eq!(&fold::<Ticket>(&history), &ticket);
            for event in &history {
                let text = serde_json::to_string(event).unwrap();
                prop_assert_eq!(&serde_json::from_str::<TicketEvent>(&text).unwrap(), event);
            }
            let json = serde_json::to_string(&ticket).unwrap();
            prop_assert_eq!(serde_json::from_str::<Ticket>(&json).unwrap(), ticket);
            Ok(())
        },
    );
    ran.expect("the properties hold");
    let accepted = accepted.into_inner();
    for kind in [
        "ticket.vote_cast",
        "ticket.node_completed",
        "ticket.node_transferred",
        "ticket.node_reassigned",
        "ticket.suspended",
        "ticket.resumed",
        "ticket.escalated",
        "ticket.acknowledged",
        "ticket.remark_added",
        "ticket.followers_changed",
        "ticket.linked",
        "ticket.unlinked",
        "ticket.fields_changed",
        "ticket.withdrawn",
        "ticket.terminated",
        "ticket.closed",
        "ticket.finished",
    ] {
        assert!(
            accepted.get(kind).is_some_and(|count| *count >= 5),
            "{kind}: {accepted:?}"
        );
    }
}

/// The workflow has START 1, submit node 2, approval 3, webhook 5 (a node that sends an HTTP request) and
/// END 4. The creator is the approver at node 3, so the desk approves automatically. If the output `word`
/// of the webhook is not `right`, the ticket returns to node 3. The test expects that node 5 fails after
/// 1000 executions.
#[test]
fn a_loop_without_people_fails_at_the_limit_of_rounds() {
    let mut definition = definition();
    definition.is_auto_approve = true;
    definition.nodes[2].processors = Processors::Starter;
    let request = serde_json::json!({ "does": "request", "method": "POST", "url": "https://x/", "outputs": [{ "key": "word", "path": "word" }] });
    let mut hook = node(5, NodeKind::Webhook, &[]);
    hook.service_task = serde_json::from_value(request).expect("a request");
    definition.nodes.push(hook);
    let mut to_end = transition(11, 5, 4, Some("right"));
    to_end
        .condition
        .iter_mut()
        .flat_map(|condition| &mut condition.expressions)
        .flat_map(|group| &mut group.expressions)
        .for_each(|clause| clause.key = "word".into());
    definition.transitions = vec![
        transition(1, 1, 2, None),
        transition(2, 2, 3, None),
        transition(9, 3, 5, None),
        to_end,
        transition(12, 5, 3, None),
    ];
    let context = context_of(definition);
    let mut ticket = fold::<Ticket>(&Ticket::default().decide(&open(), &context).expect("opens"));
    let mut results = 0;
    while ticket.nodes[&NodeId(5)].status == NodeStatus::Running {
        let node_run = &ticket.nodes[&NodeId(5)];
        let result = NodeResult {
            node: NodeId(5),
            round: node_run.round,
            attempt: node_run.attempt,
            succeeded: true,
            ..NodeResult::default()
        };
        let events = ticket
            .decide(&Command::RecordResult(result), &context)
            .expect("records the result");
        events.iter().for_each(|event| ticket.evolve(event));
        results += 1;
        assert!(results <= ROUNDS_MAX, "the loop does not end");
    }
    let node_run = &ticket.nodes[&NodeId(5)];
    assert_eq!(
        (node_run.status, node_run.reason.as_str()),
        (NodeStatus::Failed, "the node has run 1000 times")
    );
    let ignore = Command::Ignore {
        node: NodeId(5),
        by: ROOT.into(),
        outputs: [("word".to_owned(), "right".to_owned())].into(),
        reason: "m".into(),
    };
    ticket
        .decide(&ignore, &context)
        .expect("ignores the failure")
        .iter()
        .for_each(|event| ticket.evolve(event));
    assert_eq!(ticket.status, Status::Finished);
}
