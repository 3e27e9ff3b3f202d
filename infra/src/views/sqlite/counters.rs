//! Counts the rows of a list with stored counters of buckets (groups of index values).

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, params};

use super::super::Range;
use super::Lists;
use crate::sqlite::at_most;

/// The sizes of the buckets, from large to small. A bucket is a group of index values with one row
/// counter. Each index value ends with a time in milliseconds. For a size `n`, all values that
/// differ only in their last `n` digits are in the same bucket.
///
/// The four sizes correspond to about twelve days, three hours, 100 seconds and one second. A
/// bucket contains a hundred buckets of the next size. A query therefore reads few counters.
const LEVELS: [usize; 4] = [9, 7, 5, SMALLEST];
/// The size of the smallest buckets (groups of index values with one row counter).
const SMALLEST: usize = 3;
/// Number of digits of the time at the end of an index value. This number is also the size of the
/// largest buckets (groups of index values with one row counter). Values that differ only in their
/// time are in the same largest bucket.
pub(super) const DIGITS: usize = 16;

/// Returns the owner part of an index value: the text up to and including its last `|`, for example
/// `p1|`. The parameter `from` is the start of a range. All values in this range begin with the
/// owner part.
pub(super) fn owner(from: &str) -> &str {
    &from[..from.rfind('|').map_or(0, |bar| bar + 1)]
}

/// Returns `from` if the range from `from` to `to` contains all index values with the owner part
/// `from`. The owner part is the text of a value up to and including its last `|`, for example
/// `p1|`. The range from `p1|` to `p1|~` contains all values of `p1|`. Returns `None` for any other
/// range.
fn whole_owner<'a>(from: &'a str, to: &str) -> Option<&'a str> {
    (to.strip_suffix('~') == Some(from) && owner(from) == from).then_some(from)
}

/// Returns the name of the bucket that contains an index value. A bucket is a group of values with
/// one row counter. The name of the bucket is the value without its last `level` digits. Returns
/// `None` if the value does not end with 16 digits.
fn bucket(value: &str, level: usize) -> Option<&str> {
    let digits = value
        .len()
        .checked_sub(DIGITS)
        .and_then(|at| value.get(at..))?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| &value[..value.len() - level])
}

/// Returns the bucket that contains `end`, which is the start or the end of a range. A bucket is a
/// group of index values with one row counter. It is possible that the range contains only a part
/// of this bucket.
///
/// `end` can be a time, a text that begins with a time, or an open end such as `p1|~`. An open end
/// is not inside a bucket, so the result is `None`.
fn cut_bucket(end: &str, level: usize) -> Option<&str> {
    let instant = end.rfind('|').map_or(0, |bar| bar + 1);
    let bucket = end.get(..instant + DIGITS - level)?;
    bucket[instant..]
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(bucket)
}

/// Returns a text that sorts after every index value in a bucket (a group of index values). All
/// these values begin with the text `bucket`.
fn after(bucket: &str) -> String {
    format!("{bucket}~")
}

pub(super) fn is_counted(counted: &Lists, view: &str, name: &str) -> bool {
    counted.get(view).is_some_and(|names| names.contains(name))
}

/// A connection to a database file, and the names of the counted lists (indexes with row counters)
/// in this file.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) connection: &'a Connection,
    pub(super) counted: &'a Lists,
}

impl File<'_> {
    fn is_counted(&self, view: &str, name: &str) -> bool {
        is_counted(self.counted, view, name)
    }
    /// Returns the value for the column `counted` of an index row. If the index has row counters,
    /// the value is `facets`, the id of the filter text of the row. Otherwise, the value is `None`.
    pub(super) fn counted_under(&self, view: &str, name: &str, facets: i64) -> Option<i64> {
        self.is_counted(view, name).then_some(facets)
    }
}

/// The changes of the row counters in one transaction. Many rows of one transaction are in the same buckets (groups of
/// index values). Their changes are added in memory, and [`Tallies::store`] writes each counter once.
#[derive(Default)]
pub(super) struct Tallies {
    /// The number of added rows minus the number of removed rows, for each smallest bucket. A smallest bucket is
    /// always inside one bucket of each larger size.
    smallest: HashMap<CountedRows, i64>,
}

/// The rows of one smallest bucket (group of index values) that have the same facets (filter text).
#[derive(PartialEq, Eq, Hash)]
struct CountedRows {
    view: String,
    name: String,
    bucket: String,
    facets: i64,
}

impl Tallies {
    /// Adds `n` to all counters of an index row. Each counter counts the rows in one bucket (a group of index
    /// values). Buckets have several sizes, so a row is in several buckets.
    pub(super) fn add(
        &mut self,
        file: File<'_>,
        view: &str,
        (name, value, facets): (&str, &str, i64),
        n: i64,
    ) {
        let Some(bucket) = bucket(value, SMALLEST).filter(|_| file.is_counted(view, name)) else {
            return;
        };
        let rows = CountedRows {
            view: view.to_owned(),
            name: name.to_owned(),
            bucket: bucket.to_owned(),
            facets,
        };
        *self.smallest.entry(rows).or_default() += n;
    }

    /// Writes all changes to the table `counters`. Counters that become zero are deleted.
    pub(super) fn store(self, transaction: &Connection) -> rusqlite::Result<()> {
        let mut changes: BTreeMap<(String, String, usize, String, i64), i64> = BTreeMap::new();
        for (rows, n) in self.smallest {
            for level in [DIGITS].into_iter().chain(LEVELS) {
                let larger = &rows.bucket[..rows.bucket.len() + SMALLEST - level];
                let counter = (
                    rows.view.clone(),
                    rows.name.clone(),
                    level,
                    larger.to_owned(),
                    rows.facets,
                );
                *changes.entry(counter).or_default() += n;
            }
        }
        let mut add = transaction.prepare_cached(
            "INSERT INTO counters (view, name, level, bucket, facets, n) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (view, name, level, bucket, facets) DO UPDATE SET n = n + ?6",
        )?;
        let mut delete_empty = transaction.prepare_cached(
            "DELETE FROM counters WHERE view = ?1 AND name = ?2 AND level = ?3 AND bucket = ?4 AND facets = ?5 AND n <= 0",
        )?;
        for ((view, name, level, bucket, facets), n) in changes {
            if n != 0 {
                add.execute(params![view, name, at_most(level), bucket, facets, n])?;
            }
            if n < 0 {
                delete_empty.execute(params![view, name, at_most(level), bucket, facets])?;
            }
        }
        Ok(())
    }
}

/// Returns an SQL condition that selects counters or rows by their facets (filter texts). `facets`
/// contains the ids of the selected facets. `parameter` is the index of the SQL parameter that
/// receives these ids. If `facets` is `None`, the condition accepts every row.
fn of_facets(facets: Option<&str>, parameter: usize) -> String {
    // If `facets` is `None`, the SQL parameter is NULL, so the condition accepts every row. The
    // condition contains the parameter in this case too. The SQL statement therefore always has the
    // same number of parameters.
    facets.map_or_else(
        || format!("AND ?{parameter} IS NULL"),
        |_| format!("AND facets IN (SELECT value FROM json_each(?{parameter}))"),
    )
}

/// Returns the number of index rows in a range. `facets` is a JSON array with ids of facets (filter
/// texts). If `facets` is given, only the rows with one of these facets are counted.
pub(super) fn count(
    file: File<'_>,
    view: &str,
    index: &str,
    (from, to): (&str, &str),
    facets: Option<&str>,
) -> rusqlite::Result<i64> {
    match whole_owner(from, to).filter(|_| file.is_counted(view, index)) {
        Some(owner) => sum(
            file.connection,
            view,
            index,
            DIGITS,
            (owner, &after(owner)),
            facets,
        ),
        None => count_at(file, view, index, (from, to), facets, &LEVELS),
    }
}

/// Returns the sum of the row counters of all buckets from `from` to `to` that have the same size.
/// A bucket is a group of index values with one counter.
fn sum(
    connection: &Connection,
    view: &str,
    index: &str,
    level: usize,
    (from, to): (&str, &str),
    facets: Option<&str>,
) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT coalesce(sum(n), 0) FROM counters WHERE view = ?1 AND name = ?2 AND level = ?3 AND bucket >= ?4 AND bucket < ?5 {}",
        of_facets(facets, 6)
    ))?;
    statement.query_row(
        params![view, index, at_most(level), from, to, facets],
        |row| row.get(0),
    )
}

/// Returns the number of index rows in a range. For complete buckets (groups of index values), the
/// function adds their stored counters. The first and the last bucket can be only partly inside the
/// range. The rows in these two parts are counted with smaller buckets, and finally row by row.
fn count_at(
    file: File<'_>,
    view: &str,
    index: &str,
    (from, to): (&str, &str),
    facets: Option<&str>,
    levels: &[usize],
) -> rusqlite::Result<i64> {
    let connection = file.connection;
    let Some((level, finer)) = levels
        .split_first()
        .filter(|_| file.is_counted(view, index))
    else {
        let mut statement = connection
            .prepare_cached(&format!("SELECT count(*) FROM entries WHERE view = ?1 AND name = ?2 AND value >= ?3 AND value < ?4 {}", of_facets(facets, 5)))?;
        return statement.query_row(params![view, index, from, to, facets], |row| row.get(0));
    };
    let (low, high) = (cut_bucket(from, *level), cut_bucket(to, *level));
    if low.is_some() && low == high {
        return count_at(file, view, index, (from, to), facets, finer);
    }
    let begin = low.map_or_else(|| from.to_owned(), after);
    let end = high.unwrap_or(to);
    let whole = sum(connection, view, index, *level, (&begin, end), facets)?;
    // Counts the rows between the start of the range and the end of the bucket `low` (a group of
    // index values). If the range ends inside this bucket, `min` stops the count at the end of the
    // range.
    let below = low.map_or(Ok(0), |low| {
        count_at(
            file,
            view,
            index,
            (from, to.min(&after(low))),
            facets,
            finer,
        )
    })?;
    let above = high.map_or(Ok(0), |high| {
        count_at(file, view, index, (from.max(high), to), facets, finer)
    })?;
    Ok(below + whole + above)
}

/// Finds the start of a page in a list. The function skips complete buckets, large buckets first.
/// (A bucket is a group of index values with one row counter.) The function stops at the bucket
/// that contains the first row of the page.
///
/// Returns the start and the end of a smaller range that still contains the page. Also returns how
/// many rows must be skipped in this smaller range.
pub(super) fn page_start(
    file: File<'_>,
    range: &Range<'_>,
    facets: Option<&str>,
) -> rusqlite::Result<(String, String, usize)> {
    let (mut from, mut to, mut skip) = (range.from.to_owned(), range.to.to_owned(), range.skip);
    let order = if range.descending { "DESC" } else { "ASC" };
    for level in LEVELS {
        if skip == 0 || !file.is_counted(range.view, range.index) {
            break;
        }
        // A bucket is a group of index values with one row counter. If a bucket is only partly
        // inside the range, its counter includes rows outside of the range. This pass of the loop
        // therefore uses only complete buckets. A later pass uses smaller buckets.
        let begin = cut_bucket(&from, level).map_or_else(|| from.clone(), after);
        let end = cut_bucket(&to, level).map_or_else(|| to.clone(), str::to_owned);
        let edge = if range.descending {
            (end.as_str(), to.as_str())
        } else {
            (from.as_str(), begin.as_str())
        };
        let edge = if begin < end {
            usize::try_from(count_at(
                file,
                range.view,
                range.index,
                edge,
                facets,
                &LEVELS,
            )?)
            .unwrap_or_default()
        } else {
            usize::MAX
        };
        if skip < edge {
            continue;
        }
        let mut statement = file.connection.prepare_cached(&format!(
            "SELECT bucket, sum(n) FROM counters WHERE view = ?1 AND name = ?2 AND level = ?3 AND bucket >= ?4 AND bucket < ?5 {} \
             GROUP BY bucket ORDER BY bucket {order}",
            of_facets(facets, 6)
        ))?;
        let mut rows = statement.query(params![
            range.view,
            range.index,
            at_most(level),
            begin,
            end,
            facets
        ])?;
        let mut left = skip - edge;
        let mut first_bucket = None;
        while let Some(row) = rows.next()? {
            let (bucket, n): (String, i64) = (row.get(0)?, row.get(1)?);
            let n = usize::try_from(n).unwrap_or_default();
            if left < n {
                first_bucket = Some(bucket);
                break;
            }
            left -= n;
        }
        skip = left;
        // `first_bucket` is the complete bucket (group of index values) that contains the first row
        // of the page. The next pass of the loop searches inside this bucket. Without such a
        // bucket, the next pass searches after the last complete bucket. `min` and `max` ensure
        // that the range never becomes larger.
        if range.descending {
            to = to.min(first_bucket.map_or(begin, |bucket| after(&bucket)));
        } else {
            from = from.max(first_bucket.unwrap_or(end));
        }
    }
    Ok((from, to, skip))
}
