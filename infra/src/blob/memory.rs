//! Implements the blob store (binary data by key) in memory, for tests and simulations.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;

use super::Blob;
use crate::Error;

/// A blob store in memory. The map contains the bytes of each blob by the key of the blob.
#[derive(Debug, Default)]
pub struct Memory(pub Mutex<HashMap<String, Vec<u8>>>);

#[async_trait]
impl Blob for Memory {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.0
            .lock()
            .expect("no holder panics")
            .insert(key.into(), bytes);
        Ok(())
    }
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.lock().expect("no holder panics").get(key).cloned())
    }
    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<String>, Error> {
        Ok(self
            .0
            .lock()
            .expect("no holder panics")
            .keys()
            .filter(|key| key.starts_with(prefix))
            .take(most)
            .cloned()
            .collect())
    }
    async fn remove(&self, key: &str) -> Result<(), Error> {
        self.0.lock().expect("no holder panics").remove(key);
        Ok(())
    }
}
