//! Defines the events of one application kind. The events are stored in the stream `application_kind-<name>`.
//! An application kind contains the settings for one kind of request for approval in an external ITSM.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};
use crate::workflow::Condition;
use crate::workflow::service_task::Pair;
use crate::{AppCode, ServiceId};

event_enum! {
    /// The events of one application kind.
    ApplicationKindEvent of "application_kind" {
        Defined "application_kind.defined" 1,
    }
}

/// How the desk finds the service in the external ITSM if its id is not configured. The search must find exactly one
/// service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discovery {
    /// To whom the external ITSM displays the service, such as `API`.
    pub display_type: String,
    /// The name of the group to which the external ITSM displays the service, such as `LOG_SEARCH`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_role: String,
}

/// The consequence of a granted application without a ticket in this desk: the desk opens a ticket for the applicant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consequence {
    /// The id of a service of this desk.
    pub service: ServiceId,
    /// The fields of the ticket. The values may contain placeholders, as those of the external ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Pair>,
}

/// The texts that people read instead of the general texts of a state, such as the name of a state in another system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateTexts {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub applying: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub granted: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refused: String,
}

/// The application kind was defined. This definition replaces an earlier definition of the same kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defined {
    pub name: String,
    /// The name of an integration. The integration contains the connection to the external ITSM.
    pub integration: String,
    /// The id of the service in the external ITSM that receives the requests. Absent if the desk searches for the
    /// service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<i64>,
    /// How the desk searches for the service. Absent if the id of the service is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// The fields of the ticket that the desk creates in the external ITSM. The values may contain
    /// placeholders for values of the ticket in this desk. If the workflow node has a field with the same
    /// key, the field of the node is used instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Pair>,
    /// The keys of the values that an application over the API must contain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// The client apps that may apply over the API. An empty list permits every app.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<AppCode>,
    /// What the desk does after an application without a ticket was granted. Absent if the desk does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consequence: Option<Consequence>,
    /// The Chinese texts of the states.
    #[serde(default, skip_serializing_if = "is_default")]
    pub states: StateTexts,
    /// The condition under which the approval is granted. The desk evaluates the condition after the ticket
    /// in the external ITSM has ended. The condition compares the fields of that ticket. The key
    /// `current_status` contains the status of that ticket.
    pub granted: Condition,
    /// The number of days after which a request for approval expires if the external ITSM has not decided.
    pub days: u16,
    /// True if workflow nodes and people may send new requests for approval of this kind. If the value is false,
    /// existing requests still continue.
    pub is_enabled: bool,
}

fn is_default(texts: &StateTexts) -> bool {
    *texts == StateTexts::default()
}

impl Personals for Defined {}
