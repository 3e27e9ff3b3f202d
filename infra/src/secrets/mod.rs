//! The desk's own keys: what signs its tokens and keys its fingerprints. On one machine they stand in the key store, in the cloud in Secrets Manager.

pub mod contract;
#[cfg(feature = "aws")]
pub mod manager;
pub mod stored;

use async_trait::async_trait;

use crate::Error;

/// A key of the desk.
pub type Secret = [u8; 32];

/// Keeps keys by name.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The key of that name, the same at every call and in every process; made when it is first asked for.
    async fn secret(&self, name: &str) -> Result<Secret, Error>;
}
