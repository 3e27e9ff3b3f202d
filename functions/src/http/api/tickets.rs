//! Reads and changes tickets over `/v1`. Each command has its own path.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use domain::ticket::{Command, Rejection, form};
use domain::views::ticket_card::TicketCard;
use events::ticket::{NodeStatus, Opened, Relation, TicketEvent};
use events::{Moment, NodeId, PersonId, TicketSn, TransitionId, WorkflowId};
use infra::ledger::command_id;
use infra::{ExecuteError, Kind, Outcome};
use serde_json::{Value, json};

use super::operations::{PAGE_SIZE_MAX, PAGES_MAX, instant};
use super::problem::{ApiResult, Problem};
use super::request::{Asked, Expected};
use super::shape::quoted;
use super::time;
use crate::App;
use crate::app::cards::read_card;
use crate::app::people::NAMED_MAX;
use crate::app::tickets;
use crate::app::tickets::extras::keep_inputs;
use crate::app::tickets::list::{self, Filter, Number};
use crate::app::times;
use crate::http::blueking::render;

/// Largest number of decisions in one request.
const BATCH_MAX: usize = 200;
/// Ticket statuses, besides those that workflows set on entry of a node.
const STATUSES: [&str; 7] = [
    "RUNNING",
    "RESOLVED",
    "CONFIRMED",
    "SUSPENDED",
    "FINISHED",
    "TERMINATED",
    "REVOKED",
];
/// The lists of a person, each with its index of the view `ticket`.
const LISTS: [(&str, &str); 6] = [
    ("todo", "todo"),
    ("claim", "claim"),
    ("approval", "approval"),
    ("created", "creator"),
    ("dealt", "dealt"),
    ("following", "follows"),
];
/// Events that are serialized before the task yields to other requests.
const EVENTS_AT_ONCE: usize = 64;
/// Largest number of remarks in one response.
const REMARKS_MAX: usize = 500;

/// Lists the tickets of a person or all tickets, newest first. Filters are service, kind, status,
/// creator, catalog, business, tag and creation time. Withdrawn tickets appear only if the status
/// `REVOKED` is requested.
pub(super) async fn list(request: Asked) -> ApiResult {
    let app = &request.app;
    let size = request.number("page_size", 20, PAGE_SIZE_MAX)?;
    let page = request.number("page", 1, PAGES_MAX)?;
    let parts = |key: &str| -> Result<Vec<String>, Problem> {
        let parts = request.asked_for(key).into_iter().flat_map(|text| {
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
        });
        let parts: Vec<String> = parts.map(str::to_owned).collect();
        match parts.len() {
            n if n > list::PARTS_MAX => Err(Problem::malformed(
                key,
                format!(
                    "`{key}` has {n} values, but at most {} are allowed",
                    list::PARTS_MAX
                ),
            )),
            _ => Ok(parts),
        }
    };
    let time = |key: &str| match request.asked_for(key) {
        None => Ok(None),
        Some(text) => match instant(text) {
            Some(at) => Ok(Some(Moment(at.as_millisecond()))),
            None => Err(Problem::malformed(
                key,
                format!("`{key}` must be a time with its offset (RFC 3339)"),
            )),
        },
    };
    let statuses = parts("status")?;
    check_statuses(app, &statuses).await?;
    let includes_withdrawn = statuses.iter().any(|status| status == "REVOKED");
    let list_owner = async || {
        let user = request
            .asked_for("user")
            .or(request.caller.user.as_deref())
            .ok_or_else(|| {
                Problem::malformed("user", "`user` is required: the request names no user")
            })?;
        Ok::<_, Problem>(app.people.find(user).await?)
    };
    let mut filter = Filter {
        catalogs: list::with_catalogs_below(app, parts("catalog")?).await?,
        statuses,
        services: parts("service")?,
        businesses: parts("bk_biz_id")?,
        kinds: parts("kind")?,
        tag: request.asked_for("tag").map(str::to_owned),
        created: (time("created_after")?, time("created_before")?),
        is_withdrawn_left_out: !includes_withdrawn,
        ..Filter::default()
    };
    if let Some(name) = request.asked_for("creator") {
        filter.creator = Some(app.people.find(name).await?);
    }
    match request.asked_for("list").unwrap_or("all") {
        "all" if request.asked_for("user").is_some() => {
            let known: Vec<&str> = LISTS.iter().map(|(known, _)| *known).collect();
            return Err(Problem::malformed(
                "user",
                format!(
                    "`user` requires a `list` of one person, one of {}",
                    known.join(", ")
                ),
            ));
        }
        "all" => {}
        list => {
            let index = LISTS
                .iter()
                .find(|(known, _)| *known == list)
                .map(|(_, index)| *index)
                .ok_or_else(|| {
                    let known: Vec<&str> = LISTS.iter().map(|(known, _)| *known).collect();
                    Problem::malformed(
                        "list",
                        format!(
                            "`list` must be one of all, {}, not {list}",
                            known.join(", ")
                        ),
                    )
                })?;
            filter.list = Some((index, list_owner().await?));
        }
    }
    let found = list::page(app, &filter, Number::This(page), size).await?;
    let mut items = Vec::new();
    for key in &found.keys {
        let Some(document) = app.views.get("ticket", key).await? else {
            continue;
        };
        let card: TicketCard = read_card(&app.ledger, key, &document).await?;
        items.push(shown(&request, &card).await?);
    }
    Ok(
        Json(json!({ "count": found.count, "page": page, "page_size": size, "items": items }))
            .into_response(),
    )
}

/// Rejects statuses that no ticket can have: neither a built-in status nor one that a deployed
/// workflow sets.
async fn check_statuses(app: &App, statuses: &[String]) -> Result<(), Problem> {
    let is_not_built_in = |status: &&String| !STATUSES.contains(&status.as_str());
    if !statuses.iter().any(|status| is_not_built_in(&status)) {
        return Ok(());
    }
    let mut custom = BTreeSet::new();
    for id in app.configuration.ids("workflow").await? {
        let workflow = app.configuration.drawn(WorkflowId(id)).await?;
        let nodes = workflow
            .versions
            .values()
            .flat_map(|deployed| &deployed.definition.nodes);
        custom.extend(
            nodes
                .map(|node| node.status_on_entry.clone())
                .filter(|status| !status.is_empty()),
        );
    }
    match statuses
        .iter()
        .filter(is_not_built_in)
        .find(|status| !custom.contains(*status))
    {
        None => Ok(()),
        Some(status) => {
            let known: Vec<&str> = STATUSES
                .into_iter()
                .chain(
                    custom
                        .iter()
                        .map(String::as_str)
                        .filter(|status| !STATUSES.contains(status)),
                )
                .collect();
            Err(Problem::malformed(
                "status",
                format!(
                    "`status` must be one of {}, not {}",
                    known.join(", "),
                    quoted(status)
                ),
            ))
        }
    }
}

async fn shown(request: &Asked, card: &TicketCard) -> Result<Value, Problem> {
    let app = &request.app;
    let Some(opened) = &card.ticket.opened else {
        return Ok(Value::Null);
    };
    let mut shown = render::ticket(app, card, opened).await?;
    let mut nodes = Vec::new();
    for (id, node_run) in &card.ticket.nodes {
        let mut votes = Vec::new();
        for vote in &node_run.votes {
            votes.push(json!({ "by": app.people.name(&vote.by).await?, "pass": vote.pass, "reason": vote.reason.read() }));
        }
        nodes.push(json!({
            "node": id, "name": node_run.name, "round": node_run.round, "status": node_run.status, "automatic": node_run.automatic, "pass": node_run.pass,
            "waiting_for": app.people.names(&node_run.waiting_for()).await?, "votes": votes, "reason": node_run.why(), "level": node_run.level,
        }));
    }
    let links: Vec<Value> = card
        .ticket
        .links
        .iter()
        .map(|link| json!({ "sn": link.other, "relation": link.relation }))
        .collect();
    shown["kind"] = opened.kind.key().into();
    shown["create_at"] = time(app, card.created_at).into();
    shown["update_at"] = time(app, card.updated_at).into();
    shown["end_at"] = card.ended_at.map(|at| time(app, at)).into();
    shown["nodes"] = nodes.into();
    shown["links"] = links.into();
    shown["followers"] = app
        .people
        .names(&card.ticket.followers)
        .await?
        .split(',')
        .filter(|name| !name.is_empty())
        .collect();
    shown["remarks"] = card.ticket.remarks.into();
    shown["stars"] = json!(card.ticket.stars);
    Ok(shown)
}

pub(super) async fn found(request: &Asked, sn: &str) -> Result<(TicketSn, TicketCard), Problem> {
    let sn = TicketSn(sn.to_owned());
    let card = tickets::card(&request.app, &sn)
        .await?
        .ok_or_else(|| Problem::not_found(format!("there is no ticket {sn}")))?;
    Ok((sn, card))
}

pub(super) async fn get(request: Asked, sn: &str) -> ApiResult {
    // The version is read before the ticket, so that the body is never older than its tag.
    let stream = TicketSn(sn.to_owned()).stream();
    let version = if sn.len() <= tickets::SN_BYTES_MAX {
        request
            .app
            .ledger
            .load::<domain::ticket::Ticket>(&stream)
            .await?
            .next
            - 1
    } else {
        0
    };
    let tag = [(header::ETAG, format!("\"{version}\""))];
    let (_, card) = found(&request, sn).await?;
    if request
        .if_none_match
        .as_ref()
        .is_some_and(|tags| tags.hold(&version.to_string()))
    {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    let opened = card
        .ticket
        .opened
        .as_ref()
        .ok_or_else(|| Problem::not_found("the ticket does not exist"))?;
    let workflow = request
        .app
        .configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?;
    let mut body = shown(&request, &card).await?;
    if let Some(workflow) = workflow {
        body["fields"] = render::filled(&request.app, &card, &workflow.definition)
            .await?
            .into();
        body["operations"] = render::ticket_operations(&card, &workflow.definition).into();
    }
    body["dynamic_fields"] = json!(opened.dynamic_fields);
    Ok((tag, Json(body)).into_response())
}

/// Returns whether the caller works on a ticket and may therefore read internal remarks.
async fn sees_internal(request: &Asked, card: &TicketCard) -> Result<bool, Problem> {
    match request.caller.user.as_deref() {
        Some(user) => Ok(tickets::works_on(
            &request.app,
            &card.ticket,
            &request.app.people.find(user).await?,
        )
        .await?),
        None => Ok(false),
    }
}

/// Lists the events of a ticket, optionally up to a time. Internal remarks are included only for
/// people who work on the ticket.
pub(super) async fn history(request: Asked, sn: &str) -> ApiResult {
    let (sn, card) = found(&request, sn).await?;
    let sees_internal = sees_internal(&request, &card).await?;
    let until = match request.asked_for("at") {
        None => None,
        Some(text) => Some(
            instant(text)
                .ok_or_else(|| {
                    Problem::malformed("at", "`at` must be a time with its offset (RFC 3339)")
                })?
                .as_millisecond(),
        ),
    };
    let mut events = Vec::new();
    for (at, envelope) in tickets::history(&request.app.ledger, &sn.stream())
        .await?
        .into_iter()
        .enumerate()
    {
        if at % EVENTS_AT_ONCE == EVENTS_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        if until.is_some_and(|until| envelope.at.0 > until) {
            break;
        }
        if matches!(&envelope.event, TicketEvent::RemarkAdded(remark) if remark.internal && !sees_internal)
        {
            continue;
        }
        let mut event = serde_json::to_value(&envelope.event)
            .map_err(|error| Problem::conflict(error.to_string()))?;
        times::spell(&mut event, &|at| time(&request.app, at));
        events.push(
            json!({ "id": envelope.id(), "at": time(&request.app, envelope.at), "actor": request.app.people.name(&envelope.meta.actor).await?, "event": event }),
        );
    }
    Ok(Json(json!({ "sn": sn, "events": events })).into_response())
}

/// Lists remarks, oldest first, after the remark `after`. Internal remarks are included only for
/// people who work on the ticket.
pub(super) async fn remarks(request: Asked, sn: &str) -> ApiResult {
    let (sn, card) = found(&request, sn).await?;
    let app = &request.app;
    let sees_internal = sees_internal(&request, &card).await?;
    let after: u64 = match request.asked_for("after") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| Problem::malformed("after", "`after` must be the number of a remark"))?,
    };
    let mut remarks = Vec::new();
    for envelope in tickets::history(&app.ledger, &sn.stream()).await? {
        let TicketEvent::RemarkAdded(remark) = &envelope.event else {
            continue;
        };
        if remark.id <= after || (remark.internal && !sees_internal) || remarks.len() >= REMARKS_MAX
        {
            continue;
        }
        remarks.push(json!({
            "id": remark.id, "parent": remark.parent, "by": app.people.name(&remark.by).await?, "text": remark.text.read(), "internal": remark.internal,
            "mentions": app.people.names(&remark.mentions).await?, "at": time(app, envelope.at),
        }));
    }
    Ok(Json(json!({ "sn": sn, "count": card.ticket.remarks, "remarks": remarks })).into_response())
}

pub(super) async fn operate(request: Asked, sn: &str, operation: &str) -> ApiResult {
    let (sn, card) = found(&request, sn).await?;
    let id = own_command_id(&request, &sn, operation).await?;
    // A repeated request gets the response of the first one, even if no node waits for the person
    // any more.
    let is_repeated =
        request.idempotency_key.is_some() && tickets::is_done(&request.app, &sn, &id).await?;
    let command = command(&request, &card, operation, is_repeated).await?;
    // The domain checks the values of an automatic node as its form fields, so the pointer is
    // corrected.
    let outcome = act(&request, &sn, id, &command)
        .await
        .map_err(|problem| match operation {
            "retry" | "ignore" => problem.moved("/fields", "/values"),
            _ => problem,
        })?;
    Ok(
        Json(json!({ "sn": sn, "version": outcome.last, "status": outcome.state.status_key() }))
            .into_response(),
    )
}

/// Returns the command id of a request. The same key for another operation is another command.
async fn own_command_id(
    request: &Asked,
    sn: &TicketSn,
    operation: &str,
) -> Result<[u8; 16], Problem> {
    Ok(match &request.idempotency_key {
        Some(key) => command_id(&[
            "v1",
            request.caller.app.as_str(),
            key,
            sn.as_str(),
            &request.fingerprint(operation).await?,
        ]),
        None => request.app.ledger.fresh_id(),
    })
}

async fn act(
    request: &Asked,
    sn: &TicketSn,
    id: [u8; 16],
    command: &Command,
) -> Result<Outcome<domain::ticket::Ticket>, Problem> {
    let app = &request.app;
    let actor = app.people.find(request.user()?).await?;
    let meta = request.meta(actor);
    // Without versions in `If-Match` the command is accepted at any version.
    let Some(Expected::Versions(versions)) = &request.if_match else {
        return Ok(tickets::act(app, sn, command, &meta, id, None).await?);
    };
    let mut tried = BTreeSet::new();
    loop {
        let current = app
            .ledger
            .load::<domain::ticket::Ticket>(&sn.stream())
            .await?
            .next
            - 1;
        // Of several accepted versions only the current one can match. No ticket has the version
        // -1.
        let version = if versions.contains(&current) {
            current
        } else {
            -1
        };
        match tickets::act(app, sn, command, &meta, id, Some(version)).await {
            // The ticket changed meanwhile. Its new version may be accepted too. Each version is
            // tried once.
            Err(ExecuteError::Technical(error))
                if error.kind == Kind::Stale && tried.insert(version) && version != -1 => {}
            Err(ExecuteError::Technical(error)) if error.kind == Kind::Stale => {
                return Err(Problem::stale(format!(
                    "ticket {sn} is at version {current}, which `If-Match` does not accept: read the ticket again"
                )));
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// Returns the node of a request: the given one, or the only one that waits for this person and
/// operation.
fn target_node(
    request: &Asked,
    card: &TicketCard,
    by: &PersonId,
    operation: &str,
    is_repeated: bool,
) -> Result<NodeId, Problem> {
    if let Some(node) = request.node()? {
        return Ok(node);
    }
    let ticket = &card.ticket;
    let current = ticket.current().filter(|(_, node_run)| match operation {
        "claim" => node_run.status == NodeStatus::Receiving && ticket.may_act(node_run, by),
        "distribute" => node_run.status == NodeStatus::Distributing && ticket.may_act(node_run, by),
        "deliver" => !node_run.automatic && ticket.may_act(node_run, by),
        "reassign" => !node_run.automatic,
        "retry" | "ignore" | "route" => node_run.status == NodeStatus::Failed,
        _ => {
            !node_run.automatic
                && node_run.status == NodeStatus::Running
                && ticket.may_act(node_run, by)
        }
    });
    let waiting: Vec<(NodeId, &str)> = current
        .map(|(id, node_run)| (id, node_run.name.as_str()))
        .collect();
    match waiting[..] {
        [(node, _)] => Ok(node),
        // The command was executed before, so the response does not depend on the node.
        [] if is_repeated => Ok(NodeId(0)),
        [] => Err(Problem::malformed(
            "/node",
            format!(
                "`node` is required: no node of this ticket waits for {} to {operation}",
                request.user()?
            ),
        )),
        _ => {
            let nodes: Vec<String> = waiting
                .iter()
                .map(|(id, name)| format!("{id} ({name})"))
                .collect();
            Err(Problem::malformed(
                "/node",
                format!(
                    "`node` is required: more than one node is possible, {}",
                    nodes.join(", ")
                ),
            ))
        }
    }
}

async fn command(
    request: &Asked,
    card: &TicketCard,
    operation: &str,
    is_repeated: bool,
) -> Result<Command, Problem> {
    let app = &request.app;
    let by = app.people.find(request.user()?).await?;
    let actor = by.clone();
    let message = request.text("message")?.unwrap_or_default();
    let node = || target_node(request, card, &actor, operation, is_repeated);
    let values = || -> Result<BTreeMap<String, String>, Problem> {
        match request.body.get("values") {
            None | Some(Value::Null) => Ok(BTreeMap::new()),
            Some(Value::Object(values)) => Ok(values
                .iter()
                .map(|(key, value)| {
                    (
                        key.clone(),
                        value
                            .as_str()
                            .map_or_else(|| value.to_string(), str::to_owned),
                    )
                })
                .collect()),
            Some(_) => Err(Problem::malformed("/values", "`values` must be an object")),
        }
    };
    Ok(match operation {
        "submit" => Command::Submit {
            node: node()?,
            form: form_of(request, card, Some(node()?), true).await?,
            reason: message,
            by,
        },
        "decide" => Command::Decide {
            node: node()?,
            pass: request.choice("pass")?,
            remark: message,
            by,
        },
        "claim" => Command::Claim {
            node: node()?,
            reason: message,
            by,
        },
        "distribute" => Command::Assign {
            node: node()?,
            to: request.targets().await?,
            message,
            by,
        },
        "deliver" => Command::Transfer {
            node: node()?,
            to: request.targets().await?,
            message,
            by,
        },
        "reassign" => Command::Reassign {
            node: node()?,
            to: request.targets().await?,
            message,
            by,
        },
        "terminate" => match request.node()? {
            Some(node) => Command::TerminateAt {
                node,
                reason: message,
                by,
            },
            None => Command::Terminate {
                reason: message,
                by,
            },
        },
        "suspend" => Command::Suspend {
            reason: message,
            by,
        },
        "resume" => Command::Resume {
            reason: message,
            by,
        },
        "withdraw" => Command::Withdraw {
            reason: message,
            by,
        },
        "close" => Command::Close {
            status: request.required("status")?,
            reason: message,
            by,
        },
        "retry" => {
            let (node, inputs) = (node()?, values()?);
            Command::Retry {
                node,
                inputs: keep_inputs(app, &by, inputs).await?,
                reason: message,
                by,
            }
        }
        "ignore" => Command::Ignore {
            node: node()?,
            outputs: values()?,
            reason: message,
            by,
        },
        "route" => {
            let transition = TransitionId(request.required_int("transition")?);
            Command::Route {
                node: node()?,
                transition,
                reason: message,
                by,
            }
        }
        "acknowledge" => Command::Acknowledge {
            node: request.node()?,
            reason: message,
            by,
        },
        "resolve" => Command::Resolve {
            form: form_of(request, card, card.ticket.where_to_resolve(&by).ok(), false).await?,
            remark: message,
            by,
        },
        "escalate" => Command::Escalate {
            node: request.node()?,
            reason: message,
            by,
        },
        "edit" => Command::EditField {
            form: form_of(request, card, None, false).await?,
            by,
        },
        "remark" => {
            let parent = request
                .int("parent")?
                .map(|id| {
                    u64::try_from(id).map_err(|_| {
                        Problem::malformed("/parent", "`parent` must be the number of a remark")
                    })
                })
                .transpose()?;
            Command::Remark {
                text: request.required("text")?,
                parent,
                mentions: people(request).await?.unwrap_or_default(),
                internal: request.flag("internal", false)?,
                by,
            }
        }
        "follow" => Command::Follow {
            people: followers(request).await?,
            follows: true,
            by,
        },
        "unfollow" => Command::Follow {
            people: followers(request).await?,
            follows: false,
            by,
        },
        "rate" => {
            let stars = u8::try_from(request.required_int("stars")?).map_err(|_| {
                Problem::malformed("/stars", "`stars` must be a number from 1 to 5")
            })?;
            Command::Rate {
                stars,
                comment: message,
                by,
            }
        }
        "remind" => Command::Remind { message, by },
        _ => {
            let other = TicketSn(request.required("other")?);
            if operation == "unlink" {
                return Ok(Command::Unlink {
                    other,
                    mirror: false,
                    by,
                });
            }
            let relation: Relation = serde_json::from_value(request.required("relation")?.into())
                .map_err(|_| {
                Problem::malformed(
                    "/relation",
                    "`relation` must be one of related, raised, raised_from, parent_of, child_of",
                )
            })?;
            check_link(request, card, &other, relation, &by).await?;
            Command::Link {
                other,
                relation,
                mirror: false,
                by,
            }
        }
    })
}

/// Rejects a link unless the other ticket exists and accepts the reverse link from this person.
/// Parent and child must have the same service and workflow version (reference/bk-itsm.md 16).
async fn check_link(
    request: &Asked,
    card: &TicketCard,
    other: &TicketSn,
    relation: Relation,
    by: &PersonId,
) -> Result<(), Problem> {
    let app = &request.app;
    let unknown = || Problem::malformed("/other", format!("there is no ticket {other}"));
    let (Some(opened), Some(other_opened)) = (
        &card.ticket.opened,
        tickets::card(app, other)
            .await?
            .and_then(|card| card.ticket.opened),
    ) else {
        return Err(unknown());
    };
    let of = |opened: &Opened| (opened.service, opened.workflow, opened.workflow_version);
    if matches!(relation, Relation::ChildOf | Relation::ParentOf) && of(opened) != of(&other_opened)
    {
        return Err(Problem::conflict(
            "parent and child must be of the same service and workflow version",
        ));
    }
    let reverse = Command::Link {
        by: by.clone(),
        other: opened.sn.clone(),
        relation: relation.inverse(),
        mirror: false,
    };
    match app
        .ledger
        .foresee(&other.stream(), &reverse, &*app.configuration)
        .await
    {
        Ok(_) => Ok(()),
        // The decision on this ticket reports an existing link. A repeated command is also no
        // error.
        Err(ExecuteError::Rejected(Rejection::LinkedAlready(with))) if with == opened.sn => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

/// Returns the submitted form for a node, or for the submit node if `node` is `None`. Optionally
/// adds the defaults of absent fields.
async fn form_of(
    request: &Asked,
    card: &TicketCard,
    node: Option<NodeId>,
    with_defaults: bool,
) -> Result<Vec<events::Entry>, Problem> {
    let app = &request.app;
    let mut form = request.fields()?;
    let Some(opened) = &card.ticket.opened else {
        return Ok(form);
    };
    let Some(workflow) = app
        .configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?
    else {
        return Ok(form);
    };
    let definition = &workflow.definition;
    app.people.form_in(definition, &mut form, 0).await?;
    if let Some(node) = node
        .and_then(|node| definition.node(node))
        .or_else(|| definition.submit_node())
    {
        if with_defaults {
            form::with_defaults(definition, node, &mut form, &card.ticket);
        }
        app.configuration
            .offers
            .ask_ahead(definition, node, &form, &card.ticket)
            .await?;
    }
    Ok(form)
}

/// Returns the people in `people`, or `None` if the member is absent.
async fn people(request: &Asked) -> Result<Option<Vec<PersonId>>, Problem> {
    let Some(names) = request.names("people")? else {
        return Ok(None);
    };
    if names.len() > NAMED_MAX {
        return Err(Problem::malformed(
            "/people",
            format!("`people` must have at most {NAMED_MAX} entries"),
        ));
    }
    Ok(Some(request.app.people.find_all(&names).await?))
}

/// Returns the people who start or stop following. Without `people` this is the caller. An empty
/// list is an error.
async fn followers(request: &Asked) -> Result<Vec<PersonId>, Problem> {
    match people(request).await? {
        Some(people) if people.is_empty() => Err(Problem::malformed(
            "/people",
            "`people` must not be empty: leave it out to use the caller",
        )),
        Some(people) => Ok(people),
        None => Ok(vec![request.app.people.find(request.user()?).await?]),
    }
}

/// Decides several approvals. Each decision has its own command and result.
pub(super) async fn decide_many(request: Asked) -> ApiResult {
    let items = request
        .body
        .get("decisions")
        .and_then(Value::as_array)
        .ok_or_else(|| Problem::malformed("/decisions", "`decisions` is required"))?;
    if items.is_empty() || items.len() > BATCH_MAX {
        return Err(Problem::malformed(
            "/decisions",
            format!("`decisions` must have 1 to {BATCH_MAX} entries"),
        ));
    }
    let by = request.app.people.find(request.user()?).await?;
    let read = |(at, item): (usize, &Value)| {
        let parts = || {
            Some((
                TicketSn(item["sn"].as_str()?.to_owned()),
                NodeId(item["node"].as_i64()?),
                item["pass"].as_bool()?,
            ))
        };
        let (sn, node, pass) = parts().ok_or_else(|| {
            Problem::malformed(
                &format!("/decisions/{at}"),
                "a decision needs `sn`, `node` and `pass`",
            )
        })?;
        Ok((
            sn,
            node,
            pass,
            item["message"].as_str().unwrap_or_default().to_owned(),
        ))
    };
    // All decisions are parsed before the first one is executed.
    let decisions = items
        .iter()
        .enumerate()
        .map(read)
        .collect::<Result<Vec<_>, Problem>>()?;
    let fingerprint = request.fingerprint("decide").await?;
    let mut results = Vec::new();
    for (sn, node, pass, remark) in decisions {
        let id = match &request.idempotency_key {
            Some(key) => command_id(&[
                "v1",
                request.caller.app.as_str(),
                key,
                sn.as_str(),
                &node.to_string(),
                &fingerprint,
            ]),
            None => request.app.ledger.fresh_id(),
        };
        let command = Command::Decide {
            node,
            by: by.clone(),
            pass,
            remark,
        };
        let meta = request.meta(by.clone());
        results.push(match tickets::act(&request.app, &sn, &command, &meta, id, None).await {
            Ok(outcome) => {
                json!({ "sn": sn, "node": node, "done": true, "status": outcome.state.status_key() })
            }
            Err(ExecuteError::Rejected(rejection)) => {
                let problem = Problem::from(rejection).with_names(&request.app).await;
                json!({ "sn": sn, "node": node, "done": false, "detail": problem.detail() })
            }
            Err(ExecuteError::Technical(error)) => return Err(error.into()),
        });
    }
    Ok(Json(json!({ "results": results })).into_response())
}
