//! The robot fleet: definitions, missions, and the messages of robots.

pub mod definitions;
pub mod messages;
pub mod missions;
pub mod robots;
