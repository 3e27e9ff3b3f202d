//! These tests submit form fields of every type. They check which values are accepted, stored and shown
//! (reference/bk-itsm.md, section 4.1).

use domain::config::{Catalog, CatalogCommand, Service};
use domain::workflow::{Command, Workflow};
use events::catalog::ServicePlaced;
use events::workflow::Definition;
use events::{Meta, ServiceId, WorkflowId};
use infra::CommandEnvelope;
use infra::ledger::NoContext;
use serde_json::{Value, json};

use crate::TestDesk;

/// Returns one entry for each field type: the type, a valid value, the stored value, the displayed value,
/// and an invalid value. The invalid value is null if every value is valid.
fn types() -> Vec<(&'static str, Value, Value, Value, Value)> {
    let same = |kind, value: Value, bad: Value| (kind, value.clone(), value.clone(), value, bad);
    let rows = json!([{ "A": "1" }, { "A": "2" }]);
    let form = json!({ "config": {}, "schemes": {}, "form_data": [] });
    vec![
        same("STRING", json!("文本"), Value::Null),
        (
            "TEXT",
            json!({ "a": 1 }),
            json!(r#"{"a":1}"#),
            json!(r#"{"a":1}"#),
            Value::Null,
        ),
        same("RICHTEXT", json!("<b>富</b>"), Value::Null),
        same(
            "LINK",
            json!("https://example.com/"),
            json!("javascript:alert(1)"),
        ),
        same("BOOLEAN", json!("true"), json!("perhaps")),
        (
            "INT",
            json!(12.5),
            json!("12.5"),
            json!("12.5"),
            json!("twelve"),
        ),
        (
            "DATE",
            json!("2026-02-28 10:00:00"),
            json!("2026-02-28"),
            json!("2026-02-28"),
            json!("20260228"),
        ),
        same(
            "DATETIME",
            json!("2026-02-28 23:59:59"),
            json!("2026-02-28"),
        ),
        same(
            "DATETIMERANGE",
            json!("2026-02-28 00:00:00,2026-03-01 00:00:00"),
            json!([1]),
        ),
        ("SELECT", json!("k1"), json!("k1"), json!("一"), json!("k9")),
        ("RADIO", json!("k2"), json!("k2"), json!("二"), json!("k9")),
        (
            "INPUTSELECT",
            json!("k1"),
            json!("k1"),
            json!("一"),
            Value::Null,
        ),
        (
            "MULTISELECT",
            json!(["k1", "k2"]),
            json!("k1,k2"),
            json!("一,二"),
            json!("k1,k9"),
        ),
        (
            "CHECKBOX",
            json!("k2"),
            json!("k2"),
            json!("二"),
            json!("k9"),
        ),
        same("MEMBER", json!("lisi"), json!("lisi,zhangsan")),
        same("MEMBERS", json!("lisi,zhangsan"), Value::Null),
        (
            "TREESELECT",
            json!("k11"),
            json!("k11"),
            json!("一->一一"),
            json!("k9"),
        ),
        same("CASCADE", json!("a/b"), json!([1])),
        (
            "TABLE",
            json!(rows.to_string()),
            rows.clone(),
            rows.clone(),
            json!("text"),
        ),
        same("CUSTOMTABLE", rows, json!([1])),
        same(
            "FILE",
            json!([{ "name": "a.txt", "path": "x" }]),
            Value::Null,
        ),
        same("CUSTOM-FORM", form, Value::Null),
    ]
}

async fn service_with_every_type(desk: &TestDesk) -> i64 {
    let choice = json!([{ "key": "k1", "name": "一", "items": [{ "key": "k11", "name": "一一" }] }, { "key": "k2", "name": "二" }]);
    let mut fields = vec![
        json!({ "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true }),
    ];
    fields
        .extend(types().iter().zip(2..).map(|((kind, ..), id)| json!({ "id": id, "key": format!("F_{kind}"), "type": kind, "name": kind, "choice": choice })));
    let keys: Vec<Value> = fields.iter().map(|field| field["key"].clone()).collect();
    let definition: Definition = serde_json::from_value(json!({
        "name": "every type", "fields": fields,
        "nodes": [
            { "id": 1, "name": "开始", "kind": "START" }, { "id": 2, "name": "提单", "kind": "NORMAL", "fields": keys },
            { "id": 3, "name": "处理", "kind": "NORMAL", "processors": { "type": "STARTER" } }, { "id": 4, "name": "结束", "kind": "END" },
        ],
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 4 }],
    }))
    .expect("a definition");
    let command_envelope = |stream: &str| CommandEnvelope {
        stream: stream.into(),
        command_id: desk.app.ledger.fresh_id(),
        meta: Meta::system("t", "t"),
    };
    let deployed = events::workflow::Deployed {
        workflow: WorkflowId(905),
        version: 1,
        definition,
    };
    desk.app
        .ledger
        .execute::<Workflow>(
            &command_envelope("workflow-905"),
            &Command::DeployVersion(Box::new(deployed)),
            &NoContext,
        )
        .await
        .expect("deployed");
    let mut service = desk
        .app
        .configuration
        .service(ServiceId(22))
        .await
        .expect("service")
        .0
        .clone()
        .expect("defined");
    (service.service, service.workflow) = (ServiceId(905), WorkflowId(905));
    desk.app
        .ledger
        .execute::<Service>(&command_envelope("service-905"), &service, &NoContext)
        .await
        .expect("defined");
    let placed = ServicePlaced {
        service: ServiceId(905),
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
        .expect("placed");
    desk.configured(905).await;
    905
}

#[tokio::test]
async fn every_field_type_is_checked_stored_and_shown() {
    let desk = TestDesk::open().await;
    let service = service_with_every_type(&desk).await;
    let create_body = |fields: Vec<Value>| {
        let fields = [vec![json!({ "key": "title", "value": "t" })], fields].concat();
        json!({ "service_id": service, "creator": "lisi", "fields": fields })
    };
    let all = types()
        .into_iter()
        .map(|(kind, value, ..)| json!({ "key": format!("F_{kind}"), "value": value }))
        .collect();
    let sn = desk.must("create_ticket", create_body(all)).await["sn"].clone();
    let info = desk.must("get_ticket_info", json!({ "sn": sn })).await;
    for (kind, _, stored, shown, bad) in types() {
        let field = info["fields"]
            .as_array()
            .expect("fields")
            .iter()
            .find(|field| field["type"] == kind && field["key"] != "title")
            .expect(kind);
        assert_eq!(
            (&field["value"], &field["display_value"]),
            (&stored, &shown),
            "{kind}"
        );
        if !bad.is_null() {
            let (code, message) = desk
                .refused(
                    "create_ticket",
                    create_body(vec![json!({ "key": format!("F_{kind}"), "value": bad })]),
                )
                .await;
            assert!(
                code == 3_900_003 && message.contains(&format!("【{kind}】")),
                "{kind} {bad}: {message}"
            );
        }
    }
    let empty = desk.must("create_ticket", create_body(Vec::new())).await["sn"].clone();
    let info = desk.must("get_ticket_info", json!({ "sn": empty })).await;
    let unfilled = info["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .filter(|field| field["key"] != "title");
    assert!(
        unfilled
            .into_iter()
            .all(|field| field["value"].is_null() && field["display_value"] == "")
    );
}

#[tokio::test]
async fn a_link_field_rejects_addresses_that_run_code() {
    let desk = TestDesk::open().await;
    let service = service_with_every_type(&desk).await;
    let create_body = |link: &str| json!({ "service_id": service, "creator": "lisi", "fields": tests::form(&[("title", "t"), ("F_LINK", link)]) });
    for link in [
        "https://example.com/a:b",
        "example.com:8080/x",
        "example.com",
        "/tickets/1",
        "mailto:a@example.com",
        "10.0.0.1:80",
    ] {
        desk.must("create_ticket", create_body(link)).await;
    }
    for link in [
        "javascript:alert(1)",
        "JavaScript:1;alert(1)",
        "java\tscript:alert(1)",
        "javascript:1",
        "data:text/html,x",
        "vbscript:8080/x",
        " javascript:alert(1)",
    ] {
        assert_eq!(
            desk.refused("create_ticket", create_body(link)).await.0,
            3_900_003,
            "{link}"
        );
        let mut dynamic = create_body("example.com");
        dynamic["dynamic_fields"] = json!([{ "name": "详情", "type": "LINK", "value": link }]);
        let rejection = (
            3_900_005,
            "dynamic_fields:0:value:不是可以打开的链接。".to_owned(),
        );
        assert_eq!(
            desk.refused("create_ticket", dynamic).await,
            rejection,
            "{link}"
        );
    }
}
