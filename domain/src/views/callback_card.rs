//! One callback as operators and receivers see it.

use events::Moment;
use events::callback::{CallbackEvent, Requested};
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::callback::{Callback, Progress};
use crate::envelope::Envelope;

/// The card of one delivery: its state and when it last moved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallbackCard {
    pub delivery: Callback,
    pub updated_at: Moment,
}

impl CallbackCard {
    pub fn fold(&mut self, envelope: &Envelope<CallbackEvent>) {
        self.delivery.evolve(&envelope.event);
        self.updated_at = envelope.at;
    }
    /// Says whether the receiver has not got it yet although it was tried, and has not fetched it either.
    pub fn is_failing(&self) -> bool {
        !self.delivery.collected
            && matches!(
                self.delivery.progress,
                Progress::Retrying { .. } | Progress::Failed
            )
    }
    pub fn requested(&self) -> Option<&Requested> {
        self.delivery.requested.as_ref()
    }
}
