//! Login tokens in a map, for tests and for a desk without a login system (an empty map accepts no
//! token).

use std::collections::HashMap;

use async_trait::async_trait;

use super::Login;
use crate::Error;

/// A map from login token to user name.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub HashMap<String, String>);

#[async_trait]
impl Login for Memory {
    async fn who(&self, token: &str) -> Result<Option<String>, Error> {
        Ok(self.0.get(token).cloned())
    }
}
