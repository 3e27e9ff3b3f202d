//! Which key store belongs to a ledger: both files hold the same random id. A desk that opens its ledger with another key store would register every person
//! a second time, and no sealed value could be read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use events::{Body, Pid};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::clock::Chance;
use crate::sqlite::{connect, failed, has_table, look, meta, set_meta};
use crate::store::commit::hex;
use crate::store::sqlite::{end, ours};
use crate::{Error, Kind};

/// The property that holds the id, in both files.
const ID: &str = "key_store";
/// Commits at the beginning and at the end of a ledger in which people are looked for.
const COMMITS_MAX: i64 = 1000;
/// Hex digits of a person id after its `p`.
const PID_DIGITS: usize = 24;
/// A person id that the key store knows, or whose person was erased.
const KNOWN: &str = "SELECT 1 FROM people WHERE pid = ?1 UNION ALL SELECT 1 FROM erased WHERE pid = ?1";
/// The same in a key store of an earlier build, in which no person was erased.
const KNOWN_EARLIER: &str = "SELECT 1 FROM people WHERE pid = ?1";
/// The ids of erased people.
const ERASED: &str = "CREATE TABLE IF NOT EXISTS erased (pid TEXT PRIMARY KEY) STRICT";

/// The two files of a directory, as far as they exist.
struct Pair {
    directory: PathBuf,
    ledger: Option<Connection>,
    keys: Option<Connection>,
}

/// The contents of both that matter before one of them changes.
struct Known {
    commits: i64,
    ledger_id: Option<String>,
    keys_id: Option<String>,
    people: i64,
    secrets: i64,
}

/// Checks that the key store of a directory is its ledger's, and gives both an id where they have none yet. Only for the process that holds the lock. Nothing
/// is created where the two do not belong together. People who acted and are not in the key store are noted as erased if their loss is accepted.
pub(crate) fn pair(directory: &Path, chance: &dyn Chance, is_loss_accepted: bool) -> Result<(), Error> {
    let open = |path: &Path| connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let files = Pair::open(directory, &open)?;
    if is_loss_accepted {
        files.note_lost_people().map_err(|error| failed("note people who are not in the key store", error))?;
    }
    let known = files.known()?;
    let id = files.judge(&known)?.unwrap_or_else(|| {
        let mut bytes = [0; 16];
        chance.fill(&mut bytes);
        hex(&bytes)
    });
    // The key store first: a ledger that names a key store must not outlive a crash without it.
    if known.keys_id.as_ref() != Some(&id) {
        put(directory, "keys.db", files.keys, &id)?;
    }
    if known.ledger_id.as_ref() != Some(&id) {
        put(directory, "ledger.db", files.ledger, &id)?;
    }
    Ok(())
}

/// Checks the same and changes nothing; `is_written` is true while a desk is running there.
pub(crate) fn check(directory: &Path, is_written: bool) -> Result<(), Error> {
    let files = Pair::open(directory, &|path: &Path| look(path, is_written))?;
    files.judge(&files.known()?).map(drop)
}

/// The id that a ledger or key store of a directory has.
pub(crate) fn id(path: &Path, is_written: bool) -> Result<Option<String>, Error> {
    meta(&look(path, is_written)?, ID).map_err(|error| failed(&format!("read the id of {}", path.display()), error))
}

/// Gives a copy its id; no other file is left beside it.
pub(crate) fn give(path: &Path, id: &str) -> Result<(), Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    set_meta(&connection, ID, id).map_err(|error| failed(&format!("give {} its id", path.display()), error))
}

fn put(directory: &Path, name: &str, connection: Option<Connection>, id: &str) -> Result<(), Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connect(&directory.join(name), OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?,
    };
    set_meta(&connection, ID, id).map_err(|error| failed(&format!("give {name} its id"), error))
}

impl Pair {
    fn open(directory: &Path, open: &dyn Fn(&Path) -> Result<Connection, Error>) -> Result<Self, Error> {
        let existing = |name: &str| {
            let path = directory.join(name);
            std::fs::metadata(&path).is_ok_and(|file| file.len() > 0).then(|| open(&path)).transpose()
        };
        let ledger = existing("ledger.db")?;
        if let Some(ledger) = &ledger {
            ours(ledger, &directory.join("ledger.db"))?;
        }
        Ok(Self { directory: directory.to_owned(), ledger, keys: existing("keys.db")? })
    }

    fn known(&self) -> Result<Known, Error> {
        let id = |connection: Option<&Connection>| connection.map(|connection| meta(connection, ID)).transpose().map(Option::flatten);
        let commits = self.ledger.as_ref().map(end).transpose()?.map_or(0, |head| head.position);
        let read = || -> rusqlite::Result<Known> {
            let (people, secrets) = match &self.keys {
                Some(keys) => (count(keys, "people")?, count(keys, "secrets")?),
                None => (0, 0),
            };
            Ok(Known { commits, ledger_id: id(self.ledger.as_ref())?, keys_id: id(self.keys.as_ref())?, people, secrets })
        };
        read().map_err(|error| failed("compare ledger and key store", error))
    }

    /// The id that both have or get; `None` where a new one is made.
    fn judge(&self, known: &Known) -> Result<Option<String>, Error> {
        let Known { commits, ledger_id, keys_id, people, secrets } = known;
        let is_empty = people + secrets == 0;
        let (ledger, keys) = (self.directory.join("ledger.db"), self.directory.join("keys.db"));
        let (ledger, keys) = (ledger.display(), keys.display());
        let refused = |what: String| Err(Error::new(Kind::Misconfigured, what));
        let named = |id: Option<&String>| id.map_or_else(String::new, |id| format!(" {id}"));
        match (ledger_id, keys_id) {
            (Some(one), Some(other)) if one == other => {
                if *commits > 0 {
                    self.has_people()?;
                }
                Ok(Some(one.clone()))
            }
            (Some(one), Some(other)) if *commits > 0 => refused(format!(
                "{ledger} belongs to key store {one}, but {keys} is key store {other}: people and sealed values of this ledger cannot be read with it; restore the \
                 keys.db that was backed up with this ledger"
            )),
            _ if *commits > 0 && is_empty => refused(format!(
                "{ledger} holds {commits} commits, but its key store{} is not there: {keys} is missing or empty. Restore keys.db from its backup; without it \
                 no name and no sealed value can be read, and every person would be registered a second time",
                named(ledger_id.as_ref())
            )),
            _ if *commits > 0 => {
                if !self.is_known().map_err(|error| failed("compare ledger and key store", error))? {
                    return refused(format!(
                        "{keys} (key store{}) knows none of the people in {ledger} (key store{}): it belongs to another desk; restore the keys.db of this ledger",
                        named(keys_id.as_ref()),
                        named(ledger_id.as_ref())
                    ));
                }
                self.has_people()?;
                Ok(ledger_id.clone().or_else(|| keys_id.clone()))
            }
            _ if is_empty => Ok(keys_id.clone()),
            _ => refused(format!(
                "{keys} (key store{}) holds {people} people and {secrets} secrets of a desk, but {ledger} is missing or empty: restore the ledger that belongs to \
                 it, or move keys.db away to begin a new desk",
                named(keys_id.as_ref())
            )),
        }
    }

    /// Rejects a key store that lacks people of the ledger: an older copy, or one that was damaged.
    fn has_people(&self) -> Result<(), Error> {
        let words = |error: rusqlite::Error| failed("compare ledger and key store", error);
        let (ledger, keys) = (self.directory.join("ledger.db"), self.directory.join("keys.db"));
        let (ledger, keys) = (ledger.display(), keys.display());
        if !self.is_known().map_err(words)? {
            let what = format!("{keys} knows none of the people in {ledger}: it was damaged or replaced; restore the keys.db of this ledger from its backup");
            return Err(Error::new(Kind::Misconfigured, what));
        }
        let lost = self.lost_people().map_err(words)?;
        let Some(first) = lost.first() else { return Ok(()) };
        let what = format!(
            "{} people who acted in {ledger}, such as {first}, are not in {keys}: it is older than the ledger. Restore a newer copy of keys.db. To continue without \
             their names and sealed values, start once with `ledgerdesk serve --accept-lost-people`; they are then treated as erased",
            lost.len()
        );
        Err(Error::new(Kind::Misconfigured, what))
    }

    /// The people who acted in the first and the last commits, and whom the key store does not have.
    fn lost_people(&self) -> rusqlite::Result<BTreeSet<String>> {
        let mut lost = BTreeSet::new();
        let (Some(ledger), Some(keys)) = (&self.ledger, &self.keys) else { return Ok(lost) };
        if !has_table(ledger, "commits")? || !has_table(keys, "people")? {
            return Ok(lost);
        }
        let mut acted = BTreeSet::new();
        for order in ["ASC", "DESC"] {
            let mut bodies = ledger.prepare(&format!("SELECT body FROM commits ORDER BY position {order} LIMIT ?1"))?;
            let mut rows = bodies.query([COMMITS_MAX])?;
            while let Some(row) = rows.next()? {
                let body: Vec<u8> = row.get(0)?;
                let Ok(body) = Body::read(&body) else { continue };
                let people = std::iter::once(&body.meta.actor).chain(&body.meta.on_behalf_of);
                acted.extend(people.map(Pid::as_str).filter(|pid| Pid::is_id(pid)).map(str::to_owned));
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

    /// Notes the people whom the key store lacks as erased, if it has others of them.
    fn note_lost_people(&self) -> rusqlite::Result<()> {
        let Some(keys) = &self.keys else { return Ok(()) };
        let lost = self.lost_people()?;
        if lost.is_empty() || !self.is_known()? {
            return Ok(());
        }
        tracing::warn!(people = lost.len(), "continued without people who are not in the key store");
        keys.execute_batch(ERASED)?;
        for pid in lost {
            keys.execute("INSERT OR IGNORE INTO erased (pid) VALUES (?1)", [pid])?;
        }
        Ok(())
    }

    /// Returns whether the key store has one of the people in the first commits, or there are none.
    fn is_known(&self) -> rusqlite::Result<bool> {
        let (Some(ledger), Some(keys)) = (&self.ledger, &self.keys) else { return Ok(false) };
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

/// The statement that finds a person id in a key store.
fn known_in(keys: &Connection) -> rusqlite::Result<&'static str> {
    Ok(if has_table(keys, "erased")? { KNOWN } else { KNOWN_EARLIER })
}

/// The person ids that are values of a JSON text.
fn pids(text: &str) -> impl Iterator<Item = &str> {
    let is_pid = |value: &&str| {
        value.len() == PID_DIGITS + 1 && value.strip_prefix('p').is_some_and(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    };
    text.split('"').filter(is_pid)
}

/// The rows of a table that may not exist.
fn count(connection: &Connection, table: &str) -> rusqlite::Result<i64> {
    if !has_table(connection, table)? {
        return Ok(0);
    }
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn person_ids_are_found_in_a_body() {
        let text = r#"{"meta":{"actor":"p0123456789abcdef01234567"},"events":[{"p":"system","x":"p0123456789abcdef0123456g"}]}"#;
        assert_eq!(pids(text).collect::<Vec<_>>(), ["p0123456789abcdef01234567"]);
    }
}
