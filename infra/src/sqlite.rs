//! Contains functions that all SQLite adapters use. The functions open database files, read while
//! another process writes, check the integrity of files, and convert errors.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tokio::sync::{mpsc, oneshot};

use crate::{Error, Kind};

/// Converts a limit to the integer type of SQLite.
pub(crate) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Maximum time that a statement waits for a lock of another connection.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of idle read-only connections in a pool.
const READERS_MAX: usize = 8;
/// Maximum size of the page cache of a read-only connection, in KiB. Each write of the writer empties these caches, so
/// larger caches do not help.
const READER_CACHE_KIB: i64 = 512;
/// The oldest version of SQLite that this program accepts. In older versions, a checkpoint during a
/// write can damage the file (sqlite.org/wal.html, section 11).
const VERSION_MIN: i32 = 3_051_003;
/// Maximum number of lines in the result of an integrity check. Without this limit, a badly damaged
/// file could cause one line per row.
const DAMAGES_MAX: usize = 20;

/// The SQL statement that creates the table `meta`. This table contains the id of the key store,
/// and a test row that the writer uses to check the disk.
const META: &str =
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT";

/// Returns an error if this version of SQLite is too old. Older versions can damage files.
fn supported(number: i32) -> Result<(), Error> {
    if number >= VERSION_MIN {
        return Ok(());
    }
    let dotted = |number: i32| {
        format!(
            "{}.{}.{}",
            number / 1_000_000,
            number / 1000 % 1000,
            number % 1000
        )
    };
    let (found, required) = (dotted(number), dotted(VERSION_MIN));
    Err(Error::new(
        Kind::Misconfigured,
        format!(
            "this program is linked with SQLite {found}, which can damage databases; use a build with {required} or later"
        ),
    ))
}

pub(crate) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    supported(rusqlite::version_number())?;
    if flags.contains(OpenFlags::SQLITE_OPEN_CREATE) {
        create_private(path)?;
    }
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| failed(&format!("open {}", path.display()), error))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .map_err(|error| failed("set a timeout", error))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Creates a database file if it is missing. Only the owner of the file gets access to it. SQLite
/// creates the files `-wal` and `-shm` with the same permissions.
///
/// An existing file is not opened. If this process opened and closed the file, the process would
/// lose its other locks on the file.
pub(crate) fn create_private(path: &Path) -> Result<(), Error> {
    match std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::because(
            Kind::Misconfigured,
            format!("cannot create {}", path.display()),
            error,
        )),
    }
}

/// Opens a database read-only, without the files `-wal` and `-shm`. No process may write to the
/// database at the same time, because the connection uses no locks.
pub(crate) fn connect_still(path: &Path) -> Result<Connection, Error> {
    let mut address = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                address.push(char::from(*byte));
            }
            _ => {
                let _ = write!(address, "%{byte:02X}");
            }
        }
    }
    address.push_str("?immutable=1");
    connect(
        Path::new(&address),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
    )
}

/// Returns the path of a file that SQLite creates in addition to a database. `ending` is the end of
/// its name, for example `-wal`.
pub(crate) fn side(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Returns true if a database can be read without its write-ahead log. This is possible if no
/// process writes to the database (`is_written` is false) and the log is empty.
///
/// Returns an error if the log has content and its index file `-shm` is missing. SQLite would
/// create the missing index file, but a read must not create files.
pub(crate) fn is_still(path: &Path, is_written: bool) -> Result<bool, Error> {
    let log = side(path, "-wal");
    if is_written || !std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Ok(!is_written);
    }
    if side(path, "-shm").exists() {
        return Ok(false);
    }
    let what = format!(
        "{} holds commits that are not in {} yet; start the desk once to apply them",
        log.display(),
        path.display()
    );
    Err(Error::new(Kind::Misconfigured, what))
}

/// Opens a database read-only, without creating a `-wal` or `-shm` file. If a desk runs in the
/// directory of the database, `is_written` must be true. If `is_written` is false, some reads use
/// no locks, so a concurrent write of the desk could cause wrong results.
pub(crate) fn look(path: &Path, is_written: bool) -> Result<Connection, Error> {
    if is_still(path, is_written)? {
        connect_still(path)
    } else {
        connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }
}

/// Runs the integrity check of SQLite on a database. Returns one line of text for each damage, or
/// an empty list if the database is not damaged.
pub(crate) fn damages(connection: &Connection) -> Vec<String> {
    let found = || -> rusqlite::Result<Vec<String>> {
        let mut statement =
            connection.prepare(&format!("PRAGMA integrity_check({DAMAGES_MAX})"))?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
        lines.collect()
    };
    match found() {
        Ok(lines) => lines.into_iter().filter(|line| line != "ok").collect(),
        Err(error) => vec![error.to_string()],
    }
}

pub(crate) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1",
        [name],
        |row| Ok(row.get::<_, i64>(0)? > 0),
    )
}

/// Returns the value that the table `meta` contains under a name. Returns `None` if the table does
/// not contain the name.
pub(crate) fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    if !has_table(connection, "meta")? {
        return Ok(None);
    }
    connection
        .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
            row.get(0)
        })
        .optional()
}

pub(crate) fn set_meta(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    connection.execute_batch(META)?;
    connection
        .execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)",
            [name, value],
        )
        .map(drop)
}

/// A pool of read-only connections. If all connections are in use, the pool opens another
/// connection. The pool keeps at most [`READERS_MAX`] unused connections. Clones of this value
/// share one pool.
#[derive(Clone, Debug)]
pub(crate) struct Readers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    path: PathBuf,
    /// Whether the pool opens the database without the files `-wal` and `-shm`, with the function
    /// [`connect_still`].
    is_still: bool,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    fn over(path: &Path, is_still: bool) -> Self {
        Self(Arc::new(Pool {
            path: path.to_owned(),
            is_still,
            idle: Mutex::default(),
        }))
    }

    pub(crate) fn new(path: &Path) -> Self {
        Self::over(path, false)
    }

    /// Returns a pool of connections that create no `-wal` or `-shm` file. If a desk runs in the
    /// directory of the database, `is_written` must be true. If `is_written` is false, some reads
    /// use no locks, so a concurrent write of the desk could cause wrong results.
    pub(crate) fn look(path: &Path, is_written: bool) -> Result<Self, Error> {
        Ok(Self::over(path, is_still(path, is_written)?))
    }

    /// Runs a read on a thread for blocking work, so that the read does not block async tasks.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        what: String,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let readers = self.clone();
        blocking(move || readers.with(&what, read)).await
    }

    /// Runs a read on the thread of the caller. The read blocks this thread, so async tasks that
    /// serve requests must not call this function.
    pub(crate) fn with<T>(
        &self,
        what: &str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let pool = &*self.0;
        let idle = pool.idle.lock().expect("no holder panics").pop();
        let connection = match idle {
            Some(connection) => connection,
            None if pool.is_still => connect_still(&pool.path)?,
            None => {
                let connection = connect(&pool.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                connection
                    .pragma_update(None, "cache_size", -READER_CACHE_KIB)
                    .map_err(|error| failed("limit the cache of a reader", error))?;
                connection
            }
        };
        let read = read(&connection).map_err(|error| failed(what, error));
        let mut idle = pool.idle.lock().expect("no holder panics");
        if idle.len() < READERS_MAX {
            idle.push(connection);
        }
        read
    }
}

/// Runs a function on a thread for blocking work, so that the function does not block async tasks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::because(
            Kind::Unavailable,
            "a thread for blocking work failed",
            error,
        )),
    }
}

/// Number of pages in a write-ahead log after which a checkpoint begins. A checkpoint copies the pages of the log into the
/// database file.
const CHECKPOINT_PAGES: i32 = 2000;

/// The state of a [`Checkpoints`] thread that makes no checkpoint.
const IDLE: u8 = 0;
/// The state of a [`Checkpoints`] thread that makes a checkpoint.
const RUNNING: u8 = 1;
/// The state of a [`Checkpoints`] thread that has copied the pages that were in the log at its start. The writer copies the
/// remaining pages.
const COPIED: u8 = 2;

/// A thread that makes the checkpoints of one database, so that the writer of the database does not wait for them. The
/// writer only copies the pages that it wrote during the checkpoint. These are few, and the log can then begin again at
/// its start.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// Starts the thread for the database of a write connection.
    pub(crate) fn start(connection: &mut Connection, path: &Path) -> Result<Self, Error> {
        let state = Arc::new(AtomicU8::new(IDLE));
        let (requests, received) = std::sync::mpsc::sync_channel::<()>(1);
        let (of_thread, path) = (state.clone(), path.to_owned());
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || {
                let mut connection = None;
                while received.recv().is_ok() {
                    if let Err(error) = checkpoint(&mut connection, &path) {
                        tracing::warn!(%error, path = %path.display(), "a checkpoint failed");
                    }
                    of_thread.store(COPIED, Ordering::SeqCst);
                }
            })
            .map_err(|error| Error::because(Kind::Unavailable, "cannot start a thread", error))?;
        let hook = move |log: &mut Wal, pages: i32| {
            if pages < CHECKPOINT_PAGES {
                return Ok(());
            }
            match state.load(Ordering::SeqCst) {
                IDLE => {
                    state.store(RUNNING, Ordering::SeqCst);
                    // The channel is empty, because there is at most one request at a time.
                    let _ = requests.try_send(());
                }
                COPIED => {
                    state.store(IDLE, Ordering::SeqCst);
                    // A checkpoint that cannot be completed is no error of the commit before it.
                    if let Err(error) = log.checkpoint() {
                        tracing::warn!(%error, "a checkpoint failed");
                    }
                }
                _ => {}
            }
            Ok(())
        };
        connection
            .wal_hook(Some(hook))
            .map_err(|error| failed("prepare checkpoints", error))?;
        Ok(Self { thread })
    }

    /// Ends the thread and waits for its end. The connection is the write connection with which the thread was started.
    pub(crate) fn end(self, connection: &mut Connection) {
        // The hook contains the sender of the requests. The thread ends when this sender is dropped.
        match connection.wal_hook(None::<fn(&mut Wal, i32) -> rusqlite::Result<()>>) {
            Ok(()) => drop(self.thread.join()),
            // The thread ends after the connection.
            Err(error) => tracing::warn!(%error, "cannot wait for the thread of the checkpoints"),
        }
    }
}

/// Copies pages from the write-ahead log into the database file. Does not block the writer.
fn checkpoint(connection: &mut Option<Connection>, path: &Path) -> Result<(), Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?),
    };
    connection
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        .map_err(|error| failed("make a checkpoint", error))
}

/// The result of the transaction that contains a write.
type Committed = Result<(), Arc<rusqlite::Error>>;
/// A function that sends the result of a write to its caller, after the transaction of the write has ended.
type Reply = Box<dyn FnOnce(Committed)>;
/// A write. The writer thread calls the function with the write connection of a file, or with the error that prevents the
/// write.
type Job = Box<dyn FnOnce(Result<&mut Connection, Arc<rusqlite::Error>>) -> Reply + Send>;

/// Maximum number of jobs in the queue of a writer thread. If the queue is full, callers wait until
/// the queue has space.
const JOBS_MAX: usize = 1024;
/// Maximum number of jobs in one transaction. More jobs would let the first caller of a transaction wait longer.
const GROUP_MAX: usize = 64;

/// A thread with the write connection of one database file. Async tasks send their writes to this
/// thread, because a write would block an async task.
#[derive(Debug)]
pub(crate) struct WriterThread {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl WriterThread {
    /// Starts a writer thread. The thread ends when the returned value is dropped. If `path` is given, checkpoints of this
    /// file do not block the writer.
    pub(crate) fn start(
        mut connection: Connection,
        name: &str,
        path: Option<&Path>,
    ) -> Result<Self, Error> {
        let checkpoints = path
            .map(|path| Checkpoints::start(&mut connection, path))
            .transpose()?;
        let (jobs, mut queue) = mpsc::channel::<Job>(JOBS_MAX);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let is_read_only = connection
                    .is_readonly(rusqlite::MAIN_DB)
                    .unwrap_or_default();
                while let Some(first) = queue.blocking_recv() {
                    let others = std::iter::from_fn(|| queue.try_recv().ok());
                    let group = std::iter::once(first).chain(others.take(GROUP_MAX - 1));
                    if is_read_only {
                        group.for_each(|job| job(Ok(&mut connection))(Ok(())));
                    } else {
                        run_together(&mut connection, group.collect());
                    }
                }
                if let Some(checkpoints) = checkpoints {
                    checkpoints.end(&mut connection);
                }
            })
            .map_err(|error| {
                Error::because(
                    Kind::Unavailable,
                    format!("cannot start thread {name}"),
                    error,
                )
            })?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// Runs a write on the writer thread, and returns its result. If the caller drops the future
    /// while the write waits in the queue, the write still runs.
    ///
    /// All writes that wait at the same time run in one transaction. A write with several statements must therefore use a
    /// savepoint and no transaction. If the write fails, it changes nothing, and the other writes are not affected.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        what: &str,
        write: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let closed = || {
            Error::new(
                Kind::Unavailable,
                format!("cannot {what}: the file is closed"),
            )
        };
        let (answer, response) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let written = connection.and_then(|connection| write(connection).map_err(Arc::new));
            Box::new(move |committed: Committed| {
                // `send` returns an error if the caller of the write no longer waits for the result.
                // The write was executed in this case too, so the error is ignored.
                let _ = answer.send(committed.and(written));
            })
        });
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())?;
        let written = response.await.map_err(|_| closed())?;
        written.map_err(|error| failed(what, error))
    }
}

/// Runs the jobs in one transaction, and then sends their results to the callers. If the transaction fails, all callers get
/// its error.
fn run_together(connection: &mut Connection, group: Vec<Job>) {
    let mut state: Committed = connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(Arc::new);
    let mut replies = Vec::with_capacity(group.len());
    for job in group {
        let reply = match &state {
            Ok(()) => job(Ok(&mut *connection)),
            Err(error) => job(Err(error.clone())),
        };
        replies.push(reply);
        // After an error such as a full disk, SQLite itself ends the transaction and undoes all of its writes.
        if state.is_ok() && connection.is_autocommit() {
            let aborted = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
            let reason = "another write ended the transaction".to_owned();
            let error = rusqlite::Error::SqliteFailure(aborted, Some(reason));
            state = Err(Arc::new(error));
        }
    }
    if state.is_ok() {
        state = connection.execute_batch("COMMIT").map_err(Arc::new);
        if state.is_err() && !connection.is_autocommit() {
            // The next transaction can only begin after the end of this one.
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
    for reply in replies {
        reply(state.clone());
    }
}

impl Drop for WriterThread {
    /// Waits until the writer thread ends. The thread owns the connection, so the database file is
    /// closed when `drop` returns.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn failed(what: &str, error: impl std::borrow::Borrow<rusqlite::Error>) -> Error {
    use rusqlite::ErrorCode::{
        DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase, PermissionDenied,
        ReadOnly, SystemIoFailure,
    };
    let error = error.borrow();
    let kind = match error.sqlite_error_code() {
        Some(DiskFull | SystemIoFailure | DatabaseBusy | DatabaseLocked) => Kind::Unavailable,
        Some(PermissionDenied | ReadOnly) => Kind::Denied,
        Some(DatabaseCorrupt | NotADatabase) => Kind::Corrupt,
        _ if matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
        ) =>
        {
            Kind::Corrupt
        }
        _ => Kind::Unavailable,
    };
    Error::new(kind, format!("cannot {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes 100 MB without a pause. Without checkpoints, the log would have this size too. The test cannot use a
    /// smaller limit, because the writer also writes while a checkpoint runs.
    #[test]
    fn checkpoints_keep_the_log_small_during_constant_writes() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("test.db");
        let mut connection = connect(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        )
        .expect("a database");
        connection
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE rows (body BLOB NOT NULL)")
            .expect("a table");
        let checkpoints = Checkpoints::start(&mut connection, &path).expect("a thread");
        let transactions = 1000;
        for _ in 0..transactions {
            let transaction = connection.transaction().expect("a transaction");
            for _ in 0..100 {
                transaction
                    .prepare_cached("INSERT INTO rows (body) VALUES (zeroblob(1000))")
                    .and_then(|mut insert| insert.execute([]))
                    .expect("inserted");
            }
            transaction.commit().expect("committed");
        }
        let log = std::fs::metadata(side(&path, "-wal")).expect("a log").len();
        assert!(log < 60_000_000, "{log} bytes");
        checkpoints.end(&mut connection);
        drop(connection);
        assert!(
            !side(&path, "-wal").exists(),
            "the last connection is closed"
        );
        let reopened = connect_still(&path).expect("the database");
        let rows: i64 = reopened
            .query_row("SELECT count(*) FROM rows", [], |row| row.get(0))
            .expect("a number");
        assert_eq!(rows, transactions * 100);
        assert_eq!(damages(&reopened), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_failed_write_does_not_change_the_other_writes_of_its_transaction() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("test.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let connection = connect(&path, flags).expect("a database");
        connection
            .execute_batch("CREATE TABLE rows (number INTEGER PRIMARY KEY)")
            .expect("a table");
        let writer = WriterThread::start(connection, "test", None).expect("a thread");
        // The first write waits, so the other writes wait too, and then run in one transaction.
        let (release, released) = std::sync::mpsc::channel::<()>();
        let waits = writer.write("wait", move |_| {
            released.recv().expect("released");
            Ok(())
        });
        let insert = |number: i64| {
            writer.write("insert", move |connection| {
                let savepoint = connection.savepoint()?;
                for number in [number, 100] {
                    savepoint.execute("INSERT INTO rows (number) VALUES (?1)", [number])?;
                }
                savepoint.commit()
            })
        };
        let (waited, first, second, ()) = tokio::join!(waits, insert(1), insert(2), async {
            release.send(()).expect("the writer waits");
        });
        assert!(waited.is_ok() && first.is_ok() && second.is_err());
        let rows = writer.write("read", |connection| {
            let mut statement = connection.prepare("SELECT number FROM rows ORDER BY number")?;
            statement
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<i64>>>()
        });
        assert_eq!(rows.await.expect("rows"), [1, 100]);
    }

    #[test]
    fn a_sqlite_that_can_damage_files_is_rejected() {
        for (number, is_fine) in [
            (3_050_004, false),
            (3_051_002, false),
            (3_051_003, true),
            (3_053_000, true),
        ] {
            assert_eq!(supported(number).is_ok(), is_fine, "{number}");
        }
        assert!(
            supported(3_050_004)
                .unwrap_err()
                .to_string()
                .contains("SQLite 3.50.4")
        );
    }
}
