//! Drafts: what a person filled in and did not send, one for each form; and templates, forms of a service kept under a name.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use domain::ticket::Ticket;
use events::draft::{Saved, Sheet};
use events::workflow::Definition;
use events::{DraftId, Entry, NodeId, Pid, Remark, ServiceId, TicketSn};
use serde_json::{Map, Value, json};

use super::asked::Asked;
use super::problem::{Answer, Problem};
use super::shape::{quoted, step};
use super::time;
use crate::{App, drafts};

/// Drafts in one list.
const LIST_MAX: usize = 200;

/// The draft of one form: read, kept, thrown away. All drafts of a person, newest first.
pub(super) async fn drafts(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    let sheet = match parts {
        [] if *method == Method::GET => return list(&asked, "draft", LIST_MAX).await,
        ["services", id] => Sheet::Service(ServiceId(id.parse().map_err(|_| Problem::not_found(format!("there is no service {}", quoted(id))))?)),
        ["tickets", sn, node] => {
            let node = node.parse::<i64>().map_err(|_| Problem::not_found(format!("there is no node {} of ticket {}", quoted(node), quoted(sn))))?;
            Sheet::Node { ticket: TicketSn((*sn).to_owned()), node: NodeId(node) }
        }
        _ => return Err(Problem::method(format!("{method} is not for this path"))),
    };
    // Whoever keeps something is somebody; whoever only looks need not become one.
    let owner = if *method == Method::PUT { asked.actor().await? } else { asked.app.people.find(asked.user()?).await? };
    let id = drafts::id(&asked.app, &owner, &sheet);
    one(&asked, method, &id, &owner, Some(sheet)).await
}

/// Templates of a person, perhaps of one service: `?service=`.
pub(super) async fn templates(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    match (method, parts) {
        (&Method::GET, []) => {
            let kind = match asked.asked_for("service") {
                None => "template".to_owned(),
                Some(text) => {
                    format!("template|{:010}", text.parse::<i64>().map_err(|_| Problem::malformed("service", "`service` is not the id of one service"))?)
                }
            };
            list(&asked, &kind, drafts::TEMPLATES_MAX).await
        }
        (&Method::POST, []) => {
            let owner = asked.actor().await?;
            let service = ServiceId(asked.required_int("service_id")?);
            let others = drafts::list(&asked.app, &owner, "template", drafts::TEMPLATES_MAX).await?;
            if others.len() >= drafts::TEMPLATES_MAX {
                return Err(Problem::conflict(format!("a person has at most {} templates", drafts::TEMPLATES_MAX)));
            }
            let sheet = template(&asked, &owner, service, None, &others)?;
            let id = drafts::id(&asked.app, &owner, &sheet);
            keep(&asked, &id, &owner, sheet).await?;
            Ok((StatusCode::CREATED, Json(json!({ "id": id }))).into_response())
        }
        (&Method::PUT, [id]) => {
            let owner = asked.actor().await?;
            let id = DraftId((*id).to_owned());
            let held = drafts::load(&asked.app, &id, &owner).await?.ok_or_else(|| missing(id.as_str()))?;
            let Sheet::Template { service, name } = &held.sheet else { return Err(missing(id.as_str())) };
            let others = drafts::list(&asked.app, &owner, "template", drafts::TEMPLATES_MAX).await?;
            let sheet = template(&asked, &owner, *service, Some((&id, name.read())), &others)?;
            if asked.body.contains_key("fields") {
                keep(&asked, &id, &owner, sheet).await?;
            } else {
                let form = held.form.iter().map(|entry| Entry::new(entry.key.clone(), entry.read().clone())).collect();
                drafts::save(&asked.app, &id, &owner, sheet, form, &asked.meta(owner.clone())).await?;
            }
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (_, [id]) => {
            let owner = asked.app.people.find(asked.user()?).await?;
            one(&asked, method, &DraftId((*id).to_owned()), &owner, None).await
        }
        _ => Err(Problem::method(format!("{method} is not for this path"))),
    }
}

/// A template's name stands once among those of its owner and service.
fn template(asked: &Asked, owner: &Pid, service: ServiceId, held: Option<(&DraftId, &str)>, others: &[Saved]) -> Result<Sheet, Problem> {
    let name = match (asked.text("name")?, held) {
        (Some(name), _) => name.trim().to_owned(),
        (None, Some((_, name))) => name.to_owned(),
        (None, None) => return Err(Problem::malformed("/name", "`name` is required")),
    };
    let is_taken = |other: &&Saved| {
        let is_other = held.is_none_or(|(id, _)| other.draft != *id);
        is_other && matches!(&other.sheet, Sheet::Template { service: theirs, name: taken } if *theirs == service && taken.read() == name)
    };
    if others.iter().any(|other| is_taken(&other)) {
        return Err(Problem::conflict(format!("there is a template {name} of this service already")));
    }
    Ok(Sheet::Template { service, name: Remark::new(name).owned_by(owner.clone()) })
}

async fn one(asked: &Asked, method: &Method, id: &DraftId, owner: &Pid, sheet: Option<Sheet>) -> Answer {
    match (method, sheet.clone()) {
        (&Method::GET, _) => {
            let saved = drafts::load(&asked.app, id, owner).await?.ok_or_else(|| match &sheet {
                Some(Sheet::Service(service)) => Problem::not_found(format!("you have no draft of a ticket of service {service}")),
                Some(Sheet::Node { ticket, node }) => Problem::not_found(format!("you have no draft of node {node} of ticket {ticket}")),
                Some(Sheet::Template { .. }) | None => missing(id.as_str()),
            })?;
            Ok(Json(shown(&asked.app, &saved).await?).into_response())
        }
        (&Method::PUT, Some(sheet)) => {
            keep(asked, id, owner, sheet).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        (&Method::DELETE, _) => {
            if drafts::load(&asked.app, id, owner).await?.is_some() {
                drafts::discard(&asked.app, id, &asked.meta(owner.clone())).await?;
            }
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(Problem::method(format!("{method} is not for this path"))),
    }
}

async fn keep(asked: &Asked, id: &DraftId, owner: &Pid, sheet: Sheet) -> Result<(), Problem> {
    let mut form = asked.fields()?;
    let definition = definition(&asked.app, &sheet).await?.ok_or_else(|| Problem::not_found("there is no such form"))?;
    // A key stands in the ledger as it is; what people type belongs into values.
    if let Some(stranger) = form.iter().find(|entry| definition.field(&entry.key).is_none()) {
        return Err(Problem::malformed(&step("/fields", &stranger.key), format!("the form has no field `{}`", quoted(&stranger.key))));
    }
    // People whom nobody knows yet stay what was typed: a draft registers nobody.
    asked.app.people.form_in(&definition, &mut form, 0).await?;
    Ok(drafts::save(&asked.app, id, owner, sheet, form, &asked.meta(owner.clone())).await?)
}

async fn list(asked: &Asked, kind: &str, most: usize) -> Answer {
    let owner = asked.app.people.find(asked.user()?).await?;
    let mut shown = Vec::new();
    for saved in drafts::list(&asked.app, &owner, kind, most).await? {
        shown.push(self::shown(&asked.app, &saved).await?);
    }
    let name = if kind == "draft" { "drafts" } else { "templates" };
    Ok(Json(json!({ name: shown })).into_response())
}

async fn shown(app: &App, saved: &Saved) -> Result<Value, Problem> {
    let definition = definition(app, &saved.sheet).await?.unwrap_or_default();
    let mut fields = Map::new();
    for entry in &saved.form {
        fields.insert(entry.key.clone(), app.people.value_out(definition.field(&entry.key), entry.read()).await?);
    }
    let mut shown = json!({ "id": saved.draft, "fields": fields, "until": saved.due.map(|due| time(app, due)) });
    match &saved.sheet {
        Sheet::Service(service) => shown["service"] = json!(service),
        Sheet::Node { ticket, node } => {
            shown["ticket"] = json!(ticket);
            shown["node"] = json!(node);
        }
        Sheet::Template { service, name } => {
            shown["service"] = json!(service);
            shown["name"] = json!(name.read());
        }
    }
    Ok(shown)
}

/// The workflow a form belongs to.
async fn definition(app: &App, sheet: &Sheet) -> Result<Option<Definition>, Problem> {
    let (workflow, version) = match sheet {
        Sheet::Service(service) | Sheet::Template { service, .. } => match app.configuration.listed_service(*service).await? {
            Some(service) => (service.workflow, service.workflow_version),
            None => return Ok(None),
        },
        Sheet::Node { ticket, node } => {
            let state = app.ledger.load::<Ticket>(&ticket.stream()).await?.aggregate.0;
            match state.opened.as_ref().filter(|_| state.nodes.contains_key(node)) {
                Some(opened) => (opened.workflow, opened.workflow_version),
                None => return Ok(None),
            }
        }
    };
    Ok(app.configuration.workflow(workflow, version).await?.map(|deployed| deployed.definition.clone()))
}

fn missing(what: &str) -> Problem {
    Problem::not_found(format!("you have no template {}", quoted(what)))
}
