//! Tests how a ticket enters a node at which people act. The tests check the first status of the node and the
//! automatic claim by a single person. They also check skipped nodes and the repeated execution of a node.

use events::RoleId;
use events::ticket::{NodeClaimed, NodeSkipped};

use super::engine::{
    Desk, approval, assert_events, cast, completed, entered, finished, graph, manual, opening,
    pids, processors_missing, skipped, straight, submit, taken, vote_entered,
};
use super::engine_people::{add_people, with_processors};
use super::*;

#[test]
fn the_handling_and_chosen_people_determine_the_first_status() {
    use NodeStatus::{Distributing, Receiving, Running};
    for (handling, is_chosen, status, processors_type, people) in [
        (Handling::Process, false, Running, "GENERAL", ["p-a", "p-b"]),
        (Handling::Process, true, Running, "PERSON", ["p-x", "p-y"]),
        (
            Handling::ClaimThenProcess,
            false,
            Receiving,
            "GENERAL",
            ["p-a", "p-b"],
        ),
        (
            Handling::ClaimThenProcess,
            true,
            Receiving,
            "GENERAL",
            ["p-a", "p-b"],
        ),
        (
            Handling::DistributeThenProcess,
            false,
            Distributing,
            "ORGANIZATION",
            ["p-d", "p-a"],
        ),
        (
            Handling::DistributeThenClaim,
            true,
            Distributing,
            "ORGANIZATION",
            ["p-d", "p-a"],
        ),
    ] {
        let mut three = with_processors(Processors::General(vec![RoleId(1)]));
        three.assignors = Processors::Organization("ops".into());
        three.handling = handling;
        let mut desk = Desk::new(straight(vec![three]));
        add_people(&mut desk.context);
        let mut open = opening(&[]);
        if is_chosen {
            open.chosen_processors
                .insert(NodeId(3), pids(&["p-x", "p-y"]));
        }
        assert_events(
            &desk.open(open),
            &[
                taken(2, 2, 3).into(),
                NodeEntered {
                    status,
                    processors_type: processors_type.into(),
                    ..entered(3, &people)
                }
                .into(),
            ],
        );
    }
}

#[test]
fn assignors_without_people_are_reported_as_missing() {
    let mut three = manual(3, &[BOSS]);
    three.handling = Handling::DistributeThenProcess;
    let mut desk = Desk::new(straight(vec![three]));
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            NodeEntered {
                status: NodeStatus::Distributing,
                processors_type: "EMPTY".into(),
                ..entered(3, &[])
            }
            .into(),
            processors_missing(3).into(),
        ],
    );
}

#[test]
fn a_vote_node_runs_at_once_for_any_handling() {
    for handling in [
        Handling::Process,
        Handling::ClaimThenProcess,
        Handling::DistributeThenProcess,
        Handling::DistributeThenClaim,
    ] {
        for (chosen, people) in [(None, BOSS), (Some("p-x"), "p-x")] {
            let mut three = approval(3, &[BOSS]);
            three.handling = handling;
            let mut desk = Desk::new(straight(vec![three]));
            let mut open = opening(&[]);
            if let Some(chosen) = chosen {
                open.chosen_processors.insert(NodeId(3), pids(&[chosen]));
            }
            assert_events(
                &desk.open(open),
                &[taken(2, 2, 3).into(), vote_entered(3, &[people]).into()],
            );
        }
    }
}

#[test]
fn the_desk_claims_a_node_for_its_only_processor() {
    use NodeStatus::{Distributing, Receiving, Running};
    let cases: [(Handling, &[&str], NodeStatus, bool); 4] = [
        (Handling::ClaimThenProcess, &["p-a"], Receiving, true),
        (
            Handling::ClaimThenProcess,
            &["p-a", "p-b"],
            Receiving,
            false,
        ),
        (Handling::Process, &["p-a"], Running, false),
        (Handling::DistributeThenClaim, &["p-a"], Distributing, false),
    ];
    for (handling, people, status, is_claimed) in cases {
        let mut three = manual(3, people);
        three.assignors = three.processors.clone();
        three.handling = handling;
        let mut desk = Desk::new(straight(vec![three]));
        let mut expected: Vec<TicketEvent> = vec![
            taken(2, 2, 3).into(),
            NodeEntered {
                status,
                ..entered(3, people)
            }
            .into(),
        ];
        if is_claimed {
            let claimed = NodeClaimed {
                node: NodeId(3),
                name: "n3".into(),
                by: "p-a".into(),
                automatic: true,
                reason: Remark::default(),
            };
            expected.push(claimed.into());
        }
        assert_eq!(desk.open(opening(&[])), expected, "{handling:?} {people:?}");
    }
}

#[test]
fn a_skipped_approval_passes_and_fills_its_outputs() {
    let mut three = approval(3, &[]);
    three.is_allow_skip = true;
    three.outputs = vec![Output {
        key: "RESULT".into(),
        holds: Holds::ApproveResult,
    }];
    let mut desk = Desk::new(straight(vec![three]));
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            vote_entered(3, &[]).into(),
            NodeSkipped {
                pass: Some(true),
                outputs: [("RESULT".to_owned(), "true".to_owned())].into(),
                ..skipped(3)
            }
            .into(),
            taken(3, 3, 9).into(),
            finished(true).into(),
        ],
    );
}

#[test]
fn a_manual_node_is_skipped_only_without_people_and_if_allowed() {
    for (people, is_allow_skip) in [
        (None, true),
        (None, false),
        (Some(BOSS), true),
        (Some(BOSS), false),
    ] {
        let mut three = manual(3, people.as_slice());
        three.is_allow_skip = is_allow_skip;
        let mut desk = Desk::new(straight(vec![three]));
        let mut expected: Vec<TicketEvent> =
            vec![taken(2, 2, 3).into(), entered(3, people.as_slice()).into()];
        match (people, is_allow_skip) {
            (None, true) => {
                expected.push(skipped(3).into());
                expected.push(taken(3, 3, 9).into());
                expected.push(finished(true).into());
            }
            (None, false) => expected.push(processors_missing(3).into()),
            (Some(_), _) => {}
        }
        let events = desk.open(opening(&[]));
        assert_eq!(events, expected, "{people:?} {is_allow_skip}");
    }
}

#[test]
fn a_node_is_skipped_once_in_one_command() {
    let mut three = manual(3, &[]);
    three.is_allow_skip = true;
    let transitions = vec![transition(2, 2, 3, None), transition(3, 3, 3, None)];
    let mut desk = Desk::new(graph(vec![three], transitions));
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            entered(3, &[]).into(),
            skipped(3).into(),
            taken(3, 3, 3).into(),
            NodeEntered {
                round: 2,
                ..entered(3, &[])
            }
            .into(),
            processors_missing(3).into(),
        ],
    );
}

#[test]
fn the_creator_submits_again_after_a_rejection() {
    let transitions = vec![transition(2, 2, 3, None), transition(3, 3, 2, None)];
    let mut desk = Desk::new(graph(vec![approval(3, &[BOSS])], transitions));
    let mut open = opening(&[]);
    open.chosen_processors.insert(NodeId(2), pids(&["p-x"]));
    desk.open(open);
    let rejected = desk.act(&cast(3, BOSS, false));
    assert_eq!(
        rejected.last(),
        Some(
            &NodeEntered {
                round: 2,
                ..entered(2, &[LISI])
            }
            .into()
        )
    );
    assert_events(
        &desk.act(&submit(2, LISI, &[("title", "u")], "why")),
        &[
            NodeCompleted {
                round: 2,
                form: vec![Entry::new("title", "u")],
                reason: Remark::new("why"),
                ..completed(2, LISI)
            }
            .into(),
            taken(2, 2, 3).into(),
            NodeEntered {
                round: 2,
                ..vote_entered(3, &[BOSS])
            }
            .into(),
        ],
    );
}
