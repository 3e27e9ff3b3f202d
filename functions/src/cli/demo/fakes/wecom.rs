//! Imitates WeCom and the template messages of a public account of WeChat (reference/notifications.md, section 1.3): the
//! group robot, the application with its access token and its groups, and the public account with its access token. Every
//! response has HTTP status 200, also a refusal.

pub mod groups;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::Uri;
use axum::routing::{get, post};
use axum::{Json, Router};
use infra::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The path for messages of the group robot.
pub const ROBOT: &str = "/cgi-bin/webhook/send";
/// The path that returns the access token of the application.
pub const APP_TOKEN: &str = "/cgi-bin/gettoken";
/// The path for messages of the application.
pub const APP: &str = "/cgi-bin/message/send";
/// The path that returns the access token of the public account.
pub const PUBLIC_TOKEN: &str = "/cgi-bin/token";
/// The path for template messages of the public account.
pub const PUBLIC: &str = "/cgi-bin/message/template/send";

/// The lifetime of an access token, in milliseconds.
const TOKEN_MS: i64 = 7_200_000;
/// Maximum number of messages that the robot accepts in one minute, and of tokens that the application gets in one minute.
const PER_MINUTE: usize = 20;
/// Maximum number of messages that one member gets from the application in one minute. Further messages are dropped without
/// an error.
const PER_MEMBER: usize = 30;
/// The time in which WeCom recognizes equal messages if the request names no time, and the largest time, in seconds.
const DUPLICATE_S: i64 = 1_800;
const DUPLICATE_S_MAX: i64 = 14_400;
/// The time in which WeChat recognizes a repeated `client_msg_id`, in milliseconds.
const CLIENT_ID_MS: i64 = 600_000;
/// Maximum sizes of the content of a text and of Markdown from a robot, in bytes.
const TEXT_MAX: usize = 2_048;
const MARKDOWN_MAX: usize = 4_096;
/// Maximum size of the body of a request, in bytes.
const BODY_MAX: usize = 64 * 1024;
/// Maximum number of messages that the imitation stores of each kind. Tests read the stored messages.
const KEPT_MAX: usize = 10_000;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// The accounts of the imitated company.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// The key of the group robot.
    pub robot: String,
    pub corpid: String,
    pub corpsecret: String,
    pub agentid: i64,
    /// The user ids of the members that the application can reach, in lower case.
    pub members: Vec<String>,
    /// The members without a license, in lower case.
    pub unlicensed: Vec<String>,
    pub appid: String,
    pub secret: String,
    pub template_id: String,
    /// The openids of the people who follow the public account.
    pub followers: Vec<String>,
    /// The openids of the people who do not follow the public account any more.
    pub former: Vec<String>,
    /// Maximum number of messages of the application and of the public account in one day.
    pub per_day: usize,
}

/// The messages that the imitation accepted, in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    pub robot: Vec<Value>,
    pub app: Vec<Value>,
    pub public: Vec<Value>,
    /// Number of messages of the application that a member did not get because of the limit for one minute.
    pub dropped: usize,
    /// Number of repeated messages that were accepted and not sent again.
    pub repeated: usize,
}

/// The newest access token of an account.
#[derive(Debug, Default)]
struct Issued {
    value: String,
    until: i64,
    /// Number of tokens that were issued.
    count: u64,
}

#[derive(Debug, Default)]
struct Seen {
    app_token: Issued,
    public_token: Issued,
    token_requests: VecDeque<i64>,
    robot_times: VecDeque<i64>,
    member_times: BTreeMap<String, VecDeque<i64>>,
    /// The number of the current day, and the number of messages on this day.
    day: (i64, usize),
    /// The messages that are recognized if they are repeated, with the end of this time and their id.
    known: VecDeque<(String, i64, u64)>,
    tasks: BTreeSet<String>,
    messages: u64,
    accepted: Accepted,
    groups: groups::Groups,
}

/// An imitated company in WeCom with one group robot and one application, and one public account of WeChat.
pub struct Wecom {
    accounts: Accounts,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

/// A code with its text.
type Refusal = (i64, &'static str);

impl Wecom {
    pub fn new(accounts: Accounts, clock: Arc<dyn Clock>) -> Self {
        Self {
            accounts,
            clock,
            seen: Mutex::default(),
        }
    }

    /// Returns the messages that were accepted.
    pub fn accepted(&self) -> Accepted {
        self.seen().accepted.clone()
    }

    /// Returns the number of access tokens of the application and of the public account that were issued.
    pub fn issued(&self) -> (u64, u64) {
        let seen = self.seen();
        (seen.app_token.count, seen.public_token.count)
    }

    /// Returns the groups of the application.
    pub fn groups(&self) -> groups::Groups {
        self.seen().groups.clone()
    }

    /// Voids all access tokens before their time.
    pub fn void_tokens(&self) {
        let mut seen = self.seen();
        seen.app_token.value.clear();
        seen.public_token.value.clear();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    /// Returns the response body for one request. `query` is the part of the URL after the question mark. The member
    /// `errcode` of the response is 404 if the path is unknown.
    pub fn respond(&self, path: &str, query: &str, body: &[u8]) -> Value {
        let now = self.clock.now().0;
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
        let value = |key: &str| {
            let mut found = pairs.iter().filter(|(name, _)| name == key);
            found
                .next()
                .map(|(_, value)| value.as_str())
                .unwrap_or_default()
        };
        let mut seen = self.seen();
        let result = match path {
            ROBOT => self.robot(&mut seen, value("key"), body, now),
            APP_TOKEN => self.app_token(&mut seen, value("corpid"), value("corpsecret"), now),
            APP => check_token(&seen.app_token, value("access_token"), now)
                .and_then(|()| self.app(&mut seen, body, now)),
            PUBLIC_TOKEN => {
                let grant = value("grant_type");
                self.public_token(&mut seen, grant, value("appid"), value("secret"), now)
            }
            PUBLIC => check_token(&seen.public_token, value("access_token"), now)
                .and_then(|()| self.public(&mut seen, body, now)),
            groups::CREATE | groups::UPDATE | groups::GET | groups::SEND => {
                let known = &self.accounts.members;
                check_token(&seen.app_token, value("access_token"), now)
                    .and_then(|()| seen.groups.respond(path, value("chatid"), body, known))
            }
            _ => Err((404, "not found")),
        };
        result.unwrap_or_else(|(code, reason)| refusal(code, reason))
    }

    fn robot(&self, seen: &mut Seen, key: &str, body: &[u8], now: i64) -> Result<Value, Refusal> {
        if key != self.accounts.robot {
            return Err((93_000, "invalid webhook url"));
        }
        let message = message(body)?;
        let (content, most, too_long) = match message["msgtype"].as_str() {
            Some("text") => (
                message["text"]["content"].as_str(),
                TEXT_MAX,
                "text.content exceed max length 2048. invalid Request Parameter",
            ),
            Some("markdown") => (
                message["markdown"]["content"].as_str(),
                MARKDOWN_MAX,
                "markdown.content exceed max length 4096. invalid Request Parameter",
            ),
            _ => return Err((40_008, "invalid message type")),
        };
        match content {
            None | Some("") => return Err((44_004, "empty content")),
            Some(content) if content.len() > most => return Err((40_058, too_long)),
            Some(_) => {}
        }
        if !admits(&mut seen.robot_times, PER_MINUTE, now) {
            return Err((45_009, "api freq out of limit"));
        }
        keep(&mut seen.accepted.robot, message);
        Ok(json!({ "errcode": 0, "errmsg": "ok" }))
    }

    fn app_token(
        &self,
        seen: &mut Seen,
        corpid: &str,
        corpsecret: &str,
        now: i64,
    ) -> Result<Value, Refusal> {
        match (corpid, corpsecret) {
            ("", _) => return Err((41_002, "corpid missing")),
            (_, "") => return Err((41_004, "corpsecret missing")),
            (corpid, _) if corpid != self.accounts.corpid => {
                return Err((40_013, "invalid corpid"));
            }
            (_, secret) if secret != self.accounts.corpsecret => {
                return Err((40_001, "invalid credential"));
            }
            _ => {}
        }
        if !admits(&mut seen.token_requests, PER_MINUTE, now) {
            return Err((45_009, "api freq out of limit"));
        }
        // A further request returns the same token until it expires.
        if seen.app_token.value.is_empty() || now >= seen.app_token.until {
            issue(&mut seen.app_token, "app", now);
        }
        let Issued { value, until, .. } = &seen.app_token;
        Ok(json!({
            "errcode": 0, "errmsg": "ok", "access_token": value, "expires_in": (until - now) / 1000,
        }))
    }

    fn public_token(
        &self,
        seen: &mut Seen,
        grant: &str,
        appid: &str,
        secret: &str,
        now: i64,
    ) -> Result<Value, Refusal> {
        if grant != "client_credential" {
            return Err((40_002, "invalid grant_type"));
        }
        if appid != self.accounts.appid {
            return Err((40_013, "invalid appid"));
        }
        if secret != self.accounts.secret {
            return Err((40_125, "invalid appsecret"));
        }
        issue(&mut seen.public_token, "public", now);
        Ok(json!({ "access_token": seen.public_token.value, "expires_in": TOKEN_MS / 1000 }))
    }

    fn app(&self, seen: &mut Seen, body: &[u8], now: i64) -> Result<Value, Refusal> {
        let mut message = message(body)?;
        if message["agentid"].as_i64() != Some(self.accounts.agentid) {
            return Err((40_056, "invalid agentid"));
        }
        let kind = message["msgtype"].as_str().unwrap_or_default().to_owned();
        let is_filled = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        let content = &message[kind.as_str()];
        match kind.as_str() {
            "text" | "markdown" => {
                if !is_filled(&content["content"]) {
                    return Err((44_004, "empty content"));
                }
                let size = content["content"].as_str().map_or(0, str::len);
                if kind == "markdown" && size > TEXT_MAX {
                    return Err((45_002, "content size out of limit"));
                }
            }
            "textcard" => {
                let members = ["title", "description", "url"];
                if !members.iter().all(|key| is_filled(&content[key])) {
                    return Err((40_058, "textcard has an empty member"));
                }
            }
            "template_card" => check_card(content)?,
            _ => return Err((40_008, "invalid message type")),
        }
        let (valid, invalid, unlicensed) = self.recipients(&message);
        // A member without a license gets nothing, but the code is 0.
        if valid.is_empty() && unlicensed.is_empty() {
            return Err((81_013, "user & party & tag all invalid"));
        }
        if !count(&mut seen.day, self.accounts.per_day, now) {
            return Err((45_009, "api freq out of limit"));
        }
        let mut response = json!({
            "errcode": 0, "errmsg": "ok", "invaliduser": invalid.join("|"),
            "unlicenseduser": unlicensed.join("|"),
        });
        let checked = message["enable_duplicate_check"] == 1;
        let interval = message["duplicate_check_interval"].as_i64();
        let interval = interval.unwrap_or(DUPLICATE_S).clamp(0, DUPLICATE_S_MAX) * 1000;
        if !checked {
            seen.messages += 1;
        } else if let Some(id) = recognized(seen, &message.to_string(), interval, now) {
            seen.accepted.repeated += 1;
            response["msgid"] = format!("msg-{id}").into();
            return Ok(response);
        }
        if kind == "template_card" {
            let task = message[kind.as_str()]["task_id"]
                .as_str()
                .unwrap_or_default();
            if seen.tasks.len() >= KEPT_MAX || !seen.tasks.insert(task.to_owned()) {
                return Err((42_014, "taskid has existed or empty or exceed max len"));
            }
            response["response_code"] = format!("code-{}", seen.messages).into();
        }
        response["msgid"] = format!("msg-{}", seen.messages).into();
        let mut reached = Vec::new();
        for member in valid {
            let times = seen.member_times.entry(member.clone()).or_default();
            if admits(times, PER_MEMBER, now) {
                reached.push(member);
            } else {
                seen.accepted.dropped += 1;
            }
        }
        if !reached.is_empty() {
            message["touser"] = reached.join("|").into();
            keep(&mut seen.accepted.app, message);
        }
        Ok(response)
    }

    /// Returns the recipients of a message: the reachable members, the invalid user ids and the members without a license.
    /// WeCom returns user ids in lower case.
    fn recipients(&self, message: &Value) -> (Vec<String>, Vec<String>, Vec<String>) {
        let accounts = &self.accounts;
        let named = message["touser"].as_str().unwrap_or_default();
        if named == "@all" {
            return (accounts.members.clone(), Vec::new(), Vec::new());
        }
        let (mut valid, mut invalid, mut unlicensed) = (Vec::new(), Vec::new(), Vec::new());
        for name in named.split('|').filter(|name| !name.is_empty()) {
            let name = name.to_lowercase();
            if accounts.unlicensed.contains(&name) {
                unlicensed.push(name);
            } else if accounts.members.contains(&name) {
                valid.push(name);
            } else {
                invalid.push(name);
            }
        }
        (valid, invalid, unlicensed)
    }

    fn public(&self, seen: &mut Seen, body: &[u8], now: i64) -> Result<Value, Refusal> {
        let message = message(body)?;
        let to = message["touser"].as_str().unwrap_or_default();
        let is = |openids: &[String]| openids.iter().any(|openid| openid == to);
        if is(&self.accounts.former) {
            return Err((43_004, "require subscribe"));
        }
        if !is(&self.accounts.followers) {
            return Err((40_003, "invalid openid"));
        }
        if message["template_id"] != self.accounts.template_id.as_str() {
            return Err((40_037, "invalid template_id"));
        }
        let is_text = |field: &Value| field["value"].as_str().is_some_and(|text| !text.is_empty());
        let fields = message["data"].as_object();
        if !fields.is_some_and(|fields| !fields.is_empty() && fields.values().all(is_text)) {
            return Err((47_003, "argument invalid"));
        }
        if !count(&mut seen.day, self.accounts.per_day, now) {
            return Err((45_009, "reach max api daily quota limit"));
        }
        if let Some(id) = message["client_msg_id"].as_str() {
            let key = format!("{to} {id}");
            if let Some(id) = recognized(seen, &key, CLIENT_ID_MS, now) {
                seen.accepted.repeated += 1;
                return Ok(json!({ "errcode": 0, "errmsg": "ok", "msgid": id }));
            }
        } else {
            seen.messages += 1;
        }
        let id = seen.messages;
        keep(&mut seen.accepted.public, message);
        Ok(json!({ "errcode": 0, "errmsg": "ok", "msgid": id }))
    }

    /// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.router()).await
    }

    /// Returns the routes of the imitation. A test adds a layer to them, for example to record the requests.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route(APP_TOKEN, get(handle))
            .route(PUBLIC_TOKEN, get(handle))
            .route(ROBOT, post(handle))
            .route(APP, post(handle))
            .route(PUBLIC, post(handle))
            .route(groups::CREATE, post(handle))
            .route(groups::UPDATE, post(handle))
            .route(groups::GET, get(handle))
            .route(groups::SEND, post(handle))
            .with_state(self)
    }
}

async fn handle(
    State(wecom): State<Arc<Wecom>>,
    uri: Uri,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Json<Value> {
    Json(wecom.respond(uri.path(), &query.unwrap_or_default(), &body))
}

fn message(body: &[u8]) -> Result<Value, Refusal> {
    if body.len() > BODY_MAX {
        return Err((45_002, "content size out of limit"));
    }
    let message: Option<Value> = serde_json::from_slice(body).ok();
    let object = message.filter(Value::is_object);
    object.ok_or((47_001, "data format error"))
}

/// Checks a card with buttons.
fn check_card(card: &Value) -> Result<(), Refusal> {
    let is_filled = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let task = card["task_id"].as_str().unwrap_or_default();
    let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@');
    if !(1..=128).contains(&task.len()) || !task.chars().all(is_id) {
        return Err((42_014, "taskid has existed or empty or exceed max len"));
    }
    let no_buttons = Vec::new();
    let buttons = card["button_list"].as_array().unwrap_or(&no_buttons);
    let keys: BTreeSet<&str> = buttons
        .iter()
        .filter(|button| is_filled(&button["text"]))
        .filter_map(|button| button["key"].as_str())
        .filter(|key| (1..=1024).contains(&key.len()))
        .collect();
    let values = card["horizontal_content_list"].as_array();
    let values_fit = values.is_none_or(|values| values.len() <= 6);
    let is_valid = card["card_type"] == "button_interaction"
        && is_filled(&card["main_title"]["title"])
        && (1..=6).contains(&buttons.len())
        && keys.len() == buttons.len()
        && values_fit;
    if is_valid {
        Ok(())
    } else {
        Err((
            40_058,
            "template_card is invalid. invalid Request Parameter",
        ))
    }
}

fn check_token(issued: &Issued, token: &str, now: i64) -> Result<(), Refusal> {
    if token.is_empty() {
        Err((41_001, "access_token missing"))
    } else if token != issued.value {
        Err((40_014, "invalid access_token"))
    } else if now >= issued.until {
        Err((42_001, "access_token expired"))
    } else {
        Ok(())
    }
}

/// Replaces the access token of an account.
fn issue(issued: &mut Issued, kind: &str, now: i64) {
    issued.count += 1;
    issued.value = format!("{kind}-token-{}", issued.count);
    issued.until = now + TOKEN_MS;
}

/// Counts one event in a sliding period of one minute. Returns false if the limit is reached.
fn admits(times: &mut VecDeque<i64>, most: usize, now: i64) -> bool {
    while times.front().is_some_and(|at| at + MINUTE_MS <= now) {
        times.pop_front();
    }
    let admits = times.len() < most;
    if admits {
        times.push_back(now);
    }
    admits
}

/// Counts one message on the current day. Returns false if the limit is reached.
fn count(day: &mut (i64, usize), most: usize, now: i64) -> bool {
    let today = now.div_euclid(DAY_MS);
    if day.0 != today {
        *day = (today, 0);
    }
    day.1 += 1;
    day.1 <= most
}

/// Returns the id of an earlier message with the same key. If there is none, the key is stored with a new id for a time.
fn recognized(seen: &mut Seen, key: &str, for_ms: i64, now: i64) -> Option<u64> {
    let mut known = seen.known.iter();
    let earlier = known.find(|(other, until, _)| other == key && now < *until);
    if let Some((_, _, id)) = earlier {
        return Some(*id);
    }
    seen.messages += 1;
    if seen.known.len() >= KEPT_MAX {
        seen.known.pop_front();
    }
    seen.known
        .push_back((key.to_owned(), now + for_ms, seen.messages));
    None
}

fn keep(kept: &mut Vec<Value>, message: Value) {
    if kept.len() < KEPT_MAX {
        kept.push(message);
    }
}

fn refusal(code: i64, reason: &str) -> Value {
    let more = format!("https://open.work.weixin.qq.com/devtool/query?e={code}");
    let reason = format!("{reason}, hint: [imitation], from ip: 127.0.0.1, more info at {more}");
    json!({ "errcode": code, "errmsg": reason })
}

#[cfg(test)]
mod tests {
    use events::Moment;
    use infra::clock::ManualClock;

    use super::*;

    fn wecom() -> (Wecom, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Moment(DAY_MS)));
        let accounts = Accounts {
            robot: "key".into(),
            corpid: "ww1".into(),
            corpsecret: "s".into(),
            agentid: 7,
            members: vec!["lisi".into(), "zhangsan".into()],
            unlicensed: vec!["wangwu".into()],
            appid: "wx1".into(),
            secret: "p".into(),
            template_id: "tpl".into(),
            followers: vec!["o1".into()],
            former: vec!["o2".into()],
            per_day: 40,
        };
        (Wecom::new(accounts, clock.clone()), clock)
    }

    fn code(response: &Value) -> i64 {
        response["errcode"].as_i64().expect("a code")
    }

    fn token(wecom: &Wecom) -> String {
        let response = wecom.respond(APP_TOKEN, "corpid=ww1&corpsecret=s", b"");
        let token = response["access_token"].as_str().expect("a token");
        format!("access_token={token}")
    }

    fn card(to: &str, text: &str) -> Value {
        json!({
            "touser": to, "agentid": 7, "msgtype": "textcard", "enable_duplicate_check": 1,
            "textcard": { "title": text, "description": "d", "url": "https://desk.example" },
        })
    }

    fn send(wecom: &Wecom, query: &str, message: &Value) -> Value {
        wecom.respond(APP, query, message.to_string().as_bytes())
    }

    #[test]
    fn the_robot_checks_the_key_the_size_and_the_rate() {
        let (wecom, clock) = wecom();
        let text = |bytes: usize| {
            let content = "x".repeat(bytes);
            json!({ "msgtype": "text", "text": { "content": content } }).to_string()
        };
        let sent = |query: &str, body: &str| code(&wecom.respond(ROBOT, query, body.as_bytes()));
        assert_eq!(sent("key=wrong", &text(1)), 93_000);
        assert_eq!(sent("key=key", &text(2_049)), 40_058);
        assert_eq!(sent("key=key", &text(0)), 44_004);
        assert_eq!(sent("key=key", "{"), 47_001);
        assert_eq!(sent("key=key", r#"{"msgtype":"fax"}"#), 40_008);
        for _ in 0..PER_MINUTE {
            assert_eq!(sent("key=key", &text(2_048)), 0);
        }
        assert_eq!(sent("key=key", &text(1)), 45_009);
        clock.advance(MINUTE_MS);
        assert_eq!(sent("key=key", &text(1)), 0);
        assert_eq!(wecom.accepted().robot.len(), PER_MINUTE + 1);
    }

    #[test]
    fn a_token_is_shared_expires_and_can_be_voided() {
        let (wecom, clock) = wecom();
        let asked = |query: &str| code(&wecom.respond(APP_TOKEN, query, b""));
        assert_eq!(asked("corpsecret=s"), 41_002);
        assert_eq!(asked("corpid=ww1"), 41_004);
        assert_eq!(asked("corpid=ww2&corpsecret=s"), 40_013);
        assert_eq!(asked("corpid=ww1&corpsecret=x"), 40_001);
        let first = token(&wecom);
        assert_eq!(token(&wecom), first, "the same token");
        assert_eq!(code(&send(&wecom, &first, &card("lisi", "1"))), 0);
        assert_eq!(code(&send(&wecom, "", &card("lisi", "1"))), 41_001);
        clock.advance(TOKEN_MS);
        assert_eq!(code(&send(&wecom, &first, &card("lisi", "1"))), 42_001);
        let second = token(&wecom);
        assert_ne!(second, first);
        wecom.void_tokens();
        assert_eq!(code(&send(&wecom, &second, &card("lisi", "1"))), 40_014);
        assert_eq!(wecom.issued(), (2, 0));
        for _ in 0..PER_MINUTE {
            asked("corpid=ww1&corpsecret=s");
        }
        assert_eq!(asked("corpid=ww1&corpsecret=s"), 45_009);
    }

    #[test]
    fn invalid_recipients_are_returned_in_lower_case() {
        let (wecom, _) = wecom();
        let query = token(&wecom);
        let response = send(&wecom, &query, &card("LiSi|Nobody|wangwu", "1"));
        assert_eq!(code(&response), 0);
        assert_eq!(response["invaliduser"], "nobody");
        assert_eq!(response["unlicenseduser"], "wangwu");
        assert_eq!(code(&send(&wecom, &query, &card("nobody", "1"))), 81_013);
        let alone = send(&wecom, &query, &card("wangwu", "1"));
        assert_eq!(
            (code(&alone), &alone["unlicenseduser"]),
            (0, &json!("wangwu"))
        );
        let mut other = card("lisi", "1");
        other["agentid"] = json!("7");
        assert_eq!(code(&send(&wecom, &query, &other)), 40_056);
        assert_eq!(wecom.accepted().app[0]["touser"], "lisi");
    }

    #[test]
    fn repeated_messages_are_sent_once_and_many_are_dropped() {
        let (wecom, clock) = wecom();
        let query = token(&wecom);
        for _ in 0..3 {
            assert_eq!(code(&send(&wecom, &query, &card("lisi", "1"))), 0);
        }
        let accepted = wecom.accepted();
        assert_eq!((accepted.app.len(), accepted.repeated), (1, 2));
        clock.advance(DUPLICATE_S * 1000);
        for number in 0..31 {
            let message = card("lisi", &number.to_string());
            assert_eq!(code(&send(&wecom, &query, &message)), 0);
        }
        let accepted = wecom.accepted();
        assert_eq!((accepted.app.len(), accepted.dropped), (31, 1));
        for number in 0..6 {
            send(&wecom, &query, &card("zhangsan", &number.to_string()));
        }
        assert_eq!(code(&send(&wecom, &query, &card("zhangsan", "x"))), 45_009);
    }

    #[test]
    fn a_card_with_buttons_has_a_unique_task_and_a_response_code() {
        let (wecom, _) = wecom();
        let query = token(&wecom);
        let buttons = |keys: &[&str]| -> Vec<Value> {
            let keys = keys.iter();
            keys.map(|key| json!({ "text": "ok", "key": key }))
                .collect()
        };
        let message = |task: &str, keys: &[&str], title: &str| {
            json!({
                "touser": "lisi", "agentid": 7, "msgtype": "template_card",
                "template_card": {
                    "card_type": "button_interaction", "main_title": { "title": title },
                    "task_id": task, "button_list": buttons(keys),
                },
            })
        };
        let sent = |task: &str, keys: &[&str], title: &str| {
            send(&wecom, &query, &message(task, keys, title))
        };
        let first = sent("t1", &["a", "b"], "x");
        assert!(first["response_code"].is_string(), "{first}");
        assert_eq!(code(&sent("t1", &["a"], "y")), 42_014);
        assert_eq!(code(&sent("", &["a"], "y")), 42_014);
        assert_eq!(code(&sent("t2", &[], "y")), 40_058);
        assert_eq!(code(&sent("t2", &["a", "a"], "y")), 40_058);
        assert_eq!(code(&sent("t2", &["a"], "")), 40_058);
    }

    #[test]
    fn a_public_account_reaches_only_its_followers() {
        let (wecom, _) = wecom();
        let asked = |secret: &str| {
            let query = format!("grant_type=client_credential&appid=wx1&secret={secret}");
            wecom.respond(PUBLIC_TOKEN, &query, b"")
        };
        assert_eq!(code(&asked("x")), 40_125);
        let token = asked("p");
        let token = token["access_token"].as_str().expect("a token").to_owned();
        let sent = |to: &str, template: &str, data: Value| {
            let body = json!({
                "touser": to, "template_id": template, "client_msg_id": "m1", "data": data,
            });
            let query = format!("access_token={token}");
            wecom.respond(PUBLIC, &query, body.to_string().as_bytes())
        };
        let data = || json!({ "first": { "value": "x" } });
        let first = sent("o1", "tpl", data());
        assert!(first["msgid"].is_u64(), "{first}");
        assert_eq!(sent("o1", "tpl", data()), first, "sent once");
        assert_eq!(code(&sent("o2", "tpl", data())), 43_004);
        assert_eq!(code(&sent("o3", "tpl", data())), 40_003);
        assert_eq!(code(&sent("o1", "other", data())), 40_037);
        assert_eq!(code(&sent("o1", "tpl", json!({ "first": "x" }))), 47_003);
        assert_eq!(wecom.accepted().public.len(), 1);
        asked("p");
        assert_eq!(code(&sent("o1", "tpl", data())), 40_014, "a new token");
    }
}
