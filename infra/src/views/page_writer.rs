//! Stores the results of one feed page: the queue messages first, then the documents.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Put, Views};
use crate::Error;
use crate::queue::{NewMessage, Queue};

/// Stores the messages and the documents that were computed from one page of commits.
#[async_trait]
pub trait PageWriter: Send + Sync {
    /// Stores the messages, and then the documents in the given order. Returns for each document
    /// whether it was stored.
    ///
    /// If a document is not stored, later documents with the same key are not stored either.
    /// Otherwise the card of a stream (its summary document) could be newer than the due row (the
    /// document of its deadlines).
    ///
    /// If a write fails, some results of the page may be stored. Documents are never stored before
    /// all messages. A repeated call is harmless: a message is identified by its id, and a document
    /// is stored only at the expected sequence.
    async fn write(&self, messages: Vec<NewMessage>, puts: Vec<Put>) -> Result<Vec<bool>, Error>;
}

/// Stores each message and each document separately. This type is used if views and queues have no
/// common transaction.
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
