//! Sends messages through the company message bus of BlueKing (CMSI), a component of its enterprise service bus
//! (reference/bk-itsm.md, section 15). The bus forwards a message by mail, short message, WeCom or voice. Even if the bus
//! refuses a message, the HTTP status is 200 and the member `result` is false.

use domain::attempt::Verdict;
use domain::notification::content::{Content, labelled, one_line};
use domain::value::plain as plain_value;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde_json::{Value, json};

use super::{
    Channel, Outgoing, Request, Response, SHARED, TIMEOUT, accepted, check_url, cut, flag,
    is_declared_shared, of_http, only, sms, text,
};
use crate::http::{HttpRequest, HttpResponse, RESPONSE_BYTES_MAX};

/// The path of the operations of the bus, below the base URL.
pub const PATH: &str = "/api/c/compapi/cmsi";
/// The operation that sends messages of all types.
const SEND_MSG: &str = "send_msg";
/// The operations that send messages of only one type, with this type. Old versions of the bus have no other operations.
const OPERATIONS: [(&str, &str); 3] = [
    ("send_mail", "mail"),
    ("send_sms", "sms"),
    ("send_weixin", "weixin"),
];
/// The types of messages that only their receiver gets.
const PERSONAL_TYPES: [&str; 4] = ["mail", "sms", "weixin", "voice"];
/// The user in whose name the desk calls the bus, if the account sets no other user.
const USER: &str = "admin";
/// Maximum size of a title, in bytes.
const TITLE_BYTES_MAX: usize = 256;
/// Maximum size of the content of a message, in bytes. It is the limit of WeCom for texts.
const CONTENT_BYTES_MAX: usize = 2_048;
/// Maximum size of the content of a mail, in bytes. The values of a ticket are never that large together.
const MAIL_BYTES_MAX: usize = 65_536;
/// Maximum number of segments of a short message.
const SEGMENTS_MAX: usize = 4;
/// Pause in milliseconds after the bus limits the requests. A header `Retry-After` replaces this pause.
const THROTTLED_MS: i64 = 60_000;
/// The line in the place of values that are too long for the message.
const ELLIPSIS: &str = "…";

/// The channel that sends messages through the company message bus of BlueKing.
#[derive(Clone, Copy, Debug)]
pub struct Cmsi;

impl Channel for Cmsi {
    fn name(&self) -> &'static str {
        "cmsi"
    }

    fn address_kind(&self) -> &'static str {
        "blueking"
    }

    /// Returns false for the types that reach one user. The bus can send other types to groups. The setting `shared` of an
    /// account replaces this rule.
    fn is_shared(&self, account: &Defined, _to: &str) -> bool {
        is_declared_shared(
            account,
            !PERSONAL_TYPES.contains(&text(account, "msg_type")),
        )
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        // A comma separates several users, so a user name must not contain it.
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
        if (1..=64).contains(&address.len()) && address.chars().all(is_name) {
            Ok(())
        } else {
            Err("be a BlueKing user name of 1 to 64 letters, digits and _ - . @".into())
        }
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(
            account,
            &["url", "app", "user", "msg_type", "operation", SHARED],
        )?;
        flag(account, SHARED)?;
        if text(account, "url").is_empty() {
            return Err("`url` must be an HTTP address without ? and #".into());
        }
        check_url(account, "url")?;
        if !is_word(text(account, "app")) {
            return Err("`app` must be the code of an app".into());
        }
        if account.settings.contains_key("user") && !is_word(text(account, "user")) {
            return Err("`user` must be a BlueKing user name".into());
        }
        let msg_type = text(account, "msg_type");
        if !is_word(msg_type) {
            return Err("`msg_type` must be a type of the bus, such as mail, sms or weixin".into());
        }
        match account.settings.get("operation") {
            None => Ok(()),
            Some(operation) if operation == SEND_MSG => Ok(()),
            Some(operation) => {
                let mut known = OPERATIONS.iter();
                if known.any(|(name, of)| operation == name && *of == msg_type) {
                    Ok(())
                } else {
                    Err("`operation` must be send_msg, or the operation of `msg_type`: send_mail, send_sms or send_weixin".into())
                }
            }
        }
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        if !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(())
        } else {
            Err(
                "the secret must be the secret of the app, in ASCII characters without spaces"
                    .into(),
            )
        }
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let account = outgoing.account;
        if outgoing.secret.is_empty() {
            return Err(format!("the secret channel/{} is missing", account.name));
        }
        self.check_secret(outgoing.secret)?;
        let operation = match text(account, "operation") {
            "" => SEND_MSG,
            operation => operation,
        };
        let user = match text(account, "user") {
            "" => USER,
            user => user,
        };
        let credentials = [
            ("bk_app_code", text(account, "app")),
            ("bk_app_secret", outgoing.secret),
            ("bk_username", user),
        ];
        let mut body = body(operation, outgoing);
        for (name, value) in credentials {
            body[name] = value.into();
        }
        // All credentials are ASCII, so the header is valid.
        let header: serde_json::Map<String, Value> = credentials
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
            .collect();
        let base = text(account, "url").trim_end_matches('/');
        Ok(Request::Http(HttpRequest {
            method: "POST".into(),
            url: format!("{base}{PATH}/{operation}/"),
            headers: vec![
                (
                    "x-bkapi-authorization".into(),
                    Value::Object(header).to_string(),
                ),
                (
                    "content-type".into(),
                    "application/json; charset=utf-8".into(),
                ),
            ],
            body: body.to_string().into_bytes(),
            timeout: TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
        }))
    }

    /// Every request has one recipient, so a person in the response is this recipient.
    fn verdict(&self, response: &Response) -> Verdict {
        verdict(None, response)
    }

    fn verdict_for(&self, _account: &Defined, to: &str, response: &Response) -> Verdict {
        verdict(Some(to), response)
    }
}

fn verdict(to: Option<&str>, response: &Response) -> Verdict {
    of_http(response, |response| judge(to, response))
}

/// Returns true for a text of 1 to 64 ASCII characters without spaces. Such a text is valid in a header.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns the body of a request without credentials.
fn body(operation: &str, outgoing: &Outgoing<'_>) -> Value {
    let content = outgoing.content;
    let to = outgoing.to;
    let msg_type = text(outgoing.account, "msg_type");
    let title = plain(&format!("[{}] {}", content.thread, content.subject));
    let title = cut(&title, TITLE_BYTES_MAX);
    let text = match msg_type {
        "sms" => sms::short_text(content, SEGMENTS_MAX),
        // A computer reads the message aloud, and a person cannot use a link in it.
        "voice" if !content.body.is_empty() => plain(&content.body.join(" ")),
        "voice" => plain(&format!("{} {}", content.intro, content.subject)),
        "mail" => full(content, MAIL_BYTES_MAX),
        _ => full(content, CONTENT_BYTES_MAX),
    };
    match operation {
        "send_mail" => {
            json!({ "receiver__username": to, "title": title, "content": text, "body_format": "Text" })
        }
        "send_sms" => json!({ "receiver__username": to, "content": text }),
        "send_weixin" => {
            json!({ "receiver__username": to, "data": { "heading": title, "message": text } })
        }
        _ => {
            let mut body = json!({
                "msg_type": msg_type, "receiver__username": to, "title": title, "content": text,
            });
            if msg_type == "mail" {
                body["body_format"] = "Text".into();
            }
            body
        }
    }
}

/// Returns a text in one line without the characters with which HTML, and a text of WeCom, mark links and mentions. The bus
/// can forward a message to a component that shows HTML. Full-width characters replace these characters.
fn plain(text: &str) -> String {
    let replaced = |c| match c {
        '<' => '＜',
        '>' => '＞',
        c => c,
    };
    one_line(text).chars().map(replaced).collect()
}

/// Returns the text of a message with at most `most` bytes. Values that do not fit are omitted from the end. A longer link
/// remains complete.
fn full(content: &Content, most: usize) -> String {
    let line = |label: &str, url: &str| labelled(&plain(label), url);
    let mut end = vec![line(&content.link.text, &content.link.url)];
    let actions = content.actions.iter();
    end.extend(actions.map(|action| line(&action.label, &action.url)));
    let values = content.values.iter();
    let values: Vec<String> = values
        .map(|(label, value)| plain(&labelled(label, value)))
        .collect();
    for count in (0..=values.len()).rev() {
        let mut lines = vec![plain(&content.intro)];
        lines.extend_from_slice(&values[..count]);
        if count < values.len() {
            lines.push(ELLIPSIS.to_owned());
        }
        lines.extend_from_slice(&end);
        if !content.closing.is_empty() {
            lines.push(plain(&content.closing));
        }
        let text = lines.join("\n");
        if text.len() <= most {
            return text;
        }
    }
    while end.len() > 1 && end.join("\n").len() > most {
        end.pop();
    }
    end.join("\n")
}

/// Returns the users that a response names as users without a message. The member `data.username_check.invalid` lists them.
/// Older versions of the bus write them only into the message, separately for unknown users and for users without an
/// address.
pub fn failed_people(body: &Value) -> Vec<String> {
    let listed = body.pointer("/data/username_check/invalid");
    let listed = listed.and_then(Value::as_array).into_iter().flatten();
    let listed = listed.filter_map(Value::as_str).map(str::to_owned);
    let message = body.get("message").and_then(Value::as_str);
    let parts = message.unwrap_or_default().split(';');
    let lists = parts.filter_map(|part| {
        let (_, part) = part.split_once("The following users ")?;
        part.split_once(':')
    });
    let named = lists.flat_map(|(_, names)| names.split(','));
    let named = named.map(str::trim).filter(|name| is_word(name));
    listed.chain(named.map(str::to_owned)).collect()
}

/// Converts a response of the bus to a verdict (the result of an attempt). An unknown code means a permanent failure.
fn judge(to: Option<&str>, response: &HttpResponse) -> Verdict {
    let status = response.status;
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let result = body.get("result").and_then(Value::as_bool);
    let code = body.get("code").map(plain_value).unwrap_or_default();
    let message = body.get("message").and_then(Value::as_str);
    let reason = one_line(message.unwrap_or_default());
    if status == 429 {
        return throttled(&reason);
    }
    let (Some(is_success), false) = (result, response.is_cut) else {
        return without_result(response);
    };
    let people = failed_people(&body);
    let is_named = match to {
        Some(to) => people.iter().any(|name| name == to),
        None => !people.is_empty(),
    };
    if is_named {
        return Verdict::refused(FailureClass::RecipientInvalid, code, reason);
    }
    if is_success && !response.is_success() {
        return without_result(response);
    }
    // The bus sent the message to all users that it does not name.
    let is_partial = !people.is_empty() && reason.starts_with("Some users failed");
    if is_success || is_partial {
        return accepted("0", "");
    }
    match code.as_str() {
        // The current user is missing or unknown, or the app has no permission. The last two are codes of the API gateway.
        "1306401" | "1306402" | "1306403" => {
            Verdict::refused(FailureClass::Credential, code, reason)
        }
        _ if is_of_gateway(&code, "16401") || is_of_gateway(&code, "16403") => {
            Verdict::refused(FailureClass::Credential, code, reason)
        }
        "1306429" => throttled(&reason),
        _ if is_of_gateway(&code, "16429") => throttled(&reason),
        // The bus could not connect to the system that sends the message.
        "1306203" => Verdict::retry(format!("the bus answered with {code}: {reason}")),
        // The bus sent the message to another system, but could not read its response.
        "1306201" | "1306208" => Verdict::Unknown {
            reason: format!("the bus answered with {code}: {reason}").into(),
        },
        _ => Verdict::refused(FailureClass::Permanent, code, reason),
    }
}

/// Returns true for a code of the API gateway of BlueKing: seven digits that begin with `start`.
fn is_of_gateway(code: &str, start: &str) -> bool {
    code.len() == 7 && code.starts_with(start)
}

fn throttled(reason: &str) -> Verdict {
    Verdict::Throttled {
        reason: format!("the bus limits the requests: {reason}").into(),
        after_ms: THROTTLED_MS,
    }
}

/// Returns the verdict for a response without `result`, for example from a proxy or from the page for logins. It is possible
/// that this server has forwarded the message to the bus.
fn without_result(response: &HttpResponse) -> Verdict {
    let status = response.status;
    let reason = format!("the response with HTTP status {status} has no `result`");
    match status {
        503 => Verdict::retry(reason),
        401 | 403 => Verdict::refused(FailureClass::Credential, status.to_string(), reason),
        _ if response.is_success() || status == 408 || status >= 500 => Verdict::Unknown {
            reason: reason.into(),
        },
        _ => Verdict::refused(FailureClass::Permanent, status.to_string(), reason),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use domain::notification::content::Action;

    use super::super::contract::{account, content, outgoing, shown, text_of};
    use super::*;
    use crate::http::HttpError;

    /// The responses of the bus to a message for the user lisi, with their verdicts.
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (
            200,
            r#"{"result":true,"code":0,"message":"OK","data":[]}"#,
            "accepted",
        ),
        (
            200,
            r#"{"result":true,"code":"00","message":"OK"}"#,
            "accepted",
        ),
        (
            200,
            r#"{"result":true,"code":0,"data":{"username_check":{"invalid":[]}}}"#,
            "accepted",
        ),
        (
            200,
            r#"{"result":true,"code":0,"data":{"username_check":{"invalid":["lisi"]}}}"#,
            "recipient_invalid 0",
        ),
        (
            200,
            r#"{"result":false,"code":1306000,"message":"All users message failed to be sent. The following users are not blueking users: lisi"}"#,
            "recipient_invalid 1306000",
        ),
        (
            200,
            r#"{"result":false,"code":1306000,"message":"Some users failed to send sms. The following users are not blueking users: x;The following users contact format are incorrect: y, lisi"}"#,
            "recipient_invalid 1306000",
        ),
        // The other users failed, so the bus sent the message to lisi.
        (
            200,
            r#"{"result":false,"code":1306000,"message":"Some users failed to send sms. The following users are not blueking users: zhangsan"}"#,
            "accepted",
        ),
        (
            200,
            r#"{"result":false,"code":1306000,"message":"Some users failed to send sms."}"#,
            "permanent 1306000",
        ),
        (
            200,
            r#"{"result":false,"code":1306000,"message":"Unsupported type of msg type"}"#,
            "permanent 1306000",
        ),
        (
            200,
            r#"{"result":false,"code":1306401,"message":"m"}"#,
            "credential 1306401",
        ),
        (
            200,
            r#"{"result":false,"code":"1306402","message":"m"}"#,
            "credential 1306402",
        ),
        (
            200,
            r#"{"result":false,"code":1306403,"message":"m"}"#,
            "credential 1306403",
        ),
        (
            200,
            r#"{"result":false,"code":1306404,"message":"m"}"#,
            "permanent 1306404",
        ),
        (
            200,
            r#"{"result":false,"code":1306405,"message":"m"}"#,
            "permanent 1306405",
        ),
        (
            200,
            r#"{"result":false,"code":1306406,"message":"m"}"#,
            "permanent 1306406",
        ),
        (
            200,
            r#"{"result":false,"code":1306429,"message":"m"}"#,
            "throttled 60000",
        ),
        (
            200,
            r#"{"result":false,"code":1306201,"message":"m"}"#,
            "unknown",
        ),
        (
            200,
            r#"{"result":false,"code":1306203,"message":"m"}"#,
            "retry",
        ),
        (
            200,
            r#"{"result":false,"code":1306206,"message":"m"}"#,
            "permanent 1306206",
        ),
        (
            200,
            r#"{"result":false,"code":1306207,"message":"m"}"#,
            "permanent 1306207",
        ),
        (
            200,
            r#"{"result":false,"code":1306208,"message":"m"}"#,
            "unknown",
        ),
        (
            200,
            r#"{"result":false,"code":1306209,"message":"m"}"#,
            "permanent 1306209",
        ),
        (
            401,
            r#"{"result":false,"code":1640101,"message":"m"}"#,
            "credential 1640101",
        ),
        (
            403,
            r#"{"result":false,"code":1640301,"message":"m"}"#,
            "credential 1640301",
        ),
        (
            429,
            r#"{"result":false,"code":1642902,"message":"m"}"#,
            "throttled 60000",
        ),
        (
            200,
            r#"{"result":false,"code":1642902,"message":"m"}"#,
            "throttled 60000",
        ),
        (
            200,
            r#"{"result":false,"code":999,"message":"m"}"#,
            "permanent 999",
        ),
        (200, "<html>login</html>", "unknown"),
        (200, "", "unknown"),
        (200, r#"{"result":"true"}"#, "unknown"),
        (302, "", "permanent 302"),
        (403, "no", "credential 403"),
        (404, "no", "permanent 404"),
        (408, "", "unknown"),
        (429, "", "throttled 60000"),
        (500, r#"{"result":true}"#, "unknown"),
        (502, "", "unknown"),
        (503, "", "retry"),
    ];

    fn of(status: u16, body: &str) -> Response {
        Response::Http(Ok(HttpResponse::of(status, body.as_bytes())))
    }

    fn bus(msg_type: &str, operation: &str) -> Defined {
        let mut account = account("cmsi");
        for (key, value) in [
            ("url", "https://paas.example/"),
            ("app", "ledgerdesk"),
            ("msg_type", msg_type),
            ("operation", operation),
        ] {
            account.settings.insert(key.into(), value.into());
        }
        account
    }

    fn sent(account: &Defined, content: &Content) -> (HttpRequest, Value) {
        let Ok(Request::Http(request)) =
            Cmsi.request(&outgoing(account, "s3cret", "lisi", content))
        else {
            panic!("a request")
        };
        let body = serde_json::from_slice(&request.body).unwrap();
        (request, body)
    }

    #[test]
    fn every_code_of_the_bus_has_its_verdict() {
        for (status, body, expected) in CODES {
            let verdict = Cmsi.verdict_for(&bus("sms", SEND_MSG), "lisi", &of(*status, body));
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
            if !body.contains("zhangsan") {
                let verdict = Cmsi.verdict(&of(*status, body));
                assert_eq!(shown(&verdict), *expected, "{status} {body}");
            }
        }
        let failed = |error| Cmsi.verdict(&Response::Http(Err(error)));
        assert_eq!(shown(&failed(HttpError::NotSent("dns".into()))), "retry");
        assert_eq!(
            shown(&failed(HttpError::Unknown("timeout".into()))),
            "unknown"
        );
    }

    #[test]
    fn the_users_without_a_message_are_named() {
        let body = json!({
            "message": "Some users failed to send sms. The following users are not blueking users: a.b,c;The following users contact format are incorrect: d, please check",
            "data": { "username_check": { "invalid": ["e"] } },
        });
        assert_eq!(failed_people(&body), ["e", "a.b", "c", "d"]);
        assert!(
            failed_people(&json!({ "message": "Parameters error: title; content" })).is_empty()
        );
        assert!(failed_people(&Value::Null).is_empty());
    }

    #[test]
    fn each_operation_has_its_body() {
        let content = content();
        let (request, body) = sent(&bus("weixin", SEND_MSG), &content);
        assert_eq!(
            request.url,
            "https://paas.example/api/c/compapi/cmsi/send_msg/"
        );
        let (_, header) = &request.headers[0];
        let header: Value = serde_json::from_str(header).unwrap();
        for credentials in [&body, &header] {
            assert_eq!(credentials["bk_app_code"], "ledgerdesk");
            assert_eq!(credentials["bk_app_secret"], "s3cret");
            assert_eq!(credentials["bk_username"], "admin");
        }
        assert_eq!(
            (&body["msg_type"], &body["receiver__username"]),
            (&json!("weixin"), &json!("lisi"))
        );
        assert_eq!(body["title"], "[REQ1] 请审批: 申请权限");
        let expected = "lisi，您好。\n优先级：高\n打开工单：https://desk.example/tickets/REQ1\n您是节点的处理人。";
        assert_eq!(body["content"], expected);
        assert_eq!(body.get("body_format"), None);

        let (_, body) = sent(&bus("mail", SEND_MSG), &content);
        assert_eq!(body["body_format"], "Text");
        let (request, body) = sent(&bus("mail", "send_mail"), &content);
        assert!(request.url.ends_with("/cmsi/send_mail/"), "{}", request.url);
        assert_eq!(
            (&body["content"], &body["body_format"]),
            (&json!(expected), &json!("Text"))
        );
        assert_eq!(body.get("msg_type"), None);
        let (_, body) = sent(&bus("weixin", "send_weixin"), &content);
        assert_eq!(body["data"]["message"], expected);
        let (_, body) = sent(&bus("sms", "send_sms"), &content);
        assert!(body["content"].as_str().unwrap().starts_with("REQ1 请审批"));
        let (_, body) = sent(&bus("voice", SEND_MSG), &content);
        assert_eq!(body["content"], "lisi，您好。 请审批: 申请权限");
    }

    #[test]
    fn ticket_text_contains_no_markup_and_no_further_lines() {
        let parts = [
            "<",
            ">",
            "a href=",
            "\"",
            "\n",
            "\r",
            "@all",
            "<!channel>",
            "</script>",
            "\u{2028}",
            "{",
            "x",
        ];
        let mut seed = 7_u64;
        for _ in 0..500 {
            let nasty = text_of(&parts, 6, &mut seed);
            let mut content = content();
            content.subject.clone_from(&nasty);
            content.intro.clone_from(&nasty);
            content.values = vec![(nasty.clone(), nasty.clone())];
            for (msg_type, lines) in [("weixin", 4), ("mail", 4), ("voice", 1)] {
                let (_, body) = sent(&bus(msg_type, SEND_MSG), &content);
                for member in ["title", "content"] {
                    let text = body[member].as_str().unwrap();
                    assert!(
                        !text.contains(['<', '>', '\r', '\u{2028}']),
                        "{nasty:?}: {text}"
                    );
                }
                let text = body["content"].as_str().unwrap();
                assert_eq!(text.split('\n').count(), lines, "{nasty:?}: {text}");
            }
        }
    }

    #[test]
    fn a_long_message_keeps_its_title_link_and_actions() {
        let mut content = content();
        content.subject = "字".repeat(200);
        content.values = (0..10)
            .map(|at| (format!("v{at}"), "字".repeat(100)))
            .collect();
        content.actions = vec![Action {
            name: "approve".into(),
            label: "同意".into(),
            is_primary: true,
            url: "https://desk.example/a/1".into(),
            value: "v".into(),
        }];
        let (_, body) = sent(&bus("weixin", SEND_MSG), &content);
        let text = body["content"].as_str().unwrap();
        assert!(text.len() <= CONTENT_BYTES_MAX, "{}", text.len());
        assert!(
            text.contains("\nv5: ") && !text.contains("\nv6: "),
            "{text}"
        );
        assert!(
            text.contains(
                "\n…\n打开工单：https://desk.example/tickets/REQ1\n同意：https://desk.example/a/1\n"
            ),
            "{text}"
        );
        let title = body["title"].as_str().unwrap();
        assert!(
            title.len() <= TITLE_BYTES_MAX && title.ends_with('…'),
            "{title}"
        );
        let (_, body) = sent(&bus("mail", SEND_MSG), &content);
        assert!(body["content"].as_str().unwrap().contains("\nv9: "));
        // A link that is longer than the message remains complete.
        content.link.url = format!("https://desk.example/{}", "x".repeat(3_000));
        let (_, body) = sent(&bus("weixin", SEND_MSG), &content);
        assert_eq!(body["content"], format!("打开工单：{}", content.link.url));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (account, key, value, expected) in [
            (bus("sms", SEND_MSG), "url", json!(""), "`url` must"),
            (
                bus("sms", SEND_MSG),
                "url",
                json!("https://x/?a"),
                "`url` must",
            ),
            (bus("sms", SEND_MSG), "app", json!("日志"), "`app` must"),
            (bus("sms", SEND_MSG), "user", json!(""), "`user` must"),
            (
                bus("sms", SEND_MSG),
                "msg_type",
                json!(1),
                "`msg_type` must",
            ),
            (
                bus("sms", SEND_MSG),
                "operation",
                json!("send_fax"),
                "`operation` must",
            ),
            (
                bus("sms", "send_sms"),
                "msg_type",
                json!("mail"),
                "`operation` must",
            ),
            (
                bus("sms", SEND_MSG),
                "token",
                json!("x"),
                "`token` is not a setting",
            ),
        ] {
            assert_eq!(Cmsi.check(&account), Ok(()), "{key}");
            let mut account = account;
            account.settings.insert(key.into(), value);
            let reason = Cmsi.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        for secret in ["", "hid den", "hidden\n", "密hidden"] {
            let reason = Cmsi.check_secret(secret).unwrap_err();
            assert!(!reason.contains("hid"), "{reason}");
        }
        assert_eq!(Cmsi.check_secret("s3cret"), Ok(()));
        let (account, content) = (bus("sms", SEND_MSG), content());
        assert_eq!(
            Cmsi.request(&outgoing(&account, "", "lisi", &content)),
            Err("the secret channel/test is missing".into())
        );
    }

    #[test]
    fn addresses_are_the_names_of_single_users() {
        for address in ["lisi", "li.si-1_2", "lisi@default.local"] {
            assert_eq!(Cmsi.check_address(address), Ok(()), "{address}");
        }
        for address in ["", "lisi,wangwu", "li si", "李四", "@all;x"] {
            assert!(Cmsi.check_address(address).is_err(), "{address}");
        }
    }
}
