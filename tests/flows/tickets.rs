//! These tests follow tickets from their creation to their end, with approvals, claims, assignments,
//! send-backs and suspensions.

use serde_json::{Value, json};
use tests::{approval_request, change, form, incident};

use crate::TestDesk;

fn act(sn: &Value, operator: &str, node: i64, action: &str) -> Value {
    json!({ "sn": sn, "operator": operator, "state_id": node, "action_type": action })
}

fn submit(sn: &Value, operator: &str, node: i64, fields: &[(&str, &str)]) -> Value {
    let mut body = act(sn, operator, node, "TRANSITION");
    body["fields"] = form(fields);
    body
}

fn to(mut body: Value, processors: &str, message: &str) -> Value {
    body["processors_type"] = "PERSON".into();
    body["processors"] = processors.into();
    body["action_message"] = message.into();
    body
}

async fn steps(desk: &TestDesk, sn: &Value) -> Vec<(String, String, String)> {
    let status = desk.must("get_ticket_status", json!({ "sn": sn })).await;
    let text = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    status["current_steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| {
            (
                text(step, "name"),
                text(step, "status"),
                text(step, "processors"),
            )
        })
        .collect()
}

fn step(name: &str, status: &str, processors: &str) -> Vec<(String, String, String)> {
    vec![(name.into(), status.into(), processors.into())]
}

#[tokio::test]
async fn a_request_is_approved_twice_and_finishes() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    assert!(
        sn.as_str()
            .expect("sn")
            .starts_with(&format!("REQ{}", desk.day()))
    );
    assert_eq!(
        steps(&desk, &sn).await,
        step("负责人审批", "RUNNING", "zhangsan,wangwu")
    );
    desk.must(
        "operate_node",
        submit(
            &sn,
            "wangwu",
            3,
            &[("FZR_YIJIAN", "true"), ("FZR_BEIZHU", "同意")],
        ),
    )
    .await;
    desk.must("operate_ticket", json!({ "sn": sn, "operator": "admin", "action_type": "SUSPEND", "action_message": "等待窗口" })).await;
    let (code, message) = desk
        .refused(
            "operate_node",
            submit(&sn, "admin", 4, &[("GLY_YIJIAN", "true")]),
        )
        .await;
    assert_eq!(
        (code, message.as_str()),
        (3_900_005, "0:抱歉，单据已挂起，无法操作")
    );
    desk.must(
        "operate_ticket",
        json!({ "sn": sn, "operator": "admin", "action_type": "UNSUSPEND" }),
    )
    .await;
    desk.must(
        "operate_node",
        submit(&sn, "admin", 4, &[("GLY_YIJIAN", "true")]),
    )
    .await;

    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(
        (
            &info["current_status"],
            &info["updated_by"],
            &info["current_steps"]
        ),
        (&json!("FINISHED"), &json!("lisi,wangwu,admin"), &json!([]))
    );
    assert_eq!(info["priority_key"], "3", "impact 2 and urgency 3");
    let result = desk
        .must("ticket_approval_result", json!({ "sn": sn }))
        .await;
    assert_eq!(result[0]["approve_result"], true);
    assert_eq!(
        desk.story(sn.as_str().expect("sn")).await,
        [
            "ticket.opened",
            "ticket.node_entered",
            "ticket.node_completed",
            "ticket.transition_taken",
            "ticket.node_entered",
            "ticket.vote_cast",
            "ticket.node_completed",
            "ticket.transition_taken",
            "ticket.node_entered",
            "ticket.suspended",
            "ticket.resumed",
            "ticket.vote_cast",
            "ticket.node_completed",
            "ticket.transition_taken",
            "ticket.finished",
        ]
    );
    let logs = desk.must("get_ticket_logs", json!({ "sn": sn })).await;
    let messages: Vec<&str> = logs["logs"]
        .as_array()
        .expect("logs")
        .iter()
        .map(|log| log["message"].as_str().expect("text"))
        .collect();
    assert_eq!(
        messages,
        [
            "流程开始.",
            "lisi 处理【提单】",
            "wangwu 已处理【负责人审批】(通过)",
            "admin 挂起了单据：等待窗口.",
            "admin 恢复了单据.",
            "admin 已处理【管理员审批】(通过)",
            "流程结束."
        ]
    );
}

#[tokio::test]
async fn a_rejection_takes_the_transition_for_rejections() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    desk.must(
        "operate_node",
        submit(
            &sn,
            "zhangsan",
            3,
            &[("FZR_YIJIAN", "false"), ("FZR_LIYOU", "材料不全")],
        ),
    )
    .await;
    let result = desk
        .must("ticket_approval_result", json!({ "sn": [sn] }))
        .await;
    assert_eq!(
        (&result[0]["current_status"], &result[0]["approve_result"]),
        (&json!("FINISHED"), &json!(false))
    );
}

#[tokio::test]
async fn an_incident_is_claimed_escalated_assigned_transferred_and_sent_back() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", incident()).await["sn"].clone();
    assert!(
        sn.as_str()
            .expect("sn")
            .starts_with(&format!("INC{}", desk.day()))
    );
    assert_eq!(
        steps(&desk, &sn).await,
        step("一线处理", "RECEIVING", "qianqi,sunba")
    );
    desk.must("operate_node", act(&sn, "sunba", 3, "CLAIM"))
        .await;
    assert_eq!(
        steps(&desk, &sn).await,
        step("一线处理", "RUNNING", "sunba")
    );
    desk.must(
        "operate_node",
        submit(
            &sn,
            "sunba",
            3,
            &[("YIXIANJIEGUO", "SHENGJI"), ("YIXIANSHUOMING", "需要二线")],
        ),
    )
    .await;
    assert_eq!(
        steps(&desk, &sn).await,
        step("二线处理", "DISTRIBUTING", "zhangsan")
    );
    let (_, message) = desk
        .refused(
            "operate_node",
            to(act(&sn, "zhangsan", 4, "DISTRIBUTE"), "qianqi", ""),
        )
        .await;
    assert!(message.contains("请确保用户在"), "{message}");
    desk.must(
        "operate_node",
        to(act(&sn, "zhangsan", 4, "DISTRIBUTE"), "wangwu", "请尽快"),
    )
    .await;
    desk.must(
        "operate_node",
        to(act(&sn, "wangwu", 4, "DELIVER"), "zhaoliu", "今天休假"),
    )
    .await;
    assert_eq!(
        steps(&desk, &sn).await,
        step("二线处理", "RUNNING", "zhaoliu")
    );
    desk.must(
        "operate_node",
        submit(&sn, "zhaoliu", 4, &[("ERXIANSHUOMING", "重启")]),
    )
    .await;
    assert_eq!(
        steps(&desk, &sn).await,
        step("提单人确认", "RUNNING", "lisi")
    );
    desk.must(
        "operate_node",
        submit(&sn, "lisi", 5, &[("QUERENJIEGUO", "WEIHUIFU")]),
    )
    .await;
    assert_eq!(
        steps(&desk, &sn).await,
        step("二线处理", "DISTRIBUTING", "zhangsan"),
        "the second round needs a new assignment"
    );
    desk.must(
        "operate_node",
        to(act(&sn, "zhangsan", 4, "DISTRIBUTE"), "wangwu", ""),
    )
    .await;
    desk.must(
        "operate_node",
        submit(&sn, "wangwu", 4, &[("ERXIANSHUOMING", "扩容")]),
    )
    .await;
    desk.must(
        "operate_node",
        submit(&sn, "lisi", 5, &[("QUERENJIEGUO", "HUIFU")]),
    )
    .await;
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(info["current_status"], "FINISHED");
    let field = |key: &str| {
        info["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .find(|field| field["key"] == key)
            .expect("field")
            .clone()
    };
    assert_eq!(
        (
            &field("GUZHANGLEIXING")["value"],
            &field("GUZHANGLEIXING")["display_value"]
        ),
        (&json!("DNS"), &json!("网络->域名解析"))
    );
    assert_eq!(
        field("ERXIANSHUOMING")["value"],
        "扩容",
        "the form of the last round counts"
    );
}

#[tokio::test]
async fn one_rejection_sends_a_change_back_and_all_must_approve() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", change()).await["sn"].clone();
    assert_eq!(
        steps(&desk, &sn).await,
        step("变更会签", "RUNNING", "zhangsan,zhoujiu,wushi")
    );
    desk.must(
        "operate_node",
        submit(
            &sn,
            "zhoujiu",
            3,
            &[("HQ_YIJIAN", "false"), ("HQ_LIYOU", "缺回滚")],
        ),
    )
    .await;
    assert_eq!(
        steps(&desk, &sn).await,
        step("提单", "RUNNING", "lisi"),
        "the finish condition ends the vote at the first rejection"
    );
    let again = change()["fields"].clone();
    let mut body = act(&sn, "lisi", 2, "TRANSITION");
    body["fields"] = again;
    desk.must("operate_node", body).await;
    for who in ["wushi", "zhangsan"] {
        desk.must(
            "operate_node",
            submit(&sn, who, 3, &[("HQ_YIJIAN", "true")]),
        )
        .await;
    }
    let (code, message) = desk
        .refused(
            "operate_node",
            submit(&sn, "wushi", 3, &[("HQ_YIJIAN", "true")]),
        )
        .await;
    assert_eq!(
        (code, message.as_str()),
        (
            3_900_005,
            "0:抱歉，wushi不能操作该节点（没有权限或操作类型不支持）"
        ),
        "a second vote of one person is rejected"
    );
    assert_eq!(
        steps(&desk, &sn).await,
        step("变更会签", "RUNNING", "zhoujiu")
    );
    desk.must(
        "operate_node",
        submit(&sn, "zhoujiu", 3, &[("HQ_YIJIAN", "true")]),
    )
    .await;
    desk.must(
        "operate_node",
        to(act(&sn, "zhangsan", 4, "DISTRIBUTE"), "wangwu,zhaoliu", ""),
    )
    .await;
    assert_eq!(
        steps(&desk, &sn).await,
        step("变更实施", "RECEIVING", "wangwu,zhaoliu")
    );
    desk.must("operate_node", act(&sn, "zhaoliu", 4, "CLAIM"))
        .await;
    desk.must(
        "operate_node",
        submit(&sn, "zhaoliu", 4, &[("SHISHIJIEGUO", "完成")]),
    )
    .await;
    let result = desk
        .must("ticket_approval_result", json!({ "sn": [sn] }))
        .await;
    assert_eq!(
        result[0]["approve_result"], true,
        "the decision of the second round counts"
    );
}

#[tokio::test]
async fn sequential_approvers_decide_one_after_another() {
    let desk = TestDesk::open().await;
    let body = json!({ "service_id": 21, "creator": "lisi", "fields": form(&[("title", "根因"), ("WENTIMIAOSHU", "一周三次")]) });
    let sn = desk.must("create_ticket", body).await["sn"].clone();
    desk.must("operate_node", act(&sn, "zhengshi", 3, "CLAIM"))
        .await;
    desk.must(
        "operate_node",
        submit(
            &sn,
            "zhengshi",
            3,
            &[("GENYIN", "连接泄漏"), ("SHIFOUGAIJIN", "MONITOR,DOC")],
        ),
    )
    .await;
    let (_, message) = desk
        .refused(
            "operate_node",
            submit(&sn, "admin", 4, &[("SH_YIJIAN", "true")]),
        )
        .await;
    assert!(
        message.starts_with("0:抱歉，admin不能操作该节点"),
        "fengyi is first: {message}"
    );
    desk.must(
        "operate_node",
        submit(&sn, "fengyi", 4, &[("SH_YIJIAN", "true")]),
    )
    .await;
    desk.must(
        "operate_node",
        submit(&sn, "admin", 4, &[("SH_YIJIAN", "true")]),
    )
    .await;
    assert_eq!(
        desk.must("get_ticket_info", json!({ "sn": sn })).await["current_status"],
        "FINISHED"
    );
}

#[tokio::test]
async fn tickets_are_withdrawn_and_terminated() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let withdraw = |who: &str| json!({ "sn": sn, "operator": who, "action_type": "WITHDRAW" });
    assert!(
        desk.refused("operate_ticket", withdraw("zhangsan"))
            .await
            .1
            .starts_with("0:抱歉，你无权撤销单据")
    );
    desk.must("operate_ticket", withdraw("lisi")).await;
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "REVOKED"
    );
    assert_eq!(
        desk.refused("operate_ticket", withdraw("lisi")).await,
        (3_900_005, "0:抱歉，单据已经结束，无法撤销".into())
    );

    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let mut body = act(&sn, "zhangsan", 3, "TERMINATE");
    body["action_message"] = "重复提单".into();
    desk.must("operate_node", body).await;
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(info["current_status"], "TERMINATED");
    assert!(info["end_at"].is_string());
    let logs = desk.must("get_ticket_logs", json!({ "sn": sn })).await;
    let last = logs["logs"]
        .as_array()
        .expect("logs")
        .last()
        .expect("an entry")
        .clone();
    assert_eq!(
        last["message"],
        "zhangsan处理节点【负责人审批】(流程被终止，【终止原因】:重复提单)."
    );
}
