//! The interface document (requirements/itsm-product-and-api.md) describes the response of each operation.
//! These tests check that each response contains all documented keys, and that each value has the
//! documented type.

use serde_json::{Value, json};
use tests::{approval_request, form};

use crate::TestDesk;

/// Asserts that `object` contains all keys in `keys`. Each entry of `keys` is a key and the type that the
/// value of this key must have.
fn has(object: &Value, keys: &[(&str, &str)]) {
    for (key, kind) in keys {
        let value = object
            .get(*key)
            .unwrap_or_else(|| panic!("{key} is missing in {object}"));
        let fits = match *kind {
            "string" => value.is_string(),
            "string?" => value.is_string() || value.is_null(),
            "int" => value.is_i64() || value.is_u64(),
            "bool" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("no such type {other}"),
        };
        assert!(fits, "{key} is {value}, not {kind}");
    }
}

const FIELD: &[(&str, &str)] = &[
    ("id", "int"),
    ("key", "string"),
    ("type", "string"),
    ("name", "string"),
    ("desc", "string"),
    ("choice", "array"),
    ("validate_type", "string"),
    ("regex", "string"),
    ("meta", "object"),
];
const ITEM: &[(&str, &str)] = &[
    ("id", "int"),
    ("catalog_id", "int"),
    ("service_id", "int"),
    ("flow_id", "int"),
    ("sn", "string"),
    ("title", "string"),
    ("service_type", "string"),
    ("current_status", "string"),
    ("current_steps", "array"),
    ("comment_id", "string"),
    ("is_commented", "bool"),
    ("updated_by", "string"),
    ("update_at", "string"),
    ("end_at", "string?"),
    ("creator", "string"),
    ("create_at", "string"),
    ("is_biz_need", "bool"),
    ("bk_biz_id", "int"),
    ("ticket_url", "string"),
    ("iframe_ticket_url", "string"),
];
const STEP: &[(&str, &str)] = &[
    ("name", "string"),
    ("action_type", "string"),
    ("processors", "string"),
    ("processors_type", "string"),
    ("state_id", "int"),
    ("status", "string"),
];
const OPERATION: &[(&str, &str)] = &[
    ("key", "string"),
    ("name", "string"),
    ("can_operate", "bool"),
];

#[tokio::test]
async fn every_operation_returns_every_documented_key() {
    let desk = TestDesk::open().await;
    let created = desk.must("create_ticket", approval_request()).await;
    has(
        &created,
        &[("sn", "string"), ("id", "int"), ("ticket_url", "string")],
    );
    let sn = created["sn"].clone();

    for service in desk
        .must(
            "get_services",
            json!({ "catalog_id": 4, "service_type": "request" }),
        )
        .await
        .as_array()
        .expect("services")
    {
        has(
            service,
            &[
                ("id", "int"),
                ("name", "string"),
                ("desc", "string"),
                ("service_type", "string"),
            ],
        );
        assert_eq!(service["service_type"], "request");
    }
    assert_eq!(
        desk.must(
            "get_services",
            json!({ "display_type": "API", "display_role": "LOG_SEARCH" })
        )
        .await[0]["name"],
        "日志平台容量评估"
    );

    let catalogs = desk
        .must(
            "get_service_catalogs",
            json!({ "has_service": "true", "service_key": "change" }),
        )
        .await;
    let category: &[(&str, &str)] = &[
        ("id", "int"),
        ("key", "string"),
        ("name", "string"),
        ("level", "int"),
        ("desc", "string"),
        ("children", "array"),
    ];
    let (root, one, two) = (
        &catalogs[0],
        &catalogs[0]["children"][0],
        &catalogs[0]["children"][0]["children"][0],
    );
    [root, one, two].iter().for_each(|node| has(node, category));
    assert_eq!(
        (&root["key"], &root["level"], &one["key"], &two["name"]),
        (
            &json!("root"),
            &json!(0),
            &json!("JICHUPEIZHI"),
            &json!("变更管理")
        )
    );
    assert_eq!(
        desk.must("get_service_catalogs", json!({ "service_key": "nothing" }))
            .await,
        json!([])
    );

    let detail = desk
        .must("get_service_detail", json!({ "service_id": 19 }))
        .await;
    has(
        &detail,
        &[
            ("service_id", "int"),
            ("workflow_id", "int"),
            ("name", "string"),
            ("service_type", "string"),
            ("desc", "string"),
            ("fields", "array"),
        ],
    );
    detail["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .for_each(|field| has(field, FIELD));
    let table = detail["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .find(|field| field["type"] == "CUSTOMTABLE")
        .expect("a table");
    table["meta"]["columns"]
        .as_array()
        .expect("columns")
        .iter()
        .for_each(|column| {
            has(
                column,
                &[
                    ("choice", "array"),
                    ("display", "string"),
                    ("key", "string"),
                    ("name", "string"),
                ],
            );
        });

    desk.followed().await;
    let list = desk.must("get_tickets", json!({ "sns": [sn] })).await;
    has(
        &list,
        &[
            ("count", "int"),
            ("next", "string?"),
            ("previous", "string?"),
            ("items", "array"),
            ("page", "int"),
            ("total_page", "int"),
        ],
    );
    has(&list["items"][0], ITEM);

    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    has(&info, ITEM);
    has(&info["current_steps"][0], STEP);
    for field in info["fields"].as_array().expect("fields") {
        has(
            field,
            &[
                ("id", "int"),
                ("key", "string"),
                ("type", "string"),
                ("name", "string"),
                ("desc", "string"),
                ("value", "string?"),
            ],
        );
        assert!(field.get("display_value").is_some());
    }

    let status = desk.must("get_ticket_status", json!({ "sn": sn })).await;
    has(
        &status,
        &[
            ("current_status", "string"),
            ("current_steps", "array"),
            ("operations", "array"),
            ("is_commented", "bool"),
            ("ticket_url", "string"),
            ("iframe_ticket_url", "string"),
        ],
    );
    status["operations"]
        .as_array()
        .expect("operations")
        .iter()
        .for_each(|operation| has(operation, OPERATION));
    let step = &status["current_steps"][0];
    has(step, STEP);
    step["operations"]
        .as_array()
        .expect("operations")
        .iter()
        .for_each(|operation| has(operation, OPERATION));
    for field in step["fields"].as_array().expect("fields") {
        has(field, FIELD);
        has(
            field,
            &[
                ("workflow_id", "int"),
                ("state_id", "int"),
                ("api_instance_id", "int"),
                ("source_type", "string"),
                ("source_uri", "string"),
                ("custom_regex", "string"),
                ("is_readonly", "bool"),
            ],
        );
    }
    let keys = |of: &Value| {
        of.as_array()
            .expect("operations")
            .iter()
            .map(|operation| operation["key"].as_str().expect("key").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&status["operations"]), ["WITHDRAW", "SUSPEND"]);
    assert_eq!(
        keys(&step["operations"]),
        ["TRANSITION", "SUSPEND", "DELIVER", "TERMINATE"]
    );

    let fields = form(&[("FZR_YIJIAN", "true"), ("FZR_BEIZHU", "hello")]);
    let body = json!({ "sn": sn, "operator": "zhangsan", "action_type": "TRANSITION", "state_id": 3, "fields": fields });
    assert_eq!(
        desk.must("operate_node", body).await,
        json!([]),
        "an operation with nothing to say answers an empty list"
    );
    let body = json!({ "sn": sn, "operator": "admin", "action_type": "SUSPEND", "action_message": "test" });
    assert_eq!(desk.must("operate_ticket", body).await, json!([]));
    let status = desk.must("get_ticket_status", json!({ "sn": sn })).await;
    assert_eq!(
        (keys(&status["operations"]), &status["current_status"]),
        (vec!["UNSUSPEND".to_owned()], &json!("SUSPENDED"))
    );

    let logs = desk.must("get_ticket_logs", json!({ "sn": sn })).await;
    has(
        &logs,
        &[
            ("sn", "string"),
            ("title", "string"),
            ("create_at", "string"),
            ("creator", "string"),
            ("logs", "array"),
        ],
    );
    for log in logs["logs"].as_array().expect("logs") {
        has(
            log,
            &[
                ("operator", "string"),
                ("message", "string"),
                ("operate_at", "string"),
                ("source", "string"),
            ],
        );
        assert!(["WEB", "MOBILE", "API", "SYS"].contains(&log["source"].as_str().expect("source")));
    }
}

/// The log platform of BlueKing is a client that opens tickets for capacity requests. The platform depends on
/// a built-in service, on the node id 3 and on the keys of the form fields in this test. The source is
/// reference/bk-itsm.md, section 10.
#[tokio::test]
async fn the_capacity_request_of_the_log_platform_runs() {
    let desk = TestDesk::open().await;
    let service = desk
        .must(
            "get_services",
            json!({ "display_type": "API", "display_role": "LOG_SEARCH", "no_request": true }),
        )
        .await[0]["id"]
        .clone();
    let fields = json!([
        { "key": "title", "value": "容量评估" }, { "key": "bk_biz_id", "value": 2 }, { "key": "expect_access_data", "value": "2026-12-01" },
        { "key": "single_log_size", "value": 512 }, { "key": "single_host_peak", "value": 128.5 }, { "key": "single_host_log_volume", "value": 20 },
        { "key": "expect_host_size", "value": 50 }, { "key": "log_keep_days", "value": 14 }, { "key": "hot_data_days", "value": 7 }, { "key": "apply_reason", "value": "" },
    ]);
    let body = json!({ "service_id": service, "creator": "lisi", "operator": "lisi", "bk_username": "admin", "fields": fields });
    let sn = desk.must("create_ticket", body).await["sn"].clone();
    let fields = form(&[
        ("approval_result", "true"),
        ("can_use_independent_es_cluster", "false"),
        ("evaluate_remark", "可以"),
    ]);
    desk.must("operate_node", json!({ "sn": sn, "operator": "admin", "action_type": "TRANSITION", "state_id": 3, "fields": fields })).await;
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    let value = |key: &str| {
        info["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .find(|field| field["key"] == key)
            .expect("field")["value"]
            .clone()
    };
    assert_eq!(
        (
            value("approval_result"),
            value("can_use_independent_es_cluster"),
            value("single_host_peak")
        ),
        (json!("true"), json!("false"), json!("128.5"))
    );
    assert_eq!(
        (
            &info["bk_biz_id"],
            &info["is_biz_need"],
            &info["current_status"]
        ),
        (&json!(2), &json!(true), &json!("FINISHED"))
    );
}
