//! The secrets port: named keys that sign the tokens of the desk and compute keyed fingerprints. A
//! local desk stores the keys in the key store. A cloud desk derives the keys from a secret in
//! Secrets Manager.

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
    /// Returns the key of a name. Every call in every process returns the same key; the first call
    /// creates the key.
    async fn secret(&self, name: &str) -> Result<Secret, Error>;
}
