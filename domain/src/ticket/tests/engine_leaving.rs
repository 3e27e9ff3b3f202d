//! Tests the transitions that a ticket follows when it leaves a node. The tests check conditions and the
//! values that a condition can use. They also check parallel gateways and join nodes (the nodes at which
//! branches begin and end).

use events::ticket::{BranchJoined, BranchesStarted};
use serde_json::Value;

use super::engine::{
    Desk, assert_events, closed, completed, entered, finished, graph, manual, missing_transition,
    opening, straight, submit, taken,
};
use super::*;
use crate::condition::Found;
use crate::ticket::engine::find;
use crate::workflow::import::equals;

/// Returns a conditional transition from the node `from` to the node `to`. The condition is true if the form
/// field `amount` has the value in the parameter `amount`.
fn if_amount(id: i64, from: i64, to: i64, amount: &str) -> Transition {
    Transition {
        condition: Some(equals("amount", amount)),
        ..transition(id, from, to, None)
    }
}

/// Returns one evaluated comparison in the form in which an event stores the comparison. The comparison tests
/// whether the field `amount` is equal to `expected`.
fn tested(id: i64, expected: &str, found: &str) -> Tested {
    Tested {
        transition: TransitionId(id),
        clause: format!("amount == {expected}"),
        found: found.into(),
        holds: expected == found,
    }
}

fn started(id: i64, branches: &[i64]) -> BranchesStarted {
    BranchesStarted {
        node: NodeId(id),
        name: format!("n{id}"),
        branches: branches.iter().copied().map(TransitionId).collect(),
    }
}

fn joined(id: i64, fork: i64, branch: i64, waiting_for: &[i64]) -> BranchJoined {
    BranchJoined {
        node: NodeId(id),
        name: format!("n{id}"),
        fork: NodeId(fork),
        branch: TransitionId(branch),
        waiting_for: waiting_for.iter().copied().map(TransitionId).collect(),
    }
}

/// Returns the events that the test expects when the test person BOSS completes a manual node (a node at which
/// people fill in a form). The ticket then follows the default transition (the transition without a condition)
/// to the node `to`. In these tests, this transition has the same id as the node.
fn passed(id: i64, to: i64) -> Vec<TicketEvent> {
    vec![completed(id, BOSS).into(), taken(id, id, to).into()]
}

#[test]
fn a_gateway_takes_the_first_transition_that_matches() {
    let nodes = vec![
        node(3, NodeKind::Router, &[]),
        manual(4, &[BOSS]),
        manual(5, &[BOSS]),
    ];
    // The default transition (the transition without a condition) is tested last, even if its id is the
    // lowest id.
    let transitions = vec![
        transition(2, 2, 3, None),
        transition(30, 3, 9, None),
        if_amount(31, 3, 4, "1"),
        if_amount(32, 3, 5, "2"),
        if_amount(33, 3, 4, "2"),
    ];
    for (amount, mut last, after) in [
        ("1", taken(31, 3, 4), TicketEvent::from(entered(4, &[BOSS]))),
        ("2", taken(32, 3, 5), entered(5, &[BOSS]).into()),
        ("3", taken(30, 3, 9), finished(true).into()),
    ] {
        let all = [
            tested(31, "1", amount),
            tested(32, "2", amount),
            tested(33, "2", amount),
        ];
        let count = match amount {
            "1" => 1,
            "2" => 2,
            _ => 3,
        };
        last.tested = all[..count].to_vec();
        let mut desk = Desk::new(graph(nodes.clone(), transitions.clone()));
        assert_events(
            &desk.open(opening(&[("amount", amount)])),
            &[taken(2, 2, 3).into(), last.into(), after],
        );
    }
}

#[test]
fn a_gateway_without_matching_transition_waits() {
    for kind in [NodeKind::Router, NodeKind::Parallel] {
        let transitions = vec![
            transition(2, 2, 3, None),
            if_amount(31, 3, 4, "1"),
            if_amount(32, 3, 4, "2"),
        ];
        let nodes = vec![node(3, kind, &[]), manual(4, &[BOSS])];
        let mut desk = Desk::new(graph(nodes, transitions));
        assert_events(
            &desk.open(opening(&[("amount", "3")])),
            &[
                taken(2, 2, 3).into(),
                missing_transition(3, vec![tested(31, "1", "3"), tested(32, "2", "3")]).into(),
            ],
        );
    }
}

#[test]
fn a_parallel_gateway_takes_every_transition_that_matches() {
    let nodes = vec![
        node(3, NodeKind::Parallel, &[]),
        manual(4, &[BOSS]),
        manual(5, &[BOSS]),
        manual(6, &[BOSS]),
        node(7, NodeKind::Coverage, &[]),
    ];
    let transitions = vec![
        transition(2, 2, 3, None),
        transition(30, 3, 6, None),
        if_amount(31, 3, 4, "1"),
        if_amount(32, 3, 5, "2"),
        transition(4, 4, 7, None),
        transition(5, 5, 7, None),
        transition(6, 6, 7, None),
        transition(7, 7, 9, None),
    ];
    let mut desk = Desk::new(graph(nodes, transitions));
    assert_events(
        &desk.open(opening(&[("amount", "2")])),
        &[
            taken(2, 2, 3).into(),
            started(3, &[32, 30]).into(),
            TransitionTaken {
                tested: vec![tested(32, "2", "2")],
                ..taken(32, 3, 5)
            }
            .into(),
            taken(30, 3, 6).into(),
            entered(5, &[BOSS]).into(),
            entered(6, &[BOSS]).into(),
        ],
    );
    let mut expected = passed(6, 7);
    expected.push(joined(7, 3, 30, &[32]).into());
    assert_eq!(desk.act(&submit(6, BOSS, &[], "")), expected);
    let mut expected = passed(5, 7);
    expected.push(joined(7, 3, 32, &[]).into());
    expected.push(taken(7, 7, 9).into());
    expected.push(finished(true).into());
    assert_eq!(desk.act(&submit(5, BOSS, &[], "")), expected);
}

#[test]
fn a_branch_joins_under_its_first_transition() {
    let nodes = vec![
        node(3, NodeKind::Parallel, &[]),
        manual(4, &[BOSS]),
        manual(5, &[BOSS]),
        manual(6, &[BOSS]),
        node(7, NodeKind::Coverage, &[]),
    ];
    let transitions = vec![
        transition(2, 2, 3, None),
        transition(31, 3, 4, None),
        transition(32, 3, 7, None),
        transition(33, 3, 6, None),
        transition(4, 4, 5, None),
        transition(5, 5, 7, None),
        transition(6, 6, 7, None),
        transition(7, 7, 9, None),
    ];
    let mut desk = Desk::new(graph(nodes, transitions));
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            started(3, &[31, 32, 33]).into(),
            taken(31, 3, 4).into(),
            taken(32, 3, 7).into(),
            taken(33, 3, 6).into(),
            entered(4, &[BOSS]).into(),
            joined(7, 3, 32, &[31, 33]).into(),
            entered(6, &[BOSS]).into(),
        ],
    );
    let mut expected = passed(4, 5);
    expected.push(entered(5, &[BOSS]).into());
    assert_eq!(desk.act(&submit(4, BOSS, &[], "")), expected);
    let mut expected = passed(5, 7);
    expected.push(joined(7, 3, 31, &[33]).into());
    assert_eq!(desk.act(&submit(5, BOSS, &[], "")), expected);
    let mut expected = passed(6, 7);
    expected.push(joined(7, 3, 33, &[]).into());
    expected.push(taken(7, 7, 9).into());
    expected.push(finished(true).into());
    assert_eq!(desk.act(&submit(6, BOSS, &[], "")), expected);
}

#[test]
fn an_inner_join_continues_the_outer_branch() {
    let nodes = vec![
        node(3, NodeKind::Parallel, &[]),
        node(4, NodeKind::Parallel, &[]),
        manual(5, &[BOSS]),
        manual(6, &[BOSS]),
        node(7, NodeKind::Coverage, &[]),
        node(8, NodeKind::Coverage, &[]),
        manual(10, &[BOSS]),
    ];
    let transitions = vec![
        transition(2, 2, 3, None),
        transition(31, 3, 4, None),
        transition(32, 3, 10, None),
        transition(41, 4, 5, None),
        transition(42, 4, 6, None),
        transition(5, 5, 7, None),
        transition(6, 6, 7, None),
        transition(7, 7, 8, None),
        transition(10, 10, 8, None),
        transition(8, 8, 9, None),
    ];
    let mut desk = Desk::new(graph(nodes, transitions));
    // The ticket enters all nodes of one branch before it enters the nodes of the next branch.
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            started(3, &[31, 32]).into(),
            taken(31, 3, 4).into(),
            taken(32, 3, 10).into(),
            started(4, &[41, 42]).into(),
            taken(41, 4, 5).into(),
            taken(42, 4, 6).into(),
            entered(5, &[BOSS]).into(),
            entered(6, &[BOSS]).into(),
            entered(10, &[BOSS]).into(),
        ],
    );
    let mut expected = passed(5, 7);
    expected.push(joined(7, 4, 41, &[42]).into());
    assert_eq!(desk.act(&submit(5, BOSS, &[], "")), expected);
    let mut expected = passed(6, 7);
    expected.push(joined(7, 4, 42, &[]).into());
    expected.push(taken(7, 7, 8).into());
    expected.push(joined(8, 3, 31, &[32]).into());
    assert_eq!(desk.act(&submit(6, BOSS, &[], "")), expected);
    let mut expected = passed(10, 8);
    expected.push(joined(8, 3, 32, &[]).into());
    expected.push(taken(8, 8, 9).into());
    expected.push(finished(true).into());
    assert_eq!(desk.act(&submit(10, BOSS, &[], "")), expected);
}

#[test]
fn the_end_of_the_ticket_stops_the_other_branches() {
    let four = Node {
        status_on_entry: "TERMINATED".into(),
        ..manual(4, &[BOSS])
    };
    let nodes = vec![node(3, NodeKind::Parallel, &[]), four, manual(5, &[BOSS])];
    let transitions = vec![
        transition(2, 2, 3, None),
        transition(31, 3, 4, None),
        transition(32, 3, 5, None),
    ];
    let mut desk = Desk::new(graph(nodes, transitions));
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            started(3, &[31, 32]).into(),
            taken(31, 3, 4).into(),
            taken(32, 3, 5).into(),
            closed("TERMINATED", false).into(),
        ],
    );
}

#[test]
fn a_join_without_parallel_gateway_is_passed_at_once() {
    let mut desk = Desk::new(straight(vec![node(3, NodeKind::Coverage, &[])]));
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            taken(3, 3, 9).into(),
            finished(true).into(),
        ],
    );
}

fn value(text: &str) -> Found {
    Found::Value(text.into())
}

#[test]
fn a_condition_finds_fields_and_attributes_of_the_ticket() {
    let form = [("amount", "5"), ("impact", "1"), ("urgency", "1")];
    let mut desk = Desk::opened(straight(vec![manual(3, &[BOSS])]), &form);
    for (key, expected) in [
        ("amount", value("5")),
        ("title", value("t")),
        ("ticket_title", value("t")),
        ("ticket_sn", value("REQ1")),
        ("ticket_creator", value(LISI)),
        ("ticket_service_type", value("request")),
        ("ticket_current_status", value("RUNNING")),
        ("ticket_bk_biz_id", value("-1")),
        ("bk_biz_id", value("-1")),
        ("priority", value("1")),
        ("ticket_create_at", Found::Absent),
        ("word", Found::Absent),
    ] {
        assert_eq!(find(&desk.ticket, key), expected, "{key}");
    }
    desk.ticket.shown = "DOING".into();
    assert_eq!(find(&desk.ticket, "ticket_current_status"), value("DOING"));
    desk.ticket.outputs.insert("amount".into(), "out".into());
    assert_eq!(
        find(&desk.ticket, "amount"),
        value("out"),
        "an output precedes a field"
    );
    let fields = [
        ("priority", Entry::new("priority", "3")),
        ("bk_biz_id", Entry::new("bk_biz_id", "8")),
    ];
    for (key, entry) in fields {
        desk.ticket.form.insert(key.into(), entry);
    }
    assert_eq!(find(&desk.ticket, "priority"), value("3"));
    assert_eq!(find(&desk.ticket, "bk_biz_id"), value("8"));
    assert_eq!(find(&desk.ticket, "ticket_bk_biz_id"), value("8"));
}

#[test]
fn a_ticket_without_priority_or_opening_lacks_its_attributes() {
    let desk = Desk::opened(straight(vec![manual(3, &[BOSS])]), &[]);
    assert_eq!(find(&desk.ticket, "priority"), Found::Absent);
    let unopened = Ticket::default();
    for key in ["ticket_sn", "ticket_current_status", "ticket_title"] {
        assert_eq!(find(&unopened, key), Found::Absent, "{key}");
    }
}

#[test]
fn a_condition_distinguishes_personal_and_erased_values() {
    let mut ticket = Ticket::default();
    let entries = [
        ("plain", Entry::new("plain", "s")),
        ("sealed", Entry::new("sealed", "s").owned_by(LISI.into())),
        (
            "erased",
            Entry::new("erased", Value::Null).owned_by(LISI.into()),
        ),
    ];
    for (key, entry) in entries {
        ticket.form.insert(key.into(), entry);
    }
    assert_eq!(find(&ticket, "plain"), value("s"));
    assert_eq!(find(&ticket, "sealed"), Found::Personal("s".into()));
    assert_eq!(find(&ticket, "erased"), Found::Erased);
}
