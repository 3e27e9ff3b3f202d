//! Imitates a project of Jira Service Management (Data Center) with its REST API, version 2: issues, comments,
//! transitions between statuses, and the search with JQL.

mod jql;
mod write;

use std::sync::{Mutex, MutexGuard};

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::jql::{Jql, Subject};
use super::ticket_api::{Admission, Denied, Reply, Request, TicketApi, served, text};

/// Number of issues in a page if the request names no number.
const PAGE_DEFAULT: usize = 50;
/// Maximum number of issues in a page: the default of `jira.search.views.default.max`.
const PAGE_MAX: usize = 1_000;
/// The statuses: id, name, category.
const STATUSES: [(&str, &str, &str); 5] = [
    ("1", "Open", "new"),
    ("3", "In Progress", "indeterminate"),
    ("4", "Reopened", "new"),
    ("5", "Resolved", "done"),
    ("6", "Closed", "done"),
];
/// The transitions: id, name, statuses before, status after.
const TRANSITIONS: [(&str, &str, &[&str], &str); 4] = [
    ("11", "Start progress", &["1", "4"], "3"),
    ("21", "Resolve", &["1", "3"], "5"),
    ("31", "Close", &["1", "3", "4", "5"], "6"),
    ("41", "Reopen", &["5"], "4"),
];

/// An imitated project of Jira.
pub struct Jira {
    admission: Admission,
    user: String,
    project: String,
    now: fn() -> Timestamp,
    issues: Mutex<Vec<Issue>>,
}

struct Issue {
    number: u64,
    id: String,
    key: String,
    /// The id of the status.
    status: &'static str,
    /// The fields that a request can set, and the resolution.
    fields: Map<String, Value>,
    comments: Vec<Value>,
    /// The items of the last change, for the changelog of the webhook.
    change: Value,
    created: Timestamp,
    updated: Timestamp,
}

served!(Jira);

impl Jira {
    /// Creates a project without issues. Requests must have the user with the password, or the password as token.
    pub fn new(user: &str, secret: &str, project: &str, now: fn() -> Timestamp) -> Self {
        Self {
            admission: Admission::new(user, secret, &["Bearer "]),
            user: user.to_owned(),
            project: project.to_owned(),
            now,
            issues: Mutex::default(),
        }
    }

    /// Returns an issue by its id or key, as the API returns it.
    pub fn record(&self, id: &str) -> Option<Value> {
        let issues = self.issues();
        let issue = issues.iter().find(|issue| issue.is(id))?;
        Some(self.show(issue, &[]))
    }

    /// Returns the body of the webhook that Jira sends after a change of the issue.
    pub fn webhook(&self, id: &str) -> Option<Value> {
        let issues = self.issues();
        let issue = issues.iter().find(|issue| issue.is(id))?;
        let is_new = issue.created == issue.updated;
        let (event, kind) = if is_new {
            ("jira:issue_created", "issue_created")
        } else {
            ("jira:issue_updated", "issue_generic")
        };
        let mut body = json!({
            "timestamp": issue.updated.as_millisecond(), "webhookEvent": event, "issue_event_type_name": kind,
            "user": self.person(&self.user), "issue": self.show(issue, &[]),
        });
        if !is_new {
            body["changelog"] =
                json!({ "id": issue.updated.as_millisecond().to_string(), "items": issue.change });
        }
        Some(body)
    }

    fn issues(&self) -> MutexGuard<'_, Vec<Issue>> {
        self.issues.lock().expect("no holder panics")
    }

    fn url(&self, path: &str) -> String {
        format!("{}/rest/api/2/{path}", self.admission.base())
    }

    fn person(&self, name: &str) -> Value {
        let address = if name.contains('@') {
            name.to_owned()
        } else {
            format!("{name}@example.com")
        };
        json!({
            "self": self.url(&format!("user?username={name}")), "name": name, "key": name, "displayName": name,
            "emailAddress": address, "active": true, "timeZone": "Etc/UTC",
        })
    }

    fn status(&self, id: &str) -> Value {
        let known = STATUSES.iter().find(|(known, ..)| *known == id);
        let (id, name, category) = known.copied().unwrap_or(STATUSES[0]);
        json!({
            "self": self.url(&format!("status/{id}")), "id": id, "name": name, "description": "",
            "statusCategory": { "key": category },
        })
    }

    /// Returns an issue with the fields in `wanted`, or with all fields if the list is empty.
    fn show(&self, issue: &Issue, wanted: &[&str]) -> Value {
        let comments = json!({
            "comments": issue.comments, "startAt": 0, "maxResults": issue.comments.len(),
            "total": issue.comments.len(),
        });
        let mut fields = issue.fields.clone();
        for (name, value) in [
            ("comment", comments),
            ("created", json!(stamp(issue.created))),
            ("status", self.status(issue.status)),
            ("updated", json!(stamp(issue.updated))),
        ] {
            fields.insert(name.to_owned(), value);
        }
        let is_all =
            wanted.iter().all(|name| name.starts_with(['*', '-'])) || wanted.contains(&"*all");
        fields.retain(|name, _| {
            let is_excluded = wanted
                .iter()
                .any(|known| known.strip_prefix('-') == Some(name.as_str()));
            !is_excluded && (is_all || wanted.contains(&name.as_str()))
        });
        json!({
            "expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
            "id": issue.id, "key": issue.key, "self": self.url(&format!("issue/{}", issue.id)), "fields": fields,
        })
    }

    fn transitions(&self, issue: &Issue) -> Vec<Value> {
        let allowed = TRANSITIONS
            .iter()
            .filter(|(_, _, from, _)| from.contains(&issue.status));
        allowed
            .map(|(id, name, _, to)| json!({ "id": id, "name": name, "to": self.status(to) }))
            .collect()
    }

    fn project(&self) -> Value {
        json!({ "self": self.url("project/10000"), "id": "10000", "key": self.project, "name": self.project })
    }

    fn search(&self, request: &Request<'_>) -> Reply {
        let Some(body) = request.members() else {
            return unreadable();
        };
        let number = |name: &str| {
            let given = body.get(name).and_then(Value::as_u64);
            let given = given.and_then(|given| usize::try_from(given).ok());
            given.or_else(|| request.number(name))
        };
        let query = body.get("jql").and_then(Value::as_str);
        let query = query
            .or_else(|| request.parameter("jql"))
            .unwrap_or_default();
        let parsed = match Jql::parse(query) {
            Ok(parsed) => parsed,
            Err(reason) => return failed(StatusCode::BAD_REQUEST, &reason),
        };
        let mut projects = parsed.projects();
        if let Some(unknown) = projects.find(|name| !name.eq_ignore_ascii_case(&self.project)) {
            let reason = format!("The value '{unknown}' does not exist for the field 'project'.");
            return failed(StatusCode::BAD_REQUEST, &reason);
        }
        let listed = body
            .get("fields")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut wanted: Vec<&str> = listed.filter_map(Value::as_str).collect();
        wanted.extend(request.all("fields").flat_map(|list| list.split(',')));
        let issues = self.issues();
        let subjects = issues.iter().map(|issue| (self.subject(issue), issue));
        let mut found: Vec<_> = subjects
            .filter(|(subject, _)| parsed.matches(subject))
            .collect();
        found.sort_by(|(left, _), (right, _)| parsed.compare(left, right));
        let start = number("startAt").unwrap_or_default();
        let size = number("maxResults").unwrap_or(PAGE_DEFAULT).min(PAGE_MAX);
        let page = found.iter().skip(start).take(size);
        let page: Vec<Value> = page.map(|(_, issue)| self.show(issue, &wanted)).collect();
        Reply::ok(json!({
            "expand": "schema,names", "startAt": start, "maxResults": size, "total": found.len(), "issues": page,
        }))
    }

    fn subject<'a>(&'a self, issue: &'a Issue) -> Subject<'a> {
        let status = STATUSES.iter().find(|(id, ..)| *id == issue.status);
        Subject {
            number: issue.number,
            id: &issue.id,
            key: &issue.key,
            project: &self.project,
            status: status.map_or((issue.status, ""), |(id, name, _)| (*id, *name)),
            created: issue.created,
            updated: issue.updated,
        }
    }

    fn one(&self, id: &str, rest: &[&str], request: &Request<'_>) -> Reply {
        let mut issues = self.issues();
        let Some(issue) = issues.iter_mut().find(|issue| issue.is(id)) else {
            return failed(StatusCode::NOT_FOUND, "Issue Does Not Exist");
        };
        let Some(body) = request.members() else {
            return unreadable();
        };
        match (request.method, rest) {
            ("GET", []) => {
                let wanted: Vec<&str> = request
                    .all("fields")
                    .flat_map(|list| list.split(','))
                    .collect();
                let mut shown = self.show(issue, &wanted);
                let expand = request.parameter("expand").unwrap_or_default();
                if expand.split(',').any(|name| name == "transitions") {
                    shown["transitions"] = Value::Array(self.transitions(issue));
                }
                Reply::ok(shown)
            }
            ("PUT", []) => self.update(issue, &body),
            ("GET", ["transitions"]) => {
                let mut transitions = self.transitions(issue);
                if let Some(id) = request.parameter("transitionId") {
                    transitions.retain(|transition| transition["id"] == id);
                }
                Reply::ok(json!({ "expand": "transitions", "transitions": transitions }))
            }
            ("POST", ["transitions"]) => self.transit(issue, &body),
            ("GET", ["comment"]) => Reply::ok(json!({
                "startAt": 0, "maxResults": 1_048_576, "total": issue.comments.len(), "comments": issue.comments,
            })),
            ("POST", ["comment"]) if body.get("body").map(text).unwrap_or_default().is_empty() => {
                invalid(Map::from_iter([(
                    "comment".to_owned(),
                    json!("Comment body can not be empty!"),
                )]))
            }
            ("POST", ["comment"]) => {
                let comment = self.add_comment(issue, &Value::Object(body));
                Reply::new(StatusCode::CREATED, comment)
            }
            ("GET", ["comment", id]) => match issue.comments.iter().find(|one| one["id"] == *id) {
                Some(comment) => Reply::ok(comment.clone()),
                None => failed(
                    StatusCode::NOT_FOUND,
                    &format!("Can not find a comment for the id: {id}."),
                ),
            },
            _ => failed(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed"),
        }
    }
}

impl Issue {
    fn is(&self, id: &str) -> bool {
        self.id == id || self.key.eq_ignore_ascii_case(id)
    }
}

impl TicketApi for Jira {
    fn admission(&self) -> &Admission {
        &self.admission
    }

    fn denied(&self, reason: Denied) -> Reply {
        let (status, message) = match reason {
            Denied::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded."),
            Denied::Anonymous | Denied::WrongCredentials => (
                StatusCode::UNAUTHORIZED,
                "Client must be authenticated to access this resource.",
            ),
        };
        let reply = Reply::new(
            status,
            json!({ "message": message, "status-code": status.as_u16() }),
        );
        match reason {
            Denied::WrongCredentials => {
                reply.header("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
            }
            Denied::RateLimited | Denied::Anonymous => reply,
        }
    }

    fn respond(&self, request: &Request<'_>) -> Reply {
        let segments = request.segments();
        let ["rest", "api", "2" | "latest", rest @ ..] = segments.as_slice() else {
            return failed(StatusCode::NOT_FOUND, "null for uri");
        };
        match (request.method, rest) {
            ("GET", ["serverInfo"]) => Reply::ok(json!({
                "baseUrl": self.admission.base(), "version": "9.12.0", "versionNumbers": [9, 12, 0],
                "deploymentType": "Server", "buildNumber": 912_000, "serverTitle": "Jira",
                "serverTime": stamp((self.now)()),
            })),
            ("GET", ["myself"]) => Reply::ok(self.person(&self.user)),
            ("GET", ["field"]) => {
                let names = [
                    "summary",
                    "description",
                    "status",
                    "priority",
                    "reporter",
                    "assignee",
                    "project",
                ];
                let times = [
                    "created",
                    "updated",
                    "issuetype",
                    "labels",
                    "resolution",
                    "comment",
                ];
                let fields = names.iter().chain(&times).map(|name| {
                    json!({ "id": name, "name": name, "custom": false, "navigable": true, "clauseNames": [name] })
                });
                Reply::ok(fields.collect())
            }
            ("GET", ["project", key]) if *key == self.project || *key == "10000" => {
                let mut project = self.project();
                project["issueTypes"] =
                    json!([{ "id": "10001", "name": "Incident", "subtask": false }]);
                Reply::ok(project)
            }
            ("GET" | "POST", ["search"]) => self.search(request),
            ("POST", ["issue"]) => self.create(request),
            (_, ["issue", id, rest @ ..]) => self.one(id, rest, request),
            _ => failed(StatusCode::NOT_FOUND, "null for uri"),
        }
    }
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string()
}

fn failed(status: StatusCode, reason: &str) -> Reply {
    Reply::new(status, json!({ "errorMessages": [reason], "errors": {} }))
}

fn invalid(errors: Map<String, Value>) -> Reply {
    Reply::new(
        StatusCode::BAD_REQUEST,
        json!({ "errorMessages": [], "errors": errors }),
    )
}

fn unreadable() -> Reply {
    failed(StatusCode::BAD_REQUEST, "The payload is not valid JSON.")
}
