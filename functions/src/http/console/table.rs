//! Shows a list of cards (stored summaries of streams) as a table. Pages for operators use this module.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use domain::views::Card;

use super::Page;
use super::frame::{Failure, Frame, When, html};
use super::request::Visit;
use crate::app::cards::{self, CardList, CardPage};

/// The number of rows on one page.
const ROWS: usize = 50;

/// One cell of a table.
pub(super) enum Cell {
    Text(String),
    Link {
        href: String,
        text: String,
    },
    /// A state. The class selects the color: `open`, `good` or `bad`.
    State {
        class: &'static str,
        text: String,
    },
    Time(When),
}

impl Cell {
    /// Returns a cell with a text. An empty text becomes a dash.
    pub(super) fn text(text: &str) -> Self {
        Self::Text(or_dash(text))
    }

    /// Returns a cell with a link to a ticket.
    pub(super) fn ticket(sn: &str) -> Self {
        Self::Link {
            href: format!("/tickets/{sn}"),
            text: sn.to_owned(),
        }
    }
}

/// The links to the other pages of a list.
pub(super) struct Pager {
    pub(super) text: String,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
}

/// Returns the links to the other pages of a list. `query` contains the other parameters of the list.
pub(super) fn pager(visit: &Visit, count: u64, size: usize, query: &str) -> Pager {
    let page = visit.guest.page_number() as u64;
    let pages = count.div_ceil(size as u64).max(1);
    let link = |page: u64| format!("?{query}page={page}");
    Pager {
        text: (visit.texts().page_of)(page, pages),
        previous: (page > 1).then(|| link(page - 1)),
        next: (page < pages).then(|| link(page + 1)),
    }
}

#[derive(Template)]
#[template(path = "table.html")]
struct TablePage {
    frame: Frame,
    heading: &'static str,
    count: String,
    empty: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    pager: Pager,
}

/// The fixed texts of a table.
pub(super) struct Head {
    pub(super) heading: &'static str,
    pub(super) empty: &'static str,
    pub(super) columns: Vec<&'static str>,
}

/// Returns one page of all cards in an index, latest first.
pub(super) async fn selected<C: Card>(
    visit: &Visit,
    index: &'static str,
) -> Result<CardPage<C>, Failure> {
    let list = CardList::whole(index);
    Ok(cards::page::<C>(visit.app(), &list, visit.guest.page_number(), ROWS).await?)
}

/// Shows the rows of one page of a table. `count` is the number of all rows, and `version` is the version of the
/// page before its rows were read.
pub(super) fn show(
    visit: &Visit,
    page: &Page,
    head: Head,
    version: String,
    count: u64,
    rows: Vec<Vec<Cell>>,
) -> Response {
    let texts = visit.texts();
    let query = format!("page={}", visit.guest.page_number());
    let shown = TablePage {
        frame: Frame::of(visit).with_live(visit.app(), page.name, &query, version),
        heading: head.heading,
        count: (texts.count)(count),
        empty: head.empty,
        columns: head.columns,
        rows,
        pager: pager(visit, count, ROWS, ""),
    };
    html(StatusCode::OK, texts, &shown)
}

/// Returns a text that changes whenever a card of the page changes.
pub(super) async fn version<C: Card>(
    visit: &Visit,
    index: &'static str,
) -> Result<String, Failure> {
    let number = visit.guest.page_number();
    Ok(cards::version::<C>(visit.app(), &CardList::whole(index), number, ROWS).await?)
}

/// Returns a dash instead of an empty text.
pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() { "–" } else { text }.to_owned()
}
