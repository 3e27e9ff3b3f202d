//! Removes addresses and secrets from the texts in the responses of providers. These texts are stored in events and written
//! to the log, which are not encrypted.

use domain::attempt::Verdict;
use infra::http::Url;
use serde_json::Value;

/// The text that replaces personal addresses, such as e-mail addresses.
const ADDRESS: &str = "<address>";
/// The text that replaces secrets and access tokens.
const SECRET: &str = "<secret>";
/// A word is removed if it contains this number of the first characters of a secret. A response can be cut in the middle of
/// a secret.
const START_CHARS: usize = 8;
/// A shorter part of a secret is not searched for, because ordinary words could contain it.
const PART_CHARS_MIN: usize = 7;

/// The texts that no stored reason may contain.
pub(super) struct Hidden {
    /// The address of the person.
    to: String,
    /// The first characters of each secret text.
    starts: Vec<String>,
}

impl Hidden {
    /// Collects the address of a person, the secret of a channel account, and the access token that the provider issued.
    ///
    /// A secret is a text, a JSON object with texts, or the URL of a webhook. In a URL, the last part of the path and the
    /// values of the query are secret.
    pub(super) fn new(to: &str, secret: &str, token: &str) -> Self {
        let mut hidden = Self {
            to: to.to_owned(),
            starts: Vec::new(),
        };
        hidden.add(token);
        let url = secret.trim().parse::<Url>().ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        match (serde_json::from_str(secret), url) {
            (Ok(Value::Object(members)), _) => {
                let texts = members.values().filter_map(Value::as_str);
                texts.for_each(|text| hidden.add(text));
            }
            (_, Some(url)) => {
                let segments = url.path_segments();
                hidden.add(
                    segments
                        .and_then(|mut segments| segments.next_back())
                        .unwrap_or_default(),
                );
                for (_, value) in url.query_pairs() {
                    hidden.add(&value);
                }
                for pair in url.query().unwrap_or_default().split('&') {
                    hidden.add(pair.split_once('=').map_or("", |(_, value)| value));
                }
            }
            _ => hidden.add(secret),
        }
        hidden
    }

    /// Adds a secret text. Each line of a private key is a text of its own.
    fn add(&mut self, text: &str) {
        for line in text.lines().map(str::trim) {
            if line.chars().count() >= PART_CHARS_MIN {
                self.starts.push(line.chars().take(START_CHARS).collect());
            }
        }
    }

    /// Replaces the words with addresses or secrets in the reason and the code of a verdict (the result of an attempt).
    pub(super) fn remove_from(&self, verdict: &mut Verdict) {
        if let Verdict::Retry { reason, .. }
        | Verdict::Throttled { reason, .. }
        | Verdict::Refused { reason, .. }
        | Verdict::Unknown { reason } = verdict
        {
            *reason = self.removed(reason).into();
        }
        if let Verdict::Refused { code, .. } = verdict {
            *code = self.removed(code);
        }
    }

    /// Returns a text in which a placeholder replaces each word with an address or a secret.
    pub(super) fn removed(&self, text: &str) -> String {
        let words = text.split_whitespace().map(|word| {
            if self.starts.iter().any(|start| word.contains(start)) {
                SECRET
            } else if word.contains('@') || !self.to.is_empty() && word.contains(&self.to) {
                ADDRESS
            } else {
                word
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_reason_contains_no_address() {
        for (reason, to, expected) in [
            (
                "550 5.1.1 <lisi@example.com>: Recipient address rejected",
                "lisi@example.com",
                "550 5.1.1 <address> Recipient address rejected",
            ),
            (
                "550 5.1.1 other@example.com unknown",
                "lisi@example.com",
                "550 5.1.1 <address> unknown",
            ),
            (
                "no user dt-lisi, sorry",
                "dt-lisi",
                "no user <address> sorry",
            ),
            ("connection refused", "", "connection refused"),
        ] {
            assert_eq!(Hidden::new(to, "", "").removed(reason), expected);
        }
    }

    #[test]
    fn a_stored_reason_contains_no_secret() {
        let hook = "https://hooks.example/services/T012/B012/abcdefghijkl";
        let workflow = "https://flow.example/workflows/a1/invoke?sv=1.0&sig=s-1%2B2-secret";
        let app = r#"{"app_key": "dingkey", "app_secret": "hidden-secret"}"#;
        for (secret, token, reason, expected) in [
            (
                "xoxb-1-secret",
                "",
                "bad token xoxb-1-secret.",
                "bad token <secret>",
            ),
            (app, "", "\"hidden-secret\" is wrong", "<secret> is wrong"),
            (
                app,
                "granted-token",
                "invalid access_token=granted-token",
                "invalid <secret>",
            ),
            (
                hook,
                "",
                "no service at /B012/abcdefghijkl",
                "no service at <secret>",
            ),
            (workflow, "", "sig=s-1%2B2-secret", "<secret>"),
            (workflow, "", "bad s-1+2-secret", "bad <secret>"),
            (app, "", "cut: hidden-s…", "cut: <secret>"),
            (
                "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n",
                "",
                "key MIIEvQIBADAN is wrong",
                "key <secret> is wrong",
            ),
            ("short", "t", "short tests stay", "short tests stay"),
        ] {
            let hidden = Hidden::new("", secret, token);
            assert_eq!(hidden.removed(reason), expected);
        }
    }
}
