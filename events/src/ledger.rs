//! Decisions of operators about the ledger, in the stream `ledger-continued`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events about the ledger itself.
    LedgerEvent of "ledger" {
        Continued "ledger.continued" 1,
    }
}

/// An operator started the desk although published commits were missing in the ledger. The operator
/// accepted the loss of these commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continued {
    /// The highest position of a published commit that is missing in the ledger.
    pub published_position: i64,
    /// The last position at which the ledger is equal to the published hashes.
    pub position: i64,
    /// The number of published commits that are missing in the ledger.
    pub missing: i64,
}
impl Personals for Continued {}
