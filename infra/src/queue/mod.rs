//! Defines the interface to the work queues. A message is delivered at least once, and not before
//! its due time. A message that fails too often is parked: it stays stored, but is not delivered
//! again.

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
/// reports no result. After this number, the message is parked (not delivered again).
pub const ATTEMPTS_MAX: u32 = 10;

/// A message that was delivered to a worker. The worker must finish it, defer it, or park it (end
/// its delivery).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub body: Vec<u8>,
    /// How many times the message was delivered, including this delivery.
    pub attempts: u32,
    /// How many deliveries ended without a result of the worker (not finished, deferred or parked).
    /// This delivery is included. If a queue cannot count such deliveries, the value equals
    /// `attempts`.
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

/// A parked message: it cannot be processed or failed too often, so it is not delivered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    pub queue: String,
    pub id: String,
    pub reason: String,
}

/// Stores messages in named queues. A message is delivered at least once, and the order is not
/// guaranteed.
///
/// Some queues ([`sqs`]) do not detect duplicates: two puts with the same id create two messages.
/// Handlers therefore compare the message id with the ids of work that is already done.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a message to a queue. If the queue already contains a message with the same id, nothing
    /// changes.
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error>;
    /// Takes messages whose due time is reached, oldest first. If a worker does not finish a
    /// message before the time `until`, the message can be taken again.
    async fn take(
        &self,
        queue: &str,
        now: Moment,
        until: Moment,
        limit: usize,
    ) -> Result<Vec<Message>, Error>;
    /// Removes a message after the worker has processed it.
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error>;
    /// Makes a taken message available again at the time `due`.
    async fn defer(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error>;
    /// Parks a message (ends its delivery) and stores the reason.
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error>;
    /// Returns at most `limit` parked messages of all queues. Parked messages are not delivered
    /// again.
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error>;
    /// Puts a parked message (its delivery ended) back into its queue. It is delivered at the time
    /// `due`.
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error>;
    /// Returns the number of messages in a queue. Finished and parked messages do not count.
    async fn waiting(&self, queue: &str) -> Result<u64, Error>;
    /// Returns the earliest due time of the messages in a queue. A worker sleeps until this time.
    /// Returns `None` if the queue contains no message.
    async fn next_due(&self, queue: &str) -> Result<Option<Moment>, Error>;
    /// Waits until this process adds a message to the queue. If a message was added since the
    /// previous call, the function returns at once, so that no message is missed. Only one worker
    /// per queue may call this function.
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
    /// Wakes the task that waits for a message in a queue. If no task waits, the next call of
    /// `wait` returns at once.
    pub(crate) fn signal(&self, queue: &str) {
        self.of(queue).notify_one();
    }
    /// Waits until the function `signal` is called for a queue.
    pub(crate) async fn wait(&self, queue: &str) {
        self.of(queue).notified().await;
    }
}
