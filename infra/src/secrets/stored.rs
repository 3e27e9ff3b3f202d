//! Provides the named keys of a local desk, which are stored in its key store.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Secret, Secrets};
use crate::Error;
use crate::clock::Rng;
use crate::keys::Keys;

/// Provides the named keys of a desk from its key store.
#[derive(Clone)]
pub struct Stored {
    pub keys: Arc<dyn Keys>,
    pub rng: Arc<dyn Rng>,
}

#[async_trait]
impl Secrets for Stored {
    async fn secret(&self, name: &str) -> Result<Secret, Error> {
        if let Some(stored) = self.keys.secret(name).await? {
            return stored
                .try_into()
                .map_err(|_| Error::corrupt(format!("the secret {name} does not have 32 bytes")));
        }
        let mut key = [0; 32];
        self.rng.fill(&mut key);
        self.keys.keep_secret(name, &key).await?;
        Ok(key)
    }
}
