//! Sends messages through a custom robot in a DingTalk group. Each request has a signature
//! (reference/notifications.md, section 1.2). Even if DingTalk refuses a message, the HTTP status is 200.
//! Only the code in the body of the response shows the result.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::attempt::Verdict;
use domain::notification::content::Content;
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Channel, Outgoing, Request, Response, TIMEOUT, accepted, check_url, only, text, unanswered,
};
use crate::http::{HttpRequest, HttpResponse, RESPONSE_BYTES_MAX, Url};

/// The default URL to which the desk sends messages for custom robots of DingTalk. The channel account (the settings
/// for one robot) can contain another URL.
const URL: &str = "https://oapi.dingtalk.com/robot/send";
/// Maximum number of messages that one robot may send in one minute.
const PER_MINUTE: u32 = 20;
/// Time in milliseconds for which DingTalk accepts no message of a robot after this robot has sent
/// messages too fast.
const BLOCKED_MS: i64 = 600_000;

/// The channel that sends messages through DingTalk robots.
#[derive(Clone, Copy, Debug)]
pub struct DingtalkRobot;

/// The secret data of one DingTalk robot. `access_token` is the token in the URL of the robot. `secret` is the key for
/// the signatures of requests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    access_token: String,
    secret: String,
}

impl Channel for DingtalkRobot {
    fn name(&self) -> &'static str {
        "dingtalk_robot"
    }

    fn address_kind(&self) -> &'static str {
        "dingtalk"
    }

    fn per_minute(&self) -> Option<u32> {
        Some(PER_MINUTE)
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if (1..=64).contains(&address.len()) && address.chars().all(is_id) {
            Ok(())
        } else {
            Err("be a DingTalk user id of 1 to 64 letters, digits and _ - .".into())
        }
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["url", "keyword"])?;
        check_url(account, "url")?;
        match account.settings.get("keyword") {
            None => Ok(()),
            Some(Value::String(keyword)) if !keyword.trim().is_empty() => Ok(()),
            Some(_) => Err("`keyword` must be a text".into()),
        }
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        read(secret).map(drop)
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let secret = read(outgoing.secret)?;
        let url = match text(outgoing.account, "url") {
            "" => URL,
            url => url,
        };
        let mut url: Url = url.parse().map_err(|_| "`url` is not a URL".to_owned())?;
        url.query_pairs_mut()
            .append_pair("access_token", &secret.access_token)
            .append_pair("timestamp", &outgoing.now.0.to_string())
            .append_pair("sign", &sign(&secret.secret, outgoing.now));
        let keyword = text(outgoing.account, "keyword");
        let body = json!({
            "msgtype": "markdown",
            "markdown": {
                "title": plain(&outgoing.content.subject),
                "text": markdown(outgoing.content, outgoing.to, keyword),
            },
            "at": { "atUserIds": [outgoing.to], "isAtAll": false },
        });
        Ok(Request::Http(HttpRequest {
            method: "POST".into(),
            url: url.into(),
            headers: vec![(
                "content-type".into(),
                "application/json; charset=utf-8".into(),
            )],
            body: body.to_string().into_bytes(),
            timeout: TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
        }))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        match response {
            Response::Http(Ok(response)) => judge(response),
            Response::Http(Err(error)) => unanswered(error),
            Response::Mail(_) => Verdict::retry("a robot sends no mails"),
        }
    }
}

fn read(secret: &str) -> Result<Secret, String> {
    serde_json::from_str(secret).map_err(|_| {
        r#"the secret must be {"access_token": "...", "secret": "SEC..."} on one line"#.to_owned()
    })
}

/// Returns the signature of a request at the time `at`, in Base64. The signature is an HMAC with
/// SHA-256. The signed text contains the time in milliseconds, a line break and `secret`. The key
/// of the HMAC is also `secret`.
pub fn sign(secret: &str, at: Moment) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let message = format!("{}\n{secret}", at.0);
    STANDARD.encode(ring::hmac::sign(&key, message.as_bytes()))
}

/// Returns `text` without the characters that have a special meaning in the Markdown of DingTalk.
/// Each of these characters is replaced by a similar full-width character. A ticket text can
/// therefore contain neither a link nor a mention of a person.
fn plain(text: &str) -> String {
    let replaced = |c| match c {
        '[' => '［',
        ']' => '］',
        '<' => '＜',
        '>' => '＞',
        '*' => '＊',
        '`' => '｀',
        '@' => '＠',
        '#' => '＃',
        c => c,
    };
    text.chars().map(replaced).collect()
}

fn markdown(content: &Content, to: &str, keyword: &str) -> String {
    // DingTalk mentions a person only if the text contains the sign @ and the user id of the person.
    let mut lines = vec![
        format!("#### {}", plain(&content.subject)),
        format!("@{to} {}", plain(&content.intro)),
    ];
    let values = content.values.iter();
    lines.extend(values.map(|(label, value)| format!("- {}: {}", plain(label), plain(value))));
    lines.push(format!(
        "[{}]({})",
        plain(&content.link.text),
        content.link.url
    ));
    lines.push(plain(&content.closing));
    if !keyword.is_empty() {
        lines.push(plain(keyword));
    }
    lines.join("\n\n")
}

/// Converts a response of DingTalk to a verdict (the result of an attempt). An unknown code means a permanent
/// failure.
fn judge(response: &HttpResponse) -> Verdict {
    let status = response.status;
    match status {
        429 => {
            return Verdict::Throttled {
                reason: "DingTalk answered with HTTP status 429".into(),
                after_ms: BLOCKED_MS,
            };
        }
        503 => return Verdict::retry(format!("DingTalk answered with HTTP status {status}")),
        _ => {}
    }
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    let code = body.as_ref().and_then(|body| body.get("errcode")?.as_i64());
    let message = body
        .as_ref()
        .and_then(|body| body.get("errmsg")?.as_str())
        .unwrap_or_default();
    let Some(code) = code else {
        let reason = format!("the response with HTTP status {status} has no `errcode`");
        // A response without a code probably comes from another server than DingTalk, such as a proxy. It is possible
        // that this server has forwarded the message to DingTalk.
        return if response.is_success() || status >= 500 {
            Verdict::Unknown {
                reason: reason.into(),
            }
        } else {
            Verdict::refused(FailureClass::Permanent, status.to_string(), reason)
        };
    };
    let reason = domain::notification::content::one_line(message);
    let text = code.to_string();
    match code {
        0 => accepted(text, ""),
        -1 => Verdict::retry(format!("DingTalk is busy (errcode -1): {reason}")),
        130_101 | 410_100 | 90_030 => Verdict::Throttled {
            reason: format!("the robot was too fast (errcode {code}): {reason}").into(),
            after_ms: BLOCKED_MS,
        },
        // The code 310000 means a wrong signature, time, keyword or network address. The other codes mean an
        // unknown token, a stopped robot or a missing group.
        310_000 | 300_001 | 400_101 | 400_102 | 400_013 => {
            Verdict::refused(FailureClass::Credential, text, reason)
        }
        _ => Verdict::refused(FailureClass::Permanent, text, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::{account, content, outgoing};
    use super::*;

    const SECRET: &str = r#"{"access_token": "t", "secret": "SECthisissecret"}"#;

    #[test]
    fn the_signature_equals_the_vector_of_two_other_programs() {
        // The expected signature is from reference/notifications.md, section 3.
        let expected = "5q4b548N312N4pjSdO3kMfu43KzSAjl0odWcLyS2W1s=";
        assert_eq!(sign("SECthisissecret", Moment(1_577_262_236_757)), expected);
    }

    fn sent(account: &Defined, content: &Content) -> (String, Value) {
        let outgoing = Outgoing {
            now: Moment(1_577_262_236_757),
            ..outgoing(account, SECRET, "dt-1", content)
        };
        let Ok(Request::Http(request)) = DingtalkRobot.request(&outgoing) else {
            panic!("a request")
        };
        (request.url, serde_json::from_slice(&request.body).unwrap())
    }

    #[test]
    fn the_time_and_the_signature_are_in_the_query() {
        let (url, body) = sent(&account("dingtalk_robot"), &content());
        let expected = format!(
            "{URL}?access_token=t&timestamp=1577262236757&sign=5q4b548N312N4pjSdO3kMfu43KzSAjl0odWcLyS2W1s%3D"
        );
        assert_eq!(url, expected);
        assert_eq!(body["msgtype"], "markdown");
        assert_eq!(
            body["at"],
            json!({ "atUserIds": ["dt-1"], "isAtAll": false })
        );
        let text = body["markdown"]["text"].as_str().unwrap();
        assert!(text.contains("@dt-1 "), "{text}");
        assert!(
            text.contains("(https://desk.example/tickets/REQ1)"),
            "{text}"
        );
    }

    #[test]
    fn a_keyword_of_the_robot_is_part_of_the_text() {
        let mut account = account("dingtalk_robot");
        account.settings.insert("keyword".into(), "工单".into());
        assert_eq!(DingtalkRobot.check(&account), Ok(()));
        let (_, body) = sent(&account, &content());
        assert!(
            body["markdown"]["text"]
                .as_str()
                .unwrap()
                .ends_with("\n\n工单")
        );
    }

    #[test]
    fn ticket_text_contains_no_control_characters_of_markdown() {
        let mut content = content();
        content.subject = "# [x](http://evil.example) <b> **@all** `x`".into();
        content.values = vec![("[l](u)".into(), "[click](http://evil.example) @all".into())];
        let (_, body) = sent(&account("dingtalk_robot"), &content);
        let text = body["markdown"]["text"].as_str().unwrap();
        assert_eq!(text.matches('[').count(), 1, "only our own link: {text}");
        assert_eq!(text.matches('@').count(), 1, "only our own mention: {text}");
        assert!(!text.contains(['<', '>', '*', '`']), "{text}");
    }

    #[test]
    fn only_the_code_zero_is_accepted() {
        use FailureClass::{Credential, Permanent};
        let of = |status, body: &str| {
            DingtalkRobot.verdict(&Response::Http(Ok(HttpResponse::of(
                status,
                body.as_bytes(),
            ))))
        };
        let code = |code: i64| of(200, &json!({ "errcode": code, "errmsg": "m" }).to_string());
        assert!(matches!(code(0), Verdict::Succeeded { .. }));
        for (number, class) in [
            (310_000, Credential),
            (300_001, Credential),
            (400_101, Credential),
            (400_102, Credential),
            (400_013, Credential),
            (430_101, Permanent),
            (999_999, Permanent),
        ] {
            let expected = Verdict::refused(class, number.to_string(), "m");
            assert_eq!(code(number), expected);
        }
        for number in [130_101, 410_100, 90_030] {
            let verdict = code(number);
            assert!(
                matches!(
                    verdict,
                    Verdict::Throttled {
                        after_ms: 600_000,
                        ..
                    }
                ),
                "{verdict:?}"
            );
        }
        assert!(matches!(code(-1), Verdict::Retry { .. }));
        assert!(matches!(of(200, "<html>"), Verdict::Unknown { .. }));
        assert!(matches!(
            of(200, r#"{"errcode":"0"}"#),
            Verdict::Unknown { .. }
        ));
        assert!(matches!(
            of(403, "no"),
            Verdict::Refused {
                class: Permanent,
                ..
            }
        ));
        assert!(matches!(of(429, ""), Verdict::Throttled { .. }));
        assert!(matches!(of(503, r#"{"errcode":0}"#), Verdict::Retry { .. }));
        assert!(matches!(of(504, "<html>"), Verdict::Unknown { .. }));
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        for secret in ["", "SECx", "{}", r#"{"access_token":"t"}"#] {
            let reason = DingtalkRobot.check_secret(secret).unwrap_err();
            assert!(reason.contains("access_token"), "{reason}");
            assert!(!reason.contains("SECx"), "{reason}");
        }
        assert_eq!(DingtalkRobot.check_secret(SECRET), Ok(()));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (key, value, expected) in [
            ("url", json!("ftp://x"), "`url` must"),
            ("url", json!("https://x/?a=b"), "`url` must"),
            ("keyword", json!(1), "`keyword` must"),
            ("token", json!("x"), "`token` is not a setting"),
        ] {
            let mut account = account("dingtalk_robot");
            account.settings.insert(key.into(), value);
            let reason = DingtalkRobot.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
    }
}
