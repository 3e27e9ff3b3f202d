//! Imitates gateways for short messages (reference/notifications.md, section 1.8): the API of Twilio with its test numbers,
//! the API of Alibaba Cloud for templates, and a custom gateway with signed JSON. Each one checks credentials, phone numbers,
//! the size and the rate of messages.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use infra::channel::sms::{body_signature, segments, sign, signed_text};
use infra::clock::Clock;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The account and the sender of the imitated Twilio. The sender is the test number of Twilio that accepts messages.
pub const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
pub const FROM: &str = "+15005550006";
/// The key, the signature and the template of the imitated Alibaba Cloud. The template has the variables [`VARIABLES`].
pub const ACCESS_KEY_ID: &str = "testId";
pub const SIGN_NAME: &str = "服务台";
pub const TEMPLATE_CODE: &str = "SMS_71390007";
pub const VARIABLES: [&str; 2] = ["sn", "title"];
/// The path of the custom gateway.
pub const CUSTOM: &str = "/custom/send";

/// Maximum number of messages that Twilio accepts within one second.
const PER_SECOND: usize = 10;
/// Maximum number of characters in a message of Twilio.
const BODY_MAX: usize = 1_600;
/// Maximum number of messages that Alibaba Cloud accepts for one phone number within one day.
const PER_DAY: usize = 40;
const DAY_MS: i64 = 86_400_000;
/// Maximum number of characters in a value of a template.
const PARAM_MAX: usize = 35;
/// Maximum difference between the time in a request and the clock of Alibaba Cloud, in milliseconds: 15 minutes.
const FRESH_MS: i64 = 900_000;
/// Maximum difference between the time in a request and the clock of the custom gateway, in milliseconds.
const CUSTOM_FRESH_MS: i64 = 300_000;
/// Maximum number of accepted messages, of nonces and of phone numbers that the imitation stores.
const KEPT_MAX: usize = 10_000;

#[derive(Debug, Default)]
struct Seen {
    /// The times of the last messages of Twilio.
    times: VecDeque<i64>,
    /// The times and the nonces of the last requests to Alibaba Cloud.
    nonces: VecDeque<(i64, String)>,
    /// The times of the last messages of Alibaba Cloud for each phone number.
    numbers: BTreeMap<String, VecDeque<i64>>,
    accepted: Vec<Value>,
}

impl Seen {
    fn accept(&mut self, message: Value) {
        if self.accepted.len() < KEPT_MAX {
            self.accepted.push(message);
        }
    }
}

/// An imitation of gateways for short messages.
pub struct Gateway {
    secret: String,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

/// The status and the body of a response.
type Answer = (u16, Value);

impl Gateway {
    /// Creates gateways without messages. `secret` is the token of Twilio, the secret of the key of Alibaba Cloud, and the
    /// key of the custom gateway.
    pub fn new(secret: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            secret: secret.to_owned(),
            clock,
            seen: Mutex::default(),
        }
    }

    /// Returns the messages that the gateways accepted, with `to` and `text` or `params`, in the order of their arrival.
    pub fn accepted(&self) -> Vec<Value> {
        self.seen().accepted.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    /// Returns the response of Twilio to one request. `sid` is the account in the path, and `body` is a form.
    pub fn twilio(&self, authorization: &str, sid: &str, body: &[u8]) -> Answer {
        let credentials = STANDARD.encode(format!("{ACCOUNT_SID}:{}", self.secret));
        if authorization != format!("Basic {credentials}") {
            return error(401, 20_003, "Authenticate");
        }
        if sid != ACCOUNT_SID {
            let reason = format!("The requested resource /2010-04-01/Accounts/{sid} was not found");
            return error(404, 20_404, &reason);
        }
        let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
        let (to, from, text) = (
            value(&pairs, "To"),
            value(&pairs, "From"),
            value(&pairs, "Body"),
        );
        if to.is_empty() {
            return error(400, 21_604, "A 'To' phone number is required.");
        }
        if text.is_empty() {
            return error(400, 21_602, "Message body is required.");
        }
        if text.chars().count() > BODY_MAX {
            let reason = "The concatenated message body exceeds the 1600 character limit";
            return error(400, 21_617, reason);
        }
        match from {
            FROM => {}
            "" => return error(400, 21_603, "A 'From' phone number is required."),
            "+15005550001" => return error(400, 21_212, "The 'From' number is not valid"),
            "+15005550008" => {
                return error(400, 21_611, "This 'From' number has exceeded its queue");
            }
            _ => {
                let reason = format!("The 'From' phone number {from} is not a valid sender");
                return error(400, 21_606, &reason);
            }
        }
        let refused = match to {
            "+15005550001" => Some((21_211, "is not a valid phone number")),
            "+15005550002" => Some((21_612, "is not reachable")),
            "+15005550004" => Some((21_610, "has replied with STOP")),
            "+15005550009" => Some((21_614, "is not a mobile number")),
            to if !is_e164(to) => Some((21_211, "is not a valid phone number")),
            _ => None,
        };
        if let Some((code, reason)) = refused {
            return error(400, code, &format!("The 'To' number {to} {reason}."));
        }
        let now = self.clock.now().0;
        let mut seen = self.seen();
        while seen.times.front().is_some_and(|at| at + 1_000 <= now) {
            seen.times.pop_front();
        }
        if seen.times.len() >= PER_SECOND {
            return error(429, 20_429, "Too Many Requests");
        }
        seen.times.push_back(now);
        let id = format!("SM{:032x}", seen.accepted.len() + 1);
        seen.accept(json!({ "gateway": "twilio", "id": id, "to": to, "text": text }));
        let time = Timestamp::from_millisecond(now).unwrap_or_default();
        let time = time.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
        let message = json!({
            "sid": id, "account_sid": ACCOUNT_SID, "to": to, "from": from, "body": text,
            "status": "queued", "error_code": null, "error_message": null,
            "num_segments": segments(text).segments.to_string(), "num_media": "0",
            "date_created": time, "date_updated": time, "date_sent": null,
            "direction": "outbound-api", "price": null, "price_unit": "USD",
            "api_version": "2010-04-01", "messaging_service_sid": null, "subresource_uris": {},
            "uri": format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{id}.json"),
        });
        (201, message)
    }

    /// Returns the response of Alibaba Cloud to one request. The parameters are in the query, in a form, or in both.
    pub fn template(&self, method: &str, query: &str, body: &[u8]) -> Answer {
        let now = self.clock.now().0;
        let mut pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(query).unwrap_or_default();
        let form: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
        pairs.extend(form);
        if value(&pairs, "AccessKeyId") != ACCESS_KEY_ID {
            let reason = "Specified access key is not found.";
            return refusal(404, "InvalidAccessKeyId.NotFound", reason);
        }
        let at = value(&pairs, "Timestamp").parse::<Timestamp>();
        let at = at.map_or(i64::MIN, Timestamp::as_millisecond);
        if now.abs_diff(at) > FRESH_MS.unsigned_abs() {
            let reason = "Specified time stamp or date value is expired.";
            return refusal(400, "InvalidTimeStamp.Expired", reason);
        }
        let signed: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        if value(&pairs, "Signature") != sign(method, &signed, &self.secret) {
            // The core library of Alibaba Cloud for Python fails with an IndexError if the text has no colon.
            let reason = format!(
                "Specified signature is not matched with our calculation. server string to sign is:{}",
                signed_text(method, &signed)
            );
            return refusal(400, "SignatureDoesNotMatch", &reason);
        }
        let mut seen = self.seen();
        let nonce = value(&pairs, "SignatureNonce");
        while seen
            .nonces
            .front()
            .is_some_and(|(at, _)| at + 2 * FRESH_MS < now)
        {
            seen.nonces.pop_front();
        }
        if seen.nonces.iter().any(|(_, used)| used == nonce) {
            let reason = "Specified signature nonce was used already.";
            return refusal(400, "SignatureNonceUsed", reason);
        }
        if seen.nonces.len() >= KEPT_MAX {
            seen.nonces.pop_front();
        }
        seen.nonces.push_back((now, nonce.to_owned()));
        let to = value(&pairs, "PhoneNumbers");
        let params = match checked_params(&pairs) {
            Ok(params) => params,
            Err((code, reason)) => return refusal(200, code, reason),
        };
        if seen.numbers.len() >= KEPT_MAX {
            seen.numbers.pop_first();
        }
        let times = seen.numbers.entry(to.to_owned()).or_default();
        while times.front().is_some_and(|at| at + DAY_MS <= now) {
            times.pop_front();
        }
        if times.len() >= PER_DAY {
            let reason = format!("触发天级流控Permits:{PER_DAY}");
            return refusal(200, "isv.BUSINESS_LIMIT_CONTROL", &reason);
        }
        times.push_back(now);
        let id = format!("{}^0", seen.accepted.len() + 1);
        seen.accept(json!({ "gateway": "template", "id": id, "to": to, "params": params }));
        let answer = json!({ "Code": "OK", "Message": "OK", "BizId": id, "RequestId": "r" });
        (200, answer)
    }

    /// Returns the response of the custom gateway to one request. The status is always 200.
    pub fn custom(&self, time: &str, signature: &str, body: &[u8]) -> Value {
        let answer = |code: &str, id: &str, text: &str| json!({ "result": { "code": code, "id": id, "text": text } });
        let at = time
            .parse::<i64>()
            .unwrap_or_default()
            .saturating_mul(1_000);
        let is_fresh = self.clock.now().0.abs_diff(at) <= CUSTOM_FRESH_MS.unsigned_abs();
        if !is_fresh || signature != body_signature(&self.secret, time, body) {
            return answer("E401", "", "wrong signature or time");
        }
        let message: Value = serde_json::from_slice(body).unwrap_or_default();
        let (Some(to), Some(text)) = (message["to"].as_str(), message["text"].as_str()) else {
            return answer("E400", "", "missing member");
        };
        if !is_e164(to) {
            return answer("E404", "", "unknown number");
        }
        let mut seen = self.seen();
        let id = format!("C{}", seen.accepted.len() + 1);
        seen.accept(json!({ "gateway": "custom", "id": id, "to": to, "text": text }));
        answer("0", &id, "")
    }

    /// Responds to all HTTP requests that arrive at `listener`. The function runs until its task is aborted.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        axum::serve(listener, self.router()).await
    }

    /// Returns the routes of the imitation. A test adds a layer to them, for example to record the requests.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/2010-04-01/Accounts/{sid}/Messages.json", post(twilio))
            .route(CUSTOM, post(custom))
            .route("/", any(template))
            .with_state(self)
    }
}

/// Returns a header of a request, or an empty text.
fn given<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

async fn twilio(
    State(gateway): State<Arc<Gateway>>,
    Path(sid): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = given(&headers, header::AUTHORIZATION.as_str());
    response(gateway.twilio(authorization, &sid, &body))
}

async fn template(
    State(gateway): State<Arc<Gateway>>,
    method: Method,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    response(gateway.template(method.as_str(), &query.unwrap_or_default(), &body))
}

async fn custom(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Value> {
    let (time, signature) = (
        given(&headers, "x-timestamp"),
        given(&headers, "x-signature"),
    );
    Json(gateway.custom(time, signature, &body))
}

fn response((status, body): Answer) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if code == StatusCode::TOO_MANY_REQUESTS {
        return (code, [(header::RETRY_AFTER, "1")], Json(body)).into_response();
    }
    (code, Json(body)).into_response()
}

/// Returns an error of Twilio.
fn error(status: u16, code: i64, message: &str) -> Answer {
    let more = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({ "code": code, "message": message, "more_info": more, "status": status });
    (status, body)
}

/// Returns an error of Alibaba Cloud.
fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({ "Code": code, "Message": message, "RequestId": "r" });
    (status, body)
}

/// Returns the first value of a parameter, or an empty text.
fn value<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
    let found = pairs.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str()).unwrap_or_default()
}

/// Checks the parameters of SendSms. Returns the values of the template, or the code and the text of an error.
fn checked_params(pairs: &[(String, String)]) -> Result<Value, (&'static str, &'static str)> {
    let to = value(pairs, "PhoneNumbers");
    let is_number = to.bytes().all(|byte| byte.is_ascii_digit());
    if value(pairs, "Action") != "SendSms" {
        return Err(("isv.INVALID_PARAMETERS", "unknown action"));
    }
    if !is_number || !(8..=15).contains(&to.len()) || to.len() == 11 && !to.starts_with('1') {
        return Err(("isv.MOBILE_NUMBER_ILLEGAL", "非法手机号"));
    }
    if value(pairs, "SignName") != SIGN_NAME {
        return Err(("isv.SMS_SIGNATURE_ILLEGAL", "短信签名不合法"));
    }
    if value(pairs, "TemplateCode") != TEMPLATE_CODE {
        return Err(("isv.SMS_TEMPLATE_ILLEGAL", "短信模版不合法"));
    }
    let params: Value = serde_json::from_str(value(pairs, "TemplateParam")).unwrap_or_default();
    if !params.is_object() {
        return Err(("isv.INVALID_JSON_PARAM", "参数格式错误"));
    }
    for name in VARIABLES {
        let Some(text) = params[name].as_str() else {
            return Err(("isv.TEMPLATE_MISSING_PARAMETERS", "模版缺少变量"));
        };
        if text.contains("://") || text.contains("www.") {
            return Err(("isv.PARAM_NOT_SUPPORT_URL", "变量不支持传入URL"));
        }
        if text.chars().count() > PARAM_MAX {
            return Err(("isv.PARAM_LENGTH_LIMIT", "参数超过长度限制"));
        }
    }
    Ok(params)
}

fn is_e164(to: &str) -> bool {
    let digits = to.strip_prefix('+').unwrap_or_default();
    (8..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

#[cfg(test)]
mod tests {
    use events::Moment;
    use infra::clock::ManualClock;

    use super::*;

    const SECRET: &str = "secret";
    const NOW: i64 = 1_577_262_236_757;

    fn gateway() -> (Gateway, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Moment(NOW)));
        (Gateway::new(SECRET, clock.clone()), clock)
    }

    fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    fn form(pairs: &[(&str, &str)]) -> String {
        serde_urlencoded::to_string(pairs).unwrap()
    }

    #[test]
    fn twilio_checks_credentials_numbers_and_size() {
        let (gateway, _) = gateway();
        let code = |authorization: &str, to: &str, from: &str, text: &str| {
            let body = form(&[("To", to), ("From", from), ("Body", text)]);
            let (status, body) = gateway.twilio(authorization, ACCOUNT_SID, body.as_bytes());
            (status, body["code"].as_i64().unwrap_or_default())
        };
        let right = basic(ACCOUNT_SID, SECRET);
        assert_eq!(code(&right, "+8613800000000", FROM, "x"), (201, 0));
        assert_eq!(
            code(&basic(ACCOUNT_SID, "x"), "+8613800000000", FROM, "x"),
            (401, 20_003)
        );
        assert_eq!(code("", "+8613800000000", FROM, "x"), (401, 20_003));
        for (to, from, expected) in [
            ("", FROM, 21_604),
            ("138", FROM, 21_211),
            ("+15005550001", FROM, 21_211),
            ("+15005550002", FROM, 21_612),
            ("+15005550004", FROM, 21_610),
            ("+15005550009", FROM, 21_614),
            ("+8613800000000", "", 21_603),
            ("+8613800000000", "+15005550001", 21_212),
            ("+8613800000000", "+15005550007", 21_606),
            ("+8613800000000", "+15005550008", 21_611),
        ] {
            assert_eq!(code(&right, to, from, "x"), (400, expected), "{to} {from}");
        }
        assert_eq!(code(&right, "+8613800000000", FROM, ""), (400, 21_602));
        let long = "x".repeat(BODY_MAX + 1);
        assert_eq!(code(&right, "+8613800000000", FROM, &long), (400, 21_617));
        let (status, _) = gateway.twilio(&right, "AC1", b"");
        assert_eq!(status, 404);
        assert_eq!(gateway.accepted().len(), 1);
        assert_eq!(gateway.accepted()[0]["to"], "+8613800000000");
    }

    #[test]
    fn twilio_accepts_ten_messages_in_a_second() {
        let (gateway, clock) = gateway();
        let body = form(&[("To", "+8613800000000"), ("From", FROM), ("Body", "x")]);
        let status = || {
            let right = basic(ACCOUNT_SID, SECRET);
            gateway.twilio(&right, ACCOUNT_SID, body.as_bytes()).0
        };
        for _ in 0..PER_SECOND {
            assert_eq!(status(), 201);
        }
        assert_eq!(status(), 429);
        clock.advance(1_000);
        assert_eq!(status(), 201);
    }

    /// Returns a signed request for a template, with some parameters replaced. An empty text removes a parameter.
    fn signed(nonce: &str, changed: &[(&str, &str)]) -> String {
        let mut pairs = vec![
            ("AccessKeyId", ACCESS_KEY_ID),
            ("Action", "SendSms"),
            ("PhoneNumbers", "13800000000"),
            ("SignName", SIGN_NAME),
            ("SignatureNonce", nonce),
            ("TemplateCode", TEMPLATE_CODE),
            ("TemplateParam", r#"{"sn":"REQ1","title":"t"}"#),
            ("Timestamp", "2019-12-25T08:23:56Z"),
        ];
        for (name, value) in changed {
            pairs.retain(|(known, _)| known != name);
            pairs.push((*name, *value));
        }
        let signature = sign("POST", &pairs, SECRET);
        pairs.push(("Signature", signature.as_str()));
        form(&pairs)
    }

    #[test]
    fn alibaba_cloud_checks_the_signature_and_the_template() {
        let (gateway, clock) = gateway();
        let code = |body: &str| {
            let (status, body) = gateway.template("POST", "", body.as_bytes());
            (status, body["Code"].as_str().unwrap_or_default().to_owned())
        };
        let first = signed("1", &[]);
        assert_eq!(code(&first), (200, "OK".into()));
        assert_eq!(code(&first), (400, "SignatureNonceUsed".into()));
        let wrong = signed("2", &[]).replace("REQ1", "REQ2");
        assert_eq!(code(&wrong), (400, "SignatureDoesNotMatch".into()));
        let unknown = signed("3", &[("AccessKeyId", "x")]);
        assert_eq!(code(&unknown), (404, "InvalidAccessKeyId.NotFound".into()));
        for (at, (name, value, expected)) in [
            ("PhoneNumbers", "23800000000", "isv.MOBILE_NUMBER_ILLEGAL"),
            (
                "PhoneNumbers",
                "+8613800000000",
                "isv.MOBILE_NUMBER_ILLEGAL",
            ),
            ("SignName", "x", "isv.SMS_SIGNATURE_ILLEGAL"),
            ("TemplateCode", "SMS_1", "isv.SMS_TEMPLATE_ILLEGAL"),
            ("TemplateParam", "x", "isv.INVALID_JSON_PARAM"),
            (
                "TemplateParam",
                r#"{"sn":"1"}"#,
                "isv.TEMPLATE_MISSING_PARAMETERS",
            ),
            (
                "TemplateParam",
                r#"{"sn":"1","title":"https://x"}"#,
                "isv.PARAM_NOT_SUPPORT_URL",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let body = signed(&format!("n{at}"), &[(name, value)]);
            assert_eq!(code(&body), (200, expected.into()), "{value}");
        }
        let long = json!({ "sn": "1", "title": "字".repeat(PARAM_MAX + 1) }).to_string();
        let body = signed("4", &[("TemplateParam", &long)]);
        assert_eq!(code(&body), (200, "isv.PARAM_LENGTH_LIMIT".into()));
        for at in 1..PER_DAY {
            assert_eq!(code(&signed(&format!("d{at}"), &[])), (200, "OK".into()));
        }
        let limited = signed("5", &[]);
        assert_eq!(code(&limited), (200, "isv.BUSINESS_LIMIT_CONTROL".into()));
        clock.advance(FRESH_MS + 1);
        assert_eq!(
            code(&signed("6", &[])),
            (400, "InvalidTimeStamp.Expired".into())
        );
        assert_eq!(gateway.accepted().len(), PER_DAY);
    }

    #[test]
    fn the_custom_gateway_checks_the_signature_and_the_time() {
        let (gateway, clock) = gateway();
        let body = br#"{"to":"+8613800000000","text":"x"}"#;
        let time = (NOW / 1_000).to_string();
        let code = |time: &str, body: &[u8]| {
            let signature = body_signature(SECRET, time, body);
            let answer = gateway.custom(time, &signature, body);
            answer["result"]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        assert_eq!(code(&time, body), "0");
        assert_eq!(code(&time, b"{}"), "E400");
        assert_eq!(code(&time, br#"{"to":"1","text":"x"}"#), "E404");
        let wrong = gateway.custom(&time, "00", body);
        assert_eq!(wrong["result"]["code"], "E401");
        clock.advance(CUSTOM_FRESH_MS + 1_000);
        assert_eq!(code(&time, body), "E401");
        assert_eq!(gateway.accepted().len(), 1);
    }
}
