//! Tests the votes at a node. The tests check how many votes decide a node, the reason of a vote, and the
//! output variables of a node. Other tests check the automatic approval for the creator of a ticket.

use events::ticket::{Terminated, VoteCast};

use super::engine::{
    Desk, approval, assert_events, cast, completed, decision, entered, entries, finished, graph,
    manual, opening, pids, straight, submit, taken, vote_cast, vote_entered,
};
use super::*;

const VOTERS: [&str; 4] = ["p-a", "p-b", "p-c", "p-d"];

fn completed_vote(id: i64, by: &str, pass: bool) -> NodeCompleted {
    NodeCompleted {
        pass: Some(pass),
        ..completed(id, by)
    }
}

/// Returns the event of an automatic approval on behalf of the creator. The form of the node with the given
/// id has no text field for a reason.
fn automatic_pass(id: i64) -> VoteCast {
    VoteCast {
        automatic: true,
        reason: Remark::new(AUTO_PASS),
        ..vote_cast(id, LISI, true)
    }
}

/// Returns a condition that compares one vote counter, such as the number of approvals, with a number.
fn counter(key: &str, operator: Operator, number: &str) -> Condition {
    Condition {
        join: Join::And,
        expressions: vec![Group {
            join: Join::And,
            expressions: vec![Clause {
                key: key.into(),
                kind: "INT".into(),
                condition: operator,
                value: number.into(),
            }],
        }],
    }
}

/// Returns the status of the node `three` (id 3) after each of the given votes. A vote is true for an approval
/// and false for a rejection. The first person in the list [`VOTERS`] casts the first vote, the second person
/// casts the second vote, and so on.
fn results(three: Node, votes: &[bool]) -> Vec<&'static str> {
    let mut desk = Desk::opened(straight(vec![three]), &[]);
    let mut results = Vec::new();
    for (by, pass) in VOTERS.iter().zip(votes) {
        let events = desk.act(&cast(3, by, *pass));
        let completed = events.iter().find_map(|event| match event {
            TicketEvent::NodeCompleted(completed) => Some(completed.pass),
            _ => None,
        });
        results.push(match completed {
            None => "waiting",
            Some(None) => "completed",
            Some(Some(true)) => "passed",
            Some(Some(false)) => "rejected",
        });
    }
    results
}

#[test]
fn the_first_vote_decides_an_approval() {
    for pass in [true, false] {
        let mut desk = Desk::opened(straight(vec![approval(3, &VOTERS)]), &[]);
        assert_events(
            &desk.act(&cast(3, "p-b", pass)),
            &[
                vote_cast(3, "p-b", pass).into(),
                completed_vote(3, "p-b", pass).into(),
                taken(3, 3, 9).into(),
                finished(pass).into(),
            ],
        );
    }
}

#[test]
fn a_vote_of_a_countersign_waits_for_the_other_voters() {
    let mut three = approval(3, &["p-a", "p-b"]);
    three.is_multi = true;
    let mut desk = Desk::opened(straight(vec![three]), &[]);
    assert_events(
        &desk.act(&cast(3, "p-b", true)),
        &[vote_cast(3, "p-b", true).into()],
    );
    assert_events(
        &desk.act(&cast(3, "p-a", true)),
        &[
            vote_cast(3, "p-a", true).into(),
            completed_vote(3, "p-a", true).into(),
            taken(3, 3, 9).into(),
            finished(true).into(),
        ],
    );
}

#[test]
fn a_countersign_ends_after_all_votes_or_by_its_condition() {
    use Operator::{AtLeast, Equal};
    let cases: [(Option<Condition>, &[bool], &str); 11] = [
        (None, &[true, true, true, true], "passed"),
        (None, &[true, false, true, true], "rejected"),
        (
            Some(counter("PASS_COUNT", AtLeast, "2")),
            &[false, true, true],
            "passed",
        ),
        (
            Some(counter("REJECT_COUNT", AtLeast, "1")),
            &[true, false],
            "rejected",
        ),
        (
            Some(counter("PROCESS_COUNT", AtLeast, "3")),
            &[true, true, false],
            "rejected",
        ),
        (
            Some(counter("PROCESS_COUNT", AtLeast, "3")),
            &[true, true, true],
            "passed",
        ),
        (
            Some(counter("PASS_RATE", AtLeast, "50")),
            &[false, true, true],
            "passed",
        ),
        (
            Some(counter("REJECT_RATE", AtLeast, "50")),
            &[false, false],
            "rejected",
        ),
        (Some(counter("REJECT_COUNT", Equal, "0")), &[true], "passed"),
        (
            Some(counter("REJECT_COUNT", Equal, "0")),
            &[false, true, true, true],
            "rejected",
        ),
        (
            Some(counter("OTHER", AtLeast, "0")),
            &[true, true, true, true],
            "passed",
        ),
    ];
    for (finish_condition, votes, result) in cases {
        let three = Node {
            is_multi: true,
            finish_condition,
            ..approval(3, &VOTERS)
        };
        let mut expected = vec!["waiting"; votes.len() - 1];
        expected.push(result);
        assert_eq!(results(three.clone(), votes), expected, "{three:?}");
    }
}

#[test]
fn a_finish_condition_does_not_change_the_result_of_one_vote() {
    let three = Node {
        finish_condition: Some(counter("REJECT_RATE", Operator::AtMost, "100")),
        ..approval(3, &VOTERS)
    };
    assert_eq!(results(three.clone(), &[false]), ["rejected"]);
    assert_eq!(results(three, &[true]), ["passed"]);
}

#[test]
fn a_sign_node_collects_every_vote_and_has_no_result() {
    let three = Node {
        kind: NodeKind::Sign,
        ..approval(3, &VOTERS)
    };
    assert_eq!(
        results(three, &[true, false, true, true]),
        ["waiting", "waiting", "waiting", "completed"]
    );
}

#[test]
fn a_vote_without_result_field_is_no_pass() {
    let three = Node {
        kind: NodeKind::Sign,
        fields: Vec::new(),
        ..approval(3, &["p-a"])
    };
    let mut desk = Desk::opened(straight(vec![three]), &[]);
    assert_events(
        &desk.act(&submit(3, "p-a", &[], "")),
        &[
            VoteCast {
                form: Vec::new(),
                ..vote_cast(3, "p-a", false)
            }
            .into(),
            completed(3, "p-a").into(),
            taken(3, 3, 9).into(),
            finished(true).into(),
        ],
    );
}

#[test]
fn a_rejection_terminates_the_ticket_if_so_configured() {
    for (given, reason) in [("no", "no"), ("", "rejected")] {
        let mut three = approval(3, &[BOSS]);
        three.terminate_when_rejected = true;
        let mut desk = Desk::opened(straight(vec![three]), &[]);
        assert_events(
            &desk.act(&submit(3, BOSS, &[("DECISION", "false")], given)),
            &[
                VoteCast {
                    reason: Remark::new(given),
                    ..vote_cast(3, BOSS, false)
                }
                .into(),
                completed_vote(3, BOSS, false).into(),
                Terminated {
                    by: BOSS.into(),
                    node: Some(NodeId(3)),
                    node_name: "n3".into(),
                    reason: Remark::new(reason),
                    approve_result: false,
                }
                .into(),
            ],
        );
    }
}

#[test]
fn a_pass_continues_if_only_a_rejection_terminates_the_ticket() {
    let mut three = approval(3, &[BOSS]);
    three.terminate_when_rejected = true;
    let mut desk = Desk::opened(straight(vec![three]), &[]);
    assert_events(
        &desk.act(&cast(3, BOSS, true)),
        &[
            vote_cast(3, BOSS, true).into(),
            completed_vote(3, BOSS, true).into(),
            taken(3, 3, 9).into(),
            finished(true).into(),
        ],
    );
}

/// Returns the output variables of the node `three` (id 3) after the given votes (true for an approval). Each
/// output variable has the form `key=value`. The first person in the list [`VOTERS`] casts the first vote, the
/// second person casts the second vote, and so on.
fn outputs(three: Node, votes: &[bool]) -> Vec<String> {
    let outputs = [
        ("result", Holds::ApproveResult),
        ("approver", Holds::Approver),
        ("votes", Holds::ProcessCount),
        ("passes", Holds::PassCount),
        ("rejections", Holds::RejectCount),
        ("pass_rate", Holds::PassRate),
        ("reject_rate", Holds::RejectRate),
    ]
    .map(|(key, holds)| Output {
        key: key.into(),
        holds,
    })
    .to_vec();
    let mut desk = Desk::opened(straight(vec![Node { outputs, ..three }]), &[]);
    for (by, pass) in VOTERS.iter().zip(votes) {
        desk.act(&cast(3, by, *pass));
    }
    let outputs = desk.ticket.outputs.iter();
    outputs
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

#[test]
fn the_outputs_count_votes_and_give_rates_of_all_processors() {
    let three = Node {
        is_multi: true,
        ..approval(3, &VOTERS)
    };
    assert_eq!(
        outputs(three.clone(), &[true, true, false, true]),
        [
            "approver=p-a,p-b,p-c,p-d",
            "pass_rate=75",
            "passes=3",
            "reject_rate=25",
            "rejections=1",
            "result=false",
            "votes=4",
        ]
    );
    let three = Node {
        finish_condition: Some(counter("PROCESS_COUNT", Operator::AtLeast, "3")),
        ..three
    };
    assert_eq!(
        outputs(three, &[true, false, false]),
        [
            "approver=p-a,p-b,p-c",
            "pass_rate=25",
            "passes=1",
            "reject_rate=50",
            "rejections=2",
            "result=false",
            "votes=3",
        ]
    );
}

#[test]
fn one_vote_at_an_open_node_gives_a_rate_of_100_percent() {
    let three = Node {
        processors: Processors::Open,
        ..approval(3, &[])
    };
    assert_eq!(
        outputs(three, &[true]),
        [
            "approver=p-a",
            "pass_rate=100",
            "passes=1",
            "reject_rate=0",
            "rejections=0",
            "result=true",
            "votes=1",
        ]
    );
}

#[test]
fn a_sign_node_has_counters_and_no_approval_result() {
    let three = Node {
        kind: NodeKind::Sign,
        ..approval(3, &["p-a", "p-b"])
    };
    assert_eq!(
        outputs(three, &[true, false]),
        [
            "approver=p-a,p-b",
            "pass_rate=50",
            "passes=1",
            "reject_rate=50",
            "rejections=1",
            "votes=2",
        ]
    );
}

/// Returns the reason that the ticket stores for one vote. The parameter `fields` lists the text fields in
/// the form of the node, and `texts` contains their values. The parameter `given` is the reason that the
/// command contains.
fn reason_of(fields: &[&str], pass: bool, texts: &[(&str, &str)], given: &str) -> Remark {
    let mut three = approval(3, &[BOSS]);
    three
        .fields
        .extend(fields.iter().map(|key| (*key).to_owned()));
    let mut desk = Desk::opened(straight(vec![three]), &[]);
    let mut form = vec![("DECISION", decision(pass))];
    form.extend(texts);
    let events = desk.act(&submit(3, BOSS, &form, given));
    let TicketEvent::VoteCast(vote) = &events[0] else {
        panic!("{events:?}")
    };
    vote.reason.clone()
}

#[test]
fn the_field_that_fits_the_decision_contains_the_reason() {
    let fields = ["word", "need", "note"];
    let all = [("word", "w"), ("need", "n"), ("note", "o")];
    let blank = [("word", "w"), ("need", "n"), ("note", " \u{3000}")];
    for (pass, texts, given, expected) in [
        (true, &all[..], "", "o"),
        (false, &all[..], "", "n"),
        (true, &all[..2], "", "n"),
        (false, &all[..2], "", "n"),
        (true, &blank[..], "", "n"),
        (true, &all[..], "other", "other"),
        (false, &all[..], "other", "other"),
        (true, &all[..], "w", "w"),
        (true, &all[..], " \u{3000}", "o"),
    ] {
        assert_eq!(
            reason_of(&fields, pass, texts, given),
            Remark::new(expected),
            "{pass} {texts:?} {given}"
        );
    }
}

#[test]
fn a_field_of_one_line_contains_the_reason_if_no_other_field_exists() {
    for pass in [true, false] {
        assert_eq!(
            reason_of(&["word"], pass, &[("word", "w")], ""),
            Remark::new("w")
        );
        assert_eq!(reason_of(&["word"], pass, &[], ""), Remark::default());
    }
}

#[test]
fn a_text_longer_than_a_reason_is_not_used_as_the_reason() {
    let longest = "x".repeat(REMARK_MAX);
    let too_long = "x".repeat(REMARK_MAX + 1);
    for (text, expected) in [
        (&longest, Remark::new(longest.as_str())),
        (&too_long, Remark::default()),
    ] {
        assert_eq!(
            reason_of(&["note"], true, &[("note", text.as_str())], ""),
            expected
        );
    }
}

#[test]
fn a_reason_in_a_personal_field_is_personal_too() {
    let sealed = Remark::new("s").owned_by(LISI.into());
    for (given, expected) in [
        ("", sealed.clone()),
        ("s", sealed),
        ("other", Remark::new("other")),
    ] {
        assert_eq!(
            reason_of(&["secret"], true, &[("secret", "s")], given),
            expected,
            "{given}"
        );
    }
}

/// Returns a workflow with the node `three` (id 3). In this workflow, the submission of a ticket counts as an
/// approval by the creator.
fn approves_automatically(three: Node) -> Definition {
    Definition {
        is_auto_approve: true,
        ..straight(vec![three])
    }
}

#[test]
fn the_submission_counts_as_the_approval_of_the_creator() {
    let three = approval(3, &[BOSS, LISI]);
    let mut desk = Desk::new(approves_automatically(three));
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            vote_entered(3, &[BOSS, LISI]).into(),
            automatic_pass(3).into(),
            completed_vote(3, LISI, true).into(),
            taken(3, 3, 9).into(),
            finished(true).into(),
        ],
    );
}

#[test]
fn an_automatic_pass_fills_the_text_field_of_the_form() {
    for (key, is_personal) in [("note", false), ("secret", true)] {
        let mut three = approval(3, &[LISI]);
        three.fields.push(key.into());
        let mut desk = Desk::new(approves_automatically(three));
        let (mut text, mut reason) = (Entry::new(key, AUTO_PASS), Remark::new(AUTO_PASS));
        if is_personal {
            text = text.owned_by(LISI.into());
            reason = reason.owned_by(LISI.into());
        }
        let vote = VoteCast {
            form: vec![Entry::new("DECISION", "true"), text],
            reason,
            ..automatic_pass(3)
        };
        assert_eq!(desk.open(opening(&[]))[2], TicketEvent::from(vote), "{key}");
    }
}

/// A function that changes the workflow or the content of the new ticket for one test case.
type Change = fn(&mut Definition, &mut Open);

#[test]
fn only_the_submission_of_an_approver_counts_as_approval() {
    let cases: [(&str, Change); 5] = [
        (
            "the workflow does not count submissions",
            |definition, _| {
                definition.is_auto_approve = false;
            },
        ),
        ("an agent submits the ticket", |_, open| {
            open.agent = Some("p-agent".into());
        }),
        (
            "the node is a countersign without result",
            |definition, _| {
                definition.nodes[2].kind = NodeKind::Sign;
            },
        ),
        ("the creator is not an approver", |definition, _| {
            definition.nodes[2].processors = Processors::Person(pids(&[BOSS]));
        }),
        ("another approver votes first", |definition, _| {
            definition.nodes[2].is_multi = true;
            definition.nodes[2].is_sequential = true;
        }),
    ];
    for (case, change) in cases {
        let mut definition = approves_automatically(approval(3, &[BOSS, LISI]));
        let mut open = opening(&[]);
        change(&mut definition, &mut open);
        let mut desk = Desk::new(definition);
        desk.service().can_ticket_agency = true;
        let events = desk.open(open);
        let kinds: Vec<&str> = events.iter().map(events::Event::kind).collect();
        assert_eq!(
            kinds,
            ["ticket.transition_taken", "ticket.node_entered"],
            "{case}"
        );
    }
}

#[test]
fn the_submission_is_no_approval_at_a_manual_node() {
    let mut desk = Desk::new(approves_automatically(manual(3, &[LISI])));
    assert_events(
        &desk.open(opening(&[])),
        &[taken(2, 2, 3).into(), entered(3, &[LISI]).into()],
    );
}

#[test]
fn the_automatic_pass_is_one_vote_of_a_countersign() {
    for (people, is_sequential) in [([BOSS, LISI], false), ([LISI, BOSS], true)] {
        let three = Node {
            is_multi: true,
            is_sequential,
            ..approval(3, &people)
        };
        let mut desk = Desk::new(approves_automatically(three));
        assert_events(
            &desk.open(opening(&[])),
            &[
                taken(2, 2, 3).into(),
                NodeEntered {
                    is_sequential,
                    ..vote_entered(3, &people)
                }
                .into(),
                automatic_pass(3).into(),
            ],
        );
    }
}

#[test]
fn the_automatic_pass_follows_the_vote_before_the_creator() {
    let three = Node {
        is_multi: true,
        is_sequential: true,
        ..approval(3, &[BOSS, LISI])
    };
    let mut desk = Desk::opened(approves_automatically(three), &[]);
    assert_events(
        &desk.act(&cast(3, BOSS, true)),
        &[
            vote_cast(3, BOSS, true).into(),
            automatic_pass(3).into(),
            completed_vote(3, LISI, true).into(),
            taken(3, 3, 9).into(),
            finished(true).into(),
        ],
    );
}

#[test]
fn no_automatic_pass_follows_the_end_of_a_node() {
    let three = Node {
        is_multi: true,
        is_sequential: true,
        finish_condition: Some(counter("REJECT_COUNT", Operator::AtLeast, "1")),
        terminate_when_rejected: true,
        ..approval(3, &[BOSS, LISI])
    };
    let mut desk = Desk::opened(approves_automatically(three), &[]);
    assert_events(
        &desk.act(&cast(3, BOSS, false)),
        &[
            vote_cast(3, BOSS, false).into(),
            completed_vote(3, BOSS, false).into(),
            Terminated {
                by: BOSS.into(),
                node: Some(NodeId(3)),
                node_name: "n3".into(),
                reason: Remark::new("rejected"),
                approve_result: false,
            }
            .into(),
        ],
    );
}

#[test]
fn a_node_passes_automatically_once_in_one_command() {
    let transitions = vec![transition(2, 2, 3, None), transition(3, 3, 3, None)];
    let mut desk = Desk::new(Definition {
        is_auto_approve: true,
        ..graph(vec![approval(3, &[LISI])], transitions)
    });
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            vote_entered(3, &[LISI]).into(),
            automatic_pass(3).into(),
            completed_vote(3, LISI, true).into(),
            taken(3, 3, 3).into(),
            NodeEntered {
                round: 2,
                ..vote_entered(3, &[LISI])
            }
            .into(),
        ],
    );
}

#[test]
fn a_second_submission_passes_automatically_again() {
    let three = Node {
        is_multi: true,
        ..approval(3, &[LISI, BOSS])
    };
    let transitions = vec![transition(2, 2, 3, None), transition(3, 3, 2, None)];
    let definition = Definition {
        is_auto_approve: true,
        ..graph(vec![three], transitions)
    };
    let mut desk = Desk::opened(definition, &[]);
    desk.act(&cast(3, BOSS, false));
    let form = [("title", "u")];
    assert_events(
        &desk.act(&submit(2, LISI, &form, "")),
        &[
            NodeCompleted {
                round: 2,
                form: entries(&form),
                ..completed(2, LISI)
            }
            .into(),
            taken(2, 2, 3).into(),
            NodeEntered {
                round: 2,
                ..vote_entered(3, &[LISI, BOSS])
            }
            .into(),
            automatic_pass(3).into(),
        ],
    );
}
