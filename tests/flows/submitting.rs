//! These tests create tickets. They check the request members that are not form fields. They also check who
//! may submit a ticket for another person.

use serde_json::{Value, json};
use tests::{form, of_lisi_alone};

use crate::TestDesk;
use crate::workflow_builder::{approval, line, manual, opinion};

#[tokio::test]
async fn v1_accepts_callbacks_processors_dynamic_fields_and_variables() {
    let desk = TestDesk::open().await;
    let body = |more: Value| {
        let mut body = json!({ "service_id": 22, "fields": { "title": "申请权限", "apply_content": "x", "impact": "2", "urgency": "3", "ZHIDINGSHENPIREN": "zhangsan", "LIANXIDIANHUA": "13800000000" } });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let before = desk.head().await;
    for (more, field) in [
        (
            json!({ "callback": { "url": "ftp://x/" } }),
            "/callback/url",
        ),
        (json!({ "callback": "x" }), "/callback"),
        (
            json!({ "callback": { "url": "https://x/", "headers": 1 } }),
            "/callback/headers",
        ),
        (
            json!({ "callback": { "url": "https://x/", "on_status": "yes" } }),
            "/callback/on_status",
        ),
        (
            json!({ "processors": { "x": ["wangwu"] } }),
            "/processors/x",
        ),
        (json!({ "processors": { "3": "wangwu" } }), "/processors/3"),
        (
            json!({ "dynamic_fields": [{ "name": "备注", "type": "FILE", "value": "x" }] }),
            "/dynamic_fields/0/type",
        ),
        (json!({ "dynamic_fields": {} }), "/dynamic_fields"),
        (json!({ "envs": [] }), "/envs"),
    ] {
        let (status, problem) = desk.v1("POST", "tickets", "lisi", body(more.clone())).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (400, &json!(field)),
            "{more}: {problem}"
        );
    }
    let (status, problem) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            body(json!({ "processors": { "99": ["wangwu"] } })),
        )
        .await;
    assert_eq!(
        (status, problem["detail"].as_str().unwrap()),
        (409, "service 通用审批申请 has no node 99")
    );
    assert_eq!(desk.head().await, before, "rejected requests store nothing");
    let more = json!({
        "callback": { "url": "https://app.example.com/cb", "headers": { "X-Key": "k" }, "on_status": true }, "processors": { "3": ["zhaoliu"] },
        "dynamic_fields": [{ "name": "工单来源", "type": "STRING", "value": "巡检" }], "envs": { "colour": "red" },
    });
    let (status, opened) = desk.v1("POST", "tickets", "lisi", body(more)).await;
    assert_eq!(status, 201, "{opened}");
    let sn = &opened["sn"];
    let (_, shown) = desk
        .v1(
            "GET",
            &format!("tickets/{}", sn.as_str().unwrap()),
            "lisi",
            Value::Null,
        )
        .await;
    assert_eq!(
        (
            &shown["nodes"][1]["waiting_for"],
            &shown["dynamic_fields"][0]["value"]
        ),
        (&json!(["zhaoliu"]), &json!("巡检")),
        "{shown}"
    );
    desk.operate(sn, "suspend", "admin", json!({ "message": "x" }))
        .await;
    desk.settle().await;
    let calls = desk.receiver.calls.lock().expect("calls").clone();
    assert_eq!(calls.len(), 1, "the receiver gets the status");
    assert!(
        calls[0].url == "https://app.example.com/cb"
            && calls[0]
                .headers
                .contains(&("X-Key".to_owned(), "k".to_owned()))
    );
}

#[tokio::test]
async fn an_agent_does_not_approve_automatically_for_the_creator() {
    let desk = TestDesk::open().await;
    let nodes = json!([{ "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL", "name": "提单" }, approval(3, "zhangsan", json!({})), { "id": 9, "type": "END" }]);
    let title = json!({ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 });
    let flow = json!({ "name": "代提自审", "is_auto_approve": true, "nodes": nodes, "edges": [line(1, 2), line(2, 3), line(3, 9)], "fields": [title, opinion(3)] });
    let import_request = json!({ "name": "代提自审", "key": "request", "catalog_id": 4, "can_ticket_agency": true, "workflow": flow });
    let service = desk.must("import_service", import_request).await["id"].clone();
    let body = |agent: Option<&str>| {
        let mut body = json!({ "service_id": service, "creator": "zhangsan", "fields": form(&[("title", "t")]) });
        if let Some(agent) = agent {
            body["meta"] = json!({ "ticket_agent": agent });
        }
        body
    };
    let status = async |sn: &Value| {
        desk.must(
            "get_ticket_status",
            json!({ "sn": sn, "bk_username": "zhangsan" }),
        )
        .await["current_status"]
            .clone()
    };
    let own = desk.must("create_ticket", body(None)).await["sn"].clone();
    assert_eq!(
        status(&own).await,
        "FINISHED",
        "submitting approves automatically"
    );
    let for_another = desk
        .must("create_ticket", of_lisi_alone(body(Some("lisi"))))
        .await["sn"]
        .clone();
    assert_eq!(
        status(&for_another).await,
        "RUNNING",
        "lisi is not the approver"
    );
}

#[tokio::test]
async fn a_role_of_the_business_determines_who_may_submit() {
    let desk = TestDesk::open().await;
    let submit = json!({ "id": 2, "type": "NORMAL", "name": "提单", "processors_type": "CMDB", "processors": "OPS" });
    let nodes = json!([{ "id": 1, "type": "START" }, submit, manual(3, "处理", "wangwu"), { "id": 9, "type": "END" }]);
    let fields = json!([{ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 },
        { "id": 2, "key": "bk_biz_id", "name": "业务", "type": "SELECT", "validate_type": "OPTION", "state_id": 2, "source_type": "API" }]);
    let flow = json!({ "name": "业务提单", "is_biz_needed": true, "nodes": nodes, "edges": [line(1, 2), line(2, 3), line(3, 9)], "fields": fields });
    let service = desk
        .must(
            "import_service",
            json!({ "name": "业务提单", "key": "request", "catalog_id": 4, "workflow": flow }),
        )
        .await["id"]
        .clone();
    let create = |who: &str, business: &str| json!({ "service_id": service, "creator": who, "fields": form(&[("title", "t"), ("bk_biz_id", business)]) });
    desk.must("create_ticket", create("zhaoliu", "2")).await;
    for (who, business) in [("lisi", "2"), ("zhaoliu", "3")] {
        let (code, message) = desk.refused("create_ticket", create(who, business)).await;
        assert_eq!(
            (code, message),
            (
                3_900_003,
                format!("提单失败: 【{who}】没有任务【提单】的【提交】操作权限.")
            )
        );
    }
}
