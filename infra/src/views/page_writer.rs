//! The desk reads the commits of the ledger in groups. From each group, the desk computes queue
//! messages and documents. This module stores first the messages and then the documents.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Put, Views};
use crate::Error;
use crate::queue::{NewMessage, Queue};

/// Stores the messages and the documents that were computed from one group of commits.
#[async_trait]
pub trait PageWriter: Send + Sync {
    /// Stores the messages first, and then the documents in the given order. Returns one value for
    /// each document: true if the document was stored.
    ///
    /// If a document is not stored, later documents with the same key are not stored either. For
    /// example, each stream has a summary document and a document with its deadlines. The summary
    /// must not be newer than the deadlines.
    ///
    /// If a write fails, it is possible that some messages and documents were already stored. No
    /// document is stored before all messages are stored. The caller can safely repeat the call.
    /// Each message keeps its id, and a document is stored only at the expected sequence number.
    async fn write(&self, messages: Vec<NewMessage>, puts: Vec<Put>) -> Result<Vec<bool>, Error>;
}

/// Stores each message and each document in a separate step. This type is used if the views and the
/// work queues cannot be written in one transaction.
#[derive(Clone)]
pub struct InSteps {
    pub views: Arc<dyn Views>,
    pub queue: Arc<dyn Queue>,
}

#[async_trait]
impl PageWriter for InSteps {
    async fn write(&self, messages: Vec<NewMessage>, puts: Vec<Put>) -> Result<Vec<bool>, Error> {
        for message in messages {
            self.queue
                .put(message.queue, &message.id, &message.body, message.due)
                .await?;
        }
        let mut stored = Vec::with_capacity(puts.len());
        let mut overtaken = HashSet::new();
        for put in puts {
            let is_stored = !overtaken.contains(&put.key) && put.store(&*self.views).await?;
            if !is_stored {
                overtaken.insert(put.key);
            }
            stored.push(is_stored);
        }
        Ok(stored)
    }
}
