//! Implements the key store on SQLite. The key store is a separate file, so that a backup can be
//! made without personal data.
//!
//! Names and keys in the cache never expire. This is safe, because a name or a key never changes,
//! and only this process erases people.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use events::PersonId;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::{Key, Keys, memory::fresh_pid};
use crate::clock::Rng;
use crate::sqlite::{BUSY_TIMEOUT, blocking, connect, failed, look};
use crate::{Error, Kind};

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS people (pid TEXT PRIMARY KEY, username TEXT NOT NULL UNIQUE, key BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS erased (pid TEXT PRIMARY KEY) STRICT;
    CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
";
/// Maximum number of people in the cache.
const REMEMBERED_MAX: usize = 100_000;

/// A key store in the SQLite file `keys.db`.
pub struct Sqlite {
    file: PathBuf,
    rng: Arc<dyn Rng>,
    inner: Arc<Mutex<Inner>>,
    /// The people in the cache. A reader of the cache does not wait for the connection.
    known: Arc<Mutex<Known>>,
    /// The changes of secrets that wait for the connection.
    waiting: Arc<Mutex<Vec<Change>>>,
}

/// A change of one secret.
struct Change {
    name: String,
    /// The new value, or `None` if the secret is removed.
    value: Option<Vec<u8>>,
    done: oneshot::Sender<rusqlite::Result<()>>,
}

impl Change {
    fn apply(&self, connection: &Connection) -> rusqlite::Result<()> {
        match &self.value {
            Some(value) => connection
                .prepare_cached("INSERT OR REPLACE INTO secrets (name, value) VALUES (?1, ?2)")?
                .execute(params![self.name, value])
                .map(drop),
            None => connection
                .prepare_cached("DELETE FROM secrets WHERE name = ?1")?
                .execute([&self.name])
                .map(drop),
        }
    }
}

struct Inner {
    connection: Connection,
    /// The same cache as [`Sqlite::known`]. Only the holder of the connection changes the cache, so a read of the database
    /// and the addition of its result are one step for the erasure of a person.
    known: Arc<Mutex<Known>>,
}

/// The names and the encryption keys of people that were read before.
#[derive(Default)]
struct Known {
    by_name: HashMap<String, PersonId>,
    people: HashMap<PersonId, (String, Key)>,
}

impl Known {
    fn add(&mut self, pid: &PersonId, username: String, key: Key) {
        if self.people.len() >= REMEMBERED_MAX {
            self.people.clear();
            self.by_name.clear();
        }
        self.by_name.insert(username.clone(), pid.clone());
        self.people.insert(pid.clone(), (username, key));
    }

    fn remove(&mut self, pid: &PersonId) {
        if let Some((name, _)) = self.people.remove(pid) {
            self.by_name.remove(&name);
        }
    }
}

impl Sqlite {
    /// Opens `keys.db` in a directory for reading and writing.
    pub fn open(directory: &Path, rng: Arc<dyn Rng>) -> Result<Self, Error> {
        let file = directory.join("keys.db");
        let connection = connect(
            &file,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        )?;
        let prepared = connection
            .pragma_update(None, "journal_mode", "WAL")
            .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
            .and_then(|()| connection.pragma_update(None, "secure_delete", "ON"))
            .and_then(|()| connection.execute_batch(CREATE));
        prepared.map_err(|error| failed("open the key store", error))?;
        Ok(Self::over(connection, file, rng))
    }

    /// Opens `keys.db` in a directory for reading only.
    pub fn read(directory: &Path, rng: Arc<dyn Rng>) -> Result<Self, Error> {
        let file = directory.join("keys.db");
        Ok(Self::over(
            connect(&file, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
            file,
            rng,
        ))
    }

    /// Opens `keys.db` in a directory read-only, without creating a `-wal` or `-shm` file. If a
    /// desk runs in the directory, `is_written` must be true. If `is_written` is false, some reads
    /// use no locks, so a concurrent write of the desk could cause wrong results.
    pub fn look(directory: &Path, is_written: bool, rng: Arc<dyn Rng>) -> Result<Self, Error> {
        let file = directory.join("keys.db");
        Ok(Self::over(look(&file, is_written)?, file, rng))
    }

    fn over(connection: Connection, file: PathBuf, rng: Arc<dyn Rng>) -> Self {
        let known = Arc::new(Mutex::new(Known::default()));
        let inner = Inner {
            connection,
            known: known.clone(),
        };
        Self {
            file,
            rng,
            inner: Arc::new(Mutex::new(inner)),
            known,
            waiting: Arc::default(),
        }
    }

    /// Runs the function `work` with the database connection, on a thread for blocking work.
    async fn with<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut Inner) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = self.inner.clone();
        blocking(move || {
            let mut inner = inner.lock().expect("no holder panics");
            work(&mut inner).map_err(|error| failed(what, error))
        })
        .await
    }

    /// Changes a secret. The changes that wait for the connection at the same time are stored in one transaction, because
    /// each transaction waits for the disk.
    async fn change(
        &self,
        what: &'static str,
        name: &str,
        value: Option<&[u8]>,
    ) -> Result<(), Error> {
        let (done, stored) = oneshot::channel();
        let change = Change {
            name: name.to_owned(),
            value: value.map(<[u8]>::to_vec),
            done,
        };
        self.waiting.lock().expect("no holder panics").push(change);
        let waiting = self.waiting.clone();
        // If an earlier caller has already stored this change, the list is empty or contains later changes.
        self.with(what, move |inner| {
            let changes = std::mem::take(&mut *waiting.lock().expect("no holder panics"));
            inner.store(changes);
            Ok(())
        })
        .await?;
        match stored.await {
            Ok(stored) => stored.map_err(|error| failed(what, error)),
            Err(_) => Err(Error::new(Kind::Unavailable, format!("{what}: not stored"))),
        }
    }

    /// Returns the person id of a user name from the cache, without a read of the database.
    fn cached_pid(&self, username: &str) -> Option<PersonId> {
        let known = self.known.lock().expect("no holder panics");
        known.by_name.get(username).cloned()
    }

    /// Returns the user name and the encryption key of a person from the cache, without a read of the database.
    fn cached_person(&self, pid: &PersonId) -> Option<(String, Key)> {
        let known = self.known.lock().expect("no holder panics");
        known.people.get(pid).cloned()
    }

    /// Returns the encryption key of a person from the cache, without a read of the database.
    fn cached_key(&self, pid: &PersonId) -> Option<Key> {
        let known = self.known.lock().expect("no holder panics");
        known.people.get(pid).map(|(_, key)| *key)
    }
}

impl Inner {
    /// Stores changes of secrets in one transaction. If the transaction fails, each change is stored by itself, so that one
    /// change cannot prevent the others.
    fn store(&mut self, changes: Vec<Change>) {
        let together = self.connection.transaction().and_then(|transaction| {
            changes
                .iter()
                .try_for_each(|change| change.apply(&transaction))?;
            transaction.commit()
        });
        for change in changes {
            let stored = match together {
                Ok(()) => Ok(()),
                Err(_) => change.apply(&self.connection),
            };
            // The caller does not wait any more if its task was stopped.
            let _ = change.done.send(stored);
        }
    }

    fn find(&mut self, username: &str) -> rusqlite::Result<Option<PersonId>> {
        let known = self.known().by_name.get(username).cloned();
        if known.is_some() {
            return Ok(known);
        }
        self.read("username", username)
    }

    fn person(&mut self, pid: &PersonId) -> rusqlite::Result<Option<(String, Key)>> {
        let known = self.known().people.get(pid).cloned();
        if known.is_some() {
            return Ok(known);
        }
        self.read("pid", pid.as_str())?;
        Ok(self.known().people.get(pid).cloned())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder panics")
    }

    fn read(&mut self, column: &str, value: &str) -> rusqlite::Result<Option<PersonId>> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT pid, username, key FROM people WHERE {column} = ?1"
        ))?;
        let found = statement
            .query_row([value], |row| {
                Ok((
                    PersonId(row.get(0)?),
                    row.get::<_, String>(1)?,
                    row.get::<_, Key>(2)?,
                ))
            })
            .optional()?;
        drop(statement);
        Ok(found.map(|(pid, username, key)| {
            self.known().add(&pid, username, key);
            pid
        }))
    }
}

/// Registers new user names in one transaction. The function opens a second connection, so that
/// other requests can read at the same time.
///
/// The new keys are not added to the cache. Between the transaction and the addition, another
/// request could erase a person. The cache would then contain the erased key.
fn register(file: &Path, rng: &dyn Rng, usernames: &[String]) -> Result<Vec<PersonId>, Error> {
    let failure = |error: rusqlite::Error| failed("register people", error);
    let mut connection = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(failure)?;
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failure)?;
    let mut pids = Vec::with_capacity(usernames.len());
    for username in usernames {
        pids.push(registered(&transaction, rng, username).map_err(failure)?);
    }
    transaction.commit().map_err(failure)?;
    Ok(pids)
}

fn registered(
    connection: &Connection,
    rng: &dyn Rng,
    username: &str,
) -> rusqlite::Result<PersonId> {
    let mut find = connection.prepare_cached("SELECT pid FROM people WHERE username = ?1")?;
    if let Some(pid) = find
        .query_row([username], |row| row.get::<_, String>(0))
        .optional()?
    {
        return Ok(PersonId(pid));
    }
    let (pid, mut key): (PersonId, Key) = (fresh_pid(rng), [0; 32]);
    rng.fill(&mut key);
    let mut insert =
        connection.prepare_cached("INSERT INTO people (pid, username, key) VALUES (?1, ?2, ?3)")?;
    insert.execute(params![pid.as_str(), username, key])?;
    Ok(pid)
}

/// Writes the database file again, so that the file contains no copies of deleted rows. The
/// function opens a second connection, so that other requests can read at the same time.
fn scrub(file: &Path) -> Result<(), Error> {
    let failure = |error: rusqlite::Error| failed("scrub the key store", error);
    let connection = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // `secure_delete` overwrites deleted rows. However, copies of these rows can remain in pages
    // that SQLite has split. VACUUM rewrites the whole file and removes these copies.
    connection.execute_batch("VACUUM").map_err(failure)?;
    // The write-ahead log contains old pages until the log is truncated. If another process is
    // reading, the log cannot be truncated. The statement then succeeds, but returns 1 in its first
    // column.
    let is_blocked: bool = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(failure)?;
    if is_blocked {
        return Err(Error::new(
            Kind::Unavailable,
            format!(
                "cannot scrub the key store: another process is reading {}",
                file.display()
            ),
        ));
    }
    Ok(())
}

#[async_trait]
impl Keys for Sqlite {
    async fn person(&self, username: &str) -> Result<PersonId, Error> {
        if let Some(pid) = self.cached_pid(username) {
            return Ok(pid);
        }
        let (rng, username) = (self.rng.clone(), username.to_owned());
        self.with("register a person", move |inner| {
            if let Some(pid) = inner.find(&username)? {
                return Ok(pid);
            }
            let (pid, mut key) = (fresh_pid(&*rng), [0; 32]);
            rng.fill(&mut key);
            inner.connection.execute(
                "INSERT OR IGNORE INTO people (pid, username, key) VALUES (?1, ?2, ?3)",
                params![pid.as_str(), username, key],
            )?;
            // Another process, such as an import, can register the same user name first. In this
            // case, the insert changes nothing, and the function returns the existing person.
            Ok(inner.find(&username)?.unwrap_or(pid))
        })
        .await
    }
    async fn find(&self, username: &str) -> Result<Option<PersonId>, Error> {
        if let Some(pid) = self.cached_pid(username) {
            return Ok(Some(pid));
        }
        let username = username.to_owned();
        self.with("look up a person", move |inner| inner.find(&username))
            .await
    }
    async fn find_all(&self, usernames: &[String]) -> Result<Vec<Option<PersonId>>, Error> {
        let cached: Option<Vec<_>> = usernames
            .iter()
            .map(|username| self.cached_pid(username).map(Some))
            .collect();
        if let Some(cached) = cached {
            return Ok(cached);
        }
        let (inner, usernames) = (self.inner.clone(), usernames.to_vec());
        blocking(move || {
            // The lock of the connection is released after each name. Other requests can therefore
            // use the connection before the next name is read.
            let find = |username: &String| {
                let found = inner.lock().expect("no holder panics").find(username);
                found.map_err(|error| failed("look up a person", error))
            };
            usernames.iter().map(find).collect()
        })
        .await
    }
    async fn register_all(&self, usernames: &[String]) -> Result<Vec<PersonId>, Error> {
        if usernames.is_empty() {
            return Ok(Vec::new());
        }
        let (file, rng, usernames) = (self.file.clone(), self.rng.clone(), usernames.to_vec());
        blocking(move || register(&file, &*rng, &usernames)).await
    }
    async fn name(&self, pid: &PersonId) -> Result<Option<String>, Error> {
        if let Some((name, _)) = self.cached_person(pid) {
            return Ok(Some(name));
        }
        let pid = pid.clone();
        self.with("look up a name", move |inner| {
            Ok(inner.person(&pid)?.map(|(name, _)| name))
        })
        .await
    }
    async fn key(&self, pid: &PersonId) -> Result<Option<Key>, Error> {
        if let Some(key) = self.cached_key(pid) {
            return Ok(Some(key));
        }
        let pid = pid.clone();
        self.with("look up a key", move |inner| {
            Ok(inner.person(&pid)?.map(|(_, key)| key))
        })
        .await
    }
    async fn erase(&self, pid: &PersonId) -> Result<bool, Error> {
        let pid = pid.clone();
        self.with("erase a person", move |inner| {
            let transaction = inner.connection.transaction()?;
            let erased =
                transaction.execute("DELETE FROM people WHERE pid = ?1", [pid.as_str()])?;
            if erased > 0 {
                // The table `erased` stores the id of the erased person. Without this row, the next
                // start could not recognize that the person was erased. The next start would report
                // the key store as an old copy in which the person is missing.
                transaction.execute(
                    "INSERT OR IGNORE INTO erased (pid) VALUES (?1)",
                    [pid.as_str()],
                )?;
            }
            transaction.commit()?;
            // The encryption key of the erased person is removed from the cache first, because the
            // following truncation of the write-ahead log can fail.
            inner.known().remove(&pid);
            // All requests for encryption keys wait for this connection. The truncation of the
            // write-ahead log must therefore not wait for other connections that read. If such a
            // connection prevents the truncation, a later call of the function `scrub` truncates
            // the log.
            inner.connection.busy_timeout(Duration::ZERO)?;
            let truncated = inner
                .connection
                .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
            inner.connection.busy_timeout(BUSY_TIMEOUT)?;
            truncated.map(|()| erased > 0)
        })
        .await
    }
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let name = name.to_owned();
        self.with("read a secret", move |inner| {
            inner
                .connection
                .query_row("SELECT value FROM secrets WHERE name = ?1", [name], |row| {
                    row.get(0)
                })
                .optional()
        })
        .await
    }
    async fn keep_secret(&self, name: &str, value: &[u8]) -> Result<(), Error> {
        self.change("keep a secret", name, Some(value)).await
    }
    async fn remove_secret(&self, name: &str) -> Result<(), Error> {
        self.change("remove a secret", name, None).await
    }
    async fn scrub(&self) -> Result<(), Error> {
        let file = self.file.clone();
        blocking(move || scrub(&file)).await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::clock::SystemRng;

    #[tokio::test]
    async fn a_known_person_is_read_while_the_connection_is_in_use() {
        let directory = tempfile::tempdir().expect("a directory");
        let keys = Sqlite::open(directory.path(), Arc::new(SystemRng)).expect("a key store");
        let pid = keys.person("lisi").await.expect("registered");
        let inner = keys.inner.clone();
        let connection = inner.lock().expect("no holder panics");
        let found = keys.find("lisi").now_or_never();
        assert_eq!(found.expect("no wait").expect("found"), Some(pid.clone()));
        let key = keys.key(&pid).now_or_never();
        assert!(key.expect("no wait").expect("read").is_some());
        drop(connection);
        // The cache contains no key of an erased person.
        assert!(keys.erase(&pid).await.expect("erased"));
        assert!(keys.cached_person(&pid).is_none() && keys.cached_pid("lisi").is_none());
        assert_eq!(keys.key(&pid).await.expect("read"), None);
    }
}
