//! What BlueKing clients read. One ticket is folded from its own stream, so that a client always sees what it has just done; lists come from views.

use std::collections::BTreeSet;

use domain::config::Catalog;
use domain::delivery::{Command, Delivery};
use domain::ticket::Status;
use domain::views::ticket_card::TicketCard;
use events::delivery::Collected;
use events::service::Defined;
use events::{CatalogId, Meta, ServiceId, TicketSn};
use infra::ledger::NoLookups;
use infra::views::Range;
use infra::{Error, Wish};
use serde_json::{Value, json};

use super::answer::Refusal;
use super::render;
use super::request::Asked;
use crate::queue::token;
use crate::{App, desk};

/// Ticket numbers answered in one call.
const NUMBERS_MAX: usize = 20_000;
/// Failed callbacks listed in one call.
const FAILED_MAX: usize = 10_000;

pub(super) async fn services(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let catalog_id = match asked.text("catalog_id").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(CatalogId(text.parse().map_err(|_| Refusal::new(3_900_004, format!("接口异常，请检查请求参数: catalog_id {text}")))?)),
    };
    let catalog = app.configuration.catalog().await?;
    let wanted = |key: &str| asked.text(key).filter(|text| !text.is_empty());
    let (kind, display_type, display_role) = (wanted("service_type"), wanted("display_type"), wanted("display_role"));
    let fits = |service: &Defined| {
        service.is_enabled
            && catalog_id.is_none_or(|id| catalog.places.get(&service.service) == Some(&id))
            && kind.as_ref().is_none_or(|kind| service.kind.key() == kind)
            && display_type.as_ref().is_none_or(|kind| service.display_type == *kind)
            && display_role.as_ref().is_none_or(|role| service.display_roles.contains(role))
    };
    let services = app.configuration.services().await?;
    let shown = services
        .iter()
        .filter_map(|service| service.0.as_ref())
        .filter(|service| fits(service))
        .map(|service| json!({ "id": service.service, "name": service.name, "service_type": service.kind.key(), "desc": service.desc }));
    Ok(shown.collect())
}

pub(super) async fn catalogs(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let catalog = app.configuration.catalog().await?;
    let has_service = asked.text("has_service").as_deref() == Some("true");
    let key = asked.text("service_key").filter(|key| !key.is_empty());
    let mut bound: BTreeSet<CatalogId> = BTreeSet::new();
    for (service, shelf) in &catalog.places {
        let service = app.configuration.service(*service).await?;
        if key.as_ref().is_none_or(|key| service.0.as_ref().is_some_and(|service| service.kind.key() == key)) {
            bound.insert(*shelf);
        }
    }
    let keep = (has_service || key.is_some()).then(|| with_ancestors(&catalog, &bound));
    // With no service bound at all the original gives the whole tree, unless a type was asked for.
    let keep = keep.filter(|keep| key.is_some() || !keep.is_empty());
    match asked.text("name").filter(|name| !name.is_empty()) {
        Some(name) => {
            let named = catalog.shelves.values().rev().filter(|shelf| shelf.name == name && keep.as_ref().is_none_or(|keep| keep.contains(&shelf.id)));
            Ok(named.map(|shelf| shown(&catalog, shelf, level(&catalog, shelf.id), keep.as_ref())).collect())
        }
        None => Ok(children(&catalog, None, 0, keep.as_ref()).into()),
    }
}

fn with_ancestors(catalog: &Catalog, bound: &BTreeSet<CatalogId>) -> BTreeSet<CatalogId> {
    let mut all = BTreeSet::new();
    for shelf in bound {
        let mut next = Some(*shelf);
        while let Some(id) = next.filter(|id| all.insert(*id)) {
            next = catalog.shelves.get(&id).and_then(|shelf| shelf.parent);
        }
    }
    all
}

/// The shelves below one, newest first.
fn children(catalog: &Catalog, parent: Option<CatalogId>, level: usize, keep: Option<&BTreeSet<CatalogId>>) -> Vec<Value> {
    let below = catalog.shelves.values().rev().filter(|shelf| shelf.parent == parent && keep.is_none_or(|keep| keep.contains(&shelf.id)));
    below.map(|shelf| shown(catalog, shelf, level, keep)).collect()
}

/// One shelf with everything below it.
fn shown(catalog: &Catalog, shelf: &events::catalog::Added, level: usize, keep: Option<&BTreeSet<CatalogId>>) -> Value {
    json!({
        "id": shelf.id, "key": shelf.key, "name": shelf.name, "level": level, "desc": shelf.desc,
        "children": children(catalog, Some(shelf.id), level + 1, keep),
    })
}

/// How many shelves stand above one.
pub(super) fn level(catalog: &Catalog, id: CatalogId) -> usize {
    with_ancestors(catalog, &[id].into()).len() - 1
}

/// Services as pipelines offer them (`devops_plugin/services`).
pub(super) async fn plugin_services(app: &App) -> Result<Value, Refusal> {
    let services = app.configuration.services().await?;
    let known = services.iter().filter_map(|service| service.0.as_ref()).filter(|service| service.is_enabled);
    Ok(known.map(|service| json!({ "service_id": service.service, "service_name": service.name })).collect())
}

/// What a service asks for, as pipelines offer it (`devops_plugin/fields`).
pub(super) async fn plugin_fields(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let detail = service_detail(app, asked).await?;
    let fields = detail["fields"].as_array().into_iter().flatten();
    Ok(fields.map(|field| json!({ "key": field["key"], "keyDisable": true, "keyType": "input" })).collect())
}

pub(super) async fn service_detail(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let missing = || Refusal::new(3_900_404, "查找对象不存在");
    let text = asked.text("service_id").filter(|text| !text.is_empty()).ok_or_else(missing)?;
    let id = text.parse().map_err(|_| Refusal::new(3_900_004, format!("接口异常，请检查请求参数: service_id {text}")))?;
    let service = app.configuration.service(ServiceId(id)).await?;
    let service = service.0.as_ref().filter(|service| service.is_listed).ok_or_else(missing)?;
    let workflow = app.configuration.workflow(service.workflow, service.workflow_version).await?.ok_or_else(missing)?;
    let submit = workflow.definition.submit_node().ok_or_else(missing)?;
    let mut fields = Vec::new();
    for field in workflow.definition.fields_of(submit) {
        fields.push(render::field(app, field, &workflow.definition).await?);
    }
    Ok(json!({
        "service_id": service.service,
        "workflow_id": render::flow_id(service.workflow, service.workflow_version),
        "name": service.name,
        "service_type": service.kind.key(),
        "desc": service.desc,
        "fields": fields,
    }))
}

/// Finds a ticket by `sn`, folded from its own stream.
pub(super) async fn ticket_card(app: &App, asked: &Asked) -> Result<TicketCard, Refusal> {
    let sn = asked.text("sn").filter(|sn| !sn.is_empty()).ok_or_else(Refusal::no_ticket)?;
    desk::card(app, &TicketSn(sn)).await?.ok_or_else(Refusal::no_ticket)
}

pub(super) async fn workflow_of(app: &App, card: &TicketCard) -> Result<std::sync::Arc<events::workflow::Deployed>, Refusal> {
    let opened = card.ticket.opened.as_ref().ok_or_else(Refusal::no_ticket)?;
    let deployed = app.configuration.workflow(opened.workflow, opened.workflow_version).await?;
    deployed.ok_or_else(|| Error::corrupt(format!("the workflow of {} is gone", opened.sn)).into())
}

pub(super) async fn ticket_info(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let card = ticket_card(app, asked).await?;
    let workflow = workflow_of(app, &card).await?;
    let opened = card.ticket.opened.as_ref().ok_or_else(Refusal::no_ticket)?;
    let mut data = render::ticket(app, &card, opened).await?;
    data["current_steps"] = render::steps(app, &card, &workflow).await?.into();
    let mut fields = render::filled(app, &card, &workflow.definition).await?;
    fields.extend(render::dynamic(opened, &workflow.definition));
    data["fields"] = fields.into();
    Ok(data)
}

pub(super) async fn ticket_status(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let card = ticket_card(app, asked).await?;
    let workflow = workflow_of(app, &card).await?;
    let opened = card.ticket.opened.as_ref().ok_or_else(Refusal::no_ticket)?;
    let ticket = render::ticket(app, &card, opened).await?;
    Ok(json!({
        "ticket_url": ticket["ticket_url"],
        "iframe_ticket_url": ticket["iframe_ticket_url"],
        "operations": render::ticket_operations(&card, &workflow.definition),
        "current_status": ticket["current_status"],
        "current_steps": render::detailed_steps(app, &card, &workflow).await?,
        "is_commented": ticket["is_commented"],
    }))
}

pub(super) async fn token_verify(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let token = asked.text("token").unwrap_or_default();
    let ticket = token::ticket_of(&app.keys().await?.token, &asked.caller.app, &token, app.ledger.clock.now());
    // A number that comes along must be the token's, whatever else it is.
    let fits = asked.get("sn").is_none() || asked.text("sn").as_deref() == ticket.as_ref().map(TicketSn::as_str);
    Ok(json!({ "is_passed": ticket.is_some() && fits, "sn": ticket }))
}

/// The results of tickets; asking for them counts as having received their callbacks.
pub(super) async fn approval_results(app: &App, asked: &Asked, request_id: &str) -> Result<Value, Refusal> {
    let numbers: BTreeSet<String> = asked.list("sn")?.into_iter().collect();
    if numbers.len() > NUMBERS_MAX {
        return Err(Refusal::parameter(format!("sn:请确保这个列表不超过 {NUMBERS_MAX} 项。")));
    }
    let mut results = Vec::new();
    for sn in numbers {
        let Some(card) = desk::card(app, &TicketSn(sn)).await? else { continue };
        let Some(opened) = &card.ticket.opened else { continue };
        let ticket = render::ticket(app, &card, opened).await?;
        let keys = ["sn", "title", "ticket_url", "current_status", "updated_by", "update_at"];
        let mut result: serde_json::Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), ticket[*key].clone())).collect();
        let passed = card.ticket.status == Status::Finished && card.ticket.approve_result == Some(true);
        result.insert("approve_result".into(), passed.into());
        collect(app, asked, &opened.sn, request_id).await?;
        results.push(((card.created_at, opened.id), Value::Object(result)));
    }
    results.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

async fn collect(app: &App, asked: &Asked, sn: &TicketSn, request_id: &str) -> Result<(), Error> {
    let failing_of = format!("{}|{sn}", asked.caller.app);
    let (from, to) = (failing_of.clone(), format!("{failing_of}\u{1}"));
    let failing = Range { view: "delivery", index: "failing", from: &from, to: &to, descending: false, skip: 0, limit: 10 };
    for entry in app.views.range(failing).await? {
        let wish = Wish { stream: entry.key, command_id: app.ledger.fresh_id(), meta: Meta::system(request_id, "ticket_approval_result") };
        let command = Command::Collect(Collected { by: Some(asked.caller.app.clone()) });
        match app.ledger.execute::<Delivery>(&wish, &command, &NoLookups).await {
            Ok(outcome) => desk::await_card(app, outcome.position).await,
            Err(infra::Failure::Technical(error)) => return Err(error),
            Err(infra::Failure::Rejected(_)) => {}
        }
    }
    Ok(())
}

/// The tickets whose callbacks the asking application has not got.
pub(super) async fn failed_callbacks(app: &App, asked: &Asked) -> Result<Value, Refusal> {
    let of = format!("{}|", asked.caller.app);
    let failing = Range { view: "delivery", index: "failing", from: &of, to: &format!("{of}~"), descending: false, skip: 0, limit: FAILED_MAX };
    let failing = app.views.range(failing).await?;
    Ok(failing.iter().map(|entry| entry.value.trim_start_matches(&of)).collect::<BTreeSet<_>>().into_iter().collect())
}
