//! Imitates the company message bus of BlueKing (CMSI), a component of its enterprise service bus
//! (reference/bk-itsm.md, section 15). The bus looks up the users of a message. If some users are unknown or have no
//! address, the bus sends the message to the other users and nevertheless answers with `result` false. The status is 200.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Uri};
use axum::{Json, Router};
use infra::channel::cmsi::PATH;
use infra::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The name of the header with the credentials.
const AUTHORIZATION: &str = "x-bkapi-authorization";
/// The path of the operations in the version of the bus that clients also use.
const PATH_V2: &str = "/api/c/compapi/v2/cmsi";
/// Maximum number of requests that the bus accepts in any period of one minute.
const PER_MINUTE: usize = 60;
/// Maximum number of accepted messages that the bus stores. Tests read the stored messages.
const KEPT_MAX: usize = 10_000;
/// The types of messages, and the operation of each type.
const TYPES: [(&str, &str); 3] = [
    ("mail", "send_mail"),
    ("sms", "send_sms"),
    ("weixin", "send_weixin"),
];
/// The codes of the bus.
const COMMON: i64 = 1_306_000;
const OPERATOR_REQUIRED: i64 = 1_306_401;
const APP_DENIED: i64 = 1_306_403;
const NOT_FOUND: i64 = 1_306_404;
const ARGUMENT: i64 = 1_306_406;
const RATE_LIMIT: i64 = 1_306_429;

#[derive(Debug, Default)]
struct Seen {
    times: VecDeque<i64>,
    accepted: Vec<Value>,
}

/// An imitation of the company message bus.
pub struct Bus {
    app: String,
    secret: String,
    /// The users of the bus. The value is false for a user without addresses.
    users: BTreeMap<String, bool>,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

/// The code and the text of an error.
type Refusal = (i64, String);

impl Bus {
    /// Creates a bus without messages. Requests must contain the code and the secret of the app. `users` are the users that
    /// the bus knows, and whether they have addresses.
    pub fn new(app: &str, secret: &str, users: &[(&str, bool)], clock: Arc<dyn Clock>) -> Self {
        let users = users.iter();
        Self {
            app: app.to_owned(),
            secret: secret.to_owned(),
            users: users
                .map(|(name, has_address)| ((*name).to_owned(), *has_address))
                .collect(),
            clock,
            seen: Mutex::default(),
        }
    }

    /// Returns the messages that the bus accepted, with `type`, `to`, `title` and `content`, in the order of their arrival.
    pub fn accepted(&self) -> Vec<Value> {
        self.seen.lock().expect("no holder panics").accepted.clone()
    }

    /// Returns the response body for one request. `authorization` is the JSON text in the header of the API gateway, or an
    /// empty text. The parameters are in the query or in a JSON body.
    pub fn respond(&self, path: &str, authorization: &str, query: &str, body: &[u8]) -> Value {
        match self.check(path, authorization, query, body) {
            Ok(answer) => answer,
            Err((code, message)) => {
                json!({ "result": false, "code": code, "data": null, "message": message, "request_id": "r" })
            }
        }
    }

    fn check(
        &self,
        path: &str,
        authorization: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Value, Refusal> {
        let path = path.trim_end_matches('/');
        let operation = [PATH, PATH_V2].iter().find_map(|prefix| {
            let rest = path.strip_prefix(prefix)?;
            rest.strip_prefix('/')
        });
        let operation =
            operation.ok_or_else(|| refusal(NOT_FOUND, "Not found, component class not found"))?;
        let mut given: Value = serde_json::from_slice(body).unwrap_or_default();
        if !given.is_object() {
            let pairs: BTreeMap<String, String> =
                serde_urlencoded::from_str(query).unwrap_or_default();
            given = json!(pairs);
        }
        let header: Value = serde_json::from_str(authorization).unwrap_or_default();
        let credential = |name: &str| {
            let values = [&header[name], &given[name]];
            let found = values.into_iter().find_map(Value::as_str);
            found.unwrap_or_default()
        };
        if credential("bk_app_code") != self.app || credential("bk_app_secret") != self.secret {
            return Err(refusal(
                APP_DENIED,
                "APP permission is insufficient, app_code or app_secret is incorrect",
            ));
        }
        if credential("bk_username").is_empty() {
            return Err(refusal(
                OPERATOR_REQUIRED,
                "You must specify the current operator",
            ));
        }
        self.take()?;
        if operation == "get_msg_type" {
            let types = TYPES.map(
                |(name, _)| json!({ "type": name, "label": name, "is_active": true, "icon": "" }),
            );
            return Ok(
                json!({ "result": true, "code": 0, "message": "OK", "data": types, "request_id": "r" }),
            );
        }
        let msg_type = match operation {
            "send_msg" => required(&given, "msg_type")?,
            other => {
                let mut types = TYPES.iter();
                let found = types.find(|(_, operation)| *operation == other);
                let (name, _) = found
                    .ok_or_else(|| refusal(NOT_FOUND, "Not found, component class not found"))?;
                (*name).to_owned()
            }
        };
        if !TYPES.iter().any(|(name, _)| *name == msg_type) {
            return Err(refusal(COMMON, "Unsupported type of msg type"));
        }
        let (title, content) = match operation {
            "send_sms" => (String::new(), required(&given, "content")?),
            "send_weixin" => (
                required(&given["data"], "heading")?,
                required(&given["data"], "message")?,
            ),
            _ => (required(&given, "title")?, required(&given, "content")?),
        };
        let people = receivers(&given)?;
        let (known, unknown): (Vec<&str>, Vec<&str>) = people
            .iter()
            .map(String::as_str)
            .partition(|name| self.users.contains_key(*name));
        let (reached, unreached): (Vec<&str>, Vec<&str>) = known
            .into_iter()
            .partition(|name| self.users.get(*name).copied().unwrap_or_default());
        let mut reasons = Vec::new();
        for (words, names) in [
            ("are not blueking users", &unknown),
            ("contact format are incorrect", &unreached),
        ] {
            if !names.is_empty() {
                reasons.push(format!("The following users {words}: {}", names.join(",")));
            }
        }
        let reasons = reasons.join(";");
        let invalid = [unknown, unreached].concat();
        let data = json!({ "username_check": { "invalid": invalid } });
        let failed = |message: String| json!({ "result": false, "code": COMMON, "data": data, "message": message, "request_id": "r" });
        if reached.is_empty() {
            return Ok(failed(format!(
                "All users message failed to be sent. {reasons}"
            )));
        }
        let mut seen = self.seen.lock().expect("no holder panics");
        if seen.accepted.len() < KEPT_MAX {
            seen.accepted.push(
                json!({ "type": msg_type, "to": reached, "title": title, "content": content }),
            );
        }
        if reasons.is_empty() {
            return Ok(
                json!({ "result": true, "code": 0, "message": "OK", "data": data, "request_id": "r" }),
            );
        }
        Ok(failed(format!(
            "Some users failed to send {msg_type}. {reasons}"
        )))
    }

    /// Counts one request in the rate limit.
    fn take(&self) -> Result<(), Refusal> {
        let now = self.clock.now().0;
        let mut seen = self.seen.lock().expect("no holder panics");
        while seen.times.front().is_some_and(|at| at + 60_000 <= now) {
            seen.times.pop_front();
        }
        if seen.times.len() >= PER_MINUTE {
            return Err(refusal(RATE_LIMIT, "Access frequency limit"));
        }
        seen.times.push_back(now);
        Ok(())
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

async fn handle(
    State(bus): State<Arc<Bus>>,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Value> {
    let authorization = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    Json(bus.respond(
        uri.path(),
        authorization.unwrap_or_default(),
        &query.unwrap_or_default(),
        &body,
    ))
}

fn refusal(code: i64, message: &str) -> Refusal {
    (code, message.to_owned())
}

fn required(given: &Value, name: &str) -> Result<String, Refusal> {
    let text = given[name].as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned)
        .ok_or_else(|| (ARGUMENT, format!("Parameters error: {name} is required")))
}

/// Returns the users of a message. The value is a list, or a text with commas between the users.
fn receivers(given: &Value) -> Result<Vec<String>, Refusal> {
    let value = &given["receiver__username"];
    if let Some(list) = value.as_array() {
        let names = list.iter().filter_map(Value::as_str);
        return Ok(names.map(str::to_owned).collect());
    }
    let text = required(given, "receiver__username")?;
    Ok(text.split(',').map(|name| name.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use events::Moment;
    use infra::clock::ManualClock;

    use super::*;

    fn bus() -> (Bus, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Moment(1_000)));
        let users = [("lisi", true), ("wangwu", true), ("zhaoliu", false)];
        (Bus::new("app", "s3cret", &users, clock.clone()), clock)
    }

    fn request(members: &Value) -> Vec<u8> {
        let mut body = json!({
            "bk_app_code": "app", "bk_app_secret": "s3cret", "bk_username": "admin",
            "msg_type": "mail", "receiver__username": "lisi", "title": "t", "content": "c",
        });
        for (name, value) in members.as_object().into_iter().flatten() {
            body[name.as_str()] = value.clone();
        }
        body.to_string().into_bytes()
    }

    #[test]
    fn each_request_is_checked() {
        let (bus, _) = bus();
        for (operation, members, expected) in [
            ("send_msg", json!({}), 0),
            ("send_mail", json!({}), 0),
            ("send_sms", json!({ "title": null }), 0),
            (
                "send_weixin",
                json!({ "data": { "heading": "h", "message": "m" } }),
                0,
            ),
            ("get_msg_type", json!({}), 0),
            ("send_msg", json!({ "bk_app_secret": "x" }), APP_DENIED),
            ("send_msg", json!({ "bk_username": "" }), OPERATOR_REQUIRED),
            ("send_msg", json!({ "msg_type": "fax" }), COMMON),
            ("send_msg", json!({ "msg_type": "" }), ARGUMENT),
            ("send_msg", json!({ "title": "" }), ARGUMENT),
            ("send_weixin", json!({}), ARGUMENT),
            ("send_msg", json!({ "receiver__username": "" }), ARGUMENT),
            ("send_fax", json!({}), NOT_FOUND),
        ] {
            let path = format!("{PATH}/{operation}/");
            let answer = bus.respond(&path, "", "", &request(&members));
            assert_eq!(answer["code"], expected, "{operation} {members}: {answer}");
            assert_eq!(
                answer["result"],
                expected == 0,
                "{operation} {members}: {answer}"
            );
        }
        let header = r#"{"bk_app_code":"app","bk_app_secret":"s3cret","bk_username":"admin"}"#;
        let answer = bus.respond(&format!("{PATH_V2}/get_msg_type"), header, "a=b", b"");
        assert_eq!(answer["data"][1]["type"], "sms", "{answer}");
        let answer = bus.respond("/other", header, "", b"");
        assert_eq!(answer["code"], NOT_FOUND);
        assert_eq!(bus.accepted().len(), 4);
    }

    #[test]
    fn users_without_an_address_are_named() {
        let (bus, _) = bus();
        let send = |to: Value| {
            let body = request(&json!({ "receiver__username": to }));
            bus.respond(&format!("{PATH}/send_msg/"), "", "", &body)
        };
        let answer = send(json!("lisi,ghost,zhaoliu"));
        assert_eq!(
            answer["message"],
            "Some users failed to send mail. The following users are not blueking users: ghost;The following users contact format are incorrect: zhaoliu"
        );
        assert_eq!(
            answer["data"]["username_check"]["invalid"],
            json!(["ghost", "zhaoliu"])
        );
        assert_eq!(bus.accepted()[0]["to"], json!(["lisi"]));
        let answer = send(json!(["ghost"]));
        assert_eq!(answer["result"], false);
        assert_eq!(bus.accepted().len(), 1);
    }

    #[test]
    fn the_rate_is_limited() {
        let (bus, clock) = bus();
        let code = || {
            let path = format!("{PATH}/send_msg/");
            bus.respond(&path, "", "", &request(&json!({})))["code"].as_i64()
        };
        for _ in 0..PER_MINUTE {
            assert_eq!(code(), Some(0));
        }
        assert_eq!(code(), Some(RATE_LIMIT));
        clock.advance(60_000);
        assert_eq!(code(), Some(0));
    }
}
