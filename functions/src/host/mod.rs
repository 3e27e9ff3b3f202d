//! The two hosts of the function catalog. Only these files depend on how an invocation arrives.

#[cfg(feature = "aws")]
pub mod lambda;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "aws")]
pub mod metrics;
#[cfg(feature = "local")]
pub mod server;
