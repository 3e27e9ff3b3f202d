//! The two hosts that run the functions of the catalog. Only these files depend on the environment
//! in which functions run.

#[cfg(feature = "aws")]
pub mod lambda;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "aws")]
pub mod metrics;
#[cfg(feature = "local")]
pub mod server;
