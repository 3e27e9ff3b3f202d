//! Reads the list of changed records of a system with a REST API. The integration describes the form of the list.
//!
//! With a parameter for the time of change, the list must be in the order of these times, the oldest first. The next page then
//! begins at the newest time of the page before it (see [`super::since`]), so no record is skipped if records change between
//! two requests. A list in another order is an error, because older changes could be skipped. Without this parameter, each
//! round reads the whole list.

use domain::api_call::plan::PlannedRequest;
use domain::itsm::mapping;
use domain::placeholder::percent;
use domain::value::plain;
use events::Moment;
use events::case::UpdateMark;
use events::integration::{NextPage, RecordList};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::since::{Since, number_of};
use super::{Account, Answer, Page, planned, succeeded};
use crate::http::{HttpError, HttpResponse};

/// Maximum number of a page. A system that ignores the parameter returns the same page without an end.
const PAGES_MAX: usize = 10_000;
/// Maximum number of records before a page.
const OFFSET_MAX: usize = 1_000_000;
/// Maximum length of the text that leads to the next page, in bytes.
const NEXT_BYTES_MAX: usize = 2_048;

/// Builds the request that reads the page at the cursor.
pub(super) fn changed(
    account: &Account,
    list: &RecordList,
    cursor: &str,
    size: usize,
) -> PlannedRequest {
    let since = Since::of(cursor);
    let pair = |name: &str, value: &str| format!("{name}={}", percent(value));
    let mut query: Vec<String> = Vec::new();
    let is_url = matches!(list.next, Some(NextPage::Url(_)));
    if is_url && !since.page.is_empty() {
        query.push(since.page.clone());
    } else {
        let filter = account.integration.filter.trim();
        if !filter.is_empty() {
            query.push(filter.to_owned());
        }
        if let (Some(name), Some(at)) = (&list.since, since.at) {
            let at = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            query.push(pair(name, &at));
        }
        if let Some(name) = &list.size {
            query.push(pair(name, &size.to_string()));
        }
        let number = number_of(&since.page);
        match &list.next {
            Some(NextPage::Number(name)) => query.push(pair(name, &number.to_string())),
            Some(NextPage::Index(name)) => {
                query.push(pair(name, &number.saturating_sub(1).to_string()));
            }
            Some(NextPage::Offset(name)) => {
                query.push(pair(name, &offset_of(&since.page).to_string()));
            }
            Some(NextPage::Token { parameter, .. }) if !since.page.is_empty() => {
                query.push(pair(parameter, &since.page));
            }
            Some(NextPage::Token { .. } | NextPage::Url(_)) | None => {}
        }
    }
    let path = list.path.trim_start_matches('/');
    let query = query.join("&");
    let path = if query.is_empty() && !path.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    };
    planned(account, "GET", &path, None)
}

/// Reads the response to [`changed`].
pub(super) fn page(
    account: &Account,
    list: &RecordList,
    cursor: &str,
    response: &Result<HttpResponse, HttpError>,
) -> Answer<Page> {
    let since = Since::of(cursor);
    let is_counted = matches!(list.next, Some(NextPage::Number(_) | NextPage::Index(_)));
    let is_missing = matches!(response, Ok(response) if response.status == 404);
    // Some systems have no page after the last one, instead of an empty page.
    if is_counted && is_missing && !since.page.is_empty() {
        return Answer::Done(Page {
            records: Vec::new(),
            cursor: after(&since, None, None).cursor(),
            has_more: false,
        });
    }
    succeeded(response).and_read(|mut body| {
        let found = body.pointer_mut(&list.records).map(Value::take);
        let Some(Value::Array(records)) = found else {
            return Err(format!(
                "the response has no list of records at {:?}",
                list.records
            ));
        };
        if let Some(at) = records.iter().position(|record| !record.is_object()) {
            return Err(format!("record {at} is not an object"));
        }
        let newest = match &list.since {
            Some(_) => newest(account, &records)?,
            None => None,
        };
        let following = following(list, &since, &body, records.len())?;
        Ok(Page {
            has_more: following.is_some(),
            cursor: after(&since, newest, following).cursor(),
            records,
        })
    })
}

/// Returns the newest time of change, in UTC. An error is the reason why the order of the records is wrong.
fn newest(account: &Account, records: &[Value]) -> Result<Option<DateTime>, String> {
    let Some(mapping) = &account.integration.mapping else {
        return Ok(None);
    };
    let times: Vec<Moment> = records
        .iter()
        .filter_map(|record| match mapping::mark(mapping, record) {
            Ok(Some(UpdateMark::Time(time))) => Some(time),
            _ => None,
        })
        .collect();
    if times.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err(
            "the records are not in the order of their changes, the oldest first; `filter` must demand this order"
                .into(),
        );
    }
    Ok(times.last().and_then(|time| second_of(*time)))
}

fn second_of(time: Moment) -> Option<DateTime> {
    let whole_second = time.0.div_euclid(1_000) * 1_000;
    let at = Timestamp::from_millisecond(whole_second).ok()?;
    Some(TimeZone::UTC.to_datetime(at))
}

/// Returns what leads to the page after a page with `count` records, or `None` if this page is the last one.
fn following(
    list: &RecordList,
    since: &Since,
    body: &Value,
    count: usize,
) -> Result<Option<String>, String> {
    let counted = |next: usize, most: usize| {
        if count == 0 {
            Ok(None)
        } else if next > most {
            Err(format!(
                "the list does not end after {most}; the system possibly ignores the parameter of `list.next`"
            ))
        } else {
            Ok(Some(next.to_string()))
        }
    };
    let text = |path: &str| {
        let found = body.pointer(path).map(plain);
        found.filter(|text| !text.is_empty())
    };
    let next = match &list.next {
        None => return Ok(None),
        Some(NextPage::Number(_) | NextPage::Index(_)) => {
            return counted(number_of(&since.page) + 1, PAGES_MAX);
        }
        Some(NextPage::Offset(_)) => {
            return counted(offset_of(&since.page).saturating_add(count), OFFSET_MAX);
        }
        Some(NextPage::Token { path, .. }) => text(path),
        Some(NextPage::Url(path)) => match text(path) {
            None => None,
            Some(url) => Some(query_of(&url)?),
        },
    };
    match next {
        Some(next) if next == since.page => Err("the next page is the same page again".into()),
        Some(next) if next.len() > NEXT_BYTES_MAX => Err(format!(
            "the text for the next page has more than {NEXT_BYTES_MAX} bytes"
        )),
        next => Ok(next),
    }
}

/// Returns the query of the URL of the next page. The other parts of the URL are not used, so the account of the desk is not
/// sent to another address.
fn query_of(url: &str) -> Result<String, String> {
    let query = url.split_once('?').map(|(_, query)| query);
    let query = query.and_then(|query| query.split('#').next());
    match query {
        Some(query) if !query.is_empty() && query.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(query.to_owned())
        }
        _ => Err("the URL of the next page has no valid query".into()),
    }
}

/// Returns where the next page begins.
fn after(since: &Since, newest: Option<DateTime>, following: Option<String>) -> Since {
    // The last page of a list can be empty. The pages before it then began at the newest known time.
    let newest = match following {
        None if !since.page.is_empty() => newest.or(since.at),
        _ => newest,
    };
    since.after(newest, following)
}

/// Returns the number of records before a page.
fn offset_of(page: &str) -> usize {
    page.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use events::integration::{CaseMapping, Defined, UpdateSource};
    use serde_json::json;

    use super::*;

    fn list(members: Value) -> RecordList {
        serde_json::from_value(members).expect("a list")
    }

    fn account(filter: &str) -> Account {
        let mapping = json!({ "record": "/id", "update": UpdateSource::Time("/changed".into()) });
        let mapping: CaseMapping = serde_json::from_value(mapping).expect("a mapping");
        Account {
            integration: Defined {
                url: "https://crm.example.com/api/".into(),
                filter: filter.into(),
                mapping: Some(mapping),
                ..Defined::default()
            },
            secret: "token".into(),
        }
    }

    fn url(list: &RecordList, cursor: &str) -> String {
        changed(&account("state=open&sort=changed"), list, cursor, 50).url
    }

    fn read(list: &RecordList, cursor: &str, body: &Value) -> Result<Page, String> {
        let response = Ok(HttpResponse::of(200, body.to_string().as_bytes()));
        match page(&account(""), list, cursor, &response) {
            Answer::Done(page) => Ok(page),
            Answer::Unclear(reason) => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    fn record(second: u32) -> Value {
        json!({ "id": second, "changed": format!("2026-11-28T18:00:{second:02}.5+08:00") })
    }

    #[test]
    fn a_list_continues_at_the_newest_time() {
        let list = list(json!({
            "path": "cases/", "records": "/data/items", "since": "changed_after", "size": "limit",
            "next": { "number": "page" },
        }));
        let base = "https://crm.example.com/api/cases/?state=open&sort=changed";
        assert_eq!(url(&list, ""), format!("{base}&limit=50&page=1"));
        let body = |records: &[Value]| json!({ "data": { "items": records } });
        let first = read(&list, "", &body(&[record(1), record(5)])).unwrap();
        assert_eq!(
            (first.cursor.as_str(), first.has_more),
            ("2026-11-28T10:00:05", true)
        );
        assert_eq!(
            url(&list, &first.cursor),
            format!("{base}&changed_after=2026-11-28T10%3A00%3A05Z&limit=50&page=1")
        );
        // The record at the border is read again, and then the list has ended.
        let second = read(&list, &first.cursor, &body(&[record(5)])).unwrap();
        assert_eq!(
            (second.cursor.as_str(), second.has_more),
            ("2026-11-28T10:00:05|2", true)
        );
        let end = read(&list, &second.cursor, &body(&[])).unwrap();
        assert_eq!(
            (end.cursor.as_str(), end.has_more),
            ("2026-11-28T09:58:05", false)
        );
        let missing = page(
            &account(""),
            &list,
            &second.cursor,
            &Ok(HttpResponse::of(404, b"{}")),
        );
        assert_eq!(missing, Answer::Done(end.clone()));
        // Without a new record, the next round begins at the same time.
        assert_eq!(read(&list, &end.cursor, &body(&[])).unwrap(), end);
        let first_missing = page(&account(""), &list, "", &Ok(HttpResponse::of(404, b"{}")));
        assert!(matches!(first_missing, Answer::Rejected(_)));
    }

    #[test]
    fn a_list_in_another_order_is_an_error() {
        let ordered = list(json!({ "since": "after" }));
        let reason = read(&ordered, "", &json!([record(5), record(1)])).unwrap_err();
        assert!(reason.contains("the oldest first"), "{reason}");
        let whole = list(json!({}));
        let all = read(&whole, "", &json!([record(5), record(1)])).unwrap();
        assert_eq!((all.cursor.as_str(), all.has_more), ("", false));
        assert_eq!(
            url(&whole, ""),
            "https://crm.example.com/api?state=open&sort=changed"
        );
    }

    #[test]
    fn each_form_of_the_next_page_leads_to_the_end_of_the_list() {
        let two = json!([record(1), record(2)]);
        let body = |next: Value| json!({ "items": two, "next": next });
        let form = |next: Value| list(json!({ "records": "/items", "next": next }));
        for (form, next, parameter) in [
            (form(json!({ "number": "p" })), json!(null), "p=2"),
            (form(json!({ "index": "p" })), json!(null), "p=1"),
            (form(json!({ "offset": "skip" })), json!(null), "skip=2"),
            (
                form(json!({ "token": { "parameter": "c", "path": "/next" } })),
                json!("a/b"),
                "c=a%2Fb",
            ),
            (
                form(json!({ "url": "/next" })),
                json!("https://other.example.com/x?c=7&d=8#e"),
                "?c=7&d=8",
            ),
        ] {
            let first = read(&form, "", &body(next.clone())).unwrap();
            assert!(first.has_more, "{form:?}");
            let url = url(&form, &first.cursor);
            assert!(url.ends_with(parameter), "{url}");
            assert!(url.starts_with("https://crm.example.com/api?"), "{url}");
            let empty = json!({ "items": [], "next": null });
            let end = read(&form, &first.cursor, &empty).unwrap();
            assert_eq!((end.cursor.as_str(), end.has_more), ("", false));
            if !next.is_null() {
                let again = read(&form, &first.cursor, &body(next)).unwrap_err();
                assert!(again.contains("the same page"), "{again}");
            }
        }
        let number = form(json!({ "number": "p" }));
        let endless = read(&number, "|10000", &body(json!(null))).unwrap_err();
        assert!(endless.contains("does not end"), "{endless}");
        let url = form(json!({ "url": "/next" }));
        for next in ["https://x/y", "https://x/y?", "https://x/y?a=b c"] {
            assert!(read(&url, "", &body(json!(next))).is_err(), "{next}");
        }
    }

    #[test]
    fn a_response_without_records_is_an_error() {
        let list = list(json!({ "records": "/items" }));
        for body in [json!({ "item": [] }), json!([]), json!({ "items": [1] })] {
            assert!(read(&list, "", &body).is_err(), "{body}");
        }
    }
}
