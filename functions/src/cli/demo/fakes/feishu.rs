//! Imitates the custom bots and an application of Feishu (reference/notifications.md, section 1.5). The imitation checks
//! tokens, signatures, times, the size and the content of messages, and their rate. A custom bot answers a refused message
//! with HTTP status 200, and an application with HTTP status 400, as at Feishu.

pub mod groups;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, patch, post};
use axum::{Json, Router};
use events::Moment;
use infra::channel::feishu_robot::sign;
use infra::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The first part of the URL of a custom bot. The token of the bot follows.
const HOOK: &str = "/open-apis/bot/v2/hook/";
/// Maximum difference between the time in a signed request and the clock of the imitation, in seconds: one hour.
const FRESH_S: i64 = 3_600;
/// Maximum size of the body of a request to a custom bot, in bytes.
const BODY_BYTES_MAX: usize = 20 * 1024;
/// Maximum size of the content of a message of an application, in bytes.
const CONTENT_BYTES_MAX: usize = 30 * 1024;
/// Maximum length of the id with which an application marks a repeated message, in characters.
const ID_MAX: usize = 50;
/// The time for which the imitation recognizes a repeated message, in milliseconds: one hour.
const REPEATED_MS: i64 = 3_600_000;
/// The time for which an access token is valid, in seconds.
const TOKEN_S: i64 = 7_200;
/// An application gets the same access token again while the token is valid for at least this time, in milliseconds.
const RENEWED_MS: i64 = 1_800_000;
/// The limits of a custom bot: messages in one second and in one minute.
const BOT: (usize, usize) = (5, 100);
/// The limits of an application.
const APPLICATION: (usize, usize) = (50, 1_000);
/// The limits of the messages to one person.
const PERSON: (usize, usize) = (5, 300);
/// Maximum number of accepted messages that the imitation stores. Further messages are accepted and not stored.
const KEPT_MAX: usize = 10_000;
/// A message with this word is refused because of its content.
pub const FORBIDDEN_WORD: &str = "forbidden-word";
/// The kinds of ids that address a person or a group.
const KINDS: [&str; 5] = ["open_id", "user_id", "union_id", "email", "chat_id"];

/// The times of the newest requests, at most one minute old.
#[derive(Debug, Default)]
struct Window(VecDeque<i64>);

impl Window {
    /// Counts a request if the limits for one second and one minute allow it. Otherwise, returns the number of seconds until
    /// the next request is allowed.
    fn take(&mut self, now: i64, (per_second, per_minute): (usize, usize)) -> Result<(), i64> {
        while self.0.front().is_some_and(|at| at + 60_000 <= now) {
            self.0.pop_front();
        }
        if let Some(oldest) = self.0.front()
            && self.0.len() >= per_minute
        {
            return Err((oldest + 60_000 - now).div_euclid(1_000) + 1);
        }
        if self.0.iter().filter(|at| **at + 1_000 > now).count() >= per_second {
            return Err(1);
        }
        self.0.push_back(now);
        Ok(())
    }
}

/// A custom bot of a group.
#[derive(Debug, Default)]
struct Bot {
    /// The key for signatures. The text is empty if the bot does not check signatures.
    secret: String,
    keyword: String,
    window: Window,
    accepted: Vec<Value>,
}

#[derive(Debug, Default)]
struct Seen {
    bots: BTreeMap<String, Bot>,
    /// The valid access tokens, with the times at which they expire.
    tokens: VecDeque<(String, i64)>,
    issued: u32,
    window: Window,
    /// The windows of the known people, by their ids.
    people: BTreeMap<String, Window>,
    /// The times and the ids of the accepted messages, by the ids that the application set.
    repeated: BTreeMap<String, (i64, String)>,
    sent: u32,
    messages: Vec<Value>,
    groups: groups::Groups,
}

/// An imitation of Feishu with custom bots and one application.
pub struct Feishu {
    app_id: String,
    app_secret: String,
    known: BTreeSet<String>,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

/// A response: the HTTP status, the body, and the number of seconds until the next request is allowed.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub reset_s: Option<i64>,
}

impl Answer {
    /// Returns the code in the body.
    pub fn code(&self) -> i64 {
        self.body["code"].as_i64().unwrap_or(-1)
    }

    fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            reset_s: None,
        }
    }

    fn accepted(data: Value) -> Self {
        Self::new(200, json!({ "code": 0, "msg": "success", "data": data }))
    }

    fn refused(status: u16, code: i64, reason: &str) -> Self {
        Self::new(
            status,
            json!({ "code": code, "msg": reason, "data": {}, "error": { "log_id": "20261122" } }),
        )
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
        let mut response = (status, Json(answer.body)).into_response();
        if let Some(seconds) = answer.reset_s {
            let headers = response.headers_mut();
            headers.insert("x-ogw-ratelimit-reset", HeaderValue::from(seconds));
        }
        response
    }
}

impl Feishu {
    /// Creates an imitation with one application. The application can send messages to the people and groups `known`.
    pub fn new(app_id: &str, app_secret: &str, known: &[&str], clock: Arc<dyn Clock>) -> Self {
        Self {
            app_id: app_id.to_owned(),
            app_secret: app_secret.to_owned(),
            known: known.iter().map(|id| (*id).to_owned()).collect(),
            clock,
            seen: Mutex::default(),
        }
    }

    /// Adds a custom bot. The bot checks signatures if `secret` is not empty, and every message must contain `keyword`.
    #[must_use]
    pub fn with_bot(self, token: &str, secret: &str, keyword: &str) -> Self {
        let bot = Bot {
            secret: secret.to_owned(),
            keyword: keyword.to_owned(),
            ..Bot::default()
        };
        self.all().bots.insert(token.to_owned(), bot);
        self
    }

    fn all(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    /// Returns the bodies of the requests that a custom bot accepted, in the order of their arrival.
    pub fn accepted_by(&self, token: &str) -> Vec<Value> {
        let seen = self.all();
        seen.bots
            .get(token)
            .map(|bot| bot.accepted.clone())
            .unwrap_or_default()
    }

    /// Returns the messages that the application sent, in the order of their arrival. The content of a message is its newest
    /// content.
    pub fn messages(&self) -> Vec<Value> {
        self.all().messages.clone()
    }

    /// Makes all access tokens invalid.
    pub fn revoke(&self) {
        self.all().tokens.clear();
    }

    /// Returns the number of access tokens that the imitation issued.
    pub fn issued(&self) -> u32 {
        self.all().issued
    }

    /// Returns the response to a request to a custom bot.
    pub fn post(&self, token: &str, body: &[u8]) -> Answer {
        let now = self.clock.now().0;
        let mut seen = self.all();
        let Some(bot) = seen.bots.get_mut(token) else {
            let reason = "param invalid: incoming webhook access token invalid";
            return Answer::refused(200, 19_001, reason);
        };
        let message: Value = match serde_json::from_slice(body) {
            Ok(message) if body.len() <= BODY_BYTES_MAX => message,
            _ => return Answer::refused(400, 9_499, "Bad Request"),
        };
        if !bot.secret.is_empty() && !is_signed(&bot.secret, &message, now) {
            let reason = "sign match fail or timestamp is not within one hour from current time";
            return Answer::refused(200, 19_021, reason);
        }
        let is_complete = match message["msg_type"].as_str() {
            Some("text") => message["content"]["text"].is_string(),
            Some("post") => message["content"]["post"].is_object(),
            Some("interactive") => is_card(&message["card"], false),
            _ => false,
        };
        if !is_complete {
            return Answer::refused(400, 9_499, "Bad Request");
        }
        if !message.to_string().contains(&bot.keyword) {
            return Answer::refused(200, 19_024, "Key Words Not Found");
        }
        if bot.window.take(now, BOT).is_err() {
            let reason = "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]";
            return Answer::refused(200, 11_232, reason);
        }
        if bot.accepted.len() < KEPT_MAX {
            bot.accepted.push(message);
        }
        Answer::new(
            200,
            json!({ "StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success" }),
        )
    }

    /// Returns the response to a request for an access token.
    pub fn token(&self, body: &[u8]) -> Answer {
        let now = self.clock.now().0;
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if body["app_id"] != self.app_id.as_str() {
            return Answer::refused(200, 10_003, "invalid param");
        }
        if body["app_secret"] != self.app_secret.as_str() {
            return Answer::refused(200, 10_014, "app secret invalid");
        }
        let mut seen = self.all();
        seen.tokens.retain(|(_, expires)| *expires > now);
        let known = seen.tokens.back().cloned();
        let (token, expires) = known
            .filter(|(_, expires)| expires - now >= RENEWED_MS)
            .unwrap_or_else(|| {
                seen.issued += 1;
                let token = (format!("t-{}", seen.issued), now + TOKEN_S * 1_000);
                seen.tokens.push_back(token.clone());
                token
            });
        let seconds = (expires - now) / 1_000;
        Answer::new(
            200,
            json!({ "code": 0, "msg": "ok", "tenant_access_token": token, "expire": seconds }),
        )
    }

    /// Returns the response to a request that sends a message of the application. `authorization` is the value of the header
    /// with the access token, and `query` is the part of the URL after the question mark.
    pub fn send(&self, authorization: &str, query: &str, body: &[u8]) -> Answer {
        match self.deliver(authorization, query, body) {
            Ok(answer) | Err(answer) => answer,
        }
    }

    fn deliver(&self, authorization: &str, query: &str, body: &[u8]) -> Result<Answer, Answer> {
        let now = self.clock.now().0;
        let mut seen = self.admit(authorization, now)?;
        let kind = value_of(query, "receive_id_type");
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let (to, id) = (text("receive_id"), text("uuid"));
        if !KINDS.contains(&kind.as_str()) || id.chars().count() > ID_MAX {
            return Err(Answer::refused(400, 99_992_402, "field validation failed"));
        }
        if !self.known.contains(to) && !seen.groups.accepts(to) {
            return Err(wrong_parameter("invalid receive_id"));
        }
        let content = content_of(text("msg_type"), text("content"))?;
        let message = json!({
            "receive_id": to,
            "receive_id_type": kind,
            "msg_type": text("msg_type"),
            "content": content,
            "urgent": [],
        });
        accept(&mut seen, now, id, message)
    }

    /// Returns the response to a request that answers a sent message. `root` is the id of the sent message.
    pub fn reply(&self, authorization: &str, root: &str, body: &[u8]) -> Answer {
        let now = self.clock.now().0;
        let answered = self.admit(authorization, now).and_then(|mut seen| {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            let text = |name: &str| body[name].as_str().unwrap_or_default();
            let id = text("uuid");
            if id.chars().count() > ID_MAX {
                return Err(Answer::refused(400, 99_992_402, "field validation failed"));
            }
            let mut messages = seen.messages.iter();
            let sent = messages.find(|sent| sent["message_id"] == root);
            let sent = sent.ok_or_else(|| wrong_parameter("invalid message_id"))?;
            if sent["is_withdrawn"] == true {
                let reason = "The message was withdrawn.";
                return Err(Answer::refused(400, 230_011, reason));
            }
            let message = json!({
                "receive_id": sent["receive_id"],
                "receive_id_type": sent["receive_id_type"],
                "msg_type": text("msg_type"),
                "content": content_of(text("msg_type"), text("content"))?,
                "urgent": [],
                "root_id": root,
                "is_in_thread": body["reply_in_thread"] == true,
            });
            accept(&mut seen, now, id, message)
        });
        match answered {
            Ok(answer) | Err(answer) => answer,
        }
    }

    /// Withdraws all messages, as a person can do it in a chat.
    pub fn withdraw_all(&self) {
        for sent in &mut self.all().messages {
            sent["is_withdrawn"] = true.into();
        }
    }

    /// Returns the response to a request that replaces the card of a sent message.
    pub fn update(&self, authorization: &str, message: &str, body: &[u8]) -> Answer {
        let change = |sent: &mut Value| {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            let text = body["content"].as_str().unwrap_or_default();
            if sent["msg_type"] != "interactive" {
                let reason = "This operation is not supported for this message type";
                return Err(Answer::refused(400, 230_054, reason));
            }
            sent["content"] = content_of("interactive", text)?;
            Ok(Answer::accepted(json!({})))
        };
        self.change(authorization, message, change)
    }

    /// Returns the response to a request that makes a sent message urgent. People who did not get the message are in the list
    /// `invalid_user_id_list`.
    pub fn make_urgent(&self, authorization: &str, message: &str, body: &[u8]) -> Answer {
        let change = |sent: &mut Value| {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            let Some(people) = body["user_id_list"].as_array() else {
                return Err(wrong_parameter("user_id_list is required"));
            };
            let (informed, invalid): (Vec<&Value>, Vec<&Value>) = people
                .iter()
                .partition(|person| **person == sent["receive_id"]);
            let informed = json!(informed);
            sent["urgent"] = informed;
            Ok(Answer::accepted(json!({ "invalid_user_id_list": invalid })))
        };
        self.change(authorization, message, change)
    }

    fn change(
        &self,
        authorization: &str,
        message: &str,
        change: impl FnOnce(&mut Value) -> Result<Answer, Answer>,
    ) -> Answer {
        let now = self.clock.now().0;
        let changed = self.admit(authorization, now).and_then(|mut seen| {
            let mut messages = seen.messages.iter_mut();
            let sent = messages.find(|sent| sent["message_id"] == message);
            change(sent.ok_or_else(|| wrong_parameter("invalid message_id"))?)
        });
        match changed {
            Ok(answer) | Err(answer) => answer,
        }
    }

    /// Checks the access token and the rate of the application.
    fn admit(&self, authorization: &str, now: i64) -> Result<MutexGuard<'_, Seen>, Answer> {
        let mut seen = self.all();
        if authorization.is_empty() {
            let reason = "Missing access token for authorization.";
            return Err(Answer::refused(400, 99_991_661, reason));
        }
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        let is_valid = |(known, expires): &(String, i64)| known == token && *expires > now;
        if !seen.tokens.iter().any(is_valid) {
            let reason = "Invalid access token for authorization.";
            return Err(Answer::refused(400, 99_991_663, reason));
        }
        seen.window.take(now, APPLICATION).map_err(|seconds| {
            let reason = "request trigger frequency limit";
            Answer {
                reset_s: Some(seconds),
                ..Answer::refused(429, 99_991_400, reason)
            }
        })?;
        Ok(seen)
    }

    /// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.router()).await
    }

    /// Returns the routes of the imitation. A test adds a layer to them, for example to record the requests.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            // Some clients add a slash at the end of the URL.
            .route(&format!("{HOOK}{{token}}"), post(hook))
            .route(&format!("{HOOK}{{token}}/"), post(hook))
            .route(
                "/open-apis/auth/v3/tenant_access_token/internal",
                post(issue),
            )
            .route("/open-apis/im/v1/messages", post(create))
            .route("/open-apis/im/v1/messages/{message}", patch(replace))
            .route(
                "/open-apis/im/v1/messages/{message}/urgent_app",
                patch(make_urgent),
            )
            .route("/open-apis/im/v1/messages/{message}/reply", post(answer))
            .route(groups::CHATS, any(change_group))
            .route(&format!("{}/{{*rest}}", groups::CHATS), any(change_group))
            .with_state(self)
    }
}

async fn hook(
    State(feishu): State<Arc<Feishu>>,
    Path(token): Path<String>,
    body: Bytes,
) -> Response {
    feishu.post(&token, &body).into()
}

async fn issue(State(feishu): State<Arc<Feishu>>, body: Bytes) -> Response {
    feishu.token(&body).into()
}

async fn create(
    State(feishu): State<Arc<Feishu>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = query.unwrap_or_default();
    feishu.send(authorization(&headers), &query, &body).into()
}

async fn replace(
    State(feishu): State<Arc<Feishu>>,
    Path(message): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = authorization(&headers);
    feishu.update(authorization, &message, &body).into()
}

async fn make_urgent(
    State(feishu): State<Arc<Feishu>>,
    Path(message): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = authorization(&headers);
    feishu.make_urgent(authorization, &message, &body).into()
}

async fn answer(
    State(feishu): State<Arc<Feishu>>,
    Path(message): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = authorization(&headers);
    feishu.reply(authorization, &message, &body).into()
}

/// Stores an accepted message of the application. A repetition with the same `id` has the same message. The receiver of
/// the message is its member `receive_id`.
fn accept(seen: &mut Seen, now: i64, id: &str, mut message: Value) -> Result<Answer, Answer> {
    seen.repeated.retain(|_, (at, _)| *at + REPEATED_MS > now);
    let kind = message["msg_type"].clone();
    let number = if let Some((_, number)) = seen.repeated.get(id) {
        number.clone()
    } else {
        let to = message["receive_id"].as_str().unwrap_or_default();
        let window = seen.people.entry(to.to_owned()).or_default();
        if window.take(now, PERSON).is_err() {
            let reason = "This operation triggers the frequency limit, ext=chat rate limit";
            return Err(Answer::refused(400, 230_020, reason));
        }
        seen.sent += 1;
        let number = format!("om_{}", seen.sent);
        if !id.is_empty() && seen.repeated.len() < KEPT_MAX {
            seen.repeated.insert(id.to_owned(), (now, number.clone()));
        }
        if seen.messages.len() < KEPT_MAX {
            message["message_id"] = number.clone().into();
            seen.messages.push(message);
        }
        number
    };
    Ok(Answer::accepted(
        json!({ "message_id": number, "msg_type": kind, "chat_id": "oc_1" }),
    ))
}

async fn change_group(
    State(feishu): State<Arc<Feishu>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = uri.query().unwrap_or_default();
    let authorization = authorization(&headers);
    feishu
        .change_group(method.as_str(), uri.path(), query, authorization, &body)
        .into()
}

fn authorization(headers: &HeaderMap) -> &str {
    let value = headers.get("authorization");
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn wrong_parameter(detail: &str) -> Answer {
    let reason = format!("Your request contains an invalid request parameter, ext={detail}.");
    Answer::refused(400, 230_001, &reason)
}

/// Returns the first value of `name` in a query. The value is empty if the query does not contain the name.
fn value_of(query: &str, name: &str) -> String {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let found = pairs.into_iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value).unwrap_or_default()
}

/// Returns true if a message to a custom bot has a correct signature and a time of at most one hour ago.
fn is_signed(secret: &str, message: &Value, now: i64) -> bool {
    let Some(at) = message["timestamp"]
        .as_str()
        .and_then(|at| at.parse::<i64>().ok())
    else {
        return false;
    };
    // The time is in seconds. A time in milliseconds is far in the future.
    let age = now.div_euclid(1_000).saturating_sub(at);
    (-FRESH_S..=FRESH_S).contains(&age) && message["sign"] == sign(secret, Moment(at * 1_000))
}

/// Reads the content of a message of an application: JSON in a text.
fn content_of(kind: &str, text: &str) -> Result<Value, Answer> {
    if text.len() > CONTENT_BYTES_MAX {
        let reason = "The length of the message content reaches its limit.";
        return Err(Answer::refused(400, 230_025, reason));
    }
    let content: Value =
        serde_json::from_str(text).map_err(|_| wrong_parameter("content is not in json format"))?;
    if text.contains(FORBIDDEN_WORD) {
        let reason = "The content of the message contains sensitive information.";
        return Err(Answer::refused(400, 230_022, reason));
    }
    match kind {
        "text" if content["text"].is_string() => Ok(content),
        "interactive" if is_card(&content, true) => Ok(content),
        "interactive" => {
            let reason =
                "Failed to create card content, ext=ErrCode: 200621; ErrMsg: parse card json err";
            Err(Answer::refused(400, 230_099, reason))
        }
        _ => Err(wrong_parameter("invalid msg_type")),
    }
}

/// Returns true if a card has elements, and if each button has a text and opens a URL or, if `has_callbacks` is true, reports
/// its press with an object.
fn is_card(card: &Value, has_callbacks: bool) -> bool {
    let Some(elements) = card["elements"].as_array() else {
        return false;
    };
    let is_button = |button: &Value| {
        button["tag"] == "button"
            && button["text"]["content"].is_string()
            && (button["url"].is_string() || has_callbacks && button["value"].is_object())
    };
    let is_element = |element: &Value| match element["tag"].as_str() {
        Some("action") => element["actions"]
            .as_array()
            .is_some_and(|buttons| buttons.iter().all(is_button)),
        tag => tag.is_some(),
    };
    elements.iter().all(is_element)
}

#[cfg(test)]
mod tests {
    use infra::clock::ManualClock;

    use super::*;

    /// The time and the signature are from reference/notifications.md, section 3.
    const NOW: i64 = 1_599_360_473_000;
    const SIGNED: &str = r#"{"timestamp":"1599360473","sign":"l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=","msg_type":"text","content":{"text":"ticket"}}"#;
    const OPEN: &str = r#"{"msg_type":"text","content":{"text":"ticket"}}"#;

    fn feishu() -> (Feishu, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Moment(NOW)));
        let feishu = Feishu::new("cli_a", "key", &["ou_1", "ou_2"], clock.clone());
        let feishu = feishu
            .with_bot("signed", "demo", "")
            .with_bot("open", "", "ticket");
        (feishu, clock)
    }

    #[test]
    fn a_bot_accepts_only_fresh_signed_messages() {
        let (feishu, clock) = feishu();
        let code = |token: &str, body: &str| feishu.post(token, body.as_bytes()).code();
        assert_eq!(code("signed", SIGNED), 0);
        assert_eq!(code("signed", &SIGNED.replace("l1N0", "l1N1")), 19_021);
        assert_eq!(code("signed", &SIGNED.replace("0473", "0473000")), 19_021);
        assert_eq!(code("signed", OPEN), 19_021);
        assert_eq!(code("other", SIGNED), 19_001);
        assert_eq!(code("open", OPEN), 0);
        assert_eq!(code("open", &OPEN.replace("ticket", "x")), 19_024);
        for body in ["{", "{}", r#"{"msg_type":"fax"}"#] {
            assert_eq!(code("open", body), 9_499, "{body}");
        }
        let large = OPEN.replace("ticket", &"ticket".repeat(BODY_BYTES_MAX));
        assert_eq!(code("open", &large), 9_499);
        clock.advance(FRESH_S * 1_000 + 1_000);
        assert_eq!(code("signed", SIGNED), 19_021);
        assert_eq!(feishu.accepted_by("signed").len(), 1);
        assert_eq!(feishu.accepted_by("open").len(), 1);
    }

    #[test]
    fn a_bot_accepts_5_messages_in_a_second_and_100_in_a_minute() {
        let (feishu, clock) = feishu();
        let code = || feishu.post("open", OPEN.as_bytes()).code();
        for second in 0..20 {
            for _ in 0..5 {
                assert_eq!(code(), 0, "{second}");
            }
            assert_eq!(code(), 11_232);
            clock.advance(1_000);
        }
        assert_eq!(code(), 11_232, "the limit of the minute");
        clock.advance(40_000);
        assert_eq!(code(), 0);
    }

    fn bearer(feishu: &Feishu) -> String {
        let answer = feishu.token(br#"{"app_id":"cli_a","app_secret":"key"}"#);
        let token = answer.body["tenant_access_token"].as_str();
        format!("Bearer {}", token.expect("a token"))
    }

    fn message(to: &str, kind: &str, content: &Value, id: &str) -> String {
        json!({ "receive_id": to, "msg_type": kind, "content": content.to_string(), "uuid": id })
            .to_string()
    }

    #[test]
    fn an_application_gets_the_same_token_until_it_is_old() {
        let (feishu, clock) = feishu();
        let refused = |body: &str| feishu.token(body.as_bytes()).code();
        assert_eq!(refused(r#"{"app_id":"cli_b","app_secret":"key"}"#), 10_003);
        assert_eq!(refused(r#"{"app_id":"cli_a","app_secret":"x"}"#), 10_014);
        let first = bearer(&feishu);
        clock.advance(TOKEN_S * 1_000 - RENEWED_MS);
        assert_eq!(bearer(&feishu), first);
        clock.advance(1);
        let second = bearer(&feishu);
        assert_ne!(second, first);
        let body = message("ou_1", "text", &json!({ "text": "x" }), "");
        let code = |bearer: &str| {
            let answer = feishu.send(bearer, "receive_id_type=open_id", body.as_bytes());
            answer.code()
        };
        assert_eq!((code(&first), code(&second)), (0, 0));
        clock.advance(RENEWED_MS);
        assert_eq!((code(&first), code(&second)), (99_991_663, 0));
        assert_eq!(code(""), 99_991_661);
        feishu.revoke();
        assert_eq!(code(&second), 99_991_663);
        assert_eq!(feishu.issued(), 2);
    }

    #[test]
    fn an_application_sends_only_correct_messages() {
        let (feishu, clock) = feishu();
        let bearer = bearer(&feishu);
        let send = |query: &str, body: &str| feishu.send(&bearer, query, body.as_bytes());
        let code = |body: &str| send("receive_id_type=open_id", body).code();
        let text = json!({ "text": "x" });
        let first = send(
            "receive_id_type=open_id",
            &message("ou_1", "text", &text, "a"),
        );
        let again = send(
            "receive_id_type=open_id",
            &message("ou_1", "text", &text, "a"),
        );
        assert_eq!((first.code(), &first), (0, &again), "one message");
        let button = |effect: &Value| {
            let mut button = json!({ "tag": "button", "text": { "content": "x" } });
            button["value"] = effect.clone();
            json!({ "elements": [{ "tag": "action", "actions": [button] }] })
        };
        let long = json!({ "text": "x".repeat(CONTENT_BYTES_MAX) });
        let forbidden = json!({ "text": FORBIDDEN_WORD });
        for (body, expected) in [
            (message("ou_1", "interactive", &button(&json!({})), ""), 0),
            (
                message("ou_1", "interactive", &button(&json!("x")), ""),
                230_099,
            ),
            (message("ou_1", "interactive", &text, ""), 230_099),
            (message("ou_9", "text", &text, ""), 230_001),
            (message("ou_1", "fax", &text, ""), 230_001),
            (message("ou_1", "text", &long, ""), 230_025),
            (message("ou_1", "text", &forbidden, ""), 230_022),
            (message("ou_1", "text", &text, &"x".repeat(51)), 99_992_402),
            ("{}".to_owned(), 230_001),
        ] {
            assert_eq!(code(&body), expected, "{body}");
        }
        assert_eq!(
            send("", &message("ou_1", "text", &text, "")).code(),
            99_992_402
        );
        assert_eq!(feishu.messages().len(), 2);
        clock.advance(REPEATED_MS);
        assert_eq!(code(&message("ou_1", "text", &text, "a")), 0);
        assert_eq!(feishu.messages().len(), 3, "the id is forgotten");
    }

    #[test]
    fn an_answer_needs_a_message_that_is_not_withdrawn() {
        let (feishu, _) = feishu();
        let bearer = bearer(&feishu);
        let content = json!({ "text": "x" });
        let body = message("ou_1", "text", &content, "a");
        let sent = feishu.send(&bearer, "receive_id_type=open_id", body.as_bytes());
        let root = sent.body["data"]["message_id"].as_str().expect("an id");
        let answer = |root: &str, id: &str| {
            let mut body: Value = serde_json::from_str(&message("", "text", &content, id)).unwrap();
            body["reply_in_thread"] = true.into();
            feishu.reply(&bearer, root, body.to_string().as_bytes())
        };
        assert_eq!(answer(root, "b").code(), 0);
        assert_eq!(answer("om_9", "c").code(), 230_001);
        let messages = feishu.messages();
        assert_eq!(
            (&messages[1]["root_id"], &messages[1]["is_in_thread"]),
            (&json!(root), &json!(true))
        );
        feishu.withdraw_all();
        assert_eq!(answer(root, "d").code(), 230_011);
        assert_eq!(feishu.messages().len(), 2);
    }

    #[test]
    fn an_application_has_a_limit_for_each_person_and_for_all() {
        let (feishu, clock) = feishu();
        let bearer = bearer(&feishu);
        let send = |to: &str| {
            let body = message(to, "text", &json!({ "text": "x" }), "");
            feishu.send(&bearer, "receive_id_type=open_id", body.as_bytes())
        };
        for _ in 0..5 {
            assert_eq!(send("ou_1").code(), 0);
        }
        let limited = send("ou_1");
        assert_eq!((limited.status, limited.code()), (400, 230_020));
        assert_eq!(send("ou_2").code(), 0);
        for _ in 7..50 {
            send("ou_1");
        }
        let limited = send("ou_2");
        assert_eq!((limited.status, limited.reset_s), (429, Some(1)));
        clock.advance(1_000);
        assert_eq!(send("ou_1").code(), 0);
    }

    #[test]
    fn a_sent_card_is_replaced_and_made_urgent() {
        let (feishu, _) = feishu();
        let bearer = bearer(&feishu);
        let card = json!({ "elements": [] });
        let body = message("ou_1", "interactive", &card, "");
        let sent = feishu.send(&bearer, "receive_id_type=open_id", body.as_bytes());
        let id = sent.body["data"]["message_id"].as_str().expect("an id");
        let newer = json!({ "elements": [{ "tag": "hr" }] });
        let body = json!({ "content": newer.to_string() }).to_string();
        assert_eq!(feishu.update(&bearer, id, body.as_bytes()).code(), 0);
        assert_eq!(
            feishu.update(&bearer, "om_9", body.as_bytes()).code(),
            230_001
        );
        assert_eq!(feishu.update("", id, body.as_bytes()).code(), 99_991_661);
        let people = br#"{"user_id_list":["ou_1","ou_2"]}"#;
        let answer = feishu.make_urgent(&bearer, id, people);
        assert_eq!(answer.body["data"]["invalid_user_id_list"], json!(["ou_2"]));
        let [message] = feishu.messages().try_into().expect("one message");
        assert_eq!(message["content"], newer);
        assert_eq!(message["urgent"], json!(["ou_1"]));
    }
}
