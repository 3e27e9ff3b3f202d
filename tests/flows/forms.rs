//! These tests check form fields: options from external systems and dictionaries, fields that depend on
//! other fields, default values, and read-only fields.

use serde_json::{Value, json};
use tests::form;

use crate::TestDesk;
use crate::workflow_builder::{answers, line, manual, open, service};

fn select(id: i64, key: &str, name: &str, more: Value) -> Value {
    let mut field = json!({ "id": id, "key": key, "name": name, "type": "SELECT", "state_id": 2, "validate_type": "OPTION" });
    field
        .as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    field
}

fn api(more: Value) -> Value {
    let mut from = json!({
        "source_type": "API", "kv_relation": { "key": "ip", "name": "host_name" },
        "api_info": {
            "remote_api_info": { "method": "POST", "system_info": { "domain": "https://cmdb.example.com" }, "path": "/hosts/" },
            "api_instance_info": { "req_body": { "near": "${params_host}", "count": "${params_count}" }, "rsp_data": "info", "secret": "cmdb" },
        },
    });
    from.as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    from
}

async fn with(desk: &TestDesk, fields: Value) -> Value {
    service(
        desk,
        "表单",
        json!([manual(3, "处理", "wangwu")]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        fields,
    )
    .await
}

fn ticket(service: &Value, more: &[(&str, &str)]) -> Value {
    let all: Vec<(&str, &str)> = [("title", "t")]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    json!({ "service_id": service, "creator": "lisi", "fields": form(&all) })
}

fn calls(desk: &TestDesk) -> Vec<Value> {
    let calls = desk.receiver.calls.lock().expect("no holder panics");
    calls
        .iter()
        .map(|call| serde_json::from_slice(&call.body).expect("JSON"))
        .collect()
}

fn hosts(names: &[(&str, &str)]) -> (u16, Value) {
    let rows: Vec<Value> = names
        .iter()
        .map(|(ip, name)| json!({ "ip": ip, "host_name": name }))
        .collect();
    (
        200,
        json!({ "result": true, "code": 0, "message": "", "data": { "info": rows } }),
    )
}

#[tokio::test]
async fn options_of_an_external_system_depend_on_other_fields() {
    let desk = TestDesk::open().await;
    desk.app
        .ledger
        .keys
        .keep_secret("api/cmdb", br#"{"X-Token":"t-1"}"#)
        .await
        .expect("kept");
    let service = with(
        &desk,
        json!([select(10, "target", "目标主机", api(json!({})))]),
    )
    .await;
    let path = format!("services/{service}");
    let shown = desk
        .v1("GET", &format!("{path}/form"), "lisi", Value::Null)
        .await
        .1;
    let field = shown["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .find(|field| field["key"] == "target")
        .expect("the field")
        .clone();
    assert_eq!(
        (&field["depends_on"], &field["asks_for_options"]),
        (&json!(["count", "host"]), &json!(true))
    );

    answers(
        &desk,
        &[hosts(&[("10.0.0.8", "web-1"), ("10.0.0.9", "web-2")])],
    );
    let options_request = json!({ "field": "target", "fields": { "host": "a\"b", "count": 2 } });
    let offered = desk
        .v1(
            "POST",
            &format!("{path}/options"),
            "lisi",
            options_request.clone(),
        )
        .await
        .1;
    assert_eq!(
        offered["options"],
        json!([{ "key": "10.0.0.8", "name": "web-1" }, { "key": "10.0.0.9", "name": "web-2" }])
    );
    assert_eq!(
        calls(&desk),
        [json!({ "near": "a\"b", "count": 2 })],
        "a number stays a number"
    );
    let call = desk.receiver.calls.lock().expect("no holder panics")[0].clone();
    assert_eq!(
        (call.url.as_str(), call.headers),
        (
            "https://cmdb.example.com/hosts/",
            vec![("X-Token".to_owned(), "t-1".to_owned())]
        )
    );

    // When the ticket is created, the desk checks the selected option. The options are still in the cache,
    // so the external system gets no second request.
    let with_host = |target| {
        ticket(
            &service,
            &[("host", "a\"b"), ("count", "2"), ("target", target)],
        )
    };
    let sn = desk.must("create_ticket", with_host("10.0.0.9")).await["sn"].clone();
    assert_eq!(
        desk.refused("create_ticket", with_host("10.0.0.7")).await,
        (
            3_900_003,
            "提单失败: 【目标主机】选项不匹配，请重新选择".to_owned()
        )
    );
    assert_eq!(calls(&desk).len(), 1);

    // The options depend on the values of the fields `host` and `count`. In this request, the fields have
    // other values than before, so the desk requests the options again.
    answers(&desk, &[hosts(&[])]);
    let other = ticket(&service, &[("host", "elsewhere"), ("target", "10.0.0.9")]);
    assert_eq!(
        desk.refused("create_ticket", other).await,
        (
            3_900_003,
            "提单失败: 【target】选项不存在，请联系管理员".to_owned()
        )
    );
    assert_eq!(calls(&desk)[1], json!({ "near": "elsewhere", "count": "" }));

    // The ticket must keep the name of its selected option, even if the external system later renames this
    // option.
    desk.clock.advance(61_000);
    answers(&desk, &[hosts(&[("10.0.0.9", "renamed")])]);
    desk.must("create_ticket", with_host("10.0.0.9")).await;
    assert_eq!(calls(&desk).len(), 3, "the cache expires after one minute");
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    let field = info["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .find(|field| field["key"] == "target")
        .expect("the field")
        .clone();
    assert_eq!(
        (&field["value"], &field["display_value"]),
        (&json!("10.0.0.9"), &json!("web-2"))
    );
}

#[tokio::test]
async fn a_failing_option_source_blocks_only_the_fields_that_use_it() {
    let desk = TestDesk::open().await;
    let fields = json!([
        select(10, "target", "目标主机", api(json!({}))),
        select(
            11,
            "free",
            "自由",
            api(json!({ "source_type": "CUSTOM_API" }))
        )
    ]);
    let service = with(&desk, fields).await;
    let secret =
        "提单失败: 【目标主机】选项获取失败，请稍后重试：the secret cmdb is not in the key store";
    assert_eq!(
        desk.refused("create_ticket", ticket(&service, &[("target", "x")]))
            .await,
        (3_900_003, secret.to_owned())
    );
    desk.app
        .ledger
        .keys
        .keep_secret("api/cmdb", b"{}")
        .await
        .expect("kept");
    for (answer, reason) in [
        ((502, json!({})), "answered 502"),
        (
            (
                200,
                json!({ "result": false, "code": 9_900_403, "message": "no right" }),
            ),
            "answered code 9900403: no right",
        ),
        (
            (200, json!({ "result": true, "data": {} })),
            "the answer has no list at \"info\"",
        ),
    ] {
        // The desk caches a failed request for options for five seconds. The clock advances by this time,
        // so that the next request is sent.
        desk.clock.advance(5_000);
        answers(&desk, &[answer]);
        let (code, message) = desk
            .refused("create_ticket", ticket(&service, &[("target", "x")]))
            .await;
        assert!(code == 3_900_003 && message.ends_with(reason), "{message}");
    }
    let requests = calls(&desk).len();
    assert!(
        desk.refused("create_ticket", ticket(&service, &[("target", "x")]))
            .await
            .1
            .contains("info")
    );
    assert_eq!(calls(&desk).len(), requests);
    desk.clock.advance(5_000);
    answers(&desk, &[(502, json!({}))]);
    let v1 = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": service, "fields": { "title": "t", "target": "x" } }),
        )
        .await;
    assert_eq!(
        (v1.0, v1.1["errors"][0]["field"].as_str()),
        (503, Some("/fields/target"))
    );
    desk.clock.advance(5_000);
    answers(&desk, &[(502, json!({}))]);
    desk.must("create_ticket", ticket(&service, &[("free", "anything")]))
        .await;
    desk.must("create_ticket", ticket(&service, &[])).await;
}

#[tokio::test]
async fn a_form_may_use_more_dictionaries_than_a_decision_may_look_up() {
    let desk = TestDesk::open().await;
    let count = 20;
    let mut fields = Vec::new();
    for number in 0..count {
        let items = json!([{ "key": "A", "name": format!("甲{number}") }]);
        assert_eq!(
            desk.v1(
                "PUT",
                &format!("dictionary/LIST_{number}"),
                "admin",
                json!({ "name": "l", "items": items })
            )
            .await
            .0,
            200
        );
        fields.push(select(
            10 + number,
            &format!("f{number}"),
            &format!("字段{number}"),
            json!({ "source_type": "DATADICT", "source_uri": format!("LIST_{number}") }),
        ));
    }
    let service = with(&desk, fields.into()).await;
    let keys: Vec<String> = (0..count).map(|number| format!("f{number}")).collect();
    let pairs = |last: &'static str| {
        keys.iter()
            .enumerate()
            .map(|(at, key)| (key.as_str(), if at + 1 == keys.len() { last } else { "A" }))
            .collect::<Vec<_>>()
    };
    let sn = desk
        .must("create_ticket", ticket(&service, &pairs("A")))
        .await["sn"]
        .clone();
    assert_eq!(
        desk.refused("create_ticket", ticket(&service, &pairs("B")))
            .await
            .1,
        "提单失败: 【字段19】选项不匹配，请重新选择"
    );
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    assert!(
        info["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .any(|field| field["display_value"] == "甲19"),
        "{info}"
    );
    let detail = desk
        .must("get_service_detail", json!({ "service_id": service }))
        .await;
    assert!(
        detail["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .any(|field| field["choice"][0]["name"] == "甲7"),
        "the form contains the options of a dictionary"
    );
}

#[tokio::test]
async fn v1_fills_in_defaults_and_a_read_only_field_is_filled_in_once() {
    let desk = TestDesk::open().await;
    let choice = json!([{ "key": "s", "name": "小" }, { "key": "l", "name": "大" }]);
    let fields = json!([
        select(10, "size", "规格", json!({ "choice": choice, "default": "s", "validate_type": "REQUIRE" })),
        { "id": 11, "key": "owner", "name": "负责人", "type": "MEMBER", "state_id": 2, "validate_type": "OPTION", "default": "zhangsan" },
        { "id": 12, "key": "asset", "name": "资产号", "type": "STRING", "state_id": 2, "validate_type": "OPTION", "is_readonly": true },
        select(13, "agree", "同意", json!({ "type": "RADIO", "default": "true", "choice": [{ "key": "true", "name": "是" }, { "key": "false", "name": "否" }] })),
        select(14, "colour", "颜色", json!({ "choice": choice, "default": "l", "show_type": 0,
            "show_conditions": { "type": "and", "expressions": [{ "key": "size", "type": "SELECT", "condition": "==", "value": "s" }] } })),
    ]);
    let service = with(&desk, fields).await;
    let (status, opened) = desk
        .v1(
            "POST",
            "tickets",
            "lisi",
            json!({ "service_id": service, "fields": { "title": "t", "asset": "A-1" } }),
        )
        .await;
    assert_eq!(status, 201, "{opened}");
    let sn = opened["sn"].clone();
    let read = desk
        .v1(
            "GET",
            &format!("tickets/{}", sn.as_str().expect("sn")),
            "lisi",
            Value::Null,
        )
        .await
        .1;
    let value = |key: &str| {
        read["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .find(|field| field["key"] == key)
            .expect(key)["value"]
            .clone()
    };
    assert_eq!(
        (value("size"), value("owner")),
        (json!("s"), json!("zhangsan"))
    );
    assert_eq!(
        (value("agree"), value("colour")),
        (Value::Null, Value::Null),
        "no default gives consent, and hidden fields stay empty"
    );
    let stored = desk.story(sn.as_str().expect("sn")).await;
    assert_eq!(stored[0], "ticket.opened");
    let drawn = desk.app.ledger.store.feed(0, 10_000).await.expect("feed");
    let names = drawn
        .iter()
        .filter(|placed| placed.commit.stream.starts_with("workflow-10"))
        .any(|placed| String::from_utf8_lossy(&placed.commit.body).contains("zhangsan"));
    assert!(!names, "a default names people by their ids");
    // The BlueKing API does not use the default value for a missing field, because BlueKing clients send
    // every required field.
    assert_eq!(
        desk.refused("create_ticket", ticket(&service, &[])).await.1,
        "提单失败: 单据创建失败，缺少参数：['size']"
    );
    let changed = desk
        .not_operated(&sn, "edit", "lisi", json!({ "fields": { "asset": "A-2" } }))
        .await;
    assert_eq!(
        changed,
        (
            400,
            "field 资产号 cannot be changed any more: it is read-only".to_owned()
        )
    );
    desk.operate(
        &sn,
        "edit",
        "lisi",
        json!({ "fields": { "size": "l", "asset": "A-1" } }),
    )
    .await;
    let form = desk
        .v1(
            "GET",
            &format!("tickets/{}/nodes/2/form", sn.as_str().expect("sn")),
            "lisi",
            Value::Null,
        )
        .await
        .1;
    let value_of = |key: &str| {
        form["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .find(|field| field["key"] == key)
            .expect(key)["value"]
            .clone()
    };
    assert_eq!(
        (value_of("size"), value_of("owner")),
        (json!("l"), json!("zhangsan")),
        "the form shows its current values"
    );
}

#[tokio::test]
async fn a_workflow_copies_shared_fields() {
    let desk = TestDesk::open().await;
    let listed = desk.v1("GET", "fields", "lisi", Value::Null).await.1;
    let keys: Vec<&str> = listed["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .map(|field| field["key"].as_str().expect("a key"))
        .collect();
    assert_eq!(
        keys,
        [
            "apply_content",
            "apply_reason",
            "bk_biz_id",
            "impact",
            "title",
            "urgency"
        ],
        "the base configuration has these fields"
    );
    let room = json!({ "type": "SELECT", "name": "机房", "choice": [{ "key": "A", "name": "甲" }], "is_required": true });
    assert_eq!(
        desk.v1("PUT", "fields/room", "lisi", room.clone()).await.0,
        403
    );
    assert_eq!(
        desk.v1("PUT", "fields/room", "admin", room.clone()).await.0,
        200
    );
    let bad = json!({ "type": "STRING", "name": "x", "regex": "CUSTOM", "custom_regex": "(" });
    for (path, body) in [
        ("fields/a-b", room.clone()),
        ("fields/x", json!({ "type": "NOTHING", "name": "x" })),
        ("fields/x", bad),
    ] {
        assert_eq!(desk.v1("PUT", path, "admin", body).await.0, 400, "{path}");
    }
    let definition = |fields: Value| {
        json!({ "definition": { "name": "取用", "nodes": [{ "id": 1, "name": "开始", "kind": "START" }, { "id": 2, "name": "提单", "kind": "NORMAL", "fields": ["title", "room"] }, { "id": 3, "name": "结束", "kind": "END" }],
            "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }], "fields": fields } })
    };
    let (status, drawn) =
        desk.v1("POST", "workflows", "admin", definition(json!([{ "id": 1, "library": "title" }, { "id": 2, "library": "room", "name": "所在机房" }]))).await;
    assert_eq!(status, 201, "{drawn}");
    let path = format!("workflows/{}", drawn["workflow"]);
    let draft = async || desk.v1("GET", &path, "admin", Value::Null).await.1["draft"].clone();
    let first = draft().await;
    let field = &first["fields"][1];
    assert_eq!(
        (
            &field["name"],
            &field["choice"][0]["name"],
            &field["is_required"]
        ),
        (&json!("所在机房"), &json!("甲"), &json!(true)),
        "the copy has its own name; the other members are shared"
    );
    // A workflow definition contains a copy of a shared field. A later change of the shared field does not
    // change this copy. The definition must copy the field again to get the change.
    assert_eq!(
        desk.v1(
            "PUT",
            "fields/room",
            "admin",
            json!({ "type": "STRING", "name": "机房" })
        )
        .await
        .0,
        200
    );
    assert_eq!(
        desk.v1(
            "PUT",
            &format!("{path}/draft"),
            "admin",
            json!({ "definition": first })
        )
        .await
        .0,
        200
    );
    assert_eq!(draft().await, first);
    assert_eq!(
        desk.v1("DELETE", "fields/room", "admin", Value::Null)
            .await
            .0,
        204
    );
    assert_eq!(
        desk.v1(
            "PUT",
            &format!("{path}/draft"),
            "admin",
            json!({ "definition": first })
        )
        .await
        .0,
        200
    );
    assert_eq!(draft().await, first);
    let (status, problem) = desk
        .v1(
            "PUT",
            &format!("{path}/draft"),
            "admin",
            definition(json!([{ "id": 2, "library": "room" }])),
        )
        .await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (400, &json!("/definition/fields/0/library"))
    );
    assert_eq!(
        desk.v1("GET", "fields/room", "admin", Value::Null).await.0,
        404
    );
}

#[tokio::test]
async fn options_that_depend_on_an_unknown_field_are_rejected_by_name() {
    let desk = TestDesk::open().await;
    let flow = |info: Value| {
        json!({ "nodes": [{ "id": 1, "type": "START" }, { "id": 2, "type": "NORMAL", "name": "提单" }, { "id": 9, "type": "END" }],
            "edges": [line(1, 2), line(2, 9)],
            "fields": [
                { "id": 1, "key": "title", "name": "标题", "type": "STRING", "state_id": 2, "validate_type": "REQUIRE" },
                { "id": 2, "key": "who", "name": "谁", "type": "MEMBERS", "state_id": 2, "validate_type": "OPTION" },
                { "id": 3, "key": "pick", "name": "选", "type": "SELECT", "state_id": 2, "validate_type": "OPTION", "source_type": "API", "api_info": info },
            ] })
    };
    for (info, problem) in [
        (
            json!({ "remote_api_info": { "url": "https://x/${gone}" } }),
            "the options of field pick depend on gone, which does not exist",
        ),
        (
            json!({ "remote_api_info": { "url": "https://x/${who}" } }),
            "the options of field pick depend on who, which names people",
        ),
        (
            json!({ "remote_api_info": { "url": "https://x/${pick}" } }),
            "the options of field pick depend on itself",
        ),
        (
            json!({ "remote_api_info": { "url": "https://${title}/" } }),
            "the source of field pick is not configured: its host must be in the workflow, not in a form",
        ),
        (
            json!({ "remote_api_info": { "url": "https:///${title}/x" } }),
            "the source of field pick is not configured: its URL must name a fixed host",
        ),
    ] {
        let import_request = json!({ "name": "坏", "key": "request", "catalog_id": 4, "owners": "admin", "workflow": flow(info) });
        let (_, message) = desk.refused("import_service", import_request).await;
        assert!(message.contains(problem), "{message}");
    }
    // In this workflow file, a form field gets its options from an API, but the file does not contain the
    // host of this API. The import reports the missing host, and the field accepts any value.
    let import_request = |info: Value| json!({ "name": "缺地址", "key": "request", "catalog_id": 4, "owners": "admin", "workflow": flow(info) });
    let taken = desk
        .must(
            "import_service",
            import_request(json!({ "remote_api_info": { "path": "/x" } })),
        )
        .await;
    assert!(
        taken["report"]
            .to_string()
            .contains("the source of the options"),
        "{taken}"
    );
    desk.must("create_ticket", json!({ "service_id": taken["id"], "creator": "lisi", "fields": form(&[("title", "t"), ("pick", "anything")]) })).await;
    // Only a superuser may import a workflow that references a secret. The desk also rejects such an
    // import from an app if the request contains no user name.
    let mut secret =
        import_request(json!({ "url": "https://evil.example.com/", "secret": "cmdb" }));
    secret["name"] = "密钥".into();
    assert_eq!(
        desk.refused("import_service", secret.clone()).await,
        (
            3_900_015,
            "权限不足: 只有超级管理员可以在流程中引用密钥: cmdb".to_owned()
        )
    );
    secret["bk_username"] = "admin".into();
    desk.must("import_service", secret).await;
}

#[tokio::test]
async fn a_form_value_cannot_change_the_path_of_an_option_source() {
    let desk = TestDesk::open().await;
    let info = json!({ "remote_api_info": { "method": "GET", "url": "https://cmdb.example.com/hosts/${host}" } });
    let service = with(
        &desk,
        json!([select(
            10,
            "target",
            "目标主机",
            json!({ "source_type": "API", "api_info": info })
        )]),
    )
    .await;
    let path = format!("services/{service}/options");
    let (status, problem) = desk
        .v1(
            "POST",
            &path,
            "lisi",
            json!({ "field": "target", "fields": { "host": ".." } }),
        )
        .await;
    assert_eq!(status, 503);
    assert!(
        problem["detail"]
            .as_str()
            .expect("a detail")
            .ends_with("the URL path has a segment . or .."),
        "{problem}"
    );
    let long = json!({ "field": "target", "fields": { "host": "x".repeat(10_000) } });
    assert!(
        desk.v1("POST", &path, "lisi", long).await.1["detail"]
            .as_str()
            .expect("a detail")
            .contains("exceeds 8192 bytes")
    );
    assert_eq!(calls(&desk), Vec::<Value>::new(), "no request is sent");
}

#[tokio::test]
async fn a_node_reads_tables_as_text_and_ignores_fields_of_other_nodes() {
    let desk = TestDesk::open().await;
    let rows = json!({ "id": 10, "key": "rows", "name": "清单", "type": "CUSTOMTABLE", "state_id": 3, "validate_type": "REQUIRE", "meta": { "columns": [
        { "key": "host", "name": "主机", "display": "input", "required": true },
        { "key": "env", "name": "环境", "display": "multiselect", "choice": [{ "key": "prod", "name": "生产" }, { "key": "test", "name": "测试" }] },
        { "key": "day", "name": "日期", "display": "date" },
    ] } });
    let service = service(
        &desk,
        "清单",
        json!([manual(3, "登记", "zhangsan")]),
        json!([line(1, 2), line(2, 3), line(3, 9)]),
        json!([rows]),
    )
    .await;
    let sn = open(&desk, &service).await;
    let submit = |fields: Value| json!({ "sn": sn, "operator": "zhangsan", "state_id": 3, "action_type": "TRANSITION", "fields": fields });
    let table = |rows: Value| json!([{ "key": "rows", "value": rows.to_string() }]);
    for (rows, reason) in [
        (
            json!([{ "env": "prod" }]),
            "0:【清单】第 1 行【主机】为必填项",
        ),
        (
            json!([{ "host": "a" }, { "host": "b", "env": ["prod", "x"] }]),
            "0:【清单】第 2 行【环境】的值不合法",
        ),
        (
            json!([{ "host": "a", "day": "20260228" }]),
            "0:【清单】第 1 行【日期】的值不合法",
        ),
        (json!({ "host": "a" }), "0:【清单】不是表格数据"),
    ] {
        assert_eq!(
            desk.refused("operate_node", submit(table(rows))).await.1,
            reason
        );
    }
    let array = json!([{ "key": "rows", "value": [{ "host": "a" }] }]);
    assert!(
        desk.refused("operate_node", submit(array))
            .await
            .1
            .contains("Not a valid string"),
        "a TRANSITION accepts scalar values only"
    );
    // Some clients send all form fields of the ticket when a person completes a node. The desk therefore
    // ignores fields of the submit form in this request. If a field occurs twice, the desk uses the last
    // value.
    let good = json!([{ "host": "a", "env": ["prod", "test"], "day": "2026-02-28" }]);
    let twice = json!([{ "key": "title", "value": "x" }, { "key": "rows", "value": "[]" }, { "key": "rows", "value": good.to_string() }]);
    desk.must("operate_node", submit(twice)).await;
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    let field = |key: &str| {
        info["fields"]
            .as_array()
            .unwrap()
            .iter()
            .find(|field| field["key"] == key)
            .unwrap()["value"]
            .clone()
    };
    assert_eq!(
        (field("rows"), field("title")),
        (good, json!("t\" ${host} '"))
    );
}

/// Commas separate selected options. If another system offers an option whose key is two other keys with a comma
/// between them, a selection of both keys would look like this option and is rejected
/// (cases/real-files-and-clients.md, case 12).
#[tokio::test]
async fn options_of_another_system_with_a_comma_are_never_confused() {
    let desk = TestDesk::open().await;
    desk.app
        .ledger
        .keys
        .keep_secret("api/cmdb", br#"{"X-Token":"t-1"}"#)
        .await
        .expect("kept");
    let mut field = select(10, "target", "目标主机", api(json!({})));
    field["type"] = "MULTISELECT".into();
    let service = with(&desk, json!([field])).await;
    let names = [("a", "A"), ("b", "B"), ("c", "C"), ("a,b", "both")];
    answers(&desk, &[hosts(&names)]);
    let sn = async |chosen: Value| {
        let fields = json!({ "title": "t", "host": "h", "count": "1", "target": chosen });
        let body = json!({ "service_id": service, "fields": fields });
        desk.v1("POST", "tickets", "lisi", body).await
    };
    let (status, problem) = sn(json!(["a", "b"])).await;
    assert_eq!(
        (status, problem["errors"][0]["field"].as_str()),
        (400, Some("/fields/target")),
        "{problem}"
    );
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("commas separate options")),
        "{problem}"
    );
    let (status, created) = sn(json!(["a", "c"])).await;
    assert_eq!(status, 201, "{created}");
    let path = format!("tickets/{}", created["sn"].as_str().expect("a number"));
    let (_, shown) = desk.v1("GET", &path, "lisi", Value::Null).await;
    let fields = shown["fields"].as_array().expect("fields").iter();
    let target = fields.clone().find(|field| field["key"] == "target");
    assert_eq!(target.expect("the field")["display_value"], "A,C");
}
