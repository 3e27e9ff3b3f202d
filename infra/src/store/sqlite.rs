//! Implements the event store on SQLite. One thread writes the commits, several commits in one
//! transaction. Several connections read at the same time.
//!
//! The file has a write-ahead log with `synchronous=FULL`. The writer answers a request when the
//! SQL COMMIT of its transaction is on disk. If the COMMIT fails, all requests in the transaction
//! fail. A lock file prevents a second writer.
//!
//! Reads are short index lookups with a limited result size, on a small pool of read-only
//! connections. The reads run on threads for blocking work, so that they do not block async tasks.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use events::Moment;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::memory::within_limit;
use super::{
    Appended, Commit, Cursor, Hash, Head, Journal, PAGE_BYTES_MAX, Placed, Snapshot, Store, Walked,
    walk_by_position,
};
use crate::crash::Crash;
use crate::sqlite::{Checkpoints, Readers, connect, damages, failed, has_table, look, set_meta};
use crate::{Error, Kind, commit};

/// The SQLite application id of a ledger file: "LDDK" in ASCII.
const APPLICATION_ID: i32 = 0x4c44_444b;
/// The version of the database layout that this program writes.
const LAYOUT: i32 = 2;
/// The version of the database layout in files from older programs. These files contain event names
/// that this program does not support, so the program rejects such a file.
const FORMER_LAYOUT: i32 = 1;
/// Maximum number of jobs in the queue of the writer thread. If the queue is full, callers wait
/// until the queue has space.
const WAITING_MAX: usize = 4096;
/// Maximum number of commits in one transaction. A larger transaction would delay the response to
/// its first commit.
const GROUP_MAX: usize = 512;
/// Minimum time between two probe writes (test writes that check the disk), milliseconds.
const PROBE_EVERY_MS: i64 = 1000;
/// Size in bytes of the probe row. The writer stores this row to test whether the file is writable.
const PROBE_BYTES: usize = 16;
/// Size in bytes of the first probe row (test row) after a failed write. A usual transaction has a
/// similar size, so the test fails if the disk is almost full.
const PROBE_FAILED_BYTES: usize = 256 * 1024;

/// Maximum number of commits that stay in memory after they were written. The follower usually reads them a moment later.
const RECENT_MAX: usize = 2048;
/// Maximum size in bytes of the commits that stay in memory.
const RECENT_BYTES_MAX: usize = 4 << 20;

const CREATE: &str = "
    CREATE TABLE IF NOT EXISTS commits (
        position INTEGER PRIMARY KEY,
        stream TEXT NOT NULL,
        first INTEGER NOT NULL,
        n INTEGER NOT NULL,
        at INTEGER NOT NULL,
        command_id BLOB NOT NULL,
        prev_hash BLOB NOT NULL,
        hash BLOB NOT NULL,
        feed_hash BLOB NOT NULL,
        body BLOB NOT NULL,
        fingerprint BLOB,
        snapshot BLOB
    ) STRICT;
    CREATE UNIQUE INDEX IF NOT EXISTS commits_by_stream ON commits (stream, first);
";
const COLUMNS: &str = "position, stream, first, n, at, command_id, prev_hash, hash, feed_hash, body, fingerprint, snapshot";

/// An event store in one SQLite file, `ledger.db`.
#[derive(Debug)]
pub struct Sqlite {
    readers: Readers,
    /// The writer thread. `None` if the ledger was opened read-only.
    writer: Option<Writer>,
    head: watch::Sender<i64>,
    recent: Arc<Recent>,
    /// The error message of the last write. `None` if the last write succeeded.
    failing: Failing,
    /// Time of the last probe write (a test write that checks the disk).
    probed: tokio::sync::Mutex<Option<Moment>>,
}

type Failing = Arc<Mutex<Option<String>>>;

#[derive(Debug)]
struct Writer {
    requests: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// The lock file of the directory. When the writer is dropped, this file is closed and the lock
    /// is released.
    _lock: File,
}

/// A job of the writer thread.
#[derive(Debug)]
enum Job {
    Commit(Request),
    /// A request to check whether the file is writable. The writer thread writes a test row and
    /// then answers the request. If commits are waiting, the thread writes these commits instead of
    /// a test row.
    Probe(oneshot::Sender<()>),
}

#[derive(Debug)]
struct Request {
    commit: Commit,
    answer: oneshot::Sender<Result<Appended, Error>>,
}

impl Sqlite {
    /// Opens the ledger of a directory for writing. Fails if another process holds the lock of the
    /// directory.
    pub fn open(directory: &Path, crash: Arc<Crash>) -> Result<Self, Error> {
        Self::open_locked(directory, lock(directory)?, crash)
    }

    /// Opens the ledger of a directory for writing. The caller has already locked the directory and
    /// passes the lock file.
    pub(crate) fn open_locked(
        directory: &Path,
        lock: File,
        crash: Arc<Crash>,
    ) -> Result<Self, Error> {
        let path = directory.join("ledger.db");
        let mut connection = connect(
            &path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        )?;
        ours(&connection, &path)?;
        prepare(&connection).map_err(|error| failed("open the ledger", error))?;
        let head = read_head(&connection)?;
        let checkpoints = Checkpoints::start(&mut connection, &path)?;
        let (requests, jobs) = mpsc::channel(WAITING_MAX);
        let sender = watch::channel(head.position).0;
        let failing = Failing::default();
        let recent = Arc::new(Recent::default());
        let group = Group {
            connection,
            head,
            recent: recent.clone(),
            published: sender.clone(),
            crash,
            failing: failing.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("ledger-writer".into())
            .spawn(move || {
                let mut group = group;
                group.run(jobs);
                checkpoints.end(&mut group.connection);
            })
            .map_err(|error| {
                Error::because(Kind::Unavailable, "cannot start the ledger's writer", error)
            })?;
        let writer = Writer {
            requests: Some(requests),
            thread: Some(thread),
            _lock: lock,
        };
        Ok(Self {
            readers: Readers::new(&path),
            writer: Some(writer),
            head: sender,
            recent,
            failing,
            probed: tokio::sync::Mutex::default(),
        })
    }

    /// Opens the ledger of a directory for reading. A desk can run in the directory at the same
    /// time.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("ledger.db");
        find(directory, &path)?;
        Self::over(Readers::new(&path), &path)
    }

    /// Opens the ledger of a directory read-only, without creating a `-wal` or `-shm` file. If a
    /// desk runs in the directory, `is_written` must be true. If `is_written` is false, some reads
    /// use no locks, so a concurrent write of the desk could cause wrong results.
    pub fn look(directory: &Path, is_written: bool) -> Result<Self, Error> {
        let path = directory.join("ledger.db");
        find(directory, &path)?;
        Self::over(Readers::look(&path, is_written)?, &path)
    }

    fn over(readers: Readers, path: &Path) -> Result<Self, Error> {
        readers.with("open the ledger", |connection| Ok(ours(connection, path)))??;
        let head = readers.with("read the ledger's head", |connection| {
            Ok(read_head(connection))
        })??;
        Ok(Self {
            readers,
            writer: None,
            head: watch::channel(head.position).0,
            recent: Arc::default(),
            failing: Failing::default(),
            probed: tokio::sync::Mutex::default(),
        })
    }

    /// Returns the heads that do not match the ledger, ordered by position. A head is the position
    /// and the hash of a published commit.
    pub(crate) fn disagreeing(&self, heads: &[Head]) -> Result<Vec<Head>, Error> {
        self.readers
            .with("compare the ledger with published heads", |connection| {
                disagreeing(connection, heads)
            })
    }

    /// Returns the names of all event streams whose names begin with `prefix`.
    pub fn streams(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let end = format!("{prefix}\u{10ffff}");
        self.readers.with("list the streams", |connection| {
            let mut statement = connection.prepare_cached("SELECT DISTINCT stream FROM commits WHERE stream >= ?1 AND stream < ?2 ORDER BY stream")?;
            statement.query_map([prefix, &end], |row| row.get(0))?.collect()
        })
    }
}

/// Returns the heads that do not match a ledger. A head is the position and the hash of a published
/// commit. A head does not match if the ledger ends before its position, or if the ledger has
/// another hash at this position.
pub(crate) fn disagreeing(connection: &Connection, heads: &[Head]) -> rusqlite::Result<Vec<Head>> {
    // A head with the position 0 belongs to an empty ledger. Every ledger was empty at its start,
    // so this head needs no check.
    let heads: Vec<Head> = heads
        .iter()
        .filter(|head| head.position > 0)
        .copied()
        .collect();
    if !has_table(connection, "commits")? {
        return Ok(heads);
    }
    let mut statement = connection.prepare("SELECT feed_hash FROM commits WHERE position = ?1")?;
    let mut found = Vec::new();
    for head in heads {
        let stored: Option<Vec<u8>> = statement
            .query_row([head.position], |row| row.get(0))
            .optional()?;
        if stored.as_deref() != Some(&head.feed_hash[..]) {
            found.push(head);
        }
    }
    found.sort_by_key(|head| head.position);
    Ok(found)
}

/// Returns the head of a ledger: the position and the hash of its last commit. If the table of
/// commits does not exist yet, returns the head of an empty ledger.
pub(crate) fn end(connection: &Connection) -> Result<Head, Error> {
    let exists = has_table(connection, "commits")
        .map_err(|error| failed("read the ledger's head", error))?;
    if exists {
        read_head(connection)
    } else {
        Ok(Head::default())
    }
}

/// Runs the integrity check of SQLite on a database file. Returns one line of text for each damage
/// that the check finds. Returns `None` if the file does not exist.
pub fn integrity(
    directory: &Path,
    name: &str,
    is_written: bool,
) -> Result<Option<Vec<String>>, Error> {
    let path = directory.join(name);
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(damages(&look(&path, is_written)?)))
}

/// Returns an error if a directory contains no ledger, or if this process may not read the
/// directory.
fn find(directory: &Path, path: &Path) -> Result<(), Error> {
    match path.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::new(
            Kind::Misconfigured,
            format!("no ledger in {}", directory.display()),
        )),
        Err(error) => Err(Error::because(
            Kind::Denied,
            format!("cannot look for a ledger in {}", directory.display()),
            error,
        )),
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.requests.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Locks the directory of a desk, so that only one process writes to it. Returns the open lock
/// file. The operating system releases the lock when the process ends, also after a crash.
pub(crate) fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join("lock");
    let open = std::fs::create_dir_all(directory).and_then(|()| {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
    });
    let file = open.map_err(|error| {
        Error::because(
            Kind::Misconfigured,
            format!("cannot open {}", path.display()),
            error,
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(Error::new(
            Kind::Misconfigured,
            format!(
                "another process is writing to {}; stop it first, or use audit and report, which only read",
                directory.display()
            ),
        )),
    }
}

/// Rejects a database file that belongs to another program. Also rejects a file with a newer
/// layout, because this program could damage such a file.
pub(crate) fn ours(connection: &Connection, path: &Path) -> Result<(), Error> {
    let mark = |name: &str| {
        connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0))
            .map_err(|error| failed("open the ledger", error))
    };
    let (application, layout) = (mark("application_id")?, mark("user_version")?);
    match (application, layout) {
        (0, 0) | (APPLICATION_ID, LAYOUT) => Ok(()),
        (APPLICATION_ID, FORMER_LAYOUT) => Err(Error::new(
            Kind::Misconfigured,
            format!(
                "{} was written by a build before the permanent event names, which this program does not read; start with a new directory",
                path.display()
            ),
        )),
        (APPLICATION_ID, later) => Err(Error::new(
            Kind::Misconfigured,
            format!(
                "{} has layout {later}, this program supports layout {LAYOUT}; use a newer program",
                path.display()
            ),
        )),
        _ => Err(Error::new(
            Kind::Misconfigured,
            format!("{} is not a ledger of this program", path.display()),
        )),
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.execute_batch(CREATE)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", LAYOUT)
}

/// The state of the writer thread. `head` is the position and the hash of the last commit. The
/// thread sends the position of each new head to the channel `published`.
struct Group {
    connection: Connection,
    head: Head,
    recent: Arc<Recent>,
    published: watch::Sender<i64>,
    crash: Arc<Crash>,
    failing: Failing,
}

impl Group {
    /// Takes all waiting jobs, writes their commits in one transaction, and answers each job.
    /// Repeats these steps until all senders of jobs are dropped.
    fn run(&mut self, mut jobs: mpsc::Receiver<Job>) {
        let (mut group, mut probes) = (Vec::with_capacity(GROUP_MAX), Vec::new());
        while let Some(job) = jobs.blocking_recv() {
            let mut next = Some(job);
            while let Some(job) = next.take() {
                match job {
                    Job::Commit(request) => group.push(request),
                    Job::Probe(answer) => probes.push(answer),
                }
                if group.len() < GROUP_MAX {
                    next = jobs.try_recv().ok();
                }
            }
            if group.is_empty() {
                let probed = self.probe();
                self.note(probed.err());
            } else {
                self.write(&mut group);
            }
            for answer in probes.drain(..) {
                let _ = answer.send(());
            }
        }
    }

    fn write(&mut self, group: &mut Vec<Request>) {
        self.crash.pass("before-write");
        let before = self.head;
        let outcome = self.commit(group);
        self.crash.pass("after-sync");
        match outcome {
            Ok(answers) => {
                self.note(None);
                let (mut stored, mut responses) = (Vec::new(), Vec::new());
                for (request, (answer, feed_hash)) in group.drain(..).zip(answers) {
                    if let Appended::Stored {
                        position: Some(position),
                    } = answer
                    {
                        stored.push(Placed {
                            position,
                            feed_hash,
                            commit: request.commit,
                        });
                    }
                    responses.push((request.answer, answer));
                }
                self.recent.add(stored);
                self.published.send_replace(self.head.position);
                for (response, answer) in responses {
                    let _ = response.send(Ok(answer));
                }
            }
            Err(error) => {
                self.head = before;
                for request in group.drain(..) {
                    let _ = request.answer.send(Err(failed(
                        &format!(
                            "store commit {}:{}",
                            request.commit.stream, request.commit.first
                        ),
                        &error,
                    )));
                }
                self.note(Some(error));
            }
        }
    }

    /// Stores the error message of the last write in `failing`. If the last write succeeded, stores
    /// `None`.
    fn note(&self, error: Option<rusqlite::Error>) {
        *self.failing.lock().expect("no holder panics") = error.map(|error| error.to_string());
    }

    /// Writes the probe row to test whether the file is writable. After a failed write, the
    /// function first writes a large row, to test whether the disk has enough space. Then it
    /// replaces the large row with a small row.
    fn probe(&mut self) -> rusqlite::Result<()> {
        let is_failing = self.failing.lock().expect("no holder panics").is_some();
        if is_failing {
            self.put_probe(PROBE_FAILED_BYTES)?;
        }
        self.put_probe(PROBE_BYTES)
    }

    fn put_probe(&mut self, bytes: usize) -> rusqlite::Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        set_meta(&transaction, "probe", &"0".repeat(bytes))?;
        transaction.commit()
    }

    /// Writes the commits of a group in one transaction. Returns the answer to each request, and the hash of the feed at
    /// this commit.
    fn commit(&mut self, group: &[Request]) -> rusqlite::Result<Vec<(Appended, Hash)>> {
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut answers = Vec::with_capacity(group.len());
        {
            let mut insert = transaction.prepare_cached(&format!(
                "INSERT INTO commits ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT (stream, first) DO NOTHING"
            ))?;
            for Request { commit, .. } in group {
                let position = self.head.position + 1;
                let feed_hash = commit::feed_hash(&self.head.feed_hash, position, &commit.hash);
                let snapshot = commit.snapshot.as_ref();
                let stored = insert.execute(params![
                    position,
                    commit.stream,
                    commit.first,
                    commit.n,
                    commit.at.0,
                    commit.command_id,
                    commit.prev_hash,
                    commit.hash,
                    feed_hash,
                    commit.body,
                    snapshot.map(|snapshot| snapshot.fingerprint),
                    snapshot.map(|snapshot| &snapshot.state),
                ])?;
                if stored == 1 {
                    self.head = Head {
                        position,
                        feed_hash,
                    };
                    let position = Some(position);
                    answers.push((Appended::Stored { position }, feed_hash));
                } else {
                    let taken = read_at(&transaction, &commit.stream, commit.first)?;
                    answers.push((Appended::Taken(Box::new(taken)), feed_hash));
                }
            }
        }
        self.crash.pass("after-write");
        transaction.commit()?;
        Ok(answers)
    }
}

/// The commits that this process wrote last, without gaps and in the order of their positions. The follower and the
/// projections read each commit a moment after it was written, so most of their reads need no database.
#[derive(Debug, Default)]
struct Recent(Mutex<LastCommits>);

#[derive(Debug, Default)]
struct LastCommits {
    commits: VecDeque<Placed>,
    /// The size of all commits.
    bytes: usize,
}

impl Recent {
    fn add(&self, stored: Vec<Placed>) {
        let mut recent = self.0.lock().expect("no holder panics");
        recent.bytes += stored.iter().map(bytes_of).sum::<usize>();
        recent.commits.extend(stored);
        while recent.commits.len() > RECENT_MAX || recent.bytes > RECENT_BYTES_MAX {
            let oldest = recent.commits.pop_front();
            recent.bytes -= oldest.as_ref().map_or(0, bytes_of);
        }
    }

    /// Returns the commits after a position, with the limits of one read. Returns `None` if some of these commits are
    /// no longer in memory.
    fn after(&self, position: i64, limit: usize) -> Option<Vec<Placed>> {
        let recent = self.0.lock().expect("no holder panics");
        let first = recent.commits.front()?.position;
        let skip = usize::try_from(position + 1 - first).ok()?;
        let mut bytes = 0;
        let page = recent
            .commits
            .iter()
            .skip(skip)
            .take(limit)
            .take_while(|placed| {
                let is_first = bytes == 0;
                bytes += placed.commit.body.len();
                is_first || bytes <= PAGE_BYTES_MAX
            });
        Some(page.cloned().collect())
    }
}

fn bytes_of(placed: &Placed) -> usize {
    let commit = &placed.commit;
    let snapshot = commit.snapshot.as_ref();
    commit.stream.len() + commit.body.len() + snapshot.map_or(0, |snapshot| snapshot.state.len())
}

fn read_at(connection: &Connection, stream: &str, first: i64) -> rusqlite::Result<Commit> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM commits WHERE stream = ?1 AND first = ?2"
    ))?;
    statement.query_row(params![stream, first], |row| Ok(placed(row)?.commit))
}

fn read_head(connection: &Connection) -> Result<Head, Error> {
    let head = connection
        .query_row(
            "SELECT position, feed_hash FROM commits ORDER BY position DESC LIMIT 1",
            [],
            |row| {
                Ok(Head {
                    position: row.get(0)?,
                    feed_hash: row.get(1)?,
                })
            },
        )
        .optional();
    Ok(head
        .map_err(|error| failed("read the ledger's head", error))?
        .unwrap_or_default())
}

fn placed(row: &Row<'_>) -> rusqlite::Result<Placed> {
    let (first, n): (i64, i64) = (row.get(2)?, row.get(3)?);
    // A reader continues at the sequence number `first + n`. If this number were not greater than
    // `first`, the reader would read the same rows without end. Such a row is therefore an error.
    if first < 1 || n < 1 || first.checked_add(n).is_none() {
        return Err(rusqlite::Error::IntegralValueOutOfRange(3, n));
    }
    let fingerprint: Option<[u8; 16]> = row.get(10)?;
    let state: Option<Vec<u8>> = row.get(11)?;
    Ok(Placed {
        position: row.get(0)?,
        feed_hash: row.get::<_, Hash>(8)?,
        commit: Commit {
            stream: row.get(1)?,
            first,
            n,
            at: Moment(row.get(4)?),
            command_id: row.get(5)?,
            prev_hash: row.get(6)?,
            hash: row.get(7)?,
            body: row.get(9)?,
            snapshot: fingerprint
                .zip(state)
                .map(|(fingerprint, state)| Snapshot { fingerprint, state }),
        },
    })
}

/// Runs a query that returns commits. Stops at the maximum number of commits and bytes of one read.
/// If a row cannot be read, returns an error with the position of the row.
async fn commits(
    readers: &Readers,
    what: String,
    filter: &'static str,
    values: Vec<rusqlite::types::Value>,
    limit: usize,
) -> Result<Vec<Placed>, Error> {
    let page = readers.read(what, move |connection| {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM commits WHERE {filter} LIMIT {limit}"
        ))?;
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        let (mut total, mut page) = (0, Vec::new());
        while let Some(row) = rows.next()? {
            let placed = match placed(row) {
                Ok(placed) => placed,
                Err(error) => return Ok(Err(unreadable(row, &error))),
            };
            total += placed.commit.body.len();
            if total > PAGE_BYTES_MAX && !page.is_empty() {
                break;
            }
            page.push(placed);
        }
        Ok(Ok(page))
    });
    page.await?
}

fn unreadable(row: &Row<'_>, error: &rusqlite::Error) -> Error {
    let position = row
        .get::<_, i64>(0)
        .map_or_else(|_| "?".to_owned(), |position| position.to_string());
    let stream = row.get::<_, String>(1).unwrap_or_else(|_| "?".into());
    Error::corrupt(format!(
        "ledger row {position} (stream {stream}) cannot be read: {error}"
    ))
}

#[async_trait]
impl Journal for Sqlite {
    async fn append(&self, commit: Commit) -> Result<Appended, Error> {
        within_limit(&commit)?;
        let closed = || Error::new(Kind::Unavailable, "the ledger is closed for writing");
        let requests = self
            .writer
            .as_ref()
            .and_then(|writer| writer.requests.as_ref())
            .ok_or_else(closed)?;
        let (answer, response) = oneshot::channel();
        requests
            .send(Job::Commit(Request { commit, answer }))
            .await
            .map_err(|_| closed())?;
        response.await.map_err(|_| closed())?
    }

    async fn back(
        &self,
        stream: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Commit>, Error> {
        let before = before.unwrap_or(i64::MAX);
        let page = commits(
            &self.readers,
            format!("load {stream}"),
            "stream = ?1 AND first < ?2 ORDER BY first DESC",
            vec![stream.to_owned().into(), before.into()],
            limit,
        )
        .await?;
        Ok(page.into_iter().map(|placed| placed.commit).collect())
    }

    async fn forward(&self, stream: &str, from: i64, limit: usize) -> Result<Vec<Commit>, Error> {
        let page = commits(
            &self.readers,
            format!("read {stream}"),
            "stream = ?1 AND first >= ?2 ORDER BY first",
            vec![stream.to_owned().into(), from.into()],
            limit,
        )
        .await?;
        Ok(page.into_iter().map(|placed| placed.commit).collect())
    }

    async fn next(&self, stream: &str) -> Result<i64, Error> {
        let name = stream.to_owned();
        self.readers
            .read(format!("look at {stream}"), move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT first + n FROM commits WHERE stream = ?1 ORDER BY first DESC LIMIT 1",
                )?;
                Ok(statement
                    .query_row([name], |row| row.get(0))
                    .optional()?
                    .unwrap_or(1))
            })
            .await
    }

    async fn walk(&self, from: Option<Cursor>, limit: usize) -> Result<Walked, Error> {
        walk_by_position(self, from, limit).await
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn feed(&self, after: i64, limit: usize) -> Result<Vec<Placed>, Error> {
        if let Some(page) = self.recent.after(after, limit) {
            return Ok(page);
        }
        commits(
            &self.readers,
            format!("read the feed after {after}"),
            "position > ?1 ORDER BY position",
            vec![after.into()],
            limit,
        )
        .await
    }

    async fn head(&self) -> Result<Head, Error> {
        self.readers
            .read("read the head of the ledger".to_owned(), |connection| {
                Ok(read_head(connection))
            })
            .await?
    }

    async fn past(&self, position: i64) {
        let _ = self
            .head
            .subscribe()
            .wait_for(|head| *head > position)
            .await;
    }

    async fn writable(&self, now: Moment) -> Result<(), Error> {
        let Some(requests) = self
            .writer
            .as_ref()
            .and_then(|writer| writer.requests.as_ref())
        else {
            return Ok(());
        };
        let mut probed = self.probed.lock().await;
        let is_fresh = probed.is_some_and(|at| (0..PROBE_EVERY_MS).contains(&(now.0 - at.0)));
        if !is_fresh {
            let closed = || Error::new(Kind::Unavailable, "the ledger is closed for writing");
            let (answer, response) = oneshot::channel();
            requests
                .send(Job::Probe(answer))
                .await
                .map_err(|_| closed())?;
            response.await.map_err(|_| closed())?;
            *probed = Some(now);
        }
        match &*self.failing.lock().expect("no holder panics") {
            None => Ok(()),
            Some(reason) => Err(Error::new(
                Kind::Unavailable,
                format!("the ledger cannot be written: {reason}"),
            )),
        }
    }
}
