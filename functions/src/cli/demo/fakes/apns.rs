//! Imitates the Apple Push Notification service, APNs (reference/notifications.md, section 1.7). The imitation checks the
//! provider token, the headers, the form and the size of a message, the state of the device, and the rate of messages.
//! APNs speaks only HTTP/2 with TLS. The imitation speaks HTTP/1.1 and HTTP/2 without TLS, and records the version.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse, Response};
use infra::channel::apns::{COLLAPSE_BYTES_MAX, Identity, PATH};
use infra::channel::push::{Algorithm, PAYLOAD_BYTES_MAX, verified};
use infra::clock::Clock;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The time for which APNs accepts a provider token, in milliseconds: one hour.
const TOKEN_MS: i64 = 3_600_000;
/// Minimum time between two new provider tokens of one team, in milliseconds: 20 minutes.
const TOKEN_PAUSE_MS: i64 = 1_200_000;
/// Maximum difference between the clock of a client and the clock of the imitation, in milliseconds.
const SKEW_MS: i64 = 300_000;
/// Maximum number of messages to one device in one minute. Apple publishes no number.
const PER_MINUTE: u32 = 1_000;
/// Maximum number of accepted messages and of devices that the imitation stores.
const KEPT_MAX: usize = 10_000;
/// The kinds of messages that APNs knows.
const PUSH_TYPES: [&str; 8] = [
    "alert",
    "background",
    "location",
    "voip",
    "complication",
    "fileprovider",
    "mdm",
    "liveactivity",
];

/// The state of a device at APNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Registered,
    /// The app was removed from the device.
    Unregistered,
    /// The device token belongs to another app.
    OfOtherTopic,
}

/// One request to the imitation.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub method: &'a Method,
    pub path: &'a str,
    pub version: Version,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// The response to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// The id of the message. If the client sent no id, the imitation creates one.
    pub id: String,
    /// The reason of a refusal, or an empty text.
    pub reason: &'static str,
    /// The time in milliseconds at which the device token became invalid.
    pub timestamp: Option<i64>,
}

/// A message that the imitation accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    pub version: Version,
    pub device: String,
    pub id: String,
    pub collapse_id: String,
    pub body: Value,
}

#[derive(Debug, Default)]
struct Seen {
    /// The newest provider token and the time of its first use.
    token: Option<(String, i64)>,
    devices: BTreeMap<String, Device>,
    /// The number of the current minute, and the number of messages to each device in it.
    minute: (i64, BTreeMap<String, u32>),
    requests: u64,
    accepted: Vec<Accepted>,
}

/// An imitation of APNs for one app.
pub struct Apns {
    identity: Identity,
    topic: String,
    per_minute: u32,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

type Refusal = (u16, &'static str);

impl Apns {
    /// Creates an imitation without devices. It accepts only provider tokens of `identity`, and messages for the app
    /// `topic`.
    pub fn new(identity: Identity, topic: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            identity,
            topic: topic.to_owned(),
            per_minute: PER_MINUTE,
            clock,
            seen: Mutex::default(),
        }
    }

    /// Returns the imitation with another maximum number of messages to one device in one minute.
    #[must_use]
    pub fn with_per_minute(mut self, per_minute: u32) -> Self {
        self.per_minute = per_minute;
        self
    }

    /// Sets the state of the device with the given device token.
    pub fn set(&self, token: &str, device: Device) {
        let mut seen = self.seen();
        if seen.devices.len() < KEPT_MAX {
            seen.devices.insert(token.to_owned(), device);
        }
    }

    /// Returns the messages that the imitation accepted, in the order of their arrival.
    pub fn accepted(&self) -> Vec<Accepted> {
        self.seen().accepted.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder panics")
    }

    /// Returns the response to one request.
    pub fn respond(&self, call: &Call<'_>) -> Reply {
        let now = self.clock.now().0;
        let mut seen = self.seen();
        seen.requests += 1;
        let id = match value(call.headers, "apns-id") {
            "" => format!("00000000-0000-0000-0000-{:012x}", seen.requests),
            id => id.to_owned(),
        };
        let reply = |(status, reason): Refusal| Reply {
            status,
            id: id.clone(),
            reason,
            timestamp: (status == 410).then_some(now),
        };
        match self.check(&mut seen, call, now) {
            Ok((device, body)) => {
                if seen.accepted.len() < KEPT_MAX {
                    let collapse_id = value(call.headers, "apns-collapse-id").to_owned();
                    seen.accepted.push(Accepted {
                        version: call.version,
                        device,
                        id: id.clone(),
                        collapse_id,
                        body,
                    });
                }
                reply((200, ""))
            }
            Err(refusal) => reply(refusal),
        }
    }

    /// Checks a request. Returns the device token and the body.
    fn check(
        &self,
        seen: &mut Seen,
        call: &Call<'_>,
        now: i64,
    ) -> Result<(String, Value), Refusal> {
        if call.method != Method::POST {
            return Err((405, "MethodNotAllowed"));
        }
        let device = call
            .path
            .strip_prefix(PATH)
            .ok_or::<Refusal>((404, "BadPath"))?;
        self.check_token(seen, value(call.headers, "authorization"), now)?;
        self.check_headers(call.headers)?;
        let empty: Refusal = (400, "PayloadEmpty");
        if call.body.is_empty() {
            return Err(empty);
        }
        if call.body.len() > PAYLOAD_BYTES_MAX {
            return Err((413, "PayloadTooLarge"));
        }
        let body: Value = serde_json::from_slice(call.body).map_err(|_| empty)?;
        if !body["aps"].is_object() {
            return Err(empty);
        }
        if device.is_empty() {
            return Err((400, "MissingDeviceToken"));
        }
        match seen.devices.get(device) {
            None => return Err((400, "BadDeviceToken")),
            Some(Device::Unregistered) => return Err((410, "Unregistered")),
            Some(Device::OfOtherTopic) => return Err((400, "DeviceTokenNotForTopic")),
            Some(Device::Registered) => {}
        }
        let minute = now.div_euclid(60_000);
        if seen.minute.0 != minute {
            seen.minute = (minute, BTreeMap::new());
        }
        let count = seen.minute.1.entry(device.to_owned()).or_default();
        if *count >= self.per_minute {
            return Err((429, "TooManyRequests"));
        }
        *count += 1;
        Ok((device.to_owned(), body))
    }

    /// Checks the provider token in the header `authorization`.
    fn check_token(&self, seen: &mut Seen, header: &str, now: i64) -> Result<(), Refusal> {
        let token = header
            .strip_prefix("bearer ")
            .or_else(|| header.strip_prefix("Bearer "))
            .ok_or::<Refusal>((403, "MissingProviderToken"))?;
        let invalid: Refusal = (403, "InvalidProviderToken");
        let key = &self.identity.public_key;
        let jwt = verified(token, Algorithm::Es256, key).ok_or(invalid)?;
        let is_ours = jwt.header["kid"] == self.identity.key_id.as_str()
            && jwt.claims["iss"] == self.identity.team_id.as_str();
        let issued = jwt.claims["iat"].as_i64();
        let issued = issued.map(|seconds| seconds.saturating_mul(1_000));
        let issued = issued.filter(|at| is_ours && *at <= now + SKEW_MS);
        let issued = issued.ok_or(invalid)?;
        if issued.saturating_add(TOKEN_MS) <= now {
            return Err((403, "ExpiredProviderToken"));
        }
        match &seen.token {
            Some((known, _)) if known == token => {}
            Some((_, since)) if now < since + TOKEN_PAUSE_MS => {
                return Err((429, "TooManyProviderTokenUpdates"));
            }
            _ => seen.token = Some((token.to_owned(), now)),
        }
        Ok(())
    }

    fn check_headers(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let of = |name| value(headers, name);
        let is_uuid = |id: &str| {
            let digits = id.bytes().filter(u8::is_ascii_hexdigit).count();
            let lengths: Vec<usize> = id.split('-').map(str::len).collect();
            digits == 32 && lengths == [8, 4, 4, 4, 12]
        };
        match of("apns-topic") {
            "" => return Err((400, "MissingTopic")),
            topic if topic != self.topic => return Err((400, "TopicDisallowed")),
            _ => {}
        }
        let kind = of("apns-push-type");
        if !kind.is_empty() && !PUSH_TYPES.contains(&kind) {
            return Err((400, "InvalidPushType"));
        }
        if !matches!(of("apns-priority"), "" | "1" | "5" | "10") {
            return Err((400, "BadPriority"));
        }
        let expiration = of("apns-expiration");
        if !expiration.is_empty() && expiration.parse::<i64>().is_err() {
            return Err((400, "BadExpirationDate"));
        }
        if of("apns-collapse-id").len() > COLLAPSE_BYTES_MAX {
            return Err((400, "BadCollapseId"));
        }
        let id = of("apns-id");
        if !id.is_empty() && !is_uuid(id) {
            return Err((400, "BadMessageId"));
        }
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

/// Returns the value of a header, or an empty text.
fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

async fn handle(
    State(apns): State<Arc<Apns>>,
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let reply = apns.respond(&Call {
        method: &method,
        path: uri.path(),
        version,
        headers: &headers,
        body: &body,
    });
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if reply.reason.is_empty() {
        status.into_response()
    } else {
        let mut body = json!({ "reason": reply.reason });
        if let Some(timestamp) = reply.timestamp {
            body["timestamp"] = timestamp.into();
        }
        let kind = [(header::CONTENT_TYPE, "application/json")];
        (status, kind, body.to_string()).into_response()
    };
    if let Ok(id) = HeaderValue::from_str(&reply.id) {
        response.headers_mut().insert("apns-id", id);
    }
    response
}

#[cfg(test)]
mod tests {
    use events::Moment;
    use infra::channel::apns::identity;
    use infra::channel::push::{SigningKey, new_es256_key};
    use infra::clock::ManualClock;

    use super::*;

    const DEVICE: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
    const BODY: &[u8] = br#"{"aps":{"alert":{"title":"REQ1","body":"x"}}}"#;
    /// The time at the start of a test, in seconds.
    const NOW: i64 = 1_767_225_600;

    /// An imitation with one registered device, and the private key of the account.
    struct Account {
        apns: Apns,
        clock: Arc<ManualClock>,
        key: SigningKey,
    }

    impl Account {
        fn new() -> Self {
            let pem = new_es256_key();
            let secret = json!({
                "key_id": "KEY1234567",
                "team_id": "TEAM123456",
                "private_key": pem,
            });
            let identity = identity(&secret.to_string()).unwrap();
            let clock = Arc::new(ManualClock::at(Moment(NOW * 1_000)));
            let apns = Apns::new(identity, "com.example.desk", clock.clone());
            apns.set(DEVICE, Device::Registered);
            let key = SigningKey::read(Algorithm::Es256, &pem).unwrap();
            Self { apns, clock, key }
        }

        fn token(&self, kid: &str, team: &str, issued: i64) -> String {
            let header = json!({ "alg": "ES256", "kid": kid });
            let claims = json!({ "iss": team, "iat": issued });
            let token = self.key.sign(&header, &claims).unwrap();
            format!("bearer {token}")
        }

        fn right(&self, issued: i64) -> String {
            self.token("KEY1234567", "TEAM123456", issued)
        }

        /// Sends a message with further headers. A later header replaces an earlier one with the same name.
        fn send(
            &self,
            token: &str,
            device: &str,
            further: &[(&'static str, &str)],
            body: &[u8],
        ) -> Reply {
            let mut headers = HeaderMap::new();
            let first = [("authorization", token), ("apns-topic", "com.example.desk")];
            for (name, value) in first.iter().chain(further) {
                headers.insert(*name, value.parse().unwrap());
            }
            self.apns.respond(&Call {
                method: &Method::POST,
                path: &format!("{PATH}{device}"),
                version: Version::HTTP_2,
                headers: &headers,
                body,
            })
        }
    }

    fn shown(reply: &Reply) -> (u16, &'static str) {
        (reply.status, reply.reason)
    }

    #[test]
    fn only_a_valid_provider_token_is_accepted() {
        let account = Account::new();
        let other = Account::new().right(NOW);
        for (token, expected) in [
            (String::new(), (403, "MissingProviderToken")),
            ("bearer x".into(), (403, "InvalidProviderToken")),
            (other, (403, "InvalidProviderToken")),
            (
                account.token("OTHER", "TEAM123456", NOW),
                (403, "InvalidProviderToken"),
            ),
            (
                account.token("KEY1234567", "OTHER", NOW),
                (403, "InvalidProviderToken"),
            ),
            (account.right(NOW + 301), (403, "InvalidProviderToken")),
            (account.right(NOW - 3_600), (403, "ExpiredProviderToken")),
            (account.right(NOW - 3_599), (200, "")),
        ] {
            let reply = account.send(&token, DEVICE, &[], BODY);
            assert_eq!(shown(&reply), expected, "{token}");
        }
        assert_eq!(account.apns.accepted().len(), 1);
    }

    #[test]
    fn a_provider_token_is_replaced_at_most_every_twenty_minutes() {
        let account = Account::new();
        let send = |token: &str| shown(&account.send(token, DEVICE, &[], BODY));
        let (first, second) = (account.right(NOW), account.right(NOW));
        assert_ne!(first, second, "each signature is different");
        assert_eq!(send(&first), (200, ""));
        assert_eq!(send(&second), (429, "TooManyProviderTokenUpdates"));
        assert_eq!(send(&first), (200, ""));
        account.clock.advance(TOKEN_PAUSE_MS);
        assert_eq!(send(&second), (200, ""));
        account.clock.advance(TOKEN_MS - TOKEN_PAUSE_MS);
        assert_eq!(send(&second), (403, "ExpiredProviderToken"));
    }

    #[test]
    fn each_wrong_header_and_body_has_its_reason() {
        let account = Account::new();
        let token = account.right(NOW);
        let long = "x".repeat(COLLAPSE_BYTES_MAX + 1);
        for (name, value, expected) in [
            ("apns-topic", "", "MissingTopic"),
            ("apns-topic", "com.example.other", "TopicDisallowed"),
            ("apns-push-type", "fax", "InvalidPushType"),
            ("apns-priority", "7", "BadPriority"),
            ("apns-expiration", "soon", "BadExpirationDate"),
            ("apns-collapse-id", long.as_str(), "BadCollapseId"),
            ("apns-id", "1", "BadMessageId"),
        ] {
            let reply = account.send(&token, DEVICE, &[(name, value)], BODY);
            assert_eq!(shown(&reply), (400, expected), "{name}");
        }
        let large = json!({ "aps": {}, "x": "x".repeat(PAYLOAD_BYTES_MAX) }).to_string();
        for (body, expected) in [
            (&b""[..], (400, "PayloadEmpty")),
            (&b"{}"[..], (400, "PayloadEmpty")),
            (large.as_bytes(), (413, "PayloadTooLarge")),
        ] {
            let reply = account.send(&token, DEVICE, &[], body);
            assert_eq!(shown(&reply), expected);
        }
        assert!(account.apns.accepted().is_empty());
    }

    #[test]
    fn each_kind_of_device_has_its_reason() {
        let account = Account::new();
        let token = account.right(NOW);
        account.apns.set("aa", Device::Unregistered);
        account.apns.set("bb", Device::OfOtherTopic);
        for (device, expected) in [
            ("", (400, "MissingDeviceToken")),
            ("cc", (400, "BadDeviceToken")),
            ("aa", (410, "Unregistered")),
            ("bb", (400, "DeviceTokenNotForTopic")),
        ] {
            let reply = account.send(&token, device, &[], BODY);
            assert_eq!(shown(&reply), expected, "{device}");
            let expected = (expected.0 == 410).then_some(NOW * 1_000);
            assert_eq!(reply.timestamp, expected, "{device}");
        }
        let id = "01234567-89ab-cdef-0123-456789abcdef";
        let headers = [("apns-id", id), ("apns-collapse-id", "REQ1")];
        let reply = account.send(&token, DEVICE, &headers, BODY);
        assert_eq!((reply.status, reply.id.as_str()), (200, id));
        let [accepted] = account.apns.accepted().try_into().expect("one message");
        assert_eq!(
            (accepted.device.as_str(), accepted.id.as_str()),
            (DEVICE, id)
        );
        assert_eq!(
            (accepted.version, accepted.collapse_id.as_str()),
            (Version::HTTP_2, "REQ1")
        );
    }

    #[test]
    fn a_device_gets_a_limited_number_of_messages_in_a_minute() {
        let mut account = Account::new();
        account.apns = account.apns.with_per_minute(2);
        let token = account.right(NOW);
        let send = || shown(&account.send(&token, DEVICE, &[], BODY));
        assert_eq!([(); 2].map(|()| send()), [(200, ""); 2]);
        assert_eq!(send(), (429, "TooManyRequests"));
        account.clock.advance(60_000);
        assert_eq!(send(), (200, ""));
    }
}
