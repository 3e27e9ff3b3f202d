//! These tests check decisions on tickets: votes, finish conditions (conditions on the vote counts that
//! complete a node), and who may submit the form of a node. They also check the limits of transfers to other
//! people, and transitions that managers select.

use serde_json::{Value, json};
use tests::form;

use crate::TestDesk;
use crate::workflow_builder::{approval, line, line_if, manual, opinion, service, step};

fn finish_when(key: &str, condition: &str, value: i64) -> Value {
    let clause = json!({ "key": key, "type": "INT", "condition": condition, "value": value });
    json!({ "is_multi": true, "finish_condition": { "type": "and", "expressions": [{ "type": "and", "expressions": [clause] }] } })
}

async fn opened(desk: &TestDesk, service: &Value, fields: &[(&str, &str)]) -> Value {
    let fields = form(&[&[("title", "t"), ("host", "h"), ("count", "1")], fields].concat());
    desk.must(
        "create_ticket",
        json!({ "service_id": service, "creator": "lisi", "fields": fields }),
    )
    .await["sn"]
        .clone()
}

async fn vote(desk: &TestDesk, sn: &Value, node: i64, who: &str, pass: bool) {
    desk.must("approve", json!({ "sn": sn, "state_id": node, "approver": who, "action": pass.to_string(), "remark": "" })).await;
}

async fn result(desk: &TestDesk, sn: &Value) -> (String, bool) {
    let result = desk
        .must("ticket_approval_result", json!({ "sn": [sn] }))
        .await[0]
        .clone();
    (
        result["current_status"].as_str().unwrap().to_owned(),
        result["approve_result"].as_bool().unwrap(),
    )
}

#[tokio::test]
async fn finish_conditions_end_votes_and_determine_their_result() {
    let desk = TestDesk::open().await;
    let lines = json!([line(1, 2), line(2, 3), line(3, 9)]);
    let deploy = async |name: &str, rule: Value| {
        service(
            &desk,
            name,
            json!([approval(3, "wangwu,zhaoliu,zhangsan", rule)]),
            lines.clone(),
            json!([opinion(3)]),
        )
        .await
    };
    let cases = [
        (
            "过半",
            finish_when("PASS_RATE_3", ">", 66),
            &[("wangwu", false), ("zhaoliu", true), ("zhangsan", true)][..],
            true,
        ),
        (
            "一票否决",
            finish_when("REJECT_COUNT_3", ">=", 1),
            &[("wangwu", true), ("zhaoliu", false)],
            false,
        ),
        (
            "两人即可",
            finish_when("PROCESS_COUNT_3", ">=", 2),
            &[("wangwu", false), ("zhaoliu", true)],
            false,
        ),
        (
            "两人通过",
            finish_when("PROCESS_COUNT_3", ">=", 2),
            &[("wangwu", true), ("zhaoliu", true)],
            true,
        ),
        (
            "全员",
            json!({ "is_multi": true }),
            &[("wangwu", true), ("zhaoliu", false), ("zhangsan", true)],
            false,
        ),
    ];
    for (name, rule, votes, passed) in cases {
        let service = deploy(name, rule).await;
        let sn = opened(&desk, &service, &[]).await;
        for (at, (who, pass)) in votes.iter().enumerate() {
            assert_eq!(
                step(&desk, &sn).await[0][1],
                "RUNNING",
                "{name}: the vote is still open before vote {at}"
            );
            vote(&desk, &sn, 3, who, *pass).await;
        }
        assert_eq!(
            result(&desk, &sn).await,
            ("FINISHED".to_owned(), passed),
            "{name}"
        );
        let node = desk
            .must(
                "get_approve_node_result",
                json!({ "sn": sn, "state_id": 3 }),
            )
            .await;
        assert_eq!(node["approve_result"], passed, "{name}");
    }
}

#[tokio::test]
async fn a_rejection_ends_the_ticket_if_the_node_requires_this() {
    let desk = TestDesk::open().await;
    let ends = json!({ "extras": { "enable_terminate_ticket_when_rejected": true } });
    let nodes = json!([approval(3, "wangwu", ends), manual(4, "执行", "zhangsan")]);
    let service = service(
        &desk,
        "拒绝即终止",
        nodes,
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
        json!([opinion(3)]),
    )
    .await;
    let (rejected, passed) = (
        opened(&desk, &service, &[]).await,
        opened(&desk, &service, &[]).await,
    );
    vote(&desk, &rejected, 3, "wangwu", false).await;
    vote(&desk, &passed, 3, "wangwu", true).await;
    assert_eq!(
        result(&desk, &rejected).await,
        ("TERMINATED".to_owned(), false)
    );
    assert_eq!(
        step(&desk, &passed).await,
        json!([["执行", "RUNNING", "TRANSITION"]])
    );
}

#[tokio::test]
async fn a_decision_counts_even_if_a_manager_selects_the_transition() {
    let desk = TestDesk::open().await;
    let city = json!({ "id": 7, "key": "city", "name": "城市", "type": "STRING", "state_id": 2, "validate_type": "OPTION", "is_personal": true });
    let compare = |to: i64, condition: &str| {
        let clause =
            json!({ "key": "city", "type": "STRING", "condition": condition, "value": "深圳" });
        json!({ "id": 30 + to, "from": 3, "to": to, "condition_type": "by_field", "condition": { "type": "and", "expressions": [{ "type": "and", "expressions": [clause] }] } })
    };
    let nodes = json!([
        approval(3, "wangwu", json!({})),
        manual(4, "执行", "zhangsan")
    ]);
    let lines = json!([
        line(1, 2),
        line(2, 3),
        compare(9, "=="),
        compare(4, "!="),
        line(4, 9)
    ]);
    let service = service(&desk, "无路可走", nodes, lines, json!([opinion(3), city])).await;
    let sn = opened(&desk, &service, &[("city", "深圳")]).await;
    desk.app
        .ledger
        .forget(&desk.app.people.find("lisi").await.unwrap())
        .await
        .unwrap();
    vote(&desk, &sn, 3, "wangwu", false).await;
    assert!(
        desk.story(sn.as_str().unwrap())
            .await
            .contains(&"ticket.transition_missing"),
        "no comparison with an erased value is true"
    );
    assert_eq!(
        desk.not_operated(
            &sn,
            "route",
            "wangwu",
            json!({ "node": 3, "transition": 39 })
        )
        .await
        .0,
        403
    );
    assert_eq!(
        desk.not_operated(&sn, "route", "admin", json!({ "node": 3, "transition": 1 }))
            .await
            .0,
        409,
        "a transition of another node"
    );
    desk.operate(
        &sn,
        "route",
        "admin",
        json!({ "node": 3, "transition": 39 }),
    )
    .await;
    assert_eq!(
        result(&desk, &sn).await,
        ("FINISHED".to_owned(), false),
        "the rejection counts, although a manager selected the transition"
    );
    let logs = desk
        .must("get_ticket_logs", json!({ "sn": sn }))
        .await
        .to_string();
    assert!(logs.contains("admin 选择了流转线"), "{logs}");
}

/// A node has two transitions: one for a passed approval and one for a rejected approval. If a ticket reaches
/// the node on a path without the approval, no transition is possible. In this case, the import must report
/// the node.
#[tokio::test]
async fn cases_are_covered_only_if_the_approval_is_on_every_path() {
    let desk = TestDesk::open().await;
    let gate = json!({ "id": 20, "key": "gate", "name": "需要审批", "type": "RADIO", "state_id": 2, "validate_type": "REQUIRE",
        "choice": [{ "key": "yes", "name": "是" }, { "key": "no", "name": "否" }] });
    let nodes = json!([{ "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL", "name": "提单", "processors_type": "OPEN" }, { "id": 9, "type": "END" },
        approval(3, "wangwu", json!({})), manual(4, "处理", "wangwu"), manual(5, "复核", "wangwu")]);
    let title = json!({ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 });
    let workflow = |around: Value| {
        let lines = json!([
            line(1, 2),
            line_if(2, 3, "gate", "yes"),
            around,
            line(3, 4),
            line_if(4, 9, "NODE_APPROVE_RESULT_3", "true"),
            line_if(4, 5, "NODE_APPROVE_RESULT_3", "false"),
            line(5, 9)
        ]);
        json!({ "name": "绕行", "nodes": nodes, "fields": [title, gate, opinion(3)], "edges": lines })
    };
    let file = |name: &str, workflow: Value| json!({ "name": name, "key": "request", "catalog_id": 4, "workflow": workflow });
    let open = desk
        .must(
            "import_service",
            file("绕行", workflow(line_if(2, 4, "gate", "no"))),
        )
        .await["report"]
        .to_string();
    assert!(
        open.contains("node 4") && open.contains("no transition holds for"),
        "a path avoids the approval: {open}"
    );
    let covered = desk
        .must(
            "import_service",
            file("直达", workflow(line_if(2, 9, "gate", "no"))),
        )
        .await["report"]
        .to_string();
    assert!(!covered.contains("no transition holds for"), "{covered}");
}

#[tokio::test]
async fn a_ticket_can_be_withdrawn_until_the_configured_node() {
    let desk = TestDesk::open().await;
    let nodes = json!([manual(3, "一", "wangwu"), manual(4, "二", "wangwu"), { "id": 9, "type": "END" }, { "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL", "name": "提单" }]);
    let title = json!([{ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 }]);
    let workflow = json!({ "name": "撤单", "is_revocable": true, "revoke_config": { "type": 3, "state": 4 }, "nodes": nodes, "fields": title,
        "edges": [line(1, 2), line(2, 3), line(3, 4), line(4, 9)] });
    let service = desk
        .must(
            "import_service",
            json!({ "name": "撤单", "key": "request", "catalog_id": 4, "workflow": workflow }),
        )
        .await["id"]
        .clone();
    let create = async || {
        desk.must(
            "create_ticket",
            json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t")]) }),
        )
        .await["sn"]
            .clone()
    };
    let withdraw = |sn: &Value| json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" });
    let (before, after) = (create().await, create().await);
    desk.must("operate_ticket", withdraw(&before)).await;
    desk.must("operate_node", json!({ "sn": after, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": [] })).await;
    assert_eq!(
        desk.refused("operate_ticket", withdraw(&after)).await,
        (3_900_005, "0:抱歉，单据执行中，无法撤销".into())
    );
    // A ticket list contains withdrawn tickets only if the request selects the status of withdrawn
    // tickets.
    let found = async |body: Value| {
        desk.must("get_tickets_by_user", body).await["items"]
            .to_string()
            .contains(before.as_str().unwrap())
    };
    for view in [
        "my_created",
        "my_dealt",
        "my_todo",
        "my_attention",
        "my_history",
    ] {
        for user in ["lisi", "wangwu"] {
            assert!(
                !found(json!({ "user": user, "view_type": view })).await,
                "{view} of {user}"
            );
        }
    }
    assert!(
        found(
            json!({ "user": "lisi", "view_type": "my_created", "current_status__in": ["REVOKED"] })
        )
        .await
    );
    assert_eq!(
        desk.must("get_tickets", json!({ "sns": [before] })).await["items"][0]["current_status"],
        "REVOKED"
    );
}

#[tokio::test]
async fn a_node_is_transferred_only_within_its_configured_range() {
    let desk = TestDesk::open().await;
    let mut node = manual(3, "处理", "zhangsan");
    node.as_object_mut().unwrap().extend(
        json!({ "can_deliver": true, "delivers_type": "PERSON", "delivers": "wangwu" })
            .as_object()
            .unwrap()
            .clone(),
    );
    let service = service(
        &desk,
        "转单范围",
        json!([node]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([]),
    )
    .await;
    let sn = opened(&desk, &service, &[]).await;
    let deliver = |to: &str| json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "DELIVER", "processors_type": "PERSON", "processors": to, "action_message": "x" });
    let (code, message) = desk.refused("operate_node", deliver("chuyi")).await;
    assert_eq!(
        (code, message.contains("chuyi")),
        (3_900_005, true),
        "{message}"
    );
    desk.must("operate_node", deliver("wangwu")).await;
}

#[tokio::test]
async fn only_processors_of_the_submit_node_may_submit() {
    let desk = TestDesk::open().await;
    let submit = |kind: &str, who: &str| json!({ "id": 2, "type": "NORMAL", "name": "提单", "processors_type": kind, "processors": who });
    let deploy = async |name: &str, submit: Value| {
        let nodes = json!([{ "id": 1, "type": "START" }, submit, manual(3, "处理", "wangwu"), { "id": 9, "type": "END" }]);
        let fields = json!([{ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 }]);
        let workflow = json!({ "name": name, "nodes": nodes, "fields": fields, "edges": [line(1, 2), line(2, 3), line(3, 9)] });
        desk.must(
            "import_service",
            json!({ "name": name, "key": "request", "catalog_id": 4, "workflow": workflow }),
        )
        .await["id"]
            .clone()
    };
    let create = |service: &Value, who: &str| json!({ "service_id": service, "creator": who, "fields": form(&[("title", "t")]) });
    let named = deploy("限制提单", submit("PERSON", "lisi")).await;
    desk.must("create_ticket", create(&named, "lisi")).await;
    let refused = (
        3_900_003,
        "提单失败: 【chuyi】没有任务【提单】的【提交】操作权限.".to_owned(),
    );
    assert_eq!(
        desk.refused("create_ticket", create(&named, "chuyi")).await,
        refused
    );
    assert_eq!(
        desk.v1(
            "POST",
            "tickets",
            "chuyi",
            json!({ "service_id": named, "fields": { "title": "t" } })
        )
        .await
        .0,
        403
    );
    let open = deploy("不限提单", submit("OPEN", "")).await;
    desk.must("create_ticket", create(&open, "chuyi")).await;
}

#[tokio::test]
async fn the_priority_follows_the_fields_of_every_node_and_may_be_chosen() {
    let desk = TestDesk::open().await;
    let choice = |key: &str, node: i64, id: i64| json!({ "id": id, "key": key, "name": key, "type": "SELECT", "state_id": node, "validate_type": "OPTION", "source_type": "DATADICT", "source_uri": key.to_uppercase() });
    let fields = json!([
        choice("impact", 3, 11),
        choice("urgency", 3, 12),
        choice("priority", 4, 13)
    ]);
    let nodes = json!([
        manual(3, "分级", "wangwu"),
        manual(4, "调整", "wangwu"),
        manual(5, "处理", "wangwu")
    ]);
    let service = service(
        &desk,
        "分级",
        nodes,
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 5), line(5, 9)]),
        fields,
    )
    .await;
    let sn = opened(&desk, &service, &[]).await;
    let priority =
        async || desk.must("get_ticket_info", json!({ "sn": sn })).await["priority_key"].clone();
    let submit = |node: i64, fields: &[(&str, &str)]| json!({ "sn": sn, "operator": "wangwu", "state_id": node, "action_type": "TRANSITION", "fields": form(fields) });
    assert_eq!(priority().await, Value::Null);
    desk.must(
        "operate_node",
        submit(3, &[("impact", "3"), ("urgency", "3")]),
    )
    .await;
    assert_eq!(priority().await, "3");
    desk.must("operate_node", submit(4, &[("priority", "1")]))
        .await;
    assert_eq!(
        priority().await,
        "1",
        "a chosen priority replaces the calculated one"
    );
    let listed = desk
        .must("get_tickets_by_user", json!({ "user": "wangwu" }))
        .await["items"][0]
        .clone();
    assert_eq!(
        (&listed["priority_name"], &listed["meta"]["priority"]["key"]),
        (&json!("低"), &json!("1"))
    );
}

#[tokio::test]
async fn a_countersign_cannot_be_escalated() {
    let desk = TestDesk::open().await;
    let nodes = json!([approval(3, "wangwu,zhaoliu", json!({ "is_multi": true }))]);
    let service = service(
        &desk,
        "会签",
        nodes,
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([opinion(3)]),
    )
    .await;
    let sn = opened(&desk, &service, &[]).await;
    let (status, reason) = desk
        .not_operated(
            &sn,
            "escalate",
            "lisi",
            json!({ "node": 3, "message": "急" }),
        )
        .await;
    assert!(status == 409 && reason.contains("has a vote"), "{reason}");
    vote(&desk, &sn, 3, "wangwu", true).await;
    vote(&desk, &sn, 3, "zhaoliu", true).await;
    assert_eq!(
        result(&desk, &sn).await,
        ("FINISHED".to_owned(), true),
        "no other vote is needed"
    );
}

#[tokio::test]
async fn a_manual_choice_is_a_node_result_and_a_countersign_names_its_voters() {
    let desk = TestDesk::open().await;
    let answer = json!({ "id": 20, "key": "approval_result", "name": "结论", "type": "RADIO", "state_id": 3, "validate_type": "REQUIRE",
        "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "不通过" }] });
    let sign_opinion = json!({ "id": 21, "key": "sign", "name": "意见", "type": "SELECT", "state_id": 4, "validate_type": "REQUIRE",
        "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "拒绝" }] });
    let sign = json!({ "id": 4, "type": "SIGN", "name": "会签", "processors_type": "PERSON", "processors": "wangwu,zhaoliu" });
    let nodes = json!([manual(3, "评估", "admin"), sign, manual(5, "不做", "admin")]);
    let lines = json!([
        line(1, 2),
        line(2, 3),
        line_if(3, 4, "approval_result", "true"),
        line(3, 5),
        line(4, 9),
        line(5, 9)
    ]);
    let service = service(&desk, "评估", nodes, lines, json!([answer, sign_opinion])).await;
    for (chosen, expected) in [("false", false), ("true", true)] {
        let mut body = json!({ "service_id": service, "creator": "lisi", "meta": { "callback_url": "https://app.example.com/cb" } });
        body["fields"] = form(&[("title", "t"), ("host", "h"), ("count", "1")]);
        let sn = desk.must("create_ticket", body).await["sn"].clone();
        let submit = |who: &str, node: i64, field: &str, value: &str| json!({ "sn": sn, "operator": who, "state_id": node, "action_type": "TRANSITION", "fields": form(&[(field, value)]) });
        desk.must(
            "operate_node",
            submit("admin", 3, "approval_result", chosen),
        )
        .await;
        let node = desk
            .must(
                "get_approve_node_result",
                json!({ "sn": sn, "state_id": 3 }),
            )
            .await;
        assert_eq!(
            node["approve_result"], expected,
            "the service of the log platform decides with a manual node"
        );
        if expected {
            desk.must("operate_node", submit("wangwu", 4, "sign", "true"))
                .await;
            desk.must("operate_node", submit("zhaoliu", 4, "sign", "false"))
                .await;
            desk.settle().await;
            let calls = desk.receiver.calls.lock().unwrap().clone();
            let called: Value = serde_json::from_slice(&calls.last().unwrap().body).unwrap();
            assert_eq!(called["last_approver"], "wangwu,zhaoliu");
            let logs = desk.must("get_ticket_logs", json!({ "sn": sn })).await["logs"].clone();
            let entries = logs
                .as_array()
                .unwrap()
                .iter()
                .filter(|log| log["message"].as_str().unwrap().contains("会签"))
                .count();
            assert_eq!(entries, 2, "one log entry for each vote: {logs}");
        }
    }
}

#[tokio::test]
async fn conditions_compare_people_by_name_in_transitions_forms_and_files() {
    let desk = TestDesk::open().await;
    let clause = |key: &str, kind: &str, sign: &str, value: Value| json!({ "type": "and", "expressions": [{ "key": key, "type": kind, "condition": sign, "value": value }] });
    let mut by_member = line(2, 3);
    by_member["condition_type"] = "by_field".into();
    by_member["condition"] = json!({ "type": "and", "expressions": [clause("who", "MEMBERS", "issuperset", json!("zhangsan"))] });
    let mut by_creator = line(2, 4);
    by_creator["condition_type"] = "by_field".into();
    by_creator["condition"] = json!({ "type": "and", "expressions": [clause("ticket_creator", "STRING", "==", json!("chuyi"))] });
    let fields = json!([
        { "id": 7, "key": "who", "name": "谁", "type": "MEMBERS", "state_id": 2, "validate_type": "OPTION" },
        { "id": 8, "key": "why", "name": "缘由", "type": "STRING", "state_id": 2, "validate_type": "REQUIRE", "show_type": 0,
          "show_conditions": clause("who", "MEMBERS", "notissuperset", json!(["zhangsan"])) },
    ]);
    let nodes = json!([
        manual(3, "甲", "wangwu"),
        manual(4, "乙", "wangwu"),
        manual(5, "丙", "wangwu")
    ]);
    let lines = json!([
        line(1, 2),
        by_member,
        by_creator,
        line(2, 5),
        line(3, 9),
        line(4, 9),
        line(5, 9)
    ]);
    let service = service(&desk, "认人", nodes, lines, fields).await;
    for (creator, who, why, name) in [
        ("lisi", "wangwu,zhangsan", Some("要写"), "甲"),
        ("chuyi", "wangwu", None, "乙"),
        ("lisi", "wangwu", None, "丙"),
        ("lisi", "somebody-new", None, "丙"),
    ] {
        let mut given = vec![("title", "t"), ("who", who)];
        given.extend(why.map(|why| ("why", why)));
        let sn = desk
            .must(
                "create_ticket",
                json!({ "service_id": service, "creator": creator, "fields": form(&given) }),
            )
            .await["sn"]
            .clone();
        assert_eq!(step(&desk, &sn).await[0][0], name, "{creator} {who}");
    }
    let refused =
        desk.refused("create_ticket", json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t"), ("who", "zhangsan")]) })).await;
    assert!(
        refused.1.contains("why"),
        "the field is shown with zhangsan, and is required: {refused:?}"
    );
    // In responses, the conditions of a workflow contain user names instead of person ids. An exported
    // workflow file can therefore be imported again.
    let flow = desk
        .must("get_service_detail", json!({ "service_id": service }))
        .await["workflow_id"]
        .as_i64()
        .unwrap();
    let (_, exported) = desk
        .v1(
            "GET",
            &format!("workflows/{}/versions/1/export", flow / 10_000),
            "admin",
            Value::Null,
        )
        .await;
    let text = exported.to_string();
    assert!(
        text.contains(r#""value":"zhangsan""#)
            && text.contains(r#""value":["zhangsan"]"#)
            && text.contains(r#""value":"chuyi""#),
        "{text}"
    );
    let (_, shown) = desk
        .v1(
            "GET",
            &format!("services/{service}/form"),
            "lisi",
            Value::Null,
        )
        .await;
    let detail = desk
        .must("get_service_detail", json!({ "service_id": service }))
        .await;
    assert!(
        shown.to_string().contains(r#""value":["zhangsan"]"#)
            && detail.to_string().contains(r#""value":["zhangsan"]"#),
        "{shown} {detail}"
    );
    // In this workflow file, a condition contains an invalid user name. The desk must reject the import,
    // and the error must contain the invalid name. The desk must not register the other people in the
    // file.
    let mut wrong = exported.clone();
    wrong[0]["transitions"] =
        serde_json::from_str(&wrong[0]["transitions"].to_string().replace("chuyi", "a;b")).unwrap();
    for state in wrong[0]["states"]
        .as_object_mut()
        .unwrap()
        .values_mut()
        .filter(|state| state["name"] == "甲")
    {
        state["processors"] = "xinlai".into();
    }
    let (status, problem) = desk
        .v1(
            "POST",
            "workflows/import",
            "admin",
            json!({ "workflow": wrong }),
        )
        .await;
    assert!(
        (400..500).contains(&status)
            && problem["detail"]
                .as_str()
                .unwrap()
                .contains("\"a;b\" is not a user name"),
        "{status} {problem}"
    );
    assert!(desk.app.ledger.keys.find("xinlai").await.unwrap().is_none());
}

#[tokio::test]
async fn the_approver_variable_is_a_user_name_in_calls_and_in_conditions() {
    let desk = TestDesk::open().await;
    let mut node = approval(3, "wangwu,zhaoliu", json!({}));
    node["variables"]["outputs"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "key": "decider", "meta": { "code": "NODE_APPROVER" } }));
    let mut call = crate::workflow_builder::api(4, crate::workflow_builder::account_api());
    call["api_info"]["req_body"] = json!({ "approver": "${decider}" });
    let lines = json!([
        line(1, 2),
        line(2, 3),
        line_if(3, 4, "decider", "zhaoliu"),
        line(3, 9),
        line(4, 9)
    ]);
    let service = service(
        &desk,
        "谁批的",
        json!([node, call]),
        lines,
        json!([opinion(3)]),
    )
    .await;
    for (who, calls) in [("wangwu", 0), ("zhaoliu", 1)] {
        let sn = opened(&desk, &service, &[]).await;
        vote(&desk, &sn, 3, who, true).await;
        desk.settle().await;
        assert_eq!(desk.receiver.calls.lock().unwrap().len(), calls, "{who}");
    }
    let body = desk.receiver.calls.lock().unwrap()[0].body.clone();
    assert_eq!(
        serde_json::from_slice::<Value>(&body).unwrap(),
        json!({ "approver": "zhaoliu" })
    );
}

#[tokio::test]
async fn reassigning_a_vote_keeps_the_votes_that_were_cast() {
    let desk = TestDesk::open().await;
    let nodes = json!([approval(
        3,
        "wangwu,zhaoliu,chuyi",
        finish_when("PASS_RATE_3", ">=", 60)
    )]);
    let service = service(
        &desk,
        "改派会签",
        nodes,
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([opinion(3)]),
    )
    .await;
    let sn = opened(&desk, &service, &[]).await;
    vote(&desk, &sn, 3, "wangwu", true).await;
    vote(&desk, &sn, 3, "zhaoliu", false).await;
    desk.operate(
        &sn,
        "reassign",
        "admin",
        json!({ "node": 3, "to": { "people": ["weier"] } }),
    )
    .await;
    vote(&desk, &sn, 3, "weier", false).await;
    assert_eq!(
        result(&desk, &sn).await,
        ("FINISHED".to_owned(), false),
        "one of three votes is less than 60 percent"
    );
}

#[tokio::test]
async fn a_vote_form_sets_priority_and_status() {
    let desk = TestDesk::open().await;
    let choice = |key: &str, id: i64| json!({ "id": id, "key": key, "name": key, "type": "SELECT", "state_id": 3, "validate_type": "OPTION", "source_type": "DATADICT", "source_uri": key.to_uppercase() });
    let status = json!({ "id": 13, "key": "current_status", "name": "状态", "type": "SELECT", "state_id": 3, "validate_type": "OPTION", "choice": [{ "key": "CONFIRMED", "name": "已确认" }] });
    let fields = json!([
        choice("impact", 11),
        choice("urgency", 12),
        status,
        opinion(3)
    ]);
    let nodes = json!([
        approval(3, "wangwu", json!({})),
        manual(4, "处理", "zhaoliu")
    ]);
    let service = service(
        &desk,
        "表决定级",
        nodes,
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
        fields,
    )
    .await;
    let sn = opened(&desk, &service, &[]).await;
    let filled = form(&[
        ("o3", "true"),
        ("impact", "3"),
        ("urgency", "3"),
        ("current_status", "CONFIRMED"),
    ]);
    desk.must("operate_node", json!({ "sn": sn, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": filled })).await;
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(
        (&info["priority_key"], &info["current_status"]),
        (&json!("3"), &json!("CONFIRMED"))
    );
}

#[tokio::test]
async fn the_remark_of_a_decision_is_from_the_last_round() {
    let desk = TestDesk::open().await;
    let sn = desk
        .must(
            "create_ticket",
            json!({ "fast_approval": true, "creator": "lisi", "fields": form(&[("title", "t"), ("APPROVER", "wangwu"), ("APPROVAL_CONTENT", "c")]) }),
        )
        .await["sn"]
        .clone();
    let filled = form(&[
        ("SHENPIYIJIAN", "false"),
        ("SHENPIBEIZHU", "备注"),
        ("JUJUELIYOU", "理由"),
    ]);
    desk.must("operate_node", json!({ "sn": sn, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": filled })).await;
    let node = desk
        .must(
            "get_approve_node_result",
            json!({ "sn": sn, "state_id": 3 }),
        )
        .await;
    assert_eq!(
        (
            &node["approve_result"],
            &node["approve_remark"],
            &node["processed_user"]
        ),
        (&json!(false), &json!("理由"), &json!("wangwu")),
        "{node}"
    );
    // The approver first rejects with a remark, and the ticket returns to the submit node. When the
    // ticket reaches the approval node again, the approver approves without a remark. The result must not
    // show the remark of the rejection.
    let text = |id: i64, key: &str, required: &str| json!({ "id": id, "key": key, "name": key, "type": "TEXT", "state_id": 3, "validate_type": required });
    let who = json!({ "id": 30, "key": "helper", "name": "协助人", "type": "MEMBERS", "state_id": 3, "validate_type": "OPTION" });
    let lines = json!([
        line(1, 2),
        line(2, 3),
        line_if(3, 2, "NODE_APPROVE_RESULT_3", "false"),
        line(3, 9)
    ]);
    let fields = json!([
        opinion(3),
        who,
        text(31, "word", "OPTION"),
        text(32, "reason", "OPTION")
    ]);
    let service = service(
        &desk,
        "两轮",
        json!([approval(3, "wangwu", json!({}))]),
        lines,
        fields,
    )
    .await;
    let sn = opened(&desk, &service, &[]).await;
    let submit = |node: i64, who: &str, fields: &[(&str, &str)]| json!({ "sn": sn, "operator": who, "state_id": node, "action_type": "TRANSITION", "fields": form(fields) });
    desk.must(
        "operate_node",
        submit(3, "wangwu", &[("o3", "false"), ("reason", "太贵")]),
    )
    .await;
    desk.must("operate_node", submit(2, "lisi", &[("title", "t2")]))
        .await;
    desk.must(
        "operate_node",
        submit(3, "wangwu", &[("o3", "true"), ("helper", "zhaoliu")]),
    )
    .await;
    let node = desk
        .must(
            "get_approve_node_result",
            json!({ "sn": sn, "state_id": 3 }),
        )
        .await;
    assert_eq!(
        (&node["approve_result"], &node["approve_remark"]),
        (&json!(true), &json!("")),
        "{node}"
    );
}

#[tokio::test]
async fn form_fields_depend_on_outputs_of_earlier_nodes() {
    let desk = TestDesk::open().await;
    let why = json!({ "id": 20, "key": "why", "name": "缘由", "type": "STRING", "state_id": 4, "validate_type": "REQUIRE", "show_type": 0,
        "show_conditions": { "type": "and", "expressions": [{ "key": "NODE_APPROVE_RESULT_3", "type": "STRING", "condition": "==", "value": "true" }] } });
    let nodes = json!([
        approval(3, "wangwu", json!({})),
        manual(4, "处理", "zhaoliu")
    ]);
    let service = service(
        &desk,
        "随审批显示",
        nodes,
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
        json!([opinion(3), why]),
    )
    .await;
    for (pass, taken) in [(true, true), (false, false)] {
        let sn = opened(&desk, &service, &[]).await;
        vote(&desk, &sn, 3, "wangwu", pass).await;
        let submit = json!({ "sn": sn, "operator": "zhaoliu", "state_id": 4, "action_type": "TRANSITION", "fields": [] });
        assert_eq!(
            desk.call("operate_node", submit).await["result"],
            taken,
            "the field is optional after a rejection, and required after an approval"
        );
    }
}

#[tokio::test]
async fn a_ticket_can_be_withdrawn_until_the_configured_gateway() {
    let desk = TestDesk::open().await;
    let nodes = json!([manual(3, "一", "wangwu"), { "id": 4, "type": "ROUTER-P" }, manual(5, "二", "wangwu"), manual(6, "三", "wangwu"), { "id": 7, "type": "COVERAGE" }, { "id": 9, "type": "END" },
        { "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL", "name": "提单" }]);
    let title = json!([{ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 }]);
    let workflow = json!({ "name": "撤到网关", "is_revocable": true, "revoke_config": { "type": 3, "state": 4 }, "nodes": nodes, "fields": title,
        "edges": [line(1, 2), line(2, 3), line(3, 4), line(4, 5), line(4, 6), line(5, 7), line(6, 7), line(7, 9)] });
    let service = desk
        .must(
            "import_service",
            json!({ "name": "撤到网关", "key": "request", "catalog_id": 4, "workflow": workflow }),
        )
        .await["id"]
        .clone();
    let sn = desk
        .must(
            "create_ticket",
            json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t")]) }),
        )
        .await["sn"]
        .clone();
    let withdraw = json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" });
    let may = async || {
        let listed = desk
            .must(
                "get_tickets_by_user",
                json!({ "user": "lisi", "view_type": "my_created" }),
            )
            .await;
        listed["items"][0]["can_withdraw"].clone()
    };
    assert_eq!(may().await, true);
    desk.must("operate_node", json!({ "sn": sn, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": [] })).await;
    assert_eq!(may().await, false);
    assert_eq!(
        desk.refused("operate_ticket", withdraw).await.1,
        "0:抱歉，单据执行中，无法撤销"
    );
}
