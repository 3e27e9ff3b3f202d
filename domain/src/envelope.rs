//! A stored event with its attributes, as views and reactions see it.

use events::{Fact, Meta, Moment};

/// One stored event of any aggregate, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<F: Fact> {
    pub stream: String,
    /// 1 for the stream's first event.
    pub sequence: i64,
    /// When it was committed.
    pub at: Moment,
    /// When it happened, where that differs.
    pub occurred_at: Option<Moment>,
    pub meta: Meta,
    pub event: F,
}

impl<F: Fact> Envelope<F> {
    /// The id that causation points at: `<stream>:<sequence>`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.stream, self.sequence)
    }
    /// When it happened.
    pub fn happened_at(&self) -> Moment {
        self.occurred_at.unwrap_or(self.at)
    }
}
