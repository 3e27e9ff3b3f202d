//! The read models on SQLite, in `views.db`. `synchronous=NORMAL`: a power loss may take the newest writes back, together with the
//! queue's in the same file, and following the ledger brings them again.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{COUNTED, Document, Entry, Fits, Index, Range, Views, shared_and_own};
use crate::Error;
use crate::crash::Crash;
use crate::sqlite::{Readers, at_most, connect, failed, look};

/// The layout of `views.db`; one of another layout is thrown away and filled again from the ledger.
const LAYOUT: i64 = 7;

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS documents (
        view TEXT NOT NULL, key TEXT NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (view, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS facets (
        id INTEGER PRIMARY KEY, view TEXT NOT NULL, shared TEXT NOT NULL, UNIQUE (view, shared)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS entries (
        view TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, key TEXT NOT NULL,
        facets INTEGER NOT NULL, own TEXT NOT NULL, counted INTEGER, PRIMARY KEY (view, name, value, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS entries_by_key ON entries (view, key);
    CREATE INDEX IF NOT EXISTS entries_by_facets ON entries (view, name, counted, value, key) WHERE counted IS NOT NULL;
    CREATE TABLE IF NOT EXISTS counters (
        view TEXT NOT NULL, name TEXT NOT NULL, level INTEGER NOT NULL, bucket TEXT NOT NULL, facets INTEGER NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (view, name, level, bucket, facets)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS messages (
        queue TEXT NOT NULL, id TEXT NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL, broken_off INTEGER NOT NULL, reason TEXT, body BLOB NOT NULL, PRIMARY KEY (queue, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS messages_by_due ON messages (queue, due);
";

/// How far the views of a directory follow its ledger; absent where they are filled when a desk starts. Only for the process that holds the lock.
pub(crate) fn followed(directory: &Path) -> Result<Option<i64>, Error> {
    let path = directory.join("views.db");
    if !std::fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
        return Ok(None);
    }
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let read = || -> rusqlite::Result<Option<i64>> {
        let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if layout != LAYOUT {
            return Ok(None);
        }
        connection.query_row("SELECT sequence FROM documents WHERE view = 'checkpoint' AND key = 'follow'", [], |row| row.get(0)).optional()
    };
    read().map_err(|error| failed("read how far the views are", error))
}

/// The connection that views and queue of one directory share for writing, and their readers.
#[derive(Debug)]
pub struct ViewsFile {
    connection: Mutex<Connection>,
    readers: Readers,
    crash: Arc<Crash>,
}

impl ViewsFile {
    /// Opens `views.db` of a directory.
    pub fn open(directory: &Path, crash: Arc<Crash>) -> Result<Self, Error> {
        let path = directory.join("views.db");
        let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let prepared = connection
            .pragma_update(None, "journal_mode", "WAL")
            .and_then(|()| connection.pragma_update(None, "synchronous", "NORMAL"))
            .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", 8000))
            .and_then(|()| connection.pragma_update(None, "cache_size", -65_536))
            .and_then(|()| fit(&connection))
            .and_then(|()| connection.execute_batch(CREATE))
            .and_then(|()| connection.pragma_update(None, "user_version", LAYOUT));
        prepared.map_err(|error| failed("open the views", error))?;
        Ok(Self { connection: Mutex::new(connection), readers: Readers::new(&path), crash })
    }

    /// Opens `views.db` of a directory for reading alone, in the way that makes no side file; absent where it does not exist or has another layout, since it is
    /// filled from the ledger when a desk starts. `is_written` is true while a desk is running there.
    pub fn look(directory: &Path, is_written: bool) -> Result<Option<Self>, Error> {
        let path = directory.join("views.db");
        if !path.exists() {
            return Ok(None);
        }
        let connection = look(&path, is_written)?;
        let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(|error| failed("open the views", error))?;
        if layout != LAYOUT {
            return Ok(None);
        }
        Ok(Some(Self { connection: Mutex::new(connection), readers: Readers::look(&path, is_written)?, crash: Arc::default() }))
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().expect("no holder panics")
    }
}

/// The views of one file.
#[derive(Debug, Clone)]
pub struct Sqlite(pub Arc<ViewsFile>);

/// Throws away tables of another layout.
fn fit(connection: &Connection) -> rusqlite::Result<()> {
    let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let is_new: i64 = connection.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'documents'", [], |row| row.get(0))?;
    if layout == LAYOUT || is_new == 0 {
        return Ok(());
    }
    tracing::warn!(layout, "views.db has another layout; it is filled again from the ledger");
    // Older layouts held personal values in plain text: VACUUM leaves none of them in free pages, the checkpoint none in the write-ahead log.
    connection.execute_batch(
        "DROP TABLE IF EXISTS documents; DROP TABLE IF EXISTS entries; DROP TABLE IF EXISTS counters; DROP TABLE IF EXISTS facets; DROP TABLE IF EXISTS messages;
         VACUUM; PRAGMA wal_checkpoint(TRUNCATE)",
    )
}

/// Digits that are cut off the end of a value for the bucket it is counted in, coarse to fine: about twelve days, three hours, 100 seconds, one second.
/// Each holds a hundred of the next, so that finding a page walks a few hundred counters at most, times the different facets in them.
const LEVELS: [usize; 4] = [9, 7, 5, 3];
/// Digits at the end of a counted value, and the level of the one bucket that holds all values of an owner.
const DIGITS: usize = 16;
/// Different facets of which a filtered page is put together from a stretch of each. Rows of more are walked instead.
const MERGED_MAX: usize = 64;

/// What a stretch belongs to: the beginning of its values, up to and with the last bar of its start.
fn owner(from: &str) -> &str {
    &from[..from.rfind('|').map_or(0, |bar| bar + 1)]
}

/// The owner whose values a stretch holds all.
fn whole<'a>(from: &'a str, to: &str) -> Option<&'a str> {
    (to.strip_suffix('~') == Some(from) && owner(from) == from).then_some(from)
}

/// The bucket of a value at a level; `None` if the value does not end in an instant.
fn bucket(value: &str, level: usize) -> Option<&str> {
    let digits = value.len().checked_sub(DIGITS).and_then(|at| value.get(at..))?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| &value[..value.len() - level])
}

/// The bucket that an end of a stretch cuts; `None` if every bucket is as a whole on one side of it. An end may be any text: an instant, an open end such
/// as `p1|~`, or a text that begins with an instant.
fn cut_bucket(end: &str, level: usize) -> Option<&str> {
    let instant = end.rfind('|').map_or(0, |bar| bar + 1);
    let bucket = end.get(..instant + DIGITS - level)?;
    bucket[instant..].bytes().all(|byte| byte.is_ascii_digit()).then_some(bucket)
}

/// What comes after every value of a bucket.
fn after(bucket: &str) -> String {
    format!("{bucket}~")
}

/// Counts a row in or out.
fn tally(transaction: &Connection, view: &str, (name, value, facets): (&str, &str, i64), n: i64) -> rusqlite::Result<()> {
    if !COUNTED.contains(&name) {
        return Ok(());
    }
    for level in [DIGITS].into_iter().chain(LEVELS) {
        let Some(bucket) = bucket(value, level) else { return Ok(()) };
        let mut statement = transaction.prepare_cached(
            "INSERT INTO counters (view, name, level, bucket, facets, n) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (view, name, level, bucket, facets) DO UPDATE SET n = n + ?6",
        )?;
        statement.execute(params![view, name, at_most(level), bucket, facets, n])?;
        if n < 0 {
            let mut empty =
                transaction.prepare_cached("DELETE FROM counters WHERE view = ?1 AND name = ?2 AND level = ?3 AND bucket = ?4 AND facets = ?5 AND n <= 0")?;
            empty.execute(params![view, name, at_most(level), bucket, facets])?;
        }
    }
    Ok(())
}

/// A row of a document as it stands.
struct Row {
    name: String,
    value: String,
    facets: i64,
    own: String,
}

/// The rows of a document as they stand.
fn rows_of(transaction: &Connection, view: &str, key: &str) -> rusqlite::Result<Vec<Row>> {
    let mut statement = transaction.prepare_cached("SELECT name, value, facets, own FROM entries WHERE view = ?1 AND key = ?2")?;
    statement.query_map([view, key], |row| Ok(Row { name: row.get(0)?, value: row.get(1)?, facets: row.get(2)?, own: row.get(3)? }))?.collect()
}

/// Index rows and facets that are put with a document.
struct Rows<'a> {
    index: &'a Index,
    facets: &'a str,
}

/// Takes rows away that a document has no longer.
fn take_rows<'a>(transaction: &Connection, view: &str, key: &str, gone: impl Iterator<Item = &'a Row>) -> rusqlite::Result<()> {
    for Row { name, value, facets, .. } in gone {
        transaction.prepare_cached("DELETE FROM entries WHERE view = ?1 AND name = ?2 AND value = ?3 AND key = ?4")?.execute([view, name, value, key])?;
        tally(transaction, view, (name, value, *facets), -1)?;
    }
    Ok(())
}

/// The number that shared facets have in this file; they get one when they are met first.
fn facets_id(transaction: &Connection, view: &str, shared: &str) -> rusqlite::Result<i64> {
    let known = transaction.prepare_cached("SELECT id FROM facets WHERE view = ?1 AND shared = ?2")?.query_row([view, shared], |row| row.get(0)).optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    transaction.prepare_cached("INSERT INTO facets (view, shared) VALUES (?1, ?2)")?.execute([view, shared])?;
    Ok(transaction.last_insert_rowid())
}

/// The number of facets that a row is counted under; absent where its list is not counted.
fn counted(name: &str, facets: i64) -> Option<i64> {
    COUNTED.contains(&name).then_some(facets)
}

fn put(connection: &mut Connection, crash: &Crash, view: &str, key: &str, document: &Document, rows: &Rows<'_>, expected: i64) -> rusqlite::Result<bool> {
    let Rows { index, facets } = rows;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let stored: Option<i64> =
            transaction.prepare_cached("SELECT sequence FROM documents WHERE view = ?1 AND key = ?2")?.query_row([view, key], |row| row.get(0)).optional()?;
        if stored.unwrap_or_default() != expected {
            return Ok(false);
        }
        // Most rows of a document stay as they are: only the difference is written.
        let old = if expected > 0 { rows_of(&transaction, view, key)? } else { Vec::new() };
        let (shared, own) = shared_and_own(facets);
        let id = facets_id(&transaction, view, shared)?;
        let (kept, gone): (Vec<&Row>, Vec<&Row>) = old.iter().partition(|row| index.iter().any(|(new, at)| row.name == *new && row.value == *at));
        take_rows(&transaction, view, key, gone.into_iter())?;
        for Row { name, value, facets, own: before } in kept {
            if *facets != id {
                tally(&transaction, view, (name, value, *facets), -1)?;
                tally(&transaction, view, (name, value, id), 1)?;
            }
            if *facets != id || before != own {
                let mut change = transaction
                    .prepare_cached("UPDATE entries SET facets = ?5, own = ?6, counted = ?7 WHERE view = ?1 AND name = ?2 AND value = ?3 AND key = ?4")?;
                change.execute(params![view, name, value, key, id, own, counted(name, id)])?;
            }
        }
        let mut insert =
            transaction.prepare_cached("INSERT OR IGNORE INTO entries (view, name, value, key, facets, own, counted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        for (name, value) in *index {
            if insert.execute(params![view, name, value, key, id, own, counted(name, id)])? > 0 {
                tally(&transaction, view, (name, value, id), 1)?;
            }
        }
        crash.pass("during-projection");
        transaction.prepare_cached("INSERT OR REPLACE INTO documents (view, key, sequence, body) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            view,
            key,
            document.sequence,
            document.body
        ])?;
    }
    transaction.commit()?;
    Ok(true)
}

/// The condition on counters that some facets, the parameter of a number, are meant; every row where none is named.
fn of_facets(facets: Option<&str>, parameter: usize) -> String {
    // The plain read of a value that is never absent keeps the number of parameters alike.
    facets.map_or_else(|| format!("AND ?{parameter} IS NULL"), |_| format!("AND facets IN (SELECT value FROM json_each(?{parameter}))"))
}

/// Counts a stretch; where facets are named (a JSON array of their numbers), only rows that have one of them.
fn count(connection: &Connection, view: &str, index: &str, (from, to): (&str, &str), facets: Option<&str>) -> rusqlite::Result<i64> {
    match whole(from, to).filter(|_| COUNTED.contains(&index)) {
        Some(owner) => sum(connection, view, index, DIGITS, (owner, &after(owner)), facets),
        None => count_at(connection, view, index, (from, to), facets, &LEVELS),
    }
}

/// The sum of counters of a level between two buckets.
fn sum(connection: &Connection, view: &str, index: &str, level: usize, (from, to): (&str, &str), facets: Option<&str>) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT coalesce(sum(n), 0) FROM counters WHERE view = ?1 AND name = ?2 AND level = ?3 AND bucket >= ?4 AND bucket < ?5 {}",
        of_facets(facets, 6)
    ))?;
    statement.query_row(params![view, index, at_most(level), from, to, facets], |row| row.get(0))
}

/// Counts whole buckets by their counters, what is cut off at the ends of a stretch by finer ones, and at last row by row.
fn count_at(connection: &Connection, view: &str, index: &str, (from, to): (&str, &str), facets: Option<&str>, levels: &[usize]) -> rusqlite::Result<i64> {
    let Some((level, finer)) = levels.split_first().filter(|_| COUNTED.contains(&index)) else {
        let mut statement = connection
            .prepare_cached(&format!("SELECT count(*) FROM entries WHERE view = ?1 AND name = ?2 AND value >= ?3 AND value < ?4 {}", of_facets(facets, 5)))?;
        return statement.query_row(params![view, index, from, to, facets], |row| row.get(0));
    };
    let (low, high) = (cut_bucket(from, *level), cut_bucket(to, *level));
    if low.is_some() && low == high {
        return count_at(connection, view, index, (from, to), facets, finer);
    }
    let begin = low.map_or_else(|| from.to_owned(), after);
    let end = high.unwrap_or(to);
    let whole = sum(connection, view, index, *level, (&begin, end), facets)?;
    // An end that is no instant may itself lie within the bucket that the other end cuts.
    let below = low.map_or(Ok(0), |low| count_at(connection, view, index, (from, to.min(&after(low))), facets, finer))?;
    let above = high.map_or(Ok(0), |high| count_at(connection, view, index, (from.max(high), to), facets, finer))?;
    Ok(below + whole + above)
}

/// Where a page begins: buckets are skipped as a whole, coarse ones first, until the one that holds its first row. Gives back the stretch that is
/// left, and how many of its rows are still to be skipped.
fn begin(connection: &Connection, range: &Range<'_>, facets: Option<&str>) -> rusqlite::Result<(String, String, usize)> {
    let (mut from, mut to, mut skip) = (range.from.to_owned(), range.to.to_owned(), range.skip);
    let order = if range.descending { "DESC" } else { "ASC" };
    for level in LEVELS {
        if skip == 0 || !COUNTED.contains(&range.index) {
            break;
        }
        // A bucket that an end of the stretch cuts is not skipped by its counter; finer ones follow.
        let begin = cut_bucket(&from, level).map_or_else(|| from.clone(), after);
        let end = cut_bucket(&to, level).map_or_else(|| to.clone(), str::to_owned);
        let edge = if range.descending { (end.as_str(), to.as_str()) } else { (from.as_str(), begin.as_str()) };
        let edge =
            if begin < end { usize::try_from(count_at(connection, range.view, range.index, edge, facets, &LEVELS)?).unwrap_or_default() } else { usize::MAX };
        if skip < edge {
            continue;
        }
        let mut statement = connection.prepare_cached(&format!(
            "SELECT bucket, sum(n) FROM counters WHERE view = ?1 AND name = ?2 AND level = ?3 AND bucket >= ?4 AND bucket < ?5 {} \
             GROUP BY bucket ORDER BY bucket {order}",
            of_facets(facets, 6)
        ))?;
        let mut rows = statement.query(params![range.view, range.index, at_most(level), begin, end, facets])?;
        let mut left = skip - edge;
        let mut holds_first = None;
        while let Some(row) = rows.next()? {
            let (bucket, n): (String, i64) = (row.get(0)?, row.get(1)?);
            let n = usize::try_from(n).unwrap_or_default();
            if left < n {
                holds_first = Some(bucket);
                break;
            }
            left -= n;
        }
        skip = left;
        // Where no whole bucket holds the first row, it lies in the part of a bucket at the far end. A stretch only ever shrinks.
        if range.descending {
            to = to.min(holds_first.map_or(begin, |bucket| after(&bucket)));
        } else {
            from = from.max(holds_first.unwrap_or(end));
        }
    }
    Ok((from, to, skip))
}

/// The columns of an [`Entry`].
const ENTRY: &str = "value, key, (SELECT shared FROM facets WHERE id = entries.facets), own";

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let (shared, own): (String, String) = (row.get(2)?, row.get(3)?);
    Ok(Entry { value: row.get(0)?, key: row.get(1)?, facets: if own.is_empty() { shared } else { format!("{shared}\t{own}") } })
}

/// The facets of a list's owner that fit, by their numbers.
fn fitting(connection: &Connection, range: &Range<'_>, fits: Fits<'_>) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT counters.facets, shared FROM counters JOIN facets ON facets.id = counters.facets \
         WHERE counters.view = ?1 AND name = ?2 AND level = ?3 AND bucket = ?4",
    )?;
    let all = statement.query_map(params![range.view, range.index, at_most(DIGITS), owner(range.from)], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let all: Vec<(i64, String)> = all.collect::<rusqlite::Result<_>>()?;
    Ok(all.into_iter().filter(|(_, shared)| fits(shared)).map(|(id, _)| id).collect())
}

/// The first rows of a stretch that have one of some facets, read from a stretch of each, or walked where there are many.
fn first_rows(connection: &Connection, range: &Range<'_>, (from, to): (&str, &str), facets: &[i64], json: &str, n: usize) -> rusqlite::Result<Vec<Entry>> {
    let order = if range.descending { "DESC" } else { "ASC" };
    let by = |condition: &str| {
        format!(
            "SELECT {ENTRY} FROM entries WHERE view = ?1 AND name = ?2 AND value >= ?3 AND value < ?4 AND {condition} ORDER BY value {order}, key {order} LIMIT ?6"
        )
    };
    if facets.len() > MERGED_MAX {
        let mut statement = connection.prepare_cached(&by("facets IN (SELECT value FROM json_each(?5))"))?;
        return statement.query_map(params![range.view, range.index, from, to, json, at_most(n)], entry)?.collect();
    }
    let mut statement = connection.prepare_cached(&by("counted = ?5"))?;
    let mut rows: Vec<Entry> = Vec::new();
    for id in facets {
        let found = statement.query_map(params![range.view, range.index, from, to, id, at_most(n)], entry)?;
        rows.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    rows.sort_by(|a, b| (&a.value, &a.key).cmp(&(&b.value, &b.key)));
    if range.descending {
        rows.reverse();
    }
    rows.truncate(n);
    Ok(rows)
}

/// The count and one page of the rows whose facets fit, by counters.
fn page_where(connection: &Connection, range: &Range<'_>, fits: Fits<'_>) -> rusqlite::Result<(u64, Vec<Entry>)> {
    let facets = fitting(connection, range, fits)?;
    if facets.is_empty() {
        return Ok((0, Vec::new()));
    }
    let json = format!("[{}]", facets.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    let count = count(connection, range.view, range.index, (range.from, range.to), Some(&json))?.unsigned_abs();
    if count <= range.skip as u64 || range.limit == 0 {
        return Ok((count, Vec::new()));
    }
    let (from, to, skip) = begin(connection, range, Some(&json))?;
    let rows = first_rows(connection, range, (&from, &to), &facets, &json, skip.saturating_add(range.limit))?;
    Ok((count, rows.into_iter().skip(skip).collect()))
}

#[async_trait]
impl Views for Sqlite {
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error> {
        self.0.readers.with(&format!("read {view} {key}"), |connection| {
            let mut statement = connection.prepare_cached("SELECT sequence, body FROM documents WHERE view = ?1 AND key = ?2")?;
            statement.query_row([view, key], |row| Ok(Document { sequence: row.get(0)?, body: row.get(1)? })).optional()
        })
    }
    async fn put_with(&self, view: &str, key: &str, document: &Document, index: &Index, facets: &str, expected: i64) -> Result<bool, Error> {
        put(&mut self.0.writer(), &self.0.crash, view, key, document, &Rows { index, facets }, expected)
            .map_err(|error| failed(&format!("write {view} {key}"), error))
    }
    async fn range_after(&self, range: Range<'_>, after: Option<&Entry>) -> Result<Vec<Entry>, Error> {
        let (order, behind) = if range.descending { ("DESC", "<") } else { ("ASC", ">") };
        self.0.readers.with(&format!("list {}", range.view), |connection| {
            // Rows behind an entry are found by the entry; counters know nothing of it.
            let (from, to, skip) = match after {
                Some(_) => (range.from.to_owned(), range.to.to_owned(), range.skip),
                None => begin(connection, &range, None)?,
            };
            let behind = after.map_or_else(String::new, |_| format!("AND (value, key) {behind} (?7, ?8)"));
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {ENTRY} FROM entries WHERE view = ?1 AND name = ?2 AND value >= ?3 AND value < ?4 {behind} \
                 ORDER BY value {order}, key {order} LIMIT ?5 OFFSET ?6"
            ))?;
            let (limit, skip) = (at_most(range.limit), at_most(skip));
            let mut values: Vec<&dyn rusqlite::ToSql> = vec![&range.view, &range.index, &from, &to, &limit, &skip];
            if let Some(after) = after {
                values.extend([&after.value as &dyn rusqlite::ToSql, &after.key]);
            }
            statement.query_map(&values[..], entry)?.collect()
        })
    }
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error> {
        self.0.readers.with(&format!("count {view}"), |connection| count(connection, view, index, (from, to), None).map(i64::unsigned_abs))
    }
    fn has_counters(&self) -> bool {
        true
    }
    async fn page_where(&self, range: Range<'_>, fits: Fits<'_>) -> Result<(u64, Vec<Entry>), Error> {
        if COUNTED.contains(&range.index) {
            return self.0.readers.with(&format!("list {}", range.view), |connection| page_where(connection, &range, fits));
        }
        super::walk(self, range, fits).await
    }
    async fn scan(&self, view: &str, after: &str, limit: usize) -> Result<Vec<(String, Document)>, Error> {
        self.0.readers.with(&format!("scan {view}"), |connection| {
            let mut statement = connection.prepare_cached("SELECT key, sequence, body FROM documents WHERE view = ?1 AND key > ?2 ORDER BY key LIMIT ?3")?;
            let rows =
                statement.query_map(params![view, after, at_most(limit)], |row| Ok((row.get(0)?, Document { sequence: row.get(1)?, body: row.get(2)? })))?;
            rows.collect()
        })
    }
    async fn remove(&self, view: &str, key: &str) -> Result<(), Error> {
        let mut connection = self.0.writer();
        let remove = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            let rows = rows_of(&transaction, view, key)?;
            take_rows(&transaction, view, key, rows.iter())?;
            transaction.execute("DELETE FROM documents WHERE view = ?1 AND key = ?2", [view, key])?;
            transaction.commit()
        };
        remove(&mut connection).map_err(|error| failed(&format!("remove {view} {key}"), error))
    }
    async fn clear(&self, view: &str) -> Result<(), Error> {
        let mut connection = self.0.writer();
        let clear = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for table in ["entries", "counters", "facets", "documents"] {
                transaction.execute(&format!("DELETE FROM {table} WHERE view = ?1"), [view])?;
            }
            transaction.commit()
        };
        clear(&mut connection).map_err(|error| failed(&format!("clear {view}"), error))
    }
}
