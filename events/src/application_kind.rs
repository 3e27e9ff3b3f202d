//! Kinds of applications in an external ITSM, in the stream `application_kind-<name>`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::workflow::Condition;
use crate::workflow::service_task::Pair;

event_enum! {
    /// The events of one application kind.
    ApplicationKindEvent of "application_kind" {
        Defined "application_kind.defined" 1,
    }
}

/// The application kind was created or replaced by this definition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The name of the integration that connects to the external ITSM.
    pub integration: String,
    /// The id of the service in the external ITSM.
    pub service: i64,
    /// The fields of the new ticket. The values may contain placeholders for values of the own
    /// ticket. Fields of the workflow node replace fields with the same key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Pair>,
    /// The condition on the fields of the finished external ticket for "granted". `current_status`
    /// is the status of the ticket.
    pub granted: Condition,
    /// The number of days after which an application without a decision expires.
    pub days: u16,
    /// False if new applications of this kind are rejected. Open applications continue.
    pub is_enabled: bool,
}
impl Personals for Defined {}
