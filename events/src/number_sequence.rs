//! Blocks of ticket numbers, in the stream `number_sequence-<prefix><date>`. Some numbers of a
//! block may remain unused.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of the number sequence of one service type (`prefix`) on one day.
    NumberSequenceEvent of "number_sequence" {
        BlockIssued "number_sequence.block_issued" 1,
    }
}

/// One running desk reserved the numbers `from..=to` for new tickets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockIssued {
    pub from: i64,
    pub to: i64,
}
impl Personals for BlockIssued {}
