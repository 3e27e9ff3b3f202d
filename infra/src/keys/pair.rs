//! Checks that the key store and the ledger of a directory belong together. Files that belong
//! together contain the same random id.
//!
//! With a wrong key store, the desk would register every person a second time. The desk could not
//! decrypt any value of a person in the ledger.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use events::{Body, PersonId};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::clock::Rng;
use crate::commit::hex;
use crate::sqlite::{connect, failed, has_table, look, meta, set_meta};
use crate::store::sqlite::{end, ours};
use crate::{Error, Kind};

/// Name of a row in the table `meta`. This row contains the random id that a ledger and its key
/// store have in common. Both files have this table.
const ID: &str = "key_store";
/// Maximum number of commits at the start of a ledger that are searched for person ids. The same
/// number of commits is searched at the end of the ledger.
const COMMITS_MAX: i64 = 1000;
/// Number of hex digits in a person id. The digits follow the letter `p`.
const PID_DIGITS: usize = 24;
/// SQL statement that searches for a person id in two tables: registered people and erased people.
const REGISTERED: &str =
    "SELECT 1 FROM people WHERE pid = ?1 UNION ALL SELECT 1 FROM erased WHERE pid = ?1";
/// SQL statement that searches for a person id in a key store without the table of erased people.
const REGISTERED_WITHOUT_ERASED: &str = "SELECT 1 FROM people WHERE pid = ?1";
/// SQL statement that creates the table with the ids of erased people.
const ERASED: &str = "CREATE TABLE IF NOT EXISTS erased (pid TEXT PRIMARY KEY) STRICT";

/// The two database files of a directory: ledger and key store. The connection to a file is `None`
/// if the file is missing or empty.
struct Pair {
    directory: PathBuf,
    ledger: Option<Connection>,
    keys: Option<Connection>,
}

/// Properties of a ledger and a key store, used to check whether the two files belong together.
struct Properties {
    commits: i64,
    ledger_id: Option<String>,
    keys_id: Option<String>,
    people: i64,
    secrets: i64,
}

/// Checks that the key store and the ledger of a directory belong together. If neither file has an
/// id, the function writes a common id into both files. The caller must hold the lock of the
/// directory, because another process must not write the id at the same time.
///
/// If the two files do not belong together, the function returns an error and creates no file. It
/// also returns an error if the ledger contains actions of people who are missing in the key store.
/// However, if `is_loss_accepted` is true, the function records these people as erased.
pub(crate) fn pair(directory: &Path, rng: &dyn Rng, is_loss_accepted: bool) -> Result<(), Error> {
    let open = |path: &Path| connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let files = Pair::open(directory, &open)?;
    if is_loss_accepted {
        files
            .note_lost_people()
            .map_err(|error| failed("record people who are not in the key store", error))?;
    }
    let properties = files.properties()?;
    let id = files.common_id(&properties)?.unwrap_or_else(|| {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        hex(&bytes)
    });
    // The id is written to the key store first. If a crash happens between the two writes, the
    // ledger therefore never contains an id that is missing in the key store.
    if properties.keys_id.as_ref() != Some(&id) {
        put(directory, "keys.db", files.keys, &id)?;
    }
    if properties.ledger_id.as_ref() != Some(&id) {
        put(directory, "ledger.db", files.ledger, &id)?;
    }
    Ok(())
}

/// Checks that the key store and the ledger of a directory belong together, and changes no file. If
/// a desk runs in the directory, `is_written` must be true. If `is_written` is false, some reads
/// use no locks, so a concurrent write of the desk could cause wrong results.
pub(crate) fn check(directory: &Path, is_written: bool) -> Result<(), Error> {
    let files = Pair::open(directory, &|path: &Path| look(path, is_written))?;
    files.common_id(&files.properties()?).map(drop)
}

/// Reads the id of a ledger or a key store. A ledger and its key store have the same id. Returns
/// `None` if the file contains no id. If a desk runs in the directory of the file, `is_written`
/// must be true. If `is_written` is false, some reads use no locks, so a concurrent write of the
/// desk could cause a wrong result.
pub(crate) fn id(path: &Path, is_written: bool) -> Result<Option<String>, Error> {
    meta(&look(path, is_written)?, ID)
        .map_err(|error| failed(&format!("read the id of {}", path.display()), error))
}

/// Writes an id into a copied ledger or key store. The function leaves no `-wal` or `-shm` file.
pub(crate) fn give(path: &Path, id: &str) -> Result<(), Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_meta(&connection, ID, id)
        .map_err(|error| failed(&format!("write the id of {}", path.display()), error))
}

fn put(
    directory: &Path,
    name: &str,
    connection: Option<Connection>,
    id: &str,
) -> Result<(), Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connect(
            &directory.join(name),
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        )?,
    };
    set_meta(&connection, ID, id).map_err(|error| failed(&format!("write the id of {name}"), error))
}

impl Pair {
    fn open(
        directory: &Path,
        open: &dyn Fn(&Path) -> Result<Connection, Error>,
    ) -> Result<Self, Error> {
        let existing = |name: &str| {
            let path = directory.join(name);
            std::fs::metadata(&path)
                .is_ok_and(|file| file.len() > 0)
                .then(|| open(&path))
                .transpose()
        };
        let ledger = existing("ledger.db")?;
        if let Some(ledger) = &ledger {
            ours(ledger, &directory.join("ledger.db"))?;
        }
        Ok(Self {
            directory: directory.to_owned(),
            ledger,
            keys: existing("keys.db")?,
        })
    }

    fn properties(&self) -> Result<Properties, Error> {
        let id = |connection: Option<&Connection>| {
            connection
                .map(|connection| meta(connection, ID))
                .transpose()
                .map(Option::flatten)
        };
        let commits = self
            .ledger
            .as_ref()
            .map(end)
            .transpose()?
            .map_or(0, |head| head.position);
        let read = || -> rusqlite::Result<Properties> {
            let (people, secrets) = match &self.keys {
                Some(keys) => (count(keys, "people")?, count(keys, "secrets")?),
                None => (0, 0),
            };
            Ok(Properties {
                commits,
                ledger_id: id(self.ledger.as_ref())?,
                keys_id: id(self.keys.as_ref())?,
                people,
                secrets,
            })
        };
        read().map_err(|error| failed("compare ledger and key store", error))
    }

    /// Returns the id that the key store and the ledger must contain. Returns `None` if a new id
    /// must be created. Returns an error if the key store and the ledger do not belong together.
    fn common_id(&self, properties: &Properties) -> Result<Option<String>, Error> {
        let Properties {
            commits,
            ledger_id,
            keys_id,
            people,
            secrets,
        } = properties;
        let is_empty = people + secrets == 0;
        let (ledger, keys) = (
            self.directory.join("ledger.db"),
            self.directory.join("keys.db"),
        );
        let (ledger, keys) = (ledger.display(), keys.display());
        let rejected = |what: String| Err(Error::new(Kind::Misconfigured, what));
        let named = |id: Option<&String>| id.map_or_else(String::new, |id| format!(" {id}"));
        match (ledger_id, keys_id) {
            (Some(one), Some(other)) if one == other => {
                if *commits > 0 {
                    self.has_people()?;
                }
                Ok(Some(one.clone()))
            }
            (Some(one), Some(other)) if *commits > 0 => rejected(format!(
                "{ledger} belongs to key store {one}, but {keys} is key store {other}: people and sealed values of this ledger cannot be read with it; restore the \
                 keys.db that was backed up with this ledger"
            )),
            _ if *commits > 0 && is_empty => rejected(format!(
                "{ledger} holds {commits} commits, but its key store{} is not there: {keys} is missing or empty. Restore keys.db from its backup; without it \
                 no name and no sealed value can be read, and every person would be registered a second time",
                named(ledger_id.as_ref())
            )),
            _ if *commits > 0 => {
                if !self
                    .is_known()
                    .map_err(|error| failed("compare ledger and key store", error))?
                {
                    return rejected(format!(
                        "{keys} (key store{}) knows none of the people in {ledger} (key store{}): it belongs to another desk; restore the keys.db of this ledger",
                        named(keys_id.as_ref()),
                        named(ledger_id.as_ref())
                    ));
                }
                self.has_people()?;
                Ok(ledger_id.clone().or_else(|| keys_id.clone()))
            }
            _ if is_empty => Ok(keys_id.clone()),
            _ => rejected(format!(
                "{keys} (key store{}) holds {people} people and {secrets} secrets of a desk, but {ledger} is missing or empty: restore the ledger that belongs to \
                 it, or move keys.db away to begin a new desk",
                named(keys_id.as_ref())
            )),
        }
    }

    /// Returns an error if the ledger contains actions of people who are missing in the key store.
    /// Such a key store is damaged, or it is an older copy.
    fn has_people(&self) -> Result<(), Error> {
        let words = |error: rusqlite::Error| failed("compare ledger and key store", error);
        let (ledger, keys) = (
            self.directory.join("ledger.db"),
            self.directory.join("keys.db"),
        );
        let (ledger, keys) = (ledger.display(), keys.display());
        if !self.is_known().map_err(words)? {
            let what = format!(
                "{keys} knows none of the people in {ledger}: it was damaged or replaced; restore the keys.db of this ledger from its backup"
            );
            return Err(Error::new(Kind::Misconfigured, what));
        }
        let lost = self.lost_people().map_err(words)?;
        let Some(first) = lost.first() else {
            return Ok(());
        };
        let what = format!(
            "{} people who acted in {ledger}, such as {first}, are not in {keys}: it is older than the ledger. Restore a newer copy of keys.db. To continue without \
             their names and sealed values, start once with `ledgerdesk serve --accept-lost-people`; they are then treated as erased",
            lost.len()
        );
        Err(Error::new(Kind::Misconfigured, what))
    }

    /// Searches the first and the last commits of the ledger for the people who caused these
    /// commits. Returns the people who are missing in the key store.
    fn lost_people(&self) -> rusqlite::Result<BTreeSet<String>> {
        let mut lost = BTreeSet::new();
        let (Some(ledger), Some(keys)) = (&self.ledger, &self.keys) else {
            return Ok(lost);
        };
        if !has_table(ledger, "commits")? || !has_table(keys, "people")? {
            return Ok(lost);
        }
        let mut acted = BTreeSet::new();
        for order in ["ASC", "DESC"] {
            let mut bodies = ledger.prepare(&format!(
                "SELECT body FROM commits ORDER BY position {order} LIMIT ?1"
            ))?;
            let mut rows = bodies.query([COMMITS_MAX])?;
            while let Some(row) = rows.next()? {
                let body: Vec<u8> = row.get(0)?;
                let Ok(body) = Body::read(&body) else {
                    continue;
                };
                let people = std::iter::once(&body.meta.actor).chain(&body.meta.on_behalf_of);
                acted.extend(
                    people
                        .map(PersonId::as_str)
                        .filter(|pid| PersonId::is_id(pid))
                        .map(str::to_owned),
                );
            }
        }
        let mut person = keys.prepare(known_in(keys)?)?;
        for pid in acted {
            if person.query_row([&pid], |_| Ok(())).optional()?.is_none() {
                lost.insert(pid);
            }
        }
        Ok(lost)
    }

    /// Finds people whose actions the ledger contains but who are missing in the key store. Records
    /// these people as erased. If the key store contains no person from the first commits of the
    /// ledger, the key store belongs to another ledger. The function then changes nothing.
    fn note_lost_people(&self) -> rusqlite::Result<()> {
        let Some(keys) = &self.keys else {
            return Ok(());
        };
        let lost = self.lost_people()?;
        if lost.is_empty() || !self.is_known()? {
            return Ok(());
        }
        tracing::warn!(
            people = lost.len(),
            "people of the ledger are missing in the key store and are treated as erased"
        );
        keys.execute_batch(ERASED)?;
        for pid in lost {
            keys.execute("INSERT OR IGNORE INTO erased (pid) VALUES (?1)", [pid])?;
        }
        Ok(())
    }

    /// Returns true if the key store contains at least one person from the first commits of the
    /// ledger. Also returns true if these commits contain no person.
    fn is_known(&self) -> rusqlite::Result<bool> {
        let (Some(ledger), Some(keys)) = (&self.ledger, &self.keys) else {
            return Ok(false);
        };
        if !has_table(ledger, "commits")? {
            return Ok(true);
        }
        if !has_table(keys, "people")? {
            return Ok(false);
        }
        let mut person = keys.prepare(known_in(keys)?)?;
        let mut bodies = ledger.prepare("SELECT body FROM commits ORDER BY position LIMIT ?1")?;
        let mut rows = bodies.query([COMMITS_MAX])?;
        let mut is_named = false;
        while let Some(row) = rows.next()? {
            let body: Vec<u8> = row.get(0)?;
            for pid in pids(&String::from_utf8_lossy(&body)) {
                is_named = true;
                if person.query_row([pid], |_| Ok(())).optional()?.is_some() {
                    return Ok(true);
                }
            }
        }
        Ok(!is_named)
    }
}

/// Returns the SQL statement that searches for a person id in this key store.
fn known_in(keys: &Connection) -> rusqlite::Result<&'static str> {
    Ok(if has_table(keys, "erased")? {
        REGISTERED
    } else {
        REGISTERED_WITHOUT_ERASED
    })
}

/// Returns all string values in a JSON text that are person ids. A text that contains a person id
/// and other characters is not returned.
fn pids(text: &str) -> impl Iterator<Item = &str> {
    let is_pid = |value: &&str| {
        value.len() == PID_DIGITS + 1
            && value.strip_prefix('p').is_some_and(|digits| {
                digits
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            })
    };
    text.split('"').filter(is_pid)
}

/// Returns the number of rows of a table. Returns 0 if the table does not exist.
fn count(connection: &Connection, table: &str) -> rusqlite::Result<i64> {
    if !has_table(connection, table)? {
        return Ok(0);
    }
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
        row.get(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn person_ids_are_found_in_a_body() {
        let text = r#"{"meta":{"actor":"p0123456789abcdef01234567"},"events":[{"p":"system","x":"p0123456789abcdef0123456g"}]}"#;
        assert_eq!(
            pids(text).collect::<Vec<_>>(),
            ["p0123456789abcdef01234567"]
        );
    }
}
