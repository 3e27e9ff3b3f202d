//! What an operator decided about the ledger itself, in the stream `ledger-continued`.

use serde::{Deserialize, Serialize};

use crate::fact::{Personals, facts};

facts! {
    /// The facts about one ledger.
    LedgerEvent of "ledger" {
        Continued "ledger.continued" 1,
    }
}

/// The desk was started on a ledger that lacks published commits, and their loss was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continued {
    /// The highest published position that the ledger did not hold.
    pub published_position: i64,
    /// The position up to which the ledger was what had been published.
    pub position: i64,
    /// How many published commits it lacked.
    pub missing: i64,
}
impl Personals for Continued {}
