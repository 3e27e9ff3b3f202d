//! The blob port: large byte strings by key, such as archive objects of the feed and parts of
//! uploaded files.

pub mod contract;
#[cfg(feature = "local")]
pub mod files;
pub mod memory;
#[cfg(feature = "aws")]
pub mod s3;

use std::ops::Range;

use async_trait::async_trait;

use crate::Error;

/// Stores blobs. A key consists of parts separated by slashes; a part contains only letters,
/// digits, dots, dashes and underscores.
#[async_trait]
pub trait Blob: Send + Sync {
    /// Stores a blob and overwrites an existing blob of the same key. The blob survives a power
    /// loss when this function returns.
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error>;
    /// Returns the bytes of a blob; `None` if the blob does not exist.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Returns a range of bytes of a blob; fewer bytes if the blob ends earlier, `None` if the blob
    /// does not exist.
    async fn get_range(&self, key: &str, range: Range<usize>) -> Result<Option<Vec<u8>>, Error> {
        let whole = self.get(key).await?;
        Ok(whole
            .map(|bytes| bytes[range.start.min(bytes.len())..range.end.min(bytes.len())].to_vec()))
    }
    /// Returns the number of bytes that can still be stored; `None` if there is no limit.
    async fn free_bytes(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }
    /// Returns at most `most` keys of blobs directly below a prefix (for example
    /// `attachments/att-1/`), in any order.
    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<String>, Error>;
    /// Removes a blob; also succeeds if the blob does not exist.
    async fn remove(&self, key: &str) -> Result<(), Error>;
}
