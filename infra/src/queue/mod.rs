//! Work to be done: at least once, never before its time, parked when it fails too often.

pub mod contract;
pub mod memory;
#[cfg(feature = "local")]
pub mod sqlite;
#[cfg(feature = "aws")]
pub mod sqs;

use async_trait::async_trait;
use events::Moment;

use crate::Error;

/// Every queue there is, named like the function that works on it.
pub const QUEUES: [&str; 3] = ["deliver", "automate", "attempt"];
/// Deliveries of one message that broke off before it is parked.
pub const ATTEMPTS_MAX: u32 = 10;

/// A message that was taken and must be finished, put off or parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: String,
    pub body: Vec<u8>,
    /// How often it was taken, this time included.
    pub attempts: u32,
    /// How often of these nobody finished it, put it off or parked it, this time included; all of them where the queue cannot tell.
    pub broken_off: u32,
    /// What the queue knows this taking by.
    pub receipt: String,
}

/// A message that failed too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    pub queue: String,
    pub id: String,
    pub reason: String,
}

/// Named queues. Messages come at least once, in no promised order; where a queue cannot tell that a message is there already
/// ([`sqs`]), the same id twice is two messages, which is why every handler knows its work by the id.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Puts a message; one that is there already under this id stays as it is.
    async fn put(&self, queue: &str, id: &str, body: &[u8], due: Moment) -> Result<(), Error>;
    /// Takes messages that are due, oldest first; they come back at `until` unless they are finished.
    async fn take(&self, queue: &str, now: Moment, until: Moment, limit: usize) -> Result<Vec<Message>, Error>;
    async fn done(&self, queue: &str, message: &Message) -> Result<(), Error>;
    /// Lets a message come back at `due`.
    async fn put_off(&self, queue: &str, message: &Message, due: Moment) -> Result<(), Error>;
    /// Sets a message aside with its reason.
    async fn park(&self, queue: &str, message: &Message, reason: &str) -> Result<(), Error>;
    async fn parked(&self, limit: usize) -> Result<Vec<Parked>, Error>;
    /// Brings a parked message back.
    async fn redrive(&self, queue: &str, id: &str, due: Moment) -> Result<(), Error>;
    /// Messages that are neither finished nor parked.
    async fn waiting(&self, queue: &str) -> Result<u64, Error>;
}
