//! Reads the tickets of another BlueKing ITSM v2 as records, and operates their current nodes (reference/bk-itsm.md 3.5, 3.6
//! and 3.9). BlueKing ITSM has no request that changes the status of a ticket. The desk submits or terminates the current node
//! of the ticket instead.
//!
//! The list has no filter by the time of a change. The desk reads all tickets that `filter` selects, page by page.

use std::collections::BTreeMap;

use domain::api_call::plan::PlannedRequest;
use domain::placeholder::percent;
use domain::value::plain;
use serde_json::{Map, Value, json};

use super::{
    Account, Answer, Api, Changes, Delivered, NotDelivered, PAGE_SIZE, Page, RecordWrite, Source,
    second_of,
};
use crate::http::{HttpError, HttpResponse};
use crate::itsm::bk_itsm::{NoData, Refusal, data_of, planned, refusal_of};

/// The code of a ticket that does not exist.
const NOT_FOUND: &str = "3900022";
/// The filters of the list that the desk passes on. Their values are lists.
const FILTERS: [&str; 3] = ["service_id__in", "bk_biz_id__in", "current_status__in"];
/// The members with times. They have no time zone.
const TIMES: [&str; 3] = ["create_at", "update_at", "end_at"];
/// The zone of these times. BlueKing ITSM uses Asia/Shanghai, if it is not configured differently.
const OFFSET: &str = "+08:00";
/// The statuses that the desk can give a ticket, with the operations of the node.
const OPERATIONS: [(&str, &str); 2] = [("FINISHED", "TRANSITION"), ("TERMINATED", "TERMINATE")];

/// The implementation of [`Source`] for the tickets of another BlueKing ITSM.
#[derive(Clone, Copy, Debug)]
pub struct BkItsmTickets;

impl Source for BkItsmTickets {
    fn name(&self) -> &'static str {
        "bk_itsm_tickets"
    }

    /// The content of a callback is not used, because only its token shows whether it is genuine.
    fn read(&self, body: &[u8]) -> Result<Delivered, NotDelivered> {
        let body = super::json(body)?;
        if body.get("sn").is_some_and(Value::is_string) {
            Ok(Delivered::Hint)
        } else {
            Err(NotDelivered::Unreadable("`sn` is required".into()))
        }
    }

    fn needs_user(&self) -> bool {
        true
    }

    fn has_app(&self) -> bool {
        true
    }

    fn continues_after_write(&self) -> bool {
        true
    }

    fn check_filter(&self, filter: &str) -> Result<(), String> {
        filters_of(filter).map(drop)
    }

    fn api(&self) -> Option<&'static dyn Api> {
        Some(&Self)
    }

    fn changes(&self) -> Option<&'static dyn Changes> {
        Some(&Self)
    }
}

impl Changes for BkItsmTickets {
    fn changed(&self, account: &Account, cursor: &str, size: usize) -> PlannedRequest {
        let filters = filters_of(&account.integration.filter).unwrap_or_default();
        let mut body = Map::from_iter(filters);
        body.insert("page".into(), page_of(cursor).into());
        body.insert("page_size".into(), size.into());
        request(account, "get_tickets", "", Some(body.into()))
    }

    fn page(
        &self,
        _account: &Account,
        cursor: &str,
        _size: usize,
        response: &Result<HttpResponse, HttpError>,
    ) -> Answer<Page> {
        let page = page_of(cursor);
        let data = match data_of(response) {
            Ok(data) => data,
            // Tickets were deleted between two requests, so the last page no longer exists.
            Err(NoData::Refused { code, .. })
                if page > 1 && matches!(code.as_str(), "3900021" | "VALIDATE_ERROR") =>
            {
                json!({ "items": [], "total_page": page })
            }
            Err(reason) => return failure(reason),
        };
        let (Some(items), Some(pages)) = (data["items"].as_array(), data["total_page"].as_u64())
        else {
            return Answer::Unclear("`items` or `total_page` is missing in the response".into());
        };
        let has_more = u64::from(page) < pages;
        let cursor = if has_more {
            (page + 1).to_string()
        } else {
            String::new()
        };
        Answer::Done(Page {
            records: items.iter().cloned().map(zoned).collect(),
            cursor,
            has_more,
        })
    }

    fn page_size(&self) -> usize {
        PAGE_SIZE
    }
}

impl Api for BkItsmTickets {
    fn one(&self, account: &Account, record: &str) -> PlannedRequest {
        let query = format!("?sn={}", percent(record));
        request(account, "get_ticket_info", &query, None)
    }

    fn record(&self, response: &Result<HttpResponse, HttpError>) -> Answer<Value> {
        match data_of(response) {
            Ok(ticket) if ticket.is_object() => Answer::Done(zoned(ticket)),
            Ok(_) => Answer::Unclear("the response is not a ticket".into()),
            Err(NoData::Refused { code, .. }) if code == NOT_FOUND => Answer::Done(Value::Null),
            Err(reason) => failure(reason),
        }
    }

    /// Returns the operation and the id of the node, such as `TRANSITION 5`.
    fn route(&self, record: &Value, status: &Value) -> Result<String, String> {
        let status = plain(status);
        let operation = OPERATIONS.iter().find(|(name, _)| *name == status);
        let Some((_, operation)) = operation else {
            return Err(format!(
                "a ticket of BlueKing ITSM can get the status FINISHED or TERMINATED, and not {status}"
            ));
        };
        match steps_of(record) {
            [] => Err("the ticket of BlueKing ITSM has no current node".into()),
            [step] if step["status"] == "RUNNING" => {
                Ok(format!("{operation} {}", plain(&step["state_id"])))
            }
            [step] => Err(format!(
                "the current node of the ticket has the status {}, so it cannot be submitted",
                plain(&step["status"])
            )),
            steps => Err(format!(
                "the ticket of BlueKing ITSM has {} current nodes, so the desk does not choose one",
                steps.len()
            )),
        }
    }

    /// A node is submitted once. If the ticket is at another node, the earlier request had its effect.
    fn is_executed(&self, record: &Value, route: &str) -> bool {
        let (steps, node) = (steps_of(record), node_of(route).1);
        let is_current = |step: &Value| plain(&step["state_id"]) == node;
        record["current_status"] == "RUNNING"
            && !node.is_empty()
            && !steps.is_empty()
            && !steps.iter().any(is_current)
    }

    fn write(&self, account: &Account, write: &RecordWrite<'_>) -> PlannedRequest {
        let route = write.status.map_or("", |status| status.route);
        let (operation, node) = node_of(route);
        let node = node
            .parse()
            .map_or_else(|_| json!(node), |id: i64| json!(id));
        let mut body = Map::from_iter([
            ("sn".to_owned(), json!(write.record)),
            ("operator".to_owned(), json!(account.integration.user)),
            ("state_id".to_owned(), node),
            ("action_type".to_owned(), json!(operation)),
            ("action_message".to_owned(), json!(write.note)),
            ("fields".to_owned(), json!([])),
        ]);
        write.also(&mut body);
        request(account, "operate_node", "", Some(body.into()))
    }

    /// An error has the HTTP status 200. After the code of an exception, the node is possibly submitted.
    fn written(&self, response: &Result<HttpResponse, HttpError>) -> Answer<()> {
        match data_of(response) {
            Ok(_) => Answer::Done(()),
            Err(NoData::Refused { code, message }) if code == NOT_FOUND => {
                Answer::Rejected(format!("{code}: {message}"))
            }
            Err(reason) => failure(reason),
        }
    }

    fn writes_assignee(&self) -> bool {
        false
    }

    fn writes_notes(&self) -> bool {
        false
    }
}

/// Returns the meaning of a response without data. After an unknown code, a request possibly had an effect, and a read can
/// be repeated.
fn failure<T>(reason: NoData) -> Answer<T> {
    match reason {
        NoData::NotSent(reason) => Answer::NotSent(reason),
        NoData::Unclear(reason) => Answer::Unclear(reason),
        NoData::Rejected(reason) => Answer::Rejected(reason),
        NoData::Refused { code, message } => {
            let reason = format!("{code}: {message}");
            match refusal_of(&code) {
                // An operator can correct the credentials or the permission.
                Refusal::Limit | Refusal::Gateway => Answer::NotSent(reason),
                Refusal::Unknown => Answer::Unclear(reason),
                Refusal::Final => Answer::Rejected(reason),
            }
        }
    }
}

fn request(account: &Account, operation: &str, query: &str, body: Option<Value>) -> PlannedRequest {
    let sender = (&account.integration, account.secret.as_str());
    planned(sender, operation, query, body)
}

/// Returns the current nodes of a ticket.
fn steps_of(record: &Value) -> &[Value] {
    let steps = record["current_steps"].as_array();
    steps.map(Vec::as_slice).unwrap_or_default()
}

/// Returns the operation and the id of the node in a route.
fn node_of(route: &str) -> (&str, &str) {
    route.split_once(' ').unwrap_or_default()
}

/// Adds the time zone to the times of a ticket, because the desk accepts only times with a zone.
fn zoned(mut ticket: Value) -> Value {
    for name in TIMES {
        if let Some(time) = second_of(&ticket[name]) {
            ticket[name] = format!("{time}{OFFSET}").into();
        }
    }
    ticket
}

fn page_of(cursor: &str) -> u32 {
    cursor.parse().unwrap_or(1)
}

/// Returns the filters of the list, such as `service_id__in=18,19&current_status__in=RUNNING`.
fn filters_of(filter: &str) -> Result<BTreeMap<String, Value>, String> {
    let mut filters = BTreeMap::new();
    for part in filter.split('&').filter(|part| !part.is_empty()) {
        let (name, values) = part.split_once('=').unwrap_or((part, ""));
        if !FILTERS.contains(&name) || values.is_empty() {
            return Err(format!(
                "{part:?} must be one of {} with values, such as \"service_id__in=18,19\"",
                FILTERS.join(", ")
            ));
        }
        let values: Vec<Value> = values
            .split(',')
            .map(|value| {
                let number: Result<i64, _> = value.parse();
                number.map_or_else(|_| json!(value), |number| json!(number))
            })
            .collect();
        filters.insert(name.to_owned(), values.into());
    }
    Ok(filters)
}

#[cfg(test)]
mod tests;
