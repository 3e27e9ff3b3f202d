//! The interface to the login system, which finds the user name for a login token.

pub mod http;
pub mod memory;

use async_trait::async_trait;

use crate::Error;

/// Finds the user name for a login token in a login system.
#[async_trait]
pub trait Login: Send + Sync {
    /// Returns the user name for a login token. Returns `None` if the token is not valid.
    async fn who(&self, token: &str) -> Result<Option<String>, Error>;
}
