//! These tests check the comparison of cases with their records, the repair of differences, and the meter of
//! synchronization errors (reference/fleet.md 2.6).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use events::Moment;
use functions::app::itsm::integrations::Definitions;
use functions::app::{reports, times};
use infra::commit::following;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use infra::views::Document;
use serde_json::{Value, json};

use crate::TestDesk;

const MINUTE_MS: i64 = 60_000;
const MAPPING: &str = "record = \"/id\"\nstatus = \"/state\"\nservice = { value = 19 }\nrequester = { value = \"lisi\" }\n\
    [fields]\ntitle = \"/title\"\nGUZHANGMIAOSHU = \"/title\"\nGUZHANGLEIXING = { value = \"DNS\" }\nimpact = { value = \"1\" }\nurgency = { value = \"1\" }\n\
    [write_back]\nREVOKED = \"canceled\"\nFINISHED = \"closed\"\nSUSPENDED = \"waiting\"\nRUNNING = \"open\"\n\
    [ends]\ncanceled = \"withdraw\"\nclosed = \"terminate\"\n";

/// An imitated CRM, which is changed by merge patches.
#[derive(Default)]
struct Crm {
    records: Mutex<BTreeMap<String, Value>>,
    patches: Mutex<Vec<String>>,
    /// Number of requests that read.
    reads: AtomicUsize,
    is_down: AtomicBool,
    /// Whether the system rejects all changes.
    is_read_only: AtomicBool,
}

impl Crm {
    fn set(&self, id: &str, state: &str) {
        let mut records = self.records.lock().unwrap();
        records.get_mut(id).expect("a record")["state"] = state.into();
    }

    fn state(&self, id: &str) -> String {
        let state = self.records.lock().unwrap()[id]["state"].clone();
        state.as_str().expect("a text").to_owned()
    }

    fn patches(&self) -> Vec<String> {
        std::mem::take(&mut *self.patches.lock().unwrap())
    }
}

#[async_trait]
impl HttpClient for Crm {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(HttpError::NotSent("connection refused".into()));
        }
        if request.method == "GET" {
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
        let id = request.url.rsplit('/').next().expect("an id");
        let mut records = self.records.lock().unwrap();
        let Some(record) = records.get_mut(id) else {
            return Ok(HttpResponse::of(404, b"{}"));
        };
        if request.method == "PATCH" && self.is_read_only.load(Ordering::SeqCst) {
            return Ok(HttpResponse::of(422, b"{}"));
        }
        if request.method == "PATCH" {
            let patch: Value = serde_json::from_slice(&request.body).expect("JSON");
            record["state"] = patch["state"].clone();
            self.patches.lock().unwrap().push(id.to_owned());
        }
        Ok(HttpResponse::of(200, record.to_string().as_bytes()))
    }
}

struct Synced {
    desk: TestDesk,
    crm: Arc<Crm>,
}

impl Synced {
    /// Opens a desk with tickets for the given number of records. `more` are further members of the integration.
    async fn open(count: usize, more: &str) -> Self {
        let mut desk = TestDesk::open().await;
        let crm = Arc::new(Crm::default());
        desk.app.http = crm.clone();
        let keys = &desk.app.ledger.keys;
        keys.keep_secret("integration/crm", b"token").await.unwrap();
        let definition = format!(
            "[[integration]]\nname = \"crm\"\nkind = \"generic_json\"\nsenders = [\"bk_log_search\"]\nurl = \"https://crm.example.com/api/tickets\"\nmapping = \"m\"\nreconcile_minutes = 5\n{more}"
        );
        let definitions = Definitions::read(&definition, &|_| Ok(MAPPING.into())).unwrap();
        definitions.store(&desk.app).await.unwrap();
        let records: Vec<Value> = (0..count)
            .map(|number| json!({ "id": format!("CS-{number}"), "title": format!("Case {number}"), "state": "open" }))
            .collect();
        for record in &records {
            let id = record["id"].as_str().expect("an id").to_owned();
            crm.records.lock().unwrap().insert(id, record.clone());
        }
        for batch in records.chunks(100) {
            let body = json!({ "source": "crm", "cases": batch });
            let (status, answer) = desk.v1("POST", "cases", "admin", body).await;
            assert_eq!(status, 200, "{answer}");
        }
        desk.settle().await;
        Self { desk, crm }
    }

    /// Lets the time pass in steps of 15 seconds.
    async fn minutes(&self, minutes: i64) {
        for _ in 0..minutes * 4 {
            self.step().await;
        }
    }

    /// Lets 15 seconds pass.
    async fn step(&self) {
        self.desk.clock.advance(MINUTE_MS / 4);
        self.desk.settle().await;
    }

    /// Sets the end of a shift in half an hour, and a day between the regular comparisons. Lets 20 minutes pass, so that the
    /// last regular comparison is made, and returns the end of the shift.
    async fn set_shift_end(&self) -> Moment {
        let minute = self.now().0 / MINUTE_MS + 31;
        let end = format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        let change = json!({ "reconcile_minutes": 1440, "shift_ends": [end], "zone": "UTC" });
        let path = "integrations/crm";
        let (status, changed) = self.desk.v1("PUT", path, "admin", change).await;
        assert_eq!(status, 200, "{changed}");
        self.desk.settle().await;
        self.minutes(20).await;
        Moment(minute * MINUTE_MS)
    }

    /// Lets the time pass until less than 15 seconds before the given time.
    async fn shortly_before(&self, end: Moment) {
        while self.now().plus_ms(MINUTE_MS / 4) < end {
            self.step().await;
        }
    }

    fn now(&self) -> Moment {
        self.desk.app.ledger.clock.now()
    }

    async fn case(&self, record: &str) -> Value {
        for page in 1..=11 {
            let path = format!("cases?source=crm&page_size=100&page={page}");
            let (_, list) = self.desk.v1("GET", &path, "admin", Value::Null).await;
            let cases = list["cases"].as_array().expect("a list");
            if let Some(case) = cases.iter().find(|case| case["record"] == record) {
                return case.clone();
            }
        }
        panic!("no case {record}")
    }

    async fn ticket(&self, record: &str) -> Value {
        let number = self.case(record).await["ticket"].clone();
        let path = format!("tickets/{}", number.as_str().expect("a number"));
        self.desk.v1("GET", &path, "admin", Value::Null).await.1
    }

    /// Returns the report for the time since `from`.
    async fn report(&self, from: Moment) -> Value {
        let ledger = &self.desk.app.ledger;
        let zone = times::default_zone();
        let report = reports::sync(ledger, (from, self.now()), &zone).await;
        let report = report.unwrap();
        report["sources"]["crm"].clone()
    }
}

#[tokio::test]
async fn the_meter_reports_the_share_of_differing_cases() {
    const CASES: usize = 1_000;
    let synced = Synced::open(CASES, "").await;
    synced.minutes(6).await;
    let mut reported = Vec::new();
    for (injected, expected) in [(0, 0.0), (5, 0.5), (10, 1.0), (20, 2.0)] {
        let from = synced.now();
        for number in 0..injected {
            synced.crm.set(&format!("CS-{number}"), "waiting");
        }
        // One comparison finds the differences, and one more, a minute later, shows that they last.
        synced.minutes(8).await;
        let report = synced.report(from).await;
        let percent = report["error_percent"].as_f64().expect("a number");
        reported.push((expected, percent));
        assert!((percent - expected).abs() <= 0.1, "{expected}: {report}");
        assert_eq!(report["errors"], injected, "{report}");
        assert_eq!(
            (&report["bindings"], &report["unknown"]),
            (&json!(CASES), &json!(0))
        );
        // The records agree again. The report of the whole period still contains the errors.
        for number in 0..injected {
            synced.crm.set(&format!("CS-{number}"), "open");
        }
        synced.minutes(6).await;
        assert_eq!(synced.report(from).await["errors"], injected);
        let later = synced.now();
        synced.minutes(6).await;
        assert_eq!(synced.report(later).await["errors"], 0);
    }
    println!("{CASES} cases, injected and reported percent of differences: {reported:?}");
}

#[tokio::test]
async fn all_cases_are_also_compared_at_the_end_of_a_shift() {
    let synced = Synced::open(3, "").await;
    let end = synced.set_shift_end().await;
    let from = synced.now();
    synced.crm.set("CS-0", "waiting");
    synced.shortly_before(end).await;
    let before = synced.report(from).await;
    assert_eq!(before["unknown"], 3, "no comparison is due: {before}");
    synced.minutes(3).await;
    // The report of the shift contains the comparison at its end.
    let ledger = &synced.desk.app.ledger;
    let zone = times::default_zone();
    let report = reports::sync(ledger, (from, end), &zone).await.unwrap();
    let of_shift = &report["sources"]["crm"];
    assert_eq!(
        (&of_shift["bindings"], &of_shift["unknown"]),
        (&json!(3), &json!(0)),
        "{of_shift}"
    );
    assert_eq!(of_shift["errors"], 1, "{of_shift}");
    assert_eq!(synced.case("CS-0").await["conflict"]["found"], "waiting");
    // The same time on the next day is the end of a shift, too.
    let reads = synced.crm.reads.swap(0, Ordering::SeqCst);
    assert!(reads >= 4, "{reads}");
    synced.desk.clock.advance(23 * 60 * MINUTE_MS);
    synced.desk.settle().await;
    assert_eq!(synced.crm.reads.load(Ordering::SeqCst), 0);
    synced.minutes(61).await;
    assert!(synced.crm.reads.load(Ordering::SeqCst) >= 3);
}

#[tokio::test]
async fn many_cases_at_the_end_of_a_shift_obey_the_limit_of_requests() {
    const CASES: usize = 30;
    const PER_MINUTE: usize = 10;
    let synced = Synced::open(CASES, &format!("per_minute = {PER_MINUTE}")).await;
    let end = synced.set_shift_end().await;
    synced.shortly_before(end).await;
    synced.crm.reads.store(0, Ordering::SeqCst);
    let mut counts = Vec::new();
    for _ in 0..20 {
        synced.step().await;
        counts.push(synced.crm.reads.swap(0, Ordering::SeqCst));
    }
    assert_eq!(counts.iter().sum::<usize>(), CASES, "{counts:?}");
    // Four steps are less than a minute.
    for minute in counts.windows(4) {
        assert!(minute.iter().sum::<usize>() <= PER_MINUTE, "{counts:?}");
    }
    assert!(
        counts[0] > 0,
        "the comparison begins at the end: {counts:?}"
    );
}

#[tokio::test]
async fn an_unreachable_system_is_unknown_and_no_agreement() {
    let synced = Synced::open(5, "").await;
    synced.minutes(6).await;
    synced.crm.is_down.store(true, Ordering::SeqCst);
    synced.minutes(6).await;
    let from = synced.now();
    synced.minutes(30).await;
    let report = synced.report(from).await;
    assert_eq!(
        (&report["unknown"], &report["errors"], &report["bindings"]),
        (&json!(5), &json!(0), &json!(5)),
        "{report}"
    );
    assert_eq!(report["unknown_seconds"], 5 * 30 * 60);
    synced.crm.is_down.store(false, Ordering::SeqCst);
    let from = synced.now();
    synced.minutes(20).await;
    let report = synced.report(from).await;
    assert_eq!(
        (&report["unknown"], &report["errors"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn a_difference_is_repaired_by_the_side_that_decides() {
    let synced = Synced::open(4, "").await;
    synced.minutes(6).await;
    // A message of the CRM about an end was lost: the ticket ends, too.
    synced.crm.set("CS-0", "closed");
    // A write was lost: the desk writes again.
    let number = synced.case("CS-1").await["ticket"].clone();
    synced
        .desk
        .operate(&number, "withdraw", "lisi", json!({ "message": "solved" }))
        .await;
    synced.desk.settle().await;
    assert_eq!(synced.crm.state("CS-1"), "canceled");
    synced.crm.set("CS-1", "open");
    // A person at the CRM set another status, so a person must decide.
    synced.crm.set("CS-2", "waiting");
    synced.crm.patches();
    synced.minutes(12).await;
    assert_eq!(synced.ticket("CS-0").await["current_status"], "TERMINATED");
    assert_eq!(synced.crm.state("CS-0"), "closed");
    let conflict = json!({ "field": "status", "found": "waiting", "wanted": "open" });
    assert_eq!(synced.case("CS-2").await["conflict"], conflict);
    assert_eq!(synced.crm.state("CS-2"), "waiting");
    assert_eq!(synced.ticket("CS-3").await["current_status"], "RUNNING");
    // The case CS-1 had ended and agreed, so it is not compared any more.
    assert_eq!(synced.crm.patches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_write_is_made_again() {
    let synced = Synced::open(2, "").await;
    synced.minutes(6).await;
    let number = synced.case("CS-1").await["ticket"].clone();
    synced.crm.is_read_only.store(true, Ordering::SeqCst);
    synced
        .desk
        .operate(&number, "withdraw", "lisi", json!({ "message": "solved" }))
        .await;
    synced.desk.settle().await;
    let outcome = synced.case("CS-1").await["write_back"]["outcome"].clone();
    assert_eq!(outcome, "failed");
    synced.crm.is_read_only.store(false, Ordering::SeqCst);
    synced.minutes(12).await;
    assert_eq!(synced.crm.state("CS-1"), "canceled");
    assert_eq!(
        synced.case("CS-1").await["write_back"]["outcome"],
        "written"
    );
}

#[tokio::test]
async fn the_desk_overwrites_a_status_if_it_has_the_authority() {
    let synced = Synced::open(1, "status_authority = \"desk\"").await;
    synced.minutes(6).await;
    synced.crm.set("CS-0", "waiting");
    synced.minutes(8).await;
    assert_eq!(synced.crm.state("CS-0"), "open");
    assert_eq!(synced.case("CS-0").await["conflict"], Value::Null);
    // A repair is made at most once in an hour.
    synced.crm.patches();
    synced.crm.set("CS-0", "waiting");
    synced.minutes(30).await;
    assert_eq!(synced.crm.state("CS-0"), "waiting");
    synced.minutes(40).await;
    assert_eq!(synced.crm.state("CS-0"), "open");
}

#[tokio::test]
async fn a_source_that_decides_about_the_status_suspends_and_resumes_the_ticket() {
    let synced = Synced::open(1, "status_authority = \"source\"").await;
    synced.minutes(6).await;
    let status = async || synced.ticket("CS-0").await["current_status"].clone();
    synced.crm.set("CS-0", "waiting");
    synced.minutes(9).await;
    assert_eq!(status().await, "SUSPENDED");
    // A repair is made at most once in an hour.
    synced.crm.set("CS-0", "open");
    synced.minutes(70).await;
    assert_eq!(status().await, "RUNNING");
    assert_eq!(synced.case("CS-0").await["conflict"], Value::Null);
    // A status that means nothing for a ticket is a conflict.
    synced.crm.set("CS-0", "odd");
    synced.minutes(9).await;
    let conflict = json!({ "field": "status", "found": "odd", "wanted": "open" });
    assert_eq!(synced.case("CS-0").await["conflict"], conflict);
    assert_eq!(status().await, "RUNNING");
    assert_eq!(synced.crm.state("CS-0"), "odd");
    assert_eq!(synced.crm.patches(), Vec::<String>::new());
}

#[tokio::test]
async fn integrations_and_application_kinds_are_defined_over_the_api() {
    let synced = Synced::open(1, "").await;
    let desk = &synced.desk;
    let call = async |method: &str, path: &str, user: &str, body: Value| {
        let answer = desk.v1(method, path, user, body).await;
        desk.settle().await;
        answer
    };
    let (status, list) = call("GET", "integrations", "admin", Value::Null).await;
    assert_eq!(
        (status, &list["integrations"][0]["name"]),
        (200, &json!("crm")),
        "{list}"
    );
    assert_eq!(list["integrations"][0]["has_secret"], true);
    let (status, _) = call("GET", "integrations", "lisi", Value::Null).await;
    assert_eq!(status, 403);

    // Members that are not given keep their values, and null removes a member.
    let change =
        json!({ "webhook": "unsigned", "reconcile_minutes": null, "status_authority": "desk" });
    let (status, changed) = call("PUT", "integrations/crm", "admin", change).await;
    assert_eq!(status, 400, "{changed}");
    assert!(
        changed["detail"]
            .as_str()
            .unwrap()
            .contains("the mapping must have `update`"),
        "{changed}"
    );
    let mut mapping = list["integrations"][0]["definition"]["mapping"].clone();
    mapping["update"] = json!({ "counter": "/revision" });
    let change = json!({ "webhook": "unsigned", "reconcile_minutes": null, "mapping": mapping });
    let (status, changed) = call("PUT", "integrations/crm", "admin", change).await;
    assert_eq!(status, 200, "{changed}");
    assert_eq!(
        changed["definition"]["url"],
        "https://crm.example.com/api/tickets"
    );
    assert_eq!(changed["definition"].get("reconcile_minutes"), None);
    assert_eq!(changed["mapping_version"], 2);
    let path = changed["message_path"].as_str().expect("a path");
    assert!(path.starts_with("/callbacks/crm/"), "{path}");
    // The cases are not compared any more.
    synced.crm.set("CS-0", "waiting");
    synced.minutes(12).await;
    assert_eq!(synced.case("CS-0").await["conflict"], Value::Null);

    let itsm = json!({ "kind": "bk_itsm", "url": "https://itsm.example.com", "app": "bk_log", "user": "admin", "carrier": "header" });
    let (status, created) = call("PUT", "integrations/company_itsm", "admin", itsm).await;
    assert_eq!(
        (status, &created["has_secret"]),
        (200, &json!(false)),
        "{created}"
    );
    let kind = json!({ "preset": "log_collection", "integration": "company_itsm", "service": 18 });
    let (status, created) = call("PUT", "application-kinds/collect", "admin", kind).await;
    assert_eq!(status, 200, "{created}");
    assert_eq!(created["definition"]["states"]["applying"], "申请中");
    let (status, changed) = call(
        "PUT",
        "application-kinds/collect",
        "admin",
        json!({ "is_enabled": false }),
    )
    .await;
    assert_eq!(
        (status, &changed["definition"]["is_enabled"]),
        (200, &json!(false))
    );
    let mut before = created["definition"].clone();
    before["is_enabled"] = false.into();
    assert_eq!(changed["definition"], before, "nothing else changed");
    let unknown = json!({ "integration": "nothing" });
    let (status, rejected) = call("PUT", "application-kinds/collect", "admin", unknown).await;
    assert_eq!(status, 400);
    assert!(
        rejected["detail"]
            .as_str()
            .unwrap()
            .contains("integration nothing does not exist")
    );
    for (path, name) in [
        ("integrations", "company_itsm"),
        ("application-kinds", "collect"),
    ] {
        let (status, shown) = call("GET", &format!("{path}/{name}"), "admin", Value::Null).await;
        assert_eq!((status, &shown["name"]), (200, &json!(name)));
        let (status, _) = call("GET", &format!("{path}/nothing"), "admin", Value::Null).await;
        assert_eq!(status, 404);
    }
    let (_, list) = call("GET", "application-kinds", "admin", Value::Null).await;
    assert_eq!(list["application_kinds"][0]["name"], "collect");
}

#[tokio::test]
async fn an_unreadable_case_does_not_stop_the_comparison_of_the_others() {
    let synced = Synced::open(2, "").await;
    // An event version that this version of the program cannot read, in a case that is compared first.
    let body = br#"{"meta":{"actor":"system","channel":"system","correlation":"c","causation":"c"},"events":[{"type":"case.received","version":9,"data":{}}]}"#;
    let app = &synced.desk.app;
    let commit = following("case-POISON", None, 1, 1, body);
    app.ledger.store.append(commit).await.expect("stored");
    let document = Document {
        sequence: 1,
        body: b"{}".to_vec(),
    };
    let rows = [("binding", "crm|A".to_owned())];
    let put = app.views.put("case", "case-POISON", &document, &rows, 0);
    assert!(put.await.expect("stored"));
    synced.minutes(6).await;
    synced.crm.set("CS-0", "waiting");
    synced.minutes(8).await;
    assert_eq!(synced.case("CS-0").await["conflict"]["found"], "waiting");
}
