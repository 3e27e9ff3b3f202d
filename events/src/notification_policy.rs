//! Defines the events of one notification policy. The events are stored in the stream
//! `notification_policy-<name>`. The desk uses the policy `default`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one notification policy.
    NotificationPolicyEvent of "notification_policy" {
        Defined "notification_policy.defined" 1,
    }
}

/// The notification policy was created or replaced by this definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The channel accounts that send each notification, if the person has an address for the channel.
    pub accounts: Vec<String>,
    /// The keys of the ticket priorities that are urgent. An urgent notification ignores quiet hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urgent: Vec<String>,
}
impl Personals for Defined {}
