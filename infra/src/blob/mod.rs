//! Large things by name: archive objects of the feed, parts of uploaded files.

pub mod contract;
#[cfg(feature = "local")]
pub mod files;
pub mod memory;
#[cfg(feature = "aws")]
pub mod s3;

use std::ops::Range;

use async_trait::async_trait;

use crate::Error;

/// Where blobs are kept. A key is made of parts between slashes; each part of letters, digits, dots, dashes and underscores.
#[async_trait]
pub trait Blob: Send + Sync {
    /// Puts a blob; one that is there under this key is overwritten. When it returns, the blob survives a loss of power.
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error>;
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Bytes of a blob from one place to another; fewer where it ends before.
    async fn get_range(&self, key: &str, range: Range<usize>) -> Result<Option<Vec<u8>>, Error> {
        let whole = self.get(key).await?;
        Ok(whole.map(|bytes| bytes[range.start.min(bytes.len())..range.end.min(bytes.len())].to_vec()))
    }
    /// Bytes that may still be put; `None` where there is no limit.
    async fn free_bytes(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }
    /// The keys of blobs directly below these parts (`attachments/att-1/`), in no order; at most so many.
    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<String>, Error>;
    /// Removes a blob; one that is not there is removed already.
    async fn remove(&self, key: &str) -> Result<(), Error>;
}
