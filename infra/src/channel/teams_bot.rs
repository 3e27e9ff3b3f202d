//! Sends messages to the personal chats of a bot of Microsoft Teams through the Bot Framework (reference/notifications.md,
//! section 1.4). The buttons of these messages are reported to the bot.
//!
//! The Bot Framework does not recognize repeated messages. A request that ends without a response may therefore be repeated
//! only if the account allows it.

use domain::attempt::Verdict;
use domain::notification::content::one_line;
use events::Moment;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde_json::Value;

use super::teams::{Buttons, is_code, is_guid, is_loopback, is_private, message, wait_ms};
use super::{
    Access, Answering, Channel, Outgoing, Request, Response, TIMEOUT, Token, Updates, accepted,
    flag, of_http, only, text,
};
use crate::http::{HttpError, HttpRequest, HttpResponse, RESPONSE_BYTES_MAX, Url};
use crate::inbound::Place;

/// The default service URL: the address of the Bot Framework for Teams in the public cloud.
const SERVICE_URL: &str = "https://smba.trafficmanager.net/teams";
/// The default address for access tokens. A bot of a single tenant needs the address of its tenant.
const TOKEN_URL: &str = "https://login.microsoftonline.com/botframework.com/oauth2/v2.0/token";
/// The default address of the document that names the published keys of the Bot Framework.
const METADATA_URL: &str = "https://login.botframework.com/v1/.well-known/openidconfiguration";
/// The hosts that publish keys, with the issuer of the tokens that these keys sign.
const KEY_HOSTS: &[(&str, &str)] = &[
    ("login.botframework.com", ISSUER),
    ("login.botframework.azure.us", "https://api.botframework.us"),
];
/// The issuer of the tokens of the public cloud.
const ISSUER: &str = "https://api.botframework.com";
/// The permission that the access token contains.
const SCOPE: &str = "https://api.botframework.com/.default";
/// The hosts to which the access token may be sent. An entry that begins with a point means all subdomains.
const SERVICE_HOSTS: &[&str] = &[
    "smba.trafficmanager.net",
    ".teams.microsoft.com",
    ".teams.microsoft.us",
    ".botframework.com",
    ".botframework.azure.us",
    ".botframework.azure.cn",
];
/// The hosts to which the client secret may be sent.
const TOKEN_HOSTS: &[&str] = &[
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
];
/// The ids of the chats of one person with a bot begin with this text.
const PERSONAL_PREFIX: &str = "a:";
/// Maximum number of messages in one minute. A bot may send 50 requests in one second to the people of a tenant.
const PER_MINUTE: u32 = 3000;
/// Wait in milliseconds after too many messages if the response names no wait.
const WAIT_MS: i64 = 10_000;
/// Maximum lifetime of an access token that the desk believes, in seconds: one day.
const LIFETIME_MAX: i64 = 86_400;

/// The channel that sends messages through bots of Microsoft Teams.
#[derive(Clone, Copy, Debug)]
pub struct TeamsBot;

impl Channel for TeamsBot {
    fn name(&self) -> &'static str {
        "teams_bot"
    }

    fn address_kind(&self) -> &'static str {
        "teams"
    }

    fn per_minute(&self) -> Option<u32> {
        Some(PER_MINUTE)
    }

    /// Returns false for the chat of one person with the bot. All other ids can be ids of groups and channels.
    fn is_shared(&self, _account: &Defined, to: &str) -> bool {
        !to.starts_with(PERSONAL_PREFIX)
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        let is_allowed = |c: char| {
            c.is_ascii_alphanumeric()
                || matches!(c, ':' | '_' | '-' | '.' | '@' | ';' | '=' | '+' | '|')
        };
        if address.contains(':') && address.len() <= 256 && address.chars().all(is_allowed) {
            Ok(())
        } else {
            Err("be the id of the personal chat with the bot, such as a:1pL6i0oY3C".into())
        }
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(
            account,
            &["app_id", "url", "token_url", "metadata_url", "buttons"],
        )?;
        flag(account, "buttons")?;
        if !is_guid(text(account, "app_id")) {
            return Err("`app_id` must be the application id of the bot, such as 0a1b2c3d-0000-4000-8000-000000000001".into());
        }
        place(account, "url", SERVICE_URL, SERVICE_HOSTS)?;
        place(account, "token_url", TOKEN_URL, TOKEN_HOSTS)?;
        metadata_url(account).map(drop)
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        let is_visible = |c: char| c.is_ascii_graphic();
        if (8..=256).contains(&secret.len()) && secret.chars().all(is_visible) {
            Ok(())
        } else {
            Err("the secret must be the client secret of the bot: 8 to 256 visible ASCII characters on one line".into())
        }
    }

    fn access(&self, account: &Defined, secret: &str, _now: Moment) -> Result<Access, String> {
        self.check_secret(secret)?;
        let url = place(account, "token_url", TOKEN_URL, TOKEN_HOSTS)?;
        // The query of a URL has the same format as a form. The URL with the secret is only used to create the body.
        let mut form = url.clone();
        form.query_pairs_mut()
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", text(account, "app_id"))
            .append_pair("client_secret", secret)
            .append_pair("scope", SCOPE);
        Ok(Access::Asked(HttpRequest {
            method: "POST".into(),
            url: url.into(),
            headers: vec![(
                "content-type".into(),
                "application/x-www-form-urlencoded".into(),
            )],
            body: form.query().unwrap_or_default().as_bytes().to_vec(),
            timeout: TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
        }))
    }

    fn token(&self, response: &Result<HttpResponse, HttpError>) -> Result<Token, Verdict> {
        match response {
            Ok(response) => granted(response),
            // The request for a token sends no message, so another attempt does no harm.
            Err(HttpError::NotSent(reason) | HttpError::Unknown(reason)) => {
                Err(Verdict::retry(reason))
            }
        }
    }

    fn refuses_token(&self, response: &Response) -> bool {
        let Response::Http(Ok(response)) = response else {
            return false;
        };
        response.status == 401 && Refusal::read(response).code != "BotNotRegistered"
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        activity("POST", outgoing, None).map(Request::Http)
    }

    /// Replaces the card if its action is done, and otherwise answers with a text in the chat.
    fn answer(&self, answering: &Answering<'_>) -> Result<Option<HttpRequest>, String> {
        let Place {
            service,
            chat,
            message: card,
        } = answering.place;
        TeamsBot
            .check_address(chat)
            .map_err(|reason| format!("the chat must {reason}"))?;
        let url = service.parse::<Url>();
        let url = url.map_err(|_| "the service URL of the message is not a URL".to_owned())?;
        // The address comes from a message. The access token must not be sent to another host.
        if !is_listed(&url, SERVICE_HOSTS) {
            return Err(
                "the service URL of the message is not an address of the Bot Framework".into(),
            );
        }
        let replaced = answering.content.filter(|_| is_message(card));
        if let Some(content) = replaced {
            let body = message(content, buttons(answering.account), None);
            return call("PUT", url, chat, Some(card), answering.token, body).map(Some);
        }
        let body = serde_json::json!({
            "type": "message",
            "textFormat": "plain",
            "text": answering.text,
        });
        let body = body.to_string().into_bytes();
        call("POST", url, chat, None, answering.token, body).map(Some)
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
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

    /// The response to an update does not always contain the id of the message.
    fn update_verdict(&self, response: &Response) -> Verdict {
        match (self.verdict(response), response) {
            (Verdict::Unknown { .. }, Response::Http(Ok(response))) if response.is_success() => {
                accepted(response.status.to_string(), "")
            }
            (verdict, _) => verdict,
        }
    }
}

/// Returns the address of the document that names the published keys of the Bot Framework for an account.
pub fn metadata_url(account: &Defined) -> Result<Url, String> {
    let hosts: Vec<&str> = KEY_HOSTS.iter().map(|(host, _)| *host).collect();
    place(account, "metadata_url", METADATA_URL, &hosts)
}

/// Returns the issuer of the tokens that are signed by the keys at `url`. Returns `None` if the host of `url` may not publish
/// keys.
pub fn issuer(url: &Url) -> Option<&'static str> {
    let hosts = KEY_HOSTS.iter();
    let mut hosts = hosts.filter(|(host, _)| is_listed(url, &[*host]));
    hosts.next().map(|(_, issuer)| *issuer)
}

/// Returns a request that replaces the message with the id `message` by the content of `outgoing`. The id comes from the
/// response to the first request. [`TeamsBot`] also converts the response to this request to a verdict.
pub fn update(outgoing: &Outgoing<'_>, message: &str) -> Result<HttpRequest, String> {
    if !is_message(message) {
        return Err("the id of the message is not valid".into());
    }
    activity("PUT", outgoing, Some(message))
}

/// Returns true if a text is the id of a message. The id becomes a part of the path.
fn is_message(id: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
    !id.is_empty() && id.len() <= 256 && id.chars().all(is_allowed)
}

fn activity(
    method: &str,
    outgoing: &Outgoing<'_>,
    replaced: Option<&str>,
) -> Result<HttpRequest, String> {
    let url = place(outgoing.account, "url", SERVICE_URL, SERVICE_HOSTS)?;
    let body = message(outgoing.content, buttons(outgoing.account), None);
    call(method, url, outgoing.to, replaced, outgoing.token, body)
}

/// Returns a request for the activities of a chat. `url` is the service URL.
fn call(
    method: &str,
    mut url: Url,
    chat: &str,
    replaced: Option<&str>,
    token: &str,
    body: Vec<u8>,
) -> Result<HttpRequest, String> {
    url.path_segments_mut()
        .map_err(|()| "`url` is not the URL of a server".to_owned())?
        .pop_if_empty()
        .extend(["v3", "conversations", chat, "activities"])
        .extend(replaced);
    Ok(HttpRequest {
        method: method.into(),
        url: url.into(),
        headers: vec![
            ("content-type".into(), "application/json".into()),
            ("authorization".into(), format!("Bearer {token}")),
        ],
        body,
        timeout: TIMEOUT,
        response_bytes_max: RESPONSE_BYTES_MAX,
    })
}

/// Returns the URL in the setting `key`, or the default. The host must be in the list `hosts`, so that no other host gets
/// secrets. Addresses of this machine are also allowed; the rules for outgoing requests (egress) decide about them.
fn place(account: &Defined, key: &str, default: &str, hosts: &[&str]) -> Result<Url, String> {
    let given = match account.settings.get(key) {
        None => Some(default),
        Some(value) => value.as_str(),
    };
    let url = given.and_then(|given| given.parse::<Url>().ok());
    url.filter(|url| is_listed(url, hosts)).ok_or_else(|| {
        format!(
            "`{key}` must be an https address without ? and # at one of {}",
            hosts.join(", ")
        )
    })
}

/// Returns true if a URL is an address at one of the given hosts, or on this machine.
fn is_listed(url: &Url, hosts: &[&str]) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_listed = hosts
        .iter()
        .any(|allowed| host == *allowed || allowed.starts_with('.') && host.ends_with(allowed));
    is_private(url) && url.query().is_none() && (is_listed || is_loopback(url))
}

/// The error in a response of the Bot Framework. The code is the HTTP status if the response names no code.
struct Refusal {
    code: String,
    reason: String,
}

impl Refusal {
    fn read(response: &HttpResponse) -> Self {
        let body: Option<Value> = serde_json::from_slice(&response.body).ok();
        let error = body.as_ref().and_then(|body| body.get("error"));
        let member = |key: &str| error.and_then(|error| error.get(key)?.as_str());
        // Some gateways of the Bot Framework return the code as the text of `error`.
        let code = member("code").or_else(|| error?.as_str());
        let code = code.filter(|code| is_code(code)).map(str::to_owned);
        let outer = body.as_ref().and_then(|body| body.get("message")?.as_str());
        let text = String::from_utf8_lossy(&response.body);
        let reason = member("message").or(outer).unwrap_or(&text);
        Self {
            code: code.unwrap_or_else(|| response.status.to_string()),
            reason: one_line(reason),
        }
    }
}

/// Converts a response of the Bot Framework to a verdict (the result of an attempt). An unknown code means a permanent
/// failure.
fn judge(response: &HttpResponse) -> Verdict {
    let status = response.status;
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    let member = |key: &str| body.as_ref().and_then(|body| body.get(key));
    if response.is_success() && member("error").is_none() {
        return match member("id").and_then(Value::as_str) {
            Some(id) if !id.is_empty() => accepted(status.to_string(), id),
            _ => Verdict::Unknown {
                reason: format!("the response with HTTP status {status} has no `id`").into(),
            },
        };
    }
    let Refusal { code, reason } = Refusal::read(response);
    let refused = |class| Verdict::refused(class, code.as_str(), reason.as_str());
    match (status, code.as_str()) {
        (429, _) | (_, "Throttled") => Verdict::Throttled {
            reason: format!("the bot sent too many messages ({code}): {reason}").into(),
            after_ms: wait_ms(response).unwrap_or(WAIT_MS),
        },
        // Another request for the same chat was processed at the same time, so this message was not posted.
        (412, _) | (_, "PreconditionFailed") => Verdict::Retry {
            reason: format!("the chat was busy ({code}): {reason}").into(),
            after_ms: wait_ms(response),
        },
        (503, _) => Verdict::Retry {
            reason: format!("the Bot Framework is not available ({code}): {reason}").into(),
            after_ms: wait_ms(response),
        },
        (500.., _) => Verdict::Unknown {
            reason: format!("the message may be posted ({code}): {reason}").into(),
        },
        (
            _,
            "BotNotInConversationRoster"
            | "ConversationBlockedByUser"
            | "ConversationNotFound"
            | "ForbiddenOperationException"
            | "MessageWritesBlocked",
        ) => refused(FailureClass::RecipientInvalid),
        (401, _)
        | (
            _,
            "BotDisabledByAdmin"
            | "BotNotRegistered"
            | "InvalidBotApiHost"
            | "NotEnoughPermissions",
        ) => refused(FailureClass::Credential),
        (413, _) | (_, "MessageSizeTooBig") => refused(FailureClass::TooLarge),
        _ => refused(FailureClass::Permanent),
    }
}

/// Reads the access token in a response of the login server. If the response contains no token, returns the verdict (the
/// result of the attempt to send a message).
fn granted(response: &HttpResponse) -> Result<Token, Verdict> {
    let status = response.status;
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let is_usable = |token: &&str| !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
    if response.is_success() {
        let seconds = &body["expires_in"];
        let seconds = seconds.as_i64().or_else(|| seconds.as_str()?.parse().ok());
        let value = body["access_token"].as_str().filter(is_usable);
        // No message was sent, so another attempt follows even if the response is unreadable.
        return match (value, seconds) {
            (Some(value), Some(seconds)) => Ok(Token {
                value: value.to_owned(),
                lifetime_ms: seconds.clamp(0, LIFETIME_MAX) * 1000,
            }),
            _ => Err(Verdict::retry(format!(
                "the login server answered with HTTP status {status} and no access token"
            ))),
        };
    }
    let error = body["error"].as_str().unwrap_or_default();
    let number = body["error_codes"][0].as_i64();
    let code = match number {
        Some(number) => number.to_string(),
        None if is_code(error) => error.to_owned(),
        None => status.to_string(),
    };
    let description = body["error_description"].as_str().unwrap_or(error);
    let reason = format!(
        "no access token ({error}, HTTP status {status}): {}",
        one_line(description)
    );
    Err(match (status, error) {
        (429, _) => Verdict::Throttled {
            reason: reason.into(),
            after_ms: wait_ms(response).unwrap_or(WAIT_MS),
        },
        (500.., _) | (_, "temporarily_unavailable" | "server_error") => Verdict::Retry {
            reason: reason.into(),
            after_ms: wait_ms(response),
        },
        (
            _,
            "invalid_client"
            | "unauthorized_client"
            | "invalid_request"
            | "invalid_scope"
            | "invalid_resource"
            | "invalid_tenant"
            | "access_denied",
        ) => Verdict::refused(FailureClass::Credential, code, reason),
        _ => Verdict::refused(FailureClass::Permanent, code, reason),
    })
}

/// Returns the kind of the buttons of an account. Pressed buttons arrive only if the address for messages of the bot is that
/// of the desk, so buttons are links unless the setting `buttons` is true.
fn buttons(account: &Defined) -> Buttons {
    match flag(account, "buttons") {
        Ok(true) => Buttons::Callbacks,
        _ => Buttons::Links,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use domain::notification::content::{Action, Content};
    use serde_json::json;

    use super::super::contract::{account, content, outgoing, shown};
    use super::*;

    const APP: &str = "0a1b2c3d-0000-4000-8000-000000000001";
    const SECRET: &str = "a~secret+of&the=bot";
    const CHAT: &str = "a:1pL6i0oY3C_x-2";

    /// Statuses and bodies of the Bot Framework (reference/notifications.md, section 1.4) with their verdicts.
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (201, r#"{"id":"1:2AbC"}"#, "accepted 1:2AbC"),
        (200, r#"{"id":"1700000000000"}"#, "accepted 1700000000000"),
        (202, "", "unknown"),
        (200, "<html>", "unknown"),
        (200, "{}", "unknown"),
        (200, r#"{"id":""}"#, "unknown"),
        (
            200,
            r#"{"error":{"code":"BotDisabledByAdmin","message":"m"}}"#,
            "credential BotDisabledByAdmin",
        ),
        (
            200,
            r#"{"id":"1","error":{"code":"Strange","message":"m"}}"#,
            "permanent Strange",
        ),
        (
            400,
            r#"{"error":{"code":"BadArgument","message":"m"}}"#,
            "permanent BadArgument",
        ),
        (
            400,
            r#"{"error":{"code":"BadSyntax","message":"m"}}"#,
            "permanent BadSyntax",
        ),
        (
            401,
            r#"{"message":"Authorization has been denied for this request."}"#,
            "credential 401",
        ),
        (401, "", "credential 401"),
        (
            401,
            r#"{"error":{"code":"BotNotRegistered","message":"m"}}"#,
            "credential BotNotRegistered",
        ),
        (
            403,
            r#"{"error":{"code":"BotNotInConversationRoster","message":"m"}}"#,
            "recipient_invalid BotNotInConversationRoster",
        ),
        (
            404,
            r#"{"error":"BotNotInConversationRoster"}"#,
            "recipient_invalid BotNotInConversationRoster",
        ),
        (
            403,
            r#"{"error":{"code":"ConversationBlockedByUser","message":"m"}}"#,
            "recipient_invalid ConversationBlockedByUser",
        ),
        (
            403,
            r#"{"error":{"code":"ForbiddenOperationException","message":"m"}}"#,
            "recipient_invalid ForbiddenOperationException",
        ),
        (
            403,
            r#"{"error":{"code":"MessageWritesBlocked","message":"m"}}"#,
            "recipient_invalid MessageWritesBlocked",
        ),
        (
            403,
            r#"{"error":{"code":"BotDisabledByAdmin","message":"m"}}"#,
            "credential BotDisabledByAdmin",
        ),
        (
            403,
            r#"{"error":{"code":"InvalidBotApiHost","message":"m"}}"#,
            "credential InvalidBotApiHost",
        ),
        (
            403,
            r#"{"error":{"code":"NotEnoughPermissions","message":"m"}}"#,
            "credential NotEnoughPermissions",
        ),
        (403, "<html>", "permanent 403"),
        (
            404,
            r#"{"error":{"code":"ConversationNotFound","message":"m"}}"#,
            "recipient_invalid ConversationNotFound",
        ),
        (
            404,
            r#"{"error":{"code":"ActivityNotFoundInConversation","message":"m"}}"#,
            "permanent ActivityNotFoundInConversation",
        ),
        (404, "", "permanent 404"),
        (
            412,
            r#"{"error":{"code":"PreconditionFailed","message":"m"}}"#,
            "retry",
        ),
        (
            413,
            r#"{"error":{"code":"MessageSizeTooBig","message":"m"}}"#,
            "too_large MessageSizeTooBig",
        ),
        (413, "", "too_large 413"),
        (
            429,
            r#"{"error":{"code":"Throttled","message":"m"}}"#,
            "throttled 10000",
        ),
        (302, "", "permanent 302"),
        (
            500,
            r#"{"error":{"code":"ServiceError","message":"m"}}"#,
            "unknown",
        ),
        (502, "<html>", "unknown"),
        (503, "", "retry"),
        (504, "", "unknown"),
    ];

    /// Responses of the login server with their verdicts. The first word of the verdict of a token is `token`.
    const TOKENS: &[(u16, &str, &str)] = &[
        (
            200,
            r#"{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ.x"}"#,
            "token 3599000",
        ),
        (
            200,
            r#"{"expires_in":"3599","access_token":"x"}"#,
            "token 3599000",
        ),
        (
            200,
            r#"{"expires_in":999999999,"access_token":"x"}"#,
            "token 86400000",
        ),
        (200, r#"{"expires_in":-5,"access_token":"x"}"#, "token 0"),
        (200, r#"{"expires_in":3599}"#, "retry"),
        (200, r#"{"expires_in":3599,"access_token":"a b"}"#, "retry"),
        (200, r#"{"access_token":"x"}"#, "retry"),
        (200, "<html>", "retry"),
        (
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: x","error_codes":[7000215]}"#,
            "credential 7000215",
        ),
        (
            400,
            r#"{"error":"unauthorized_client","error_codes":[700016]}"#,
            "credential 700016",
        ),
        (
            400,
            r#"{"error":"invalid_request","error_codes":[90002]}"#,
            "credential 90002",
        ),
        (
            400,
            r#"{"error":"invalid_scope"}"#,
            "credential invalid_scope",
        ),
        (400, r#"{"error":"new_error"}"#, "permanent new_error"),
        (404, "<html>", "permanent 404"),
        (400, r#"{"error":"temporarily_unavailable"}"#, "retry"),
        (429, "", "throttled 10000"),
        (503, "", "retry"),
        (500, r#"{"error":"invalid_client"}"#, "retry"),
    ];

    fn bot() -> Defined {
        let mut account = account("teams_bot");
        account.settings.insert("app_id".into(), APP.into());
        account.settings.insert("buttons".into(), true.into());
        account
    }

    fn answer(status: u16, body: &str) -> Response {
        Response::Http(Ok(HttpResponse::of(status, body.as_bytes())))
    }

    #[test]
    fn each_response_has_its_verdict() {
        for (status, body, expected) in CODES {
            let verdict = TeamsBot.verdict(&answer(*status, body));
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
        }
    }

    #[test]
    fn each_response_of_the_login_server_has_its_result() {
        for (status, body, expected) in TOKENS {
            let response = HttpResponse::of(*status, body.as_bytes());
            let result = match TeamsBot.token(&Ok(response)) {
                Ok(token) => format!("token {}", token.lifetime_ms),
                Err(verdict) => shown(&verdict),
            };
            assert_eq!(result, *expected, "{status} {body}");
        }
        for error in [
            HttpError::NotSent("x".into()),
            HttpError::Unknown("x".into()),
        ] {
            let verdict = TeamsBot.token(&Err(error)).unwrap_err();
            assert_eq!(shown(&verdict), "retry");
        }
    }

    #[test]
    fn the_stated_wait_is_used() {
        let of = |status| HttpResponse {
            headers: vec![("retry-after".into(), "7".into())],
            ..HttpResponse::of(status, b"{}")
        };
        for (status, expected) in [
            (429, "throttled 7000"),
            (412, "retry 7000"),
            (503, "retry 7000"),
        ] {
            let verdict = TeamsBot.verdict(&Response::Http(Ok(of(status))));
            assert_eq!(shown(&verdict), expected);
        }
        let verdict = TeamsBot.token(&Ok(of(429))).unwrap_err();
        assert_eq!(shown(&verdict), "throttled 7000");
    }

    #[test]
    fn only_a_response_about_the_token_refuses_the_token() {
        for (status, body, expected) in [
            (401, "", true),
            (401, r#"{"message":"Authorization has been denied"}"#, true),
            (401, r#"{"error":{"code":"BotNotRegistered"}}"#, false),
            (403, "", false),
            (201, r#"{"id":"1"}"#, false),
        ] {
            assert_eq!(TeamsBot.refuses_token(&answer(status, body)), expected);
        }
        let lost = Response::Http(Err(HttpError::Unknown("x".into())));
        assert!(!TeamsBot.refuses_token(&lost));
        assert!(!TeamsBot.may_repeat());
    }

    #[test]
    fn the_request_for_a_token_is_a_form() {
        let access = TeamsBot.access(&bot(), SECRET, Moment(1)).unwrap();
        let Access::Asked(request) = access else {
            panic!("a request")
        };
        assert_eq!(
            request.url, TOKEN_URL,
            "the secret is only in the body of the request"
        );
        assert_eq!(
            String::from_utf8(request.body).unwrap(),
            format!(
                "grant_type=client_credentials&client_id={APP}&client_secret=a%7Esecret%2Bof%26the%3Dbot&scope=https%3A%2F%2Fapi.botframework.com%2F.default"
            )
        );
    }

    fn with_action() -> Content {
        Content {
            actions: vec![Action {
                name: "approve".into(),
                label: "批准".into(),
                is_primary: true,
                url: "https://desk.example/act".into(),
                value: "v1.signed".into(),
            }],
            ..content()
        }
    }

    #[test]
    fn a_message_is_an_activity_with_buttons_for_the_bot() {
        let (account, content) = (bot(), with_action());
        let outgoing = Outgoing {
            token: "eyJ.x",
            ..outgoing(&account, SECRET, CHAT, &content)
        };
        let Ok(Request::Http(request)) = TeamsBot.request(&outgoing) else {
            panic!("a request")
        };
        assert_eq!(
            (request.method.as_str(), request.url.as_str()),
            (
                "POST",
                "https://smba.trafficmanager.net/teams/v3/conversations/a:1pL6i0oY3C_x-2/activities"
            )
        );
        let authorization = ("authorization".to_owned(), "Bearer eyJ.x".to_owned());
        assert!(request.headers.contains(&authorization));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let button = &body["attachments"][0]["content"]["actions"][0];
        assert_eq!(button["type"], "Action.Execute");
        assert_eq!(button["verb"], "approve");
        assert_eq!(button["data"], json!({ "value": "v1.signed" }));
        assert!(!body.to_string().contains("<at>"), "{body}");
        let replaced = update(&outgoing, "1:2AbC").unwrap();
        assert_eq!(replaced.method, "PUT");
        assert_eq!(replaced.url, format!("{}/1:2AbC", request.url));
        assert_eq!(replaced.body, request.body);
        for id in ["", "..", "a/b", "a?b"] {
            assert!(update(&outgoing, id).is_err(), "{id}");
        }
    }

    #[test]
    fn an_update_without_an_id_in_its_response_is_accepted() {
        let response = Response::Http(Ok(HttpResponse::of(200, b"")));
        assert!(matches!(
            TeamsBot.verdict(&response),
            Verdict::Unknown { .. }
        ));
        let updated = TeamsBot.update_verdict(&response);
        assert!(matches!(updated, Verdict::Succeeded { .. }), "{updated:?}");
        let missing = Response::Http(Ok(HttpResponse::of(404, b"{}")));
        let updated = TeamsBot.update_verdict(&missing);
        assert!(matches!(updated, Verdict::Refused { .. }), "{updated:?}");
    }

    #[test]
    fn the_service_url_may_have_a_path_with_or_without_a_slash() {
        for base in ["http://127.0.0.1:9/teams", "http://127.0.0.1:9/teams/"] {
            let (mut account, content) = (bot(), content());
            account.settings.insert("url".into(), base.into());
            assert_eq!(TeamsBot.check(&account), Ok(()));
            let outgoing = outgoing(&account, SECRET, "a:1", &content);
            let Ok(Request::Http(request)) = TeamsBot.request(&outgoing) else {
                panic!("a request")
            };
            assert_eq!(
                request.url,
                "http://127.0.0.1:9/teams/v3/conversations/a:1/activities"
            );
        }
    }

    #[test]
    fn an_address_is_the_id_of_a_chat() {
        for address in [CHAT, "19:0a1b@unq.gbl.spaces", "19:x@thread.v2;messageid=1"] {
            assert_eq!(TeamsBot.check_address(address), Ok(()), "{address}");
        }
        for address in ["", "lisi@example.com", "a:b/c", "a:b?c", "a:b c", "a:工"] {
            assert!(TeamsBot.check_address(address).is_err(), "{address}");
        }
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        for secret in [
            "",
            "short",
            "hidden secret",
            "hidden\u{7f}secret",
            "密码密码密码",
        ] {
            let reason = TeamsBot.check_secret(secret).unwrap_err();
            assert!(reason.contains("client secret"), "{reason}");
            assert!(!reason.contains("hidden"), "{reason}");
        }
        assert_eq!(TeamsBot.check_secret(SECRET), Ok(()));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (key, value, expected) in [
            ("app_id", json!("bot"), "`app_id` must"),
            ("app_id", json!(1), "`app_id` must"),
            ("url", json!(1), "`url` must"),
            ("url", json!("https://evil.example/"), "`url` must"),
            (
                "url",
                json!("https://evil.trafficmanager.net/"),
                "`url` must",
            ),
            ("url", json!("https://xbotframework.com/"), "`url` must"),
            (
                "url",
                json!("http://smba.trafficmanager.net/teams"),
                "`url` must",
            ),
            (
                "url",
                json!("https://smba.trafficmanager.net/?x=1"),
                "`url` must",
            ),
            ("url", json!("http://10.0.0.1/"), "`url` must"),
            (
                "token_url",
                json!("https://smba.trafficmanager.net/"),
                "`token_url` must",
            ),
            ("secret", json!("x"), "`secret` is not a setting"),
        ] {
            let mut account = bot();
            account.settings.insert(key.into(), value);
            let reason = TeamsBot.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
        let mut account = bot();
        for (key, value) in [
            ("url", "https://smba.infra.gcc.teams.microsoft.com/teams"),
            (
                "token_url",
                "https://login.microsoftonline.com/0a1b2c3d-0000-4000-8000-000000000002/oauth2/v2.0/token",
            ),
        ] {
            account.settings.insert(key.into(), value.into());
        }
        assert_eq!(TeamsBot.check(&account), Ok(()));
        assert!(
            TeamsBot
                .check(&super::super::contract::account("teams_bot"))
                .is_err()
        );
    }
}
