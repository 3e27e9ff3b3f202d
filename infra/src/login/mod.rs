//! Who a login token belongs to.

pub mod http;
pub mod memory;

use async_trait::async_trait;

use crate::Error;

/// Asks the login system.
#[async_trait]
pub trait Login: Send + Sync {
    /// The user name of a login token; `None` where it is not valid.
    async fn who(&self, token: &str) -> Result<Option<String>, Error>;
}
