//! Defines the envelope: a stored event together with its stream, its position, its times and its metadata.
//! Views and reactions read envelopes.

use events::{Event, Meta, Moment};

/// One decoded event together with its stream, its position, its times and its metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<F: Event> {
    pub stream: String,
    /// The position of the event in its stream. The first event has position 1.
    pub sequence: i64,
    /// The time at which the event was stored. All events of one commit (a group of events that are stored
    /// together) have the same time.
    pub at: Moment,
    /// The time at which the event happened. `None` if the event happened at the time at which it was
    /// stored.
    pub occurred_at: Option<Moment>,
    pub meta: Meta,
    pub event: F,
}

impl<F: Event> Envelope<F> {
    /// Returns the id of the event in the form `<stream>:<sequence>`. If the event causes a later event,
    /// the later event stores this id as its cause (`causation`).
    pub fn id(&self) -> String {
        format!("{}:{}", self.stream, self.sequence)
    }
    /// Returns the time at which the event happened. If this time is unknown, returns the time at which the
    /// event was stored.
    pub fn happened_at(&self) -> Moment {
        self.occurred_at.unwrap_or(self.at)
    }
}
