//! One step of an API call: sends a request, records the verdict, and records the final result on
//! the ticket.
//!
//! The API call is closed only after the ticket has recorded the result. After a crash, the
//! deadline of the API call repeats the step. Each request has an `Idempotency-Key`, so that the
//! receiver can recognize a repeated request.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::api_call::{ApiCall, Command, POLICY, Rejection};
use domain::attempt::{Attempts, Policy, Report, Verdict};
use domain::placeholder::{Variables, typed};
use domain::ticket::{Command as TicketCommand, NodeResult, Rejection as TicketRejection};
use domain::views::ticket_card::TicketCard;
use domain::workflow::output_keys;
use events::Moment;
use events::api_call::Requested;
use events::ticket::NodeStatus;
use events::workflow::NodeKind;
use events::workflow::service_task::ServiceTask;
use infra::http::{HttpError, RESPONSE_BYTES_MAX};
use infra::ledger::{NoContext, command_id};
use infra::provider;
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::Value;

use crate::App;
use crate::app::outbound::VARIABLES;
use crate::app::outbound::{self, Described};
use crate::app::tickets;
use crate::app::tickets::display;
use crate::queue::runner::{self, Outgoing, Prepared};
use crate::queue::unexpected;

/// Takes the next step of an API call if the step is due. Otherwise does nothing.
pub async fn step(app: &App, stream: &str) -> Result<(), Error> {
    runner::run::<ApiCall>(app, stream).await
}

#[async_trait]
impl Outgoing for ApiCall {
    fn attempts(&self) -> Option<Attempts> {
        self.is_open().then_some(self.attempts)
    }

    fn cause(&self) -> &str {
        self.requested
            .as_ref()
            .map_or("", |requested| &requested.cause)
    }

    fn interrupted(&self) -> Option<(Verdict, Policy)> {
        self.interrupted().map(|verdict| (verdict, POLICY))
    }

    async fn prepare<'a>(
        &'a self,
        app: &'a App,
        _stream: &str,
    ) -> Result<Prepared<'a, Self>, Error> {
        prepare(app, self).await
    }

    fn record(report: Report) -> Command {
        Command::Record(report)
    }

    fn is_repeated(rejection: &Rejection) -> bool {
        matches!(
            rejection,
            Rejection::AlreadyRequested | Rejection::NotDue(_)
        )
    }

    /// Records the result of the API call on its ticket, then closes the API call.
    ///
    /// If the ticket no longer waits for the result, the close records that the ticket did not
    /// accept the result.
    async fn conclude(&self, app: &App, stream: &str) -> Result<(), Error> {
        let (Some(requested), Some(answered)) = (&self.requested, &self.answered) else {
            return Ok(());
        };
        if self.closed {
            return Ok(());
        }
        let result = NodeResult {
            node: requested.node,
            round: requested.round,
            attempt: requested.attempt,
            succeeded: answered.succeeded,
            outputs: answered.outputs.clone(),
            task: answered.task.clone(),
            reason: answered.reason.clone(),
        };
        let recorded = match tickets::execute(
            app,
            &requested.ticket,
            &TicketCommand::RecordResult(result),
            &runner::meta(self),
            command_id(&["answer", stream]),
            None,
        )
        .await
        {
            Ok(_) => true,
            Err(ExecuteError::Rejected(
                TicketRejection::ResultNotExpected | TicketRejection::Unknown,
            )) => false,
            Err(error) => return Err(unexpected(error)),
        };
        let command_envelope = CommandEnvelope {
            command_id: command_id(&["close", stream]),
            stream: stream.to_owned(),
            meta: runner::meta(self),
        };
        app.ledger
            .execute::<ApiCall>(&command_envelope, &Command::Close { recorded }, &NoContext)
            .await
            .map(drop)
            .map_err(unexpected)
    }
}

/// Prepares the next request of an API call.
async fn prepare<'a>(app: &App, call: &'a ApiCall) -> Result<Prepared<'a, ApiCall>, Error> {
    let failed = |reason: String| {
        let outputs = BTreeMap::new();
        Ok(Prepared::Verdict(
            Verdict::Failed { reason, outputs },
            POLICY,
        ))
    };
    let Some(requested) = &call.requested else {
        return failed("the API call is not requested".into());
    };
    let Some(card) = tickets::card(app, &requested.ticket).await? else {
        return failed("the ticket does not exist".into());
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
        return failed("the ticket no longer waits for this API call".into());
    }
    let Some((kind, service_task)) = service_task_of(app, &card, requested).await? else {
        return failed("the node has no service task".into());
    };
    let variables = variables(app, &card, requested).await?;
    let Some(provider) = provider::find(&service_task) else {
        return failed("no provider does this service task".into());
    };
    let planned = match provider.request(&service_task, call, &variables) {
        Ok(planned) => planned,
        Err(reason) => return failed(reason),
    };
    let secret = match &service_task {
        ServiceTask::Request(request) => &request.secret,
        ServiceTask::Task(task) => &task.secret,
    };
    // A retry of a request uses the same key. Each step of a SOPS task and each poll is a new
    // request with a new key.
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
    let request = match outbound::request(&*app.ledger.keys, described).await? {
        Ok(request) => request,
        Err(reason) => {
            // A request that cannot be built gets the verdict of a request without a response. A
            // poll is repeated. The creation of a task fails at once, and the reason names the
            // missing secret.
            let response = Err(HttpError::Unknown(reason));
            let (verdict, policy) = provider.verdict(&service_task, kind, call, &response);
            return Ok(Prepared::Verdict(verdict, policy));
        }
    };
    Ok(Prepared::Request {
        request,
        start: provider
            .is_once(call)
            .then_some(|attempt, until| Command::Begin { attempt, until }),
        judge: Box::new(move |response| provider.verdict(&service_task, kind, call, response)),
    })
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

/// Returns the variables for the templates of an API call.
///
/// The variables are form fields, outputs of nodes, data of the ticket and inputs of this API call.
/// The secret variables from the creation of the ticket are also included.
pub async fn variables(
    app: &App,
    card: &TicketCard,
    requested: &Requested,
) -> Result<Variables, Error> {
    let mut variables = Variables::new();
    let Some(opened) = &card.ticket.opened else {
        return Ok(variables);
    };
    // The erasure of the creator removes the secret. An API call that uses a variable of this
    // secret then fails with a visible reason.
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
        // The variable of an output that no node has produced yet is null, so that a template may
        // use the variable.
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
        // Tickets have no sub-tasks, so these two variables are empty.
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
            // The erasure of the person removed the stored input. An API call that uses the input
            // fails with a visible reason.
            None => variables.remove(key),
        };
    }
    Ok(variables)
}

/// Returns an input of this API call. `value` is the text of the input, or the name of a secret
/// that contains the text.
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
