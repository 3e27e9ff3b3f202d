//! Implements the connections to external systems. This desk requests approvals in these systems. The
//! systems send records, and the desk opens a ticket for each of them.

pub mod application;
pub mod case;
pub mod mapping;
