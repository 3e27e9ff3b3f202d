//! Defines projections. A projection is a pure function that summarizes the events of many streams in one
//! document. The events are processed in the order of the ledger (the store of all events).

pub mod desk_board;
pub mod incident_log;
pub mod notification_meter;
pub mod outcome;
pub mod survival;
pub mod sync_meter;

use events::AnyEvent;
use serde::{Serialize, de::DeserializeOwned};

/// A summary of the events of many streams. Together with the summary, the store keeps the position of
/// the last commit (a group of events) that the summary contains.
pub trait Projection:
    Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The name under which the stores keep the projection. The name must never change.
    const VIEW: &'static str;
    /// The aggregates from which the projection needs events. The desk does not decode the events of
    /// other aggregates for this projection.
    const AGGREGATES: &'static [&'static str];

    fn fold(&mut self, event: &AnyEvent);
}
