//! Imitates a custom robot (a program that posts messages) of a DingTalk group (reference/notifications.md,
//! section 1.2). The imitation checks the token, the time, the signature, the content and the rate of
//! messages. The response to a refused message also has HTTP status 200, as at DingTalk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::routing::post;
use events::Moment;
use infra::channel::dingtalk_robot::sign;
use infra::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The path in the URL to which messages for the robot are sent.
pub const PATH: &str = "/robot/send";
/// Maximum difference between the time in a request and the clock of the robot, in milliseconds: one hour.
const FRESH_MS: i64 = 3_600_000;
/// Maximum number of messages that the robot accepts in any period of one minute.
const PER_MINUTE: usize = 20;
/// If messages arrive too fast, the robot refuses all messages for this time, in milliseconds.
const BLOCKED_MS: i64 = 600_000;
/// Maximum size of the body of a message, in bytes.
const BODY_MAX: usize = 20_000;
/// Maximum number of accepted messages that the robot stores. Tests read the stored messages.
const KEPT_MAX: usize = 10_000;

#[derive(Debug, Default)]
struct Seen {
    times: VecDeque<i64>,
    blocked_until: i64,
    accepted: Vec<Value>,
    refused: Vec<i64>,
}

impl Seen {
    /// Stores an accepted message. Returns the code and the reason of a refusal if the robot is too fast.
    fn admit(&mut self, message: Value, now: i64) -> Result<(), (i64, &'static str)> {
        let too_fast = Err((130_101, "send too fast, exceed 20 times per minute"));
        if now < self.blocked_until {
            return too_fast;
        }
        while self.times.front().is_some_and(|at| at + 60_000 <= now) {
            self.times.pop_front();
        }
        if self.times.len() >= PER_MINUTE {
            self.blocked_until = now + BLOCKED_MS;
            return too_fast;
        }
        self.times.push_back(now);
        if self.accepted.len() < KEPT_MAX {
            self.accepted.push(message);
        }
        Ok(())
    }
}

/// An imitation of a DingTalk robot (a program that posts messages to a chat group). The robot accepts only
/// requests that contain its token and are signed with its secret.
pub struct Robot {
    token: String,
    secret: String,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

impl Robot {
    pub fn new(token: &str, secret: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            token: token.to_owned(),
            secret: secret.to_owned(),
            clock,
            seen: Mutex::default(),
        }
    }

    /// Returns the messages that the robot accepted, in the order of their arrival.
    pub fn accepted(&self) -> Vec<Value> {
        self.seen.lock().expect("no holder panics").accepted.clone()
    }

    /// Returns the codes of the refused messages, in the order of their arrival.
    pub fn refused(&self) -> Vec<i64> {
        self.seen.lock().expect("no holder panics").refused.clone()
    }

    /// Returns the response body for one request. `query` is the part of the URL after the question mark.
    pub fn respond(&self, query: &str, body: &[u8]) -> Value {
        let now = self.clock.now().0;
        let checked = self.check(query, body, now);
        let mut seen = self.seen.lock().expect("no holder panics");
        match checked.and_then(|message| seen.admit(message, now)) {
            Ok(()) => json!({ "errcode": 0, "errmsg": "ok" }),
            Err((code, reason)) => {
                if seen.refused.len() < KEPT_MAX {
                    seen.refused.push(code);
                }
                json!({ "errcode": code, "errmsg": reason })
            }
        }
    }

    fn check(&self, query: &str, body: &[u8], now: i64) -> Result<Value, (i64, &'static str)> {
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(query).map_err(|_| (40_035, "invalid parameters"))?;
        let value = |key: &str| {
            let mut found = pairs.iter().filter(|(name, _)| name == key);
            found
                .next()
                .map(|(_, value)| value.as_str())
                .unwrap_or_default()
        };
        if value("access_token") != self.token {
            return Err((300_001, "token is not exist"));
        }
        let at: i64 = value("timestamp").parse().unwrap_or_default();
        if (now - at).abs() > FRESH_MS {
            return Err((310_000, "invalid timestamp"));
        }
        if value("sign") != sign(&self.secret, Moment(at)) {
            return Err((310_000, "sign not match"));
        }
        if body.len() > BODY_MAX {
            return Err((460_101, "message too long"));
        }
        let message: Value = serde_json::from_slice(body).map_err(|_| (40_035, "invalid JSON"))?;
        let has_content = match message["msgtype"].as_str() {
            Some("text") => message["text"]["content"].is_string(),
            Some("markdown") => {
                message["markdown"]["title"].is_string() && message["markdown"]["text"].is_string()
            }
            Some("link") => message["link"]["messageUrl"].is_string(),
            Some("actionCard") => is_card(&message["actionCard"]),
            _ => return Err((400_105, "unsupported msgtype")),
        };
        if !has_content {
            return Err((40_035, "missing parameter"));
        }
        Ok(message)
    }

    /// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.router()).await
    }

    /// Returns the routes of the imitation. A test adds a layer to them, for example to record the requests.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new().route(PATH, post(handle)).with_state(self)
    }
}

async fn handle(
    State(robot): State<Arc<Robot>>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Json<Value> {
    Json(robot.respond(&query.unwrap_or_default(), &body))
}

/// Returns true if a card has a title, a text, and either one button or a list of buttons.
fn is_card(card: &Value) -> bool {
    let has = |of: &Value, names: [&str; 2]| names.iter().all(|name| of[*name].is_string());
    let buttons = card["btns"].as_array();
    let has_buttons = buttons.is_some_and(|buttons| {
        !buttons.is_empty() && buttons.iter().all(|one| has(one, ["title", "actionURL"]))
    });
    has(card, ["title", "text"]) && (has_buttons || has(card, ["singleTitle", "singleURL"]))
}

#[cfg(test)]
mod tests {
    use infra::clock::ManualClock;

    use super::*;

    const NOW: i64 = 1_577_262_236_757;
    /// A URL query with a correct signature: two other programs computed the same signature
    /// (reference/notifications.md, section 3).
    const SIGNED: &str = "access_token=t&timestamp=1577262236757&sign=5q4b548N312N4pjSdO3kMfu43KzSAjl0odWcLyS2W1s%3D";
    const TEXT: &[u8] = br#"{"msgtype":"text","text":{"content":"x"}}"#;

    fn robot() -> (Robot, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Moment(NOW)));
        (Robot::new("t", "SECthisissecret", clock.clone()), clock)
    }

    #[test]
    fn only_a_fresh_signed_message_is_accepted() {
        let (robot, clock) = robot();
        let code = |query: &str, body: &[u8]| robot.respond(query, body)["errcode"].as_i64();
        assert_eq!(code(SIGNED, TEXT), Some(0));
        assert_eq!(code(&SIGNED.replace("5q4b", "5q4c"), TEXT), Some(310_000));
        assert_eq!(code(&SIGNED.replace("=t&", "=u&"), TEXT), Some(300_001));
        assert_eq!(code("access_token=t", TEXT), Some(310_000));
        assert_eq!(code(SIGNED, b"{"), Some(40_035));
        assert_eq!(code(SIGNED, br#"{"msgtype":"fax"}"#), Some(400_105));
        clock.advance(FRESH_MS + 1);
        assert_eq!(code(SIGNED, TEXT), Some(310_000));
        assert_eq!(robot.accepted().len(), 1);
        let refused = [310_000, 300_001, 310_000, 40_035, 400_105, 310_000];
        assert_eq!(robot.refused(), refused);
    }

    #[test]
    fn a_signature_that_is_encoded_twice_is_refused() {
        let (robot, _) = robot();
        let twice = SIGNED.replace("%3D", "%253D");
        assert_eq!(robot.respond(&twice, TEXT)["errcode"], 310_000);
    }

    #[test]
    fn a_card_needs_buttons_and_a_message_has_a_size_limit() {
        let (robot, _) = robot();
        let code =
            |body: Value| robot.respond(SIGNED, body.to_string().as_bytes())["errcode"].as_i64();
        let card = |card: Value| code(json!({ "msgtype": "actionCard", "actionCard": card }));
        let single = json!({ "title": "a", "text": "b", "singleTitle": "c", "singleURL": "d" });
        assert_eq!(card(single), Some(0));
        let button = json!({ "title": "c", "actionURL": "d" });
        let split = json!({ "title": "a", "text": "b", "btns": [button] });
        assert_eq!(card(split), Some(0));
        assert_eq!(card(json!({ "title": "a", "text": "b" })), Some(40_035));
        assert_eq!(
            card(json!({ "title": "a", "text": "b", "btns": [{}] })),
            Some(40_035)
        );
        let long = json!({ "msgtype": "text", "text": { "content": "x".repeat(BODY_MAX) } });
        assert_eq!(code(long), Some(460_101));
    }

    #[test]
    fn a_robot_that_is_too_fast_is_blocked_for_ten_minutes() {
        let (robot, clock) = robot();
        let code = || robot.respond(SIGNED, TEXT)["errcode"].as_i64();
        for _ in 0..PER_MINUTE {
            assert_eq!(code(), Some(0));
        }
        assert_eq!(code(), Some(130_101));
        clock.advance(BLOCKED_MS - 1);
        assert_eq!(code(), Some(130_101));
        clock.advance(1);
        assert_eq!(code(), Some(0));
    }
}
