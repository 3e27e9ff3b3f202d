//! Returns pages of ticket lists for the HTTP APIs. A list is a range of rows in a database index.
//! Each index row contains facets (copies of the ticket fields that filters use). Filters therefore
//! read only the index and not the ticket documents.
//!
//! A shared facet has the same value in many tickets. The shared facets are service, kind,
//! category, business, tag and status. Some stores keep counters for shared facets. Such a store
//! can count the matching tickets without reading all rows.
//!
//! An own facet usually has a different value in each ticket. The own facets are the creator and
//! the end time. For a condition on an own facet, every row of the index range must be read.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use domain::ticket::Status;
use domain::views::ticket_card::{Facets, OwnFacets, TicketCard};
use events::{AppCode, Moment, PersonId, ServiceId};
use infra::Error;
use infra::views::{Entry, Range, RowFilter};

use super::readable;
use crate::App;
use crate::app::cards::stored_card;
use crate::app::people::NAME_MAX;
use crate::app::permissions::{Readable, Reader};
use crate::app::tickets::SN_BYTES_MAX;

/// The names of the ticket lists of one person. Each entry contains the name of a list and the name
/// of its index in the view `ticket` (a stored table).
pub const LISTS: [(&str, &str); 6] = [
    ("todo", "todo"),
    ("claim", "claim"),
    ("approval", "approval"),
    ("created", "creator"),
    ("dealt", "dealt"),
    ("following", "follows"),
];
/// Maximum number of index rows that one read returns.
const STEP: usize = 500;
/// Maximum number of values in one condition of a filter, such as a list of statuses. A comparison
/// with 1000 values is still fast. User interfaces send fewer values.
pub const PARTS_MAX: usize = 1_000;

/// The conditions that a ticket must meet to be in a list. An empty condition accepts every ticket.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Limits the list to the tickets of one person. The pair consists of the name of a database
    /// index and the id of this person. For example, the index `creator` selects the tickets that
    /// the person created. The value is `None` for the list of all tickets.
    pub list: Option<(&'static str, PersonId)>,
    pub creator: Option<PersonId>,
    pub catalogs: Vec<String>,
    pub sns: BTreeSet<String>,
    pub statuses: Vec<String>,
    pub services: Vec<String>,
    pub businesses: Vec<String>,
    pub kinds: Vec<String>,
    /// True if the list does not contain withdrawn tickets.
    pub is_withdrawn_left_out: bool,
    pub tag: Option<String>,
    pub created: (Option<Moment>, Option<Moment>),
    pub ended: (Option<Moment>, Option<Moment>),
}

/// Selects a page of a list: the page with the given number, or the last page. The first page has
/// the number 1.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    This(usize),
    Last,
}

/// One page of a ticket list, from the newest to the oldest ticket. The page contains the keys of
/// the ticket cards. A card is the stored summary of one ticket.
#[derive(Clone, Debug)]
pub struct Page {
    /// The number of tickets in the whole list.
    pub count: usize,
    pub number: usize,
    pub pages: usize,
    pub keys: Vec<String>,
}

impl Page {
    pub(super) fn of(count: usize, number: Number, size: usize) -> Self {
        let pages = count.div_ceil(size).max(1);
        let number = match number {
            Number::This(number) => number,
            Number::Last => pages,
        };
        Self {
            count,
            number,
            pages,
            keys: Vec::new(),
        }
    }
    pub(super) fn skip(&self, size: usize) -> usize {
        (self.number - 1).saturating_mul(size)
    }
}

/// Returns one page of the tickets that match a filter and that the reader may read. `size` is the number of tickets
/// per page.
pub async fn page(
    app: &App,
    filter: &Filter,
    reader: &Reader,
    number: Number,
    size: usize,
) -> Result<Page, Error> {
    // A person may read all tickets in the lists of this person.
    let owner = match &filter.list {
        Some((_, owner)) => Some(owner),
        None => filter.creator.as_ref(),
    };
    if owner.is_some() && owner == reader.person.as_ref() {
        return by_plan(app, filter, None, number, size).await;
    }
    match reader.readable(app).await? {
        Readable::All => by_plan(app, filter, None, number, size).await,
        Readable::Some { .. } if !filter.sns.is_empty() => {
            let Some(plan) = Plan::of(filter, None, true) else {
                return Ok(Page::of(0, number, size));
            };
            by_number(app, filter, &plan, Some(reader), number, size).await
        }
        Readable::Some {
            services,
            app: reader_app,
            person,
        } => {
            let by_facets = ReadableFacets {
                services,
                app: reader_app,
            };
            match person {
                Some(person) => readable::page(app, filter, by_facets, &person, number, size).await,
                None => by_plan(app, filter, Some(by_facets), number, size).await,
            }
        }
    }
}

/// Returns one page of the tickets that match a filter. If `readable` is set, the page contains only tickets whose
/// shared facets show that they are readable.
async fn by_plan(
    app: &App,
    filter: &Filter,
    readable: Option<ReadableFacets>,
    number: Number,
    size: usize,
) -> Result<Page, Error> {
    let Some(plan) = Plan::of(filter, readable, app.views.has_counters()) else {
        return Ok(Page::of(0, number, size));
    };
    if !filter.sns.is_empty() {
        return by_number(app, filter, &plan, None, number, size).await;
    }
    if let Some(ended) = plan.ended.as_ref() {
        return by_end(app, &plan, ended, number, size).await;
    }
    if plan.own.has_any() {
        return by_rows(app, &plan, number, size).await;
    }
    if plan.shared.has_any() {
        return by_facets(app, &plan, number, size).await;
    }
    by_index(app, &plan.stretch, number, size).await
}

/// Returns the given ids of service categories and the ids of all their subcategories.
pub async fn with_catalogs_below(app: &App, catalogs: Vec<String>) -> Result<Vec<String>, Error> {
    let catalog = app.configuration.catalog().await?;
    let mut known: HashSet<String> = catalogs.iter().cloned().collect();
    let mut all = catalogs;
    let mut next = 0;
    while let Some(id) = all.get(next).cloned() {
        next += 1;
        let below = catalog
            .categories
            .values()
            .filter(|category| {
                category
                    .parent
                    .is_some_and(|parent| parent.to_string() == id)
            })
            .map(|category| category.id.to_string());
        all.extend(below.filter(|category| known.insert(category.clone())));
    }
    Ok(all)
}

impl Filter {
    /// Returns the name of the first condition with more than [`PARTS_MAX`] values. Returns `None`
    /// if no condition has too many values.
    pub fn too_many(&self) -> Option<&'static str> {
        let counts = [
            ("sns", self.sns.len()),
            ("status", self.statuses.len()),
            ("service", self.services.len()),
            ("catalog", self.catalogs.len()),
            ("bk_biz_id", self.businesses.len()),
            ("kind", self.kinds.len()),
        ];
        counts
            .into_iter()
            .find(|(_, n)| *n > PARTS_MAX)
            .map(|(name, _)| name)
    }

    /// Returns true if a ticket matches the filter. `plan` contains the conditions of this filter
    /// on the fields of the ticket. Most lists check index rows instead. This function checks a
    /// ticket that was loaded by its ticket number.
    fn fits(&self, plan: &Plan, card: &TicketCard) -> bool {
        let (Some(shared), Some(own)) = (Facets::of(card), OwnFacets::of(card)) else {
            return false;
        };
        self.list.as_ref().is_none_or(|(index, pid)| {
            card.index()
                .iter()
                .any(|(name, value)| name == index && value.starts_with(&format!("{pid}|")))
        }) && plan.shared.fit(&shared)
            && plan.own.fit(&own)
            && self
                .creator
                .as_ref()
                .is_none_or(|pid| own.creator == pid.as_str())
            && is_between(card.created_at, self.created)
    }
}

/// Converts a time to whole seconds. Times in API requests have no fractions of a second.
/// Therefore, two times are compared in whole seconds.
fn second(at: Moment) -> i64 {
    at.0.div_euclid(1000)
}

fn is_between(at: Moment, (from, to): (Option<Moment>, Option<Moment>)) -> bool {
    from.is_none_or(|from| second(at) >= second(from))
        && to.is_none_or(|to| second(at) <= second(to))
}

/// The conditions on shared facets. Shared facets are ticket fields with the same value in many
/// tickets, such as the service or the status. An empty set of values accepts every value.
#[derive(Debug, Default)]
pub(super) struct Shared {
    statuses: HashSet<String>,
    /// True if the list does not contain withdrawn tickets.
    is_withdrawn_left_out: bool,
    catalogs: HashSet<String>,
    services: HashSet<String>,
    businesses: HashSet<String>,
    kinds: HashSet<String>,
    tag: Option<String>,
    readable: Option<ReadableFacets>,
}

/// The services and the client app whose tickets a reader may read.
#[derive(Clone, Debug)]
pub(super) struct ReadableFacets {
    pub(super) services: BTreeSet<ServiceId>,
    pub(super) app: Option<AppCode>,
}

impl ReadableFacets {
    /// Returns true if such tickets can exist.
    pub(super) fn has_any(&self) -> bool {
        !self.services.is_empty() || self.app.is_some()
    }

    /// Returns true if the facets show that a ticket is readable.
    pub(super) fn fit(&self, facets: &Facets) -> bool {
        self.services.contains(&ServiceId(facets.service))
            || (self.app.is_some() && self.app == facets.app)
    }
}

impl Shared {
    pub(super) fn has_any(&self) -> bool {
        let sets = [
            &self.statuses,
            &self.catalogs,
            &self.services,
            &self.businesses,
            &self.kinds,
        ];
        self.is_withdrawn_left_out
            || self.tag.is_some()
            || self.readable.is_some()
            || sets.iter().any(|set| !set.is_empty())
    }

    fn fit(&self, facets: &Facets) -> bool {
        let has = |set: &HashSet<String>, value: &str| set.is_empty() || set.contains(value);
        has(&self.statuses, &facets.status)
            && !(self.is_withdrawn_left_out && facets.status == Status::Revoked.key())
            && has(&self.catalogs, &facets.catalog.to_string())
            && has(&self.services, &facets.service.to_string())
            && has(&self.businesses, &facets.bk_biz_id.to_string())
            && has(&self.kinds, facets.kind.key())
            && self.tag.as_ref().is_none_or(|tag| facets.tag == *tag)
            && self
                .readable
                .as_ref()
                .is_none_or(|readable| readable.fit(facets))
    }

    /// Returns true if an index row meets all conditions on shared facets (ticket fields such as
    /// the status). `text` contains the encoded shared facets of the row.
    pub(super) fn fit_text(&self, text: &str) -> bool {
        Facets::read(text).is_some_and(|facets| self.fit(&facets))
    }
}

/// The conditions on own facets. Own facets are ticket fields whose values usually differ from
/// ticket to ticket, such as the end time.
#[derive(Debug, Default)]
pub(super) struct Own {
    creator: Option<PersonId>,
    created: (Option<Moment>, Option<Moment>),
    ended: (Option<Moment>, Option<Moment>),
}

impl Own {
    pub(super) fn has_any(&self) -> bool {
        self.creator.is_some() || self.ended != (None, None)
    }

    fn fit(&self, facets: &OwnFacets<'_>) -> bool {
        self.creator
            .as_ref()
            .is_none_or(|pid| facets.creator == pid.as_str())
            && match (self.ended, facets.ended_at) {
                ((None, None), _) => true,
                (_, None) => false,
                (ended, Some(at)) => is_between(at, ended),
            }
    }

    /// Returns true if an index row meets all conditions on own facets (ticket fields such as the
    /// end time). `text` contains the encoded own facets of the row.
    fn fit_text(&self, text: &str) -> bool {
        OwnFacets::read(text).is_some_and(|facets| self.fit(&facets))
    }
}

/// A range of rows in a database index. The range contains all rows of a list. A page is a part of
/// this range.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    index: &'static str,
    pub(super) from: String,
    to: String,
}

impl Stretch {
    /// Returns the range of index rows that start with `owner` and have a time from `from` to `to`.
    /// `owner` is, for example, a person id. The comparison of times ignores fractions of a second.
    pub(super) fn of(
        index: &'static str,
        owner: &str,
        (from, to): (Option<Moment>, Option<Moment>),
    ) -> Self {
        let digits = |at: i64| format!("{owner}{:016}", at.saturating_mul(1000).max(0));
        Self {
            index,
            from: from.map_or_else(|| owner.to_owned(), |from| digits(second(from))),
            to: to.map_or_else(
                || format!("{owner}~"),
                |to| digits(second(to).saturating_add(1)),
            ),
        }
    }

    pub(super) fn range(&self, skip: usize, limit: usize) -> Range<'_> {
        Range {
            view: "ticket",
            index: self.index,
            from: &self.from,
            to: &self.to,
            descending: true,
            skip,
            limit,
        }
    }
}

/// The plan for reading a list. The plan contains an index range with all matching tickets, and the
/// conditions for each row of this range.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) stretch: Stretch,
    pub(super) shared: Arc<Shared>,
    pub(super) own: Arc<Own>,
    /// The range of the index `ended` with the tickets that ended in the requested period. The
    /// value is `None` if the filter has no condition on the end time, or if the list belongs to
    /// one person.
    ended: Option<Stretch>,
}

impl Plan {
    /// Returns the plan for a list, which contains the index to read. Returns `None` if no ticket
    /// can match the filter. If the store has no counters for index rows, this function may choose
    /// an index with the tickets of only one status.
    pub(super) fn of(
        filter: &Filter,
        readable: Option<ReadableFacets>,
        has_counters: bool,
    ) -> Option<Self> {
        let is_long = |pid: &PersonId| pid.as_str().len() > 4 * NAME_MAX;
        let whose = filter.list.as_ref().map(|(_, pid)| pid);
        if filter.creator.as_ref().is_some_and(is_long) || whose.is_some_and(is_long) {
            return None;
        }
        let set = |parts: &[String]| parts.iter().cloned().collect::<HashSet<_>>();
        let statuses: HashSet<String> = filter
            .statuses
            .iter()
            .filter(|status| status.len() <= NAME_MAX)
            .cloned()
            .collect();
        let is_empty = |(from, to): (Option<Moment>, Option<Moment>)| {
            from.zip(to)
                .is_some_and(|(from, to)| second(from) > second(to))
        };
        if is_empty(filter.created)
            || is_empty(filter.ended)
            || (statuses.is_empty() && !filter.statuses.is_empty())
        {
            return None;
        }
        let mut shared = Shared {
            statuses,
            is_withdrawn_left_out: filter.is_withdrawn_left_out,
            catalogs: set(&filter.catalogs),
            services: set(&filter.services),
            businesses: set(&filter.businesses),
            kinds: set(&filter.kinds),
            tag: filter.tag.clone(),
            readable,
        };
        let mut own = Own {
            creator: filter.creator.clone(),
            created: filter.created,
            ended: filter.ended,
        };
        let (index, pid) = match (&filter.list, &filter.creator) {
            (Some((index, pid)), _) => (*index, Some(pid)),
            (None, Some(pid)) => ("creator", Some(pid)),
            (None, None) => ("ticket", None),
        };
        if index == "creator" && own.creator.as_ref() == pid {
            own.creator = None;
        }
        let one_status = shared
            .statuses
            .iter()
            .next()
            .filter(|_| shared.statuses.len() == 1 && index == "ticket")
            .cloned();
        let ended = (filter.ended != (None, None) && pid.is_none())
            .then(|| Stretch::of("ended", "", filter.ended));
        let (index, owner) = match (index, one_status) {
            // Otherwise, an index with the tickets of only one status could be used. In two cases,
            // such an index has no advantage. First, a store with counters can count the rows of
            // each status in any index. Second, with a condition on the end time, every row is read
            // and checked anyway.
            (index, _) if has_counters || ended.is_some() => (index, pid.map(ToString::to_string)),
            (_, Some(status)) => {
                shared.statuses.clear();
                ("status", Some(status))
            }
            ("ticket", None) if shared.is_withdrawn_left_out => ("listed", None),
            ("creator", _) if shared.is_withdrawn_left_out => {
                ("mine", pid.map(ToString::to_string))
            }
            (index, _) => (index, pid.map(ToString::to_string)),
        };
        // The indexes `listed` and `mine` contain no withdrawn tickets. If the plan uses one of
        // these indexes, the condition against withdrawn tickets is removed, because the condition
        // is not necessary.
        shared.is_withdrawn_left_out &= ["ticket", "creator", "status"].contains(&index);
        let owner = owner.map_or_else(String::new, |owner| format!("{owner}|"));
        Some(Self {
            stretch: Stretch::of(index, &owner, filter.created),
            shared: Arc::new(shared),
            own: Arc::new(own),
            ended,
        })
    }

    /// Returns the conditions of the plan as a filter for index rows.
    fn row_filter(&self) -> RowFilter {
        let (shared, own) = (self.shared.clone(), self.own.clone());
        RowFilter {
            shared: Arc::new(move |text| !shared.has_any() || shared.fit_text(text)),
            own: Arc::new(move |text| !own.has_any() || own.fit_text(text)),
        }
    }

    /// Returns true if an index row meets all conditions of the plan. The row contains facets
    /// (copies of ticket fields).
    pub(super) fn fits(&self, entry: &Entry) -> bool {
        (!self.shared.has_any() || self.shared.fit_text(entry.shared()))
            && (!self.own.has_any() || self.own.fit_text(entry.own()))
    }
}

/// Returns one page of a list without conditions on facets (copies of ticket fields). Every row of
/// the index range therefore belongs to the list, and the store counts these rows.
async fn by_index(
    app: &App,
    stretch: &Stretch,
    number: Number,
    size: usize,
) -> Result<Page, Error> {
    let count = usize::try_from(
        app.views
            .count("ticket", stretch.index, &stretch.from, &stretch.to)
            .await?,
    )
    .unwrap_or(usize::MAX);
    let page = Page::of(count, number, size);
    if page.number > page.pages {
        return Ok(page);
    }
    let entries = app
        .views
        .range(stretch.range(page.skip(size), size))
        .await?;
    Ok(Page {
        keys: entries.into_iter().map(|entry| entry.key).collect(),
        ..page
    })
}

/// Counts the rows of the index range `stretch` that meet the conditions on shared facets (ticket
/// fields such as the status). Also returns the keys of these rows. The first `skip` keys are
/// omitted, and at most `limit` keys are returned.
async fn counted(
    app: &App,
    plan: &Plan,
    stretch: &Stretch,
    skip: usize,
    limit: usize,
) -> Result<(usize, Vec<String>), Error> {
    let fits = |text: &str| !plan.shared.has_any() || plan.shared.fit_text(text);
    let (count, entries) = app
        .views
        .page_where(stretch.range(skip, limit), &fits)
        .await?;
    Ok((
        usize::try_from(count).unwrap_or(usize::MAX),
        entries.into_iter().map(|entry| entry.key).collect(),
    ))
}

/// Returns one page of a list with conditions only on shared facets (ticket fields such as the
/// status). The store counts the matching tickets.
async fn by_facets(app: &App, plan: &Plan, number: Number, size: usize) -> Result<Page, Error> {
    let first = match number {
        Number::This(number) => number,
        Number::Last => {
            Page::of(
                counted(app, plan, &plan.stretch, 0, 0).await?.0,
                number,
                size,
            )
            .number
        }
    };
    let (count, keys) = counted(
        app,
        plan,
        &plan.stretch,
        (first - 1).saturating_mul(size),
        size,
    )
    .await?;
    Ok(Page {
        keys,
        ..Page::of(count, number, size)
    })
}

/// Returns one page of the tickets whose ticket numbers are in the filter. Loads the card (the
/// stored summary) of each of these tickets, and checks all conditions of the filter. If `reader` is set, the page
/// contains only tickets that this reader may read.
async fn by_number(
    app: &App,
    filter: &Filter,
    plan: &Plan,
    reader: Option<&Reader>,
    number: Number,
    size: usize,
) -> Result<Page, Error> {
    let mut fitting = Vec::new();
    for sn in filter.sns.iter().filter(|sn| sn.len() <= SN_BYTES_MAX) {
        let key = format!("ticket-{sn}");
        if let Some(card) = card(app, &key).await?
            && filter.fits(plan, &card)
        {
            if let Some(reader) = reader
                && !reader.may_read(app, &card).await?
            {
                continue;
            }
            fitting.push((card.created_at.0, key));
        }
    }
    fitting.sort();
    let page = Page::of(fitting.len(), number, size);
    Ok(Page {
        keys: fitting
            .into_iter()
            .rev()
            .skip(page.skip(size))
            .take(size)
            .map(|(_, key)| key)
            .collect(),
        ..page
    })
}

async fn card(app: &App, key: &str) -> Result<Option<TicketCard>, Error> {
    app.views
        .get("ticket", key)
        .await?
        .map(|document| stored_card(key, &document))
        .transpose()
}

/// Calls `take` with every row of an index range, from newest to oldest. Stops as soon as `take`
/// returns true.
pub(super) async fn walk(
    app: &App,
    stretch: &Stretch,
    mut take: impl FnMut(Entry) -> bool,
) -> Result<(), Error> {
    let mut last: Option<Entry> = None;
    loop {
        let entries = app
            .views
            .range_after(stretch.range(0, STEP), last.as_ref())
            .await?;
        let is_end = entries.len() < STEP;
        last = entries.last().cloned();
        for entry in entries {
            if take(entry) {
                return Ok(());
            }
        }
        if is_end {
            return Ok(());
        }
        // Some stores return the rows without waiting. A long read would then block other tasks, so
        // this task yields after each read.
        tokio::task::yield_now().await;
    }
}

/// Reads every row of the index range of a plan, counts the matching tickets and returns one page. The number of the
/// last page depends on the count. For the last page, the rows are therefore read twice.
async fn by_rows(app: &App, plan: &Plan, number: Number, size: usize) -> Result<Page, Error> {
    let filter = plan.row_filter();
    let read = async |skip: usize, limit: usize| {
        let range = plan.stretch.range(skip, limit);
        let (count, rows) = app.views.rows_where(range, &filter, false).await?;
        Ok::<_, Error>((usize::try_from(count).unwrap_or(usize::MAX), rows))
    };
    let first = match number {
        Number::This(number) => number,
        Number::Last => Page::of(read(0, 0).await?.0, number, size).number,
    };
    let (count, rows) = read((first - 1).saturating_mul(size), size).await?;
    Ok(Page {
        keys: rows.into_iter().map(|row| row.key).collect(),
        ..Page::of(count, Number::This(first), size)
    })
}

/// Reads every row of an index range, counts the rows that `fits` accepts and returns one page. The number
/// of the last page depends on the count. For the last page, the rows are therefore read twice.
pub(super) async fn by_walk(
    app: &App,
    stretch: &Stretch,
    fits: impl Fn(&Entry) -> bool,
    number: Number,
    size: usize,
) -> Result<Page, Error> {
    let window = |number: usize| {
        let first = (number - 1).saturating_mul(size);
        first..first.saturating_add(size)
    };
    let walked = async |window: std::ops::Range<usize>| {
        let (mut count, mut keys) = (0, Vec::new());
        walk(app, stretch, |entry| {
            if fits(&entry) {
                if window.contains(&count) {
                    keys.push(entry.key);
                }
                count += 1;
            }
            false
        })
        .await?;
        Ok::<_, Error>((count, keys))
    };
    let (count, keys) = match number {
        Number::This(number) => walked(window(number)).await?,
        Number::Last => {
            let (count, _) = walked(0..0).await?;
            walked(window(Page::of(count, number, size).number)).await?
        }
    };
    Ok(Page {
        keys,
        ..Page::of(count, number, size)
    })
}

/// Returns one page of the tickets that ended in a period. There are two methods:
///
/// - Read all tickets that ended in the period, and sort these tickets by creation time.
/// - Read the whole list in the order of creation time until the page is full.
///
/// If the store has counters for index rows, this function selects the method that reads fewer
/// rows. Otherwise, this function uses the first method.
async fn by_end(
    app: &App,
    plan: &Plan,
    ended: &Stretch,
    number: Number,
    size: usize,
) -> Result<Page, Error> {
    if app.views.has_counters() {
        let (count, _) = counted(app, plan, ended, 0, 0).await?;
        let (of_list, _) = counted(app, plan, &plan.stretch, 0, 0).await?;
        let page = Page::of(count, number, size);
        if plan.own.created == (None, None) {
            if page.skip(size) >= count {
                return Ok(page);
            }
            let last = page.skip(size).saturating_add(size).min(count);
            if last.saturating_mul(of_list) / count < count {
                return by_walk_to(app, plan, page, size).await;
            }
        } else if of_list < count {
            return by_rows(app, plan, number, size).await;
        }
    }
    let mut found = Vec::new();
    walk(app, ended, |entry| {
        if plan.fits(&entry)
            && let Some(own) = OwnFacets::read(entry.own())
            && is_between(own.created_at, plan.own.created)
        {
            found.push((own.created_at, entry.key));
        }
        false
    })
    .await?;
    found.sort_by(|a, b| b.cmp(a));
    let page = Page::of(found.len(), number, size);
    Ok(Page {
        keys: found
            .into_iter()
            .skip(page.skip(size))
            .take(size)
            .map(|(_, key)| key)
            .collect(),
        ..page
    })
}

/// Reads the index range of a list until the requested page is full, and returns this page. `page`
/// contains the number of matching tickets, because the caller has already counted these tickets.
async fn by_walk_to(app: &App, plan: &Plan, page: Page, size: usize) -> Result<Page, Error> {
    let range = plan.stretch.range(page.skip(size), size);
    let (_, rows) = app
        .views
        .rows_where(range, &plan.row_filter(), true)
        .await?;
    Ok(Page {
        keys: rows.into_iter().map(|row| row.key).collect(),
        ..page
    })
}
