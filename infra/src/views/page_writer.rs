//! Writes the results of one page of commits: queue messages first, then documents.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Put, Views};
use crate::Error;
use crate::queue::{NewMessage, Queue};

/// Stores the messages and documents that follow from one page of commits.
#[async_trait]
pub trait PageWriter: Send + Sync {
    /// Puts the messages, then the documents in the given order. Returns for each document whether
    /// the document was stored. If a document is not stored, later documents with the same key are
    /// not stored either. The card of a stream must not become newer than the stream's due row.
    ///
    /// If a write fails, a part of the page may be stored, but documents are never stored without
    /// the messages. A repeated page is harmless, because a message is identified by its id and a
    /// document is stored only at the expected sequence.
    async fn write(&self, messages: Vec<NewMessage>, puts: Vec<Put>) -> Result<Vec<bool>, Error>;
}

/// Writes each message and each document separately, for views and queues without common
/// transactions.
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
