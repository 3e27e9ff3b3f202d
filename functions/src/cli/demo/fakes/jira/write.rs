//! Changes the issues of an imitated project of Jira.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Issue, Jira, TRANSITIONS, failed, invalid, stamp};
use crate::cli::demo::fakes::ticket_api::{Reply, Request, text};

const PRIORITIES: [(&str, &str); 5] = [
    ("1", "Highest"),
    ("2", "High"),
    ("3", "Medium"),
    ("4", "Low"),
    ("5", "Lowest"),
];
/// Fields that only Jira itself sets.
const FIXED: [&str; 5] = ["comment", "created", "status", "updated", "resolutiondate"];

impl Jira {
    /// Reads the fields of a body. Returns the messages for invalid fields.
    fn read(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, Map<String, Value>> {
        let (mut fields, mut errors) = (Map::new(), Map::new());
        for (name, value) in given {
            let read = match name.as_str() {
                fixed if FIXED.contains(&fixed) => Err(format!(
                    "Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
                )),
                "summary" if text(value).trim().is_empty() => {
                    Err("You must specify a summary of the issue.".to_owned())
                }
                "priority" => {
                    let is =
                        |(id, name): &&(&str, &str)| value["id"] == *id || value["name"] == *name;
                    let found = PRIORITIES.iter().find(is);
                    let found = found.map(|(id, name)| json!({ "id": id, "name": name }));
                    found.ok_or_else(|| "The priority selected is invalid.".to_owned())
                }
                "project" if value["key"] == self.project.as_str() || value["id"] == "10000" => {
                    Ok(self.project())
                }
                "project" => Err("valid project is required".to_owned()),
                "reporter" | "assignee" => Ok(match value["name"].as_str() {
                    Some(person) => self.person(person),
                    None => Value::Null,
                }),
                _ => Ok(value.clone()),
            };
            match read {
                Ok(value) => fields.insert(name.clone(), value),
                Err(reason) => errors.insert(name.clone(), Value::String(reason)),
            };
        }
        if errors.is_empty() {
            Ok(fields)
        } else {
            Err(errors)
        }
    }

    pub(super) fn create(&self, request: &Request<'_>) -> Reply {
        let given = request
            .members()
            .and_then(|body| body.get("fields")?.as_object().cloned());
        let Some(given) = given else {
            return failed(
                StatusCode::BAD_REQUEST,
                "one of 'fields' or 'update' required",
            );
        };
        let mut fields = match self.read(&given) {
            Ok(fields) => fields,
            Err(errors) => return invalid(errors),
        };
        let mut errors = Map::new();
        for (name, reason) in [
            ("project", "project is required"),
            ("summary", "You must specify a summary of the issue."),
            ("issuetype", "issue type is required"),
        ] {
            if !fields.contains_key(name) {
                errors.insert(name.to_owned(), json!(reason));
            }
        }
        if !errors.is_empty() {
            return invalid(errors);
        }
        for (name, value) in [
            ("assignee", Value::Null),
            ("description", Value::Null),
            ("labels", json!([])),
            ("priority", json!({ "id": "3", "name": "Medium" })),
            ("reporter", self.person(&self.user)),
            ("resolution", Value::Null),
        ] {
            fields.entry(name).or_insert(value);
        }
        let mut issues = self.issues();
        let number = issues.last().map_or(1, |issue| issue.number + 1);
        let now = (self.now)();
        let (id, key) = (
            (10_000 + number).to_string(),
            format!("{}-{number}", self.project),
        );
        let url = self.url(&format!("issue/{id}"));
        let reply = json!({ "id": id, "key": key, "self": url });
        issues.push(Issue {
            number,
            id,
            key,
            status: "1",
            fields,
            comments: Vec::new(),
            change: json!([]),
            created: now,
            updated: now,
        });
        Reply::new(StatusCode::CREATED, reply)
    }

    pub(super) fn update(&self, issue: &mut Issue, body: &Map<String, Value>) -> Reply {
        let given = body.get("fields").and_then(Value::as_object);
        let mut given = given.cloned().unwrap_or_default();
        let update = body.get("update").and_then(Value::as_object);
        for (name, operations) in update.into_iter().flatten() {
            for operation in operations.as_array().into_iter().flatten() {
                if let Some(value) = operation.get("set") {
                    given.insert(name.clone(), value.clone());
                } else if let Some(value) = operation.get("add").filter(|_| name != "comment") {
                    let known = given.get(name).or_else(|| issue.fields.get(name));
                    let mut list = known.and_then(Value::as_array).cloned().unwrap_or_default();
                    list.push(value.clone());
                    given.insert(name.clone(), Value::Array(list));
                }
            }
        }
        match self.read(&given) {
            Ok(fields) => {
                let items = fields.iter().map(|(name, value)| {
                    let known = issue.fields.get(name).map(text);
                    json!({ "field": name, "fieldtype": "jira", "fromString": known, "toString": text(value) })
                });
                let items: Value = items.collect();
                issue.fields.extend(fields);
                issue.change = items;
                self.add_comments(issue, body);
                issue.updated = (self.now)();
                Reply::new(StatusCode::NO_CONTENT, Value::Null)
            }
            Err(errors) => invalid(errors),
        }
    }

    /// Adds the comments in the member `update` of a body.
    fn add_comments(&self, issue: &mut Issue, body: &Map<String, Value>) {
        let operations = body.get("update").map(|update| &update["comment"]);
        let operations = operations.and_then(Value::as_array).into_iter().flatten();
        for operation in operations.filter(|operation| operation["add"].is_object()) {
            self.add_comment(issue, &operation["add"]);
        }
    }

    pub(super) fn add_comment(&self, issue: &mut Issue, given: &Value) -> Value {
        let id = format!("{}{:03}", issue.id, issue.comments.len() + 1);
        let at = (self.now)();
        let comment = json!({
            "self": self.url(&format!("issue/{}/comment/{id}", issue.id)), "id": id, "body": text(&given["body"]),
            "author": self.person(&self.user), "updateAuthor": self.person(&self.user),
            "created": stamp(at), "updated": stamp(at),
        });
        issue.comments.push(comment.clone());
        issue.updated = at;
        comment
    }

    pub(super) fn transit(&self, issue: &mut Issue, body: &Map<String, Value>) -> Reply {
        let id = body
            .get("transition")
            .map(|transition| text(&transition["id"]));
        let id = id.unwrap_or_default();
        let mut allowed = TRANSITIONS
            .iter()
            .filter(|(_, _, from, _)| from.contains(&issue.status));
        let Some((_, _, _, to)) = allowed.find(|(known, ..)| *known == id) else {
            let reason = format!("Transition id '{id}' is not valid for this issue.");
            return failed(StatusCode::BAD_REQUEST, &reason);
        };
        let (before, after) = (self.status(issue.status), self.status(to));
        issue.status = *to;
        let resolution = match *to {
            "5" | "6" => json!({ "id": "10000", "name": "Done" }),
            _ => Value::Null,
        };
        issue.fields.insert("resolution".to_owned(), resolution);
        let items = json!([{
            "field": "status", "fieldtype": "jira", "from": before["id"], "fromString": before["name"],
            "to": after["id"], "toString": after["name"],
        }]);
        issue.change = items;
        self.add_comments(issue, body);
        issue.updated = (self.now)();
        Reply::new(StatusCode::NO_CONTENT, Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::cli::demo::fakes::ticket_api::TicketApi;

    fn send(jira: &Jira, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("/rest/api/2/{path}");
        jira.respond(&Request::new(method, &path, "", body.as_bytes()))
    }

    fn created() -> Jira {
        let jira = Jira::new("desk", "secret", "ITSM", || Timestamp::UNIX_EPOCH);
        let fields = json!({
            "project": { "key": "ITSM" }, "issuetype": { "name": "Incident" }, "summary": "Printer",
        });
        let reply = send(&jira, "POST", "issue", &json!({ "fields": fields }));
        assert_eq!(
            (reply.status, &reply.body["key"]),
            (StatusCode::CREATED, &json!("ITSM-1"))
        );
        jira
    }

    #[test]
    fn only_transitions_from_the_current_status_are_possible() {
        let jira = created();
        for (transition, status, expected) in [
            (json!("41"), 400, "1"),
            (json!(11), 204, "3"),
            (json!("11"), 400, "3"),
            (json!("21"), 204, "5"),
            (json!("41"), 204, "4"),
            (json!("21"), 400, "4"),
            (json!("31"), 204, "6"),
            (json!("11"), 400, "6"),
        ] {
            let body = json!({
                "transition": { "id": transition }, "update": { "comment": [{ "add": { "body": "note" } }] },
            });
            let reply = send(&jira, "POST", "issue/10001/transitions", &body);
            assert_eq!(reply.status.as_u16(), status, "{transition}");
            let record = jira.record("ITSM-1").expect("the issue");
            assert_eq!(record["fields"]["status"]["id"], expected, "{transition}");
        }
        let record = jira.record("ITSM-1").expect("the issue");
        assert_eq!(record["fields"]["comment"]["total"], 4);
    }

    #[test]
    fn a_status_is_not_a_field_that_can_be_set() {
        let jira = created();
        let body = json!({ "fields": { "status": { "id": "5" }, "summary": "" } });
        let reply = send(&jira, "PUT", "issue/ITSM-1", &body);
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(reply.body["errors"].as_object().map(Map::len), Some(2));
        let body = json!({ "fields": { "priority": { "name": "High" } } });
        assert_eq!(
            send(&jira, "PUT", "issue/ITSM-1", &body).status,
            StatusCode::NO_CONTENT
        );
        let record = jira.record("10001").expect("the issue");
        assert_eq!(record["fields"]["priority"]["id"], "2");
        assert_eq!(
            send(&jira, "GET", "issue/ITSM-2", &Value::Null).status,
            StatusCode::NOT_FOUND
        );
    }
}
