//! Defines projections. A projection is a pure function that summarizes the events of many streams in one
//! document. The events are processed in the order of the ledger.

pub mod desk_board;
pub mod incident_log;

use events::AnyEvent;
use serde::{Serialize, de::DeserializeOwned};

/// A summary of the events of many streams. The store also keeps the position of the last commit that the
/// summary contains.
pub trait Projection:
    Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The name of the projection. The stores contain this name, so the name must never change.
    const VIEW: &'static str;
    /// The aggregates whose events the projection needs. The desk does not decode the commits of other
    /// aggregates.
    const AGGREGATES: &'static [&'static str];

    fn fold(&mut self, event: &AnyEvent);
}
