//! Tests the search for open cases.

use serde_json::{Value, json};

use super::*;

fn definition(fields: &Value, node: &Value) -> Definition {
    let mut approval = json!({ "id": 3, "name": "审批", "kind": "APPROVAL", "fields": ["o"], "outputs": [
        { "key": "result", "holds": "NODE_APPROVE_RESULT" }, { "key": "rejected", "holds": "REJECT_COUNT" }, { "key": "passed", "holds": "PASS_COUNT" },
        { "key": "pass_rate", "holds": "PASS_RATE" }, { "key": "reject_rate", "holds": "REJECT_RATE" }] });
    approval
        .as_object_mut()
        .expect("an object")
        .extend(node.as_object().expect("an object").clone());
    let mut all = vec![
        json!({ "id": 99, "key": "o", "type": "RADIO", "name": "审批意见", "is_required": true, "is_approve_result": true,
        "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "拒绝" }] }),
    ];
    all.extend(fields.as_array().expect("fields").clone());
    let keys: Vec<Value> = fields
        .as_array()
        .expect("fields")
        .iter()
        .map(|field| field["key"].clone())
        .collect();
    let definition = json!({ "name": "d", "fields": all, "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 4 }],
        "nodes": [{ "id": 1, "name": "", "kind": "START" }, { "id": 2, "name": "", "kind": "NORMAL", "fields": keys }, approval, { "id": 4, "name": "", "kind": "END" }] });
    serde_json::from_value(definition).expect("a definition")
}

/// Returns a description of an open case of the node. In an open case, no transition has a true
/// condition. The parameter `transitions` contains each transition as an operator (`and` or `or`) and a
/// list of clauses.
fn open(definition: &Definition, node: i64, transitions: &[(&str, Value)]) -> Option<String> {
    let transitions: Vec<Transition> = transitions
        .iter()
        .map(|(join, clauses)| {
            let clauses: Vec<Value> = clauses
                .as_array()
                .expect("clauses")
                .iter()
                .map(|clause| json!({ "key": clause[0], "type": clause[1], "condition": clause[2], "value": clause[3] }))
                .collect();
            let condition = json!({ "type": "and", "expressions": [{ "type": join, "expressions": clauses }] });
            serde_json::from_value(json!({ "id": 9, "from": node, "to": 4, "condition": condition })).expect("a transition")
        })
        .collect();
    open_case(
        definition,
        NodeId(node),
        &transitions.iter().collect::<Vec<_>>(),
        &mut { TRIES_MAX },
    )
}

#[test]
fn a_case_without_a_transition_is_named() {
    let fields = json!([
        { "key": "ok", "type": "RADIO", "name": "是否", "is_required": true, "choice": [{ "key": "y", "name": "是" }, { "key": "n", "name": "否" }] },
        { "key": "amount", "type": "INT", "name": "金额", "is_required": true },
        { "key": "kind", "type": "STRING", "name": "类型", "is_required": true },
        { "key": "day", "type": "DATE", "name": "日期", "is_required": true },
        { "key": "tags", "type": "CHECKBOX", "name": "标签", "choice": [{ "key": "a", "name": "甲" }, { "key": "b", "name": "乙" }] },
        { "key": "more", "type": "STRING", "name": "其他" },
    ]);
    let definition = definition(&fields, &json!({}));
    let open_at_2 = |transitions: &[(&str, Value)]| open(&definition, 2, transitions);
    let yes = json!(["ok", "RADIO", "==", "y"]);
    let (large, small) = (
        json!(["amount", "INT", ">=", 1000]),
        json!(["amount", "INT", "<", 1000]),
    );
    assert_eq!(
        open_at_2(&[
            ("and", json!([yes, large])),
            ("and", json!([yes, small])),
            ("and", json!([["ok", "RADIO", "==", "n"]]))
        ]),
        None
    );
    assert_eq!(
        open_at_2(&[
            ("and", json!([yes])),
            ("and", json!([["ok", "RADIO", "==", "n"], small]))
        ])
        .as_deref(),
        Some("ok = 否, amount >= 1000")
    );
    assert_eq!(
        open_at_2(&[
            ("and", json!([large])),
            ("and", json!([["amount", "INT", "<", 10]]))
        ])
        .as_deref(),
        Some("amount >= 10, amount < 1000")
    );
    assert_eq!(
        open_at_2(&[
            ("and", json!([["amount", "INT", ">", 10]])),
            ("and", json!([["amount", "INT", "<", 10]]))
        ])
        .as_deref(),
        Some("amount = 10")
    );
    let of = |text: &str| json!([["kind", "STRING", "==", text]]);
    assert_eq!(
        open_at_2(&[("and", of("会签")), ("and", of("或签"))]).as_deref(),
        Some("kind != 会签, kind != 或签")
    );
    assert_eq!(
        open_at_2(&[
            ("and", json!([["day", "DATE", "<", "2026-01-01"]])),
            ("and", json!([["day", "DATE", ">", "2026-01-01"]]))
        ])
        .as_deref(),
        Some("day = 2026-01-01")
    );
    assert_eq!(
        open_at_2(&[
            ("and", json!([["day", "DATE", "<=", "2026-01-01"]])),
            ("and", json!([["day", "DATE", ">", "2026-01-01"]]))
        ]),
        None
    );
    assert_eq!(
        open_at_2(&[
            ("and", json!([["tags", "CHECKBOX", "issuperset", "a"]])),
            ("and", json!([["tags", "CHECKBOX", "issuperset", "b"]]))
        ])
        .as_deref(),
        Some("tags is empty")
    );
    assert_eq!(
        open_at_2(&[
            ("and", json!([["more", "STRING", "!=", "x"]])),
            ("and", json!([["more", "STRING", "==", "x"]]))
        ]),
        None
    );
    assert_eq!(
        open_at_2(&[
            ("and", json!([["more", "STRING", "==", "x"]])),
            ("and", json!([["more", "STRING", "notin", "x,y"]]))
        ])
        .as_deref(),
        Some("more = y")
    );
}

#[test]
fn the_number_of_tested_cases_is_bounded() {
    let definition = definition(
        &json!([{ "key": "amount", "type": "INT", "name": "金额", "is_required": true }]),
        &json!({}),
    );
    let clause = json!({ "key": "amount", "type": "INT", "condition": ">", "value": 10 });
    let condition =
        json!({ "type": "and", "expressions": [{ "type": "and", "expressions": [clause] }] });
    let transition: Transition =
        serde_json::from_value(json!({ "id": 9, "from": 2, "to": 4, "condition": condition }))
            .expect("a transition");
    let mut left = TRIES_MAX;
    assert!(
        open_case(&definition, NodeId(2), &[&transition], &mut left)
            .is_some_and(|case| case.starts_with("amount"))
    );
    assert!(left < TRIES_MAX);
    assert_eq!(
        open_case(&definition, NodeId(2), &[&transition], &mut 0).as_deref(),
        Some(UNTRIED)
    );
}

#[test]
fn conditions_on_outcomes_of_a_vote_cover_each_other() {
    let countersign = json!({ "is_multi": true });
    let early = json!({ "is_multi": true, "finish_condition": { "expressions": [{ "expressions": [{ "key": "REJECT_COUNT", "type": "INT", "condition": ">=", "value": 1 }] }] } });
    let ending = json!({ "is_multi": true, "terminate_when_rejected": true });
    let skipped = json!({ "is_multi": true, "is_allow_skip": true });
    let result = |is: &str| json!([["result", "SELECT", "==", is]]);
    let count = |key: &str, sign: &str, value: i64| json!([[key, "INT", sign, value]]);
    let covered = [
        (
            &countersign,
            vec![result("true"), count("rejected", ">=", 1)],
        ),
        (
            &countersign,
            vec![count("rejected", ">", 0), result("true")],
        ),
        (
            &countersign,
            vec![result("true"), count("reject_rate", ">", 0)],
        ),
        (
            &countersign,
            vec![result("true"), count("pass_rate", "<", 100)],
        ),
        (
            &countersign,
            vec![result("false"), count("rejected", "==", 0)],
        ),
        (
            &countersign,
            vec![result("false"), count("pass_rate", "==", 100)],
        ),
        (
            &countersign,
            vec![
                json!([["o", "RADIO", "==", "false"]]),
                json!([["o", "RADIO", "==", "true"]]),
            ],
        ),
        (&early, vec![result("true"), count("rejected", "==", 1)]),
        (&ending, vec![result("true")]),
        (&skipped, vec![result("true"), count("rejected", ">=", 1)]),
    ];
    for (node, transitions) in covered {
        let transitions: Vec<(&str, Value)> = transitions
            .into_iter()
            .map(|clauses| ("and", clauses))
            .collect();
        assert_eq!(
            open(&definition(&json!([]), node), 3, &transitions),
            None,
            "{node} {transitions:?}"
        );
    }
    let open_cases = [
        (
            &countersign,
            vec![result("true"), count("rejected", "==", 1)],
            "NODE_APPROVE_RESULT = false, REJECT_COUNT = 2",
        ),
        (
            &countersign,
            vec![result("true")],
            "NODE_APPROVE_RESULT = false",
        ),
        (
            &json!({}),
            vec![result("true"), count("passed", ">=", 1)],
            "NODE_APPROVE_RESULT = false, PASS_COUNT = 0",
        ),
    ];
    for (node, transitions, case) in open_cases {
        let transitions: Vec<(&str, Value)> = transitions
            .into_iter()
            .map(|clauses| ("and", clauses))
            .collect();
        let found = open(&definition(&json!([]), node), 3, &transitions).expect("open");
        let mut parts: Vec<&str> = found.split(", ").collect();
        let mut expected: Vec<&str> = case.split(", ").collect();
        parts.sort_unstable();
        expected.sort_unstable();
        assert_eq!(parts, expected, "{transitions:?}");
    }
}
