//! Reads the definitions of automation platforms, scripts and rules from a TOML file, and stores these
//! definitions.

use std::collections::{BTreeMap, BTreeSet};

use domain::condition::CLAUSES_MAX;
use domain::config::{Platform, Rule, Script};
use events::script::{Action, Approval, Body, Level, Limits, Parameter};
use events::workflow::service_task::Pair;
use events::workflow::{Clause, Group, Join, Operator};
use events::{RoleId, platform, rule, script};
use infra::accounts::Server;
use infra::{Error, Kind};
use serde::Deserialize;
use serde_json::Value;

use crate::App;
use crate::app::definition_files::{check_name, define, unique};
use crate::app::people::one_name;

/// The only supported kind of automation platform: an LDAP server, which contains user accounts.
const LDAP: &str = "ldap";
/// The name of the parameter that the action `unlock_account` requires. The value of this parameter is the
/// account to unlock.
const ACCOUNT: &str = "account";
/// Maximum length of the title of a script, in characters.
const TITLE_MAX: usize = 100;
/// The highest value that a definition can set as the time limit of a script, in seconds (one hour).
const TIMEOUT_S_MAX: u32 = 3_600;
/// The highest value that a definition can set as the time for the approval of a script, in minutes (one
/// week).
const APPROVAL_MIN_MAX: u32 = 7 * 24 * 60;
/// Maximum size of a shell script in bytes.
const CONTENT_BYTES_MAX: usize = 64 << 10;
/// The highest value that a definition can set as the memory limit of a shell script, in MiB.
const MEMORY_MIB_MAX: u32 = 4_096;
/// The highest value that a definition can set as the maximum number of processes of a shell script.
const PROCESSES_MAX: u32 = 1_024;
/// The highest value that a definition can set as the maximum size of the stored output of a shell script, in
/// bytes.
const OUTPUT_BYTES_MAX: u32 = 64 << 10;

/// The content of a TOML file that defines automation platforms, scripts and rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    platform: Vec<PlatformEntry>,
    #[serde(default)]
    script: Vec<ScriptEntry>,
    #[serde(default)]
    rule: Vec<RuleEntry>,
}

/// One automation platform in the TOML file. The field `settings` contains all members of the TOML entry that
/// have no field of their own in this struct.
#[derive(Debug, Deserialize)]
struct PlatformEntry {
    name: String,
    kind: String,
    #[serde(flatten)]
    settings: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptEntry {
    name: String,
    version: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    parameters: Vec<Parameter>,
    /// The built-in action of the script, such as `unlock_account`. A script has either `action` or `shell`,
    /// and not both.
    action: Option<Action>,
    platform: Option<String>,
    shell: Option<String>,
    level: Option<Level>,
    memory_mib: Option<u32>,
    processes: Option<u32>,
    output_bytes: Option<u32>,
    approval: Option<ApprovalEntry>,
    #[serde(default = "five_minutes")]
    timeout_s: u32,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct ApprovalEntry {
    #[serde(default)]
    people: Vec<String>,
    role: Option<i64>,
    #[serde(default = "half_an_hour")]
    expires_after_min: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    name: String,
    #[serde(default = "yes")]
    is_enabled: bool,
    #[serde(default)]
    order: i64,
    node: String,
    #[serde(default)]
    when: Vec<ClauseEntry>,
    script: String,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    #[serde(default)]
    form: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClauseEntry {
    key: String,
    #[serde(default = "equal")]
    operator: Operator,
    value: Value,
    #[serde(default = "string", rename = "type")]
    kind: String,
}

fn yes() -> bool {
    true
}
fn five_minutes() -> u32 {
    300
}
fn half_an_hour() -> u32 {
    30
}
fn equal() -> Operator {
    Operator::Equal
}
fn string() -> String {
    "STRING".into()
}

/// A script from the TOML file. The field `approval` still contains the user names of the people who may
/// approve the script. The function `store` converts these names to person ids.
#[derive(Clone, Debug, PartialEq)]
struct ReadScript {
    defined: script::Defined,
    approval: Option<ApprovalEntry>,
}

/// The checked content of a TOML file with platforms, scripts and rules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    platforms: Vec<platform::Defined>,
    scripts: Vec<ReadScript>,
    rules: Vec<rule::Defined>,
}

impl Definitions {
    /// Reads and checks the text of a TOML file. If the text is invalid, returns an English text that names the
    /// wrong entry and the wrong member of this entry.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let platforms: Vec<_> = read_all(file.platform, platform)?;
        let scripts: Vec<_> = read_all(file.script, script)?;
        let rules: Vec<_> = read_all(file.rule, rule)?;
        unique("platform", platforms.iter().map(|one| &one.name))?;
        unique("script", scripts.iter().map(|one| &one.defined.name))?;
        unique("rule", rules.iter().map(|one| &one.name))?;
        Ok(Self {
            platforms,
            scripts,
            rules,
        })
    }

    /// Returns the kind and the name of each definition as one text, such as `rule unlock`.
    pub fn named(&self) -> Vec<String> {
        let platforms = self.platforms.iter().map(|one| ("platform", &one.name));
        let scripts = self.scripts.iter().map(|one| ("script", &one.defined.name));
        let rules = self.rules.iter().map(|one| ("rule", &one.name));
        let all = platforms.chain(scripts).chain(rules);
        all.map(|(kind, name)| format!("{kind} {name}")).collect()
    }

    /// Stores all definitions from the TOML file. If a definition is equal to the stored definition, no event is added.
    /// Returns an error if a script uses an unknown platform or role, or if a rule uses an unknown script. A platform
    /// or a script is unknown if this platform or script is neither in the file nor stored.
    pub async fn store(&self, app: &App) -> Result<(), Error> {
        let wrong = |reason: String| Err(Error::new(Kind::Misconfigured, reason));
        for defined in &self.platforms {
            define::<Platform>(app, &defined.name, defined).await?;
        }
        for read in &self.scripts {
            let mut defined = read.defined.clone();
            if let Body::Steps { platform, .. } = &defined.body
                && app.configuration.platform(platform).await?.is_none()
            {
                return wrong(format!(
                    "script {}: `platform` names {platform}, which is not defined",
                    defined.name
                ));
            }
            if let Some(approval) = &read.approval {
                let role = approval.role.map(RoleId);
                if let Some(role) = role
                    && app.configuration.role(role).await?.0.is_none()
                {
                    return wrong(format!(
                        "script {}: `approval.role` names the role {role}, which does not exist",
                        defined.name
                    ));
                }
                let found = app.people.find_all(&approval.people).await?;
                if let Some(absent) = app.people.first_absent(&found).await? {
                    return wrong(format!(
                        "script {}: `approval.people` names {}, who is not in the directory",
                        defined.name,
                        app.people.name(&absent).await?
                    ));
                }
                defined.approval = Some(Approval {
                    people: app.people.pids(&approval.people).await?,
                    role,
                    expires_after_min: approval.expires_after_min,
                });
            }
            define::<Script>(app, &defined.name, &defined).await?;
        }
        for defined in &self.rules {
            let Some(script) = app.configuration.script(&defined.script).await? else {
                return wrong(format!(
                    "rule {}: `script` names {}, which is not defined",
                    defined.name, defined.script
                ));
            };
            check_rule(defined, &script)
                .or_else(|reason| wrong(format!("rule {}: {reason}", defined.name)))?;
            define::<Rule>(app, &defined.name, defined).await?;
        }
        Ok(())
    }
}

/// Checks and converts all entries of one list in the TOML file. Returns the error text of the first invalid
/// entry.
fn read_all<E, T>(
    entries: Vec<E>,
    check: impl Fn(E) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    entries.into_iter().map(check).collect()
}

fn platform(entry: PlatformEntry) -> Result<platform::Defined, String> {
    let PlatformEntry {
        name,
        kind,
        settings,
    } = entry;
    check_name("platform", &name)?;
    if kind != LDAP {
        return Err(format!(
            "platform {name}: `kind` must be {LDAP}, not {kind:?}"
        ));
    }
    Server::read(&settings, "").map_err(|reason| format!("platform {name}: {reason}"))?;
    Ok(platform::Defined {
        name,
        kind,
        settings,
    })
}

fn script(entry: ScriptEntry) -> Result<ReadScript, String> {
    check_name("script", &entry.name)?;
    let named = entry.name.clone();
    checked_script(entry).map_err(|reason| format!("script {named}: {reason}"))
}

fn checked_script(entry: ScriptEntry) -> Result<ReadScript, String> {
    if entry.version.trim().is_empty() {
        return Err("`version` is empty".into());
    }
    if entry.title.chars().count() > TITLE_MAX {
        return Err(format!("`title` is longer than {TITLE_MAX} characters"));
    }
    if !(1..=TIMEOUT_S_MAX).contains(&entry.timeout_s) {
        return Err(format!(
            "`timeout_s` must be a number from 1 to {TIMEOUT_S_MAX}"
        ));
    }
    unique("parameter", entry.parameters.iter().map(|one| &one.name))?;
    let blank = entry
        .parameters
        .iter()
        .any(|one| one.name.trim().is_empty());
    if blank {
        return Err("a parameter has an empty `name`".into());
    }
    if let Some(approval) = &entry.approval {
        check_approval(approval)?;
    }
    Ok(ReadScript {
        approval: entry.approval.clone(),
        defined: script::Defined {
            body: body(&entry)?,
            name: entry.name,
            version: entry.version,
            title: entry.title,
            parameters: entry.parameters,
            approval: None,
            timeout_s: entry.timeout_s,
        },
    })
}

fn check_approval(approval: &ApprovalEntry) -> Result<(), String> {
    if approval.people.is_empty() && approval.role.is_none() {
        return Err("`approval` must contain `people` or `role`".into());
    }
    if let Some(wrong) = approval.people.iter().find(|name| one_name(name).is_none()) {
        return Err(format!("`approval.people`: {wrong:?} is not a user name"));
    }
    if !(1..=APPROVAL_MIN_MAX).contains(&approval.expires_after_min) {
        return Err(format!(
            "`approval.expires_after_min` must be a number from 1 to {APPROVAL_MIN_MAX}"
        ));
    }
    Ok(())
}

/// Returns the executable part of a script. The parameter `entry` contains either a built-in action with its platform,
/// or a shell script with its sandbox level and its limits. Returns an error text if `entry` is invalid.
fn body(entry: &ScriptEntry) -> Result<Body, String> {
    let limits = [
        ("level", entry.level.is_some()),
        ("memory_mib", entry.memory_mib.is_some()),
        ("processes", entry.processes.is_some()),
        ("output_bytes", entry.output_bytes.is_some()),
    ];
    match (&entry.action, &entry.shell) {
        (Some(action), None) => {
            if let Some((name, _)) = limits.iter().find(|(_, is_given)| *is_given) {
                return Err(format!("`{name}` is allowed only together with `shell`"));
            }
            let Action::UnlockAccount = action;
            if entry.parameters.iter().all(|one| one.name != ACCOUNT) {
                return Err(format!(
                    "the action needs a parameter with the name {ACCOUNT:?}"
                ));
            }
            Ok(Body::Steps {
                action: *action,
                platform: entry
                    .platform
                    .clone()
                    .ok_or("`platform` is missing; the action runs on a platform")?,
            })
        }
        (None, Some(content)) => {
            if entry.platform.is_some() {
                return Err("`platform` is allowed only together with `action`".into());
            }
            if content.trim().is_empty() || content.len() > CONTENT_BYTES_MAX {
                return Err(format!("`shell` must have 1 to {CONTENT_BYTES_MAX} bytes"));
            }
            let number = |name: &str, given: Option<u32>, default: u32, max: u32| {
                let number = given.unwrap_or(default);
                if (1..=max).contains(&number) {
                    Ok(number)
                } else {
                    Err(format!("`{name}` must be a number from 1 to {max}"))
                }
            };
            Ok(Body::Shell {
                content: content.clone(),
                level: entry.level.unwrap_or(Level::Network),
                limits: Limits {
                    memory_mib: number("memory_mib", entry.memory_mib, 256, MEMORY_MIB_MAX)?,
                    processes: number("processes", entry.processes, 64, PROCESSES_MAX)?,
                    output_bytes: number(
                        "output_bytes",
                        entry.output_bytes,
                        16 << 10,
                        OUTPUT_BYTES_MAX,
                    )?,
                },
            })
        }
        _ => Err("write either `action` or `shell`".into()),
    }
}

fn rule(entry: RuleEntry) -> Result<rule::Defined, String> {
    check_name("rule", &entry.name)?;
    let named = entry.name.clone();
    let wrong = |reason: String| Err(format!("rule {named}: {reason}"));
    if entry.node.trim().is_empty() {
        return wrong("`node` is empty; it must be the name of a node".into());
    }
    if entry.when.len() > CLAUSES_MAX {
        return wrong(format!("`when` has more than {CLAUSES_MAX} entries"));
    }
    if let Some(at) = entry.when.iter().position(|one| one.key.trim().is_empty()) {
        return wrong(format!("entry {} of `when` has an empty `key`", at + 1));
    }
    let clause = |one: ClauseEntry| Clause {
        key: one.key,
        kind: one.kind,
        condition: one.operator,
        value: one.value,
    };
    let pairs = |map: BTreeMap<String, String>| {
        map.into_iter()
            .map(|(key, value)| Pair { key, value })
            .collect()
    };
    Ok(rule::Defined {
        name: entry.name,
        is_enabled: entry.is_enabled,
        order: entry.order,
        node: entry.node,
        condition: Group {
            join: Join::And,
            expressions: entry.when.into_iter().map(clause).collect(),
        },
        script: entry.script,
        parameters: pairs(entry.parameters),
        form: pairs(entry.form),
    })
}

/// Checks the parameters that a rule passes to its script. Returns an English error text if the rule passes an unknown
/// parameter or does not pass a required parameter. The text contains the name of this parameter.
fn check_rule(rule: &rule::Defined, script: &script::Defined) -> Result<(), String> {
    let given: BTreeSet<&str> = rule.parameters.iter().map(|one| one.key.as_str()).collect();
    let known: BTreeSet<&str> = script
        .parameters
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    if let Some(unknown) = given.difference(&known).next() {
        return Err(format!(
            "`parameters.{unknown}` is not a parameter of the script {}",
            script.name
        ));
    }
    let required = script.parameters.iter().filter(|one| one.is_required);
    for parameter in required {
        if !given.contains(parameter.name.as_str()) {
            return Err(format!(
                "`parameters.{}` is missing; the script {} requires it",
                parameter.name, script.name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = r#"
        [[platform]]
        name = "company_directory"
        kind = "ldap"
        url = "ldaps://ldap.example.com"
        base = "ou=people,dc=example,dc=com"
        user = "cn=desk,dc=example,dc=com"

        [[script]]
        name = "unlock_account"
        version = "1.2.0"
        action = "unlock_account"
        platform = "company_directory"
        parameters = [{ name = "account" }]
        approval = { people = ["wangwu"], expires_after_min = 30 }

        [[script]]
        name = "report"
        version = "1"
        shell = "df -h"
        memory_mib = 64

        [[rule]]
        name = "unlock"
        node = "处理"
        when = [{ key = "kind", value = "unlock" }]
        script = "unlock_account"
        parameters = { account = "${account}" }
    "#;

    #[test]
    fn a_file_is_read_with_its_defaults() {
        let read = Definitions::read(VALID).expect("valid");
        let expected = [
            "platform company_directory",
            "script unlock_account",
            "script report",
            "rule unlock",
        ];
        assert_eq!(read.named(), expected);
        let Body::Shell { level, limits, .. } = &read.scripts[1].defined.body else {
            panic!("a shell script")
        };
        assert_eq!(
            (*level, limits.memory_mib, limits.processes),
            (Level::Network, 64, 64)
        );
        assert_eq!(read.rules[0].condition.expressions.len(), 1);
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for (from, to, expected) in [
            (
                "kind = \"ldap\"",
                "kind = \"x\"",
                "platform company_directory: `kind`",
            ),
            (
                "url = \"ldaps://ldap.example.com\"",
                "",
                "platform company_directory: `url` is missing",
            ),
            (
                "version = \"1.2.0\"",
                "version = \" \"",
                "script unlock_account: `version` is empty",
            ),
            (
                "action = \"unlock_account\"",
                "",
                "script unlock_account: write either",
            ),
            (
                "platform = \"company_directory\"",
                "",
                "script unlock_account: `platform` is missing",
            ),
            (
                "platform = \"company_directory\"",
                "level = \"files\"",
                "script unlock_account: `level` is allowed only",
            ),
            (
                "parameters = [{ name = \"account\" }]",
                "",
                "the action needs a parameter",
            ),
            (
                "people = [\"wangwu\"]",
                "people = []",
                "`approval` must contain",
            ),
            (
                "people = [\"wangwu\"]",
                "people = [\"a,b\"]",
                "is not a user name",
            ),
            (
                "expires_after_min = 30",
                "expires_after_min = 0",
                "`approval.expires_after_min`",
            ),
            (
                "shell = \"df -h\"",
                "shell = \" \"",
                "script report: `shell` must have",
            ),
            (
                "memory_mib = 64",
                "memory_mib = 0",
                "script report: `memory_mib`",
            ),
            (
                "memory_mib = 64",
                "timeout_s = 0",
                "script report: `timeout_s`",
            ),
            ("memory_mib = 64", "colour = 1", "unknown field `colour`"),
            (
                "name = \"report\"",
                "name = \"unlock_account\"",
                "script unlock_account is defined twice",
            ),
            (
                "node = \"处理\"",
                "node = \"\"",
                "rule unlock: `node` is empty",
            ),
            (
                "key = \"kind\"",
                "key = \"\"",
                "rule unlock: entry 1 of `when`",
            ),
            (
                "name = \"unlock\"",
                "name = \"Unlock\"",
                "rule \"Unlock\": `name`",
            ),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = Definitions::read(&VALID.replacen(from, to, 1)).expect_err(expected);
            assert!(reason.contains(expected), "{to}: {reason}");
        }
    }

    #[test]
    fn a_rule_gives_the_parameters_of_its_script() {
        let read = Definitions::read(VALID).expect("valid");
        let (rule, script) = (&read.rules[0], &read.scripts[0].defined);
        assert_eq!(check_rule(rule, script), Ok(()));
        let mut less = rule.clone();
        less.parameters.clear();
        let reason = check_rule(&less, script).expect_err("a parameter is missing");
        assert!(
            reason.contains("`parameters.account` is missing"),
            "{reason}"
        );
        let mut more = rule.clone();
        more.parameters.push(Pair {
            key: "force".into(),
            value: "1".into(),
        });
        let reason = check_rule(&more, script).expect_err("an unknown parameter");
        assert!(
            reason.contains("`parameters.force` is not a parameter"),
            "{reason}"
        );
    }
}
