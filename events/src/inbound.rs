//! Defines the events of one inbound message. The events are stored in the stream `inbound-<hash>`. An
//! inbound message is a request that another system sends to `/callbacks/{source}`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one inbound message.
    InboundEvent of "inbound" {
        Received "inbound.received" 1,
    }
}

/// A message arrived from another system. The secret or the signature in the message is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The name of the system that sent the message, such as `bk-itsm`.
    pub source: String,
    /// The name of the stream that the message concerns, such as the stream of an application.
    pub subject: String,
    /// The unchanged body of the message, encrypted with the key of the desk and written in Base64. The body
    /// is encrypted because the body can contain a token and names of people.
    pub body: String,
    /// The reason why the desk cannot read the body. The reason is empty if the desk can read the body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
}
impl Personals for Received {}
