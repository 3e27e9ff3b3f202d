//! Contains the automation of tickets. A rule chooses a script for a node that waits for a person. An execution
//! is one run of this script.

pub mod execution;
pub mod rule;
pub mod steps;
