//! Supports the service tasks of tickets. A service task is the work of an automatic workflow node,
//! such as an API call. This module finds the workflow node, collects the variables for the
//! request, and stores the result in the ticket.

use std::collections::{BTreeMap, BTreeSet};

use domain::placeholder::{Variables, typed};
use domain::ticket::{Command, NodeResult, Rejection};
use domain::views::ticket_card::TicketCard;
use domain::workflow::output_keys;
use events::ticket::NodeStatus;
use events::workflow::NodeKind;
use events::workflow::service_task::ServiceTask;
use events::{Meta, Moment, NodeId, TicketSn};
use infra::ledger::command_id;
use infra::{Error, ExecuteError};
use serde_json::Value;

use crate::App;
use crate::app::outbound::VARIABLES;
use crate::app::tickets;
use crate::app::tickets::display;

/// Identifies one attempt of a service task (the work of an automatic workflow node). The workflow
/// node waits for the result of this attempt.
#[derive(Clone, Copy, Debug)]
pub struct Awaiting<'a> {
    pub ticket: &'a TicketSn,
    pub node: NodeId,
    pub round: u32,
    pub attempt: u32,
}

/// Checks whether a workflow node still waits for the result of one attempt. If the node waits,
/// returns the ticket, the node kind and the service task (the work of the node). Otherwise, the
/// inner `Err` is the reason as an English text.
pub async fn awaited(
    app: &App,
    awaiting: &Awaiting<'_>,
) -> Result<Result<(TicketCard, NodeKind, ServiceTask), &'static str>, Error> {
    let Some(card) = tickets::card(app, awaiting.ticket).await? else {
        return Ok(Err("the ticket does not exist"));
    };
    let is_awaited = card
        .ticket
        .nodes
        .get(&awaiting.node)
        .is_some_and(|node_run| {
            node_run.automatic
                && node_run.status == NodeStatus::Running
                && (node_run.round, node_run.attempt) == (awaiting.round, awaiting.attempt)
        });
    if card.ticket.status.is_over() || !is_awaited {
        return Ok(Err("the ticket no longer waits for this service task"));
    }
    let Some(opened) = &card.ticket.opened else {
        return Ok(Err("the ticket does not exist"));
    };
    let workflow = app
        .configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?;
    let node = workflow
        .as_ref()
        .and_then(|workflow| workflow.definition.node(awaiting.node));
    let found = node.and_then(|node| Some((node.kind, node.service_task.as_deref()?.clone())));
    Ok(found
        .map(|(kind, service_task)| (card, kind, service_task))
        .ok_or("the node has no service task"))
}

/// Stores the result of a service task (the work of an automatic workflow node) in the ticket.
/// Returns false if the ticket does not wait for this result.
///
/// The parameter `stream` is the event stream of the service task. The command id depends only on
/// `stream`. The ledger therefore stores the result only once.
pub async fn record_result(
    app: &App,
    ticket: &TicketSn,
    result: NodeResult,
    meta: &Meta,
    stream: &str,
) -> Result<bool, Error> {
    let id = command_id(&["answer", stream]);
    let command = Command::RecordResult(result);
    match tickets::execute(app, ticket, &command, meta, id, None).await {
        Ok(_) => Ok(true),
        Err(ExecuteError::Rejected(Rejection::ResultNotExpected | Rejection::Unknown)) => Ok(false),
        Err(failure) => Err(failure.unexpected()),
    }
}

/// Returns the variables that the templates of a service task (the work of an automatic workflow
/// node) can use.
///
/// The variables contain the form fields, the outputs of nodes, data of the ticket, and the inputs
/// in `inputs`. The variables also contain the secret values that the client sent with the new
/// ticket.
pub async fn variables(
    app: &App,
    card: &TicketCard,
    inputs: &BTreeMap<String, String>,
) -> Result<Variables, Error> {
    let mut secrets = Variables::new();
    let Some(opened) = &card.ticket.opened else {
        return Ok(secrets);
    };
    // The creator of the ticket may have been erased. The stored variables then do not exist any
    // more. An API call that needs such a variable fails, and the ticket contains the reason.
    if let Some(name) = &opened.variables
        && let Some(stored) = app.ledger.keys.secret(name).await?
    {
        let stored: BTreeMap<String, String> = serde_json::from_slice(&stored)
            .map_err(|_| Error::corrupt(format!("secret {name} does not contain variables")))?;
        secrets.extend(stored.into_iter().map(|(key, value)| (key, value.into())));
    }
    let mut variables = of_ticket(app, card, secrets).await?;
    for (key, value) in inputs {
        match input(app, key, value).await? {
            Some(value) => variables.insert(key.clone(), value.into()),
            // The person who entered this input may have been erased. The stored input then does
            // not exist any more. An API call that needs this input fails, and the ticket contains
            // the reason.
            None => variables.remove(key),
        };
    }
    Ok(variables)
}

/// Adds the form fields, the outputs of nodes and data of the ticket to the given variables. Returns all variables.
/// This function does not add the secret values that the client sent with the ticket.
pub async fn of_ticket(
    app: &App,
    card: &TicketCard,
    mut variables: Variables,
) -> Result<Variables, Error> {
    let Some(opened) = &card.ticket.opened else {
        return Ok(variables);
    };
    let workflow = app
        .configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?;
    if let Some(workflow) = &workflow {
        let definition = &workflow.definition;
        for field in &definition.fields {
            let entry = card.ticket.form.get(&field.key);
            let value = app
                .people
                .value_out(
                    Some(field),
                    &entry.map(|entry| entry.read().clone()).unwrap_or_default(),
                )
                .await?;
            let shown = display::display(field, entry, &value);
            variables.insert(format!("{}__display", field.key), shown);
            variables.insert(field.key.clone(), typed(field.kind, value));
        }
        // Templates can also use the outputs of a node before the node has run. The values of these
        // outputs are then null.
        for node in &definition.nodes {
            let keys = node.outputs.iter().map(|output| output.key.clone());
            for key in keys.chain(output_keys(node)) {
                variables.entry(key).or_insert(Value::Null);
            }
        }
    }
    let person_keys: BTreeSet<&str> = workflow
        .iter()
        .flat_map(|workflow| workflow.definition.approver_keys())
        .collect();
    for (key, value) in &card.ticket.outputs {
        let value = if person_keys.contains(key.as_str()) {
            app.people.names_in(value).await?
        } else {
            value.clone()
        };
        variables.insert(key.clone(), value.into());
    }
    let time = |at: Moment| display::time(&app.settings, at);
    let processors: Vec<events::PersonId> = card
        .ticket
        .current()
        .flat_map(|(_, node_run)| node_run.waiting_for())
        .collect();
    let context = [
        ("ticket_sn", opened.sn.0.clone()),
        ("ticket_title", card.ticket.title()),
        (
            "ticket_ticket_url",
            display::ticket_url(&app.settings, opened.id),
        ),
        ("ticket_creator", app.people.name(&opened.creator).await?),
        ("ticket_create_at", time(card.created_at)),
        ("ticket_service_type", opened.kind.key().to_owned()),
        ("ticket_current_status", card.ticket.status_key().to_owned()),
        (
            "ticket_current_status_display",
            display::status_name(card.ticket.status_key()).to_owned(),
        ),
        ("ticket_bk_biz_id", card.ticket.bk_biz_id().to_string()),
        // The next two variables are always empty, because tickets of this desk have no sub-tasks. Templates may use
        // these variables, so the variables must exist.
        ("ticket_sops_task_summary", String::new()),
        ("ticket_all_task_processors", String::new()),
        (
            "ticket_current_processors",
            app.people.names(&processors).await?,
        ),
    ];
    variables.extend(
        context
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into())),
    );
    Ok(variables)
}

/// Returns the value of an input. The parameter `value` is either the input itself, or the name
/// under which the key store contains the input. Returns `None` if the key store does not contain
/// the input.
async fn input(app: &App, key: &str, value: &str) -> Result<Option<String>, Error> {
    if !value.starts_with(VARIABLES) {
        return Ok(Some(value.to_owned()));
    }
    let Some(stored) = app.ledger.keys.secret(value).await? else {
        return Ok(None);
    };
    let mut stored: BTreeMap<String, String> = serde_json::from_slice(&stored)
        .map_err(|_| Error::corrupt(format!("secret {value} does not contain inputs")))?;
    Ok(stored.remove(key))
}
