//! Envelopes: stored events with their attributes. Views and reactions read envelopes.

use events::{Event, Meta, Moment};

/// One decoded event of a stream with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<F: Event> {
    pub stream: String,
    /// The position of the event in the stream, counted from 1.
    pub sequence: i64,
    /// The instant at which the commit was stored.
    pub at: Moment,
    /// The instant at which the event happened; `None` if the event happened at the commit time.
    pub occurred_at: Option<Moment>,
    pub meta: Meta,
    pub event: F,
}

impl<F: Event> Envelope<F> {
    /// Returns the event id `<stream>:<sequence>`. The causation of later commits contains this id.
    pub fn id(&self) -> String {
        format!("{}:{}", self.stream, self.sequence)
    }
    /// Returns the instant at which the event happened.
    pub fn happened_at(&self) -> Moment {
        self.occurred_at.unwrap_or(self.at)
    }
}
