//! Configuration over `/v1`: every caller may read, only superusers may change. This module has the
//! catalog, dictionaries and roles; [`workflows`], [`library`] and [`services`] have the rest.

mod library;
mod services;
mod workflows;

use std::collections::BTreeSet;

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::config::{Dictionary, Role};
use domain::options;
use events::catalog::CategoryChanged;
use events::role::RoleKind;
use events::workflow::Choice;
use events::{CategoryId, Meta, RoleId, ServiceId, dictionary, role};
use infra::views::Range;
use serde_json::{Value, json};

use super::problem::{ApiResult, Problem};
use super::request::Asked;
use super::shape::{named, quoted};
use crate::App;
use crate::app::administration;
use crate::app::context::SUPERUSER;
pub(super) use library::fields;
pub(super) use services::services;
pub(super) use workflows::workflows;

/// Largest number of entries in one list.
const LIST_MAX: usize = 1000;
/// Longest name and longest code, in characters.
const NAME_MAX: usize = 64;
/// Largest number of members of one role. Their ids stay below the size limit of a commit.
const MEMBERS_MAX: usize = 10_000;
/// Largest number of options in one dictionary.
const ITEMS_MAX: usize = 2000;

fn ok(body: Value) -> Response {
    Json(body).into_response()
}

fn created(body: Value) -> Response {
    (StatusCode::CREATED, Json(body)).into_response()
}

fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn wrong_method(method: &Method) -> Problem {
    Problem::method(format!("{method} is not allowed on this path"))
}

/// Rejects callers that are not superusers. Returns the metadata for the commits of the change.
pub(super) async fn superuser(request: &Asked) -> Result<Meta, Problem> {
    let pid = request.app.people.find(request.user()?).await?;
    if request.app.configuration.is_superuser(&pid).await? {
        Ok(request.meta(pid))
    } else {
        Err(Problem::forbidden("only superusers may do this"))
    }
}

/// Parses an id in a path. Only the canonical decimal form is accepted.
fn number(text: &str, what: &str) -> Result<i64, Problem> {
    let id = text
        .parse()
        .ok()
        .filter(|id: &i64| *id > 0 && id.to_string() == text);
    id.ok_or_else(|| Problem::not_found(format!("there is no {what} {}", quoted(text))))
}

/// Returns whether a text is a display name: not blank, not too long, without control characters.
fn is_name(name: &str) -> bool {
    !name.trim().is_empty()
        && name.chars().count() <= NAME_MAX
        && !name.chars().any(char::is_control)
}

/// Rejects options without keys and siblings with the same key.
fn check_options(items: &[Choice], at: &str) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for (number, item) in items.iter().enumerate() {
        let field = format!("{at}/{number}/key");
        if item.key.trim().is_empty() {
            return Err(Problem::malformed(
                &field,
                format!("{} is empty", named(&field)),
            ));
        }
        if !seen.insert(item.key.as_str()) {
            return Err(Problem::malformed(
                &field,
                format!(
                    "{} must be unique among its siblings: {}",
                    named(&field),
                    quoted(&item.key)
                ),
            ));
        }
        check_options(&item.items, &format!("{at}/{number}/items"))?;
    }
    Ok(())
}

/// Rejects dictionary codes and field keys that are not words.
fn check_code(code: &str, what: &str) -> Result<(), Problem> {
    let is_word = !code.is_empty()
        && code.len() <= NAME_MAX
        && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_word {
        Ok(())
    } else {
        Err(Problem::malformed(
            what,
            format!("`{what}` must have 1 to {NAME_MAX} letters, digits and underscores"),
        ))
    }
}

pub(super) async fn catalog(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let app = &request.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let catalog = app.configuration.catalog().await?;
            let categories: Vec<Value> = catalog
                .categories
                .values()
                .map(|category| json!(category))
                .collect();
            let places: Vec<Value> = catalog
                .places
                .iter()
                .map(|(service, catalog)| json!({ "service": service, "catalog": catalog }))
                .collect();
            Ok(ok(json!({ "catalogs": categories, "places": places })))
        }
        (&Method::GET, [id]) => {
            let id = CategoryId(number(id, "catalog")?);
            let catalog = app.configuration.catalog().await?;
            let category = catalog
                .categories
                .get(&id)
                .ok_or_else(|| Problem::not_found(format!("there is no catalog {id}")))?;
            let services: Vec<ServiceId> = catalog
                .places
                .iter()
                .filter(|(_, place)| **place == id)
                .map(|(service, _)| *service)
                .collect();
            let mut shown = json!(category);
            shown["services"] = json!(services);
            Ok(ok(shown))
        }
        (&Method::POST, []) => {
            let by = superuser(&request).await?;
            let parent = CategoryId(request.required_int("parent")?);
            if !app
                .configuration
                .catalog()
                .await?
                .categories
                .contains_key(&parent)
            {
                return Err(Problem::unknown(
                    "/parent",
                    format!("there is no catalog {parent}"),
                ));
            }
            let added = administration::add_catalog(
                app,
                &by,
                parent,
                &request.required("name")?,
                &request.text("desc")?.unwrap_or_default(),
            )
            .await?;
            Ok(created(json!(added)))
        }
        (&Method::PUT, [id]) => {
            let by = superuser(&request).await?;
            let id = CategoryId(number(id, "catalog")?);
            let catalog = app.configuration.catalog().await?;
            let category = catalog
                .categories
                .get(&id)
                .ok_or_else(|| Problem::not_found(format!("there is no catalog {id}")))?;
            let parent = request.int("parent")?.map(CategoryId);
            if let Some(unknown) = parent.filter(|parent| !catalog.categories.contains_key(parent))
            {
                return Err(Problem::unknown(
                    "/parent",
                    format!("there is no catalog {unknown}"),
                ));
            }
            let changed = CategoryChanged {
                id,
                name: request
                    .text("name")?
                    .unwrap_or_else(|| category.name.clone()),
                desc: request
                    .text("desc")?
                    .unwrap_or_else(|| category.desc.clone()),
                parent: parent.or(category.parent),
            };
            administration::change_catalog(app, &by, changed).await?;
            Ok(done())
        }
        (&Method::DELETE, [id]) => {
            let by = superuser(&request).await?;
            administration::remove_catalog(app, &by, CategoryId(number(id, "catalog")?)).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

pub(super) async fn dictionary(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let app = &request.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let range = Range {
                view: "dictionary",
                index: "id",
                from: "",
                to: "~",
                descending: false,
                skip: 0,
                limit: LIST_MAX,
            };
            let mut lists = Vec::new();
            for entry in app.views.range(range).await? {
                lists.push(json!(app.configuration.dictionary(&entry.value).await?.0));
            }
            Ok(ok(json!({ "dictionaries": lists })))
        }
        (&Method::GET, [code]) => match app
            .configuration
            .dictionary(code)
            .await?
            .0
            .as_ref()
            .filter(|list| list.is_listed)
        {
            Some(list) => Ok(ok(json!(list))),
            None => Err(Problem::not_found(format!("there is no dictionary {code}"))),
        },
        (&Method::PUT, [code]) => {
            let by = superuser(&request).await?;
            check_code(code, "code")?;
            same(&request, "code", code)?;
            // Absent members keep their values.
            let known = app.configuration.dictionary(code).await?;
            let known = known.0.as_ref().filter(|known| known.is_listed);
            let items: Vec<Choice> = match (request.body.get("items"), known) {
                (Some(items), _) => serde_json::from_value(items.clone())
                    .map_err(|error| Problem::malformed("/items", error.to_string()))?,
                (None, Some(known)) => known.items.clone(),
                (None, None) => {
                    return Err(Problem::malformed(
                        "/items",
                        "`items` is required for a new dictionary; use `[]` for an empty one",
                    ));
                }
            };
            if options::count(&items) > ITEMS_MAX {
                return Err(Problem::malformed(
                    "/items",
                    format!("`items` must have at most {ITEMS_MAX} options"),
                ));
            }
            if let Some(key) = options::with_comma(&items) {
                return Err(Problem::malformed(
                    "/items",
                    format!(
                        "`items` has the key {key:?} with a comma; keys must not contain commas, because commas separate selected options"
                    ),
                ));
            }
            check_options(&items, "/items")?;
            let name = match known.filter(|_| !request.body.contains_key("name")) {
                Some(known) => known.name.clone(),
                None => request.required("name")?,
            };
            if request.body.contains_key("name") && !is_name(&name) {
                return Err(Problem::malformed(
                    "/name",
                    format!(
                        "`name` must have at most {NAME_MAX} characters and no control characters"
                    ),
                ));
            }
            let is_enabled =
                request.flag("is_enabled", known.is_none_or(|known| known.is_enabled))?;
            let defined = dictionary::Defined {
                code: (*code).to_owned(),
                name,
                is_enabled,
                items,
                is_listed: true,
            };
            administration::define::<Dictionary>(app, &by, format!("dictionary-{code}"), &defined)
                .await?;
            Ok(ok(json!(defined)))
        }
        (&Method::DELETE, [code]) => {
            let by = superuser(&request).await?;
            let known = app.configuration.dictionary(code).await?;
            let known = known
                .0
                .as_ref()
                .filter(|list| list.is_listed)
                .ok_or_else(|| Problem::not_found(format!("there is no dictionary {code}")))?;
            administration::remove_dictionary(app, &by, known).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// Workflow files list role names separated by commas, so role names cannot contain separators.
fn is_role_name(name: &str) -> bool {
    is_name(name) && !name.contains([',', '<', '>', '\'', '"', ';'])
}

pub(super) async fn roles(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let app = &request.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let mut shown = Vec::new();
            for role in app
                .configuration
                .roles()
                .await?
                .iter()
                .filter_map(|role| role.0.as_ref())
            {
                shown.push(shown_role(app, role).await?);
            }
            Ok(ok(json!({ "roles": shown })))
        }
        (&Method::GET, [id]) => {
            let id = RoleId(number(id, "role")?);
            match app
                .configuration
                .role(id)
                .await?
                .0
                .as_ref()
                .filter(|role| role.is_listed)
            {
                Some(role) => Ok(ok(shown_role(app, role).await?)),
                None => Err(Problem::not_found(format!("there is no role {id}"))),
            }
        }
        (&Method::PUT, [id]) => {
            let by = superuser(&request).await?;
            let id = RoleId(number(id, "role")?);
            let known = app.configuration.role(id).await?;
            let known = known.0.as_ref().filter(|known| known.is_listed);
            let key = match known {
                Some(known) => {
                    same(&request, "key", &known.key)?;
                    known.key.clone()
                }
                None => request.required("key")?,
            };
            if known.is_none() && !is_role_name(&key) {
                return Err(Problem::malformed(
                    "/key",
                    "`key` is too long or has characters that are not allowed in role names",
                ));
            }
            let name = match (request.text("name")?, known) {
                (Some(name), _) if is_role_name(&name) => name,
                (Some(_), _) => {
                    return Err(Problem::malformed(
                        "/name",
                        "`name` is empty, too long or has characters that are not allowed in role names",
                    ));
                }
                (None, Some(known)) => known.name.clone(),
                (None, None) => {
                    return Err(Problem::malformed(
                        "/name",
                        "`name` is required for a new role",
                    ));
                }
            };
            let names = request.names("members")?;
            let members = match (names, known) {
                (Some(names), _) => {
                    if id == SUPERUSER && names.is_empty() {
                        return Err(Problem::conflict(
                            "the superuser role must have at least one member",
                        ));
                    }
                    if names.len() > MEMBERS_MAX {
                        return Err(Problem::malformed(
                            "/members",
                            format!("`members` must have at most {MEMBERS_MAX} entries"),
                        ));
                    }
                    let mut seen = BTreeSet::new();
                    let names: Vec<String> = names
                        .into_iter()
                        .filter(|name| seen.insert(name.clone()))
                        .collect();
                    // Otherwise a misspelled list could remove the last person who can correct it.
                    let user = request.user()?;
                    if id == SUPERUSER && !names.iter().any(|name| name == user) {
                        return Err(Problem::conflict(
                            "`members` must contain the caller: only another superuser can remove a superuser",
                        ));
                    }
                    app.people.pids(&names).await?
                }
                (None, Some(known)) => known.members.clone(),
                (None, None) => {
                    return Err(Problem::malformed(
                        "/members",
                        "`members` is required for a new role; use `[]` for no members",
                    ));
                }
            };
            let kind = known.map_or(RoleKind::General, |role| role.kind);
            let defined = role::Defined {
                role: id,
                kind,
                key,
                name,
                members,
                is_listed: true,
            };
            administration::define::<Role>(app, &by, format!("role-{id}"), &defined).await?;
            Ok(done())
        }
        (&Method::DELETE, [id]) => {
            let by = superuser(&request).await?;
            let id = RoleId(number(id, "role")?);
            let known = app.configuration.role(id).await?;
            let known = known
                .0
                .as_ref()
                .filter(|role| role.is_listed)
                .ok_or_else(|| Problem::not_found(format!("there is no role {id}")))?;
            administration::remove_role(app, &by, known).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// Returns a role with user names instead of person ids.
async fn shown_role(app: &App, role: &role::Defined) -> Result<Value, Problem> {
    let mut members = Vec::new();
    for member in &role.members {
        members.push(app.people.name(member).await?);
    }
    Ok(
        json!({ "role": role.role, "kind": role.kind, "key": role.key, "name": role.name, "members": members }),
    )
}

/// Rejects a new value of an immutable member. The current value is accepted.
fn same(request: &Asked, key: &str, known: &str) -> Result<(), Problem> {
    match request.text(key)? {
        Some(given) if given != known => Err(Problem::malformed(
            &format!("/{key}"),
            format!("`{key}` is {known} and cannot change"),
        )),
        _ => Ok(()),
    }
}
