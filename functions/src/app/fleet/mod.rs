//! Contains the use cases for the robot fleet: definitions, missions (work for robots), and
//! messages of robots.

pub mod definitions;
pub mod messages;
pub mod missions;
pub mod robots;
