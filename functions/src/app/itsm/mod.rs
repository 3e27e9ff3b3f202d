//! Defines the connections to external ITSMs and the application kinds, and receives callbacks about
//! applications.

pub mod callbacks;
pub mod integrations;
