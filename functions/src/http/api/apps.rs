//! Lists, registers, disables and enables apps (programs that call the APIs) in the API `/v1`. Only
//! superusers may use these operations.

use std::collections::BTreeSet;

use axum::Json;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse as _;
use events::Meta;
use events::app::{Registered, Scope};
use serde::Serialize;
use serde_json::Value;

use super::admin::changes_configuration;
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{done, ok};
use super::request::Asked;
use super::resource::{Answer, Call, EMPTY, Operation, Resource, get, post, put, segments};
use super::shape::{Member, Shape, optional};
use crate::app::client_apps;

const NEW_NAME: Member = optional("name", Shape::Text);
const SECRET: Member = optional("secret", Shape::Text);
const MAY_IMPERSONATE: Member = optional("may_impersonate", Shape::Flag);
const STATUS_CALLBACKS: Member = optional("status_callbacks", Shape::Flag);
const SCOPES: Member = optional(
    "scopes",
    Shape::List(&Shape::Words(&[
        "all", "tickets", "cases", "fleet", "admin", "metrics",
    ])),
);

const OPERATIONS: &[Operation] = &[
    get("/v1/apps", "lists apps; for superusers").returning::<Apps>(),
    get("/v1/apps/{app}", "shows an app").returning::<ShownApp>(),
    put(
        "/v1/apps/{app}",
        "registers or changes an app; a new app without a secret gets a generated one",
        &[NEW_NAME, SECRET, MAY_IMPERSONATE, STATUS_CALLBACKS, SCOPES],
    )
    .answering(&["200", "201"])
    .returning::<ShownApp>(),
    post("/v1/apps/{app}/disable", "disables an app", &[]).answering(EMPTY),
    post("/v1/apps/{app}/enable", "enables an app", &[]).answering(EMPTY),
];

/// All apps.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Apps {
    apps: Vec<ShownApp>,
}

/// An app (a client program).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "App"))]
struct ShownApp {
    code: String,
    name: String,
    /// Whether the app may act for every user.
    may_impersonate: bool,
    /// Whether the app gets a callback for every change of a ticket's status.
    status_callbacks: bool,
    is_disabled: bool,
    /// The parts of the APIs that the app may use. Null if it may use all parts.
    #[cfg_attr(test, schemars(schema_with = "schema::scopes"))]
    scopes: Option<BTreeSet<Scope>>,
    /// The secret that the desk generated for a new app. Only this response contains it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

fn shown(app: &Registered) -> ShownApp {
    ShownApp {
        code: app.code.to_string(),
        name: app.name.clone(),
        may_impersonate: app.may_impersonate,
        status_callbacks: app.status_callbacks,
        is_disabled: app.is_disabled,
        scopes: app.scopes.clone(),
        secret: None,
    }
}

/// The operations on apps, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: true,
    scope: Scope::Admin,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move { apps(call.request, &call.method, &segments(&call.path)[1..]).await })
}

/// Minimum length, in bytes, of a secret that a request sets for an app (a client program).
const SECRET_MIN: usize = 16;
/// Maximum length, in characters, of the name or code of an app (a client program).
const NAME_MAX: usize = 128;

async fn apps(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    changes_configuration(&request).await?;
    let meta = request.meta(request.actor().await?);
    match (method, parts) {
        (&Method::GET | &Method::HEAD, []) => {
            let apps = client_apps::all(&request.app).await?;
            Ok(ok(&Apps {
                apps: apps.iter().map(shown).collect(),
            }))
        }
        (&Method::GET | &Method::HEAD, [code]) => Ok(ok(&shown(&known(&request, code).await?))),
        (&Method::PUT, [code]) => register(&request, code, meta).await,
        (&Method::POST, [code, action @ ("disable" | "enable")]) => {
            let is_disabled = *action == "disable";
            if is_disabled && request.caller.app.as_str() == *code {
                return Err(Problem::conflict(format!(
                    "an app cannot disable itself; use another app to disable {code}"
                )));
            }
            known(&request, code).await?;
            client_apps::set_disabled(&request.app.ledger, code, is_disabled, meta).await?;
            Ok(done())
        }
        _ => Err(Problem::method(format!(
            "{method} is not allowed on this path"
        ))),
    }
}

/// Registers or changes the app (a client program) with the given code. If neither the app nor the
/// request has a secret, the service desk creates a secret. Only the response to this request
/// contains the new secret.
async fn register(request: &Asked, code: &str, meta: Meta) -> ApiResult {
    if let Some(member) = request.body.keys().find(|key| {
        ![
            "name",
            "secret",
            "may_impersonate",
            "status_callbacks",
            "scopes",
        ]
        .contains(&key.as_str())
    }) {
        return Err(Problem::malformed(
            &format!("/{member}"),
            format!("`{member}` is not a member of an app"),
        ));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if code.is_empty() || code.len() > NAME_MAX || !code.chars().all(is_plain) {
        return Err(Problem::malformed(
            "code",
            format!("an app code must have 1 to {NAME_MAX} letters, digits, -, _ and ."),
        ));
    }
    let before = client_apps::app(&request.app.ledger, code).await?;
    let name = request
        .text("name")?
        .or_else(|| before.as_ref().map(|app| app.name.clone()))
        .unwrap_or_else(|| code.to_owned());
    if name.trim().is_empty()
        || name.chars().count() > NAME_MAX
        || name.chars().any(char::is_control)
    {
        return Err(Problem::malformed(
            "/name",
            format!("`name` must have 1 to {NAME_MAX} characters and no control characters"),
        ));
    }
    let chosen = request.text("secret")?;
    if chosen.as_ref().is_some_and(|secret| {
        secret.len() < SECRET_MIN || secret.chars().any(|c| c.is_whitespace() || c.is_control())
    }) {
        return Err(Problem::malformed(
            "/secret",
            format!(
                "`secret` must have at least {SECRET_MIN} characters and no whitespace; leave it out to get a generated secret"
            ),
        ));
    }
    // The secret is checked before the app (a client program) is stored. A rejected request
    // therefore stores no app.
    if let Some(detail) = chosen
        .as_ref()
        .and_then(|secret| request.app.credentials.unfit(code, secret))
    {
        return Err(Problem::malformed("/secret", detail));
    }
    let registered = Registered {
        code: code.into(),
        name,
        may_impersonate: request.flag(
            "may_impersonate",
            before.as_ref().is_some_and(|app| app.may_impersonate),
        )?,
        status_callbacks: request.flag(
            "status_callbacks",
            before.as_ref().is_some_and(|app| app.status_callbacks),
        )?,
        is_disabled: before.as_ref().is_some_and(|app| app.is_disabled),
        scopes: scopes(request, before.as_ref().and_then(|app| app.scopes.clone()))?,
    };
    client_apps::define(&request.app.ledger, &registered, meta).await?;
    let mut answer = shown(&registered);
    // An interrupted registration can leave an app (a client program) without a secret. The app
    // then gets a new secret here.
    let needs_secret = chosen.is_none() && !request.app.credentials.has_secret(code).await?;
    let generated = needs_secret.then(|| client_apps::fresh_secret(&request.app.ledger));
    if let Some(secret) = chosen.as_ref().or(generated.as_ref()) {
        request
            .app
            .credentials
            .register(&registered, secret)
            .await?;
    }
    answer.secret = generated;
    let status = if before.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Returns the parts of the APIs that an app may use after the request. The word `all` in the body means all parts. If
/// the body does not contain `scopes`, returns `earlier`, the parts before the request.
fn scopes(
    request: &Asked,
    earlier: Option<BTreeSet<Scope>>,
) -> Result<Option<BTreeSet<Scope>>, Problem> {
    let Some(items) = request.body.get("scopes").and_then(Value::as_array) else {
        return Ok(earlier);
    };
    if items.iter().any(|item| item == "all") {
        return Ok(None);
    }
    let names = items.iter().filter_map(Value::as_str);
    let scopes: BTreeSet<Scope> = names.filter_map(Scope::named).collect();
    if scopes.is_empty() {
        return Err(Problem::malformed(
            "/scopes",
            "`scopes` must have at least one part of the APIs",
        ));
    }
    Ok(Some(scopes))
}

async fn known(request: &Asked, code: &str) -> Result<Registered, Problem> {
    client_apps::app(&request.app.ledger, code)
        .await?
        .ok_or_else(|| Problem::not_found(format!("there is no app {code}")))
}
