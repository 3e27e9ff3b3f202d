//! The ticket to which an idempotency key is bound, in the stream `idempotency_key-<hash>`.

use serde::{Deserialize, Serialize};

use crate::TicketSn;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The only event of an idempotency key.
    IdempotencyKeyEvent of "idempotency_key" {
        Reserved "idempotency_key.reserved" 1,
    }
}

/// The idempotency key was bound permanently to this ticket and this request body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    pub sn: TicketSn,
    pub id: i64,
    /// The BLAKE3 hash of the request body in hex, keyed with a key of the desk. Without that key,
    /// the body cannot be guessed from the hash.
    pub request: String,
}
impl Personals for Reserved {}
