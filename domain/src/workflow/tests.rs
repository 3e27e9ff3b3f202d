//! Tests the checks of workflows, their versions, and the export and import of workflow files.

use events::TransitionId;
use events::workflow::{Condition, Field, NodeKind, Processors, Transition};
use serde_json::json;

use super::check::{FIELDS_MAX, problems};
use super::import::{self, equals};
use super::*;

/// Returns the workflow in the sample events. Its nodes are START 1, submit node 2 (which opens a ticket),
/// approval 3 and END 4.
fn deployed() -> Deployed {
    let sample = events::samples::history::<WorkflowEvent>()
        .into_iter()
        .find_map(|event| match event {
            WorkflowEvent::Deployed(deployed) => Some(deployed),
            _ => None,
        });
    sample.expect("a sample")
}

fn sound() -> Definition {
    deployed().definition
}

fn transition(id: i64, from: i64, to: i64) -> Transition {
    Transition {
        id: TransitionId(id),
        from: NodeId(from),
        to: NodeId(to),
        name: String::new(),
        condition: None,
    }
}

fn node(id: i64, kind: &str) -> events::workflow::Node {
    serde_json::from_value(json!({ "id": id, "name": format!("n{id}"), "kind": kind, "processors": { "type": "PERSON", "who": ["a"] } })).expect("a node")
}

/// Inserts an automatic node of the given kind directly before END. The node sends a request. The body of
/// this request contains the given text.
fn insert_call(definition: &mut Definition, kind: &str, text: &str) {
    let mut calling = node(9, kind);
    let request =
        json!({ "does": "request", "method": "POST", "url": "https://x/", "body": { "t": text } });
    calling.service_task = serde_json::from_value(request).expect("a request");
    definition.nodes.push(calling);
    let last = definition
        .transitions
        .iter_mut()
        .find(|transition| transition.to == NodeId(4))
        .expect("a transition to the end");
    last.to = NodeId(9);
    definition.transitions.push(transition(9, 9, 4));
}

/// A function that makes a workflow invalid.
type Change = fn(&mut Definition);

#[test]
fn each_problem_names_its_node_transition_or_field() {
    assert_eq!(problems(&sound()), Vec::<String>::new());
    let cases: [(Change, &str); 22] = [
        (
            |d| d.nodes.retain(|node| node.kind != NodeKind::End),
            "there must be exactly one END node",
        ),
        (
            |d| d.transitions.push(transition(9, 3, 77)),
            "transition 9 uses node 77, which does not exist",
        ),
        (
            |d| d.transitions.push(transition(9, 3, 1)),
            "transition 9 goes to START",
        ),
        (
            |d| d.transitions.push(transition(9, 1, 3)),
            "START must have exactly one outgoing transition, without a condition",
        ),
        (
            |d| d.transitions[0].condition = Some(Condition::default()),
            "START must have exactly one outgoing transition, without a condition",
        ),
        (
            |d| {
                d.transitions
                    .retain(|transition| transition.from != NodeId(2));
            },
            "node 2 (提单) has no outgoing transition",
        ),
        (
            |d| d.nodes[1].fields.push("NONE".into()),
            "node 2 (提单) uses field NONE, which does not exist",
        ),
        (
            |d| {
                d.fields
                    .iter_mut()
                    .for_each(|field| field.is_approve_result = false);
            },
            "approval node 3 (审批) has no field for its result",
        ),
        (
            |d| d.transitions[1].to = NodeId(4),
            "node 3 (审批) cannot be reached",
        ),
        (
            |d| d.transitions[0].to = NodeId(3),
            "the transition of START must go to a NORMAL node, the submit node",
        ),
        (
            |d| d.nodes.push(d.nodes[1].clone()),
            "there are two nodes 2",
        ),
        (
            |d| d.transitions.push(transition(9, 2, 3)),
            "there are two transitions from node 2 (提单) to node 3 (审批)",
        ),
        (
            |d| d.nodes[2].processors = Processors::Person(Vec::new()),
            "node 3 (审批) is not configured: PERSON gives no processors",
        ),
        (
            |d| d.nodes[2].processors = Processors::Variable(vec!["title".into()]),
            "the processors of node 3 (审批) come from field title, which names no people",
        ),
        (
            |d| d.nodes[2].processors = Processors::Business(vec!["OPS".into()]),
            "node 3 (审批) uses a role of a business, but the workflow is not bound to a business",
        ),
        (
            |d| d.transitions[1].condition = Some(equals("GONE", "1")),
            "transition 2 uses GONE, which does not exist",
        ),
        (
            |d| d.transitions[1].condition = Some(equals("title", "1")),
            "node 2 (提单) has no default transition, and the conditions of its transitions do not cover every case: none holds for title != 1",
        ),
        (
            |d| {
                d.nodes[2].is_multi = true;
                d.nodes[2].finish_condition = Some(equals("title", "1"));
            },
            "the finish condition of node 3 (审批) uses title, which is no counter",
        ),
        (
            |d| insert_call(d, "TASK", "${title} ${ticket_sn} ${title__display} ${gone}"),
            "the API call of node 9 (n9) uses gone, which does not exist",
        ),
        (
            |d| insert_call(d, "TASK", "${ticket_gone}"),
            "the API call of node 9 (n9) uses ticket_gone, which does not exist",
        ),
        (
            |d| {
                d.fields[0].hidden_when = serde_json::from_value(
                    json!({ "expressions": [{ "key": "gone", "condition": "==", "value": "1" }] }),
                )
                .ok();
            },
            "field title is hidden by gone, which does not exist",
        ),
        (
            |d| {
                d.fields[0].rule = serde_json::from_value(json!({ "expressions": [{ "condition": "==", "source": "field", "key": "gone" }] })).ok();
            },
            "field title is compared with gone, which does not exist",
        ),
    ];
    for (change, reason) in cases {
        let mut definition = sound();
        change(&mut definition);
        let found = problems(&definition);
        assert!(
            found.iter().any(|problem| problem == reason),
            "{reason}: {found:?}"
        );
    }
    let mut webhook = sound();
    insert_call(&mut webhook, "WEBHOOK", "${gone}");
    assert_eq!(
        problems(&webhook),
        Vec::<String>::new(),
        "a client may send variables for webhooks with the ticket"
    );
    let many = Definition {
        fields: vec![sound().fields[0].clone(); FIELDS_MAX + 1],
        ..sound()
    };
    assert_eq!(problems(&many), ["1001 fields, at most 1000 are allowed"]);
}

/// Returns a workflow with two parallel branches. Its nodes are START 1, submit node 2, parallel gateway 3,
/// join node 6 and END 7. Node 4 is in the first branch, and node 5 is in the second branch.
fn forked() -> Definition {
    let title: Field = serde_json::from_value(
        json!({ "id": 1, "key": "title", "type": "STRING", "name": "t", "is_required": true }),
    )
    .expect("a field");
    let mut definition = Definition {
        nodes: [
            (1, "START"),
            (2, "NORMAL"),
            (3, "ROUTER-P"),
            (4, "NORMAL"),
            (5, "NORMAL"),
            (6, "COVERAGE"),
            (7, "END"),
        ]
        .into_iter()
        .map(|(id, kind)| node(id, kind))
        .collect(),
        transitions: [
            (1, 1, 2),
            (2, 2, 3),
            (3, 3, 4),
            (4, 3, 5),
            (5, 4, 6),
            (6, 5, 6),
            (7, 6, 7),
        ]
        .into_iter()
        .map(|(id, from, to)| transition(id, from, to))
        .collect(),
        fields: vec![title],
        ..Definition::default()
    };
    definition.nodes[1].fields = vec!["title".into()];
    definition
}

#[test]
fn gateways_are_paired_and_parallel_regions_are_closed() {
    assert_eq!(problems(&forked()), Vec::<String>::new());
    let parallel_regions =
        parallel_regions::parallel_regions(&forked()).expect("valid parallel regions");
    assert_eq!(parallel_regions.joins, [(NodeId(3), NodeId(6))].into());
    assert_eq!(
        parallel_regions.branch_of(NodeId(5)),
        Some(parallel_regions::Branch {
            fork: NodeId(3),
            transition: TransitionId(4)
        })
    );
    let cases: [(Change, &str); 6] = [
        (
            |d| d.transitions[4].to = NodeId(7),
            "END is reached inside parallel gateway 3 (n3), before its join",
        ),
        (
            |d| d.transitions[4].to = NodeId(5),
            "node 5 (n5) is reached from two branches; branches may meet only at their join",
        ),
        (
            |d| d.transitions.push(transition(9, 4, 2)),
            "node 2 (n2) is reached from two branches; branches may meet only at their join",
        ),
        (
            |d| d.transitions[1].to = NodeId(6),
            "join 6 (n6) is reached without its parallel gateway",
        ),
        (
            |d| {
                d.nodes.push(node(8, "ROUTER-P"));
                d.nodes.push(node(9, "NORMAL"));
                d.transitions[2].to = NodeId(8);
                d.transitions.extend([
                    transition(10, 8, 4),
                    transition(11, 8, 9),
                    transition(12, 9, 6),
                ]);
            },
            "parallel gateways 8 (n8) and 3 (n3) share join 6 (n6); each needs its own",
        ),
        (
            |d| {
                d.nodes.push(node(8, "ROUTER"));
                d.nodes.push(node(9, "WEBHOOK"));
                d.transitions[6].to = NodeId(8);
                d.transitions.extend([
                    transition(10, 8, 9),
                    Transition {
                        condition: Some(equals("title", "x")),
                        ..transition(11, 9, 8)
                    },
                    transition(12, 9, 7),
                ]);
            },
            "transition 10 from node 8 (n8) closes a loop without a node for people",
        ),
    ];
    for (change, reason) in cases {
        let mut definition = forked();
        change(&mut definition);
        let found = problems(&definition);
        assert!(
            found.iter().any(|problem| problem == reason),
            "{reason}: {found:?}"
        );
    }
}

#[test]
fn conditions_use_only_values_that_are_set_before() {
    let mut definition = forked();
    let late: Field = serde_json::from_value(
        json!({ "id": 2, "key": "late", "type": "STRING", "name": "l", "is_required": false }),
    )
    .expect("a field");
    definition.fields.push(late);
    definition.nodes[4].fields = vec!["late".into()];
    definition.transitions[2].condition = Some(equals("late", "1"));
    assert_eq!(
        problems(&definition),
        ["transition 3 uses late, which is set only at the later node 5 (n5)"]
    );
}

#[test]
fn only_a_valid_draft_is_deployed_and_versions_never_change() {
    let id = WorkflowId(3);
    let mut workflow = Workflow::default();
    let mut act = |command: &Command| {
        let decided = workflow.decide(command, &());
        decided
            .iter()
            .flatten()
            .for_each(|event| workflow.evolve(event));
        decided
            .map(|events| events.len())
            .map_err(|rejection| rejection.to_string())
    };
    let draft = |definition: Definition| Command::Draft {
        workflow: id,
        definition: Box::new(definition),
    };
    assert_eq!(
        act(&Command::Deploy {
            workflow: id,
            allows_open_cases: false
        }),
        Err("the workflow has no draft".into())
    );
    assert_eq!(
        act(&draft(Definition::default())),
        Ok(1),
        "a draft may be unfinished"
    );
    assert!(
        act(&Command::Deploy {
            workflow: id,
            allows_open_cases: false
        })
        .unwrap_err()
        .starts_with("the workflow cannot be deployed: there must be exactly one START node")
    );
    assert_eq!(act(&draft(sound())), Ok(1));
    assert_eq!(act(&draft(sound())), Ok(0));
    assert_eq!(
        act(&Command::Deploy {
            workflow: id,
            allows_open_cases: false
        }),
        Ok(1)
    );
    assert_eq!(
        act(&Command::Deploy {
            workflow: id,
            allows_open_cases: false
        }),
        Ok(1),
        "every deployment makes a new version"
    );
    assert_eq!(
        act(&Command::DeployVersion(Box::new(Deployed {
            workflow: id,
            version: 1,
            ..deployed()
        }))),
        Ok(0)
    );
    let other = Deployed {
        workflow: id,
        version: 1,
        definition: Definition {
            name: "other".into(),
            ..sound()
        },
    };
    assert_eq!(
        act(&Command::DeployVersion(Box::new(other))),
        Err("version 1 is deployed and cannot change".into())
    );
    assert_eq!(
        act(&Command::Remove {
            workflow: id,
            version: 1,
            used_by: vec![ServiceId(9)]
        }),
        Err("version 1 is used by services [ServiceId(9)] and cannot be removed".into())
    );
    assert_eq!(
        act(&Command::Remove {
            workflow: id,
            version: 1,
            used_by: Vec::new()
        }),
        Ok(1)
    );
    assert_eq!(
        act(&Command::Remove {
            workflow: id,
            version: 1,
            used_by: Vec::new()
        }),
        Err("version 1 does not exist".into())
    );
    assert_eq!(
        act(&Command::Restore {
            workflow: id,
            version: 1
        }),
        Ok(1),
        "a removed version can be restored as the draft"
    );
    assert_eq!(
        act(&Command::Deploy {
            workflow: id,
            allows_open_cases: false
        }),
        Ok(1)
    );
    assert!(
        !workflow.is_listed(1) && workflow.is_listed(3),
        "version numbers are not used twice"
    );
}

/// Returns a workflow with one automatic node of each kind. The service tasks (the work of these nodes) use
/// all possible settings.
fn automatic() -> Definition {
    let until = json!({ "type": "and", "expressions": [{ "type": "or", "expressions": [{ "key": "a.b", "type": "STRING", "condition": "==", "value": "it's \"so\"" }] }] });
    let request = json!({
        "does": "request", "method": "POST", "url": "https://x/${title}", "query": [{ "key": "q", "value": "${title}" }], "headers": [{ "key": "X-A", "value": "${ticket_sn}" }],
        "body": { "t": "${title}", "n": 1 }, "body_schema": { "type": "object", "properties": { "n": { "type": "integer" } } }, "secret": "pools", "timeout_ms": 1500, "attempts_max": 3, "success": until,
        "outputs": [{ "key": "pool", "name": "池", "path": "data.pool" }],
    });
    let mut polled = request.clone();
    polled["poll"] = json!({ "interval_ms": 2500, "times_max": 9, "until": until });
    let mut webhook = request.clone();
    webhook
        .as_object_mut()
        .expect("an object")
        .remove("body_schema");
    let task = json!({
        "does": "task", "url": "https://sops", "bk_biz_id": "2", "template_id": "88", "template_source": "business",
        "constants": [{ "key": "${ip}", "value": "${title}" }], "exclude_task_nodes_id": ["n1"], "secret": "sops", "polls_max": 7,
    });
    let mut definition = forked();
    for (id, kind, service_task) in [
        (4, "TASK", polled),
        (5, "WEBHOOK", webhook),
        (6, "TASK-SOPS", task),
    ] {
        let mut calling = node(id + 10, kind);
        calling.service_task = serde_json::from_value(service_task).expect("a service task");
        definition.nodes.push(calling);
        let on = definition
            .transitions
            .iter_mut()
            .find(|transition| transition.from == NodeId(id))
            .expect("a transition");
        let to = std::mem::replace(&mut on.to, NodeId(id + 10));
        definition
            .transitions
            .push(transition(id + 10, id + 10, to.0));
    }
    assert_eq!(problems(&definition), Vec::<String>::new());
    definition
}

#[test]
fn an_exported_definition_is_imported_unchanged() {
    let with = |service_task: serde_json::Value| {
        let mut definition = automatic();
        let mut nodes = definition.nodes.iter_mut();
        let node = nodes.find(|node| node.kind == NodeKind::Task);
        let node = node.expect("an automatic node");
        node.service_task = Some(serde_json::from_value(service_task).expect("a service task"));
        definition
    };
    let application = json!({ "does": "application", "kind": "log_collection", "fields": [{ "key": "days", "value": "7" }] });
    let mission = json!({ "does": "mission", "task_type": "patrol", "site": "hall", "station": "${station}", "expires_after_min": 5 });
    let reminding = Definition {
        notify_rule: "RETRY".into(),
        notify_freq: 7_200,
        notify: vec!["EMAIL".into(), "WEIXIN".into()],
        ..sound()
    };
    for (name, definition) in [
        ("sound", sound()),
        ("forked", forked()),
        ("automatic", automatic()),
        ("application", with(application)),
        ("mission", with(mission)),
        ("reminding", reminding),
    ] {
        let written = export::write(
            &definition,
            "20261125100000",
            &[(events::RoleId(5), "运维".to_owned())].into(),
        );
        let read = import::read(&written, &|role| {
            (role == "运维").then_some(events::RoleId(5))
        })
        .expect("reads");
        // If a field in the imported file has no layout, the import sets the layout to the full width of the
        // form.
        let mut expected = definition;
        expected
            .fields
            .iter_mut()
            .for_each(|field| field.layout = "COL_12".into());
        expected
            .fields
            .iter_mut()
            .filter(|field| field.is_approve_result)
            .for_each(|field| field.meta["code"] = "APPROVE_RESULT".into());
        expected
            .nodes
            .iter_mut()
            .for_each(|node| node.is_multi |= node.kind == NodeKind::Sign);
        assert_eq!(read.definition, expected, "{name}");
        assert_eq!(read.report, Vec::new(), "{name}");
    }
}

#[test]
fn the_rules_of_notifications_are_imported_and_exported_unchanged() {
    let mut file = export::write(&sound(), "1", &std::collections::BTreeMap::new());
    file[0]["notify_rule"] = "RETRY".into();
    file[0]["notify_freq"] = 7_200.into();
    file[0]["notify"] = json!(["EMAIL", 2]);
    let read = import::read(&file, &|_| None).expect("reads");
    assert_eq!(read.definition.notify, ["EMAIL", "2"]);
    let changed: Vec<&str> = read
        .report
        .iter()
        .filter_map(|note| match note {
            import::Note::Changed { place, .. } if place == "notify" => Some(place.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(changed.len(), 1, "only the number belongs to no channel");
    let written = export::write(&read.definition, "1", &std::collections::BTreeMap::new());
    for member in ["notify_rule", "notify_freq", "notify"] {
        assert_eq!(written[0][member], file[0][member], "{member}");
    }
    file[0]["notify_rule"] = "OFTEN".into();
    let read = import::read(&file, &|_| None).expect("reads");
    let dropped = import::Note::Dropped {
        place: "notify_rule".into(),
        what: "the unknown rule OFTEN".into(),
    };
    assert!(read.report.contains(&dropped), "{:?}", read.report);
    assert_eq!(read.definition.notify_rule, "");
}

#[test]
fn an_unreadable_file_gives_the_reason() {
    let no_role = |_: &str| None;
    for (file, reason) in [
        (
            json!([]),
            "the file has 0 workflows; one workflow is imported at a time",
        ),
        (
            json!({ "name": "x" }),
            "the workflow has neither states nor nodes",
        ),
        (
            json!({ "nodes": [{ "type": "START" }] }),
            "a node has no id",
        ),
        (
            json!({ "nodes": [{ "id": 3, "name": "流水线", "type": "TASK-DEVOPS" }] }),
            "node 3 (流水线) has the type \"TASK-DEVOPS\", which is not supported",
        ),
        (
            json!({ "nodes": [{ "id": 3, "type": "START" }], "fields": [{ "key": "a", "type": "SOPS_TEMPLATE" }] }),
            "field a has the type \"SOPS_TEMPLATE\", which is not supported",
        ),
        (
            json!({ "nodes": [{ "id": 3, "type": "START" }], "edges": [{ "id": 4, "from": 3 }] }),
            "transition 4 needs both ends",
        ),
    ] {
        assert_eq!(import::read(&file, &no_role).unwrap_err(), reason);
    }
}
