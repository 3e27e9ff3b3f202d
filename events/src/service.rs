//! Services people ask for, in the stream `service-<id>`.

use serde::{Deserialize, Serialize};

use crate::fact::{Personals, facts};
use crate::ticket::ServiceKind;
use crate::{Pid, ServiceId, WorkflowId};

facts! {
    /// The life of one service.
    ServiceEvent of "service" {
        Defined "service.defined" 1,
    }
}

/// The service is as this says from now on.
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
    pub owners: Vec<Pid>,
    /// `OPEN`, `GENERAL`, `PERSON`, `INVISIBLE`, `API`, ...
    pub display_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub display_roles: Vec<String>,
    /// All free text of its tickets is sealed under the creator's key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seals_text: bool,
    /// Priority by urgency (rows) and impact (columns), both 1 to 3; the desk's own matrix where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priorities: Option<[[u8; 3]; 3]>,
    /// Somebody may submit for somebody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub can_ticket_agency: bool,
    /// Days after which the desk rates a finished ticket that its creator did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_after_days: Option<u16>,
    /// It is there to be used; what uses it already goes on.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub is_listed: bool,
}
impl Personals for Defined {}

fn yes() -> bool {
    true
}
