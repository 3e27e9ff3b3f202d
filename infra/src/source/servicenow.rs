//! Works with one table of ServiceNow, such as `incident`. The URL of the integration is the URL of this table in the Table
//! API: `https://<instance>.service-now.com/api/now/table/incident`.
//!
//! Messages are outbound REST messages of a flow or a business rule, with a record of the Table API. A message is one
//! record, or an object with the record or the list of records in `result`, as the Table API returns it. ServiceNow does not
//! sign messages; a script can sign them as those of the kind `generic_json`.
//!
//! The API returns times in UTC, but compares times in a query in the time zone of the account. The account of the desk
//! therefore needs the time zone GMT.

use domain::api_call::plan::PlannedRequest;
use domain::placeholder::percent;
use serde_json::Value;

use super::since::{self, Since, number_of};
use super::{
    Account, Answer, Api, Changes, Delivered, JSON, NotDelivered, Page, RecordWrite, Signature,
    Source, json, object, planned, query, records_of, succeeded,
};
use crate::http::{HttpError, HttpResponse};

/// The parameter with which references are ids, as in messages, and not objects.
const PLAIN: (&str, &str) = ("sysparm_exclude_reference_link", "true");

/// The implementation of [`Source`] for ServiceNow.
#[derive(Clone, Copy, Debug)]
pub struct ServiceNow;

impl Source for ServiceNow {
    fn name(&self) -> &'static str {
        "servicenow"
    }

    fn signature(&self) -> Option<Signature> {
        Some(Signature::sha256("x-signature-256"))
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        records_of(json(body)?, "result")
    }

    fn api(&self) -> Option<&'static dyn Api> {
        Some(&Self)
    }

    fn changes(&self) -> Option<&'static dyn Changes> {
        Some(&Self)
    }
}

impl Changes for ServiceNow {
    fn changed(&self, account: &Account, cursor: &str, size: usize) -> PlannedRequest {
        let since = Since::of(cursor);
        let filter = account.integration.filter.as_str();
        let time = since
            .at
            .map(|at| format!("sys_updated_on>={}", at.strftime("%Y-%m-%d %H:%M:%S")));
        let order = "ORDERBYsys_updated_on^ORDERBYsys_id".to_owned();
        let terms = (!filter.is_empty()).then(|| filter.to_owned());
        let terms: Vec<String> = terms.into_iter().chain(time).chain([order]).collect();
        let offset = ((number_of(&since.page) - 1) * size).to_string();
        let path = query(&[
            ("sysparm_query", &terms.join("^")),
            ("sysparm_limit", &size.to_string()),
            ("sysparm_offset", &offset),
            PLAIN,
        ]);
        planned(account, "GET", &path, None)
    }

    fn page(
        &self,
        _account: &Account,
        cursor: &str,
        size: usize,
        response: &Result<HttpResponse, HttpError>,
    ) -> Answer<Page> {
        let since = Since::of(cursor);
        succeeded(response).and_read(|mut body| {
            let Value::Array(records) = body["result"].take() else {
                return Err("`result` is missing in the response".into());
            };
            Ok(since::page(&since, records, "/sys_updated_on", size))
        })
    }
}

impl Api for ServiceNow {
    fn one(&self, account: &Account, record: &str) -> PlannedRequest {
        let path = format!("{}{}", percent(record), query(&[PLAIN]));
        planned(account, "GET", &path, None)
    }

    fn record(&self, response: &Result<HttpResponse, HttpError>) -> Answer<Value> {
        object(response).and_read(|mut body| match body["result"].take() {
            record @ Value::Object(_) => Ok(record),
            _ => Err("`result` is missing in the response".into()),
        })
    }

    fn write(&self, account: &Account, write: &RecordWrite<'_>) -> PlannedRequest {
        let mut body = write.members();
        if !write.note.is_empty() {
            body.insert("work_notes".into(), write.note.into());
        }
        write.also(&mut body);
        let path = format!("{}{}", percent(write.record), query(&[PLAIN]));
        planned(account, "PATCH", &path, Some((JSON, body.into())))
    }

    /// The Table API returns journal entries only as display values.
    fn notes(&self, account: &Account, record: &str) -> PlannedRequest {
        let journal = query(&[
            ("sysparm_display_value", "true"),
            ("sysparm_fields", "sys_id,work_notes"),
        ]);
        planned(
            account,
            "GET",
            &format!("{}{journal}", percent(record)),
            None,
        )
    }

    /// A response without `work_notes` does not show whether the record has notes, for example because the account may not
    /// read them.
    fn read_notes(&self, response: &Result<HttpResponse, HttpError>) -> Answer<String> {
        self.record(response).and_read(|record| {
            let notes = &record["work_notes"];
            let shown = notes.get("display_value").unwrap_or(notes);
            match shown.as_str() {
                Some(notes) => Ok(notes.to_owned()),
                None => Err("`work_notes` is missing in the response".into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use events::integration::Defined;
    use serde_json::{Map, json};

    use super::super::StatusWrite;
    use super::*;

    #[test]
    fn a_message_is_a_record_or_a_response_of_the_table_api() {
        let record = json!({ "sys_id": "46d44a23a9fe19810012d100cca80666", "number": "INC0010112", "sys_mod_count": "4" });
        for body in [
            record.clone(),
            json!({ "result": record }),
            json!({ "result": [record] }),
        ] {
            let read = ServiceNow.read(body.to_string().as_bytes());
            assert_eq!(read, Ok(Delivered::Records(vec![record.clone()])));
        }
    }

    fn account() -> Account {
        Account {
            integration: Defined {
                url: "https://x.service-now.com/api/now/table/incident/".into(),
                user: "desk".into(),
                filter: "active=true".into(),
                ..Defined::default()
            },
            secret: "s3cret".into(),
        }
    }

    #[test]
    fn changed_records_are_read_in_the_order_of_their_changes() {
        let url = |cursor: &str| ServiceNow.changed(&account(), cursor, 100).url;
        assert_eq!(
            url(""),
            "https://x.service-now.com/api/now/table/incident?sysparm_query=active%3Dtrue%5EORDERBYsys_updated_on%5EORDERBYsys_id&sysparm_limit=100&sysparm_offset=0&sysparm_exclude_reference_link=true"
        );
        let later = url("2026-11-28T10:00:05|3");
        assert!(
            later.contains("sys_updated_on%3E%3D2026-11-28%2010%3A00%3A05"),
            "{later}"
        );
        assert!(later.contains("sysparm_offset=200"), "{later}");
        let record = |second: usize| json!({ "sys_id": second.to_string(), "sys_updated_on": format!("2026-11-28 10:00:{second:02}") });
        let page = |cursor: &str, count: usize| {
            let records: Vec<Value> = (0..count).map(|at| record(at % 60)).collect();
            let body = json!({ "result": records }).to_string();
            ServiceNow.page(
                &account(),
                cursor,
                100,
                &Ok(HttpResponse::of(200, body.as_bytes())),
            )
        };
        let Answer::Done(full) = page("", 100) else {
            panic!("a page")
        };
        assert_eq!(
            (full.cursor.as_str(), full.has_more),
            ("2026-11-28T10:00:59", true)
        );
        let Answer::Done(last) = page(&full.cursor, 60) else {
            panic!("a page")
        };
        assert_eq!((last.records.len(), last.has_more), (60, false));
        assert_eq!(last.cursor, "2026-11-28T09:58:59");
    }

    #[test]
    fn a_status_is_written_with_a_note_and_further_members() {
        let (state, also) = (json!("6"), json!({ "close_code": "Solved (Permanently)" }));
        let status = StatusWrite {
            status: &state,
            pointer: "/state",
            also: also.as_object().expect("an object"),
            route: "",
        };
        let write = RecordWrite {
            record: "46d4",
            status: Some(status),
            assignee: None,
            note: "INC1",
        };
        let planned = ServiceNow.write(&account(), &write);
        assert_eq!(planned.method, "PATCH");
        assert!(
            planned.url.contains("/incident/46d4?sysparm_exclude"),
            "{}",
            planned.url
        );
        assert_eq!(
            planned.body.expect("a body"),
            json!({ "state": "6", "work_notes": "INC1", "close_code": "Solved (Permanently)" })
        );
        let read = |body: &str| ServiceNow.record(&Ok(HttpResponse::of(200, body.as_bytes())));
        assert_eq!(
            read(r#"{"result":{"state":"6"}}"#),
            Answer::Done(json!({ "state": "6" }))
        );
        assert!(matches!(read(r#"{"result":[]}"#), Answer::Unclear(_)));
        let empty = Map::new();
        let plain = RecordWrite {
            status: Some(StatusWrite {
                also: &empty,
                ..status
            }),
            ..write
        };
        let body = ServiceNow.write(&account(), &plain).body;
        assert_eq!(body, Some(json!({ "state": "6", "work_notes": "INC1" })));
        let only_note = RecordWrite {
            status: None,
            ..write
        };
        let body = ServiceNow.write(&account(), &only_note).body;
        assert_eq!(body, Some(json!({ "work_notes": "INC1" })));
        let notes = |body: &str| ServiceNow.read_notes(&Ok(HttpResponse::of(200, body.as_bytes())));
        let done = |text: &str| Answer::Done(text.to_owned());
        let read = notes(r#"{"result":{"sys_id":"46d4","work_notes":"[ledgerdesk INC1/1]"}}"#);
        assert_eq!(read, done("[ledgerdesk INC1/1]"));
        assert_eq!(notes(r#"{"result":{"work_notes":""}}"#), done(""));
        let object = notes(r#"{"result":{"work_notes":{"display_value":"a note","value":""}}}"#);
        assert_eq!(object, done("a note"));
        for unreadable in [
            r#"{"result":{"sys_id":"46d4"}}"#,
            r#"{"result":{"sys_id":"46d4","work_notes":null}}"#,
            r#"{"result":[]}"#,
            "{}",
        ] {
            assert!(
                matches!(notes(unreadable), Answer::Unclear(_)),
                "{unreadable}"
            );
        }
        let url = ServiceNow.notes(&account(), "46d4").url;
        assert!(
            url.ends_with("/46d4?sysparm_display_value=true&sysparm_fields=sys_id%2Cwork_notes"),
            "{url}"
        );
    }
}
