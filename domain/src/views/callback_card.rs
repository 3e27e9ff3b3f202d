//! Defines the card of one callback. A card is a stored summary. Operators and receivers of callbacks can
//! read this card.

use events::Moment;
use events::callback::{CallbackEvent, Requested};
use serde::{Deserialize, Serialize};

use crate::Decider;
use crate::callback::{Callback, Progress};
use crate::envelope::Envelope;

/// The state of one callback and the time of its last event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallbackCard {
    pub callback: Callback,
    pub updated_at: Moment,
}

impl CallbackCard {
    pub fn fold(&mut self, envelope: &Envelope<CallbackEvent>) {
        self.callback.evolve(&envelope.event);
        self.updated_at = envelope.at;
    }
    /// Returns true if an attempt has failed and the receiver does not have the result of the ticket yet.
    /// The receiver gets the result by accepting the callback or by requesting the result from the desk.
    pub fn is_failing(&self) -> bool {
        !self.callback.collected
            && match self.callback.progress {
                Progress::Open => self.callback.attempts.failures > 0,
                Progress::Failed => true,
                Progress::Succeeded => false,
            }
    }
    pub fn requested(&self) -> Option<&Requested> {
        self.callback.requested.as_ref()
    }
}
