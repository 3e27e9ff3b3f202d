//! Defines the interface to the blob store. A blob is a large piece of binary data with a key.
//! Examples are the archive objects of the feed (compressed commits) and the parts of uploaded
//! files.

pub mod contract;
#[cfg(feature = "local")]
pub mod files;
pub mod memory;
#[cfg(feature = "aws")]
pub mod s3;

use std::ops::Range;

use async_trait::async_trait;

use crate::Error;

/// Stores blobs by key. A key consists of parts that are separated by slashes. A part contains only
/// letters, digits, dots, dashes and underscores.
#[async_trait]
pub trait Blob: Send + Sync {
    /// Stores a blob. Replaces an existing blob with the same key. When this function returns, a
    /// power loss cannot remove the blob.
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error>;
    /// Returns the bytes of a blob. Returns `None` if the blob does not exist.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Returns the bytes of a blob in `range`. If the blob ends before the end of the range, the
    /// result is shorter than the range. Returns `None` if the blob does not exist.
    async fn get_range(&self, key: &str, range: Range<usize>) -> Result<Option<Vec<u8>>, Error> {
        let whole = self.get(key).await?;
        Ok(whole
            .map(|bytes| bytes[range.start.min(bytes.len())..range.end.min(bytes.len())].to_vec()))
    }
    /// Returns how many bytes can still be stored. Returns `None` if there is no limit.
    async fn free_bytes(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }
    /// Returns at most `most` keys that begin with `prefix`, in any order. An example of a prefix is
    /// `attachments/att-1/`. Each key with this prefix must have exactly one more part (a text
    /// without a slash) after the prefix.
    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<String>, Error>;
    /// Removes a blob. Also succeeds if the blob does not exist.
    async fn remove(&self, key: &str) -> Result<(), Error>;
}
