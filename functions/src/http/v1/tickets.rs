//! Tickets over `/v1`: the same commands as everywhere, under one path each.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use domain::ticket::{Command, Rejection, form};
use domain::views::ticket_card::TicketCard;
use events::draft::Sheet;
use events::ticket::{NodeStatus, Opened, Relation, TicketEvent};
use events::{LineId, Moment, NodeId, Pid, TicketSn, WorkflowId};
use infra::ledger::command_id;
use infra::{Failure, Kind, Outcome};
use serde_json::{Value, json};

use super::asked::{Asked, Expected};
use super::operations::{PAGE_SIZE_MAX, PAGES_MAX, instant};
use super::problem::{Answer, Problem};
use super::shape::quoted;
use super::time;
use crate::App;
use crate::desk;
use crate::drafts;
use crate::http::blueking::render;
use crate::http::extras::keep_inputs;
use crate::http::lists::{self, Filter, Number};
use crate::people::NAMED_MAX;
use crate::stream::follow::read_card;
use crate::times;

/// Decisions in one batch.
const BATCH_MAX: usize = 200;
/// The statuses of tickets, besides those that workflows set on entry of a node.
const STATUSES: [&str; 7] = ["RUNNING", "RESOLVED", "CONFIRMED", "SUSPENDED", "FINISHED", "TERMINATED", "REVOKED"];
/// The lists of a person, and the index each is.
const LISTS: [(&str, &str); 6] =
    [("todo", "todo"), ("claim", "claim"), ("approval", "approval"), ("created", "creator"), ("dealt", "dealt"), ("following", "follows")];
/// Events that are written out before other requests go on.
const EVENTS_AT_ONCE: usize = 64;
/// Remarks in one answer.
const REMARKS_MAX: usize = 500;

/// Lists of people and all tickets, newest first, narrowed to a service, a kind, a status, a creator, a catalog, a business, a tag, a time of creation.
/// What was withdrawn is in no list unless its status is asked for.
pub(super) async fn list(asked: Asked) -> Answer {
    let app = &asked.app;
    let size = asked.number("page_size", 20, PAGE_SIZE_MAX)?;
    let page = asked.number("page", 1, PAGES_MAX)?;
    let parts = |key: &str| -> Result<Vec<String>, Problem> {
        let parts = asked.asked_for(key).into_iter().flat_map(|text| text.split(',').map(str::trim).filter(|part| !part.is_empty()));
        let parts: Vec<String> = parts.map(str::to_owned).collect();
        match parts.len() {
            n if n > lists::PARTS_MAX => Err(Problem::malformed(key, format!("{n} values are named, of at most {}", lists::PARTS_MAX))),
            _ => Ok(parts),
        }
    };
    let time = |key: &str| match asked.asked_for(key) {
        None => Ok(None),
        Some(text) => match instant(text) {
            Some(at) => Ok(Some(Moment(at.as_millisecond()))),
            None => Err(Problem::malformed(key, format!("`{key}` is not a time (RFC 3339)"))),
        },
    };
    let statuses = parts("status")?;
    check_statuses(app, &statuses).await?;
    let asks_for_withdrawn = statuses.iter().any(|status| status == "REVOKED");
    let whose = async || {
        let user = asked
            .asked_for("user")
            .or(asked.caller.user.as_deref())
            .ok_or_else(|| Problem::malformed("user", "`user` is required: no user is named whose list it is"))?;
        Ok::<_, Problem>(app.people.find(user).await?)
    };
    let mut filter = Filter {
        catalogs: lists::with_catalogs_below(app, parts("catalog")?).await?,
        statuses,
        services: parts("service")?,
        businesses: parts("bk_biz_id")?,
        kinds: parts("kind")?,
        tag: asked.asked_for("tag").map(str::to_owned),
        created: (time("created_after")?, time("created_before")?),
        is_withdrawn_left_out: !asks_for_withdrawn,
        ..Filter::default()
    };
    if let Some(name) = asked.asked_for("creator") {
        filter.creator = Some(app.people.find(name).await?);
    }
    match asked.asked_for("list").unwrap_or("all") {
        "all" if asked.asked_for("user").is_some() => {
            let known: Vec<&str> = LISTS.iter().map(|(known, _)| *known).collect();
            return Err(Problem::malformed("user", format!("`user` is the person of a `list`, one of {}; the list of all tickets has none", known.join(", "))));
        }
        "all" => {}
        list => {
            let index = LISTS.iter().find(|(known, _)| *known == list).map(|(_, index)| *index).ok_or_else(|| {
                let known: Vec<&str> = LISTS.iter().map(|(known, _)| *known).collect();
                Problem::malformed("list", format!("{list} is none of all, {}", known.join(", ")))
            })?;
            filter.list = Some((index, whose().await?));
        }
    }
    let found = lists::page(app, &filter, Number::This(page), size).await?;
    let mut items = Vec::new();
    for key in &found.keys {
        let Some(document) = app.views.get("ticket", key).await? else { continue };
        let card: TicketCard = read_card(&app.ledger, key, &document).await?;
        items.push(shown(&asked, &card).await?);
    }
    Ok(Json(json!({ "count": found.count, "page": page, "page_size": size, "items": items })).into_response())
}

/// Rejects words that are the status of no ticket: those of the desk, and those that nodes of deployed workflows set.
async fn check_statuses(app: &App, statuses: &[String]) -> Result<(), Problem> {
    let is_strange = |status: &&String| !STATUSES.contains(&status.as_str());
    if !statuses.iter().any(|status| is_strange(&status)) {
        return Ok(());
    }
    let mut own = BTreeSet::new();
    for id in app.configuration.ids("workflow").await? {
        let drawn = app.configuration.drawn(WorkflowId(id)).await?;
        let nodes = drawn.versions.values().flat_map(|deployed| &deployed.definition.nodes);
        own.extend(nodes.map(|node| node.status_on_entry.clone()).filter(|status| !status.is_empty()));
    }
    match statuses.iter().filter(is_strange).find(|status| !own.contains(*status)) {
        None => Ok(()),
        Some(status) => {
            let known: Vec<&str> = STATUSES.into_iter().chain(own.iter().map(String::as_str).filter(|status| !STATUSES.contains(status))).collect();
            Err(Problem::malformed("status", format!("`status` {} is none of {}", quoted(status), known.join(", "))))
        }
    }
}

async fn shown(asked: &Asked, card: &TicketCard) -> Result<Value, Problem> {
    let app = &asked.app;
    let Some(opened) = &card.ticket.opened else { return Ok(Value::Null) };
    let mut shown = render::ticket(app, card, opened).await?;
    let mut nodes = Vec::new();
    for (id, visit) in &card.ticket.nodes {
        let mut votes = Vec::new();
        for vote in &visit.votes {
            votes.push(json!({ "by": app.people.name(&vote.by).await?, "pass": vote.pass, "reason": vote.reason.read() }));
        }
        nodes.push(json!({
            "node": id, "name": visit.name, "round": visit.round, "status": visit.status, "automatic": visit.automatic, "pass": visit.pass,
            "waiting_for": app.people.names(&visit.waiting_for()).await?, "votes": votes, "reason": visit.why(), "level": visit.level,
        }));
    }
    let links: Vec<Value> = card.ticket.links.iter().map(|link| json!({ "sn": link.other, "relation": link.relation })).collect();
    shown["kind"] = opened.kind.key().into();
    shown["create_at"] = time(app, card.created_at).into();
    shown["update_at"] = time(app, card.updated_at).into();
    shown["end_at"] = card.ended_at.map(|at| time(app, at)).into();
    shown["nodes"] = nodes.into();
    shown["links"] = links.into();
    shown["followers"] = app.people.names(&card.ticket.followers).await?.split(',').filter(|name| !name.is_empty()).collect();
    shown["remarks"] = card.ticket.remarks.into();
    shown["stars"] = json!(card.ticket.stars);
    Ok(shown)
}

pub(super) async fn found(asked: &Asked, sn: &str) -> Result<(TicketSn, TicketCard), Problem> {
    let sn = TicketSn(sn.to_owned());
    let card = desk::card(&asked.app, &sn).await?.ok_or_else(|| Problem::not_found(format!("there is no ticket {sn}")))?;
    Ok((sn, card))
}

pub(super) async fn get(asked: Asked, sn: &str) -> Answer {
    // The version is read first: an answer may be newer than its tag, and never older.
    let stream = TicketSn(sn.to_owned()).stream();
    let version = if sn.len() <= desk::SN_BYTES_MAX { asked.app.ledger.load::<domain::ticket::Ticket>(&stream).await?.next - 1 } else { 0 };
    let tag = [(header::ETAG, format!("\"{version}\""))];
    let (_, card) = found(&asked, sn).await?;
    if asked.if_none_match.as_ref().is_some_and(|tags| tags.hold(&version.to_string())) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    let opened = card.ticket.opened.as_ref().ok_or_else(|| Problem::not_found("there is no such ticket"))?;
    let workflow = asked.app.configuration.workflow(opened.workflow, opened.workflow_version).await?;
    let mut body = shown(&asked, &card).await?;
    if let Some(workflow) = workflow {
        body["fields"] = render::filled(&asked.app, &card, &workflow.definition).await?.into();
        body["operations"] = render::ticket_operations(&card, &workflow.definition).into();
    }
    body["dynamic_fields"] = json!(opened.dynamic_fields);
    Ok((tag, Json(body)).into_response())
}

/// Says whether whoever asks works on a ticket, for whom internal remarks are.
async fn sees_internal(asked: &Asked, card: &TicketCard) -> Result<bool, Problem> {
    match asked.caller.user.as_deref() {
        Some(user) => Ok(desk::works_on(&asked.app, &card.ticket, &asked.app.people.find(user).await?).await?),
        None => Ok(false),
    }
}

/// Every event of a ticket, or those up to a time; without internal remarks for those who do not work on it.
pub(super) async fn history(asked: Asked, sn: &str) -> Answer {
    let (sn, card) = found(&asked, sn).await?;
    let sees_internal = sees_internal(&asked, &card).await?;
    let until = match asked.asked_for("at") {
        None => None,
        Some(text) => Some(instant(text).ok_or_else(|| Problem::malformed("at", "`at` is not a time (RFC 3339)"))?.as_millisecond()),
    };
    let mut events = Vec::new();
    for (at, envelope) in desk::history(&asked.app.ledger, &sn.stream()).await?.into_iter().enumerate() {
        if at % EVENTS_AT_ONCE == EVENTS_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        if until.is_some_and(|until| envelope.at.0 > until) {
            break;
        }
        if matches!(&envelope.event, TicketEvent::Remarked(remark) if remark.internal && !sees_internal) {
            continue;
        }
        let mut event = serde_json::to_value(&envelope.event).map_err(|error| Problem::conflict(error.to_string()))?;
        times::spell(&mut event, &|at| time(&asked.app, at));
        events.push(
            json!({ "id": envelope.id(), "at": time(&asked.app, envelope.at), "actor": asked.app.people.name(&envelope.meta.actor).await?, "event": event }),
        );
    }
    Ok(Json(json!({ "sn": sn, "events": events })).into_response())
}

/// Remarks, oldest first, after the one named; internal ones only for those who work on the ticket.
pub(super) async fn remarks(asked: Asked, sn: &str) -> Answer {
    let (sn, card) = found(&asked, sn).await?;
    let app = &asked.app;
    let sees_internal = sees_internal(&asked, &card).await?;
    let after: u64 = match asked.asked_for("after") {
        None => 0,
        Some(text) => text.parse().map_err(|_| Problem::malformed("after", "`after` is not the number of a remark"))?,
    };
    let mut remarks = Vec::new();
    for envelope in desk::history(&app.ledger, &sn.stream()).await? {
        let TicketEvent::Remarked(remark) = &envelope.event else { continue };
        if remark.id <= after || (remark.internal && !sees_internal) || remarks.len() >= REMARKS_MAX {
            continue;
        }
        remarks.push(json!({
            "id": remark.id, "parent": remark.parent, "by": app.people.name(&remark.by).await?, "text": remark.text.read(), "internal": remark.internal,
            "mentions": app.people.names(&remark.mentions).await?, "at": time(app, envelope.at),
        }));
    }
    Ok(Json(json!({ "sn": sn, "count": card.ticket.remarks, "remarks": remarks })).into_response())
}

pub(super) async fn operate(asked: Asked, sn: &str, operation: &str) -> Answer {
    let (sn, card) = found(&asked, sn).await?;
    let id = wish_id(&asked, &sn, operation).await?;
    // A repeated request is answered as the first one was, also where no node waits for the person any more.
    let is_repeated = asked.idempotency_key.is_some() && desk::is_done(&asked.app, &sn, &id).await?;
    let command = command(&asked, &card, operation, is_repeated).await?;
    // What is given to an automatic node is checked as its fields.
    let outcome = act(&asked, &sn, id, &command).await.map_err(|problem| match operation {
        "retry" | "ignore" => problem.moved("/fields", "/values"),
        _ => problem,
    })?;
    let answered = match &command {
        Command::Submit { node, by, .. } | Command::Decide { node, by, .. } => Some((*node, by)),
        Command::Resolve { by, .. } => outcome.events.iter().find_map(completed).map(|node| (node, by)),
        _ => None,
    };
    if let Some((node, by)) = answered {
        drafts::sent(&asked.app, by, &Sheet::Node { ticket: sn.clone(), node }, &asked.meta(by.clone())).await;
    }
    Ok(Json(json!({ "sn": sn, "version": outcome.last, "status": outcome.state.status_key() })).into_response())
}

/// The node at which somebody just answered.
fn completed(event: &TicketEvent) -> Option<NodeId> {
    match event {
        TicketEvent::NodeCompleted(completed) => Some(completed.node),
        TicketEvent::VoteCast(vote) => Some(vote.node),
        _ => None,
    }
}

/// The id under which a request is carried out. The same key for another operation is another command.
async fn wish_id(asked: &Asked, sn: &TicketSn, operation: &str) -> Result<[u8; 16], Problem> {
    Ok(match &asked.idempotency_key {
        Some(key) => command_id(&["v1", asked.caller.app.as_str(), key, sn.as_str(), &asked.fingerprint(operation).await?]),
        None => asked.app.ledger.fresh_id(),
    })
}

async fn act(asked: &Asked, sn: &TicketSn, id: [u8; 16], command: &Command) -> Result<Outcome<domain::ticket::Ticket>, Problem> {
    let app = &asked.app;
    let actor = app.people.find(asked.user()?).await?;
    let meta = asked.meta(actor);
    // The version that the caller has seen is compared with every append.
    let Some(Expected::Versions(versions)) = &asked.if_match else {
        let outcome = desk::act_at(app, sn, command, &meta, id, None).await?;
        desk::await_card(app, outcome.position).await;
        return Ok(outcome);
    };
    let mut tried = BTreeSet::new();
    loop {
        let now = app.ledger.load::<domain::ticket::Ticket>(&sn.stream()).await?.next - 1;
        // Of several versions the one that the ticket has now; no ticket has the version -1, which tags of others become.
        let version = if versions.contains(&now) { now } else { -1 };
        match desk::act_at(app, sn, command, &meta, id, Some(version)).await {
            // Another version may be accepted too, and a ticket has each version once.
            Err(Failure::Technical(error)) if error.kind == Kind::Stale && tried.insert(version) && version != -1 => {}
            Err(Failure::Technical(error)) if error.kind == Kind::Stale => {
                return Err(Problem::stale(format!("ticket {sn} is at version {now}, which `If-Match` does not name: read the ticket again")));
            }
            outcome => {
                let outcome = outcome?;
                desk::await_card(app, outcome.position).await;
                return Ok(outcome);
            }
        }
    }
}

/// The node that is meant: the one that is named, or the only one that waits for this person to do this.
fn node_meant(asked: &Asked, card: &TicketCard, by: &Pid, operation: &str, is_repeated: bool) -> Result<NodeId, Problem> {
    if let Some(node) = asked.node()? {
        return Ok(node);
    }
    let ticket = &card.ticket;
    let current = ticket.current().filter(|(_, visit)| match operation {
        "claim" => visit.status == NodeStatus::Receiving && ticket.may_act(visit, by),
        "distribute" => visit.status == NodeStatus::Distributing && ticket.may_act(visit, by),
        "deliver" => !visit.automatic && ticket.may_act(visit, by),
        "reassign" => !visit.automatic,
        "retry" | "ignore" | "route" => visit.status == NodeStatus::Failed,
        _ => !visit.automatic && visit.status == NodeStatus::Running && ticket.may_act(visit, by),
    });
    let waiting: Vec<(NodeId, &str)> = current.map(|(id, visit)| (id, visit.name.as_str())).collect();
    match waiting[..] {
        [(node, _)] => Ok(node),
        // The command was executed before; the node plays no part in the answer.
        [] if is_repeated => Ok(NodeId(0)),
        [] => Err(Problem::malformed("/node", format!("`node` is required: no node of this ticket waits for {} to {operation}", asked.user()?))),
        _ => {
            let nodes: Vec<String> = waiting.iter().map(|(id, name)| format!("{id} ({name})")).collect();
            Err(Problem::malformed("/node", format!("`node` is required: more than one node is open, {}", nodes.join(", "))))
        }
    }
}

async fn command(asked: &Asked, card: &TicketCard, operation: &str, is_repeated: bool) -> Result<Command, Problem> {
    let app = &asked.app;
    let by = app.people.find(asked.user()?).await?;
    let actor = by.clone();
    let message = asked.text("message")?.unwrap_or_default();
    let node = || node_meant(asked, card, &actor, operation, is_repeated);
    let values = || -> Result<BTreeMap<String, String>, Problem> {
        match asked.body.get("values") {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(values)) => {
                Ok(values.iter().map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))).collect())
            }
            Some(_) => Err(Problem::malformed("/values", "`values` is not an object")),
        }
    };
    Ok(match operation {
        "submit" => Command::Submit { node: node()?, form: form_of(asked, card, Some(node()?), true).await?, reason: message, by },
        "decide" => Command::Decide { node: node()?, pass: asked.choice("pass")?, remark: message, by },
        "claim" => Command::Claim { node: node()?, reason: message, by },
        "distribute" => Command::Distribute { node: node()?, to: asked.targets().await?, message, by },
        "deliver" => Command::Deliver { node: node()?, to: asked.targets().await?, message, by },
        "reassign" => Command::Reassign { node: node()?, to: asked.targets().await?, message, by },
        "terminate" => match asked.node()? {
            Some(node) => Command::TerminateAt { node, reason: message, by },
            None => Command::Terminate { reason: message, by },
        },
        "suspend" => Command::Suspend { reason: message, by },
        "resume" => Command::Resume { reason: message, by },
        "withdraw" => Command::Withdraw { reason: message, by },
        "close" => Command::Close { status: asked.required("status")?, reason: message, by },
        "retry" => {
            let (node, inputs) = (node()?, values()?);
            Command::Retry { node, inputs: keep_inputs(app, &by, inputs).await?, reason: message, by }
        }
        "ignore" => Command::Ignore { node: node()?, outputs: values()?, reason: message, by },
        "route" => {
            let line = LineId(asked.required_int("line")?);
            Command::Route { node: node()?, line, reason: message, by }
        }
        "acknowledge" => Command::Acknowledge { node: asked.node()?, reason: message, by },
        "resolve" => Command::Resolve { form: form_of(asked, card, card.ticket.where_to_resolve(&by).ok(), false).await?, remark: message, by },
        "escalate" => Command::Escalate { node: asked.node()?, reason: message, by },
        "edit" => Command::EditField { form: form_of(asked, card, None, false).await?, by },
        "remark" => {
            let parent = asked
                .int("parent")?
                .map(|id| u64::try_from(id).map_err(|_| Problem::malformed("/parent", "`parent` is not the number of a remark")))
                .transpose()?;
            Command::Remark {
                text: asked.required("text")?,
                parent,
                mentions: people(asked).await?.unwrap_or_default(),
                internal: asked.flag("internal", false)?,
                by,
            }
        }
        "follow" => Command::Follow { people: followers(asked).await?, follows: true, by },
        "unfollow" => Command::Follow { people: followers(asked).await?, follows: false, by },
        "rate" => {
            let stars = u8::try_from(asked.required_int("stars")?).map_err(|_| Problem::malformed("/stars", "`stars` is not a number of stars, 1 to 5"))?;
            Command::Rate { stars, comment: message, by }
        }
        "remind" => Command::Remind { message, by },
        _ => {
            let other = TicketSn(asked.required("other")?);
            if operation == "unlink" {
                return Ok(Command::Unlink { other, mirror: false, by });
            }
            let relation: Relation = serde_json::from_value(asked.required("relation")?.into())
                .map_err(|_| Problem::malformed("/relation", "`relation` is none of related, raised, raised_from, parent_of, child_of"))?;
            fits(asked, card, &other, relation, &by).await?;
            Command::Link { other, relation, mirror: false, by }
        }
    })
}

/// The other ticket is there and would take the link from this person too; a child runs on the same version of the same service as its parent
/// (reference/bk-itsm.md 16).
async fn fits(asked: &Asked, card: &TicketCard, other: &TicketSn, relation: Relation, by: &Pid) -> Result<(), Problem> {
    let app = &asked.app;
    let unknown = || Problem::malformed("/other", format!("there is no ticket {other}"));
    let (Some(opened), Some(theirs)) = (&card.ticket.opened, desk::card(app, other).await?.and_then(|card| card.ticket.opened)) else { return Err(unknown()) };
    let of = |opened: &Opened| (opened.service, opened.workflow, opened.workflow_version);
    if matches!(relation, Relation::ChildOf | Relation::ParentOf) && of(opened) != of(&theirs) {
        return Err(Problem::conflict("parent and child must be of the same service and workflow version"));
    }
    let back = Command::Link { by: by.clone(), other: opened.sn.clone(), relation: relation.inverse(), mirror: false };
    match app.ledger.foresee(&other.stream(), &back, &*app.configuration).await {
        Ok(_) => Ok(()),
        // That they belong together already is said by this side, or is this very command again.
        Err(Failure::Rejected(Rejection::LinkedAlready(with))) if with == opened.sn => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

/// What was filled in, for the form of a node (the submit node, where none is named), perhaps with the defaults of what was not.
async fn form_of(asked: &Asked, card: &TicketCard, node: Option<NodeId>, with_defaults: bool) -> Result<Vec<events::Entry>, Problem> {
    let app = &asked.app;
    let mut form = asked.fields()?;
    let Some(opened) = &card.ticket.opened else { return Ok(form) };
    let Some(workflow) = app.configuration.workflow(opened.workflow, opened.workflow_version).await? else { return Ok(form) };
    let definition = &workflow.definition;
    app.people.form_in(definition, &mut form, 0).await?;
    if let Some(node) = node.and_then(|node| definition.node(node)).or_else(|| definition.submit_node()) {
        if with_defaults {
            form::with_defaults(definition, node, &mut form, &card.ticket);
        }
        app.configuration.offers.ask_ahead(definition, node, &form, &card.ticket).await?;
    }
    Ok(form)
}

/// The people that the body names, if it names any.
async fn people(asked: &Asked) -> Result<Option<Vec<Pid>>, Problem> {
    let Some(names) = asked.names("people")? else { return Ok(None) };
    if names.len() > NAMED_MAX {
        return Err(Problem::malformed("/people", format!("`people` names more than {NAMED_MAX} people")));
    }
    Ok(Some(asked.app.people.find_all(&names).await?))
}

/// Those who follow from now on, or no longer: the person who acts, if the body names none. An empty list names no one.
async fn followers(asked: &Asked) -> Result<Vec<Pid>, Problem> {
    match people(asked).await? {
        Some(people) if people.is_empty() => Err(Problem::malformed("/people", "`people` is empty: name at least one, or leave it out to mean yourself")),
        Some(people) => Ok(people),
        None => Ok(vec![asked.app.people.find(asked.user()?).await?]),
    }
}

/// Many decisions at once: each by itself, each answered by itself.
pub(super) async fn decide_many(asked: Asked) -> Answer {
    let items = asked.body.get("decisions").and_then(Value::as_array).ok_or_else(|| Problem::malformed("/decisions", "`decisions` is required"))?;
    if items.is_empty() || items.len() > BATCH_MAX {
        return Err(Problem::malformed("/decisions", format!("`decisions` has 1 to {BATCH_MAX} entries")));
    }
    let by = asked.app.people.find(asked.user()?).await?;
    let read = |(at, item): (usize, &Value)| {
        let parts = || Some((TicketSn(item["sn"].as_str()?.to_owned()), NodeId(item["node"].as_i64()?), item["pass"].as_bool()?));
        let (sn, node, pass) = parts().ok_or_else(|| Problem::malformed(&format!("/decisions/{at}"), "a decision needs `sn`, `node` and `pass`"))?;
        Ok((sn, node, pass, item["message"].as_str().unwrap_or_default().to_owned()))
    };
    // All are read before the first is carried out.
    let decisions = items.iter().enumerate().map(read).collect::<Result<Vec<_>, Problem>>()?;
    let request = asked.fingerprint("decide").await?;
    let mut results = Vec::new();
    for (sn, node, pass, remark) in decisions {
        let id = match &asked.idempotency_key {
            Some(key) => command_id(&["v1", asked.caller.app.as_str(), key, sn.as_str(), &node.to_string(), &request]),
            None => asked.app.ledger.fresh_id(),
        };
        let command = Command::Decide { node, by: by.clone(), pass, remark };
        results.push(match desk::act(&asked.app, &sn, &command, &asked.meta(by.clone()), id).await {
            Ok(outcome) => {
                desk::await_card(&asked.app, outcome.position).await;
                drafts::sent(&asked.app, &by, &Sheet::Node { ticket: sn.clone(), node }, &asked.meta(by.clone())).await;
                json!({ "sn": sn, "node": node, "done": true, "status": outcome.state.status_key() })
            }
            Err(Failure::Rejected(rejection)) => {
                let problem = Problem::from(rejection).with_names(&asked.app).await;
                json!({ "sn": sn, "node": node, "done": false, "detail": problem.detail() })
            }
            Err(Failure::Technical(error)) => return Err(error.into()),
        });
    }
    Ok(Json(json!({ "results": results })).into_response())
}
