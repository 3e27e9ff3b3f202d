//! Sends messages to a chat or a channel of Microsoft Teams through a workflow that starts with a webhook
//! (reference/notifications.md, section 1.4). The URL of the workflow contains its signature, so the whole URL is the secret.
//!
//! Status 202 means that the workflow has started. The desk cannot learn whether the workflow posts the message.

use domain::attempt::Verdict;
use domain::notification::content::one_line;
use events::channel_account::Defined;
use events::delivery::FailureClass;
use serde_json::Value;

use super::teams::{Buttons, is_code, is_guid, is_private, message, wait_ms};
use super::{
    Channel, Outgoing, Request, Response, SHARED, TIMEOUT, accepted, flag, is_declared_shared,
    of_http, only,
};
use crate::http::{HttpRequest, HttpResponse, RESPONSE_BYTES_MAX, Url};

/// Maximum number of messages that one workflow posts in one minute.
const PER_MINUTE: u32 = 60;
/// Wait in milliseconds after too many messages if the response names no wait.
const WAIT_MS: i64 = 60_000;
/// Maximum length of the URL of a workflow.
const URL_MAX: usize = 2048;
/// The hosts of the Office 365 connectors, which Microsoft has switched off.
const RETIRED_HOST: &str = "webhook.office.com";

/// The channel that sends messages through workflows of Microsoft Teams.
#[derive(Clone, Copy, Debug)]
pub struct TeamsWorkflow;

impl Channel for TeamsWorkflow {
    fn name(&self) -> &'static str {
        "teams_workflow"
    }

    fn address_kind(&self) -> &'static str {
        "teams_user"
    }

    fn per_minute(&self) -> Option<u32> {
        Some(PER_MINUTE)
    }

    /// Returns true, unless the account has the setting `shared = false`: its workflow then posts to the chat of the
    /// mentioned person.
    fn is_shared(&self, account: &Defined, _to: &str) -> bool {
        is_declared_shared(account, true)
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        let is_allowed =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '-' | '_' | '+' | '#');
        let is_name = address
            .split_once('@')
            .is_some_and(|(user, domain)| !user.is_empty() && domain.contains('.'));
        let is_valid = address.len() <= 128
            && address.chars().all(is_allowed)
            && address.matches('@').count() <= 1
            && (is_name || is_guid(address));
        if is_valid {
            Ok(())
        } else {
            Err("be the user name in Teams, such as lisi@example.com, or the object id of the person in Microsoft Entra".into())
        }
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        if account.settings.contains_key("url") {
            return Err(format!(
                "`url` must not be a setting: the URL of a workflow is the secret channel/{}",
                account.name
            ));
        }
        only(account, &["mention", SHARED])?;
        flag(account, "mention")?;
        flag(account, SHARED).map(drop)
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        read(secret).map(drop)
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        let url = read(outgoing.secret)?;
        let is_mentioned = outgoing.account.settings.get("mention") != Some(&Value::Bool(false));
        let mentioned = is_mentioned.then_some(outgoing.to);
        Ok(Request::Http(HttpRequest {
            method: "POST".into(),
            url: url.into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: message(outgoing.content, Buttons::Links, mentioned),
            timeout: TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
        }))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
    }
}

fn read(secret: &str) -> Result<Url, String> {
    let url: Option<Url> = secret.parse().ok();
    let Some(url) = url.filter(|url| is_private(url) && secret.len() <= URL_MAX) else {
        return Err(
            "the secret must be the whole URL of a workflow on one line: https://...&sig=..."
                .into(),
        );
    };
    let host = url.host_str().unwrap_or_default();
    if host == RETIRED_HOST || host.ends_with(".webhook.office.com") {
        return Err("the secret is the URL of an Office 365 connector, which Microsoft has switched off: create a workflow in Teams".into());
    }
    let is_signed = url
        .query_pairs()
        .any(|(key, value)| key == "sig" && !value.is_empty());
    if is_signed {
        Ok(url)
    } else {
        Err("the secret is a URL without `sig`: copy the whole URL of the workflow, and let anyone trigger the workflow".into())
    }
}

/// Converts a response of a workflow to a verdict (the result of an attempt). Only status 202 means that the workflow has
/// started. An unknown code means a permanent failure.
fn judge(response: &HttpResponse) -> Verdict {
    let status = response.status;
    let text = one_line(&String::from_utf8_lossy(&response.body));
    if status == 202 {
        return accepted("202", "");
    }
    if response.is_success() {
        // An Office 365 connector answered with status 200 and a sentence that contains the real status.
        return match inner_status(&text) {
            Some(inner) => by_status(inner, &inner.to_string(), &text, response),
            None => Verdict::Unknown {
                reason: format!("the workflow answered with HTTP status {status} and not 202, so it may not have posted the message: {text}").into(),
            },
        };
    }
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    let error = body.as_ref().and_then(|body| body.get("error"));
    let member = |key: &str| error.and_then(|error| error.get(key)?.as_str());
    let reason = member("message").map_or(text, one_line);
    let number = status.to_string();
    let code = member("code").filter(|code| is_code(code));
    by_status(status, code.unwrap_or(&number), &reason, response)
}

fn by_status(status: u16, code: &str, reason: &str, response: &HttpResponse) -> Verdict {
    let refused = |class| Verdict::refused(class, code, reason);
    match (status, code) {
        (429, _) => Verdict::Throttled {
            reason: format!("the workflow got too many messages ({code}): {reason}").into(),
            after_ms: wait_ms(response).unwrap_or(WAIT_MS),
        },
        (413, _) => refused(FailureClass::TooLarge),
        (503, _) => Verdict::Retry {
            reason: format!("the workflow is not available ({code}): {reason}").into(),
            after_ms: wait_ms(response),
        },
        (500.., _) => Verdict::Unknown {
            reason: format!("the workflow may have started ({code}): {reason}").into(),
        },
        // The URL is wrong, or the workflow is deleted, switched off or not open for everybody.
        (401 | 403 | 404 | 410, _)
        | (
            400,
            "MissingApiVersionParameter"
            | "WorkflowTriggerIsNotEnabled"
            | "WorkflowTriggerNotFound",
        ) => refused(FailureClass::Credential),
        _ => refused(FailureClass::Permanent),
    }
}

/// Returns the HTTP status in a sentence such as `Microsoft Teams endpoint returned HTTP error 429 with ContextId ...`.
fn inner_status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("HTTP error ")?;
    let status: u16 = rest.get(..3)?.parse().ok()?;
    (400..600).contains(&status).then_some(status)
}

#[cfg(test)]
pub(super) mod tests {
    use events::Moment;
    use serde_json::json;

    use super::super::contract::{account, content, outgoing, shown};
    use super::*;

    const SECRET: &str = "https://prod-05.westeurope.logic.azure.com:443/workflows/a1/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=s-1_2";

    /// Statuses and bodies of reference/notifications.md, section 1.4, and of Azure Logic Apps, with their verdicts.
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (202, "", "accepted"),
        (202, "<html>", "accepted"),
        (200, "", "unknown"),
        (200, "1", "unknown"),
        (200, r#"{"status":"ok"}"#, "unknown"),
        (
            200,
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId x",
            "throttled 60000",
        ),
        (
            200,
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413 with ContextId x",
            "too_large 413",
        ),
        (
            200,
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 400 with ContextId x",
            "permanent 400",
        ),
        (204, "", "unknown"),
        (302, "", "permanent 302"),
        (400, "Bad payload", "permanent 400"),
        (
            400,
            r#"{"error":{"code":"TriggerInputSchemaMismatch","message":"m"}}"#,
            "permanent TriggerInputSchemaMismatch",
        ),
        (
            400,
            r#"{"error":{"code":"InvalidRequestContent","message":"m"}}"#,
            "permanent InvalidRequestContent",
        ),
        (
            400,
            r#"{"error":{"code":"WorkflowTriggerIsNotEnabled","message":"m"}}"#,
            "credential WorkflowTriggerIsNotEnabled",
        ),
        (
            400,
            r#"{"error":{"code":"MissingApiVersionParameter","message":"m"}}"#,
            "credential MissingApiVersionParameter",
        ),
        (
            401,
            r#"{"error":{"code":"DirectApiAuthorizationRequired","message":"m"}}"#,
            "credential DirectApiAuthorizationRequired",
        ),
        (401, "", "credential 401"),
        (403, "<html>", "credential 403"),
        (
            404,
            r#"{"error":{"code":"WorkflowNotFound","message":"m"}}"#,
            "credential WorkflowNotFound",
        ),
        (410, "", "credential 410"),
        (409, r#"{"error":{"code":"a b <c>"}}"#, "permanent 409"),
        (
            413,
            r#"{"error":{"code":"RequestEntityTooLarge"}}"#,
            "too_large RequestEntityTooLarge",
        ),
        (429, "", "throttled 60000"),
        (500, "", "unknown"),
        (502, r#"{"error":{"code":"NoResponse"}}"#, "unknown"),
        (503, "", "retry"),
        (504, "<html>", "unknown"),
    ];

    fn verdict(status: u16, body: &str) -> Verdict {
        TeamsWorkflow.verdict(&Response::Http(Ok(HttpResponse::of(
            status,
            body.as_bytes(),
        ))))
    }

    #[test]
    fn each_response_has_its_verdict() {
        for (status, body, expected) in CODES {
            assert_eq!(shown(&verdict(*status, body)), *expected, "{status} {body}");
        }
    }

    #[test]
    fn the_stated_wait_is_used() {
        let of = |status| {
            let response = HttpResponse {
                headers: vec![("retry-after".into(), "17".into())],
                ..HttpResponse::of(status, b"")
            };
            shown(&TeamsWorkflow.verdict(&Response::Http(Ok(response))))
        };
        assert_eq!(of(429), "throttled 17000");
        assert_eq!(of(503), "retry 17000");
    }

    fn sent(account: &Defined) -> (String, Value) {
        let content = content();
        let outgoing = outgoing(account, SECRET, "lisi@example.com", &content);
        let Ok(Request::Http(request)) = TeamsWorkflow.request(&outgoing) else {
            panic!("a request")
        };
        (request.url, serde_json::from_slice(&request.body).unwrap())
    }

    #[test]
    fn a_message_is_one_card_that_mentions_the_person() {
        let mut account = account("teams_workflow");
        let (url, body) = sent(&account);
        assert_eq!(url.replace(":443/", "/"), SECRET.replace(":443/", "/"));
        assert_eq!(body["type"], "message");
        let card = &body["attachments"][0]["content"];
        let entities = json!([{
            "type": "mention",
            "text": "<at>lisi@example.com</at>",
            "mentioned": { "id": "lisi@example.com", "name": "lisi@example.com" },
        }]);
        assert_eq!(card["msteams"]["entities"], entities);
        account.settings.insert("mention".into(), false.into());
        assert_eq!(TeamsWorkflow.check(&account), Ok(()));
        let (_, body) = sent(&account);
        assert!(!body.to_string().contains("<at>"), "{body}");
    }

    #[test]
    fn a_message_to_a_workflow_needs_no_access_token() {
        let account = account("teams_workflow");
        let access = TeamsWorkflow.access(&account, SECRET, Moment(1));
        assert_eq!(access, Ok(super::super::Access::Free));
        assert!(!TeamsWorkflow.may_repeat());
    }

    #[test]
    fn an_address_is_a_user_name_or_an_object_id() {
        for address in [
            "lisi@example.com",
            "li_si.gmail.com#EXT#@contoso.onmicrosoft.com",
            "0a1b2c3d-0000-4000-8000-00000000000f",
        ] {
            assert_eq!(TeamsWorkflow.check_address(address), Ok(()), "{address}");
        }
        for address in [
            "",
            "lisi",
            "@example.com",
            "lisi@",
            "a@b@example.com",
            "lisi@example.com</at>",
            "li si@example.com",
            "*li*@example.com",
            "0a1b2c3d-0000-4000-8000-00000000000g",
        ] {
            let reason = TeamsWorkflow.check_address(address).unwrap_err();
            assert!(reason.starts_with("be "), "{address}: {reason}");
        }
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        for (secret, expected) in [
            ("", "whole URL"),
            ("hidden", "whole URL"),
            ("http://hidden.example/?sig=x", "whole URL"),
            ("https://hidden.example/?sig=", "without `sig`"),
            ("https://hidden.example/?sp=run&amp;sig=x", "without `sig`"),
            (
                "https://hidden.webhook.office.com/webhookb2/x?sig=x",
                "connector",
            ),
        ] {
            let reason = TeamsWorkflow.check_secret(secret).unwrap_err();
            assert!(reason.contains(expected), "{secret}: {reason}");
            assert!(!reason.contains("hidden"), "{reason}");
        }
        let long = format!("{SECRET}{}", "x".repeat(URL_MAX));
        assert!(TeamsWorkflow.check_secret(&long).is_err());
        for secret in [SECRET, "http://127.0.0.1:8080/workflows/a?sig=x"] {
            assert_eq!(TeamsWorkflow.check_secret(secret), Ok(()));
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        for (key, value, expected) in [
            ("url", json!("https://x/?sig=y"), "`url` must not"),
            ("mention", json!("no"), "`mention` must"),
            ("sig", json!("x"), "`sig` is not a setting"),
        ] {
            let mut account = account("teams_workflow");
            account.settings.insert(key.into(), value);
            let reason = TeamsWorkflow.check(&account).unwrap_err();
            assert!(reason.starts_with(expected), "{reason}");
        }
    }
}
