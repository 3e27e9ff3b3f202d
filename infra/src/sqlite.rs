//! What every adapter on SQLite shares: how a file is opened, read beside a writer, and how its errors are told.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::{Connection, OpenFlags};

use crate::{Error, Kind};

/// A bound as SQLite wants it.
pub(crate) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Read-only connections kept open.
const READERS_MAX: usize = 8;

pub(crate) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(|error| failed(&format!("open {}", path.display()), error))?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(|error| failed("set a timeout", error))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// A pool of read-only connections; one more is opened when all are busy, and kept up to a bound.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::default() }
    }

    pub(crate) fn with<T>(&self, what: &str, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let idle = self.idle.lock().expect("no holder panics").pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        };
        let read = read(&connection).map_err(|error| failed(what, error));
        let mut idle = self.idle.lock().expect("no holder panics");
        if idle.len() < READERS_MAX {
            idle.push(connection);
        }
        read
    }
}

pub(crate) fn failed(what: &str, error: impl std::borrow::Borrow<rusqlite::Error>) -> Error {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase, PermissionDenied, ReadOnly, SystemIoFailure};
    let error = error.borrow();
    let kind = match error.sqlite_error_code() {
        Some(DiskFull | SystemIoFailure | DatabaseBusy | DatabaseLocked) => Kind::Unavailable,
        Some(PermissionDenied | ReadOnly) => Kind::Denied,
        Some(DatabaseCorrupt | NotADatabase) => Kind::Corrupt,
        _ if matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::IntegralValueOutOfRange(..)
        ) =>
        {
            Kind::Corrupt
        }
        _ => Kind::Unavailable,
    };
    Error::new(kind, format!("cannot {what}: {error}"))
}
