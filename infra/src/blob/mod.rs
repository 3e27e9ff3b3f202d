//! The interface to the blob store, which stores large binary data by key. Examples are archive
//! objects of the feed and parts of uploaded files.

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
    /// Stores a blob. Replaces an existing blob with the same key. When this function returns, the
    /// blob is safe against a power loss.
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error>;
    /// Returns the bytes of a blob. Returns `None` if the blob does not exist.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Returns a range of the bytes of a blob. Returns fewer bytes if the blob ends before the end
    /// of the range, and `None` if the blob does not exist.
    async fn get_range(&self, key: &str, range: Range<usize>) -> Result<Option<Vec<u8>>, Error> {
        let whole = self.get(key).await?;
        Ok(whole
            .map(|bytes| bytes[range.start.min(bytes.len())..range.end.min(bytes.len())].to_vec()))
    }
    /// Returns the number of bytes that can still be stored. Returns `None` if there is no limit.
    async fn free_bytes(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }
    /// Returns the keys of blobs whose keys have exactly one part after a prefix, such as
    /// `attachments/att-1/`. Returns at most `most` keys, in any order.
    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<String>, Error>;
    /// Removes a blob. Also succeeds if the blob does not exist.
    async fn remove(&self, key: &str) -> Result<(), Error>;
}
