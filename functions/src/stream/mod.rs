//! What follows from every commit.

pub mod follow;
pub mod parked;
pub mod project;
