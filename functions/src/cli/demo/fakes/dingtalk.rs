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

    /// Returns the response body for one request. `query` is the part of the URL after the question mark.
    pub fn respond(&self, query: &str, body: &[u8]) -> Value {
        let now = self.clock.now().0;
        match self.check(query, body, now) {
            Ok(message) => {
                let mut seen = self.seen.lock().expect("no holder panics");
                if now < seen.blocked_until {
                    return refusal(130_101, "send too fast, exceed 20 times per minute");
                }
                while seen.times.front().is_some_and(|at| at + 60_000 <= now) {
                    seen.times.pop_front();
                }
                if seen.times.len() >= PER_MINUTE {
                    seen.blocked_until = now + BLOCKED_MS;
                    return refusal(130_101, "send too fast, exceed 20 times per minute");
                }
                seen.times.push_back(now);
                if seen.accepted.len() < KEPT_MAX {
                    seen.accepted.push(message);
                }
                json!({ "errcode": 0, "errmsg": "ok" })
            }
            Err((code, reason)) => refusal(code, reason),
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
            _ => return Err((400_105, "unsupported msgtype")),
        };
        if !has_content {
            return Err((40_035, "missing parameter"));
        }
        Ok(message)
    }

    /// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        let router = Router::new().route(PATH, post(handle)).with_state(self);
        axum::serve(listener, router).await
    }
}

async fn handle(
    State(robot): State<Arc<Robot>>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Json<Value> {
    Json(robot.respond(&query.unwrap_or_default(), &body))
}

fn refusal(code: i64, reason: &str) -> Value {
    json!({ "errcode": code, "errmsg": reason })
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
