//! Converts tickets, steps (current nodes of a ticket) and form fields to JSON for the BlueKing
//! API. The keys in the documentation of BlueKing ITSM differ from the keys in its real responses.
//! The JSON contains the documented keys and also the real keys (decision 3 of reference/bk-itsm.md
//! 17).

use axum::http::HeaderMap;
use domain::options::path;
use domain::ticket::{Action, NodeRun, Status};
use domain::views::ticket_card::TicketCard;
use domain::workflow::export;
use events::ticket::{DynamicField, NodeStatus, Opened};
use events::workflow::{Choice, Definition, Deployed, Field, Node, Processors};
use events::{Entry, NodeId, PersonId, WorkflowId};
use infra::Error;
use infra::commit::hex;
use serde_json::{Map, Value, json};

use crate::App;
use crate::app::Settings;
use crate::app::seed;
pub use crate::app::tickets::display::{status_name, ticket_url, time, updated_by, value};

/// A flow id is the workflow id multiplied by this number, plus the workflow version. A workflow
/// version must therefore be smaller than this number.
const VERSIONS: i64 = 10_000;

/// Returns the request id from the header `X-Request-Id`, or creates a new id. The metadata of
/// events and the responses contain the request id.
pub fn request_id(headers: &HeaderMap, app: &App) -> String {
    let given = headers
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.is_empty() && id.len() <= 64);
    given.map_or_else(|| hex(&app.ledger.fresh_id()), str::to_owned)
}

/// Returns the flow id, which is one integer for a workflow id and a workflow version.
pub fn flow_id(workflow: WorkflowId, version: i64) -> i64 {
    workflow.0 * VERSIONS + version % VERSIONS
}

/// Returns the workflow id and the workflow version that a flow id contains.
pub fn version_of(flow_id: i64) -> (WorkflowId, i64) {
    (
        WorkflowId(flow_id.div_euclid(VERSIONS)),
        flow_id.rem_euclid(VERSIONS),
    )
}

/// Returns the URL of the page that shows a ticket inside another page.
pub fn iframe_ticket_url(settings: &Settings, id: i64) -> String {
    format!("{}/#/ticket/detail/iframe?id={id}", settings.site)
}

/// Returns the JSON of a ticket with the keys that ticket lists, ticket details and approval
/// results have in common.
pub async fn ticket(app: &App, card: &TicketCard, opened: &Opened) -> Result<Value, Error> {
    let settings = &app.settings;
    Ok(json!({
        "id": opened.id,
        "sn": opened.sn,
        "title": card.ticket.title(),
        "catalog_id": opened.catalog,
        "service_id": opened.service,
        "service_type": opened.kind.key(),
        "flow_id": flow_id(opened.workflow, opened.workflow_version),
        "current_status": card.ticket.status_key(),
        "comment_id": if card.ticket.status == Status::Finished { opened.id.to_string() } else { String::new() },
        "is_commented": card.ticket.stars.is_some(),
        "updated_by": app.people.names(&updated_by(card)).await?,
        "update_at": time(settings, card.updated_at),
        "end_at": card.ended_at.map(|at| time(settings, at)),
        "creator": app.people.name(&opened.creator).await?,
        "create_at": time(settings, card.created_at),
        "is_biz_need": card.ticket.bk_biz_id() != -1,
        "bk_biz_id": card.ticket.bk_biz_id(),
        "tag": opened.tag,
        "priority_key": card.ticket.priority().map(|priority| priority.key.clone()),
        "ticket_url": ticket_url(settings, opened.id),
        "iframe_ticket_url": iframe_ticket_url(settings, opened.id),
    }))
}

/// Returns additional JSON keys of a ticket for `person`. A list of the tickets of one person
/// contains these keys: display names, the priority, and the operations that the person may
/// perform.
pub(super) async fn theirs(
    app: &App,
    card: &TicketCard,
    opened: &Opened,
    definition: &Definition,
    person: &PersonId,
) -> Result<Map<String, Value>, Error> {
    let ticket = &card.ticket;
    let is_own = opened.creator == *person || opened.agent.as_ref() == Some(person);
    let acts = || {
        ticket
            .current()
            .filter(|(_, node_run)| !is_automatic(node_run) && ticket.may_act(node_run, person))
    };
    let waiting: Vec<PersonId> = ticket
        .current()
        .flat_map(|(_, node_run)| node_run.waiting_for())
        .collect();
    let supervisors = match &definition.supervisors {
        Processors::Person(people) => people.clone(),
        _ => Vec::new(),
    };
    let may_remind = definition.is_supervise_needed
        && !ticket.status.is_over()
        && (opened.creator == *person || supervisors.contains(person));
    let mut priority = json!({});
    if let Some(current_priority) = ticket.priority() {
        let name = app
            .configuration
            .options_of("PRIORITY")
            .await?
            .and_then(|options| path(&options, &current_priority.key).map(|names| names.join("")));
        priority = json!({ "key": current_priority.key, "name": name.unwrap_or_else(|| current_priority.key.clone()), "order": current_priority.key.parse::<i64>().unwrap_or_default() });
    }
    let followers = app.people.names(&ticket.followers).await?;
    let shown = json!({
        "service_name": opened.service_name,
        "current_status_display": status_name(ticket.status_key()),
        "current_processors": app.people.names(&waiting).await?,
        "priority_name": priority["name"].as_str().unwrap_or_default(),
        "meta": if priority["key"].is_null() { json!({}) } else { json!({ "priority": priority }) },
        "can_comment": ticket.status == Status::Finished && ticket.stars.is_none() && is_own,
        "can_operate": ticket.status == Status::Running && ticket.parent().is_none() && acts().next().is_some(),
        "waiting_approve": acts().any(|(_, node_run)| node_run.is_vote),
        "can_supervise": may_remind,
        "can_withdraw": opened.creator == *person && ticket.parent().is_none() && ticket.is_withdrawable(definition),
        "followers": followers.split(',').filter(|name| !name.is_empty()).collect::<Vec<_>>(),
        "is_supervise_needed": definition.is_supervise_needed,
        "supervise_type": definition.supervisors.kind(),
        "supervisor": app.people.names(&supervisors).await?,
        // Ledgerdesk does not support service level agreements (SLA), so these keys are always
        // empty.
        "sla": [],
        "sla_color": "",
    });
    Ok(shown.as_object().cloned().unwrap_or_default())
}

/// Returns the current nodes of a ticket. The BlueKing API calls these nodes steps.
pub(super) async fn steps(
    app: &App,
    card: &TicketCard,
    workflow: &Deployed,
) -> Result<Vec<Value>, Error> {
    let mut steps = Vec::new();
    for (id, node_run) in card.ticket.current() {
        let node = workflow.definition.node(id);
        steps.push(json!({
            "name": node_run.name,
            "state_id": id,
            "status": node_run.status,
            "action_type": action_type(node_run),
            "tag": node.map_or("", |node| node.tag.as_str()),
            "processors_type": node_run.processors_type,
            "processors": if is_automatic(node_run) { "系统自动处理".to_owned() } else { app.people.names(&node_run.waiting_for()).await? },
        }));
    }
    Ok(steps)
}

/// Returns the current nodes (steps) of a ticket. Each step also contains its form fields and the
/// possible operations.
pub(super) async fn detailed_steps(
    app: &App,
    card: &TicketCard,
    workflow: &Deployed,
) -> Result<Vec<Value>, Error> {
    let mut steps = steps(app, card, workflow).await?;
    for (step, (id, node_run)) in steps.iter_mut().zip(card.ticket.current()) {
        let Some(node) = workflow.definition.node(id) else {
            continue;
        };
        step["operations"] = operations(node_run, node).into();
        let mut fields = Vec::new();
        for field in workflow.definition.fields_of(node) {
            fields.push(step_field(app, field, id, workflow).await?);
        }
        step["fields"] = fields.into();
    }
    Ok(steps)
}

/// Returns whether the service desk itself processes a node and no person is necessary. The result
/// is false for a failed API call, because a person must then decide how to continue.
fn is_automatic(node_run: &NodeRun) -> bool {
    node_run.automatic && !node_run.is_failed_call()
}

fn action_type(node_run: &NodeRun) -> &'static str {
    match node_run.status {
        _ if is_automatic(node_run) => "AUTOMATIC",
        NodeStatus::Distributing => "DISTRIBUTE",
        NodeStatus::Receiving => "CLAIM",
        _ => "TRANSITION",
    }
}

fn operation(key: &str, name: &str) -> Value {
    json!({ "key": key, "name": name, "can_operate": true })
}

fn operations(node_run: &NodeRun, node: &Node) -> Vec<Value> {
    match node_run.status {
        _ if is_automatic(node_run) => vec![operation("AUTOMATIC", "自动执行")],
        // The documentation of BlueKing ITSM contains no action for a failed API call. Clients must
        // use the API `/v1` for such nodes.
        _ if node_run.automatic => Vec::new(),
        NodeStatus::Distributing => vec![operation("DISTRIBUTE", "分派")],
        NodeStatus::Receiving => vec![operation("CLAIM", "认领")],
        status if Action::Submit.fits(status) => {
            let mut operations = vec![
                operation("TRANSITION", "提交"),
                operation("SUSPEND", "挂起"),
            ];
            if node.can_deliver && status == NodeStatus::Running {
                operations.push(operation("DELIVER", "转单"));
            }
            if node.is_terminable && status == NodeStatus::Running {
                operations.push(operation("TERMINATE", "终止"));
            }
            operations
        }
        _ => Vec::new(),
    }
}

/// Returns the possible operations on the whole ticket. The result contains no operations on single
/// nodes.
pub fn ticket_operations(card: &TicketCard, definition: &Definition) -> Vec<Value> {
    let mut operations = Vec::new();
    if card.ticket.is_withdrawable(definition) {
        operations.push(operation("WITHDRAW", "撤单"));
    }
    match card.ticket.status {
        Status::Suspended => operations.push(operation("UNSUSPEND", "恢复")),
        Status::Running => operations.push(operation("SUSPEND", "挂起")),
        _ => {}
    }
    operations
}

/// Returns the definition of a form field as JSON. If a dictionary defines the options of the
/// field, the result contains the current options of this dictionary.
pub(super) async fn field(
    app: &App,
    field: &Field,
    definition: &Definition,
) -> Result<Value, Error> {
    let mut field = field.clone();
    seed::field_with_names(app, &mut field, definition).await?;
    let field = &field;
    let dictionary = if field.source_type == "DATADICT" {
        app.configuration.options_of(&field.source_uri).await?
    } else {
        None
    };
    Ok(json!({
        "id": field.id,
        "key": field.key,
        "type": field.kind,
        "name": field.name,
        "desc": field.desc,
        "choice": dictionary.as_deref().unwrap_or(&field.choice).iter().map(choice).collect::<Vec<_>>(),
        "validate_type": if field.is_required { "REQUIRE" } else { "OPTION" },
        "regex": if field.regex.is_empty() { "EMPTY" } else { &field.regex },
        "custom_regex": field.custom_regex,
        "meta": if field.meta.is_null() { json!({}) } else { field.meta.clone() },
        "default": if field.default.is_null() { json!("") } else { field.default.clone() },
        "source_type": if field.source_type.is_empty() { "CUSTOM" } else { &field.source_type },
        "source_uri": field.source_uri,
        "api_instance_id": 0,
        "api_info": {},
        "kv_relation": field.kv_relation.as_ref().map_or_else(|| json!({}), |kv| json!(kv)),
        "regex_config": field.rule.as_ref().map_or_else(|| json!({}), |rule| json!({ "rule": export::rule(rule) })),
        "layout": if field.layout.is_empty() { "COL_12" } else { &field.layout },
        "show_type": u8::from(field.hidden_when.is_none()),
        "show_conditions": field.hidden_when.as_ref().map_or_else(|| json!({}), |hidden| json!(hidden)),
        "is_readonly": field.is_readonly,
        "templates": field.templates,
    }))
}

fn choice(choice: &Choice) -> Value {
    let mut shown = json!({ "key": choice.key, "name": choice.name });
    if !choice.items.is_empty() {
        shown["items"] = choice
            .items
            .iter()
            .map(self::choice)
            .collect::<Vec<_>>()
            .into();
    }
    shown
}

async fn step_field(
    app: &App,
    definition: &Field,
    node: NodeId,
    workflow: &Deployed,
) -> Result<Value, Error> {
    let mut shown = field(app, definition, &workflow.definition).await?;
    shown["workflow_id"] = flow_id(workflow.workflow, workflow.version).into();
    shown["state_id"] = json!(node);
    shown["source"] = "CUSTOM".into();
    Ok(shown)
}

/// Returns all fields of a ticket with their values. The value of an empty field is null
/// (reference/bk-itsm.md 3.6).
pub async fn filled(
    app: &App,
    card: &TicketCard,
    definition: &Definition,
) -> Result<Vec<Value>, Error> {
    let mut fields: Vec<&Field> = definition.fields.iter().collect();
    fields.sort_by_key(|field| field.id);
    let mut filled = Vec::new();
    for field in fields {
        filled.push(filled_field(app, field, card.ticket.form.get(&field.key)).await?);
    }
    Ok(filled)
}

/// Returns one field with its value.
pub(super) async fn filled_field(
    app: &App,
    field: &Field,
    entry: Option<&Entry>,
) -> Result<Value, Error> {
    let (value, display_value) = value(app, field, entry).await?;
    Ok(json!({
        "id": field.id,
        "key": field.key,
        "type": field.kind,
        "name": field.name,
        "desc": field.desc,
        "display_value": display_value,
        "value": value,
    }))
}

/// Returns the additional fields of a ticket as JSON. Clients only display these fields. Each
/// additional field gets an id that is larger than all field ids of the workflow, so all ids are
/// unique.
pub(super) fn dynamic(opened: &Opened, definition: &Definition) -> Vec<Value> {
    let last = definition
        .fields
        .iter()
        .map(|field| field.id)
        .max()
        .unwrap_or_default();
    let shown = |(id, field): (i64, &DynamicField)| json!({ "id": id, "key": field.key, "type": field.kind, "name": field.name, "desc": "", "value": field.value, "display_value": field.value, "meta": field.meta });
    (last + 1..)
        .zip(&opened.dynamic_fields)
        .map(shown)
        .collect()
}
