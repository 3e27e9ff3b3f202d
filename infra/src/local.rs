//! Opens the storage of a local desk (one Ledgerdesk process that stores its data in one
//! directory).

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::OpenFlags;

use crate::blob::Blob;
use crate::clock::{SystemClock, SystemRng};
use crate::crash::Crash;
use crate::heads::{self, Lost};
use crate::keys::{Keys, pair};
use crate::queue::Queue;
use crate::sqlite::{connect, failed, side};
use crate::store::Store;
use crate::views::{Counted, Views};
use crate::{Error, Kind, Ledger, Ports, blob, keys, queue, store, views};

/// File names of the databases in the directory of a desk.
pub const DATABASES: [&str; 3] = ["ledger.db", "keys.db", "views.db"];
/// Name of the directory for uploaded files.
pub const FILES: &str = "files";
/// Permission bits that give access to users who are not the owner of a file.
const OTHERS: u32 = 0o077;
/// The sticky bit of a directory mode. Directories that all users share, such as `/tmp`, have this
/// bit.
const STICKY: u32 = 0o1000;

/// The losses of data that the operator accepts when a desk starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Whether the desk may start although commits are missing in the ledger. The desk finds
    /// missing commits in two ways: the file `heads` contains their positions, or the views (stored
    /// documents for reading) contain their data.
    pub commits: bool,
    /// Whether the desk may start although people are missing in the key store. The ledger contains
    /// actions of these people.
    pub people: bool,
}

/// The stores of a data directory, opened read-only. Opening the stores creates no file.
pub struct Look {
    pub ledger: Ledger,
    /// Names of the event streams that belong to uploaded files.
    pub attachments: Vec<String>,
    pub blob: Arc<dyn Blob>,
    /// Whether the directory contains a key store.
    pub has_keys: bool,
    pub streams: Streams,
}

/// Lists the event streams of a data directory.
#[derive(Clone)]
pub struct Streams(Arc<store::sqlite::Sqlite>);

impl Streams {
    /// Returns the names of all event streams of an aggregate, such as `integration`.
    pub fn of(&self, aggregate: &str) -> Result<Vec<String>, Error> {
        self.0.streams(&format!("{aggregate}-"))
    }
}

/// The views (stored documents for reading) and the work queues of a directory, opened read-only.
pub struct LookedViews {
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
}

/// Opens the stores of a data directory for reading and writing. Returns these stores as ports
/// (interfaces to storage and to other systems). `counted` contains the indexes that get row
/// counters in the views (stored documents for reading).
///
/// Returns an error in these cases:
///
/// - A desk already runs in the directory.
/// - The key store belongs to another ledger.
/// - Commits are missing in the ledger. The file `heads` contains their positions, or the views
///   contain their data.
pub fn open(directory: &Path, crash: &Arc<Crash>, counted: &Counted) -> Result<Ports, Error> {
    match open_despite_loss(directory, crash, counted, Accepted::default())? {
        (local, None) => Ok(local),
        (_, Some(lost)) => Err(Error::new(Kind::Corrupt, lost.message(directory))),
    }
}

/// Opens the stores of a data directory for reading and writing, and returns these stores. The
/// parameter `accepted` contains the losses of data that the operator accepts. Queue messages that
/// the last process took and did not finish are available again.
///
/// If commits are missing and `accepted` permits this loss, the function removes the views (stored
/// documents for reading), and also returns the loss. The views contain data of the missing
/// commits, so the desk must then create new views from the ledger.
pub fn open_despite_loss(
    directory: &Path,
    crash: &Arc<Crash>,
    counted: &Counted,
    accepted: Accepted,
) -> Result<(Ports, Option<Lost>), Error> {
    make_private(directory)?;
    let lock = store::sqlite::lock(directory)?;
    tighten(directory);
    let lost = match lost(directory)? {
        None => behind_views(directory)?,
        lost => lost,
    };
    if let Some(lost) = &lost {
        if !accepted.commits {
            return Err(Error::new(Kind::Corrupt, lost.message(directory)));
        }
        remove_views(directory)?;
    }
    pair::pair(directory, &SystemRng, accepted.people)?;
    views::sqlite::release_messages(directory)?;
    let store: Arc<dyn Store> = Arc::new(store::sqlite::Sqlite::open_locked(
        directory,
        lock,
        crash.clone(),
    )?);
    files(directory).sweep()?;
    let mut ports = over(directory, store, crash, counted)?;
    ports.ledger = ports.ledger.as_only_writer();
    Ok((ports, lost))
}

/// Opens the ledger of a directory read-only while a desk runs in the directory. If the directory
/// contains a key store, the returned ledger uses this key store. Otherwise, the returned ledger
/// uses an empty key store.
pub fn read(directory: &Path) -> Result<Ledger, Error> {
    let store: Arc<dyn Store> = Arc::new(store::sqlite::Sqlite::read(directory)?);
    let keys: Arc<dyn Keys> = if has_keys(directory) {
        Arc::new(keys::sqlite::Sqlite::read(directory, Arc::new(SystemRng))?)
    } else {
        Arc::new(keys::memory::Memory::new(Arc::new(SystemRng)))
    };
    Ok(Ledger::new(
        store,
        keys,
        Arc::new(SystemClock),
        Arc::new(SystemRng),
    ))
}

/// Opens the stores of a data directory while a desk runs in the same directory. The ledger is
/// opened read-only. The key store, the views (stored documents for reading) and the work queue are
/// opened for writing.
pub fn beside(directory: &Path, counted: &Counted) -> Result<Ports, Error> {
    let store: Arc<dyn Store> = Arc::new(store::sqlite::Sqlite::read(directory)?);
    pair::check(directory, true)?;
    over(directory, store, &Arc::default(), counted)
}

/// Opens all stores of a directory read-only while a desk runs in the directory. If the directory
/// contains no views (stored documents for reading), the returned views are empty.
pub fn read_all(directory: &Path) -> Result<Ports, Error> {
    let ledger = read(directory)?;
    pair::check(directory, true)?;
    let opened = look_at_views(directory, true)?;
    let (views, queue): (Arc<dyn Views>, Arc<dyn Queue>) = match opened {
        Some(LookedViews { views, queue }) => (views, queue),
        None => (
            Arc::new(views::memory::Memory::default()),
            Arc::new(queue::memory::Memory::default()),
        ),
    };
    Ok(Ports::over(
        ledger,
        views,
        queue,
        Arc::new(files(directory)),
    ))
}

/// Opens the stores of a data directory read-only. The function creates no file. If a desk runs in
/// the directory, `is_written` must be true. If `is_written` is false, some reads use no locks, so
/// a concurrent write of the desk could cause wrong results.
pub fn look(directory: &Path, is_written: bool) -> Result<Look, Error> {
    look_apart(directory, directory, is_written)
}

/// Opens the stores of a data directory read-only. The function creates no file. The key store is
/// in another directory, `keys_at`. If a desk runs in the directory, `is_written` must be true. If
/// `is_written` is false, some reads use no locks, so a concurrent write of the desk could cause
/// wrong results.
pub fn look_apart(directory: &Path, keys_at: &Path, is_written: bool) -> Result<Look, Error> {
    let store = Arc::new(store::sqlite::Sqlite::look(directory, is_written)?);
    let streams = Streams(store.clone());
    let attachments = streams.of("attachment")?;
    let has_keys = has_keys(keys_at);
    let keys: Arc<dyn Keys> = if has_keys {
        Arc::new(keys::sqlite::Sqlite::look(
            keys_at,
            is_written,
            Arc::new(SystemRng),
        )?)
    } else {
        Arc::new(keys::memory::Memory::new(Arc::new(SystemRng)))
    };
    let ledger = Ledger::new(store, keys, Arc::new(SystemClock), Arc::new(SystemRng));
    Ok(Look {
        ledger,
        attachments,
        streams,
        blob: Arc::new(files(directory)),
        has_keys,
    })
}

/// Opens the views (stored documents for reading) and the work queues of a data directory
/// read-only. Returns `None` if the views are missing or outdated. In this case, a desk fills the
/// views at its next start. If a desk runs in the directory, `is_written` must be true. If
/// `is_written` is false, some reads use no locks, so a concurrent write of the desk could cause
/// wrong results.
pub fn look_at_views(directory: &Path, is_written: bool) -> Result<Option<LookedViews>, Error> {
    let file = views::sqlite::ViewsFile::look(directory, is_written)?.map(Arc::new);
    Ok(file.map(|file| LookedViews {
        views: Arc::new(views::sqlite::Sqlite(file.clone())),
        queue: Arc::new(file.queue()),
    }))
}

fn over(
    directory: &Path,
    store: Arc<dyn Store>,
    crash: &Arc<Crash>,
    counted: &Counted,
) -> Result<Ports, Error> {
    let ledger = Ledger::new(
        store,
        keys(directory)?,
        Arc::new(SystemClock),
        Arc::new(SystemRng),
    );
    let file = Arc::new(views::sqlite::ViewsFile::open(
        directory,
        crash.clone(),
        counted,
    )?);
    let views = Arc::new(views::sqlite::Sqlite(file.clone()));
    Ok(Ports {
        page_writer: views.clone(),
        ..Ports::over(
            ledger,
            views,
            Arc::new(file.queue()),
            Arc::new(files(directory)),
        )
    })
}

fn files(directory: &Path) -> blob::files::Files {
    blob::files::Files::new(&directory.join(FILES))
}

fn keys(directory: &Path) -> Result<Arc<dyn Keys>, Error> {
    Ok(Arc::new(keys::sqlite::Sqlite::open(
        directory,
        Arc::new(SystemRng),
    )?))
}

/// Returns the version of the SQLite library that this program uses.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// Returns an error if the key store and the ledger of a data directory do not belong together. If
/// a desk runs in the directory, `is_written` must be true. If `is_written` is false, some reads
/// use no locks, so a concurrent write of the desk could cause wrong results.
pub fn check_keys(directory: &Path, is_written: bool) -> Result<(), Error> {
    pair::check(directory, is_written)
}

/// Runs the integrity check of SQLite on a database file. Returns one line of text for each damage
/// that the check finds. Returns `None` if the file does not exist.
pub fn integrity(
    directory: &Path,
    name: &str,
    is_written: bool,
) -> Result<Option<Vec<String>>, Error> {
    store::sqlite::integrity(directory, name, is_written)
}

/// Returns whether a database has a write-ahead log with content, but no index file `-shm` for this
/// log. An incomplete copy can be in this state. A read of such a database needs write access,
/// because SQLite must create the index file.
pub fn has_unread_log(directory: &Path, name: &str) -> bool {
    crate::sqlite::is_still(&directory.join(name), false).is_err()
}

/// Returns the published heads that do not match the ledger of a data directory. A published head
/// is the position and the hash of a commit in the file `heads`. If a desk runs in the directory,
/// `is_written` must be true. If `is_written` is false, some reads use no locks, so a concurrent
/// write of the desk could cause wrong results.
pub fn disagreeing(
    directory: &Path,
    is_written: bool,
    published: &[store::Head],
) -> Result<Vec<store::Head>, Error> {
    store::sqlite::Sqlite::look(directory, is_written)?.disagreeing(published)
}

/// Returns whether a desk runs in a directory. A running desk holds the lock of its directory. If
/// the lock file is missing, the result is false.
pub fn is_running(directory: &Path) -> Result<bool, Error> {
    let path = directory.join("lock");
    // A backup can be made from a read-only snapshot of a file system. On such a file system, the
    // lock file can only be opened for reading.
    let is_read_only =
        |error: &std::io::Error| error.kind() == std::io::ErrorKind::ReadOnlyFilesystem;
    let opened = std::fs::File::options().write(true).open(&path);
    match opened.or_else(|error| {
        if is_read_only(&error) {
            std::fs::File::open(&path)
        } else {
            Err(error)
        }
    }) {
        Ok(file) => Ok(file.try_lock().is_err()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::because(
            Kind::Misconfigured,
            format!("cannot open {}", path.display()),
            error,
        )),
    }
}

/// Returns the paths of all files and directories of a desk that other users can access, with their
/// permission bits.
pub fn wide(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut accessible = Vec::new();
    let mut check = |path: PathBuf| {
        let mode = std::fs::metadata(&path).map_or(0, |file| file.permissions().mode());
        if mode & OTHERS != 0 {
            accessible.push((path, mode & 0o777));
        }
    };
    check(directory.to_owned());
    own_files(directory).into_iter().for_each(&mut check);
    blob::files::Files::new(&directory.join(FILES))
        .paths()
        .into_iter()
        .for_each(check);
    accessible
}

fn has_keys(directory: &Path) -> bool {
    std::fs::metadata(directory.join("keys.db")).is_ok_and(|file| file.len() > 0)
}

/// Returns the paths of the existing files in the data directory of a desk. The result also
/// contains the directory for uploaded files, but not the files in it.
fn own_files(directory: &Path) -> Vec<PathBuf> {
    let databases = DATABASES.iter().flat_map(|name| {
        ["", "-wal", "-shm", "-journal"].map(|ending| side(&directory.join(name), ending))
    });
    let files = databases.chain([
        directory.join("lock"),
        directory.join(heads::FILE),
        directory.join(FILES),
    ]);
    files.filter(|path| path.exists()).collect()
}

/// Creates a directory and its missing parent directories. Only the user of this process can access
/// the new directories.
fn make_private(directory: &Path) -> Result<(), Error> {
    let created = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    created.map_err(|error| {
        Error::because(
            Kind::Misconfigured,
            format!("cannot create {}", directory.display()),
            error,
        )
    })
}

/// Removes the access of other users to the files of a desk. If the permissions of a file cannot be
/// changed, a warning with the path is written to the log.
fn tighten(directory: &Path) {
    let is_shared =
        std::fs::metadata(directory).is_ok_and(|folder| folder.permissions().mode() & STICKY != 0);
    let mut changed = 0;
    for (path, mode) in wide(directory) {
        if is_shared && path == directory {
            tracing::warn!(directory = %directory.display(), "the data directory is shared by all users of this machine; use a separate directory");
            continue;
        }
        match std::fs::set_permissions(&path, Permissions::from_mode(mode & !OTHERS)) {
            Ok(()) => changed += 1,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot remove the access of other users");
            }
        }
    }
    if changed > 0 {
        tracing::info!(changed, directory = %directory.display(), "removed the access of other users to files of the desk");
    }
}

/// Compares the heads in the file `heads` with the ledger of a directory. A head is the position
/// and the hash of a published commit. Returns the lost commits, or `None` if no commit is lost.
fn lost(directory: &Path) -> Result<Option<Lost>, Error> {
    let mut published = heads::read(directory)?.heads;
    // A head with the position 0 belongs to an empty ledger. Every ledger was empty at its start,
    // so this head needs no check.
    published.retain(|head| head.position > 0);
    if published.is_empty() {
        return Ok(None);
    }
    let path = directory.join("ledger.db");
    let exists = std::fs::metadata(&path).is_ok_and(|file| file.len() > 0);
    if !exists {
        return Ok(Lost::of(&published, &published, 0));
    }
    // The ledger is opened read-only. With write access, SQLite could change a truncated
    // write-ahead log before the operator accepts the loss.
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    store::sqlite::ours(&connection, &path)?;
    let disagreeing = store::sqlite::disagreeing(&connection, &published)
        .map_err(|error| failed("compare the ledger with published heads", error))?;
    let end = store::sqlite::end(&connection)?.position;
    Ok(Lost::of(&published, &disagreeing, end))
}

/// Compares the last position of the ledger with the last position that the views (stored documents
/// for reading) contain. Returns a loss if the views contain data of commits that are missing in
/// the ledger.
fn behind_views(directory: &Path) -> Result<Option<Lost>, Error> {
    let Some(followed) = views::sqlite::followed(directory)? else {
        return Ok(None);
    };
    let path = directory.join("ledger.db");
    if !std::fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
        return Ok(Lost::behind_views(followed, 0));
    }
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    store::sqlite::ours(&connection, &path)?;
    Ok(Lost::behind_views(
        followed,
        store::sqlite::end(&connection)?.position,
    ))
}

/// Removes the files of the views (stored documents for reading). The desk later creates new views
/// from the ledger.
fn remove_views(directory: &Path) -> Result<(), Error> {
    let path = directory.join("views.db");
    for path in [side(&path, "-wal"), side(&path, "-shm"), path] {
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Error::because(
                    Kind::Misconfigured,
                    format!("cannot remove {}", path.display()),
                    error,
                ));
            }
        }
    }
    Ok(())
}

/// Returns how many files this process may open at the same time. Returns `None` if there is no
/// limit.
pub fn open_files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}
