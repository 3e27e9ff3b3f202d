//! What automatic nodes of a file call: APIs, webhooks, tasks of the operations platform.

use std::collections::BTreeSet;

use events::service_task::{OutputMapping, Pair, Poll, Request, ServiceTask, Task};
use events::workflow::{Condition, NodeKind};
use serde_json::{Value, json};

use super::{Note, Reader, condition_of, flag, int, is_nothing, parts, text};
use crate::api_call::schema;
use crate::ticket::form::plain;
use crate::workflow::check::{OPTIONS_MS_MAX, POLL_MS, TIMEOUT_MS_MAX, host_problem};

/// Fields of a form as the original sends them.
const FORM: &str = "application/x-www-form-urlencoded;charset=utf-8";
/// Fields of a form in parts.
const PARTS: &str = "multipart/form-data";
/// JSON, which is the type of every body that names none.
const JSON: &str = "application/json";
/// The pause between two questions where a file has none: the engine of the original looks every three seconds.
const POLL_DEFAULT_MS: i64 = 3_000;
/// Headers of the connection and the framing, which every client sets by itself (RFC 9110 7.6.1), as are those that begin with `proxy-`.
const CONNECTION_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
];
/// Members of a pair; the designer of the original keeps in the others how its page shows one.
const PAIR: [&str; 8] = [
    "key",
    "name",
    "value",
    "value_type",
    "check",
    "select",
    "desc",
    "type",
];
/// Members of a variable that a call leaves behind.
const OUTPUT: [&str; 8] = [
    "key", "name", "ref_path", "path", "type", "source", "state", "meta",
];
/// Members that describe an API, and nothing that is sent.
const DESCRIPTION: [&str; 14] = [
    "id",
    "name",
    "desc",
    "version",
    "func_name",
    "is_activated",
    "is_builtin",
    "owners",
    "code",
    "system_id",
    "contact_information",
    "remote_system",
    "remote_system_order",
    "remote_api_id",
];
/// Members of how a node or a field calls an API.
const API_OWN: [&str; 18] = [
    "need_poll",
    "end_conditions",
    "succeed_conditions",
    "req_params",
    "req_body",
    "rsp_data",
    "query",
    "headers",
    "body_schema",
    "secret",
    "credentials",
    "timeout_ms",
    "attempts_max",
    "success",
    "outputs",
    "variables",
    "before_req",
    "map_code",
];
/// Members of an API, and of what this desk writes of it.
const API_REMOTE: [&str; 11] = [
    "url",
    "path",
    "method",
    "headers",
    "req_params",
    "req_body",
    "rsp_data",
    "before_req",
    "map_code",
    "system_info",
    "remote_system_name",
];
/// Members of a webhook.
const WEBHOOK: [&str; 13] = [
    "method",
    "url",
    "query_params",
    "auth",
    "headers",
    "body",
    "settings",
    "success_exp",
    "success",
    "secret",
    "credentials",
    "outputs",
    "timeout",
];
/// Headers that carry credentials.
const SECRET_HEADERS: [&str; 6] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "private-token",
    "x-bkapi-authorization",
];

impl Reader<'_> {
    pub(super) fn service_task(
        &mut self,
        state: &Value,
        extras: &Value,
        kind: NodeKind,
        place: &str,
    ) -> Option<ServiceTask> {
        match kind {
            NodeKind::Task => {
                let info = state
                    .get("api_info")
                    .or_else(|| extras.get("api_info"))
                    .filter(|info| !is_nothing(info))?;
                let request = with_outputs(self.api(info, place), state);
                self.host(&request, place);
                Some(ServiceTask::Request(request))
            }
            NodeKind::Webhook => {
                let info = extras
                    .get("webhook_info")
                    .filter(|info| !is_nothing(info))?;
                let request = with_outputs(self.webhook(info, place), state);
                self.host(&request, place);
                Some(ServiceTask::Request(request))
            }
            NodeKind::Sops => {
                let info = extras.get("sops_info").filter(|info| !is_nothing(info))?;
                Some(ServiceTask::Task(self.task(info, place)))
            }
            _ => None,
        }
    }

    /// Reports what is missing in a request before it can be sent to a host.
    fn host(&mut self, request: &Request, place: &str) {
        if let Some(what) = host_problem(&request.url, &request.system) {
            self.report.push(Note::Missing {
                place: place.to_owned(),
                what,
            });
        }
    }

    fn task(&mut self, info: &Value, place: &str) -> Task {
        let known = [
            "url",
            "bk_biz_id",
            "template_id",
            "template_source",
            "constants",
            "exclude_task_nodes_id",
            "secret",
            "polls_max",
        ];
        self.unread(place, "sops_info.", info, &known);
        let value = |key: &str| {
            info.get(key)
                .map(|value| {
                    if value.is_object() {
                        text(value, "value")
                    } else {
                        plain(value)
                    }
                })
                .unwrap_or_default()
        };
        if text(info, "url").is_empty() {
            self.report.push(Note::Missing {
                place: place.to_owned(),
                what: "the URL of the operations platform".into(),
            });
        }
        Task {
            url: text(info, "url"),
            bk_biz_id: value("bk_biz_id"),
            template_id: value("template_id"),
            template_source: value("template_source"),
            constants: self.pairs(place, "sops_info.constants", info.get("constants")),
            exclude_task_nodes_id: parts(info.get("exclude_task_nodes_id")),
            secret: text(info, "secret"),
            polls_max: int(info, "polls_max")
                .and_then(|polls| u32::try_from(polls).ok())
                .unwrap_or(8640),
        }
    }

    pub(super) fn api(&mut self, info: &Value, place: &str) -> Request {
        let remote = info
            .get("remote_api_info")
            .or_else(|| info.get("remote_api"))
            .unwrap_or(info);
        let own = info
            .get("api_instance_info")
            .or_else(|| info.get("api_instance"))
            .unwrap_or(info);
        let of_both = [
            "remote_api_info",
            "remote_api",
            "api_instance_info",
            "api_instance",
        ];
        let known: Vec<&str> = of_both
            .into_iter()
            .chain(API_OWN)
            .chain(API_REMOTE)
            .chain(DESCRIPTION)
            .collect();
        for (of, part) in [
            ("api_info.", info),
            ("api_info.remote_api_info.", remote),
            ("api_info.api_instance_info.", own),
        ] {
            if of == "api_info." || !std::ptr::eq(part, info) {
                self.unread(place, of, part, &known);
            }
        }
        for key in ["before_req", "map_code"] {
            if !text(remote, key).is_empty() || !text(own, key).is_empty() {
                self.dropped(
                    place,
                    format!(
                        "{key} is program text, and nothing that was typed in is ever run here"
                    ),
                );
            }
        }
        let system = remote.get("system_info").cloned().unwrap_or_default();
        let known: Vec<&str> = ["domain", "headers", "cookies", "variables"]
            .into_iter()
            .chain(DESCRIPTION)
            .collect();
        self.unread(place, "system_info.", &system, &known);
        let domain = system.get("domain").map(plain).unwrap_or_default();
        let url = if text(remote, "url").is_empty() {
            format!("{}{}", domain.trim_end_matches('/'), text(remote, "path"))
        } else {
            text(remote, "url")
        };
        let system_name = Some(text(remote, "remote_system_name"))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| text(&system, "name"));
        let method = match text(remote, "method").to_uppercase() {
            method if method.is_empty() => "GET".to_owned(),
            method => method,
        };
        let member = |key: &str| {
            own.get(key)
                .or_else(|| remote.get(key))
                .filter(|value| !value.is_null())
        };
        // An API tells the schema of its body where a node tells the body.
        let (schemas, bodies): (Vec<&Value>, Vec<&Value>) = [own, remote]
            .into_iter()
            .filter_map(|info| info.get("req_body"))
            .filter(|body| !body.is_null())
            .partition(|body| schema::is_schema(body));
        let body = bodies
            .first()
            .map(|body| (*body).clone())
            .unwrap_or_default();
        let body_schema = own
            .get("body_schema")
            .filter(|schema| !schema.is_null())
            .or_else(|| schemas.first().copied())
            .cloned()
            .unwrap_or_default();
        let is_get = method == "GET";
        if is_get && !is_nothing(&body) {
            self.dropped(place, "req_body: a GET has no body");
        }
        let query = own
            .get("query")
            .or_else(|| member("req_params").filter(|_| is_get));
        if query.is_none()
            && own
                .get("req_params")
                .is_some_and(|params| !is_nothing(params))
        {
            self.dropped(place, format!("req_params: a {method} sends its body"));
        }
        let query = self.pairs(place, "query", query);
        let mut headers = [
            self.pairs(place, "system_info.headers", system.get("headers")),
            self.pairs(place, "headers", member("headers")),
        ]
        .concat();
        self.without_connection(&mut headers, place);
        self.visible_secrets(&headers, place);
        let needs_poll = flag(own, "need_poll");
        let poll = needs_poll
            .then(|| {
                let ends = own.get("end_conditions")?;
                let interval_ms = int(ends, "poll_interval_ms")
                    .or_else(|| Some(int(ends, "poll_interval")?.saturating_mul(1000)))?;
                Some(Poll {
                    interval_ms: if interval_ms == 0 {
                        POLL_DEFAULT_MS
                    } else {
                        interval_ms
                    },
                    times_max: u32::try_from(int(ends, "poll_time")?).ok()?,
                    until: condition_of(own.get("succeed_conditions")?)?,
                })
            })
            .flatten();
        if let Some(ends) = own.get("end_conditions") {
            self.unread(
                place,
                "end_conditions.",
                ends,
                &["poll_interval", "poll_interval_ms", "poll_time"],
            );
        }
        let poll = poll.or_else(|| needs_poll.then(|| self.unreadable_poll(place)));
        let secret = text(own, "secret");
        let cookies = system
            .get("cookies")
            .filter(|cookies| !is_nothing(cookies))
            .map(|_| "cookies".to_owned());
        let credentials = Some(text(own, "credentials"))
            .filter(|kind| !kind.is_empty())
            .or(cookies)
            .unwrap_or_default();
        self.credentials_due(&credentials, &secret, place);
        Request {
            query,
            body: if is_get { Value::Null } else { body },
            body_schema: if is_get { Value::Null } else { body_schema },
            headers,
            method,
            system: if url.contains("://") {
                String::new()
            } else {
                system_name
            },
            url,
            secret,
            credentials,
            timeout_ms: self.timeout(
                int(own, "timeout_ms").unwrap_or(10_000),
                if place.starts_with("field ") {
                    OPTIONS_MS_MAX
                } else {
                    TIMEOUT_MS_MAX
                },
                place,
            ),
            attempts_max: int(own, "attempts_max")
                .and_then(|times| u32::try_from(times).ok())
                .unwrap_or(1),
            success: own.get("success").and_then(condition_of),
            poll,
            outputs: self.outputs(
                place,
                own.pointer("/variables/outputs")
                    .or_else(|| own.get("outputs")),
            ),
        }
    }

    /// What cannot be read is refused when it is deployed, rather than asked once and believed.
    fn unreadable_poll(&mut self, place: &str) -> Poll {
        let what = "how often it asks again, and until when: that cannot be read, and until it is said anew it is not deployed".into();
        self.report.push(Note::Missing {
            place: place.to_owned(),
            what,
        });
        Poll {
            interval_ms: *POLL_MS.start(),
            times_max: 0,
            until: Condition::default(),
        }
    }

    fn webhook(&mut self, info: &Value, place: &str) -> Request {
        self.unread(place, "webhook_info.", info, &WEBHOOK);
        let method = Some(text(info, "method").to_uppercase())
            .filter(|method| !method.is_empty())
            .unwrap_or_else(|| "GET".to_owned());
        let mut headers = once_each(self.pairs(place, "headers", info.get("headers")));
        self.without_connection(&mut headers, place);
        self.visible_secrets(&headers, place);
        let (body, media_type) = self.body(info.get("body").unwrap_or(&Value::Null), place);
        if let Some(media_type) = media_type.filter(|_| !body.is_null()) {
            self.content_type(&mut headers, media_type, place);
        }
        let said = info.get("success").and_then(condition_of);
        let success = match text(info, "success_exp") {
            _ if said.is_some() => said,
            exp if exp.is_empty() || is_always_true(&exp) => None,
            exp => {
                let condition = expression(&exp);
                if condition.is_none() {
                    let what = format!(
                        "when it succeeds: {exp:?} is more than comparisons joined by and, or by or, and until it is said anew it is not deployed"
                    );
                    self.report.push(Note::Missing {
                        place: place.to_owned(),
                        what,
                    });
                }
                // A condition that asks for nothing is refused when it is deployed; taking every answer for success would be worse.
                Some(condition.unwrap_or_default())
            }
        };
        let secret = text(info, "secret");
        let credentials = match text(info, "credentials") {
            kind if kind.is_empty() => self.credentials(
                info.get("auth").unwrap_or(&Value::Null),
                &mut headers,
                place,
            ),
            kind => kind,
        };
        self.credentials_due(&credentials, &secret, place);
        let settings = info.get("settings").unwrap_or(&Value::Null);
        self.unread(
            place,
            "settings.",
            settings,
            &["timeout", "timeout_ms", "attempts"],
        );
        let timeout_s = int(settings, "timeout")
            .or_else(|| int(info, "timeout"))
            .unwrap_or(10);
        let query = self.pairs(place, "query_params", info.get("query_params"));
        Request {
            method,
            url: text(info, "url"),
            query: once_each(query),
            headers,
            body,
            body_schema: Value::Null,
            secret,
            credentials,
            system: String::new(),
            timeout_ms: self.timeout(
                int(settings, "timeout_ms").unwrap_or_else(|| timeout_s.saturating_mul(1000)),
                TIMEOUT_MS_MAX,
                place,
            ),
            attempts_max: int(settings, "attempts")
                .and_then(|times| u32::try_from(times).ok())
                .unwrap_or(1),
            success,
            poll: None,
            outputs: self.outputs(place, info.get("outputs")),
        }
    }

    /// A longer wait than a call may take becomes the longest one.
    fn timeout(&mut self, timeout_ms: i64, most: i64, place: &str) -> i64 {
        if timeout_ms > most {
            self.changed(
                place,
                format!("its call waits {most} ms for an answer, and not {timeout_ms} ms"),
            );
        }
        timeout_ms.min(most)
    }

    /// Leaves out headers that a call must not set.
    fn without_connection(&mut self, headers: &mut Vec<Pair>, place: &str) {
        let is_of_connection = |pair: &Pair| {
            let name = pair.key.to_lowercase();
            CONNECTION_HEADERS.contains(&name.as_str()) || name.starts_with("proxy-")
        };
        let (left_out, kept): (Vec<Pair>, Vec<Pair>) = std::mem::take(headers)
            .into_iter()
            .partition(is_of_connection);
        *headers = kept;
        for pair in left_out {
            self.dropped(
                place,
                format!("its header {}, which each call sets by itself", pair.key),
            );
        }
    }

    /// The type of a body wins over a header of another type, as in the original. A header of the same type stays as it is written.
    fn content_type(&mut self, headers: &mut Vec<Pair>, media_type: &str, place: &str) {
        match headers
            .iter_mut()
            .find(|pair| pair.key.eq_ignore_ascii_case("content-type"))
        {
            Some(pair)
                if pair.value.contains("{{")
                    || type_class(&pair.value) == type_class(media_type) => {}
            Some(pair) => {
                let said = std::mem::replace(&mut pair.value, media_type.to_owned());
                self.changed(place, format!("its body is sent as {media_type}, as its type says, and not as its header Content-Type says ({said})"));
            }
            None if media_type == JSON => {}
            None => headers.push(Pair {
                key: "Content-Type".into(),
                value: media_type.to_owned(),
            }),
        }
    }

    /// What a webhook sends, and of which media type: a text as it is written, or the fields of a form in their order. The files of the original have
    /// texts in `content` and forms in `params`; `value` is what this desk wrote before.
    fn body(&mut self, body: &Value, place: &str) -> (Value, Option<&'static str>) {
        if !body.is_object() && !is_nothing(body) {
            self.dropped(
                place,
                "its body, which is neither of the type raw nor a form",
            );
        }
        let given = |key: &str| {
            body.get(key)
                .filter(|value| !value.is_null() && **value != "")
        };
        let kind = text(body, "type").to_lowercase().replace('_', "-");
        let (sent, media_type, from) = match kind.as_str() {
            "raw" => {
                // Older files call the type `row_type`. A type that the original does not know is text there.
                let said = ["raw_type", "row_type"]
                    .into_iter()
                    .find(|key| !text(body, key).is_empty());
                let media_type = match said.map(|key| text(body, key).to_lowercase()).as_deref() {
                    Some("json") => Some(JSON),
                    Some("xml") => Some("application/xml"),
                    Some("html") => Some("text/html"),
                    Some("javascript") => Some("application/javascript"),
                    Some(_) => Some("text/plain"),
                    None => None,
                };
                match (given("content"), given("value")) {
                    // A body that this desk has as JSON is in the file twice: as the text that the original reads, and as it is.
                    (Some(Value::String(content)), Some(value)) if is_text_of(content, value) => {
                        (value.clone(), media_type, ["content", "value"])
                    }
                    (Some(content), _) => (content.clone(), media_type, ["content", "content"]),
                    (None, value) => (
                        value.cloned().unwrap_or_default(),
                        media_type,
                        ["value", "value"],
                    ),
                }
            }
            "form-data" | "x-www-form-urlencoded" | "urlencoded" => {
                let media_type = Some(if kind == "form-data" { PARTS } else { FORM });
                let listed = ["params", "value", "content"].into_iter().find(|key| {
                    given(key).is_some_and(|value| value.is_array() || value.is_object())
                });
                let written = ["content", "value"]
                    .into_iter()
                    .find(|key| given(key).is_some_and(Value::is_string));
                match (listed, written) {
                    (Some(key), _) => {
                        let fields =
                            once_each(self.pairs(place, &format!("body.{key}"), given(key)));
                        let sent: Vec<Value> = fields
                            .into_iter()
                            .map(|pair| json!({ "key": pair.key, "value": pair.value }))
                            .collect();
                        (
                            if sent.is_empty() {
                                Value::Null
                            } else {
                                sent.into()
                            },
                            media_type,
                            [key, key],
                        )
                    }
                    (None, Some(key)) => (
                        given(key).cloned().unwrap_or_default(),
                        media_type,
                        [key, key],
                    ),
                    (None, None) => (Value::Null, None, ["params", "params"]),
                }
            }
            "" | "none" => (Value::Null, None, ["type", "type"]),
            other => {
                self.dropped(place, format!("its body is of the type {other:?}, which neither the original nor this desk sends"));
                (Value::Null, None, ["type", "type"])
            }
        };
        self.unread(
            place,
            "body.",
            body,
            &["type", "raw_type", "row_type", from[0], from[1]],
        );
        if holes_are_programs(&sent) {
            self.dropped(
                place,
                "its body has statements between {% and %}, which are sent as they are written",
            );
        }
        (sent, media_type)
    }

    /// The kind of the credentials that a file has for a webhook. The credentials themselves are not read, unless they are a template that the ticket fills.
    fn credentials(&mut self, auth: &Value, headers: &mut Vec<Pair>, place: &str) -> String {
        match auth {
            Value::String(kind) if matches!(kind.as_str(), "none" | "no_auth") => {
                return String::new();
            }
            Value::String(kind) => return kind.clone(),
            // A call that needs credentials is never made without them, whatever they are.
            Value::Array(_) if !is_nothing(auth) => return "unknown".into(),
            _ => {}
        }
        let (kind, config) = (
            text(auth, "auth_type"),
            auth.get("auth_config").unwrap_or(&Value::Null),
        );
        self.unread(place, "auth.", auth, &["auth_type", "auth_config"]);
        if matches!(kind.as_str(), "" | "none" | "no_auth") || is_nothing(config) {
            return String::new();
        }
        let token = text(config, "token");
        let is_template =
            token.starts_with("{{") && token.ends_with("}}") && token.matches("{{").count() == 1;
        if kind == "bearer_token" && is_template {
            headers.push(Pair {
                key: "Authorization".into(),
                value: format!("Bearer {token}"),
            });
            return String::new();
        }
        kind
    }

    /// A call that needs credentials is not deployed before a secret is named for it.
    fn credentials_due(&mut self, credentials: &str, secret: &str, place: &str) {
        if !credentials.is_empty() && secret.is_empty() {
            let what = format!(
                "its credentials ({credentials}): credentials are not read from files; name a secret of the key store"
            );
            self.report.push(Note::Missing {
                place: place.to_owned(),
                what,
            });
        }
    }

    /// Headers of a definition can be read by everybody who may read the definition.
    fn visible_secrets(&mut self, headers: &[Pair], place: &str) {
        let is_secret = |pair: &&Pair| {
            SECRET_HEADERS
                .iter()
                .any(|known| pair.key.eq_ignore_ascii_case(known))
                && !pair.value.is_empty()
        };
        let names: Vec<&str> = headers
            .iter()
            .filter(is_secret)
            .map(|pair| pair.key.as_str())
            .collect();
        if !names.is_empty() {
            self.changed(
                place,
                format!("its headers {} are in the workflow, where everybody who reads it sees them; a secret of the key store hides them", names.join(", ")),
            );
        }
    }

    /// A list of pairs, or the members of an object; members of a pair that are not read are named.
    fn pairs(&mut self, place: &str, of: &str, value: Option<&Value>) -> Vec<Pair> {
        match value {
            Some(Value::Array(items)) => {
                self.unread_items(place, of, items, &PAIR);
                let pairs: Vec<Pair> = items.iter().map(constant).collect();
                if pairs
                    .iter()
                    .any(|pair| pair.key.is_empty() && !pair.value.is_empty())
                {
                    self.dropped(place, format!("{of}: a value without a key"));
                }
                pairs
                    .into_iter()
                    .filter(|pair| !pair.key.is_empty())
                    .collect()
            }
            Some(Value::Object(members)) => members
                .iter()
                .map(|(key, value)| match value {
                    // Constants of the operations platform are an object of pairs.
                    Value::Object(_) if value.get("value").is_some() => Pair {
                        key: key.clone(),
                        ..constant(value)
                    },
                    value => Pair {
                        key: key.clone(),
                        value: plain(value),
                    },
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    fn outputs(&mut self, place: &str, value: Option<&Value>) -> Vec<OutputMapping> {
        if let Some(Value::Array(items)) = value {
            self.unread_items(place, "outputs", items, &OUTPUT);
        }
        taken(value)
    }

    /// Names the members of the items of a list that are not read, each once.
    fn unread_items(&mut self, place: &str, of: &str, items: &[Value], known: &[&str]) {
        let members = items.iter().filter_map(Value::as_object).flatten();
        let unread: BTreeSet<&str> = members
            .filter(|(key, value)| !known.contains(&key.as_str()) && !is_nothing(value))
            .map(|(key, _)| key.as_str())
            .collect();
        for key in unread {
            self.dropped(
                place,
                format!("{of}[].{key}: this desk does not know this member"),
            );
        }
    }
}

/// Pairs as the original has them: a key that comes again takes the place of the first and the value of the last.
fn once_each(pairs: Vec<Pair>) -> Vec<Pair> {
    let mut once: Vec<Pair> = Vec::new();
    for pair in pairs {
        match once.iter_mut().find(|known| known.key == pair.key) {
            Some(known) => known.value = pair.value,
            None => once.push(pair),
        }
    }
    once
}

/// Says whether a text of a body has statements of the original's templates.
fn holes_are_programs(body: &Value) -> bool {
    match body {
        Value::String(text) => text.contains("{%"),
        Value::Array(items) => items.iter().any(holes_are_programs),
        Value::Object(members) => members.values().any(holes_are_programs),
        _ => false,
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

/// A `{key, value}`; a value that names a variable becomes a template.
fn constant(item: &Value) -> Pair {
    let key = Some(text(item, "key"))
        .filter(|key| !key.is_empty())
        .unwrap_or_else(|| text(item, "name"));
    let value = item.get("value").map(plain).unwrap_or_default();
    Pair {
        key,
        value: if text(item, "value_type") == "variable" && !value.starts_with("${") {
            format!("${{{value}}}")
        } else {
            value
        },
    }
}

fn taken(value: Option<&Value>) -> Vec<OutputMapping> {
    let one = |item: &Value| OutputMapping {
        key: Some(text(item, "key"))
            .filter(|key| !key.is_empty())
            .unwrap_or_else(|| text(item, "name")),
        name: text(item, "name"),
        path: Some(text(item, "ref_path"))
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| text(item, "path")),
    };
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(one)
        .filter(|taken| !taken.path.is_empty())
        .collect()
}

/// Which kind of body a media type names; types that are not known here are sent as JSON is.
fn type_class(media_type: &str) -> &'static str {
    let essence = media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    match essence.as_str() {
        PARTS => PARTS,
        "application/x-www-form-urlencoded" => FORM,
        other => match other.rsplit(['/', '+']).next().unwrap_or_default() {
            "plain" => "text/plain",
            "xml" => "application/xml",
            "html" => "text/html",
            "javascript" => "application/javascript",
            _ => JSON,
        },
    }
}

/// Longest expression, and deepest nesting of its parentheses; those of real files have one comparison or two.
const EXPRESSION_BYTES: usize = 2000;
const EXPRESSION_DEPTH: usize = 8;

/// An expression over an answer: comparisons, joined by words.
enum Compared {
    Clause(Value),
    All(&'static str, Vec<Compared>),
}

/// Comparisons of members of the answer with constants, joined by `and` or by `or`: `resp.code == 0 and resp["data"]["state"] == "done"`. Parentheses may hold
/// comparisons that are joined by the other word.
pub fn expression(text: &str) -> Option<Condition> {
    let group = |join: &str, clauses: Vec<Value>| json!({ "type": join, "expressions": clauses });
    let (join, groups) = match compared(text, 0)? {
        Compared::Clause(clause) => ("and", vec![group("and", vec![clause])]),
        Compared::All(join, parts)
            if parts.iter().all(|part| matches!(part, Compared::Clause(_))) =>
        {
            ("and", vec![group(join, clauses(parts)?)])
        }
        Compared::All(join, parts) => {
            let one = |part: Compared| match part {
                Compared::Clause(clause) => Some(group("and", vec![clause])),
                Compared::All(inner, parts) => clauses(parts).map(|clauses| group(inner, clauses)),
            };
            (
                join,
                parts.into_iter().map(one).collect::<Option<Vec<Value>>>()?,
            )
        }
    };
    serde_json::from_value(json!({ "type": join, "expressions": groups })).ok()
}

/// Says whether an expression holds of every answer.
fn is_always_true(text: &str) -> bool {
    let sides = unquoted_parts(text, "==");
    let constant = |side: &str| constant_of(side.trim()).map(|(_, value)| value);
    matches!(text, "true" | "True")
        || sides.len() == 2 && constant(sides[0]).is_some_and(|one| Some(one) == constant(sides[1]))
}

/// The comparisons of a list that holds nothing else.
fn clauses(parts: Vec<Compared>) -> Option<Vec<Value>> {
    let clause = |part: Compared| match part {
        Compared::Clause(clause) => Some(clause),
        Compared::All(..) => None,
    };
    parts.into_iter().map(clause).collect()
}

fn compared(text: &str, depth: usize) -> Option<Compared> {
    if depth > EXPRESSION_DEPTH || text.len() > EXPRESSION_BYTES {
        return None;
    }
    let text = text.trim();
    let (ands, ors) = (unquoted_parts(text, " and "), unquoted_parts(text, " or "));
    let (join, parts) = match (ands.len(), ors.len()) {
        (1, 1) => {
            return match text
                .strip_prefix('(')
                .and_then(|rest| rest.strip_suffix(')'))
            {
                Some(inner) => compared(inner, depth + 1),
                None => comparison(text),
            };
        }
        (_, 1) => ("and", ands),
        (1, _) => ("or", ors),
        _ => return None,
    };
    let mut all = Vec::new();
    for part in parts {
        match compared(part, depth + 1)? {
            Compared::All(inner, parts) if inner == join => all.extend(parts),
            other => all.push(other),
        }
    }
    Some(Compared::All(join, all))
}

/// One comparison of a member with a constant, or with a list of constants.
fn comparison(text: &str) -> Option<Compared> {
    for (word, sign, join) in [(" in ", "==", "or"), (" notin ", "!=", "and")] {
        let sides = unquoted_parts(text, word);
        if sides.len() == 2 {
            let (key, list) = (path(sides[0].trim())?, sides[1].trim());
            let list = list
                .strip_prefix('(')
                .and_then(|list| list.strip_suffix(')'))
                .or_else(|| list.strip_prefix('[')?.strip_suffix(']'))?;
            let items = unquoted_parts(list, ",");
            let one =
                |item: &&str| constant_of(item.trim()).map(|constant| clause(&key, sign, constant));
            return Some(Compared::All(
                join,
                items.iter().map(one).collect::<Option<_>>()?,
            ));
        }
    }
    let sign = ["==", "!=", ">=", "<=", ">", "<"]
        .into_iter()
        .find(|sign| unquoted_parts(text, sign).len() == 2)?;
    let sides = unquoted_parts(text, sign);
    let (left, right) = (sides[0].trim(), sides[1].trim());
    match (constant_of(left), constant_of(right)) {
        (None, Some(constant)) => Some(clause(&path(left)?, sign, constant)),
        (Some(constant), None) => {
            let turned = match sign {
                ">" => "<",
                "<" => ">",
                ">=" => "<=",
                "<=" => ">=",
                other => other,
            };
            Some(clause(&path(right)?, turned, constant))
        }
        _ => None,
    }
}

fn clause(key: &str, sign: &str, (kind, value): (&str, Value)) -> Compared {
    Compared::Clause(json!({ "key": key, "type": kind, "condition": sign, "value": value }))
}

/// A constant of an expression and its type.
fn constant_of(text: &str) -> Option<(&'static str, Value)> {
    Some(match text {
        "True" | "true" => ("BOOLEAN", json!("true")),
        "False" | "false" => ("BOOLEAN", json!("false")),
        quoted
            if quoted.len() > 1
                && (quoted.starts_with('"') && quoted.ends_with('"')
                    || quoted.starts_with('\'') && quoted.ends_with('\'')) =>
        {
            ("STRING", json!(quoted[1..quoted.len() - 1]))
        }
        number => (
            "INT",
            serde_json::from_str::<serde_json::Number>(number)
                .ok()?
                .into(),
        ),
    })
}

/// The parts of a text between a mark, wherever that is neither in quotes nor in parentheses. The blanks around a word may also be parentheses, and its
/// letters large.
fn unquoted_parts<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    let (mut parts, mut from, mut at, mut quote, mut depth) = (Vec::new(), 0, 0, None, 0_usize);
    let word = mark.trim();
    let is_word = word.len() + 2 == mark.len();
    while let Some(c) = text[at..].chars().next() {
        let starts = if is_word {
            let begins = text[at..]
                .get(..word.len())
                .is_some_and(|here| here.eq_ignore_ascii_case(word));
            let before = text[..at]
                .chars()
                .next_back()
                .is_some_and(|c| c.is_whitespace() || c == ')');
            let after = text[at..]
                .get(word.len()..)
                .and_then(|rest| rest.chars().next())
                .is_some_and(|c| c.is_whitespace() || matches!(c, '(' | '['));
            begins && before && after
        } else {
            text[at..].starts_with(mark)
        };
        match quote {
            None if depth == 0 && starts => {
                parts.push(&text[from..at]);
                at += if is_word { word.len() } else { mark.len() };
                from = at;
                continue;
            }
            None if matches!(c, '(' | '[') => depth += 1,
            None if matches!(c, ')' | ']') => depth = depth.saturating_sub(1),
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
    let plain = ["[\"", "['", ".get(\"", ".get('"]
        .iter()
        .fold(text.to_owned(), |text, open| text.replace(open, "."));
    let plain = ["\"]", "']", "\")", "')"]
        .iter()
        .fold(plain, |text, close| text.replace(close, ""));
    let is_path = !plain.is_empty()
        && plain
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    is_path.then_some(plain)
}

/// Says whether a text is a JSON value as it is written.
fn is_text_of(text: &str, value: &Value) -> bool {
    // Comparing with the value itself would compare with the content of a JSON string.
    let written = value.to_string();
    text == written
}
