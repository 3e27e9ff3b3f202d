//! Sends messages to one Slack channel through an incoming webhook (reference/notifications.md, section 1.1). The complete
//! URL of the webhook is the secret. The response is a plain text: `ok`, or a short error. The response contains no id, so
//! the message cannot be changed later. Buttons only open pages of the desk.

use std::net::IpAddr;

use domain::attempt::Verdict;
use events::channel_account::Defined;
use events::delivery::FailureClass;

use super::slack::blocks::{Buttons, message};
use super::slack::{
    PER_MINUTE, TARGET_LIMITS, check_person, is_word, known, limited, post, unreadable,
};
use super::{Channel, Outgoing, Request, Response, TargetLimit, accepted, of_http, only};
use crate::http::{HttpResponse, Url};

/// The paths of webhooks begin with this text.
const PATH: &str = "/services/";

/// The channel that sends messages through an incoming webhook of Slack.
#[derive(Clone, Copy, Debug)]
pub struct SlackWebhook;

impl Channel for SlackWebhook {
    fn name(&self) -> &'static str {
        "slack_webhook"
    }

    /// Returns the kind of the channel `slack`. The message mentions the person with this address.
    fn address_kind(&self) -> &'static str {
        "slack"
    }

    fn per_minute(&self) -> Option<u32> {
        Some(PER_MINUTE)
    }

    fn target_limits(&self) -> &'static [TargetLimit] {
        TARGET_LIMITS
    }

    /// Returns an empty text: all messages of the account go to one channel.
    fn target<'a>(&self, _account: &'a Defined, _to: &'a str) -> &'a str {
        ""
    }

    fn check_address(&self, address: &str) -> Result<(), String> {
        check_person(address)
    }

    fn check(&self, account: &Defined) -> Result<(), String> {
        only(account, &[])
    }

    fn check_secret(&self, secret: &str) -> Result<(), String> {
        let is_valid = secret.parse::<Url>().is_ok_and(|url| {
            let is_protected = match url.scheme() {
                "https" => true,
                "http" => is_of_this_machine(&url),
                _ => false,
            };
            let has_path = url.path().strip_prefix(PATH).is_some_and(|path| {
                let parts: Vec<&str> = path.split('/').collect();
                parts.len() == 3 && parts.iter().all(|part| !part.is_empty())
            });
            let has_more = url.query().is_some()
                || url.fragment().is_some()
                || !url.username().is_empty()
                || url.password().is_some();
            is_protected && has_path && !has_more
        });
        if is_valid {
            Ok(())
        } else {
            Err("the secret must be the complete URL of the webhook: https://hooks.slack.com/services/T.../B.../... on one line".into())
        }
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<Request, String> {
        self.check_secret(outgoing.secret)?;
        check_person(outgoing.to).map_err(|reason| format!("the address must {reason}"))?;
        let mut body = message(outgoing.content, Some(outgoing.to), Buttons::Links);
        body["unfurl_links"] = false.into();
        body["unfurl_media"] = false.into();
        Ok(post(outgoing.secret.to_owned(), None, &body))
    }

    fn verdict(&self, response: &Response) -> Verdict {
        of_http(response, judge)
    }
}

/// Returns whether the host of a URL is this machine. Only there, a webhook can have no encryption.
fn is_of_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Converts a response to a verdict (the result of an attempt). An unknown error means a permanent failure.
fn judge(response: &HttpResponse) -> Verdict {
    if response.status == 429 {
        return limited(response, "Slack answered with HTTP status 429");
    }
    let body = String::from_utf8_lossy(&response.body);
    let word = body.trim();
    let refused = |class| Verdict::refused(class, word, word);
    match word {
        "ok" if response.is_success() => accepted("ok", ""),
        // The webhook addresses one fixed person or channel, so this error does not mean the person who is mentioned.
        "user_not_found" => refused(FailureClass::Permanent),
        word if is_word(word) => known(word, word, response).unwrap_or_else(|| {
            if (400..500).contains(&response.status) {
                refused(FailureClass::Permanent)
            } else {
                unreadable(response)
            }
        }),
        _ => unreadable(response),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use domain::notification::content::Action;
    use serde_json::{Value, json};

    use super::super::contract::{account, content, outgoing, shown};
    use super::*;

    const SECRET: &str = "https://hooks.slack.com/services/T012/B012/SECx";
    const PERSON: &str = "U0000LISI";

    /// Every error of reference/notifications.md, section 1.1, with its verdict.
    pub(in crate::channel) const CODES: &[(u16, &str, &str)] = &[
        (200, "ok", "accepted"),
        (200, "ok\n", "accepted"),
        (400, "invalid_payload", "permanent invalid_payload"),
        (400, "no_text", "permanent no_text"),
        (
            400,
            "too_many_attachments",
            "permanent too_many_attachments",
        ),
        (400, "user_not_found", "permanent user_not_found"),
        (400, "invalid_blocks", "permanent invalid_blocks"),
        (400, "msg_too_long", "too_large msg_too_long"),
        (400, "msg_blocks_too_long", "too_large msg_blocks_too_long"),
        (400, "of_the_future", "permanent of_the_future"),
        (400, "<html>", "permanent 400"),
        (403, "action_prohibited", "permanent action_prohibited"),
        (403, "invalid_token", "credential invalid_token"),
        (
            403,
            "posting_to_general_channel_denied",
            "permanent posting_to_general_channel_denied",
        ),
        (403, "team_disabled", "credential team_disabled"),
        (404, "channel_not_found", "permanent channel_not_found"),
        (404, "no_service", "credential no_service"),
        (404, "no_active_hooks", "credential no_active_hooks"),
        (404, "no_team", "credential no_team"),
        (404, "", "permanent 404"),
        (410, "channel_is_archived", "permanent channel_is_archived"),
        (429, "", "throttled 60000"),
        (429, "rate_limited", "throttled 60000"),
        (500, "rollup_error", "retry"),
        (500, "internal_error", "unknown"),
        (500, "fatal_error", "unknown"),
        (500, "of_the_future", "unknown"),
        (500, "ok", "unknown"),
        (502, "<html>", "unknown"),
        (503, "", "retry"),
        // An error with a status of success is an error.
        (200, "no_service", "credential no_service"),
        (200, "of_the_future", "unknown"),
        (200, "", "unknown"),
        (200, "<html>", "unknown"),
        (200, r#"{"ok":true}"#, "unknown"),
        (302, "", "permanent 302"),
    ];

    #[test]
    fn each_error_of_a_webhook_has_its_verdict() {
        for (status, body, expected) in CODES {
            let response = Response::Http(Ok(HttpResponse::of(*status, body.as_bytes())));
            let verdict = SlackWebhook.verdict(&response);
            assert_eq!(shown(&verdict), *expected, "{status} {body}");
        }
    }

    #[test]
    fn the_message_mentions_the_person_and_has_links_as_buttons() {
        let mut content = content();
        content.actions = vec![Action {
            name: "approve".into(),
            label: "批准".into(),
            is_primary: true,
            url: "https://desk.example/confirm".into(),
            value: "v1.sign".into(),
        }];
        let account = account("slack_webhook");
        let outgoing = outgoing(&account, SECRET, PERSON, &content);
        let Ok(Request::Http(request)) = SlackWebhook.request(&outgoing) else {
            panic!("a request")
        };
        assert_eq!(request.url, SECRET);
        assert_eq!(request.headers.len(), 1, "only the content type");
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let intro = body["blocks"][1]["text"]["text"].as_str().unwrap();
        assert!(intro.starts_with("<@U0000LISI> "), "{intro}");
        let button = &body["blocks"][5]["elements"][0];
        assert_eq!(button["url"], "https://desk.example/confirm");
        assert!(!body.to_string().contains("v1.sign"));
    }

    #[test]
    fn a_wrong_secret_is_rejected_without_its_text() {
        for secret in [
            "",
            "xoxb-SECx",
            "https://hooks.slack.com/services/T012/SECx",
            "https://hooks.slack.com/services/T012/B012/SECx/",
            "https://hooks.slack.com/services//B012/SECx",
            "https://hooks.slack.com/services/T012/B012/SECx?a=b",
            "https://hooks.slack.com/services/T012/B012/SECx#a",
            "https://user:password@hooks.slack.com/services/T012/B012/SECx",
            "http://hooks.slack.com/services/T012/B012/SECx",
            "http://127.0.0.1.evil.example/services/T012/B012/SECx",
            "ftp://hooks.slack.com/services/T012/B012/SECx",
        ] {
            let reason = SlackWebhook.check_secret(secret).unwrap_err();
            assert!(reason.contains("hooks.slack.com"), "{reason}");
            assert!(!reason.contains("SECx"), "{reason}");
            let (account, content) = (account("slack_webhook"), content());
            let request = SlackWebhook.request(&outgoing(&account, secret, PERSON, &content));
            assert_eq!(request, Err(reason));
        }
        for secret in [
            SECRET,
            "https://hooks.slack-gov.com/services/T012/B012/SECx",
            "http://127.0.0.1:8080/services/T012/B012/SECx",
            "http://[::1]:8080/services/T012/B012/SECx",
            "http://localhost/services/T012/B012/SECx",
        ] {
            assert_eq!(SlackWebhook.check_secret(secret), Ok(()), "{secret}");
        }
    }

    #[test]
    fn wrong_settings_and_addresses_are_named() {
        let mut account = account("slack_webhook");
        assert_eq!(SlackWebhook.check(&account), Ok(()));
        account.settings.insert("url".into(), json!("https://x"));
        let reason = SlackWebhook.check(&account).unwrap_err();
        assert!(reason.starts_with("`url` is not a setting"), "{reason}");
        let reason = SlackWebhook.check_address("lisi").unwrap_err();
        assert!(reason.contains("Slack user id"), "{reason}");
    }
}
