//! These tests check what the desk writes to the records of cases besides their statuses: remarks as notes, assignees, and
//! the values in the record of a CRM that belongs to the same case.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use events::{Meta, Moment};
use functions::app::itsm::cases;
use functions::app::itsm::integrations::Definitions;
use functions::app::reports;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use crate::TestDesk;

const SECOND_MS: i64 = 1_000;

const TICKETS: &str = r#"
    [[integration]]
    name = "tickets"
    kind = "generic_json"
    url = "https://tickets.example.com/api"
    mapping = "tickets"
    language = "en"
    webhook = "unsigned"
"#;
const CRM: &str = r#"
    [[integration]]
    name = "crm"
    kind = "generic_json"
    url = "https://crm.example.com/api"
    mapping = "crm"
    language = "en"
    reconcile_minutes = 5
"#;
const MAPPING: &str = r#"
    record = "/id"
    update = { counter = "/revision" }
    status = "/state"
    service = { value = 19 }
    requester = { value = "lisi" }
    notes = true
    assignee = { path = "/owner", people = { sunba = "s.ba", qianqi = "q.qi" } }
    crm = { integration = "crm", record = "/crm_case" }
    [fields]
    title = "/title"
    GUZHANGMIAOSHU = "/title"
    GUZHANGLEIXING = { value = "DNS" }
    impact = { value = "1" }
    urgency = { value = "1" }
    [write_back]
    REVOKED = "canceled"
    RUNNING = "open"
"#;
const CRM_MAPPING: &str = r#"
    record = "/id"
    status = "/phase"
    notes = true
    write_back = { REVOKED = "closed", RUNNING = "working" }
"#;

/// A fault that occurs in one request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The request is executed, but no response arrives.
    LostResponse,
    /// The request is not executed, and no response arrives.
    LostRequest,
}

/// Imitated systems whose records are changed by merge patches. The names of the records begin with the host.
#[derive(Default)]
struct Systems {
    records: Mutex<BTreeMap<String, Value>>,
    patches: Mutex<Vec<(String, Value)>>,
    faults: Mutex<Vec<Fault>>,
}

impl Systems {
    fn put(&self, name: &str, record: Value) {
        self.records.lock().unwrap().insert(name.into(), record);
    }

    fn set(&self, name: &str, member: &str, value: &str) {
        let mut records = self.records.lock().unwrap();
        records.get_mut(name).expect("a record")[member] = value.into();
    }

    fn member(&self, name: &str, member: &str) -> Value {
        self.records.lock().unwrap()[name][member].clone()
    }

    /// Returns the patches since the last call, with the names of the records.
    fn patches(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.patches.lock().unwrap())
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        let name = request.url.replace("https://", "").replace("/api", "");
        let mut records = self.records.lock().unwrap();
        let Some(record) = records.get_mut(&name) else {
            return HttpResponse::of(404, b"{}");
        };
        if request.method == "PATCH" {
            let patch: Value = serde_json::from_slice(&request.body).expect("JSON");
            for (member, value) in patch.as_object().expect("an object") {
                record[member.as_str()] = value.clone();
            }
            self.patches.lock().unwrap().push((name, patch));
        }
        HttpResponse::of(200, record.to_string().as_bytes())
    }
}

#[async_trait]
impl HttpClient for Systems {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let fault = self.faults.lock().unwrap().pop();
        match fault {
            None => Ok(self.handle(request)),
            Some(Fault::LostRequest) => Err(HttpError::Unknown("timeout".into())),
            Some(Fault::LostResponse) => {
                self.handle(request);
                Err(HttpError::Unknown("timeout".into()))
            }
        }
    }
}

struct Written {
    desk: TestDesk,
    systems: Arc<Systems>,
}

/// The name of the record in the ticket system, and in the CRM.
const TICKET: &str = "tickets.example.com/T-1";
const CASE: &str = "crm.example.com/C-1";

impl Written {
    /// Opens a desk with the integrations, and with one ticket for the record.
    async fn open(definitions: &str, mapping: &str, more: Value) -> Self {
        let mut desk = TestDesk::open().await;
        let systems = Arc::new(Systems::default());
        desk.app.http = systems.clone();
        for name in ["integration/tickets", "integration/crm"] {
            let keys = &desk.app.ledger.keys;
            keys.keep_secret(name, b"token").await.unwrap();
        }
        let written = Self { desk, systems };
        written.define(definitions, mapping).await;
        let mut record =
            json!({ "id": "T-1", "revision": 1, "title": "No network", "state": "open" });
        for (member, value) in more.as_object().expect("an object") {
            record[member.as_str()] = value.clone();
        }
        written.systems.put(TICKET, record.clone());
        let agent = json!({ "id": "C-1", "phase": "new" });
        written.systems.put(CASE, agent);
        written.receive(record).await;
        written
    }

    async fn define(&self, definitions: &str, mapping: &str) {
        let read = |path: &std::path::Path| {
            Ok(match path.to_str() {
                Some("crm") => CRM_MAPPING.to_owned(),
                _ => mapping.to_owned(),
            })
        };
        let definitions = Definitions::read(definitions, &read).unwrap();
        definitions.store(&self.desk.app).await.unwrap();
        self.desk.settle().await;
    }

    async fn receive(&self, record: Value) {
        let meta = Meta::system("test", "test");
        cases::receive_from(&self.desk.app, "tickets", &[record], &meta)
            .await
            .unwrap();
        self.desk.settle().await;
    }

    async fn case(&self) -> Value {
        let path = "cases?source=tickets";
        let (status, list) = self.desk.v1("GET", path, "admin", Value::Null).await;
        assert_eq!((status, &list["count"]), (200, &json!(1)), "{list}");
        list["cases"][0].clone()
    }

    async fn operate(&self, operation: &str, user: &str, body: Value) {
        let ticket = self.case().await["ticket"].clone();
        self.desk.operate(&ticket, operation, user, body).await;
        self.desk.settle().await;
    }

    async fn remark(&self, user: &str, text: &str) {
        self.operate("remark", user, json!({ "text": text })).await;
    }

    async fn seconds(&self, seconds: i64) {
        self.desk.clock.advance(seconds * SECOND_MS);
        self.desk.settle().await;
    }

    /// Lets the time pass in steps of 15 seconds.
    async fn minutes(&self, minutes: i64) {
        for _ in 0..minutes * 4 {
            self.seconds(15).await;
        }
    }

    fn now(&self) -> Moment {
        self.desk.app.ledger.clock.now()
    }

    async fn report(&self, from: Moment) -> Value {
        let ledger = &self.desk.app.ledger;
        let report = reports::sync(ledger, from, self.now()).await.unwrap();
        report["sources"].clone()
    }

    /// Returns the texts of all stored events of cases and of writes.
    async fn events(&self) -> String {
        let feed = self.desk.app.ledger.store.feed(0, 10_000).await.unwrap();
        let of_cases = feed.iter().filter(|placed| {
            let stream = &placed.commit.stream;
            stream.starts_with("case-") || stream.starts_with("writeback-")
        });
        of_cases
            .map(|placed| String::from_utf8_lossy(&placed.commit.body).into_owned())
            .collect()
    }
}

#[tokio::test]
async fn two_remarks_within_30_seconds_are_one_note() {
    let written = Written::open(TICKETS, MAPPING, json!({})).await;
    written.remark("lisi", "the cable is broken").await;
    written.seconds(10).await;
    written.remark("sunba", "a new cable is on its way").await;
    let internal = json!({ "text": "expensive cable", "internal": true });
    written.operate("remark", "sunba", internal).await;
    written.seconds(19).await;
    assert!(written.systems.patches().is_empty());
    let waiting = written.case().await["write_back"].clone();
    assert_eq!(
        (&waiting["waiting_notes"], &waiting["status"]),
        (&json!(2), &Value::Null)
    );
    written.seconds(1).await;
    let patches = written.systems.patches();
    let [(name, patch)] = &patches[..] else {
        panic!("{patches:?}")
    };
    assert_eq!(name, TICKET);
    let number = written.case().await["ticket"].clone();
    let number = number.as_str().expect("a number");
    let note = format!(
        "Remark on ticket {number}: the cable is broken\n[ledgerdesk {number}/1]\n\nRemark on ticket {number}: a new cable is on its way\n[ledgerdesk {number}/2]"
    );
    assert_eq!(*patch, json!({ "note": note }));
    // A later remark is another note.
    written.remark("lisi", "it works").await;
    written.seconds(30).await;
    let patches = written.systems.patches();
    assert_eq!(patches.len(), 1, "{patches:?}");
    let note = patches[0].1["note"].as_str().expect("a text");
    assert!(
        note.contains("it works") && !note.contains("cable"),
        "{note}"
    );
    // The events refer to the remarks, and do not contain their texts.
    let events = written.events().await;
    assert!(events.contains("writeback.note_requested"));
    assert!(!events.contains("cable"), "{events}");
    let restarted = written.desk.restart_without_views().await;
    restarted.settle().await;
    assert!(written.systems.patches().is_empty());
}

#[tokio::test]
async fn a_note_without_a_response_is_searched_before_it_is_repeated() {
    for (fault, outcome) in [
        (Fault::LostResponse, "unchanged"),
        (Fault::LostRequest, "written"),
    ] {
        let written = Written::open(TICKETS, MAPPING, json!({})).await;
        written.remark("lisi", "the cable is broken").await;
        written.systems.faults.lock().unwrap().push(fault);
        written.seconds(30).await;
        written.seconds(10).await;
        let patches = written.systems.patches();
        assert_eq!(patches.len(), 1, "{fault:?}: {patches:?}");
        let write = written.case().await["write_back"].clone();
        assert_eq!(write["outcome"], outcome, "{fault:?}");
        assert_eq!(write["waiting_notes"], 0);
    }
}

#[tokio::test]
async fn a_remark_that_came_from_the_source_is_not_written_back() {
    // The API of these tests is used by this app.
    let definitions = format!("{TICKETS}\n    senders = [\"bk_log_search\"]\n");
    let written = Written::open(&definitions, MAPPING, json!({})).await;
    written.remark("lisi", "the cable is broken").await;
    written.minutes(2).await;
    assert!(written.systems.patches().is_empty());
    assert_eq!(written.case().await["write_back"], Value::Null);
}

#[tokio::test]
async fn without_the_switch_no_remark_and_no_assignee_is_written() {
    let mapping = MAPPING
        .replace("notes = true", "")
        .replace("assignee =", "# assignee =");
    let written = Written::open(TICKETS, &mapping, json!({})).await;
    written.remark("lisi", "the cable is broken").await;
    written
        .operate("claim", "sunba", json!({ "node": 3 }))
        .await;
    written.minutes(2).await;
    assert!(written.systems.patches().is_empty());
}

#[tokio::test]
async fn the_newest_assignee_is_written_and_repaired() {
    let definitions = format!("{TICKETS}\n    reconcile_minutes = 5\n");
    let written = Written::open(&definitions, MAPPING, json!({})).await;
    // Two people can claim the node, so there is no assignee yet.
    written.seconds(60).await;
    assert!(written.systems.patches().is_empty());
    written
        .operate("claim", "sunba", json!({ "node": 3 }))
        .await;
    written.seconds(10).await;
    let to = json!({ "node": 3, "to": { "people": ["qianqi"] }, "message": "please" });
    written.operate("deliver", "sunba", to).await;
    written.seconds(20).await;
    let expected = (TICKET.to_owned(), json!({ "owner": "q.qi" }));
    assert_eq!(written.systems.patches(), std::slice::from_ref(&expected));
    // The source changes the assignee. By default, the desk decides.
    written.minutes(6).await;
    let from = written.now();
    written.systems.set(TICKET, "owner", "somebody.else");
    written.minutes(9).await;
    assert_eq!(written.systems.patches(), [expected]);
    let report = written.report(from).await;
    assert_eq!(report["tickets"]["errors"], 1, "{report}");
    assert_eq!(report["tickets"]["unknown_assignees"], 0);
    assert_eq!(written.case().await["conflict"], Value::Null);
    let events = written.events().await;
    assert!(events.contains("case.repaired") && events.contains("account:"));
    for account in ["somebody.else", "q.qi", "s.ba"] {
        assert!(!events.contains(account), "{account}: {events}");
    }
}

#[tokio::test]
async fn an_assignee_that_a_person_must_decide_is_a_conflict() {
    let definitions =
        format!("{TICKETS}\n    reconcile_minutes = 5\n    assignee_authority = \"person\"\n");
    let written = Written::open(&definitions, MAPPING, json!({})).await;
    written
        .operate("claim", "sunba", json!({ "node": 3 }))
        .await;
    written.seconds(30).await;
    assert_eq!(written.systems.member(TICKET, "owner"), "s.ba");
    written.systems.set(TICKET, "owner", "q.qi");
    written.minutes(9).await;
    assert_eq!(written.systems.member(TICKET, "owner"), "q.qi");
    let conflict = json!({ "field": "assignee", "found": "qianqi", "wanted": "sunba" });
    assert_eq!(written.case().await["conflict"], conflict);
    // Both sides agree again.
    let to = json!({ "node": 3, "to": { "people": ["qianqi"] }, "message": "yes" });
    written.operate("deliver", "sunba", to).await;
    written.seconds(30).await;
    assert_eq!(written.case().await["conflict"], Value::Null);
}

#[tokio::test]
async fn a_processor_without_an_account_is_unknown() {
    let definitions = format!("{TICKETS}\n    reconcile_minutes = 5\n");
    let mapping = MAPPING.replace("sunba = \"s.ba\", ", "");
    let written = Written::open(&definitions, &mapping, json!({ "owner": "x" })).await;
    let from = written.now();
    written
        .operate("claim", "sunba", json!({ "node": 3 }))
        .await;
    written.minutes(12).await;
    assert!(written.systems.patches().is_empty());
    assert_eq!(written.systems.member(TICKET, "owner"), "x");
    let report = written.report(from).await;
    let figures = &report["tickets"];
    assert_eq!(
        (&figures["unknown_assignees"], &figures["errors"]),
        (&json!(1), &json!(0)),
        "{report}"
    );
}

#[tokio::test]
async fn a_record_of_a_crm_gets_the_status_and_is_compared() {
    let definitions = format!("{TICKETS}\n    reconcile_minutes = 5\n{CRM}");
    let crm_case = json!({ "crm_case": "C-1" });
    let written = Written::open(&definitions, MAPPING, crm_case).await;
    let from = written.now();
    let case = written.case().await;
    assert_eq!(
        (
            &case["bindings"][0]["integration"],
            &case["bindings"][0]["record"]
        ),
        (&json!("crm"), &json!("C-1"))
    );
    // The record of the CRM has another status than the ticket. The desk finds and repairs the difference.
    written.minutes(12).await;
    assert_eq!(written.systems.member(CASE, "phase"), "working");
    let report = written.report(from).await;
    assert_eq!(
        (&report["crm"]["errors"], &report["crm"]["bindings"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    assert_eq!(
        (&report["tickets"]["errors"], &report["tickets"]["bindings"]),
        (&json!(0), &json!(1))
    );
    written.remark("lisi", "it works").await;
    written.seconds(30).await;
    let mut names: Vec<String> = written
        .systems
        .patches()
        .into_iter()
        .map(|one| one.0)
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names, [CASE, TICKET]);
    let note = written.systems.member(CASE, "note");
    assert!(note.as_str().is_some_and(|note| note.contains("it works")));
    let message = json!({ "message": "solved" });
    written.operate("withdraw", "lisi", message).await;
    assert_eq!(written.systems.member(TICKET, "state"), "canceled");
    assert_eq!(written.systems.member(CASE, "phase"), "closed");
    let case = written.case().await;
    for write in [&case["write_back"], &case["bindings"][0]["write_back"]] {
        assert_eq!(write["outcome"], "written", "{case}");
    }
}

#[tokio::test]
async fn a_missing_crm_is_a_recorded_refusal_and_no_obstacle() {
    let crm_case = json!({ "crm_case": "C-1" });
    let written = Written::open(TICKETS, MAPPING, crm_case).await;
    let case = written.case().await;
    assert_eq!(case["state"], "bound", "{case}");
    assert_eq!(case["bindings"][0]["record"], Value::Null);
    assert_eq!(case["bindings"][0]["field"], "crm.integration");
    assert_eq!(
        case["bindings"][0]["reason"],
        "integration crm does not exist"
    );
    // A later content of the record adds the binding.
    written.define(&format!("{TICKETS}\n{CRM}"), MAPPING).await;
    let newer = json!({ "id": "T-1", "revision": 2, "title": "No network", "state": "open", "crm_case": "C-1" });
    written.receive(newer).await;
    let case = written.case().await;
    let bindings = case["bindings"].as_array().expect("a list");
    assert_eq!(bindings.len(), 1, "{case}");
    assert_eq!(
        (&bindings[0]["record"], &bindings[0]["reason"]),
        (&json!("C-1"), &Value::Null)
    );
    let message = json!({ "message": "solved" });
    written.operate("withdraw", "lisi", message).await;
    assert_eq!(written.systems.member(CASE, "phase"), "closed");
}

#[tokio::test]
async fn a_record_without_the_id_of_a_crm_case_has_one_binding() {
    let definitions = format!("{TICKETS}\n{CRM}");
    let written = Written::open(&definitions, MAPPING, json!({})).await;
    assert_eq!(written.case().await["bindings"], json!([]));
    let message = json!({ "message": "solved" });
    written.operate("withdraw", "lisi", message).await;
    assert_eq!(written.systems.member(TICKET, "state"), "canceled");
    assert_eq!(written.systems.member(CASE, "phase"), "new");
}
