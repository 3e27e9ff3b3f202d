//! These tests send malformed input. The response must be a clear error and never a server error, and the
//! desk must store no event.

use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tests::{TRUSTED, approval_request, incident};

use crate::TestDesk;

const OPERATIONS: [&str; 13] = [
    "create_ticket",
    "get_services",
    "get_service_catalogs",
    "get_service_detail",
    "get_tickets",
    "get_ticket_info",
    "get_ticket_logs",
    "get_ticket_status",
    "operate_node",
    "operate_ticket",
    "token/verify",
    "ticket_approval_result",
    "callback_failed_ticket",
];

/// Texts that contain SQL, HTML, template expressions, code or control characters. The desk must treat them
/// as plain text.
const HOSTILE: &[&str] = &[
    "'; DROP TABLE commits; --",
    "<script>alert(1)</script>",
    "${params_title}",
    "{{7*7}}",
    "y' or '1' == '1",
    "\u{202e}\"\\\n\t",
    "😀\u{10ffff}",
];

async fn post(desk: &TestDesk, operation: &str, kind: &str, body: Vec<u8>) -> Value {
    let credentials = json!({ "bk_app_code": TRUSTED.0, "bk_app_secret": TRUSTED.1 }).to_string();
    let request = Request::post(format!("/api/c/compapi/v2/itsm/{operation}/"))
        .header("content-type", kind)
        .header("x-bkapi-authorization", credentials);
    let (status, bytes) = desk.send(request.body(body.into()).unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{operation}");
    serde_json::from_slice(&bytes).expect("an envelope")
}

#[tokio::test]
async fn unreadable_bodies_are_rejected_with_the_reason() {
    let desk = TestDesk::open().await;
    let before = desk.head().await;
    let deep = |depth: usize| {
        format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
    };
    for operation in OPERATIONS {
        for (kind, body, reason) in [
            ("application/json", b"{\"sn\": ".to_vec(), "不是合法的 JSON"),
            ("application/json", b"[1, 2]".to_vec(), "不是 JSON 对象"),
            ("application/json", b"\"text\"".to_vec(), "不是 JSON 对象"),
            (
                "application/json",
                b"{\"sn\": \"\xff\xfe\"}".to_vec(),
                "不是 UTF-8",
            ),
            ("application/json", deep(100), "嵌套超过 64 层"),
            ("application/json", deep(100_000), "嵌套超过 64 层"),
            ("application/json", vec![b' '; 2 << 20], "超过 1048576 字节"),
            (
                "application/xml",
                b"<sn/>".to_vec(),
                "不支持的内容类型: application/xml",
            ),
        ] {
            let answer = post(&desk, operation, kind, body).await;
            assert_eq!(
                (&answer["result"], &answer["code"]),
                (&json!(false), &json!(3_900_021)),
                "{operation}: {answer}"
            );
            assert!(
                answer["message"].as_str().unwrap().contains(reason),
                "{operation}: {answer}"
            );
        }
    }
    // The API `/v1` must reject malformed bodies with problem details (the error format of RFC 9457).
    for (body, expected, reason) in [
        (
            b"{\"sn\": ".to_vec(),
            StatusCode::BAD_REQUEST,
            "the body is not JSON",
        ),
        (
            b"[1, 2]".to_vec(),
            StatusCode::BAD_REQUEST,
            "the body is JSON, but not an object",
        ),
        (
            b"{\"sn\": \"\xff\xfe\"}".to_vec(),
            StatusCode::BAD_REQUEST,
            "the body is not UTF-8",
        ),
        (
            deep(100),
            StatusCode::BAD_REQUEST,
            "the body is nested deeper than 64 levels",
        ),
        (
            vec![b' '; 2 << 20],
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than 1048576 bytes",
        ),
    ] {
        let gateway_credentials =
            json!({ "bk_app_code": TRUSTED.0, "bk_app_secret": TRUSTED.1 }).to_string();
        let request = Request::post("/v1/tickets")
            .header("content-type", "application/json")
            .header("x-bkapi-authorization", gateway_credentials);
        let (status, answer) = desk.send(request.body(body.into()).unwrap()).await;
        let problem: Value = serde_json::from_slice(&answer).expect("a problem");
        assert!(
            status == expected && problem["detail"].as_str().unwrap().starts_with(reason),
            "{status} {problem}"
        );
    }
    assert_eq!(desk.head().await, before);
}

#[tokio::test]
async fn values_of_a_wrong_type_store_nothing_and_cause_no_server_error() {
    let desk = TestDesk::open().await;
    let wrong = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("\u{0}"),
        json!([]),
        json!({}),
        json!([[1]]),
        json!({ "a": { "b": 1 } }),
    ];
    let parameters = [
        "service_id",
        "creator",
        "fields",
        "meta",
        "tag",
        "sn",
        "operator",
        "state_id",
        "action_type",
        "processors",
        "processors_type",
        "action_message",
        "sns",
        "page",
        "page_size",
        "catalog_id",
        "token",
        "create_at__gte",
    ];
    for operation in OPERATIONS {
        for parameter in parameters {
            for value in &wrong {
                let mut body = json!({ "sn": "NO1", "operator": "lisi", "state_id": 3, "action_type": "CLAIM" });
                if operation == "create_ticket" {
                    body = approval_request();
                    // An empty title makes the request invalid. Otherwise some requests would open a
                    // ticket, because `create_ticket` ignores some of the tested parameters.
                    body["fields"][0]["value"] = "".into();
                }
                body[parameter] = value.clone();
                let before = desk.head().await;
                let answer = post(
                    &desk,
                    operation,
                    "application/json",
                    body.to_string().into_bytes(),
                )
                .await;
                assert!(
                    answer["code"]
                        .as_i64()
                        .is_some_and(|code| code != 3_900_500),
                    "{operation} {parameter} {value}: {answer}"
                );
                assert_eq!(
                    desk.head().await,
                    before,
                    "{operation} {parameter} {value} stored an event"
                );
            }
        }
    }
}

#[tokio::test]
async fn hostile_texts_are_stored_and_shown_and_never_executed() {
    let desk = TestDesk::open().await;
    for text in HOSTILE {
        let mut body = incident();
        body["fields"][0]["value"] = (*text).into();
        body["fields"][4]["value"] = (*text).into();
        let sn = desk.must("create_ticket", body).await["sn"].clone();
        let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
        assert_eq!(info["title"], *text);
        assert_eq!(
            desk.must("get_tickets", json!({ "sns": [sn] })).await["items"][0]["title"],
            *text
        );
    }
    // Every text member of the request contains a hostile text. The desk must store this text unchanged or
    // reject it with a reason, and must not return a server error.
    for text in HOSTILE {
        let mut body = approval_request();
        body["tag"] = text.chars().take(32).collect::<String>().into();
        for field in ["title", "apply_content", "apply_reason"] {
            body["fields"]
                .as_array_mut()
                .unwrap()
                .retain(|entry| entry["key"] != field);
            body["fields"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "key": field, "value": text }));
        }
        let sn = desk.must("create_ticket", body).await["sn"].clone();
        let act = |action: &str, more: Value| {
            let mut body =
                json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": action });
            body.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            body
        };
        desk.must(
            "operate_ticket",
            act("SUSPEND", json!({ "action_message": text })),
        )
        .await;
        desk.must("operate_ticket", act("UNSUSPEND", json!({})))
            .await;
        let deliver = json!({ "processors_type": "PERSON", "processors": "zhangsan", "action_message": text });
        desk.must("operate_node", act("DELIVER", deliver)).await;
        let fields = tests::form(&[("FZR_YIJIAN", "false"), ("FZR_LIYOU", text)]);
        desk.must(
            "operate_node",
            act("TRANSITION", json!({ "fields": fields })),
        )
        .await;
        let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
        for key in ["title", "apply_content", "apply_reason", "FZR_LIYOU"] {
            let field = info["fields"]
                .as_array()
                .unwrap()
                .iter()
                .find(|field| field["key"] == key)
                .unwrap();
            assert_eq!(field["value"], *text, "{key}");
        }
        let logs = desk.must("get_ticket_logs", json!({ "sn": sn })).await;
        let entries = logs["logs"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|log| log["message"].as_str().unwrap().contains(text.trim()))
            .count();
        assert_eq!(entries, 2, "the suspension and the transfer: {logs}");
        let parameters = [
            "sn",
            "operator",
            "creator",
            "action_type",
            "processors",
            "processors_type",
            "service_id",
            "state_id",
            "catalog_id",
            "token",
            "page",
            "tag",
        ];
        for (operation, parameter) in OPERATIONS
            .iter()
            .flat_map(|operation| parameters.map(|parameter| (operation, parameter)))
        {
            let before = desk.head().await;
            let mut body = json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "CLAIM", "processors": "x", "processors_type": "PERSON" });
            body[parameter] = (*text).into();
            let answer = post(
                &desk,
                operation,
                "application/json",
                body.to_string().into_bytes(),
            )
            .await;
            assert!(
                answer["code"]
                    .as_i64()
                    .is_some_and(|code| code != 3_900_500),
                "{operation} {parameter} {text}: {answer}"
            );
            assert_eq!(
                desk.head().await,
                before,
                "{operation} {parameter} {text} stored an event"
            );
        }
    }
    for name in ["a,b", "<b>", "x'--", "名\u{7}", &"x".repeat(65)] {
        let mut body = approval_request();
        body["creator"] = name.into();
        assert_eq!(
            desk.refused("create_ticket", body).await,
            (3_900_005, "creator:不是合法的用户名。".into())
        );
    }
    let mut long = approval_request();
    long["fields"][1]["value"] = "x".repeat(400_000).into();
    let before = desk.head().await;
    let (code, message) = desk.refused("create_ticket", long).await;
    assert!(
        code == 3_900_021 && message.contains("内容过大"),
        "{code} {message}"
    );
    assert!(
        desk.head().await <= before + 1,
        "at most a block of ticket numbers is stored"
    );
}

#[tokio::test]
async fn read_operations_accept_get_and_post_and_writes_accept_only_post() {
    let desk = TestDesk::open().await;
    let credentials = format!("bk_app_code={}&bk_app_secret={}", TRUSTED.0, TRUSTED.1);
    let get = async |path: &str| {
        let request = Request::get(format!(
            "{path}{}{credentials}&service_id=22&bklog_request_id=1",
            if path.contains('?') { "&" } else { "?" }
        ))
        .body(axum::body::Body::empty())
        .unwrap();
        serde_json::from_slice::<Value>(&desk.send(request).await.1).unwrap()
    };
    let one = get("/api/c/compapi/v2/itsm/get_service_detail/").await["data"].clone();
    assert_eq!(one["name"], "通用审批申请");
    for path in [
        "/api/c/compapi/itsm/get_service_detail",
        "//api/c/compapi/v2/itsm/get_service_detail/",
        "/stage/v2/itsm/get_service_detail",
        "/openapi/service/get_service_detail/",
    ] {
        assert_eq!(get(path).await["data"], one, "{path}");
    }
    for _ in 0..3 {
        desk.must("create_ticket", approval_request()).await;
    }
    let list =
        get("/api/c/compapi/v2/itsm/get_tickets/?sns=REQ20261122000001&sns=REQ20261122000003&x=")
            .await;
    assert_eq!(list["data"]["count"], 2, "a repeated parameter is a list");
    let form = post(
        &desk,
        "get_service_detail",
        "application/x-www-form-urlencoded",
        b"service_id=22".to_vec(),
    )
    .await;
    assert_eq!(form["data"], one);
    assert_eq!(
        get("/api/c/compapi/v2/itsm/create_ticket/").await["code"],
        3_900_002
    );
    let unknown = async |query: &str| {
        let request = Request::get(format!("/api/c/compapi/v2/itsm/no_such/{query}"))
            .body(axum::body::Body::empty())
            .unwrap();
        desk.send(request).await.0
    };
    assert_eq!(
        unknown("").await,
        StatusCode::FORBIDDEN,
        "without credentials every path has the same status"
    );
    assert_eq!(
        unknown(&format!(
            "?bk_app_code={}&bk_app_secret={}",
            TRUSTED.0, TRUSTED.1
        ))
        .await,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn over_long_identifiers_are_not_found() {
    let desk = TestDesk::open().await;
    let long = "x".repeat(1100);
    for (operation, body) in [
        ("get_ticket_info", json!({ "sn": long })),
        ("get_ticket_status", json!({ "sn": long })),
        ("get_ticket_logs", json!({ "sn": long })),
    ] {
        assert_eq!(
            desk.refused(operation, body).await.0,
            3_900_022,
            "{operation}"
        );
    }
    for filter in ["creator", "username", "current_status__in", "sns"] {
        let value = if filter.ends_with('s') || filter.ends_with("in") {
            json!([long])
        } else {
            json!(long)
        };
        assert_eq!(
            desk.must("get_tickets", json!({ filter: value })).await["count"],
            0,
            "{filter}"
        );
    }
    assert_eq!(
        desk.v1("GET", &format!("tickets/{long}"), "lisi", Value::Null)
            .await
            .0,
        404
    );
    let act = json!({ "sn": long, "operator": "lisi", "action_type": "WITHDRAW" });
    assert_eq!(desk.refused("operate_ticket", act).await.0, 3_900_022);
    let decisions = json!({ "decisions": [{ "sn": long, "node": 3, "pass": true }] });
    assert_eq!(
        desk.v1("POST", "decisions", "lisi", decisions).await.1["results"][0]["done"],
        false
    );
    let never = "created_after=2026-11-23T00:00:00Z&created_before=2026-11-22T00:00:00Z";
    assert_eq!(
        desk.v1("GET", &format!("tickets?{never}"), "lisi", Value::Null)
            .await
            .1["count"],
        0
    );
    assert_eq!(
        desk.v1(
            "GET",
            &format!("tickets?{never}&tag=x"),
            "lisi",
            Value::Null
        )
        .await
        .1["count"],
        0
    );
    let (status, problem) = desk
        .v1(
            "GET",
            &format!("tickets?creator={long}"),
            "lisi",
            Value::Null,
        )
        .await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (400, &json!("creator")),
        "{problem}"
    );
}
