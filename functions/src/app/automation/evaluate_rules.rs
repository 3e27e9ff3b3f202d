//! Searches for the rule that applies to a workflow node, and requests the execution of the script in this
//! rule. Rules apply only to nodes that wait for people.

use std::collections::BTreeSet;

use domain::automation::execution::{Command, Execution, Rejection};
use domain::automation::rule::{Match, choose};
use domain::condition::Found;
use domain::intent::EvaluateRules;
use domain::placeholder::{Variables, fill};
use domain::views::ticket_card::TicketCard;
use events::execution::Requested;
use events::finding::Finding;
use events::script::{Body, Defined as Script, Parameter};
use events::workflow::service_task::Pair;
use events::{Meta, Moment, PersonId, Personal, rule};
use infra::ledger::{NoContext, command_id};
use infra::{CommandEnvelope, Error, ExecuteError};
use serde_json::{Map, Value};

use super::executions;
use crate::App;
use crate::app::tickets;
use crate::app::tickets::service_task;

/// Number of milliseconds in one second.
const SECOND_MS: i64 = 1_000;
/// Number of milliseconds in one minute.
const MINUTE_MS: i64 = 60_000;
/// The keys of ticket values that contain no personal data. The values of all other keys are treated as
/// personal, except the values of unencrypted form fields that contain no people.
const OPEN_KEYS: [&str; 8] = [
    "ticket_sn",
    "ticket_service",
    "ticket_service_name",
    "ticket_service_type",
    "ticket_priority",
    "ticket_current_status",
    "ticket_bk_biz_id",
    "ticket_create_at",
];

/// Searches for the rule that applies to a workflow node. If a rule applies, creates an execution of its
/// script with the id `id`. A repeated call with the same id creates no second execution. Returns the event
/// stream of the execution, or `None` if no rule applies.
pub async fn evaluate(
    app: &App,
    id: &str,
    evaluate: EvaluateRules,
) -> Result<Option<String>, Error> {
    let rules = app.configuration.rules().await?;
    if rules.iter().all(|rule| rule.node != evaluate.name) {
        return Ok(None);
    }
    let Some(card) = tickets::card(app, &evaluate.ticket).await? else {
        return Ok(None);
    };
    if !card.ticket.waits_for_people(evaluate.node, evaluate.round) {
        return Ok(None);
    }
    let variables = variables(app, &card).await?;
    let open = open_keys(app, &card).await?;
    let find = |key: &str| match variables.get(key) {
        None | Some(Value::Null) => Found::Absent,
        Some(value) if open.contains(key) => Found::Value(value.clone()),
        Some(value) => Found::Personal(value.clone()),
    };
    let Some(chosen) = choose(&rules, &evaluate.name, &find) else {
        return Ok(None);
    };
    let stream = executions::stream_of(id);
    let command_envelope = CommandEnvelope {
        stream: stream.clone(),
        command_id: command_id(&["execution", id]),
        meta: Meta::system(evaluate.correlation.clone(), evaluate.cause.clone()),
    };
    let Some(requested) = request(app, evaluate, &card, &variables, chosen).await? else {
        return Ok(None);
    };
    let command = Command::Request(Box::new(requested));
    match app
        .ledger
        .execute::<Execution>(&command_envelope, &command, &NoContext)
        .await
    {
        Ok(_) | Err(ExecuteError::Rejected(Rejection::AlreadyRequested)) => Ok(Some(stream)),
        Err(failure) => Err(failure.unexpected()),
    }
}

/// Returns the ticket values that the conditions and parameters of rules can use. The result contains the
/// variables of service tasks (automatic workflow nodes), the service and the priority.
pub(in crate::app) async fn variables(app: &App, card: &TicketCard) -> Result<Variables, Error> {
    // The result does not contain the secret values that a client sent with the ticket. The reason is that
    // the parameters and forms of rules are stored and shown.
    let mut variables = service_task::of_ticket(app, card, Variables::new()).await?;
    if let Some(opened) = &card.ticket.opened {
        let service = app.configuration.service(opened.service).await?;
        let name = service.0.as_ref().map(|service| service.name.clone());
        variables.insert("ticket_service".into(), opened.service.to_string().into());
        variables.insert(
            "ticket_service_name".into(),
            name.unwrap_or_default().into(),
        );
    }
    let priority = card.ticket.priority().map(|one| one.key.clone());
    variables.insert(
        "ticket_priority".into(),
        priority.unwrap_or_default().into(),
    );
    Ok(variables)
}

/// Returns the keys of the ticket values that can be stored as plain text. These values appear in the record
/// of the conditions that the desk tested for a rule.
async fn open_keys(app: &App, card: &TicketCard) -> Result<BTreeSet<String>, Error> {
    let mut open: BTreeSet<String> = OPEN_KEYS.iter().map(|key| (*key).to_owned()).collect();
    let Some(opened) = &card.ticket.opened else {
        return Ok(open);
    };
    let workflow = app
        .configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?;
    for field in workflow.iter().flat_map(|one| &one.definition.fields) {
        let entry = card.ticket.form.get(&field.key);
        let is_personal = entry.is_none_or(|entry| entry.personal.is_some());
        if !is_personal && !field.kind.names_people() {
            open.insert(field.key.clone());
        }
    }
    Ok(open)
}

/// Returns the event that requests the execution of a script. If the script cannot be executed, the field
/// `problem` of the event contains the reason. People then do the work of the workflow node. Returns `None`
/// if the ticket does not exist.
async fn request(
    app: &App,
    evaluate: EvaluateRules,
    card: &TicketCard,
    variables: &Variables,
    chosen: Match<'_>,
) -> Result<Option<Requested>, Error> {
    let Some(opened) = &card.ticket.opened else {
        return Ok(None);
    };
    let now = app.ledger.clock.now();
    let rule = chosen.rule;
    let requester = opened.creator.clone();
    let personal =
        |value: Map<String, Value>| Box::new(Personal::new(requester.clone(), value.into()));
    let mut requested = Requested {
        ticket: evaluate.ticket,
        node: evaluate.node,
        name: evaluate.name,
        round: evaluate.round,
        cause: evaluate.cause,
        rule: rule.name.clone(),
        tested: chosen.tested,
        script: rule.script.clone(),
        version: String::new(),
        body: Body::Steps {
            action: events::script::Action::UnlockAccount,
            platform: String::new(),
        },
        target: String::new(),
        accepts: Vec::new(),
        requester: requester.clone(),
        parameters: personal(Map::new()),
        fingerprint: String::new(),
        approvers: Vec::new(),
        form: personal(Map::new()),
        timeout_ms: MINUTE_MS,
        approval_ms: 0,
        problem: String::new(),
        finding: None,
        due: now,
        expires: None,
    };
    let Some(script) = app.configuration.script(&rule.script).await? else {
        let script = rule.script.clone();
        set_problem(&mut requested, Finding::ScriptNotDefined { script });
        return Ok(Some(requested));
    };
    requested.version.clone_from(&script.version);
    requested.body = script.body.clone();
    requested.accepts.clone_from(&script.parameters);
    if let Body::Steps { platform, .. } = &script.body {
        requested.target = executions::target(app, platform).await?;
    }
    requested.timeout_ms = i64::from(script.timeout_s) * SECOND_MS;
    let filled = filled(&rule.parameters, variables).and_then(|parameters| {
        check_parameters(&script.parameters, &parameters).map(|()| parameters)
    });
    let form = match &filled {
        Ok(parameters) => form(rule, variables, parameters),
        Err(_) => Ok(Map::new()),
    };
    match (filled, form) {
        (Ok(parameters), Ok(form)) => {
            requested.parameters = personal(parameters);
            requested.form = personal(form);
        }
        (Err(problem), _) | (_, Err(problem)) => {
            set_problem(&mut requested, problem);
            return Ok(Some(requested));
        }
    }
    if script.approval.is_some() {
        ask_for_approval(app, &script, opened.agent.as_ref(), &mut requested, now).await?;
    }
    let (parameters, form) = (&requested.parameters, &requested.form);
    requested.fingerprint =
        executions::fingerprint(app, &requested, parameters, form, requested.expires).await?;
    Ok(Some(requested))
}

/// Writes into `requested` why the script cannot be executed.
fn set_problem(requested: &mut Requested, finding: Finding) {
    requested.problem = finding.to_string();
    requested.finding = Some(Box::new(finding));
}

/// Writes two values into `requested`: the people who may approve the script, and the time limit for the approval. The
/// requester may not approve the script. If no other person may approve, writes the reason why the script cannot be
/// executed.
async fn ask_for_approval(
    app: &App,
    script: &Script,
    agent: Option<&PersonId>,
    requested: &mut Requested,
    now: Moment,
) -> Result<(), Error> {
    let Some(approval) = &script.approval else {
        return Ok(());
    };
    let mut approvers: BTreeSet<PersonId> = approval.people.iter().cloned().collect();
    if let Some(role) = approval.role {
        let role = app.configuration.role(role).await?;
        approvers.extend(role.0.iter().flat_map(|role| role.members.clone()));
    }
    approvers.remove(&requested.requester);
    // The agent opened the ticket for another person (the requester). The agent is therefore not independent
    // and may not approve the script.
    if let Some(agent) = agent {
        approvers.remove(agent);
    }
    if approvers.is_empty() {
        set_problem(requested, Finding::NoApprover);
        return Ok(());
    }
    requested.approvers = approvers.into_iter().collect();
    requested.approval_ms = i64::from(approval.expires_after_min) * MINUTE_MS;
    requested.expires = Some(now.plus_ms(requested.approval_ms));
    Ok(())
}

/// Returns the form values that the rule defines for a workflow node. A placeholder in such a value is the
/// key of a ticket value or of a script parameter. If both have the same key, the script parameter is used,
/// because the form describes the executed script.
pub(super) fn form(
    rule: &rule::Defined,
    variables: &Variables,
    parameters: &Map<String, Value>,
) -> Result<Map<String, Value>, Finding> {
    let mut variables = variables.clone();
    let parameters = parameters.iter();
    variables.extend(parameters.map(|(key, value)| (key.clone(), value.clone())));
    filled(&rule.form, &variables)
}

/// Returns the names and values from `pairs` as a map, and replaces the placeholders in the values. If a placeholder
/// has no value, returns a finding with the name.
fn filled(pairs: &[Pair], variables: &Variables) -> Result<Map<String, Value>, Finding> {
    pairs
        .iter()
        .map(|pair| {
            let value = fill(&pair.value, variables, str::to_owned).map_err(|problem| {
                Finding::ValueNotFilled {
                    key: pair.key.clone(),
                    problem,
                }
            })?;
            Ok((pair.key.clone(), value.into()))
        })
        .collect()
}

/// Checks the parameter values for a script. `accepts` lists the parameters of the script. If a parameter is
/// unknown, missing or too long, returns a finding. The finding contains the name of the parameter, but not its
/// value.
pub(super) fn check_parameters(
    accepts: &[Parameter],
    parameters: &Map<String, Value>,
) -> Result<(), Finding> {
    let known = |name: &String| accepts.iter().any(|one| one.name == *name);
    if let Some(unknown) = parameters.keys().find(|name| !known(name)) {
        let parameter = unknown.clone();
        return Err(Finding::ParameterUnknown { parameter });
    }
    for parameter in accepts {
        let value = parameters.get(&parameter.name).and_then(Value::as_str);
        let value = value.unwrap_or_default().trim();
        if parameter.is_required && value.is_empty() {
            let parameter = parameter.name.clone();
            return Err(Finding::ParameterMissing { parameter });
        }
        if value.chars().count() > executions::PARAMETER_MAX {
            return Err(Finding::ParameterTooLong {
                parameter: parameter.name.clone(),
                characters: executions::PARAMETER_MAX,
            });
        }
    }
    Ok(())
}
