//! Compares the mapping of a source of cases with the desk: its services, forms, people and integrations. A wrong name in a
//! mapping would otherwise be visible only when a record arrives.

use std::collections::BTreeSet;

use domain::config::{App, Integration, Service};
use domain::workflow::Workflow;
use events::ServiceId;
use events::integration::{CaseMapping, Defined, ValueSource};
use infra::{Error, Ledger};
use serde_json::Value;

use super::cases::bindable;

/// A difference between a mapping and the desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub text: String,
    pub advice: &'static str,
    /// True if records can possibly be processed all the same, for example because the desk learns the person later.
    pub is_warning: bool,
}

fn wrong(text: String, advice: &'static str) -> Difference {
    Difference {
        text,
        advice,
        is_warning: false,
    }
}

fn warning(text: String, advice: &'static str) -> Difference {
    Difference {
        is_warning: true,
        ..wrong(text, advice)
    }
}

/// Returns all differences between the newest mapping of an integration and the desk. The texts are in English. An
/// integration without a mapping has none.
pub async fn differences(ledger: &Ledger, defined: &Defined) -> Result<Vec<Difference>, Error> {
    let Some(mapping) = &defined.mapping else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    if defined.kind == "servicenow_csm" && !defined.url.is_empty() && defined.user.is_empty() {
        found.push(warning(
            "`user` is not given, so the secret is sent as a token and not as a password".into(),
            "add `user`, or store an OAuth token as the secret",
        ));
    }
    services(ledger, mapping, &mut found).await?;
    people(ledger, mapping, &mut found).await?;
    if let Some(further) = &mapping.crm {
        let stream = format!("integration-{}", further.integration);
        let integration = ledger.load::<Integration>(&stream).await?.aggregate.0;
        if let Err(reason) = bindable(&integration) {
            found.push(wrong(
                format!("`crm.integration`: {} {reason}", further.integration),
                "define this integration, or correct the name in the mapping",
            ));
        }
    }
    Ok(found)
}

/// Returns a warning for each app in `senders` that is not registered.
pub async fn unknown_senders(ledger: &Ledger, defined: &Defined) -> Result<Vec<Difference>, Error> {
    let mut found = Vec::new();
    for sender in &defined.senders {
        let app = ledger.load::<App>(&format!("app-{sender}")).await?;
        if app.aggregate.0.0.is_none() {
            found.push(warning(
                format!("the sender {sender} is not registered"),
                "register the app with `ledgerdesk app add`, or correct `senders`",
            ));
        }
    }
    Ok(found)
}

/// Returns the fixed values that a rule can give.
fn values_of(source: &ValueSource) -> impl Iterator<Item = &Value> {
    let fixed = source.value.iter().chain(&source.default);
    fixed.chain(source.values.values())
}

async fn services(
    ledger: &Ledger,
    mapping: &CaseMapping,
    found: &mut Vec<Difference>,
) -> Result<(), Error> {
    let ids: BTreeSet<i64> = values_of(&mapping.service)
        .filter_map(|value| match value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_i64(),
        })
        .collect();
    for id in ids {
        let stream = format!("service-{}", ServiceId(id));
        let Some(service) = ledger.load::<Service>(&stream).await?.aggregate.0.0 else {
            found.push(wrong(
                format!("`service`: there is no service {id}"),
                "correct the number; GET /v1/services lists the services",
            ));
            continue;
        };
        if !service.is_enabled {
            found.push(warning(
                format!("`service`: the service {id} is disabled"),
                "enable the service, or correct the number",
            ));
        }
        let stream = format!("workflow-{}", service.workflow);
        let workflow = ledger.load::<Workflow>(&stream).await?.aggregate.0;
        let Some(deployed) = workflow.versions.get(&service.workflow_version) else {
            continue;
        };
        let absent = mapping.fields.keys();
        let absent = absent.filter(|key| deployed.definition.field(key).is_none());
        found.extend(absent.map(|key| {
            wrong(
                format!("`fields.{key}`: the form of service {id} has no field {key}"),
                "correct the name of the field; GET /v1/services/{service}/form shows the form",
            )
        }));
    }
    Ok(())
}

async fn people(
    ledger: &Ledger,
    mapping: &CaseMapping,
    found: &mut Vec<Difference>,
) -> Result<(), Error> {
    let named = mapping.assignee.iter();
    let named = named.flat_map(|assignee| assignee.people.keys());
    let named = named.map(|person| (format!("`assignee.people.{person}`"), person.as_str()));
    for (member, person) in named {
        if ledger.keys.find(person).await?.is_none() {
            found.push(warning(
                format!("{member}: the desk does not know the user {person}"),
                "check the user name; a person who never used the desk is not known yet",
            ));
        }
    }
    Ok(())
}
