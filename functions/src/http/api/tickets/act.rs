//! Changes tickets through the API `/v1`. Each operation on a ticket has its own path.

use std::collections::{BTreeMap, BTreeSet};

use domain::ticket::{Command, Rejection, form};
use domain::views::ticket_card::TicketCard;
use events::ticket::{NodeStatus, Opened, Relation};
use events::{NodeId, PersonId, TicketSn, TransitionId};
use infra::ledger::command_id;
use infra::{ExecuteError, Kind, Outcome};
use serde_json::Value;

use super::read::for_command;
use super::reply::{ChangedTicket, DecisionResult, DecisionResults};
use crate::App;
use crate::app::people::NAMED_MAX;
use crate::app::tickets;
use crate::app::tickets::extras::keep_inputs;
use crate::http::api::problem::{ApiResult, Problem};
use crate::http::api::reply::ok;
use crate::http::api::request::{Asked, Expected};
use crate::http::api::shape::quoted;

/// The largest number of approval decisions in one request.
const BATCH_MAX: usize = 200;

pub(super) async fn operate(request: Asked, sn: &str, operation: &str) -> ApiResult {
    let (sn, card) = for_command(&request, sn).await?;
    let id = own_command_id(&request, &sn, operation).await?;
    // A repeated request must get the response of the first request. If the first request completed the node,
    // the ticket no longer waits for the person who sends the request. The desk would then reject a new
    // request of this person, but a repeated request must still succeed.
    let is_repeated =
        request.idempotency_key.is_some() && tickets::is_done(&request.app, &sn, &id).await?;
    let command = command(&request, &card, operation, is_repeated).await?;
    // For the operations `retry` and `ignore`, the client sends values in the member `values`. The crate
    // `domain` uses the name `fields` for these values in its errors, so this code replaces the name in the
    // error.
    let outcome = act(&request, &sn, id, &command)
        .await
        .map_err(|problem| match operation {
            "retry" | "ignore" => problem.moved("/fields", "/values"),
            "deliver" | "distribute" | "reassign" => problem.naming("/to/people"),
            "follow" | "unfollow" | "remark" => problem.naming("/people"),
            _ => problem,
        })?;
    let warnings = unknown_people(&request.app, &command).await;
    Ok(ok(&ChangedTicket {
        sn: sn.to_string(),
        version: outcome.last,
        status: outcome.state.status_key().to_owned(),
        warnings,
    }))
}

/// Returns a warning for each person whom the executed command names, if neither the desk nor the
/// directory knew this person before. If the directory does not list people, such a name is
/// accepted, although it may be misspelled. The command is already executed, so an unavailable
/// directory causes no error.
async fn unknown_people(app: &App, command: &Command) -> Vec<String> {
    let mut named = command.clone();
    let by = command.by();
    let mut warnings = Vec::new();
    for person in named.people_mut() {
        let Some(name) = person.unregistered_name() else {
            continue;
        };
        if by != Some(&*person) && matches!(app.directory.has_person(name).await, Ok(None)) {
            warnings.push(format!("{} is unknown; check the spelling", quoted(name)));
        }
    }
    warnings
}

/// Returns the command id of a request. Two requests have the same id if they have the same
/// idempotency key, operation and content. Without a key, each request gets a new id.
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
    // If the header `If-Match` is absent or contains `*`, the command is executed at any version of the ticket.
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
        // `If-Match` can list several versions. The command is executed only if the list contains
        // the current version. Otherwise the command gets the version -1, which no ticket has, so
        // the command is rejected.
        let version = if versions.contains(&current) {
            current
        } else {
            -1
        };
        match tickets::act(app, sn, command, &meta, id, Some(version)).await {
            // Another command changed the ticket after this code read the ticket version.
            // `If-Match` can also contain the new version, so the loop tries the command again with
            // the new version. The loop tries each version only once.
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

/// Returns the id of the node that the request changes. The body member `node` can contain this id. If this
/// member is absent, the function searches for nodes of the ticket that wait for `operation`. Returns an
/// error if more than one node is found. Also returns an error if no node is found and the request is not
/// repeated. `by` is the acting person.
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
        // The command was already executed, and its response does not depend on the node. The
        // function can therefore return any node id.
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
                files: Vec::new(),
                by,
            }
        }
        "follow" => Command::Follow {
            people: followers(request).await?,
            follows: true,
            app_may_read: false,
            by,
        },
        "unfollow" => Command::Follow {
            people: followers(request).await?,
            follows: false,
            app_may_read: false,
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

/// Checks whether a link from a ticket to the ticket `other` may be added. Each link also needs a reverse
/// link from the other ticket. Returns an error if the other ticket does not exist, or if the person `by` may
/// not add the reverse link.
///
/// For a link between a parent and a child, both tickets must have the same service and the same workflow
/// version (reference/bk-itsm.md, section 16).
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
        // The other ticket already has the reverse link. This is not an error here, because the request may be a
        // repetition. The later command for the first ticket accepts a repetition, and rejects a new request for an
        // existing link.
        Err(ExecuteError::Rejected(Rejection::LinkedAlready(with))) if with == opened.sn => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

/// Returns the form values that the request submits for a node of the workflow. If `node` is
/// `None`, the values belong to the submit node (the first node of the workflow).
///
/// If `with_defaults` is true, each absent field gets its default value.
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

/// Returns the people in the body member `people`. Returns `None` if the member is absent.
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

/// Returns the people in the body member `people`. These people start or stop following a ticket. If the member is
/// absent, the result contains only the caller. An empty list is rejected.
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

/// Handles a request with several approval decisions. Each decision is executed as a separate
/// command and has its own result.
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
    // All decisions are parsed before the first decision is executed, so a malformed request
    // changes no ticket.
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
        results.push(
            match tickets::act(&request.app, &sn, &command, &meta, id, None).await {
                Ok(outcome) => DecisionResult {
                    sn: sn.to_string(),
                    node: node.0,
                    done: true,
                    status: Some(outcome.state.status_key().to_owned()),
                    detail: None,
                },
                Err(ExecuteError::Rejected(rejection)) => {
                    let problem = Problem::from(rejection)
                        .for_people(&request.app, request.language)
                        .await;
                    DecisionResult {
                        sn: sn.to_string(),
                        node: node.0,
                        done: false,
                        status: None,
                        detail: Some(problem.detail().to_owned()),
                    }
                }
                Err(ExecuteError::Technical(error)) => return Err(error.into()),
            },
        );
    }
    Ok(ok(&DecisionResults { results }))
}
