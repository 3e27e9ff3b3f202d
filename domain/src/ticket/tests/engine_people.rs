//! Tests the rules that select the people for a node, and the commands that contain people.

use events::RoleId;
use events::ticket::{Escalated, NodeReassigned};

use super::engine::{
    Desk, approval, assert_events, cast, completed, entered, graph, manual, needs, opening, pids,
    processors_missing, rejected, straight, taken, vote_cast,
};
use super::*;

fn leaders(people: &[(&str, Option<&str>)]) -> BTreeMap<PersonId, Option<PersonId>> {
    people
        .iter()
        .map(|(pid, leader)| (PersonId::from(*pid), leader.map(PersonId::from)))
        .collect()
}

/// Adds people to a context, so that each kind of rule selects at least one person. The people are members
/// of roles and departments, or leaders of other people.
pub(super) fn add_people(context: &mut Context) {
    context.roles = [
        (RoleId(1), pids(&["p-a", "p-b"])),
        (RoleId(2), pids(&["p-b", "p-c"])),
        (RoleId(3), Vec::new()),
    ]
    .into();
    context.general_roles = Some(vec![RoleId(1), RoleId(2)]);
    context.leaders = leaders(&[
        (LISI, Some(ROOT)),
        ("p-a", Some(BOSS)),
        ("p-b", Some("p-c")),
        ("p-c", None),
    ]);
    context.departments = [("ops".to_owned(), pids(&["p-d", "p-a"]))].into();
    context.business_roles = [
        ((5, "dev".to_owned()), pids(&["p-e"])),
        ((5, "ops".to_owned()), pids(&["p-f", "p-e"])),
    ]
    .into();
}

/// The values of the form that the tests use. The field `word` contains normal text. The other fields contain
/// people or the id of a business (an organizational unit in BlueKing).
const FORM: [(&str, &str); 4] = [
    ("word", ","),
    ("members", "p-b,p-a"),
    ("others", "p-c"),
    ("bk_biz_id", "5"),
];

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

pub(super) fn with_processors(processors: Processors) -> Node {
    Node {
        processors,
        ..manual(3, &[])
    }
}

#[test]
fn each_kind_of_processors_selects_its_people() {
    let cases: [(Processors, &str, &[&str]); 19] = [
        (
            Processors::Person(pids(&["p-b", "p-a", "p-b"])),
            "PERSON",
            &["p-b", "p-a"],
        ),
        (Processors::Starter, "PERSON", &[LISI]),
        (
            Processors::General(Vec::new()),
            "GENERAL",
            &["p-a", "p-b", "p-c"],
        ),
        (
            Processors::General(vec![RoleId(2)]),
            "GENERAL",
            &["p-b", "p-c"],
        ),
        (Processors::General(vec![RoleId(3)]), "GENERAL", &[]),
        (
            Processors::Variable(keys(&["amount", "word", "members", "others"])),
            "PERSON",
            &["p-b", "p-a"],
        ),
        (Processors::Variable(keys(&["amount"])), "PERSON", &[]),
        (Processors::StarterLeader, "PERSON", &[ROOT]),
        (Processors::NodeLeader(NodeId(2)), "PERSON", &[ROOT]),
        (Processors::NodeLeader(NodeId(8)), "PERSON", &[]),
        (
            Processors::VariableLeader(keys(&["members"])),
            "PERSON",
            &["p-c"],
        ),
        (Processors::VariableLeader(keys(&["others"])), "PERSON", &[]),
        (Processors::VariableLeader(keys(&["amount"])), "PERSON", &[]),
        (
            Processors::Organization("ops".into()),
            "ORGANIZATION",
            &["p-d", "p-a"],
        ),
        (
            Processors::Business(keys(&["dev", "ops"])),
            "CMDB",
            &["p-e", "p-f"],
        ),
        (Processors::ByAssignor, "BY_ASSIGNOR", &[]),
        (Processors::Iam("r".into()), "IAM", &[]),
        (Processors::Api, "API", &[]),
        (Processors::Empty, "EMPTY", &[]),
    ];
    for (processors, processors_type, people) in cases {
        let mut desk = Desk::new(straight(vec![with_processors(processors.clone())]));
        add_people(&mut desk.context);
        let mut expected: Vec<TicketEvent> = vec![
            taken(2, 2, 3).into(),
            NodeEntered {
                processors_type: processors_type.into(),
                ..entered(3, people)
            }
            .into(),
        ];
        if people.is_empty() {
            expected.push(processors_missing(3).into());
        }
        assert_eq!(desk.open(opening(&FORM)), expected, "{processors:?}");
    }
}

#[test]
fn an_open_node_misses_no_processors() {
    let mut three = with_processors(Processors::Open);
    three.is_allow_skip = true;
    let mut desk = Desk::new(straight(vec![three]));
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            NodeEntered {
                processors_type: "OPEN".into(),
                ..entered(3, &[])
            }
            .into(),
        ],
    );
}

#[test]
fn a_ticket_without_business_has_no_holders_of_business_roles() {
    let three = with_processors(Processors::Business(keys(&["dev"])));
    let mut desk = Desk::new(straight(vec![three]));
    assert_events(
        &desk.open(opening(&[])),
        &[
            taken(2, 2, 3).into(),
            NodeEntered {
                processors_type: "CMDB".into(),
                ..entered(3, &[])
            }
            .into(),
            processors_missing(3).into(),
        ],
    );
}

#[test]
fn a_rule_without_its_inputs_requests_lookups() {
    let cases: [(Processors, &[Lookup]); 7] = [
        (Processors::General(Vec::new()), &[Lookup::GeneralRoles]),
        (
            Processors::General(vec![RoleId(5), RoleId(4)]),
            &[Lookup::Role(RoleId(4)), Lookup::Role(RoleId(5))],
        ),
        (Processors::StarterLeader, &[Lookup::Leader(LISI.into())]),
        (
            Processors::NodeLeader(NodeId(2)),
            &[Lookup::Leader(LISI.into())],
        ),
        (
            Processors::VariableLeader(keys(&["members"])),
            &[Lookup::Leader("p-b".into())],
        ),
        (
            Processors::Organization("ops".into()),
            &[Lookup::Department("ops".into())],
        ),
        (
            Processors::Business(keys(&["ops", "dev"])),
            &[
                Lookup::BusinessRole(5, "dev".into()),
                Lookup::BusinessRole(5, "ops".into()),
            ],
        ),
    ];
    for (processors, lookups) in cases {
        let mut desk = Desk::new(straight(vec![with_processors(processors.clone())]));
        desk.context.general_roles = None;
        let open = Command::Open(Box::new(opening(&FORM)));
        assert_eq!(desk.decide(&open), needs(lookups), "{processors:?}");
    }
}

#[test]
fn general_roles_request_the_members_of_each_role() {
    let mut desk = Desk::new(straight(vec![with_processors(Processors::General(
        Vec::new(),
    ))]));
    desk.context.general_roles = Some(vec![RoleId(1), RoleId(2)]);
    let open = Command::Open(Box::new(opening(&[])));
    assert_eq!(
        desk.decide(&open),
        needs(&[Lookup::Role(RoleId(1)), Lookup::Role(RoleId(2))])
    );
}

#[test]
fn one_decision_requests_the_lookups_of_all_branches() {
    let nodes = vec![
        node(3, NodeKind::Parallel, &[]),
        Node {
            id: NodeId(4),
            ..with_processors(Processors::General(vec![RoleId(3)]))
        },
        Node {
            id: NodeId(5),
            ..with_processors(Processors::Organization("ops".into()))
        },
    ];
    let transitions = vec![
        transition(2, 2, 3, None),
        transition(31, 3, 4, None),
        transition(32, 3, 5, None),
    ];
    let desk = Desk::new(graph(nodes, transitions));
    let open = Command::Open(Box::new(opening(&[])));
    assert_eq!(
        desk.decide(&open),
        needs(&[Lookup::Role(RoleId(3)), Lookup::Department("ops".into())])
    );
}

#[test]
fn the_leader_of_the_last_voter_processes_the_next_node() {
    let mut three = approval(3, &["p-a", "p-b"]);
    three.is_multi = true;
    let four = Node {
        processors: Processors::NodeLeader(NodeId(3)),
        ..manual(4, &[])
    };
    let mut desk = Desk::opened(straight(vec![three, four]), &[]);
    add_people(&mut desk.context);
    desk.act(&cast(3, "p-a", true));
    assert_events(
        &desk.act(&cast(3, "p-b", true)),
        &[
            vote_cast(3, "p-b", true).into(),
            NodeCompleted {
                pass: Some(true),
                ..completed(3, "p-b")
            }
            .into(),
            taken(3, 3, 4).into(),
            entered(4, &["p-c"]).into(),
        ],
    );
}

fn reassign(to: Processors) -> Command {
    Command::Reassign {
        node: NodeId(3),
        by: ROOT.into(),
        to,
        message: String::new(),
    }
}

#[test]
fn new_processors_are_people_roles_the_creator_or_a_department() {
    let mut desk = Desk::opened(straight(vec![manual(3, &[BOSS])]), &[]);
    add_people(&mut desk.context);
    let cases: [(Processors, &str, &[&str]); 4] = [
        (
            Processors::Person(pids(&["p-b", "p-a", "p-b"])),
            "PERSON",
            &["p-b", "p-a"],
        ),
        (
            Processors::General(vec![RoleId(1)]),
            "GENERAL",
            &["p-a", "p-b"],
        ),
        (Processors::Starter, "STARTER", &[LISI]),
        (
            Processors::Organization("ops".into()),
            "ORGANIZATION",
            &["p-d", "p-a"],
        ),
    ];
    for (to, processors_type, people) in cases {
        assert_events(
            &desk.decide(&reassign(to)).expect("reassigns"),
            &[NodeReassigned {
                node: NodeId(3),
                name: "n3".into(),
                by: ROOT.into(),
                processors_type: processors_type.into(),
                processors: pids(people),
                message: Remark::default(),
            }
            .into()],
        );
    }
}

#[test]
fn other_kinds_of_new_processors_are_rejected() {
    let mut desk = Desk::opened(straight(vec![manual(3, &[BOSS])]), &[]);
    add_people(&mut desk.context);
    for to in [
        Processors::Open,
        Processors::Variable(keys(&["members"])),
        Processors::ByAssignor,
        Processors::Business(keys(&["dev"])),
        Processors::StarterLeader,
        Processors::NodeLeader(NodeId(2)),
        Processors::VariableLeader(keys(&["members"])),
        Processors::Iam("r".into()),
        Processors::Api,
        Processors::Empty,
    ] {
        assert_eq!(
            desk.decide(&reassign(to.clone())),
            rejected(Rejection::TargetKindNotAllowed),
            "{to:?}"
        );
    }
    for to in [
        Processors::Person(Vec::new()),
        Processors::General(Vec::new()),
        Processors::General(vec![RoleId(3)]),
    ] {
        assert_eq!(
            desk.decide(&reassign(to.clone())),
            rejected(Rejection::NoProcessorGiven),
            "{to:?}"
        );
    }
    assert_eq!(
        desk.decide(&reassign(Processors::General(vec![RoleId(4)]))),
        needs(&[Lookup::Role(RoleId(4))])
    );
}

#[test]
fn an_escalation_adds_each_leader_once() {
    let mut desk = Desk::opened(straight(vec![manual(3, &["p-a", "p-b", "p-c"])]), &[]);
    let escalate = Command::Escalate {
        node: Some(NodeId(3)),
        by: LISI.into(),
        reason: String::new(),
    };
    assert_eq!(
        desk.decide(&escalate),
        needs(&[
            Lookup::Leader("p-a".into()),
            Lookup::Leader("p-b".into()),
            Lookup::Leader("p-c".into()),
        ])
    );
    desk.context.leaders = leaders(&[("p-a", Some(BOSS)), ("p-b", Some(BOSS)), ("p-c", None)]);
    assert_events(
        &desk.decide(&escalate).expect("escalates"),
        &[Escalated {
            by: LISI.into(),
            node: NodeId(3),
            name: "n3".into(),
            level: 1,
            processors: pids(&[BOSS]),
            reason: Remark::default(),
        }
        .into()],
    );
    desk.context.leaders = leaders(&[("p-a", None), ("p-b", None), ("p-c", None)]);
    assert_eq!(
        desk.decide(&escalate),
        rejected(Rejection::NoEscalationTarget)
    );
}
