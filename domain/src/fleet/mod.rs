//! The robot fleet: missions, robots, and the neutral model of orders and robot states
//! (reference/fleet.md, section 2).

pub mod choice;
pub mod dispatch;
pub mod model;
pub mod robot;
