//! Reads requests of clients of the imitated BlueKing ITSM, and writes its responses (reference/bk-itsm.md 1 and 2).

use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Refusal, SERVICE};

/// The zone of all times: hours east of UTC. The original uses Asia/Shanghai.
const ZONE_HOURS: i8 = 8;

/// Returns the form of a path and the name of its operation: `/api/c/compapi/v2/itsm/<operation>/` (ESB) or
/// `/v2/itsm/<operation>/` below any stage (API gateway). Slashes can be doubled, and the last one can be missing.
pub(super) fn operation(path: &str) -> Option<(&'static str, String)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let at = parts.windows(2).position(|pair| pair == ["v2", "itsm"])?;
    let form = if parts[..at].ends_with(&["api", "c", "compapi"]) {
        "esb"
    } else {
        "apigw"
    };
    let operation = parts[at + 2..].join("/");
    (!operation.is_empty()).then_some((form, operation))
}

/// Returns the values of the query, and those of the JSON body that the query does not have.
pub(super) fn values(query: &str, body: &[u8]) -> Map<String, Value> {
    let mut values: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let query: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    values.extend(query.into_iter().map(|(key, value)| (key, value.into())));
    values
}

pub(super) fn text(values: &Map<String, Value>, name: &str) -> String {
    let value = values.get(name).and_then(Value::as_str);
    value.unwrap_or_default().to_owned()
}

pub(super) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

pub(super) fn services(values: &Map<String, Value>) -> Value {
    let is = |name: &str, found: &str| {
        let value = text(values, name);
        value.is_empty() || value == found
    };
    if is("display_type", "API") && is("display_role", "LOG_SEARCH") {
        json!([{ "id": SERVICE, "name": "日志平台容量评估", "service_type": "request", "desc": "" }])
    } else {
        json!([])
    }
}

pub(super) fn time(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or_default();
    let at = jiff::tz::offset(ZONE_HOURS).to_datetime(at);
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

pub(super) fn url(id: usize) -> String {
    format!("http://itsm.example.com/#/ticket/detail?id={id}")
}

pub(super) fn envelope(done: Result<Value, Refusal>) -> Response {
    let body = match done {
        Ok(data) => json!({ "result": true, "code": 0, "message": "success", "data": data }),
        Err((code, message)) => {
            json!({ "result": false, "code": code, "message": message, "data": null })
        }
    };
    axum::Json(body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_path_forms_lead_to_the_operation() {
        for (path, expected) in [
            (
                "/api/c/compapi/v2/itsm/create_ticket/",
                Some(("esb", "create_ticket")),
            ),
            (
                "//api/c/compapi/v2/itsm/token/verify/",
                Some(("esb", "token/verify")),
            ),
            ("/v2/itsm/get_tickets", Some(("apigw", "get_tickets"))),
            (
                "/api/bk-itsm/prod/v2/itsm/get_tickets/",
                Some(("apigw", "get_tickets")),
            ),
            ("/v2/itsm/", None),
            ("/v2/cmdb/create_ticket/", None),
        ] {
            let found = operation(path);
            let found = found.as_ref().map(|(form, name)| (*form, name.as_str()));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn values_of_the_query_come_before_those_of_the_body() {
        let values = values("sn=REQ1&page=2", br#"{ "sn": "REQ2", "tag": "t" }"#);
        assert_eq!(
            (text(&values, "sn"), text(&values, "tag")),
            ("REQ1".to_owned(), "t".to_owned())
        );
        assert_eq!(values.get("page").and_then(integer), Some(2));
    }

    #[test]
    fn times_have_the_zone_of_the_original() {
        assert_eq!(time(0), "1970-01-01 08:00:00");
    }
}
