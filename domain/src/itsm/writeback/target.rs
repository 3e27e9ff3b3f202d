//! Names the record to which the desk writes.

use events::writeback::{AssigneeRequested, NoteRequested, Requested};
use events::{Moment, TicketSn};
use serde::{Deserialize, Serialize};

/// The record to which the desk writes, and the newest request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The name of the stream of the case.
    pub case: String,
    /// The name of the integration.
    pub source: String,
    /// The id of the record in the external system.
    pub record: String,
    pub ticket: TicketSn,
    /// The id of the event that caused the newest request.
    pub cause: String,
    /// The time at which the newest request is due.
    pub due: Moment,
}

/// Implements the conversion of a request, which has the same members, to its target.
macro_rules! target_of {
    ($($requested:ty),*) => {$(
        impl From<&$requested> for Target {
            fn from(requested: &$requested) -> Self {
                Self {
                    case: requested.case.clone(),
                    source: requested.source.clone(),
                    record: requested.record.clone(),
                    ticket: requested.ticket.clone(),
                    cause: requested.cause.clone(),
                    due: requested.due,
                }
            }
        }
    )*};
}

target_of!(Requested, AssigneeRequested, NoteRequested);
