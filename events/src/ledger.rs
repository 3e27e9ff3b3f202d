//! Defines the events about the ledger itself. The events are stored in the stream `ledger-continued`. Each
//! event stores that an operator accepted the loss of commits.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events about the ledger itself.
    LedgerEvent of "ledger" {
        Continued "ledger.continued" 1,
    }
}

/// An operator started the desk although commits were missing in the ledger. The desk knows about the missing
/// commits, because their hashes were published earlier. The operator accepted that these commits are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continued {
    /// The highest position of a missing commit, according to the published hashes.
    pub published_position: i64,
    /// The last position up to which the ledger matches the published hashes.
    pub position: i64,
    /// The number of missing commits. The ledger does not contain these commits, but their hashes were
    /// published.
    pub missing: i64,
}
impl Personals for Continued {}
