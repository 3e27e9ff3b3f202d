//! Envelopes. An envelope contains a stored event and its attributes, such as its time. Views and
//! reactions read envelopes.

use events::{Event, Meta, Moment};

/// One decoded event, with its stream, position, times and metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<F: Event> {
    pub stream: String,
    /// The position of the event in its stream. The first event has position 1.
    pub sequence: i64,
    /// The instant at which the commit was stored.
    pub at: Moment,
    /// The instant at which the event happened. `None` if this instant is the time of the commit.
    pub occurred_at: Option<Moment>,
    pub meta: Meta,
    pub event: F,
}

impl<F: Event> Envelope<F> {
    /// Returns the id of the event in the form `<stream>:<sequence>`. A later commit that follows
    /// from this event stores the id as its causation.
    pub fn id(&self) -> String {
        format!("{}:{}", self.stream, self.sequence)
    }
    /// Returns the instant at which the event happened.
    pub fn happened_at(&self) -> Moment {
        self.occurred_at.unwrap_or(self.at)
    }
}
