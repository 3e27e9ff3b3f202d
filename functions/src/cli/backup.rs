//! Implements `ledgerdesk backup`, which writes a consistent copy of the data of a service desk.
//! The service desk can run during the backup.
//!
//! The command first copies the ledger, then the key store (the names of people and their
//! encryption keys), and then the uploaded files. The ledger refers to people, keys and files. The
//! later copies therefore contain everything that the copied ledger refers to.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use infra::clock::{Clock as _, SystemClock};
use infra::commit::hex;
use infra::local::{self, FILES, check_keys, is_running, sqlite_version};
use infra::store::Head;
use infra::store::audit::{Verdict, verify};
use infra::{Error, backup, heads};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::uploads;

/// The version number of the backup format.
pub(super) const FORMAT: u32 = 1;
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const LEDGER: &str = "ledger.db";
pub(super) const KEYS: &str = "keys.db";
/// The name of the folder in a backup that contains the names of people and their encryption keys.
pub(super) const KEYS_FOLDER: &str = "keys";
/// The name of a temporary directory contains this text. The text marks the directory as
/// incomplete.
const PARTIAL: &str = ".partial";
/// The largest number of bytes in one read when a file is copied.
const CHUNK: usize = 1 << 20;
/// The time between two updates of the progress bar while a database is copied.
const SHOWN_EVERY: Duration = Duration::from_millis(50);
/// The largest number of problems that one message lists.
const NAMED_MAX: usize = 20;

#[derive(Debug, Args)]
pub struct Backup {
    /// The directory for the backup. It must be empty or not exist yet.
    pub directory: PathBuf,
    /// The data directory of the service desk. The service desk may run.
    #[arg(long, default_value = "data")]
    pub data: PathBuf,
    /// The directory for the names and keys of people, empty or new [default: the folder `keys` of
    /// the backup].
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// The value of the global option `--json`, which the caller sets.
    #[arg(skip)]
    pub json: bool,
}

/// The description of one file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The relative path of the file, with `/` between folders.
    pub path: String,
    pub bytes: u64,
    /// The BLAKE3 hash of the file content, in hexadecimal digits.
    pub blake3: String,
}

/// The manifest file of a backup. The manifest contains the source of the backup, the last commit
/// of the ledger, and a list of the files in the backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub format: u32,
    pub made_at: String,
    /// The version of the program that wrote the backup.
    pub program: String,
    pub sqlite: String,
    /// The id of the ledger. The ledger contains this id, and the key store (the names of people
    /// and their encryption keys) contains the same id.
    pub ledger_id: String,
    pub position: i64,
    pub feed_hash: String,
    pub commits: u64,
    /// The descriptions of the files in the backup. This list does not contain the manifest and the
    /// files in the folder `keys`.
    pub files: Vec<Entry>,
    /// The uploads whose files were already missing in the service desk when the backup was made.
    pub missing: Vec<String>,
    /// The file in this backup that contains the names of people and their encryption keys. A
    /// restore can use a separate copy of this file instead, if the copy is from the same service
    /// desk.
    pub keys: Entry,
}

/// The manifest file of a copy of the key store (the names of people and their encryption keys).
/// The file contains the ledger id, and the size and hash of the copy. The user can store this copy
/// outside of the backup directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeysManifest {
    pub format: u32,
    pub made_at: String,
    /// The id of the ledger. The ledger contains this id, and the key store (the names of people
    /// and their encryption keys) contains the same id.
    pub ledger_id: String,
    pub file: Entry,
}

/// A new directory of a backup or a restore. The directory has a temporary name until all its files
/// are complete.
pub(super) struct Work {
    target: PathBuf,
    /// The path of the temporary directory.
    pub at: PathBuf,
    /// True if the target directory already existed and was empty. The program does not replace
    /// such a directory with a new directory, because the existing directory can be a mount point.
    existed: bool,
    is_done: bool,
    /// A lock on the temporary directory. If a temporary directory has no lock, the process that
    /// created the directory was killed. Such a directory is abandoned.
    ///
    /// The value is `None` if the file system does not support such locks.
    _lock: Option<File>,
}

impl Work {
    /// Creates the temporary directory for the directory `target`. Rejects a target that contains
    /// files.
    pub(super) fn begin(target: &Path) -> Result<Self, String> {
        remove_abandoned(target, |name| name == PARTIAL);
        let existed = match std::fs::read_dir(target) {
            Ok(mut entries) => match entries.next() {
                Some(_) => {
                    return Err(format!(
                        "{} is not empty; specify a new or empty directory",
                        target.display()
                    ));
                }
                None => true,
            },
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(format!("cannot use {}: {error}", target.display())),
        };
        let name = target
            .file_name()
            .filter(|_| !existed)
            .map(|name| name.to_string_lossy().into_owned());
        let at = match name {
            Some(name) => {
                let parent = parent(target);
                std::fs::create_dir_all(parent)
                    .map_err(|error| format!("cannot create {}: {error}", parent.display()))?;
                let begin = format!(".{name}{PARTIAL}-");
                remove_abandoned(parent, |name| name.starts_with(&begin));
                parent.join(format!("{begin}{}", std::process::id()))
            }
            None if existed => target.join(PARTIAL),
            None => {
                return Err(format!(
                    "{} is not a valid directory name",
                    target.display()
                ));
            }
        };
        make_folder(&at)?;
        let lock = File::open(&at)
            .ok()
            .filter(|folder| folder.try_lock().is_ok());
        Ok(Self {
            target: target.to_owned(),
            at,
            existed,
            is_done: false,
            _lock: lock,
        })
    }

    /// Renames the temporary directory to the path of the target directory.
    ///
    /// If the target directory already existed, the function moves each file of the temporary
    /// directory into the target directory instead. A directory without the file `last` counts as
    /// incomplete. The file `last` is therefore moved at the end.
    pub(super) fn finish(mut self, last: &str) -> Result<(), String> {
        let failed =
            |error: std::io::Error| format!("cannot complete {}: {error}", self.target.display());
        sync_folders(&self.at).map_err(failed)?;
        if self.existed {
            let mut names: Vec<_> = std::fs::read_dir(&self.at)
                .map_err(failed)?
                .flatten()
                .map(|entry| entry.file_name())
                .filter(|name| name != last)
                .collect();
            names.push(last.into());
            for name in names {
                std::fs::rename(self.at.join(&name), self.target.join(&name)).map_err(failed)?;
            }
            std::fs::remove_dir(&self.at).map_err(failed)?;
            if let Err(error) =
                std::fs::set_permissions(&self.target, Permissions::from_mode(0o700))
            {
                tracing::warn!(%error, directory = %self.target.display(), "cannot remove the access of other users");
            }
            sync_folder(&self.target).map_err(failed)?;
        } else {
            std::fs::rename(&self.at, &self.target).map_err(failed)?;
            sync_folder(parent(&self.target)).map_err(failed)?;
        }
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.is_done {
            std::fs::remove_dir_all(&self.at).ok();
        }
    }
}

/// Removes the incomplete directories in `folder` that killed processes left. These directories can
/// contain the names and the keys of people. The function `is_unfinished` receives the name of a
/// directory, and returns true if the name marks an incomplete directory.
fn remove_abandoned(folder: &Path, is_unfinished: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_abandoned = || {
            entry.file_type().is_ok_and(|kind| kind.is_dir())
                && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok())
        };
        if is_unfinished(&entry.file_name().to_string_lossy())
            && is_abandoned()
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, directory = %entry.path().display(), "cannot remove an incomplete copy of people and keys");
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Returns the absolute form of a path, also if the path does not exist yet. Symbolic links are
/// resolved only in the part of the path that exists.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (std::fs::canonicalize(above), path.strip_prefix(above)) {
            return real.join(rest);
        }
    }
    path
}

pub(super) fn make_folder(folder: &Path) -> Result<(), String> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Syncs a folder and its subfolders to the disk (`fsync`). After a power loss, the folders then
/// still contain all their files.
fn sync_folders(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(folder)
}

/// Writes a new file that only its owner may read.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let written = || -> std::io::Result<()> {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Reads a whole file and returns its description (path, size and hash). If `target` is set, the
/// content is also copied to `target`.
fn read_through(
    source: &Path,
    mut target: Option<&mut File>,
    path: &str,
) -> std::io::Result<Entry> {
    let (mut from, mut hasher, mut bytes) = (File::open(source)?, blake3::Hasher::new(), 0);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            return Ok(Entry {
                path: path.to_owned(),
                bytes,
                blake3: hasher.finalize().to_hex().to_string(),
            });
        }
        hasher.update(&chunk[..read]);
        bytes += read as u64;
        if let Some(target) = target.as_deref_mut() {
            target.write_all(&chunk[..read])?;
        }
    }
}

/// Returns the description (path, size and hash) of a file.
pub(super) fn entry_of(file: &Path, path: &str) -> Result<Entry, String> {
    read_through(file, None, path)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))
}

/// Copies a file and returns the description of the copy. Only the owner may read the copy.
///
/// Returns `None` if another process removes the source file before the copy is complete.
pub(super) fn copy_file(source: &Path, target: &Path, path: &str) -> Result<Option<Entry>, String> {
    let copied = || -> std::io::Result<Entry> {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(target)?;
        let entry = read_through(source, Some(&mut file), path)?;
        file.sync_all()?;
        Ok(entry)
    };
    match copied() {
        Ok(entry) => Ok(Some(entry)),
        Err(error) if error.kind() == ErrorKind::NotFound && !source.exists() => {
            std::fs::remove_file(target).ok();
            Ok(None)
        }
        Err(error) => Err(format!(
            "cannot copy {} to {}: {error}",
            source.display(),
            target.display()
        )),
    }
}

/// Returns the paths of all files below a folder, with `/` between folders.
///
/// If `skip_incomplete` is true, the result omits incomplete files. The names of such files begin
/// with a dot.
pub(super) fn paths_below(folder: &Path, skip_incomplete: bool) -> Result<Vec<String>, String> {
    let (mut found, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(below) = folders.pop() {
        let at = folder.join(&below);
        let entries = match std::fs::read_dir(&at) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("cannot read {}: {error}", at.display())),
        };
        for entry in entries {
            let entry = entry.map_err(|error| format!("cannot read {}: {error}", at.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() {
                name.clone()
            } else {
                format!("{below}/{name}")
            };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if !(skip_incomplete && name.starts_with('.')) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Copies an SQLite database and shows the progress in the terminal.
fn copy_database(source: &Path, target: &Path, bar: &ProgressBar) -> Result<(), String> {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    bar.set_length(size(source));
    let is_done = AtomicBool::new(false);
    let copied = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                bar.set_position(size(target));
                std::thread::sleep(SHOWN_EVERY);
            }
        });
        let copied = backup::copy(source, target);
        is_done.store(true, Ordering::Relaxed);
        copied
    });
    copied.map_err(words)
}

/// Verifies the copy of a ledger in a folder: the database file and the hash chains. The copy must
/// also contain every commit in `published` (the positions and hashes of published commits).
/// Returns an error that lists the problems if the copy is wrong.
pub(super) async fn prove(
    folder: &Path,
    published: &[Head],
    bar: &ProgressBar,
) -> Result<Verdict, String> {
    sound(&folder.join(LEDGER))?;
    let store = backup::ledger(folder).map_err(words)?;
    bar.set_length(store.head().await.map_err(words)?.position.unsigned_abs());
    let verdict = verify(&*store, published, &mut |position| {
        bar.set_position(position.unsigned_abs());
    })
    .await
    .map_err(words)?;
    if verdict.is_ok() {
        return Ok(verdict);
    }
    Err(format!(
        "the ledger in {} differs from the committed one: {}",
        folder.display(),
        named(&verdict.findings)
    ))
}

/// Runs the integrity check of SQLite on a copied database. If the database is damaged, the error
/// lists the damage.
pub(super) fn sound(file: &Path) -> Result<(), String> {
    let damages = backup::damaged(file).map_err(words)?;
    if damages.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{} is damaged: {}",
            file.display(),
            named(&damages)
        ))
    }
}

/// Joins a list of problems to one text. The text contains at most [`NAMED_MAX`] problems. If there
/// are more, the text also contains the number of omitted problems.
pub(super) fn named(findings: &[String]) -> String {
    let more = findings.len().saturating_sub(NAMED_MAX);
    let text = findings[..findings.len() - more].join("; ");
    if more > 0 {
        format!("{text}; and {more} more")
    } else {
        text
    }
}

pub(super) fn words(error: Error) -> String {
    error.to_string()
}

pub(super) fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3}%  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style)
}

fn text_of<T: Serialize>(manifest: &T) -> Result<Vec<u8>, String> {
    let mut text = serde_json::to_vec_pretty(manifest).map_err(|error| error.to_string())?;
    text.push(b'\n');
    Ok(text)
}

impl Backup {
    /// Writes the backup and verifies all copies. If an upload has no file in the service desk, the
    /// function still completes the backup. The function then returns an error that lists the
    /// missing uploads.
    pub async fn run(self) -> Result<(), String> {
        let data = &self.data;
        let running = is_running(data).map_err(words)?;
        if !data.join(LEDGER).exists() {
            return Err(format!("there is no ledger in {}", data.display()));
        }
        check_keys(data, running).map_err(words)?;
        for target in [Some(&self.directory), self.keys.as_ref()]
            .into_iter()
            .flatten()
        {
            if resolved(target).starts_with(resolved(data)) {
                return Err(format!(
                    "{} is inside {}; specify a directory outside the desk for the backup",
                    target.display(),
                    data.display()
                ));
            }
        }
        if let Some(keys) = &self.keys {
            let (backup, separate) = (resolved(&self.directory), resolved(keys));
            if separate.starts_with(&backup) || backup.starts_with(&separate) {
                return Err(format!(
                    "one of {} and {} is inside the other; specify a directory outside the backup for people and keys",
                    keys.display(),
                    self.directory.display()
                ));
            }
        }
        let work = Work::begin(&self.directory)?;
        let separate = self.keys.as_deref().map(Work::begin).transpose()?;
        let keys_at = separate
            .as_ref()
            .map_or_else(|| work.at.join(KEYS_FOLDER), |separate| separate.at.clone());
        make_folder(&keys_at)?;

        let bar = bar();
        bar.set_message("ledger");
        copy_database(&data.join(LEDGER), &work.at.join(LEDGER), &bar)?;
        let made_at = Timestamp::from_millisecond(SystemClock.now().0).unwrap_or_default();
        let written = crate::app::times::rfc3339(events::Moment(made_at.as_millisecond()));
        bar.set_message("people and keys");
        copy_database(&data.join(KEYS), &keys_at.join(KEYS), &bar)?;
        backup::pair_copies(&work.at.join(LEDGER), &keys_at.join(KEYS)).map_err(words)?;
        let ledger_id = common_id(&work.at.join(LEDGER), &keys_at.join(KEYS))?;
        bar.set_message("files");
        let mut files = copy_files(&data.join(FILES), &work.at.join(FILES), &bar)?;

        bar.set_message("verifying");
        let published = heads::read(data).map_err(words)?;
        let store = backup::ledger(&work.at).map_err(words)?;
        let head = store.head().await.map_err(words)?;
        let covered_heads: Vec<Head> = published
            .heads
            .iter()
            .copied()
            .filter(|published| published.position <= head.position)
            .collect();
        let verdict = prove(&work.at, &covered_heads, &bar).await?;
        sound(&keys_at.join(KEYS))?;
        write_file(
            &work.at.join(heads::FILE),
            heads_of(heads::lines(data).map_err(words)?, head, made_at).as_bytes(),
        )?;
        let missing = missing(&work.at, data, running).await?;
        bar.finish_and_clear();

        for name in [LEDGER, heads::FILE] {
            files.push(entry_of(&work.at.join(name), name)?);
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let keys = entry_of(&keys_at.join(KEYS), KEYS)?;
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let keys_manifest = KeysManifest {
            format: FORMAT,
            made_at: written.clone(),
            ledger_id: ledger_id.clone(),
            file: keys.clone(),
        };
        write_file(&keys_at.join(MANIFEST), &text_of(&keys_manifest)?)?;
        let manifest = Manifest {
            format: FORMAT,
            made_at: written,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            sqlite: sqlite_version().to_owned(),
            ledger_id,
            position: head.position,
            feed_hash: hex(&head.feed_hash),
            commits: verdict.commits,
            files,
            missing,
            keys: Entry {
                path: format!("{KEYS_FOLDER}/{KEYS}"),
                ..keys
            },
        };
        write_file(&work.at.join(MANIFEST), &text_of(&manifest)?)?;
        // Without the encryption keys of people, the personal data in a backup cannot be decrypted.
        // The directory with the keys therefore gets its final name first, and the directory with
        // the backup gets its final name second. If the process ends between the two renames, only
        // the directory with the keys exists. This directory does no harm.
        if let Some(separate) = separate {
            separate.finish(MANIFEST)?;
        }
        work.finish(MANIFEST)?;
        self.report(&manifest, bytes)
    }

    fn report(&self, manifest: &Manifest, bytes: u64) -> Result<(), String> {
        let keys = self
            .keys
            .clone()
            .unwrap_or_else(|| self.directory.join(KEYS_FOLDER));
        let Manifest {
            ledger_id,
            position,
            feed_hash,
            commits,
            files,
            missing,
            ..
        } = manifest;
        if self.json {
            let report = json!({
                "directory": self.directory, "keys": keys, "ledger_id": ledger_id, "position": position, "feed_hash": feed_hash, "commits": commits,
                "files": files.len(), "bytes": bytes, "missing": missing,
            });
            println!("{report}");
        } else {
            println!(
                "{}: {commits} commits, {} files, {bytes} bytes, verified; head {position}:{feed_hash}",
                self.directory.display(),
                files.len()
            );
            println!(
                "people and keys are in {}; store them separately: a person is erased only when no copy of the key remains",
                keys.display()
            );
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the backup is complete, but {} uploads were already missing in {}: {}",
            missing.len(),
            self.data.display(),
            named(missing)
        ))
    }
}

/// Returns the id that the copied ledger and the copied key store have in common. Returns an error
/// if their ids differ or if an id is missing.
fn common_id(ledger: &Path, keys: &Path) -> Result<String, String> {
    match (backup::key_store(ledger).map_err(words)?, backup::key_store(keys).map_err(words)?) {
        (Some(ledger), Some(keys)) if ledger == keys => Ok(ledger),
        (Some(ledger), Some(keys)) => Err(format!("the ledger belongs to key store {ledger}, but keys.db is key store {keys}")),
        _ => Err("the ledger and the key store have no common id; start the desk once with this version of the program, which creates it".into()),
    }
}

/// Copies all completely uploaded files, and returns the descriptions (path, size, hash) of the
/// copies.
fn copy_files(source: &Path, target: &Path, bar: &ProgressBar) -> Result<Vec<Entry>, String> {
    make_folder(target)?;
    let paths = paths_below(source, true)?;
    bar.set_length(paths.len() as u64);
    bar.set_position(0);
    let mut files = Vec::new();
    for path in paths {
        let to = target.join(&path);
        make_folder(parent(&to))?;
        files.extend(copy_file(
            &source.join(&path),
            &to,
            &format!("{FILES}/{path}"),
        )?);
        bar.inc(1);
    }
    Ok(files)
}

/// Returns the content of the file `heads` for the backup. This file lists the positions and hashes
/// of published commits. `lines` contains the lines of this file in the service desk, and `head` is
/// the last commit of the copied ledger. The result contains the lines up to this commit, and a new
/// line for this commit.
fn heads_of(mut lines: Vec<String>, head: Head, at: Timestamp) -> String {
    lines.retain(|line| {
        let position = line.split(' ').next().unwrap_or_default();
        position == "lost"
            || position
                .parse::<i64>()
                .is_ok_and(|position| position <= head.position)
    });
    if head.position > 0 {
        lines.push(heads::line(head, at.as_millisecond()));
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Returns the missing uploads. An upload is missing if the copied ledger contains the upload, but
/// a part of its file was not copied. An upload that was discarded during the backup is not
/// missing.
///
/// `running` must be true if the service desk runs in the directory `data`.
async fn missing(copied: &Path, data: &Path, running: bool) -> Result<Vec<String>, String> {
    let copy = local::look(copied, false).map_err(words)?;
    let missing = uploads::look(&copy.ledger, &copy.attachments, &*copy.blob, copy.has_keys)
        .await
        .map_err(words)?
        .missing;
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let streams: Vec<String> = missing.into_iter().map(|(stream, _)| stream).collect();
    let desk = local::look(data, running).map_err(words)?;
    let still = uploads::look(&desk.ledger, &streams, &*copy.blob, desk.has_keys)
        .await
        .map_err(words)?
        .missing;
    Ok(still.into_iter().map(|(_, what)| what).collect())
}
