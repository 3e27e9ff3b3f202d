//! An idempotency key becomes one ticket, for ever.

use events::intake::{IntakeEvent, Reserved};
use serde::{Deserialize, Serialize};

use crate::decider::{Decider, Nothing, Refusal};

/// Reserve this number for the key, unless the key has one already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub Reserved);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the idempotency key is already reserved for {}", .0.sn)]
    AlreadyReserved(Reserved),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    pub reserved: Option<Reserved>,
}

impl Decider for Intake {
    type Command = Command;
    type Event = IntakeEvent;
    type Rejection = Rejection;
    type Facts = ();
    type Lookup = Nothing;

    fn decide(&self, Command(wanted): &Command, (): &()) -> Result<Vec<IntakeEvent>, Refusal<Self>> {
        match &self.reserved {
            None => Ok(vec![wanted.clone().into()]),
            Some(reserved) if reserved.request != wanted.request => Err(Refusal::Rejected(Rejection::KeyReused)),
            Some(reserved) => Err(Refusal::Rejected(Rejection::AlreadyReserved(reserved.clone()))),
        }
    }

    fn evolve(&mut self, event: &IntakeEvent) {
        let IntakeEvent::Reserved(reserved) = event;
        self.reserved = Some(reserved.clone());
    }
}
