//! Tests automatic nodes. Also tests the limit for the number of times that a ticket may execute the same
//! node.

use events::ticket::{NodeFailed, NodeResultReceived, NodeSkipped};

use super::engine::{
    Desk, approval, assert_events, cast, completed, entered, finished, graph, manual, needs,
    opening, rejected, skipped, straight, taken, vote_entered,
};
use super::*;

/// Returns an automatic node that sends a request to a webhook (an HTTP address of another system). The node
/// reads its output variable `word` from the response.
fn webhook(id: i64) -> Node {
    let request = serde_json::json!({
        "does": "request", "method": "POST", "url": "https://x/",
        "outputs": [{ "key": "word", "path": "word" }] });
    Node {
        kind: NodeKind::Webhook,
        service_task: serde_json::from_value(request).expect("a request"),
        ..manual(id, &[BOSS])
    }
}

fn automatic(id: i64, round: u32) -> NodeEntered {
    NodeEntered {
        round,
        automatic: true,
        ..entered(id, &[BOSS])
    }
}

fn failed(id: i64, round: u32, reason: &str) -> NodeFailed {
    NodeFailed {
        node: NodeId(id),
        name: format!("n{id}"),
        round,
        reason: reason.into(),
    }
}

fn outputs() -> BTreeMap<String, String> {
    [("word".to_owned(), "w".to_owned())].into()
}

/// Returns a command with the result of the first API call at the webhook node with the id 3. The parameter
/// `round` is 1 for the first execution of the node, 2 for the second execution, and so on.
fn result(round: u32, succeeded: bool) -> Command {
    Command::RecordResult(NodeResult {
        node: NodeId(3),
        round,
        attempt: 1,
        succeeded,
        outputs: outputs(),
        task: "t1".into(),
        reason: "r".into(),
    })
}

fn received(round: u32, succeeded: bool) -> NodeResultReceived {
    NodeResultReceived {
        node: NodeId(3),
        name: "n3".into(),
        round,
        attempt: 1,
        succeeded,
        outputs: outputs(),
        task: "t1".into(),
        reason: "r".into(),
    }
}

#[test]
fn an_automatic_node_without_service_task_fails_at_once() {
    for kind in [NodeKind::Task, NodeKind::Sops, NodeKind::Webhook] {
        let three = Node { kind, ..webhook(3) };
        let mut desk = Desk::new(straight(vec![three.clone()]));
        assert_events(
            &desk.open(opening(&[])),
            &[taken(2, 2, 3).into(), automatic(3, 1).into()],
        );
        let three = Node {
            service_task: None,
            processors: Processors::Starter,
            ..three
        };
        let mut desk = Desk::new(straight(vec![three]));
        assert_events(
            &desk.open(opening(&[])),
            &[
                taken(2, 2, 3).into(),
                NodeEntered {
                    automatic: true,
                    ..entered(3, &[LISI])
                }
                .into(),
                failed(3, 1, "the node has no service task").into(),
            ],
        );
    }
}

#[test]
fn the_result_of_an_api_call_completes_or_fails_its_node() {
    let desk = || Desk::opened(straight(vec![webhook(3)]), &[]);
    assert_events(
        &desk().act(&result(1, true)),
        &[
            received(1, true).into(),
            NodeCompleted {
                outputs: outputs(),
                ..completed(3, "system")
            }
            .into(),
            taken(3, 3, 9).into(),
            finished(true).into(),
        ],
    );
    assert_events(
        &desk().act(&result(1, false)),
        &[received(1, false).into(), failed(3, 1, "r").into()],
    );
}

#[test]
fn a_failure_can_be_ignored_with_other_outputs() {
    let mut desk = Desk::opened(straight(vec![webhook(3)]), &[]);
    desk.run(3).round = 2;
    desk.act(&result(2, false));
    let ignore = Command::Ignore {
        node: NodeId(3),
        by: BOSS.into(),
        outputs: outputs(),
        reason: "m".into(),
    };
    assert_events(
        &desk.act(&ignore),
        &[
            NodeSkipped {
                round: 2,
                by: BOSS.into(),
                reason: Remark::new("m"),
                outputs: outputs(),
                ..skipped(3)
            }
            .into(),
            taken(3, 3, 9).into(),
            finished(true).into(),
        ],
    );
}

#[test]
fn an_api_call_starts_at_most_the_maximum_of_rounds() {
    let transitions = vec![transition(2, 2, 3, None), transition(3, 3, 3, None)];
    let mut last = Desk::opened(graph(vec![webhook(3)], transitions), &[]);
    last.run(3).round = ROUNDS_MAX - 1;
    assert_events(
        &last.act(&result(ROUNDS_MAX - 1, true)),
        &[
            received(ROUNDS_MAX - 1, true).into(),
            NodeCompleted {
                round: ROUNDS_MAX - 1,
                outputs: outputs(),
                ..completed(3, "system")
            }
            .into(),
            taken(3, 3, 3).into(),
            automatic(3, ROUNDS_MAX).into(),
        ],
    );
    assert_events(
        &last.act(&result(ROUNDS_MAX, true)),
        &[
            received(ROUNDS_MAX, true).into(),
            failed(3, ROUNDS_MAX, "the node has run 1000 times").into(),
        ],
    );
    assert_eq!(last.ticket.nodes[&NodeId(3)].status, NodeStatus::Failed);
}

#[test]
fn a_person_cannot_exceed_the_maximum_of_rounds() {
    let transitions = vec![transition(2, 2, 3, None), transition(3, 3, 3, None)];
    let mut desk = Desk::opened(graph(vec![approval(3, &[BOSS])], transitions), &[]);
    desk.run(3).round = ROUNDS_MAX - 1;
    let events = desk.act(&cast(3, BOSS, true));
    assert_eq!(
        events.last(),
        Some(
            &NodeEntered {
                round: ROUNDS_MAX,
                ..vote_entered(3, &[BOSS])
            }
            .into()
        )
    );
    assert_eq!(
        desk.decide(&cast(3, BOSS, true)),
        rejected(Rejection::TooManyRounds(NodeId(3)))
    );
}

#[test]
fn the_result_of_an_api_call_requests_missing_lookups() {
    let mut desk = Desk::opened(straight(vec![webhook(3)]), &[]);
    desk.service().rate_after_days = Some(3);
    assert_eq!(desk.decide(&result(1, true)), needs(&[Lookup::Now]));
}
