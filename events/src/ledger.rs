//! Operator decisions about the ledger itself, in the stream `ledger-continued`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one ledger.
    LedgerEvent of "ledger" {
        Continued "ledger.continued" 1,
    }
}

/// The desk was started on a ledger that lacks published commits, and the operator accepted their
/// loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continued {
    /// The highest published position that was absent from the ledger.
    pub published_position: i64,
    /// The last position up to which the ledger matched the published heads.
    pub position: i64,
    /// The number of published commits that the ledger lacked.
    pub missing: i64,
}
impl Personals for Continued {}
