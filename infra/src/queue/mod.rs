//! Defines the interface to the work queues. A queue delivers each message at least once, and not
//! before its due time. A message that fails too often is parked: the queue stores the message, but
//! does not deliver it again.

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

/// Maximum number of abandoned deliveries of a message. A delivery is abandoned if the worker
/// reports no result. After this number of deliveries, the message is parked (not delivered again).
pub const ATTEMPTS_MAX: u32 = 10;

/// A message that was delivered to a worker. The worker must finish, defer or park (no longer
/// deliver) the message. Otherwise, the queue delivers the message again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub body: Vec<u8>,
    /// Number of times that the message was delivered, including this delivery.
    pub attempts: u32,
    /// Number of deliveries for which the worker reported no result, including this delivery. (The
    /// possible results are: finished, deferred and parked.) If a queue cannot count such
    /// deliveries, the number is equal to `attempts`.
    pub abandoned: u32,
    /// The handle that identifies this delivery in the queue.
    pub receipt: String,
}

/// A new message for a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    pub queue: &'static str,
    pub id: String,
    pub body: Vec<u8>,
    pub due: Moment,
}

/// A message that the queue does not deliver again. The worker could not process the message, or
/// its processing failed too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    pub queue: String,
    pub id: String,
    pub reason: String,
}

/// Stores messages in named queues. A queue delivers each message at least once. The order of the
/// messages is not guaranteed.
///
/// Some queues ([`sqs`]) do not detect duplicates: two puts with the same id create two messages. A
/// worker therefore checks whether the work for a message id is already done.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a message to a queue. If the queue already contains a message with the same id, the
    /// function changes nothing. Some queues do not detect this duplicate, and store a second
    /// message.
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error>;
    /// Takes messages that are due, oldest first. If the worker does not finish a message before
    /// the time `until`, the queue can deliver the message again.
    async fn take(
        &self,
        queue: &str,
        now: Moment,
        until: Moment,
        limit: usize,
    ) -> Result<Vec<Message>, Error>;
    /// Removes a message after the worker has processed it.
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error>;
    /// Postpones a message that a worker has taken. The queue delivers the message again at the
    /// time `due`.
    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error>;
    /// Parks a message and stores the reason. The queue does not deliver a parked message again.
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error>;
    /// Returns at most `limit` parked messages of all queues. Parked messages are not delivered
    /// again.
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error>;
    /// Puts a parked message back into its queue. (A parked message is stored, but not delivered.)
    /// The queue delivers the message at the time `due`.
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error>;
    /// Returns the number of messages in a queue. Finished messages and parked messages (stored,
    /// but not delivered again) are not included.
    async fn waiting(&self, queue: &str) -> Result<u64, Error>;
    /// Returns the earliest due time of the messages in a queue. A worker can sleep until this
    /// time. Returns `None` if the queue contains no message.
    async fn next_due(&self, queue: &str) -> Result<Option<Moment>, Error>;
    /// Waits until this process adds a message to the queue. If a message was added after the
    /// previous call, the function returns at once, so that the worker misses no message. Only one
    /// worker per queue may call this function, because a message wakes only one caller.
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
    /// Wakes the task that waits for a message in a queue. If no task is waiting, the next call of
    /// the function `wait` returns at once.
    pub(crate) fn signal(&self, queue: &str) {
        self.of(queue).notify_one();
    }
    /// Waits until the function `signal` is called for a queue.
    pub(crate) async fn wait(&self, queue: &str) {
        self.of(queue).notified().await;
    }
}
