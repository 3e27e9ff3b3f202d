//! What the desk is set up with, over `/v1`: workflows with drafts and versions, services, the catalog, dictionaries, roles. Reading is for every
//! caller, changing for superusers.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::config::{Dictionary, Role, SharedField};
use domain::views::workflow_card::WorkflowCard;
use domain::workflow::{check, export};
use events::catalog::Changed;
use events::role::RoleKind;
use events::workflow::{Choice, Definition, Field};
use events::{CatalogId, RoleId, ServiceId, WorkflowId, dictionary, field, role};
use infra::views::Range;
use serde_json::{Value, json};

use super::asked::Asked;
use super::problem::{Answer, Problem};
use crate::configuration::SUPERUSER;
use crate::people::is_name;
use crate::setup::{self, ServiceWish};
use crate::stream::follow::read_card;
use crate::{App, company};

/// Things in one list.
const LIST_MAX: usize = 1000;
/// Longest code of a dictionary, longest name of anything.
const NAME_MAX: usize = 64;
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

/// Only superusers change what the desk is set up with.
pub(super) async fn superuser(asked: &Asked) -> Result<(), Problem> {
    let pid = asked.app.people.find(asked.user()?).await?;
    if asked.app.configuration.is_superuser(&pid).await? { Ok(()) } else { Err(Problem::forbidden("only superusers change what the desk is set up with")) }
}

fn number(text: &str, what: &str) -> Result<i64, Problem> {
    text.parse().ok().filter(|id| *id > 0).ok_or_else(|| Problem::not_found(format!("there is no {what} {text}")))
}

pub(super) async fn workflows(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    let app = &asked.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let range = Range { view: "workflow", index: "id", from: "", to: "~", descending: false, skip: 0, limit: LIST_MAX };
            let mut cards = Vec::new();
            for entry in app.views.range(range).await? {
                if let Some(document) = app.views.get("workflow", &entry.key).await? {
                    let card: WorkflowCard = read_card(&entry.key, &document)?;
                    cards.push(json!(card));
                }
            }
            Ok(ok(json!({ "workflows": cards })))
        }
        (&Method::POST, []) => {
            superuser(&asked).await?;
            let definition = definition(&asked).await?;
            let id = setup::draft(app, definition, None).await?;
            Ok(created(json!({ "workflow": id })))
        }
        (&Method::POST, ["import"]) => {
            superuser(&asked).await?;
            let file = asked.body.get("workflow").ok_or_else(|| Problem::malformed("/workflow", "it is missing"))?;
            let (id, report) = setup::import_workflow(app, file, None).await?;
            let problems = app.configuration.drawn(id).await?.draft.as_deref().map(check::problems).unwrap_or_default();
            Ok(created(json!({ "workflow": id, "report": report, "problems": problems })))
        }
        (method, [id, rest @ ..]) => workflow(&asked, method, WorkflowId(number(id, "workflow")?), rest).await,
        _ => Err(wrong_method(method)),
    }
}

async fn workflow(asked: &Asked, method: &Method, id: WorkflowId, rest: &[&str]) -> Answer {
    let app = &asked.app;
    let drawn = app.configuration.drawn(id).await?;
    if drawn.draft.is_none() && drawn.versions.is_empty() {
        return Err(Problem::not_found(format!("there is no workflow {id}")));
    }
    match (method, rest) {
        (&Method::GET, []) => {
            let versions: Vec<i64> = drawn.versions.keys().copied().filter(|version| drawn.is_listed(*version)).collect();
            let draft = match drawn.draft.as_deref() {
                Some(draft) => Some(named(app, draft).await?),
                None => None,
            };
            let problems = drawn.draft.as_deref().map(check::problems).unwrap_or_default();
            Ok(ok(json!({ "workflow": id, "closed": drawn.closed, "versions": versions, "draft": draft, "problems": problems })))
        }
        (&Method::PUT, ["draft"]) => {
            superuser(asked).await?;
            let definition = definition(asked).await?;
            let problems = check::problems(&definition);
            setup::draft(app, definition, Some(id)).await?;
            Ok(ok(json!({ "workflow": id, "problems": problems })))
        }
        (&Method::POST, ["deploy"]) => {
            superuser(asked).await?;
            let version = setup::deploy(app, id).await?;
            Ok(created(json!({ "workflow": id, "version": version })))
        }
        (&Method::POST, ["close" | "reopen"]) => {
            superuser(asked).await?;
            setup::close_workflow(app, id, rest[0] == "close").await?;
            Ok(done())
        }
        (_, ["versions", version, rest @ ..]) => {
            let version = number(version, "version")?;
            let deployed = drawn.versions.get(&version).ok_or_else(|| Problem::not_found(format!("there is no version {version} of workflow {id}")))?;
            match (method, rest) {
                (&Method::GET, []) => Ok(ok(
                    json!({ "workflow": id, "version": version, "definition": named(app, &deployed.definition).await?, "listed": drawn.is_listed(version) }),
                )),
                (&Method::GET, ["export"]) => {
                    let mut definition = deployed.definition.clone();
                    company::with_names(app, &mut definition).await?;
                    Ok(ok(export::write(&definition, &version.to_string(), &setup::role_names(app).await?)))
                }
                (&Method::POST, ["restore"]) => {
                    superuser(asked).await?;
                    setup::restore(app, id, version).await?;
                    Ok(done())
                }
                (&Method::DELETE, []) => {
                    superuser(asked).await?;
                    setup::remove_version(app, id, version).await?;
                    Ok(done())
                }
                _ => Err(wrong_method(method)),
            }
        }
        _ => Err(wrong_method(method)),
    }
}

async fn named(app: &App, definition: &Definition) -> Result<Value, Problem> {
    let mut definition = definition.clone();
    company::with_names(app, &mut definition).await?;
    Ok(json!(definition))
}

async fn definition(asked: &Asked) -> Result<Definition, Problem> {
    let mut given = asked.body.get("definition").cloned().ok_or_else(|| Problem::malformed("/definition", "it is missing"))?;
    for (at, field) in given.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
        from_library(&asked.app, field, at).await?;
    }
    let mut definition: Definition = serde_json::from_value(given).map_err(|error| Problem::malformed("/definition", error.to_string()))?;
    company::with_pids(&asked.app, &mut definition).await?;
    // Fields that come without a number get one.
    let free = definition.fields.iter().map(|field| field.id).max().unwrap_or_default() + 1;
    for (id, field) in (free..).zip(definition.fields.iter_mut().filter(|field| field.id == 0)) {
        field.id = id;
    }
    Ok(definition)
}

/// A field that names a shared one (`library`) is a copy of it; what is given beside that name is its own.
async fn from_library(app: &App, field: &mut Value, at: usize) -> Result<(), Problem> {
    let Some(key) = field.get("library").and_then(Value::as_str).filter(|key| !key.is_empty()).map(str::to_owned) else { return Ok(()) };
    let is_whole = ["key", "type", "name"].iter().all(|member| field.get(*member).is_some());
    let Some(shared) = app.configuration.field(&key).await? else {
        // A copy that was taken before stays what it is, whatever became of the library.
        let missing = || Problem::malformed(&format!("/definition/fields/{at}/library"), format!("there is no shared field {key}"));
        return if is_whole { Ok(()) } else { Err(missing()) };
    };
    if let (Value::Object(copy), Some(own)) = (self::shared(app, shared).await?, field.as_object()) {
        let own = own.clone();
        *field = Value::Object(copy.into_iter().filter(|(member, _)| !is_whole || own.contains_key(member)).chain(own.clone()).collect());
    }
    Ok(())
}

/// The library of shared fields.
pub(super) async fn fields(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    let app = &asked.app;
    let missing = |key: &str| Problem::not_found(format!("there is no shared field {key}"));
    match (method, parts) {
        (&Method::GET, []) => {
            let range = Range { view: "field", index: "id", from: "", to: "~", descending: false, skip: 0, limit: LIST_MAX };
            let mut fields = Vec::new();
            for entry in app.views.range(range).await? {
                if let Some(field) = app.configuration.field(&entry.value).await? {
                    fields.push(shared(app, field).await?);
                }
            }
            Ok(ok(json!({ "fields": fields })))
        }
        (&Method::GET, [key]) => Ok(ok(shared(app, app.configuration.field(key).await?.ok_or_else(|| missing(key))?).await?)),
        (&Method::PUT, [key]) => {
            superuser(&asked).await?;
            check_code(key, "key")?;
            let mut given = asked.body.clone();
            given.insert("key".into(), (*key).into());
            let mut field: Field = serde_json::from_value(given.into()).map_err(|error| Problem::malformed("body", error.to_string()))?;
            // A file is uploaded for a workflow, which keeps it; the library keeps none.
            if !field.templates.is_empty() {
                return Err(Problem::malformed("/templates", "a shared field hands out no files; the workflow that takes it may"));
            }
            company::default_in(app, &mut field).await?;
            if let Some(problem) = check::field_problems(&field).into_iter().next() {
                return Err(Problem::malformed("body", problem));
            }
            setup::define::<SharedField>(app, format!("field-{key}"), &field::Defined { field: field.clone(), is_listed: true }).await?;
            Ok(ok(shared(app, field).await?))
        }
        (&Method::DELETE, [key]) => {
            superuser(&asked).await?;
            let field = app.configuration.field(key).await?.ok_or_else(|| missing(key))?;
            setup::define::<SharedField>(app, format!("field-{key}"), &field::Defined { field, is_listed: false }).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// A shared field as people read it.
async fn shared(app: &App, mut field: Field) -> Result<Value, Problem> {
    field.default = app.people.value_out(Some(&field), &field.default).await?;
    Ok(json!(field))
}

/// Codes of dictionaries and keys of fields are words.
fn check_code(code: &str, what: &str) -> Result<(), Problem> {
    let is_word = !code.is_empty() && code.len() <= NAME_MAX && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_word { Ok(()) } else { Err(Problem::malformed(what, "it is made of letters, digits and underscores")) }
}

pub(super) async fn services(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    let app = &asked.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let services = app.configuration.services().await?;
            let catalog = app.configuration.catalog().await?;
            let mut shown = Vec::new();
            for service in services.iter().filter_map(|service| service.0.as_ref()) {
                let mut one = json!(service);
                one["owners"] = app.people.names(&service.owners).await?.into();
                one["catalog"] = json!(catalog.places.get(&service.service));
                shown.push(one);
            }
            Ok(ok(json!({ "services": shown })))
        }
        (&Method::POST, []) => {
            superuser(&asked).await?;
            let (service, report) = setup::import_service(app, service_wish(&asked, None)?).await?;
            Ok(created(json!({ "service": service.service, "workflow": service.workflow, "version": service.workflow_version, "report": report })))
        }
        (&Method::PUT, [id]) => {
            superuser(&asked).await?;
            let id = ServiceId(number(id, "service")?);
            let known = app.configuration.service(id).await?;
            let known = known.0.as_ref().ok_or_else(|| Problem::not_found(format!("there is no service {id}")))?;
            if asked.body.contains_key("workflow_file") {
                let (service, report) = setup::import_service(app, service_wish(&asked, Some(id))?).await?;
                return Ok(ok(json!({ "service": id, "workflow": service.workflow, "version": service.workflow_version, "report": report })));
            }
            let mut changed = known.clone();
            changed.name = asked.text("name")?.unwrap_or(changed.name);
            changed.desc = asked.text("desc")?.unwrap_or(changed.desc);
            changed.is_enabled = asked.flag("is_enabled", changed.is_enabled)?;
            changed.can_ticket_agency = asked.flag("can_ticket_agency", changed.can_ticket_agency)?;
            if let Some(workflow) = asked.int("workflow")? {
                changed.workflow = WorkflowId(workflow);
            }
            changed.workflow_version = asked.int("version")?.unwrap_or(changed.workflow_version);
            if let Some(days) = asked.int("rate_after_days")? {
                changed.rate_after_days = Some(u16::try_from(days).map_err(|_| Problem::malformed("/rate_after_days", "it is not a number of days"))?);
            }
            if changed.name.trim().is_empty() || changed.name.chars().count() > NAME_MAX {
                return Err(Problem::malformed("/name", format!("it is empty or longer than {NAME_MAX} characters")));
            }
            setup::define_service(app, &changed).await?;
            Ok(ok(json!({ "service": id, "workflow": changed.workflow, "version": changed.workflow_version })))
        }
        _ => Err(wrong_method(method)),
    }
}

fn service_wish(asked: &Asked, id: Option<ServiceId>) -> Result<ServiceWish, Problem> {
    let name = asked.required("name")?;
    if name.chars().count() > NAME_MAX {
        return Err(Problem::malformed("/name", format!("it is longer than {NAME_MAX} characters")));
    }
    Ok(ServiceWish {
        id,
        name,
        kind: asked.required("key")?,
        desc: asked.text("desc")?.unwrap_or_default(),
        is_enabled: asked.flag("is_enabled", true)?,
        display_type: asked.text("display_type")?.unwrap_or_else(|| "OPEN".into()),
        display_roles: Vec::new(),
        owners: asked.names("owners")?,
        catalog: asked.int("catalog")?.map(CatalogId),
        can_ticket_agency: asked.flag("can_ticket_agency", false)?,
        may_name_secrets: true,
        workflow: asked.body.get("workflow_file").cloned().ok_or_else(|| Problem::malformed("/workflow_file", "it is missing"))?,
    })
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
        (&Method::GET, [code]) => match &app.configuration.dictionary(code).await?.0 {
            Some(list) => Ok(ok(json!(list))),
            None => Err(Problem::not_found(format!("there is no dictionary {code}"))),
        },
        (&Method::PUT, [code]) => {
            superuser(&asked).await?;
            check_code(code, "code")?;
            let items = asked.body.get("items").cloned().unwrap_or_else(|| json!([]));
            let items: Vec<Choice> = serde_json::from_value(items).map_err(|error| Problem::malformed("/items", error.to_string()))?;
            if count(&items) > ITEMS_MAX {
                return Err(Problem::malformed("/items", format!("more than {ITEMS_MAX} options")));
            }
            let defined = dictionary::Defined { code: (*code).to_owned(), name: asked.required("name")?, is_enabled: asked.flag("is_enabled", true)?, items };
            setup::define::<Dictionary>(app, format!("dictionary-{code}"), &defined).await?;
            Ok(ok(json!(defined)))
        }
        _ => Err(wrong_method(method)),
    }
}

fn count(items: &[Choice]) -> usize {
    items.iter().map(|item| 1 + count(&item.items)).sum()
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
            let mut members = Vec::new();
            for name in asked.names("members")? {
                members.push(app.people.pid(&name).await?);
            }
            if id == SUPERUSER && members.is_empty() {
                return Err(Problem::conflict("somebody must stay superuser"));
            }
            let kind = known.0.as_ref().map_or(RoleKind::General, |role| role.kind);
            let key = known.0.as_ref().map_or_else(|| asked.required("key"), |role| Ok(role.key.clone()))?;
            let name = match asked.text("name")? {
                Some(name) if is_name(&name) => name,
                Some(_) => return Err(Problem::malformed("/name", "it is empty or has characters that names do not have")),
                None => known.0.as_ref().map(|role| role.name.clone()).ok_or_else(|| Problem::malformed("/name", "it is missing"))?,
            };
            let defined = role::Defined { role: id, kind, key, name, members };
            setup::define::<Role>(app, format!("role-{id}"), &defined).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}
