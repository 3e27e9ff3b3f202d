//! What the desk is set up with, over `/v1`: reading is for every caller, changing for superusers. Workflows stand in [`workflows`], the library of shared
//! fields in [`library`], services in [`services`]; here the catalog, dictionaries, roles.

mod library;
mod services;
mod workflows;

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::config::{Dictionary, Role};
use domain::options;
use events::catalog::Changed;
use events::role::RoleKind;
use events::workflow::Choice;
use events::{CatalogId, RoleId, dictionary, role};
use infra::views::Range;
use serde_json::{Value, json};

use super::asked::Asked;
use super::problem::{Answer, Problem};
use crate::configuration::SUPERUSER;
use crate::setup;
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

/// Some things are for superusers alone: what the desk is set up with, and calls of all tickets.
pub(super) async fn superuser(asked: &Asked) -> Result<(), Problem> {
    let pid = asked.app.people.find(asked.user()?).await?;
    if asked.app.configuration.is_superuser(&pid).await? { Ok(()) } else { Err(Problem::forbidden("this is for superusers")) }
}

fn number(text: &str, what: &str) -> Result<i64, Problem> {
    text.parse().ok().filter(|id| *id > 0).ok_or_else(|| Problem::not_found(format!("there is no {what} {text}")))
}

/// Codes of dictionaries and keys of fields are words.
fn check_code(code: &str, what: &str) -> Result<(), Problem> {
    let is_word = !code.is_empty() && code.len() <= NAME_MAX && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_word { Ok(()) } else { Err(Problem::malformed(what, "it is made of letters, digits and underscores")) }
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
        (&Method::POST, []) => {
            superuser(&asked).await?;
            let parent = asked.int("parent")?.map(CatalogId).ok_or_else(|| Problem::malformed("/parent", "it is missing"))?;
            let added = setup::add_catalog(app, parent, &asked.required("name")?, &asked.text("desc")?.unwrap_or_default()).await?;
            Ok(created(json!(added)))
        }
        (&Method::PUT, [id]) => {
            superuser(&asked).await?;
            let id = CatalogId(number(id, "catalog")?);
            let catalog = app.configuration.catalog().await?;
            let shelf = catalog.shelves.get(&id).ok_or_else(|| Problem::not_found(format!("there is no catalog {id}")))?;
            let changed = Changed {
                id,
                name: asked.text("name")?.unwrap_or_else(|| shelf.name.clone()),
                desc: asked.text("desc")?.unwrap_or_else(|| shelf.desc.clone()),
                parent: asked.int("parent")?.map(CatalogId).or(shelf.parent),
            };
            setup::change_catalog(app, changed).await?;
            Ok(done())
        }
        (&Method::DELETE, [id]) => {
            superuser(&asked).await?;
            setup::remove_catalog(app, CatalogId(number(id, "catalog")?)).await?;
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
            superuser(&asked).await?;
            check_code(code, "code")?;
            let items = asked.body.get("items").cloned().unwrap_or_else(|| json!([]));
            let items: Vec<Choice> = serde_json::from_value(items).map_err(|error| Problem::malformed("/items", error.to_string()))?;
            if options::count(&items) > ITEMS_MAX {
                return Err(Problem::malformed("/items", format!("more than {ITEMS_MAX} options")));
            }
            let (name, is_enabled) = (asked.required("name")?, asked.flag("is_enabled", true)?);
            let defined = dictionary::Defined { code: (*code).to_owned(), name, is_enabled, items, is_listed: true };
            setup::define::<Dictionary>(app, format!("dictionary-{code}"), &defined).await?;
            Ok(ok(json!(defined)))
        }
        (&Method::DELETE, [code]) => {
            superuser(&asked).await?;
            let known = app.configuration.dictionary(code).await?;
            let known = known.0.as_ref().filter(|list| list.is_listed).ok_or_else(|| Problem::not_found(format!("there is no dictionary {code}")))?;
            setup::remove_dictionary(app, known).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// Names of roles stand in lists of workflow files, between commas.
fn is_role_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= NAME_MAX && !name.chars().any(|c| c.is_control() || matches!(c, ',' | '<' | '>' | '\'' | '"' | ';'))
}

pub(super) async fn roles(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    let app = &asked.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let mut shown = Vec::new();
            for role in app.configuration.roles().await?.iter().filter_map(|role| role.0.as_ref()) {
                let members = app.people.names(&role.members).await?;
                let members: Vec<&str> = members.split(',').filter(|name| !name.is_empty()).collect();
                shown.push(json!({ "role": role.role, "kind": role.kind, "key": role.key, "name": role.name, "members": members }));
            }
            Ok(ok(json!({ "roles": shown })))
        }
        (&Method::PUT, [id]) => {
            superuser(&asked).await?;
            let id = RoleId(number(id, "role")?);
            let known = app.configuration.role(id).await?;
            let names = asked.names("members")?;
            if names.len() > MEMBERS_MAX {
                return Err(Problem::malformed("/members", format!("more than {MEMBERS_MAX} people are named")));
            }
            if id == SUPERUSER && names.is_empty() {
                return Err(Problem::conflict("somebody must stay superuser"));
            }
            let kind = known.0.as_ref().map_or(RoleKind::General, |role| role.kind);
            let key = known.0.as_ref().map_or_else(|| asked.required("key"), |role| Ok(role.key.clone()))?;
            let name = match asked.text("name")? {
                Some(name) if is_role_name(&name) => name,
                Some(_) => return Err(Problem::malformed("/name", "it is empty or has characters that names do not have")),
                None => known.0.as_ref().map(|role| role.name.clone()).ok_or_else(|| Problem::malformed("/name", "it is missing"))?,
            };
            let members = app.people.pids(&names).await?;
            let defined = role::Defined { role: id, kind, key, name, members, is_listed: true };
            setup::define::<Role>(app, format!("role-{id}"), &defined).await?;
            Ok(done())
        }
        (&Method::DELETE, [id]) => {
            superuser(&asked).await?;
            let id = RoleId(number(id, "role")?);
            let known = app.configuration.role(id).await?;
            let known = known.0.as_ref().filter(|role| role.is_listed).ok_or_else(|| Problem::not_found(format!("there is no role {id}")))?;
            setup::remove_role(app, known).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}
