//! These tests check applications: requests for approval that the desk sends to an external ITSM. The
//! desk gets the decision from a callback or by polling, and must handle every fault of the external ITSM
//! (requirements/external-itsm.md; reference/bk-itsm.md, section 10).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::http::{Request, StatusCode};
use functions::app::itsm::callbacks;
use functions::app::itsm::integrations::Definitions;
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use crate::TestDesk;

const INTEGRATIONS: &str = r#"
    [[integration]]
    name = "company_itsm"
    kind = "bk_itsm"
    url = "http://itsm.example.com"
    app = "bk_log"
    user = "admin"

    [[application_kind]]
    name = "log_collection"
    integration = "company_itsm"
    service = 18
    fields = { title = "${ticket_title}", reason = "from ${ticket_sn}" }
    granted = { approval_result = "true" }
    days = 14
"#;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A fault that occurs in one request to the external ITSM.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// No fault occurs.
    Passes,
    /// No connection to the external ITSM is possible, so the request is not sent.
    NotSent,
    /// The request is sent and lost. The external ITSM does not execute it, and no response arrives.
    LostRequest,
    /// The external ITSM executes the request, but no response arrives.
    LostResponse,
    /// The external ITSM responds with an HTML page instead of JSON.
    Html,
    /// The external ITSM responds with a JSON object whose member `result` is false.
    Rejected,
    /// A gateway before the external ITSM responds with an error in a JSON object. The request is not executed.
    Failed,
    /// The external ITSM executes the request, but a gateway responds as in `Failed`.
    FailedAfter,
}

struct Ticket {
    mark: String,
    status: &'static str,
    approval: &'static str,
}

/// A simulated external ITSM, which keeps its tickets in memory.
#[derive(Default)]
pub(crate) struct External {
    /// The services that a search finds.
    pub(crate) services: Mutex<Value>,
    tickets: Mutex<BTreeMap<String, Ticket>>,
    faults: Mutex<VecDeque<Fault>>,
    /// Names of the operations of all requests that arrived, in order.
    calls: Mutex<Vec<String>>,
    callback_urls: Mutex<Vec<String>>,
    pub(crate) bodies: Mutex<Vec<Value>>,
    /// The numbers of tickets in each request about several tickets.
    pub(crate) asked: Mutex<Vec<usize>>,
    /// The tickets about which a callback of the external ITSM failed.
    pub(crate) failed_callbacks: Mutex<Vec<String>>,
    /// Whether a search ignores the tag, and returns all tickets.
    ignores_tags: AtomicBool,
    /// The operations for which the account of the desk has no right. The response always has the status 403.
    pub(crate) forbidden: Mutex<Vec<&'static str>>,
    /// The tag that a read of a ticket shows.
    pub(crate) shown_tag: Mutex<Option<&'static str>>,
}

impl External {
    fn operation(&self, operation: &str, request: &HttpRequest) -> Value {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut tickets = self.tickets.lock().unwrap();
        match operation {
            "create_ticket" => {
                let sn = format!("REQ{:03}", tickets.len() + 1);
                let mark = body["tag"].as_str().expect("a mark").to_owned();
                let url = body["meta"]["callback_url"].as_str().expect("a URL");
                self.callback_urls.lock().unwrap().push(url.to_owned());
                self.bodies.lock().unwrap().push(body.clone());
                let (status, approval) = ("RUNNING", "");
                tickets.insert(
                    sn.clone(),
                    Ticket {
                        mark,
                        status,
                        approval,
                    },
                );
                json!({ "sn": sn, "id": tickets.len() })
            }
            "get_tickets" => {
                let ignores_tags = self.ignores_tags.load(Ordering::SeqCst);
                let found = tickets
                    .iter()
                    .filter(|(_, ticket)| ignores_tags || ticket.mark == body["tag"]);
                let items: Vec<Value> = found.map(|(sn, _)| json!({ "sn": sn })).collect();
                json!({ "items": items, "count": items.len() })
            }
            "operate_ticket" => {
                let sn = body["sn"].as_str().expect("a number");
                let ticket = tickets.get_mut(sn).expect("a ticket");
                assert_eq!(
                    (&body["action_type"], &body["operator"]),
                    (&json!("WITHDRAW"), &json!("lisi"))
                );
                ticket.status = "REVOKED";
                json!([])
            }
            "get_services" => self.services.lock().unwrap().clone(),
            "token/verify" => json!({ "is_passed": body["token"] == "issued" }),
            "ticket_approval_result" => {
                let asked = body["sn"].as_array().expect("numbers").iter();
                let numbers: Vec<&str> = asked.map(|sn| sn.as_str().expect("a text")).collect();
                self.asked.lock().unwrap().push(numbers.len());
                let known = tickets
                    .iter()
                    .filter(|(sn, _)| numbers.contains(&sn.as_str()));
                known
                    .map(|(sn, ticket)| {
                        let is_granted = ticket.status == "FINISHED" && ticket.approval == "true";
                        json!({ "sn": sn, "current_status": ticket.status, "approve_result": is_granted })
                    })
                    .collect()
            }
            "callback_failed_ticket" => json!(*self.failed_callbacks.lock().unwrap()),
            "get_ticket_info" => {
                let (_, sn) = request.url.split_once("?sn=").expect("a number");
                let ticket = &tickets[sn];
                json!({ "sn": sn, "current_status": ticket.status,
                        "tag": *self.shown_tag.lock().unwrap(),
                        "ticket_url": format!("https://itsm.example.com/#/ticket/{sn}"),
                        "iframe_ticket_url": format!("https://itsm.example.com/#/iframe/{sn}"),
                        "fields": [{ "key": "approval_result", "value": ticket.approval }] })
            }
            other => panic!("unexpected operation {other}"),
        }
    }

    pub(crate) fn fail(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }

    pub(crate) fn clear_faults(&self) {
        self.faults.lock().unwrap().clear();
    }

    pub(crate) fn decide(&self, sn: &str, status: &'static str, approval: &'static str) {
        let mut tickets = self.tickets.lock().unwrap();
        let ticket = tickets.get_mut(sn).expect("a ticket");
        (ticket.status, ticket.approval) = (status, approval);
    }

    pub(crate) fn status(&self, sn: &str) -> &'static str {
        self.tickets.lock().unwrap()[sn].status
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    pub(crate) fn count(&self) -> usize {
        self.tickets.lock().unwrap().len()
    }

    /// Returns the path of the callback URL that the newest ticket of the external ITSM contains.
    pub(crate) fn callback_path(&self) -> String {
        let urls = self.callback_urls.lock().unwrap();
        let url = urls.last().expect("a callback URL");
        url[url.find("/callbacks/").expect("a path")..].to_owned()
    }
}

#[async_trait]
impl HttpClient for External {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        let (_, path) = request.url.split_once("/v2/itsm/").expect("a path");
        let operation = path.split("/?").next().unwrap().trim_end_matches('/');
        self.calls.lock().unwrap().push(operation.to_owned());
        if self.forbidden.lock().unwrap().contains(&operation) {
            return Ok(HttpResponse::of(403, b"Forbidden"));
        }
        let fault = self.faults.lock().unwrap().pop_front();
        let data = || json!({ "result": true, "code": 0, "message": "success", "data": self.operation(operation, request) });
        let failed = || {
            json!({ "result": false, "code": 1_306_201, "message": "timed out", "data": null })
                .to_string()
        };
        let text = match fault {
            Some(Fault::Failed) => failed(),
            Some(Fault::FailedAfter) => {
                data();
                failed()
            }
            Some(Fault::NotSent) => return Err(HttpError::NotSent("connection refused".into())),
            Some(Fault::LostRequest) => return Err(HttpError::Unknown("timeout".into())),
            Some(Fault::LostResponse) => {
                data();
                return Err(HttpError::Unknown("timeout".into()));
            }
            Some(Fault::Html) => "<html>login</html>".to_owned(),
            Some(Fault::Rejected) => {
                json!({ "result": false, "code": "3900005", "message": "no such service", "data": null }).to_string()
            }
            Some(Fault::Passes) | None => data().to_string(),
        };
        Ok(HttpResponse::of(200, text.as_bytes()))
    }
}

pub(crate) struct Applied {
    pub(crate) desk: TestDesk,
    pub(crate) external: Arc<External>,
    service: Value,
}

impl Applied {
    pub(crate) async fn open() -> Self {
        let mut desk = TestDesk::open().await;
        let external = Arc::new(External::default());
        desk.app.http = external.clone();
        define(&desk, INTEGRATIONS).await;
        let keys = &desk.app.ledger.keys;
        keys.keep_secret("integration/company_itsm", b"s3cret")
            .await
            .unwrap();
        let definition = json!({
            "name": "日志采集申请",
            "nodes": [
                { "id": 1, "name": "开始", "kind": "START" },
                { "id": 2, "name": "提单", "kind": "NORMAL", "processors": { "type": "OPEN" }, "fields": ["title"] },
                { "id": 3, "name": "申请容量", "kind": "TASK", "processors": { "type": "PERSON", "who": ["admin"] },
                  "service_task": { "does": "application", "kind": "log_collection", "fields": [{ "key": "days", "value": "7" }] } },
                { "id": 9, "name": "结束", "kind": "END" },
            ],
            "transitions": [{ "id": 1, "from": 1, "to": 2 }, { "id": 2, "from": 2, "to": 3 }, { "id": 3, "from": 3, "to": 9 }],
            "fields": [{ "id": 1, "key": "title", "type": "STRING", "name": "标题", "is_required": true }],
        });
        let service = json!({ "name": "日志采集" });
        let service = desk.publish(definition, service).await;
        Self {
            desk,
            external,
            service,
        }
    }

    async fn submit(&self) -> Value {
        let body = json!({ "service_id": self.service, "fields": { "title": "采集" } });
        let (status, opened) = self.desk.v1("POST", "tickets", "lisi", body).await;
        assert_eq!(status, 201, "{opened}");
        self.desk.settle().await;
        opened["sn"].clone()
    }

    pub(crate) async fn after(&self, ms: i64) {
        self.desk.clock.advance(ms);
        self.desk.settle().await;
    }

    /// Sends a callback to the given URL path of the desk. Returns the status of the response.
    pub(crate) async fn callback(&self, path: &str, body: &Value) -> StatusCode {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .unwrap();
        let (status, _) = self.desk.send(request).await;
        self.desk.settle().await;
        status
    }

    /// Returns node 3 of a ticket, which is an automatic node, and all applications (requests for
    /// approval) of the desk.
    async fn state(&self, sn: &Value) -> (Value, Vec<Value>) {
        let path = format!("tickets/{}", sn.as_str().unwrap());
        let (_, shown) = self.desk.v1("GET", &path, "admin", Value::Null).await;
        let nodes = shown["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["node"] == 3).unwrap().clone();
        let (_, listed) = self
            .desk
            .v1("GET", "applications", "admin", Value::Null)
            .await;
        let applications = listed["applications"].as_array().unwrap().clone();
        if let Some(first) = applications.first() {
            let path = format!("applications/{}", first["id"].as_str().unwrap());
            let (status, shown) = self.desk.v1("GET", &path, "admin", Value::Null).await;
            assert_eq!((status, &shown["id"]), (200, &first["id"]));
        }
        (node, applications)
    }

    async fn result(&self, sn: &Value) -> String {
        let (node, applications) = self.state(sn).await;
        let outcome = &applications[0]["outcome"];
        if outcome.is_null() {
            return format!("{} at {}", applications[0]["step"], node["status"]);
        }
        let result = &outcome["outputs"]["application_result_3"];
        let result = result.as_str().or(outcome["reason"].as_str()).unwrap();
        format!("{result} at {}", node["status"])
    }
}

pub(crate) async fn define(desk: &TestDesk, text: &str) {
    let definitions = Definitions::read(text, &|_| Err("no mapping".into())).unwrap();
    definitions.store(&desk.app).await.unwrap();
    desk.followed().await;
}

pub(crate) fn message(sn: &str, token: &str) -> Value {
    json!({ "sn": sn, "title": "采集", "ticket_url": "u", "current_status": "FINISHED", "updated_by": "admin",
            "update_at": "2026-11-28 10:00:00", "approve_result": true, "token": token })
}

#[tokio::test]
async fn a_verified_callback_leads_to_a_read_and_a_decision() {
    let desk = Applied::open().await;
    let sn = desk.submit().await;
    assert_eq!(desk.external.calls(), ["create_ticket"]);
    let sent = desk.external.bodies.lock().unwrap()[0].clone();
    assert_eq!(
        (&sent["service_id"], &sent["creator"]),
        (&json!(18), &json!("lisi"))
    );
    let from = format!("from {}", sn.as_str().unwrap());
    let expected = [("title", "采集"), ("reason", from.as_str()), ("days", "7")];
    for (key, value) in expected {
        let field = json!({ "key": key, "value": value });
        assert!(
            sent["fields"].as_array().unwrap().contains(&field),
            "{key}: {sent}"
        );
    }
    desk.external.decide("REQ001", "FINISHED", "true");
    let path = desk.external.callback_path();
    assert_eq!(
        desk.callback(&path, &message("REQ001", "issued")).await,
        StatusCode::OK
    );
    assert_eq!(desk.external.calls(), ["token/verify", "get_ticket_info"]);
    assert_eq!(desk.result(&sn).await, "granted at \"FINISHED\"");
}

#[tokio::test]
async fn polling_finds_the_decision_if_the_callback_never_comes() {
    let desk = Applied::open().await;
    let sn = desk.submit().await;
    desk.external.calls();
    for pause in [1, 1, 2, 4, 5, 5] {
        desk.after(pause * MINUTE_MS - 1).await;
        assert!(
            desk.external.calls().is_empty(),
            "no read before the end of the pause"
        );
        desk.after(1).await;
        assert_eq!(desk.external.calls(), ["get_ticket_info"]);
    }
    desk.external.decide("REQ001", "FINISHED", "false");
    desk.after(5 * MINUTE_MS).await;
    assert_eq!(desk.result(&sn).await, "refused at \"FINISHED\"");
    desk.external.calls();
    desk.after(30 * DAY_MS).await;
    assert!(
        desk.external.calls().is_empty(),
        "a decided application is not read again"
    );
}

#[tokio::test]
async fn a_forged_callback_changes_nothing_and_polling_continues() {
    let desk = Applied::open().await;
    let sn = desk.submit().await;
    desk.external.calls();
    let path = desk.external.callback_path();
    let head = desk.desk.head().await;
    for wrong in [
        format!("{}0", &path[..path.len() - 1]),
        format!("{}1", &path[..path.len() - 1]),
        "/callbacks/bk-itsm/x".to_owned(),
        path.replace("bk-itsm", "jira"),
    ] {
        if wrong != path {
            let status = desk.callback(&wrong, &message("REQ001", "issued")).await;
            assert!(status.is_client_error(), "{wrong}: {status}");
        }
    }
    assert_eq!(desk.desk.head().await, head, "a stranger adds no commit");
    // The URL path of this callback contains the correct secret, but the external ITSM did not issue the
    // token in the body. The desk must let the external ITSM check the token and must ignore the callback.
    desk.callback(&path, &message("REQ001", "forged")).await;
    assert_eq!(desk.external.calls(), ["token/verify"]);
    assert_eq!(desk.result(&sn).await, "\"poll\" at \"RUNNING\"");
    // The token of this callback is valid. The desk still reads the ticket from the external ITSM,
    // because it does not trust the content of a callback. The ticket is not decided yet, so the node
    // keeps waiting.
    desk.callback(&path, &message("REQ001", "issued")).await;
    assert_eq!(desk.external.calls(), ["token/verify", "get_ticket_info"]);
    assert_eq!(desk.result(&sn).await, "\"poll\" at \"RUNNING\"");
    // This callback does not contain a required member. The desk must store the callback and reject the
    // request with status 400.
    let head = desk.desk.head().await;
    let incomplete = json!({ "sn": "REQ001", "current_status": "FINISHED" });
    assert_eq!(
        desk.callback(&path, &incomplete).await,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        (desk.desk.head().await, desk.external.calls()),
        (head + 1, Vec::new())
    );
    desk.external.decide("REQ001", "FINISHED", "true");
    desk.after(5 * MINUTE_MS).await;
    assert_eq!(desk.result(&sn).await, "granted at \"FINISHED\"");
}

#[tokio::test]
async fn a_repeated_callback_is_handled_once() {
    let desk = Applied::open().await;
    let sn = desk.submit().await;
    desk.external.decide("REQ001", "FINISHED", "true");
    let path = desk.external.callback_path();
    desk.callback(&path, &message("REQ001", "issued")).await;
    let head = desk.desk.head().await;
    for _ in 0..10 {
        assert_eq!(
            desk.callback(&path, &message("REQ001", "issued")).await,
            StatusCode::OK
        );
    }
    assert_eq!(desk.desk.head().await, head);
    // The application (the request for approval) is already decided. The desk stores another callback and
    // must not change the decision.
    desk.external.calls();
    desk.callback(&path, &message("REQ999", "issued")).await;
    assert!(desk.external.calls().is_empty());
    assert_eq!(desk.result(&sn).await, "granted at \"FINISHED\"");
}

#[tokio::test]
async fn a_lost_answer_of_the_creation_makes_one_ticket() {
    for (faults, calls) in [
        (
            vec![Fault::LostResponse],
            vec!["create_ticket", "get_tickets", "get_tickets"],
        ),
        (
            vec![Fault::LostRequest],
            vec!["create_ticket", "get_tickets", "create_ticket"],
        ),
        (
            vec![Fault::Html],
            vec!["create_ticket", "get_tickets", "create_ticket"],
        ),
        (vec![Fault::NotSent], vec!["create_ticket", "create_ticket"]),
        (
            vec![Fault::LostResponse, Fault::LostRequest],
            vec!["create_ticket", "get_tickets", "get_tickets", "get_tickets"],
        ),
        (
            vec![Fault::LostResponse, Fault::Html],
            vec!["create_ticket", "get_tickets", "get_tickets", "get_tickets"],
        ),
    ] {
        let desk = Applied::open().await;
        desk.external.fail(&faults);
        let sn = desk.submit().await;
        desk.after(30_000).await;
        desk.after(30_000).await;
        assert_eq!(desk.external.calls(), calls, "{faults:?}");
        assert_eq!(desk.external.count(), 1, "{faults:?}");
        desk.external.decide("REQ001", "FINISHED", "true");
        desk.after(5 * MINUTE_MS).await;
        assert_eq!(
            desk.result(&sn).await,
            "granted at \"FINISHED\"",
            "{faults:?}"
        );
    }
}

#[tokio::test]
async fn a_rejected_creation_fails_the_node_and_a_person_can_retry() {
    let desk = Applied::open().await;
    desk.external.fail(&[Fault::Rejected]);
    let sn = desk.submit().await;
    assert_eq!(
        desk.result(&sn).await,
        "3900005: no such service at \"FAILED\""
    );
    desk.desk
        .operate(&sn, "retry", "admin", json!({ "node": 3 }))
        .await;
    desk.desk.settle().await;
    assert_eq!(desk.external.count(), 1);
    desk.external.decide("REQ001", "FINISHED", "true");
    desk.after(MINUTE_MS).await;
    let (node, applications) = desk.state(&sn).await;
    assert_eq!(
        (&node["status"], applications.len()),
        (&json!("FINISHED"), 2)
    );
}

#[tokio::test]
async fn a_suspended_ticket_is_undecided_and_a_revoked_one_is_refused() {
    let desk = Applied::open().await;
    let sn = desk.submit().await;
    desk.external.decide("REQ001", "SUSPENDED", "true");
    desk.after(MINUTE_MS).await;
    assert_eq!(desk.result(&sn).await, "\"poll\" at \"RUNNING\"");
    desk.external.decide("REQ001", "REVOKED", "true");
    desk.after(5 * MINUTE_MS).await;
    assert_eq!(desk.result(&sn).await, "refused at \"FINISHED\"");
}

#[tokio::test]
async fn an_application_without_a_decision_expires() {
    let desk = Applied::open().await;
    desk.external.fail(&[Fault::LostResponse]);
    let sn = desk.submit().await;
    // From this point on, all requests to the external ITSM are lost. The application (the request for
    // approval) must expire after 14 days.
    for _ in 0..2_000 {
        desk.external.fail(&[Fault::LostRequest]);
    }
    desk.after(14 * DAY_MS - 1).await;
    assert_eq!(desk.result(&sn).await, "\"find\" at \"RUNNING\"");
    desk.after(1).await;
    assert_eq!(
        desk.result(&sn).await,
        "no decision became known before the application expired at \"FAILED\""
    );
}

#[tokio::test]
async fn a_missing_or_disabled_kind_is_rejected_by_name() {
    let desk = Applied::open().await;
    define(
        &desk.desk,
        &INTEGRATIONS.replace("days = 14", "days = 14\nis_enabled = false"),
    )
    .await;
    let sn = desk.submit().await;
    assert_eq!(
        desk.result(&sn).await,
        "application kind log_collection is switched off at \"FAILED\""
    );
    assert!(desk.external.calls().is_empty());
    define(&desk.desk, INTEGRATIONS).await;
    desk.desk
        .app
        .ledger
        .keys
        .remove_secret("integration/company_itsm")
        .await
        .unwrap();
    let sn = desk.submit().await;
    let result = desk.result(&sn).await;
    assert!(
        result.contains("--secret integration/company_itsm=FILE"),
        "{result}"
    );
}

#[tokio::test]
async fn a_callback_before_the_number_is_known_is_verified_later() {
    let desk = Applied::open().await;
    desk.external.fail(&[Fault::LostResponse]);
    let sn = desk.submit().await;
    desk.external.decide("REQ001", "FINISHED", "true");
    let path = desk.external.callback_path();
    desk.callback(&path, &message("REQ001", "issued")).await;
    assert_eq!(desk.external.calls(), ["create_ticket"]);
    desk.after(30_000).await;
    assert_eq!(
        desk.external.calls(),
        [
            "get_tickets",
            "get_tickets",
            "token/verify",
            "get_ticket_info"
        ]
    );
    assert_eq!(desk.result(&sn).await, "granted at \"FINISHED\"");
}

/// A ticket that ends withdraws its ticket at the external ITSM at once, and not only at the next read.
#[tokio::test]
async fn a_ticket_that_ends_withdraws_its_application() {
    for status in ["TERMINATED", "FINISHED"] {
        let desk = Applied::open().await;
        let sn = desk.submit().await;
        desk.desk
            .operate(&sn, "close", "admin", json!({ "status": status }))
            .await;
        desk.external.calls();
        desk.desk.settle().await;
        assert_eq!(desk.external.calls(), ["operate_ticket"], "{status}");
        assert_eq!(desk.external.status("REQ001"), "REVOKED");
        let (_, applications) = desk.state(&sn).await;
        assert_eq!(applications[0]["is_closed"], true, "{applications:?}");
        let reason = applications[0]["withdrawal"].as_str().expect("a reason");
        assert!(reason.starts_with("the ticket "), "{reason}");
        desk.after(DAY_MS).await;
        assert!(desk.external.calls().is_empty());
    }
}

/// If the external ITSM does not respond to the creation, its ticket is found before it is withdrawn.
#[tokio::test]
async fn a_ticket_that_ends_withdraws_an_application_whose_number_is_unknown() {
    let desk = Applied::open().await;
    desk.external.fail(&[Fault::LostResponse]);
    let sn = desk.submit().await;
    desk.desk
        .operate(&sn, "close", "admin", json!({ "status": "TERMINATED" }))
        .await;
    desk.desk.settle().await;
    assert_eq!(desk.external.status("REQ001"), "RUNNING");
    desk.after(30_000).await;
    assert_eq!(desk.external.status("REQ001"), "REVOKED");
    let (_, applications) = desk.state(&sn).await;
    assert_eq!(applications[0]["is_closed"], true, "{applications:?}");
    assert_eq!(desk.external.count(), 1);
}

/// The first withdrawal had an effect, but its response was lost. The external ITSM rejects the second withdrawal.
#[tokio::test]
async fn a_rejected_withdrawal_is_followed_by_a_read_and_not_by_a_loop() {
    let desk = Applied::open().await;
    let sn = desk.submit().await;
    desk.external.calls();
    desk.external.fail(&[Fault::LostResponse, Fault::Rejected]);
    desk.desk
        .operate(
            &sn,
            "close",
            "admin",
            json!({ "status": "TERMINATED", "message": "over" }),
        )
        .await;
    desk.desk.settle().await;
    desk.after(3_000).await;
    assert_eq!(
        desk.external.calls(),
        ["operate_ticket", "operate_ticket", "get_ticket_info"]
    );
    let (_, applications) = desk.state(&sn).await;
    assert_eq!(applications[0]["status"], "withdrawn", "{applications:?}");

    // The external ITSM rejects the withdrawal of a ticket that has not ended.
    let sn = desk.submit().await;
    desk.external.calls();
    desk.external.fail(&[Fault::Rejected]);
    desk.desk
        .operate(
            &sn,
            "close",
            "admin",
            json!({ "status": "TERMINATED", "message": "over" }),
        )
        .await;
    desk.desk.settle().await;
    assert_eq!(desk.external.calls(), ["operate_ticket", "get_ticket_info"]);
    desk.after(2 * MINUTE_MS - 1).await;
    assert!(
        desk.external.calls().is_empty(),
        "the next withdrawal waits"
    );
    desk.after(1).await;
    assert_eq!(desk.external.calls(), ["operate_ticket"]);
    assert_eq!(desk.external.status("REQ002"), "REVOKED");
}

/// A superuser withdraws an application. Its node then fails, and a person continues.
#[tokio::test]
async fn a_superuser_withdraws_an_application() {
    let desk = Applied::open().await;
    let sn = desk.submit().await;
    let (_, applications) = desk.state(&sn).await;
    let id = applications[0]["id"].as_str().expect("an id");
    let path = format!("applications/{id}/withdraw");
    let reason = json!({ "reason": "wrong size" });
    let v1 = async |user: &str| desk.desk.v1("POST", &path, user, reason.clone()).await;
    assert_eq!(v1("lisi").await.0, 403);
    let (status, shown) = v1("admin").await;
    assert_eq!(
        (status, &shown["step"]),
        (200, &json!("withdraw")),
        "{shown}"
    );
    desk.desk.settle().await;
    assert_eq!(desk.external.status("REQ001"), "REVOKED");
    assert_eq!(desk.result(&sn).await, "wrong size at \"FAILED\"");
    assert_eq!(v1("admin").await.0, 409, "the application has ended");
    desk.desk
        .operate(&sn, "retry", "admin", json!({ "node": 3 }))
        .await;
    desk.desk.settle().await;
    assert_eq!(desk.external.count(), 2, "a person applied again");
}

/// An external ITSM that ignores the filter by tag returns tickets of other requests. The desk uses none of them,
/// and creates no second ticket.
#[tokio::test]
async fn a_search_that_ignores_the_tag_decides_nothing() {
    let desk = Applied::open().await;
    desk.external.ignores_tags.store(true, Ordering::SeqCst);
    desk.submit().await;
    assert_eq!(desk.external.count(), 1);
    desk.external.fail(&[Fault::LostRequest]);
    let sn = desk.submit().await;
    desk.after(30_000).await;
    desk.after(5 * MINUTE_MS).await;
    assert_eq!(desk.external.count(), 1, "no ticket is created again");
    let (_, applications) = desk.state(&sn).await;
    let waiting = applications
        .iter()
        .find(|one| matches!(one["step"].as_str(), Some("find" | "probe")));
    let waiting = waiting.expect("the application waits for a search that can be used");
    assert_eq!(waiting["external"], "");
    desk.external.ignores_tags.store(false, Ordering::SeqCst);
    desk.after(5 * MINUTE_MS).await;
    assert_eq!(
        desk.external.count(),
        2,
        "the search shows that no ticket exists"
    );
}

/// Callbacks with an invalid token do not postpone the regular reads of the external ticket.
#[tokio::test]
async fn many_invalid_callbacks_postpone_no_read() {
    let desk = Applied::open().await;
    let sn = desk.submit().await;
    let path = desk.external.callback_path();
    desk.external.decide("REQ001", "FINISHED", "true");
    for number in 0..3 {
        let token = format!("forged-{number}");
        desk.callback(&path, &message("REQ001", &token)).await;
        desk.after(19_000).await;
    }
    assert_eq!(desk.result(&sn).await, "\"poll\" at \"RUNNING\"");
    desk.after(3_000).await;
    assert_eq!(desk.result(&sn).await, "granted at \"FINISHED\"");
}

/// If the external ITSM cannot check the token of a callback, the regular reads continue.
#[tokio::test]
async fn an_unreadable_check_of_a_token_stops_no_polling() {
    let desk = Applied::open().await;
    let sn = desk.submit().await;
    let path = desk.external.callback_path();
    desk.external.decide("REQ001", "FINISHED", "true");
    desk.external.fail(&[Fault::Html]);
    desk.callback(&path, &message("REQ001", "issued")).await;
    desk.after(MINUTE_MS).await;
    assert_eq!(desk.result(&sn).await, "granted at \"FINISHED\"");
}

#[tokio::test]
async fn refilled_views_request_no_application_again() {
    let desk = Applied::open().await;
    let sn = desk.submit().await;
    desk.external.decide("REQ001", "FINISHED", "true");
    let path = desk.external.callback_path();
    desk.callback(&path, &message("REQ001", "issued")).await;
    assert_eq!(desk.result(&sn).await, "granted at \"FINISHED\"");
    desk.external.calls();
    let head = desk.desk.head().await;
    let external = desk.external.clone();
    let mut desk = desk.desk.restart_without_views().await;
    desk.app.http = external.clone();
    desk.settle().await;
    assert!(external.calls().is_empty());
    assert_eq!(desk.head().await, head);
}

#[tokio::test]
async fn no_event_contains_a_secret_of_an_application() {
    let desk = Applied::open().await;
    desk.submit().await;
    let path = desk.external.callback_path();
    desk.callback(&path, &message("REQ001", "a-token-of-the-other-side"))
        .await;
    let secret = path.rsplit('/').next().unwrap();
    let key = desk.desk.app.token_keys().await.unwrap().newest;
    assert!(callbacks::application_of(&key, secret).is_some());
    let feed = desk.desk.app.ledger.store.feed(0, 10_000).await.unwrap();
    for placed in feed {
        let body = String::from_utf8_lossy(&placed.commit.body).into_owned();
        for hidden in [&secret[32..], "a-token-of-the-other-side", "s3cret"] {
            assert!(!body.contains(hidden), "{}: {hidden}", placed.commit.stream);
        }
    }
}

#[tokio::test]
async fn a_callback_address_stays_valid_after_one_rotation_of_the_key() {
    let desk = Applied::open().await;
    let sn = desk.submit().await;
    let path = desk.external.callback_path();
    let rotate = async || {
        let meta = events::Meta::system("test", "test");
        desk.desk
            .app
            .rotate_token_key(meta)
            .await
            .expect("a new key")
    };
    rotate().await;
    desk.external.decide("REQ001", "FINISHED", "true");
    let sent = desk.callback(&path, &message("REQ001", "issued")).await;
    assert_eq!(sent, StatusCode::OK);
    assert_eq!(desk.result(&sn).await, "granted at \"FINISHED\"");
    rotate().await;
    let sent = desk.callback(&path, &message("REQ001", "issued")).await;
    assert_eq!(sent, StatusCode::FORBIDDEN);
}
