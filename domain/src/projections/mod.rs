//! Projections: pure functions that fold many streams into one document, in the order of the feed.

pub mod desk_board;
pub mod incident_log;

use events::AnyEvent;
use serde::{Serialize, de::DeserializeOwned};

/// A view over many streams. The store keeps the feed position of the view beside its document.
pub trait Projection:
    Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The permanent name of the view.
    const VIEW: &'static str;
    /// The aggregates whose events are folded. Commits of other aggregates are not decoded.
    const AGGREGATES: &'static [&'static str];

    fn fold(&mut self, event: &AnyEvent);
}
