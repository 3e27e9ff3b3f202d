//! These tests send messages to imitations of message services. Client libraries that other projects wrote use each imitation
//! first, so that it behaves as the service of the vendor. The channels of the desk then send messages to the same imitation.

mod apns;
mod cmsi;
mod dingtalk;
mod dingtalk_stream;
mod fcm;
mod feishu;
mod groups;
mod slack;
mod sms;
mod teams;
mod traffic;
mod wecom;
