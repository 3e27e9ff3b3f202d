//! These tests check sources of cases that send messages, that the desk reads regularly, and to which it writes the
//! status of tickets back.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering};

use async_trait::async_trait;
use axum::http::{Request, StatusCode};
use functions::app::itsm::integrations::Definitions;
use functions::app::itsm::{callbacks, sources};
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use infra::source::{self, Signature};
use serde_json::{Value, json};

use crate::TestDesk;

const MINUTE_MS: i64 = 60_000;
const WEBHOOK_SECRET: &str = "the secret of the webhook";

/// A fault that occurs in one request to the ticket system.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// No fault occurs.
    Passes,
    NotSent,
    /// The request is executed, but no response arrives.
    LostResponse,
    /// The request is not executed, and no response arrives.
    LostRequest,
    Forbidden,
    /// The rate limit is reached for 90 seconds.
    Limited,
    Html,
}

/// An imitated django-helpdesk, which keeps its tickets in memory.
#[derive(Default)]
struct Helpdesk {
    tickets: Mutex<BTreeMap<u64, Value>>,
    follow_ups: Mutex<Vec<Value>>,
    faults: Mutex<Vec<Fault>>,
    requests: AtomicUsize,
}

impl Helpdesk {
    fn add(&self, title: &str) -> u64 {
        let mut tickets = self.tickets.lock().unwrap();
        let id = tickets.len() as u64 + 1;
        let ticket = json!({
            "id": id, "queue": 1, "title": title, "description": "text", "submitter_email": "lisi@example.com",
            "status": 1, "priority": 3, "followup_set": [],
        });
        tickets.insert(id, ticket);
        id
    }

    fn set(&self, id: u64, member: &str, value: Value) {
        self.tickets.lock().unwrap().get_mut(&id).expect("a ticket")[member] = value;
    }

    fn status(&self, id: u64) -> i64 {
        self.tickets.lock().unwrap()[&id]["status"]
            .as_i64()
            .unwrap()
    }

    fn notes(&self) -> Vec<Value> {
        self.follow_ups.lock().unwrap().clone()
    }

    fn fail(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults.iter().rev());
    }

    fn requests(&self) -> usize {
        self.requests.swap(0, Ordering::SeqCst)
    }

    fn handle(&self, request: &HttpRequest) -> (u16, Value) {
        let path = request.url.split_once("/api/").expect("a path").1;
        if request.method == "POST" {
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            let id = body["ticket"].as_str().and_then(|id| id.parse().ok());
            assert!(body.get("title").is_none(), "a title renames the ticket");
            self.set(id.expect("an id"), "status", body["new_status"].clone());
            self.follow_ups.lock().unwrap().push(body.clone());
            return (201, body);
        }
        let tickets = self.tickets.lock().unwrap();
        if let Some(query) = path.strip_prefix("tickets/?status=1,2&page=") {
            let page: usize = query.split('&').next().unwrap().parse().unwrap();
            let open: Vec<&Value> = tickets
                .values()
                .filter(|ticket| ticket["status"].as_i64().unwrap() < 3)
                .collect();
            let results: Vec<&Value> = open
                .iter()
                .skip((page - 1) * 50)
                .take(50)
                .copied()
                .collect();
            let next = (open.len() > page * 50).then_some("https://helpdesk.example.com/next");
            return (
                200,
                json!({ "count": open.len(), "next": next, "results": results }),
            );
        }
        let id = path.trim_start_matches("tickets/").trim_end_matches('/');
        match tickets.get(&id.parse().expect("an id")) {
            Some(ticket) => (200, ticket.clone()),
            None => (
                404,
                json!({ "detail": "No Ticket matches the given query." }),
            ),
        }
    }
}

#[async_trait]
impl HttpClient for Helpdesk {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let authorization = &request.headers[0];
        assert_eq!(
            (authorization.0.as_str(), authorization.1.as_str()),
            ("Authorization", "Basic ZGVzazpzM2NyZXQ=")
        );
        let fault = self.faults.lock().unwrap().pop();
        let answer = |(status, body): (u16, Value)| {
            Ok(HttpResponse::of(status, body.to_string().as_bytes()))
        };
        match fault {
            Some(Fault::Passes) | None => answer(self.handle(request)),
            Some(Fault::NotSent) => Err(HttpError::NotSent("connection refused".into())),
            Some(Fault::LostRequest) => Err(HttpError::Unknown("timeout".into())),
            Some(Fault::LostResponse) => {
                self.handle(request);
                Err(HttpError::Unknown("timeout".into()))
            }
            Some(Fault::Forbidden) => answer((403, json!({ "detail": "no" }))),
            Some(Fault::Html) => Ok(HttpResponse::of(200, b"<html>login</html>")),
            Some(Fault::Limited) => Ok(HttpResponse {
                headers: vec![("retry-after".into(), "90".into())],
                ..HttpResponse::of(429, b"")
            }),
        }
    }
}

struct Sources {
    desk: TestDesk,
    helpdesk: Arc<Helpdesk>,
}

/// Returns the mapping file of the repository for a kind of source. Only the mapping of django-helpdesk writes back,
/// because the HTTP client of these tests imitates only this system.
fn mapping_of(kind: &str) -> String {
    let path = tests::process::root().join(format!("mappings/cases/{kind}.toml"));
    let text = std::fs::read_to_string(path).expect("a mapping");
    match text.split_once("[write_back]") {
        Some((reads, _)) if kind != "django_helpdesk" => reads.to_owned(),
        _ => text,
    }
}

impl Sources {
    async fn open(definitions: &str) -> Self {
        let mut desk = TestDesk::open().await;
        let helpdesk = Arc::new(Helpdesk::default());
        desk.app.http = helpdesk.clone();
        let sources = Self { desk, helpdesk };
        let keys = &sources.desk.app.ledger.keys;
        keys.keep_secret("integration/helpdesk", b"s3cret")
            .await
            .unwrap();
        sources.define(definitions).await;
        sources
    }

    async fn define(&self, definitions: &str) {
        let read = |path: &std::path::Path| Ok(mapping_of(path.to_str().unwrap()));
        let definitions = Definitions::read(definitions, &read).unwrap();
        definitions.store(&self.desk.app).await.unwrap();
        self.desk.settle().await;
    }

    async fn of_helpdesk(more: &str) -> Self {
        Self::open(&format!("{HELPDESK}\n{more}")).await
    }

    async fn after(&self, ms: i64) {
        self.desk.clock.advance(ms);
        self.desk.settle().await;
    }

    async fn get(&self, path: &str) -> Value {
        let (status, shown) = self.desk.v1("GET", path, "admin", Value::Null).await;
        assert_eq!(status, 200, "{shown}");
        shown
    }

    /// Returns the case of a record of the source `helpdesk`.
    async fn case(&self, record: u64) -> Value {
        let list = self.get("cases?source=helpdesk&page_size=200").await;
        let cases = list["cases"].as_array().unwrap();
        let record = json!(record.to_string());
        let case = cases.iter().find(|case| case["record"] == record);
        case.unwrap_or_else(|| panic!("no case {record}: {list}"))
            .clone()
    }

    /// Ends the ticket of a record as its creator.
    async fn withdraw(&self, record: u64) {
        let case = self.case(record).await;
        let ticket = case["ticket"].clone();
        self.desk
            .operate(&ticket, "withdraw", "lisi", json!({ "message": "solved" }))
            .await;
        self.desk.settle().await;
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (StatusCode, Value) {
        let mut request = Request::post(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (status, bytes) = self
            .desk
            .send(request.body(body.to_owned().into()).unwrap())
            .await;
        self.desk.settle().await;
        (status, serde_json::from_slice(&bytes).expect("JSON"))
    }

    async fn path(&self, source: &str) -> String {
        sources::path_of(&self.desk.app, source).await.unwrap()
    }
}

const HELPDESK: &str = r#"
    [[integration]]
    name = "helpdesk"
    kind = "django_helpdesk"
    url = "https://helpdesk.example.com"
    user = "desk"
    mapping = "django_helpdesk"
    webhook = "unsigned"
    pull_minutes = 5
"#;

#[tokio::test]
async fn records_are_found_without_any_message() {
    let sources = Sources::of_helpdesk("").await;
    assert_eq!(
        sources.helpdesk.requests(),
        1,
        "the first read follows the definition"
    );
    for number in 1..=120 {
        sources.helpdesk.add(&format!("Ticket {number}"));
    }
    sources.after(5 * MINUTE_MS - 1).await;
    assert_eq!(sources.helpdesk.requests(), 0);
    sources.after(1).await;
    assert_eq!(sources.helpdesk.requests(), 3, "three pages");
    assert_eq!(sources.get("cases?source=helpdesk").await["count"], 120);
    let case = sources.case(77).await;
    let path = format!("tickets/{}", case["ticket"].as_str().unwrap());
    assert_eq!(sources.get(&path).await["title"], "Ticket 77");
    assert_eq!(case["status"], "1");

    // A changed record changes its ticket. All others stay as they are.
    sources.helpdesk.set(77, "title", "A new title".into());
    let head = sources.desk.head().await;
    sources.after(5 * MINUTE_MS).await;
    assert_eq!(sources.get(&path).await["title"], "A new title");
    let commits = sources.desk.head().await - head;
    assert!(commits < 12, "{commits} commits for one changed record");
}

#[tokio::test]
async fn a_message_makes_the_next_read_due() {
    let sources = Sources::of_helpdesk("").await;
    sources.helpdesk.requests();
    let id = sources.helpdesk.add("Printer");
    let path = sources.path("helpdesk").await;
    let body = json!({ "ticket": { "id": id, "title": "forged" }, "queue_slug": "it" }).to_string();
    let (status, answer) = sources.post(&path, &[], &body).await;
    assert_eq!(
        (status, answer),
        (
            StatusCode::OK,
            json!({ "result": true, "data": null, "code": 0, "message": "" })
        )
    );
    assert_eq!(sources.helpdesk.requests(), 1);
    let case = sources.case(id).await;
    let path_of_ticket = format!("tickets/{}", case["ticket"].as_str().unwrap());
    assert_eq!(
        sources.get(&path_of_ticket).await["title"],
        "Printer",
        "the body of a message without a signature is not used"
    );
    // The same message again changes nothing.
    sources.post(&path, &[], &body).await;
    assert_eq!(sources.helpdesk.requests(), 0);
}

#[tokio::test]
async fn a_failed_read_is_repeated_and_a_demanded_pause_is_kept() {
    let sources = Sources::of_helpdesk("").await;
    sources.helpdesk.requests();
    sources.helpdesk.add("Printer");
    let faults = [
        Fault::NotSent,
        Fault::Html,
        Fault::Forbidden,
        Fault::LostResponse,
    ];
    sources.helpdesk.fail(&faults);
    sources.after(5 * MINUTE_MS).await;
    for pause in [5, 10, 20] {
        assert_eq!(sources.helpdesk.requests(), 1);
        sources.after(pause * 1000).await;
    }
    sources.helpdesk.fail(&[Fault::Limited]);
    sources.after(40 * 1000).await;
    sources.helpdesk.requests();
    let path = sources.path("helpdesk").await;
    sources.post(&path, &[], r#"{"ticket":{"id":1}}"#).await;
    sources.after(89_999).await;
    assert_eq!(sources.helpdesk.requests(), 0, "the source demanded 90 s");
    sources.after(1).await;
    assert_eq!(sources.case(1).await["state"], "bound");
}

#[tokio::test]
async fn a_source_without_regular_reads_is_not_read_any_more() {
    let sources = Sources::of_helpdesk("").await;
    sources.helpdesk.requests();
    sources
        .define(&HELPDESK.replace("pull_minutes = 5", ""))
        .await;
    sources.after(60 * MINUTE_MS).await;
    assert_eq!(sources.helpdesk.requests(), 0);
    sources.define(HELPDESK).await;
    assert_eq!(sources.helpdesk.requests(), 1);
}

#[tokio::test]
async fn the_end_of_a_ticket_is_written_back_once() {
    let sources = Sources::of_helpdesk("language = \"en\"").await;
    let id = sources.helpdesk.add("Printer");
    sources.after(5 * MINUTE_MS).await;
    sources.helpdesk.requests();
    sources.withdraw(id).await;
    assert_eq!(sources.helpdesk.status(id), 4);
    let case = sources.case(id).await;
    let note = format!(
        "Ticket {} is now: Withdrawn",
        case["ticket"].as_str().unwrap()
    );
    assert_eq!(
        sources.helpdesk.notes(),
        [json!({ "ticket": "1", "comment": note, "public": true, "new_status": 4 })]
    );
    assert_eq!(
        (
            &case["write_back"]["outcome"],
            &case["write_back"]["status"]
        ),
        (&json!("written"), &json!("REVOKED"))
    );
    assert_eq!(sources.helpdesk.requests(), 2, "one read and one write");
    let restarted = sources.desk.restart_without_views().await;
    restarted.settle().await;
    assert_eq!(
        sources.helpdesk.notes().len(),
        1,
        "refilled views write nothing"
    );
}

#[tokio::test]
async fn a_write_without_a_response_is_not_repeated_blindly() {
    for fault in [Fault::LostResponse, Fault::LostRequest] {
        let sources = Sources::of_helpdesk("").await;
        let id = sources.helpdesk.add("Printer");
        sources.after(5 * MINUTE_MS).await;
        // The read before the write succeeds, and then the write is lost.
        sources.helpdesk.fail(&[Fault::Passes, fault]);
        sources.withdraw(id).await;
        sources.helpdesk.requests();
        sources.after(9_999).await;
        assert_eq!(sources.helpdesk.requests(), 0, "the source may still work");
        sources.after(1).await;
        assert_eq!(sources.helpdesk.status(id), 4, "{fault:?}");
        assert_eq!(sources.helpdesk.notes().len(), 1, "{fault:?}");
        let outcome = match fault {
            Fault::LostResponse => "unchanged",
            _ => "written",
        };
        let case = sources.case(id).await;
        assert_eq!(case["write_back"]["outcome"], outcome, "{fault:?}");
    }
}

#[tokio::test]
async fn a_status_that_the_source_changed_is_shown_and_not_overwritten() {
    let sources = Sources::of_helpdesk("").await;
    let id = sources.helpdesk.add("Printer");
    sources.after(5 * MINUTE_MS).await;
    sources.helpdesk.set(id, "status", 5.into());
    sources.withdraw(id).await;
    assert_eq!(sources.helpdesk.status(id), 5);
    let case = sources.case(id).await;
    assert_eq!(
        case["conflict"],
        json!({ "field": "status", "found": "5", "wanted": "4" })
    );
    assert_eq!(case["write_back"]["outcome"], "conflict");
    assert_eq!(sources.get("cases?state=conflict").await["count"], 1);
    assert_eq!(sources.helpdesk.notes().len(), 0);
}

#[tokio::test]
async fn requests_to_a_source_stay_within_its_limit() {
    let sources = Sources::of_helpdesk("per_minute = 10").await;
    for number in 1..=12 {
        sources.helpdesk.add(&format!("Ticket {number}"));
    }
    // An unknown number of earlier requests counts as the whole limit, so the first read waits.
    sources.after(6 * MINUTE_MS).await;
    sources.helpdesk.requests();
    for record in 1..=12 {
        sources.withdraw(record).await;
    }
    let mut minutes = 0;
    while sources.helpdesk.notes().len() < 12 {
        assert!(sources.helpdesk.requests() <= 10, "minute {minutes}");
        sources.after(MINUTE_MS).await;
        minutes += 1;
        assert!(minutes < 30, "{} writes", sources.helpdesk.notes().len());
    }
}

/// An imitated CRM with one record, which is changed by merge patches.
#[derive(Default)]
struct Crm {
    record: Mutex<Value>,
    patches: Mutex<Vec<Value>>,
}

#[async_trait]
impl HttpClient for Crm {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        assert_eq!(request.url, "https://crm.example.com/api/tickets/CS-7");
        assert_eq!(request.headers[0].1, "Bearer token");
        let mut record = self.record.lock().unwrap();
        if request.method == "PATCH" {
            let patch: Value = serde_json::from_slice(&request.body).expect("JSON");
            record["state"]["name"] = patch["state"]["name"].clone();
            self.patches.lock().unwrap().push(patch);
        }
        Ok(HttpResponse::of(200, record.to_string().as_bytes()))
    }
}

#[tokio::test]
async fn a_system_with_a_rest_api_gets_the_status_as_a_merge_patch() {
    let mut desk = TestDesk::open().await;
    let crm = Arc::new(Crm::default());
    desk.app.http = crm.clone();
    let keys = &desk.app.ledger.keys;
    keys.keep_secret("integration/crm", b"token").await.unwrap();
    let mapping = "record = \"/id\"\nstatus = \"/state/name\"\nservice = { value = 19 }\nrequester = { value = \"lisi\" }\n\
        [fields]\ntitle = \"/title\"\nGUZHANGMIAOSHU = \"/title\"\nGUZHANGLEIXING = { value = \"DNS\" }\nimpact = { value = \"1\" }\nurgency = { value = \"1\" }\n\
        [write_back]\nREVOKED = \"canceled\"\nSUSPENDED = \"waiting\"\nRUNNING = \"working\"\n";
    let definition = "[[integration]]\nname = \"crm\"\nkind = \"generic_json\"\nsenders = [\"bk_log_search\"]\nurl = \"https://crm.example.com/api/tickets\"\nmapping = \"m\"";
    let definitions = Definitions::read(definition, &|_| Ok(mapping.into())).unwrap();
    definitions.store(&desk.app).await.unwrap();
    desk.settle().await;
    let record =
        json!({ "id": "CS-7", "title": "No network", "state": { "name": "new", "since": 1 } });
    *crm.record.lock().unwrap() = record.clone();
    let body = json!({ "source": "crm", "cases": [record] });
    let (_, answer) = desk.v1("POST", "cases", "admin", body).await;
    let ticket = answer["results"][0]["ticket"].clone();
    assert!(ticket.is_string(), "{answer}");

    // Two changes within half a minute are one write, of the last status.
    desk.operate(&ticket, "suspend", "admin", json!({ "message": "wait" }))
        .await;
    desk.settle().await;
    desk.operate(&ticket, "resume", "admin", json!({})).await;
    desk.settle().await;
    assert!(crm.patches.lock().unwrap().is_empty());
    desk.clock.advance(30_000);
    desk.settle().await;
    let statuses = || -> Vec<Value> {
        let patches = crm.patches.lock().unwrap();
        patches
            .iter()
            .map(|one| one["state"]["name"].clone())
            .collect()
    };
    assert_eq!(statuses(), ["working"]);
    desk.operate(&ticket, "withdraw", "lisi", json!({ "message": "solved" }))
        .await;
    desk.settle().await;
    assert_eq!(statuses(), ["working", "canceled"]);
    assert_eq!(crm.record.lock().unwrap()["state"]["since"], 1);
    let note = crm.patches.lock().unwrap()[1]["note"].clone();
    assert_eq!(
        note,
        format!("工单 {} 的状态已变更为“已撤销”", ticket.as_str().unwrap())
    );
}

const SIGNED: &str = r#"
    [[integration]]
    name = "zammad"
    kind = "zammad"
    mapping = "zammad"
    webhook = "signed"

    [[integration]]
    name = "jira"
    kind = "jira"
    mapping = "jira"
    webhook = "signed"

    [[integration]]
    name = "servicenow"
    kind = "servicenow"
    mapping = "servicenow"
    webhook = "signed"

    [[integration]]
    name = "closed"
    kind = "servicenow"
    mapping = "servicenow"
    senders = ["bk_log_search"]
"#;

const ALARMS: &str = r#"
    [[integration]]
    name = "alarms"
    kind = "bk_monitor"
    mapping = "bk_monitor"
    webhook = "unsigned"
"#;

#[tokio::test]
async fn the_ticket_of_an_alarm_ends_when_the_alarm_recovers() {
    let sources = Sources::open(ALARMS).await;
    let path = sources.path("alarms").await;
    let send = async |kind: &str, seen: &str, ended: Option<&str>| {
        let body = json!({
            "bk_biz_id": 2, "type": kind, "description": format!("disk usage at {seen}"), "current_value": "91",
            "event": { "id": "17958600008817", "level": 2, "create_time": "2026-11-28 10:00:00", "end_time": ended },
            "strategy": { "id": 144, "name": "Disk usage" }, "labels": ["disk"],
            "latest_anomaly_record": { "create_time": seen, "source_time": seen },
        });
        let (status, answer) = sources.post(&path, &[], &body.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    };
    let ticket = async || {
        let cases = sources.get("cases?source=alarms").await;
        assert_eq!(cases["count"], 1, "{cases}");
        let number = cases["cases"][0]["ticket"].as_str().expect("a ticket");
        sources.get(&format!("tickets/{number}")).await
    };
    send("ANOMALY_NOTICE", "2026-11-28 10:01:00", None).await;
    let opened = ticket().await;
    assert_eq!(
        (&opened["title"], &opened["current_status"]),
        (&json!("Disk usage"), &json!("RUNNING"))
    );
    send("ANOMALY_NOTICE", "2026-11-28 11:01:00", None).await;
    assert_eq!(ticket().await["current_status"], "RUNNING");
    let ended = Some("2026-11-28 11:10:05");
    send("RECOVERY_NOTICE", "2026-11-28 11:01:00", ended).await;
    assert_eq!(ticket().await["current_status"], "TERMINATED");
    // An older message that arrives late changes nothing.
    send("ANOMALY_NOTICE", "2026-11-28 11:02:00", None).await;
    assert_eq!(ticket().await["current_status"], "TERMINATED");
}

/// Returns a message of a system with the given title and change mark, as its documentation describes it.
fn message(kind: &str, title: &str, change: u32) -> Value {
    match kind {
        "zammad" => json!({
            "ticket": { "id": 81, "number": "10081", "title": title, "state": "open", "priority": { "id": 3, "name": "3 high" },
                        "customer": { "login": "zhangsan" }, "created_at": "2026-11-18T23:42:53.132Z",
                        "updated_at": format!("2026-11-19T00:00:{change:02}.132Z") },
            "article": { "id": 104, "body": "text" },
        }),
        "jira" => json!({
            "timestamp": 1_795_312_800_000_u64, "webhookEvent": "jira:issue_updated", "issue_event_type_name": "issue_generic",
            "issue": { "id": "10002", "key": "ITSM-5", "fields": {
                "summary": title, "description": null, "status": { "id": "3", "name": "In Progress" }, "priority": { "name": "High" },
                "reporter": { "name": "zhangsan" }, "created": "2026-11-18T23:42:53.132+0800",
                "updated": format!("2026-11-19T00:00:{change:02}.132+0800") } },
        }),
        _ => json!({
            "sys_id": "46d44a23a9fe19810012d100cca80666", "number": "INC0010112", "short_description": title, "description": "",
            "impact": "1", "urgency": "2", "state": "2", "caller_id": "zhangsan", "sys_mod_count": change.to_string(),
        }),
    }
}

fn signature_of(kind: &str) -> Signature {
    let codec = source::find(kind).expect("a kind");
    codec.signature().expect("a signature")
}

#[tokio::test]
async fn signed_messages_open_and_change_tickets_and_older_ones_change_nothing() {
    let sources = Sources::open(SIGNED).await;
    let keys = &sources.desk.app.ledger.keys;
    let mut accepted = 0;
    for kind in ["zammad", "jira", "servicenow"] {
        let name = format!("webhook/{kind}");
        keys.keep_secret(&name, WEBHOOK_SECRET.as_bytes())
            .await
            .unwrap();
        let path = sources.path(kind).await;
        let signature = signature_of(kind);
        let send = async |title: &str, change: u32| {
            let body = message(kind, title, change).to_string();
            let signed = signature.sign(WEBHOOK_SECRET.as_bytes(), body.as_bytes());
            let (status, answer) = sources
                .post(&path, &[(signature.header, &signed)], &body)
                .await;
            assert_eq!(status, StatusCode::OK, "{kind}: {answer}");
        };
        let list = format!("cases?source={kind}");
        let title = async || {
            let cases = sources.get(&list).await;
            assert_eq!(cases["count"], 1, "{kind}: {cases}");
            let case = &cases["cases"][0];
            assert_eq!(case["state"], "bound", "{kind}: {case}");
            let ticket = sources
                .get(&format!("tickets/{}", case["ticket"].as_str().unwrap()))
                .await;
            assert_eq!(ticket["creator"], "zhangsan", "{kind}: {ticket}");
            ticket["title"].as_str().unwrap().to_owned()
        };
        send("No network", 4).await;
        assert_eq!(title().await, "No network");
        send("No network at all", 6).await;
        assert_eq!(title().await, "No network at all");
        send("An old title", 5).await;
        assert_eq!(
            title().await,
            "No network at all",
            "{kind}: an older message"
        );
        // A message that is more than a year old is in the ledger, and changes nothing.
        sources.after(400 * 24 * 60 * MINUTE_MS).await;
        send("No network", 4).await;
        assert_eq!(
            title().await,
            "No network at all",
            "{kind}: a repeated message"
        );
        accepted += 4;
    }
    println!("{accepted} signed messages were accepted");
}

#[tokio::test]
async fn a_get_request_checks_a_callback_secret_and_stores_nothing() {
    let sources = Sources::open(HELPDESK).await;
    let key = sources.desk.app.token_keys().await.unwrap().newest;
    let right = callbacks::secret_of(&key, callbacks::PROBE);
    let of_another_desk = callbacks::secret_of(&[1; 32], callbacks::PROBE);
    let of_source = sources.path("helpdesk").await;
    let before = sources.desk.head().await;
    for (path, expected) in [
        (format!("/callbacks/bk-itsm/{right}"), 200),
        (format!("/callbacks/bk-itsm/{of_another_desk}"), 403),
        (format!("/callbacks/helpdesk/{right}"), 403),
        (of_source, 403),
    ] {
        let request = Request::get(&path).body(axum::body::Body::empty()).unwrap();
        let (status, bytes) = sources.desk.send(request).await;
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(status, expected, "{path}: {answer}");
        assert_eq!(answer["result"], expected == 200, "{path}: {answer}");
    }
    assert_eq!(sources.desk.head().await, before);
}

#[tokio::test]
async fn wrong_messages_are_rejected_and_change_nothing() {
    let sources = Sources::open(&format!("{SIGNED}\n{HELPDESK}")).await;
    let keys = &sources.desk.app.ledger.keys;
    let mut rejected = 0;
    for kind in ["zammad", "jira", "servicenow"] {
        let signature = signature_of(kind);
        let path = sources.path(kind).await;
        let body = message(kind, "No network", 4).to_string();
        let signed = signature.sign(WEBHOOK_SECRET.as_bytes(), body.as_bytes());
        let right = [(signature.header, signed.as_str())];
        // The desk has no secret yet. The sender must repeat the message.
        let (status, _) = sources.post(&path, &right, &body).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let name = format!("webhook/{kind}");
        keys.keep_secret(&name, WEBHOOK_SECRET.as_bytes())
            .await
            .unwrap();
        let spaced = body.replacen('{', "{ ", 1);
        let other = signature.sign(b"another secret", body.as_bytes());
        let short = &path[..path.len() - 1];
        for (path, headers, body, expected) in [
            (path.as_str(), vec![], &body, 403),
            (&path, vec![(signature.header, other.as_str())], &body, 403),
            (&path, right.to_vec(), &spaced, 403),
            (&path, vec![right[0], right[0]], &body, 403),
            (short, right.to_vec(), &body, 404),
        ] {
            let (status, answer) = sources.post(path, &headers, body).await;
            assert_eq!(status, expected, "{kind} {headers:?}: {answer}");
            assert_eq!(answer["result"], false);
            rejected += 1;
        }
        let unreadable = "[7]";
        let signed = signature.sign(WEBHOOK_SECRET.as_bytes(), unreadable.as_bytes());
        let (status, answer) = sources
            .post(&path, &[(signature.header, &signed)], unreadable)
            .await;
        assert_eq!(status, 400, "{kind}: {answer}");
        rejected += 1;
    }
    let closed = sources.path("closed").await;
    let unknown = sources.path("unknown").await;
    let helpdesk = sources.path("helpdesk").await;
    let large = format!(r#"{{"ticket":{{"x":"{}"}}}}"#, "x".repeat(130 << 10));
    for (path, body, expected) in [
        (closed.as_str(), "{}", 404),
        (unknown.as_str(), "{}", 404),
        ("/callbacks/zammad/x", "{}", 404),
        (helpdesk.as_str(), large.as_str(), 413),
        (helpdesk.as_str(), r#"{"ticket":1}"#, 400),
    ] {
        let (status, answer) = sources.post(path, &[], body).await;
        assert_eq!(status, expected, "{path}: {answer}");
        rejected += 1;
    }
    assert_eq!(sources.get("cases").await["count"], 0);
    // Each source has its own limit.
    sources.desk.app.limits.apply();
    let mut limited = 0;
    for _ in 0..5_100 {
        let request = Request::post(&unknown)
            .body(axum::body::Body::empty())
            .unwrap();
        let response = sources.desk.answer(request).await;
        if response.status() == 429 {
            let pause = response.headers().get("retry-after");
            assert!(pause.is_some_and(|pause| pause.to_str().unwrap().parse::<u32>().unwrap() > 0));
            limited += 1;
        }
    }
    assert!((1..=100).contains(&limited), "{limited}");
    let (status, _) = sources.post(&closed, &[], "{}").await;
    assert_eq!(status, 404, "the other sources are not limited");
    println!("{rejected} messages were rejected");
}

#[tokio::test]
async fn wrong_definitions_of_a_source_name_the_member() {
    let read = |text: &str| {
        let mapping = |path: &std::path::Path| Ok(mapping_of(path.to_str().unwrap()));
        Definitions::read(text, &mapping).map(drop)
    };
    assert_eq!(read(HELPDESK), Ok(()));
    for (from, to, expected) in [
        (
            "\"unsigned\"",
            "\"signed\"",
            "`webhook` must be \"unsigned\"",
        ),
        (
            "pull_minutes = 5",
            "pull_minutes = 0",
            "`pull_minutes` must be a number from 1 to 1440",
        ),
        (
            "pull_minutes = 5",
            "per_minute = 0",
            "`per_minute` must be a number from 1 to 6000",
        ),
        (
            "url = \"https://helpdesk.example.com\"",
            "",
            "`url` must be an http or https URL",
        ),
        (
            "user = \"desk\"",
            "user = \"a:b\"",
            "`user` must be the account of the desk",
        ),
        (
            "mapping = \"django_helpdesk\"",
            "",
            "`mapping` must be the path",
        ),
        (
            "kind = \"django_helpdesk\"",
            "kind = \"bk_monitor\"",
            "`url` has no meaning for the kind bk_monitor",
        ),
        (
            "user = \"desk\"",
            "user = \"desk\"\nfilter = \"status=1\"",
            "`filter` has no meaning for the kind django_helpdesk",
        ),
        (
            "user = \"desk\"",
            "user = \"desk\"\ncarrier = \"body\"",
            "`carrier` has no meaning",
        ),
        (
            "user = \"desk\"",
            "user = \"desk\"\nform = \"esb\"",
            "`form` has no meaning",
        ),
    ] {
        assert!(HELPDESK.contains(from), "{from}");
        let reason = read(&HELPDESK.replacen(from, to, 1)).unwrap_err();
        assert!(reason.contains(expected), "{to}: {reason}");
    }
    let written = ALARMS.replacen(
        "mapping = \"bk_monitor\"",
        "mapping = \"django_helpdesk\"",
        1,
    );
    let reason = read(&written).unwrap_err();
    assert!(reason.contains("must have no `write_back`"), "{reason}");
    let signed = ALARMS.replacen("\"unsigned\"", "\"signed\"", 1);
    let reason = read(&signed).unwrap_err();
    assert!(
        reason.contains("because bk_monitor does not sign"),
        "{reason}"
    );
    let none = SIGNED.replacen("webhook = \"signed\"", "", 1);
    let reason = read(&none).unwrap_err();
    assert!(reason.contains("`senders` must name the apps"), "{reason}");
}

#[tokio::test]
async fn no_event_contains_a_secret_of_a_source() {
    let sources = Sources::of_helpdesk("").await;
    let id = sources.helpdesk.add("Printer");
    let path = sources.path("helpdesk").await;
    sources
        .post(&path, &[], r#"{"ticket":{"id":1,"title":"sealed-text"}}"#)
        .await;
    sources.withdraw(id).await;
    let secret = path.rsplit('/').next().unwrap();
    let feed = sources.desk.app.ledger.store.feed(0, 10_000).await.unwrap();
    let bodies: Vec<String> = feed
        .iter()
        .map(|placed| String::from_utf8_lossy(&placed.commit.body).into_owned())
        .collect();
    assert!(
        bodies
            .iter()
            .any(|body| body.contains("writeback.completed"))
    );
    for text in [secret, "s3cret", "sealed-text"] {
        assert!(!bodies.iter().any(|body| body.contains(text)), "{text}");
    }
}
