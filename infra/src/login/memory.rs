//! Login tokens in a map, for tests. A desk without a login system uses an empty map, which accepts
//! no token.

use std::collections::HashMap;

use async_trait::async_trait;

use super::Login;
use crate::Error;

/// A login system in memory: maps each login token to a user name.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub HashMap<String, String>);

#[async_trait]
impl Login for Memory {
    async fn who(&self, token: &str) -> Result<Option<String>, Error> {
        Ok(self.0.get(token).cloned())
    }
}
