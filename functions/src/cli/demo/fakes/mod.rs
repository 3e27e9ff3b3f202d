//! Contains imitations of systems of other vendors, for the demo and for tests. An imitation checks requests
//! in the same way as the system of the vendor.

pub mod atlas;
pub mod bk_itsm;
pub mod dingtalk;
pub mod jira;
pub mod rest;
pub mod sandbox;
pub mod servicenow;
pub mod smtp;
mod ticket_api;
pub mod vda5050;
pub mod zammad;
