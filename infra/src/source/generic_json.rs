//! Reads messages of any system that sends JSON. A message is one record, a list of records, or an object with the list
//! `records`. A signed message has the header `X-Signature-256`: `sha256=` and the HMAC-SHA256 of the body.
//!
//! The desk can write the status of the ticket back over REST: it reads a record with `GET <url>/<id>`, and changes it with
//! `PATCH <url>/<id>`, as most ticket systems and CRMs permit. The body of the change is a merge patch (RFC 7396) with the
//! status and the assignee at their places in the record, and the text `note`. The desk finds a note of its own anywhere in
//! the record.
//!
//! The desk can read the changed records from a list, in the form that `list` of the integration describes.

use domain::api_call::plan::PlannedRequest;
use domain::placeholder::percent;
use serde_json::Value;

use super::{
    Account, Answer, Api, Changes, Delivered, NotDelivered, Page, RecordWrite, Signature, Source,
    json, object, planned, records_of, rest_list,
};
use crate::http::{HttpError, HttpResponse};

/// The implementation of [`Source`] for any system that sends JSON.
#[derive(Clone, Copy, Debug)]
pub struct GenericJson;

impl Source for GenericJson {
    fn name(&self) -> &'static str {
        "generic_json"
    }

    fn signature(&self) -> Option<Signature> {
        Some(Signature::sha256("x-signature-256"))
    }

    fn delivery_header(&self) -> Option<&'static str> {
        Some("x-delivery-id")
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        records_of(json(body)?, "records")
    }

    fn api(&self) -> Option<&'static dyn Api> {
        Some(&Self)
    }

    fn has_described_list(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<&'static dyn Changes> {
        Some(&Self)
    }
}

impl Changes for GenericJson {
    fn changed(&self, account: &Account, cursor: &str, size: usize) -> PlannedRequest {
        let list = account.integration.list.clone().unwrap_or_default();
        rest_list::changed(account, &list, cursor, size)
    }

    fn page(
        &self,
        account: &Account,
        cursor: &str,
        _size: usize,
        response: &Result<HttpResponse, HttpError>,
    ) -> Answer<Page> {
        let list = account.integration.list.clone().unwrap_or_default();
        rest_list::page(account, &list, cursor, response)
    }
}

impl Api for GenericJson {
    fn one(&self, account: &Account, record: &str) -> PlannedRequest {
        planned(account, "GET", &percent(record), None)
    }

    fn record(&self, response: &Result<HttpResponse, HttpError>) -> Answer<Value> {
        object(response)
    }

    fn write(&self, account: &Account, write: &RecordWrite<'_>) -> PlannedRequest {
        let mut body = write.members();
        if !write.note.is_empty() {
            body.insert("note".into(), write.note.into());
        }
        write.also(&mut body);
        let body = ("application/merge-patch+json", body.into());
        planned(account, "PATCH", &percent(write.record), Some(body))
    }

    /// A system can keep only the last note, because a merge patch replaces it.
    fn has_all_notes(&self, _response: &Result<HttpResponse, HttpError>) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use events::integration::Defined;
    use serde_json::{Map, json};

    use super::super::{AssigneeWrite, StatusWrite};
    use super::*;

    #[test]
    fn a_message_is_a_record_or_a_list() {
        let read = |text: &str| GenericJson.read(text.as_bytes());
        let records = |list| Ok(Delivered::Records(list));
        assert_eq!(read(r#"{"id":1}"#), records(vec![json!({ "id": 1 })]));
        assert_eq!(read(r#"[{"id":1}]"#), records(vec![json!({ "id": 1 })]));
        assert_eq!(
            read(r#"{"records":[{"id":1},{"id":2}]}"#),
            records(vec![json!({ "id": 1 }), json!({ "id": 2 })])
        );
        assert_eq!(
            read(r#"[{"id":1},2]"#),
            Err(NotDelivered::Unreadable("record 1 is not an object".into()))
        );
        let many = format!("[{}{{}}]", "{},".repeat(100));
        assert!(read(&many).is_err());
    }

    #[test]
    fn a_status_is_a_merge_patch_at_its_place() {
        let mut account = Account {
            integration: Defined {
                url: "https://crm.example.com/api/tickets/".into(),
                ..Defined::default()
            },
            secret: "token".into(),
        };
        let (status, also) = (
            json!("closed"),
            Map::from_iter([("reason".to_owned(), json!("done"))]),
        );
        let write = RecordWrite {
            record: "CS 1/2",
            status: Some(StatusWrite {
                status: &status,
                pointer: "/state/na~1me",
                also: &also,
                route: "",
            }),
            assignee: None,
            note: "INC1",
        };
        let planned = GenericJson.write(&account, &write);
        assert_eq!(
            (planned.method.as_str(), planned.url.as_str()),
            ("PATCH", "https://crm.example.com/api/tickets/CS%201%2F2")
        );
        assert_eq!(planned.headers[0].1, "Bearer token");
        assert_eq!(
            planned.body.unwrap(),
            json!({ "state": { "na/me": "closed" }, "note": "INC1", "reason": "done" })
        );
        let assigned = json!("z.san");
        let both = RecordWrite {
            assignee: Some(AssigneeWrite {
                account: &assigned,
                pointer: "/state/owner",
            }),
            ..write
        };
        assert_eq!(
            GenericJson.write(&account, &both).body.unwrap(),
            json!({ "state": { "na/me": "closed", "owner": "z.san" }, "note": "INC1", "reason": "done" })
        );
        let only_assignee = RecordWrite {
            status: None,
            note: "",
            ..both
        };
        assert_eq!(
            GenericJson.write(&account, &only_assignee).body.unwrap(),
            json!({ "state": { "owner": "z.san" } })
        );
        let notes =
            |body: &str| GenericJson.read_notes(&Ok(HttpResponse::of(200, body.as_bytes())));
        assert!(
            matches!(notes(r#"{"id":7,"note":"a [ledgerdesk INC1/1]"}"#), Answer::Done(text) if text.contains("[ledgerdesk INC1/1]"))
        );
        assert!(matches!(notes(""), Answer::Unclear(_)));
        account.integration.user = "desk".into();
        let planned = GenericJson.one(&account, "7");
        assert_eq!(planned.headers[0].1, "Basic ZGVzazp0b2tlbg==");
        let record =
            |status, body: &str| GenericJson.record(&Ok(HttpResponse::of(status, body.as_bytes())));
        assert_eq!(record(200, r#"{"id":7}"#), Answer::Done(json!({ "id": 7 })));
        assert!(matches!(record(200, "[]"), Answer::Unclear(_)));
        assert!(matches!(record(404, ""), Answer::Rejected(_)));
    }
}
