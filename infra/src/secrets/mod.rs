//! Defines the interface to the named keys of a desk. The desk signs tokens and computes keyed
//! hashes with these keys. A local desk stores the keys in its key store. A desk in the cloud
//! derives the keys from a secret in AWS Secrets Manager.

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
    /// Returns the key with a given name. If the key does not exist, the first call creates the
    /// key. Every later call returns the same key, also in other processes.
    async fn secret(&self, name: &str) -> Result<Secret, Error>;
}
