//! Copies the databases of a data directory and checks the copies. The functions also work while a
//! desk runs in the directory.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::clock::{Rng as _, SystemRng};
use crate::commit::hex;
use crate::keys::pair;
use crate::sqlite::{connect, connect_still, create_private, damages, failed, is_still};
use crate::store::Store;
use crate::{Error, Kind, store};

/// Copies a database into a new file. The function reads the database in one read transaction, so
/// the copy contains the data of one point in time. When the function returns, a power loss cannot
/// remove the copy.
///
/// The copy has no write-ahead log and no free pages. The function runs no checkpoint on the
/// source, because only the process that writes to the database may run a checkpoint.
pub fn copy(source: &Path, target: &Path) -> Result<(), Error> {
    let what = || format!("copy {} to {}", source.display(), target.display());
    let name = target.to_str().ok_or_else(|| {
        Error::new(
            Kind::Misconfigured,
            format!("{} is not a UTF-8 path", target.display()),
        )
    })?;
    if !source.exists() {
        return Err(Error::new(
            Kind::Misconfigured,
            format!("{} does not exist", source.display()),
        ));
    }
    create_private(target)?;
    let connection = readable(source)?;
    connection
        .execute("VACUUM INTO ?1", [name])
        .map_err(|error| failed(&what(), error))?;
    let synced = std::fs::File::open(target).and_then(|file| file.sync_all());
    synced.map_err(|error| Error::because(Kind::Unavailable, format!("cannot {}", what()), error))
}

/// Opens a database for reading, even if another process writes to the database. On a read-only
/// file system, SQLite cannot create the files `-wal` and `-shm`. In this case, the function opens
/// the database without these files and without locks.
fn readable(source: &Path) -> Result<Connection, Error> {
    let connection = connect(source, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let read = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| {
        row.get::<_, i64>(0)
    });
    match read
        .as_ref()
        .err()
        .and_then(rusqlite::Error::sqlite_error_code)
    {
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) if is_still(source, false)? => {
            connect_still(source)
        }
        _ => Ok(connection),
    }
}

/// Creates a new id and writes this id into the copy of a ledger and into the copy of its key
/// store. The id shows that the two files belong together. If one of the copies already has an id,
/// the function changes nothing.
pub fn pair_copies(ledger: &Path, keys: &Path) -> Result<(), Error> {
    if pair::id(ledger, false)?.is_some() || pair::id(keys, false)?.is_some() {
        return Ok(());
    }
    let mut bytes = [0; 16];
    SystemRng.fill(&mut bytes);
    for copy in [ledger, keys] {
        pair::give(copy, &hex(&bytes))?;
        let synced = std::fs::File::open(copy).and_then(|file| file.sync_all());
        synced.map_err(|error| {
            Error::because(
                Kind::Unavailable,
                format!("cannot write {}", copy.display()),
                error,
            )
        })?;
    }
    Ok(())
}

/// Returns the id that a copied ledger or a copied key store contains. A ledger and its key store
/// have the same id. Returns `None` if the file has no id.
pub fn key_store(path: &Path) -> Result<Option<String>, Error> {
    pair::id(path, false)
}

/// Runs the integrity check of SQLite on a copied database. Returns one line of text for each
/// damage that the check finds.
pub fn damaged(path: &Path) -> Result<Vec<String>, Error> {
    Ok(damages(&connect_still(path)?))
}

/// Opens a copied ledger read-only, and returns it as an event store. `directory` contains the file
/// of the copied ledger.
pub fn ledger(directory: &Path) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(store::sqlite::Sqlite::look(directory, false)?))
}
