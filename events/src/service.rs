//! Defines the events of one service. People open tickets for a service. The events are stored in the stream
//! `service-<id>`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::ticket::ServiceKind;
use crate::{PersonId, RoleId, ServiceId, WorkflowId};

event_enum! {
    /// The events of one service.
    ServiceEvent of "service" {
        Defined "service.defined" 1,
    }
}

/// The service was defined. This definition replaces an earlier definition of the same service.
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
    /// The roles whose members may read all tickets of the service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readers: Vec<RoleId>,
    /// The code of the group of people to whom the desk displays the service. Examples are `OPEN`, `GENERAL`,
    /// `PERSON`, `INVISIBLE` and `API`.
    pub display_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub display_roles: Vec<String>,
    /// True if all free text in the tickets of this service is encrypted with the key of the ticket's
    /// creator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seals_text: bool,
    /// The table of priorities of this service. Each row of the table belongs to an urgency, and each column
    /// belongs to an impact. A priority is a number from 1 to 3. If the table is absent, the service uses the
    /// default priorities of the desk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priorities: Option<[[u8; 3]; 3]>,
    /// True if a person may submit a ticket on behalf of another person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub can_ticket_agency: bool,
    /// The number of days after which the desk automatically rates a ticket with the final status "finished".
    /// The value is absent if the desk never rates the tickets of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_after_days: Option<u16>,
    /// True if people can open new tickets for the service. If the value is false, existing tickets of the
    /// service still continue.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
