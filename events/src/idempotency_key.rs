//! Defines the events of one idempotency key. A client sends such a key so that a repeated request does not
//! open a second ticket. The events are stored in the stream `idempotency_key-<hash>`. Each key belongs to
//! one ticket.

use serde::{Deserialize, Serialize};

use crate::TicketSn;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one idempotency key.
    IdempotencyKeyEvent of "idempotency_key" {
        Reserved "idempotency_key.reserved" 1,
    }
}

/// The idempotency key was reserved for this ticket and for this request body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    pub sn: TicketSn,
    pub id: i64,
    /// The BLAKE3 hash of the request body, in hexadecimal digits. The hash is computed with a secret key
    /// of the desk. Other people do not have this key and therefore cannot compare guessed bodies with the
    /// hash.
    pub request: String,
}
impl Personals for Reserved {}
