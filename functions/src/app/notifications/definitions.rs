//! Reads channel accounts (configured senders of messages), the notification policy, escalation chains and rotas from a
//! TOML file, and stores them.

use std::collections::{BTreeMap, BTreeSet};

use domain::config::{ChannelAccount, ChannelAccountCommand, NotificationPolicy};
use events::task_type::Repetition;
use events::{Meta, channel_account, notification_policy};
use infra::channel::{self, Channel};
use infra::{Error, Kind, Ledger};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::calendars;
use super::chain_alarms;
use super::chat_group_rules::{self, ChatGroupsEntry};
use super::on_call::{ChainEntry, OnCall, RotaEntry};
use super::policy_insight::{self, InsightEntry};
use super::policy_rules::{self, RuleEntry};
use super::subscribers::{self, SubscriptionEntry};
use super::teams::{self, TeamEntry};
use crate::App;
use crate::app::definition_files::{check_name, define_by, unique};
use crate::app::rate;

/// The name of the only notification policy that the desk uses.
pub const DEFAULT_POLICY: &str = "default";
/// The highest value that a channel account (a configured sender) can set as its limit of messages per
/// minute.
const PER_MINUTE_MAX: u32 = 10_000;
/// Maximum number of operators whom a notification policy names.
const OPERATORS_MAX: usize = 50;
/// Maximum length of the name of the desk and of its support address, in characters.
const SYSTEM_TEXT_MAX: usize = 100;

/// The content of a TOML file with channel accounts and the notification policy.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    account: Vec<AccountEntry>,
    policy: Option<PolicyEntry>,
    #[serde(default)]
    chain: Vec<ChainEntry>,
    #[serde(default)]
    rota: Vec<RotaEntry>,
}

/// One channel account (a configured sender of messages) in the TOML file. `settings` contains all members of
/// the TOML entry that have no field of their own in this struct.
#[derive(Debug, Deserialize)]
struct AccountEntry {
    name: String,
    channel: String,
    #[serde(default = "yes")]
    is_enabled: bool,
    per_minute: Option<u32>,
    repetition: Option<Repetition>,
    #[serde(flatten)]
    settings: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyEntry {
    accounts: Vec<String>,
    #[serde(default)]
    fallback: Vec<String>,
    #[serde(default)]
    urgent: Vec<String>,
    #[serde(default)]
    critical: Vec<String>,
    #[serde(default)]
    operators: Vec<String>,
    #[serde(default)]
    bands: BTreeMap<String, String>,
    #[serde(default)]
    rules: Vec<RuleEntry>,
    #[serde(default)]
    team: Vec<TeamEntry>,
    #[serde(default)]
    subscription: Vec<SubscriptionEntry>,
    #[serde(default)]
    escalation: EscalationEntry,
    #[serde(default)]
    insight: InsightEntry,
    chat_groups: Option<ChatGroupsEntry>,
    #[serde(default)]
    perishable: Vec<String>,
    #[serde(default)]
    single_publisher: bool,
    #[serde(default)]
    system_name: String,
    #[serde(default)]
    support_email: String,
}

/// The escalation chain for each key of a priority.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EscalationEntry {
    #[serde(default)]
    chains: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// The kind of a definition that a superuser can change alone, without a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionKind {
    Account,
    Policy,
    Chain,
    Rota,
}

/// The reason why definitions were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    /// A definition is wrong, or names an object or a person that does not exist. The English text names the place.
    #[error("{0}")]
    Refused(String),
    /// The check itself failed, for example because a table cannot be read.
    #[error(transparent)]
    Technical(#[from] Error),
}

/// For definitions in a file, which an operator must correct.
impl From<NotAccepted> for Error {
    fn from(error: NotAccepted) -> Self {
        match error {
            NotAccepted::Refused(reason) => Self::new(Kind::Misconfigured, reason),
            NotAccepted::Technical(error) => error,
        }
    }
}

/// Reads an entry with a name from the members of a JSON object. `place` is for the error text.
fn entry<T: DeserializeOwned>(
    place: &str,
    name: &str,
    mut members: Map<String, Value>,
) -> Result<T, String> {
    members.insert("name".to_owned(), name.into());
    serde_json::from_value(Value::Object(members)).map_err(|error| format!("{place}: {error}"))
}

/// The checked content of a TOML file with channel accounts and the notification policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    pub accounts: Vec<channel_account::Defined>,
    pub policy: Option<notification_policy::Defined>,
    pub on_call: OnCall,
}

impl Definitions {
    /// Reads and checks the text of a TOML file with channel accounts and the notification policy. If the
    /// text is invalid, returns an English text that names the wrong entry and the wrong member of this
    /// entry.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        Self::of(file)
    }

    /// Reads and checks one definition from the members of a JSON object. The members are those of the entry in the TOML
    /// file, except that the object of a channel account has the settings of the channel in the member `settings`. `name`
    /// is the name of the definition, and the only policy has the name [`DEFAULT_POLICY`]. If a member is invalid, returns
    /// an English text that names the entry and the wrong member.
    pub fn of_members(
        kind: DefinitionKind,
        name: &str,
        members: &Map<String, Value>,
    ) -> Result<Self, String> {
        let mut file = File::default();
        let mut members = members.clone();
        match kind {
            DefinitionKind::Account => {
                let settings = members.remove("settings");
                let mut entry: AccountEntry = entry(&format!("account {name}"), name, members)?;
                match settings {
                    None => {}
                    Some(Value::Object(settings)) => {
                        // A TOML file has no null, so the channels do not expect it.
                        if let Some((member, _)) = settings.iter().find(|(_, one)| one.is_null()) {
                            return Err(format!("account {name}: `{member}` must not be null"));
                        }
                        entry.settings.extend(settings);
                    }
                    Some(_) => return Err(format!("account {name}: `settings` must be an object")),
                }
                file.account.push(entry);
            }
            DefinitionKind::Policy => {
                let policy = serde_json::from_value(Value::Object(members));
                file.policy = Some(policy.map_err(|error| format!("policy: {error}"))?);
            }
            DefinitionKind::Chain => {
                let chain = entry(&format!("chain {name}"), name, members)?;
                file.chain.push(chain);
            }
            DefinitionKind::Rota => {
                let rota = entry(&format!("rota {name}"), name, members)?;
                file.rota.push(rota);
            }
        }
        Self::of(file)
    }

    fn of(file: File) -> Result<Self, String> {
        let accounts: Vec<_> = file
            .account
            .into_iter()
            .map(account)
            .collect::<Result<_, _>>()?;
        unique("account", accounts.iter().map(|one| &one.name))?;
        let policy = file.policy.map(policy).transpose()?;
        Ok(Self {
            accounts,
            policy,
            on_call: OnCall::read(file.chain, file.rota)?,
        })
    }

    /// Stores all definitions from the TOML file. If a definition is equal to the stored definition, no event is added.
    /// Returns an error if the policy uses an unknown channel account. An account is unknown if the account is neither
    /// in the file nor stored.
    pub async fn store(&self, app: &App) -> Result<(), Error> {
        self.check(app).await?;
        let by = Meta::system("setup", "setup");
        self.store_by(app, &by).await.map(drop)
    }

    /// Checks the names in the definitions. Returns an error if a definition names an object that is neither in the file
    /// nor stored, or a person whom the directory does not know. This function only reads.
    pub async fn check(&self, app: &App) -> Result<(), NotAccepted> {
        self.on_call.check(app, &self.accounts).await?;
        self.check_policy(app).await
    }

    /// Stores all definitions, which [`Definitions::check`] has accepted, and makes the standing checks of the chains due
    /// that need them. `by` is the metadata of the commits. Returns the position of the last commit in the feed, or `None`
    /// if all definitions are equal to the stored ones.
    pub(super) async fn store_by(&self, app: &App, by: &Meta) -> Result<Option<i64>, Error> {
        let mut position: Option<i64> = None;
        for defined in &self.accounts {
            let known = app.configuration.channel_account(&defined.name).await?;
            let command = ChannelAccountCommand::Define(defined.clone());
            let stored = define_by::<ChannelAccount>(app, by, &defined.name, &command).await?;
            position = position.max(stored);
            if known.is_none() {
                rate::start(app, &defined.name).await?;
            }
        }
        position = position.max(self.on_call.store_by(app, by).await?);
        if let Some(policy) = &self.policy {
            let stored = define_by::<NotificationPolicy>(app, by, &policy.name, policy).await?;
            position = position.max(stored);
        }
        chain_alarms::schedule(app, &self.on_call.chain_names()).await?;
        Ok(position)
    }

    /// Checks the names in the policy. Returns an error if an account or an escalation chain is neither in the file nor
    /// stored. This function only reads.
    pub async fn check_policy(&self, app: &App) -> Result<(), NotAccepted> {
        let Some(policy) = &self.policy else {
            return Ok(());
        };
        for (number, team) in (1_usize..).zip(&policy.teams) {
            if let Some(name) = &team.calendar
                && !calendars::exists(app, name).await?
            {
                return Err(NotAccepted::Refused(format!(
                    "policy: team {number}: `calendar` names the calendar {name}, which is not defined"
                )));
            }
        }
        for subscription in &policy.subscriptions {
            if let Some(role) = subscription.role
                && app.configuration.role(role).await?.0.is_none()
            {
                return Err(NotAccepted::Refused(format!(
                    "policy: subscription {}: `role` names the role {role}, which does not exist",
                    subscription.name
                )));
            }
        }
        for name in policy.chains.values() {
            let is_in_file = self.on_call.chains.iter().any(|chain| chain.name == *name);
            if !is_in_file
                && app
                    .configuration
                    .escalation_chain(name)
                    .await?
                    .defined
                    .is_none()
            {
                return Err(NotAccepted::Refused(format!(
                    "policy: `escalation.chains` names the chain {name}, which is not defined"
                )));
            }
        }
        for (member, name) in named(policy) {
            let is_in_file = self.accounts.iter().any(|account| account.name == *name);
            if !is_in_file && app.configuration.channel_account(name).await?.is_none() {
                return Err(NotAccepted::Refused(format!(
                    "policy: `{member}` names the account {name}, which is not defined"
                )));
            }
        }
        self.check_chat_groups(app, policy).await
    }

    /// Checks that the account for chat groups can own groups.
    async fn check_chat_groups(
        &self,
        app: &App,
        policy: &notification_policy::Defined,
    ) -> Result<(), NotAccepted> {
        let Some(rules) = &policy.chat_groups else {
            return Ok(());
        };
        let in_file = self.accounts.iter().find(|one| one.name == rules.account);
        let account = match in_file {
            Some(account) => Some(account.clone()),
            None => app.configuration.channel_account(&rules.account).await?,
        };
        match account {
            Some(account) => {
                chat_group_rules::check_account(&account).map_err(NotAccepted::Refused)
            }
            None => Ok(()),
        }
    }
}

/// Checks the secret of a channel account (a configured sender of messages). If the secret is invalid, the
/// inner `Err` is an English text. The text contains the name of the account, but not the secret.
pub async fn check_secret(
    app: &App,
    account: &str,
    secret: &str,
) -> Result<Result<(), String>, Error> {
    let defined = app.configuration.channel_account(account).await?;
    let Some(codec) = defined.and_then(|defined| channel::find(&defined.channel)) else {
        return Ok(Err(format!(
            "the channel account {account} is not defined; define it with --accounts"
        )));
    };
    Ok(codec
        .check_secret(secret)
        .map_err(|reason| format!("channel account {account}: {reason}")))
}

/// Returns true if the notification policy of the desk names an account.
pub async fn policy_names(ledger: &Ledger, account: &str) -> Result<bool, Error> {
    let stream = format!("notification_policy-{DEFAULT_POLICY}");
    let policy = ledger.load::<NotificationPolicy>(&stream).await?;
    let policy = policy.aggregate.0.0;
    Ok(policy.is_some_and(|policy| named(&policy).any(|(_, name)| name == account)))
}

fn account(entry: AccountEntry) -> Result<channel_account::Defined, String> {
    let AccountEntry {
        name,
        channel,
        is_enabled,
        per_minute,
        repetition,
        settings,
    } = entry;
    check_name("account", &name)?;
    let known: Vec<&str> = channel::ALL.iter().map(|one| one.name()).collect();
    let codec: &dyn Channel = channel::find(&channel).ok_or_else(|| {
        format!(
            "account {name}: `channel` must be one of {}, not {channel:?}",
            known.join(", ")
        )
    })?;
    if per_minute.is_some_and(|limit| !(1..=PER_MINUTE_MAX).contains(&limit)) {
        return Err(format!(
            "account {name}: `per_minute` must be a number from 1 to {PER_MINUTE_MAX}"
        ));
    }
    let default = if codec.may_repeat() {
        Repetition::AtLeastOnce
    } else {
        Repetition::AtMostOnce
    };
    let defined = channel_account::Defined {
        name,
        channel,
        is_enabled,
        per_minute: per_minute.or_else(|| codec.per_minute()),
        repetition: repetition.unwrap_or(default),
        settings,
    };
    codec
        .check(&defined)
        .map_err(|reason| format!("account {}: {reason}", defined.name))?;
    Ok(defined)
}

/// Returns the names of all accounts in a policy, each with the member that contains the name.
fn named(policy: &notification_policy::Defined) -> impl Iterator<Item = (&'static str, &String)> {
    let accounts = policy.accounts.iter().map(|name| ("accounts", name));
    let fallback = policy.fallback.iter().map(|name| ("fallback", name));
    let groups = policy.chat_groups.iter();
    let groups = groups.map(|rules| ("chat_groups.account", &rules.account));
    accounts.chain(fallback).chain(groups)
}

fn policy(entry: PolicyEntry) -> Result<notification_policy::Defined, String> {
    let PolicyEntry {
        accounts,
        fallback,
        urgent,
        critical,
        operators,
        bands,
        rules,
        team,
        subscription,
        escalation: EscalationEntry { chains },
        insight,
        chat_groups,
        perishable,
        single_publisher,
        system_name,
        support_email,
    } = entry;
    let distinct: BTreeSet<&String> = accounts.iter().collect();
    if distinct.len() < accounts.len() {
        return Err("policy: `accounts` names an account twice".into());
    }
    if let Some(name) = fallback.iter().find(|name| accounts.contains(name)) {
        return Err(format!(
            "policy: `fallback` names the account {name}, which `accounts` already names"
        ));
    }
    if fallback.iter().collect::<BTreeSet<_>>().len() < fallback.len() {
        return Err("policy: `fallback` names an account twice".into());
    }
    if urgent.iter().any(|key| key.trim().is_empty()) {
        return Err("policy: `urgent` must contain keys of priorities".into());
    }
    if critical.iter().any(|key| key.trim().is_empty()) {
        return Err("policy: `critical` must contain keys of priorities".into());
    }
    if operators.len() > OPERATORS_MAX || operators.iter().any(|name| name.trim().is_empty()) {
        return Err(format!(
            "policy: `operators` must contain at most {OPERATORS_MAX} user names"
        ));
    }
    if chains.keys().any(|key| key.trim().is_empty()) {
        return Err("policy: `escalation.chains` must have keys of priorities".into());
    }
    for (member, text) in [
        ("system_name", &system_name),
        ("support_email", &support_email),
    ] {
        if text.chars().count() > SYSTEM_TEXT_MAX || text.chars().any(char::is_control) {
            return Err(format!(
                "policy: `{member}` must be a text in one line of at most {SYSTEM_TEXT_MAX} characters"
            ));
        }
    }
    policy_insight::check(insight)?;
    Ok(notification_policy::Defined {
        name: DEFAULT_POLICY.into(),
        accounts,
        fallback,
        urgent,
        critical,
        operators,
        bands: policy_rules::bands(bands)?,
        rules: policy_rules::rules(&rules)?,
        teams: teams::teams(team)?,
        subscriptions: subscribers::subscriptions(subscription)?,
        chains,
        single_publisher,
        system_name,
        support_email,
        feedback_one_in: insight.feedback_one_in,
        applies_winner: insight.apply_winner,
        learns_times: insight.learn_times,
        learns_channels: insight.learn_channels,
        perishable: policy_rules::perishable(&perishable)?,
        chat_groups: chat_groups.map(chat_group_rules::chat_groups).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = r#"
        [[account]]
        name = "mail"
        channel = "email"
        host = "relay.example"
        port = 587
        from = "Desk <desk@example.com>"

        [[account]]
        name = "ops_robot"
        channel = "dingtalk_robot"

        [policy]
        accounts = ["mail", "ops_robot"]
        urgent = ["3"]
        critical = ["4"]

        [policy.escalation]
        chains = { "3" = "default" }

        [[chain]]
        name = "default"
        [[chain.step]]
        notify = { rota = "ops" }

        [[rota]]
        name = "ops"
        [[rota.layer]]
        people = ["zhangsan"]
        start = "2026-11-23T09:00"
        shift = { days = 1 }
        zone = "Asia/Shanghai"
    "#;

    #[test]
    fn a_file_defines_accounts_and_the_policy() {
        let definitions = Definitions::read(VALID).unwrap();
        let [mail, robot] = definitions.accounts.as_slice() else {
            panic!("{definitions:?}")
        };
        assert_eq!(mail.settings["host"], "relay.example");
        assert_eq!(
            (mail.per_minute, mail.repetition),
            (None, Repetition::AtLeastOnce)
        );
        assert_eq!(
            (robot.per_minute, robot.repetition),
            (Some(20), Repetition::AtMostOnce)
        );
        let policy = definitions.policy.unwrap();
        assert_eq!(policy.accounts, ["mail", "ops_robot"]);
        assert_eq!(policy.urgent, ["3"]);
        assert_eq!(policy.critical, ["4"]);
        assert_eq!(policy.chains["3"], "default");
        assert_eq!(definitions.on_call.chains[0].name, "default");
        assert_eq!(definitions.on_call.rotas[0].name, "ops");
    }

    #[test]
    fn every_wrong_member_is_named() {
        for (from, to, expected) in [
            ("\"mail\"\n", "\"Mail\"\n", "`name` must have"),
            (
                "\"email\"",
                "\"fax\"",
                "account mail: `channel` must be one of email, dingtalk_robot",
            ),
            ("587", "0", "account mail: `port` must be"),
            (
                "port = 587",
                "prot = 587",
                "account mail: `prot` is not a setting",
            ),
            (
                "Desk <desk@example.com>",
                "desk",
                "account mail: `from` must be",
            ),
            (
                "\"dingtalk_robot\"",
                "\"dingtalk_robot\"\nper_minute = 0",
                "`per_minute` must be",
            ),
            (
                "[\"mail\", \"ops_robot\"]",
                "[\"mail\", \"mail\"]",
                "policy: `accounts` names an account twice",
            ),
            ("[\"3\"]", "[\"\"]", "policy: `urgent` must contain"),
            ("[\"4\"]", "[\" \"]", "policy: `critical` must contain"),
            (
                "urgent = [\"3\"]",
                "fallback = [\"mail\"]",
                "policy: `fallback` names the account mail, which `accounts` already names",
            ),
            (
                "urgent = [\"3\"]",
                "fallback = [\"sms\", \"sms\"]",
                "policy: `fallback` names an account twice",
            ),
            ("urgent = [\"3\"]", "urgnt = []", "unknown field `urgnt`"),
            (
                "chains = { \"3\"",
                "chains = { \" \"",
                "policy: `escalation.chains` must have keys",
            ),
            (
                "name = \"ops_robot\"",
                "name = \"mail\"",
                "account mail is defined twice",
            ),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = Definitions::read(&VALID.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
    }
}
