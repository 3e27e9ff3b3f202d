//! Decides how the people who must process a node are notified: how often, and through which channels. The settings are
//! `notify_rule`, `notify_freq` and `notify` of the workflow definition (reference/bk-itsm.md 12.3, 15).

use events::channel_account;
use events::workflow::Definition;

/// Shortest time in milliseconds between two reminders: 10 minutes. A shorter setting counts as this time.
pub const REMIND_MIN_MS: i64 = 600_000;

/// How often people are notified that a node waits for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Never,
    /// When the node starts to wait for the person.
    Once,
    /// When the node starts to wait for the person, and then again after each period of `every_ms` milliseconds.
    Repeated {
        every_ms: i64,
    },
}

/// Returns how often the workflow notifies the people who must process a node.
pub fn rule(definition: &Definition) -> Rule {
    match (definition.notify_rule.as_str(), definition.notify_freq) {
        ("NONE", _) => Rule::Never,
        ("RETRY", seconds @ 1..) => Rule::Repeated {
            every_ms: (i64::from(seconds) * 1_000).max(REMIND_MIN_MS),
        },
        _ => Rule::Once,
    }
}

/// The channels of one kind of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The names of channels, such as `email`.
    pub channels: &'static [&'static str],
    /// The types of messages of the company message bus, such as `mail`.
    pub bus_types: &'static [&'static str],
}

/// Returns the channels of a kind of messages, such as `EMAIL`. Returns `None` for an unknown kind.
pub fn kind(name: &str) -> Option<Kind> {
    let (channels, bus_types): (&[&str], &[&str]) = match name.to_ascii_uppercase().as_str() {
        "EMAIL" | "MAIL" => (&["email"], &["mail"]),
        "WEIXIN" | "WECHAT" | "WECOM" | "RTX" => (
            &["wecom_app", "wecom_robot", "public_account"],
            &["weixin", "rtx", "wecom"],
        ),
        "SMS" => (&["sms"], &["sms"]),
        "VOICE" => (&[], &["voice"]),
        _ => return None,
    };
    Some(Kind {
        channels,
        bus_types,
    })
}

/// Returns the names of the accounts whose channels belong to the kinds of the workflow. The list is empty if the
/// workflow names no kind, or if no account belongs to its kinds. All accounts then send the messages.
pub fn accounts<'a>(
    definition: &Definition,
    accounts: impl IntoIterator<Item = &'a channel_account::Defined>,
) -> Vec<String> {
    let kinds: Vec<Kind> = definition
        .notify
        .iter()
        .filter_map(|name| kind(name))
        .collect();
    let is_named = |account: &&channel_account::Defined| {
        let bus_type = account
            .settings
            .get("msg_type")
            .and_then(|one| one.as_str());
        kinds.iter().any(|kind| {
            kind.channels.contains(&account.channel.as_str())
                || bus_type.is_some_and(|one| kind.bus_types.contains(&one))
        })
    };
    let named = accounts.into_iter().filter(is_named);
    named.map(|account| account.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use events::task_type::Repetition;

    use super::*;

    fn definition(rule: &str, seconds: u32, kinds: &[&str]) -> Definition {
        Definition {
            notify_rule: rule.into(),
            notify_freq: seconds,
            notify: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            ..Definition::default()
        }
    }

    fn account(name: &str, channel: &str, bus_type: &str) -> channel_account::Defined {
        channel_account::Defined {
            name: name.into(),
            channel: channel.into(),
            is_enabled: true,
            per_minute: None,
            repetition: Repetition::AtLeastOnce,
            settings: BTreeMap::from([("msg_type".to_owned(), bus_type.into())]),
        }
    }

    #[test]
    fn each_rule_has_its_number_of_messages() {
        for (name, seconds, expected) in [
            ("", 0, Rule::Once),
            ("ONCE", 7_200, Rule::Once),
            ("NONE", 7_200, Rule::Never),
            ("RETRY", 0, Rule::Once),
            ("RETRY", 1, Rule::Repeated { every_ms: 600_000 }),
            (
                "RETRY",
                7_200,
                Rule::Repeated {
                    every_ms: 7_200_000,
                },
            ),
        ] {
            assert_eq!(
                rule(&definition(name, seconds, &[])),
                expected,
                "{name} {seconds}"
            );
        }
    }

    #[test]
    fn the_kinds_of_a_workflow_select_accounts() {
        let all = [
            account("mail", "email", ""),
            account("wecom", "wecom_app", ""),
            account("bus_mail", "cmsi", "mail"),
            account("bus_voice", "cmsi", "voice"),
        ];
        for (kinds, expected) in [
            (&["EMAIL"][..], &["mail", "bus_mail"][..]),
            (&["weixin"], &["wecom"]),
            (&["VOICE", "7"], &["bus_voice"]),
            (&["SMS"], &[]),
            (&[], &[]),
        ] {
            assert_eq!(
                accounts(&definition("ONCE", 0, kinds), &all),
                expected,
                "{kinds:?}"
            );
        }
    }
}
