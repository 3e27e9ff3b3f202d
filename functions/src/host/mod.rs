//! The only place that knows how a delivery arrives.

pub mod local;
