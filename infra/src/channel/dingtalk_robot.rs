//! Sends messages through a custom robot in a DingTalk group. Each request has a signature
//! (reference/notifications.md, section 1.2). Even if DingTalk refuses a message, the HTTP status is 200.
//! Only the code in the body of the response shows the result.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::attempt::Verdict;
use domain::notification::content::{Action, Content};
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde::Deserialize;
use serde_json::{Value, json};

use super::dingtalk::{self, BUTTONS_MAX};
use super::{Channel, Outgoing, Request, Response, accepted, check_url, of_http, only, text};
use crate::http::{HttpResponse, Url};

/// The default URL to which the desk sends messages for custom robots of DingTalk. The channel account (the settings
/// for one robot) can contain another URL.
const URL: &str = "https://oapi.dingtalk.com/robot/send";
/// Maximum number of messages that one robot may send in one minute.
const PER_MINUTE: u32 = 20;
/// Time in milliseconds for which DingTalk accepts no message of a robot after this robot has sent
/// messages too fast.
const BLOCKED_MS: i64 = 600_000;
/// Maximum size of the body of a request, in bytes. DingTalk refuses a larger message.
const BODY_MAX: usize = 20_000;

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
        dingtalk::check_address(address)
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
        let make = |content: &Content, is_cut: bool| {
            body(content, outgoing.to, keyword, is_cut).to_string()
        };
        let body = dingtalk::fitted(outgoing.content, BODY_MAX, make);
        Ok(Request::Http(dingtalk::post(url.into(), None, body)))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
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

/// Returns the body of a request. A message with buttons is an `actionCard`: each button opens a page of the desk.
fn body(content: &Content, to: &str, keyword: &str, is_cut: bool) -> Value {
    // DingTalk mentions a person only if the text contains the sign @ and the user id of the person.
    let text = dingtalk::markdown(content, &format!("@{to} "), keyword, is_cut);
    let title = dingtalk::plain(&content.subject);
    let at = json!({ "atUserIds": [to], "isAtAll": false });
    let mut card = json!({ "title": title, "text": text });
    match content.actions.as_slice() {
        [] => return json!({ "msgtype": "markdown", "markdown": card, "at": at }),
        [action] => {
            card["singleTitle"] = dingtalk::plain(&action.label).into();
            card["singleURL"] = action.url.as_str().into();
        }
        actions => {
            let button = |action: &Action| json!({ "title": dingtalk::plain(&action.label), "actionURL": action.url });
            card["btnOrientation"] = "0".into();
            card["btns"] = actions.iter().take(BUTTONS_MAX).map(button).collect();
        }
    }
    json!({ "msgtype": "actionCard", "actionCard": card, "at": at })
}

/// Converts a response of DingTalk to a verdict (the result of an attempt). An unknown code means a permanent
/// failure.
fn judge(response: &HttpResponse) -> Verdict {
    if response.status == 429 {
        return Verdict::Throttled {
            reason: "DingTalk answered with HTTP status 429".into(),
            after_ms: BLOCKED_MS,
        };
    }
    let answer = match dingtalk::old_answer(response) {
        Ok(answer) => answer,
        Err(verdict) => return verdict,
    };
    let reason = &answer.message;
    let code = answer.code.to_string();
    match answer.code {
        0 => accepted(code, ""),
        130_101 | 410_100 | 90_030 => Verdict::Throttled {
            reason: format!("the robot was too fast (errcode {code}): {reason}").into(),
            after_ms: BLOCKED_MS,
        },
        // The code 310000 means a wrong signature, time, keyword or network address. The other codes mean an
        // unknown token, a stopped or missing robot, or a missing group.
        310_000 | 300_001 | 300_005 | 400_101 | 400_102 | 400_106 | 400_013 => {
            Verdict::refused(FailureClass::Credential, code, reason)
        }
        460_101 => Verdict::refused(FailureClass::TooLarge, code, reason),
        _ => dingtalk::old_refusal(&answer),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::contract::{account, content, outgoing, shown};
    use super::super::dingtalk::testing;
    use super::*;
    use crate::http::HttpError;

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
    fn a_flattened_body_is_escaped_and_replaces_the_built_in_lines() {
        let mut content = content();
        content.body = vec!["第一行 [x](http://evil.example)".into(), "@all".into()];
        let (_, body) = sent(&account("dingtalk_robot"), &content.flattened());
        let text = body["markdown"]["text"].as_str().unwrap();
        assert!(text.contains("@dt-1 第一行 ［x］"), "{text}");
        assert!(text.contains("- ＠all"), "{text}");
        assert!(!text.contains("lisi") && !text.contains("优先级"), "{text}");
    }

    #[test]
    fn no_text_of_a_ticket_adds_control_characters() {
        let nasty = testing::NASTY.iter().map(|text| (*text).to_owned());
        for text in nasty.chain(testing::random_texts(300)) {
            let mut content = testing::with_text(&text);
            let (_, body) = sent(&account("dingtalk_robot"), &content);
            testing::check_markdown(body["markdown"]["text"].as_str().unwrap(), 1);
            assert_eq!(
                body["at"],
                json!({ "atUserIds": ["dt-1"], "isAtAll": false })
            );
            content.actions = testing::with_actions(2).actions;
            content.actions[0].label = text;
            let (_, body) = sent(&account("dingtalk_robot"), &content);
            let card = &body["actionCard"];
            testing::check_markdown(card["text"].as_str().unwrap(), 1);
            let label = card["btns"][0]["title"].as_str().unwrap();
            assert!(!label.contains(['[', '<', '@', '\n']), "{label}");
        }
    }

    #[test]
    fn buttons_open_pages_of_the_desk() {
        let card = |count| {
            let (_, body) = sent(&account("dingtalk_robot"), &testing::with_actions(count));
            assert_eq!(body["msgtype"], "actionCard");
            assert_eq!(body["actionCard"]["title"], "请审批: 申请权限");
            body["actionCard"].clone()
        };
        let one = card(1);
        assert_eq!(one["singleTitle"], "操作1");
        assert_eq!(one["singleURL"], "https://desk.example/actions/1?token=t");
        let three = card(3);
        assert_eq!(three["btnOrientation"], "0");
        assert_eq!(
            three["btns"][2],
            json!({ "title": "操作3", "actionURL": "https://desk.example/actions/3?token=t" })
        );
        assert_eq!(card(9)["btns"].as_array().map(Vec::len), Some(BUTTONS_MAX));
    }

    #[test]
    fn a_large_message_is_cut_to_the_size_limit() {
        let account = account("dingtalk_robot");
        let content = testing::large();
        let outgoing = outgoing(&account, SECRET, "dt-1", &content);
        let Ok(Request::Http(request)) = DingtalkRobot.request(&outgoing) else {
            panic!("a request")
        };
        assert!(request.body.len() <= BODY_MAX, "{}", request.body.len());
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let text = body["actionCard"]["text"].as_str().unwrap();
        assert!(
            text.contains("- 0: ") && text.contains("\n\n…\n\n["),
            "{text}"
        );
        assert_eq!(body["actionCard"]["btns"].as_array().unwrap().len(), 2);
    }

    /// The codes of reference/notifications.md, section 1.2, with the expected verdicts.
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (200, r#"{"errcode":0,"errmsg":"ok"}"#, "accepted"),
        (200, r#"{"errcode":-1,"errmsg":"m"}"#, "retry"),
        (
            200,
            r#"{"errcode":130101,"errmsg":"m"}"#,
            "throttled 600000",
        ),
        (
            200,
            r#"{"errcode":410100,"errmsg":"m"}"#,
            "throttled 600000",
        ),
        (200, r#"{"errcode":90030,"errmsg":"m"}"#, "throttled 600000"),
        (200, r#"{"errcode":90018,"errmsg":"m"}"#, "throttled 60000"),
        (
            200,
            r#"{"errcode":310000,"errmsg":"m"}"#,
            "credential 310000",
        ),
        (
            200,
            r#"{"errcode":300001,"errmsg":"m"}"#,
            "credential 300001",
        ),
        (
            200,
            r#"{"errcode":300005,"errmsg":"m"}"#,
            "credential 300005",
        ),
        (
            200,
            r#"{"errcode":400101,"errmsg":"m"}"#,
            "credential 400101",
        ),
        (
            200,
            r#"{"errcode":400102,"errmsg":"m"}"#,
            "credential 400102",
        ),
        (
            200,
            r#"{"errcode":400106,"errmsg":"m"}"#,
            "credential 400106",
        ),
        (
            200,
            r#"{"errcode":400013,"errmsg":"m"}"#,
            "credential 400013",
        ),
        (
            200,
            r#"{"errcode":460101,"errmsg":"m"}"#,
            "too_large 460101",
        ),
        (
            200,
            r#"{"errcode":430101,"errmsg":"m"}"#,
            "permanent 430101",
        ),
        (
            200,
            r#"{"errcode":430102,"errmsg":"m"}"#,
            "permanent 430102",
        ),
        (
            200,
            r#"{"errcode":430103,"errmsg":"m"}"#,
            "permanent 430103",
        ),
        (
            200,
            r#"{"errcode":430104,"errmsg":"m"}"#,
            "permanent 430104",
        ),
        (
            200,
            r#"{"errcode":400105,"errmsg":"m"}"#,
            "permanent 400105",
        ),
        (200, r#"{"errcode":40035,"errmsg":"m"}"#, "permanent 40035"),
        (
            200,
            r#"{"errcode":999999,"errmsg":"m"}"#,
            "permanent 999999",
        ),
        (
            200,
            r#"{"errcode":88,"sub_code":"60011","sub_msg":"m"}"#,
            "credential 60011",
        ),
        (
            200,
            r#"{"status":1111,"wait":5,"punish":"deny"}"#,
            "throttled 300000",
        ),
        (200, "<html>", "unknown"),
        (200, r#"{"errcode":"0"}"#, "unknown"),
        (200, "[]", "unknown"),
        (403, "no", "permanent 403"),
        (429, "", "throttled 600000"),
        (500, "", "unknown"),
        (503, r#"{"errcode":0}"#, "retry"),
        (504, "<html>", "unknown"),
    ];

    #[test]
    fn every_code_has_its_verdict() {
        for (status, body, expected) in CODES {
            let response = HttpResponse::of(*status, body.as_bytes());
            let verdict = DingtalkRobot.verdict(&Response::Http(Ok(response)));
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
        }
        for (error, expected) in [
            (HttpError::NotSent("no connection".into()), "retry"),
            (HttpError::Unknown("timeout".into()), "unknown"),
        ] {
            let verdict = DingtalkRobot.verdict(&Response::Http(Err(error)));
            assert_eq!(shown(&verdict), expected);
        }
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
