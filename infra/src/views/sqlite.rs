//! Stores the views in the SQLite file `views.db`. Views are documents for reading. All their data
//! comes from the ledger.
//!
//! The views and the work queues share this file. With `synchronous=NORMAL`, a power loss can undo
//! the newest writes in the file. After the next start, the desk repeats these writes from the
//! ledger.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{
    Counted, Document, Entry, Fits, Index, PageWriter, Put, Range, RowFilter, Views, shared_and_own,
};
use crate::Error;
use crate::crash::Crash;
use crate::queue::NewMessage;
use crate::queue::sqlite::{self as queue, put_message};
use crate::sqlite::{Readers, WriterThread, at_most, connect, failed, look};

/// The layout version of `views.db`. A file with another layout is emptied, and the desk fills the
/// file again from the ledger.
const LAYOUT: i64 = 10;

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
    CREATE TABLE IF NOT EXISTS counted_lists (
        view TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (view, name)
    ) STRICT, WITHOUT ROWID;
";

/// Returns the position of the last ledger commit that is included in the views of a directory.
/// Returns `None` if the views are missing or have another layout. The function opens the file for
/// writing, so the caller must hold the lock of the directory.
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
        connection
            .query_row(
                "SELECT sequence FROM documents WHERE view = 'checkpoint' AND key = 'follow'",
                [],
                |row| row.get(0),
            )
            .optional()
    };
    read().map_err(|error| failed("read the position of the views", error))
}

/// Makes the queue messages available that a process took and did not finish before it ended. The
/// caller must hold the lock of the directory, so no other process works on these messages. Without
/// this function, the messages would stay hidden until the end of their lease.
///
/// A message that was abandoned [`RELEASED_MAX`] times stays hidden until the end of its lease,
/// because it is possible that this message itself ends the process.
pub(crate) fn release_messages(directory: &Path) -> Result<(), Error> {
    if followed(directory)?.is_none() {
        return Ok(());
    }
    let path = directory.join("views.db");
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    queue::release(&connection, RELEASED_MAX)
        .map_err(|error| failed("release the messages of the last process", error))
}

/// Maximum number of abandoned deliveries after which a message is available at the next start of a
/// desk. See [`release_messages`].
const RELEASED_MAX: u32 = 3;

/// The names of the counted lists, by the name of their view. A counted list is an index with row
/// counters. Its rows can be counted without reading every row.
type Lists = HashMap<String, BTreeSet<String>>;

/// The open file `views.db`: one writer thread, and connections for reading. The views and the work
/// queues are in this file and share the thread.
#[derive(Debug)]
pub struct ViewsFile {
    writer: Arc<WriterThread>,
    queue: queue::Sqlite,
    readers: Readers,
    counted: Arc<Lists>,
    crash: Arc<Crash>,
}

impl ViewsFile {
    /// Opens `views.db` of a directory. If the file has another layout or other counted lists
    /// (indexes with row counters) than this program uses, all its tables are removed. The next
    /// start of a desk then fills new tables from the ledger.
    pub fn open(directory: &Path, crash: Arc<Crash>, counted: &Counted) -> Result<Self, Error> {
        let path = directory.join("views.db");
        let connection = connect(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        )?;
        let prepared = connection
            .pragma_update(None, "journal_mode", "WAL")
            .and_then(|()| connection.pragma_update(None, "synchronous", "NORMAL"))
            .and_then(|()| connection.pragma_update(None, "cache_size", -8_192))
            .and_then(|()| drop_other_layout(&connection, counted))
            .and_then(|()| connection.execute_batch(CREATE))
            .and_then(|()| connection.execute_batch(queue::CREATE))
            .and_then(|()| name_counted_lists(&connection, counted))
            .and_then(|()| connection.pragma_update(None, "user_version", LAYOUT))
            .and_then(|()| counted_lists(&connection));
        let counted = prepared.map_err(|error| failed("open the views", error))?;
        let writer = Arc::new(WriterThread::start(connection, "views", Some(&path))?);
        Ok(Self {
            queue: queue::Sqlite::new(writer.clone()),
            writer,
            readers: Readers::new(&path),
            counted: Arc::new(counted),
            crash,
        })
    }

    /// Returns the work queues, which are stored in the same file as the views.
    pub fn queue(&self) -> queue::Sqlite {
        self.queue.clone()
    }

    /// Opens `views.db` of a directory read-only, without creating a `-wal` or `-shm` file. Returns
    /// `None` if the file is missing or has another layout. If a desk runs in the directory,
    /// `is_written` must be true. If `is_written` is false, some reads use no locks, so a
    /// concurrent write of the desk could cause wrong results.
    pub fn look(directory: &Path, is_written: bool) -> Result<Option<Self>, Error> {
        let path = directory.join("views.db");
        if !path.exists() {
            return Ok(None);
        }
        let connection = look(&path, is_written)?;
        let layout: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(|error| failed("open the views", error))?;
        if layout != LAYOUT {
            return Ok(None);
        }
        let counted =
            counted_lists(&connection).map_err(|error| failed("open the views", error))?;
        let writer = Arc::new(WriterThread::start(connection, "views", None)?);
        Ok(Some(Self {
            queue: queue::Sqlite::new(writer.clone()),
            writer,
            readers: Readers::look(&path, is_written)?,
            counted: Arc::new(counted),
            crash: Arc::default(),
        }))
    }
}

/// Returns the names of the counted lists (indexes with row counters) that a file contains.
fn counted_lists(connection: &Connection) -> rusqlite::Result<Lists> {
    let mut statement = connection.prepare("SELECT view, name FROM counted_lists")?;
    let mut lists = Lists::new();
    for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (view, name): (String, String) = row?;
        lists.entry(view).or_default().insert(name);
    }
    Ok(lists)
}

/// Stores the names of the counted lists (indexes with row counters) in the database.
fn name_counted_lists(connection: &Connection, counted: &Counted) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("INSERT OR IGNORE INTO counted_lists (view, name) VALUES (?1, ?2)")?;
    for (view, name) in counted {
        statement.execute([view, name])?;
    }
    Ok(())
}

/// The views (documents for reading, with indexes) in the SQLite file `views.db`.
#[derive(Debug, Clone)]
pub struct Sqlite(pub Arc<ViewsFile>);

/// Removes all tables if the file has another layout or other counted lists (indexes with row
/// counters). If a list becomes a counted list, its counters would otherwise miss the existing
/// rows.
fn drop_other_layout(connection: &Connection, counted: &Counted) -> rusqlite::Result<()> {
    let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row(
        "SELECT count(*) FROM sqlite_master WHERE name = 'documents'",
        [],
        |row| row.get(0),
    )?;
    if tables == 0 {
        return Ok(());
    }
    if layout == LAYOUT {
        let mut lists = Lists::new();
        for (view, name) in counted {
            let names = lists.entry((*view).to_owned()).or_default();
            names.insert((*name).to_owned());
        }
        if counted_lists(connection)? == lists {
            return Ok(());
        }
    }
    tracing::warn!(
        layout,
        "views.db has another layout or other counted lists; it is filled again from the ledger"
    );
    // Deleted rows can contain values that describe people, so these rows must not stay in the
    // file. VACUUM removes the rows from free pages, and the checkpoint removes them from the
    // write-ahead log.
    connection.execute_batch(
        "DROP TABLE IF EXISTS documents; DROP TABLE IF EXISTS entries; DROP TABLE IF EXISTS counters; DROP TABLE IF EXISTS facets; DROP TABLE IF EXISTS counted_lists; DROP TABLE IF EXISTS messages;
         VACUUM; PRAGMA wal_checkpoint(TRUNCATE)",
    )
}

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
const DIGITS: usize = 16;
/// A filtered list is read with one query for each facet (filter text) that the filter accepts. If
/// the filter accepts more facets than this maximum, a single query checks the facet of each row.
const MERGED_MAX: usize = 64;

/// Returns the owner part of an index value: the text up to and including its last `|`, for example
/// `p1|`. The parameter `from` is the start of a range. All values in this range begin with the
/// owner part.
fn owner(from: &str) -> &str {
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

fn is_counted(counted: &Lists, view: &str, name: &str) -> bool {
    counted.get(view).is_some_and(|names| names.contains(name))
}

/// A connection to a database file, and the names of the counted lists (indexes with row counters)
/// in this file.
#[derive(Clone, Copy)]
struct File<'a> {
    connection: &'a Connection,
    counted: &'a Lists,
}

impl File<'_> {
    fn is_counted(&self, view: &str, name: &str) -> bool {
        is_counted(self.counted, view, name)
    }
    /// Returns the value for the column `counted` of an index row. If the index has row counters,
    /// the value is `facets`, the id of the filter text of the row. Otherwise, the value is `None`.
    fn counted_under(&self, view: &str, name: &str, facets: i64) -> Option<i64> {
        self.is_counted(view, name).then_some(facets)
    }
}

/// The changes of the row counters in one transaction. Many rows of one transaction are in the same buckets (groups of
/// index values). Their changes are added in memory, and [`Tallies::store`] writes each counter once.
#[derive(Default)]
struct Tallies {
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
    fn add(
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
    fn store(self, transaction: &Connection) -> rusqlite::Result<()> {
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

/// A stored index row of a document.
struct Row {
    name: String,
    value: String,
    facets: i64,
    own: String,
}

/// Returns the stored index rows of a document. The statement names the index: without statistics, SQLite would read all rows
/// of the view (`findings/sqlite-primary-key-is-preferred-to-a-longer-index.sh`).
fn rows_of(transaction: &Connection, view: &str, key: &str) -> rusqlite::Result<Vec<Row>> {
    let mut statement = transaction.prepare_cached(
        "SELECT name, value, facets, own FROM entries INDEXED BY entries_by_key WHERE view = ?1 AND key = ?2",
    )?;
    statement
        .query_map([view, key], |row| {
            Ok(Row {
                name: row.get(0)?,
                value: row.get(1)?,
                facets: row.get(2)?,
                own: row.get(3)?,
            })
        })?
        .collect()
}

/// Deletes the index rows in `removed` from a document, and subtracts these rows from the counters.
fn delete_rows<'a>(
    file: File<'_>,
    tallies: &mut Tallies,
    view: &str,
    key: &str,
    removed: impl Iterator<Item = &'a Row>,
) -> rusqlite::Result<()> {
    for Row {
        name,
        value,
        facets,
        ..
    } in removed
    {
        file.connection
            .prepare_cached(
                "DELETE FROM entries WHERE view = ?1 AND name = ?2 AND value = ?3 AND key = ?4",
            )?
            .execute([view, name, value, key])?;
        tallies.add(file, view, (name, value, *facets), -1);
    }
    Ok(())
}

/// Returns the id of a shared filter text in the table `facets`. If the table does not contain the
/// text, the function adds the text.
fn facets_id(transaction: &Connection, view: &str, shared: &str) -> rusqlite::Result<i64> {
    let known = transaction
        .prepare_cached("SELECT id FROM facets WHERE view = ?1 AND shared = ?2")?
        .query_row([view, shared], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    transaction
        .prepare_cached("INSERT INTO facets (view, shared) VALUES (?1, ?2)")?
        .execute([view, shared])?;
    Ok(transaction.last_insert_rowid())
}

/// Stores one document within a transaction. Returns whether the document was stored.
fn put(file: File<'_>, crash: &Crash, tallies: &mut Tallies, put: &Put) -> rusqlite::Result<bool> {
    let transaction = file.connection;
    let Put {
        view,
        key,
        document,
        index,
        facets,
        expected,
    } = put;
    let stored: Option<i64> = transaction
        .prepare_cached("SELECT sequence FROM documents WHERE view = ?1 AND key = ?2")?
        .query_row([view.as_ref(), key.as_str()], |row| row.get(0))
        .optional()?;
    if stored.unwrap_or_default() != *expected {
        return Ok(false);
    }
    // Most index rows of a document stay the same, so only the changed rows are written.
    let old = if *expected > 0 {
        rows_of(transaction, view, key)?
    } else {
        Vec::new()
    };
    let (shared, own) = shared_and_own(facets);
    let id = facets_id(transaction, view, shared)?;
    let (unchanged, removed): (Vec<&Row>, Vec<&Row>) = old.iter().partition(|row| {
        index
            .iter()
            .any(|(new, at)| row.name == *new && row.value == *at)
    });
    delete_rows(file, tallies, view, key, removed.into_iter())?;
    for Row {
        name,
        value,
        facets,
        own: old_own,
    } in unchanged
    {
        if *facets != id {
            tallies.add(file, view, (name, value, *facets), -1);
            tallies.add(file, view, (name, value, id), 1);
        }
        if *facets != id || old_own != own {
            let mut change = transaction
                .prepare_cached("UPDATE entries SET facets = ?5, own = ?6, counted = ?7 WHERE view = ?1 AND name = ?2 AND value = ?3 AND key = ?4")?;
            change.execute(params![
                view,
                name,
                value,
                key,
                id,
                own,
                file.counted_under(view, name, id)
            ])?;
        }
    }
    let mut insert =
        transaction.prepare_cached("INSERT OR IGNORE INTO entries (view, name, value, key, facets, own, counted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for (name, value) in index {
        if insert.execute(params![
            view,
            name,
            value,
            key,
            id,
            own,
            file.counted_under(view, name, id)
        ])? > 0
        {
            tallies.add(file, view, (name, value, id), 1);
        }
    }
    crash.pass("during-projection");
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO documents (view, key, sequence, body) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![view, key, document.sequence, document.body])?;
    Ok(true)
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
fn count(
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
fn page_start(
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

/// The largest number of rows that one step of a row by row list reads. Between two steps, the
/// connection is free for other readers.
const ROWS_AT_ONCE: usize = 5_000;

/// The SQL columns from which an [`Entry`] (one index row) is built.
const ENTRY: &str = "value, key, (SELECT shared FROM facets WHERE id = entries.facets), own";

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let (shared, own): (String, String) = (row.get(2)?, row.get(3)?);
    Ok(Entry {
        value: row.get(0)?,
        key: row.get(1)?,
        facets: joined(shared, &own),
    })
}

/// Returns the shared facets (filter texts) of all index rows with one owner part. Each facet is in
/// a pair with its id. The owner part is the text of `range.from` up to and including its last `|`.
fn facets_of(connection: &Connection, range: &Range<'_>) -> rusqlite::Result<Vec<(i64, String)>> {
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
fn page_where(
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
struct Passed {
    count: u64,
    page: Vec<Entry>,
    /// The results of the filter for the shared facets (filter texts) that were read, by their ids.
    shared: HashMap<i64, bool>,
    /// The value and the key of the last row that was read.
    last: Option<(String, String)>,
    is_complete: bool,
}

impl Passed {
    /// Reads the next rows, at most [`ROWS_AT_ONCE`]. The texts of a row are copied only if the row
    /// belongs to the page.
    fn step(
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

fn get(connection: &Connection, view: &str, key: &str) -> rusqlite::Result<Option<Document>> {
    let mut statement = connection
        .prepare_cached("SELECT sequence, body FROM documents WHERE view = ?1 AND key = ?2")?;
    let document = |row: &rusqlite::Row<'_>| {
        Ok(Document {
            sequence: row.get(0)?,
            body: row.get(1)?,
        })
    };
    statement.query_row([view, key], document).optional()
}

#[async_trait]
impl Views for Sqlite {
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error> {
        let what = format!("read {view} {key}");
        let (view, key) = (view.to_owned(), key.to_owned());
        let get = move |connection: &Connection| get(connection, &view, &key);
        self.0.readers.read(what, get).await
    }
    async fn get_all(&self, keys: &[(&str, &str)]) -> Result<Vec<Option<Document>>, Error> {
        let what = format!("read {} documents", keys.len());
        let own = |(view, key): &(&str, &str)| ((*view).to_owned(), (*key).to_owned());
        let keys: Vec<(String, String)> = keys.iter().map(own).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let get_each = move |connection: &Connection| {
            let documents = keys.iter().map(|(view, key)| get(connection, view, key));
            documents.collect()
        };
        self.0.readers.read(what, get_each).await
    }
    async fn put_with(
        &self,
        view: &str,
        key: &str,
        document: &Document,
        index: &Index,
        facets: &str,
        expected: i64,
    ) -> Result<bool, Error> {
        let put = Put {
            view: view.to_owned().into(),
            key: key.to_owned(),
            document: document.clone(),
            index: index.to_vec(),
            facets: facets.to_owned(),
            expected,
        };
        let stored = self.write(Vec::new(), vec![put]).await?;
        Ok(stored == [true])
    }
    async fn range_after(
        &self,
        range: Range<'_>,
        after: Option<&Entry>,
    ) -> Result<Vec<Entry>, Error> {
        let what = format!("list {}", range.view);
        let (range, after) = (OwnedRange::of(&range), after.cloned());
        let counted = self.0.counted.clone();
        let list = move |connection: &Connection| {
            let range = range.as_range();
            let (order, comparison) = if range.descending {
                ("DESC", "<")
            } else {
                ("ASC", ">")
            };
            // If `after` is set, the SQL query itself selects only the rows after this entry. If
            // `after` is not set, `page_start` finds the start of the page with row counters.
            let (from, to, skip) = if after.is_some() {
                (range.from.to_owned(), range.to.to_owned(), range.skip)
            } else {
                let file = File {
                    connection,
                    counted: &counted,
                };
                page_start(file, &range, None)?
            };
            let comparison = after.as_ref().map_or_else(String::new, |_| {
                format!("AND (value, key) {comparison} (?7, ?8)")
            });
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {ENTRY} FROM entries WHERE view = ?1 AND name = ?2 AND value >= ?3 AND value < ?4 {comparison} \
                 ORDER BY value {order}, key {order} LIMIT ?5 OFFSET ?6"
            ))?;
            let (limit, skip) = (at_most(range.limit), at_most(skip));
            let mut values: Vec<&dyn rusqlite::ToSql> =
                vec![&range.view, &range.index, &from, &to, &limit, &skip];
            if let Some(after) = &after {
                values.extend([&after.value as &dyn rusqlite::ToSql, &after.key]);
            }
            statement.query_map(&values[..], entry)?.collect()
        };
        self.0.readers.read(what, list).await
    }
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error> {
        let what = format!("count {view}");
        let [view, index, from, to] = [view, index, from, to].map(str::to_owned);
        let counted = self.0.counted.clone();
        let rows = move |connection: &Connection| {
            let file = File {
                connection,
                counted: &counted,
            };
            count(file, &view, &index, (&from, &to), None).map(i64::unsigned_abs)
        };
        self.0.readers.read(what, rows).await
    }
    fn has_counters(&self) -> bool {
        true
    }
    async fn page_where(
        &self,
        range: Range<'_>,
        fits: Fits<'_>,
    ) -> Result<(u64, Vec<Entry>), Error> {
        if is_counted(&self.0.counted, range.view, range.index) {
            let what = || format!("list {}", range.view);
            let owned = OwnedRange::of(&range);
            let all = move |connection: &Connection| facets_of(connection, &owned.as_range());
            let all = self.0.readers.read(what(), all).await?;
            let fitting: Vec<i64> = all
                .into_iter()
                .filter(|(_, shared)| fits(shared))
                .map(|(id, _)| id)
                .collect();
            let (owned, counted) = (OwnedRange::of(&range), self.0.counted.clone());
            let page = move |connection: &Connection| {
                let file = File {
                    connection,
                    counted: &counted,
                };
                page_where(file, &owned.as_range(), &fitting)
            };
            return self.0.readers.read(what(), page).await;
        }
        super::walk(self, range, &|entry| fits(entry.shared()), false).await
    }
    async fn rows_where(
        &self,
        range: Range<'_>,
        filter: &RowFilter,
        until_full: bool,
    ) -> Result<(u64, Vec<Entry>), Error> {
        let mut read = Passed::default();
        loop {
            let (owned, filter) = (OwnedRange::of(&range), filter.clone());
            let step = move |connection: &Connection| {
                read.step(connection, &owned.as_range(), &filter, until_full)?;
                Ok(read)
            };
            read = self
                .0
                .readers
                .read(format!("list {}", range.view), step)
                .await?;
            if read.is_complete {
                return Ok((read.count, read.page));
            }
        }
    }
    async fn scan(
        &self,
        view: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Document)>, Error> {
        let what = format!("scan {view}");
        let (view, after) = (view.to_owned(), after.to_owned());
        let scan = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, sequence, body FROM documents WHERE view = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
            )?;
            let document = |row: &rusqlite::Row<'_>| {
                Ok((
                    row.get(0)?,
                    Document {
                        sequence: row.get(1)?,
                        body: row.get(2)?,
                    },
                ))
            };
            let rows = statement.query_map(params![view, after, at_most(limit)], document)?;
            rows.collect()
        };
        self.0.readers.read(what, scan).await
    }
    async fn remove(&self, view: &str, key: &str) -> Result<(), Error> {
        let counted = self.0.counted.clone();
        let (view, key) = (view.to_owned(), key.to_owned());
        self.0
            .writer
            .write(&format!("remove {view} {key}"), move |connection| {
                let transaction = connection.savepoint()?;
                let rows = rows_of(&transaction, &view, &key)?;
                let file = File {
                    connection: &transaction,
                    counted: &counted,
                };
                let mut tallies = Tallies::default();
                delete_rows(file, &mut tallies, &view, &key, rows.iter())?;
                tallies.store(&transaction)?;
                transaction.execute(
                    "DELETE FROM documents WHERE view = ?1 AND key = ?2",
                    [&view, &key],
                )?;
                transaction.commit()
            })
            .await
    }
    async fn clear(&self, view: &str) -> Result<(), Error> {
        let view = view.to_owned();
        self.0
            .writer
            .write(&format!("clear {view}"), move |connection| {
                let transaction = connection.savepoint()?;
                for table in ["entries", "counters", "facets", "documents"] {
                    transaction
                        .execute(&format!("DELETE FROM {table} WHERE view = ?1"), [&view])?;
                }
                transaction.commit()
            })
            .await
    }
}

/// A copy of a [`Range`] that owns its strings. A closure can move this copy to another thread.
struct OwnedRange {
    view: String,
    index: String,
    from: String,
    to: String,
    descending: bool,
    skip: usize,
    limit: usize,
}

impl OwnedRange {
    fn of(range: &Range<'_>) -> Self {
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

    fn as_range(&self) -> Range<'_> {
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

/// Writes messages and documents in one transaction on the writer thread. This is possible because
/// the work queues are in the same file as the views.
#[async_trait]
impl PageWriter for Sqlite {
    async fn write(&self, messages: Vec<NewMessage>, puts: Vec<Put>) -> Result<Vec<bool>, Error> {
        let what = match &puts[..] {
            [put] => format!("write {} {}", put.view, put.key),
            puts => format!("write {} documents", puts.len()),
        };
        let queues: BTreeSet<&'static str> = messages.iter().map(|message| message.queue).collect();
        let (counted, crash) = (self.0.counted.clone(), self.0.crash.clone());
        let stored = self
            .0
            .writer
            .write(&what, move |connection| {
                let transaction = connection.savepoint()?;
                for message in &messages {
                    put_message(
                        &transaction,
                        message.queue,
                        &message.id,
                        &message.body,
                        message.due.0,
                    )?;
                }
                let file = File {
                    connection: &transaction,
                    counted: &counted,
                };
                let mut stored = Vec::with_capacity(puts.len());
                let mut overtaken = HashSet::new();
                let mut tallies = Tallies::default();
                for one in &puts {
                    let is_stored = !overtaken.contains(one.key.as_str())
                        && put(file, &crash, &mut tallies, one)?;
                    if !is_stored {
                        overtaken.insert(one.key.as_str());
                    }
                    stored.push(is_stored);
                }
                tallies.store(&transaction)?;
                transaction.commit()?;
                Ok(stored)
            })
            .await?;
        for queue in queues {
            self.0.queue.arrivals.signal(queue);
        }
        Ok(stored)
    }
}
