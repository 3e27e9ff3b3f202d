//! Which ticket an idempotency key became, in the stream `intake-<hash>`.

use serde::{Deserialize, Serialize};

use crate::TicketSn;
use crate::fact::{Personals, facts};

facts! {
    /// The one fact of an intake key.
    IntakeEvent of "intake" {
        Reserved "intake.reserved" 1,
    }
}

/// This key means this ticket for ever, and this request body only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    pub sn: TicketSn,
    pub id: i64,
    /// BLAKE3 of the request that came with the key, under a key of the desk, hex: nobody can guess what was in it.
    pub request: String,
}
impl Personals for Reserved {}
