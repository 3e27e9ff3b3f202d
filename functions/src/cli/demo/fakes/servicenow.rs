//! Imitates an instance of ServiceNow: the Table API for all tables, and the Batch API. The data policy of incidents
//! requires a resolution code and resolution notes when an incident is resolved or closed.

mod query;
mod record;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::query::Query;
use self::record::{JOURNALS, Record, View, label, prefix};
use super::ticket_api::{Admission, Denied, Reply, Request, TicketApi, served, text};

/// Number of records in a page if the request names no limit, as in the Table API.
const LIMIT_DEFAULT: usize = 10_000;
/// Fields that refer to a record of another table.
const REFERENCES: [(&str, &str); 4] = [
    ("assigned_to", "sys_user"),
    ("assignment_group", "sys_user_group"),
    ("caller_id", "sys_user"),
    ("opened_by", "sys_user"),
];

/// An imitated instance of ServiceNow.
pub struct ServiceNow {
    admission: Admission,
    user: String,
    now: fn() -> Timestamp,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    /// The tables by their names, with the records by their ids.
    tables: BTreeMap<String, BTreeMap<String, Record>>,
    created: u64,
}

served!(ServiceNow);

impl ServiceNow {
    /// Creates an instance without records. Requests must have the user with the password, or the password as token.
    pub fn new(user: &str, secret: &str, now: fn() -> Timestamp) -> Self {
        Self {
            admission: Admission::new(user, secret, &["Bearer "]),
            user: user.to_owned(),
            now,
            records: Mutex::default(),
        }
    }

    /// Returns a record by its `sys_id`, as the Table API returns it with `sysparm_exclude_reference_link=true`.
    pub fn record(&self, id: &str) -> Option<Value> {
        let records = self.records();
        let mut tables = records.tables.iter();
        let view = View {
            display: "false",
            has_links: false,
            fields: None,
        };
        tables.find_map(|(table, rows)| Some(self.show(table, rows.get(id)?, &view)))
    }

    /// Returns the body of a message that a business rule sends after a change of the record.
    pub fn webhook(&self, id: &str) -> Option<Value> {
        self.record(id)
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().expect("no holder panics")
    }

    fn stamp(&self) -> String {
        (self.now)().strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    fn show(&self, table: &str, record: &Record, view: &View<'_>) -> Value {
        let journals = JOURNALS.iter().map(|(name, _)| *name);
        let names = record.values.keys().map(String::as_str).chain(journals);
        let is_shown = |name: &&str| view.fields.as_ref().is_none_or(|list| list.contains(name));
        let member = |name: &str| {
            let value = record.values.get(name).map_or("", String::as_str);
            let shown: String = match record.journals.get(name) {
                // The Table API returns journal entries as display value only.
                Some(entries) => entries.iter().rev().map(String::as_str).collect(),
                None => label(table, name, value).to_owned(),
            };
            let target = REFERENCES.iter().find(|(known, _)| *known == name);
            let link = target.filter(|_| view.has_links && !value.is_empty());
            let link = link.map(|(_, target)| self.url(target, value));
            let member = match (view.display, link) {
                ("all", None) => json!({ "display_value": shown, "value": value }),
                ("all", Some(link)) => {
                    json!({ "display_value": shown, "link": link, "value": value })
                }
                ("true", None) => json!(shown),
                ("true", Some(link)) => json!({ "display_value": shown, "link": link }),
                (_, None) => json!(value),
                (_, Some(link)) => json!({ "link": link, "value": value }),
            };
            (name.to_owned(), member)
        };
        Value::Object(names.filter(is_shown).map(member).collect())
    }

    fn url(&self, table: &str, id: &str) -> String {
        format!("{}/api/now/table/{table}/{id}", self.admission.base())
    }

    fn list(&self, table: &str, request: &Request<'_>) -> Reply {
        let query = Query::parse(request.parameter("sysparm_query").unwrap_or_default());
        let limit = request.number("sysparm_limit").unwrap_or(LIMIT_DEFAULT);
        let offset = request.number("sysparm_offset").unwrap_or_default();
        let view = View::of(request);
        let records = self.records();
        let rows = records.tables.get(table).into_iter().flatten();
        let mut found: Vec<&Record> = rows
            .map(|(_, record)| record)
            .filter(|record| query.matches(&record.values))
            .collect();
        found.sort_by(|left, right| query.compare(&left.values, &right.values));
        let page: Vec<Value> = found
            .iter()
            .skip(offset)
            .take(limit)
            .map(|record| self.show(table, record, &view))
            .collect();
        let total = found.len();
        let reply = Reply::ok(json!({ "result": page })).header("X-Total-Count", total.to_string());
        if request.is_true("sysparm_suppress_pagination_header") || limit == 0 {
            return reply;
        }
        let last = total.saturating_sub(1) / limit * limit;
        let link = |relation: &str, offset: usize| {
            let url = self.url(table, "");
            let url = url.trim_end_matches('/');
            format!("<{url}?sysparm_limit={limit}&sysparm_offset={offset}>;rel=\"{relation}\"")
        };
        let mut links = vec![link("first", 0)];
        if offset > 0 {
            links.push(link("prev", offset.saturating_sub(limit)));
        }
        if offset + limit < total {
            links.push(link("next", offset + limit));
        }
        links.push(link("last", last));
        reply.header("Link", links.join(","))
    }

    fn create(&self, table: &str, request: &Request<'_>) -> Reply {
        let Some(members) = request.members() else {
            return unreadable();
        };
        let mut records = self.records();
        records.created += 1;
        let count = records.created;
        let hash = blake3::hash(format!("{table} {count}").as_bytes()).to_hex();
        let (at, number) = (
            self.stamp(),
            format!("{}{:07}", prefix(table), 10_000 + count),
        );
        let mut record = Record::default();
        for name in [
            "assigned_to",
            "assignment_group",
            "caller_id",
            "close_code",
            "close_notes",
            "description",
            "short_description",
        ] {
            record.values.insert(name.to_owned(), String::new());
        }
        for (name, value) in [
            ("sys_id", &hash.as_str()[..32]),
            ("number", number.as_str()),
            ("sys_class_name", table),
            ("sys_created_on", at.as_str()),
            ("sys_created_by", self.user.as_str()),
            ("opened_at", at.as_str()),
            ("opened_by", self.user.as_str()),
            ("state", "1"),
            ("impact", "3"),
            ("urgency", "3"),
        ] {
            record.values.insert(name.to_owned(), value.to_owned());
        }
        if let Some(Value::String(id)) = members.get("sys_id") {
            record.values.insert("sys_id".to_owned(), id.clone());
        }
        record.change(&members, &at, &self.user);
        if let Err(reply) = record.check(table) {
            return reply;
        }
        record.touch(&at, &self.user);
        record
            .values
            .insert("sys_mod_count".to_owned(), "0".to_owned());
        let id = record.value("sys_id").to_owned();
        let shown = self.show(table, &record, &View::of(request));
        let reply = Reply::new(StatusCode::CREATED, json!({ "result": shown }))
            .header("Location", self.url(table, &id));
        records
            .tables
            .entry(table.to_owned())
            .or_default()
            .insert(id, record);
        reply
    }

    fn one(&self, table: &str, id: &str, request: &Request<'_>) -> Reply {
        let mut records = self.records();
        let missing = || {
            let detail = "Record doesn't exist or ACL restricts the record retrieval";
            error(StatusCode::NOT_FOUND, "No Record found", detail)
        };
        let Some(rows) = records.tables.get_mut(table) else {
            return missing();
        };
        let Some(record) = rows.get_mut(id) else {
            return missing();
        };
        match request.method {
            "GET" => {}
            "DELETE" => {
                rows.remove(id);
                return Reply::new(StatusCode::NO_CONTENT, Value::Null);
            }
            "PUT" | "PATCH" => {
                let Some(members) = request.members() else {
                    return unreadable();
                };
                let at = self.stamp();
                let mut changed = record.clone();
                let is_changed = changed.change(&members, &at, &self.user);
                if let Err(reply) = changed.check(table) {
                    return reply;
                }
                // An update without a change does not count, as in ServiceNow.
                if is_changed {
                    changed.touch(&at, &self.user);
                    *record = changed;
                }
            }
            _ => return not_allowed(),
        }
        Reply::ok(json!({ "result": self.show(table, record, &View::of(request)) }))
    }

    fn batch(&self, request: &Request<'_>) -> Reply {
        let Some(members) = request.members() else {
            return unreadable();
        };
        let requests = members.get("rest_requests").and_then(Value::as_array);
        let serviced: Vec<Value> = requests
            .into_iter()
            .flatten()
            .map(|one| self.batched(one))
            .collect();
        let id = members
            .get("batch_request_id")
            .map(text)
            .unwrap_or_default();
        Reply::ok(json!({
            "batch_request_id": id, "serviced_requests": serviced, "unserviced_requests": [],
        }))
    }

    fn batched(&self, one: &Value) -> Value {
        let url = one["url"].as_str().unwrap_or_default();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let method = one["method"].as_str().unwrap_or("GET");
        let body = STANDARD.decode(one["body"].as_str().unwrap_or_default());
        if method != "GET" {
            self.admission.count_write();
        }
        let body = body.unwrap_or_default();
        let request = Request::new(method, path, query, &body);
        // A batch inside a batch is not allowed.
        let reply = if self.is_read(path) {
            not_allowed()
        } else {
            self.respond(&request)
        };
        let mut headers: Vec<Value> = reply
            .headers
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        headers.push(json!({ "name": "Content-Type", "value": "application/json;charset=UTF-8" }));
        let body = if reply.body.is_null() {
            String::new()
        } else {
            reply.body.to_string()
        };
        json!({
            "id": one["id"], "status_code": reply.status.as_u16(), "headers": headers, "execution_time": 1,
            "status_text": reply.status.canonical_reason(), "body": STANDARD.encode(body),
        })
    }
}

impl TicketApi for ServiceNow {
    fn admission(&self) -> &Admission {
        &self.admission
    }

    fn denied(&self, reason: Denied) -> Reply {
        match reason {
            Denied::Anonymous | Denied::WrongCredentials => {
                let detail = "Required to provide Auth information";
                error(StatusCode::UNAUTHORIZED, "User Not Authenticated", detail)
                    .header("WWW-Authenticate", "BASIC realm=\"Service-now\"")
            }
            Denied::RateLimited => {
                let detail = "Request rejected by a rate limit rule";
                error(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded", detail)
            }
        }
    }

    /// The requests inside a batch are counted instead of the batch.
    fn is_read(&self, path: &str) -> bool {
        path.ends_with("/batch")
    }

    fn respond(&self, request: &Request<'_>) -> Reply {
        let segments = request.segments();
        let ["api", "now", rest @ ..] = segments.as_slice() else {
            return no_resource();
        };
        let rest = match rest {
            ["v1" | "v2", rest @ ..] => rest,
            rest => rest,
        };
        match (request.method, rest) {
            ("POST", ["batch"]) => self.batch(request),
            ("GET", ["table", table]) => self.list(table, request),
            ("POST", ["table", table]) => self.create(table, request),
            (_, ["table", table, id]) => self.one(table, id, request),
            (_, ["batch"] | ["table", _]) => not_allowed(),
            _ => no_resource(),
        }
    }
}

fn error(status: StatusCode, message: &str, detail: &str) -> Reply {
    let error = json!({ "message": message, "detail": detail });
    Reply::new(status, json!({ "error": error, "status": "failure" }))
}

fn unreadable() -> Reply {
    let message = "Exception while reading request";
    error(
        StatusCode::BAD_REQUEST,
        message,
        "The payload is not valid JSON.",
    )
}

fn not_allowed() -> Reply {
    let detail = "Method not supported";
    error(
        StatusCode::METHOD_NOT_ALLOWED,
        "Method not supported",
        detail,
    )
}

fn no_resource() -> Reply {
    let message = "Requested URI does not represent any resource";
    error(StatusCode::BAD_REQUEST, message, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> ServiceNow {
        ServiceNow::new("desk", "secret", || Timestamp::UNIX_EPOCH)
    }

    fn send(instance: &ServiceNow, method: &str, url: &str, body: &Value) -> Reply {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        instance.respond(&Request::new(method, path, query, body.as_bytes()))
    }

    #[test]
    fn an_incident_without_a_resolution_code_cannot_be_resolved() {
        let instance = instance();
        let url = "/api/now/table/incident";
        let created = send(
            &instance,
            "POST",
            url,
            &json!({ "short_description": "Printer" }),
        );
        assert_eq!(created.status, StatusCode::CREATED);
        let id = created.body["result"]["sys_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let url = format!("{url}/{id}");
        let rejected = send(&instance, "PATCH", &url, &json!({ "state": 6 }));
        assert_eq!(rejected.status, StatusCode::FORBIDDEN);
        let body = json!({ "state": "6", "close_code": "Solved", "close_notes": "New toner" });
        let resolved = send(&instance, "PATCH", &url, &body);
        assert_eq!(resolved.body["result"]["sys_mod_count"], "1");
        // The same values again are not a change.
        send(&instance, "PATCH", &url, &body);
        let record = instance.record(&id).expect("the record");
        assert_eq!(
            (&record["state"], &record["sys_mod_count"]),
            (&json!("6"), &json!("1"))
        );
    }

    #[test]
    fn journal_entries_are_read_newest_first() {
        let instance = instance();
        let url = "/api/now/table/incident";
        let created = send(&instance, "POST", url, &json!({ "comments": "first" }));
        let id = created.body["result"]["sys_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let url = format!("{url}/{id}?sysparm_display_value=all");
        let changed = send(&instance, "PATCH", &url, &json!({ "comments": "second" }));
        let comments = &changed.body["result"]["comments"];
        assert_eq!(comments["value"], "");
        let shown = comments["display_value"].as_str().expect("a text");
        assert!(shown.find("second") < shown.find("first"), "{shown}");
    }

    #[test]
    fn pages_have_links_and_the_total() {
        let instance = instance();
        for _ in 0..5 {
            send(&instance, "POST", "/api/now/table/incident", &Value::Null);
        }
        let url =
            "/api/now/v1/table/incident?sysparm_limit=2&sysparm_offset=2&sysparm_fields=number";
        let reply = send(&instance, "GET", url, &Value::Null);
        assert_eq!(reply.headers[0], ("X-Total-Count", "5".to_owned()));
        assert!(
            reply.headers[1]
                .1
                .contains("sysparm_offset=4>;rel=\"next\"")
        );
        let page = reply.body["result"].as_array().expect("a list");
        assert_eq!(page.len(), 2);
        assert_eq!(page[0].as_object().expect("a record").len(), 1);
    }
}
