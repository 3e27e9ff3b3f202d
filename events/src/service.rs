//! Services for which people open tickets, in the stream `service-<id>`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::ticket::ServiceKind;
use crate::{PersonId, ServiceId, WorkflowId};

event_enum! {
    /// The events of one service.
    ServiceEvent of "service" {
        Defined "service.defined" 1,
    }
}

/// The service was created or replaced by this definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub service: ServiceId,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub desc: String,
    pub kind: ServiceKind,
    pub workflow: WorkflowId,
    pub workflow_version: i64,
    pub is_enabled: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<PersonId>,
    /// The group of people to whom the service is displayed: `OPEN`, `GENERAL`, `PERSON`,
    /// `INVISIBLE`, `API`, ...
    pub display_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub display_roles: Vec<String>,
    /// True if all free text in tickets of this service is encrypted under the creator's key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seals_text: bool,
    /// The priority for each urgency (rows) and impact (columns). A priority is a number from 1 to
    /// 3. If absent, the default matrix of the desk applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priorities: Option<[[u8; 3]; 3]>,
    /// True if a person may submit a ticket for another person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub can_ticket_agency: bool,
    /// The number of days after which the desk rates a finished ticket automatically. Absent if the
    /// desk never rates tickets of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_after_days: Option<u16>,
    /// True if people can open new tickets for the service. Existing tickets are not affected.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
