//! An idempotency key becomes one ticket, for ever.

use events::idempotency_key::{IdempotencyKeyEvent, Reserved};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing};

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
pub struct IdempotencyKey {
    pub reserved: Option<Reserved>,
}

impl Decider for IdempotencyKey {
    type Command = Command;
    type Event = IdempotencyKeyEvent;
    type Rejection = Rejection;
    type Context = ();
    type Lookup = Nothing;

    fn decide(
        &self,
        Command(wanted): &Command,
        (): &(),
    ) -> Result<Vec<IdempotencyKeyEvent>, DecideError<Self>> {
        match &self.reserved {
            None => Ok(vec![wanted.clone().into()]),
            Some(reserved) if reserved.request != wanted.request => {
                Err(DecideError::Rejected(Rejection::KeyReused))
            }
            Some(reserved) => Err(DecideError::Rejected(Rejection::AlreadyReserved(
                reserved.clone(),
            ))),
        }
    }

    fn evolve(&mut self, event: &IdempotencyKeyEvent) {
        let IdempotencyKeyEvent::Reserved(reserved) = event;
        self.reserved = Some(reserved.clone());
    }
}
