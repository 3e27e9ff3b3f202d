//! The only place that knows how a delivery arrives: two hosts, one catalog.

#[cfg(feature = "aws")]
pub mod lambda;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "local")]
pub mod server;
