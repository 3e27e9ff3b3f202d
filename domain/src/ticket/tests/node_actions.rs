//! Tests the actions that people execute at a node.

use std::collections::BTreeMap;

use events::ticket::{
    Acknowledged, CallbackTarget, DynamicField, Escalated, Finished, FollowersChanged, Linked,
    NodeAssigned, NodeClaimed, NodeCompleted, NodeEntered, NodeReassigned, NodeStatus,
    NodeTransferred, Opened, Priority, Relation, ServiceKind, Terminated, TicketEvent,
    TransitionTaken, VoteCast,
};
use events::workflow::service_task::Executor;
use events::workflow::{Definition, FieldKind, Handling, NodeKind, Processors};
use events::{
    CategoryId, Entry, NodeId, PersonId, Remark, RoleId, ServiceId, TransitionId, WorkflowId,
};

use super::given::{
    GUEST, OTHER, OWNER, after, child_of, ended_in, open_with, opened_in, people, suspended_in, to,
    with_approval, with_branches, with_dead_end, with_manual, with_owner, with_service,
};
use super::{BOSS, Command, Context, LISI, ROOT, Rejection, Ticket};
use super::{context, context_of, definition, field, vote};
use crate::decider::{DecideError, Decider};
use crate::ticket::{Decision, FieldAt, Invalid, Lookup, MESSAGE_MAX, REMARK_MAX, reject};

/// The leader of a processor in the tests. A processor is a person who may act at a node.
const CHIEF: &str = "p-chief";

/// A function that builds a command with the given message.
type WithMessage = fn(&str) -> Command;
/// A function that builds a command for the node with the given id.
type AtNode = fn(i64) -> Command;
/// The result of a command: the new events, or the reason why the ticket returns no events.
type Outcome = Decision<Vec<TicketEvent>>;

fn submit(node: i64, by: &str, form: Vec<Entry>, reason: &str) -> Command {
    Command::Submit {
        node: NodeId(node),
        by: by.into(),
        form,
        reason: reason.into(),
    }
}

fn decide(node: i64, by: &str, pass: bool, remark: &str) -> Command {
    Command::Decide {
        node: NodeId(node),
        by: by.into(),
        pass,
        remark: remark.into(),
    }
}

fn claim(node: i64, by: &str, reason: &str) -> Command {
    Command::Claim {
        node: NodeId(node),
        by: by.into(),
        reason: reason.into(),
    }
}

fn assign(node: i64, to: Processors, message: &str) -> Command {
    Command::Assign {
        node: NodeId(node),
        by: BOSS.into(),
        to,
        message: message.into(),
    }
}

fn transfer(node: i64, to: Processors, message: &str) -> Command {
    Command::Transfer {
        node: NodeId(node),
        by: BOSS.into(),
        to,
        message: message.into(),
    }
}

fn reassign(node: i64, by: &str, to: Processors, message: &str) -> Command {
    Command::Reassign {
        node: NodeId(node),
        by: by.into(),
        to,
        message: message.into(),
    }
}

fn terminate_at(node: i64, by: &str, reason: &str) -> Command {
    Command::TerminateAt {
        node: NodeId(node),
        by: by.into(),
        reason: reason.into(),
    }
}

fn acknowledge(node: Option<i64>, by: &str, reason: &str) -> Command {
    Command::Acknowledge {
        node: node.map(NodeId),
        by: by.into(),
        reason: reason.into(),
    }
}

fn resolve(by: &str, form: Vec<Entry>, remark: &str) -> Command {
    Command::Resolve {
        by: by.into(),
        form,
        remark: remark.into(),
    }
}

fn escalate(node: Option<i64>, by: &str, reason: &str) -> Command {
    Command::Escalate {
        node: node.map(NodeId),
        by: by.into(),
        reason: reason.into(),
    }
}

fn not_allowed(by: &str, node: i64) -> Outcome {
    reject(Rejection::NotAllowed {
        by: by.into(),
        node: NodeId(node),
    })
}

fn entered(node: i64, by: &[&str], is_vote: bool) -> TicketEvent {
    TicketEvent::from(NodeEntered {
        node: NodeId(node),
        name: format!("n{node}"),
        round: 1,
        status: NodeStatus::Running,
        processors_type: "PERSON".into(),
        processors: people(by),
        automatic: false,
        executor: Executor::ApiCall,
        is_vote,
        is_sequential: false,
    })
}

fn completed(node: i64, by: &str, form: Vec<Entry>, reason: &str) -> TicketEvent {
    TicketEvent::from(NodeCompleted {
        node: NodeId(node),
        name: format!("n{node}"),
        round: 1,
        by: by.into(),
        pass: None,
        form,
        outputs: BTreeMap::new(),
        reason: Remark::new(reason),
    })
}

fn taken(transition: i64, from: i64, to: i64) -> TicketEvent {
    TicketEvent::from(TransitionTaken {
        transition: TransitionId(transition),
        name: String::new(),
        from: NodeId(from),
        to: NodeId(to),
        tested: Vec::new(),
        by: None,
        reason: Remark::default(),
    })
}

fn finished() -> TicketEvent {
    TicketEvent::from(Finished {
        approve_result: true,
        rate_by: None,
    })
}

/// Returns the event that the test person BOSS votes at node 3. The parameter `pass` is true for an
/// approval.
fn voted(pass: bool, form: Vec<Entry>, reason: &str) -> TicketEvent {
    TicketEvent::from(VoteCast {
        node: NodeId(3),
        name: "n3".into(),
        by: BOSS.into(),
        pass,
        form,
        automatic: false,
        reason: Remark::new(reason),
    })
}

fn claimed(by: &str, reason: &str) -> TicketEvent {
    TicketEvent::from(NodeClaimed {
        node: NodeId(5),
        name: "n5".into(),
        by: by.into(),
        automatic: false,
        reason: Remark::new(reason),
    })
}

fn acknowledged(node: i64, by: &str, reason: &str) -> TicketEvent {
    TicketEvent::from(Acknowledged {
        by: by.into(),
        node: NodeId(node),
        name: format!("n{node}"),
        reason: Remark::new(reason),
    })
}

/// Returns the first event that a ticket returns for a command. Returns `None` if the ticket returns no
/// event.
fn first(ticket: &Ticket, command: &Command, context: &Context) -> Option<TicketEvent> {
    ticket
        .decide(command, context)
        .expect("the ticket accepts the command")
        .into_iter()
        .next()
}

/// Returns a workflow in which the form of the submit node also has the fields `impact`, `urgency` and
/// `bk_biz_id`.
fn definition_with_more_fields() -> Definition {
    let mut definition = definition();
    for key in ["impact", "urgency", "bk_biz_id"] {
        definition.nodes[1].fields.push(key.to_owned());
        definition.fields.push(field(key, FieldKind::String, false));
    }
    definition
}

/// Returns a context (the data that a ticket decision needs) with a workflow. In this workflow, the form of
/// the approval node 3 has the optional text field `why`.
fn with_text_field() -> Context {
    let mut definition = definition();
    definition.nodes[2].fields.push("why".into());
    definition.fields.push(field("why", FieldKind::Text, false));
    context_of(definition)
}

fn waiting_for_claim() -> Context {
    with_manual(|node| node.handling = Handling::ClaimThenProcess)
}

/// Returns a context (the data that a ticket decision needs) with a workflow. At node 5, the test person BOSS
/// must assign the work to other people.
fn waiting_for_assignment(handling: Handling, processors: Processors) -> Context {
    with_manual(|node| {
        node.handling = handling;
        node.processors = processors;
        node.assignors = to(&[BOSS]);
    })
}

#[test]
fn a_minimal_ticket_is_opened_with_defaults() {
    let context = context();
    assert_eq!(
        Ticket::default().decide(&open_with(|_| ()), &context),
        Ok(vec![
            Opened {
                sn: "REQ1".into(),
                id: 1,
                kind: ServiceKind::Request,
                service: ServiceId(7),
                service_name: "s".into(),
                workflow: WorkflowId(1),
                workflow_version: 1,
                catalog: CategoryId(1),
                creator: LISI.into(),
                priority: None,
                bk_biz_id: -1,
                tag: String::new(),
                callback: None,
                seals_text: false,
                chosen_processors: BTreeMap::new(),
                agent: None,
                dynamic_fields: Vec::new(),
                names: BTreeMap::new(),
                variables: None,
                notify_config: serde_json::Value::Null,
            }
            .into(),
            entered(2, &[LISI], false),
            completed(2, LISI, vec![Entry::new("title", "t")], ""),
            taken(2, 2, 3),
            entered(3, &[BOSS, OTHER], true),
        ])
    );
    assert_eq!(
        opened_in(&context).decide(&open_with(|_| ()), &context),
        reject(Rejection::Exists)
    );
}

#[test]
fn a_complete_ticket_is_opened_with_its_whole_content() {
    let context = with_service(context_of(definition_with_more_fields()), |service| {
        service.can_ticket_agency = true;
        service.seals_text = true;
        service.kind = ServiceKind::Change;
    });
    let callback = CallbackTarget {
        host: "x.example.com".into(),
        secret: "callback-1".into(),
        on_status: true,
    };
    let dynamic = DynamicField {
        key: "d".into(),
        name: "D".into(),
        kind: "STRING".into(),
        value: "v".into(),
        meta: serde_json::Value::Null,
    };
    let names = BTreeMap::from([(
        "title".to_owned(),
        BTreeMap::from([("en".to_owned(), "Title".to_owned())]),
    )]);
    let chosen = BTreeMap::from([(NodeId(3), people(&[GUEST]))]);
    let text = |key: &str, value: &str| Entry::new(key, value).owned_by(LISI.into());
    let command = open_with(|open| {
        for (key, value) in [("impact", "1"), ("urgency", "3"), ("bk_biz_id", "2")] {
            open.form.push(Entry::new(key, value));
        }
        open.tag = "tag".into();
        open.callback = Some(callback.clone());
        open.chosen_processors.clone_from(&chosen);
        open.agent = Some(BOSS.into());
        open.dynamic_fields = vec![dynamic.clone()];
        open.names.clone_from(&names);
        open.variables = Some("variables-1".into());
        open.notify_config = serde_json::json!({ "a": 1 });
        open.from = Some("REQ0".into());
        open.attention = true;
    });
    assert_eq!(
        Ticket::default().decide(&command, &context),
        Ok(vec![
            Opened {
                sn: "REQ1".into(),
                id: 1,
                kind: ServiceKind::Change,
                service: ServiceId(7),
                service_name: "s".into(),
                workflow: WorkflowId(1),
                workflow_version: 1,
                catalog: CategoryId(1),
                creator: LISI.into(),
                priority: Some(Priority {
                    key: "2".into(),
                    impact: "1".into(),
                    urgency: "3".into(),
                }),
                bk_biz_id: 2,
                tag: "tag".into(),
                callback: Some(callback),
                seals_text: true,
                chosen_processors: chosen,
                agent: Some(BOSS.into()),
                dynamic_fields: vec![dynamic],
                names,
                variables: Some("variables-1".into()),
                notify_config: serde_json::json!({ "a": 1 }),
            }
            .into(),
            Linked {
                by: LISI.into(),
                other: "REQ0".into(),
                relation: Relation::RaisedFrom,
            }
            .into(),
            FollowersChanged {
                by: LISI.into(),
                people: people(&[LISI]),
                follows: true,
                invited: true,
            }
            .into(),
            entered(2, &[LISI], false),
            completed(
                2,
                LISI,
                vec![
                    text("title", "t"),
                    text("impact", "1"),
                    text("urgency", "3"),
                    text("bk_biz_id", "2"),
                ],
                ""
            ),
            taken(2, 2, 3),
            entered(3, &[GUEST], true),
        ])
    );
}

#[test]
fn the_priority_of_a_new_ticket_needs_impact_and_urgency() {
    let context = context_of(definition_with_more_fields());
    for (impact, urgency, key) in [
        ("1", "3", Some("2")),
        ("3", "3", Some("3")),
        ("1", "1", Some("1")),
        ("", "3", None),
        ("1", "", None),
        ("4", "1", None),
        ("0", "1", None),
    ] {
        let command = open_with(|open| {
            open.form.push(Entry::new("impact", impact));
            open.form.push(Entry::new("urgency", urgency));
        });
        let ticket = after(&Ticket::default(), &command, &context);
        let priority = key.map(|key| Priority {
            key: key.into(),
            impact: impact.into(),
            urgency: urgency.into(),
        });
        assert_eq!(
            ticket.priority(),
            priority.as_ref(),
            "impact {impact}, urgency {urgency}"
        );
    }
}

#[test]
fn the_business_of_a_new_ticket_is_a_number_in_its_form() {
    let context = context_of(definition_with_more_fields());
    for (value, expected) in [("2", 2), ("", -1), ("x", -1)] {
        let command = open_with(|open| open.form.push(Entry::new("bk_biz_id", value)));
        let ticket = after(&Ticket::default(), &command, &context);
        let stored = ticket.opened.map(|opened| opened.bk_biz_id);
        assert_eq!(stored, Some(expected), "{value}");
    }
}

#[test]
fn chosen_processors_name_a_known_node_and_at_least_one_person() {
    let context = context();
    for (node, chosen, rejection) in [
        (3, people(&[GUEST]), None),
        (
            3,
            Vec::new(),
            Some(Rejection::ChosenProcessorsEmpty {
                service: "s".into(),
                node: NodeId(3),
            }),
        ),
        (
            9,
            people(&[GUEST]),
            Some(Rejection::ChosenNodeUnknown {
                service: "s".into(),
                node: NodeId(9),
            }),
        ),
    ] {
        let command = open_with(|open| {
            open.chosen_processors.insert(NodeId(node), chosen);
        });
        let outcome = Ticket::default().decide(&command, &context);
        assert_eq!(
            outcome.err(),
            rejection.map(DecideError::<Ticket>::Rejected),
            "node {node}"
        );
    }
}

#[test]
fn an_agent_other_than_the_creator_needs_a_service_with_agency() {
    for (agent, has_agency, expected) in [
        (None, false, Ok(None)),
        (Some(LISI), false, Ok(None)),
        (Some(BOSS), false, Err(Rejection::NoAgency)),
        (None, true, Ok(None)),
        (Some(LISI), true, Ok(None)),
        (Some(BOSS), true, Ok(Some(PersonId::from(BOSS)))),
    ] {
        let context = with_service(context(), |service| service.can_ticket_agency = has_agency);
        let command = open_with(|open| open.agent = agent.map(PersonId::from));
        match expected {
            Ok(stored) => {
                let ticket = after(&Ticket::default(), &command, &context);
                let opened = ticket.opened.expect("the ticket is opened");
                assert_eq!(opened.agent, stored, "{agent:?}");
            }
            Err(rejection) => assert_eq!(
                Ticket::default().decide(&command, &context),
                reject(rejection),
                "{agent:?}"
            ),
        }
    }
}

#[test]
fn a_new_ticket_requires_the_fields_of_the_submit_node() {
    assert_eq!(
        Ticket::default().decide(&open_with(|open| open.form.clear()), &context()),
        reject(Rejection::FieldsMissing(vec!["title".into()]))
    );
}

#[test]
fn the_processors_of_the_submit_node_restrict_the_submitters() {
    let keys =
        |keys: &[&str]| -> Vec<String> { keys.iter().map(|key| (*key).to_owned()).collect() };
    let rejected = Some(Rejection::MayNotSubmit {
        by: LISI.into(),
        node: "n2".into(),
    });
    for (processors, rejection) in [
        (to(&[BOSS, LISI]), None),
        (to(&[BOSS]), rejected.clone()),
        (to(&[]), None),
        (Processors::General(vec![RoleId(5)]), None),
        (Processors::General(vec![RoleId(6)]), rejected.clone()),
        (Processors::Organization("d1".into()), None),
        (Processors::Organization("d2".into()), rejected.clone()),
        (Processors::Organization(String::new()), None),
        (Processors::Business(keys(&["ops"])), None),
        (Processors::Business(keys(&["dev"])), rejected),
        (Processors::Business(Vec::new()), None),
        (Processors::Variable(keys(&["title"])), None),
        (Processors::StarterLeader, None),
        (Processors::Starter, None),
        (Processors::Open, None),
        (Processors::Empty, None),
    ] {
        let mut definition = definition_with_more_fields();
        definition.nodes[1].processors = processors.clone();
        let mut context = context_of(definition);
        context.roles.insert(RoleId(5), people(&[LISI]));
        context.roles.insert(RoleId(6), people(&[BOSS]));
        context.departments.insert("d1".into(), people(&[LISI]));
        context.departments.insert("d2".into(), people(&[BOSS]));
        for (role, holder) in [("ops", LISI), ("dev", BOSS)] {
            context
                .business_roles
                .insert((2, role.to_owned()), people(&[holder]));
        }
        let command = open_with(|open| open.form.push(Entry::new("bk_biz_id", "2")));
        let outcome = Ticket::default().decide(&command, &context);
        assert_eq!(
            outcome.err(),
            rejection.map(DecideError::<Ticket>::Rejected),
            "{processors:?}"
        );
    }
}

#[test]
fn the_agent_and_not_the_creator_must_be_an_allowed_submitter() {
    for (allowed, rejection) in [
        (BOSS, None),
        (
            LISI,
            Some(Rejection::MayNotSubmit {
                by: BOSS.into(),
                node: "n2".into(),
            }),
        ),
    ] {
        let mut definition = definition();
        definition.nodes[1].processors = to(&[allowed]);
        let context = with_service(context_of(definition), |service| {
            service.can_ticket_agency = true;
        });
        let command = open_with(|open| open.agent = Some(BOSS.into()));
        let outcome = Ticket::default().decide(&command, &context);
        assert_eq!(
            outcome.err(),
            rejection.map(DecideError::<Ticket>::Rejected),
            "{allowed}"
        );
    }
}

#[test]
fn unknown_submitters_of_a_restricted_node_are_looked_up() {
    let mut definition = definition();
    definition.nodes[1].processors = Processors::General(vec![RoleId(9)]);
    assert_eq!(
        Ticket::default().decide(&open_with(|_| ()), &context_of(definition)),
        Err(DecideError::Needs(vec![Lookup::Role(RoleId(9))]))
    );
}

#[test]
fn a_submission_completes_a_manual_node_with_form_and_reason() {
    let context = with_manual(|node| node.fields = vec!["amount".into()]);
    let ticket = opened_in(&context);
    for (given, stored) in [("done", "done"), ("", ""), (" \u{200b}", "")] {
        let form = vec![Entry::new("amount", "5")];
        assert_eq!(
            ticket.decide(&submit(5, BOSS, form.clone(), given), &context),
            Ok(vec![
                completed(5, BOSS, form, stored),
                taken(3, 5, 4),
                finished(),
            ]),
            "{given:?}"
        );
    }
}

#[test]
fn a_submitted_vote_takes_a_missing_reason_from_its_form() {
    let context = with_text_field();
    let ticket = opened_in(&context);
    let form = vec![
        Entry::new("DECISION", "true"),
        Entry::new("why", "form text"),
    ];
    for (given, stored) in [
        ("", "form text"),
        (" ", "form text"),
        ("another text", "another text"),
    ] {
        assert_eq!(
            first(&ticket, &submit(3, BOSS, form.clone(), given), &context),
            Some(voted(true, form.clone(), stored)),
            "{given:?}"
        );
    }
}

#[test]
fn the_reason_of_a_submission_has_at_most_5000_characters() {
    for (node, form, context) in [
        (3, vec![Entry::new("DECISION", "true")], context()),
        (5, Vec::new(), with_manual(|_| ())),
    ] {
        let ticket = opened_in(&context);
        let longest = submit(node, BOSS, form.clone(), &"字".repeat(REMARK_MAX));
        assert!(ticket.decide(&longest, &context).is_ok(), "node {node}");
        let too_long = submit(node, BOSS, form, &"字".repeat(REMARK_MAX + 1));
        assert_eq!(
            ticket.decide(&too_long, &context),
            reject(Rejection::ReasonTooLong),
            "node {node}"
        );
    }
}

#[test]
fn a_submission_needs_a_complete_form() {
    let context = context();
    assert_eq!(
        opened_in(&context).decide(&submit(3, BOSS, Vec::new(), ""), &context),
        reject(Rejection::FieldsMissing(vec!["DECISION".into()]))
    );
}

#[test]
fn a_failed_vote_node_can_be_submitted_again() {
    let context = with_dead_end();
    let failed = after(&opened_in(&context), &vote("false"), &context);
    assert_eq!(failed.nodes[&NodeId(3)].status, NodeStatus::Failed);
    let finished = after(&failed, &vote("true"), &context);
    assert_eq!(finished.status_key(), "FINISHED");
}

#[test]
fn a_node_that_is_open_to_all_is_claimed_before_the_submission() {
    let context = with_manual(|node| {
        node.processors = Processors::Open;
        node.handling = Handling::ClaimThenProcess;
    });
    let ticket = opened_in(&context);
    assert_eq!(
        ticket.decide(&submit(5, GUEST, Vec::new(), ""), &context),
        not_allowed(GUEST, 5)
    );
    assert_eq!(
        ticket.decide(&claim(5, GUEST, ""), &context),
        Ok(vec![claimed(GUEST, "")])
    );
    let ticket = after(&ticket, &claim(5, GUEST, ""), &context);
    assert_eq!(
        ticket.decide(&submit(5, BOSS, Vec::new(), ""), &context),
        not_allowed(BOSS, 5)
    );
    let done = submit(5, GUEST, Vec::new(), "");
    assert!(ticket.decide(&done, &context).is_ok());
}

#[test]
fn a_decision_fills_in_the_result_and_the_remark() {
    let context = with_text_field();
    let ticket = opened_in(&context);
    let form = |result: &str| Entry::new("DECISION", result);
    let why = Entry::new("why", "fine");
    assert_eq!(
        first(&ticket, &decide(3, BOSS, true, "fine"), &context),
        Some(voted(true, vec![form("true"), why.clone()], "fine"))
    );
    assert_eq!(
        first(&ticket, &decide(3, BOSS, false, "fine"), &context),
        Some(voted(false, vec![form("false"), why], "fine"))
    );
    assert_eq!(
        first(&ticket, &decide(3, BOSS, true, " \u{200b}"), &context),
        Some(voted(true, vec![form("true")], "")),
        "a blank remark is no remark"
    );
    let context = super::context();
    let ticket = opened_in(&context);
    assert_eq!(
        first(&ticket, &decide(3, BOSS, true, "fine"), &context),
        Some(voted(true, vec![form("true")], "fine")),
        "the vote stores the remark even without a text field"
    );
}

#[test]
fn only_a_running_vote_accepts_a_decision() {
    let manual = with_manual(|_| ());
    assert_eq!(
        opened_in(&manual).decide(&decide(5, BOSS, true, ""), &manual),
        reject(Rejection::NotAnApproval(NodeId(5)))
    );
    let dead_end = with_dead_end();
    let failed = after(&opened_in(&dead_end), &vote("false"), &dead_end);
    assert_eq!(
        failed.decide(&decide(3, BOSS, true, ""), &dead_end),
        reject(Rejection::NotAnApproval(NodeId(3)))
    );
    let running = context();
    assert_eq!(
        opened_in(&running).decide(&decide(3, GUEST, true, ""), &running),
        not_allowed(GUEST, 3)
    );
}

#[test]
fn a_processor_claims_a_node_that_waits_for_a_claim() {
    let context = waiting_for_claim();
    let ticket = opened_in(&context);
    for by in [BOSS, OTHER] {
        assert_eq!(
            ticket.decide(&claim(5, by, "mine"), &context),
            Ok(vec![claimed(by, "mine")])
        );
    }
    assert_eq!(
        ticket.decide(&claim(5, GUEST, ""), &context),
        not_allowed(GUEST, 5)
    );
    let ticket = after(&ticket, &claim(5, OTHER, ""), &context);
    for by in [BOSS, OTHER] {
        assert_eq!(
            ticket.decide(&claim(5, by, ""), &context),
            not_allowed(by, 5),
            "the node is claimed already"
        );
    }
}

#[test]
fn a_vote_is_neither_claimed_nor_assigned() {
    let context = context();
    let ticket = opened_in(&context);
    assert_eq!(
        ticket.decide(&claim(3, BOSS, ""), &context),
        reject(Rejection::NotClaimable(NodeId(3)))
    );
    assert_eq!(
        ticket.decide(&assign(3, to(&[GUEST]), ""), &context),
        reject(Rejection::NotDistributable(NodeId(3)))
    );
}

#[test]
fn handling_and_number_of_assigned_people_determine_the_status() {
    let (process, claim) = (
        Handling::DistributeThenProcess,
        Handling::DistributeThenClaim,
    );
    for (handling, named, status) in [
        (process, vec![GUEST], NodeStatus::Running),
        (process, vec![GUEST, LISI], NodeStatus::Running),
        (claim, vec![GUEST], NodeStatus::Running),
        (claim, vec![GUEST, GUEST], NodeStatus::Running),
        (claim, vec![GUEST, LISI], NodeStatus::Receiving),
        (claim, vec![GUEST, LISI, BOSS], NodeStatus::Receiving),
    ] {
        let context = waiting_for_assignment(handling, Processors::ByAssignor);
        let ticket = opened_in(&context);
        let mut processors = people(&named);
        processors.dedup();
        assert_eq!(
            ticket.decide(&assign(5, to(&named), "m"), &context),
            Ok(vec![
                NodeAssigned {
                    node: NodeId(5),
                    name: "n5".into(),
                    by: BOSS.into(),
                    status,
                    processors_type: "PERSON".into(),
                    processors,
                    message: Remark::new("m"),
                }
                .into()
            ]),
            "{handling:?} {named:?}"
        );
    }
}

#[test]
fn an_assignment_stays_within_the_configured_processors() {
    let outside = |ids: &[&str]| Some(Rejection::TargetsOutOfRange(people(ids)));
    for (processors, named, rejection) in [
        (to(&[BOSS, LISI]), to(&[LISI]), None),
        (
            to(&[BOSS]),
            to(&[GUEST, BOSS, LISI]),
            outside(&[GUEST, LISI]),
        ),
        (Processors::Starter, to(&[BOSS]), outside(&[BOSS])),
        (Processors::Starter, Processors::Starter, None),
        (Processors::ByAssignor, to(&[GUEST]), None),
        (Processors::Open, to(&[GUEST]), None),
        (Processors::Empty, to(&[GUEST]), None),
        (
            Processors::Empty,
            to(&[]),
            Some(Rejection::NoProcessorGiven),
        ),
        (
            Processors::Empty,
            Processors::General(Vec::new()),
            Some(Rejection::NoProcessorGiven),
        ),
        (
            Processors::Empty,
            Processors::Open,
            Some(Rejection::TargetKindNotAllowed),
        ),
        (
            Processors::Empty,
            Processors::StarterLeader,
            Some(Rejection::TargetKindNotAllowed),
        ),
    ] {
        let context = waiting_for_assignment(Handling::DistributeThenProcess, processors.clone());
        let command = assign(5, named.clone(), "");
        let outcome = opened_in(&context).decide(&command, &context);
        assert_eq!(
            outcome.err(),
            rejection.map(DecideError::<Ticket>::Rejected),
            "{named:?} of {processors:?}"
        );
    }
}

#[test]
fn an_assignment_looks_up_the_people_of_its_rules() {
    let role = |id| Processors::General(vec![RoleId(id)]);
    let mut context = waiting_for_assignment(Handling::DistributeThenProcess, role(5));
    let ticket = opened_in(&context);
    let command = assign(5, role(6), "");
    assert_eq!(
        ticket.decide(&command, &context),
        Err(DecideError::Needs(vec![Lookup::Role(RoleId(6))]))
    );
    context.roles.insert(RoleId(6), people(&[GUEST]));
    assert_eq!(
        ticket.decide(&command, &context),
        Err(DecideError::Needs(vec![Lookup::Role(RoleId(5))]))
    );
    context.roles.insert(RoleId(5), people(&[GUEST, LISI]));
    assert_eq!(
        ticket.decide(&command, &context),
        Ok(vec![
            NodeAssigned {
                node: NodeId(5),
                name: "n5".into(),
                by: BOSS.into(),
                status: NodeStatus::Running,
                processors_type: "GENERAL".into(),
                processors: people(&[GUEST]),
                message: Remark::default(),
            }
            .into()
        ])
    );
}

#[test]
fn a_transfer_replaces_the_voter_only_if_every_processor_votes() {
    let sign = with_approval(|node| {
        node.kind = NodeKind::Sign;
        node.outputs.clear();
    });
    for (node, context, replaces) in [
        (3, context(), None),
        (3, with_approval(|node| node.is_multi = true), Some(BOSS)),
        (3, sign, Some(BOSS)),
        (5, with_manual(|_| ()), None),
    ] {
        assert_eq!(
            opened_in(&context).decide(&transfer(node, to(&[GUEST, LISI]), "m"), &context),
            Ok(vec![
                NodeTransferred {
                    node: NodeId(node),
                    name: format!("n{node}"),
                    by: BOSS.into(),
                    processors_type: "PERSON".into(),
                    processors: people(&[GUEST, LISI]),
                    replaces: replaces.map(PersonId::from),
                    message: Remark::new("m"),
                }
                .into()
            ]),
            "node {node}"
        );
    }
}

#[test]
fn a_transfer_stays_within_the_configured_targets() {
    let outside = |ids: &[&str]| Some(Rejection::TargetsOutOfRange(people(ids)));
    for (delivers, named, rejection) in [
        (Processors::Empty, to(&[GUEST]), None),
        (Processors::Open, to(&[GUEST]), None),
        (to(&[GUEST]), to(&[GUEST]), None),
        (to(&[GUEST]), to(&[GUEST, LISI]), outside(&[LISI])),
        (Processors::ByAssignor, to(&[LISI]), outside(&[LISI])),
        (
            Processors::Empty,
            to(&[]),
            Some(Rejection::NoProcessorGiven),
        ),
        (
            Processors::Empty,
            Processors::Empty,
            Some(Rejection::TargetKindNotAllowed),
        ),
    ] {
        let context = with_approval(|node| node.delivers = delivers.clone());
        let outcome = opened_in(&context).decide(&transfer(3, named.clone(), "m"), &context);
        assert_eq!(
            outcome.err(),
            rejection.map(DecideError::<Ticket>::Rejected),
            "{named:?} of {delivers:?}"
        );
    }
    let role = Processors::General(vec![RoleId(5)]);
    let context = with_approval(|node| node.delivers = role);
    assert_eq!(
        opened_in(&context).decide(&transfer(3, to(&[GUEST]), "m"), &context),
        Err(DecideError::Needs(vec![Lookup::Role(RoleId(5))]))
    );
}

#[test]
fn a_transfer_needs_a_message_and_a_running_transferable_node() {
    let fixed = with_approval(|node| node.can_deliver = false);
    assert_eq!(
        opened_in(&fixed).decide(&transfer(3, to(&[GUEST]), "m"), &fixed),
        reject(Rejection::DeliverNotAllowed("n3".into()))
    );
    let dead_end = with_dead_end();
    let failed = after(&opened_in(&dead_end), &vote("false"), &dead_end);
    assert_eq!(
        failed.decide(&transfer(3, to(&[GUEST]), "m"), &dead_end),
        reject(Rejection::NotDeliverable)
    );
    let context = context();
    for blank in ["", " \u{3000}"] {
        assert_eq!(
            opened_in(&context).decide(&transfer(3, to(&[GUEST]), blank), &context),
            reject(Rejection::DeliverMessageMissing)
        );
    }
}

#[test]
fn a_voter_gets_no_second_vote_by_transfer_or_reassignment() {
    let context = with_approval(|node| node.is_multi = true);
    let form = vec![Entry::new("DECISION", "true")];
    let ticket = after(&opened_in(&context), &submit(3, OTHER, form, ""), &context);
    for command in [
        transfer(3, to(&[GUEST, OTHER]), "m"),
        reassign(3, ROOT, to(&[GUEST, OTHER]), "m"),
    ] {
        assert_eq!(
            ticket.decide(&command, &context),
            reject(Rejection::AlreadyDecided(people(&[OTHER]))),
            "{command:?}"
        );
    }
    for command in [
        transfer(3, to(&[GUEST, BOSS]), "m"),
        reassign(3, ROOT, to(&[GUEST, BOSS]), "m"),
    ] {
        let outcome = ticket.decide(&command, &context);
        assert!(outcome.is_ok(), "{command:?}: {outcome:?}");
    }
}

#[test]
fn managers_reassign_a_node_to_any_people() {
    let limited = with_manual(|node| {
        node.handling = Handling::ClaimThenProcess;
        node.delivers = to(&[BOSS]);
        node.can_deliver = false;
    });
    let context = with_owner(limited);
    let ticket = opened_in(&context);
    for by in [OWNER, ROOT] {
        assert_eq!(
            ticket.decide(&reassign(5, by, to(&[GUEST, LISI]), "m"), &context),
            Ok(vec![
                NodeReassigned {
                    node: NodeId(5),
                    name: "n5".into(),
                    by: by.into(),
                    processors_type: "PERSON".into(),
                    processors: people(&[GUEST, LISI]),
                    message: Remark::new("m"),
                }
                .into()
            ]),
            "{by}"
        );
    }
    for by in [LISI, BOSS, GUEST] {
        assert_eq!(
            ticket.decide(&reassign(5, by, to(&[GUEST]), "m"), &context),
            reject(Rejection::NotAllowedOnTicket(by.into())),
            "{by}"
        );
    }
    assert_eq!(
        ticket.decide(&reassign(5, ROOT, to(&[]), "m"), &context),
        reject(Rejection::NoProcessorGiven)
    );
    assert_eq!(
        ticket.decide(&reassign(5, ROOT, Processors::Open, "m"), &context),
        reject(Rejection::TargetKindNotAllowed)
    );
}

#[test]
fn a_processor_terminates_the_ticket_at_a_running_terminable_node() {
    for (node, context) in [(3, context()), (5, with_manual(|_| ()))] {
        let ticket = opened_in(&context);
        assert_eq!(
            ticket.decide(&terminate_at(node, BOSS, "r"), &context),
            Ok(vec![
                Terminated {
                    by: BOSS.into(),
                    node: Some(NodeId(node)),
                    node_name: format!("n{node}"),
                    reason: Remark::new("r"),
                    approve_result: false,
                }
                .into()
            ])
        );
        for blank in ["", " \u{3000}"] {
            assert_eq!(
                ticket.decide(&terminate_at(node, BOSS, blank), &context),
                reject(Rejection::TerminateReasonMissing)
            );
        }
    }
    let fixed = with_approval(|node| node.is_terminable = false);
    let dead_end = with_dead_end();
    let failed = after(&opened_in(&dead_end), &vote("false"), &dead_end);
    for (ticket, context) in [(opened_in(&fixed), fixed), (failed, dead_end)] {
        assert_eq!(
            ticket.decide(&terminate_at(3, BOSS, "r"), &context),
            reject(Rejection::TerminateNotAllowed("n3".into()))
        );
    }
}

#[test]
fn an_acknowledgement_claims_a_node_that_waits_for_a_claim() {
    let context = waiting_for_claim();
    let ticket = opened_in(&context);
    for node in [None, Some(5)] {
        assert_eq!(
            ticket.decide(&acknowledge(node, BOSS, "r"), &context),
            Ok(vec![claimed(BOSS, "r")]),
            "{node:?}"
        );
    }
}

#[test]
fn a_repeated_acknowledgement_adds_no_event() {
    let context = context();
    let ticket = opened_in(&context);
    for node in [None, Some(3)] {
        let command = acknowledge(node, BOSS, "r");
        assert_eq!(
            ticket.decide(&command, &context),
            Ok(vec![acknowledged(3, BOSS, "r")]),
            "{node:?}"
        );
        let ticket = after(&ticket, &command, &context);
        for by in [BOSS, OTHER] {
            assert_eq!(
                ticket.decide(&acknowledge(node, by, ""), &context),
                Ok(Vec::new()),
                "{node:?} {by}"
            );
        }
    }
}

#[test]
fn an_acknowledgement_prefers_a_node_without_acknowledgement() {
    let context = with_branches(|_, _| ());
    let ticket = opened_in(&context);
    let command = acknowledge(None, BOSS, "");
    assert_eq!(
        ticket.decide(&command, &context),
        Ok(vec![acknowledged(5, BOSS, "")])
    );
    let ticket = after(&ticket, &command, &context);
    assert_eq!(
        ticket.decide(&command, &context),
        Ok(vec![acknowledged(6, BOSS, "")])
    );
    let ticket = after(&ticket, &command, &context);
    assert_eq!(ticket.decide(&command, &context), Ok(Vec::new()));
}

#[test]
fn an_acknowledgement_prefers_a_node_in_process_to_an_assignment() {
    let context = with_branches(|first, _| {
        first.handling = Handling::DistributeThenProcess;
        first.assignors = to(&[BOSS]);
    });
    let ticket = opened_in(&context);
    assert_eq!(
        ticket.decide(&acknowledge(None, BOSS, ""), &context),
        Ok(vec![acknowledged(6, BOSS, "")])
    );
    assert_eq!(
        ticket.decide(&acknowledge(Some(5), BOSS, ""), &context),
        Ok(vec![acknowledged(5, BOSS, "")])
    );
}

#[test]
fn only_a_processor_acknowledges_and_resolves() {
    let context = context();
    let ticket = opened_in(&context);
    assert_eq!(
        ticket.decide(&acknowledge(Some(3), GUEST, ""), &context),
        not_allowed(GUEST, 3)
    );
    for command in [acknowledge(None, GUEST, ""), resolve(GUEST, Vec::new(), "")] {
        assert_eq!(
            ticket.decide(&command, &context),
            reject(Rejection::NotAllowedOnTicket(GUEST.into())),
            "{command:?}"
        );
        assert_eq!(
            ended_in(&context).decide(&command, &context),
            reject(Rejection::Ended),
            "{command:?}"
        );
        assert_eq!(
            Ticket::default().decide(&command, &context),
            reject(Rejection::Unknown),
            "{command:?}"
        );
    }
}

#[test]
fn resolving_a_vote_passes_it_unless_a_form_is_given() {
    let context = with_text_field();
    let ticket = opened_in(&context);
    let result = |pass: &str| Entry::new("DECISION", pass);
    assert_eq!(
        first(&ticket, &resolve(BOSS, Vec::new(), "ok"), &context),
        Some(voted(
            true,
            vec![result("true"), Entry::new("why", "ok")],
            "ok"
        ))
    );
    assert_eq!(
        first(
            &ticket,
            &resolve(BOSS, vec![result("false")], "no"),
            &context
        ),
        Some(voted(false, vec![result("false")], "no"))
    );
}

#[test]
fn resolving_a_manual_node_submits_the_form_with_defaults() {
    let mut amount = field("amount", FieldKind::Int, true);
    amount.default = "7".into();
    let mut context = with_manual(|node| node.fields = vec!["amount".into()]);
    for deployed in context.workflows.values_mut().flatten() {
        let mut changed = (**deployed).clone();
        changed.definition.fields[1] = amount.clone();
        changed.definition.nodes[1].fields = vec!["title".into()];
        *deployed = changed.into();
    }
    let ticket = opened_in(&context);
    for (given, stored) in [(Vec::new(), "7"), (vec![Entry::new("amount", "5")], "5")] {
        assert_eq!(
            ticket.decide(&resolve(BOSS, given, "done"), &context),
            Ok(vec![
                completed(5, BOSS, vec![Entry::new("amount", stored)], "done"),
                taken(3, 5, 4),
                finished(),
            ])
        );
    }
}

#[test]
fn a_node_that_the_workflow_lacks_cannot_be_resolved() {
    let context = with_manual(|_| ());
    let ticket = opened_in(&super::context());
    assert_eq!(
        ticket.decide(&resolve(BOSS, Vec::new(), ""), &context),
        reject(Rejection::NodeUnknown(NodeId(3)))
    );
}

#[test]
fn the_node_to_resolve_is_in_process_if_possible() {
    let by = PersonId::from(BOSS);
    let both_in_process = with_branches(|_, _| ());
    let first_unclaimed = with_branches(|first, _| first.handling = Handling::ClaimThenProcess);
    let both_unclaimed = with_branches(|first, second| {
        first.handling = Handling::ClaimThenProcess;
        second.handling = Handling::ClaimThenProcess;
    });
    let first_of_others = with_branches(|first, _| first.processors = to(&[GUEST]));
    let first_failed = with_branches(|first, second| {
        first.kind = NodeKind::Webhook;
        second.handling = Handling::ClaimThenProcess;
    });
    let only_failed = with_branches(|first, second| {
        first.kind = NodeKind::Webhook;
        second.processors = to(&[GUEST]);
    });
    for (name, context, node) in [
        ("both in process", both_in_process, 5),
        ("the first unclaimed", first_unclaimed, 6),
        ("both unclaimed", both_unclaimed, 5),
        ("the first of other people", first_of_others, 6),
        ("the first failed automatically", first_failed, 6),
        ("only a failed automatic node", only_failed, 5),
    ] {
        let ticket = opened_in(&context);
        assert_eq!(ticket.where_to_resolve(&by), Ok(NodeId(node)), "{name}");
    }
}

/// Returns a copy of a context (the data that a ticket decision needs). In the copy, the people BOSS and OTHER
/// have the given leaders, and the service has the given owners.
fn with_leaders(leaders: [Option<&str>; 2], owners: &[&str], context: Context) -> Context {
    let mut context = with_service(context, |service| service.owners = people(owners));
    for (pid, leader) in [BOSS, OTHER].into_iter().zip(leaders) {
        context
            .leaders
            .insert(pid.into(), leader.map(PersonId::from));
    }
    context
}

#[test]
fn an_escalation_adds_new_leaders_or_else_new_owners() {
    for (leaders, owners, added) in [
        ([Some(CHIEF), Some(GUEST)], vec![OWNER], vec![CHIEF, GUEST]),
        ([Some(CHIEF), Some(CHIEF)], vec![OWNER], vec![CHIEF]),
        ([Some(OTHER), Some(CHIEF)], vec![], vec![CHIEF]),
        ([Some(OTHER), None], vec![OWNER, BOSS], vec![OWNER]),
        ([None, None], vec![OWNER, CHIEF], vec![OWNER, CHIEF]),
    ] {
        let context = with_leaders(leaders, &owners, context());
        let ticket = opened_in(&context);
        for node in [None, Some(3)] {
            assert_eq!(
                ticket.decide(&escalate(node, LISI, "r"), &context),
                Ok(vec![
                    Escalated {
                        by: LISI.into(),
                        node: NodeId(3),
                        name: "n3".into(),
                        level: 1,
                        processors: people(&added),
                        reason: Remark::new("r"),
                    }
                    .into()
                ]),
                "{leaders:?} {owners:?}"
            );
        }
    }
    for (leaders, owners) in [
        ([None, None], vec![]),
        ([None, Some(BOSS)], vec![BOSS, OTHER]),
    ] {
        let context = with_leaders(leaders, &owners, context());
        assert_eq!(
            opened_in(&context).decide(&escalate(None, LISI, "r"), &context),
            reject(Rejection::NoEscalationTarget),
            "{leaders:?} {owners:?}"
        );
    }
}

#[test]
fn a_second_escalation_has_level_two_and_looks_up_the_new_leader() {
    let mut context = with_leaders([Some(CHIEF), None], &[], context());
    let command = escalate(None, LISI, "");
    let ticket = after(&opened_in(&context), &command, &context);
    assert_eq!(
        ticket.decide(&command, &context),
        Err(DecideError::Needs(vec![Lookup::Leader(CHIEF.into())]))
    );
    context.leaders.insert(CHIEF.into(), Some(GUEST.into()));
    assert_eq!(
        ticket.decide(&command, &context),
        Ok(vec![
            Escalated {
                by: LISI.into(),
                node: NodeId(3),
                name: "n3".into(),
                level: 2,
                processors: people(&[GUEST]),
                reason: Remark::default(),
            }
            .into()
        ])
    );
}

#[test]
fn an_escalation_without_a_node_takes_the_first_current_node() {
    let context = with_leaders([Some(CHIEF), None], &[], with_branches(|_, _| ()));
    let mut ticket = opened_in(&context);
    for node in [5, 6] {
        assert_eq!(
            first(&ticket, &escalate(None, LISI, ""), &context),
            Some(
                Escalated {
                    by: LISI.into(),
                    node: NodeId(node),
                    name: format!("n{node}"),
                    level: 1,
                    processors: people(&[CHIEF]),
                    reason: Remark::default(),
                }
                .into()
            )
        );
        ticket = after(&ticket, &submit(node, BOSS, Vec::new(), ""), &context);
    }
    assert_eq!(
        ticket.decide(&escalate(None, LISI, ""), &context),
        reject(Rejection::Ended)
    );
}

#[test]
fn people_who_may_see_the_ticket_escalate_it() {
    let context = with_leaders([Some(CHIEF), None], &[OWNER], context());
    let ticket = opened_in(&context);
    for by in [LISI, BOSS, OTHER, OWNER, ROOT] {
        let outcome = ticket.decide(&escalate(Some(3), by, ""), &context);
        assert!(outcome.is_ok(), "{by}: {outcome:?}");
    }
    assert_eq!(
        ticket.decide(&escalate(Some(3), GUEST, ""), &context),
        not_allowed(GUEST, 3)
    );
}

#[test]
fn open_nodes_and_countersigns_are_not_escalated() {
    let sign = with_approval(|node| {
        node.kind = NodeKind::Sign;
        node.outputs.clear();
    });
    for (node, context, is_escalated) in [
        (3, context(), true),
        (3, with_approval(|node| node.is_multi = true), false),
        (3, sign, false),
        (5, with_manual(|_| ()), true),
        (5, with_manual(|node| node.is_multi = true), true),
        (
            5,
            with_manual(|node| node.processors = Processors::Open),
            false,
        ),
    ] {
        let context = with_leaders([Some(CHIEF), None], &[OWNER], context);
        let outcome = opened_in(&context).decide(&escalate(Some(node), LISI, ""), &context);
        if is_escalated {
            assert!(outcome.is_ok(), "node {node}: {outcome:?}");
        } else {
            assert_eq!(
                outcome,
                reject(Rejection::NotEscalatable(format!("n{node}")))
            );
        }
    }
}

#[test]
fn messages_have_at_most_255_characters() {
    let voting = with_leaders([Some(CHIEF), None], &[], context());
    let claiming = waiting_for_claim();
    let assigning = waiting_for_assignment(Handling::DistributeThenProcess, Processors::ByAssignor);
    let table: [(&Context, WithMessage); 8] = [
        (&claiming, |message| claim(5, BOSS, message)),
        (&claiming, |message| acknowledge(None, BOSS, message)),
        (&assigning, |message| assign(5, to(&[GUEST]), message)),
        (&voting, |message| transfer(3, to(&[GUEST]), message)),
        (&voting, |message| reassign(3, ROOT, to(&[GUEST]), message)),
        (&voting, |message| terminate_at(3, BOSS, message)),
        (&voting, |message| acknowledge(None, BOSS, message)),
        (&voting, |message| escalate(None, BOSS, message)),
    ];
    for (context, command) in table {
        let ticket = opened_in(context);
        let longest = command(&"字".repeat(MESSAGE_MAX));
        let outcome = ticket.decide(&longest, context);
        assert!(outcome.is_ok(), "{longest:?}: {outcome:?}");
        let too_long = command(&"字".repeat(MESSAGE_MAX + 1));
        assert_eq!(
            ticket.decide(&too_long, context),
            reject(Rejection::MessageTooLong),
            "{too_long:?}"
        );
    }
}

/// Functions that each build a command for one node. The ticket accepts each command only if the node has a
/// suitable status.
const OPERATIONS: [AtNode; 9] = [
    |node| submit(node, BOSS, vec![Entry::new("DECISION", "true")], ""),
    |node| decide(node, BOSS, true, ""),
    |node| claim(node, BOSS, ""),
    |node| assign(node, to(&[GUEST]), ""),
    |node| transfer(node, to(&[GUEST]), "m"),
    |node| reassign(node, ROOT, to(&[GUEST]), ""),
    |node| terminate_at(node, BOSS, "r"),
    |node| acknowledge(Some(node), BOSS, ""),
    |node| escalate(Some(node), BOSS, ""),
];

#[test]
fn operations_need_a_current_node_of_an_independent_ticket() {
    let context = context();
    let ticket = opened_in(&context);
    let (child, ended) = (child_of("REQ2", &ticket), ended_in(&context));
    for operation in OPERATIONS {
        for (ticket, node, rejection) in [
            (&Ticket::default(), 3, Rejection::Unknown),
            (&ticket, 2, Rejection::NodeFinished(NodeId(2))),
            (&ticket, 9, Rejection::NodeUnknown(NodeId(9))),
            (&child, 3, Rejection::IsChild),
            (&ended, 3, Rejection::Ended),
        ] {
            let command = operation(node);
            assert_eq!(
                ticket.decide(&command, &context),
                reject(rejection),
                "{command:?}"
            );
        }
    }
}

#[test]
fn a_suspended_ticket_accepts_no_operation_at_a_node() {
    let context = with_leaders([Some(CHIEF), None], &[], context());
    let ticket = suspended_in(&context);
    for operation in OPERATIONS {
        let command = operation(3);
        assert_eq!(
            ticket.decide(&command, &context),
            reject(Rejection::Suspended),
            "{command:?}"
        );
    }
    let context = waiting_for_claim();
    assert_eq!(
        suspended_in(&context).decide(&acknowledge(None, BOSS, ""), &context),
        reject(Rejection::Suspended)
    );
}

#[test]
fn other_people_than_the_processors_execute_no_operation() {
    let context = context();
    let ticket = opened_in(&context);
    for command in [
        submit(3, GUEST, vec![Entry::new("DECISION", "true")], ""),
        decide(3, LISI, true, ""),
        claim(3, ROOT, ""),
        terminate_at(3, GUEST, "r"),
        acknowledge(Some(3), ROOT, ""),
    ] {
        let by = command.by().cloned().unwrap_or_default();
        assert_eq!(
            ticket.decide(&command, &context),
            not_allowed(by.as_str(), 3),
            "{command:?}"
        );
    }
}

#[test]
fn unregistered_people_in_an_accepted_command_are_rejected() {
    let context = context();
    let ticket = opened_in(&context);
    let unknown = PersonId::unknown("x");
    let targets = Processors::Person(vec![GUEST.into(), unknown.clone()]);
    assert_eq!(
        ticket.decide(&transfer(3, targets.clone(), "m"), &context),
        reject(Rejection::UnknownPerson(unknown))
    );
    assert_eq!(
        ticket.decide(&transfer(3, targets, ""), &context),
        reject(Rejection::DeliverMessageMissing),
        "another reason is returned first"
    );
}

#[test]
fn the_values_of_a_submission_are_checked() {
    let context = with_manual(|node| node.fields = vec!["amount".into()]);
    let form = vec![Entry::new("amount", "x")];
    assert_eq!(
        opened_in(&context).decide(&submit(5, BOSS, form, ""), &context),
        reject(Rejection::FieldInvalid {
            at: FieldAt {
                key: "amount".into(),
                name: "amount".into(),
            },
            reason: Invalid::NotANumber,
        })
    );
}
