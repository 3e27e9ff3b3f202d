//! What the desk is set up with, over `/v1`: reading is for every caller, changing for superusers. Workflows stand in [`workflows`], the library of shared
//! fields in [`library`], services in [`services`]; here the catalog, dictionaries, roles.

mod library;
mod services;
mod workflows;

use std::collections::BTreeSet;

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::config::{Dictionary, Role};
use domain::options;
use events::catalog::Changed;
use events::role::RoleKind;
use events::workflow::Choice;
use events::{CatalogId, Meta, RoleId, ServiceId, dictionary, role};
use infra::views::Range;
use serde_json::{Value, json};

use super::asked::Asked;
use super::problem::{Answer, Problem};
use super::shape::{named, quoted};
use crate::configuration::SUPERUSER;
use crate::{App, setup};
pub(super) use library::fields;
pub(super) use services::services;
pub(super) use workflows::workflows;

/// Things in one list.
const LIST_MAX: usize = 1000;
/// Longest code of a dictionary, longest name of anything.
const NAME_MAX: usize = 64;
/// Members of one role: their ids stay below the size of a commit.
const MEMBERS_MAX: usize = 10_000;
/// Options in one dictionary.
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
    Problem::method(format!("{method} is not for this path"))
}

/// Some things are for superusers alone: what the desk is set up with, and calls of all tickets. Returns who acts, for the commits of a change.
pub(super) async fn superuser(asked: &Asked) -> Result<Meta, Problem> {
    let pid = asked.app.people.find(asked.user()?).await?;
    if asked.app.configuration.is_superuser(&pid).await? { Ok(asked.meta(pid)) } else { Err(Problem::forbidden("this is for superusers")) }
}

/// An id in a path, written in one way only.
fn number(text: &str, what: &str) -> Result<i64, Problem> {
    let id = text.parse().ok().filter(|id: &i64| *id > 0 && id.to_string() == text);
    id.ok_or_else(|| Problem::not_found(format!("there is no {what} {}", quoted(text))))
}

/// A name that people read: some characters on one line.
fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= NAME_MAX && !name.chars().any(char::is_control)
}

/// Options that can be told apart: each has a key, and no two at one place have the same.
fn check_options(items: &[Choice], at: &str) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for (number, item) in items.iter().enumerate() {
        let field = format!("{at}/{number}/key");
        if item.key.trim().is_empty() {
            return Err(Problem::malformed(&field, format!("{} is empty", named(&field))));
        }
        if !seen.insert(item.key.as_str()) {
            return Err(Problem::malformed(&field, format!("{} is the key of another option: {}", named(&field), quoted(&item.key))));
        }
        check_options(&item.items, &format!("{at}/{number}/items"))?;
    }
    Ok(())
}

/// Codes of dictionaries and keys of fields are words.
fn check_code(code: &str, what: &str) -> Result<(), Problem> {
    let is_word = !code.is_empty() && code.len() <= NAME_MAX && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_word { Ok(()) } else { Err(Problem::malformed(what, format!("`{what}` is made of letters, digits and underscores"))) }
}

pub(super) async fn catalog(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    let app = &asked.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let catalog = app.configuration.catalog().await?;
            let shelves: Vec<Value> = catalog.shelves.values().map(|shelf| json!(shelf)).collect();
            let places: Vec<Value> = catalog.places.iter().map(|(service, catalog)| json!({ "service": service, "catalog": catalog })).collect();
            Ok(ok(json!({ "catalogs": shelves, "places": places })))
        }
        (&Method::GET, [id]) => {
            let id = CatalogId(number(id, "catalog")?);
            let catalog = app.configuration.catalog().await?;
            let shelf = catalog.shelves.get(&id).ok_or_else(|| Problem::not_found(format!("there is no catalog {id}")))?;
            let services: Vec<ServiceId> = catalog.places.iter().filter(|(_, place)| **place == id).map(|(service, _)| *service).collect();
            let mut shown = json!(shelf);
            shown["services"] = json!(services);
            Ok(ok(shown))
        }
        (&Method::POST, []) => {
            let by = superuser(&asked).await?;
            let parent = CatalogId(asked.required_int("parent")?);
            if !app.configuration.catalog().await?.shelves.contains_key(&parent) {
                return Err(Problem::unknown("/parent", format!("there is no catalog {parent}")));
            }
            let added = setup::add_catalog(app, &by, parent, &asked.required("name")?, &asked.text("desc")?.unwrap_or_default()).await?;
            Ok(created(json!(added)))
        }
        (&Method::PUT, [id]) => {
            let by = superuser(&asked).await?;
            let id = CatalogId(number(id, "catalog")?);
            let catalog = app.configuration.catalog().await?;
            let shelf = catalog.shelves.get(&id).ok_or_else(|| Problem::not_found(format!("there is no catalog {id}")))?;
            let parent = asked.int("parent")?.map(CatalogId);
            if let Some(unknown) = parent.filter(|parent| !catalog.shelves.contains_key(parent)) {
                return Err(Problem::unknown("/parent", format!("there is no catalog {unknown}")));
            }
            let changed = Changed {
                id,
                name: asked.text("name")?.unwrap_or_else(|| shelf.name.clone()),
                desc: asked.text("desc")?.unwrap_or_else(|| shelf.desc.clone()),
                parent: parent.or(shelf.parent),
            };
            setup::change_catalog(app, &by, changed).await?;
            Ok(done())
        }
        (&Method::DELETE, [id]) => {
            let by = superuser(&asked).await?;
            setup::remove_catalog(app, &by, CatalogId(number(id, "catalog")?)).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

pub(super) async fn dictionary(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    let app = &asked.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let range = Range { view: "dictionary", index: "id", from: "", to: "~", descending: false, skip: 0, limit: LIST_MAX };
            let mut lists = Vec::new();
            for entry in app.views.range(range).await? {
                lists.push(json!(app.configuration.dictionary(&entry.value).await?.0));
            }
            Ok(ok(json!({ "dictionaries": lists })))
        }
        (&Method::GET, [code]) => match app.configuration.dictionary(code).await?.0.as_ref().filter(|list| list.is_listed) {
            Some(list) => Ok(ok(json!(list))),
            None => Err(Problem::not_found(format!("there is no dictionary {code}"))),
        },
        (&Method::PUT, [code]) => {
            let by = superuser(&asked).await?;
            check_code(code, "code")?;
            same(&asked, "code", code)?;
            // What the body leaves out keeps its value.
            let known = app.configuration.dictionary(code).await?;
            let known = known.0.as_ref().filter(|known| known.is_listed);
            let items: Vec<Choice> = match (asked.body.get("items"), known) {
                (Some(items), _) => serde_json::from_value(items.clone()).map_err(|error| Problem::malformed("/items", error.to_string()))?,
                (None, Some(known)) => known.items.clone(),
                (None, None) => return Err(Problem::malformed("/items", "`items` is required for a new dictionary; an empty one has `[]`")),
            };
            if options::count(&items) > ITEMS_MAX {
                return Err(Problem::malformed("/items", format!("`items` has more than {ITEMS_MAX} options")));
            }
            if let Some(key) = options::with_comma(&items) {
                return Err(Problem::malformed(
                    "/items",
                    format!("`items` has the key {key:?} with a comma; commas separate options that are chosen together"),
                ));
            }
            check_options(&items, "/items")?;
            let name = match known.filter(|_| !asked.body.contains_key("name")) {
                Some(known) => known.name.clone(),
                None => asked.required("name")?,
            };
            if asked.body.contains_key("name") && !is_name(&name) {
                return Err(Problem::malformed("/name", format!("`name` is longer than {NAME_MAX} characters or has control characters")));
            }
            let is_enabled = asked.flag("is_enabled", known.is_none_or(|known| known.is_enabled))?;
            let defined = dictionary::Defined { code: (*code).to_owned(), name, is_enabled, items, is_listed: true };
            setup::define::<Dictionary>(app, &by, format!("dictionary-{code}"), &defined).await?;
            Ok(ok(json!(defined)))
        }
        (&Method::DELETE, [code]) => {
            let by = superuser(&asked).await?;
            let known = app.configuration.dictionary(code).await?;
            let known = known.0.as_ref().filter(|list| list.is_listed).ok_or_else(|| Problem::not_found(format!("there is no dictionary {code}")))?;
            setup::remove_dictionary(app, &by, known).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// Workflow files list names of roles between commas.
fn is_role_name(name: &str) -> bool {
    is_name(name) && !name.contains([',', '<', '>', '\'', '"', ';'])
}

pub(super) async fn roles(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    let app = &asked.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let mut shown = Vec::new();
            for role in app.configuration.roles().await?.iter().filter_map(|role| role.0.as_ref()) {
                shown.push(shown_role(app, role).await?);
            }
            Ok(ok(json!({ "roles": shown })))
        }
        (&Method::GET, [id]) => {
            let id = RoleId(number(id, "role")?);
            match app.configuration.role(id).await?.0.as_ref().filter(|role| role.is_listed) {
                Some(role) => Ok(ok(shown_role(app, role).await?)),
                None => Err(Problem::not_found(format!("there is no role {id}"))),
            }
        }
        (&Method::PUT, [id]) => {
            let by = superuser(&asked).await?;
            let id = RoleId(number(id, "role")?);
            let known = app.configuration.role(id).await?;
            let known = known.0.as_ref().filter(|known| known.is_listed);
            let key = match known {
                Some(known) => {
                    same(&asked, "key", &known.key)?;
                    known.key.clone()
                }
                None => asked.required("key")?,
            };
            if known.is_none() && !is_role_name(&key) {
                return Err(Problem::malformed("/key", "`key` is too long or has characters that names do not have"));
            }
            let name = match (asked.text("name")?, known) {
                (Some(name), _) if is_role_name(&name) => name,
                (Some(_), _) => return Err(Problem::malformed("/name", "`name` is empty or has characters that names do not have")),
                (None, Some(known)) => known.name.clone(),
                (None, None) => return Err(Problem::malformed("/name", "`name` is required for a new role")),
            };
            let names = asked.names("members")?;
            let members = match (names, known) {
                (Some(names), _) => {
                    if id == SUPERUSER && names.is_empty() {
                        return Err(Problem::conflict("at least one person stays superuser"));
                    }
                    if names.len() > MEMBERS_MAX {
                        return Err(Problem::malformed("/members", format!("`members` names more than {MEMBERS_MAX} people")));
                    }
                    let mut seen = BTreeSet::new();
                    let names: Vec<String> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
                    // A misspelled list must not leave the desk without anyone who can correct it.
                    let user = asked.user()?;
                    if id == SUPERUSER && !names.iter().any(|name| name == user) {
                        return Err(Problem::conflict("`members` leaves you out: another superuser takes this role from you"));
                    }
                    app.people.pids(&names).await?
                }
                (None, Some(known)) => known.members.clone(),
                (None, None) => return Err(Problem::malformed("/members", "`members` is required for a new role; one without members has `[]`")),
            };
            let kind = known.map_or(RoleKind::General, |role| role.kind);
            let defined = role::Defined { role: id, kind, key, name, members, is_listed: true };
            setup::define::<Role>(app, &by, format!("role-{id}"), &defined).await?;
            Ok(done())
        }
        (&Method::DELETE, [id]) => {
            let by = superuser(&asked).await?;
            let id = RoleId(number(id, "role")?);
            let known = app.configuration.role(id).await?;
            let known = known.0.as_ref().filter(|role| role.is_listed).ok_or_else(|| Problem::not_found(format!("there is no role {id}")))?;
            setup::remove_role(app, &by, known).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// A role as people read it.
async fn shown_role(app: &App, role: &role::Defined) -> Result<Value, Problem> {
    let mut members = Vec::new();
    for member in &role.members {
        members.push(app.people.name(member).await?);
    }
    Ok(json!({ "role": role.role, "kind": role.kind, "key": role.key, "name": role.name, "members": members }))
}

/// A member that does not change may be written again, as it was read.
fn same(asked: &Asked, key: &str, known: &str) -> Result<(), Problem> {
    match asked.text(key)? {
        Some(given) if given != known => Err(Problem::malformed(&format!("/{key}"), format!("`{key}` is {known} and does not change"))),
        _ => Ok(()),
    }
}
