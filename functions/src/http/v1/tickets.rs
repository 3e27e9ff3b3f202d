//! Tickets over `/v1`: the same commands as everywhere, under one path each.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::header;
use axum::response::IntoResponse;
use domain::ticket::{Command, Rejection, form};
use domain::views::ticket_card::TicketCard;
use events::draft::Sheet;
use events::ticket::{Opened, Relation, TicketEvent};
use events::{LineId, Moment, NodeId, TicketSn};
use infra::ledger::command_id;
use infra::{Failure, Outcome};
use serde_json::{Value, json};

use super::asked::Asked;
use super::problem::{Answer, Problem};
use super::time;
use crate::desk;
use crate::drafts;
use crate::http::blueking::render;
use crate::http::lists::{self, Filter, Number};
use crate::stream::follow::read_card;
use crate::times;

/// Tickets on one page.
const PAGE_MAX: usize = 200;
/// Decisions in one batch.
const BATCH_MAX: usize = 200;
/// The lists of a person, and the index each is.
const LISTS: [(&str, &str); 6] =
    [("todo", "todo"), ("claim", "claim"), ("approval", "approval"), ("created", "mine"), ("dealt", "dealt"), ("following", "follows")];
/// Remarks in one answer.
const REMARKS_MAX: usize = 500;

/// Lists of people and all tickets, newest first, narrowed to a service, a kind, a status, a creator, a catalog, a business, a tag, a time of creation.
/// What was withdrawn is in no list unless its status is asked for.
pub(super) async fn list(asked: Asked) -> Answer {
    let app = &asked.app;
    let size = asked.number("page_size", 20, PAGE_MAX)?;
    let page = asked.number("page", 1, 1_000_000)?;
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
        Some(text) => match text.parse::<jiff::Timestamp>() {
            Ok(at) => Ok(Some(Moment(at.as_millisecond()))),
            Err(_) => Err(Problem::malformed(key, "it is not a time (RFC 3339)")),
        },
    };
    let statuses = parts("status")?;
    let asks_for_withdrawn = statuses.iter().any(|status| status == "REVOKED");
    let whose = async || {
        let user = asked.asked_for("user").or(asked.caller.user.as_deref()).ok_or_else(|| Problem::malformed("user", "nobody is named whose list it is"))?;
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
        "all" => {}
        "created" if asks_for_withdrawn => filter.creator = Some(whose().await?),
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

async fn shown(asked: &Asked, card: &TicketCard) -> Result<Value, Problem> {
    let app = &asked.app;
    let Some(opened) = &card.ticket.opened else { return Ok(Value::Null) };
    let mut shown = render::ticket(app, card, opened).await?;
    let mut nodes = Vec::new();
    for (id, visit) in &card.ticket.nodes {
        nodes.push(json!({
            "node": id, "name": visit.name, "round": visit.round, "status": visit.status, "automatic": visit.automatic, "pass": visit.pass,
            "waiting_for": app.people.names(&visit.waiting_for()).await?, "reason": visit.reason, "level": visit.level,
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
    let (_, card) = found(&asked, sn).await?;
    let opened = card.ticket.opened.as_ref().ok_or_else(|| Problem::not_found("there is no such ticket"))?;
    let workflow = asked.app.configuration.workflow(opened.workflow, opened.workflow_version).await?;
    let mut body = shown(&asked, &card).await?;
    if let Some(workflow) = workflow {
        body["fields"] = render::filled(&asked.app, &card, &workflow.definition).await?.into();
        body["operations"] = render::ticket_operations(&card, &workflow.definition).into();
    }
    body["dynamic_fields"] = json!(opened.dynamic_fields);
    let version = asked.app.ledger.load::<domain::ticket::Ticket>(&opened.sn.stream()).await?.next - 1;
    Ok(([(header::ETAG, format!("\"{version}\""))], Json(body)).into_response())
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
        Some(text) => Some(text.parse::<jiff::Timestamp>().map_err(|_| Problem::malformed("at", "it is not a time (RFC 3339)"))?.as_millisecond()),
    };
    let mut events = Vec::new();
    for envelope in desk::history(&asked.app.ledger, &sn.stream()).await? {
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
        Some(text) => text.parse().map_err(|_| Problem::malformed("after", "it is not the number of a remark"))?,
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

/// The operations and what they need besides the ticket; also the table of the API's description.
pub(super) const OPERATIONS: [(&str, &[&str]); 25] = [
    ("submit", &["node", "fields"]),
    ("decide", &["node", "pass", "message"]),
    ("claim", &["node"]),
    ("distribute", &["node", "to", "message"]),
    ("deliver", &["node", "to", "message"]),
    ("reassign", &["node", "to", "message"]),
    ("terminate", &["message"]),
    ("suspend", &["message"]),
    ("resume", &[]),
    ("withdraw", &[]),
    ("close", &["status", "message"]),
    ("retry", &["node", "values"]),
    ("ignore", &["node", "values", "message"]),
    ("route", &["node", "line"]),
    ("acknowledge", &["node"]),
    ("resolve", &["fields", "message"]),
    ("escalate", &["node", "message"]),
    ("edit", &["fields"]),
    ("remark", &["text", "parent", "people", "internal"]),
    ("follow", &["people"]),
    ("unfollow", &["people"]),
    ("rate", &["stars", "message"]),
    ("remind", &["message"]),
    ("link", &["other", "relation"]),
    ("unlink", &["other"]),
];

pub(super) async fn operate(asked: Asked, sn: &str, operation: &str) -> Answer {
    if !OPERATIONS.iter().any(|(known, _)| *known == operation) {
        return Err(Problem::not_found(format!("there is no operation {operation}")));
    }
    let (sn, card) = found(&asked, sn).await?;
    let id = wish_id(&asked, &sn, operation).await?;
    if let Some(wanted) = asked.if_match {
        let known = asked.app.ledger.load::<domain::ticket::Ticket>(&sn.stream()).await?;
        let version = known.next - 1;
        // What was carried out before is answered so, whatever version the ticket is at by now.
        if version != wanted && !known.knows(&id) {
            return Err(Problem::stale(format!("the ticket is at version {version}, not {wanted}")));
        }
    }
    let command = command(&asked, &card, operation).await?;
    let outcome = act(&asked, &sn, id, &command).await?;
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
    let outcome = desk::act(app, sn, command, &asked.meta(actor), id).await?;
    desk::await_card(app, outcome.position).await;
    Ok(outcome)
}

async fn command(asked: &Asked, card: &TicketCard, operation: &str) -> Result<Command, Problem> {
    let app = &asked.app;
    let by = app.people.find(asked.user()?).await?;
    let message = asked.text("message")?.unwrap_or_default();
    let node = || asked.node()?.ok_or_else(|| Problem::malformed("/node", "it is missing"));
    let values = || -> Result<BTreeMap<String, String>, Problem> {
        match asked.body.get("values") {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(values)) => {
                Ok(values.iter().map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))).collect())
            }
            Some(_) => Err(Problem::malformed("/values", "it is not an object")),
        }
    };
    Ok(match operation {
        "submit" => Command::Submit { node: node()?, form: form_of(asked, card, Some(node()?), true).await?, by },
        "decide" => Command::Decide { node: node()?, pass: asked.flag("pass", true)?, remark: message, by },
        "claim" => Command::Claim { node: node()?, by },
        "distribute" => Command::Distribute { node: node()?, to: asked.targets().await?, message, by },
        "deliver" => Command::Deliver { node: node()?, to: asked.targets().await?, message, by },
        "reassign" => Command::Reassign { node: node()?, to: asked.targets().await?, message, by },
        "terminate" => match asked.node()? {
            Some(node) => Command::TerminateAt { node, reason: message, by },
            None => Command::Terminate { reason: message, by },
        },
        "suspend" if message.trim().is_empty() => return Err(Problem::malformed("/message", "suspending needs a reason")),
        "suspend" => Command::Suspend { reason: message, by },
        "resume" => Command::Resume { by },
        "withdraw" => Command::Withdraw { by },
        "close" => Command::Close { status: asked.text("status")?.unwrap_or_else(|| "FINISHED".into()), reason: message, by },
        "retry" => Command::Retry { node: node()?, inputs: values()?, by },
        "ignore" => Command::Ignore { node: node()?, outputs: values()?, reason: message, by },
        "route" => {
            let line = asked.int("line")?.map(LineId).ok_or_else(|| Problem::malformed("/line", "it is missing"))?;
            Command::Route { node: node()?, line, by }
        }
        "acknowledge" => Command::Acknowledge { node: asked.node()?, by },
        "resolve" => Command::Resolve { form: form_of(asked, card, card.ticket.where_to_resolve(&by).ok(), false).await?, remark: message, by },
        "escalate" => Command::Escalate { node: asked.node()?, reason: message, by },
        "edit" => Command::EditField { form: form_of(asked, card, None, false).await?, by },
        "remark" => {
            let parent =
                asked.int("parent")?.map(|id| u64::try_from(id).map_err(|_| Problem::malformed("/parent", "it is not the number of a remark"))).transpose()?;
            Command::Remark { text: asked.required("text")?, parent, mentions: people(asked).await?, internal: asked.flag("internal", false)?, by }
        }
        "follow" => Command::Follow { people: people(asked).await?, follows: true, by },
        "unfollow" => Command::Follow { people: people(asked).await?, follows: false, by },
        "rate" => {
            let stars =
                asked.int("stars")?.and_then(|stars| u8::try_from(stars).ok()).ok_or_else(|| Problem::malformed("/stars", "it is not a number of stars"))?;
            Command::Rate { stars, comment: message, by }
        }
        "remind" => Command::Remind { message, by },
        _ => {
            let other = TicketSn(asked.required("other")?);
            if operation == "unlink" {
                return Ok(Command::Unlink { other, mirror: false, by });
            }
            let relation = asked.text("relation")?.unwrap_or_else(|| "related".into());
            let relation: Relation = serde_json::from_value(relation.into())
                .map_err(|_| Problem::malformed("/relation", "it is none of related, raised, raised_from, parent_of, child_of"))?;
            fits(asked, card, &other, relation, &by).await?;
            Command::Link { other, relation, mirror: false, by }
        }
    })
}

/// The other ticket is there and would take the link from this person too; a child runs on the same version of the same service as its parent
/// (reference/bk-itsm.md 16).
async fn fits(asked: &Asked, card: &TicketCard, other: &TicketSn, relation: Relation, by: &events::Pid) -> Result<(), Problem> {
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
    app.people.form_in(definition, &mut form, false).await?;
    if let Some(node) = node.and_then(|node| definition.node(node)).or_else(|| definition.submit_node()) {
        if with_defaults {
            form::with_defaults(definition, node, &mut form, &card.ticket);
        }
        app.configuration.offers.ask_ahead(definition, node, &form, &card.ticket).await?;
    }
    Ok(form)
}

async fn people(asked: &Asked) -> Result<Vec<events::Pid>, Problem> {
    let mut people = Vec::new();
    for name in asked.names("people")? {
        people.push(asked.app.people.find(&name).await?);
    }
    if people.is_empty() && asked.body.get("text").is_none() {
        people.push(asked.app.people.find(asked.user()?).await?);
    }
    Ok(people)
}

/// Many decisions at once: each by itself, each answered by itself.
pub(super) async fn decide_many(asked: Asked) -> Answer {
    let items = asked.body.get("decisions").and_then(Value::as_array).ok_or_else(|| Problem::malformed("/decisions", "it is not an array"))?;
    if items.is_empty() || items.len() > BATCH_MAX {
        return Err(Problem::malformed("/decisions", format!("it holds 1 to {BATCH_MAX} decisions")));
    }
    let by = asked.app.people.find(asked.user()?).await?;
    let read = |(at, item): (usize, &Value)| {
        let parts = || Some((TicketSn(item["sn"].as_str()?.to_owned()), NodeId(item["node"].as_i64()?), item["pass"].as_bool()?));
        let (sn, node, pass) = parts().ok_or_else(|| Problem::malformed(&format!("/decisions/{at}"), "it needs sn, node and pass"))?;
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
            Err(Failure::Rejected(rejection)) => json!({ "sn": sn, "node": node, "done": false, "detail": rejection.to_string() }),
            Err(Failure::Technical(error)) => return Err(error.into()),
        });
    }
    Ok(Json(json!({ "results": results })).into_response())
}
