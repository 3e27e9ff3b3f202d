//! Contains the parts that the channels of DingTalk have in common (reference/notifications.md, section 1.2): addresses,
//! Markdown, size limits, the credentials of apps, and the codes of errors.
//!
//! DingTalk has two kinds of interfaces. The older ones report an error as a number in `errcode`, with HTTP status 200. The
//! newer ones report an error as a text in `code`, with HTTP status 4xx or 5xx.

use domain::attempt::Verdict;
use domain::notification::content::{Content, labelled, one_line};
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Access, TIMEOUT, Token, cut, text};
use crate::http::{HttpError, HttpRequest, HttpResponse, RESPONSE_BYTES_MAX, Url};

/// The default base URL of the newer interfaces.
const API: &str = "https://api.dingtalk.com";
/// Maximum number of buttons in one message. The person reaches further actions by the link.
pub(super) const BUTTONS_MAX: usize = 5;
/// Pause in milliseconds after a rate limit for which DingTalk states no wait. DingTalk counts requests per second and per
/// minute.
pub(super) const PAUSE_MS: i64 = 60_000;
/// Time in milliseconds for which DingTalk refuses all requests of a network address with too many requests.
const BLOCKED_ADDRESS_MS: i64 = 300_000;
/// Lifetime of an access token in seconds if the response does not contain a lifetime.
const LIFETIME_S: i64 = 7_200;
/// The lengths in bytes to which the texts of a message are cut, one after the other, until the message is small enough.
const TEXT_BYTES: [usize; 4] = [400, 200, 100, 50];
/// The codes of the older interfaces for an access token that is not valid any more.
const OLD_TOKEN: [i64; 3] = [40_001, 40_014, 42_001];
/// The codes of the newer interfaces for an access token that is not valid any more.
const NEW_TOKEN: [&str; 2] = ["InvalidAuthentication", "accesstoken.expired"];

/// Checks an address: the id of a user in the organization.
pub(super) fn check_address(address: &str) -> Result<(), String> {
    let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (1..=64).contains(&address.len()) && address.chars().all(is_id) {
        Ok(())
    } else {
        Err("be a DingTalk user id of 1 to 64 letters, digits and _ - .".into())
    }
}

/// Checks that the setting `key` is a text of 1 to 128 visible ASCII characters.
pub(super) fn check_name(account: &Defined, key: &str) -> Result<(), String> {
    let value = text(account, key);
    if (1..=128).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(format!(
            "`{key}` must be a text of 1 to 128 visible ASCII characters"
        ))
    }
}

/// The setting with the number of calls that the plan of the organization allows in one month.
pub(super) const CALLS: &str = "calls_per_month";
/// Maximum value of this setting.
const CALLS_MAX: u32 = 100_000_000;

/// Returns the number of calls that the plan of the organization allows in one month. Returns `None` if the account has no
/// such setting.
pub(super) fn calls_per_month(account: &Defined) -> Option<u32> {
    let calls = account.settings.get(CALLS).and_then(Value::as_u64)?;
    u32::try_from(calls).ok()
}

/// Checks the setting `calls_per_month`, which can be absent.
pub(super) fn check_calls(account: &Defined) -> Result<(), String> {
    let is_valid = calls_per_month(account).is_some_and(|calls| (1..=CALLS_MAX).contains(&calls));
    if is_valid || !account.settings.contains_key(CALLS) {
        Ok(())
    } else {
        Err(format!("`{CALLS}` must be a number from 1 to {CALLS_MAX}"))
    }
}

/// Returns `text` in one line and without the characters that have a special meaning in the Markdown of DingTalk. Each of
/// these characters is replaced by a similar full-width character. A ticket text can therefore contain neither a link nor a
/// mention of a person.
pub(super) fn plain(text: &str) -> String {
    let replaced = |c: char| match c {
        '[' => '［',
        ']' => '］',
        '<' => '＜',
        '>' => '＞',
        '*' => '＊',
        '`' => '｀',
        '@' => '＠',
        '#' => '＃',
        '&' => '＆',
        '\\' => '＼',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(replaced).collect()
}

/// Returns a link in Markdown.
fn link(text: &str, url: &str) -> String {
    let url = url
        .replace('(', "%28")
        .replace(')', "%29")
        .replace(' ', "%20");
    format!("[{}]({url})", plain(text))
}

/// Returns the text of a message in Markdown. `mention` is at the beginning of the first sentence, and `last` is the last
/// line unless the text is empty. If `is_cut` is true, a line with an ellipsis shows that values are omitted.
pub(super) fn markdown(content: &Content, mention: &str, last: &str, is_cut: bool) -> String {
    let mut lines = vec![
        format!("#### {}", plain(&content.subject)),
        format!("{mention}{}", plain(&content.intro)),
    ];
    let values = content.values.iter();
    lines.extend(
        values.map(|(label, value)| format!("- {}", labelled(&plain(label), &plain(value)))),
    );
    if is_cut {
        lines.push("…".into());
    }
    lines.push(link(&content.link.text, &content.link.url));
    if !content.closing.is_empty() {
        lines.push(plain(&content.closing));
    }
    if !last.is_empty() {
        lines.push(plain(last));
    }
    lines.join("\n\n")
}

/// Returns the message that `make` creates. If the message has more than `bytes_max` bytes, values are omitted from the end,
/// and then the texts are cut. The link and the buttons stay complete. The second argument of `make` is true if something is
/// omitted.
pub(super) fn fitted(
    content: &Content,
    bytes_max: usize,
    make: impl Fn(&Content, bool) -> String,
) -> String {
    let mut made = make(content, false);
    let mut shorter = content.clone();
    while made.len() > bytes_max && shorter.values.pop().is_some() {
        made = make(&shorter, true);
    }
    for bytes in TEXT_BYTES {
        if made.len() <= bytes_max {
            break;
        }
        for text in [
            &mut shorter.subject,
            &mut shorter.intro,
            &mut shorter.closing,
        ] {
            *text = cut(text, bytes);
        }
        made = make(&shorter, true);
    }
    made
}

/// The credentials of an app.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct App {
    app_key: String,
    app_secret: String,
}

fn app(secret: &str) -> Result<App, String> {
    let app: Option<App> = serde_json::from_str(secret).ok();
    app.filter(|app| !app.app_key.is_empty() && !app.app_secret.is_empty())
        .ok_or_else(|| {
            r#"the secret must be {"app_key": "...", "app_secret": "..."} on one line"#.to_owned()
        })
}

/// Returns the key and the secret of an app.
pub(super) fn credentials(secret: &str) -> Result<(String, String), String> {
    app(secret).map(|app| (app.app_key, app.app_secret))
}

/// Checks the credentials of an app.
pub(super) fn check_app(secret: &str) -> Result<(), String> {
    app(secret).map(drop)
}

/// Returns the base URL of an account without a slash at the end.
pub(super) fn base<'a>(account: &'a Defined, default: &'a str) -> &'a str {
    let url = text(account, "url");
    let url = if url.is_empty() { default } else { url };
    url.trim_end_matches('/')
}

/// Returns a POST request with a JSON body.
pub(super) fn post(url: String, token: Option<&str>, body: String) -> HttpRequest {
    let mut headers = vec![(
        "content-type".to_owned(),
        "application/json; charset=utf-8".to_owned(),
    )];
    headers.extend(token.map(|token| ("x-acs-dingtalk-access-token".to_owned(), token.to_owned())));
    HttpRequest {
        method: "POST".into(),
        url,
        headers,
        body: body.into_bytes(),
        timeout: TIMEOUT,
        response_bytes_max: RESPONSE_BYTES_MAX,
    }
}

/// Returns a POST request to a newer interface. `path` begins with a slash. The request has no token if `token` is empty.
pub(super) fn new_post(account: &Defined, path: &str, token: &str, body: String) -> HttpRequest {
    let token = Some(token).filter(|token| !token.is_empty());
    post(format!("{}{path}", base(account, API)), token, body)
}

/// Returns how an app gets its access token from the newer interface.
pub(super) fn new_access(account: &Defined, secret: &str) -> Result<Access, String> {
    let App {
        app_key,
        app_secret,
    } = app(secret)?;
    let body = json!({ "appKey": app_key, "appSecret": app_secret });
    let url = format!("{}/v1.0/oauth2/accessToken", base(account, API));
    Ok(Access::Asked(post(url, None, body.to_string())))
}

/// Reads the access token in a response of the newer interface.
pub(super) fn new_token(response: &Result<HttpResponse, HttpError>) -> Result<Token, Verdict> {
    let response = response
        .as_ref()
        .map_err(|error| Verdict::retry(error.to_string()))?;
    let body = new_body(response).map_err(without_effect)?;
    token(&body, "accessToken", "expireIn")
}

/// Returns how an app gets its access token from the older interface. `base` is the base URL.
pub(super) fn old_access(base: &str, secret: &str) -> Result<Access, String> {
    let App {
        app_key,
        app_secret,
    } = app(secret)?;
    let mut url: Url = format!("{base}/gettoken")
        .parse()
        .map_err(|_| "`url` is not a URL".to_owned())?;
    url.query_pairs_mut()
        .append_pair("appkey", &app_key)
        .append_pair("appsecret", &app_secret);
    let request = HttpRequest::get(url, TIMEOUT, RESPONSE_BYTES_MAX);
    Ok(Access::Asked(request))
}

/// Reads the access token in a response of the older interface.
pub(super) fn old_token(response: &Result<HttpResponse, HttpError>) -> Result<Token, Verdict> {
    let response = response
        .as_ref()
        .map_err(|error| Verdict::retry(error.to_string()))?;
    let answer = old_answer(response).map_err(without_effect)?;
    if answer.code != 0 {
        return Err(old_refusal(&answer));
    }
    token(&answer.body, "access_token", "expires_in")
}

fn token(body: &Value, value: &str, seconds: &str) -> Result<Token, Verdict> {
    let value = body
        .get(value)
        .and_then(Value::as_str)
        .filter(|value| !value.is_empty());
    let Some(value) = value else {
        let reason = "the response of DingTalk contains no access token";
        return Err(Verdict::retry(reason));
    };
    let seconds = body.get(seconds).and_then(Value::as_i64);
    Ok(Token {
        value: value.to_owned(),
        lifetime_ms: seconds.unwrap_or(LIFETIME_S).saturating_mul(1_000),
    })
}

/// Converts the verdict for a request that sends no message. Such a request can always be repeated.
fn without_effect(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Unknown { reason } => Verdict::Retry {
            reason,
            after_ms: None,
        },
        verdict => verdict,
    }
}

/// A response of an older interface.
pub(super) struct Answer {
    /// The code of the result. For the general code 88, this is the code in `sub_code`.
    pub(super) code: i64,
    pub(super) message: String,
    pub(super) body: Value,
}

/// Reads a response of an older interface. Returns a verdict (the result of the attempt) if the response contains no code.
pub(super) fn old_answer(response: &HttpResponse) -> Result<Answer, Verdict> {
    let body = read(response)?;
    let Some(code) = body.get("errcode").and_then(Value::as_i64) else {
        return Err(without_code(response, "errcode"));
    };
    let sub_code = body.get("sub_code").filter(|_| code == 88);
    let sub_code = sub_code.and_then(|sub| {
        let text: Option<i64> = sub.as_str().and_then(|text| text.parse().ok());
        text.or_else(|| sub.as_i64()).filter(|code| *code != 0)
    });
    let message = |key: &str| body.get(key).and_then(Value::as_str);
    let message = message("sub_msg").or_else(|| message("errmsg"));
    Ok(Answer {
        code: sub_code.unwrap_or(code),
        message: one_line(message.unwrap_or_default()),
        body,
    })
}

/// Returns true if an older interface sent nothing because the access token is not valid any more.
pub(super) fn old_refuses_token(response: &HttpResponse) -> bool {
    old_answer(response).is_ok_and(|answer| OLD_TOKEN.contains(&answer.code))
}

/// Converts the code of an older interface to a verdict (the result of the attempt). The code is not zero. An unknown code
/// means a permanent failure.
pub(super) fn old_refusal(answer: &Answer) -> Verdict {
    let Answer { code, message, .. } = answer;
    let refused = |class| Verdict::refused(class, code.to_string(), message);
    match *code {
        -1 => Verdict::retry(format!("DingTalk is busy (errcode -1): {message}")),
        90_001..=90_014 | 90_018 | 143_103 | 143_104 => Verdict::Throttled {
            reason: format!("the app was too fast (errcode {code}): {message}").into(),
            after_ms: PAUSE_MS,
        },
        // The token, the app, its permission or its network address is wrong. The code 88 has no detailed code here.
        40_001 | 40_014 | 41_001 | 42_001 | 33_001 | 40_089 | 40_096 | 43_007 | 60_011 | 60_020
        | 88 => refused(FailureClass::Credential),
        // The user does not exist, or the app may not send messages to this user.
        33_012 | 40_003 | 50_002 | 60_121 => refused(FailureClass::RecipientInvalid),
        _ => refused(FailureClass::Permanent),
    }
}

/// Returns the body of a successful response of a newer interface. Returns a verdict (the result of the attempt) if the
/// response reports an error. An unknown code means a permanent failure.
pub(super) fn new_body(response: &HttpResponse) -> Result<Value, Verdict> {
    let body = read(response)?;
    let code = new_code(&body);
    if code.is_empty() {
        return if response.is_success() {
            Ok(body)
        } else {
            Err(without_code(response, "code"))
        };
    }
    let status = response.status;
    let message = body.get("message").and_then(Value::as_str);
    let message = one_line(message.unwrap_or_default());
    if is_limit(code) {
        return Err(Verdict::Throttled {
            reason: format!("the app was too fast ({code}): {message}").into(),
            after_ms: PAUSE_MS,
        });
    }
    let class = match code {
        // The token, the app, its permission, its robot or its network address is wrong.
        "AuthenticationFailed.MissingParameter"
        | "invalidClientIdOrSecret"
        | "apiPermissionDenied"
        | "unauthorized.client"
        | "bot.stopped"
        | "chatbot.notFound"
        | "resource.not.found" => FailureClass::Credential,
        code if NEW_TOKEN.contains(&code)
            || code.starts_with("Forbidden")
            || code.starts_with("invalidParameter.robotCode.") =>
        {
            FailureClass::Credential
        }
        "staffId.notExisted"
        | "staff.not.found"
        | "userNotExist"
        | "invalidParameter.userIds.empty"
        | "param.userIdNotExist"
        | "param.openSpaceIdInvalid" => FailureClass::RecipientInvalid,
        "sizeTooLarge" => FailureClass::TooLarge,
        // It is possible that DingTalk sent the message before the error.
        _ if status >= 500 => {
            return Err(Verdict::Unknown {
                reason: format!("{code} with HTTP status {status}: {message}").into(),
            });
        }
        _ => FailureClass::Permanent,
    };
    Err(Verdict::refused(class, code, message))
}

/// Returns true if a newer interface sent nothing because the access token is not valid any more.
pub(super) fn new_refuses_token(response: &HttpResponse) -> bool {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    NEW_TOKEN.contains(&new_code(&body))
}

fn new_code(body: &Value) -> &str {
    body.get("code").and_then(Value::as_str).unwrap_or_default()
}

/// Returns true if a code of a newer interface means too many requests.
fn is_limit(code: &str) -> bool {
    code.contains("QpsLimit")
        || code.contains("QpmLimit")
        || code.starts_with("Throttling")
        || matches!(
            code,
            "qps.exceed.limit" | "request.overlimit" | "oaplus.query.limit"
        )
}

/// Returns the JSON object in a response. Returns a verdict (the result of the attempt) if the response contains no object,
/// or if DingTalk accepts no requests at this time.
fn read(response: &HttpResponse) -> Result<Value, Verdict> {
    let status = response.status;
    if status == 429 {
        let seconds = response.header("retry-after");
        let seconds = seconds.and_then(|text| text.trim().parse::<u32>().ok());
        return Err(Verdict::Throttled {
            reason: "DingTalk answered with HTTP status 429".into(),
            after_ms: seconds.map_or(PAUSE_MS, |seconds| i64::from(seconds) * 1_000),
        });
    }
    if status == 503 {
        let reason = format!("DingTalk answered with HTTP status {status}");
        return Err(Verdict::retry(reason));
    }
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    let Some(body) = body.filter(Value::is_object) else {
        return Err(without_code(response, "JSON object"));
    };
    if body.get("punish").and_then(Value::as_str) == Some("deny") {
        return Err(Verdict::Throttled {
            reason: "DingTalk blocked the network address of the desk".into(),
            after_ms: BLOCKED_ADDRESS_MS,
        });
    }
    Ok(body)
}

/// Returns the verdict (the result of the attempt) for a response that does not contain the expected `part`. Such a response
/// probably comes from another server than DingTalk, such as a proxy. It is possible that this server has forwarded the
/// message to DingTalk.
fn without_code(response: &HttpResponse, part: &str) -> Verdict {
    let status = response.status;
    let reason = format!("the response with HTTP status {status} has no `{part}`");
    if response.is_success() || status >= 500 {
        Verdict::Unknown {
            reason: reason.into(),
        }
    } else {
        Verdict::refused(FailureClass::Permanent, status.to_string(), reason)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use domain::notification::content::Action;

    use super::super::contract::{content, text_of};
    use super::*;

    /// Texts that contain control characters of Markdown, JSON or mentions.
    pub(crate) const NASTY: &[&str] = &[
        "# [x](http://evil.example) <b> **@all** `x`",
        "a\n\n# title\n- [y](u) ![i](http://evil.example/i.png)",
        "\"},\"at\":{\"isAtAll\":true},\"x\":{\"y\":\"",
        "&#64;all &lt;b&gt; \\](http://evil.example)",
        "@all @dt-2 <@dt-2> <font color=red>x</font>",
    ];

    /// Returns texts of random characters. The texts are always the same.
    pub(crate) fn random_texts(count: usize) -> Vec<String> {
        const CHARACTERS: [&str; 24] = [
            "a", "字", "[", "]", "(", ")", "<", ">", "@", "#", "*", "`", "\"", "\\", "&", ";",
            "\n", "\r", "\u{0}", "\u{202e}", "!", "_", "{", "😀",
        ];
        let mut state = 7_u64;
        let texts = (0..count).map(|number| text_of(&CHARACTERS, number * 7 % 40, &mut state));
        texts.collect()
    }

    /// Returns a test message in which every text of the ticket is `text`.
    pub(crate) fn with_text(text: &str) -> Content {
        Content {
            subject: text.into(),
            intro: text.into(),
            values: vec![(text.into(), text.into())],
            closing: text.into(),
            ..content()
        }
    }

    /// Returns a test message with `count` buttons.
    pub(crate) fn with_actions(count: usize) -> Content {
        let action = |number: usize| Action {
            name: format!("action{number}"),
            label: format!("操作{number}"),
            is_primary: number == 1,
            url: format!("https://desk.example/actions/{number}?token=t"),
            value: format!("signed-{number}"),
        };
        Content {
            actions: (1..=count).map(action).collect(),
            ..content()
        }
    }

    /// Returns a test message that is larger than every limit of DingTalk.
    pub(crate) fn large() -> Content {
        let value = |number: usize| (number.to_string(), "字\"".repeat(200));
        Content {
            subject: "题".repeat(400),
            intro: "句".repeat(400),
            values: (0..60).map(value).collect(),
            closing: "尾".repeat(400),
            ..with_actions(2)
        }
    }

    /// Checks that a text in Markdown contains only the link of the desk and the given number of mentions.
    pub(crate) fn check_markdown(text: &str, mentions: usize) {
        assert_eq!(text.matches('[').count(), 1, "only our own link: {text}");
        assert_eq!(text.matches("](").count(), 1, "only our own link: {text}");
        assert_eq!(text.matches('@').count(), mentions, "{text}");
        assert_eq!(text.matches('#').count(), 4, "only our own title: {text}");
        assert!(!text.contains(['<', '>', '*', '`', '\\', '&']), "{text}");
        let controls = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(controls), "{text:?}");
        assert_eq!(text.matches('\n').count() % 2, 0, "{text:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::content;
    use super::*;

    #[test]
    fn a_message_loses_values_first_and_keeps_its_link() {
        let make = |content: &Content, is_cut: bool| markdown(content, "", "", is_cut);
        let large = testing::large();
        for bytes_max in [20_000, 15_000, 2_048, 700] {
            let text = fitted(&large, bytes_max, make);
            assert!(text.len() <= bytes_max, "{}", text.len());
            assert!(text.contains("\n\n…\n\n["), "{text}");
            assert!(
                text.contains("](https://desk.example/tickets/REQ1)"),
                "{text}"
            );
            testing::check_markdown(&text, 0);
        }
        let text = fitted(&content(), 2_048, make);
        assert!(!text.contains('…'), "{text}");
        assert_eq!(text, make(&content(), false));
    }

    #[test]
    fn wrong_credentials_of_an_app_are_rejected_without_their_text() {
        for secret in [
            "",
            "hidden",
            "{}",
            r#"{"app_key":"hidden"}"#,
            r#"{"app_key":"hidden","app_secret":""}"#,
            r#"{"app_key":"hidden","app_secret":"hidden","x":"hidden"}"#,
        ] {
            let reason = check_app(secret).unwrap_err();
            assert!(reason.contains("app_secret"), "{reason}");
            assert!(!reason.contains("hidden"), "{reason}");
        }
        assert_eq!(check_app(r#"{"app_key":"k","app_secret":"s"}"#), Ok(()));
    }

    #[test]
    fn addresses_are_ids_of_users() {
        for address in ["dt-1", "manager4220", "a_b.c", "x".repeat(64).as_str()] {
            assert_eq!(check_address(address), Ok(()));
        }
        for address in [
            "",
            "@all",
            "a b",
            "a,b",
            "字",
            "a//b",
            "x".repeat(65).as_str(),
        ] {
            assert!(check_address(address).is_err(), "{address}");
        }
    }
}
