//! Implements the BlueKing operations that only read data. A single ticket is computed from the
//! events of its stream, so the response contains all changes that the client made before. Lists
//! are read from views (stored tables), which are updated later.

use std::collections::BTreeSet;

use domain::callback::{Callback, Command};
use domain::config::Catalog;
use domain::ticket::Status;
use domain::views::ticket_card::TicketCard;
use events::callback::Collected;
use events::service::Defined;
use events::{CategoryId, Meta, ServiceId, TicketSn};
use infra::ledger::NoContext;
use infra::views::Range;
use infra::{CommandEnvelope, Error};
use serde_json::{Value, json};

use super::answer::WireError;
use super::render;
use super::request::Asked;
use crate::App;
use crate::app::callback_token;
use crate::app::permissions::{self, Reader};
use crate::app::tickets::{self, Unread};

/// The largest number of ticket numbers in one request.
const NUMBERS_MAX: usize = 20_000;
/// The largest number of failed callbacks in one response.
const FAILED_MAX: usize = 10_000;

pub(super) async fn services(app: &App, request: &Asked) -> Result<Value, WireError> {
    let catalog_id = match request.text("catalog_id").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(CategoryId(text.parse().map_err(|_| {
            WireError::new(
                3_900_004,
                format!("接口异常，请检查请求参数: catalog_id {text}"),
            )
        })?)),
    };
    let catalog = app.configuration.catalog().await?;
    let filter_text = |key: &str| request.text(key).filter(|text| !text.is_empty());
    let (kind, display_type, display_role) = (
        filter_text("service_type"),
        filter_text("display_type"),
        filter_text("display_role"),
    );
    let fits = |service: &Defined| {
        service.is_enabled
            && catalog_id.is_none_or(|id| catalog.places.get(&service.service) == Some(&id))
            && kind.as_ref().is_none_or(|kind| service.kind.key() == kind)
            && display_type
                .as_ref()
                .is_none_or(|kind| service.display_type == *kind)
            && display_role
                .as_ref()
                .is_none_or(|role| service.display_roles.contains(role))
    };
    let services = app.configuration.services().await?;
    let shown = services
        .iter()
        .filter_map(|service| service.0.as_ref())
        .filter(|service| fits(service))
        .map(|service| json!({ "id": service.service, "name": service.name, "service_type": service.kind.key(), "desc": service.desc }));
    Ok(shown.collect())
}

pub(super) async fn catalogs(app: &App, request: &Asked) -> Result<Value, WireError> {
    let catalog = app.configuration.catalog().await?;
    let has_service = request.text("has_service").as_deref() == Some("true");
    let key = request.text("service_key").filter(|key| !key.is_empty());
    let mut bound: BTreeSet<CategoryId> = BTreeSet::new();
    for (service, category) in &catalog.places {
        let service = app.configuration.service(*service).await?;
        if key.as_ref().is_none_or(|key| {
            service
                .0
                .as_ref()
                .is_some_and(|service| service.kind.key() == key)
        }) {
            bound.insert(*category);
        }
    }
    let keep = (has_service || key.is_some()).then(|| with_ancestors(&catalog, &bound));
    // With `has_service=true`, the result contains only the categories that contain a service
    // directly or in a subcategory. If no category contains a service and the request contains no
    // service type, the result contains all categories, as in BlueKing ITSM.
    let keep = keep.filter(|keep| key.is_some() || !keep.is_empty());
    match request.text("name").filter(|name| !name.is_empty()) {
        Some(name) => {
            let named = catalog.categories.values().rev().filter(|category| {
                category.name == name
                    && keep.as_ref().is_none_or(|keep| keep.contains(&category.id))
            });
            Ok(named
                .map(|category| {
                    shown(
                        &catalog,
                        category,
                        level(&catalog, category.id),
                        keep.as_ref(),
                    )
                })
                .collect())
        }
        None => Ok(children(&catalog, None, 0, keep.as_ref()).into()),
    }
}

fn with_ancestors(catalog: &Catalog, bound: &BTreeSet<CategoryId>) -> BTreeSet<CategoryId> {
    let mut all = BTreeSet::new();
    for category in bound {
        let mut next = Some(*category);
        while let Some(id) = next.filter(|id| all.insert(*id)) {
            next = catalog
                .categories
                .get(&id)
                .and_then(|category| category.parent);
        }
    }
    all
}

/// Returns the direct subcategories of the category `parent` as JSON. The newest subcategory is
/// first. If `keep` is set, the result contains only the categories in `keep`.
fn children(
    catalog: &Catalog,
    parent: Option<CategoryId>,
    level: usize,
    keep: Option<&BTreeSet<CategoryId>>,
) -> Vec<Value> {
    let below = catalog.categories.values().rev().filter(|category| {
        category.parent == parent && keep.is_none_or(|keep| keep.contains(&category.id))
    });
    below
        .map(|category| shown(catalog, category, level, keep))
        .collect()
}

/// Returns a category as JSON, together with the tree of its subcategories. If `keep` is set, the
/// tree contains only the categories in `keep`.
fn shown(
    catalog: &Catalog,
    category: &events::catalog::CategoryAdded,
    level: usize,
    keep: Option<&BTreeSet<CategoryId>>,
) -> Value {
    json!({
        "id": category.id, "key": category.key, "name": category.name, "level": level, "desc": category.desc,
        "children": children(catalog, Some(category.id), level + 1, keep),
    })
}

/// Returns the level of a category in the tree, which is the number of its ancestors.
pub(super) fn level(catalog: &Catalog, id: CategoryId) -> usize {
    with_ancestors(catalog, &[id].into()).len() - 1
}

/// Lists services for pipeline plugins (`devops_plugin/services`).
pub(super) async fn plugin_services(app: &App) -> Result<Value, WireError> {
    let services = app.configuration.services().await?;
    let enabled = services
        .iter()
        .filter_map(|service| service.0.as_ref())
        .filter(|service| service.is_enabled);
    Ok(enabled
        .map(|service| json!({ "service_id": service.service, "service_name": service.name }))
        .collect())
}

/// Lists the fields of a service for pipeline plugins (`devops_plugin/fields`).
pub(super) async fn plugin_fields(app: &App, request: &Asked) -> Result<Value, WireError> {
    let detail = service_detail(app, request).await?;
    let fields = detail["fields"].as_array().into_iter().flatten();
    Ok(fields
        .map(|field| json!({ "key": field["key"], "keyDisable": true, "keyType": "input" }))
        .collect())
}

pub(super) async fn service_detail(app: &App, request: &Asked) -> Result<Value, WireError> {
    let missing = || WireError::new(3_900_404, "查找对象不存在");
    let text = request
        .text("service_id")
        .filter(|text| !text.is_empty())
        .ok_or_else(missing)?;
    let id = text.parse().map_err(|_| {
        WireError::new(
            3_900_004,
            format!("接口异常，请检查请求参数: service_id {text}"),
        )
    })?;
    let service = app.configuration.service(ServiceId(id)).await?;
    let service = service
        .0
        .as_ref()
        .filter(|service| service.is_listed)
        .ok_or_else(missing)?;
    let reader = Reader::user_and_app(app, &request.caller).await?;
    if !permissions::may_read_service(app, &reader, service).await? {
        return Err(WireError::new(
            3_900_015,
            format!("权限不足: 没有权限查看服务【{}】", service.name),
        ));
    }
    let workflow = app
        .configuration
        .workflow(service.workflow, service.workflow_version)
        .await?
        .ok_or_else(missing)?;
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

/// Loads a ticket from the events of its stream. The request parameter `sn` contains the ticket
/// number. Returns an error if the caller may not read the ticket.
pub(super) async fn ticket_card(app: &App, request: &Asked) -> Result<TicketCard, WireError> {
    let sn = request
        .text("sn")
        .filter(|sn| !sn.is_empty())
        .ok_or_else(WireError::no_ticket)?;
    let reader = Reader::user_and_app(app, &request.caller).await?;
    match tickets::read(app, &TicketSn(sn), &reader).await {
        Ok(card) => Ok(card),
        Err(Unread::Unknown) => Err(WireError::no_ticket()),
        Err(Unread::NotPermitted) => Err(may_not_read(request)),
        Err(Unread::Technical(error)) => Err(error.into()),
    }
}

/// Creates the error for a caller that may not read a ticket.
fn may_not_read(request: &Asked) -> WireError {
    let who = match &request.caller.user {
        Some(user) => format!("用户【{user}】"),
        None => format!("应用【{}】", request.caller.app),
    };
    WireError::new(3_900_015, format!("权限不足: {who}没有权限查看该单据"))
}

pub(super) async fn workflow_of(
    app: &App,
    card: &TicketCard,
) -> Result<std::sync::Arc<events::workflow::Deployed>, WireError> {
    let opened = card
        .ticket
        .opened
        .as_ref()
        .ok_or_else(WireError::no_ticket)?;
    let deployed = app
        .configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?;
    deployed.ok_or_else(|| {
        Error::corrupt(format!(
            "the workflow of ticket {} does not exist",
            opened.sn
        ))
        .into()
    })
}

pub(super) async fn ticket_info(app: &App, request: &Asked) -> Result<Value, WireError> {
    let card = ticket_card(app, request).await?;
    let workflow = workflow_of(app, &card).await?;
    let opened = card
        .ticket
        .opened
        .as_ref()
        .ok_or_else(WireError::no_ticket)?;
    let mut data = render::ticket(app, &card, opened).await?;
    data["current_steps"] = render::steps(app, &card, &workflow).await?.into();
    let mut fields = render::filled(app, &card, &workflow.definition).await?;
    fields.extend(render::dynamic(opened, &workflow.definition));
    data["fields"] = fields.into();
    Ok(data)
}

pub(super) async fn ticket_status(app: &App, request: &Asked) -> Result<Value, WireError> {
    let card = ticket_card(app, request).await?;
    let workflow = workflow_of(app, &card).await?;
    let opened = card
        .ticket
        .opened
        .as_ref()
        .ok_or_else(WireError::no_ticket)?;
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

pub(super) async fn token_verify(app: &App, request: &Asked) -> Result<Value, WireError> {
    let token = request.text("token").unwrap_or_default();
    let now = app.ledger.clock.now();
    let keys = app.token_keys().await?;
    let proof = keys.first(|key| callback_token::check(key, &request.caller.app, &token, now));
    let ticket = proof.map(|proof| proof.ticket);
    // The request contains a callback token, and the response contains whether the token is valid.
    // The request can also contain a ticket number. In this case, the token must belong to the
    // ticket with this number.
    let fits = request.get("sn").is_none()
        || request.text("sn").as_deref() == ticket.as_ref().map(TicketSn::as_str);
    Ok(json!({ "is_passed": ticket.is_some() && fits, "sn": ticket }))
}

/// Returns the approval results of several tickets. A client uses this operation if a callback
/// failed and the client did not receive the result of the ticket. Afterwards, the failed callback
/// counts as received.
pub(super) async fn approval_results(
    app: &App,
    request: &Asked,
    request_id: &str,
) -> Result<Value, WireError> {
    let numbers: BTreeSet<String> = request.list("sn")?.into_iter().collect();
    if numbers.len() > NUMBERS_MAX {
        return Err(WireError::parameter(format!(
            "sn:请确保这个列表不超过 {NUMBERS_MAX} 项。"
        )));
    }
    let reader = Reader::user_and_app(app, &request.caller).await?;
    let mut results = Vec::new();
    for sn in numbers {
        let card = match tickets::read(app, &TicketSn(sn), &reader).await {
            Ok(card) => card,
            // The result contains only tickets that exist and that the caller may read.
            Err(Unread::Unknown | Unread::NotPermitted) => continue,
            Err(Unread::Technical(error)) => return Err(error.into()),
        };
        let Some(opened) = &card.ticket.opened else {
            continue;
        };
        let ticket = render::ticket(app, &card, opened).await?;
        let keys = [
            "sn",
            "title",
            "ticket_url",
            "current_status",
            "updated_by",
            "update_at",
        ];
        let mut result: serde_json::Map<String, Value> = keys
            .iter()
            .map(|key| ((*key).to_owned(), ticket[*key].clone()))
            .collect();
        let passed =
            card.ticket.status == Status::Finished && card.ticket.approve_result == Some(true);
        result.insert("approve_result".into(), passed.into());
        collect(app, request, &opened.sn, request_id).await?;
        results.push(((card.created_at, opened.id), Value::Object(result)));
    }
    results.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

async fn collect(app: &App, request: &Asked, sn: &TicketSn, request_id: &str) -> Result<(), Error> {
    let failing_of = format!("{}|{sn}", request.caller.app);
    let (from, to) = (failing_of.clone(), format!("{failing_of}\u{1}"));
    let failing = Range {
        view: "callback",
        index: "failing",
        from: &from,
        to: &to,
        descending: false,
        skip: 0,
        limit: 10,
    };
    for entry in app.views.range(failing).await? {
        let envelope = CommandEnvelope {
            stream: entry.key,
            command_id: app.ledger.fresh_id(),
            meta: Meta::system(request_id, "ticket_approval_result"),
        };
        let command = Command::Collect(Collected {
            by: Some(request.caller.app.clone()),
        });
        match app
            .ledger
            .execute::<Callback>(&envelope, &command, &NoContext)
            .await
        {
            Ok(outcome) => tickets::await_card(app, outcome.position).await,
            Err(infra::ExecuteError::Technical(error)) => return Err(error),
            Err(infra::ExecuteError::Rejected(_)) => {}
        }
    }
    Ok(())
}

/// Returns the ticket numbers of all tickets with failed callbacks. The receiver of these callbacks
/// is the app (the client program) that sends this request.
pub(super) async fn failed_callbacks(app: &App, request: &Asked) -> Result<Value, WireError> {
    let of = format!("{}|", request.caller.app);
    let failing = Range {
        view: "callback",
        index: "failing",
        from: &of,
        to: &format!("{of}~"),
        descending: false,
        skip: 0,
        limit: FAILED_MAX,
    };
    let failing = app.views.range(failing).await?;
    Ok(failing
        .iter()
        .map(|entry| entry.value.trim_start_matches(&of))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect())
}
