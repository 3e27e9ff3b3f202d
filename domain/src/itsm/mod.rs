//! Implements the connections to external systems. This desk sends requests for approval to these systems.
//! The systems send records to this desk, and the desk opens a ticket for each record.

pub mod application;
pub mod case;
pub mod case_source;
pub mod mapping;
pub mod pinned;
pub mod reconciliation;
pub mod schedule;
pub mod writeback;
