//! Defines the events of one notification policy. The events are stored in the stream
//! `notification_policy-<name>`. A notification policy names the channel accounts that send messages. The
//! desk uses only the policy with the name `default`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one notification policy.
    NotificationPolicyEvent of "notification_policy" {
        Defined "notification_policy.defined" 1,
    }
}

/// A notification policy was defined. This definition replaces an earlier definition of the same policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The names of the channel accounts that send a message about each notification. An account sends no
    /// message to a person who has no address for its channel.
    pub accounts: Vec<String>,
    /// The keys of the ticket priorities that are urgent. A notification about a ticket with an urgent
    /// priority ignores quiet hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urgent: Vec<String>,
    /// The keys of the ticket priorities that are critical. A notification about a ticket with a critical priority
    /// is never held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical: Vec<String>,
    /// The user names of the operators. They get notifications about problems of the desk, such as a node without
    /// processors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<String>,
}
impl Personals for Defined {}
