//! Reads the service tasks in an imported workflow file. A service task is the work of an automatic node:
//! an API request, a webhook, a task of BlueKing SOPS, an application (a request for approval in an
//! external ITSM) or a mission (the work of a robot).

mod success;

use std::collections::BTreeSet;

use events::workflow::service_task::{OutputMapping, Pair, Poll, Request, ServiceTask, Task};
use events::workflow::{Condition, NodeKind};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Note, Reader, condition_of, flag, has_no_content, int, parts, text};
use crate::api_call::plan::is_of_connection;
use crate::api_call::schema;
use crate::value::plain;
use crate::workflow::check::{OPTIONS_MS_MAX, POLL_MS, TIMEOUT_MS_MAX, host_problem};
pub use success::expression;
use success::is_always_true;

/// Media type of a request body with form fields. BlueKing ITSM sends exactly this text.
const FORM: &str = "application/x-www-form-urlencoded;charset=utf-8";
/// Media type of a request body that contains each form field in a separate part.
const PARTS: &str = "multipart/form-data";
/// Media type that is used if the imported file contains no media type for a request body.
const JSON: &str = "application/json";
/// Pause between two polls in milliseconds, if the imported file contains no pause. A poll is a request that
/// reads the progress of a task. BlueKing ITSM uses the same pause.
const POLL_DEFAULT_MS: i64 = 3_000;
/// The known members of an object that contains a key and a value. The import reads some of these members.
/// The other known members affect only the workflow editor of BlueKing ITSM.
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
/// The known members of an object that describes an output variable. The import reads some of these members.
/// The other known members have no effect.
const OUTPUT: [&str; 8] = [
    "key", "name", "ref_path", "path", "type", "source", "state", "meta",
];
/// Members of an API definition that only describe the API to people. The import ignores these members.
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
/// The known members of an API request in the imported file. Such a request belongs to one node or one field.
/// The import report lists unknown members.
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
/// The known members of an API definition in the imported file. Some of these members exist only in files
/// that this desk exported. The import report lists unknown members.
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
/// The known members of an object that describes a webhook. The import reads some of these members. The other
/// known members have no effect.
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
/// Names of HTTP headers that contain credentials. The names are in lower case.
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
            NodeKind::Task if extras.get("application_info").is_some() => self
                .own(extras, "application_info", place)
                .map(ServiceTask::Application),
            NodeKind::Task if extras.get("mission_info").is_some() => self
                .own(extras, "mission_info", place)
                .map(ServiceTask::Mission),
            NodeKind::Task => {
                let info = state
                    .get("api_info")
                    .or_else(|| extras.get("api_info"))
                    .filter(|info| !has_no_content(info))?;
                let request = with_outputs(self.api(info, place), state);
                self.host(&request, place);
                Some(ServiceTask::Request(request))
            }
            NodeKind::Webhook => {
                let info = extras
                    .get("webhook_info")
                    .filter(|info| !has_no_content(info))?;
                let request = with_outputs(self.webhook(info, place), state);
                self.host(&request, place);
                Some(ServiceTask::Request(request))
            }
            NodeKind::Sops => {
                let info = extras
                    .get("sops_info")
                    .filter(|info| !has_no_content(info))?;
                Some(ServiceTask::Task(self.task(info, place)))
            }
            _ => None,
        }
    }

    /// Reads the member of a node that describes an application or a mission. An application is a request for
    /// approval in an external ITSM, and a mission is the work of a robot. The parameter `member` is the name
    /// of this member. Only files that this desk exported contain the member. If the value is unreadable, the
    /// function adds a problem to the import report and returns `None`.
    fn own<T: DeserializeOwned>(&mut self, extras: &Value, member: &str, place: &str) -> Option<T> {
        match T::deserialize(&extras[member]) {
            Ok(read) => Some(read),
            Err(error) => {
                self.report.push(Note::Missing {
                    place: place.to_owned(),
                    what: format!("`{member}`: {error}"),
                });
                None
            }
        }
    }

    /// Adds a problem to the import report if the URL of the request contains no host, or if the host
    /// contains a placeholder. The parameter `place` names the node or the field with the request.
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
        self.report_unread(place, "sops_info.", info, &known);
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
                what: "the URL of BlueKing SOPS".into(),
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
        let containers = [
            "remote_api_info",
            "remote_api",
            "api_instance_info",
            "api_instance",
        ];
        let known: Vec<&str> = containers
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
                self.report_unread(place, of, part, &known);
            }
        }
        for key in ["before_req", "map_code"] {
            if !text(remote, key).is_empty() || !text(own, key).is_empty() {
                self.dropped(
                    place,
                    format!("{key} is program code, and code in workflow files is never executed"),
                );
            }
        }
        let system = remote.get("system_info").cloned().unwrap_or_default();
        let known: Vec<&str> = ["domain", "headers", "cookies", "variables"]
            .into_iter()
            .chain(DESCRIPTION)
            .collect();
        self.report_unread(place, "system_info.", &system, &known);
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
        // In imported files, the member `req_body` has two meanings. In an API definition, `req_body` is the
        // schema of the body. In a node, `req_body` is the body itself.
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
        if is_get && !has_no_content(&body) {
            self.dropped(place, "req_body: a GET request has no body");
        }
        let query = own
            .get("query")
            .or_else(|| member("req_params").filter(|_| is_get));
        if query.is_none()
            && own
                .get("req_params")
                .is_some_and(|params| !has_no_content(params))
        {
            self.dropped(
                place,
                format!("req_params: a {method} request sends only its body"),
            );
        }
        let query = self.pairs(place, "query", query);
        let mut headers = [
            self.pairs(place, "system_info.headers", system.get("headers")),
            self.pairs(place, "headers", member("headers")),
        ]
        .concat();
        self.remove_connection_headers(&mut headers, place);
        self.report_visible_secrets(&headers, place);
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
            self.report_unread(
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
            .filter(|cookies| !has_no_content(cookies))
            .map(|_| "cookies".to_owned());
        let credentials = Some(text(own, "credentials"))
            .filter(|kind| !kind.is_empty())
            .or(cookies)
            .unwrap_or_default();
        self.report_missing_credentials(&credentials, &secret, place);
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

    /// Adds a problem to the import report and returns invalid poll settings, because the settings in the
    /// file cannot be read. The invalid settings prevent the deployment until a person corrects them. Without
    /// poll settings, the desk would use the first response as the final result.
    fn unreadable_poll(&mut self, place: &str) -> Poll {
        let what =
            "the poll settings: they cannot be read and must be set before the deployment".into();
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
        self.report_unread(place, "webhook_info.", info, &WEBHOOK);
        let method = Some(text(info, "method").to_uppercase())
            .filter(|method| !method.is_empty())
            .unwrap_or_else(|| "GET".to_owned());
        let mut headers = without_repeated_keys(self.pairs(place, "headers", info.get("headers")));
        self.remove_connection_headers(&mut headers, place);
        self.report_visible_secrets(&headers, place);
        let (body, media_type) = self.body(info.get("body").unwrap_or(&Value::Null), place);
        if let Some(media_type) = media_type.filter(|_| !body.is_null()) {
            self.content_type(&mut headers, media_type, place);
        }
        let stated = info.get("success").and_then(condition_of);
        let success = match text(info, "success_exp") {
            _ if stated.is_some() => stated,
            exp if exp.is_empty() || is_always_true(&exp) => None,
            exp => {
                let condition = expression(&exp);
                if condition.is_none() {
                    let what = format!(
                        "the success condition: {exp:?} is not a list of comparisons joined by and, or by or; set the condition before the deployment"
                    );
                    self.report.push(Note::Missing {
                        place: place.to_owned(),
                        what,
                    });
                }
                // If the success condition in the file cannot be parsed, the import stores an empty
                // condition. The empty condition prevents the deployment until a person enters a condition.
                // The value `None` would be wrong, because then every response would be a success.
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
        self.report_missing_credentials(&credentials, &secret, place);
        let settings = info.get("settings").unwrap_or(&Value::Null);
        self.report_unread(
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
            query: without_repeated_keys(query),
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

    /// Returns the timeout `timeout_ms`, or the maximum timeout `most` if `timeout_ms` is higher. Both values
    /// are in milliseconds. If the timeout is reduced, the function adds this change to the import report.
    fn timeout(&mut self, timeout_ms: i64, most: i64, place: &str) -> i64 {
        if timeout_ms > most {
            self.changed(
                place,
                format!("the timeout is {most} ms instead of {timeout_ms} ms"),
            );
        }
        timeout_ms.min(most)
    }

    /// Removes the headers that an HTTP client sets itself, such as connection headers. The function adds
    /// each removed header to the import report.
    fn remove_connection_headers(&mut self, headers: &mut Vec<Pair>, place: &str) {
        let (removed, kept): (Vec<Pair>, Vec<Pair>) = std::mem::take(headers)
            .into_iter()
            .partition(|pair| is_of_connection(&pair.key));
        *headers = kept;
        for pair in removed {
            self.dropped(
                place,
                format!("the header {}, which the HTTP client sets", pair.key),
            );
        }
    }

    /// Sets the header `Content-Type` to the media type of the body, as BlueKing ITSM does. An existing
    /// header stays unchanged if it contains an equivalent media type or a placeholder.
    fn content_type(&mut self, headers: &mut Vec<Pair>, media_type: &str, place: &str) {
        match headers
            .iter_mut()
            .find(|pair| pair.key.eq_ignore_ascii_case("content-type"))
        {
            Some(pair)
                if pair.value.contains("{{")
                    || type_class(&pair.value) == type_class(media_type) => {}
            Some(pair) => {
                let stated = std::mem::replace(&mut pair.value, media_type.to_owned());
                self.changed(place, format!("the body is sent as {media_type}, its own type, instead of the type of the header Content-Type ({stated})"));
            }
            None if media_type == JSON => {}
            None => headers.push(Pair {
                key: "Content-Type".into(),
                value: media_type.to_owned(),
            }),
        }
    }

    /// Returns the body of a webhook and the media type of this body. The body is a text or a list of form
    /// fields. BlueKing ITSM stores a text in the member `content`, and form fields in `params`. Files that
    /// this desk exported can also contain the body in the member `value`.
    fn body(&mut self, body: &Value, place: &str) -> (Value, Option<&'static str>) {
        if !body.is_object() && !has_no_content(body) {
            self.dropped(
                place,
                "the body, which is neither of the type raw nor a form",
            );
        }
        let content_of = |key: &str| {
            body.get(key)
                .filter(|value| !value.is_null() && **value != "")
        };
        let kind = text(body, "type").to_lowercase().replace('_', "-");
        let (sent, media_type, members) = match kind.as_str() {
            "raw" => {
                // Older files contain the type of the body in the member `row_type` instead of `raw_type`. If
                // the type is unknown, BlueKing ITSM sends the body as plain text.
                let stated = ["raw_type", "row_type"]
                    .into_iter()
                    .find(|key| !text(body, key).is_empty());
                let media_type = match stated.map(|key| text(body, key).to_lowercase()).as_deref() {
                    Some("json") => Some(JSON),
                    Some("xml") => Some("application/xml"),
                    Some("html") => Some("text/html"),
                    Some("javascript") => Some("application/javascript"),
                    Some(_) => Some("text/plain"),
                    None => None,
                };
                match (content_of("content"), content_of("value")) {
                    // A file that this desk exported contains a JSON body twice. The member `content`
                    // contains the body as text for BlueKing ITSM, and the member `value` contains the body
                    // as JSON. The import uses `value`.
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
                    content_of(key).is_some_and(|value| value.is_array() || value.is_object())
                });
                let written = ["content", "value"]
                    .into_iter()
                    .find(|key| content_of(key).is_some_and(Value::is_string));
                match (listed, written) {
                    (Some(key), _) => {
                        let fields = without_repeated_keys(self.pairs(
                            place,
                            &format!("body.{key}"),
                            content_of(key),
                        ));
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
                        content_of(key).cloned().unwrap_or_default(),
                        media_type,
                        [key, key],
                    ),
                    (None, None) => (Value::Null, None, ["params", "params"]),
                }
            }
            "" | "none" => (Value::Null, None, ["type", "type"]),
            other => {
                self.dropped(
                    place,
                    format!("the body of the type {other:?}, which is not supported"),
                );
                (Value::Null, None, ["type", "type"])
            }
        };
        self.report_unread(
            place,
            "body.",
            body,
            &["type", "raw_type", "row_type", members[0], members[1]],
        );
        if has_statements(&sent) {
            self.dropped(
                place,
                "the statements between {% and %} in the body are not executed; they are sent as text",
            );
        }
        (sent, media_type)
    }

    /// Returns the kind of credentials that a webhook needs. The kind is empty if the webhook needs no
    /// credentials. The credentials themselves are not imported. There is one exception: for a bearer token
    /// that consists only of a placeholder, the function adds a header with this placeholder.
    fn credentials(&mut self, auth: &Value, headers: &mut Vec<Pair>, place: &str) -> String {
        match auth {
            Value::String(kind) if matches!(kind.as_str(), "none" | "no_auth") => {
                return String::new();
            }
            Value::String(kind) => return kind.clone(),
            // If the credentials have an unknown format, their kind is `unknown`. A person must then
            // configure a secret before the deployment. With an empty kind, the desk would send the request
            // without credentials.
            Value::Array(_) if !has_no_content(auth) => return "unknown".into(),
            _ => {}
        }
        let (kind, config) = (
            text(auth, "auth_type"),
            auth.get("auth_config").unwrap_or(&Value::Null),
        );
        self.report_unread(place, "auth.", auth, &["auth_type", "auth_config"]);
        if matches!(kind.as_str(), "" | "none" | "no_auth") || has_no_content(config) {
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

    /// Adds an entry to the import report if a request needs credentials but does not name a secret. Before
    /// the deployment, a person must store the credentials as a secret and enter the name of this secret.
    fn report_missing_credentials(&mut self, credentials: &str, secret: &str, place: &str) {
        if !credentials.is_empty() && secret.is_empty() {
            let what = format!(
                "the credentials ({credentials}): they are not read from files; name a secret of the key store"
            );
            self.report.push(Note::Missing {
                place: place.to_owned(),
                what,
            });
        }
    }

    /// Adds an entry to the import report if some headers contain credentials. A person should move these
    /// credentials to a secret, because every person who may read the workflow can see the headers.
    fn report_visible_secrets(&mut self, headers: &[Pair], place: &str) {
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
                format!("the headers {} are visible to everybody who can read the workflow; use a secret of the key store instead", names.join(", ")),
            );
        }
    }

    /// Reads pairs of a key and a value. The file contains either a list of objects, or one object with the
    /// pairs as its members. If the objects in a list have unsupported members, the function adds the names
    /// of these members to the import report.
    fn pairs(&mut self, place: &str, of: &str, value: Option<&Value>) -> Vec<Pair> {
        match value {
            Some(Value::Array(items)) => {
                self.report_unread_items(place, of, items, &PAIR);
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
                    // In a task of BlueKing SOPS (an external system), each constant is an object with a
                    // member `value`.
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
            self.report_unread_items(place, "outputs", items, &OUTPUT);
        }
        output_mappings(value)
    }

    /// Adds the unknown members of the objects in a list to the import report. Each unknown member appears in
    /// the report only once, even if several objects contain the member.
    fn report_unread_items(&mut self, place: &str, of: &str, items: &[Value], known: &[&str]) {
        let members = items.iter().filter_map(Value::as_object).flatten();
        let unread: BTreeSet<&str> = members
            .filter(|(key, value)| !known.contains(&key.as_str()) && !has_no_content(value))
            .map(|(key, _)| key.as_str())
            .collect();
        for key in unread {
            self.dropped(place, format!("{of}[].{key}: this member is not supported"));
        }
    }
}

/// Returns the pairs without repeated keys, as BlueKing ITSM does. Of several pairs with the same key, the
/// result contains one pair. This pair has the position of the first pair and the value of the last pair.
fn without_repeated_keys(pairs: Vec<Pair>) -> Vec<Pair> {
    let mut once: Vec<Pair> = Vec::new();
    for pair in pairs {
        match once.iter_mut().find(|known| known.key == pair.key) {
            Some(known) => known.value = pair.value,
            None => once.push(pair),
        }
    }
    once
}

/// Returns true if a request body contains a statement of the template language of BlueKing ITSM, such as
/// `{% if %}`.
fn has_statements(body: &Value) -> bool {
    match body {
        Value::String(text) => text.contains("{%"),
        Value::Array(items) => items.iter().any(has_statements),
        Value::Object(members) => members.values().any(has_statements),
        _ => false,
    }
}

/// Returns the request with additional output variables (values that are read from the response). These
/// variables come from the imported node `state`. If the request already has a variable with the same key, the
/// variable is not added.
fn with_outputs(mut request: Request, state: &Value) -> Request {
    for output in output_mappings(state.pointer("/variables/outputs")) {
        if !request.outputs.iter().any(|known| known.key == output.key) {
            request.outputs.push(output);
        }
    }
    request
}

/// Reads one pair of key and value from an object. If the value is the name of a variable, the returned value
/// is a placeholder such as `${name}`.
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

fn output_mappings(value: Option<&Value>) -> Vec<OutputMapping> {
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
        .filter(|mapping| !mapping.path.is_empty())
        .collect()
}

/// Returns the class of a media type. Equivalent media types have the same class, for example `text/xml` and
/// `application/xml`. An unknown media type has the class of JSON.
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

/// Returns true if `text` is the JSON text of `value`.
fn is_text_of(text: &str, value: &Value) -> bool {
    // The text is compared with the JSON text of the value. The JSON text of a string includes the quotes.
    let written = value.to_string();
    text == written
}
