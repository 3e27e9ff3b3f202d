//! The secrets port: named keys of the desk, which sign its tokens and key its fingerprints. A
//! local desk has them in the key store, a cloud desk in Secrets Manager.

pub mod contract;
#[cfg(feature = "aws")]
pub mod manager;
pub mod stored;

use async_trait::async_trait;

use crate::Error;

/// A key of the desk.
pub type Secret = [u8; 32];

/// Stores keys by name.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Returns the key of a name, the same at every call and in every process; the first call
    /// creates it.
    async fn secret(&self, name: &str) -> Result<Secret, Error>;
}
