//! Shows the work list of a person: the tickets that wait for this person, and other lists of the person.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use domain::ticket::{NodeRun, Ticket};
use domain::views::Card as _;
use domain::views::ticket_card::TicketCard;
use infra::Error;

use super::frame::{Frame, When, html, when};
use super::request::Visit;
use super::table::{Pager, or_dash, pager};
use super::{Outcome, Page};
use crate::app::cards::{self, Documents};
use crate::app::permissions::Reader;
use crate::app::tickets::list::{self, Filter, LISTS, Number};
use crate::app::wording;

/// Maximum number of tickets on one page.
const ROWS: usize = 25;
/// The ticket lists for which the page always shows the number of tickets. The tickets in these lists wait for
/// the person.
const COUNTED: [&str; 3] = ["todo", "approval", "claim"];

pub(super) const PAGE: Page = Page {
    name: "work",
    path: "/",
    label: Some(|texts| texts.work),
    is_for_superusers: false,
    show: |visit| Box::pin(async move { show(&visit).await }),
    version: |visit| Box::pin(async move { Ok(Contents::read(&visit).await?.version(&visit)) }),
    actions: &[],
};

/// A link to one ticket list of the person.
struct Tab {
    href: String,
    label: &'static str,
    /// The number of tickets in the list. The text is empty if the page does not show the number.
    count: String,
    is_current: bool,
}

/// One ticket of the list.
struct Row {
    sn: String,
    title: String,
    service: String,
    status: String,
    /// The CSS class that selects the color of the status.
    class: &'static str,
    /// The name of each current node, followed by the people who must process the node.
    waits_for: Vec<String>,
    creator: String,
    changed: When,
}

#[derive(Template)]
#[template(path = "work.html")]
struct WorkPage {
    frame: Frame,
    heading: &'static str,
    tabs: Vec<Tab>,
    count: String,
    empty: &'static str,
    rows: Vec<Row>,
    pager: Pager,
}

/// Returns the name of the requested ticket list and the name of the index that contains the tickets of the list. If
/// the request contains no valid name, returns the first list.
fn asked(visit: &Visit) -> (&'static str, &'static str) {
    let name = visit.guest.asked_for("list").unwrap_or_default();
    LISTS
        .into_iter()
        .find(|(known, _)| *known == name)
        .unwrap_or(LISTS[0])
}

fn label(visit: &Visit, list: &str) -> &'static str {
    let texts = visit.texts();
    match list {
        "todo" => texts.todo,
        "approval" => texts.approval,
        "claim" => texts.claim_list,
        "created" => texts.created,
        "dealt" => texts.dealt,
        _ => texts.following,
    }
}

fn filter(visit: &Visit, index: &'static str) -> Filter {
    Filter {
        list: Some((index, visit.session.person.clone())),
        ..Filter::default()
    }
}

fn reader(visit: &Visit) -> Reader {
    Reader::person(visit.session.person.clone())
}

async fn length(visit: &Visit, index: &'static str) -> Result<usize, Error> {
    let page = list::page(
        visit.app(),
        &filter(visit, index),
        &reader(visit),
        Number::This(1),
        1,
    )
    .await?;
    Ok(page.count)
}

/// The content of one page of a work list.
struct Contents {
    /// The number of tickets in each list of [`COUNTED`].
    counts: BTreeMap<&'static str, usize>,
    documents: Documents,
}

impl Contents {
    async fn read(visit: &Visit) -> Result<Self, Error> {
        let app = visit.app();
        let mut counts = BTreeMap::new();
        for (list, index) in LISTS.into_iter().filter(|(list, _)| COUNTED.contains(list)) {
            counts.insert(list, length(visit, index).await?);
        }
        let number = Number::This(visit.guest.page_number());
        let (_, index) = asked(visit);
        let page = list::page(app, &filter(visit, index), &reader(visit), number, ROWS).await?;
        let found = cards::documents_of(app, TicketCard::VIEW, page.keys.into_iter()).await?;
        let documents = Documents {
            count: page.count as u64,
            found,
        };
        Ok(Self { counts, documents })
    }

    /// Returns a hash that changes whenever the list or a ticket on the page changes. The hash also changes if
    /// the length of a list in [`COUNTED`] changes.
    fn version(&self, visit: &Visit) -> String {
        let (name, _) = asked(visit);
        let context = format!("{name} {:?}", self.counts);
        self.documents.version(context.as_bytes())
    }
}

async fn show(visit: &Visit) -> Outcome {
    let (app, texts) = (visit.app(), visit.texts());
    let (name, _) = asked(visit);
    let contents = Contents::read(visit).await?;
    let tabs = LISTS.map(|(tab, _)| Tab {
        href: format!("/?list={tab}"),
        label: label(visit, tab),
        count: contents
            .counts
            .get(tab)
            .map_or_else(String::new, usize::to_string),
        is_current: tab == name,
    });
    let mut rows = Vec::new();
    for (_, card) in contents.documents.cards(&app.ledger).await? {
        rows.extend(row(visit, &card).await?);
    }
    let count = contents.documents.count;
    let query = format!("list={name}&page={}", visit.guest.page_number());
    let page = WorkPage {
        frame: Frame::of(visit).with_live(app, PAGE.name, &query, contents.version(visit)),
        heading: label(visit, name),
        tabs: tabs.into(),
        count: (texts.count)(count),
        empty: (texts.empty_list)(name),
        rows,
        pager: pager(visit, count, ROWS, &format!("list={name}&")),
    };
    Ok(html(StatusCode::OK, texts, &page))
}

async fn row(visit: &Visit, card: &TicketCard) -> Result<Option<Row>, Error> {
    let app = visit.app();
    let ticket = &card.ticket;
    let Some(opened) = &ticket.opened else {
        return Ok(None);
    };
    let mut waits_for = Vec::new();
    for (_, run) in ticket.current() {
        waits_for.push(format!("{}: {}", run.name, processors(visit, run).await?));
    }
    Ok(Some(Row {
        sn: opened.sn.0.clone(),
        title: title(visit, ticket),
        service: opened.service_name.clone(),
        status: wording::ticket_status(visit.guest.language, ticket.status_key()),
        class: class(ticket),
        waits_for,
        creator: app.people.name(&opened.creator).await?,
        changed: when(app, visit.guest.language, card.updated_at),
    }))
}

/// Returns the title of a ticket. If the title is empty or erased, returns a fixed text instead.
pub(super) fn title(visit: &Visit, ticket: &Ticket) -> String {
    let is_erased = ticket
        .form
        .get("title")
        .is_some_and(events::Entry::is_erased);
    match ticket.title() {
        _ if is_erased => visit.texts().erased.into(),
        title if title.trim().is_empty() => visit.texts().untitled.into(),
        title => title,
    }
}

/// Returns the CSS class that selects the color of the ticket status.
pub(super) fn class(ticket: &Ticket) -> &'static str {
    use domain::ticket::Status;
    match ticket.status {
        Status::Finished => "good",
        Status::Terminated | Status::Revoked => "bad",
        Status::Suspended => "paused",
        Status::None | Status::Running | Status::RowImported => "open",
    }
}

/// Returns the names of the people who must process a node. Returns a fixed text if the node is automatic or if
/// everyone may process the node.
pub(super) async fn processors(visit: &Visit, run: &NodeRun) -> Result<String, Error> {
    let texts = visit.texts();
    if run.automatic && !run.is_failed_call() {
        return Ok(texts.automatic.into());
    }
    if run.is_open_to_all() {
        return Ok(texts.everyone.into());
    }
    let waiting = run.waiting_for();
    let names = visit.app().people.all_names(&waiting).await?;
    Ok(or_dash(&names.join(", ")))
}
