//! Shows one ticket: the form, the picture of the workflow and the timeline (a list of events). People vote, claim a
//! node and add remarks on this page.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::http::StatusCode;
use domain::notification::chat_group::{self as group, ChatGroup};
use domain::permission::Operation;
use domain::ticket::{Command, NodeRun, Rejection, Ticket};
use domain::views::ticket_card::TicketCard;
use events::ticket::{NodeStatus, TicketEvent};
use events::workflow::{Definition, NodeKind};
use events::{NodeId, PersonId, TicketSn, TransitionId};
use infra::ExecuteError;
use infra::commit::hex;
use infra::ledger::command_id;

use super::frame::{Failure, Frame, When, html, redirect, status_of, when};
use super::request::{Form, Visit};
use super::work::{class, processors, title};
use super::{Action, Outcome, Page, chat_group, flow};
use crate::app::attachments;
use crate::app::notifications::chat_groups::{self, NotGrouped};
use crate::app::notifications::visits;
use crate::app::tickets::decide::{NotCast, Vote, decide, fingerprint};
use crate::app::tickets::display::form_rows;
use crate::app::{tickets, wording};

/// Maximum number of timeline entries that the page shows at first.
const ENTRIES: usize = 100;
/// Maximum number of timeline entries on one page after the person has requested all entries.
const ENTRIES_MAX: usize = 5_000;

pub(super) const PAGE: Page = Page {
    name: "tickets",
    path: "/tickets/{sn}",
    label: None,
    is_for_superusers: false,
    show: |visit| Box::pin(async move { show(&visit).await }),
    version: |visit| Box::pin(async move { version(&visit).await }),
    actions: &[
        Action {
            path: "/tickets/{sn}/decide",
            run: |visit, form| Box::pin(async move { vote(&visit, &form).await }),
        },
        Action {
            path: "/tickets/{sn}/claim",
            run: |visit, form| Box::pin(async move { claim(&visit, &form).await }),
        },
        Action {
            path: "/tickets/{sn}/remark",
            run: |visit, form| Box::pin(async move { remark(&visit, &form).await }),
        },
        Action {
            path: "/tickets/{sn}/open-group",
            run: |visit, form| Box::pin(async move { change_group(&visit, &form, true).await }),
        },
        Action {
            path: "/tickets/{sn}/close-group",
            run: |visit, form| Box::pin(async move { change_group(&visit, &form, false).await }),
        },
    ],
};

/// An action that the person may perform on a node of the ticket: a vote or a claim.
struct Turn {
    node: NodeId,
    name: String,
    /// True for a vote, false for a claim.
    is_vote: bool,
    /// The fingerprint (a hash) of the ticket content that the person sees before the vote.
    seen: String,
    /// A random code for one form. If the person clicks the button twice, both requests contain this code, so
    /// the second request has no effect.
    once: String,
    reason: String,
}

/// One node that the ticket has reached.
struct NodeRow {
    name: String,
    round: Option<String>,
    status: &'static str,
    class: &'static str,
    processors: String,
    votes: Vec<VoteRow>,
}

struct VoteRow {
    by: String,
    result: &'static str,
    class: &'static str,
    reason: String,
}

/// One entry of the timeline.
struct Entry {
    at: When,
    actor: String,
    text: String,
    detail: Vec<String>,
    kind: &'static str,
}

#[derive(Template)]
#[template(path = "ticket.html")]
struct TicketPage {
    frame: Frame,
    sn: String,
    title: String,
    status: String,
    class: &'static str,
    facts: Vec<(&'static str, String)>,
    created: When,
    changed: When,
    turns: Vec<Turn>,
    /// A hint that the person must fill in the form of a node. The console does not support these forms yet.
    form_elsewhere: Option<&'static str>,
    remark_once: String,
    remark: String,
    may_remark: bool,
    group: Option<chat_group::Section>,
    form: Vec<(String, String)>,
    picture: String,
    nodes: Vec<NodeRow>,
    timeline: Vec<Entry>,
    /// The text about older timeline entries that the page does not show. The text is empty if all entries are
    /// shown.
    earlier: String,
}

/// The texts that the person entered before an action failed. The page shows these texts again.
#[derive(Default)]
struct Filled {
    reason: String,
    remark: String,
}

/// Returns the ticket number from the URL. The number is a path parameter of a ticket page, or a query
/// parameter of a request for live updates.
fn asked(visit: &Visit) -> TicketSn {
    let sn = match visit.parameter("sn") {
        "" => visit.guest.asked_for("sn").unwrap_or_default(),
        sn => sn,
    };
    TicketSn(sn.to_owned())
}

/// Returns the ticket of the page. Returns an error if the ticket does not exist, or if the person may not see the
/// ticket.
async fn found(visit: &Visit) -> Result<(TicketSn, TicketCard), Failure> {
    let (app, sn) = (visit.app(), asked(visit));
    let card = tickets::card(app, &sn).await?.ok_or(Failure::NoTicket)?;
    if tickets::may(
        app,
        Operation::ReadTicket,
        &card.ticket,
        &visit.session.person,
    )
    .await?
    {
        Ok((sn, card))
    } else {
        Err(Failure::NoTicket)
    }
}

/// Returns the version of a ticket and its chat group: the number of their events. The function does not check the permissions
/// of the person.
async fn version_of(visit: &Visit, sn: &TicketSn) -> Result<String, Failure> {
    if sn.as_str().len() > tickets::SN_BYTES_MAX {
        return Err(Failure::NoTicket);
    }
    let ledger = &visit.app().ledger;
    let ticket = ledger.load::<Ticket>(&sn.stream()).await?;
    let group = ledger.load::<ChatGroup>(&group::stream(sn)).await?;
    Ok((ticket.next + group.next - 1).to_string())
}

async fn version(visit: &Visit) -> Result<String, Failure> {
    let (sn, _) = found(visit).await?;
    version_of(visit, &sn).await
}

async fn show(visit: &Visit) -> Outcome {
    if let Some(sn) = by_number(visit) {
        return Ok(redirect(&format!("/tickets/{sn}")));
    }
    if let Some(token) = visit.guest.asked_for(visits::PARAMETER) {
        let (sn, _) = found(visit).await?;
        visits::record(visit.app(), token, &sn, visit.meta()).await?;
        // The address of the page has no token, so that a person can give it to others.
        let here = visit.guest.here.as_str();
        return Ok(redirect(
            here.split_once('?').map_or(here, |(path, _)| path),
        ));
    }
    let notice = match visit.guest.asked_for("notice") {
        Some("approved") => Some(visit.texts().notice_approved),
        Some("rejected") => Some(visit.texts().notice_rejected),
        Some("claimed") => Some(visit.texts().notice_claimed),
        Some("remarked") => Some(visit.texts().notice_remarked),
        Some("group-opened") => Some(visit.texts().notice_group_opened),
        Some("group-closed") => Some(visit.texts().notice_group_closed),
        _ => None,
    };
    let page = page(visit, Filled::default()).await?;
    let page = TicketPage {
        frame: Frame {
            notice,
            ..page.frame
        },
        ..page
    };
    Ok(html(StatusCode::OK, visit.texts(), &page))
}

/// The URL can contain an integer ticket id instead of a ticket number. In this case, the function returns the ticket
/// number for this id. Links of BlueKing ITSM contain such ids.
fn by_number(visit: &Visit) -> Option<TicketSn> {
    let id = visit.parameter("sn").parse().ok()?;
    domain::number_sequence::sn_of_id(id)
}

/// Shows the ticket again with the reason why an action was not completed. The texts that the person entered are
/// still in the form.
async fn not_done(visit: &Visit, status: StatusCode, problem: String, filled: Filled) -> Outcome {
    let page = page(visit, filled).await?;
    let page = TicketPage {
        frame: Frame {
            problem: Some(problem),
            ..page.frame
        },
        ..page
    };
    Ok(html(status, visit.texts(), &page))
}

async fn page(visit: &Visit, filled: Filled) -> Result<TicketPage, Failure> {
    let (app, texts) = (visit.app(), visit.texts());
    let language = visit.guest.language;
    // The version is read before the ticket. If the ticket changes between the two reads, the page is newer
    // than its version. The first live update then loads the page again without need.
    let version = version_of(visit, &asked(visit)).await?;
    let (sn, card) = found(visit).await?;
    let ticket = &card.ticket;
    let opened = ticket.opened.as_ref().ok_or(Failure::NoTicket)?;
    let workflow = app
        .configuration
        .workflow(opened.workflow, opened.workflow_version)
        .await?;
    let empty = Definition::default();
    let definition = workflow.as_ref().map_or(&empty, |one| &one.definition);
    let mut facts = vec![
        (texts.service, opened.service_name.clone()),
        (texts.creator, app.people.name(&opened.creator).await?),
    ];
    if let Some(priority) = ticket.priority() {
        let options = app.configuration.options_of("PRIORITY").await?;
        let name = options
            .and_then(|options| domain::options::path(&options, &priority.key))
            .map_or_else(|| priority.key.clone(), |names| names.join(""));
        facts.push((texts.priority, name));
    }
    let (timeline, taken, earlier) = timeline(visit, &sn, ticket, definition).await?;
    let labels = flow::Labels {
        title: texts.flow,
        done: texts.done_state,
        current: texts.current_state,
        failed: texts.failed_state,
        future: texts.future_state,
        round: texts.round,
        start: texts.start,
        end: texts.end,
    };
    let query = format!("sn={sn}");
    Ok(TicketPage {
        frame: Frame {
            here: format!("/tickets/{sn}"),
            ..Frame::of(visit).with_live(app, PAGE.name, &query, version)
        },
        title: title(visit, ticket),
        status: wording::ticket_status(language, ticket.status_key()),
        class: class(ticket),
        facts,
        created: when(app, language, card.created_at),
        changed: when(app, language, card.updated_at),
        turns: turns(visit, ticket, &filled.reason),
        form_elsewhere: has_form(visit, ticket).then_some(texts.form_elsewhere),
        remark_once: fresh(visit),
        remark: filled.remark,
        may_remark: may_remark(visit, &sn).await?,
        group: chat_group::section(visit, &sn, ticket, fresh(visit)).await?,
        form: form_rows(app, &card, definition, texts.erased).await?,
        picture: flow::picture(definition, ticket, &taken, &labels),
        nodes: node_rows(visit, ticket).await?,
        timeline,
        earlier,
        sn: sn.0,
    })
}

fn fresh(visit: &Visit) -> String {
    hex(&visit.app().ledger.fresh_id())
}

/// Returns the votes and claims that the person may make now.
fn turns(visit: &Visit, ticket: &Ticket, reason: &str) -> Vec<Turn> {
    let person = &visit.session.person;
    let is_running = ticket.status == domain::ticket::Status::Running && ticket.parent().is_none();
    let acts = |run: &NodeRun| !run.automatic && ticket.may_act(run, person);
    ticket
        .current()
        .filter(|(_, run)| is_running && acts(run))
        .filter_map(|(node, run)| {
            let is_vote = match run.status {
                NodeStatus::Running if run.is_vote => true,
                NodeStatus::Receiving => false,
                _ => return None,
            };
            Some(Turn {
                node,
                name: run.name.clone(),
                is_vote,
                seen: fingerprint(ticket, node),
                once: fresh(visit),
                reason: reason.to_owned(),
            })
        })
        .collect()
}

/// Returns true if the person must fill in the form of a node.
fn has_form(visit: &Visit, ticket: &Ticket) -> bool {
    let person = &visit.session.person;
    ticket.status == domain::ticket::Status::Running
        && ticket.current().any(|(_, run)| {
            run.status == NodeStatus::Running
                && !run.is_vote
                && !run.automatic
                && ticket.may_act(run, person)
        })
}

/// Returns true if the person may add a remark to the ticket.
async fn may_remark(visit: &Visit, sn: &TicketSn) -> Result<bool, Failure> {
    let remark = Command::Remark {
        text: "-".into(),
        parent: None,
        mentions: Vec::new(),
        internal: false,
        files: Vec::new(),
        by: visit.session.person.clone(),
    };
    let app = visit.app();
    match app
        .ledger
        .foresee(&sn.stream(), &remark, &*app.configuration)
        .await
    {
        Ok(_) => Ok(true),
        Err(ExecuteError::Rejected(_)) => Ok(false),
        Err(ExecuteError::Technical(error)) => Err(error.into()),
    }
}

async fn node_rows(visit: &Visit, ticket: &Ticket) -> Result<Vec<NodeRow>, Failure> {
    let (app, texts) = (visit.app(), visit.texts());
    let mut rows = Vec::new();
    for run in ticket.nodes.values() {
        let mut votes = Vec::new();
        for vote in &run.votes {
            votes.push(VoteRow {
                by: app.people.name(&vote.by).await?,
                result: if vote.pass {
                    texts.passed
                } else {
                    texts.rejected
                },
                class: if vote.pass { "good" } else { "bad" },
                reason: vote.reason.read().to_owned(),
            });
        }
        let processors = match &run.by {
            Some(by) if !run.is_current() => app.people.name(by).await?,
            _ => processors(visit, run).await?,
        };
        rows.push(NodeRow {
            name: run.name.clone(),
            round: (run.round > 1).then(|| (texts.round)(run.round)),
            status: wording::node_status(visit.guest.language, run.status),
            class: match run.status {
                NodeStatus::Finished => "good",
                NodeStatus::Failed | NodeStatus::Terminated => "bad",
                _ => "open",
            },
            processors,
            votes,
        });
    }
    Ok(rows)
}

/// Returns the timeline entries from the newest to the oldest. Also returns the transitions that the ticket has
/// taken, and a text about entries that are not shown.
async fn timeline(
    visit: &Visit,
    sn: &TicketSn,
    ticket: &Ticket,
    definition: &Definition,
) -> Result<(Vec<Entry>, BTreeSet<TransitionId>, String), Failure> {
    let (app, language) = (visit.app(), visit.guest.language);
    let sees_internal = tickets::may(
        app,
        Operation::ReadInternalRemarks,
        ticket,
        &visit.session.person,
    )
    .await?;
    let history = tickets::history(&app.ledger, &sn.stream()).await?;
    // A new ticket is already at its submit node (the node with the first form). No event records the
    // transition from the start node to this node.
    let start = definition
        .nodes
        .iter()
        .find(|node| node.kind == NodeKind::Start);
    let first = definition
        .transitions
        .iter()
        .filter(|transition| start.is_some_and(|start| start.id == transition.from))
        .map(|transition| transition.id);
    let taken = history
        .iter()
        .filter_map(|envelope| match &envelope.event {
            TicketEvent::TransitionTaken(taken) => Some(taken.transition),
            _ => None,
        })
        .chain(first)
        .collect();
    let shown: Vec<_> = history
        .iter()
        .rev()
        .filter(|envelope| match &envelope.event {
            TicketEvent::RemarkAdded(remark) => sees_internal || !remark.internal,
            _ => true,
        })
        .collect();
    let most = match visit.guest.asked_for("timeline") {
        Some("all") => ENTRIES_MAX,
        _ => ENTRIES,
    };
    let mut known: BTreeMap<PersonId, String> = BTreeMap::new();
    let mut entries = Vec::new();
    for envelope in shown.iter().take(most) {
        let people = wording::people(&envelope.event).into_iter().cloned();
        let others = wording::people_in_values(&envelope.event);
        for person in people.chain(others).chain([envelope.meta.actor.clone()]) {
            if let MapEntry::Vacant(unknown) = known.entry(person) {
                let name = app.people.name(unknown.key()).await?;
                unknown.insert(name);
            }
        }
        let name = |person: &PersonId| {
            known
                .get(person)
                .map_or(person.as_str(), String::as_str)
                .to_owned()
        };
        if let Some(mut line) = wording::line(language, &envelope.event, &name, definition) {
            line.detail.extend(files_of(visit, &envelope.event).await?);
            entries.push(Entry {
                at: when(app, language, envelope.at),
                actor: if envelope.meta.actor.is_system() {
                    visit.texts().automatic.into()
                } else {
                    name(&envelope.meta.actor)
                },
                text: line.text,
                detail: line.detail,
                kind: line.kind,
            });
        }
    }
    let rest = shown.len().saturating_sub(most);
    let earlier = if rest > 0 {
        (visit.texts().earlier)(rest)
    } else {
        String::new()
    };
    Ok((entries, taken, earlier))
}

/// Returns one line with the name and the size for each file of a remark. The list is empty for any other event.
async fn files_of(visit: &Visit, event: &TicketEvent) -> Result<Vec<String>, Failure> {
    let TicketEvent::RemarkAdded(remark) = event else {
        return Ok(Vec::new());
    };
    let texts = visit.texts();
    let mut lines = Vec::new();
    for id in &remark.files {
        let attachment = attachments::load(visit.app(), id).await?;
        let started = attachment.upload_started.as_ref();
        let stored = started.map(|started| started.name.read());
        // The name of an erased person's file is empty.
        let name = stored.filter(|name| !name.is_empty());
        let bytes = attachment.uploaded.as_ref().map_or(0, |file| file.bytes);
        lines.push((texts.file)(
            name.unwrap_or(texts.erased),
            bytes.div_ceil(1_024),
        ));
    }
    Ok(lines)
}

/// Returns the command id for a form. If the browser sends the same form twice, both commands have the same id,
/// and the second command has no effect.
fn id_of(visit: &Visit, form: &Form) -> [u8; 16] {
    command_id(&["console", visit.session.person.as_str(), &form.text("once")])
}

async fn vote(visit: &Visit, form: &Form) -> Outcome {
    let (sn, _) = found(visit).await?;
    let pass = match form.text("decision").as_str() {
        "approve" => true,
        "reject" => false,
        _ => return Err(Failure::BadForm),
    };
    let node = form.text("node").parse().map_err(|_| Failure::BadForm)?;
    let vote = Vote {
        node: NodeId(node),
        pass,
        reason: form.text("reason").trim().to_owned(),
        seen: form.text("seen"),
        by: visit.session.person.clone(),
    };
    let filled = Filled {
        reason: vote.reason.clone(),
        ..Filled::default()
    };
    match decide(visit.app(), &sn, &vote, &visit.meta(), id_of(visit, form)).await {
        Ok(()) => {
            let notice = if pass { "approved" } else { "rejected" };
            Ok(redirect(&format!("/tickets/{sn}?notice={notice}")))
        }
        Err(NotCast::Changed) => {
            let problem = visit.texts().content_changed.to_owned();
            not_done(visit, StatusCode::CONFLICT, problem, filled).await
        }
        Err(NotCast::Failed(failure)) => refused(visit, failure, filled).await,
    }
}

async fn claim(visit: &Visit, form: &Form) -> Outcome {
    let node = form.text("node").parse().map_err(|_| Failure::BadForm)?;
    let command = Command::Claim {
        node: NodeId(node),
        reason: String::new(),
        by: visit.session.person.clone(),
    };
    act(visit, form, &command, "claimed", Filled::default()).await
}

async fn remark(visit: &Visit, form: &Form) -> Outcome {
    let text = form.text("text").trim().to_owned();
    let command = Command::Remark {
        text: text.clone(),
        parent: None,
        mentions: Vec::new(),
        internal: false,
        files: Vec::new(),
        by: visit.session.person.clone(),
    };
    let filled = Filled {
        remark: text,
        ..Filled::default()
    };
    act(visit, form, &command, "remarked", filled).await
}

/// Creates the chat group of the ticket, or closes it.
async fn change_group(visit: &Visit, form: &Form, opens: bool) -> Outcome {
    let (sn, _) = found(visit).await?;
    let (app, person) = (visit.app(), &visit.session.person);
    // Both forms of the page have the same value of `once`.
    let change = if opens { "open-group" } else { "close-group" };
    let once = form.text("once");
    let id = command_id(&["console", change, visit.session.person.as_str(), &once]);
    let meta = visit.meta();
    let changed = if opens {
        chat_groups::request_by(app, &sn, person, id, meta).await
    } else {
        chat_groups::close_by(app, &sn, person, id, meta).await
    };
    let notice = if opens {
        "group-opened"
    } else {
        "group-closed"
    };
    let reason = match changed {
        Ok(()) => return Ok(redirect(&format!("/tickets/{sn}?notice={notice}"))),
        Err(NotGrouped::Technical(error)) => return Err(error.into()),
        Err(reason) => reason,
    };
    let text = chat_groups::refusal(app, &reason, visit.guest.language).await?;
    let status = chat_group::status_of(&reason);
    not_done(visit, status, text, Filled::default()).await
}

/// Executes a command on the ticket. Then redirects the browser to the ticket page, which shows a message about
/// the success.
async fn act(
    visit: &Visit,
    form: &Form,
    command: &Command,
    notice: &str,
    filled: Filled,
) -> Outcome {
    let (sn, _) = found(visit).await?;
    let id = id_of(visit, form);
    match tickets::act(visit.app(), &sn, command, &visit.meta(), id, None).await {
        Ok(_) => Ok(redirect(&format!("/tickets/{sn}?notice={notice}"))),
        Err(failure) => refused(visit, failure, filled).await,
    }
}

/// Shows the ticket page again with the reason why an action was rejected.
async fn refused(visit: &Visit, failure: ExecuteError<Ticket>, filled: Filled) -> Outcome {
    let rejection: Rejection = match failure {
        ExecuteError::Technical(error) => return Err(error.into()),
        ExecuteError::Rejected(rejection) => rejection,
    };
    let text = wording::named_rejection(visit.app(), visit.guest.language, &rejection).await?;
    not_done(visit, status_of(&rejection), text, filled).await
}
