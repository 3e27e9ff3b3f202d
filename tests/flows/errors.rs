//! These tests check each row of the error tables of BlueKing ITSM (reference/bk-itsm.md, sections 3.1,
//! 3.9 and 3.10). For each row, the tests send a request with the error of this row. The response must
//! contain the documented code and message, and the desk must store no event.

use domain::config::{Catalog, CatalogCommand, Service};
use events::catalog::ServicePlaced;
use events::{Meta, ServiceId, service};
use infra::CommandEnvelope;
use infra::ledger::NoContext;
use serde_json::{Value, json};
use tests::{approval_request, change, form, incident};

use crate::TestDesk;

/// Calls an operation that must be rejected. Returns the error code and the message. Asserts that the desk
/// stored no commit.
async fn refused(desk: &TestDesk, operation: &str, body: Value) -> (i64, String) {
    let before = desk.head().await;
    let rejection = desk.refused(operation, body.clone()).await;
    assert_eq!(
        desk.head().await,
        before,
        "{operation} {body} stored an event"
    );
    rejection
}

fn without(mut body: Value, key: &str) -> Value {
    body["fields"]
        .as_array_mut()
        .unwrap()
        .retain(|field| field["key"] != key);
    body
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body = without(body, key);
    body["fields"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "key": key, "value": value }));
    body
}

fn set(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

pub(crate) async fn define(
    desk: &TestDesk,
    change: impl FnOnce(&mut service::Defined),
    category: bool,
) -> i64 {
    let mut defined = desk
        .app
        .configuration
        .service(ServiceId(22))
        .await
        .unwrap()
        .0
        .clone()
        .expect("the approval service");
    defined.service = ServiceId(900 + i64::from(category));
    change(&mut defined);
    let command_envelope = |stream: &str| CommandEnvelope {
        stream: stream.into(),
        command_id: desk.app.ledger.fresh_id(),
        meta: Meta::system("t", "t"),
    };
    desk.app
        .ledger
        .execute::<Service>(
            &command_envelope(&format!("service-{}", defined.service)),
            &defined,
            &NoContext,
        )
        .await
        .unwrap();
    if category {
        let placed = ServicePlaced {
            service: defined.service,
            catalog: Some(events::CategoryId(4)),
        };
        desk.app
            .ledger
            .execute::<Catalog>(
                &command_envelope("catalog"),
                &CatalogCommand::PlaceService(placed),
                &NoContext,
            )
            .await
            .unwrap();
    }
    defined.service.0
}

#[tokio::test]
async fn create_ticket_returns_the_documented_errors() {
    let desk = TestDesk::open().await;
    let disabled = define(&desk, |service| service.is_enabled = false, true).await;
    let loose = define(&desk, |_| {}, false).await;
    let valid = approval_request;
    let processors = |value: Value| set(valid(), "meta", json!({ "state_processors": value }));
    let no_fields = {
        let mut body = valid();
        body.as_object_mut().unwrap().remove("fields");
        body
    };
    for (body, code, message) in [
        (
            set(valid(), "service_id", 4711.into()),
            3_900_005,
            "服务:服务不存在，请联系管理员！",
        ),
        (
            set(valid(), "service_id", Value::Null),
            3_900_005,
            "服务:服务不存在，请联系管理员！",
        ),
        (
            set(valid(), "service_id", "seventeen".into()),
            3_900_005,
            "服务:服务不存在，请联系管理员！",
        ),
        (
            set(valid(), "service_id", disabled.into()),
            3_900_005,
            "服务:服务未启用，请联系管理员！",
        ),
        (
            set(valid(), "service_id", loose.into()),
            3_900_005,
            "服务:服务对应的服务目录不存在",
        ),
        (
            processors(json!({ "99": "lisi" })),
            3_900_005,
            "state_processors:服务:通用审批申请, 节点(99)不存在",
        ),
        (
            processors(json!({ "3": "" })),
            3_900_005,
            "state_processors:服务:通用审批申请, 节点(3)对应的审批人不允许为空",
        ),
        (
            without(valid(), "title"),
            3_900_004,
            "接口异常，请检查请求参数: 'title'",
        ),
        (no_fields, 3_900_004, "接口异常，请检查请求参数: 'title'"),
        (
            set(valid(), "fields", json!([{ "key": "title" }])),
            3_900_004,
            "接口异常，请检查请求参数: 'value'",
        ),
        (
            set(valid(), "fields", json!([{ "value": "x" }])),
            3_900_004,
            "接口异常，请检查请求参数: 'key'",
        ),
        (
            without(valid(), "apply_content"),
            3_900_003,
            "提单失败: 单据创建失败，缺少参数：['apply_content']",
        ),
        (
            with(valid(), "NOBODY", "x".into()),
            3_900_003,
            "提单失败: 【NOBODY】字段不存在，请联系管理员",
        ),
        (
            with(valid(), "apply_content", "".into()),
            3_900_003,
            "提单失败: 【申请内容】为必填项",
        ),
        (
            with(valid(), "impact", "9".into()),
            3_900_003,
            "提单失败: 【影响范围】选项不匹配，请重新选择",
        ),
        (
            with(valid(), "title", "长".repeat(129).into()),
            3_900_003,
            "提单失败: 标题不能超过120个字符",
        ),
        (
            with(valid(), "LIANXIDIANHUA", "12".into()),
            3_900_003,
            "提单失败: 【联系电话】不符合规则 PHONE_NUM",
        ),
        (
            set(valid(), "creator", "".into()),
            3_900_005,
            "creator:该字段不能为空。",
        ),
        (
            set(valid(), "tag", "x".repeat(33).into()),
            3_900_005,
            "tag:请确保这个字段不能超过 32 个字符。",
        ),
        (
            set(valid(), "meta", json!({ "callback_url": "ftp://x/" })),
            3_900_005,
            "meta:callback_url 不是合法的 http(s) 地址。",
        ),
        (
            with(change(), "BIANGENGLEIXING", "APP,NONE".into()),
            3_900_003,
            "提单失败: 【变更类型】选项不匹配，请重新选择",
        ),
        (
            with(change(), "BIANGENGSHIJIAN", "2026-13-01 00:00:00".into()),
            3_900_003,
            "提单失败: 【变更时间】不是时间（YYYY-MM-DD hh:mm:ss）",
        ),
        (
            with(incident(), "YINGXIANGZHUJI", "text".into()),
            3_900_003,
            "提单失败: 【受影响主机】不是表格数据",
        ),
    ] {
        assert_eq!(
            refused(&desk, "create_ticket", body).await,
            (code, message.to_owned())
        );
    }
    desk.must(
        "create_ticket",
        with(valid(), "title", "长".repeat(128).into()),
    )
    .await;
}

#[tokio::test]
async fn a_select_field_without_options_is_rejected() {
    let desk = TestDesk::open().await;
    let workflow = desk
        .app
        .configuration
        .workflow(events::WorkflowId(11), 1)
        .await
        .unwrap()
        .unwrap();
    let mut deployed = (*workflow).clone();
    (deployed.workflow, deployed.version) = (events::WorkflowId(901), 1);
    deployed
        .definition
        .fields
        .iter_mut()
        .find(|field| field.key == "impact")
        .unwrap()
        .choice
        .clear();
    let pattern = deployed
        .definition
        .fields
        .iter_mut()
        .find(|field| field.key == "apply_reason")
        .unwrap();
    (pattern.regex, pattern.custom_regex) = ("CUSTOM".into(), "ABC-\\d+".into());
    let command_envelope = CommandEnvelope {
        stream: "workflow-901".into(),
        command_id: [1; 16],
        meta: Meta::system("t", "t"),
    };
    desk.app
        .ledger
        .execute::<domain::workflow::Workflow>(
            &command_envelope,
            &domain::workflow::Command::DeployVersion(Box::new(deployed)),
            &NoContext,
        )
        .await
        .unwrap();
    let service = define(
        &desk,
        |service| service.workflow = events::WorkflowId(901),
        true,
    )
    .await;
    let request = set(approval_request(), "service_id", service.into());
    assert_eq!(
        refused(&desk, "create_ticket", request.clone()).await,
        (
            3_900_003,
            "提单失败: 【impact】选项不存在，请联系管理员".into()
        )
    );
    let request = with(without(request, "impact"), "apply_reason", "no".into());
    assert_eq!(
        refused(&desk, "create_ticket", request.clone()).await,
        (3_900_003, "提单失败: 【申请理由】不符合自定义规则".into())
    );
    desk.must(
        "create_ticket",
        with(request, "apply_reason", "ABC-1 and more".into()),
    )
    .await;
}

fn act(sn: &Value, operator: &str, node: i64, action: &str, more: Value) -> Value {
    let mut body =
        json!({ "sn": sn, "operator": operator, "state_id": node, "action_type": action });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn operate_node_returns_the_documented_errors() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let inc = desk.must("create_ticket", incident()).await["sn"].clone();
    let chg = desk.must("create_ticket", change()).await["sn"].clone();
    let yes = json!({ "fields": form(&[("FZR_YIJIAN", "true")]) });
    let person = |who: &str, message: &str| json!({ "processors_type": "PERSON", "processors": who, "action_message": message });
    for (body, code, message) in [
        (
            act(&"NO1".into(), "zhangsan", 3, "TRANSITION", yes.clone()),
            3_900_022,
            "没有找到对应的单据",
        ),
        (
            json!({ "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION" }),
            3_900_005,
            "sn:该字段是必填项。",
        ),
        (
            json!({ "sn": sn, "state_id": 3, "action_type": "TRANSITION" }),
            3_900_005,
            "operator:该字段是必填项。",
        ),
        (
            json!({ "sn": sn, "operator": "zhangsan", "action_type": "TRANSITION" }),
            3_900_005,
            "state_id:该字段是必填项。",
        ),
        (
            json!({ "sn": sn, "operator": "zhangsan", "state_id": "three", "action_type": "TRANSITION" }),
            3_900_005,
            "state_id:请填写合法的整数值。",
        ),
        (
            act(&sn, "zhangsan", 3, "DANCE", json!({})),
            3_900_005,
            "action_type:“DANCE” 不是合法选项。",
        ),
        (
            act(&sn, "zhangsan", 99, "TRANSITION", yes.clone()),
            3_900_005,
            "0:抱歉，没有找到该节点：99",
        ),
        (
            act(&sn, "lisi", 2, "TRANSITION", yes.clone()),
            3_900_005,
            "0:抱歉，当前节点：2 已经结束",
        ),
        (
            act(&sn, "lisi", 3, "TRANSITION", yes.clone()),
            3_900_005,
            "0:抱歉，lisi不能操作该节点（没有权限或操作类型不支持）",
        ),
        (
            act(&sn, "路人", 3, "TRANSITION", yes.clone()),
            3_900_005,
            "0:抱歉，路人不能操作该节点（没有权限或操作类型不支持）",
        ),
        (
            act(&sn, "zhangsan", 3, "TRANSITION", json!({})),
            3_900_005,
            "fields:该字段是必填项。",
        ),
        (
            act(&sn, "zhangsan", 3, "TRANSITION", json!({ "fields": "x" })),
            3_900_005,
            "fields:期望为一个列表，得到的类型不对。",
        ),
        (
            act(
                &sn,
                "zhangsan",
                3,
                "TRANSITION",
                json!({ "fields": [{ "key": "FZR_YIJIAN", "value": true }] }),
            ),
            3_900_005,
            "fields:value:Not a valid string. (FZR_YIJIAN)",
        ),
        (
            act(&sn, "zhangsan", 3, "TRANSITION", json!({ "fields": [] })),
            3_900_005,
            "参数验证失败: 单据处理失败，缺少参数：['FZR_YIJIAN', 'FZR_LIYOU']",
        ),
        (
            act(
                &sn,
                "zhangsan",
                3,
                "TRANSITION",
                json!({ "fields": form(&[("FZR_YIJIAN", "false")]) }),
            ),
            3_900_005,
            "参数验证失败: 单据处理失败，缺少参数：['FZR_LIYOU']",
        ),
        (
            act(
                &sn,
                "zhangsan",
                3,
                "TRANSITION",
                json!({ "fields": form(&[("FZR_YIJIAN", "false"), ("FZR_LIYOU", "")]) }),
            ),
            3_900_005,
            "0:【备注】为必填项",
        ),
        (
            act(
                &sn,
                "zhangsan",
                3,
                "TRANSITION",
                json!({ "fields": form(&[("FZR_YIJIAN", "maybe"), ("FZR_LIYOU", "x")]) }),
            ),
            3_900_005,
            "0:【审批意见】选项不匹配，请重新选择",
        ),
        (
            act(&sn, "zhangsan", 3, "CLAIM", json!({})),
            3_900_005,
            "参数验证失败: 当前节点无法进行【认领】操作",
        ),
        (
            act(&inc, "zhangsan", 3, "CLAIM", json!({})),
            3_900_005,
            "0:抱歉，zhangsan不能操作该节点（没有权限或操作类型不支持）",
        ),
        (
            act(&inc, "qianqi", 3, "TRANSITION", json!({ "fields": [] })),
            3_900_005,
            "0:抱歉，qianqi不能操作该节点（没有权限或操作类型不支持）",
        ),
        (
            act(&sn, "zhangsan", 3, "DISTRIBUTE", person("lisi", "")),
            3_900_005,
            "参数验证失败: 当前节点无法进行【分派】操作",
        ),
        (
            act(&sn, "zhangsan", 3, "DISTRIBUTE", json!({})),
            3_900_005,
            "processors_type:该字段是必填项。",
        ),
        (
            act(
                &sn,
                "zhangsan",
                3,
                "DISTRIBUTE",
                json!({ "processors_type": "CLUB", "processors": "1" }),
            ),
            3_900_005,
            "processors_type:“CLUB” 不是合法选项。",
        ),
        (
            act(
                &sn,
                "zhangsan",
                3,
                "DISTRIBUTE",
                json!({ "processors_type": "PERSON" }),
            ),
            3_900_005,
            "processors:该字段是必填项。",
        ),
        (
            act(
                &sn,
                "zhangsan",
                3,
                "DISTRIBUTE",
                json!({ "processors_type": "GENERAL", "processors": "x" }),
            ),
            3_900_005,
            "参数验证失败: 当前分配的用户组可能不存在",
        ),
        (
            act(&chg, "lisi", 3, "DELIVER", person("lisi", "x")),
            3_900_005,
            "0:抱歉，lisi不能操作该节点（没有权限或操作类型不支持）",
        ),
        (
            act(&sn, "zhangsan", 3, "DELIVER", person("lisi", "")),
            3_900_005,
            "参数验证失败: 转单描述信息不能为空，请重新确认.",
        ),
        (
            act(
                &sn,
                "zhangsan",
                3,
                "DELIVER",
                person("lisi", &"长".repeat(256)),
            ),
            3_900_005,
            "action_message:请确保这个字段不能超过 255 个字符。",
        ),
        (
            act(
                &sn,
                "zhangsan",
                3,
                "DELIVER",
                json!({ "processors_type": "GENERAL", "processors": "404", "action_message": "x" }),
            ),
            3_900_005,
            "参数验证失败: 处理人不能为空，或指定的用户组没有成员",
        ),
        (
            act(&sn, "zhangsan", 3, "TERMINATE", json!({})),
            3_900_005,
            "0:请输入终止原因！",
        ),
        (
            act(
                &chg,
                "zhangsan",
                3,
                "TERMINATE",
                json!({ "action_message": "x" }),
            ),
            3_900_005,
            "0:指定流程节点【变更会签】不支持终止操作.",
        ),
    ] {
        assert_eq!(
            refused(&desk, "operate_node", body.clone()).await,
            (code, message.to_owned()),
            "{body}"
        );
    }
    // Node 4 of the ticket `sn` does not allow a transfer to another person. In the ticket `chg`, no vote can
    // be transferred to wushi, because wushi has already voted.
    desk.must(
        "operate_node",
        act(&sn, "zhangsan", 3, "TRANSITION", yes.clone()),
    )
    .await;
    let rejection = refused(
        &desk,
        "operate_node",
        act(&sn, "admin", 4, "DELIVER", person("lisi", "x")),
    )
    .await;
    assert_eq!(
        rejection,
        (
            3_900_005,
            "参数验证失败: 指定流程节点【管理员审批】不支持转单操作.".into()
        )
    );
    desk.must(
        "operate_node",
        act(
            &chg,
            "wushi",
            3,
            "TRANSITION",
            json!({ "fields": form(&[("HQ_YIJIAN", "true")]) }),
        ),
    )
    .await;
    let rejection = refused(
        &desk,
        "operate_node",
        act(&chg, "zhangsan", 3, "DELIVER", person("wushi", "x")),
    )
    .await;
    assert_eq!(
        rejection,
        (3_900_046, "转派单异常: 不允许向已经处理的人转单".into())
    );
    desk.must(
        "operate_node",
        act(
            &sn,
            "admin",
            4,
            "TRANSITION",
            json!({ "fields": form(&[("GLY_YIJIAN", "true")]) }),
        ),
    )
    .await;
    let rejection = refused(
        &desk,
        "operate_node",
        act(&sn, "admin", 4, "TRANSITION", yes),
    )
    .await;
    assert_eq!(
        rejection,
        (3_900_005, "0:抱歉，单据已关闭，无法操作".into())
    );
}

#[tokio::test]
async fn operate_ticket_returns_the_documented_errors() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let operation_body =
        |who: &str, action: &str| json!({ "sn": sn, "operator": who, "action_type": action });
    let body_with_reason = |who: &str, action: &str| {
        set(
            operation_body(who, action),
            "action_message",
            "等待窗口".into(),
        )
    };
    for (body, code, message) in [
        (
            set(operation_body("lisi", "WITHDRAW"), "sn", "NO1".into()),
            3_900_022,
            "没有找到对应的单据",
        ),
        (
            json!({ "sn": sn, "action_type": "WITHDRAW" }),
            3_900_005,
            "operator:该字段是必填项。",
        ),
        (
            body_with_reason("lisi", "DANCE"),
            3_900_004,
            "单据操作失败，不支持的操作类型: DANCE",
        ),
        (
            operation_body("zhangsan", "SUSPEND"),
            3_900_004,
            "接口异常，请检查请求参数: 'action_message'",
        ),
        (
            operation_body("zhangsan", "TERMINATE"),
            3_900_004,
            "接口异常，请检查请求参数: 'action_message'",
        ),
        (
            body_with_reason("lisi", "SUSPEND"),
            3_900_005,
            "0:抱歉，lisi无权操作该单据",
        ),
        (
            body_with_reason("lisi", "TERMINATE"),
            3_900_005,
            "0:抱歉，lisi无权操作该单据",
        ),
        (
            operation_body("zhangsan", "UNSUSPEND"),
            3_900_005,
            "0:抱歉，该单据不在挂起中，无法操作",
        ),
        (
            operation_body("zhangsan", "WITHDRAW"),
            3_900_005,
            "0:抱歉，你无权撤销单据，只有提单人可以撤单",
        ),
    ] {
        assert_eq!(
            refused(&desk, "operate_ticket", body.clone()).await,
            (code, message.to_owned()),
            "{body}"
        );
    }
    desk.must("operate_ticket", body_with_reason("zhangsan", "SUSPEND"))
        .await;
    assert_eq!(
        refused(
            &desk,
            "operate_ticket",
            body_with_reason("zhangsan", "SUSPEND")
        )
        .await,
        (3_900_005, "0:抱歉，该单据不在流程中，无法操作".into())
    );
    desk.must("operate_ticket", operation_body("zhangsan", "UNSUSPEND"))
        .await;
    desk.must(
        "operate_node",
        act(
            &sn,
            "zhangsan",
            3,
            "TRANSITION",
            json!({ "fields": form(&[("FZR_YIJIAN", "true")]) }),
        ),
    )
    .await;
    assert_eq!(
        refused(&desk, "operate_ticket", operation_body("lisi", "WITHDRAW")).await,
        (3_900_005, "0:抱歉，单据执行中，无法撤销".into())
    );
    desk.must("operate_ticket", body_with_reason("admin", "TERMINATE"))
        .await;
    assert_eq!(
        refused(
            &desk,
            "operate_ticket",
            body_with_reason("admin", "TERMINATE")
        )
        .await,
        (3_900_005, "0:抱歉，该单据不在流程中，无法操作".into())
    );
    assert_eq!(
        refused(&desk, "operate_ticket", operation_body("lisi", "WITHDRAW")).await,
        (3_900_005, "0:抱歉，单据已经结束，无法撤销".into())
    );
}

#[tokio::test]
async fn a_workflow_can_forbid_withdrawing() {
    let desk = TestDesk::open().await;
    let workflow = desk
        .app
        .configuration
        .workflow(events::WorkflowId(11), 1)
        .await
        .unwrap()
        .unwrap();
    let mut deployed = (*workflow).clone();
    deployed.workflow = events::WorkflowId(902);
    deployed.definition.revoke = events::workflow::Revoke::Never;
    let command_envelope = CommandEnvelope {
        stream: "workflow-902".into(),
        command_id: [1; 16],
        meta: Meta::system("t", "t"),
    };
    desk.app
        .ledger
        .execute::<domain::workflow::Workflow>(
            &command_envelope,
            &domain::workflow::Command::DeployVersion(Box::new(deployed)),
            &NoContext,
        )
        .await
        .unwrap();
    let service = define(
        &desk,
        |service| service.workflow = events::WorkflowId(902),
        true,
    )
    .await;
    let sn = desk
        .must(
            "create_ticket",
            set(approval_request(), "service_id", service.into()),
        )
        .await["sn"]
        .clone();
    let rejection = refused(
        &desk,
        "operate_ticket",
        json!({ "sn": sn, "operator": "lisi", "action_type": "WITHDRAW" }),
    )
    .await;
    assert_eq!(
        rejection,
        (
            3_900_005,
            "0:抱歉，当前流程配置无法撤单，请联系服务负责人".into()
        )
    );
}

#[tokio::test]
async fn read_operations_return_the_documented_errors() {
    let desk = TestDesk::open().await;
    for operation in ["get_ticket_info", "get_ticket_status", "get_ticket_logs"] {
        assert_eq!(
            refused(&desk, operation, json!({ "sn": "NO1" })).await,
            (3_900_022, "没有找到对应的单据".into())
        );
        assert_eq!(refused(&desk, operation, json!({})).await.0, 3_900_022);
    }
    assert_eq!(
        refused(&desk, "get_service_detail", json!({})).await,
        (3_900_404, "查找对象不存在".into())
    );
    assert_eq!(
        refused(&desk, "get_service_detail", json!({ "service_id": 4711 })).await,
        (3_900_404, "查找对象不存在".into())
    );
    assert_eq!(
        refused(&desk, "get_service_detail", json!({ "service_id": "x" }))
            .await
            .0,
        3_900_004
    );
    assert_eq!(
        refused(&desk, "get_services", json!({ "catalog_id": "x" }))
            .await
            .0,
        3_900_004
    );
}

/// A problem of `/v1` has a word for programs, and a sentence for people in the language that the request prefers
/// (cases/first-use.md, section 2).
#[tokio::test]
async fn rejections_over_v1_have_a_word_and_a_sentence_in_two_languages() {
    let desk = TestDesk::open().await;
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let path = format!("tickets/{}/decide", sn.as_str().expect("a number"));
    for (language, detail) in [
        ("en", "lisi may not act on node 3"),
        ("de", "lisi may not act on node 3"),
        (
            "zh-CN,zh;q=0.9,en;q=0.8",
            "lisi 不能操作节点 3：不是该节点的处理人，或节点当前状态不支持此操作，请刷新页面查看",
        ),
    ] {
        let body = json!({ "node": 3, "pass": true });
        let headers = [("accept-language", language)];
        let (status, problem) = desk.v1_with("POST", &path, "lisi", body, &headers).await;
        assert_eq!(
            (status, &problem["reason"], &problem["detail"]),
            (403, &json!("not_allowed"), &json!(detail)),
            "{language}"
        );
    }
    let incomplete = json!({ "service_id": 22, "fields": { "title": "t" } });
    let headers = [("accept-language", "zh")];
    let (status, problem) = desk
        .v1_with("POST", "tickets", "lisi", incomplete, &headers)
        .await;
    assert_eq!(
        (status, &problem["reason"], &problem["errors"][0]),
        (
            400,
            &json!("fields_missing"),
            &json!({ "field": "/fields/apply_content", "detail": "字段“apply_content”为必填项，请填写" })
        ),
        "{problem}"
    );
}
