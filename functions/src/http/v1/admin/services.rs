//! Services: what people ask for, which workflow version it runs on, on which shelf of the catalog it stands.

use axum::http::Method;
use domain::workflow::import::Note;
use events::ticket::ServiceKind;
use events::{CatalogId, ServiceId, WorkflowId, service};
use serde_json::json;

use super::{NAME_MAX, created, done, number, ok, superuser, wrong_method};
use crate::http::v1::asked::Asked;
use crate::http::v1::problem::{Answer, Problem};
use crate::people::NAMED_MAX;
use crate::setup;

/// To whom a service is shown (reference/bk-itsm.md 13).
const DISPLAY_TYPES: [&str; 7] = ["OPEN", "GENERAL", "CMDB", "ORGANIZATION", "PERSON", "INVISIBLE", "API"];

pub(in crate::http::v1) async fn services(asked: Asked, method: &Method, parts: &[&str]) -> Answer {
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
            // BlueKing calls it the key.
            let kind = match asked.text("kind")? {
                Some(kind) => kind,
                None => asked.required("key").map_err(|_| Problem::malformed("/kind", "it is missing"))?,
            };
            let kind = ServiceKind::ALL.into_iter().find(|known| known.key() == kind).ok_or_else(|| setup::NotSetUp::KindUnknown(kind))?;
            let chosen = |key: &str| match asked.int(key)? {
                // A workflow that comes along in a file is known when it is deployed.
                None if !asked.body.contains_key("workflow_file") => Err(Problem::malformed(&format!("/{key}"), "it is missing")),
                chosen => Ok(chosen.unwrap_or_default()),
            };
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
            let report = taken_over(&asked, &mut wanted, None).await?;
            let added = setup::add_service(app, wanted).await?;
            if let Some(shelf) = shelf {
                setup::place_service(app, added.service, shelf).await?;
            }
            Ok(created(json!({ "service": added.service, "workflow": added.workflow, "version": added.workflow_version, "report": report })))
        }
        (&Method::PUT, [id]) => {
            superuser(&asked).await?;
            let id = ServiceId(number(id, "service")?);
            let known = app.configuration.service(id).await?;
            let known = known.0.as_ref().filter(|service| service.is_listed).ok_or_else(|| Problem::not_found(format!("there is no service {id}")))?;
            let (mut wanted, shelf) = (changed(&asked, known.clone()).await?, shelf(&asked).await?);
            setup::name_is_free(app, &wanted.name, Some(id)).await?;
            let report = taken_over(&asked, &mut wanted, Some(known.workflow)).await?;
            setup::define_service(app, &wanted).await?;
            if let Some(shelf) = shelf {
                setup::place_service(app, id, shelf).await?;
            }
            Ok(ok(json!({ "service": id, "workflow": wanted.workflow, "version": wanted.workflow_version, "report": report })))
        }
        (&Method::DELETE, [id]) => {
            superuser(&asked).await?;
            setup::remove_service(app, ServiceId(number(id, "service")?)).await?;
            Ok(done())
        }
        _ => Err(wrong_method(method)),
    }
}

/// A service with what the request says of it; what it does not say stays.
async fn changed(asked: &Asked, known: service::Defined) -> Result<service::Defined, Problem> {
    let mut changed = known;
    changed.name = asked.text("name")?.unwrap_or(changed.name);
    if changed.name.trim().is_empty() || changed.name.chars().count() > NAME_MAX {
        return Err(Problem::malformed("/name", format!("it is empty or longer than {NAME_MAX} characters")));
    }
    changed.desc = asked.text("desc")?.unwrap_or(changed.desc);
    changed.is_enabled = asked.flag("is_enabled", changed.is_enabled)?;
    changed.can_ticket_agency = asked.flag("can_ticket_agency", changed.can_ticket_agency)?;
    changed.seals_text = asked.flag("seals_text", changed.seals_text)?;
    changed.display_type = asked.text("display_type")?.unwrap_or(changed.display_type);
    if !DISPLAY_TYPES.contains(&changed.display_type.as_str()) {
        return Err(Problem::malformed("/display_type", format!("it is none of {}", DISPLAY_TYPES.join(", "))));
    }
    if let Some(roles) = asked.body.get("display_roles") {
        changed.display_roles = serde_json::from_value(roles.clone()).map_err(|_| Problem::malformed("/display_roles", "it is not an array of texts"))?;
    }
    if asked.body.contains_key("owners") {
        let names = asked.names("owners")?;
        if names.len() > NAMED_MAX {
            return Err(Problem::malformed("/owners", format!("more than {NAMED_MAX} people are named")));
        }
        changed.owners = asked.app.people.find_all(&names).await?;
    }
    changed.workflow = asked.int("workflow")?.map_or(changed.workflow, WorkflowId);
    changed.workflow_version = asked.int("version")?.unwrap_or(changed.workflow_version);
    if let Some(days) = asked.body.get("rate_after_days") {
        let wrong = || Problem::malformed("/rate_after_days", "it is neither a number of days nor null");
        changed.rate_after_days = serde_json::from_value(days.clone()).map_err(|_| wrong())?;
    }
    if let Some(matrix) = asked.body.get("priorities") {
        let wrong = || Problem::malformed("/priorities", "it is neither three rows (by urgency) of three priorities (by impact), each 1 to 3, nor null");
        changed.priorities = serde_json::from_value(matrix.clone()).map_err(|_| wrong())?;
        if changed.priorities.iter().flatten().flatten().any(|priority| !(1..=3).contains(priority)) {
            return Err(wrong());
        }
    }
    Ok(changed)
}

/// On which shelf the request puts a service: nothing where it does not say, null takes it off.
async fn shelf(asked: &Asked) -> Result<Option<Option<CatalogId>>, Problem> {
    if !asked.body.contains_key("catalog") {
        return Ok(None);
    }
    let shelf = asked.int("catalog")?.map(CatalogId);
    match shelf {
        Some(id) if !asked.app.configuration.catalog().await?.shelves.contains_key(&id) => Err(Problem::not_found(format!("there is no catalog {id}"))),
        shelf => Ok(Some(shelf)),
    }
}

/// The workflow that comes along in a file, if one does, becomes the service's; says what became of each thing in the file.
async fn taken_over(asked: &Asked, service: &mut service::Defined, old: Option<WorkflowId>) -> Result<Vec<Note>, Problem> {
    let mut report = Vec::new();
    if let Some(file) = asked.body.get("workflow_file") {
        (service.workflow, service.workflow_version, report) = setup::take_over(&asked.app, file, true, old).await?;
    }
    // Its owners are registered when everything else is taken.
    let registered = asked.app.people.register(service.owners.clone()).await?;
    service.owners.iter_mut().for_each(|owner| registered.put(owner));
    Ok(report)
}
