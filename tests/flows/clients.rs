//! These tests send the requests of real BlueKing ITSM clients, with the same paths, methods, headers and
//! bodies. Each test checks the members of the response that the client reads (reference/bk-itsm.md,
//! section 10).

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tests::{TRUSTED, form};

use crate::TestDesk;
use crate::workflow_builder::line;

/// Sends a request with exactly the given method, path, headers and body. The request must succeed. Returns
/// the member `data` of the response.
async fn send(
    desk: &TestDesk,
    method: Method,
    path: &str,
    headers: &[(&str, String)],
    body: Option<Value>,
) -> Value {
    let mut request = Request::builder().method(method.clone()).uri(path);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let body = match body {
        Some(body) => {
            request = request.header("content-type", "application/json");
            body.to_string().into()
        }
        None => Body::empty(),
    };
    let (status, bytes) = desk.send(request.body(body).expect("a request")).await;
    assert_eq!(
        status,
        StatusCode::OK,
        "{method} {path}: {}",
        String::from_utf8_lossy(&bytes)
    );
    let envelope: Value = serde_json::from_slice(&bytes).expect("an envelope");
    assert_eq!(
        (&envelope["result"], &envelope["code"]),
        (&json!(true), &json!(0)),
        "{method} {path}: {envelope}"
    );
    envelope["data"].clone()
}

fn gateway_header(user: &str) -> (&'static str, String) {
    (
        "X-Bkapi-Authorization",
        json!({ "bk_app_code": TRUSTED.0, "bk_app_secret": TRUSTED.1, "bk_username": user })
            .to_string(),
    )
}

#[tokio::test]
async fn the_log_platform_creates_polls_receives_a_callback_and_reads_results() {
    let desk = TestDesk::open().await;
    let esb =
        |operation: &str| format!("/api/c/compapi/v2/itsm/{operation}/?bklog_request_id=9f0c");
    let headers = [
        gateway_header("admin"),
        ("blueking-language", "zh-hans".to_owned()),
        ("X-Request-Id", "r-1".to_owned()),
    ];
    let services =
        send(&desk, Method::GET, "/api/c/compapi/v2/itsm/get_services/?display_type=API&display_role=LOG_SEARCH&no_request=true", &headers, None).await;
    let fields = json!([
        { "key": "title", "value": "日志平台容量评估" }, { "key": "bk_biz_id", "value": 2 }, { "key": "expect_access_data", "value": "2026-12-01" },
        { "key": "single_log_size", "value": 512 }, { "key": "single_host_peak", "value": 128.5 }, { "key": "single_host_log_volume", "value": 20 },
        { "key": "expect_host_size", "value": 100 }, { "key": "log_keep_days", "value": 14 }, { "key": "hot_data_days", "value": 7 },
        { "key": "apply_reason", "value": "新业务" }, { "key": "collector_detail", "value": { "config": {}, "schemes": {}, "form_data": [] } }
    ]);
    let apply = json!({
        "service_id": services[0]["id"], "creator": "lisi", "operator": "lisi", "bk_username": "admin", "fields": fields,
        "meta": { "callback_url": "https://log.example.com/databus/collect_itsm_cb/collect_itsm_callback/" }, "no_request": true
    });
    let sn = send(
        &desk,
        Method::POST,
        &esb("create_ticket"),
        &headers,
        Some(apply),
    )
    .await["sn"]
        .clone();
    let status = send(
        &desk,
        Method::POST,
        &esb("get_ticket_status"),
        &headers,
        Some(json!({ "sn": sn })),
    )
    .await;
    assert!(status["ticket_url"].is_string() && status["iframe_ticket_url"].is_string());
    assert_eq!(
        status["current_status"], "RUNNING",
        "the client treats any other status as decided"
    );
    assert_eq!(
        send(
            &desk,
            Method::POST,
            &esb("callback_failed_ticket"),
            &headers,
            Some(json!({}))
        )
        .await,
        json!([])
    );
    let decision = form(&[
        ("approval_result", "true"),
        ("can_use_independent_es_cluster", "false"),
        ("evaluate_remark", "同意"),
        ("reject_remark", ""),
    ]);
    let submit = json!({ "sn": sn, "operator": "admin", "state_id": 3, "action_type": "TRANSITION", "fields": decision });
    send(
        &desk,
        Method::POST,
        &esb("operate_node"),
        &headers,
        Some(submit),
    )
    .await;
    desk.settle().await;
    let calls = desk.receiver.calls.lock().expect("calls").clone();
    let callback: Value = serde_json::from_slice(&calls[0].body).expect("JSON");
    for key in [
        "sn",
        "title",
        "ticket_url",
        "current_status",
        "updated_by",
        "update_at",
    ] {
        assert!(
            callback[key].as_str().is_some_and(|text| !text.is_empty()),
            "{key}: {callback}"
        );
    }
    assert!(callback["approve_result"].is_boolean() && callback["sn"] == sn);
    let verified = send(
        &desk,
        Method::POST,
        &esb("token/verify"),
        &headers,
        Some(json!({ "token": callback["token"] })),
    )
    .await;
    assert_eq!(verified["is_passed"], true);
    let info = send(
        &desk,
        Method::POST,
        &esb("get_ticket_info"),
        &headers,
        Some(json!({ "sn": sn })),
    )
    .await;
    let field = info["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .find(|field| field["key"] == "approval_result")
        .expect("the decision")
        .clone();
    assert_eq!(
        (&field["value"], &info["current_status"]),
        (&json!("true"), &json!("FINISHED"))
    );
    let results = send(
        &desk,
        Method::POST,
        &esb("ticket_approval_result"),
        &headers,
        Some(json!({ "sn": [sn] })),
    )
    .await;
    for key in [
        "sn",
        "title",
        "ticket_url",
        "current_status",
        "updated_by",
        "update_at",
        "approve_result",
    ] {
        assert!(results[0].get(key).is_some(), "{key}");
    }
}

#[tokio::test]
async fn the_monitor_creates_a_fast_approval_polls_and_withdraws() {
    let desk = TestDesk::open().await;
    // The client in this test is a monitoring system. The paths of its requests have no final slash, and the
    // bodies contain its credentials. Its callback receiver responds with a JSON object whose member `code`
    // is 200.
    let path = |operation: &str| format!("/api/c/compapi/v2/itsm/{operation}");
    let with = |mut body: Value| {
        body["bk_app_code"] = TRUSTED.0.into();
        body["bk_app_secret"] = TRUSTED.1.into();
        body["bk_username"] = "admin".into();
        Some(body)
    };
    let fields = json!([{ "key": "title", "value": "告警处理套餐审批" }, { "key": "APPROVER", "value": "zhangsan,wangwu" }, { "key": "APPROVAL_CONTENT", "value": "重启进程" }]);
    let body = json!({ "creator": "fta-system", "fields": fields, "fast_approval": true, "meta": { "callback_url": "https://monitor.example.com/approve_cb/" } });
    let created = send(
        &desk,
        Method::POST,
        &path("create_ticket"),
        &[],
        with(body.clone()),
    )
    .await;
    let sn = created["sn"].clone();
    assert!(created["ticket_url"].is_string() && created["id"].is_i64());
    let poll = async |sn: &Value| {
        send(
            &desk,
            Method::POST,
            &path("ticket_approval_result"),
            &[],
            with(json!({ "sn": [sn] })),
        )
        .await[0]
            .clone()
    };
    assert_eq!(poll(&sn).await["current_status"], "RUNNING");
    desk.receiver
        .answers
        .lock()
        .expect("answers")
        .push_back(Ok(infra::http::HttpResponse::of(
            200,
            br#"{"result":true,"code":200,"data":{}}"#,
        )));
    send(&desk, Method::POST, &path("approve"), &[], with(json!({ "sn": sn, "state_id": 3, "approver": "wangwu", "action": "false", "remark": "不同意" })))
        .await;
    desk.settle().await;
    let result = poll(&sn).await;
    assert_eq!(
        (&result["current_status"], &result["approve_result"]),
        (&json!("FINISHED"), &json!(false))
    );
    assert_eq!(
        desk.receiver.calls.lock().expect("calls").len(),
        1,
        "code 200 means success"
    );
    let again =
        send(&desk, Method::POST, &path("create_ticket"), &[], with(body)).await["sn"].clone();
    send(
        &desk,
        Method::POST,
        &path("operate_ticket"),
        &[],
        with(json!({ "sn": again, "operator": "fta-system", "action_type": "WITHDRAW", "action_message": "超时" })),
    )
    .await;
    assert_eq!(poll(&again).await["current_status"], "REVOKED");
}

#[tokio::test]
async fn the_permission_center_reads_roles_and_names_the_approvers() {
    let desk = TestDesk::open().await;
    let node = |id: i64, name: &str, who: &str| json!({ "id": id, "type": "APPROVAL", "name": name, "processors_type": "IAM", "processors": who, "is_multi": id == 4 });
    let opinion = |id: i64, key: &str, node: i64| {
        json!({ "id": id, "key": key, "name": "审批意见", "type": "RADIO", "state_id": node, "validate_type": "REQUIRE",
            "choice": [{ "key": "true", "name": "通过" }, { "key": "false", "name": "拒绝" }] })
    };
    let flow = json!({ "name": "权限审批",
        "nodes": [{ "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL", "name": "提单" }, node(3, "分级管理员审批", "rating_manager"), node(4, "超级管理员审批", "super_manager"), { "id": 9, "type": "END" }],
        "edges": [line(1, 2), line(2, 3), line(3, 4), line(4, 9)],
        "fields": [{ "id": 1, "key": "title", "name": "标题", "type": "STRING", "state_id": 2, "validate_type": "REQUIRE" },
            { "id": 2, "key": "content", "name": "申请内容", "type": "CUSTOM-FORM", "state_id": 2, "validate_type": "OPTION" }, opinion(3, "o3", 3), opinion(4, "o4", 4)] });
    let import_request = json!({ "name": "权限审批", "key": "request", "catalog_id": 4, "display_type": "API", "display_role": "BK_IAM", "workflow": flow });
    desk.must("import_service", import_request).await;
    let headers = [
        gateway_header("admin"),
        ("X-Bk-App-Code", "bk_iam".to_owned()),
    ];
    let path = |operation: &str| format!("/api/c/compapi/v2/itsm/{operation}/");
    let services = send(
        &desk,
        Method::GET,
        &format!(
            "{}?display_type=API&display_role=BK_IAM",
            path("get_services")
        ),
        &headers,
        None,
    )
    .await;
    let service = services
        .as_array()
        .expect("services")
        .iter()
        .find(|service| service["name"] == "权限审批")
        .expect("ours")["id"]
        .clone();
    let roles = send(
        &desk,
        Method::GET,
        &format!(
            "{}?service_id={service}&ticket_creator=lisi&all=1",
            path("get_service_roles")
        ),
        &headers,
        None,
    )
    .await;
    assert_eq!(
        roles,
        json!([
            { "id": 3, "name": "分级管理员审批", "processors": "rating_manager", "processors_type": "IAM", "sign_type": "or" },
            { "id": 4, "name": "超级管理员审批", "processors": "super_manager", "processors_type": "IAM", "sign_type": "and" }
        ])
    );
    let content =
        json!({ "config": { "mode": "combine" }, "schemes": {}, "form_data": [{ "value": "x" }] });
    let apply = json!({
        "service_id": service, "creator": "lisi", "tag": "bk_iam", "attention": true,
        "fields": [{ "key": "title", "value": "申请权限", "meta": { "language": { "en": "Apply" } } }, { "key": "content", "value": content }],
        "dynamic_fields": [{ "name": "申请期限", "type": "STRING", "value": "6 个月" }, { "name": "详情", "type": "LINK", "value": "https://iam.example.com/1" }],
        "meta": { "callback_url": "https://iam.example.com/cb/", "state_processors": { "3": "zhangsan", "4": "admin,wangwu" } }
    });
    let created = send(
        &desk,
        Method::POST,
        &path("create_ticket"),
        &headers,
        Some(apply.clone()),
    )
    .await;
    for (node, who, key) in [
        (3, "zhangsan", "o3"),
        (4, "wangwu", "o4"),
        (4, "admin", "o4"),
    ] {
        let vote = json!({ "sn": created["sn"], "operator": who, "state_id": node, "action_type": "TRANSITION", "fields": form(&[(key, "true")]) });
        send(
            &desk,
            Method::POST,
            &path("operate_node"),
            &headers,
            Some(vote),
        )
        .await;
    }
    let other = send(
        &desk,
        Method::POST,
        &path("create_ticket"),
        &headers,
        Some(apply),
    )
    .await;
    send(
        &desk,
        Method::POST,
        &path("operate_ticket"),
        &headers,
        Some(json!({ "sn": other["sn"], "operator": "lisi", "action_type": "WITHDRAW", "action_message": "x" })),
    )
    .await;
    let results = send(
        &desk,
        Method::POST,
        &path("ticket_approval_result"),
        &headers,
        Some(json!({ "sn": [created["sn"], other["sn"], "NO2019"] })),
    )
    .await;
    let statuses: Vec<(&Value, &Value)> = results
        .as_array()
        .expect("results")
        .iter()
        .map(|result| (&result["current_status"], &result["approve_result"]))
        .collect();
    assert_eq!(
        statuses,
        [
            (&json!("REVOKED"), &json!(false)),
            (&json!("FINISHED"), &json!(true))
        ],
        "newest first, unknown numbers left out"
    );
    let listed = send(
        &desk,
        Method::POST,
        &path("get_tickets"),
        &headers,
        Some(json!({ "tag": "bk_iam" })),
    )
    .await;
    assert_eq!(listed["count"], 2);
    let (_, shown) = desk
        .v1(
            "GET",
            &format!("tickets/{}", created["sn"].as_str().unwrap()),
            "lisi",
            Value::Null,
        )
        .await;
    assert_eq!(
        (&shown["dynamic_fields"][0]["name"], &shown["followers"]),
        (&json!("申请期限"), &json!(["lisi"]))
    );
}

#[tokio::test]
async fn the_cloud_console_uses_gateway_paths_without_trailing_slashes() {
    let desk = TestDesk::open().await;
    let headers = [
        gateway_header("lisi"),
        ("X-Use-Test-Env", "false".to_owned()),
    ];
    let path = |operation: &str| format!("/prod/v2/itsm/{operation}");
    let mut body = tests::approval_request();
    body["meta"] = json!({ "callback_url": "https://hcm.example.com/cb" });
    let created = send(
        &desk,
        Method::POST,
        &path("create_ticket"),
        &headers,
        Some(body),
    )
    .await;
    let listed = send(
        &desk,
        Method::POST,
        &path("get_tickets"),
        &headers,
        Some(json!({ "sns": [created["sn"]], "page": 1, "page_size": 10 })),
    )
    .await;
    assert_eq!(
        (&listed["count"], &listed["items"][0]["sn"]),
        (&json!(1), &created["sn"])
    );
    let status = send(
        &desk,
        Method::GET,
        &format!(
            "{}?sn={}",
            path("get_ticket_status"),
            created["sn"].as_str().unwrap()
        ),
        &headers,
        None,
    )
    .await;
    let step = status["current_steps"][0].clone();
    let fields: Vec<Value> = step["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .map(|field| json!({ "key": field["key"], "value": if field["type"] == "RADIO" { "true" } else { "" } }))
        .collect();
    let operate = json!({ "sn": created["sn"], "operator": "zhangsan", "state_id": step["state_id"], "action_type": "TRANSITION", "fields": fields });
    send(
        &desk,
        Method::POST,
        &path("operate_node"),
        &headers,
        Some(operate),
    )
    .await;
    let step = send(
        &desk,
        Method::GET,
        &format!(
            "{}?sn={}",
            path("get_ticket_status"),
            created["sn"].as_str().unwrap()
        ),
        &headers,
        None,
    )
    .await["current_steps"][0]
        .clone();
    assert_eq!(step["name"], "管理员审批");
}

#[tokio::test]
async fn the_code_checker_sends_a_filled_template_with_an_access_token() {
    let desk = TestDesk::open().await;
    let header = json!({ "bk_app_code": TRUSTED.0, "bk_app_secret": TRUSTED.1, "bk_username": "lisi", "access_token": "t-1" }).to_string();
    let template = r#"{"access_token":"t-1","service_id":"22","creator":"{creator}","fields":[{"key":"title","value":"{title}"},{"key":"apply_content","value":"c"},
        {"key":"ZHIDINGSHENPIREN","value":"{approver}"}],"fast_approval":false,"meta":{"callback_url":"https://codecc.example.com/cb"}}"#;
    let body: Value = serde_json::from_str(
        &template
            .replace("{creator}", "lisi")
            .replace("{title}", "忽略缺陷")
            .replace("{approver}", "zhangsan"),
    )
    .expect("JSON");
    let created = send(
        &desk,
        Method::POST,
        "/prod/v2/itsm/create_ticket",
        &[("X-Bkapi-Authorization", header.clone())],
        Some(body),
    )
    .await;
    let info = send(
        &desk,
        Method::GET,
        &format!(
            "/prod/v2/itsm/get_ticket_info?sn={}",
            created["sn"].as_str().unwrap()
        ),
        &[("X-Bkapi-Authorization", header)],
        None,
    )
    .await;
    assert_eq!(
        (&info["current_status"], &info["creator"]),
        (&json!("RUNNING"), &json!("lisi"))
    );
}

/// A desk without demo data contains a base configuration. The services that BlueKing platforms use are a
/// part of this configuration.
#[tokio::test]
async fn a_desk_without_demo_data_has_the_services_of_the_platforms() {
    let desk = TestDesk::bare().await;
    let headers = [gateway_header("admin")];
    let path = |operation: &str| format!("/api/c/compapi/v2/itsm/{operation}/");
    let shown = async |role: &str| {
        send(
            &desk,
            Method::GET,
            &format!(
                "{}?display_type=API&display_role={role}",
                path("get_services")
            ),
            &headers,
            None,
        )
        .await
    };
    assert_eq!(shown("LOG_SEARCH").await[0]["name"], "日志平台容量评估");
    // The permission center of BlueKing is a client that finds its services by name. In each of these
    // services, the approvers of the first node are the members of one role. The BlueKing system IAM defines
    // this role.
    let services = shown("BK_IAM").await;
    for (name, role) in [
        ("默认审批流程", "system_manager"),
        ("用户组审批流程", "rating_manager"),
    ] {
        let service = services
            .as_array()
            .expect("services")
            .iter()
            .find(|service| service["name"] == name)
            .expect(name)["id"]
            .clone();
        let roles = send(
            &desk,
            Method::GET,
            &format!("{}?service_id={service}", path("get_service_roles")),
            &headers,
            None,
        )
        .await;
        assert_eq!(
            (&roles[0]["processors"], &roles[0]["processors_type"]),
            (&json!(role), &json!("IAM"))
        );
        let fields = json!([
            { "key": "title", "value": "申请权限" }, { "key": "application_type_display", "value": "自定义权限申请" }, { "key": "organization_names", "value": "--" },
            { "key": "reason", "value": "需要" }, { "key": "content", "value": { "schemes": {}, "form_data": [] } }, { "key": "applicants", "value": "用户: lisi(李四)" },
        ]);
        let apply = json!({ "service_id": service, "creator": "lisi", "fields": fields,
            "meta": { "callback_url": "https://iam.example.com/cb/", "state_processors": { roles[0]["id"].to_string(): "zhangsan,wangwu" } } });
        let sn = send(
            &desk,
            Method::POST,
            &path("create_ticket"),
            &headers,
            Some(apply),
        )
        .await["sn"]
            .clone();
        send(
            &desk,
            Method::POST,
            &path("approve"),
            &headers,
            Some(json!({ "sn": sn, "state_id": roles[0]["id"], "approver": "wangwu", "action": "true", "remark": "" })),
        )
        .await;
        let results = send(
            &desk,
            Method::POST,
            &path("ticket_approval_result"),
            &headers,
            Some(json!({ "sn": [sn] })),
        )
        .await;
        assert_eq!(
            (&results[0]["current_status"], &results[0]["approve_result"]),
            (&json!("FINISHED"), &json!(true))
        );
    }
}
