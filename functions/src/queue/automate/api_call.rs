//! One step of an API call: sends a request, records the verdict, and records the final result on
//! the ticket.
//!
//! The API call is closed only after the ticket recorded the result. After a crash, the deadline of
//! the API call repeats the step. Each request has an `Idempotency-Key`, so that the receiver can
//! recognize a repeated request.

use std::collections::{BTreeMap, BTreeSet};

use domain::api_call::template::{Variables, typed};
use domain::api_call::{ApiCall, Command, Rejection, Step, judge, plan};
use domain::ticket::{
    Command as TicketCommand, NodeResult, Rejection as TicketRejection, output_keys,
};
use domain::views::ticket_card::TicketCard;
use events::api_call::{Completed, Exchange, Requested};
use events::service_task::ServiceTask;
use events::ticket::NodeStatus;
use events::workflow::NodeKind;
use events::{Meta, Moment};
use infra::http::RESPONSE_BYTES_MAX;
use infra::ledger::{NoContext, command_id};
use infra::store::commit::hex;
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::Value;

use crate::App;
use crate::app::outbound::VARIABLES;
use crate::app::outbound::{self, Described};
use crate::app::tickets;
use crate::app::tickets::display;
use crate::queue::take_lease;

/// Time beyond the timeout of a non-idempotent request before its attempt counts as interrupted.
const STARTED_GRACE_MS: i64 = 30_000;

/// Takes the step that is due; does nothing if none is.
pub async fn step(app: &App, stream: &str) -> Result<(), Error> {
    let call = app.ledger.load::<ApiCall>(stream).await?.aggregate.0;
    let Some(requested) = call.requested.clone().filter(|_| !call.closed) else {
        return Ok(());
    };
    if let Some(answered) = &call.answered {
        return record_result(app, stream, &requested, answered).await;
    }
    let now = app.ledger.clock.now();
    let attempt = call.attempts + 1;
    if call.next > now
        || !take_lease(
            &*app.views,
            stream,
            attempt.into(),
            now,
            hex(&app.ledger.fresh_id()),
        )
        .await?
    {
        return Ok(());
    }
    let (exchange, step) = match call.interrupted() {
        Some(step) => (None, step),
        None => match exchange(app, stream, &call, &requested).await? {
            Some(step) => step,
            None => return Ok(()),
        },
    };
    app.crash.pass("during-call");
    let command_envelope = CommandEnvelope {
        command_id: command_id(&["attempt", stream, &attempt.to_string()]),
        stream: stream.to_owned(),
        meta: meta(&requested),
    };
    let command = Command::Record {
        attempt,
        exchange,
        step,
        at: app.ledger.clock.now(),
    };
    match app
        .ledger
        .execute::<ApiCall>(&command_envelope, &command, &NoContext)
        .await
    {
        Ok(outcome) => match &outcome.state.answered {
            Some(answered) => record_result(app, stream, &requested, answered).await,
            None => Ok(()),
        },
        Err(ExecuteError::Rejected(Rejection::NotDue(_))) => Ok(()),
        Err(ExecuteError::Rejected(rejection)) => Err(Error::new(
            infra::Kind::Misconfigured,
            rejection.to_string(),
        )),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

fn meta(requested: &Requested) -> Meta {
    Meta::system(requested.cause.clone(), requested.cause.clone())
}

/// Records the result of the API call on its ticket, then closes the API call.
///
/// The API call is closed as not recorded if the ticket no longer waits for the result.
async fn record_result(
    app: &App,
    stream: &str,
    requested: &Requested,
    answered: &Completed,
) -> Result<(), Error> {
    let result = NodeResult {
        node: requested.node,
        round: requested.round,
        attempt: requested.attempt,
        succeeded: answered.succeeded,
        outputs: answered.outputs.clone(),
        task: answered.task.clone(),
        reason: answered.reason.clone(),
    };
    let recorded = match tickets::act(
        app,
        &requested.ticket,
        &TicketCommand::RecordResult(result),
        &meta(requested),
        command_id(&["answer", stream]),
    )
    .await
    {
        Ok(_) => true,
        Err(ExecuteError::Rejected(
            TicketRejection::ResultNotExpected | TicketRejection::Unknown,
        )) => false,
        Err(ExecuteError::Rejected(rejection)) => {
            return Err(Error::new(
                infra::Kind::Misconfigured,
                rejection.to_string(),
            ));
        }
        Err(ExecuteError::Technical(error)) => return Err(error),
    };
    app.crash.pass("after-telling");
    let command_envelope = CommandEnvelope {
        command_id: command_id(&["close", stream]),
        stream: stream.to_owned(),
        meta: meta(requested),
    };
    match app
        .ledger
        .execute::<ApiCall>(&command_envelope, &Command::Close { recorded }, &NoContext)
        .await
    {
        Ok(_) => Ok(()),
        Err(ExecuteError::Rejected(rejection)) => Err(Error::new(
            infra::Kind::Misconfigured,
            rejection.to_string(),
        )),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

/// Plans, sends and judges one request; returns `None` if another worker started the attempt.
async fn exchange(
    app: &App,
    stream: &str,
    call: &ApiCall,
    requested: &Requested,
) -> Result<Option<(Option<Exchange>, Step)>, Error> {
    let failed = |reason: &str| {
        Some((
            None,
            Step::Done {
                status: None,
                succeeded: false,
                outputs: BTreeMap::new(),
                reason: reason.to_owned(),
            },
        ))
    };
    let Some(card) = tickets::card(app, &requested.ticket).await? else {
        return Ok(failed("the ticket does not exist"));
    };
    let is_awaited = card
        .ticket
        .nodes
        .get(&requested.node)
        .is_some_and(|node_run| {
            node_run.automatic
                && node_run.status == NodeStatus::Running
                && (node_run.round, node_run.attempt) == (requested.round, requested.attempt)
        });
    if card.ticket.status.is_over() || !is_awaited {
        return Ok(failed("the ticket no longer waits for this API call"));
    }
    let Some((kind, service_task)) = service_task_of(app, &card, requested).await? else {
        return Ok(failed("the node has no service task"));
    };
    let variables = variables(app, &card, requested).await?;
    let planned = match plan::plan(&service_task, call, &variables) {
        Ok(planned) => planned,
        Err(reason) => return Ok(failed(&reason)),
    };
    let secret = match &service_task {
        ServiceTask::Request(request) => &request.secret,
        ServiceTask::Task(task) => &task.secret,
    };
    // A retry repeats the key. Each step of a SOPS task and each poll is a new request with a new
    // key.
    let key = match (&service_task, call.step.as_str()) {
        (_, "") => requested.key.clone(),
        (ServiceTask::Request(_), _) => format!("{}-{}", requested.key, call.polls),
        (ServiceTask::Task(_), step) => format!("{}-{step}", requested.key),
    };
    let body = planned.body_text();
    let described = Described {
        method: planned.method,
        url: planned.url,
        headers: [("Idempotency-Key".to_owned(), key)]
            .into_iter()
            .chain(planned.headers)
            .collect(),
        body,
        secret,
        timeout_ms: planned.timeout_ms,
        response_bytes_max: RESPONSE_BYTES_MAX,
    };
    // The receiver cannot recognize a repeated request, so the start is recorded before it is sent.
    if call.is_once(&service_task)
        && !begin(app, stream, call, requested, described.timeout_ms).await?
    {
        return Ok(None);
    }
    let target = format!("{} {}", described.method, origin(&described.url));
    let sent_at = app.ledger.clock.now();
    let response = outbound::call(&*app.http, &*app.ledger.keys, described).await?;
    let exchange = Exchange {
        target,
        duration_ms: app.ledger.clock.now().0 - sent_at.0,
    };
    let response = response
        .as_ref()
        .map(|answer| (answer.status, answer.body.as_slice()))
        .map_err(Clone::clone);
    Ok(Some((
        Some(exchange),
        judge::judge(&service_task, kind, call, &response),
    )))
}

/// Returns scheme, host and port of a URL; empty if the URL is invalid.
fn origin(url: &str) -> String {
    url.parse::<reqwest::Url>()
        .map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}

/// Records the start of the due attempt before its non-idempotent request is sent.
///
/// Returns false if the start was recorded before.
async fn begin(
    app: &App,
    stream: &str,
    call: &ApiCall,
    requested: &Requested,
    timeout_ms: i64,
) -> Result<bool, Error> {
    let attempt = call.attempts + 1;
    let command = Command::Begin {
        attempt,
        until: app
            .ledger
            .clock
            .now()
            .plus_ms(timeout_ms + STARTED_GRACE_MS),
    };
    // A random command id: a second worker must be rejected, not treated as a retry of the first.
    let command_envelope = CommandEnvelope {
        command_id: app.ledger.fresh_id(),
        stream: stream.to_owned(),
        meta: meta(requested),
    };
    match app
        .ledger
        .execute::<ApiCall>(&command_envelope, &command, &NoContext)
        .await
    {
        Ok(_) => Ok(true),
        Err(ExecuteError::Rejected(Rejection::NotDue(_))) => Ok(false),
        Err(ExecuteError::Rejected(rejection)) => Err(Error::new(
            infra::Kind::Misconfigured,
            rejection.to_string(),
        )),
        Err(ExecuteError::Technical(error)) => Err(error),
    }
}

async fn service_task_of(
    app: &App,
    card: &TicketCard,
    requested: &Requested,
) -> Result<Option<(NodeKind, ServiceTask)>, Error> {
    let Some(opened) = &card.ticket.opened else {
        return Ok(None);
    };
    let workflow = app
        .configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?;
    let node = workflow
        .as_ref()
        .and_then(|workflow| workflow.definition.node(requested.node));
    Ok(node.and_then(|node| Some((node.kind, node.service_task.as_deref()?.clone()))))
}

/// Returns the variables of the templates of an API call.
///
/// They are form fields, outputs of nodes, data of the ticket, secret variables from its creation,
/// and inputs of this API call.
pub async fn variables(
    app: &App,
    card: &TicketCard,
    requested: &Requested,
) -> Result<Variables, Error> {
    let mut variables = Variables::new();
    let Some(opened) = &card.ticket.opened else {
        return Ok(variables);
    };
    // The erasure of the creator removes the secret; an API call that uses it then fails visibly.
    if let Some(name) = &opened.variables
        && let Some(stored) = app.ledger.keys.secret(name).await?
    {
        let stored: BTreeMap<String, String> = serde_json::from_slice(&stored)
            .map_err(|_| Error::corrupt(format!("secret {name} does not contain variables")))?;
        variables.extend(stored.into_iter().map(|(key, value)| (key, value.into())));
    }
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
        // An output that no node has produced yet is empty, not unknown.
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
        // Tickets have no sub-tasks, so both texts are empty.
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
    for (key, value) in &requested.inputs {
        match input(app, key, value).await? {
            Some(value) => variables.insert(key.clone(), value.into()),
            // The erasure of the person removes the input; an API call that uses it fails visibly.
            None => variables.remove(key),
        };
    }
    Ok(variables)
}

/// Returns an input of this API call: the text itself, or a value from the key store.
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
