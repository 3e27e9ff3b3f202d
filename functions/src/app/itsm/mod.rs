//! Defines the connections to external systems and the application kinds, receives callbacks about
//! applications, and receives cases.

pub mod callbacks;
pub mod cases;
pub mod integrations;
