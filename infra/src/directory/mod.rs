//! Who works where: leaders, departments, businesses and who holds which role in them. People stand here by user name.

pub mod contract;
pub mod file;
pub mod http;

use async_trait::async_trait;

use crate::Error;

/// A business, by id and name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Business {
    pub id: i64,
    pub name: String,
}

/// An organization as its own system tells it. What is not known is empty, not an error.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The leader of a person.
    async fn leader(&self, person: &str) -> Result<Option<String>, Error>;
    /// Everybody in a department and in those below it.
    async fn members(&self, department: &str) -> Result<Vec<String>, Error>;
    /// Holders of a role in a business.
    async fn holders(&self, business: i64, role: &str) -> Result<Vec<String>, Error>;
    async fn businesses(&self) -> Result<Vec<Business>, Error>;
}
