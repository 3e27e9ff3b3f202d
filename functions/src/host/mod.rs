//! Contains the two hosts that run the functions of the desk: AWS Lambda and a single machine. All
//! code that depends on one of these environments is in this module.

#[cfg(feature = "local")]
pub mod dingtalk_stream;
#[cfg(feature = "aws")]
pub mod lambda;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "aws")]
pub mod metrics;
#[cfg(feature = "local")]
mod prometheus;
#[cfg(feature = "local")]
pub mod server;
