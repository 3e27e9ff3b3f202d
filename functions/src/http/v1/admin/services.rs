//! Services: what people ask for, which workflow version it runs on, on which shelf of the catalog it stands.

use axum::http::Method;
use events::ticket::ServiceKind;
use events::{CatalogId, ServiceId, WorkflowId, service};
use serde_json::json;

use super::{NAME_MAX, created, done, number, ok, superuser, wrong_method};
use crate::http::v1::asked::Asked;
use crate::http::v1::problem::{Answer, Problem};
use crate::setup::{self, ServiceWish};

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
            if asked.body.contains_key("workflow_file") {
                let (service, report) = setup::import_service(app, service_wish(&asked, None)?).await?;
                return Ok(created(json!({ "service": service.service, "workflow": service.workflow, "version": service.workflow_version, "report": report })));
            }
            let kind = asked.required("key")?;
            let kind = ServiceKind::ALL.into_iter().find(|known| known.key() == kind).ok_or_else(|| setup::NotSetUp::KindUnknown(kind))?;
            let chosen = |key: &str| asked.int(key)?.ok_or_else(|| Problem::malformed(&format!("/{key}"), "it is missing"));
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
            let wanted = changed(&asked, new).await?;
            let shelf = shelf(&asked).await?;
            let added = setup::add_service(app, wanted).await?;
            if let Some(shelf) = shelf {
                setup::place_service(app, added.service, shelf).await?;
            }
            Ok(created(json!({ "service": added.service, "workflow": added.workflow, "version": added.workflow_version })))
        }
        (&Method::PUT, [id]) => {
            superuser(&asked).await?;
            let id = ServiceId(number(id, "service")?);
            let known = app.configuration.service(id).await?;
            let known = known.0.as_ref().filter(|service| service.is_listed).ok_or_else(|| Problem::not_found(format!("there is no service {id}")))?;
            if asked.body.contains_key("workflow_file") {
                let (service, report) = setup::import_service(app, service_wish(&asked, Some(known))?).await?;
                let kept = service::Defined { workflow: service.workflow, workflow_version: service.workflow_version, ..known.clone() };
                let wanted = changed(&asked, kept).await?;
                setup::define_service(app, &wanted).await?;
                return Ok(ok(json!({ "service": id, "workflow": wanted.workflow, "version": wanted.workflow_version, "report": report })));
            }
            let (wanted, shelf) = (changed(&asked, known.clone()).await?, shelf(&asked).await?);
            setup::define_service(app, &wanted).await?;
            if let Some(shelf) = shelf {
                setup::place_service(app, id, shelf).await?;
            }
            Ok(ok(json!({ "service": id, "workflow": wanted.workflow, "version": wanted.workflow_version })))
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
        changed.owners.clear();
        for name in asked.names("owners")? {
            changed.owners.push(asked.app.people.pid(&name).await?);
        }
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

/// A service with a workflow of its own in a file; of one that is there, what the request does not say stays.
fn service_wish(asked: &Asked, known: Option<&service::Defined>) -> Result<ServiceWish, Problem> {
    let name = asked.text("name")?.or_else(|| known.map(|known| known.name.clone())).ok_or_else(|| Problem::malformed("/name", "it is missing"))?;
    if name.chars().count() > NAME_MAX {
        return Err(Problem::malformed("/name", format!("it is longer than {NAME_MAX} characters")));
    }
    Ok(ServiceWish {
        id: known.map(|known| known.service),
        name,
        kind: match known {
            Some(known) => known.kind.key().to_owned(),
            None => asked.required("key")?,
        },
        desc: asked.text("desc")?.unwrap_or_default(),
        is_enabled: asked.flag("is_enabled", known.is_none_or(|known| known.is_enabled))?,
        display_type: asked.text("display_type")?.unwrap_or_else(|| "OPEN".into()),
        display_roles: Vec::new(),
        owners: asked.names("owners")?,
        catalog: asked.int("catalog")?.map(CatalogId),
        can_ticket_agency: asked.flag("can_ticket_agency", false)?,
        may_name_secrets: true,
        workflow: asked.body.get("workflow_file").cloned().ok_or_else(|| Problem::malformed("/workflow_file", "it is missing"))?,
    })
}
