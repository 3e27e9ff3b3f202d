//! These tests check how several people work on tickets: remarks, followers (people who watch a ticket),
//! ratings and reminders. They also check links between tickets, parent and child tickets, and the operations
//! of managers.

use serde_json::{Value, json};
use tests::{approval_request, change, incident};

use crate::TestDesk;
use crate::workflow_builder::{approval, line, manual, open, opinion, service, step};

async fn ticket(desk: &TestDesk, body: Value) -> Value {
    desk.must("create_ticket", body).await["sn"].clone()
}

#[tokio::test]
async fn internal_remarks_are_hidden_from_the_requester_and_replies_are_linked() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, approval_request()).await;
    desk.operate(
        &sn,
        "remark",
        "zhangsan",
        json!({ "text": "请补充<script>alert(1)</script>", "people": ["lisi"] }),
    )
    .await;
    desk.operate(
        &sn,
        "remark",
        "lisi",
        json!({ "text": "已补充", "parent": 1 }),
    )
    .await;
    desk.operate(
        &sn,
        "remark",
        "zhangsan",
        json!({ "text": "内部备注", "internal": true, "people": [] }),
    )
    .await;
    assert_eq!(
        desk.not_operated(&sn, "remark", "lisi", json!({ "text": "x", "parent": 9 }))
            .await,
        (409, "there is no remark 9".into())
    );
    assert_eq!(
        desk.not_operated(&sn, "remark", "luren", json!({ "text": "x" }))
            .await
            .0,
        403
    );
    assert_eq!(
        desk.not_operated(&sn, "remark", "lisi", json!({ "text": " " }))
            .await
            .0,
        400
    );
    let path = format!("tickets/{}/remarks", sn.as_str().unwrap());
    let (_, seen) = desk.v1("GET", &path, "zhangsan", Value::Null).await;
    let texts: Vec<_> = seen["remarks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|remark| {
            (
                remark["id"].clone(),
                remark["parent"].clone(),
                remark["mentions"].clone(),
            )
        })
        .collect();
    assert_eq!(
        texts,
        [
            (json!(1), Value::Null, json!(["lisi"])),
            (json!(2), json!(1), json!([])),
            (json!(3), Value::Null, json!([]))
        ]
    );
    let (_, requester) = desk.v1("GET", &path, "lisi", Value::Null).await;
    assert_eq!(
        requester["remarks"].as_array().unwrap().len(),
        2,
        "internal remarks are hidden from the requester"
    );
    let path = format!("tickets/{}/events", sn.as_str().unwrap());
    for (reader, sees) in [
        ("lisi", false),
        ("luren", false),
        ("zhangsan", true),
        ("admin", true),
    ] {
        let (_, history) = desk.v1("GET", &path, reader, Value::Null).await;
        assert_eq!(history.to_string().contains("内部备注"), sees, "{reader}");
    }
    let (status, unrelated) = desk
        .v1(
            "GET",
            &format!("tickets/{}/remarks", sn.as_str().unwrap()),
            "luren",
            Value::Null,
        )
        .await;
    assert_eq!(
        (status, &unrelated["remarks"]),
        (403, &Value::Null),
        "unrelated people read no remarks"
    );
}

#[tokio::test]
async fn followers_see_the_ticket_in_their_list_and_one_rating_is_allowed() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, approval_request()).await;
    desk.must(
        "add_follower",
        json!({ "sn": sn, "users": "chuyi,weier", "attention": true, "operator": "lisi" }),
    )
    .await;
    desk.must(
        "add_follower",
        json!({ "sn": sn, "users": "weier", "attention": false, "operator": "lisi" }),
    )
    .await;
    let list = async |user: &str, view: &str| {
        desk.must(
            "get_tickets_by_user",
            json!({ "user": user, "view_type": view }),
        )
        .await["count"]
            .clone()
    };
    assert_eq!(
        (
            list("chuyi", "my_attention").await,
            list("weier", "my_attention").await
        ),
        (json!(1), json!(0))
    );
    assert_eq!(
        (
            list("zhangsan", "my_approval").await,
            list("zhangsan", "my_todo").await,
            list("lisi", "my_created").await
        ),
        (json!(1), json!(1), json!(1))
    );
    let rate = json!({ "sn": sn, "stars": 5, "comments": "很快", "operator": "lisi" });
    assert_eq!(
        desk.refused("comment", rate.clone()).await,
        (3_900_005, "参数验证失败: 单据未完成，无法评价".into())
    );
    desk.must("approve", json!({ "sn": sn, "state_id": 3, "approver": "zhangsan", "action": "true", "remark": "同意开通" })).await;
    desk.must("proceed_approval", json!({ "process_inst_id": sn, "activity": 4, "handler": "admin", "submit_action": "true", "submit_opinion": "" })).await;
    assert_eq!(list("zhangsan", "my_dealt").await, json!(1));
    assert_eq!(
        desk.must("get_approver", json!({ "sn": sn, "state_id": 3 }))
            .await["approver"],
        "zhangsan"
    );
    let result = desk
        .must(
            "get_approve_node_result",
            json!({ "sn": sn, "state_id": 3 }),
        )
        .await;
    assert_eq!(
        result,
        json!({ "name": "负责人审批", "processed_user": "zhangsan", "approve_result": true, "approve_remark": "同意开通" })
    );
    assert_eq!(
        desk.refused(
            "comment_ticket",
            json!({ "sn": sn, "stars": 5, "operator": "zhangsan" })
        )
        .await
        .1,
        "参数验证失败: 只有提单人可以评价"
    );
    desk.must("comment_ticket", rate.clone()).await;
    assert_eq!(
        desk.refused("comment", rate).await.1,
        "参数验证失败: 该单据已经被评价"
    );
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(
        (
            &info["is_commented"],
            info["comment_id"].as_str().unwrap().is_empty()
        ),
        (&json!(true), false)
    );
    let logs = desk
        .must("get_ticket_logs", json!({ "sn": sn }))
        .await
        .to_string();
    assert!(logs.contains("lisi 评价了单据：5 星."), "{logs}");
}

#[tokio::test]
async fn a_ticket_without_a_rating_is_rated_automatically_at_the_deadline() {
    let desk = TestDesk::open().await;
    let service = service(
        &desk,
        "评价",
        json!([manual(3, "处理", "wangwu")]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([]),
    )
    .await;
    let sn = open(&desk, &service).await;
    desk.must("operate_node", json!({ "sn": sn, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": [] })).await;
    desk.clock.advance(3 * 86_400_000 - 1);
    desk.settle().await;
    let stars = async |sn: &Value| {
        desk.v1(
            "GET",
            &format!("tickets/{}", sn.as_str().unwrap()),
            "lisi",
            Value::Null,
        )
        .await
        .1["stars"]
            .clone()
    };
    assert_eq!(stars(&sn).await, Value::Null);
    desk.clock.advance(1);
    desk.settle().await;
    assert_eq!(stars(&sn).await, 4);
    let rated = open(&desk, &service).await;
    desk.must("operate_node", json!({ "sn": rated, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": [] })).await;
    desk.operate(&rated, "rate", "lisi", json!({ "stars": 2 }))
        .await;
    desk.clock.advance(4 * 86_400_000);
    desk.settle().await;
    assert_eq!(stars(&rated).await, 2, "a rating in time is not replaced");
}

#[tokio::test]
async fn a_chat_button_decides_and_shows_the_outcome() {
    let desk = TestDesk::open().await;
    let opened = desk.must("create_ticket", tests::approval_request()).await;
    let press = |who: &str, status: &str| json!({ "context": { "ticket_id": opened["id"], "state_id": "3" }, "approver": who, "status": status });
    let (code, message) = desk
        .refused("proceed_fast_approval", press("luren", "true"))
        .await;
    assert_eq!(
        (code, message.as_str()),
        (-1, "单据审批失败，luren不是当前节点的审批人，无法审批")
    );
    assert_eq!(
        desk.refused("proceed_fast_approval", press("zhangsan", "maybe"))
            .await
            .0,
        3_900_005
    );
    assert_eq!(
        desk.refused(
            "proceed_fast_approval",
            json!({ "approver": "zhangsan", "status": "true" })
        )
        .await
        .0,
        3_900_005
    );
    let done = desk
        .call("proceed_fast_approval", press("zhangsan", "true"))
        .await;
    assert_eq!(
        (&done["result"], &done["code"], &done["data"]),
        (&json!(true), &json!(0), &Value::Null)
    );
    let message = done["message"].as_str().expect("a message");
    assert!(
        message.contains("审批成功通知")
            && message.contains(opened["sn"].as_str().expect("sn"))
            && message.ends_with("您的审批动作为：通过"),
        "{message}"
    );
    let (code, message) = desk
        .refused("proceed_fast_approval", press("wangwu", "false"))
        .await;
    assert!(
        code == -1 && message.ends_with("当前单据审批操作已被处理"),
        "{message}"
    );
    let result = desk
        .must(
            "get_approve_node_result",
            json!({ "sn": opened["sn"], "state_id": 3 }),
        )
        .await;
    assert_eq!(
        (&result["processed_user"], &result["approve_remark"]),
        (&json!("zhangsan"), &json!("快速审批"))
    );
}

#[tokio::test]
async fn an_incident_raises_a_change_and_both_show_the_link_until_unlinked() {
    let desk = TestDesk::open().await;
    let incident = desk.must("create_ticket", incident()).await;
    let mut body = change();
    body["from_ticket_id"] = incident["id"].clone();
    let raised = ticket(&desk, body.clone()).await;
    desk.settle().await;
    let links = async |sn: &Value| {
        desk.v1(
            "GET",
            &format!("tickets/{}", sn.as_str().unwrap()),
            "lisi",
            Value::Null,
        )
        .await
        .1["links"]
            .clone()
    };
    assert_eq!(
        links(&raised).await,
        json!([{ "sn": incident["sn"], "relation": "raised_from" }])
    );
    assert_eq!(
        links(&incident["sn"]).await,
        json!([{ "sn": raised, "relation": "raised" }]),
        "the incident shows the inverse relation"
    );
    desk.operate(
        &incident["sn"],
        "unlink",
        "lisi",
        json!({ "other": raised }),
    )
    .await;
    desk.settle().await;
    assert_eq!(
        (links(&raised).await, links(&incident["sn"]).await),
        (json!([]), json!([]))
    );
    let story = desk.story(raised.as_str().unwrap()).await;
    assert!(
        story.contains(&"ticket.linked") && story.contains(&"ticket.unlinked"),
        "the history keeps the link: {story:?}"
    );
    body["creator"] = "luren".into();
    assert!(
        desk.refused("create_ticket", body)
            .await
            .1
            .starts_with("from_ticket_id:抱歉，luren无权操作源单据")
    );
    let over_v1 =
        |from: Value| json!({ "service_id": 20, "from": from, "fields": fields_of(&change()) });
    assert_eq!(
        desk.v1("POST", "tickets", "luren", over_v1(incident["sn"].clone()))
            .await
            .0,
        403,
        "both APIs apply the same rule"
    );
    assert_eq!(
        desk.v1(
            "POST",
            "tickets",
            "lisi",
            over_v1(json!("INC20200101000001"))
        )
        .await
        .1["errors"][0]["field"],
        "/from"
    );
    desk.operate(
        &incident["sn"],
        "close",
        "admin",
        json!({ "status": "FINISHED", "message": "转变更" }),
    )
    .await;
    assert_eq!(
        desk.v1("POST", "tickets", "lisi", over_v1(incident["sn"].clone()))
            .await
            .0,
        409,
        "an ended ticket raises no other ticket"
    );
}

/// Converts the list `fields` of a BlueKing request to the object `fields` of a `/v1` request.
fn fields_of(body: &Value) -> Value {
    let pairs = body["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .map(|field| {
            (
                field["key"].as_str().expect("a key").to_owned(),
                field["value"].clone(),
            )
        });
    Value::Object(pairs.collect())
}

#[tokio::test]
async fn a_child_is_read_only_and_ends_with_its_parent() {
    let desk = TestDesk::open().await;
    let (parent, child) = (
        ticket(&desk, approval_request()).await,
        ticket(&desk, approval_request()).await,
    );
    let other = ticket(&desk, incident()).await;
    assert_eq!(
        desk.not_operated(
            &child,
            "link",
            "admin",
            json!({ "other": other, "relation": "child_of" })
        )
        .await
        .0,
        409,
        "another service"
    );
    desk.operate(
        &child,
        "link",
        "zhangsan",
        json!({ "other": parent, "relation": "child_of" }),
    )
    .await;
    desk.settle().await;
    let vote = |sn: &Value| json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": tests::form(&[("FZR_YIJIAN", "false"), ("FZR_LIYOU", "x")]) });
    let read_only = (3_900_005, "0:抱歉，子单为只读状态，无法操作".to_owned());
    assert_eq!(desk.refused("operate_node", vote(&child)).await, read_only);
    for (operator, action) in [
        ("zhangsan", "SUSPEND"),
        ("zhangsan", "UNSUSPEND"),
        ("zhangsan", "TERMINATE"),
        ("lisi", "WITHDRAW"),
    ] {
        let body = json!({ "sn": child, "operator": operator, "action_type": action, "action_message": "x" });
        assert_eq!(
            desk.refused("operate_ticket", body).await,
            read_only,
            "{action}"
        );
    }
    assert_eq!(
        desk.refused(
            "edit_field",
            json!({ "sn": child, "operator": "lisi", "fields": tests::form(&[("title", "x")]) })
        )
        .await,
        read_only
    );
    assert_eq!(
        desk.not_operated(&child, "close", "admin", json!({ "status": "FINISHED" }))
            .await
            .0,
        409
    );
    let todo = desk
        .must(
            "get_tickets_by_user",
            json!({ "user": "zhangsan", "view_type": "my_todo" }),
        )
        .await;
    let waiting: Vec<_> = todo["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["sn"].clone())
        .collect();
    assert_eq!(
        json!(waiting),
        json!([parent]),
        "the to-do list shows only the parent"
    );
    let third = ticket(&desk, approval_request()).await;
    assert_eq!(
        desk.not_operated(
            &third,
            "link",
            "zhangsan",
            json!({ "other": child, "relation": "child_of" })
        )
        .await
        .0,
        409,
        "a child has no children"
    );
    desk.must("operate_node", vote(&parent)).await;
    desk.settle().await;
    let status = async |sn: &Value| {
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"].clone()
    };
    assert_eq!(
        (status(&parent).await, status(&child).await),
        (json!("FINISHED"), json!("FINISHED"))
    );
    let result = desk
        .must("ticket_approval_result", json!({ "sn": [child] }))
        .await;
    assert_eq!(
        result[0]["approve_result"], false,
        "the child takes the outcome of the parent"
    );
    assert_eq!(
        desk.not_operated(
            &third,
            "link",
            "admin",
            json!({ "other": parent, "relation": "child_of" })
        )
        .await
        .0,
        409,
        "an ended ticket takes no children"
    );
}

#[tokio::test]
async fn linking_needs_permission_on_both_tickets() {
    let desk = TestDesk::open().await;
    let mut body = approval_request();
    body["creator"] = "luren".into();
    let (mine, theirs) = (
        ticket(&desk, body).await,
        ticket(&desk, approval_request()).await,
    );
    for relation in ["related", "raised", "raised_from", "parent_of", "child_of"] {
        let refused = desk
            .not_operated(
                &mine,
                "link",
                "luren",
                json!({ "other": theirs, "relation": relation }),
            )
            .await;
        assert_eq!(refused.0, 403, "{relation}: {}", refused.1);
    }
    // The user lisi created both tickets but may not end them. A child ends together with its parent. Only a
    // person who may end a ticket may therefore make this ticket a child, so the desk must reject the link.
    let second = ticket(&desk, approval_request()).await;
    assert_eq!(
        desk.not_operated(
            &theirs,
            "link",
            "lisi",
            json!({ "other": second, "relation": "child_of" })
        )
        .await
        .0,
        403
    );
    desk.operate(
        &theirs,
        "link",
        "lisi",
        json!({ "other": second, "relation": "related" }),
    )
    .await;
    desk.settle().await;
    let links = async |sn: &Value, reader: &str| {
        desk.v1(
            "GET",
            &format!("tickets/{}", sn.as_str().unwrap()),
            reader,
            Value::Null,
        )
        .await
        .1["links"]
            .clone()
    };
    assert_eq!(
        (links(&mine, "luren").await, links(&second, "lisi").await),
        (json!([]), json!([{ "sn": theirs, "relation": "related" }]))
    );
}

#[tokio::test]
async fn a_link_that_the_other_ticket_rejects_is_removed() {
    let desk = TestDesk::open().await;
    let (parent, child) = (
        ticket(&desk, approval_request()).await,
        ticket(&desk, approval_request()).await,
    );
    // A link between a parent ticket and a child ticket is stored first by the child, and then by the
    // parent. Between these two steps, the parent ends. The desk must remove the link from the child, and
    // the child must stay open.
    desk.operate(
        &child,
        "link",
        "zhangsan",
        json!({ "other": parent, "relation": "child_of" }),
    )
    .await;
    desk.operate(&parent, "close", "admin", json!({ "status": "TERMINATED" }))
        .await;
    desk.settle().await;
    let (_, shown) = desk
        .v1(
            "GET",
            &format!("tickets/{}", child.as_str().unwrap()),
            "lisi",
            Value::Null,
        )
        .await;
    assert_eq!(
        (&shown["links"], &shown["current_status"]),
        (&json!([]), &json!("RUNNING"))
    );
    desk.must("approve", json!({ "sn": child, "state_id": 3, "approver": "zhangsan", "action": "true", "remark": "" })).await;
}

#[tokio::test]
async fn managers_reassign_nodes_without_processors_and_close_tickets() {
    let desk = TestDesk::open().await;
    let lines = json!([line(1, 2), line(2, 3), line(3, 9)]);
    // An optional form field contains the people who process this node. If the field is empty, no person
    // can process the node.
    let node = json!({ "id": 3, "type": "NORMAL", "name": "无人处理", "processors_type": "VARIABLE", "processors": "who" });
    let who = json!([{ "id": 7, "key": "who", "name": "处理人", "type": "MEMBERS", "state_id": 2, "validate_type": "OPTION" }]);
    let service = service(&desk, "无人", json!([node]), lines, who).await;
    let sn = open(&desk, &service).await;
    assert!(
        desk.story(sn.as_str().unwrap())
            .await
            .contains(&"ticket.processors_missing"),
        "a missing processor is recorded as an event"
    );
    assert_eq!(
        desk.not_operated(
            &sn,
            "reassign",
            "lisi",
            json!({ "node": 3, "to": { "people": ["wangwu"] } })
        )
        .await
        .0,
        403
    );
    desk.operate(
        &sn,
        "reassign",
        "admin",
        json!({ "node": 3, "to": { "people": ["wangwu"] }, "message": "请代处理" }),
    )
    .await;
    desk.must("operate_node", json!({ "sn": sn, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": [] })).await;
    let sn = open(&desk, &service).await;
    assert_eq!(
        desk.not_operated(&sn, "close", "admin", json!({ "status": "RUNNING" }))
            .await,
        (400, "status RUNNING does not end tickets".into())
    );
    desk.operate(
        &sn,
        "close",
        "admin",
        json!({ "status": "FINISHED", "message": "已线下处理" }),
    )
    .await;
    let logs = desk
        .must("get_ticket_logs", json!({ "sn": sn }))
        .await
        .to_string();
    assert!(logs.contains("admin 关闭了单据：已线下处理."), "{logs}");
}

#[tokio::test]
async fn work_is_acknowledged_resolved_and_escalated() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, incident()).await;
    desk.operate(&sn, "acknowledge", "sunba", json!({})).await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["一线处理", "RUNNING", "TRANSITION"]]),
        "acknowledging an unclaimed node claims the node"
    );
    desk.operate(&sn, "acknowledge", "sunba", json!({})).await;
    assert_eq!(
        desk.story(sn.as_str().unwrap())
            .await
            .iter()
            .filter(|kind| **kind == "ticket.acknowledged")
            .count(),
        1
    );
    desk.operate(&sn, "acknowledge", "sunba", json!({})).await;
    assert_eq!(
        desk.story(sn.as_str().unwrap())
            .await
            .iter()
            .filter(|kind| **kind == "ticket.acknowledged")
            .count(),
        1,
        "a second acknowledgement stores no event"
    );
    let (code, reason) = desk.not_operated(&sn, "resolve", "sunba", json!({})).await;
    assert_eq!(code, 400, "a form has to be filled in: {reason}");
    desk.operate(
        &sn,
        "resolve",
        "sunba",
        json!({ "fields": { "YIXIANJIEGUO": "SHENGJI", "YIXIANSHUOMING": "需要二线" } }),
    )
    .await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([["二线处理", "DISTRIBUTING", "DISTRIBUTE"]])
    );
    desk.operate(
        &sn,
        "escalate",
        "lisi",
        json!({ "message": "两小时无人处理" }),
    )
    .await;
    let (_, shown) = desk
        .v1(
            "GET",
            &format!("tickets/{}", sn.as_str().unwrap()),
            "lisi",
            Value::Null,
        )
        .await;
    let node = shown["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["node"] == 4)
        .unwrap()
        .clone();
    assert_eq!(
        (&node["waiting_for"], &node["level"]),
        (&json!(["zhangsan", "admin"]), &json!(1)),
        "the leader of the processor may act as well"
    );
    let approval = ticket(&desk, approval_request()).await;
    desk.operate(&approval, "resolve", "wangwu", json!({ "message": "可以" }))
        .await;
    assert_eq!(
        step(&desk, &approval).await,
        json!([["管理员审批", "RUNNING", "TRANSITION"]]),
        "resolving an approval node approves"
    );
}

#[tokio::test]
async fn only_the_creator_and_the_supervisors_may_remind() {
    let desk = TestDesk::open().await;
    let flow = |needed: bool| {
        json!({ "name": "督办", "is_supervise_needed": needed, "supervise_type": "PERSON", "supervisor": "chuyi",
            "nodes": [{ "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL", "name": "提单" }, manual(3, "处理", "wangwu"), { "id": 9, "type": "END" }],
            "edges": [line(1, 2), line(2, 3), line(3, 9)],
            "fields": [{ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 }] })
    };
    for needed in [true, false] {
        let import_request = json!({ "name": format!("督办{needed}"), "key": "request", "catalog_id": 4, "workflow": flow(needed) });
        let service = desk.must("import_service", import_request).await["id"].clone();
        let sn = ticket(&desk, json!({ "service_id": service, "creator": "lisi", "fields": tests::form(&[("title", "t")]) })).await;
        if needed {
            desk.operate(&sn, "remind", "lisi", json!({ "message": "急" }))
                .await;
            desk.operate(&sn, "remind", "chuyi", json!({})).await;
            assert_eq!(
                desk.not_operated(&sn, "remind", "weier", json!({})).await.0,
                403
            );
            let logs = desk
                .must("get_ticket_logs", json!({ "sn": sn }))
                .await
                .to_string();
            assert!(logs.contains("chuyi 督办了单据：wangwu."), "{logs}");
        } else {
            assert_eq!(
                desk.not_operated(&sn, "remind", "lisi", json!({})).await,
                (409, "this workflow does not allow reminding".into())
            );
        }
    }
}

#[tokio::test]
async fn a_batch_of_decisions_returns_one_result_per_ticket() {
    let desk = TestDesk::open().await;
    let mut decisions = Vec::new();
    for _ in 0..3 {
        decisions.push(json!({ "sn": ticket(&desk, approval_request()).await, "node": 3, "pass": true, "message": "批量" }));
    }
    decisions.push(json!({ "sn": "REQ19990101000001", "node": 3, "pass": true }));
    let (status, answer) = desk
        .v1_with(
            "POST",
            "decisions",
            "zhangsan",
            json!({ "decisions": decisions }),
            &[("idempotency-key", "k1")],
        )
        .await;
    assert_eq!(status, 200);
    let done: Vec<bool> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["done"].as_bool().unwrap())
        .collect();
    assert_eq!(done, [true, true, true, false]);
    let (_, again) = desk
        .v1_with(
            "POST",
            "decisions",
            "zhangsan",
            json!({ "decisions": decisions }),
            &[("idempotency-key", "k1")],
        )
        .await;
    assert_eq!(
        again["results"], answer["results"],
        "a repeated batch returns the same results"
    );
    // A request with several decisions is rejected completely if one of the decisions is malformed.
    let sn = ticket(&desk, approval_request()).await;
    let half = json!({ "decisions": [{ "sn": sn, "node": 3, "pass": true }, { "sn": sn }] });
    let (status, problem) = desk.v1("POST", "decisions", "zhangsan", half).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (400, &json!("/decisions/1/node"))
    );
    assert_eq!(
        step(&desk, &sn).await,
        json!([["负责人审批", "RUNNING", "TRANSITION"]])
    );
}

#[tokio::test]
async fn changed_fields_update_the_priority() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, approval_request()).await;
    let edit =
        |fields: Value, operator: &str| json!({ "sn": sn, "operator": operator, "fields": fields });
    desk.must(
        "edit_field",
        edit(
            tests::form(&[("urgency", "1"), ("title", "改过的标题")]),
            "lisi",
        ),
    )
    .await;
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(
        (&info["priority_key"], &info["title"]),
        (&json!("1"), &json!("改过的标题")),
        "impact 2 and urgency 1"
    );
    assert_eq!(
        desk.refused(
            "edit_field",
            edit(tests::form(&[("FZR_YIJIAN", "true")]), "lisi")
        )
        .await
        .1,
        "参数验证失败: 字段【FZR_YIJIAN】不允许修改"
    );
    assert_eq!(
        desk.refused("edit_field", edit(tests::form(&[("urgency", "9")]), "lisi"))
            .await
            .1,
        "0:【紧急程度】选项不匹配，请重新选择"
    );
    assert!(
        desk.refused("edit_field", edit(tests::form(&[("title", "x")]), "luren"))
            .await
            .1
            .contains("luren无权操作该单据")
    );
    let logs = desk
        .must("get_ticket_logs", json!({ "sn": sn }))
        .await
        .to_string();
    assert!(
        logs.contains("lisi 修改字段【紧急程度】【标题】."),
        "{logs}"
    );
}

#[tokio::test]
async fn processors_are_resolved_by_leader_department_and_business_role() {
    let desk = TestDesk::open().await;
    let person = |id: i64, kind: &str, who: &str| json!({ "id": id, "type": "NORMAL", "name": kind, "processors_type": kind, "processors": who });
    let nodes = json!([
        person(3, "STARTER_LEADER", ""),
        person(4, "ORGANIZATION", "1"),
        person(5, "CMDB", "OPS"),
        person(6, "VARIABLE_LEADER", "who"),
        person(7, "ASSIGN_LEADER", "3")
    ]);
    let lines = json!([
        line(1, 2),
        line(2, 3),
        line(3, 4),
        line(4, 5),
        line(5, 6),
        line(6, 7),
        line(7, 9)
    ]);
    let fields = json!([
        { "id": 7, "key": "who", "name": "谁", "type": "MEMBERS", "state_id": 2, "validate_type": "OPTION" },
        { "id": 8, "key": "bk_biz_id", "name": "业务", "type": "SELECT", "state_id": 2, "validate_type": "OPTION", "source_type": "API" }
    ]);
    let mut all = vec![
        json!({ "id": 1, "type": "START" }),
        json!({ "id": 2, "type": "NORMAL", "name": "提单" }),
        json!({ "id": 9, "type": "END" }),
    ];
    all.extend(nodes.as_array().unwrap().clone());
    let mut form = vec![
        json!({ "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 }),
    ];
    form.extend(fields.as_array().unwrap().clone());
    let flow = json!({ "name": "组织", "is_biz_needed": true, "nodes": all, "edges": lines, "fields": form });
    let service = desk
        .must(
            "import_service",
            json!({ "name": "组织", "key": "request", "catalog_id": 4, "workflow": flow }),
        )
        .await["id"]
        .clone();
    let fields = tests::form(&[("title", "t"), ("who", "wangwu"), ("bk_biz_id", "2")]);
    let sn = ticket(
        &desk,
        json!({ "service_id": service, "creator": "lisi", "fields": fields }),
    )
    .await;
    let mut visited = Vec::new();
    loop {
        let status = desk.must("get_ticket_status", json!({ "sn": sn })).await;
        let Some(step) = status["current_steps"].as_array().unwrap().first().cloned() else {
            break;
        };
        visited.push((
            step["name"].as_str().unwrap().to_owned(),
            step["processors_type"].as_str().unwrap().to_owned(),
            step["processors"].as_str().unwrap().to_owned(),
        ));
        let who = step["processors"]
            .as_str()
            .unwrap()
            .split(',')
            .next()
            .unwrap();
        desk.must("operate_node", json!({ "sn": sn, "operator": who, "state_id": step["state_id"], "action_type": "TRANSITION", "fields": [] })).await;
    }
    let visited: Vec<(&str, &str, &str)> = visited
        .iter()
        .map(|(name, kind, who)| (name.as_str(), kind.as_str(), who.as_str()))
        .collect();
    assert_eq!(
        visited,
        [
            ("STARTER_LEADER", "PERSON", "zhangsan"),
            ("ORGANIZATION", "ORGANIZATION", "lisi,wangwu,zhangsan"),
            ("CMDB", "CMDB", "zhaoliu"),
            ("VARIABLE_LEADER", "PERSON", "zhangsan"),
            ("ASSIGN_LEADER", "PERSON", "admin"),
        ]
    );
}

#[tokio::test]
async fn a_ticket_closed_as_finished_keeps_its_approval_result_and_is_rated() {
    let desk = TestDesk::open().await;
    let nodes = json!([
        approval(3, "zhangsan,wangwu", json!({ "is_multi": true })),
        manual(4, "执行", "chuyi")
    ]);
    let service = service(
        &desk,
        "关单",
        nodes,
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
        json!([opinion(3)]),
    )
    .await;
    let votes = |votes: &[(&'static str, bool)]| votes.to_vec();
    for (votes, status, result, is_rated) in [
        (
            votes(&[("zhangsan", true), ("wangwu", true)]),
            "FINISHED",
            true,
            true,
        ),
        (
            votes(&[("zhangsan", true), ("wangwu", true)]),
            "TERMINATED",
            false,
            false,
        ),
        (votes(&[("zhangsan", true)]), "FINISHED", false, true),
        (votes(&[("zhangsan", false)]), "FINISHED", false, true),
        (votes(&[]), "FINISHED", false, true),
    ] {
        let sn = open(&desk, &service).await;
        for (who, pass) in &votes {
            desk.must("approve", json!({ "sn": sn, "state_id": 3, "approver": who, "action": pass.to_string(), "remark": "x" })).await;
        }
        desk.operate(
            &sn,
            "close",
            "admin",
            json!({ "status": status, "message": "已线下处理" }),
        )
        .await;
        assert_eq!(
            desk.must("ticket_approval_result", json!({ "sn": [sn] }))
                .await[0]["approve_result"],
            result,
            "{votes:?} {status}"
        );
        desk.clock.advance(3 * 86_400_000);
        desk.settle().await;
        let (_, shown) = desk
            .v1(
                "GET",
                &format!("tickets/{}", sn.as_str().unwrap()),
                "lisi",
                Value::Null,
            )
            .await;
        assert_eq!(!shown["stars"].is_null(), is_rated, "{status}: {shown}");
    }
}

#[tokio::test]
async fn an_automatic_node_of_a_child_waits_until_the_child_is_unlinked() {
    let desk = TestDesk::open().await;
    let nodes = json!([
        crate::workflow_builder::api(3, crate::workflow_builder::account_api()),
        manual(4, "交付", "wangwu")
    ]);
    let service = service(
        &desk,
        "子单外呼",
        nodes,
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
        json!([]),
    )
    .await;
    let (parent, child) = (open(&desk, &service).await, open(&desk, &service).await);
    desk.operate(
        &child,
        "link",
        "admin",
        json!({ "other": parent, "relation": "child_of" }),
    )
    .await;
    crate::workflow_builder::answers(
        &desk,
        &[
            (200, json!({ "result": true, "data": {} })),
            (200, json!({ "result": true, "data": {} })),
        ],
    );
    desk.settle().await;
    assert_eq!(
        step(&desk, &parent).await,
        json!([["交付", "RUNNING", "TRANSITION"]])
    );
    assert_eq!(
        step(&desk, &child).await,
        json!([["开通账号", "RUNNING", "AUTOMATIC"]]),
        "the result of the call is kept pending"
    );
    desk.operate(&child, "unlink", "admin", json!({ "other": parent }))
        .await;
    assert_eq!(
        step(&desk, &child).await,
        json!([["交付", "RUNNING", "TRANSITION"]]),
        "the result takes effect after unlinking"
    );
    assert_eq!(
        desk.receiver.calls.lock().unwrap().len(),
        2,
        "no call is repeated"
    );
}

#[tokio::test]
async fn former_processors_stay_participants_and_followers_are_not() {
    let desk = TestDesk::open().await;
    let sn = ticket(&desk, approval_request()).await;
    let deliver = json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "DELIVER", "processors_type": "PERSON", "processors": "chuyi", "action_message": "x" });
    desk.must("operate_node", deliver).await;
    desk.operate(&sn, "remark", "zhangsan", json!({ "text": "交给初一了" }))
        .await;
    desk.must(
        "add_follower",
        json!({ "sn": sn, "users": "luren", "operator": "luren" }),
    )
    .await;
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(info["updated_by"], "lisi,zhangsan", "{info}");
    let dealt = desk
        .must(
            "get_tickets_by_user",
            json!({ "user": "luren", "view_type": "my_dealt" }),
        )
        .await;
    assert_eq!(dealt["count"], 0);
    let mut body = change();
    body["creator"] = "luren".into();
    body["from_ticket_id"] = info["id"].clone();
    assert!(
        desk.refused("create_ticket", body)
            .await
            .1
            .contains("luren无权操作源单据"),
        "a follower may not raise another ticket from this one"
    );
    // Followers are people who watch a ticket. Participants of the ticket may remove every follower. A
    // follower who is no participant may remove only himself or herself.
    desk.must(
        "add_follower",
        json!({ "sn": sn, "users": "weier", "operator": "lisi" }),
    )
    .await;
    let away = |users: &str, by: &str| json!({ "sn": sn, "users": users, "operator": by, "attention": false });
    assert_eq!(
        desk.call("add_follower", away("weier", "luren")).await["result"],
        false
    );
    desk.must("add_follower", away("luren", "luren")).await;
    desk.must("add_follower", away("weier", "lisi")).await;
}

#[tokio::test]
async fn resolve_and_acknowledge_select_the_node_that_allows_the_operation() {
    let desk = TestDesk::open().await;
    let gateway = |id: i64, kind: &str| json!({ "id": id, "type": kind });
    // The workflow has three parallel branches. In the first branch, an automatic node calls an API. If
    // the call fails, zhangsan must handle the failure. In the second branch, a manual node waits until a
    // person claims the node.
    let mut claimed = manual(6, "认领", "zhangsan,wangwu");
    claimed["distribute_type"] = "CLAIM_THEN_PROCESS".into();
    let nodes = json!([
        gateway(3, "ROUTER-P"),
        crate::workflow_builder::api(4, crate::workflow_builder::account_api()),
        claimed,
        manual(7, "安装", "zhangsan"),
        gateway(8, "COVERAGE")
    ]);
    let lines = json!([
        line(1, 2),
        line(2, 3),
        line(3, 4),
        line(3, 6),
        line(3, 7),
        line(4, 8),
        line(6, 8),
        line(7, 8),
        line(8, 9)
    ]);
    let service = service(&desk, "找节点", nodes, lines, json!([])).await;
    let sn = open(&desk, &service).await;
    desk.operate(&sn, "resolve", "zhangsan", json!({})).await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([
            ["开通账号", "RUNNING", "AUTOMATIC"],
            ["认领", "RECEIVING", "CLAIM"]
        ])
    );
    desk.operate(&sn, "acknowledge", "zhangsan", json!({}))
        .await;
    assert_eq!(
        step(&desk, &sn).await,
        json!([
            ["开通账号", "RUNNING", "AUTOMATIC"],
            ["认领", "RUNNING", "TRANSITION"]
        ])
    );
}

#[tokio::test]
async fn editing_the_status_field_does_not_end_the_ticket() {
    let desk = TestDesk::open().await;
    let status = json!([{ "id": 13, "key": "current_status", "name": "状态", "type": "SELECT", "state_id": 2, "validate_type": "OPTION",
        "choice": [{ "key": "REVOKED", "name": "已撤销" }, { "key": "FINISHED", "name": "已完成" }] }]);
    let service = service(
        &desk,
        "改状态",
        json!([manual(3, "处理", "wangwu")]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        status,
    )
    .await;
    let sn = open(&desk, &service).await;
    desk.must("edit_field", json!({ "sn": sn, "operator": "lisi", "fields": tests::form(&[("current_status", "REVOKED")]) })).await;
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "RUNNING"
    );
}

/// If only one node waits for the caller, an operation needs no `node` (cases/first-use.md, section 2).
#[tokio::test]
async fn operations_find_the_node_that_waits_for_the_caller() {
    let desk = TestDesk::open().await;
    let definition = json!({
        "name": "分派", "fields": [{ "key": "title", "type": "STRING", "name": "标题", "is_required": true }],
        "nodes": [
            { "id": 1, "name": "开始", "kind": "START" },
            { "id": 2, "name": "提单", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title"] },
            { "id": 3, "name": "处理", "kind": "NORMAL", "handling": "DISTRIBUTE_THEN_CLAIM", "can_deliver": true, "is_terminable": true,
              "assignors": { "type": "PERSON", "who": ["zhangsan"] }, "processors": { "type": "PERSON", "who": ["wangwu", "zhaoliu"] } },
            { "id": 4, "name": "结束", "kind": "END" },
        ],
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 4 }],
    });
    let service = desk.publish(definition, json!({})).await;
    let body = json!({ "service_id": service, "fields": { "title": "t" } });
    let (_, created) = desk.v1("POST", "tickets", "lisi", body).await;
    let path = format!("tickets/{}", created["sn"].as_str().expect("a number"));
    let to = |people: &[&str]| json!({ "to": { "people": people }, "message": "x" });
    for (operation, user, body, expected, then) in [
        (
            "distribute",
            "zhangsan",
            to(&["lisi"]),
            400,
            &["zhangsan"][..],
        ),
        (
            "distribute",
            "zhangsan",
            to(&["wangwu", "zhaoliu"]),
            200,
            &["wangwu", "zhaoliu"],
        ),
        ("claim", "lisi", json!({}), 400, &["wangwu", "zhaoliu"]),
        ("claim", "wangwu", json!({}), 200, &["wangwu"]),
        ("deliver", "wangwu", to(&["zhaoliu"]), 200, &["zhaoliu"]),
        ("acknowledge", "zhaoliu", json!({}), 200, &["zhaoliu"]),
        ("submit", "zhaoliu", json!({}), 200, &[]),
    ] {
        let (status, answer) = desk
            .v1("POST", &format!("{path}/{operation}"), user, body)
            .await;
        assert_eq!(status, expected, "{operation} by {user}: {answer}");
        let (_, shown) = desk.v1("GET", &path, "lisi", Value::Null).await;
        let waiting = &shown["nodes"][1]["waiting_for"];
        assert_eq!(*waiting, json!(then), "after {operation} by {user}");
        if then.is_empty() {
            assert_eq!(shown["current_status"], "FINISHED");
        }
    }
}
