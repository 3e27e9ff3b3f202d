//! Sends messages through the bot of a Slack app with the Web API (reference/notifications.md, section 1.1). Slack usually
//! answers with HTTP status 200, even if it refuses a message. Only the member `ok` of the response shows the result.
//!
//! The message goes to the person, or to the channel of the setting `conversation` with a mention of the person. All messages
//! about a ticket in one conversation are in one thread: later messages have `thread_ts` of the first one. If the first
//! message was deleted, Slack refuses the answer with `thread_not_found`, or posts it outside of the thread; the response
//! then contains a message without `thread_ts`.
//! Slack promises for no member of the request (also not for `client_msg_id`) that it recognizes a repeated message.

pub mod blocks;

use domain::attempt::{RETRY_AFTER_MAX_MS, Verdict};
use domain::notification::content::one_line;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde_json::Value;

use self::blocks::Buttons;
use super::group::{self, Groups};
use super::{
    Answering, Channel, Conversation, Outgoing, Request, Response, THREADS, TIMEOUT, TargetLimit,
    Updates, accepted, check_url, has_threads, of_http, only, text,
};
use crate::http::{HttpRequest, HttpResponse, RESPONSE_BYTES_MAX};
use crate::inbound::Place;

/// The default base URL of the Web API. The channel account (the settings for one app) can contain another URL.
const URL: &str = "https://slack.com/api";
/// Maximum number of messages in one minute: Slack accepts about one message in a second.
pub(super) const PER_MINUTE: u32 = 60;
/// Slack accepts about one message in a second for each conversation, and a few messages at once.
pub(super) const TARGET_LIMITS: &[TargetLimit] = &[TargetLimit {
    most: 5,
    period_ms: 5_000,
}];
/// Pause in milliseconds after a rate limit if the response has no header `Retry-After`.
const LIMITED_MS: i64 = 60_000;
/// Minimum pause in milliseconds after a rate limit.
const LIMITED_MIN_MS: i64 = 1_000;
/// Bot tokens begin with this text. Tokens that expire begin with another text, and this channel does not renew them.
const TOKEN_PREFIX: &str = "xoxb-";
/// The ids of public channels, direct messages and private channels begin with these letters.
const CONVERSATIONS: &str = "CDG";

/// The setting with the id of the channel to which the account sends.
const CONVERSATION: &str = "conversation";
/// The old name of this setting. A file of accounts cannot contain it, because its member `channel` is the name of the
/// channel `slack`.
const OLD_CONVERSATION: &str = "channel";

/// The channel that sends messages through a Slack app.
#[derive(Clone, Copy, Debug)]
pub struct Slack;

impl Channel for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn address_kind(&self) -> &'static str {
        "slack"
    }

    fn per_minute(&self) -> Option<u32> {
        Some(PER_MINUTE)
    }

    /// Returns true if the account posts to the channel of the setting `conversation`.
    fn is_shared(&self, account: &Defined, _to: &str) -> bool {
        !channel_of(account).is_empty()
    }

    fn target_limits(&self) -> &'static [TargetLimit] {
        TARGET_LIMITS
    }

    /// Returns the channel of the setting `conversation`, or the person.
    fn target<'a>(&self, account: &'a Defined, to: &'a str) -> &'a str {
        match channel_of(account) {
            "" => to,
            channel => channel,
        }
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        check_person(address)
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["url", CONVERSATION, OLD_CONVERSATION, THREADS])?;
        check_url(account, "url")?;
        has_threads(account)?;
        for key in [CONVERSATION, OLD_CONVERSATION] {
            match account.settings.get(key) {
                None => {}
                Some(Value::String(channel)) if is_id(channel, "CG") => {}
                Some(_) => {
                    return Err(format!(
                        "`{key}` must be the id of a channel such as C012AB3CD, not its name"
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let token = secret.strip_prefix(TOKEN_PREFIX).unwrap_or_default();
        if !token.is_empty() && token.chars().all(is_token) {
            Ok(())
        } else {
            Err("the secret must be the bot token of the app: xoxb-... on one line, without token rotation".into())
        }
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let mut body = body(outgoing)?;
        let channel = match channel_of(outgoing.account) {
            "" => outgoing.to,
            channel => channel,
        };
        body["channel"] = channel.into();
        body["unfurl_links"] = false.into();
        body["unfurl_media"] = false.into();
        if let Some(thread) = outgoing.thread {
            let (channel, ts) = parts(thread.root)
                .ok_or_else(|| "the id of the thread is not an id of Slack".to_owned())?;
            body["channel"] = channel.into();
            body["thread_ts"] = ts.into();
            if thread.is_broadcast {
                body["reply_broadcast"] = true.into();
            }
        }
        call(outgoing, "chat.postMessage", &body)
    }

    fn conversation<'a>(&self, account: &'a Defined, _to: &'a str) -> Conversation<'a> {
        match (has_threads(account), channel_of(account)) {
            (Ok(true), "") => Conversation::OfPerson,
            (Ok(true), channel) => Conversation::Shared(channel),
            _ => Conversation::WithoutThreads,
        }
    }

    fn refuses_thread(&self, response: &Response) -> bool {
        let Response::Http(Ok(response)) = response else {
            return false;
        };
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let lost = [
            "thread_not_found",
            "message_not_found",
            "cannot_reply_to_message",
        ];
        let error = body["error"].as_str();
        body["ok"] == false && error.is_some_and(|error| lost.contains(&error))
    }

    fn left_thread(&self, response: &Response) -> bool {
        let Response::Http(Ok(response)) = response else {
            return false;
        };
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        body["ok"] == true && body["message"].is_object() && body["message"]["thread_ts"].is_null()
    }

    /// Answers in the conversation of the message. Slash commands and buttons have an address for answers instead.
    fn answer(&self, answering: &Answering<'_>) -> Result<Option<HttpRequest>, String> {
        let Place { chat, message, .. } = answering.place;
        if !is_id(chat, CONVERSATIONS) {
            return Ok(None);
        }
        let text = crate::inbound::slack::escaped(answering.text);
        let mut body = serde_json::json!({
            "channel": chat, "text": text, "parse": "none", "link_names": false,
        });
        if !message.is_empty() {
            body["thread_ts"] = message.as_str().into();
        }
        let (account, secret) = (answering.account, answering.secret);
        match call_as(account, secret, "chat.postMessage", &body)? {
            Request::Http(request) => Ok(Some(request)),
            Request::Mail(_) => Ok(None),
        }
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
    }

    fn groups(&self) -> Option<&'static dyn Groups> {
        Some(&group::slack::Slack)
    }

    fn updates(&self, _account: &Defined) -> Updates {
        Updates::Always
    }

    fn update(
        &self,
        outgoing: &Outgoing<'_>,
        message: &str,
        _state: &str,
    ) -> Result<HttpRequest, String> {
        match update(outgoing, message)? {
            Request::Http(request) => Ok(request),
            Request::Mail(_) => Err("the channel sends no mails".into()),
        }
    }
}

/// Returns the id of the channel to which an account sends. The text is empty if the account sends direct messages.
fn channel_of(account: &Defined) -> &str {
    match text(account, CONVERSATION) {
        "" => text(account, OLD_CONVERSATION),
        channel => channel,
    }
}

/// Returns the request that replaces an earlier message with the content of `outgoing` (method `chat.update`). The text
/// `message` is the id of the earlier message: the ids of its channel and of the message, such as `C123/1700000000.000100`.
/// [`Channel::verdict`] evaluates the response. Returns an English text if no request is possible.
pub fn update(outgoing: &Outgoing<'_>, message: &str) -> Result<Request, String> {
    let (channel, ts) =
        parts(message).ok_or_else(|| "the id of the message is not an id of Slack".to_owned())?;
    let mut body = body(outgoing)?;
    body["channel"] = channel.into();
    body["ts"] = ts.into();
    call(outgoing, "chat.update", &body)
}

/// Checks the address of a person: the user id in Slack.
pub(super) fn check_person(address: &str) -> Result<(), String> {
    if is_id(address, "UW") {
        Ok(())
    } else {
        Err("be a Slack user id such as U012AB3CD".into())
    }
}

/// Returns whether a text is an id of Slack that begins with one of the letters `kinds`.
pub(super) fn is_id(text: &str, kinds: &str) -> bool {
    text.starts_with(|c: char| kinds.contains(c))
        && (3..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Returns the channel and the time stamp in the id of a message. Returns `None` if the id is invalid.
fn parts(message: &str) -> Option<(&str, &str)> {
    let (channel, ts) = message.split_once('/')?;
    let (seconds, fraction) = ts.split_once('.')?;
    let is_number = |text: &str| {
        (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_valid = is_id(channel, CONVERSATIONS) && is_number(seconds) && is_number(fraction);
    is_valid.then_some((channel, ts))
}

/// Returns the body of a request without the members of its method. `parse` and `link_names` switch off the links that Slack
/// makes from names: the default of `chat.update` is another one than that of `chat.postMessage`.
fn body(outgoing: &Outgoing<'_>) -> Result<Value, String> {
    check_person(outgoing.to).map_err(|reason| format!("the address must {reason}"))?;
    let is_direct = channel_of(outgoing.account).is_empty();
    // Without a mention, Slack does not notify a person of an answer in a thread that this person does not follow.
    let is_mentioned = !is_direct || outgoing.thread.is_some();
    let mention = is_mentioned.then_some(outgoing.to);
    let mut body = blocks::message(outgoing.content, mention, Buttons::Callbacks);
    body["parse"] = "none".into();
    body["link_names"] = false.into();
    Ok(body)
}

fn call(outgoing: &Outgoing<'_>, method: &str, body: &Value) -> Result<Request, String> {
    call_as(outgoing.account, outgoing.secret, method, body)
}

fn call_as(account: &Defined, secret: &str, method: &str, body: &Value) -> Result<Request, String> {
    Ok(post(
        method_url(account, secret, method)?,
        Some(secret),
        body,
    ))
}

/// Returns the URL of a method of the Web API. Returns an English text if the secret is not a bot token.
pub(super) fn method_url(account: &Defined, secret: &str, method: &str) -> Result<String, String> {
    Slack.check_secret(secret)?;
    let base = match text(account, "url") {
        "" => URL,
        url => url,
    };
    Ok(format!("{}/{method}", base.trim_end_matches('/')))
}

/// Returns a request with a JSON body.
pub(super) fn post(url: String, token: Option<&str>, body: &Value) -> Request {
    let json = "application/json; charset=utf-8".to_owned();
    let mut headers = vec![("content-type".to_owned(), json)];
    headers.extend(token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
    Request::Http(HttpRequest {
        method: "POST".into(),
        url,
        headers,
        body: body.to_string().into_bytes(),
        timeout: TIMEOUT,
        response_bytes_max: RESPONSE_BYTES_MAX,
    })
}

/// Converts a response of the Web API to a verdict (the result of an attempt). An unknown error means a permanent failure.
fn judge(response: &HttpResponse) -> Verdict {
    if response.status == 429 {
        return limited(response, "Slack answered with HTTP status 429");
    }
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    match body["ok"].as_bool() {
        Some(true) if response.is_success() => accepted("ok", message_id(&body)),
        Some(false) => {
            let word = body["error"].as_str().unwrap_or_default();
            if !is_word(word) {
                let reason = "Slack refused the message without an error";
                return Verdict::refused(
                    FailureClass::Permanent,
                    response.status.to_string(),
                    reason,
                );
            }
            let reason = reason(word, &body);
            known(word, &reason, response)
                .unwrap_or_else(|| Verdict::refused(FailureClass::Permanent, word, reason))
        }
        _ => unreadable(response),
    }
}

/// Returns the id of a message at Slack. The text is empty if the response contains no valid id.
pub(super) fn message_id(body: &Value) -> String {
    let member = |name: &str| body[name].as_str().unwrap_or_default();
    let id = format!("{}/{}", member("channel"), member("ts"));
    if parts(&id).is_some() {
        id
    } else {
        String::new()
    }
}

/// Returns the verdict for a rate limit, with the pause of the header `Retry-After` in seconds.
pub(super) fn limited(response: &HttpResponse, reason: &str) -> Verdict {
    let after_ms = wait(response).unwrap_or(LIMITED_MS);
    Verdict::Throttled {
        reason: reason.into(),
        after_ms: after_ms.clamp(LIMITED_MIN_MS, RETRY_AFTER_MAX_MS),
    }
}

fn wait(response: &HttpResponse) -> Option<i64> {
    let seconds: u32 = response.header("retry-after")?.trim().parse().ok()?;
    Some(i64::from(seconds) * 1_000)
}

/// Returns whether a text has the form of an error of Slack, such as `channel_not_found`.
pub(super) fn is_word(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// Returns the verdict (the result of an attempt) for an error of the Web API or of an incoming webhook
/// (reference/notifications.md, section 1.1). Returns `None` for an unknown error.
pub(super) fn known(word: &str, reason: &str, response: &HttpResponse) -> Option<Verdict> {
    let refused = |class| Verdict::refused(class, word, reason);
    Some(match word {
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => limited(response, reason),
        // It is possible that Slack has posted the message before this error.
        "fatal_error" | "internal_error" => Verdict::Unknown {
            reason: reason.into(),
        },
        "service_unavailable" | "request_timeout" | "rollup_error" => Verdict::Retry {
            reason: reason.into(),
            after_ms: wait(response),
        },
        "invalid_auth"
        | "not_authed"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "not_allowed_token_type"
        | "invalid_token"
        | "no_service"
        | "no_service_id"
        | "no_team"
        | "no_active_hooks"
        | "team_disabled" => refused(FailureClass::Credential),
        "user_not_found" | "cannot_dm_bot" => refused(FailureClass::RecipientInvalid),
        "msg_too_long" | "msg_blocks_too_long" => refused(FailureClass::TooLarge),
        // With the address of a person, this error can also mean an unknown person. The response does not show the
        // difference to a wrong setting `conversation`.
        "channel_not_found"
        | "not_in_channel"
        | "is_archived"
        | "channel_is_archived"
        | "no_text"
        | "invalid_blocks"
        | "invalid_payload"
        | "too_many_attachments"
        | "missing_scope"
        | "restricted_action"
        | "action_prohibited"
        | "posting_to_general_channel_denied" => refused(FailureClass::Permanent),
        _ => return None,
    })
}

/// Returns the reason for people: the error with its most probable cause.
pub(super) fn reason(word: &str, body: &Value) -> String {
    let cause = match word {
        "invalid_auth" | "not_authed" => "the bot token is wrong",
        "account_inactive" | "token_revoked" => "the app was removed or its token was revoked",
        "not_in_channel" => "invite the app to the channel",
        "channel_not_found" => "the user id or the channel is wrong, or the app cannot see it",
        "missing_scope" => "the app needs a further scope",
        _ => "",
    };
    let needed = body["needed"].as_str().unwrap_or_default();
    let detail = &body["response_metadata"]["messages"][0];
    let parts = [word, cause, needed, detail.as_str().unwrap_or_default()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    one_line(&parts.join(": "))
}

/// Returns the verdict (the result of an attempt) for a response that has not the form of a response of Slack. Such a
/// response probably comes from another server, such as a proxy. It is possible that this server has forwarded the message.
pub(super) fn unreadable(response: &HttpResponse) -> Verdict {
    let status = response.status;
    let reason = format!("the response with HTTP status {status} has not the form of Slack");
    match status {
        503 => Verdict::Retry {
            reason: reason.into(),
            after_ms: wait(response),
        },
        200..300 | 500.. => Verdict::Unknown {
            reason: reason.into(),
        },
        _ => Verdict::refused(FailureClass::Permanent, status.to_string(), reason),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use domain::notification::content::{Action, Content};
    use serde_json::json;

    use super::super::Thread;
    use super::super::contract::{account, content, outgoing, shown};
    use super::*;
    use crate::http::HttpError;

    const SECRET: &str = "xoxb-1-secret";
    const PERSON: &str = "U0000LISI";

    /// Every error of reference/notifications.md, section 1.1, with its verdict.
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (
            200,
            r#"{"ok":true,"channel":"C123","ts":"1700000000.000100"}"#,
            "accepted C123/1700000000.000100",
        ),
        (200, r#"{"ok":true,"channel":"C123"}"#, "accepted"),
        (200, r#"{"ok":true,"channel":"a/b","ts":"1.2"}"#, "accepted"),
        // Rate limits.
        (429, "", "throttled 60000"),
        (
            429,
            r#"{"ok":false,"error":"ratelimited"}"#,
            "throttled 60000",
        ),
        (
            200,
            r#"{"ok":false,"error":"ratelimited"}"#,
            "throttled 60000",
        ),
        (
            200,
            r#"{"ok":false,"error":"rate_limited"}"#,
            "throttled 60000",
        ),
        (
            200,
            r#"{"ok":false,"error":"message_limit_exceeded"}"#,
            "throttled 60000",
        ),
        // Errors after which the message can be in the channel.
        (200, r#"{"ok":false,"error":"fatal_error"}"#, "unknown"),
        (500, r#"{"ok":false,"error":"fatal_error"}"#, "unknown"),
        (200, r#"{"ok":false,"error":"internal_error"}"#, "unknown"),
        (500, r#"{"ok":false,"error":"internal_error"}"#, "unknown"),
        // Temporary errors.
        (
            200,
            r#"{"ok":false,"error":"service_unavailable"}"#,
            "retry",
        ),
        (
            503,
            r#"{"ok":false,"error":"service_unavailable"}"#,
            "retry",
        ),
        (200, r#"{"ok":false,"error":"request_timeout"}"#, "retry"),
        (503, "<html>", "retry"),
        // Permanent errors.
        (
            200,
            r#"{"ok":false,"error":"channel_not_found"}"#,
            "permanent channel_not_found",
        ),
        (
            200,
            r#"{"ok":false,"error":"not_in_channel"}"#,
            "permanent not_in_channel",
        ),
        (
            200,
            r#"{"ok":false,"error":"is_archived"}"#,
            "permanent is_archived",
        ),
        (
            200,
            r#"{"ok":false,"error":"no_text"}"#,
            "permanent no_text",
        ),
        (
            200,
            r#"{"ok":false,"error":"invalid_blocks"}"#,
            "permanent invalid_blocks",
        ),
        (
            200,
            r#"{"ok":false,"error":"missing_scope"}"#,
            "permanent missing_scope",
        ),
        (
            200,
            r#"{"ok":false,"error":"restricted_action"}"#,
            "permanent restricted_action",
        ),
        (
            200,
            r#"{"ok":false,"error":"message_not_found"}"#,
            "permanent message_not_found",
        ),
        (
            200,
            r#"{"ok":false,"error":"of_the_future"}"#,
            "permanent of_the_future",
        ),
        (200, r#"{"ok":false,"error":"Not A Word"}"#, "permanent 200"),
        (200, r#"{"ok":false}"#, "permanent 200"),
        // Messages that are too large.
        (
            200,
            r#"{"ok":false,"error":"msg_too_long"}"#,
            "too_large msg_too_long",
        ),
        (
            200,
            r#"{"ok":false,"error":"msg_blocks_too_long"}"#,
            "too_large msg_blocks_too_long",
        ),
        // Wrong recipients.
        (
            200,
            r#"{"ok":false,"error":"cannot_dm_bot"}"#,
            "recipient_invalid cannot_dm_bot",
        ),
        (
            200,
            r#"{"ok":false,"error":"user_not_found"}"#,
            "recipient_invalid user_not_found",
        ),
        // Wrong credentials.
        (
            200,
            r#"{"ok":false,"error":"invalid_auth"}"#,
            "credential invalid_auth",
        ),
        (
            401,
            r#"{"ok":false,"error":"invalid_auth"}"#,
            "credential invalid_auth",
        ),
        (
            200,
            r#"{"ok":false,"error":"not_authed"}"#,
            "credential not_authed",
        ),
        (
            200,
            r#"{"ok":false,"error":"account_inactive"}"#,
            "credential account_inactive",
        ),
        (
            200,
            r#"{"ok":false,"error":"token_revoked"}"#,
            "credential token_revoked",
        ),
        (
            200,
            r#"{"ok":false,"error":"token_expired"}"#,
            "credential token_expired",
        ),
        // Responses of other servers.
        (200, "<html>", "unknown"),
        (200, "", "unknown"),
        (200, "ok", "unknown"),
        (200, r#"{"ok":"true"}"#, "unknown"),
        (200, r#"[{"ok":true}]"#, "unknown"),
        (500, r#"{"ok":true,"channel":"C123","ts":"1.2"}"#, "unknown"),
        (502, "<html>", "unknown"),
        (504, "", "unknown"),
        (302, "", "permanent 302"),
        (403, "<html>", "permanent 403"),
        (404, "", "permanent 404"),
    ];

    fn http(status: u16, body: &str) -> Response {
        Response::Http(Ok(HttpResponse::of(status, body.as_bytes())))
    }

    fn http_of(request: Result<Request, String>) -> (HttpRequest, Value) {
        let Ok(Request::Http(request)) = request else {
            panic!("an HTTP request")
        };
        let body = serde_json::from_slice(&request.body).unwrap();
        (request, body)
    }

    #[test]
    fn each_error_of_slack_has_its_verdict() {
        for (status, body, expected) in CODES {
            let verdict = Slack.verdict(&http(*status, body));
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
        }
    }

    #[test]
    fn the_pause_of_a_rate_limit_comes_from_the_header() {
        for (value, expected) in [
            ("30", "throttled 30000"),
            ("0", "throttled 1000"),
            ("4000000000", "throttled 86400000"),
            ("Sun, 06 Nov 1994 08:50:37 GMT", "throttled 60000"),
            ("-1", "throttled 60000"),
        ] {
            let mut response = HttpResponse::of(429, br#"{"ok":false,"error":"ratelimited"}"#);
            response
                .headers
                .push(("retry-after".into(), value.to_owned()));
            let verdict = Slack.verdict(&Response::Http(Ok(response)));
            assert_eq!(shown(&verdict), expected, "{value}");
        }
        let mut response = HttpResponse::of(503, b"");
        response.headers.push(("retry-after".into(), "7".into()));
        let verdict = Slack.verdict(&Response::Http(Ok(response)));
        assert_eq!(shown(&verdict), "retry 7000");
    }

    #[test]
    fn a_request_without_a_response_is_repeated_only_if_it_was_not_sent() {
        let verdict = |error| shown(&Slack.verdict(&Response::Http(Err(error))));
        assert_eq!(verdict(HttpError::NotSent("refused".into())), "retry");
        assert_eq!(verdict(HttpError::Unknown("reset".into())), "unknown");
        assert!(!Slack.may_repeat());
    }

    #[test]
    fn the_reason_names_the_probable_cause() {
        let body = r#"{"ok":false,"error":"missing_scope","needed":"chat:write",
            "response_metadata":{"messages":["[ERROR] a\nb"]}}"#;
        let Verdict::Refused { reason, .. } = Slack.verdict(&http(200, body)) else {
            panic!("a refusal")
        };
        let expected =
            "missing_scope: the app needs a further scope: chat:write: [ERROR] a b".to_owned();
        assert_eq!(reason.text, expected);
    }

    #[test]
    fn a_direct_message_has_buttons_and_no_mention() {
        let mut content = content();
        content.actions = vec![Action {
            name: "approve".into(),
            label: "批准".into(),
            is_primary: true,
            url: "https://desk.example/confirm".into(),
            value: "v1.sign".into(),
        }];
        let account = account("slack");
        let outgoing = outgoing(&account, SECRET, PERSON, &content);
        let (request, body) = http_of(Slack.request(&outgoing));
        assert_eq!(request.url, "https://slack.com/api/chat.postMessage");
        assert_eq!(request.method, "POST");
        let headers = [
            ("content-type", "application/json; charset=utf-8"),
            ("authorization", "Bearer xoxb-1-secret"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(request.headers, headers);
        assert_eq!(
            (&body["channel"], &body["parse"], &body["unfurl_links"]),
            (&json!(PERSON), &json!("none"), &json!(false))
        );
        assert!(!body.to_string().contains("<@"));
        assert!(!body.to_string().contains(SECRET));
        let button = &body["blocks"][5]["elements"][0];
        assert_eq!(
            (&button["action_id"], &button["value"]),
            (&json!("ledgerdesk:approve"), &json!("v1.sign"))
        );
        assert_eq!(Slack.request(&outgoing), Slack.request(&outgoing));
    }

    #[test]
    fn a_message_in_a_channel_mentions_the_person() {
        let mut account = account("slack");
        for (key, value) in [("channel", "C0000OPS"), ("url", "http://127.0.0.1:1/api/")] {
            account.settings.insert(key.into(), value.into());
        }
        assert_eq!(Slack.check(&account), Ok(()));
        let content = content();
        let (request, body) = http_of(Slack.request(&outgoing(&account, SECRET, PERSON, &content)));
        assert_eq!(request.url, "http://127.0.0.1:1/api/chat.postMessage");
        assert_eq!(body["channel"], "C0000OPS");
        let intro = body["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(intro.starts_with("<@U0000LISI> "), "{intro}");
    }

    #[test]
    fn an_answer_in_a_thread_mentions_the_person() {
        let account = account("slack");
        let content = content();
        let root = "D0000LISI/1700000000.000100";
        let in_thread = |is_broadcast| Outgoing {
            thread: Some(Thread { root, is_broadcast }),
            ..outgoing(&account, SECRET, PERSON, &content)
        };
        let (_, body) = http_of(Slack.request(&in_thread(false)));
        assert_eq!(
            (&body["channel"], &body["thread_ts"]),
            (&json!("D0000LISI"), &json!("1700000000.000100"))
        );
        assert!(body["reply_broadcast"].is_null(), "{body}");
        assert!(body.to_string().contains("<@U0000LISI>"), "{body}");
        let (_, body) = http_of(Slack.request(&in_thread(true)));
        assert_eq!(body["reply_broadcast"], true);
        let wrong = Outgoing {
            thread: Some(Thread {
                root: "om_1",
                is_broadcast: false,
            }),
            ..outgoing(&account, SECRET, PERSON, &content)
        };
        let expected = Err("the id of the thread is not an id of Slack".to_owned());
        assert_eq!(Slack.request(&wrong), expected);
    }

    #[test]
    fn a_lost_thread_is_recognized() {
        for (body, is_refused, has_left) in [
            (r#"{"ok":false,"error":"thread_not_found"}"#, true, false),
            (r#"{"ok":false,"error":"message_not_found"}"#, true, false),
            (
                r#"{"ok":false,"error":"cannot_reply_to_message"}"#,
                true,
                false,
            ),
            (r#"{"ok":false,"error":"channel_not_found"}"#, false, false),
            (r#"{"ok":true,"message":{"text":"x"}}"#, false, true),
            (r#"{"ok":true,"message":{"thread_ts":"1.2"}}"#, false, false),
            (r#"{"ok":true}"#, false, false),
            ("<html>", false, false),
        ] {
            let response = http(200, body);
            assert_eq!(Slack.refuses_thread(&response), is_refused, "{body}");
            assert_eq!(Slack.left_thread(&response), has_left, "{body}");
        }
    }

    #[test]
    fn an_account_has_threads_in_its_channel_or_with_each_person() {
        let mut account = account("slack");
        let of = |account: &Defined| match Slack.conversation(account, PERSON) {
            Conversation::WithoutThreads => "none".to_owned(),
            Conversation::OfPerson => "person".to_owned(),
            Conversation::Shared(id) => id.to_owned(),
        };
        assert_eq!(of(&account), "person");
        account
            .settings
            .insert("conversation".into(), "C0000OPS".into());
        assert_eq!(of(&account), "C0000OPS");
        account.settings.insert("threads".into(), false.into());
        assert_eq!(Slack.check(&account), Ok(()));
        assert_eq!(of(&account), "none");
        account.settings.insert("threads".into(), "no".into());
        let expected = Err("`threads` must be true or false".to_owned());
        assert_eq!(Slack.check(&account), expected);
    }

    #[test]
    fn all_messages_in_a_channel_have_the_same_receiver() {
        let mut account = account("slack");
        assert_eq!(Slack.target(&account, PERSON), PERSON);
        let conversation = ("conversation".to_owned(), "C0000OPS".into());
        account.settings.extend([conversation]);
        assert_eq!(Slack.target(&account, PERSON), "C0000OPS");
        let limits = Slack.target_limits().iter();
        let fastest = limits.map(|limit| i64::from(limit.most) * 1_000 / limit.period_ms);
        assert_eq!(fastest.max(), Some(1), "one message in a second");
    }

    #[test]
    fn an_update_replaces_the_earlier_message() {
        let account = account("slack");
        let content = content();
        let outgoing = outgoing(&account, SECRET, PERSON, &content);
        let (request, body) = http_of(update(&outgoing, "D123/1700000000.000100"));
        assert_eq!(request.url, "https://slack.com/api/chat.update");
        assert_eq!(
            (&body["channel"], &body["ts"], &body["parse"]),
            (&json!("D123"), &json!("1700000000.000100"), &json!("none"))
        );
        let (_, posted) = http_of(Slack.request(&outgoing));
        assert_eq!(body["blocks"], posted["blocks"]);
        for wrong in [
            "",
            "D123",
            "1700000000.000100",
            "D123/1700000000",
            "D123/17.a",
            "d123/1.2",
            "U123/1.2",
            "D123/1.2/3",
            "D1\"3/1.2",
        ] {
            let expected = Err("the id of the message is not an id of Slack".to_owned());
            assert_eq!(update(&outgoing, wrong), expected, "{wrong}");
        }
    }

    #[test]
    fn a_shortened_message_has_only_its_header_sentences_and_link() {
        let account = account("slack");
        let content: Content = content().shortened();
        let (_, body) = http_of(Slack.request(&outgoing(&account, SECRET, PERSON, &content)));
        assert_eq!(body["blocks"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn addresses_are_ids_of_people() {
        for address in ["U012AB3CD", "W012AB3CD"] {
            assert_eq!(Slack.check_address(address), Ok(()));
        }
        for address in ["", "U", "lisi", "u012ab3cd", "C012AB3CD", "U012> <!channel"] {
            assert!(Slack.check_address(address).is_err(), "{address}");
            let (account, content) = (account("slack"), content());
            let request = Slack.request(&outgoing(&account, SECRET, address, &content));
            assert!(request.is_err(), "{address}");
        }
        assert!(Slack.check_address(&"U".repeat(33)).is_err());
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        for secret in [
            "",
            "xoxb-",
            "xoxp-SECx",
            "xoxe.xoxb-SECx",
            "xoxb-SECx\r\nx: y",
        ] {
            let reason = Slack.check_secret(secret).unwrap_err();
            assert!(reason.contains("bot token"), "{reason}");
            assert!(!reason.contains("SECx"), "{reason}");
            let (account, content) = (account("slack"), content());
            let request = Slack.request(&outgoing(&account, secret, PERSON, &content));
            assert_eq!(request, Err(reason));
        }
        assert_eq!(Slack.check_secret(SECRET), Ok(()));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (key, value, expected) in [
            ("url", json!("ftp://x"), "`url` must"),
            ("url", json!("https://x/?a=b"), "`url` must"),
            ("channel", json!("#ops"), "`channel` must"),
            ("channel", json!(""), "`channel` must"),
            ("channel", json!("U012AB3CD"), "`channel` must"),
            ("channel", json!(1), "`channel` must"),
            ("conversation", json!("#ops"), "`conversation` must"),
            ("thread", json!("x"), "`thread` is not a setting"),
        ] {
            let mut account = account("slack");
            account.settings.insert(key.into(), value);
            let reason = Slack.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
    }
}
