//! External systems: approvals that this desk requests there, and cases that other systems send.

pub mod application;
pub mod case;
pub mod mapping;
