//! Defines the interface to a login system, which finds the user to whom a login token belongs.

pub mod http;
pub mod memory;

use async_trait::async_trait;

use crate::Error;

/// Finds the user to whom a login token belongs.
#[async_trait]
pub trait Login: Send + Sync {
    /// Returns the user name that belongs to a login token. Returns `None` if the token is not
    /// valid.
    async fn who(&self, token: &str) -> Result<Option<String>, Error>;
}
