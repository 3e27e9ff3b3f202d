//! These tests check how the desk reads lists of records, and messages with the id that their sender chose: large pages, lists
//! of any REST API, large records, and ids that a sender uses again.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::http::{Request, StatusCode};
use functions::app::itsm::integrations::Definitions;
use functions::app::itsm::sources;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse, Url};
use serde_json::{Value, json};

use crate::TestDesk;

const PAUSE_MS: i64 = 5 * 60_000;

/// An imitated system with a list of records in the order of their changes. It has a list of ServiceNow, and one of any system
/// with a REST API.
#[derive(Default)]
struct System {
    records: Mutex<Vec<Value>>,
    /// The number of records for which each request asked.
    sizes: Mutex<Vec<usize>>,
}

impl System {
    fn add(&self, record: Value) {
        self.records.lock().unwrap().push(record);
    }

    fn sizes(&self) -> Vec<usize> {
        std::mem::take(&mut *self.sizes.lock().unwrap())
    }

    fn handle(&self, url: &Url) -> Value {
        let given = |name: &str| {
            let found = url.query_pairs().find(|(given, _)| given == name);
            found.map(|(_, value)| value.into_owned())
        };
        let number = |name: &str| given(name).and_then(|text| text.parse::<usize>().ok());
        let (time, since, size, skip, member) = if url.path().starts_with("/api/now/table/") {
            let query = given("sysparm_query").expect("a query");
            let since = query
                .split('^')
                .find_map(|term| term.strip_prefix("sys_updated_on>="))
                .map(str::to_owned);
            let (size, skip) = (number("sysparm_limit"), number("sysparm_offset"));
            ("/sys_updated_on", since, size, skip, "result")
        } else {
            assert_eq!(url.path(), "/api/cases");
            assert_eq!(given("sort").as_deref(), Some("changed"));
            (
                "/changed",
                given("after"),
                number("limit"),
                number("skip"),
                "items",
            )
        };
        let size = size.expect("a size");
        self.sizes.lock().unwrap().push(size);
        let records = self.records.lock().unwrap();
        let is_new = |record: &&Value| {
            let changed = record.pointer(time).and_then(Value::as_str);
            changed.expect("a time") >= since.as_deref().unwrap_or_default()
        };
        let found: Vec<&Value> = records
            .iter()
            .filter(is_new)
            .skip(skip.expect("an offset"))
            .take(size)
            .collect();
        json!({ member: found })
    }
}

#[async_trait]
impl HttpClient for System {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = request.url.parse::<Url>().expect("a URL");
        let body = self.handle(&url).to_string().into_bytes();
        let is_cut = body.len() > request.response_bytes_max;
        let kept = body.len().min(request.response_bytes_max);
        Ok(HttpResponse {
            is_cut,
            ..HttpResponse::of(200, &body[..kept])
        })
    }
}

/// Returns the rules for records with the given places of the id and of the version.
fn mapping(record: &str, update: &str) -> String {
    format!(
        "record = \"{record}\"\nupdate = {update}\nservice = {{ value = 19 }}\nrequester = {{ value = \"lisi\" }}\n\
        [fields]\ntitle = \"/title\"\nGUZHANGMIAOSHU = \"/title\"\nGUZHANGLEIXING = {{ value = \"DNS\" }}\n\
        impact = {{ value = \"1\" }}\nurgency = {{ value = \"1\" }}\n"
    )
}

async fn open(system: Arc<System>, definition: &str, mapping: &str) -> TestDesk {
    let mut desk = TestDesk::open().await;
    desk.app.http = system;
    let keys = &desk.app.ledger.keys;
    keys.keep_secret("integration/records", b"token")
        .await
        .unwrap();
    let definitions = Definitions::read(definition, &|_| Ok(mapping.to_owned())).unwrap();
    definitions.store(&desk.app).await.unwrap();
    desk.settle().await;
    desk
}

async fn get(desk: &TestDesk, path: &str) -> Value {
    let (status, shown) = desk.v1("GET", path, "admin", Value::Null).await;
    assert_eq!(status, 200, "{shown}");
    shown
}

/// Returns the title of the ticket of a record.
async fn title(desk: &TestDesk, record: &str) -> String {
    let list = get(desk, "cases?source=records&page_size=200").await;
    let mut cases = list["cases"].as_array().expect("cases").iter();
    let case = cases
        .find(|case| case["record"] == record)
        .unwrap_or_else(|| panic!("no case of {record}: {list}"));
    let ticket = case["ticket"].as_str().expect("a ticket");
    let ticket = get(desk, &format!("tickets/{ticket}")).await;
    ticket["title"].as_str().expect("a title").to_owned()
}

#[tokio::test]
async fn a_page_with_large_records_is_read_in_smaller_pages() {
    let system = Arc::new(System::default());
    for number in 0..100 {
        system.add(json!({
            "sys_id": format!("R-{number}"), "title": format!("Ticket {number}"), "log": "x".repeat(45 << 10), "version": 1,
            "sys_updated_on": format!("2026-11-20 10:{:02}:{:02}", number / 60, number % 60),
        }));
    }
    let definition = "[[integration]]\nname = \"records\"\nkind = \"servicenow\"\nmapping = \"m\"\npull_minutes = 5\n\
        url = \"https://x.service-now.com/api/now/table/incident\"\n";
    let by_version = mapping("/sys_id", "{ counter = \"/version\" }");
    let desk = open(system.clone(), definition, &by_version).await;
    assert_eq!(get(&desk, "cases?source=records").await["count"], 100);
    assert_eq!(title(&desk, "R-99").await, "Ticket 99");
    // Only the first response was too long. The pages of the list then keep their smaller size.
    assert_eq!(system.sizes(), [100, 50, 50, 50]);
    // After the list has ended, the desk tries larger pages again.
    desk.clock.advance(PAUSE_MS);
    desk.settle().await;
    assert_eq!(system.sizes()[..2], [100, 50]);
}

const LIST: &str = r#"
    [[integration]]
    name = "records"
    kind = "generic_json"
    url = "https://crm.example.com/api"
    mapping = "m"
    pull_minutes = 5
    filter = "sort=changed"
    list = { path = "cases", records = "/items", since = "after", size = "limit", next = { offset = "skip" } }
"#;

#[tokio::test]
async fn records_of_any_rest_api_are_found_without_messages() {
    let system = Arc::new(System::default());
    for number in 0..120 {
        system.add(json!({
            "id": number, "title": format!("Ticket {number}"),
            "changed": format!("2026-11-20T10:{:02}:{:02}Z", number / 60, number % 60),
        }));
    }
    let by_time = mapping("/id", "{ time = \"/changed\" }");
    let desk = open(system.clone(), LIST, &by_time).await;
    assert_eq!(get(&desk, "cases?source=records").await["count"], 120);
    assert_eq!(title(&desk, "77").await, "Ticket 77");
    system.sizes();

    // A changed record and a new one are found by the next read, which begins near the last change.
    {
        let mut records = system.records.lock().unwrap();
        let mut changed = records.remove(7);
        changed["title"] = "A new title".into();
        changed["changed"] = "2026-11-21T09:00:00Z".into();
        records.push(changed);
        records.push(
            json!({ "id": "new", "title": "A new record", "changed": "2026-11-21T09:00:00Z" }),
        );
    }
    desk.clock.advance(PAUSE_MS);
    desk.settle().await;
    assert_eq!(title(&desk, "7").await, "A new title");
    assert_eq!(title(&desk, "new").await, "A new record");
    assert_eq!(get(&desk, "cases?source=records").await["count"], 121);
    // Without a change, a read adds only the event of each page.
    system.sizes();
    let head = desk.head().await;
    desk.clock.advance(PAUSE_MS);
    desk.settle().await;
    let requests = system.sizes().len();
    assert!((1..=4).contains(&requests), "{requests} requests");
    assert_eq!(title(&desk, "new").await, "A new record");
    let commits = desk.head().await - head;
    assert!(commits <= 6, "{commits} commits without a change");
}

#[tokio::test]
async fn wrong_lists_name_the_member() {
    let by_time = mapping("/id", "{ time = \"/changed\" }");
    let by_counter = mapping("/id", "{ counter = \"/revision\" }");
    let read = |definition: &str, mapping: &str| {
        Definitions::read(definition, &|_| Ok(mapping.to_owned())).map(drop)
    };
    assert_eq!(read(LIST, &by_time), Ok(()));
    let reason = read(LIST, &by_counter).unwrap_err();
    assert!(reason.contains("`list.since` needs `update`"), "{reason}");
    for (from, to, expected) in [
        ("\"/items\"", "\"items\"", "`list.records` must be"),
        ("\"cases\"", "\"cases?x=1\"", "`list.path` must be"),
        ("\"skip\"", "\"\"", "`list.next` must be the name"),
        ("\"limit\"", "\"a=b\"", "`list.size` must be the name"),
        (
            "{ offset = \"skip\" }",
            "{ token = { parameter = \"c\", path = \"next\" } }",
            "`list.next` must have a JSON pointer",
        ),
        ("sort=changed", "sort = changed", "`filter` must be a query"),
        ("pull_minutes = 5", "webhook = \"signed\"", "has no meaning"),
        ("generic_json", "servicenow", "`list` has no meaning"),
        ("offset", "skipped", "unknown variant"),
    ] {
        assert!(LIST.contains(from), "{from}");
        let reason = read(&LIST.replacen(from, to, 1), &by_time).unwrap_err();
        assert!(reason.contains(expected), "{to}: {reason}");
    }
}

const MESSAGES: &str = r#"
    [[integration]]
    name = "records"
    kind = "generic_json"
    mapping = "m"
    webhook = "unsigned"
"#;

/// Sends one message with the id that its sender chose.
async fn send(desk: &TestDesk, delivery: &str, record: &Value) {
    let path = sources::path_of(&desk.app, "records").await.unwrap();
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("x-delivery-id", delivery)
        .body(record.to_string().into())
        .unwrap();
    let (status, answer) = desk.send(request).await;
    assert_eq!(status, StatusCode::OK, "{answer:?}");
    desk.settle().await;
}

/// A sender that restarts its counter, or that counts each webhook for itself, must not lose messages.
#[tokio::test]
async fn an_id_that_a_sender_uses_again_does_not_hide_another_message() {
    let by_counter = mapping("/id", "{ counter = \"/revision\" }");
    let desk = open(Arc::default(), MESSAGES, &by_counter).await;
    let record = |id: &str| json!({ "id": id, "revision": 1, "title": format!("Ticket {id}") });
    send(&desk, "1", &record("D1")).await;
    send(&desk, "1", &record("D2")).await;
    assert_eq!(title(&desk, "D1").await, "Ticket D1");
    assert_eq!(title(&desk, "D2").await, "Ticket D2");
    // A repetition adds nothing.
    let head = desk.head().await;
    send(&desk, "1", &record("D1")).await;
    send(&desk, "1", &record("D2")).await;
    assert_eq!(desk.head().await, head);
}

/// The desk answers that it accepted the message, so a record that is too large must be visible.
#[tokio::test]
async fn a_large_record_in_a_message_is_refused_and_visible() {
    let by_counter = mapping("/id", "{ counter = \"/revision\" }");
    let desk = open(Arc::default(), MESSAGES, &by_counter).await;
    let large = json!({ "id": "L1", "revision": 1, "title": "Large", "log": "x".repeat(70 << 10) });
    send(&desk, "1", &large).await;
    let refused = get(&desk, "cases?state=refused").await;
    assert_eq!(refused["count"], 1, "{refused}");
    let case = &refused["cases"][0];
    assert_eq!(
        (&case["record"], &case["counter"]),
        (&json!("L1"), &json!(1))
    );
    let reason = case["reason"].as_str().expect("a reason");
    assert!(reason.contains("but at most 65536 are allowed"), "{reason}");
    let smaller = json!({ "id": "L1", "revision": 2, "title": "Small" });
    send(&desk, "2", &smaller).await;
    assert_eq!(title(&desk, "L1").await, "Small");
    assert_eq!(get(&desk, "cases?state=refused").await["count"], 0);
}
