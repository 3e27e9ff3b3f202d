//! Implements a login system in memory, for tests. A desk without a login system also uses this
//! adapter, without any tokens. Such a desk accepts no token.

use std::collections::HashMap;

use async_trait::async_trait;

use super::Login;
use crate::Error;

/// A login system in memory. The map contains a user name for each valid login token.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub HashMap<String, String>);

#[async_trait]
impl Login for Memory {
    async fn who(&self, token: &str) -> Result<Option<String>, Error> {
        Ok(self.0.get(token).cloned())
    }
}
