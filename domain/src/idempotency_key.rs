//! One idempotency key. The key is bound to one ticket number without a time limit.

use events::idempotency_key::{IdempotencyKeyEvent, Reserved};
use serde::{Deserialize, Serialize};

use crate::decider::{DecideError, Decider, Nothing, StreamRole};

/// Binds the key to a ticket number, unless the key is already bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub Reserved);

/// The reasons why a key is not reserved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the idempotency key is already reserved for {}", .0.sn)]
    AlreadyReserved(Reserved),
}

/// The state of one key; `reserved` is `None` until the key is bound to a ticket number.
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
    const ROLE: StreamRole = StreamRole::Work;

    fn decide(
        &self,
        Command(requested): &Command,
        (): &(),
    ) -> Result<Vec<IdempotencyKeyEvent>, DecideError<Self>> {
        match &self.reserved {
            None => Ok(vec![requested.clone().into()]),
            Some(reserved) if reserved.request != requested.request => {
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
