//! These tests check the erasure of a person: after an erasure, the desk must contain no personal value of
//! this person.

use std::path::{Path, PathBuf};

use events::{PersonId, TicketSn};
use functions::app::erasure::{self, NotErased};
use serde_json::{Value, json};
use tests::TestDesk;
use tests::process::{APP, Served, client, printed, run};

/// User name of the person whom the tests erase. The demo data does not contain this user.
const PERSON: &str = "qian-to-be-erased";
const PHONE: &str = "13947110815";
const DRAFTED: &str = "draft-words-4711";
const TEMPLATE: &str = "template-name-4711";
const FILE: &str = "file-name-4711.txt";
const CONTENT: &str = "content of the file 4711";
const VARIABLE: &str = "s3cret-of-a-variable-4711";

/// Returns all files in a directory, at any depth, that contain the given text.
fn files_with(directory: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).contains(text) {
            found.push(path);
        }
    }
    found
}

/// Returns the body of a request that opens a general approval ticket. The ticket contains a phone number,
/// which is a personal value.
fn request(phone: &str) -> Value {
    json!({ "service_id": 22, "fields": { "title": "a", "apply_content": "b", "ZHIDINGSHENPIREN": "zhangsan", "LIANXIDIANHUA": phone } })
}

async fn opened(desk: &Served, user: &str, body: Value) -> String {
    let (status, answer) = desk.v1("POST", "tickets", user, body).await;
    assert_eq!(status, 201, "{answer}");
    answer["sn"].as_str().expect("a number").to_owned()
}

/// Saves a draft and a template of a form on behalf of the given user. Checks that this user can read the
/// draft and the template.
async fn drafted(desk: &Served, user: &str) {
    let (status, answer) = desk
        .v1(
            "PUT",
            "drafts/services/22",
            user,
            json!({ "fields": { "title": "t", "apply_content": DRAFTED } }),
        )
        .await;
    assert_eq!(status, 204, "{answer}");
    let template = json!({ "service_id": 22, "name": TEMPLATE, "fields": { "title": "t", "apply_content": DRAFTED } });
    let (status, answer) = desk.v1("POST", "templates", user, template).await;
    assert_eq!(status, 201, "{answer}");
    for list in ["drafts", "templates"] {
        let (_, shown) = desk.v1("GET", list, user, Value::Null).await;
        assert!(
            shown.to_string().contains(DRAFTED),
            "{list} are stored sealed and shown to their owner: {shown}"
        );
    }
}

/// Imports a service whose form contains a field of the type FILE. Returns the id of the service.
async fn with_files(desk: &Served) -> Value {
    let nodes = json!([
        { "id": 1, "type": "START", "name": "开始" },
        { "id": 2, "type": "NORMAL", "name": "提单", "processors_type": "OPEN", "is_first_state": true },
        { "id": 3, "type": "NORMAL", "name": "处理", "processors_type": "PERSON", "processors": "wangwu", "distribute_type": "PROCESS" },
        { "id": 9, "type": "END", "name": "结束" },
    ]);
    let edge = |from: i64, to: i64| json!({ "from": from, "to": to, "condition_type": "default" });
    let fields = json!([
        { "id": 1, "key": "title", "name": "标题", "type": "STRING", "validate_type": "REQUIRE", "state_id": 2 },
        { "id": 10, "key": "shots", "name": "截图", "type": "FILE", "state_id": 2, "validate_type": "OPTION" },
    ]);
    let flow = json!({ "name": "附件", "nodes": nodes, "edges": [edge(1, 2), edge(2, 3), edge(3, 9)], "fields": fields });
    let import_request = json!({ "bk_username": "admin", "name": "附件", "key": "request", "catalog_id": 4, "owners": "admin", "workflow": flow });
    let imported = desk.bk("import_service", import_request).await;
    assert_eq!(imported["code"], 0, "{imported}");
    imported["data"]["id"].clone()
}

async fn upload(desk: &Served, user: &str) -> String {
    let url = format!("{}/v1/attachments?name={FILE}", desk.base);
    let request = client()
        .post(url)
        .basic_auth(APP.0, Some(APP.1))
        .header("x-on-behalf-of", user)
        .header("content-type", "text/plain");
    let answer: Value = request
        .body(CONTENT)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    answer["attachments"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

async fn field(desk: &Served, sn: &str, key: &str) -> Value {
    let info = desk.bk("get_ticket_info", json!({ "sn": sn })).await;
    let fields = info["data"]["fields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    fields
        .into_iter()
        .find(|field| field["key"] == key)
        .unwrap_or_else(|| panic!("{sn} has no field {key}: {info}"))["value"]
        .clone()
}

/// After a person is erased, no file of the desk contains a personal value of this person. The data of
/// other people is unchanged (cases/hostile-and-broken.md, case 17).
#[tokio::test]
async fn an_erased_person_is_in_no_file_and_others_are_unchanged() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("a path");
    let desk = Served::start(directory.path(), &[]);
    let service = with_files(&desk).await;
    let sn = opened(&desk, PERSON, request(PHONE)).await;
    let other = opened(&desk, "lisi", request("13800000001")).await;
    drafted(&desk, PERSON).await;
    let file = upload(&desk, PERSON).await;
    let with_file = opened(
        &desk,
        PERSON,
        json!({ "service_id": service, "fields": { "title": "t", "shots": [file] } }),
    )
    .await;
    assert!(
        field(&desk, &with_file, "shots")
            .await
            .to_string()
            .contains(FILE)
    );
    assert_eq!(field(&desk, &sn, "LIANXIDIANHUA").await, PHONE);
    desk.kill();

    let report: Value = serde_json::from_str(&printed(&[
        "forget", PERSON, "--yes", "--json", "--data", data,
    ]))
    .expect("JSON");
    let pid = report["person"].as_str().expect("a person id").to_owned();
    assert!(
        report["erased"] == true && report["files"] == json!([file]) && pid.starts_with('p'),
        "{report}"
    );
    for text in [PERSON, PHONE, DRAFTED, TEMPLATE, FILE, CONTENT] {
        assert_eq!(
            files_with(directory.path(), text),
            Vec::<PathBuf>::new(),
            "{text}"
        );
    }
    let parts = files_with(&directory.path().join("files"), "");
    assert!(
        parts
            .iter()
            .all(|path| !path.to_string_lossy().contains(&file)),
        "the content of the file is removed: {parts:?}"
    );
    assert!(printed(&["audit", "verify", "--data", data]).contains("audit verify: ok"));
    assert!(
        printed(&["audit", "files", "--data", data])
            .contains("1 are erased together with their owners")
    );

    let desk = Served::start(directory.path(), &[]);
    let info = desk.bk("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(
        info["data"]["creator"],
        pid.as_str(),
        "an erased person is shown by id"
    );
    assert_eq!(field(&desk, &sn, "LIANXIDIANHUA").await, "Erased");
    assert_eq!(field(&desk, &with_file, "shots").await, "Erased");
    assert_eq!(
        field(&desk, &other, "LIANXIDIANHUA").await,
        "13800000001",
        "other people are unchanged"
    );
    for path in ["tickets?list=all", "tickets?list=todo&user=zhangsan"] {
        assert_eq!(
            desk.v1("GET", path, "zhangsan", Value::Null).await.0,
            200,
            "{path}"
        );
    }
    for method in ["GET", "HEAD"] {
        assert_eq!(
            desk.v1(
                method,
                &format!("attachments/{file}/content"),
                "wangwu",
                Value::Null
            )
            .await
            .0,
            410,
            "{method}"
        );
    }
    let (status, answer) = desk
        .v1(
            "POST",
            &format!("tickets/{sn}/decide"),
            "zhangsan",
            json!({ "node": 3, "pass": true }),
        )
        .await;
    assert_eq!(status, 200, "the ticket still accepts decisions: {answer}");

    let mut addressed = request(PHONE);
    addressed["fields"]["ZHIDINGSHENPIREN"] = pid.as_str().into();
    assert_eq!(
        desk.v1("POST", "tickets", "lisi", addressed).await.0,
        400,
        "an erased person cannot be addressed by id"
    );
    assert_eq!(
        desk.v1("POST", "tickets", &pid, request(PHONE)).await.0,
        400,
        "an erased person cannot act"
    );
    opened(&desk, PERSON, request(PHONE)).await;
    let again: Value = serde_json::from_str(&printed(&[
        "forget",
        PERSON,
        "--dry-run",
        "--json",
        "--data",
        data,
    ]))
    .expect("JSON");
    assert_ne!(
        again["person"],
        pid.as_str(),
        "a new person of the same name is another person"
    );
}

/// The views (lists that are computed from the ledger) contain drafts, templates and personal fields only
/// in encrypted form (cases/hostile-and-broken.md, case 17).
#[tokio::test]
async fn views_seal_personal_values_also_after_a_rebuild() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("a path");
    let desk = Served::start(directory.path(), &[]);
    let sn = opened(&desk, PERSON, request(PHONE)).await;
    drafted(&desk, PERSON).await;
    assert_eq!(
        field(&desk, &sn, "LIANXIDIANHUA").await,
        PHONE,
        "a read opens the value"
    );
    let in_plain = |when: &str| {
        for text in [PHONE, DRAFTED, TEMPLATE] {
            let found = files_with(directory.path(), text);
            assert_eq!(
                found,
                Vec::<PathBuf>::new(),
                "{when}: {text} is in plain text"
            );
        }
    };
    in_plain("while the desk runs");
    desk.kill();
    in_plain("after a kill");
    let rebuilt = printed(&["audit", "rebuild", "--data", data]);
    assert!(
        rebuilt
            .lines()
            .all(|line| line.ends_with("0 differed from the old view")),
        "{rebuilt}"
    );
    in_plain("after a rebuild");
}

/// A ticket may contain secret variables for its automatic nodes. The desk stores the values of these
/// variables only in the key store (the file with keys of people). A response, an event, a view (computed
/// list) or an export never contains these values (cases/hostile-and-broken.md, case 10).
#[tokio::test]
async fn variables_of_automatic_nodes_are_in_no_response_and_export() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("a path");
    let desk = Served::start(directory.path(), &[]);
    let mut body = request(PHONE);
    body["envs"] = json!({ "tok": VARIABLE });
    let by_v1 = opened(&desk, "lisi", body).await;
    let mut body = tests::approval_request();
    body["meta"] = json!({ "envs": { "tok": VARIABLE, "nested": { "tok": VARIABLE } } });
    let created = desk.bk("create_ticket", body).await;
    let by_bk = created["data"]["sn"]
        .as_str()
        .unwrap_or_else(|| panic!("{created}"))
        .to_owned();
    for sn in [&by_v1, &by_bk] {
        for path in [
            format!("tickets/{sn}"),
            format!("tickets/{sn}/events"),
            format!("tickets/{sn}/api-calls"),
            "tickets?list=all".to_owned(),
        ] {
            let (status, answer) = desk.v1("GET", &path, "admin", Value::Null).await;
            assert!(
                status == 200 && !answer.to_string().contains(VARIABLE),
                "{path}: {answer}"
            );
        }
        for operation in ["get_ticket_info", "get_ticket_logs", "get_ticket_status"] {
            let answer = desk.bk(operation, json!({ "sn": sn })).await;
            assert!(
                answer["code"] == 0 && !answer.to_string().contains(VARIABLE),
                "{operation}: {answer}"
            );
        }
    }
    assert!(!printed(&["audit", "export", "--data", data]).contains(VARIABLE));
    desk.kill();
    let names = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| !name.to_string_lossy().starts_with("keys.db"))
    };
    let found: Vec<PathBuf> = files_with(directory.path(), VARIABLE)
        .into_iter()
        .filter(names)
        .collect();
    assert_eq!(
        found,
        Vec::<PathBuf>::new(),
        "only the key store has the values"
    );
}

async fn variable_of(desk: &TestDesk, sn: &str) -> Option<Value> {
    let ticket = TicketSn(sn.to_owned());
    let card = functions::app::tickets::card(&desk.app, &ticket)
        .await
        .expect("read")
        .expect("a ticket");
    let inputs = std::collections::BTreeMap::new();
    functions::app::tickets::service_task::variables(&desk.app, &card, &inputs)
        .await
        .expect("variables")
        .get("tok")
        .cloned()
}

/// API calls of a ticket can use the secret variables of this ticket. When the creator of the ticket is
/// erased, the variables are erased too (cases/hostile-and-broken.md, case 10).
#[tokio::test]
async fn api_calls_use_variables_of_the_key_store_until_erasure() {
    let desk = TestDesk::open().await;
    let mut body = request("13800000001");
    body["envs"] = json!({ "tok": VARIABLE });
    let mut sns = Vec::new();
    for user in ["lisi", "chuyi"] {
        let (status, answer) = desk.v1("POST", "tickets", user, body.clone()).await;
        assert_eq!(status, 201, "{answer}");
        sns.push(answer["sn"].as_str().expect("a number").to_owned());
    }
    assert_eq!(variable_of(&desk, &sns[0]).await, Some(json!(VARIABLE)));
    let report = erasure::erase(
        &desk.app,
        "lisi",
        functions::registry::is_configuration,
        &|_| {},
    )
    .await
    .expect("erased");
    assert_eq!(report.secrets, 1, "{report:?}");
    assert_eq!(variable_of(&desk, &sns[0]).await, None);
    assert_eq!(
        variable_of(&desk, &sns[1]).await,
        Some(json!(VARIABLE)),
        "the same variables of another creator stay"
    );
}

/// The command `forget` erases a person only if the desk is stopped and the option `--yes` confirms the
/// erasure. The last superuser cannot be erased (cases/hostile-and-broken.md, case 17).
#[tokio::test]
async fn forget_needs_a_confirmation_and_keeps_the_last_superuser() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("a path");
    let desk = Served::start(directory.path(), &[]);
    let sn = opened(&desk, PERSON, request(PHONE)).await;
    let beside = run(&["forget", PERSON, "--yes", "--data", data]);
    let error = String::from_utf8_lossy(&beside.stderr).into_owned();
    assert!(
        !beside.status.success() && error.contains("POST /v1/people/"),
        "{error}"
    );
    let survey: Value = serde_json::from_str(&printed(&[
        "forget",
        PERSON,
        "--dry-run",
        "--json",
        "--data",
        data,
    ]))
    .expect("JSON");
    let stream = json!(format!("ticket-{sn}"));
    assert!(
        survey["erased"] == false
            && survey["sealed"]
                .as_array()
                .is_some_and(|streams| streams.contains(&stream)),
        "{survey}"
    );
    desk.kill();

    let unconfirmed = run(&["forget", PERSON, "--data", data]);
    let error = String::from_utf8_lossy(&unconfirmed.stderr).into_owned();
    assert!(
        unconfirmed.status.code() == Some(2) && error.contains("--yes"),
        "{:?} {error}",
        unconfirmed.status
    );
    let last = run(&["forget", "admin", "--yes", "--data", data]);
    let error = String::from_utf8_lossy(&last.stderr).into_owned();
    assert!(
        last.status.code() == Some(1) && error.contains("last superuser"),
        "{error}"
    );
    assert!(
        !run(&[
            "forget",
            PERSON,
            "--yes",
            "--data",
            &format!("{data}/elsewhere")
        ])
        .status
        .success()
    );
    assert!(
        !directory.path().join("elsewhere").exists(),
        "a misspelled directory does not become a desk"
    );

    let first: Value = serde_json::from_str(&printed(&[
        "forget", PERSON, "--yes", "--json", "--data", data,
    ]))
    .expect("JSON");
    let pid = first["person"].as_str().expect("a person id").to_owned();
    assert!(
        printed(&["forget", PERSON, "--yes", "--data", data]).contains("nothing to erase"),
        "a second erasure by name has nothing to do"
    );
    let again: Value = serde_json::from_str(&printed(&[
        "forget", &pid, "--yes", "--json", "--data", data,
    ]))
    .expect("JSON");
    assert!(
        again["person"] == pid.as_str() && again["documents"] == 0,
        "a repeated erasure by id reports the remaining data: {again}"
    );
}

/// A superuser can erase a person in a running desk. All responses after the erasure show the person as
/// erased (cases/hostile-and-broken.md, case 17).
#[tokio::test]
async fn a_superuser_erases_a_person_in_a_running_desk() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    let sn = opened(&desk, PERSON, request(PHONE)).await;
    let path = format!("people/{PERSON}/forget");
    assert_eq!(
        desk.v1("POST", &path, "zhangsan", json!({})).await.0,
        403,
        "only superusers erase"
    );
    assert_eq!(
        desk.v1("POST", "people/admin/forget", "admin", json!({}))
            .await
            .0,
        409,
        "the last superuser stays"
    );
    assert_eq!(
        desk.v1("POST", "people/system/forget", "admin", json!({}))
            .await
            .0,
        404,
        "the desk itself is no person"
    );
    assert_eq!(
        desk.v1("POST", &path, "admin", json!({ "dry_run": "yes" }))
            .await
            .0,
        400,
        "a misspelled dry run erases no person"
    );
    let (status, survey) = desk
        .v1("POST", &path, "admin", json!({ "dry_run": true }))
        .await;
    assert!(status == 200 && survey["erased"] == false, "{survey}");
    assert_eq!(field(&desk, &sn, "LIANXIDIANHUA").await, PHONE);

    let (status, report) = desk.v1("POST", &path, "admin", json!({})).await;
    assert!(
        status == 200 && report["erased"] == true && report["documents"].as_u64() >= Some(1),
        "{report}"
    );
    let info = desk.bk("get_ticket_info", json!({ "sn": sn })).await;
    assert_eq!(info["data"]["creator"], report["person"]);
    assert_eq!(field(&desk, &sn, "LIANXIDIANHUA").await, "Erased");
    assert_eq!(desk.v1("POST", &path, "admin", json!({})).await.0, 404);
    assert_eq!(
        files_with(directory.path(), PERSON),
        Vec::<PathBuf>::new(),
        "the name is in no file, also while the desk runs"
    );
    assert_eq!(files_with(directory.path(), PHONE), Vec::<PathBuf>::new());
}

/// The report of an erasure has two lists. The first list contains tickets with encrypted texts, and the
/// second list contains tickets that still have readable texts (cases/hostile-and-broken.md, case 17).
#[tokio::test]
async fn the_report_names_services_that_do_not_seal_text() {
    let desk = TestDesk::open().await;
    let submit = async || {
        let (status, answer) = desk
            .v1("POST", "tickets", "lisi", request("13800000001"))
            .await;
        assert_eq!(status, 201, "{answer}");
        format!("ticket-{}", answer["sn"].as_str().expect("a number"))
    };
    let plain = submit().await;
    assert_eq!(
        desk.v1("PUT", "services/22", "admin", json!({ "seals_text": true }))
            .await
            .0,
        200
    );
    let sealed = submit().await;
    desk.followed().await;
    let report = erasure::survey(
        &desk.app,
        "lisi",
        functions::registry::is_configuration,
        &|_| {},
    )
    .await
    .expect("a report");
    assert!(
        !report.erased && report.sealed.contains(&plain) && report.sealed.contains(&sealed),
        "{report:?}"
    );
    let of_kind = |kind: &str| {
        report
            .remaining
            .iter()
            .filter(|remaining| remaining.kind == kind)
            .flat_map(|remaining| remaining.streams.clone())
            .collect::<Vec<_>>()
    };
    assert!(
        of_kind("unsealed_text").contains(&plain) && !of_kind("unsealed_text").contains(&sealed),
        "{report:?}"
    );
    let text = report
        .remaining
        .iter()
        .find(|remaining| remaining.kind == "unsealed_text")
        .expect("text");
    assert!(
        text.detail.contains("通用审批申请 does not seal its text"),
        "{text:?}"
    );
    let name = desk.app.people.name(&report.person).await.expect("read");
    assert_eq!(name, "lisi", "a survey changes nothing");
}

/// If another connection reads the key store (names and keys of people) during an erasure, SQLite keeps the
/// erased rows in its write-ahead log. The erasure returns status 503 in this case and must be repeated
/// (cases/hostile-and-broken.md, case 17).
#[tokio::test]
async fn an_erasure_during_a_read_of_the_key_store_is_incomplete() {
    let directory = tempfile::tempdir().expect("a directory");
    let desk = Served::start(directory.path(), &[]);
    opened(&desk, PERSON, request(PHONE)).await;
    let keys = directory.path().join("keys.db");
    let reader =
        rusqlite::Connection::open_with_flags(keys, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .expect("a key store");
    reader.execute_batch("BEGIN").expect("a transaction");
    reader
        .query_row("SELECT count(*) FROM people", [], |row| {
            row.get::<_, i64>(0)
        })
        .expect("a count");
    let (status, problem) = desk
        .v1(
            "POST",
            &format!("people/{PERSON}/forget"),
            "admin",
            json!({}),
        )
        .await;
    assert_eq!(status, 503, "{problem}");
    let detail = problem["detail"].as_str().expect("words");
    let person = detail
        .split_whitespace()
        .find(|word| word.len() == 25 && word.starts_with('p'))
        .unwrap_or_else(|| panic!("no id in {detail}"));
    reader
        .execute_batch("COMMIT")
        .expect("the end of the transaction");
    let (status, report) = desk
        .v1(
            "POST",
            &format!("people/{person}/forget"),
            "admin",
            json!({}),
        )
        .await;
    assert!(status == 200 && report["erased"] == true, "{report}");
    assert_eq!(files_with(directory.path(), PERSON), Vec::<PathBuf>::new());
}

/// The messages of ticket operations may contain personal text. The report of an erasure therefore counts
/// these messages (cases/hostile-and-broken.md, case 17).
#[tokio::test]
async fn the_report_counts_the_messages_of_operations() {
    let desk = TestDesk::open().await;
    let (status, answer) = desk
        .v1("POST", "tickets", "lisi", request("13800000001"))
        .await;
    assert_eq!(status, 201, "{answer}");
    let sn = answer["sn"].as_str().expect("a number").to_owned();
    let (status, answer) = desk
        .v1(
            "POST",
            &format!("tickets/{sn}/acknowledge"),
            "zhangsan",
            json!({ "node": 3, "message": "call me at home" }),
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    let report = erasure::survey(
        &desk.app,
        "zhangsan",
        functions::registry::is_configuration,
        &|_| {},
    )
    .await
    .expect("a report");
    let stream = format!("ticket-{sn}");
    let is_counted = report
        .remaining
        .iter()
        .any(|remaining| remaining.kind == "unsealed_text" && remaining.streams.contains(&stream));
    assert!(is_counted, "{report:?}");
}

/// An erasure may be interrupted after the encryption key of the person is removed. The user name is then
/// unknown, but a second call with the person id completes the erasure (cases/hostile-and-broken.md, case
/// 17).
#[tokio::test]
async fn an_interrupted_erasure_is_completed_under_the_person_id() {
    let desk = TestDesk::open().await;
    let (status, answer) = desk
        .v1("POST", "tickets", "lisi", request("13800000001"))
        .await;
    assert_eq!(status, 201, "{answer}");
    desk.followed().await;
    let lisi = desk
        .app
        .ledger
        .keys
        .find("lisi")
        .await
        .expect("read")
        .expect("lisi");
    assert!(desk.app.ledger.keys.erase(&lisi).await.expect("erased"));
    assert!(matches!(
        erasure::erase(
            &desk.app,
            "lisi",
            functions::registry::is_configuration,
            &|_| {}
        )
        .await,
        Err(NotErased::Unknown(_))
    ));
    let report = erasure::erase(
        &desk.app,
        lisi.as_str(),
        functions::registry::is_configuration,
        &|_| {},
    )
    .await
    .expect("completed");
    assert!(report.erased && report.documents >= 1, "{report:?}");
    let cards = desk.app.views.scan("ticket", "", 100).await.expect("cards");
    let is_sealed = |body: &[u8]| String::from_utf8_lossy(body).contains("\"sealed\"");
    assert!(
        cards.iter().all(|(_, card)| !is_sealed(&card.body)),
        "no value of the erased person is left"
    );
    let unknown = PersonId(format!("p{}", "0".repeat(24)));
    assert!(matches!(
        erasure::erase(
            &desk.app,
            unknown.as_str(),
            functions::registry::is_configuration,
            &|_| {}
        )
        .await,
        Err(NotErased::Unknown(_))
    ));
}

/// An erasure removes the uploaded files of a person. `doctor` and `backup` do not report these files as
/// missing (cases/hostile-and-broken.md, case 17).
#[tokio::test]
async fn the_files_of_an_erased_person_are_not_reported_as_missing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (data, backup, other) = (
        directory.path().join("data"),
        directory.path().join("backup"),
        directory.path().join("other"),
    );
    let at = |path: &Path| path.to_str().expect("a path").to_owned();
    let desk = Served::start(&data, &[]);
    upload(&desk, PERSON).await;
    upload(&desk, "lisi").await;
    opened(&desk, PERSON, request(PHONE)).await;
    desk.kill();
    printed(&["forget", PERSON, "--yes", "--data", &at(&data)]);
    let doctor = printed(&["doctor", "--data", &at(&data)]);
    assert!(
        doctor.contains("1 uploads are complete, 1 are erased together with their owners"),
        "{doctor}"
    );
    let backed_up: Value = serde_json::from_str(&printed(&[
        "backup",
        &at(&backup),
        "--json",
        "--data",
        &at(&data),
    ]))
    .expect("JSON");
    assert_eq!(backed_up["missing"], json!([]));
    printed(&["restore", &at(&backup), "--yes", "--data", &at(&other)]);
    assert!(
        printed(&["audit", "files", "--data", &at(&other)])
            .contains("1 are erased together with their owners")
    );
    let desk = Served::start(&other, &[]);
    assert!(
        desk.is_up(),
        "people who were erased are not missing in the key store"
    );
}

/// The request path of an erasure contains the name of a person. The log of the desk does not contain this
/// name (cases/first-use.md, section 6).
#[test]
fn the_path_of_an_erasure_is_logged_without_the_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let mut child = std::process::Command::new(tests::process::program())
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--demo",
            "--access-log",
            "--app",
            &format!("{}:{}", APP.0, APP.1),
            "--data",
        ])
        .arg(directory.path().join("data"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::fs::File::create(&log).expect("a file"))
        .spawn()
        .expect("the program runs");
    // The test keeps the output pipe of the program open, because the program writes more lines after the first
    // line.
    let mut printed = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut printed, &mut line).expect("a line");
    let base = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .expect("an address")
        .to_owned();
    let status = tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(async {
            let request = client()
                .post(format!("{base}/v1/people/{PERSON}/forget"))
                .basic_auth(APP.0, Some(APP.1))
                .header("x-on-behalf-of", "admin");
            request
                .json(&json!({}))
                .send()
                .await
                .expect("an answer")
                .status()
                .as_u16()
        });
    child.kill().expect("killed");
    child.wait().expect("ended");
    drop(printed);
    assert_eq!(status, 404);
    let log = std::fs::read_to_string(&log).expect("the log");
    assert!(
        log.contains("/v1/people/{person}/forget") && !log.contains(PERSON),
        "{log}"
    );
}
