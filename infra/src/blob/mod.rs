//! Large things by name: archive objects today.

pub mod contract;
pub mod memory;
#[cfg(feature = "aws")]
pub mod s3;

use async_trait::async_trait;

use crate::Error;

/// Where blobs are kept.
#[async_trait]
pub trait Blob: Send + Sync {
    /// Puts a blob; one that is there under this key is overwritten.
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error>;
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
}
