//! The desk's own keys beside people's, in the key store of one machine.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Secret, Secrets};
use crate::Error;
use crate::clock::Chance;
use crate::keys::Keys;

/// Keys in the key store.
#[derive(Clone)]
pub struct Stored {
    pub keys: Arc<dyn Keys>,
    pub chance: Arc<dyn Chance>,
}

#[async_trait]
impl Secrets for Stored {
    async fn secret(&self, name: &str) -> Result<Secret, Error> {
        if let Some(kept) = self.keys.secret(name).await? {
            return kept.try_into().map_err(|_| Error::corrupt(format!("the secret {name} has not 32 bytes")));
        }
        let mut key = [0; 32];
        self.chance.fill(&mut key);
        self.keys.keep_secret(name, &key).await?;
        Ok(key)
    }
}
