//! One step of the call of an automatic node: plan, call, judge, record; then tell the ticket, and only then close.
//!
//! Whoever dies in between is called again by the deadline. What goes out carries an `Idempotency-Key`, so that the other side can know
//! a repeated call for what it is.

use std::collections::{BTreeMap, BTreeSet};

use domain::call::template::{Variables, typed};
use domain::call::{Call, Command, Rejection, Step, judge, plan};
use domain::ticket::{Answer, Command as TicketCommand, Rejection as TicketRejection, output_keys};
use domain::views::ticket_card::TicketCard;
use events::call::{Answered, Made, Requested};
use events::outside::Outside;
use events::ticket::NodeStatus;
use events::workflow::NodeKind;
use events::{Meta, Moment};
use infra::caller::ANSWER_BYTES_MAX;
use infra::ledger::{NoLookups, command_id};
use infra::store::commit::hex;
use infra::{Error, Failure, Wish};
use serde_json::Value;

use super::claimed;
use crate::http::blueking::render;
use crate::outside::{self, Described};
use crate::{App, desk};

/// How much longer than its timeout an attempt may take that cannot be made twice.
const BEGUN_MS: i64 = 30_000;
/// What the names of secrets begin with that hold variables for automatic nodes, and values for one repeated call.
pub const VARIABLES: &str = "variables/";

/// Makes the step that is due, if one is.
pub(super) async fn attempt(app: &App, stream: &str) -> Result<(), Error> {
    let call = app.ledger.load::<Call>(stream).await?.aggregate.0;
    let Some(requested) = call.requested.clone().filter(|_| !call.closed) else { return Ok(()) };
    if let Some(answered) = &call.answered {
        return tell(app, stream, &requested, answered).await;
    }
    let now = app.ledger.clock.now();
    let attempt = call.attempts + 1;
    if call.next > now || !claimed(&*app.views, stream, attempt.into(), now, hex(&app.ledger.fresh_id())).await? {
        return Ok(());
    }
    let (made, step) = match call.interrupted() {
        Some(step) => (None, step),
        None => match step(app, stream, &call, &requested).await? {
            Some(step) => step,
            None => return Ok(()),
        },
    };
    app.crash.pass("during-call");
    let wish = Wish { command_id: command_id(&["attempt", stream, &attempt.to_string()]), stream: stream.to_owned(), meta: meta(&requested) };
    let command = Command::Record { attempt, made, step, at: app.ledger.clock.now() };
    match app.ledger.execute::<Call>(&wish, &command, &NoLookups).await {
        Ok(outcome) => match &outcome.state.answered {
            Some(answered) => tell(app, stream, &requested, answered).await,
            None => Ok(()),
        },
        Err(Failure::Rejected(Rejection::NotDue(_))) => Ok(()),
        Err(Failure::Rejected(rejection)) => Err(Error::new(infra::Kind::Misconfigured, rejection.to_string())),
        Err(Failure::Technical(error)) => Err(error),
    }
}

fn meta(requested: &Requested) -> Meta {
    Meta::system(requested.cause.clone(), requested.cause.clone())
}

/// Tells the ticket what its call came to, then closes the call. A ticket that does not wait for it any more has nothing to be told.
async fn tell(app: &App, stream: &str, requested: &Requested, answered: &Answered) -> Result<(), Error> {
    let answer = Answer {
        node: requested.node,
        round: requested.round,
        attempt: requested.attempt,
        succeeded: answered.succeeded,
        outputs: answered.outputs.clone(),
        task: answered.task.clone(),
        reason: answered.reason.clone(),
    };
    let told = match desk::act(app, &requested.ticket, &TicketCommand::Answer(answer), &meta(requested), command_id(&["answer", stream])).await {
        Ok(_) => true,
        Err(Failure::Rejected(TicketRejection::AnswerLate | TicketRejection::Unknown)) => false,
        Err(Failure::Rejected(rejection)) => return Err(Error::new(infra::Kind::Misconfigured, rejection.to_string())),
        Err(Failure::Technical(error)) => return Err(error),
    };
    app.crash.pass("after-telling");
    let wish = Wish { command_id: command_id(&["close", stream]), stream: stream.to_owned(), meta: meta(requested) };
    match app.ledger.execute::<Call>(&wish, &Command::Close { told }, &NoLookups).await {
        Ok(_) => Ok(()),
        Err(Failure::Rejected(rejection)) => Err(Error::new(infra::Kind::Misconfigured, rejection.to_string())),
        Err(Failure::Technical(error)) => Err(error),
    }
}

/// Plans, calls and judges; nothing where somebody else has begun with it.
async fn step(app: &App, stream: &str, call: &Call, requested: &Requested) -> Result<Option<(Option<Made>, Step)>, Error> {
    let failed = |reason: &str| Some((None, Step::Done { status: None, succeeded: false, outputs: BTreeMap::new(), reason: reason.to_owned() }));
    let Some(card) = desk::card(app, &requested.ticket).await? else { return Ok(failed("the ticket is gone")) };
    let awaited =
        card.ticket.nodes.get(&requested.node).is_some_and(|visit| {
            visit.automatic && visit.status == NodeStatus::Running && (visit.round, visit.attempt) == (requested.round, requested.attempt)
        });
    if card.ticket.status.is_over() || !awaited {
        return Ok(failed("the ticket does not wait for it any more"));
    }
    let Some((kind, outside)) = described(app, &card, requested).await? else { return Ok(failed("the node does not say what to call")) };
    let variables = variables(app, &card, requested).await?;
    let wanted = match plan::plan(&outside, call, &variables) {
        Ok(wanted) => wanted,
        Err(reason) => return Ok(failed(&reason)),
    };
    let secret = match &outside {
        Outside::Request(request) => &request.secret,
        Outside::Task(task) => &task.secret,
    };
    // One key for one wish; the steps of a task are wishes of their own, and so is every further question.
    let key = match (&outside, call.step.as_str()) {
        (_, "") => requested.key.clone(),
        (Outside::Request(_), _) => format!("{}-{}", requested.key, call.polls),
        (Outside::Task(_), step) => format!("{}-{step}", requested.key),
    };
    let body = wanted.body_text();
    let described = Described {
        method: wanted.method,
        url: wanted.url,
        headers: [("Idempotency-Key".to_owned(), key)].into_iter().chain(wanted.headers).collect(),
        body,
        secret,
        timeout_ms: wanted.timeout_ms,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    // Where the other side cannot tell a repetition, it is put down before that it is asked.
    if call.is_once(&outside) && !begin(app, stream, call, requested, described.timeout_ms).await? {
        return Ok(None);
    }
    let to = format!("{} {}", described.method, origin(&described.url));
    let asked_at = app.ledger.clock.now();
    let came = outside::call(&*app.caller, &*app.ledger.keys, described).await?;
    let made = Made { to, took_ms: app.ledger.clock.now().0 - asked_at.0 };
    let came = came.as_ref().map(|answer| (answer.status, answer.body.as_slice())).map_err(Clone::clone);
    Ok(Some((Some(made), judge::judge(&outside, kind, call, &came))))
}

/// Scheme and host of an address.
fn origin(url: &str) -> String {
    url.parse::<reqwest::Url>().map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
}

/// Puts down that the attempt which is due is made now; `false` where that was put down before.
async fn begin(app: &App, stream: &str, call: &Call, requested: &Requested, timeout_ms: i64) -> Result<bool, Error> {
    let attempt = call.attempts + 1;
    let command = Command::Begin { attempt, until: app.ledger.clock.now().plus_ms(timeout_ms + BEGUN_MS) };
    // An id of its own: whoever comes second is refused, and not told that it was done.
    let wish = Wish { command_id: app.ledger.fresh_id(), stream: stream.to_owned(), meta: meta(requested) };
    match app.ledger.execute::<Call>(&wish, &command, &NoLookups).await {
        Ok(_) => Ok(true),
        Err(Failure::Rejected(Rejection::NotDue(_))) => Ok(false),
        Err(Failure::Rejected(rejection)) => Err(Error::new(infra::Kind::Misconfigured, rejection.to_string())),
        Err(Failure::Technical(error)) => Err(error),
    }
}

async fn described(app: &App, card: &TicketCard, requested: &Requested) -> Result<Option<(NodeKind, Outside)>, Error> {
    let Some(opened) = &card.ticket.opened else { return Ok(None) };
    let workflow = app.configuration.workflow(opened.workflow, opened.workflow_version).await?;
    let node = workflow.as_ref().and_then(|workflow| workflow.definition.node(requested.node));
    Ok(node.and_then(|node| Some((node.kind, node.outside.as_deref()?.clone()))))
}

/// What the templates of a call may ask for: fields and variables, facts of the ticket, the caller's variables, and what somebody gave for this call.
pub async fn variables(app: &App, card: &TicketCard, requested: &Requested) -> Result<Variables, Error> {
    let mut variables = Variables::new();
    let Some(opened) = &card.ticket.opened else { return Ok(variables) };
    // Once the creator was erased the secret is gone, and a call that asks for it fails visibly.
    if let Some(name) = &opened.variables
        && let Some(kept) = app.ledger.keys.secret(name).await?
    {
        let kept: BTreeMap<String, String> = serde_json::from_slice(&kept).map_err(|_| Error::corrupt(format!("secret {name} holds no variables")))?;
        variables.extend(kept.into_iter().map(|(key, value)| (key, value.into())));
    }
    let workflow = app.configuration.workflow(opened.workflow, opened.workflow_version).await?;
    if let Some(workflow) = &workflow {
        let definition = &workflow.definition;
        for field in &definition.fields {
            let entry = card.ticket.form.get(&field.key);
            let value = app.people.value_out(Some(field), &entry.map(|entry| entry.read().clone()).unwrap_or_default()).await?;
            let shown = render::display(field, entry, &value);
            variables.insert(format!("{}__display", field.key), shown);
            variables.insert(field.key.clone(), typed(field.kind, value));
        }
        // A variable that no node has left behind yet is empty, not unknown.
        for node in &definition.nodes {
            let keys = node.outputs.iter().map(|output| output.key.clone());
            for key in keys.chain(output_keys(node)) {
                variables.entry(key).or_insert(Value::Null);
            }
        }
    }
    let of_people: BTreeSet<&str> = workflow.iter().flat_map(|workflow| workflow.definition.approver_keys()).collect();
    for (key, value) in &card.ticket.outputs {
        let value = if of_people.contains(key.as_str()) { app.people.names_in(value).await? } else { value.clone() };
        variables.insert(key.clone(), value.into());
    }
    let time = |at: Moment| render::time(&app.settings, at);
    let processors: Vec<events::Pid> = card.ticket.current().flat_map(|(_, visit)| visit.waiting_for()).collect();
    let facts = [
        ("ticket_sn", opened.sn.0.clone()),
        ("ticket_title", card.ticket.title()),
        ("ticket_ticket_url", render::ticket_url(&app.settings, opened.id)),
        ("ticket_creator", app.people.name(&opened.creator).await?),
        ("ticket_create_at", time(card.created_at)),
        ("ticket_service_type", opened.kind.key().to_owned()),
        ("ticket_current_status", card.ticket.status_key().to_owned()),
        ("ticket_current_status_display", render::status_name(card.ticket.status_key()).to_owned()),
        ("ticket_bk_biz_id", card.ticket.bk_biz_id().to_string()),
        // Sub-tasks come later; till then there are none.
        ("ticket_sops_task_summary", String::new()),
        ("ticket_all_task_processors", String::new()),
        ("ticket_current_processors", app.people.names(&processors).await?),
    ];
    variables.extend(facts.into_iter().map(|(key, value)| (key.to_owned(), value.into())));
    for (key, value) in &requested.inputs {
        match input(app, key, value).await? {
            Some(value) => variables.insert(key.clone(), value.into()),
            // Once the person who gave it was erased it is gone, and a call that asks for it fails visibly.
            None => variables.remove(key),
        };
    }
    Ok(variables)
}

/// A value for this call alone: in plain text in events of earlier builds, else in the key store.
async fn input(app: &App, key: &str, value: &str) -> Result<Option<String>, Error> {
    if !value.starts_with(VARIABLES) {
        return Ok(Some(value.to_owned()));
    }
    let Some(kept) = app.ledger.keys.secret(value).await? else { return Ok(None) };
    let mut kept: BTreeMap<String, String> = serde_json::from_slice(&kept).map_err(|_| Error::corrupt(format!("secret {value} holds no inputs")))?;
    Ok(kept.remove(key))
}
