//! Defines the events of one channel account. The events are stored in the stream `channel_account-<name>`. A
//! channel account is a configured sender of messages, such as a mail relay or a chat robot. The secret of
//! the account, such as a password, is stored separately in the key store, under the name `channel/<name>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Personals, event_enum};
use crate::task_type::Repetition;
use crate::{PersonId, TicketSn};

event_enum! {
    /// The events of one channel account.
    ChannelAccountEvent of "channel_account" {
        Defined "channel_account.defined" 1,
        Stopped "channel_account.stopped" 1,
        Started "channel_account.started" 1,
        Degraded "channel_account.degraded" 1,
        Recovered "channel_account.recovered" 1,
    }
}

/// A channel account was defined. This definition replaces an earlier definition of the same account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The name of the channel (the kind of message), such as `email` or `dingtalk_robot`.
    pub channel: String,
    #[serde(default = "yes")]
    pub is_enabled: bool,
    /// Maximum number of messages that the account may send within one minute. If the value is absent, the
    /// number is not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    /// The rule for an attempt with an unknown result. In such an attempt, the provider (the operator of the
    /// message service) may have accepted the message. Either the desk sends the message again, or the
    /// delivery fails.
    #[serde(default)]
    pub repetition: Repetition,
    /// The settings that the channel of this account needs, such as the host of a mail relay. The settings
    /// contain no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Value>,
}
impl Personals for Defined {}

/// A person stopped a channel account in an emergency. The account sends nothing until it is started again. Its deliveries
/// wait, or fail if the fallback list has another account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    pub by: PersonId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
impl Personals for Stopped {}

/// A person started a stopped channel account again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub by: PersonId,
}
impl Personals for Started {}

/// Most of the last messages of the account failed, or its provider refused its credentials. The account still sends
/// messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Degraded {
    /// Number of accepted messages among the last ones.
    pub accepted: u32,
    pub failed: u32,
    /// The ticket of the last failed message.
    pub ticket: TicketSn,
}
impl Personals for Degraded {}

/// The last messages of a degraded account were accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {}
impl Personals for Recovered {}

fn yes() -> bool {
    true
}
