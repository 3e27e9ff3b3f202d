//! Imitates a Slack workspace with an app: the methods of the Web API for messages, people and channels, and an incoming
//! webhook (reference/notifications.md, section 1.1). The imitation checks the token, the conversation, the blocks and the
//! rate of messages. The response to a refused call also has HTTP status 200, as at Slack. Only a rate limit has HTTP
//! status 429.

pub mod channels;
mod limits;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use infra::clock::Clock;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// The path of the Web API. The name of a method follows.
pub const API: &str = "/api";
/// The ids and the e-mail addresses of the people in the workspace.
pub const PEOPLE: [(&str, &str); 3] = [
    ("U0000LISI", "lisi@example.com"),
    ("U000WANGWU", "wangwu@example.com"),
    ("W0ZHANGSAN", "zhangsan@example.com"),
];
/// The user id of the app. The app cannot send a message to itself.
pub const APP: &str = "U000000APP";
/// The channels of the workspace, each with the error for messages of the app.
pub const CHANNELS: [(&str, Option<&str>); 5] = [
    ("C000000OPS", None),
    ("C0000QUEUE", None),
    ("C000000OLD", Some("is_archived")),
    ("G00PRIVATE", Some("not_in_channel")),
    ("C0000NEWS0", Some("restricted_action")),
];
/// The channel of the incoming webhook.
pub const HOOK_CHANNEL: &str = "C000000OPS";
/// Number of messages that a conversation accepts at once. Afterwards, it accepts one message in a second.
pub const BURST: i64 = 5;
/// Time between two messages of a conversation, in milliseconds.
const INTERVAL_MS: i64 = 1_000;
/// Maximum length of the text of a message, in characters. A longer text is cut.
const TEXT_MAX: usize = 40_000;
/// Maximum number of attachments of a message.
const ATTACHMENTS_MAX: usize = 100;
/// Maximum number of messages that the imitation stores. Tests read the stored messages.
const KEPT_MAX: usize = 10_000;

/// The response of the imitation to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// The value of the header `Retry-After`, in seconds.
    pub retry_after: Option<i64>,
    pub body: String,
}

/// The reason why a request is refused.
#[derive(Debug)]
enum Refusal {
    Error(String),
    /// The conversation accepts the next message after this number of seconds.
    Limited(i64),
}

impl From<&str> for Refusal {
    fn from(error: &str) -> Self {
        Self::Error(error.to_owned())
    }
}

#[derive(Debug, Default)]
struct Kept {
    /// The accepted messages in the order of their arrival: the members of the requests with `channel` and `ts`.
    messages: Vec<Value>,
    /// Number of all accepted messages.
    posted: u64,
    /// The times from which the conversations are unused, by their ids.
    unused_from: BTreeMap<String, i64>,
    is_revoked: bool,
    /// The error in the response to the next message, although the message is accepted.
    error: Option<String>,
    /// True if an answer to a deleted message is posted outside of its thread. Otherwise, it is refused.
    leaves_threads: bool,
    channels: channels::Channels,
}

/// An imitated Slack workspace with one app and one incoming webhook.
pub struct Slack {
    token: String,
    hook: String,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
}

impl Slack {
    /// Creates a workspace. `token` is the bot token of the app, and `hook` the path of the webhook, such as
    /// `/services/T0/B0/secret`.
    pub fn new(token: &str, hook: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            token: token.to_owned(),
            hook: hook.to_owned(),
            clock,
            kept: Mutex::default(),
        }
    }

    /// Returns the accepted messages in the order of their arrival. An updated message has its newest content and the member
    /// `edited`.
    pub fn messages(&self) -> Vec<Value> {
        self.kept().messages.clone()
    }

    /// Returns the control sequences in all accepted messages, such as `!channel`, `@U123` or a URL.
    pub fn controls(&self) -> Vec<String> {
        let kept = self.kept();
        kept.messages.iter().flat_map(limits::controls).collect()
    }

    /// Returns the channels that the app created, in the order of their creation.
    pub fn channels(&self) -> Vec<channels::Channel> {
        self.kept().channels.0.clone()
    }

    /// Removes the token of the app.
    pub fn revoke(&self) {
        self.kept().is_revoked = true;
    }

    /// Accepts the next message of the Web API, but answers with an error, as Slack can do with `fatal_error`.
    pub fn answer_next(&self, error: &str) {
        self.kept().error = Some(error.to_owned());
    }

    /// Deletes all messages, as an administrator can do it. An answer to a deleted message is refused, or posted outside of
    /// its thread if `leaves_threads` is true. Slack does both.
    pub fn delete_all(&self, leaves_threads: bool) {
        let mut kept = self.kept();
        kept.messages.clear();
        kept.leaves_threads = leaves_threads;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder panics")
    }

    /// Returns the response to a call of a method of the Web API. `authorization` and `content_type` are the values of these
    /// headers, or empty texts.
    pub fn call(
        &self,
        method: &str,
        authorization: &str,
        content_type: &str,
        body: &[u8],
    ) -> Reply {
        let answer = self
            .check_token(authorization)
            .and_then(|()| arguments(content_type, body))
            .and_then(|arguments| match method {
                "auth.test" => Ok(json!({
                    "team": "Ledgerdesk", "team_id": "T00000DESK", "user": "ledgerdesk", "user_id": APP,
                })),
                "users.lookupByEmail" => find(&arguments),
                "chat.postMessage" => self.post(&arguments),
                "chat.update" => self.update(&arguments),
                _ => self
                    .kept()
                    .channels
                    .call(method, &arguments)
                    .unwrap_or_else(|| Err("unknown_method".into())),
            });
        let (status, retry_after, mut body) = match answer {
            Ok(body) => (200, None, body),
            Err(Refusal::Error(error)) => (200, None, json!({ "error": error })),
            Err(Refusal::Limited(wait)) => (429, Some(wait), json!({ "error": "ratelimited" })),
        };
        body["ok"] = body.get("error").is_none().into();
        Reply {
            status,
            retry_after,
            body: body.to_string(),
        }
    }

    /// Returns the response to a request that is sent to a webhook with the given path.
    pub fn receive(&self, path: &str, content_type: &str, body: &[u8]) -> Reply {
        let answer = if path == self.hook {
            arguments(content_type, body)
                .map_err(|_| Refusal::from("invalid_payload"))
                .and_then(|message| self.store(HOOK_CHANNEL, "webhook", &message))
        } else {
            Err("no_service".into())
        };
        let (status, retry_after, body) = match answer {
            Ok(_) => (200, None, "ok".to_owned()),
            Err(Refusal::Limited(wait)) => (429, Some(wait), "rate_limited".to_owned()),
            Err(Refusal::Error(error)) if error == "no_service" => (404, None, error),
            Err(Refusal::Error(error)) => (400, None, error),
        };
        Reply {
            status,
            retry_after,
            body,
        }
    }

    fn check_token(&self, authorization: &str) -> Result<(), Refusal> {
        match authorization.strip_prefix("Bearer ") {
            None => Err("not_authed".into()),
            Some(token) if token != self.token => Err("invalid_auth".into()),
            Some(_) if self.kept().is_revoked => Err("token_revoked".into()),
            Some(_) => Ok(()),
        }
    }

    fn post(&self, arguments: &Value) -> Result<Value, Refusal> {
        let to = arguments["channel"].as_str().unwrap_or_default();
        let own = self.kept().channels.accepts(to);
        let conversation = match own {
            Some(accepts) => accepts.map(|()| to.to_owned())?,
            None => conversation(to)?,
        };
        let arguments = self.in_thread(&conversation, arguments)?;
        let stored = self.store(&conversation, &conversation, &arguments)?;
        if let Some(error) = self.kept().error.take() {
            return Err(Refusal::Error(error));
        }
        Ok(json!({ "channel": stored["channel"], "ts": stored["ts"], "message": stored }))
    }

    /// Returns the arguments of a message whose thread exists. An answer to a message that is no beginning of a thread is
    /// refused, as an answer to an unknown message.
    fn in_thread(&self, conversation: &str, arguments: &Value) -> Result<Value, Refusal> {
        let mut arguments = arguments.clone();
        let Some(ts) = arguments["thread_ts"].as_str() else {
            return Ok(arguments);
        };
        let kept = self.kept();
        let is_root = |message: &Value| {
            message["channel"] == conversation
                && message["ts"] == ts
                && message["thread_ts"].is_null()
        };
        if kept.messages.iter().any(is_root) {
            return Ok(arguments);
        }
        if !kept.leaves_threads {
            return Err("thread_not_found".into());
        }
        arguments["thread_ts"] = Value::Null;
        Ok(arguments)
    }

    /// Stores a message in a conversation. `limit` is the name under which its rate is limited.
    fn store(&self, conversation: &str, limit: &str, message: &Value) -> Result<Value, Refusal> {
        let mut message = checked(message)?;
        let now = self.clock.now().0;
        let mut kept = self.kept();
        let unused_from = kept
            .unused_from
            .get(limit)
            .copied()
            .unwrap_or_default()
            .max(now);
        let wait_ms = unused_from - now - (BURST - 1) * INTERVAL_MS;
        if wait_ms > 0 {
            return Err(Refusal::Limited((wait_ms + 999) / 1_000));
        }
        let next = unused_from + INTERVAL_MS;
        kept.unused_from.insert(limit.to_owned(), next);
        kept.posted += 1;
        message["channel"] = conversation.into();
        message["ts"] = format!("{}.{:06}", now / 1_000, kept.posted % 1_000_000).into();
        if kept.messages.len() < KEPT_MAX {
            kept.messages.push(message.clone());
        }
        Ok(message)
    }

    fn update(&self, arguments: &Value) -> Result<Value, Refusal> {
        let mut message = checked(arguments)?;
        let mut kept = self.kept();
        let (channel, ts) = (&arguments["channel"], &arguments["ts"]);
        let mut messages = kept.messages.iter_mut();
        let found = messages.find(|one| one["channel"] == *channel && one["ts"] == *ts);
        let Some(earlier) = found else {
            return Err("message_not_found".into());
        };
        message["edited"] = true.into();
        *earlier = message.clone();
        Ok(json!({ "channel": channel, "ts": ts, "text": message["text"], "message": message }))
    }

    /// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.router()).await
    }

    /// Returns the routes of the imitation. A test adds a layer to them, for example to record the requests.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route(
                &format!("{API}/{{method}}"),
                post(handle_call).get(handle_read),
            )
            .fallback(handle_hook)
            .with_state(self)
    }
}

async fn handle_call(
    State(slack): State<Arc<Slack>>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let authorization = value(&headers, "authorization");
    let content_type = value(&headers, "content-type");
    slack.call(&method, authorization, content_type, &body)
}

/// A call that only reads has its arguments in the query.
async fn handle_read(
    State(slack): State<Arc<Slack>>,
    Path(method): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Reply {
    let form = "application/x-www-form-urlencoded";
    let query = query.unwrap_or_default();
    let authorization = value(&headers, "authorization");
    slack.call(&method, authorization, form, query.as_bytes())
}

async fn handle_hook(
    State(slack): State<Arc<Slack>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    slack.receive(uri.path(), value(&headers, "content-type"), &body)
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let kind = if self.body.starts_with('{') {
            "application/json; charset=utf-8"
        } else {
            "text/html"
        };
        let mut response = (status, [(header::CONTENT_TYPE, kind)], self.body).into_response();
        if let Some(wait) = self.retry_after {
            let wait = HeaderValue::from(wait);
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}

/// Returns the arguments of a call as a JSON object. The body is JSON or a form. The library of Slack sends a call without
/// arguments as JSON with an empty body.
fn arguments(content_type: &str, body: &[u8]) -> Result<Value, Refusal> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    if content_type.starts_with("application/json") {
        let members: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| Refusal::from("invalid_json"))?;
        return Ok(members.into());
    }
    let pairs: BTreeMap<String, String> =
        serde_urlencoded::from_bytes(body).map_err(|_| Refusal::from("invalid_form_data"))?;
    Ok(json!(pairs))
}

fn find(arguments: &Value) -> Result<Value, Refusal> {
    let email = &arguments["email"];
    let found = PEOPLE.iter().find(|(_, address)| email == address);
    match found {
        Some((id, email)) => Ok(json!({ "user": { "id": id, "profile": { "email": email } } })),
        None => Err("users_not_found".into()),
    }
}

/// Returns the id of the conversation to which a message goes: the channel itself, or the direct messages with a person. A
/// message can also name the conversation of the direct messages itself.
fn conversation(to: &str) -> Result<String, Refusal> {
    if to == APP {
        return Err("cannot_dm_bot".into());
    }
    for (id, _) in PEOPLE {
        let direct = format!("D{}", &id[1..]);
        if [id, &direct].contains(&to) {
            return Ok(direct);
        }
    }
    match CHANNELS.iter().find(|(id, _)| *id == to) {
        Some((_, None)) => Ok(to.to_owned()),
        Some((_, Some(error))) => Err((*error).into()),
        None => Err("channel_not_found".into()),
    }
}

/// Checks the content of a message. Returns the message with the text as Slack stores it.
fn checked(message: &Value) -> Result<Value, Refusal> {
    let mut message = message.clone();
    // A form has the blocks as a text.
    if let Some(text) = message["blocks"].as_str() {
        message["blocks"] =
            serde_json::from_str(text).map_err(|_| Refusal::from("invalid_blocks"))?;
    }
    let count = |member: &str| message[member].as_array().map_or(0, Vec::len);
    if count("attachments") > ATTACHMENTS_MAX {
        return Err("too_many_attachments".into());
    }
    let text = message["text"].as_str().unwrap_or_default();
    if text.is_empty() && count("blocks") == 0 && count("attachments") == 0 {
        return Err("no_text".into());
    }
    if !message["blocks"].is_null() {
        limits::check(&message["blocks"])?;
    }
    let text: String = text.chars().take(TEXT_MAX).collect();
    message["text"] = text.into();
    Ok(message)
}

#[cfg(test)]
mod tests {
    use events::Moment;
    use infra::clock::ManualClock;

    use super::*;

    const TOKEN: &str = "xoxb-1";
    const BEARER: &str = "Bearer xoxb-1";
    const HOOK: &str = "/services/T0/B0/secret";
    const JSON: &str = "application/json;charset=utf-8";
    const FORM: &str = "application/x-www-form-urlencoded";

    fn slack() -> (Slack, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Moment(1_700_000_000_000)));
        (Slack::new(TOKEN, HOOK, clock.clone()), clock)
    }

    fn call(slack: &Slack, method: &str, arguments: &Value) -> Value {
        let reply = slack.call(method, BEARER, JSON, arguments.to_string().as_bytes());
        assert_eq!(reply.status, 200);
        serde_json::from_str(&reply.body).unwrap()
    }

    #[test]
    fn a_message_is_posted_and_updated() {
        let (slack, _) = slack();
        let arguments = json!({ "channel": "U0000LISI", "text": "x" });
        let answer = call(&slack, "chat.postMessage", &arguments);
        assert_eq!(
            (&answer["ok"], &answer["channel"], &answer["ts"]),
            (
                &json!(true),
                &json!("D0000LISI"),
                &json!("1700000000.000001")
            )
        );
        let mut arguments =
            json!({ "channel": "D0000LISI", "ts": "1700000000.000001", "text": "y" });
        assert_eq!(call(&slack, "chat.update", &arguments)["ok"], true);
        arguments["ts"] = "1700000000.000002".into();
        let answer = call(&slack, "chat.update", &arguments);
        assert_eq!(answer, json!({ "ok": false, "error": "message_not_found" }));
        let messages = slack.messages();
        assert_eq!(messages.len(), 1);
        assert_eq!(
            (&messages[0]["text"], &messages[0]["edited"]),
            (&json!("y"), &json!(true))
        );
    }

    #[test]
    fn an_answer_needs_the_first_message_of_its_thread() {
        let (slack, _) = slack();
        let mut arguments = json!({ "channel": "U0000LISI", "text": "x" });
        let root = call(&slack, "chat.postMessage", &arguments)["ts"].clone();
        arguments["thread_ts"] = root.clone();
        let answer = call(&slack, "chat.postMessage", &arguments);
        assert_eq!(answer["message"]["thread_ts"], root);
        arguments["thread_ts"] = answer["ts"].clone();
        let answer = call(&slack, "chat.postMessage", &arguments);
        assert_eq!(
            answer["error"], "thread_not_found",
            "an answer to an answer"
        );
        arguments["thread_ts"] = root.clone();
        slack.delete_all(false);
        let answer = call(&slack, "chat.postMessage", &arguments);
        assert_eq!(answer["error"], "thread_not_found");
        slack.delete_all(true);
        let answer = call(&slack, "chat.postMessage", &arguments);
        assert_eq!(answer["ok"], true);
        assert!(answer["message"]["thread_ts"].is_null(), "{answer}");
    }

    #[test]
    fn each_refusal_has_the_error_of_slack() {
        let (slack, _) = slack();
        let long = json!([{ "type": "header", "text": { "type": "plain_text", "text": "x".repeat(151) } }]);
        for (arguments, expected) in [
            (
                json!({ "channel": "U000NOBODY", "text": "x" }),
                "channel_not_found",
            ),
            (json!({ "text": "x" }), "channel_not_found"),
            (json!({ "channel": APP, "text": "x" }), "cannot_dm_bot"),
            (
                json!({ "channel": "C000000OLD", "text": "x" }),
                "is_archived",
            ),
            (
                json!({ "channel": "G00PRIVATE", "text": "x" }),
                "not_in_channel",
            ),
            (
                json!({ "channel": "C0000NEWS0", "text": "x" }),
                "restricted_action",
            ),
            (json!({ "channel": "U0000LISI" }), "no_text"),
            (json!({ "channel": "U0000LISI", "blocks": [] }), "no_text"),
            (
                json!({ "channel": "U0000LISI", "blocks": long }),
                "invalid_blocks",
            ),
            (
                json!({ "channel": "U0000LISI", "blocks": "[" }),
                "invalid_blocks",
            ),
        ] {
            let answer = call(&slack, "chat.postMessage", &arguments);
            let expected = json!({ "ok": false, "error": expected });
            assert_eq!(answer, expected, "{arguments}");
        }
        assert_eq!(
            call(&slack, "chat.delete", &json!({}))["error"],
            "unknown_method"
        );
        assert!(slack.messages().is_empty());
    }

    #[test]
    fn only_the_token_of_the_app_is_accepted() {
        let (slack, _) = slack();
        let error = |authorization: &str| {
            let reply = slack.call("auth.test", authorization, JSON, b"");
            let body: Value = serde_json::from_str(&reply.body).unwrap();
            body["error"].as_str().unwrap_or("none").to_owned()
        };
        for (authorization, expected) in [
            (BEARER, "none"),
            ("", "not_authed"),
            ("Bearer xoxb-2", "invalid_auth"),
        ] {
            assert_eq!(error(authorization), expected);
        }
        slack.revoke();
        assert_eq!(error(BEARER), "token_revoked");
    }

    #[test]
    fn a_person_is_found_by_the_mail_address() {
        let (slack, _) = slack();
        let found = |email: &str| {
            let body = format!("email={email}");
            let reply = slack.call("users.lookupByEmail", BEARER, FORM, body.as_bytes());
            serde_json::from_str::<Value>(&reply.body).unwrap()
        };
        assert_eq!(found("lisi%40example.com")["user"]["id"], "U0000LISI");
        assert_eq!(found("nobody%40example.com")["error"], "users_not_found");
    }

    #[test]
    fn a_conversation_accepts_a_burst_and_then_one_message_in_a_second() {
        let (slack, clock) = slack();
        let post = |to: &str| {
            let body = json!({ "channel": to, "text": "x" }).to_string();
            let reply = slack.call("chat.postMessage", BEARER, JSON, body.as_bytes());
            (reply.status, reply.retry_after)
        };
        for _ in 0..BURST {
            assert_eq!(post("C000000OPS"), (200, None));
        }
        assert_eq!(post("C000000OPS"), (429, Some(1)));
        assert_eq!(post("U0000LISI"), (200, None));
        clock.advance(999);
        assert_eq!(post("C000000OPS"), (429, Some(1)));
        clock.advance(1);
        assert_eq!(post("C000000OPS"), (200, None));
        assert_eq!(post("C000000OPS"), (429, Some(1)));
    }

    #[test]
    fn a_message_can_be_posted_although_the_answer_is_an_error() {
        let (slack, _) = slack();
        slack.answer_next("fatal_error");
        let arguments = json!({ "channel": "U0000LISI", "text": "x" });
        let answer = call(&slack, "chat.postMessage", &arguments);
        assert_eq!(answer, json!({ "ok": false, "error": "fatal_error" }));
        assert_eq!(slack.messages().len(), 1);
        assert_eq!(call(&slack, "chat.postMessage", &arguments)["ok"], true);
    }

    #[test]
    fn a_webhook_answers_with_plain_texts() {
        let (slack, clock) = slack();
        let many = json!({ "attachments": vec![json!({}); 101] }).to_string();
        for (path, body, expected) in [
            (HOOK, r#"{"text":"x"}"#, (200, "ok")),
            (HOOK, "{}", (400, "no_text")),
            (HOOK, "{", (400, "invalid_payload")),
            (HOOK, "[]", (400, "invalid_payload")),
            (HOOK, many.as_str(), (400, "too_many_attachments")),
            (HOOK, r#"{"blocks":[{}]}"#, (400, "invalid_blocks")),
            (
                "/services/T0/B0/other",
                r#"{"text":"x"}"#,
                (404, "no_service"),
            ),
        ] {
            let reply = slack.receive(path, JSON, body.as_bytes());
            assert_eq!((reply.status, reply.body.as_str()), expected, "{body}");
        }
        clock.advance(60_000);
        for _ in 0..BURST {
            let reply = slack.receive(HOOK, JSON, br#"{"text":"x"}"#);
            assert_eq!(reply.status, 200);
        }
        let last = slack.receive(HOOK, JSON, br#"{"text":"x"}"#);
        assert_eq!((last.status, last.retry_after), (429, Some(1)));
        assert_eq!(slack.messages().len(), 6);
        assert_eq!(slack.messages()[0]["channel"], HOOK_CHANNEL);
    }
}
