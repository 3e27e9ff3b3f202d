//! Stores the views in the SQLite file `views.db`. Views are documents for reading. All their data
//! comes from the ledger.
//!
//! The views and the work queues share this file. With `synchronous=NORMAL`, a power loss can undo
//! the newest writes in the file. After the next start, the desk repeats these writes from the
//! ledger.

mod counters;
mod layout;
mod pages;

use std::collections::{BTreeSet, HashMap, HashSet};
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
use counters::{File, Tallies, count, is_counted, page_start};
use layout::{CREATE, LAYOUT, counted_lists, drop_other_layout, name_counted_lists};
pub(crate) use layout::{followed, release_messages};
use pages::{ENTRY, OwnedRange, Passed, entry, facets_of, page_where};

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

/// The views (documents for reading, with indexes) in the SQLite file `views.db`.
#[derive(Debug, Clone)]
pub struct Sqlite(pub Arc<ViewsFile>);

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
