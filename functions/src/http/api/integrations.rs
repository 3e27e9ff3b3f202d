//! Handles integrations (connections to other systems) and application kinds in the API `/v1`. Only superusers may use
//! these operations. Secrets are not part of the API: `ledgerdesk setup --secret` stores them.

use axum::http::Method;
use events::app::Scope;
use events::{application_kind, integration};
use serde::Serialize;
use serde_json::{Map, Value};

use super::admin::{changes_configuration, check_code, same};
use super::problem::{ApiResult, Problem};
use super::reply::ok;
use super::request::Asked;
use super::resource::{Answer, Call, Operation, Resource, get, put, segments};
use super::shape::{INTEGER, Member, Shape, optional};
use crate::app::itsm::administration::{self, NotDefined};
use crate::app::itsm::{integrations, sources};

const TEXT: Shape = Shape::Nullable(&Shape::Text);
const NUMBER: Shape = Shape::Nullable(&Shape::Integer(1, 1_000_000));
const TEXTS: Shape = Shape::List(&Shape::Text);
const OBJECT: Shape = Shape::Nullable(&Shape::Map(&Shape::Any));

const INTEGRATION: &[Member] = &[
    optional("kind", Shape::Text),
    optional("url", TEXT),
    optional("former_urls", TEXTS),
    optional("form", Shape::Nullable(&Shape::Words(&["esb", "apigw"]))),
    optional(
        "carrier",
        Shape::Nullable(&Shape::Words(&["both", "header", "body"])),
    ),
    optional("app", TEXT),
    optional("user", TEXT),
    optional("senders", TEXTS),
    optional("callback_networks", TEXTS),
    optional(
        "webhook",
        Shape::Nullable(&Shape::Words(&["signed", "unsigned"])),
    ),
    optional("pull_minutes", NUMBER),
    optional("per_minute", NUMBER),
    optional("reconcile_minutes", NUMBER),
    optional("shift_ends", TEXTS),
    optional("zone", TEXT),
    optional("filter", TEXT),
    optional("list", OBJECT),
    optional(
        "status_authority",
        Shape::Nullable(&Shape::Words(&["person", "desk", "source"])),
    ),
    optional(
        "assignee_authority",
        Shape::Nullable(&Shape::Words(&["person", "desk", "source"])),
    ),
    optional("language", Shape::Nullable(&Shape::Words(&["zh-CN", "en"]))),
    optional("mapping", OBJECT),
];

const KIND: &[Member] = &[
    optional("preset", Shape::Text),
    optional("integration", Shape::Text),
    optional("service", Shape::Nullable(&INTEGER)),
    optional("discovery", OBJECT),
    optional("fields", Shape::Map(&Shape::Text)),
    optional("required", TEXTS),
    optional("senders", TEXTS),
    optional("consequence", OBJECT),
    optional("states", OBJECT),
    optional("granted", Shape::Map(&Shape::Plain)),
    optional("days", Shape::Integer(1, 365)),
    optional("is_enabled", Shape::Flag),
];

const OPERATIONS: &[Operation] = &[
    get("/v1/integrations", "lists integrations; for superusers").returning::<Integrations>(),
    get(
        "/v1/integrations/{integration}",
        "shows an integration with the path of its address for messages",
    )
    .returning::<IntegrationDetail>(),
    put(
        "/v1/integrations/{integration}",
        "defines or changes an integration; null removes a member",
        INTEGRATION,
    )
    .returning::<IntegrationDetail>(),
    get(
        "/v1/application-kinds",
        "lists application kinds; for superusers",
    )
    .returning::<Kinds>(),
    get("/v1/application-kinds/{kind}", "shows an application kind").returning::<Kind>(),
    put(
        "/v1/application-kinds/{kind}",
        "defines or changes an application kind; null removes a member",
        KIND,
    )
    .returning::<Kind>(),
];

/// All integrations.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Integrations {
    integrations: Vec<ShownIntegration>,
}

/// A connection to another system.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Integration"))]
struct ShownIntegration {
    name: String,
    /// Whether the key store has the secret of the account.
    has_secret: bool,
    /// The number of the newest mapping. Cases keep the mapping with which their tickets were opened.
    mapping_version: u32,
    /// The members of the definition, as in the file for `ledgerdesk setup --integrations`.
    definition: Map<String, Value>,
}

/// An integration with its address.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct IntegrationDetail {
    #[serde(flatten)]
    integration: ShownIntegration,
    /// The path of the address for messages of the system. It contains a secret. Null if the desk accepts no messages.
    message_path: Option<String>,
}

/// All application kinds.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Kinds {
    application_kinds: Vec<Kind>,
}

/// A kind of request for approval in an external ITSM.
#[derive(Debug, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "ApplicationKind")
)]
struct Kind {
    name: String,
    /// The members of the definition, as in the file for `ledgerdesk setup --integrations`.
    definition: Map<String, Value>,
}

/// The operations on integrations and application kinds, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Admin,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let parts = segments(&call.path);
        match parts.first().copied() {
            Some("integrations") => of_integrations(call.request, &call.method, &parts[1..]).await,
            _ => of_kinds(call.request, &call.method, &parts[1..]).await,
        }
    })
}

async fn of_integrations(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let meta = changes_configuration(&request).await?;
    let app = &request.app;
    match (method, parts) {
        (&Method::PUT, [name]) => {
            check_code(name, "name")?;
            same(&request, "name", name)?;
            let given = request.body.clone();
            let stored = administration::define_integration(app, name, given, &meta).await;
            stored.map_err(problem)?;
            Ok(ok(&detail(&request, name).await?))
        }
        (_, [name]) => Ok(ok(&detail(&request, name).await?)),
        _ => {
            let mut integrations = Vec::new();
            for name in app.configuration.integration_names().await? {
                integrations.extend(shown(&request, &name).await?);
            }
            Ok(ok(&Integrations { integrations }))
        }
    }
}

async fn of_kinds(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let meta = changes_configuration(&request).await?;
    let app = &request.app;
    let kind = async |name: &str| -> Result<Option<Kind>, Problem> {
        let defined = app.configuration.application_kind(name).await?;
        Ok(defined.map(|defined| shown_kind(&defined)))
    };
    let [name] = parts else {
        let mut application_kinds = Vec::new();
        for name in app.configuration.application_kind_names().await? {
            application_kinds.extend(kind(&name).await?);
        }
        return Ok(ok(&Kinds { application_kinds }));
    };
    if method == Method::PUT {
        check_code(name, "name")?;
        let given = request.body.clone();
        let stored = administration::define_kind(app, name, given, &meta).await;
        stored.map_err(problem)?;
    }
    let missing = || Problem::not_found(format!("there is no application kind {name}"));
    Ok(ok(&kind(name).await?.ok_or_else(missing)?))
}

fn problem(reason: NotDefined) -> Problem {
    match reason {
        NotDefined::Wrong(detail) => Problem::malformed(&place_of(&detail), detail),
        NotDefined::Rejected(error) => error.into(),
        NotDefined::Technical(error) => error.into(),
    }
}

/// Returns the JSON pointer of the member that a reason names first. If the reason names no member, the place is the body.
fn place_of(reason: &str) -> String {
    const BODY: &str = "body";
    // The reason names a value, and not its member.
    if reason.contains("unknown variant") || reason.contains("invalid value") {
        return BODY.to_owned();
    }
    let is_of_mapping = reason.contains(": mapping: ") || reason.contains("the mapping must");
    let prefix = if is_of_mapping { "/mapping/" } else { "/" };
    let is_member = |text: &&str| {
        let mut bytes = text.bytes();
        !text.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
    };
    match reason.split('`').nth(1).filter(is_member) {
        Some(member) => format!("{prefix}{}", member.replace('.', "/")),
        None => BODY.to_owned(),
    }
}

async fn shown(request: &Asked, name: &str) -> Result<Option<ShownIntegration>, Problem> {
    let app = &request.app;
    let integration = app.configuration.integration(name).await?;
    let Some(defined) = &integration.defined else {
        return Ok(None);
    };
    let secret = integrations::secret_of(&*app.ledger.keys, name).await?;
    Ok(Some(ShownIntegration {
        name: defined.name.clone(),
        has_secret: secret.is_ok(),
        mapping_version: u32::try_from(integration.mappings.len()).unwrap_or(u32::MAX),
        definition: definition_of(defined),
    }))
}

fn definition_of(defined: &integration::Defined) -> Map<String, Value> {
    let mut members = administration::members_of_integration(defined);
    members.remove("name");
    members
}

fn shown_kind(defined: &application_kind::Defined) -> Kind {
    let mut definition = administration::members_of_kind(defined);
    definition.remove("name");
    Kind {
        name: defined.name.clone(),
        definition,
    }
}

async fn detail(request: &Asked, name: &str) -> Result<IntegrationDetail, Problem> {
    let app = &request.app;
    let integration = shown(request, name).await?;
    let integration =
        integration.ok_or_else(|| Problem::not_found(format!("there is no integration {name}")))?;
    let accepts = integration.definition.contains_key("webhook");
    Ok(IntegrationDetail {
        integration,
        message_path: if accepts {
            Some(sources::path_of(app, name).await?)
        } else {
            None
        },
    })
}

#[cfg(test)]
mod tests {
    use super::place_of;

    #[test]
    fn the_place_of_a_wrong_member_is_a_json_pointer() {
        for (reason, place) in [
            (
                "integration crm: `per_minute` must be a number",
                "/per_minute",
            ),
            (
                "integration crm: mapping: `record` must be a JSON pointer",
                "/mapping/record",
            ),
            (
                "integration crm: mapping: `write_back.FINISHD` is not a status",
                "/mapping/write_back/FINISHD",
            ),
            (
                "integration crm: mapping: missing field `record`",
                "/mapping/record",
            ),
            (
                "integration crm: the mapping must have `update`: a reason",
                "/mapping/update",
            ),
            (
                "integration crm: `assignee_authority` needs `assignee` in the mapping",
                "/assignee_authority",
            ),
            ("unknown field `ulr`, expected one of `url`, `user`", "/ulr"),
            (
                "unknown variant `sometimes`, expected `signed` or `unsigned`",
                "body",
            ),
            ("integration crm: ``", "body"),
            ("invalid type: string, expected u32", "body"),
        ] {
            assert_eq!(place_of(reason), place, "{reason}");
        }
    }
}
