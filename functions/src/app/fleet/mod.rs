//! Contains the use cases for the robot fleet: definitions, missions (work for robots), messages
//! of robots, and the connection to their broker.

pub mod connection;
pub mod definitions;
pub mod messages;
pub mod missions;
pub mod robots;
