//! What follows from every commit.

pub mod follow;
pub mod index;
pub mod parked;
pub mod project;
