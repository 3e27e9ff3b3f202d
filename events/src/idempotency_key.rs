//! The ticket that an idempotency key is bound to, in the stream `idempotency_key-<hash>`.

use serde::{Deserialize, Serialize};

use crate::TicketSn;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The only event of an idempotency key.
    IdempotencyKeyEvent of "idempotency_key" {
        Reserved "idempotency_key.reserved" 1,
    }
}

/// The key is bound permanently to this ticket and to this request body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    pub sn: TicketSn,
    pub id: i64,
    /// BLAKE3 of the request body, keyed with a key of the desk, as hex. The key prevents guessing
    /// of the body from its hash.
    pub request: String,
}
impl Personals for Reserved {}
