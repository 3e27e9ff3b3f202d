//! Implements the automation of tickets. A rule chooses a script that does the work of a node instead of a
//! person. An execution is one run of this script.

pub mod execution;
pub mod rule;
pub mod steps;
