//! These tests check nodes that approve automatically and nodes that set the status of a ticket. They also
//! check tickets that a person submits for other people, and options that come from a dictionary.

use serde_json::{Value, json};
use tests::form;

use crate::TestDesk;
use crate::workflow_builder::{approval, line, manual, opinion, step};

async fn import(desk: &TestDesk, name: &str, flow: Value, more: Value) -> Value {
    let mut request = json!({ "name": name, "key": "request", "catalog_id": 4, "owners": "admin", "workflow": flow });
    request
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    desk.must("import_service", request).await["id"].clone()
}

fn flow(nodes: &[Value], lines: Value, fields: &[Value]) -> Value {
    let mut all = vec![
        json!({ "id": 1, "type": "START" }),
        json!({ "id": 2, "type": "NORMAL", "name": "提单" }),
        json!({ "id": 9, "type": "END" }),
    ];
    all.extend_from_slice(nodes);
    let mut form = vec![
        json!({ "id": 1, "key": "title", "name": "标题", "type": "STRING", "state_id": 2, "validate_type": "REQUIRE" }),
    ];
    form.extend_from_slice(fields);
    json!({ "nodes": all, "edges": lines, "fields": form })
}

#[tokio::test]
async fn an_approver_who_submits_approves_and_empty_nodes_are_skipped() {
    let desk = TestDesk::open().await;
    let no_processors =
        json!({ "processors_type": "VARIABLE", "processors": "who", "is_allow_skip": true });
    let nodes = [
        approval(3, "lisi,wangwu", json!({})),
        approval(4, "", no_processors),
        approval(5, "lisi,zhaoliu", json!({ "is_multi": true })),
    ];
    let who = json!({ "id": 6, "key": "who", "name": "谁", "type": "MEMBERS", "state_id": 2, "validate_type": "OPTION" });
    let mut flow = flow(
        &nodes,
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 5), line(5, 9)]),
        &[who, opinion(3), opinion(4), opinion(5)],
    );
    flow["is_auto_approve"] = true.into();
    let service = import(&desk, "自动过单", flow, json!({})).await;
    let body =
        json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t")]) });
    let sn = desk.must("create_ticket", body).await["sn"].clone();
    assert_eq!(
        step(&desk, &sn).await,
        json!([["审批5", "RUNNING", "TRANSITION"]]),
        "in a countersign only the creator's own vote is cast"
    );
    let status = desk.must("get_ticket_status", json!({ "sn": sn })).await;
    assert_eq!(status["current_steps"][0]["processors"], "zhaoliu");
    let story = desk.story(sn.as_str().unwrap()).await;
    assert_eq!(
        story
            .iter()
            .filter(|kind| **kind == "ticket.vote_cast")
            .count(),
        2
    );
    assert_eq!(
        story
            .iter()
            .filter(|kind| **kind == "ticket.node_skipped")
            .count(),
        1
    );
    desk.must(
        "approve",
        json!({ "sn": sn, "state_id": 5, "approver": "zhaoliu", "action": "true" }),
    )
    .await;
    assert_eq!(
        desk.must("ticket_approval_result", json!({ "sn": [sn] }))
            .await[0]["approve_result"],
        true
    );
    let logs = desk
        .must("get_ticket_logs", json!({ "sn": sn }))
        .await
        .to_string();
    assert!(logs.contains("当前节点处理人为空，系统自动跳过"), "{logs}");
}

#[tokio::test]
async fn a_node_sets_the_ticket_status_and_a_terminal_status_ends_the_ticket() {
    let desk = TestDesk::open().await;
    let status = |id: i64, name: &str, status: &str| {
        let mut node = manual(id, name, "wangwu");
        node["extras"] = json!({ "ticket_status": { "type": "custom", "name": status } });
        node
    };
    let nodes = [
        status(3, "确认", "CONFIRMED"),
        status(4, "关闭", "TERMINATED"),
    ];
    let service = import(
        &desk,
        "状态",
        flow(
            &nodes,
            json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
            &[],
        ),
        json!({}),
    )
    .await;
    let sn = desk
        .must(
            "create_ticket",
            json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t")]) }),
        )
        .await["sn"]
        .clone();
    let now = async || {
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"].clone()
    };
    assert_eq!(now().await, "CONFIRMED");
    assert_eq!(
        desk.must(
            "get_tickets",
            json!({ "current_status__in": ["CONFIRMED"] })
        )
        .await["count"],
        1
    );
    desk.must("operate_node", json!({ "sn": sn, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": [] })).await;
    assert_eq!(now().await, "TERMINATED");
}

#[tokio::test]
async fn submitting_for_another_person_needs_a_service_that_allows_agents() {
    let desk = TestDesk::open().await;
    let nodes = [manual(3, "处理", "wangwu")];
    let lines = json!([line(1, 2), line(2, 3), line(3, 9)]);
    let body = |service: &Value| json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t")]), "meta": { "ticket_agent": "chuyi" } });
    let closed = import(&desk, "不代提", flow(&nodes, lines.clone(), &[]), json!({})).await;
    assert_eq!(
        desk.refused("create_ticket", body(&closed)).await.1,
        "参数验证失败: 该服务不支持代提单"
    );
    let open = import(
        &desk,
        "代提",
        flow(&nodes, lines, &[]),
        json!({ "can_ticket_agency": true }),
    )
    .await;
    let sn = desk.must("create_ticket", body(&open)).await["sn"].clone();
    desk.must("operate_node", json!({ "sn": sn, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": [] })).await;
    desk.must(
        "comment",
        json!({ "sn": sn, "stars": 4, "operator": "chuyi" }),
    )
    .await;
}

#[tokio::test]
async fn options_come_from_a_dictionary_and_dates_are_compared() {
    let desk = TestDesk::open().await;
    let field = |more: Value| {
        let mut field = json!({ "state_id": 2, "validate_type": "OPTION" });
        field
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        field
    };
    let fields = [
        field(
            json!({ "id": 2, "key": "plat", "name": "平台", "type": "SELECT", "source_type": "DATADICT", "source_uri": "PLAT_TYPE" }),
        ),
        field(
            json!({ "id": 3, "key": "begin", "name": "开始", "type": "DATE", "regex": "AFTER_DATE" }),
        ),
        field(
            json!({ "id": 4, "key": "end", "name": "结束", "type": "DATE", "regex": "ASSOCIATED_FIELD_VALIDATION",
            "regex_config": { "rule": { "type": "and", "expressions": [{ "source": "field", "key": "begin", "condition": ">=", "type": "DATE" }] } } }),
        ),
    ];
    let service = import(
        &desk,
        "字典",
        flow(
            &[manual(3, "处理", "wangwu")],
            json!([line(1, 2), line(2, 3), line(3, 9)]),
            &fields,
        ),
        json!({}),
    )
    .await;
    let create = |more: &[(&str, &str)]| {
        let all: Vec<(&str, &str)> = [("title", "t")]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        json!({ "service_id": service, "creator": "lisi", "fields": form(&all) })
    };
    desk.must(
        "create_ticket",
        create(&[
            ("plat", "LINUX"),
            ("begin", "2026-11-23"),
            ("end", "2026-11-23"),
        ]),
    )
    .await;
    for (given, reason) in [
        (
            &[("plat", "AMIGA")][..],
            "提单失败: 【平台】选项不匹配，请重新选择",
        ),
        (
            &[("begin", "2026-11-22")][..],
            "提单失败: 【开始】必须晚于当前时间",
        ),
        (
            &[("begin", "2026-11-25"), ("end", "2026-11-24")][..],
            "提单失败: 【结束】不符合关联字段校验规则",
        ),
    ] {
        assert_eq!(
            desk.refused("create_ticket", create(given)).await,
            (3_900_003, reason.to_owned())
        );
    }
    let put = json!({ "name": "平台类型", "items": [{ "key": "AMIGA", "name": "Amiga" }] });
    assert_eq!(
        desk.v1("PUT", "dictionary/PLAT_TYPE", "admin", put).await.0,
        200
    );
    desk.must("create_ticket", create(&[("plat", "AMIGA")]))
        .await;
}
