//! All ports from one directory.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::OpenFlags;

use crate::blob::Blob;
use crate::clock::{SystemChance, SystemClock};
use crate::crash::Crash;
use crate::heads::{self, Lost};
use crate::keys::{Keys, pair};
use crate::queue::Queue;
use crate::secrets::{Secrets, stored::Stored};
use crate::sqlite::{connect, failed, side};
use crate::store::Store;
use crate::views::Views;
use crate::{Error, Kind, Ledger, blob, keys, queue, store, views};

/// The databases of a directory.
pub const DATABASES: [&str; 3] = ["ledger.db", "keys.db", "views.db"];
/// The folder of uploaded files.
pub const FILES: &str = "files";
/// Permission bits that give others than the owner access.
const OTHERS: u32 = 0o077;
/// A folder with this bit belongs to everybody, such as `/tmp`.
const STICKY: u32 = 0o1000;

/// The ports of one desk on one machine.
#[derive(Clone)]
pub struct Local {
    pub ledger: Ledger,
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
    pub secrets: Arc<dyn Secrets>,
    /// Uploaded files.
    pub blob: Arc<dyn Blob>,
}

/// What a desk starts without, because its operator says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Commits that were published or followed.
    pub commits: bool,
    /// People who acted in the ledger and are not in the key store.
    pub people: bool,
}

/// A directory that is read as it lies; no file appears in it.
pub struct Look {
    pub ledger: Ledger,
    /// The streams of uploaded files.
    pub attachments: Vec<String>,
    pub blob: Arc<dyn Blob>,
    /// Absent where there is no key store.
    pub has_keys: bool,
}

/// The views of a directory that is read as it lies.
pub struct LookedViews {
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
}

impl Local {
    /// Opens a directory for a desk that writes. Rejects a second one, a key store that is not the ledger's, and a ledger that lacks published commits.
    pub fn open(directory: &Path, crash: &Arc<Crash>) -> Result<Self, Error> {
        match Self::open_despite_loss(directory, crash, Accepted::default())? {
            (local, None) => Ok(local),
            (_, Some(lost)) => Err(Error::new(Kind::Corrupt, lost.message(directory))),
        }
    }

    /// The same; where the loss of published commits is accepted, they are given back, and views of a ledger that had them are removed.
    pub fn open_despite_loss(directory: &Path, crash: &Arc<Crash>, accepted: Accepted) -> Result<(Self, Option<Lost>), Error> {
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
        pair::pair(directory, &SystemChance, accepted.people)?;
        let store: Arc<dyn Store> = Arc::new(store::sqlite::Sqlite::open_locked(directory, lock, crash.clone())?);
        Self::files(directory).sweep()?;
        Ok((Self::over(directory, store, crash)?, lost))
    }

    /// Opens the ledger of a directory for reading beside a running desk, with keys to open what is sealed, as far as there are keys.
    pub fn read(directory: &Path) -> Result<Ledger, Error> {
        let store: Arc<dyn Store> = Arc::new(store::sqlite::Sqlite::read(directory)?);
        let keys: Arc<dyn Keys> = if has_keys(directory) {
            Arc::new(keys::sqlite::Sqlite::read(directory, Arc::new(SystemChance))?)
        } else {
            Arc::new(keys::memory::Memory::new(Arc::new(SystemChance)))
        };
        Ok(Ledger::new(store, keys, Arc::new(SystemClock), Arc::new(SystemChance)))
    }

    /// Opens views and queue of a directory beside a running desk.
    pub fn beside(directory: &Path) -> Result<Self, Error> {
        let store: Arc<dyn Store> = Arc::new(store::sqlite::Sqlite::read(directory)?);
        pair::check(directory, true)?;
        Self::over(directory, store, &Arc::default())
    }

    /// Opens everything of a directory for reading alone, beside a running desk. Views that do not exist yet are empty.
    pub fn read_all(directory: &Path) -> Result<Self, Error> {
        let ledger = Self::read(directory)?;
        pair::check(directory, true)?;
        let looked = Self::look_at_views(directory, true)?;
        let (views, queue): (Arc<dyn Views>, Arc<dyn Queue>) = match looked {
            Some(LookedViews { views, queue }) => (views, queue),
            None => (Arc::new(views::memory::Memory::default()), Arc::new(queue::memory::Memory::default())),
        };
        let secrets = Arc::new(Stored { keys: ledger.keys.clone(), chance: ledger.chance.clone() });
        Ok(Self { ledger, views, queue, secrets, blob: Arc::new(Self::files(directory)) })
    }

    /// Opens a directory for reading in the way that makes no file; `is_written` is true while a desk is running there.
    pub fn look(directory: &Path, is_written: bool) -> Result<Look, Error> {
        Self::look_apart(directory, directory, is_written)
    }

    /// The same where the key store is in another directory.
    pub fn look_apart(directory: &Path, keys_at: &Path, is_written: bool) -> Result<Look, Error> {
        let store = store::sqlite::Sqlite::look(directory, is_written)?;
        let attachments = store.streams("attachment-")?;
        let has_keys = has_keys(keys_at);
        let keys: Arc<dyn Keys> = if has_keys {
            Arc::new(keys::sqlite::Sqlite::look(keys_at, is_written, Arc::new(SystemChance))?)
        } else {
            Arc::new(keys::memory::Memory::new(Arc::new(SystemChance)))
        };
        let ledger = Ledger::new(Arc::new(store), keys, Arc::new(SystemClock), Arc::new(SystemChance));
        Ok(Look { ledger, attachments, blob: Arc::new(Self::files(directory)), has_keys })
    }

    /// The views and queues of a directory as they lie; absent where they are filled when a desk starts.
    pub fn look_at_views(directory: &Path, is_written: bool) -> Result<Option<LookedViews>, Error> {
        let file = views::sqlite::ViewsFile::look(directory, is_written)?.map(Arc::new);
        Ok(file.map(|file| LookedViews { views: Arc::new(views::sqlite::Sqlite(file.clone())), queue: Arc::new(queue::sqlite::Sqlite(file)) }))
    }

    fn over(directory: &Path, store: Arc<dyn Store>, crash: &Arc<Crash>) -> Result<Self, Error> {
        let ledger = Ledger::new(store, Self::keys(directory)?, Arc::new(SystemClock), Arc::new(SystemChance));
        let file = Arc::new(views::sqlite::ViewsFile::open(directory, crash.clone())?);
        let secrets = Arc::new(Stored { keys: ledger.keys.clone(), chance: ledger.chance.clone() });
        let blob = Arc::new(Self::files(directory));
        Ok(Self { ledger, blob, views: Arc::new(views::sqlite::Sqlite(file.clone())), queue: Arc::new(queue::sqlite::Sqlite(file)), secrets })
    }

    fn files(directory: &Path) -> blob::files::Files {
        blob::files::Files::new(&directory.join(FILES))
    }

    fn keys(directory: &Path) -> Result<Arc<dyn Keys>, Error> {
        Ok(Arc::new(keys::sqlite::Sqlite::open(directory, Arc::new(SystemChance))?))
    }
}

/// The version of the SQLite that is linked.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// Checks that the key store of a directory is its ledger's; `is_written` is true while a desk is running there.
pub fn check_keys(directory: &Path, is_written: bool) -> Result<(), Error> {
    pair::check(directory, is_written)
}

/// The damages that SQLite's own check finds in a database of a directory; `None` where there is no such file.
pub fn integrity(directory: &Path, name: &str, is_written: bool) -> Result<Option<Vec<String>>, Error> {
    store::sqlite::integrity(directory, name, is_written)
}

/// Returns whether a database of a directory has a log without its index, as a copy without the `-shm` files: it can only be read by a process that writes.
pub fn has_unread_log(directory: &Path, name: &str) -> bool {
    crate::sqlite::is_still(&directory.join(name), false).is_err()
}

/// The published heads that the ledger of a directory does not agree with; `is_written` is true while a desk is running there.
pub fn disagreeing(directory: &Path, is_written: bool, published: &[store::Head]) -> Result<Vec<store::Head>, Error> {
    store::sqlite::Sqlite::look(directory, is_written)?.disagreeing(published)
}

/// Returns whether a desk is running in a directory: it holds the lock. Without a lock file none has run there.
pub fn is_running(directory: &Path) -> Result<bool, Error> {
    let path = directory.join("lock");
    // On a read-only file system the lock can be opened for reading alone; a snapshot there can be backed up.
    let is_read_only = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ReadOnlyFilesystem;
    let opened = std::fs::File::options().write(true).open(&path);
    match opened.or_else(|error| if is_read_only(&error) { std::fs::File::open(&path) } else { Err(error) }) {
        Ok(file) => Ok(file.try_lock().is_err()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::because(Kind::Misconfigured, format!("cannot open {}", path.display()), error)),
    }
}

/// The files of a directory to which others than their owner have access, each with its permission bits.
pub fn wide(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let mut look = |path: PathBuf| {
        let mode = std::fs::metadata(&path).map_or(0, |file| file.permissions().mode());
        if mode & OTHERS != 0 {
            found.push((path, mode & 0o777));
        }
    };
    look(directory.to_owned());
    own_files(directory).into_iter().for_each(&mut look);
    blob::files::Files::new(&directory.join(FILES)).paths().into_iter().for_each(look);
    found
}

fn has_keys(directory: &Path) -> bool {
    std::fs::metadata(directory.join("keys.db")).is_ok_and(|file| file.len() > 0)
}

/// Every file of a desk directly in its directory.
fn own_files(directory: &Path) -> Vec<PathBuf> {
    let databases = DATABASES.iter().flat_map(|name| ["", "-wal", "-shm", "-journal"].map(|ending| side(&directory.join(name), ending)));
    let files = databases.chain([directory.join("lock"), directory.join(heads::FILE), directory.join(FILES)]);
    files.filter(|path| path.exists()).collect()
}

/// Makes a directory for its owner alone, with those above it.
fn make_private(directory: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| Error::because(Kind::Misconfigured, format!("cannot create {}", directory.display()), error))
}

/// Takes away the access that others than the owner have to a desk's files. What cannot be changed is logged.
fn tighten(directory: &Path) {
    let is_shared = std::fs::metadata(directory).is_ok_and(|folder| folder.permissions().mode() & STICKY != 0);
    let mut changed = 0;
    for (path, mode) in wide(directory) {
        if is_shared && path == directory {
            tracing::warn!(directory = %directory.display(), "the directory of the desk is shared by every user of this machine; use one of its own");
            continue;
        }
        match std::fs::set_permissions(&path, Permissions::from_mode(mode & !OTHERS)) {
            Ok(()) => changed += 1,
            Err(error) => tracing::warn!(%error, path = %path.display(), "cannot take away the access of other users"),
        }
    }
    if changed > 0 {
        tracing::info!(changed, directory = %directory.display(), "took away the access that other users had to files of the desk");
    }
}

/// The published commits that the ledger of a directory does not hold.
fn lost(directory: &Path) -> Result<Option<Lost>, Error> {
    let mut published = heads::read(directory)?.heads;
    // The head of a ledger without commits agrees with every ledger, also with one that is missing.
    published.retain(|head| head.position > 0);
    if published.is_empty() {
        return Ok(None);
    }
    let path = directory.join("ledger.db");
    let is_there = std::fs::metadata(&path).is_ok_and(|file| file.len() > 0);
    if !is_there {
        return Ok(Lost::of(&published, &published, 0));
    }
    // For reading alone: a log that lost its end stays as it is until the loss is accepted.
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    store::sqlite::ours(&connection, &path)?;
    let disagreeing = store::sqlite::disagreeing(&connection, &published).map_err(|error| failed("compare the ledger with published heads", error))?;
    let end = store::sqlite::end(&connection)?.position;
    Ok(Lost::of(&published, &disagreeing, end))
}

/// The commits that the views of a directory followed and its ledger does not hold.
fn behind_views(directory: &Path) -> Result<Option<Lost>, Error> {
    let Some(followed) = views::sqlite::followed(directory)? else { return Ok(None) };
    let path = directory.join("ledger.db");
    if !std::fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
        return Ok(Lost::behind_views(followed, 0));
    }
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    store::sqlite::ours(&connection, &path)?;
    Ok(Lost::behind_views(followed, store::sqlite::end(&connection)?.position))
}

/// Removes the views, which are filled again from the ledger.
fn remove_views(directory: &Path) -> Result<(), Error> {
    let path = directory.join("views.db");
    for path in [side(&path, "-wal"), side(&path, "-shm"), path] {
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::because(Kind::Misconfigured, format!("cannot remove {}", path.display()), error)),
        }
    }
    Ok(())
}

/// The limit of open files of this process; `None` where there is none.
pub fn open_files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}
