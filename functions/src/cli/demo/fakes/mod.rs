//! Contains imitations of systems of other vendors, for the demo and for tests. An imitation checks requests
//! in the same way as the system of the vendor.

pub mod dingtalk;
pub mod rest;
pub mod sandbox;
pub mod smtp;
pub mod vda5050;
