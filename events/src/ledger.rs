//! Decisions of operators about the ledger itself, in the stream `ledger-continued`.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one ledger.
    LedgerEvent of "ledger" {
        Continued "ledger.continued" 1,
    }
}

/// The operator started the desk on a ledger that lacks published commits, and accepted the loss of
/// these commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continued {
    /// The highest published position that the ledger lacks.
    pub published_position: i64,
    /// The last position at which the ledger matches the published heads.
    pub position: i64,
    /// The number of published commits that the ledger lacks.
    pub missing: i64,
}
impl Personals for Continued {}
