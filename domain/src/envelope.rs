//! Envelopes: stored events with their attributes, the input of views and reactions.

use events::{Event, Meta, Moment};

/// One decoded event of a stream with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<F: Event> {
    pub stream: String,
    /// The position in the stream, from 1.
    pub sequence: i64,
    /// The commit time.
    pub at: Moment,
    /// When the event happened, if that differs from the commit time.
    pub occurred_at: Option<Moment>,
    pub meta: Meta,
    pub event: F,
}

impl<F: Event> Envelope<F> {
    /// Returns the event id, `<stream>:<sequence>`, to which causation refers.
    pub fn id(&self) -> String {
        format!("{}:{}", self.stream, self.sequence)
    }
    /// Returns when the event happened.
    pub fn happened_at(&self) -> Moment {
        self.occurred_at.unwrap_or(self.at)
    }
}
