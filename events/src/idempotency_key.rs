//! Idempotency keys, in the stream `idempotency_key-<hash>`. Each key is connected with one ticket.

use serde::{Deserialize, Serialize};

use crate::TicketSn;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The only event of an idempotency key.
    IdempotencyKeyEvent of "idempotency_key" {
        Reserved "idempotency_key.reserved" 1,
    }
}

/// The idempotency key was permanently connected with this ticket and this request body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    pub sn: TicketSn,
    pub id: i64,
    /// The BLAKE3 hash of the request body in hex. The hash is computed with a secret key of the
    /// desk, so nobody can guess the body from the hash.
    pub request: String,
}
impl Personals for Reserved {}
