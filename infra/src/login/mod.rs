//! The login port: translates a login token into a user name.

pub mod http;
pub mod memory;

use async_trait::async_trait;

use crate::Error;

/// Looks up login tokens in a login system.
#[async_trait]
pub trait Login: Send + Sync {
    /// Returns the user name of a login token; `None` if the token is not valid.
    async fn who(&self, token: &str) -> Result<Option<String>, Error>;
}
