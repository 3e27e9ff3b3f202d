//! Sends messages to mobile devices through Firebase Cloud Messaging (FCM), HTTP version 1 (reference/notifications.md,
//! section 1.7). The account is a service account of Google. Its private key signs a request for an access token. FCM
//! confirms only that it accepted a message, and not that a device received the message.

use std::net::Ipv4Addr;

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
use crate::http::{HttpError, HttpRequest, HttpResponse, RESPONSE_BYTES_MAX, Url};

/// The default base URL of FCM.
const URL: &str = "https://fcm.googleapis.com";
/// The default URL that issues access tokens.
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// The permission that the access token needs.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// The type of the request for an access token, encoded for a form (RFC 7523, section 2.1).
const GRANT_TYPE: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
/// The lifetime of the signed request for an access token, in seconds. Google allows at most one hour.
const ASSERTION_S: i64 = 3_600;
/// The lifetime of an access token in seconds, if the response does not state the lifetime.
const TOKEN_S: i64 = 3_600;
/// The time for which FCM tries to reach a device. A delivery (the sending of one message) is also open for one day.
const TIME_TO_LIVE: &str = "86400s";
/// The type of the part of an error that contains the code of FCM.
const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";

/// The channel that sends messages through FCM.
#[derive(Clone, Copy, Debug)]
pub struct Fcm;

/// The key file of a service account. Google adds further members, which FCM does not need.
#[derive(Deserialize)]
struct Secret {
    #[serde(rename = "type")]
    kind: String,
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    #[serde(default = "token_url")]
    token_uri: String,
}

fn token_url() -> String {
    TOKEN_URL.into()
}

/// The public data of a service account. Imitations of FCM need it to check requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub project: String,
    pub email: String,
    /// The public key as the structure `RSAPublicKey` of PKCS #1.
    pub public_key: Vec<u8>,
}

impl Channel for Fcm {
    fn name(&self) -> &'static str {
        "fcm"
    }

    fn address_kind(&self) -> &'static str {
        "fcm"
    }

    /// Returns false. A message goes to one device.
    fn is_shared(&self, _account: &Defined, _to: &str) -> bool {
        false
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':' | '.');
        if (20..=1_024).contains(&address.len()) && address.chars().all(is_token) {
            Ok(())
        } else {
            Err("be a registration token of FCM of 20 to 1024 letters, digits and _ - : .".into())
        }
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["url"])?;
        check_url(account, "url")
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        let secret = read(secret)?;
        SigningKey::read(Algorithm::Rs256, &secret.private_key).map(drop)
    }

    fn access(&self, _account: &Defined, secret: &str, now: Moment) -> Result<Access, String> {
        let secret = read(secret)?;
        let assertion = assertion(&secret, now)?;
        let form = ("content-type", "application/x-www-form-urlencoded");
        Ok(Access::Asked(HttpRequest {
            method: "POST".into(),
            url: secret.token_uri,
            headers: vec![(form.0.into(), form.1.into())],
            body: format!("grant_type={GRANT_TYPE}&assertion={assertion}").into_bytes(),
            timeout: TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
        }))
    }

    fn token(&self, response: &Result<HttpResponse, HttpError>) -> Result<Token, Verdict> {
        match response {
            Ok(response) => granted(response),
            // The message was not sent, so another attempt has no risk.
            Err(error) => Err(Verdict::retry(error.to_string())),
        }
    }

    fn refuses_token(&self, response: &Response) -> bool {
        let Response::Http(Ok(response)) = response else {
            return false;
        };
        // FCM also uses the status 401 if it cannot use the credentials of the app at Apple.
        response.status == 401
            && Refusal::read(&response.body).is_some_and(|refusal| !refusal.is_of_fcm)
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let secret = read(outgoing.secret)?;
        let base = match text(outgoing.account, "url") {
            "" => URL,
            url => url.trim_end_matches('/'),
        };
        Ok(Request::Http(HttpRequest {
            method: "POST".into(),
            url: format!("{base}/v1/projects/{}/messages:send", secret.project_id),
            headers: vec![
                ("authorization".into(), format!("Bearer {}", outgoing.token)),
                (
                    "content-type".into(),
                    "application/json; charset=utf-8".into(),
                ),
            ],
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
        "the secret must be the key file (JSON) of a service account with `type`, `project_id`, `private_key_id`, `private_key` and `client_email`"
            .to_owned()
    })?;
    let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.');
    if secret.kind != "service_account" {
        return Err("`type` of the secret must be service_account".into());
    }
    if secret.project_id.is_empty() || !secret.project_id.chars().all(is_id) {
        return Err("`project_id` of the secret must be the id of a project".into());
    }
    if !is_protected(&secret.token_uri) {
        return Err(
            "`token_uri` of the secret must be an HTTPS address; HTTP is possible on loopback only"
                .into(),
        );
    }
    Ok(secret)
}

/// Returns whether the connection to a URL is encrypted, or stays on this machine.
fn is_protected(url: &str) -> bool {
    let Ok(url) = url.parse::<Url>() else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let is_loopback = matches!(host, "localhost" | "[::1]")
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => true,
        "http" => is_loopback,
        _ => false,
    }
}

/// Returns the public data of the service account in a secret. If the secret is invalid, returns an English text.
pub fn identity(secret: &str) -> Result<Identity, String> {
    let secret = read(secret)?;
    let key = SigningKey::read(Algorithm::Rs256, &secret.private_key)?;
    Ok(Identity {
        project: secret.project_id,
        email: secret.client_email,
        public_key: key.public(),
    })
}

/// Returns the signed text with which the service account requests an access token at the time `now` (RFC 7523).
fn assertion(secret: &Secret, now: Moment) -> Result<String, String> {
    let key = SigningKey::read(Algorithm::Rs256, &secret.private_key)?;
    let header = json!({
        "alg": Algorithm::Rs256.name(),
        "typ": "JWT",
        "kid": secret.private_key_id,
    });
    let issued = now.0.div_euclid(1_000);
    let claims = json!({
        "iss": secret.client_email,
        "scope": SCOPE,
        "aud": secret.token_uri,
        "iat": issued,
        "exp": issued + ASSERTION_S,
    });
    key.sign(&header, &claims)
}

/// Reads the access token in a response.
fn granted(response: &HttpResponse) -> Result<Token, Verdict> {
    let status = response.status;
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if response.is_success() {
        let value = body["access_token"].as_str().unwrap_or_default();
        let seconds = body["expires_in"].as_i64().unwrap_or(TOKEN_S);
        if value.is_empty() {
            let reason = "the response to the request for an access token has no `access_token`";
            return Err(Verdict::retry(reason));
        }
        return Ok(Token {
            value: value.to_owned(),
            lifetime_ms: seconds.clamp(0, 24 * 3_600) * 1_000,
        });
    }
    let code = push::code(body["error"].as_str().unwrap_or_default());
    let detail = one_line(body["error_description"].as_str().unwrap_or_default());
    let reason = format!("no access token: HTTP status {status} {code} {detail}");
    let shown = if code.is_empty() {
        status.to_string()
    } else {
        code.clone()
    };
    Err(match (status, code.as_str()) {
        (429, _) => push::throttled(response, push::PAUSE_MS, reason),
        (500..=599, _) => push::retried(response, reason),
        // The most usual reasons: the key was deleted, or the clock of this machine is wrong.
        (401 | 403, _)
        | (
            _,
            "invalid_grant"
            | "invalid_client"
            | "unauthorized_client"
            | "invalid_scope"
            | "access_denied"
            | "account_not_found",
        ) => Verdict::refused(FailureClass::Credential, shown, reason),
        _ => Verdict::refused(FailureClass::Permanent, shown, reason),
    })
}

/// Returns the JSON of a message. All texts are values of JSON, so no text of a ticket can add a member.
fn message(outgoing: &Outgoing<'_>) -> Result<Vec<u8>, String> {
    let content = outgoing.content;
    let visible = visible(content);
    fitted(&content.actions, |actions| {
        let mut data = json!({
            "ticket": content.thread,
            "url": content.link.url,
            "delivery": outgoing.id,
        });
        // FCM allows only texts in `data`.
        if !actions.is_empty() {
            data["actions"] = buttons(actions).to_string().into();
        }
        json!({
            "message": {
                "token": outgoing.to,
                "notification": { "title": visible.title, "body": visible.text },
                "data": data,
                "android": {
                    "priority": "HIGH",
                    "ttl": TIME_TO_LIVE,
                    // A newer message about the same ticket replaces the older one.
                    "notification": { "tag": content.thread },
                },
            },
        })
    })
}

/// The error in a response of FCM.
struct Refusal {
    /// The code of FCM. If there is none, the code of the Google API.
    code: String,
    /// True if the code is one of FCM.
    is_of_fcm: bool,
    /// True if the error is about the registration token in the message.
    names_token: bool,
    message: String,
}

impl Refusal {
    fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let error = body.get("error").filter(|error| error.is_object())?;
        let details = error["details"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut of_fcm = details
            .iter()
            .filter(|detail| detail["@type"] == FCM_ERROR)
            .filter_map(|detail| detail["errorCode"].as_str());
        let of_fcm = of_fcm.next();
        let code = of_fcm.or_else(|| error["status"].as_str())?;
        let message = one_line(error["message"].as_str().unwrap_or_default());
        let violations = details
            .iter()
            .filter_map(|detail| detail["fieldViolations"].as_array())
            .flatten();
        let mut fields = violations.filter_map(|violation| violation["field"].as_str());
        Some(Self {
            code: push::code(code),
            is_of_fcm: of_fcm.is_some(),
            names_token: fields.any(|field| field == "message.token")
                || message.to_lowercase().contains("registration token"),
            message,
        })
    }
}

/// Converts a response of FCM to a verdict (the result of an attempt). An unknown code means a permanent failure.
fn judge(response: &HttpResponse) -> Verdict {
    use FailureClass::{Credential, Permanent, RecipientInvalid, TooLarge};
    let status = response.status;
    if response.is_success() {
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        return match body["name"].as_str() {
            Some(name) if !name.is_empty() => accepted(status.to_string(), one_line(name)),
            _ => push::unreadable(response, "FCM"),
        };
    }
    let Some(refusal) = Refusal::read(&response.body) else {
        return push::unreadable(response, "FCM");
    };
    let (code, reason) = (refusal.code, refusal.message);
    let refused = |class| Verdict::refused(class, code.as_str(), reason.as_str());
    match code.as_str() {
        "UNREGISTERED" => refused(RecipientInvalid),
        "INVALID_ARGUMENT" if refusal.names_token => refused(RecipientInvalid),
        "INVALID_ARGUMENT" if reason.contains("too big") => refused(TooLarge),
        "SENDER_ID_MISMATCH" | "THIRD_PARTY_AUTH_ERROR" | "APNS_AUTH_ERROR" => refused(Credential),
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => refused(Credential),
        "QUOTA_EXCEEDED" | "RESOURCE_EXHAUSTED" => push::throttled(
            response,
            push::PAUSE_MS,
            format!("the quota of the project is used up ({code}): {reason}"),
        ),
        "UNAVAILABLE" | "INTERNAL" => {
            push::retried(response, format!("FCM is busy ({code}): {reason}"))
        }
        "DEADLINE_EXCEEDED" => Verdict::Unknown {
            reason: format!("FCM did not finish in time ({code}): {reason}").into(),
        },
        _ => refused(Permanent),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use domain::notification::content::{Action, Content};

    use super::super::contract::{account, content, long_texts, outgoing, shown};
    use super::super::push::{PAYLOAD_BYTES_MAX, test_rsa_key, verified};
    use super::*;

    const DEVICE: &str = "cXf5v0aB:APA91bH_kq-0123456789";
    /// The Python package PyJWT 2.15.1 signed this text with the key of the tests at 1767225600 seconds.
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

    fn secret() -> Value {
        json!({
            "type": "service_account",
            "project_id": "demo",
            "private_key_id": "key-1",
            "private_key": test_rsa_key(),
            "client_email": "desk@demo.iam.gserviceaccount.com",
            "client_id": "1",
        })
    }

    fn sent(content: &Content) -> (HttpRequest, Value) {
        let (account, secret) = (account("fcm"), secret().to_string());
        let outgoing = Outgoing {
            token: "ya29.x",
            ..outgoing(&account, &secret, DEVICE, content)
        };
        let Ok(Request::Http(request)) = Fcm.request(&outgoing) else {
            panic!("a request")
        };
        let body = serde_json::from_slice(&request.body).unwrap();
        (request, body)
    }

    fn answered(status: u16, body: &str) -> Response {
        Response::Http(Ok(HttpResponse::of(status, body.as_bytes())))
    }

    #[test]
    fn the_request_for_a_token_equals_the_one_of_another_program() {
        let access = Fcm.access(
            &account("fcm"),
            &secret().to_string(),
            Moment(1_767_225_600_999),
        );
        let Ok(Access::Asked(request)) = access else {
            panic!("{access:?}")
        };
        assert_eq!(
            (request.method.as_str(), request.url.as_str()),
            ("POST", TOKEN_URL)
        );
        let expected = format!("grant_type={GRANT_TYPE}&assertion={ASSERTION}");
        assert_eq!(String::from_utf8(request.body).unwrap(), expected);
        let identity = identity(&secret().to_string()).unwrap();
        assert_eq!(
            (identity.project.as_str(), identity.email.as_str()),
            ("demo", "desk@demo.iam.gserviceaccount.com")
        );
        assert!(verified(ASSERTION, Algorithm::Rs256, &identity.public_key).is_some());
    }

    #[test]
    fn a_message_has_the_members_of_fcm() {
        let (request, body) = sent(&content());
        assert_eq!(
            request.url,
            "https://fcm.googleapis.com/v1/projects/demo/messages:send"
        );
        assert!(
            request
                .headers
                .contains(&("authorization".into(), "Bearer ya29.x".into()))
        );
        let expected = json!({
            "message": {
                "token": DEVICE,
                "notification": { "title": "REQ1 · 高", "body": "请审批: 申请权限" },
                "data": {
                    "ticket": "REQ1",
                    "url": "https://desk.example/tickets/REQ1",
                    "delivery": "0123456789abcdef0123456789abcdef",
                },
                "android": {
                    "priority": "HIGH",
                    "ttl": "86400s",
                    "notification": { "tag": "REQ1" },
                },
            },
        });
        assert_eq!(body, expected);
        let text = body.to_string();
        assert!(!text.contains("lisi"), "no personal data: {text}");
    }

    #[test]
    fn actions_are_one_text_in_the_data() {
        let mut content = content();
        let action = |name: &str| Action {
            name: name.into(),
            label: "批准".into(),
            is_primary: name == "approve",
            url: format!("https://desk.example/actions/{name}"),
            value: "signed".into(),
        };
        content.actions = vec![action("approve"), action("reject")];
        let (_, body) = sent(&content);
        let actions = body["message"]["data"]["actions"].as_str().expect("a text");
        let actions: Value = serde_json::from_str(actions).unwrap();
        assert_eq!(
            actions[1],
            json!({ "name": "reject", "label": "批准", "url": "https://desk.example/actions/reject" })
        );
    }

    #[test]
    fn ticket_text_adds_no_member_and_no_size() {
        let fixed = [
            r#"","to":"/topics/all"#,
            "\\\"}]}",
            "\u{0}\u{1f}\r\n\u{2028}",
            "<!channel> @all [x](http://evil.example)",
            "😀",
        ];
        for text in long_texts(&fixed, 7) {
            let mut content = content();
            content.subject = text.clone();
            content.values = vec![("优先级".into(), text.clone()), (text.clone(), text)];
            let (request, body) = sent(&content);
            assert!(request.body.len() <= PAYLOAD_BYTES_MAX);
            let message = body["message"].as_object().unwrap();
            let members: Vec<&str> = message.keys().map(String::as_str).collect();
            assert_eq!(members, ["android", "data", "notification", "token"]);
            let notification = message["notification"].as_object().unwrap();
            let members: Vec<&str> = notification.keys().map(String::as_str).collect();
            assert_eq!(members, ["body", "title"]);
            for shown in notification.values() {
                assert!(!shown.as_str().unwrap().contains(char::is_control));
            }
        }
    }

    /// Each code of reference/notifications.md, section 1.7, with its verdict.
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (
            200,
            r#"{"name":"projects/demo/messages/0:1"}"#,
            "accepted projects/demo/messages/0:1",
        ),
        (200, "{}", "unknown"),
        (200, "<html>", "unknown"),
        (
            404,
            r#"{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}"#,
            "recipient_invalid UNREGISTERED",
        ),
        (
            404,
            r#"{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}"#,
            "permanent NOT_FOUND",
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"The registration token is not a valid FCM registration token","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"}]}}"#,
            "recipient_invalid INVALID_ARGUMENT",
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"x","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.token","description":"x"}]}]}}"#,
            "recipient_invalid INVALID_ARGUMENT",
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"Invalid value at 'message.data[0].value' (TYPE_STRING), 1","status":"INVALID_ARGUMENT"}}"#,
            "permanent INVALID_ARGUMENT",
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"Android message is too big","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INVALID_ARGUMENT"}]}}"#,
            "too_large INVALID_ARGUMENT",
        ),
        (
            403,
            r#"{"error":{"code":403,"message":"SenderId mismatch","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"SENDER_ID_MISMATCH"}]}}"#,
            "credential SENDER_ID_MISMATCH",
        ),
        (
            403,
            r#"{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED"}}"#,
            "credential PERMISSION_DENIED",
        ),
        (
            401,
            r#"{"error":{"code":401,"message":"m","status":"UNAUTHENTICATED","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"THIRD_PARTY_AUTH_ERROR"}]}}"#,
            "credential THIRD_PARTY_AUTH_ERROR",
        ),
        (
            401,
            r#"{"error":{"code":401,"message":"m","status":"UNAUTHENTICATED"}}"#,
            "credential UNAUTHENTICATED",
        ),
        (
            429,
            r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"QUOTA_EXCEEDED"}]}}"#,
            "throttled 60000",
        ),
        (
            429,
            r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
            "throttled 60000",
        ),
        (
            503,
            r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNAVAILABLE"}]}}"#,
            "retry",
        ),
        (
            500,
            r#"{"error":{"code":500,"message":"m","status":"INTERNAL","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"INTERNAL"}]}}"#,
            "retry",
        ),
        (
            504,
            r#"{"error":{"code":504,"message":"m","status":"DEADLINE_EXCEEDED"}}"#,
            "unknown",
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNSPECIFIED_ERROR"}]}}"#,
            "permanent UNSPECIFIED_ERROR",
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"m","status":"NEW_CODE"}}"#,
            "permanent NEW_CODE",
        ),
        (400, r#"{"error":"text"}"#, "permanent 400"),
        (401, "<html>", "credential 401"),
        (413, "", "too_large 413"),
        (429, "", "throttled 60000"),
        (502, "<html>", "unknown"),
        (503, "<html>", "retry"),
    ];

    #[test]
    fn every_code_has_its_verdict() {
        for (status, body, expected) in CODES {
            let verdict = Fcm.verdict(&answered(*status, body));
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
        }
        let unsent = Response::Http(Err(HttpError::NotSent("refused".into())));
        assert_eq!(shown(&Fcm.verdict(&unsent)), "retry");
        let unknown = Response::Http(Err(HttpError::Unknown("reset".into())));
        assert_eq!(shown(&Fcm.verdict(&unknown)), "unknown");
    }

    #[test]
    fn only_a_refused_access_token_is_replaced() {
        let of = |code: &str| {
            let details = json!([{ "@type": FCM_ERROR, "errorCode": code }]);
            json!({ "error": { "status": "UNAUTHENTICATED", "details": details } }).to_string()
        };
        let plain = r#"{"error":{"status":"UNAUTHENTICATED"}}"#;
        assert!(Fcm.refuses_token(&answered(401, plain)));
        assert!(!Fcm.refuses_token(&answered(403, plain)));
        assert!(!Fcm.refuses_token(&answered(401, &of("THIRD_PARTY_AUTH_ERROR"))));
        assert!(!Fcm.refuses_token(&answered(401, "<html>")));
    }

    /// The responses of the server that issues access tokens, with the verdict. A token is shown with its lifetime.
    const TOKENS: &[(u16, &str, &str)] = &[
        (
            200,
            r#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#,
            "ya29.x 3599000",
        ),
        (200, r#"{"access_token":"ya29.x"}"#, "ya29.x 3600000"),
        (200, "{}", "retry"),
        (200, "<html>", "retry"),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
            "credential invalid_grant",
        ),
        (
            401,
            r#"{"error":"invalid_client"}"#,
            "credential invalid_client",
        ),
        (
            403,
            r#"{"error":"access_denied"}"#,
            "credential access_denied",
        ),
        (401, "", "credential 401"),
        (
            400,
            r#"{"error":"invalid_scope"}"#,
            "credential invalid_scope",
        ),
        (
            400,
            r#"{"error":"invalid_request"}"#,
            "permanent invalid_request",
        ),
        (404, "", "permanent 404"),
        (429, "", "throttled 60000"),
        (500, r#"{"error":"internal_failure"}"#, "retry"),
        (503, "", "retry"),
    ];

    #[test]
    fn every_response_to_a_token_request_has_its_result() {
        for (status, body, expected) in TOKENS {
            let shown = match Fcm.token(&Ok(HttpResponse::of(*status, body.as_bytes()))) {
                Ok(token) => format!("{} {}", token.value, token.lifetime_ms),
                Err(verdict) => shown(&verdict),
            };
            assert_eq!(shown, *expected, "{status} {body}");
        }
        // The message itself is not sent yet, so a lost response is no risk.
        let lost = Fcm.token(&Err(HttpError::Unknown("reset".into())));
        assert_eq!(shown(&lost.unwrap_err()), "retry");
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        let with = |key: &str, value: Value| {
            let mut secret = secret();
            secret[key] = value;
            secret.to_string()
        };
        for (secret, expected) in [
            (String::new(), "the secret must be the key file"),
            ("{}".into(), "the secret must be the key file"),
            (
                with("type", json!("authorized_user")),
                "`type` of the secret",
            ),
            (
                with("project_id", json!("a/../b")),
                "`project_id` of the secret",
            ),
            (
                with("private_key", json!("c2VjcmV0")),
                "`private_key` must be",
            ),
            (
                with("token_uri", json!("http://example.com/token")),
                "`token_uri` of the secret",
            ),
            (with("token_uri", json!("x")), "`token_uri` of the secret"),
        ] {
            let reason = Fcm.check_secret(&secret).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
            assert!(
                !reason.contains("c2VjcmV0") && !reason.contains("MII"),
                "{reason}"
            );
        }
        for url in [
            "https://example.com/token",
            "http://127.0.0.1:1/token",
            "http://[::1]:1/t",
        ] {
            assert_eq!(
                Fcm.check_secret(&with("token_uri", json!(url))),
                Ok(()),
                "{url}"
            );
        }
        assert_eq!(Fcm.check_secret(&secret().to_string()), Ok(()));
    }

    #[test]
    fn wrong_settings_and_addresses_are_named() {
        for (key, value, expected) in [
            ("url", json!("ftp://x"), "`url` must"),
            ("url", json!("https://x/?a=b"), "`url` must"),
            ("project", json!("x"), "`project` is not a setting"),
        ] {
            let mut account = account("fcm");
            account.settings.insert(key.into(), value);
            let reason = Fcm.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
        assert_eq!(Fcm.check_address(DEVICE), Ok(()));
        for address in [
            "",
            "short",
            "a b c d e f g h i j k l",
            "字字字字字字字字字字",
        ] {
            assert!(Fcm.check_address(address).is_err(), "{address}");
        }
    }
}
