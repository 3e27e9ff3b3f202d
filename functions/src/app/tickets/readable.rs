//! Returns pages of ticket lists for a reader who may not read every ticket.
//!
//! There are two groups of readable tickets. In the first group, the shared facets show that the ticket is readable:
//! the ticket belongs to a service of the reader, or the app of the reader opened the ticket. In the second group, the
//! reader takes part in the ticket. The rows of the second group are few, and they are read into memory.

use std::collections::HashMap;

use domain::views::ticket_card::{Facets, TAKES_PART};
use events::PersonId;
use infra::Error;
use infra::views::{Entry, Range};

use super::list::{Filter, Number, Page, Plan, ReadableFacets, Stretch, by_walk, walk};
use crate::App;

/// The largest number of tickets of the first group with the same creation time that are compared with one ticket of the
/// second group. If more tickets have the same creation time, a page can contain such a ticket twice or omit it.
const SAME_AGE_MAX: usize = 10_000;

/// The conditions under which a ticket is readable.
struct Conditions {
    /// The first group.
    facets: ReadableFacets,
    /// The index rows of the second group by the key of the ticket.
    taking_part: HashMap<String, Entry>,
}

impl Conditions {
    /// Returns true if the shared facets show that the ticket is readable.
    fn fit_text(&self, text: &str) -> bool {
        self.facets.has_any() && Facets::read(text).is_some_and(|facets| self.facets.fit(&facets))
    }
}

/// Returns one page of the tickets that match the filter and that the person may read. `facets` describes the first
/// group of these tickets.
pub(super) async fn page(
    app: &App,
    filter: &Filter,
    facets: ReadableFacets,
    person: &PersonId,
    number: Number,
    size: usize,
) -> Result<Page, Error> {
    // With this argument, the plan keeps every condition, and every row can be checked with the plan alone.
    let Some(plan) = Plan::of(filter, None, true) else {
        return Ok(Page::of(0, number, size));
    };
    let conditions = Conditions {
        facets,
        taking_part: rows_of(app, filter, person).await?,
    };
    let lists_all = filter.list.is_none() && filter.creator.is_none();
    if lists_all && !conditions.facets.has_any() {
        let found = newest_first(&conditions, |entry| plan.fits(entry));
        let page = Page::of(found.len(), number, size);
        let keys = found.into_iter().skip(page.skip(size)).take(size);
        return Ok(Page {
            keys: keys.map(|(_, key)| key).collect(),
            ..page
        });
    }
    if lists_all && app.views.has_counters() && !plan.own.has_any() {
        return merged(app, &plan, &conditions, number, size).await;
    }
    let fits = |entry: &Entry| {
        plan.fits(entry)
            && (conditions.taking_part.contains_key(&entry.key)
                || conditions.fit_text(entry.shared()))
    };
    by_walk(app, &plan.stretch, fits, number, size).await
}

/// Returns the index rows of the tickets in which the person takes part, one row for each ticket. The rows are
/// limited to the creation times of the filter.
async fn rows_of(
    app: &App,
    filter: &Filter,
    person: &PersonId,
) -> Result<HashMap<String, Entry>, Error> {
    let mut rows = HashMap::new();
    for index in TAKES_PART {
        let stretch = Stretch::of(index, &format!("{person}|"), filter.created);
        walk(app, &stretch, |entry| {
            rows.insert(entry.key.clone(), entry);
            false
        })
        .await?;
    }
    Ok(rows)
}

/// Returns the creation time of a ticket as it is sorted in an index row, without the person before it.
fn age(entry: &Entry) -> &str {
    entry.value.rsplit('|').next().unwrap_or_default()
}

/// Returns the creation times and the keys of the rows of the second group that `fits` accepts, the newest first.
fn newest_first(conditions: &Conditions, fits: impl Fn(&Entry) -> bool) -> Vec<(String, String)> {
    let rows = conditions.taking_part.values().filter(|entry| fits(entry));
    let mut found: Vec<_> = rows
        .map(|entry| (age(entry).to_owned(), entry.key.clone()))
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found
}

/// Returns one page of both groups. The store counts and skips the rows of the first group, so that their number does
/// not matter.
async fn merged(
    app: &App,
    plan: &Plan,
    conditions: &Conditions,
    number: Number,
    size: usize,
) -> Result<Page, Error> {
    let second = newest_first(conditions, |entry| {
        plan.fits(entry) && !conditions.fit_text(entry.shared())
    });
    let fits = |text: &str| conditions.fit_text(text) && plan.shared.fit_text(text);
    let first = async |range: Range<'_>| {
        let (count, rows) = app.views.page_where(range, &fits).await?;
        Ok::<_, Error>((usize::try_from(count).unwrap_or(usize::MAX), rows))
    };
    let (count, _) = first(plan.stretch.range(0, 0)).await?;
    let page = Page::of(count + second.len(), number, size);
    let skip = page.skip(size);
    // The number of tickets of the second group before the page. The position of each ticket in the whole list is its
    // position in the second group plus the number of tickets of the first group before it.
    let (mut low, mut high) = (0, second.len());
    while low < high {
        let middle = low.midpoint(high);
        let (age, key) = &second[middle];
        // The smallest text that is greater than `age` and less than every later creation time.
        let after = format!("{age}!");
        let (newer, _) = first(Range {
            from: &after,
            ..plan.stretch.range(0, 0)
        })
        .await?;
        let (_, of_same_age) = first(Range {
            from: age,
            to: &after,
            ..plan.stretch.range(0, SAME_AGE_MAX)
        })
        .await?;
        let before = newer + of_same_age.iter().filter(|row| row.key > *key).count();
        if middle + before < skip {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let (_, rows) = first(plan.stretch.range(skip.saturating_sub(low), size)).await?;
    let mut rows = rows.into_iter().peekable();
    let mut others = second.into_iter().skip(low).peekable();
    let mut keys = Vec::new();
    while keys.len() < size {
        let takes_row = match (rows.peek(), others.peek()) {
            (Some(row), Some((other, key))) => (age(row), &row.key) > (other.as_str(), key),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        if takes_row {
            keys.extend(rows.next().map(|row| row.key));
        } else {
            keys.extend(others.next().map(|(_, key)| key));
        }
    }
    Ok(Page { keys, ..page })
}
