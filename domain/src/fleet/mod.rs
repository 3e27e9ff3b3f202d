//! Implements the fleet of robots (reference/fleet.md, section 2): missions (work of robots for tickets),
//! robots, orders and robot states. The types of this module do not depend on a protocol.

pub mod choice;
pub mod dispatch;
pub mod model;
pub mod robot;
