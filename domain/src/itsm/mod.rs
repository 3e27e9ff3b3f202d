//! Implements the connections to external systems. This desk requests approvals in these systems, and the
//! systems send cases to this desk.

pub mod application;
pub mod case;
pub mod mapping;
