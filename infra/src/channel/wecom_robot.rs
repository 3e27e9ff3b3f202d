//! Sends messages through a robot in a WeCom group (reference/notifications.md, section 1.3). The key of the robot is the
//! whole secret, and there is no signature. Even if WeCom refuses a message, the HTTP status is 200.

use domain::attempt::Verdict;
use domain::notification::content::{Content, labelled};
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde_json::{Value, json};

use super::wechat::{self, MINUTE_MS, Parts, plain};
use super::{Channel, Outgoing, Request, Response, accepted, check_url, of_http, only, text};
use crate::http::HttpResponse;

/// The default URL to which the desk sends messages for robots of WeCom.
const URL: &str = "https://qyapi.weixin.qq.com/cgi-bin/webhook/send";
/// Maximum number of messages that one robot may send in one minute.
const PER_MINUTE: u32 = 20;
/// Maximum size of a message of the type `text`, in bytes.
const TEXT_BYTES_MAX: usize = 2_048;
/// Maximum size of a message of the type `markdown`, in bytes.
const MARKDOWN_BYTES_MAX: usize = 4_096;
/// Maximum length of a key, in bytes. A key is a UUID, which has 36 bytes.
const KEY_BYTES_MAX: usize = 128;

/// The channel that sends messages through robots in WeCom groups.
#[derive(Clone, Copy, Debug)]
pub struct WecomRobot;

impl Channel for WecomRobot {
    fn name(&self) -> &'static str {
        "wecom_robot"
    }

    fn address_kind(&self) -> &'static str {
        "wecom"
    }

    fn per_minute(&self) -> Option<u32> {
        Some(PER_MINUTE)
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        wechat::check_member(address)
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["url", "format"])?;
        check_url(account, "url")?;
        is_markdown(account).map(drop)
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        key(secret).map(drop)
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let key = key(outgoing.secret)?;
        let address = wechat::base(text(outgoing.account, "url"), URL);
        let url = wechat::url(address, &[("key", key)])?;
        let body = if is_markdown(outgoing.account)? {
            let content = markdown(outgoing.content, outgoing.to);
            json!({ "msgtype": "markdown", "markdown": { "content": content } })
        } else {
            json!({
                "msgtype": "text",
                "text": { "content": simple(outgoing.content), "mentioned_list": [outgoing.to] },
            })
        };
        Ok(Request::Http(wechat::post(url, &body)))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
    }
}

/// Returns true if the account sends Markdown. Returns an error if the setting `format` is invalid.
fn is_markdown(account: &Defined) -> Result<bool, String> {
    match account.settings.get("format").map(Value::as_str) {
        None | Some(Some("text")) => Ok(false),
        Some(Some("markdown")) => Ok(true),
        Some(_) => Err("`format` must be text or markdown".into()),
    }
}

/// Returns the key of the robot. A line break at the end of the secret is ignored.
fn key(secret: &str) -> Result<&str, String> {
    let key = secret.trim();
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=KEY_BYTES_MAX).contains(&key.len()) && key.chars().all(is_key) {
        Ok(key)
    } else {
        Err("the secret must be the key of the robot: the text after `key=` in its address".into())
    }
}

fn simple(content: &Content) -> String {
    let link = |label: &str, url: &str| labelled(&plain(label), url);
    let actions = content.actions.iter();
    let actions = actions.map(|action| link(&action.label, &action.url));
    Parts {
        subject: plain(&content.subject),
        mention: String::new(),
        intro: plain(&content.intro),
        values: Parts::values(content, ""),
        links: std::iter::once(link(&content.link.text, &content.link.url))
            .chain(actions)
            .collect(),
        closing: plain(&content.closing),
    }
    .fitted("\n", TEXT_BYTES_MAX)
}

fn markdown(content: &Content, to: &str) -> String {
    let link = |label: &str, url: &str| format!("[{}]({})", plain(label), target(url));
    let actions = content.actions.iter();
    let actions = actions.map(|action| link(&action.label, &action.url));
    Parts {
        subject: format!("#### {}", plain(&content.subject)),
        mention: format!("<@{to}>"),
        intro: plain(&content.intro),
        values: Parts::values(content, "> "),
        links: std::iter::once(link(&content.link.text, &content.link.url))
            .chain(actions)
            .collect(),
        closing: plain(&content.closing),
    }
    .fitted("\n", MARKDOWN_BYTES_MAX)
}

/// Returns a URL for a link in Markdown. A bracket would end the link, so brackets are encoded.
fn target(url: &str) -> String {
    url.replace('(', "%28").replace(')', "%29")
}

/// Converts a response of WeCom to a verdict (the result of an attempt). An unknown code means a permanent failure.
fn judge(response: &HttpResponse) -> Verdict {
    // WeCom does not recognize a repeated message of a robot.
    let answer = match wechat::answer(response, false) {
        Ok(answer) => answer,
        Err(verdict) => return verdict,
    };
    match answer.code {
        0 => accepted("0", ""),
        -1 | 45_033 => answer.busy(),
        45_009 => answer.throttled(MINUTE_MS),
        93_000 => answer.refused(FailureClass::Credential),
        45_002 => answer.refused(FailureClass::TooLarge),
        _ => answer.refused(FailureClass::Permanent),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use domain::notification::content::Action;

    use super::super::contract::{account, content, outgoing, shown};
    use super::super::wechat::tests::{nasty_contents, response};
    use super::*;

    const KEY: &str = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa";

    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (200, r#"{"errcode":0,"errmsg":"ok"}"#, "accepted"),
        (200, r#"{"errcode":-1,"errmsg":"m"}"#, "retry"),
        (200, r#"{"errcode":45033,"errmsg":"m"}"#, "retry"),
        (200, r#"{"errcode":45009,"errmsg":"m"}"#, "throttled 60000"),
        (200, r#"{"errcode":93000,"errmsg":"m"}"#, "credential 93000"),
        (200, r#"{"errcode":45002,"errmsg":"m"}"#, "too_large 45002"),
        (200, r#"{"errcode":44004,"errmsg":"m"}"#, "permanent 44004"),
        (200, r#"{"errcode":40058,"errmsg":"m"}"#, "permanent 40058"),
        (
            200,
            r#"{"errcode":999999,"errmsg":"m"}"#,
            "permanent 999999",
        ),
        (200, r#"{"errcode":"0"}"#, "unknown"),
        (200, "{}", "unknown"),
        (200, "<html>", "unknown"),
        (200, "", "unknown"),
        (302, "", "permanent 302"),
        (403, "no", "permanent 403"),
        (404, r#"{"errcode":0}"#, "permanent 404"),
        (429, "", "throttled 60000"),
        (500, "<html>", "unknown"),
        (503, r#"{"errcode":0}"#, "retry"),
        (504, r#"{"errcode":0}"#, "unknown"),
    ];

    #[test]
    fn every_code_has_its_verdict() {
        for (status, body, expected) in CODES {
            let verdict = WecomRobot.verdict(&response(*status, body));
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
        }
    }

    fn sent(account: &Defined, content: &Content) -> (String, Value) {
        let outgoing = outgoing(account, KEY, "lisi", content);
        let Ok(Request::Http(request)) = WecomRobot.request(&outgoing) else {
            panic!("a request")
        };
        (request.url, serde_json::from_slice(&request.body).unwrap())
    }

    fn markdown_account() -> Defined {
        let mut account = account("wecom_robot");
        account.settings.insert("format".into(), "markdown".into());
        account
    }

    #[test]
    fn a_text_mentions_the_person_and_contains_the_link() {
        let (url, body) = sent(&account("wecom_robot"), &content());
        assert_eq!(url, format!("{URL}?key={KEY}"));
        let expected = "请审批: 申请权限\nlisi，您好。\n优先级：高\n打开工单：https://desk.example/tickets/REQ1\n您是节点的处理人。";
        assert_eq!(
            body,
            json!({ "msgtype": "text", "text": { "content": expected, "mentioned_list": ["lisi"] } })
        );
    }

    #[test]
    fn buttons_are_links_to_pages_of_the_desk() {
        let mut content = content();
        content.actions = vec![Action {
            name: "approve".into(),
            label: "同意".into(),
            is_primary: true,
            url: "https://desk.example/a?x=(1)".into(),
            value: "signed".into(),
        }];
        let (_, body) = sent(&markdown_account(), &content);
        let text = body["markdown"]["content"].as_str().unwrap();
        assert!(
            text.contains("[同意](https://desk.example/a?x=%281%29)"),
            "{text}"
        );
        let (_, body) = sent(&account("wecom_robot"), &content);
        let text = body["text"]["content"].as_str().unwrap();
        assert!(
            text.contains("同意：https://desk.example/a?x=(1)"),
            "{text}"
        );
        assert!(!text.contains("signed"), "{text}");
    }

    #[test]
    fn ticket_text_contains_no_control_syntax_and_fits() {
        let markdown = markdown_account();
        for content in nasty_contents() {
            let (_, body) = sent(&markdown, &content);
            let text = body["markdown"]["content"].as_str().unwrap();
            assert!(text.len() <= MARKDOWN_BYTES_MAX, "{} bytes", text.len());
            assert_eq!(text.matches("](").count(), 1, "only our own link: {text}");
            assert_eq!(text.matches('@').count(), 1, "only our own mention: {text}");
            assert_eq!(text.matches('<').count(), 1, "{text}");
            assert!(text.contains("(https://desk.example/tickets/REQ1)"));
            let (_, body) = sent(&account("wecom_robot"), &content);
            let text = body["text"]["content"].as_str().unwrap();
            assert!(text.len() <= TEXT_BYTES_MAX, "{} bytes", text.len());
            assert!(!text.contains(['@', '<', '>', '[', '`', '*']), "{text}");
            assert!(text.contains("https://desk.example/tickets/REQ1"), "{text}");
            assert_eq!(body["text"]["mentioned_list"], json!(["lisi"]));
        }
    }

    #[test]
    fn a_large_message_keeps_its_subject_and_its_link() {
        let mut content = content();
        content.values = (0..40)
            .map(|n| (format!("字段{n}"), "值".repeat(100)))
            .collect();
        let (_, body) = sent(&account("wecom_robot"), &content);
        let text = body["text"]["content"].as_str().unwrap();
        assert!((1_700..=TEXT_BYTES_MAX).contains(&text.len()));
        assert!(text.starts_with("请审批: 申请权限\n"), "{text}");
        assert!(text.contains("\n…\n打开工单：https://"), "{text}");
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        for secret in ["", "https://x/?key=SECx", "SECx y", "{\"key\":\"SECx\"}"] {
            let reason = WecomRobot.check_secret(secret).unwrap_err();
            assert!(reason.contains("`key=`"), "{reason}");
            assert!(!reason.contains("SECx"), "{reason}");
        }
        assert_eq!(WecomRobot.check_secret(&format!("{KEY}\n")), Ok(()));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (key, value, expected) in [
            ("url", json!("ftp://x"), "`url` must"),
            ("url", json!("https://x/?key=b"), "`url` must"),
            ("format", json!("html"), "`format` must"),
            ("format", json!(1), "`format` must"),
            ("key", json!("x"), "`key` is not a setting"),
        ] {
            let mut account = account("wecom_robot");
            account.settings.insert(key.into(), value);
            let reason = WecomRobot.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
        assert_eq!(WecomRobot.check(&markdown_account()), Ok(()));
    }
}
