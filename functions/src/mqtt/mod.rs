//! Contains the functions that process MQTT messages of robots.

pub mod fleet_message;
