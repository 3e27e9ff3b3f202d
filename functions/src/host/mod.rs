//! Contains the two hosts that run the functions of the desk: AWS Lambda and a single machine. Only
//! these files depend on the environment in which the functions run.

#[cfg(feature = "aws")]
pub mod lambda;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "aws")]
pub mod metrics;
#[cfg(feature = "local")]
pub mod server;
