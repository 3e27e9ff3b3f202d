//! Sends messages through an application (a bot) of Feishu, or of Lark, which is Feishu outside of mainland China
//! (reference/notifications.md, section 1.5). A message is a card with buttons. Feishu reports the press of a button to the
//! application. The HTTP status of a response is not sufficient: only the code in the body shows the result.

use domain::attempt::Verdict;
use domain::notification::content::{Action, Content, labelled, one_line};
use domain::notification::receipt::Reported;
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Access, Answering, Channel, Outgoing, Request, Response, TIMEOUT, Token, Updates, accepted,
    check_url, cut, of_http, only, text,
};
use crate::http::{HttpError, HttpRequest, HttpResponse, RESPONSE_BYTES_MAX};

/// The default base URL of the channels of Feishu. The base URL of Lark is `https://open.larksuite.com`.
const URL: &str = "https://open.feishu.cn";
/// Maximum number of messages that one application may send in one minute.
const PER_MINUTE: u32 = 1_000;
/// Maximum size of a card as JSON, in bytes.
const CARD_BYTES_MAX: usize = 30_000;
/// Maximum size of one text in a card, except for the values of the ticket, in bytes.
const TEXT_BYTES_MAX: usize = 1_500;
/// Maximum size of the text of a button, in bytes. Feishu allows 100 characters.
const LABEL_BYTES_MAX: usize = 100;
/// The kinds of ids with which an application can address a person or a group. The first kind is the default.
const KINDS: [&str; 5] = ["open_id", "user_id", "union_id", "email", "chat_id"];
/// Number of the first kinds in [`KINDS`] that are ids of people.
const KINDS_OF_PEOPLE: usize = 3;
/// Maximum number of characters of the id with which Feishu recognizes a repeated message.
const ID_CHARACTERS: usize = 32;
/// Pause before the next message if Feishu names no pause, in milliseconds.
const WAIT_MS: i64 = 10_000;
/// Pause before the next message to one person or group, in milliseconds. Feishu allows 5 messages in one second.
const CHAT_WAIT_MS: i64 = 2_000;
/// Maximum pause that the desk reads from a response, in seconds: one hour.
const WAIT_MAX_S: i64 = 3_600;

/// The channel that sends messages through an application of Feishu or Lark.
#[derive(Clone, Copy, Debug)]
pub struct Feishu;

/// The secret data of one application.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    app_id: String,
    app_secret: String,
}

impl Channel for Feishu {
    fn name(&self) -> &'static str {
        "feishu"
    }

    fn address_kind(&self) -> &'static str {
        "feishu"
    }

    fn per_minute(&self) -> Option<u32> {
        Some(PER_MINUTE)
    }

    /// Returns true. Feishu sends only one of all messages that have the same id within one hour.
    fn may_repeat(&self) -> bool {
        true
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        check_address(address)
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["url", "receive_id_type"])?;
        check_url(account, "url")?;
        match account.settings.get("receive_id_type").map(Value::as_str) {
            None => Ok(()),
            Some(Some(kind)) if KINDS.contains(&kind) => Ok(()),
            Some(_) => Err(format!(
                "`receive_id_type` must be one of {}",
                KINDS.join(", ")
            )),
        }
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        read(secret).map(drop)
    }

    fn access(&self, account: &Defined, secret: &str, _now: Moment) -> Result<Access, String> {
        let secret = read(secret)?;
        let url = format!(
            "{}/open-apis/auth/v3/tenant_access_token/internal",
            base(account)
        );
        let body = json!({ "app_id": secret.app_id, "app_secret": secret.app_secret });
        Ok(Access::Asked(json_request("POST", url, "", &body)))
    }

    fn token(&self, response: &Result<HttpResponse, HttpError>) -> Result<Token, Verdict> {
        let response = response
            .as_ref()
            .map_err(|error| Verdict::retry(error.to_string()))?;
        let verdict = match coded(response) {
            Err(verdict) => verdict,
            Ok(answer) if answer.code == 0 => {
                let value = answer.body["tenant_access_token"].as_str();
                let seconds = answer.body["expire"].as_i64();
                if let (Some(value), Some(seconds)) = (value, seconds) {
                    return Ok(Token {
                        value: value.to_owned(),
                        lifetime_ms: seconds.saturating_mul(1_000),
                    });
                }
                Verdict::retry("the response contains no `tenant_access_token`")
            }
            Ok(answer) => refusal(response, &answer),
        };
        Err(match verdict {
            // The request for a token sends no message, so it can always be repeated.
            Verdict::Unknown { reason } => Verdict::Retry {
                reason,
                after_ms: None,
            },
            verdict => verdict,
        })
    }

    fn refuses_token(&self, response: &Response) -> bool {
        let Response::Http(Ok(response)) = response else {
            return false;
        };
        coded(response).is_ok_and(|answer| is_token_code(answer.code))
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let url = format!(
            "{}/open-apis/im/v1/messages?receive_id_type={}",
            base(outgoing.account),
            kind(outgoing.account)
        );
        let id: String = outgoing.id.chars().take(ID_CHARACTERS).collect();
        let body = json!({
            "receive_id": outgoing.to,
            "msg_type": "interactive",
            "content": content(outgoing.content),
            "uuid": id,
        });
        let request = json_request("POST", url, token(outgoing)?, &body);
        Ok(Request::Http(request))
    }

    /// Answers with a text below the message of the person, or below the card.
    fn answer(&self, answering: &Answering<'_>) -> Result<Option<HttpRequest>, String> {
        let message = answering.place.message.as_str();
        if message.is_empty() {
            return Ok(None);
        }
        let url = format!("{}/reply", message_url(answering.account, message)?);
        // In a text, the character `<` begins the mention of a person.
        let text = cut(&answering.text.replace('<', "＜"), TEXT_BYTES_MAX);
        let body = json!({
            "msg_type": "text",
            "content": json!({ "text": text }).to_string(),
            "uuid": answering.id,
        });
        Ok(Some(json_request("POST", url, answering.token, &body)))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, |response| match coded(response) {
            Err(verdict) => verdict,
            Ok(answer) if answer.code == 0 => {
                let message = answer.body["data"]["message_id"].as_str();
                accepted("0", message.unwrap_or_default())
            }
            Ok(answer) => refusal(response, &answer),
        })
    }

    /// Feishu reports who has read a message for 7 days. The person is only known if the message went to an id of a
    /// person.
    fn receipt_request(
        &self,
        account: &Defined,
        token: &str,
        message: &str,
    ) -> Option<Result<HttpRequest, String>> {
        let kind = kind(account);
        let is_person = KINDS[..KINDS_OF_PEOPLE].contains(&kind);
        is_person.then(|| {
            let url = message_url(account, message)?;
            let url = format!("{url}/read_users?user_id_type={kind}");
            let mut request = HttpRequest::get(url, TIMEOUT, RESPONSE_BYTES_MAX);
            let bearer = ("authorization".to_owned(), format!("Bearer {token}"));
            request.headers.push(bearer);
            Ok(request)
        })
    }

    fn receipt(&self, to: &str, response: &HttpResponse) -> Result<Reported, String> {
        let answer = coded(response).map_err(|_| "the response of Feishu is not readable")?;
        if answer.code != 0 {
            let (code, reason) = (answer.code, &answer.reason);
            return Err(format!("Feishu answered with the code {code}: {reason}"));
        }
        let readers = answer.body["data"]["items"].as_array();
        let is_reader = |reader: &Value| reader["user_id"] == to;
        if readers.is_some_and(|readers| readers.iter().any(is_reader)) {
            Ok(Reported::Read)
        } else {
            Ok(Reported::NotYet)
        }
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
        update(outgoing, message)
    }
}

/// Returns the request that replaces the card of a sent message by the card of `outgoing`. `message` is the id of the message
/// at Feishu. The verdict of the response is that of the channel (reference/notifications.md, section 1.5).
pub fn update(outgoing: &Outgoing<'_>, message: &str) -> Result<HttpRequest, String> {
    let url = message_url(outgoing.account, message)?;
    let body = json!({ "content": content(outgoing.content) });
    Ok(json_request("PATCH", url, token(outgoing)?, &body))
}

/// Returns the request that makes a sent message urgent. The program of the person then shows the message at once and with a
/// sound (a *buzz*). `message` is the id of the message at Feishu. Only people can get an urgent message, so the setting
/// `receive_id_type` must be an id of a person (reference/notifications.md, section 1.5).
pub fn buzz(outgoing: &Outgoing<'_>, message: &str) -> Result<HttpRequest, String> {
    let kind = kind(outgoing.account);
    if !KINDS[..KINDS_OF_PEOPLE].contains(&kind) {
        let known = KINDS[..KINDS_OF_PEOPLE].join(", ");
        return Err(format!(
            "an urgent message needs the `receive_id_type` {known}, not {kind}"
        ));
    }
    let url = message_url(outgoing.account, message)?;
    let url = format!("{url}/urgent_app?user_id_type={kind}");
    let body = json!({ "user_id_list": [outgoing.to] });
    Ok(json_request("PATCH", url, token(outgoing)?, &body))
}

/// Converts the response to the request of [`buzz`] to a verdict (the result of the attempt). Feishu can accept the request and
/// name people who cannot get an urgent message.
pub fn buzz_verdict(response: &Response) -> Verdict {
    let verdict = Feishu.verdict(response);
    let (Verdict::Succeeded { .. }, Response::Http(Ok(response))) = (&verdict, response) else {
        return verdict;
    };
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let refused = body["data"]["invalid_user_id_list"].as_array();
    if refused.is_none_or(Vec::is_empty) {
        return verdict;
    }
    let reason = "the person cannot get an urgent message of this application";
    Verdict::refused(FailureClass::RecipientInvalid, "0", reason)
}

fn read(secret: &str) -> Result<Secret, String> {
    serde_json::from_str(secret)
        .ok()
        .filter(|secret: &Secret| !secret.app_id.is_empty() && !secret.app_secret.is_empty())
        .ok_or_else(|| {
            r#"the secret must be {"app_id": "cli_...", "app_secret": "..."} on one line"#
                .to_owned()
        })
}

fn kind(account: &Defined) -> &str {
    match text(account, "receive_id_type") {
        "" => KINDS[0],
        kind => kind,
    }
}

fn token<'a>(outgoing: &Outgoing<'a>) -> Result<&'a str, String> {
    if outgoing.token.is_empty() {
        Err("the access token is missing".into())
    } else {
        Ok(outgoing.token)
    }
}

/// Returns the URL of a sent message. The id of the message becomes a part of the path, so only the characters of an id are
/// allowed.
fn message_url(account: &Defined, message: &str) -> Result<String, String> {
    let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if message.is_empty() || !message.chars().all(is_id) {
        return Err("the id of the message is not valid".into());
    }
    Ok(format!(
        "{}/open-apis/im/v1/messages/{message}",
        base(account)
    ))
}

/// Returns the card of a message as JSON text.
fn content(content: &Content) -> String {
    let callback =
        |action: &Action| json!({ "value": { "name": action.name, "value": action.value } });
    fit(content, CARD_BYTES_MAX, |content| {
        card(content, None, callback).to_string()
    })
}

/// Checks an address of a person for the channels of Feishu: an id of Feishu or an e-mail address.
pub(super) fn check_address(address: &str) -> Result<(), String> {
    let is_made_of = |text: &str, special: &[char], max: usize| {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || special.contains(&c);
        (1..=max).contains(&text.len()) && text.chars().all(is_allowed)
    };
    let is_valid = match address.split_once('@') {
        Some((name, domain)) => {
            is_made_of(name, &['.', '_', '-', '+'], 64) && is_made_of(domain, &['.', '-'], 189)
        }
        // Feishu understands `all` as all people of a group.
        None => is_made_of(address, &['_', '-', '.'], 64) && !address.eq_ignore_ascii_case("all"),
    };
    if is_valid {
        Ok(())
    } else {
        Err("be an id of Feishu, such as ou_7d8a6e6d, or an e-mail address".into())
    }
}

/// Returns the base URL of the provider, without a slash at the end.
pub(super) fn base(account: &Defined) -> &str {
    match text(account, "url") {
        "" => URL,
        url => url.trim_end_matches('/'),
    }
}

/// Returns a request with a JSON body. The request has no access token if `token` is empty.
pub(super) fn json_request(method: &str, url: String, token: &str, body: &Value) -> HttpRequest {
    let mut headers = vec![(
        "content-type".to_owned(),
        "application/json; charset=utf-8".to_owned(),
    )];
    if !token.is_empty() {
        headers.push(("authorization".to_owned(), format!("Bearer {token}")));
    }
    HttpRequest {
        method: method.to_owned(),
        url,
        headers,
        body: body.to_string().into_bytes(),
        timeout: TIMEOUT,
        response_bytes_max: RESPONSE_BYTES_MAX,
    }
}

/// Returns the result of `render` for the content, with at most `bytes_max` bytes if possible. Values are omitted from the
/// end until the result is small enough. A line with an ellipsis then shows that values are missing. The subject, the link
/// and the buttons are never omitted.
pub(super) fn fit(
    content: &Content,
    bytes_max: usize,
    render: impl Fn(&Content) -> String,
) -> String {
    let mut content = Content {
        subject: cut(&content.subject, TEXT_BYTES_MAX),
        intro: cut(&content.intro, TEXT_BYTES_MAX),
        closing: cut(&content.closing, TEXT_BYTES_MAX),
        ..content.clone()
    };
    let mut kept = content.values.len();
    let mut rendered = render(&content);
    while rendered.len() > bytes_max && kept > 0 {
        kept -= 1;
        content.values.truncate(kept);
        content.values.push(("…".into(), String::new()));
        rendered = render(&content);
    }
    rendered
}

/// Returns the card of a message. `first` is an element before the text, if there is one. `effect` returns the members of a
/// button that define what the press of the button does. All texts are elements of the kind `plain_text`, in which no
/// character has a special meaning.
pub(super) fn card(
    content: &Content,
    first: Option<Value>,
    effect: impl Fn(&Action) -> Value,
) -> Value {
    let mut elements: Vec<Value> = first.into_iter().collect();
    elements.push(json!({ "tag": "div", "text": plain_text(&content.intro) }));
    let field = |(label, value): &(String, String)| {
        let line = if value.is_empty() {
            label.clone()
        } else {
            labelled(label, value)
        };
        json!({ "is_short": false, "text": plain_text(&line) })
    };
    let fields: Vec<Value> = content.values.iter().map(field).collect();
    if !fields.is_empty() {
        elements.push(json!({ "tag": "div", "fields": fields }));
    }
    let button = |label: &str, is_primary: bool, effect: Value| {
        let kind = if is_primary { "primary" } else { "default" };
        let mut button = json!({
            "tag": "button",
            "type": kind,
            "text": plain_text(&cut(label, LABEL_BYTES_MAX)),
        });
        if let (Some(button), Value::Object(effect)) = (button.as_object_mut(), effect) {
            button.extend(effect);
        }
        button
    };
    let actions = content.actions.iter();
    let mut buttons: Vec<Value> = actions
        .map(|action| button(&action.label, action.is_primary, effect(action)))
        .collect();
    let link = json!({ "url": content.link.url });
    buttons.push(button(&content.link.text, content.actions.is_empty(), link));
    elements.push(json!({ "tag": "action", "actions": buttons }));
    if !content.closing.is_empty() {
        elements.push(json!({ "tag": "note", "elements": [plain_text(&content.closing)] }));
    }
    json!({
        // A card can be replaced later only if `update_multi` is true.
        "config": { "wide_screen_mode": true, "update_multi": true },
        "header": { "template": "blue", "title": plain_text(&content.subject) },
        "elements": elements,
    })
}

/// Returns an element with plain text. The character `<` is replaced by a similar full-width character, because old programs
/// of Feishu show a card as text, and a text can contain the mention `<at user_id="all">`.
fn plain_text(text: &str) -> Value {
    json!({ "tag": "plain_text", "content": text.replace('<', "＜") })
}

/// A response with a code.
pub(super) struct Answer {
    pub(super) code: i64,
    /// The reason in the response, as one line.
    pub(super) reason: String,
    pub(super) body: Value,
}

/// Reads the code of a response. Returns a verdict (the result of the attempt) if the HTTP status already determines the
/// result, or if the response has no code.
pub(super) fn coded(response: &HttpResponse) -> Result<Answer, Verdict> {
    let status = response.status;
    match status {
        429 => {
            return Err(Verdict::Throttled {
                reason: "Feishu answered with HTTP status 429".into(),
                after_ms: wait_ms(response, WAIT_MS),
            });
        }
        503 => {
            return Err(Verdict::retry(format!(
                "Feishu answered with HTTP status {status}"
            )));
        }
        413 => {
            return Err(Verdict::refused(
                FailureClass::TooLarge,
                status.to_string(),
                "Feishu answered with HTTP status 413",
            ));
        }
        _ => {}
    }
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    // Old versions of the custom bot use other names.
    let code = body.get("code").or_else(|| body.get("StatusCode"));
    let message = body.get("msg").or_else(|| body.get("StatusMessage"));
    let reason = one_line(message.and_then(Value::as_str).unwrap_or_default());
    let Some(code) = code.and_then(Value::as_i64) else {
        let reason = format!("the response with HTTP status {status} has no `code`");
        // Such a response probably comes from another server than Feishu, such as a proxy. It is possible that this
        // server has forwarded the message to Feishu.
        return Err(if response.is_success() || status >= 500 {
            Verdict::Unknown {
                reason: reason.into(),
            }
        } else {
            Verdict::refused(FailureClass::Permanent, status.to_string(), reason)
        });
    };
    if code == 0 && !response.is_success() {
        let reason = format!("the response has the code 0, but HTTP status {status}");
        return Err(Verdict::Unknown {
            reason: reason.into(),
        });
    }
    Ok(Answer { code, reason, body })
}

/// Returns the verdict (the result of the attempt) for the limit of messages. The pause is from the response if the response
/// names one, and otherwise `otherwise_ms` milliseconds.
pub(super) fn throttled(response: &HttpResponse, answer: &Answer, otherwise_ms: i64) -> Verdict {
    let Answer { code, reason, .. } = answer;
    Verdict::Throttled {
        reason: format!("too many messages (code {code}): {reason}").into(),
        after_ms: wait_ms(response, otherwise_ms),
    }
}

/// Returns the verdict (the result of the attempt) for a code that the desk does not know. An unknown code means a permanent
/// failure. If the server has an error of its own, the result is unknown.
pub(super) fn unlisted(response: &HttpResponse, answer: &Answer) -> Verdict {
    let Answer { code, reason, .. } = answer;
    if response.status >= 500 {
        Verdict::Unknown {
            reason: format!("Feishu has an error (code {code}): {reason}").into(),
        }
    } else {
        Verdict::refused(FailureClass::Permanent, code.to_string(), reason)
    }
}

fn wait_ms(response: &HttpResponse, otherwise_ms: i64) -> i64 {
    let seconds = ["x-ogw-ratelimit-reset", "retry-after"]
        .into_iter()
        .find_map(|name| response.header(name)?.trim().parse::<u32>().ok());
    seconds.map_or(otherwise_ms, |seconds| {
        i64::from(seconds).clamp(1, WAIT_MAX_S) * 1_000
    })
}

/// Returns true for the codes of a missing, unknown or expired access token. Feishu sent nothing in these cases.
fn is_token_code(code: i64) -> bool {
    matches!(
        code,
        99_991_661 | 99_991_663 | 99_991_664 | 99_991_668 | 99_991_671
    )
}

/// Converts a code other than 0 to a verdict (the result of the attempt).
fn refusal(response: &HttpResponse, answer: &Answer) -> Verdict {
    let (code, reason) = (answer.code, answer.reason.as_str());
    let refused = |class| Verdict::refused(class, code.to_string(), reason);
    match code {
        // The limits of a tenant, of an application, and of one person or group.
        11_232 | 99_991_400 => throttled(response, answer, WAIT_MS),
        230_020 => throttled(response, answer, CHAT_WAIT_MS),
        // A message with the same id is just being sent, or messages to people are not possible at the moment.
        230_049 | 230_101 => Verdict::retry(format!("Feishu is busy (code {code}): {reason}")),
        // A wrong application or a wrong key, an application that is not installed or switched off, a forbidden network
        // address, a missing bot, and missing permissions.
        10_003 | 10_014 | 10_015 | 99_991_543 | 99_991_662 | 99_991_673 | 99_991_401 | 230_006
        | 230_027 | 99_991_672 | 99_991_676 | 99_991_679 => refused(FailureClass::Credential),
        code if is_token_code(code) => refused(FailureClass::Credential),
        // Feishu uses this code for every wrong parameter, and names the address only in the text.
        230_001 if reason.contains("receive_id") => refused(FailureClass::RecipientInvalid),
        // The bot is not in the group, the application is not for this person, the person has left, the address is
        // unknown, the person is in another company, the person has stopped the bot, or the group does not exist any more.
        230_002 | 230_013 | 230_029 | 230_034 | 230_038 | 230_053 | 232_009 => {
            refused(FailureClass::RecipientInvalid)
        }
        // Unknown ids of a person or group, and ids that belong to another application or company.
        99_992_351..=99_992_354 | 99_992_360..=99_992_364 => {
            refused(FailureClass::RecipientInvalid)
        }
        230_025 => refused(FailureClass::TooLarge),
        // Wrong parameters (230001), another sender (230017), settings of the group (230018, 230035), forbidden words
        // (230022, 230028) and a wrong card (230099) are permanent failures, as are unknown codes.
        _ => unlisted(response, answer),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::contract::{account, content, outgoing, shown, text_of};
    use super::*;

    const SECRET: &str = r#"{"app_id": "cli_a", "app_secret": "hidden"}"#;

    /// HTTP status, body and expected verdict of responses to a message (reference/notifications.md, section 1.5).
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (
            200,
            r#"{"code":0,"msg":"success","data":{"message_id":"om_1"}}"#,
            "accepted om_1",
        ),
        (200, r#"{"code":0,"msg":"success"}"#, "accepted"),
        (500, r#"{"code":0,"msg":"success"}"#, "unknown"),
        (400, r#"{"code":0}"#, "unknown"),
        (429, "", "throttled 10000"),
        (
            429,
            r#"{"code":99991400,"msg":"request trigger frequency limit"}"#,
            "throttled 10000",
        ),
        (400, r#"{"code":99991400,"msg":"m"}"#, "throttled 10000"),
        (400, r#"{"code":11232,"msg":"m"}"#, "throttled 10000"),
        (200, r#"{"code":11232,"msg":"m"}"#, "throttled 10000"),
        (400, r#"{"code":230020,"msg":"m"}"#, "throttled 2000"),
        (400, r#"{"code":99991661,"msg":"m"}"#, "credential 99991661"),
        (400, r#"{"code":99991663,"msg":"m"}"#, "credential 99991663"),
        (400, r#"{"code":99991664,"msg":"m"}"#, "credential 99991664"),
        (400, r#"{"code":99991668,"msg":"m"}"#, "credential 99991668"),
        (400, r#"{"code":99991671,"msg":"m"}"#, "credential 99991671"),
        (400, r#"{"code":99991401,"msg":"m"}"#, "credential 99991401"),
        (400, r#"{"code":99991543,"msg":"m"}"#, "credential 99991543"),
        (400, r#"{"code":99991662,"msg":"m"}"#, "credential 99991662"),
        (400, r#"{"code":99991672,"msg":"m"}"#, "credential 99991672"),
        (400, r#"{"code":99991673,"msg":"m"}"#, "credential 99991673"),
        (400, r#"{"code":99991676,"msg":"m"}"#, "credential 99991676"),
        (400, r#"{"code":99991679,"msg":"m"}"#, "credential 99991679"),
        (400, r#"{"code":230006,"msg":"m"}"#, "credential 230006"),
        (400, r#"{"code":230027,"msg":"m"}"#, "credential 230027"),
        (
            400,
            r#"{"code":230001,"msg":"Your request contains an invalid request parameter, ext=invalid receive_id."}"#,
            "recipient_invalid 230001",
        ),
        (
            400,
            r#"{"code":230001,"msg":"invalid msg_type"}"#,
            "permanent 230001",
        ),
        (
            400,
            r#"{"code":230002,"msg":"m"}"#,
            "recipient_invalid 230002",
        ),
        (
            400,
            r#"{"code":230013,"msg":"m"}"#,
            "recipient_invalid 230013",
        ),
        (
            400,
            r#"{"code":230029,"msg":"m"}"#,
            "recipient_invalid 230029",
        ),
        (
            400,
            r#"{"code":230034,"msg":"m"}"#,
            "recipient_invalid 230034",
        ),
        (
            400,
            r#"{"code":230038,"msg":"m"}"#,
            "recipient_invalid 230038",
        ),
        (
            400,
            r#"{"code":230053,"msg":"m"}"#,
            "recipient_invalid 230053",
        ),
        (
            400,
            r#"{"code":232009,"msg":"m"}"#,
            "recipient_invalid 232009",
        ),
        (
            400,
            r#"{"code":99992351,"msg":"m"}"#,
            "recipient_invalid 99992351",
        ),
        (
            400,
            r#"{"code":99992361,"msg":"m"}"#,
            "recipient_invalid 99992361",
        ),
        (400, r#"{"code":230017,"msg":"m"}"#, "permanent 230017"),
        (400, r#"{"code":230018,"msg":"m"}"#, "permanent 230018"),
        (400, r#"{"code":230022,"msg":"m"}"#, "permanent 230022"),
        (400, r#"{"code":230028,"msg":"m"}"#, "permanent 230028"),
        (400, r#"{"code":230035,"msg":"m"}"#, "permanent 230035"),
        (400, r#"{"code":230099,"msg":"m"}"#, "permanent 230099"),
        (400, r#"{"code":99992402,"msg":"m"}"#, "permanent 99992402"),
        (400, r#"{"code":230025,"msg":"m"}"#, "too_large 230025"),
        (413, "<html>", "too_large 413"),
        (400, r#"{"code":230049,"msg":"m"}"#, "retry"),
        (400, r#"{"code":230101,"msg":"m"}"#, "retry"),
        (200, r#"{"code":999,"msg":"m"}"#, "permanent 999"),
        (400, r#"{"code":999,"msg":"m"}"#, "permanent 999"),
        (500, r#"{"code":999,"msg":"m"}"#, "unknown"),
        (503, r#"{"code":0}"#, "retry"),
        (504, "<html>", "unknown"),
        (200, "<html>", "unknown"),
        (200, r#"{"code":"0"}"#, "unknown"),
        (200, "{}", "unknown"),
        (200, "", "unknown"),
        (302, "", "permanent 302"),
        (403, "no", "permanent 403"),
    ];

    fn answered(status: u16, body: &str) -> Response {
        Response::Http(Ok(HttpResponse::of(status, body.as_bytes())))
    }

    #[test]
    fn a_receipt_names_the_person_who_has_read_the_message() {
        let mut account = account("feishu");
        let request = Feishu.receipt_request(&account, "t-1", "om_1");
        let request = request.expect("receipts").expect("a request");
        let url =
            "https://open.feishu.cn/open-apis/im/v1/messages/om_1/read_users?user_id_type=open_id";
        assert_eq!(
            (request.method.as_str(), request.url.as_str()),
            ("GET", url)
        );
        let bearer = ("authorization".to_owned(), "Bearer t-1".to_owned());
        assert!(request.headers.contains(&bearer));
        let body = br#"{"code":0,"data":{"items":[{"user_id_type":"open_id","user_id":"ou_1"}],"has_more":false}}"#;
        let response = HttpResponse::of(200, body);
        assert_eq!(Feishu.receipt("ou_1", &response), Ok(Reported::Read));
        assert_eq!(Feishu.receipt("ou_2", &response), Ok(Reported::NotYet));
        let refused = HttpResponse::of(200, br#"{"code":230050,"msg":"x"}"#);
        assert!(Feishu.receipt("ou_1", &refused).is_err());
        account
            .settings
            .insert("receive_id_type".into(), "chat_id".into());
        assert!(Feishu.receipt_request(&account, "t-1", "om_1").is_none());
    }

    #[test]
    fn every_code_has_its_verdict() {
        for (status, body, expected) in CODES {
            let verdict = Feishu.verdict(&answered(*status, body));
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
        }
    }

    #[test]
    fn the_pause_is_the_one_of_the_header() {
        for (name, value, expected) in [
            ("x-ogw-ratelimit-reset", "7", "throttled 7000"),
            ("x-ogw-ratelimit-reset", "0", "throttled 1000"),
            ("x-ogw-ratelimit-reset", "4000000", "throttled 3600000"),
            ("x-ogw-ratelimit-reset", "soon", "throttled 10000"),
            ("retry-after", "30", "throttled 30000"),
        ] {
            for status in [429, 400] {
                let mut response = HttpResponse::of(status, br#"{"code":99991400}"#);
                response.headers = vec![(name.into(), value.into())];
                let verdict = Feishu.verdict(&Response::Http(Ok(response)));
                assert_eq!(shown(&verdict), expected, "{name} {value} {status}");
            }
        }
    }

    #[test]
    fn a_request_without_a_response_is_repeated_if_it_was_not_sent() {
        for (error, expected) in [
            (HttpError::NotSent("x".into()), "retry"),
            (HttpError::Unknown("x".into()), "unknown"),
        ] {
            let verdict = Feishu.verdict(&Response::Http(Err(error)));
            assert_eq!(shown(&verdict), expected);
        }
        assert!(Feishu.may_repeat(), "Feishu recognizes a repeated message");
    }

    #[test]
    fn only_the_codes_of_a_token_renew_it() {
        for (status, body, _) in CODES {
            let is_token =
                body.contains("9999166") && !body.contains("99991662") || body.contains("99991671");
            let is_refused = Feishu.refuses_token(&answered(*status, body));
            assert_eq!(is_refused, is_token, "{status} {body}");
        }
        let unanswered = Response::Http(Err(HttpError::Unknown("x".into())));
        assert!(!Feishu.refuses_token(&unanswered));
    }

    #[test]
    fn a_token_is_asked_for_with_the_secret() {
        let account = with("url", json!("http://127.0.0.1:1/"));
        let access = Feishu.access(&account, SECRET, Moment(0));
        let Ok(Access::Asked(request)) = &access else {
            panic!("{access:?}")
        };
        assert_eq!(
            request.url,
            "http://127.0.0.1:1/open-apis/auth/v3/tenant_access_token/internal"
        );
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body, json!({ "app_id": "cli_a", "app_secret": "hidden" }));
        let read = |status, body: &str| {
            let token = Feishu.token(&Ok(HttpResponse::of(status, body.as_bytes())));
            token.map_err(|verdict| shown(&verdict))
        };
        let token = Token {
            value: "t-1".into(),
            lifetime_ms: 7_200_000,
        };
        let right = r#"{"code":0,"msg":"ok","tenant_access_token":"t-1","expire":7200}"#;
        assert_eq!(read(200, right), Ok(token));
        for (status, body, expected) in [
            (200, r#"{"code":10003,"msg":"m"}"#, "credential 10003"),
            (200, r#"{"code":10014,"msg":"m"}"#, "credential 10014"),
            (400, r#"{"code":10015,"msg":"m"}"#, "credential 10015"),
            (200, r#"{"code":7,"msg":"m"}"#, "permanent 7"),
            (400, r#"{"code":99991400,"msg":"m"}"#, "throttled 10000"),
            (200, r#"{"code":0}"#, "retry"),
            (200, "<html>", "retry"),
            (502, "<html>", "retry"),
        ] {
            assert_eq!(
                read(status, body),
                Err(expected.to_owned()),
                "{status} {body}"
            );
        }
        for error in [
            HttpError::NotSent("x".into()),
            HttpError::Unknown("x".into()),
        ] {
            let verdict = Feishu.token(&Err(error)).unwrap_err();
            assert_eq!(shown(&verdict), "retry");
        }
    }

    fn with(key: &str, value: Value) -> Defined {
        let mut account = account("feishu");
        account.settings.insert(key.into(), value);
        account
    }

    fn action(name: &str) -> Action {
        Action {
            name: name.into(),
            label: "同意".into(),
            is_primary: name == "approve",
            url: format!("https://desk.example/act/{name}"),
            value: format!("signed-{name}"),
        }
    }

    fn sent(account: &Defined, content: &Content) -> (HttpRequest, Value, Value) {
        let outgoing = Outgoing {
            token: "t-1",
            ..outgoing(account, SECRET, "ou_1", content)
        };
        let Ok(Request::Http(request)) = Feishu.request(&outgoing) else {
            panic!("a request")
        };
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let card = serde_json::from_str(body["content"].as_str().unwrap()).unwrap();
        (request, body, card)
    }

    #[test]
    fn a_message_is_a_card_with_buttons_that_feishu_reports() {
        let mut content = content();
        content.actions = vec![action("approve"), action("reject")];
        let (request, body, card) = sent(&account("feishu"), &content);
        assert_eq!(
            request.url,
            "https://open.feishu.cn/open-apis/im/v1/messages?receive_id_type=open_id"
        );
        let bearer = ("authorization".to_owned(), "Bearer t-1".to_owned());
        assert!(request.headers.contains(&bearer));
        assert_eq!(body["receive_id"], "ou_1");
        assert_eq!(body["msg_type"], "interactive");
        assert_eq!(body["uuid"], "0123456789abcdef0123456789abcdef");
        assert_eq!(card["header"]["title"]["content"], "请审批: 申请权限");
        let buttons = card["elements"][2]["actions"].as_array().unwrap();
        assert_eq!(buttons.len(), 3);
        assert_eq!(
            buttons[0]["value"],
            json!({ "name": "approve", "value": "signed-approve" })
        );
        assert_eq!(buttons[0]["type"], "primary");
        assert_eq!(buttons[1]["type"], "default");
        assert!(buttons[0].get("url").is_none());
        assert_eq!(buttons[2]["url"], "https://desk.example/tickets/REQ1");
    }

    #[test]
    fn the_account_selects_the_kind_of_address_and_the_server() {
        let account = with("receive_id_type", json!("email"));
        assert!(sent(&account, &content()).0.url.ends_with("=email"));
        let account = with("url", json!("https://open.larksuite.com"));
        let (request, _, _) = sent(&account, &content());
        assert!(
            request
                .url
                .starts_with("https://open.larksuite.com/open-apis/")
        );
    }

    /// Returns all texts of a card that a person sees, and all tags of its elements.
    fn texts<'a>(value: &'a Value, found: &mut Vec<(&'a str, &'a str)>) {
        match value {
            Value::Object(members) => {
                if let (Some(Value::String(tag)), Some(Value::String(content))) =
                    (members.get("tag"), members.get("content"))
                {
                    found.push((tag.as_str(), content.as_str()));
                }
                members.values().for_each(|member| texts(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            _ => {}
        }
    }

    #[test]
    fn ticket_text_stays_plain_text() {
        const PIECES: [&str; 12] = [
            "<at id=all></at>",
            "<at user_id=\"all\">all</at>",
            "@_all",
            "[x](http://evil.example)",
            "**b**",
            "\"}],\"",
            "\\",
            "\n",
            "\u{202e}",
            "字",
            "<font color='red'>",
            "{{x}}",
        ];
        let mut seed = 1_u64;
        let mut nasty = || text_of(&PIECES, 6, &mut seed);
        for _ in 0..200 {
            let mut content = content();
            content.subject = nasty();
            content.intro = nasty();
            content.values = vec![(nasty(), nasty())];
            content.closing = nasty();
            let (_, _, card) = sent(&account("feishu"), &content);
            let mut found = Vec::new();
            texts(&card, &mut found);
            assert_eq!(found.len(), 5, "{card}");
            for (tag, text) in found {
                assert_eq!(tag, "plain_text");
                assert!(!text.contains('<'), "{text}");
            }
            assert_eq!(card["elements"].as_array().unwrap().len(), 4);
        }
    }

    #[test]
    fn a_large_message_loses_values_from_the_end() {
        let mut content = content();
        content.subject = "题".repeat(4_000);
        content.actions = vec![action("approve")];
        content.values = (0..200)
            .map(|number| (format!("v{number}"), "\"字".repeat(200)))
            .collect();
        let (_, body, card) = sent(&account("feishu"), &content);
        let size = body["content"].as_str().unwrap().len();
        assert!(
            (CARD_BYTES_MAX - 1_500..=CARD_BYTES_MAX).contains(&size),
            "{size}"
        );
        let fields = card["elements"][1]["fields"].as_array().unwrap();
        assert_eq!(fields.last().unwrap()["text"]["content"], "…");
        assert!(
            fields[0]["text"]["content"]
                .as_str()
                .unwrap()
                .starts_with("v0: ")
        );
        assert_eq!(card["elements"][2]["actions"].as_array().unwrap().len(), 2);
        let short = sent(&account("feishu"), &content.shortened()).2;
        assert_eq!(short["elements"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn a_sent_message_can_be_replaced_and_made_urgent() {
        let (account, content) = (account("feishu"), content());
        let outgoing = Outgoing {
            token: "t-1",
            ..outgoing(&account, SECRET, "ou_1", &content)
        };
        let request = update(&outgoing, "om_1").unwrap();
        assert_eq!(request.method, "PATCH");
        assert_eq!(
            request.url,
            "https://open.feishu.cn/open-apis/im/v1/messages/om_1"
        );
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let card: Value = serde_json::from_str(body["content"].as_str().unwrap()).unwrap();
        assert_eq!(card["config"]["update_multi"], true);
        let request = buzz(&outgoing, "om_1").unwrap();
        assert_eq!(
            request.url,
            "https://open.feishu.cn/open-apis/im/v1/messages/om_1/urgent_app?user_id_type=open_id"
        );
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body, json!({ "user_id_list": ["ou_1"] }));
        for message in ["", "../x", "om_1?x"] {
            assert!(update(&outgoing, message).is_err(), "{message}");
            assert!(buzz(&outgoing, message).is_err(), "{message}");
        }
        let group = with("receive_id_type", json!("chat_id"));
        let outgoing = Outgoing {
            account: &group,
            ..outgoing
        };
        let reason = buzz(&outgoing, "om_1").unwrap_err();
        assert!(reason.contains("`receive_id_type`"), "{reason}");
    }

    #[test]
    fn an_urgent_message_names_the_people_who_cannot_get_it() {
        for (status, body, expected) in [
            (200, r#"{"code":0,"data":{}}"#, "accepted"),
            (
                200,
                r#"{"code":0,"data":{"invalid_user_id_list":[]}}"#,
                "accepted",
            ),
            (
                200,
                r#"{"code":0,"data":{"invalid_user_id_list":["ou_1"]}}"#,
                "recipient_invalid 0",
            ),
            (400, r#"{"code":230017,"msg":"m"}"#, "permanent 230017"),
            (200, "<html>", "unknown"),
        ] {
            assert_eq!(shown(&buzz_verdict(&answered(status, body))), expected);
        }
    }

    #[test]
    fn an_address_is_an_id_or_a_mail_address() {
        for address in ["ou_7d8a6e6d", "oc_1", "g1234.x", "li.si+a@example.com"] {
            assert_eq!(Feishu.check_address(address), Ok(()), "{address}");
        }
        let long = "x".repeat(65);
        for address in [
            "",
            "all",
            "ALL",
            "@all",
            "a b",
            "a><at",
            "a@",
            "@b",
            "a@b@c",
            "李四",
            long.as_str(),
        ] {
            assert!(Feishu.check_address(address).is_err(), "{address}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        assert_eq!(Feishu.check(&account("feishu")), Ok(()));
        for kind in KINDS {
            let account = with("receive_id_type", json!(kind));
            assert_eq!(Feishu.check(&account), Ok(()));
        }
        for (key, value, expected) in [
            ("url", json!("ftp://x"), "`url` must"),
            ("url", json!("https://x/?a=b"), "`url` must"),
            ("receive_id_type", json!("name"), "`receive_id_type` must"),
            ("receive_id_type", json!(1), "`receive_id_type` must"),
            ("app_id", json!("x"), "`app_id` is not a setting"),
        ] {
            let reason = Feishu.check(&with(key, value)).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        for secret in [
            "",
            "hidden",
            "{}",
            r#"{"app_id":"cli_a"}"#,
            r#"{"app_id":"","app_secret":"hidden"}"#,
            r#"{"app_id":"a","app_secret":"hidden","x":1}"#,
        ] {
            let reason = Feishu.check_secret(secret).unwrap_err();
            assert!(reason.contains("app_secret"), "{reason}");
            assert!(!reason.contains("hidden"), "{reason}");
        }
        assert_eq!(Feishu.check_secret(SECRET), Ok(()));
    }

    #[test]
    fn a_message_needs_an_access_token() {
        let (account, content) = (account("feishu"), content());
        let outgoing = outgoing(&account, SECRET, "ou_1", &content);
        let expected = "the access token is missing".to_owned();
        assert_eq!(Feishu.request(&outgoing), Err(expected));
    }
}
