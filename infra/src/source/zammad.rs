//! Works with Zammad. The URL of the integration is the base URL of the site. A record is a ticket, without its articles.
//!
//! The header `X-Hub-Signature` of a webhook contains the HMAC-SHA1 of the body, and `X-Zammad-Delivery` is an id of the
//! message (reference/fleet.md 2.11).
//!
//! The API returns the names of people and values as texts, but a webhook contains objects. The desk gives records of the
//! API the form of a webhook, so that one mapping fits both.

use domain::api_call::plan::PlannedRequest;
use domain::placeholder::percent;
use serde_json::{Value, json as object_of};

use super::since::{self, Since, number_of};
use super::{
    Account, Answer, Api, AssigneeWrite, Changes, Delivered, JSON, NotDelivered, Page, RecordWrite,
    Rights, Signature, Source, json, object, planned_with, query, succeeded,
};
use crate::http::{HttpError, HttpResponse};

/// The role that the desk needs, and the role of administrators. The roles of other organizations have other names.
const AGENT: &str = "Agent";
const ADMIN: &str = "Admin";
/// The text before an access token in the header `Authorization`.
const TOKEN: &str = "Token token=";
/// The members that are objects in a webhook and texts in the API, with the name of the text in the object.
const OBJECTS: [(&str, &str); 7] = [
    ("group", "name"),
    ("priority", "name"),
    ("organization", "name"),
    ("customer", "login"),
    ("owner", "login"),
    ("created_by", "login"),
    ("updated_by", "login"),
];

/// The implementation of [`Source`] for Zammad.
#[derive(Clone, Copy, Debug)]
pub struct Zammad;

impl Source for Zammad {
    fn name(&self) -> &'static str {
        "zammad"
    }

    fn signature(&self) -> Option<Signature> {
        Some(Signature::sha1("x-hub-signature"))
    }

    fn delivery_header(&self) -> Option<&'static str> {
        Some("x-zammad-delivery")
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        let mut body = json(body)?;
        match body.get_mut("ticket").map(Value::take) {
            Some(ticket @ Value::Object(_)) => Ok(Delivered::Records(vec![ticket])),
            _ => Err(NotDelivered::Unreadable("`ticket` is required".into())),
        }
    }

    fn api(&self) -> Option<&'static dyn Api> {
        Some(&Self)
    }

    fn changes(&self) -> Option<&'static dyn Changes> {
        Some(&Self)
    }
}

impl Changes for Zammad {
    fn changed(&self, account: &Account, cursor: &str, size: usize) -> PlannedRequest {
        let since = Since::of(cursor);
        let filter = account.integration.filter.as_str();
        let filter = (!filter.is_empty()).then(|| format!("({filter})"));
        let begin = since.at.map_or_else(
            || "*".to_owned(),
            |at| format!("\"{}\"", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
        );
        let time = format!("updated_at:[{begin} TO *]");
        let terms: Vec<String> = filter.into_iter().chain([time]).collect();
        let size = size.to_string();
        let path = query(&[
            ("query", &terms.join(" AND ")),
            ("sort_by", "updated_at"),
            ("order_by", "asc"),
            ("page", &number_of(&since.page).to_string()),
            ("per_page", &size),
            ("limit", &size),
            ("expand", "true"),
        ]);
        let path = format!("api/v1/tickets/search{path}");
        planned_with(account, TOKEN, "GET", &path, None)
    }

    fn page(
        &self,
        _account: &Account,
        cursor: &str,
        size: usize,
        response: &Result<HttpResponse, HttpError>,
    ) -> Answer<Page> {
        let since = Since::of(cursor);
        succeeded(response).and_read(|body| {
            let Value::Array(records) = body else {
                return Err("the response is not a list of tickets".into());
            };
            let records = records.into_iter().map(as_in_webhooks).collect();
            Ok(since::page(&since, records, "/updated_at", size))
        })
    }
}

impl Api for Zammad {
    fn one(&self, account: &Account, record: &str) -> PlannedRequest {
        let path = format!("api/v1/tickets/{}?expand=true", percent(record));
        planned_with(account, TOKEN, "GET", &path, None)
    }

    fn record(&self, response: &Result<HttpResponse, HttpError>) -> Answer<Value> {
        object(response).and_read(|ticket| Ok(as_in_webhooks(ticket)))
    }

    fn rights(&self, account: &Account) -> Option<PlannedRequest> {
        let path = "api/v1/users/me?expand=true";
        Some(planned_with(account, TOKEN, "GET", path, None))
    }

    fn read_rights(&self, response: &Result<HttpResponse, HttpError>) -> Answer<Rights> {
        object(response).and_read(|user| {
            let roles = user["roles"]
                .as_array()
                .ok_or("`roles` is missing in the response")?;
            let has = |role: &str| roles.iter().any(|name| name == role);
            let named = |role: &str, is_named: bool| -> Vec<String> {
                is_named
                    .then(|| format!("role {role}"))
                    .into_iter()
                    .collect()
            };
            Ok(Rights {
                excess: named(ADMIN, has(ADMIN)),
                missing: named(AGENT, !has(AGENT)),
            })
        })
    }

    fn write(&self, account: &Account, write: &RecordWrite<'_>) -> PlannedRequest {
        let assignee = write.assignee.map(|assignee| AssigneeWrite {
            pointer: in_the_api(assignee.pointer),
            ..assignee
        });
        let mut body = RecordWrite { assignee, ..*write }.members();
        if !write.note.is_empty() {
            let article = object_of!({
                "subject": "", "body": write.note, "type": "note", "internal": true, "content_type": "text/plain",
            });
            body.insert("article".into(), article);
        }
        write.also(&mut body);
        let path = format!("api/v1/tickets/{}", percent(write.record));
        planned_with(account, TOKEN, "PUT", &path, Some((JSON, body.into())))
    }

    fn notes(&self, account: &Account, record: &str) -> PlannedRequest {
        let path = format!("api/v1/ticket_articles/by_ticket/{}", percent(record));
        planned_with(account, TOKEN, "GET", &path, None)
    }
}

/// Returns the place of a value in a request. A member that is an object in a webhook is a text in the API.
fn in_the_api(pointer: &str) -> &str {
    let inner = |(outer, inner): (&str, &str)| {
        let rest = pointer.strip_prefix('/')?.strip_prefix(outer)?;
        let is_text = rest.strip_prefix('/') == Some(inner);
        is_text.then(|| &pointer[..=outer.len()])
    };
    OBJECTS.into_iter().find_map(inner).unwrap_or(pointer)
}

/// Gives a ticket of the API the form of a ticket in a webhook.
fn as_in_webhooks(mut ticket: Value) -> Value {
    for (name, inner) in OBJECTS {
        if let Some(text @ Value::String(_)) = ticket.get_mut(name).map(Value::take) {
            ticket[name] = object_of!({ inner: text });
        }
    }
    ticket
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::StatusWrite;
    use super::*;

    #[test]
    fn the_record_is_the_ticket_without_its_article() {
        let ticket = json!({ "id": 81, "number": "10081", "title": "Order 787556", "updated_at": "2026-11-18T23:42:53Z" });
        let body = json!({ "ticket": ticket, "article": { "body": "text" } });
        let read = Zammad.read(body.to_string().as_bytes());
        assert_eq!(read, Ok(Delivered::Records(vec![ticket])));
        assert!(Zammad.read(br#"{"article":{}}"#).is_err());
    }

    fn account(user: &str) -> Account {
        Account {
            integration: events::integration::Defined {
                url: "https://zammad.example.com".into(),
                user: user.into(),
                filter: "group.name:IT".into(),
                ..events::integration::Defined::default()
            },
            secret: "s3cret".into(),
        }
    }

    #[test]
    fn changed_tickets_have_the_form_of_a_webhook() {
        let planned = Zammad.changed(&account(""), "2026-11-28T10:00:05|2", 100);
        assert_eq!(planned.headers[0].1, "Token token=s3cret");
        assert!(
            planned.url.starts_with("https://zammad.example.com/api/v1/tickets/search?query=%28group.name%3AIT%29%20AND%20updated_at%3A%5B%222026-11-28T10%3A00%3A05Z%22%20TO%20%2A%5D&sort_by=updated_at&order_by=asc&page=2&"),
            "{}",
            planned.url
        );
        assert_eq!(
            Zammad.changed(&account("desk"), "", 100).headers[0].1,
            "Basic ZGVzazpzM2NyZXQ="
        );
        let body = json!([{ "id": 81, "state": "open", "priority": "2 normal", "customer": "lisi@example.com",
            "updated_at": "2026-11-28T10:00:07.123Z", "owner": null }]);
        let response = Ok(HttpResponse::of(200, body.to_string().as_bytes()));
        let Answer::Done(page) = Zammad.page(&account(""), "", 100, &response) else {
            panic!("a page")
        };
        assert_eq!(
            (page.cursor.as_str(), page.has_more),
            ("2026-11-28T09:58:07", false)
        );
        let record = &page.records[0];
        assert_eq!(record["state"], "open");
        assert_eq!(record["priority"]["name"], "2 normal");
        assert_eq!(record["customer"]["login"], "lisi@example.com");
    }

    #[test]
    fn the_role_of_administrators_is_not_needed() {
        let read = |roles: Value| {
            let body = json!({ "login": "desk", "roles": roles }).to_string();
            Zammad.read_rights(&Ok(HttpResponse::of(200, body.as_bytes())))
        };
        assert_eq!(read(json!(["Agent"])), Answer::Done(Rights::default()));
        let rights = Rights {
            excess: vec!["role Admin".into()],
            missing: vec!["role Agent".into()],
        };
        assert_eq!(read(json!(["Admin", "Customer"])), Answer::Done(rights));
        assert!(matches!(read(Value::Null), Answer::Unclear(_)));
    }

    #[test]
    fn a_status_is_written_with_an_internal_note() {
        let (state, person, also) = (json!("closed"), json!("z.san"), serde_json::Map::new());
        let write = RecordWrite {
            record: "81",
            status: Some(StatusWrite {
                status: &state,
                pointer: "/state",
                also: &also,
                route: "",
            }),
            assignee: Some(AssigneeWrite {
                account: &person,
                pointer: "/owner/login",
            }),
            note: "INC1",
        };
        let planned = Zammad.write(&account(""), &write);
        assert_eq!(planned.method, "PUT");
        let body = planned.body.expect("a body");
        assert_eq!(
            (&body["state"], &body["article"]["body"]),
            (&json!("closed"), &json!("INC1"))
        );
        assert_eq!(body["article"]["internal"], true);
        assert_eq!(body["owner"], "z.san");
        let only_note = RecordWrite {
            status: None,
            assignee: None,
            ..write
        };
        let body = Zammad.write(&account(""), &only_note).body;
        let body = body.expect("a body");
        assert_eq!(body.as_object().expect("an object").len(), 1, "{body}");
        assert_eq!(in_the_api("/owner_id"), "/owner_id");
        let notes = Zammad.notes(&account(""), "81").url;
        assert!(
            notes.ends_with("/api/v1/ticket_articles/by_ticket/81"),
            "{notes}"
        );
    }
}
