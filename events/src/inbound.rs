//! Inbound messages, in the stream `inbound-<hash>`. An inbound message is a request that another
//! system sends to `/callbacks/{source}`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one inbound message.
    InboundEvent of "inbound" {
        Received "inbound.received" 1,
    }
}

/// A message arrived. Its secret or signature is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The sender of the message, such as `bk-itsm`.
    pub source: String,
    /// The name of the stream to which the message refers.
    pub subject: String,
    /// The unchanged body of the message, encrypted under the key of the desk, in Base64. The body
    /// may contain a token and names of people.
    pub body: String,
    /// The reason why the body is unreadable. The text is empty if the body is readable.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
}
impl Personals for Received {}
