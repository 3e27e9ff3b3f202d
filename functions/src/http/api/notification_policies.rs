//! Handles notification policies in the API `/v1`. Superusers read the policy and define new versions. The desk uses only
//! the policy `default`.

use axum::http::Method;
use events::app::Scope;
use events::notification_policy::Occasion;
use events::preference::{Category, Frequency};
use serde::Serialize;
use serde_json::Value;

use super::admin::reads_operations;
use super::notifications::LANGUAGES;
use super::own_subscriptions::CLAUSE;
use super::problem::{ApiResult, Problem};
use super::reply::ok;
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, get, put, segments};
use super::shape::{COUNT, INTEGER, Member, Shape, optional, quoted, required};
#[cfg(test)]
use super::stored_definitions::definition_schema;
use super::stored_definitions::{TEXTS, VERSION, define};
use crate::app::notifications::definition_changes::{self, PolicyVersion};
use crate::app::notifications::definition_documents;
use crate::app::notifications::definitions::{DEFAULT_POLICY, DefinitionKind};

const CATEGORIES: Shape = Shape::List(&Shape::Words(Category::NAMES));
const BAND: Shape = Shape::Words(&["critical", "high", "medium", "low"]);

const POLICY: &[Member] = &[
    VERSION,
    required("accounts", TEXTS),
    optional("fallback", TEXTS),
    optional("urgent", TEXTS),
    optional("critical", TEXTS),
    optional("operators", TEXTS),
    optional("bands", Shape::Map(&BAND)),
    optional("rules", Shape::List(&Shape::Object(RULE))),
    optional("team", Shape::List(&Shape::Object(TEAM))),
    optional("subscription", Shape::List(&Shape::Object(SUBSCRIPTION))),
    optional(
        "escalation",
        Shape::Object(&[optional("chains", Shape::Map(&Shape::Text))]),
    ),
    optional(
        "insight",
        Shape::Object(&[
            optional("feedback_one_in", COUNT),
            optional("apply_winner", Shape::Flag),
            optional("learn_times", Shape::Flag),
            optional("learn_channels", Shape::Flag),
        ]),
    ),
    optional("chat_groups", Shape::Object(CHAT_GROUPS)),
    optional("perishable", TEXTS),
    optional("single_publisher", Shape::Flag),
    optional("system_name", Shape::Text),
    optional("support_email", Shape::Text),
];
const RULE: &[Member] = &[
    optional("categories", CATEGORIES),
    optional("bands", Shape::List(&BAND)),
    optional("channels", TEXTS),
    optional("floor", Shape::Words(&["immediate", "batch"])),
    optional("cap", Shape::Words(&["batch", "off"])),
];
const TEAM: &[Member] = &[
    required("department", Shape::Text),
    optional(
        "quiet",
        Shape::Object(&[required("from", Shape::Text), required("to", Shape::Text)]),
    ),
    optional("calendar", Shape::Text),
    optional("channels", Shape::Map(&Shape::Object(CHOICE))),
    optional("aggregation", Shape::Flag),
];
const CHOICE: &[Member] = &[
    optional("frequency", Shape::Words(Frequency::NAMES)),
    optional("batch_times", TEXTS),
    optional("categories", CATEGORIES),
];
const SUBSCRIPTION: &[Member] = &[
    required("name", Shape::Text),
    optional("people", TEXTS),
    optional("role", INTEGER),
    optional("on", Shape::List(&Shape::Words(Occasion::NAMES))),
    optional("when", Shape::List(&CLAUSE)),
    optional("load_above", COUNT),
];
const CHAT_GROUPS: &[Member] = &[
    required("account", Shape::Text),
    optional("priorities", TEXTS),
    optional("categories", Shape::List(&INTEGER)),
    optional("messages", CATEGORIES),
    optional("language", Shape::Words(LANGUAGES)),
    optional("keep", Shape::Flag),
    optional("remarks", Shape::Words(&["none", "addressed"])),
];

const OPERATIONS: &[Operation] = &[
    get(
        "/v1/notification-policies",
        "lists notification policies; the desk uses only the policy `default`; for superusers",
    )
    .returning::<Policies>(),
    get(
        "/v1/notification-policies/{policy}",
        "shows the newest version of a notification policy; for superusers",
    )
    .returning::<ShownPolicy>(),
    put(
        "/v1/notification-policies/{policy}",
        "defines a new version of a notification policy, which decides the next messages; `version` is the version that was read; for superusers",
        POLICY,
    )
    .returning::<ShownPolicy>(),
];

/// All notification policies.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationPolicies")
)]
struct Policies {
    notification_policies: Vec<ShownPolicy>,
}

/// A notification policy.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "NotificationPolicy")
)]
struct ShownPolicy {
    name: String,
    /// The number of the definition. The first definition has number 1.
    version: u32,
    /// The members that a change of the policy takes.
    #[cfg_attr(test, schemars(schema_with = "policy_schema"))]
    definition: Value,
}

#[cfg(test)]
fn policy_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    definition_schema(POLICY)
}

/// The operations on notification policies, and the function that handles them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Admin,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match (&call.method, segments(&call.path).as_slice()) {
            (_, ["notification-policies"]) => all(&request).await,
            (&Method::PUT, ["notification-policies", name]) => change(&request, name).await,
            (_, ["notification-policies", name]) => {
                reads_operations(&request).await?;
                one(&request, name).await
            }
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn all(request: &Asked) -> ApiResult {
    reads_operations(request).await?;
    let policy = definition_changes::policy(&request.app).await?;
    Ok(ok(&Policies {
        notification_policies: policy.into_iter().map(shown).collect(),
    }))
}

async fn one(request: &Asked, name: &str) -> ApiResult {
    let policy = definition_changes::policy(&request.app).await?;
    let policy = policy.filter(|policy| policy.defined.name == name);
    let policy = policy.ok_or_else(|| missing(name))?;
    Ok(ok(&shown(policy)))
}

async fn change(request: &Asked, name: &str) -> ApiResult {
    if name != DEFAULT_POLICY {
        reads_operations(request).await?;
        return Err(missing(name));
    }
    define(request, DefinitionKind::Policy, name).await?;
    one(request, name).await
}

fn missing(name: &str) -> Problem {
    Problem::not_found(format!(
        "there is no notification policy {}; the desk uses only the policy `{DEFAULT_POLICY}`",
        quoted(name)
    ))
}

fn shown(policy: PolicyVersion) -> ShownPolicy {
    ShownPolicy {
        version: policy.number,
        definition: definition_documents::policy(&policy.defined),
        name: policy.defined.name,
    }
}
