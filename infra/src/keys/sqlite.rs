//! The key store on SQLite, in a file of its own that can be kept out of backups.
//!
//! Names and keys that were read stay in memory: they never change, only vanish, and this process is the one that erases.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use events::Pid;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{Key, Keys, memory::fresh_pid};
use crate::Error;
use crate::clock::Chance;
use crate::sqlite::{connect, failed, look};

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS people (pid TEXT PRIMARY KEY, username TEXT NOT NULL UNIQUE, key BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
";
/// People kept in memory; more are read again.
const REMEMBERED_MAX: usize = 100_000;

/// One key file.
pub struct Sqlite {
    chance: Arc<dyn Chance>,
    inner: Mutex<Inner>,
}

struct Inner {
    connection: Connection,
    by_name: HashMap<String, Pid>,
    people: HashMap<Pid, (String, Key)>,
}

impl Sqlite {
    /// Opens the key file of a directory.
    pub fn open(directory: &Path, chance: Arc<dyn Chance>) -> Result<Self, Error> {
        let connection = connect(&directory.join("keys.db"), OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let prepared = connection
            .pragma_update(None, "journal_mode", "WAL")
            .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
            .and_then(|()| connection.pragma_update(None, "secure_delete", "ON"))
            .and_then(|()| connection.execute_batch(CREATE));
        prepared.map_err(|error| failed("open the key store", error))?;
        Ok(Self::over(connection, chance))
    }

    /// Opens the key file of a directory for reading alone.
    pub fn read(directory: &Path, chance: Arc<dyn Chance>) -> Result<Self, Error> {
        Ok(Self::over(connect(&directory.join("keys.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?, chance))
    }

    /// The same in the way that makes no side file; `is_written` is true while a desk is running there.
    pub fn look(directory: &Path, is_written: bool, chance: Arc<dyn Chance>) -> Result<Self, Error> {
        Ok(Self::over(look(&directory.join("keys.db"), is_written)?, chance))
    }

    fn over(connection: Connection, chance: Arc<dyn Chance>) -> Self {
        Self { chance, inner: Mutex::new(Inner { connection, by_name: HashMap::new(), people: HashMap::new() }) }
    }

    fn with<T>(&self, what: &str, work: impl FnOnce(&mut Inner) -> rusqlite::Result<T>) -> Result<T, Error> {
        work(&mut self.inner.lock().expect("no holder panics")).map_err(|error| failed(what, error))
    }
}

impl Inner {
    fn find(&mut self, username: &str) -> rusqlite::Result<Option<Pid>> {
        if let Some(pid) = self.by_name.get(username) {
            return Ok(Some(pid.clone()));
        }
        self.read("username", username)
    }

    fn person(&mut self, pid: &Pid) -> rusqlite::Result<Option<(String, Key)>> {
        if let Some(person) = self.people.get(pid) {
            return Ok(Some(person.clone()));
        }
        self.read("pid", pid.as_str())?;
        Ok(self.people.get(pid).cloned())
    }

    fn read(&mut self, column: &str, value: &str) -> rusqlite::Result<Option<Pid>> {
        let mut statement = self.connection.prepare_cached(&format!("SELECT pid, username, key FROM people WHERE {column} = ?1"))?;
        let found = statement.query_row([value], |row| Ok((Pid(row.get(0)?), row.get::<_, String>(1)?, row.get::<_, Key>(2)?))).optional()?;
        drop(statement);
        Ok(found.map(|(pid, username, key)| {
            if self.people.len() >= REMEMBERED_MAX {
                self.people.clear();
                self.by_name.clear();
            }
            self.by_name.insert(username.clone(), pid.clone());
            self.people.insert(pid.clone(), (username, key));
            pid
        }))
    }
}

#[async_trait]
impl Keys for Sqlite {
    async fn person(&self, username: &str) -> Result<Pid, Error> {
        self.with("register a person", |inner| {
            if let Some(pid) = inner.find(username)? {
                return Ok(pid);
            }
            let (pid, mut key) = (fresh_pid(&*self.chance), [0; 32]);
            self.chance.fill(&mut key);
            inner.connection.execute("INSERT OR IGNORE INTO people (pid, username, key) VALUES (?1, ?2, ?3)", params![pid.as_str(), username, key])?;
            // Another process (an import) may have been first: what the file says counts.
            Ok(inner.find(username)?.unwrap_or(pid))
        })
    }
    async fn find(&self, username: &str) -> Result<Option<Pid>, Error> {
        self.with("look up a person", |inner| inner.find(username))
    }
    async fn name(&self, pid: &Pid) -> Result<Option<String>, Error> {
        self.with("look up a name", |inner| Ok(inner.person(pid)?.map(|(name, _)| name)))
    }
    async fn key(&self, pid: &Pid) -> Result<Option<Key>, Error> {
        self.with("look up a key", |inner| Ok(inner.person(pid)?.map(|(_, key)| key)))
    }
    async fn erase(&self, pid: &Pid) -> Result<bool, Error> {
        self.with("erase a person", |inner| {
            let erased = inner.connection.execute("DELETE FROM people WHERE pid = ?1", [pid.as_str()])?;
            inner.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
            if let Some((name, _)) = inner.people.remove(pid) {
                inner.by_name.remove(&name);
            }
            Ok(erased > 0)
        })
    }
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.with("read a secret", |inner| inner.connection.query_row("SELECT value FROM secrets WHERE name = ?1", [name], |row| row.get(0)).optional())
    }
    async fn keep_secret(&self, name: &str, value: &[u8]) -> Result<(), Error> {
        self.with("keep a secret", |inner| {
            inner.connection.execute("INSERT OR REPLACE INTO secrets (name, value) VALUES (?1, ?2)", params![name, value])?;
            Ok(())
        })
    }
}
