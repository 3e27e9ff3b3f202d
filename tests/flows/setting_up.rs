//! These tests configure a desk over `/v1`. They create, change and delete workflows, services,
//! dictionaries, roles and categories.

use serde_json::{Value, json};
use tests::form;

use crate::TestDesk;

fn node(id: i64, kind: &str, more: Value) -> Value {
    let mut node = json!({ "id": id, "name": format!("n{id}"), "kind": kind });
    node.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    node
}

/// Returns a workflow definition with a submit node, a manual node with the name `handler`, and an end
/// node. The members of the role with the id `role` process the manual node. A form field gets its options
/// from the dictionary `dictionary`.
fn drawn(handler: &str, role: i64, dictionary: &str) -> Value {
    let fields = json!([
        { "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true },
        { "id": 2, "key": "colour", "type": "SELECT", "name": "颜色", "source_type": "DATADICT", "source_uri": dictionary },
    ]);
    let handled = json!({ "name": handler, "processors": { "type": "GENERAL", "who": [role] } });
    let nodes = [
        node(1, "START", json!({})),
        node(
            2,
            "NORMAL",
            json!({ "fields": ["title", "colour"], "processors": { "type": "OPEN" } }),
        ),
        node(3, "NORMAL", handled),
        node(4, "END", json!({})),
    ];
    json!({ "name": "手画流程", "nodes": nodes, "fields": fields,
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 4 }] })
}

async fn call(desk: &TestDesk, method: &str, path: &str, body: Value, status: u16) -> Value {
    let (answered, answer) = desk.v1(method, path, "admin", body).await;
    assert_eq!(answered, status, "{method} {path}: {answer}");
    answer
}

#[tokio::test]
async fn workflows_and_services_are_created_changed_and_deleted_over_v1() {
    let desk = TestDesk::open().await;
    call(
        &desk,
        "PUT",
        "dictionary/COLOUR",
        json!({ "name": "颜色", "items": [{ "key": "red", "name": "红" }] }),
        200,
    )
    .await;
    let dictionaries = call(&desk, "GET", "dictionary", Value::Null, 200).await;
    let codes = dictionaries["dictionaries"].as_array().expect("a list");
    assert!(
        codes
            .iter()
            .any(|dictionary| dictionary["code"] == "COLOUR")
    );
    call(
        &desk,
        "PUT",
        "roles/77",
        json!({ "key": "PAINTERS", "name": "油漆工", "members": ["wangwu"] }),
        204,
    )
    .await;
    let workflow = call(
        &desk,
        "POST",
        "workflows",
        json!({ "definition": drawn("刷漆", 77, "COLOUR") }),
        201,
    )
    .await["workflow"]
        .clone();
    let of = |rest: &str| format!("workflows/{workflow}{rest}");
    assert_eq!(
        call(&desk, "POST", &of("/deploy"), json!({}), 201).await["version"],
        1
    );

    let service_body = json!({ "name": "刷漆", "key": "request", "workflow": workflow, "version": 1, "catalog": 4, "owners": ["zhangsan"], "priorities": [[1, 1, 2], [1, 2, 3], [2, 3, 3]] });
    let service =
        call(&desk, "POST", "services", service_body.clone(), 201).await["service"].clone();
    call(&desk, "POST", "services", service_body, 409).await;
    call(
        &desk,
        "POST",
        "services",
        json!({ "name": "没有版本", "key": "request", "workflow": workflow, "version": 9 }),
        404,
    )
    .await;
    let create = || json!({ "service_id": service, "creator": "lisi", "fields": form(&[("title", "t"), ("colour", "red")]) });
    let sn = desk.must("create_ticket", create()).await["sn"].clone();
    let path = format!("services/{service}");

    // A service uses a new version of its workflow only after a request has set this version in the
    // service. Open tickets keep the version with which they were opened.
    call(
        &desk,
        "PUT",
        &of("/draft"),
        json!({ "definition": drawn("刷两遍漆", 77, "COLOUR") }),
        200,
    )
    .await;
    assert_eq!(
        call(&desk, "POST", &of("/deploy"), json!({}), 201).await["version"],
        2
    );
    call(&desk, "PUT", &path, json!({ "version": 2 }), 200).await;
    let newer = desk.must("create_ticket", create()).await["sn"].clone();
    let name = async |sn: &Value| {
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_steps"][0]["name"]
            .clone()
    };
    assert_eq!(
        (name(&sn).await, name(&newer).await),
        (json!("刷漆"), json!("刷两遍漆"))
    );
    call(&desk, "POST", &of("/versions/1/restore"), json!({}), 204).await;
    assert!(
        call(&desk, "GET", &of(""), Value::Null, 200).await["draft"]
            .to_string()
            .contains("\"刷漆\"")
    );

    // Each entry contains the URL path `what` of a dictionary, a role or a workflow that is in use. The desk
    // must reject the deletion of this object. The error detail must contain the text `by`, which is the name
    // of a second object that uses the first object.
    for (what, by) in [
        ("dictionary/COLOUR", "手画流程"),
        ("roles/77", "手画流程"),
        ("roles/1", "the desk itself"),
        (path.as_str(), "catalog"),
    ] {
        let detail = call(&desk, "DELETE", what, Value::Null, 409).await["detail"].to_string();
        assert!(detail.contains(by), "{what}: {detail}");
    }
    // The test closes the workflow. The service of this workflow can still be renamed and disabled, but
    // it cannot change to another workflow version.
    call(&desk, "POST", &of("/close"), Value::Null, 204).await;
    call(&desk, "PUT", &path, json!({ "name": "旧刷漆", "is_enabled": false, "rate_after_days": null, "display_type": "INVISIBLE" }), 200).await;
    call(&desk, "PUT", &path, json!({ "version": 1 }), 409).await;
    assert_eq!(
        desk.refused("create_ticket", create()).await.1,
        "服务:服务未启用，请联系管理员！"
    );

    // The test moves the service to another category, removes it from the catalog, and finally deletes
    // it. The open ticket of the service can still be processed.
    call(&desk, "PUT", &path, json!({ "catalog": 99_999 }), 404).await;
    call(
        &desk,
        "PUT",
        &path,
        json!({ "is_enabled": true, "catalog": 5 }),
        200,
    )
    .await;
    let placed = async |id: i64| {
        desk.must("get_services", json!({ "catalog_id": id }))
            .await
            .to_string()
            .contains("旧刷漆")
    };
    assert_eq!((placed(4).await, placed(5).await), (false, true));
    call(&desk, "PUT", &path, json!({ "catalog": null }), 200).await;
    assert_eq!(
        desk.refused("create_ticket", create()).await.1,
        "服务:服务对应的服务目录不存在"
    );
    call(&desk, "DELETE", &path, Value::Null, 204).await;
    call(&desk, "DELETE", &path, Value::Null, 404).await;
    assert_eq!(
        desk.refused("create_ticket", create()).await.1,
        "服务:服务不存在，请联系管理员！"
    );
    assert_eq!(
        desk.refused("get_service_detail", json!({ "service_id": service }))
            .await
            .0,
        3_900_404
    );
    assert_eq!(
        desk.refused("get_service_roles", json!({ "service_id": service }))
            .await
            .0,
        3_900_042
    );
    call(&desk, "GET", &format!("{path}/form"), Value::Null, 404).await;
    call(
        &desk,
        "POST",
        &format!("{path}/options"),
        json!({ "field": "colour" }),
        404,
    )
    .await;
    call(
        &desk,
        "PUT",
        &format!("drafts/{path}"),
        json!({ "fields": { "title": "t" } }),
        404,
    )
    .await;
    let submit = json!({ "sn": sn, "operator": "wangwu", "state_id": 3, "action_type": "TRANSITION", "fields": [] });
    desk.must("operate_node", submit).await;
    assert_eq!(
        desk.must("get_ticket_status", json!({ "sn": sn })).await["current_status"],
        "FINISHED"
    );
}

#[tokio::test]
async fn unused_dictionaries_and_roles_can_be_deleted_and_created_again() {
    let desk = TestDesk::open().await;
    call(
        &desk,
        "PUT",
        "dictionary/SPARE",
        json!({ "name": "备用", "items": [] }),
        200,
    )
    .await;
    call(
        &desk,
        "PUT",
        "roles/78",
        json!({ "key": "SPARE", "name": "备用", "members": [] }),
        204,
    )
    .await;
    for path in ["dictionary/SPARE", "roles/78"] {
        call(&desk, "DELETE", path, Value::Null, 204).await;
        call(&desk, "DELETE", path, Value::Null, 404).await;
    }
    call(&desk, "GET", "dictionary/SPARE", Value::Null, 404).await;
    assert!(
        !call(&desk, "GET", "roles", Value::Null, 200)
            .await
            .to_string()
            .contains("备用")
    );
    call(
        &desk,
        "PUT",
        "dictionary/SPARE",
        json!({ "name": "备用", "items": [] }),
        200,
    )
    .await;
    call(&desk, "GET", "dictionary/SPARE", Value::Null, 200).await;
    for (body, field) in [
        (
            json!({ "priorities": [[1, 2, 4], [1, 1, 1], [1, 1, 1]] }),
            "/priorities",
        ),
        (json!({ "display_type": "SOME" }), "/display_type"),
        (json!({ "rate_after_days": "x" }), "/rate_after_days"),
        (json!({ "owners": [1] }), "/owners/0"),
        (json!({ "name": "" }), "/name"),
    ] {
        assert_eq!(
            call(&desk, "PUT", "services/22", body, 400).await["errors"][0]["field"],
            field
        );
    }
    let (status, _) = desk
        .v1("PUT", "services/22", "lisi", json!({ "name": "x" }))
        .await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn a_service_with_a_workflow_file_keeps_every_given_member() {
    let desk = TestDesk::open().await;
    let (_, file) = desk
        .v1(
            "GET",
            "workflows/11/versions/1/export",
            "admin",
            Value::Null,
        )
        .await;
    let service_body = json!({ "name": "带文件", "key": "request", "catalog": 4, "owners": ["zhangsan"], "display_type": "INVISIBLE", "seals_text": true, "can_ticket_agency": true,
        "rate_after_days": 7, "display_roles": ["X"], "priorities": [[1, 1, 2], [1, 2, 3], [2, 3, 3]], "workflow_file": file });
    let added = call(&desk, "POST", "services", service_body.clone(), 201).await;
    assert_eq!(added["report"], json!([]), "{added}");
    let shown = async || {
        let services = call(&desk, "GET", "services", Value::Null, 200).await;
        services["services"]
            .as_array()
            .unwrap()
            .iter()
            .find(|service| service["service"] == added["service"])
            .unwrap()
            .clone()
    };
    let before = shown().await;
    for (key, value) in [
        ("display_type", json!("INVISIBLE")),
        ("seals_text", json!(true)),
        ("can_ticket_agency", json!(true)),
        ("rate_after_days", json!(7)),
        ("owners", json!(["zhangsan"])),
        ("catalog", json!(4)),
    ] {
        assert_eq!(before[key], value, "{key}");
    }
    let head = desk.head().await;
    call(&desk, "POST", "services", service_body, 409).await;
    call(&desk, "POST", "services", json!({ "name": "坏类型", "key": "request", "display_type": "SOME", "workflow_file": file }), 400).await;
    call(
        &desk,
        "POST",
        "services",
        json!({ "name": "坏目录", "key": "request", "catalog": 99_999, "workflow_file": file }),
        404,
    )
    .await;
    call(
        &desk,
        "POST",
        "services",
        json!({ "name": "带文件", "key": "request", "owners": ["newbie"], "workflow_file": file }),
        409,
    )
    .await;
    assert!(
        desk.app.ledger.keys.find("newbie").await.unwrap().is_none(),
        "no owner is registered"
    );
    assert_eq!(
        desk.head().await,
        head,
        "no workflow is deployed for a rejected service"
    );
    // This request contains a workflow file, which becomes a new workflow version that the service uses.
    // Members of the service that are missing in the body do not change.
    let path = format!("services/{}", added["service"]);
    assert_eq!(
        call(
            &desk,
            "PUT",
            &path,
            json!({ "workflow_file": file, "catalog": null }),
            200
        )
        .await["version"],
        2
    );
    let after = shown().await;
    assert_eq!(
        (&after["workflow_version"], &after["catalog"]),
        (&json!(2), &Value::Null)
    );
    for key in [
        "display_type",
        "seals_text",
        "can_ticket_agency",
        "rate_after_days",
        "owners",
        "priorities",
        "name",
        "desc",
    ] {
        assert_eq!(after[key], before[key], "{key}");
    }
}
