//! Defines the interface to the key store. The key store contains user names and encryption keys of
//! people, and named secrets. This data must be erasable, so it is not stored in the ledger or in
//! backups of the ledger.

mod cipher;
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

/// The encryption key of one person. The values that describe this person are encrypted with this
/// key.
pub type Key = [u8; 32];

/// Stores the user name and the encryption key of each person under a person id. Also stores named
/// secrets.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Returns the person id of a user name. If the user name is unknown, registers the name with a
    /// random person id and a new encryption key.
    async fn person(&self, username: &str) -> Result<PersonId, Error>;
    /// Returns the person id of a user name. Returns `None` if the user name is not registered.
    async fn find(&self, username: &str) -> Result<Option<PersonId>, Error>;
    /// Returns the person id of each user name, in the order of the user names. The result for an
    /// unknown user name is `None`.
    async fn find_all(&self, usernames: &[String]) -> Result<Vec<Option<PersonId>>, Error>;
    /// Registers many different user names in as few transactions as possible. Returns the person
    /// ids in the order of the user names. For a user name that is already registered, returns the
    /// existing person id.
    async fn register_all(&self, usernames: &[String]) -> Result<Vec<PersonId>, Error>;
    /// Returns the user name of a person. Returns `None` if the person is erased.
    async fn name(&self, pid: &PersonId) -> Result<Option<String>, Error>;
    /// Returns the encryption key of a person. Returns `None` if the person is erased.
    async fn key(&self, pid: &PersonId) -> Result<Option<Key>, Error>;
    /// Erases the user name and the encryption key of a person permanently. Returns whether the
    /// person was registered.
    async fn erase(&self, pid: &PersonId) -> Result<bool, Error>;
    /// Returns the value of a secret. Returns `None` if the secret does not exist.
    async fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Stores a secret under a name. Replaces an existing value.
    async fn keep_secret(&self, name: &str, value: &[u8]) -> Result<(), Error>;
    /// Removes a secret. Also succeeds if the secret does not exist.
    async fn remove_secret(&self, name: &str) -> Result<(), Error>;
    /// Removes data of erased people and of removed secrets that is still in the files of the key
    /// store. If the key store has no files, this function does nothing.
    async fn scrub(&self) -> Result<(), Error> {
        Ok(())
    }
}
