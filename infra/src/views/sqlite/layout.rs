//! Prepares the file `views.db`: its tables, the version of its layout, and the names of its counted lists.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::super::Counted;
use super::Lists;
use crate::Error;
use crate::queue::sqlite as queue;
use crate::sqlite::{connect, failed};

/// The layout version of `views.db`. A file with another layout is emptied, and the desk fills the
/// file again from the ledger.
pub(super) const LAYOUT: i64 = 11;

pub(super) const CREATE: &str = "
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

/// Returns the names of the counted lists (indexes with row counters) that a file contains.
pub(super) fn counted_lists(connection: &Connection) -> rusqlite::Result<Lists> {
    let mut statement = connection.prepare("SELECT view, name FROM counted_lists")?;
    let mut lists = Lists::new();
    for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
        let (view, name): (String, String) = row?;
        lists.entry(view).or_default().insert(name);
    }
    Ok(lists)
}

/// Stores the names of the counted lists (indexes with row counters) in the database.
pub(super) fn name_counted_lists(
    connection: &Connection,
    counted: &Counted,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("INSERT OR IGNORE INTO counted_lists (view, name) VALUES (?1, ?2)")?;
    for (view, name) in counted {
        statement.execute([view, name])?;
    }
    Ok(())
}

/// Removes all tables if the file has another layout or other counted lists (indexes with row
/// counters). If a list becomes a counted list, its counters would otherwise miss the existing
/// rows.
pub(super) fn drop_other_layout(
    connection: &Connection,
    counted: &Counted,
) -> rusqlite::Result<()> {
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
