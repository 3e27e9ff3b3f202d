//! Administration: who changed the configuration, and what a change may contain.

use serde_json::{Value, json};
use tests::process::{Served, run};
use tests::{House, TRUSTED};

/// A workflow that is deployed as it is.
fn definition(name: &str) -> Value {
    json!({
        "name": name,
        "nodes": [
            { "id": 1, "name": "开始", "kind": "START" },
            { "id": 2, "name": "提单", "kind": "NORMAL", "fields": ["title"], "processors": { "type": "OPEN" } },
            { "id": 3, "name": "结束", "kind": "END" },
        ],
        "lines": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }],
        "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true }],
    })
}

/// first-use F4: every commit of configuration names the person, the app and the channel.
#[tokio::test]
async fn every_commit_of_configuration_names_who_made_it() {
    let house = House::open().await;
    let admin = house.app.people.find("admin").await.expect("read");
    let head = house.head().await;
    let ask = async |method: &str, path: &str, body: Value, status: u16| {
        let (answered, answer) = house.v1(method, path, "admin", body).await;
        assert_eq!(answered, status, "{method} {path}: {answer}");
        answer
    };
    let workflow = ask("POST", "workflows", json!({ "definition": definition("一") }), 201).await["workflow"].clone();
    let of = |rest: &str| format!("workflows/{workflow}{rest}");
    ask("POST", &of("/deploy"), json!({}), 201).await;
    ask("PUT", &of("/draft"), json!({ "definition": definition("二") }), 200).await;
    ask("POST", &of("/deploy"), json!({}), 201).await;
    ask("POST", &of("/versions/1/restore"), json!({}), 204).await;
    ask("DELETE", &of("/versions/1"), Value::Null, 204).await;
    ask("POST", &of("/close"), json!({}), 204).await;
    ask("POST", &of("/reopen"), json!({}), 204).await;
    let exported = ask("GET", "workflows/11/versions/1/export", Value::Null, 200).await;
    ask("POST", "workflows/import", json!({ "workflow": exported }), 201).await;
    let wish = json!({ "kind": "request", "name": "新服务", "workflow": workflow, "version": 2, "catalog": 4 });
    let service = ask("POST", "services", wish, 201).await["service"].clone();
    ask("PUT", &format!("services/{service}"), json!({ "name": "改名", "catalog": null }), 200).await;
    ask("PUT", &format!("services/{service}"), json!({ "workflow_file": exported }), 200).await;
    ask("DELETE", &format!("services/{service}"), Value::Null, 204).await;
    let catalog = ask("POST", "catalog", json!({ "parent": 1, "name": "新目录" }), 201).await["id"].clone();
    ask("PUT", &format!("catalog/{catalog}"), json!({ "name": "改名" }), 204).await;
    ask("DELETE", &format!("catalog/{catalog}"), Value::Null, 204).await;
    ask("PUT", "dictionary/NEW", json!({ "name": "n", "items": [] }), 200).await;
    ask("DELETE", "dictionary/NEW", Value::Null, 204).await;
    ask("PUT", "fields/room", json!({ "type": "STRING", "name": "机房" }), 200).await;
    ask("DELETE", "fields/room", Value::Null, 204).await;
    ask("PUT", "roles/77", json!({ "key": "K", "name": "n", "members": ["wangwu"] }), 204).await;
    ask("DELETE", "roles/77", Value::Null, 204).await;
    ask("PUT", "roles/1", json!({ "members": ["admin", "lisi"] }), 204).await;
    // The same over the other API, by a person who is named.
    house.must("create_service_catalog", json!({ "bk_username": "admin", "parent__id": 1, "name": "另一目录" })).await;
    let wish = |name: &str| json!({ "bk_username": "admin", "name": name, "key": "request", "catalog_id": 4, "owners": "admin", "workflow": exported });
    let imported = house.must("import_service", wish("导入")).await;
    let mut update = wish("再导入");
    update["id"] = imported["id"].clone();
    house.must("update_service", update).await;

    let commits = house.app.ledger.store.feed(head, 10_000).await.expect("feed");
    let mut kinds = std::collections::BTreeSet::new();
    for placed in &commits {
        let body: Value = serde_json::from_slice(&placed.commit.body).expect("JSON");
        let meta = &body["meta"];
        let stream = &placed.commit.stream;
        assert_eq!((&meta["actor"], &meta["app"], &meta["channel"]), (&json!(admin), &json!(TRUSTED.0), &json!("api")), "{stream}: {meta}");
        assert!(meta["correlation"].as_str().is_some_and(|id| !id.is_empty() && id != "setup"), "{stream}: {meta}");
        kinds.insert(stream.split('-').next().unwrap_or_default().to_owned());
    }
    let wanted = ["catalog", "dictionary", "field", "numbers", "role", "service", "workflow"];
    assert!(wanted.iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");

    // An application that names no one acts for the desk, and is named itself.
    let head = house.head().await;
    house.must("create_service_catalog", json!({ "parent__id": 1, "name": "第三目录" })).await;
    let commits = house.app.ledger.store.feed(head, 10).await.expect("feed");
    let body: Value = serde_json::from_slice(&commits[0].commit.body).expect("JSON");
    assert_eq!((&body["meta"]["actor"], &body["meta"]["app"]), (&json!("system"), &json!(TRUSTED.0)), "{body}");
}

/// first-use F4: an auditor sees who changed the superusers.
#[tokio::test]
async fn an_audit_shows_who_changed_the_superusers() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("a path");
    let desk = Served::start(directory.path(), &[]);
    let show = || String::from_utf8_lossy(&run(&["audit", "show", "role-1", "--data", data]).stdout).into_owned();
    // The desk itself made the role at its first start.
    let commit = |number: &str, shown: &str| shown.lines().find(|line| line.trim_start().starts_with(number)).unwrap_or_default().to_owned();
    assert!(commit("1 ", &show()).contains("system"), "{}", show());
    let (status, answer) = desk.v1("PUT", "roles/1", "admin", json!({ "members": ["admin", "lisi"] })).await;
    assert_eq!(status, 204, "{answer}");
    let shown = show();
    let second = commit("2 ", &shown);
    assert!(!second.is_empty() && !second.contains("system"), "{shown}");
    // Without members the role stays as it is.
    assert_eq!(desk.v1("PUT", "roles/1", "admin", json!({ "name": "超级管理员" })).await.0, 204);
    let (_, role) = desk.v1("GET", "roles/1", "lisi", Value::Null).await;
    assert_eq!(role["members"], json!(["admin", "lisi"]), "{role}");
    assert_eq!(desk.v1("PUT", "roles/1", "admin", json!({ "members": [] })).await.0, 409);
    assert_eq!(desk.v1("PUT", "roles/1", "admin", json!({ "membres": ["wangwu"] })).await.0, 400);
}
