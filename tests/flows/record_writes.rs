//! These tests check what the desk writes to the records of cases besides their statuses: remarks as notes, assignees, and
//! the values in the record of a CRM that belongs to the same case.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use events::{Meta, Moment};
use functions::app::itsm::cases;
use functions::app::itsm::integrations::Definitions;
use functions::app::{reports, times};
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::TestDesk;

const SECOND_MS: i64 = 1_000;

pub(crate) const TICKETS: &str = r#"
    [[integration]]
    name = "tickets"
    kind = "generic_json"
    url = "https://tickets.example.com/api"
    mapping = "tickets"
    language = "en"
    webhook = "unsigned"
"#;
pub(crate) const CRM: &str = r#"
    [[integration]]
    name = "crm"
    kind = "generic_json"
    url = "https://crm.example.com/api"
    mapping = "crm"
    language = "en"
    reconcile_minutes = 5
"#;
pub(crate) const MAPPING: &str = r#"
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
pub(crate) struct Systems {
    records: Mutex<BTreeMap<String, Value>>,
    patches: Mutex<Vec<(String, Value)>>,
    faults: Mutex<Vec<Fault>>,
    /// Whether the account of the desk may only read.
    is_read_only: AtomicBool,
    /// Whether the secret of the desk is wrong.
    is_denied: AtomicBool,
    /// The host that cannot be reached. The text is empty if all can be reached.
    lost: Mutex<String>,
    /// Whether each note is also added to the list `notes` of the record.
    keeps_notes: AtomicBool,
    /// The names of the records that the account of the desk may not read, so that requests about them get the status 403.
    denied_records: Mutex<BTreeSet<String>>,
    /// Notes with this text get the status 400. The text is empty if all notes are accepted.
    refused_text: Mutex<String>,
    /// Number of notes that got the status 400 because of this text.
    refusals: AtomicUsize,
    /// The host whose next change is executed only after [`Systems::release`]. The text is empty if there is none.
    held_host: Mutex<String>,
    held: Notify,
    released: Notify,
}

impl Systems {
    /// Sets whether all changes are refused.
    pub(crate) fn refuse(&self, is_read_only: bool) {
        self.is_read_only.store(is_read_only, Ordering::SeqCst);
    }

    /// Sets whether the secret of the desk is wrong, so that all requests get the status 401.
    pub(crate) fn deny(&self, is_denied: bool) {
        self.is_denied.store(is_denied, Ordering::SeqCst);
    }

    /// Keeps all notes from now on, in the list `notes` of the records.
    pub(crate) fn keep_notes(&self) {
        self.keeps_notes.store(true, Ordering::SeqCst);
    }

    /// Sets which records the account of the desk may not read.
    pub(crate) fn deny_records(&self, names: &[&str]) {
        let names = names.iter().map(ToString::to_string).collect();
        *self.denied_records.lock().unwrap() = names;
    }

    /// Refuses notes with this text. An empty text ends the refusals.
    pub(crate) fn refuse_notes(&self, text: &str) {
        text.clone_into(&mut self.refused_text.lock().unwrap());
    }

    /// Returns the number of notes that were refused because of their text.
    pub(crate) fn refusals(&self) -> usize {
        self.refusals.load(Ordering::SeqCst)
    }

    /// Holds the next change of a record of the host back, until [`Systems::release`].
    pub(crate) fn hold(&self, host: &str) {
        host.clone_into(&mut self.held_host.lock().unwrap());
    }

    /// Waits until a change is held back.
    pub(crate) async fn held(&self) {
        self.held.notified().await;
    }

    /// Executes the change that is held back.
    pub(crate) fn release(&self) {
        self.released.notify_one();
    }

    /// Cuts the connection to a host.
    pub(crate) fn lose(&self, host: &str) {
        host.clone_into(&mut self.lost.lock().unwrap());
    }

    /// Adds a record. Requests about a record that is null get the status 400.
    pub(crate) fn put(&self, name: &str, record: Value) {
        self.records.lock().unwrap().insert(name.into(), record);
    }

    pub(crate) fn set(&self, name: &str, member: &str, value: &str) {
        let mut records = self.records.lock().unwrap();
        records.get_mut(name).expect("a record")[member] = value.into();
    }

    pub(crate) fn member(&self, name: &str, member: &str) -> Value {
        self.records.lock().unwrap()[name][member].clone()
    }

    /// Returns the patches since the last call, with the names of the records.
    pub(crate) fn patches(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.patches.lock().unwrap())
    }

    fn handle(&self, request: &HttpRequest) -> HttpResponse {
        if self.is_denied.load(Ordering::SeqCst) {
            return HttpResponse::of(401, b"{}");
        }
        let name = request.url.replace("https://", "").replace("/api", "");
        if self.denied_records.lock().unwrap().contains(&name) {
            return HttpResponse::of(403, b"{}");
        }
        let mut records = self.records.lock().unwrap();
        let Some(record) = records.get_mut(&name) else {
            return HttpResponse::of(404, b"{}");
        };
        if record.is_null() {
            return HttpResponse::of(400, b"{}");
        }
        if request.method == "PATCH" && self.is_read_only.load(Ordering::SeqCst) {
            return HttpResponse::of(403, b"{}");
        }
        if request.method == "PATCH" {
            let patch: Value = serde_json::from_slice(&request.body).expect("JSON");
            let refused = self.refused_text.lock().unwrap().clone();
            let note = patch["note"].as_str().unwrap_or_default();
            if !refused.is_empty() && note.contains(&refused) {
                self.refusals.fetch_add(1, Ordering::SeqCst);
                return HttpResponse::of(400, b"{}");
            }
            for (member, value) in patch.as_object().expect("an object") {
                record[member.as_str()] = value.clone();
                if member == "note" && self.keeps_notes.load(Ordering::SeqCst) {
                    let mut notes = record["notes"].as_array().cloned().unwrap_or_default();
                    notes.push(value.clone());
                    record["notes"] = notes.into();
                }
            }
            self.patches.lock().unwrap().push((name, patch));
        }
        HttpResponse::of(200, record.to_string().as_bytes())
    }
}

#[async_trait]
impl HttpClient for Systems {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let lost = self.lost.lock().unwrap().clone();
        if !lost.is_empty() && request.url.contains(&lost) {
            return Err(HttpError::NotSent("connection refused".into()));
        }
        let is_held = {
            let mut held = self.held_host.lock().unwrap();
            let is_held =
                request.method == "PATCH" && !held.is_empty() && request.url.contains(&*held);
            if is_held {
                held.clear();
            }
            is_held
        };
        if is_held {
            self.held.notify_one();
            self.released.notified().await;
        }
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

pub(crate) struct Written {
    pub(crate) desk: TestDesk,
    pub(crate) systems: Arc<Systems>,
}

/// The name of the record in the ticket system, and in the CRM.
pub(crate) const TICKET: &str = "tickets.example.com/T-1";
pub(crate) const CASE: &str = "crm.example.com/C-1";

impl Written {
    /// Opens a desk with the integrations, and with one ticket for the record.
    pub(crate) async fn open(definitions: &str, mapping: &str, more: Value) -> Self {
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

    pub(crate) async fn receive(&self, record: Value) {
        let meta = Meta::system("test", "test");
        cases::receive_from(&self.desk.app, "tickets", &[record], &meta)
            .await
            .unwrap();
        self.desk.settle().await;
    }

    pub(crate) async fn case(&self) -> Value {
        let path = "cases?source=tickets";
        let (status, list) = self.desk.v1("GET", path, "admin", Value::Null).await;
        assert_eq!((status, &list["count"]), (200, &json!(1)), "{list}");
        list["cases"][0].clone()
    }

    pub(crate) async fn operate(&self, operation: &str, user: &str, body: Value) {
        let ticket = self.case().await["ticket"].clone();
        self.desk.operate(&ticket, operation, user, body).await;
        self.desk.settle().await;
    }

    pub(crate) async fn remark(&self, user: &str, text: &str) {
        self.operate("remark", user, json!({ "text": text })).await;
    }

    pub(crate) async fn seconds(&self, seconds: i64) {
        self.desk.clock.advance(seconds * SECOND_MS);
        self.desk.settle().await;
    }

    /// Lets the time pass in steps of 15 seconds.
    pub(crate) async fn minutes(&self, minutes: i64) {
        for _ in 0..minutes * 4 {
            self.seconds(15).await;
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.desk.app.ledger.clock.now()
    }

    async fn report(&self, from: Moment) -> Value {
        let ledger = &self.desk.app.ledger;
        let zone = times::default_zone();
        let report = reports::sync(ledger, (from, self.now()), &zone).await;
        let report = report.unwrap();
        report["sources"].clone()
    }

    /// Returns the texts of all stored events of cases and of writes.
    pub(crate) async fn events(&self) -> String {
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

/// Ends the ticket, so that the desk writes the status to the record.
pub(crate) async fn withdraw(written: &Written) {
    let message = json!({ "message": "solved" });
    written.operate("withdraw", "lisi", message).await;
}

/// Returns the number of cases in the list.
pub(crate) async fn listed(written: &Written, state: &str) -> Value {
    let path = format!("cases?state={state}");
    let (status, list) = written.desk.v1("GET", &path, "admin", Value::Null).await;
    assert_eq!(status, 200, "{list}");
    list["count"].clone()
}

#[tokio::test]
async fn a_wrong_secret_pauses_a_write_and_loses_nothing() {
    let written = Written::open(TICKETS, MAPPING, json!({})).await;
    written.remark("lisi", "the cable is broken").await;
    written.systems.deny(true);
    withdraw(&written).await;
    for _ in 0..3 {
        written.seconds(10).await;
    }
    let write = written.case().await["write_back"].clone();
    assert_eq!(write["outcome"], Value::Null, "{write}");
    assert_eq!(write["reason"], "the response status is 401");
    assert_eq!(write["failures"][0]["reason"], "the response status is 401");
    assert!(write["next_attempt"].is_string(), "{write}");
    assert_eq!(listed(&written, "failed").await, 0);
    written.systems.deny(false);
    written.minutes(2).await;
    assert_eq!(written.systems.member(TICKET, "state"), "canceled");
    assert_eq!(written.systems.patches().len(), 1);
    let write = written.case().await["write_back"].clone();
    assert_eq!(
        (&write["outcome"], &write["reason"], &write["waiting_notes"]),
        (&json!("written"), &Value::Null, &json!(0))
    );
}

#[tokio::test]
async fn a_superuser_writes_again_what_failed() {
    let written = Written::open(TICKETS, MAPPING, json!({})).await;
    let record = json!({ "id": "T-1", "revision": 1, "title": "No network", "state": "open" });
    let id = written.case().await["id"].clone();
    let path = format!("cases/{}/write", id.as_str().expect("an id"));
    let again = async |user: &str| written.desk.v1("POST", &path, user, json!({})).await;
    assert_eq!(again("admin").await.0, 409, "no write failed");
    written.remark("lisi", "the cable is broken").await;
    written.systems.put(TICKET, Value::Null);
    withdraw(&written).await;
    let write = written.case().await["write_back"].clone();
    assert_eq!(
        (&write["outcome"], &write["reason"], &write["next_attempt"]),
        (
            &json!("failed"),
            &json!("the response status is 400"),
            &Value::Null
        )
    );
    assert_eq!(listed(&written, "failed").await, 1);
    written.systems.put(TICKET, record);
    assert_eq!(again("lisi").await.0, 403);
    let (status, case) = again("admin").await;
    assert_eq!(status, 200, "{case}");
    assert_eq!(case["write_back"]["outcome"], Value::Null, "{case}");
    written.seconds(30).await;
    // The refused remark has a request of its own after the status.
    let patches = written.systems.patches();
    let [(_, status), (_, remark)] = &patches[..] else {
        panic!("{patches:?}")
    };
    assert_eq!(status["state"], "canceled");
    assert_eq!(remark["state"], Value::Null);
    let note = remark["note"].as_str().expect("a text");
    assert!(note.contains("the cable is broken"), "{note}");
    assert_eq!(written.case().await["write_back"]["outcome"], "written");
    assert_eq!(again("admin").await.0, 409, "nothing is left");
    assert_eq!(listed(&written, "failed").await, 0);
}

#[tokio::test]
async fn a_record_that_agrees_ends_the_failure_of_its_write() {
    let definitions = format!("{TICKETS}\n    reconcile_minutes = 5\n");
    let written = Written::open(&definitions, MAPPING, json!({})).await;
    written.systems.put(TICKET, Value::Null);
    withdraw(&written).await;
    assert_eq!(written.case().await["write_back"]["outcome"], "failed");
    // A person closes the record.
    let closed = json!({ "id": "T-1", "revision": 1, "title": "No network", "state": "canceled" });
    written.systems.put(TICKET, closed);
    written.minutes(12).await;
    assert_eq!(written.case().await["write_back"]["outcome"], "unchanged");
    assert!(written.systems.patches().is_empty());
    assert_eq!(listed(&written, "failed").await, 0);
}

#[tokio::test]
async fn a_new_record_of_a_crm_shows_no_failures_of_the_former_one() {
    let definitions = format!("{TICKETS}\n{CRM}");
    let written = Written::open(&definitions, MAPPING, json!({})).await;
    let id = written.case().await["id"].clone();
    let path = format!("cases/{}/crm", id.as_str().expect("an id"));
    let bind = async |record: &str| {
        let body = json!({ "integration": "crm", "record": record });
        let (status, case) = written.desk.v1("PUT", &path, "admin", body).await;
        assert_eq!(status, 200, "{case}");
        written.desk.settle().await;
        written.case().await["bindings"][0].clone()
    };
    written.systems.deny(true);
    bind("C-0").await;
    written.minutes(2).await;
    let former = written.case().await["bindings"][0]["write_back"].clone();
    assert_eq!(former["reason"], "the response status is 401", "{former}");
    assert!(former["attempts"].as_u64().is_some_and(|made| made > 1));
    let next = bind("C-1").await;
    assert_eq!(next["record"], "C-1");
    let write = &next["write_back"];
    assert_eq!(
        (&write["attempts"], &write["failures"], &write["reason"]),
        (&json!(0), &json!([]), &Value::Null),
        "{next}"
    );
    written.systems.deny(false);
    written.minutes(2).await;
    assert_eq!(written.systems.member(CASE, "phase"), "working");
}
