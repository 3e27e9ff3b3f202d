//! The keys port: names and keys of people, and named secrets. This data must be erasable, so the
//! ledger and its backups do not contain the data.

pub mod contract;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod memory;
#[cfg(feature = "local")]
pub(crate) mod pair;
pub mod seal;
#[cfg(feature = "local")]
pub mod sqlite;

use async_trait::async_trait;
use events::PersonId;

use crate::Error;

/// The encryption key of a subject, the person to whom sealed values belong.
pub type Key = [u8; 32];

/// Stores user names by person id, the key of each subject, and named secrets.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Returns the person of a user name; registers an unknown name with a random id and a new key.
    async fn person(&self, username: &str) -> Result<PersonId, Error>;
    /// Returns the person of a user name; `None` if the name is not registered.
    async fn find(&self, username: &str) -> Result<Option<PersonId>, Error>;
    /// Returns the persons of many user names, in the order of the names.
    async fn find_all(&self, usernames: &[String]) -> Result<Vec<Option<PersonId>>, Error>;
    /// Registers many distinct user names in as few transactions as the store allows. Returns the
    /// persons in the order of the names. Names that are already registered keep their person.
    async fn register_all(&self, usernames: &[String]) -> Result<Vec<PersonId>, Error>;
    /// Returns the user name of a person; `None` after erasure.
    async fn name(&self, pid: &PersonId) -> Result<Option<String>, Error>;
    /// Returns the key of a subject; `None` after erasure.
    async fn key(&self, pid: &PersonId) -> Result<Option<Key>, Error>;
    /// Erases name and key of a person permanently; returns whether the person was registered.
    async fn erase(&self, pid: &PersonId) -> Result<bool, Error>;
    /// Returns a named secret; `None` if the secret does not exist.
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Stores a named secret and replaces an older value.
    async fn keep_secret(&self, name: &str, value: &[u8]) -> Result<(), Error>;
    /// Removes a named secret; also succeeds if the secret does not exist.
    async fn remove_secret(&self, name: &str) -> Result<(), Error>;
    /// Removes remaining copies of erased people and removed secrets from the files of the store;
    /// does nothing in a store without files.
    async fn scrub(&self) -> Result<(), Error> {
        Ok(())
    }
}
