//! Services: what people ask for, which workflow version it runs on, on which shelf of the catalog it stands.

use std::collections::BTreeSet;

use axum::http::Method;
use domain::config::Catalog;
use domain::workflow::Rejection;
use domain::workflow::import::Note;
use events::ticket::ServiceKind;
use events::{CatalogId, Meta, ServiceId, WorkflowId, service};
use serde_json::{Value, json};

use super::{NAME_MAX, created, done, is_name, number, ok, superuser, wrong_method};
use crate::http::v1::asked::Asked;
use crate::http::v1::problem::{Answer, Problem};
use crate::people::NAMED_MAX;
use crate::setup::NotSetUp;
use crate::{App, setup};

/// To whom a service is shown (reference/bk-itsm.md 13).
const DISPLAY_TYPES: [&str; 7] = ["OPEN", "GENERAL", "CMDB", "ORGANIZATION", "PERSON", "INVISIBLE", "API"];

pub(in crate::http::v1) async fn services(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
    let app = &asked.app;
    match (method, parts) {
        (&Method::GET, []) => {
            let services = app.configuration.services().await?;
            let catalog = app.configuration.catalog().await?;
            let mut all = Vec::new();
            for service in services.iter().filter_map(|service| service.0.as_ref()) {
                all.push(shown(app, service, &catalog).await?);
            }
            Ok(ok(json!({ "services": all })))
        }
        (&Method::GET, [id]) => {
            let id = ServiceId(number(id, "service")?);
            let service = app.configuration.listed_service(id).await?.ok_or_else(|| Problem::not_found(format!("there is no service {id}")))?;
            let catalog = app.configuration.catalog().await?;
            Ok(ok(shown(app, &service, &catalog).await?))
        }
        (&Method::POST, []) => {
            let by = superuser(&asked).await?;
            // BlueKing calls it the key.
            let kind = match (asked.text("kind")?, asked.text("key")?) {
                (Some(_), Some(_)) => return Err(Problem::malformed("/key", "`key` is another name of `kind`: give one of them")),
                (Some(kind), None) | (None, Some(kind)) => kind,
                (None, None) => return Err(Problem::malformed("/kind", "`kind` is required")),
            };
            let kind = ServiceKind::ALL.into_iter().find(|known| known.key() == kind).ok_or_else(|| NotSetUp::KindUnknown(kind))?;
            check_workflow(&asked, None)?;
            // A workflow that comes along in a file is known when it is deployed.
            let chosen = |key: &str| asked.int(key).map(Option::unwrap_or_default);
            let new = service::Defined {
                service: ServiceId(0),
                name: String::new(),
                desc: String::new(),
                kind,
                workflow: WorkflowId(chosen("workflow")?),
                workflow_version: chosen("version")?,
                is_enabled: true,
                owners: Vec::new(),
                display_type: "OPEN".into(),
                display_roles: Vec::new(),
                seals_text: false,
                priorities: None,
                can_ticket_agency: false,
                rate_after_days: Some(3),
                is_listed: true,
            };
            let mut wanted = changed(&asked, new).await?;
            let shelf = shelf(&asked).await?;
            setup::name_is_free(app, &wanted.name, None).await?;
            let report = taken_over(&asked, &by, &mut wanted, None).await?;
            let version_unknown = version_unknown(&wanted);
            let added = setup::add_service(app, &by, wanted).await.map_err(version_unknown)?;
            if let Some(shelf) = shelf {
                setup::place_service(app, &by, added.service, shelf).await?;
            }
            Ok(created(json!({ "service": added.service, "workflow": added.workflow, "version": added.workflow_version, "report": report })))
        }
        (&Method::PUT, [id]) => {
            let by = superuser(&asked).await?;
            let id = ServiceId(number(id, "service")?);
            let known = app.configuration.service(id).await?;
            let known = known.0.as_ref().filter(|service| service.is_listed).ok_or_else(|| Problem::not_found(format!("there is no service {id}")))?;
            check_workflow(&asked, Some(known.workflow))?;
            let (mut wanted, shelf) = (changed(&asked, known.clone()).await?, shelf(&asked).await?);
            setup::name_is_free(app, &wanted.name, Some(id)).await?;
            let report = taken_over(&asked, &by, &mut wanted, Some(known.workflow)).await?;
            setup::define_service(app, &by, &wanted).await.map_err(version_unknown(&wanted))?;
            if let Some(shelf) = shelf {
                setup::place_service(app, &by, id, shelf).await?;
            }
            Ok(ok(json!({ "service": id, "workflow": wanted.workflow, "version": wanted.workflow_version, "report": report })))
        }
        (&Method::DELETE, [id]) => {
            let by = superuser(&asked).await?;
            setup::remove_service(app, &by, ServiceId(number(id, "service")?)).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// A service as people read it.
async fn shown(app: &App, service: &service::Defined, catalog: &Catalog) -> Result<Value, Problem> {
    let mut shown = json!(service);
    shown["owners"] = app.people.names(&service.owners).await?.into();
    shown["catalog"] = json!(catalog.places.get(&service.service));
    Ok(shown)
}

/// A workflow comes in a file or is one that exists, and the number of a version belongs to one workflow.
fn check_workflow(asked: &Asked, known: Option<WorkflowId>) -> Result<(), Problem> {
    let has = |key: &str| asked.body.contains_key(key);
    for key in ["workflow", "version"] {
        if has("workflow_file") && has(key) {
            return Err(Problem::malformed(&format!("/{key}"), format!("`{key}` and `workflow_file` exclude each other: give one of them")));
        }
    }
    if asked.int("workflow")?.map(WorkflowId).is_some_and(|workflow| known.is_some_and(|known| known != workflow)) && !has("version") {
        return Err(Problem::malformed("/version", "`version` is required with another `workflow`"));
    }
    Ok(())
}

/// A service with what the request says of it; what it does not say stays.
async fn changed(asked: &Asked, known: service::Defined) -> Result<service::Defined, Problem> {
    let mut changed = known;
    let name = asked.text("name")?;
    // A service that is there already keeps its name as it is.
    if name.as_ref().map_or(changed.name.is_empty(), |name| !is_name(name)) {
        return Err(Problem::malformed("/name", format!("`name` is empty, longer than {NAME_MAX} characters, or has control characters")));
    }
    changed.name = name.unwrap_or(changed.name);
    changed.desc = asked.text("desc")?.unwrap_or(changed.desc);
    changed.is_enabled = asked.flag("is_enabled", changed.is_enabled)?;
    changed.can_ticket_agency = asked.flag("can_ticket_agency", changed.can_ticket_agency)?;
    changed.seals_text = asked.flag("seals_text", changed.seals_text)?;
    changed.display_type = asked.text("display_type")?.unwrap_or(changed.display_type);
    if !DISPLAY_TYPES.contains(&changed.display_type.as_str()) {
        return Err(Problem::malformed("/display_type", format!("`display_type` is none of {}", DISPLAY_TYPES.join(", "))));
    }
    if let Some(roles) = asked.body.get("display_roles") {
        changed.display_roles =
            serde_json::from_value(roles.clone()).map_err(|_| Problem::malformed("/display_roles", "`display_roles` is not an array of texts"))?;
    }
    if let Some(names) = asked.names("owners")? {
        if names.len() > NAMED_MAX {
            return Err(Problem::malformed("/owners", format!("`owners` names more than {NAMED_MAX} people")));
        }
        let mut seen = BTreeSet::new();
        let names: Vec<String> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
        changed.owners = asked.app.people.find_all(&names).await?;
    }
    changed.workflow = asked.int("workflow")?.map_or(changed.workflow, WorkflowId);
    changed.workflow_version = asked.int("version")?.unwrap_or(changed.workflow_version);
    if let Some(days) = asked.body.get("rate_after_days") {
        let wrong = || Problem::malformed("/rate_after_days", "`rate_after_days` is neither a number of days nor null");
        changed.rate_after_days = serde_json::from_value(days.clone()).map_err(|_| wrong())?;
    }
    if let Some(matrix) = asked.body.get("priorities") {
        let wrong =
            || Problem::malformed("/priorities", "`priorities` is neither three rows (by urgency) of three priorities (by impact), each 1 to 3, nor null");
        changed.priorities = serde_json::from_value(matrix.clone()).map_err(|_| wrong())?;
        if changed.priorities.iter().flatten().flatten().any(|priority| !(1..=3).contains(priority)) {
            return Err(wrong());
        }
    }
    Ok(changed)
}

/// Names the version that a service cannot point at.
fn version_unknown(wanted: &service::Defined) -> impl Fn(NotSetUp) -> Problem + use<> {
    let (workflow, version) = (wanted.workflow, wanted.workflow_version);
    move |not| match not {
        NotSetUp::Workflow(Rejection::VersionUnknown(_)) => Problem::unknown("/version", format!("there is no version {version} of workflow {workflow}")),
        not => not.into(),
    }
}

/// On which shelf the request puts a service: nothing where it does not say, null takes it off.
async fn shelf(asked: &Asked) -> Result<Option<Option<CatalogId>>, Problem> {
    if !asked.body.contains_key("catalog") {
        return Ok(None);
    }
    let shelf = asked.int("catalog")?.map(CatalogId);
    match shelf {
        Some(id) if !asked.app.configuration.catalog().await?.shelves.contains_key(&id) => {
            Err(Problem::unknown("/catalog", format!("there is no catalog {id}")))
        }
        shelf => Ok(Some(shelf)),
    }
}

/// The workflow that comes along in a file, if one does, becomes the service's; says what became of each thing in the file.
async fn taken_over(asked: &Asked, by: &Meta, service: &mut service::Defined, old: Option<WorkflowId>) -> Result<Vec<Note>, Problem> {
    let mut report = Vec::new();
    if let Some(file) = asked.body.get("workflow_file") {
        let taken = setup::take_over(&asked.app, by, file, true, false, old).await;
        (service.workflow, service.workflow_version, report) = taken.map_err(|not| Problem::from(not).moved("/workflow", "/workflow_file"))?;
    }
    // Its owners are registered when everything else is taken.
    let registered = asked.app.people.register(service.owners.clone()).await?;
    service.owners.iter_mut().for_each(|owner| registered.put(owner));
    Ok(report)
}
