//! Contains imitations of systems of other vendors, for the demo and for tests. An imitation checks requests
//! in the same way as the system of the vendor.

pub mod apns;
pub mod atlas;
pub mod bk_itsm;
pub mod bot_framework;
pub mod cmsi;
pub mod dingtalk;
pub mod dingtalk_app;
pub mod fcm;
pub mod feishu;
pub mod jira;
pub mod rest;
pub mod sandbox;
pub mod servicenow;
pub mod slack;
pub mod sms;
pub mod smtp;
pub mod teams;
mod ticket_api;
pub mod vda5050;
pub mod wecom;
pub mod zammad;
