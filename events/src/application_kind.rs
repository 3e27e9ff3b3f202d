//! Defines the events of one application kind. The events are stored in the stream `application_kind-<name>`.
//! An application kind contains the settings for one kind of request for approval in an external ITSM.

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

/// The application kind was defined. This definition replaces an earlier definition of the same kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The name of an integration. The integration contains the connection to the external ITSM.
    pub integration: String,
    /// The id of the service in the external ITSM that receives the requests.
    pub service: i64,
    /// The fields of the ticket that the desk creates in the external ITSM. The values may contain
    /// placeholders for values of the ticket in this desk. If the workflow node has a field with the same
    /// key, the field of the node is used instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Pair>,
    /// The condition under which the approval is granted. The desk evaluates the condition after the ticket
    /// in the external ITSM has ended. The condition compares the fields of that ticket. The key
    /// `current_status` contains the status of that ticket.
    pub granted: Condition,
    /// The number of days after which a request for approval expires if the external ITSM has not decided.
    pub days: u16,
    /// True if workflow nodes may send new requests for approval of this kind. If the value is false,
    /// existing requests still continue.
    pub is_enabled: bool,
}
impl Personals for Defined {}
