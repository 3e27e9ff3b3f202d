//! Projections. A projection is a pure function that summarizes events of many streams in one
//! document. The events are processed in the order of the ledger.

pub mod desk_board;
pub mod incident_log;

use events::AnyEvent;
use serde::{Serialize, de::DeserializeOwned};

/// A summary of many streams. With the document, the store keeps the position of the last processed
/// commit.
pub trait Projection:
    Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The name of the projection. The name must never change.
    const VIEW: &'static str;
    /// The aggregates whose events this projection reads. Commits of other aggregates are skipped
    /// without decoding.
    const AGGREGATES: &'static [&'static str];

    fn fold(&mut self, event: &AnyEvent);
}
