//! The key store on SQLite, in a file of its own that can be kept out of backups.
//!
//! Names and keys that were read stay in memory: they never change, only vanish, and this process is the one that erases.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use events::Pid;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::{Key, Keys, memory::fresh_pid};
use crate::clock::Chance;
use crate::sqlite::{BUSY_TIMEOUT, connect, failed, look};
use crate::{Error, Kind};

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS people (pid TEXT PRIMARY KEY, username TEXT NOT NULL UNIQUE, key BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS erased (pid TEXT PRIMARY KEY) STRICT;
    CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
";
/// People kept in memory; more are read again.
const REMEMBERED_MAX: usize = 100_000;

/// Names that are looked up on the caller's thread; more are looked up on a thread for blocking work, because each costs some microseconds.
const FOUND_AT_ONCE: usize = 16;

/// One key file.
pub struct Sqlite {
    file: PathBuf,
    chance: Arc<dyn Chance>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    connection: Connection,
    by_name: HashMap<String, Pid>,
    people: HashMap<Pid, (String, Key)>,
}

impl Sqlite {
    /// Opens the key file of a directory.
    pub fn open(directory: &Path, chance: Arc<dyn Chance>) -> Result<Self, Error> {
        let file = directory.join("keys.db");
        let connection = connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let prepared = connection
            .pragma_update(None, "journal_mode", "WAL")
            .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
            .and_then(|()| connection.pragma_update(None, "secure_delete", "ON"))
            .and_then(|()| connection.execute_batch(CREATE));
        prepared.map_err(|error| failed("open the key store", error))?;
        Ok(Self::over(connection, file, chance))
    }

    /// Opens the key file of a directory for reading alone.
    pub fn read(directory: &Path, chance: Arc<dyn Chance>) -> Result<Self, Error> {
        let file = directory.join("keys.db");
        Ok(Self::over(connect(&file, OpenFlags::SQLITE_OPEN_READ_ONLY)?, file, chance))
    }

    /// The same in the way that makes no side file; `is_written` is true while a desk is running there.
    pub fn look(directory: &Path, is_written: bool, chance: Arc<dyn Chance>) -> Result<Self, Error> {
        let file = directory.join("keys.db");
        Ok(Self::over(look(&file, is_written)?, file, chance))
    }

    fn over(connection: Connection, file: PathBuf, chance: Arc<dyn Chance>) -> Self {
        let inner = Inner { connection, by_name: HashMap::new(), people: HashMap::new() };
        Self { file, chance, inner: Arc::new(Mutex::new(inner)) }
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

/// Registers the new ones among these in one transaction. The connection is one of its own, so that requests read meanwhile. Nothing is kept in memory here:
/// a person may be erased before this could note the key.
fn register(file: &Path, chance: &dyn Chance, usernames: &[String]) -> Result<Vec<Pid>, Error> {
    let in_words = |error: rusqlite::Error| failed("register people", error);
    let mut connection = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(in_words)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(in_words)?;
    let mut pids = Vec::with_capacity(usernames.len());
    for username in usernames {
        pids.push(registered(&transaction, chance, username).map_err(in_words)?);
    }
    transaction.commit().map_err(in_words)?;
    Ok(pids)
}

fn registered(connection: &Connection, chance: &dyn Chance, username: &str) -> rusqlite::Result<Pid> {
    let mut find = connection.prepare_cached("SELECT pid FROM people WHERE username = ?1")?;
    if let Some(pid) = find.query_row([username], |row| row.get::<_, String>(0)).optional()? {
        return Ok(Pid(pid));
    }
    let (pid, mut key): (Pid, Key) = (fresh_pid(chance), [0; 32]);
    chance.fill(&mut key);
    let mut insert = connection.prepare_cached("INSERT INTO people (pid, username, key) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![pid.as_str(), username, key])?;
    Ok(pid)
}

/// Rewrites the file without what was removed. The connection is one of its own, so that requests read meanwhile.
fn scrub(file: &Path) -> Result<(), Error> {
    let in_words = |error: rusqlite::Error| failed("scrub the key store", error);
    let connection = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // `secure_delete` overwrites deleted rows. Pages that were split may still hold a copy: VACUUM writes the file anew.
    connection.execute_batch("VACUUM").map_err(in_words)?;
    // The old pages remain in the write-ahead log until it is truncated, which a reader prevents. SQLite reports that in the first column only.
    let is_held: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(in_words)?;
    if is_held {
        return Err(Error::new(Kind::Unavailable, format!("cannot scrub the key store: another process is reading {}", file.display())));
    }
    Ok(())
}

/// Work that would hold up the threads which serve requests, on a thread for blocking work.
async fn blocking<T: Send + 'static>(what: &str, work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::because(Kind::Unavailable, what, error)),
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
    async fn find_all(&self, usernames: &[String]) -> Result<Vec<Option<Pid>>, Error> {
        // The lock is taken for one name at a time, so that other requests go on in between.
        let find = |inner: &Mutex<Inner>, username: &String| {
            let found = inner.lock().expect("no holder panics").find(username);
            found.map_err(|error| failed("look up a person", error))
        };
        if usernames.len() <= FOUND_AT_ONCE {
            return usernames.iter().map(|username| find(&self.inner, username)).collect();
        }
        let (inner, usernames) = (self.inner.clone(), usernames.to_vec());
        blocking("people were not looked up", move || usernames.iter().map(|username| find(&inner, username)).collect()).await
    }
    async fn register_all(&self, usernames: &[String]) -> Result<Vec<Pid>, Error> {
        if usernames.is_empty() {
            return Ok(Vec::new());
        }
        let (file, chance, usernames) = (self.file.clone(), self.chance.clone(), usernames.to_vec());
        blocking("people were not registered", move || register(&file, &*chance, &usernames)).await
    }
    async fn name(&self, pid: &Pid) -> Result<Option<String>, Error> {
        self.with("look up a name", |inner| Ok(inner.person(pid)?.map(|(name, _)| name)))
    }
    async fn key(&self, pid: &Pid) -> Result<Option<Key>, Error> {
        self.with("look up a key", |inner| Ok(inner.person(pid)?.map(|(_, key)| key)))
    }
    async fn erase(&self, pid: &Pid) -> Result<bool, Error> {
        self.with("erase a person", |inner| {
            let transaction = inner.connection.transaction()?;
            let erased = transaction.execute("DELETE FROM people WHERE pid = ?1", [pid.as_str()])?;
            if erased > 0 {
                // The id alone stays: a person who was erased is not one whom an older copy of the key store lacks.
                transaction.execute("INSERT OR IGNORE INTO erased (pid) VALUES (?1)", [pid.as_str()])?;
            }
            transaction.commit()?;
            // From here on the key is in memory no more, whatever becomes of the log.
            if let Some((name, _)) = inner.people.remove(pid) {
                inner.by_name.remove(&name);
            }
            // All requests that need a key wait for this connection: where a reader holds the log, it is left to `scrub`.
            inner.connection.busy_timeout(Duration::ZERO)?;
            let truncated = inner.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
            inner.connection.busy_timeout(BUSY_TIMEOUT)?;
            truncated.map(|()| erased > 0)
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
    async fn remove_secret(&self, name: &str) -> Result<(), Error> {
        self.with("remove a secret", |inner| inner.connection.execute("DELETE FROM secrets WHERE name = ?1", [name]).map(drop))
    }
    async fn scrub(&self) -> Result<(), Error> {
        let file = self.file.clone();
        blocking("the key store was not scrubbed", move || scrub(&file)).await
    }
}
