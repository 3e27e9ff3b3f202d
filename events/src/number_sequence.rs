//! Defines the events that reserve blocks of numbers for tickets and notifications. The events are stored in the stream
//! `number_sequence-<prefix><date>`. A block is a range of numbers. Each running process of the desk reserves
//! its own blocks, and some numbers of a block can stay unused.

use serde::{Deserialize, Serialize};

use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one number sequence. A sequence belongs to one day, and to one service type or to the
    /// notifications. The stream name contains the first letters of the ticket numbers, such as `REQ`, or
    /// `notif`, and the date.
    NumberSequenceEvent of "number_sequence" {
        BlockIssued "number_sequence.block_issued" 1,
    }
}

/// One running process of the desk reserved the numbers from `from` to `to` (both included). Only this process
/// uses the reserved numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockIssued {
    pub from: i64,
    pub to: i64,
}
impl Personals for BlockIssued {}
