//! External ITSMs: the connections and application kinds, and the callbacks of applications.

pub mod callbacks;
pub mod integrations;
