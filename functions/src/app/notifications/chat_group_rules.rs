//! Reads the rules for chat groups of tickets from the TOML file with the notification policy. An error names the wrong
//! member.

use std::collections::BTreeSet;

use events::notification::Category;
use events::notification_policy::{ChatGroups, GroupRemarks};
use events::person::Language;
use events::{CategoryId, channel_account};
use infra::channel::{self, group};
use serde::Deserialize;

use crate::app::definition_files::check_name;

/// Maximum number of priorities, and of catalog nodes, in the rules.
const CONDITIONS_MAX: usize = 100;
/// The categories of the messages that a group gets if the rules name none.
const MESSAGES: [Category; 3] = [Category::Escalated, Category::Updated, Category::Resolved];

/// The rules for chat groups in the TOML file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChatGroupsEntry {
    account: String,
    #[serde(default)]
    priorities: Vec<String>,
    #[serde(default)]
    categories: Vec<i64>,
    messages: Option<Vec<String>>,
    #[serde(default)]
    language: Language,
    #[serde(default)]
    keep: bool,
    #[serde(default)]
    remarks: GroupRemarks,
}

/// Checks the rules. Returns an English text that names the first wrong member.
pub(super) fn chat_groups(entry: ChatGroupsEntry) -> Result<ChatGroups, String> {
    let at = |reason: String| format!("policy: `chat_groups`: {reason}");
    check_name("account", &entry.account).map_err(at)?;
    if entry.priorities.len() > CONDITIONS_MAX
        || entry.priorities.iter().any(|key| key.trim().is_empty())
    {
        return Err(at(format!(
            "`priorities` must contain at most {CONDITIONS_MAX} keys of priorities"
        )));
    }
    if entry.categories.len() > CONDITIONS_MAX || entry.categories.iter().any(|id| *id < 1) {
        return Err(at(format!(
            "`categories` must contain at most {CONDITIONS_MAX} ids of catalog nodes"
        )));
    }
    let messages = match &entry.messages {
        None => MESSAGES.to_vec(),
        Some(names) => categories(names).ok_or_else(|| {
            at(format!(
                "`messages` must contain only {}, each at most once",
                Category::NAMES.join(", ")
            ))
        })?,
    };
    Ok(ChatGroups {
        account: entry.account,
        priorities: entry.priorities,
        categories: entry.categories.into_iter().map(CategoryId).collect(),
        messages,
        language: entry.language,
        keeps: entry.keep,
        remarks: entry.remarks,
    })
}

/// Returns the categories with the given names. Returns `None` if a name is unknown or occurs twice.
fn categories(names: &[String]) -> Option<Vec<Category>> {
    let distinct: BTreeSet<&String> = names.iter().collect();
    if distinct.len() < names.len() {
        return None;
    }
    names.iter().map(|name| Category::read(name)).collect()
}

/// Checks that an account can own groups. Returns an English text that names the account, and what prevents it: the
/// channel, or one setting.
pub(super) fn check_account(account: &channel_account::Defined) -> Result<(), String> {
    let at = |reason: String| {
        format!(
            "policy: `chat_groups.account` names the account {}: {reason}",
            account.name
        )
    };
    let groups = channel::find(&account.channel).and_then(channel::Channel::groups);
    match groups {
        Some(groups) => groups.check(account).map_err(at),
        None => Err(at(format!(
            "the channel {} has no groups; the channels with groups are {}",
            account.channel,
            group::channels().join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use events::task_type::Repetition;

    use super::super::definitions::Definitions;
    use super::*;

    const VALID: &str = r#"
        [policy]
        accounts = []

        [policy.chat_groups]
        account = "work_app"
        priorities = ["4"]
        categories = [3]
        messages = ["escalated", "commented"]
        language = "en"
        keep = true
        remarks = "addressed"
    "#;

    fn account(channel: &str) -> channel_account::Defined {
        channel_account::Defined {
            name: "one".into(),
            channel: channel.into(),
            is_enabled: true,
            per_minute: None,
            repetition: Repetition::AtMostOnce,
            settings: BTreeMap::new(),
        }
    }

    fn read(text: &str) -> Result<ChatGroups, String> {
        let policy = Definitions::read(text)?.policy.unwrap();
        Ok(policy.chat_groups.unwrap())
    }

    #[test]
    fn the_rules_are_read() {
        let rules = ChatGroups {
            account: "work_app".into(),
            priorities: vec!["4".into()],
            categories: vec![CategoryId(3)],
            messages: vec![Category::Escalated, Category::Commented],
            language: Language::English,
            keeps: true,
            remarks: GroupRemarks::Addressed,
        };
        assert_eq!(read(VALID), Ok(rules));
        let short = "[policy]\naccounts = []\n[policy.chat_groups]\naccount = \"work_app\"";
        let rules = read(short).unwrap();
        assert_eq!(rules.messages, MESSAGES);
        assert_eq!((rules.language, rules.keeps), (Language::Chinese, false));
        assert_eq!(rules.remarks, GroupRemarks::None);
        let none = Definitions::read("[policy]\naccounts = []").unwrap();
        assert_eq!(none.policy.unwrap().chat_groups, None);
    }

    #[test]
    fn every_wrong_member_is_named() {
        for (from, to, expected) in [
            ("\"work_app\"", "\"Work\"", "policy: `chat_groups`"),
            ("[\"4\"]", "[\" \"]", "policy: `chat_groups`: `priorities`"),
            ("[3]", "[0]", "policy: `chat_groups`: `categories`"),
            ("\"commented\"", "\"talk\"", "`messages` must contain only"),
            ("\"commented\"", "\"escalated\"", "each at most once"),
            ("\"en\"", "\"fr\"", "unknown variant `fr`"),
            ("\"addressed\"", "\"all\"", "unknown variant `all`"),
            ("keep", "keeps", "unknown field `keeps`"),
            ("account = \"work_app\"", "", "missing field `account`"),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = read(&VALID.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
    }

    #[test]
    fn an_account_without_groups_is_refused_with_the_names_of_the_channels() {
        for (channel, expected) in [
            (
                "wecom_robot",
                "the channel wecom_robot has no groups; the channels with groups are",
            ),
            ("email", "wecom_app"),
            ("dingtalk_app", "`group_template_id`"),
        ] {
            let reason = check_account(&account(channel)).unwrap_err();
            assert!(reason.contains("the account one"), "{reason}");
            assert!(reason.contains(expected), "{channel}: {reason}");
        }
        assert_eq!(check_account(&account("slack")), Ok(()));
    }
}
