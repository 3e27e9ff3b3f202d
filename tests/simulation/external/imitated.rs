//! The imitated external systems of the simulation: a BlueKing ITSM, and a source of cases with a REST API. Each request can
//! have a fault.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use domain::value::plain;
use events::Moment;
use functions::app::itsm::applications;
use infra::clock::{Clock as _, ManualClock};
use infra::http::{HttpClient, HttpError, HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::{RECORDS, REQUEST_MS, TIMEOUT_MS};
use crate::scheduler::Dice;

/// A fault of one request to an external system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection is possible, so the request is not sent.
    NotSent,
    /// The request is not executed, and no response arrives.
    LostRequest,
    /// The request is executed, and no response arrives in time.
    LostResponse,
    ErrorBefore,
    ErrorAfter,
    /// The status is 429, with the header `Retry-After`.
    Limited,
    /// The request is executed, and the JSON of the response ends too early.
    Truncated,
    /// A proxy responds with the HTML page of a login. The request is not executed.
    LoginPage,
    /// The request is executed, and the body of the response is too long.
    TooLong,
    /// The response is valid JSON, but its data has a wrong type.
    WrongType,
    /// The code in a successful response is a text instead of a number.
    TextCode,
    /// The request is executed, and a gateway responds with the status 200 and an error in JSON.
    ErrorInBody,
}

/// The name of the fault that is permanent in some runs: the account has no right for the operations in
/// [`FORBIDDEN_OPERATIONS`].
const FORBIDDEN: &str = "Forbidden";
/// The operations without which each decision is still found.
const FORBIDDEN_OPERATIONS: [&str; 2] = ["ticket_approval_result", "callback_failed_ticket"];
/// The operations with the fewest calls.
const RARE: [&str; 2] = ["callback_failed_ticket", "ticket_approval_result"];
/// Maximum number of faults of the operations [`RARE`] in one run.
pub(super) const RARE_FAULTS: usize = 4;
/// All operations of the imitated external systems.
const OPERATIONS: [&str; 10] = [
    "create_ticket",
    "get_tickets",
    "operate_ticket",
    "get_services",
    "token/verify",
    "ticket_approval_result",
    "callback_failed_ticket",
    "get_ticket_info",
    "read_record",
    "write_record",
];

/// Returns the names of all pairs of an operation and a fault.
pub(super) fn all_faults() -> impl Iterator<Item = String> {
    let forbidden = FORBIDDEN_OPERATIONS.map(|operation| format!("{operation} {FORBIDDEN}"));
    let pairs = OPERATIONS.iter().flat_map(|operation| {
        FAULTS
            .iter()
            .map(move |fault| format!("{operation} {fault:?}"))
    });
    pairs.chain(forbidden)
}

pub(super) const FAULTS: [Fault; 12] = [
    Fault::NotSent,
    Fault::LostRequest,
    Fault::LostResponse,
    Fault::ErrorBefore,
    Fault::ErrorAfter,
    Fault::Limited,
    Fault::Truncated,
    Fault::LoginPage,
    Fault::TooLong,
    Fault::WrongType,
    Fault::TextCode,
    Fault::ErrorInBody,
];

/// The decision of the external ITSM about one application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Granted,
    Refused,
    /// A person of the external ITSM revokes the ticket.
    Revoked,
    /// The external ITSM never decides.
    Never,
}

/// A ticket of the external ITSM.
#[derive(Clone, Debug)]
pub(super) struct ExternalTicket {
    pub(super) sn: String,
    pub(super) mark: String,
    pub(super) item: usize,
    pub(super) callback_url: String,
    pub(super) fate: Fate,
    pub(super) decided_at: Moment,
    pub(super) is_withdrawn: bool,
}

impl ExternalTicket {
    /// Returns the status of the ticket and the value of its field `approval_result`.
    pub(super) fn status(&self, now: Moment) -> (&'static str, &'static str) {
        match self.fate {
            _ if self.is_withdrawn => ("REVOKED", ""),
            Fate::Never => ("RUNNING", ""),
            _ if now < self.decided_at => ("RUNNING", ""),
            Fate::Granted => ("FINISHED", "true"),
            Fate::Refused => ("FINISHED", "false"),
            Fate::Revoked => ("REVOKED", "true"),
        }
    }
}

/// The imitated external systems: a BlueKing ITSM, and a source of cases with a REST API.
pub(super) struct External {
    pub(super) clock: Arc<ManualClock>,
    pub(super) state: Mutex<ExternalState>,
}

pub(super) struct ExternalState {
    pub(super) dice: Dice,
    /// Probability of a fault in one request, in percent.
    pub(super) faults: usize,
    pub(super) faults_left: usize,
    pub(super) rare_faults_left: usize,
    /// Whether the account of the desk has no right for the operations in [`FORBIDDEN_OPERATIONS`].
    pub(super) forbids: bool,
    /// Whether the result of a search contains the tags of the tickets.
    pub(super) shows_tags: bool,
    pub(super) forgets_tags: bool,
    /// The decision about each item of the run, and the time from the creation to the decision in milliseconds.
    pub(super) fates: Vec<(Fate, i64)>,
    pub(super) tickets: Vec<ExternalTicket>,
    /// The tickets about which a callback failed since the last request for these tickets.
    pub(super) failed_callbacks: Vec<String>,
    pub(super) records: BTreeMap<String, Value>,
    pub(super) calls: BTreeMap<String, u64>,
    /// The number of the faults by operation and fault.
    pub(super) fault_counts: BTreeMap<String, u64>,
}

impl ExternalState {
    fn next_fault(&mut self, operation: &str) -> Option<Fault> {
        if RARE.contains(&operation) {
            // Few of these calls come while other faults are left, so they have faults of their own.
            if self.faults == 0 || self.rare_faults_left == 0 || self.dice.below(2) == 0 {
                return None;
            }
            self.rare_faults_left -= 1;
        } else {
            if self.faults_left == 0 || self.dice.below(100) >= self.faults {
                return None;
            }
            self.faults_left -= 1;
        }
        let fault = FAULTS[self.dice.below(FAULTS.len())];
        let name = format!("{operation} {fault:?}");
        *self.fault_counts.entry(name).or_default() += 1;
        Some(fault)
    }

    /// Executes a request, and returns the body of its response.
    fn execute(
        &mut self,
        operation: &str,
        request: &HttpRequest,
        now: Moment,
        code: &Value,
    ) -> String {
        let body: Value = if request.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&request.body).expect("the desk sends JSON")
        };
        if let Some(id) = request.url.strip_prefix(RECORDS) {
            let record = self.records.get_mut(id).expect("a known record");
            if operation == "write_record" {
                record["state"]["name"] = body["state"]["name"].clone();
            }
            return record.to_string();
        }
        let answer = match self.ticket_operation(operation, request, &body, now) {
            Ok(data) => json!({ "result": true, "code": code, "message": "success", "data": data }),
            Err(reason) => {
                json!({ "result": false, "code": "3900005", "message": reason, "data": null })
            }
        };
        answer.to_string()
    }

    /// Executes an operation of the external ITSM. An error is the reason of a rejection.
    fn ticket_operation(
        &mut self,
        operation: &str,
        request: &HttpRequest,
        body: &Value,
        now: Moment,
    ) -> Result<Value, &'static str> {
        Ok(match operation {
            "create_ticket" => {
                let fields = body["fields"].as_array().expect("fields");
                let title = fields.iter().find(|field| field["key"] == "title");
                let title = title.and_then(|field| field["value"].as_str());
                let item = item_of(title.expect("a title"));
                let (fate, delay) = self.fates[item];
                let text = |value: &Value| value.as_str().expect("a text").to_owned();
                let sn = format!("REQ{:03}", self.tickets.len() + 1);
                self.tickets.push(ExternalTicket {
                    sn: sn.clone(),
                    mark: text(&body["tag"]),
                    item,
                    callback_url: text(&body["meta"]["callback_url"]),
                    fate,
                    decided_at: now.plus_ms(delay),
                    is_withdrawn: false,
                });
                json!({ "sn": sn, "id": self.tickets.len() })
            }
            "get_tickets" => {
                let shown = |ticket: &ExternalTicket| {
                    if self.shows_tags {
                        json!({ "sn": ticket.sn, "tag": ticket.mark })
                    } else {
                        json!({ "sn": ticket.sn })
                    }
                };
                let found = self
                    .tickets
                    .iter()
                    .filter(|ticket| !self.forgets_tags && body["tag"] == ticket.mark.as_str());
                let items: Vec<Value> = found.map(shown).collect();
                json!({ "count": items.len(), "items": items })
            }
            "operate_ticket" => {
                assert_eq!(body["action_type"], "WITHDRAW");
                let ticket = self
                    .tickets
                    .iter_mut()
                    .find(|ticket| body["sn"] == ticket.sn.as_str());
                let ticket = ticket.expect("a known ticket");
                if ticket.status(now).0 != "RUNNING" {
                    return Err("the ticket is over");
                }
                ticket.is_withdrawn = true;
                json!([])
            }
            "get_services" => json!([{ "id": 18, "name": "approval" }]),
            "token/verify" => json!({ "is_passed": body["token"] == "issued" }),
            "ticket_approval_result" => {
                let asked = body["sn"].as_array().expect("numbers");
                let known = self
                    .tickets
                    .iter()
                    .filter(|ticket| asked.iter().any(|sn| *sn == ticket.sn.as_str()));
                known
                    .map(|ticket| json!({ "sn": ticket.sn, "current_status": ticket.status(now).0, "approve_result": false }))
                    .collect()
            }
            "callback_failed_ticket" => json!(std::mem::take(&mut self.failed_callbacks)),
            "get_ticket_info" => {
                let (_, sn) = request.url.split_once("?sn=").expect("a number");
                let ticket = self.tickets.iter().find(|ticket| ticket.sn == sn);
                let (status, approval) = ticket.expect("a known ticket").status(now);
                json!({ "sn": sn, "current_status": status, "ticket_url": format!("https://itsm.example.com/{sn}"),
                        "fields": [{ "key": "approval_result", "value": approval }] })
            }
            other => panic!("unexpected operation {other}"),
        })
    }
}

/// Returns the name of the operation of a request.
fn operation_of(request: &HttpRequest) -> String {
    if request.url.starts_with(RECORDS) {
        let is_write = request.method == "PATCH";
        return if is_write {
            "write_record"
        } else {
            "read_record"
        }
        .to_owned();
    }
    let (_, path) = request.url.split_once("/v2/itsm/").expect("a path");
    let operation = path.split("/?").next().unwrap_or(path);
    operation.trim_end_matches('/').to_owned()
}

/// Returns the title of an item. The fields of the external ticket contain the title.
pub(super) fn title_of(item: usize) -> String {
    format!("item-{item}")
}

fn item_of(title: &str) -> usize {
    let number = title.trim_start_matches("item-").parse();
    number.expect("the title of an item")
}

impl External {
    pub(super) fn state(&self) -> MutexGuard<'_, ExternalState> {
        self.state.lock().expect("no holder panics")
    }

    /// Executes a request with or without a fault, and returns what the desk receives.
    fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        self.clock.advance(REQUEST_MS);
        let now = self.clock.now();
        let mut state = self.state();
        let operation = operation_of(request);
        *state.calls.entry(operation.clone()).or_default() += 1;
        if state.forbids && FORBIDDEN_OPERATIONS.contains(&operation.as_str()) {
            let name = format!("{operation} {FORBIDDEN}");
            *state.fault_counts.entry(name).or_default() += 1;
            return Ok(HttpResponse::of(403, b"Forbidden"));
        }
        let Some(fault) = state.next_fault(&operation) else {
            let body = state.execute(&operation, request, now, &json!(0));
            return Ok(HttpResponse::of(200, body.as_bytes()));
        };
        let half = |body: &str| body.as_bytes()[..body.len() / 2].to_vec();
        match fault {
            Fault::NotSent => Err(HttpError::NotSent("the connection was refused".into())),
            Fault::LostRequest => {
                self.clock.advance(TIMEOUT_MS);
                Err(HttpError::Unknown("no response before the timeout".into()))
            }
            Fault::LostResponse => {
                state.execute(&operation, request, now, &json!(0));
                self.clock.advance(TIMEOUT_MS);
                Err(HttpError::Unknown("no response before the timeout".into()))
            }
            Fault::ErrorBefore => Ok(HttpResponse::of(500, b"error")),
            Fault::ErrorAfter => {
                state.execute(&operation, request, now, &json!(0));
                Ok(HttpResponse::of(500, b"error"))
            }
            Fault::Limited => {
                let pause = ["1", "30", "600"][state.dice.below(3)];
                Ok(HttpResponse {
                    headers: vec![("retry-after".into(), pause.into())],
                    ..HttpResponse::of(429, b"")
                })
            }
            Fault::Truncated => {
                let body = state.execute(&operation, request, now, &json!(0));
                Ok(HttpResponse::of(200, &half(&body)))
            }
            Fault::LoginPage => Ok(HttpResponse::of(200, b"<html><form>login</form></html>")),
            Fault::TooLong => {
                let body = state.execute(&operation, request, now, &json!(0));
                Ok(HttpResponse {
                    is_cut: true,
                    ..HttpResponse::of(200, &half(&body))
                })
            }
            Fault::WrongType => {
                // A creation with such a response was executed or not. All other requests were executed.
                if operation != "create_ticket" || state.dice.below(2) == 0 {
                    state.execute(&operation, request, now, &json!(0));
                }
                let body =
                    json!({ "result": true, "code": 0, "message": "success", "data": "text" });
                Ok(HttpResponse::of(200, body.to_string().as_bytes()))
            }
            Fault::TextCode => {
                let body = state.execute(&operation, request, now, &json!("0"));
                Ok(HttpResponse::of(200, body.as_bytes()))
            }
            Fault::ErrorInBody => {
                state.execute(&operation, request, now, &json!(0));
                // The API of the records has no such envelope.
                if request.url.starts_with(RECORDS) {
                    return Ok(HttpResponse::of(502, b"error"));
                }
                let body = json!({ "result": false, "code": 1_306_201, "message": "timed out", "data": null });
                Ok(HttpResponse::of(200, body.to_string().as_bytes()))
            }
        }
    }

    /// Returns the number and the callback URL of the external ticket of an item.
    pub(super) fn callback_of(&self, item: usize) -> Option<(String, String)> {
        let state = self.state();
        let ticket = state.tickets.iter().find(|ticket| ticket.item == item)?;
        Some((ticket.sn.clone(), ticket.callback_url.clone()))
    }

    /// Returns the external tickets of an application.
    pub(super) fn tickets_of(&self, stream: &str) -> Vec<ExternalTicket> {
        let mark = applications::id_of(stream);
        let state = self.state();
        let tickets = state.tickets.iter().filter(|ticket| ticket.mark == mark);
        tickets.cloned().collect()
    }

    /// Returns true if the application waits for a decision that never comes.
    pub(super) fn is_undecided(&self, stream: &str) -> bool {
        let tickets = self.tickets_of(stream);
        let waits = |ticket: &ExternalTicket| ticket.fate == Fate::Never && !ticket.is_withdrawn;
        !tickets.is_empty() && tickets.iter().all(waits)
    }

    pub(super) fn status_of(&self, record: &str) -> String {
        plain(&self.state().records[record]["state"]["name"])
    }
}

#[async_trait]
impl HttpClient for External {
    async fn send(&self, request: &HttpRequest) -> Result<HttpResponse, HttpError> {
        self.answer(request)
    }
}
