//! The card of one callback, for operators and receivers.

use events::Moment;
use events::callback::{CallbackEvent, Requested};
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::callback::{Callback, Progress};
use crate::envelope::Envelope;

/// The state of one callback and the time of its last event.
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
    /// Returns true if an attempt failed and the receiver has neither accepted nor collected the
    /// callback.
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
