//! Blobs as files below one directory.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::fs;
use tokio::io::AsyncWriteExt as _;

use super::Blob;
use crate::{Error, Kind};

/// One directory of blobs.
#[derive(Debug, Clone)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Where a blob is. A key that could lead out of the directory is none.
    fn path(&self, key: &str) -> Result<PathBuf, Error> {
        let is_part = |part: &str| {
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        };
        if key.split('/').all(is_part) {
            Ok(self.directory.join(key))
        } else {
            Err(Error::new(Kind::Misconfigured, format!("{key:?} is not the key of a blob")))
        }
    }
}

fn failed(what: &str, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Kind::Denied,
        _ => Kind::Unavailable,
    };
    Error::because(kind, format!("cannot {what}"), error)
}

#[async_trait]
impl Blob for Files {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let path = self.path(key)?;
        let what = format!("put {key}");
        let folder = path.parent().unwrap_or(&self.directory).to_owned();
        fs::create_dir_all(&folder).await.map_err(|error| failed(&what, error))?;
        // Written beside, synced, and only then given its name: nobody ever reads half a blob.
        let beside = path.with_extension("part");
        let mut file = fs::File::create(&beside).await.map_err(|error| failed(&what, error))?;
        file.write_all(&bytes).await.map_err(|error| failed(&what, error))?;
        file.sync_all().await.map_err(|error| failed(&what, error))?;
        fs::rename(&beside, &path).await.map_err(|error| failed(&what, error))?;
        let folder = fs::File::open(&folder).await.map_err(|error| failed(&what, error))?;
        folder.sync_all().await.map_err(|error| failed(&what, error))
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(key)?;
        match fs::metadata(&path).await {
            Ok(found) if found.is_file() => {}
            _ => return Ok(None),
        }
        match fs::read(&path).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&format!("get {key}"), error)),
        }
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        let path = self.path(key)?;
        match fs::remove_file(&path).await {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(&format!("remove {key}"), error)),
        }
        // A folder that holds nothing any more goes as well; one that does stays.
        if let Some(folder) = path.parent().filter(|folder| *folder != self.directory) {
            fs::remove_dir(folder).await.ok();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_key_leads_out_of_the_directory() {
        let files = Files::new(Path::new("/nowhere"));
        for key in ["../a", "a/../b", "/etc/passwd", "a//b", "", "a/.hidden", "a b", "a\0"] {
            assert_eq!(files.get(key).await.unwrap_err().kind, Kind::Misconfigured, "{key:?}");
        }
    }
}
