//! Imitates the interfaces of DingTalk for the messages of an app (reference/notifications.md, section 1.2): access tokens, the
//! robot for one person, work notices, interactive cards and scene groups. The older interfaces report an error as a number
//! with HTTP status 200, and the newer interfaces as a text with HTTP status 4xx, as at DingTalk.

pub mod groups;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::{Json, Router};
use infra::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const TOKEN_PATH: &str = "/v1.0/oauth2/accessToken";
const ROBOT_PATH: &str = "/v1.0/robot/oToMessages/batchSend";
const CARD_PATH: &str = "/v1.0/card/instances/createAndDeliver";
const OLD_TOKEN_PATH: &str = "/gettoken";
const NOTICE_PATH: &str = "/topapi/message/corpconversation/asyncsend_v2";
/// Lifetime of an access token in seconds.
const LIFETIME_S: i64 = 7_200;
/// Number of access tokens that are valid at the same time. An older token becomes invalid.
const TOKENS_MAX: usize = 2;
/// Maximum number of requests to one interface in any period of one second.
const PER_SECOND: usize = 20;
/// Maximum number of messages of the robot to one person in any period of one minute. The number is an assumption.
const PER_PERSON: usize = 30;
/// Maximum number of people in one request to the robot.
const PEOPLE_MAX: usize = 20;
/// Maximum size of the parameters of a message of the robot, in bytes.
const PARAMETERS_MAX: usize = 15_000;
/// Maximum size of a work notice, in bytes.
const NOTICE_MAX: usize = 2_048;
const DAY_MS: i64 = 86_400_000;
/// Maximum number of requests and messages that the imitation stores. Tests read the stored messages.
const KEPT_MAX: usize = 10_000;

/// The settings of the imitated app.
#[derive(Clone, Debug)]
pub struct App {
    pub key: String,
    pub secret: String,
    pub robot: String,
    /// The number of the app for work notices.
    pub agent: u64,
    pub template: String,
    /// The ids of the people that the app can reach.
    pub people: Vec<String>,
}

/// A message that the imitation accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The interface: `robot`, `notice` or `card`.
    pub kind: &'static str,
    /// The id that the response contains.
    pub id: String,
    pub body: Value,
    /// False for a work notice that DingTalk accepts and does not deliver, because the person got the same content on the same
    /// day.
    pub is_delivered: bool,
}

#[derive(Debug, Default)]
struct Seen {
    /// The valid access tokens, each with the time of its expiry.
    tokens: VecDeque<(String, i64)>,
    tokens_issued: usize,
    /// The times of the requests in the last second, by path.
    requests: HashMap<String, VecDeque<i64>>,
    /// The times of the messages of the robot in the last minute, by person.
    messages: HashMap<String, VecDeque<i64>>,
    /// The day, the person and the content of each work notice.
    notices: HashSet<(i64, String, String)>,
    accepted: Vec<Accepted>,
    refused: Vec<String>,
    groups: groups::Groups,
}

/// An imitation of DingTalk for the messages of one app.
pub struct Platform {
    app: App,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

/// The HTTP status and the body of a response.
type Reply = (u16, Value);

/// The parts of a request that the imitation uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    pub path: &'a str,
    /// The part of the URL after the question mark.
    pub query: &'a str,
    /// The value of the header `x-acs-dingtalk-access-token`, or an empty text.
    pub token: &'a str,
    pub body: &'a [u8],
}

impl Platform {
    pub fn new(app: App, clock: Arc<dyn Clock>) -> Self {
        Self {
            app,
            clock,
            seen: Mutex::default(),
        }
    }

    /// Returns the accepted messages, in the order of their arrival.
    pub fn accepted(&self) -> Vec<Accepted> {
        self.seen().accepted.clone()
    }

    /// Returns the codes of the refused requests, in the order of their arrival.
    pub fn refused(&self) -> Vec<String> {
        self.seen().refused.clone()
    }

    /// Returns the groups of the app by their ids.
    pub fn groups(&self) -> std::collections::BTreeMap<String, groups::Group> {
        self.seen().groups.all.clone()
    }

    /// Returns the number of access tokens that were issued.
    pub fn tokens_issued(&self) -> usize {
        self.seen().tokens_issued
    }

    /// Makes all issued access tokens invalid.
    pub fn forget_tokens(&self) {
        self.seen().tokens.clear();
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    /// Returns the HTTP status and the body of the response to one request.
    pub fn respond(&self, request: Request<'_>) -> Reply {
        let now = self.clock.now().0;
        let mut seen = self.seen();
        let reply = match request.path {
            TOKEN_PATH => self.issue(&mut seen, request, now),
            OLD_TOKEN_PATH => self.issue_old(&mut seen, request, now),
            NOTICE_PATH => self.notice(&mut seen, request, now),
            ROBOT_PATH | CARD_PATH => self.newer(&mut seen, request, now),
            path if groups::PATHS.contains(&path) => self.newer(&mut seen, request, now),
            _ => new_refusal(404, "InvalidAction.NotFound", "the path does not exist"),
        };
        let code = match (&reply.1["errcode"], &reply.1["code"]) {
            (Value::Number(code), _) if code.as_i64() != Some(0) => {
                let sub_code = reply.1["sub_code"].as_str();
                sub_code.map_or_else(|| code.to_string(), str::to_owned)
            }
            (_, Value::String(code)) => code.clone(),
            _ => return reply,
        };
        if seen.refused.len() < KEPT_MAX {
            seen.refused.push(code);
        }
        reply
    }

    fn issue(&self, seen: &mut Seen, request: Request<'_>, now: i64) -> Reply {
        let Ok(given) = serde_json::from_slice::<Value>(request.body) else {
            return new_refusal(400, "InvalidParameter", "the body is not JSON");
        };
        if given["appKey"] != self.app.key.as_str()
            || given["appSecret"] != self.app.secret.as_str()
        {
            return new_refusal(
                400,
                "invalidClientIdOrSecret",
                "无效的clientId或者clientSecret",
            );
        }
        let token = seen.issue(now);
        (200, json!({ "accessToken": token, "expireIn": LIFETIME_S }))
    }

    fn issue_old(&self, seen: &mut Seen, request: Request<'_>, now: i64) -> Reply {
        if parameter(request.query, "appkey") != self.app.key
            || parameter(request.query, "appsecret") != self.app.secret
        {
            return old_refusal(40_089, "不合法的corpid或corpsecret");
        }
        let token = seen.issue(now);
        (
            200,
            json!({ "errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": LIFETIME_S }),
        )
    }

    /// Responds to a request that sends a message through a newer interface.
    fn newer(&self, seen: &mut Seen, request: Request<'_>, now: i64) -> Reply {
        if request.token.is_empty() {
            let reason = "缺少参数 x-acs-dingtalk-access-token";
            return new_refusal(400, "AuthenticationFailed.MissingParameter", reason);
        }
        if !seen.is_valid(request.token, now) {
            return new_refusal(400, "InvalidAuthentication", "不合法的access_token");
        }
        if !seen.admits(request.path, now) {
            let code = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi";
            return new_refusal(403, code, "应用调用该接口的频率超过限制");
        }
        let Ok(body) = serde_json::from_slice::<Value>(request.body) else {
            return new_refusal(
                400,
                "invalidParameter.param.invalid",
                "the body is not JSON",
            );
        };
        match request.path {
            CARD_PATH => self.card(seen, body),
            ROBOT_PATH => self.robot(seen, body, now),
            path => seen.groups.respond(path, &body, &self.app),
        }
    }

    fn robot(&self, seen: &mut Seen, body: Value, now: i64) -> Reply {
        let invalid = |code: &str| new_refusal(400, &format!("invalidParameter.{code}"), code);
        if body["robotCode"] != self.app.robot.as_str() {
            return invalid("robotCode.auth");
        }
        let people: Vec<&str> = body["userIds"]
            .as_array()
            .map(|people| people.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        if people.is_empty() {
            return invalid("userIds.empty");
        }
        if people.len() > PEOPLE_MAX {
            return invalid("userIds.overMax");
        }
        let Some(names) = body["msgKey"].as_str().and_then(names_of_template) else {
            return invalid("msgKey.invalid");
        };
        let parameters = body["msgParam"].as_str().unwrap_or_default();
        let values: Value = serde_json::from_str(parameters).unwrap_or_default();
        let is_complete = names.iter().all(|name| values[name].is_string());
        if parameters.len() > PARAMETERS_MAX || !is_complete {
            return invalid("msgParam.invalid");
        }
        let (known, unknown): (Vec<&str>, Vec<&str>) =
            people.into_iter().partition(|id| self.is_person(id));
        let (sent, limited): (Vec<&str>, Vec<&str>) = known
            .into_iter()
            .partition(|id| seen.admits_person(id, now));
        let id = format!("query-{}", seen.accepted.len() + 1);
        let reply = json!({
            "processQueryKey": id, "invalidStaffIdList": unknown, "flowControlledStaffIdList": limited,
        });
        if !sent.is_empty() {
            seen.accept("robot", &id, body, true);
        }
        (200, reply)
    }

    fn card(&self, seen: &mut Seen, body: Value) -> Reply {
        let invalid = |code: &str| new_refusal(400, code, code);
        let Some(id) = body["outTrackId"].as_str().filter(|id| !id.is_empty()) else {
            return invalid("param.outTrackIdEmpty");
        };
        if body["cardTemplateId"] != self.app.template.as_str() {
            return invalid("param.templateUnpublished");
        }
        let values = body["cardData"]["cardParamMap"].as_object();
        if !values.is_some_and(|values| values.values().all(Value::is_string)) {
            return invalid("param.cardPublicDataEmpty");
        }
        if body["imRobotOpenDeliverModel"]["robotCode"] != self.app.robot.as_str() {
            return invalid("chatbot.notFound");
        }
        let space = body["openSpaceId"].as_str().unwrap_or_default();
        let Some(person) = space.strip_prefix("dtv1.card//IM_ROBOT.") else {
            return invalid("param.openSpaceIdInvalid");
        };
        let is_person = self.is_person(person);
        let error = if is_person { "" } else { "spaceId is illegal" };
        let id = id.to_owned();
        let result = json!({
            "spaceType": "IM_ROBOT", "spaceId": person, "success": is_person, "errorMsg": error, "carrierId": "c",
        });
        let reply =
            json!({ "success": true, "result": { "outTrackId": id, "deliverResults": [result] } });
        if is_person {
            seen.accept("card", &id, body, true);
        }
        (200, reply)
    }

    fn notice(&self, seen: &mut Seen, request: Request<'_>, now: i64) -> Reply {
        let token = parameter(request.query, "access_token");
        if !seen.is_valid(&token, now) {
            return detailed(40_014, "不合法的access_token");
        }
        if !seen.admits(request.path, now) {
            return detailed(90_018, "应用调用该接口的频率超过限制");
        }
        let body: Value = serde_json::from_slice(request.body).unwrap_or_default();
        if body["agent_id"].as_u64() != Some(self.app.agent) {
            return old_refusal(400_002, "无效的参数: agent_id");
        }
        let message = &body["msg"];
        let names: &[&str] = match message["msgtype"].as_str() {
            Some("text") => &["/text/content"],
            Some("markdown") => &["/markdown/title", "/markdown/text"],
            Some("action_card") => &["/action_card/title", "/action_card/markdown"],
            _ => return old_refusal(40_035, "不合法的参数: msgtype"),
        };
        let is_text = |name: &&str| message.pointer(name).is_some_and(Value::is_string);
        if !names.iter().all(is_text) || message.to_string().len() > NOTICE_MAX {
            return old_refusal(40_035, "不合法的参数: msg");
        }
        let people = body["userid_list"].as_str().unwrap_or_default();
        let known: Vec<&str> = people.split(',').filter(|id| self.is_person(id)).collect();
        if known.is_empty() {
            return old_refusal(33_012, "无效的USERID");
        }
        let content = message.to_string();
        let mut is_delivered = false;
        for person in known {
            if seen.notices.len() < KEPT_MAX {
                let notice = (now / DAY_MS, person.to_owned(), content.clone());
                is_delivered |= seen.notices.insert(notice);
            }
        }
        let task = 1_000 + seen.accepted.len();
        seen.accept("notice", &task.to_string(), body, is_delivered);
        (
            200,
            json!({ "errcode": 0, "errmsg": "ok", "task_id": task, "request_id": "r" }),
        )
    }

    fn is_person(&self, id: &str) -> bool {
        self.app.people.iter().any(|person| person == id)
    }

    /// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.router()).await
    }

    /// Returns the routes of the imitation. A test adds a layer to them, for example to record the requests.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new().fallback(handle).with_state(self)
    }
}

impl Seen {
    fn issue(&mut self, now: i64) -> String {
        self.tokens_issued += 1;
        let token = format!("token-{}", self.tokens_issued);
        let expiry = now + LIFETIME_S * 1_000;
        self.tokens.push_back((token.clone(), expiry));
        if self.tokens.len() > TOKENS_MAX {
            self.tokens.pop_front();
        }
        token
    }

    fn is_valid(&self, token: &str, now: i64) -> bool {
        let mut tokens = self.tokens.iter();
        tokens.any(|(known, expiry)| known == token && now < *expiry)
    }

    /// Counts a request to an interface. Returns false if there are too many requests.
    fn admits(&mut self, path: &str, now: i64) -> bool {
        let times = self.requests.entry(path.to_owned()).or_default();
        admits(times, now, 1_000, PER_SECOND)
    }

    /// Counts a message to a person. Returns false if the person got too many messages.
    fn admits_person(&mut self, person: &str, now: i64) -> bool {
        let times = self.messages.entry(person.to_owned()).or_default();
        admits(times, now, 60_000, PER_PERSON)
    }

    fn accept(&mut self, kind: &'static str, id: &str, body: Value, is_delivered: bool) {
        if self.accepted.len() < KEPT_MAX {
            self.accepted.push(Accepted {
                kind,
                id: id.to_owned(),
                body,
                is_delivered,
            });
        }
    }
}

/// Adds the current time to the times of the last period. Returns false if the period already has the maximum number.
fn admits(times: &mut VecDeque<i64>, now: i64, period_ms: i64, most: usize) -> bool {
    while times.front().is_some_and(|at| at + period_ms <= now) {
        times.pop_front();
    }
    let is_admitted = times.len() < most;
    if is_admitted {
        times.push_back(now);
    }
    is_admitted
}

/// Returns the names of the parameters of a template. Returns `None` if the template does not exist.
fn names_of_template(key: &str) -> Option<Vec<String>> {
    let own =
        |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
    let count = match key {
        "sampleText" => return Some(own(&["content"])),
        "sampleMarkdown" => return Some(own(&["title", "text"])),
        "sampleActionCard" => return Some(own(&["title", "text", "singleTitle", "singleURL"])),
        "sampleActionCard2" => 2,
        "sampleActionCard3" => 3,
        "sampleActionCard4" => 4,
        "sampleActionCard5" => 5,
        _ => return None,
    };
    let mut names = own(&["title", "text"]);
    for number in 1..=count {
        names.push(format!("actionTitle{number}"));
        names.push(format!("actionURL{number}"));
    }
    Some(names)
}

/// Returns the first value of a parameter of a query, or an empty text.
fn parameter(query: &str, name: &str) -> String {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let found = pairs.into_iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value).unwrap_or_default()
}

fn new_refusal(status: u16, code: &str, reason: &str) -> Reply {
    (
        status,
        json!({ "code": code, "requestid": "r", "message": reason }),
    )
}

fn old_refusal(code: i64, reason: &str) -> Reply {
    (200, json!({ "errcode": code, "errmsg": reason }))
}

/// Returns a refusal with the general code 88 of the older interfaces. The detailed code is a text.
fn detailed(code: i64, reason: &str) -> Reply {
    let text = format!("ding talk error[subcode={code},submsg={reason}]");
    (
        200,
        json!({ "errcode": 88, "sub_code": code.to_string(), "sub_msg": reason, "errmsg": text }),
    )
}

async fn handle(
    State(platform): State<Arc<Platform>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Json<Value>) {
    let token = headers.get("x-acs-dingtalk-access-token");
    let (status, reply) = platform.respond(Request {
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        token: token
            .and_then(|token| token.to_str().ok())
            .unwrap_or_default(),
        body: &body,
    });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(reply))
}

#[cfg(test)]
mod tests {
    use events::Moment;
    use infra::clock::ManualClock;

    use super::*;

    fn platform() -> (Platform, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Moment(1_577_262_236_757)));
        let app = App {
            key: "k".into(),
            secret: "s".into(),
            robot: "r".into(),
            agent: 7,
            template: "t".into(),
            people: vec!["dt-1".into(), "dt-2".into()],
        };
        (Platform::new(app, clock.clone()), clock)
    }

    fn issued(platform: &Platform) -> String {
        let (status, body) = platform.respond(Request {
            path: TOKEN_PATH,
            body: br#"{"appKey":"k","appSecret":"s"}"#,
            ..Request::default()
        });
        assert_eq!((status, &body["expireIn"]), (200, &json!(7_200)));
        body["accessToken"].as_str().expect("a token").to_owned()
    }

    fn sent(platform: &Platform, path: &str, token: &str, body: &Value) -> Reply {
        platform.respond(Request {
            path,
            token,
            body: body.to_string().as_bytes(),
            ..Request::default()
        })
    }

    fn notified(platform: &Platform, token: &str, body: &Value) -> Value {
        let (status, reply) = platform.respond(Request {
            path: NOTICE_PATH,
            query: &format!("access_token={token}"),
            body: body.to_string().as_bytes(),
            ..Request::default()
        });
        assert_eq!(status, 200);
        reply
    }

    fn message(people: &[&str]) -> Value {
        json!({
            "robotCode": "r", "userIds": people, "msgKey": "sampleMarkdown",
            "msgParam": json!({ "title": "a", "text": "b" }).to_string(),
        })
    }

    fn notice(text: &str) -> Value {
        let message = json!({ "msgtype": "markdown", "markdown": { "title": "a", "text": text } });
        json!({ "agent_id": 7, "userid_list": "dt-1", "msg": message })
    }

    #[test]
    fn only_valid_tokens_are_accepted() {
        let (platform, clock) = platform();
        let wrong = Request {
            path: TOKEN_PATH,
            body: br#"{"appKey":"k","appSecret":"x"}"#,
            ..Request::default()
        };
        assert_eq!(platform.respond(wrong).0, 400);
        let old = |query| {
            let (_, body) = platform.respond(Request {
                path: OLD_TOKEN_PATH,
                query,
                ..Request::default()
            });
            body
        };
        assert_eq!(old("appkey=k&appsecret=x")["errcode"], 40_089);
        assert_eq!(old("appkey=k&appsecret=s")["access_token"], "token-1");
        let token = issued(&platform);
        let code = |token: &str| {
            let (_, body) = sent(&platform, ROBOT_PATH, token, &message(&["dt-1"]));
            body["code"].clone()
        };
        assert_eq!(code(&token), Value::Null);
        assert_eq!(code("other"), "InvalidAuthentication");
        assert_eq!(code(""), "AuthenticationFailed.MissingParameter");
        assert_eq!(
            notified(&platform, "other", &notice("x"))["sub_code"],
            "40014"
        );
        clock.advance(LIFETIME_S * 1_000);
        assert_eq!(code(&token), "InvalidAuthentication");
        let token = issued(&platform);
        assert_eq!(code(&token), Value::Null);
        platform.forget_tokens();
        assert_eq!(code(&token), "InvalidAuthentication");
        assert_eq!(platform.tokens_issued(), 3);
        assert_eq!(platform.accepted().len(), 2);
        assert_eq!(platform.refused().len(), 7);
    }

    #[test]
    fn the_robot_names_people_that_it_does_not_reach() {
        let (platform, clock) = platform();
        let token = issued(&platform);
        let send = |people: &[&str]| sent(&platform, ROBOT_PATH, &token, &message(people)).1;
        let reply = send(&["dt-1", "dt-9"]);
        assert_eq!(reply["invalidStaffIdList"], json!(["dt-9"]));
        assert_eq!(reply["flowControlledStaffIdList"], json!([]));
        for number in 1..PER_PERSON {
            if number % 10 == 0 {
                clock.advance(1_000);
            }
            assert_eq!(send(&["dt-1"])["flowControlledStaffIdList"], json!([]));
        }
        clock.advance(1_000);
        let reply = send(&["dt-1", "dt-2"]);
        assert_eq!(reply["flowControlledStaffIdList"], json!(["dt-1"]));
        let code = |body: &Value| sent(&platform, ROBOT_PATH, &token, body).1["code"].clone();
        assert_eq!(code(&message(&[])), "invalidParameter.userIds.empty");
        let mut body = message(&["dt-1"]);
        body["msgParam"] = json!({ "title": "a", "text": "b" });
        assert_eq!(code(&body), "invalidParameter.msgParam.invalid");
        body["msgParam"] = json!({ "title": "a", "text": "x".repeat(PARAMETERS_MAX) })
            .to_string()
            .into();
        assert_eq!(code(&body), "invalidParameter.msgParam.invalid");
        body["msgKey"] = "sampleActionCard1".into();
        assert_eq!(code(&body), "invalidParameter.msgKey.invalid");
        body["robotCode"] = "x".into();
        assert_eq!(code(&body), "invalidParameter.robotCode.auth");
    }

    #[test]
    fn too_many_requests_in_one_second_are_refused() {
        let (platform, clock) = platform();
        let token = issued(&platform);
        let send = || sent(&platform, CARD_PATH, &token, &json!({})).1["code"].clone();
        for _ in 0..PER_SECOND {
            assert_eq!(send(), "param.outTrackIdEmpty");
        }
        assert_eq!(send(), "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi");
        clock.advance(1_000);
        assert_eq!(send(), "param.outTrackIdEmpty");
    }

    #[test]
    fn a_notice_is_delivered_once_on_each_day() {
        let (platform, clock) = platform();
        let token = issued(&platform);
        let code = |body: &Value| notified(&platform, &token, body)["errcode"].clone();
        for text in ["x", "x", "y"] {
            assert_eq!(code(&notice(text)), 0);
        }
        clock.advance(DAY_MS);
        let token = issued(&platform);
        assert_eq!(notified(&platform, &token, &notice("x"))["task_id"], 1_003);
        let delivered = platform.accepted();
        let delivered: Vec<bool> = delivered.iter().map(|one| one.is_delivered).collect();
        assert_eq!(delivered, [true, false, true, true]);
        let code = |body: &Value| notified(&platform, &token, body)["errcode"].clone();
        assert_eq!(code(&notice(&"x".repeat(NOTICE_MAX))), 40_035);
        assert_eq!(code(&json!({ "agent_id": 8 })), 400_002);
        let mut unknown = notice("x");
        unknown["userid_list"] = "dt-9".into();
        assert_eq!(code(&unknown), 33_012);
    }

    #[test]
    fn a_card_for_an_unknown_person_is_not_delivered() {
        let (platform, _) = platform();
        let token = issued(&platform);
        let card = |person: &str| {
            let body = json!({
                "outTrackId": "o", "cardTemplateId": "t", "cardData": { "cardParamMap": { "title": "a" } },
                "openSpaceId": format!("dtv1.card//IM_ROBOT.{person}"),
                "imRobotOpenDeliverModel": { "robotCode": "r" },
            });
            sent(&platform, CARD_PATH, &token, &body).1["result"].clone()
        };
        assert_eq!(card("dt-1")["deliverResults"][0]["success"], true);
        assert_eq!(card("dt-9")["deliverResults"][0]["success"], false);
        let [accepted] = platform.accepted().try_into().expect("one card");
        assert_eq!((accepted.kind, accepted.id.as_str()), ("card", "o"));
    }
}
