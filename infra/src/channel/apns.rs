//! Sends messages to devices of Apple through the Apple Push Notification service, APNs (reference/notifications.md,
//! section 1.7). The desk signs a provider token with the private key of the account and uses it for 40 minutes. APNs
//! confirms only that it accepted a message, and not that a device received the message. APNs uses HTTP/2, which the HTTP
//! client of the desk chooses by itself for HTTPS.

use domain::attempt::Verdict;
use domain::notification::content::one_line;
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde::Deserialize;
use serde_json::{Value, json};

use super::push::{self, Algorithm, SigningKey, buttons, fitted, visible};
use super::{
    Access, Channel, Outgoing, Request, Response, TIMEOUT, Token, accepted, check_url, of_http,
    only, text,
};
use crate::http::{HttpRequest, HttpResponse, RESPONSE_BYTES_MAX};

/// The default base URL of APNs. The URL for apps in development is `https://api.sandbox.push.apple.com`.
const URL: &str = "https://api.push.apple.com";
/// The path in front of the device token.
pub const PATH: &str = "/3/device/";
/// The time for which the desk uses a provider token, in milliseconds: 40 minutes. APNs accepts a token for one hour, and
/// refuses tokens that are replaced more than once in 20 minutes.
const TOKEN_MS: i64 = 40 * 60_000;
/// The pause after a refusal because of too many provider tokens, in milliseconds: 20 minutes.
const TOKEN_PAUSE_MS: i64 = 20 * 60_000;
/// The time for which APNs tries to reach a device, in milliseconds. A delivery (the sending of one message) is also open
/// for one day.
const TIME_TO_LIVE_MS: i64 = 24 * 3_600_000;
/// Maximum size of the text by which APNs replaces an older message by a newer one, in bytes.
pub const COLLAPSE_BYTES_MAX: usize = 64;

/// The channel that sends messages through APNs.
#[derive(Clone, Copy, Debug)]
pub struct Apns;

/// The key with which the account signs its provider tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    key_id: String,
    team_id: String,
    private_key: String,
}

/// The public data of a key for provider tokens. Imitations of APNs need it to check requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub key_id: String,
    pub team_id: String,
    /// The public key as an uncompressed point of the curve P-256.
    pub public_key: Vec<u8>,
}

impl Channel for Apns {
    fn name(&self) -> &'static str {
        "apns"
    }

    fn address_kind(&self) -> &'static str {
        "apns"
    }

    /// Returns false. A message goes to one device.
    fn is_shared(&self, _account: &Defined, _to: &str) -> bool {
        false
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        let is_hex = address.bytes().all(|byte| byte.is_ascii_hexdigit());
        if (64..=200).contains(&address.len()) && address.len().is_multiple_of(2) && is_hex {
            Ok(())
        } else {
            Err("be a device token of APNs of 64 to 200 hexadecimal digits".into())
        }
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["url", "topic"])?;
        check_url(account, "url")?;
        let is_topic = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let topic = text(account, "topic");
        if (1..=255).contains(&topic.len()) && topic.chars().all(is_topic) {
            Ok(())
        } else {
            Err("`topic` must be the bundle id of the app, such as com.example.desk".into())
        }
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        identity(secret).map(drop)
    }

    fn access(&self, _account: &Defined, secret: &str, now: Moment) -> Result<Access, String> {
        let secret = read(secret)?;
        let key = SigningKey::read(Algorithm::Es256, &secret.private_key)?;
        let header = json!({ "alg": Algorithm::Es256.name(), "kid": secret.key_id });
        let claims = json!({ "iss": secret.team_id, "iat": now.0.div_euclid(1_000) });
        Ok(Access::Made(Token {
            value: key.sign(&header, &claims)?,
            lifetime_ms: TOKEN_MS,
        }))
    }

    fn refuses_token(&self, response: &Response) -> bool {
        let Response::Http(Ok(response)) = response else {
            return false;
        };
        response.status == 403 && reason(&response.body).as_deref() == Some("ExpiredProviderToken")
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let base = match text(outgoing.account, "url") {
            "" => URL,
            url => url.trim_end_matches('/'),
        };
        // The address was checked when the person entered it. This check also prevents another path.
        self.check_address(outgoing.to)
            .map_err(|reason| format!("the address must {reason}"))?;
        let expiration = outgoing.requested.plus_ms(TIME_TO_LIVE_MS).0 / 1_000;
        let mut headers = vec![
            ("authorization", format!("bearer {}", outgoing.token)),
            ("apns-topic", text(outgoing.account, "topic").to_owned()),
            ("apns-push-type", "alert".into()),
            // 10 means that the device shows the message at once.
            ("apns-priority", "10".into()),
            ("apns-expiration", expiration.to_string()),
            ("apns-collapse-id", collapse_id(&outgoing.content.thread)),
        ];
        headers.extend(uuid(outgoing.id).map(|id| ("apns-id", id)));
        Ok(Request::Http(HttpRequest {
            method: "POST".into(),
            url: format!("{base}{PATH}{}", outgoing.to),
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            body: message(outgoing)?,
            timeout: TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
        }))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
    }
}

fn read(secret: &str) -> Result<Secret, String> {
    let secret: Secret = serde_json::from_str(secret).map_err(|_| {
        r#"the secret must be {"key_id": "...", "team_id": "...", "private_key": "..."}, with the content of the .p8 file as `private_key`"#
            .to_owned()
    })?;
    for (name, value) in [("key_id", &secret.key_id), ("team_id", &secret.team_id)] {
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("`{name}` of the secret must be letters and digits"));
        }
    }
    Ok(secret)
}

/// Returns the public data of the key in a secret. If the secret is invalid, returns an English text.
pub fn identity(secret: &str) -> Result<Identity, String> {
    let secret = read(secret)?;
    let key = SigningKey::read(Algorithm::Es256, &secret.private_key)?;
    Ok(Identity {
        key_id: secret.key_id,
        team_id: secret.team_id,
        public_key: key.public(),
    })
}

/// Returns the text that is equal for all messages about one ticket. The text is the thread of the message. A thread that
/// is too long or not ASCII is replaced by its hash.
fn collapse_id(thread: &str) -> String {
    let is_plain = thread.bytes().all(|byte| byte.is_ascii_graphic());
    if (1..=COLLAPSE_BYTES_MAX).contains(&thread.len()) && is_plain {
        thread.to_owned()
    } else {
        blake3::hash(thread.as_bytes()).to_hex().to_string()
    }
}

/// Returns an id of 32 hexadecimal digits in the form of a UUID (RFC 9562, section 4). Returns `None` for another id.
fn uuid(id: &str) -> Option<String> {
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let parts = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]];
    Some(parts.join("-").to_ascii_lowercase())
}

/// Returns the JSON of a message. All texts are values of JSON, so no text of a ticket can add a member.
fn message(outgoing: &Outgoing<'_>) -> Result<Vec<u8>, String> {
    let content = outgoing.content;
    let visible = visible(content);
    fitted(&content.actions, |actions| {
        let mut body = json!({
            "aps": {
                "alert": { "title": visible.title, "body": visible.text },
                "sound": "default",
                "thread-id": content.thread,
            },
            "ticket": content.thread,
            "url": content.link.url,
            "delivery": outgoing.id,
        });
        if !actions.is_empty() {
            // The app connects its buttons to this category.
            body["aps"]["category"] = "ticket".into();
            body["actions"] = buttons(actions);
        }
        body
    })
}

/// Returns the reason in the body of a refusal.
fn reason(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let reason = body.get("reason")?.as_str()?;
    Some(push::code(reason)).filter(|reason| !reason.is_empty())
}

/// Converts a response of APNs to a verdict (the result of an attempt). An unknown reason means a permanent failure.
fn judge(response: &HttpResponse) -> Verdict {
    use FailureClass::{Credential, Permanent, RecipientInvalid, TooLarge};
    let status = response.status;
    // The body of a success is empty. Any other body comes from another server.
    if status == 200 && response.body.is_empty() {
        let id = response.header("apns-id").unwrap_or_default();
        return accepted("200", one_line(id));
    }
    let found = reason(&response.body).filter(|_| !response.is_success());
    let Some(code) = found else {
        return push::unreadable(response, "APNs");
    };
    let text = format!("APNs answered with HTTP status {status}: {code}");
    let refused = |class| Verdict::refused(class, code.as_str(), text.as_str());
    match code.as_str() {
        // With 410, the member `timestamp` is the last time at which APNs knew the device token.
        "Unregistered"
        | "ExpiredToken"
        | "BadDeviceToken"
        | "DeviceTokenNotForTopic"
        | "MissingDeviceToken" => refused(RecipientInvalid),
        // These reasons concern the key or the topic, so APNs refuses all messages of the account.
        "InvalidProviderToken"
        | "ExpiredProviderToken"
        | "MissingProviderToken"
        | "UnrelatedKeyIdInToken"
        | "BadEnvironmentKeyIdInToken"
        | "BadCertificate"
        | "BadCertificateEnvironment"
        | "Forbidden"
        | "TopicDisallowed" => refused(Credential),
        "TooManyProviderTokenUpdates" => push::throttled(response, TOKEN_PAUSE_MS, text),
        "TooManyRequests" => push::throttled(response, push::PAUSE_MS, text),
        "PayloadTooLarge" => refused(TooLarge),
        "IdleTimeout" | "InternalServerError" | "ServiceUnavailable" | "Shutdown" => {
            push::retried(response, text)
        }
        _ => refused(Permanent),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use domain::notification::content::{Action, Content};

    use super::super::contract::{account, content, long_texts, outgoing, shown};
    use super::super::push::{PAYLOAD_BYTES_MAX, new_es256_key, verified};
    use super::*;
    use crate::http::HttpError;

    const DEVICE: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

    fn app() -> Defined {
        let mut account = account("apns");
        account
            .settings
            .insert("topic".into(), "com.example.desk".into());
        account
    }

    fn secret() -> Value {
        json!({
            "key_id": "KEY1234567",
            "team_id": "TEAM123456",
            "private_key": new_es256_key(),
        })
    }

    fn sent(content: &Content) -> (HttpRequest, Value) {
        let account = app();
        let outgoing = Outgoing {
            token: "e30.e30.x",
            ..outgoing(&account, "", DEVICE, content)
        };
        let Ok(Request::Http(request)) = Apns.request(&outgoing) else {
            panic!("a request")
        };
        let body = serde_json::from_slice(&request.body).unwrap();
        (request, body)
    }

    fn answered(status: u16, body: &str) -> Response {
        Response::Http(Ok(HttpResponse::of(status, body.as_bytes())))
    }

    #[test]
    fn the_provider_token_is_signed_and_used_for_forty_minutes() {
        let secret = secret().to_string();
        let access = Apns.access(&app(), &secret, Moment(1_767_225_600_999));
        let Ok(Access::Made(token)) = access else {
            panic!("{access:?}")
        };
        assert_eq!(token.lifetime_ms, 2_400_000);
        let identity = identity(&secret).unwrap();
        assert_eq!(
            (identity.key_id.as_str(), identity.team_id.as_str()),
            ("KEY1234567", "TEAM123456")
        );
        let jwt = verified(&token.value, Algorithm::Es256, &identity.public_key).expect("valid");
        assert_eq!(jwt.header, json!({ "alg": "ES256", "kid": "KEY1234567" }));
        assert_eq!(
            jwt.claims,
            json!({ "iss": "TEAM123456", "iat": 1_767_225_600 })
        );
    }

    #[test]
    fn a_message_has_the_headers_and_members_of_apns() {
        let (request, body) = sent(&content());
        assert_eq!(
            request.url,
            format!("https://api.push.apple.com/3/device/{DEVICE}")
        );
        for (name, value) in [
            ("authorization", "bearer e30.e30.x"),
            ("apns-topic", "com.example.desk"),
            ("apns-push-type", "alert"),
            ("apns-priority", "10"),
            ("apns-expiration", "86401"),
            ("apns-collapse-id", "REQ1"),
            ("apns-id", "01234567-89ab-cdef-0123-456789abcdef"),
        ] {
            let header = (name.to_owned(), value.to_owned());
            assert!(request.headers.contains(&header), "{name}: {request:?}");
        }
        let expected = json!({
            "aps": {
                "alert": { "title": "REQ1 · 高", "body": "请审批: 申请权限" },
                "sound": "default",
                "thread-id": "REQ1",
            },
            "ticket": "REQ1",
            "url": "https://desk.example/tickets/REQ1",
            "delivery": "0123456789abcdef0123456789abcdef",
        });
        assert_eq!(body, expected);
        let text = body.to_string();
        assert!(!text.contains("lisi"), "no personal data: {text}");
    }

    #[test]
    fn actions_and_their_category_are_part_of_the_message() {
        let mut content = content();
        content.actions = vec![Action {
            name: "approve".into(),
            label: "批准".into(),
            is_primary: true,
            url: "https://desk.example/actions/1".into(),
            value: "signed".into(),
        }];
        let (_, body) = sent(&content);
        assert_eq!(body["aps"]["category"], "ticket");
        assert_eq!(
            body["actions"],
            json!([{ "name": "approve", "label": "批准", "url": "https://desk.example/actions/1" }])
        );
    }

    #[test]
    fn ids_have_the_form_that_apns_requires() {
        assert_eq!(uuid("0123"), None);
        assert_eq!(uuid(&"g".repeat(32)), None);
        assert_eq!(
            uuid(&"AB".repeat(16)).as_deref(),
            Some("abababab-abab-abab-abab-abababababab")
        );
        assert_eq!(collapse_id("REQ1"), "REQ1");
        assert_eq!(collapse_id(&"x".repeat(64)), "x".repeat(64));
        for thread in [
            String::new(),
            "x".repeat(65),
            "工单".into(),
            "a\r\nb: c".into(),
        ] {
            let id = collapse_id(&thread);
            assert_eq!(id.len(), COLLAPSE_BYTES_MAX, "{thread}");
            assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
    }

    #[test]
    fn ticket_text_adds_no_member_and_no_size() {
        let fixed = [
            r#""},"content-available":1,"x":{""#,
            "\\\"}]}",
            "\u{0}\u{1f}\r\napns-topic: x",
            "<!channel> @all [x](http://evil.example)",
            "%@ %1$@ 😀",
        ];
        for text in long_texts(&fixed, 11) {
            let mut content = content();
            content.subject = text.clone();
            content.values = vec![("Priority".into(), text.clone()), (text.clone(), text)];
            let (request, body) = sent(&content);
            assert!(request.body.len() <= PAYLOAD_BYTES_MAX);
            let members: Vec<&str> = body
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(members, ["aps", "delivery", "ticket", "url"]);
            let aps = body["aps"].as_object().unwrap();
            let members: Vec<&str> = aps.keys().map(String::as_str).collect();
            assert_eq!(members, ["alert", "sound", "thread-id"]);
            for (_, value) in &request.headers {
                assert!(!value.contains(char::is_control), "{value}");
            }
        }
    }

    /// Each reason of APNs with its verdict (reference/notifications.md, section 1.7).
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (200, "", "accepted"),
        (200, "<html>", "unknown"),
        (200, r#"{"reason":"BadDeviceToken"}"#, "unknown"),
        (202, "", "unknown"),
        (
            410,
            r#"{"reason":"Unregistered","timestamp":1767225600000}"#,
            "recipient_invalid Unregistered",
        ),
        (
            410,
            r#"{"reason":"ExpiredToken","timestamp":1767225600000}"#,
            "recipient_invalid ExpiredToken",
        ),
        (
            400,
            r#"{"reason":"BadDeviceToken"}"#,
            "recipient_invalid BadDeviceToken",
        ),
        (
            400,
            r#"{"reason":"DeviceTokenNotForTopic"}"#,
            "recipient_invalid DeviceTokenNotForTopic",
        ),
        (
            400,
            r#"{"reason":"MissingDeviceToken"}"#,
            "recipient_invalid MissingDeviceToken",
        ),
        (
            403,
            r#"{"reason":"InvalidProviderToken"}"#,
            "credential InvalidProviderToken",
        ),
        (
            403,
            r#"{"reason":"ExpiredProviderToken"}"#,
            "credential ExpiredProviderToken",
        ),
        (
            403,
            r#"{"reason":"MissingProviderToken"}"#,
            "credential MissingProviderToken",
        ),
        (
            403,
            r#"{"reason":"UnrelatedKeyIdInToken"}"#,
            "credential UnrelatedKeyIdInToken",
        ),
        (
            403,
            r#"{"reason":"BadEnvironmentKeyIdInToken"}"#,
            "credential BadEnvironmentKeyIdInToken",
        ),
        (
            403,
            r#"{"reason":"BadCertificate"}"#,
            "credential BadCertificate",
        ),
        (
            403,
            r#"{"reason":"BadCertificateEnvironment"}"#,
            "credential BadCertificateEnvironment",
        ),
        (403, r#"{"reason":"Forbidden"}"#, "credential Forbidden"),
        (
            400,
            r#"{"reason":"TopicDisallowed"}"#,
            "credential TopicDisallowed",
        ),
        (
            429,
            r#"{"reason":"TooManyProviderTokenUpdates"}"#,
            "throttled 1200000",
        ),
        (429, r#"{"reason":"TooManyRequests"}"#, "throttled 60000"),
        (
            413,
            r#"{"reason":"PayloadTooLarge"}"#,
            "too_large PayloadTooLarge",
        ),
        (400, r#"{"reason":"IdleTimeout"}"#, "retry"),
        (500, r#"{"reason":"InternalServerError"}"#, "retry"),
        (503, r#"{"reason":"ServiceUnavailable"}"#, "retry"),
        (503, r#"{"reason":"Shutdown"}"#, "retry"),
        (
            400,
            r#"{"reason":"BadCollapseId"}"#,
            "permanent BadCollapseId",
        ),
        (
            400,
            r#"{"reason":"BadExpirationDate"}"#,
            "permanent BadExpirationDate",
        ),
        (
            400,
            r#"{"reason":"BadMessageId"}"#,
            "permanent BadMessageId",
        ),
        (400, r#"{"reason":"BadPriority"}"#, "permanent BadPriority"),
        (400, r#"{"reason":"BadTopic"}"#, "permanent BadTopic"),
        (
            400,
            r#"{"reason":"DuplicateHeaders"}"#,
            "permanent DuplicateHeaders",
        ),
        (
            400,
            r#"{"reason":"InvalidPushType"}"#,
            "permanent InvalidPushType",
        ),
        (
            400,
            r#"{"reason":"MissingTopic"}"#,
            "permanent MissingTopic",
        ),
        (
            400,
            r#"{"reason":"PayloadEmpty"}"#,
            "permanent PayloadEmpty",
        ),
        (404, r#"{"reason":"BadPath"}"#, "permanent BadPath"),
        (
            405,
            r#"{"reason":"MethodNotAllowed"}"#,
            "permanent MethodNotAllowed",
        ),
        (400, r#"{"reason":"NewReason"}"#, "permanent NewReason"),
        (400, r#"{"reason":""}"#, "permanent 400"),
        (400, "<html>", "permanent 400"),
        (413, "", "too_large 413"),
        (429, "", "throttled 60000"),
        (500, "", "unknown"),
        (502, "<html>", "unknown"),
        (503, "", "retry"),
    ];

    #[test]
    fn every_reason_has_its_verdict() {
        for (status, body, expected) in CODES {
            let verdict = Apns.verdict(&answered(*status, body));
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
        }
        let named = HttpResponse {
            headers: vec![("apns-id".into(), "id-1".into())],
            ..HttpResponse::of(200, b"")
        };
        let verdict = Apns.verdict(&Response::Http(Ok(named)));
        assert_eq!(shown(&verdict), "accepted id-1");
        let unsent = Response::Http(Err(HttpError::NotSent("refused".into())));
        assert_eq!(shown(&Apns.verdict(&unsent)), "retry");
        let unknown = Response::Http(Err(HttpError::Unknown("reset".into())));
        assert_eq!(shown(&Apns.verdict(&unknown)), "unknown");
    }

    #[test]
    fn only_an_expired_provider_token_is_replaced() {
        for (status, reason, expected) in [
            (403, "ExpiredProviderToken", true),
            (403, "InvalidProviderToken", false),
            (400, "ExpiredProviderToken", false),
        ] {
            let body = json!({ "reason": reason }).to_string();
            assert_eq!(
                Apns.refuses_token(&answered(status, &body)),
                expected,
                "{status} {reason}"
            );
        }
        assert!(!Apns.refuses_token(&answered(403, "")));
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        let with = |key: &str, value: &str| {
            let mut secret = secret();
            secret[key] = value.into();
            secret.to_string()
        };
        for (secret, expected) in [
            (String::new(), "the secret must be"),
            ("{}".into(), "the secret must be"),
            (with("other", "x"), "the secret must be"),
            (with("key_id", "a b"), "`key_id` of the secret"),
            (with("team_id", ""), "`team_id` of the secret"),
            (with("private_key", "c2VjcmV0"), "`private_key` must be"),
        ] {
            let reason = Apns.check_secret(&secret).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
            assert!(
                !reason.contains("c2VjcmV0") && !reason.contains("MIG"),
                "{reason}"
            );
        }
        assert_eq!(Apns.check_secret(&secret().to_string()), Ok(()));
    }

    #[test]
    fn wrong_settings_and_addresses_are_named() {
        for (key, value, expected) in [
            ("url", json!("ftp://x"), "`url` must"),
            ("topic", json!("a b"), "`topic` must"),
            ("topic", json!(1), "`topic` must"),
            ("category", json!("x"), "`category` is not a setting"),
        ] {
            let mut account = app();
            account.settings.insert(key.into(), value);
            let reason = Apns.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
        let reason = Apns.check(&account("apns")).unwrap_err();
        assert!(reason.starts_with("`topic` must"), "{reason}");
        assert_eq!(Apns.check(&app()), Ok(()));
        assert_eq!(Apns.check_address(DEVICE), Ok(()));
        let (odd, letters) = ("0".repeat(65), "g".repeat(64));
        for address in ["", "00fc", odd.as_str(), letters.as_str(), "../../x"] {
            assert!(Apns.check_address(address).is_err(), "{address}");
        }
    }
}
