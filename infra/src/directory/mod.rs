//! Defines the interface to the organization: leaders, departments, businesses, and people with
//! roles. Each person is identified by a user name.

pub mod contract;
pub mod file;
pub mod http;

use async_trait::async_trait;

use crate::Error;

/// A business with its id and name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Business {
    pub id: i64,
    pub name: String,
}

/// Reads the organization (people, departments, businesses) from a file or from a directory
/// service. If a person, department or role is unknown, the functions return an empty result and no
/// error.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Returns whether the organization has this person. Returns `None` if this directory does not
    /// list people, so that it cannot know.
    async fn has_person(&self, person: &str) -> Result<Option<bool>, Error>;
    /// Returns the leader of a person. Returns `None` if the person is unknown or has no leader.
    async fn leader(&self, person: &str) -> Result<Option<String>, Error>;
    /// Returns the people of a department and of all its sub-departments.
    async fn members(&self, department: &str) -> Result<Vec<String>, Error>;
    /// Returns the people who have the role `role` in a business.
    async fn holders(&self, business: i64, role: &str) -> Result<Vec<String>, Error>;
    /// Returns all businesses.
    async fn businesses(&self) -> Result<Vec<Business>, Error>;
}
