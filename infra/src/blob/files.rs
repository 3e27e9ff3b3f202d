//! Implements the blob store (binary data by key). Each blob is a file in one directory.

use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::fs;
use tokio::io::AsyncWriteExt as _;

use super::Blob;
use crate::{Error, Kind};

/// A blob store whose blobs are files in a directory.
#[derive(Debug, Clone)]
pub struct Files {
    directory: PathBuf,
    /// Counts the writes. The names of temporary files contain this number, so that each name is
    /// unique.
    puts: Arc<AtomicU64>,
}

impl Files {
    /// Removes the temporary files of interrupted writes. Only the process that writes to this
    /// directory may call this function. Another caller could remove the file of a running write.
    pub fn sweep(&self) -> Result<(), Error> {
        let mut folders = vec![self.directory.clone()];
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if is_missing(&error) => continue,
                Err(error) => return Err(failed("find interrupted writes", error)),
            };
            for entry in entries {
                let path = entry
                    .map_err(|error| failed("find interrupted writes", error))?
                    .path();
                if path.is_dir() {
                    folders.push(path);
                } else if path
                    .file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with('.'))
                {
                    std::fs::remove_file(&path)
                        .map_err(|error| failed("remove an interrupted write", error))?;
                }
            }
        }
        Ok(())
    }

    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            puts: Arc::default(),
        }
    }

    /// Returns the paths of all directories and files in the blob directory, including temporary
    /// files. A directory that cannot be read is treated as empty.
    pub fn paths(&self) -> Vec<PathBuf> {
        let (mut found, mut folders) = (Vec::new(), vec![self.directory.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(entry.path());
                }
                found.push(entry.path());
            }
        }
        found
    }

    /// Returns the path of a blob. Rejects a key whose path could be outside the blob directory.
    fn path(&self, key: &str) -> Result<PathBuf, Error> {
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        };
        if key.split('/').all(is_part) {
            Ok(self.directory.join(key))
        } else {
            Err(Error::new(
                Kind::Misconfigured,
                format!("{key:?} is not a valid blob key"),
            ))
        }
    }
}

fn failed(what: &str, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Kind::Denied,
        _ => Kind::Unavailable,
    };
    Error::because(kind, format!("cannot {what}"), error)
}

impl Files {
    /// Creates the missing directories for a blob, the outer directories first. Each new directory
    /// entry is written to the disk before the next directory is created. A power loss therefore
    /// cannot remove a new directory.
    async fn folder(&self, folder: &Path, what: &str) -> Result<(), Error> {
        let mut missing = Vec::new();
        let mut next = Some(folder);
        while let Some(folder) = next.filter(|folder| folder.starts_with(&self.directory)) {
            if fs::try_exists(folder)
                .await
                .map_err(|error| failed(what, error))?
            {
                break;
            }
            missing.push(folder);
            next = folder.parent();
        }
        for folder in missing.into_iter().rev() {
            match fs::DirBuilder::new().mode(0o700).create(folder).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(what, error)),
            }
            sync(folder.parent().unwrap_or(folder), what).await?;
        }
        Ok(())
    }
}

/// A temporary file that is removed when this value is dropped. The file is therefore also removed
/// if its write fails or if the future of the write is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a successful write, the file has its final name. The removal of the temporary name
        // then fails, and this error is ignored.
        std::fs::remove_file(&self.0).ok();
    }
}

/// Writes the entries of a directory to the disk, so that new file names survive a power loss.
async fn sync(folder: &Path, what: &str) -> Result<(), Error> {
    let folder = fs::File::open(folder)
        .await
        .map_err(|error| failed(what, error))?;
    folder.sync_all().await.map_err(|error| failed(what, error))
}

#[async_trait]
impl Blob for Files {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let path = self.path(key)?;
        let what = format!("put {key}");
        let folder = path.parent().unwrap_or(&self.directory).to_owned();
        // The data of the blob is written to a temporary file first. After the write, the file gets
        // its final name. A reader therefore never gets an incomplete blob.
        let temporary = folder.join(format!(
            ".{}-{}",
            std::process::id(),
            self.puts.fetch_add(1, Ordering::Relaxed)
        ));
        let temporary_guard = Temporary(temporary.clone());
        for again in [true, false] {
            self.folder(&folder, &what).await?;
            match fs::File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)
                .await
            {
                Ok(mut file) => {
                    file.write_all(&bytes)
                        .await
                        .map_err(|error| failed(&what, error))?;
                    // `flush` waits until the last write is complete. If this write failed, `flush`
                    // returns the error.
                    file.flush().await.map_err(|error| failed(&what, error))?;
                    file.sync_all()
                        .await
                        .map_err(|error| failed(&what, error))?;
                    break;
                }
                // A concurrent call of `remove` can delete the new directory of this blob while the
                // directory is still empty. In this case, the next pass of the loop creates the
                // directory again.
                Err(error) if again && error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&what, error)),
            }
        }
        fs::rename(&temporary, &path)
            .await
            .map_err(|error| failed(&what, error))?;
        drop(temporary_guard);
        sync(&folder, &what).await
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match fs::read(self.path(key)?).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failed(&format!("get {key}"), error)),
        }
    }

    async fn get_range(&self, key: &str, range: Range<usize>) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(key)?;
        // One blocking task opens, reads and closes the file. With `tokio::fs`, each of these three
        // operations would need a separate task.
        let read = tokio::task::spawn_blocking(move || read_range(&path, &range)).await;
        let read = read.map_err(|error| {
            Error::new(
                Kind::Unavailable,
                format!("the task that reads {key} failed: {error}"),
            )
        })?;
        read.map_err(|error| failed(&format!("get {key}"), error))
    }

    async fn free_bytes(&self) -> Result<Option<u64>, Error> {
        let directory = self.directory.clone();
        // The blob directory does not exist before the first blob is stored. In this case, the free
        // space is read from the nearest existing parent directory.
        let stat = tokio::task::spawn_blocking(move || {
            directory
                .ancestors()
                .find(|path| path.exists())
                .map(rustix::fs::statvfs)
                .transpose()
        })
        .await;
        let stat = stat.map_err(|error| {
            Error::new(
                Kind::Unavailable,
                format!("the task that reads the free space failed: {error}"),
            )
        })?;
        let stat = stat.map_err(|error| failed("read the free space", error.into()))?;
        Ok(stat.map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<String>, Error> {
        let what = format!("list {prefix}");
        let folder = prefix.trim_end_matches('/');
        let mut entries = match fs::read_dir(self.path(folder)?).await {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed(&what, error)),
        };
        let mut keys = Vec::new();
        while let Some(entry) = entries
            .next_entry()
            .await
            .map_err(|error| failed(&what, error))?
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_blob = !name.starts_with('.')
                && entry
                    .file_type()
                    .await
                    .map_err(|error| failed(&what, error))?
                    .is_file();
            if is_blob && keys.len() < most {
                keys.push(format!("{folder}/{name}"));
            }
        }
        Ok(keys)
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        let path = self.path(key)?;
        match fs::remove_file(&path).await {
            Ok(()) => {}
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(failed(&format!("remove {key}"), error)),
        }
        // The directory of the blob is removed too, if the directory is empty. If the directory
        // contains other blobs, `remove_dir` fails, and this error is ignored.
        if let Some(folder) = path.parent().filter(|folder| *folder != self.directory) {
            fs::remove_dir(folder).await.ok();
        }
        Ok(())
    }
}

/// Reads a range of bytes from a file. Returns `None` if the file does not exist.
fn read_range(path: &Path, range: &Range<usize>) -> std::io::Result<Option<Vec<u8>>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; range.len()];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], (range.start + filled) as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(Some(bytes))
}

/// Returns whether a file error means that the blob does not exist. If the path of the blob is a
/// directory and not a file, the blob is also treated as missing.
fn is_missing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_that_leave_the_directory_are_rejected() {
        let files = Files::new(Path::new("/nowhere"));
        for key in [
            "../a",
            "a/../b",
            "/etc/passwd",
            "a//b",
            "",
            "a/.hidden",
            "a b",
            "a\0",
        ] {
            assert_eq!(
                files.get(key).await.unwrap_err().kind,
                Kind::Misconfigured,
                "{key:?}"
            );
        }
    }
}
