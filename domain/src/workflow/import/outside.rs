//! What automatic nodes of a file call: APIs, webhooks, tasks of the operations platform.

use events::outside::{Outside, Pair, Poll, Request, Taken, Task};
use events::workflow::{Condition, NodeKind};
use serde_json::{Value, json};

use super::{Note, Reader, condition_of, flag, int, listed, parts, text};
use crate::call::schema;
use crate::ticket::form::plain;
use crate::workflow::check::POLL_MS;

/// How fields of a form are sent.
const FORM: &str = "application/x-www-form-urlencoded";

impl Reader<'_> {
    pub(super) fn outside(&mut self, state: &Value, extras: &Value, kind: NodeKind, place: &str) -> Option<Outside> {
        match kind {
            NodeKind::Task => Some(Outside::Request(with_outputs(self.api(state.get("api_info").or_else(|| extras.get("api_info"))?, place), state))),
            NodeKind::Webhook => Some(Outside::Request(with_outputs(self.webhook(extras.get("webhook_info")?, place), state))),
            NodeKind::Sops => {
                let info = extras.get("sops_info")?;
                let value = |key: &str| info.get(key).map(|value| if value.is_object() { text(value, "value") } else { plain(value) }).unwrap_or_default();
                Some(Outside::Task(Task {
                    url: text(info, "url"),
                    bk_biz_id: value("bk_biz_id"),
                    template_id: value("template_id"),
                    template_source: value("template_source"),
                    constants: listed(info, &["constants"]).into_iter().map(constant).collect(),
                    exclude_task_nodes_id: parts(info.get("exclude_task_nodes_id")),
                    secret: text(info, "secret"),
                    polls_max: int(info, "polls_max").and_then(|polls| u32::try_from(polls).ok()).unwrap_or(8640),
                }))
            }
            _ => None,
        }
    }

    pub(super) fn api(&mut self, info: &Value, place: &str) -> Request {
        let remote = info.get("remote_api_info").or_else(|| info.get("remote_api")).unwrap_or(info);
        let own = info.get("api_instance_info").or_else(|| info.get("api_instance")).unwrap_or(info);
        for key in ["before_req", "map_code"] {
            if !text(remote, key).is_empty() || !text(own, key).is_empty() {
                self.dropped(place, format!("{key} is program text, and nothing that was typed in is ever run here"));
            }
        }
        let domain = remote.pointer("/system_info/domain").map(plain).unwrap_or_default();
        let url = if text(remote, "url").is_empty() { format!("{}{}", domain.trim_end_matches('/'), text(remote, "path")) } else { text(remote, "url") };
        let method = match text(remote, "method").to_uppercase() {
            method if method.is_empty() => "GET".to_owned(),
            method => method,
        };
        let member = |key: &str| own.get(key).or_else(|| remote.get(key)).filter(|value| !value.is_null());
        // An API tells the schema of its body where a node tells the body.
        let (schemas, bodies): (Vec<&Value>, Vec<&Value>) =
            [own, remote].into_iter().filter_map(|info| info.get("req_body")).filter(|body| !body.is_null()).partition(|body| schema::is_schema(body));
        let body = bodies.first().map(|body| (*body).clone()).unwrap_or_default();
        let body_schema = own.get("body_schema").filter(|schema| !schema.is_null()).or_else(|| schemas.first().copied()).cloned().unwrap_or_default();
        let poll = flag(own, "need_poll")
            .then(|| {
                let ends = own.get("end_conditions")?;
                Some(Poll {
                    interval_ms: int(ends, "poll_interval_ms").or_else(|| Some(int(ends, "poll_interval")?.saturating_mul(1000)))?,
                    times_max: u32::try_from(int(ends, "poll_time")?).ok()?,
                    until: condition_of(own.get("succeed_conditions")?, &[])?,
                })
            })
            .flatten();
        let poll = poll.or_else(|| flag(own, "need_poll").then(|| self.unreadable_poll(place)));
        Request {
            query: pairs(own.get("query").or_else(|| member("req_params").filter(|_| method == "GET"))),
            body: if method == "GET" { Value::Null } else { body },
            body_schema: if method == "GET" { Value::Null } else { body_schema },
            headers: pairs(member("headers")),
            method,
            url,
            secret: text(own, "secret"),
            timeout_ms: int(own, "timeout_ms").unwrap_or(10_000),
            attempts_max: int(own, "attempts_max").and_then(|times| u32::try_from(times).ok()).unwrap_or(1),
            success: own.get("success").and_then(|condition| condition_of(condition, &[])),
            poll,
            outputs: taken(own.pointer("/variables/outputs").or_else(|| own.get("outputs"))),
        }
    }

    /// What cannot be read is refused when it is deployed, rather than asked once and believed.
    fn unreadable_poll(&mut self, place: &str) -> Poll {
        let what = "how often it asks again, and until when: that cannot be read, and until it is said anew it is not deployed".into();
        self.report.push(Note::Missing { place: place.to_owned(), what });
        Poll { interval_ms: *POLL_MS.start(), times_max: 0, until: Condition::default() }
    }

    fn webhook(&mut self, info: &Value, place: &str) -> Request {
        let body = info.get("body").cloned().unwrap_or_default();
        let mut headers = pairs(info.get("headers"));
        let says_type = headers.iter().any(|pair| pair.key.eq_ignore_ascii_case("content-type"));
        let media_type = match (text(&body, "type").as_str(), text(&body, "raw_type").to_lowercase().as_str()) {
            ("form-data", _) => {
                self.changed(place, "its form is sent as application/x-www-form-urlencoded, not in parts");
                Some(FORM)
            }
            ("x-www-form-urlencoded" | "urlencoded", _) => Some(FORM),
            (_, "xml") => Some("application/xml"),
            (_, "html") => Some("text/html"),
            (_, "text") => Some("text/plain"),
            _ => None,
        };
        headers.extend(media_type.filter(|_| !says_type).map(|value| Pair { key: "Content-Type".into(), value: value.into() }));
        let body = match (text(&body, "type").as_str(), body.get("value")) {
            ("none" | "", _) => Value::Null,
            (_, Some(fields @ Value::Array(_))) if media_type == Some(FORM) => {
                pairs(Some(fields)).into_iter().map(|pair| (pair.key, Value::String(pair.value))).collect::<serde_json::Map<_, _>>().into()
            }
            (_, Some(Value::String(raw))) => serde_json::from_str(raw).unwrap_or_else(|_| raw.clone().into()),
            (_, Some(other)) => other.clone(),
            (_, None) => Value::Null,
        };
        let said = info.get("success").and_then(|condition| condition_of(condition, &[]));
        let success = match text(info, "success_exp") {
            _ if said.is_some() => said,
            exp if exp.is_empty() => None,
            exp => {
                let condition = expression(&exp);
                if condition.is_none() {
                    let what =
                        format!("when it succeeds: {exp:?} is more than comparisons joined by and, or by or, and until it is said anew it is not deployed");
                    self.report.push(Note::Missing { place: place.to_owned(), what });
                }
                // A condition that asks for nothing is refused when it is deployed; taking every answer for success would be worse.
                Some(condition.unwrap_or_default())
            }
        };
        if info.get("auth").is_some_and(|auth| auth.is_object() && !text(auth, "auth_type").is_empty()) {
            self.report.push(Note::Missing { place: place.to_owned(), what: "credentials are not read from files; name a secret of the key store".into() });
        }
        let settings = |key: &str| info.get("settings").and_then(|settings| int(settings, key));
        Request {
            method: text(info, "method").to_uppercase(),
            url: text(info, "url"),
            query: pairs(info.get("query_params")),
            headers,
            body,
            body_schema: Value::Null,
            secret: text(info, "secret"),
            timeout_ms: settings("timeout_ms").unwrap_or_else(|| settings("timeout").unwrap_or(10).saturating_mul(1000)),
            attempts_max: settings("attempts").and_then(|times| u32::try_from(times).ok()).unwrap_or(1),
            success,
            poll: None,
            outputs: taken(info.get("outputs")),
        }
    }
}

/// The variables that a node says it leaves behind, besides those its call says itself.
fn with_outputs(mut request: Request, state: &Value) -> Request {
    for output in taken(state.pointer("/variables/outputs")) {
        if !request.outputs.iter().any(|known| known.key == output.key) {
            request.outputs.push(output);
        }
    }
    request
}

fn pairs(value: Option<&Value>) -> Vec<Pair> {
    match value {
        Some(Value::Array(items)) => items.iter().map(constant).filter(|pair| !pair.key.is_empty()).collect(),
        Some(Value::Object(members)) => members.iter().map(|(key, value)| Pair { key: key.clone(), value: plain(value) }).collect(),
        _ => Vec::new(),
    }
}

/// A `{key, value}`; a value that names a variable becomes a template.
fn constant(item: &Value) -> Pair {
    let key = Some(text(item, "key")).filter(|key| !key.is_empty()).unwrap_or_else(|| text(item, "name"));
    let value = item.get("value").map(plain).unwrap_or_default();
    Pair { key, value: if text(item, "value_type") == "variable" && !value.starts_with("${") { format!("${{{value}}}") } else { value } }
}

fn taken(value: Option<&Value>) -> Vec<Taken> {
    let one = |item: &Value| Taken {
        key: Some(text(item, "key")).filter(|key| !key.is_empty()).unwrap_or_else(|| text(item, "name")),
        name: text(item, "name"),
        path: Some(text(item, "ref_path")).filter(|path| !path.is_empty()).unwrap_or_else(|| text(item, "path")),
    };
    value.and_then(Value::as_array).into_iter().flatten().map(one).filter(|taken| !taken.path.is_empty()).collect()
}

/// Comparisons of members of the answer with constants, joined by `and` or by `or`: `resp.code == 0 and resp["data"]["state"] == "done"`.
pub fn expression(text: &str) -> Option<Condition> {
    let (ands, ors) = (outside_quotes(text, " and "), outside_quotes(text, " or "));
    let (join, parts) = match (ands.len(), ors.len()) {
        (_, 1) => ("and", ands),
        (1, _) => ("or", ors),
        _ => return None,
    };
    let clauses: Option<Vec<Value>> = parts
        .into_iter()
        .map(|part| {
            let sign = ["==", "!=", ">=", "<=", ">", "<"].into_iter().find(|sign| outside_quotes(part, sign).len() == 2)?;
            let sides = outside_quotes(part, sign);
            let (key, value) = (path(sides[0].trim())?, sides[1].trim());
            let (kind, value) = match value {
                "True" | "true" => ("BOOLEAN", json!("true")),
                "False" | "false" => ("BOOLEAN", json!("false")),
                quoted if quoted.len() > 1 && (quoted.starts_with('"') && quoted.ends_with('"') || quoted.starts_with('\'') && quoted.ends_with('\'')) => {
                    ("STRING", json!(quoted[1..quoted.len() - 1]))
                }
                number => ("INT", serde_json::from_str::<serde_json::Number>(number).ok()?.into()),
            };
            Some(json!({ "key": key, "type": kind, "condition": sign, "value": value }))
        })
        .collect();
    serde_json::from_value(json!({ "type": "and", "expressions": [{ "type": join, "expressions": clauses? }] })).ok()
}

/// The parts of a text between a mark, wherever that does not stand in quotes.
fn outside_quotes<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    let (mut parts, mut from, mut at, mut quote) = (Vec::new(), 0, 0, None);
    while let Some(c) = text[at..].chars().next() {
        match quote {
            None if text[at..].starts_with(mark) => {
                parts.push(&text[from..at]);
                at += mark.len();
                from = at;
                continue;
            }
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        at += c.len_utf8();
    }
    parts.push(&text[from..]);
    parts
}

/// A path of members between dots; members may also stand in brackets and quotes, or be asked for by `get`.
fn path(text: &str) -> Option<String> {
    let plain = ["[\"", "['", ".get(\"", ".get('"].iter().fold(text.to_owned(), |text, open| text.replace(open, "."));
    let plain = ["\"]", "']", "\")", "')"].iter().fold(plain, |text, close| text.replace(close, ""));
    let is_path = !plain.is_empty() && plain.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    is_path.then_some(plain)
}
