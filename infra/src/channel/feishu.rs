//! Sends messages through an application (a bot) of Feishu, or of Lark, which is Feishu outside of mainland China
//! (reference/notifications.md, section 1.5). A message is a card with buttons. Feishu reports the press of a button to the
//! application. The HTTP status of a response is not sufficient: only the code in the body shows the result.

mod cards;
mod response;

use domain::attempt::Verdict;
use domain::notification::receipt::Reported;
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde::Deserialize;
use serde_json::{Value, json};

use super::group::{self, Groups};
use super::{
    Access, Answering, Channel, Conversation, Outgoing, Request, Response, THREADS, TIMEOUT,
    TargetLimit, Thread, Token, Updates, accepted, check_url, cut, has_threads, of_http, only,
    text,
};
use crate::http::{HttpError, HttpRequest, HttpResponse, RESPONSE_BYTES_MAX};
pub(super) use cards::{card, content, fit};
use response::is_token_code;
pub(super) use response::{Answer, coded, refusal, throttled, unlisted};

/// The default base URL of the channels of Feishu. The base URL of Lark is `https://open.larksuite.com`.
const URL: &str = "https://open.feishu.cn";
/// Maximum number of messages that one application may send in one minute.
const PER_MINUTE: u32 = 1_000;
/// Feishu accepts 5 messages in one second for each person and for each group. For a group, all bots count.
const TARGET_LIMITS: &[TargetLimit] = &[TargetLimit {
    most: 5,
    period_ms: 1_000,
}];
/// Maximum size of one text in a card, except for the values of the ticket, in bytes.
const TEXT_BYTES_MAX: usize = 1_500;
/// The kinds of ids with which an application can address a person or a group. The first kind is the default.
pub(super) const KINDS: [&str; 5] = ["open_id", "user_id", "union_id", "email", "chat_id"];
/// The ids of groups begin with this text.
const GROUP_PREFIX: &str = "oc_";
/// Number of the first kinds in [`KINDS`] that are ids of people.
pub(super) const KINDS_OF_PEOPLE: usize = 3;
/// Maximum number of characters of the id with which Feishu recognizes a repeated message.
const ID_CHARACTERS: usize = 32;
/// Time for which Feishu accepts updates of a card, in milliseconds (14 days).
const UPDATE_AGE_MAX_MS: i64 = 14 * 24 * 3_600_000;
/// The codes with which Feishu refuses an answer to a message: it was withdrawn, its topic does not exist, it is not
/// visible, it cannot have a topic, or it was deleted (the page "Reply to a message" of the Open Platform).
const LOST_ROOT: [i64; 5] = [230_011, 230_019, 230_050, 230_071, 230_110];
/// The code of every wrong parameter. The text names the parameter.
const WRONG_PARAMETER: i64 = 230_001;

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

    fn target_limits(&self) -> &'static [TargetLimit] {
        TARGET_LIMITS
    }

    /// Returns true. Feishu sends only one of all messages that have the same id within one hour.
    fn may_repeat(&self) -> bool {
        true
    }

    /// Returns true if the addresses are ids of groups.
    fn is_shared(&self, account: &Defined, to: &str) -> bool {
        kind(account) == KINDS[KINDS.len() - 1] || to.starts_with(GROUP_PREFIX)
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        check_address(address)
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &["url", "receive_id_type", THREADS])?;
        check_url(account, "url")?;
        has_threads(account)?;
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
        if let Some(thread) = outgoing.thread {
            return in_thread(outgoing, thread).map(Request::Http);
        }
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

    fn conversation<'a>(&self, account: &'a Defined, to: &'a str) -> Conversation<'a> {
        let is_person = kind(account) != KINDS[KINDS.len() - 1];
        match has_threads(account) {
            Ok(true) if is_person => Conversation::OfPerson,
            Ok(true) => Conversation::Shared(to),
            _ => Conversation::WithoutThreads,
        }
    }

    fn refuses_thread(&self, response: &Response) -> bool {
        let Response::Http(Ok(response)) = response else {
            return false;
        };
        coded(response).is_ok_and(|answer| {
            let is_unknown = answer.code == WRONG_PARAMETER && answer.reason.contains("message_id");
            is_unknown || LOST_ROOT.contains(&answer.code)
        })
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

    fn groups(&self) -> Option<&'static dyn Groups> {
        Some(&group::feishu::Feishu)
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

    fn buzzes(&self, account: &Defined) -> bool {
        KINDS[..KINDS_OF_PEOPLE].contains(&kind(account))
    }

    fn buzz(&self, outgoing: &Outgoing<'_>, message: &str) -> Result<HttpRequest, String> {
        buzz(outgoing, message)
    }

    fn buzz_verdict(&self, response: &Response) -> Verdict {
        buzz_verdict(response)
    }

    fn update_age_max_ms(&self) -> Option<i64> {
        Some(UPDATE_AGE_MAX_MS)
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

/// Returns the request that answers the first message of a thread. An answer that also appears in the conversation is not
/// in the topic of the message: Feishu shows it below a quotation.
fn in_thread(outgoing: &Outgoing<'_>, thread: Thread<'_>) -> Result<HttpRequest, String> {
    let url = format!("{}/reply", message_url(outgoing.account, thread.root)?);
    let id: String = outgoing.id.chars().take(ID_CHARACTERS).collect();
    let body = json!({
        "msg_type": "interactive",
        "content": content(outgoing.content),
        "reply_in_thread": !thread.is_broadcast,
        "uuid": id,
    });
    Ok(json_request("POST", url, token(outgoing)?, &body))
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

pub(super) fn kind(account: &Defined) -> &str {
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

#[cfg(test)]
pub(super) mod tests;
