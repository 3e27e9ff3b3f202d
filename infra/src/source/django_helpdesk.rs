//! Reads the tickets of django-helpdesk 2 over its REST API, and writes follow-ups. Its webhooks are not signed, so a
//! webhook is only a hint: the desk then reads the tickets.
//!
//! The API has no filter by time. The desk reads all open tickets, page by page. The records have no time of their last
//! change either.
//!
//! A follow-up never has a `title`, because django-helpdesk would rename the ticket to this title
//! (findings/django-helpdesk-follow-up-renames-the-ticket.sh).

use domain::api_call::plan::PlannedRequest;
use domain::placeholder::percent;
use serde_json::{Value, json};

use super::{
    Account, Answer, Api, Changes, Delivered, JSON, NotDelivered, Page, RecordWrite, Source,
    object, planned,
};
use crate::http::{HttpError, HttpResponse};

/// Number of tickets on one page.
const PAGE_SIZE: usize = 50;
/// The statuses of open tickets: Open and Reopened.
const OPEN: &str = "1,2";

/// The implementation of [`Source`] for django-helpdesk.
#[derive(Clone, Copy, Debug)]
pub struct DjangoHelpdesk;

impl Source for DjangoHelpdesk {
    fn name(&self) -> &'static str {
        "django_helpdesk"
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        let body = super::json(body)?;
        if body.get("ticket").is_some_and(Value::is_object) {
            Ok(Delivered::Hint)
        } else {
            Err(NotDelivered::Unreadable("`ticket` is required".into()))
        }
    }

    fn needs_user(&self) -> bool {
        true
    }

    fn api(&self) -> Option<&'static dyn Api> {
        Some(&Self)
    }

    fn changes(&self) -> Option<&'static dyn Changes> {
        Some(&Self)
    }
}

impl Changes for DjangoHelpdesk {
    fn page_size(&self) -> usize {
        PAGE_SIZE
    }

    fn changed(&self, account: &Account, cursor: &str, size: usize) -> PlannedRequest {
        let page = page_of(cursor);
        let path = format!("api/tickets/?status={OPEN}&page={page}&page_size={size}");
        planned(account, "GET", &path, None)
    }

    fn page(
        &self,
        _account: &Account,
        cursor: &str,
        _size: usize,
        response: &Result<HttpResponse, HttpError>,
    ) -> Answer<Page> {
        let page = page_of(cursor);
        // A ticket was closed between two requests, so the last page no longer exists.
        if page > 1 && matches!(response, Ok(response) if response.status == 404) {
            return Answer::Done(Page {
                records: Vec::new(),
                cursor: String::new(),
                has_more: false,
            });
        }
        super::succeeded(response).and_read(|body| {
            let Some(results) = body["results"].as_array() else {
                return Err("`results` is missing in the response".into());
            };
            let has_more = !body["next"].is_null();
            let cursor = if has_more {
                (page + 1).to_string()
            } else {
                String::new()
            };
            Ok(Page {
                records: results.iter().cloned().map(trimmed).collect(),
                cursor,
                has_more,
            })
        })
    }
}

impl Api for DjangoHelpdesk {
    fn one(&self, account: &Account, record: &str) -> PlannedRequest {
        let path = format!("api/tickets/{}/", percent(record));
        planned(account, "GET", &path, None)
    }

    fn record(&self, response: &Result<HttpResponse, HttpError>) -> Answer<Value> {
        object(response).and_read(|ticket| Ok(trimmed(ticket)))
    }

    fn write(&self, account: &Account, write: &RecordWrite<'_>) -> PlannedRequest {
        if write.assignee.is_some() && write.status.is_none() {
            let path = format!("api/tickets/{}/", percent(write.record));
            let body = write.members().into();
            return planned(account, "PATCH", &path, Some((JSON, body)));
        }
        let mut body = json!({
            "ticket": write.record, "comment": without_templates(write.note), "public": true,
        });
        if let Some(status) = &write.status {
            body["new_status"] = status.status.clone();
            for (name, value) in status.also {
                body[name] = value.clone();
            }
        }
        planned(account, "POST", "api/followups/", Some((JSON, body)))
    }

    /// A follow-up cannot change the person to whom a ticket is assigned.
    fn separates_assignee(&self) -> bool {
        true
    }
}

/// Separates the signs that begin a part of a Django template. django-helpdesk renders the comment as a template.
fn without_templates(note: &str) -> String {
    let mut text = String::with_capacity(note.len());
    for letter in note.chars() {
        if matches!(letter, '{' | '%' | '#') && text.ends_with('{') {
            text.push(' ');
        }
        text.push(letter);
    }
    text
}

fn page_of(cursor: &str) -> u32 {
    cursor.parse().unwrap_or(1)
}

/// Removes the follow-ups of a ticket, which change with each write of the desk.
fn trimmed(mut ticket: Value) -> Value {
    if let Some(members) = ticket.as_object_mut() {
        members.remove("followup_set");
    }
    ticket
}

#[cfg(test)]
mod tests {
    use events::integration::Defined;
    use serde_json::Map;

    use super::super::{AssigneeWrite, StatusWrite};
    use super::*;

    fn account() -> Account {
        Account {
            integration: Defined {
                name: "helpdesk".into(),
                kind: "django_helpdesk".into(),
                url: "https://helpdesk.example.com/".into(),
                user: "desk".into(),
                ..Defined::default()
            },
            secret: "s3cret".into(),
        }
    }

    fn page(cursor: &str, status: u16, body: &str) -> Answer<Page> {
        DjangoHelpdesk.page(
            &account(),
            cursor,
            50,
            &Ok(HttpResponse::of(status, body.as_bytes())),
        )
    }

    #[test]
    fn open_tickets_are_read_page_by_page() {
        let planned = DjangoHelpdesk.changed(&account(), "", 50);
        assert_eq!(
            planned.url,
            "https://helpdesk.example.com/api/tickets/?status=1,2&page=1&page_size=50"
        );
        assert_eq!(planned.headers[0].1, "Basic ZGVzazpzM2NyZXQ=");
        let first =
            r#"{"count":51,"next":"https://x","results":[{"id":1,"followup_set":[{"id":7}]}]}"#;
        assert_eq!(
            page("", 200, first),
            Answer::Done(Page {
                records: vec![json!({ "id": 1 })],
                cursor: "2".into(),
                has_more: true,
            })
        );
        assert!(
            DjangoHelpdesk
                .changed(&account(), "2", 50)
                .url
                .contains("page=2&")
        );
        let last = Answer::Done(Page {
            records: Vec::new(),
            cursor: String::new(),
            has_more: false,
        });
        let empty = r#"{"count":50,"next":null,"results":[]}"#;
        assert_eq!(page("2", 200, empty), last);
        assert_eq!(page("2", 404, "{}"), last);
        assert!(matches!(page("", 404, "{}"), Answer::Rejected(_)));
        assert!(matches!(page("", 200, "<html>"), Answer::Unclear(_)));
        assert!(matches!(page("", 429, ""), Answer::NotSent(_)));
    }

    #[test]
    fn a_status_is_a_follow_up_without_a_title() {
        let (state, also, person) = (json!(3), Map::new(), json!(4));
        let write = RecordWrite {
            record: "7",
            status: Some(StatusWrite {
                status: &state,
                pointer: "/status",
                also: &also,
                route: "",
            }),
            assignee: None,
            note: "REQ1 FINISHED",
        };
        let planned = DjangoHelpdesk.write(&account(), &write);
        assert_eq!(planned.url, "https://helpdesk.example.com/api/followups/");
        let body = planned.body.unwrap();
        assert_eq!(
            body,
            json!({ "ticket": "7", "comment": "REQ1 FINISHED", "public": true, "new_status": 3 })
        );
        let template = RecordWrite {
            status: None,
            note: "{{{ x }} {% now %} {# a #}",
            ..write
        };
        let body = DjangoHelpdesk.write(&account(), &template).body.unwrap();
        assert_eq!(
            body,
            json!({ "ticket": "7", "comment": "{ { { x }} { % now %} { # a #}", "public": true })
        );
        let assigned = RecordWrite {
            assignee: Some(AssigneeWrite {
                account: &person,
                pointer: "/assigned_to",
            }),
            note: "",
            ..template
        };
        let planned = DjangoHelpdesk.write(&account(), &assigned);
        assert_eq!(
            (planned.method.as_str(), planned.url.as_str()),
            ("PATCH", "https://helpdesk.example.com/api/tickets/7/")
        );
        assert_eq!(planned.body, Some(json!({ "assigned_to": 4 })));
    }

    #[test]
    fn a_webhook_is_a_hint() {
        let hint = DjangoHelpdesk.read(br#"{"ticket":{"id":1},"queue_slug":"it"}"#);
        assert_eq!(hint, Ok(Delivered::Hint));
        assert!(DjangoHelpdesk.read(br#"{"ticket":7}"#).is_err());
    }
}
