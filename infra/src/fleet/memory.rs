//! Implements the port for robots in memory, for tests. The adapter stores the published messages.

use std::sync::Mutex;

use async_trait::async_trait;

use super::Fleet;
use crate::{Error, Kind};

/// Maximum number of stored messages. If this many messages are stored, `publish` returns an error.
const MESSAGES_MAX: usize = 100_000;

/// The published messages in order. Each message consists of a topic and a payload.
#[derive(Debug, Default)]
pub struct Memory {
    sent: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Memory {
    /// Returns all stored messages and removes them from the store.
    pub fn take(&self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut *self.sent.lock().expect("no holder panics"))
    }
}

#[async_trait]
impl Fleet for Memory {
    async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), Error> {
        let mut sent = self.sent.lock().expect("no holder panics");
        if sent.len() >= MESSAGES_MAX {
            return Err(Error::new(
                Kind::Unavailable,
                "the broker in memory is full",
            ));
        }
        sent.push((topic.to_owned(), payload.to_vec()));
        Ok(())
    }
}
