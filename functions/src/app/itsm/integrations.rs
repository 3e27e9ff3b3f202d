//! Reads definitions from a TOML file, and stores these definitions. The file defines integrations
//! (connections to other systems) and application kinds (types of tickets in external ITSMs).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::config::{ApplicationKind, Integration};
use domain::itsm::mapping;
use domain::placeholder::placeholders;
use events::application_kind::{self, Consequence, Discovery, StateTexts};
use events::integration::{
    self, AssigneeMapping, Authority, Carrier, CaseEnd, CaseMapping, FurtherRecord, PathForm,
    UpdateSource, ValueSource, Webhook,
};
use events::person::Language;
use events::workflow::service_task::Pair;
use events::workflow::{Clause, Condition, Group, Join, Operator};
use events::{AppCode, Meta, ServiceId};
use infra::http::Url;
use infra::keys::Keys;
use infra::source::Source;
use infra::{Error, Kind, itsm, source};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::administration;
use crate::App;
use crate::app::definition_files::{check_name, define, unique};

/// Maximum number of requests in one minute. The times of the requests in the last minute are stored.
const PER_MINUTE_MAX: u32 = 6_000;
/// Maximum number of minutes between two reads of a source of cases.
const PULL_MINUTES_MAX: u32 = 1_440;
/// The application kinds that a file can use with `preset`.
const PRESETS: &str = include_str!("presets.toml");
/// The preset to which the settings of the log platform belong.
const LOG_COLLECTION: &str = "log_collection";
/// Maximum number of days until an application (a ticket in an external ITSM) expires.
const DAYS_MAX: u16 = 365;

/// Returns the secret with which the desk identifies itself to an external system. If the key store has no readable
/// secret, the inner `Err` is the name under which the key store must contain it.
pub async fn secret_of(
    keys: &dyn Keys,
    integration: &str,
) -> Result<Result<String, String>, Error> {
    let name = format!("integration/{integration}");
    let secret = keys.secret(&name).await?;
    let secret = secret.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(secret.ok_or(name))
}

/// Returns the reason why no request can be sent if the key store has no secret with this name.
pub fn no_secret(name: &str) -> String {
    format!(
        "the secret {name} is not in the key store; run `ledgerdesk setup --secret {name}=FILE`"
    )
}

/// The content of a TOML file that defines integrations (connections to other systems) and
/// application kinds (types of tickets in external ITSMs).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    integration: Vec<IntegrationEntry>,
    #[serde(default)]
    application_kind: Vec<Map<String, Value>>,
    #[serde(flatten)]
    log_platform: LogPlatform,
}

/// The settings of the log platform, under its own names (requirements/external-itsm.md, configuration). They apply to
/// the integrations and the application kinds of the same file that have no value of their own.
#[derive(Debug, Default, Deserialize)]
struct LogPlatform {
    /// The name of the switch in `feature` for application kinds with the preset `log_collection`.
    #[serde(rename = "FEATURE_COLLECTOR_ITSM", default = "feature_name")]
    feature_name: String,
    /// The name of the member of the switch that contains the id of the service.
    #[serde(rename = "ITSM_SERVICE_ID", default = "service_key")]
    service_key: String,
    /// The id of the service, if the switch does not contain it.
    #[serde(rename = "COLLECTOR_ITSM_SERVICE_ID")]
    service: Option<i64>,
    /// The base URL of the external ITSM, with or without the path of its operations.
    #[serde(rename = "ITSM_APIGATEWAY_ROOT_V2")]
    root: Option<String>,
    #[serde(default)]
    feature: BTreeMap<String, Map<String, Value>>,
}

fn feature_name() -> String {
    "collect_itsm".into()
}

fn service_key() -> String {
    "itsm_service_id".into()
}

impl LogPlatform {
    /// Returns the members that the settings add to an application kind of log collection. An error is the reason why
    /// a setting is wrong.
    fn of_kind(&self) -> Result<Map<String, Value>, String> {
        let mut members = Map::new();
        if let Some(service) = self.service {
            members.insert("service".into(), service.into());
        }
        let Some(switch) = self.feature.get(&self.feature_name) else {
            return Ok(members);
        };
        for (key, value) in switch {
            match (key.as_str(), value) {
                (key, Value::Number(id)) if key == self.service_key && id.is_i64() => {
                    members.insert("service".into(), value.clone());
                }
                ("is_enabled", Value::Bool(_)) => {
                    members.insert("is_enabled".into(), value.clone());
                }
                _ => {
                    return Err(format!(
                        "feature {}: {key:?} must be `is_enabled` with a boolean, or {:?} with the id of a service",
                        self.feature_name, self.service_key
                    ));
                }
            }
        }
        Ok(members)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IntegrationEntry {
    name: String,
    kind: String,
    url: Option<String>,
    form: Option<PathForm>,
    carrier: Option<Carrier>,
    app: Option<String>,
    user: Option<String>,
    #[serde(default)]
    senders: Vec<String>,
    webhook: Option<Webhook>,
    pull_minutes: Option<u32>,
    per_minute: Option<u32>,
    filter: Option<String>,
    reconcile_minutes: Option<u32>,
    status_authority: Option<Authority>,
    assignee_authority: Option<Authority>,
    language: Option<Language>,
    /// The file path of a mapping file, which contains the rules for reading a case (a record of
    /// another system) from JSON. The path is relative to the TOML file that contains this entry.
    mapping: Option<PathBuf>,
}

/// The content of a mapping file. The file contains the rules for reading a case (a record of
/// another system) from JSON. Each rule is a JSON pointer such as `/id`, or a table with more
/// settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MappingFile {
    record: String,
    service: Option<Short>,
    requester: Option<Short>,
    created: Option<String>,
    update: Option<UpdateSource>,
    status: Option<String>,
    #[serde(default)]
    write_back: BTreeMap<String, Value>,
    #[serde(default)]
    write_also: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(default)]
    ends: BTreeMap<String, CaseEnd>,
    #[serde(default)]
    notes: bool,
    assignee: Option<AssigneeMapping>,
    crm: Option<FurtherRecord>,
    #[serde(default)]
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
    service: Option<i64>,
    discovery: Option<Discovery>,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    /// The keys of the values that an application over the API must contain.
    #[serde(default)]
    required: Vec<String>,
    /// The client apps that may apply over the API. An empty list permits every app.
    #[serde(default)]
    senders: Vec<String>,
    consequence: Option<ConsequenceEntry>,
    #[serde(default)]
    states: StateTexts,
    /// The field values that mean the approval of an application (a ticket in the external ITSM).
    /// The application is granted only if its finished ticket has all these values.
    granted: BTreeMap<String, Value>,
    days: u16,
    #[serde(default = "yes")]
    is_enabled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsequenceEntry {
    service: i64,
    #[serde(default)]
    fields: BTreeMap<String, String>,
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
        for mut entry in file.integration {
            if itsm::find(&entry.kind).is_some() && entry.url.is_none() {
                entry.url.clone_from(&file.log_platform.root);
            }
            let mapping = match &entry.mapping {
                Some(path) => Some(mapping_of(&entry.name, path, read_file)?),
                None => None,
            };
            definitions
                .integrations
                .push(integration_of(entry, mapping)?);
        }
        for members in file.application_kind {
            definitions
                .kinds
                .push(kind_of(members, &file.log_platform)?);
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
            let meta = Meta::system("setup", "setup");
            administration::integrate(app, defined, meta).await?;
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
    file.checked().map_err(at)
}

impl MappingFile {
    /// Returns the mapping if it is valid. An error is the reason as an English text.
    pub(super) fn checked(self) -> Result<CaseMapping, String> {
        let mapping = CaseMapping {
            record: self.record,
            service: self.service.map(Into::into).unwrap_or_default(),
            requester: self.requester.map(Into::into).unwrap_or_default(),
            created: self.created,
            update: self.update,
            status: self.status,
            write_back: self.write_back,
            write_also: self.write_also,
            ends: self.ends,
            notes: self.notes,
            assignee: self.assignee,
            crm: self.crm,
            fields: self
                .fields
                .into_iter()
                .map(|(key, short)| (key, short.into()))
                .collect(),
        };
        mapping::check(&mapping)?;
        Ok(mapping)
    }
}

/// Returns the definition of an integration from its members. An error is an English text with the name of the wrong
/// member.
pub(super) fn integration_from(
    members: Map<String, Value>,
    mapping: Option<CaseMapping>,
) -> Result<integration::Defined, String> {
    let entry: IntegrationEntry =
        serde_json::from_value(members.into()).map_err(|error| error.to_string())?;
    integration_of(entry, mapping)
}

/// Returns the definition of an application kind from its members. An error is an English text with the name of the wrong
/// member.
pub(super) fn kind_from(members: Map<String, Value>) -> Result<application_kind::Defined, String> {
    kind_of(members, &LogPlatform::default())
}

fn integration_of(
    entry: IntegrationEntry,
    mapping: Option<CaseMapping>,
) -> Result<integration::Defined, String> {
    let name = &entry.name;
    check_name("integration", name)?;
    match entry.kind.as_str() {
        kind if itsm::find(kind).is_some() => external_itsm(entry, mapping),
        kind if let Some(source) = source::find(kind) => case_source(entry, mapping, source),
        kind => {
            let known = itsm::ALL.iter().map(|itsm| itsm.name());
            let sources = source::ALL.iter().map(|source| source.name());
            let known: Vec<&str> = known.chain(sources).collect();
            Err(format!(
                "integration {name}: `kind` must be one of {}, not {kind:?}",
                known.join(", ")
            ))
        }
    }
}

/// Returns an error if a member is given that has no meaning for the kind of integration.
fn reject_unused(name: &str, kind: &str, unused: &[(&str, bool)]) -> Result<(), String> {
    match unused.iter().find(|(_, is_given)| *is_given) {
        Some((member, _)) => Err(format!(
            "integration {name}: `{member}` has no meaning for the kind {kind}"
        )),
        None => Ok(()),
    }
}

/// Returns the definition of an integration that is a source of cases (records of another system). Client apps send the
/// records, or the other system sends messages, or the desk reads the records.
fn case_source(
    entry: IntegrationEntry,
    mapping: Option<CaseMapping>,
    source: &dyn Source,
) -> Result<integration::Defined, String> {
    let name = entry.name;
    let wrong = |reason: String| Err(format!("integration {name}: {reason}"));
    let has_api = source.api().is_some();
    let unused = [
        ("url", !has_api && entry.url.is_some()),
        ("form", entry.form.is_some()),
        ("carrier", entry.carrier.is_some()),
        ("app", entry.app.is_some()),
        ("user", !has_api && entry.user.is_some()),
        (
            "pull_minutes",
            source.changes().is_none() && entry.pull_minutes.is_some(),
        ),
        ("per_minute", !has_api && entry.per_minute.is_some()),
        (
            "filter",
            entry.filter.is_some() && (source.needs_user() || entry.pull_minutes.is_none()),
        ),
        (
            "reconcile_minutes",
            !has_api && entry.reconcile_minutes.is_some(),
        ),
        (
            "status_authority",
            !has_api && entry.status_authority.is_some(),
        ),
        (
            "assignee_authority",
            !has_api && entry.assignee_authority.is_some(),
        ),
        ("language", !has_api && entry.language.is_some()),
    ];
    reject_unused(&name, &entry.kind, &unused)?;
    let is_received =
        !entry.senders.is_empty() || entry.webhook.is_some() || entry.pull_minutes.is_some();
    let opens_tickets = mapping.as_ref().is_none_or(mapping::opens_tickets);
    if !is_received && opens_tickets {
        return wrong(
            "`senders` must name the apps that may send cases, or `webhook` or `pull_minutes` is required"
                .into(),
        );
    }
    if let Some(sender) = entry.senders.iter().find(|sender| sender.trim().is_empty()) {
        return wrong(format!("`senders` must contain app codes, not {sender:?}"));
    }
    if entry.webhook == Some(Webhook::Signed) && source.signature().is_none() {
        return wrong(format!(
            "`webhook` must be \"unsigned\", because {} does not sign its messages",
            entry.kind
        ));
    }
    if let Some(minutes) = entry.pull_minutes
        && !(1..=PULL_MINUTES_MAX).contains(&minutes)
    {
        return wrong(format!(
            "`pull_minutes` must be a number from 1 to {PULL_MINUTES_MAX}"
        ));
    }
    if let Some(minutes) = entry.reconcile_minutes
        && !(1..=PULL_MINUTES_MAX).contains(&minutes)
    {
        return wrong(format!(
            "`reconcile_minutes` must be a number from 1 to {PULL_MINUTES_MAX}"
        ));
    }
    check_per_minute(&name, entry.per_minute)?;
    let Some(mapping) = mapping else {
        return wrong("`mapping` must be the path of a mapping of cases".into());
    };
    if !opens_tickets && is_received {
        return wrong(
            "the mapping must have `service`, `requester` and `fields`, because the desk opens tickets for the records"
                .into(),
        );
    }
    let is_written = mapping::writes(&mapping);
    if !opens_tickets && !is_written && entry.reconcile_minutes.is_none() {
        return wrong(
            "the mapping must have `write_back`, `notes` or `assignee`, because it opens no tickets"
                .into(),
        );
    }
    let written = [
        ("write_back", !mapping.write_back.is_empty()),
        ("notes", mapping.notes),
        ("assignee", mapping.assignee.is_some()),
    ];
    if let Some((member, _)) = written.iter().find(|(_, is_given)| !has_api && *is_given) {
        return wrong(format!(
            "the mapping must have no `{member}`, because this version does not write to {}",
            entry.kind
        ));
    }
    let writes_assignee = source
        .api()
        .is_some_and(infra::source::Api::writes_assignee);
    if mapping.assignee.is_some() && !writes_assignee {
        return wrong(format!(
            "the mapping must have no `assignee`, because the desk cannot write the assignee of {}",
            entry.kind
        ));
    }
    if mapping.assignee.is_none() && entry.assignee_authority.is_some() {
        return wrong("`assignee_authority` needs `assignee` in the mapping".into());
    }
    if mapping
        .crm
        .as_ref()
        .is_some_and(|crm| crm.integration == name)
    {
        return wrong("the mapping must name another integration in `crm.integration`".into());
    }
    if entry.webhook.is_some() && source.changes().is_none() && mapping.update.is_none() {
        return wrong(
            "the mapping must have `update`: the same message again changes nothing, so a record that returns to an earlier content needs a counter or a time"
                .into(),
        );
    }
    if entry.reconcile_minutes.is_some()
        && mapping.assignee.is_none()
        && (mapping.status.is_none() || mapping.write_back.is_empty() && mapping.ends.is_empty())
    {
        return wrong(
            "`reconcile_minutes` needs `status`, and `write_back` or `ends`, or needs `assignee`, in the mapping"
                .into(),
        );
    }
    let needs_account =
        entry.pull_minutes.is_some() || entry.reconcile_minutes.is_some() || is_written;
    let (url, user) = if needs_account {
        let url = checked_url(&name, entry.url.unwrap_or_default())?;
        let user = entry.user.unwrap_or_default();
        // Without a user, the secret is a token.
        if source.needs_user() && user.trim().is_empty()
            || user.chars().any(char::is_control)
            || user.contains(':')
        {
            return wrong("`user` must be the account of the desk, without a colon".into());
        }
        (url, user)
    } else {
        (
            entry.url.unwrap_or_default(),
            entry.user.unwrap_or_default(),
        )
    };
    Ok(integration::Defined {
        name,
        kind: entry.kind,
        url,
        user,
        senders: entry.senders.into_iter().map(AppCode).collect(),
        webhook: entry.webhook,
        pull_minutes: entry.pull_minutes,
        per_minute: entry.per_minute,
        filter: entry.filter.unwrap_or_default(),
        reconcile_minutes: entry.reconcile_minutes,
        status_authority: entry.status_authority.unwrap_or_default(),
        assignee_authority: entry.assignee_authority,
        language: entry.language.unwrap_or_default(),
        mapping: Some(mapping),
        ..integration::Defined::default()
    })
}

/// Checks the limit of the number of requests in one minute.
fn check_per_minute(name: &str, limit: Option<u32>) -> Result<(), String> {
    match limit {
        Some(limit) if !(1..=PER_MINUTE_MAX).contains(&limit) => Err(format!(
            "integration {name}: `per_minute` must be a number from 1 to {PER_MINUTE_MAX}"
        )),
        _ => Ok(()),
    }
}

/// Returns a base URL if it is valid.
fn checked_url(name: &str, given: String) -> Result<String, String> {
    let url = Url::parse(&given).ok();
    let is_base = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.has_host()
    });
    if is_base {
        Ok(given)
    } else {
        Err(format!(
            "integration {name}: `url` must be an http or https URL without a query"
        ))
    }
}

/// Returns the definition of an integration with an external ITSM. The desk creates applications
/// (tickets) in this ITSM.
fn external_itsm(
    entry: IntegrationEntry,
    mapping: Option<CaseMapping>,
) -> Result<integration::Defined, String> {
    let name = entry.name;
    let unused = [
        ("senders", !entry.senders.is_empty()),
        ("mapping", mapping.is_some()),
        ("webhook", entry.webhook.is_some()),
        ("pull_minutes", entry.pull_minutes.is_some()),
        ("filter", entry.filter.is_some()),
        ("reconcile_minutes", entry.reconcile_minutes.is_some()),
        ("status_authority", entry.status_authority.is_some()),
        ("assignee_authority", entry.assignee_authority.is_some()),
        ("language", entry.language.is_some()),
    ];
    reject_unused(&name, &entry.kind, &unused)?;
    check_per_minute(&name, entry.per_minute)?;
    let given = entry.url.unwrap_or_default();
    // The log platform configures the base URL with the path of the operations. This path also shows the form.
    let (given, of_url) = [
        ("/api/c/compapi/v2/itsm", PathForm::Esb),
        ("/v2/itsm", PathForm::Apigw),
    ]
    .into_iter()
    .find_map(|(path, form)| {
        let base = given.trim_end_matches('/').strip_suffix(path)?;
        Some((base.to_owned(), Some(form)))
    })
    .unwrap_or((given, None));
    let given = checked_url(&name, given)?;
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
        form: entry.form.or(of_url).unwrap_or_default(),
        carrier: entry.carrier.unwrap_or_default(),
        per_minute: entry.per_minute,
        app,
        user,
        ..integration::Defined::default()
    })
}

/// Reads the members of an application kind. The members of the preset and of the log platform are used for members
/// that are absent.
fn kind_of(
    mut members: Map<String, Value>,
    log_platform: &LogPlatform,
) -> Result<application_kind::Defined, String> {
    let name = members.get("name").and_then(Value::as_str);
    let name = name.unwrap_or_default().to_owned();
    check_name("application_kind", &name)?;
    let at = |reason: String| format!("application_kind {name}: {reason}");
    if let Some(preset) = members.remove("preset") {
        let chosen = preset_of(&preset).map_err(at)?;
        let defaults = if preset == LOG_COLLECTION {
            merged(log_platform.of_kind()?, chosen)
        } else {
            chosen
        };
        members = merged(members, defaults);
    }
    let entry: KindEntry =
        serde_json::from_value(members.into()).map_err(|error| at(error.to_string()))?;
    checked_kind(entry)
}

/// Returns the members of a preset. An error is the reason why the preset does not exist.
fn preset_of(name: &Value) -> Result<Map<String, Value>, String> {
    let mut presets: BTreeMap<String, Map<String, Value>> =
        toml::from_str(PRESETS).map_err(|error| error.to_string())?;
    let known = presets.keys().cloned().collect::<Vec<_>>().join(", ");
    let preset = name.as_str().and_then(|name| presets.remove(name));
    preset.ok_or_else(|| format!("`preset` must be one of {known}, not {name}"))
}

/// Returns the members, and the defaults for absent members. A service that is configured replaces a search for the
/// service. The members of `fields` are merged.
fn merged(members: Map<String, Value>, defaults: Map<String, Value>) -> Map<String, Value> {
    let mut all = defaults;
    if members.contains_key("service") {
        all.remove("discovery");
    }
    if members.contains_key("discovery") {
        all.remove("service");
    }
    for (key, value) in members {
        match (all.get_mut(&key), value) {
            (Some(Value::Object(fields)), Value::Object(own)) if key == "fields" => {
                fields.extend(own);
            }
            (_, value) => {
                all.insert(key, value);
            }
        }
    }
    all
}

fn checked_kind(entry: KindEntry) -> Result<application_kind::Defined, String> {
    let name = entry.name;
    if entry.service.is_some() == entry.discovery.is_some() {
        return Err(format!(
            "application_kind {name}: either `service` or `discovery` is required"
        ));
    }
    if entry.senders.iter().any(|sender| sender.trim().is_empty()) {
        return Err(format!(
            "application_kind {name}: `senders` must contain app codes"
        ));
    }
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
    let of_consequence = entry.consequence.iter().flat_map(|one| &one.fields);
    if let Some(key) = entry
        .fields
        .iter()
        .chain(of_consequence)
        .find_map(|(key, value)| {
            let is_open = value.contains("${") && placeholders(value).is_empty();
            is_open.then_some(key)
        })
    {
        return Err(format!(
            "application_kind {name}: the placeholder in `fields.{key}` is incomplete"
        ));
    }
    let pairs = |fields: BTreeMap<String, String>| -> Vec<Pair> {
        let pair = |(key, value)| Pair { key, value };
        fields.into_iter().map(pair).collect()
    };
    let consequence = entry.consequence.map(|one| Consequence {
        service: ServiceId(one.service),
        fields: pairs(one.fields),
    });
    let clause = |(key, value): (String, Value)| Clause {
        key,
        kind: "STRING".into(),
        condition: Operator::Equal,
        value,
    };
    Ok(application_kind::Defined {
        integration: entry.integration,
        service: entry.service,
        discovery: entry.discovery,
        required: entry.required,
        senders: entry.senders.into_iter().map(AppCode).collect(),
        consequence,
        states: entry.states,
        fields: pairs(entry.fields),
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
                "form = \"esb\"\n        senders",
                "`form` has no meaning for the kind generic_json",
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
    fn the_wrong_member_of_what_is_written_is_named() {
        let written = "status = \"/s\"\nnotes = true\n\
            assignee = { path = \"/owner\", people = { lisi = \"li.si\" } }\n\
            crm = { integration = \"erp\", record = \"/case\" }\n\
            write_back = { FINISHED = \"closed\" }\n";
        let source = SOURCE.replacen("senders", "url = \"https://a.example.com\"\nsenders", 1);
        let mapping = format!("{written}{MAPPING}");
        let definitions = read_source(&source, &mapping).unwrap();
        let defined = &definitions.integrations[0];
        assert_eq!(defined.assignee_authority, None);
        let read = defined.mapping.as_ref().unwrap();
        assert!(read.notes);
        assert_eq!(read.assignee.as_ref().unwrap().people["lisi"], "li.si");
        assert_eq!(read.crm.as_ref().unwrap().integration, "erp");
        let without_url = read_source(SOURCE, &mapping).unwrap_err();
        assert!(without_url.contains("`url` must be"), "{without_url}");
        for (from, to, expected) in [
            ("\"/owner\"", "\"owner\"", "`assignee.path` must be"),
            ("{ lisi = \"li.si\" }", "{}", "`assignee.people` must"),
            ("\"/case\"", "\"case\"", "`crm.record` must be"),
            (
                "\"erp\"",
                "\"crm\"",
                "another integration in `crm.integration`",
            ),
            ("notes = true", "notes = 1", "notes"),
        ] {
            assert!(mapping.contains(from), "{from}");
            let reason = read_source(&source, &mapping.replacen(from, to, 1)).unwrap_err();
            assert!(reason.contains(expected), "{to}: {reason}");
        }
        let authority = SOURCE.replacen("senders", "assignee_authority = \"person\"\nsenders", 1);
        let reason = read_source(&authority, MAPPING).unwrap_err();
        assert!(
            reason.contains("needs `assignee` in the mapping"),
            "{reason}"
        );
        let atlas = source.replacen("generic_json", "atlas", 1);
        let reason = read_source(&atlas, &mapping).unwrap_err();
        assert!(
            reason.contains("cannot write the assignee of atlas"),
            "{reason}"
        );
        let monitor = SOURCE.replacen("generic_json", "bk_monitor", 1);
        let notes = format!("notes = true\n{MAPPING}");
        let reason = read_source(&monitor, &notes).unwrap_err();
        assert!(reason.contains("must have no `notes`"), "{reason}");
    }

    #[test]
    fn an_integration_that_only_gets_writes_needs_no_form() {
        let only = SOURCE.replacen(
            "senders = [\"crm_app\"]",
            "url = \"https://a.example.com\"",
            1,
        );
        let mapping = "record = \"/id\"\nstatus = \"/s\"\nwrite_back = { FINISHED = \"closed\" }";
        let definitions = read_source(&only, mapping).unwrap();
        assert!(definitions.integrations[0].senders.is_empty());
        let received = SOURCE.replacen("senders", "url = \"https://a.example.com\"\nsenders", 1);
        let reason = read_source(&received, mapping).unwrap_err();
        assert!(
            reason.contains("must have `service`, `requester` and `fields`"),
            "{reason}"
        );
        let nothing = read_source(&only, "record = \"/id\"").unwrap_err();
        assert!(nothing.contains("because it opens no tickets"), "{nothing}");
        let opens = read_source(&only, MAPPING).unwrap_err();
        assert!(opens.contains("`senders` must name the apps"), "{opens}");
    }

    #[test]
    fn a_file_defines_integrations_and_kinds() {
        let definitions = read(VALID).unwrap();
        assert_eq!(definitions.integrations[0].name, "company_itsm");
        assert_eq!(definitions.integrations[0].form, PathForm::Esb);
        let kind = &definitions.kinds[0];
        assert_eq!(
            (kind.service, kind.days, kind.is_enabled),
            (Some(18), 14, true)
        );
        assert_eq!(kind.fields[0].value, "${ticket_title}");
        let clause = &kind.granted.expressions[0].expressions[0];
        assert_eq!(
            (clause.key.as_str(), &clause.value),
            ("approval_result", &"true".into())
        );
    }

    #[test]
    fn a_preset_and_the_settings_of_the_log_platform_fill_absent_members() {
        let text = |settings: &str, more: &str| {
            format!(
                r#"{settings}
                [[integration]]
                name = "company_itsm"
                kind = "bk_itsm"
                app = "bk_log"
                user = "admin"
                [[application_kind]]
                name = "collect"
                preset = "log_collection"
                integration = "company_itsm"
                {more}"#
            )
        };
        let root = "ITSM_APIGATEWAY_ROOT_V2 = \"https://paas.example.com/api/c/compapi/v2/itsm/\"";
        let definitions = read(&text(root, "")).unwrap();
        let integration = &definitions.integrations[0];
        assert_eq!(
            (integration.url.as_str(), integration.form),
            ("https://paas.example.com", PathForm::Esb)
        );
        let kind = &definitions.kinds[0];
        let found = kind.discovery.as_ref().unwrap();
        assert_eq!(
            (kind.service, found.display_role.as_str()),
            (None, "LOG_SEARCH")
        );
        assert_eq!(kind.states.granted, "采集接入完成");
        assert!(kind.required.contains(&"log_keep_days".to_owned()));
        let gateway = root.replace("/api/c/compapi/v2/itsm/", "/prod/v2/itsm");
        let definitions = read(&text(&gateway, "fields = { title = \"t\" }")).unwrap();
        assert_eq!(definitions.integrations[0].form, PathForm::Apigw);
        assert_eq!(
            definitions.kinds[0].fields.len(),
            1,
            "the title is replaced"
        );

        let service = |settings: &str, more: &str| {
            let kind = read(&text(&format!("{root}\n{settings}"), more))?
                .kinds
                .remove(0);
            assert_eq!(kind.discovery.is_none(), kind.service.is_some());
            Ok::<_, String>((kind.service, kind.is_enabled))
        };
        let id = "COLLECTOR_ITSM_SERVICE_ID = 18";
        assert_eq!(service(id, ""), Ok((Some(18), true)));
        let switch =
            format!("{id}\n[feature.collect_itsm]\nitsm_service_id = 19\nis_enabled = false");
        assert_eq!(service(&switch, ""), Ok((Some(19), false)));
        assert_eq!(service(&switch, "service = 20"), Ok((Some(20), false)));
        let renamed =
            "FEATURE_COLLECTOR_ITSM = \"f\"\nITSM_SERVICE_ID = \"id\"\n[feature.f]\nid = 21";
        assert_eq!(service(renamed, ""), Ok((Some(21), true)));
        for (settings, more, expected) in [
            (
                "[feature.collect_itsm]\nitsm_service = 19",
                "",
                "feature collect_itsm: \"itsm_service\" must be",
            ),
            ("ITSM_SERVICE = 1", "", "unknown field"),
            (
                "",
                "consequence = { service = 1, field = {} }",
                "unknown field `field`",
            ),
            (
                "",
                "consequence = { service = 1, fields = { a = \"${b\" } }",
                "`fields.a` is incomplete",
            ),
            ("", "senders = [\"\"]", "`senders` must contain app codes"),
            ("", "discovery = {}", "missing field `display_type`"),
            (
                "",
                "states = { applied = \"x\" }",
                "unknown field `applied`",
            ),
        ] {
            let reason = service(settings, more).unwrap_err();
            assert!(reason.contains(expected), "{settings} {more}: {reason}");
        }
        let unknown = text(root, "").replace("log_collection", "logs");
        let reason = read(&unknown).unwrap_err();
        assert!(
            reason.contains(
                "`preset` must be one of log_collection, storage_expansion, not \"logs\""
            ),
            "{reason}"
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
                "\"bk_itsn\"",
                "`kind` must be one of bk_itsm, generic_json, atlas, bk_monitor, django_helpdesk, jira, servicenow, zammad, not \"bk_itsn\"",
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
                "service = 18",
                "",
                "either `service` or `discovery` is required",
            ),
            (
                "url = ",
                "senders = [\"a\"]\n        url = ",
                "`senders` has no meaning for the kind bk_itsm",
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
