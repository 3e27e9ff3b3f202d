//! Application kinds, in the stream `application_kind-<name>`. An application kind contains the
//! settings for one kind of approval request to an external ITSM.

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
    /// The name of the integration, which contains the connection to the external ITSM.
    pub integration: String,
    /// The id of the service in the external ITSM.
    pub service: i64,
    /// The fields of the ticket in the external ITSM. The values may contain placeholders for
    /// values of the own ticket. A field of the workflow node replaces a field with the same key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Pair>,
    /// The condition under which the application counts as granted. The condition uses the fields
    /// of the finished ticket in the external ITSM. The key `current_status` is the status of this
    /// ticket.
    pub granted: Condition,
    /// The number of days after which an application without a decision expires.
    pub days: u16,
    /// True if new applications of this kind are allowed. If false, existing applications continue.
    pub is_enabled: bool,
}
impl Personals for Defined {}
