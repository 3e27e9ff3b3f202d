//! Inbound messages: requests of other systems to `/callbacks/{source}`, in the stream
//! `inbound-<hash>`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one inbound message.
    InboundEvent of "inbound" {
        Received "inbound.received" 1,
    }
}

/// A message arrived whose secret or signature is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The source, such as `bk-itsm`.
    pub source: String,
    /// The stream that the message is about.
    pub subject: String,
    /// The raw body, sealed under the key of the desk, as base64. The body may contain a token and
    /// the names of people.
    pub body: String,
    /// The reason why the body cannot be read; empty for a readable body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
}
impl Personals for Received {}
