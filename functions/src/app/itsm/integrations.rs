//! Defines integrations and application kinds from a TOML file.

use std::collections::{BTreeMap, BTreeSet};

use domain::config::{ApplicationKind, Integration};
use domain::placeholder::placeholders;
use events::application_kind;
use events::integration::{self, PathForm};
use events::workflow::service_task::Pair;
use events::workflow::{Clause, Condition, Group, Join, Operator};
use events::{Event, Meta};
use infra::http::Url;
use infra::ledger::NoContext;
use infra::{CommandEnvelope, Error, ExecuteError, Kind, itsm};
use serde::Deserialize;
use serde_json::Value;

use crate::App;

/// Longest name of an integration or an application kind, in characters.
const NAME_MAX: usize = 64;
/// Longest time until an application expires, in days.
const DAYS_MAX: u16 = 365;

/// The content of a file of integrations.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(default)]
    integration: Vec<IntegrationEntry>,
    #[serde(default)]
    application_kind: Vec<KindEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntegrationEntry {
    name: String,
    kind: String,
    url: String,
    #[serde(default)]
    form: PathForm,
    app: String,
    user: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KindEntry {
    name: String,
    integration: String,
    service: i64,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    /// The values that the fields of the finished external ticket must have.
    granted: BTreeMap<String, Value>,
    days: u16,
    #[serde(default = "yes")]
    is_enabled: bool,
}

fn yes() -> bool {
    true
}

/// The checked content of a file of integrations.
#[derive(Debug, Default)]
pub struct Definitions {
    pub integrations: Vec<integration::Defined>,
    pub kinds: Vec<application_kind::Defined>,
}

impl Definitions {
    /// Reads and checks a file. The error is the English reason, with the entry and the member.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut definitions = Self::default();
        for entry in file.integration {
            definitions.integrations.push(integration_of(entry)?);
        }
        for entry in file.application_kind {
            definitions.kinds.push(kind_of(entry)?);
        }
        let names = definitions.integrations.iter().map(|one| &one.name);
        unique("integration", names)?;
        unique(
            "application_kind",
            definitions.kinds.iter().map(|one| &one.name),
        )?;
        Ok(definitions)
    }

    /// Stores all definitions. An application kind may name an integration that the desk already
    /// has. A definition that equals the stored definition adds no event.
    pub async fn store(&self, app: &App) -> Result<(), Error> {
        for defined in &self.integrations {
            define::<Integration>(app, &defined.name, defined).await?;
        }
        for defined in &self.kinds {
            if app
                .configuration
                .integration(&defined.integration)
                .await?
                .is_none()
            {
                return Err(Error::new(
                    Kind::Misconfigured,
                    format!(
                        "application_kind {}: integration {} does not exist",
                        defined.name, defined.integration
                    ),
                ));
            }
            define::<ApplicationKind>(app, &defined.name, defined).await?;
        }
        Ok(())
    }
}

async fn define<D>(app: &App, name: &str, defined: &D::Command) -> Result<(), Error>
where
    D: domain::Decider<Context = (), Lookup = domain::decider::Nothing>,
{
    let command_envelope = CommandEnvelope {
        stream: format!("{}-{name}", D::Event::AGGREGATE),
        command_id: app.ledger.fresh_id(),
        meta: Meta::system("setup", "setup"),
    };
    match app
        .ledger
        .execute::<D>(&command_envelope, defined, &NoContext)
        .await
    {
        Ok(_) => Ok(()),
        Err(ExecuteError::Technical(error)) => Err(error),
        Err(ExecuteError::Rejected(rejection)) => {
            Err(Error::new(Kind::Misconfigured, rejection.to_string()))
        }
    }
}

/// Returns the reason why a name cannot be part of a stream name.
fn check_name(kind: &str, name: &str) -> Result<(), String> {
    let is_valid = !name.is_empty()
        && name.len() <= NAME_MAX
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_valid {
        Ok(())
    } else {
        Err(format!(
            "{kind} {name:?}: `name` must have 1 to {NAME_MAX} lower-case letters, digits and underscores"
        ))
    }
}

fn unique<'a>(kind: &str, names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("{kind} {name} is defined twice"));
        }
    }
    Ok(())
}

fn integration_of(entry: IntegrationEntry) -> Result<integration::Defined, String> {
    let name = entry.name;
    check_name("integration", &name)?;
    if itsm::find(&entry.kind).is_none() {
        let known: Vec<&str> = itsm::ALL.iter().map(|itsm| itsm.name()).collect();
        return Err(format!(
            "integration {name}: `kind` must be one of {}, not {:?}",
            known.join(", "),
            entry.kind
        ));
    }
    let url = Url::parse(&entry.url).ok();
    let is_base = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.has_host()
    });
    if !is_base {
        return Err(format!(
            "integration {name}: `url` must be an http or https URL without a query"
        ));
    }
    for (member, value) in [("app", &entry.app), ("user", &entry.user)] {
        if value.trim().is_empty() || value.chars().any(char::is_control) {
            return Err(format!("integration {name}: `{member}` must not be empty"));
        }
    }
    Ok(integration::Defined {
        name,
        kind: entry.kind,
        url: entry.url,
        form: entry.form,
        app: entry.app,
        user: entry.user,
    })
}

fn kind_of(entry: KindEntry) -> Result<application_kind::Defined, String> {
    let name = entry.name;
    check_name("application_kind", &name)?;
    if !(1..=DAYS_MAX).contains(&entry.days) {
        return Err(format!(
            "application_kind {name}: `days` must be a number from 1 to {DAYS_MAX}"
        ));
    }
    if entry.granted.is_empty() {
        return Err(format!(
            "application_kind {name}: `granted` must name at least one field with its value"
        ));
    }
    if let Some(key) = entry.fields.iter().find_map(|(key, value)| {
        let is_open = value.contains("${") && placeholders(value).is_empty();
        is_open.then_some(key)
    }) {
        return Err(format!(
            "application_kind {name}: the placeholder in `fields.{key}` is incomplete"
        ));
    }
    let clause = |(key, value): (String, Value)| Clause {
        key,
        kind: "STRING".into(),
        condition: Operator::Equal,
        value,
    };
    Ok(application_kind::Defined {
        integration: entry.integration,
        service: entry.service,
        fields: entry
            .fields
            .into_iter()
            .map(|(key, value)| Pair { key, value })
            .collect(),
        granted: Condition {
            join: Join::And,
            expressions: vec![Group {
                join: Join::And,
                expressions: entry.granted.into_iter().map(clause).collect(),
            }],
        },
        days: entry.days,
        is_enabled: entry.is_enabled,
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = r#"
        [[integration]]
        name = "company_itsm"
        kind = "bk_itsm"
        url = "https://itsm.example.com"
        app = "bk_log"
        user = "admin"

        [[application_kind]]
        name = "log_collection"
        integration = "company_itsm"
        service = 18
        fields = { title = "${ticket_title}" }
        granted = { approval_result = "true" }
        days = 14
    "#;

    #[test]
    fn a_file_defines_integrations_and_kinds() {
        let definitions = Definitions::read(VALID).unwrap();
        assert_eq!(definitions.integrations[0].name, "company_itsm");
        assert_eq!(definitions.integrations[0].form, PathForm::Esb);
        let kind = &definitions.kinds[0];
        assert_eq!((kind.service, kind.days, kind.is_enabled), (18, 14, true));
        assert_eq!(kind.fields[0].value, "${ticket_title}");
        let clause = &kind.granted.expressions[0].expressions[0];
        assert_eq!(
            (clause.key.as_str(), &clause.value),
            ("approval_result", &"true".into())
        );
    }

    #[test]
    fn every_wrong_member_is_named() {
        for (from, to, expected) in [
            (
                "company_itsm\"\n        kind",
                "Company\"\n        kind",
                "`name` must have",
            ),
            (
                "\"bk_itsm\"",
                "\"jira\"",
                "`kind` must be one of bk_itsm, not \"jira\"",
            ),
            (
                "https://itsm.example.com",
                "itsm.example.com",
                "`url` must be",
            ),
            ("\"bk_log\"", "\" \"", "`app` must not be empty"),
            ("\"admin\"", "\"\"", "`user` must not be empty"),
            (
                "days = 14",
                "days = 0",
                "`days` must be a number from 1 to 365",
            ),
            (
                "{ approval_result = \"true\" }",
                "{}",
                "`granted` must name",
            ),
            (
                "${ticket_title}",
                "${ticket_title",
                "`fields.title` is incomplete",
            ),
            ("service = 18", "services = 18", "unknown field `services`"),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = Definitions::read(&VALID.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
        let twice = format!("{VALID}\n{VALID}");
        let reason = Definitions::read(&twice).unwrap_err();
        assert_eq!(reason, "integration company_itsm is defined twice");
    }
}
