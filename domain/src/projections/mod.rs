//! Projections: pure folds of many streams into one document, in the order of the feed.

pub mod desk_board;
pub mod incident_log;

use events::AnyEvent;
use serde::{Serialize, de::DeserializeOwned};

/// A view over many streams. Its position in the feed is stored with its document.
pub trait Projection:
    Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The permanent name of the view.
    const VIEW: &'static str;
    /// The aggregates whose events are folded; other commits are not decoded.
    const AGGREGATES: &'static [&'static str];

    fn fold(&mut self, event: &AnyEvent);
}
