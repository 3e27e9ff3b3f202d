//! One file per kind of message: one attempt or step each.

pub mod attempt;
pub mod deliver;
pub mod token;
