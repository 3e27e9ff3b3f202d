//! Imitates an external BlueKing ITSM (API v2) with the faults of the original (reference/bk-itsm.md 1 to 3 and 10). It
//! has one service, 日志平台容量评估, whose tickets the caller decides. The imitation sends no callbacks itself. The caller
//! delivers them in time, late, twice or never.

mod nodes;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use wire::{envelope, integer, operation, services, text, time, url, values};

/// The id of the only service.
pub const SERVICE: i64 = 18;
/// The node on which a person decides.
const NODE: i64 = 3;
/// The name of the header with the credentials of the API gateway.
const AUTHORIZATION: &str = "x-bkapi-authorization";
/// The time in which the number of requests is limited, in milliseconds.
const WINDOW_MS: i64 = 1_000;
/// Number of tickets on a page, if the request does not contain another number.
const PAGE_SIZE: i64 = 10;

/// Faults of the original and of the parts in front of it. The default has no faults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Number of reads in which a new ticket is still empty: it has no fields and no steps.
    pub empty_reads: usize,
    /// Whether operations without the guard of the open API return their error codes as texts.
    pub text_codes: bool,
    /// Whether a search ignores the filter `tag`.
    pub ignores_tag: bool,
    /// Whether a search returns tickets without their tags, as the original does.
    pub hides_tag: bool,
    /// Number of next creations that store a ticket, but get the response status 502.
    pub lost_creations: usize,
    /// Maximum number of requests in a second. More requests get the response status 429.
    pub per_second: Option<usize>,
    /// Number of next requests that get the login page instead of JSON.
    pub login_pages: usize,
    /// Whether a second node follows the node on which a person decides.
    pub second_node: bool,
    /// Number of next operations of a node that are executed, but get the response status 502.
    pub lost_operations: usize,
    /// Number of next operations of a node that fail with the code of an exception, although they are executed.
    pub failed_operations: usize,
}

#[derive(Debug)]
struct Ticket {
    id: usize,
    creator: String,
    tag: String,
    status: &'static str,
    fields: Vec<(String, Value)>,
    /// The value of the field `approval_result`. It is empty until a person decides.
    approval: &'static str,
    /// The current node of a running ticket.
    node: i64,
    callback_url: String,
    created: i64,
    updated: i64,
    /// Number of reads of the ticket.
    reads: usize,
}

#[derive(Debug, Default)]
struct Stored {
    faults: Faults,
    tickets: BTreeMap<String, Ticket>,
    /// The tokens of all callbacks. A token is not bound to a ticket, and never expires.
    tokens: BTreeSet<String>,
    failed: BTreeSet<String>,
    counts: BTreeMap<String, usize>,
    /// The time of each request for the results of tickets, and the number of tickets in the request.
    result_requests: Vec<(i64, usize)>,
    window: i64,
    in_window: usize,
}

/// An imitated BlueKing ITSM.
pub struct BkItsm {
    app: String,
    secret: String,
    /// Returns the time in milliseconds since 1970.
    now: fn() -> i64,
    stored: Mutex<Stored>,
}

/// An error of an operation. Contains the code and the message.
type Refusal = (Value, String);

impl BkItsm {
    /// Creates a system without tickets. Requests must contain the code and the secret of the app. `now` returns the
    /// time in milliseconds since 1970.
    pub fn new(app: &str, secret: &str, faults: Faults, now: fn() -> i64) -> Self {
        Self {
            app: app.to_owned(),
            secret: secret.to_owned(),
            now,
            stored: Mutex::new(Stored {
                faults,
                ..Stored::default()
            }),
        }
    }

    /// Changes the faults of the requests that follow.
    pub fn change(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.stored().faults);
    }

    /// Opens a ticket, as a person does it. Returns its number.
    pub fn open(&self, creator: &str, title: &str) -> Option<String> {
        let values = Map::from_iter([
            ("service_id".to_owned(), json!(SERVICE)),
            ("creator".to_owned(), json!(creator)),
            (
                "fields".to_owned(),
                json!([{ "key": "title", "value": title }]),
            ),
        ]);
        let opened = self.stored().create(&values, (self.now)()).ok()?;
        opened["sn"].as_str().map(str::to_owned)
    }

    /// Returns the value of a field of a ticket.
    pub fn field(&self, sn: &str, key: &str) -> Option<Value> {
        let stored = self.stored();
        let mut fields = stored.tickets.get(sn)?.fields.iter();
        let found = fields.find(|(name, _)| name == key);
        found.map(|(_, value)| value.clone())
    }

    /// Ends a running ticket with a decision. Returns false if the ticket is not running.
    pub fn decide(&self, sn: &str, is_granted: bool) -> bool {
        let approval = if is_granted { "true" } else { "false" };
        self.step(sn, "RUNNING", "FINISHED", approval)
    }

    /// Suspends a running ticket. Returns false if the ticket is not running.
    pub fn suspend(&self, sn: &str) -> bool {
        self.step(sn, "RUNNING", "SUSPENDED", "")
    }

    /// Resumes a suspended ticket. Returns false if the ticket is not suspended.
    pub fn resume(&self, sn: &str) -> bool {
        self.step(sn, "SUSPENDED", "RUNNING", "")
    }

    /// Revokes a running ticket, as its creator can. Returns false if the ticket is not running.
    pub fn revoke(&self, sn: &str) -> bool {
        self.step(sn, "RUNNING", "REVOKED", "")
    }

    /// Returns all tickets in the order of their creation, with `sn`, `tag`, `status`, `creator` and `reads`, the number
    /// of reads.
    pub fn tickets(&self) -> Vec<Value> {
        let stored = self.stored();
        let ticket = |(sn, ticket): (&String, &Ticket)| {
            json!({
                "sn": sn, "tag": ticket.tag, "status": ticket.status, "creator": ticket.creator, "reads": ticket.reads,
            })
        };
        stored.tickets.iter().map(ticket).collect()
    }

    /// Returns the number of requests for an operation, without those that were rejected before they reached it. The
    /// names `esb` and `apigw` count the requests for each form of the paths, `429` those above the limit.
    pub fn count(&self, operation: &str) -> usize {
        let stored = self.stored();
        stored.counts.get(operation).copied().unwrap_or_default()
    }

    /// Returns the time of each request for the results of tickets (`ticket_approval_result`) in milliseconds since 1970,
    /// and the number of tickets in the request.
    pub fn result_requests(&self) -> Vec<(i64, usize)> {
        self.stored().result_requests.clone()
    }

    /// Returns the callback URL of a ticket, and the body of a callback about its present state with a new token.
    pub fn callback(&self, sn: &str) -> Option<(String, Value)> {
        let mut stored = self.stored();
        let number = stored.tokens.len();
        let token = blake3::hash(format!("{} {number}", self.secret).as_bytes());
        let token = STANDARD.encode(token.as_bytes());
        let ticket = stored.tickets.get(sn)?;
        // The original writes fractions of a second and the commas at the edges only here.
        let body = json!({
            "sn": sn, "title": ticket.title(), "ticket_url": url(ticket.id), "current_status": ticket.status,
            "update_at": format!("{}.000000", time(ticket.updated)), "updated_by": ",admin,",
            "approve_result": ticket.approve_result(), "token": token, "last_approver": "",
        });
        let url = ticket.callback_url.clone();
        stored.tokens.insert(token);
        Some((url, body))
    }

    /// Stores that the callback of a ticket failed. A request for the result of the ticket removes this entry.
    pub fn fail_callback(&self, sn: &str) {
        self.stored().failed.insert(sn.to_owned());
    }

    /// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        let router = Router::new().fallback(handle).with_state(self);
        axum::serve(listener, router).await
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().expect("no holder panics")
    }

    fn step(&self, sn: &str, from: &str, to: &'static str, approval: &'static str) -> bool {
        let now = (self.now)();
        match self.stored().tickets.get_mut(sn) {
            Some(ticket) if ticket.status == from => {
                (ticket.status, ticket.approval, ticket.updated) = (to, approval, now);
                true
            }
            _ => false,
        }
    }

    /// Returns the response to one request.
    fn respond(&self, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
        let Some((form, operation)) = operation(uri.path()) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let now = (self.now)();
        let mut stored = self.stored();
        if let Some(wait) = stored.throttled(now) {
            let headers = [(header::RETRY_AFTER, wait.to_string())];
            return (StatusCode::TOO_MANY_REQUESTS, headers, "rate limit").into_response();
        }
        if stored.faults.login_pages > 0 {
            stored.faults.login_pages -= 1;
            return Html("<html><body>蓝鲸登录</body></html>").into_response();
        }
        let values = values(uri.query().unwrap_or_default(), body);
        match self.check(headers, &values) {
            None => return (StatusCode::FORBIDDEN, "Forbidden").into_response(),
            Some(false) => {
                let refusal = (json!(1_640_101), "应用认证失败".to_owned());
                return envelope(Err(refusal));
            }
            Some(true) => {}
        }
        for counted in [form, operation.as_str()] {
            *stored.counts.entry(counted.to_owned()).or_default() += 1;
        }
        let done = stored.execute(&operation, &values, now);
        if operation == "create_ticket" && done.is_ok() && stored.faults.lost_creations > 0 {
            stored.faults.lost_creations -= 1;
            return (StatusCode::BAD_GATEWAY, "Bad Gateway").into_response();
        }
        if operation == "operate_node" && done.is_ok() {
            let faults = &mut stored.faults;
            if faults.lost_operations > 0 {
                faults.lost_operations -= 1;
                return (StatusCode::BAD_GATEWAY, "Bad Gateway").into_response();
            }
            if faults.failed_operations > 0 {
                faults.failed_operations -= 1;
                let message = "接口异常，请检查请求参数: 'timeout'".to_owned();
                return envelope(Err((json!(3_900_004), message)));
            }
        }
        envelope(done)
    }

    /// Returns whether the credentials are right, or `None` if the request contains no credentials. The header comes
    /// before the members of the body or the query.
    fn check(&self, headers: &HeaderMap, values: &Map<String, Value>) -> Option<bool> {
        let header = headers.get(AUTHORIZATION).map(|value| {
            serde_json::from_slice::<Map<String, Value>>(value.as_bytes()).unwrap_or_default()
        });
        let given = header.as_ref().unwrap_or(values);
        let (code, secret) = (given.get("bk_app_code")?, given.get("bk_app_secret")?);
        Some(*code == self.app.as_str() && *secret == self.secret.as_str())
    }
}

impl Stored {
    /// Returns the pause in seconds if the limit of requests is reached.
    fn throttled(&mut self, now: i64) -> Option<i64> {
        let limit = self.faults.per_second?;
        if now - self.window >= WINDOW_MS {
            (self.window, self.in_window) = (now, 0);
        }
        self.in_window += 1;
        if self.in_window <= limit {
            return None;
        }
        *self.counts.entry("429".to_owned()).or_default() += 1;
        Some(WINDOW_MS / 1_000)
    }

    fn execute(
        &mut self,
        operation: &str,
        values: &Map<String, Value>,
        now: i64,
    ) -> Result<Value, Refusal> {
        let is_text = self.faults.text_codes;
        // Operations without the guard of the open API: their codes can be texts.
        let unwrapped = |code: i64, text: &str, message: &str| {
            let code = if is_text { json!(text) } else { json!(code) };
            (code, message.to_owned())
        };
        match operation {
            "get_services" => Ok(services(values)),
            "create_ticket" => self.create(values, now),
            "operate_ticket" => self.operate(values, now),
            "operate_node" => self.operate_node(values, now),
            "token/verify" => {
                let token = values.get("token").and_then(Value::as_str);
                let is_passed = token.is_some_and(|token| self.tokens.contains(token));
                Ok(json!({ "is_passed": is_passed }))
            }
            "callback_failed_ticket" => Ok(json!(self.failed)),
            "get_tickets" => self
                .list(values)
                .ok_or_else(|| unwrapped(3_900_021, "VALIDATE_ERROR", "无效页面。")),
            "get_ticket_info" | "get_ticket_status" => {
                let empty_reads = self.faults.empty_reads;
                let sn = text(values, "sn");
                let Some(ticket) = self.tickets.get_mut(&sn) else {
                    return Err(unwrapped(3_900_022, "3900022", "没有找到对应的单据"));
                };
                ticket.reads += 1;
                let is_empty = ticket.status == "RUNNING" && ticket.reads <= empty_reads;
                Ok(ticket.shown(&sn, operation == "get_ticket_info", is_empty))
            }
            "ticket_approval_result" => {
                let Some(numbers) = values.get("sn").and_then(Value::as_array) else {
                    return Err(unwrapped(
                        3_900_005,
                        "VALIDATE_ERROR",
                        "sn:该字段是必填项。",
                    ));
                };
                let numbers: BTreeSet<&str> = numbers.iter().filter_map(Value::as_str).collect();
                self.result_requests.push((now, numbers.len()));
                self.failed.retain(|sn| !numbers.contains(sn.as_str()));
                let results = numbers.iter().rev();
                let results = results.filter_map(|sn| self.tickets.get_key_value(*sn));
                Ok(results.map(|(sn, ticket)| ticket.result(sn)).collect())
            }
            other => Err((json!(3_900_002), format!("不支持的接口: {other}"))),
        }
    }

    fn create(&mut self, values: &Map<String, Value>, now: i64) -> Result<Value, Refusal> {
        let refuse = |code: i64, message: &str| Err((json!(code), message.to_owned()));
        if values.get("service_id").and_then(integer) != Some(SERVICE) {
            return refuse(3_900_005, "服务:服务不存在，请联系管理员！");
        }
        let creator = text(values, "creator");
        if creator.is_empty() {
            return refuse(3_900_005, "creator:该字段不能为空。");
        }
        let fields = values.get("fields").and_then(Value::as_array);
        let field = |field: &Value| {
            let key = field.get("key")?.as_str()?.to_owned();
            Some((key, field.get("value")?.clone()))
        };
        let Some(fields) = fields
            .into_iter()
            .flatten()
            .map(field)
            .collect::<Option<Vec<_>>>()
        else {
            return refuse(3_900_004, "接口异常，请检查请求参数: 'value'");
        };
        if !fields.iter().any(|(key, _)| key == "title") {
            return refuse(3_900_004, "接口异常，请检查请求参数: 'title'");
        }
        let id = self.tickets.len() + 1;
        let sn = format!("REQ{}{id:06}", &time(now)[..10].replace('-', ""));
        let callback_url = values
            .get("meta")
            .and_then(|meta| meta["callback_url"].as_str());
        let ticket = Ticket {
            id,
            creator,
            tag: text(values, "tag"),
            status: "RUNNING",
            fields,
            approval: "",
            node: NODE,
            callback_url: callback_url.unwrap_or_default().to_owned(),
            created: now,
            updated: now,
            reads: 0,
        };
        self.tickets.insert(sn.clone(), ticket);
        Ok(json!({ "sn": sn, "id": id, "ticket_url": url(id) }))
    }

    fn operate(&mut self, values: &Map<String, Value>, now: i64) -> Result<Value, Refusal> {
        let refuse = |code: i64, message: String| Err((json!(code), message));
        let Some(ticket) = self.tickets.get_mut(&text(values, "sn")) else {
            return refuse(3_900_022, "没有找到对应的单据".into());
        };
        if !values.contains_key("action_message") {
            return refuse(
                3_900_004,
                "接口异常，请检查请求参数: 'action_message'".into(),
            );
        }
        let action = text(values, "action_type");
        if action != "WITHDRAW" {
            let message = format!("单据操作失败，不支持的操作类型: {action}");
            return refuse(3_900_004, message);
        }
        if text(values, "operator") != ticket.creator {
            return refuse(3_900_005, "0:抱歉，你无权撤销单据，请联系提单人".into());
        }
        if matches!(ticket.status, "FINISHED" | "TERMINATED" | "REVOKED") {
            return refuse(3_900_005, "0:抱歉，单据已经结束，无法撤销".into());
        }
        (ticket.status, ticket.updated) = ("REVOKED", now);
        Ok(json!([]))
    }

    /// Returns a page of tickets, newest first. Returns `None` if the page does not exist.
    fn list(&self, values: &Map<String, Value>) -> Option<Value> {
        let faults = self.faults;
        let wanted = |name: &str, found: &str| {
            let value = text(values, name);
            value.is_empty() || value == found
        };
        let since = text(values, "create_at__gte");
        let is_in = |name: &str, found: &Value| {
            let listed = values.get(name).and_then(Value::as_array);
            listed.is_none_or(|all| all.is_empty() || all.contains(found))
        };
        let numbers = values.get("sns").and_then(Value::as_array);
        let found = self.tickets.iter().rev().filter(|(sn, ticket)| {
            let is_named = numbers.is_none_or(|all| all.is_empty() || all.contains(&json!(sn)));
            is_named
                && is_in("service_id__in", &json!(SERVICE))
                && is_in("current_status__in", &json!(ticket.status))
                && wanted("creator", &ticket.creator)
                && (faults.ignores_tag || wanted("tag", &ticket.tag))
                && time(ticket.created) >= since
        });
        let items: Vec<Value> = found
            .map(|(sn, ticket)| {
                let mut item = ticket.head(sn);
                if !faults.hides_tag {
                    item["tag"] = json!(ticket.tag);
                }
                item
            })
            .collect();
        let number = |name: &str, default: i64| values.get(name).map_or(Some(default), integer);
        let (page, size) = (number("page", 1), number("page_size", PAGE_SIZE));
        // The original returns all items without a page if the size is not a positive number.
        let Some(size) = size.filter(|size| *size > 0) else {
            return Some(json!(items));
        };
        let (page, size) = (usize::try_from(page?).ok()?, usize::try_from(size).ok()?);
        let (count, pages) = (items.len(), items.len().div_ceil(size).max(1));
        if page == 0 || page > pages {
            return None;
        }
        let items: Vec<Value> = items
            .into_iter()
            .skip((page - 1) * size)
            .take(size)
            .collect();
        Some(json!({
            "page": page, "total_page": pages, "count": count, "next": null, "previous": null, "items": items,
        }))
    }
}

impl Ticket {
    fn title(&self) -> &Value {
        let title = self.fields.iter().find(|(key, _)| key == "title");
        title.map_or(&Value::Null, |(_, title)| title)
    }

    /// Returns the result for callbacks and for `ticket_approval_result`. The workflow has no node of the kind APPROVAL,
    /// so the original returns true for each finished ticket, also for a refused one.
    fn approve_result(&self) -> bool {
        self.status == "FINISHED"
    }

    fn head(&self, sn: &str) -> Value {
        json!({
            "id": self.id, "sn": sn, "title": self.title(), "service_id": SERVICE, "creator": self.creator,
            "current_status": self.status, "create_at": time(self.created), "update_at": time(self.updated),
            "updated_by": "admin", "ticket_url": url(self.id), "iframe_ticket_url": format!("{}&is_iframe=1", url(self.id)),
        })
    }

    fn result(&self, sn: &str) -> Value {
        let mut result = self.head(sn);
        result["approve_result"] = json!(self.approve_result());
        result
    }

    /// Returns the ticket for `get_ticket_info` or, without its fields, for `get_ticket_status`.
    fn shown(&self, sn: &str, has_fields: bool, is_empty: bool) -> Value {
        let mut shown = self.head(sn);
        let step = json!({
            "name": "评估采集容量", "state_id": self.node, "status": "RUNNING", "action_type": "TRANSITION",
            "processors_type": "PERSON", "processors": "admin",
        });
        let is_active = self.status == "RUNNING" && !is_empty;
        shown["current_steps"] = if is_active { json!([step]) } else { json!([]) };
        if has_fields {
            let approval = (!self.approval.is_empty()).then_some(self.approval);
            let approval =
                json!({ "key": "approval_result", "name": "审批结果", "value": approval });
            let fields = self.fields.iter();
            let fields =
                fields.map(|(key, value)| json!({ "key": key, "name": key, "value": value }));
            let fields: Vec<Value> = fields.chain([approval]).collect();
            shown["fields"] = if is_empty { json!([]) } else { json!(fields) };
        }
        shown
    }
}

async fn handle(
    State(itsm): State<Arc<BkItsm>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    itsm.respond(&uri, &headers, &body)
}
