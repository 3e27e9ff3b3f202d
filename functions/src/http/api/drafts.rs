//! Handles drafts and templates of forms in the API `/v1`. A draft contains the values of a form
//! that is not submitted yet. Each person has at most one draft per form. A template contains the
//! form values of a service, saved under a name.

use axum::http::Method;
use domain::ticket::Ticket;
use events::app::Scope;
use events::draft::{FormRef, Saved};
use events::workflow::Definition;
use events::{DraftId, Entry, NodeId, PersonId, Remark, ServiceId, TicketSn};
use serde::Serialize;
use serde_json::{Map, Value};

use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{Time, created, done, ok, time};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, EMPTY, Operation, Resource, delete, get, list as list_operation, post, put,
    segments,
};
use super::shape::{FORM, INTEGER, Member, Shape, optional, required};
use super::shape::{quoted, step};
use crate::App;
use crate::app::drafts;

const SERVICE_ID: Member = required("service_id", INTEGER);
const NAME: Member = required("name", Shape::Text);
const NEW_NAME: Member = optional("name", Shape::Text);
const FIELDS: Member = optional("fields", FORM);
const WHOLE_FORM: Member = required("fields", FORM);

const OPERATIONS: &[Operation] = &[
    get("/v1/drafts", "lists the caller's drafts").returning::<Drafts>(),
    get(
        "/v1/drafts/services/{id}",
        "shows the draft of a new ticket of a service",
    )
    .returning::<SavedForm>(),
    put("/v1/drafts/services/{id}", "saves the draft", &[WHOLE_FORM]).answering(EMPTY),
    delete("/v1/drafts/services/{id}", "deletes the draft"),
    get(
        "/v1/drafts/tickets/{sn}/{node}",
        "shows the draft of a node's form",
    )
    .returning::<SavedForm>(),
    put(
        "/v1/drafts/tickets/{sn}/{node}",
        "saves the draft",
        &[WHOLE_FORM],
    )
    .answering(EMPTY),
    delete("/v1/drafts/tickets/{sn}/{node}", "deletes the draft"),
    list_operation(
        "/v1/templates",
        "lists the caller's templates",
        &[("service", Asks::Integers)],
    )
    .returning::<Templates>(),
    post(
        "/v1/templates",
        "saves a form as a template",
        &[SERVICE_ID, NAME, WHOLE_FORM],
    )
    .creating()
    .returning::<NewTemplate>(),
    get("/v1/templates/{template}", "shows a template").returning::<SavedForm>(),
    put(
        "/v1/templates/{template}",
        "changes a template",
        &[NEW_NAME, FIELDS],
    )
    .answering(EMPTY),
    delete("/v1/templates/{template}", "deletes a template"),
];

/// The drafts of the caller, newest first.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Drafts {
    drafts: Vec<SavedForm>,
}

/// The templates of the caller.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Templates {
    templates: Vec<SavedForm>,
}

/// A new template.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct NewTemplate {
    id: String,
}

/// A draft or a template. A draft of a new ticket has `service`, a draft of a node has `ticket` and
/// `node`, and a template has `service` and `name`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SavedForm {
    id: String,
    #[cfg_attr(test, schemars(schema_with = "schema::object"))]
    fields: Map<String, Value>,
    /// The time after which the desk deletes the draft.
    until: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// The operations on drafts and templates, and the function that handles these operations.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        match *segments(&call.path) {
            ["drafts", ref rest @ ..] => drafts(call.request, &call.method, rest).await,
            [_, ref rest @ ..] => templates(call.request, &call.method, rest).await,
            [] => Err(Problem::not_found("this path does not exist")),
        }
    })
}

/// The largest number of drafts in one list.
const LIST_MAX: usize = 200;

/// Reads, saves or deletes the draft of one form. If the path contains no form, the function lists
/// all drafts of the caller, newest first.
async fn drafts(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    let form_ref = match parts {
        [] if *method == Method::GET => return list(&request, "draft", LIST_MAX).await,
        ["services", id] => {
            FormRef::Service(ServiceId(id.parse().map_err(|_| {
                Problem::not_found(format!("there is no service {}", quoted(id)))
            })?))
        }
        ["tickets", sn, node] => {
            let node = node.parse::<i64>().map_err(|_| {
                Problem::not_found(format!(
                    "there is no node {} of ticket {}",
                    quoted(node),
                    quoted(sn)
                ))
            })?;
            FormRef::Node {
                ticket: TicketSn((*sn).to_owned()),
                node: NodeId(node),
            }
        }
        _ => {
            return Err(Problem::method(format!(
                "{method} is not allowed on this path"
            )));
        }
    };
    // A caller can have a user name that is not registered yet. A request that saves a draft
    // registers this caller. A request that reads or deletes a draft registers no caller.
    let owner = if *method == Method::PUT {
        request.actor().await?
    } else {
        request.app.people.find(request.user()?).await?
    };
    let id = drafts::id(&request.app, &owner, &form_ref);
    one(&request, method, &id, &owner, Some(form_ref)).await
}

/// Lists, creates, changes or deletes templates of the caller. With the query parameter `service`,
/// the list contains only the templates of this service.
async fn templates(request: Asked, method: &Method, parts: &[&str]) -> ApiResult {
    match (method, parts) {
        (&Method::GET, []) => {
            let kind = match request.asked_for("service") {
                None => "template".to_owned(),
                Some(text) => {
                    format!(
                        "template|{:010}",
                        text.parse::<i64>().map_err(|_| Problem::malformed(
                            "service",
                            "`service` must be the id of one service"
                        ))?
                    )
                }
            };
            list(&request, &kind, drafts::TEMPLATES_MAX).await
        }
        (&Method::POST, []) => {
            let owner = request.actor().await?;
            let service = ServiceId(request.required_int("service_id")?);
            let others =
                drafts::list(&request.app, &owner, "template", drafts::TEMPLATES_MAX).await?;
            if others.len() >= drafts::TEMPLATES_MAX {
                return Err(Problem::conflict(format!(
                    "a person can have at most {} templates",
                    drafts::TEMPLATES_MAX
                )));
            }
            let form_ref = template(&request, &owner, service, None, &others)?;
            let id = drafts::id(&request.app, &owner, &form_ref);
            save(&request, &id, &owner, form_ref).await?;
            Ok(created(&NewTemplate { id: id.0 }))
        }
        (&Method::PUT, [id]) => {
            let owner = request.actor().await?;
            let id = DraftId((*id).to_owned());
            let current = drafts::load(&request.app, &id, &owner)
                .await?
                .ok_or_else(|| missing(id.as_str()))?;
            let FormRef::Template { service, name } = &current.form_ref else {
                return Err(missing(id.as_str()));
            };
            let others =
                drafts::list(&request.app, &owner, "template", drafts::TEMPLATES_MAX).await?;
            let form_ref = template(
                &request,
                &owner,
                *service,
                Some((&id, name.read())),
                &others,
            )?;
            if request.body.contains_key("fields") {
                save(&request, &id, &owner, form_ref).await?;
            } else {
                let form = current
                    .form
                    .iter()
                    .map(|entry| Entry::new(entry.key.clone(), entry.read().clone()))
                    .collect();
                drafts::save(
                    &request.app,
                    &id,
                    &owner,
                    form_ref,
                    form,
                    &request.meta(owner.clone()),
                )
                .await?;
            }
            Ok(done())
        }
        (_, [id]) => {
            let owner = request.app.people.find(request.user()?).await?;
            one(&request, method, &DraftId((*id).to_owned()), &owner, None).await
        }
        _ => Err(Problem::method(format!(
            "{method} is not allowed on this path"
        ))),
    }
}

/// Returns the reference that identifies a new or changed template: the service and the name of the
/// template. Returns an error if another template in `others` has the same service and the same
/// name. `current` contains the id and the name of the template before the change. For a new
/// template, `current` is `None`.
fn template(
    request: &Asked,
    owner: &PersonId,
    service: ServiceId,
    current: Option<(&DraftId, &str)>,
    others: &[Saved],
) -> Result<FormRef, Problem> {
    let name = match (request.text("name")?, current) {
        (Some(name), _) => name.trim().to_owned(),
        (None, Some((_, name))) => name.to_owned(),
        (None, None) => return Err(Problem::malformed("/name", "`name` is required")),
    };
    let is_taken = |other: &&Saved| {
        let is_other = current.is_none_or(|(id, _)| other.draft != *id);
        is_other
            && matches!(&other.form_ref, FormRef::Template { service: other_service, name: other_name } if *other_service == service && other_name.read() == name)
    };
    if others.iter().any(|other| is_taken(&other)) {
        return Err(Problem::conflict(format!(
            "a template {name} of this service already exists"
        )));
    }
    Ok(FormRef::Template {
        service,
        name: Remark::new(name).owned_by(owner.clone()),
    })
}

async fn one(
    request: &Asked,
    method: &Method,
    id: &DraftId,
    owner: &PersonId,
    form_ref: Option<FormRef>,
) -> ApiResult {
    match (method, form_ref.clone()) {
        (&Method::GET, _) => {
            let saved =
                drafts::load(&request.app, id, owner)
                    .await?
                    .ok_or_else(|| match &form_ref {
                        Some(FormRef::Service(service)) => Problem::not_found(format!(
                            "you have no draft of a ticket of service {service}"
                        )),
                        Some(FormRef::Node { ticket, node }) => Problem::not_found(format!(
                            "you have no draft of node {node} of ticket {ticket}"
                        )),
                        Some(FormRef::Template { .. }) | None => missing(id.as_str()),
                    })?;
            Ok(ok(&shown(&request.app, &saved).await?))
        }
        (&Method::PUT, Some(form_ref)) => {
            save(request, id, owner, form_ref).await?;
            Ok(done())
        }
        (&Method::DELETE, _) => {
            if drafts::load(&request.app, id, owner).await?.is_some() {
                drafts::discard(&request.app, id, &request.meta(owner.clone())).await?;
            }
            Ok(done())
        }
        _ => Err(Problem::method(format!(
            "{method} is not allowed on this path"
        ))),
    }
}

async fn save(
    request: &Asked,
    id: &DraftId,
    owner: &PersonId,
    form_ref: FormRef,
) -> Result<(), Problem> {
    let mut form = request.fields()?;
    let definition = definition(&request.app, &form_ref)
        .await?
        .ok_or_else(|| Problem::not_found("the form does not exist"))?;
    // The keys of form fields are stored without encryption, so they must not contain text that a
    // user typed. Only field keys of the workflow definition are therefore accepted.
    if let Some(unknown_entry) = form
        .iter()
        .find(|entry| definition.field(&entry.key).is_none())
    {
        return Err(Problem::malformed(
            &step("/fields", &unknown_entry.key),
            format!("the form has no field `{}`", quoted(&unknown_entry.key)),
        ));
    }
    // The form can contain names of users that are not registered. These names are stored as text,
    // because saving a draft registers only the owner of the draft.
    request
        .app
        .people
        .form_in(&definition, &mut form, 0)
        .await?;
    Ok(drafts::save(
        &request.app,
        id,
        owner,
        form_ref,
        form,
        &request.meta(owner.clone()),
    )
    .await?)
}

async fn list(request: &Asked, kind: &str, most: usize) -> ApiResult {
    let owner = request.app.people.find(request.user()?).await?;
    let mut shown = Vec::new();
    for saved in drafts::list(&request.app, &owner, kind, most).await? {
        shown.push(self::shown(&request.app, &saved).await?);
    }
    Ok(if kind == "draft" {
        ok(&Drafts { drafts: shown })
    } else {
        ok(&Templates { templates: shown })
    })
}

async fn shown(app: &App, saved: &Saved) -> Result<SavedForm, Problem> {
    let definition = definition(app, &saved.form_ref).await?.unwrap_or_default();
    let mut fields = Map::new();
    for entry in &saved.form {
        fields.insert(
            entry.key.clone(),
            app.people
                .value_out(definition.field(&entry.key), entry.read())
                .await?,
        );
    }
    let form = SavedForm {
        id: saved.draft.0.clone(),
        fields,
        until: saved.due.map(|due| time(app, due)),
        service: None,
        ticket: None,
        node: None,
        name: None,
    };
    Ok(match &saved.form_ref {
        FormRef::Service(service) => SavedForm {
            service: Some(service.0),
            ..form
        },
        FormRef::Node { ticket, node } => SavedForm {
            ticket: Some(ticket.to_string()),
            node: Some(node.0),
            ..form
        },
        FormRef::Template { service, name } => SavedForm {
            service: Some(service.0),
            name: Some(name.read().to_owned()),
            ..form
        },
    })
}

/// Returns the workflow definition to which a form belongs. Returns `None` if the form does not
/// exist.
async fn definition(app: &App, form_ref: &FormRef) -> Result<Option<Definition>, Problem> {
    let (workflow, version) = match form_ref {
        FormRef::Service(service) | FormRef::Template { service, .. } => {
            match app.configuration.listed_service(*service).await? {
                Some(service) => (service.workflow, service.workflow_version),
                None => return Ok(None),
            }
        }
        FormRef::Node { ticket, node } => {
            let state = app
                .ledger
                .load::<Ticket>(&ticket.stream())
                .await?
                .aggregate
                .0;
            match state
                .opened
                .as_ref()
                .filter(|_| state.nodes.contains_key(node))
            {
                Some(opened) => (opened.workflow, opened.workflow_version),
                None => return Ok(None),
            }
        }
    };
    Ok(app
        .configuration
        .workflow(workflow, version)
        .await?
        .map(|deployed| deployed.definition.clone()))
}

fn missing(what: &str) -> Problem {
    Problem::not_found(format!("you have no template {}", quoted(what)))
}
