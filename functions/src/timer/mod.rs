//! Functions that a schedule invokes.

pub mod wake;
