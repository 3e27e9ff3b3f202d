//! Defines the events of one secret key of the desk. The events are stored in the stream `desk_key-<name>`. They contain
//! only the number of the newest key, and never a key.

use serde::{Deserialize, Serialize};

use crate::Moment;
use crate::event::{Personals, event_enum};

event_enum! {
    /// The events of one secret key.
    DeskKeyEvent of "desk_key" {
        Rotated "desk_key.rotated" 1,
    }
}

/// A new key replaced the newest one. The desk still accepts what was signed with the replaced key, until the next
/// rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// The number of the new key. The first key of a desk has number 1, and its use adds no event.
    pub generation: u32,
    pub at: Moment,
}
impl Personals for Rotated {}
