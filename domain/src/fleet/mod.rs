//! Implements the fleet of robots: missions (work of robots for tickets), robots, and orders and robot
//! states that do not depend on a protocol (reference/fleet.md, section 2).

pub mod choice;
pub mod dispatch;
pub mod model;
pub mod robot;
