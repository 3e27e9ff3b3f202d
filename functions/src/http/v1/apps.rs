//! Apps over `/v1`, for superusers: listed, registered, disabled and enabled while the desk runs.

use axum::Json;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse as _;
use events::Meta;
use events::app::Registered;
use serde_json::{Value, json};

use super::admin::superuser;
use super::asked::Asked;
use super::problem::{Answer, Problem};
use crate::apps;

/// The shortest secret that a caller may choose.
const SECRET_MIN: usize = 16;
/// Longest name and longest code of an app.
const NAME_MAX: usize = 128;

pub(super) async fn apps(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    superuser(&asked).await?;
    let meta = asked.meta(asked.actor().await?);
    match (method, parts) {
        (&Method::GET | &Method::HEAD, []) => {
            let apps: Vec<Value> = apps::all(&asked.app).await?.iter().map(apps::shown).collect();
            Ok(Json(json!({ "apps": apps })).into_response())
        }
        (&Method::GET | &Method::HEAD, [code]) => Ok(Json(apps::shown(&known(&asked, code).await?)).into_response()),
        (&Method::PUT, [code]) => register(&asked, code, meta).await,
        (&Method::POST, [code, action @ ("disable" | "enable")]) => {
            let is_disabled = *action == "disable";
            if is_disabled && asked.caller.app.as_str() == *code {
                return Err(Problem::conflict(format!("app {code} makes this request itself; another app disables it")));
            }
            known(&asked, code).await?;
            apps::set_disabled(&asked.app.ledger, code, is_disabled, meta).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(Problem::method(format!("{method} is not for this path"))),
    }
}

/// Registers an app or changes one. Without a secret in the body a new app gets one, which this answer alone shows, and a known one keeps its own.
async fn register(asked: &Asked, code: &str, meta: Meta) -> Answer {
    if let Some(member) = asked.body.keys().find(|key| !["name", "secret", "speaks_for_users", "hears_status"].contains(&key.as_str())) {
        return Err(Problem::malformed(&format!("/{member}"), format!("{member} is not a member of an app")));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if code.is_empty() || code.len() > NAME_MAX || !code.chars().all(is_plain) {
        return Err(Problem::malformed("code", format!("a code has 1 to {NAME_MAX} letters, digits, -, _ and .")));
    }
    let before = apps::app(&asked.app.ledger, code).await?;
    let name = asked.text("name")?.or_else(|| before.as_ref().map(|app| app.name.clone())).unwrap_or_else(|| code.to_owned());
    if name.trim().is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(Problem::malformed("/name", format!("a name has 1 to {NAME_MAX} characters and no control characters")));
    }
    let chosen = asked.text("secret")?;
    if chosen.as_ref().is_some_and(|secret| secret.len() < SECRET_MIN || secret.chars().any(|c| c.is_whitespace() || c.is_control())) {
        return Err(Problem::malformed("/secret", format!("a secret has at least {SECRET_MIN} characters and no blanks; without one the desk makes it")));
    }
    // The app is not changed by a request whose secret is not taken.
    if let Some(unfit) = chosen.as_ref().and_then(|secret| asked.app.credentials.unfit(code, secret)) {
        return Err(Problem::malformed("/secret", unfit));
    }
    let registered = Registered {
        code: code.into(),
        name,
        speaks_for_users: asked.flag("speaks_for_users", before.as_ref().is_some_and(|app| app.speaks_for_users))?,
        hears_status: asked.flag("hears_status", before.as_ref().is_some_and(|app| app.hears_status))?,
        is_disabled: before.as_ref().is_some_and(|app| app.is_disabled),
    };
    apps::define(&asked.app.ledger, &registered, meta).await?;
    let mut answer = apps::shown(&registered);
    let made = (chosen.is_none() && before.is_none()).then(|| apps::fresh_secret(&asked.app.ledger));
    if let Some(secret) = chosen.as_ref().or(made.as_ref()) {
        asked.app.credentials.register(&registered, secret).await?;
    }
    if let Some(secret) = made {
        answer["secret"] = secret.into();
    }
    let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

async fn known(asked: &Asked, code: &str) -> Result<Registered, Problem> {
    apps::app(&asked.app.ledger, code).await?.ok_or_else(|| Problem::not_found(format!("there is no app {code}")))
}
