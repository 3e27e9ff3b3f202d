//! Works with Jira and Jira Service Management. The URL of the integration is the base URL of the site, such as
//! `https://jira.example.com`. A record is an issue.
//!
//! With a secret, the header `X-Hub-Signature` of a webhook contains the HMAC-SHA256 of the body, and
//! `X-Atlassian-Webhook-Identifier` is the same for each repetition (reference/fleet.md 2.11).
//!
//! The status of an issue changes only by a transition. The desk therefore reads the transitions of the issue before each
//! write. The assignee is written with a request of its own, because the screen of a transition rarely contains it.
//!
//! Jira compares times in a search in the time zone of the account, and returns times in the same time zone. The search has
//! the precision of one minute. Jira Cloud has another path for searches than Jira Data Center, with tokens instead of page
//! numbers.
//!
//! A message about a deleted issue contains the issue with its last status. The desk replaces this status by `DELETED`, so
//! that `ends` of the mapping can end the ticket.

use domain::api_call::plan::PlannedRequest;
use domain::placeholder::percent;
use domain::value::plain;
use serde_json::{Value, json as object_of};

use super::since::{Since, number_of};
use super::{
    Account, Answer, Api, Changes, Delivered, JSON, NotDelivered, PAGE_SIZE, Page, RecordWrite,
    Rights, Signature, Source, json, object, planned, query, second_of, succeeded,
};
use crate::http::{HttpError, HttpResponse};

/// The fields that the desk reads: all that Jira shows in lists.
const FIELDS: (&str, &str) = ("fields", "*navigable");
/// The permissions that the desk needs.
const NEEDED: [&str; 3] = ["BROWSE_PROJECTS", "TRANSITION_ISSUES", "ADD_COMMENTS"];
/// The permissions of administrators, which the desk does not need.
const EXCESS: [&str; 4] = [
    "SYSTEM_ADMIN",
    "ADMINISTER",
    "ADMINISTER_PROJECTS",
    "DELETE_ISSUES",
];
/// The id and the name of the status of a deleted issue. Jira has no such status.
const DELETED: &str = "DELETED";
/// Maximum number of transitions in the reason of a failure.
const NAMED_MAX: usize = 20;

/// The implementation of [`Source`] for Jira.
#[derive(Clone, Copy, Debug)]
pub struct Jira;

impl Source for Jira {
    fn name(&self) -> &'static str {
        "jira"
    }

    fn signature(&self) -> Option<Signature> {
        Some(Signature::sha256("x-hub-signature"))
    }

    fn delivery_header(&self) -> Option<&'static str> {
        Some("x-atlassian-webhook-identifier")
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        let mut body = json(body)?;
        let event = body["webhookEvent"].as_str().unwrap_or_default();
        // An event of another object, such as a sprint, has no issue.
        if !event.is_empty() && !event.starts_with("jira:issue_") && !event.starts_with("comment_")
        {
            return Ok(Delivered::Records(Vec::new()));
        }
        let is_deleted = event == "jira:issue_deleted";
        match body.get_mut("issue").map(Value::take) {
            Some(mut issue @ Value::Object(_)) => {
                if is_deleted {
                    // The last status of a deleted issue is of no use.
                    let status = object_of!({ "id": DELETED, "name": DELETED });
                    match issue.get_mut("fields").and_then(Value::as_object_mut) {
                        Some(fields) => {
                            fields.insert("status".into(), status);
                        }
                        None => issue["fields"] = object_of!({ "status": status }),
                    }
                }
                Ok(Delivered::Records(vec![issue]))
            }
            _ => Err(NotDelivered::Unreadable("`issue` is required".into())),
        }
    }

    fn api(&self) -> Option<&'static dyn Api> {
        Some(&Self)
    }

    fn changes(&self) -> Option<&'static dyn Changes> {
        Some(&Self)
    }
}

/// Returns whether the integration is a site of Jira Cloud.
fn is_cloud(account: &Account) -> bool {
    let url = account.integration.url.trim_end_matches('/');
    url.ends_with(".atlassian.net")
}

impl Changes for Jira {
    fn changed(&self, account: &Account, cursor: &str, size: usize) -> PlannedRequest {
        let since = Since::of(cursor);
        let filter = account.integration.filter.as_str();
        let filter = (!filter.is_empty()).then(|| format!("({filter})"));
        let time = since
            .at
            .map(|at| format!("updated >= \"{}\"", at.strftime("%Y-%m-%d %H:%M")));
        let terms: Vec<String> = filter.into_iter().chain(time).collect();
        let jql = format!("{} ORDER BY updated ASC, key ASC", terms.join(" AND "));
        let (path, page) = if is_cloud(account) {
            ("search/jql", ("nextPageToken", since.page.clone()))
        } else {
            let start = (number_of(&since.page) - 1) * size;
            ("search", ("startAt", start.to_string()))
        };
        let size = size.to_string();
        let mut parameters = vec![("jql", jql.trim_start()), ("maxResults", &size), FIELDS];
        if !page.1.is_empty() {
            parameters.push((page.0, &page.1));
        }
        let path = format!("rest/api/2/{path}{}", query(&parameters));
        planned(account, "GET", &path, None)
    }

    fn page(
        &self,
        _account: &Account,
        cursor: &str,
        _size: usize,
        response: &Result<HttpResponse, HttpError>,
    ) -> Answer<Page> {
        let since = Since::of(cursor);
        succeeded(response).and_read(|mut body| {
            let Value::Array(records) = body["issues"].take() else {
                return Err("`issues` is missing in the response".into());
            };
            let times = records.iter();
            let times = times.filter_map(|record| second_of(&record["fields"]["updated"]));
            let newest = times.max().and_then(|at| at.with().second(0).build().ok());
            // Only Jira Cloud returns a token. Jira Data Center can return fewer issues than the desk asks for.
            let following = if let Value::String(token) = &body["nextPageToken"] {
                Some(token.clone())
            } else {
                let asked = body["maxResults"].as_u64().unwrap_or(u64::MAX);
                let start = body["startAt"].as_u64().unwrap_or_default();
                let seen = start + records.len() as u64;
                let is_full = records.len() as u64 >= asked && asked > 0;
                let has_more = is_full && body["total"].as_u64().is_some_and(|all| all > seen);
                has_more.then(|| (number_of(&since.page) + 1).to_string())
            };
            let has_more = following.is_some();
            Ok(Page {
                records,
                cursor: since.after(newest, following).cursor(),
                has_more,
            })
        })
    }
}

impl Api for Jira {
    fn one(&self, account: &Account, record: &str) -> PlannedRequest {
        let expand = query(&[FIELDS, ("expand", "transitions")]);
        let path = format!("rest/api/2/issue/{}{expand}", percent(record));
        planned(account, "GET", &path, None)
    }

    fn record(&self, response: &Result<HttpResponse, HttpError>) -> Answer<Value> {
        object(response)
    }

    fn route(&self, record: &Value, status: &Value) -> Result<String, String> {
        let status = plain(status);
        let transitions = record["transitions"].as_array();
        let transitions = transitions.map(Vec::as_slice).unwrap_or_default();
        let leads = |transition: &&Value| {
            let to = &transition["to"];
            plain(&to["id"]) == status || plain(&to["name"]) == status
        };
        if let Some(transition) = transitions.iter().find(leads) {
            return Ok(plain(&transition["id"]));
        }
        let possible = transitions.iter().take(NAMED_MAX);
        let possible: Vec<String> = possible
            .map(|one| {
                format!(
                    "{} ({})",
                    plain(&one["to"]["id"]),
                    plain(&one["to"]["name"])
                )
            })
            .collect();
        Err(format!(
            "no transition of the issue leads to the status {status}; possible are: {}",
            possible.join(", ")
        ))
    }

    fn rights(&self, account: &Account) -> Option<PlannedRequest> {
        let names = NEEDED.iter().chain(&EXCESS).copied().collect::<Vec<_>>();
        let path = query(&[("permissions", &names.join(","))]);
        let path = format!("rest/api/2/mypermissions{path}");
        Some(planned(account, "GET", &path, None))
    }

    fn read_rights(&self, response: &Result<HttpResponse, HttpError>) -> Answer<Rights> {
        object(response).and_read(|body| {
            let permissions = body["permissions"]
                .as_object()
                .ok_or("`permissions` is missing in the response")?;
            let has = |name: &str| {
                permissions
                    .get(name)
                    .map(|one| one["havePermission"] == true)
            };
            let named = |names: &[&str], expected: bool| {
                let found = names.iter().filter(|name| has(name) == Some(expected));
                found.map(ToString::to_string).collect()
            };
            Ok(Rights {
                excess: named(&EXCESS, true),
                missing: named(&NEEDED, false),
            })
        })
    }

    fn write(&self, account: &Account, write: &RecordWrite<'_>) -> PlannedRequest {
        let issue = format!("rest/api/2/issue/{}", percent(write.record));
        let Some(status) = &write.status else {
            if write.assignee.is_some() {
                let mut body = write.members();
                if !write.note.is_empty() {
                    let comment = object_of!({ "comment": [{ "add": { "body": write.note } }] });
                    body.insert("update".into(), comment);
                }
                return planned(account, "PUT", &issue, Some((JSON, body.into())));
            }
            let body = object_of!({ "body": write.note });
            let path = format!("{issue}/comment");
            return planned(account, "POST", &path, Some((JSON, body)));
        };
        let mut body = object_of!({ "transition": { "id": status.route } });
        if !write.note.is_empty() {
            body["update"] = object_of!({ "comment": [{ "add": { "body": write.note } }] });
        }
        for (name, value) in status.also {
            body[name] = value.clone();
        }
        let path = format!("{issue}/transitions");
        planned(account, "POST", &path, Some((JSON, body)))
    }

    fn separates_assignee(&self) -> bool {
        true
    }

    fn notes(&self, account: &Account, record: &str) -> PlannedRequest {
        let size = PAGE_SIZE.to_string();
        let page = query(&[("orderBy", "-created"), ("maxResults", &size)]);
        let path = format!("rest/api/2/issue/{}/comment{page}", percent(record));
        planned(account, "GET", &path, None)
    }

    fn has_all_notes(&self, response: &Result<HttpResponse, HttpError>) -> bool {
        let Answer::Done(body) = object(response) else {
            return false;
        };
        let returned = body["comments"].as_array().map(Vec::len);
        let total = body["total"].as_u64();
        let total = total.and_then(|total| usize::try_from(total).ok());
        matches!((total, returned), (Some(total), Some(returned)) if total <= returned)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{AssigneeWrite, StatusWrite};
    use super::*;

    #[test]
    fn the_record_is_the_issue() {
        let read = |body: Value| Jira.read(body.to_string().as_bytes());
        let issue =
            json!({ "id": "10002", "key": "ITSM-5", "fields": { "summary": "No network" } });
        for event in [
            "jira:issue_created",
            "jira:issue_updated",
            "comment_created",
        ] {
            let body = json!({ "timestamp": 1, "webhookEvent": event, "issue": issue });
            assert_eq!(read(body), Ok(Delivered::Records(vec![issue.clone()])));
        }
        let sprint = json!({ "webhookEvent": "sprint_started", "sprint": { "id": 1 } });
        assert_eq!(read(sprint), Ok(Delivered::Records(Vec::new())));
        let without = json!({ "webhookEvent": "jira:issue_created" });
        assert!(read(without).is_err());
    }

    fn account(url: &str) -> Account {
        Account {
            integration: events::integration::Defined {
                url: url.into(),
                filter: "project = ITSM OR project = HR".into(),
                ..events::integration::Defined::default()
            },
            secret: "token".into(),
        }
    }

    fn page(cursor: &str, body: &Value) -> Page {
        let response = Ok(HttpResponse::of(200, body.to_string().as_bytes()));
        match Jira.page(&account("https://jira.example.com"), cursor, 100, &response) {
            Answer::Done(page) => page,
            other => panic!("{other:?}"),
        }
    }

    fn issue(updated: &str) -> Value {
        json!({ "id": "1", "fields": { "updated": updated } })
    }

    #[test]
    fn changed_issues_are_read_in_the_order_of_their_changes() {
        let own = account("https://jira.example.com");
        let first = Jira.changed(&own, "", 100).url;
        assert_eq!(
            first,
            "https://jira.example.com/rest/api/2/search?jql=%28project%20%3D%20ITSM%20OR%20project%20%3D%20HR%29%20ORDER%20BY%20updated%20ASC%2C%20key%20ASC&maxResults=100&fields=%2Anavigable&startAt=0"
        );
        let time = "2026-11-28T10:00:59.120+0800";
        // Jira limits the number of issues to 50.
        let body =
            json!({ "startAt": 0, "maxResults": 50, "total": 51, "issues": vec![issue(time); 50] });
        let read = page("", &body);
        assert_eq!(
            (read.cursor.as_str(), read.has_more),
            ("2026-11-28T10:00:00", true)
        );
        let second = Jira.changed(&own, &read.cursor, 100).url;
        assert!(
            second.contains("updated%20%3E%3D%20%222026-11-28%2010%3A00%22"),
            "{second}"
        );
        // All issues of the page were changed in the same minute.
        assert_eq!(page(&read.cursor, &body).cursor, "2026-11-28T10:00:00|2");
        let last = json!({ "startAt": 0, "maxResults": 50, "total": 1, "issues": [issue(time)] });
        let read = page("2026-11-28T09:50:00", &last);
        assert_eq!(
            (read.cursor.as_str(), read.has_more),
            ("2026-11-28T09:58:00", false)
        );
    }

    #[test]
    fn a_deleted_issue_has_a_status_of_its_own() {
        let read = |event: &str, issue: Value| {
            let body = json!({ "webhookEvent": event, "issue": issue }).to_string();
            match Jira.read(body.as_bytes()) {
                Ok(Delivered::Records(mut records)) => records.remove(0),
                other => panic!("{other:?}"),
            }
        };
        let issue = json!({ "id": "1", "fields": { "summary": "x", "status": { "id": "3", "name": "Open" } } });
        let deleted = json!({ "id": "DELETED", "name": "DELETED" });
        let updated = read("jira:issue_updated", issue.clone());
        assert_eq!(updated["fields"]["status"]["id"], "3");
        let read_deleted = read("jira:issue_deleted", issue);
        assert_eq!(
            read_deleted["fields"],
            json!({ "summary": "x", "status": deleted })
        );
        // Some versions send only the id and the key.
        for fields in [json!(null), json!("x")] {
            let short = read("jira:issue_deleted", json!({ "id": "1", "fields": fields }));
            assert_eq!(short["fields"], json!({ "status": deleted }));
        }
    }

    #[test]
    fn rights_of_administrators_are_not_needed() {
        let own = account("https://jira.example.com");
        let planned = Jira.rights(&own).expect("a request");
        assert!(
            planned
                .url
                .contains("/rest/api/2/mypermissions?permissions=BROWSE_PROJECTS%2C")
        );
        let has = |has: bool| json!({ "id": "1", "key": "x", "havePermission": has });
        let body = json!({ "permissions": {
            "BROWSE_PROJECTS": has(true), "TRANSITION_ISSUES": has(false), "ADMINISTER": has(true), "DELETE_ISSUES": has(false),
        } });
        let response = Ok(HttpResponse::of(200, body.to_string().as_bytes()));
        let rights = Rights {
            excess: vec!["ADMINISTER".into()],
            missing: vec!["TRANSITION_ISSUES".into()],
        };
        assert_eq!(Jira.read_rights(&response), Answer::Done(rights));
        let without = Ok(HttpResponse::of(200, b"{}"));
        assert!(matches!(Jira.read_rights(&without), Answer::Unclear(_)));
    }

    #[test]
    fn jira_cloud_continues_with_a_token() {
        let cloud = account("https://x.atlassian.net/");
        let url = Jira.changed(&cloud, "", 100).url;
        assert!(url.contains("/rest/api/2/search/jql?jql="), "{url}");
        assert!(
            !url.contains("nextPageToken") && !url.contains("startAt"),
            "{url}"
        );
        let time = "2026-11-28T10:00:59.120+0800";
        let body = json!({ "issues": [issue(time)], "nextPageToken": "t|1", "isLast": false });
        let read = page("2026-11-28T10:00:00", &body);
        assert_eq!(
            (read.cursor.as_str(), read.has_more),
            ("2026-11-28T10:00:00|t|1", true)
        );
        let url = Jira.changed(&cloud, &read.cursor, 100).url;
        assert!(url.ends_with("nextPageToken=t%7C1"), "{url}");
    }

    #[test]
    fn a_status_is_written_by_the_transition_that_leads_to_it() {
        let record = json!({ "transitions": [
            { "id": "11", "to": { "id": "3", "name": "In Progress" } },
            { "id": "21", "to": { "id": "5", "name": "Resolved" } },
        ] });
        assert_eq!(Jira.route(&record, &json!("5")), Ok("21".into()));
        assert_eq!(Jira.route(&record, &json!("In Progress")), Ok("11".into()));
        let reason = Jira.route(&record, &json!("6")).unwrap_err();
        assert!(
            reason.contains("possible are: 3 (In Progress), 5 (Resolved)"),
            "{reason}"
        );
        let also = json!({ "fields": { "resolution": { "name": "Done" } } });
        let state = json!("5");
        let write = RecordWrite {
            record: "10002",
            status: Some(StatusWrite {
                status: &state,
                pointer: "/fields/status/id",
                also: also.as_object().expect("an object"),
                route: "21",
            }),
            assignee: None,
            note: "INC1",
        };
        let planned = Jira.write(&account("https://jira.example.com"), &write);
        assert!(planned.url.ends_with("/rest/api/2/issue/10002/transitions"));
        let body = planned.body.expect("a body");
        assert_eq!(body["transition"]["id"], "21");
        assert_eq!(body["update"]["comment"][0]["add"]["body"], "INC1");
        assert_eq!(body["fields"]["resolution"]["name"], "Done");
        let site = account("https://jira.example.com");
        let only_note = RecordWrite {
            status: None,
            ..write
        };
        let planned = Jira.write(&site, &only_note);
        assert!(planned.url.ends_with("/rest/api/2/issue/10002/comment"));
        assert_eq!(planned.body, Some(json!({ "body": "INC1" })));
        let person = json!("z.san");
        let only_assignee = RecordWrite {
            assignee: Some(AssigneeWrite {
                account: &person,
                pointer: "/fields/assignee/name",
            }),
            note: "",
            ..only_note
        };
        let planned = Jira.write(&site, &only_assignee);
        assert_eq!(planned.method, "PUT");
        assert!(planned.url.ends_with("/rest/api/2/issue/10002"));
        assert_eq!(
            planned.body,
            Some(json!({ "fields": { "assignee": { "name": "z.san" } } }))
        );
        let with_note = RecordWrite {
            note: "handed over",
            ..only_assignee
        };
        let body = Jira.write(&site, &with_note).body.expect("a body");
        assert_eq!(body["update"]["comment"][0]["add"]["body"], "handed over");
        assert_eq!(body["fields"]["assignee"]["name"], "z.san");
        let has_all = |body: &Value| {
            let response = HttpResponse::of(200, body.to_string().as_bytes());
            Jira.has_all_notes(&Ok(response))
        };
        assert!(has_all(
            &json!({ "total": 1, "comments": [{ "body": "a" }] })
        ));
        assert!(!has_all(
            &json!({ "total": 2, "comments": [{ "body": "a" }] })
        ));
        assert!(!has_all(&json!({ "comments": [] })));
        let url = Jira.notes(&site, "10002").url;
        assert!(
            url.ends_with("/10002/comment?orderBy=-created&maxResults=100"),
            "{url}"
        );
    }
}
