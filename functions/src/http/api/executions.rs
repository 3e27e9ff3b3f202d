//! Handles executions of scripts in the API `/v1`: reads them, approves and rejects them, and changes their
//! parameters. Also returns the automation rules and scripts.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::IntoResponse;
use domain::automation::execution::{End, Execution, Rejection};
use domain::permission::{Operation as Permission, Relation, Relations};
use domain::ticket::Ticket;
use events::{Moment, PersonId};
use infra::ExecuteError;
use serde_json::{Value, json};

use super::admin::{CardList, page_of, reads_operations, stream_of};
use super::problem::{ApiResult, Problem};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, post, put, segments,
};
use super::shape::{Member, Shape, quoted, required};
use super::time;
use crate::app::automation::executions::{self, NotChanged, id_of};
use crate::app::definition_files::check_name;
use crate::app::{permissions, tickets};

const FINGERPRINT: Member = required("fingerprint", Shape::Text);
const REASON: Member = required("reason", Shape::Text);
const PARAMETERS: Member = required("parameters", Shape::Map(&Shape::Text));

const OPERATIONS: &[Operation] = &[
    list(
        "/v1/executions",
        "lists executions of scripts by time, latest first; for superusers, and with `approver` for this person",
        &[
            ("state", Asks::Word(&["all", "open", "awaiting_approval"])),
            ("ticket", Asks::Text),
            ("approver", Asks::Name),
            PAGE,
            PAGE_SIZE,
        ],
    ),
    get(
        "/v1/executions/{execution}",
        "shows an execution with its steps; for superusers, approvers and people who work on the ticket",
    ),
    post(
        "/v1/executions/{execution}/approve",
        "approves exactly what the fingerprint covers; for approvers, except the requester",
        &[FINGERPRINT],
    ),
    post(
        "/v1/executions/{execution}/reject",
        "rejects an execution; a person then does the work",
        &[REASON],
    ),
    put(
        "/v1/executions/{execution}/parameters",
        "replaces the parameters before the start; the execution then needs another approval",
        &[PARAMETERS],
    ),
    get("/v1/rules", "lists the automation rules; for superusers"),
    get(
        "/v1/scripts/{script}",
        "shows the definition of a script; for superusers",
    ),
];

/// All operations on executions, and the function `answer` that executes them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
};

fn answer(call: Call) -> Answer {
    Box::pin(async move {
        let request = call.request;
        match *segments(&call.path) {
            ["rules"] => rules(request).await,
            ["scripts", name] => script(request, name).await,
            ["executions"] => all(request).await,
            [_, id] => one(request, id).await,
            [_, id, "approve"] => approve(request, id).await,
            [_, id, "reject"] => reject(request, id).await,
            [_, id, _] => change(request, id).await,
            _ => Err(Problem::not_found("this path does not exist")),
        }
    })
}

async fn all(request: Asked) -> ApiResult {
    let state = request.asked_for("state").filter(|state| *state != "all");
    let list = match (
        state,
        request.asked_for("ticket"),
        request.asked_for("approver"),
    ) {
        (None, None, Some(name)) => {
            let approver = request.app.people.find(name).await?;
            if request.app.people.find(request.user()?).await? != approver {
                reads_operations(&request).await?;
            }
            CardList::below("approver", approver.as_str())
        }
        (state, ticket, None) => {
            reads_operations(&request).await?;
            match (state, ticket) {
                (None, None) => CardList::whole("execution"),
                (Some("open"), None) => CardList::whole("open"),
                (Some(_), None) => CardList::whole("awaiting"),
                (None, Some(ticket)) => CardList::below("ticket", ticket),
                (Some(_), Some(_)) => return Err(only_one()),
            }
        }
        _ => return Err(only_one()),
    };
    let body = |stream: &str, card: &Execution| shown(&request, stream, card);
    page_of(&request, &list, "executions", body).await
}

fn only_one() -> Problem {
    Problem::malformed(
        "state",
        "only one of `state`, `ticket` and `approver` can be given",
    )
}

/// Loads an execution (one run of a script). Returns the name of its event stream, its state, and the id of the person
/// who sent the request. If this person may not see the execution, the error is the same as for an execution that does
/// not exist.
async fn allowed(request: &Asked, id: &str) -> Result<(String, Execution, PersonId), Problem> {
    let missing = || Problem::not_found(format!("there is no execution {}", quoted(id)));
    let stream = stream_of("execution", id).ok_or_else(missing)?;
    let app = &request.app;
    let actor = app.people.find(request.user()?).await?;
    let state = executions::load(app, &stream).await?;
    let requested = state.requested.as_ref().ok_or_else(missing)?;
    let ticket = app
        .ledger
        .load::<Ticket>(&requested.ticket.stream())
        .await?;
    let by_itself =
        Relations::NONE.with_if(Relation::Approver, requested.approvers.contains(&actor));
    let operation = Permission::ReadExecution;
    if permissions::may(app, operation, &actor, by_itself).await?
        || tickets::may(app, operation, &ticket.aggregate.0, &actor).await?
    {
        Ok((stream, state, actor))
    } else {
        Err(missing())
    }
}

async fn one(request: Asked, id: &str) -> ApiResult {
    let (stream, state, _) = allowed(&request, id).await?;
    detail(&request, &stream, &state).await
}

async fn approve(request: Asked, id: &str) -> ApiResult {
    let (stream, _, actor) = allowed(&request, id).await?;
    let fingerprint = request.required("fingerprint")?;
    let meta = request.meta(actor);
    let state = executions::approve(&request.app, &stream, meta, &fingerprint).await;
    detail(&request, &stream, &state.map_err(refused)?).await
}

async fn reject(request: Asked, id: &str) -> ApiResult {
    let (stream, _, actor) = allowed(&request, id).await?;
    let reason = request.required("reason")?;
    if reason.chars().count() > executions::PARAMETER_MAX {
        return Err(Problem::malformed(
            "/reason",
            format!(
                "`reason` is longer than {} characters",
                executions::PARAMETER_MAX
            ),
        ));
    }
    let meta = request.meta(actor);
    let state = executions::reject(&request.app, &stream, meta, &reason).await;
    detail(&request, &stream, &state.map_err(refused)?).await
}

async fn change(request: Asked, id: &str) -> ApiResult {
    let (stream, _, actor) = allowed(&request, id).await?;
    let given = request.body.get("parameters").cloned().unwrap_or_default();
    let parameters: BTreeMap<String, String> = serde_json::from_value(given).map_err(|_| {
        Problem::malformed("/parameters", "`parameters` must be an object of texts")
    })?;
    let meta = request.meta(actor);
    let changed = executions::change_parameters(&request.app, &stream, meta, parameters).await;
    let state = changed.map_err(|failure| match failure {
        NotChanged::Parameters(reason) => Problem::malformed("/parameters", reason),
        NotChanged::Failed(failure) => refused(failure),
    })?;
    detail(&request, &stream, &state).await
}

fn refused(failure: ExecuteError<Execution>) -> Problem {
    let detail = failure.to_string();
    match failure {
        ExecuteError::Technical(error) => error.into(),
        ExecuteError::Rejected(
            Rejection::NotAnApprover
            | Rejection::RequesterMayNotApprove
            | Rejection::EditorMayNotApprove,
        ) => Problem::forbidden(detail),
        ExecuteError::Rejected(_) => Problem::conflict(detail),
    }
}

async fn rules(request: Asked) -> ApiResult {
    reads_operations(&request).await?;
    let rules = request.app.configuration.rules().await?;
    Ok(Json(json!({ "count": rules.len(), "rules": rules })).into_response())
}

async fn script(request: Asked, name: &str) -> ApiResult {
    reads_operations(&request).await?;
    let missing = || Problem::not_found(format!("there is no script {}", quoted(name)));
    if check_name("script", name).is_err() {
        return Err(missing());
    }
    let defined = request.app.configuration.script(name).await?;
    let defined = defined.ok_or_else(missing)?;
    let mut body = json!(defined);
    if let Some(approval) = &defined.approval {
        body["approval"]["people"] = names(&request, &approval.people).await?;
    }
    Ok(Json(body).into_response())
}

/// Returns an execution (one run of a script) as JSON. The JSON contains the user names of the approvers and of other
/// people, the parameters and the output.
async fn detail(request: &Asked, stream: &str, state: &Execution) -> ApiResult {
    let mut body = shown(request, stream, state);
    let requested = state.requested.as_ref();
    let approvers = requested.map_or(&[][..], |one| &one.approvers);
    body["approvers"] = names(request, approvers).await?;
    let editors: Vec<PersonId> = state.editors.iter().cloned().collect();
    body["editors"] = names(request, &editors).await?;
    let people = &request.app.people;
    body["approved_by"] = match &state.approved_by {
        Some(by) => people.name(by).await?.into(),
        None => Value::Null,
    };
    body["requester"] = match requested {
        Some(requested) => people.name(&requested.requester).await?.into(),
        None => Value::Null,
    };
    body["parameters"] = state
        .parameters
        .as_ref()
        .map_or(Value::Null, |parameters| parameters.value.clone());
    let form = state.form.as_ref();
    body["form"] = form.map_or(Value::Null, |form| form.value.clone());
    body["tested"] = json!(requested.map(|one| &one.tested));
    body["script_body"] = json!(requested.map(|one| &one.body));
    let (mut output, mut rejected_by) = (Value::Null, Value::Null);
    match &state.end {
        Some(End::Completed(completed)) => {
            let kept = completed.output.as_ref();
            output = kept.map_or(Value::Null, |output| output.value.clone());
        }
        Some(End::Rejected(rejected)) => {
            body["reason"] = rejected.reason.read().into();
            rejected_by = people.name(&rejected.by).await?.into();
        }
        Some(End::Expired(_)) | None => {}
    }
    body["output"] = output;
    body["rejected_by"] = rejected_by;
    Ok(Json(body).into_response())
}

async fn names(request: &Asked, people: &[PersonId]) -> Result<Value, Problem> {
    let mut names = Vec::new();
    for person in people {
        names.push(request.app.people.name(person).await?);
    }
    Ok(names.into())
}

fn shown(request: &Asked, stream: &str, state: &Execution) -> Value {
    let at = |at: Moment| time(&request.app, at);
    let requested = state.requested.as_ref();
    let completed = match &state.end {
        Some(End::Completed(completed)) => Some(&**completed),
        _ => None,
    };
    let steps = state.steps.iter().map(|step| {
        json!({
            "attempt": step.attempt,
            "step": step.step,
            "is_done": step.succeeded,
            "text": step.text,
            "duration_ms": step.duration_ms,
        })
    });
    json!({
        "id": id_of(stream),
        "ticket": requested.map(|one| &one.ticket),
        "node": requested.map(|one| one.node),
        "node_name": requested.map(|one| &one.name),
        "rule": requested.map(|one| &one.rule),
        "script": requested.map(|one| &one.script),
        "version": requested.map(|one| &one.version),
        "state": state.state(),
        "fingerprint": state.fingerprint,
        "requested_at": requested.map(|one| at(one.due)),
        "approval_expires": state.expires.map(at),
        "next_attempt": state.is_running().then(|| at(state.attempts.due)),
        "runs_until": state.is_running().then(|| at(state.runs_until())),
        "steps": steps.collect::<Vec<_>>(),
        "reason": completed.map(|one| &one.reason).filter(|reason| !reason.is_empty()),
        "level": completed.and_then(|one| one.level),
        "exit_code": completed.and_then(|one| one.exit_code),
        "is_closed": state.is_closed,
    })
}
