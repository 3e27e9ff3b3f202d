//! The interface to queues. A message is delivered at least once, and not before its due time. A
//! message that fails too often is parked: it is stored but no longer delivered.

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

/// Maximum number of abandoned deliveries of a message. An abandoned delivery ends without a
/// result. After this number, the message is parked (no longer delivered).
pub const ATTEMPTS_MAX: u32 = 10;

/// A delivered message. The worker must finish it, defer it, or park it (stop its delivery).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub body: Vec<u8>,
    /// Number of deliveries of the message, including this delivery.
    pub attempts: u32,
    /// Number of deliveries that ended without a result (the message was not finished, deferred or
    /// parked). This delivery is included. If a queue cannot count these deliveries, the value
    /// equals `attempts`.
    pub abandoned: u32,
    /// The handle that identifies this delivery in the queue.
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

/// A parked message. It is no longer delivered, because it cannot be processed or failed too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    pub queue: String,
    pub id: String,
    pub reason: String,
}

/// Named queues. A message is delivered at least once, and the order is not guaranteed.
///
/// Some queues ([`sqs`]) do not detect duplicates: two puts with the same id create two messages.
/// Therefore handlers use the message id to recognize work that is already done.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a message to a queue. If the queue already contains a message with this id, nothing
    /// changes.
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error>;
    /// Takes messages that are due, oldest first. A message that is not finished before the time
    /// `until` can be taken again.
    async fn take(
        &self,
        queue: &str,
        now: Moment,
        until: Moment,
        limit: usize,
    ) -> Result<Vec<Message>, Error>;
    /// Removes a message after it was processed.
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error>;
    /// Makes a message available again at the time `due`.
    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error>;
    /// Stops the delivery of a message, and stores the reason.
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error>;
    /// Returns at most `limit` parked messages of all queues. A parked message is no longer
    /// delivered.
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error>;
    /// Puts a parked message (a message that is no longer delivered) back into its queue.
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error>;
    /// Returns the number of messages in a queue. Finished and parked messages do not count.
    async fn waiting(&self, queue: &str) -> Result<u64, Error>;
    /// Returns the due time of the next message. A worker sleeps until this time. Returns `None` if
    /// the queue contains no message.
    async fn next_due(&self, queue: &str) -> Result<Option<Moment>, Error>;
    /// Waits until this process adds a message to the queue. If a message was added after the
    /// previous call, returns at once, so that a worker misses no message. Only one worker per
    /// queue may wait.
    async fn arrival(&self, queue: &str);
}

/// Wakes the workers of this process when a message is added to their queue.
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
    /// Wakes the task that waits for a queue. If no task waits, the next call of `wait` returns at
    /// once.
    pub(crate) fn signal(&self, queue: &str) {
        self.of(queue).notify_one();
    }
    /// Waits until `signal` is called for a queue.
    pub(crate) async fn wait(&self, queue: &str) {
        self.of(queue).notified().await;
    }
}
