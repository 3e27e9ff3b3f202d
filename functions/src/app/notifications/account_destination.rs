//! Compares the servers that get the secret of a channel account (a configured sender of messages). The secret stays in the
//! key store when a superuser changes the account. A changed account must not send this secret to another server.

use std::collections::BTreeSet;

use events::channel_account::Defined;
use infra::{channel, mailbox};
use serde_json::Value;

/// The settings that decide whether a channel needs a secret.
const CREDENTIALS: [&str; 2] = ["user", "auth"];

/// Returns the name of the first member whose change could send a stored secret to another server or without TLS, such as
/// `host` or `mailbox.host`. Returns `None` if the account needs no secret, or if the servers of its secrets stay the same.
pub(super) fn changed_member(old: &Defined, new: &Defined) -> Option<String> {
    in_mailbox(old, new).or_else(|| in_sending(old, new))
}

fn in_sending(old: &Defined, new: &Defined) -> Option<String> {
    let (before, after) = (needs_secret(old), needs_secret(new));
    if !before && !after {
        return None;
    }
    if old.channel != new.channel {
        return Some("channel".to_owned());
    }
    let keys: BTreeSet<&String> = old.settings.keys().chain(new.settings.keys()).collect();
    let differs = |key: &str| old.settings.get(key) != new.settings.get(key);
    let moved = keys
        .into_iter()
        .find(|key| is_of_server(key) && differs(key));
    if let Some(key) = moved {
        return Some(key.clone());
    }
    // An account without a secret can change its server. It must therefore not start to use a secret that the key store has
    // for it.
    if before == after {
        return None;
    }
    let credential = CREDENTIALS.into_iter().find(|key| differs(key));
    Some(credential.unwrap_or("channel").to_owned())
}

/// Each mailbox has a password.
fn in_mailbox(old: &Defined, new: &Defined) -> Option<String> {
    let (before, after) = (
        old.settings.get(mailbox::KEY),
        new.settings.get(mailbox::KEY),
    );
    if before.is_some() != after.is_some() {
        return Some(mailbox::KEY.to_owned());
    }
    let member = |table: Option<&Value>, key: &str| table.and_then(|one| one.get(key)).cloned();
    let mut keys = ["host", "port", "tls"].into_iter();
    let moved = keys.find(|key| member(before, key) != member(after, key))?;
    Some(format!("{}.{moved}", mailbox::KEY))
}

fn needs_secret(account: &Defined) -> bool {
    channel::find(&account.channel).is_some_and(|codec| codec.needs_secret(account))
}

/// Returns true if a setting names a server, or the encryption of the connection to it. The names of all settings with an
/// HTTP address end with `url`.
fn is_of_server(key: &str) -> bool {
    matches!(key, "host" | "port" | "tls") || key.ends_with("url")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::app::notifications::definitions::{DefinitionKind, Definitions};

    fn account(channel: &str, settings: &Value) -> Defined {
        let members = json!({ "channel": channel, "settings": settings });
        let members = members.as_object().expect("an object");
        let read = Definitions::of_members(DefinitionKind::Account, "one", members);
        read.expect("a valid account").accounts.remove(0)
    }

    fn mail(settings: &Value) -> Defined {
        let mut all = json!({ "host": "relay.example", "from": "desk@example.com" });
        for (key, value) in settings.as_object().expect("an object") {
            all[key] = value.clone();
        }
        account("email", &all)
    }

    #[test]
    fn the_server_of_a_secret_stays() {
        let user = json!({ "user": "desk" });
        let secret = mail(&user);
        for (changed, expected) in [
            (user, None),
            (
                json!({ "user": "desk", "host": "other.example" }),
                Some("host"),
            ),
            (json!({ "user": "desk", "port": 2525 }), Some("port")),
            (json!({ "user": "desk", "tls": "implicit" }), Some("tls")),
            (
                json!({ "user": "other", "from": "other@example.com" }),
                None,
            ),
            // Without a user, the next change could name another server.
            (json!({}), Some("user")),
        ] {
            let member = changed_member(&secret, &mail(&changed));
            assert_eq!(member.as_deref(), expected, "{changed}");
        }
        let open = mail(&json!({}));
        assert_eq!(changed_member(&open, &secret).as_deref(), Some("user"));
        let other = mail(&json!({ "host": "other.example", "tls": "none" }));
        assert_eq!(changed_member(&open, &other), None);
    }

    #[test]
    fn the_address_of_a_robot_and_its_channel_stay() {
        let robot = |url: &str| account("dingtalk_robot", &json!({ "url": url }));
        let old = robot("https://robot.example/send");
        assert_eq!(changed_member(&old, &old), None);
        let other = robot("https://other.example/send");
        assert_eq!(changed_member(&old, &other).as_deref(), Some("url"));
        let without = account("dingtalk_robot", &json!({}));
        assert_eq!(changed_member(&old, &without).as_deref(), Some("url"));
        let other = mail(&json!({}));
        assert_eq!(changed_member(&old, &other).as_deref(), Some("channel"));
    }

    #[test]
    fn the_server_of_a_mailbox_stays() {
        let of = |host: &str| {
            mail(&json!({ "mailbox": { "host": host, "user": "desk", "folder": host } }))
        };
        let old = of("imap.example");
        assert_eq!(changed_member(&old, &old), None);
        let moved = changed_member(&old, &of("other.example"));
        assert_eq!(moved.as_deref(), Some("mailbox.host"));
        let without = mail(&json!({}));
        for (old, new) in [(&old, &without), (&without, &old)] {
            assert_eq!(changed_member(old, new).as_deref(), Some("mailbox"));
        }
    }
}
