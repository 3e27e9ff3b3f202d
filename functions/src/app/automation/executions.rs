//! Handles the executions of automation scripts: approvals, changes of parameters, and the effect of the
//! outcome on the ticket.

use std::collections::BTreeMap;

use domain::automation::execution::{Command, End, Execution, Rejection, is_done};
use domain::intent::Due;
use domain::ticket::{self, Ticket};
use events::execution::{Outcome, Requested};
use events::finding::Finding;
use events::{Entry, Meta, Moment, PersonId, Personal, Remark};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::{Map, Value, json};

use super::{evaluate_rules, wording};
use crate::App;
use crate::app::people::Unnamed;
use crate::app::tickets;
use crate::app::wording::named_rejection;

/// Maximum length of the value of one script parameter, in characters.
pub const PARAMETER_MAX: usize = 1_000;
/// The first part of the name of a secret in the key store. The secret of an automation platform has the name
/// `platform/<platform name>`.
pub const PLATFORM: &str = "platform/";

/// Returns the name of the event stream for the script execution with the given id.
pub fn stream_of(id: &str) -> String {
    format!("execution-{id}")
}

/// Returns the id of a script execution. The id is the part of the stream name after `execution-`.
pub fn id_of(stream: &str) -> &str {
    stream.trim_start_matches("execution-")
}

/// Returns the current state of a script execution from its event stream.
pub async fn load(app: &App, stream: &str) -> Result<Execution, Error> {
    Ok(app.ledger.load::<Execution>(stream).await?.aggregate.0)
}

/// Returns the fingerprint (a hash) of the current definition of an automation platform. The result is an
/// empty text if the platform is not defined.
pub async fn target(app: &App, platform: &str) -> Result<String, Error> {
    let defined = app.configuration.platform(platform).await?;
    let hash = |defined| blake3::hash(json!(defined).to_string().as_bytes());
    Ok(defined.map_or_else(String::new, |defined| hash(defined).to_hex().to_string()))
}

/// Returns the fingerprint (a keyed BLAKE3 hash) of everything that a person approves. The hash includes the
/// script, the platform, the ticket, the workflow node, the parameters, the form values and the end of the
/// approval time. Without the key, a reader of the ledger cannot find the parameters by computing hashes of
/// guessed values.
pub async fn fingerprint(
    app: &App,
    requested: &Requested,
    parameters: &Personal,
    form: &Personal,
    expires: Option<Moment>,
) -> Result<String, Error> {
    let covered = json!([
        requested.script,
        requested.version,
        requested.body,
        requested.target,
        requested.ticket,
        requested.node,
        requested.round,
        parameters.value,
        form.value,
        expires,
    ]);
    let key = app.keys().await?.fingerprint;
    let hash = blake3::keyed_hash(&key, covered.to_string().as_bytes());
    Ok(hash.to_hex().to_string())
}

/// Approves the execution of a script. `fingerprint` is the hash of the content that the approving person
/// saw.
pub async fn approve(
    app: &App,
    stream: &str,
    meta: Meta,
    fingerprint: &str,
) -> Result<Execution, ExecuteError<Execution>> {
    let command = Command::Approve {
        by: meta.actor.clone(),
        fingerprint: fingerprint.to_owned(),
        at: app.ledger.clock.now(),
    };
    execute(app, stream, &command, meta, app.ledger.fresh_id()).await
}

/// Rejects the execution of a script. People must then do the work of the workflow node.
pub async fn reject(
    app: &App,
    stream: &str,
    meta: Meta,
    reason: &str,
) -> Result<Execution, ExecuteError<Execution>> {
    let state = load(app, stream).await?;
    let subject = state.requested.map(|requested| requested.requester);
    let command = Command::Reject {
        by: meta.actor.clone(),
        // The reason can contain personal data of the requester. Therefore, the reason is marked as a
        // personal value of the requester.
        reason: Remark::new(reason).owned_by(subject.unwrap_or_else(PersonId::system)),
        at: app.ledger.clock.now(),
    };
    execute(app, stream, &command, meta, app.ledger.fresh_id()).await
}

/// The reason why the parameters of a script execution were not changed.
#[derive(Debug)]
pub enum NotChanged {
    /// A parameter is wrong. The finding contains the name of the parameter.
    Parameters(Finding),
    Failed(ExecuteError<Execution>),
}

impl From<Error> for NotChanged {
    fn from(error: Error) -> Self {
        Self::Failed(ExecuteError::Technical(error))
    }
}

/// Replaces the parameters of a script execution that has not started. An earlier approval becomes invalid,
/// and a new request for approval begins.
pub async fn change_parameters(
    app: &App,
    stream: &str,
    meta: Meta,
    parameters: BTreeMap<String, String>,
) -> Result<Execution, NotChanged> {
    let state = load(app, stream).await?;
    let Some(requested) = &state.requested else {
        let rejection = ExecuteError::Rejected(Rejection::NotRequested);
        return Err(NotChanged::Failed(rejection));
    };
    let parameters: Map<String, Value> = parameters
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    evaluate_rules::check_parameters(&requested.accepts, &parameters)
        .map_err(NotChanged::Parameters)?;
    let form = form_of(app, requested, &parameters).await?;
    let form = form.map_err(NotChanged::Parameters)?;
    let form = Personal::new(requested.requester.clone(), form.into());
    let parameters = Personal::new(requested.requester.clone(), parameters.into());
    let at = app.ledger.clock.now();
    let expires = at.plus_ms(requested.approval_ms);
    let command = Command::ChangeParameters {
        by: meta.actor.clone(),
        fingerprint: fingerprint(app, requested, &parameters, &form, Some(expires)).await?,
        parameters,
        form,
        at,
        expires,
    };
    execute(app, stream, &command, meta, app.ledger.fresh_id())
        .await
        .map_err(NotChanged::Failed)
}

/// Computes the form values for the workflow node with the changed parameters, and returns the form values. If the rule
/// or the ticket does not exist any more, the result has no values. The inner `Err` contains the key of the wrong
/// value.
async fn form_of(
    app: &App,
    requested: &Requested,
    parameters: &Map<String, Value>,
) -> Result<Result<Map<String, Value>, Finding>, Error> {
    let rules = app.configuration.rules().await?;
    let rule = rules.iter().find(|rule| rule.name == requested.rule);
    let card = tickets::card(app, &requested.ticket).await?;
    let (Some(rule), Some(card)) = (rule, card) else {
        return Ok(Ok(Map::new()));
    };
    let variables = evaluate_rules::variables(app, &card).await?;
    Ok(evaluate_rules::form(rule, &variables, parameters))
}

/// Ends the request for the approval of a script if the time for the approval is over.
pub async fn expire(app: &App, due: &Due, meta: Meta) -> Result<(), Error> {
    let command = Command::Expire {
        at: app.ledger.clock.now(),
    };
    let id = command_id(&["fire", &due.id()]);
    execute(app, &due.stream, &command, meta, id)
        .await
        .map(drop)
        .map_err(ExecuteError::unexpected)
}

async fn execute(
    app: &App,
    stream: &str,
    command: &Command,
    meta: Meta,
    command_id: [u8; 16],
) -> Result<Execution, ExecuteError<Execution>> {
    let command_envelope = CommandEnvelope {
        stream: stream.to_owned(),
        command_id,
        meta,
    };
    let outcome = app
        .ledger
        .execute::<Execution>(&command_envelope, command, &NoContext)
        .await?;
    Ok(outcome.state)
}

/// Stores the outcome of a script execution in its ticket. After a success, the desk completes the workflow
/// node. Otherwise, people must do the work of the node, and a remark in the ticket usually explains the
/// outcome. Returns true if the ticket stored the outcome, and false if the ticket does not need the outcome.
/// Returns `None` if the execution has no outcome yet.
pub async fn record_outcome(
    app: &App,
    stream: &str,
    state: &Execution,
    meta: &Meta,
) -> Result<Option<bool>, Error> {
    let (Some(requested), Some(end)) = (&state.requested, &state.end) else {
        return Ok(None);
    };
    let script = app.configuration.script(&requested.script).await?;
    let title = script.map(|script| script.title);
    let title = title.filter(|title| !title.is_empty());
    let title = title.unwrap_or_else(|| requested.script.clone());
    let text = wording::remark(state, &title, id_of(stream));
    let recorded = match end {
        End::Completed(completed) if is_done(completed.outcome) => {
            fulfill(app, stream, state, &text, meta).await?
        }
        End::Completed(completed) if completed.outcome == Outcome::Canceled => false,
        End::Completed(_) => remark(app, stream, requested, &text, meta).await?,
        // The script was not executed. The remark is therefore added only if the workflow node still waits
        // for people.
        End::Rejected(_) | End::Expired(_) => {
            let ticket_stream = requested.ticket.stream();
            let ticket = app.ledger.load::<Ticket>(&ticket_stream).await?.aggregate.0;
            ticket.waits_for_people(requested.node, requested.round)
                && remark(app, stream, requested, &text, meta).await?
        }
    };
    Ok(Some(recorded))
}

/// Completes the workflow node of a successful script execution. If the ticket does not accept the
/// completion, adds a remark instead, because the effect of the script must be visible in the ticket. Returns
/// false if the ticket accepts neither the completion nor the remark.
async fn fulfill(
    app: &App,
    stream: &str,
    state: &Execution,
    text: &str,
    meta: &Meta,
) -> Result<bool, Error> {
    let Some(requested) = &state.requested else {
        return Ok(false);
    };
    let form = state.form.as_ref().and_then(|form| form.value.as_object());
    let form = form.into_iter().flatten();
    let mut form: Vec<Entry> = form
        .map(|(key, value)| Entry::new(key.clone(), value.clone()))
        .collect();
    let loaded = app
        .ledger
        .load::<Ticket>(&requested.ticket.stream())
        .await?;
    if let Some(opened) = &loaded.aggregate.0.opened
        && let Some(workflow) = app
            .configuration
            .workflow(opened.workflow, opened.workflow_version)
            .await?
    {
        // If a text in the form is not a user name, the text stays unchanged. The ticket then rejects the
        // form.
        let named = app.people.form_in(&workflow.definition, &mut form, 0);
        if let Err(Unnamed::Technical(error)) = named.await {
            return Err(error);
        }
    }
    let command = ticket::Command::Fulfill {
        node: requested.node,
        round: requested.round,
        form,
        remark: text.to_owned(),
    };
    let id = command_id(&["fulfill", stream]);
    match tickets::execute(app, &requested.ticket, &command, meta, id, None).await {
        Ok(_) => Ok(true),
        Err(ExecuteError::Rejected(ticket::Rejection::ResultNotExpected)) => {
            remark(app, stream, requested, text, meta).await
        }
        Err(ExecuteError::Rejected(rejection)) => {
            let reason = named_rejection(app, wording::CHINESE, &rejection).await?;
            let text = wording::not_completed(text, &reason);
            remark(app, stream, requested, &text, meta).await
        }
        Err(failure) => Err(failure.unexpected()),
    }
}

/// Adds an internal remark to the ticket, for the people who work on the ticket. Returns false if the ticket
/// does not accept the remark.
async fn remark(
    app: &App,
    stream: &str,
    requested: &Requested,
    text: &str,
    meta: &Meta,
) -> Result<bool, Error> {
    let command = ticket::Command::Remark {
        by: PersonId::system(),
        text: text.to_owned(),
        parent: None,
        mentions: Vec::new(),
        internal: true,
        files: Vec::new(),
    };
    let id = command_id(&["remark", stream]);
    match tickets::execute(app, &requested.ticket, &command, meta, id, None).await {
        Ok(_) => Ok(true),
        Err(ExecuteError::Rejected(_)) => Ok(false),
        Err(failure) => Err(failure.unexpected()),
    }
}
