//! People and secrets: what the ledger must be able to forget. Never in the ledger, never in its backups.

pub mod contract;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod memory;
pub mod seal;
#[cfg(feature = "local")]
pub mod sqlite;

use async_trait::async_trait;
use events::Pid;

use crate::Error;

/// A subject's key.
pub type Key = [u8; 32];

/// Who is who, the key of each subject, and named secrets of the desk.
#[async_trait]
pub trait Keys: Send + Sync {
    /// The person of a user name; a new one gets a random id and a key.
    async fn person(&self, username: &str) -> Result<Pid, Error>;
    /// The person of a user name, if there is one.
    async fn find(&self, username: &str) -> Result<Option<Pid>, Error>;
    /// The persons of many user names, in their order.
    async fn find_all(&self, usernames: &[String]) -> Result<Vec<Option<Pid>>, Error>;
    /// The same, where new ones get a random id and a key: in one transaction, or in as few as the store allows. No two of the names are alike.
    async fn register_all(&self, usernames: &[String]) -> Result<Vec<Pid>, Error>;
    /// The user name of a person; `None` after erasure.
    async fn name(&self, pid: &Pid) -> Result<Option<String>, Error>;
    /// The key of a subject; `None` after erasure.
    async fn key(&self, pid: &Pid) -> Result<Option<Key>, Error>;
    /// Forgets name and key for ever. Says whether there was something to forget.
    async fn erase(&self, pid: &Pid) -> Result<bool, Error>;
    /// A named secret.
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Keeps a named secret, over an older one.
    async fn keep_secret(&self, name: &str, value: &[u8]) -> Result<(), Error>;
    /// Removes a named secret; a secret that does not exist is removed already.
    async fn remove_secret(&self, name: &str) -> Result<(), Error>;
    /// Leaves no trace of erased people and removed secrets in the files of the store. Nothing to do where the store has no files.
    async fn scrub(&self) -> Result<(), Error> {
        Ok(())
    }
}
