//! Sends template messages through a public account of WeChat to its followers (reference/notifications.md, section 1.3).
//! A public account is another product than WeCom: it has another host, and a person agrees by following the account. The
//! operator of the account chooses the template, which shows the members `first`, `keyword1` and so on, and `remark`.

use domain::attempt::Verdict;
use domain::notification::content::{Content, one_line};
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::wechat::{self, Answer, MINUTE_MS, narrow};
use super::{
    Access, Channel, Outgoing, Request, Response, TIMEOUT, Token, accepted, check_url, of_http,
    only, text,
};
use crate::http::{HttpError, HttpRequest, HttpResponse, RESPONSE_BYTES_MAX};

/// The default base address of the API of WeChat.
const URL: &str = "https://api.weixin.qq.com";
/// The pause after a refusal because of the limit for one day, in milliseconds: one hour.
const DAY_LIMIT_MS: i64 = 3_600_000;
/// The default number of keywords in a template, and the largest number.
const KEYWORDS: usize = 3;
const KEYWORDS_MAX: usize = 9;
/// Maximum length of one member of a template, in columns. A Chinese character has two columns.
const FIELD_COLUMNS: usize = 200;
/// The text of a keyword for which the message has no value. A keyword must not be empty.
const NO_VALUE: &str = "-";

/// The channel that sends template messages through public accounts of WeChat.
#[derive(Clone, Copy, Debug)]
pub struct PublicAccount;

/// The secret data of one public account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    appid: String,
    secret: String,
}

impl Channel for PublicAccount {
    fn name(&self) -> &'static str {
        "public_account"
    }

    fn address_kind(&self) -> &'static str {
        "openid"
    }

    /// Returns true. WeChat sends messages with the same `client_msg_id` only once within 10 minutes.
    fn may_repeat(&self) -> bool {
        true
    }

    /// Returns false. A message goes to one follower.
    fn is_shared(&self, _account: &Defined, _to: &str) -> bool {
        false
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if (1..=64).contains(&address.len()) && address.chars().all(is_id) {
            Ok(())
        } else {
            Err("be an openid of WeChat: 1 to 64 letters, digits and _ -".into())
        }
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["url", "template_id", "keywords"])?;
        check_url(account, "url")?;
        template(account)?;
        keywords(account).map(drop)
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        read(secret).map(drop)
    }

    fn access(&self, account: &Defined, secret: &str, _now: Moment) -> Result<Access, String> {
        let Secret { appid, secret } = read(secret)?;
        let address = format!("{}/cgi-bin/token", base(account));
        let query = [
            ("grant_type", "client_credential"),
            ("appid", appid.as_str()),
            ("secret", secret.as_str()),
        ];
        let url = wechat::url(&address, &query)?;
        let request = HttpRequest::get(url, TIMEOUT, RESPONSE_BYTES_MAX);
        Ok(Access::Asked(request))
    }

    fn token(&self, response: &Result<HttpResponse, HttpError>) -> Result<Token, Verdict> {
        wechat::token(response, failure)
    }

    fn refuses_token(&self, response: &Response) -> bool {
        matches!(response, Response::Http(Ok(response)) if wechat::refuses_token(response))
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let account = outgoing.account;
        let address = format!("{}/cgi-bin/message/template/send", base(account));
        let url = wechat::url(&address, &[("access_token", outgoing.token)])?;
        let body = json!({
            "touser": outgoing.to,
            "template_id": template(account)?,
            "url": outgoing.content.link.url,
            "client_msg_id": outgoing.id,
            "data": fields(outgoing.content, keywords(account)?),
        });
        Ok(Request::Http(wechat::post(url, &body)))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
    }
}

fn base(account: &Defined) -> &str {
    wechat::base(text(account, "url"), URL)
}

fn template(account: &Defined) -> Result<&str, String> {
    let template = text(account, "template_id");
    let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if (1..=64).contains(&template.len()) && template.chars().all(is_id) {
        Ok(template)
    } else {
        Err("`template_id` must be the id of a template message".into())
    }
}

/// Returns the number of keywords in the template.
fn keywords(account: &Defined) -> Result<usize, String> {
    let Some(value) = account.settings.get("keywords") else {
        return Ok(KEYWORDS);
    };
    value
        .as_u64()
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| (1..=KEYWORDS_MAX).contains(count))
        .ok_or_else(|| format!("`keywords` must be a number from 1 to {KEYWORDS_MAX}"))
}

fn read(secret: &str) -> Result<Secret, String> {
    serde_json::from_str::<Secret>(secret)
        .ok()
        .filter(|Secret { appid, secret }| !appid.is_empty() && !secret.is_empty())
        .ok_or_else(|| {
            r#"the secret must be {"appid": "wx...", "secret": "..."} on one line"#.to_owned()
        })
}

/// Returns the members of a template: the keywords are the ticket number, the subject and the values of the ticket. A template
/// has a fixed number of keywords, so further values are omitted.
fn fields(content: &Content, keywords: usize) -> Value {
    let values = content.values.iter().map(|(_, value)| value.as_str());
    let shown = [content.thread.as_str(), content.subject.as_str()]
        .into_iter()
        .chain(values)
        .chain(std::iter::repeat(NO_VALUE))
        .take(keywords);
    let mut fields: Map<String, Value> = shown
        .enumerate()
        .map(|(at, value)| (format!("keyword{}", at + 1), field(value)))
        .collect();
    fields.insert("first".into(), field(&content.intro));
    fields.insert("remark".into(), field(&content.closing));
    fields.into()
}

fn field(text: &str) -> Value {
    let text = narrow(&plain(text), FIELD_COLUMNS);
    json!({ "value": if text.is_empty() { NO_VALUE } else { text.as_str() } })
}

/// Returns a text as one line without the brackets that mark the members of a template.
fn plain(text: &str) -> String {
    one_line(text).replace('{', "｛").replace('}', "｝")
}

/// Converts a response of WeChat to a verdict (the result of an attempt).
fn judge(response: &HttpResponse) -> Verdict {
    match wechat::answer(response, true) {
        Ok(answer) if answer.code == 0 => accepted("0", answer.text("msgid")),
        Ok(answer) => failure(&answer),
        Err(verdict) => verdict,
    }
}

/// Returns the verdict (the result of an attempt) for a code that is not 0. An unknown code means a permanent failure.
fn failure(answer: &Answer) -> Verdict {
    match answer.code {
        -1 => answer.busy(),
        // The limit of 45009 is for one day, and the limit of 45011 is for one minute.
        45_009 => answer.throttled(DAY_LIMIT_MS),
        45_011 => answer.throttled(MINUTE_MS),
        code if wechat::is_token_code(code) => answer.refused(FailureClass::Credential),
        // The codes 40013, 40125 and 40164 mean an unknown account, a wrong secret and an address that is not allowed.
        // 41002 and 41004 mean that the account or its secret is missing.
        40_013 | 40_125 | 40_164 | 41_002 | 41_004 => answer.refused(FailureClass::Credential),
        // The openid is wrong, the person does not follow the account, or the person refuses messages.
        40_003 | 43_004 | 43_101 => answer.refused(FailureClass::RecipientInvalid),
        45_002 => answer.refused(FailureClass::TooLarge),
        _ => answer.refused(FailureClass::Permanent),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::contract::{account, content, outgoing, shown};
    use super::super::wechat::tests::{nasty_contents, response};
    use super::*;

    const SECRET: &str = r#"{"appid": "wx1", "secret": "s"}"#;

    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (
            200,
            r#"{"errcode":0,"errmsg":"ok","msgid":200228332}"#,
            "accepted 200228332",
        ),
        (200, r#"{"errcode":0}"#, "accepted"),
        (200, r#"{"errcode":-1}"#, "retry"),
        (200, r#"{"errcode":40001}"#, "credential 40001"),
        (200, r#"{"errcode":40014}"#, "credential 40014"),
        (200, r#"{"errcode":42001}"#, "credential 42001"),
        (200, r#"{"errcode":40013}"#, "credential 40013"),
        (200, r#"{"errcode":40125}"#, "credential 40125"),
        (200, r#"{"errcode":40164}"#, "credential 40164"),
        (200, r#"{"errcode":41002}"#, "credential 41002"),
        (200, r#"{"errcode":41004}"#, "credential 41004"),
        (200, r#"{"errcode":40003}"#, "recipient_invalid 40003"),
        (200, r#"{"errcode":43004}"#, "recipient_invalid 43004"),
        (200, r#"{"errcode":43101}"#, "recipient_invalid 43101"),
        (200, r#"{"errcode":45009}"#, "throttled 3600000"),
        (200, r#"{"errcode":45011}"#, "throttled 60000"),
        (200, r#"{"errcode":45002}"#, "too_large 45002"),
        (200, r#"{"errcode":40037}"#, "permanent 40037"),
        (200, r#"{"errcode":47003}"#, "permanent 47003"),
        (200, r#"{"errcode":999999}"#, "permanent 999999"),
        (200, r#"{"errcode":"0"}"#, "unknown"),
        (200, "{}", "unknown"),
        (200, "<html>", "unknown"),
        (404, "<html>", "permanent 404"),
        (429, "", "throttled 60000"),
        (500, r#"{"errcode":0}"#, "retry"),
        (502, "<html>", "retry"),
        (503, "", "retry"),
    ];

    #[test]
    fn every_code_has_its_verdict() {
        for (status, body, expected) in CODES {
            let verdict = PublicAccount.verdict(&response(*status, body));
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
        }
    }

    #[test]
    fn three_codes_refuse_the_token() {
        for (status, body, expected) in CODES {
            let is_refused = PublicAccount.refuses_token(&response(*status, body));
            let is_token_code = ["credential 40014", "credential 42001", "credential 40001"];
            assert_eq!(is_refused, is_token_code.contains(expected), "{body}");
        }
    }

    fn configured() -> Defined {
        let mut account = account("public_account");
        account
            .settings
            .insert("template_id".into(), json!("tpl_1-x"));
        account
    }

    fn sent(account: &Defined, content: &Content) -> (String, Value) {
        let outgoing = Outgoing {
            token: "t",
            ..outgoing(account, SECRET, "oABC-1", content)
        };
        let Ok(Request::Http(request)) = PublicAccount.request(&outgoing) else {
            panic!("a request")
        };
        (request.url, serde_json::from_slice(&request.body).unwrap())
    }

    #[test]
    fn a_token_is_requested_with_the_secret() {
        let access = PublicAccount.access(&configured(), SECRET, Moment(0));
        let Ok(Access::Asked(request)) = access else {
            panic!("a request")
        };
        let query = "grant_type=client_credential&appid=wx1&secret=s";
        assert_eq!(request.url, format!("{URL}/cgi-bin/token?{query}"));
    }

    #[test]
    fn a_message_fills_the_members_of_the_template() {
        let (url, body) = sent(&configured(), &content());
        let path = "cgi-bin/message/template/send";
        assert_eq!(url, format!("{URL}/{path}?access_token=t"));
        let expected = json!({
            "touser": "oABC-1", "template_id": "tpl_1-x", "url": "https://desk.example/tickets/REQ1",
            "client_msg_id": "0123456789abcdef0123456789abcdef",
            "data": {
                "first": { "value": "lisi，您好。" },
                "keyword1": { "value": "REQ1" },
                "keyword2": { "value": "请审批: 申请权限" },
                "keyword3": { "value": "高" },
                "remark": { "value": "您是节点的处理人。" },
            },
        });
        assert_eq!(body, expected);
        let mut account = configured();
        account.settings.insert("keywords".into(), json!(5));
        let (_, body) = sent(&account, &content());
        assert_eq!(body["data"]["keyword5"]["value"], "-");
        account.settings.insert("keywords".into(), json!(1));
        let (_, body) = sent(&account, &content());
        assert_eq!(body["data"].as_object().unwrap().len(), 3);
    }

    #[test]
    fn ticket_text_stays_in_its_member_and_fits() {
        for content in nasty_contents() {
            let (_, body) = sent(&configured(), &content);
            let data = body["data"].as_object().unwrap();
            assert_eq!(data.len(), 5);
            for field in data.values() {
                let text = field["value"].as_str().unwrap();
                assert!(!text.is_empty());
                assert!(text.chars().count() <= FIELD_COLUMNS, "{text}");
                assert!(!text.contains(['{', '}', '\n', '\r']), "{text}");
            }
            assert_eq!(body["touser"], "oABC-1");
        }
    }

    #[test]
    fn an_openid_is_one_follower() {
        for valid in ["oABC-1_x", "o"] {
            assert_eq!(PublicAccount.check_address(valid), Ok(()));
        }
        for invalid in ["", "a b", "@all", "李四", "a,b"] {
            assert!(PublicAccount.check_address(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        for secret in ["", "SECx", "{}", r#"{"appid":"","secret":"SECx"}"#] {
            let reason = PublicAccount.check_secret(secret).unwrap_err();
            assert!(reason.contains("appid"), "{reason}");
            assert!(!reason.contains("SECx"), "{reason}");
        }
        assert_eq!(PublicAccount.check_secret(SECRET), Ok(()));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (key, value, expected) in [
            ("url", json!("https://x/#y"), "`url` must"),
            ("template_id", json!(""), "`template_id` must"),
            ("template_id", json!("a b"), "`template_id` must"),
            ("keywords", json!(0), "`keywords` must"),
            ("keywords", json!(10), "`keywords` must"),
            ("keywords", json!("3"), "`keywords` must"),
            ("appid", json!("x"), "`appid` is not a setting"),
        ] {
            let mut account = configured();
            account.settings.insert(key.into(), value);
            let reason = PublicAccount.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
        assert_eq!(PublicAccount.check(&configured()), Ok(()));
        assert!(PublicAccount.check(&account("public_account")).is_err());
    }
}
