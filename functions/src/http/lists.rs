//! Lists of tickets, whichever door they are asked for at: pages of the narrowest index, looked through where a filter is no index of its own.

use std::collections::BTreeSet;

use domain::views::ticket_card::TicketCard;
use events::{Moment, Pid};
use infra::Error;
use infra::views::Range;

use crate::App;
use crate::desk::SN_BYTES_MAX;
use crate::people::NAME_MAX;
use crate::stream::follow::stored_card;

/// Cards looked at per step when a filter is not an index of its own.
const STEP: usize = 500;

/// What a list is narrowed to.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// A list of one person: the index it is, and whose.
    pub list: Option<(&'static str, Pid)>,
    pub creator: Option<Pid>,
    pub catalogs: Vec<String>,
    pub sns: BTreeSet<String>,
    pub statuses: Vec<String>,
    pub services: Vec<String>,
    pub businesses: Vec<String>,
    pub kinds: Vec<String>,
    /// What was withdrawn is left out.
    pub is_withdrawn_left_out: bool,
    pub tag: Option<String>,
    pub created: (Option<Moment>, Option<Moment>),
    pub ended: (Option<Moment>, Option<Moment>),
}

/// Which page of a list is wanted, counted from 1.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    This(usize),
    Last,
}

/// One page: the keys of its cards, newest first, and what it is a page of.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Tickets in the whole list.
    pub count: usize,
    pub number: usize,
    pub pages: usize,
    pub keys: Vec<String>,
}

impl Page {
    fn of(count: usize, number: Number, size: usize) -> Self {
        let pages = count.div_ceil(size).max(1);
        let number = match number {
            Number::This(number) => number,
            Number::Last => pages,
        };
        Self { count, number, pages, keys: Vec::new() }
    }
    fn skip(&self, size: usize) -> usize {
        (self.number - 1).saturating_mul(size)
    }
}

/// One page of the tickets that fit.
pub(super) async fn page(app: &App, filter: &Filter, number: Number, size: usize) -> Result<Page, Error> {
    if filter.asks_for_nothing() {
        return Ok(Page::of(0, number, size));
    }
    if filter.is_index_alone() { by_index(app, filter, number, size).await } else { by_filter(app, filter, number, size).await }
}

/// Catalogs and all below them.
pub(super) async fn with_catalogs_below(app: &App, catalogs: Vec<String>) -> Result<Vec<String>, Error> {
    let catalog = app.configuration.catalog().await?;
    let mut all = catalogs;
    let mut next = 0;
    while let Some(id) = all.get(next).cloned() {
        next += 1;
        let below = catalog.shelves.values().filter(|shelf| shelf.parent.is_some_and(|parent| parent.to_string() == id)).map(|shelf| shelf.id.to_string());
        let new: Vec<String> = below.filter(|shelf| !all.contains(shelf)).collect();
        all.extend(new);
    }
    Ok(all)
}

impl Filter {
    /// Says whether it names what nothing is called: names and words longer than any here, which no store takes as a key.
    fn asks_for_nothing(&self) -> bool {
        let is_long = |pid: &Pid| pid.as_str().len() > 4 * NAME_MAX;
        self.creator.as_ref().is_some_and(is_long)
            || self.list.as_ref().is_some_and(|(_, pid)| is_long(pid))
            || (!self.statuses.is_empty() && self.statuses.iter().all(|status| status.len() > NAME_MAX))
            || (!self.sns.is_empty() && self.sns.iter().all(|sn| sn.len() > SN_BYTES_MAX))
    }

    /// Says whether the stretch of [`Filter::narrowest`] is already the whole answer.
    fn is_index_alone(&self) -> bool {
        let narrowed_by_status = self.list.is_none() && self.creator.is_none() && self.statuses.len() == 1;
        let statuses = self.statuses.is_empty() || narrowed_by_status;
        let others =
            self.catalogs.is_empty() && statuses && self.services.is_empty() && self.businesses.is_empty() && self.kinds.is_empty() && self.tag.is_none();
        let ended = self.ended.0.is_some() || self.ended.1.is_some();
        self.sns.is_empty() && others && !ended && (self.creator.is_none() || self.list.is_none())
    }

    /// The index that leaves the fewest tickets, and its stretch: every index is by the time of creation.
    fn narrowest(&self) -> (&'static str, String, String) {
        let (index, whose) = match (&self.list, &self.creator, &self.statuses[..]) {
            (Some((index, pid)), _, _) => (*index, format!("{pid}|")),
            (None, Some(pid), _) => (if self.is_withdrawn_left_out { "mine" } else { "creator" }, format!("{pid}|")),
            (None, None, [status]) => ("status", format!("{status}|")),
            (None, None, _) => (if self.is_withdrawn_left_out { "listed" } else { "ticket" }, String::new()),
        };
        // Times on the wire have whole seconds: one that is named counts to its end.
        let second = |at: Moment| at.0.div_euclid(1000) * 1000;
        let from = self.created.0.map_or_else(|| whose.clone(), |from| format!("{whose}{:016}", second(from)));
        let to = self.created.1.map_or_else(|| format!("{whose}~"), |to| format!("{whose}{:016}", second(to) + 1000));
        (index, from, to)
    }

    fn fits(&self, card: &TicketCard) -> bool {
        let Some(opened) = &card.ticket.opened else { return false };
        // Times on the wire have whole seconds, so the stored one is compared cut to the second.
        let second = |at: Moment| at.0.div_euclid(1000);
        let between = |at: Moment, (from, to): (Option<Moment>, Option<Moment>)| {
            from.is_none_or(|from| second(at) >= second(from)) && to.is_none_or(|to| second(at) <= second(to))
        };
        self.creator.as_ref().is_none_or(|pid| opened.creator == *pid)
            && self.list.as_ref().is_none_or(|(index, pid)| card.index().iter().any(|(name, value)| name == index && value.starts_with(&format!("{pid}|"))))
            && (self.catalogs.is_empty() || self.catalogs.contains(&opened.catalog.to_string()))
            && (self.sns.is_empty() || self.sns.contains(opened.sn.as_str()))
            && (self.statuses.is_empty() || self.statuses.iter().any(|status| status == card.ticket.status_key()))
            && (self.services.is_empty() || self.services.contains(&opened.service.to_string()))
            && (self.businesses.is_empty() || self.businesses.contains(&card.ticket.bk_biz_id().to_string()))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == opened.kind.key()))
            && self.tag.as_ref().is_none_or(|tag| opened.tag == *tag)
            && between(card.created_at, self.created)
            && match (self.ended, card.ended_at) {
                ((None, None), _) => true,
                (_, None) => false,
                (ended, Some(at)) => between(at, ended),
            }
    }
}

/// The count and one page's keys straight from an index, newest first.
async fn by_index(app: &App, filter: &Filter, number: Number, size: usize) -> Result<Page, Error> {
    let (index, from, to) = filter.narrowest();
    if from >= to {
        return Ok(Page::of(0, number, size));
    }
    let count = usize::try_from(app.views.count("ticket", index, &from, &to).await?).unwrap_or(usize::MAX);
    let page = Page::of(count, number, size);
    if page.number > page.pages {
        return Ok(page);
    }
    let range = Range { view: "ticket", index, from: &from, to: &to, descending: true, skip: page.skip(size), limit: size };
    Ok(Page { keys: app.views.range(range).await?.into_iter().map(|entry| entry.key).collect(), ..page })
}

/// The same where cards have to be looked at: the narrowest index is walked, newest first.
async fn by_filter(app: &App, filter: &Filter, number: Number, size: usize) -> Result<Page, Error> {
    let mut fitting = Vec::new();
    if filter.sns.is_empty() {
        let (index, from, mut to) = filter.narrowest();
        let mut at_edge = (String::new(), 0);
        while from < to {
            let range = Range { view: "ticket", index, from: &from, to: &to, descending: true, skip: at_edge.1, limit: STEP };
            let entries = app.views.range(range).await?;
            let Some(last) = entries.last() else { break };
            // Tickets of the same instant may go on into the next step: those that were seen are left out there.
            let seen = if last.value == at_edge.0 { at_edge.1 } else { 0 };
            let next = (last.value.clone(), seen + entries.iter().filter(|entry| entry.value == last.value).count());
            to = format!("{}\u{1}", last.value);
            at_edge = next;
            for entry in entries {
                keep_fitting(app, filter, entry.key, &mut fitting).await?;
            }
            // Long walks let others have their turn, also on a store that never waits.
            tokio::task::yield_now().await;
        }
    } else {
        for sn in filter.sns.iter().rev().filter(|sn| sn.len() <= SN_BYTES_MAX) {
            keep_fitting(app, filter, format!("ticket-{sn}"), &mut fitting).await?;
        }
        fitting.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    }
    let page = Page::of(fitting.len(), number, size);
    Ok(Page { keys: fitting.into_iter().skip(page.skip(size)).take(size).map(|(_, key)| key).collect(), ..page })
}

async fn keep_fitting(app: &App, filter: &Filter, key: String, fitting: &mut Vec<(i64, String)>) -> Result<(), Error> {
    if let Some(document) = app.views.get("ticket", &key).await? {
        let card: TicketCard = stored_card(&key, &document)?;
        if filter.fits(&card) {
            fitting.push((card.created_at.0, key));
        }
    }
    Ok(())
}
