//! Imitates Firebase Cloud Messaging, FCM (reference/notifications.md, section 1.7), with the server that issues access
//! tokens. The imitation checks the signature and the time of the request for a token, the access token, the form and the
//! size of a message, the state of the device, and the quota of the project.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use infra::channel::fcm::Identity;
use infra::channel::push::{Algorithm, PAYLOAD_BYTES_MAX, verified};
use infra::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The path of the server that issues access tokens.
pub const TOKEN_PATH: &str = "/token";
/// The grant type of a request for an access token (RFC 7523, section 2.1).
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The permissions with which a client can send messages. One of them is enough.
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
];
/// The lifetime of an access token, in seconds.
const TOKEN_S: i64 = 3_599;
/// Maximum lifetime of a request for an access token, in seconds.
const ASSERTION_S_MAX: i64 = 3_600;
/// Maximum difference between the clock of a client and the clock of the imitation, in seconds.
const SKEW_S: i64 = 300;
/// Maximum number of messages of a project in one minute.
const PER_MINUTE: u32 = 600_000;
/// Maximum number of accepted messages, of devices, of tokens and of planned failures that the imitation stores.
const KEPT_MAX: usize = 10_000;
/// The members of a message that the imitation knows.
const MEMBERS: [&str; 9] = [
    "name",
    "token",
    "notification",
    "data",
    "android",
    "apns",
    "webpush",
    "fcm_options",
    "fcmOptions",
];

/// The state of a device at FCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Registered,
    /// The app was removed from the device.
    Unregistered,
    /// The device belongs to the project of another sender.
    OfOtherSender,
    /// The device is from Apple, and the project has no valid key for APNs.
    WithoutApnsKey,
}

/// The response to one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    /// The value of the header `Retry-After`, in seconds.
    pub retry_after: Option<i64>,
    pub body: Value,
}

#[derive(Debug, Default)]
struct Seen {
    /// The access tokens with the times at which they expire, in milliseconds.
    tokens: VecDeque<(String, i64)>,
    issued: u64,
    devices: BTreeMap<String, Device>,
    /// The number of the current minute, and the number of messages in it.
    minute: (i64, u32),
    planned: VecDeque<u16>,
    accepted: Vec<Value>,
}

/// An imitation of FCM for one project with one service account.
pub struct Fcm {
    identity: Identity,
    per_minute: u32,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

impl Fcm {
    /// Creates an imitation without devices. It accepts only requests of the service account `identity`.
    pub fn new(identity: Identity, clock: Arc<dyn Clock>) -> Self {
        Self {
            identity,
            per_minute: PER_MINUTE,
            clock,
            seen: Mutex::default(),
        }
    }

    /// Returns the imitation with another quota: the maximum number of messages in one minute.
    #[must_use]
    pub fn with_per_minute(mut self, per_minute: u32) -> Self {
        self.per_minute = per_minute;
        self
    }

    /// Sets the state of the device with the given registration token.
    pub fn set(&self, token: &str, device: Device) {
        let mut seen = self.seen();
        if seen.devices.len() < KEPT_MAX {
            seen.devices.insert(token.to_owned(), device);
        }
    }

    /// Plans a failure: the next message gets a response with this HTTP status, which is 500 or 503.
    pub fn plan(&self, status: u16) {
        let mut seen = self.seen();
        if seen.planned.len() < KEPT_MAX {
            seen.planned.push_back(status);
        }
    }

    /// Removes all access tokens, as Google does if a key is deleted.
    pub fn revoke_tokens(&self) {
        self.seen().tokens.clear();
    }

    /// Returns the number of access tokens that the imitation issued.
    pub fn issued(&self) -> u64 {
        self.seen().issued
    }

    /// Returns the messages that the imitation accepted, in the order of their arrival.
    pub fn accepted(&self) -> Vec<Value> {
        self.seen().accepted.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    /// Returns the response to one POST request. `authorization` is the header with this name, or an empty text.
    pub fn respond(&self, path: &str, authorization: &str, body: &[u8]) -> Reply {
        if path == TOKEN_PATH {
            return self.issue(body).unwrap_or_else(|reply| reply);
        }
        let project = path
            .strip_prefix("/v1/projects/")
            .and_then(|rest| rest.strip_suffix("/messages:send"));
        match project {
            Some(project) => self
                .send(project, authorization, body)
                .unwrap_or_else(|reply| reply),
            None => refusal(404, "NOT_FOUND", "", "The requested URL was not found."),
        }
    }

    /// Issues an access token for a signed request (RFC 7523).
    fn issue(&self, body: &[u8]) -> Result<Reply, Reply> {
        let pairs: BTreeMap<String, String> = serde_urlencoded::from_bytes(body)
            .map_err(|_| token_refusal("invalid_request", "Bad form"))?;
        let pair = |key: &str| pairs.get(key).map(String::as_str).unwrap_or_default();
        if pair("grant_type") != GRANT_TYPE {
            let reason = "Invalid grant_type";
            return Err(token_refusal("unsupported_grant_type", reason));
        }
        let invalid = |reason| token_refusal("invalid_grant", reason);
        let key = &self.identity.public_key;
        let jwt = verified(pair("assertion"), Algorithm::Rs256, key)
            .ok_or_else(|| invalid("Invalid JWT Signature."))?;
        let text = |key: &str| jwt.claims[key].as_str().unwrap_or_default();
        let number = |key: &str| jwt.claims[key].as_i64().unwrap_or_default();
        if text("iss") != self.identity.email {
            return Err(invalid("Invalid grant: account not found"));
        }
        if !text("aud").ends_with(TOKEN_PATH) {
            return Err(invalid("Invalid JWT: Failed audience check."));
        }
        let now = self.clock.now().0.div_euclid(1_000);
        let (from, until) = (number("iat"), number("exp"));
        let is_fresh = from <= now + SKEW_S && until > now - SKEW_S;
        if !is_fresh || until.saturating_sub(from) > ASSERTION_S_MAX {
            let reason = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.";
            return Err(invalid(reason));
        }
        if !text("scope")
            .split(' ')
            .any(|scope| SCOPES.contains(&scope))
        {
            let reason = "Invalid OAuth scope or ID token audience provided.";
            return Err(token_refusal("invalid_scope", reason));
        }
        let mut seen = self.seen();
        seen.issued += 1;
        let token = format!("ya29.imitation-{}", seen.issued);
        if seen.tokens.len() >= KEPT_MAX {
            seen.tokens.pop_front();
        }
        seen.tokens
            .push_back((token.clone(), (now + TOKEN_S) * 1_000));
        Ok(Reply {
            status: 200,
            retry_after: None,
            body: json!({
                "access_token": token,
                "expires_in": TOKEN_S,
                "token_type": "Bearer",
            }),
        })
    }

    fn send(&self, project: &str, authorization: &str, body: &[u8]) -> Result<Reply, Reply> {
        let now = self.clock.now().0;
        let mut seen = self.seen();
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        let is_valid = |(known, expires): &(String, i64)| known == token && now < *expires;
        if !seen.tokens.iter().any(is_valid) {
            let reason = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.";
            return Err(refusal(401, "UNAUTHENTICATED", "", reason));
        }
        if project != self.identity.project {
            let reason = format!("Permission denied on resource project {project}.");
            return Err(refusal(403, "PERMISSION_DENIED", "", &reason));
        }
        let message = message(body)?;
        let minute = now.div_euclid(60_000);
        if seen.minute.0 != minute {
            seen.minute = (minute, 0);
        }
        if seen.minute.1 >= self.per_minute {
            let reason = "Quota exceeded for quota metric 'Messages' per minute.";
            let rest = 60 - now.rem_euclid(60_000) / 1_000;
            return Err(Reply {
                retry_after: Some(rest),
                ..refusal(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", reason)
            });
        }
        seen.minute.1 += 1;
        match seen.planned.pop_front() {
            None => {}
            Some(503) => {
                let reason = "The service is currently unavailable.";
                return Err(refusal(503, "UNAVAILABLE", "UNAVAILABLE", reason));
            }
            Some(status) => {
                let reason = "Internal error encountered.";
                return Err(refusal(status, "INTERNAL", "INTERNAL", reason));
            }
        }
        let device = message["token"].as_str().unwrap_or_default();
        match seen.devices.get(device) {
            None => {
                let reason = "The registration token is not a valid FCM registration token";
                return Err(argument(reason));
            }
            Some(Device::Unregistered) => {
                let reason = "Requested entity was not found.";
                return Err(refusal(404, "NOT_FOUND", "UNREGISTERED", reason));
            }
            Some(Device::OfOtherSender) => {
                let code = "SENDER_ID_MISMATCH";
                return Err(refusal(403, "PERMISSION_DENIED", code, "SenderId mismatch"));
            }
            Some(Device::WithoutApnsKey) => {
                let reason = "Auth error from APNS or Web Push Service";
                let code = "THIRD_PARTY_AUTH_ERROR";
                return Err(refusal(401, "UNAUTHENTICATED", code, reason));
            }
            Some(Device::Registered) => {}
        }
        let number = seen.accepted.len();
        if number < KEPT_MAX {
            seen.accepted.push(message);
        }
        Ok(Reply {
            status: 200,
            retry_after: None,
            body: json!({ "name": format!("projects/{project}/messages/0:{number}") }),
        })
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
    State(fcm): State<Arc<Fcm>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let reply = fcm.respond(uri.path(), authorization.unwrap_or_default(), &body);
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(reply.body)).into_response();
    if let Some(seconds) = reply.retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Reads and checks the message in a request.
fn message(body: &[u8]) -> Result<Value, Reply> {
    let body_json: Value = serde_json::from_slice(body).map_err(|_| {
        refusal(
            400,
            "INVALID_ARGUMENT",
            "",
            "Invalid JSON payload received.",
        )
    })?;
    let Some(message) = body_json["message"].as_object() else {
        return Err(refusal(
            400,
            "INVALID_ARGUMENT",
            "",
            "Request is missing `message`.",
        ));
    };
    if let Some(unknown) = message.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
        let reason = format!(
            "Invalid JSON payload received. Unknown name \"{unknown}\" at 'message': Cannot find field."
        );
        return Err(refusal(400, "INVALID_ARGUMENT", "", &reason));
    }
    let data = message.get("data").and_then(Value::as_object);
    for (key, value) in data.into_iter().flatten() {
        if !value.is_string() {
            let reason =
                format!("Invalid value at 'message.data[\"{key}\"]' (TYPE_STRING), {value}");
            return Err(refusal(400, "INVALID_ARGUMENT", "", &reason));
        }
    }
    let priority = body_json["message"]["android"]["priority"].as_str();
    if priority
        .is_some_and(|priority| !matches!(priority.to_uppercase().as_str(), "HIGH" | "NORMAL"))
    {
        let reason = "Invalid value at 'message.android.priority' (type.googleapis.com/google.firebase.fcm.v1.AndroidMessagePriority)";
        return Err(refusal(400, "INVALID_ARGUMENT", "", reason));
    }
    if !message.get("token").is_some_and(Value::is_string) {
        let reason = "Recipient of the message is not set.";
        return Err(refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", reason));
    }
    if body.len() > PAYLOAD_BYTES_MAX {
        return Err(argument("Android message is too big"));
    }
    Ok(body_json["message"].clone())
}

fn argument(reason: &str) -> Reply {
    refusal(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", reason)
}

/// Returns an error of a Google API. `code` is the code of FCM, or an empty text.
fn refusal(status: u16, name: &str, code: &str, reason: &str) -> Reply {
    let mut error = json!({ "code": status, "message": reason, "status": name });
    if !code.is_empty() {
        error["details"] = json!([{
            "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
            "errorCode": code,
        }]);
    }
    Reply {
        status,
        retry_after: None,
        body: json!({ "error": error }),
    }
}

/// Returns an error of the server that issues access tokens (RFC 6749, section 5.2).
fn token_refusal(code: &str, reason: &str) -> Reply {
    Reply {
        status: 400,
        retry_after: None,
        body: json!({ "error": code, "error_description": reason }),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use events::Moment;
    use infra::clock::ManualClock;

    use super::*;

    const DEVICE: &str = "cXf5v0aB:APA91bH_kq-0123456789";
    const PATH: &str = "/v1/projects/demo/messages:send";
    /// The public key of the request for an access token below.
    const PUBLIC_KEY: &str = "\
    MIIBCgKCAQEAzelfQzQ7AEiCltsYvGVKeTv+1QuUAhSFx9sU1saIQ1S63ygqGnpODwh0G/EvEcWbYAKOSBw7ipCc3kneR7b8\
    GBgaoLA41XCZgDq+ODB9GSSRCZrYRbcYUQuYTQsTQMVQgRtybpF8a4gVHvZqB2QY6QsbdldLu5vYqPOnkokjcaeOvx2KFPoa\
    cTu9FEYghoim6OXKNd+2RgfYIj0rCQqntI2d1OVH5bEDwpRj3QiCVit7cqdLZxwBhR6Lob8ovJIjN/tgUVIfLpamLy8thzft\
    Wkhze1EFAdar/p6LToqlyIrz81eRCEk2IhuewgXQlCMMZIcZX6R5rZXdYUpOYA8pBQIDAQAB";
    /// The Python package PyJWT 2.15.1 signed this text at 1767225600 seconds.
    const ASSERTION: &str = "\
    eyJhbGciOiJSUzI1NiIsImtpZCI6ImtleS0xIiwidHlwIjoiSldUIn0.eyJhdWQiOiJodHRwczovL29hdXRoMi5nb29nbGVh\
    cGlzLmNvbS90b2tlbiIsImV4cCI6MTc2NzIyOTIwMCwiaWF0IjoxNzY3MjI1NjAwLCJpc3MiOiJkZXNrQGRlbW8uaWFtLmdz\
    ZXJ2aWNlYWNjb3VudC5jb20iLCJzY29wZSI6Imh0dHBzOi8vd3d3Lmdvb2dsZWFwaXMuY29tL2F1dGgvZmlyZWJhc2UubWVz\
    c2FnaW5nIn0.UGcM4xyyS3C6juP-LzH7JZZkqZ8DPqEy2gRnSGKU0RanEaVR4u5WndNTWxBJeOeDJHOQGbfeBgQrv3wX5frs\
    Y2hnLtg5EK4bUH2Ld9xoX9wJtXHhNZh8QtT0e-\
    w7TdUXVIgD83uHig1ZiCe3P0UMoGNpdpwBFE_kwoACNthlL4nbOFl2ptUIDJ7uEesBdZxKt-\
    P7dr7y_D9nmBsoz2mTPs3Tk_mScIBU4lcuRT29yCX5WNOfYiDQ-\
    l4sBz9vyB02WvN4LnVMe0mvDpWqDV6KBYJ5EkH4ivoMwj-\
    YfxnIhbVQvQ8vCWfitdIgxsd0zOPoZYFosuvciYJSTptzLk253w";

    fn fcm() -> (Fcm, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Moment(1_767_225_600_000)));
        let identity = Identity {
            project: "demo".into(),
            email: "desk@demo.iam.gserviceaccount.com".into(),
            public_key: STANDARD.decode(PUBLIC_KEY).unwrap(),
        };
        (Fcm::new(identity, clock.clone()), clock)
    }

    fn form(assertion: &str) -> Vec<u8> {
        let pairs = [("grant_type", GRANT_TYPE), ("assertion", assertion)];
        serde_urlencoded::to_string(pairs).unwrap().into_bytes()
    }

    fn granted(fcm: &Fcm) -> String {
        let reply = fcm.respond(TOKEN_PATH, "", &form(ASSERTION));
        assert_eq!(reply.status, 200, "{reply:?}");
        format!("Bearer {}", reply.body["access_token"].as_str().unwrap())
    }

    fn sent(fcm: &Fcm, authorization: &str, message: &Value) -> Reply {
        let body = json!({ "message": message }).to_string();
        fcm.respond(PATH, authorization, body.as_bytes())
    }

    fn code(reply: &Reply) -> (u16, String) {
        let error = &reply.body["error"];
        let detail = error["details"][0]["errorCode"].as_str();
        let code = detail.or_else(|| error["status"].as_str());
        (reply.status, code.unwrap_or_default().to_owned())
    }

    #[test]
    fn only_a_fresh_signed_request_gets_a_token() {
        let (fcm, clock) = fcm();
        granted(&fcm);
        let refused = |body: &[u8]| {
            let reply = fcm.respond(TOKEN_PATH, "", body);
            assert_eq!(reply.status, 400, "{reply:?}");
            reply.body["error"].as_str().unwrap().to_owned()
        };
        let (front, _) = ASSERTION.split_at(ASSERTION.len() - 9);
        let changed = format!("{front}AAAAAAAAA");
        assert_eq!(refused(&form(&changed)), "invalid_grant");
        assert_eq!(refused(&form("")), "invalid_grant");
        assert_eq!(refused(b"grant_type=password"), "unsupported_grant_type");
        clock.advance((ASSERTION_S_MAX + SKEW_S) * 1_000);
        assert_eq!(refused(&form(ASSERTION)), "invalid_grant");
        assert_eq!(fcm.issued(), 1);
    }

    #[test]
    fn a_message_needs_a_valid_token_of_its_project() {
        let (fcm, clock) = fcm();
        fcm.set(DEVICE, Device::Registered);
        let token = granted(&fcm);
        let message = json!({ "token": DEVICE, "data": { "a": "b" } });
        assert_eq!(sent(&fcm, &token, &message).status, 200);
        let refused = (401, "UNAUTHENTICATED".to_owned());
        assert_eq!(code(&sent(&fcm, "Bearer x", &message)), refused);
        let body = json!({ "message": message }).to_string();
        let other = fcm.respond("/v1/projects/x/messages:send", &token, body.as_bytes());
        assert_eq!(code(&other), (403, "PERMISSION_DENIED".to_owned()));
        assert_eq!(fcm.respond("/v1/x", &token, b"").status, 404);
        clock.advance(TOKEN_S * 1_000);
        assert_eq!(code(&sent(&fcm, &token, &message)), refused);
        assert_eq!(fcm.accepted(), [message]);
    }

    #[test]
    fn each_kind_of_device_and_message_has_its_code() {
        let (fcm, _) = fcm();
        let token = granted(&fcm);
        for (name, device) in [
            ("right", Device::Registered),
            ("gone", Device::Unregistered),
            ("other", Device::OfOtherSender),
            ("apple", Device::WithoutApnsKey),
        ] {
            fcm.set(name, device);
        }
        let large = "x".repeat(PAYLOAD_BYTES_MAX);
        for (message, status, expected) in [
            (json!({ "token": "gone" }), 404, "UNREGISTERED"),
            (json!({ "token": "other" }), 403, "SENDER_ID_MISMATCH"),
            (json!({ "token": "apple" }), 401, "THIRD_PARTY_AUTH_ERROR"),
            (json!({ "token": "unknown" }), 400, "INVALID_ARGUMENT"),
            (json!({}), 400, "INVALID_ARGUMENT"),
            (
                json!({ "token": "right", "to": "x" }),
                400,
                "INVALID_ARGUMENT",
            ),
            (
                json!({ "token": "right", "data": { "a": 1 } }),
                400,
                "INVALID_ARGUMENT",
            ),
            (
                json!({ "token": "right", "data": { "a": large } }),
                400,
                "INVALID_ARGUMENT",
            ),
            (
                json!({ "token": "right", "android": { "priority": "URGENT" } }),
                400,
                "INVALID_ARGUMENT",
            ),
        ] {
            let reply = sent(&fcm, &token, &message);
            assert_eq!(code(&reply), (status, expected.to_owned()), "{message}");
        }
        fcm.plan(503);
        fcm.plan(500);
        let message = json!({ "token": "right" });
        let planned = [(); 2].map(|()| code(&sent(&fcm, &token, &message)));
        assert_eq!(
            planned,
            [
                (503, "UNAVAILABLE".to_owned()),
                (500, "INTERNAL".to_owned())
            ]
        );
        assert_eq!(fcm.respond(PATH, &token, b"{").status, 400);
        assert!(fcm.accepted().is_empty());
    }

    #[test]
    fn the_quota_is_full_until_the_next_minute() {
        let (fcm, clock) = fcm();
        let fcm = fcm.with_per_minute(2);
        fcm.set(DEVICE, Device::Registered);
        let token = granted(&fcm);
        let message = json!({ "token": DEVICE });
        let statuses = [(); 3].map(|()| sent(&fcm, &token, &message).status);
        assert_eq!(statuses, [200, 200, 429]);
        clock.advance(15_000);
        let reply = sent(&fcm, &token, &message);
        assert_eq!(code(&reply), (429, "QUOTA_EXCEEDED".to_owned()));
        assert_eq!(reply.retry_after, Some(45));
        clock.advance(45_000);
        assert_eq!(sent(&fcm, &token, &message).status, 200);
    }
}
