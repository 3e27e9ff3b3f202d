//! These tests check the read operations of BlueKing clients. A client can read the ticket lists of one
//! person and the complete log of a ticket, and can find a catalog by its name. A pipeline (an automatic
//! build) can find services and the fields that it must submit.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tests::{TRUSTED, approval_request, change, form};

use crate::TestDesk;
use crate::workflow_builder::{account_api, answers, api, line, manual, open, service};

async fn get(desk: &TestDesk, path: &str) -> Value {
    let separator = if path.contains('?') { '&' } else { '?' };
    let uri = format!(
        "{path}{separator}bk_app_code={}&bk_app_secret={}",
        TRUSTED.0, TRUSTED.1
    );
    let (_, bytes) = desk
        .send(Request::get(uri).body(Body::empty()).expect("a request"))
        .await;
    serde_json::from_slice(&bytes).expect("an envelope")
}

#[tokio::test]
async fn a_list_of_one_person_shows_allowed_operations_and_links_to_pages() {
    let desk = TestDesk::open().await;
    let mut sns = Vec::new();
    for _ in 0..3 {
        sns.push(desk.must("create_ticket", approval_request()).await["sn"].clone());
    }
    desk.must(
        "add_follower",
        json!({ "sn": sns[0], "users": "chuyi,weier", "operator": "lisi" }),
    )
    .await;
    let path =
        "/v2/itsm/get_tickets_by_user/?user=zhangsan&view_type=my_todo&page_size=2&catalog_id=1";
    let first = get(&desk, path).await["data"].clone();
    assert_eq!(
        (
            &first["count"],
            first["items"].as_array().unwrap().len(),
            &first["previous"]
        ),
        (&json!(3), 2, &Value::Null),
        "{first}"
    );
    let next = first["next"].as_str().unwrap();
    assert!(
        next.contains("user=zhangsan")
            && next.contains("view_type=my_todo")
            && !next.contains("secret"),
        "{next}"
    );
    let second = get(&desk, next.trim_start_matches(&desk.app.settings.site)).await["data"].clone();
    assert_eq!(
        (
            second["items"].as_array().unwrap().len(),
            &second["items"][0]["sn"]
        ),
        (1, &sns[0]),
        "the link leads to the next page"
    );
    let item = &second["items"][0];
    for (key, value) in [
        ("service_name", json!("通用审批申请")),
        ("current_status_display", json!("处理中")),
        ("current_processors", json!("zhangsan,wangwu")),
        ("can_operate", json!(true)),
        ("waiting_approve", json!(true)),
        ("can_comment", json!(false)),
        ("can_withdraw", json!(false)),
        ("can_supervise", json!(false)),
        ("sla", json!([])),
    ] {
        assert_eq!(item[key], value, "{key}: {item}");
    }
    assert_eq!(item["followers"].as_array().unwrap().len(), 2);
    assert_eq!(
        item["current_steps"][0]["id"],
        item["current_steps"][0]["state_id"]
    );
    let own = desk
        .must(
            "get_tickets_by_user",
            json!({ "user": "lisi", "view_type": "my_created" }),
        )
        .await["items"][0]
        .clone();
    assert_eq!(
        (&own["can_withdraw"], &own["can_operate"]),
        (&json!(true), &json!(false))
    );
    // The BlueKing API ignores the start of a time range if the request contains no end. A filter by
    // category also returns the tickets of its subcategories.
    let lone = desk.must("get_tickets_by_user", json!({ "user": "lisi", "view_type": "my_created", "create_at__gte": "2099-01-01 00:00:00" })).await;
    assert_eq!(lone["count"], 3);
    desk.must("create_ticket", change()).await;
    let kinds = async |kind: &str| {
        desk.must("get_tickets", json!({ "service_type": kind }))
            .await["count"]
            .clone()
    };
    assert_eq!(
        (
            kinds("change").await,
            kinds("request").await,
            kinds("event").await
        ),
        (json!(1), json!(3), json!(0))
    );
}

#[tokio::test]
async fn a_full_log_shows_forms_outputs_and_the_type_of_each_task() {
    let desk = TestDesk::open().await;
    let hook = json!({ "id": 4, "type": "WEBHOOK", "name": "通知", "processors_type": "PERSON", "processors": "zhangsan",
        "extras": { "webhook_info": { "method": "POST", "url": "https://hook.example.com/", "body": {}, "settings": { "timeout": 5 } } } });
    let nodes = json!([api(3, account_api()), hook, manual(5, "交付", "wangwu")]);
    let service = service(
        &desk,
        "日志",
        nodes,
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 5), line(5, 9)]),
        json!([]),
    )
    .await;
    answers(
        &desk,
        &[
            (
                200,
                json!({ "result": true, "data": { "account": "acc-1" } }),
            ),
            (200, json!({})),
        ],
    );
    let sn = open(&desk, &service).await;
    desk.settle().await;
    let logs = desk
        .must(
            "get_ticket_logs",
            json!({ "sn": sn, "show_type": "complex" }),
        )
        .await["logs"]
        .clone();
    let log_entry = |text: &str| {
        logs.as_array()
            .unwrap()
            .iter()
            .find(|log| log["message"].as_str().unwrap().contains(text))
            .unwrap_or_else(|| panic!("{text}: {logs}"))
            .clone()
    };
    let submitted = log_entry("处理【提单】");
    assert_eq!(submitted["from_state_type"], "NORMAL");
    let host = submitted["form_data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|field| field["key"] == "host")
        .unwrap()
        .clone();
    assert_eq!(
        (&host["value"], &host["display_value"]),
        (&json!("a/b"), &json!("a/b"))
    );
    let called = log_entry("自动处理单据任务【开通账号】执行成功.");
    assert_eq!(
        (&called["from_state_type"], &called["source"]),
        (&json!("TASK"), &json!("AUTOMATIC"))
    );
    assert!(
        called["form_data"][0]["output_variables"]
            .to_string()
            .contains("acc-1"),
        "{called}"
    );
    assert_eq!(
        log_entry("WebHook任务【通知】执行成功.")["from_state_type"],
        "WEBHOOK"
    );
    let simple = desk.must("get_ticket_logs", json!({ "sn": sn })).await["logs"][0].clone();
    assert_eq!(
        simple.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["message", "operate_at", "operator", "source"]
    );
}

#[tokio::test]
async fn categories_are_found_by_name_with_their_children() {
    let desk = TestDesk::open().await;
    let named = desk
        .must("get_service_catalogs", json!({ "name": "服务反馈" }))
        .await;
    let category = &named.as_array().unwrap()[0];
    assert_eq!(
        (
            named.as_array().unwrap().len(),
            &category["key"],
            &category["level"]
        ),
        (1, &json!("FUWUFANKUI"), &json!(1))
    );
    assert!(
        category["children"]
            .as_array()
            .unwrap()
            .iter()
            .any(|child| child["name"] == "问题管理" && child["level"] == 2),
        "{category}"
    );
    assert_eq!(
        desk.must("get_service_catalogs", json!({ "name": "没有的" }))
            .await,
        json!([])
    );
}

#[tokio::test]
async fn pipelines_read_the_services_and_their_submit_fields() {
    let desk = TestDesk::open().await;
    let services = get(&desk, "/openapi/devops_plugin/services/").await["data"].clone();
    let general = services
        .as_array()
        .unwrap()
        .iter()
        .find(|service| service["service_name"] == "通用审批申请")
        .unwrap()
        .clone();
    let fields = get(
        &desk,
        &format!(
            "/v2/devops_plugin/fields/?service_id={}",
            general["service_id"]
        ),
    )
    .await["data"]
        .clone();
    assert!(
        fields
            .as_array()
            .unwrap()
            .contains(&json!({ "key": "title", "keyDisable": true, "keyType": "input" })),
        "{fields}"
    );
    assert_eq!(
        get(&desk, "/v2/devops_plugin/fields/?service_id=99999").await["code"],
        3_900_404
    );
}

#[tokio::test]
async fn dynamic_fields_are_shown_and_results_are_newest_first() {
    let desk = TestDesk::open().await;
    let mut body = approval_request();
    body["dynamic_fields"] = json!([{ "name": "申请链接", "type": "LINK", "value": "https://iam.example.com/1" }, { "name": "数量", "type": "INT", "value": 3 }]);
    let first = desk.must("create_ticket", body).await["sn"].clone();
    let fields = desk.must("get_ticket_info", json!({ "sn": first })).await["fields"].clone();
    let shown: Vec<_> = fields
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .take(2)
        .map(|field| {
            (
                field["name"].clone(),
                field["value"].clone(),
                field["type"].clone(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (json!("数量"), json!("3"), json!("INT")),
            (
                json!("申请链接"),
                json!("https://iam.example.com/1"),
                json!("LINK")
            )
        ]
    );
    // The id of a ticket begins with a digit for the type of its service. A ticket list that is sorted by
    // id is therefore not sorted by age.
    desk.clock.advance(1_000);
    let second = desk.must("create_ticket", change()).await["sn"].clone();
    desk.clock.advance(1_000);
    let third = desk.must("create_ticket", approval_request()).await["sn"].clone();
    let results = desk
        .must(
            "ticket_approval_result",
            json!({ "sn": [first, second, third] }),
        )
        .await;
    let order: Vec<_> = results
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["sn"].clone())
        .collect();
    assert_eq!(order, [third, second, first]);
}

#[tokio::test]
async fn roles_of_a_service_are_shown_as_people_for_every_node() {
    let desk = TestDesk::open().await;
    let roles = desk.v1("GET", "roles", "admin", Value::Null).await.1["roles"].clone();
    let role = roles
        .as_array()
        .unwrap()
        .iter()
        .find(|role| {
            role["kind"] == "GENERAL"
                && role["members"]
                    .as_array()
                    .is_some_and(|members| !members.is_empty())
        })
        .unwrap()
        .clone();
    let general = json!({ "id": 4, "type": "NORMAL", "name": "运维", "processors_type": "GENERAL", "processors": role["name"], "distribute_type": "PROCESS" });
    let nodes = json!([api(3, account_api()), general]);
    let service = service(
        &desk,
        "角色",
        nodes,
        json!([line(1, 2), line(2, 3), line(3, 4), line(4, 9)]),
        json!([]),
    )
    .await;
    let shown = desk
        .must("get_service_roles", json!({ "service_id": service }))
        .await;
    let named: Vec<_> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            (
                node["id"].clone(),
                node["processors"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let members: Vec<&str> = role["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(
        (&named[0].0, &named[1]),
        (&json!(3), &(json!(4), members.join(","))),
        "{shown}"
    );
}

#[tokio::test]
async fn the_tag_of_a_node_is_shown_in_every_list_of_steps() {
    let desk = TestDesk::open().await;
    let mut node = manual(3, "处理", "wangwu");
    node["tag"] = "DEFAULT".into();
    let service = service(
        &desk,
        "标签",
        json!([node]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([]),
    )
    .await;
    let body = json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t"), ("host", "h"), ("count", "1")]) });
    let sn = desk.must("create_ticket", body).await["sn"].clone();
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    let status = desk.must("get_ticket_status", json!({ "sn": sn })).await;
    let listed = desk.must("get_tickets", json!({ "sns": [sn] })).await["items"][0].clone();
    for shown in [&info, &status, &listed] {
        assert_eq!(shown["current_steps"][0]["tag"], "DEFAULT", "{shown}");
    }
}

#[tokio::test]
async fn an_approval_summary_escapes_text_and_a_workflow_is_read_in_full() {
    let desk = TestDesk::open().await;
    let fields = form(&[
        ("title", "*重启* [点我](javascript:x)"),
        ("APPROVER", "wangwu,zhaoliu"),
        ("APPROVAL_CONTENT", "<b>进程</b>"),
    ]);
    let sn = desk
        .must(
            "create_ticket",
            json!({ "fast_approval": true, "creator": "lisi", "fields": fields }),
        )
        .await["sn"]
        .clone();
    let summary = desk
        .must("get_fast_approval_summary", json!({ "sn": sn }))
        .await["summary"]
        .as_str()
        .unwrap()
        .to_owned();
    let lines: Vec<&str> = summary.lines().collect();
    assert_eq!(
        lines[0], r"**\*重启\* \[点我\]\(javascript:x\)**",
        "user input is escaped: {summary}"
    );
    assert!(
        lines.contains(&format!("单号：{}", sn.as_str().unwrap()).as_str())
            && lines.contains(&"审批人：wangwu,zhaoliu"),
        "{summary}"
    );
    assert!(
        lines.contains(&r"审批内容：\<b\>进程\</b\>") && lines.last().unwrap().starts_with("http"),
        "{summary}"
    );
    assert_eq!(
        desk.refused("get_fast_approval_summary", json!({ "sn": "NO1" }))
            .await
            .0,
        3_900_022
    );
    let flow = desk
        .must("get_service_detail", json!({ "service_id": 19 }))
        .await["workflow_id"]
        .clone();
    let detail = desk
        .must("get_workflow_detail", json!({ "workflow_id": flow }))
        .await;
    for (part, count) in [("states", 6), ("transitions", 7)] {
        let listed = detail[part]
            .as_array()
            .unwrap_or_else(|| panic!("{detail}"));
        assert!(listed.len() >= count - 1, "{part}: {}", listed.len());
    }
    let claimed = detail["states"]
        .as_array()
        .unwrap()
        .iter()
        .find(|state| state["name"] == "一线处理")
        .expect("the first line")
        .clone();
    assert_eq!(
        (
            &claimed["type"],
            &claimed["distribute_type"],
            &claimed["processors_type"]
        ),
        (
            &json!("NORMAL"),
            &json!("CLAIM_THEN_PROCESS"),
            &json!("GENERAL")
        )
    );
    assert!(
        detail["fields"]
            .as_array()
            .unwrap()
            .iter()
            .any(|field| field["key"] == "GUZHANGMIAOSHU")
    );
    assert!(
        desk.call("get_workflow_detail", json!({ "workflow_id": 999_990_001 }))
            .await["result"]
            == false
    );
}

/// Events name people by their user names and have times as RFC 3339 text, also inside of their data
/// (cases/first-use.md, section 2).
#[tokio::test]
async fn the_data_of_events_has_user_names_and_readable_times() {
    let desk = TestDesk::open().await;
    // The event of the end of a ticket contains the time of the automatic rating.
    let (status, _) = desk
        .v1(
            "PUT",
            "services/22",
            "admin",
            json!({ "rate_after_days": 3 }),
        )
        .await;
    assert_eq!(status, 200);
    let sn = desk.must("create_ticket", approval_request()).await["sn"].clone();
    desk.operate(&sn, "decide", "zhangsan", json!({ "pass": true }))
        .await;
    desk.operate(
        &sn,
        "remark",
        "lisi",
        json!({ "text": "x", "people": ["wangwu"] }),
    )
    .await;
    let close = json!({ "status": "FINISHED", "message": "done" });
    desk.operate(&sn, "close", "admin", close).await;
    let path = format!("tickets/{}/events", sn.as_str().expect("a number"));
    let (_, shown) = desk.v1("GET", &path, "lisi", Value::Null).await;
    let events = shown["events"].as_array().expect("events");
    assert!(events.len() >= 6, "{shown}");
    let mut texts = Vec::new();
    for event in events {
        collect(&event["event"], &mut texts);
    }
    let ids: Vec<&String> = texts
        .iter()
        .filter(|text| text.split(',').any(events::PersonId::is_id))
        .collect();
    assert_eq!(ids, [""; 0], "no id of a person is shown");
    for name in ["lisi", "zhangsan", "wangwu"] {
        assert!(texts.iter().any(|text| text == name), "{name}: {texts:?}");
    }
    let year = |text: &String| text.starts_with("2026-11-");
    let times: Vec<&String> = texts.iter().filter(|text| year(text)).collect();
    assert!(!times.is_empty(), "{texts:?}");
    for time in &times {
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }
    // The clock of the desk begins at this time. In milliseconds, each time would begin with these digits.
    let now = desk.app.ledger.clock.now().0.to_string();
    let numbers: Vec<&String> = texts
        .iter()
        .filter(|text| text.len() == now.len() && text.starts_with(&now[..5]))
        .collect();
    assert_eq!(numbers, [""; 0], "no time is shown in milliseconds");
}

/// Appends all texts and numbers of a JSON value to `texts`.
fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Number(number) => texts.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(members) => members.values().for_each(|member| collect(member, texts)),
        Value::Null | Value::Bool(_) => {}
    }
}
