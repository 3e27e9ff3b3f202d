//! The interface to named keys of the desk. The keys sign tokens and compute keyed fingerprints. A
//! local desk stores the keys in the key store. A cloud desk derives them from a secret in AWS
//! Secrets Manager.

pub mod contract;
#[cfg(feature = "aws")]
pub mod manager;
pub mod stored;

use async_trait::async_trait;

use crate::Error;

/// A key of the desk, 32 bytes.
pub type Secret = [u8; 32];

/// Provides the keys of the desk by name.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Returns the key with a name. The first call creates the key, and every later call in any
    /// process returns the same key.
    async fn secret(&self, name: &str) -> Result<Secret, Error>;
}
