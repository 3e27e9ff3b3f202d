//! The read models on SQLite, in `views.db`. `synchronous=NORMAL`: a power loss may take the newest writes back, together with the
//! queue's in the same file, and following the ledger brings them again.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{Document, Entry, Index, Range, Views};
use crate::Error;
use crate::crash::Crash;
use crate::sqlite::{Readers, at_most, connect, failed};

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS documents (
        view TEXT NOT NULL, key TEXT NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (view, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS entries (
        view TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (view, name, value, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS entries_by_key ON entries (view, key);
    CREATE TABLE IF NOT EXISTS messages (
        queue TEXT NOT NULL, id TEXT NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL, reason TEXT, body BLOB NOT NULL, PRIMARY KEY (queue, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS messages_by_due ON messages (queue, due);
";

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
            .and_then(|()| connection.execute_batch(CREATE));
        prepared.map_err(|error| failed("open the views", error))?;
        Ok(Self { connection: Mutex::new(connection), readers: Readers::new(&path), crash })
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().expect("no holder panics")
    }
}

/// The views of one file.
#[derive(Debug, Clone)]
pub struct Sqlite(pub Arc<ViewsFile>);

fn put(connection: &mut Connection, crash: &Crash, view: &str, key: &str, document: &Document, index: &Index, expected: i64) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    {
        let stored: Option<i64> =
            transaction.prepare_cached("SELECT sequence FROM documents WHERE view = ?1 AND key = ?2")?.query_row([view, key], |row| row.get(0)).optional()?;
        if stored.unwrap_or_default() != expected {
            return Ok(false);
        }
        if expected > 0 {
            transaction.prepare_cached("DELETE FROM entries WHERE view = ?1 AND key = ?2")?.execute([view, key])?;
        }
        let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO entries (view, name, value, key) VALUES (?1, ?2, ?3, ?4)")?;
        for (name, value) in index {
            insert.execute(params![view, name, value, key])?;
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

#[async_trait]
impl Views for Sqlite {
    async fn get(&self, view: &str, key: &str) -> Result<Option<Document>, Error> {
        self.0.readers.with(&format!("read {view} {key}"), |connection| {
            let mut statement = connection.prepare_cached("SELECT sequence, body FROM documents WHERE view = ?1 AND key = ?2")?;
            statement.query_row([view, key], |row| Ok(Document { sequence: row.get(0)?, body: row.get(1)? })).optional()
        })
    }
    async fn put(&self, view: &str, key: &str, document: &Document, index: &Index, expected: i64) -> Result<bool, Error> {
        put(&mut self.0.writer(), &self.0.crash, view, key, document, index, expected).map_err(|error| failed(&format!("write {view} {key}"), error))
    }
    async fn range(&self, range: Range<'_>) -> Result<Vec<Entry>, Error> {
        let order = if range.descending { "DESC" } else { "ASC" };
        self.0.readers.with(&format!("list {}", range.view), |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT value, key FROM entries WHERE view = ?1 AND name = ?2 AND value >= ?3 AND value < ?4 ORDER BY value {order}, key {order} LIMIT ?5 OFFSET ?6"
            ))?;
            let rows = statement.query_map(params![range.view, range.index, range.from, range.to, at_most(range.limit), at_most(range.skip)], |row| {
                Ok(Entry { value: row.get(0)?, key: row.get(1)? })
            })?;
            rows.collect()
        })
    }
    async fn count(&self, view: &str, index: &str, from: &str, to: &str) -> Result<u64, Error> {
        self.0.readers.with(&format!("count {view}"), |connection| {
            let mut statement = connection.prepare_cached("SELECT count(*) FROM entries WHERE view = ?1 AND name = ?2 AND value >= ?3 AND value < ?4")?;
            statement.query_row([view, index, from, to], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
        })
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
            transaction.execute("DELETE FROM entries WHERE view = ?1 AND key = ?2", [view, key])?;
            transaction.execute("DELETE FROM documents WHERE view = ?1 AND key = ?2", [view, key])?;
            transaction.commit()
        };
        remove(&mut connection).map_err(|error| failed(&format!("remove {view} {key}"), error))
    }
    async fn clear(&self, view: &str) -> Result<(), Error> {
        let mut connection = self.0.writer();
        let clear = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            for table in ["entries", "documents"] {
                transaction.execute(&format!("DELETE FROM {table} WHERE view = ?1"), [view])?;
            }
            transaction.commit()
        };
        clear(&mut connection).map_err(|error| failed(&format!("clear {view}"), error))
    }
}
