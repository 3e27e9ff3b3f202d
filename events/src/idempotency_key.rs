//! Defines the events of one idempotency key. A client sends an idempotency key with the request that opens a
//! ticket. If the client repeats the request with the same key, the desk does not open a second ticket. The
//! events are stored in the stream `idempotency_key-<hash>`. Each idempotency key belongs to one ticket.

use serde::{Deserialize, Serialize};

use crate::TicketSn;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one idempotency key.
    IdempotencyKeyEvent of "idempotency_key" {
        Reserved "idempotency_key.reserved" 1,
    }
}

/// The idempotency key was reserved for one ticket and for one request body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    pub sn: TicketSn,
    pub id: i64,
    /// The BLAKE3 hash of the request body, in hexadecimal digits. The hash is computed with a secret key of
    /// the desk. Without this secret key, a reader of the ledger cannot check whether a guessed body has the
    /// same hash.
    pub request: String,
}
impl Personals for Reserved {}
