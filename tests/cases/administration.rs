//! These tests check changes of the configuration: who is recorded as the author, and how the input is
//! checked.

use serde_json::{Value, json};
use tests::process::{Served, run};
use tests::{TRUSTED, TestDesk};

/// Returns a workflow definition that can be deployed unchanged.
fn definition(name: &str) -> Value {
    json!({
        "name": name,
        "nodes": [
            { "id": 1, "name": "开始", "kind": "START" },
            { "id": 2, "name": "提单", "kind": "NORMAL", "fields": ["title"], "processors": { "type": "OPEN" } },
            { "id": 3, "name": "结束", "kind": "END" },
        ],
        "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }],
        "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true }],
    })
}

/// Every commit that changes the configuration records the person, the app (the client program) and the
/// channel (the API) of the request (cases/first-use.md, fault F4).
#[tokio::test]
async fn every_configuration_commit_names_the_person_app_and_channel() {
    let desk = TestDesk::open().await;
    let admin = desk.app.people.find("admin").await.expect("read");
    let head = desk.head().await;
    let call = async |method: &str, path: &str, body: Value, status: u16| {
        let (answered, answer) = desk.v1(method, path, "admin", body).await;
        assert_eq!(answered, status, "{method} {path}: {answer}");
        answer
    };
    let workflow = call(
        "POST",
        "workflows",
        json!({ "definition": definition("一") }),
        201,
    )
    .await["workflow"]
        .clone();
    let of = |rest: &str| format!("workflows/{workflow}{rest}");
    call("POST", &of("/deploy"), json!({}), 201).await;
    call(
        "PUT",
        &of("/draft"),
        json!({ "definition": definition("二") }),
        200,
    )
    .await;
    call("POST", &of("/deploy"), json!({}), 201).await;
    call("POST", &of("/versions/1/restore"), json!({}), 204).await;
    call("DELETE", &of("/versions/1"), Value::Null, 204).await;
    call("POST", &of("/close"), json!({}), 204).await;
    call("POST", &of("/reopen"), json!({}), 204).await;
    let exported = call("GET", "workflows/11/versions/1/export", Value::Null, 200).await;
    call(
        "POST",
        "workflows/import",
        json!({ "workflow": exported }),
        201,
    )
    .await;
    let service_body = json!({ "kind": "request", "name": "新服务", "workflow": workflow, "version": 2, "catalog": 4 });
    let service = call("POST", "services", service_body, 201).await["service"].clone();
    call(
        "PUT",
        &format!("services/{service}"),
        json!({ "name": "改名", "catalog": null }),
        200,
    )
    .await;
    call(
        "PUT",
        &format!("services/{service}"),
        json!({ "workflow_file": exported }),
        200,
    )
    .await;
    call("DELETE", &format!("services/{service}"), Value::Null, 204).await;
    let catalog = call(
        "POST",
        "catalog",
        json!({ "parent": 1, "name": "新目录" }),
        201,
    )
    .await["id"]
        .clone();
    call(
        "PUT",
        &format!("catalog/{catalog}"),
        json!({ "name": "改名" }),
        204,
    )
    .await;
    call("DELETE", &format!("catalog/{catalog}"), Value::Null, 204).await;
    call(
        "PUT",
        "dictionary/NEW",
        json!({ "name": "n", "items": [] }),
        200,
    )
    .await;
    call("DELETE", "dictionary/NEW", Value::Null, 204).await;
    call(
        "PUT",
        "fields/room",
        json!({ "type": "STRING", "name": "机房" }),
        200,
    )
    .await;
    call("DELETE", "fields/room", Value::Null, 204).await;
    call(
        "PUT",
        "roles/77",
        json!({ "key": "K", "name": "n", "members": ["wangwu"] }),
        204,
    )
    .await;
    call("DELETE", "roles/77", Value::Null, 204).await;
    call(
        "PUT",
        "roles/1",
        json!({ "members": ["admin", "lisi"] }),
        204,
    )
    .await;
    // The test creates a category and a service over the BlueKing API, and changes the service. Each
    // request contains the name of the user.
    desk.must(
        "create_service_catalog",
        json!({ "bk_username": "admin", "parent__id": 1, "name": "另一目录" }),
    )
    .await;
    let import_request = |name: &str| json!({ "bk_username": "admin", "name": name, "key": "request", "catalog_id": 4, "owners": "admin", "workflow": exported });
    let imported = desk.must("import_service", import_request("导入")).await;
    let mut update = import_request("再导入");
    update["id"] = imported["id"].clone();
    desk.must("update_service", update).await;

    let commits = desk
        .app
        .ledger
        .store
        .feed(head, 10_000)
        .await
        .expect("feed");
    let mut kinds = std::collections::BTreeSet::new();
    for placed in &commits {
        let body: Value = serde_json::from_slice(&placed.commit.body).expect("JSON");
        let meta = &body["meta"];
        let stream = &placed.commit.stream;
        assert_eq!(
            (&meta["actor"], &meta["app"], &meta["channel"]),
            (&json!(admin), &json!(TRUSTED.0), &json!("api")),
            "{stream}: {meta}"
        );
        assert!(
            meta["correlation"]
                .as_str()
                .is_some_and(|id| !id.is_empty() && id != "setup"),
            "{stream}: {meta}"
        );
        kinds.insert(stream.split('-').next().unwrap_or_default().to_owned());
    }
    let expected = [
        "catalog",
        "dictionary",
        "field",
        "number_sequence",
        "role",
        "service",
        "workflow",
    ];
    assert!(
        expected.iter().all(|kind| kinds.contains(*kind)),
        "{kinds:?}"
    );

    // If a request over the BlueKing API contains no user name, the commit records the app (the client
    // program), and `system` as the person.
    let head = desk.head().await;
    desk.must(
        "create_service_catalog",
        json!({ "parent__id": 1, "name": "第三目录" }),
    )
    .await;
    let commits = desk.app.ledger.store.feed(head, 10).await.expect("feed");
    let body: Value = serde_json::from_slice(&commits[0].commit.body).expect("JSON");
    assert_eq!(
        (&body["meta"]["actor"], &body["meta"]["app"]),
        (&json!("system"), &json!(TRUSTED.0)),
        "{body}"
    );
}

/// The command `audit show` prints the name of the person who changed the list of superusers
/// (cases/first-use.md, fault F4).
#[tokio::test]
async fn the_audit_shows_the_person_who_changed_the_superusers() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("a path");
    let desk = Served::start(directory.path(), &[]);
    let show = || {
        String::from_utf8_lossy(&run(&["audit", "show", "role-1", "--data", data]).stdout)
            .into_owned()
    };
    // The first commit of a desk creates the role of the superusers.
    let commit = |number: &str, shown: &str| {
        shown
            .lines()
            .find(|line| line.trim_start().starts_with(number))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(commit("1 ", &show()).contains("system"), "{}", show());
    let (status, answer) = desk
        .v1(
            "PUT",
            "roles/1",
            "admin",
            json!({ "members": ["admin", "lisi"] }),
        )
        .await;
    assert_eq!(status, 204, "{answer}");
    let shown = show();
    let second = commit("2 ", &shown);
    assert!(!second.is_empty() && !second.contains("system"), "{shown}");
    // A PUT request for a role does not change the people in this role if the request body has no key
    // `members`.
    assert_eq!(
        desk.v1("PUT", "roles/1", "admin", json!({ "name": "超级管理员" }))
            .await
            .0,
        204
    );
    let (_, role) = desk.v1("GET", "roles/1", "lisi", Value::Null).await;
    assert_eq!(role["members"], json!(["admin", "lisi"]), "{role}");
    assert_eq!(
        desk.v1("PUT", "roles/1", "admin", json!({ "members": [] }))
            .await
            .0,
        409
    );
    assert_eq!(
        desk.v1("PUT", "roles/1", "admin", json!({ "membres": ["wangwu"] }))
            .await
            .0,
        400
    );
}

/// Superusers cannot remove their own superuser role. A request with a misspelled name can therefore not
/// leave the desk without superusers (cases/first-use.md, section 2).
#[tokio::test]
async fn a_superuser_cannot_remove_the_own_superuser_role() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    for members in [json!(["lisi"]), json!(["Admin"]), json!([])] {
        let (status, answer) = desk
            .v1("PUT", "roles/1", "admin", json!({ "members": members }))
            .await;
        assert_eq!(status, 409, "{members}: {answer}");
    }
    assert_eq!(
        desk.v1(
            "PUT",
            "roles/1",
            "admin",
            json!({ "members": ["admin", "lisi", "lisi"] })
        )
        .await
        .0,
        204
    );
    let (_, role) = desk.v1("GET", "roles/1", "lisi", Value::Null).await;
    assert_eq!(
        role["members"],
        json!(["admin", "lisi"]),
        "each person once"
    );
    // A superuser can remove another superuser from the role of the superusers.
    assert_eq!(
        desk.v1("PUT", "roles/1", "lisi", json!({ "members": ["lisi"] }))
            .await
            .0,
        204
    );
    assert_eq!(
        desk.v1("PUT", "roles/1", "admin", json!({ "members": ["admin"] }))
            .await
            .0,
        403
    );
}

/// A category cannot get a parent category that does not exist (cases/crossings.md, case 6).
#[tokio::test]
async fn a_category_is_not_moved_below_an_unknown_parent() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let (_, before) = desk.v1("GET", "catalog/4", "admin", Value::Null).await;
    for parent in [json!(0), json!(-1), json!(999), json!(i64::MAX)] {
        let (status, answer) = desk
            .v1("PUT", "catalog/4", "admin", json!({ "parent": parent }))
            .await;
        assert_eq!(status, 404, "{parent}: {answer}");
    }
    assert_eq!(
        desk.v1("GET", "catalog/4", "admin", Value::Null).await.1,
        before
    );
}

/// If a client sends the same create request several times with the same idempotency key, the desk creates
/// only one item (such as a service) (cases/hostile-and-broken.md, case 3).
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_creation_with_one_key_creates_one_item() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = std::sync::Arc::new(Served::start(directory.path(), &[]));
    let (_, file) = desk
        .v1(
            "GET",
            "workflows/11/versions/1/export",
            "admin",
            Value::Null,
        )
        .await;
    assert_eq!(
        desk.v1(
            "PUT",
            "workflows/11/draft",
            "admin",
            json!({ "definition": definition("三") })
        )
        .await
        .0,
        200
    );
    for (path, body) in [
        ("workflows", json!({ "definition": definition("一") })),
        ("workflows/import", json!({ "workflow": file })),
        ("workflows/11/deploy", json!({})),
        (
            "services",
            json!({ "kind": "request", "name": "新服务", "workflow": 11, "version": 1 }),
        ),
        ("catalog", json!({ "parent": 1, "name": "新目录" })),
        (
            "templates",
            json!({ "service_id": 17, "name": "每周", "fields": { "title": "t" } }),
        ),
    ] {
        let key = format!("create {path}");
        let send = async |user: &str, body: Value| {
            desk.v1_with(
                "POST",
                path,
                user,
                body,
                &[("idempotency-key", key.as_str())],
            )
            .await
        };
        let mut together = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (desk, body, key) = (desk.clone(), body.clone(), key.clone());
            together.spawn(async move {
                desk.v1_with(
                    "POST",
                    path,
                    "admin",
                    body,
                    &[("idempotency-key", key.as_str())],
                )
                .await
            });
        }
        let answers = together.join_all().await;
        for (status, _, answer) in &answers {
            assert_eq!(*status, 201, "{path}: {answer}");
            for id in ["workflow", "service", "id", "version"] {
                assert_eq!(answer[id], answers[0].2[id], "{path}: one {id}");
            }
        }
        // A request with the same idempotency key is rejected if its body or its user differs from the
        // first request with this key.
        let mut other = body.clone();
        other["name"] = "另一个".into();
        if matches!(path, "services" | "catalog" | "templates") {
            assert_eq!(send("admin", other).await.0, 422, "{path}: another body");
        }
        assert_eq!(
            send("lisi", body.clone()).await.0,
            422,
            "{path}: another user"
        );
        // A repeated request without an idempotency key is a new command.
        let (status, _) = desk.v1("POST", path, "admin", body).await;
        assert!(matches!(status, 201 | 409), "{path}: {status}");
    }
    assert_eq!(
        desk.v1("GET", "workflows/11/versions/2", "admin", Value::Null)
            .await
            .0,
        200
    );
}

/// If several clients change one item, for example one service, at the same time, the desk executes these
/// changes one after another. No change is lost (cases/crossings.md, case 6).
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_of_one_item_are_all_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = std::sync::Arc::new(Served::start(directory.path(), &[]));
    for (path, body) in [
        ("dictionary/XX", json!({ "name": "n", "items": [] })),
        (
            "roles/77",
            json!({ "key": "K", "name": "n", "members": [] }),
        ),
    ] {
        assert!(desk.v1("PUT", path, "admin", body).await.0 < 300, "{path}");
    }
    for round in 0..10 {
        let name = format!("n{round}");
        let option = json!([{ "key": name, "name": "x" }]);
        let changes = [
            ("services/22", json!({ "desc": name })),
            ("services/22", json!({ "rate_after_days": round })),
            ("services/22", json!({ "owners": [name] })),
            ("dictionary/XX", json!({ "name": name })),
            ("dictionary/XX", json!({ "items": option })),
            ("roles/77", json!({ "name": name })),
            ("roles/77", json!({ "members": [name] })),
        ];
        let mut together = tokio::task::JoinSet::new();
        for (path, body) in changes.clone() {
            let desk = desk.clone();
            together.spawn(async move { desk.v1("PUT", path, "admin", body).await.0 });
        }
        assert!(
            together
                .join_all()
                .await
                .into_iter()
                .all(|status| status < 300),
            "round {round}"
        );
        for (path, body) in changes {
            let (_, shown) = desk.v1("GET", path, "admin", Value::Null).await;
            for (member, value) in body.as_object().expect("an object") {
                assert_eq!(&shown[member], value, "round {round}: {path} {member}");
            }
        }
    }
    // In each round, several clients try to create a service with the same name at the same time. Exactly one
    // of these requests must succeed.
    for round in 0..5 {
        let mut together = tokio::task::JoinSet::new();
        for _ in 0..6 {
            let (desk, name) = (desk.clone(), format!("同名{round}"));
            let body = json!({ "kind": "request", "name": name, "workflow": 11, "version": 1 });
            together.spawn(async move { desk.v1("POST", "services", "admin", body).await.0 });
        }
        let mut statuses = together.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409, 409, 409], "round {round}");
    }
}

/// Six concurrent calls create a service with the same name, and only one call succeeds. The calls do not
/// share a lock, so they behave like six processes (cases/hostile-and-broken.md, case 27).
#[tokio::test]
async fn concurrent_services_of_one_name_are_one_service() {
    use functions::app::administration::{AdministrationError, add_service, define_service};
    let desk = TestDesk::open().await;
    let services = desk.app.configuration.services().await.expect("services");
    let any = services.iter().find_map(|service| service.0.clone());
    let named = |name: &str| events::service::Defined {
        name: name.into(),
        ..any.clone().expect("a service")
    };
    let by = events::Meta::system("t", "t");
    for round in 0..12 {
        let name = format!("并发{round}");
        let creates = (0..6).map(|_| add_service(&desk.app, &by, named(&name)));
        let created = futures_util::future::join_all(creates).await;
        let (made, rejected): (Vec<_>, Vec<_>) = created.into_iter().partition(Result::is_ok);
        assert_eq!((made.len(), rejected.len()), (1, 5), "round {round}");
        assert!(rejected.iter().all(
            |failed| matches!(failed, Err(AdministrationError::NameTaken(taken)) if *taken == name)
        ));
    }
    // After a service is renamed or removed, another service can get the old name.
    let mut first = add_service(&desk.app, &by, named("甲"))
        .await
        .expect("made");
    first.name = "乙".into();
    define_service(&desk.app, &by, &first)
        .await
        .expect("renamed");
    let second = add_service(&desk.app, &by, named("甲"))
        .await
        .expect("free");
    assert!(add_service(&desk.app, &by, named("乙")).await.is_err());
    first.is_listed = false;
    define_service(&desk.app, &by, &first)
        .await
        .expect("removed");
    add_service(&desk.app, &by, named("乙"))
        .await
        .expect("free");
    assert_ne!(first.service, second.service);
}

/// Before the desk stores a new service, the desk reserves the name of the service. If the process crashes
/// between these two steps, another service can get the name after one minute.
#[tokio::test]
async fn a_name_of_an_undefined_service_is_free_after_a_minute() {
    use domain::config::{Catalog, CatalogCommand};
    use functions::app::administration::add_service;
    let desk = TestDesk::open().await;
    let services = desk.app.configuration.services().await.expect("services");
    let any = services.iter().find_map(|service| service.0.clone());
    let by = events::Meta::system("t", "t");
    let command_envelope = infra::CommandEnvelope {
        stream: "catalog".into(),
        command_id: [7; 16],
        meta: by.clone(),
    };
    let take = CatalogCommand::NameService {
        named: events::catalog::ServiceNamed {
            service: events::ServiceId(4711),
            name: Some("半成品".into()),
            at: desk.app.ledger.clock.now(),
        },
        instead_of: None,
    };
    desk.app
        .ledger
        .execute::<Catalog>(&command_envelope, &take, &infra::ledger::NoContext)
        .await
        .expect("taken");
    let service = events::service::Defined {
        name: "半成品".into(),
        ..any.expect("a service")
    };
    assert!(add_service(&desk.app, &by, service.clone()).await.is_err());
    desk.clock.advance(60_000);
    add_service(&desk.app, &by, service).await.expect("free");
}
