//! Lists of tickets for both APIs. A list without conditions is one stretch of an index, which the store counts. Other lists are walked: the indexes that a
//! ticket must be in are read side by side, newest first, and each row is held against the conditions by its facets. No document is read for a ticket that
//! is not shown.

use std::collections::{BTreeSet, HashSet, VecDeque};

use domain::views::ticket_card::{Facets, TicketCard};
use events::{Moment, Pid};
use infra::Error;
use infra::views::{Entry, Range};

use crate::App;
use crate::desk::SN_BYTES_MAX;
use crate::people::NAME_MAX;
use crate::stream::follow::stored_card;

/// Rows of an index that are read at once.
const STEP: usize = 500;
/// Values that one condition may name: more than any page offers, few enough to be compared at once.
pub const PARTS_MAX: usize = 1_000;

/// What a list is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
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
pub enum Number {
    This(usize),
    Last,
}

/// One page: the keys of its cards, newest first, and what it is a page of.
#[derive(Clone, Debug)]
pub struct Page {
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
pub async fn page(app: &App, filter: &Filter, number: Number, size: usize) -> Result<Page, Error> {
    let Some(plan) = Plan::of(filter) else { return Ok(Page::of(0, number, size)) };
    if !filter.sns.is_empty() {
        return by_number(app, filter, &plan, number, size).await;
    }
    match plan.alone() {
        Some(stretch) => by_index(app, stretch, number, size).await,
        None => by_walk(app, &plan, number, size).await,
    }
}

/// Catalogs and all below them.
pub async fn with_catalogs_below(app: &App, catalogs: Vec<String>) -> Result<Vec<String>, Error> {
    let catalog = app.configuration.catalog().await?;
    let mut known: HashSet<String> = catalogs.iter().cloned().collect();
    let mut all = catalogs;
    let mut next = 0;
    while let Some(id) = all.get(next).cloned() {
        next += 1;
        let below = catalog.shelves.values().filter(|shelf| shelf.parent.is_some_and(|parent| parent.to_string() == id)).map(|shelf| shelf.id.to_string());
        all.extend(below.filter(|shelf| known.insert(shelf.clone())));
    }
    Ok(all)
}

impl Filter {
    /// The condition that names more than [`PARTS_MAX`] values.
    pub fn too_many(&self) -> Option<&'static str> {
        let counts = [
            ("sns", self.sns.len()),
            ("status", self.statuses.len()),
            ("service", self.services.len()),
            ("catalog", self.catalogs.len()),
            ("bk_biz_id", self.businesses.len()),
            ("kind", self.kinds.len()),
        ];
        counts.into_iter().find(|(_, n)| *n > PARTS_MAX).map(|(name, _)| name)
    }

    /// Says whether a ticket that is named by its number fits.
    fn fits(&self, plan: &Plan, card: &TicketCard) -> bool {
        let Some(facets) = Facets::of(card) else { return false };
        self.list.as_ref().is_none_or(|(index, pid)| card.index().iter().any(|(name, value)| name == index && value.starts_with(&format!("{pid}|"))))
            && (self.statuses.is_empty() || self.statuses.iter().any(|status| status == card.ticket.status_key()))
            && plan.conditions.fit(&facets)
            && is_between(card.created_at, self.created)
            && match (self.ended, card.ended_at) {
                ((None, None), _) => true,
                (_, None) => false,
                (ended, Some(at)) => is_between(at, ended),
            }
    }
}

/// Times on the wire have whole seconds, so a stored one is compared cut to the second.
fn second(at: Moment) -> i64 {
    at.0.div_euclid(1000)
}

fn is_between(at: Moment, (from, to): (Option<Moment>, Option<Moment>)) -> bool {
    from.is_none_or(|from| second(at) >= second(from)) && to.is_none_or(|to| second(at) <= second(to))
}

/// Conditions on the facets of a row. An empty set accepts every value.
#[derive(Debug, Default)]
struct Conditions {
    creator: Option<Pid>,
    catalogs: HashSet<String>,
    services: HashSet<String>,
    businesses: HashSet<String>,
    kinds: HashSet<String>,
    tag: Option<String>,
}

impl Conditions {
    fn of(filter: &Filter) -> Self {
        let set = |parts: &[String]| parts.iter().cloned().collect();
        Self {
            creator: filter.creator.clone(),
            catalogs: set(&filter.catalogs),
            services: set(&filter.services),
            businesses: set(&filter.businesses),
            kinds: set(&filter.kinds),
            tag: filter.tag.clone(),
        }
    }

    fn fit(&self, facets: &Facets) -> bool {
        let has = |set: &HashSet<String>, value: &str| set.is_empty() || set.contains(value);
        self.creator.as_ref().is_none_or(|pid| facets.creator == *pid)
            && has(&self.catalogs, &facets.catalog.to_string())
            && has(&self.services, &facets.service.to_string())
            && has(&self.businesses, &facets.bk_biz_id.to_string())
            && has(&self.kinds, facets.kind.key())
            && self.tag.as_ref().is_none_or(|tag| facets.tag == *tag)
    }
}

/// One stretch of an index.
#[derive(Clone, Debug)]
struct Stretch {
    index: &'static str,
    /// The beginning of its values: the owner and a bar, or nothing.
    owner: String,
    from: String,
    to: String,
}

/// The lists that a ticket must be in, each a union of stretches, and the conditions on its facets; `None` if one is not needed.
#[derive(Debug)]
struct Plan {
    lists: Vec<Vec<Stretch>>,
    conditions: Conditions,
    has_conditions: bool,
    ended: (Option<Moment>, Option<Moment>),
}

impl Plan {
    /// `None` if the filter names people, words or times that no ticket can have.
    fn of(filter: &Filter) -> Option<Self> {
        let is_long = |pid: &Pid| pid.as_str().len() > 4 * NAME_MAX;
        if filter.creator.as_ref().is_some_and(is_long) || filter.list.as_ref().is_some_and(|(_, pid)| is_long(pid)) {
            return None;
        }
        let statuses: BTreeSet<&String> = filter.statuses.iter().filter(|status| status.len() <= NAME_MAX).collect();
        let (from, to) = (filter.created.0.map(|from| second(from) * 1000), filter.created.1.map(|to| (second(to) + 1) * 1000));
        let nothing_is_between = from.zip(to).is_some_and(|(from, to)| from >= to);
        if nothing_is_between || (statuses.is_empty() && !filter.statuses.is_empty()) {
            return None;
        }
        let stretch = |index: &'static str, owner: String| Stretch {
            from: from.map_or_else(|| owner.clone(), |from| format!("{owner}{:016}", from.max(0))),
            to: to.map_or_else(|| format!("{owner}~"), |to| format!("{owner}{:016}", to.max(0))),
            index,
            owner,
        };
        let mut conditions = Conditions::of(filter);
        let mut lists = Vec::new();
        match (&filter.list, &filter.creator) {
            (Some((index, pid)), _) => lists.push(vec![stretch(index, format!("{pid}|"))]),
            (None, Some(pid)) => {
                lists.push(vec![stretch(if filter.is_withdrawn_left_out { "mine" } else { "creator" }, format!("{pid}|"))]);
                conditions.creator = None;
            }
            (None, None) => {}
        }
        if !statuses.is_empty() {
            lists.push(statuses.into_iter().map(|status| stretch("status", format!("{status}|"))).collect());
        }
        if lists.is_empty() {
            lists.push(vec![stretch(if filter.is_withdrawn_left_out { "listed" } else { "ticket" }, String::new())]);
        }
        if filter.ended.0.is_some() || filter.ended.1.is_some() {
            lists.push(vec![stretch("ended", String::new())]);
        }
        let has_conditions = conditions.creator.is_some()
            || conditions.tag.is_some()
            || [&conditions.catalogs, &conditions.services, &conditions.businesses, &conditions.kinds].iter().any(|set| !set.is_empty());
        Some(Self { lists, conditions, has_conditions, ended: filter.ended })
    }

    /// The stretch that is the whole list already.
    fn alone(&self) -> Option<&Stretch> {
        match &self.lists[..] {
            [list] if !self.has_conditions && list.len() == 1 => list.first(),
            _ => None,
        }
    }
}

/// The count and one page's keys straight from an index, newest first.
async fn by_index(app: &App, Stretch { index, from, to, .. }: &Stretch, number: Number, size: usize) -> Result<Page, Error> {
    let count = usize::try_from(app.views.count("ticket", index, from, to).await?).unwrap_or(usize::MAX);
    let page = Page::of(count, number, size);
    if page.number > page.pages {
        return Ok(page);
    }
    let range = Range { view: "ticket", index, from, to, descending: true, skip: page.skip(size), limit: size };
    Ok(Page { keys: app.views.range(range).await?.into_iter().map(|entry| entry.key).collect(), ..page })
}

/// Tickets that are named by their numbers: the cards are read.
async fn by_number(app: &App, filter: &Filter, plan: &Plan, number: Number, size: usize) -> Result<Page, Error> {
    let mut fitting = Vec::new();
    for sn in filter.sns.iter().filter(|sn| sn.len() <= SN_BYTES_MAX) {
        let key = format!("ticket-{sn}");
        if let Some(card) = card(app, &key).await?
            && filter.fits(plan, &card)
        {
            fitting.push((card.created_at.0, key));
        }
    }
    fitting.sort();
    let page = Page::of(fitting.len(), number, size);
    Ok(Page { keys: fitting.into_iter().rev().skip(page.skip(size)).take(size).map(|(_, key)| key).collect(), ..page })
}

async fn card(app: &App, key: &str) -> Result<Option<TicketCard>, Error> {
    app.views.get("ticket", key).await?.map(|document| stored_card(key, &document)).transpose()
}

/// The lists of a plan read side by side. The whole of it is walked once for the count; the last page is walked for again.
async fn by_walk(app: &App, plan: &Plan, number: Number, size: usize) -> Result<Page, Error> {
    let window = |number: usize| {
        let first = (number - 1).saturating_mul(size);
        first..first.saturating_add(size)
    };
    let (count, keys) = match number {
        Number::This(number) => walk(app, plan, window(number)).await?,
        Number::Last => {
            let (count, _) = walk(app, plan, 0..0).await?;
            walk(app, plan, window(count.div_ceil(size).max(1))).await?
        }
    };
    Ok(Page { keys, ..Page::of(count, number, size) })
}

/// Counts the tickets that fit, and returns the keys of those within a window, newest first.
async fn walk(app: &App, plan: &Plan, window: std::ops::Range<usize>) -> Result<(usize, Vec<String>), Error> {
    let mut lists: Vec<Walk<'_>> = plan.lists.iter().map(|list| Walk::over(app, list)).collect();
    let (mut count, mut keys) = (0, Vec::new());
    let mut from: Option<Place> = None;
    'tickets: loop {
        // Each list is moved to the place of the others, until all are at the same ticket.
        let mut agreed: Option<(Place, Entry)> = None;
        let mut at = 0;
        while at < lists.len() {
            let Some((place, entry)) = lists[at].at_or_behind(from.as_ref()).await? else { break 'tickets };
            if agreed.as_ref().is_some_and(|(agreed, _)| *agreed != place) {
                from = Some(place);
                agreed = None;
                at = 0;
                continue;
            }
            from = Some(place.clone());
            if plan.lists[at][0].index == "ended" && !has_ended_between(&entry, plan.ended) {
                lists[at].step();
                agreed = None;
                at = 0;
                continue;
            }
            agreed = Some((place, entry));
            at += 1;
        }
        let Some((_, entry)) = agreed else { break };
        lists[0].step();
        if fits(app, plan, &entry).await? {
            if window.contains(&count) {
                keys.push(entry.key);
            }
            count += 1;
        }
    }
    Ok((count, keys))
}

/// Says whether a row of `ended` names an end within two times.
fn has_ended_between(entry: &Entry, ended: (Option<Moment>, Option<Moment>)) -> bool {
    let at = entry.value.rsplit('|').next().and_then(|at| at.parse().ok());
    at.is_some_and(|at| is_between(Moment(at), ended))
}

async fn fits(app: &App, plan: &Plan, entry: &Entry) -> Result<bool, Error> {
    if !plan.has_conditions {
        return Ok(true);
    }
    let facets = match Facets::read(&entry.facets) {
        Some(facets) => Some(facets),
        // A document from before there were facets.
        None => card(app, &entry.key).await?.as_ref().and_then(Facets::of),
    };
    Ok(facets.is_some_and(|facets| plan.conditions.fit(&facets)))
}

/// The place of a ticket in every list: by the time of its creation, then by its key; the later one is first.
type Place = (String, String);

/// Digits of an instant in the values of lists.
const DIGITS: usize = 16;

/// One stretch that is being read, newest first.
struct Source<'a> {
    stretch: &'a Stretch,
    read: VecDeque<(Place, Entry)>,
    /// The entry behind which the next ones are read.
    behind: Option<Entry>,
    is_at_end: bool,
}

impl Source<'_> {
    fn place(&self, entry: &Entry) -> Place {
        let age = entry.value.get(self.stretch.owner.len()..).and_then(|value| value.get(..DIGITS)).unwrap_or_default();
        (age.to_owned(), entry.key.clone())
    }

    /// A made-up entry directly before the one of a place, in the order of this stretch.
    fn before(&self, (age, key): &Place) -> Entry {
        let value = match self.stretch.index {
            "ended" => format!("{age}|{}|~", key.trim_start_matches("ticket-")),
            _ => format!("{}{age}", self.stretch.owner),
        };
        Entry { value, key: format!("{key}\u{1}"), facets: String::new() }
    }

    /// Drops entries before a place and reads on if none is left; jumps over what lies between.
    async fn seek(&mut self, app: &App, place: Option<&Place>) -> Result<(), Error> {
        while let (Some((first, _)), Some(place)) = (self.read.front(), place)
            && first > place
        {
            self.read.pop_front();
        }
        while self.read.is_empty() && !self.is_at_end {
            if let Some(place) = place {
                let before = self.before(place);
                let is_further = self.behind.as_ref().is_none_or(|behind| (&behind.value, &behind.key) > (&before.value, &before.key));
                if is_further {
                    self.behind = Some(before);
                }
            }
            let Stretch { index, from, to, .. } = self.stretch;
            let range = Range { view: "ticket", index, from, to, descending: true, skip: 0, limit: STEP };
            let entries = app.views.range_after(range, self.behind.as_ref()).await?;
            self.is_at_end = entries.len() < STEP;
            self.behind = entries.last().cloned().or_else(|| self.behind.take());
            for entry in entries {
                let at = self.place(&entry);
                if place.is_none_or(|place| at <= *place) {
                    self.read.push_back((at, entry));
                }
            }
            // Long walks let other requests run, also on a store that never waits.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// A union of stretches that is being read, newest first.
struct Walk<'a> {
    app: &'a App,
    sources: Vec<Source<'a>>,
}

impl<'a> Walk<'a> {
    fn over(app: &'a App, list: &'a [Stretch]) -> Self {
        let source = |stretch| Source { stretch, read: VecDeque::new(), behind: None, is_at_end: false };
        Self { app, sources: list.iter().map(source).collect() }
    }

    /// The source whose entry is the newest.
    fn newest(&self) -> Option<usize> {
        (0..self.sources.len()).filter(|at| !self.sources[*at].read.is_empty()).max_by_key(|at| self.sources[*at].read.front().map(|(place, _)| place))
    }

    /// The newest entry that is not newer than a place; `None` at the end.
    async fn at_or_behind(&mut self, place: Option<&Place>) -> Result<Option<(Place, Entry)>, Error> {
        for source in &mut self.sources {
            source.seek(self.app, place).await?;
        }
        Ok(self.newest().and_then(|at| self.sources[at].read.front().cloned()))
    }

    /// Leaves the newest entry behind.
    fn step(&mut self) {
        if let Some(at) = self.newest() {
            self.sources[at].read.pop_front();
        }
    }
}
