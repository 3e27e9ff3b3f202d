//! The functions that process messages of robots.

pub mod fleet_message;
