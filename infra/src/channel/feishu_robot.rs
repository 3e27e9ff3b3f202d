//! Sends messages through a custom bot in a group of Feishu, or of Lark, which is Feishu outside of mainland China
//! (reference/notifications.md, section 1.5). The signature of a request is in its body. Even if Feishu refuses a message, the
//! HTTP status can be 200. Only the code in the body of the response shows the result. The buttons of a custom bot only open
//! pages of the desk.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::attempt::Verdict;
use domain::notification::content::{Action, Content};
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde::Deserialize;
use serde_json::{Value, json};

use super::feishu::{
    Answer, base, card, check_address, coded, fit, json_request, throttled, unlisted,
};
use super::{
    Channel, Outgoing, Request, Response, TargetLimit, accepted, check_url, of_http, only, text,
};
use crate::http::HttpResponse;

/// Maximum number of messages that one bot may send in one minute.
const PER_MINUTE: u32 = 100;
/// In one second, a bot may send 5 messages to its group.
const TARGET_LIMITS: &[TargetLimit] = &[TargetLimit {
    most: 5,
    period_ms: 1_000,
}];
/// Maximum size of the body of a request, in bytes.
const BODY_BYTES_MAX: usize = 20_000;
/// Pause before the next message after Feishu refused a message because of its limits, in milliseconds. Feishu names no pause.
const WAIT_MS: i64 = 10_000;

/// The channel that sends messages through custom bots of Feishu or Lark.
#[derive(Clone, Copy, Debug)]
pub struct FeishuRobot;

/// The secret data of one custom bot. `token` is the last part of the URL of the bot. `secret` is the key for the signatures of
/// requests. A bot without the check of signatures has no key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    token: String,
    #[serde(default)]
    secret: String,
}

impl Channel for FeishuRobot {
    fn name(&self) -> &'static str {
        "feishu_robot"
    }

    fn address_kind(&self) -> &'static str {
        "feishu"
    }

    fn per_minute(&self) -> Option<u32> {
        Some(PER_MINUTE)
    }

    fn target_limits(&self) -> &'static [TargetLimit] {
        TARGET_LIMITS
    }

    /// Returns an empty text: all messages of the account go to one group.
    fn target<'a>(&self, _account: &'a Defined, _to: &'a str) -> &'a str {
        ""
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        check_address(address)
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["url", "keyword"])?;
        check_url(account, "url")?;
        match account.settings.get("keyword").map(Value::as_str) {
            None => Ok(()),
            Some(Some(keyword)) if !keyword.trim().is_empty() && !keyword.contains('<') => Ok(()),
            Some(_) => Err("`keyword` must be a text without the character <".into()),
        }
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        read(secret).map(drop)
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let secret = read(outgoing.secret)?;
        check_address(outgoing.to).map_err(|reason| format!("the address must {reason}"))?;
        let url = format!(
            "{}/open-apis/bot/v2/hook/{}",
            base(outgoing.account),
            secret.token
        );
        let mut content = outgoing.content.clone();
        let keyword = text(outgoing.account, "keyword");
        if !keyword.is_empty() {
            content.intro = format!("{keyword} {}", content.intro);
        }
        let render = |content: &Content| body(&secret, outgoing, content).to_string();
        let rendered = fit(&content, BODY_BYTES_MAX, render);
        let mut request = json_request("POST", url, "", &Value::Null);
        request.body = rendered.into_bytes();
        Ok(Request::Http(request))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, |response| match coded(response) {
            Err(verdict) => verdict,
            Ok(answer) => judge(response, &answer),
        })
    }
}

fn read(secret: &str) -> Result<Secret, String> {
    // The token becomes a part of a URL, so only the characters of a token are allowed.
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    serde_json::from_str(secret)
        .ok()
        .filter(|secret: &Secret| {
            !secret.token.is_empty() && secret.token.chars().all(is_token)
        })
        .ok_or_else(|| {
            r#"the secret must be {"token": "...", "secret": "..."} on one line; `token` is the last part of the URL of the bot"#
                .to_owned()
        })
}

/// Returns the signature of a request at the time `at`, in Base64. The signature is an HMAC with SHA-256 of an empty text. The
/// key of the HMAC contains the time in seconds, a line break and `secret`.
pub fn sign(secret: &str, at: Moment) -> String {
    let key = format!("{}\n{secret}", seconds(at));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes());
    STANDARD.encode(ring::hmac::sign(&key, b""))
}

fn seconds(at: Moment) -> i64 {
    at.0.div_euclid(1_000)
}

fn body(secret: &Secret, outgoing: &Outgoing<'_>, content: &Content) -> Value {
    let link = |action: &Action| json!({ "url": action.url });
    let mut body = json!({
        "msg_type": "interactive",
        "card": card(content, mention(outgoing.to), link),
    });
    if !secret.secret.is_empty() {
        body["timestamp"] = seconds(outgoing.now).to_string().into();
        body["sign"] = sign(&secret.secret, outgoing.now).into();
    }
    body
}

/// Returns the element that mentions the person, so that the person is informed about the message in the group. The address is
/// checked, so it contains no special characters. Returns `None` for a group and for an id that a custom bot does not know.
fn mention(to: &str) -> Option<Value> {
    let kind = match to {
        to if to.starts_with("oc_") || to.starts_with("on_") => return None,
        to if to.contains('@') => "email",
        _ => "id",
    };
    let content = format!("<at {kind}={to}></at>");
    Some(json!({ "tag": "div", "text": { "tag": "lark_md", "content": content } }))
}

/// Converts the code of a response to a verdict (the result of an attempt). An unknown code means a permanent failure.
fn judge(response: &HttpResponse, answer: &Answer) -> Verdict {
    let (code, reason) = (answer.code, answer.reason.as_str());
    let credential = |cause: &str| {
        let reason = format!("{cause}: {reason}");
        Verdict::refused(FailureClass::Credential, code.to_string(), reason)
    };
    match code {
        0 => accepted("0", ""),
        11_232 => throttled(response, answer, WAIT_MS),
        19_001 => credential("the token is unknown"),
        19_021 => credential("the signature or the clock of this computer is wrong"),
        19_022 => credential("the network address of this computer is not allowed"),
        19_024 => credential("the message does not contain a keyword of the bot"),
        // The code 9499 means that the format of the message is wrong, so a repetition does not help.
        _ => unlisted(response, answer),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::contract::{account, content, outgoing, shown};
    use super::*;
    use crate::http::HttpRequest;

    const SECRET: &str = r#"{"token": "t-1", "secret": "demo"}"#;

    /// HTTP status, body and expected verdict of responses (reference/notifications.md, section 1.5).
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (200, r#"{"code":0,"msg":"success","data":{}}"#, "accepted"),
        (
            200,
            r#"{"Extra":null,"StatusCode":0,"StatusMessage":"success"}"#,
            "accepted",
        ),
        (200, r#"{"code":9499,"msg":"m"}"#, "permanent 9499"),
        (
            400,
            r#"{"code":9499,"msg":"Bad Request"}"#,
            "permanent 9499",
        ),
        (200, r#"{"code":19001,"msg":"m"}"#, "credential 19001"),
        (200, r#"{"code":19021,"msg":"m"}"#, "credential 19021"),
        (200, r#"{"code":19022,"msg":"m"}"#, "credential 19022"),
        (200, r#"{"code":19024,"msg":"m"}"#, "credential 19024"),
        (
            200,
            r#"{"StatusCode":19021,"StatusMessage":"m"}"#,
            "credential 19021",
        ),
        (200, r#"{"code":11232,"msg":"m"}"#, "throttled 10000"),
        (400, r#"{"code":11232,"msg":"m"}"#, "throttled 10000"),
        (429, "", "throttled 10000"),
        (413, "", "too_large 413"),
        (200, r#"{"code":999,"msg":"m"}"#, "permanent 999"),
        (500, r#"{"code":999,"msg":"m"}"#, "unknown"),
        (400, r#"{"code":0}"#, "unknown"),
        (503, r#"{"code":0}"#, "retry"),
        (504, "<html>", "unknown"),
        (200, "<html>", "unknown"),
        (200, r#"{"code":"0"}"#, "unknown"),
        (200, "", "unknown"),
        (404, "404 page not found", "permanent 404"),
    ];

    #[test]
    fn every_code_has_its_verdict() {
        for (status, body, expected) in CODES {
            let response = HttpResponse::of(*status, body.as_bytes());
            let verdict = FeishuRobot.verdict(&Response::Http(Ok(response)));
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
        }
        assert!(!FeishuRobot.may_repeat());
    }

    #[test]
    fn a_refusal_names_its_likely_cause() {
        let body = br#"{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}"#;
        let response = Response::Http(Ok(HttpResponse::of(200, body)));
        let Verdict::Refused { reason, .. } = FeishuRobot.verdict(&response) else {
            panic!("a refusal")
        };
        assert!(reason.contains("the clock of this computer"), "{reason}");
        assert!(reason.contains("sign match fail"), "{reason}");
    }

    #[test]
    fn the_signature_equals_the_vectors_of_other_programs() {
        // The expected signatures are from reference/notifications.md, section 3.
        for (secret, seconds, expected) in [
            (
                "xxx",
                1_661_860_880,
                "QnWVTSBe6FmQDE0bG6X0mURbI+DnvVyu1h+j5dHOjrU=",
            ),
            (
                "demo",
                1_599_360_473,
                "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=",
            ),
        ] {
            assert_eq!(sign(secret, Moment(seconds * 1_000 + 999)), expected);
        }
    }

    fn sent(account: &Defined, secret: &str, to: &str, content: &Content) -> (HttpRequest, Value) {
        let outgoing = Outgoing {
            now: Moment(1_599_360_473_000),
            ..outgoing(account, secret, to, content)
        };
        let Ok(Request::Http(request)) = FeishuRobot.request(&outgoing) else {
            panic!("a request")
        };
        let body = serde_json::from_slice(&request.body).unwrap();
        (request, body)
    }

    fn action() -> Action {
        Action {
            name: "approve".into(),
            label: "同意".into(),
            is_primary: true,
            url: "https://desk.example/act/1".into(),
            value: "signed".into(),
        }
    }

    #[test]
    fn the_signature_and_the_time_in_seconds_are_in_the_body() {
        let mut content = content();
        content.actions = vec![action()];
        let (request, body) = sent(&account("feishu_robot"), SECRET, "ou_1", &content);
        assert_eq!(
            request.url,
            "https://open.feishu.cn/open-apis/bot/v2/hook/t-1"
        );
        assert_eq!(body["timestamp"], "1599360473");
        assert_eq!(body["sign"], "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=");
        assert_eq!(body["msg_type"], "interactive");
        let elements = &body["card"]["elements"];
        assert_eq!(elements[0]["text"]["content"], "<at id=ou_1></at>");
        let buttons = &elements[3]["actions"];
        assert_eq!(buttons[0]["url"], "https://desk.example/act/1");
        assert!(buttons[0].get("value").is_none(), "no callback");
        assert_eq!(buttons[1]["url"], "https://desk.example/tickets/REQ1");
    }

    #[test]
    fn a_bot_without_a_key_needs_no_signature() {
        let (_, body) = sent(
            &account("feishu_robot"),
            r#"{"token":"t"}"#,
            "ou_1",
            &content(),
        );
        assert!(body.get("sign").is_none() && body.get("timestamp").is_none());
    }

    #[test]
    fn only_a_checked_address_is_mentioned() {
        let account = account("feishu_robot");
        for (to, expected) in [
            ("ou_1", Some("<at id=ou_1></at>")),
            ("g12", Some("<at id=g12></at>")),
            ("a@b.example", Some("<at email=a@b.example></at>")),
            ("oc_1", None),
            ("on_1", None),
        ] {
            let (_, body) = sent(&account, SECRET, to, &content());
            let first = &body["card"]["elements"][0]["text"];
            let mention = (first["tag"] == "lark_md").then(|| first["content"].as_str().unwrap());
            assert_eq!(mention, expected);
        }
        let content = content();
        for to in ["all", "x></at><at id=all", ""] {
            let outgoing = outgoing(&account, SECRET, to, &content);
            assert!(FeishuRobot.request(&outgoing).is_err(), "{to}");
        }
    }

    #[test]
    fn a_keyword_of_the_bot_is_part_of_the_text() {
        let mut account = account("feishu_robot");
        account.settings.insert("keyword".into(), "工单".into());
        assert_eq!(FeishuRobot.check(&account), Ok(()));
        let (_, body) = sent(&account, SECRET, "ou_1", &content());
        let intro = &body["card"]["elements"][1]["text"]["content"];
        assert!(intro.as_str().unwrap().starts_with("工单 "), "{intro}");
    }

    #[test]
    fn ticket_text_contains_no_mention() {
        for nasty in [
            "<at id=all></at>",
            "<at user_id=\"all\">x</at>",
            "[x](http://evil.example)",
            "\"}],\"elements\":[{\"tag\":\"lark_md\"",
            "\\\"<\n<",
        ] {
            let mut content = content();
            content.subject = nasty.into();
            content.intro = nasty.into();
            content.values = vec![(nasty.into(), nasty.into())];
            content.closing = nasty.into();
            let (request, body) = sent(&account("feishu_robot"), SECRET, "ou_1", &content);
            let text = String::from_utf8(request.body).unwrap();
            assert_eq!(text.matches("<at").count(), 1, "only our own: {text}");
            assert_eq!(text.matches('<').count(), 2, "only our own: {text}");
            let elements = body["card"]["elements"].as_array().unwrap();
            assert_eq!(elements.len(), 5, "{body}");
        }
    }

    #[test]
    fn a_large_message_loses_values_from_the_end() {
        let mut content = content();
        content.actions = vec![action()];
        content.values = (0..100)
            .map(|number| (format!("v{number}"), "字".repeat(400)))
            .collect();
        let (request, body) = sent(&account("feishu_robot"), SECRET, "ou_1", &content);
        let size = request.body.len();
        assert!(
            (BODY_BYTES_MAX - 1_500..=BODY_BYTES_MAX).contains(&size),
            "{size}"
        );
        let elements = &body["card"]["elements"];
        let fields = elements[2]["fields"].as_array().unwrap();
        assert_eq!(fields.last().unwrap()["text"]["content"], "…");
        assert_eq!(elements[3]["actions"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        for secret in [
            "",
            "hidden",
            "{}",
            r#"{"token":""}"#,
            r#"{"token":"hidden/../x"}"#,
            r#"{"token":"t","key":"hidden"}"#,
        ] {
            let reason = FeishuRobot.check_secret(secret).unwrap_err();
            assert!(reason.contains("token"), "{reason}");
            assert!(!reason.contains("hidden"), "{reason}");
        }
        assert_eq!(FeishuRobot.check_secret(SECRET), Ok(()));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (key, value, expected) in [
            ("url", json!("ftp://x"), "`url` must"),
            ("url", json!("https://x/?a=b"), "`url` must"),
            ("keyword", json!(1), "`keyword` must"),
            ("keyword", json!(" "), "`keyword` must"),
            ("keyword", json!("<x"), "`keyword` must"),
            ("token", json!("x"), "`token` is not a setting"),
        ] {
            let mut account = account("feishu_robot");
            account.settings.insert(key.into(), value);
            let reason = FeishuRobot.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
    }
}
