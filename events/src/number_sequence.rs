//! Blocks of ticket numbers, in the stream `number_sequence-<prefix><date>`. Gaps between the
//! numbers are allowed.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of the number sequence for one prefix and one day.
    NumberSequenceEvent of "number_sequence" {
        BlockIssued "number_sequence.block_issued" 1,
    }
}

/// The numbers `from..=to` were reserved for one running desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockIssued {
    pub from: i64,
    pub to: i64,
}
impl Personals for BlockIssued {}
