//! Blocks of ticket numbers, in the stream `numbers-<prefix><date>`. Holes are allowed.

use serde::{Deserialize, Serialize};

use crate::fact::{Personals, facts};

facts! {
    /// The numbers of one prefix and day.
    NumbersEvent of "numbers" {
        BlockIssued "numbers.block_issued" 1,
    }
}

/// The numbers `from..=to` now belong to one running desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockIssued {
    pub from: i64,
    pub to: i64,
}
impl Personals for BlockIssued {}
