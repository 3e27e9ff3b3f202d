//! Builds requests to BlueKing ITSM v2 (a system for IT service management) and converts its
//! responses (reference/bk-itsm.md 1 to 3). The requests create and read tickets through the
//! enterprise service bus (ESB) or the API gateway. If BlueKing ITSM rejects a request, the
//! response has HTTP status 200, but its member `result` is false.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use domain::api_call::plan::PlannedRequest;
use domain::itsm::application::{APPROVE_RESULT, Answer, ExternalTicket, LINKS};
use domain::placeholder::percent;
use domain::value::plain;
use events::integration::{Carrier, Defined, PathForm};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Connection, Itsm, Request};
use crate::http::{HttpError, HttpResponse};

/// Timeout of one request, milliseconds.
const TIMEOUT_MS: i64 = 10_000;
/// Maximum number of tickets that a search returns. One person creates fewer tickets within the life of an application;
/// a longer list is an error, and the search is repeated.
const FOUND_MAX: usize = 1_000;
/// Number of tickets whose statuses one request reads.
const STATUSES_MAX: usize = 50;
/// The largest length of the URL of a ticket, in bytes.
const LINK_BYTES_MAX: usize = 2_000;
/// The largest difference between two time zones, in milliseconds. BlueKing ITSM compares creation times in its own
/// time zone, which the desk does not know.
const ZONES_MS: i64 = 26 * 3_600_000;
/// The codes with which BlueKing ITSM rejects a request before it does anything (reference/bk-itsm.md 2). Other codes, such
/// as the code of an exception or of a gateway, do not show whether a ticket was created.
const REJECTIONS: [&str; 15] = [
    "3900002",
    "3900003",
    "3900005",
    "3900015",
    "3900021",
    "3900030",
    "3900041",
    "3900042",
    "3900404",
    "3900499",
    "VALIDATE_ERROR",
    "METHOD_NOT_ALLOWED",
    "OBJECT_NOT_EXIST",
    "PERMISSION_DENIED",
    "UNAUTHORIZED",
];
/// The codes with which the API gateway rejects a request before it reaches BlueKing ITSM: wrong credentials, a missing
/// permission or a wrong path.
const GATEWAY_REJECTIONS: RangeInclusive<i64> = 1_640_000..=1_642_899;
/// The codes for the rate limit of the API gateway.
const GATEWAY_LIMITS: RangeInclusive<i64> = 1_642_900..=1_642_999;

/// The implementation of [`Itsm`] for BlueKing ITSM, an external system for IT service management.
#[derive(Clone, Copy, Debug)]
pub struct BkItsm;

impl Itsm for BkItsm {
    fn name(&self) -> &'static str {
        "bk_itsm"
    }

    fn request(
        &self,
        connection: &Connection,
        request: &Request,
    ) -> Result<PlannedRequest, String> {
        let (operation, body) = match request {
            Request::Create {
                service,
                creator,
                fields,
                callback_url,
                mark,
            } => {
                let fields: Vec<Value> = fields
                    .iter()
                    .map(|(key, value)| json!({ "key": key, "value": value }))
                    .collect();
                let body = json!({
                    "service_id": service, "creator": creator, "fields": fields,
                    "meta": { "callback_url": callback_url }, "tag": mark,
                });
                ("create_ticket", Some(body))
            }
            Request::Find {
                creator,
                mark,
                since,
            } => {
                let since = Timestamp::from_millisecond(since.0 - ZONES_MS).unwrap_or_default();
                let since = since.strftime("%Y-%m-%d %H:%M:%S").to_string();
                let body = json!({ "tag": mark, "creator": creator, "create_at__gte": since, "page": 1, "page_size": FOUND_MAX });
                ("get_tickets", Some(body))
            }
            Request::Withdraw {
                external,
                creator,
                reason,
            } => {
                let body = json!({ "sn": external, "operator": creator, "action_type": "WITHDRAW", "action_message": reason });
                ("operate_ticket", Some(body))
            }
            Request::Verify { token } => ("token/verify", Some(json!({ "token": token }))),
            Request::Statuses { externals } => {
                ("ticket_approval_result", Some(json!({ "sn": externals })))
            }
            Request::ReadResult { external, .. } => {
                ("ticket_approval_result", Some(json!({ "sn": [external] })))
            }
            Request::FailedCallbacks => ("callback_failed_ticket", None),
            Request::Read { .. } => ("get_ticket_info", None),
            Request::Discover { .. } => ("get_services", None),
        };
        let query = match request {
            Request::Read { external, .. } => format!("?sn={}", percent(external)),
            Request::Discover {
                display_type,
                display_role,
            } => {
                let given = [
                    ("display_type", display_type),
                    ("display_role", display_role),
                ];
                let given = given.iter().filter(|(_, value)| !value.is_empty());
                let query: Vec<String> = given
                    .map(|(name, value)| format!("{name}={}", percent(value)))
                    .collect();
                if query.is_empty() {
                    String::new()
                } else {
                    format!("?{}", query.join("&"))
                }
            }
            _ => String::new(),
        };
        let account = (&connection.integration, connection.secret.as_str());
        Ok(planned(account, operation, &query, body))
    }

    fn statuses_max(&self) -> usize {
        STATUSES_MAX
    }

    fn answer(&self, request: &Request, response: &Result<HttpResponse, HttpError>) -> Answer {
        let data = match data_of(response) {
            Ok(data) => data,
            Err(NoData::NotSent(reason)) => return Answer::NotSent(reason),
            Err(NoData::Unclear(reason)) => return Answer::Unclear(reason),
            Err(NoData::Rejected(reason)) => return Answer::Rejected(reason),
            Err(NoData::Refused { code, message }) => return refused(request, &code, &message),
        };
        read(request, &data).unwrap_or_else(|| {
            Answer::Unclear("the response lacks the data of the operation".into())
        })
    }
}

/// Builds the request for an operation. The first parameter is the integration and the secret of its app. `query` is empty,
/// or begins with a question mark. A request without a body is a GET request.
///
/// Credentials are never part of a URL, because proxies write URLs to their logs. A GET request has no body, so its
/// credentials are only in a header. If the external ITSM reads only bodies, all requests are POST requests, which
/// BlueKing ITSM accepts for every operation.
pub(crate) fn planned(
    (integration, secret): (&Defined, &str),
    operation: &str,
    query: &str,
    body: Option<Value>,
) -> PlannedRequest {
    let credentials = json!({
        "bk_app_code": integration.app,
        "bk_app_secret": secret,
        "bk_username": integration.user,
    });
    let prefix = match integration.form {
        PathForm::Esb => "/api/c/compapi/v2/itsm",
        PathForm::Apigw => "/v2/itsm",
    };
    let base = integration.url.trim_end_matches('/');
    let is_in_body = matches!(integration.carrier, Carrier::Both | Carrier::Body);
    let body = match body {
        None if integration.carrier == Carrier::Body => Some(json!({})),
        body => body,
    };
    let body = body.map(|mut body| {
        for (key, value) in credentials.as_object().into_iter().flatten() {
            if is_in_body {
                body[key] = value.clone();
            }
        }
        body
    });
    let mut headers = Vec::new();
    if matches!(integration.carrier, Carrier::Both | Carrier::Header) {
        let value = ascii(&credentials.to_string());
        headers.push(("X-Bkapi-Authorization".to_owned(), value));
    }
    if body.is_some() {
        headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    }
    PlannedRequest {
        method: if body.is_some() { "POST" } else { "GET" }.to_owned(),
        url: format!("{base}{prefix}/{operation}/{query}"),
        headers,
        body,
        timeout_ms: TIMEOUT_MS,
    }
}

/// The reason why a response has no data.
pub(crate) enum NoData {
    /// The request had no effect, so it can be sent again.
    NotSent(String),
    /// It is unknown whether the request had an effect.
    Unclear(String),
    /// The HTTP status is that of a rejected request.
    Rejected(String),
    /// The response has the HTTP status 200, but its member `result` is not true.
    Refused { code: String, message: String },
}

/// Returns the member `data` of a successful response.
pub(crate) fn data_of(response: &Result<HttpResponse, HttpError>) -> Result<Value, NoData> {
    let response = match response {
        Ok(response) => response,
        Err(HttpError::NotSent(reason)) => return Err(NoData::NotSent(reason.clone())),
        Err(HttpError::Unknown(reason)) => return Err(NoData::Unclear(reason.clone())),
    };
    let status = format!("the response status is {}", response.status);
    match response.status {
        200 | 201 => {}
        // The API gateway rejected the request because of its rate limit, so the request did
        // not reach the ITSM.
        429 => {
            let reason = "the rate limit is reached (HTTP 429)";
            return Err(NoData::NotSent(reason.into()));
        }
        // After 408 and 425, a gateway did not wait for the end of the request, so the ITSM possibly executed it.
        code @ 300..=499 if !matches!(code, 408 | 425) => return Err(NoData::Rejected(status)),
        _ => return Err(NoData::Unclear(status)),
    }
    if response.is_cut {
        return Err(NoData::Unclear("the response is too long".into()));
    }
    let Ok(Value::Object(mut envelope)) = serde_json::from_slice(&response.body) else {
        return Err(NoData::Unclear("the response is not a JSON object".into()));
    };
    if envelope.get("result") != Some(&Value::Bool(true)) {
        let text = |name: &str| plain(envelope.get(name).unwrap_or(&Value::Null));
        return Err(NoData::Refused {
            code: text("code"),
            message: text("message"),
        });
    }
    Ok(envelope.remove("data").unwrap_or_default())
}

/// What the code of a refusal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The API gateway did not forward the request because of its rate limit.
    Limit,
    /// The API gateway did not forward the request: the credentials, the permission or the path is wrong.
    Gateway,
    /// BlueKing ITSM did nothing.
    Final,
    /// It is unknown whether BlueKing ITSM did something.
    Unknown,
}

/// Returns what the code of a refusal shows (reference/bk-itsm.md 2).
pub(crate) fn refusal_of(code: &str) -> Refusal {
    let number: Option<i64> = code.parse().ok();
    let is_in = |codes: RangeInclusive<i64>| number.is_some_and(|number| codes.contains(&number));
    if is_in(GATEWAY_LIMITS) {
        Refusal::Limit
    } else if is_in(GATEWAY_REJECTIONS) {
        Refusal::Gateway
    } else if REJECTIONS.contains(&code) {
        Refusal::Final
    } else {
        Refusal::Unknown
    }
}

/// Returns the meaning of a response whose member `result` is false. Only some codes show that nothing was done. With another
/// code, the ticket of a creation possibly exists, and it is unknown whether a token is valid or a service exists.
fn refused(request: &Request, code: &str, message: &str) -> Answer {
    let reason = format!("{code}: {message}");
    let refusal = refusal_of(code);
    if refusal == Refusal::Limit {
        return Answer::NotSent(reason);
    }
    let is_final = refusal != Refusal::Unknown;
    match request {
        Request::Create { .. } if !is_final => Answer::Failed(reason),
        Request::Verify { .. } | Request::Discover { .. } if !is_final => Answer::Unclear(reason),
        _ => Answer::Rejected(reason),
    }
}

/// Returns the reason why a ticket in a response is not the ticket of the desk. Two external ITSMs can use the same ticket
/// numbers, so the tag is compared too, if the response contains it. Returns `None` for the ticket of the desk.
fn foreign(ticket: &Value, external: &str, mark: &str) -> Option<String> {
    let text = |name: &str| ticket.get(name).filter(|value| !value.is_null()).map(plain);
    let number = text("sn");
    if number.as_deref() != Some(external) {
        let number = number.unwrap_or_default();
        return Some(format!(
            "the response is about the ticket {number:?}, and not about {external}"
        ));
    }
    text("tag").filter(|tag| tag != mark).map(|_| {
        format!(
            "the tag of the ticket {external} is not that of this application, so another application or person created it"
        )
    })
}

/// Returns the URLs of a ticket that can be shown as links.
fn links(ticket: &Value) -> BTreeMap<String, String> {
    let link = |name: &str| {
        let url = ticket.get(name)?.as_str()?;
        is_link(url).then(|| (name.to_owned(), url.to_owned()))
    };
    LINKS.into_iter().filter_map(link).collect()
}

/// Converts the data of a successful response to an answer. Returns `None` if the data does not
/// contain a required member.
fn read(request: &Request, data: &Value) -> Option<Answer> {
    let number = |ticket: &Value| {
        let number = plain(ticket.get("sn")?);
        (!number.is_empty()).then_some(number)
    };
    Some(match request {
        Request::Create { .. } => Answer::Created(number(data)?),
        Request::Find { mark, .. } => {
            let items = data.get("items").unwrap_or(data).as_array()?;
            let has_mark = |item: &&Value| item.get("tag").is_some_and(|tag| tag == mark.as_str());
            let found: Vec<&Value> = items.iter().filter(has_mark).collect();
            let count = data.get("count").and_then(Value::as_u64);
            let is_whole = count.is_none_or(|count| count <= items.len() as u64);
            match found[..] {
                [one] => Answer::Found(Some(number(one)?)),
                [] if !is_whole => Answer::Unclear(format!(
                    "the response contains {} of {} tickets",
                    items.len(),
                    count.unwrap_or_default()
                )),
                [] if items.iter().all(|item| item.get("tag").is_some()) => Answer::Found(None),
                [] => Answer::Untagged(items.iter().map(number).collect::<Option<_>>()?),
                _ => Answer::Unclear(format!("{} tickets have the same tag", found.len())),
            }
        }
        Request::Discover { .. } => {
            let services = data.as_array()?.iter();
            let service = |service: &Value| {
                Some((
                    service.get("id")?.as_i64()?,
                    plain(service.get("name").unwrap_or(&Value::Null)),
                ))
            };
            Answer::Services(services.map(service).collect::<Option<_>>()?)
        }
        Request::Statuses { .. } => {
            let status = |ticket: &Value| {
                let status = ticket.get("current_status")?.as_str()?;
                Some((number(ticket)?, status.to_owned()))
            };
            // An entry that cannot be read concerns one ticket. The desk then reads this ticket by itself.
            let tickets = data.as_array()?.iter();
            Answer::Statuses(tickets.filter_map(status).collect())
        }
        Request::ReadResult { external, mark } => {
            let is_named = |ticket: &&Value| number(ticket).as_deref() == Some(external.as_str());
            let ticket = data.as_array()?.iter().find(is_named)?;
            if let Some(reason) = foreign(ticket, external, mark) {
                return Some(Answer::Unclear(reason));
            }
            let result = ticket.get(APPROVE_RESULT).filter(|value| !value.is_null());
            Answer::Ticket(ExternalTicket {
                status: ticket.get("current_status")?.as_str()?.to_owned(),
                fields: result
                    .map(|result| (APPROVE_RESULT.to_owned(), result.clone()))
                    .into_iter()
                    .collect(),
                links: links(ticket),
            })
        }
        Request::FailedCallbacks => {
            let numbers = data.as_array()?.iter();
            Answer::FailedCallbacks(numbers.map(plain).filter(|sn| !sn.is_empty()).collect())
        }
        Request::Withdraw { .. } => Answer::Withdrawn,
        Request::Verify { .. } => Answer::Verified(data.get("is_passed")?.as_bool()?),
        Request::Read { external, mark } => match foreign(data, external, mark) {
            Some(reason) => Answer::Unclear(reason),
            None => Answer::Ticket(ticket_of(data)?),
        },
    })
}

/// Returns a ticket with its form fields. Returns `None` if the ticket has no status.
fn ticket_of(data: &Value) -> Option<ExternalTicket> {
    Some(ExternalTicket {
        status: data.get("current_status")?.as_str()?.to_owned(),
        fields: data
            .get("fields")
            .and_then(Value::as_array)
            .map(|fields| fields.iter().filter_map(Value::as_object).collect())
            .map_or_else(BTreeMap::new, values),
        links: links(data),
    })
}

/// Returns whether the URL of a ticket can be shown as a link. Other schemes, such as `javascript`, and long texts are
/// not shown.
fn is_link(url: &str) -> bool {
    url.len() <= LINK_BYTES_MAX && (url.starts_with("https://") || url.starts_with("http://"))
}

fn values(fields: Vec<&Map<String, Value>>) -> BTreeMap<String, Value> {
    let value = |field: &Map<String, Value>| {
        let key = field.get("key")?.as_str()?.to_owned();
        Some((key, field.get("value").cloned().unwrap_or_default()))
    };
    fields.into_iter().filter_map(value).collect()
}

/// Returns a JSON text in which all non-ASCII characters are escaped, because HTTP headers must not
/// contain such characters.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use events::Moment;

    use super::*;

    fn connection(form: PathForm) -> Connection {
        Connection {
            integration: Defined {
                name: "company".into(),
                kind: "bk_itsm".into(),
                url: "https://itsm.example.com/".into(),
                form,
                app: "日志".into(),
                user: "admin".into(),
                ..Defined::default()
            },
            secret: "s3cret".into(),
        }
    }

    fn create() -> Request {
        Request::Create {
            service: 18,
            creator: "lisi".into(),
            fields: vec![
                ("title".into(), "t".into()),
                ("log_keep_days".into(), 7.into()),
            ],
            callback_url: "https://desk/callbacks/bk-itsm/x".into(),
            mark: "m".into(),
        }
    }

    fn answered(request: &Request, status: u16, body: &str) -> Answer {
        BkItsm.answer(
            request,
            &Ok(HttpResponse {
                status,
                body: body.into(),
                ..HttpResponse::default()
            }),
        )
    }

    #[test]
    fn requests_have_paths_bodies_and_credentials_of_the_api() {
        let planned = BkItsm
            .request(&connection(PathForm::Esb), &create())
            .unwrap();
        assert_eq!(planned.method, "POST");
        assert_eq!(
            planned.url,
            "https://itsm.example.com/api/c/compapi/v2/itsm/create_ticket/"
        );
        let body = planned.body.unwrap();
        assert_eq!(
            body["fields"],
            json!([{ "key": "title", "value": "t" }, { "key": "log_keep_days", "value": 7 }])
        );
        assert_eq!(
            body["meta"]["callback_url"],
            "https://desk/callbacks/bk-itsm/x"
        );
        assert_eq!(
            (&body["tag"], &body["bk_app_secret"]),
            (&json!("m"), &json!("s3cret"))
        );
        let (_, header) = &planned.headers[0];
        assert!(header.is_ascii(), "{header}");
        let header: Value = serde_json::from_str(header).unwrap();
        assert_eq!(header["bk_app_code"], "日志");

        let read = Request::Read {
            external: "REQ 1/2".into(),
            mark: "m".into(),
        };
        let planned = BkItsm.request(&connection(PathForm::Apigw), &read).unwrap();
        assert_eq!((planned.method.as_str(), planned.body), ("GET", None));
        assert_eq!(
            planned.url,
            "https://itsm.example.com/v2/itsm/get_ticket_info/?sn=REQ%201%2F2"
        );
    }

    #[test]
    fn credentials_are_where_the_external_itsm_reads_them() {
        let read = Request::Read {
            external: "REQ1".into(),
            mark: "m".into(),
        };
        let mut connection = connection(PathForm::Esb);
        let mut planned = |carrier, request: &Request| {
            connection.integration.carrier = carrier;
            let planned = BkItsm.request(&connection, request).unwrap();
            let in_header = planned
                .headers
                .iter()
                .any(|(name, _)| name.starts_with("X-Bkapi"));
            let in_body = planned
                .body
                .is_some_and(|body| body["bk_app_secret"] == "s3cret");
            assert!(!planned.url.contains("s3cret"));
            (planned.method, in_header, in_body)
        };
        for (carrier, request, method, in_header, in_body) in [
            (Carrier::Both, create(), "POST", true, true),
            (Carrier::Both, read.clone(), "GET", true, false),
            (Carrier::Header, create(), "POST", true, false),
            (Carrier::Header, read.clone(), "GET", true, false),
            (Carrier::Body, create(), "POST", false, true),
            (Carrier::Body, read, "POST", false, true),
        ] {
            let expected = (method.to_owned(), in_header, in_body);
            assert_eq!(planned(carrier, &request), expected, "{carrier:?}");
        }
    }

    #[test]
    fn several_statuses_are_read_in_one_request() {
        let request = Request::Statuses {
            externals: vec!["REQ1".into(), "REQ2".into()],
        };
        let planned = BkItsm
            .request(&connection(PathForm::Esb), &request)
            .unwrap();
        assert!(planned.url.ends_with("/ticket_approval_result/"));
        assert_eq!(planned.body.unwrap()["sn"], json!(["REQ1", "REQ2"]));
        let body = r#"{"result":true,"code":0,"data":[
            {"sn":"REQ1","current_status":"RUNNING","approve_result":false}]}"#;
        let statuses = BTreeMap::from([("REQ1".to_owned(), "RUNNING".to_owned())]);
        assert_eq!(answered(&request, 200, body), Answer::Statuses(statuses));
        let failed = answered(
            &Request::FailedCallbacks,
            200,
            r#"{"result":true,"code":0,"data":["REQ1",2]}"#,
        );
        assert_eq!(
            failed,
            Answer::FailedCallbacks(vec!["REQ1".into(), "2".into()])
        );
        let damaged = r#"{"result":true,"code":0,"data":[{"sn":"REQ1"},7,
            {"sn":"REQ2","current_status":"FINISHED"}]}"#;
        let readable = BTreeMap::from([("REQ2".to_owned(), "FINISHED".to_owned())]);
        assert_eq!(
            answered(&request, 200, damaged),
            Answer::Statuses(readable),
            "one entry that cannot be read does not hide the others"
        );
        let text = r#"{"result":true,"code":0,"data":"text"}"#;
        assert!(matches!(answered(&request, 200, text), Answer::Unclear(_)));
    }

    #[test]
    fn an_error_that_does_not_show_whether_a_ticket_exists_is_no_rejection() {
        let refusal = |request: &Request, code: &str| {
            let body = format!(r#"{{"result":false,"code":{code},"message":"m","data":null}}"#);
            answered(request, 200, &body)
        };
        let verify = Request::Verify { token: "t".into() };
        let statuses = Request::Statuses {
            externals: vec!["REQ1".into()],
        };
        for code in [
            "1306201",
            "3900000",
            "3900004",
            "3900500",
            "\"3900500\"",
            "\"SERVER_500_ERROR\"",
            "1650001",
            "null",
            "0",
        ] {
            let created = refusal(&create(), code);
            assert!(matches!(created, Answer::Failed(_)), "{code}: {created:?}");
            let verified = refusal(&verify, code);
            assert!(matches!(verified, Answer::Unclear(_)), "{code}");
            let several = refusal(&statuses, code);
            assert!(matches!(several, Answer::Rejected(_)), "{code}");
        }
        for code in [
            "3900003",
            "3900005",
            "\"3900042\"",
            "\"VALIDATE_ERROR\"",
            "1640101",
            "1640301",
        ] {
            for request in [&create(), &verify] {
                let answer = refusal(request, code);
                assert!(matches!(answer, Answer::Rejected(_)), "{code}: {answer:?}");
            }
        }
        let limited = refusal(&create(), "1642901");
        assert!(matches!(limited, Answer::NotSent(_)), "{limited:?}");
    }

    #[test]
    fn a_ticket_with_another_number_or_another_tag_is_foreign() {
        let read = Request::Read {
            external: "A".into(),
            mark: "m".into(),
        };
        let result = Request::ReadResult {
            external: "A".into(),
            mark: "m".into(),
        };
        let own = |ticket: &str| {
            let ticket = ticket.replace('}', r#","current_status":"FINISHED"}"#);
            let one = format!(r#"{{"result":true,"data":{ticket}}}"#);
            let list = format!(r#"{{"result":true,"data":[{ticket}]}}"#);
            [answered(&read, 200, &one), answered(&result, 200, &list)]
                .map(|answer| matches!(answer, Answer::Ticket(_)))
        };
        for ticket in [
            r#"{"sn":"A"}"#,
            r#"{"sn":"A","tag":null}"#,
            r#"{"sn":"A","tag":"m"}"#,
        ] {
            assert_eq!(own(ticket), [true, true], "{ticket}");
        }
        for ticket in [
            r#"{"sn":"B"}"#,
            r#"{"sn":"B","tag":"m"}"#,
            r#"{"sn":"A","tag":"x"}"#,
            r#"{"sn":"A","tag":""}"#,
            r#"{"title":"A"}"#,
        ] {
            assert_eq!(own(ticket), [false, false], "{ticket}");
        }
    }

    #[test]
    fn the_result_of_an_approval_is_read_for_one_ticket() {
        let result = Request::ReadResult {
            external: "A".into(),
            mark: "m".into(),
        };
        let planned = BkItsm.request(&connection(PathForm::Esb), &result).unwrap();
        assert!(planned.url.ends_with("/ticket_approval_result/"));
        assert_eq!(planned.body.unwrap()["sn"], json!(["A"]));
        let body = r#"{"result":true,"data":[{"sn":"B","current_status":"RUNNING"},
            {"sn":"A","current_status":"FINISHED","approve_result":true,"ticket_url":"https://itsm/A"}]}"#;
        assert_eq!(
            answered(&result, 200, body),
            Answer::Ticket(ExternalTicket {
                status: "FINISHED".into(),
                fields: BTreeMap::from([("approve_result".to_owned(), json!(true))]),
                links: BTreeMap::from([("ticket_url".into(), "https://itsm/A".into())]),
            })
        );
        let unknown = answered(&result, 200, r#"{"result":true,"data":[]}"#);
        assert!(matches!(unknown, Answer::Unclear(_)), "{unknown:?}");
    }

    #[test]
    fn responses_are_classified() {
        let unclear = |answer: Answer| matches!(answer, Answer::Unclear(_));
        let create = create();
        assert_eq!(
            answered(
                &create,
                200,
                r#"{"result":true,"code":0,"data":{"sn":"REQ1","id":1}}"#
            ),
            Answer::Created("REQ1".into())
        );
        assert_eq!(
            answered(
                &create,
                200,
                r#"{"result":false,"code":"3900005","message":"no","data":null}"#
            ),
            Answer::Rejected("3900005: no".into())
        );
        assert!(unclear(answered(&create, 200, "<html>login</html>")));
        assert!(unclear(answered(
            &create,
            200,
            r#"{"result":true,"data":{}}"#
        )));
        assert!(unclear(answered(&create, 502, "")));
        assert!(unclear(answered(&create, 408, "")));
        assert!(matches!(answered(&create, 403, "no"), Answer::Rejected(_)));
        assert!(matches!(answered(&create, 302, ""), Answer::Rejected(_)));
        assert!(matches!(answered(&create, 429, ""), Answer::NotSent(_)));
        let failed = |error| BkItsm.answer(&create, &Err(error));
        assert_eq!(
            failed(HttpError::NotSent("dns".into())),
            Answer::NotSent("dns".into())
        );
        assert!(unclear(failed(HttpError::Unknown("timeout".into()))));
    }

    #[test]
    fn a_search_accepts_only_one_ticket_with_the_mark() {
        let find = Request::Find {
            creator: "lisi".into(),
            mark: "m".into(),
            since: Moment(1_795_312_800_000),
        };
        let body = BkItsm
            .request(&connection(PathForm::Esb), &find)
            .unwrap()
            .body
            .unwrap();
        assert_eq!(
            (&body["tag"], &body["create_at__gte"]),
            (&json!("m"), &json!("2026-11-21 00:00:00")),
            "the zone of the other side is unknown"
        );
        let found = |items: &str| {
            answered(
                &find,
                200,
                &format!(r#"{{"result":true,"data":{{"items":{items}}}}}"#),
            )
        };
        assert_eq!(found("[]"), Answer::Found(None));
        assert_eq!(
            found(r#"[{"sn":"A"}]"#),
            Answer::Untagged(vec!["A".into()]),
            "a ticket without a tag is not necessarily the ticket of the desk"
        );
        assert_eq!(found(r#"[{"sn":"A","tag":"x"}]"#), Answer::Found(None));
        assert_eq!(
            found(r#"[{"sn":"A","tag":"x"},{"sn":"B","tag":"m"}]"#),
            Answer::Found(Some("B".into()))
        );
        assert_eq!(
            found(r#"[{"sn":"A"},{"sn":"B"}]"#),
            Answer::Untagged(vec!["A".into(), "B".into()])
        );
        assert!(matches!(
            found(r#"[{"sn":"A","tag":"m"},{"sn":"B","tag":"m"}]"#),
            Answer::Unclear(_)
        ));
        assert_eq!(
            answered(
                &find,
                200,
                r#"{"result":true,"data":[{"sn":"A","tag":"m"}]}"#
            ),
            Answer::Found(Some("A".into()))
        );
        let part = r#"{"result":true,"data":{"items":[{"sn":"A","tag":"x"}],"count":2}}"#;
        assert!(
            matches!(answered(&find, 200, part), Answer::Unclear(_)),
            "the ticket can be on the next page"
        );
    }

    #[test]
    fn a_withdrawal_names_the_creator_and_the_reason() {
        let withdraw = Request::Withdraw {
            external: "A".into(),
            creator: "lisi".into(),
            reason: "no longer needed".into(),
        };
        let planned = BkItsm
            .request(&connection(PathForm::Apigw), &withdraw)
            .unwrap();
        assert!(
            planned.url.ends_with("/v2/itsm/operate_ticket/"),
            "{}",
            planned.url
        );
        let body = planned.body.unwrap();
        for (key, value) in [
            ("sn", "A"),
            ("operator", "lisi"),
            ("action_type", "WITHDRAW"),
            ("action_message", "no longer needed"),
        ] {
            assert_eq!(body[key], value);
        }
        assert_eq!(
            answered(&withdraw, 200, r#"{"result":true,"data":null}"#),
            Answer::Withdrawn
        );
    }

    #[test]
    fn services_are_found_by_their_display() {
        let discover = Request::Discover {
            display_type: "API".into(),
            display_role: "LOG SEARCH".into(),
        };
        let planned = BkItsm
            .request(&connection(PathForm::Esb), &discover)
            .unwrap();
        assert_eq!(
            (planned.method.as_str(), planned.url.as_str()),
            (
                "GET",
                "https://itsm.example.com/api/c/compapi/v2/itsm/get_services/?display_type=API&display_role=LOG%20SEARCH"
            )
        );
        let found = |data: &str| {
            answered(
                &discover,
                200,
                &format!(r#"{{"result":true,"data":{data}}}"#),
            )
        };
        assert_eq!(
            found(r#"[{"id":18,"name":"日志平台容量评估","desc":""}]"#),
            Answer::Services(vec![(18, "日志平台容量评估".into())])
        );
        assert_eq!(found("[]"), Answer::Services(Vec::new()));
        let all = Request::Discover {
            display_type: String::new(),
            display_role: String::new(),
        };
        let planned = BkItsm.request(&connection(PathForm::Apigw), &all).unwrap();
        assert!(planned.url.ends_with("/get_services/"), "{}", planned.url);
        assert!(matches!(found(r#"[{"id":"x"}]"#), Answer::Unclear(_)));
        assert!(matches!(found("{}"), Answer::Unclear(_)));
    }

    #[test]
    fn tokens_and_tickets_are_read() {
        let verify = Request::Verify { token: "t".into() };
        assert_eq!(
            answered(
                &verify,
                200,
                r#"{"result":true,"data":{"is_passed":false}}"#
            ),
            Answer::Verified(false)
        );
        let read = Request::Read {
            external: "A".into(),
            mark: "m".into(),
        };
        let body = r#"{"result":true,"data":{"sn":"A","current_status":"FINISHED","ticket_url":"https://itsm/A","iframe_ticket_url":"javascript:alert(1)",
            "fields":[{"key":"approval_result","value":"true"},{"key":"empty","value":null},{"no":"key"}]}}"#;
        assert_eq!(
            answered(&read, 200, body),
            Answer::Ticket(ExternalTicket {
                status: "FINISHED".into(),
                fields: BTreeMap::from([
                    ("approval_result".to_owned(), json!("true")),
                    ("empty".to_owned(), Value::Null),
                ]),
                links: BTreeMap::from([("ticket_url".into(), "https://itsm/A".into())]),
            })
        );
    }
}
