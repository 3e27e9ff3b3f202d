//! Reads definitions from a TOML file, and stores these definitions. The file defines integrations
//! (connections to other systems) and application kinds (types of tickets in external ITSMs).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::config::{ApplicationKind, Integration};
use domain::itsm::mapping;
use domain::placeholder::placeholders;
use events::AppCode;
use events::application_kind;
use events::integration::{self, CaseMapping, PathForm, UpdateSource, ValueSource};
use events::workflow::service_task::Pair;
use events::workflow::{Clause, Condition, Group, Join, Operator};
use infra::http::Url;
use infra::{Error, Kind, itsm};
use serde::Deserialize;
use serde_json::Value;

use crate::App;
use crate::app::definition_files::{check_name, define, unique};

/// The kind of an integration (a connection to another system) in which a client app sends cases as
/// JSON. A case is a record of the other system.
const GENERIC_JSON: &str = "generic_json";
/// Maximum number of days until an application (a ticket in an external ITSM) expires.
const DAYS_MAX: u16 = 365;

/// The content of a TOML file that defines integrations (connections to other systems) and
/// application kinds (types of tickets in external ITSMs).
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
    url: Option<String>,
    form: Option<PathForm>,
    app: Option<String>,
    user: Option<String>,
    #[serde(default)]
    senders: Vec<String>,
    /// The file path of a mapping file, which contains the rules for reading a case (a record of
    /// another system) from JSON. The path is relative to the TOML file that contains this entry.
    mapping: Option<PathBuf>,
}

/// The content of a mapping file. The file contains the rules for reading a case (a record of
/// another system) from JSON. Each rule is a JSON pointer such as `/id`, or a table with more
/// settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingFile {
    record: String,
    service: Short,
    requester: Short,
    created: Option<String>,
    update: Option<UpdateSource>,
    fields: BTreeMap<String, Short>,
}

/// The rule for reading one value of a case (a record of another system). The rule is a JSON
/// pointer such as `/id`, or a table with the members of [`ValueSource`].
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Short {
    Path(String),
    Source(ValueSource),
}

impl From<Short> for ValueSource {
    fn from(short: Short) -> Self {
        match short {
            Short::Path(path) => Self {
                path: Some(path),
                ..Self::default()
            },
            Short::Source(source) => source,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KindEntry {
    name: String,
    integration: String,
    service: i64,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    /// The field values that mean the approval of an application (a ticket in the external ITSM).
    /// The application is granted only if its finished ticket has all these values.
    granted: BTreeMap<String, Value>,
    days: u16,
    #[serde(default = "yes")]
    is_enabled: bool,
}

fn yes() -> bool {
    true
}

/// The checked definitions from a TOML file: integrations (connections to other systems) and
/// application kinds (types of tickets in external ITSMs).
#[derive(Debug, Default)]
pub struct Definitions {
    pub integrations: Vec<integration::Defined>,
    pub kinds: Vec<application_kind::Defined>,
}

impl Definitions {
    /// Reads and checks the text of a TOML file, and returns its definitions. The function
    /// `read_file` returns the text of a mapping file, or the reason why this file is unreadable.
    /// An error is an English text with the name of the wrong entry.
    pub fn read(
        text: &str,
        read_file: &dyn Fn(&Path) -> Result<String, String>,
    ) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut definitions = Self::default();
        for entry in file.integration {
            let mapping = match &entry.mapping {
                Some(path) => Some(mapping_of(&entry.name, path, read_file)?),
                None => None,
            };
            definitions
                .integrations
                .push(integration_of(entry, mapping)?);
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

    /// Stores all definitions from the TOML file. The integration of an application kind (a type of
    /// ticket in an external ITSM) must be among these definitions or already stored. If the same
    /// definition is already stored, no event is added.
    pub async fn store(&self, app: &App) -> Result<(), Error> {
        for defined in &self.integrations {
            define::<Integration>(app, &defined.name, defined).await?;
        }
        for defined in &self.kinds {
            if app
                .configuration
                .integration(&defined.integration)
                .await?
                .defined
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

fn mapping_of(
    name: &str,
    path: &Path,
    read_file: &dyn Fn(&Path) -> Result<String, String>,
) -> Result<CaseMapping, String> {
    let at = |reason: String| format!("integration {name}: mapping {}: {reason}", path.display());
    let text = read_file(path).map_err(at)?;
    let file: MappingFile = toml::from_str(&text).map_err(|error| at(error.to_string()))?;
    let mapping = CaseMapping {
        record: file.record,
        service: file.service.into(),
        requester: file.requester.into(),
        created: file.created,
        update: file.update,
        fields: file
            .fields
            .into_iter()
            .map(|(key, short)| (key, short.into()))
            .collect(),
    };
    mapping::check(&mapping).map_err(at)?;
    Ok(mapping)
}

fn integration_of(
    entry: IntegrationEntry,
    mapping: Option<CaseMapping>,
) -> Result<integration::Defined, String> {
    let name = &entry.name;
    check_name("integration", name)?;
    match entry.kind.as_str() {
        GENERIC_JSON => case_source(entry, mapping),
        kind if itsm::find(kind).is_some() => external_itsm(entry, mapping),
        kind => {
            let known = itsm::ALL.iter().map(|itsm| itsm.name());
            let known: Vec<&str> = known.chain([GENERIC_JSON]).collect();
            Err(format!(
                "integration {name}: `kind` must be one of {}, not {kind:?}",
                known.join(", ")
            ))
        }
    }
}

/// Returns the definition of an integration that receives cases (records of another system) as
/// JSON. The desk receives requests from the other system, but sends no requests to the other
/// system.
fn case_source(
    entry: IntegrationEntry,
    mapping: Option<CaseMapping>,
) -> Result<integration::Defined, String> {
    let name = entry.name;
    let unused = [
        ("url", entry.url.is_some()),
        ("form", entry.form.is_some()),
        ("app", entry.app.is_some()),
        ("user", entry.user.is_some()),
    ];
    if let Some((member, _)) = unused.iter().find(|(_, is_given)| *is_given) {
        return Err(format!(
            "integration {name}: `{member}` has no meaning for the kind {GENERIC_JSON}"
        ));
    }
    if entry.senders.is_empty() {
        return Err(format!(
            "integration {name}: `senders` must name the apps that may send cases"
        ));
    }
    if let Some(sender) = entry.senders.iter().find(|sender| sender.trim().is_empty()) {
        return Err(format!(
            "integration {name}: `senders` must contain app codes, not {sender:?}"
        ));
    }
    let Some(mapping) = mapping else {
        return Err(format!(
            "integration {name}: `mapping` must be the path of a mapping of cases"
        ));
    };
    Ok(integration::Defined {
        name,
        kind: entry.kind,
        url: String::new(),
        form: PathForm::default(),
        app: String::new(),
        user: String::new(),
        senders: entry.senders.into_iter().map(AppCode).collect(),
        mapping: Some(mapping),
    })
}

/// Returns the definition of an integration with an external ITSM. The desk creates applications
/// (tickets) in this ITSM.
fn external_itsm(
    entry: IntegrationEntry,
    mapping: Option<CaseMapping>,
) -> Result<integration::Defined, String> {
    let name = entry.name;
    if mapping.is_some() || !entry.senders.is_empty() {
        return Err(format!(
            "integration {name}: `senders` and `mapping` have no meaning for the kind {}",
            entry.kind
        ));
    }
    let given = entry.url.unwrap_or_default();
    let url = Url::parse(&given).ok();
    let is_base = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.has_host()
    });
    if !is_base {
        return Err(format!(
            "integration {name}: `url` must be an http or https URL without a query"
        ));
    }
    let (app, user) = (
        entry.app.unwrap_or_default(),
        entry.user.unwrap_or_default(),
    );
    for (member, value) in [("app", &app), ("user", &user)] {
        if value.trim().is_empty() || value.chars().any(char::is_control) {
            return Err(format!("integration {name}: `{member}` must not be empty"));
        }
    }
    Ok(integration::Defined {
        name,
        kind: entry.kind,
        url: given,
        form: entry.form.unwrap_or_default(),
        app,
        user,
        senders: Vec::new(),
        mapping: None,
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

    fn read(text: &str) -> Result<Definitions, String> {
        Definitions::read(text, &|_| Err("no mapping is expected".into()))
    }

    /// Reads a TOML file with definitions, and returns the definitions. In these tests, `mapping`
    /// is the content of the mapping file `cases.toml`.
    fn read_source(text: &str, mapping: &str) -> Result<Definitions, String> {
        Definitions::read(text, &|path| match path.to_str() {
            Some("cases.toml") => Ok(mapping.to_owned()),
            _ => Err("the file does not exist".into()),
        })
    }

    const SOURCE: &str = r#"
        [[integration]]
        name = "crm"
        kind = "generic_json"
        senders = ["crm_app"]
        mapping = "cases.toml"
    "#;
    const MAPPING: &str = r#"
        record = "/id"
        service = { path = "/type", values = { patrol = 7 } }
        requester = "/caller"
        update = { counter = "/revision" }
        [fields]
        title = "/title"
        origin = { value = "crm" }
    "#;

    #[test]
    fn a_source_of_cases_has_a_mapping_of_its_own() {
        let definitions = read_source(SOURCE, MAPPING).unwrap();
        let source = &definitions.integrations[0];
        assert_eq!(source.senders, [AppCode("crm_app".into())]);
        let mapping = source.mapping.as_ref().unwrap();
        assert_eq!(mapping.requester.path.as_deref(), Some("/caller"));
        assert_eq!(mapping.service.values["patrol"], 7);
        assert_eq!(mapping.fields["origin"].value, Some("crm".into()));
    }

    #[test]
    fn the_wrong_member_of_a_source_is_named() {
        for (from, to, expected) in [
            (
                "senders = [\"crm_app\"]",
                "",
                "`senders` must name the apps",
            ),
            ("\"crm_app\"", "\" \"", "`senders` must contain app codes"),
            ("mapping = \"cases.toml\"", "", "`mapping` must be the path"),
            (
                "cases.toml",
                "missing.toml",
                "mapping missing.toml: the file does not exist",
            ),
            (
                "senders",
                "url = \"https://crm.example.com\"\n        senders",
                "`url` has no meaning for the kind generic_json",
            ),
        ] {
            assert!(SOURCE.contains(from), "{from}");
            let reason = read_source(&SOURCE.replacen(from, to, 1), MAPPING).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
        for (from, to, expected) in [
            ("\"/id\"", "\"id\"", "`record` must be a JSON pointer"),
            ("record", "recod", "unknown field `recod`"),
            ("\"/caller\"", "{ }", "`requester` needs either"),
        ] {
            assert!(MAPPING.contains(from), "{from}");
            let reason = read_source(SOURCE, &MAPPING.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains("integration crm: mapping "), "{reason}");
            assert!(reason.contains(expected), "{to}: {reason}");
        }
    }

    #[test]
    fn a_file_defines_integrations_and_kinds() {
        let definitions = read(VALID).unwrap();
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
                "`kind` must be one of bk_itsm, generic_json, not \"jira\"",
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
            (
                "url = ",
                "senders = [\"a\"]\n        url = ",
                "`senders` and `mapping` have no meaning for the kind bk_itsm",
            ),
        ] {
            assert!(VALID.contains(from), "{from}");
            let reason = read(&VALID.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
        let twice = format!("{VALID}\n{VALID}");
        let reason = read(&twice).unwrap_err();
        assert_eq!(reason, "integration company_itsm is defined twice");
    }
}
