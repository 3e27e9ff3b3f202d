//! Reads the pages of a list.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::super::{Entry, Range, RowFilter};
use super::counters::{DIGITS, File, count, owner, page_start};
use crate::sqlite::at_most;

/// A filtered list is read with one query for each facet (filter text) that the filter accepts. If
/// the filter accepts more facets than this maximum, a single query checks the facet of each row.
const MERGED_MAX: usize = 64;

/// The largest number of rows that one step of a row by row list reads. Between two steps, the
/// connection is free for other readers.
const ROWS_AT_ONCE: usize = 5_000;

/// The SQL columns from which an [`Entry`] (one index row) is built.
pub(super) const ENTRY: &str =
    "value, key, (SELECT shared FROM facets WHERE id = entries.facets), own";

pub(super) fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let (shared, own): (String, String) = (row.get(2)?, row.get(3)?);
    Ok(Entry {
        value: row.get(0)?,
        key: row.get(1)?,
        facets: joined(shared, &own),
    })
}

/// Returns the shared facets (filter texts) of all index rows with one owner part. Each facet is in
/// a pair with its id. The owner part is the text of `range.from` up to and including its last `|`.
pub(super) fn facets_of(
    connection: &Connection,
    range: &Range<'_>,
) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut statement = connection.prepare_cached(
        "SELECT counters.facets, shared FROM counters JOIN facets ON facets.id = counters.facets \
         WHERE counters.view = ?1 AND name = ?2 AND level = ?3 AND bucket = ?4",
    )?;
    let all = statement.query_map(
        params![range.view, range.index, at_most(DIGITS), owner(range.from)],
        |row| Ok((row.get(0)?, row.get::<_, String>(1)?)),
    )?;
    all.collect()
}

/// Returns the first `n` rows of a range that have a facet (filter text) from `facets`. Executes
/// one query per facet and merges the results. For more than [`MERGED_MAX`] facets, a single query
/// checks the facet of each row.
fn first_rows(
    connection: &Connection,
    range: &Range<'_>,
    (from, to): (&str, &str),
    facets: &[i64],
    json: &str,
    n: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let order = if range.descending { "DESC" } else { "ASC" };
    let by = |condition: &str| {
        format!(
            "SELECT {ENTRY} FROM entries WHERE view = ?1 AND name = ?2 AND value >= ?3 AND value < ?4 AND {condition} ORDER BY value {order}, key {order} LIMIT ?6"
        )
    };
    if facets.len() > MERGED_MAX {
        let mut statement =
            connection.prepare_cached(&by("facets IN (SELECT value FROM json_each(?5))"))?;
        return statement
            .query_map(
                params![range.view, range.index, from, to, json, at_most(n)],
                entry,
            )?
            .collect();
    }
    let mut statement = connection.prepare_cached(&by("counted = ?5"))?;
    let mut rows: Vec<Entry> = Vec::new();
    for id in facets {
        let found = statement.query_map(
            params![range.view, range.index, from, to, id, at_most(n)],
            entry,
        )?;
        rows.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    rows.sort_by(|a, b| (&a.value, &a.key).cmp(&(&b.value, &b.key)));
    if range.descending {
        rows.reverse();
    }
    rows.truncate(n);
    Ok(rows)
}

/// Counts the rows of a range that have a facet (filter text) from `facets`. Returns this count,
/// and one page of these rows. The count comes from stored counters, so the function does not read
/// every row.
pub(super) fn page_where(
    file: File<'_>,
    range: &Range<'_>,
    facets: &[i64],
) -> rusqlite::Result<(u64, Vec<Entry>)> {
    let connection = file.connection;
    if facets.is_empty() {
        return Ok((0, Vec::new()));
    }
    let json = format!(
        "[{}]",
        facets
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    );
    let count = count(
        file,
        range.view,
        range.index,
        (range.from, range.to),
        Some(&json),
    )?
    .unsigned_abs();
    if count <= range.skip as u64 || range.limit == 0 {
        return Ok((count, Vec::new()));
    }
    let (from, to, skip) = page_start(file, range, Some(&json))?;
    let rows = first_rows(
        connection,
        range,
        (&from, &to),
        facets,
        &json,
        skip.saturating_add(range.limit),
    )?;
    Ok((count, rows.into_iter().skip(skip).collect()))
}

/// The state of a list that is read row by row.
#[derive(Default)]
pub(super) struct Passed {
    pub(super) count: u64,
    pub(super) page: Vec<Entry>,
    /// The results of the filter for the shared facets (filter texts) that were read, by their ids.
    shared: HashMap<i64, bool>,
    /// The value and the key of the last row that was read.
    last: Option<(String, String)>,
    pub(super) is_complete: bool,
}

impl Passed {
    /// Reads the next rows, at most [`ROWS_AT_ONCE`]. The texts of a row are copied only if the row
    /// belongs to the page.
    pub(super) fn step(
        &mut self,
        connection: &Connection,
        range: &Range<'_>,
        filter: &RowFilter,
        until_full: bool,
    ) -> rusqlite::Result<()> {
        let (order, comparison) = if range.descending {
            ("DESC", "<")
        } else {
            ("ASC", ">")
        };
        let after = self.last.take();
        let comparison = after.as_ref().map_or_else(String::new, |_| {
            format!("AND (value, key) {comparison} (?6, ?7)")
        });
        let mut statement = connection.prepare_cached(&format!(
            "SELECT value, key, facets, own FROM entries \
             WHERE view = ?1 AND name = ?2 AND value >= ?3 AND value < ?4 {comparison} \
             ORDER BY value {order}, key {order} LIMIT ?5"
        ))?;
        let mut shared = connection.prepare_cached("SELECT shared FROM facets WHERE id = ?1")?;
        let limit = at_most(ROWS_AT_ONCE);
        let mut values: Vec<&dyn rusqlite::ToSql> =
            vec![&range.view, &range.index, &range.from, &range.to, &limit];
        if let Some((value, key)) = &after {
            values.extend([value as &dyn rusqlite::ToSql, key]);
        }
        let mut rows = statement.query(&values[..])?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            read += 1;
            let facets: i64 = row.get(2)?;
            let passes = if let Some(passes) = self.shared.get(&facets) {
                *passes
            } else {
                let text: String = shared.query_row([facets], |row| row.get(0))?;
                let passes = (filter.shared)(&text);
                self.shared.insert(facets, passes);
                passes
            };
            if passes && (filter.own)(row.get_ref(3)?.as_str()?) {
                if self.count >= range.skip as u64 && self.page.len() < range.limit {
                    let text: String = shared.query_row([facets], |row| row.get(0))?;
                    let own: String = row.get(3)?;
                    self.page.push(Entry {
                        value: row.get(0)?,
                        key: row.get(1)?,
                        facets: joined(text, &own),
                    });
                }
                self.count += 1;
                if until_full && self.page.len() >= range.limit {
                    self.is_complete = true;
                    return Ok(());
                }
            }
            if read == ROWS_AT_ONCE {
                self.last = Some((row.get(0)?, row.get(1)?));
            }
        }
        self.is_complete = read < ROWS_AT_ONCE;
        Ok(())
    }
}

/// Returns the facets (filter text) of a row: its shared and its own facets.
fn joined(shared: String, own: &str) -> String {
    if own.is_empty() {
        shared
    } else {
        format!("{shared}\t{own}")
    }
}

/// A copy of a [`Range`] that owns its strings. A closure can move this copy to another thread.
pub(super) struct OwnedRange {
    view: String,
    index: String,
    from: String,
    to: String,
    descending: bool,
    skip: usize,
    limit: usize,
}

impl OwnedRange {
    pub(super) fn of(range: &Range<'_>) -> Self {
        Self {
            view: range.view.to_owned(),
            index: range.index.to_owned(),
            from: range.from.to_owned(),
            to: range.to.to_owned(),
            descending: range.descending,
            skip: range.skip,
            limit: range.limit,
        }
    }

    pub(super) fn as_range(&self) -> Range<'_> {
        Range {
            view: &self.view,
            index: &self.index,
            from: &self.from,
            to: &self.to,
            descending: self.descending,
            skip: self.skip,
            limit: self.limit,
        }
    }
}
