//! Handles executions of scripts in the API `/v1`: reads them, approves and rejects them, and changes their
//! parameters. Also returns the automation rules and scripts.

use std::collections::BTreeMap;

use domain::automation::execution::{End, Execution, Rejection};
use domain::permission::{Operation as Permission, Relation, Relations};
use domain::ticket::Ticket;
use events::app::Scope;
use events::finding::Finding;
use events::script::{Body, Level};
use events::workflow::service_task::Pair;
use events::{Moment, PersonId, Personal};
use infra::ExecuteError;
use serde::Serialize;
use serde_json::{Value, json};

use super::admin::{CardList, page_of, reads_operations, stream_of};
use super::problem::{ApiResult, Problem};
#[cfg(test)]
use super::reply::schema;
use super::reply::{Open, Time, ok, time};
use super::request::Asked;
use super::resource::{
    Answer, Asks, Call, Operation, PAGE, PAGE_SIZE, Resource, get, list, post, put, segments,
};
use super::shape::{Member, Shape, quoted, required};
use crate::app::automation::executions::{self, NotChanged, id_of};
use crate::app::definition_files::check_name;
use crate::app::{permissions, tickets, wording};

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
    )
    .returning::<ExecutionPage>(),
    get(
        "/v1/executions/{execution}",
        "shows an execution with its steps; for superusers, approvers and people who work on the ticket",
    )
    .returning::<ExecutionDetail>(),
    post(
        "/v1/executions/{execution}/approve",
        "approves exactly what the fingerprint covers; for approvers, except the requester",
        &[FINGERPRINT],
    )
    .returning::<ExecutionDetail>(),
    post(
        "/v1/executions/{execution}/reject",
        "rejects an execution; a person then does the work",
        &[REASON],
    )
    .returning::<ExecutionDetail>(),
    put(
        "/v1/executions/{execution}/parameters",
        "replaces the parameters before the start; the execution then needs another approval",
        &[PARAMETERS],
    )
    .returning::<ExecutionDetail>(),
    get("/v1/rules", "lists the automation rules; for superusers").returning::<Rules>(),
    get(
        "/v1/scripts/{script}",
        "shows the definition of a script; for superusers",
    )
    .returning::<ShownScript>(),
];

/// One page of the executions of scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ExecutionPage {
    count: u64,
    executions: Vec<ShownExecution>,
}

/// An execution (one run of a script).
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Execution"))]
struct ShownExecution {
    id: String,
    ticket: Option<String>,
    node: Option<i64>,
    node_name: Option<String>,
    rule: Option<String>,
    script: Option<String>,
    version: Option<String>,
    /// `awaiting_approval`, `queued`, `running`, `rejected`, `expired`, or the outcome.
    state: &'static str,
    /// The hash of the script and its parameters. An approval names it.
    fingerprint: String,
    requested_at: Option<Time>,
    approval_expires: Option<Time>,
    next_attempt: Option<Time>,
    runs_until: Option<Time>,
    steps: Vec<ShownStep>,
    /// The reason of a failure, or the reason of a rejection.
    reason: Option<String>,
    /// The restrictions with which a shell script ran.
    #[cfg_attr(test, schemars(schema_with = "schema::level"))]
    level: Option<Level>,
    exit_code: Option<i32>,
    is_closed: bool,
}

/// One step of an execution.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ExecutionStep"))]
struct ShownStep {
    attempt: u32,
    step: String,
    is_done: bool,
    /// What the desk observed, in the language of `Accept-Language`.
    text: String,
    /// The word of the statement in `text`, such as `account_locked`. Null if the text has no word.
    finding: Option<&'static str>,
    /// Null for a step of a shell script.
    duration_ms: Option<i64>,
}

/// An execution with its people, its parameters and its output.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ExecutionDetail {
    #[serde(flatten)]
    execution: ShownExecution,
    approvers: Vec<String>,
    /// The people who changed the parameters. They may not approve.
    editors: Vec<String>,
    approved_by: Option<String>,
    rejected_by: Option<String>,
    requester: Option<String>,
    #[cfg_attr(test, schemars(schema_with = "schema::object_or_null"))]
    parameters: Option<Value>,
    /// The values for the form of the node.
    #[cfg_attr(test, schemars(schema_with = "schema::object_or_null"))]
    form: Option<Value>,
    /// The comparisons of the rule that chose the script.
    tested: Vec<Open>,
    #[cfg_attr(test, schemars(schema_with = "schema::object_or_null"))]
    script_body: Option<Body>,
    output: Option<String>,
}

/// The automation rules.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Rules {
    count: usize,
    rules: Vec<ShownRule>,
}

/// An automation rule: it chooses a script for a node of a workflow.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Rule"))]
struct ShownRule {
    name: String,
    is_enabled: bool,
    /// Rules with lower numbers are checked first.
    order: i64,
    /// The name of the node.
    node: String,
    /// The condition on the values of the ticket.
    condition: Open,
    script: String,
    parameters: Vec<ShownPair>,
    /// The values for the form of the node.
    form: Vec<ShownPair>,
}

/// A value with its name.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Pair"))]
struct ShownPair {
    key: String,
    value: String,
}

/// A script.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Script"))]
struct ShownScript {
    name: String,
    version: String,
    title: String,
    parameters: Vec<ScriptParameter>,
    /// The action on a platform, or the shell script with its restrictions.
    #[cfg_attr(test, schemars(schema_with = "schema::object"))]
    body: Body,
    /// The people who may approve. Null if an execution needs no approval.
    approval: Option<ScriptApproval>,
    timeout_s: u32,
}

/// One parameter of a script.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ScriptParameter {
    name: String,
    is_required: bool,
    title: String,
}

/// The people who may approve the executions of a script.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ScriptApproval {
    people: Vec<String>,
    role: Option<i64>,
    expires_after_min: u32,
}

/// All operations on executions, and the function `answer` that executes them.
pub(super) const RESOURCE: Resource = Resource {
    operations: OPERATIONS,
    answer,
    is_configuration: false,
    scope: Scope::Tickets,
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
    let (count, executions) = page_of(&request, &list, body).await?;
    Ok(ok(&ExecutionPage { count, executions }))
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
        NotChanged::Parameters(finding) => Problem::malformed(
            "/parameters",
            wording::finding(request.language, Some(&finding), &finding.to_string()),
        ),
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
    let pairs = |pairs: &[Pair]| -> Vec<ShownPair> {
        let pairs = pairs.iter();
        pairs
            .map(|pair| ShownPair {
                key: pair.key.clone(),
                value: pair.value.clone(),
            })
            .collect()
    };
    let rules: Vec<ShownRule> = rules
        .iter()
        .map(|rule| ShownRule {
            name: rule.name.clone(),
            is_enabled: rule.is_enabled,
            order: rule.order,
            node: rule.node.clone(),
            condition: Open(json!(rule.condition)),
            script: rule.script.clone(),
            parameters: pairs(&rule.parameters),
            form: pairs(&rule.form),
        })
        .collect();
    Ok(ok(&Rules {
        count: rules.len(),
        rules,
    }))
}

async fn script(request: Asked, name: &str) -> ApiResult {
    reads_operations(&request).await?;
    let missing = || Problem::not_found(format!("there is no script {}", quoted(name)));
    if check_name("script", name).is_err() {
        return Err(missing());
    }
    let defined = request.app.configuration.script(name).await?;
    let defined = defined.ok_or_else(missing)?;
    let approval = match &defined.approval {
        Some(approval) => Some(ScriptApproval {
            people: request.app.people.all_names(&approval.people).await?,
            role: approval.role.map(|role| role.0),
            expires_after_min: approval.expires_after_min,
        }),
        None => None,
    };
    let parameters = defined.parameters.iter().map(|parameter| ScriptParameter {
        name: parameter.name.clone(),
        is_required: parameter.is_required,
        title: parameter.title.clone(),
    });
    Ok(ok(&ShownScript {
        name: defined.name.clone(),
        version: defined.version.clone(),
        title: defined.title.clone(),
        parameters: parameters.collect(),
        body: defined.body.clone(),
        approval,
        timeout_s: defined.timeout_s,
    }))
}

/// Returns an execution (one run of a script) with the user names of its people, its parameters and its output.
async fn detail(request: &Asked, stream: &str, state: &Execution) -> ApiResult {
    let mut execution = shown(request, stream, state);
    let requested = state.requested.as_ref();
    let approvers = requested.map_or(&[][..], |one| &one.approvers);
    let people = &request.app.people;
    let name = async |person: Option<&PersonId>| match person {
        Some(person) => people.name(person).await.map(Some),
        None => Ok(None),
    };
    let object = |value: &Personal| Some(value.value.clone()).filter(Value::is_object);
    let (mut output, mut rejected_by) = (None, None);
    match &state.end {
        Some(End::Completed(completed)) => {
            let kept = completed.output.as_ref();
            output = kept.and_then(|output| output.value.as_str().map(str::to_owned));
        }
        Some(End::Rejected(rejected)) => {
            execution.reason = Some(rejected.reason.read().to_owned());
            rejected_by = name(Some(&rejected.by)).await?;
        }
        Some(End::Expired(_)) | None => {}
    }
    let tested = requested.iter().flat_map(|one| &one.tested);
    Ok(ok(&ExecutionDetail {
        execution,
        approvers: people.all_names(approvers).await?,
        editors: people.all_names(&state.editors).await?,
        approved_by: name(state.approved_by.as_ref()).await?,
        rejected_by,
        requester: name(requested.map(|one| &one.requester)).await?,
        parameters: state.parameters.as_ref().and_then(object),
        form: state.form.as_ref().and_then(object),
        tested: tested.map(|clause| Open(json!(clause))).collect(),
        script_body: requested.map(|one| one.body.clone()),
        output,
    }))
}

fn shown(request: &Asked, stream: &str, state: &Execution) -> ShownExecution {
    let at = |at: Moment| time(&request.app, at);
    let requested = state.requested.as_ref();
    let completed = match &state.end {
        Some(End::Completed(completed)) => Some(&**completed),
        _ => None,
    };
    let steps = state.steps.iter().map(|step| ShownStep {
        attempt: step.attempt,
        step: step.step.clone(),
        is_done: step.succeeded,
        text: wording::finding(request.language, step.finding.as_ref(), &step.text),
        finding: step.finding.as_ref().map(Finding::word),
        duration_ms: step.duration_ms,
    });
    ShownExecution {
        id: id_of(stream).to_owned(),
        ticket: requested.map(|one| one.ticket.to_string()),
        node: requested.map(|one| one.node.0),
        node_name: requested.map(|one| one.name.clone()),
        rule: requested.map(|one| one.rule.clone()),
        script: requested.map(|one| one.script.clone()),
        version: requested.map(|one| one.version.clone()),
        state: state.state(),
        fingerprint: state.fingerprint.clone(),
        requested_at: requested.map(|one| at(one.due)),
        approval_expires: state.expires.map(at),
        next_attempt: state.is_running().then(|| at(state.attempts.due)),
        runs_until: state.is_running().then(|| at(state.runs_until())),
        steps: steps.collect(),
        reason: completed.and_then(|completed| wording::failure(request.language, completed)),
        level: completed.and_then(|one| one.level),
        exit_code: completed.and_then(|one| one.exit_code),
        is_closed: state.is_closed,
    }
}
