//! Imitates Atlas CMMS with the part of its REST API for work orders and their comments, and its webhooks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::ticket_api::{Admission, Denied, Reply, Request, TicketApi, served, text};

/// Number of work orders on a page of the search if the request names no number.
const SEARCH_DEFAULT: usize = 10;
const STATUSES: [&str; 4] = ["OPEN", "IN_PROGRESS", "ON_HOLD", "COMPLETE"];
const PRIORITIES: [&str; 4] = ["NONE", "LOW", "MEDIUM", "HIGH"];
/// The members of a work order that are empty lists in a new one.
const LISTS: [&str; 4] = ["assignedTo", "customers", "files", "customFieldValues"];
/// The members of a work order that can be null.
const OPTIONAL: [&str; 16] = [
    "description",
    "dueDate",
    "estimatedStartDate",
    "category",
    "location",
    "team",
    "primaryUser",
    "asset",
    "image",
    "completedBy",
    "completedOn",
    "parentRequest",
    "parentPreventiveMaintenance",
    "signature",
    "feedback",
    "audioDescription",
];
/// The ids of the company and of the user of the API key.
const COMPANY: u64 = 1;
const USER: u64 = 7;

type WorkOrder = Map<String, Value>;

/// An imitated Atlas CMMS.
pub struct Atlas {
    admission: Admission,
    now: fn() -> Timestamp,
    orders: Mutex<BTreeMap<u64, WorkOrder>>,
    /// The comments of all work orders, oldest first, each with the id of its work order.
    comments: Mutex<Vec<(u64, Value)>>,
}

served!(Atlas);

impl Atlas {
    /// Creates an Atlas without work orders. Requests must have the API key.
    pub fn new(key: &str, now: fn() -> Timestamp) -> Self {
        Self {
            admission: Admission::keyed("x-api-key", key),
            now,
            orders: Mutex::default(),
            comments: Mutex::default(),
        }
    }

    /// Returns a work order by its id, as the API returns it.
    pub fn record(&self, id: &str) -> Option<Value> {
        let orders = self.orders();
        let order = orders.get(&id.parse().ok()?)?;
        Some(order.clone().into())
    }

    /// Returns the body of the webhook that Atlas sends after a change of the work order.
    pub fn webhook(&self, id: &str) -> Option<Value> {
        let order = self.record(id)?;
        Some(json!({
            "workOrderId": order["id"], "workOrderTitle": order["title"], "companyId": COMPANY,
            "occurredAt": stamp((self.now)()), "changedWorkOrder": order,
        }))
    }

    fn orders(&self) -> MutexGuard<'_, BTreeMap<u64, WorkOrder>> {
        self.orders.lock().expect("no holder panics")
    }

    fn create(&self, request: &Request<'_>) -> Reply {
        let Some(given) = request.members() else {
            return unreadable();
        };
        if !given.get("title").is_some_and(Value::is_string) {
            return failed(StatusCode::BAD_REQUEST, "must not be null");
        }
        let priority = given.get("priority").map_or_else(|| "NONE".into(), text);
        if !PRIORITIES.contains(&priority.as_str()) {
            return unreadable();
        }
        let mut orders = self.orders();
        let id = orders.keys().next_back().map_or(1, |newest| newest + 1);
        let at = stamp((self.now)());
        let mut order = json!({
            "id": id, "customId": format!("WO{id:06}"), "title": given["title"], "priority": priority, "status": "OPEN",
            "estimatedDuration": 0.0, "requiredSignature": given.get("requiredSignature") == Some(&json!(true)),
            "archived": false, "createdBy": USER, "updatedBy": USER, "createdAt": at, "updatedAt": at,
        });
        for name in LISTS {
            order[name] = json!([]);
        }
        for name in OPTIONAL {
            order[name] = given.get(name).cloned().into();
        }
        let Value::Object(members) = order.clone() else {
            return unreadable();
        };
        orders.insert(id, members);
        Reply::ok(order)
    }

    fn change_status(&self, id: &str, request: &Request<'_>) -> Reply {
        let Some(given) = request.members() else {
            return unreadable();
        };
        let now = stamp((self.now)());
        let mut orders = self.orders();
        // The first work order has the id 1.
        let id: u64 = id.parse().unwrap_or_default();
        let Some(order) = orders.get_mut(&id) else {
            // Atlas does not check whether the work order exists.
            return failed(StatusCode::INTERNAL_SERVER_ERROR, "No value present");
        };
        let member = |name: &str| given.get(name).map(text).unwrap_or_default();
        let (status, signature) = (member("status"), member("signature"));
        if status.is_empty() {
            return failed(StatusCode::NOT_ACCEPTABLE, "Status can't be null");
        }
        if !STATUSES.contains(&status.as_str()) {
            return unreadable();
        }
        let is_complete = status == "COMPLETE";
        if is_complete && signature.is_empty() && order["requiredSignature"] == json!(true) {
            let reason = "Signature is required to complete this work order";
            return failed(StatusCode::BAD_REQUEST, reason);
        }
        // The feedback and the signature are replaced, and absent ones are removed.
        for name in ["feedback", "signature"] {
            order.insert(name.into(), given.get(name).cloned().into());
        }
        let (by, on) = if is_complete {
            (json!({ "id": USER }), json!(now))
        } else {
            (Value::Null, Value::Null)
        };
        order.insert("status".into(), status.into());
        order.insert("completedBy".into(), by);
        order.insert("completedOn".into(), on);
        order.insert("updatedAt".into(), now.into());
        Reply::ok(order.clone().into())
    }

    fn comments(&self) -> MutexGuard<'_, Vec<(u64, Value)>> {
        self.comments.lock().expect("no holder panics")
    }

    fn comment(&self, request: &Request<'_>) -> Reply {
        let Some(given) = request.members() else {
            return unreadable();
        };
        let content = given.get("content").map(text).unwrap_or_default();
        let order = given
            .get("workOrder")
            .and_then(|order| order["id"].as_u64());
        let order = order.filter(|id| self.orders().contains_key(id));
        let (Some(order), false) = (order, content.is_empty()) else {
            return failed(StatusCode::BAD_REQUEST, "must not be null");
        };
        let mut comments = self.comments();
        let comment = json!({
            "id": comments.len() + 1, "content": content, "system": false, "user": { "id": USER },
            "createdAt": stamp((self.now)()),
        });
        comments.push((order, comment.clone()));
        Reply::ok(comment)
    }

    /// Returns the comments of a work order, newest first.
    fn search_comments(&self, id: &str) -> Reply {
        let comments = self.comments();
        let of_order = comments.iter().rev();
        let of_order = of_order.filter(|(order, _)| order.to_string() == id);
        Reply::ok(of_order.map(|(_, comment)| comment.clone()).collect())
    }

    fn search(&self, request: &Request<'_>) -> Reply {
        let Some(given) = request.members() else {
            return unreadable();
        };
        let conditions = given.get("filterFields").and_then(Value::as_array);
        let conditions = conditions.map(Vec::as_slice).unwrap_or_default();
        let number = |name: &str| Some(usize::try_from(given.get(name)?.as_u64()?).unwrap_or(0));
        let (page, size) = (
            number("pageNum").unwrap_or(0),
            number("pageSize").unwrap_or(SEARCH_DEFAULT),
        );
        let field = given.get("sortField").map_or_else(|| "id".into(), text);
        let orders = self.orders();
        let mut found = Vec::new();
        for order in orders.values() {
            let results = conditions.iter().map(|one| is_met(order, one));
            match results.collect::<Option<Vec<bool>>>() {
                Some(results) if results.contains(&false) => {}
                Some(_) if order.contains_key(&field) => found.push(order),
                _ => return failed(StatusCode::BAD_REQUEST, "Invalid search field"),
            }
        }
        found.sort_by_key(|order| match &order[&field] {
            Value::Number(number) => (number.as_u64(), String::new()),
            value => (None, text(value)),
        });
        if given.get("direction") == Some(&json!("DESC")) {
            found.reverse();
        }
        let total = found.len();
        let start = page.saturating_mul(size);
        let shown = found.into_iter().skip(start).take(size);
        let content: Vec<Value> = shown.map(|order| order.clone().into()).collect();
        Reply::ok(json!({
            "number": page, "size": size, "numberOfElements": content.len(), "totalElements": total,
            "totalPages": total.div_ceil(size.max(1)), "first": page == 0, "last": start + content.len() >= total,
            "empty": content.is_empty(), "content": content,
        }))
    }
}

impl TicketApi for Atlas {
    fn admission(&self) -> &Admission {
        &self.admission
    }

    fn denied(&self, reason: Denied) -> Reply {
        match reason {
            // A request with an unknown key is a request without a user.
            Denied::Anonymous | Denied::WrongCredentials => {
                Reply::new(StatusCode::FORBIDDEN, Value::Null)
            }
            Denied::RateLimited => Reply::new(
                StatusCode::TOO_MANY_REQUESTS,
                json!({ "error": "Rate limit exceeded", "message": "Too many requests" }),
            ),
        }
    }

    fn is_read(&self, path: &str) -> bool {
        path.ends_with("/search") || path.starts_with("/comments/search/")
    }

    fn respond(&self, request: &Request<'_>) -> Reply {
        let segments = request.segments();
        match (request.method, segments.as_slice()) {
            ("POST", ["work-orders"]) => self.create(request),
            ("POST", ["work-orders", "search"]) => self.search(request),
            ("POST", ["comments"]) => self.comment(request),
            ("POST", ["comments", "search", id]) => self.search_comments(id),
            ("GET", ["work-orders", id]) => match self.record(id) {
                Some(order) => Reply::ok(order),
                None => failed(StatusCode::NOT_FOUND, "Work Order not found"),
            },
            ("PATCH", ["work-orders", id, "change-status"]) => self.change_status(id, request),
            _ => failed(StatusCode::NOT_FOUND, "Not found"),
        }
    }
}

/// Returns whether a work order meets a condition of a search, or `None` if the condition is not valid.
fn is_met(order: &WorkOrder, condition: &Value) -> Option<bool> {
    let member = order.get(condition.get("field")?.as_str()?)?;
    let value = condition.get("value").unwrap_or(&Value::Null);
    let time = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
    let met = match condition.get("operation")?.as_str()? {
        "eq" => member == value,
        "ne" => member != value,
        "ge" => time(member)? >= time(value)?,
        "le" => time(member)? <= time(value)?,
        "in" => condition.get("values")?.as_array()?.contains(member),
        _ => return None,
    };
    Some(met)
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn failed(status: StatusCode, reason: &str) -> Reply {
    Reply::new(status, json!({ "success": false, "message": reason }))
}

fn unreadable() -> Reply {
    failed(StatusCode::INTERNAL_SERVER_ERROR, "JSON parse error")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(atlas: &Atlas, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("/work-orders{path}");
        let reply = atlas.respond(&Request::new(method, &path, "", body.as_bytes()));
        (reply.status.as_u16(), reply.body)
    }

    fn atlas() -> Atlas {
        Atlas::new("key", || Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn comments_belong_to_a_work_order_and_the_newest_is_first() {
        let atlas = atlas();
        send(&atlas, "POST", "", &json!({ "title": "Pump leaks" }));
        let post = |path: &str, body: &Value| {
            let body = body.to_string();
            atlas.respond(&Request::new("POST", path, "", body.as_bytes()))
        };
        for (content, id, status) in [("first", 1, 200), ("second", 1, 200), ("x", 2, 400)] {
            let body = json!({ "content": content, "workOrder": { "id": id } });
            assert_eq!(post("/comments", &body).status.as_u16(), status, "{body}");
        }
        let found = post("/comments/search/1", &json!({})).body;
        assert_eq!(found[0]["content"], "second");
        assert_eq!(found.as_array().expect("a list").len(), 2);
        assert_eq!(post("/comments/search/2", &json!({})).body, json!([]));
        assert!(atlas.is_read("/comments/search/1") && !atlas.is_read("/comments"));
    }

    #[test]
    fn a_status_is_changed_with_its_feedback() {
        let atlas = atlas();
        let body = json!({ "title": "Pump leaks", "requiredSignature": true, "priority": "HIGH" });
        assert_eq!(send(&atlas, "POST", "", &body).1["status"], "OPEN");
        assert_eq!(send(&atlas, "POST", "", &json!({})).0, 400);
        for (id, body, status) in [
            ("1", json!({ "status": "ON_HOLD", "feedback": "x" }), 200),
            ("1", json!({ "feedback": "x" }), 406),
            ("1", json!({ "status": "CANCELED" }), 500),
            ("1", json!({ "status": "COMPLETE" }), 400),
            ("2", json!({ "status": "COMPLETE" }), 500),
        ] {
            let path = format!("/{id}/change-status");
            assert_eq!(send(&atlas, "PATCH", &path, &body).0, status, "{body}");
        }
        let order = send(&atlas, "GET", "/1", &Value::Null).1;
        assert_eq!(
            (&order["status"], &order["feedback"]),
            (&json!("ON_HOLD"), &json!("x"))
        );
        assert_eq!(send(&atlas, "GET", "/2", &Value::Null).0, 404);
        let body = json!({ "status": "COMPLETE", "signature": "data:image/png;base64,AA==" });
        let order = send(&atlas, "PATCH", "/1/change-status", &body).1;
        assert_eq!(
            (&order["feedback"], &order["completedBy"]["id"]),
            (&Value::Null, &json!(USER))
        );
        let body = atlas.webhook("1").expect("a work order");
        assert_eq!(body["changedWorkOrder"], order);
    }

    #[test]
    fn a_search_returns_pages_in_the_order_of_a_member() {
        let atlas = atlas();
        for number in 1..=12 {
            let body = json!({ "title": format!("Pump {number:02}"), "priority": "LOW" });
            send(&atlas, "POST", "", &body);
        }
        let search = |body: Value| send(&atlas, "POST", "/search", &body);
        let (_, page) = search(
            json!({ "sortField": "title", "direction": "DESC", "pageNum": 1, "pageSize": 5 }),
        );
        assert_eq!(
            (&page["content"][0]["title"], &page["totalElements"]),
            (&json!("Pump 07"), &json!(12))
        );
        assert_eq!(search(json!({})).1["numberOfElements"], 10);
        for (condition, found) in [
            (json!({ "field": "id", "operation": "eq", "value": 3 }), 1),
            (
                json!({ "field": "updatedAt", "operation": "ge", "value": "1970-01-01T00:00:00.000Z", "enumName": "JS_DATE" }),
                12,
            ),
            (
                json!({ "field": "updatedAt", "operation": "ge", "value": "1970-01-01T00:00:01.000Z", "enumName": "JS_DATE" }),
                0,
            ),
            (
                json!({ "field": "status", "operation": "in", "values": ["COMPLETE"], "enumName": "STATUS" }),
                0,
            ),
        ] {
            let page = search(json!({ "filterFields": [condition] })).1;
            assert_eq!(page["totalElements"], found, "{condition}");
        }
        for condition in [json!("x"), json!({ "field": "x", "operation": "eq" })] {
            assert_eq!(search(json!({ "filterFields": [condition] })).0, 400);
        }
    }
}
