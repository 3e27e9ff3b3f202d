//! Changes integrations (connections to other systems) and application kinds over the API. The members are those of the
//! file for `ledgerdesk setup --integrations`, and the same checks apply.

use std::collections::BTreeMap;

use domain::config::{ApplicationKind, Integration};
use events::workflow::service_task::Pair;
use events::{Meta, application_kind, integration};
use infra::Error;
use serde_json::{Map, Value, json};

use super::integrations::{self, MappingFile};
use super::{gate, sources};
use crate::App;
use crate::app::administration::{AdministrationError, define};
use crate::app::rate;

/// The reason why a definition was not stored.
#[derive(Debug, thiserror::Error)]
pub enum NotDefined {
    /// The text names the wrong member.
    #[error("{0}")]
    Wrong(String),
    #[error(transparent)]
    Rejected(#[from] AdministrationError),
    #[error(transparent)]
    Technical(#[from] Error),
}

/// Returns the members of an integration, as they are written in the file.
pub fn members_of_integration(defined: &integration::Defined) -> Map<String, Value> {
    let mut members = match serde_json::to_value(defined) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    // The form has a meaning only for an external ITSM, and has a default.
    let has_app = infra::source::find(&defined.kind).is_some_and(infra::source::Source::has_app);
    if infra::itsm::find(&defined.kind).is_none() && !has_app {
        members.remove("form");
    }
    members
}

/// Returns the members of an application kind, as they are written in the file.
pub fn members_of_kind(defined: &application_kind::Defined) -> Map<String, Value> {
    let fields = |pairs: &[Pair]| -> BTreeMap<String, String> {
        let pair = |pair: &Pair| (pair.key.clone(), pair.value.clone());
        pairs.iter().map(pair).collect()
    };
    let groups = defined.granted.expressions.iter();
    let granted: Map<String, Value> = groups
        .flat_map(|group| &group.expressions)
        .map(|clause| (clause.key.clone(), clause.value.clone()))
        .collect();
    let consequence = defined.consequence.as_ref().map(|consequence| {
        json!({ "service": consequence.service, "fields": fields(&consequence.fields) })
    });
    let members = json!({
        "name": defined.name, "integration": defined.integration, "service": defined.service,
        "discovery": defined.discovery, "fields": fields(&defined.fields), "required": defined.required,
        "senders": defined.senders, "consequence": consequence, "states": defined.states, "granted": granted,
        "days": defined.days, "is_enabled": defined.is_enabled,
    });
    let members = members.as_object().cloned().unwrap_or_default();
    let is_given = |value: &Value| !value.is_null();
    members
        .into_iter()
        .filter(|(_, value)| is_given(value))
        .collect()
}

/// Defines or changes an integration. Members that are not given keep their values, and the value null removes a member.
pub async fn define_integration(
    app: &App,
    name: &str,
    given: Map<String, Value>,
    meta: &Meta,
) -> Result<(), NotDefined> {
    let known = app.configuration.integration(name).await?;
    let known = known.defined.as_ref().map(members_of_integration);
    let mut members = changed(known.unwrap_or_default(), given, name);
    let mapping = match members.remove("mapping") {
        None => None,
        Some(mapping) => {
            let wrong = |reason: String| {
                NotDefined::Wrong(format!("integration {name}: mapping: {reason}"))
            };
            let file: MappingFile =
                serde_json::from_value(mapping).map_err(|error| wrong(error.to_string()))?;
            Some(file.checked().map_err(wrong)?)
        }
    };
    let defined = integrations::integration_from(members, mapping).map_err(NotDefined::Wrong)?;
    define::<Integration>(app, meta, format!("integration-{name}"), &defined).await?;
    integrate(app, &defined, meta.clone()).await?;
    Ok(())
}

/// Defines or changes an application kind. Members that are not given keep their values, and the value null removes a
/// member.
pub async fn define_kind(
    app: &App,
    name: &str,
    given: Map<String, Value>,
    meta: &Meta,
) -> Result<(), NotDefined> {
    let known = app.configuration.application_kind(name).await?;
    let known = known.as_ref().map(members_of_kind);
    let members = changed(known.unwrap_or_default(), given, name);
    let defined = integrations::kind_from(members).map_err(NotDefined::Wrong)?;
    let integration = app.configuration.integration(&defined.integration).await?;
    if integration.defined.is_none() {
        return Err(NotDefined::Wrong(format!(
            "application_kind {name}: integration {} does not exist",
            defined.integration
        )));
    }
    define::<ApplicationKind>(app, meta, format!("application_kind-{name}"), &defined).await?;
    Ok(())
}

/// Starts or stops what the definition of an integration needs: the count of its requests, the regular reads of the source,
/// and the comparison of its cases.
pub async fn integrate(app: &App, defined: &integration::Defined, meta: Meta) -> Result<(), Error> {
    if defined.per_minute.is_some() {
        rate::start(app, &gate::budget_of(&defined.name)).await?;
    }
    sources::start_or_stop(app, &defined.name, meta).await
}

/// Returns the known members with the given changes.
fn changed(
    mut members: Map<String, Value>,
    given: Map<String, Value>,
    name: &str,
) -> Map<String, Value> {
    members.extend(given);
    members.retain(|_, value| !value.is_null());
    members.insert("name".into(), name.into());
    members
}
