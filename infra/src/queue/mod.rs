//! The queue port. A message is delivered at least once, and not before its due time. A message
//! that fails too often is parked.

pub mod contract;
pub mod memory;
#[cfg(feature = "local")]
pub mod sqlite;
#[cfg(feature = "aws")]
pub mod sqs;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use events::Moment;
use tokio::sync::Notify;

use crate::Error;

/// Maximum abandoned deliveries of a message before the message is parked.
pub const ATTEMPTS_MAX: u32 = 10;

/// A message that was taken and must be finished, deferred or parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub body: Vec<u8>,
    /// The number of times the message was taken, including this time.
    pub attempts: u32,
    /// The number of takes that did not end by finish, deferral or parking, including this take.
    /// Equal to `attempts` if the queue does not count such takes separately.
    pub abandoned: u32,
    /// The handle by which the queue identifies this take.
    pub receipt: String,
}

/// A message to put into a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    pub queue: &'static str,
    pub id: String,
    pub body: Vec<u8>,
    pub due: Moment,
}

/// A message that is no longer delivered, because the message cannot be processed or failed too
/// often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    pub queue: String,
    pub id: String,
    pub reason: String,
}

/// Named queues with at-least-once delivery and no guaranteed order. Some queues ([`sqs`]) do not
/// detect duplicates: two puts with the same id create two messages. Handlers therefore identify
/// their work by the message id.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Puts a message; an existing message with this id is not changed.
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error>;
    /// Takes due messages, oldest first; unfinished messages become available again at `until`.
    async fn take(
        &self,
        queue: &str,
        now: Moment,
        until: Moment,
        limit: usize,
    ) -> Result<Vec<Message>, Error>;
    /// Removes a finished message.
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error>;
    /// Makes a message available again at `due`.
    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error>;
    /// Stops the delivery of a message and stores the reason.
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error>;
    /// Returns at most `limit` parked messages of all queues.
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error>;
    /// Returns a parked message to its queue.
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error>;
    /// Returns the number of messages that are neither finished nor parked.
    async fn waiting(&self, queue: &str) -> Result<u64, Error>;
    /// Returns the due time of the next message; `None` if no message waits. A worker sleeps until
    /// that time.
    async fn next_due(&self, queue: &str) -> Result<Option<Moment>, Error>;
    /// Waits until this process puts a message into the queue. A put between two calls ends the
    /// next call at once, so that a worker misses no put. Only one worker loop per queue may wait.
    async fn arrival(&self, queue: &str);
}

/// Signals puts to the worker loops of the same process, by queue.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<HashMap<String, Arc<Notify>>>);

impl Arrivals {
    fn of(&self, queue: &str) -> Arc<Notify> {
        let mut queues = self.0.lock().expect("no holder panics");
        if let Some(signal) = queues.get(queue) {
            return signal.clone();
        }
        queues.entry(queue.to_owned()).or_default().clone()
    }
    /// Ends the current `wait` on a queue, or the next `wait` if no task waits now.
    pub(crate) fn signal(&self, queue: &str) {
        self.of(queue).notify_one();
    }
    /// Waits for the next signal of a queue.
    pub(crate) async fn wait(&self, queue: &str) {
        self.of(queue).notified().await;
    }
}
