//! Checks the members of an application kind (a type of tickets in an external ITSM), and adds the members of presets
//! and of the log platform.

use std::collections::BTreeMap;

use domain::itsm::application::APPROVE_RESULT;
use domain::placeholder::placeholders;
use events::application_kind::{self, Consequence, Discovery, StateTexts};
use events::workflow::service_task::Pair;
use events::workflow::{Clause, Condition, Group, Join, Operator};
use events::{AppCode, ServiceId};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::app::definition_files::check_name;

/// The application kinds that a file can use with `preset`.
const PRESETS: &str = include_str!("../presets.toml");
/// The preset to which the settings of the log platform belong.
const LOG_COLLECTION: &str = "log_collection";
/// Maximum number of days until an application (a ticket in an external ITSM) expires.
const DAYS_MAX: u16 = 365;

/// The settings of the log platform, under its own names (requirements/external-itsm.md, configuration). They apply to
/// the integrations and the application kinds of the same file that have no value of their own.
#[derive(Debug, Default, Deserialize)]
pub(super) struct LogPlatform {
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
    pub(super) root: Option<String>,
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

/// Returns the definition of an application kind from its members. An error is an English text with the name of the wrong
/// member.
pub(in crate::app::itsm) fn kind_from(
    members: Map<String, Value>,
) -> Result<application_kind::Defined, String> {
    kind_of(members, &LogPlatform::default())
}

/// Reads the members of an application kind. The members of the preset and of the log platform are used for members
/// that are absent.
pub(super) fn kind_of(
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
    if entry.granted.len() > 1 && entry.granted.contains_key(APPROVE_RESULT) {
        return Err(format!(
            "application_kind {name}: `granted` must not name fields of the ticket together with `{APPROVE_RESULT}`, because the external ITSM returns them in different responses"
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
