//! What is asked of the other side next.

use std::collections::BTreeSet;

use events::outside::{Outside, Pair, Request, Task};
use serde_json::{Value, json};

use super::template::{Variables, fill, fill_json, holes, holes_of_json, percent};
use super::{CREATED, Call, schema};
use crate::ticket::form::plain;

/// One HTTP call, ready to be made. Headers that are secrets come from the key store and are not here.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Value>,
    pub timeout_ms: i64,
}

impl Wanted {
    /// The body as it is sent: a text as it is, a form as pairs where the headers say so, everything else as JSON.
    pub fn body_text(&self) -> String {
        let is_form =
            self.headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("content-type") && value.starts_with("application/x-www-form-urlencoded"));
        match &self.body {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Object(fields)) if is_form => {
                fields.iter().map(|(key, value)| format!("{}={}", percent(key), percent(&plain(value)))).collect::<Vec<_>>().join("&")
            }
            Some(body) => body.to_string(),
        }
    }
}

/// The next call, or why there cannot be one.
pub fn plan(outside: &Outside, call: &Call, variables: &Variables) -> Result<Wanted, String> {
    match outside {
        Outside::Request(request) => of_request(request, variables),
        Outside::Task(task) => of_task(task, call, variables),
    }
}

/// The keys that the templates of a call ask for.
pub fn asks_for(outside: &Outside) -> BTreeSet<String> {
    let of_pairs = |pairs: &[Pair]| pairs.iter().flat_map(|pair| holes(&pair.value)).collect::<Vec<_>>();
    let keys = match outside {
        Outside::Request(request) => [holes(&request.url), of_pairs(&request.query), of_pairs(&request.headers), holes_of_json(&request.body)],
        Outside::Task(task) => [holes(&task.bk_biz_id), holes(&task.template_id), of_pairs(&task.constants), Vec::new()],
    };
    keys.into_iter().flatten().collect()
}

/// The call that a request describes, its holes filled.
pub fn of_request(request: &Request, variables: &Variables) -> Result<Wanted, String> {
    let mut url = fill(&request.url, variables, percent)?;
    // What is filled in is one part of the path and stays one; whoever resolves an address takes these parts for ways up.
    let path = url.split(['?', '#']).next().unwrap_or_default();
    if path.split('/').any(|part| matches!(part.to_lowercase().replace("%2e", ".").as_str(), "." | "..")) {
        return Err("the address leads out of its path".into());
    }
    for (at, pair) in request.query.iter().enumerate() {
        let sign = if at == 0 && !url.contains('?') { '?' } else { '&' };
        url = format!("{url}{sign}{}={}", percent(&pair.key), percent(&fill(&pair.value, variables, str::to_owned)?));
    }
    let headers =
        request.headers.iter().map(|pair| Ok((pair.key.clone(), fill(&pair.value, variables, str::to_owned)?))).collect::<Result<Vec<_>, String>>()?;
    let body = match &request.body {
        Value::Null => None,
        // A text that is no JSON until it is filled: what fills it cannot end the text it stands in.
        Value::String(text) => Some(fill(text, variables, encoder(&headers))?.into()),
        body => Some(schema::conform(&request.body_schema, fill_json(body, variables)?)?),
    };
    Ok(Wanted { method: request.method.clone(), url, headers, body, timeout_ms: request.timeout_ms })
}

/// How a value is written into a text of the type that the headers say; JSON where they say nothing.
fn encoder(headers: &[(String, String)]) -> fn(&str) -> String {
    let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")).map_or("", |(_, value)| value.as_str());
    match kind.split(';').next().unwrap_or_default().trim() {
        "text/plain" => str::to_owned,
        "application/x-www-form-urlencoded" => percent,
        kind if kind.ends_with("xml") || kind.ends_with("html") => {
            |text| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&apos;")
        }
        _ => |text| {
            let quoted = Value::from(text).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        },
    }
}

/// A task is created, started and asked after, one call each (reference/bk-itsm.md 8.2).
fn of_task(task: &Task, call: &Call, variables: &Variables) -> Result<Wanted, String> {
    let filled = |text: &str| fill(text, variables, str::to_owned);
    let business = filled(&task.bk_biz_id)?;
    let (operation, body) = match call.step.as_str() {
        "" => {
            let constants =
                task.constants.iter().map(|pair| Ok((pair.key.clone(), filled(&pair.value)?.into()))).collect::<Result<serde_json::Map<_, _>, String>>()?;
            let name = call.requested.as_ref().map(|requested| requested.name.clone()).unwrap_or_default();
            let body = json!({
                "bk_biz_id": business, "template_id": filled(&task.template_id)?, "template_source": task.template_source,
                "name": format!("ITSM-{name}"), "constants": constants, "exclude_task_nodes_id": task.exclude_task_nodes_id,
            });
            ("create_task", body)
        }
        CREATED => ("start_task", json!({ "bk_biz_id": business, "task_id": call.task })),
        _ => ("get_task_status", json!({ "bk_biz_id": business, "task_id": call.task })),
    };
    let url = format!("{}/{operation}/", task.url.trim_end_matches('/'));
    Ok(Wanted { method: "POST".into(), url, headers: Vec::new(), body: Some(body), timeout_ms: 10_000 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_sent_as_its_headers_say() {
        let wanted = |body: Value, kind: Option<&str>| {
            let headers = kind.map(|kind| ("Content-Type".to_owned(), kind.to_owned())).into_iter().collect();
            Wanted { method: "POST".into(), url: "https://x/".into(), headers, body: Some(body), timeout_ms: 1 }.body_text()
        };
        assert_eq!(wanted(json!({ "a": 1 }), None), r#"{"a":1}"#);
        assert_eq!(wanted(json!({ "a": "x&y=1", "b": 2 }), Some("application/x-www-form-urlencoded")), "a=x%26y%3D1&b=2");
        assert_eq!(wanted(json!("<a>1</a>"), Some("application/xml")), "<a>1</a>");
        let filled = |kind: &str, body: &str| {
            let headers = vec![events::outside::Pair { key: "content-type".into(), value: kind.into() }];
            let request = Request { method: "POST".into(), url: "https://x/".into(), headers, body: body.into(), ..Request::default() };
            of_request(&request, &[("t".to_owned(), json!("a\"</b>&"))].into()).expect("planned").body_text()
        };
        assert_eq!(filled("application/json", r#"{"n": 1, "t": "${t}"}"#), r#"{"n": 1, "t": "a\"</b>&"}"#);
        assert_eq!(filled("application/xml", "<b>${t}</b>"), "<b>a&quot;&lt;/b&gt;&amp;</b>");
        assert_eq!(filled("text/plain", "${t}"), "a\"</b>&");
    }

    #[test]
    fn what_is_filled_in_leads_nowhere_else() {
        let request = Request { method: "GET".into(), url: "https://x/hosts/${a}/${b}".into(), ..Request::default() };
        let plan = |a: &str, b: &str| of_request(&request, &[("a".to_owned(), json!(a)), ("b".to_owned(), json!(b))].into()).map(|wanted| wanted.url);
        for (a, b) in [("..", "admin"), ("x", "."), ("%2e%2E", "x")] {
            let filled = plan(a, b);
            assert!(filled.is_err() || filled == Ok("https://x/hosts/%252e%252E/x".into()), "{filled:?}");
        }
        assert_eq!(plan("..", "admin").unwrap_err(), "the address leads out of its path");
        assert_eq!(plan("a/../b", "...").unwrap(), "https://x/hosts/a%2F..%2Fb/...");
    }
}
