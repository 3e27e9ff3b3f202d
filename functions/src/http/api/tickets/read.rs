//! Reads tickets in the API `/v1`. The operations return ticket lists, single tickets, and the
//! events and remarks of a ticket.

use std::collections::BTreeSet;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use domain::permission::Operation as Permission;
use domain::ticket::Status;
use domain::views::ticket_card::TicketCard;
use events::ticket::TicketEvent;
use events::workflow::{Definition, Field};
use events::{Moment, TicketSn, WorkflowId};

use super::reply::{
    FilledField, Remarks, ShownDynamicField, ShownEvent, ShownRemark, ShownVote, Ticket,
    TicketEvents, TicketLink, TicketNode, TicketPage,
};
use crate::App;
use crate::app::cards::read_card;
use crate::app::names::Names;
use crate::app::permissions::Reader;
use crate::app::tickets::list::{self, Filter, Number};
use crate::app::tickets::{self, Unread, operations};
use crate::app::times;
use crate::http::api::problem::{ApiResult, Problem};
use crate::http::api::reply::{Open, ok, time};
use crate::http::api::request::Asked;
use crate::http::api::resource::{PAGE_SIZE_MAX, PAGES_MAX, instant};
use crate::http::api::shape::quoted;
use crate::http::blueking::render;

/// The built-in statuses of tickets. A workflow can also define other statuses, which a ticket gets
/// when it enters a node.
const STATUSES: [&str; 7] = [
    "RUNNING",
    "RESOLVED",
    "CONFIRMED",
    "SUSPENDED",
    "FINISHED",
    "TERMINATED",
    "REVOKED",
];
/// The number of events that are converted to JSON without a pause. After this number of events,
/// the task yields, so that other requests also make progress.
const EVENTS_AT_ONCE: usize = 64;
/// The largest number of remarks in one response.
const REMARKS_MAX: usize = 500;

/// Lists all tickets, or the tickets of one person, newest first.
///
/// The filters are service, kind, status, creator, catalog, business, tag and creation time.
/// Withdrawn tickets are listed only if the status filter contains `REVOKED`.
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
            let known: Vec<&str> = list::LISTS.iter().map(|(known, _)| *known).collect();
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
            let index = list::LISTS
                .iter()
                .find(|(known, _)| *known == list)
                .map(|(_, index)| *index)
                .ok_or_else(|| {
                    let known: Vec<&str> = list::LISTS.iter().map(|(known, _)| *known).collect();
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
    // An app that the desk trusts may ask for the list of every user without naming the user as the caller.
    let reader = match (&filter.list, &request.caller.user) {
        (Some((_, owner)), None) if request.caller.may_impersonate => Reader::person(owner.clone()),
        _ => Reader::user_or_app(app, &request.caller).await?,
    };
    let found = list::page(app, &filter, &reader, Number::This(page), size).await?;
    let mut items = Vec::new();
    for key in &found.keys {
        let Some(document) = app.views.get("ticket", key).await? else {
            continue;
        };
        let card: TicketCard = read_card(&app.ledger, key, &document).await?;
        items.extend(shown(&request, &card).await?);
    }
    Ok(ok(&TicketPage {
        count: found.count,
        page,
        page_size: size,
        items,
    }))
}

/// Rejects a status that no ticket can have. A valid status is a built-in status or a status that a
/// deployed workflow defines.
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

/// Returns a ticket without its form and without the operations of the caller. Returns `None` if the
/// ticket was not opened.
async fn shown(request: &Asked, card: &TicketCard) -> Result<Option<Ticket>, Problem> {
    let app = &request.app;
    let Some(opened) = &card.ticket.opened else {
        return Ok(None);
    };
    let mut nodes = Vec::new();
    for (id, node_run) in &card.ticket.nodes {
        let mut votes = Vec::new();
        for vote in &node_run.votes {
            votes.push(ShownVote {
                by: app.people.name(&vote.by).await?,
                pass: vote.pass,
                reason: vote.reason.read().to_owned(),
            });
        }
        let waiting_for = if node_run.is_current() {
            node_run.waiting_for()
        } else {
            Vec::new()
        };
        nodes.push(TicketNode {
            node: id.0,
            name: node_run.name.clone(),
            round: node_run.round,
            status: node_run.status,
            automatic: node_run.automatic,
            pass: node_run.pass,
            waiting_for: app.people.all_names(&waiting_for).await?,
            votes,
            reason: node_run.why().to_owned(),
            level: node_run.level,
            operations: None,
        });
    }
    let ticket = &card.ticket;
    let (settings, bk_biz_id) = (&app.settings, ticket.bk_biz_id());
    let is_finished = ticket.status == Status::Finished;
    Ok(Some(Ticket {
        id: opened.id,
        sn: opened.sn.to_string(),
        title: ticket.title(),
        catalog_id: opened.catalog.0,
        service_id: opened.service.0,
        service_type: opened.kind,
        kind: opened.kind,
        flow_id: render::flow_id(opened.workflow, opened.workflow_version),
        workflow: opened.workflow.0,
        workflow_version: opened.workflow_version,
        current_status: ticket.status_key().to_owned(),
        comment_id: if is_finished {
            opened.id.to_string()
        } else {
            String::new()
        },
        is_commented: ticket.stars.is_some(),
        updated_by: app
            .people
            .all_names(&tickets::display::updated_by(card))
            .await?,
        update_at: time(app, card.updated_at),
        end_at: card.ended_at.map(|at| time(app, at)),
        creator: app.people.name(&opened.creator).await?,
        create_at: time(app, card.created_at),
        is_biz_need: bk_biz_id != -1,
        bk_biz_id,
        tag: opened.tag.clone(),
        priority_key: ticket.priority().map(|priority| priority.key.clone()),
        url: render::ticket_url(settings, opened.id),
        iframe_url: render::iframe_ticket_url(settings, opened.id),
        nodes,
        links: ticket
            .links
            .iter()
            .map(|link| TicketLink {
                sn: link.other.to_string(),
                relation: link.relation,
            })
            .collect(),
        followers: app.people.all_names(&ticket.followers).await?,
        remarks: ticket.remarks,
        stars: ticket.stars,
        fields: None,
        operations: None,
        dynamic_fields: None,
    }))
}

/// Reads a ticket. Returns an error if the ticket does not exist, or if the caller may not read the ticket.
pub(in crate::http::api) async fn found(
    request: &Asked,
    sn: &str,
) -> Result<(TicketSn, TicketCard), Problem> {
    let sn = TicketSn(sn.to_owned());
    let reader = Reader::user_or_app(&request.app, &request.caller).await?;
    match tickets::read(&request.app, &sn, &reader).await {
        Ok(card) => Ok((sn, card)),
        Err(Unread::Unknown) => Err(no_ticket(&sn)),
        Err(Unread::NotPermitted) => {
            let detail = match &request.caller.user {
                Some(user) => {
                    format!("{user} may not read ticket {sn}. The creator can add followers.")
                }
                None => format!(
                    "application {} may not read ticket {sn}, because another application opened it",
                    request.caller.app
                ),
            };
            Err(Problem::denied(Permission::ReadTicket, detail))
        }
        Err(Unread::Technical(error)) => Err(error.into()),
    }
}

/// Reads a ticket for a command. The ticket itself checks whether the caller may execute the command. This function
/// therefore does not check whether the caller may read the ticket.
pub(super) async fn for_command(
    request: &Asked,
    sn: &str,
) -> Result<(TicketSn, TicketCard), Problem> {
    let sn = TicketSn(sn.to_owned());
    match tickets::card(&request.app, &sn).await? {
        Some(card) => Ok((sn, card)),
        None => Err(no_ticket(&sn)),
    }
}

fn no_ticket(sn: &TicketSn) -> Problem {
    Problem::not_found(format!("there is no ticket {sn}"))
}

pub(super) async fn get(request: Asked, sn: &str) -> ApiResult {
    // The response contains the version of the ticket as its entity tag. The version is read first,
    // and the ticket is read second. If the ticket changes between the two reads, the response
    // contains newer data than its entity tag, but never older data.
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
    let missing = || Problem::not_found("the ticket does not exist");
    let opened = card.ticket.opened.as_ref().ok_or_else(missing)?;
    let workflow = request
        .app
        .configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?;
    let mut body = shown(&request, &card).await?.ok_or_else(missing)?;
    if let Some(workflow) = workflow {
        body.fields = Some(filled(&request.app, &card, &workflow.definition).await?);
        add_operations(&request, &card, &workflow.definition, &mut body).await?;
    }
    let dynamic_fields = opened.dynamic_fields.iter().map(|field| ShownDynamicField {
        key: field.key.clone(),
        name: field.name.clone(),
        kind: field.kind.clone(),
        value: field.value.clone(),
        meta: field.meta.clone(),
    });
    body.dynamic_fields = Some(dynamic_fields.collect());
    Ok((tag, ok(&body)).into_response())
}

/// Returns all fields of a ticket with their values. The value of an empty field is null.
async fn filled(
    app: &App,
    card: &TicketCard,
    definition: &Definition,
) -> Result<Vec<FilledField>, Problem> {
    let mut fields: Vec<&Field> = definition.fields.iter().collect();
    fields.sort_by_key(|field| field.id);
    let mut filled = Vec::new();
    for field in fields {
        let entry = card.ticket.form.get(&field.key);
        let (value, display_value) = tickets::display::value(app, field, entry).await?;
        filled.push(FilledField {
            id: field.id,
            key: field.key.clone(),
            kind: field.kind,
            name: field.name.clone(),
            desc: field.desc.clone(),
            display_value,
            value,
        });
    }
    Ok(filled)
}

/// Adds the operations that the caller can execute now to a ticket and to each current node. An app without
/// a user can execute none, because every operation needs an acting user.
async fn add_operations(
    request: &Asked,
    card: &TicketCard,
    definition: &Definition,
    body: &mut Ticket,
) -> Result<(), Problem> {
    let app = &request.app;
    let person = match &request.caller.user {
        Some(user) => Some(app.people.find(user).await?),
        None => None,
    };
    let of_ticket = match &person {
        Some(person) => operations::of_ticket(app, card, person).await?,
        None => Vec::new(),
    };
    body.operations = Some(of_ticket);
    for (at, (id, node_run)) in card.ticket.nodes.iter().enumerate() {
        let of_node = match &person {
            Some(person) if node_run.is_current() => {
                operations::of_node(app, card, definition, *id, node_run, person).await?
            }
            _ => Vec::new(),
        };
        body.nodes[at].operations = Some(of_node);
    }
    Ok(())
}

/// Returns whether the caller works on a ticket. Only people who work on a ticket may read its
/// internal remarks.
async fn sees_internal(request: &Asked, card: &TicketCard) -> Result<bool, Problem> {
    match request.caller.user.as_deref() {
        Some(user) => Ok(tickets::may(
            &request.app,
            Permission::ReadInternalRemarks,
            &card.ticket,
            &request.app.people.find(user).await?,
        )
        .await?),
        None => Ok(false),
    }
}

/// Lists the events of a ticket. If the query parameter `at` contains a time, the list omits all
/// later events. The list contains internal remarks only if the caller works on the ticket.
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
    let mut names = Names::over(&request.app.ledger);
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
        times::spell(&mut event, &|at| time(&request.app, at).0);
        names.put_into(&mut event).await?;
        events.push(ShownEvent {
            id: envelope.id(),
            at: time(&request.app, envelope.at),
            actor: request.app.people.name(&envelope.meta.actor).await?,
            event: Open(event),
        });
    }
    Ok(ok(&TicketEvents {
        sn: sn.to_string(),
        events,
    }))
}

/// Lists the remarks of a ticket, oldest first. The query parameter `after` can contain the number
/// of a remark. The list then contains only later remarks. The list contains internal remarks only
/// if the caller works on the ticket.
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
        remarks.push(ShownRemark {
            id: remark.id,
            parent: remark.parent,
            by: app.people.name(&remark.by).await?,
            text: remark.text.read().to_owned(),
            internal: remark.internal,
            mentions: app.people.all_names(&remark.mentions).await?,
            files: remark.files.iter().map(ToString::to_string).collect(),
            at: time(app, envelope.at),
        });
    }
    Ok(ok(&Remarks {
        sn: sn.to_string(),
        count: card.ticket.remarks,
        shown: remarks,
    }))
}
