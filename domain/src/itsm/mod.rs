//! External ITSMs: approvals that this desk requests there.

pub mod application;
