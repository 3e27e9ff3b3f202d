//! Shows a list of cards (stored summaries of objects) as a table. The pages for superusers use this module.

use askama::Template;
use async_trait::async_trait;
use axum::http::StatusCode;
use domain::views::Card;
use infra::Error;

use super::frame::{Failure, Frame, When, html};
use super::request::Visit;
use super::texts::Texts;
use super::{Outcome, Page};
use crate::app::cards::{self, CardList, Documents};

/// Maximum number of table rows on one page.
const ROWS: usize = 50;

/// One cell of a table.
pub(super) enum Cell {
    Text(String),
    Link {
        href: String,
        text: String,
    },
    /// The state of an object. The CSS class `open`, `good` or `bad` selects the color of the state.
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
        // A message about a channel account belongs to no ticket.
        if sn.is_empty() {
            return Self::text(sn);
        }
        Self::Link {
            href: format!("/tickets/{sn}"),
            text: sn.to_owned(),
        }
    }
}

/// The links to the previous and the next page of a list, and a text with the page number.
pub(super) struct Pager {
    pub(super) text: String,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
}

/// Returns the links to the other pages of a list. `query` contains the URL parameters that all these links
/// have in common.
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

/// The fixed texts of a table: the heading, the text for an empty table, and the column names.
pub(super) struct Head {
    pub(super) heading: &'static str,
    pub(super) empty: &'static str,
    pub(super) columns: Vec<&'static str>,
}

/// A kind of card (a stored summary of an object) that a page of the console lists.
#[async_trait]
pub(super) trait Listing: Card {
    /// The name of the page in the URL of its live updates.
    const NAME: &'static str;
    const PATH: &'static str;
    /// The name of the index that contains all cards (stored summaries of objects) of this kind.
    const INDEX: &'static str;

    fn head(texts: &'static Texts) -> Head;
    /// Returns the table cells for one card (the stored summary of an object). Returns `None` for a card that the page
    /// does not show.
    async fn row(&self, visit: &Visit) -> Result<Option<Vec<Cell>>, Error>;
}

/// Returns a page for superusers that lists all cards (stored summaries of objects) of one kind, latest first. `label`
/// is the label of the page in the navigation.
pub(super) const fn page<L: Listing>(label: fn(&Texts) -> &'static str) -> Page {
    Page {
        name: L::NAME,
        path: L::PATH,
        label: Some(label),
        is_for_superusers: true,
        show: |visit| Box::pin(async move { show::<L>(&visit).await }),
        version: |visit| Box::pin(async move { Ok(documents::<L>(&visit).await?.version(&[])) }),
        actions: &[],
    }
}

async fn documents<L: Listing>(visit: &Visit) -> Result<Documents, Failure> {
    let list = CardList::whole(L::INDEX);
    Ok(cards::documents::<L>(visit.app(), &list, visit.guest.page_number(), ROWS).await?)
}

async fn show<L: Listing>(visit: &Visit) -> Outcome {
    let (app, texts) = (visit.app(), visit.texts());
    let documents = documents::<L>(visit).await?;
    let mut rows = Vec::new();
    for (_, card) in documents.cards::<L>(&app.ledger).await? {
        rows.extend(card.row(visit).await?);
    }
    let head = L::head(texts);
    let query = format!("page={}", visit.guest.page_number());
    let shown = TablePage {
        frame: Frame::of(visit).with_live(app, L::NAME, &query, documents.version(&[])),
        heading: head.heading,
        count: (texts.count)(documents.count),
        empty: head.empty,
        columns: head.columns,
        rows,
        pager: pager(visit, documents.count, ROWS, ""),
    };
    Ok(html(StatusCode::OK, texts, &shown))
}

/// Returns a dash instead of an empty text.
pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() { "–" } else { text }.to_owned()
}
