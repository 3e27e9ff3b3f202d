//! Works with Atlas CMMS (open source, Grashjs/cmms). The URL of the integration is the base URL of the API. A record is a work
//! order.
//!
//! The secret of the integration is an API key, in the header `X-API-Key`. The user name is not used, because the token of a
//! login expires after 30 minutes. The statuses are `OPEN`, `IN_PROGRESS`, `ON_HOLD` and `COMPLETE`. By default, Atlas permits
//! an account 100 requests a minute and 1,000 requests an hour.
//!
//! **Webhooks.** The header `X-Webhook-Signature` contains the hexadecimal HMAC-SHA256 of the body, and `X-Webhook-Id` is an id
//! of the message. Atlas sends each message once. A webhook sends one type of event and has a secret of its own. The body
//! contains the id of the work order, and the work order itself in `newWorkOrder`, `changedWorkOrder`, `deleteWorkOrder` or
//! `triggeredWorkOrder`. This member is null if the webhook does not serialize.
//!
//! **Search.** The body of `POST /work-orders/search` contains conditions (`filterFields`), the page, its size and the order.
//! Pages begin at 0. Atlas reads the time in a condition in the time zone of its server, which therefore must be UTC. The text
//! `filter` of the integration is one condition or a list of conditions in JSON.
//!
//! **Writes.** `PATCH /work-orders/{id}/change-status` replaces the status, the feedback and the signature of the person who
//! completes the order. The note of the desk becomes the feedback. The desk does not use `PATCH /work-orders/{id}`, because it
//! sets all absent members to their defaults. It therefore cannot write the assignee. Remarks become comments
//! (`POST /comments`), because a later status replaces the feedback.

use domain::api_call::plan::PlannedRequest;
use domain::placeholder::percent;
use serde_json::{Value, json as object_of};

use super::since::{self, Since, number_of};
use super::{
    Account, Answer, Api, Changes, Delivered, JSON, NotDelivered, Page, RecordWrite, Signature,
    Source, json, object, planned_as, succeeded,
};
use crate::http::{HttpError, HttpResponse};

/// The member with the work order in a message about a deletion.
const DELETED: &str = "deleteWorkOrder";
/// The members with the work order in the other messages.
const MEMBERS: [&str; 3] = ["newWorkOrder", "changedWorkOrder", "triggeredWorkOrder"];

/// The implementation of [`Source`] for Atlas CMMS.
#[derive(Clone, Copy, Debug)]
pub struct Atlas;

impl Source for Atlas {
    fn name(&self) -> &'static str {
        "atlas"
    }

    fn signature(&self) -> Option<Signature> {
        Some(Signature::plain_sha256("x-webhook-signature"))
    }

    fn delivery_header(&self) -> Option<&'static str> {
        Some("x-webhook-id")
    }

    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        let mut body = json(body)?;
        if !body.get("companyId").is_some_and(Value::is_number) {
            return Err(NotDelivered::Unreadable("`companyId` is required".into()));
        }
        // An event of another object, such as an asset, has no work order.
        if !body.get("workOrderId").is_some_and(Value::is_number) {
            return Ok(Delivered::Records(Vec::new()));
        }
        let mut taken = |member: &str| {
            let order = body.get_mut(member).map(Value::take);
            order.filter(Value::is_object)
        };
        if let Some(mut order) = taken(DELETED) {
            // The last status of a deleted order is of no use.
            order["status"] = "DELETED".into();
            return Ok(Delivered::Records(vec![order]));
        }
        let order = MEMBERS.into_iter().find_map(taken);
        Ok(order.map_or(Delivered::Hint, |order| Delivered::Records(vec![order])))
    }

    fn api(&self) -> Option<&'static dyn Api> {
        Some(&Self)
    }

    fn changes(&self) -> Option<&'static dyn Changes> {
        Some(&Self)
    }
}

/// Builds a request with the API key of the account.
fn keyed(account: &Account, method: &str, path: &str, body: Option<Value>) -> PlannedRequest {
    let identity = ("X-API-Key", account.secret.clone());
    let body = body.map(|body| (JSON, body));
    planned_as(account, identity, method, path, body)
}

/// Returns the conditions in the filter of an integration. Atlas rejects a search with a text that is not JSON, so a wrong
/// filter is not ignored.
fn conditions(filter: &str) -> Vec<Value> {
    if filter.trim().is_empty() {
        return Vec::new();
    }
    match serde_json::from_str(filter) {
        Ok(Value::Array(conditions)) => conditions,
        Ok(condition) => vec![condition],
        Err(_) => vec![filter.into()],
    }
}

impl Changes for Atlas {
    fn changed(&self, account: &Account, cursor: &str, size: usize) -> PlannedRequest {
        let since = Since::of(cursor);
        let mut conditions = conditions(&account.integration.filter);
        if let Some(at) = since.at {
            conditions.push(object_of!({
                "field": "updatedAt", "operation": "ge", "enumName": "JS_DATE",
                "value": at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
            }));
        }
        let body = object_of!({
            "filterFields": conditions, "sortField": "updatedAt", "direction": "ASC",
            "pageNum": number_of(&since.page).saturating_sub(1), "pageSize": size,
        });
        keyed(account, "POST", "work-orders/search", Some(body))
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
            let Some(Value::Array(records)) = body.get_mut("content").map(Value::take) else {
                return Err("`content` is missing in the response".into());
            };
            Ok(since::page(&since, records, "/updatedAt", size))
        })
    }
}

impl Api for Atlas {
    fn one(&self, account: &Account, record: &str) -> PlannedRequest {
        let path = format!("work-orders/{}", percent(record));
        keyed(account, "GET", &path, None)
    }

    fn record(&self, response: &Result<HttpResponse, HttpError>) -> Answer<Value> {
        object(response)
    }

    fn writes_assignee(&self) -> bool {
        false
    }

    fn separates_notes(&self) -> bool {
        true
    }

    fn notes(&self, account: &Account, record: &str) -> PlannedRequest {
        let path = format!("comments/search/{}", percent(record));
        keyed(account, "POST", &path, Some(object_of!({})))
    }

    fn write(&self, account: &Account, write: &RecordWrite<'_>) -> PlannedRequest {
        let Some(status) = &write.status else {
            let id: Value = match write.record.parse::<u64>() {
                Ok(number) => number.into(),
                Err(_) => write.record.into(),
            };
            let body = object_of!({ "content": write.note, "workOrder": { "id": id } });
            return keyed(account, "POST", "comments", Some(body));
        };
        let mut body = object_of!({ "status": status.status, "feedback": write.note });
        for (name, value) in status.also {
            body[name] = value.clone();
        }
        let path = format!("work-orders/{}/change-status", percent(write.record));
        keyed(account, "PATCH", &path, Some(body))
    }
}

#[cfg(test)]
mod tests {
    use events::integration::Defined;
    use serde_json::json;

    use super::super::StatusWrite;
    use super::*;

    fn read(body: &Value) -> Result<Delivered, NotDelivered> {
        Atlas.read(body.to_string().as_bytes())
    }

    #[test]
    fn the_record_is_the_serialized_work_order() {
        let order = json!({ "id": 81, "customId": "WO000081", "title": "Pump leaks", "status": "OPEN", "createdBy": 7 });
        let mut body = json!({ "workOrderId": 81, "workOrderTitle": "Pump leaks", "companyId": 1, "occurredAt": "2026-11-28T10:00:07.123+00:00" });
        assert_eq!(read(&body), Ok(Delivered::Hint));
        for member in MEMBERS {
            let mut body = body.clone();
            body[member] = Value::Null;
            assert_eq!(read(&body), Ok(Delivered::Hint), "{member}");
            body[member] = order.clone();
            let expected = Delivered::Records(vec![order.clone()]);
            assert_eq!(read(&body), Ok(expected), "{member}");
        }
        body[DELETED] = order.clone();
        let mut deleted = order;
        deleted["status"] = "DELETED".into();
        assert_eq!(read(&body), Ok(Delivered::Records(vec![deleted])));
    }

    #[test]
    fn an_event_of_another_object_has_no_record() {
        let asset =
            json!({ "assetId": 5, "companyId": 1, "occurredAt": "2026-11-28T10:00:07.123+00:00" });
        assert_eq!(read(&asset), Ok(Delivered::Records(Vec::new())));
        for body in [json!({}), json!({ "workOrderId": 81 }), json!([])] {
            let read = read(&body);
            assert!(
                matches!(read, Err(NotDelivered::Unreadable(_))),
                "{body}: {read:?}"
            );
        }
    }

    fn account(filter: &str) -> Account {
        Account {
            integration: Defined {
                url: "https://cmms.example.com/".into(),
                user: "desk".into(),
                filter: filter.into(),
                ..Defined::default()
            },
            secret: "k3y".into(),
        }
    }

    #[test]
    fn changed_work_orders_are_read_in_the_order_of_their_changes() {
        let planned = Atlas.changed(&account(""), "", 100);
        assert_eq!(
            (planned.method.as_str(), planned.url.as_str()),
            ("POST", "https://cmms.example.com/work-orders/search")
        );
        assert_eq!(
            planned.headers[0],
            ("X-API-Key".to_owned(), "k3y".to_owned())
        );
        assert_eq!(
            planned.body.expect("a body"),
            json!({ "filterFields": [], "sortField": "updatedAt", "direction": "ASC", "pageNum": 0, "pageSize": 100 })
        );
        let order = |second: usize| json!({ "id": second, "updatedAt": format!("2026-11-28T10:00:{second:02}.5Z") });
        let page = |cursor: &str, count: usize| {
            let orders: Vec<Value> = (0..count).map(|at| order(at % 60)).collect();
            let body = json!({ "content": orders, "last": true }).to_string();
            match Atlas.page(
                &account(""),
                cursor,
                100,
                &Ok(HttpResponse::of(200, body.as_bytes())),
            ) {
                Answer::Done(page) => page,
                other => panic!("{other:?}"),
            }
        };
        let full = page("", 100);
        assert_eq!(
            (full.cursor.as_str(), full.has_more),
            ("2026-11-28T10:00:59", true)
        );
        let filter = r#"{ "field": "team.id", "operation": "eq", "value": 3 }"#;
        let body = Atlas
            .changed(&account(filter), "2026-11-28T10:00:59|3", 100)
            .body;
        let body = body.expect("a body");
        assert_eq!(
            body["filterFields"],
            json!([
                { "field": "team.id", "operation": "eq", "value": 3 },
                { "field": "updatedAt", "operation": "ge", "enumName": "JS_DATE", "value": "2026-11-28T10:00:59.000Z" },
            ])
        );
        assert_eq!(body["pageNum"], 2);
        let last = page(&full.cursor, 60);
        assert_eq!(
            (last.cursor.as_str(), last.has_more),
            ("2026-11-28T09:58:59", false)
        );
        let unreadable = Atlas.page(&account(""), "", 100, &Ok(HttpResponse::of(200, b"[]")));
        assert!(matches!(unreadable, Answer::Unclear(_)), "{unreadable:?}");
    }

    #[test]
    fn a_filter_is_one_condition_or_a_list() {
        assert_eq!(conditions(" "), Vec::<Value>::new());
        assert_eq!(
            conditions(r#"[{"field":"a"},{"field":"b"}]"#),
            vec![json!({ "field": "a" }), json!({ "field": "b" })]
        );
        assert_eq!(conditions("team = 3"), vec![json!("team = 3")]);
    }

    #[test]
    fn a_status_is_written_with_the_note_as_feedback() {
        let (state, also) = (json!("COMPLETE"), serde_json::Map::new());
        let write = RecordWrite {
            record: "81",
            status: Some(StatusWrite {
                status: &state,
                pointer: "/status",
                also: &also,
                route: "",
            }),
            assignee: None,
            note: "INC1",
        };
        let planned = Atlas.write(&account(""), &write);
        assert_eq!(
            (planned.method.as_str(), planned.url.as_str()),
            (
                "PATCH",
                "https://cmms.example.com/work-orders/81/change-status"
            )
        );
        assert_eq!(
            planned.body.expect("a body"),
            json!({ "status": "COMPLETE", "feedback": "INC1" })
        );
        let only_note = RecordWrite {
            status: None,
            ..write
        };
        let planned = Atlas.write(&account(""), &only_note);
        assert_eq!(
            (planned.url.as_str(), planned.body),
            (
                "https://cmms.example.com/comments",
                Some(json!({ "content": "INC1", "workOrder": { "id": 81 } }))
            )
        );
    }
}
